//! A report as headings, notes and tables of plain text, which each rendering escapes in its own way.

mod card;
mod circumstances;
mod numbers;
mod quality;

use super::document::Document;
use crate::cost::rate::{HourlyPrice, Origin};
use crate::record::machine::DeviceKind;

pub use numbers::summary;
pub use quality::comparison;

/// The condition under which every number of this program holds.
pub const CONDITION: &str = "closed static batch, equal lengths";

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

    /// Another column of numbers.
    pub(crate) fn column(&mut self, text: String) {
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
        "Engine {}, {CONDITION}. Intervals are 95 %, over n blocks or over the processes they ran in, whichever is wider; — is unknown, never zero.",
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
            "Prices are —: no rate of this device is known; mtok report DIR --usd-per-hour X tells them at one of yours."
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

pub(super) fn usd(price: &HourlyPrice) -> String {
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

/// The sections that answer what is asked of the points.
pub fn answers(document: &Document) -> Vec<Section> {
    let mut sections = vec![numbers::cheapest(document), numbers::cost(document)];
    sections.extend(numbers::at_utilizations(document));
    let priced = document.energy_price.is_some();
    sections.extend(priced.then(|| card::energy(document)).flatten());
    sections
}

/// Every section of the full report, in order.
pub fn all(document: &Document) -> Vec<Section> {
    // Where quality alone was asked for, no point is planned.
    let planned = !document.rows.is_empty();
    let sections = [
        quality::precisions(document),
        planned.then(|| numbers::cheapest(document)),
        planned.then(|| numbers::throughput(document)),
        planned.then(|| numbers::latency(document)),
        planned.then(|| numbers::cost(document)),
        numbers::at_utilizations(document),
        quality::details(document),
        quality::statistics(document),
        numbers::methods(document),
        numbers::roofline(document),
        card::card_use(document),
        card::energy(document),
        circumstances::not_measured(document),
        circumstances::warnings(document),
        circumstances::loads(document),
        circumstances::peaks(document),
        Some(circumstances::provenance(document)),
    ];
    sections.into_iter().flatten().collect()
}
