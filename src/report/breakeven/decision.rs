//! Page one, for whoever pays: what to do, what it costs, how sure that is, and when to look again.

use super::amount::{change, count, count_small, counted, percent, times, usd};
use super::{
    Figure, Part, cash, change as levers, ledger, names, options, pictures, replica, section, table,
};
use crate::cost::answer::{Answer, BreakEvenAnswer};
use crate::cost::horizon::HorizonAnswer;
use crate::cost::scenario::CommittedFleet;
use crate::cost::uncertainty::{Percentiles, UncertaintyAnswer, probability_text};

pub(super) fn parts(answer: &Answer) -> Vec<Part> {
    let mut parts = vec![Part::Verdict(answer.verdict.clone())];
    parts.extend(replica::demonstration(answer).map(Part::Note));
    parts.push(Part::Figures(figures(answer)));
    parts.extend(options::bills(answer));
    parts.push(Part::Pictures(pictures::for_the_decision(answer)));
    parts.extend(options::unit_prices(answer));
    parts.extend(answer.uncertainty.as_ref().map(certainty));
    parts.extend(answer.horizon.as_ref().map(cash::flow));
    parts.extend(levers::levers(answer));
    parts.push(levers::triggers(answer));
    parts.extend(ledger::doubts(answer));
    parts.extend(cash::budget(answer));
    parts.push(ledger::inputs(answer));
    parts
}

fn figures(answer: &Answer) -> Vec<Figure> {
    let mut figures = bills(answer);
    if let Some(found) = &answer.break_even {
        figures.extend(crossing(found, answer.volume.requests_per_month));
    }
    figures.extend(answer.uncertainty.as_ref().map(|unsure| Figure {
        what: "Self-hosting is cheaper in",
        value: unsure.probability_text.clone(),
        note: format!("of {} draws", count(unsure.draws as f64)),
    }));
    if let Some(horizon) = &answer.horizon {
        figures.extend(money(horizon));
    }
    figures
}

fn bills(answer: &Answer) -> Vec<Figure> {
    let api = answer.api.as_ref().map(|api| Figure {
        what: "API today",
        value: usd(api.usd_per_month),
        note: format!("a month, {} a request", usd(api.usd_per_request)),
    });
    let host = answer.self_hosted.as_ref().map(|host| {
        let (one, many) = names::of_cards(answer);
        Figure {
            what: "Self-hosting today",
            value: usd(host.usd_per_month),
            note: format!(
                "a month, {} a request; {}, {} in use",
                usd(host.usd_per_request),
                counted(host.gpus, one, many),
                percent(host.utilization)
            ),
        }
    });
    api.into_iter().chain(host).collect()
}

/// The permanent volume, and the first crossing where there is one above no volume at all.
fn crossing(found: &BreakEvenAnswer, today: f64) -> Vec<Figure> {
    let (value, note) = match found.permanent_from_requests_per_month {
        Some(permanent) if permanent <= 0.0 => (
            "any volume".to_owned(),
            "from the first request on".to_owned(),
        ),
        Some(permanent) => (
            count(permanent),
            format!(
                "requests a month, {} today's volume",
                times(permanent / today)
            ),
        ),
        None => ("never".to_owned(), "at no volume".to_owned()),
    };
    let mut figures = vec![Figure {
        what: "It pays for good above",
        value,
        note,
    }];
    if let (Some(utilization), Some(spend)) = (found.utilization, found.usd_per_month)
        && utilization > 0.0
    {
        figures.push(Figure {
            what: "First break-even",
            value: percent(utilization),
            note: format!("of the capacity in use, at an API bill of {}", usd(spend)),
        });
    }
    figures
}

/// Payback, the halved volume and what one is bound for.
fn money(horizon: &HorizonAnswer) -> [Figure; 3] {
    let (value, note) = payback(horizon);
    let bound = horizon.commitment_liability_usd;
    let owed = if bound > 0.0 {
        "owed for the machines whatever the volume"
    } else {
        "owed; the machines can be given back"
    };
    let halved = horizon.volume_halved.saving_usd_per_month;
    [
        Figure {
            what: "Payback",
            value,
            note,
        },
        Figure {
            what: "If the volume halves",
            value: change(Some(halved)),
            note: "saved a month by the same fleet".to_owned(),
        },
        Figure {
            what: "Commitment",
            value: usd(bound),
            note: owed.to_owned(),
        },
    ]
}

fn payback(horizon: &HorizonAnswer) -> (String, String) {
    match (horizon.payback_months, horizon.cash_back_in_month) {
        (Some(months), _) if months <= 0.0 => {
            ("at once".to_owned(), "nothing is paid up front".to_owned())
        }
        (Some(months), _) => (
            format!("{} months", count_small(months.ceil())),
            "of today's saving return the one-off costs".to_owned(),
        ),
        (None, Some(month)) => (
            format!("month {month}"),
            "with growth; nothing is saved today".to_owned(),
        ),
        (None, None) => (
            "none".to_owned(),
            format!("within {} months", horizon.months.len()),
        ),
    }
}

fn certainty(unsure: &UncertaintyAnswer) -> Part {
    let row = |what: &str, of: Percentiles, write: fn(f64) -> String| {
        let cell = |value: Option<f64>| value.map_or("no break-even".to_owned(), write);
        vec![what.to_owned(), cell(of.p5), cell(of.p50), cell(of.p95)]
    };
    let rows = vec![
        row(
            "saved by self-hosting, $/month",
            unsure.saving_usd_per_month,
            usd,
        ),
        row("API bill, $/month", unsure.api_usd_per_month, usd),
        row(
            "self-hosted bill, $/month",
            unsure.self_hosted_usd_per_month,
            usd,
        ),
        row(
            "first break-even, requests/month",
            unsure.break_even_requests_per_month,
            count,
        ),
        row(
            "permanent break-even, requests/month",
            unsure.permanent_from_requests_per_month,
            count,
        ),
    ];
    let header = [
        "",
        "P5: one in twenty lies below",
        "P50: half",
        "P95: one in twenty lies above",
    ];
    section("How sure", certainty_notes(unsure), table(1, &header, rows))
}

fn certainty_notes(unsure: &UncertaintyAnswer) -> Vec<String> {
    let mut notes = vec![
        format!(
            "Self-hosting is cheaper in {} of {} draws{}; it pays at some volume in {}.",
            unsure.probability_text,
            count(unsure.draws as f64),
            if unsure.standard_error > 0.0 {
                format!(" (± {} standard error)", percent(unsure.standard_error))
            } else {
                String::new()
            },
            probability_text(unsure.probability_break_even_exists, unsure.draws)
        ),
        format!("Drawn: {}.", drawn(unsure)),
    ];
    if unsure.overflow_share > 0.0005 {
        notes.push(format!(
            "The fleet is the planned one in every draw; what it cannot serve, {} of the requests on average, is paid for at the API.",
            percent(unsure.overflow_share)
        ));
    }
    if unsure.break_even_draws < unsure.draws {
        notes.push(format!(
            "The break-evens are those of the first {} draws: a fleet that follows the hours has very many sizes.",
            count(unsure.break_even_draws as f64)
        ));
    }
    match unsure.fleet {
        CommittedFleet::Committed => {}
        CommittedFleet::Resized => notes.push("The fleet is sized anew in every draw, as if the volume were known beforehand: perfect foresight, which flatters self-hosting.".to_owned()),
    }
    notes
}

fn drawn(unsure: &UncertaintyAnswer) -> String {
    let mut drawn: Vec<String> = unsure
        .inputs
        .iter()
        .map(|key| names::of_key(key).to_owned())
        .collect();
    if let Some(cv) = unsure.between_host_cv {
        drawn.push(format!(
            "the measured throughput within its interval, and {} from host to host",
            percent(cv)
        ));
    }
    drawn.join("; ")
}
