//! XID errors: what the kernel driver reports when something on the card goes wrong.
//!
//! What each number means and what it asks for is from NVIDIA's catalog,
//! <https://docs.nvidia.com/deploy/xid-errors/>, and for the errors of memory from
//! <https://docs.nvidia.com/deploy/a100-gpu-mem-error-mgmt/>, both as of 2026-11.

/// What an XID error means for a run. Each one is a doubt about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The card cannot be trusted until it is reset: nothing more is tried on it.
    EndsCard,
    /// A program failed; the card is well.
    EndsProcess,
    /// The card goes on, and so does what runs on it.
    Note,
}

/// One XID number.
struct Known {
    number: u64,
    severity: Severity,
    meaning: &'static str,
}

const fn known(number: u64, severity: Severity, meaning: &'static str) -> Known {
    Known {
        number,
        severity,
        meaning,
    }
}

/// What is known of the numbers that a run on a card may meet.
///
/// Memory that fails shows in several. 48 is the error itself. 63 says that its row or page is going to be
/// replaced at the next reset: nothing else ends by that, until whenever a reset suits. 64 says that not even that
/// could be written down. 94 and 95 say whether the error could be kept to the program that met it. A program may
/// go on beside a contained one, but a number from a card with such memory is worth nothing.
const KNOWN: [Known; 14] = {
    use Severity::{EndsCard, EndsProcess, Note};
    [
        known(13, EndsProcess, "graphics engine exception"),
        known(31, EndsProcess, "memory page fault of a program"),
        known(43, EndsProcess, "a program stopped on the card"),
        known(45, EndsProcess, "a program was cleaned up early"),
        known(46, EndsCard, "the card stopped processing"),
        known(48, EndsCard, "double-bit memory error"),
        known(63, Note, "a memory row or page is going to be replaced"),
        known(64, EndsCard, "replacing a memory row or page failed"),
        known(74, EndsCard, "NVLink error"),
        known(79, EndsCard, "the card has fallen off the bus"),
        known(94, EndsCard, "contained memory error"),
        known(95, EndsCard, "uncontained memory error"),
        known(119, EndsCard, "the GSP firmware timed out"),
        known(120, EndsCard, "the GSP firmware failed"),
    ]
};

/// What an XID error means for a run; a number that is not known is noted.
pub fn severity(xid: u64) -> Severity {
    find(xid).map_or(Severity::Note, |known| known.severity)
}

/// What one XID number means, in words.
pub fn meaning(xid: u64) -> &'static str {
    find(xid).map_or("an error without a name here", |known| known.meaning)
}

fn find(xid: u64) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.number == xid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn means(severity: Severity, numbers: &[u64]) {
        for number in numbers {
            assert_eq!(super::severity(*number), severity, "{number}");
        }
    }

    #[test]
    fn a_lost_card_differs_from_a_failed_program() {
        means(Severity::EndsCard, &[46, 48, 64, 74, 79, 94, 95, 119, 120]);
        means(Severity::EndsProcess, &[13, 31, 43, 45]);
    }

    #[test]
    fn a_row_that_will_be_replaced_ends_nothing_and_a_failure_to_do_so_ends_the_card() {
        means(Severity::Note, &[63, 999]);
        means(Severity::EndsCard, &[64]);
    }

    #[test]
    fn each_number_is_in_the_table_once_and_in_order() {
        assert!(KNOWN.is_sorted_by(|a, b| a.number < b.number));
    }
}
