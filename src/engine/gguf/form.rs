//! How a GGUF file stores the elements of a tensor.

use crate::engine::weights::floats::FloatKind;
use crate::study::model::{Numbers, Precision};

/// An element type that can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Floating point.
    Float(FloatKind),
    /// Quantized blocks.
    Quant(Precision),
}

/// Types of ggml that no engine here runs, by id.
const FOREIGN: [(u32, &str); 21] = [
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

impl Form {
    /// The type with ggml's id; the error says what it is when it is not supported.
    pub(crate) fn from_id(id: u32) -> Result<Self, String> {
        let form = match id {
            0 => Self::Float(FloatKind::F32),
            1 => Self::Float(FloatKind::F16),
            2 => Self::Quant(Precision::Q4_0),
            3 => Self::Quant(Precision::Q4_1),
            6 => Self::Quant(Precision::Q5_0),
            7 => Self::Quant(Precision::Q5_1),
            8 => Self::Quant(Precision::Q8_0),
            10 => Self::Quant(Precision::Q2K),
            11 => Self::Quant(Precision::Q3K),
            12 => Self::Quant(Precision::Q4K),
            13 => Self::Quant(Precision::Q5K),
            14 => Self::Quant(Precision::Q6K),
            30 => Self::Float(FloatKind::Bf16),
            _ => {
                let name = FOREIGN.iter().find(|(foreign, _)| *foreign == id);
                return Err(match name {
                    Some((_, name)) => format!(
                        "type {name} is not supported; use a file of F16, BF16, Q8_0, Q6_K, Q5_K, \
                         Q4_K, Q3_K, Q2_K or Q4_0 to Q5_1"
                    ),
                    None => format!("unknown type {id}"),
                });
            }
        };
        Ok(form)
    }

    /// ggml's id.
    pub(crate) const fn id(self) -> u32 {
        match self {
            Self::Float(FloatKind::F32) => 0,
            Self::Float(FloatKind::F16) => 1,
            Self::Float(FloatKind::Bf16) => 30,
            Self::Quant(precision) => match precision {
                Precision::Q4_0 => 2,
                Precision::Q4_1 => 3,
                Precision::Q5_0 => 6,
                Precision::Q5_1 => 7,
                Precision::Q8_0 => 8,
                Precision::Q2K => 10,
                Precision::Q3K => 11,
                Precision::Q4K => 12,
                Precision::Q5K => 13,
                Precision::Q6K => 14,
                Precision::F16 => 1,
                Precision::Bf16 => 30,
                Precision::F32 | Precision::Native => 0,
            },
        }
    }

    /// The form that a precision is stored in; the native one has none of its own.
    pub(crate) const fn of(precision: Precision) -> Option<Self> {
        match precision.numbers() {
            Numbers::Own => None,
            Numbers::F32 => Some(Self::Float(FloatKind::F32)),
            Numbers::F16 => Some(Self::Float(FloatKind::F16)),
            Numbers::Bf16 => Some(Self::Float(FloatKind::Bf16)),
            Numbers::Quantized => Some(Self::Quant(precision)),
        }
    }

    /// The same as a precision.
    pub(crate) const fn precision(self) -> Precision {
        match self {
            Self::Float(FloatKind::F32) => Precision::F32,
            Self::Float(FloatKind::F16) => Precision::F16,
            Self::Float(FloatKind::Bf16) => Precision::Bf16,
            Self::Quant(precision) => precision,
        }
    }

    /// Bytes of a tensor of these dimensions, innermost first.
    pub(crate) fn bytes(self, dims: &[u64]) -> Result<u64, String> {
        let block = self
            .precision()
            .block()
            .expect("a stored type is never the native placeholder");
        if !dims[0].is_multiple_of(block.length) {
            return Err(format!(
                "rows of {} elements are not whole blocks of {}",
                dims[0], block.length
            ));
        }
        let blocks = dims[0] / block.length;
        dims[1..]
            .iter()
            .try_fold(blocks, |product, dim| product.checked_mul(*dim))
            .and_then(|blocks| blocks.checked_mul(block.bytes))
            .filter(|bytes| i64::try_from(*bytes).is_ok())
            .ok_or_else(|| format!("shape {dims:?} takes more bytes than can be counted"))
    }
}
