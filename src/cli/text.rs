//! The tokenizer of a model, checked, and prompts of text, made before anything is loaded.

use std::sync::Arc;

use super::exit::{CliError, Exit};
use crate::clock::Monotonic;
use crate::engine::EngineError;
use crate::engine::text::{ReadOrder, TextSeen, Texts, TokenizerOf};
use crate::engine::worker::{Refusal, TextReader, WorkerCommand, WorkerError};
use crate::study::model::ModelSource;
use crate::study::prompts::PromptChoice;
use crate::study::spec::Study;
use crate::units::Seconds;

/// Path of this executable, which is also the process that reads.
const THIS_EXECUTABLE: &str = "/proc/self/exe";

/// Checks the model's tokenizer, where it has one, and reads the texts that the study asks for.
///
/// `files` are those of the study's model on this machine.
pub(super) fn read(
    files: &ModelSource,
    study: &Study,
    patience: Seconds,
) -> Result<Option<Texts>, CliError> {
    let Some(tokenizer) = TokenizerOf::model(files)? else {
        return match study.prompts {
            PromptChoice::RandomIds => Ok(None),
            PromptChoice::Lines { .. } | PromptChoice::Text { .. } => Err(no_tokenizer(study)),
        };
    };
    if study.prompts == PromptChoice::RandomIds && !files.is_folder() {
        return Ok(None);
    }
    let order = ReadOrder {
        tokenizer,
        prompts: study.prompts.clone(),
        lengths: study.sweep.isl.clone(),
        batch: study.sweep.batch.iter().map(|n| n.get()).max().unwrap_or(1),
    };
    have_read(&order, patience)
}

/// Has a process of its own check the tokenizer and read the texts of an order.
pub(super) fn have_read(order: &ReadOrder, patience: Seconds) -> Result<Option<Texts>, CliError> {
    let reader = TextReader {
        command: WorkerCommand::new(THIS_EXECUTABLE, ["worker"], std::env::vars_os()),
        patience,
        clock: Arc::new(Monotonic),
        interrupt: Arc::default(),
    };
    let seen = reader.read(order);
    match seen.map_err(|error| lost(&order.tokenizer.place(), error))? {
        TextSeen::Checked => Ok(None),
        TextSeen::Prompts(texts) => Ok(Some(texts)),
        TextSeen::Unfit { place, reason } => {
            let error = anyhow::anyhow!("{place}: {reason}");
            Err(CliError::new(Exit::Input, error))
        }
    }
}

/// A process that was lost while it read was lost through what it read.
fn lost(place: &str, error: WorkerError) -> CliError {
    match error {
        WorkerError::Lost(loss) => {
            let error = anyhow::anyhow!("{place}: reading it ended in: {}", loss.reason);
            CliError::new(Exit::Model, error)
                .hint("download the tokenizer again; a text that the tokenizer cannot cope with does this too")
        }
        WorkerError::Refused(Refusal::Model { place, reason }) => {
            EngineError::Model { place, reason }.into()
        }
        other @ (WorkerError::Refused(_)
        | WorkerError::CardLost { .. }
        | WorkerError::Interrupted) => other.into(),
    }
}

fn no_tokenizer(study: &Study) -> CliError {
    let error = anyhow::anyhow!(
        "{} has no tokenizer, which prompts of text need",
        study.source
    );
    CliError::new(Exit::Model, error)
        .hint("use a checkpoint with its tokenizer: hub:OWNER/NAME, dir:PATH or gguf:PATH")
}
