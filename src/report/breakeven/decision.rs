//! Page one: what to do, what it costs, how sure that is, and when to look again.

use super::amount::{
    change, count, count_or_absent, percent, percent_or_absent, times, usd, usd_or_absent,
};
use super::{Figure, Part, card, pictures, section, table};
use crate::cost::answer::{Alternative, Answer, Assumption, BreakEvenAnswer, Kind};
use crate::cost::horizon::{HorizonAnswer, Month};
use crate::cost::scenario::Side;
use crate::cost::sensitivity::Lever;
use crate::cost::uncertainty::{Percentiles, probability_text};
use crate::report::number::ABSENT;
use crate::report::section::Table;

/// Levers that page one names.
const TOP: usize = 5;
/// Months of the cash table beyond the first quarter: every third.
const QUARTER: u32 = 3;

pub(super) fn parts(answer: &Answer) -> Vec<Part> {
    let mut parts = vec![
        Part::Verdict(answer.verdict.clone()),
        Part::Figures(figures(answer)),
        options(answer),
    ];
    parts.push(Part::Pictures(pictures::for_the_decision(answer)));
    parts.extend(certainty(answer));
    parts.extend(answer.horizon.as_ref().map(cash));
    parts.extend(levers(answer));
    parts.push(Part::List("Look again when", triggers(answer)));
    parts.extend(warnings(answer));
    parts.extend(budget(answer));
    parts.push(ledger(answer));
    parts
}

fn figures(answer: &Answer) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut add = |what, value: String, note: String| figures.push(Figure { what, value, note });
    let volume = count(answer.volume.requests_per_month);
    if let Some(api) = &answer.api {
        let note = format!(
            "a month at {volume} requests, {} each",
            usd(api.usd_per_request)
        );
        add("API", usd(api.usd_per_month), note);
    }
    if let Some(host) = &answer.self_hosted {
        let note = format!(
            "a month on {} GPUs at {} utilization, {} per request",
            count(host.gpus),
            percent(host.utilization),
            usd(host.usd_per_request)
        );
        add("Self-hosted", usd(host.usd_per_month), note);
    }
    if let Some(found) = &answer.break_even {
        match found.permanent_from_requests_per_month {
            Some(permanent) => {
                let note = format!(
                    "requests a month, {} today",
                    times(permanent / answer.volume.requests_per_month)
                );
                add("Self-hosting pays for good above", count(permanent), note);
            }
            None => {
                let note = "at no volume".to_owned();
                add("Self-hosting pays", "never".to_owned(), note);
            }
        }
        if let Some(utilization) = found.utilization {
            let spend = usd_or_absent(found.usd_per_month);
            let note = format!("of the replicas, where the API bill is {spend} a month");
            add("First crossing at", percent(utilization), note);
        }
    }
    if let Some(unsure) = &answer.uncertainty {
        let note = format!(
            "that self-hosting is cheaper, over {} draws",
            count(unsure.draws as f64)
        );
        add("Probability", unsure.probability_text.clone(), note);
    }
    figures
}

/// Today, forecast and break-even for every option.
fn options(answer: &Answer) -> Part {
    let mut rows = Vec::new();
    let tokens = answer
        .api
        .as_ref()
        .map(|api| api.input_tokens_per_request + api.output_tokens_per_request)
        .filter(|tokens| *tokens > 0.0);
    let blended = |per_request: f64| tokens.map(|tokens| per_request * 1e6 / tokens);
    let unsure = answer.uncertainty.as_ref();
    let at_break_even = bills_at_break_even(answer);
    if let Some(api) = &answer.api {
        rows.push(vec![
            format!("API: {}", api.model),
            usd(api.usd_per_month),
            range(unsure.map(|unsure| unsure.api_usd_per_month)),
            usd(api.usd_per_request),
            usd_or_absent(blended(api.usd_per_request)),
            ABSENT.to_owned(),
            usd_or_absent(answer.forecast.api_usd_per_month),
            usd_or_absent(at_break_even.map(|(api, _)| api)),
            ABSENT.to_owned(),
        ]);
    }
    if let Some(host) = &answer.self_hosted {
        rows.push(vec![
            format!("self-hosted: {}", card(answer)),
            usd(host.usd_per_month),
            range(unsure.map(|unsure| unsure.self_hosted_usd_per_month)),
            usd(host.usd_per_request),
            usd_or_absent(blended(host.usd_per_request)),
            percent(host.utilization),
            usd_or_absent(answer.forecast.self_hosted_usd_per_month),
            usd_or_absent(at_break_even.map(|(_, host)| host)),
            permanent(answer.break_even.as_ref()),
        ]);
    }
    rows.extend(answer.alternatives.iter().map(|other| {
        vec![
            alternative_name(other),
            usd(other.usd_per_month),
            ABSENT.to_owned(),
            usd(other.usd_per_request),
            usd_or_absent(blended(other.usd_per_request)),
            percent_or_absent(other.utilization),
            ABSENT.to_owned(),
            ABSENT.to_owned(),
            permanent(other.break_even.as_ref()),
        ]
    }));
    let forecast = format!(
        "$/month in {} months ({} requests)",
        answer.forecast.months,
        count(answer.forecast.requests_per_month)
    );
    let header = [
        "option",
        "$/month today",
        "P5–P95",
        "$/request",
        "$/Mtok blended",
        "utilization",
        forecast.as_str(),
        "$/month at break-even",
        "permanent break-even, requests/month",
    ];
    let notes = vec![format!(
        "Today is {} requests a month ({} a day). {} of it is for embeddings, reranking and the vector store, which both sides pay. The break-even column is at the volume above which self-hosting stays cheaper, without that.",
        count(answer.volume.requests_per_month),
        count(answer.volume.requests_per_day),
        usd(answer.shared.usd_per_month)
    )];
    section("Options", notes, table(1, &header, rows))
}

fn alternative_name(other: &Alternative) -> String {
    let side = match other.side {
        Side::Api => "API",
        Side::SelfHosted => "self-hosted",
    };
    let same = match (other.side, other.same_model) {
        (Side::Api, Some(true)) => ", the same model",
        (Side::Api, Some(false)) => ", another model",
        (Side::Api, None) | (Side::SelfHosted, _) => "",
    };
    format!("{side}: {}{same}", other.name)
}

fn permanent(found: Option<&BreakEvenAnswer>) -> String {
    match found {
        Some(found) if found.exists => count_or_absent(found.permanent_from_requests_per_month),
        Some(_) => "none".to_owned(),
        None => ABSENT.to_owned(),
    }
}

/// Both bills where self-hosting begins to pay for good.
fn bills_at_break_even(answer: &Answer) -> Option<(f64, f64)> {
    let at = answer
        .break_even
        .as_ref()?
        .permanent_from_requests_per_month?;
    let nearest = |a: &f64, b: &f64| (a - at).abs().total_cmp(&(b - at).abs());
    let volumes = answer
        .view
        .curve
        .iter()
        .map(|point| point.requests_per_month);
    let volume = volumes.min_by(nearest)?;
    let close = (volume - at).abs() <= at * 1e-6;
    let point = answer
        .view
        .curve
        .iter()
        .find(|point| close && point.requests_per_month.total_cmp(&volume).is_eq())?;
    point.api_usd.zip(point.self_hosted_usd)
}

fn range(percentiles: Option<Percentiles>) -> String {
    match percentiles {
        Some(Percentiles {
            p5: Some(low),
            p95: Some(high),
            ..
        }) => format!("{}\u{a0}–\u{a0}{}", usd(low), usd(high)),
        Some(_) | None => ABSENT.to_owned(),
    }
}

fn certainty(answer: &Answer) -> Option<Part> {
    let unsure = answer.uncertainty.as_ref()?;
    let row = |what: &str, of: Percentiles, write: fn(f64) -> String| {
        let cell = |value: Option<f64>| value.map_or("no break-even".to_owned(), write);
        vec![what.to_owned(), cell(of.p5), cell(of.p50), cell(of.p95)]
    };
    let rows = vec![
        row(
            "saving of self-hosting, $/month",
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
    let notes = vec![
        format!(
            "Self-hosting is cheaper in {} of {} draws (standard error {}); a break-even exists in {}.",
            unsure.probability_text,
            count(unsure.draws as f64),
            percent(unsure.standard_error),
            probability_text(unsure.probability_break_even_exists, unsure.draws)
        ),
        format!("Drawn: {}.", list(&unsure.inputs)),
    ];
    Some(section(
        "How sure",
        notes,
        table(1, &["", "P5", "P50", "P95"], rows),
    ))
}

fn list(keys: &[String]) -> String {
    if keys.is_empty() {
        "the measured throughput alone".to_owned()
    } else {
        keys.join(", ")
    }
}

fn cash(horizon: &HorizonAnswer) -> Part {
    let shown = |month: &&Month| {
        month.month <= QUARTER
            || month.month.is_multiple_of(QUARTER)
            || month.month as usize == horizon.months.len()
    };
    let rows = horizon
        .months
        .iter()
        .filter(shown)
        .map(|month| {
            vec![
                month.month.to_string(),
                count(month.requests),
                usd(month.api_usd),
                usd(month.self_hosted_usd),
                change(Some(month.cumulative_saving_usd)),
            ]
        })
        .collect();
    let payback = match (horizon.payback_months, horizon.cash_back_in_month) {
        (Some(months), Some(month)) => format!(
            "One-off costs are paid back in {} months of today's saving; the cash is back in month {month}.",
            count(months)
        ),
        (Some(months), None) => format!(
            "One-off costs are paid back in {} months of today's saving, but the cash is not back within the horizon.",
            count(months)
        ),
        (None, Some(month)) => {
            format!("Nothing is saved today; with growth the cash is back in month {month}.")
        }
        (None, None) => {
            "Nothing is saved today, so nothing is paid back within the horizon.".to_owned()
        }
    };
    let halved = &horizon.volume_halved;
    let notes = vec![
        payback,
        format!(
            "Net present value of self-hosting over {} months: {}.",
            horizon.months.len(),
            change(Some(horizon.net_present_value_usd))
        ),
        format!(
            "If the volume halves and the fleet stays: the API costs {} and self-hosting {} a month, {} for self-hosting.",
            usd(halved.api_usd_per_month),
            usd(halved.self_hosted_usd_per_month),
            if halved.saving_usd_per_month < 0.0 {
                format!("a loss of {}", usd(-halved.saving_usd_per_month))
            } else {
                format!("a saving of {}", usd(halved.saving_usd_per_month))
            }
        ),
        format!(
            "Bound by commitment: {}.",
            usd(horizon.commitment_liability_usd)
        ),
    ];
    section(
        "Cash",
        notes,
        table(
            1,
            &["month", "requests", "API", "self-hosted", "saved so far"],
            rows,
        ),
    )
}

fn levers(answer: &Answer) -> Option<Part> {
    let rows: Vec<Vec<String>> = answer.sensitivity.iter().take(TOP).map(lever_row).collect();
    let notes = vec![
        "What self-hosting saves per month when one input moves and the others stay; beyond its flip point the cheaper side changes.".to_owned(),
    ];
    let table = table(1, &LEVER_HEADER, rows)?;
    Some(section("What would change the answer", notes, Some(table)))
}

/// Columns of a table of levers.
pub(super) const LEVER_HEADER: [&str; 8] = [
    "input",
    "today",
    "low",
    "high",
    "saving at low",
    "saving at high",
    "elasticity",
    "flip point",
];

pub(super) fn lever_row(lever: &Lever) -> Vec<String> {
    let elasticity = lever.elasticity.map_or(ABSENT.to_owned(), |elasticity| {
        format!("{elasticity:+.2}").replace('-', "−")
    });
    vec![
        lever_name(lever),
        count_small(lever.base),
        count_small(lever.low),
        count_small(lever.high),
        change(Some(lever.saving_usd_at_low)),
        change(Some(lever.saving_usd_at_high)),
        elasticity,
        lever.flip_point.map_or("none".to_owned(), count_small),
    ]
}

pub(super) fn lever_name(lever: &Lever) -> String {
    if lever.unit.is_empty() {
        lever.key.to_owned()
    } else {
        format!("{} ({})", lever.key, lever.unit)
    }
}

/// A value of any size with the digits that matter.
pub(super) fn count_small(value: f64) -> String {
    if value.abs() >= 100.0 || value == 0.0 {
        return count(value);
    }
    let leading = -value.abs().log10().floor() as i32;
    let decimals = (leading + 3).clamp(0, 9) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// When the answer should be asked for again.
fn triggers(answer: &Answer) -> Vec<String> {
    let mut notes = Vec::new();
    let today = answer.volume.requests_per_month;
    if let Some(found) = &answer.break_even {
        match (found.permanent_from_requests_per_month, found.requests_per_month) {
            (Some(permanent), _) if today < permanent => notes.push(format!(
                "The volume passes {} requests a month ({} today's): above it self-hosting stays cheaper.",
                count(permanent),
                times(permanent / today)
            )),
            (Some(permanent), Some(first)) => notes.push(format!(
                "The volume falls under {} requests a month, below which the API can be cheaper again (under {} it always is).",
                count(permanent),
                count(first)
            )),
            (_, _) => {
                let rate = found.required_usd_per_gpu_hour;
                let speed = found.required_output_tokens_per_second;
                notes.push(format!(
                    "A GPU hour costs less than {}, or a replica sustains more than {} output tokens per second: only then does self-hosting pay at some volume.",
                    usd_or_absent(rate),
                    count_or_absent(speed)
                ));
            }
        }
        if let (true, Some(speed)) = (found.exists, found.required_output_tokens_per_second) {
            let now = answer
                .self_hosted
                .as_ref()
                .map(|host| format!(" (here {})", count(host.output_tokens_per_second)));
            notes.push(format!(
                "Measured throughput falls under {} output tokens per second of a replica{}: below it self-hosting pays at no volume.",
                count(speed),
                now.unwrap_or_default()
            ));
        }
    }
    for lever in answer.sensitivity.iter().take(TOP) {
        if let Some(flip) = lever.flip_point {
            let direction = if flip > lever.base {
                "rises above"
            } else {
                "falls below"
            };
            notes.push(format!(
                "{} {direction} {} (today {}).",
                lever_name(lever),
                count_small(flip),
                count_small(lever.base)
            ));
        }
    }
    if let Some(as_of) = &answer.as_of {
        notes.push(format!(
            "Prices are older than 90 days; these are those of {as_of}."
        ));
    }
    notes.push(
        "Not in the numbers: whether the answers are as good, when the API's model is switched off, compliance, and what a seller does with its prices.".to_owned(),
    );
    notes
}

fn warnings(answer: &Answer) -> Option<Part> {
    let rows: Vec<Vec<String>> = answer
        .warnings
        .iter()
        .map(|warning| vec![warning.message.clone(), warning.remedy.clone()])
        .collect();
    let table = table(2, &["what to doubt", "remedy"], rows)?;
    Some(section("Doubts", Vec::new(), Some(table)))
}

fn budget(answer: &Answer) -> Option<Part> {
    let budget = &answer.budget;
    if budget.alert_usd_per_month.is_none() && budget.cost_centers.is_empty() {
        return None;
    }
    let mut notes = Vec::new();
    if let (Some(limit), Some(bill)) = (budget.alert_usd_per_month, budget.usd_per_month) {
        notes.push(format!(
            "{} of a budget of {} a month is spent.",
            percent(bill / limit),
            usd(limit)
        ));
    }
    for alert in &budget.alerts {
        let when = alert.day.map_or("is not reached".to_owned(), |day| {
            format!("is reached on day {day:.1} of the month")
        });
        notes.push(format!(
            "The alert at {} ({}) {when}.",
            percent(alert.at),
            usd(alert.usd)
        ));
    }
    if let (Some(session), Some(over)) = (budget.usd_per_session, budget.session_over_budget) {
        let word = if over { "above" } else { "within" };
        notes.push(format!(
            "A session costs {}, {word} its budget.",
            usd(session)
        ));
    }
    let rows = budget
        .cost_centers
        .iter()
        .map(|center| {
            vec![
                center.name.clone(),
                percent(center.share),
                usd(center.usd_per_month),
                usd(center.idle_usd_per_month),
            ]
        })
        .collect();
    let table = table(1, &["cost center", "share", "$/month", "of it idle"], rows);
    Some(section("Budget and charge-back", notes, table))
}

/// Every input that somebody stated or looked up, with its source and date.
fn ledger(answer: &Answer) -> Part {
    let stated = answer.assumptions.iter().filter(|line| !is_default(line));
    section(
        "Assumptions",
        vec!["Inputs that nobody stated have their defaults, listed at the end.".to_owned()],
        ledger_table(stated),
    )
}

pub(super) fn is_default(line: &Assumption) -> bool {
    line.source == "default"
}

/// Lines of the ledger.
pub(super) fn ledger_table<'a>(lines: impl Iterator<Item = &'a Assumption>) -> Option<Table> {
    let rows = lines
        .map(|line| {
            vec![
                line.key.clone(),
                value(&line.value),
                line.unit.to_owned(),
                line.source.clone(),
                line.date.clone().unwrap_or_else(|| ABSENT.to_owned()),
                match line.kind {
                    Kind::Measured => "measured".to_owned(),
                    Kind::Assumed => "assumed".to_owned(),
                },
            ]
        })
        .collect();
    let header = ["input", "value", "unit", "source", "date", "kind"];
    table(4, &header, rows)
}

fn value(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => ABSENT.to_owned(),
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) => {
            number.as_f64().map_or(number.to_string(), count_small)
        }
        serde_json::Value::Bool(_) | serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
            value.to_string()
        }
    }
}
