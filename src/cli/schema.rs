//! `mtok schema`: the shape of what the program reads and writes.

use schemars::schema_for;

use super::args::{SchemaArgs, SchemaOf};
use super::exit::{CliError, Exit};
use super::output;
use crate::cost::scenario;
use crate::record::observation::Record;
use crate::study::spec::StudyFile;

/// Prints one schema.
pub(super) fn run(args: &SchemaArgs) -> Result<Exit, CliError> {
    let schema = match args.of {
        SchemaOf::Study => schema_for!(StudyFile),
        SchemaOf::Scenario => scenario::schema(),
        SchemaOf::Record => schema_for!(Record),
    };
    output::json(&schema)?;
    Ok(Exit::Success)
}
