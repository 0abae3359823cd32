//! What models and broken files cost in memory, read from the kernel's own account of the process.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests, which clippy only sees inside test functions"
)]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mtok::clock::Monotonic;
use mtok::engine::Capacity;
use mtok::engine::worker::{
    BlockOrder, Holding, Order, Process, Processes, Unescorted, Worker, WorkerCommand,
};
use mtok::study::model::{DeviceChoice, EngineKind, ModelSource, Precision};
use mtok::study::workload::PointId;
use mtok::units::Seconds;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

const MTOK: &str = env!("CARGO_BIN_EXE_mtok");

/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// A number of `/proc/PID/status` in bytes; `None` once the process has ended.
fn status_bytes(pid: u32, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

fn anonymous(pid: u32) -> u64 {
    status_bytes(pid, "RssAnon:").unwrap()
}

/// Runs `work` and returns the highest anonymous memory of the process meanwhile.
fn peak_during(pid: u32, work: impl FnOnce()) -> u64 {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut peak = 0;
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(anonymous(pid));
                std::thread::sleep(LOOK);
            }
            peak
        });
        work();
        done.store(true, Ordering::Relaxed);
        watch.join().unwrap()
    })
}

const HIDDEN: usize = 1024;
const FFN: usize = 2816;
const KEYS: usize = 512;
const VOCAB: usize = 8192;
const LAYERS: usize = 3;

/// Names and dimensions of a Llama-shaped model of 52 million parameters.
fn tensors() -> Vec<(String, Vec<usize>)> {
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCAB, HIDDEN]),
        ("lm_head.weight".to_owned(), vec![VOCAB, HIDDEN]),
        ("model.norm.weight".to_owned(), vec![HIDDEN]),
    ];
    for layer in 0..LAYERS {
        for (part, dims) in [
            ("input_layernorm", vec![HIDDEN]),
            ("post_attention_layernorm", vec![HIDDEN]),
            ("self_attn.q_proj", vec![HIDDEN, HIDDEN]),
            ("self_attn.k_proj", vec![KEYS, HIDDEN]),
            ("self_attn.v_proj", vec![KEYS, HIDDEN]),
            ("self_attn.o_proj", vec![HIDDEN, HIDDEN]),
            ("mlp.gate_proj", vec![FFN, HIDDEN]),
            ("mlp.up_proj", vec![FFN, HIDDEN]),
            ("mlp.down_proj", vec![HIDDEN, FFN]),
        ] {
            tensors.push((format!("model.layers.{layer}.{part}.weight"), dims));
        }
    }
    tensors
}

/// A checkpoint of bfloat16 numbers, 105 MB.
fn checkpoint() -> TempDir {
    let folder = TempDir::new().unwrap();
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "hidden_size": HIDDEN, "intermediate_size": FFN,
        "num_hidden_layers": LAYERS, "num_attention_heads": 16, "num_key_value_heads": 8,
        "vocab_size": VOCAB, "max_position_embeddings": 1024, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "tie_word_embeddings": false
    });
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let mut header = Map::new();
    let mut end = 0;
    for (name, dims) in tensors() {
        let begin = end;
        end += 2 * dims.iter().product::<usize>();
        let entry = json!({ "dtype": "BF16", "shape": dims, "data_offsets": [begin, end] });
        header.insert(name, entry);
    }
    let header = Value::Object(header).to_string();
    // Between 2⁻⁷ and 2⁻⁶ with either sign, over and over: the length is odd, so that rows differ.
    let mut state = 1_u32;
    let numbers = (0..65_521).flat_map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (0x3C00 | ((state >> 16) as u16 & 0x807F)).to_le_bytes()
    });
    let numbers: Vec<u8> = numbers.collect();
    let mut file = BufWriter::new(File::create(folder.path().join("model.safetensors")).unwrap());
    file.write_all(&(header.len() as u64).to_le_bytes())
        .unwrap();
    file.write_all(header.as_bytes()).unwrap();
    let mut left = end;
    while left > 0 {
        let piece = left.min(numbers.len());
        file.write_all(&numbers[..piece]).unwrap();
        left -= piece;
    }
    file.into_inner().unwrap();
    folder
}

fn worker() -> Process {
    let processes = Processes {
        command: WorkerCommand::new(MTOK, ["worker"], std::env::vars_os()),
        no_progress_timeout: Seconds::new(300.0),
        clock: Arc::new(Monotonic),
        interrupt: Arc::default(),
        escort: Arc::new(Unescorted),
    };
    processes.start().unwrap()
}

/// A room whose cache is small beside the weights.
const ROOM: Capacity = Capacity {
    batch: 2,
    context: 64,
};

/// A worker that has loaded the model, and the memory that it took.
struct Loaded {
    worker: Process,
    /// Bytes of the weights on the device.
    weights: u64,
    /// Highest while the model was loaded.
    peak: u64,
    /// With room for the cache, whose bytes are left out.
    after: u64,
}

impl Loaded {
    fn new(folder: &Path, precision: Precision) -> Self {
        let mut worker = worker();
        let order = Order {
            source: ModelSource::Dir(folder.to_owned()),
            engine: EngineKind::Decoder,
            device: DeviceChoice::Cpu,
            precision,
            kv: None,
            seed: 1,
            holding: Holding::default(),
        };
        let peak = peak_during(worker.id(), || {
            worker.load(&order).unwrap();
        });
        worker.reserve(ROOM).unwrap();
        let facts = worker.describe().unwrap();
        Self {
            weights: facts.weight_bytes,
            peak,
            after: anonymous(worker.id()) - facts.kv_allocated_bytes,
            worker,
        }
    }

    fn per_weight(&self, bytes: u64) -> f64 {
        bytes as f64 / self.weights as f64
    }

    /// Anonymous memory after products with many rows and with few.
    fn used(&mut self, precision: Precision) -> u64 {
        let count = |n| NonZeroU32::new(n).unwrap();
        let block = BlockOrder {
            point: PointId {
                precision,
                kv: None,
                batch: count(2),
                isl: count(48),
                osl: count(2),
            },
            seed: 1,
            min_seconds: Seconds::new(0.0),
            min_generations: 1,
            max_seconds: Seconds::new(600.0),
            max_generations: 1,
        };
        self.worker.block(&block).unwrap();
        anonymous(self.worker.id())
    }
}

#[test]
fn dense_weights_are_in_memory_once() {
    let folder = checkpoint();
    for precision in [Precision::F32, Precision::F16, Precision::Bf16] {
        let seen = Loaded::new(folder.path(), precision);
        assert!(seen.weights > 100_000_000, "{precision}: {}", seen.weights);
        let (after, peak) = (seen.per_weight(seen.after), seen.per_weight(seen.peak));
        assert!(after <= 1.3, "{precision}: {after:.2} after load");
        assert!(peak <= 1.5, "{precision}: {peak:.2} at most");
    }
}

/// README says what candle's tiles for products of many rows cost beside the blocks.
#[test]
fn quantized_weights_are_in_memory_once_and_at_most_twice_in_use() {
    let folder = checkpoint();
    for precision in [Precision::Q8_0, Precision::Q4K] {
        let mut seen = Loaded::new(folder.path(), precision);
        let (after, peak) = (seen.per_weight(seen.after), seen.per_weight(seen.peak));
        let used = seen.used(precision);
        let used = seen.per_weight(used);
        println!("{precision}: {after:.2} after load, {peak:.2} at most, {used:.2} in use");
        assert!(after <= 1.3, "{precision}: {after:.2} after load");
        assert!(used <= 2.3, "{precision}: {used:.2} in use");
    }
}

/// What a process that refuses something took.
struct Refusal {
    code: i32,
    message: String,
    resident: u64,
    /// Processor time in hundredths of a second.
    ticks: u64,
}

/// User and system time of a process (proc_pid_stat(5)).
fn ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit(") ").next()?.split(' ').collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

fn refusal(source: &str, out: &Path) -> Refusal {
    let mut child = Command::new(MTOK)
        .args(["run", "--model", source, "--out"])
        .arg(out)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let mut resident = 0;
    let mut spent = 0;
    while child.try_wait().unwrap().is_none() {
        resident = resident.max(status_bytes(pid, "VmHWM:").unwrap_or(0));
        spent = spent.max(ticks(pid).unwrap_or(0));
        std::thread::sleep(LOOK);
    }
    let output = child.wait_with_output().unwrap();
    Refusal {
        code: output.status.code().unwrap(),
        message: String::from_utf8(output.stderr).unwrap(),
        resident,
        ticks: spent,
    }
}

/// A sparse file of eight gibibytes that begins with these bytes.
fn huge(path: &Path, head: &[u8]) {
    let mut file = File::create(path).unwrap();
    file.write_all(head).unwrap();
    file.set_len(8 << 30).unwrap();
}

#[test]
fn a_broken_file_is_refused_within_a_second_and_64_mebibytes() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gguf/llama-q8_0.gguf");
    let whole = std::fs::read(fixture).unwrap();
    std::fs::write(path("cut.gguf"), &whole[..whole.len() - 100]).unwrap();
    huge(&path("zeros.gguf"), b"");
    // Version 3 with more tensors and more metadata than any file holds.
    let counts = [&b"GGUF\x03\0\0\0"[..], &[0xff; 8], &[0xff; 8]].concat();
    huge(&path("counts.gguf"), &counts);
    for (name, length) in [("header", 4_u64 << 30), ("length", u64::MAX)] {
        std::fs::create_dir(path(name)).unwrap();
        let config = r#"{"architectures":["LlamaForCausalLM"],"hidden_size":64,
            "intermediate_size":96,"num_hidden_layers":2,"num_attention_heads":4,
            "vocab_size":40,"max_position_embeddings":128,"rms_norm_eps":1e-5}"#;
        std::fs::write(path(name).join("config.json"), config).unwrap();
        huge(&path(name).join("model.safetensors"), &length.to_le_bytes());
    }
    std::fs::create_dir(path("config")).unwrap();
    huge(&path("config").join("config.json"), b"{");

    for source in [
        "gguf:cut.gguf",
        "gguf:zeros.gguf",
        "gguf:counts.gguf",
        "dir:header",
        "dir:length",
        "dir:config",
    ] {
        let (kind, name) = source.split_once(':').unwrap();
        let file = path(name);
        let seen = refusal(&format!("{kind}:{}", file.display()), &path("out"));
        assert_eq!(seen.code, 4, "{source}: {}", seen.message);
        assert!(
            seen.message.contains(file.to_str().unwrap()),
            "{source}: {}",
            seen.message
        );
        assert!(!path("out").exists(), "{source}: something was begun");
        let mebibytes = seen.resident >> 20;
        assert!(mebibytes > 0, "{source}: never seen alive");
        assert!(mebibytes <= 64, "{source}: {mebibytes} MiB");
        // Processor time, so that a busy machine does not decide; there is nothing to wait for.
        assert!(seen.ticks <= 100, "{source}: {} hundredths", seen.ticks);
    }
}

#[test]
fn a_plan_counts_the_bytes_that_a_gguf_file_has() {
    for name in ["llama-q8_0", "llama-mixed"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gguf");
        let file = folder.join(name).with_extension("gguf");
        let output = Command::new(MTOK)
            .args(["plan", "--json", "--precision", "native", "--model"])
            .arg(format!("gguf:{}", file.display()))
            .args(["--isl", "16", "--osl", "4"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let points = answer["plan"]["points"].as_array().unwrap();
        let length = std::fs::metadata(&file).unwrap().len();
        assert!(!points.is_empty());
        for point in points {
            assert_eq!(point["memory"]["weight_bytes"], length, "{name}");
        }
    }
}
