//! `mtok prices`: what the catalog knows, and public price lists taken over into it.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use etcetera::BaseStrategy as _;
use jiff::civil::Date;
use serde::Serialize;

use super::exit::{CliError, Exit};
use super::{folder, output};
use crate::catalog::age::{age_days, stale};
use crate::catalog::book::{NotFound, PriceBook as _};
use crate::catalog::import::{
    Implausible, Import, ImportError, ImportOptions, Quarantined, Summary, litellm, skypilot,
};
use crate::catalog::rows::{ApiKind, ApiRow, RentalRow};
use crate::catalog::{Catalog, Price};

/// Longest price list that is read; the longest known has 4 MB.
const LONGEST_LIST: u64 = 256 << 20;
/// How many quarantined entries of one reason are named.
const NAMED: usize = 5;

/// `mtok prices`
#[derive(Debug, Args)]
pub(super) struct PricesArgs {
    /// What to do.
    #[command(subcommand)]
    pub(super) verb: PricesVerb,
}

/// What to do with prices.
#[derive(Debug, Subcommand)]
pub(super) enum PricesVerb {
    /// Show prices with their source and age.
    List(ListArgs),
    /// Take over a public price list from a file.
    #[command(subcommand)]
    Import(ImportVerb),
}

/// `mtok prices list`
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only rentals of cards with these words, such as h100.
    #[arg(long, value_name = "WORDS")]
    pub(super) gpu: Option<String>,
    /// Only API prices with these words, such as gpt-4o.
    #[arg(long, value_name = "WORDS")]
    pub(super) model: Option<String>,
    /// Count ages to this date instead of today.
    #[arg(long, value_name = "DATE")]
    pub(super) as_of: Option<Date>,
    /// Print one JSON document and nothing else.
    #[arg(long)]
    pub(super) json: bool,
}

/// `mtok prices import`
#[derive(Debug, Subcommand)]
pub(super) enum ImportVerb {
    /// API prices from LiteLLM's model_prices_and_context_window.json.
    Litellm(LitellmArgs),
    /// Hourly rates from SkyPilot's catalogs/v8/CLOUD/vms.csv.
    Skypilot(SkypilotArgs),
}

/// `mtok prices import litellm`
#[derive(Debug, Args)]
pub(super) struct LitellmArgs {
    /// The downloaded file.
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// The date of the prices, today unless given: the file states none.
    #[arg(long, value_name = "DATE")]
    pub(super) as_of: Option<Date>,
    /// Take over prices that are hard to believe as well.
    #[arg(long)]
    pub(super) allow: bool,
    /// Print one JSON document and nothing else.
    #[arg(long)]
    pub(super) json: bool,
}

/// `mtok prices import skypilot`
#[derive(Debug, Args)]
pub(super) struct SkypilotArgs {
    /// The downloaded file.
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// The cloud it is of, such as runpod.
    #[arg(long, value_name = "NAME", value_parser = cloud_name)]
    pub(super) cloud: String,
    /// Only this region, such as us-east-1 or us.
    #[arg(long, value_name = "R")]
    pub(super) region: Option<String>,
    /// Which of the prices of one instance in several regions.
    #[arg(long, value_enum, default_value_t = StatisticArg::Min)]
    pub(super) stat: StatisticArg,
    /// The date of the prices, today unless given: the file states none.
    #[arg(long, value_name = "DATE")]
    pub(super) as_of: Option<Date>,
    /// Print one JSON document and nothing else.
    #[arg(long)]
    pub(super) json: bool,
}

/// Which of several prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum StatisticArg {
    /// The lowest.
    Min,
    /// The middle one.
    Median,
}

/// A cloud's name becomes part of ids and of a file name.
fn cloud_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !text.is_empty() && text.len() <= 40 && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("write lower-case letters, digits and hyphens, such as runpod".to_owned())
    }
}

/// Does what was asked.
pub(super) fn run(args: &PricesArgs) -> Result<Exit, CliError> {
    match &args.verb {
        PricesVerb::List(args) => list(args),
        PricesVerb::Import(ImportVerb::Litellm(args)) => import_litellm(args),
        PricesVerb::Import(ImportVerb::Skypilot(args)) => import_skypilot(args),
    }
}

/// The bundled catalog with the user's on top, file by file in the order of their names.
pub(super) fn catalog() -> Result<Catalog, CliError> {
    let mut catalog = Catalog::bundled();
    let folder = user_folder()?;
    for path in catalog_files(&folder)? {
        let text = String::from_utf8(read(&path)?).map_err(|_| {
            CliError::new(
                Exit::Input,
                anyhow::anyhow!("{} is not UTF-8", path.display()),
            )
        })?;
        catalog = catalog
            .overlaid(&path.display().to_string(), &text)
            .map_err(|error| {
                CliError::new(Exit::Input, error)
                    .hint("mend the file, or remove it and import the list again")
            })?;
    }
    Ok(catalog)
}

fn import_litellm(args: &LitellmArgs) -> Result<Exit, CliError> {
    let options = ImportOptions {
        as_of: args.as_of.unwrap_or_else(today),
        implausible: if args.allow {
            Implausible::Allow
        } else {
            Implausible::Quarantine
        },
    };
    let bytes = read(&args.file)?;
    let import = litellm::import(&bytes, options).map_err(|error| refused(&args.file, &error))?;
    finish(&import, "litellm", args.json)
}

fn import_skypilot(args: &SkypilotArgs) -> Result<Exit, CliError> {
    let options = ImportOptions {
        as_of: args.as_of.unwrap_or_else(today),
        implausible: Implausible::Quarantine,
    };
    let selection = skypilot::Selection {
        cloud: args.cloud.clone(),
        region: args.region.clone(),
        statistic: match args.stat {
            StatisticArg::Min => skypilot::Statistic::Min,
            StatisticArg::Median => skypilot::Statistic::Median,
        },
    };
    let bytes = read(&args.file)?;
    let import = skypilot::import(&bytes, &selection, options)
        .map_err(|error| refused(&args.file, &error))?;
    finish(&import, &format!("skypilot-{}", args.cloud), args.json)
}

/// Writes the user catalog and says what became of every entry.
fn finish(import: &Import, name: &str, json: bool) -> Result<Exit, CliError> {
    let text =
        toml::to_string(&import.file).map_err(|error| CliError::new(Exit::Failure, error))?;
    let folder = user_folder()?;
    std::fs::create_dir_all(&folder).map_err(|error| CliError::storage(&folder, error))?;
    let path = folder.join(format!("{name}.toml"));
    folder::write_whole(&path, &text)?;
    if json {
        output::json(&ImportDocument::new(&import.summary, &path))?;
    } else {
        let text = summary(&import.summary) + &format!("written      {}\n", path.display());
        output::data(&output::printable(&text))?;
    }
    Ok(Exit::Success)
}

fn refused(file: &Path, error: &ImportError) -> CliError {
    let place = file.display();
    let message = match error {
        ImportError::Malformed { .. } => anyhow::anyhow!("{place}:{error}"),
        ImportError::Empty { .. } => anyhow::anyhow!("{place}: {error}"),
    };
    CliError::new(Exit::Input, message)
}

/// What `prices import --json` prints.
#[derive(Debug, Serialize)]
struct ImportDocument<'a> {
    written: String,
    entries: usize,
    imported: &'a std::collections::BTreeMap<String, usize>,
    doubtful: &'a std::collections::BTreeMap<String, usize>,
    skipped: &'a std::collections::BTreeMap<String, usize>,
    quarantined: Vec<[&'a str; 2]>,
}

impl<'a> ImportDocument<'a> {
    fn new(summary: &'a Summary, path: &Path) -> Self {
        Self {
            written: path.display().to_string(),
            entries: summary.entries,
            imported: &summary.imported,
            doubtful: &summary.doubtful,
            skipped: &summary.skipped,
            quarantined: summary
                .quarantined
                .iter()
                .map(|row| [row.id.as_str(), row.reason.as_str()])
                .collect(),
        }
    }
}

/// The summary for people, largest group first.
fn summary(summary: &Summary) -> String {
    let mut text = format!("entries      {}\n", summary.entries);
    for (title, groups) in [
        ("imported", &summary.imported),
        ("doubtful", &summary.doubtful),
        ("skipped", &summary.skipped),
    ] {
        let total: usize = groups.values().sum();
        let mut groups: Vec<(&String, &usize)> = groups.iter().collect();
        groups.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        writeln!(text, "{title:<12} {total}").expect("a String takes every write");
        for (reason, count) in groups {
            writeln!(text, "{count:>16}  {reason}").expect("a String takes every write");
        }
    }
    text + &quarantine(&summary.quarantined)
}

/// The quarantined entries by reason, a few named.
fn quarantine(entries: &[Quarantined]) -> String {
    let mut groups: std::collections::BTreeMap<&str, Vec<&str>> = std::collections::BTreeMap::new();
    for entry in entries {
        groups.entry(&entry.reason).or_default().push(&entry.id);
    }
    let mut text = format!("quarantined  {}\n", entries.len());
    for (reason, ids) in groups {
        let named = ids[..ids.len().min(NAMED)].join(", ");
        let more = match ids.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        writeln!(text, "{:>16}  {reason}: {named}{more}", ids.len())
            .expect("a String takes every write");
    }
    if !entries.is_empty() {
        text += "             take them over with --allow\n";
    }
    text
}

/// What `prices list` shows.
#[derive(Debug, Serialize)]
struct Listing<'a> {
    as_of: Date,
    catalog_sha256: String,
    rentals: Vec<&'a RentalRow>,
    apis: Vec<&'a ApiRow>,
}

fn list(args: &ListArgs) -> Result<Exit, CliError> {
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
            others => format!("; {others} more are older than 90 days"),
        };
        output::say(&format!("warning: {oldest}{others}"));
    }
}

/// Where the user's catalog files are.
fn user_folder() -> Result<PathBuf, CliError> {
    let strategy = etcetera::choose_base_strategy().map_err(|error| {
        CliError::new(Exit::Storage, error).hint("set XDG_DATA_HOME or HOME to a folder")
    })?;
    Ok(strategy.data_dir().join("mtok").join("prices"))
}

/// The catalog files of a folder in the order of their names; none when it does not exist.
fn catalog_files(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(CliError::storage(folder, error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| CliError::storage(folder, error))?
            .path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// A price list's bytes.
fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let fail = |error: std::io::Error| {
        CliError::new(
            Exit::Input,
            anyhow::Error::new(error).context(path.display().to_string()),
        )
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(fail)?;
    file.take(LONGEST_LIST + 1)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    if bytes.len() as u64 > LONGEST_LIST {
        let message = anyhow::anyhow!(
            "{} has more than {LONGEST_LIST} bytes and is no price list",
            path.display()
        );
        return Err(CliError::new(Exit::Input, message));
    }
    Ok(bytes)
}

/// Today in UTC.
fn today() -> Date {
    jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date()
}
