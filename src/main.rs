//! Parse, dispatch, one error line, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    mtok::cli::main()
}
