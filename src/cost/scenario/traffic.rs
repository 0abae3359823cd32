//! `[traffic]`: how many requests, of how many tokens, at which hours.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::number;

/// `[traffic]`. A request is one call of the model; in a conversation, one turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Traffic {
    /// Requests per day; this, `requests_per_month` or `trace`.
    pub requests_per_day: Option<f64>,
    /// Requests per month.
    pub requests_per_month: Option<f64>,
    /// A CSV file of arrivals.
    pub trace: Option<String>,
    /// System prompt: the cacheable prefix.
    pub system_tokens: f64,
    /// Earlier turns that a single request carries.
    pub history_tokens: Option<f64>,
    /// What the user writes.
    pub user_tokens: Option<f64>,
    /// Tool definitions and results.
    pub tool_tokens: f64,
    /// Billed output, reasoning included.
    pub output_tokens: Option<f64>,
    /// Lognormal spread of input lengths.
    pub input_tokens_cv: f64,
    /// Lognormal spread of output lengths.
    pub output_tokens_cv: f64,
    /// Peak over mean load; this or `hourly`.
    pub peak_to_average: Option<f64>,
    /// 24 or 168 weights, rescaled to mean 1.
    pub hourly: Option<Vec<f64>>,
    /// Allowance for short bursts.
    pub burst: Burst,
    /// Billed retries as a share.
    pub retries: f64,
    /// The same for output where it differs.
    pub output_retries: Option<f64>,
    /// Longest input of a request; 0 is none.
    pub input_token_limit: f64,
    /// Most input of a conversation in all; 0 is none.
    pub session_token_limit: f64,
    /// What happens at a limit.
    pub on_limit: OnLimit,
    /// Expected growth.
    pub forecast: Forecast,
    /// The share that is not real-time.
    pub batch: Batch,
    /// Semantic and prefix caching.
    pub cache: Cache,
    /// Multi-turn traffic.
    pub conversation: Option<Conversation>,
    /// Retrieval.
    pub retrieval: Option<Retrieval>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            requests_per_day: None,
            requests_per_month: None,
            trace: None,
            system_tokens: 0.0,
            history_tokens: None,
            user_tokens: None,
            tool_tokens: 0.0,
            output_tokens: None,
            input_tokens_cv: 0.0,
            output_tokens_cv: 0.0,
            peak_to_average: None,
            hourly: None,
            burst: Burst::default(),
            retries: 0.0,
            output_retries: None,
            input_token_limit: 0.0,
            session_token_limit: 0.0,
            on_limit: OnLimit::Truncate,
            forecast: Forecast::default(),
            batch: Batch::default(),
            cache: Cache::default(),
            conversation: None,
            retrieval: None,
        }
    }
}

/// `burst`: an allowance of `z · cv / √(λ · window)` over the rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Burst {
    /// Variation of the times between arrivals; 1 is Poisson.
    pub cv: f64,
    /// Window in which a burst must be served; 0 is off.
    pub window_seconds: f64,
    /// Quantile of the normal distribution.
    pub z: f64,
}

impl Default for Burst {
    fn default() -> Self {
        Self {
            cv: 1.0,
            window_seconds: 0.0,
            z: 1.645,
        }
    }
}

/// What happens to a request or a conversation at its limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnLimit {
    /// The input is cut.
    #[default]
    Truncate,
    /// The request is not served.
    Reject,
    /// One more call shortens the input.
    Summarize,
}

/// `[traffic.forecast]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Forecast {
    /// Growth of the volume per month.
    pub growth_per_month: f64,
    /// Months until the forecast column.
    #[serde(deserialize_with = "number::whole_u32")]
    pub months: u32,
}

impl Default for Forecast {
    fn default() -> Self {
        Self {
            growth_per_month: 0.0,
            months: 12,
        }
    }
}

/// `[traffic.batch]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Batch {
    /// Share of the requests that can wait.
    pub share: f64,
    /// Their price over the ordinary one where the catalog has no batch price.
    pub multiplier: f64,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            share: 0.0,
            multiplier: 0.5,
        }
    }
}

/// `[traffic.cache]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// Share of the requests answered without a model.
    pub semantic_hit_rate: f64,
    /// Share of those answers that are wrong.
    pub semantic_wrong_answer_rate: f64,
    /// Share of the requests whose prefix is read from the cache; left out it is 0, and 1 between
    /// the turns of a conversation. At 0 no prompt cache is in use.
    pub prefix_hit_rate: Option<f64>,
    /// Query embedding of the semantic cache.
    pub embedding: Option<String>,
}

/// What a conversation carries from turn to turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HistoryPolicy {
    /// Everything.
    #[default]
    Full,
    /// The last turns.
    Window,
    /// A summary once it grows too long.
    Summarize,
}

/// `[traffic.conversation]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Conversation {
    /// Mean number of turns.
    pub turns: f64,
    /// Their standard deviation.
    pub turns_sd: f64,
    /// What the user writes per turn.
    pub user_tokens: f64,
    /// What the model answers per turn.
    pub answer_tokens: f64,
    /// What is carried.
    pub policy: HistoryPolicy,
    /// Turns carried by `window`.
    #[serde(deserialize_with = "number::whole_u32")]
    pub window_turns: u32,
    /// History above which `summarize` shortens it.
    pub summarize_above_tokens: f64,
    /// Length of a summary.
    pub summary_tokens: f64,
    /// Who summarizes on the API side; the model itself when left out.
    pub summary_model: Option<String>,
}

impl Default for Conversation {
    fn default() -> Self {
        Self {
            turns: 20.0,
            turns_sd: 0.0,
            user_tokens: 100.0,
            answer_tokens: 150.0,
            policy: HistoryPolicy::Full,
            window_turns: 4,
            summarize_above_tokens: 1_000.0,
            summary_tokens: 200.0,
            summary_model: None,
        }
    }
}

/// `[traffic.retrieval]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retrieval {
    /// Chunks added to the input of each request.
    pub chunks: f64,
    /// Tokens of each.
    pub tokens_per_chunk: f64,
    /// Embedding model; left out: no embedding cost, and a warning.
    pub embedding: Option<String>,
    /// Tokens of a query to embed.
    pub query_tokens: f64,
    /// Chunks in the index.
    pub index_chunks: f64,
    /// Tokens of each.
    pub index_tokens_per_chunk: f64,
    /// Share of tokens that neighbouring chunks repeat.
    pub overlap: f64,
    /// Months after which the index is embedded anew.
    pub reindex_months: f64,
    /// Numbers per vector.
    pub vector_dimensions: f64,
    /// Bytes per number.
    pub vector_bytes: f64,
    /// Price of the vector store.
    pub store_usd_per_gb_month: f64,
    /// Price of reranking one request.
    pub rerank_usd_per_request: f64,
}

impl Default for Retrieval {
    fn default() -> Self {
        Self {
            chunks: 10.0,
            tokens_per_chunk: 500.0,
            embedding: None,
            query_tokens: 100.0,
            index_chunks: 0.0,
            index_tokens_per_chunk: 500.0,
            overlap: 0.0,
            reindex_months: 12.0,
            vector_dimensions: 1_536.0,
            vector_bytes: 4.0,
            store_usd_per_gb_month: 0.0,
            rerank_usd_per_request: 0.0,
        }
    }
}
