//! The ledger: every input with its unit, where it comes from, and whether it was measured.

use serde_json::Value;

use super::answer::{Assumption, Kind};
use super::resolve::{Resolved, Used};
use super::scenario::Document;
use super::traffic::Profile;
use crate::study::model::CacheType;

/// Sections whose entries are compared, edited or drawn, not assumed.
const SKIPPED: [&str; 6] = [
    "what_if",
    "uncertainty",
    "budget.cost_center",
    "api.alternative",
    "self_hosted.alternative",
    "traffic.hourly",
];

/// Endings of keys and the units they stand for; the first that fits.
const UNITS: [(&str, &str); 25] = [
    ("usd_per_mtok_hour", "USD/Mtok-h"),
    ("usd_per_mtok", "USD/Mtok"),
    ("usd_per_gpu_hour", "USD/GPU-h"),
    ("usd_per_kw_month", "USD/kW-month"),
    ("usd_per_gb_month", "USD/GB-month"),
    ("usd_per_month", "USD/month"),
    ("usd_per_year", "USD/year"),
    ("usd_per_request", "USD/request"),
    ("usd_per_session", "USD/session"),
    ("usd_per_kwh", "USD/kWh"),
    ("usd_per_gb", "USD/GB"),
    ("_usd", "USD"),
    ("tokens_per_second", "tokens/s"),
    ("requests_per_second", "requests/s"),
    ("requests_per_day", "requests/day"),
    ("requests_per_month", "requests/month"),
    ("hours_per_month", "h/month"),
    ("_minutes", "min"),
    ("_seconds", "s"),
    ("_ms", "ms"),
    ("months", "months"),
    ("gib_per_gpu", "GiB"),
    ("tokens", "tokens"),
    ("token_limit", "tokens"),
    ("kw", "kW"),
];

/// Every scalar of the scenario in use, then what was looked up; `spread` is the variation between
/// hosts where it is drawn.
pub(crate) fn ledger(
    document: &Document,
    resolved: &Resolved,
    spread: Option<f64>,
) -> Vec<Assumption> {
    let source = |key: &str| {
        if document.states(key) {
            "scenario"
        } else {
            "default"
        }
    };
    let date = document.scenario.as_of.map(|date| date.to_string());
    let assumed = |key: &str, value: Value, source: &str| Assumption {
        key: key.to_owned(),
        value,
        unit: unit(key),
        source: source.to_owned(),
        date: date.clone(),
        kind: Kind::Assumed,
    };
    let scenario = serde_json::to_value(&document.scenario).unwrap_or(Value::Null);
    let mut lines = Vec::new();
    let cache = measured_cache(resolved);
    flatten("", &scenario, &mut |key, value| {
        lines.push(match cache {
            Some((study, cache)) if key == "self_hosted.kv_precision" => {
                assumed(key, cache.precision().word().into(), study)
            }
            Some(_) | None => assumed(key, value.clone(), source(key)),
        });
    });
    let spread = spread.map(|cv| {
        let key = "uncertainty.between_host_cv";
        Settled::new(key, cv, source(key))
    });
    for input in settled(document, resolved).into_iter().chain(spread) {
        if lines.iter().all(|line| line.key != input.key) {
            lines.push(assumed(input.key, input.value, input.source));
        }
    }
    for used in &resolved.used {
        lines.retain(|line| line.key != used.key);
        lines.push(looked_up(used));
    }
    lines
}

/// How the measured point cached keys and values, with the study that says so.
fn measured_cache(resolved: &Resolved) -> Option<(&str, CacheType)> {
    let (study, point) = resolved.host.as_ref()?.measured.as_ref()?;
    Some((study, point.kv?))
}

fn looked_up(used: &Used) -> Assumption {
    Assumption {
        key: used.key.clone(),
        value: serde_json::json!(used.value),
        unit: used.unit,
        source: used.source.clone(),
        date: used.date.map(|date| date.to_string()),
        kind: if used.measured {
            Kind::Measured
        } else {
            Kind::Assumed
        },
    }
}

/// An input that the scenario may leave open and that is settled when it is worked out.
struct Settled<'a> {
    key: &'static str,
    value: Value,
    source: &'a str,
}

impl<'a> Settled<'a> {
    fn new(key: &'static str, value: impl Into<Value>, source: &'a str) -> Self {
        Self {
            key,
            value: value.into(),
            source,
        }
    }
}

/// What is in use where the scenario is silent: defaults that depend on something else, and what a
/// rental or a study brings along.
fn settled<'a>(document: &'a Document, resolved: &Resolved) -> Vec<Settled<'a>> {
    let mut settled = Vec::new();
    let demand = &resolved.case.demand;
    if let Profile::Peak(peak) = demand.profile {
        settled.push(Settled::new("traffic.peak_to_average", peak, "default"));
    }
    settled.push(Settled::new(
        "traffic.cache.prefix_hit_rate",
        demand.prefix_hit_rate,
        "default",
    ));
    let section = document.scenario.self_hosted.as_ref();
    if let (Some(section), Some(host), Some(facts)) = (section, &resolved.case.host, &resolved.host)
    {
        let rental = section.rental.as_deref();
        let study = section.results.as_deref();
        let machine = rental.or(study).unwrap_or("default");
        let fleet = &host.fleet;
        settled.push(Settled::new("self_hosted.gpu", facts.gpu.as_str(), machine));
        settled.push(Settled::new(
            "self_hosted.gpus_per_replica",
            fleet.gpus_per_replica,
            study.unwrap_or("default"),
        ));
        settled.push(Settled::new(
            "self_hosted.billing_quantum_gpus",
            fleet.quantum,
            rental.unwrap_or("default"),
        ));
        if facts.shape.is_some() {
            settled.push(Settled::new(
                "self_hosted.precision",
                facts.precision.word(),
                study.unwrap_or("default"),
            ));
        }
    }
    settled
}

fn unit(key: &str) -> &'static str {
    UNITS
        .iter()
        .find(|(ending, _)| key.ends_with(ending))
        .map_or("", |(_, unit)| unit)
}

/// Visits every number, word and truth value below a value, absent ones apart.
fn flatten(key: &str, value: &Value, visit: &mut impl FnMut(&str, &Value)) {
    if SKIPPED.contains(&key) {
        return;
    }
    let inner = |part: &str| {
        if key.is_empty() {
            part.to_owned()
        } else {
            format!("{key}.{part}")
        }
    };
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (part, value) in fields {
                flatten(&inner(part), value, visit);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                flatten(&inner(&index.to_string()), value, visit);
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => visit(key, value),
    }
}
