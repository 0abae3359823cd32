//! LiteLLM's price list, by an excerpt of the real one with every quirk.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use jiff::civil::{Date, date};
use mtok::catalog::Catalog;
use mtok::catalog::book::PriceBook;
use mtok::catalog::import::{Implausible, Import, ImportError, ImportOptions, litellm};
use mtok::catalog::rows::{ApiKind, ApiRow};

const EXCERPT: &[u8] = include_bytes!("fixtures/prices/litellm-excerpt.json");
const AS_OF: Date = date(2026, 11, 23);

fn import(bytes: &[u8], implausible: Implausible) -> Result<Import, ImportError> {
    let options = ImportOptions {
        as_of: AS_OF,
        implausible,
    };
    litellm::import(bytes, options)
}

fn excerpt() -> Import {
    import(EXCERPT, Implausible::Quarantine).unwrap()
}

#[track_caller]
fn row<'a>(import: &'a Import, id: &str) -> &'a ApiRow {
    import
        .file
        .apis
        .iter()
        .find(|row| row.id == id)
        .unwrap_or_else(|| panic!("{id} was not imported"))
}

fn text(price: Option<mtok::catalog::Price>) -> String {
    price.map_or("none".to_owned(), |price| price.to_string())
}

#[test]
fn every_entry_is_accounted_for() {
    let summary = excerpt().summary;
    let imported: usize = summary.imported.values().sum();
    let skipped: usize = summary.skipped.values().sum();
    assert_eq!(summary.entries, 32);
    assert_eq!(
        imported + skipped + summary.quarantined.len(),
        summary.entries
    );
}

#[test]
fn prices_per_token_become_decimal_prices_per_million() {
    let import = excerpt();
    let gpt = row(&import, "gpt-4o");
    assert_eq!(text(gpt.rates.input_usd_per_mtok), "2.5");
    assert_eq!(text(gpt.rates.output_usd_per_mtok), "10");
    assert_eq!(text(gpt.rates.cached_input_usd_per_mtok), "1.25");
    assert_eq!(text(gpt.rates.batch_output_usd_per_mtok), "5");
    assert_eq!(gpt.context_tokens, Some(128_000));
    assert_eq!(gpt.retrieved, AS_OF);
    // 2.0000000000000002e-07 in the list.
    let noisy = row(&import, "novita/stepfun/step-3.7-flash");
    assert_eq!(text(noisy.rates.input_usd_per_mtok), "0.2");
}

#[test]
fn cache_prices_and_their_minimum_come_along() {
    let import = excerpt();
    let claude = row(&import, "claude-haiku-4-5");
    assert_eq!(claude.cache_min_tokens, Some(4_096));
    assert_eq!(text(claude.rates.cached_input_usd_per_mtok), "0.1");
    assert_eq!(text(claude.rates.cache_write_usd_per_mtok), "1.25");
    assert_eq!(text(claude.cache_write_1h_usd_per_mtok), "2");
    assert_eq!(text(claude.rates.batch_cached_input_usd_per_mtok), "0.05");
    // Written as 6144.0.
    assert_eq!(
        row(&import, "vertex_ai/gemini-4-argon").cache_min_tokens,
        Some(6_144)
    );
}

#[test]
fn tiers_come_from_suffixes_and_from_lists() {
    let import = excerpt();
    let gemini = row(&import, "gemini/gemini-2.5-pro");
    assert_eq!(gemini.tiers.len(), 1);
    assert_eq!(gemini.tiers[0].above_input_tokens, 200_000);
    assert_eq!(text(gemini.tiers[0].rates.output_usd_per_mtok), "15");
    assert_eq!(text(gemini.tiers[0].rates.batch_output_usd_per_mtok), "7.5");
    let qwen = row(&import, "dashscope/qwen-flash");
    assert_eq!(text(qwen.rates.input_usd_per_mtok), "0.05");
    assert_eq!(qwen.tiers.len(), 1);
    assert_eq!(qwen.tiers[0].above_input_tokens, 256_000);
    assert_eq!(text(qwen.tiers[0].rates.input_usd_per_mtok), "0.25");
}

#[test]
fn quiet_hours_in_utc_come_along_and_local_ones_are_left_out_with_a_word() {
    let import = excerpt();
    let quiet = row(&import, "deepseek-v4-flash").off_peak.as_ref().unwrap();
    let minutes: u32 = quiet
        .week()
        .iter()
        .map(|window| u32::from(window.to_minute - window.from_minute))
        .sum();
    assert_eq!(minutes, 133 * 60);
    assert_eq!(text(quiet.rates.output_usd_per_mtok), "0.6");
    assert!(
        row(&import, "tencent/deepseek-v4-pro-0813")
            .off_peak
            .is_none()
    );
    assert_eq!(
        import.summary.doubtful["quiet hours in local time, left out"],
        1
    );
}

#[test]
fn one_offer_under_two_keys_is_one_row_with_an_alias() {
    let import = excerpt();
    assert_eq!(
        row(&import, "deepseek-v4-flash").aliases,
        ["deepseek/deepseek-v4-flash"]
    );
    assert_eq!(
        import.summary.skipped["the same offer under another key"],
        1
    );
}

#[test]
fn rerankers_are_priced_by_query_or_by_token() {
    let import = excerpt();
    let cohere = row(&import, "rerank-v3.5");
    assert_eq!(
        (cohere.kind, text(cohere.usd_per_query)),
        (ApiKind::Rerank, "0.002".to_owned())
    );
    assert_eq!(cohere.rates.input_usd_per_mtok, None);
    let voyage = row(&import, "voyage/rerank-2");
    assert_eq!(text(voyage.rates.input_usd_per_mtok), "0.05");
    assert_eq!(voyage.usd_per_query, None);
}

#[test]
fn embeddings_keep_their_width_and_no_price_of_output() {
    let import = excerpt();
    let small = row(&import, "text-embedding-3-small");
    assert_eq!(
        (small.kind, small.dimensions),
        (ApiKind::Embedding, Some(1_536))
    );
    assert_eq!(text(small.rates.input_usd_per_mtok), "0.02");
    assert_eq!(small.rates.output_usd_per_mtok, None);
}

#[test]
fn prices_hard_to_believe_are_set_apart_unless_allowed() {
    let import = excerpt();
    let quarantined: BTreeMap<&str, &str> = import
        .summary
        .quarantined
        .iter()
        .map(|row| (row.id.as_str(), row.reason.as_str()))
        .collect();
    for (id, reason) in [
        (
            "azure_ai/jais-30b-chat",
            "input costs 3200 USD/Mtok, more than the 250 that is believed",
        ),
        (
            "watsonx/core42/jais-13b-chat",
            "input costs 500 USD/Mtok, more than the 250 that is believed",
        ),
        (
            "embed-multilingual-light-v3.0",
            "input costs 100 USD/Mtok, more than the 10 that is believed",
        ),
    ] {
        assert_eq!(quarantined.get(id), Some(&reason), "{id}");
    }
    assert_eq!(quarantined.len(), 3);
    // Dear, and real.
    assert_eq!(
        text(row(&import, "o1-pro").rates.output_usd_per_mtok),
        "600"
    );

    let allowed = self::import(EXCERPT, Implausible::Allow).unwrap();
    assert!(allowed.summary.quarantined.is_empty());
    assert_eq!(
        text(
            row(&allowed, "azure_ai/jais-30b-chat")
                .rates
                .output_usd_per_mtok
        ),
        "9710"
    );
}

#[test]
fn what_holds_no_price_for_us_is_skipped_with_its_reason() {
    let skipped = excerpt().summary.skipped;
    let expected = [
        ("mode image_generation", 1),
        ("mode search", 1),
        ("no mode", 1),
        ("not priced by tokens", 2),
        ("the documentation entry", 1),
        ("the same offer under another key", 1),
    ];
    let expected: BTreeMap<String, usize> = expected.map(|(k, n)| (k.to_owned(), n)).into();
    assert_eq!(skipped, expected);
}

#[test]
fn doubtful_rows_are_imported_and_counted() {
    let doubtful = excerpt().summary.doubtful;
    assert_eq!(doubtful["output cheaper than input"], 1);
    assert_eq!(doubtful["batch without a discount"], 1);
    assert!(doubtful["past its deprecation date"] >= 1);
    // Free or not known: imported as the zero that somebody published, and warned of where used.
    assert_eq!(doubtful["priced at 0: free or not known"], 3);
    let import = excerpt();
    for id in [
        "cloudflare/@cf/google/gemma-2b-it-lora",
        "perplexity/pplx-70b-online",
    ] {
        assert_eq!(text(row(&import, id).rates.input_usd_per_mtok), "0", "{id}");
    }
    let rerank = row(&import, "nvidia_nim/nvidia/nv-rerankqa-mistral-4b-v3");
    assert_eq!(text(rerank.usd_per_query), "0");
}

#[test]
fn batch_prices_are_those_that_are_listed_and_not_half_by_rule() {
    let import = excerpt();
    let tuned = row(&import, "ft:gpt-4o-2024-08-06");
    assert_eq!(text(tuned.rates.input_usd_per_mtok), "3.75");
    assert_eq!(text(tuned.rates.output_usd_per_mtok), "15");
    assert_eq!(text(tuned.rates.batch_output_usd_per_mtok), "12.5");
    let old = row(&import, "gpt-3.5-turbo-1106");
    assert_eq!(
        old.rates.batch_input_usd_per_mtok,
        old.rates.input_usd_per_mtok
    );
}

#[test]
fn the_limits_of_belief_hold_to_the_cent() {
    let entry = |mode: &str, input: &str| {
        format!(
            "\"{mode} {input}\": {{\"mode\": \"{mode}\", \"litellm_provider\": \"p\", \"input_cost_per_token\": {input}, \"output_cost_per_token\": 1e-6}}"
        )
    };
    let list = [
        entry("chat", "0.00025"),
        entry("chat", "0.00025001"),
        entry("completion", "0.0003"),
        entry("embedding", "0.00001"),
        entry("embedding", "0.00001001"),
        entry("rerank", "0.00002"),
    ];
    let import = import(
        format!("{{{}}}", list.join(",")).as_bytes(),
        Implausible::Quarantine,
    )
    .unwrap();
    let kept: Vec<&str> = import.file.apis.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(kept, ["chat 0.00025", "embedding 0.00001"]);
    let set_apart: Vec<&str> = import
        .summary
        .quarantined
        .iter()
        .map(|row| row.id.as_str())
        .collect();
    assert_eq!(
        set_apart,
        [
            "chat 0.00025001",
            "completion 0.0003",
            "embedding 0.00001001",
            "rerank 0.00002"
        ]
    );
}

#[test]
fn an_import_is_stamped_with_its_day_and_the_hash_of_its_bytes() {
    let stamp = excerpt().file.import.unwrap();
    assert_eq!((stamp.as_of, stamp.sha256.len()), (AS_OF, 64));
    let mut other = EXCERPT.to_vec();
    other.push(b'\n');
    let other = import(&other, Implausible::Quarantine).unwrap();
    assert_ne!(other.file.import.unwrap().sha256, stamp.sha256);
    assert_eq!(other.file.apis, excerpt().file.apis);
}

#[test]
fn what_is_written_is_what_is_read() {
    let import = excerpt();
    let written = toml::to_string(&import.file).unwrap();
    assert_eq!(
        mtok::catalog::parse("x.toml", &written).unwrap(),
        import.file
    );
    let catalog = Catalog::bundled().overlaid("x.toml", &written).unwrap();
    let alias = catalog.api("deepseek/deepseek-v4-flash").unwrap();
    assert_eq!(alias.id, "deepseek-v4-flash");
    assert_eq!(
        alias
            .off_peak
            .unwrap()
            .prices
            .input_usd_per_mtok
            .to_string(),
        "0.15"
    );
}

#[track_caller]
fn refused(json: &str, line: u64, reason: &str) {
    match import(json.as_bytes(), Implausible::Quarantine).unwrap_err() {
        ImportError::Malformed {
            line: found,
            column,
            reason: why,
        } => {
            assert_eq!(found, line, "{why}");
            assert!(column >= 1, "{why}");
            assert!(why.contains(reason), "{why}");
        }
        ImportError::Empty { .. } => panic!("it was read and found empty"),
    }
}

#[test]
fn malformed_lists_are_refused_with_line_and_column() {
    refused("[]", 1, "expected an object of models");
    refused(
        "{\n \"a\": 1}",
        2,
        "expected an object with the prices of a model",
    );
    refused(
        "{\n \"a\": {\n  \"input_cost_per_token\": \"cheap\"}}",
        3,
        "`cheap` is no price",
    );
    refused(
        "{\n \"a\": {\n  \"input_cost_per_token\": [1]}}",
        3,
        "a price must be a number",
    );
    refused(
        "{\n \"a\": {\n  \"input_cost_per_token\": 1e999}}",
        3,
        "number out of range",
    );
    refused("{\n \"a\": {\"mode\": ", 2, "EOF");
    refused("", 1, "EOF");
    let deep = format!("{{\"a\": {{\"x\": {}", "[".repeat(100_000));
    refused(&deep, 1, "EOF");
}

#[test]
fn an_entry_without_a_name_is_skipped() {
    let json =
        br#"{"": {"mode": "chat", "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6},
        "b": {"mode": "chat", "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}}"#;
    let import = import(json, Implausible::Allow).unwrap();
    assert_eq!(import.summary.skipped["no name"], 1);
    assert_eq!(import.file.apis.len(), 1);
}

#[test]
fn a_list_without_a_price_is_refused() {
    let empty = import(b"{}", Implausible::Quarantine).unwrap_err();
    assert!(matches!(empty, ImportError::Empty { .. }));
}

#[test]
fn a_negative_price_is_no_price() {
    let json =
        br#"{"a": {"mode": "chat", "input_cost_per_token": -1e-6, "output_cost_per_token": 1e-6},
        "b": {"mode": "chat", "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}}"#;
    let import = import(json, Implausible::Allow).unwrap();
    assert_eq!(import.summary.skipped["a negative price"], 1);
    assert_eq!(import.file.apis.len(), 1);
}

#[test]
fn the_whole_list_is_read_where_it_is_at_hand() {
    // The list itself is 3 MB and not kept here; its numbers are those that were counted by hand.
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = ["../shared", "../../shared"]
        .map(|folder| root.join(folder))
        .map(|folder| folder.join("data/litellm/model_prices_and_context_window.json"))
        .into_iter()
        .find_map(|path| std::fs::read(path).ok());
    let Some(bytes) = list else { return };
    let import = import(&bytes, Implausible::Quarantine).unwrap();
    let summary = &import.summary;
    assert_eq!(summary.entries, 4_553);
    let imported: usize = summary.imported.values().sum();
    let skipped: usize = summary.skipped.values().sum();
    assert_eq!(imported + skipped + summary.quarantined.len(), 4_553);
    assert_eq!(import.file.apis.len(), imported);
    let dear = |row: &&mtok::catalog::import::Quarantined| row.reason.contains("believed");
    assert_eq!(summary.quarantined.iter().filter(dear).count(), 3);
    assert_eq!(summary.quarantined.len(), 3);
    println!(
        "{:#?}",
        (&summary.imported, &summary.doubtful, &summary.skipped)
    );
    let written = toml::to_string(&import.file).unwrap();
    assert_eq!(
        mtok::catalog::parse("x.toml", &written).unwrap(),
        import.file
    );
}
