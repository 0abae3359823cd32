//! The sections that set what precisions lose beside what they save.

use super::circumstances::quantizing;
use super::{Align, Section, Table};
use crate::metrics::stats::Estimate;
use crate::record::scoring::{Pairing, Text};
use crate::report::document::Document;
use crate::report::number;
use crate::report::precision::{PrecisionRow, Precisions};
use crate::report::provenance::bytes;

/// What a precision saves and what it loses, one row each.
pub(super) fn precisions(document: &Document) -> Option<Section> {
    let precisions = document.precisions.as_ref()?;
    let mut notes = precisions.sentences();
    if let Some(base) = precisions.base {
        notes.push(format!(
            "Speed-up is decode throughput over that of {base}; $/Mtok blends input and output at full load."
        ));
    } else {
        notes.push(
            "Speed and price were not measured; mtok run with a [quality] table does both."
                .to_owned(),
        );
    }
    if document.loads.is_empty() {
        // Else the section on the model on the device says it.
        notes.extend(quantizing(&document.quantizing));
    }
    Some(Section {
        title: "What a precision saves and what it loses",
        notes,
        table: Some(comparison(precisions)),
    })
}

/// The comparison as a table, for a terminal too: what decides between precisions, in as many columns as a
/// page is wide.
pub fn comparison(precisions: &Precisions) -> Table {
    use Align::{Left, Right};
    let mut table = Table::new([
        ("precision", Left),
        ("bits per weight", Right),
        ("on the device", Right),
    ]);
    for batch in &precisions.batches {
        for column in ["decode tok/s", "speed-up", "$/Mtok"] {
            table.column(format!("{column} b{batch}"));
        }
    }
    for column in ["perplexity ratio", "mean KLD", "same top %"] {
        table.column(column.to_owned());
    }
    table.rows = precisions.rows.iter().map(comparison_row).collect();
    table
}

fn comparison_row(row: &PrecisionRow) -> Vec<String> {
    let engine = row.engine.as_ref();
    let absent = || number::ABSENT.to_owned();
    let mut cells = vec![
        row.variant.to_string(),
        number::optional(engine.map(|e| e.bits_per_weight)),
        engine.map_or_else(absent, |e| bytes(e.weight_bytes)),
    ];
    for speed in &row.speeds {
        let speed = speed.as_ref();
        let center = |e: Option<Estimate<f64>>| number::center(e.as_ref());
        cells.extend([
            center(speed.and_then(|s| s.decode)),
            speed
                .and_then(|s| s.speedup)
                .map_or_else(absent, |ratio| format!("{ratio:.2}")),
            center(speed.and_then(|s| s.price)),
        ]);
    }
    let quality = row.quality.as_ref();
    cells.extend([
        number::estimate(quality.map(|q| &q.perplexity_ratio)),
        number::estimate(quality.map(|q| &q.kld_mean)),
        number::estimate(quality.map(|q| percent(&q.same_top)).as_ref()),
    ]);
    cells
}

/// What does not decide between precisions: the cache that each has, its prefill and its energy.
pub(super) fn details(document: &Document) -> Option<Section> {
    let precisions = document.precisions.as_ref()?;
    let mut table = Table::new([("precision", Align::Left), ("KV cache", Align::Left)]);
    for batch in &precisions.batches {
        table.column(format!("prefill tok/s b{batch}"));
        table.column(format!("J/token b{batch}"));
    }
    table.rows = precisions.rows.iter().map(details_row).collect();
    Some(Section {
        title: "The same precisions in detail",
        notes: Vec::new(),
        table: Some(table),
    })
}

fn details_row(row: &PrecisionRow) -> Vec<String> {
    let cache = row.engine.as_ref().map(|engine| {
        let per_token = bytes(engine.kv_bytes_per_token);
        format!("{}, {per_token}/token", engine.kv_dtype)
    });
    let mut cells = vec![
        row.variant.to_string(),
        cache.unwrap_or(number::ABSENT.to_owned()),
    ];
    for speed in &row.speeds {
        let speed = speed.as_ref();
        cells.push(number::center(speed.map(|s| &s.prefill)));
        cells.push(number::optional(speed.and_then(|s| s.energy)));
    }
    cells
}

fn percent(share: &Estimate<f64>) -> Estimate<f64> {
    share.rising(|share| share * 100.0)
}

/// Every statistic of quality, one row per precision.
pub(super) fn statistics(document: &Document) -> Option<Section> {
    use Align::{Left, Right};
    let precisions = document.precisions.as_ref()?;
    let mut table = Table::new([
        ("precision", Left),
        ("perplexity", Right),
        ("standard error", Right),
        ("perplexity ratio", Right),
        ("mean KLD", Right),
        ("median KLD", Right),
        ("90 % KLD", Right),
        ("99 % KLD", Right),
        ("99.9 % KLD", Right),
        ("largest KLD", Right),
        ("mean Δp %", Right),
        ("RMS Δp %", Right),
        ("same top %", Right),
        ("windows", Right),
    ]);
    table.rows = precisions.rows.iter().map(statistics_row).collect();
    let mut notes = Vec::new();
    if let Some(text) = &precisions.text {
        notes.extend(about(precisions, text));
    }
    notes.extend(convention(precisions));
    Some(Section {
        title: "Quality",
        notes,
        table: Some(table),
    })
}

fn statistics_row(row: &PrecisionRow) -> Vec<String> {
    let Some(quality) = &row.quality else {
        let reason = row.reason.clone().unwrap_or(number::ABSENT.to_owned());
        let mut cells = vec![row.variant.to_string(), reason];
        cells.resize(14, number::ABSENT.to_owned());
        return cells;
    };
    let quantile = |quantile: &Option<Estimate<f64>>| number::estimate(quantile.as_ref());
    vec![
        row.variant.to_string(),
        number::estimate(Some(&quality.perplexity)),
        number::optional(quality.perplexity_error),
        number::estimate(Some(&quality.perplexity_ratio)),
        number::estimate(Some(&quality.kld_mean)),
        quantile(&quality.kld_median),
        quantile(&quality.kld_p90),
        quantile(&quality.kld_p99),
        quantile(&quality.kld_p999),
        number::plain(quality.kld_max),
        number::estimate(Some(&percent(&quality.delta_p_mean))),
        number::estimate(Some(&percent(&quality.delta_p_rms))),
        number::estimate(Some(&percent(&quality.same_top))),
        quality.windows.to_string(),
    ]
}

fn about(precisions: &Precisions, text: &Text) -> Vec<String> {
    let reference = precisions.reference.as_ref();
    let reference = reference.map_or(number::ABSENT.to_owned(), |reference| {
        format!("{} of {}", reference.precision, reference.source)
    });
    let sha256: String = text.sha256.chars().take(16).collect();
    let mut notes = vec![
        format!(
            "Against {reference}, on the text {}: {} bytes, {} tokens, sha256 {sha256}.",
            text.name, text.bytes, text.tokens
        ),
        format!(
            "{} windows of {} tokens, {} apart; in each {} predictions count, from place {} on.",
            text.windows,
            text.context,
            text.stride,
            text.targets(),
            text.first
        ),
    ];
    notes.extend(
        text.begin.map(|id| {
            format!("The first token of every window is {id}, the one that begins a text.")
        }),
    );
    notes
}

fn convention(precisions: &Precisions) -> Vec<String> {
    let mut notes = vec![
        "Natural logarithms. KLD is Σ r·(ln r − ln p) over the vocabulary, r being the reference's distribution and p the precision's; Δp is the change of the true token's probability."
            .to_owned(),
        "Intervals are Student's t over windows, because tokens of one window share their context; those of KLD quantiles are Woodruff's. The largest KLD has none."
            .to_owned(),
    ];
    let errors = precisions.rows.iter().filter_map(|row| match row.pairing {
        Some(Pairing::Stored { error }) => Some(error),
        Some(Pairing::Resident) | None => None,
    });
    if let Some(error) = errors.reduce(f64::max) {
        notes.push(format!(
            "The reference's distributions lay on disk in two bytes per token of the vocabulary: a log-probability is wrong by {error:.1e} on average at most, a KLD by no more than about twice that."
        ));
    }
    notes
}
