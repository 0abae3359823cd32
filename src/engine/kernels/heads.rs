//! How attention is divided into heads.

/// Head counts and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct Heads {
    /// Query heads.
    pub(in crate::engine) query: usize,
    /// Key and value heads.
    pub(in crate::engine) kv: usize,
    /// Width of one head.
    pub(in crate::engine) width: usize,
}

impl Heads {
    /// Query heads that share one key-value head.
    pub(super) fn group(self) -> usize {
        self.query / self.kv
    }
}
