//! `config.json` of a Hugging Face model folder: from what the file says to family and shape.
//!
//! What would change the arithmetic and is not implemented is refused, never ignored.

use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::EngineError;
use super::cards::Architecture;
use super::weights::files;
use crate::study::model::{Family, RopeScaling, Shape};

/// The file.
pub(crate) const FILE: &str = "config.json";
/// Largest `config.json` that is read; published ones stay below 10 KiB.
const LIMIT: u64 = 1 << 20;

/// What some editors put before the text of a file, and no reader of JSON takes.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Architectures by the class that the file names.
const SUPPORTED: [(&str, Family); 8] = [
    ("LlamaForCausalLM", Family::Llama),
    ("MistralForCausalLM", Family::Mistral),
    ("Qwen2ForCausalLM", Family::Qwen2),
    ("Qwen3ForCausalLM", Family::Qwen3),
    ("GemmaForCausalLM", Family::Gemma),
    ("Gemma2ForCausalLM", Family::Gemma2),
    ("Gemma3ForCausalLM", Family::Gemma3),
    ("Phi3ForCausalLM", Family::Phi3),
];

/// Reads the architecture from the `config.json` of a folder.
pub(crate) fn of_folder(folder: &Path) -> Result<Architecture, EngineError> {
    read(&folder.join(FILE))
}

pub(crate) fn read(path: &Path) -> Result<Architecture, EngineError> {
    parse(&files::read(path, LIMIT)?).map_err(|reason| EngineError::model(path.display(), reason))
}

/// Whether our own decoder runs the family, so that its tensors are known by name.
pub(crate) const fn is_ours(family: Family) -> bool {
    match family {
        Family::Llama | Family::Mistral | Family::Qwen2 | Family::Qwen3 => true,
        Family::Gemma | Family::Gemma2 | Family::Gemma3 | Family::Phi3 => false,
    }
}

/// Refuses a family that our own decoder does not run.
pub(crate) fn only_ours(family: Family) -> Result<(), EngineError> {
    if is_ours(family) {
        return Ok(());
    }
    Err(EngineError::Unsupported {
        reason: format!("the decoder cannot run {family:?}; use --engine stock"),
    })
}

/// Why a shape cannot be one, with the value; `None` when it can.
pub(crate) fn impossible(shape: &Shape) -> Option<String> {
    let ranges = [
        ("layers", shape.layers, 1, 1 << 10),
        ("hidden size", shape.hidden, 1, 1 << 20),
        ("feed-forward size", shape.ffn, 1, 1 << 20),
        ("heads", shape.heads, 1, 1 << 12),
        ("key-value heads", shape.kv_heads, 1, 1 << 12),
        ("head size", shape.head_dim, 2, 1 << 10),
        ("vocabulary", shape.vocab, 2, 1 << 24),
        ("context", shape.context, 1, 1 << 28),
        ("window", shape.sliding_window.unwrap_or(1), 1, 1 << 28),
    ];
    for (what, value, least, most) in ranges {
        if !(least..=most).contains(&value) {
            return Some(format!("{what} {value} is not within {least} and {most}"));
        }
    }
    let (heads, kv_heads) = (shape.heads, shape.kv_heads);
    if !heads.is_multiple_of(kv_heads) {
        return Some(format!(
            "{heads} heads do not divide among {kv_heads} key-value heads"
        ));
    }
    if !shape.head_dim.is_multiple_of(2) {
        return Some(format!("head size {} is odd", shape.head_dim));
    }
    let (theta, eps) = (shape.rope_theta, shape.norm_eps);
    if !(theta.is_finite() && theta > 1.0) {
        return Some(format!("RoPE base {theta} is not above 1"));
    }
    if !(eps > 0.0 && eps < 1.0) {
        return Some(format!("norm epsilon {eps} is not within 0 and 1"));
    }
    shape
        .rope_scaling
        .as_ref()
        .and_then(|scaling| impossible_scaling(scaling, shape.head_dim))
}

fn impossible_scaling(scaling: &RopeScaling, head_dim: u32) -> Option<String> {
    let positive = |value: f64| value.is_finite() && value > 0.0;
    match scaling {
        RopeScaling::Linear { factor } => {
            (!positive(*factor)).then(|| format!("RoPE factor {factor} is not positive"))
        }
        RopeScaling::Llama3 {
            factor,
            low_frequency_factor: low,
            high_frequency_factor: high,
            original_context,
        } => {
            let sound = [*factor, *low, *high].into_iter().all(positive)
                && low < high
                && *original_context > 0;
            (!sound).then(|| {
                format!(
                    "llama3 RoPE factors {factor}, {low}, {high} over {original_context} are not \
                     positive and in order"
                )
            })
        }
        RopeScaling::PerFrequency { divisors } => {
            let sound = divisors.len() == head_dim as usize / 2
                && divisors.iter().all(|&divisor| positive(f64::from(divisor)));
            (!sound).then(|| {
                format!(
                    "{} RoPE divisors are not {} positive numbers",
                    divisors.len(),
                    head_dim / 2
                )
            })
        }
    }
}

/// The class alone, read first so that a foreign file is told what it is.
#[derive(Deserialize)]
struct ClassOnly {
    architectures: Option<Vec<String>>,
}

/// The keys of `config.json` that decide the arithmetic.
#[derive(Deserialize)]
struct ConfigFile {
    hidden_size: u32,
    intermediate_size: u32,
    num_hidden_layers: u32,
    num_attention_heads: u32,
    num_key_value_heads: Option<u32>,
    head_dim: Option<u32>,
    vocab_size: u32,
    max_position_embeddings: u32,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_scaling: Option<RopeFile>,
    rope_parameters: Option<RopeFile>,
    tie_word_embeddings: Option<bool>,
    #[serde(default)]
    sliding_window: Window,
    use_sliding_window: Option<bool>,
    layer_types: Option<Vec<String>>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    hidden_act: Option<String>,
    partial_rotary_factor: Option<f64>,
    #[serde(alias = "compression_config")]
    quantization_config: Option<Quantization>,
}

/// How the weights were quantized, for the message alone.
#[derive(Deserialize)]
struct Quantization {
    quant_method: Option<String>,
}

/// RoPE parameters, under either of the names that transformers has used.
#[derive(Deserialize)]
struct RopeFile {
    rope_type: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<u32>,
    #[serde(alias = "sliding_attention")]
    full_attention: Option<IgnoredAny>,
}

/// An attention window, where a missing key differs from null.
#[derive(Default, Deserialize)]
#[serde(from = "Option<u32>")]
enum Window {
    #[default]
    Unsaid,
    Unlimited,
    Width(u32),
}

impl From<Option<u32>> for Window {
    fn from(width: Option<u32>) -> Self {
        width.map_or(Self::Unlimited, Self::Width)
    }
}

/// Reads the architecture from the text of `config.json`.
pub(crate) fn parse(bytes: &[u8]) -> Result<Architecture, String> {
    if bytes.starts_with(BYTE_ORDER_MARK) {
        return Err("begins with a byte order mark; save it as UTF-8 without one".to_owned());
    }
    let class: ClassOnly = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let family = family_of(&class.architectures.unwrap_or_default())?;
    let file: ConfigFile = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    refuse_variants(&file, family)?;
    let shape = shape_of(&file, family)?;
    match impossible(&shape) {
        Some(reason) => Err(reason),
        None => Ok(Architecture { family, shape }),
    }
}

fn family_of(classes: &[String]) -> Result<Family, String> {
    let known = |class: &String| {
        SUPPORTED
            .iter()
            .find(|(name, _)| name == class)
            .map(|(_, family)| *family)
    };
    classes.iter().find_map(known).ok_or_else(|| {
        let supported: Vec<&str> = SUPPORTED.iter().map(|(name, _)| *name).collect();
        // Names from a stranger's file, of which a few characters tell enough.
        let named = classes.iter().take(3);
        let named: Vec<String> = named
            .map(|class| class.chars().take(64).collect())
            .collect();
        format!(
            "architectures {named:?} is not supported; supported are {}",
            supported.join(", ")
        )
    })
}

/// Refuses what the named class allows and the engines do not compute.
fn refuse_variants(file: &ConfigFile, family: Family) -> Result<(), String> {
    if let Some(quantization) = &file.quantization_config {
        let method = quantization.quant_method.as_deref();
        return Err(format!(
            "quantization_config of the method {:?} is not supported; use the unquantized checkpoint or a \
             GGUF file",
            method.unwrap_or("(unnamed)")
        ));
    }
    if !is_ours(family) {
        return Ok(());
    }
    let activation = file.hidden_act.as_deref().unwrap_or("silu");
    if activation != "silu" {
        return Err(format!(
            "hidden_act {activation:?} is not supported; silu is"
        ));
    }
    for (key, value) in [
        ("attention_bias", file.attention_bias),
        ("mlp_bias", file.mlp_bias),
    ] {
        if value == Some(true) && family != Family::Qwen2 {
            return Err(format!("{key} true is not supported in this architecture"));
        }
    }
    if let Some(share) = file
        .partial_rotary_factor
        .filter(|share| (share - 1.0).abs() > 0.0)
    {
        return Err(format!(
            "partial_rotary_factor {share} is not supported; 1 is"
        ));
    }
    let local = |kind: &&String| *kind != "full_attention";
    if let Some(kind) = file.layer_types.iter().flatten().find(local) {
        return Err(format!(
            "layer_types has {kind:?}; only \"full_attention\" is supported"
        ));
    }
    if matches!(family, Family::Qwen2 | Family::Qwen3) && file.use_sliding_window == Some(true) {
        return Err(
            "use_sliding_window true is not supported: its window covers only some layers"
                .to_owned(),
        );
    }
    Ok(())
}

fn shape_of(file: &ConfigFile, family: Family) -> Result<Shape, String> {
    let heads = file.num_attention_heads;
    // Where a key is missing, the class of transformers fills in its default.
    let head_dim = match (file.head_dim, family) {
        (Some(size), _) => size,
        (None, Family::Qwen3) => 128,
        (None, Family::Gemma | Family::Gemma2 | Family::Gemma3) => 256,
        (None, Family::Llama | Family::Mistral | Family::Qwen2 | Family::Phi3) => {
            if heads == 0 || !file.hidden_size.is_multiple_of(heads) {
                return Err(format!(
                    "hidden_size {} does not divide among {heads} heads and head_dim is missing",
                    file.hidden_size
                ));
            }
            file.hidden_size / heads
        }
    };
    let sliding_window = match (&file.sliding_window, family) {
        (
            Window::Width(width),
            Family::Mistral | Family::Gemma2 | Family::Gemma3 | Family::Phi3,
        ) => Some(*width),
        (Window::Unsaid, Family::Mistral) => Some(4096),
        (Window::Width(_) | Window::Unlimited | Window::Unsaid, _) => None,
    };
    let rope_scaling = rope_scaling(file)?;
    if rope_scaling.is_some() && !is_ours(family) {
        return Err("rope_scaling is not supported for this architecture".to_owned());
    }
    let theta_of = |rope: &RopeFile| rope.rope_theta;
    let tied_by_default = matches!(family, Family::Gemma | Family::Gemma2 | Family::Gemma3);
    Ok(Shape {
        layers: file.num_hidden_layers,
        hidden: file.hidden_size,
        ffn: file.intermediate_size,
        heads,
        kv_heads: file.num_key_value_heads.unwrap_or(heads),
        head_dim,
        vocab: file.vocab_size,
        tied_embeddings: file.tie_word_embeddings.unwrap_or(tied_by_default),
        qkv_bias: family == Family::Qwen2,
        qk_norm: family == Family::Qwen3,
        rope_theta: file
            .rope_theta
            .or(file.rope_parameters.as_ref().and_then(theta_of))
            .unwrap_or(10_000.0),
        rope_scaling,
        norm_eps: file.rms_norm_eps,
        context: file.max_position_embeddings,
        sliding_window,
    })
}

/// The scaling under whichever of the two names it stands.
fn rope_scaling(file: &ConfigFile) -> Result<Option<RopeScaling>, String> {
    let of = |rope: &Option<RopeFile>| rope.as_ref().map(scaling_of).transpose();
    match (of(&file.rope_scaling)?, of(&file.rope_parameters)?) {
        (Some(scaling), Some(parameters)) if scaling != parameters => Err(
            "rope_scaling and rope_parameters say different things; keep the one that holds"
                .to_owned(),
        ),
        (scaling, parameters) => Ok(scaling.or(parameters).flatten()),
    }
}

fn scaling_of(file: &RopeFile) -> Result<Option<RopeScaling>, String> {
    let kind = file.rope_type.as_deref().or(file.kind.as_deref());
    let need =
        |key: &str, value: Option<f64>| value.ok_or_else(|| format!("rope_scaling lacks {key}"));
    if file.full_attention.is_some() {
        return Err("rope_parameters by kind of layer are not supported".to_owned());
    }
    match kind {
        // Other keys have no effect on it, so some files keep the factor of another.
        Some("default") => Ok(None),
        None if file.factor.is_none() => Ok(None),
        Some("linear") => Ok(Some(RopeScaling::Linear {
            factor: need("factor", file.factor)?,
        })),
        Some("llama3") => Ok(Some(RopeScaling::Llama3 {
            factor: need("factor", file.factor)?,
            low_frequency_factor: need("low_freq_factor", file.low_freq_factor)?,
            high_frequency_factor: need("high_freq_factor", file.high_freq_factor)?,
            original_context: file
                .original_max_position_embeddings
                .ok_or("rope_scaling lacks original_max_position_embeddings")?,
        })),
        unknown => Err(format!(
            "rope_scaling of type {:?} is not supported; default, linear and llama3 are",
            unknown.unwrap_or("(unnamed)")
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::engine::cards;

    fn llama() -> Value {
        json!({
            "architectures": ["LlamaForCausalLM"],
            "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256,
            "max_position_embeddings": 131_072, "rms_norm_eps": 1e-5, "rope_theta": 500_000.0,
            "rope_scaling": {
                "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 8192
            },
            "tie_word_embeddings": false, "torch_dtype": "bfloat16", "transformers_version": "4"
        })
    }

    fn with(mut config: Value, changes: Value) -> Value {
        let Value::Object(changes) = changes else {
            panic!("changes are an object")
        };
        config.as_object_mut().unwrap().extend(changes);
        config
    }

    fn read_back(config: &Value) -> Result<Architecture, String> {
        parse(config.to_string().as_bytes())
    }

    #[track_caller]
    fn refused(config: &Value, reason: &str) {
        let message = read_back(config).unwrap_err();
        assert!(message.contains(reason), "{message}");
        assert!(!message.contains('\n'));
    }

    #[test]
    fn the_published_llama_file_gives_its_card() {
        let shape = cards::find("llama-3.1-8b").unwrap().shape;
        let read = read_back(&llama()).unwrap();
        assert_eq!(
            read,
            Architecture {
                family: Family::Llama,
                shape
            }
        );
    }

    #[test]
    fn the_published_qwen_and_mistral_files_give_their_cards() {
        let qwen = json!({
            "architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "head_dim": 128,
            "hidden_act": "silu", "hidden_size": 1024, "intermediate_size": 3072,
            "max_position_embeddings": 40960, "max_window_layers": 28, "num_attention_heads": 16,
            "num_hidden_layers": 28, "num_key_value_heads": 8, "rms_norm_eps": 1e-6,
            "rope_scaling": null, "rope_theta": 1_000_000, "sliding_window": null,
            "tie_word_embeddings": true, "use_sliding_window": false, "vocab_size": 151_936
        });
        assert_eq!(
            read_back(&qwen).unwrap().shape,
            cards::find("qwen3-0.6b").unwrap().shape
        );
        let mistral = json!({
            "architectures": ["MistralForCausalLM"], "hidden_act": "silu", "hidden_size": 4096,
            "intermediate_size": 14336, "max_position_embeddings": 32768,
            "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
            "rms_norm_eps": 1e-5, "rope_theta": 1_000_000.0, "sliding_window": null,
            "tie_word_embeddings": false, "vocab_size": 32768
        });
        let read = read_back(&mistral).unwrap();
        assert_eq!(read.shape, cards::find("mistral-7b-v0.3").unwrap().shape);
        let windowed = with(mistral, json!({"sliding_window": 4096}));
        assert_eq!(
            read_back(&windowed).unwrap().shape.sliding_window,
            Some(4096)
        );
        let qwen2 = json!({
            "architectures": ["Qwen2ForCausalLM"], "hidden_act": "silu", "hidden_size": 3584,
            "intermediate_size": 18944, "max_position_embeddings": 131_072,
            "max_window_layers": 28, "num_attention_heads": 28, "num_hidden_layers": 28,
            "num_key_value_heads": 4, "rms_norm_eps": 1e-6, "rope_theta": 1_000_000.0,
            "sliding_window": 131_072, "tie_word_embeddings": false,
            "use_sliding_window": false, "vocab_size": 152_064
        });
        assert_eq!(
            read_back(&qwen2).unwrap().shape,
            cards::find("qwen2.5-7b").unwrap().shape
        );
    }

    #[test]
    fn the_newer_rope_parameters_are_read_too() {
        let mut config = with(
            llama(),
            json!({"rope_parameters": {"rope_type": "default", "rope_theta": 12_345.0}}),
        );
        let keys = config.as_object_mut().unwrap();
        keys.remove("rope_scaling");
        keys.remove("rope_theta");
        let shape = read_back(&config).unwrap().shape;
        assert!((shape.rope_theta - 12_345.0).abs() < f64::EPSILON);
        assert_eq!(shape.rope_scaling, None);
    }

    #[test]
    fn an_unknown_architecture_names_the_supported_ones() {
        let config = json!({"architectures": ["GPT2LMHeadModel"], "n_embd": 768});
        refused(&config, "GPT2LMHeadModel");
        refused(
            &config,
            "supported are LlamaForCausalLM, MistralForCausalLM",
        );
        refused(&json!({}), "architectures [] is not supported");
    }

    #[test]
    fn what_is_not_implemented_is_refused() {
        let cases = [
            (
                json!({"rope_scaling": {"type": "yarn", "factor": 4.0}}),
                "\"yarn\"",
            ),
            (json!({"rope_scaling": {"factor": 4.0}}), "(unnamed)"),
            (
                json!({"rope_scaling": {"rope_type": "llama3", "factor": 4.0}}),
                "low_freq_factor",
            ),
            (json!({"rope_scaling": {"type": "linear"}}), "lacks factor"),
            (json!({"rope_scaling": "linear"}), "invalid type"),
            (json!({"hidden_act": "gelu"}), "gelu"),
            (json!({"attention_bias": true}), "attention_bias"),
            (json!({"mlp_bias": true}), "mlp_bias"),
            (
                json!({"quantization_config": {"bits": 4}}),
                "quantization_config",
            ),
            (
                json!({"partial_rotary_factor": 0.5}),
                "partial_rotary_factor 0.5",
            ),
            (
                json!({"layer_types": ["sliding_attention"]}),
                "sliding_attention",
            ),
        ];
        for (change, reason) in cases {
            refused(&with(llama(), change), reason);
        }
        let qwen = json!({"architectures": ["Qwen2ForCausalLM"], "use_sliding_window": true});
        refused(&with(llama(), qwen), "use_sliding_window");
    }

    #[test]
    fn impossible_shapes_are_refused() {
        let cases = [
            (json!({"num_hidden_layers": 0}), "layers 0"),
            (json!({"num_hidden_layers": 4_000_000}), "layers 4000000"),
            (json!({"num_attention_heads": 0}), "0 heads"),
            (json!({"num_key_value_heads": 0}), "key-value heads 0"),
            (json!({"num_key_value_heads": 5}), "do not divide among 5"),
            (
                json!({"num_attention_heads": 33}),
                "does not divide among 33",
            ),
            (json!({"head_dim": 127}), "odd"),
            (
                json!({"hidden_size": 4_294_967_295u32, "head_dim": 128}),
                "hidden size",
            ),
            (json!({"hidden_size": -1}), "invalid value"),
            (json!({"vocab_size": 0}), "vocabulary 0"),
            (json!({"rope_theta": 0.0}), "RoPE base 0"),
            (json!({"rms_norm_eps": 0.0}), "norm epsilon 0"),
            (json!({"max_position_embeddings": 0}), "context 0"),
            (
                json!({"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor":
                    4.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}}),
                "in order",
            ),
        ];
        for (change, reason) in cases {
            refused(&with(llama(), change), reason);
        }
        let mut incomplete = llama();
        incomplete.as_object_mut().unwrap().remove("hidden_size");
        refused(&incomplete, "missing field `hidden_size`");
        assert!(parse(b"{\"architectures\": [").is_err());
        assert!(parse(b"\xff\xfe").is_err());
    }
}
