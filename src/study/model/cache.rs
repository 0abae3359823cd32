//! How keys and values are cached.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ParseError, Precision};

/// How keys and values are cached.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CacheType {
    /// 32-bit floating point.
    F32,
    /// IEEE half.
    F16,
    /// bfloat16.
    Bf16,
    /// 8-bit blocks of 32 with one scale.
    #[serde(rename = "q8_0")]
    Q8_0,
}

impl CacheType {
    /// Every type, in the order of documentation.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Bf16, Self::Q8_0];

    /// The same type of weights, whose words and blocks it shares.
    pub const fn precision(self) -> Precision {
        match self {
            Self::F32 => Precision::F32,
            Self::F16 => Precision::F16,
            Self::Bf16 => Precision::Bf16,
            Self::Q8_0 => Precision::Q8_0,
        }
    }

    /// Bytes of this many cached numbers: 34 for 32 of them in q8_0.
    ///
    /// ```
    /// assert_eq!(mtok::study::model::CacheType::Q8_0.bytes(64), 68);
    /// ```
    pub fn bytes(self, numbers: u64) -> u64 {
        let (length, bytes) = match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q8_0 => (32, 34),
        };
        numbers.div_ceil(length) * bytes
    }
}

impl fmt::Display for CacheType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.precision().word())
    }
}

impl FromStr for CacheType {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.precision().word() == text)
            .ok_or_else(|| ParseError {
                what: "type of the KV cache",
                value: text.to_owned(),
                expected: Self::ALL.map(|kind| kind.precision().word()).join(", "),
            })
    }
}
