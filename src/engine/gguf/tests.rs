//! The loader against files of the independent `gguf` package (tests/fixtures/gguf/make.py).

use candle_core::{DType, Device};

use super::reader::Value;
use super::*;
use crate::study::model::RopeScaling;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/gguf")
        .join(name)
}

fn load(name: &str) -> Weights {
    let file = GgufFile::open(&fixture(&format!("{name}.gguf"))).unwrap();
    let placement = Placement::new(Precision::Native, file.native, &Device::Cpu);
    file.load(&placement, &Progress::default()).unwrap()
}

fn rows_of(matrix: &Matrix) -> Vec<Vec<f32>> {
    match matrix {
        Matrix::Dense(tensor) => tensor.to_dtype(DType::F32).unwrap(),
        Matrix::Quant(packed) => packed.dequantize(&Device::Cpu).unwrap(),
    }
    .to_vec2()
    .unwrap()
}

/// The products with sin(1), sin(2), … that the fixtures' script wrote down.
fn products(rows: &[Vec<f32>]) -> Vec<f64> {
    rows.iter()
        .map(|row| {
            row.iter()
                .zip(1u32..)
                .map(|(value, j)| f64::from(*value) * f64::from(j).sin())
                .sum()
        })
        .collect()
}

fn expected(name: &str, slots: &[Slot]) -> Vec<f64> {
    let text = std::fs::read_to_string(fixture("expected.json")).unwrap();
    let all: HashMap<String, HashMap<String, Vec<f64>>> = serde_json::from_str(&text).unwrap();
    slots
        .iter()
        .flat_map(|slot| all[name][&slot.checkpoint_name()].clone())
        .collect()
}

#[track_caller]
fn agree(name: &str, slots: &[Slot], ours: &[f64], tolerance: f64) {
    let theirs = expected(name, slots);
    assert_eq!(ours.len(), theirs.len(), "{name} {slots:?}");
    for (row, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        assert!(
            (a - b).abs() <= tolerance,
            "{name} {slots:?} row {row}: {a} against {b}"
        );
    }
}

fn agree_stack(name: &str, slots: &[Slot], stack: &Stack) {
    let rows: Vec<Vec<f32>> = stack.0.iter().flat_map(rows_of).collect();
    agree(name, slots, &products(&rows), 1e-5);
}

fn agree_vector(name: &str, slots: &[Slot], vector: &Tensor) {
    let activation = vector.dtype();
    let values = vector
        .to_dtype(DType::F32)
        .unwrap()
        .to_vec1::<f32>()
        .unwrap();
    let rows: Vec<Vec<f32>> = values.into_iter().map(|value| vec![value]).collect();
    // Norms are near one, where a half has steps of 2⁻¹⁰.
    let tolerance = if activation == DType::F16 { 1e-3 } else { 1e-6 };
    agree(name, slots, &products(&rows), tolerance);
}

/// Every tensor of every fixture, in the order of the Hugging Face checkpoint.
#[test]
fn every_tensor_equals_what_was_written() {
    for name in ["llama-q8_0", "llama-mixed", "qwen2-f16", "qwen3-mixed"] {
        let weights = load(name);
        agree_stack(name, &[Slot::Embedding], &Stack(vec![weights.embedding]));
        agree_vector(name, &[Slot::Norm], &weights.norm);
        if let Some(head) = weights.head {
            agree_stack(name, &[Slot::Head], &Stack(vec![head]));
        }
        for (number, layer) in (0..).zip(&weights.layers) {
            let slot = |part| Slot::Layer(number, part);
            let one = |matrix: &Matrix| Stack(vec![matrix.clone()]);
            agree_stack(
                name,
                &[Part::Query, Part::Key, Part::Value].map(slot),
                &layer.qkv,
            );
            agree_stack(name, &[Part::Gate, Part::Up].map(slot), &layer.gate_up);
            agree_stack(name, &[slot(Part::Output)], &one(&layer.output));
            agree_stack(name, &[slot(Part::Down)], &one(&layer.down));
            agree_vector(name, &[slot(Part::AttentionNorm)], &layer.attention_norm);
            agree_vector(name, &[slot(Part::FfnNorm)], &layer.ffn_norm);
            if let Some(bias) = &layer.qkv_bias {
                let slots = [Part::QueryBias, Part::KeyBias, Part::ValueBias].map(slot);
                agree_vector(name, &slots, bias);
            }
            if let (Some(q_norm), Some(k_norm)) = (&layer.q_norm, &layer.k_norm) {
                agree_vector(name, &[slot(Part::QueryNorm)], q_norm);
                agree_vector(name, &[slot(Part::KeyNorm)], k_norm);
            }
        }
    }
}

#[test]
fn without_restoring_the_rows_the_fixture_would_show_it() {
    let file = GgufFile::open(&fixture("llama-q8_0.gguf")).unwrap();
    let slot = Slot::Layer(0, Part::Query);
    let raw = &file.bytes[file.header.tensors[&slot.gguf_name()].range.clone()];
    let block = quantize::block_type(Precision::Q8_0).unwrap();
    let packed = quantize::from_bytes(raw, block, (64, 64), &Device::Cpu).unwrap();
    let ours = products(&rows_of(&Matrix::Quant(Arc::new(packed))));
    let apart = ours
        .iter()
        .zip(expected("llama-q8_0", &[slot]))
        .filter(|(a, b)| (*a - b).abs() > 1e-3)
        .count();
    // Only the first and the last row of each of the four heads stay in place.
    assert_eq!(apart, 64 - 8);
}

#[test]
fn mixed_types_stay_apart_and_alike_ones_become_one_matrix() {
    let layer = &load("llama-mixed").layers[0];
    let types = |stack: &Stack| -> Vec<String> {
        stack
            .0
            .iter()
            .map(|matrix| match matrix {
                Matrix::Dense(tensor) => format!("{:?} {:?}", tensor.dtype(), tensor.dims()),
                Matrix::Quant(packed) => {
                    format!("{:?} {:?}", packed.dtype(), packed.shape().dims())
                }
            })
            .collect()
    };
    assert_eq!(types(&layer.qkv), ["Q4K [384, 256]", "Q6K [128, 256]"]);
    assert_eq!(types(&layer.gate_up), ["Q5K [256, 256]", "Q3K [256, 256]"]);
    let layer = &load("qwen3-mixed").layers[0];
    assert_eq!(types(&layer.qkv), ["F32 [256, 64]"]);
    let weights = load("qwen2-f16");
    assert_eq!(weights.activation, DType::F16);
    assert_eq!(types(&weights.layers[1].gate_up), ["F16 [192, 64]"]);
}

#[test]
fn the_metadata_give_the_shape() {
    let file = GgufFile::open(&fixture("llama-mixed.gguf")).unwrap();
    assert_eq!(file.architecture.family, Family::Llama);
    let shape = file.architecture.shape;
    assert_eq!((shape.layers, shape.hidden, shape.ffn), (1, 256, 256));
    assert_eq!((shape.heads, shape.kv_heads, shape.head_dim), (4, 2, 64));
    assert_eq!((shape.vocab, shape.context), (32, 256));
    assert!((shape.norm_eps - 1e-5).abs() < f64::EPSILON * 1e-5);
    assert!(!shape.tied_embeddings);
    let Some(RopeScaling::PerFrequency { divisors }) = shape.rope_scaling else {
        panic!("rope_freqs.weight gives a divisor per frequency")
    };
    assert_eq!(divisors.len(), 32);
    assert!((divisors[0] - 1.0).abs() < 1e-6 && (divisors[31] - 8.0).abs() < 1e-6);
    let qwen2 = GgufFile::open(&fixture("qwen2-f16.gguf")).unwrap();
    assert!(qwen2.architecture.shape.tied_embeddings && qwen2.architecture.shape.qkv_bias);
    assert_eq!(qwen2.native, Precision::F16);
    let qwen3 = GgufFile::open(&fixture("qwen3-mixed.gguf")).unwrap();
    assert!(qwen3.architecture.shape.qk_norm);
    assert_eq!(qwen3.architecture.shape.head_dim, 32);
}

/// The header of a fixture, to be spoilt.
fn header_of(name: &str) -> Header {
    header::read(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

#[track_caller]
fn metadata_refused(change: impl FnOnce(&mut Header), place: &str, reason: &str) {
    let mut header = header_of("llama-q8_0.gguf");
    change(&mut header);
    let outcome = metadata::architecture(&header, None)
        .and_then(|architecture| compare_with_shape(&header, &architecture));
    let refusal = outcome.unwrap_err();
    assert!(refusal.place.contains(place), "{refusal:?}");
    assert!(refusal.reason.contains(reason), "{refusal:?}");
}

#[test]
fn metadata_that_cannot_be_run_are_refused() {
    let text = |text: &str| Value::Text(Some(text.to_owned()));
    let cases = [
        (
            "general.architecture",
            text("mamba"),
            "supported are llama, qwen2, qwen3",
        ),
        ("general.architecture", Value::Integer(1), "not a text"),
        ("llama.expert_count", Value::Integer(8), "8 experts"),
        (
            "llama.attention.causal",
            Value::Bool(false),
            "without a mask",
        ),
        (
            "llama.attention.scale",
            Value::Float(0.3),
            "0.3 is not supported",
        ),
        (
            "llama.rope.scaling.type",
            text("yarn"),
            "\"yarn\" is not supported",
        ),
        (
            "llama.rope.scaling.type",
            text("linear"),
            "missing or not a number",
        ),
        (
            "llama.rope.dimension_count",
            Value::Integer(8),
            "differs from the head size 16",
        ),
        (
            "llama.attention.value_length",
            Value::Integer(8),
            "differs from the head size 16",
        ),
        (
            "llama.attention.head_count",
            Value::Integer(1 << 40),
            "not an integer within 32 bits",
        ),
        ("llama.attention.head_count", text("4"), "not an integer"),
        (
            "llama.block_count",
            Value::Integer(-1),
            "not an integer within 32 bits",
        ),
        (
            "tokenizer.ggml.tokens",
            Value::Array {
                count: 49,
                numbers: None,
            },
            "has 48 rows",
        ),
        (
            "llama.feed_forward_length",
            Value::Array {
                count: 2,
                numbers: Some(vec![96.0, 128.0]),
            },
            "differs by layer",
        ),
    ];
    for (key, value, reason) in cases {
        metadata_refused(
            |header| _ = header.metadata.insert(key.to_owned(), value),
            "key ",
            reason,
        );
    }
    metadata_refused(
        |header| _ = header.metadata.remove("llama.block_count"),
        "llama.block_count",
        "missing",
    );
}

#[test]
fn impossible_or_contradicting_numbers_are_refused() {
    let cases = [
        ("llama.block_count", 0, "metadata", "layers 0"),
        ("llama.block_count", 3, "tensor blk.2.", "missing"),
        (
            "llama.block_count",
            1,
            "tensor blk.1.",
            "its effect would be lost",
        ),
        (
            "llama.feed_forward_length",
            95,
            "tensor blk.0.ffn_gate.weight",
            "shape [96, 64]",
        ),
        (
            "llama.attention.head_count_kv",
            3,
            "metadata",
            "do not divide among 3",
        ),
        (
            "llama.attention.head_count_kv",
            4,
            "tensor blk.0.attn_k.weight",
            "shape [32, 64]",
        ),
        ("llama.embedding_length", 63, "embedding_length", "differs"),
    ];
    for (key, value, place, reason) in cases {
        metadata_refused(
            |header| {
                header
                    .metadata
                    .insert(key.to_owned(), Value::Integer(value));
            },
            place,
            reason,
        );
    }
}

#[test]
fn rope_and_window_come_from_their_keys() {
    let mut header = header_of("llama-q8_0.gguf");
    let mut insert = |key: &str, value| header.metadata.insert(format!("llama.{key}"), value);
    insert("rope.scaling.type", Value::Text(Some("linear".to_owned())));
    insert("rope.scaling.factor", Value::Float(4.0));
    insert("attention.sliding_window", Value::Integer(128));
    insert(
        "attention.head_count",
        Value::Array {
            count: 2,
            numbers: Some(vec![4.0, 4.0]),
        },
    );
    let shape = metadata::architecture(&header, None).unwrap().shape;
    assert_eq!(
        shape.rope_scaling,
        Some(RopeScaling::Linear { factor: 4.0 })
    );
    assert_eq!(shape.sliding_window, Some(128));
    assert_eq!(shape.heads, 4);
}

#[test]
fn a_damaged_file_is_refused_with_its_name_and_place() {
    let whole = std::fs::read(fixture("llama-q8_0.gguf")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let cases: [(&[u8], &str); 3] = [
        (&[], "model.gguf"),
        (&whole[..whole.len() - 40], "model.gguf: tensor "),
        (&whole[1..], "model.gguf: offset 0"),
    ];
    for (bytes, place) in cases {
        std::fs::write(&path, bytes).unwrap();
        let Err(EngineError::Model { place: at, .. }) = GgufFile::open(&path) else {
            panic!("the file is damaged")
        };
        assert!(at.contains(place), "{at}");
    }
}
