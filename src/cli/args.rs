//! The command line: flags become a study laid over the file's.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use rust_decimal::Decimal;

use super::breakeven::BreakevenArgs;
use super::compare::CompareArgs;
use super::exit::{CliError, Exit};
use super::imatrix::ImatrixArgs;
use super::prices::PricesArgs;
use super::quality::QualityArgs;
use super::quantize::QuantizeArgs;
use super::schema::SchemaArgs;
use crate::study::file::{MeasureSection, ModelSection, StudyFile, SweepSection};
use crate::study::input;
use crate::study::model::{CacheType, DeviceChoice, EngineKind, ModelSource, Precision};
use crate::study::prompts::PromptSection;
use crate::study::questions::{LatencyLimit, Questions, Utilizations};
use crate::study::spec::{Price, Target};
use crate::study::workload::Counts;

/// Measures what a million tokens cost on this machine, and when self-hosting beats the API.
#[derive(Debug, Parser)]
#[command(name = "mtok", version, max_term_width = 100)]
pub(super) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Measure a model and price its tokens.
    Run(RunArgs),
    /// Show what would run, what would not fit and why, and how long it may take.
    Plan(RunArgs),
    /// Write the reports of a study again from its facts.
    Report(ReportArgs),
    /// Check that a record is intact and every number derivable.
    Verify(VerifyArgs),
    /// Tell whether one run differs from another, by a test.
    Compare(CompareArgs),
    /// Judge what each precision loses in quality against the full one.
    Quality(QualityArgs),
    /// Compare a token-priced API with self-hosting and find where they break even.
    Breakeven(BreakevenVerb),
    /// Tell what this machine can run and measure, and what is missing.
    Doctor(DoctorArgs),
    /// Show prices, or take over a public price list.
    Prices(PricesArgs),
    /// Write a model as a GGUF file with every matrix in one type.
    Quantize(QuantizeArgs),
    /// Collect from a text how much each input of each matrix matters.
    Imatrix(ImatrixArgs),
    /// Print the JSON Schema of an input or of the record.
    Schema(SchemaArgs),
    /// The engine in its own process; spoken to by the program itself.
    #[command(hide = true)]
    Worker,
}

/// What is measured and how; every flag wins over the study file.
#[derive(Debug, Args)]
pub(super) struct StudyArgs {
    /// A study file.
    #[arg(value_name = "STUDY.toml")]
    pub(super) study: Option<PathBuf>,
    /// tiny, dir:PATH, gguf:PATH, card:NAME or hub:OWNER/NAME, of which @REVISION names a commit and
    /// :FILE a GGUF file or its quantization.
    #[arg(long, value_name = "SOURCE")]
    pub(super) model: Option<ModelSource>,
    /// decoder, stock or sim:SCRIPT.
    #[arg(long, value_name = "ENGINE")]
    pub(super) engine: Option<EngineKind>,
    /// Weight precisions, like bf16,q8_0,q4_k.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(super) precision: Option<Vec<Precision>>,
    /// Sequences decoded together, like 1,4,16 or 1-64*2.
    #[arg(long, value_name = "LIST")]
    pub(super) batch: Option<Counts>,
    /// Input lengths in tokens.
    #[arg(long, value_name = "LIST")]
    pub(super) isl: Option<Counts>,
    /// Output lengths in tokens.
    #[arg(long, value_name = "LIST")]
    pub(super) osl: Option<Counts>,
    /// auto, cpu or cuda:N.
    #[arg(long, value_name = "DEVICE")]
    pub(super) device: Option<DeviceChoice>,
    /// How keys and values are cached: f32, f16, bf16 or q8_0; each with every precision.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(super) kv: Option<Vec<CacheType>>,
    /// Importance matrix that the k-quants heed, from mtok imatrix or llama.cpp.
    #[arg(long, value_name = "FILE")]
    pub(super) imatrix: Option<PathBuf>,
    /// Keep quantized weights in the user's cache, and take them from there.
    #[arg(long)]
    pub(super) keep_quantized: bool,
    /// At what price.
    #[command(flatten)]
    price: PriceArgs,
    /// Seed of prompts, order and random weights.
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Stop starting new work after this many minutes.
    #[arg(long, value_name = "M", allow_negative_numbers = true)]
    pub(super) max_minutes: Option<f64>,
    /// Print one JSON document and nothing else.
    #[arg(long)]
    pub(super) json: bool,
    /// End with exit code 6 when a result must be doubted.
    #[arg(long)]
    pub(super) strict: bool,
    /// End with exit code 5 when the card's sensors cannot be read.
    #[arg(long)]
    pub(super) require_telemetry: bool,
    /// Give up a worker that makes no step for this long.
    #[arg(
        long,
        value_name = "S",
        default_value_t = 120.0,
        allow_negative_numbers = true
    )]
    pub(super) no_progress_timeout: f64,
    /// The study folder.
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Measure what an earlier run in the same folder left out.
    #[arg(long)]
    pub(super) resume: bool,
}

impl StudyArgs {
    /// The study as written: the file's, with the flags laid over it.
    pub(super) fn written(&self) -> Result<StudyFile, CliError> {
        let file = match &self.study {
            Some(path) => read_study(path)?,
            None => StudyFile::default(),
        };
        for (name, value) in [
            ("--max-minutes", self.max_minutes),
            ("--no-progress-timeout", Some(self.no_progress_timeout)),
        ] {
            if let Some(value) = value
                && !(value.is_finite() && value > 0.0)
            {
                let message = anyhow::anyhow!("{name} {value} is out of range; it must be above 0");
                return Err(CliError::new(Exit::Usage, message));
            }
        }
        Ok(file.overlaid(self.flags()))
    }

    fn flags(&self) -> StudyFile {
        let counts = |list: &Option<Counts>| list.as_ref().map(|counts| counts.0.clone());
        StudyFile {
            model: ModelSection {
                source: self.model.clone(),
                engine: self.engine.clone(),
                device: self.device,
                imatrix: self.imatrix.clone(),
            },
            sweep: SweepSection {
                precision: self.precision.clone(),
                kv: self.kv.clone(),
                batch: counts(&self.batch),
                isl: counts(&self.isl),
                osl: counts(&self.osl),
            },
            measure: MeasureSection {
                seed: self.seed,
                ..MeasureSection::default()
            },
            price: self.price.price(),
            ..StudyFile::default()
        }
    }
}

impl StudyArgs {
    /// An error of the study, with the name of the file where the file alone gives the same one.
    pub(super) fn locate(&self, error: CliError) -> CliError {
        let Some(path) = &self.study else {
            return error;
        };
        let alone = read_study(path).ok().and_then(|file| {
            let target = target(file.model.device);
            file.resolved(target).err()
        });
        if alone.is_some_and(|alone| alone.to_string() == error.error.to_string()) {
            let context = path.display().to_string();
            return CliError {
                error: error.error.context(context),
                ..error
            };
        }
        error
    }
}

/// Reads a study file.
pub(super) fn read_study(path: &std::path::Path) -> Result<StudyFile, CliError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let (file, remedy) = (path.display(), instead_of_study(path));
        CliError::new(Exit::Input, anyhow::anyhow!("{file}: {error}; {remedy}"))
    })?;
    input::parse(&text)
        .map_err(|error| CliError::new(Exit::Input, anyhow::anyhow!("{}: {error}", path.display())))
}

/// What to do where a path is no study file that can be read.
fn instead_of_study(path: &std::path::Path) -> &'static str {
    let source = path
        .to_str()
        .and_then(|path| path.parse::<ModelSource>().ok());
    if path.is_dir() {
        "the folder of a run is given with --out"
    } else if source.is_some() {
        "a model is given with --model"
    } else {
        "give a study file, or flags alone"
    }
}

/// Which defaults apply: those of a card when one is asked for or the build has one.
pub(super) fn target(device: Option<DeviceChoice>) -> Target {
    match device.unwrap_or(DeviceChoice::Auto) {
        DeviceChoice::Cuda(_) => Target::Cuda,
        DeviceChoice::Cpu => Target::Cpu,
        DeviceChoice::Auto if cfg!(feature = "cuda") => Target::Cuda,
        DeviceChoice::Auto => Target::Cpu,
    }
}

/// At what price.
#[derive(Debug, Args)]
pub(super) struct PriceArgs {
    /// Card id of the GPU catalog, such as h100-sxm.
    #[arg(long, value_name = "ID")]
    gpu: Option<String>,
    /// Price of one hour of the device.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    usd_per_hour: Option<Decimal>,
    /// Price of one kilowatt-hour; the cost of energy stands beside the rental.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    usd_per_kwh: Option<Decimal>,
    /// Energy of the building per energy of the card, 1 or more (default: the card alone).
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pue: Option<Decimal>,
}

impl PriceArgs {
    /// The price as far as flags give one.
    pub(super) fn price(&self) -> Price {
        Price {
            gpu: self.gpu.clone(),
            usd_per_hour: self.usd_per_hour,
            usd_per_kwh: self.usd_per_kwh,
            pue: self.pue,
        }
    }
}

/// What prompts are made of.
#[derive(Debug, Args)]
pub(super) struct PromptArgs {
    /// Measure with the prompts of a file, one per line or JSON Lines with "prompt" or "messages",
    /// cut to the input length.
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    prompt_file: Option<PathBuf>,
    /// Measure with windows of a text instead of random ids.
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Put prompts of text into the model's chat template; its tokens count as input.
    #[arg(long)]
    chat: bool,
}

impl PromptArgs {
    fn section(&self) -> PromptSection {
        PromptSection {
            file: self.prompt_file.clone(),
            text: self.text.clone(),
            chat: self.chat.then_some(true),
        }
    }
}

/// What a report answers.
#[derive(Debug, Args)]
pub(super) struct QuestionArgs {
    /// Seek the cheapest point with a time to first token of up to this many milliseconds.
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    max_ttft_ms: Option<LatencyLimit>,
    /// Seek the cheapest point with a time per output token of up to this many milliseconds.
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    max_tpot_ms: Option<LatencyLimit>,
    /// Shares of the time that the machine is used, for which prices are given, like 0.3,0.5.
    #[arg(long, value_name = "LIST", allow_negative_numbers = true)]
    utilization: Option<Utilizations>,
}

impl QuestionArgs {
    /// What is asked.
    pub(super) fn questions(&self) -> Questions {
        Questions {
            max_ttft_ms: self.max_ttft_ms,
            max_tpot_ms: self.max_tpot_ms,
            utilization: self.utilization.clone(),
        }
    }
}

/// What `mtok run` measures and `mtok plan` plans.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// What is measured and how.
    #[command(flatten)]
    pub(super) study: StudyArgs,
    /// With which prompts.
    #[command(flatten)]
    prompts: PromptArgs,
    /// What the report answers.
    #[command(flatten)]
    questions: QuestionArgs,
}

impl RunArgs {
    /// The study as written: the file's, with the flags laid over it.
    pub(super) fn written(&self) -> Result<StudyFile, CliError> {
        let flags = StudyFile {
            prompts: self.prompts.section(),
            report: self.questions.questions(),
            ..StudyFile::default()
        };
        Ok(self.study.written()?.overlaid(flags))
    }
}

/// `mtok report`
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// The study folder.
    #[arg(value_name = "DIR")]
    pub(super) folder: PathBuf,
    /// Write nothing; end with exit code 1 when the reports differ from what they should be.
    #[arg(long)]
    pub(super) check: bool,
    /// Print the results as one JSON document.
    #[arg(long, conflicts_with = "check")]
    pub(super) json: bool,
    /// Another question than the study's; its answer is printed and no file written.
    #[command(flatten)]
    pub(super) questions: QuestionArgs,
    /// Another price than the study's.
    #[command(flatten)]
    pub(super) price: PriceArgs,
}

/// `mtok verify`
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The study folder.
    #[arg(value_name = "DIR")]
    pub(super) folder: PathBuf,
}

/// `mtok breakeven`
#[derive(Debug, Args)]
pub(super) struct BreakevenVerb {
    /// The scenario and what to do with its answer.
    #[command(flatten)]
    pub(super) scenario: BreakevenArgs,
    /// Prefer prices imported with mtok prices import over the bundled ones.
    #[arg(long)]
    pub(super) user_prices: bool,
}

/// `mtok doctor`
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Print one JSON document and nothing else.
    #[arg(long)]
    pub(super) json: bool,
}
