//! Dollars for the tokens of a request by their kind, live and in batches.

use super::bill::{BatchRates, Charge, TokenRates};
use super::traffic::Demand;
use crate::units::TOKENS_PER_MTOK;

/// Dollars by kind of token.
#[derive(Clone, Copy)]
pub(super) struct TokenUsd {
    pub(super) uncached: f64,
    pub(super) read: f64,
    pub(super) written: f64,
    pub(super) output: f64,
}

impl TokenUsd {
    /// With a share of the traffic paid at other prices.
    pub(super) fn moved(self, to: Self, share: f64) -> Self {
        let between = |here: f64, there: f64| here + (there - here) * share;
        Self {
            uncached: between(self.uncached, to.uncached),
            read: between(self.read, to.read),
            written: between(self.written, to.written),
            output: between(self.output, to.output),
        }
    }
}

/// At ordinary prices.
pub(super) fn live_usd(charge: &Charge, rates: &TokenRates) -> TokenUsd {
    let usd = |tokens: f64, rate: f64| tokens * rate / TOKENS_PER_MTOK;
    TokenUsd {
        uncached: usd(charge.uncached_tokens, rates.input),
        read: usd(charge.read_tokens, rates.read_rate()),
        written: usd(charge.written_tokens, rates.write_rate()),
        output: usd(charge.output_tokens, rates.output),
    }
}

/// Through a batch interface.
pub(super) fn batch_usd(
    charge: &Charge,
    rates: &TokenRates,
    batch: Option<BatchRates>,
    demand: &Demand,
) -> TokenUsd {
    let batch = batch.unwrap_or(BatchRates {
        input: demand.batch.multiplier,
        output: demand.batch.multiplier,
        cached: None,
    });
    let input = rates.input * batch.input;
    let read = batch
        .cached
        .map_or(input, |factor| rates.read_rate() * factor);
    let usd = |tokens: f64, rate: f64| tokens * rate / TOKENS_PER_MTOK;
    TokenUsd {
        uncached: usd(charge.uncached_tokens, input),
        read: usd(charge.read_tokens, read),
        written: usd(charge.written_tokens, input),
        output: usd(charge.output_tokens, rates.output * batch.output),
    }
}
