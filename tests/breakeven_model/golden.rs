//! Values of the arithmetic reference, reproduced through the public types.

use std::fmt::Write as _;

use super::fixture::{Files, GUIDE, close, guide_with, llama_70b, solve, try_with};
use mtok::catalog::book::GpuCard;
use mtok::cost::bill::{break_even_hit_rate, share_needed};
use mtok::cost::breakeven::{Terms, closed_form};
use mtok::cost::capacity::{Rates, Work};
use mtok::cost::fleet::{SpotCase, spot_effective_rate};
use mtok::cost::memory::{Footprint, GIB, Roofline, Room, weight_bytes};
use mtok::cost::owned::{OwnedRate, capital_recovery_factor};
use mtok::cost::scenario::{Owned, Side};
use mtok::study::model::Precision;
use serde_json::Value;

fn golden(key: &str) -> Value {
    let text = include_str!("../golden/cost_golden.json");
    let all: Value = serde_json::from_str(text).unwrap();
    all.get(key)
        .unwrap_or_else(|| panic!("no golden value {key}"))
        .clone()
}

#[track_caller]
fn number(key: &str) -> f64 {
    golden(key)
        .as_f64()
        .unwrap_or_else(|| panic!("{key} is no number"))
}

/// Compares with a golden value, which is rounded to six decimals.
#[track_caller]
fn is(key: &str, got: f64) {
    let want = number(key);
    let slack = 1.01e-6_f64.max(want.abs() * 1e-7);
    assert!((got - want).abs() <= slack, "{key}: {got} for {want}");
}

/// The same with fewer decimals.
#[track_caller]
fn is_about(key: &str, got: f64, slack: f64) {
    let want = number(key);
    assert!((got - want).abs() <= slack, "{key}: {got} for {want}");
}

/// A scenario of 300,000 requests with inline prices and no fleet.
fn api(traffic: &str, api: &str) -> mtok::cost::answer::ApiAnswer {
    let text = format!(
        "[calendar]\nhours_per_month = 720\n[traffic]\nrequests_per_month = 300_000\n{traffic}\n[api]\n{api}\n"
    );
    solve(&text).api.unwrap()
}

const CHAT: &str =
    "system_tokens = 200\nhistory_tokens = 200\nuser_tokens = 100\noutput_tokens = 150";
const GPT: &str = "input_usd_per_mtok = 2.5\noutput_usd_per_mtok = 10";

#[test]
fn g1_the_api_bill() {
    let bill = api(CHAT, GPT);
    is("g1.input_usd", bill.input_usd_per_month);
    is("g1.output_usd", bill.output_usd_per_month);
    is("g1.total_usd", bill.usd_per_month);
    is("g1.usd_per_request", bill.usd_per_request);
    is("g1.blended_usd_per_M", bill.blended_usd_per_mtok.unwrap());
    let tokens = bill.input_tokens_per_request + bill.output_tokens_per_request;
    is(
        "g1.input_token_share",
        bill.input_tokens_per_request / tokens,
    );
    is(
        "g1.input_cost_share",
        bill.input_usd_per_month / bill.usd_per_month,
    );
    for price in ["2.5", "10"] {
        let one = format!("input_usd_per_mtok = {price}\noutput_usd_per_mtok = {price}");
        is(
            &format!("g1.one_price_{price}"),
            api(CHAT, &one).usd_per_month,
        );
    }
    for (name, input, output) in [
        ("chat_500_150", 500, 150),
        ("rag_5500_150", 5_500, 150),
        ("reason_1000_8000", 1_000, 8_000),
        ("even_1_1", 1_000, 1_000),
    ] {
        let bill = api(
            &format!("user_tokens = {input}\noutput_tokens = {output}"),
            GPT,
        );
        let blend = bill.blended_usd_per_mtok.unwrap();
        is(&format!("g1.true_blend.{name}"), blend);
        let index = number("g1.aa_3to1_usd_per_M");
        is_about(
            &format!("g1.aa_over_true_pct.{name}"),
            (index / blend - 1.0) * 100.0,
            6e-4,
        );
    }
    let parity = api("user_tokens = 600\noutput_tokens = 150", GPT);
    close(parity.input_usd_per_month, parity.output_usd_per_month);
    is("g1.input_parity_tokens", parity.input_tokens_per_request);
}

#[test]
fn g2_the_calendar_moves_both_sides() {
    for (key, hours) in [
        ("g2.month_720h", 720.0),
        ("g2.month_730h", 730.0),
        ("g2.month_730.5h", 730.5),
        ("g2.month_744h", 744.0),
    ] {
        let answer = solve(&guide_with(
            "calendar",
            &format!("hours_per_month = {hours}"),
        ));
        is(key, answer.self_hosted.unwrap().gpu_usd_per_month);
        close(answer.api.unwrap().usd_per_month, 825.0 * hours / 720.0);
        close(
            answer.break_even.unwrap().requests_per_day.unwrap(),
            number("g4.req_day_30"),
        );
    }
    for (key, rate) in [("g2.on_demand_3", 3), ("g2.on_demand_4", 4)] {
        let answer = solve(&guide_with(
            "self_hosted",
            &format!("usd_per_gpu_hour = {rate}"),
        ));
        is(key, answer.self_hosted.unwrap().usd_per_month);
    }
}

#[test]
fn g3_time_share_splits_a_replica_exactly() {
    let rates = Rates {
        output: Some(750.0),
        input: Some(2_500.0),
        prefill: Some(8_000.0),
        decode: Some(1_100.0),
        goodput: None,
    };
    let work = Work {
        calls: 1.0,
        uncached_tokens: 500.0,
        input_tokens: 500.0,
        output_tokens: 150.0,
        rejected_share: 0.0,
    };
    is("g3.kappa", work.kappa(&rates).unwrap());
    let lines = "input_tokens_per_second = 2500\nprefill_tokens_per_second = 8000\ndecode_tokens_per_second = 1100";
    let host = solve(&guide_with("self_hosted", lines))
        .self_hosted
        .unwrap();
    is("g3.kappa", host.kappa.unwrap());
    is(
        "g3.timeshare_in",
        host.full_load_input_usd_per_mtok.unwrap(),
    );
    is(
        "g3.timeshare_out",
        host.full_load_output_usd_per_mtok.unwrap(),
    );
    let hour = (host.full_load_input_usd_per_mtok.unwrap() * 2_500.0
        + host.full_load_output_usd_per_mtok.unwrap() * 750.0)
        * 3_600.0
        / 1e6;
    is("g3.timeshare_closure_usd_per_h", hour);
    let together = solve(&guide_with("self_hosted", "input_tokens_per_second = 2500"));
    let host = together.self_hosted.unwrap();
    is(
        "g3.total_tokens",
        host.full_load_output_usd_per_mtok.unwrap(),
    );
    for rate in [500, 750, 1_000] {
        let line = format!("output_tokens_per_second = {rate}");
        let host = solve(&guide_with("self_hosted", &line))
            .self_hosted
            .unwrap();
        let full = host.full_load_output_usd_per_mtok.unwrap();
        is(&format!("g3.output_only.{rate}"), full);
    }
    // A fifth of the replica's month: 2,592,000 requests.
    let text = GUIDE.replace(
        "requests_per_day = 10_000",
        "requests_per_month = 2_592_000",
    );
    let host = solve(&text).self_hosted.unwrap();
    close(host.utilization, 0.2);
    is("g3.output_only.750_u20", host.output_usd_per_mtok.unwrap());
}

#[test]
fn g4_the_break_even_and_its_utilization() {
    for rate in [500, 750, 1_000] {
        let line = format!("output_tokens_per_second = {rate}");
        let answer = solve(&guide_with("self_hosted", &line));
        let found = answer.break_even.unwrap();
        is("g4.req_month", found.requests_per_month.unwrap());
        is("g4.req_day_30", found.requests_per_day.unwrap());
        is(&format!("g4.util_at_be.{rate}"), found.utilization.unwrap());
        let host = answer.self_hosted.unwrap();
        is(
            &format!("g4.cap_req_month.{rate}"),
            host.requests_per_replica_month,
        );
    }
    let answer = solve(GUIDE);
    let found = answer.break_even.as_ref().unwrap();
    let host = answer.self_hosted.as_ref().unwrap();
    is(
        "g4.volume_multiple_of_seed",
        found.requests_per_month.unwrap() / 300_000.0,
    );
    is("g4.seed_util_now", host.utilization);
    is(
        "g4.selfhost_usd_per_req_at_seed_volume",
        host.usd_per_request,
    );
    let api = answer.api.as_ref().unwrap();
    is(
        "g4.ratio_self_vs_api_at_seed_volume",
        host.usd_per_month / api.usd_per_month,
    );
    let point = answer.view.operating_point.unwrap();
    is(
        "g4.api_value_per_replica_hour",
        point.api_value_usd_per_replica_hour.unwrap(),
    );
    is(
        "g4.ustar",
        point.usd_per_replica_hour / point.api_value_usd_per_replica_hour.unwrap(),
    );
    let full = GUIDE.replace(
        "requests_per_day = 10_000",
        "requests_per_month = 12_960_000",
    );
    let full = solve(&full);
    is(
        "g4.api_vs_self_full_util",
        full.api.unwrap().usd_per_month / full.self_hosted.as_ref().unwrap().usd_per_month,
    );
    is_about(
        "g4.usd_per_req_full_util",
        full.self_hosted.unwrap().usd_per_request,
        1e-8,
    );
    let staffed = solve(&guide_with("self_hosted", "staff = { fte = 0.25 }"));
    let found = staffed.break_even.unwrap();
    is(
        "g4.with_quarter_fte",
        staffed.self_hosted.unwrap().usd_per_month,
    );
    is("g4.be_req_quarter_fte", found.requests_per_month.unwrap());
    is("g4.be_util_quarter_fte", found.utilization.unwrap());
    let point = staffed.view.operating_point.unwrap();
    is(
        "g4.ustar_quarter_fte",
        point.usd_per_replica_hour / point.api_value_usd_per_replica_hour.unwrap(),
    );
    let safe = solve(&guide_with(
        "self_hosted",
        "staff = { fte = 0.25 }\nredundant_replicas = 1",
    ));
    let found = safe.break_even.unwrap();
    is(
        "g4.nplus1_quarter_fte",
        safe.self_hosted.unwrap().usd_per_month,
    );
    is(
        "g4.be_req_nplus1_quarter_fte",
        found.requests_per_month.unwrap(),
    );
    is("g4.be_util2_nplus1", found.utilization.unwrap());
    for spend in [5_000, 15_000] {
        // A fixed cost that lifts the fleet to this spending breaks even at it.
        let overhead = spend - 2_880;
        is(&format!("g4.implied_overhead_{spend}"), f64::from(overhead));
        let line = format!("fixed_usd_per_month = {overhead}");
        let found = solve(&guide_with("self_hosted", &line)).break_even.unwrap();
        is(
            &format!("g4.req_at_api_spend_{spend}"),
            found.requests_per_month.unwrap(),
        );
        is(
            &format!("g4.util_at_api_spend_{spend}"),
            found.utilization.unwrap(),
        );
        let fte = number(&format!("g4.implied_fte_200k_{spend}"));
        let line = format!("staff = {{ fte = {fte} }}");
        let staffed = solve(&guide_with("self_hosted", &line));
        close(staffed.self_hosted.unwrap().usd_per_month, f64::from(spend));
    }
}

#[test]
fn g4b_hosted_open_models_take_the_case_away() {
    let all: Value = serde_json::from_str(include_str!("../golden/cost_golden.json")).unwrap();
    let prices = [
        ("gpt-4o", 2.5, 10.0),
        ("gpt-4o-mini", 0.15, 0.6),
        ("gpt-5.4-mini", 0.75, 4.5),
        ("gpt-6-luna", 0.1, 0.5),
        ("claude-haiku-4-5", 1.0, 5.0),
        ("claude-haiku-5-5", 0.1, 0.5),
        ("claude-sonnet-5-5", 2.0, 10.0),
        ("gemini-2.5-flash-lite", 0.1, 0.4),
        ("fireworks llama-v3p3-70b", 0.9, 0.9),
        ("together Llama-3.3-70B-Turbo", 1.04, 1.04),
        ("deepinfra Llama-3.3-70B", 0.23, 0.4),
        ("deepinfra Llama-3.3-70B-Turbo", 0.1, 0.32),
        ("nebius Llama-3.3-70B", 0.13, 0.4),
        ("lambda llama3.3-70b-fp8", 0.12, 0.3),
        ("sambanova Llama-3.3-70B", 0.6, 1.2),
        ("cerebras llama-3.3-70b", 0.85, 1.2),
    ];
    let listed = all
        .as_object()
        .unwrap()
        .keys()
        .filter(|key| key.starts_with("g4b."))
        .count();
    assert_eq!(listed, prices.len());
    let mut text = GUIDE.to_owned();
    for (name, input, output) in prices {
        write!(text, "[[api.alternative]]\nname = \"{name}\"\ninput_usd_per_mtok = {input}\noutput_usd_per_mtok = {output}\n").unwrap();
    }
    let answer = solve(&text);
    assert_eq!(answer.alternatives.len(), prices.len());
    for row in &answer.alternatives {
        assert_eq!(row.side, Side::Api);
        let want = golden(&format!("g4b.{}", row.name));
        let of = |key: &str| want[key].as_f64().unwrap();
        close(row.usd_per_request, of("usd_per_req"));
        let found = row.break_even.as_ref().unwrap();
        assert_eq!(
            found.exists,
            want["reachable"].as_bool().unwrap(),
            "{}",
            row.name
        );
        if found.exists {
            assert!((found.requests_per_month.unwrap() - of("be_req_month")).abs() < 0.06);
            assert!((found.utilization.unwrap() - of("be_util_750")).abs() < 6e-6);
        } else {
            assert_eq!(found.requests_per_month, None);
            // The way out: cards this much cheaper, or this much faster.
            let rate = 2.0 / of("be_util_750");
            assert!((found.required_usd_per_gpu_hour.unwrap() / rate - 1.0).abs() < 1e-4);
        }
    }
}

#[test]
fn g5_routing_saves_less_than_its_share() {
    for (key, times) in [("10", 10.0), ("16.67", 50.0 / 3.0), ("20", 20.0)] {
        let route = format!(
            "{GPT}\n[[api.route]]\nshare = 0.7\ninput_usd_per_mtok = {}\noutput_usd_per_mtok = {}",
            2.5 / times,
            10.0 / times
        );
        let factor = api(CHAT, &route).usd_per_month / 825.0;
        is(&format!("g5.factor_r{key}"), factor);
        is(&format!("g5.saving_x_r{key}"), 1.0 / factor);
    }
    let mini = "model = \"gpt-4o\"\n[[api.route]]\nshare = 0.7\nmodel = \"gpt-4o-mini\"";
    is("g5.seed_monthly_router", api(CHAT, mini).usd_per_month);
    let free = format!(
        "{GPT}\n[[api.route]]\nshare = 0.7\ninput_usd_per_mtok = 0\noutput_usd_per_mtok = 0"
    );
    is("g5.limit_x", 825.0 / api(CHAT, &free).usd_per_month);
    for (n, key) in [(5.0, "5x"), (10.0, "10x")] {
        is(
            &format!("g5.share_needed_{key}_r16.67"),
            share_needed(n, 50.0 / 3.0).unwrap(),
        );
        is(
            &format!("g5.share_needed_{key}_r20"),
            share_needed(n, 20.0).unwrap(),
        );
    }
    let cascade = "model = \"gpt-4o\"\n[[api.route]]\npolicy = \"cascade\"\nescalation = 0.3\nmodel = \"gpt-4o-mini\"";
    is(
        "g5.cascade_small_all_30pct_escalate_r16.67",
        api(CHAT, cascade).usd_per_month / 825.0,
    );
    assert_eq!(share_needed(5.0, 4.0), None);
}

#[test]
fn g6_retrieval_and_the_system_prompt() {
    let chunks = |k: u32| format!("{CHAT}\nretrieval = {{ chunks = {k}, tokens_per_chunk = 500 }}");
    let (ten, three) = (api(&chunks(10), GPT), api(&chunks(3), GPT));
    is("g6.rag_k10_extra", ten.usd_per_month - 825.0);
    is("g6.rag_k10_total", ten.usd_per_month);
    is("g6.rag_k10_multiple", ten.usd_per_month / 825.0);
    is("g6.rag_k3_extra", three.usd_per_month - 825.0);
    is("g6.rag_k3_total", three.usd_per_month);
    is(
        "g6.saving_k10_to_k3",
        ten.usd_per_month - three.usd_per_month,
    );
    is(
        "g6.saving_pct",
        (1.0 - three.usd_per_month / ten.usd_per_month) * 100.0,
    );
    is(
        "g6.rag_input_cost_share",
        ten.input_usd_per_month / ten.usd_per_month,
    );
    let system =
        |tokens: u32| CHAT.replace("system_tokens = 200", &format!("system_tokens = {tokens}"));
    let (small, large) = (api(&system(500), GPT), api(&system(4_000), GPT));
    is("g6.sys500_total", small.usd_per_month);
    is("g6.sys4000_total", large.usd_per_month);
    is("g6.sys_ratio", large.usd_per_month / small.usd_per_month);
    is(
        "g6.sys_input_ratio",
        large.input_usd_per_month / small.input_usd_per_month,
    );
    let other = |system: u32| {
        api(
            &format!("system_tokens = {system}\nuser_tokens = 2400\noutput_tokens = 150"),
            GPT,
        )
    };
    close(other(4_000).usd_per_month / other(500).usd_per_month, 2.0);
    let cached = format!("{}\ncache = {{ prefix_hit_rate = 0.99 }}", system(4_000));
    is(
        "g6.sys4000_gpt4o_cache_hit99_total",
        api(&cached, "model = \"gpt-4o\"").usd_per_month,
    );
    let cheap = format!("{GPT}\ncached_input_usd_per_mtok = 0.25");
    is(
        "g6.sys4000_0.1x_cache_hit99_total",
        api(&cached, &cheap).usd_per_month,
    );
}

#[test]
fn g7_embeddings_cost_next_to_nothing() {
    let text = |requests: u32, rest: &str| {
        format!(
            "[traffic]\nrequests_per_month = {requests}\nuser_tokens = 500\noutput_tokens = 150\n[traffic.retrieval]\nembedding = \"text-embedding-3-small\"\n{rest}\n[api]\n{GPT}\n"
        )
    };
    let queries = solve(&text(1_000_000, ""));
    is("g7.query_embed", queries.shared.usd_per_month);
    let api = queries.api.unwrap();
    is(
        "g7.llm_for_1M_rag_requests",
        api.input_usd_per_month + api.output_usd_per_month,
    );
    is(
        "g7.embed_share_pct",
        queries.shared.usd_per_month / api.usd_per_month * 100.0,
    );
    is(
        "g7.query_embed_300k",
        solve(&text(300_000, "")).shared.usd_per_month,
    );
    let index = |rest: &str| {
        let rest =
            format!("query_tokens = 0\nindex_chunks = 1_000_000\nreindex_months = 1\n{rest}");
        solve(&text(300_000, &rest)).shared.usd_per_month
    };
    is("g7.index_1M_chunks_500tok", index(""));
    is(
        "g7.index_1M_chunks_500tok_10pct_overlap",
        index("overlap = 0.1"),
    );
    let store = index("store_usd_per_gb_month = 1") - index("");
    is("g7.vector_bytes_1536_f32", store * 1e9);
    is("g7.vector_gib", store * 1e9 / GIB);
    let large = text(
        300_000,
        "query_tokens = 0\nindex_chunks = 1_000_000\nreindex_months = 1",
    )
    .replace("3-small", "3-large");
    is("g7.index_3_large", solve(&large).shared.usd_per_month);
}

/// Dollars of one conversation of twenty turns.
fn conversation(keys: &str, cache: &str, api: &str) -> f64 {
    let text = format!(
        "[traffic]\nrequests_per_month = 20\nsystem_tokens = 200\ncache = {{ {cache} }}\n[traffic.conversation]\n{keys}\n[api]\nmodel = \"{api}\"\n"
    );
    solve(&text).api.unwrap().usd_per_month
}

#[test]
fn g8_conversations_by_policy() {
    let off = "prefix_hit_rate = 0";
    is("g8.full_usd", conversation("", off, "gpt-4o"));
    is(
        "g8.window4_usd",
        conversation("policy = \"window\"", off, "gpt-4o"),
    );
    is(
        "g8.sum_usd_same_model",
        conversation("policy = \"summarize\"", off, "gpt-4o"),
    );
    let mini = "policy = \"summarize\"\nsummary_model = \"gpt-4o-mini\"";
    is(
        "g8.sum_usd_mini_summariser",
        conversation(mini, off, "gpt-4o"),
    );
    is(
        "g8.cached_gpt4o_usd(read0.5,write1.0,min1024)",
        conversation("", "", "gpt-4o"),
    );
    is(
        "g8.cached_sonnet55_usd(read0.05,write1.25,min512)",
        conversation("", "", "claude-sonnet-5-5"),
    );
    is(
        "g8.uncached_sonnet55_usd",
        conversation("", off, "claude-sonnet-5-5"),
    );
    is(
        "g8.window4_sonnet55_nocache_usd",
        conversation("policy = \"window\"", off, "claude-sonnet-5-5"),
    );
    let one = "[traffic]\nrequests_per_month = 20\nsystem_tokens = 200\nuser_tokens = 100\noutput_tokens = 150\n[api]\nmodel = \"gpt-4o\"\n";
    is("g8.one_shot_x20_usd", solve(one).api.unwrap().usd_per_month);
    let input = |keys: &str, limits: &str| {
        let text = format!(
            "[traffic]\nrequests_per_month = 20\nsystem_tokens = 200\n{limits}\ncache = {{ prefix_hit_rate = 0 }}\n[traffic.conversation]\n{keys}\n[api]\n{GPT}\n"
        );
        solve(&text).api.unwrap().input_tokens_per_request * 20.0
    };
    is("g8.full_in", input("", ""));
    is("g8.avg_in_per_turn", input("", "") / 20.0);
    for window in [1, 4, 8] {
        let keys = format!("policy = \"window\"\nwindow_turns = {window}");
        is(&format!("g8.window{window}_in"), input(&keys, ""));
    }
    let summed = input("policy = \"summarize\"", "");
    close(summed, number("g8.sum_in") + number("g8.sum_call_in"));
    assert!(
        (input("turns_sd = 15", "") - number("g8.var_turns_E[T]=20_sd=15_full_in")).abs() < 0.01
    );
    close(
        input("", "session_token_limit = 32000\non_limit = \"reject\""),
        number("g8.full_in_15"),
    );
    close(
        input("turns = 16", "") / 20.0 * 16.0,
        number("g8.full_in_16"),
    );
}

#[test]
fn g9_the_prompt_cache_and_its_break_even() {
    let prices = "input_usd_per_mtok = 2\noutput_usd_per_mtok = 10\ncached_input_usd_per_mtok = 0.1\ncache_write_usd_per_mtok = 2.5";
    let traffic = |hit: f64| {
        format!(
            "system_tokens = 4000\nuser_tokens = 300\noutput_tokens = 150\ncache = {{ prefix_hit_rate = {hit} }}"
        )
    };
    is("g9.no_cache", api(&traffic(0.0), prices).usd_per_month);
    is("g9.hit0.9", api(&traffic(0.9), prices).usd_per_month);
    is("g9.hit0.99", api(&traffic(0.99), prices).usd_per_month);
    for (key, write, read) in [
        ("g9.breakeven_hit_write1.25_read0.05", 1.25, 0.05),
        ("g9.breakeven_hit_write1.25_read0.1", 1.25, 0.1),
        ("g9.breakeven_hit_write2_read0.1", 2.0, 0.1),
    ] {
        is(key, break_even_hit_rate(write, read).unwrap());
    }
    let even = break_even_hit_rate(1.25, 0.05).unwrap();
    close(
        api(&traffic(even), prices).usd_per_month,
        number("g9.no_cache"),
    );
}

#[test]
fn g10_a_public_fleet_is_priced_by_its_time() {
    // 608 G input and 168 G output tokens in a day, as one request; 8 x 2 USD an hour per node.
    let work = Work {
        calls: 1.0,
        uncached_tokens: 608e9,
        input_tokens: 608e9,
        output_tokens: 168e9,
        rejected_share: 0.0,
    };
    let rates = Rates {
        prefill: Some(73_700.0),
        decode: Some(14_800.0),
        ..Rates::default()
    };
    let nodes = work.seconds(rates.basis().unwrap()) / 86_400.0;
    is("g10.nodes_sum", nodes);
    is("g10.err_pct", (nodes / 226.75 - 1.0) * 100.0);
    is("g10.timeshare_total_day", nodes * 16.0 * 24.0);
    let text = "[traffic]\nrequests_per_month = 1_000_000\nsystem_tokens = 342_000\nuser_tokens = 266_000\noutput_tokens = 168_000\ncache = { prefix_hit_rate = 1.0 }\n[api]\ninput_usd_per_mtok = 0.55\noutput_usd_per_mtok = 2.19\ncached_input_usd_per_mtok = 0.14\n";
    is("g10.revenue_day", solve(text).api.unwrap().usd_per_month);
}

const PARAMETERS: [(&str, f64); 5] = [
    ("llama3.1-8b", 8_030_261_248.0),
    ("qwen3-32b", 32_762_123_264.0),
    ("llama3.1-70b", 70_553_706_496.0),
    ("llama3.1-405b", 405_853_388_800.0),
    ("mixtral-8x7b", 46_702_792_704.0),
];

const BITS: [(&str, f64); 12] = [
    ("fp16/bf16", 16.0),
    ("fp8/int8", 8.0),
    ("Q8_0", 8.5),
    ("Q6_K", 6.5633),
    ("Q5_K_M", 5.7036),
    ("Q4_K_M", 4.8944),
    ("IQ4_XS", 4.4597),
    ("Q4_0/Q4_K block", 4.5),
    ("MXFP4", 4.25),
    ("Q3_K_M~", 3.9),
    ("Q2_K", 3.1593),
    ("IQ2_XXS", 2.3824),
];

#[test]
fn g12_weights_and_cache_in_memory() {
    for (model, parameters) in PARAMETERS {
        let want = golden(&format!("g12.weights_gib.{model}"));
        for (name, bits) in BITS {
            let got = weight_bytes(parameters, bits) / GIB;
            assert!(
                (got - want[name].as_f64().unwrap()).abs() < 6e-4,
                "{model} {name}: {got}"
            );
        }
    }
    let shape = llama_70b();
    assert_eq!(shape.parameters(), 70_553_706_496);
    let footprint = Footprint::of(&shape, Precision::F16, Precision::F16, 2);
    is(
        "g12.kv_bytes_per_token.llama3.1-70b",
        footprint.kv_bytes_per_token,
    );
}

#[test]
fn g12_a_model_in_its_cards() {
    let aic = 3.5 + 342.0 / 1_024.0 + 2.0 * 8_192.0 * 8_192.0 * 6.0 / GIB;
    is("g12.aic_overhead_gib_per_gpu_tp2_8192tok", aic);
    let four = 3.5 + 392.0 / 1_024.0 + 2.0 * 8_192.0 * 8_192.0 * 5.0 / GIB;
    let one = 3.5 + 2.0 * 8_192.0 * 8_192.0 * 10.0 / GIB;
    let mib = |mib: f64| mib / 1_024.0;
    let rows = [
        ("70B fp16 2xA100-80 lean", 2, 16.0, 2.0, 80.0, 0.9, 1.5),
        ("70B fp16 2xA100-80 AIC", 2, 16.0, 2.0, 80.0, 0.9, aic),
        (
            "70B fp16 2xA100-80 lean u.92",
            2,
            16.0,
            2.0,
            80.0,
            0.92,
            1.5,
        ),
        ("70B fp16 4xA100-40 lean", 2, 16.0, 4.0, 40.0, 0.9, 1.5),
        ("70B fp16 4xA100-40 AIC", 2, 16.0, 4.0, 40.0, 0.9, four),
        ("70B int8 1xA100-80 lean", 2, 8.0, 1.0, 80.0, 0.9, 1.5),
        ("70B int8 1xA100-80 AIC", 2, 8.0, 1.0, 80.0, 0.9, one),
        ("70B int8 2xA100-80 lean", 2, 8.0, 2.0, 80.0, 0.9, 1.5),
        ("70B Q4_K_M 1xA100-80 lean", 2, 4.8944, 1.0, 80.0, 0.9, 1.5),
        ("70B Q4_K_M 1xA100-40 lean", 2, 4.8944, 1.0, 40.0, 0.9, 1.5),
        (
            "70B Q4_K_M 1xL40S-48 lean",
            2,
            4.8944,
            1.0,
            mib(46_068.0),
            0.9,
            1.5,
        ),
        (
            "70B Q4_K_M 2xRTX4090 lean",
            2,
            4.8944,
            2.0,
            mib(24_564.0),
            0.9,
            1.5,
        ),
        (
            "70B fp16 1xH200 lean",
            2,
            16.0,
            1.0,
            mib(143_771.0),
            0.9,
            1.5,
        ),
        ("70B fp8 1xH200 lean", 2, 8.0, 1.0, mib(143_771.0), 0.9, 1.5),
        ("70B fp8 1xH100 lean", 2, 8.0, 1.0, mib(81_559.0), 0.9, 1.5),
        ("70B fp16 1xMI300X lean", 2, 16.0, 1.0, 192.0, 0.9, 1.5),
        ("8B fp16 1xL4", 0, 16.0, 1.0, mib(23_034.0), 0.9, 1.5),
        ("8B fp16 1xRTX4090", 0, 16.0, 1.0, mib(24_564.0), 0.9, 1.5),
    ];
    for (name, model, bits, gpus, gib_per_gpu, utilization, overhead_gib_per_gpu) in rows {
        let kv = number(if model == 0 {
            "g12.kv_bytes_per_token.llama3.1-8b"
        } else {
            "g12.kv_bytes_per_token.llama3.1-70b"
        });
        let fit = Footprint {
            weight_bytes: weight_bytes(PARAMETERS[model].1, bits),
            kv_bytes_per_token: kv,
        }
        .fit(Room {
            gpus,
            gib_per_gpu,
            utilization,
            overhead_gib_per_gpu,
        });
        let want = golden(&format!("g12.fit.{name}"));
        let of = |key: &str| want[key].as_f64().unwrap();
        assert!((fit.weights_gib - of("weights_gib")).abs() < 6e-4, "{name}");
        assert!(
            (fit.kv_gib - of("kv_gib")).abs() < 6e-4,
            "{name}: {}",
            fit.kv_gib
        );
        assert!(
            (fit.kv_tokens - of("kv_tokens")).abs() < 0.5,
            "{name}: {}",
            fit.kv_tokens
        );
        assert!(
            ((fit.kv_tokens / 650.0).floor() - of("seqs_650")).abs() < 0.5,
            "{name}"
        );
        assert!(
            ((fit.kv_tokens / 4_150.0).floor() - of("seqs_4150")).abs() < 0.5,
            "{name}"
        );
    }
}

#[test]
fn g12_fewest_cards_by_model_and_precision() {
    let all = golden("g12.min_gpus(util0.9,1.5GiB,16384tok)");
    let cards = [
        ("4090", 24_564.0),
        ("L4", 23_034.0),
        ("L40S", 46_068.0),
        ("A100-40", 40_960.0),
        ("A100-80", 81_920.0),
        ("H100", 81_559.0),
        ("H200", 143_771.0),
        ("B200", 183_359.0),
        ("MI300X", 196_608.0),
    ];
    for (model, parameters) in &PARAMETERS[..4] {
        for bits in ["16", "8", "4.8944"] {
            let footprint = Footprint {
                weight_bytes: weight_bytes(*parameters, bits.parse().unwrap()),
                kv_bytes_per_token: number(&format!("g12.kv_bytes_per_token.{model}")),
            };
            for (card, mib) in cards {
                let room = Room {
                    gpus: 1.0,
                    gib_per_gpu: mib / 1_024.0,
                    utilization: 0.9,
                    overhead_gib_per_gpu: 1.5,
                };
                let want = all[format!("{model}@{bits}")][card].as_u64();
                assert_eq!(
                    footprint.fewest_gpus(room).map(u64::from),
                    want,
                    "{model}@{bits} {card}"
                );
            }
        }
    }
}

fn a100() -> GpuCard {
    use mtok::catalog::book::PriceBook as _;
    super::fixture::Book::new().gpu("a100-80gb-sxm").unwrap()
}

#[test]
fn g13_no_engine_beats_the_memory() {
    let shape = llama_70b();
    let roofline = Roofline::new(&a100(), 2.0, (&shape, Precision::F16), 8.0);
    // The reference reads the input embedding as well, which is a look-up.
    let embedding = 128_256.0 * 8_192.0;
    let all = 70_553_706_496.0;
    let norms = (2.0 * 80.0 + 1.0) * 8_192.0;
    let with_embedding = roofline.decode_tokens_per_second * (all - embedding - norms) / all;
    is_about("g13.fp16.b8_max_tok_s", with_embedding, 0.01);
    assert!((roofline.decode_tokens_per_second - 234.7).abs() < 0.1);
    let step_ms = 8.0 / with_embedding * 1e3;
    is_about("g13.fp16.ms_per_step_floor", step_ms, 1e-4);
    for (key, batch) in [
        ("g13.fp16.min_batch_for_500", 500.0),
        ("g13.fp16.min_batch_for_1000", 1_000.0),
    ] {
        is(key, (batch / with_embedding * 8.0).ceil());
    }
    let refused = |rate: u32, batch: u32| {
        let lines = format!(
            "model = \"llama-3.3-70b\"\nprecision = \"f16\"\nbatch_size = {batch}\noutput_tokens_per_second = {rate}"
        );
        let mut text = guide_with("self_hosted", &lines);
        let stale = text.rfind("output_tokens_per_second = 750").unwrap();
        text.replace_range(stale.., "target_load = 1.0");
        try_with(&text, &Files::default()).is_err()
    };
    assert!(refused(500, 8) && refused(1_000, 8) && refused(235, 8));
    assert!(!refused(234, 8) && !refused(500, 18) && refused(500, 17));
}

#[test]
fn g14_the_staircase_crosses_seventeen_times() {
    let found = closed_form(Terms {
        replica_usd: 2_880.0,
        fixed_usd: 0.0,
        requests_per_replica: 4e6,
        usd_per_request: 0.0008,
        redundant: 0.0,
    })
    .unwrap();
    is("g14.first_crossing", found.first_requests);
    is("g14.permanent_from", found.permanent_requests);
    is("g14.sign_changes_1k_grid", found.crossings);
    // The same through a scenario: 0.0008 USD a request, 4 M requests of 150 tokens in 720 hours.
    let text = GUIDE
        .replace(
            "model = \"gpt-4o\"",
            "input_usd_per_mtok = 0\noutput_usd_per_mtok = 5.333333333333333",
        )
        .replace("per_second = 750", "per_second = 231.48148148148147");
    let found = solve(&text).break_even.unwrap();
    is(
        "g14.permanent_from",
        found.permanent_from_requests_per_month.unwrap(),
    );
    assert_eq!(found.crossings.len(), 17);
    let windows = golden("g14.windows_self_cheaper");
    for (index, window) in windows.as_array().unwrap().iter().take(9).enumerate() {
        let entry = &found.crossings[2 * index];
        assert_eq!(entry.to, Side::SelfHosted);
        close(entry.requests_per_month, window[1].as_f64().unwrap());
        close(entry.replicas, window[0].as_f64().unwrap());
        if index < 8 {
            let back = &found.crossings[2 * index + 1];
            assert_eq!(back.to, Side::Api);
            close(back.requests_per_month, window[2].as_f64().unwrap());
        }
    }
}

/// The diurnal fleet: 10 requests a second on average, 5 per replica at 80 %.
fn diurnal(rate: &str, extra: &str) -> mtok::cost::answer::Answer {
    let weights: Vec<String> = (0..24)
        .map(|hour| {
            let phase = 2.0 * std::f64::consts::PI * (f64::from(hour) - 14.0) / 24.0;
            format!("{}", 1.0 + 0.8 * phase.cos())
        })
        .collect();
    solve(&format!(
        "[calendar]\nhours_per_month = 720\n[traffic]\nrequests_per_day = 864_000\nuser_tokens = 500\noutput_tokens = 150\nhourly = [{}]\n[api]\nmodel = \"gpt-4o\"\n[self_hosted]\nusd_per_gpu_hour = {rate}\nrequests_per_second = 5\ntarget_load = 0.8\nredundant_replicas = 1\nmin_replicas = 2\n{extra}\n",
        weights.join(", ")
    ))
}

#[test]
fn g15_a_fleet_that_follows_the_day() {
    let fixed = diurnal("2", "").self_hosted.unwrap();
    is("g15.static", fixed.replicas);
    is("g15.usd_month_static", fixed.gpu_usd_per_month);
    is("g15.util_static", fixed.utilization);
    let answer = diurnal("2", "fleet = \"autoscaled\"");
    let followed = answer.self_hosted.as_ref().unwrap();
    is("g15.usd_month_auto", followed.gpu_usd_per_month);
    is("g15.util_auto", followed.utilization);
    is(
        "g15.saving_pct",
        (1.0 - followed.gpu_usd_per_month / fixed.gpu_usd_per_month) * 100.0,
    );
    let replicas: Vec<f64> = answer.view.hours.iter().map(|hour| hour.replicas).collect();
    let want: Vec<f64> = golden("g15.replicas_by_hour")
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_f64().unwrap())
        .collect();
    assert_eq!(replicas, want);
    is("g15.replica_hours_auto", replicas.iter().sum());
    let mut best = (f64::MAX, 0.0);
    for pair in golden("g15.mix_curve").as_array().unwrap() {
        let base = pair[0].as_u64().unwrap();
        let extra = format!(
            "fleet = \"autoscaled\"\nreserved_base_replicas = {base}\nreserved_usd_per_gpu_hour = 2"
        );
        let total = diurnal("3.5", &extra)
            .self_hosted
            .unwrap()
            .gpu_usd_per_month;
        close(total, pair[1].as_f64().unwrap());
        if total < best.0 {
            best = (total, base as f64);
        }
    }
    is("g15.mix_best_reserved", best.1);
    is("g15.mix_best_usd_month", best.0);
}

#[test]
fn g17_owned_cards() {
    let straight = OwnedRate::new(&Owned {
        cost_of_capital: 0.0,
        ..Owned::default()
    });
    is("g17.depr_per_gpu_h", straight.capital_usd_per_gpu_hour);
    is(
        "g17.energy_per_gpu_h_own_dc",
        straight.energy_usd_per_gpu_hour,
    );
    is(
        "g17.maint5pct_per_gpu_h",
        straight.maintenance_usd_per_gpu_hour,
    );
    is(
        "g17.total_own_dc",
        straight.usd_per_gpu_month(730.0) / 730.0,
    );
    is(
        "g17.be_util_vs_2.69_rent",
        straight.usd_per_gpu_month(730.0) / 730.0 / 2.69,
    );
    let colo = OwnedRate::new(&Owned {
        cost_of_capital: 0.0,
        colocation_usd_per_kw_month: Some(180.0),
        ..Owned::default()
    });
    is(
        "g17.colo_per_gpu_h",
        colo.colocation_usd_per_gpu_month / 730.0,
    );
    is("g17.total_colo", colo.usd_per_gpu_month(730.0) / 730.0);
    is("g17.crf_10pct_4y", capital_recovery_factor(0.10, 4.0));
    let recovered = OwnedRate::new(&Owned::default());
    is(
        "g17.capital_recovery_per_gpu_h",
        recovered.capital_usd_per_gpu_hour,
    );
    let total = recovered.usd_per_gpu_month(730.0) / 730.0;
    is("g17.total_own_dc_capital_recovery", total);
    is("g17.be_util_vs_2.69_rent_capital_recovery", total / 2.69);
}

#[test]
fn g18_a_fleet_sized_for_its_peak() {
    let sized = |requests: u32, peak: u32| {
        let text = format!(
            "[calendar]\nhours_per_month = 720\n[traffic]\nrequests_per_month = {requests}\nuser_tokens = 500\noutput_tokens = 150\npeak_to_average = {peak}\n[api]\nmodel = \"gpt-4o\"\n[self_hosted]\nusd_per_gpu_hour = 2\nrequests_per_second = 5\nredundant_replicas = 1\n"
        );
        solve(&text)
    };
    is(
        "g18.n_for_peak",
        sized(300_000, 5).self_hosted.unwrap().replicas,
    );
    let large = sized(5_000_000, 4);
    let host = large.self_hosted.unwrap();
    is("g18.5M_nplus1", host.replicas);
    is("g18.5M_util", host.utilization);
    is("g18.5M_gpu_usd", host.gpu_usd_per_month);
    is("g18.5M_api_usd", large.api.unwrap().usd_per_month);
    // Peak 5 at 70 % load caps the utilization of a fleet without spare replicas.
    let mut text = GUIDE.replace(
        "target_load = 1.0",
        "target_load = 0.7\nrequests_per_second = 5",
    );
    text = text.replace(
        "output_tokens = 150",
        "output_tokens = 150\npeak_to_average = 5",
    );
    let replica = solve(&text).self_hosted.unwrap().requests_per_replica_month;
    is("g18.max_util_par5_rho.7", replica / (5.0 * 3_600.0 * 720.0));
}

#[test]
fn g20_discounts_compose() {
    let traffic = format!(
        "{CHAT}\nretries = 0.02\nbatch = {{ share = 0.3 }}\ncache = {{ semantic_hit_rate = 0.2, embedding = \"text-embedding-3-small\" }}"
    );
    let bill = api(&traffic, GPT);
    is(
        "g20.llm",
        bill.input_usd_per_month + bill.output_usd_per_month,
    );
    is("g20.sem_cache_embed", bill.other_usd_per_month);
    is("g20.total", bill.usd_per_month);
}

#[test]
fn g21_cheaper_hours() {
    let text = "[traffic]\nrequests_per_month = 1\nuser_tokens = 1_000_000\noutput_tokens = 1_000_000\n[api]\nmodel = \"deepseek-v4-flash\"\n";
    let bill = solve(text).api.unwrap();
    is("g21.v4flash_in_eff", bill.input_usd_per_month);
    is("g21.v4flash_out_eff", bill.output_usd_per_month);
    is("g21.uniform_multiplier", bill.input_usd_per_month / 0.3);
}

#[test]
fn g22_what_moves_the_break_even() {
    let base = |changes: &[(&str, &str)]| {
        let mut text = guide_with("self_hosted", "staff = { fte = 0.25 }");
        for (old, new) in changes {
            assert!(text.contains(old), "{old}");
            text = text.replace(old, new);
        }
        solve(&text).break_even.unwrap().requests_per_month.unwrap()
    };
    is_about("g22.base", base(&[]), 0.06);
    let ends: [(&str, f64, f64); 8] = [
        (
            "fte",
            base(&[("fte = 0.25", "fte = 0.1")]),
            base(&[("fte = 0.25", "fte = 1.0")]),
        ),
        (
            "input_tokens",
            base(&[("user_tokens = 100", "user_tokens = 5100")]),
            base(&[
                ("history_tokens = 200", "history_tokens = 0"),
                ("user_tokens = 100", "user_tokens = 50"),
            ]),
        ),
        (
            "api_price -50%/0",
            base(&[]),
            base(&[(
                "model = \"gpt-4o\"",
                "input_usd_per_mtok = 1.25\noutput_usd_per_mtok = 5",
            )]),
        ),
        (
            "output_tokens",
            base(&[("\noutput_tokens = 150", "\noutput_tokens = 300")]),
            base(&[("\noutput_tokens = 150", "\noutput_tokens = 75")]),
        ),
        (
            "loaded cost",
            base(&[("fte = 0.25", "fte = 0.25, usd_per_year = 150000")]),
            base(&[("fte = 0.25", "fte = 0.25, usd_per_year = 300000")]),
        ),
        (
            "gpu_rate",
            base(&[("hour = 2.00", "hour = 1.39")]),
            base(&[("hour = 2.00", "hour = 3.4309")]),
        ),
        (
            "replicas N+1",
            base(&[]),
            base(&[("target_load", "redundant_replicas = 1\ntarget_load")]),
        ),
        (
            "hours 720/744",
            base(&[]),
            base(&[("per_month = 720", "per_month = 744")]),
        ),
    ];
    let rows = golden("g22.rows");
    for (name, low, high) in ends {
        let row = rows
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row[0] == name)
            .unwrap();
        assert!(
            (low.min(high) - row[1].as_f64().unwrap()).abs() < 0.51,
            "{name} {low} {high}"
        );
        assert!(
            (low.max(high) - row[2].as_f64().unwrap()).abs() < 0.51,
            "{name} {low} {high}"
        );
    }
}

#[test]
fn g23_payback() {
    // 5 M requests: 13,750 at the API; 9,926.67 self-hosted without the one-off cost.
    let text = guide_with(
        "self_hosted",
        "staff = { fte = 0.25 }\nredundant_replicas = 1\none_off_usd = 60000",
    )
    .replace(
        "requests_per_day = 10_000",
        "requests_per_month = 5_000_000",
    );
    let horizon = solve(&text).horizon.unwrap();
    is("g23.months", horizon.payback_months.unwrap());
}

#[test]
fn g26_reserved_and_spot() {
    let spot = SpotCase {
        share: 1.0,
        usd_per_gpu_hour: 2.464,
        lost_work: 0.05,
        fallback: 0.1,
    };
    is(
        "g26.spot_effective(2.464,5pct lost,10pct fallback 6.155)",
        spot_effective_rate(&spot, 6.155),
    );
}

#[test]
fn g28_rates_move_bill_and_break_even() {
    for rate in ["1.39", "1.60", "1.79", "2.79", "3.4309"] {
        let answer = solve(&guide_with(
            "self_hosted",
            &format!("usd_per_gpu_hour = {rate}"),
        ));
        let want = golden(&format!("g28.2xA100_month_720_be_req.rate{rate}"));
        assert!(
            (answer.self_hosted.unwrap().usd_per_month - want[0].as_f64().unwrap()).abs() < 0.006
        );
        let found = answer.break_even.unwrap().requests_per_month.unwrap();
        assert!((found - want[1].as_f64().unwrap()).abs() < 0.51);
    }
}
