//! One entry of LiteLLM's list, as far as it matters here.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::litellm::usd_per_mtok;
use crate::catalog::offpeak::{OffPeakRow, TimeSpan, Weekday, WindowRow};
use crate::catalog::price::Price;
use crate::catalog::rows::{Rates, TierRow};

/// The entries by key, in the order of the file; a key that comes twice keeps its last entry.
pub(super) struct Entries(pub(super) Vec<(String, Entry)>);

/// What an entry says.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) mode: Option<String>,
    pub(super) provider: Option<String>,
    pub(super) source: Option<String>,
    pub(super) deprecated: Option<Date>,
    pub(super) context_tokens: Option<u32>,
    pub(super) cache_min_tokens: Option<u32>,
    pub(super) dimensions: Option<u32>,
    /// Dollars per query of a reranker.
    pub(super) query: Option<Price>,
    /// Dollars per token by key.
    pub(super) prices: HashMap<String, Decimal>,
    tiers: Vec<EntryTier>,
    quiet: Option<Quiet>,
}

/// One element of `tiered_pricing`; for some modes it has prices per query and no range of tokens.
#[derive(Debug, serde::Deserialize)]
struct EntryTier {
    range: Option<Vec<Number>>,
    input_cost_per_token: Option<PerToken>,
    output_cost_per_token: Option<PerToken>,
    cache_read_input_token_cost: Option<PerToken>,
    cache_creation_input_token_cost: Option<PerToken>,
}

impl EntryTier {
    fn rates(&self) -> Result<Rates, &'static str> {
        Ok(Rates {
            input_usd_per_mtok: price(self.input_cost_per_token)?,
            output_usd_per_mtok: price(self.output_cost_per_token)?,
            cached_input_usd_per_mtok: price(self.cache_read_input_token_cost)?,
            cache_write_usd_per_mtok: price(self.cache_creation_input_token_cost)?,
            ..Rates::default()
        })
    }
}

/// `off_peak_pricing`.
#[derive(Debug, serde::Deserialize)]
struct Quiet {
    input_cost_per_token: Option<PerToken>,
    output_cost_per_token: Option<PerToken>,
    cache_read_input_token_cost: Option<PerToken>,
    windows: Vec<WindowFields>,
    weekday_timezone: Option<String>,
}

fn price(per_token: Option<PerToken>) -> Result<Option<Price>, &'static str> {
    per_token.map(|price| usd_per_mtok(price.0)).transpose()
}

impl Quiet {
    fn local(&self) -> bool {
        self.weekday_timezone
            .as_ref()
            .is_some_and(|zone| zone != "UTC")
    }
}

impl Entry {
    /// The thresholds of its `_above_Nk_tokens` keys, in thousands.
    pub(super) fn thresholds(&self) -> BTreeSet<u32> {
        self.prices
            .keys()
            .filter_map(|key| {
                let rest = key.strip_prefix("input_cost_per_token_above_")?;
                rest.strip_suffix("k_tokens")?.parse().ok()
            })
            .filter(|thousands| *thousands > 0 && *thousands < 1_000_000)
            .collect()
    }

    /// Whether its quiet hours are in a time zone of their own, which a week in UTC cannot hold.
    pub(super) fn has_local_quiet_hours(&self) -> bool {
        self.quiet.as_ref().is_some_and(Quiet::local)
    }

    /// The tiers of `tiered_pricing`; the first may begin at 0.
    pub(super) fn listed_tiers(&self) -> Result<Vec<TierRow>, &'static str> {
        self.tiers
            .iter()
            .filter_map(|tier| {
                let above_input_tokens = tier.range.as_ref()?.first()?.count()?;
                Some(tier.rates().map(|rates| TierRow {
                    above_input_tokens,
                    rates,
                }))
            })
            .collect()
    }

    /// Prices at quiet hours.
    pub(super) fn off_peak(&self) -> Result<Option<OffPeakRow>, &'static str> {
        let Some(quiet) = self.quiet.as_ref().filter(|quiet| !quiet.local()) else {
            return Ok(None);
        };
        Ok(Some(OffPeakRow {
            rates: Rates {
                input_usd_per_mtok: price(quiet.input_cost_per_token)?,
                output_usd_per_mtok: price(quiet.output_cost_per_token)?,
                cached_input_usd_per_mtok: price(quiet.cache_read_input_token_cost)?,
                ..Rates::default()
            },
            windows: quiet.windows.iter().map(WindowFields::row).collect(),
        }))
    }

    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "mode" => self.mode = map.next_value::<Text>()?.0,
            "litellm_provider" => self.provider = map.next_value::<Text>()?.0,
            "source" => self.source = map.next_value::<Text>()?.0,
            "deprecation_date" => {
                self.deprecated = map
                    .next_value::<Text>()?
                    .0
                    .and_then(|date| date.parse().ok());
            }
            "max_input_tokens" => self.context_tokens = map.next_value::<Number>()?.count(),
            "prompt_cache_min_tokens" => {
                self.cache_min_tokens = map.next_value::<Number>()?.count();
            }
            "output_vector_size" => self.dimensions = map.next_value::<Number>()?.count(),
            "input_cost_per_query" => {
                let query = map.next_value::<Option<PerToken>>()?;
                self.query = query.and_then(|query| Price::new(query.0));
            }
            "tiered_pricing" => {
                self.tiers = map.next_value::<Option<_>>()?.unwrap_or_default();
            }
            "off_peak_pricing" => {
                self.quiet = map.next_value()?;
            }
            _ if key.contains("_cost_per_token") || key.contains("_token_cost") => {
                if let Some(price) = map.next_value::<Option<PerToken>>()? {
                    self.prices.insert(key.to_owned(), price.0);
                }
            }
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Entries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of models")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries: Vec<(String, Entry)> = Vec::new();
                let mut places: HashMap<String, usize> = HashMap::new();
                while let Some((key, entry)) = map.next_entry::<String, Entry>()? {
                    match places.get(&key) {
                        Some(place) => entries[*place].1 = entry,
                        None => {
                            places.insert(key.clone(), entries.len());
                            entries.push((key, entry));
                        }
                    }
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(List)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Entry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with the prices of a model")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
                let mut entry = Entry::default();
                while let Some(key) = map.next_key::<String>()? {
                    entry.read(&key, &mut map)?;
                }
                Ok(entry)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

#[derive(Debug, Clone, serde::Deserialize)]
struct WindowFields {
    hours_utc: OneOrMore,
    #[serde(default = "every_day")]
    weekdays: Vec<Weekday>,
}

impl WindowFields {
    fn row(&self) -> WindowRow {
        WindowRow {
            weekdays: self.weekdays.clone(),
            hours_utc: self.hours_utc.0.clone(),
        }
    }
}

fn every_day() -> Vec<Weekday> {
    (1..=7)
        .map(|day| Weekday::try_from(day).expect("1 to 7 are days"))
        .collect()
}

/// A span or a list of spans.
#[derive(Debug, Clone)]
struct OneOrMore(Vec<TimeSpan>);

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Spans;
        impl<'de> Visitor<'de> for Spans {
            type Value = OneOrMore;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a span as \"04:00-06:00\" or a list of them")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMore, E> {
                let span = TimeSpan::try_from(text.to_owned()).map_err(E::custom)?;
                Ok(OneOrMore(vec![span]))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMore, A::Error> {
                let mut spans = Vec::new();
                while let Some(span) = list.next_element()? {
                    spans.push(span);
                }
                Ok(OneOrMore(spans))
            }
        }
        deserializer.deserialize_any(Spans)
    }
}

/// A price as the decimal that was written, as a number or as text.
#[derive(Debug, Clone, Copy)]
struct PerToken(Decimal);

impl<'de> Deserialize<'de> for PerToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(Scalar)? {
            Value::Number(number) => Ok(Self(number)),
            Value::Text(text) => Decimal::from_scientific(&text)
                .or_else(|_| Decimal::from_str_exact(&text))
                .map(Self)
                .map_err(|_| {
                    let text: String = text.chars().take(40).collect();
                    de::Error::custom(format!("`{text}` is no price"))
                }),
            Value::Other => Err(de::Error::custom("a price must be a number")),
        }
    }
}

/// Text where text stands; anything else counts as absent.
struct Text(Option<String>);

/// A number where a number stands, as the decimal that was written; anything else counts as absent.
#[derive(Debug, Clone, Copy)]
struct Number(Option<Decimal>);

impl Number {
    /// A count, which some entries write as `6144.0`.
    fn count(&self) -> Option<u32> {
        let count = self.0?;
        (count.fract().is_zero())
            .then(|| u32::try_from(count).ok())
            .flatten()
    }
}

/// The decimal that a JSON number was written as. The list's numbers were printed from floats, some
/// of them with the noise of a multiplication (`2.0000000000000002e-07`): fifteen digits, all that a
/// float holds for sure, give back what was meant.
fn decimal(number: f64) -> Option<Decimal> {
    Decimal::from_scientific(&format!("{number:.14e}"))
        .ok()
        .map(|decimal| decimal.normalize())
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(Scalar)
            .map(|value| match value {
                Value::Number(number) => Self(Some(number)),
                Value::Text(_) | Value::Other => Self(None),
            })
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(Scalar)
            .map(|value| match value {
                Value::Text(text) => Self(Some(text)),
                Value::Number(_) | Value::Other => Self(None),
            })
    }
}

/// What stands where a scalar is expected.
enum Value {
    Number(Decimal),
    Text(String),
    Other,
}

struct Scalar;

impl<'de> Visitor<'de> for Scalar {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        decimal(number)
            .map(Value::Number)
            .ok_or_else(|| E::custom(format!("{number:e} is out of the range of prices")))
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(Decimal::from(number)))
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(Decimal::from(number)))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }
    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }
    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Other)
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}
