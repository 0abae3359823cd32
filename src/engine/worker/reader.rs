//! Reading tokenizers, templates and texts in a process of its own, with bounds on time and memory.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::{Processes, Unescorted, WorkerCommand, WorkerError};
use crate::clock::Clock;
use crate::engine::text::{self, ReadOrder, TextSeen};
use crate::units::Seconds;

/// Longest that reading may take: the largest tokenizers in use take a few seconds on a slow machine.
const PATIENCE: Seconds = Seconds::new(60.0);
/// Memory that reading may take: the largest tokenizers in use take about 1 GB while they are parsed.
const MEMORY: u64 = 4 << 30;

/// Starts the process that reads.
pub struct TextReader {
    /// What to start.
    pub command: WorkerCommand,
    /// How long it may take, unless that is longer than a minute.
    pub patience: Seconds,
    /// The machine's clock.
    pub clock: Arc<dyn Clock>,
    /// Signals received so far.
    pub interrupt: Arc<AtomicUsize>,
}

impl TextReader {
    /// Checks a tokenizer and reads texts. The process is gone afterwards.
    pub fn read(self, order: &ReadOrder) -> Result<TextSeen, WorkerError> {
        let processes = Processes {
            command: self.command,
            no_progress_timeout: if self.patience < PATIENCE {
                self.patience
            } else {
                PATIENCE
            },
            clock: self.clock,
            interrupt: self.interrupt,
            escort: Arc::new(Unescorted),
        };
        processes.start()?.read_text(order)
    }
}

/// The child's side. The bound on memory stays: the process does nothing else afterwards.
pub(super) fn read(order: &ReadOrder) -> Result<TextSeen, WorkerError> {
    let bound = Rlimit {
        current: Some(MEMORY),
        maximum: Some(MEMORY),
    };
    // Refused only where a lower bound is in force already.
    let _ = setrlimit(Resource::Data, bound);
    Ok(text::read(order)?)
}
