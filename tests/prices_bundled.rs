//! The bundled catalog against the figures that were collected for it, row by row.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use jiff::civil::{Date, date};
use mtok::catalog::Catalog;
use mtok::catalog::import::{Implausible, ImportOptions, litellm};
use mtok::catalog::rows::{ApiRow, Commit, Confidence, Rates, RentalRow};

/// Card, seller, how it is paid for, USD per card and hour, and the letter of the source.
type Figure = (&'static str, &'static str, Commit, &'static str, char);

use Commit::{OnDemand, OwnedTco, Reserved, Reserved3y, Spot};

const FIGURES: &[Figure] = &[
    ("a100-40gb-sxm", "lambda", OnDemand, "1.99", 'a'),
    ("a100-40gb-sxm", "vast", OnDemand, "0.76", 'g'),
    ("a100-40gb-sxm", "aws", OnDemand, "2.7447", 'b'),
    ("a100-40gb-sxm", "azure", OnDemand, "3.3996", 'b'),
    ("a100-80gb-sxm", "runpod", OnDemand, "1.39", 'a'),
    ("a100-80gb-sxm", "runpod", OnDemand, "1.79", 'b'),
    ("a100-80gb-pcie", "runpod", OnDemand, "1.19", 'a'),
    ("a100-80gb-pcie", "runpod", OnDemand, "1.59", 'a'),
    ("a100-80gb-sxm", "hyperstack", OnDemand, "1.60", 'c'),
    ("a100-80gb-pcie", "hyperstack", OnDemand, "1.35", 'c'),
    ("a100-80gb-sxm", "akash", OnDemand, "1.71", 'd'),
    ("a100-80gb-sxm", "lambda", OnDemand, "2.79", 'a'),
    ("a100-80gb-sxm", "aws", OnDemand, "3.4309", 'b'),
    ("a100-80gb-pcie", "azure", OnDemand, "3.673", 'b'),
    ("a100-80gb-pcie", "azure", OnDemand, "4.777", 'b'),
    ("a100-80gb-sxm", "hyperstack", Reserved, "1.36", 'c'),
    ("a100-80gb-pcie", "hyperstack", Reserved, "0.95", 'c'),
    ("a100-80gb-pcie", "hyperstack", Spot, "1.08", 'c'),
    ("a100-80gb-sxm", "verda", Spot, "0.45", 'g'),
    ("h100-pcie", "runpod", OnDemand, "1.99", 'a'),
    ("h100-pcie", "runpod", OnDemand, "2.89", 'a'),
    ("h100-pcie", "hyperstack", OnDemand, "2.50", 'c'),
    ("h100-pcie", "lambda", OnDemand, "3.29", 'a'),
    ("h100-pcie", "hyperstack", Reserved, "1.75", 'c'),
    ("h100-pcie", "hyperstack", Spot, "2.00", 'c'),
    ("h100-sxm", "runpod", OnDemand, "2.69", 'a'),
    ("h100-sxm", "runpod", OnDemand, "3.99", 'b'),
    ("h100-sxm", "akash", OnDemand, "2.71", 'd'),
    ("h100-sxm", "hyperstack", OnDemand, "3.20", 'c'),
    ("h100-sxm", "lambda", OnDemand, "4.29", 'a'),
    ("h100-sxm", "lambda", OnDemand, "3.99", 'a'),
    ("h100-sxm", "nebius", OnDemand, "4.50", 'e'),
    ("h100-sxm", "coreweave", OnDemand, "6.155", 'd'),
    ("h100-sxm", "vast", OnDemand, "2.40", 'a'),
    ("h100-sxm", "aws", OnDemand, "6.88", 'b'),
    ("h100-sxm", "azure", OnDemand, "12.29", 'b'),
    ("h100-sxm", "gcp", OnDemand, "10.979", 'a'),
    ("h100-sxm", "hyperstack", Reserved, "2.72", 'c'),
    ("h100-sxm", "inferencex", Reserved3y, "1.30", 'f'),
    ("h100-sxm", "coreweave", Spot, "2.464", 'd'),
    ("h100-sxm", "gcp", Spot, "6.571", 'a'),
    ("h100-sxm", "verda", Spot, "0.80", 'g'),
    ("h100-sxm", "inferencex", OwnedTco, "1.30", 'f'),
    ("h100-sxm", "inferencex", OwnedTco, "1.69", 'f'),
    ("h200-sxm", "runpod", OnDemand, "3.59", 'a'),
    ("h200-sxm", "runpod", OnDemand, "4.59", 'a'),
    ("h200-sxm", "hyperstack", OnDemand, "3.99", 'c'),
    ("h200-sxm", "nebius", OnDemand, "5.40", 'e'),
    ("h200-sxm", "together", OnDemand, "5.99", 'e'),
    ("h200-sxm", "coreweave", OnDemand, "6.305", 'e'),
    ("h200-sxm", "aws", OnDemand, "7.912", 'g'),
    ("h200-sxm", "gcp", OnDemand, "10.4365", 'h'),
    ("h200-sxm", "hyperstack", Reserved, "2.79", 'c'),
    ("h200-sxm", "inferencex", Reserved3y, "1.60", 'f'),
    ("h200-sxm", "aws", Spot, "1.5", 'g'),
    ("h200-sxm", "gcp", Spot, "6.2607", 'h'),
    ("h200-sxm", "inferencex", OwnedTco, "1.41", 'f'),
    ("h200-sxm", "inferencex", OwnedTco, "1.74", 'f'),
    ("b200-sxm", "akash", OnDemand, "5.00", 'd'),
    ("b200-sxm", "runpod", OnDemand, "5.98", 'a'),
    ("b200-sxm", "runpod", OnDemand, "6.79", 'a'),
    ("b200-sxm", "hyperstack", OnDemand, "6.00", 'c'),
    ("b200-sxm", "lambda", OnDemand, "6.99", 'd'),
    ("b200-sxm", "lambda", OnDemand, "6.69", 'd'),
    ("b200-sxm", "nebius", OnDemand, "7.15", 'a'),
    ("b200-sxm", "coreweave", OnDemand, "8.60", 'd'),
    ("b200-sxm", "aws", OnDemand, "14.2416", 'g'),
    ("b200-sxm", "hyperstack", Reserved, "5.10", 'c'),
    ("b200-sxm", "inferencex", Reserved3y, "2.90", 'f'),
    ("b200-sxm", "coreweave", Spot, "4.264", 'd'),
    ("b200-sxm", "aws", Spot, "1.6", 'g'),
    ("b200-sxm", "inferencex", OwnedTco, "1.95", 'f'),
    ("b200-sxm", "inferencex", OwnedTco, "2.34", 'f'),
    ("l4", "scaleway", OnDemand, "0.95", 'g'),
    ("l4", "aws", OnDemand, "0.8048", 'i'),
    ("l4", "aws", OnDemand, "1.3232", 'g'),
    ("l4", "aws", Spot, "0.53", 'g'),
    ("l40s", "runpod", OnDemand, "0.79", 'a'),
    ("l40s", "runpod", OnDemand, "1.09", 'a'),
    ("l40s", "crusoe", OnDemand, "1.50", 'g'),
    ("l40s", "nebius", OnDemand, "1.55", 'a'),
    ("l40s", "aws", OnDemand, "1.861", 'i'),
    ("a10g", "aws", OnDemand, "1.006", 'i'),
    ("rtx-4090", "runpod", OnDemand, "0.34", 'a'),
    ("rtx-4090", "runpod", OnDemand, "0.74", 'a'),
    ("rtx-4090", "vast", OnDemand, "0.40", 'g'),
    ("mi300x", "digitalocean", OnDemand, "2.59", 'j'),
    ("mi300x", "inferencex", Reserved3y, "1.55", 'f'),
    ("mi300x", "inferencex", OwnedTco, "1.12", 'f'),
    ("mi300x", "inferencex", OwnedTco, "1.40", 'f'),
];

/// Letter, what its address contains, and the days between which it had read its prices.
const SOURCES: [(char, &str, Date, Date); 10] = [
    (
        'a',
        "tgarg01/silybench-data",
        date(2026, 9, 25),
        date(2026, 10, 19),
    ),
    ('b', "109-gpu-pricing", date(2026, 11, 9), date(2026, 11, 9)),
    (
        'c',
        "api-evangelist/nexgen-cloud",
        date(2026, 8, 26),
        date(2026, 8, 26),
    ),
    ('d', "api-evangelist/", date(2026, 9, 20), date(2026, 9, 20)),
    (
        'e',
        "renshuBTC/compute-screener",
        date(2026, 10, 24),
        date(2026, 10, 24),
    ),
    (
        'f',
        "SemiAnalysisAI/InferenceX-app",
        date(2026, 4, 3),
        date(2026, 4, 3),
    ),
    (
        'g',
        "skypilot-catalog",
        date(2026, 11, 23),
        date(2026, 11, 23),
    ),
    (
        'h',
        "tanod/cloud-gpu-list-prices",
        date(2026, 10, 13),
        date(2026, 10, 13),
    ),
    ('i', "AWS Pricing API", date(2026, 8, 17), date(2026, 8, 17)),
    (
        'j',
        "tokenwatt/gpu-cloud-prices",
        date(2026, 10, 7),
        date(2026, 10, 7),
    ),
];

fn rows_of(figure: &Figure, catalog: &Catalog) -> Vec<RentalRow> {
    let (gpu, provider, commit, usd, _) = figure;
    let price: mtok::catalog::Price = usd.parse().unwrap();
    let same = |row: &&RentalRow| {
        row.gpu == *gpu
            && row.provider == *provider
            && row.commit == *commit
            && row.usd_per_gpu_hour == price
    };
    catalog.rentals().iter().filter(same).cloned().collect()
}

#[test]
fn every_rental_is_a_figure_that_was_collected_and_every_figure_is_a_rental() {
    let catalog = Catalog::bundled();
    for figure in FIGURES {
        assert_eq!(rows_of(figure, &catalog).len(), 1, "{figure:?}");
    }
    let cards = catalog
        .rentals()
        .iter()
        .filter(|row| !row.gpu.starts_with("cpu-"));
    assert_eq!(cards.count(), FIGURES.len());
}

#[test]
fn every_rental_names_its_source_and_its_day() {
    let catalog = Catalog::bundled();
    for figure in FIGURES {
        let row = &rows_of(figure, &catalog)[0];
        let (_, address, from, to) = SOURCES.iter().find(|source| source.0 == figure.4).unwrap();
        assert!(row.source.contains(address), "{}: {}", row.id, row.source);
        assert!(
            (*from..=*to).contains(&row.retrieved),
            "{}: {}",
            row.id,
            row.retrieved
        );
    }
}

#[test]
fn rows_whose_price_or_day_nobody_published_say_so() {
    for row in Catalog::bundled().rentals() {
        let note = row.note.as_deref().unwrap_or("");
        // A model of a price is no offer.
        let modelled = row.source.contains("InferenceX");
        assert_eq!(
            modelled,
            row.confidence == Confidence::Estimate,
            "{}",
            row.id
        );
        assert!(!modelled || note.contains("modelled"), "{}", row.id);
        let undated = row.source.contains("skypilot-catalog");
        assert_eq!(undated, note.contains("undated"), "{}", row.id);
        let unstated = row.commit == Commit::Reserved;
        assert!(
            !unstated || note.contains("the term is not stated"),
            "{}",
            row.id
        );
    }
}

#[test]
fn what_nobody_publishes_is_left_out() {
    let catalog = Catalog::bundled();
    let has = |gpu: &str, commit: Commit| {
        let mut rows = catalog.rentals().iter();
        rows.any(|row| row.gpu == gpu && row.commit == commit)
    };
    assert!(!has("mi300x", Spot) && !has("a100-40gb-sxm", Reserved));
    for row in catalog.rentals() {
        let large = ["aws", "azure", "gcp"].contains(&row.provider.as_str());
        assert!(
            !large || matches!(row.commit, OnDemand | Spot),
            "{}",
            row.id
        );
        assert_ne!(row.commit, Commit::Reserved1y, "{}", row.id);
    }
}

/// Card, memory in MiB as the driver reports it, bandwidth in GB/s, dense 16-bit TFLOP/s.
const SHEETS: [(&str, u64, u64, f64); 12] = [
    ("a100-40gb-sxm", 40_960, 1_555, 312.0),
    ("a100-80gb-sxm", 81_920, 2_039, 312.0),
    ("a100-80gb-pcie", 81_920, 1_935, 312.0),
    ("h100-sxm", 81_559, 3_350, 989.4),
    ("h100-pcie", 81_559, 2_000, 756.0),
    ("h200-sxm", 143_771, 4_800, 989.4),
    ("b200-sxm", 183_359, 8_000, 2_250.0),
    ("l4", 23_034, 300, 121.0),
    ("l40s", 46_068, 864, 362.05),
    ("a10g", 23_028, 600, 70.0),
    ("rtx-4090", 24_564, 1_008, 165.2),
    ("mi300x", 196_608, 5_300, 1_307.4),
];

#[test]
fn cards_are_what_their_sheets_say() {
    use mtok::catalog::book::PriceBook as _;
    let catalog = Catalog::bundled();
    let ids: Vec<&str> = catalog
        .gpu_rows()
        .iter()
        .map(|row| row.id.as_str())
        .collect();
    assert_eq!(ids, SHEETS.map(|sheet| sheet.0));
    for (id, memory, bandwidth, tflops) in SHEETS {
        let card = catalog.gpu(id).unwrap();
        assert_eq!(card.vram_mib, memory, "{id}");
        assert_eq!(
            card.bandwidth_bytes_per_second,
            bandwidth * 1_000_000_000,
            "{id}"
        );
        let half = card.flop_per_second("bf16").unwrap() / 1e12;
        assert!((half / tflops - 1.0).abs() < 5e-3, "{id}: {half}");
        assert!(card.provenance.source.starts_with("https://"), "{id}");
    }
}

#[test]
fn memory_that_no_driver_was_seen_to_report_is_marked() {
    for row in Catalog::bundled().gpu_rows() {
        let assumed = ["h100-pcie", "l4", "a10g", "mi300x"].contains(&row.id.as_str());
        let note = row.note.as_deref().unwrap_or("");
        assert_eq!(note.contains("memory is assumed"), assumed, "{}", row.id);
    }
}

/// Input and output of models in USD per million tokens, and cached input where there is a price.
const MODELS: &[(&str, &str, &str, Option<&str>)] = &[
    ("gpt-4o", "2.50", "10", Some("1.25")),
    ("gpt-4o-mini", "0.15", "0.60", Some("0.075")),
    ("gpt-4.1", "2", "8", Some("0.50")),
    ("gpt-4.1-mini", "0.40", "1.60", Some("0.10")),
    ("gpt-4.1-nano", "0.10", "0.40", Some("0.025")),
    ("gpt-5", "1.25", "10", Some("0.125")),
    ("gpt-5-mini", "0.25", "2", Some("0.025")),
    ("gpt-5-nano", "0.05", "0.40", Some("0.005")),
    ("gpt-5.2", "1.75", "14", Some("0.175")),
    ("gpt-5.4", "2.50", "15", Some("0.25")),
    ("gpt-5.4-mini", "0.75", "4.50", Some("0.075")),
    ("gpt-5.5", "5", "30", Some("0.5")),
    ("gpt-5.6-sol", "4", "20", Some("0.4")),
    ("gpt-5.6-terra", "2", "12", Some("0.2")),
    ("gpt-5.6-luna", "0.20", "1.20", Some("0.02")),
    ("gpt-6-sol", "2", "10", Some("0.20")),
    ("gpt-6.1-terra", "1", "5", Some("0.05")),
    ("gpt-6-luna", "0.10", "0.50", Some("0.01")),
    ("claude-haiku-4-5", "1", "5", Some("0.1")),
    ("claude-haiku-5-5", "0.10", "0.50", Some("0.01")),
    ("claude-sonnet-4-6", "3", "15", Some("0.30")),
    ("claude-sonnet-5", "2", "10", Some("0.20")),
    ("claude-sonnet-5-5", "2", "10", Some("0.10")),
    ("claude-opus-5", "5", "25", Some("0.50")),
    ("claude-opus-5-5", "4", "20", Some("0.20")),
    ("gemini/gemini-2.5-pro", "1.25", "10", Some("0.125")),
    ("gemini/gemini-2.5-flash", "0.30", "2.50", Some("0.03")),
    ("gemini/gemini-2.5-flash-lite", "0.10", "0.40", Some("0.01")),
    ("gemini/gemini-3.1-pro-preview", "2", "12", Some("0.2")),
    ("gemini/gemini-3.8-flash", "0.75", "3.75", Some("0.075")),
    ("deepseek-v4-flash", "0.30", "1.20", Some("0.006")),
    ("deepseek-v4-pro", "1.32", "3.96", Some("0.044")),
    ("mistral/mistral-large-3", "0.50", "1.50", Some("0.05")),
    ("mistral/mistral-large-4", "1.36", "4.18", Some("0.14")),
    (
        "mistral/mistral-small-latest",
        "0.15",
        "0.60",
        Some("0.015"),
    ),
    ("mistral/mistral-medium-3.5", "1.50", "7.50", Some("0.15")),
    ("groq/openai/gpt-oss-120b", "0.15", "0.60", Some("0.075")),
    ("together_ai/openai/gpt-oss-120b", "0.15", "0.60", None),
    (
        "fireworks_ai/accounts/fireworks/models/gpt-oss-120b",
        "0.15",
        "0.60",
        Some("0.015"),
    ),
    ("cerebras/gpt-oss-120b", "0.35", "0.75", None),
    ("deepinfra/openai/gpt-oss-120b", "0.037", "0.17", None),
    ("groq/openai/gpt-oss-20b", "0.075", "0.30", Some("0.0375")),
    ("deepinfra/openai/gpt-oss-20b", "0.03", "0.14", None),
    (
        "fireworks_ai/accounts/fireworks/models/gpt-oss-20b",
        "0.07",
        "0.30",
        Some("0.035"),
    ),
    (
        "together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo",
        "1.04",
        "1.04",
        None,
    ),
    (
        "fireworks_ai/accounts/fireworks/models/llama-v3p3-70b-instruct",
        "0.90",
        "0.90",
        None,
    ),
    (
        "deepinfra/meta-llama/Llama-3.3-70B-Instruct",
        "0.23",
        "0.40",
        None,
    ),
    (
        "deepinfra/meta-llama/Llama-3.3-70B-Instruct-Turbo",
        "0.10",
        "0.32",
        None,
    ),
    (
        "nebius/meta-llama/Llama-3.3-70B-Instruct",
        "0.13",
        "0.40",
        None,
    ),
    ("lambda_ai/llama3.3-70b-instruct-fp8", "0.12", "0.30", None),
    (
        "sambanova/Meta-Llama-3.3-70B-Instruct",
        "0.60",
        "1.20",
        None,
    ),
    ("cerebras/llama-3.3-70b", "0.85", "1.20", None),
    (
        "deepinfra/meta-llama/Meta-Llama-3.1-8B-Instruct",
        "0.03",
        "0.05",
        None,
    ),
    (
        "deepinfra/meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo",
        "0.02",
        "0.04",
        None,
    ),
    (
        "nebius/meta-llama/Meta-Llama-3.1-8B-Instruct",
        "0.02",
        "0.06",
        None,
    ),
    (
        "fireworks_ai/accounts/fireworks/models/llama-v3p1-8b-instruct",
        "0.10",
        "0.10",
        None,
    ),
    ("lambda_ai/llama3.1-8b-instruct", "0.025", "0.04", None),
    ("deepinfra/Qwen/Qwen3-32B", "0.08", "0.28", None),
    ("lambda_ai/qwen3-32b-fp8", "0.05", "0.10", None),
    (
        "fireworks_ai/accounts/fireworks/models/qwen3-32b",
        "0.90",
        "0.90",
        None,
    ),
];

/// Embeddings, input alone.
const EMBEDDINGS: &[(&str, &str)] = &[
    ("text-embedding-3-small", "0.02"),
    ("text-embedding-3-large", "0.13"),
    ("text-embedding-ada-002", "0.10"),
    ("cohere/embed-v4.0", "0.12"),
    ("voyage/voyage-4", "0.06"),
    ("voyage/voyage-4-lite", "0.02"),
    ("gemini/gemini-embedding-001", "0.15"),
    ("mistral/mistral-embed", "0.10"),
    ("amazon.titan-embed-text-v2:0", "0.02"),
    ("nebius/BAAI/bge-en-icl", "0.01"),
    ("nebius/BAAI/bge-multilingual-gemma2", "0.01"),
    ("nebius/intfloat/e5-mistral-7b-instruct", "0.01"),
];

#[test]
fn every_model_costs_what_was_collected() {
    use mtok::catalog::rows::ApiKind;
    let catalog = Catalog::bundled();
    let price = |text: &str| Some(text.parse::<mtok::catalog::Price>().unwrap());
    for (id, input, output, cached) in MODELS {
        let rates = &catalog.api_row(id, ApiKind::Chat).unwrap().rates;
        assert_eq!(rates.input_usd_per_mtok, price(input), "{id}");
        assert_eq!(rates.output_usd_per_mtok, price(output), "{id}");
        assert_eq!(
            rates.cached_input_usd_per_mtok,
            cached.and_then(price),
            "{id}"
        );
    }
    for (id, input) in EMBEDDINGS {
        let row = catalog.api_row(id, ApiKind::Embedding).unwrap();
        assert_eq!(row.rates.input_usd_per_mtok, price(input), "{id}");
    }
    let count = |kind: ApiKind| catalog.apis().iter().filter(|row| row.kind == kind).count();
    assert_eq!(
        (count(ApiKind::Chat), count(ApiKind::Embedding)),
        (MODELS.len(), EMBEDDINGS.len())
    );
}

#[test]
fn half_price_batches_are_half_and_writes_cost_a_quarter_more() {
    let catalog = Catalog::bundled();
    let number =
        |price: Option<mtok::catalog::Price>| price.map(|p| f64::try_from(p.decimal()).unwrap());
    for row in catalog.apis() {
        let rates: &Rates = &row.rates;
        if let (Some(batch), Some(plain)) = (
            number(rates.batch_input_usd_per_mtok),
            number(rates.input_usd_per_mtok),
        ) {
            assert!((batch / plain - 0.5).abs() < 1e-9, "{}", row.id);
        }
        if let (Some(write), Some(plain)) = (
            number(rates.cache_write_usd_per_mtok),
            number(rates.input_usd_per_mtok),
        ) {
            assert!(
                (write / plain - 1.25).abs() < 1e-9 || write.abs() < 1e-12,
                "{}: {write}",
                row.id
            );
        }
    }
}

#[test]
fn the_bundled_rows_are_those_of_the_whole_list_where_it_is_at_hand() {
    // The list is 3 MB and not kept here.
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = ["../shared", "../../shared"]
        .map(|folder| {
            root.join(folder)
                .join("data/litellm/model_prices_and_context_window.json")
        })
        .into_iter()
        .find_map(|path| std::fs::read(path).ok());
    let Some(bytes) = list else { return };
    let options = ImportOptions {
        as_of: date(2026, 11, 23),
        implausible: Implausible::Quarantine,
    };
    let import = litellm::import(&bytes, options).unwrap();
    let by_id: BTreeMap<&str, &ApiRow> = import
        .file
        .apis
        .iter()
        .map(|row| (row.id.as_str(), row))
        .collect();
    let catalog = Catalog::bundled();
    for row in catalog.apis() {
        let listed = by_id.get(row.id.as_str());
        let listed = listed.unwrap_or_else(|| panic!("{} is not in the list", row.id));
        assert_eq!(
            (&row.rates, &row.tiers, row.usd_per_query),
            (&listed.rates, &listed.tiers, listed.usd_per_query),
            "{}",
            row.id
        );
        assert_eq!(
            (&row.off_peak, row.cache_min_tokens, row.deprecated),
            (&listed.off_peak, listed.cache_min_tokens, listed.deprecated),
            "{}",
            row.id
        );
    }
}
