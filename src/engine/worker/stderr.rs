//! The last lines that a worker wrote to its standard error.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc;
use std::time::Duration;

/// Lines kept.
const LINES: usize = 20;

/// Characters kept of a line; a backtrace of a generic type may be endless.
const CHARACTERS: usize = 400;

/// How long to wait for the end of the stream of a process that is gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// A thread that reads the stream to its end.
#[derive(Debug)]
pub(super) struct StderrTail(mpsc::Receiver<Vec<String>>);

impl StderrTail {
    /// Begins to read.
    pub(super) fn follow(stream: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || sender.send(tail(BufReader::new(stream))));
        Self(receiver)
    }

    /// The last lines, once the process is gone; empty if something else holds the stream open.
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.recv_timeout(PATIENCE).unwrap_or_default()
    }
}

fn tail(mut stream: impl BufRead) -> Vec<String> {
    let mut lines = VecDeque::with_capacity(LINES);
    let mut bytes = Vec::new();
    while let Ok(1..) = stream.read_until(b'\n', &mut bytes) {
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(printable(&String::from_utf8_lossy(&bytes)));
        bytes.clear();
    }
    lines.into()
}

/// A line without its end and without characters that steer a terminal.
fn printable(line: &str) -> String {
    line.trim_end()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(CHARACTERS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_twenty_lines_are_kept_without_control_characters() {
        let text: Vec<String> = (1..=30).map(|n| format!("line {n}\u{1b}[31m")).collect();
        let lines = tail(text.join("\n").as_bytes());
        assert_eq!(lines.len(), LINES);
        assert_eq!(lines[0], "line 11 [31m");
        assert_eq!(lines[19], "line 30 [31m");
    }
}
