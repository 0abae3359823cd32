//! Hourly rates from SkyPilot's `catalogs/v8/<cloud>/vms.csv`.
//!
//! A table of instances by region and zone, with the price of the whole instance. Columns come in
//! another order for every cloud, so they are found by their header. Memory is never read from it:
//! its `GpuInfo` mixes units and counts.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use jiff::civil::Date;
use rust_decimal::Decimal;

use super::card::{Card, card};
use super::{Import, ImportError, ImportOptions, Summary, fingerprint};
use crate::catalog::price::Price;
use crate::catalog::rows::{CatalogFile, Commit, Confidence, ImportStamp, RentalRow};

/// What Google's rows carry in both price columns where a region has no price.
const PLACEHOLDER: i64 = 700;
/// Decimal places of a price per GPU after the division.
const PLACES: u32 = 6;

/// What the list is called where it is named.
const LIST: &str = "SkyPilot catalog vms.csv";

/// Which prices of the list, and which of many to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The cloud that the file is of, as `runpod`.
    pub cloud: String,
    /// Only this region, as `us-east-1` or `us`.
    pub region: Option<String>,
    /// Which of the prices of one instance in several regions.
    pub statistic: Statistic,
}

/// Which of several prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// The lowest.
    Min,
    /// The middle one, or the mean of the two in the middle.
    Median,
}

impl Statistic {
    /// The word on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Min => "min",
            Self::Median => "median",
        }
    }

    fn of(self, mut prices: Vec<Decimal>) -> Option<Decimal> {
        prices.sort_unstable();
        let middle = prices.len() / 2;
        match self {
            Self::Min => prices.first().copied(),
            Self::Median if prices.len().is_multiple_of(2) => {
                let below = prices.get(middle.checked_sub(1)?)?;
                Some((*below + *prices.get(middle)?) / Decimal::TWO)
            }
            Self::Median => prices.get(middle).copied(),
        }
    }
}

/// Reads the list.
pub fn import(
    bytes: &[u8],
    selection: &Selection,
    options: ImportOptions,
) -> Result<Import, ImportError> {
    let mut summary = Summary::default();
    let mut offers: BTreeMap<(String, String), Offers> = BTreeMap::new();
    let mut reader = csv::ReaderBuilder::new().from_reader(bytes);
    let columns = Columns::find(reader.headers().map_err(|error| malformed(&error))?)?;
    for record in reader.records() {
        let record = record.map_err(|error| malformed(&error))?;
        summary.entries += 1;
        match columns.line(&record)?.judge(selection) {
            Ok(offer) => offers
                .entry((offer.instance.clone(), offer.card.gpu.clone()))
                .or_insert_with(|| Offers::of(&offer))
                .add(offer),
            Err(reason) => summary.skip(reason),
        }
    }
    let file_hash = fingerprint(bytes);
    let origin = Origin {
        selection,
        source: format!("{LIST} of {}, sha256 {}", selection.cloud, &file_hash[..16]),
        as_of: options.as_of,
    };
    let rentals: Vec<RentalRow> = offers
        .into_iter()
        .flat_map(|((instance, _), offers)| offers.rows(&instance, &origin))
        .collect();
    if rentals.is_empty() {
        return Err(ImportError::Empty { expected: LIST });
    }
    for row in &rentals {
        summary.take(row.commit.word());
        if row.note.is_some() {
            summary.doubt("form factor or memory not stated");
        }
    }
    let file = CatalogFile {
        import: Some(ImportStamp {
            list: format!("{LIST} of {}", selection.cloud),
            sha256: file_hash,
            as_of: options.as_of,
        }),
        rentals,
        ..CatalogFile::default()
    };
    Ok(Import { file, summary })
}

/// Where the columns are.
struct Columns {
    instance: usize,
    accelerator: usize,
    count: usize,
    price: usize,
    region: usize,
    spot: Option<usize>,
    zone: Option<usize>,
}

impl Columns {
    fn find(headers: &csv::StringRecord) -> Result<Self, ImportError> {
        let place = |name: &str| {
            headers
                .iter()
                .position(|header| header.trim_start_matches('\u{feff}').trim() == name)
        };
        let needed = |name: &str| {
            place(name).ok_or_else(|| ImportError::Malformed {
                line: 1,
                column: 1,
                reason: format!("no column {name}; is it a {LIST}?"),
            })
        };
        Ok(Self {
            instance: needed("InstanceType")?,
            accelerator: needed("AcceleratorName")?,
            count: needed("AcceleratorCount")?,
            price: needed("Price")?,
            region: needed("Region")?,
            spot: place("SpotPrice"),
            zone: place("AvailabilityZone"),
        })
    }

    fn line<'a>(&self, record: &'a csv::StringRecord) -> Result<Line<'a>, ImportError> {
        let text = |column: usize| record.get(column).unwrap_or("").trim();
        let number = |column: usize| {
            let text = text(column);
            if text.is_empty() {
                return Ok(None);
            }
            let parsed = Decimal::from_str_exact(text)
                .or_else(|_| Decimal::from_scientific(text))
                .ok()
                .filter(|number| !number.is_sign_negative() || number.is_zero());
            parsed.map(Some).ok_or_else(|| ImportError::Malformed {
                line: record.position().map_or(0, csv::Position::line),
                column: column as u64 + 1,
                reason: format!(
                    "`{}` is no number of 0 or more",
                    text.chars().take(40).collect::<String>()
                ),
            })
        };
        Ok(Line {
            instance: text(self.instance),
            accelerator: text(self.accelerator),
            count: number(self.count)?,
            price: number(self.price)?,
            spot: self.spot.map_or(Ok(None), number)?,
            region: text(self.region),
            zone: self.zone.map_or("", text),
        })
    }
}

/// One line of the table.
struct Line<'a> {
    instance: &'a str,
    accelerator: &'a str,
    count: Option<Decimal>,
    price: Option<Decimal>,
    spot: Option<Decimal>,
    region: &'a str,
    zone: &'a str,
}

/// What a line offers, per GPU.
struct Offer {
    instance: String,
    card: Card,
    count: NonZeroU32,
    region: String,
    on_demand: Option<Decimal>,
    spot: Option<Decimal>,
}

impl Line<'_> {
    /// The offer of the line, or why there is none.
    fn judge(&self, selection: &Selection) -> Result<Offer, &'static str> {
        if self.accelerator.is_empty() {
            return Err("no accelerator");
        }
        if self.accelerator.to_lowercase().starts_with("tpu") {
            return Err("not a GPU");
        }
        if let Some(region) = &selection.region
            && !self.is_in(region)
        {
            return Err("another region");
        }
        let count = self
            .count
            .filter(|count| count.fract().is_zero())
            .and_then(|count| u32::try_from(count).ok())
            .and_then(NonZeroU32::new)
            .ok_or("not a whole number of GPUs")?;
        let placeholder =
            |price: &Decimal| *price == Decimal::from(PLACEHOLDER) && self.price == self.spot;
        let price = self.price.filter(|price| !price.is_zero());
        if price.as_ref().is_some_and(placeholder) {
            return Err("a placeholder for no price");
        }
        // A spot price of nothing, or not below the ordinary price, is no spot market.
        let spot = self
            .spot
            .filter(|spot| !spot.is_zero() && price.is_none_or(|price| *spot < price));
        if price.is_none() && spot.is_none() {
            return Err("no price");
        }
        let per_gpu = |price: Decimal| {
            (price / Decimal::from(count.get()))
                .round_dp(PLACES)
                .normalize()
        };
        Ok(Offer {
            instance: self.instance.to_owned(),
            card: card(&selection.cloud, self.accelerator, self.instance),
            count,
            region: self.region.to_owned(),
            on_demand: price.map(per_gpu),
            spot: spot.map(per_gpu),
        })
    }

    /// Whether the line is of this region, or of one within it.
    fn is_in(&self, region: &str) -> bool {
        let asked = region.trim().to_lowercase();
        let parts = self.region.split(',').chain(std::iter::once(self.zone));
        parts.map(|part| part.trim().to_lowercase()).any(|part| {
            part.strip_prefix(asked.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
    }
}

/// Where the rows of an import come from.
struct Origin<'a> {
    selection: &'a Selection,
    source: String,
    as_of: Date,
}

/// The offers of one instance over regions and zones.
struct Offers {
    card: Card,
    count: NonZeroU32,
    regions: BTreeSet<String>,
    on_demand: Vec<Decimal>,
    spot: Vec<Decimal>,
}

impl Offers {
    fn of(offer: &Offer) -> Self {
        Self {
            card: offer.card.clone(),
            count: offer.count,
            regions: BTreeSet::new(),
            on_demand: Vec::new(),
            spot: Vec::new(),
        }
    }

    fn add(&mut self, offer: Offer) {
        self.regions.insert(offer.region);
        self.on_demand.extend(offer.on_demand);
        self.spot.extend(offer.spot);
    }

    /// One row for the hour and one for the spot market, where there is one.
    fn rows(self, instance: &str, origin: &Origin<'_>) -> Vec<RentalRow> {
        let selection = origin.selection;
        let region = match self.regions.len() {
            1 => self.regions.into_iter().next(),
            regions => Some(format!(
                "{} of {regions} regions",
                selection.statistic.word()
            )),
        };
        let row = |commit: Commit, prices: Vec<Decimal>| {
            let price = Price::new(selection.statistic.of(prices)?)?;
            let spot = match commit {
                Commit::Spot => "-spot",
                Commit::OnDemand
                | Commit::Reserved
                | Commit::Reserved1y
                | Commit::Reserved3y
                | Commit::OwnedTco => "",
            };
            Some(RentalRow {
                id: format!(
                    "{}-{}-{}{spot}",
                    selection.cloud,
                    self.card.gpu,
                    super::card::slug(instance)
                ),
                provider: selection.cloud.clone(),
                gpu: self.card.gpu.clone(),
                commit,
                usd_per_gpu_hour: price,
                quantum_gpus: self.count,
                region: region.clone(),
                source: origin.source.clone(),
                retrieved: origin.as_of,
                confidence: Confidence::Secondary,
                note: self.card.note.map(str::to_owned),
            })
        };
        [
            row(Commit::OnDemand, self.on_demand),
            row(Commit::Spot, self.spot),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn malformed(error: &csv::Error) -> ImportError {
    let position = error.position();
    ImportError::Malformed {
        line: position.map_or(1, csv::Position::line),
        column: 1,
        reason: match error.kind() {
            csv::ErrorKind::UnequalLengths {
                expected_len, len, ..
            } => format!("{len} fields where the header has {expected_len}"),
            csv::ErrorKind::Utf8 { .. } => "not UTF-8".to_owned(),
            _ => error.to_string(),
        },
    }
}
