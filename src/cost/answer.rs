//! The answer: what the JSON document holds and what every report is made from.
//!
//! Names carry their units, numbers are not rounded, and what is unknown is null.

use serde::Serialize;

use super::breakeven::Crossing;
use super::budget::BudgetAnswer;
use super::capacity::Binding;
use super::horizon::HorizonAnswer;
use super::scenario::Side;
use super::sensitivity::Lever;
use super::uncertainty::UncertaintyAnswer;
use super::view::View;
use super::warning::Warning;

/// The version of the document.
pub const SCHEMA: u32 = 1;

/// The answer to a scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The version of the document.
    pub schema: u32,
    /// The date against which prices are aged.
    pub as_of: Option<String>,
    /// What names the state of the price catalog.
    pub catalog_hash: String,
    /// The volume that is billed.
    pub volume: VolumeAnswer,
    /// The API side.
    pub api: Option<ApiAnswer>,
    /// The self-hosted side.
    pub self_hosted: Option<HostAnswer>,
    /// What is in both bills.
    pub shared: SharedAnswer,
    /// Where the bills cross.
    pub break_even: Option<BreakEvenAnswer>,
    /// The cheaper side at this volume.
    pub cheaper_now: Option<Cheaper>,
    /// The decision in words.
    pub verdict: String,
    /// What should be doubted.
    pub warnings: Vec<Warning>,
    /// Every input with its source.
    pub assumptions: Vec<Assumption>,
    /// What would change the answer, widest bar first.
    pub sensitivity: Vec<Lever>,
    /// How sure it is; null where nothing is drawn.
    pub uncertainty: Option<UncertaintyAnswer>,
    /// Other models, cards, precisions and rentals.
    pub alternatives: Vec<Alternative>,
    /// The levers that the scenario names.
    pub what_if: Vec<WhatIfAnswer>,
    /// Both bills at the forecast volume.
    pub forecast: ForecastAnswer,
    /// Cash over time.
    pub horizon: Option<HorizonAnswer>,
    /// Alerts and charge-back.
    pub budget: BudgetAnswer,
    /// Tables and curves of the report.
    pub view: View,
}

/// How much is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct VolumeAnswer {
    /// User requests per month.
    pub requests_per_month: f64,
    /// User requests per day of 24 hours.
    pub requests_per_day: f64,
    /// Hours of the month.
    pub hours_per_month: f64,
    /// User requests per second on average.
    pub requests_per_second: f64,
    /// The same in the busiest hour, before what can wait has moved out of it.
    pub peak_requests_per_second: f64,
    /// Share of the requests that a token limit refuses.
    pub rejected_share: f64,
}

/// `api`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ApiAnswer {
    /// The model.
    pub model: String,
    /// The whole bill; input, output and other add up to it.
    pub usd_per_month: f64,
    /// Input tokens of every kind.
    pub input_usd_per_month: f64,
    /// Output tokens.
    pub output_usd_per_month: f64,
    /// Fees, routing, storage, and what both sides share.
    pub other_usd_per_month: f64,
    /// The bill over the user requests.
    pub usd_per_request: f64,
    /// Dollars for tokens over tokens.
    pub blended_usd_per_mtok: Option<f64>,
    /// Billed input per user request: uncached, read and written add up to it.
    pub input_tokens_per_request: f64,
    /// At the full price.
    pub uncached_tokens_per_request: f64,
    /// Read from the cache.
    pub cache_read_tokens_per_request: f64,
    /// Written to the cache.
    pub cache_write_tokens_per_request: f64,
    /// Billed output per user request.
    pub output_tokens_per_request: f64,
    /// What one more user request costs, without what both sides share.
    pub marginal_usd_per_request: f64,
}

/// How a self-hosted bill is split between input and output tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Everything on the output: only an output rate is known.
    OutputOnly,
    /// By the time that prefill and decode take alone.
    TimeShare,
    /// Alike on every token: the mix was measured, its parts were not.
    TotalTokens,
}

/// `self_hosted`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostAnswer {
    /// The whole bill; GPUs, staff and other add up to it.
    pub usd_per_month: f64,
    /// Cards.
    pub gpu_usd_per_month: f64,
    /// Staff and model updates.
    pub staff_usd_per_month: f64,
    /// Storage, egress, one-off, whatever else, and what both sides share.
    pub other_usd_per_month: f64,
    /// Billed replicas at the busiest hour.
    pub replicas: f64,
    /// Billed cards at the busiest hour.
    pub gpus: f64,
    /// Demand over the full-load capacity of all billed replicas.
    pub utilization: f64,
    /// The bill over the user requests.
    pub usd_per_request: f64,
    /// How the bill is split.
    pub method: Method,
    /// Allocation-based price of input; null with an output rate only.
    pub input_usd_per_mtok: Option<f64>,
    /// Allocation-based price of output.
    pub output_usd_per_mtok: Option<f64>,
    /// The same at full load.
    pub full_load_input_usd_per_mtok: Option<f64>,
    /// The same at full load.
    pub full_load_output_usd_per_mtok: Option<f64>,
    /// The allocation-based price over uncached input alone.
    pub uncached_input_usd_per_mtok: Option<f64>,
    /// Seconds of the mix over seconds of its parts measured alone.
    pub kappa: Option<f64>,
    /// What one card costs per hour.
    pub usd_per_gpu_hour: f64,
    /// User requests per month that one replica serves after peak and target load.
    pub requests_per_replica_month: f64,
    /// Output tokens per second of one replica at full load of this mix.
    pub output_tokens_per_second: f64,
    /// What limits a replica.
    pub binding: Binding,
}

/// `shared`
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SharedAnswer {
    /// Embeddings, reranking and vector store.
    pub usd_per_month: f64,
    /// Answers of the semantic cache that are wrong.
    pub wrong_answers_per_month: f64,
}

/// `break_even`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BreakEvenAnswer {
    /// Whether self-hosting pays for good above some volume.
    pub exists: bool,
    /// The first crossing.
    pub requests_per_month: Option<f64>,
    /// The same per day of 24 hours.
    pub requests_per_day: Option<f64>,
    /// Demand over the full-load capacity of all billed replicas there.
    pub utilization: Option<f64>,
    /// Either bill there, without what both sides share.
    pub usd_per_month: Option<f64>,
    /// The last crossing.
    pub permanent_from_requests_per_month: Option<f64>,
    /// Whether the last crossing lies below that volume: there are too many stairs to follow.
    pub permanent_is_bound: bool,
    /// Every crossing, at most 1,000.
    pub crossings: Vec<Crossing>,
    /// The rate below which self-hosting pays at some volume.
    pub required_usd_per_gpu_hour: Option<f64>,
    /// The throughput of a replica above which it does.
    pub required_output_tokens_per_second: Option<f64>,
}

/// The cheaper side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cheaper {
    /// The API.
    Api,
    /// One's own fleet.
    SelfHosted,
    /// Neither.
    Equal,
}

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Assumption {
    /// The dotted key.
    pub key: String,
    /// Its value.
    pub value: serde_json::Value,
    /// Its unit; empty where it has none.
    pub unit: &'static str,
    /// Where it comes from: the scenario, a default, a catalog page, a study.
    pub source: String,
    /// When that was read.
    pub date: Option<String>,
    /// Whether it was measured or assumed.
    pub kind: Kind,
}

/// Whether an input was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// From a study or a trace.
    Measured,
    /// Stated, looked up, or a default.
    Assumed,
}

/// One other way to serve the workload.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alternative {
    /// Its name.
    pub name: String,
    /// Which side it stands on.
    pub side: Side,
    /// Whether it serves the very model that would be self-hosted; null where nobody said.
    pub same_model: Option<bool>,
    /// Its bill.
    pub usd_per_month: f64,
    /// Its bill over the user requests.
    pub usd_per_request: f64,
    /// Billed replicas.
    pub replicas: Option<f64>,
    /// Demand over full-load capacity.
    pub utilization: Option<f64>,
    /// Its break-even against the other side of the base case.
    pub break_even: Option<BreakEvenAnswer>,
    /// The cheaper of it and the other side.
    pub cheaper_now: Option<Cheaper>,
}

/// One lever of the scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WhatIfAnswer {
    /// Its name.
    pub name: String,
    /// The API bill.
    pub api_usd_per_month: Option<f64>,
    /// The self-hosted bill.
    pub self_hosted_usd_per_month: Option<f64>,
    /// The API bill less today's.
    pub api_change_usd_per_month: Option<f64>,
    /// The self-hosted bill less today's.
    pub self_hosted_change_usd_per_month: Option<f64>,
    /// The first crossing.
    pub break_even_requests_per_month: Option<f64>,
    /// The last crossing.
    pub permanent_from_requests_per_month: Option<f64>,
    /// Demand over full-load capacity.
    pub utilization: Option<f64>,
    /// The cheaper side.
    pub cheaper_now: Option<Cheaper>,
}

/// The column "forecast".
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ForecastAnswer {
    /// Months ahead.
    pub months: u32,
    /// User requests per month then.
    pub requests_per_month: f64,
    /// The API bill then.
    pub api_usd_per_month: Option<f64>,
    /// The self-hosted bill then, the fleet sized anew.
    pub self_hosted_usd_per_month: Option<f64>,
    /// Demand over full-load capacity then.
    pub utilization: Option<f64>,
    /// The cheaper side then.
    pub cheaper: Option<Cheaper>,
}
