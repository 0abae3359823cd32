//! How a model is held while it is measured: its weights, and its keys and values.

use std::fmt;

use super::model::{CacheType, Precision};

/// A precision of the weights with a type of the KV cache: what one load holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variant {
    /// How the weights are held.
    pub precision: Precision,
    /// How keys and values are cached; where nothing is said, the engine chooses.
    pub kv: Option<CacheType>,
}

impl From<Precision> for Variant {
    /// The precision with the cache that the engine chooses for it.
    fn from(precision: Precision) -> Self {
        Self {
            precision,
            kv: None,
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kv {
            Some(kv) => write!(f, "{} kv {kv}", self.precision),
            None => self.precision.fmt(f),
        }
    }
}
