//! Where bills cross.

use std::fmt::Write as _;

use super::super::fixture::{GUIDE, close, guide_with, solve};
use super::Table;
use mtok::cost::answer::Answer;
use mtok::cost::scenario::Side;
use serde_json::{Value, json};

pub(super) fn g2_the_calendar_moves_both_sides() -> Table {
    let mut table = Table::default();
    let month = |hours: f64| {
        let line = format!("hours_per_month = {hours}");
        let answer = solve(&guide_with("calendar", &line));
        close(answer.api.unwrap().usd_per_month, 825.0 * hours / 720.0);
        close(
            answer.break_even.unwrap().requests_per_day.unwrap(),
            34_909.090_909,
        );
        answer.self_hosted.unwrap().gpu_usd_per_month
    };
    for (key, hours) in [
        ("g2.month_720h", 720.0),
        ("g2.month_730h", 730.0),
        ("g2.month_730.5h", 730.5),
        ("g2.month_744h", 744.0),
    ] {
        table.put(key, month(hours));
    }
    for (key, rate) in [("g2.on_demand_3", 3), ("g2.on_demand_4", 4)] {
        let line = format!("usd_per_gpu_hour = {rate}");
        let answer = solve(&guide_with("self_hosted", &line));
        table.put(key, answer.self_hosted.unwrap().usd_per_month);
    }
    let default = GUIDE.replace("hours_per_month = 720", "");
    table.put("g2.8760_over_12", solve(&default).volume.hours_per_month);
    table.put(
        "g2.mixing_720_730_bias_pct",
        (month(730.0) / month(720.0) - 1.0) * 100.0,
    );
    table
}

/// The guide's fleet at another volume.
fn at_volume(requests: f64) -> Answer {
    solve(&GUIDE.replace(
        "requests_per_day = 10_000",
        &format!("requests_per_month = {requests}"),
    ))
}

pub(super) fn g4_the_break_even_and_its_utilization() -> Table {
    let mut table = spending_and_staff();
    for rate in [500, 750, 1_000] {
        let line = format!("output_tokens_per_second = {rate}");
        let answer = solve(&guide_with("self_hosted", &line));
        let found = answer.break_even.unwrap();
        close(found.requests_per_month.unwrap(), 1_047_272.727_273);
        table.put(format!("g4.util_at_be.{rate}"), found.utilization);
        let host = answer.self_hosted.unwrap();
        table.put(
            format!("g4.cap_req_month.{rate}"),
            host.requests_per_replica_month,
        );
    }
    let answer = solve(GUIDE);
    let found = answer.break_even.unwrap();
    let (api, host) = (answer.api.unwrap(), answer.self_hosted.unwrap());
    table.put("g4.req_month", found.requests_per_month);
    table.put("g4.req_day_30", found.requests_per_day);
    table.put(
        "g4.volume_multiple_of_seed",
        found.requests_per_month.unwrap() / answer.volume.requests_per_month,
    );
    table.put("g4.seed_util_now", host.utilization);
    table.put(
        "g4.selfhost_usd_per_req_at_seed_volume",
        host.usd_per_request,
    );
    table.put(
        "g4.ratio_self_vs_api_at_seed_volume",
        host.usd_per_month / api.usd_per_month,
    );
    let point = answer.view.operating_point.unwrap();
    let value = point.api_value_usd_per_replica_hour.unwrap();
    table.put("g4.api_value_per_replica_hour", value);
    table.put("g4.ustar", point.usd_per_replica_hour / value);
    let full = at_volume(12_960_000.0);
    let (api, host) = (full.api.unwrap(), full.self_hosted.unwrap());
    close(host.utilization, 1.0);
    table.put(
        "g4.api_vs_self_full_util",
        api.usd_per_month / host.usd_per_month,
    );
    table.put("g4.usd_per_req_full_util", host.usd_per_request);
    let fifth = at_volume(0.2 * 12_960_000.0);
    close(fifth.self_hosted.unwrap().utilization, 0.2);
    table.put(
        "g4.api_spend_at_20pct_util",
        fifth.api.unwrap().usd_per_month,
    );
    table
}

/// What people and a spare replica add, and which API bill that takes.
fn spending_and_staff() -> Table {
    let mut table = Table::default();
    let staffed = solve(&guide_with("self_hosted", "staff = { fte = 0.25 }"));
    let found = staffed.break_even.unwrap();
    table.put(
        "g4.with_quarter_fte",
        staffed.self_hosted.unwrap().usd_per_month,
    );
    table.put("g4.be_req_quarter_fte", found.requests_per_month);
    table.put("g4.be_util_quarter_fte", found.utilization);
    let point = staffed.view.operating_point.unwrap();
    table.put(
        "g4.ustar_quarter_fte",
        point.usd_per_replica_hour / point.api_value_usd_per_replica_hour.unwrap(),
    );
    let safe = solve(&guide_with(
        "self_hosted",
        "staff = { fte = 0.25 }\nredundant_replicas = 1",
    ));
    let (found, host) = (safe.break_even.unwrap(), safe.self_hosted.unwrap());
    let requests = found.requests_per_month.unwrap();
    table.put("g4.nplus1_quarter_fte", host.usd_per_month);
    table.put("g4.be_req_nplus1_quarter_fte", requests);
    table.put(
        "g4.be_util1_nplus1",
        requests / host.requests_per_replica_month,
    );
    table.put("g4.be_util2_nplus1", found.utilization);
    let person = solve(&guide_with("self_hosted", "staff = { fte = 1 }"));
    let person = person.self_hosted.unwrap().staff_usd_per_month;
    for spend in [5_000.0, 15_000.0] {
        let gpus = solve(GUIDE).self_hosted.unwrap().gpu_usd_per_month;
        let spare = guide_with("self_hosted", "redundant_replicas = 1");
        let two = solve(&spare).self_hosted.unwrap().gpu_usd_per_month;
        let overhead = spend - gpus;
        table.put(format!("g4.implied_overhead_{spend}"), overhead);
        table.put(format!("g4.implied_fte_200k_{spend}"), overhead / person);
        table.put(
            format!("g4.implied_fte_nplus1_200k_{spend}"),
            (spend - two) / person,
        );
        // A fixed cost that lifts the fleet to this spending breaks even at it.
        let line = format!("fixed_usd_per_month = {overhead}");
        let found = solve(&guide_with("self_hosted", &line)).break_even.unwrap();
        let requests = found.requests_per_month.unwrap();
        table.put(format!("g4.req_at_api_spend_{spend}"), requests);
        table.put(format!("g4.util_at_api_spend_{spend}"), found.utilization);
        // At that volume the same staff is where the cheaper side flips.
        let there = at_volume(requests);
        let staff = there
            .sensitivity
            .iter()
            .find(|lever| lever.key == "self_hosted.staff.fte");
        close(staff.unwrap().flip_point.unwrap(), overhead / person);
    }
    table
}

const HOSTED: [(&str, f64, f64); 16] = [
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

pub(super) fn g4b_hosted_open_models_take_the_case_away() -> Table {
    let mut table = Table::default();
    let mut text = GUIDE.to_owned();
    for (name, input, output) in HOSTED {
        write!(text, "[[api.alternative]]\nname = \"{name}\"\ninput_usd_per_mtok = {input}\noutput_usd_per_mtok = {output}\n").unwrap();
    }
    let answer = solve(&text);
    let host = answer.self_hosted.unwrap();
    assert_eq!(answer.alternatives.len(), HOSTED.len());
    for row in &answer.alternatives {
        assert_eq!(row.side, Side::Api);
        let found = row.break_even.as_ref().unwrap();
        // The way out names what the utilization would have to be, above 1 where there is none.
        let utilization = host.usd_per_gpu_hour / found.required_usd_per_gpu_hour.unwrap();
        let requests = utilization * host.requests_per_replica_month;
        if found.exists {
            close(found.requests_per_month.unwrap(), requests);
            close(found.utilization.unwrap(), utilization);
        } else {
            assert_eq!((found.requests_per_month, found.utilization), (None, None));
        }
        table.put(
            format!("g4b.{}", row.name),
            json!({
                "usd_per_req": row.usd_per_request,
                "be_req_month": requests,
                "be_util_750": utilization,
                "reachable": found.exists,
            }),
        );
    }
    table
}

/// The guide with a quarter of an engineer, changed in places.
fn moved(changes: &[(&str, &str)]) -> f64 {
    let mut text = guide_with("self_hosted", "staff = { fte = 0.25 }");
    for (old, new) in changes {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    solve(&text).break_even.unwrap().requests_per_month.unwrap()
}

pub(super) fn g22_what_moves_the_break_even() -> Table {
    let mut table = Table::default();
    let base = moved(&[]);
    table.put("g22.base", base);
    let cached = [
        (
            "system_tokens = 200",
            "system_tokens = 400\ncache = { prefix_hit_rate = 1.0 }",
        ),
        ("history_tokens = 200", "history_tokens = 0"),
        (
            "model = \"gpt-4o\"",
            "input_usd_per_mtok = 2.5\noutput_usd_per_mtok = 10\ncached_input_usd_per_mtok = 1.25",
        ),
    ];
    let half = "input_usd_per_mtok = 1.25\noutput_usd_per_mtok = 5";
    let ends: [(&str, &[(&str, &str)], &[(&str, &str)]); 9] = [
        (
            "fte",
            &[("fte = 0.25", "fte = 0.1")],
            &[("fte = 0.25", "fte = 1.0")],
        ),
        (
            "gpu_rate",
            &[("hour = 2.00", "hour = 1.39")],
            &[("hour = 2.00", "hour = 3.4309")],
        ),
        ("api_price -50%/0", &[("model = \"gpt-4o\"", half)], &[]),
        (
            "output_tokens",
            &[("\noutput_tokens = 150", "\noutput_tokens = 300")],
            &[("\noutput_tokens = 150", "\noutput_tokens = 75")],
        ),
        (
            "input_tokens",
            &[("user_tokens = 100", "user_tokens = 5100")],
            &[
                ("history_tokens = 200", "history_tokens = 0"),
                ("user_tokens = 100", "user_tokens = 50"),
            ],
        ),
        ("cached_input_share", &[], &cached),
        (
            "replicas N+1",
            &[],
            &[("target_load", "redundant_replicas = 1\ntarget_load")],
        ),
        (
            "hours 720/744",
            &[],
            &[("per_month = 720", "per_month = 744")],
        ),
        (
            "loaded cost",
            &[("fte = 0.25", "fte = 0.25, usd_per_year = 150000")],
            &[("fte = 0.25", "fte = 0.25, usd_per_year = 300000")],
        ),
    ];
    let mut rows: Vec<(&str, f64, f64)> = ends
        .iter()
        .map(|(name, one, other)| (*name, moved(one), moved(other)))
        .collect();
    rows.sort_by(|a, b| (b.1 - b.2).abs().total_cmp(&(a.1 - a.2).abs()));
    let rows: Vec<Value> = rows
        .into_iter()
        .map(|(name, a, b)| json!([name, a.min(b), a.max(b), (a - b).abs()]))
        .collect();
    table.put("g22.rows", rows);
    table
}

pub(super) fn g23_payback() -> Table {
    // 5 M requests: 13,750 at the API; 9,926.67 self-hosted without the one-off cost.
    let text = guide_with(
        "self_hosted",
        "staff = { fte = 0.25 }\nredundant_replicas = 1\none_off_usd = 60000",
    )
    .replace(
        "requests_per_day = 10_000",
        "requests_per_month = 5_000_000",
    );
    let mut table = Table::default();
    table.put("g23.months", solve(&text).horizon.unwrap().payback_months);
    table
}

pub(super) fn g28_rates_move_bill_and_break_even() -> Table {
    let mut table = Table::default();
    for rate in ["1.39", "1.60", "1.79", "2.79", "3.4309"] {
        let line = format!("usd_per_gpu_hour = {rate}");
        let answer = solve(&guide_with("self_hosted", &line));
        table.put(
            format!("g28.2xA100_month_720_be_req.rate{rate}"),
            json!([
                answer.self_hosted.unwrap().usd_per_month,
                answer.break_even.unwrap().requests_per_month,
            ]),
        );
    }
    table
}
