//! `mtok breakeven`: a scenario in, a decision out.

use std::path::Path;

use jiff::civil::Date;

use super::args::BreakevenVerb;
use super::breakeven::{Imported, solve};
use super::exit::{CliError, Exit};
use super::folder::{StudyFolder, make_sure_are_new, write_whole};
use super::{catalog_files, host, output};
use crate::catalog::age::{STALE_AFTER_DAYS, age_days};
use crate::cost::answer::Answer;
use crate::report::escape::inert;

/// Answers a scenario.
pub(super) fn run(args: &BreakevenVerb) -> Result<Exit, CliError> {
    let asked = &args.scenario;
    if let Some(folder) = &asked.out {
        make_sure_of_room(&StudyFolder::new(folder.clone()))?;
    }
    let mut catalog = catalog_files::beside(&asked.scenario)?;
    let mut imported = Imported::AsLastResort;
    if args.user_prices {
        catalog = catalog_files::with_users(catalog)?;
        imported = Imported::Never;
    }
    let results = asked.results.as_deref();
    let answer = solve(&asked.scenario, results, &catalog, imported)?;
    say_doubts(&answer, host::today());
    if let Some(folder) = &asked.out {
        write_reports(&answer, folder)?;
        output::say(&format!("reports written to {}", folder.display()));
    }
    if asked.json {
        output::json(&answer)?;
    } else {
        output::data(&format!("{}\n", answer.verdict))?;
    }
    Ok(if asked.strict && !answer.warnings.is_empty() {
        Exit::NotValid
    } else {
        Exit::Success
    })
}

/// Every report of a folder's scenario by file name, from the bundled prices and a snapshot beside it.
pub(super) fn rendered(scenario: &Path) -> Result<Vec<(&'static str, String)>, CliError> {
    let catalog = catalog_files::beside(scenario)?;
    let answer = solve(scenario, None, &catalog, Imported::Never)?;
    Ok(reports_of(&answer))
}

/// Names of the generated files.
const NAMES: [&str; 3] = ["breakeven.md", "breakeven.html", CURVES];
/// The one of them with the curves.
const CURVES: &str = "breakeven.csv";
/// The first of its columns.
const FIRST_COLUMN: &str = "requests_per_month,";

fn reports_of(answer: &Answer) -> Vec<(&'static str, String)> {
    let texts = [
        crate::report::breakeven::to_markdown(answer),
        crate::report::breakeven::to_html(answer),
        crate::report::breakeven::to_csv(answer),
    ];
    NAMES.into_iter().zip(texts).collect()
}

/// Refuses a folder with somebody else's reports. Those of an earlier answer lie beside its scenario or,
/// where that is elsewhere, beside its curves.
fn make_sure_of_room(folder: &StudyFolder) -> Result<(), CliError> {
    let curves = std::fs::read(folder.generated(CURVES));
    let answered = curves.is_ok_and(|text| text.starts_with(FIRST_COLUMN.as_bytes()));
    if answered || folder.generated("scenario.toml").exists() {
        return Ok(());
    }
    make_sure_are_new(folder, &NAMES)
}

fn write_reports(answer: &Answer, folder: &Path) -> Result<(), CliError> {
    let study = StudyFolder::new(folder.to_owned());
    let write = || {
        study.create()?;
        for (name, text) in reports_of(answer) {
            write_whole(&study.generated(name), &text)?;
        }
        Ok(())
    };
    write().map_err(|failed: CliError| CliError {
        exit: Exit::Storage,
        error: failed.error.context("failed to write the reports"),
        hint: failed.hint,
    })
}

/// Says on stderr what should be doubted, and which prices are old today.
fn say_doubts(answer: &Answer, today: Date) {
    for warning in &answer.warnings {
        let told = inert(&warning.to_string());
        output::say(&format!("warning: {told} ({})", warning.code()));
        output::say(&format!("  hint: {}", inert(&warning.remedy())));
    }
    for told in old_prices(answer, today) {
        output::say(&format!("note: {}", inert(&told)));
    }
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
