//! The numbers of a case by the key they have in the scenario: what can be drawn and turned.

use super::bill::Prices;
use super::case::Case;
use super::fleet::{CardRate, FleetCase};
use super::scenario::parse::nearest;
use super::traffic::{Profile, Volume};

/// A number of a case.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its key in the scenario.
    pub key: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// What it may be.
    pub low: f64,
    /// What it may be.
    pub high: f64,
    at: fn(&mut Case) -> Option<&mut f64>,
}

/// A key that cannot be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// Compared instead.
    #[error("`{0}` is compared, never drawn; make it a [[self_hosted.alternative]]")]
    Compared(String),
    /// Not a number of the format.
    #[error("`{key}` is no number of a scenario{}", near.map_or_else(String::new, |near| format!("; did you mean `{near}`?")))]
    Unknown {
        /// The key.
        key: String,
        /// What may have been meant.
        near: Option<&'static str>,
    },
    /// The scenario does without.
    #[error("`{0}` is not in use by this scenario")]
    NotInUse(String),
}

/// Keys that name a thing, not an amount.
const COMPARED: [&str; 5] = [
    "self_hosted.gpu",
    "self_hosted.rental",
    "self_hosted.precision",
    "self_hosted.kv_precision",
    "self_hosted.gpus_per_replica",
];

impl Parameter {
    /// The parameter of a key that a case uses.
    pub fn find(key: &str, case: &mut Case) -> Result<Self, ParameterError> {
        if COMPARED.contains(&key) {
            return Err(ParameterError::Compared(key.to_owned()));
        }
        let Some(parameter) = PARAMETERS.iter().find(|parameter| parameter.key == key) else {
            let known: Vec<&'static str> = PARAMETERS.iter().map(|p| p.key).collect();
            return Err(ParameterError::Unknown {
                key: key.to_owned(),
                near: nearest(key, &known),
            });
        };
        if parameter.get(case).is_none() {
            return Err(ParameterError::NotInUse(key.to_owned()));
        }
        Ok(*parameter)
    }

    /// Every parameter that a case uses.
    pub fn in_use(case: &mut Case) -> Vec<Self> {
        PARAMETERS
            .iter()
            .filter(|parameter| parameter.get(case).is_some())
            .copied()
            .collect()
    }

    /// Its value in a case.
    pub fn get(&self, case: &mut Case) -> Option<f64> {
        (self.at)(case).map(|value| *value)
    }

    /// Puts another value in its place, kept within what it may be.
    pub fn set(&self, case: &mut Case, value: f64) {
        if let Some(place) = (self.at)(case) {
            *place = value.clamp(self.low, self.high);
        }
    }
}

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

/// Every number that can be drawn or turned.
static PARAMETERS: &[Parameter] = &[
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
        |case| case
            .demand
            .conversation
            .as_mut()
            .map(|talk| &mut talk.turns)
    ),
    parameter!(
        "traffic.conversation.user_tokens",
        "tokens",
        0.0,
        1e9,
        |case| case
            .demand
            .conversation
            .as_mut()
            .map(|talk| &mut talk.user_tokens)
    ),
    parameter!(
        "traffic.conversation.answer_tokens",
        "tokens",
        LEAST,
        1e9,
        |case| case
            .demand
            .conversation
            .as_mut()
            .map(|talk| &mut talk.answer_tokens)
    ),
    parameter!("traffic.retrieval.chunks", "chunks", 0.0, 1e9, |case| case
        .demand
        .retrieval
        .as_mut()
        .map(|retrieval| &mut retrieval.chunks)),
    parameter!(
        "traffic.retrieval.tokens_per_chunk",
        "tokens",
        0.0,
        1e9,
        |case| case
            .demand
            .retrieval
            .as_mut()
            .map(|retrieval| &mut retrieval.tokens_per_chunk)
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
    parameter!("self_hosted.spot.share", "share", 0.0, 1.0, |case| fleet(
        case
    )
    .map(|fleet| &mut fleet.spot.share)),
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
