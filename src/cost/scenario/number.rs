//! Numbers and dates as people write them: whole numbers may be floats, dates are literals or text.

use jiff::civil::Date;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// A whole number written as an integer or as a float without fraction.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    // Above 2^53 a float no longer tells neighbouring integers apart.
    if value.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&value) {
        Ok(value as u64)
    } else {
        Err(D::Error::custom(format!(
            "`{value}` is not a whole number of 0 or more"
        )))
    }
}

pub(super) fn whole_u64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    whole(deserializer)
}

pub(super) fn whole_u32<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let value = whole(deserializer)?;
    u32::try_from(value).map_err(|_| D::Error::custom(format!("`{value}` is too large")))
}

pub(super) fn optional_u32<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u32>, D::Error> {
    whole_u32(deserializer).map(Some)
}

/// A TOML date, or the same as text.
pub(super) fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Date>, D::Error> {
    let text = match toml::Value::deserialize(deserializer)? {
        toml::Value::Datetime(date) => date.to_string(),
        toml::Value::String(text) => text,
        other @ (toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Array(_)
        | toml::Value::Table(_)) => other.to_string(),
    };
    text.parse()
        .map(Some)
        .map_err(|_| D::Error::custom(format!("`{text}` is no date; write it as 2026-11-23")))
}
