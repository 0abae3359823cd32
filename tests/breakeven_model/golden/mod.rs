//! Every value of the arithmetic reference, reproduced through the public types.
//!
//! Each group is a function that computes values by key. One test holds all groups against the whole
//! reference, so a key that nothing computes fails it.

mod bill;
mod break_even;
mod fleet;
mod memory;
mod rates;

use std::collections::BTreeMap;

use super::fixture::solve;
use mtok::cost::answer::ApiAnswer;
use serde_json::{Map, Value};

const REFERENCE: &str = include_str!("../../golden/cost_golden.json");

/// What others have published and nothing here can compute.
const PUBLISHED: [&str; 1] = ["g10.published_revenue"];

fn reference() -> Map<String, Value> {
    serde_json::from_str(REFERENCE).unwrap()
}

/// Computed values by key of the reference.
#[derive(Default)]
struct Table(BTreeMap<String, Value>);

impl Table {
    #[track_caller]
    fn put(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        let key = key.into();
        let again = self.0.insert(key.clone(), value.into());
        assert!(again.is_none(), "{key} is computed twice");
    }

    /// What differs from the reference.
    fn differences(&self, reference: &Map<String, Value>) -> Vec<String> {
        let mut found = Vec::new();
        for (key, value) in &self.0 {
            match reference.get(key) {
                Some(want) => differ(key, value, want, &mut found),
                None => found.push(format!("{key} is not in the reference")),
            }
        }
        found
    }
}

fn differ(path: &str, got: &Value, want: &Value, found: &mut Vec<String>) {
    let same = match (got, want) {
        (Value::Array(got), Value::Array(want)) => {
            for (index, (got, want)) in got.iter().zip(want).enumerate() {
                differ(&format!("{path}/{index}"), got, want, found);
            }
            got.len() == want.len()
        }
        (Value::Object(got), Value::Object(want)) => {
            for (key, want) in want {
                let got = got.get(key).unwrap_or(&Value::Null);
                differ(&format!("{path}/{key}"), got, want, found);
            }
            got.len() == want.len()
        }
        (Value::Number(got), Value::Number(want)) => {
            let (got, want) = (got.as_f64().unwrap(), want.as_f64().unwrap());
            let slack = 0.501 * 10.0_f64.powi(-decimals(path)) + 1e-10 * want.abs();
            (got - want).abs() <= slack
        }
        _ => got == want,
    };
    if !same {
        found.push(format!("{path}: {got} for {want}"));
    }
}

/// Decimals to which the reference rounds a value; 6 unless it says otherwise.
fn decimals(path: &str) -> i32 {
    const ROUNDED: [(&str, &str, i32); 20] = [
        ("g1.usd_per_request", "", 8),
        ("g1.aa_over_true_pct", "", 3),
        ("g4.usd_per_req_full_util", "", 8),
        ("g4b.", "usd_per_req", 9),
        ("g4b.", "be_req_month", 1),
        ("g4b.", "be_util_750", 5),
        ("g6.sys4000_", "total", 4),
        ("g12.weights_gib", "", 3),
        ("g12.fit", "_gib", 3),
        ("g13.", "ms_per_step_floor", 4),
        ("g13.", "tok_s", 2),
        ("g13.", "80pct", 2),
        ("g13.prefill_", "", 2),
        ("g13.kv_extra_ms", "", 4),
        ("g16.t95_halfwidth", "", 3),
        ("g22.base", "", 1),
        ("g22.rows", "", 0),
        ("g24.", "", 2),
        ("g26.reserve", "", 4),
        ("g28.", "/1", 0),
    ];
    if path.starts_with("g13.prefill_busy") {
        return 6;
    }
    if path.starts_with("g13.prefill_max") || path.starts_with("g28.") && path.ends_with("/0") {
        return 2;
    }
    ROUNDED
        .iter()
        .find(|(begins, ends, _)| path.starts_with(begins) && path.ends_with(ends))
        .map_or(6, |(_, _, decimals)| *decimals)
}

/// One test for each group, and all groups as a list.
macro_rules! groups {
    ($($place:ident: $($name:ident),+;)+) => {
        $($(
            #[test]
            fn $name() {
                let found = $place::$name().differences(&reference());
                assert!(found.is_empty(), "{found:#?}");
            }
        )+)+

        fn groups() -> Vec<Table> {
            vec![$($($place::$name()),+),+]
        }
    };
}

groups! {
    bill: g1_the_api_bill, g5_routing_saves_less_than_its_share, g6_retrieval_and_the_system_prompt,
        g7_embeddings_cost_next_to_nothing, g8_conversations_by_policy,
        g9_the_prompt_cache_and_its_break_even, g20_discounts_compose, g21_cheaper_hours;
    rates: g3_a_replica_hour_by_every_method, g3b_two_full_loads_bill_twice,
        g10_a_public_fleet_is_priced_by_its_time, g11_usage_over_allocation, g16_three_runs,
        g24_margins_are_idle_shares;
    break_even: g2_the_calendar_moves_both_sides, g4_the_break_even_and_its_utilization,
        g4b_hosted_open_models_take_the_case_away, g22_what_moves_the_break_even, g23_payback,
        g28_rates_move_bill_and_break_even;
    fleet: g14_the_staircase_crosses_seventeen_times, g15_a_fleet_that_follows_the_day,
        g17_owned_cards, g18_a_fleet_sized_for_its_peak, g26_reserved_and_spot;
    memory: g12_weights_and_cache_in_memory, g12_a_model_in_its_cards,
        g12_fewest_cards_by_model_and_precision, g13_no_engine_beats_the_memory,
        g13_first_principles_expect_half_of_the_claim;
}

#[test]
fn every_value_of_the_reference_is_computed() {
    let reference = reference();
    let mut computed: BTreeMap<String, Value> = BTreeMap::new();
    for table in groups() {
        for (key, value) in table.0 {
            let again = computed.insert(key.clone(), value);
            assert!(again.is_none(), "{key} is computed by two groups");
        }
    }
    let missing: Vec<&String> = reference
        .keys()
        .filter(|key| !computed.contains_key(*key) && !PUBLISHED.contains(&key.as_str()))
        .collect();
    assert!(missing.is_empty(), "nothing computes {missing:#?}");
    assert_eq!(computed.len() + PUBLISHED.len(), reference.len());
}

#[test]
fn a_value_that_differs_is_found_at_any_depth() {
    let reference = serde_json::json!({ "g": [1.0, { "a": 2.0 }, [3, null, true]] });
    let different = |value: Value| {
        let mut table = Table::default();
        table.put("g", value);
        table.differences(reference.as_object().unwrap())
    };
    assert!(different(serde_json::json!([1.000_000_4, { "a": 2 }, [3, null, true]])).is_empty());
    for (wrong, place) in [
        (
            serde_json::json!([1.000_001, { "a": 2.0 }, [3, null, true]]),
            "g/0: 1.000001 for 1.0",
        ),
        (
            serde_json::json!([1.0, { "a": 2.1 }, [3, null, true]]),
            "g/1/a: 2.1 for 2.0",
        ),
        (
            serde_json::json!([1.0, {}, [3, null, true]]),
            "g/1/a: null for 2.0",
        ),
        (
            serde_json::json!([1.0, { "a": 2.0 }, [3, 0, true]]),
            "g/2/1: 0 for null",
        ),
        (
            serde_json::json!([1.0, { "a": 2.0 }, [3, null, false]]),
            "g/2/2: false for true",
        ),
    ] {
        assert_eq!(different(wrong)[0], place);
    }
    assert!(!different(serde_json::json!([1.0])).is_empty());
}

/// A scenario of 300,000 requests with inline prices and no fleet.
#[track_caller]
fn api(traffic: &str, api: &str) -> ApiAnswer {
    let text = format!(
        "[calendar]\nhours_per_month = 720\n[traffic]\nrequests_per_month = 300_000\n{traffic}\n[api]\n{api}\n"
    );
    solve(&text).api.unwrap()
}

const CHAT: &str =
    "system_tokens = 200\nhistory_tokens = 200\nuser_tokens = 100\noutput_tokens = 150";
const GPT: &str = "input_usd_per_mtok = 2.5\noutput_usd_per_mtok = 10";
