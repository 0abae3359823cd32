//! `mtok compare`: whether one run differs from another, by a test.

use super::args::CompareArgs;
use super::exit::{CliError, Exit};
use super::folder::StudyFolder;
use super::output;
use crate::metrics::comparison::{Change, Comparison, Settings};
use crate::metrics::facts::Facts;
use crate::record::observation::Record;
use crate::record::store;
use crate::report::comparison;

/// Prints the comparison.
pub(super) fn run(args: &CompareArgs) -> Result<Exit, CliError> {
    let read = |folder: &std::path::Path| -> Result<Vec<Record>, CliError> {
        Ok(store::read(&StudyFolder::new(folder.to_owned()).record())?)
    };
    let (base, new) = (read(&args.base)?, read(&args.new)?);
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
    Ok(match compared.verdict() {
        Change::Slower if args.fail_on_regression => Exit::Regression,
        Change::Slower | Change::Faster | Change::Unchanged | Change::Inconclusive => Exit::Success,
    })
}
