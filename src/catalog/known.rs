//! Asking the catalog: by id, by words, and as the price book that costs are computed from.

use rust_decimal::Decimal;

use super::Catalog;
use super::book::{
    ApiPrice, BatchPrices, Commitment, DensePeak, EmbeddingPrice, GpuCard, LongContextTier,
    NotFound, OffPeak, PriceBook, Provenance, Rental, TokenPrices,
};
use super::matching::{Fit, fit, near};
use super::price::Price;
use super::rows::{ApiKind, ApiRow, Commit, Dtype, GpuRow, Rates, RentalRow};

impl Catalog {
    /// The rentals of cards that `words` name, cheapest first.
    pub fn rental_rows(&self, words: &str) -> Vec<&RentalRow> {
        let mut rows = best(words, self.rentals(), |row| &row.gpu);
        rows.sort_by(|a, b| (a.usd_per_gpu_hour, &a.id).cmp(&(b.usd_per_gpu_hour, &b.id)));
        rows
    }

    /// The API prices that `words` name, by id or alias.
    pub fn api_rows(&self, words: &str) -> Vec<&ApiRow> {
        let rows = best(words, self.apis(), |row| &row.id);
        if !rows.is_empty() {
            return rows;
        }
        let aliased = |row: &&ApiRow| row.aliases.iter().any(|id| fit(words, id).is_some());
        self.apis().iter().filter(aliased).collect()
    }

    /// The API price of exactly this id or alias: a price must not be that of a relative.
    pub fn api_row(&self, id: &str, kind: ApiKind) -> Result<&ApiRow, NotFound> {
        let asked = id.trim();
        let named = |row: &&ApiRow| {
            let mut ids = std::iter::once(&row.id).chain(&row.aliases);
            row.kind == kind && ids.any(|known| known.eq_ignore_ascii_case(asked))
        };
        self.apis().iter().find(named).ok_or_else(|| {
            let candidates = self.apis().iter().filter(|row| row.kind == kind);
            NotFound {
                kind: match kind {
                    ApiKind::Chat => "API price",
                    ApiKind::Embedding => "embedding price",
                    ApiKind::Rerank => "reranking price",
                },
                name: id.to_owned(),
                near: near(id, candidates.map(|row| row.id.as_str())),
            }
        })
    }
}

impl PriceBook for Catalog {
    fn api(&self, name: &str) -> Result<ApiPrice, NotFound> {
        let row = self.api_row(name, ApiKind::Chat)?;
        let prices = token_prices(&row.rates, None).ok_or_else(|| NotFound {
            kind: "API price",
            name: name.to_owned(),
            near: Vec::new(),
        })?;
        let tier = |rates: &Rates| token_prices(rates, Some(&prices));
        Ok(ApiPrice {
            id: row.id.clone(),
            provider: row.provider.clone(),
            cache_storage_usd_per_mtok_hour: None,
            cache_min_tokens: row.cache_min_tokens.map(u64::from),
            batch: batch_prices(&row.rates),
            tiers: row
                .tiers
                .iter()
                .filter_map(|long| {
                    Some(LongContextTier {
                        above_tokens: u64::from(long.above_input_tokens),
                        prices: tier(&long.rates)?,
                    })
                })
                .collect(),
            off_peak: row.off_peak.as_ref().and_then(|quiet| {
                Some(OffPeak {
                    windows: quiet.week(),
                    prices: tier(&quiet.rates)?,
                })
            }),
            deprecated: row.deprecated,
            provenance: provenance(&row.source, row.retrieved),
            prices,
        })
    }

    fn embedding(&self, name: &str) -> Result<EmbeddingPrice, NotFound> {
        let row = self.api_row(name, ApiKind::Embedding)?;
        let input = row.rates.input_usd_per_mtok.ok_or_else(|| NotFound {
            kind: "embedding price",
            name: name.to_owned(),
            near: Vec::new(),
        })?;
        Ok(EmbeddingPrice {
            id: row.id.clone(),
            provider: row.provider.clone(),
            input_usd_per_mtok: input.decimal(),
            batch_input_usd_per_mtok: row.rates.batch_input_usd_per_mtok.map(Price::decimal),
            dimensions: row.dimensions,
            provenance: provenance(&row.source, row.retrieved),
        })
    }

    fn rental(&self, id: &str) -> Result<Rental, NotFound> {
        let rented: Vec<Rental> = self.rentals().iter().filter_map(rental).collect();
        unique("rental", id, rented, |row| &row.id)
    }

    fn rentals_of(&self, gpu: &str) -> Vec<Rental> {
        self.rental_rows(gpu)
            .into_iter()
            .filter_map(rental)
            .collect()
    }

    fn gpu(&self, id: &str) -> Result<GpuCard, NotFound> {
        unique("GPU", id, self.gpus(), |card| &card.id)
    }

    fn gpus(&self) -> Vec<GpuCard> {
        self.gpu_rows().iter().map(GpuCard::from).collect()
    }

    fn hash(&self) -> String {
        self.sha256()
    }
}

impl From<&GpuRow> for GpuCard {
    fn from(row: &GpuRow) -> Self {
        Self {
            id: row.id.clone(),
            name: row.name.clone(),
            vram_mib: row.memory_mib,
            bandwidth_bytes_per_second: row.bandwidth_gb_per_s * 1_000_000_000,
            peaks: row
                .dense_gflops
                .iter()
                .map(|(dtype, gflops)| DensePeak {
                    dtype: dtype.word().to_owned(),
                    tflops: Decimal::new(i64::from(*gflops), 3).normalize(),
                })
                .collect(),
            provenance: provenance(&row.source, row.retrieved),
        }
    }
}

impl Dtype {
    /// The word in files and tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Fp8 => "fp8",
            Self::Int8 => "int8",
        }
    }
}

/// The offer of a row; `None` for a model of owning, which nobody rents out.
fn rental(row: &RentalRow) -> Option<Rental> {
    let commitment = match row.commit {
        Commit::OnDemand => Commitment::OnDemand,
        Commit::Reserved => Commitment::Reserved,
        Commit::Reserved1y => Commitment::Reserved1y,
        Commit::Reserved3y => Commitment::Reserved3y,
        Commit::Spot => Commitment::Spot,
        Commit::OwnedTco => return None,
    };
    Some(Rental {
        id: row.id.clone(),
        provider: row.provider.clone(),
        gpu: row.gpu.clone(),
        commitment,
        usd_per_gpu_hour: row.usd_per_gpu_hour.decimal(),
        quantum_gpus: row.quantum_gpus.get(),
        region: row.region.clone(),
        provenance: provenance(&row.source, row.retrieved),
    })
}

/// Token prices; input and output that a tier leaves out stay as they are below it.
fn token_prices(rates: &Rates, below: Option<&TokenPrices>) -> Option<TokenPrices> {
    let own = |price: Option<Price>, below: Option<Decimal>| price.map(Price::decimal).or(below);
    Some(TokenPrices {
        input_usd_per_mtok: own(
            rates.input_usd_per_mtok,
            below.map(|prices| prices.input_usd_per_mtok),
        )?,
        output_usd_per_mtok: own(
            rates.output_usd_per_mtok,
            below.map(|prices| prices.output_usd_per_mtok),
        )?,
        cached_input_usd_per_mtok: own(
            rates.cached_input_usd_per_mtok,
            below.and_then(|prices| prices.cached_input_usd_per_mtok),
        ),
        cache_write_usd_per_mtok: own(
            rates.cache_write_usd_per_mtok,
            below.and_then(|prices| prices.cache_write_usd_per_mtok),
        ),
    })
}

fn batch_prices(rates: &Rates) -> Option<BatchPrices> {
    Some(BatchPrices {
        input_usd_per_mtok: rates.batch_input_usd_per_mtok?.decimal(),
        output_usd_per_mtok: rates.batch_output_usd_per_mtok?.decimal(),
        cached_input_usd_per_mtok: rates.batch_cached_input_usd_per_mtok.map(Price::decimal),
    })
}

fn provenance(source: &str, as_of: jiff::civil::Date) -> Provenance {
    Provenance {
        source: source.to_owned(),
        as_of,
    }
}

/// The rows that `words` name: those with every word, or else those with words that begin so.
fn best<'a, T>(words: &str, rows: &'a [T], id: impl Fn(&T) -> &String) -> Vec<&'a T> {
    let fits: Vec<(Fit, &T)> = rows
        .iter()
        .filter_map(|row| Some((fit(words, id(row))?, row)))
        .collect();
    let whole = fits.iter().any(|(fit, _)| *fit >= Fit::Words);
    fits.into_iter()
        .filter(|(fit, _)| !whole || *fit >= Fit::Words)
        .map(|(_, row)| row)
        .collect()
}

/// The one row that `words` name: by its id, or as the only one with these words.
fn unique<T>(
    kind: &'static str,
    words: &str,
    rows: Vec<T>,
    id: impl Fn(&T) -> &String,
) -> Result<T, NotFound> {
    let exact = |row: &T| id(row).eq_ignore_ascii_case(words.trim());
    let place = rows.iter().position(exact).or_else(|| {
        let mut named = rows
            .iter()
            .enumerate()
            .filter(|(_, row)| fit(words, id(row)).is_some_and(|fit| fit >= Fit::Words));
        let (place, _) = named.next()?;
        named.next().is_none().then_some(place)
    });
    match place {
        Some(place) => Ok(rows.into_iter().nth(place).expect("a place among the rows")),
        None => Err(NotFound {
            kind,
            name: words.to_owned(),
            near: named_or_near(words, rows.iter().map(|row| id(row).as_str())),
        }),
    }
}

/// The ids that the words name, or else those that look like them.
fn named_or_near<'a>(words: &str, ids: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    let named: Vec<String> = ids
        .clone()
        .filter(|id| fit(words, id).is_some())
        .take(12)
        .map(str::to_owned)
        .collect();
    if named.is_empty() {
        near(words, ids)
    } else {
        named
    }
}
