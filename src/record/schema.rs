//! Versions of the record and what each may contain.

/// The version that this program writes. It reads this one and all before it.
///
/// A field that may be absent does not change the version: an older program passes over it, and a
/// newer one finds it missing in older records. A new kind of record does:
///
/// - 1: the first.
/// - 2: adds `scoring`, `window` and `unscored`. A file of version 1 holds none of them and reads as
///   before; a reader of version 1 refuses one of version 2 by its number.
/// - 3: a point may have a type of the KV cache, which is part of its identity. Points of older files
///   have none, as new ones where the study says nothing. A reader of version 2 would refuse such a
///   point without saying why, and refuses a file of version 3 by its number.
pub const VERSION: u32 = 3;
