//! What a price list knows: plain dated data, and the trait through which the rest asks for it.
//!
//! Money is decimal text until it meets arithmetic. An absent price is `None`, never zero; a price of
//! zero is a zero that somebody published.

use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// Where a row was read and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The page or file it was read from.
    pub source: String,
    /// The day on which it was read.
    pub as_of: Date,
}

/// Prices of one model in USD per million tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenPrices {
    /// Uncached input.
    pub input_usd_per_mtok: Decimal,
    /// Output, reasoning included.
    pub output_usd_per_mtok: Decimal,
    /// Input read from a prompt cache.
    #[serde(default)]
    pub cached_input_usd_per_mtok: Option<Decimal>,
    /// Input written to a prompt cache; absent or zero means that a write costs what input costs.
    #[serde(default)]
    pub cache_write_usd_per_mtok: Option<Decimal>,
}

/// Prices of one model through a batch interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchPrices {
    /// Input.
    pub input_usd_per_mtok: Decimal,
    /// Output.
    pub output_usd_per_mtok: Decimal,
    /// Cached input, where the price list names the combination.
    #[serde(default)]
    pub cached_input_usd_per_mtok: Option<Decimal>,
}

/// Prices that hold for the whole request once its input is longer than a threshold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongContextTier {
    /// Input tokens above which the tier holds.
    pub above_tokens: u64,
    /// The prices in the tier.
    pub prices: TokenPrices,
}

/// One stretch of a weekday in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeekWindow {
    /// 1 is Monday, 7 is Sunday.
    pub weekday: u8,
    /// Minute of the day at which it begins.
    pub from_minute: u16,
    /// Minute of the day before which it ends; 1,440 is midnight.
    pub to_minute: u16,
}

/// Lower prices in some hours of the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OffPeak {
    /// When they hold.
    pub windows: Vec<WeekWindow>,
    /// The prices then.
    pub prices: TokenPrices,
}

impl OffPeak {
    /// The part of one hour of the week (0 is Monday 00:00 UTC) in which the lower prices hold.
    pub fn share_of_hour(&self, hour_of_week: usize) -> f64 {
        let weekday = hour_of_week / 24 + 1;
        let start = (hour_of_week % 24) * 60;
        let minutes: usize = self
            .windows
            .iter()
            .filter(|window| usize::from(window.weekday) == weekday)
            .map(|window| {
                let from = usize::from(window.from_minute).max(start);
                let to = usize::from(window.to_minute).min(start + 60);
                to.saturating_sub(from)
            })
            .sum();
        (minutes as f64 / 60.0).min(1.0)
    }
}

/// Everything known of the price of one chat model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiPrice {
    /// The name under which it is looked up.
    pub id: String,
    /// Who sells it.
    pub provider: String,
    /// Prices of an ordinary request.
    pub prices: TokenPrices,
    /// Storage of an explicit cache, USD per million tokens and hour.
    #[serde(default)]
    pub cache_storage_usd_per_mtok_hour: Option<Decimal>,
    /// Shortest prefix that the cache takes.
    #[serde(default)]
    pub cache_min_tokens: Option<u64>,
    /// Prices of batched requests.
    #[serde(default)]
    pub batch: Option<BatchPrices>,
    /// Long-context tiers in ascending order.
    #[serde(default)]
    pub tiers: Vec<LongContextTier>,
    /// Cheaper hours.
    #[serde(default)]
    pub off_peak: Option<OffPeak>,
    /// The day on which the seller stops selling it.
    #[serde(default)]
    pub deprecated: Option<Date>,
    /// Where and when it was read.
    pub provenance: Provenance,
}

/// The price of an embedding model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingPrice {
    /// The name under which it is looked up.
    pub id: String,
    /// Who sells it.
    pub provider: String,
    /// Input.
    pub input_usd_per_mtok: Decimal,
    /// Input through a batch interface.
    #[serde(default)]
    pub batch_input_usd_per_mtok: Option<Decimal>,
    /// Numbers per vector.
    #[serde(default)]
    pub dimensions: Option<u32>,
    /// Where and when it was read.
    pub provenance: Provenance,
}

/// For how long one binds oneself when renting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Commitment {
    /// By the hour.
    OnDemand,
    /// May be taken away at any time.
    Spot,
    /// Reserved without a stated term.
    Reserved,
    /// One year.
    #[serde(rename = "reserved-1y")]
    Reserved1y,
    /// Three years.
    #[serde(rename = "reserved-3y")]
    Reserved3y,
}

/// One offer of a card by the hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rental {
    /// The name under which it is looked up.
    pub id: String,
    /// Who rents it out.
    pub provider: String,
    /// The card, an id of the GPU catalog.
    pub gpu: String,
    /// For how long.
    pub commitment: Commitment,
    /// One card for one hour.
    pub usd_per_gpu_hour: Decimal,
    /// Cards that are billed together.
    pub quantum_gpus: u32,
    /// Where, if it matters.
    #[serde(default)]
    pub region: Option<String>,
    /// Where and when it was read.
    pub provenance: Provenance,
}

/// Peak dense arithmetic of a card with one number format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DensePeak {
    /// The number format in lower case: f32, tf32, bf16, f16, fp8, int8, fp4.
    pub dtype: String,
    /// Tera-operations per second without sparsity.
    pub tflops: Decimal,
}

/// What the data sheet says of a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuCard {
    /// The name under which it is looked up.
    pub id: String,
    /// The name for people.
    pub name: String,
    /// Memory that the driver reports.
    pub vram_mib: u64,
    /// Peak read bandwidth of the memory in bytes per second.
    pub bandwidth_bytes_per_second: u64,
    /// Peak arithmetic per number format.
    pub peaks: Vec<DensePeak>,
    /// Where and when it was read.
    pub provenance: Provenance,
}

impl GpuCard {
    /// Peak dense operations per second with a number format, `None` where the sheet is silent.
    pub fn flop_per_second(&self, dtype: &str) -> Option<f64> {
        let peak = self.peaks.iter().find(|peak| peak.dtype == dtype)?;
        let tflops: f64 = peak.tflops.try_into().ok()?;
        Some(tflops * 1e12)
    }
}

/// A look-up that found nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no {kind} named `{name}` in the price catalog{}", suggestion(near))]
pub struct NotFound {
    /// What was looked for: "API price", "embedding price", "rental" or "GPU".
    pub kind: &'static str,
    /// The name asked for.
    pub name: String,
    /// Names that come close, best first.
    pub near: Vec<String>,
}

fn suggestion(names: &[String]) -> String {
    if names.is_empty() {
        String::new()
    } else {
        format!("; near it: {}", names.join(", "))
    }
}

/// Who knows prices and cards.
pub trait PriceBook {
    /// The price of a chat model.
    fn api(&self, name: &str) -> Result<ApiPrice, NotFound>;
    /// The price of an embedding model.
    fn embedding(&self, name: &str) -> Result<EmbeddingPrice, NotFound>;
    /// One offer of a card.
    fn rental(&self, id: &str) -> Result<Rental, NotFound>;
    /// Every offer of a card, cheapest first.
    fn rentals_of(&self, gpu: &str) -> Vec<Rental>;
    /// A card.
    fn gpu(&self, id: &str) -> Result<GpuCard, NotFound>;
    /// Every card, in catalog order.
    fn gpus(&self) -> Vec<GpuCard>;
    /// What names this state of the catalog, for the report.
    fn hash(&self) -> String;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices(input: &str) -> TokenPrices {
        TokenPrices {
            input_usd_per_mtok: input.parse().unwrap(),
            output_usd_per_mtok: Decimal::ONE,
            cached_input_usd_per_mtok: None,
            cache_write_usd_per_mtok: None,
        }
    }

    #[track_caller]
    fn is(got: f64, want: f64) {
        assert!((got - want).abs() < 1e-12, "{got} for {want}");
    }

    #[test]
    fn an_hour_half_inside_a_window_is_half_off_peak() {
        let off_peak = OffPeak {
            windows: vec![WeekWindow {
                weekday: 2,
                from_minute: 90,
                to_minute: 180,
            }],
            prices: prices("0.15"),
        };
        is(off_peak.share_of_hour(24), 0.0);
        is(off_peak.share_of_hour(25), 0.5);
        is(off_peak.share_of_hour(26), 1.0);
        is(off_peak.share_of_hour(1), 0.0);
    }

    #[test]
    fn a_missing_name_lists_what_is_near() {
        let error = NotFound {
            kind: "API price",
            name: "gpt-4oo".to_owned(),
            near: vec!["gpt-4o".to_owned(), "gpt-4o-mini".to_owned()],
        };
        assert_eq!(
            error.to_string(),
            "no API price named `gpt-4oo` in the price catalog; near it: gpt-4o, gpt-4o-mini"
        );
    }
}
