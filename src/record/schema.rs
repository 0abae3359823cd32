//! Versions of the record and what each may contain.

/// The version that this program writes. It reads this one and all before it.
///
/// A field that may be absent does not change the version: an older program passes over it, and a
/// newer one finds it missing in older records.
pub const VERSION: u32 = 1;
