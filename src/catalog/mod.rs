//! What is known beforehand: cards, hourly rates and API prices, each with its source and date.

pub mod age;
pub mod book;
pub mod gpus;
pub mod import;
mod known;
mod matching;
pub mod offpeak;
mod price;
pub mod rows;

use sha2::{Digest, Sha256};

pub use price::{Price, PriceError};
use rows::{ApiRow, CatalogFile, GpuRow, RentalRow};

const GPUS: &str = include_str!("gpus.toml");
const RENTALS: &str = include_str!("rentals.toml");
const APIS: &str = include_str!("apis.toml");

/// SHA-256 of the bundled catalog, in hex.
pub fn sha256() -> String {
    hex::encode(
        Sha256::new()
            .chain_update(GPUS)
            .chain_update(RENTALS)
            .chain_update(APIS)
            .finalize(),
    )
}

/// Cards and prices, the bundled ones with the user's laid over them.
#[derive(Debug, Clone)]
pub struct Catalog {
    gpus: Vec<GpuRow>,
    rentals: Vec<RentalRow>,
    apis: Vec<ApiRow>,
    digest: Sha256,
}

impl Catalog {
    /// What ships inside the executable.
    pub fn bundled() -> Self {
        Self {
            gpus: bundled_file(GPUS).gpus,
            rentals: bundled_file(RENTALS).rentals,
            apis: bundled_file(APIS).apis,
            digest: Sha256::new()
                .chain_update(GPUS)
                .chain_update(RENTALS)
                .chain_update(APIS),
        }
    }

    /// The same with the rows of a catalog file on top: a row replaces the one of its id.
    pub fn overlaid(mut self, place: &str, text: &str) -> Result<Self, CatalogError> {
        let file = parse(place, text)?;
        lay(&mut self.gpus, file.gpus, |row| &row.id);
        lay(&mut self.rentals, file.rentals, |row| &row.id);
        lay(&mut self.apis, file.apis, |row| &row.id);
        self.digest.update(text);
        Ok(self)
    }

    /// SHA-256 of every text that it was made from, in order; [`sha256`] when nothing is on top.
    pub fn sha256(&self) -> String {
        hex::encode(self.digest.clone().finalize())
    }

    /// Every card.
    pub fn gpu_rows(&self) -> &[GpuRow] {
        &self.gpus
    }

    /// Every hourly rate.
    pub fn rentals(&self) -> &[RentalRow] {
        &self.rentals
    }

    /// Every API price.
    pub fn apis(&self) -> &[ApiRow] {
        &self.apis
    }
}

/// Replaces rows of the same id and appends the others.
fn lay<T>(rows: &mut Vec<T>, above: Vec<T>, id: impl Fn(&T) -> &String) {
    let mut places: std::collections::HashMap<String, usize> = rows
        .iter()
        .enumerate()
        .map(|(place, row)| (id(row).to_lowercase(), place))
        .collect();
    for row in above {
        let key = id(&row).to_lowercase();
        if let Some(place) = places.get(&key) {
            rows[*place] = row;
        } else {
            places.insert(key, rows.len());
            rows.push(row);
        }
    }
}

/// Reads a catalog file; `place` names it in errors.
pub fn parse(place: &str, text: &str) -> Result<CatalogFile, CatalogError> {
    let refuse = |byte: usize, reason: String| {
        let (line, column) = position(text, byte);
        CatalogError {
            place: place.to_owned(),
            line,
            column,
            reason,
        }
    };
    let file: CatalogFile = toml::from_str(text).map_err(|error| {
        let byte = error.span().map_or(0, |span| span.start);
        refuse(byte, error.message().replace('\n', " "))
    })?;
    match file.apis.iter().find_map(ApiRow::fault) {
        None => Ok(file),
        Some((id, reason)) => {
            let byte = text.find(id).unwrap_or(0);
            Err(refuse(byte, format!("api `{id}` {reason}")))
        }
    }
}

/// A text that ships inside the executable.
fn bundled_file(text: &str) -> CatalogFile {
    parse("the bundled catalog", text).expect("a test reads every bundled file")
}

/// Line and column of a byte, both from 1, the column in characters.
fn position(text: &str, byte: usize) -> (u64, u64) {
    let before = &text.as_bytes()[..byte.min(text.len())];
    let line = before.split(|byte| *byte == b'\n').count();
    let start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
    (line as u64, column as u64)
}

/// A catalog file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}:{line}:{column}: {reason}")]
pub struct CatalogError {
    /// The file.
    pub place: String,
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// What is wrong.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::book::PriceBook;
    use super::*;

    #[test]
    fn every_bundled_file_reads_and_every_card_of_the_contract_is_there() {
        let catalog = Catalog::bundled();
        let ids: Vec<&str> = catalog.gpu_rows().iter().map(|r| r.id.as_str()).collect();
        assert_eq!(
            ids,
            [
                "a100-40gb-sxm",
                "a100-80gb-sxm",
                "a100-80gb-pcie",
                "h100-sxm",
                "h100-pcie",
                "h200-sxm",
                "b200-sxm",
                "l4",
                "l40s",
                "a10g",
                "rtx-4090",
                "mi300x"
            ]
        );
    }

    #[test]
    fn every_bundled_rental_is_of_a_known_card_and_every_card_can_be_rented() {
        let catalog = Catalog::bundled();
        for row in catalog.rentals() {
            let known = catalog.gpu_rows().iter().any(|card| card.id == row.gpu);
            assert!(known || row.gpu.starts_with("cpu-"), "{}", row.id);
            assert!(!row.usd_per_gpu_hour.is_zero(), "{}", row.id);
        }
        for card in catalog.gpu_rows() {
            assert!(!catalog.rentals_of(&card.id).is_empty(), "{}", card.id);
        }
    }

    #[test]
    fn ids_are_unique() {
        let catalog = Catalog::bundled();
        let rentals = catalog.rentals().iter().map(|row| row.id.clone());
        let apis = catalog
            .apis()
            .iter()
            .flat_map(|row| std::iter::once(row.id.clone()).chain(row.aliases.clone()));
        for ids in [rentals.collect::<Vec<_>>(), apis.collect()] {
            let distinct: std::collections::HashSet<&String> = ids.iter().collect();
            assert_eq!(distinct.len(), ids.len());
        }
    }

    #[test]
    fn a_row_on_top_replaces_the_one_of_its_id_and_changes_the_hash() {
        let below = Catalog::bundled();
        assert_eq!(below.sha256(), sha256());
        let text = r#"
            [[rental]]
            id = "runpod-l4-mine"
            provider = "runpod"
            gpu = "l4"
            commit = "spot"
            usd_per_gpu_hour = "0.10"
            quantum_gpus = 2
            source = "a quote"
            retrieved = "2026-11-01"
            confidence = "primary"
        "#;
        let above = below.clone().overlaid("mine.toml", text).unwrap();
        let rental = above.rental("runpod-l4-mine").unwrap();
        assert_eq!(rental.usd_per_gpu_hour.to_string(), "0.1");
        assert_eq!(above.rentals_of("l4")[0].id, "runpod-l4-mine");
        assert_ne!(above.sha256(), below.sha256());
        let again = above.clone().overlaid("again.toml", text).unwrap();
        assert_eq!(again.rentals().len(), above.rentals().len());
    }

    #[track_caller]
    fn refused(text: &str) -> CatalogError {
        Catalog::bundled().overlaid("mine.toml", text).unwrap_err()
    }

    #[test]
    fn a_broken_file_is_refused_with_its_place() {
        let error = refused("[[rental]]\nid = \"x\"\nprize = \"1\"\n");
        assert_eq!((error.line, error.column), (3, 1), "{error}");
        let error = refused("[[rental]]\nid = ");
        assert_eq!(error.line, 2, "{error}");
        let error = refused(
            "[[api]]\nid = \"x\"\nprovider = \"p\"\nkind = \"chat\"\nusd_per_query = 1.5\n",
        );
        assert_eq!(error.line, 5, "{error}");
        let error = refused(
            "[[api]]\nid = \"x\"\nprovider = \"p\"\nkind = \"chat\"\nsource = \"s\"\nretrieved = \"2026-01-01\"\nconfidence = \"primary\"\n[api.rates]\ninput_usd_per_mtok = \"1\"\n",
        );
        assert_eq!(
            error.to_string(),
            "mine.toml:2:7: api `x` has no output_usd_per_mtok; state it, a missing price is not 0"
        );
    }

    #[test]
    fn words_name_a_card_only_when_they_name_one() {
        let catalog = Catalog::bundled();
        assert_eq!(catalog.gpu("h200").unwrap().id, "h200-sxm");
        assert_eq!(catalog.gpu("L4").unwrap().id, "l4");
        let error = catalog.gpu("h100").unwrap_err();
        assert_eq!(error.near, ["h100-sxm", "h100-pcie"]);
        let error = catalog.gpu("h10").unwrap_err();
        assert_eq!(error.near, ["h100-sxm", "h100-pcie"]);
        assert!(catalog.gpu("tpu-v5").is_err());
    }

    #[test]
    fn rentals_come_cheapest_first_and_never_as_a_model_of_owning() {
        let catalog = Catalog::bundled();
        let offers = catalog.rentals_of("h100-sxm");
        assert!(offers.is_sorted_by_key(|offer| offer.usd_per_gpu_hour));
        assert!(
            catalog
                .rental("inferencex-h100-sxm-neocloud-owned-tco")
                .is_err()
        );
        assert!(catalog.rental_rows("h100").len() > offers.len());
    }

    #[test]
    fn a_price_is_found_by_its_id_alone() {
        let catalog = Catalog::bundled();
        let price = catalog.api("gpt-4o").unwrap();
        assert_eq!(price.prices.input_usd_per_mtok.to_string(), "2.5");
        assert_eq!(price.prices.output_usd_per_mtok.to_string(), "10");
        let error = catalog.api("gpt-4oo").unwrap_err();
        assert_eq!(error.near[0], "gpt-4o");
        assert!(catalog.api("gpt-4").is_err());
        assert!(catalog.api("text-embedding-3-small").is_err());
        assert_eq!(
            catalog
                .embedding("text-embedding-3-small")
                .unwrap()
                .dimensions,
            Some(1536)
        );
        assert!(catalog.api_rows("gpt-4o").len() >= 2);
    }

    #[test]
    fn tiers_quiet_hours_and_batches_come_through() {
        let catalog = Catalog::bundled();
        let long = catalog.api("gpt-5.4").unwrap();
        assert_eq!(long.tiers[0].above_tokens, 272_000);
        assert_eq!(long.tiers[0].prices.input_usd_per_mtok.to_string(), "5");
        assert_eq!(long.tiers[0].prices.output_usd_per_mtok.to_string(), "22.5");
        let quiet = catalog.api("deepseek-v4-flash").unwrap().off_peak.unwrap();
        let hours: f64 = (0..168).map(|hour| quiet.share_of_hour(hour)).sum();
        assert!((hours - 133.0).abs() < 1e-9);
        assert_eq!(quiet.prices.input_usd_per_mtok.to_string(), "0.15");
        let batch = catalog.api("gpt-4o").unwrap().batch.unwrap();
        assert_eq!(batch.output_usd_per_mtok.to_string(), "5");
        let cached = catalog.api("claude-haiku-4-5").unwrap();
        assert_eq!(cached.cache_min_tokens, Some(4096));
        assert_eq!(
            cached.prices.cache_write_usd_per_mtok.unwrap().to_string(),
            "1.25"
        );
    }
}
