//! What makes no sense in a study, refused with the key and the value.

use rust_decimal::Decimal;

use super::model::{ModelSource, Precision};
use super::prompts::PromptsError;
use super::spec::{Measure, Price, Study, Sweep};

/// A study that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StudyError {
    /// Prompts of nothing or of two things.
    #[error(transparent)]
    Prompts(#[from] PromptsError),
    /// An axis without a value.
    #[error("{key} is empty; give at least one value")]
    Empty {
        /// The key.
        key: &'static str,
    },
    /// More points than anyone means.
    #[error("the sweep has more than {limit} points; shorten a list")]
    TooManyPoints {
        /// The limit.
        limit: usize,
    },
    /// A GGUF file fixes its precision.
    #[error("a gguf: source runs at its own precision; set sweep.precision to [\"native\"]")]
    GgufPrecision,
    /// A number outside its range.
    #[error("{key} = {value} is out of range; it must be {range}")]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// What stood there.
        value: String,
        /// What may stand there.
        range: &'static str,
    },
}

/// More points than anyone means to pay for.
const MAX_POINTS: usize = 10_000;

impl Study {
    pub(super) fn check(&self) -> Result<(), StudyError> {
        let sweep = &self.sweep;
        for (key, empty) in [
            ("sweep.precision", sweep.precision.is_empty()),
            ("sweep.kv", sweep.kv.as_ref().is_some_and(Vec::is_empty)),
            ("sweep.batch", sweep.batch.is_empty()),
            ("sweep.isl", sweep.isl.is_empty()),
            ("sweep.osl", sweep.osl.is_empty()),
        ] {
            if empty {
                return Err(StudyError::Empty { key });
            }
        }
        if sweep.is_too_large() {
            return Err(StudyError::TooManyPoints { limit: MAX_POINTS });
        }
        if matches!(self.source, ModelSource::Gguf(_)) && sweep.precision != [Precision::Native] {
            return Err(StudyError::GgufPrecision);
        }
        self.measure.check()?;
        self.price.check()
    }
}

impl Sweep {
    /// Whether there are more points than anyone means to pay for.
    pub fn is_too_large(&self) -> bool {
        let caches = self.kv.as_ref().map_or(1, Vec::len);
        let points = [caches, self.batch.len(), self.isl.len(), self.osl.len()]
            .into_iter()
            .try_fold(self.precision.len(), usize::checked_mul);
        points.is_none_or(|count| count > MAX_POINTS)
    }
}

impl Price {
    /// Refuses a number that is no price.
    pub fn check(&self) -> Result<(), StudyError> {
        let above_zero = |number: Decimal| !number.is_sign_negative() && !number.is_zero();
        let prices = [
            ("price.usd_per_hour", self.usd_per_hour),
            ("price.usd_per_kwh", self.usd_per_kwh),
        ];
        for (key, price) in prices {
            if let Some(price) = price.filter(|price| !above_zero(*price)) {
                return Err(StudyError::OutOfRange {
                    key,
                    value: price.to_string(),
                    range: "above 0",
                });
            }
        }
        match self.pue {
            Some(pue) if pue < Decimal::ONE => Err(StudyError::OutOfRange {
                key: "price.pue",
                value: pue.to_string(),
                range: "1 or more",
            }),
            Some(_) | None => Ok(()),
        }
    }
}

impl Measure {
    fn check(&self) -> Result<(), StudyError> {
        let refuse = |key, value: String, range| Err(StudyError::OutOfRange { key, value, range });
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if !positive(self.target_ci) || self.target_ci >= 1.0 {
            let value = self.target_ci.to_string();
            return refuse("measure.target_ci", value, "above 0 and below 1");
        }
        if self.min_blocks < 2 {
            return refuse(
                "measure.min_blocks",
                self.min_blocks.to_string(),
                "2 or more",
            );
        }
        if self.max_blocks < self.min_blocks {
            let value = self.max_blocks.to_string();
            return refuse("measure.max_blocks", value, "measure.min_blocks or more");
        }
        if self.launches == 0 {
            return refuse("measure.launches", "0".to_owned(), "1 or more");
        }
        for (key, seconds) in [
            ("measure.min_block_seconds", self.min_block_seconds),
            ("measure.max_seconds", self.max_seconds),
        ] {
            if !positive(seconds.value()) {
                return refuse(key, seconds.value().to_string(), "above 0");
            }
        }
        if !(self.warmup_seconds.value().is_finite() && self.warmup_seconds.value() >= 0.0) {
            let value = self.warmup_seconds.value().to_string();
            return refuse("measure.warmup_seconds", value, "0 or more");
        }
        Ok(())
    }
}
