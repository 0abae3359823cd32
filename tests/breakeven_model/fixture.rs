//! A small price book and model cards for the break-even tests.

use std::collections::BTreeMap;

use mtok::catalog::book::{
    ApiPrice, BatchPrices, Commitment, DensePeak, EmbeddingPrice, GpuCard, LongContextTier,
    NotFound, OffPeak, PriceBook, Provenance, Rental, TokenPrices, WeekWindow,
};
use mtok::cost::answer::Answer;
use mtok::cost::measured::Measured;
use mtok::cost::resolve::{Evidence, Sources};
use mtok::cost::scenario::{Document, MeetsQuality, ScenarioError};
use mtok::cost::trace::Trace;
use mtok::study::model::{Family, ModelCard, Shape};

pub(crate) fn provenance() -> Provenance {
    Provenance {
        source: "https://example.org/prices".to_owned(),
        as_of: "2026-11-20".parse().unwrap(),
    }
}

fn prices(input: &str, output: &str, cached: Option<&str>, write: Option<&str>) -> TokenPrices {
    TokenPrices {
        input_usd_per_mtok: input.parse().unwrap(),
        output_usd_per_mtok: output.parse().unwrap(),
        cached_input_usd_per_mtok: cached.map(|price| price.parse().unwrap()),
        cache_write_usd_per_mtok: write.map(|price| price.parse().unwrap()),
    }
}

/// A handful of rows.
pub(crate) struct Book {
    apis: BTreeMap<&'static str, ApiPrice>,
}

fn row(id: &'static str, prices: TokenPrices) -> ApiPrice {
    ApiPrice {
        id: id.to_owned(),
        provider: "test".to_owned(),
        prices,
        cache_storage_usd_per_mtok_hour: None,
        cache_min_tokens: None,
        batch: None,
        tiers: Vec::new(),
        off_peak: None,
        deprecated: None,
        provenance: provenance(),
    }
}

impl Book {
    pub(crate) fn new() -> Self {
        let mut gpt = row("gpt-4o", prices("2.50", "10", Some("1.25"), None));
        gpt.batch = Some(BatchPrices {
            input_usd_per_mtok: "1.25".parse().unwrap(),
            output_usd_per_mtok: "5".parse().unwrap(),
            cached_input_usd_per_mtok: None,
        });
        let mini = row("gpt-4o-mini", prices("0.15", "0.60", Some("0.075"), None));
        let mut sonnet = row(
            "claude-sonnet-5-5",
            prices("2", "10", Some("0.10"), Some("2.50")),
        );
        sonnet.cache_min_tokens = Some(512);
        let mut long = row("long", prices("1", "4", None, None));
        long.tiers = vec![LongContextTier {
            above_tokens: 1_000,
            prices: prices("2", "6", None, None),
        }];
        let mut deepseek = row(
            "deepseek-v4-flash",
            prices("0.30", "1.20", Some("0.006"), None),
        );
        let window = |weekday, from: u16, to: u16| WeekWindow {
            weekday,
            from_minute: from * 60,
            to_minute: to * 60,
        };
        let mut windows = Vec::new();
        for day in 1..=5 {
            windows.extend([window(day, 0, 1), window(day, 4, 6), window(day, 10, 24)]);
        }
        windows.extend([window(6, 0, 24), window(7, 0, 24)]);
        deepseek.off_peak = Some(OffPeak {
            windows,
            prices: prices("0.15", "0.60", Some("0.003"), None),
        });
        let mut old = row("old", prices("1", "1", None, None));
        old.provenance.as_of = "2026-01-01".parse().unwrap();
        let rows = [gpt, mini, sonnet, long, deepseek, old];
        let named = |id: &str| {
            [
                "gpt-4o",
                "gpt-4o-mini",
                "claude-sonnet-5-5",
                "long",
                "deepseek-v4-flash",
                "old",
            ]
            .into_iter()
            .find(|name| *name == id)
            .unwrap()
        };
        Self {
            apis: rows.into_iter().map(|row| (named(&row.id), row)).collect(),
        }
    }
}

fn missing(kind: &'static str, name: &str) -> NotFound {
    NotFound {
        kind,
        name: name.to_owned(),
        near: Vec::new(),
    }
}

fn card(id: &str, vram_mib: u64, bandwidth: u64, tflops: &str) -> GpuCard {
    let peak = |dtype: &str| DensePeak {
        dtype: dtype.to_owned(),
        tflops: tflops.parse().unwrap(),
    };
    GpuCard {
        id: id.to_owned(),
        name: id.to_uppercase(),
        vram_mib,
        bandwidth_bytes_per_second: bandwidth,
        peaks: vec![peak("bf16"), peak("f16")],
        provenance: provenance(),
    }
}

impl PriceBook for Book {
    fn api(&self, name: &str) -> Result<ApiPrice, NotFound> {
        self.apis
            .get(name)
            .cloned()
            .ok_or_else(|| missing("API price", name))
    }

    fn embedding(&self, name: &str) -> Result<EmbeddingPrice, NotFound> {
        let price = match name {
            "text-embedding-3-small" => "0.02",
            "text-embedding-3-large" => "0.13",
            _ => return Err(missing("embedding price", name)),
        };
        Ok(EmbeddingPrice {
            id: name.to_owned(),
            provider: "test".to_owned(),
            input_usd_per_mtok: price.parse().unwrap(),
            batch_input_usd_per_mtok: None,
            dimensions: None,
            provenance: provenance(),
        })
    }

    fn rental(&self, id: &str) -> Result<Rental, NotFound> {
        self.rentals_of("a100-80gb-sxm")
            .into_iter()
            .find(|rental| rental.id == id)
            .ok_or_else(|| missing("rental", id))
    }

    fn rentals_of(&self, gpu: &str) -> Vec<Rental> {
        if gpu != "a100-80gb-sxm" {
            return Vec::new();
        }
        vec![Rental {
            id: "test-a100".to_owned(),
            provider: "test".to_owned(),
            gpu: gpu.to_owned(),
            commitment: Commitment::OnDemand,
            usd_per_gpu_hour: "1.79".parse().unwrap(),
            quantum_gpus: 8,
            region: None,
            provenance: provenance(),
        }]
    }

    fn gpu(&self, id: &str) -> Result<GpuCard, NotFound> {
        self.gpus()
            .into_iter()
            .find(|card| card.id == id)
            .ok_or_else(|| missing("GPU", id))
    }

    fn gpus(&self) -> Vec<GpuCard> {
        vec![
            card("rtx-4090", 24_564, 1_008_000_000_000, "165.2"),
            card("a100-80gb-sxm", 81_920, 2_039_000_000_000, "312"),
            card("h200-sxm", 143_771, 4_800_000_000_000, "989.5"),
        ]
    }

    fn hash(&self) -> String {
        "test".to_owned()
    }
}

/// The shape of Llama 3.x 70B.
pub(crate) fn llama_70b() -> Shape {
    Shape {
        layers: 80,
        hidden: 8_192,
        ffn: 28_672,
        heads: 64,
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

/// Files that a scenario may name; only the model card always exists.
#[derive(Default)]
pub(crate) struct Files {
    pub(crate) measured: Option<Measured>,
    pub(crate) trace: Option<Trace>,
    pub(crate) quality: Option<MeetsQuality>,
}

impl Evidence for Files {
    fn card(&self, name: &str) -> Result<ModelCard, String> {
        if name != "llama-3.3-70b" {
            return Err(format!("no model card named `{name}`"));
        }
        Ok(ModelCard {
            repository: "meta-llama/Llama-3.3-70B-Instruct".to_owned(),
            commit: None,
            family: Family::Llama,
            licence: "llama3.3".to_owned(),
            source: "https://example.org".to_owned(),
            retrieved: "2026-11-20".parse().unwrap(),
            shape: llama_70b(),
        })
    }

    fn measured(&self, path: &str) -> Result<Measured, String> {
        self.measured
            .clone()
            .ok_or_else(|| format!("no study at {path}"))
    }

    fn trace(&self, path: &str) -> Result<Trace, String> {
        self.trace
            .clone()
            .ok_or_else(|| format!("no trace at {path}"))
    }

    fn quality(
        &self,
        path: &str,
        _: mtok::study::variant::Variant,
    ) -> Result<MeetsQuality, String> {
        self.quality.ok_or_else(|| format!("no study at {path}"))
    }
}

pub(crate) fn try_with(text: &str, files: &Files) -> Result<Answer, ScenarioError> {
    let document = Document::parse(text)?;
    let book = Book::new();
    mtok::cost::answer(
        &document,
        Sources {
            book: &book,
            evidence: files,
        },
    )
}

#[track_caller]
pub(crate) fn solve(text: &str) -> Answer {
    match try_with(text, &Files::default()) {
        Ok(answer) => answer,
        Err(error) => panic!("{error} {:?}\n{text}", error.hint),
    }
}

#[track_caller]
pub(crate) fn refuse(text: &str) -> ScenarioError {
    match try_with(text, &Files::default()) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(error) => error,
    }
}

/// The guide's example: 500/150 tokens, 10,000 requests a day, 720 hours, two A100 at 2.00.
pub(crate) const GUIDE: &str = r#"
as_of = 2026-11-23
[calendar]
hours_per_month = 720
[traffic]
requests_per_day = 10_000
system_tokens = 200
history_tokens = 200
user_tokens = 100
output_tokens = 150
[api]
model = "gpt-4o"
[self_hosted]
gpu = "a100-80gb-sxm"
gpus_per_replica = 2
usd_per_gpu_hour = 2.00
output_tokens_per_second = 750
target_load = 1.0
"#;

/// The guide's example with a key set or added.
pub(crate) fn guide_with(section: &str, line: &str) -> String {
    let header = format!("[{section}]");
    let key = line.split('=').next().unwrap().trim();
    let mut current = String::new();
    let mut text = String::new();
    let mut done = false;
    for old in GUIDE.lines() {
        if old.starts_with('[') {
            old.clone_into(&mut current);
        }
        let same = current == header && old.split('=').next().unwrap().trim() == key;
        if !same {
            text.push_str(old);
            text.push('\n');
        }
        if old == header {
            text.push_str(line);
            text.push('\n');
            done = true;
        }
    }
    if !done {
        text.extend([header.as_str(), "\n", line, "\n"]);
    }
    text
}

#[track_caller]
pub(crate) fn close(got: f64, want: f64) {
    let slack = 2e-6 * want.abs().max(1e-3);
    assert!((got - want).abs() <= slack, "{got} for {want}");
}
