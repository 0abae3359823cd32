//! config.json, the index and what they say of the shards.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::limits::{accepted, refused, source};
use crate::sound;

#[track_caller]
fn config(change: Value, words: &[&str]) {
    let folder = TempDir::new().unwrap();
    sound::folder(folder.path());
    let mut config = sound::config();
    let Value::Object(change) = change else {
        panic!("a change is an object")
    };
    config.as_object_mut().unwrap().extend(change);
    raw_config(folder.path(), config.to_string().as_bytes(), words);
}

#[track_caller]
fn raw_config(folder: &Path, bytes: &[u8], words: &[&str]) {
    std::fs::write(folder.join("config.json"), bytes).unwrap();
    let words: Vec<&str> = ["config.json"].iter().chain(words).copied().collect();
    refused(&source("dir", folder), &words);
}

#[test]
fn an_unknown_architecture_names_the_supported_ones() {
    let supported = "supported are LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM";
    config(
        json!({"architectures": ["MambaForCausalLM"]}),
        &["MambaForCausalLM", supported],
    );
    config(json!({"architectures": []}), &[supported]);
    config(json!({"architectures": null}), &[supported]);
    let many = vec!["X".repeat(100); 5_000];
    config(json!({"architectures": many}), &[supported]);
}

#[test]
fn impossible_shapes() {
    config(json!({"num_hidden_layers": 0}), &["layers 0"]);
    config(
        json!({"num_hidden_layers": 4_000_000_000u32}),
        &["layers 4000000000"],
    );
    config(
        json!({"num_attention_heads": 0, "head_dim": 16}),
        &["heads 0"],
    );
    config(
        json!({"num_attention_heads": 3}),
        &["does not divide among 3 heads"],
    );
    config(
        json!({"num_key_value_heads": 3, "head_dim": 16}),
        &["do not divide among 3"],
    );
    config(
        json!({"hidden_size": u32::MAX, "head_dim": 16}),
        &["hidden size 4294967295"],
    );
    config(json!({"hidden_size": -1}), &["invalid value"]);
    config(json!({"hidden_size": 1e300}), &["invalid type"]);
    config(json!({"vocab_size": 0}), &["vocabulary 0"]);
    config(json!({"head_dim": 15}), &["odd"]);
    config(json!({"rms_norm_eps": 0}), &["norm epsilon 0"]);
    config(json!({"rope_theta": -1}), &["RoPE base -1"]);
}

#[test]
fn arithmetic_that_is_not_known() {
    config(
        json!({"rope_scaling": {"type": "yarn", "factor": 4.0}}),
        &["\"yarn\" is not supported", "llama3 are"],
    );
    config(json!({"rope_scaling": {"factor": 4.0}}), &["(unnamed)"]);
    config(
        json!({"rope_scaling": {"type": "linear", "factor": -1.0}}),
        &["RoPE factor -1"],
    );
    config(
        json!({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}),
        &["dynamic"],
    );
    config(json!({"hidden_act": "gelu"}), &["gelu"]);
    config(
        json!({
            "rope_scaling": {"type": "linear", "factor": 2.0},
            "rope_parameters": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 64},
        }),
        &["rope_scaling and rope_parameters say different things"],
    );
    for kind in ["yarn", "longrope", "su", "dynamic", "mrope"] {
        let scaling = json!({"rope_type": kind, "factor": 4.0});
        config(
            json!({"rope_scaling": scaling}),
            &[kind, "is not supported"],
        );
    }
    let long = "x".repeat(500_000);
    config(
        json!({"hidden_act": long}),
        &["hidden_act", " … ", "silu is"],
    );
}

#[test]
fn quantized_checkpoints_are_refused_by_the_name_of_their_method() {
    for method in [
        "gptq",
        "awq",
        "fp8",
        "bitsandbytes",
        "compressed-tensors",
        "mxfp4",
    ] {
        for key in ["quantization_config", "compression_config"] {
            config(
                json!({key: {"quant_method": method, "bits": 4}}),
                &[method, "use the unquantized checkpoint or a GGUF file"],
            );
        }
    }
    config(json!({"quantization_config": {}}), &["(unnamed)"]);
}

#[test]
fn a_pointer_of_git_lfs_is_told_from_the_file() {
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 9\n",
        "a".repeat(64)
    );
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let folder = TempDir::new().unwrap();
        sound::folder(folder.path());
        std::fs::write(folder.path().join(name), &pointer).unwrap();
        refused(
            &source("dir", folder.path()),
            &[name, "a Git LFS pointer", "git lfs pull"],
        );
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("model.gguf");
    std::fs::write(&file, &pointer).unwrap();
    refused(&source("gguf", &file), &["model.gguf", "a Git LFS pointer"]);
}

#[test]
fn text_that_is_no_configuration() {
    let folder = TempDir::new().unwrap();
    sound::folder(folder.path());
    raw_config(folder.path(), b"", &["EOF"]);
    raw_config(folder.path(), b"\xff\xfe{", &["line 1"]);
    raw_config(folder.path(), b"\xef\xbb\xbf{}", &["byte order mark"]);
    let twice = sound::config()
        .to_string()
        .replace('{', "{\"vocab_size\": 9, ");
    raw_config(
        folder.path(),
        twice.as_bytes(),
        &["duplicate field `vocab_size`"],
    );
    for number in ["NaN", "Infinity", "1e999"] {
        let odd = sound::config().to_string().replace("10000.0", number);
        raw_config(folder.path(), odd.as_bytes(), &["line 1"]);
    }
    raw_config(folder.path(), b"[]", &["invalid"]);
    raw_config(folder.path(), "[".repeat(500_000).as_bytes(), &["line 1"]);
    let nested = format!("{{\"x\": {}", "[".repeat(500_000));
    raw_config(folder.path(), nested.as_bytes(), &["line 1"]);
    raw_config(folder.path(), &vec![b' '; 2 << 20], &["larger than"]);
    std::fs::remove_file(folder.path().join("config.json")).unwrap();
    refused(
        &source("dir", folder.path()),
        &["config.json", "No such file"],
    );
}

#[test]
fn a_pipe_in_place_of_a_file_is_refused_instead_of_waited_for() {
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let folder = TempDir::new().unwrap();
        sound::folder(folder.path());
        std::fs::remove_file(folder.path().join(name)).unwrap();
        std::process::Command::new("mkfifo")
            .arg(folder.path().join(name))
            .status()
            .unwrap();
        refused(&source("dir", folder.path()), &[name, "not a file"]);
    }
}

/// Two shards, split after the embedding, with their index.
fn sharded(folder: &Path) -> Value {
    sound::folder(folder);
    std::fs::remove_file(folder.join("model.safetensors")).unwrap();
    let tensors = sound::tensors();
    let (first, second) = tensors.split_at(1);
    let mut map = serde_json::Map::new();
    for (name, part) in [("one.safetensors", first), ("two.safetensors", second)] {
        std::fs::write(folder.join(name), sound::shard(part)).unwrap();
        map.extend(part.iter().map(|(tensor, _)| (tensor.clone(), json!(name))));
    }
    json!({"metadata": {}, "weight_map": map})
}

const INDEX: &str = "model.safetensors.index.json";

#[track_caller]
fn index(change: impl FnOnce(&Path, &mut serde_json::Map<String, Value>), words: &[&str]) {
    let folder = TempDir::new().unwrap();
    let mut index = sharded(folder.path());
    change(folder.path(), index["weight_map"].as_object_mut().unwrap());
    std::fs::write(folder.path().join(INDEX), index.to_string()).unwrap();
    refused(&source("dir", folder.path()), words);
}

#[test]
fn a_sound_folder_of_shards_is_planned() {
    let folder = TempDir::new().unwrap();
    let index = sharded(folder.path());
    std::fs::write(folder.path().join(INDEX), index.to_string()).unwrap();
    let plan = accepted(&[
        "plan",
        "--model",
        &source("dir", folder.path()),
        "--isl",
        "8",
        "--osl",
        "8",
    ]);
    assert!(plan.contains("runs"), "{plan}");
}

#[test]
fn index_against_shards() {
    let norm = "model.norm.weight";
    index(
        |folder, _| std::fs::remove_file(folder.join("two.safetensors")).unwrap(),
        &[INDEX, "missing shards: two.safetensors"],
    );
    index(
        |_, map| _ = map.insert("extra".to_owned(), json!("one.safetensors")),
        &[INDEX, "tensor extra is not in one.safetensors"],
    );
    index(
        |_, map| _ = map.insert(norm.to_owned(), json!("one.safetensors")),
        &[INDEX, "model.norm.weight is not in one.safetensors"],
    );
    index(
        |_, map| _ = map.remove(norm),
        &[INDEX, "model.norm.weight of the shards is not listed"],
    );
    for outside in ["../two.safetensors", "/etc/passwd", "..", "", "a/b"] {
        index(
            |_, map| _ = map.insert(norm.to_owned(), json!(outside)),
            &[INDEX, "not the name of a file"],
        );
    }
    index(|_, map| map.clear(), &[INDEX, "missing shards: all"]);
    index(
        |_, map| _ = map.insert(norm.to_owned(), json!(7)),
        &[INDEX, "invalid type"],
    );
}

#[test]
fn a_tensor_in_two_shards() {
    let duplicate = |folder: &Path, _: &mut serde_json::Map<String, Value>| {
        std::fs::write(
            folder.join("two.safetensors"),
            sound::shard(&sound::tensors()),
        )
        .unwrap();
    };
    index(
        duplicate,
        &["two.safetensors", "model.embed_tokens.weight", "stands in"],
    );
}

/// Names and shapes of a shard's tensors.
type Outline = Vec<(String, Vec<usize>)>;

#[test]
fn tensors_against_the_configuration() {
    let shard = |change: &dyn Fn(&mut Outline), words: &[&str]| {
        let folder = TempDir::new().unwrap();
        sound::folder(folder.path());
        let mut tensors = sound::tensors();
        change(&mut tensors);
        std::fs::write(
            folder.path().join("model.safetensors"),
            sound::shard(&tensors),
        )
        .unwrap();
        refused(&source("dir", folder.path()), words);
    };
    shard(
        &|all| _ = all.pop(),
        &["model.safetensors", "model.norm.weight is missing"],
    );
    shard(
        &|all| all[2].1 = vec![64, 16],
        &["q_proj.weight", "shape [64, 16]", "calls for [32, 32]"],
    );
    shard(
        &|all| all.push(("model.layers.1.extra".to_owned(), vec![1])),
        &["extra", "its effect would be lost"],
    );
}

/// The most shards and tensors that the limit of the index allows.
#[test]
fn the_largest_index() {
    let folder = TempDir::new().unwrap();
    let mut index = sharded(folder.path());
    let map = index["weight_map"].as_object_mut().unwrap();
    map.clear();
    map.extend((0..58_000).map(|n| (format!("{n:x}"), json!(format!("{n:x}")))));
    let text = index.to_string();
    assert!((1 << 19..1 << 20).contains(&text.len()), "{}", text.len());
    std::fs::write(folder.path().join(INDEX), text).unwrap();
    refused(
        &source("dir", folder.path()),
        &[INDEX, "missing shards: ", "and 57992 more"],
    );
}
