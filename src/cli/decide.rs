//! What `mtok breakeven` takes from the rest of the program: prices, cards, studies, reports.

use std::path::Path;

use super::args::BreakevenVerb;
use super::breakeven::{self, Outside, Streams};
use super::catalog_files;
use super::exit::{CliError, Exit};
use super::folder::{StudyFolder, write_whole};
use super::output::with_causes;
use super::{host, reports};
use crate::catalog::book::PriceBook;
use crate::catalog::{Catalog, gpus};
use crate::cost::answer::Answer;
use crate::cost::measured::{Estimate, Measured, MeasuredPoint};
use crate::cost::scenario::MeetsQuality;
use crate::engine::cards;
use crate::metrics::stats;
use crate::record::machine::DeviceKind;
use crate::record::store;
use crate::report::document::{self, Document};
use crate::study::variant::Variant;
use crate::study::workload::PointId;
use crate::units::TokensPerSecond;

/// Answers a scenario.
pub(super) fn run(args: &BreakevenVerb) -> Result<Exit, CliError> {
    let beside = catalog_files::beside(&args.scenario.scenario)?;
    let catalog = if args.user_prices {
        catalog_files::with_users(beside)?
    } else {
        beside
    };
    let further = || {
        if args.user_prices || !catalog_files::are_there() {
            Ok(None)
        } else {
            with_imported(&catalog)
        }
    };
    let outside = Outside {
        further: &further,
        ..outside(&catalog)
    };
    let (mut out, mut talk) = (std::io::stdout().lock(), std::io::stderr().lock());
    let streams = Streams {
        out: &mut out,
        talk: &mut talk,
    };
    let code = breakeven::run(&args.scenario, outside, streams)
        .map_err(|error| CliError::new(Exit::Failure, error))?;
    Ok(match code {
        0 => Exit::Success,
        3 => Exit::Input,
        6 => Exit::NotValid,
        9 => Exit::Storage,
        _ => Exit::Failure,
    })
}

/// A catalog with what the user imported on top.
fn with_imported(catalog: &Catalog) -> Result<Option<Box<dyn PriceBook>>, String> {
    match catalog_files::with_users(catalog.clone()) {
        Ok(catalog) => Ok(Some(Box::new(catalog))),
        Err(error) => Err(with_causes(&error.error)),
    }
}

/// What a scenario may ask for.
fn outside(catalog: &Catalog) -> Outside<'_> {
    Outside {
        book: catalog,
        further: &|| Ok(None),
        card: &|name| cards::find(name).map_err(|error| error.to_string()),
        measured: &|folder| measured(folder).map_err(|error| with_causes(&error.error)),
        quality: &|folder, variant| quality(folder, variant),
        report: &write_reports,
        today: host::today(),
    }
}

/// Every report of a folder's scenario by file name, from the bundled prices and a snapshot beside it.
pub(super) fn rendered(scenario: &Path) -> Result<Vec<(&'static str, String)>, CliError> {
    let catalog = catalog_files::beside(scenario)?;
    let answer = breakeven::answer(scenario, outside(&catalog))
        .map_err(|message| CliError::new(Exit::Input, anyhow::anyhow!(message)))?;
    Ok(reports_of(&answer))
}

fn reports_of(answer: &Answer) -> Vec<(&'static str, String)> {
    vec![
        (
            "breakeven.md",
            crate::report::breakeven::to_markdown(answer),
        ),
        ("breakeven.html", crate::report::breakeven::to_html(answer)),
        ("breakeven.csv", crate::report::breakeven::to_csv(answer)),
    ]
}

fn write_reports(answer: &Answer, folder: &Path) -> anyhow::Result<()> {
    let study = StudyFolder::new(folder.to_owned());
    study.create().map_err(|error| error.error)?;
    for (name, text) in reports_of(answer) {
        write_whole(&study.generated(name), &text).map_err(|error| error.error)?;
    }
    Ok(())
}

/// Whether a variant keeps the budget that a study of quality states for its loss.
fn quality(folder: &Path, variant: Variant) -> Result<MeetsQuality, String> {
    let name = folder.display();
    let records = store::read(&StudyFolder::new(folder.to_owned()).record())
        .map_err(|error| error.to_string())?;
    let document = reports::conclude(&records, None).map_err(|error| with_causes(&error.error))?;
    let Some(precisions) = document.precisions else {
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

/// A study folder as the break-even sees it.
fn measured(folder: &Path) -> Result<Measured, CliError> {
    let records = store::read(&StudyFolder::new(folder.to_owned()).record())?;
    let document = reports::conclude(&records, None)?;
    let (session, device) = reports::identity(&records);
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

fn points(document: &Document) -> Vec<MeasuredPoint> {
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
