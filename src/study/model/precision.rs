//! How weights are held, in GGML's words, and how many bytes that takes.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ParseError, WeightSize};

/// How weights are held: GGML's words in lower case.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// The checkpoint's own (f32 on a CPU when that is bf16).
    Native,
    /// 32-bit floating point.
    F32,
    /// IEEE half.
    F16,
    /// bfloat16.
    Bf16,
    /// 8-bit blocks of 32 with one scale.
    #[serde(rename = "q8_0")]
    Q8_0,
    /// 6-bit k-quant.
    #[serde(rename = "q6_k")]
    Q6K,
    /// 5-bit k-quant.
    #[serde(rename = "q5_k")]
    Q5K,
    /// 4-bit k-quant.
    #[serde(rename = "q4_k")]
    Q4K,
    /// 3-bit k-quant.
    #[serde(rename = "q3_k")]
    Q3K,
    /// 2-bit k-quant.
    #[serde(rename = "q2_k")]
    Q2K,
    /// 5-bit blocks of 32 with a scale and a minimum.
    #[serde(rename = "q5_1")]
    Q5_1,
    /// 5-bit blocks of 32 with one scale.
    #[serde(rename = "q5_0")]
    Q5_0,
    /// 4-bit blocks of 32 with a scale and a minimum.
    #[serde(rename = "q4_1")]
    Q4_1,
    /// 4-bit blocks of 32 with one scale.
    #[serde(rename = "q4_0")]
    Q4_0,
}

impl Precision {
    /// Every precision, in the order of documentation.
    pub const ALL: [Self; 14] = [
        Self::Native,
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Q8_0,
        Self::Q6K,
        Self::Q5K,
        Self::Q4K,
        Self::Q3K,
        Self::Q2K,
        Self::Q5_1,
        Self::Q5_0,
        Self::Q4_1,
        Self::Q4_0,
    ];

    /// The word in files and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8_0 => "q8_0",
            Self::Q6K => "q6_k",
            Self::Q5K => "q5_k",
            Self::Q4K => "q4_k",
            Self::Q3K => "q3_k",
            Self::Q2K => "q2_k",
            Self::Q5_1 => "q5_1",
            Self::Q5_0 => "q5_0",
            Self::Q4_1 => "q4_1",
            Self::Q4_0 => "q4_0",
        }
    }

    /// Block length and bytes per block, `None` for [`Precision::Native`], whose form the file fixes.
    ///
    /// Block layouts as in GGML; `bytes · 8 / length` is the bits per weight.
    pub const fn block(self) -> Option<Block> {
        let (length, bytes) = match self {
            Self::Native => return None,
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q8_0 => (32, 34),
            Self::Q6K => (256, 210),
            Self::Q5K => (256, 176),
            Self::Q4K => (256, 144),
            Self::Q3K => (256, 110),
            Self::Q2K => (256, 84),
            Self::Q5_1 => (32, 24),
            Self::Q5_0 => (32, 22),
            Self::Q4_1 => (32, 20),
            Self::Q4_0 => (32, 18),
        };
        Some(Block { length, bytes })
    }

    /// The precision used for a matrix whose rows this one does not divide.
    ///
    /// A k-quant needs rows that are a multiple of 256; the nearest 32-block type with at least as
    /// many bits steps in (as llama.cpp does), and F16 where not even 32 divides.
    #[must_use]
    pub fn for_columns(self, columns: u64) -> Self {
        let Some(block) = self.block() else {
            return self;
        };
        if columns.is_multiple_of(block.length) {
            return self;
        }
        let fallback = match self {
            Self::Q6K => Self::Q8_0,
            Self::Q5K => Self::Q5_1,
            Self::Q4K => Self::Q5_0,
            Self::Q3K | Self::Q2K => Self::Q4_0,
            Self::Native
            | Self::F32
            | Self::F16
            | Self::Bf16
            | Self::Q8_0
            | Self::Q5_1
            | Self::Q5_0
            | Self::Q4_1
            | Self::Q4_0 => Self::F16,
        };
        fallback.for_columns(columns)
    }

    /// Bytes of a matrix at this precision, with the fallback where rows do not divide; `None` for
    /// [`Precision::Native`].
    pub fn matrix_bytes(self, size: WeightSize) -> Option<u64> {
        let block = self.for_columns(size.columns).block()?;
        Some(size.rows * (size.columns / block.length) * block.bytes * size.count)
    }

    /// What numbers the weights are.
    pub const fn numbers(self) -> Numbers {
        match self {
            Self::Native => Numbers::Own,
            Self::F32 => Numbers::F32,
            Self::F16 => Numbers::F16,
            Self::Bf16 => Numbers::Bf16,
            Self::Q8_0
            | Self::Q6K
            | Self::Q5K
            | Self::Q4K
            | Self::Q3K
            | Self::Q2K
            | Self::Q5_1
            | Self::Q5_0
            | Self::Q4_1
            | Self::Q4_0 => Numbers::Quantized,
        }
    }

    /// Whether weights are held as floating point rather than in quantized blocks.
    pub fn is_dense(self) -> bool {
        self.numbers() != Numbers::Quantized
    }

    /// Whether it is one of the k-quants, whose blocks are of 256 weights.
    pub fn is_k_quant(self) -> bool {
        self.block().is_some_and(|block| block.length == 256)
    }
}

/// What numbers weights are, where every quantized type is alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// Those of the checkpoint.
    Own,
    /// 32-bit floating point.
    F32,
    /// IEEE half.
    F16,
    /// bfloat16.
    Bf16,
    /// Quantized blocks.
    Quantized,
}

/// The layout of one block of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Weights per block.
    pub length: u64,
    /// Bytes per block.
    pub bytes: u64,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Precision {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL
            .into_iter()
            .find(|precision| precision.word() == text)
            .ok_or_else(|| ParseError {
                what: "precision",
                value: text.to_owned(),
                expected: Self::ALL.map(Self::word).join(", "),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_does_not_divide_falls_back() {
        assert_eq!(Precision::Q4K.for_columns(896), Precision::Q5_0);
        assert_eq!(Precision::Q4K.for_columns(1024), Precision::Q4K);
        assert_eq!(Precision::Q8_0.for_columns(33), Precision::F16);
    }

    #[test]
    fn every_word_reads_back() {
        for precision in Precision::ALL {
            assert_eq!(precision.word().parse(), Ok(precision));
            let json = serde_json::to_string(&precision).unwrap();
            assert_eq!(json, format!("\"{}\"", precision.word()));
        }
    }
}
