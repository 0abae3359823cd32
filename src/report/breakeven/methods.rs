//! Dollars per million tokens by every method in use, with those that bill twice marked.

use super::amount::{count_small, percent, usd, usd_or_absent};
use super::{Part, section};
use crate::cost::allocation::{Method, Mix, Phases, USUAL_PRICE_RATIO};
use crate::cost::answer::{Answer, HostAnswer, Method as Own};
use crate::cost::regression::Regression;
use crate::cost::view::OperatingPoint;
use crate::report::number::ABSENT;
use crate::report::section::{Align, Table};
use crate::units::{SECONDS_PER_HOUR, TOKENS_PER_MTOK, TokensPerSecond, UsdPerHour};

/// A method of splitting an hour's cost over its tokens.
struct Named {
    name: &'static str,
    method: Option<Way>,
    /// Whether input and output add up to the bill.
    adds_up: &'static str,
    /// What it is, or why it has no number here.
    note: String,
}

/// How a method comes to its prices.
#[derive(Clone, Copy)]
enum Way {
    /// It divides the hour's cost between the sides of a mix.
    Divided(Method),
    /// Each token costs the time that it was seen to add.
    Fitted(Regression),
}

impl Way {
    /// Input and output of an hour's cost, in dollars per million tokens.
    fn prices(self, hour: UsdPerHour, mix: Mix) -> [f64; 2] {
        match self {
            Self::Divided(method) => {
                let split = method.split(hour, mix);
                [split.input.value(), split.output.value()]
            }
            Self::Fitted(fit) => [fit.seconds_per_input_token, fit.seconds_per_output_token]
                .map(|seconds| hour.value() / SECONDS_PER_HOUR * seconds * TOKENS_PER_MTOK),
        }
    }
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
    let named = |name, method: Option<Method>, adds_up, note: &str| Named {
        name,
        method: method.map(Way::Divided),
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
        regression(answer),
    ]
}

/// What one more token costs by a fit over the lengths of the study.
fn regression(answer: &Answer) -> Named {
    let measured = answer
        .view
        .host
        .as_ref()
        .and_then(|host| host.measured.as_ref());
    let fit = measured.and_then(|measured| measured.regression);
    Named {
        name: "G regression",
        method: fit.map(Way::Fitted),
        adds_up: "nearly",
        note: match fit {
            Some(fit) => format!(
                "one more token, over {} pairs of lengths, each within {}; a call takes {} s besides",
                fit.pairs,
                percent(fit.largest_error),
                count_small(fit.seconds_per_call)
            ),
            None => "needs a study of three or more pairs of lengths".to_owned(),
        },
    }
}

fn row(named: Named, host: &HostAnswer, point: &OperatingPoint) -> Vec<String> {
    let mix = Mix {
        input: TokensPerSecond::new(point.input_tokens_per_second),
        output: TokensPerSecond::new(point.output_tokens_per_second),
    };
    let at = |utilization: f64| {
        let hour = point.usd_per_replica_hour / utilization + point.egress_usd_per_replica_hour;
        let method = named.method.filter(|_| utilization > 0.0)?;
        Some(method.prices(UsdPerHour::new(hour), mix))
    };
    let mut row = vec![named.name.to_owned(), named.adds_up.to_owned()];
    for prices in [at(1.0), at(host.utilization)] {
        row.extend([0, 1].map(|side| usd_or_absent(prices.map(|prices| prices[side]))));
    }
    row.push(named.note);
    row
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
