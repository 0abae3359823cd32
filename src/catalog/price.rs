//! A price as the decimal text it was published in.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// US dollars in the unit that the key beside it names: decimal text, never negative.
///
/// ```
/// use mtok::catalog::Price;
/// let price: Price = "0.075".parse().unwrap();
/// assert_eq!(price.to_string(), "0.075");
/// assert_eq!(price.value(), 0.075);
/// assert!("-1".parse::<Price>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Price(Decimal);

impl Price {
    /// The price that an exact decimal states; `None` when it is negative.
    pub fn new(decimal: Decimal) -> Option<Self> {
        (!decimal.is_sign_negative() || decimal.is_zero()).then(|| Self(decimal.abs().normalize()))
    }

    /// The exact decimal.
    pub const fn decimal(self) -> Decimal {
        self.0
    }

    /// The nearest `f64`, for arithmetic.
    ///
    /// # Panics
    ///
    /// Never: a decimal prints as a number.
    pub fn value(self) -> f64 {
        self.0
            .to_string()
            .parse()
            .expect("a decimal prints as a number")
    }

    /// Whether it costs nothing.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Price {
    type Err = PriceError;

    fn from_str(text: &str) -> Result<Self, PriceError> {
        let refuse = || PriceError(text.chars().take(40).collect());
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        if !plain {
            return Err(refuse());
        }
        let decimal = Decimal::from_str_exact(text).map_err(|_| refuse())?;
        Self::new(decimal).ok_or_else(refuse)
    }
}

impl TryFrom<String> for Price {
    type Error = PriceError;

    fn try_from(text: String) -> Result<Self, PriceError> {
        text.parse()
    }
}

impl From<Price> for String {
    fn from(price: Price) -> Self {
        price.to_string()
    }
}

/// Text that is no price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no price; write a decimal of 0 or more in quotes, as \"2.50\"")]
pub struct PriceError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_without_its_trailing_zeros() {
        for (text, kept) in [
            ("2.50", "2.5"),
            ("0", "0"),
            ("0.0000000001", "0.0000000001"),
        ] {
            assert_eq!(text.parse::<Price>().unwrap().to_string(), kept);
        }
    }

    #[test]
    fn anything_but_a_plain_decimal_is_refused() {
        for text in [
            "", "-1", "+1", "1e3", "NaN", "inf", "1_000", "1,5", "$2", ".",
        ] {
            assert!(text.parse::<Price>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_float_is_the_nearest_one() {
        assert_eq!(
            "6.155".parse::<Price>().unwrap().value().to_bits(),
            6.155_f64.to_bits()
        );
    }
}
