//! How dollars, counts and shares are written for people.

use crate::cost::verdict::grouped;
use crate::report::number::ABSENT;

/// Dollars: whole ones from a thousand on, cents below, four digits below a dollar.
pub(super) fn usd(value: f64) -> String {
    if !value.is_finite() {
        return ABSENT.to_owned();
    }
    let sign = if value < 0.0 { "−" } else { "" };
    format!("{sign}${}", digits(value.abs()))
}

/// Dollars where they are known.
pub(super) fn usd_or_absent(value: Option<f64>) -> String {
    value.map_or(ABSENT.to_owned(), usd)
}

/// Dollars with the sign of a change; no change has none.
pub(super) fn change(value: Option<f64>) -> String {
    match value {
        Some(value) if value.is_finite() && value > 0.0 => format!("+{}", usd(value)),
        Some(value) => usd(value),
        None => ABSENT.to_owned(),
    }
}

/// A number of things.
pub(super) fn count(value: f64) -> String {
    if !value.is_finite() {
        return ABSENT.to_owned();
    }
    let sign = if value < 0.0 { "−" } else { "" };
    let size = value.abs();
    let text = if size >= 100.0 || size.fract() == 0.0 {
        thousands(size)
    } else {
        trimmed(format!("{size:.3}"))
    };
    format!("{sign}{text}")
}

/// A value of any size with the three digits that matter.
pub(super) fn count_small(value: f64) -> String {
    if !value.is_finite() {
        return ABSENT.to_owned();
    }
    if value.abs() >= 100.0 || value == 0.0 {
        return count(value);
    }
    let leading = -value.abs().log10().floor() as i32;
    let decimals = (leading + 2).clamp(0, 9) as usize;
    let sign = if value < 0.0 { "−" } else { "" };
    format!("{sign}{}", trimmed(format!("{:.decimals$}", value.abs())))
}

/// A stated number with all its digits.
pub(super) fn stated(value: f64) -> String {
    if !value.is_finite() {
        return ABSENT.to_owned();
    }
    let sign = if value < 0.0 { "−" } else { "" };
    format!("{sign}{}", grouped(&value.abs().to_string()))
}

/// A number of things where it is known.
pub(super) fn count_or_absent(value: Option<f64>) -> String {
    value.map_or(ABSENT.to_owned(), count)
}

/// A number of things on an axis: 1.5 M.
pub(super) fn brief_count(value: f64) -> String {
    brief(value)
}

/// Dollars on an axis: $1.5 M.
pub(super) fn brief_usd(value: f64) -> String {
    let sign = if value < 0.0 { "−" } else { "" };
    format!("{sign}${}", brief(value.abs()))
}

/// A share in percent.
pub(super) fn percent(share: f64) -> String {
    if !share.is_finite() {
        return ABSENT.to_owned();
    }
    let value = share * 100.0;
    let decimals = match value.abs() {
        small if small >= 99.95 => 0,
        small if small >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}\u{a0}%")
}

/// A share where it is known.
pub(super) fn percent_or_absent(share: Option<f64>) -> String {
    share.map_or(ABSENT.to_owned(), percent)
}

/// Dollars between which nine of ten draws lie: $1 – $2.
pub(super) fn usd_range(ends: Option<(f64, f64)>) -> String {
    match ends.map(|(low, high)| (usd(low), usd(high))) {
        Some((low, high)) if low == high => "no spread".to_owned(),
        Some((low, high)) => format!("{low}\u{a0}–\u{a0}{high}"),
        None => ABSENT.to_owned(),
    }
}

/// A number of things by its name: 1 GPU, 2 GPUs.
pub(super) fn counted(value: f64, one: &str, many: &str) -> String {
    let name = if (value - 1.0).abs() < 1e-9 {
        one
    } else {
        many
    };
    format!("{} {name}", count(value))
}

/// How many times as much: 3.49×.
pub(super) fn times(ratio: f64) -> String {
    if ratio.is_finite() {
        let decimals = usize::from(ratio < 100.0) * 2;
        format!("{ratio:.decimals$}×")
    } else {
        ABSENT.to_owned()
    }
}

/// The beginning of a text that is longer than there is room for.
pub(super) fn short(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(room.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

fn digits(size: f64) -> String {
    // What rounds up to the next form is written in it.
    if size >= 999.995 {
        return thousands(size);
    }
    if size >= 0.999_95 {
        return format!("{size:.2}");
    }
    if size == 0.0 {
        return "0".to_owned();
    }
    // Prices of a dime or more are read in cents, like everything above them.
    if size >= 0.1 && (size * 100.0).fract().abs() < 1e-9 {
        return format!("{size:.2}");
    }
    // Four digits after the leading zeros.
    let leading = -size.log10().floor() as i32;
    let decimals = (leading + 3).clamp(2, 9) as usize;
    trimmed(format!("{size:.decimals$}"))
}

fn brief(value: f64) -> String {
    if !value.is_finite() {
        return ABSENT.to_owned();
    }
    let sign = if value < 0.0 { "−" } else { "" };
    let size = value.abs();
    let (scaled, unit) = match size {
        size if size >= 1e9 => (size / 1e9, " G"),
        size if size >= 1e6 => (size / 1e6, " M"),
        size if size >= 1e3 => (size / 1e3, " k"),
        size => (size, ""),
    };
    let text = if scaled >= 1.0 || scaled == 0.0 {
        trimmed(format!("{scaled:.2}"))
    } else {
        trimmed(format!("{scaled:.6}"))
    };
    format!("{sign}{text}{unit}")
}

/// A whole number with commas between thousands.
fn thousands(size: f64) -> String {
    grouped(&format!("{size:.0}"))
}

/// A decimal without zeros at its end.
fn trimmed(text: String) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_have_the_digits_that_matter() {
        for (value, text) in [
            (825.0, "$825.00"),
            (2_880.0, "$2,880"),
            (1_234_567.8, "$1,234,568"),
            (0.00275, "$0.00275"),
            (0.0096, "$0.0096"),
            (4.230_769, "$4.23"),
            (0.0, "$0"),
            (0.9, "$0.90"),
            (0.999_999, "$1.00"),
            (999.999, "$1,000"),
            (0.2692, "$0.2692"),
            (-120.5, "−$120.50"),
            (f64::NAN, "—"),
        ] {
            assert_eq!(usd(value), text);
        }
        assert_eq!(change(Some(5.0)), "+$5.00");
        assert_eq!(change(Some(-5.0)), "−$5.00");
        assert_eq!(change(Some(0.0)), "$0");
        assert_eq!(change(None), "—");
        assert_eq!(usd_range(Some((7.0, 7.0))), "no spread");
        assert_eq!(usd_range(Some((1.0, 2_000.0))), "$1.00\u{a0}–\u{a0}$2,000");
    }

    #[test]
    fn counts_and_shares_are_readable() {
        for (value, text) in [
            (1_047_272.73, "1,047,273"),
            (4.0, "4"),
            (1.5, "1.5"),
            (12.345_6, "12.346"),
            (f64::INFINITY, "—"),
        ] {
            assert_eq!(count(value), text);
        }
        assert_eq!(counted(1.0, "GPU", "GPUs"), "1 GPU");
        assert_eq!(counted(2.0, "GPU", "GPUs"), "2 GPUs");
        assert_eq!(count_small(-0.2), "−0.2");
        assert_eq!(count_small(0.012_34), "0.0123");
        assert_eq!(stated(1_234.567_8), "1,234.5678");
        assert_eq!(stated(-0.2), "−0.2");
        assert_eq!(percent(0.080_808), "8.08\u{a0}%");
        assert_eq!(percent(0.349), "34.9\u{a0}%");
        assert_eq!(percent(1.0), "100\u{a0}%");
        assert_eq!(times(3.4909), "3.49×");
        assert_eq!(brief_count(1_500_000.0), "1.5 M");
        assert_eq!(brief_usd(-20_000.0), "−$20 k");
        assert_eq!(brief_usd(0.02), "$0.02");
    }
}
