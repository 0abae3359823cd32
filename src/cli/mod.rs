//! The command line: one file per verb. Only here is anything printed.

mod args;
mod doctor;
mod exit;
mod folder;
mod host;
mod output;
mod schema;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Verb};
use exit::{CliError, Exit};

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
        Verb::Doctor(args) => doctor::run(&args),
        Verb::Schema(args) => schema::run(&args),
        Verb::Run(_) | Verb::Plan(_) | Verb::Report(_) | Verb::Verify(_) | Verb::Worker => {
            unreachable!()
        }
    }
}
