//! Which model, of which shape, at which precision, through which engine, on which device.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hub::HubSource;

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum ModelSource {
    /// The small model that ships inside the executable.
    Tiny,
    /// A Hugging Face model folder: config.json, tokenizer.json and safetensors.
    Dir(PathBuf),
    /// One GGUF file.
    Gguf(PathBuf),
    /// The shape of a model card, with seeded random weights.
    Card(String),
    /// A model on the Hub; fetched by the parent, which hands the worker a folder or a file.
    Hub(HubSource),
}

impl ModelSource {
    /// Whether it is a folder of files, a tokenizer among them.
    pub fn is_folder(&self) -> bool {
        match self {
            Self::Dir(_) => true,
            Self::Tiny | Self::Gguf(_) | Self::Card(_) | Self::Hub(_) => false,
        }
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tiny => f.write_str("tiny"),
            Self::Dir(path) => write!(f, "dir:{}", path.display()),
            Self::Gguf(path) => write!(f, "gguf:{}", path.display()),
            Self::Card(name) => write!(f, "card:{name}"),
            Self::Hub(source) => write!(f, "hub:{source}"),
        }
    }
}

impl FromStr for ModelSource {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = || ParseError {
            what: "model source",
            value: text.to_owned(),
            expected: "tiny, hub:OWNER/NAME, dir:PATH, gguf:PATH or card:NAME".to_owned(),
        };
        match text.split_once(':') {
            None if text == "tiny" => Ok(Self::Tiny),
            Some((_, "")) | None => Err(refuse()),
            Some(("dir", path)) => Ok(Self::Dir(path.into())),
            Some(("gguf", path)) => Ok(Self::Gguf(path.into())),
            Some(("card", name)) => Ok(Self::Card(name.to_owned())),
            Some(("hub", name)) => name.parse().map(Self::Hub),
            Some(_) => Err(refuse()),
        }
    }
}

/// An architecture that an engine knows how to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Llama 2, 3, 3.1 and later of the same build.
    Llama,
    /// Mistral 7B.
    Mistral,
    /// Qwen 2 and 2.5.
    Qwen2,
    /// Qwen 3, dense.
    Qwen3,
    /// Gemma (stock engine only).
    Gemma,
    /// Gemma 2 (stock engine only).
    Gemma2,
    /// Gemma 3 (stock engine only).
    Gemma3,
    /// Phi-3 and Phi-4 (stock engine only).
    Phi3,
}

/// How RoPE frequencies are stretched beyond the trained context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RopeScaling {
    /// Every frequency divided by one factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// The piecewise rule of Llama 3.1 and later.
    Llama3 {
        /// Division of the low frequencies.
        factor: f64,
        /// Wavelengths above `original_context / low_frequency_factor` are divided.
        low_frequency_factor: f64,
        /// Wavelengths below `original_context / high_frequency_factor` are kept.
        high_frequency_factor: f64,
        /// The context of the first training.
        original_context: u32,
    },
    /// One divisor per frequency pair, as GGUF files carry it in `rope_freqs.weight`.
    PerFrequency {
        /// `head_dim / 2` divisors.
        divisors: Vec<f32>,
    },
}

/// The full shape of a dense decoder: everything that fixes its weights and its arithmetic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Transformer layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Inner width of the gated feed-forward block.
    pub ffn: u32,
    /// Query heads.
    pub heads: u32,
    /// Key and value heads.
    pub kv_heads: u32,
    /// Width of one head.
    pub head_dim: u32,
    /// Rows of the embedding.
    pub vocab: u32,
    /// Whether the output projection is the embedding.
    #[serde(default)]
    pub tied_embeddings: bool,
    /// Whether q, k and v have a bias (Qwen 2).
    #[serde(default)]
    pub qkv_bias: bool,
    /// Whether each q and k head is RMS-normalized (Qwen 3).
    #[serde(default)]
    pub qk_norm: bool,
    /// Base of the RoPE frequencies.
    pub rope_theta: f64,
    /// Stretching of the RoPE frequencies, if any.
    #[serde(default)]
    pub rope_scaling: Option<RopeScaling>,
    /// Epsilon inside the square root of RMSNorm.
    pub norm_eps: f64,
    /// Longest sequence, prompt and output together.
    pub context: u32,
    /// Width of the attention window where attention is local.
    #[serde(default)]
    pub sliding_window: Option<u32>,
}

/// One linear weight or table of a decoder, in the order in which files list them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightSize {
    /// Rows, the output dimension.
    pub rows: u64,
    /// Columns, the input dimension; quantized blocks run along it.
    pub columns: u64,
    /// How many tensors of this size the model has.
    pub count: u64,
}

impl Shape {
    /// The matrices that a precision applies to, without the input embedding.
    pub fn linears(&self) -> Vec<WeightSize> {
        let q = u64::from(self.heads) * u64::from(self.head_dim);
        let kv = u64::from(self.kv_heads) * u64::from(self.head_dim);
        let (hidden, ffn, layers) = (
            u64::from(self.hidden),
            u64::from(self.ffn),
            u64::from(self.layers),
        );
        let size = |rows, columns, count| WeightSize {
            rows,
            columns,
            count,
        };
        vec![
            size(q, hidden, layers),
            size(kv, hidden, 2 * layers),
            size(hidden, q, layers),
            size(ffn, hidden, 2 * layers),
            size(hidden, ffn, layers),
            size(u64::from(self.vocab), hidden, 1),
        ]
    }

    /// Parameters in all, with a tied embedding counted once.
    pub fn parameters(&self) -> u64 {
        let head = u64::from(self.vocab) * u64::from(self.hidden);
        let linears: u64 = self
            .linears()
            .iter()
            .map(|size| size.rows * size.columns * size.count)
            .sum();
        let hidden = u64::from(self.hidden);
        let head_dim = u64::from(self.head_dim);
        let per_layer = 2 * hidden
            + if self.qk_norm { 2 * head_dim } else { 0 }
            + if self.qkv_bias {
                (u64::from(self.heads) + 2 * u64::from(self.kv_heads)) * head_dim
            } else {
                0
            };
        linears
            + if self.tied_embeddings { 0 } else { head }
            + per_layer * u64::from(self.layers)
            + hidden
    }

    /// Elements of K and V together that one token adds to the cache:
    /// `2 · layers · kv_heads · head_dim`.
    pub fn kv_elements_per_token(&self) -> u64 {
        2 * u64::from(self.layers) * u64::from(self.kv_heads) * u64::from(self.head_dim)
    }
}

/// What is known of a published model before it is downloaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    /// `owner/name` on the hub.
    pub repository: String,
    /// The commit that the shape was read from; absent means unpinned.
    #[serde(default)]
    pub commit: Option<String>,
    /// The architecture.
    pub family: Family,
    /// SPDX name or the licence's own.
    pub licence: String,
    /// Where the shape was read.
    pub source: String,
    /// When it was read.
    pub retrieved: jiff::civil::Date,
    /// The full shape.
    pub shape: Shape,
}

/// How weights are held: GGML's words in lower case.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// The checkpoint's own (f32 on a CPU when that is bf16).
    Native,
    /// 32-bit floating point.
    F32,
    /// IEEE half.
    F16,
    /// bfloat16.
    Bf16,
    /// 8-bit blocks of 32 with one scale.
    #[serde(rename = "q8_0")]
    Q8_0,
    /// 6-bit k-quant.
    #[serde(rename = "q6_k")]
    Q6K,
    /// 5-bit k-quant.
    #[serde(rename = "q5_k")]
    Q5K,
    /// 4-bit k-quant.
    #[serde(rename = "q4_k")]
    Q4K,
    /// 3-bit k-quant.
    #[serde(rename = "q3_k")]
    Q3K,
    /// 2-bit k-quant.
    #[serde(rename = "q2_k")]
    Q2K,
    /// 5-bit blocks of 32 with a scale and a minimum.
    #[serde(rename = "q5_1")]
    Q5_1,
    /// 5-bit blocks of 32 with one scale.
    #[serde(rename = "q5_0")]
    Q5_0,
    /// 4-bit blocks of 32 with a scale and a minimum.
    #[serde(rename = "q4_1")]
    Q4_1,
    /// 4-bit blocks of 32 with one scale.
    #[serde(rename = "q4_0")]
    Q4_0,
}

impl Precision {
    /// Every precision, in the order of documentation.
    pub const ALL: [Self; 14] = [
        Self::Native,
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Q8_0,
        Self::Q6K,
        Self::Q5K,
        Self::Q4K,
        Self::Q3K,
        Self::Q2K,
        Self::Q5_1,
        Self::Q5_0,
        Self::Q4_1,
        Self::Q4_0,
    ];

    /// The word in files and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8_0 => "q8_0",
            Self::Q6K => "q6_k",
            Self::Q5K => "q5_k",
            Self::Q4K => "q4_k",
            Self::Q3K => "q3_k",
            Self::Q2K => "q2_k",
            Self::Q5_1 => "q5_1",
            Self::Q5_0 => "q5_0",
            Self::Q4_1 => "q4_1",
            Self::Q4_0 => "q4_0",
        }
    }

    /// Block length and bytes per block, `None` for [`Precision::Native`], whose form the file fixes.
    ///
    /// Block layouts as in GGML; `bytes · 8 / length` is the bits per weight.
    pub const fn block(self) -> Option<Block> {
        let (length, bytes) = match self {
            Self::Native => return None,
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q8_0 => (32, 34),
            Self::Q6K => (256, 210),
            Self::Q5K => (256, 176),
            Self::Q4K => (256, 144),
            Self::Q3K => (256, 110),
            Self::Q2K => (256, 84),
            Self::Q5_1 => (32, 24),
            Self::Q5_0 => (32, 22),
            Self::Q4_1 => (32, 20),
            Self::Q4_0 => (32, 18),
        };
        Some(Block { length, bytes })
    }

    /// The precision used for a matrix whose rows this one does not divide.
    ///
    /// A k-quant needs rows that are a multiple of 256; the nearest 32-block type with at least as
    /// many bits steps in (as llama.cpp does), and F16 where not even 32 divides.
    #[must_use]
    pub fn for_columns(self, columns: u64) -> Self {
        let Some(block) = self.block() else {
            return self;
        };
        if columns.is_multiple_of(block.length) {
            return self;
        }
        let fallback = match self {
            Self::Q6K => Self::Q8_0,
            Self::Q5K => Self::Q5_1,
            Self::Q4K => Self::Q5_0,
            Self::Q3K | Self::Q2K => Self::Q4_0,
            Self::Native
            | Self::F32
            | Self::F16
            | Self::Bf16
            | Self::Q8_0
            | Self::Q5_1
            | Self::Q5_0
            | Self::Q4_1
            | Self::Q4_0 => Self::F16,
        };
        fallback.for_columns(columns)
    }

    /// Bytes of a matrix at this precision, with the fallback where rows do not divide; `None` for
    /// [`Precision::Native`].
    pub fn matrix_bytes(self, size: WeightSize) -> Option<u64> {
        let block = self.for_columns(size.columns).block()?;
        Some(size.rows * (size.columns / block.length) * block.bytes * size.count)
    }

    /// Whether weights are held as floating point rather than in quantized blocks.
    pub fn is_dense(self) -> bool {
        matches!(self, Self::Native | Self::F32 | Self::F16 | Self::Bf16)
    }
}

/// How keys and values are cached.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CacheType {
    /// 32-bit floating point.
    F32,
    /// IEEE half.
    F16,
    /// bfloat16.
    Bf16,
    /// 8-bit blocks of 32 with one scale.
    #[serde(rename = "q8_0")]
    Q8_0,
}

impl CacheType {
    /// Every type, in the order of documentation.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Bf16, Self::Q8_0];

    /// The same type of weights, whose words and blocks it shares.
    pub const fn precision(self) -> Precision {
        match self {
            Self::F32 => Precision::F32,
            Self::F16 => Precision::F16,
            Self::Bf16 => Precision::Bf16,
            Self::Q8_0 => Precision::Q8_0,
        }
    }

    /// Bytes of this many cached numbers: 34 for 32 of them in q8_0.
    ///
    /// ```
    /// assert_eq!(mtok::study::model::CacheType::Q8_0.bytes(64), 68);
    /// ```
    pub fn bytes(self, numbers: u64) -> u64 {
        let (length, bytes) = match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q8_0 => (32, 34),
        };
        numbers.div_ceil(length) * bytes
    }
}

impl fmt::Display for CacheType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.precision().word())
    }
}

impl FromStr for CacheType {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.precision().word() == text)
            .ok_or_else(|| ParseError {
                what: "type of the KV cache",
                value: text.to_owned(),
                expected: Self::ALL.map(|kind| kind.precision().word()).join(", "),
            })
    }
}

/// The layout of one block of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Weights per block.
    pub length: u64,
    /// Bytes per block.
    pub bytes: u64,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Precision {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL
            .into_iter()
            .find(|precision| precision.word() == text)
            .ok_or_else(|| ParseError {
                what: "precision",
                value: text.to_owned(),
                expected: Self::ALL.map(Self::word).join(", "),
            })
    }
}

/// Which engine runs the model.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum EngineKind {
    /// Our decoder.
    Decoder,
    /// candle-transformers as published.
    Stock,
    /// Scripted times and faults, for tests; the path of the script.
    Sim(PathBuf),
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decoder => f.write_str("decoder"),
            Self::Stock => f.write_str("stock"),
            Self::Sim(path) => write!(f, "sim:{}", path.display()),
        }
    }
}

impl FromStr for EngineKind {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.split_once(':') {
            None if text == "decoder" => Ok(Self::Decoder),
            None if text == "stock" => Ok(Self::Stock),
            Some(("sim", path)) if !path.is_empty() => Ok(Self::Sim(path.into())),
            _ => Err(ParseError {
                what: "engine",
                value: text.to_owned(),
                expected: "decoder, stock or sim:SCRIPT".to_owned(),
            }),
        }
    }
}

/// Where the model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum DeviceChoice {
    /// CUDA when the build has it, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device by its ordinal among the visible ones.
    Cuda(u32),
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = || ParseError {
            what: "device",
            value: text.to_owned(),
            expected: "auto, cpu or cuda:N".to_owned(),
        };
        match text.split_once(':') {
            None if text == "auto" => Ok(Self::Auto),
            None if text == "cpu" => Ok(Self::Cpu),
            Some(("cuda", ordinal)) => ordinal.parse().map(Self::Cuda).map_err(|_| refuse()),
            _ => Err(refuse()),
        }
    }
}

/// A word that is none of the choices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{value}` is not known; expected {expected}")]
pub struct ParseError {
    /// What was being read.
    pub what: &'static str,
    /// What stood there.
    pub value: String,
    /// What may stand there.
    pub expected: String,
}

/// Lets serde read and write a type through its text form.
macro_rules! through_text {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = ParseError;
            fn try_from(text: String) -> Result<Self, ParseError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )*};
}

through_text!(ModelSource, EngineKind, DeviceChoice);

#[cfg(test)]
mod tests {
    use super::*;

    fn llama_8b() -> Shape {
        Shape {
            layers: 32,
            hidden: 4096,
            ffn: 14336,
            heads: 32,
            kv_heads: 8,
            head_dim: 128,
            vocab: 128_256,
            tied_embeddings: false,
            qkv_bias: false,
            qk_norm: false,
            rope_theta: 500_000.0,
            rope_scaling: None,
            norm_eps: 1e-5,
            context: 131_072,
            sliding_window: None,
        }
    }

    #[test]
    fn llama_3_1_8b_has_its_published_parameter_count() {
        assert_eq!(llama_8b().parameters(), 8_030_261_248);
    }

    #[test]
    fn kv_of_llama_3_1_8b_is_131072_bytes_per_token_in_bf16() {
        assert_eq!(llama_8b().kv_elements_per_token() * 2, 131_072);
    }

    #[test]
    fn a_row_that_does_not_divide_falls_back() {
        assert_eq!(Precision::Q4K.for_columns(896), Precision::Q5_0);
        assert_eq!(Precision::Q4K.for_columns(1024), Precision::Q4K);
        assert_eq!(Precision::Q8_0.for_columns(33), Precision::F16);
    }

    #[test]
    fn every_word_reads_back() {
        for precision in Precision::ALL {
            assert_eq!(precision.word().parse(), Ok(precision));
            let json = serde_json::to_string(&precision).unwrap();
            assert_eq!(json, format!("\"{}\"", precision.word()));
        }
        for text in [
            "tiny",
            "dir:/a/b",
            "gguf:x.gguf",
            "card:llama-3.1-8b",
            "hub:a/b@v1",
        ] {
            assert_eq!(text.parse::<ModelSource>().unwrap().to_string(), text);
        }
        assert!("hub:a".parse::<ModelSource>().is_err());
        assert!("ftp:a/b".parse::<ModelSource>().is_err());
    }
}
