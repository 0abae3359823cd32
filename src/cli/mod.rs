//! The command line: one file per verb. Only here is anything printed.

mod args;
mod baseline;
pub mod breakeven;
mod catalog_files;
mod compare;
mod decide;
mod device;
mod doctor;
mod doctor_hub;
mod download;
mod examination;
mod exit;
mod folder;
mod host;
mod hub;
mod imatrix;
mod machine;
mod opening;
mod output;
mod plan;
mod plan_text;
mod prices;
mod prices_list;
mod pricing;
mod progress;
mod quality;
mod quantize;
#[cfg(test)]
mod readme;
mod reports;
mod rest;
mod run;
mod schema;
mod signals;
mod text;
mod verify;
mod watch;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;

use args::{Cli, Verb};
use exit::{CliError, Exit};

use crate::clock::Monotonic;
use crate::engine::worker;

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; clap knows where each goes.
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Success
            };
            return match error.print() {
                Ok(()) => exit.into(),
                Err(_) => Exit::Failure.into(),
            };
        }
    };
    match dispatch(cli.verb) {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::complain(&error);
            error.exit.into()
        }
    }
}

fn dispatch(verb: Verb) -> Result<Exit, CliError> {
    match verb {
        Verb::Run(args) => run::run(&args),
        Verb::Plan(args) => plan::run(&args),
        Verb::Report(args) => reports::run(&args),
        Verb::Verify(args) => verify::run(&args),
        Verb::Compare(args) => compare::run(&args),
        Verb::Quality(args) => quality::run(&args),
        Verb::Breakeven(args) => decide::run(&args),
        Verb::Prices(args) => prices::run(&args),
        Verb::Doctor(args) => doctor::run(&args),
        Verb::Quantize(args) => quantize::run(&args),
        Verb::Imatrix(args) => imatrix::run(&args),
        Verb::Schema(args) => schema::run(&args),
        Verb::Worker => std::process::exit(worker::serve(Arc::new(Monotonic))),
    }
}
