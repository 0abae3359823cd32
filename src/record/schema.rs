//! Versions of the record and what each may contain.

/// The version that this program writes. It reads this one and all before it.
pub const VERSION: u32 = 1;
