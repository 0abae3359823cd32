//! Trains the small model that ships inside the executable: tokenizer and weights from one text.
//!
//! `scripts/train-tiny` prepares the text and calls this. The gradients are candle's own, so every step
//! is written with operations that have one; candle's fused kernels have none.

#![expect(clippy::print_stdout, reason = "a program that reports its progress")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use candle_core::backprop::GradStore;
use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokenizers::Tokenizer;
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::{AddedToken, models::bpe};

const SEED: u64 = 1;
const STEPS: usize = 500;
/// Sequences per step.
const BATCH: usize = 4;
/// Tokens per sequence.
const LENGTH: usize = 256;
/// Steps in which the learning rate rises.
const WARMUP: usize = 40;
const RATE: f64 = 3e-3;
/// Of the highest learning rate, what is left at the end.
const LAST_RATE: f64 = 0.02;
/// Largest norm of all gradients together.
const CLIP: f64 = 1.0;
/// Text between two tokens of `END`, so that the model sees where a piece begins.
const END: &str = "<|endoftext|>";

const VOCAB: usize = 1024;
const LAYERS: usize = 4;
const HIDDEN: usize = 256;
const FFN: usize = 768;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const WIDTH: usize = 64;
const CONTEXT: usize = 4096;
const THETA: f64 = 10_000.0;
const EPSILON: f64 = 1e-5;

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [text, held_out, folder] = arguments.as_slice() else {
        anyhow::bail!("usage: train-tiny TEXT HELD_OUT FOLDER");
    };
    let tokenizer = train_tokenizer(text, &folder.join("tokenizer.json"))?;
    let ids = encode(&tokenizer, text)?;
    let held_out = encode(&tokenizer, held_out)?;
    println!("{} tokens, {} held out", ids.len(), held_out.len());
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let model = Model::new(&mut random)?;
    train(&model, &ids, &held_out, &mut random)?;
    model.save(folder)
}

/// A byte-level BPE with the pattern of GPT-2, written to `path`.
fn train_tokenizer(text: &Path, path: &Path) -> Result<Tokenizer> {
    let level = || ByteLevel::new(false, true, true);
    let mut tokenizer = Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(level()));
    tokenizer.with_decoder(Some(level()));
    let trainer: bpe::BpeTrainer = BpeTrainerBuilder::new()
        .vocab_size(VOCAB)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(vec![AddedToken::from(END, true)])
        .build();
    let text = text.to_str().context("the path is not UTF-8")?.to_owned();
    tokenizer
        .train_from_files(&mut TrainerWrapper::from(trainer), vec![text])
        .and_then(|trained| trained.save(path, true))
        .map_err(anyhow::Error::from_boxed)?;
    ensure!(
        tokenizer.get_vocab_size(true) == VOCAB,
        "the text is too short"
    );
    Ok(tokenizer)
}

/// The ids of a file, with the token of the end before them.
fn encode(tokenizer: &Tokenizer, path: &Path) -> Result<Vec<u32>> {
    let text = std::fs::read_to_string(path)?;
    let end = tokenizer.token_to_id(END).context("no token of the end")?;
    let encoded = tokenizer
        .encode(text, false)
        .map_err(anyhow::Error::from_boxed)?;
    Ok(std::iter::once(end)
        .chain(encoded.get_ids().iter().copied())
        .collect())
}

fn train(model: &Model, ids: &[u32], held_out: &[u32], random: &mut ChaCha8Rng) -> Result<()> {
    let (matrices, vectors): (Vec<Var>, Vec<Var>) = model
        .variables
        .values()
        .cloned()
        .partition(|variable| variable.rank() == 2);
    let optimizer = |variables, weight_decay| {
        let settings = ParamsAdamW {
            lr: 0.0,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay,
        };
        AdamW::new(variables, settings)
    };
    let mut optimizers = [optimizer(matrices, 0.1)?, optimizer(vectors, 0.0)?];
    let mut smooth = None;
    for step in 0..STEPS {
        let starts: Vec<usize> = (0..BATCH)
            .map(|_| random.random_range(0..ids.len() - LENGTH))
            .collect();
        let loss = model.loss(ids, &starts)?;
        let mut gradients = loss.backward()?;
        clip(&mut gradients, model)?;
        for optimizer in &mut optimizers {
            optimizer.set_learning_rate(rate(step));
            optimizer.step(&gradients)?;
        }
        let loss = f64::from(loss.to_scalar::<f32>()?);
        let previous = smooth.unwrap_or(loss);
        smooth = Some(previous + 0.05 * (loss - previous));
        if (step + 1) % 20 == 0 {
            println!("step {}: loss {previous:.4}", step + 1);
        }
    }
    println!("held out: {:.4} nats per token", model.held_out(held_out)?);
    Ok(())
}

/// Rises linearly, then falls along a cosine.
fn rate(step: usize) -> f64 {
    if step < WARMUP {
        return RATE * (step + 1) as f64 / WARMUP as f64;
    }
    let done = (step - WARMUP) as f64 / (STEPS - WARMUP) as f64;
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
    RATE * (LAST_RATE + (1.0 - LAST_RATE) * cosine)
}

/// Scales all gradients so that their norm is at most [`CLIP`].
fn clip(gradients: &mut GradStore, model: &Model) -> Result<()> {
    let mut square = 0.0;
    for variable in model.variables.values() {
        let gradient = gradients.get(variable).context("no gradient")?;
        square += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
    }
    let norm = square.sqrt();
    ensure!(norm.is_finite(), "the training diverged");
    if norm > CLIP {
        for variable in model.variables.values() {
            let gradient = gradients.remove(variable).context("no gradient")?;
            gradients.insert(variable, (gradient * (CLIP / norm))?);
        }
    }
    Ok(())
}

/// The weights under their names in a checkpoint, and the angles of RoPE.
struct Model {
    variables: std::collections::BTreeMap<String, Var>,
    cos: Tensor,
    sin: Tensor,
    mask: Tensor,
}

impl Model {
    fn new(random: &mut ChaCha8Rng) -> Result<Self> {
        let device = Device::Cpu;
        let mut variables = std::collections::BTreeMap::new();
        let mut matrix = |name: String, rows: usize, columns: usize, deviation: f64| {
            let values = normal(random, rows * columns, deviation);
            let tensor = Tensor::from_vec(values, (rows, columns), &device)?;
            variables.insert(name, Var::from_tensor(&tensor)?);
            anyhow::Ok(())
        };
        let (narrow, output) = (0.02, 0.02 / (2.0 * LAYERS as f64).sqrt());
        matrix("model.embed_tokens.weight".into(), VOCAB, HIDDEN, narrow)?;
        matrix("lm_head.weight".into(), VOCAB, HIDDEN, narrow)?;
        for layer in 0..LAYERS {
            let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
            matrix(name("self_attn.q_proj"), HEADS * WIDTH, HIDDEN, narrow)?;
            matrix(name("self_attn.k_proj"), KV_HEADS * WIDTH, HIDDEN, narrow)?;
            matrix(name("self_attn.v_proj"), KV_HEADS * WIDTH, HIDDEN, narrow)?;
            matrix(name("self_attn.o_proj"), HIDDEN, HEADS * WIDTH, output)?;
            matrix(name("mlp.gate_proj"), FFN, HIDDEN, narrow)?;
            matrix(name("mlp.up_proj"), FFN, HIDDEN, narrow)?;
            matrix(name("mlp.down_proj"), HIDDEN, FFN, output)?;
        }
        let norms = (0..LAYERS).flat_map(|layer| {
            ["input_layernorm", "post_attention_layernorm"]
                .map(|part| format!("model.layers.{layer}.{part}.weight"))
        });
        for name in norms.chain(["model.norm.weight".to_owned()]) {
            variables.insert(name, Var::ones(HIDDEN, DType::F32, &device)?);
        }
        let angles: Vec<f32> = (0..LENGTH)
            .flat_map(|position| {
                (0..WIDTH / 2).map(move |pair| {
                    let exponent = 2.0 * pair as f64 / WIDTH as f64;
                    (position as f64 / THETA.powf(exponent)) as f32
                })
            })
            .collect();
        let angles = Tensor::from_vec(angles, (LENGTH, WIDTH / 2), &device)?;
        let mask: Vec<f32> = (0..LENGTH)
            .flat_map(|query| {
                (0..LENGTH).map(move |key| if key <= query { 0.0 } else { f32::NEG_INFINITY })
            })
            .collect();
        Ok(Self {
            variables,
            cos: angles.cos()?,
            sin: angles.sin()?,
            mask: Tensor::from_vec(mask, (LENGTH, LENGTH), &device)?,
        })
    }

    fn weight(&self, name: &str) -> Result<&Tensor> {
        let variable = self.variables.get(&format!("{name}.weight"));
        Ok(variable.with_context(|| format!("no {name}"))?.as_tensor())
    }

    /// Mean negative log-likelihood of the sequences that begin at `starts`.
    fn loss(&self, ids: &[u32], starts: &[usize]) -> Result<Tensor> {
        let slice = |shift: usize| {
            let ids: Vec<u32> = starts
                .iter()
                .flat_map(|start| &ids[start + shift..start + shift + LENGTH])
                .copied()
                .collect();
            Tensor::from_vec(ids, starts.len() * LENGTH, &Device::Cpu)
        };
        let logits = self.forward(&slice(0)?, starts.len())?;
        Ok(candle_nn::loss::cross_entropy(&logits, &slice(1)?)?)
    }

    /// The same over a whole text, sequence after sequence.
    fn held_out(&self, ids: &[u32]) -> Result<f64> {
        let starts: Vec<usize> = (0..ids.len() - LENGTH).step_by(LENGTH).collect();
        let mut sum = 0.0;
        for group in starts.chunks(BATCH) {
            let loss = self.loss(ids, group)?.to_scalar::<f32>()?;
            sum += f64::from(loss) * group.len() as f64;
        }
        Ok(sum / starts.len() as f64)
    }

    /// Logits of every position, `[batch · length, vocab]`.
    fn forward(&self, ids: &Tensor, batch: usize) -> Result<Tensor> {
        let mut x = self.weight("model.embed_tokens")?.index_select(ids, 0)?;
        for layer in 0..LAYERS {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            let input = norm(&x, self.weight(&name("input_layernorm"))?)?;
            let mixed = self.attend(&input, batch, &name("self_attn"))?;
            x = (x + mixed)?;
            let input = norm(&x, self.weight(&name("post_attention_layernorm"))?)?;
            let project = |part: &str| -> Result<Tensor> {
                Ok(input.matmul(&self.weight(&name(part))?.t()?)?)
            };
            let gated = (project("mlp.gate_proj")?.silu()? * project("mlp.up_proj")?)?;
            x = (x + gated.matmul(&self.weight(&name("mlp.down_proj"))?.t()?)?)?;
        }
        let x = norm(&x, self.weight("model.norm")?)?;
        Ok(x.matmul(&self.weight("lm_head")?.t()?)?)
    }

    /// Causal attention, `[batch · length, hidden]` to the same.
    fn attend(&self, input: &Tensor, batch: usize, name: &str) -> Result<Tensor> {
        let group = HEADS / KV_HEADS;
        let heads = |part: &str, count: usize| -> Result<Tensor> {
            let projected = input.matmul(&self.weight(&format!("{name}.{part}"))?.t()?)?;
            let heads = projected.reshape((batch, LENGTH, count, WIDTH))?;
            Ok(heads.transpose(1, 2)?.contiguous()?)
        };
        let rotate = |x: Tensor| candle_nn::rotary_emb::rope_slow(&x, &self.cos, &self.sin);
        let queries = rotate(heads("q_proj", HEADS)?)?;
        let keys = rotate(heads("k_proj", KV_HEADS)?)?;
        let values = heads("v_proj", KV_HEADS)?;
        // Queries of one key head lie under one another.
        let queries =
            (queries.reshape((batch, KV_HEADS, group * LENGTH, WIDTH))? / (WIDTH as f64).sqrt())?;
        let scores = queries
            .matmul(&keys.transpose(2, 3)?.contiguous()?)?
            .reshape((batch, HEADS, LENGTH, LENGTH))?
            .broadcast_add(&self.mask)?;
        let shares = candle_nn::ops::softmax(&scores, D::Minus1)?;
        let mixed = shares
            .reshape((batch, KV_HEADS, group * LENGTH, LENGTH))?
            .matmul(&values)?
            .reshape((batch, HEADS, LENGTH, WIDTH))?
            .transpose(1, 2)?
            .reshape((batch * LENGTH, HEADS * WIDTH))?;
        Ok(mixed.matmul(&self.weight(&format!("{name}.o_proj"))?.t()?)?)
    }

    /// Writes config.json and model.safetensors in bfloat16.
    fn save(&self, folder: &Path) -> Result<()> {
        let config = serde_json::json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": HIDDEN,
            "intermediate_size": FFN,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KV_HEADS,
            "head_dim": WIDTH,
            "vocab_size": VOCAB,
            "max_position_embeddings": CONTEXT,
            "rope_theta": THETA,
            "rms_norm_eps": EPSILON,
            "tie_word_embeddings": false,
            "bos_token_id": 0,
            "eos_token_id": 0,
            "torch_dtype": "bfloat16",
        });
        let config = serde_json::to_string_pretty(&config)? + "\n";
        std::fs::write(folder.join("config.json"), config)?;
        let tensors = self
            .variables
            .iter()
            .map(|(name, variable)| Ok((name.clone(), variable.to_dtype(DType::BF16)?)))
            .collect::<Result<HashMap<String, Tensor>>>()?;
        candle_core::safetensors::save(&tensors, folder.join("model.safetensors"))?;
        Ok(())
    }
}

/// RMSNorm over the last dimension.
fn norm(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let size = (x.sqr()?.mean_keepdim(D::Minus1)? + EPSILON)?.sqrt()?;
    Ok(x.broadcast_div(&size)?.broadcast_mul(weight)?)
}

/// Normal numbers by the transformation of Box and Muller.
fn normal(random: &mut ChaCha8Rng, count: usize, deviation: f64) -> Vec<f32> {
    (0..count)
        .map(|_| {
            let radius: f64 = 1.0 - random.random::<f64>();
            let angle = std::f64::consts::TAU * random.random::<f64>();
            (deviation * (-2.0 * radius.ln()).sqrt() * angle.cos()) as f32
        })
        .collect()
}
