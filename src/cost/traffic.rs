//! The workload in plain numbers: how many requests, at which hours, of how many tokens.

use std::sync::Arc;

use super::scenario::traffic::{Batch, Burst, Forecast};
use super::scenario::{Conversation, OnLimit, Retrieval, Traffic};

/// How many requests users send.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Volume {
    /// Requests per day of 24 hours.
    PerDay(f64),
    /// Requests per month.
    PerMonth(f64),
}

impl Volume {
    /// Requests per month of the calendar: per day × hours / 24, a real number.
    pub fn per_month(self, hours_per_month: f64) -> f64 {
        match self {
            Self::PerDay(requests) => requests * hours_per_month / 24.0,
            Self::PerMonth(requests) => requests,
        }
    }
}

/// How the load is spread over the week, relative to its mean.
#[derive(Debug, Clone, PartialEq)]
pub enum Profile {
    /// Only the peak is known.
    Peak(f64),
    /// One weight per hour of a day or of a week, mean 1.
    Hourly(Arc<[f64]>),
}

impl Profile {
    /// Weights of any scale, rescaled to mean 1.
    pub fn hourly(weights: &[f64]) -> Self {
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        Self::Hourly(weights.iter().map(|weight| weight / mean).collect())
    }

    /// Peak over mean.
    pub fn peak(&self) -> f64 {
        match self {
            Self::Peak(peak) => *peak,
            Self::Hourly(weights) => weights.iter().copied().fold(0.0, f64::max),
        }
    }

    /// The load after the share that can wait has been moved out of the peak: the lowest level that
    /// takes all of it fills the valleys.
    #[must_use]
    pub fn with_batch(&self, batch_share: f64) -> Self {
        if batch_share <= 0.0 {
            return self.clone();
        }
        let live = 1.0 - batch_share;
        match self {
            // The whole load is 1 on average, so a peak below 1 cannot be.
            Self::Peak(peak) => Self::Peak((peak * live).max(1.0)),
            Self::Hourly(weights) => {
                let level = fill_level(weights, live, batch_share);
                Self::Hourly(weights.iter().map(|w| (w * live).max(level)).collect())
            }
        }
    }
}

/// The level up to which `batch` fills the valleys of `live · weights`.
fn fill_level(weights: &[f64], live: f64, batch: f64) -> f64 {
    let mut hours: Vec<f64> = weights.iter().map(|weight| weight * live).collect();
    hours.sort_by(f64::total_cmp);
    let volume = batch * hours.len() as f64;
    let mut below = 0.0;
    for (index, hour) in hours.iter().enumerate() {
        let filled = hour * index as f64 - below;
        if filled >= volume {
            return (volume + below) / index as f64;
        }
        below += hour;
    }
    (volume + below) / hours.len() as f64
}

/// The workload as the model sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Demand {
    /// User requests.
    pub volume: Volume,
    /// Their spread over the week.
    pub profile: Profile,
    /// Allowance for bursts.
    pub burst: Burst,
    /// System prompt.
    pub system_tokens: f64,
    /// History of a single request.
    pub history_tokens: f64,
    /// What the user writes in a single request.
    pub user_tokens: f64,
    /// Tools.
    pub tool_tokens: f64,
    /// Output of a single request.
    pub output_tokens: f64,
    /// Spread of the input.
    pub input_tokens_cv: f64,
    /// Spread of the output.
    pub output_tokens_cv: f64,
    /// Billed retries of input.
    pub retries: f64,
    /// Billed retries of output.
    pub output_retries: Option<f64>,
    /// Longest input of a request; 0 is none.
    pub input_token_limit: f64,
    /// Most input of a conversation; 0 is none.
    pub session_token_limit: f64,
    /// What happens there.
    pub on_limit: OnLimit,
    /// Growth.
    pub forecast: Forecast,
    /// What can wait.
    pub batch: Batch,
    /// Answered without a model.
    pub semantic_hit_rate: f64,
    /// Wrong among those.
    pub semantic_wrong_answer_rate: f64,
    /// Share of requests whose prefix is in the cache.
    pub prefix_hit_rate: f64,
    /// Turns, if requests are turns.
    pub conversation: Option<Conversation>,
    /// Chunks, if there are any.
    pub retrieval: Option<Retrieval>,
}

impl Demand {
    /// The workload of a section; a trace brings its own volume and profile.
    pub(crate) fn new(t: &Traffic, trace: Option<&super::trace::Trace>) -> Self {
        let volume = match (t.requests_per_day, t.requests_per_month, trace) {
            (Some(requests), _, _) => Volume::PerDay(requests),
            (None, Some(requests), _) => Volume::PerMonth(requests),
            (None, None, Some(trace)) => Volume::PerDay(trace.requests_per_day),
            (None, None, None) => Volume::PerMonth(0.0),
        };
        let profile = match (&t.hourly, trace) {
            (Some(weights), _) => Profile::hourly(weights),
            (None, Some(trace)) => Profile::hourly(&trace.hourly),
            (None, None) => Profile::Peak(t.peak_to_average.unwrap_or(1.0)),
        };
        let between_turns = if t.conversation.is_some() { 1.0 } else { 0.0 };
        Self {
            volume,
            profile,
            burst: t.burst.clone(),
            system_tokens: t.system_tokens,
            history_tokens: t.history_tokens.unwrap_or(0.0),
            user_tokens: t.user_tokens.unwrap_or(0.0),
            tool_tokens: t.tool_tokens,
            output_tokens: t.output_tokens.unwrap_or(0.0),
            input_tokens_cv: t.input_tokens_cv,
            output_tokens_cv: t.output_tokens_cv,
            retries: t.retries,
            output_retries: t.output_retries,
            input_token_limit: t.input_token_limit,
            session_token_limit: t.session_token_limit,
            on_limit: t.on_limit,
            forecast: t.forecast.clone(),
            batch: t.batch.clone(),
            semantic_hit_rate: t.cache.semantic_hit_rate,
            semantic_wrong_answer_rate: t.cache.semantic_wrong_answer_rate,
            prefix_hit_rate: t.cache.prefix_hit_rate.unwrap_or(between_turns),
            conversation: t.conversation.clone(),
            retrieval: t.retrieval.clone(),
        }
    }

    /// Tokens that retrieval adds to each input.
    pub fn chunk_tokens(&self) -> f64 {
        self.retrieval
            .as_ref()
            .map_or(0.0, |r| r.chunks * r.tokens_per_chunk)
    }

    /// What the user writes per request, in a conversation per turn.
    pub fn query_tokens(&self) -> f64 {
        self.conversation
            .as_ref()
            .map_or(self.user_tokens, |talk| talk.user_tokens)
    }

    /// Calls that reach the model per user request: `(1 − semantic_hit_rate)(1 + retries)`.
    pub fn input_factor(&self) -> f64 {
        (1.0 - self.semantic_hit_rate) * (1.0 + self.retries)
    }

    /// The same for output tokens.
    pub fn output_factor(&self) -> f64 {
        (1.0 - self.semantic_hit_rate) * (1.0 + self.output_retries.unwrap_or(self.retries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_day_of_requests_becomes_a_month_of_the_calendar() {
        assert!((Volume::PerDay(10_000.0).per_month(720.0) - 300_000.0).abs() < 1e-9);
        assert!((Volume::PerDay(10_000.0).per_month(730.0) - 304_166.666_667).abs() < 1e-3);
        assert!((Volume::PerMonth(5.0).per_month(730.0) - 5.0).abs() < 1e-12);
    }

    #[test]
    fn batch_load_moves_out_of_the_peak() {
        let profile = Profile::hourly(&[0.0, 1.0, 3.0]);
        let Profile::Hourly(load) = profile.with_batch(0.5) else {
            panic!("an hourly profile stays one");
        };
        // Live load is 0, 0.375, 1.125; 1.5 of batch lifts all three to 1 on average.
        let expected = [0.9375, 0.9375, 1.125];
        for (got, want) in load.iter().zip(expected) {
            assert!((got - want).abs() < 1e-12, "{load:?}");
        }
        assert_eq!(Profile::Peak(4.0).with_batch(0.5), Profile::Peak(2.0));
        assert_eq!(Profile::Peak(4.0).with_batch(0.9), Profile::Peak(1.0));
    }

    proptest! {
        #[test]
        fn moving_batch_load_keeps_the_volume(
            weights in prop::collection::vec(0.01..10.0f64, 24), share in 0.0..1.0f64
        ) {
            let before = Profile::hourly(&weights);
            let after = before.with_batch(share);
            prop_assert!(after.peak() <= before.peak() * (1.0 + 1e-9));
            if let Profile::Hourly(load) = after {
                let mean = load.iter().sum::<f64>() / 24.0;
                prop_assert!((mean - 1.0).abs() < 1e-9, "{mean}");
            }
        }
    }
}
