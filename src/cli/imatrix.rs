//! `mtok imatrix`: how much each input of each matrix matters, collected from a text.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use clap::Args;
use serde::Serialize;

use super::exit::{CliError, Exit};
use super::folder::make_sure_is_new;
use super::hub::{self, Need};
use super::progress::Progress;
use super::signals::Interrupts;
use super::{output, text};
use crate::clock::{Clock, Monotonic};
use crate::engine::decoder::reference;
use crate::engine::gguf::importance::Collected;
use crate::engine::text::passages::Passage;
use crate::engine::text::{ReadOrder, TokenizerOf};
use crate::engine::weights::{self, Wanted};
use crate::engine::{self, EngineError, TokenId, device};
use crate::study::model::{DeviceChoice, ModelSource, Precision};
use crate::study::prompts::{Dress, PromptChoice};
use crate::units::Seconds;

/// How long reading the text may take; no longer is allowed to it anyway.
const PATIENCE: Seconds = Seconds::new(60.0);

/// `mtok imatrix`
#[derive(Debug, Args)]
pub(super) struct ImatrixArgs {
    /// tiny, hub:OWNER/NAME, dir:PATH or gguf:PATH.
    #[arg(value_name = "SOURCE")]
    pub(super) source: ModelSource,
    /// The file to write, in the form of llama.cpp's imatrix tool.
    #[arg(value_name = "OUT.gguf")]
    pub(super) out: PathBuf,
    /// The text, of 16 MiB at most; not the one that the quality is measured on.
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
    check(args)?;
    make_sure_is_new(&args.out)?;
    let files = hub::locate(&args.source, Need::Files)?.files;
    let windows = windows(args, &files)?;
    let interrupts = Interrupts::listen()?;
    let progress = Progress::new();
    let start = Monotonic.now();
    let device = device::open(args.device)?;
    progress.message("loading");
    // The inputs are those of the unrounded model.
    let unseeded = 0;
    let steps = engine::Progress::default();
    let precision = match files {
        ModelSource::Gguf(_) => Precision::Native,
        ModelSource::Tiny | ModelSource::Dir(_) | ModelSource::Card(_) | ModelSource::Hub(_) => {
            Precision::F32
        }
    };
    let wanted = Wanted::new(&files, precision, unseeded);
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

/// Refuses what finds nothing, before a model is fetched for it.
fn check(args: &ImatrixArgs) -> Result<(), CliError> {
    if args.context < 2 {
        return Err(usage(format!(
            "--context {} is out of range; it must be at least 2",
            args.context
        )));
    }
    if args.windows == Some(0) {
        return Err(usage(
            "--windows 0 is out of range; it must be at least 1".to_owned(),
        ));
    }
    match args.source {
        ModelSource::Card(_) => {
            let message = "random weights find nothing important; take a checkpoint";
            Err(EngineError::model(&args.source, message).into())
        }
        ModelSource::Tiny | ModelSource::Dir(_) | ModelSource::Gguf(_) | ModelSource::Hub(_) => {
            Ok(())
        }
    }
}

fn usage(message: String) -> CliError {
    CliError::new(Exit::Usage, anyhow::anyhow!(message))
}

/// The whole windows of the text, each with the token before it that the tokenizer puts there.
fn windows(args: &ImatrixArgs, files: &ModelSource) -> Result<Vec<Vec<TokenId>>, CliError> {
    let order = ReadOrder {
        tokenizer: TokenizerOf::reading(files, args.tokenizer.as_deref())?,
        prompts: PromptChoice::Text {
            file: args.text.clone(),
            dress: Dress::Plain,
        },
        lengths: Vec::new(),
        batch: 1,
    };
    let texts = text::have_read(&order, PATIENCE)?;
    let passages = texts.into_iter().flat_map(|texts| texts.passages.all);
    let context = args.context as usize;
    let windows: Vec<Vec<TokenId>> = passages
        .flat_map(|passage| in_windows(&passage, context))
        .take(args.windows.unwrap_or(usize::MAX))
        .collect();
    if windows.is_empty() {
        let message = anyhow::anyhow!("{}: no window of {context} tokens", args.text.display());
        let refused = CliError::new(Exit::Input, message);
        return Err(refused.hint("take a longer text or a shorter --context"));
    }
    Ok(windows)
}

fn in_windows(passage: &Passage, context: usize) -> Vec<Vec<TokenId>> {
    let windows = passage.body.chunks_exact(context);
    windows
        .map(|window| match passage.head.first() {
            Some(first) => std::iter::once(first)
                .chain(&window[1..])
                .copied()
                .collect(),
            None => window.to_vec(),
        })
        .collect()
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
