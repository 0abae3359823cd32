//! What one point of a sweep is: batch size, input and output length of one variant of the model.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::{CacheType, ParseError, Precision};
use super::variant::Variant;

/// The longest list that one axis may expand to; a longer one is a slip, not a study.
const MAX_LIST: usize = 1_000;

/// Prompt tokens that our decoder works through at once on a card, unless a single prompt has more. It keeps
/// activations small beside weights and cache, and every tensor within the 32-bit indices of candle's
/// kernels; products are as fast as they get long before.
pub const TOKENS_AT_ONCE: u64 = 16_384;

/// Attention scores that our decoder holds at once on a card.
pub const SCORES_AT_ONCE: u64 = 1 << 27;

/// Generations that a block has at least, where the time of a point allows.
pub const GENERATIONS_PER_BLOCK: u32 = 8;

/// Decode steps of the check of logits before timing.
pub const CHECKED_STEPS: u32 = 3;
/// Longest prompt of that comparison: what is checked are kernels and cache, not memory.
pub const CHECKED_PROMPT: u32 = 32;

/// What identifies a measured point; two records with the same identity may be pooled or compared.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct PointId {
    /// How the weights are held.
    pub precision: Precision,
    /// How keys and values are cached; where nothing is said, the engine chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv: Option<CacheType>,
    /// Sequences decoded together.
    pub batch: NonZeroU32,
    /// Input sequence length in tokens.
    pub isl: NonZeroU32,
    /// Output sequence length in tokens.
    pub osl: NonZeroU32,
}

impl PointId {
    /// What has to be loaded for it.
    pub const fn variant(self) -> Variant {
        Variant {
            precision: self.precision,
            kv: self.kv,
        }
    }

    /// Cache slots that the point needs per sequence: prompt and output together.
    pub fn context(self) -> u64 {
        u64::from(self.isl.get()) + u64::from(self.osl.get())
    }

    /// Cache slots in all.
    pub fn kv_tokens(self) -> u64 {
        self.context().saturating_mul(u64::from(self.batch.get()))
    }
}

impl fmt::Display for PointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} b{} {}/{}",
            self.variant(),
            self.batch,
            self.isl,
            self.osl
        )
    }
}

/// A list of positive numbers, written `1,2,4`, `1-8` or `1-64*2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts(pub Vec<NonZeroU32>);

impl FromStr for Counts {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = || ParseError {
            what: "list",
            value: text.to_owned(),
            expected: format!(
                "numbers of 1 and above like 1,2,4 or 1-8 or 1-64*2, at most {MAX_LIST} of them"
            ),
        };
        let mut values = Vec::new();
        for part in text.split(',') {
            let expanded = expand(part.trim()).ok_or_else(refuse)?;
            for value in expanded {
                if !values.contains(&value) {
                    values.push(value);
                }
            }
            if values.len() > MAX_LIST {
                return Err(refuse());
            }
        }
        Ok(Self(values))
    }
}

/// One part of a list: a number, a range, or a range with a factor.
fn expand(part: &str) -> Option<Vec<NonZeroU32>> {
    let Some((first, rest)) = part.split_once('-') else {
        return Some(vec![part.parse().ok()?]);
    };
    let (last, factor) = match rest.split_once('*') {
        Some((last, factor)) => (last, Some(factor.parse::<u32>().ok().filter(|f| *f >= 2)?)),
        None => (rest, None),
    };
    let (first, last): (NonZeroU32, NonZeroU32) = (first.parse().ok()?, last.parse().ok()?);
    if first > last {
        return None;
    }
    let mut values = Vec::new();
    let mut value = first.get();
    while value <= last.get() {
        values.push(NonZeroU32::new(value)?);
        if values.len() > MAX_LIST {
            return None;
        }
        value = match factor {
            Some(factor) => value.checked_mul(factor)?,
            None => value.checked_add(1)?,
        };
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn expands(text: &str, expected: &[u32]) {
        let counts: Counts = text.parse().unwrap();
        assert_eq!(
            counts.0.iter().map(|v| v.get()).collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn lists_expand_as_written() {
        expands("1,2,4", &[1, 2, 4]);
        expands("1-4", &[1, 2, 3, 4]);
        expands("1-64*2", &[1, 2, 4, 8, 16, 32, 64]);
        expands("1-8*2,12", &[1, 2, 4, 8, 12]);
        expands("4,4", &[4]);
    }

    #[test]
    fn a_list_that_makes_no_sense_is_refused() {
        for text in [
            "",
            "0",
            "-1",
            "4-1",
            "1-8*1",
            "1,,2",
            "x",
            "1-1000000000",
            "1-5000",
        ] {
            assert!(text.parse::<Counts>().is_err(), "{text} was accepted");
        }
    }
}
