//! The decoder against candle-transformers' own models on the CPU, paired within one process.
//!
//! Both sides read the same file of random weights (safetensors in f32, GGUF otherwise) and run on the
//! same threads. A prefill pair is one prefill of each side, in alternating order. A decode pair is one
//! step of each at the same context length, turn by turn within one generation. What is printed is the
//! geometric mean of the ratios stock ÷ decoder of the times with its 95 % interval, as Markdown: above 1 the
//! decoder is faster (results/cpu-speed/decoder.md). Where stock cannot prefill (quantized, more than one
//! sequence) its cache is filled by steps of one token.
//!
//! `cargo bench --bench decoder [-- WORDS]` measures the cases whose names contain every word, for example
//! `-- q4_k decode`. As a test (`-- --test`) it runs each case once on a small shape and judges nothing.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot be set up shall stop, and this one prints its own report"
)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{D, DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{llama, quantized_llama};
use mtok::clock::{Clock, Monotonic};
use mtok::engine::worker::{self, Holding, Order};
use mtok::engine::{Capacity, Engine, Progress, Prompts};
use mtok::metrics::stats::Sample;
use mtok::study::model::{DeviceChoice, EngineKind, ModelSource, Precision};
use mtok::units::Nanos;

/// Sizes of the model: a Llama of 0.85 billion parameters, cut to a few layers.
#[derive(Clone, Copy)]
struct Shape {
    hidden: usize,
    ffn: usize,
    heads: usize,
    kv_heads: usize,
    layers: usize,
    vocab: usize,
}

const FULL: Shape = Shape {
    hidden: 2048,
    ffn: 5632,
    heads: 32,
    kv_heads: 8,
    layers: 4,
    vocab: 32_000,
};

const TEST: Shape = Shape {
    hidden: 256,
    ffn: 512,
    heads: 8,
    kv_heads: 2,
    layers: 1,
    vocab: 512,
};

/// Longest context of all cases with their steps.
const CONTEXT: usize = 2048;

/// Pairs per case: of prefills, and of decode steps.
const PREFILLS: usize = 12;
const STEPS: usize = 48;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Prefill,
    Decode,
}

/// What one row of the report measures.
#[derive(Clone, Copy)]
struct Case {
    phase: Phase,
    batch: usize,
    context: usize,
}

/// The cases of a type of weights.
fn cases(weights: Option<GgmlDType>) -> Vec<Case> {
    let case = |phase| {
        move |(batch, context)| Case {
            phase,
            batch,
            context,
        }
    };
    let prefills: &[_] = match weights {
        None => &[(1, 128), (4, 128), (16, 128)],
        Some(_) => &[(1, 128)],
    };
    let decodes = [(1, 128), (4, 128), (16, 128), (16, 1024)];
    let prefills = prefills.iter().copied().map(case(Phase::Prefill));
    prefills.chain(decodes.map(case(Phase::Decode))).collect()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_test = !arguments.iter().any(|argument| argument == "--bench");
    let words: Vec<&String> = arguments
        .iter()
        .filter(|word| !word.starts_with("--"))
        .collect();
    let (shape, prefills, steps, longest) = if is_test {
        (TEST, 1, 1, 16)
    } else {
        (FULL, PREFILLS, STEPS, CONTEXT)
    };
    println!("{}", head());
    for weights in [None, Some(GgmlDType::Q8_0), Some(GgmlDType::Q4K)] {
        let name = |case: &Case| name(weights, *case);
        let mut cases = cases(weights);
        cases.retain(|case| words.iter().all(|word| name(case).contains(*word)));
        if cases.is_empty() {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut pair = Pair::load(folder.path(), shape, weights);
        for mut case in cases {
            case.context = case.context.min(longest);
            let times = match case.phase {
                Phase::Prefill => pair.prefills(case, prefills),
                Phase::Decode => pair.decodes(case, steps),
            };
            println!("| {} | {} |", name(&case), times.summary(case));
        }
    }
}

/// What was measured where, and the head of the table.
fn head() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, name)| name);
    format!(
        "# mtok's decoder beside candle's own models\n\n\
         Written by `cargo bench --bench decoder`.\n\n\
         - mtok {}; processor: {processor}, {} threads\n\n\
         Rates are medians in tokens per second; the ratio is stock's time over the decoder's in pairs, their\n\
         geometric mean with its 95 % interval.\n\n\
         | case | decoder | stock | ratio | interval |\n|---|---:|---:|---:|---|",
        env!("CARGO_PKG_VERSION"),
        candle_core::utils::get_num_threads(),
    )
}

fn name(weights: Option<GgmlDType>, case: Case) -> String {
    let precision = match weights {
        None => "f32",
        Some(GgmlDType::Q8_0) => "q8_0",
        Some(_) => "q4_k",
    };
    let phase = match case.phase {
        Phase::Prefill => "prefill",
        Phase::Decode => "decode",
    };
    format!("{precision} {phase} b{} at {}", case.batch, case.context)
}

/// Seconds of each pair.
#[derive(Default)]
struct Times {
    decoder: Vec<f64>,
    stock: Vec<f64>,
}

impl Times {
    fn summary(mut self, case: Case) -> String {
        let pairs = self.stock.iter().zip(&self.decoder);
        let logs = pairs
            .map(|(stock, decoder)| (stock / decoder).ln())
            .collect();
        let ratio = Sample::new(logs).unwrap().mean_estimate();
        let interval = match (ratio.low(), ratio.high()) {
            (Some(low), Some(high)) => format!("{:.2} to {:.2}", low.exp(), high.exp()),
            _ => "no interval".to_owned(),
        };
        let tokens = match case.phase {
            Phase::Prefill => case.batch * case.context,
            Phase::Decode => case.batch,
        };
        let rate = |seconds: &mut Vec<f64>| {
            seconds.sort_by(f64::total_cmp);
            tokens as f64 / seconds[seconds.len() / 2]
        };
        let (decoder, stock) = (rate(&mut self.decoder), rate(&mut self.stock));
        let ratio = ratio.value.exp();
        format!("{decoder:.1} | {stock:.1} | {ratio:.2} | {interval}")
    }
}

/// Both sides with the same weights.
struct Pair {
    decoder: Box<dyn Engine>,
    stock: Arc<Mutex<Stock>>,
    vocab: usize,
}

impl Pair {
    fn load(folder: &Path, shape: Shape, weights: Option<GgmlDType>) -> Self {
        let (source, precision, stock) = match weights {
            None => {
                write_folder(folder, shape);
                let source = ModelSource::Dir(folder.to_owned());
                (source, Precision::F32, Stock::dense(folder))
            }
            Some(dtype) => {
                let path = folder.join("model.gguf");
                write_gguf(&path, shape, dtype);
                let stock = Stock::quantized(&path);
                (ModelSource::Gguf(path), Precision::Native, stock)
            }
        };
        let order = Order {
            source,
            engine: EngineKind::Decoder,
            device: DeviceChoice::Cpu,
            precision,
            kv: None,
            seed: 1,
            holding: Holding::default(),
        };
        let clock: Arc<dyn Clock> = Arc::new(Monotonic);
        let created = worker::create(&order, &clock, &Progress::default()).unwrap();
        Self {
            decoder: created.engine,
            stock: Arc::new(Mutex::new(stock)),
            vocab: shape.vocab,
        }
    }

    fn ids(&self, count: usize) -> Vec<u32> {
        (0..count)
            .map(|at| (at * 7919 % self.vocab) as u32)
            .collect()
    }

    fn prefills(&mut self, case: Case, pairs: usize) -> Times {
        let ids = self.ids(case.batch * case.context);
        let prompts = Prompts::new(ids.clone(), case.batch).unwrap();
        self.reserve(case, 1);
        let mut times = Times::default();
        // The first pair warms up.
        for pair in 0..=pairs {
            let mut of_decoder = || {
                let trace = self
                    .decoder
                    .generate(&prompts, 1, &Monotonic, &Progress::default())
                    .unwrap();
                seconds_between(trace.t0, trace.arrivals[0])
            };
            let of_stock = || {
                on_cpu(|| {
                    let mut stock = self.stock.lock().unwrap();
                    stock.clear();
                    stock.timed_pass(&ids, case.batch)
                })
            };
            let (decoder, stock) = if pair % 2 == 0 {
                let decoder = of_decoder();
                (decoder, of_stock())
            } else {
                let stock = of_stock();
                (of_decoder(), stock)
            };
            if pair > 0 {
                times.decoder.push(decoder);
                times.stock.push(stock);
            }
        }
        times
    }

    fn decodes(&mut self, case: Case, steps: usize) -> Times {
        let ids = self.ids(case.batch * case.context);
        self.reserve(case, steps + 1);
        on_cpu(|| {
            let mut stock = self.stock.lock().unwrap();
            stock.clear();
            stock.fill(&ids, case.batch);
        });
        let turns = Turns {
            stock: Arc::clone(&self.stock),
            batch: case.batch,
            // The start, the prefill and one step of either side to warm up.
            skipped: 3,
            state: Mutex::new(TurnsState::default()),
        };
        let prompts = Prompts::new(ids, case.batch).unwrap();
        // One step more than is paired: the first one warms up.
        let trace = self
            .decoder
            .generate(&prompts, steps + 2, &turns, &Progress::default())
            .unwrap();
        let steps_of_decoder = trace.arrivals.windows(2).skip(1);
        Times {
            decoder: steps_of_decoder
                .map(|pair| seconds_between(pair[0], pair[1]))
                .collect(),
            stock: turns.state.into_inner().unwrap().stock,
        }
        .cut(steps)
    }

    fn reserve(&mut self, case: Case, tokens: usize) {
        let capacity = Capacity {
            batch: case.batch as u32,
            context: (case.context + tokens + 1) as u32,
        };
        self.decoder.reserve(capacity).unwrap();
    }
}

impl Times {
    fn cut(mut self, pairs: usize) -> Self {
        self.decoder.truncate(pairs);
        self.stock.truncate(pairs);
        assert_eq!(self.decoder.len(), self.stock.len());
        self
    }
}

fn seconds_between(start: Nanos, end: Nanos) -> f64 {
    end.since(start).unwrap().value() as f64 / 1e9
}

/// Runs `work` on the thread pool that candle's quantized products use.
fn on_cpu<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    Device::Cpu.with_context(work)
}

/// A clock that stands still while stock takes its turn: one step after each step of the decoder.
struct Turns {
    stock: Arc<Mutex<Stock>>,
    batch: usize,
    /// Readings after which the first measured turn comes.
    skipped: usize,
    state: Mutex<TurnsState>,
}

#[derive(Default)]
struct TurnsState {
    readings: usize,
    paused: u64,
    stock: Vec<f64>,
}

impl Clock for Turns {
    fn now(&self) -> Nanos {
        let mut state = self.state.lock().unwrap();
        let now = Monotonic.now();
        let shown = Nanos::new(now.value() - state.paused);
        state.readings += 1;
        if state.readings >= self.skipped {
            let ids = vec![5; self.batch];
            let seconds = self.stock.lock().unwrap().timed_pass(&ids, self.batch);
            if state.readings > self.skipped {
                state.stock.push(seconds);
            }
            state.paused += Monotonic.now().value() - now.value();
        }
        shown
    }

    fn realtime(&self) -> Nanos {
        Monotonic.realtime()
    }
}

/// candle-transformers' model.
struct Stock {
    model: StockModel,
    /// Tokens of every sequence in the cache.
    past: usize,
}

enum StockModel {
    Dense {
        model: Box<llama::Llama>,
        cache: Box<llama::Cache>,
        empty: Box<llama::Cache>,
    },
    Quantized(Box<quantized_llama::ModelWeights>),
}

impl Stock {
    fn dense(folder: &Path) -> Self {
        let config = std::fs::read(folder.join("config.json")).unwrap();
        let config: llama::LlamaConfig = serde_json::from_slice(&config).unwrap();
        let config = config.into_config(false);
        let tensors =
            candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
        let builder = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let cache = llama::Cache::new(true, DType::F32, &config, &Device::Cpu).unwrap();
        let model = StockModel::Dense {
            model: Box::new(llama::Llama::load(builder, &config).unwrap()),
            empty: Box::new(cache.clone()),
            cache: Box::new(cache),
        };
        Self { model, past: 0 }
    }

    fn quantized(path: &Path) -> Self {
        let mut file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
        let content = gguf_file::Content::read(&mut file).unwrap();
        let model =
            quantized_llama::ModelWeights::from_gguf(content, &mut file, &Device::Cpu).unwrap();
        let model = StockModel::Quantized(Box::new(model));
        Self { model, past: 0 }
    }

    fn clear(&mut self) {
        self.past = 0;
        match &mut self.model {
            StockModel::Dense { cache, empty, .. } => cache.clone_from(empty),
            StockModel::Quantized(model) => model.clear_kv_cache(),
        }
    }

    /// One pass over `ids` in row-major order, ending with the next ids in host memory.
    fn pass(&mut self, ids: &[u32], batch: usize) {
        let length = ids.len() / batch;
        let ids = Tensor::from_slice(ids, (batch, length), &Device::Cpu).unwrap();
        let logits = match &mut self.model {
            StockModel::Dense { model, cache, .. } => model.forward(&ids, self.past, cache),
            StockModel::Quantized(model) => model.forward(&ids, self.past),
        };
        let next = logits.unwrap().argmax(D::Minus1).unwrap();
        assert_eq!(
            next.flatten_all().unwrap().to_vec1::<u32>().unwrap().len(),
            batch
        );
        self.past += length;
    }

    fn timed_pass(&mut self, ids: &[u32], batch: usize) -> f64 {
        let start = Monotonic.now();
        self.pass(ids, batch);
        seconds_between(start, Monotonic.now())
    }

    /// Puts a prompt into the cache, by steps where it cannot be done at once.
    fn fill(&mut self, ids: &[u32], batch: usize) {
        let length = ids.len() / batch;
        if batch == 1 || matches!(self.model, StockModel::Dense { .. }) {
            return self.pass(ids, batch);
        }
        for at in 0..length {
            let column: Vec<u32> = (0..batch).map(|row| ids[row * length + at]).collect();
            self.pass(&column, batch);
        }
    }
}

/// A matrix of `rows` × `columns` seeded random numbers.
fn matrix(rows: usize, columns: usize) -> Tensor {
    use rand::{RngExt, SeedableRng};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64((rows * 31 + columns) as u64);
    let scale = (3.0 / columns as f32).sqrt();
    let values: Vec<f32> = (0..rows * columns)
        .map(|_| random.random_range(-scale..scale))
        .collect();
    Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
}

fn ones(width: usize) -> Tensor {
    Tensor::ones(width, DType::F32, &Device::Cpu).unwrap()
}

/// A Hugging Face folder of f32 weights.
fn write_folder(folder: &Path, shape: Shape) {
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.ffn,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "num_hidden_layers": shape.layers,
        "vocab_size": shape.vocab,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "tie_word_embeddings": false,
        "torch_dtype": "float32",
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut tensors = HashMap::new();
    let Shape { hidden, ffn, .. } = shape;
    let kv = shape.kv_heads * (hidden / shape.heads);
    tensors.insert(
        "model.embed_tokens.weight".to_owned(),
        matrix(shape.vocab, hidden),
    );
    tensors.insert("lm_head.weight".to_owned(), matrix(shape.vocab, hidden));
    tensors.insert("model.norm.weight".to_owned(), ones(hidden));
    for layer in 0..shape.layers {
        let mut put = |name: &str, tensor| {
            tensors.insert(format!("model.layers.{layer}.{name}.weight"), tensor);
        };
        put("input_layernorm", ones(hidden));
        put("post_attention_layernorm", ones(hidden));
        put("self_attn.q_proj", matrix(hidden, hidden));
        put("self_attn.k_proj", matrix(kv, hidden));
        put("self_attn.v_proj", matrix(kv, hidden));
        put("self_attn.o_proj", matrix(hidden, hidden));
        put("mlp.gate_proj", matrix(ffn, hidden));
        put("mlp.up_proj", matrix(ffn, hidden));
        put("mlp.down_proj", matrix(hidden, ffn));
    }
    candle_core::safetensors::save(&tensors, folder.join("model.safetensors")).unwrap();
}

/// A GGUF file whose matrices are all of `dtype`.
fn write_gguf(path: &PathBuf, shape: Shape, dtype: GgmlDType) {
    let quantized = |tensor: Tensor| QTensor::quantize(&tensor, dtype).unwrap();
    let plain = |tensor: Tensor| QTensor::quantize(&tensor, GgmlDType::F32).unwrap();
    let Shape { hidden, ffn, .. } = shape;
    let kv = shape.kv_heads * (hidden / shape.heads);
    let mut tensors = vec![
        (
            "token_embd.weight".to_owned(),
            quantized(matrix(shape.vocab, hidden)),
        ),
        (
            "output.weight".to_owned(),
            quantized(matrix(shape.vocab, hidden)),
        ),
        ("output_norm.weight".to_owned(), plain(ones(hidden))),
    ];
    for layer in 0..shape.layers {
        let mut put =
            |name: &str, tensor| tensors.push((format!("blk.{layer}.{name}.weight"), tensor));
        put("attn_norm", plain(ones(hidden)));
        put("ffn_norm", plain(ones(hidden)));
        put("attn_q", quantized(matrix(hidden, hidden)));
        put("attn_k", quantized(matrix(kv, hidden)));
        put("attn_v", quantized(matrix(kv, hidden)));
        put("attn_output", quantized(matrix(hidden, hidden)));
        put("ffn_gate", quantized(matrix(ffn, hidden)));
        put("ffn_up", quantized(matrix(ffn, hidden)));
        put("ffn_down", quantized(matrix(hidden, ffn)));
    }
    let number =
        |key: &str, value: usize| (format!("llama.{key}"), gguf_file::Value::U32(value as u32));
    let metadata = [
        (
            "general.architecture".to_owned(),
            gguf_file::Value::String("llama".to_owned()),
        ),
        (
            "llama.attention.layer_norm_rms_epsilon".to_owned(),
            gguf_file::Value::F32(1e-5),
        ),
        number("attention.head_count", shape.heads),
        number("attention.head_count_kv", shape.kv_heads),
        number("block_count", shape.layers),
        number("context_length", CONTEXT),
        number("embedding_length", hidden),
        number("feed_forward_length", ffn),
        number("rope.dimension_count", hidden / shape.heads),
        number("vocab_size", shape.vocab),
    ];
    let metadata: Vec<_> = metadata
        .iter()
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    let tensors: Vec<_> = tensors
        .iter()
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    gguf_file::write(&mut file, &metadata, &tensors).unwrap();
}
