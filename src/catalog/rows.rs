//! What a catalog file says: cards, rentals and API prices, each with its source and date.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::offpeak::OffPeakRow;
use super::price::Price;

/// One catalog file. The bundled ones and the user's have the same form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogFile {
    /// Where the rows were imported from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportStamp>,
    /// Cards.
    #[serde(default, rename = "gpu", skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<GpuRow>,
    /// Hourly rates.
    #[serde(default, rename = "rental", skip_serializing_if = "Vec::is_empty")]
    pub rentals: Vec<RentalRow>,
    /// Prices of APIs.
    #[serde(default, rename = "api", skip_serializing_if = "Vec::is_empty")]
    pub apis: Vec<ApiRow>,
}

/// What was imported, so that it can be found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportStamp {
    /// The list's name.
    pub list: String,
    /// SHA-256 of the imported file.
    pub sha256: String,
    /// The date the prices are counted from.
    pub as_of: Date,
}

/// A number type of matrix arithmetic, as data sheets name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dtype {
    /// 32-bit floating point outside the tensor cores.
    F32,
    /// f32 operands rounded to 10 bits of mantissa.
    Tf32,
    /// IEEE half with accumulation in f32.
    F16,
    /// bfloat16 with accumulation in f32.
    Bf16,
    /// 8-bit floating point.
    Fp8,
    /// 8-bit integers.
    Int8,
}

/// What a maker's sheet says of a card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuRow {
    /// The id on the command line, as `h100-sxm`.
    pub id: String,
    /// The product's name.
    pub name: String,
    /// Names that drivers report, without the maker.
    pub device_names: Vec<String>,
    /// Memory that the driver reports.
    pub memory_mib: u64,
    /// Memory bandwidth in 10⁹ bytes per second.
    pub bandwidth_gb_per_s: u64,
    /// Peak rates in 10⁹ operations per second, without structured sparsity.
    pub dense_gflops: BTreeMap<Dtype, u32>,
    /// Power limit as shipped.
    pub tdp_watts: u32,
    /// Address of the sheet.
    pub source: String,
    /// The day the sheet was read.
    pub retrieved: Date,
    /// What the numbers do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How an hour is bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Commit {
    /// By the hour.
    #[serde(rename = "on-demand")]
    OnDemand,
    /// For a term that the source does not state.
    #[serde(rename = "reserved")]
    Reserved,
    /// For one year.
    #[serde(rename = "reserved-1y")]
    Reserved1y,
    /// For three years.
    #[serde(rename = "reserved-3y")]
    Reserved3y,
    /// Until someone pays more.
    #[serde(rename = "spot")]
    Spot,
    /// A model of what owning costs.
    #[serde(rename = "owned-tco")]
    OwnedTco,
}

impl Commit {
    /// The word in files and tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::OnDemand => "on-demand",
            Self::Reserved => "reserved",
            Self::Reserved1y => "reserved-1y",
            Self::Reserved3y => "reserved-3y",
            Self::Spot => "spot",
            Self::OwnedTco => "owned-tco",
        }
    }
}

/// How far a number is from whoever sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Read where the seller publishes it.
    Primary,
    /// Read in someone's list.
    Secondary,
    /// Modelled.
    Estimate,
}

impl Confidence {
    /// The word in files and tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::Estimate => "estimate",
        }
    }
}

/// What an hour of a card costs somewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RentalRow {
    /// The id in scenarios.
    pub id: String,
    /// Who rents it out.
    pub provider: String,
    /// The card's id; the bare chip where the form factor is unknown; `cpu-…` for a whole machine
    /// without a GPU.
    pub gpu: String,
    /// How it is bought.
    pub commit: Commit,
    /// Dollars per hour and GPU.
    pub usd_per_gpu_hour: Price,
    /// GPUs that are rented together.
    pub quantum_gpus: std::num::NonZeroU32,
    /// Where, if the source says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Where the price was read.
    pub source: String,
    /// The day it was read there.
    pub retrieved: Date,
    /// How far the source is from the seller.
    pub confidence: Confidence,
    /// What the number does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What an API does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiKind {
    /// Tokens in, tokens out.
    Chat,
    /// Tokens in, a vector out.
    Embedding,
    /// A query and documents in, an order out.
    Rerank,
}

impl ApiKind {
    /// The word in files and tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embedding => "embedding",
            Self::Rerank => "rerank",
        }
    }
}

/// The token prices of one tier; what is absent has no price of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Input that was not cached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_usd_per_mtok: Option<Price>,
    /// Output, reasoning included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_usd_per_mtok: Option<Price>,
    /// Input read from the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_usd_per_mtok: Option<Price>,
    /// Input written to the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_usd_per_mtok: Option<Price>,
    /// Input in a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_input_usd_per_mtok: Option<Price>,
    /// Output in a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_output_usd_per_mtok: Option<Price>,
    /// Input read from the cache in a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_cached_input_usd_per_mtok: Option<Price>,
    /// Input written to the cache in a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_cache_write_usd_per_mtok: Option<Price>,
}

/// Prices of requests whose input is longer than a threshold: the whole request is priced so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierRow {
    /// Longest input that is still priced below this tier.
    pub above_input_tokens: u32,
    /// The prices.
    pub rates: Rates,
}

/// What an API charges. The price that its kind is sold by is always there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiRow {
    /// The id in scenarios.
    pub id: String,
    /// Other ids of the same offer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Who sells it.
    pub provider: String,
    /// What it does.
    pub kind: ApiKind,
    /// Dollars per query, for rerankers priced so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd_per_query: Option<Price>,
    /// Shortest prefix that is cached; absent when the list is silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_min_tokens: Option<u32>,
    /// Price of a cache write that lives an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h_usd_per_mtok: Option<Price>,
    /// Longest input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u32>,
    /// Width of the vectors of an embedding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<u32>,
    /// When it is switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<Date>,
    /// Where the price was read.
    pub source: String,
    /// The day it was read there.
    pub retrieved: Date,
    /// How far the source is from the seller.
    pub confidence: Confidence,
    /// What the numbers do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Prices below every tier.
    #[serde(default)]
    pub rates: Rates,
    /// Prices of long inputs, by ascending threshold.
    #[serde(default, rename = "tier", skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<TierRow>,
    /// Prices at quiet hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_peak: Option<OffPeakRow>,
}

impl ApiRow {
    /// The id of a row that lacks what its kind is sold by, and what is wrong with it.
    pub(super) fn fault(&self) -> Option<(&str, String)> {
        let rates = &self.rates;
        let missing = match self.kind {
            ApiKind::Chat if rates.input_usd_per_mtok.is_none() => "input_usd_per_mtok",
            ApiKind::Chat if rates.output_usd_per_mtok.is_none() => "output_usd_per_mtok",
            ApiKind::Embedding if rates.input_usd_per_mtok.is_none() => "input_usd_per_mtok",
            ApiKind::Rerank
                if rates.input_usd_per_mtok.is_none() && self.usd_per_query.is_none() =>
            {
                "usd_per_query"
            }
            ApiKind::Chat | ApiKind::Embedding | ApiKind::Rerank => {
                let rising = self
                    .tiers
                    .is_sorted_by(|a, b| a.above_input_tokens < b.above_input_tokens);
                return (!rising).then(|| {
                    let reason = "has tiers out of order; list them by rising above_input_tokens";
                    (self.id.as_str(), reason.to_owned())
                });
            }
        };
        let reason = format!("has no {missing}; state it, a missing price is not 0");
        Some((&self.id, reason))
    }
}
