//! Decimal numbers as text in a study, so that a price is exactly what was written.

use std::fmt;

use rust_decimal::Decimal;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserializer, Serialize as _, Serializer};

/// Writes a number as its text.
#[expect(
    clippy::ref_option,
    reason = "serde hands a reference to the field that it serializes"
)]
pub(super) fn serialize<S: Serializer>(
    value: &Option<Decimal>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.map(|value| value.to_string()).serialize(serializer)
}

/// Reads a number from its text.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Decimal>, D::Error> {
    deserializer.deserialize_option(DecimalText)
}

struct DecimalText;

impl<'de> Visitor<'de> for DecimalText {
    type Value = Option<Decimal>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal number in quotes, like \"2.50\"")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::study::file::StudyFile;
    use crate::study::input;

    #[track_caller]
    fn refuses(price: &str, expected: &str) {
        let text = format!("[price]\nusd_per_hour = {price}\n");
        let error = input::parse::<StudyFile>(&text).unwrap_err().to_string();
        assert_eq!(error, format!("line 2, column 16: {expected}"));
    }

    #[test]
    fn a_price_is_text_and_the_error_says_so() {
        let quoted = "expected a decimal number in quotes, like \"2.50\"";
        refuses(
            "2.5",
            &format!("invalid type: floating point `2.5`, {quoted}"),
        );
        refuses("2", &format!("invalid type: integer `2`, {quoted}"));
        refuses(
            "\"two\"",
            &format!("invalid value: string \"two\", {quoted}"),
        );
    }

    #[test]
    fn a_price_keeps_its_digits() {
        let file: StudyFile = input::parse("[price]\nusd_per_hour = \"2.50\"\n").unwrap();
        assert_eq!(file.price.usd_per_hour.unwrap().to_string(), "2.50");
        assert!(
            toml::to_string(&file)
                .unwrap()
                .contains("usd_per_hour = \"2.50\"")
        );
    }
}
