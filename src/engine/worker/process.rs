//! The parent's side: a child process that answers, falls silent or dies.

mod requests;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::command::WorkerCommand;
use super::death::cause_of_death;
use super::meter;
use super::protocol::{Reply, Request};
use super::stderr::StderrTail;
use super::{Escort, Launcher, Loss, Refusal, Worker, WorkerError};
use crate::clock::Clock;
use crate::engine::text::passages::Passages;
use crate::record::observation::FailureKind;
use crate::units::{Nanos, Seconds};

/// How long a block may go on after the first signal.
const DRAIN: Seconds = Seconds::new(10.0);

/// How long a worker has between being asked to end and being killed.
const GRACE: Seconds = Seconds::new(5.0);

/// How often a silent worker and the signals are looked after.
const LOOK: Duration = Duration::from_secs(1);

/// Starts child processes as workers.
///
/// Has to be used from the main thread: a child dies with the thread that started it.
pub struct Processes {
    /// What to start.
    pub command: WorkerCommand,
    /// How long the step counter may stand still.
    pub no_progress_timeout: Seconds,
    /// The machine's clock.
    pub clock: Arc<dyn Clock>,
    /// Signals received so far: after the first a request has ten seconds to end, after the second none.
    pub interrupt: Arc<AtomicUsize>,
    /// What knows the device.
    pub escort: Arc<dyn Escort>,
}

impl Launcher for Processes {
    fn launch(&mut self) -> Result<Box<dyn Worker>, WorkerError> {
        self.permit()?;
        Ok(Box::new(self.start()?))
    }
}

/// Starts child processes that cut their prompts from texts.
pub struct Prompted {
    /// What starts them.
    pub processes: Processes,
    /// The texts; prompts are random ids without them.
    pub passages: Option<Passages>,
}

impl Launcher for Prompted {
    fn launch(&mut self) -> Result<Box<dyn Worker>, WorkerError> {
        self.processes.permit()?;
        let mut process = self.processes.start()?;
        if let Some(passages) = &self.passages {
            process.hand_over(passages)?;
        }
        Ok(Box::new(process))
    }
}

impl Processes {
    /// Nothing is started on a card that was lost.
    fn permit(&self) -> Result<(), WorkerError> {
        match self.escort.lost() {
            Some(cause) => Err(WorkerError::CardLost { cause }),
            None => Ok(()),
        }
    }

    /// Starts a child.
    pub fn start(&self) -> Result<Process, WorkerError> {
        let failed = |error: &dyn std::fmt::Display| {
            WorkerError::Lost(Loss {
                kind: FailureKind::Crashed,
                reason: format!("{} did not start: {error}", self.command.program()),
                stderr: Vec::new(),
            })
        };
        let mut child = self
            .command
            .command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| failed(&error))?;
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(requests), Some(stdout), Some(stderr)) = streams else {
            return Err(failed(&"its standard streams are missing"));
        };
        self.escort.accompany(Some(child.id()));
        Ok(Process {
            child,
            requests,
            replies: follow(stdout),
            stderr: StderrTail::follow(stderr),
            no_progress_timeout: self.no_progress_timeout,
            clock: Arc::clone(&self.clock),
            interrupt: Arc::clone(&self.interrupt),
            kills_before: meter::out_of_memory_kills(),
            escort: Arc::clone(&self.escort),
        })
    }
}

/// Hands on what the child says, until it says no more. Lines that are no replies come from libraries
/// that print, and are passed over.
fn follow(stdout: impl Read + Send + 'static) -> Receiver<Reply> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { return };
            let Ok(reply) = serde_json::from_str(&line) else {
                continue;
            };
            if sender.send(reply).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A worker in a child process. Dropping it kills the process.
pub struct Process {
    child: Child,
    requests: ChildStdin,
    replies: Receiver<Reply>,
    stderr: StderrTail,
    no_progress_timeout: Seconds,
    clock: Arc<dyn Clock>,
    interrupt: Arc<AtomicUsize>,
    kills_before: Option<u64>,
    escort: Arc<dyn Escort>,
}

/// What is known while an answer is awaited.
struct Wait {
    steps: Option<u64>,
    last_step: Nanos,
    first_signal: Option<Nanos>,
}

impl Process {
    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a request and waits for its answer.
    fn ask(&mut self, request: &Request) -> Result<Reply, WorkerError> {
        let mut line = serde_json::to_string(request).map_err(|error| self.confused(&error))?;
        line.push('\n');
        if self.requests.write_all(line.as_bytes()).is_err() {
            return Err(self.bury());
        }
        let mut wait = Wait {
            steps: None,
            last_step: self.clock.now(),
            first_signal: None,
        };
        loop {
            match self.replies.recv_timeout(LOOK) {
                Ok(Reply::Progress(steps)) => {
                    if wait.steps.replace(steps) != Some(steps) {
                        wait.last_step = self.clock.now();
                    }
                }
                Ok(reply) => {
                    // What a worker says from a card that is lost by then counts for nothing.
                    self.make_sure_of_card()?;
                    return match reply {
                        Reply::Refused(refusal) => Err(self.refused(refusal)),
                        reply => Ok(reply),
                    };
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(self.bury()),
            }
            self.look_after(&mut wait)?;
        }
    }

    /// What a worker says no for. Where it blames the device, that may be lost and nobody heard of it yet.
    fn refused(&mut self, refusal: Refusal) -> WorkerError {
        let cause = match &refusal {
            Refusal::Device { .. } => self.escort.lost_by_now(),
            Refusal::OutOfMemory { .. }
            | Refusal::Model { .. }
            | Refusal::Unsupported { .. }
            | Refusal::Storage { .. }
            | Refusal::Invalid { .. } => None,
        };
        let Some(cause) = cause else {
            return refusal.into();
        };
        self.kill();
        self.lost(FailureKind::Crashed, format!("{cause} ({refusal})"))
    }

    /// Ends the worker when its card is lost.
    fn make_sure_of_card(&mut self) -> Result<(), WorkerError> {
        let Some(reason) = self.escort.lost() else {
            return Ok(());
        };
        self.kill();
        Err(self.lost(FailureKind::Crashed, reason))
    }

    fn lost(&self, kind: FailureKind, reason: String) -> WorkerError {
        WorkerError::Lost(Loss {
            kind,
            reason,
            stderr: self.stderr.lines(),
        })
    }

    /// Ends the worker when it stands still or the user does not want to wait.
    fn look_after(&mut self, wait: &mut Wait) -> Result<(), WorkerError> {
        let now = self.clock.now();
        let still = now.since(wait.last_step).unwrap_or(Nanos::new(0)).seconds();
        if still >= self.no_progress_timeout {
            let reason = format!(
                "no progress for {:.0} s{}",
                self.no_progress_timeout.value(),
                wait.steps
                    .map_or(String::new(), |n| format!(" after step {n}")),
            );
            self.end();
            return Err(self.lost(FailureKind::Timeout, reason));
        }
        self.make_sure_of_card()?;
        let signals = self.interrupt.load(Ordering::Relaxed);
        if signals == 0 {
            return Ok(());
        }
        let first = *wait.first_signal.get_or_insert(now);
        let drained = now.since(first).unwrap_or(Nanos::new(0)).seconds() >= DRAIN;
        if drained || signals > 1 {
            self.kill();
            return Err(WorkerError::Interrupted);
        }
        Ok(())
    }

    /// Asks the whole group to end, and makes it.
    fn end(&mut self) {
        self.signal(Signal::TERM);
        let asked = self.clock.now();
        let patient = |now: Nanos| now.since(asked).is_some_and(|past| past.seconds() < GRACE);
        while patient(self.clock.now()) {
            if self.replies.recv_timeout(LOOK) == Err(RecvTimeoutError::Disconnected) {
                break;
            }
        }
        self.kill();
    }

    fn kill(&mut self) {
        self.signal(Signal::KILL);
        // Fails only for a child that was waited for already.
        let _ = self.child.wait();
    }

    /// Signals the group, as long as the child was not waited for and its number is its own.
    fn signal(&mut self, signal: Signal) {
        if let Ok(None) = self.child.try_wait()
            && let Some(group) = Pid::from_raw(self.child.id().cast_signed())
        {
            // Fails only if the group is gone.
            let _ = kill_process_group(group, signal);
        }
    }

    /// What a child that says no more died of: its card, where that is lost by then, for a card takes the worker
    /// along before a reading tells of it.
    fn bury(&mut self) -> WorkerError {
        let status = self.child.wait();
        let stderr = self.stderr.lines();
        let kills = self.kills_before.zip(meter::out_of_memory_kills());
        let starved = kills.is_some_and(|(before, now)| now > before);
        let (kind, reason) = match status {
            Ok(status) => cause_of_death(status, &stderr, starved),
            Err(error) => (FailureKind::Crashed, format!("the worker is lost: {error}")),
        };
        if let Some(cause) = self.escort.lost_by_now() {
            return self.lost(FailureKind::Crashed, format!("{cause} ({reason})"));
        }
        WorkerError::Lost(Loss {
            kind,
            reason,
            stderr,
        })
    }

    /// An answer that does not belong to its question.
    fn confused(&mut self, detail: &dyn std::fmt::Display) -> WorkerError {
        self.kill();
        WorkerError::Lost(Loss {
            kind: FailureKind::Crashed,
            reason: format!("parent and worker do not understand each other: {detail}"),
            stderr: self.stderr.lines(),
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        self.escort.accompany(None);
    }
}
