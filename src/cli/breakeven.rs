//! `mtok breakeven`: a scenario in, a decision out.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use jiff::civil::Date;

use crate::catalog::age::{STALE_AFTER_DAYS, age_days};
use crate::catalog::book::PriceBook;
use crate::cost::answer::Answer;
use crate::cost::measured::Measured;
use crate::cost::resolve::{Evidence, Sources};
use crate::cost::scenario::{Document, MeetsQuality, ScenarioError};
use crate::cost::trace::Trace;
use crate::report::escape::inert;
use crate::study::model::ModelCard;
use crate::study::variant::Variant;

/// Exit codes of this verb, as the command line documents them.
const DONE: u8 = 0;
const BAD_SCENARIO: u8 = 3;
const DOUBTFUL: u8 = 6;
const BAD_STORAGE: u8 = 9;
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

/// What the verb needs from the rest of the tool.
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    /// Prices and cards.
    pub book: &'a dyn PriceBook,
    /// Prices that the user imported, on top of those; asked for what the others lack.
    pub further: &'a dyn Fn() -> Result<Option<Box<dyn PriceBook>>, String>,
    /// A model card by its name.
    pub card: &'a dyn Fn(&str) -> Result<ModelCard, String>,
    /// A study folder.
    pub measured: &'a dyn Fn(&Path) -> Result<Measured, String>,
    /// Whether a study finds the model good enough at a precision.
    pub quality: &'a dyn Fn(&Path, Variant) -> Result<MeetsQuality, String>,
    /// Writes the reports of an answer into a folder.
    pub report: &'a dyn Fn(&Answer, &Path) -> anyhow::Result<()>,
    /// The present day, against which prices age on the terminal alone.
    pub today: Date,
}

/// Where the verb speaks.
pub struct Streams<'a> {
    /// Data.
    pub out: &'a mut dyn Write,
    /// Talk.
    pub talk: &'a mut dyn Write,
}

/// Runs the verb; the number is the exit code.
pub fn run(args: &BreakevenArgs, outside: Outside<'_>, streams: Streams<'_>) -> anyhow::Result<u8> {
    let Streams { out, talk } = streams;
    let answer = match solve(args, outside) {
        Ok(answer) => answer,
        Err(refusal) => {
            writeln!(talk, "error: {}", inert(&refusal.message))?;
            if let Some(hint) = refusal.hint {
                writeln!(talk, "  hint: {}", inert(&hint))?;
            }
            return Ok(BAD_SCENARIO);
        }
    };
    for warning in &answer.warnings {
        writeln!(
            talk,
            "warning: {} ({})",
            inert(&warning.to_string()),
            warning.code()
        )?;
        writeln!(talk, "  hint: {}", inert(&warning.remedy()))?;
    }
    for name in old_prices(&answer, outside.today) {
        writeln!(talk, "note: {name}")?;
    }
    if let Some(folder) = &args.out {
        if let Err(error) = (outside.report)(&answer, folder) {
            writeln!(
                talk,
                "error: failed to write the reports into {}: {error:#}",
                folder.display()
            )?;
            return Ok(BAD_STORAGE);
        }
        writeln!(talk, "reports written to {}", folder.display())?;
    }
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &answer).context("print the answer")?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}", answer.verdict)?;
    }
    Ok(if args.strict && !answer.warnings.is_empty() {
        DOUBTFUL
    } else {
        DONE
    })
}

/// The answer to a scenario file, or the line that says why there is none.
pub(super) fn answer(scenario: &Path, outside: Outside<'_>) -> Result<Answer, String> {
    let args = BreakevenArgs {
        scenario: scenario.to_owned(),
        results: None,
        out: None,
        json: false,
        strict: false,
    };
    solve(&args, outside).map_err(|refused| refused.message)
}

/// Why a scenario was not answered.
struct Refused {
    message: String,
    hint: Option<String>,
}

fn solve(args: &BreakevenArgs, outside: Outside<'_>) -> Result<Answer, Refused> {
    let path = args.scenario.display();
    let text = read(&args.scenario).map_err(|message| Refused {
        message,
        hint: None,
    })?;
    let refused = |error: ScenarioError| Refused {
        message: format!("{path}: {error}"),
        hint: error.hint,
    };
    let mut document = Document::parse(&text).map_err(refused)?;
    if let Some(folder) = &args.results {
        document = document
            .with_results(&folder.to_string_lossy())
            .map_err(refused)?;
    }
    let files = Files {
        beside: args.scenario.parent().unwrap_or(Path::new("")),
        outside,
    };
    let ask = |book: &dyn PriceBook| {
        let sources = Sources {
            book,
            evidence: &files,
        };
        crate::cost::answer(&document, sources).map_err(refused)
    };
    let lacking = match ask(outside.book) {
        Ok(answer) => return Ok(answer),
        Err(lacking) => lacking,
    };
    // A scenario that the bundled prices answer never depends on what somebody has imported.
    match (outside.further)() {
        Ok(Some(book)) => ask(book.as_ref()),
        Ok(None) => Err(lacking),
        Err(message) => Err(Refused {
            message,
            hint: None,
        }),
    }
}

/// A file of text; what is no UTF-8 is named with its place.
fn read(path: &Path) -> Result<String, String> {
    let fail = |error: std::io::Error| format!("failed to read {}: {error}", path.display());
    let size = std::fs::metadata(path).map_err(fail)?.len();
    if size > MOST_BYTES {
        return Err(format!(
            "{} has {size} bytes; a scenario has at most {MOST_BYTES}",
            path.display()
        ));
    }
    let bytes = std::fs::read(path).map_err(fail)?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!(
            "{}: line {line}, column {column}: the text is not UTF-8",
            path.display()
        )
    })
}

/// Prices that are old today; committed reports age against the scenario's own date instead.
fn old_prices(answer: &Answer, today: Date) -> Vec<String> {
    let mut told = Vec::new();
    for line in &answer.assumptions {
        let read = line
            .date
            .as_ref()
            .and_then(|date| date.parse::<Date>().ok());
        let price = ["USD/Mtok", "USD/Mtok-h", "USD/GPU-h"].contains(&line.unit);
        let Some(read) = read.filter(|_| price && line.source != "default") else {
            continue;
        };
        let age = age_days(read, today);
        if age > STALE_AFTER_DAYS {
            told.push(format!("the price of {} was read {age} days ago", line.key));
        }
    }
    told
}

/// Files that a scenario names, beside it or from where the tool runs.
struct Files<'a> {
    beside: &'a Path,
    outside: Outside<'a>,
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
        (self.outside.card)(name)
    }

    fn measured(&self, path: &str) -> Result<Measured, String> {
        // The name that the scenario gives, so that a report does not depend on where it is made.
        let named = |measured| Measured {
            source: path.to_owned(),
            ..measured
        };
        (self.outside.measured)(&self.find(path)).map(named)
    }

    fn trace(&self, path: &str) -> Result<Trace, String> {
        read_trace(&self.find(path))
    }

    fn quality(&self, path: &str, variant: Variant) -> Result<MeetsQuality, String> {
        (self.outside.quality)(&self.find(path), variant)
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
