//! Where a replica works: its rates, what limits it, its peak, its queue.

use super::amount::{
    count, count_or_absent, count_small, percent, percent_or_absent, usd, usd_or_absent,
};
use super::{Part, section};
use crate::cost::answer::{Answer, HostAnswer};
use crate::cost::capacity::Binding;
use crate::cost::host_view::{HostView, MeasuredView};
use crate::cost::view::OperatingPoint;
use crate::report::number::ABSENT;
use crate::report::section::{Align, Table};

/// Parameters below which a model answers nobody's question.
const SMALL_MODEL: f64 = 1e8;

/// The operating point, line by line.
pub(super) fn operating_point(answer: &Answer) -> Option<Part> {
    let host = answer.self_hosted.as_ref()?;
    let mut table = Table::new([
        ("of one replica", Align::Left),
        ("value", Align::Right),
        ("unit", Align::Left),
    ]);
    let mut row = |what: &str, value: String, unit: &str| {
        table
            .rows
            .push(vec![what.to_owned(), value, unit.to_owned()]);
    };
    row("what limits it", binding(host.binding).to_owned(), "");
    row(
        "requests it serves, after peak and target load",
        count(host.requests_per_replica_month),
        "requests/month",
    );
    if let Some(point) = &answer.view.operating_point {
        rates(host, point, &mut row);
        loads(host, point, &mut row);
    }
    let mut notes = Vec::new();
    if let Some(view) = &answer.view.host {
        notes.extend(origin(view));
    }
    if answer.view.operating_point.is_some() {
        notes.push("The wait is an approximation (Allen and Cunneen) in which every sequence of a batch is a server; at a load of 100 % or more it has no end.".to_owned());
    }
    Some(section("Operating point", notes, Some(table)))
}

fn rates(host: &HostAnswer, point: &OperatingPoint, row: &mut impl FnMut(&str, String, &str)) {
    let known = |value: Option<f64>| value.map_or(ABSENT.to_owned(), count_small);
    let speed = "tokens/s";
    row(
        "uncached input at full load",
        count_small(point.input_tokens_per_second),
        speed,
    );
    row(
        "output at full load",
        count_small(point.output_tokens_per_second),
        speed,
    );
    row(
        "prefill alone",
        known(point.prefill_tokens_per_second),
        speed,
    );
    row("decode alone", known(point.decode_tokens_per_second), speed);
    row(
        "κ: time of the mix over the time of its parts alone",
        known(host.kappa),
        "",
    );
    row(
        "most output that memory bandwidth allows",
        known(point.roofline_output_tokens_per_second),
        speed,
    );
    row(
        "output of this mix to be expected of these cards, unmeasured",
        known(point.expected_output_tokens_per_second),
        speed,
    );
    row(
        "sequences decoded together",
        count_or_absent(point.batch_size),
        "",
    );
    row(
        "calls at full load",
        count_small(point.calls_per_second),
        "per second",
    );
    row("time of one call", known(point.latency_seconds), "s");
}

fn loads(host: &HostAnswer, point: &OperatingPoint, row: &mut impl FnMut(&str, String, &str)) {
    let known = |value: Option<f64>| value.map_or(ABSENT.to_owned(), count_small);
    row(
        "load in the peak hour, stand-by replicas not counted",
        percent(point.peak_load),
        "of capacity",
    );
    let lost = if host.replicas > 1.0 {
        percent_or_absent(point.peak_load_one_lost)
    } else {
        "no replica left".to_owned()
    };
    row(
        "load in the peak hour with one replica lost",
        lost,
        "of capacity",
    );
    row(
        "mean wait in the queue at the target load",
        known(point.queue_seconds_at_target_load),
        "s",
    );
    row(
        "cost of an hour, fixed costs included",
        usd(point.usd_per_replica_hour),
        "",
    );
    row(
        "what the API would charge for a full hour's work",
        usd_or_absent(point.api_value_usd_per_replica_hour),
        "",
    );
}

const fn binding(binding: Binding) -> &'static str {
    match binding {
        Binding::Prefill => "prefill: reading prompts",
        Binding::Decode => "decode: writing answers",
        Binding::Goodput => "the stated goodput",
        Binding::Kv => "memory of the KV cache",
    }
}

/// Where the rates come from.
fn origin(view: &HostView) -> Vec<String> {
    let Some(measured) = &view.measured else {
        return vec!["The rates are those of the scenario; nothing was measured.".to_owned()];
    };
    vec![measured_point(measured)]
}

/// What a report of a model too small for any workload says of itself.
pub(super) fn demonstration(answer: &Answer) -> Option<String> {
    let view = answer.view.host.as_ref()?;
    let (measured, model) = (view.measured.as_ref()?, view.model.as_ref()?);
    let parameters = view
        .parameters
        .filter(|parameters| *parameters < SMALL_MODEL)?;
    Some(format!(
        "A demonstration, not advice: the study {} measured the model {model}, whose {} parameters are of no use for this workload. Its speed is real; the report shows how a study becomes a decision.",
        measured.study,
        count(parameters)
    ))
}

fn measured_point(measured: &MeasuredView) -> String {
    let [rate, low, high] = measured.output_tokens_per_second;
    format!(
        "The rates are measured: {} in batches of {}, {} tokens in and {} out, {} output tokens per second ({}–{} in 95 %, {} observations), from the study {}.",
        measured.variant(),
        count(measured.batch),
        count(measured.isl),
        count(measured.osl),
        count_small(rate),
        count_small(low),
        count_small(high),
        measured.repetitions,
        measured.study
    )
}
