//! The executable.

use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("worker") => {
            let code = mtok::engine::worker::serve(Arc::new(mtok::clock::Monotonic));
            ExitCode::from(u8::try_from(code).unwrap_or(1))
        }
        Some(_) | None => ExitCode::from(2),
    }
}
