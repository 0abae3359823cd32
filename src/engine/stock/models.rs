//! The families of candle-transformers behind one call.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{
    gemma, gemma2, gemma3, llama, mistral, phi3, quantized_llama, qwen2, qwen3,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A loaded model.
pub(super) enum Model {
    /// Llama keeps its cache outside; the second one is empty, with its tables filled.
    Llama(Box<llama::Llama>, Box<llama::Cache>, Box<llama::Cache>),
    /// Mistral.
    Mistral(Box<mistral::Model>),
    /// Qwen 2 and 2.5.
    Qwen2(Box<qwen2::ModelForCausalLM>),
    /// Qwen 3.
    Qwen3(Box<qwen3::ModelForCausalLM>),
    /// Gemma.
    Gemma(Box<gemma::Model>),
    /// Gemma 2.
    Gemma2(Box<gemma2::Model>),
    /// Gemma 3.
    Gemma3(Box<gemma3::Model>),
    /// Phi-3 and Phi-4.
    Phi3(Box<phi3::Model>),
    /// Llama-shaped GGUF files.
    QuantizedLlama(Box<quantized_llama::ModelWeights>),
}

/// `model_type` of every family that [`Model::dense`] knows.
pub(super) const MODEL_TYPES: [&str; 8] = [
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma",
    "gemma2",
    "gemma3_text",
    "phi3",
];

impl Model {
    /// The dense model that `config.json` describes; `None` for a family that is not here.
    pub(super) fn dense(
        config: &Value,
        vb: VarBuilder<'_>,
        (dtype, device): (DType, &Device),
    ) -> Option<Result<Self>> {
        let model_type = config.get("model_type").and_then(Value::as_str)?;
        Some(match model_type {
            "llama" => llama_model(config, vb, (dtype, device)),
            "mistral" => read(config)
                .and_then(|config| mistral::Model::new(&config, vb))
                .map(|model| Self::Mistral(Box::new(model))),
            "qwen2" => read(config)
                .and_then(|config| qwen2::ModelForCausalLM::new(&config, vb))
                .map(|model| Self::Qwen2(Box::new(model))),
            "qwen3" => read(config)
                .and_then(|config| qwen3::ModelForCausalLM::new(&config, vb))
                .map(|model| Self::Qwen3(Box::new(model))),
            "gemma" => read(&one_activation(config))
                .and_then(|config| gemma::Model::new(false, &config, vb))
                .map(|model| Self::Gemma(Box::new(model))),
            "gemma2" => read(config)
                .and_then(|config| gemma2::Model::new(false, &config, vb))
                .map(|model| Self::Gemma2(Box::new(model))),
            "gemma3_text" => read(config)
                .and_then(|config| gemma3::Model::new(false, &config, vb))
                .map(|model| Self::Gemma3(Box::new(model))),
            "phi3" => read(config)
                .and_then(|config| phi3::Model::new(&config, vb))
                .map(|model| Self::Phi3(Box::new(model))),
            _ => return None,
        })
    }

    /// Logits of the last position: ids `[batch, length]`, of which the first is at `past`.
    pub(super) fn forward(&mut self, ids: &Tensor, past: usize) -> Result<Tensor> {
        match self {
            Self::Llama(model, cache, _) => model.forward(ids, past, cache),
            Self::Mistral(model) => model.forward(ids, past),
            Self::Qwen2(model) => model.forward(ids, past),
            Self::Qwen3(model) => model.forward(ids, past),
            Self::Gemma(model) => model.forward(ids, past),
            Self::Gemma2(model) => model.forward(ids, past),
            Self::Gemma3(model) => model.forward(ids, past),
            Self::Phi3(model) => model.forward(ids, past),
            Self::QuantizedLlama(model) => model.forward(ids, past),
        }
    }

    /// Empties the KV cache.
    pub(super) fn forget(&mut self) {
        match self {
            Self::Llama(_, cache, empty) => cache.clone_from(empty),
            Self::Mistral(model) => model.clear_kv_cache(),
            Self::Qwen2(model) => model.clear_kv_cache(),
            Self::Qwen3(model) => model.clear_kv_cache(),
            Self::Gemma(model) => model.clear_kv_cache(),
            Self::Gemma2(model) => model.clear_kv_cache(),
            Self::Gemma3(model) => model.clear_kv_cache(),
            Self::Phi3(model) => model.clear_kv_cache(),
            Self::QuantizedLlama(model) => model.clear_kv_cache(),
        }
    }
}

/// A Gemma's `config.json` with one activation: published files name two, of which the older key is
/// wrong and candle accepts only one.
fn one_activation(config: &Value) -> Value {
    let mut config = config.clone();
    let named = |key: &str| config.get(key).is_some_and(|value| !value.is_null());
    if named("hidden_activation")
        && let Some(keys) = config.as_object_mut()
    {
        keys.remove("hidden_act");
    }
    config
}

fn llama_model(
    config: &Value,
    vb: VarBuilder<'_>,
    (dtype, device): (DType, &Device),
) -> Result<Model> {
    let config: llama::LlamaConfig = read(config)?;
    let config = config.into_config(false);
    let cache = llama::Cache::new(true, dtype, &config, device)?;
    let model = llama::Llama::load(vb, &config)?;
    Ok(Model::Llama(
        Box::new(model),
        Box::new(cache.clone()),
        Box::new(cache),
    ))
}

fn read<C: DeserializeOwned>(config: &Value) -> Result<C> {
    serde_json::from_value(config.clone()).map_err(candle_core::Error::wrap)
}
