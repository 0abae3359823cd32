//! How the quantized weights of a load came about.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Nanos;

/// How the quantized weights of a load came about.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Quantizing {
    /// They were read from the file that an earlier load kept.
    Kept,
    /// They were quantized from a checkpoint while the model was loaded.
    Done {
        /// Time that it took on all cores, with writing the file where it is kept.
        duration_ns: Nanos,
    },
}
