//! Writing the reports of a study from its facts, and `mtok report`.

use super::args::{ReportArgs, StudyArgs};
use super::examination::{Asked, Examination, conclude};
use super::exit::{CliError, Exit};
use super::folder::{StudyFolder, write_whole};
use super::{decide, host, output};
use crate::report::document::Document;
use crate::report::{csv, html, json, markdown, terminal};

/// Reads the facts back from the disk, writes the reports and prints what follows.
///
/// What was just measured is told even where something is wrong with it: it was paid for.
pub(super) fn tell(folder: &StudyFolder, args: &StudyArgs) -> Result<Document, CliError> {
    let seen = Examination::of(folder)?;
    seen.warn();
    let concluded = seen
        .document
        .map_or_else(|| conclude(&seen.records, None), Ok)?;
    write_all(folder, &rendered(&concluded))?;
    let document = conclude(&seen.records, Some(host::today()))?;
    if args.json {
        output::data(&json::render(&document))?;
    } else {
        output::data(&terminal::render(&document))?;
        let report = folder.generated("report.md");
        output::data(&format!("\nreport: {}\n", report.display()))?;
    }
    Ok(document)
}

/// Names of the generated files.
pub(super) const NAMES: [&str; 3] = ["report.md", "report.html", "points.csv"];

/// A generated file: its name and its text.
type Report = (&'static str, String);

/// Every report of a study.
fn rendered(document: &Document) -> Vec<Report> {
    let texts = [
        markdown::render(document),
        html::render(document),
        csv::render(document),
    ];
    NAMES.into_iter().zip(texts).collect()
}

fn write_all(folder: &StudyFolder, reports: &[Report]) -> Result<(), CliError> {
    for (name, text) in reports {
        write_whole(&folder.generated(name), text)?;
    }
    Ok(())
}

/// Writes, checks or prints the reports of a study or of a scenario.
pub(super) fn run(args: &ReportArgs) -> Result<Exit, CliError> {
    let folder = StudyFolder::new(args.folder.clone());
    let asked = Asked {
        questions: args.questions.questions(),
        price: args.price.price(),
    };
    let scenario = folder.generated("scenario.toml");
    let reports = if scenario.exists() && !folder.record().exists() {
        refuse_questions(&asked, "a scenario has no points")?;
        if args.json {
            let error = anyhow::anyhow!("--json: {} holds a scenario", folder.root().display());
            let hint = format!("mtok breakeven {} --json", scenario.display());
            return Err(CliError::new(Exit::Usage, error).hint(hint));
        }
        decide::rendered(&scenario)?
    } else {
        let sound = Examination::of(&folder)?.sound()?;
        if args.json || !asked.is_nothing() {
            if args.check {
                refuse_questions(&asked, "files answer the study's own")?;
            }
            return print(args, &asked.answered(sound.records, host::today())?);
        }
        let reports = rendered(&sound.document);
        // The process is about to end: giving back millions of small pieces first would take a tenth of its time.
        std::mem::forget(sound);
        reports
    };
    if args.check {
        return Ok(check(&folder, &reports));
    }
    write_all(&folder, &reports)?;
    for (name, _) in &reports {
        output::data(&format!("{}\n", folder.generated(name).display()))?;
    }
    Ok(Exit::Success)
}

/// Refuses questions where nothing would answer them.
fn refuse_questions(asked: &Asked, why: &str) -> Result<(), CliError> {
    if asked.is_nothing() {
        return Ok(());
    }
    let error = anyhow::anyhow!(
        "--max-ttft-ms, --max-tpot-ms, --utilization and flags of the price: {why}"
    );
    Err(CliError::new(Exit::Usage, error))
}

/// Prints a document, or the answers to the questions that the flags ask. No file is written: files are
/// what the record says and nothing else.
fn print(args: &ReportArgs, document: &Document) -> Result<Exit, CliError> {
    if args.json {
        output::data(&json::render(document))?;
    } else {
        output::data(&terminal::answers(document))?;
    }
    Ok(Exit::Success)
}

/// Names every report that is not what the facts say.
fn check(folder: &StudyFolder, reports: &[Report]) -> Exit {
    let mut exit = Exit::Success;
    for (name, text) in reports {
        let path = folder.generated(name);
        if std::fs::read_to_string(&path).ok().as_deref() != Some(text.as_str()) {
            exit = Exit::Failure;
            output::say(&format!(
                "{}: differs from what the facts say; mtok report {} writes it again",
                path.display(),
                folder.root().display()
            ));
        }
    }
    exit
}
