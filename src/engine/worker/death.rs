//! What a child process died of, in words that people search for.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::Signal;

use crate::record::observation::FailureKind;

/// What Rust's runtime says before it aborts for want of memory.
const ALLOCATION_FAILED: &str = "memory allocation of ";

/// Exit code of a Rust program whose main thread panicked.
const PANICKED: i32 = 101;

/// What a process died of. `starved` tells whether the kernel killed something for memory meanwhile.
pub(super) fn cause_of_death(
    status: ExitStatus,
    stderr: &[String],
    starved: bool,
) -> (FailureKind, String) {
    if let Some(number) = status.signal() {
        let name = signal_name(number);
        if let Some(line) = stderr.iter().find(|line| line.contains(ALLOCATION_FAILED)) {
            return (FailureKind::Oom, format!("{line} ({name})"));
        }
        if starved && number == Signal::KILL.as_raw() {
            let reason = format!("killed by the kernel for want of memory ({name})");
            return (FailureKind::Oom, reason);
        }
        return (FailureKind::Crashed, format!("worker died of {name}"));
    }
    match status.code() {
        Some(PANICKED) => {
            let at = stderr.iter().position(|line| line.contains("panicked at"));
            let message = at.and_then(|at| stderr.get(at + 1));
            let message = message.map_or(String::new(), |message| format!(": {message}"));
            (FailureKind::Crashed, format!("worker panicked{message}"))
        }
        Some(code) => (
            FailureKind::Crashed,
            format!("worker exited with code {code}"),
        ),
        None => (FailureKind::Crashed, format!("worker ended: {status}")),
    }
}

/// Signals that end processes, by the names that people search for.
const SIGNALS: [(Signal, &str); 13] = [
    (Signal::HUP, "SIGHUP"),
    (Signal::INT, "SIGINT"),
    (Signal::QUIT, "SIGQUIT"),
    (Signal::ILL, "SIGILL"),
    (Signal::ABORT, "SIGABRT"),
    (Signal::BUS, "SIGBUS"),
    (Signal::FPE, "SIGFPE"),
    (Signal::KILL, "SIGKILL"),
    (Signal::SEGV, "SIGSEGV"),
    (Signal::TERM, "SIGTERM"),
    (Signal::SYS, "SIGSYS"),
    (Signal::XCPU, "SIGXCPU"),
    (Signal::XFSZ, "SIGXFSZ"),
];

fn signal_name(number: i32) -> String {
    let named = SIGNALS.iter().find(|(signal, _)| signal.as_raw() == number);
    named.map_or_else(
        || format!("signal {number}"),
        |(_, name)| (*name).to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn dies(raw_status: i32, stderr: &str, starved: bool, expected: (FailureKind, &str)) {
        let stderr: Vec<String> = stderr.lines().map(str::to_owned).collect();
        let (kind, reason) = cause_of_death(ExitStatus::from_raw(raw_status), &stderr, starved);
        assert_eq!((kind, reason.as_str()), expected);
    }

    #[test]
    fn the_cause_of_death_is_named() {
        use FailureKind::{Crashed, Oom};
        dies(11, "", false, (Crashed, "worker died of SIGSEGV"));
        dies(9, "", false, (Crashed, "worker died of SIGKILL"));
        let starved = "killed by the kernel for want of memory (SIGKILL)";
        dies(9, "", true, (Oom, starved));
        dies(11, "", true, (Crashed, "worker died of SIGSEGV"));
        let allocation = "memory allocation of 99 bytes failed";
        dies(
            6,
            allocation,
            false,
            (Oom, "memory allocation of 99 bytes failed (SIGABRT)"),
        );
        dies(3 << 8, "", false, (Crashed, "worker exited with code 3"));
        let panic = "\nthread 'main' panicked at src/x.rs:1:2:\nno such thing\n";
        dies(
            101 << 8,
            panic,
            false,
            (Crashed, "worker panicked: no such thing"),
        );
    }
}
