//! The guide's own example, to the cent, and its claims held against the model.

use super::fixture::{Files, GUIDE, close, guide_with, solve, try_with};
use mtok::catalog::Catalog;
use mtok::catalog::book::{Commitment, PriceBook as _};
use mtok::cost::answer::{Answer, Cheaper, Method};
use mtok::cost::resolve::Sources;
use mtok::cost::scenario::Document;
use mtok::cost::warning::Warning;

#[test]
fn the_guides_example_gives_its_published_numbers() {
    let answer = solve(GUIDE);
    let api = answer.api.unwrap();
    close(api.input_usd_per_month, 375.0);
    close(api.output_usd_per_month, 450.0);
    close(api.usd_per_month, 825.0);
    close(api.usd_per_request, 0.00275);
    close(api.blended_usd_per_mtok.unwrap(), 4.230_769_230_77);
    let host = answer.self_hosted.unwrap();
    close(host.usd_per_month, 2_880.0);
    close(host.usd_per_request, 0.0096);
    close(host.utilization, 300_000.0 / 12_960_000.0);
    assert_eq!(host.method, Method::OutputOnly);
    assert_eq!((host.input_usd_per_mtok, host.kappa), (None, None));
    close(host.full_load_output_usd_per_mtok.unwrap(), 1.481_481_481);
    close(host.output_usd_per_mtok.unwrap(), 64.0);
    let found = answer.break_even.unwrap();
    assert!(found.exists);
    close(found.requests_per_month.unwrap(), 1_047_272.727_273);
    close(found.requests_per_day.unwrap(), 34_909.090_909);
    close(found.utilization.unwrap(), 0.080_808_080_8);
    close(found.usd_per_month.unwrap(), 2_880.0);
    close(
        found.required_output_tokens_per_second.unwrap(),
        750.0 * 2_880.0 / 35_640.0,
    );
    assert_eq!(answer.cheaper_now, Some(Cheaper::Api));
}

#[test]
fn a_quarter_of_an_engineer_moves_the_break_even() {
    let answer = solve(&guide_with("self_hosted", "staff = { fte = 0.25 }"));
    let found = answer.break_even.unwrap();
    close(found.requests_per_month.unwrap(), 2_562_424.242_424);
    close(found.utilization.unwrap(), 0.197_718_0);
}

#[test]
fn the_guides_verdict_reads_as_a_decision() {
    insta::assert_snapshot!(solve(GUIDE).verdict, @"At 300,000 requests a month the API costs 825.00 USD and self-hosting 2,880 USD. Self-hosting is cheaper for good above 1,047,273 requests a month (3.49 x this volume); this holds while measured throughput ≥ 60.6 output tokens/s per replica. Stay with the API at this volume.");
}

#[test]
fn doubts_of_the_guides_example_are_named_with_a_remedy() {
    let codes: Vec<&str> = solve(GUIDE).warnings.iter().map(Warning::code).collect();
    insta::assert_snapshot!(codes.join(" "), @"high_target_load prefill_ignored quality_unknown single_replica");
}

/// The guide's example with pieces replaced, each of which must be there.
#[track_caller]
fn changed(changes: &[(&str, &str)]) -> Answer {
    let mut text = GUIDE.to_owned();
    for (old, new) in changes {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    solve(&text)
}

/// The bill of the API over that of the guide's example.
#[track_caller]
fn times(changes: &[(&str, &str)]) -> f64 {
    changed(changes).api.unwrap().usd_per_month / 825.0
}

/// The answer with the bundled prices and the cards of this repository.
#[track_caller]
fn bundled(text: &str) -> Answer {
    let document = Document::parse(text).unwrap();
    let (catalog, files) = (Catalog::bundled(), Files::default());
    let sources = Sources {
        book: &catalog,
        evidence: &files,
    };
    mtok::cost::answer(&document, sources).unwrap()
}

#[test]
fn claim_one_price_for_all_tokens_is_half_or_twice_the_bill() {
    let one = |price: &str| {
        let prices = format!("input_usd_per_mtok = {price}\noutput_usd_per_mtok = {price}");
        times(&[("model = \"gpt-4o\"", &prices)]) * 825.0
    };
    close(one("2.5"), 487.5);
    close(one("10"), 1_950.0);
}

#[test]
fn claim_input_dominates_only_above_the_ratio_of_the_prices() {
    let share = |answer: Answer| {
        let api = answer.api.unwrap();
        api.input_usd_per_month / api.usd_per_month
    };
    // 500/150 tokens is less than 10/2.50 USD, so the output is dearer: 54.5 %.
    close(share(solve(GUIDE)), 0.454_545_454_5);
    close(
        share(changed(&[("user_tokens = 100", "user_tokens = 200")])),
        0.5,
    );
    let retrieved = guide_with("traffic.retrieval", "chunks = 10");
    close(share(solve(&retrieved)), 0.901_639_344);
}

#[test]
fn claim_a_long_prompt_doubles_costs() {
    let short = times(&[("system_tokens = 200", "system_tokens = 500")]);
    let long = times(&[("system_tokens = 200", "system_tokens = 4000")]);
    close(long / short, 3.5);
    let cached = |prices: &str| {
        let keys = "system_tokens = 4000\ncache = { prefix_hit_rate = 0.99 }";
        times(&[
            ("system_tokens = 200", keys),
            ("model = \"gpt-4o\"", prices),
        ]) / short
    };
    // With 99 % of it read from the cache it doubles at half the price and costs nothing at a tenth.
    close(cached("model = \"gpt-4o\""), 2_190.0 / 1_050.0);
    let tenth =
        "input_usd_per_mtok = 2.5\noutput_usd_per_mtok = 10\ncached_input_usd_per_mtok = 0.25";
    assert!((cached(tenth) - 0.9543).abs() < 1e-4);
}

#[test]
fn claim_ten_chunks_are_five_thousand_tokens_and_three_save_more_than_half() {
    let text = guide_with("traffic.retrieval", "chunks = 10");
    let what_if = "[[what_if]]\nname = \"3 chunks\"\nset = { \"traffic.retrieval.chunks\" = 3 }\n";
    let answer = solve(&format!("{text}{what_if}"));
    let api = answer.api.unwrap();
    close(api.input_tokens_per_request, 5_500.0);
    close(api.usd_per_month, 4_575.0);
    close(answer.what_if[0].api_usd_per_month.unwrap(), 1_950.0);
    close(
        answer.what_if[0].api_change_usd_per_month.unwrap(),
        -2_625.0,
    );
}

#[test]
fn claim_routing_seventy_percent_cuts_five_to_ten_times() {
    let routed = |route: &str| {
        1.0 / times(&[(
            "[self_hosted]",
            &format!("[[api.route]]\nshare = {route}\n[self_hosted]"),
        )])
    };
    let free = "0.7\ninput_usd_per_mtok = 0\noutput_usd_per_mtok = 0";
    assert!(routed("0.7\nmodel = \"gpt-4o-mini\"") < 2.93);
    close(routed(free), 1.0 / 0.3);
    // Five times less takes 85.1 % of the spending, ten times less 95.7 %.
    close(routed("0.851063829787234\nmodel = \"gpt-4o-mini\""), 5.0);
    close(routed("0.9574468085106383\nmodel = \"gpt-4o-mini\""), 10.0);
}

#[test]
fn claim_small_models_are_ten_to_twenty_times_cheaper() {
    let catalog = Catalog::bundled();
    let price = |model: &str| {
        let prices = catalog.api(model).unwrap().prices;
        let of = |price| f64::try_from(price).unwrap();
        (
            of(prices.input_usd_per_mtok),
            of(prices.output_usd_per_mtok),
        )
    };
    let (large, mini, haiku) = (
        price("gpt-4o"),
        price("gpt-4o-mini"),
        price("claude-haiku-4-5"),
    );
    close(large.0 / mini.0, 50.0 / 3.0);
    close(large.1 / mini.1, 50.0 / 3.0);
    close(large.0 / haiku.0, 2.5);
    close(large.1 / haiku.1, 2.0);
}

#[test]
fn claim_two_a100_hold_the_model_and_hardly_a_conversation() {
    let fit = |precision: &str, gpu: &str, gpus: u32| {
        let lines = format!(
            "gpu = \"{gpu}\"\ngpus_per_replica = {gpus}\nmodel = \"llama-3.3-70b\"\nprecision = \"{precision}\""
        );
        let text = guide_with("self_hosted", &lines).replacen("gpus_per_replica = 2\n", "", 1);
        let answer = bundled(&text);
        answer.view.fits.into_iter().find(|fit| fit.chosen).unwrap()
    };
    let half = fit("f16", "a100-80gb-sxm", 2);
    close(half.kv_tokens, 31_403.0);
    // 47 conversations of 650 tokens in whole blocks of 16; a cautious engine leaves 17.
    assert_eq!((half.sequences, half.cautious_sequences), (47.0, 17.0));
    assert_eq!(half.fewest_gpus, Some(2));
    let small = fit("f16", "a100-40gb-sxm", 4);
    assert!(small.kv_gib > 0.0 && small.cautious_sequences < 1.0);
    assert!(fit("q8_0", "a100-80gb-sxm", 1).sequences >= 1.0);
    assert!(fit("q4_0", "a100-80gb-sxm", 1).sequences > 100.0);
}

#[test]
fn claim_five_hundred_tokens_a_second_at_batch_eight() {
    let claimed = |rate: u32| {
        let lines = format!(
            "output_tokens_per_second = {rate}\nmodel = \"llama-3.3-70b\"\nprecision = \"f16\"\nbatch_size = 8"
        );
        try_with(&guide_with("self_hosted", &lines), &Files::default())
    };
    for rate in [500, 750, 1_000] {
        let error = claimed(rate).unwrap_err();
        assert!(error.problem.contains("at most 234.7"), "{error}");
    }
    let answer = claimed(230).unwrap();
    let point = answer.view.operating_point.unwrap();
    assert!((point.roofline_output_tokens_per_second.unwrap() - 234.7).abs() < 0.1);
    // First principles, prefill included, expect less than half of the slowest claim.
    let expected = point.expected_output_tokens_per_second.unwrap();
    assert!(expected < 250.0, "{expected}");
}

#[test]
fn claim_output_tokens_alone_size_the_host() {
    let alone = solve(GUIDE);
    assert!(
        alone
            .warnings
            .iter()
            .any(|warning| warning.code() == "prefill_ignored")
    );
    close(
        alone.view.operating_point.unwrap().input_tokens_per_second,
        2_500.0,
    );
    // At batch 32 first principles give 343 output tokens a second, and twice the break-even.
    let lines = "batch_size = 32\nmodel = \"llama-3.3-70b\"\nprecision = \"f16\"\noutput_tokens_per_second = 342.82";
    let expected = changed(&[("output_tokens_per_second = 750", lines)]);
    let found = expected.break_even.unwrap();
    assert!((found.utilization.unwrap() - 0.176_785).abs() < 1e-5);
    let host = expected.self_hosted.unwrap();
    assert!((host.full_load_output_usd_per_mtok.unwrap() - 3.241_06).abs() < 1e-4);
    let estimate = expected.view.operating_point.unwrap();
    let estimate = estimate.expected_output_tokens_per_second.unwrap();
    // Without the look-up of the input embedding it is a little more.
    assert!((342.82..352.0).contains(&estimate), "{estimate}");
}

#[test]
fn claim_the_month_costs_2880_and_is_idle() {
    let answer = solve(GUIDE);
    let (api, host) = (answer.api.unwrap(), answer.self_hosted.unwrap());
    close(host.usd_per_month, 2_880.0);
    close(host.utilization, 0.023_148_148);
    close(host.usd_per_month / api.usd_per_month, 3.490_909_09);
    let safe = solve(&guide_with(
        "self_hosted",
        "redundant_replicas = 1\nstaff = { fte = 0.25 }\nupdates = { per_year = 4, engineer_days = 5 }\nstorage_usd_per_month = 50",
    ));
    let safe = safe.self_hosted.unwrap();
    close(safe.gpu_usd_per_month, 5_760.0);
    close(
        safe.staff_usd_per_month,
        (0.25 + 20.0 / 260.0) * 200_000.0 / 12.0,
    );
    close(safe.other_usd_per_month, 50.0);
}

#[test]
fn claim_break_even_at_five_to_fifteen_thousand_a_month() {
    let spend = |staff: &str| {
        let text = guide_with("self_hosted", staff);
        solve(&text).break_even.unwrap().usd_per_month.unwrap()
    };
    close(spend("staff = { fte = 0 }"), 2_880.0);
    close(spend("staff = { fte = 0.1272 }"), 5_000.0);
    close(spend("staff = { fte = 0.7272 }"), 15_000.0);
}

#[test]
fn claim_below_twenty_percent_of_utilization_it_makes_no_sense() {
    let at = |staff: &str| {
        let found = solve(&guide_with("self_hosted", staff)).break_even.unwrap();
        found.utilization.unwrap()
    };
    close(at("staff = { fte = 0 }"), 4.0 / 49.5);
    assert!((at("staff = { fte = 0.25 }") - 0.1977).abs() < 1e-4);
    // Twenty percent of the replica is 7,128 USD at the API: the rule fits the other rule.
    let fifth = changed(&[(
        "requests_per_day = 10_000",
        "requests_per_month = 2_592_000",
    )]);
    close(fifth.api.unwrap().usd_per_month, 7_128.0);
}

#[test]
fn claim_bursty_traffic_keeps_utilization_low() {
    // Peak five at 70 % load caps utilization at 14 %, whatever the volume.
    let busy = changed(&[
        (
            "requests_per_day = 10_000",
            "requests_per_month = 1_000_000_000\npeak_to_average = 5",
        ),
        ("target_load = 1.0", "target_load = 0.7"),
    ]);
    let host = busy.self_hosted.unwrap();
    assert!(
        (0.139..=0.14).contains(&host.utilization),
        "{}",
        host.utilization
    );
}

#[test]
fn claim_the_api_is_the_comparator_and_not_the_same_model_hosted_elsewhere() {
    let hosted = "[[api.alternative]]\nname = \"hosted\"\nmodel = \"deepinfra/meta-llama/Llama-3.3-70B-Instruct-Turbo\"\nsame_model = true\n";
    let answer = bundled(&format!("{GUIDE}{hosted}"));
    assert!(answer.break_even.unwrap().exists);
    let row = &answer.alternatives[0];
    assert_eq!(row.same_model, Some(true));
    let found = row.break_even.as_ref().unwrap();
    assert!(!found.exists && found.required_usd_per_gpu_hour.unwrap() < 2.0);
}

#[test]
fn claim_the_variable_cost_of_self_hosting_is_electricity() {
    // Rented cards cost the same at any load; what grows with requests is traffic out.
    let host = |changes: &[(&str, &str)]| changed(changes).self_hosted.unwrap().usd_per_month;
    let busier = ("requests_per_day = 10_000", "requests_per_day = 100_000");
    close(host(&[busier]), host(&[]));
    let egress = (
        "target_load = 1.0",
        "target_load = 1.0\negress = { usd_per_gb = 0.09 }",
    );
    close(host(&[egress]) - host(&[]), 45.0 * 0.0225);
    // A bought machine draws power whether it works or not.
    let owned = (
        "usd_per_gpu_hour = 2.00",
        "owned = { kw = 10.2, usd_per_kwh = 0.10 }",
    );
    close(host(&[owned]), host(&[owned, busier]));
    let dearer = (
        "usd_per_gpu_hour = 2.00",
        "owned = { kw = 10.2, usd_per_kwh = 0.20 }",
    );
    close(host(&[dearer]) - host(&[owned]), 10.2 * 1.3 * 0.10 * 720.0);
}

#[test]
fn claim_prices_of_cards_are_not_what_the_guide_says() {
    let catalog = Catalog::bundled();
    let on_demand = |gpus: &[&str]| {
        let mut rates: Vec<f64> = gpus
            .iter()
            .flat_map(|gpu| catalog.rentals_of(gpu))
            .filter(|row| row.commitment == Commitment::OnDemand)
            .map(|row| f64::try_from(row.usd_per_gpu_hour).unwrap())
            .collect();
        rates.sort_by(f64::total_cmp);
        (rates[0], rates[rates.len() - 1])
    };
    let (low, high) = on_demand(&["a100-80gb-sxm", "a100-80gb-pcie"]);
    close(low, 1.19);
    close(high, 4.777);
    let (low, high) = on_demand(&["h100-sxm"]);
    assert!(low <= 2.69, "{low}");
    close(high, 12.29);
}

#[test]
fn follow_up_long_conversations_have_limits_windows_summaries_alerts_and_payers() {
    let talk = |keys: &str, limits: &str| {
        let text = format!(
            "[traffic]\nrequests_per_month = 300_000\nsystem_tokens = 200\n{limits}[traffic.conversation]\n{keys}\n[api]\nmodel = \"gpt-4o\"\n[budget]\nalert_usd_per_month = 2000\nalert_usd_per_session = 0.05\n[[budget.cost_center]]\nname = \"support\"\nshare = 0.7\n"
        );
        solve(&text)
    };
    let off = "cache = { prefix_hit_rate = 0 }\n";
    let session = |answer: &Answer| answer.budget.usd_per_session.unwrap();
    let full = talk("", off);
    close(session(&full), 0.163_75);
    assert_eq!(full.budget.session_over_budget, Some(true));
    close(session(&talk("policy = \"window\"", off)), 0.088_75);
    close(session(&talk("policy = \"summarize\"", off)), 0.092);
    let capped = talk(
        "",
        &format!("{off}session_token_limit = 10_000\non_limit = \"reject\"\n"),
    );
    assert!(session(&capped) < 0.05 && capped.volume.rejected_share > 0.0);
    let reached: Vec<bool> = full
        .budget
        .alerts
        .iter()
        .map(|alert| alert.reached)
        .collect();
    assert_eq!(reached, [true, true, true]);
    let bill = full.api.unwrap().usd_per_month;
    close(full.budget.cost_centers[0].usd_per_month, 0.7 * bill);
    close(full.budget.cost_centers[1].usd_per_month, 0.3 * bill);
}

#[test]
fn follow_up_frequent_updates_and_frontier_needs_speak_against_self_hosting() {
    let large = (
        "requests_per_day = 10_000",
        "requests_per_month = 2_000_000",
    );
    let calm = changed(&[
        large,
        (
            "target_load = 1.0",
            "target_load = 1.0\nstaff = { fte = 0.1 }",
        ),
    ]);
    assert_eq!(calm.cheaper_now, Some(Cheaper::SelfHosted));
    let weekly = "target_load = 1.0\nstaff = { fte = 0.1 }\nupdates = { per_year = 52, engineer_days = 2, parallel_hours = 24 }";
    let busy = changed(&[large, ("target_load = 1.0", weekly)]);
    assert_eq!(busy.cheaper_now, Some(Cheaper::Api));
    let text = GUIDE.replace(large.0, large.1);
    let frontier = solve(&format!("{text}[decision]\nneeds_frontier_model = true\n"));
    assert!(
        frontier.verdict.contains("Stay with the API"),
        "{}",
        frontier.verdict
    );
}

#[test]
fn follow_up_embedding_is_cheap_and_generation_is_not() {
    let text = format!(
        "{}[traffic.retrieval]\nembedding = \"text-embedding-3-small\"\nindex_chunks = 1_000_000\nreindex_months = 1\n",
        GUIDE.replace(
            "requests_per_day = 10_000",
            "requests_per_month = 1_000_000"
        )
    );
    let answer = solve(&text);
    // Ten USD for the index, two for a million queries, against 15,250 for the answers.
    close(answer.shared.usd_per_month, 12.0);
    let api = answer.api.unwrap();
    close(api.input_usd_per_month + api.output_usd_per_month, 15_250.0);
}
