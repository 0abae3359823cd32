//! A model small enough to be made for each test: Llama-shaped, in three shards.

use std::collections::BTreeMap;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

const HIDDEN: usize = 64;
const FFN: usize = 128;
const VOCABULARY: usize = 96;
const LAYERS: usize = 3;

const CONFIG: &str = r#"{
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
  "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 2,
  "num_key_value_heads": 1, "head_dim": 32, "vocab_size": 96, "max_position_embeddings": 256,
  "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true, "torch_dtype": "float32"
}"#;

/// Name and dimensions of every tensor of a layer.
fn layer(number: usize) -> Vec<(String, Vec<usize>)> {
    [
        ("input_layernorm", vec![HIDDEN]),
        ("self_attn.q_proj", vec![64, HIDDEN]),
        ("self_attn.k_proj", vec![32, HIDDEN]),
        ("self_attn.v_proj", vec![32, HIDDEN]),
        ("self_attn.o_proj", vec![HIDDEN, 64]),
        ("post_attention_layernorm", vec![HIDDEN]),
        ("mlp.gate_proj", vec![FFN, HIDDEN]),
        ("mlp.up_proj", vec![FFN, HIDDEN]),
        ("mlp.down_proj", vec![HIDDEN, FFN]),
    ]
    .into_iter()
    .map(|(name, dims)| (format!("model.layers.{number}.{name}.weight"), dims))
    .collect()
}

/// The files of a repository: config, index, three shards of one layer each, and what nobody needs.
pub(crate) fn in_three_shards() -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut weight_map = BTreeMap::new();
    for number in 0..LAYERS {
        let shard = format!("model-{:05}-of-{LAYERS:05}.safetensors", number + 1);
        let mut tensors = layer(number);
        if number == 0 {
            tensors.push((
                "model.embed_tokens.weight".to_owned(),
                vec![VOCABULARY, HIDDEN],
            ));
        }
        if number + 1 == LAYERS {
            tensors.push(("model.norm.weight".to_owned(), vec![HIDDEN]));
        }
        for (name, _) in &tensors {
            weight_map.insert(name.clone(), shard.clone());
        }
        files.insert(shard, safetensors(&tensors));
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": weight_map }).to_string();
    files.insert(
        "model.safetensors.index.json".to_owned(),
        index.into_bytes(),
    );
    files.insert("config.json".to_owned(), CONFIG.into());
    files.insert("generation_config.json".to_owned(), b"{}".to_vec());
    files.insert("README.md".to_owned(), b"words".to_vec());
    files.insert("pytorch_model.bin".to_owned(), b"a pickle".to_vec());
    files
}

fn safetensors(tensors: &[(String, Vec<usize>)]) -> Vec<u8> {
    let data: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, dims)| {
            let count = dims.iter().product::<usize>();
            let value = |n: usize| ((n * 7919 % 997) as f32 / 997.0 - 0.5) / 8.0;
            (0..count).flat_map(|n| value(n).to_le_bytes()).collect()
        })
        .collect();
    let views = tensors.iter().zip(&data).map(|((name, dims), data)| {
        let view = TensorView::new(Dtype::F32, dims.clone(), data).unwrap();
        (name.clone(), view)
    });
    safetensors::serialize(views, None).unwrap()
}
