//! Writing the reports of a study from its facts, and `mtok report`.

use super::args::{ReportArgs, StudyArgs};
use super::exit::{CliError, Exit};
use super::folder::{StudyFolder, write_whole};
use super::pricing;
use super::{decide, host, output};
use crate::catalog::Catalog;
use crate::record::machine::Device;
use crate::record::observation::{Record, Session};
use crate::record::store;
use crate::report::document::{Document, Inputs};
use crate::report::{csv, html, json, markdown, terminal};
use crate::study::questions::Questions;

/// The last session of a record and the device it ran on.
pub(super) fn identity(records: &[Record]) -> (Option<&Session>, Option<&Device>) {
    let mut last = (None, None);
    for record in records {
        if let Record::Session(session) = record {
            last.0 = Some(session.as_ref());
        } else if let Record::Device(device) = record {
            last.1 = Some(device.as_ref());
        }
    }
    last
}

/// Concludes what a record says, with prices of the bundled catalog aged against `date`, or against
/// the date of the run where none is given.
pub(super) fn conclude(
    records: &[Record],
    date: Option<jiff::civil::Date>,
) -> Result<Document, CliError> {
    answer(records, date, Questions::default())
}

/// The same, with answers to `asked` where the study asks otherwise.
fn answer(
    records: &[Record],
    date: Option<jiff::civil::Date>,
    asked: Questions,
) -> Result<Document, CliError> {
    let (session, device) = identity(records);
    let session = session.ok_or_else(|| {
        CliError::new(
            Exit::NotValid,
            anyhow::anyhow!("the record holds no session"),
        )
    })?;
    let priced = pricing::look_up(&session.study.price, device, &Catalog::bundled())?;
    let inputs = Inputs {
        records,
        price: priced.price.as_ref(),
        sheet: priced.sheet.as_ref(),
        date: date.unwrap_or(session.run_date),
        questions: &session.study.report.clone().overlaid(asked),
    };
    Document::new(&inputs).map_err(|error| CliError::new(Exit::NotValid, error))
}

/// Reads the facts back from the disk, writes the reports and prints what follows.
pub(super) fn tell(folder: &StudyFolder, args: &StudyArgs) -> Result<Document, CliError> {
    let records = store::read(&folder.record())?;
    write(folder, &records)?;
    let document = conclude(&records, Some(host::today()))?;
    if args.json {
        output::data(&json::render(&document))?;
    } else {
        output::data(&terminal::render(&document))?;
        let report = folder.generated("report.md");
        output::data(&format!("\nreport: {}\n", report.display()))?;
    }
    Ok(document)
}

/// A generated file: its name and its text.
type Report = (&'static str, String);

/// Every report of a study.
fn rendered(document: &Document) -> Vec<Report> {
    vec![
        ("report.md", markdown::render(document)),
        ("report.html", html::render(document)),
        ("points.csv", csv::render(document)),
    ]
}

/// Writes the reports of a record into its folder.
pub(super) fn write(folder: &StudyFolder, records: &[Record]) -> Result<(), CliError> {
    write_all(folder, &rendered(&conclude(records, None)?))
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
    let asked = args.questions.questions();
    let scenario = folder.generated("scenario.toml");
    let reports = if scenario.exists() && !folder.record().exists() {
        refuse_questions(&asked, "a scenario has no points")?;
        decide::rendered(&scenario)?
    } else {
        let records = store::read(&folder.record())?;
        if args.json || !asked.is_usual() {
            if args.check {
                refuse_questions(&asked, "files answer the study's own")?;
            }
            return print(args, &answer(&records, Some(host::today()), asked)?);
        }
        let reports = rendered(&conclude(&records, None)?);
        // The process is about to end: giving back millions of small pieces first would take a tenth of its time.
        std::mem::forget(records);
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
fn refuse_questions(asked: &Questions, why: &str) -> Result<(), CliError> {
    if asked.is_usual() {
        return Ok(());
    }
    let error = anyhow::anyhow!("--max-ttft-ms, --max-tpot-ms and --utilization: {why}");
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
