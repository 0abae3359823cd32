//! Versions of the record and what each may contain.

/// The version that this program writes. It reads this one and all before it.
///
/// 1: the first. 2: `session` says what prompts were made of.
pub const VERSION: u32 = 2;
