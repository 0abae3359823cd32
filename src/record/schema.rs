//! Versions of the record and what each may contain.

/// The version that this program writes. It reads this one and all before it.
///
/// A field that may be absent does not change the version: an older program passes over it, and a
/// newer one finds it missing in older records. A new kind of record does:
///
/// - 1: the first.
/// - 2: adds `scoring`, `window` and `unscored`. A file of version 1 holds none of them and reads as
///   before; a reader of version 1 refuses one of version 2 by its number.
pub const VERSION: u32 = 2;
