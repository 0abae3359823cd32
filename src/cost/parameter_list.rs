//! Every number of a case that can be drawn or turned, by its key in the scenario.

use super::bill::Prices;
use super::case::Case;
use super::fleet::{CardRate, FleetCase, SpotCase};
use super::parameter::Parameter;
use super::scenario::{Conversation, HistoryPolicy, Retrieval};
use super::traffic::{Profile, Volume};

const MOST: f64 = 1e15;
const LEAST: f64 = 1e-6;

macro_rules! parameter {
    ($key:literal, $unit:literal, $low:expr, $high:expr, $at:expr) => {
        Parameter {
            key: $key,
            unit: $unit,
            low: $low,
            high: $high,
            at: $at,
        }
    };
}

fn fleet(case: &mut Case) -> Option<&mut FleetCase> {
    case.host.as_mut().map(|host| &mut host.fleet)
}

fn prices(case: &mut Case) -> Option<&mut Prices> {
    case.api.as_mut().map(|api| &mut api.prices)
}

fn talk(case: &mut Case) -> Option<&mut Conversation> {
    case.demand.conversation.as_mut()
}

fn retrieval(case: &mut Case) -> Option<&mut Retrieval> {
    case.demand.retrieval.as_mut()
}

fn spot(case: &mut Case) -> Option<&mut SpotCase> {
    fleet(case)
        .map(|fleet| &mut fleet.spot)
        .filter(|spot| spot.share > 0.0)
}

/// Every number that can be drawn or turned.
pub(super) static PARAMETERS: &[Parameter] = &[
    parameter!("calendar.hours_per_month", "h", 1.0, 8_784.0, |case| Some(
        &mut case.hours_per_month
    )),
    parameter!(
        "traffic.requests_per_day",
        "requests",
        LEAST,
        MOST,
        |case| {
            match &mut case.demand.volume {
                Volume::PerDay(requests) => Some(requests),
                Volume::PerMonth(_) => None,
            }
        }
    ),
    parameter!(
        "traffic.requests_per_month",
        "requests",
        LEAST,
        MOST,
        |case| {
            match &mut case.demand.volume {
                Volume::PerMonth(requests) => Some(requests),
                Volume::PerDay(_) => None,
            }
        }
    ),
    parameter!("traffic.peak_to_average", "", 1.0, 1e6, |case| {
        match &mut case.demand.profile {
            Profile::Peak(peak) => Some(peak),
            Profile::Hourly(_) => None,
        }
    }),
    parameter!("traffic.system_tokens", "tokens", 0.0, 1e9, |case| Some(
        &mut case.demand.system_tokens
    )),
    parameter!("traffic.history_tokens", "tokens", 0.0, 1e9, |case| {
        single(case).then_some(&mut case.demand.history_tokens)
    }),
    parameter!("traffic.user_tokens", "tokens", 0.0, 1e9, |case| {
        single(case).then_some(&mut case.demand.user_tokens)
    }),
    parameter!("traffic.output_tokens", "tokens", LEAST, 1e9, |case| {
        single(case).then_some(&mut case.demand.output_tokens)
    }),
    parameter!("traffic.tool_tokens", "tokens", 0.0, 1e9, |case| Some(
        &mut case.demand.tool_tokens
    )),
    parameter!("traffic.input_tokens_cv", "", 0.0, 10.0, |case| Some(
        &mut case.demand.input_tokens_cv
    )),
    parameter!("traffic.retries", "share", 0.0, 100.0, |case| Some(
        &mut case.demand.retries
    )),
    parameter!("traffic.output_retries", "share", 0.0, 100.0, |case| case
        .demand
        .output_retries
        .as_mut()),
    parameter!("traffic.burst.cv", "", 0.0, MOST, |case| {
        let burst = &mut case.demand.burst;
        (burst.window_seconds > 0.0).then_some(&mut burst.cv)
    }),
    parameter!("traffic.batch.share", "share", 0.0, 1.0, |case| Some(
        &mut case.demand.batch.share
    )),
    parameter!(
        "traffic.cache.semantic_hit_rate",
        "share",
        0.0,
        1.0,
        |case| Some(&mut case.demand.semantic_hit_rate)
    ),
    parameter!("traffic.cache.prefix_hit_rate", "share", 0.0, 1.0, |case| {
        Some(&mut case.demand.prefix_hit_rate)
    }),
    parameter!(
        "traffic.conversation.turns",
        "turns",
        1.0,
        10_000.0,
        |case| talk(case).map(|talk| &mut talk.turns)
    ),
    parameter!(
        "traffic.conversation.user_tokens",
        "tokens",
        0.0,
        1e9,
        |case| talk(case).map(|talk| &mut talk.user_tokens)
    ),
    parameter!(
        "traffic.conversation.answer_tokens",
        "tokens",
        LEAST,
        1e9,
        |case| talk(case).map(|talk| &mut talk.answer_tokens)
    ),
    parameter!("traffic.retrieval.chunks", "chunks", 0.0, 1e9, |case| {
        retrieval(case).map(|retrieval| &mut retrieval.chunks)
    }),
    parameter!(
        "traffic.retrieval.tokens_per_chunk",
        "tokens",
        0.0,
        1e9,
        |case| retrieval(case).map(|retrieval| &mut retrieval.tokens_per_chunk)
    ),
    parameter!(
        "traffic.retrieval.query_tokens",
        "tokens",
        0.0,
        1e9,
        |case| retrieval(case).map(|retrieval| &mut retrieval.query_tokens)
    ),
    parameter!(
        "traffic.conversation.summary_tokens",
        "tokens",
        0.0,
        1e9,
        |case| {
            talk(case)
                .filter(|talk| talk.policy == HistoryPolicy::Summarize)
                .map(|talk| &mut talk.summary_tokens)
        }
    ),
    parameter!(
        "traffic.conversation.summarize_above_tokens",
        "tokens",
        0.0,
        1e9,
        |case| {
            talk(case)
                .filter(|talk| talk.policy == HistoryPolicy::Summarize)
                .map(|talk| &mut talk.summarize_above_tokens)
        }
    ),
    parameter!(
        "api.price_factor",
        "of today's prices",
        LEAST,
        MOST,
        |case| case.api.as_mut().map(|api| &mut api.price_factor)
    ),
    parameter!("api.input_usd_per_mtok", "USD/Mtok", 0.0, MOST, |case| {
        prices(case).map(|prices| &mut prices.rates.input)
    }),
    parameter!("api.output_usd_per_mtok", "USD/Mtok", 0.0, MOST, |case| {
        prices(case).map(|prices| &mut prices.rates.output)
    }),
    parameter!(
        "api.cached_input_usd_per_mtok",
        "USD/Mtok",
        0.0,
        MOST,
        |case| prices(case).and_then(|prices| prices.rates.cached.as_mut())
    ),
    parameter!(
        "api.cache_write_usd_per_mtok",
        "USD/Mtok",
        0.0,
        MOST,
        |case| prices(case).and_then(|prices| prices.rates.write.as_mut())
    ),
    parameter!("api.discount", "share", 0.0, 1.0, |case| case
        .api
        .as_mut()
        .map(|api| &mut api.discount)),
    parameter!("api.fixed_usd_per_month", "USD/month", 0.0, MOST, |case| {
        case.api.as_mut().map(|api| &mut api.fixed_usd_per_month)
    }),
    parameter!("api.router_usd_per_request", "USD", 0.0, MOST, |case| case
        .api
        .as_mut()
        .map(|api| &mut api.router_usd_per_request)),
    parameter!("api.self_hosted_tokenizer_ratio", "", 0.01, 100.0, |case| {
        case.api.as_mut().map(|api| &mut api.tokenizer_ratio)
    }),
    parameter!("api.route.0.share", "share", 0.0, 1.0, |case| case
        .api
        .as_mut()
        .and_then(|api| api.routes.first_mut())
        .map(|route| &mut route.share)),
    parameter!(
        "self_hosted.usd_per_gpu_hour",
        "USD/GPU-h",
        0.0,
        MOST,
        |case| {
            fleet(case).and_then(|fleet| match &mut fleet.rate {
                CardRate::Rented { usd_per_gpu_hour } => Some(usd_per_gpu_hour),
                CardRate::Owned(_) => None,
            })
        }
    ),
    parameter!(
        "self_hosted.output_tokens_per_second",
        "tokens/s",
        LEAST,
        MOST,
        |case| case
            .host
            .as_mut()
            .and_then(|host| host.rates.output.as_mut())
    ),
    parameter!(
        "self_hosted.input_tokens_per_second",
        "tokens/s",
        LEAST,
        MOST,
        |case| case
            .host
            .as_mut()
            .and_then(|host| host.rates.input.as_mut())
    ),
    parameter!(
        "self_hosted.prefill_tokens_per_second",
        "tokens/s",
        LEAST,
        MOST,
        |case| {
            case.host
                .as_mut()
                .and_then(|host| host.rates.prefill.as_mut())
        }
    ),
    parameter!(
        "self_hosted.decode_tokens_per_second",
        "tokens/s",
        LEAST,
        MOST,
        |case| {
            case.host
                .as_mut()
                .and_then(|host| host.rates.decode.as_mut())
        }
    ),
    parameter!(
        "self_hosted.requests_per_second",
        "requests/s",
        LEAST,
        MOST,
        |case| case
            .host
            .as_mut()
            .and_then(|host| host.rates.goodput.as_mut())
    ),
    parameter!("self_hosted.target_load", "share", 0.01, 1.0, |case| fleet(
        case
    )
    .map(|fleet| &mut fleet.target_load)),
    parameter!("self_hosted.staff.fte", "FTE", 0.0, MOST, |case| fleet(
        case
    )
    .map(|fleet| &mut fleet.fixed.fte)),
    parameter!(
        "self_hosted.staff.usd_per_year",
        "USD/year",
        0.0,
        MOST,
        |case| fleet(case).map(|fleet| &mut fleet.fixed.fte_usd_per_year)
    ),
    parameter!(
        "self_hosted.updates.per_year",
        "per year",
        0.0,
        MOST,
        |case| fleet(case).map(|fleet| &mut fleet.fixed.updates_per_year)
    ),
    parameter!(
        "self_hosted.updates.engineer_days",
        "days",
        0.0,
        MOST,
        |case| fleet(case).map(|fleet| &mut fleet.fixed.update_engineer_days)
    ),
    parameter!(
        "self_hosted.updates.parallel_hours",
        "h",
        0.0,
        MOST,
        |case| fleet(case).map(|fleet| &mut fleet.fixed.update_parallel_hours)
    ),
    parameter!("self_hosted.spot.lost_work", "share", 0.0, 0.99, |case| {
        spot(case).map(|spot| &mut spot.lost_work)
    }),
    parameter!("self_hosted.spot.fallback", "share", 0.0, 1.0, |case| {
        spot(case).map(|spot| &mut spot.fallback)
    }),
    parameter!(
        "self_hosted.reserved_usd_per_gpu_hour",
        "USD/GPU-h",
        0.0,
        MOST,
        |case| {
            fleet(case)
                .filter(|fleet| fleet.reserved > 0.0)
                .map(|fleet| &mut fleet.reserved_usd_per_gpu_hour)
        }
    ),
    parameter!(
        "self_hosted.storage_usd_per_month",
        "USD/month",
        0.0,
        MOST,
        |case| fleet(case).map(|fleet| &mut fleet.fixed.storage_usd)
    ),
    parameter!(
        "self_hosted.fixed_usd_per_month",
        "USD/month",
        0.0,
        MOST,
        |case| fleet(case).map(|fleet| &mut fleet.fixed.other_usd)
    ),
    parameter!("self_hosted.one_off_usd", "USD", 0.0, MOST, |case| fleet(
        case
    )
    .map(|fleet| &mut fleet.fixed.one_off_usd)),
    parameter!("self_hosted.spot.share", "share", 0.0, 1.0, |case| {
        fleet(case)
            .map(|fleet| &mut fleet.spot)
            .filter(|spot| spot.usd_per_gpu_hour > 0.0)
            .map(|spot| &mut spot.share)
    }),
    parameter!(
        "self_hosted.spot.usd_per_gpu_hour",
        "USD/GPU-h",
        0.0,
        MOST,
        |case| fleet(case)
            .filter(|fleet| fleet.spot.share > 0.0)
            .map(|fleet| &mut fleet.spot.usd_per_gpu_hour)
    ),
];

fn single(case: &Case) -> bool {
    case.demand.conversation.is_none()
}
