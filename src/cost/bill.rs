//! The API side: what a user request and a month cost at token prices.

use std::ops::{Add, Mul};
use std::sync::Arc;

use super::conversation::{Call, Role};
use super::piece::{Piece, pieces};
use super::scenario::Policy;
use super::token_usd::{batch_usd, live_usd};
use super::traffic::Demand;
use crate::units::TOKENS_PER_MTOK;

/// Token prices of one tier in USD per million tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenRates {
    /// Uncached input.
    pub input: f64,
    /// Output.
    pub output: f64,
    /// Cache reads; without a price they cost what input costs.
    pub cached: Option<f64>,
    /// Cache writes; without a price, or at 0, they cost what input costs.
    pub write: Option<f64>,
}

impl TokenRates {
    pub(super) fn read_rate(&self) -> f64 {
        self.cached.unwrap_or(self.input)
    }

    pub(super) fn write_rate(&self) -> f64 {
        self.write.filter(|rate| *rate > 0.0).unwrap_or(self.input)
    }
}

/// Batch prices over ordinary ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchRates {
    /// Of input.
    pub input: f64,
    /// Of output.
    pub output: f64,
    /// Of cached input, where the price list names the combination; discounts never stack by default.
    pub cached: Option<f64>,
}

/// Prices that hold above a threshold of input tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tier {
    /// The threshold.
    pub above_tokens: f64,
    /// The prices of the whole request above it.
    pub rates: TokenRates,
}

/// Prices of cheaper hours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OffPeakRates {
    /// Share of the traffic that falls into them.
    pub share: f64,
    /// The prices.
    pub rates: TokenRates,
}

/// The price of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Prices {
    /// Its name.
    pub name: Arc<str>,
    /// Ordinary prices.
    pub rates: TokenRates,
    /// Shortest prefix that the cache takes.
    pub cache_min_tokens: f64,
    /// Storage of an explicit cache per million tokens and hour.
    pub cache_storage: Option<f64>,
    /// Batch prices; `None` uses the multiplier of the workload.
    pub batch: Option<BatchRates>,
    /// Long-context tiers, ascending.
    pub tiers: Vec<Tier>,
    /// Cheaper hours.
    pub off_peak: Option<OffPeakRates>,
}

/// Part of the requests that another model takes.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteCase {
    /// How it takes part.
    pub policy: Policy,
    /// Its share, or the share that goes on.
    pub share: f64,
    /// Its prices.
    pub prices: Prices,
}

/// The API side in plain numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiCase {
    /// Prices of the model that takes what is not routed.
    pub prices: Prices,
    /// Other models.
    pub routes: Vec<RouteCase>,
    /// Who summarizes, if not the model itself.
    pub summary: Option<Prices>,
    /// Multiplies all token prices: 1 today.
    pub price_factor: f64,
    /// Negotiated discount on token prices.
    pub discount: f64,
    /// Fixed fee per month.
    pub fixed_usd_per_month: f64,
    /// Price of routing one user request.
    pub router_usd_per_request: f64,
    /// Self-hosted tokens over API tokens.
    pub tokenizer_ratio: f64,
}

/// Tokens and dollars per user request.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Charge {
    /// Dollars for input.
    pub input_usd: f64,
    /// Dollars for output.
    pub output_usd: f64,
    /// Part of the input's dollars: cache reads.
    pub read_usd: f64,
    /// Part of the input's dollars: cache writes.
    pub written_usd: f64,
    /// Input at the full price.
    pub uncached_tokens: f64,
    /// Input read from the cache.
    pub read_tokens: f64,
    /// Input written to the cache.
    pub written_tokens: f64,
    /// Output.
    pub output_tokens: f64,
}

impl Charge {
    /// Input of every kind: the three parts are a partition.
    pub fn input_tokens(&self) -> f64 {
        self.uncached_tokens + self.read_tokens + self.written_tokens
    }

    /// Dollars for tokens.
    pub fn usd(&self) -> f64 {
        self.input_usd + self.output_usd
    }
}

impl Add for Charge {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            input_usd: self.input_usd + other.input_usd,
            output_usd: self.output_usd + other.output_usd,
            read_usd: self.read_usd + other.read_usd,
            written_usd: self.written_usd + other.written_usd,
            uncached_tokens: self.uncached_tokens + other.uncached_tokens,
            read_tokens: self.read_tokens + other.read_tokens,
            written_tokens: self.written_tokens + other.written_tokens,
            output_tokens: self.output_tokens + other.output_tokens,
        }
    }
}

impl Mul<f64> for Charge {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        Self {
            input_usd: self.input_usd * factor,
            output_usd: self.output_usd * factor,
            read_usd: self.read_usd * factor,
            written_usd: self.written_usd * factor,
            uncached_tokens: self.uncached_tokens * factor,
            read_tokens: self.read_tokens * factor,
            written_tokens: self.written_tokens * factor,
            output_tokens: self.output_tokens * factor,
        }
    }
}

/// What the API side costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ApiBill {
    /// Tokens per user request, semantic hits and retries included.
    pub charge: Charge,
    /// Routing, per user request.
    pub router_usd: f64,
    /// Fee and cache storage per month.
    pub fixed_usd_per_month: f64,
}

impl ApiBill {
    /// Works out the bill of a workload.
    pub fn new(api: &ApiCase, demand: &Demand, calls: &[Call], hours_per_month: f64) -> Self {
        let price = |prices: &Prices| charge(prices, api.summary.as_ref(), demand, calls);
        let mut routed = 0.0;
        let mut shared = Charge::default();
        let mut first = Charge::default();
        let mut reaching = 1.0;
        for route in &api.routes {
            let cost = price(&route.prices);
            match route.policy {
                Policy::Share => {
                    routed += route.share;
                    shared = shared + cost * route.share;
                }
                Policy::Cascade => {
                    first = first + cost * reaching;
                    reaching *= route.share;
                }
            }
        }
        let kept = price(&api.prices) * (1.0 - routed);
        let mut charge = first + (shared + kept) * reaching;
        let factor = api.price_factor * (1.0 - api.discount);
        charge.input_usd *= factor;
        charge.output_usd *= factor;
        charge.read_usd *= factor;
        charge.written_usd *= factor;
        Self {
            charge,
            router_usd: api.router_usd_per_request,
            fixed_usd_per_month: api.fixed_usd_per_month
                + storage_usd_per_hour(api, demand) * hours_per_month * factor,
        }
    }

    /// What one more user request costs.
    pub fn marginal_usd(&self) -> f64 {
        self.charge.usd() + self.router_usd
    }

    /// The bill of a month, without what both sides share.
    pub fn month_usd(&self, requests: f64) -> f64 {
        requests * self.marginal_usd() + self.fixed_usd_per_month
    }

    /// Dollars for tokens per million tokens, input and output together; `None` without tokens.
    pub fn blended_usd_per_mtok(&self) -> Option<f64> {
        let tokens = self.charge.input_tokens() + self.charge.output_tokens;
        (tokens > 0.0).then(|| self.charge.usd() * TOKENS_PER_MTOK / tokens)
    }
}

/// Dollars per hour for one stored copy of the prefix at every model that takes part.
fn storage_usd_per_hour(api: &ApiCase, demand: &Demand) -> f64 {
    let taken = |policy: Policy| {
        let routes = api
            .routes
            .iter()
            .filter(move |route| route.policy == policy);
        routes.map(|route| route.share)
    };
    let left = taken(Policy::Share).sum::<f64>() < 1.0 - 1e-9;
    let reached = taken(Policy::Cascade).all(|share| share > 0.0);
    let routed = api.routes.iter().filter(|route| match route.policy {
        Policy::Share => route.share > 0.0,
        Policy::Cascade => true,
    });
    let base = (left && reached).then_some(&api.prices);
    routed
        .map(|route| &route.prices)
        .chain(base)
        .map(|prices| cache_storage(prices, demand))
        .sum()
}

/// Dollars per hour for one stored copy of the prefix, where the seller charges storage.
fn cache_storage(prices: &Prices, demand: &Demand) -> f64 {
    let stored = demand.prefix_hit_rate > 0.0 && demand.system_tokens >= prices.cache_min_tokens;
    match prices.cache_storage {
        Some(rate) if stored => demand.system_tokens / TOKENS_PER_MTOK * rate,
        Some(_) | None => 0.0,
    }
}

/// Tokens and dollars per user request at one price list, semantic hits and retries included.
fn charge(prices: &Prices, summary: Option<&Prices>, demand: &Demand, calls: &[Call]) -> Charge {
    let mut total = Charge::default();
    for call in calls {
        let prices = match call.role {
            Role::Answer => prices,
            Role::Summary => summary.unwrap_or(prices),
        };
        let thresholds: Vec<f64> = prices.tiers.iter().map(|tier| tier.above_tokens).collect();
        for piece in pieces(*call, demand, &thresholds) {
            let prices = match piece.call.role {
                Role::Answer => prices,
                Role::Summary => summary.unwrap_or(prices),
            };
            total = total + priced(prices, demand, &piece);
        }
    }
    let (input, output) = (demand.input_factor(), demand.output_factor());
    Charge {
        input_usd: total.input_usd * input,
        output_usd: total.output_usd * output,
        read_usd: total.read_usd * input,
        written_usd: total.written_usd * input,
        uncached_tokens: total.uncached_tokens * input,
        read_tokens: total.read_tokens * input,
        written_tokens: total.written_tokens * input,
        output_tokens: total.output_tokens * output,
    }
}

/// The partition of a piece's input and its price, batch share and cheaper hours included.
fn priced(prices: &Prices, demand: &Demand, piece: &Piece) -> Charge {
    let caching = demand.prefix_hit_rate > 0.0 && piece.call.role == Role::Answer;
    let takes = |length: f64| caching && length > 0.0 && length >= prices.cache_min_tokens;
    let read = if takes(piece.call.shared) {
        demand.prefix_hit_rate * piece.shared
    } else {
        0.0
    };
    let written = if takes(piece.call.cacheable) {
        piece.cacheable - read
    } else {
        0.0
    };
    let mut charge = Charge {
        uncached_tokens: piece.input - read - written,
        read_tokens: read,
        written_tokens: written,
        output_tokens: piece.output,
        ..Charge::default()
    };
    let rates = prices.at(piece.tier, prices.rates);
    let mut usd = live_usd(&charge, &rates);
    if let Some(off_peak) = prices.off_peak {
        let cheap = live_usd(&charge, &prices.at(piece.tier, off_peak.rates));
        usd = usd.moved(cheap, off_peak.share);
    }
    let share = demand.batch.share;
    if share > 0.0 {
        usd = usd.moved(batch_usd(&charge, &rates, prices.batch, demand), share);
    }
    charge.input_usd = usd.uncached + usd.read + usd.written;
    charge.read_usd = usd.read;
    charge.written_usd = usd.written;
    charge.output_usd = usd.output;
    charge
}

impl Prices {
    /// The prices of a tier; cheaper hours keep their ratio to the ordinary price in every tier.
    fn at(&self, tier: usize, base: TokenRates) -> TokenRates {
        let Some(above) = tier.checked_sub(1).and_then(|index| self.tiers.get(index)) else {
            return base;
        };
        let scale = |tiered: f64, base: f64, ordinary: f64| {
            if ordinary > 0.0 {
                tiered * base / ordinary
            } else {
                tiered
            }
        };
        let input = scale(above.rates.input, base.input, self.rates.input);
        TokenRates {
            input,
            output: scale(above.rates.output, base.output, self.rates.output),
            cached: above
                .rates
                .cached
                .map(|rate| scale(rate, base.read_rate(), self.rates.read_rate())),
            write: above
                .rates
                .write
                .map(|rate| scale(rate, base.write_rate(), self.rates.write_rate())),
        }
    }
}

/// The share of the spending that must move to a model `times_cheaper` for an `n`-fold saving:
/// `(1 − 1/n)/(1 − 1/x)`; `None` where no share is enough.
pub fn share_needed(n: f64, times_cheaper: f64) -> Option<f64> {
    let share = (1.0 - 1.0 / n) / (1.0 - 1.0 / times_cheaper);
    (times_cheaper > 1.0 && share <= 1.0).then_some(share)
}
