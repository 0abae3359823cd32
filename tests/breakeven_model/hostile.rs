//! Malformed and hostile scenarios: refused with line and column, never a panic, never a NaN.

use super::fixture::{Files, GUIDE, guide_with, refuse, solve, try_with};
use proptest::prelude::*;

#[track_caller]
fn refused(text: &str, key: &str, words: &str) {
    let error = refuse(text);
    let line = text.lines().nth(error.line - 1).unwrap_or("");
    assert!(line.contains(key), "{error}: `{line}` for {key}");
    assert!(error.column >= 1);
    let whole = format!("{} {}", error.problem, error.hint.unwrap_or_default());
    assert!(whole.contains(words), "{whole}");
}

#[test]
fn keys_that_exclude_each_other_are_refused() {
    let both = |section: &str, line: &str, key: &str| {
        refused(&guide_with(section, line), key, "exclude each other");
    };
    both("traffic", "requests_per_month = 5", "requests_per_month");
    both(
        "traffic",
        "peak_to_average = 2\nhourly = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]",
        "hourly",
    );
    both("self_hosted", "rental = \"test-a100\"", "rental");
    both("self_hosted", "results = \"x\"", "output_tokens_per_second");
    both("api", "input_usd_per_mtok = 1", "input_usd_per_mtok");
    both(
        "decision",
        "self_hosted_meets_quality = \"yes\"\nquality = \"x\"",
        "quality",
    );
    refused(
        &format!("{GUIDE}[traffic.conversation]\nturns = 3\n"),
        "history_tokens",
        "replaces history_tokens",
    );
    let owned = "usd_per_gpu_hour = 2.00";
    let text = GUIDE.replace(
        owned,
        "owned = { usd_per_kwh = 0.1, colocation_usd_per_kw_month = 150 }",
    );
    refused(&text, "colocation_usd_per_kw_month", "exclude each other");
}

#[test]
fn missing_prices_and_rates_are_refused_with_offers() {
    refused(
        &GUIDE.replace("model = \"gpt-4o\"", "discount = 0.1"),
        "[api]",
        "a price is missing",
    );
    refused(
        &GUIDE.replace("gpt-4o", "gpt-4oo"),
        "model",
        "no API price named `gpt-4oo`",
    );
    refused(
        &GUIDE.replace("usd_per_gpu_hour = 2.00", ""),
        "[self_hosted]",
        "test-a100 (1.79 USD/GPU-h)",
    );
    refused(
        &GUIDE.replace("output_tokens_per_second = 750", ""),
        "[self_hosted]",
        "throughput is missing",
    );
    refused(
        &GUIDE.replace("gpu = \"a100-80gb-sxm\"", "gpu = \"a100-90gb\""),
        "gpu =",
        "no GPU named",
    );
    refused(
        &guide_with("self_hosted", "model = \"nonsense\""),
        "model = \"nonsense\"",
        "no model card",
    );
}

#[test]
fn numbers_out_of_range_are_refused_where_they_stand() {
    for (section, line) in [
        ("traffic", "requests_per_day = -1"),
        ("traffic", "requests_per_day = nan"),
        ("traffic", "requests_per_day = inf"),
        ("traffic", "requests_per_day = 0"),
        ("traffic", "output_tokens = 0"),
        ("traffic", "input_tokens_cv = -0.1"),
        ("traffic", "peak_to_average = 0.5"),
        ("traffic", "hourly = [1, 2]"),
        ("traffic", "retries = -1"),
        ("self_hosted", "target_load = 1.5"),
        ("self_hosted", "target_load = 0"),
        ("self_hosted", "gpus_per_replica = 0"),
        ("self_hosted", "usd_per_gpu_hour = -2"),
        ("self_hosted", "output_tokens_per_second = 1e-300"),
        ("self_hosted", "spot = { share = 1.1 }"),
        ("api", "discount = 2"),
        ("calendar", "hours_per_month = 0"),
        ("horizon", "months = 0"),
        ("uncertainty", "draws = 0"),
        ("budget", "alert_usd_per_month = -1"),
        ("traffic.conversation", "turns = 1e9"),
    ] {
        let text = if section == "traffic.conversation" {
            format!("[traffic]\nrequests_per_day = 1\n[{section}]\n{line}\n")
        } else {
            guide_with(section, line)
        };
        refused(&text, line.split('=').next().unwrap().trim(), "");
    }
}

#[test]
fn fractions_and_signs_are_no_counts() {
    for line in [
        "gpus_per_replica = 1.5",
        "gpus_per_replica = -1",
        "min_replicas = 1e30",
    ] {
        refused(&guide_with("self_hosted", line), "replica", "");
    }
}

#[test]
fn unknown_keys_are_refused_with_a_suggestion() {
    refused(
        &guide_with("self_hosted", "target_laod = 0.7"),
        "target_laod",
        "did you mean `target_load`?",
    );
    refused(
        &guide_with("traffic.cache", "hit_rate = 0.5"),
        "hit_rate",
        "",
    );
    let what_if = format!("{GUIDE}[[what_if]]\nname = \"x\"\nset = {{ \"traffic.chunks\" = 1 }}\n");
    refused(&what_if, "set", "unknown key `chunks`");
    let drawn = "[[uncertainty.input]]\nkey = \"self_hosted.staff.ftee\"\ndistribution = \"fixed\"\nvalue = 1\n";
    refused(
        &format!("{GUIDE}{drawn}"),
        "ftee",
        "did you mean `self_hosted.staff.fte`?",
    );
    refused(
        &guide_with("api", "name = \"x\""),
        "name",
        "only an [[api.alternative]]",
    );
}

#[test]
fn distributions_must_make_sense() {
    let input = |rest: &str| {
        format!("{GUIDE}[[uncertainty.input]]\nkey = \"self_hosted.staff.fte\"\n{rest}\n")
    };
    refused(
        &input("distribution = \"triangular\"\nlow = 1\nhigh = 2"),
        "[[uncertainty.input]]",
        "needs `mode`",
    );
    refused(
        &input("distribution = \"fixed\"\nvalue = 1\nlow = 2"),
        "low",
        "has no `low`",
    );
    refused(
        &input("distribution = \"triangular\"\nlow = 1\nmode = 0\nhigh = 2"),
        "[[uncertainty.input]]",
        "low ≤ mode ≤ high",
    );
    refused(
        &input("distribution = \"normal\"\nvalue = 1"),
        "distribution",
        "unknown value `normal`",
    );
    refused(
        &input("distribution = \"beta\"\nmean = 0.5\nsd = 5"),
        "[[uncertainty.input]]",
        "sd²",
    );
}

#[test]
fn routes_that_add_up_to_more_than_all_are_refused() {
    let route = "[[api.route]]\nshare = 0.6\nmodel = \"gpt-4o-mini\"\n";
    refused(&format!("{GUIDE}{route}{route}"), "share", "add up to");
}

#[test]
fn a_tie_on_the_command_of_the_terminal_is_escaped() {
    let error =
        refuse(&guide_with("api", "model = \"\\u001b[2J\"").replace("model = \"gpt-4o\"\n", ""));
    assert!(!error.to_string().contains('\u{1b}'));
}

#[test]
fn extreme_but_allowed_numbers_stay_finite() {
    let cases = [
        guide_with("traffic", "requests_per_day = 1e15"),
        guide_with("traffic", "requests_per_day = 1e-6"),
        guide_with("self_hosted", "output_tokens_per_second = 1e-6"),
        guide_with("self_hosted", "output_tokens_per_second = 1e15"),
        guide_with("self_hosted", "usd_per_gpu_hour = 0"),
        guide_with("traffic", "cache = { semantic_hit_rate = 1 }"),
        guide_with("traffic", "batch = { share = 1, multiplier = 0 }"),
        guide_with("api", "discount = 1"),
        guide_with(
            "traffic",
            "input_tokens_cv = 10\ninput_token_limit = 1\non_limit = \"reject\"",
        ),
        guide_with("self_hosted", "usd_per_gpu_hour = 24.749999999999"),
        guide_with("self_hosted", "usd_per_gpu_hour = 24.75"),
        guide_with(
            "self_hosted",
            "usd_per_gpu_hour = 24.7499\nbilling_quantum_gpus = 99999",
        ),
    ];
    for text in cases {
        let answer = solve(&text);
        let json = serde_json::to_value(&answer).unwrap();
        for key in [
            "usd_per_month",
            "usd_per_request",
            "utilization",
            "replicas",
        ] {
            assert!(json["self_hosted"][key].is_number(), "{key} in\n{text}");
        }
        assert!(json["api"]["usd_per_month"].is_number(), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = try_with(&text, &Files::default());
    }
}

proptest! {
    // Most damage leaves a scenario that is answered as a whole.
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn a_damaged_scenario_never_makes_it_panic(at in 0usize..600, junk in "[\\[\\]=\\.\"0-9a-z\n-]{0,4}") {
        let mut text: Vec<char> = GUIDE.chars().collect();
        let at = at.min(text.len());
        text.splice(at..(at + junk.len() / 2).min(text.len()), junk.chars());
        let text: String = text.into_iter().collect();
        if let Err(error) = try_with(&text, &Files::default()) {
            prop_assert!(error.line >= 1 && error.column >= 1);
            prop_assert!(error.line <= text.lines().count() + 1);
        }
    }
}
