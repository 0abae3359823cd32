//! `mtok schema`: the shape of what the program reads and writes.

use clap::Args;
use schemars::schema_for;

use super::exit::{CliError, Exit};
use super::output;
use crate::cost::scenario;
use crate::record::observation::Record;
use crate::study::file::StudyFile;

/// `mtok schema`
#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// Of what.
    #[arg(value_enum)]
    pub(super) of: SchemaOf,
}

/// What has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum SchemaOf {
    /// `study.toml`
    Study,
    /// A break-even scenario.
    Scenario,
    /// `run.jsonl`
    Record,
}

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
