//! The guide's own example, to the cent.

use super::fixture::{GUIDE, close, guide_with, solve};
use mtok::cost::answer::{Cheaper, Method};

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
    let codes: Vec<&str> = solve(GUIDE)
        .warnings
        .iter()
        .map(|warning| warning.code)
        .collect();
    insta::assert_snapshot!(codes.join(" "), @"high_target_load prefill_ignored quality_unknown single_replica");
}
