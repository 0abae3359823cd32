//! Dollars per million tokens by every method in use, with those that bill twice marked.

use super::amount::{usd, usd_or_absent};
use super::{Part, section};
use crate::cost::allocation::{Method, Mix, Phases, USUAL_PRICE_RATIO};
use crate::cost::answer::{Answer, HostAnswer, Method as Own};
use crate::cost::view::OperatingPoint;
use crate::report::number::ABSENT;
use crate::report::section::{Align, Table};
use crate::units::{TokensPerSecond, UsdPerHour};

/// A method of splitting an hour's cost over its tokens.
struct Named {
    name: &'static str,
    method: Option<Method>,
    /// Whether input and output add up to the bill.
    adds_up: &'static str,
    /// What it is, or why it has no number here.
    note: String,
}

/// The table of methods.
pub(super) fn prices(answer: &Answer) -> Option<Part> {
    let host = answer.self_hosted.as_ref()?;
    let point = answer.view.operating_point.as_ref()?;
    let mut table = Table::new([
        ("method", Align::Left),
        ("adds up", Align::Left),
        ("input, full load", Align::Right),
        ("output, full load", Align::Right),
        ("input, in use", Align::Right),
        ("output, in use", Align::Right),
        ("note", Align::Left),
    ]);
    for named in methods(answer, point) {
        table.rows.push(row(named, host, point));
    }
    let notes = vec![
        "At full load: what an hour costs over what it could produce. In use: over what it does produce today, idle capacity and fixed costs included. Only the latter may be held against an API, and only by a method that adds up to the bill.".to_owned(),
        format!(
            "This report splits the bill by {}.",
            match host.method {
                Own::OutputOnly => "A, because no input rate is known",
                Own::TimeShare => "D",
                Own::TotalTokens => "B, because prefill and decode were not measured alone",
            }
        ),
    ];
    Some(section("USD per million tokens", notes, Some(table)))
}

fn methods(answer: &Answer, point: &OperatingPoint) -> Vec<Named> {
    let phases = point
        .prefill_tokens_per_second
        .zip(point.decode_tokens_per_second)
        .map(|(prefill, decode)| Phases {
            prefill: TokensPerSecond::new(prefill),
            decode: TokensPerSecond::new(decode),
        });
    let named = |name, method, adds_up, note: &str| Named {
        name,
        method,
        adds_up,
        note: note.to_owned(),
    };
    vec![
        named(
            "A output only",
            Some(Method::OutputOnly),
            "yes",
            "input is free; no match for an API that charges it",
        ),
        named(
            "B total tokens",
            Some(Method::TotalTokens),
            "yes",
            "every token alike; flatters long prompts",
        ),
        named(
            "C full load on each side",
            Some(Method::FullLoadEachSide),
            "NO: BILLS TWICE",
            "each side pays the whole hour",
        ),
        named(
            "C' pools of prefill and decode",
            None,
            "yes",
            "needs separate pools, which this fleet has not",
        ),
        named(
            "D time share",
            phases.map(Method::TimeShare),
            "yes",
            if phases.is_some() {
                "each side pays the time it takes"
            } else {
                "needs prefill and decode measured alone"
            },
        ),
        named(
            "E price ratio 4",
            Some(Method::PriceRatio(USUAL_PRICE_RATIO)),
            "yes",
            "output costs four times as much, as the median seller has it",
        ),
        Named {
            name: "F blend 3 to 1",
            method: None,
            adds_up: "no: a price index",
            note: blend(answer),
        },
        named(
            "G regression",
            None,
            "nearly",
            "needs a study of three or more pairs of lengths",
        ),
    ]
}

fn row(named: Named, host: &HostAnswer, point: &OperatingPoint) -> Vec<String> {
    let mix = Mix {
        input: TokensPerSecond::new(point.input_tokens_per_second),
        output: TokensPerSecond::new(point.output_tokens_per_second),
    };
    let split = named.method.map(|method| {
        let split = method.split(UsdPerHour::new(point.usd_per_replica_hour), mix);
        (split.input.value(), split.output.value())
    });
    let in_use = |price: f64| (host.utilization > 0.0).then(|| price / host.utilization);
    vec![
        named.name.to_owned(),
        named.adds_up.to_owned(),
        usd_or_absent(split.map(|(input, _)| input)),
        usd_or_absent(split.map(|(_, output)| output)),
        usd_or_absent(split.and_then(|(input, _)| in_use(input))),
        usd_or_absent(split.and_then(|(_, output)| in_use(output))),
        named.note,
    ]
}

/// The usual index of the API's prices beside what this mix really costs.
fn blend(answer: &Answer) -> String {
    let price = |key: &str| {
        let line = answer.assumptions.iter().find(|line| line.key == key)?;
        line.value.as_f64()
    };
    let prices = price("api.input_usd_per_mtok").zip(price("api.output_usd_per_mtok"));
    let blended = answer.api.as_ref().and_then(|api| api.blended_usd_per_mtok);
    match prices.zip(blended) {
        Some(((input, output), blended)) => format!(
            "of the API's prices {}; this mix costs {}",
            usd(f64::midpoint(input, f64::midpoint(input, output))),
            usd(blended)
        ),
        None => format!("of an API's prices, not of a fleet: {ABSENT}"),
    }
}
