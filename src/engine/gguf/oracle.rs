//! The decoder's logits on the fixtures against those of candle's own GGUF models, which read the same
//! files their own way. The weights are not symmetric, so that a row out of place shows.

use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{DType, Device, Tensor};
use candle_transformers::models::{quantized_llama, quantized_qwen2, quantized_qwen3};
use tempfile::NamedTempFile;

use super::GgufFile;
use crate::engine::decoder::Decoder;
use crate::engine::decoder::random::prompt;
use crate::engine::generate::{Forward, relative_error};
use crate::engine::weights::Weights;
use crate::engine::weights::placement::Placement;
use crate::engine::{Capacity, Engine, Progress};
use crate::study::model::Family;

/// Largest relative L2 error of quantized products: both sides round activations to eight bits, each
/// its own way, which makes about half a percent per product.
const BOUND: f64 = 0.03;
/// The same of products in single precision.
const BOUND_F32: f64 = 1e-4;
/// A model computed from rows out of place is further away than this.
const WRONG: f64 = 0.05;

const FIXTURES: [&str; 4] = ["llama-q8_0", "llama-mixed", "qwen2-f16", "qwen3-mixed"];
/// Those that candle can multiply as they are: its kernel for Q5_0 wants an even number of blocks.
const MULTIPLIED: [&str; 3] = ["llama-q8_0", "llama-mixed", "qwen2-f16"];

/// Candle's model: ids `[1, length]` and the tokens before them, to logits `[1, vocab]`.
type Stock = Box<dyn FnMut(&Tensor, usize) -> candle_core::Result<Tensor>>;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/gguf")
        .join(name)
        .with_extension("gguf")
}

/// The fixture with every tensor widened to single precision.
fn widened(name: &str) -> NamedTempFile {
    let mut file = File::open(fixture(name)).unwrap();
    let content = gguf_file::Content::read(&mut file).unwrap();
    let tensors: Vec<(&str, QTensor)> = content
        .tensor_infos
        .keys()
        .map(|name| {
            let tensor = content.tensor(&mut file, name, &Device::Cpu).unwrap();
            let wide = tensor.dequantize(&Device::Cpu).unwrap();
            let wide = QTensor::quantize(&wide, GgmlDType::F32).unwrap();
            (name.as_str(), wide)
        })
        .collect();
    let tensors: Vec<_> = tensors
        .iter()
        .map(|(name, tensor)| (*name, tensor))
        .collect();
    let metadata: Vec<_> = content
        .metadata
        .iter()
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    // Candle's Qwen 3 computes in half precision unless this names F32.
    let single = gguf_file::Value::U32(0);
    let metadata = [metadata, vec![("general.dtype", &single)]].concat();
    let mut wide = NamedTempFile::with_suffix(".gguf").unwrap();
    gguf_file::write(wide.as_file_mut(), &metadata, &tensors).unwrap();
    wide
}

fn stock(path: &Path) -> Stock {
    let mut file = File::open(path).unwrap();
    let content = gguf_file::Content::read(&mut file).unwrap();
    let family = content.metadata["general.architecture"].to_string();
    match family.unwrap().as_str() {
        "llama" => {
            let model = quantized_llama::ModelWeights::from_gguf(content, &mut file, &Device::Cpu);
            let mut model = model.unwrap();
            Box::new(move |ids, past| model.forward(ids, past))
        }
        "qwen2" => {
            let model = quantized_qwen2::ModelWeights::from_gguf(content, &mut file, &Device::Cpu);
            let mut model = model.unwrap();
            Box::new(move |ids, past| model.forward(ids, past))
        }
        _ => {
            let model = quantized_qwen3::ModelWeights::from_gguf(content, &mut file, &Device::Cpu);
            let mut model = model.unwrap();
            Box::new(move |ids, past| model.forward(ids, past))
        }
    }
}

/// Our weights of a file with single-precision activations, as candle computes; `family` decides the
/// order of rows.
fn weights(path: &Path, family: impl FnOnce(&mut Family)) -> Weights {
    let mut file = GgufFile::open(path).unwrap();
    family(&mut file.architecture.family);
    let mut placement = Placement::new(file.native, file.native, &Device::Cpu);
    placement.activation = DType::F32;
    let mut weights = file.load(&placement, &Progress::default()).unwrap();
    // Candle leaves the file's RoPE divisors out.
    weights.shape.rope_scaling = None;
    weights
}

/// Largest error over a prefill and three decode steps of one sequence.
fn error(weights: Weights, mut stock: Stock) -> f64 {
    let vocab = weights.shape.vocab;
    let mut decoder = Decoder::new(weights, Device::Cpu).unwrap();
    let room = Capacity {
        batch: 1,
        context: 32,
    };
    decoder.reserve(room).unwrap();
    decoder.begin(1, 32).unwrap();
    let mut past = 0;
    let mut largest = 0.0_f64;
    for (length, seed) in [(12, 1), (1, 2), (1, 3), (1, 4)] {
        let ids = Tensor::new(prompt(length, vocab, seed).as_slice(), &Device::Cpu).unwrap();
        let ours = decoder.forward(&ids, &Progress::default()).unwrap();
        let theirs = stock(&ids.unsqueeze(0).unwrap(), past).unwrap();
        past += length;
        let error = relative_error(&ours.get(0).unwrap(), &theirs.flatten_all().unwrap());
        largest = largest.max(error.unwrap().unwrap());
    }
    largest
}

#[test]
fn logits_are_those_of_candles_gguf_models() {
    for name in MULTIPLIED {
        let path = fixture(name);
        let error = error(weights(&path, |_| {}), stock(&path));
        assert!(error <= BOUND, "{name}: {error}");
    }
}

#[test]
fn without_rounded_activations_the_logits_are_the_same_numbers() {
    for name in FIXTURES {
        let file = widened(name);
        let error = error(weights(file.path(), |_| {}), stock(file.path()));
        assert!(error <= BOUND_F32, "{name}: {error}");
    }
}

#[test]
fn rows_out_of_place_would_show_in_the_logits() {
    for name in ["llama-q8_0", "llama-mixed"] {
        // Taken for a family whose files have rows in order, they stay as they are.
        let file = widened(name);
        let unrestored = weights(file.path(), |family| *family = Family::Mistral);
        let error = error(unrestored, stock(file.path()));
        assert!(error > WRONG, "{name}: {error}");
    }
}
