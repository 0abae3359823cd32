//! The sections that hold numbers: throughput, latency, cost and roofline.

use super::{Align, CONDITION, Section, Table, price_line};
use crate::metrics::latency::{Latency, Percentiles};
use crate::metrics::stats::Estimate;
use crate::report::cheapest::Limits;
use crate::report::document::{Document, Measured, Row};
use crate::report::number;
use crate::units::{BytesPerSecond, Seconds, TokensPerSecond, UsdPerMtok};

/// One line per point for a terminal: what the main table of a run holds.
pub fn summary(document: &Document) -> Table {
    use Align::{Left, Right};
    let mut table = Table::new([
        ("point", Left),
        ("status", Left),
        ("n", Right),
        ("±", Right),
        ("prefill tok/s", Right),
        ("decode tok/s", Right),
        ("TTFT ms", Right),
        ("TPOT ms", Right),
        ("$/Mtok in", Right),
        ("$/Mtok out", Right),
        ("blended", Right),
        ("floor", Right),
    ]);
    for row in &document.rows {
        table.rows.push(summary_row(row));
    }
    table
}

fn summary_row(row: &Row) -> Vec<String> {
    let measured = row.measured.as_ref();
    let latency = measured.map(|m| &m.latency);
    let price = measured.and_then(|m| m.price.as_ref());
    let center = |estimate: Option<Estimate<f64>>| number::center(estimate.as_ref());
    let half = latency.and_then(|l| l.e2el.rising(Seconds::value).relative_half_width());
    vec![
        row.point.to_string(),
        row.status.word().to_owned(),
        latency.map_or(number::ABSENT.to_owned(), |l| l.blocks.to_string()),
        percent(half),
        center(latency.map(|l| rate(l.prefill()))),
        center(latency.and_then(Latency::decode).map(rate)),
        center(latency.map(|l| milliseconds(l.ttft))),
        center(latency.and_then(|l| l.tpot).map(milliseconds)),
        center(price.map(|p| dollars(p.input))),
        center(price.and_then(|p| p.output).map(dollars)),
        center(price.map(|p| dollars(p.blended))),
        number::optional(price.and_then(|p| p.floor).map(UsdPerMtok::value)),
    ]
}

fn rate(estimate: Estimate<TokensPerSecond>) -> Estimate<f64> {
    estimate.rising(TokensPerSecond::value)
}

fn milliseconds(estimate: Estimate<Seconds>) -> Estimate<f64> {
    estimate.rising(Seconds::milliseconds)
}

fn dollars(estimate: Estimate<UsdPerMtok>) -> Estimate<f64> {
    estimate.rising(UsdPerMtok::value)
}

fn shown(estimate: Option<Estimate<f64>>) -> String {
    number::estimate(estimate.as_ref())
}

fn percent(share: Option<f64>) -> String {
    share.map_or(number::ABSENT.to_owned(), |share| {
        format!("{:.1} %", share * 100.0)
    })
}

/// Rows with numbers.
fn measured(document: &Document) -> impl Iterator<Item = (&Row, &Measured)> {
    let numbers = |row| -> Option<(&Row, &Measured)> { Some((row, Row::measured(row)?)) };
    document.rows.iter().filter_map(numbers)
}

impl Row {
    fn measured(&self) -> Option<&Measured> {
        self.measured.as_ref()
    }
}

pub(super) fn cheapest(document: &Document) -> Section {
    use Align::{Left, Right};
    let mut table = Table::new([
        ("limits", Left),
        ("TTFT up to ms", Right),
        ("TPOT up to ms", Right),
        ("cheapest point", Left),
        ("total tok/s", Right),
        ("$/Mtok blended", Right),
        ("$/Mtok floor", Right),
    ]);
    for limits in &document.limits {
        table.rows.push(cheapest_row(document, limits));
    }
    let mut notes = vec![
        "Of the points that keep the limits with the upper ends of their intervals, the one with the most tokens per second in all."
            .to_owned(),
    ];
    let misses = document.limits.iter();
    notes.extend(misses.filter_map(|limits| document.miss(limits)));
    Section {
        title: "Cheapest point",
        notes,
        table: Some(table),
    }
}

fn cheapest_row(document: &Document, limits: &Limits) -> Vec<String> {
    let limit = |limit: Option<Seconds>| number::optional(limit.map(Seconds::milliseconds));
    let row = document.cheapest(limits);
    let measured = row.and_then(Row::measured);
    let price = measured.and_then(|m| m.price.as_ref());
    vec![
        limits.name.to_owned(),
        limit(limits.ttft),
        limit(limits.tpot),
        row.map_or("none".to_owned(), |row| row.point.to_string()),
        shown(measured.map(|m| rate(m.latency.total()))),
        shown(price.map(|p| dollars(p.blended))),
        number::optional(price.and_then(|p| p.floor).map(UsdPerMtok::value)),
    ]
}

pub(super) fn throughput(document: &Document) -> Section {
    use Align::{Left, Right};
    let mut table = Table::new([
        ("precision", Left),
        ("batch", Right),
        ("ISL", Right),
        ("OSL", Right),
        ("status", Left),
        ("n", Right),
        ("prefill tok/s", Right),
        ("decode tok/s", Right),
        ("output tok/s", Right),
        ("total tok/s", Right),
        ("per user tok/s", Right),
    ]);
    for row in &document.rows {
        let latency = row.measured().map(|m| &m.latency);
        let (point, n) = (row.point, latency.map(|l| l.blocks.to_string()));
        table.rows.push(vec![
            point.variant().to_string(),
            point.batch.to_string(),
            point.isl.to_string(),
            point.osl.to_string(),
            row.status.word().to_owned(),
            n.unwrap_or(number::ABSENT.to_owned()),
            shown(latency.map(|l| rate(l.prefill()))),
            shown(latency.and_then(Latency::decode).map(rate)),
            shown(latency.map(|l| rate(l.output()))),
            shown(latency.map(|l| rate(l.total()))),
            shown(latency.and_then(Latency::per_user).map(rate)),
        ]);
    }
    Section {
        title: "Throughput",
        notes: vec![
            "Prefill counts input tokens until the first output token, decode the tokens after the first, output and total the whole generation."
                .to_owned(),
        ],
        table: Some(table),
    }
}

pub(super) fn latency(document: &Document) -> Section {
    use Align::{Left, Right};
    let mut table = Table::new([
        ("point", Left),
        ("TTFT ms", Right),
        ("TPOT ms", Right),
        ("E2EL ms", Right),
        ("TTFT p50/p90/p99 ms", Right),
        ("ITL p50/p90/p99 ms", Right),
        ("E2EL p50/p90/p99 ms", Right),
        ("generations", Right),
    ]);
    for (row, Measured { latency, .. }) in measured(document) {
        table.rows.push(vec![
            row.point.to_string(),
            shown(Some(milliseconds(latency.ttft))),
            shown(latency.tpot.map(milliseconds)),
            shown(Some(milliseconds(latency.e2el))),
            quantiles(&latency.ttft_percentiles),
            quantiles(&latency.itl_percentiles),
            quantiles(&latency.e2el_percentiles),
            latency.generations.to_string(),
        ]);
    }
    Section {
        title: "Latency",
        notes: vec![
            "TPOT is the mean time per token after the first (what AIPerf and GuideLLM call ITL). A percentile is shown when at least five observations lie beyond it."
                .to_owned(),
        ],
        table: Some(table),
    }
}

fn quantiles(percentiles: &Percentiles) -> String {
    let milliseconds = |time: Option<Seconds>| number::optional(time.map(Seconds::milliseconds));
    [percentiles.p50, percentiles.p90, percentiles.p99]
        .map(milliseconds)
        .join(" / ")
}

pub(super) fn cost(document: &Document) -> Section {
    use Align::{Left, Right};
    let mut table = Table::new([
        ("point", Left),
        ("$/Mtok input", Right),
        ("$/Mtok output", Right),
        ("$/Mtok blended", Right),
        ("$/Mtok floor", Right),
    ]);
    for (row, measured) in measured(document) {
        let price = measured.price.as_ref();
        table.rows.push(vec![
            row.point.to_string(),
            shown(price.map(|p| dollars(p.input))),
            shown(price.and_then(|p| p.output).map(dollars)),
            shown(price.map(|p| dollars(p.blended))),
            number::optional(price.and_then(|p| p.floor).map(UsdPerMtok::value)),
        ]);
    }
    let mut notes: Vec<String> = price_line(document).into_iter().collect();
    notes.push(
        "Input and output share the bill by time and add up to it exactly; the floor is the same point at 100 % of the measured bandwidth or matmul rate."
            .to_owned(),
    );
    Section {
        title: "Cost",
        notes,
        table: document.price.is_some().then_some(table),
    }
}

/// What points cost on a machine that is busy a part of the time; its own table, so that both stay on a page.
pub(super) fn at_utilizations(document: &Document) -> Option<Section> {
    let mut table = Table::new([("point", Align::Left)]);
    for utilization in &document.utilizations {
        table.column(format!(
            "blended at {} % utilization",
            utilization.percent()
        ));
    }
    for (row, measured) in measured(document) {
        let mut cells = vec![row.point.to_string()];
        for utilization in &document.utilizations {
            let price = measured.price.as_ref();
            let price = price.map(|p| p.at_utilization(utilization.share()).blended);
            cells.push(shown(price.map(dollars)));
        }
        table.rows.push(cells);
    }
    let asked = !document.utilizations.is_empty() && !table.rows.is_empty();
    (asked && document.price.is_some()).then(|| Section {
        title: "Cost by utilization",
        notes: vec![
            "$/Mtok blended on a machine that is busy this share of the time: the price at full load divided by it."
                .to_owned(),
        ],
        table: Some(table),
    })
}

pub(super) fn methods(document: &Document) -> Option<Section> {
    use Align::{Left, Right};
    let mut table = Table::new([
        ("point", Left),
        ("method", Left),
        ("$/Mtok input", Right),
        ("$/Mtok output", Right),
        ("κ", Right),
    ]);
    for (row, measured) in measured(document) {
        for price in &measured.methods {
            table.rows.push(vec![
                row.point.to_string(),
                price.method.to_string(),
                shown(Some(dollars(price.input))),
                shown(Some(dollars(price.output))),
                number::optional(price.kappa),
            ]);
        }
    }
    (!table.rows.is_empty()).then(|| Section {
        title: "The same bill by other methods",
        notes: vec![format!(
            "Other programs split the bill otherwise. A price that bills twice must not be multiplied by both kinds of tokens. Engine {}, {CONDITION}.",
            document.engine
        )],
        table: Some(table),
    })
}

pub(super) fn roofline(document: &Document) -> Option<Section> {
    use Align::{Left, Right};
    let mut table = Table::new([
        ("point", Left),
        ("MBU", Right),
        ("MBU of data sheet", Right),
        ("read GB/s", Right),
        ("copy GB/s", Right),
        ("MFU", Right),
        ("MFU of data sheet", Right),
        ("MFU against", Left),
        ("in cache", Left),
    ]);
    for (row, measured) in measured(document) {
        let Some(roofline) = &measured.roofline else {
            continue;
        };
        let giga = |rate: Option<BytesPerSecond>| number::optional(rate.map(|r| r.value() / 1e9));
        let in_cache = match roofline.in_cache {
            Some(true) => "yes",
            Some(false) => "no",
            None => number::ABSENT,
        };
        table.rows.push(vec![
            row.point.to_string(),
            shown(roofline.mbu),
            shown(roofline.mbu_of_sheet),
            giga(roofline.read),
            giga(roofline.copy),
            shown(roofline.mfu),
            shown(roofline.mfu_of_sheet),
            roofline.mfu_dtype.to_string(),
            in_cache.to_owned(),
        ]);
    }
    (!document.peaks.is_empty() || document.sheet.is_some()).then(|| Section {
        title: "Roofline",
        notes: vec![
            "MBU is decode's reading ÷ the read bandwidth measured over a buffer of that size, MFU prefill's arithmetic ÷ the measured matmul rate; 1 is the limit. Quantized weights may exceed an MFU of 1: the rate is no limit of theirs then, and the point has no floor."
                .to_owned(),
        ],
        table: Some(table),
    })
}
