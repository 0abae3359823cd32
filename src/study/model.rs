//! Which model, of which shape, at which precision, through which engine, on which device.

mod cache;
mod precision;
mod shape;
mod slot;
mod source;

pub use cache::CacheType;
pub use precision::{Block, Numbers, Precision};
pub use shape::{Family, ModelCard, RopeScaling, Shape, WeightSize};
pub(crate) use slot::{Dims, Part, Slot};
pub use source::{DeviceChoice, EngineKind, ModelSource};

/// A word that is none of the choices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{value}` is not known; expected {expected}")]
pub struct ParseError {
    /// What was being read.
    pub what: &'static str,
    /// What stood there.
    pub value: String,
    /// What may stand there.
    pub expected: String,
}
