//! `mtok prices`: what the catalog knows, and public price lists taken over into it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use jiff::civil::Date;
use serde::Serialize;

use super::catalog_files::{read, user_folder};
use super::exit::{CliError, Exit};
use super::prices_list::list;
use super::{folder, host, output};
use crate::catalog::import::{
    Implausible, Import, ImportError, ImportOptions, Quarantined, Summary, litellm, skypilot,
};

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

fn import_litellm(args: &LitellmArgs) -> Result<Exit, CliError> {
    let options = ImportOptions {
        as_of: args.as_of.unwrap_or_else(host::today),
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
        as_of: args.as_of.unwrap_or_else(host::today),
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
