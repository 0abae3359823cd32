//! Ctrl-C, termination and a terminal that is closed: the first signal seals the run, the second ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::exit::{CliError, Exit};

/// Signals received so far.
#[derive(Debug, Clone)]
pub(super) struct Interrupts {
    /// How many.
    pub(super) count: Arc<AtomicUsize>,
    last: Arc<AtomicI32>,
}

impl Interrupts {
    /// Listens from now on. The second signal ends the process from here: every record is on disk
    /// before the next is measured, and a worker dies with its parent.
    pub(super) fn listen() -> Result<Self, CliError> {
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])
            .map_err(|error| CliError::new(Exit::Failure, error))?;
        let interrupts = Self {
            count: Arc::default(),
            last: Arc::default(),
        };
        let seen = interrupts.clone();
        std::thread::spawn(move || {
            for signal in signals.forever() {
                seen.last.store(signal, Ordering::Relaxed);
                if seen.count.fetch_add(1, Ordering::Relaxed) > 0 {
                    std::process::exit(seen.exit() as i32);
                }
            }
        });
        Ok(interrupts)
    }

    /// An error with the exit code of the signal, where it comes from one.
    pub(super) fn name(&self, error: CliError) -> CliError {
        if error.exit == Exit::Interrupted {
            CliError {
                exit: self.exit(),
                ..error
            }
        } else {
            error
        }
    }

    /// The exit code of a run that a signal ended.
    pub(super) fn exit(&self) -> Exit {
        match self.last.load(Ordering::Relaxed) {
            // A terminal that is closed asks for an end like one that is sent.
            SIGHUP | SIGTERM => Exit::Terminated,
            _ => Exit::Interrupted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_ends_with_the_code_of_its_signal() {
        let exit_after = |signal: i32, exit: Exit| {
            let interrupts = Interrupts {
                count: Arc::default(),
                last: Arc::new(AtomicI32::new(signal)),
            };
            let error = CliError::new(exit, anyhow::anyhow!("interrupted"));
            interrupts.name(error).exit
        };
        assert_eq!(exit_after(SIGINT, Exit::Interrupted), Exit::Interrupted);
        assert_eq!(exit_after(SIGTERM, Exit::Interrupted), Exit::Terminated);
        assert_eq!(exit_after(SIGHUP, Exit::Interrupted), Exit::Terminated);
        assert_eq!(exit_after(SIGTERM, Exit::Device), Exit::Device);
    }
}
