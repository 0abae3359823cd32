//! The ledger: every input with its unit, where it comes from, and whether it was measured.

use serde_json::Value;

use super::answer::{Assumption, Kind};
use super::resolve::Resolved;
use super::scenario::Document;

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
const UNITS: [(&str, &str); 24] = [
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
    ("kw", "kW"),
];

/// Every scalar of the scenario in use, then what was looked up; `spread` is the variation between
/// hosts where it is drawn.
pub(crate) fn ledger(
    document: &Document,
    resolved: &Resolved,
    spread: Option<f64>,
) -> Vec<Assumption> {
    let scenario = serde_json::to_value(&document.scenario).unwrap_or(Value::Null);
    let mut lines = Vec::new();
    flatten("", &scenario, &mut |key, value| {
        lines.push(Assumption {
            key: key.to_owned(),
            value: value.clone(),
            unit: unit(key),
            source: if document.states(key) {
                "scenario".to_owned()
            } else {
                "default".to_owned()
            },
            date: document.scenario.as_of.map(|date| date.to_string()),
            kind: Kind::Assumed,
        });
    });
    if let Some(cv) = spread {
        lines.push(Assumption {
            key: "uncertainty.between_host_cv".to_owned(),
            value: serde_json::json!(cv),
            unit: "",
            source: if document.states("uncertainty.between_host_cv") {
                "scenario".to_owned()
            } else {
                "default".to_owned()
            },
            date: document.scenario.as_of.map(|date| date.to_string()),
            kind: Kind::Assumed,
        });
    }
    for used in &resolved.used {
        lines.retain(|line| line.key != used.key);
        lines.push(Assumption {
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
        });
    }
    lines
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
