//! Versions of the record and what each may contain.

/// The version that this program writes. It reads this one and all before it.
///
/// - 1: the first.
/// - 2: adds the records `scoring`, `window` and `unscored`, and `quality` to the study. A file of
///   version 1 holds none of them and reads as before; a reader of version 1 refuses one of version 2 by
///   its number.
pub const VERSION: u32 = 2;
