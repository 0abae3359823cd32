//! What stock candle can do, and what it cannot.

use std::collections::HashMap;
use std::path::Path;

use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use serde_json::json;

use super::*;
use crate::clock::Monotonic;
use crate::engine::decoder::Decoder;
use crate::engine::decoder::random::{Named, dense, prompt, shape};
use crate::engine::weights;
use crate::study::model::{Family, Precision, Shape};

/// Writes a model folder of the family; `rename` adapts names and tensors to those it wants.
fn write_folder(folder: &Path, config: &serde_json::Value, tensors: &HashMap<String, Tensor>) {
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    candle_core::safetensors::save(tensors, folder.join("model.safetensors")).unwrap();
}

fn config(model_type: &str, shape: &Shape) -> serde_json::Value {
    json!({
        "model_type": model_type, "torch_dtype": "bfloat16",
        "hidden_size": shape.hidden, "intermediate_size": shape.ffn, "vocab_size": shape.vocab,
        "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads, "head_dim": shape.head_dim,
        "rms_norm_eps": shape.norm_eps, "rope_theta": shape.rope_theta,
        "max_position_embeddings": shape.context, "tie_word_embeddings": shape.tied_embeddings,
        "attention_bias": false, "hidden_act": "silu", "use_sliding_window": false,
        "max_window_layers": 0, "sliding_window": shape.context,
    })
}

fn with(mut config: serde_json::Value, mut more: serde_json::Value) -> serde_json::Value {
    config
        .as_object_mut()
        .unwrap()
        .append(more.as_object_mut().unwrap());
    config
}

fn loaded(source: &ModelSource, precision: Precision) -> Result<Box<dyn Engine>, EngineError> {
    let wanted = Wanted::new(source, precision, 1);
    load(wanted, &Device::Cpu, &Progress::default())
}

/// Generates with the folder's model and checks its cache against its own uncached pass.
#[track_caller]
fn runs(folder: &Path, shape: &Shape) -> Box<dyn Engine> {
    let source = ModelSource::Dir(folder.to_owned());
    let mut engine = loaded(&source, Precision::Native).unwrap();
    engine
        .reserve(Capacity {
            batch: 2,
            context: 16,
        })
        .unwrap();
    let prompts = Prompts::new(prompt(2 * 6, shape.vocab, 1), 2).unwrap();
    let progress = Progress::default();
    let trace = engine.generate(&prompts, 4, &Monotonic, &progress).unwrap();
    assert_eq!(
        (trace.ids.len(), trace.arrivals.len(), progress.steps()),
        (8, 4, 4)
    );
    let again = engine.generate(&prompts, 4, &Monotonic, &progress).unwrap();
    assert_eq!(trace.ids, again.ids);
    let accuracy = engine.check(&prompts, &progress).unwrap();
    assert!(accuracy.passed(), "{accuracy:?}");
    engine
}

#[test]
fn folders_of_the_decoders_families_run() {
    for (family, model_type) in [
        (Family::Llama, "llama"),
        (Family::Mistral, "mistral"),
        (Family::Qwen2, "qwen2"),
        (Family::Qwen3, "qwen3"),
    ] {
        let model = Named::new(family, shape(family), 31);
        let folder = tempfile::tempdir().unwrap();
        write_folder(
            folder.path(),
            &config(model_type, &model.shape),
            &model.tensors,
        );
        let facts = runs(folder.path(), &model.shape).describe();
        assert_eq!(
            facts.weight_bytes,
            4 * model.shape.parameters(),
            "{model_type}"
        );
        let linears: u64 = model
            .shape
            .linears()
            .iter()
            .map(|size| size.rows * size.columns * size.count)
            .sum();
        assert_eq!(facts.flop_per_token, 2 * linears);
        assert_eq!(
            (facts.weight_type.as_str(), facts.activation_dtype.as_str()),
            ("f32", "f32")
        );
        assert_eq!(
            facts.kv_bytes_per_token,
            4 * model.shape.kv_elements_per_token()
        );
    }
}

#[test]
fn folders_of_gemma_and_phi_run() {
    let gemma = |hidden_activation: &str| {
        json!({ "hidden_activation": hidden_activation, "hidden_act": "gelu",
                "query_pre_attn_scalar": 32, "sliding_window": 64, "sliding_window_pattern": 2,
                "rope_local_base_freq": 10_000.0, "final_logit_softcapping": 30.0,
                "attn_logit_softcapping": 50.0 })
    };
    let tied = Shape {
        tied_embeddings: true,
        ..shape(Family::Llama)
    };
    for (model_type, norms) in [
        ("gemma", vec![]),
        (
            "gemma2",
            vec!["pre_feedforward_layernorm", "post_feedforward_layernorm"],
        ),
        (
            "gemma3_text",
            vec![
                "pre_feedforward_layernorm",
                "post_feedforward_layernorm",
                "self_attn.q_norm",
                "self_attn.k_norm",
            ],
        ),
    ] {
        let kv_heads = if model_type == "gemma3_text" { 1 } else { 2 };
        let tied = Shape {
            kv_heads,
            ..tied.clone()
        };
        let mut model = Named::new(Family::Llama, tied.clone(), 32);
        for layer in 0..tied.layers {
            for norm in &norms {
                let width = if norm.contains("self_attn") {
                    tied.head_dim
                } else {
                    tied.hidden
                };
                let ones = Tensor::ones(width as usize, DType::F32, &Device::Cpu).unwrap();
                model
                    .tensors
                    .insert(format!("model.layers.{layer}.{norm}.weight"), ones);
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let config = with(config(model_type, &tied), gemma("gelu_pytorch_tanh"));
        write_folder(folder.path(), &config, &model.tensors);
        runs(folder.path(), &tied);
        if model_type == "gemma3_text" {
            // Candle's Gemma 3 writes its cache from a transposed view, which works for one head only.
            let two = Shape {
                kv_heads: 2,
                ..tied.clone()
            };
            for (name, tensor) in Named::new(Family::Llama, two.clone(), 32).tensors {
                model.tensors.insert(name, tensor);
            }
            write_folder(
                folder.path(),
                &with(config, json!({ "num_key_value_heads": 2 })),
                &model.tensors,
            );
            let source = ModelSource::Dir(folder.path().to_owned());
            let mut engine = loaded(&source, Precision::F32).unwrap();
            engine
                .reserve(Capacity {
                    batch: 1,
                    context: 8,
                })
                .unwrap();
            let prompts = Prompts::new(vec![1, 2, 3], 1).unwrap();
            let error = engine
                .generate(&prompts, 2, &Monotonic, &Progress::default())
                .unwrap_err();
            assert!(matches!(error, EngineError::Unsupported { .. }), "{error}");
        }
    }

    let shape = shape(Family::Llama);
    let mut model = Named::new(Family::Llama, shape.clone(), 33);
    for layer in 0..shape.layers {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        for (joint, parts) in [
            (
                "self_attn.qkv_proj",
                vec!["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
            ),
            ("mlp.gate_up_proj", vec!["mlp.gate_proj", "mlp.up_proj"]),
        ] {
            let parts: Vec<Tensor> = parts
                .iter()
                .map(|part| model.tensors.remove(&name(part)).unwrap())
                .collect();
            model
                .tensors
                .insert(name(joint), Tensor::cat(&parts, 0).unwrap());
        }
    }
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path(), &config("phi3", &shape), &model.tensors);
    runs(folder.path(), &shape);
}

/// A GGUF file in the Llama layout.
fn write_gguf(path: &Path, shape: &Shape, dtype: GgmlDType) {
    let model = Named::new(Family::Llama, shape.clone(), 34);
    let mut tensors: Vec<(String, QTensor)> = model
        .tensors
        .iter()
        .map(|(name, tensor)| {
            let dtype = if tensor.rank() == 2 {
                dtype
            } else {
                GgmlDType::F32
            };
            (gguf_name(name), QTensor::quantize(tensor, dtype).unwrap())
        })
        .collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let number = |key: &str, value: u32| (format!("llama.{key}"), gguf_file::Value::U32(value));
    let metadata = [
        (
            "general.architecture".to_owned(),
            gguf_file::Value::String("llama".to_owned()),
        ),
        number("attention.head_count", shape.heads),
        number("attention.head_count_kv", shape.kv_heads),
        number("block_count", shape.layers),
        number("embedding_length", shape.hidden),
        number("rope.dimension_count", shape.head_dim),
        number("context_length", shape.context),
        (
            "llama.attention.layer_norm_rms_epsilon".to_owned(),
            gguf_file::Value::F32(shape.norm_eps as f32),
        ),
    ];
    let metadata: Vec<(&str, &gguf_file::Value)> = metadata
        .iter()
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    let tensors: Vec<(&str, &QTensor)> = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor))
        .collect();
    let mut file = std::fs::File::create(path).unwrap();
    gguf_file::write(&mut file, &metadata, &tensors).unwrap();
}

fn gguf_name(name: &str) -> String {
    [
        ("model.layers.", "blk."),
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
    ]
    .iter()
    .fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

#[test]
fn a_gguf_file_runs_alone_and_not_as_a_prefill_of_several() {
    let shape = Shape {
        hidden: 256,
        ffn: 512,
        heads: 4,
        kv_heads: 2,
        head_dim: 64,
        ..shape(Family::Llama)
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    write_gguf(&path, &shape, GgmlDType::Q8_0);
    let source = ModelSource::Gguf(path);
    let mut engine = loaded(&source, Precision::Native).unwrap();
    engine
        .reserve(Capacity {
            batch: 2,
            context: 16,
        })
        .unwrap();
    let facts = engine.describe();
    let linears: u64 = shape
        .linears()
        .iter()
        .map(|size| size.rows * size.columns * size.count)
        .sum();
    assert_eq!(
        (facts.weight_type.as_str(), facts.kv_dtype.as_str()),
        ("q8_0", "f32")
    );
    assert_eq!(facts.flop_per_token, 2 * linears);
    let norms = 4 * u64::from(shape.hidden) * (2 * u64::from(shape.layers) + 1);
    assert_eq!(facts.weight_bytes_per_step, linears * 34 / 32 + norms);

    let progress = Progress::default();
    let alone = Prompts::new(prompt(6, shape.vocab, 2), 1).unwrap();
    let trace = engine.generate(&alone, 3, &Monotonic, &progress).unwrap();
    assert_eq!(trace.ids.len(), 3);
    assert!(engine.check(&alone, &progress).unwrap().passed());

    let together = Prompts::new(prompt(2 * 6, shape.vocab, 2), 2).unwrap();
    let error = engine
        .generate(&together, 3, &Monotonic, &progress)
        .unwrap_err();
    assert!(matches!(error, EngineError::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("not contiguous"), "{error}");
    // One token at a time works for several.
    let tokens = Prompts::new(prompt(2, shape.vocab, 2), 2).unwrap();
    assert_eq!(
        engine
            .generate(&tokens, 3, &Monotonic, &progress)
            .unwrap()
            .ids
            .len(),
        6
    );
}

#[test]
fn what_stock_candle_has_no_way_to_do_is_unsupported() {
    let model = Named::new(Family::Llama, shape(Family::Llama), 35);
    let folder = tempfile::tempdir().unwrap();
    write_folder(
        folder.path(),
        &config("llama", &model.shape),
        &model.tensors,
    );
    let source = ModelSource::Dir(folder.path().to_owned());
    let refusal = |source: &ModelSource, precision| {
        loaded(source, precision)
            .err()
            .map(|error| error.to_string())
            .unwrap()
    };
    assert!(refusal(&source, Precision::Q4K).contains("quantizes nothing on the fly"));
    let card = ModelSource::Card("qwen3-0.6b".to_owned());
    assert!(refusal(&card, Precision::Q4K).contains("of the llama architecture here, not Qwen3"));
    write_folder(
        folder.path(),
        &config("falcon", &model.shape),
        &model.tensors,
    );
    assert!(refusal(&source, Precision::F32).contains("is none of llama, mistral"));

    let missing = ModelSource::Dir(folder.path().join("nowhere"));
    assert!(refusal(&missing, Precision::F32).contains("nowhere/config.json"));
    std::fs::write(folder.path().join("broken.gguf"), "GGUF").unwrap();
    let broken = ModelSource::Gguf(folder.path().join("broken.gguf"));
    assert!(refusal(&broken, Precision::Native).contains("broken.gguf"));
    assert!(refusal(&broken, Precision::Q8_0).contains("has its own types"));
}

#[test]
fn a_context_beyond_the_tables_is_refused() {
    let model = Named::new(Family::Llama, shape(Family::Llama), 36);
    let folder = tempfile::tempdir().unwrap();
    write_folder(
        folder.path(),
        &config("llama", &model.shape),
        &model.tensors,
    );
    let source = ModelSource::Dir(folder.path().to_owned());
    let mut engine = loaded(&source, Precision::F32).unwrap();
    let error = engine
        .reserve(Capacity {
            batch: 1,
            context: 513,
        })
        .unwrap_err();
    assert!(error.to_string().contains("has tables for 512"), "{error}");
}

/// Largest error of stock candle's logits against the decoder's, both of the small model: a prefill of
/// a sequence and three decode steps.
fn error_of_tiny(precision: Precision) -> f64 {
    let (seed, progress) = (7, Progress::default());
    let source = ModelSource::Tiny;
    let wanted = Wanted::new(&source, precision, seed);
    let weights = weights::load(wanted, &Device::Cpu, &progress).unwrap();
    let vocab = weights.shape.vocab;
    let mut decoder = Decoder::new(weights, Device::Cpu).unwrap();
    let room = Capacity {
        batch: 1,
        context: 32,
    };
    decoder.reserve(room).unwrap();
    decoder.begin(1, 32).unwrap();
    let (model, facts) = drawn::load(wanted, &Device::Cpu, &progress).unwrap();
    let mut stock = Stock::new(model, facts, &Device::Cpu);
    stock.reserve(room).unwrap();
    stock.begin(1, 32).unwrap();
    let mut largest = 0.0_f64;
    for (length, seed) in [(12, 1), (1, 2), (1, 3), (1, 4)] {
        let ids = Tensor::new(prompt(length, vocab, seed).as_slice(), &Device::Cpu).unwrap();
        let (ours, theirs) = (
            decoder.forward(&ids, &progress).unwrap(),
            stock.forward(&ids, &progress).unwrap(),
        );
        let error = relative_error(&theirs.get(0).unwrap(), &ours.get(0).unwrap());
        largest = largest.max(error.unwrap().unwrap());
    }
    largest
}

#[test]
fn random_weights_are_the_decoders() {
    for (precision, bound) in [
        (Precision::F32, 1e-4),
        (Precision::F16, 0.01),
        (Precision::Q8_0, 0.02),
        (Precision::Q4K, 0.03),
    ] {
        let error = error_of_tiny(precision);
        assert!(error <= bound, "{precision}: {error}");
    }
}

#[test]
fn a_shape_with_all_vectors_keeps_every_tensor_in_its_place() {
    for family in [Family::Qwen2, Family::Qwen3, Family::Mistral] {
        let model = Named::new(family, shape(family), 41);
        let weights = model.weights(dense);
        let pieces = drawn::named(&weights).unwrap();
        assert_eq!(pieces.len(), model.tensors.len(), "{family:?}");
        for (name, tensor) in &model.tensors {
            let error = (&pieces[name] - tensor).unwrap().abs().unwrap();
            let largest: f32 = error.max_all().unwrap().to_scalar().unwrap();
            assert!(largest <= 0.0, "{family:?} {name}: {largest}");
        }
    }
}
