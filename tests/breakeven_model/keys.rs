//! Every key of the scenario: one change of the guide's example, and the number that follows by hand.
//!
//! Without change: 300,000 requests of 500 and 150 tokens at 2.50 and 10 USD, so a token of input is
//! worth 0.75 USD a month and a token of output 3; two cards at 2 USD for 720 hours, 750 tokens a
//! second.

use std::collections::BTreeSet;

use super::contract::{LEAST, PRICES, measured};
use super::fixture::{Files, GUIDE, try_with};
use mtok::cost::scenario::Document;
use mtok::cost::trace::Trace;
use serde_json::Value;
use toml::Table;

/// The keys, what is laid over the guide (`-key` takes one away), where to look, what stands there.
type Row = (&'static str, &'static str, &'static str, Want);

#[derive(Clone, Copy)]
enum Want {
    Is(f64),
    Says(&'static str),
    Yes,
    Refused(&'static str),
}
use Want::{Is, Refused, Says, Yes};

const TRAFFIC: &[Row] = &[
    ("as_of", "as_of = 2027-06-01", "warning old_price", Yes),
    (
        "calendar.hours_per_month",
        "calendar.hours_per_month = 730",
        "/self_hosted/gpu_usd_per_month",
        Is(2_920.0),
    ),
    (
        "traffic.requests_per_day",
        "traffic.requests_per_day = 20_000",
        "/api/usd_per_month",
        Is(1_650.0),
    ),
    (
        "traffic.requests_per_month",
        "-traffic.requests_per_day\ntraffic.requests_per_month = 600_000",
        "/api/usd_per_month",
        Is(1_650.0),
    ),
    (
        "traffic.trace",
        "-traffic.requests_per_day\ntraffic.trace = \"x.csv\"",
        "/volume/requests_per_day",
        Is(120.0),
    ),
    (
        "traffic.system_tokens",
        "traffic.system_tokens = 300",
        "/api/input_usd_per_month",
        Is(450.0),
    ),
    (
        "traffic.history_tokens",
        "traffic.history_tokens = 0",
        "/api/input_usd_per_month",
        Is(225.0),
    ),
    (
        "traffic.user_tokens",
        "traffic.user_tokens = 0",
        "/api/input_usd_per_month",
        Is(300.0),
    ),
    (
        "traffic.tool_tokens",
        "traffic.tool_tokens = 100",
        "/api/input_usd_per_month",
        Is(450.0),
    ),
    (
        "traffic.output_tokens",
        "traffic.output_tokens = 300",
        "/api/output_usd_per_month",
        Is(900.0),
    ),
    // E[min(L, 500)] of a lognormal with mean 500 and cv 0.5 is 1,000·Φ(−σ/2), σ² = ln 1.25.
    (
        "traffic.input_tokens_cv traffic.input_token_limit",
        "traffic.input_tokens_cv = 0.5\ntraffic.input_token_limit = 500",
        "/api/input_usd_per_month",
        Is(304.981_859),
    ),
    // One server at half load: (1 + 1)/2 · 0.5/(1 − 0.5) · 0.2 s.
    (
        "traffic.output_tokens_cv",
        "traffic.output_tokens_cv = 1\nself_hosted.target_load = 0.5",
        "/view/operating_point/queue_seconds_at_target_load",
        Is(0.2),
    ),
    (
        "traffic.peak_to_average",
        "traffic.peak_to_average = 2",
        "/self_hosted/requests_per_replica_month",
        Is(6_480_000.0),
    ),
    // Mean 25/24, peak 2: 1.92 times the mean.
    (
        "traffic.hourly",
        "traffic.hourly = [2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]",
        "/self_hosted/requests_per_replica_month",
        Is(6_750_000.0),
    ),
    // λ + 4·√λ = 5 has the solution λ = 1: a fifth of the replica.
    (
        "traffic.burst.cv",
        "traffic.burst = { cv = 2, z = 2, window_seconds = 1 }",
        "/self_hosted/requests_per_replica_month",
        Is(2_592_000.0),
    ),
    (
        "traffic.burst.z",
        "traffic.burst = { cv = 1, z = 4, window_seconds = 1 }",
        "/self_hosted/requests_per_replica_month",
        Is(2_592_000.0),
    ),
    (
        "traffic.burst.window_seconds",
        "traffic.burst = { cv = 2, z = 4, window_seconds = 4 }",
        "/self_hosted/requests_per_replica_month",
        Is(2_592_000.0),
    ),
    (
        "traffic.retries",
        "traffic.retries = 0.1",
        "/api/usd_per_month",
        Is(907.5),
    ),
    (
        "traffic.output_retries",
        "traffic.output_retries = 0.5",
        "/api/output_usd_per_month",
        Is(675.0),
    ),
    (
        "traffic.forecast.growth_per_month",
        "traffic.forecast = { growth_per_month = 0.1, months = 2 }",
        "/forecast/requests_per_month",
        Is(363_000.0),
    ),
    (
        "traffic.forecast.months",
        "traffic.forecast = { growth_per_month = 0.1, months = 1 }",
        "/forecast/api_usd_per_month",
        Is(907.5),
    ),
    (
        "traffic.batch.share",
        "traffic.batch.share = 0.3",
        "/api/usd_per_month",
        Is(701.25),
    ),
    (
        "traffic.batch.multiplier",
        "traffic.batch = { share = 1, multiplier = 0.2 }\n-api.model\napi.input_usd_per_mtok = 2.5\napi.output_usd_per_mtok = 10",
        "/api/usd_per_month",
        Is(165.0),
    ),
    (
        "traffic.cache.semantic_hit_rate",
        "traffic.cache.semantic_hit_rate = 0.2",
        "/api/usd_per_month",
        Is(660.0),
    ),
    (
        "traffic.cache.semantic_wrong_answer_rate",
        "traffic.cache = { semantic_hit_rate = 0.2, semantic_wrong_answer_rate = 0.01 }",
        "/shared/wrong_answers_per_month",
        Is(600.0),
    ),
    (
        "traffic.cache.prefix_hit_rate",
        "traffic.system_tokens = 2000\ntraffic.cache.prefix_hit_rate = 1",
        "/api/input_usd_per_month",
        Is(975.0),
    ),
    (
        "traffic.cache.embedding",
        "traffic.cache = { semantic_hit_rate = 0.1, embedding = \"text-embedding-3-small\" }",
        "/shared/usd_per_month",
        Is(0.6),
    ),
];

/// Conversations begin with this; a turn has 200 + 100 tokens and what is carried.
const TALK: &str = "-traffic.history_tokens\n-traffic.user_tokens\n-traffic.output_tokens\ntraffic.cache.prefix_hit_rate = 0\n";

const CONVERSATION: &[Row] = &[
    (
        "traffic.conversation.turns",
        "traffic.conversation.turns = 2",
        "/api/input_tokens_per_request",
        Is(425.0),
    ),
    // 2·300 + 250·(E[T²] − E[T])/2 with E[T²] = 5.
    (
        "traffic.conversation.turns_sd",
        "traffic.conversation = { turns = 2, turns_sd = 1 }",
        "/api/input_tokens_per_request",
        Is(487.5),
    ),
    (
        "traffic.conversation.user_tokens",
        "traffic.conversation = { turns = 2, user_tokens = 200 }",
        "/api/input_tokens_per_request",
        Is(575.0),
    ),
    (
        "traffic.conversation.answer_tokens",
        "traffic.conversation = { turns = 2, answer_tokens = 250 }",
        "/api/input_tokens_per_request",
        Is(475.0),
    ),
    (
        "traffic.conversation.policy traffic.conversation.window_turns",
        "traffic.conversation = { turns = 3, policy = \"window\", window_turns = 1 }",
        "/api/input_tokens_per_request",
        Is(1_400.0 / 3.0),
    ),
    // Summaries before turns 2 and 3 read 250 and 300 tokens; turns read 300, 350 and 350.
    (
        "traffic.conversation.summarize_above_tokens",
        "traffic.conversation = { turns = 3, policy = \"summarize\", summarize_above_tokens = 200, summary_tokens = 50 }",
        "/api/input_tokens_per_request",
        Is(1_550.0 / 3.0),
    ),
    (
        "traffic.conversation.summary_tokens",
        "traffic.conversation = { turns = 3, policy = \"summarize\", summarize_above_tokens = 200, summary_tokens = 50 }",
        "/api/output_tokens_per_request",
        Is(550.0 / 3.0),
    ),
    (
        "traffic.conversation.summary_model",
        "traffic.conversation = { turns = 3, policy = \"summarize\", summarize_above_tokens = 200, summary_tokens = 50, summary_model = \"gpt-4o-mini\" }",
        "/api/usd_per_month",
        Is(714.25),
    ),
    (
        "traffic.session_token_limit traffic.on_limit",
        "traffic.session_token_limit = 32000\ntraffic.on_limit = \"reject\"\ntraffic.conversation.turns = 20",
        "/volume/rejected_share",
        Is(0.25),
    ),
];

const RETRIEVAL: &[Row] = &[
    (
        "traffic.retrieval.chunks",
        "traffic.retrieval.chunks = 3",
        "/api/input_usd_per_month",
        Is(1_500.0),
    ),
    (
        "traffic.retrieval.tokens_per_chunk",
        "traffic.retrieval.tokens_per_chunk = 100",
        "/api/input_usd_per_month",
        Is(1_125.0),
    ),
    (
        "traffic.retrieval.embedding",
        "traffic.retrieval.embedding = \"text-embedding-3-large\"",
        "/shared/usd_per_month",
        Is(3.9),
    ),
    (
        "traffic.retrieval.query_tokens",
        "traffic.retrieval = { embedding = \"text-embedding-3-small\", query_tokens = 1000 }",
        "/shared/usd_per_month",
        Is(6.0),
    ),
    (
        "traffic.retrieval.index_chunks",
        "traffic.retrieval = { embedding = \"text-embedding-3-small\", query_tokens = 0, index_chunks = 1_200_000 }",
        "/shared/usd_per_month",
        Is(1.0),
    ),
    (
        "traffic.retrieval.index_tokens_per_chunk",
        "traffic.retrieval = { embedding = \"text-embedding-3-small\", query_tokens = 0, index_chunks = 1_200_000, index_tokens_per_chunk = 1000 }",
        "/shared/usd_per_month",
        Is(2.0),
    ),
    (
        "traffic.retrieval.overlap",
        "traffic.retrieval = { embedding = \"text-embedding-3-small\", query_tokens = 0, index_chunks = 1_200_000, overlap = 0.5 }",
        "/shared/usd_per_month",
        Is(1.5),
    ),
    (
        "traffic.retrieval.reindex_months",
        "traffic.retrieval = { embedding = \"text-embedding-3-small\", query_tokens = 0, index_chunks = 1_200_000, reindex_months = 6 }",
        "/shared/usd_per_month",
        Is(2.0),
    ),
    (
        "traffic.retrieval.store_usd_per_gb_month",
        "traffic.retrieval = { index_chunks = 1_000_000, store_usd_per_gb_month = 2 }",
        "/shared/usd_per_month",
        Is(12.288),
    ),
    (
        "traffic.retrieval.vector_dimensions",
        "traffic.retrieval = { index_chunks = 1_000_000, store_usd_per_gb_month = 2, vector_dimensions = 1000 }",
        "/shared/usd_per_month",
        Is(8.0),
    ),
    (
        "traffic.retrieval.vector_bytes",
        "traffic.retrieval = { index_chunks = 1_000_000, store_usd_per_gb_month = 2, vector_dimensions = 1000, vector_bytes = 1 }",
        "/shared/usd_per_month",
        Is(2.0),
    ),
    (
        "traffic.retrieval.rerank_usd_per_request",
        "traffic.retrieval.rerank_usd_per_request = 0.001",
        "/shared/usd_per_month",
        Is(300.0),
    ),
];

const API: &[Row] = &[
    (
        "api.model",
        "api.model = \"gpt-4o-mini\"",
        "/api/usd_per_month",
        Is(49.5),
    ),
    (
        "api.discount",
        "api.discount = 0.1",
        "/api/usd_per_month",
        Is(742.5),
    ),
    (
        "api.fixed_usd_per_month",
        "api.fixed_usd_per_month = 100",
        "/api/other_usd_per_month",
        Is(100.0),
    ),
    (
        "api.router_usd_per_request",
        "api.router_usd_per_request = 0.001",
        "/api/usd_per_month",
        Is(1_125.0),
    ),
    (
        "api.self_hosted_tokenizer_ratio",
        "api.self_hosted_tokenizer_ratio = 2",
        "/self_hosted/utilization",
        Is(2.0 * 300_000.0 / 12_960_000.0),
    ),
    (
        "api.route.0.share api.route.0.model api.route.0.policy",
        "api.route = [{ policy = \"share\", share = 0.7, model = \"gpt-4o-mini\" }]",
        "/api/usd_per_month",
        Is(282.15),
    ),
    (
        "api.route.0.escalation",
        "api.route = [{ policy = \"cascade\", escalation = 0.3, model = \"gpt-4o-mini\" }]",
        "/api/usd_per_month",
        Is(297.0),
    ),
    (
        "api.alternative.0.name",
        "api.alternative = [{ name = \"x\", model = \"gpt-4o-mini\" }]",
        "/alternatives/0/name",
        Says("x"),
    ),
    (
        "api.alternative.0.same_model",
        "api.alternative = [{ model = \"gpt-4o-mini\", same_model = true }]",
        "/alternatives/0/same_model",
        Yes,
    ),
    (
        "api.alternative.0.model",
        "api.alternative = [{ model = \"gpt-4o-mini\" }]",
        "/alternatives/0/usd_per_month",
        Is(49.5),
    ),
    (
        "api.alternative.0.discount",
        "api.alternative = [{ model = \"gpt-4o\", discount = 0.1 }]",
        "/alternatives/0/usd_per_month",
        Is(742.5),
    ),
    (
        "api.alternative.0.fixed_usd_per_month",
        "api.alternative = [{ model = \"gpt-4o\", fixed_usd_per_month = 100 }]",
        "/alternatives/0/usd_per_month",
        Is(925.0),
    ),
    (
        "api.alternative.0.router_usd_per_request",
        "api.alternative = [{ model = \"gpt-4o\", router_usd_per_request = 0.001 }]",
        "/alternatives/0/usd_per_month",
        Is(1_125.0),
    ),
    // Twice the tokens at home halve what a replica carries, so the cards must cost half as much.
    (
        "api.alternative.0.self_hosted_tokenizer_ratio",
        "api.alternative = [{ model = \"gpt-4o\", self_hosted_tokenizer_ratio = 2 }]",
        "/alternatives/0/break_even/required_usd_per_gpu_hour",
        Is(12.375),
    ),
    (
        "api.alternative.0.route",
        "api.alternative = [{ model = \"gpt-4o\", route = [{ share = 0.7, model = \"gpt-4o-mini\" }] }]",
        "/alternatives/0/usd_per_month",
        Is(282.15),
    ),
];

/// Prices in the scenario itself, wherever a model may stand; all 500 tokens are system prompt.
const INLINE: &[(&str, &str, &str, f64)] = &[
    (
        "input_usd_per_mtok",
        "input_usd_per_mtok = 1, output_usd_per_mtok = 0",
        "",
        150.0,
    ),
    (
        "output_usd_per_mtok",
        "input_usd_per_mtok = 0, output_usd_per_mtok = 2",
        "",
        90.0,
    ),
    (
        "cached_input_usd_per_mtok",
        "input_usd_per_mtok = 1, output_usd_per_mtok = 0, cached_input_usd_per_mtok = 0.5",
        "traffic.cache.prefix_hit_rate = 1",
        75.0,
    ),
    (
        "cache_write_usd_per_mtok",
        "input_usd_per_mtok = 1, output_usd_per_mtok = 0, cached_input_usd_per_mtok = 0.5, cache_write_usd_per_mtok = 4",
        "traffic.cache.prefix_hit_rate = 0.5",
        337.5,
    ),
    (
        "cache_min_tokens",
        "input_usd_per_mtok = 1, output_usd_per_mtok = 0, cached_input_usd_per_mtok = 0.5, cache_min_tokens = 501",
        "traffic.cache.prefix_hit_rate = 1",
        150.0,
    ),
    (
        "cache_storage_usd_per_mtok_hour",
        "input_usd_per_mtok = 0, output_usd_per_mtok = 0, cache_storage_usd_per_mtok_hour = 2",
        "traffic.cache.prefix_hit_rate = 1",
        0.72,
    ),
    (
        "batch_input_usd_per_mtok",
        "input_usd_per_mtok = 1, output_usd_per_mtok = 0, batch_input_usd_per_mtok = 0.25",
        "traffic.batch.share = 1",
        37.5,
    ),
    (
        "batch_output_usd_per_mtok",
        "input_usd_per_mtok = 0, output_usd_per_mtok = 2, batch_output_usd_per_mtok = 1",
        "traffic.batch.share = 1",
        45.0,
    ),
];

const HOST: &[Row] = &[
    (
        "self_hosted.model",
        "self_hosted.model = \"llama-3.3-70b\"",
        "/view/fits/1/kv_tokens",
        Is(31_403.0),
    ),
    (
        "self_hosted.precision",
        "self_hosted.model = \"llama-3.3-70b\"\nself_hosted.precision = \"q8_0\"",
        "/view/fits/1/kv_tokens",
        Is(233_258.0),
    ),
    (
        "self_hosted.kv_precision",
        "self_hosted.model = \"llama-3.3-70b\"\nself_hosted.kv_precision = \"q8_0\"",
        "/view/fits/1/kv_tokens",
        Is(59_111.0),
    ),
    (
        "self_hosted.batch_size",
        "self_hosted.batch_size = 16",
        "/view/operating_point/batch_size",
        Is(16.0),
    ),
    (
        "self_hosted.gpu_memory_utilization",
        "self_hosted.model = \"llama-3.3-70b\"\nself_hosted.gpu_memory_utilization = 0.92",
        "/view/fits/1/kv_tokens",
        Is(41_888.0),
    ),
    (
        "self_hosted.overhead_gib_per_gpu",
        "self_hosted.model = \"llama-3.3-70b\"\nself_hosted.overhead_gib_per_gpu = 1",
        "/view/fits/1/kv_tokens",
        Is(34_679.0),
    ),
    (
        "self_hosted.gpu",
        "self_hosted.model = \"llama-3.3-70b\"\nself_hosted.gpu = \"h200-sxm\"",
        "/view/fits/2/chosen",
        Yes,
    ),
    (
        "self_hosted.gpus_per_replica",
        "self_hosted.gpus_per_replica = 4",
        "/self_hosted/gpu_usd_per_month",
        Is(5_760.0),
    ),
    (
        "self_hosted.usd_per_gpu_hour",
        "self_hosted.usd_per_gpu_hour = 3",
        "/self_hosted/gpu_usd_per_month",
        Is(4_320.0),
    ),
    (
        "self_hosted.rental",
        "-self_hosted.usd_per_gpu_hour\nself_hosted.rental = \"test-a100\"",
        "/self_hosted/gpu_usd_per_month",
        Is(8.0 * 1.79 * 720.0),
    ),
    (
        "self_hosted.output_tokens_per_second",
        "self_hosted.output_tokens_per_second = 375",
        "/self_hosted/requests_per_replica_month",
        Is(6_480_000.0),
    ),
    (
        "self_hosted.input_tokens_per_second",
        "self_hosted.input_tokens_per_second = 1000",
        "/self_hosted/requests_per_replica_month",
        Is(5_184_000.0),
    ),
    (
        "self_hosted.prefill_tokens_per_second self_hosted.decode_tokens_per_second",
        "self_hosted.prefill_tokens_per_second = 5000\nself_hosted.decode_tokens_per_second = 500",
        "/self_hosted/requests_per_replica_month",
        Is(6_480_000.0),
    ),
    (
        "self_hosted.requests_per_second",
        "self_hosted.requests_per_second = 10",
        "/self_hosted/requests_per_replica_month",
        Is(25_920_000.0),
    ),
    (
        "self_hosted.results",
        "-self_hosted.output_tokens_per_second\nself_hosted.results = \"x\"",
        "/view/operating_point/batch_size",
        Is(16.0),
    ),
    (
        "self_hosted.slo.tpot_ms",
        "-self_hosted.output_tokens_per_second\nself_hosted.results = \"x\"\nself_hosted.slo.tpot_ms = 50",
        "/view/operating_point/batch_size",
        Is(8.0),
    ),
    (
        "self_hosted.slo.ttft_ms",
        "-self_hosted.output_tokens_per_second\nself_hosted.results = \"x\"\nself_hosted.slo.ttft_ms = 100",
        "",
        Refused("meets the objective"),
    ),
    (
        "self_hosted.target_load",
        "self_hosted.target_load = 0.5",
        "/self_hosted/requests_per_replica_month",
        Is(6_480_000.0),
    ),
    (
        "self_hosted.redundant_replicas",
        "self_hosted.redundant_replicas = 1",
        "/self_hosted/replicas",
        Is(2.0),
    ),
    (
        "self_hosted.min_replicas",
        "self_hosted.min_replicas = 3",
        "/self_hosted/replicas",
        Is(3.0),
    ),
    (
        "self_hosted.billing_quantum_gpus",
        "self_hosted.billing_quantum_gpus = 8",
        "/self_hosted/gpus",
        Is(8.0),
    ),
    // Nothing in one half of the day and twice the mean in the other: one replica, then two.
    (
        "self_hosted.fleet",
        "-traffic.requests_per_day\ntraffic.requests_per_month = 12_960_000\ntraffic.hourly = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\nself_hosted.fleet = \"autoscaled\"",
        "/self_hosted/gpu_usd_per_month",
        Is(4_320.0),
    ),
    (
        "self_hosted.cold_start_minutes",
        "-traffic.requests_per_day\ntraffic.requests_per_month = 12_960_000\ntraffic.hourly = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\nself_hosted.fleet = \"autoscaled\"\nself_hosted.cold_start_minutes = 30",
        "/self_hosted/gpu_usd_per_month",
        Is(4_380.0),
    ),
    (
        "self_hosted.reserved_base_replicas",
        "self_hosted.reserved_base_replicas = 1\nself_hosted.reserved_usd_per_gpu_hour = 1",
        "/self_hosted/gpu_usd_per_month",
        Is(1_440.0),
    ),
    (
        "self_hosted.reserved_usd_per_gpu_hour",
        "self_hosted.reserved_base_replicas = 1\nself_hosted.reserved_usd_per_gpu_hour = 0.5",
        "/self_hosted/gpu_usd_per_month",
        Is(720.0),
    ),
    (
        "self_hosted.staff.fte",
        "self_hosted.staff.fte = 0.3",
        "/self_hosted/staff_usd_per_month",
        Is(5_000.0),
    ),
    (
        "self_hosted.staff.usd_per_year",
        "self_hosted.staff = { fte = 0.5, usd_per_year = 120_000 }",
        "/self_hosted/staff_usd_per_month",
        Is(5_000.0),
    ),
    // 12 · 13 of 260 working days are 0.6 of a year.
    (
        "self_hosted.updates.per_year self_hosted.updates.engineer_days",
        "self_hosted.updates = { per_year = 12, engineer_days = 13 }",
        "/self_hosted/staff_usd_per_month",
        Is(10_000.0),
    ),
    (
        "self_hosted.updates.parallel_hours",
        "self_hosted.updates = { per_year = 12, parallel_hours = 72 }",
        "/self_hosted/gpu_usd_per_month",
        Is(3_168.0),
    ),
    (
        "self_hosted.storage_usd_per_month",
        "self_hosted.storage_usd_per_month = 7",
        "/self_hosted/other_usd_per_month",
        Is(7.0),
    ),
    (
        "self_hosted.egress.bytes_per_output_token",
        "self_hosted.egress = { bytes_per_output_token = 1000, usd_per_gb = 0.5 }",
        "/self_hosted/other_usd_per_month",
        Is(22.5),
    ),
    (
        "self_hosted.egress.usd_per_gb",
        "self_hosted.egress.usd_per_gb = 0.4",
        "/self_hosted/other_usd_per_month",
        Is(4.5),
    ),
    (
        "self_hosted.fixed_usd_per_month",
        "self_hosted.fixed_usd_per_month = 9",
        "/self_hosted/other_usd_per_month",
        Is(9.0),
    ),
    (
        "self_hosted.one_off_usd",
        "self_hosted.one_off_usd = 3600",
        "/self_hosted/other_usd_per_month",
        Is(100.0),
    ),
    (
        "self_hosted.amortization_months",
        "self_hosted.one_off_usd = 3600\nself_hosted.amortization_months = 72",
        "/self_hosted/other_usd_per_month",
        Is(50.0),
    ),
    (
        "self_hosted.commitment_months",
        "self_hosted.commitment_months = 6",
        "/horizon/commitment_liability_usd",
        Is(17_280.0),
    ),
    (
        "self_hosted.spot.share self_hosted.spot.usd_per_gpu_hour",
        "self_hosted.spot = { share = 0.5, usd_per_gpu_hour = 1 }",
        "/self_hosted/gpu_usd_per_month",
        Is(2_160.0),
    ),
    (
        "self_hosted.spot.lost_work",
        "self_hosted.spot = { share = 1, usd_per_gpu_hour = 1, lost_work = 0.2 }",
        "/self_hosted/gpu_usd_per_month",
        Is(1_800.0),
    ),
    (
        "self_hosted.spot.fallback",
        "self_hosted.spot = { share = 1, usd_per_gpu_hour = 1, fallback = 0.5 }",
        "/self_hosted/gpu_usd_per_month",
        Is(2_160.0),
    ),
    (
        "self_hosted.alternative.0.name",
        "self_hosted.alternative = [{ name = \"y\" }]",
        "/alternatives/0/name",
        Says("y"),
    ),
    (
        "self_hosted.alternative.0",
        "self_hosted.alternative = [{ gpus_per_replica = 1 }]",
        "/alternatives/0/usd_per_month",
        Is(1_440.0),
    ),
];

/// A machine of 8,760 USD that is worth nothing after a year: 1 USD an hour of its card, 730 USD a
/// calendar month, and a replica takes two.
const MACHINE: &str = "-self_hosted.usd_per_gpu_hour\nself_hosted.owned = { purchase_usd = 8760, tax_and_setup = 0, gpus = 1, years = 1, resale = 0, cost_of_capital = 0, kw = 0, pue = 1, maintenance_per_year = 0 }\n";

const OWNED: &[Row] = &[
    (
        "self_hosted.owned.purchase_usd",
        "self_hosted.owned.purchase_usd = 17_520",
        "/self_hosted/gpu_usd_per_month",
        Is(2_920.0),
    ),
    (
        "self_hosted.owned.tax_and_setup",
        "self_hosted.owned.tax_and_setup = 0.1",
        "/self_hosted/gpu_usd_per_month",
        Is(1_606.0),
    ),
    // One machine holds the replica and is paid for with all of its four cards.
    (
        "self_hosted.owned.gpus",
        "self_hosted.owned.gpus = 4",
        "/self_hosted/gpu_usd_per_month",
        Is(730.0),
    ),
    (
        "self_hosted.owned.years",
        "self_hosted.owned.years = 2",
        "/self_hosted/gpu_usd_per_month",
        Is(730.0),
    ),
    (
        "self_hosted.owned.resale",
        "self_hosted.owned.resale = 0.5",
        "/self_hosted/gpu_usd_per_month",
        Is(730.0),
    ),
    (
        "self_hosted.owned.cost_of_capital",
        "self_hosted.owned.cost_of_capital = 0.1",
        "/self_hosted/gpu_usd_per_month",
        Is(1_606.0),
    ),
    (
        "self_hosted.owned.kw self_hosted.owned.usd_per_kwh",
        "self_hosted.owned.kw = 1\nself_hosted.owned.usd_per_kwh = 0.2",
        "/self_hosted/gpu_usd_per_month",
        Is(1_748.0),
    ),
    (
        "self_hosted.owned.pue",
        "self_hosted.owned.kw = 1\nself_hosted.owned.pue = 2",
        "/self_hosted/gpu_usd_per_month",
        Is(1_748.0),
    ),
    (
        "self_hosted.owned.colocation_usd_per_kw_month",
        "self_hosted.owned.kw = 1\nself_hosted.owned.pue = 2\nself_hosted.owned.colocation_usd_per_kw_month = 100",
        "/self_hosted/gpu_usd_per_month",
        Is(1_660.0),
    ),
    (
        "self_hosted.owned.maintenance_per_year",
        "self_hosted.owned.maintenance_per_year = 0.1",
        "/self_hosted/gpu_usd_per_month",
        Is(1_606.0),
    ),
];

/// At 12 M requests self-hosting is cheaper for good: 33,000 against 2,880 USD.
const LARGE: &str = "-traffic.requests_per_day\ntraffic.requests_per_month = 12_000_000\n";

const DECISION: &[Row] = &[
    (
        "what_if.0.name",
        "what_if = [{ name = \"z\", set = { \"traffic.output_tokens\" = 75 } }]",
        "/what_if/0/name",
        Says("z"),
    ),
    (
        "what_if.0.set",
        "what_if = [{ name = \"z\", set = { \"traffic.output_tokens\" = 75 } }]",
        "/what_if/0/api_usd_per_month",
        Is(24_000.0),
    ),
    (
        "decision.needs_frontier_model",
        "decision = { needs_frontier_model = true, self_hosted_meets_quality = \"yes\" }",
        "/verdict",
        Says("Stay with the API: a frontier model is needed"),
    ),
    (
        "decision.self_hosted_meets_quality",
        "decision.self_hosted_meets_quality = \"no\"",
        "/verdict",
        Says("Stay with the API: the self-hosted model is not good enough"),
    ),
    (
        "decision.quality",
        "decision.quality = \"x\"",
        "/verdict",
        Says("Self-host at this volume."),
    ),
    (
        "decision.minimum_probability",
        "decision.minimum_probability = 1\nuncertainty.input = [{ key = \"traffic.requests_per_month\", distribution = \"uniform\", low = 1_000_000, high = 12_000_000 }]",
        "/verdict",
        Says("too close to call"),
    ),
    // A saving of 30,120 USD a month; the factor of a year at −50 % and at +300 % is 0.5 and 4.
    (
        "horizon.months",
        "horizon.months = 2",
        "/horizon/net_present_value_usd",
        Is(60_240.0),
    ),
    (
        "horizon.discount_rate_per_year",
        "horizon = { months = 1, discount_rate_per_year = 3 }",
        "/horizon/net_present_value_usd",
        Is(26_833.901_6),
    ),
    (
        "horizon.api_price_change_per_year",
        "horizon = { months = 13, api_price_change_per_year = -0.5 }",
        "/horizon/months/12/api_usd",
        Is(16_500.0),
    ),
    (
        "horizon.gpu_price_change_per_year",
        "horizon = { months = 13, gpu_price_change_per_year = 3 }",
        "/horizon/months/12/self_hosted_usd",
        Is(11_520.0),
    ),
    (
        "budget.alert_usd_per_month",
        "budget.alert_usd_per_month = 40_000",
        "/budget/alerts/0/usd",
        Is(20_000.0),
    ),
    (
        "budget.alert_at",
        "budget = { alert_usd_per_month = 40_000, alert_at = [0.1] }",
        "/budget/alerts/0/usd",
        Is(4_000.0),
    ),
    (
        "budget.in_use",
        "budget.in_use = \"self_hosted\"",
        "/budget/usd_per_month",
        Is(2_880.0),
    ),
    (
        "budget.alert_usd_per_session",
        "budget.alert_usd_per_session = 0.002",
        "/budget/session_over_budget",
        Yes,
    ),
    (
        "budget.cost_center.0.name",
        "budget.cost_center = [{ name = \"c\", share = 0.6 }]",
        "/budget/cost_centers/0/name",
        Says("c"),
    ),
    (
        "budget.cost_center.0.share",
        "budget.cost_center = [{ name = \"c\", share = 0.6 }]",
        "/budget/cost_centers/0/usd_per_month",
        Is(19_800.0),
    ),
];

const DRAWN: &str = "/uncertainty/self_hosted_usd_per_month/p50";

const UNCERTAINTY: &[Row] = &[
    (
        "uncertainty.draws",
        "uncertainty = { draws = 7, input = [{ key = \"self_hosted.staff.fte\", distribution = \"fixed\", value = 0.3 }] }",
        "/uncertainty/draws",
        Is(7.0),
    ),
    (
        "uncertainty.seed",
        "uncertainty = { seed = 9, input = [{ key = \"self_hosted.staff.fte\", distribution = \"fixed\", value = 0.3 }] }",
        "/uncertainty/seed",
        Is(9.0),
    ),
    (
        "uncertainty.fleet",
        "uncertainty = { fleet = \"resized\", input = [{ key = \"traffic.requests_per_month\", distribution = \"fixed\", value = 25_920_000 }] }",
        DRAWN,
        Is(5_760.0),
    ),
    (
        "uncertainty.between_host_cv",
        "-self_hosted.output_tokens_per_second\nself_hosted.results = \"x\"\nuncertainty.between_host_cv = 0.2",
        "/uncertainty/between_host_cv",
        Is(0.2),
    ),
    (
        "uncertainty.input.0.key uncertainty.input.0.distribution uncertainty.input.0.value",
        "uncertainty.input = [{ key = \"self_hosted.staff.fte\", distribution = \"fixed\", value = 0.3 }]",
        DRAWN,
        Is(7_880.0),
    ),
    // The middle of each distribution is what half of the draws lie below, give or take chance.
    (
        "uncertainty.input.0.low uncertainty.input.0.high",
        "uncertainty.input = [{ key = \"self_hosted.fixed_usd_per_month\", distribution = \"uniform\", low = 99.99, high = 100.01 }]",
        DRAWN,
        Is(2_980.0),
    ),
    (
        "uncertainty.input.0.mode",
        "uncertainty.input = [{ key = \"self_hosted.fixed_usd_per_month\", distribution = \"triangular\", low = 99.99, mode = 100, high = 100.01 }]",
        DRAWN,
        Is(2_980.0),
    ),
    (
        "uncertainty.input.0.median uncertainty.input.0.p95",
        "uncertainty.input = [{ key = \"self_hosted.fixed_usd_per_month\", distribution = \"lognormal\", median = 100, p95 = 100.01 }]",
        DRAWN,
        Is(2_980.0),
    ),
    (
        "uncertainty.input.0.mean uncertainty.input.0.sd",
        "uncertainty.input = [{ key = \"self_hosted.fixed_usd_per_month\", distribution = \"beta\", low = 0, high = 200, mean = 100, sd = 0.01 }]",
        DRAWN,
        Is(2_980.0),
    ),
    (
        "uncertainty.correlation.0.keys uncertainty.correlation.0.rank_correlation",
        "uncertainty.correlation = [{ keys = [\"self_hosted.staff.fte\", \"traffic.output_tokens\"], rank_correlation = 0.5 }]",
        "warning correlation_without_draw",
        Yes,
    ),
];

/// Lays the lines of a row over a document.
fn lay(document: &mut Table, lines: &str) {
    for line in lines.lines().filter(|line| !line.is_empty()) {
        if let Some(key) = line.strip_prefix('-') {
            let (section, key) = key.split_once('.').unwrap();
            let section = document[section].as_table_mut().unwrap();
            assert!(section.remove(key).is_some(), "{line}");
        } else {
            merge(document, toml::from_str(line).unwrap());
        }
    }
}

fn merge(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => merge(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

fn files() -> Files {
    let arrivals = (0..240).map(|i| f64::from(i) * 720.0).collect();
    Files {
        measured: Some(measured(200.0)),
        trace: Some(Trace::from_arrivals(arrivals).unwrap()),
        quality: Some(mtok::cost::scenario::MeetsQuality::Yes),
    }
}

#[track_caller]
fn check(base: &str, keys: &str, lines: &str, place: &str, want: Want) {
    let mut document: Table = toml::from_str(GUIDE).unwrap();
    lay(&mut document, base);
    lay(&mut document, lines);
    let text = toml::to_string(&document).unwrap();
    let answer = match (try_with(&text, &files()), want) {
        (Ok(answer), _) => answer,
        (Err(error), Refused(words)) => {
            assert!(error.problem.contains(words), "{keys}: {error}");
            return;
        }
        (Err(error), _) => panic!("{keys}: {error}\n{text}"),
    };
    let json = serde_json::to_value(&answer).unwrap();
    let got = match place.strip_prefix("warning ") {
        Some(code) => Value::Bool(answer.warnings.iter().any(|warning| warning.code() == code)),
        None => json.pointer(place).cloned().unwrap_or(Value::Null),
    };
    let right = match want {
        Is(want) => got
            .as_f64()
            .is_some_and(|got| (got - want).abs() <= 2e-6 * want.abs().max(1e-3)),
        Says(words) => got.as_str().is_some_and(|got| got.contains(words)),
        Yes => got == Value::Bool(true),
        Refused(_) => false,
    };
    assert!(right, "{keys}: {got} at {place}");
}

#[track_caller]
fn check_all(base: &str, rows: &[Row]) {
    for (keys, lines, place, want) in rows {
        check(base, keys, lines, place, *want);
    }
}

#[test]
fn traffic_keys_do_what_they_say() {
    check_all("", TRAFFIC);
}

#[test]
fn conversation_keys_do_what_they_say() {
    check_all(TALK, CONVERSATION);
}

#[test]
fn retrieval_keys_do_what_they_say() {
    check_all("", RETRIEVAL);
}

#[test]
fn api_keys_do_what_they_say() {
    check_all("", API);
}

/// Where a model may stand, with the place of its bill.
const SELLERS: [(&str, &str, &str); 3] = [
    ("api", "-api.model\napi = { PRICES }", "/api/usd_per_month"),
    (
        "api.route.0",
        "api.route = [{ share = 1, PRICES }]",
        "/api/usd_per_month",
    ),
    (
        "api.alternative.0",
        "api.alternative = [{ PRICES }]",
        "/alternatives/0/usd_per_month",
    ),
];

#[test]
fn inline_prices_stand_wherever_a_model_may() {
    let prompt = "traffic.system_tokens = 500\ntraffic.history_tokens = 0\ntraffic.user_tokens = 0";
    for (prefix, template, place) in SELLERS {
        for (key, prices, traffic, want) in INLINE {
            let lines = format!("{traffic}\n{}", template.replace("PRICES", prices));
            check(prompt, &format!("{prefix}.{key}"), &lines, place, Is(*want));
        }
    }
}

#[test]
fn source_and_date_of_inline_prices_stand_in_the_ledger() {
    for (prefix, template, _) in SELLERS {
        let prices = "input_usd_per_mtok = 1, output_usd_per_mtok = 2, source = \"a quote\", as_of = 2026-01-02";
        let mut document: Table = toml::from_str(GUIDE).unwrap();
        lay(&mut document, &template.replace("PRICES", prices));
        let text = toml::to_string(&document).unwrap();
        let answer = try_with(&text, &files()).unwrap();
        let key = format!("{prefix}.output_usd_per_mtok");
        let line = answer.assumptions.iter().find(|line| line.key == key);
        let line = line.unwrap();
        assert_eq!(
            (line.source.as_str(), line.date.as_deref(), &line.value),
            ("a quote", Some("2026-01-02"), &serde_json::json!(2.0))
        );
        let old = |warning: &mtok::cost::warning::Warning| warning.code() == "old_price";
        assert!(answer.warnings.iter().any(old), "{prefix}");
    }
}

#[test]
fn self_hosted_keys_do_what_they_say() {
    check_all("", HOST);
}

#[test]
fn keys_of_owned_machines_do_what_they_say() {
    check_all(MACHINE, OWNED);
}

#[test]
fn keys_of_the_decision_do_what_they_say() {
    check_all(LARGE, DECISION);
}

#[test]
fn keys_of_uncertainty_do_what_they_say() {
    check_all(LARGE, UNCERTAINTY);
}

/// Every key that a scenario may have, positions in lists as numbers.
fn known_keys() -> BTreeSet<String> {
    let mut document: Table = toml::from_str(include_str!("every_key.toml")).unwrap();
    lay(
        &mut document,
        "self_hosted.slo = { ttft_ms = 1, tpot_ms = 1 }",
    );
    let text = toml::to_string(&document).unwrap();
    let document = Document::parse(&text).unwrap();
    let mut keys = BTreeSet::new();
    collect(
        "",
        &serde_json::to_value(&document.scenario).unwrap(),
        &mut keys,
    );
    keys
}

fn collect(prefix: &str, value: &Value, keys: &mut BTreeSet<String>) {
    let of = |key: &str| match prefix {
        "" => key.to_owned(),
        prefix => format!("{prefix}.{key}"),
    };
    match value {
        // An alternative has every key of its section; a list of plain values is one key.
        Value::Object(fields)
            if !prefix.starts_with("self_hosted.alternative.") && prefix != "what_if.0.set" =>
        {
            for (key, value) in fields {
                collect(&of(key), value, keys);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, item) in items.iter().enumerate() {
                collect(&of(&index.to_string()), item, keys);
            }
        }
        Value::Object(_)
        | Value::Array(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_) => {
            keys.insert(prefix.to_owned());
        }
    }
}

#[test]
fn every_key_of_the_format_has_a_row() {
    let mut covered: BTreeSet<String> = BTreeSet::new();
    for rows in [
        TRAFFIC,
        CONVERSATION,
        RETRIEVAL,
        API,
        HOST,
        OWNED,
        DECISION,
        UNCERTAINTY,
    ] {
        covered.extend(
            rows.iter()
                .flat_map(|row| row.0.split(' '))
                .map(str::to_owned),
        );
    }
    for (prefix, ..) in SELLERS {
        let inline = INLINE.iter().map(|row| row.0).chain(["source", "as_of"]);
        covered.extend(inline.map(|key| format!("{prefix}.{key}")));
    }
    let known = known_keys();
    // An alternative's own alternatives and the names of the sections themselves are refused.
    let refused = [
        "api.name",
        "api.same_model",
        "self_hosted.name",
        "api.alternative.0.alternative",
    ];
    let missing: Vec<&String> = known
        .iter()
        .filter(|key| !covered.contains(*key) && !refused.contains(&key.as_str()))
        .collect();
    assert!(missing.is_empty(), "no row for {missing:#?}");
    let unknown: Vec<&String> = covered
        .iter()
        .filter(|key| !known.contains(*key) && *key != "self_hosted.alternative.0.name")
        .collect();
    assert!(unknown.is_empty(), "no key {unknown:#?}");
}

#[test]
fn the_format_has_the_keys_of_its_guide_and_no_others() {
    let guide = include_str!("../golden/scenario.toml");
    let known = known_keys();
    let names: BTreeSet<&str> = known
        .iter()
        .flat_map(|key| key.split('.'))
        .filter(|name| name.parse::<u32>().is_err())
        .collect();
    // The contract names the variation between hosts, the guide to the keys does not.
    for name in names.iter().filter(|name| **name != "between_host_cv") {
        let stands = guide.match_indices(name).any(|(at, _)| {
            let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            !word(guide[..at].chars().next_back()) && !word(guide[at + name.len()..].chars().next())
        });
        assert!(stands, "the guide does not name {name}");
    }
    for line in guide.lines() {
        let code = line.split('#').next().unwrap();
        let Some((key, _)) = code.split_once('=') else {
            continue;
        };
        let key = key.trim();
        assert!(names.contains(key), "{line}");
    }
}

#[test]
fn an_alternative_may_have_any_key_of_its_section() {
    for line in HOST
        .iter()
        .filter(|row| row.1.starts_with("self_hosted.") && !row.1.contains('\n'))
    {
        let (keys, lines, place, want) = line;
        let Is(want) = want else { continue };
        if *place != "/self_hosted/gpu_usd_per_month" && *place != "/self_hosted/replicas" {
            continue;
        }
        let inner = lines.replacen("self_hosted.", "", 1);
        let over = format!("[[self_hosted.alternative]]\nname = \"x\"\n{inner}\n");
        let answer = try_with(&format!("{GUIDE}{over}"), &files()).unwrap();
        let row = &answer.alternatives[0];
        let got = if place.ends_with("replicas") {
            row.replicas.unwrap()
        } else {
            row.usd_per_month
        };
        assert!((got - want).abs() < 1e-6 * want, "{keys}: {got}");
    }
}

#[test]
fn a_scenario_without_a_fleet_or_an_api_still_takes_the_other_keys() {
    let answer = try_with(&format!("{LEAST}{PRICES}"), &files()).unwrap();
    assert!(answer.self_hosted.is_none() && answer.api.is_some());
}
