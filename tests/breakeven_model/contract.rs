//! Sentences of the break-even contract, one test each.

use super::fixture::{Files, GUIDE, close, guide_with, llama_70b, refuse, solve, try_with};
use mtok::cost::answer::{Answer, Assumption, Cheaper, Kind, Method};
use mtok::cost::capacity::Binding;
use mtok::cost::measured::{Estimate, Measured, MeasuredPoint};
use mtok::cost::scenario::MeetsQuality;
use mtok::cost::trace::Trace;
use mtok::study::model::{CacheType, Precision};

fn warns(answer: &Answer, code: &str) -> bool {
    answer.warnings.iter().any(|warning| warning.code() == code)
}

pub(crate) const LEAST: &str =
    "[traffic]\nrequests_per_month = 1_000_000\nuser_tokens = 500\noutput_tokens = 150\n";
pub(crate) const PRICES: &str = "[api]\ninput_usd_per_mtok = 2\noutput_usd_per_mtok = 10\n";

#[test]
fn inline_prices_have_the_scenario_as_source_and_its_date() {
    let answer = solve(&format!("as_of = 2026-11-23\n{LEAST}{PRICES}"));
    let line = answer
        .assumptions
        .iter()
        .find(|line| line.key == "api.input_usd_per_mtok")
        .unwrap();
    assert_eq!(
        (line.source.as_str(), line.date.as_deref()),
        ("scenario", Some("2026-11-23"))
    );
    assert_eq!((line.unit, line.kind), ("USD/Mtok", Kind::Assumed));
}

#[test]
fn prices_are_aged_against_the_scenarios_date() {
    let with = |date: &str| solve(&format!("{date}{LEAST}[api]\nmodel = \"old\"\n"));
    assert!(warns(&with("as_of = 2026-11-23\n"), "old_price"));
    assert!(!warns(&with("as_of = 2026-02-01\n"), "old_price"));
    assert!(!warns(&with(""), "old_price"));
}

#[test]
fn a_missing_side_is_null_and_so_is_what_needs_it() {
    let answer = solve(&format!("{LEAST}{PRICES}"));
    let json = serde_json::to_value(&answer).unwrap();
    for key in ["self_hosted", "break_even", "cheaper_now", "uncertainty"] {
        assert!(json[key].is_null(), "{key}");
    }
    assert!(json["api"]["usd_per_month"].is_number());
    let host = "[self_hosted]\nusd_per_gpu_hour = 2\noutput_tokens_per_second = 750\n";
    let json = serde_json::to_value(solve(&format!("{LEAST}{host}"))).unwrap();
    assert!(json["api"].is_null() && json["break_even"].is_null());
    assert!(json["self_hosted"]["usd_per_month"].is_number());
}

#[test]
fn the_json_has_the_contracts_names() {
    let json = serde_json::to_value(solve(GUIDE)).unwrap();
    let has = |section: &str, keys: &[&str]| {
        for key in keys {
            assert!(json[section].get(key).is_some(), "{section}.{key}");
        }
    };
    has(
        "api",
        &[
            "usd_per_month",
            "input_usd_per_month",
            "output_usd_per_month",
            "other_usd_per_month",
            "usd_per_request",
            "blended_usd_per_mtok",
            "input_tokens_per_request",
            "output_tokens_per_request",
        ],
    );
    has(
        "self_hosted",
        &[
            "usd_per_month",
            "gpu_usd_per_month",
            "staff_usd_per_month",
            "other_usd_per_month",
            "replicas",
            "gpus",
            "utilization",
            "usd_per_request",
            "method",
            "input_usd_per_mtok",
            "output_usd_per_mtok",
            "full_load_input_usd_per_mtok",
            "full_load_output_usd_per_mtok",
            "kappa",
        ],
    );
    has("shared", &["usd_per_month"]);
    has(
        "break_even",
        &[
            "exists",
            "requests_per_month",
            "requests_per_day",
            "utilization",
            "usd_per_month",
            "permanent_from_requests_per_month",
            "crossings",
            "required_usd_per_gpu_hour",
            "required_output_tokens_per_second",
        ],
    );
    assert_eq!(json["cheaper_now"], "api");
    assert_eq!(json["self_hosted"]["method"], "output_only");
    assert_eq!(json["break_even"]["crossings"][0]["to"], "self_hosted");
    for key in [
        "verdict",
        "warnings",
        "assumptions",
        "sensitivity",
        "alternatives",
        "what_if",
    ] {
        assert!(!json[key].is_null(), "{key}");
    }
    let line = &json["assumptions"][0];
    for key in ["key", "value", "unit", "source", "date", "kind"] {
        assert!(line.get(key).is_some(), "assumptions[].{key}");
    }
}

#[test]
fn semantic_hits_and_retries_change_the_load_of_both_sides() {
    let text = guide_with(
        "traffic",
        "cache = { semantic_hit_rate = 0.25, semantic_wrong_answer_rate = 0.02 }\nretries = 0.2",
    );
    let (base, answer) = (solve(GUIDE), solve(&text));
    let load = 0.75 * 1.2;
    close(answer.api.unwrap().input_usd_per_month, 375.0 * load);
    close(
        answer.self_hosted.unwrap().utilization,
        base.self_hosted.unwrap().utilization * load,
    );
    close(
        answer.shared.wrong_answers_per_month,
        300_000.0 * 0.25 * 0.02,
    );
}

#[test]
fn output_retries_may_differ() {
    let api = solve(&guide_with(
        "traffic",
        "retries = 0.1\noutput_retries = 0.5",
    ))
    .api
    .unwrap();
    close(api.input_usd_per_month, 375.0 * 1.1);
    close(api.output_usd_per_month, 450.0 * 1.5);
}

#[test]
fn the_shortest_prefix_is_the_rows_or_1024_or_none_for_inline_prices() {
    let read = |tokens: u32, api: &str| {
        let text = format!(
            "[traffic]\nrequests_per_month = 1\nsystem_tokens = {tokens}\nuser_tokens = 10\noutput_tokens = 1\ncache = {{ prefix_hit_rate = 1.0 }}\n[api]\n{api}\n"
        );
        solve(&text).api.unwrap().cache_read_tokens_per_request
    };
    let inline = "input_usd_per_mtok = 1\noutput_usd_per_mtok = 1\ncached_input_usd_per_mtok = 0.1";
    close(read(1, inline), 1.0);
    assert_eq!(read(1_023, "model = \"gpt-4o\""), 0.0);
    close(read(1_024, "model = \"gpt-4o\""), 1_024.0);
    assert_eq!(read(511, "model = \"claude-sonnet-5-5\""), 0.0);
    close(read(513, "model = \"claude-sonnet-5-5\""), 513.0);
}

#[test]
fn a_miss_costs_the_write_price_or_input_where_that_is_absent_or_zero() {
    let bill = |write: &str| {
        let text = format!(
            "[traffic]\nrequests_per_month = 1_000_000\nsystem_tokens = 1000\noutput_tokens = 1\ncache = {{ prefix_hit_rate = 0.5 }}\n[api]\ninput_usd_per_mtok = 2\noutput_usd_per_mtok = 0\ncached_input_usd_per_mtok = 1\n{write}\n"
        );
        solve(&text).api.unwrap().usd_per_month
    };
    close(bill(""), 500.0 + 1_000.0);
    close(bill("cache_write_usd_per_mtok = 0"), 1_500.0);
    close(bill("cache_write_usd_per_mtok = 3"), 500.0 + 1_500.0);
}

#[test]
fn shared_costs_are_in_both_bills_and_cancel() {
    let text = guide_with(
        "traffic.retrieval",
        "chunks = 0\nembedding = \"text-embedding-3-small\"\nrerank_usd_per_request = 0.001",
    );
    let answer = solve(&text);
    let shared = 300_000.0 * (0.001 + 100.0 * 0.02 / 1e6);
    close(answer.shared.usd_per_month, shared);
    close(answer.api.unwrap().usd_per_month, 825.0 + shared);
    close(answer.self_hosted.unwrap().usd_per_month, 2_880.0 + shared);
    close(
        answer.break_even.unwrap().requests_per_month.unwrap(),
        1_047_272.727_273,
    );
}

#[test]
fn no_embedding_named_is_no_cost_and_a_warning() {
    let answer = solve(&guide_with("traffic.retrieval", "chunks = 3"));
    assert_eq!(answer.shared.usd_per_month, 0.0);
    assert!(warns(&answer, "no_embedding"));
}

#[test]
fn limits_and_tiers_are_integrated_over_the_spread() {
    let bill = |keys: &str| {
        let text = format!(
            "[traffic]\nrequests_per_month = 1_000_000\nuser_tokens = 800\noutput_tokens = 100\n{keys}\n[api]\nmodel = \"long\"\n"
        );
        solve(&text).api.unwrap()
    };
    // Without a spread the mean decides: 800 tokens are below the tier of 1,000.
    close(bill("").input_usd_per_month, 800.0);
    close(bill("input_token_limit = 900").input_usd_per_month, 800.0);
    // With one, what is above 1,000 is priced as a whole at the higher price.
    let (mean, cv): (f64, f64) = (800.0, 0.5);
    let sigma = (1.0 + cv * cv).ln().sqrt();
    let mu = mean.ln() - sigma * sigma / 2.0;
    let step = 1e-4;
    let (mut usd, mut cut, mut kept) = (0.0, 0.0, 0.0);
    for i in -80_000..80_000 {
        let z = (f64::from(i) + 0.5) * step;
        let weight = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * step;
        let length = (mu + sigma * z).exp();
        usd += length * weight * if length > 1_000.0 { 2.0 } else { 1.0 };
        cut += length.min(900.0) * weight;
        if length <= 900.0 {
            kept += length * weight;
        }
    }
    let near = |got: f64, want: f64| assert!((got / want - 1.0).abs() < 1e-4, "{got} for {want}");
    near(bill("input_tokens_cv = 0.5").input_usd_per_month, usd);
    near(
        bill("input_tokens_cv = 0.5\ninput_token_limit = 900").input_usd_per_month,
        cut,
    );
    near(
        bill("input_tokens_cv = 0.5\ninput_token_limit = 900\non_limit = \"reject\"")
            .input_usd_per_month,
        kept,
    );
    let whole = bill("input_tokens_cv = 0.5\ninput_token_limit = 900\non_limit = \"summarize\"");
    assert!(whole.input_usd_per_month > cut && whole.output_usd_per_month > 400.0);
}

#[test]
fn requests_per_month_follow_the_calendar_and_people_do_not() {
    let text = guide_with(
        "self_hosted",
        "staff = { fte = 0.3 }\nstorage_usd_per_month = 10\none_off_usd = 3600",
    )
    .replace("hours_per_month = 720", "hours_per_month = 744");
    let answer = solve(&text);
    close(answer.volume.requests_per_month, 310_000.0);
    let host = answer.self_hosted.unwrap();
    close(host.staff_usd_per_month, 5_000.0);
    close(host.other_usd_per_month, 110.0);
    close(host.gpu_usd_per_month, 2_976.0);
}

#[test]
fn capacity_follows_the_stated_precedence() {
    let seconds = |lines: &str| {
        let text = format!("{LEAST}[self_hosted]\nusd_per_gpu_hour = 2\n{lines}\n");
        let host = solve(&text).self_hosted.unwrap();
        host.utilization * host.replicas * 730.0 * 3_600.0 / 1e6
    };
    let apart = "prefill_tokens_per_second = 8000\ndecode_tokens_per_second = 1100\n";
    let together = "output_tokens_per_second = 750\ninput_tokens_per_second = 1000\n";
    close(seconds("output_tokens_per_second = 750"), 0.2);
    close(seconds(together), 0.5);
    close(seconds(apart), 500.0 / 8_000.0 + 150.0 / 1_100.0);
    close(
        seconds(&format!("{apart}output_tokens_per_second = 750")),
        500.0 / 8_000.0 + 150.0 / 1_100.0,
    );
    close(seconds(&format!("{apart}{together}")), 0.5);
    close(
        seconds(&format!("{apart}{together}requests_per_second = 4")),
        0.25,
    );
}

#[test]
fn replicas_are_rounded_up_with_the_redundant_and_the_least() {
    let replicas = |lines: &str| {
        let host = solve(&guide_with("self_hosted", lines))
            .self_hosted
            .unwrap();
        (host.replicas, host.gpus)
    };
    assert_eq!(replicas("redundant_replicas = 2"), (3.0, 6.0));
    assert_eq!(
        replicas("redundant_replicas = 2\nmin_replicas = 2"),
        (3.0, 6.0)
    );
    assert_eq!(
        replicas("redundant_replicas = 1\nmin_replicas = 5"),
        (5.0, 10.0)
    );
    assert_eq!(replicas("billing_quantum_gpus = 8"), (1.0, 8.0));
    assert_eq!(
        replicas("min_replicas = 5\nbilling_quantum_gpus = 8"),
        (5.0, 16.0)
    );
}

#[test]
fn peak_and_target_load_size_the_fleet_but_are_not_utilization() {
    let text = guide_with("traffic", "peak_to_average = 100")
        .replace("target_load = 1.0", "target_load = 0.5");
    let host = solve(&text).self_hosted.unwrap();
    // 2.31 % of a replica on average, 100 times that at the peak, at half load: 4.63 replicas.
    assert_eq!(host.replicas, 5.0);
    close(host.utilization, 300_000.0 * 0.2 / (5.0 * 720.0 * 3_600.0));
}

#[test]
fn rates_apart_only_split_the_cost_where_more_is_known() {
    let lines = "input_tokens_per_second = 2500\nprefill_tokens_per_second = 8000\ndecode_tokens_per_second = 1100";
    let host = solve(&guide_with("self_hosted", lines))
        .self_hosted
        .unwrap();
    assert_eq!(host.method, Method::TimeShare);
    close(host.kappa.unwrap(), 1.005_714_285_7);
    let bill = host.input_usd_per_mtok.unwrap() * 150.0 + host.output_usd_per_mtok.unwrap() * 45.0;
    close(bill, host.usd_per_month);
}

#[test]
fn an_api_fee_is_subtracted_and_never_below_nothing() {
    let text = guide_with("api", "fixed_usd_per_month = 880");
    close(
        solve(&text).break_even.unwrap().requests_per_month.unwrap(),
        2_000.0 / 0.00275,
    );
    let found = solve(&guide_with("api", "fixed_usd_per_month = 5000"))
        .break_even
        .unwrap();
    assert_eq!(found.requests_per_month, Some(0.0));
}

#[test]
fn no_break_even_is_null_with_a_way_out() {
    let answer = solve(&guide_with("self_hosted", "usd_per_gpu_hour = 30"));
    let found = answer.break_even.unwrap();
    assert!(!found.exists);
    assert_eq!(
        (
            found.requests_per_month,
            found.utilization,
            found.permanent_from_requests_per_month
        ),
        (None, None, None)
    );
    // A replica carries 12.96 M requests worth 35,640 USD in 720 hours of 2 cards.
    close(found.required_usd_per_gpu_hour.unwrap(), 24.75);
    close(
        found.required_output_tokens_per_second.unwrap(),
        750.0 * 30.0 / 24.75,
    );
    assert!(answer.verdict.contains("There is no break-even"));
    let saved = solve(&guide_with("self_hosted", "usd_per_gpu_hour = 24.7"));
    assert!(saved.break_even.unwrap().exists);
}

#[test]
fn at_most_a_thousand_crossings_are_listed() {
    let found = solve(&guide_with("self_hosted", "usd_per_gpu_hour = 24.74"))
        .break_even
        .unwrap();
    assert_eq!(found.crossings.len(), 1_000);
    // N = ceil(c / (aK - c)) = ceil(35625.6 / 14.4).
    close(
        found.permanent_from_requests_per_month.unwrap(),
        2_474.0 * 35_625.6 / 0.00275,
    );
}

#[test]
fn the_verdict_says_how_long_it_holds() {
    assert!(
        solve(GUIDE)
            .verdict
            .contains("holds while measured throughput ≥ 60.6 output tokens/s")
    );
}

/// The guide at a volume where self-hosting is cheaper for good.
fn large(decision: &str) -> Answer {
    let text = GUIDE.replace(
        "requests_per_day = 10_000",
        "requests_per_month = 12_000_000",
    );
    solve(&format!("{text}\n[decision]\n{decision}\n"))
}

#[test]
fn self_hosting_is_never_recommended_where_it_must_not_be() {
    assert!(
        large("self_hosted_meets_quality = \"yes\"")
            .verdict
            .ends_with("Self-host at this volume.")
    );
    let frontier = large("needs_frontier_model = true\nself_hosted_meets_quality = \"yes\"");
    assert_eq!(frontier.cheaper_now, Some(Cheaper::SelfHosted));
    assert!(frontier.verdict.contains("Stay with the API"));
    assert!(
        large("self_hosted_meets_quality = \"no\"")
            .verdict
            .contains("Stay with the API")
    );
    assert!(warns(&large(""), "quality_unknown"));
    assert!(!warns(
        &large("self_hosted_meets_quality = \"yes\""),
        "quality_unknown"
    ));
}

#[test]
fn the_verdict_never_rests_on_the_first_crossing() {
    // On the staircase self-hosting is cheaper at 3.8 M requests, but not at 4.1 M.
    let stairs = GUIDE
        .replace(
            "model = \"gpt-4o\"",
            "input_usd_per_mtok = 0\noutput_usd_per_mtok = 5.333333333333333",
        )
        .replace("per_second = 750", "per_second = 231.48148148148147")
        .replace(
            "requests_per_day = 10_000",
            "requests_per_month = 3_800_000",
        );
    let answer = solve(&stairs);
    assert_eq!(answer.cheaper_now, Some(Cheaper::SelfHosted));
    assert!(
        answer.verdict.contains("not for good"),
        "{}",
        answer.verdict
    );
}

#[test]
fn too_close_to_call_below_the_minimum_probability() {
    let text = GUIDE.replace(
        "requests_per_day = 10_000",
        "requests_per_month = 1_050_000",
    );
    let drawn = "[[uncertainty.input]]\nkey = \"self_hosted.usd_per_gpu_hour\"\ndistribution = \"uniform\"\nlow = 1\nhigh = 3\n";
    let answer = solve(&format!("{text}{drawn}"));
    assert!(
        answer.verdict.contains("too close to call"),
        "{}",
        answer.verdict
    );
    let p = answer.uncertainty.unwrap().probability_self_hosted_cheaper;
    // Self-hosting wins below 2.00521 USD an hour.
    assert!((p - 0.5026).abs() < 0.02, "{p}");
    assert!(!solve(&text).verdict.contains("too close"));
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let drawn = "[uncertainty]\ndraws = 5500\n[[uncertainty.input]]\nkey = \"traffic.output_tokens\"\ndistribution = \"lognormal\"\nmedian = 150\np95 = 400\n[[uncertainty.input]]\nkey = \"self_hosted.staff.fte\"\ndistribution = \"triangular\"\nlow = 0\nmode = 0.1\nhigh = 1\n";
    let text = format!("{GUIDE}{drawn}");
    let bytes = |threads: usize, text: &str| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let answer = pool.install(|| solve(text));
        serde_json::to_string(&answer.uncertainty).unwrap()
    };
    let one = bytes(1, &text);
    assert_eq!(one, bytes(3, &text));
    assert_ne!(
        one,
        bytes(1, &text.replace("draws = 5500", "draws = 5500\nseed = 2"))
    );
}

#[test]
fn a_committed_fleet_sends_its_overflow_to_the_api() {
    let base = "[calendar]\nhours_per_month = 720\n[traffic]\nrequests_per_month = 12_960_000\nuser_tokens = 500\noutput_tokens = 150\n[api]\nmodel = \"gpt-4o\"\n[self_hosted]\nusd_per_gpu_hour = 2\noutput_tokens_per_second = 750\ntarget_load = 1.0\n";
    let drawn = "[[uncertainty.input]]\nkey = \"traffic.requests_per_month\"\ndistribution = \"fixed\"\nvalue = 25_920_000\n";
    // Twice the plan: half of it overflows at 0.00275 USD.
    let committed = solve(&format!("{base}{drawn}")).uncertainty.unwrap();
    close(
        committed.self_hosted_usd_per_month.p50.unwrap(),
        2_880.0 + 12_960_000.0 * 0.00275,
    );
    close(committed.overflow_share, 0.5);
    let resized = solve(&format!(
        "{base}[uncertainty]\nfleet = \"resized\"\n{drawn}"
    ))
    .uncertainty
    .unwrap();
    close(resized.self_hosted_usd_per_month.p50.unwrap(), 5_760.0);
    assert_eq!(serde_json::to_value(&resized).unwrap()["fleet"], "resized");
}

#[test]
fn a_draw_without_break_even_counts_as_infinite() {
    let drawn = "[[uncertainty.input]]\nkey = \"self_hosted.usd_per_gpu_hour\"\ndistribution = \"uniform\"\nlow = 20\nhigh = 30\n";
    let found = solve(&format!("{GUIDE}{drawn}")).uncertainty.unwrap();
    // It exists below 24.75 USD.
    assert!((found.probability_break_even_exists - 0.475).abs() < 0.02);
    assert!(found.break_even_requests_per_month.p5.is_some());
    assert_eq!(found.break_even_requests_per_month.p95, None);
    assert_eq!(found.probability_text, "< 0.1 %");
    assert!(found.standard_error >= 0.0);
}

#[test]
fn cards_rentals_and_precisions_are_never_drawn() {
    for key in [
        "self_hosted.gpu",
        "self_hosted.rental",
        "self_hosted.precision",
    ] {
        let drawn = format!(
            "[[uncertainty.input]]\nkey = \"{key}\"\ndistribution = \"fixed\"\nvalue = 1\n"
        );
        let error = refuse(&format!("{GUIDE}{drawn}"));
        assert!(error.problem.contains("compared, never drawn"), "{error}");
    }
}

#[test]
fn the_tornado_has_bars_elasticities_and_flip_points() {
    let text = guide_with("self_hosted", "staff = { fte = 0.25 }");
    let drawn = "[[uncertainty.input]]\nkey = \"self_hosted.staff.fte\"\ndistribution = \"uniform\"\nlow = 0.1\nhigh = 1.1\n";
    let answer = solve(&format!("{text}{drawn}"));
    let lever = |key: &str| {
        answer
            .sensitivity
            .iter()
            .find(|lever| lever.key == key)
            .unwrap()
    };
    let staff = lever("self_hosted.staff.fte");
    assert!(staff.declared);
    close(staff.low, 0.2);
    close(staff.high, 1.0);
    let near = |key: &str, want: f64| {
        let got = lever(key).elasticity.unwrap();
        assert!((got - want).abs() < 0.006, "{key}: {got}");
    };
    near("api.price_factor", -1.0);
    near("self_hosted.staff.fte", 0.59);
    near("traffic.output_tokens", -0.54);
    near("self_hosted.usd_per_gpu_hour", 0.41);
    let flip = lever("traffic.requests_per_day").flip_point.unwrap();
    close(flip, 2_562_424.242_424 / 30.0);
    close(
        lever("api.price_factor").flip_point.unwrap(),
        7_046.666_667 / 825.0,
    );
    // At no rate of the cards is self-hosting cheaper: staff alone costs more than the API.
    assert_eq!(lever("self_hosted.usd_per_gpu_hour").flip_point, None);
    for pair in answer.sensitivity.windows(2) {
        assert!(pair[0].swing_usd() >= pair[1].swing_usd());
    }
}

#[test]
fn flips_between_two_stairs_are_found() {
    // Cheaper between 3.6 M and 4 M: from 3.5 M upwards the nearest flip is 3.6 M.
    let stairs = GUIDE
        .replace(
            "model = \"gpt-4o\"",
            "input_usd_per_mtok = 0\noutput_usd_per_mtok = 5.333333333333333",
        )
        .replace("per_second = 750", "per_second = 231.48148148148147");
    let flip = |volume: &str| {
        let answer = solve(&stairs.replace(
            "requests_per_day = 10_000",
            &format!("requests_per_month = {volume}"),
        ));
        answer
            .sensitivity
            .iter()
            .find(|l| l.key == "traffic.requests_per_month")
            .unwrap()
            .flip_point
            .unwrap()
    };
    close(flip("3_500_000"), 3_600_000.0);
    close(flip("4_100_000"), 4_000_000.0);
    close(flip("3_950_000"), 4_000_000.0);
}

#[test]
fn the_cache_of_the_measured_point_is_what_has_to_fit() {
    let mut study = measured(200.0);
    for point in &mut study.points {
        point.kv = Some(CacheType::Q8_0);
    }
    let files = Files {
        measured: Some(study),
        ..Files::default()
    };
    let answer = try_with(&format!("{LEAST}{PRICES}{FROM_RESULTS}"), &files).unwrap();
    let chosen = answer.view.fits.iter().find(|fit| fit.chosen).unwrap();
    close(chosen.kv_tokens, 59_111.0);
    let stated = |line: &&Assumption| line.key == "self_hosted.kv_precision";
    let line = answer.assumptions.iter().find(stated).unwrap();
    assert_eq!(
        (line.value.as_str(), line.source.as_str()),
        (Some("q8_0"), "results/test")
    );
}

#[test]
fn what_ifs_and_alternatives_stand_side_by_side() {
    let text = format!(
        "{GUIDE}[[what_if]]\nname = \"half\"\nset = {{ \"traffic.output_tokens\" = 75 }}\n[[self_hosted.alternative]]\nname = \"one card\"\ngpus_per_replica = 1\noutput_tokens_per_second = 300\n[[self_hosted.alternative]]\nname = \"rented\"\nrental = \"test-a100\"\n[[self_hosted.alternative]]\nname = \"newer\"\ngpu = \"h200-sxm\"\n"
    );
    let answer = solve(&text);
    let row = &answer.what_if[0];
    close(row.api_change_usd_per_month.unwrap(), -225.0);
    close(row.self_hosted_usd_per_month.unwrap(), 2_880.0);
    close(answer.alternatives[0].usd_per_month, 1_440.0);
    // The catalog's rental is billed by eight cards.
    close(answer.alternatives[1].usd_per_month, 8.0 * 1.79 * 720.0);
    // Another rate changes no throughput; another card does.
    let inherited: Vec<String> = answer
        .warnings
        .iter()
        .filter(|warning| warning.code() == "inherited_throughput")
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        inherited,
        ["`newer` has the throughput of the base case, which another configuration reached"]
    );
}

pub(crate) fn measured(rate: f64) -> Measured {
    let estimate = |value: f64| Estimate {
        value,
        low: value * 0.98,
        high: value * 1.02,
        repetitions: 8,
    };
    let point = |batch: f64, rate: f64, tpot: f64| MeasuredPoint {
        precision: Precision::F16,
        kv: None,
        batch,
        isl: 500.0,
        osl: 150.0,
        prefill_tokens_per_second: estimate(2_000.0),
        decode_tokens_per_second: Some(estimate(rate)),
        output_tokens_per_second: estimate(rate * 0.9),
        ttft_ms: Some(200.0),
        tpot_ms: Some(tpot),
    };
    Measured {
        source: "results/test".to_owned(),
        date: Some("2026-11-01".parse().unwrap()),
        gpu: Some("a100-80gb-sxm".to_owned()),
        gpus: 2,
        simulated: false,
        model: Some("llama-3.3-70b".to_owned()),
        shape: Some(llama_70b()),
        points: vec![point(8.0, rate, 40.0), point(16.0, rate * 1.5, 60.0)],
    }
}

const FROM_RESULTS: &str = "[self_hosted]\nusd_per_gpu_hour = 2\nresults = \"results/test\"\n";

#[test]
fn a_study_gives_the_cheapest_point_that_meets_the_objective() {
    let files = Files {
        measured: Some(measured(200.0)),
        ..Files::default()
    };
    let ask = |slo: &str, mix: &str| {
        let text = format!("{mix}{PRICES}{FROM_RESULTS}{slo}\n");
        try_with(&text, &files)
    };
    let free = ask("", LEAST).unwrap();
    close(free.view.operating_point.unwrap().batch_size.unwrap(), 16.0);
    let bound = ask("slo = { tpot_ms = 50 }", LEAST).unwrap();
    close(bound.view.operating_point.unwrap().batch_size.unwrap(), 8.0);
    assert_eq!(
        bound.self_hosted.as_ref().unwrap().method,
        Method::TimeShare
    );
    assert_eq!(bound.self_hosted.as_ref().unwrap().binding, Binding::Decode);
    assert!(
        bound
            .assumptions
            .iter()
            .any(|line| line.kind == Kind::Measured)
    );
    assert!(ask("slo = { tpot_ms = 10 }", LEAST).is_err());
    assert!(!warns(&free, "mix_differs"));
    assert!(warns(
        &ask("", &LEAST.replace("= 500", "= 900")).unwrap(),
        "mix_differs"
    ));
    let drawn = free.uncertainty.unwrap();
    close(drawn.between_host_cv.unwrap(), 0.05);
    assert!(
        free.warnings
            .iter()
            .any(|w| w.code() == "between_host_cv_assumed")
    );
    let api = drawn.api_usd_per_month;
    assert_eq!(api.p5, api.p95);
}

#[test]
fn a_study_above_the_roofline_is_refused() {
    let files = Files {
        measured: Some(measured(240.0)),
        ..Files::default()
    };
    let error = try_with(
        &format!("{LEAST}{PRICES}{FROM_RESULTS}slo = {{ tpot_ms = 50 }}\n"),
        &files,
    )
    .unwrap_err();
    assert!(error.problem.contains("roofline"), "{error}");
    assert_eq!(error.line, 10);
}

#[test]
fn the_guides_throughput_is_refused_once_everything_is_stated() {
    let error = refuse(&guide_with(
        "self_hosted",
        "model = \"llama-3.3-70b\"\nprecision = \"f16\"\nbatch_size = 8",
    ));
    assert!(
        error
            .problem
            .contains("output_tokens_per_second = 750 is above the roofline"),
        "{error}"
    );
    let two = solve(&guide_with(
        "self_hosted",
        "model = \"llama-3.3-70b\"\nprecision = \"f16\"",
    ));
    let fit = two.view.fits.iter().find(|fit| fit.chosen).unwrap();
    assert_eq!((fit.gpus, fit.kv_tokens), (2.0, 31_403.0));
    assert_eq!(
        two.view
            .fits
            .iter()
            .find(|fit| fit.gpu == "rtx-4090")
            .unwrap()
            .fewest_gpus,
        Some(8)
    );
}

#[test]
fn memory_limits_the_sequences_in_flight() {
    let host = "[self_hosted]\nusd_per_gpu_hour = 2\nmodel = \"llama-3.3-70b\"\nprecision = \"f16\"\nbatch_size = 96\noutput_tokens_per_second = 750\ntarget_load = 1.0\n";
    let answer = solve(&format!("{LEAST}{PRICES}{host}"));
    let own = answer.self_hosted.as_ref().unwrap();
    // 31,403 tokens hold 47 sequences of 656; a batch of 96 takes 150 · 96/750 = 19.2 s.
    assert_eq!(own.binding, Binding::Kv);
    close(
        own.requests_per_replica_month,
        730.0 * 3_600.0 * 47.0 / 19.2,
    );
    assert!(warns(&answer, "kv_below_batch"));
}

#[test]
fn a_trace_brings_volume_profile_and_burstiness() {
    let arrivals = (0..240).map(|i| f64::from(i) * 720.0).collect();
    let files = Files {
        trace: Some(Trace::from_arrivals(arrivals).unwrap()),
        ..Files::default()
    };
    let text = format!(
        "[traffic]\ntrace = \"requests.csv\"\nuser_tokens = 500\noutput_tokens = 150\n{PRICES}"
    );
    let answer = try_with(&text, &files).unwrap();
    close(answer.volume.requests_per_day, 120.0);
}

#[test]
fn a_study_may_answer_for_quality() {
    let files = Files {
        quality: Some(MeetsQuality::No),
        ..Files::default()
    };
    let text = GUIDE.replace(
        "requests_per_day = 10_000",
        "requests_per_month = 12_000_000",
    );
    let answer = try_with(
        &format!("{text}[decision]\nquality = \"results/q\"\n"),
        &files,
    )
    .unwrap();
    assert!(answer.verdict.contains("not good enough"));
    assert!(!warns(&answer, "quality_unknown"));
}

#[test]
fn budgets_alert_and_charge_back() {
    let text = format!(
        "{GUIDE}[budget]\nalert_usd_per_month = 1000\nalert_usd_per_session = 0.001\n[[budget.cost_center]]\nname = \"support\"\nshare = 0.6\n"
    );
    let budget = solve(&text).budget;
    let reached: Vec<bool> = budget.alerts.iter().map(|alert| alert.reached).collect();
    assert_eq!(reached, [true, true, false]);
    close(budget.alerts[0].day.unwrap(), 500.0 / 825.0 * 30.0);
    assert_eq!(budget.session_over_budget, Some(true));
    let names: Vec<&str> = budget
        .cost_centers
        .iter()
        .map(|center| center.name.as_str())
        .collect();
    assert_eq!(names, ["support", "unassigned"]);
    close(budget.cost_centers[0].usd_per_month, 495.0);
    close(
        budget
            .cost_centers
            .iter()
            .map(|center| center.usd_per_month)
            .sum(),
        825.0,
    );
}

#[test]
fn the_horizon_follows_trends_growth_and_commitment() {
    let text = format!(
        "{}[horizon]\nmonths = 13\napi_price_change_per_year = -0.5\n",
        guide_with("self_hosted", "one_off_usd = 1000\ncommitment_months = 6")
    )
    .replace(
        "[api]",
        "forecast = { growth_per_month = 0.1, months = 12 }\n[api]",
    );
    let answer = solve(&text);
    let horizon = answer.horizon.unwrap();
    close(horizon.months[0].api_usd, 825.0);
    close(horizon.months[12].api_usd, 825.0 * 0.5 * 1.1_f64.powi(12));
    close(
        answer.forecast.api_usd_per_month.unwrap(),
        825.0 * 1.1_f64.powi(12),
    );
    close(horizon.commitment_liability_usd, 6.0 * 2_880.0);
    assert_eq!(
        (horizon.payback_months, horizon.cash_back_in_month),
        (None, None)
    );
    close(horizon.volume_halved.api_usd_per_month, 412.5);
}

#[test]
fn a_window_or_summary_breaks_what_the_prompt_cache_holds() {
    let text = |policy: &str| {
        format!(
            "[traffic]\nrequests_per_month = 20\nsystem_tokens = 600\n[traffic.conversation]\npolicy = \"{policy}\"\n[api]\nmodel = \"claude-sonnet-5-5\"\n"
        )
    };
    let full = solve(&text("full")).api.unwrap();
    let window = solve(&text("window")).api.unwrap();
    let share = |api: &mtok::cost::answer::ApiAnswer| {
        api.cache_read_tokens_per_request / api.input_tokens_per_request
    };
    assert!(
        share(&full) > 0.85 && share(&window) < 0.5,
        "{} {}",
        share(&full),
        share(&window)
    );
}

#[test]
fn the_answer_says_how_many_draws_its_break_even_rests_on() {
    let drawn = "[uncertainty]\ndraws = 1500\n[[uncertainty.input]]\nkey = \"self_hosted.staff.fte\"\ndistribution = \"uniform\"\nlow = 0\nhigh = 1\n";
    let hourly = guide_with("traffic", &format!("hourly = {:?}", [1.0; 24]));
    let followed = hourly.replace(
        "target_load = 1.0",
        "target_load = 1.0\nfleet = \"autoscaled\"",
    );
    // Stairs of an hourly fleet are many: its break-even comes from the first thousand.
    for (text, used) in [(GUIDE, 1_500), (&followed, 1_000)] {
        let found = solve(&format!("{text}{drawn}")).uncertainty.unwrap();
        assert_eq!((found.draws, found.break_even_draws), (1_500, used));
        assert!(found.break_even_requests_per_month.p95.is_some());
    }
}

#[test]
fn a_bound_in_place_of_the_last_crossing_says_so() {
    let weights: Vec<f64> = (1..=24).map(f64::from).collect();
    let hourly = guide_with("traffic", &format!("hourly = {weights:?}"));
    let at = |rate: f64| {
        let rate = format!("usd_per_gpu_hour = {rate}");
        let fleet = "target_load = 1.0\nfleet = \"autoscaled\"";
        let text = hourly.replace("target_load = 1.0", fleet);
        solve(&text.replace("usd_per_gpu_hour = 2.00", &rate))
    };
    let usual = at(2.0);
    let highest = usual
        .break_even
        .as_ref()
        .unwrap()
        .required_usd_per_gpu_hour
        .unwrap();
    assert!(!warns(&usual, "permanent_is_bound"));
    // So little is gained with each replica that a million of them are still not the end.
    let thin = at(highest * (1.0 - 1e-6));
    let found = thin.break_even.as_ref().unwrap();
    assert!(found.exists && found.permanent_is_bound);
    assert!(warns(&thin, "permanent_is_bound"));
}

#[test]
fn no_permanent_volume_is_promised_where_there_is_none() {
    let text = guide_with("api", "fixed_usd_per_month = 5000").replace(
        "model = \"gpt-4o\"",
        "input_usd_per_mtok = 0.01\noutput_usd_per_mtok = 0.01",
    );
    let answer = solve(&text);
    assert_eq!(answer.cheaper_now, Some(Cheaper::SelfHosted));
    assert!(!answer.break_even.unwrap().exists);
    assert!(
        answer.verdict.contains("never for good"),
        "{}",
        answer.verdict
    );
    assert!(!answer.verdict.contains("until the permanent volume"));
}

#[test]
fn what_pays_from_the_first_request_on_pays_at_every_volume() {
    let verdict = solve(&guide_with("api", "fixed_usd_per_month = 5000")).verdict;
    assert!(verdict.contains("cheaper at every volume"), "{verdict}");
    assert!(!verdict.contains("0.0000"), "{verdict}");
}

#[test]
fn a_side_that_must_not_be_taken_is_never_too_close_to_call() {
    let text = GUIDE.replace(
        "requests_per_day = 10_000",
        "requests_per_month = 1_040_000",
    );
    let drawn = "[[uncertainty.input]]\nkey = \"self_hosted.usd_per_gpu_hour\"\ndistribution = \"uniform\"\nlow = 1\nhigh = 3\n";
    for decision in [
        "needs_frontier_model = true",
        "self_hosted_meets_quality = \"no\"",
    ] {
        let verdict = solve(&format!("{text}[decision]\n{decision}\n{drawn}")).verdict;
        assert!(verdict.contains("Stay with the API"), "{verdict}");
        assert!(!verdict.contains("too close"), "{verdict}");
    }
    let open = solve(&format!("{text}{drawn}")).verdict;
    assert!(open.contains("too close"), "{open}");
}

#[test]
fn what_a_what_if_should_be_doubted_for_and_what_it_used_are_told() {
    let lines = "model = \"llama-3.3-70b\"\nprecision = \"f16\"\n[[what_if]]\nname = \"one card\"\nset = { \"self_hosted.gpus_per_replica\" = 1 }\n[[what_if]]\nname = \"routed\"\nset = { \"api.route\" = [{ share = 0.7, model = \"gpt-4o-mini\" }] }\n[[what_if]]\nname = \"measured\"\nset = { \"self_hosted.gpus_per_replica\" = 4, \"self_hosted.output_tokens_per_second\" = 900 }\n";
    let answer = solve(&format!("{GUIDE}{lines}"));
    let told = |code: &str, name: &str| {
        answer
            .warnings
            .iter()
            .any(|warning| warning.code() == code && warning.to_string().contains(name))
    };
    assert!(told("does_not_fit", "`one card`"), "{:?}", answer.warnings);
    assert!(told("inherited_throughput", "`one card`"));
    assert!(!told("inherited_throughput", "`measured`"));
    assert!(!told("inherited_throughput", "`routed`"));
    let line = answer
        .assumptions
        .iter()
        .find(|line| line.key == "what_if.1.api.route.0.input_usd_per_mtok")
        .unwrap();
    assert_eq!((line.value.as_f64(), line.unit), (Some(0.15), "USD/Mtok"));
    // What the base case used already stands there once.
    assert!(
        !answer
            .assumptions
            .iter()
            .any(|line| line.key.starts_with("what_if.0."))
    );
}

#[test]
fn an_alternative_of_bought_cards_changes_what_it_names_and_nothing_else() {
    let base = GUIDE.replace(
        "usd_per_gpu_hour = 2.00",
        "owned = { purchase_usd = 100_000, gpus = 4, kw = 5 }",
    );
    let other = "[[self_hosted.alternative]]\nname = \"a better hall\"\nowned = { pue = 1.1 }\n";
    let answer = solve(&format!("{base}{other}"));
    // 5 kW for 720 hours at 0.10 USD, and 0.2 less of overhead.
    close(
        answer.self_hosted.unwrap().usd_per_month - answer.alternatives[0].usd_per_month,
        5.0 * 720.0 * 0.10 * 0.2,
    );
}

#[test]
fn traffic_out_costs_the_same_per_token_at_full_load() {
    let host = solve(&guide_with("self_hosted", "egress = { usd_per_gb = 100 }"))
        .self_hosted
        .unwrap();
    // 250 bytes a token at 1e-7 USD a byte, besides the cards.
    close(
        host.full_load_output_usd_per_mtok.unwrap(),
        1.481_481_481_5 + 25.0,
    );
    close(host.output_usd_per_mtok.unwrap(), 64.0 + 25.0);
}

#[test]
fn a_spot_share_without_a_spot_price_is_no_lever() {
    let has = |text: &str| {
        let levers = solve(text).sensitivity;
        levers
            .iter()
            .any(|lever| lever.key == "self_hosted.spot.share")
    };
    assert!(!has(GUIDE));
    assert!(has(&guide_with(
        "self_hosted",
        "spot = { usd_per_gpu_hour = 0.5 }"
    )));
}

#[test]
fn a_value_out_of_range_is_named_with_the_end_it_passed() {
    let with = |value: &str| refuse(&GUIDE.replace("10_000", value)).problem;
    assert!(with("1e300").ends_with("= 1e300 is out of range; it must be at most 1e15"));
    assert!(with("inf").ends_with("= inf is out of range; it must be at most 1e15"));
    assert!(with("-5").ends_with("= -5 is out of range; it must be 0.000001 or more"));
    assert!(with("nan").contains("NaN is out of range"));
}

#[test]
fn rates_of_another_machine_or_model_or_of_a_script_are_doubted() {
    let answer = |study: Measured, lines: &str| {
        let files = Files {
            measured: Some(study),
            ..Files::default()
        };
        try_with(&format!("{LEAST}{PRICES}{FROM_RESULTS}{lines}"), &files).unwrap()
    };
    let same = answer(measured(150.0), "model = \"llama-3.3-70b\"\n");
    for code in [
        "measured_elsewhere",
        "another_model_measured",
        "simulated_study",
    ] {
        assert!(!warns(&same, code), "{code}");
    }
    let other = answer(measured(150.0), "gpu = \"h200-sxm\"\n");
    assert!(warns(&other, "measured_elsewhere"));
    assert!(warns(
        &answer(measured(150.0), "gpus_per_replica = 4\n"),
        "measured_elsewhere"
    ));
    let mut small = measured(150.0);
    small.shape = Some(mtok::study::model::Shape {
        layers: 2,
        ..llama_70b()
    });
    let small = answer(small, "model = \"llama-3.3-70b\"\n");
    assert!(warns(&small, "another_model_measured"));
    let scripted = answer(
        Measured {
            simulated: true,
            ..measured(150.0)
        },
        "",
    );
    assert!(warns(&scripted, "simulated_study"));
    assert!(
        scripted
            .assumptions
            .iter()
            .all(|line| line.kind == Kind::Assumed)
    );
}

#[test]
fn draws_outside_the_range_of_their_input_are_doubted_or_refused() {
    let with = |key: &str, low: f64, high: f64| {
        format!(
            "{GUIDE}[[uncertainty.input]]\nkey = \"{key}\"\ndistribution = \"uniform\"\nlow = {low}\nhigh = {high}\n"
        )
    };
    let drawn =
        |key: &str, low: f64, high: f64| warns(&solve(&with(key, low, high)), "draws_out_of_range");
    assert!(drawn("self_hosted.target_load", 0.5, 3.0));
    assert!(drawn("self_hosted.staff.fte", -0.5, 1.0));
    assert!(!drawn("self_hosted.target_load", 0.5, 1.0));
    let error = refuse(&with("self_hosted.staff.fte", -5.0, -1.0));
    assert!(error.problem.ends_with("it must be 0 or more"), "{error}");
}

#[test]
fn what_the_scenario_leaves_open_stands_in_the_ledger_too() {
    let text = format!(
        "{LEAST}{PRICES}[self_hosted]\nusd_per_gpu_hour = 2\noutput_tokens_per_second = 750\n"
    );
    let answer = solve(&text);
    let value = |key: &str| {
        let line = answer.assumptions.iter().find(|line| line.key == key);
        let line = line.unwrap_or_else(|| panic!("{key}"));
        assert_eq!(
            (line.source.as_str(), line.kind),
            ("default", Kind::Assumed)
        );
        line.value.clone()
    };
    assert_eq!(value("self_hosted.gpus_per_replica").as_f64(), Some(2.0));
    assert_eq!(value("self_hosted.gpu"), "a100-80gb-sxm");
    assert_eq!(
        value("self_hosted.billing_quantum_gpus").as_f64(),
        Some(1.0)
    );
    assert_eq!(value("traffic.peak_to_average").as_f64(), Some(1.0));
    assert_eq!(value("traffic.cache.prefix_hit_rate").as_f64(), Some(0.0));
    let keys: Vec<&String> = answer.assumptions.iter().map(|line| &line.key).collect();
    let distinct: std::collections::HashSet<&&String> = keys.iter().collect();
    assert_eq!(keys.len(), distinct.len());
}

#[test]
fn a_limit_is_said_to_do_nothing_only_where_it_does() {
    let limited = |tokens: u32| {
        let text = guide_with("traffic", &format!("input_token_limit = {tokens}"));
        warns(&solve(&text), "limit_without_spread")
    };
    assert!(limited(600));
    assert!(!limited(400));
}

#[test]
fn what_bounds_a_rate_is_told_with_the_way_out_that_helps() {
    let stated = "model = \"llama-3.3-70b\"\nprecision = \"f16\"\nbatch_size = 8\n";
    let with = |rates: &str| {
        let text = GUIDE.replace(
            "output_tokens_per_second = 750\n",
            &format!("{stated}{rates}\n"),
        );
        refuse(&text).hint.unwrap()
    };
    assert!(with("output_tokens_per_second = 750").contains("raise batch_size to 26"));
    let prefill = with("prefill_tokens_per_second = 10_000\ndecode_tokens_per_second = 200");
    assert!(
        prefill.contains("data sheet") && !prefill.contains("batch_size"),
        "{prefill}"
    );
    // 1.5 calls a second decode 225 tokens/s of 234.7, but read 1.5 times a prompt of 4,000.
    let text = GUIDE
        .replace(
            "output_tokens_per_second = 750\n",
            &format!("{stated}requests_per_second = 1.5\n"),
        )
        .replace("system_tokens = 200", "system_tokens = 3_700");
    assert!(
        refuse(&text)
            .problem
            .contains("requests_per_second = 1.5 is above the roofline")
    );
    let what_if = "[[what_if]]\nname = \"faster\"\nset = { \"self_hosted.output_tokens_per_second\" = 900 }\n";
    let text = GUIDE.replace(
        "output_tokens_per_second = 750\n",
        &format!("{stated}output_tokens_per_second = 200\n"),
    );
    assert!(
        refuse(&format!("{text}{what_if}"))
            .problem
            .starts_with("what-if `faster`: ")
    );
}
