//! How old a price is.

use jiff::civil::Date;

/// A price older than this may have changed: prices move by tens of percent within a quarter.
pub const STALE_AFTER_DAYS: i32 = 90;

/// A price that a reader should doubt for its age.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {days} days old ({retrieved}); check it, or import a newer list")]
pub struct StalePrice {
    /// The row.
    pub what: String,
    /// When it was read.
    pub retrieved: Date,
    /// Age in days.
    pub days: i32,
}

/// Days from `retrieved` to `as_of`; negative when the price is from later.
pub fn age_days(retrieved: Date, as_of: Date) -> i32 {
    (as_of - retrieved).get_days()
}

/// The warning for a price that is too old on the day `as_of`.
pub fn stale(what: &str, retrieved: Date, as_of: Date) -> Option<StalePrice> {
    let days = age_days(retrieved, as_of);
    (days > STALE_AFTER_DAYS).then(|| StalePrice {
        what: what.to_owned(),
        retrieved,
        days,
    })
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn ninety_days_are_fresh_and_ninety_one_are_not() {
        let read = date(2026, 8, 25);
        assert_eq!(stale("x", read, date(2026, 11, 23)), None);
        assert_eq!(stale("x", read, date(2026, 11, 24)).unwrap().days, 91);
    }

    #[test]
    fn a_price_from_later_has_a_negative_age() {
        assert_eq!(age_days(date(2026, 11, 23), date(2026, 11, 20)), -3);
        assert_eq!(stale("x", date(2027, 11, 23), date(2026, 11, 20)), None);
    }
}
