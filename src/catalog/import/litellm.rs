//! Prices from LiteLLM's `model_prices_and_context_window.json`.
//!
//! An object of entries by model, with dollars per token as JSON numbers. The list carries no date,
//! so every row gets that of the import, and the file's hash is kept beside them.

use std::collections::HashMap;

use jiff::civil::Date;
use rust_decimal::Decimal;

use super::entry::{Entries, Entry};
use super::{Implausible, Import, ImportError, ImportOptions, Quarantined, Summary, fingerprint};
use crate::catalog::price::Price;
use crate::catalog::rows::{ApiKind, ApiRow, CatalogFile, Confidence, ImportStamp, Rates, TierRow};

/// Dearest input that is believed of a model that writes, in dollars per million tokens. Dearer rows
/// of the list are dollars per thousand tokens entered as per token.
const DEAREST_INPUT: i64 = 250;
/// Dearest output likewise: four times as much, the usual ratio of the two prices.
const DEAREST_OUTPUT: i64 = 1_000;
/// Dearest input that is believed of an embedding or a reranker.
const DEAREST_EMBEDDING: i64 = 10;

/// What the list is called where it is named.
const LIST: &str = "LiteLLM model_prices_and_context_window.json";

/// Reads the list.
pub fn import(bytes: &[u8], options: ImportOptions) -> Result<Import, ImportError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let Entries(entries) =
        serde_json::from_slice(bytes).map_err(|error| ImportError::Malformed {
            line: error.line() as u64,
            // What fails before its first character has column 0 there.
            column: error.column().max(1) as u64,
            reason: strip_place(&error.to_string()),
        })?;
    let mut summary = Summary {
        entries: entries.len(),
        ..Summary::default()
    };
    let mut rows = Vec::new();
    for (id, entry) in entries {
        match judge(&id, &entry, options) {
            Verdict::Take(row, doubts) => {
                for doubt in doubts {
                    summary.doubt(doubt);
                }
                rows.push(*row);
            }
            Verdict::Skip(reason) => summary.skip(reason),
            Verdict::Quarantine(reason) => summary.quarantined.push(Quarantined { id, reason }),
        }
    }
    let rows = merge_repeated(rows, &mut summary);
    if rows.is_empty() && summary.quarantined.is_empty() {
        return Err(ImportError::Empty { expected: LIST });
    }
    for row in &rows {
        summary.take(row.kind.word());
    }
    let file = CatalogFile {
        import: Some(ImportStamp {
            list: LIST.to_owned(),
            sha256: fingerprint(bytes),
            as_of: options.as_of,
        }),
        apis: rows,
        ..CatalogFile::default()
    };
    Ok(Import { file, summary })
}

/// What becomes of an entry.
enum Verdict {
    Take(Box<ApiRow>, Vec<&'static str>),
    Skip(String),
    Quarantine(String),
}

fn judge(id: &str, entry: &Entry, options: ImportOptions) -> Verdict {
    if id == "sample_spec" {
        return Verdict::Skip("the documentation entry".to_owned());
    }
    if id.trim().is_empty() {
        return Verdict::Skip("no name".to_owned());
    }
    let kind = match entry.mode.as_deref() {
        Some("chat" | "responses" | "completion") => ApiKind::Chat,
        Some("embedding") => ApiKind::Embedding,
        Some("rerank") => ApiKind::Rerank,
        Some(mode) => return Verdict::Skip(format!("mode {mode}")),
        None => return Verdict::Skip("no mode".to_owned()),
    };
    let row = match row(id, kind, entry, options.as_of) {
        Ok(row) => row,
        Err(reason) => return Verdict::Skip(reason.to_owned()),
    };
    if let Some(reason) = implausible(&row)
        && options.implausible == Implausible::Quarantine
    {
        return Verdict::Quarantine(reason);
    }
    let doubts = doubts(&row, entry, options.as_of);
    Verdict::Take(Box::new(row), doubts)
}

/// The row of an entry, or why it has no price for us.
fn row(id: &str, kind: ApiKind, entry: &Entry, as_of: Date) -> Result<ApiRow, &'static str> {
    let mut rates = rates(entry, "")?;
    let mut tiers = tiers(entry)?;
    if rates.input_usd_per_mtok.is_none() && rates.output_usd_per_mtok.is_none() {
        // The list of tiers is all there is: its first tier is the ordinary price.
        if let Some(first) = tiers.first().filter(|tier| tier.above_input_tokens == 0) {
            rates = first.rates.clone();
        }
    }
    tiers.retain(|tier| tier.above_input_tokens > 0);
    let usd_per_query = entry.query.filter(|_| kind == ApiKind::Rerank);
    // A reranker sold by the query carries token prices of zero, which are no prices.
    if usd_per_query.is_some() {
        rates = Rates::default();
    }
    let priced = match kind {
        ApiKind::Chat => rates.input_usd_per_mtok.is_some() && rates.output_usd_per_mtok.is_some(),
        ApiKind::Embedding => rates.input_usd_per_mtok.is_some(),
        ApiKind::Rerank => rates.input_usd_per_mtok.is_some() || usd_per_query.is_some(),
    };
    if !priced {
        return Err("not priced by tokens");
    }
    if kind != ApiKind::Chat {
        rates.output_usd_per_mtok = None;
        rates.batch_output_usd_per_mtok = None;
    }
    Ok(ApiRow {
        id: id.to_owned(),
        aliases: Vec::new(),
        provider: entry
            .provider
            .clone()
            .unwrap_or_else(|| "unknown".to_owned()),
        kind,
        usd_per_query,
        cache_min_tokens: entry.cache_min_tokens,
        cache_write_1h_usd_per_mtok: price(entry, "cache_creation_input_token_cost_above_1hr")?,
        context_tokens: entry.context_tokens,
        dimensions: entry.dimensions,
        deprecated: entry.deprecated,
        source: entry.source.clone().unwrap_or_else(|| LIST.to_owned()),
        retrieved: as_of,
        confidence: Confidence::Secondary,
        note: None,
        rates,
        tiers,
        off_peak: entry.off_peak()?,
    })
}

/// The prices whose keys end in `suffix`.
fn rates(entry: &Entry, suffix: &str) -> Result<Rates, &'static str> {
    let named = |key: &str| price(entry, &format!("{key}{suffix}"));
    let batched = |key: &str| price(entry, &format!("{key}{suffix}_batches"));
    Ok(Rates {
        input_usd_per_mtok: named("input_cost_per_token")?,
        output_usd_per_mtok: named("output_cost_per_token")?,
        cached_input_usd_per_mtok: named("cache_read_input_token_cost")?,
        cache_write_usd_per_mtok: named("cache_creation_input_token_cost")?,
        batch_input_usd_per_mtok: batched("input_cost_per_token")?,
        batch_output_usd_per_mtok: batched("output_cost_per_token")?,
        batch_cached_input_usd_per_mtok: batched("cache_read_input_token_cost")?,
        batch_cache_write_usd_per_mtok: batched("cache_creation_input_token_cost")?,
    })
}

fn price(entry: &Entry, key: &str) -> Result<Option<Price>, &'static str> {
    entry.prices.get(key).copied().map(usd_per_mtok).transpose()
}

/// A price per token as one per million tokens.
pub(super) fn usd_per_mtok(per_token: Decimal) -> Result<Price, &'static str> {
    per_token
        .checked_mul(Decimal::from(1_000_000))
        .and_then(Price::new)
        .ok_or("a negative price")
}

/// Tiers from `tiered_pricing` and from keys like `input_cost_per_token_above_200k_tokens`.
fn tiers(entry: &Entry) -> Result<Vec<TierRow>, &'static str> {
    let mut tiers = entry.listed_tiers()?;
    for thousands in entry.thresholds() {
        tiers.push(TierRow {
            above_input_tokens: thousands * 1_000,
            rates: rates(entry, &format!("_above_{thousands}k_tokens"))?,
        });
    }
    tiers.sort_by_key(|tier| tier.above_input_tokens);
    tiers.dedup_by_key(|tier| tier.above_input_tokens);
    Ok(tiers)
}

/// Why a price is hard to believe.
fn implausible(row: &ApiRow) -> Option<String> {
    let above = |price: Option<Price>, limit: i64| {
        price.filter(|price| price.decimal() > Decimal::from(limit))
    };
    let (input, output) = (row.rates.input_usd_per_mtok, row.rates.output_usd_per_mtok);
    let dear = match row.kind {
        ApiKind::Chat => above(input, DEAREST_INPUT)
            .map(|price| (price, "input", DEAREST_INPUT))
            .or_else(|| above(output, DEAREST_OUTPUT).map(|p| (p, "output", DEAREST_OUTPUT))),
        ApiKind::Embedding | ApiKind::Rerank => {
            above(input, DEAREST_EMBEDDING).map(|price| (price, "input", DEAREST_EMBEDDING))
        }
    };
    let (price, side, limit) = dear?;
    Some(format!(
        "{side} costs {price} USD/Mtok, more than the {limit} that is believed"
    ))
}

/// Whether a price is 0, which means free or not known; using such a row is warned of.
fn free(row: &ApiRow) -> bool {
    let zero = |price: Option<Price>| price.is_some_and(Price::is_zero);
    let (input, output) = (row.rates.input_usd_per_mtok, row.rates.output_usd_per_mtok);
    match row.kind {
        ApiKind::Chat => zero(input) || zero(output),
        ApiKind::Embedding => zero(input),
        ApiKind::Rerank => zero(input) || zero(row.usd_per_query),
    }
}

/// What a reader should know of an imported row.
fn doubts(row: &ApiRow, entry: &Entry, as_of: Date) -> Vec<&'static str> {
    let mut doubts = Vec::new();
    let rates = &row.rates;
    if row.deprecated.is_some_and(|date| date < as_of) {
        doubts.push("past its deprecation date");
    }
    if let (Some(input), Some(output)) = (rates.input_usd_per_mtok, rates.output_usd_per_mtok)
        && output < input
    {
        doubts.push("output cheaper than input");
    }
    let dearer = |batch: Option<Price>, plain: Option<Price>| matches!((batch, plain), (Some(batch), Some(plain)) if batch >= plain && !plain.is_zero());
    if dearer(rates.batch_input_usd_per_mtok, rates.input_usd_per_mtok)
        || dearer(rates.batch_output_usd_per_mtok, rates.output_usd_per_mtok)
    {
        doubts.push("batch without a discount");
    }
    if free(row) {
        doubts.push("priced at 0: free or not known");
    }
    if entry.has_local_quiet_hours() {
        doubts.push("quiet hours in local time, left out");
    }
    doubts
}

/// Folds `provider/name` into `name` where both are the same offer at the same price.
fn merge_repeated(rows: Vec<ApiRow>, summary: &mut Summary) -> Vec<ApiRow> {
    let bare: HashMap<(String, String), usize> = rows
        .iter()
        .enumerate()
        .map(|(place, row)| ((row.provider.clone(), row.id.clone()), place))
        .collect();
    let mut aliases: HashMap<usize, Vec<String>> = HashMap::new();
    let mut kept = vec![true; rows.len()];
    for (place, row) in rows.iter().enumerate() {
        let name = row
            .id
            .strip_prefix(row.provider.as_str())
            .and_then(|rest| rest.strip_prefix('/'));
        let first = name.and_then(|name| bare.get(&(row.provider.clone(), name.to_owned())));
        if let Some(first) = first.filter(|first| same_offer(&rows[**first], row)) {
            aliases.entry(*first).or_default().push(row.id.clone());
            kept[place] = false;
            summary.skip("the same offer under another key");
        }
    }
    rows.into_iter()
        .enumerate()
        .filter(|(place, _)| kept[*place])
        .map(|(place, mut row)| {
            row.aliases = aliases.remove(&place).unwrap_or_default();
            row
        })
        .collect()
}

fn same_offer(a: &ApiRow, b: &ApiRow) -> bool {
    (a.kind, &a.rates, &a.tiers, &a.off_peak, a.usd_per_query)
        == (b.kind, &b.rates, &b.tiers, &b.off_peak, b.usd_per_query)
}

/// The message of a JSON error without the place that it repeats.
fn strip_place(message: &str) -> String {
    message
        .rfind(" at line ")
        .map_or(message, |place| &message[..place])
        .to_owned()
}
