//! `mtok compare`: whether one run differs from another, by a test.

use std::path::PathBuf;

use clap::Args;

use super::baseline::BaselineName;
use super::examination::Examination;
use super::exit::{CliError, Exit};
use super::folder::StudyFolder;
use super::output;
use crate::metrics::comparison::{Change, Comparison, Settings};
use crate::metrics::facts::Facts;
use crate::report::comparison;

/// `mtok compare`
#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// The study to compare with and the study in question; with --baseline the latter alone.
    #[arg(value_names = ["BASE", "NEW"], num_args = 1..=2, required = true)]
    pub(super) folders: Vec<PathBuf>,
    /// Compare with the baseline of this name.
    #[arg(long, value_name = "NAME")]
    pub(super) baseline: Option<BaselineName>,
    /// Keep NEW as the baseline of this name; alone, nothing is compared.
    #[arg(long, value_name = "NAME")]
    pub(super) save_baseline: Option<BaselineName>,
    /// Change that nobody cares about, as a share.
    #[arg(long, value_name = "X", default_value_t = 0.01, value_parser = share)]
    pub(super) noise_threshold: f64,
    /// End with exit code 7 when NEW is slower, or failed where BASE measured.
    #[arg(long)]
    pub(super) fail_on_regression: bool,
    /// Print one JSON document and nothing else.
    #[arg(long)]
    pub(super) json: bool,
}

/// Prints the comparison, and keeps the new run as a baseline where that is wanted.
pub(super) fn run(args: &CompareArgs) -> Result<Exit, CliError> {
    let (base, new) = sides(args)?;
    let exit = match base {
        Some(base) => compare(args, &base, &new)?,
        None => Exit::Success,
    };
    if let Some(name) = &args.save_baseline {
        // Only what verifies is worth comparing with.
        Examination::of(&new)?.sound()?;
        let kept = name.save(&new)?;
        output::say(&format!("baseline {name}: {}", kept.record().display()));
    }
    Ok(exit)
}

/// What is compared with what; nothing where a baseline is only kept.
fn sides(args: &CompareArgs) -> Result<(Option<StudyFolder>, StudyFolder), CliError> {
    let folder = |path: &std::path::PathBuf| StudyFolder::new(path.clone());
    match (args.folders.as_slice(), &args.baseline) {
        ([base, new], None) => Ok((Some(folder(base)), folder(new))),
        ([new], Some(name)) => {
            let base = name.folder()?;
            if !base.record().exists() {
                let error =
                    anyhow::anyhow!("there is no baseline {name} ({})", base.root().display());
                return Err(CliError::new(Exit::Storage, error).hint(format!(
                    "keep one with mtok compare DIR --save-baseline {name}"
                )));
            }
            Ok((Some(base), folder(new)))
        }
        ([new], None) if args.save_baseline.is_some() => Ok((None, folder(new))),
        ([_], None) => Err(usage("BASE or --baseline is missing")),
        (_, Some(_)) => Err(usage("BASE and --baseline exclude each other")),
        (_, None) => Err(usage("BASE and NEW are two folders")),
    }
}

fn usage(message: &'static str) -> CliError {
    CliError::new(Exit::Usage, anyhow::anyhow!(message))
}

fn compare(args: &CompareArgs, base: &StudyFolder, new: &StudyFolder) -> Result<Exit, CliError> {
    let records = |folder| Ok::<_, CliError>(Examination::of(folder)?.sound()?.records);
    let (base, new) = (records(base)?, records(new)?);
    let facts = |records| Facts::new(records).map_err(|error| CliError::new(Exit::NotValid, error));
    let settings = Settings {
        noise_threshold: args.noise_threshold,
        ..Settings::default()
    };
    let compared = Comparison::new(&facts(&base)?, &facts(&new)?, settings);
    let text = if args.json {
        comparison::json(&compared)
    } else {
        comparison::text(&compared)
    };
    output::data(&text)?;
    if args.fail_on_regression && compared.has_nothing_in_common() {
        let error =
            anyhow::anyhow!("--fail-on-regression: the runs have no measured point in common");
        return Err(CliError::new(Exit::NotValid, error)
            .hint("measure the points of the base in the new run, or save another baseline"));
    }
    Ok(match compared.verdict() {
        Change::Slower | Change::Failed if args.fail_on_regression => Exit::Regression,
        Change::Slower
        | Change::Failed
        | Change::Faster
        | Change::Unchanged
        | Change::Inconclusive => Exit::Success,
    })
}

/// A share of at least 0 and below 1.
fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..1.0).contains(&share) => Ok(share),
        _ => Err("it must be at least 0 and below 1".to_owned()),
    }
}
