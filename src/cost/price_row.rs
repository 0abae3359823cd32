//! A catalog row in numbers: decimal text meets arithmetic here.

use rust_decimal::Decimal;

use super::bill::{BatchRates, OffPeakRates, Prices, Tier, TokenRates};
use super::traffic::{Demand, Profile};
use crate::catalog::book::{ApiPrice, OffPeak, TokenPrices};

/// Shortest cached prefix where a catalog row is silent, in tokens: the rule of the first sellers.
const SILENT_CACHE_MIN_TOKENS: f64 = 1_024.0;

/// Decimal text leaves the catalog here and meets arithmetic.
pub(super) fn number(decimal: Decimal) -> f64 {
    f64::try_from(decimal).expect("a decimal of 96 bits is within the range of f64")
}

fn rates(prices: &TokenPrices) -> TokenRates {
    TokenRates {
        input: number(prices.input_usd_per_mtok),
        output: number(prices.output_usd_per_mtok),
        cached: prices.cached_input_usd_per_mtok.map(number),
        write: prices.cache_write_usd_per_mtok.map(number),
    }
}

pub(super) fn of_row(row: &ApiPrice, demand: &Demand) -> Prices {
    let base = rates(&row.prices);
    let ratio = |over: f64, under: f64| if under > 0.0 { over / under } else { 1.0 };
    Prices {
        name: row.id.as_str().into(),
        rates: base,
        cache_min_tokens: row
            .cache_min_tokens
            .map_or(SILENT_CACHE_MIN_TOKENS, |tokens| tokens as f64),
        cache_storage: row.cache_storage_usd_per_mtok_hour.map(number),
        batch: row.batch.as_ref().map(|batch| BatchRates {
            input: ratio(number(batch.input_usd_per_mtok), base.input),
            output: ratio(number(batch.output_usd_per_mtok), base.output),
            cached: batch
                .cached_input_usd_per_mtok
                .map(|price| ratio(number(price), base.cached.unwrap_or(base.input))),
        }),
        tiers: row
            .tiers
            .iter()
            .map(|tier| Tier {
                above_tokens: tier.above_tokens as f64,
                rates: rates(&tier.prices),
            })
            .collect(),
        off_peak: row.off_peak.as_ref().map(|off_peak| OffPeakRates {
            share: off_peak_share(off_peak, &demand.profile),
            rates: rates(&off_peak.prices),
        }),
    }
}

/// Share of the traffic in cheaper hours; a day's profile repeats through the week, and where only
/// the peak is known the traffic counts as even.
fn off_peak_share(off_peak: &OffPeak, profile: &Profile) -> f64 {
    let weight = |hour: usize| match profile {
        Profile::Peak(_) => 1.0,
        Profile::Hourly(weights) => weights[hour % weights.len()],
    };
    (0..168)
        .map(|hour| weight(hour) * off_peak.share_of_hour(hour))
        .sum::<f64>()
        / 168.0
}
