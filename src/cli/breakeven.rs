//! The answer to a scenario file: what it names is looked up in other files and in price lists.

use std::path::{Path, PathBuf};

use clap::Args;

use super::catalog_files;
use super::examination::{Examination, Sound, identity};
use super::exit::{CliError, Exit};
use super::folder::StudyFolder;
use super::output::with_causes;
use crate::catalog::{Catalog, gpus};
use crate::cost::answer::Answer;
use crate::cost::measured::{Estimate, Measured, MeasuredPoint};
use crate::cost::resolve::{Evidence, Sources};
use crate::cost::scenario::{Document, MeetsQuality, ScenarioError};
use crate::cost::trace::Trace;
use crate::engine::cards;
use crate::metrics::stats;
use crate::record::machine::DeviceKind;
use crate::report::document;
use crate::report::escape::inert;
use crate::study::model::ModelCard;
use crate::study::variant::Variant;
use crate::study::workload::PointId;
use crate::units::TokensPerSecond;

/// Larger than any scenario that somebody wrote.
const MOST_BYTES: u64 = 4 << 20;

/// Compares a token-priced API with self-hosting and finds where they break even.
#[derive(Debug, Clone, Args)]
pub struct BreakevenArgs {
    /// The scenario.
    #[arg(value_name = "SCENARIO.toml")]
    pub scenario: PathBuf,
    /// Take the throughput from this study instead.
    #[arg(long, value_name = "DIR")]
    pub results: Option<PathBuf>,
    /// Write the reports there.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print the answer as one JSON document.
    #[arg(long)]
    pub json: bool,
    /// Exit with 6 when anything is doubtful.
    #[arg(long)]
    pub strict: bool,
}

/// Whether prices that the user imported may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Imported {
    /// Never, beyond what the catalog has already.
    Never,
    /// Where the others lack something: a scenario that they answer never depends on what somebody has
    /// imported.
    AsLastResort,
}

/// Answers a scenario, with the throughput of the study `results` if there is one.
pub(super) fn solve(
    scenario: &Path,
    results: Option<&Path>,
    catalog: &Catalog,
    imported: Imported,
) -> Result<Answer, CliError> {
    let refused = |error: ScenarioError| refusal(scenario, error);
    let mut document = Document::parse(&read(scenario)?).map_err(refused)?;
    if let Some(folder) = results {
        document = document
            .with_results(&folder.to_string_lossy())
            .map_err(refused)?;
    }
    let evidence = Files {
        beside: scenario.parent().unwrap_or(Path::new("")),
    };
    let ask = |book: &Catalog| {
        let sources = Sources {
            book,
            evidence: &evidence,
        };
        crate::cost::answer(&document, sources).map_err(refused)
    };
    let answer = ask(catalog);
    if answer.is_err() && imported == Imported::AsLastResort && catalog_files::are_there() {
        ask(&catalog_files::with_users(catalog.clone())?)
    } else {
        answer
    }
}

/// Why a scenario has no answer.
fn refusal(scenario: &Path, error: ScenarioError) -> CliError {
    let told = anyhow::anyhow!("{}: {error}", scenario.display());
    let refusal = CliError::new(Exit::Input, told);
    match error.hint {
        Some(hint) => refusal.hint(inert(&hint)),
        None => refusal,
    }
}

/// A file of text; what is no UTF-8 is named with its place.
fn read(path: &Path) -> Result<String, CliError> {
    let name = path.display();
    let refused = |told| CliError::new(Exit::Input, told);
    let fail = |error: std::io::Error| refused(anyhow::anyhow!("failed to read {name}: {error}"));
    let size = std::fs::metadata(path).map_err(fail)?.len();
    if size > MOST_BYTES {
        return Err(refused(anyhow::anyhow!(
            "{name} has {size} bytes; a scenario has at most {MOST_BYTES}"
        )));
    }
    let bytes = std::fs::read(path).map_err(fail)?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        refused(anyhow::anyhow!(
            "{name}: line {line}, column {column}: the text is not UTF-8"
        ))
    })
}

/// Files that a scenario names, beside it or from where the tool runs.
struct Files<'a> {
    beside: &'a Path,
}

impl Files<'_> {
    fn find(&self, path: &str) -> PathBuf {
        let beside = self.beside.join(path);
        if beside.exists() {
            beside
        } else {
            PathBuf::from(path)
        }
    }
}

impl Evidence for Files<'_> {
    fn card(&self, name: &str) -> Result<ModelCard, String> {
        cards::find(name).map_err(|error| error.to_string())
    }

    fn measured(&self, path: &str) -> Result<Measured, String> {
        let read = measured(&self.find(path)).map_err(|error| with_causes(&error.error))?;
        // The name that the scenario gives, so that a report does not depend on where it is made.
        Ok(Measured {
            source: path.to_owned(),
            ..read
        })
    }

    fn trace(&self, path: &str) -> Result<Trace, String> {
        read_trace(&self.find(path))
    }

    fn quality(&self, path: &str, variant: Variant) -> Result<MeetsQuality, String> {
        quality(&self.find(path), variant)
    }
}

/// Whether a variant keeps the budget that a study of quality states for its loss.
fn quality(folder: &Path, variant: Variant) -> Result<MeetsQuality, String> {
    let name = folder.display();
    let sound = sound(folder).map_err(|error| with_causes(&error.error))?;
    let Some(precisions) = sound.document.precisions else {
        return Err(format!(
            "{name}: quality was not asked for there; run mtok quality, or state \
             decision.self_hosted_meets_quality"
        ));
    };
    match precisions.keeps_budget(variant) {
        Some(true) => Ok(MeetsQuality::Yes),
        Some(false) => Ok(MeetsQuality::No),
        None => Err(format!(
            "{name}: {variant} was not judged there; judge it, or set self_hosted.precision to one that was"
        )),
    }
}

/// A study whose record verifies.
fn sound(folder: &Path) -> Result<Sound, CliError> {
    Examination::of(&StudyFolder::new(folder.to_owned()))?.sound()
}

/// A study folder as the break-even sees it.
fn measured(folder: &Path) -> Result<Measured, CliError> {
    let Sound { records, document } = sound(folder)?;
    let (session, device) = identity(&records);
    let asked = session.and_then(|session| session.study.price.gpu.clone());
    let recognised = device.and_then(|device| gpus::recognise(&device.name, device.memory_bytes));
    Ok(Measured {
        source: folder.display().to_string(),
        date: session.map(|session| session.run_date),
        gpu: asked.or_else(|| recognised.map(|card| card.id.clone())),
        gpus: 1,
        simulated: device.is_some_and(|device| device.kind == DeviceKind::Sim),
        model: session.map(|session| session.model.name.clone()),
        shape: session.map(|session| session.model.shape.clone()),
        points: points(&document),
    })
}

fn points(document: &document::Document) -> Vec<MeasuredPoint> {
    let ended_well = document
        .rows
        .iter()
        .filter(|row| row.status == document::Status::Ok);
    ended_well
        .filter_map(|row| {
            row.measured
                .as_ref()
                .map(|measured| point(row.point, measured))
        })
        .collect()
}

fn point(id: PointId, measured: &document::Measured) -> MeasuredPoint {
    let latency = &measured.latency;
    MeasuredPoint {
        precision: id.precision,
        kv: id.kv,
        batch: f64::from(id.batch.get()),
        isl: f64::from(id.isl.get()),
        osl: f64::from(id.osl.get()),
        prefill_tokens_per_second: estimate(&latency.prefill(), TokensPerSecond::value),
        decode_tokens_per_second: latency
            .decode()
            .map(|rate| estimate(&rate, TokensPerSecond::value)),
        output_tokens_per_second: estimate(&latency.output(), TokensPerSecond::value),
        ttft_ms: Some(latency.ttft.value.milliseconds()),
        tpot_ms: latency.tpot.map(|tpot| tpot.value.milliseconds()),
    }
}

/// An estimate without an interval stands for itself: nothing is known of its spread.
fn estimate<Q: Copy>(from: &stats::Estimate<Q>, value: impl Fn(Q) -> f64) -> Estimate {
    let middle = value(from.value);
    Estimate {
        value: middle,
        low: from.low().map_or(middle, &value),
        high: from.high().map_or(middle, &value),
        repetitions: from.n as u32,
    }
}

/// A CSV file with a column `timestamp`: seconds since 1970, or RFC 3339.
fn read_trace(path: &Path) -> Result<Trace, String> {
    let name = path.display();
    let fail = |error: csv::Error| format!("failed to read {name}: {error}");
    let mut reader = csv::Reader::from_path(path).map_err(fail)?;
    let column = reader
        .headers()
        .map_err(fail)?
        .iter()
        .position(|header| header.trim().eq_ignore_ascii_case("timestamp"))
        .ok_or_else(|| format!("{name} has no column `timestamp`"))?;
    let mut arrivals = Vec::new();
    for record in reader.records() {
        let record = record.map_err(fail)?;
        let field = record.get(column).unwrap_or("").trim();
        let line = record.position().map_or(0, csv::Position::line);
        arrivals.push(seconds(field).ok_or_else(|| {
            format!("{name}, line {line}: `{field}` is no timestamp; write seconds since 1970 or RFC 3339")
        })?);
    }
    Trace::from_arrivals(arrivals).map_err(|error| format!("{name}: {error}"))
}

fn seconds(field: &str) -> Option<f64> {
    if let Ok(seconds) = field.parse::<f64>() {
        // Times beyond the year 9999 are slips of unit.
        return (seconds.is_finite() && (0.0..2.5e11).contains(&seconds)).then_some(seconds);
    }
    let stamp: jiff::Timestamp = field.parse().ok()?;
    Some(stamp.as_millisecond() as f64 / 1e3)
}
