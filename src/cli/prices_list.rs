//! `mtok prices list`: prices with their source and age.

use jiff::civil::Date;
use serde::Serialize;

use super::catalog_files::catalog;
use super::exit::{CliError, Exit};
use super::host::today;
use super::output;
use super::prices::ListArgs;
use crate::catalog::age::{STALE_AFTER_DAYS, age_days, stale};
use crate::catalog::book::{NotFound, PriceBook as _};
use crate::catalog::rows::{ApiKind, ApiRow, RentalRow};
use crate::catalog::{Catalog, Price};

/// What `prices list` shows.
#[derive(Debug, Serialize)]
struct Listing<'a> {
    as_of: Date,
    catalog_sha256: String,
    rentals: Vec<&'a RentalRow>,
    apis: Vec<&'a ApiRow>,
}

/// Shows what was asked for.
pub(super) fn list(args: &ListArgs) -> Result<Exit, CliError> {
    let catalog = catalog()?;
    let as_of = args.as_of.unwrap_or_else(today);
    let (rentals, apis) = match (&args.gpu, &args.model) {
        (None, None) => (
            catalog.rentals().iter().collect(),
            catalog.apis().iter().collect(),
        ),
        (gpu, model) => (
            gpu.as_ref()
                .map_or(Ok(Vec::new()), |words| rentals(&catalog, words))?,
            model
                .as_ref()
                .map_or(Ok(Vec::new()), |words| apis(&catalog, words))?,
        ),
    };
    let listing = Listing {
        as_of,
        catalog_sha256: catalog.sha256(),
        rentals,
        apis,
    };
    if args.json {
        output::json(&listing)?;
    } else {
        output::data(&output::printable(&tables(&listing)))?;
    }
    warn_of_age(&listing);
    Ok(Exit::Success)
}

fn rentals<'a>(catalog: &'a Catalog, words: &str) -> Result<Vec<&'a RentalRow>, CliError> {
    let rows = catalog.rental_rows(words);
    if rows.is_empty() {
        return Err(not_found(match catalog.gpu(words) {
            Ok(card) => NotFound {
                kind: "rental",
                name: card.id,
                near: Vec::new(),
            },
            Err(missing) => missing,
        }));
    }
    Ok(rows)
}

fn apis<'a>(catalog: &'a Catalog, words: &str) -> Result<Vec<&'a ApiRow>, CliError> {
    let rows = catalog.api_rows(words);
    match catalog.api_row(words, ApiKind::Chat) {
        Err(missing) if rows.is_empty() => Err(not_found(missing)),
        Ok(_) | Err(_) => Ok(rows),
    }
}

fn not_found(missing: NotFound) -> CliError {
    CliError::new(Exit::Input, missing)
        .hint("`mtok prices list` shows every price; `mtok prices import` adds a public list")
}

fn tables(listing: &Listing<'_>) -> String {
    let mut text = String::new();
    let age = |retrieved: Date| format!("{} d", age_days(retrieved, listing.as_of));
    let price = |price: Option<Price>| price.map_or("—".to_owned(), |price| price.to_string());
    if !listing.rentals.is_empty() {
        let mut table = table(&[
            "rental",
            "gpu",
            "commitment",
            "USD/GPU-h",
            "together",
            "read",
            "age",
            "source",
        ]);
        for row in &listing.rentals {
            table.add_row([
                row.id.clone(),
                row.gpu.clone(),
                row.commit.word().to_owned(),
                row.usd_per_gpu_hour.to_string(),
                row.quantum_gpus.to_string(),
                row.retrieved.to_string(),
                age(row.retrieved),
                format!("{} ({})", row.source, row.confidence.word()),
            ]);
        }
        text += &format!("{table}\n");
    }
    if !listing.apis.is_empty() {
        let mut table = table(&[
            "API",
            "provider",
            "input",
            "output",
            "cached",
            "batch in",
            "batch out",
            "read",
            "age",
            "source",
        ]);
        for row in &listing.apis {
            let input = match row.usd_per_query {
                Some(query) => format!("{query}/query"),
                None => price(row.rates.input_usd_per_mtok),
            };
            table.add_row([
                row.id.clone(),
                row.provider.clone(),
                input,
                price(row.rates.output_usd_per_mtok),
                price(row.rates.cached_input_usd_per_mtok),
                price(row.rates.batch_input_usd_per_mtok),
                price(row.rates.batch_output_usd_per_mtok),
                row.retrieved.to_string(),
                age(row.retrieved),
                format!("{} ({})", row.source, row.confidence.word()),
            ]);
        }
        text += &format!("{table}\nUSD per million tokens\n");
    }
    text + &format!("catalog sha256 {}\n", listing.catalog_sha256)
}

/// A table that stays one line per row, so that it can be searched.
fn table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_content_arrangement(comfy_table::ContentArrangement::Disabled)
        .set_header(header.iter().copied());
    table
}

/// Says on stderr which prices are old.
fn warn_of_age(listing: &Listing<'_>) {
    let rentals = listing.rentals.iter().map(|row| (&row.id, row.retrieved));
    let apis = listing.apis.iter().map(|row| (&row.id, row.retrieved));
    let old: Vec<_> = rentals
        .chain(apis)
        .filter_map(|(id, retrieved)| stale(id, retrieved, listing.as_of))
        .collect();
    if let Some(oldest) = old.iter().max_by_key(|price| price.days) {
        let others = match old.len() - 1 {
            0 => String::new(),
            others => format!("; {others} more are older than {STALE_AFTER_DAYS} days"),
        };
        output::say(&format!("warning: {oldest}{others}"));
    }
}
