//! `mtok quantize`: a model as one GGUF file, with every matrix in one type.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use clap::Args;
use serde::Serialize;

use super::exit::{CliError, Exit};
use super::folder::make_sure_is_new;
use super::hub::{self, Need};
use super::progress::Progress;
use super::signals::Interrupts;
use super::{host, output};
use crate::clock::{Clock, Monotonic};
use crate::engine::device;
use crate::engine::gguf::export::{ExportError, Order, export};
use crate::engine::gguf::importance::Importance;
use crate::study::model::{ModelSource, Precision};

/// `mtok quantize`
#[derive(Debug, Args)]
pub(super) struct QuantizeArgs {
    /// tiny, hub:OWNER/NAME, dir:PATH, or gguf:PATH in floating point.
    #[arg(value_name = "SOURCE")]
    source: ModelSource,
    /// Type of the matrices, like q4_k.
    #[arg(value_name = "TYPE")]
    precision: Precision,
    /// The file to write.
    #[arg(value_name = "OUT.gguf")]
    out: PathBuf,
    /// Importance matrix that the k-quants heed, from mtok imatrix or llama.cpp.
    #[arg(long, value_name = "FILE")]
    imatrix: Option<PathBuf>,
    /// Print one JSON document and nothing else.
    #[arg(long)]
    json: bool,
}

/// What is printed with `--json`.
#[derive(Debug, Serialize)]
struct Answer {
    schema: u32,
    source: String,
    precision: Precision,
    file: String,
    bytes: u64,
    bits_per_weight: f64,
    /// Matrices whose rows the type does not divide, which took the type next to it.
    fallbacks: u64,
    seconds: f64,
    weights_per_second: f64,
    peak_resident_bytes: Option<u64>,
    threads: u32,
}

/// Writes the file and says what it cost.
pub(super) fn run(args: &QuantizeArgs) -> Result<Exit, CliError> {
    if args.precision == Precision::Native {
        let message = anyhow::anyhow!("native is not a type to quantize to; name one, like q4_k");
        return Err(CliError::new(Exit::Usage, message));
    }
    if args.imatrix.is_some() && !args.precision.is_k_quant() {
        let message = anyhow::anyhow!("--imatrix does nothing to {}", args.precision);
        let refused = CliError::new(Exit::Usage, message);
        return Err(refused.hint("the k-quants heed it: q2_k, q3_k, q4_k, q5_k, q6_k"));
    }
    make_sure_is_new(&args.out)?;
    let located = hub::locate(&args.source, Need::Files)?;
    let importance = args.imatrix.as_deref().map(Importance::read).transpose()?;
    let interrupts = Interrupts::listen()?;
    let order = Order {
        source: &located.files,
        precision: args.precision,
        importance: importance.as_ref(),
        path: &args.out,
    };
    let progress = Progress::new();
    let start = Monotonic.now();
    let written = export(order, &mut |stage| {
        let share = 100.0 * stage.done as f64 / stage.total.max(1) as f64;
        progress.message(&format!("{share:.0} %  {}", stage.tensor));
        if interrupts.count.load(Ordering::Relaxed) > 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let spent = Monotonic.now().since(start);
    let seconds = spent
        .expect("a monotonic clock does not run backwards")
        .seconds()
        .value();
    progress.finish();
    let written = match written {
        Ok(written) => written,
        Err(ExportError::Stopped) => return Ok(interrupts.exit()),
        Err(ExportError::Engine(error)) => return Err(error.into()),
        Err(ExportError::Storage { path, source }) => return Err(CliError::storage(&path, source)),
    };
    let answer = Answer {
        schema: 1,
        source: args.source.to_string(),
        precision: args.precision,
        file: args.out.display().to_string(),
        bytes: written.bytes,
        bits_per_weight: 8.0 * written.weight_bytes as f64 / written.weights as f64,
        fallbacks: written.fallbacks,
        seconds,
        weights_per_second: written.weights as f64 / seconds,
        peak_resident_bytes: device::process_memory().peak,
        threads: host::host().threads,
    };
    if args.json {
        output::json(&answer)?;
    } else {
        output::data(&sentence(&answer))?;
    }
    Ok(Exit::Success)
}

fn sentence(answer: &Answer) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1_u32 << 20);
    let peak = answer
        .peak_resident_bytes
        .map_or_else(|| "—".to_owned(), |bytes| format!("{:.0} MiB", mib(bytes)));
    let fallbacks = match answer.fallbacks {
        0 => String::new(),
        1 => ", 1 matrix in the type next to it".to_owned(),
        more => format!(", {more} matrices in the type next to it"),
    };
    format!(
        "{}: {:.1} MiB, {:.2} bits per weight{fallbacks}; {:.1} s, {:.1} M weights/s on {} threads, \
         peak memory {peak}\n",
        answer.file,
        mib(answer.bytes),
        answer.bits_per_weight,
        answer.seconds,
        answer.weights_per_second / 1e6,
        answer.threads,
    )
}
