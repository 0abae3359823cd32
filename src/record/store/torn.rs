//! Lines that are no records, until what follows them tells whether crashes left them.

use super::line::Unreadable;
use super::lines::Line;

/// The lines after the last record that are no records themselves.
///
/// Crashes leave one each: the first tears a line, every further one the line that was to follow and to
/// name the bytes skipped. The next record names the bytes of all of them together.
#[derive(Default)]
pub(super) struct TornLines {
    lines: Vec<NoRecord>,
    /// From the first of them to the end of the last, without the line end of that.
    bytes: u64,
}

/// A line that is no record.
pub(super) struct NoRecord {
    /// Number of the line, from 1.
    pub(super) line: u64,
    /// What the parser says.
    pub(super) reason: String,
    /// Whether a crash may leave such a line at the end of a file.
    torn: bool,
}

impl TornLines {
    /// One more line that is no record.
    pub(super) fn push(&mut self, line: &Line, unreadable: &Unreadable) {
        let between = u64::from(!self.lines.is_empty());
        self.bytes += between + line.length;
        let (reason, torn) = match unreadable {
            Unreadable::NotARecord(reason) => (reason.clone(), false),
            Unreadable::Newer(schema) => (format!("schema {schema}"), false),
            Unreadable::Damaged(reason) => (reason.clone(), !line.terminated),
            Unreadable::Beginning(reason) => (reason.clone(), true),
        };
        self.lines.push(NoRecord {
            line: line.number,
            reason,
            torn,
        });
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// A record follows that names the bytes skipped: gives back the lines that this does not account for.
    pub(super) fn before_record(&mut self, skipped_bytes: Option<u64>) -> Vec<NoRecord> {
        let lines = std::mem::take(self);
        if skipped_bytes == Some(lines.bytes) {
            return Vec::new();
        }
        lines.lines
    }

    /// The file ends here: gives back the length of what crashes left, if anything, or the lines when one of
    /// them is nothing that a crash leaves.
    pub(super) fn at_end(&mut self) -> Result<Option<u64>, Vec<NoRecord>> {
        let lines = std::mem::take(self);
        if lines.lines.iter().any(|line| !line.torn) {
            return Err(lines.lines);
        }
        Ok((!lines.is_empty()).then_some(lines.bytes))
    }
}
