//! How numbers are written for people: as many digits as the interval justifies.

use crate::metrics::stats::Estimate;

/// What stands where there is nothing to say.
pub(crate) const ABSENT: &str = "—";
/// Digits of a number whose interval is not known or has no width.
const DIGITS_WITHOUT_INTERVAL: i32 = 4;
/// Digits that the half-width of an interval is written with.
const DIGITS_OF_HALF_WIDTH: i32 = 2;
/// More decimals than this say nothing to a reader.
const MAX_DECIMALS: i32 = 9;

/// The estimate with its interval: `750 (626–874)`.
pub(crate) fn estimate(estimate: Option<&Estimate<f64>>) -> String {
    let Some(estimate) = estimate.filter(|estimate| estimate.value.is_finite()) else {
        return ABSENT.to_owned();
    };
    let interval = estimate
        .interval
        .filter(|i| i.low.is_finite() && i.high.is_finite());
    let Some(interval) = interval else {
        return plain(estimate.value);
    };
    let decimals = match leading_place((interval.high - interval.low) / 2.0) {
        Some(place) => (DIGITS_OF_HALF_WIDTH - 1 - place).clamp(0, MAX_DECIMALS) as usize,
        None => decimals_without_interval(estimate.value),
    };
    let (value, low, high) = (estimate.value, interval.low, interval.high);
    format!("{value:.decimals$} ({low:.decimals$}–{high:.decimals$})")
}

/// The estimate alone, with the digits that its interval justifies.
pub(crate) fn center(estimate: Option<&Estimate<f64>>) -> String {
    let text = self::estimate(estimate);
    match text.split_once(" (") {
        Some((value, _)) => value.to_owned(),
        None => text,
    }
}

/// A number without an interval, to four digits.
pub(crate) fn plain(value: f64) -> String {
    if !value.is_finite() {
        return ABSENT.to_owned();
    }
    let decimals = decimals_without_interval(value);
    format!("{value:.decimals$}")
}

/// A number without an interval where there is one.
pub(crate) fn optional(value: Option<f64>) -> String {
    value.map_or(ABSENT.to_owned(), plain)
}

fn decimals_without_interval(value: f64) -> usize {
    let place = leading_place(value.abs()).unwrap_or(0);
    (DIGITS_WITHOUT_INTERVAL - 1 - place).clamp(0, MAX_DECIMALS) as usize
}

/// Power of ten of the first digit; `None` for zero.
fn leading_place(value: f64) -> Option<i32> {
    (value > 0.0 && value.is_finite()).then(|| value.log10().floor() as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn writes(value: f64, low: f64, high: f64, expected: &str) {
        let number = Estimate::exact(value).with_interval(low, high);
        assert_eq!(estimate(Some(&number)), expected);
    }

    #[test]
    fn the_interval_decides_the_digits() {
        writes(750.0, 625.793, 874.207, "750 (626–874)");
        writes(1_234.567, 1_233.9, 1_235.2, "1234.57 (1233.90–1235.20)");
        writes(0.001_234, 0.001_2, 0.001_27, "0.001234 (0.001200–0.001270)");
        writes(400.0, 400.0, 400.0, "400.0 (400.0–400.0)");
        writes(0.0, 0.0, 0.0, "0.000 (0.000–0.000)");
    }

    #[test]
    fn without_an_interval_four_digits_are_shown() {
        assert_eq!(plain(0.123_456), "0.1235");
        assert_eq!(plain(12_345.6), "12346");
        assert_eq!(plain(1e-12), "0.000000000");
    }

    #[test]
    fn what_is_no_number_is_absent() {
        assert_eq!(plain(f64::NAN), "—");
        assert_eq!(optional(None), "—");
        assert_eq!(estimate(None), "—");
        assert_eq!(estimate(Some(&Estimate::exact(f64::INFINITY))), "—");
    }
}
