//! `mtok imatrix`: how much each input of each matrix matters, collected from a text.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use clap::Args;
use serde::Serialize;
use tokenizers::Tokenizer;

use super::exit::{CliError, Exit};
use super::output;
use super::progress::Progress;
use super::signals::Interrupts;
use crate::clock::{Clock, Monotonic};
use crate::engine::decoder::reference;
use crate::engine::gguf::importance::Collected;
use crate::engine::weights::{self, Wanted};
use crate::engine::{self, EngineError, TokenId, device, tokenizer};
use crate::study::model::{DeviceChoice, ModelSource, Precision};

/// `mtok imatrix`
#[derive(Debug, Args)]
pub(super) struct ImatrixArgs {
    /// tiny, dir:PATH or gguf:PATH.
    #[arg(value_name = "SOURCE")]
    pub(super) source: ModelSource,
    /// The file to write, in the form of llama.cpp's imatrix tool.
    #[arg(value_name = "OUT.gguf")]
    pub(super) out: PathBuf,
    /// The text; not the one that the quality is measured on.
    #[arg(long, value_name = "FILE")]
    pub(super) text: PathBuf,
    /// A tokenizer.json in place of the model's own.
    #[arg(long, value_name = "FILE")]
    pub(super) tokenizer: Option<PathBuf>,
    /// Tokens of a window.
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub(super) context: u32,
    /// Windows at most, from the beginning of the text.
    #[arg(long, value_name = "N")]
    pub(super) windows: Option<usize>,
    /// auto, cpu or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub(super) device: DeviceChoice,
    /// Print one JSON document and nothing else.
    #[arg(long)]
    pub(super) json: bool,
}

/// What is printed with `--json`.
#[derive(Debug, Serialize)]
struct Answer {
    schema: u32,
    source: String,
    file: String,
    matrices: usize,
    windows: usize,
    tokens: u64,
    seconds: f64,
    peak_resident_bytes: Option<u64>,
}

/// Writes the file and says what it was collected from.
pub(super) fn run(args: &ImatrixArgs) -> Result<Exit, CliError> {
    let interrupts = Interrupts::listen()?;
    let windows = windows(args)?;
    let progress = Progress::new();
    let start = Monotonic.now();
    let device = device::open(args.device)?;
    progress.message("loading");
    // The inputs are those of the unrounded model.
    let unseeded = 0;
    let steps = engine::Progress::default();
    let precision = match args.source {
        ModelSource::Gguf(_) => Precision::Native,
        ModelSource::Tiny | ModelSource::Dir(_) | ModelSource::Card(_) | ModelSource::Hub(_) => {
            Precision::F32
        }
    };
    let wanted = Wanted::new(&args.source, precision, unseeded);
    let weights = weights::load(wanted, &device, &steps)?;
    refuse_foreign(args, &windows, weights.shape.vocab)?;
    let mut collected = Collected::default();
    for (index, window) in windows.iter().enumerate() {
        if interrupts.count.load(Ordering::Relaxed) > 0 {
            progress.finish();
            return Ok(interrupts.exit());
        }
        progress.message(&format!("window {} of {}", index + 1, windows.len()));
        reference::collect(&weights, window, &device, &mut collected).map_err(EngineError::from)?;
    }
    let text = args.text.display().to_string();
    let importance = collected.means(&text, args.context);
    let written = importance.write(&args.out);
    written.map_err(|error| CliError::storage(&args.out, error))?;
    progress.finish();
    let spent = Monotonic.now().since(start);
    let answer = Answer {
        schema: 1,
        source: args.source.to_string(),
        file: args.out.display().to_string(),
        matrices: importance.matrices(),
        windows: windows.len(),
        tokens: importance.tokens(),
        seconds: spent
            .expect("a monotonic clock does not run backwards")
            .seconds()
            .value(),
        peak_resident_bytes: device::process_memory().peak,
    };
    if args.json {
        output::json(&answer)?;
    } else {
        output::data(&format!(
            "{}: {} matrices over {} windows, {} tokens; {:.1} s\n",
            answer.file, answer.matrices, answer.windows, answer.tokens, answer.seconds
        ))?;
    }
    Ok(Exit::Success)
}

/// The whole windows of the text, each with the token before it that the tokenizer puts there.
fn windows(args: &ImatrixArgs) -> Result<Vec<Vec<TokenId>>, CliError> {
    let refuse = |message: String| CliError::new(Exit::Usage, anyhow::anyhow!(message));
    if args.context < 2 {
        return Err(refuse(format!(
            "--context {} is out of range; it must be at least 2",
            args.context
        )));
    }
    let tokenizer = tokenizer_of(args)?;
    let bytes = std::fs::read(&args.text).map_err(|error| CliError::storage(&args.text, error))?;
    let text = String::from_utf8_lossy(&bytes);
    let encoded = tokenizer::encode(&tokenizer, &text)
        .map_err(|reason| EngineError::model("tokenizer", reason))?;
    let before = encoded.before.first().copied();
    let context = args.context as usize;
    let windows: Vec<Vec<TokenId>> = encoded
        .ids
        .chunks_exact(context)
        .take(args.windows.unwrap_or(usize::MAX))
        .map(|window| match before {
            Some(first) => std::iter::once(first)
                .chain(window[1..].iter().copied())
                .collect(),
            None => window.to_vec(),
        })
        .collect();
    if windows.is_empty() {
        return Err(refuse(format!(
            "{}: no window of {context} tokens; take a longer text, more --windows or a shorter --context",
            args.text.display()
        )));
    }
    Ok(windows)
}

fn tokenizer_of(args: &ImatrixArgs) -> Result<Tokenizer, CliError> {
    match (&args.tokenizer, &args.source) {
        (Some(path), source) => Ok(tokenizer::in_place_of(source, path)?),
        (None, ModelSource::Tiny | ModelSource::Dir(_) | ModelSource::Gguf(_)) => {
            Ok(tokenizer::of_model(&args.source)?)
        }
        (None, ModelSource::Hub(_)) => {
            let message = "a model on the Hub is not fetched here; take its folder";
            Err(EngineError::model(&args.source, message).into())
        }
        (None, ModelSource::Card(_)) => {
            let message = "random weights find nothing important; take a checkpoint";
            Err(EngineError::model(&args.source, message).into())
        }
    }
}

/// Refuses ids that the model has no row for.
fn refuse_foreign(
    args: &ImatrixArgs,
    windows: &[Vec<TokenId>],
    rows: u32,
) -> Result<(), EngineError> {
    match windows.iter().flatten().find(|id| **id >= rows) {
        None => Ok(()),
        Some(id) => Err(EngineError::model(
            &args.source,
            format!("token {id} in a vocabulary of {rows}; the tokenizer belongs to another model"),
        )),
    }
}
