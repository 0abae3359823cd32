//! `[quality]`: what precisions are judged against, on which text, and what loss is bearable.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::StudyError;
use super::model::{ModelSource, ParseError, Precision};
use super::spec::Target;

/// Tokens of a window where nothing was written: what llama.cpp's `perplexity` takes.
const CONTEXT: u32 = 512;
/// The same for the embedded small model: the length that it was trained on.
const CONTEXT_OF_TINY: u32 = 256;
/// Fewest tokens of a window: two places have to count.
const SHORTEST_CONTEXT: u32 = 4;
/// Perplexity that may be lost where no budget was written: one percent.
const BEARABLE_RATIO: f64 = 1.01;

/// `[quality]` as written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QualitySection {
    /// A precision of the same checkpoint, or another source such as `gguf:PATH`.
    pub reference: Option<ReferenceChoice>,
    /// A text file; the bundled text where absent.
    pub text: Option<PathBuf>,
    /// A `tokenizer.json` in place of the model's own.
    pub tokenizer: Option<PathBuf>,
    /// Tokens of a window.
    pub context: Option<u32>,
    /// Tokens from the start of a window to the start of the next; the context where absent.
    pub stride: Option<u32>,
    /// Windows at most, from the start of the text.
    pub windows: Option<u32>,
    /// Mean divergence that is bearable, in nats.
    pub max_kld: Option<f64>,
    /// Perplexity ratio that is bearable.
    pub max_ppl_ratio: Option<f64>,
}

/// `[quality]` with nothing left open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quality {
    /// What precisions are judged against.
    pub reference: ReferenceChoice,
    /// A text file; the bundled text where absent.
    pub text: Option<PathBuf>,
    /// A `tokenizer.json` in place of the model's own.
    pub tokenizer: Option<PathBuf>,
    /// Tokens of a window.
    pub context: u32,
    /// Tokens from the start of a window to the start of the next.
    pub stride: u32,
    /// Windows at most, from the start of the text.
    pub windows: Option<u32>,
    /// What loss is bearable.
    pub budget: Budget,
}

/// What loss of quality is bearable; a precision has to keep every limit that is there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Budget {
    /// Mean divergence in nats.
    pub max_kld: Option<f64>,
    /// Perplexity ratio.
    pub max_ppl_ratio: Option<f64>,
}

/// What precisions are judged against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum ReferenceChoice {
    /// The same checkpoint at this precision.
    Precision(Precision),
    /// Another file of the same checkpoint, at its own precision.
    Source(ModelSource),
}

impl fmt::Display for ReferenceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Precision(precision) => precision.fmt(f),
            Self::Source(source) => source.fmt(f),
        }
    }
}

impl FromStr for ReferenceChoice {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.contains(':') {
            return text.parse().map(Self::Source);
        }
        text.parse().map(Self::Precision)
    }
}

impl TryFrom<String> for ReferenceChoice {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<ReferenceChoice> for String {
    fn from(choice: ReferenceChoice) -> Self {
        choice.to_string()
    }
}

impl QualitySection {
    /// This section with every key that `upper` sets taken from there.
    #[must_use]
    pub fn overlaid(self, upper: Self) -> Self {
        Self {
            reference: upper.reference.or(self.reference),
            text: upper.text.or(self.text),
            tokenizer: upper.tokenizer.or(self.tokenizer),
            context: upper.context.or(self.context),
            stride: upper.stride.or(self.stride),
            windows: upper.windows.or(self.windows),
            max_kld: upper.max_kld.or(self.max_kld),
            max_ppl_ratio: upper.max_ppl_ratio.or(self.max_ppl_ratio),
        }
    }

    /// The section with defaults where nothing was written: single precision is the reference on a CPU,
    /// bfloat16 on a card.
    pub fn resolved(self, target: Target, source: &ModelSource) -> Result<Quality, StudyError> {
        let reference = match target {
            Target::Cpu => Precision::F32,
            Target::Cuda => Precision::Bf16,
        };
        let usual = if *source == ModelSource::Tiny {
            CONTEXT_OF_TINY
        } else {
            CONTEXT
        };
        let context = self.context.unwrap_or(usual);
        let budget = match (self.max_kld, self.max_ppl_ratio) {
            (None, None) => Budget {
                max_kld: None,
                max_ppl_ratio: Some(BEARABLE_RATIO),
            },
            (max_kld, max_ppl_ratio) => Budget {
                max_kld,
                max_ppl_ratio,
            },
        };
        let quality = Quality {
            reference: self
                .reference
                .unwrap_or(ReferenceChoice::Precision(reference)),
            text: self.text,
            tokenizer: self.tokenizer,
            context,
            stride: self.stride.unwrap_or(context),
            windows: self.windows,
            budget,
        };
        quality.check()?;
        Ok(quality)
    }
}

impl Quality {
    fn check(&self) -> Result<(), StudyError> {
        let refuse = |key, value: String, range| Err(StudyError::OutOfRange { key, value, range });
        if self.context < SHORTEST_CONTEXT {
            return refuse("quality.context", self.context.to_string(), "4 or more");
        }
        if self.stride == 0 || self.stride > self.context {
            let value = self.stride.to_string();
            return refuse("quality.stride", value, "1 to quality.context");
        }
        if self.windows == Some(0) {
            return refuse("quality.windows", "0".to_owned(), "1 or more");
        }
        if let Some(kld) = self.budget.max_kld
            && !(kld.is_finite() && kld >= 0.0)
        {
            return refuse("quality.max_kld", kld.to_string(), "0 or more");
        }
        if let Some(ratio) = self.budget.max_ppl_ratio
            && !(ratio.is_finite() && ratio > 0.0)
        {
            return refuse("quality.max_ppl_ratio", ratio.to_string(), "above 0");
        }
        Ok(())
    }

    /// First place in a window whose prediction counts, from 0: half of the window lies before it, and
    /// with a short stride no prediction counts in two windows.
    pub const fn first(&self) -> u32 {
        let half = self.context / 2;
        let fresh = (self.context - 1).saturating_sub(self.stride);
        if half > fresh { half } else { fresh }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(section: QualitySection) -> Result<Quality, StudyError> {
        section.resolved(Target::Cpu, &ModelSource::Card("any".to_owned()))
    }

    #[test]
    fn the_default_is_the_convention_of_llama_cpp() {
        let quality = resolved(QualitySection::default()).unwrap();
        assert_eq!(
            (quality.context, quality.stride, quality.first()),
            (512, 512, 256)
        );
        assert_eq!(quality.reference.to_string(), "f32");
        assert_eq!(quality.budget.max_ppl_ratio, Some(1.01));
    }

    #[test]
    fn a_short_stride_counts_no_prediction_twice() {
        for (context, stride, first) in [(8, 8, 4), (8, 4, 4), (8, 3, 4), (8, 2, 5), (8, 1, 6)] {
            let quality = resolved(QualitySection {
                context: Some(context),
                stride: Some(stride),
                ..Default::default()
            })
            .unwrap();
            assert_eq!(quality.first(), first, "{context} {stride}");
            assert!(context - 1 - first <= stride);
        }
    }

    #[test]
    fn nonsense_is_refused_with_its_key() {
        let refuse = |section| resolved(section).unwrap_err().to_string();
        let of = QualitySection::default;
        let error = refuse(QualitySection {
            context: Some(3),
            ..of()
        });
        assert!(error.contains("quality.context = 3"), "{error}");
        let error = refuse(QualitySection {
            stride: Some(513),
            ..of()
        });
        assert!(error.contains("quality.stride = 513"), "{error}");
        let error = refuse(QualitySection {
            max_kld: Some(f64::NAN),
            ..of()
        });
        assert!(error.contains("quality.max_kld = NaN"), "{error}");
        let error = refuse(QualitySection {
            max_ppl_ratio: Some(0.0),
            ..of()
        });
        assert!(error.contains("quality.max_ppl_ratio = 0"), "{error}");
    }

    #[test]
    fn a_reference_is_a_precision_or_a_source() {
        for text in ["f32", "native", "gguf:a.gguf", "dir:/b"] {
            let choice: ReferenceChoice = text.parse().unwrap();
            assert_eq!(choice.to_string(), text);
        }
        assert!("q99".parse::<ReferenceChoice>().is_err());
    }
}
