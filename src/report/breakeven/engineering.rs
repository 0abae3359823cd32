//! What the engineer asks: where a replica works, what limits it, and what every number rests on.

use super::amount::{
    change, count, count_or_absent, percent, percent_or_absent, usd, usd_or_absent,
};
use super::decision::{LEVER_HEADER, count_small, is_default, ledger_table, lever_row};
use super::{Part, claims, pictures, section, table};
use crate::cost::allocation::{Method, Mix, Phases, USUAL_PRICE_RATIO};
use crate::cost::answer::{Answer, Cheaper, HostAnswer};
use crate::cost::capacity::Binding;
use crate::cost::scenario::Side;
use crate::cost::view::{HourPoint, OperatingPoint};
use crate::report::number::ABSENT;
use crate::units::{TokensPerSecond, UsdPerHour};

/// Crossings that the table lists.
const CROSSINGS: usize = 20;

pub(super) fn parts(answer: &Answer) -> Vec<Part> {
    let mut parts = Vec::new();
    parts.extend(operating_point(answer));
    parts.extend(methods(answer));
    parts.push(Part::Pictures(pictures::for_the_engineer(answer)));
    parts.extend(stairs(answer));
    parts.extend(hours(answer));
    parts.extend(memory(answer));
    parts.extend(what_if(answer));
    parts.extend(levers(answer));
    parts.extend(crossings(answer));
    parts.push(claims::framework(answer));
    parts.extend(claims::checked(answer));
    parts.extend(defaults(answer));
    parts.push(provenance(answer));
    parts
}

fn operating_point(answer: &Answer) -> Option<Part> {
    let host = answer.self_hosted.as_ref()?;
    let mut rows = Vec::new();
    let mut row = |what: &str, value: String| rows.push(vec![what.to_owned(), value]);
    row("what limits a replica", binding(host.binding).to_owned());
    row(
        "requests a month of one replica, after peak and target load",
        count(host.requests_per_replica_month),
    );
    if let Some(point) = &answer.view.operating_point {
        row(
            "uncached input tok/s of a replica at full load",
            count_small(point.input_tokens_per_second),
        );
        row(
            "output tok/s of a replica at full load",
            count_small(point.output_tokens_per_second),
        );
        row(
            "prefill tok/s alone",
            point
                .prefill_tokens_per_second
                .map_or(ABSENT.to_owned(), count_small),
        );
        row(
            "decode tok/s alone",
            point
                .decode_tokens_per_second
                .map_or(ABSENT.to_owned(), count_small),
        );
        row(
            "κ, mix over its parts alone",
            host.kappa.map_or(ABSENT.to_owned(), count_small),
        );
        row(
            "sequences decoded together",
            count_or_absent(point.batch_size),
        );
        row(
            "calls per second of a replica at full load",
            count_small(point.calls_per_second),
        );
        row(
            "seconds of one call",
            point.latency_seconds.map_or(ABSENT.to_owned(), count_small),
        );
        row("load of the peak hour", percent(point.peak_load));
        row(
            "load of the peak hour with one replica lost",
            percent_or_absent(point.peak_load_one_lost),
        );
        row(
            "mean wait in the queue at the target load, s",
            point
                .queue_seconds_at_target_load
                .map_or(ABSENT.to_owned(), count_small),
        );
        row(
            "roofline of the cards, output tok/s",
            point
                .roofline_output_tokens_per_second
                .map_or(ABSENT.to_owned(), count_small),
        );
        row(
            "$ per replica hour, fixed costs included",
            usd(point.usd_per_replica_hour),
        );
        row(
            "what the API would charge for a full replica hour",
            usd_or_absent(point.api_value_usd_per_replica_hour),
        );
    }
    let notes = vec![
        "The queue is an approximation (Allen–Cunneen) with every sequence slot a server; a load above 100 % waits without end.".to_owned(),
    ];
    Some(section(
        "Operating point",
        notes,
        table(1, &["", "value"], rows),
    ))
}

const fn binding(binding: Binding) -> &'static str {
    match binding {
        Binding::Prefill => "prefill: reading prompts",
        Binding::Decode => "decode: writing answers",
        Binding::Goodput => "the stated goodput",
        Binding::Kv => "memory of the KV cache",
    }
}

/// Dollars per million tokens by every method in use.
fn methods(answer: &Answer) -> Option<Part> {
    let host = answer.self_hosted.as_ref()?;
    let point = answer.view.operating_point.as_ref()?;
    let mix = Mix {
        input: TokensPerSecond::new(point.input_tokens_per_second),
        output: TokensPerSecond::new(point.output_tokens_per_second),
    };
    let phases = point
        .prefill_tokens_per_second
        .zip(point.decode_tokens_per_second)
        .map(|(prefill, decode)| Phases {
            prefill: TokensPerSecond::new(prefill),
            decode: TokensPerSecond::new(decode),
        });
    let named = [
        Some(("A output only", Method::OutputOnly)),
        Some(("B total tokens", Method::TotalTokens)),
        Some((
            "C full load on each side: BILLS TWICE",
            Method::FullLoadEachSide,
        )),
        phases.map(|phases| ("D time share", Method::TimeShare(phases))),
        Some(("E price ratio 4", Method::PriceRatio(USUAL_PRICE_RATIO))),
    ];
    let rows = named
        .into_iter()
        .flatten()
        .map(|(name, method)| method_row(name, method, mix, (host, point)))
        .collect();
    let notes = vec![
        "Full load is what an hour costs over what it could produce; at the utilization in use it is what a token costs. Only the latter may be compared with an API, and only by a method that adds up.".to_owned(),
        format!(
            "The answer splits its bill by {}.",
            match host.method {
                crate::cost::answer::Method::OutputOnly => "output only: no input rate is known",
                crate::cost::answer::Method::TimeShare => "time share",
                crate::cost::answer::Method::TotalTokens => "total tokens",
            }
        ),
    ];
    let header = [
        "method",
        "adds up",
        "input, full load",
        "output, full load",
        "input, in use",
        "output, in use",
    ];
    Some(section(
        "USD per million tokens",
        notes,
        table(2, &header, rows),
    ))
}

fn method_row(
    name: &str,
    method: Method,
    mix: Mix,
    (host, point): (&HostAnswer, &OperatingPoint),
) -> Vec<String> {
    let split = method.split(UsdPerHour::new(point.usd_per_replica_hour), mix);
    let adds_up = match method {
        Method::FullLoadEachSide => "no",
        Method::OutputOnly | Method::TotalTokens | Method::TimeShare(_) | Method::PriceRatio(_) => {
            "yes"
        }
    };
    let (input, output) = (split.input.value(), split.output.value());
    let in_use = |price: f64| {
        if host.utilization > 0.0 {
            usd(price / host.utilization)
        } else {
            ABSENT.to_owned()
        }
    };
    vec![
        name.to_owned(),
        adds_up.to_owned(),
        usd(input),
        usd(output),
        in_use(input),
        in_use(output),
    ]
}

fn stairs(answer: &Answer) -> Option<Part> {
    let rows = answer
        .view
        .stairs
        .iter()
        .map(|stair| {
            vec![
                count(stair.replicas),
                count(stair.gpus),
                count(stair.up_to_requests_per_month),
                usd(stair.usd_per_month),
                percent(stair.utilization),
            ]
        })
        .collect();
    let header = [
        "replicas",
        "GPUs",
        "up to requests/month",
        "$/month there",
        "utilization there",
    ];
    let table = table(0, &header, rows)?;
    Some(section("Replicas by volume", Vec::new(), Some(table)))
}

fn hours(answer: &Answer) -> Option<Part> {
    let hours = &answer.view.hours;
    if hours.is_empty() {
        return None;
    }
    let replicas = |best: fn(f64, f64) -> f64| hours.iter().map(|hour| hour.replicas).reduce(best);
    let notes = vec![format!(
        "Between {} and {} replicas are billed over {} hours.",
        count_or_absent(replicas(f64::min)),
        count_or_absent(replicas(f64::max)),
        hours.len()
    )];
    let row = |hour: &HourPoint| {
        vec![
            format!("{:02}:00", hour.hour % 24),
            count_small(hour.requests_per_second),
            count(hour.replicas),
        ]
    };
    // A week would be 168 rows; its picture says as much.
    let rows = if hours.len() == 24 {
        hours.iter().map(row).collect()
    } else {
        Vec::new()
    };
    let table = table(1, &["hour, UTC", "requests/s", "billed replicas"], rows);
    Some(section("Replicas by hour", notes, table))
}

fn memory(answer: &Answer) -> Option<Part> {
    let rows = answer
        .view
        .fits
        .iter()
        .map(|fit| {
            let chosen = if fit.chosen { " (chosen)" } else { "" };
            vec![
                format!("{}{chosen}", fit.gpu),
                count(fit.gpus),
                count_small(fit.weights_gib),
                count_small(fit.kv_gib),
                count(fit.kv_tokens.max(0.0)),
                count(fit.sequences),
                fit.fewest_gpus
                    .map_or("more than 8".to_owned(), |gpus| gpus.to_string()),
            ]
        })
        .collect();
    let header = [
        "card",
        "cards of a replica",
        "weights GiB",
        "left for KV GiB",
        "KV tokens",
        "sequences of this workload",
        "fewest cards",
    ];
    let table = table(1, &header, rows)?;
    let notes = vec![
        "Sequences are those that surely fit at their full length. A negative remainder means that the weights do not fit.".to_owned(),
    ];
    Some(section("Memory", notes, Some(table)))
}

fn what_if(answer: &Answer) -> Option<Part> {
    let rows = answer
        .what_if
        .iter()
        .map(|lever| {
            vec![
                lever.name.clone(),
                usd_or_absent(lever.api_usd_per_month),
                change(lever.api_change_usd_per_month),
                usd_or_absent(lever.self_hosted_usd_per_month),
                change(lever.self_hosted_change_usd_per_month),
                lever
                    .permanent_from_requests_per_month
                    .map_or("none".to_owned(), count),
                cheaper(lever.cheaper_now).to_owned(),
            ]
        })
        .collect();
    let header = [
        "lever",
        "API $/month",
        "change",
        "self-hosted $/month",
        "change",
        "permanent break-even",
        "cheaper",
    ];
    let table = table(1, &header, rows)?;
    Some(section("What each lever saves", Vec::new(), Some(table)))
}

pub(super) const fn cheaper(side: Option<Cheaper>) -> &'static str {
    match side {
        Some(Cheaper::Api) => "API",
        Some(Cheaper::SelfHosted) => "self-hosted",
        Some(Cheaper::Equal) => "equal",
        None => ABSENT,
    }
}

fn levers(answer: &Answer) -> Option<Part> {
    let rows = answer.sensitivity.iter().map(lever_row).collect();
    let table = table(1, &LEVER_HEADER, rows)?;
    let notes = vec![
        "Low and high are P10 and P90 of the scenario's distribution, or a fifth either way. Elasticity: change of the first break-even per change of the input, both relative.".to_owned(),
    ];
    Some(section("Sensitivity", notes, Some(table)))
}

fn crossings(answer: &Answer) -> Option<Part> {
    let found = answer.break_even.as_ref()?;
    let rows: Vec<Vec<String>> = found
        .crossings
        .iter()
        .take(CROSSINGS)
        .map(|crossing| {
            vec![
                count(crossing.requests_per_month),
                count(crossing.replicas),
                match crossing.to {
                    Side::Api => "API".to_owned(),
                    Side::SelfHosted => "self-hosted".to_owned(),
                },
            ]
        })
        .collect();
    let table = table(0, &["requests/month", "replicas", "cheaper above"], rows)?;
    let notes = vec![format!(
        "The bills cross {} times: replicas come whole, so the first crossing decides nothing.",
        found.crossings.len()
    )];
    Some(section("Crossings", notes, Some(table)))
}

fn defaults(answer: &Answer) -> Option<Part> {
    let unstated = answer.assumptions.iter().filter(|line| is_default(line));
    Some(section(
        "Defaults in use",
        Vec::new(),
        Some(ledger_table(unstated)?),
    ))
}

fn provenance(answer: &Answer) -> Part {
    let mut rows = vec![
        vec![
            "price catalog, sha256".to_owned(),
            answer.catalog_hash.clone(),
        ],
        vec![
            "prices are aged against".to_owned(),
            answer.as_of.clone().unwrap_or_else(|| ABSENT.to_owned()),
        ],
        vec!["schema of the answer".to_owned(), answer.schema.to_string()],
        vec![
            "hours of a month, both sides".to_owned(),
            count_small(answer.volume.hours_per_month),
        ],
    ];
    if let Some(unsure) = &answer.uncertainty {
        rows.push(vec![
            "draws".to_owned(),
            format!(
                "{} of {} with seed {}",
                unsure.draws, unsure.generator, unsure.seed
            ),
        ]);
    }
    section("Provenance", Vec::new(), table(2, &["", ""], rows))
}
