//! `[report]`: what a report answers, namely under which limits the cheapest point is sought and at which
//! utilizations points are priced.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Seconds;

/// `[report]`, in a study and in the record alike; where nothing is said, a report answers what is usually
/// asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Questions {
    /// Longest time to the first token of the cheapest point, in milliseconds.
    pub max_ttft_ms: Option<LatencyLimit>,
    /// Longest time per output token of the cheapest point, in milliseconds.
    pub max_tpot_ms: Option<LatencyLimit>,
    /// Shares of the time that the machine is used, for which prices are given.
    pub utilization: Option<Utilizations>,
}

impl Questions {
    /// These with every one that `upper` asks taken from there.
    #[must_use]
    pub fn overlaid(self, upper: Self) -> Self {
        Self {
            max_ttft_ms: upper.max_ttft_ms.or(self.max_ttft_ms),
            max_tpot_ms: upper.max_tpot_ms.or(self.max_tpot_ms),
            utilization: upper.utilization.or(self.utilization),
        }
    }

    /// The utilizations that are asked for; where none is, from a machine for a few users to a busy one.
    pub fn utilizations(&self) -> Vec<Utilization> {
        match &self.utilization {
            Some(asked) => asked.0.clone(),
            None => [10, 30, 50, 70].map(Utilization).to_vec(),
        }
    }

    /// Whether nothing is asked but what is usual.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// A latency that a point may not exceed, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(with = "f64")]
pub struct LatencyLimit(f64);

impl LatencyLimit {
    /// As a time.
    pub fn time(self) -> Seconds {
        Seconds::new(self.0 / 1e3)
    }
}

impl TryFrom<f64> for LatencyLimit {
    type Error = Unaskable;

    fn try_from(milliseconds: f64) -> Result<Self, Unaskable> {
        if milliseconds.is_finite() && milliseconds > 0.0 {
            return Ok(Self(milliseconds));
        }
        Err(no_limit(&milliseconds.to_string()))
    }
}

impl From<LatencyLimit> for f64 {
    fn from(limit: LatencyLimit) -> Self {
        limit.0
    }
}

impl FromStr for LatencyLimit {
    type Err = Unaskable;

    fn from_str(text: &str) -> Result<Self, Unaskable> {
        let number: f64 = text.parse().map_err(|_| no_limit(text))?;
        number.try_into()
    }
}

fn no_limit(value: &str) -> Unaskable {
    Unaskable {
        value: value.to_owned(),
        what: "limit on a latency",
        remedy: "milliseconds above 0, like 200",
    }
}

/// A share of the time in percent, from 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Utilization(u8);

impl Utilization {
    /// The utilization of a share of 1, unless it is none or no whole percentage: columns are named by it.
    fn from_share(share: f64) -> Option<Self> {
        /// What binary fractions leave beside a whole percentage.
        const ROUNDING: f64 = 1e-9;
        let percent = share * 100.0;
        let whole = percent.round();
        let is_one = (percent - whole).abs() < ROUNDING && (1.0..=100.0).contains(&whole);
        is_one.then_some(Self(whole as u8))
    }

    /// In percent.
    pub const fn percent(self) -> u8 {
        self.0
    }

    /// As a share of 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

/// Different utilizations, at least one, in the order in which they were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
#[schemars(with = "Vec<f64>")]
pub struct Utilizations(Vec<Utilization>);

impl TryFrom<Vec<f64>> for Utilizations {
    type Error = Unaskable;

    fn try_from(shares: Vec<f64>) -> Result<Self, Unaskable> {
        let mut all = Vec::with_capacity(shares.len());
        for share in shares {
            let Some(utilization) = Utilization::from_share(share) else {
                return Err(no_utilization(&share.to_string()));
            };
            if all.contains(&utilization) {
                return Err(no_utilization(&format!("{share} a second time")));
            }
            all.push(utilization);
        }
        if all.is_empty() {
            return Err(no_utilization("an empty list"));
        }
        Ok(Self(all))
    }
}

impl From<Utilizations> for Vec<f64> {
    fn from(utilizations: Utilizations) -> Self {
        let all = utilizations.0.into_iter();
        all.map(Utilization::share).collect()
    }
}

impl FromStr for Utilizations {
    type Err = Unaskable;

    fn from_str(text: &str) -> Result<Self, Unaskable> {
        let shares = text.split(',').map(|share| {
            let share = share.trim();
            share.parse().map_err(|_| no_utilization(share))
        });
        shares.collect::<Result<Vec<f64>, _>>()?.try_into()
    }
}

fn no_utilization(value: &str) -> Unaskable {
    Unaskable {
        value: value.to_owned(),
        what: "utilization",
        remedy: "different shares above 0 and up to 1 in whole percents, like 0.3,0.5",
    }
}

/// A number that no report can be asked about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value} is no {what}; give {remedy}")]
pub struct Unaskable {
    /// What stood there.
    value: String,
    /// What was being read.
    what: &'static str,
    /// What may stand there.
    remedy: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::file::StudyFile;
    use crate::study::input;

    #[track_caller]
    fn refuses(line: &str, expected: &str) {
        let text = format!("[report]\n{line}\n");
        let error = input::parse::<StudyFile>(&text).unwrap_err().to_string();
        assert!(error.starts_with("line 2, column "), "{error}");
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn a_limit_is_above_zero_and_finite() {
        for limit in ["0", "0.0", "-5", "inf", "nan"] {
            let expected = "milliseconds above 0";
            refuses(&format!("max_ttft_ms = {limit}"), expected);
            refuses(&format!("max_tpot_ms = {limit}"), expected);
        }
        assert!("".parse::<LatencyLimit>().is_err());
    }

    #[test]
    fn utilizations_are_different_shares_in_whole_percents() {
        for (list, wrong) in [
            ("[0.0]", "0 is no"),
            ("[0.3, 1.5]", "1.5 is no"),
            ("[nan]", "NaN is no"),
            ("[0.125]", "0.125 is no"),
            ("[0.3, 0.5, 0.3]", "0.3 a second time is no"),
            ("[]", "an empty list is no"),
        ] {
            refuses(&format!("utilization = {list}"), wrong);
        }
        let percents = |text: &str| {
            let all: Utilizations = text.parse().unwrap();
            all.0.iter().map(|one| one.percent()).collect::<Vec<_>>()
        };
        assert_eq!(percents("0.29, 0.07,1"), [29, 7, 100]);
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let text = "[report]\nmax_ttft_ms = 450.5\nutilization = [0.29, 1.0]\n";
        let file: StudyFile = input::parse(text).unwrap();
        let again: StudyFile = input::parse(&toml::to_string(&file).unwrap()).unwrap();
        assert_eq!(file, again);
        assert_eq!(file.report.max_tpot_ms, None);
    }

    #[test]
    fn a_flag_asks_in_place_of_the_file() {
        let ask = |ttft: Option<f64>, share: Option<&str>| Questions {
            max_ttft_ms: ttft.map(|limit| limit.try_into().unwrap()),
            max_tpot_ms: None,
            utilization: share.map(|share| share.parse().unwrap()),
        };
        let overlaid = ask(Some(5.0), Some("0.3")).overlaid(ask(Some(7.0), None));
        assert_eq!(overlaid, ask(Some(7.0), Some("0.3")));
    }
}
