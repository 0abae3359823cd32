//! `[api]`: the token-priced side, its routes and further comparators.

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::number;

/// `[api]`, and `[[api.alternative]]` with the same keys, a name and `same_model`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// The name of an alternative.
    pub name: Option<String>,
    /// Whether an alternative sells the very model that would be self-hosted.
    pub same_model: Option<bool>,
    /// A model of the price catalog; or the inline prices below.
    pub model: Option<String>,
    /// Input.
    pub input_usd_per_mtok: Option<f64>,
    /// Output.
    pub output_usd_per_mtok: Option<f64>,
    /// Input read from the prompt cache.
    pub cached_input_usd_per_mtok: Option<f64>,
    /// Input written to the prompt cache.
    pub cache_write_usd_per_mtok: Option<f64>,
    /// Shortest prefix that the cache takes.
    pub cache_min_tokens: Option<f64>,
    /// Storage of an explicit cache.
    pub cache_storage_usd_per_mtok_hour: Option<f64>,
    /// Batched input.
    pub batch_input_usd_per_mtok: Option<f64>,
    /// Batched output.
    pub batch_output_usd_per_mtok: Option<f64>,
    /// Where inline prices come from.
    pub source: Option<String>,
    /// When they were read.
    #[serde(deserialize_with = "number::date")]
    #[schemars(with = "Option<String>")]
    pub as_of: Option<Date>,
    /// Negotiated discount on token prices, routes included.
    pub discount: f64,
    /// Support plan or minimum commitment.
    pub fixed_usd_per_month: f64,
    /// Price of deciding where a request goes.
    pub router_usd_per_request: f64,
    /// Tokens of the self-hosted tokenizer over tokens of the API's, for the same text.
    pub self_hosted_tokenizer_ratio: f64,
    /// Other models for part of the requests.
    pub route: Vec<Route>,
    /// Further comparators.
    pub alternative: Vec<Api>,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            name: None,
            same_model: None,
            model: None,
            input_usd_per_mtok: None,
            output_usd_per_mtok: None,
            cached_input_usd_per_mtok: None,
            cache_write_usd_per_mtok: None,
            cache_min_tokens: None,
            cache_storage_usd_per_mtok_hour: None,
            batch_input_usd_per_mtok: None,
            batch_output_usd_per_mtok: None,
            source: None,
            as_of: None,
            discount: 0.0,
            fixed_usd_per_month: 0.0,
            router_usd_per_request: 0.0,
            self_hosted_tokenizer_ratio: 1.0,
            route: Vec::new(),
            alternative: Vec::new(),
        }
    }
}

/// How a route takes part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// A share of the requests goes here instead.
    #[default]
    Share,
    /// Every request goes here first and a share goes on.
    Cascade,
}

/// `[[api.route]]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Route {
    /// How the route takes part.
    pub policy: Policy,
    /// Share of the requests that reach a model.
    pub share: Option<f64>,
    /// Share that goes on to `[api]`.
    pub escalation: Option<f64>,
    /// A model of the price catalog; or the inline prices below.
    pub model: Option<String>,
    /// Input.
    pub input_usd_per_mtok: Option<f64>,
    /// Output.
    pub output_usd_per_mtok: Option<f64>,
    /// Input read from the prompt cache.
    pub cached_input_usd_per_mtok: Option<f64>,
    /// Input written to the prompt cache.
    pub cache_write_usd_per_mtok: Option<f64>,
    /// Shortest prefix that the cache takes.
    pub cache_min_tokens: Option<f64>,
    /// Storage of an explicit cache.
    pub cache_storage_usd_per_mtok_hour: Option<f64>,
    /// Batched input.
    pub batch_input_usd_per_mtok: Option<f64>,
    /// Batched output.
    pub batch_output_usd_per_mtok: Option<f64>,
    /// Where inline prices come from.
    pub source: Option<String>,
    /// When they were read.
    #[serde(deserialize_with = "number::date")]
    #[schemars(with = "Option<String>")]
    pub as_of: Option<Date>,
}

/// The inline prices of a section, beside or instead of its model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inline<'a> {
    pub(crate) model: Option<&'a str>,
    pub(crate) input: Option<f64>,
    pub(crate) output: Option<f64>,
    pub(crate) cached: Option<f64>,
    pub(crate) write: Option<f64>,
    pub(crate) cache_min: Option<f64>,
    pub(crate) storage: Option<f64>,
    pub(crate) batch_input: Option<f64>,
    pub(crate) batch_output: Option<f64>,
    pub(crate) source: Option<&'a str>,
    pub(crate) as_of: Option<Date>,
}

macro_rules! inline {
    ($section:ident) => {
        impl $section {
            pub(crate) fn inline(&self) -> Inline<'_> {
                Inline {
                    model: self.model.as_deref(),
                    input: self.input_usd_per_mtok,
                    output: self.output_usd_per_mtok,
                    cached: self.cached_input_usd_per_mtok,
                    write: self.cache_write_usd_per_mtok,
                    cache_min: self.cache_min_tokens,
                    storage: self.cache_storage_usd_per_mtok_hour,
                    batch_input: self.batch_input_usd_per_mtok,
                    batch_output: self.batch_output_usd_per_mtok,
                    source: self.source.as_deref(),
                    as_of: self.as_of,
                }
            }
        }
    };
}

inline!(Api);
inline!(Route);
