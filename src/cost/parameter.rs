//! The numbers of a case by the key they have in the scenario: what can be drawn and turned.

use std::fmt;

use super::case::Case;
use super::parameter_list::PARAMETERS;
use super::scenario::parse::nearest;

/// A number of a case.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its key in the scenario.
    pub key: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// What it may be.
    pub low: f64,
    /// What it may be.
    pub high: f64,
    pub(super) at: fn(&mut Case) -> Option<&mut f64>,
}

/// What a number may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// A key that cannot be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// Compared instead.
    #[error("`{0}` is compared, never drawn; make it a [[self_hosted.alternative]]")]
    Compared(String),
    /// Not a number, or one that is fixed by decision.
    #[error("`{key}` is no number that can be drawn{}", near.map_or_else(String::new, |near| format!("; did you mean `{near}`?")))]
    Unknown {
        /// The key.
        key: String,
        /// What may have been meant.
        near: Option<&'static str>,
    },
    /// The scenario does without.
    #[error("`{0}` is not in use by this scenario")]
    NotInUse(String),
}

/// An upper end beyond this is no bound that a reader has to know.
const UNBOUNDED: f64 = 1e6;
/// Keys that name a thing, not an amount.
const COMPARED: [&str; 5] = [
    "self_hosted.gpu",
    "self_hosted.rental",
    "self_hosted.precision",
    "self_hosted.kv_precision",
    "self_hosted.gpus_per_replica",
];

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { low, high } = self;
        if *high > UNBOUNDED {
            write!(f, "{low} or more")
        } else {
            write!(f, "from {low} to {high}")
        }
    }
}

impl Parameter {
    /// What it may be.
    pub const fn range(&self) -> Range {
        Range {
            low: self.low,
            high: self.high,
        }
    }

    /// The parameter of a key that a case uses.
    pub fn find(key: &str, case: &mut Case) -> Result<Self, ParameterError> {
        if COMPARED.contains(&key) {
            return Err(ParameterError::Compared(key.to_owned()));
        }
        let Some(parameter) = PARAMETERS.iter().find(|parameter| parameter.key == key) else {
            let known: Vec<&'static str> = PARAMETERS.iter().map(|p| p.key).collect();
            return Err(ParameterError::Unknown {
                key: key.to_owned(),
                near: nearest(key, &known),
            });
        };
        if parameter.get(case).is_none() {
            return Err(ParameterError::NotInUse(key.to_owned()));
        }
        Ok(*parameter)
    }

    /// Every parameter that a case uses.
    pub fn in_use(case: &mut Case) -> Vec<Self> {
        PARAMETERS
            .iter()
            .filter(|parameter| parameter.get(case).is_some())
            .copied()
            .collect()
    }

    /// Its value in a case.
    pub fn get(&self, case: &mut Case) -> Option<f64> {
        (self.at)(case).map(|value| *value)
    }

    /// Puts another value in its place, kept within what it may be.
    pub fn set(&self, case: &mut Case, value: f64) {
        if let Some(place) = (self.at)(case) {
            *place = value.clamp(self.low, self.high);
        }
    }
}
