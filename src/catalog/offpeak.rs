//! Quiet hours of the week, as a catalog file writes them.

use serde::{Deserialize, Serialize};

use super::book::WeekWindow;
use super::rows::Rates;

/// Minutes of one day.
const DAY: u16 = 24 * 60;

/// Prices that hold inside windows of the week, in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OffPeakRow {
    /// The prices inside the windows; what is absent keeps its price.
    pub rates: Rates,
    /// When they hold.
    #[serde(rename = "window")]
    pub windows: Vec<WindowRow>,
}

impl OffPeakRow {
    /// One stretch per day and span.
    pub fn week(&self) -> Vec<WeekWindow> {
        self.windows.iter().flat_map(WindowRow::week).collect()
    }
}

/// Times of some days of the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowRow {
    /// Days, 1 = Monday to 7 = Sunday.
    pub weekdays: Vec<Weekday>,
    /// Times of those days.
    pub hours_utc: Vec<TimeSpan>,
}

impl WindowRow {
    fn week(&self) -> impl Iterator<Item = WeekWindow> + '_ {
        self.weekdays.iter().flat_map(|day| {
            self.hours_utc.iter().map(|span| WeekWindow {
                weekday: day.0,
                from_minute: span.from,
                to_minute: span.to,
            })
        })
    }
}

/// A day of the week, 1 = Monday to 7 = Sunday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Weekday(u8);

impl TryFrom<u8> for Weekday {
    type Error = String;

    fn try_from(day: u8) -> Result<Self, String> {
        if (1..=7).contains(&day) {
            Ok(Self(day))
        } else {
            Err(format!(
                "weekday {day} is out of range; 1 is Monday, 7 is Sunday"
            ))
        }
    }
}

impl From<Weekday> for u8 {
    fn from(day: Weekday) -> Self {
        day.0
    }
}

/// A span of one day, from its first minute to before its last; `00:00` at the end is midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeSpan {
    from: u16,
    to: u16,
}

impl TryFrom<String> for TimeSpan {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let refuse =
            || format!("`{text}` is no span of a day; write HH:MM-HH:MM with the end later");
        let (from, to) = text.split_once('-').ok_or_else(refuse)?;
        let from = minute(from).ok_or_else(refuse)?;
        let to = match minute(to).ok_or_else(refuse)? {
            0 => DAY,
            minute => minute,
        };
        if from < to {
            Ok(Self { from, to })
        } else {
            Err(refuse())
        }
    }
}

impl From<TimeSpan> for String {
    fn from(span: TimeSpan) -> Self {
        let clock = |minute: u16| format!("{:02}:{:02}", minute % DAY / 60, minute % 60);
        format!("{}-{}", clock(span.from), clock(span.to))
    }
}

/// Minute of the day of a clock time; `24:00` is midnight at its end.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 24 && minutes < 60 && hours * 60 + minutes <= DAY).then_some(hours * 60 + minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: &[u8], spans: &[&str]) -> WindowRow {
        WindowRow {
            weekdays: days.iter().map(|day| Weekday(*day)).collect(),
            hours_utc: spans
                .iter()
                .map(|span| TimeSpan::try_from((*span).to_owned()).unwrap())
                .collect(),
        }
    }

    #[test]
    fn the_published_windows_leave_thirty_five_peak_hours() {
        let row = OffPeakRow {
            rates: Rates::default(),
            windows: vec![
                window(
                    &[1, 2, 3, 4, 5],
                    &["00:00-01:00", "04:00-06:00", "10:00-00:00"],
                ),
                window(&[6, 7], &["00:00-00:00"]),
            ],
        };
        let quiet: u16 = row.week().iter().map(|w| w.to_minute - w.from_minute).sum();
        assert_eq!(quiet, (168 - 35) * 60);
    }

    #[test]
    fn a_span_prints_as_it_was_written() {
        for text in ["04:00-06:30", "10:00-00:00", "00:00-00:00"] {
            let span = TimeSpan::try_from(text.to_owned()).unwrap();
            assert_eq!(String::from(span), text);
        }
        for text in [
            "06:00-04:00",
            "25:00-26:00",
            "4-6",
            "00:00-24:01",
            "a:b-c:d",
        ] {
            assert!(TimeSpan::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
