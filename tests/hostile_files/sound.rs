//! A sound model folder, to be spoilt.

use std::path::Path;

use serde_json::{Value, json};

/// Llama-shaped: hidden 32, one layer, ffn 32, two heads and one key-value head of 16, 48 rows.
pub(crate) fn config() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "hidden_size": 32, "intermediate_size": 32,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
        "vocab_size": 48, "max_position_embeddings": 256, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "tie_word_embeddings": true
    })
}

/// Name and shape of every tensor.
pub(crate) fn tensors() -> Vec<(String, Vec<usize>)> {
    let layer = |part: &str| format!("model.layers.0.{part}.weight");
    vec![
        ("model.embed_tokens.weight".to_owned(), vec![48, 32]),
        (layer("input_layernorm"), vec![32]),
        (layer("self_attn.q_proj"), vec![32, 32]),
        (layer("self_attn.k_proj"), vec![16, 32]),
        (layer("self_attn.v_proj"), vec![16, 32]),
        (layer("self_attn.o_proj"), vec![32, 32]),
        (layer("post_attention_layernorm"), vec![32]),
        (layer("mlp.gate_proj"), vec![32, 32]),
        (layer("mlp.up_proj"), vec![32, 32]),
        (layer("mlp.down_proj"), vec![32, 32]),
        ("model.norm.weight".to_owned(), vec![32]),
    ]
}

/// A safetensors file of F32 values around zero.
pub(crate) fn shard(tensors: &[(String, Vec<usize>)]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, shape) in tensors {
        let start = end;
        end += 4 * shape.iter().product::<usize>();
        let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]});
        header.insert(name.clone(), entry);
    }
    let mut bytes = with_header(&Value::Object(header).to_string(), 0);
    let value = |n: usize| (n * 37 % 251) as f32 / 128.0 - 0.99;
    bytes.extend((0..end / 4).flat_map(|n| value(n).to_le_bytes()));
    bytes
}

/// A safetensors file with this header and so many bytes of data.
pub(crate) fn with_header(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

/// Words `w0` to `w46` and the beginning of every text.
pub(crate) fn tokenizer() -> Value {
    let mut words = serde_json::Map::new();
    words.insert("<s>".to_owned(), json!(0));
    words.extend((0..47).map(|n| (format!("w{n}"), json!(n + 1))));
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "decoder": null,
        "added_tokens": [{"id": 0, "content": "<s>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true}],
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}},
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "w0"}
    })
}

/// Writes the whole folder.
pub(crate) fn folder(path: &Path) {
    std::fs::write(path.join("config.json"), config().to_string()).unwrap();
    std::fs::write(path.join("tokenizer.json"), tokenizer().to_string()).unwrap();
    std::fs::write(path.join("model.safetensors"), shard(&tensors())).unwrap();
}
