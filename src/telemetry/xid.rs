//! XID errors: what the kernel driver reports when something on the card goes wrong.

/// What an XID error means for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The card cannot be trusted until it is reset: nothing more is tried on it.
    EndsCard,
    /// A program failed; the card is well.
    EndsProcess,
    /// Worth knowing.
    Note,
}

/// What is known of one XID number. Source: NVIDIA's "XID Errors" catalog.
pub const fn severity(xid: u64) -> Severity {
    match xid {
        48 | 64 | 74 | 79 | 94 | 95 | 119 | 120 => Severity::EndsCard,
        13 | 31 | 43 | 45 => Severity::EndsProcess,
        _ => Severity::Note,
    }
}

/// What one XID number means, in words.
pub const fn meaning(xid: u64) -> &'static str {
    match xid {
        13 => "graphics engine exception",
        31 => "memory page fault of a program",
        43 => "a program stopped on the card",
        45 => "a program was cleaned up early",
        48 => "double-bit memory error",
        63 => "a memory row or page was retired",
        64 => "retiring a memory row or page failed",
        74 => "NVLink error",
        79 => "the card has fallen off the bus",
        94 => "contained memory error",
        95 => "uncontained memory error",
        119 => "the GSP firmware timed out",
        120 => "the GSP firmware failed",
        _ => "an error without a name here",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_card_differs_from_a_failed_program() {
        assert_eq!(severity(79), Severity::EndsCard);
        assert_eq!(severity(31), Severity::EndsProcess);
        assert_eq!(severity(63), Severity::Note);
    }
}
