//! Between which bounds the numbers of a script make sense.

use std::ops::RangeInclusive;

use super::script::Script;
use crate::study::input::Misread;

/// Why a script cannot be played.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScriptError {
    /// The text is no script.
    #[error(transparent)]
    Misread(#[from] Misread),
    /// A number that no device has.
    #[error("{key} = {value} is out of range; it must be from {least} to {most}")]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// What stood there.
        value: f64,
        /// The least that may stand there.
        least: f64,
        /// The most that may stand there.
        most: f64,
    },
}

/// A quarter of an hour in microseconds: longer than anything that is worth a script.
const LONGEST_US: f64 = 1e9;

/// More bytes, operations or parameters than any machine has, and few enough for their products to fit.
const MOST: f64 = 1e15;

/// More than any machine does in a second.
const FASTEST: f64 = 1e18;

/// Refuses numbers with which time would stand still or never end.
pub(super) fn check(script: &Script) -> Result<(), ScriptError> {
    let (model, time, peaks) = (&script.model, &script.time, &script.peaks);
    let amounts = [
        ("device.memory_bytes", script.device.memory_bytes),
        ("model.parameters", model.parameters),
        ("model.kv_bytes_per_token", model.kv_bytes_per_token),
        (
            "model.activation_bytes_per_token",
            model.activation_bytes_per_token,
        ),
        (
            "model.flop_per_token_and_context",
            model.flop_per_token_and_context,
        ),
    ];
    let times = [
        ("model.load_ms", model.load_ms),
        ("time.prefill_us", time.prefill_us),
        ("time.prefill_us_per_token", time.prefill_us_per_token),
        ("time.step_us", time.step_us),
        ("time.step_us_per_sequence", time.step_us_per_sequence),
        ("time.step_us_per_token", time.step_us_per_token),
    ];
    let factors = time.factor.values().map(|factor| ("time.factor", *factor));
    let errors = [
        ("accuracy.relative_error", script.accuracy.relative_error),
        ("accuracy.bound", script.accuracy.bound),
    ];
    let rates = [
        ("peaks.read_bytes_per_second", peaks.read_bytes_per_second),
        ("peaks.copy_bytes_per_second", peaks.copy_bytes_per_second),
        ("peaks.flop_per_second", peaks.flop_per_second),
    ];
    within(
        0.0..=MOST,
        amounts.map(|(key, amount)| (key, amount as f64)),
    )?;
    within(0.0..=LONGEST_US, times.into_iter().chain(factors))?;
    within(0.0..=1.0, [("time.noise", time.noise)])?;
    within(0.0..=MOST, errors)?;
    within(1.0..=FASTEST, rates)
}

fn within(
    range: RangeInclusive<f64>,
    numbers: impl IntoIterator<Item = (&'static str, f64)>,
) -> Result<(), ScriptError> {
    let mut numbers = numbers.into_iter();
    match numbers.find(|(_, value)| !range.contains(value)) {
        Some((key, value)) => Err(ScriptError::OutOfRange {
            key,
            value,
            least: *range.start(),
            most: *range.end(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refuses(text: &str, expected: &str) {
        assert_eq!(Script::parse(text).unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_time_that_never_passes_is_refused_by_its_key() {
        let range = "is out of range; it must be from 0 to";
        refuses(
            "[time]\nnoise = nan",
            &format!("time.noise = NaN {range} 1"),
        );
        refuses(
            "[time]\nstep_us = -1.0",
            &format!("time.step_us = -1 {range} 1000000000"),
        );
        refuses(
            "[time.factor]\nq8_0 = inf",
            &format!("time.factor = inf {range} 1000000000"),
        );
        refuses(
            "[peaks]\nflop_per_second = 0.0",
            "peaks.flop_per_second = 0 is out of range; it must be from 1 to 1000000000000000000",
        );
    }

    #[test]
    fn an_unknown_key_is_refused_with_place_and_suggestion() {
        let error = Script::parse("[time]\nstep_su = 1.0")
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("line 2, column 1: unknown field `step_su`"),
            "{error}"
        );
        assert!(error.ends_with("did you mean `step_us`?"), "{error}");
    }
}
