//! A report as headings, notes and tables of plain text, which each rendering escapes in its own way.

use super::document::{Document, Limits, Measured, Row, Status};
use super::number;
use super::provenance::bytes;
use crate::cost::rate::{HourlyPrice, Origin};
use crate::metrics::latency::Percentiles;
use crate::metrics::stats::Estimate;
use crate::metrics::verdict::Warning;
use crate::record::observation::{DeviceKind, Limit, Load, Peak};
use crate::units::{BytesPerSecond, Seconds, TokensPerSecond, UsdPerMtok};

/// The condition under which every number of this program holds.
pub const CONDITION: &str = "closed static batch, equal lengths";
/// Points that a warning names before it only counts them.
const NAMED_POINTS: usize = 3;

/// A heading with what stands under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// Paragraphs before the table.
    pub notes: Vec<String>,
    /// The table.
    pub table: Option<Table>,
}

/// A table of plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Headings of the columns.
    pub header: Vec<Heading>,
    /// Cells, as many per row as there are headings.
    pub rows: Vec<Vec<String>>,
}

/// The heading of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heading {
    /// Its text, with the unit.
    pub text: String,
    /// How the column is set.
    pub align: Align,
}

/// How a column is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

impl Table {
    pub(crate) fn new<const N: usize>(header: [(&str, Align); N]) -> Self {
        Self {
            header: header.into_iter().map(Heading::from).collect(),
            rows: Vec::new(),
        }
    }

    fn column(&mut self, text: String) {
        self.header.push(Heading {
            text,
            align: Align::Right,
        });
    }
}

impl From<(&str, Align)> for Heading {
    fn from((text, align): (&str, Align)) -> Self {
        Self {
            text: text.to_owned(),
            align,
        }
    }
}

/// The title of a report.
pub fn title(document: &Document) -> String {
    format!("{} on {}", document.model, document.device)
}

/// The sentences that come first: what is simulated, what prices mean, what is cheapest.
pub fn lead(document: &Document) -> Vec<String> {
    let mut lines = Vec::new();
    if document.simulated {
        lines.push(
            "SIMULATED: times come from a script, not from a device. There is no price.".to_owned(),
        );
    }
    lines.push(format!(
        "Engine {}, {CONDITION}. Intervals are 95 %, over n blocks; — is unknown, never zero.",
        document.engine
    ));
    lines.extend(price_line(document));
    lines
}

/// Whose rate it is, of when, and under which condition the prices hold.
pub fn price_line(document: &Document) -> Option<String> {
    if document.simulated {
        return None;
    }
    let Some(price) = &document.price else {
        return Some(
            "Prices are —: no rate of this device is known; give it with --usd-per-hour."
                .to_owned(),
        );
    };
    Some(format!(
        "Prices: {} per hour, {}; engine {}, {CONDITION}, full load.",
        usd(price),
        whose(price, document.device_kind),
        document.engine
    ))
}

fn usd(price: &HourlyPrice) -> String {
    format!("{} USD", price.usd_per_hour.value())
}

fn whose(price: &HourlyPrice, device: Option<DeviceKind>) -> String {
    let machine = match device {
        Some(DeviceKind::Cpu) => "for this CPU machine",
        Some(DeviceKind::Cuda | DeviceKind::Sim) | None => "for this machine",
    };
    let date = price
        .as_of
        .map_or("undated".to_owned(), |date| format!("as of {date}"));
    match price.origin {
        Origin::User => format!("the rate that the user gave {machine} ({})", price.label),
        Origin::Catalog => format!("{} ({}, {date})", price.label, price.source),
    }
}

/// Every section of the full report, in order.
pub fn all(document: &Document) -> Vec<Section> {
    let sections = [
        Some(cheapest(document)),
        Some(throughput(document)),
        Some(latency(document)),
        Some(cost(document)),
        methods(document),
        roofline(document),
        not_measured(document),
        warnings(document),
        loads(document),
        peaks(document),
        Some(provenance(document)),
    ];
    sections.into_iter().flatten().collect()
}

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
        center(
            latency
                .and_then(super::super::metrics::latency::Latency::decode)
                .map(rate),
        ),
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

fn cheapest(document: &Document) -> Section {
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
    for limits in &document.questions.limits {
        table.rows.push(cheapest_row(document, limits));
    }
    Section {
        title: "Cheapest point",
        notes: vec![
            "Of the points that keep the limits with the upper ends of their intervals, the one with the most tokens per second in all."
                .to_owned(),
        ],
        table: Some(table),
    }
}

fn cheapest_row(document: &Document, limits: &Limits) -> Vec<String> {
    let limit = |limit: Option<Seconds>| number::optional(limit.map(Seconds::milliseconds));
    let row = document.cheapest(limits);
    let measured = row.and_then(Row::measured);
    let price = measured.and_then(|m| m.price.as_ref());
    vec![
        limits.name.clone(),
        limit(limits.ttft),
        limit(limits.tpot),
        row.map_or("none".to_owned(), |row| row.point.to_string()),
        shown(measured.map(|m| rate(m.latency.total()))),
        shown(price.map(|p| dollars(p.blended))),
        number::optional(price.and_then(|p| p.floor).map(UsdPerMtok::value)),
    ]
}

fn throughput(document: &Document) -> Section {
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
            point.precision.to_string(),
            point.batch.to_string(),
            point.isl.to_string(),
            point.osl.to_string(),
            row.status.word().to_owned(),
            n.unwrap_or(number::ABSENT.to_owned()),
            shown(latency.map(|l| rate(l.prefill()))),
            shown(
                latency
                    .and_then(super::super::metrics::latency::Latency::decode)
                    .map(rate),
            ),
            shown(latency.map(|l| rate(l.output()))),
            shown(latency.map(|l| rate(l.total()))),
            shown(
                latency
                    .and_then(super::super::metrics::latency::Latency::per_user)
                    .map(rate),
            ),
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

fn latency(document: &Document) -> Section {
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

fn cost(document: &Document) -> Section {
    use Align::{Left, Right};
    let mut table = Table::new([
        ("point", Left),
        ("$/Mtok input", Right),
        ("$/Mtok output", Right),
        ("$/Mtok blended", Right),
        ("$/Mtok floor", Right),
    ]);
    for utilization in &document.questions.utilizations {
        table.column(format!(
            "blended at {} % utilization",
            utilization.percent()
        ));
    }
    for (row, measured) in measured(document) {
        let price = measured.price.as_ref();
        let mut cells = vec![
            row.point.to_string(),
            shown(price.map(|p| dollars(p.input))),
            shown(price.and_then(|p| p.output).map(dollars)),
            shown(price.map(|p| dollars(p.blended))),
            number::optional(price.and_then(|p| p.floor).map(UsdPerMtok::value)),
        ];
        for utilization in &document.questions.utilizations {
            let price = price.map(|p| dollars(p.at_utilization(utilization.share()).blended));
            cells.push(number::center(price.as_ref()));
        }
        table.rows.push(cells);
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

fn methods(document: &Document) -> Option<Section> {
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

fn roofline(document: &Document) -> Option<Section> {
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
            "MBU is decode's reading ÷ the read bandwidth measured over a buffer of that size, MFU prefill's arithmetic ÷ the measured matmul rate; 1 is the limit. Quantized weights may exceed an MFU of 1."
                .to_owned(),
        ],
        table: Some(table),
    })
}

fn not_measured(document: &Document) -> Option<Section> {
    let mut table = Table::new([
        ("point", Align::Left),
        ("status", Align::Left),
        ("reason", Align::Left),
    ]);
    for row in document.rows.iter().filter(|row| row.status != Status::Ok) {
        let reason = row.reason.clone().unwrap_or(number::ABSENT.to_owned());
        let status = row.status.word().to_owned();
        table.rows.push(vec![row.point.to_string(), status, reason]);
    }
    (!table.rows.is_empty()).then(|| Section {
        title: "Points without a result",
        notes: Vec::new(),
        table: Some(table),
    })
}

fn warnings(document: &Document) -> Option<Section> {
    let mut table = Table::new([
        ("warning", Align::Left),
        ("where", Align::Left),
        ("what was seen", Align::Left),
        ("remedy", Align::Left),
    ]);
    let mut codes: Vec<&str> = Vec::new();
    for warning in &document.warnings {
        let code = warning.verdict.code();
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    for code in codes {
        let same = |warning: &&Warning| warning.verdict.code() == code;
        let alike: Vec<&Warning> = document.warnings.iter().filter(same).collect();
        table.rows.push(vec![
            code.to_owned(),
            places(&alike),
            alike[0].verdict.to_string(),
            alike[0].verdict.remedy().to_owned(),
        ]);
    }
    (!table.rows.is_empty()).then(|| Section {
        title: "Warnings",
        notes: Vec::new(),
        table: Some(table),
    })
}

/// The points that warnings of one code concern.
fn places(alike: &[&Warning]) -> String {
    let points: Vec<String> = alike
        .iter()
        .filter_map(|warning| Some(warning.point?.to_string()))
        .collect();
    if points.is_empty() {
        return "the run".to_owned();
    }
    let named = points.len().min(NAMED_POINTS);
    let mut text = points[..named].join(", ");
    if points.len() > named {
        text.extend([format!(" and {} more", points.len() - named)]);
    }
    text
}

fn loads(document: &Document) -> Option<Section> {
    use Align::{Left, Right};
    let mut table = Table::new([
        ("precision", Left),
        ("launch", Right),
        ("weights", Left),
        ("bits per weight", Right),
        ("on the device", Right),
        ("read per step", Right),
        ("activations", Left),
        ("KV", Left),
        ("KV bytes per token", Right),
        ("resident after load", Right),
        ("peak during load", Right),
        ("load s", Right),
        ("logits' error (bound)", Right),
    ]);
    table.rows = document.loads.iter().map(load_row).collect();
    (!table.rows.is_empty()).then(|| Section {
        title: "The model on the device",
        notes: vec![
            "Before timing, the logits of the timed path are compared with the reference path: largest relative L2 error over a prefill and three decode steps."
                .to_owned(),
        ],
        table: Some(table),
    })
}

fn load_row(load: &Load) -> Vec<String> {
    let engine = &load.engine;
    let memory = |count: Option<u64>| count.map_or(number::ABSENT.to_owned(), bytes);
    let errors: Vec<String> = load
        .accuracy
        .iter()
        .map(|check| {
            let error = check
                .relative_error
                .map_or("not finite".to_owned(), |error| format!("{error:.1e}"));
            format!("b{} {error} ({})", check.batch, check.bound)
        })
        .collect();
    vec![
        load.precision.to_string(),
        load.launch.to_string(),
        engine.weight_type.clone(),
        number::plain(engine.bits_per_weight),
        bytes(engine.weight_bytes),
        bytes(engine.weight_bytes_per_step),
        engine.activation_dtype.clone(),
        engine.kv_dtype.clone(),
        engine.kv_bytes_per_token.to_string(),
        memory(engine.resident_bytes),
        memory(engine.peak_resident_bytes),
        number::plain(load.duration_ns.seconds().value()),
        match errors.as_slice() {
            [] => number::ABSENT.to_owned(),
            errors => errors.join(", "),
        },
    ]
}

fn peaks(document: &Document) -> Option<Section> {
    let mut table = Table::new([
        ("limit", Align::Left),
        ("best", Align::Right),
        ("unit", Align::Left),
        ("repetitions", Align::Right),
    ]);
    table.rows = document.peaks.iter().map(peak_row).collect();
    (!table.rows.is_empty()).then(|| Section {
        title: "Measured limits of the device",
        notes: Vec::new(),
        table: Some(table),
    })
}

fn peak_row(peak: &Peak) -> Vec<String> {
    let (limit, unit) = match peak.of {
        Limit::Read { buffer_bytes } => (format!("read {}", bytes(buffer_bytes)), "GB/s"),
        Limit::Copy { buffer_bytes } => (format!("copy {}", bytes(buffer_bytes)), "GB/s"),
        Limit::Matmul { dtype, size } => (format!("matmul {dtype} {size}"), "GFLOP/s"),
    };
    let fastest = peak.times_ns.iter().min().filter(|t| t.value() > 0);
    let best = fastest.map(|time| peak.work as f64 / time.seconds().value() / 1e9);
    vec![
        limit,
        number::optional(best),
        unit.to_owned(),
        peak.times_ns.len().to_string(),
    ]
}

fn provenance(document: &Document) -> Section {
    let mut table = Table::new([("what", Align::Left), ("value", Align::Left)]);
    for fact in &document.provenance {
        table
            .rows
            .push(vec![fact.label.to_owned(), fact.value.clone()]);
    }
    if let Some(price) = &document.price {
        let as_of = price.as_of.map_or("undated".to_owned(), |d| d.to_string());
        let value = format!(
            "{} per hour, {}, {}, {as_of}",
            usd(price),
            price.label,
            price.source
        );
        table.rows.push(vec!["hourly price".to_owned(), value]);
    }
    if let Some(sheet) = &document.sheet {
        let value = sheet.card.clone();
        table.rows.push(vec!["data sheet".to_owned(), value]);
    }
    for drift in &document.drifts {
        let value = format!(
            "{:+.2} % time per generation of {} until the end of load {}",
            drift.change * 100.0,
            drift.point,
            drift.load
        );
        table.rows.push(vec!["drift".to_owned(), value]);
    }
    Section {
        title: "Provenance",
        notes: Vec::new(),
        table: Some(table),
    }
}
