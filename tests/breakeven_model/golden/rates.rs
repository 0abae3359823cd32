//! Prices of tokens from the price of an hour.

use super::super::fixture::{Book, Files, GUIDE, close, guide_with, solve};
use super::{Table, reference};
use mtok::cost::allocation::{Method, Mix, Phases, USUAL_PRICE_RATIO};
use mtok::cost::answer::HostAnswer;
use mtok::cost::capacity::{Rates, Work};
use mtok::cost::case::Evaluation;
use mtok::cost::resolve::{Sources, resolve};
use mtok::cost::scenario::Document;
use mtok::cost::uncertainty::quantile;
use mtok::metrics::stats::Sample;
use mtok::units::{TokensPerSecond, UsdPerHour};
use serde_json::json;

fn mix(input: f64, output: f64) -> Mix {
    Mix {
        input: TokensPerSecond::new(input),
        output: TokensPerSecond::new(output),
    }
}

#[track_caller]
fn host(lines: &str) -> HostAnswer {
    solve(&guide_with("self_hosted", lines))
        .self_hosted
        .unwrap()
}

pub(super) fn g3_a_replica_hour_by_every_method() -> Table {
    let mut table = Table::default();
    let answer = solve(GUIDE);
    let hour = UsdPerHour::new(answer.self_hosted.unwrap().gpu_usd_per_month / 720.0);
    // An output rate alone needs this input rate at 500 tokens in and 150 out.
    let input = answer.view.operating_point.unwrap().input_tokens_per_second;
    table.put("g3.tin", input);
    let mix = mix(input, 750.0);
    let both = Method::FullLoadEachSide.split(hour, mix);
    table.put("g3.imax_input", both.input.value());
    table.put("g3.imax_output", both.output.value());
    table.put("g3.imax_sum_check_usd_per_h", both.bill(mix).value());
    let ratio = Method::PriceRatio(USUAL_PRICE_RATIO).split(hour, mix);
    table.put("g3.price_ratio4_in", ratio.input.value());
    table.put("g3.price_ratio4_out", ratio.output.value());
    let alone = Phases {
        prefill: TokensPerSecond::new(8_000.0),
        decode: TokensPerSecond::new(1_100.0),
    };
    table.put("g3.timeshare_in_raw", (hour / alone.prefill).value());
    table.put("g3.timeshare_out_raw", (hour / alone.decode).value());
    let shared = Method::TimeShare(alone).split(hour, mix);
    table.put("g3.timeshare_busy", 1.0 / shared.kappa.unwrap());
    table.put("g3.timeshare_closure_usd_per_h", shared.bill(mix).value());
    // The answer to a scenario splits its bill in the same way.
    let known = host(
        "input_tokens_per_second = 2500\nprefill_tokens_per_second = 8000\ndecode_tokens_per_second = 1100",
    );
    table.put("g3.kappa", known.kappa);
    table.put("g3.timeshare_in", known.full_load_input_usd_per_mtok);
    table.put("g3.timeshare_out", known.full_load_output_usd_per_mtok);
    let together = host("input_tokens_per_second = 2500");
    close(
        together.full_load_input_usd_per_mtok.unwrap(),
        together.full_load_output_usd_per_mtok.unwrap(),
    );
    table.put("g3.total_tokens", together.full_load_output_usd_per_mtok);
    for rate in [500, 750, 1_000] {
        let full = host(&format!("output_tokens_per_second = {rate}"));
        table.put(
            format!("g3.output_only.{rate}"),
            full.full_load_output_usd_per_mtok,
        );
    }
    // A fifth of the replica's month: 2,592,000 requests.
    let text = GUIDE.replace(
        "requests_per_day = 10_000",
        "requests_per_month = 2_592_000",
    );
    let fifth = solve(&text).self_hosted.unwrap();
    table.put("g3.output_only.750_u20", fifth.output_usd_per_mtok);
    table
}

pub(super) fn g3b_two_full_loads_bill_twice() -> Table {
    let mut table = Table::default();
    let (hour, mix) = (UsdPerHour::new(3.02), mix(6_070.48, 5_595.07));
    let both = Method::FullLoadEachSide.split(hour, mix);
    table.put("g3b.arc_in", both.input.value());
    table.put("g3b.arc_out", both.output.value());
    assert!((both.bill(mix).value() - 2.0 * 3.02).abs() < 1e-9);
    table.put(
        "g3b.total",
        Method::TotalTokens.split(hour, mix).output.value(),
    );
    let hosted = "[traffic]\nrequests_per_month = 1\nuser_tokens = 6070.48\noutput_tokens = 5595.07\n[api]\ninput_usd_per_mtok = 0.02\noutput_usd_per_mtok = 0.06\n";
    table.put(
        "g3b.nebius_same_mix",
        solve(hosted).api.unwrap().blended_usd_per_mtok,
    );
    table
}

/// A day of nodes of eight cards at 2 USD an hour.
fn nodes_day(nodes: f64) -> f64 {
    let text = "[calendar]\nhours_per_month = 24\n[traffic]\nrequests_per_month = 1\nuser_tokens = 1\noutput_tokens = 1\n[self_hosted]\ngpus_per_replica = 8\nusd_per_gpu_hour = 2\noutput_tokens_per_second = 1\n";
    let document = Document::parse(text).unwrap();
    let (book, files) = (Book::new(), Files::default());
    let sources = Sources {
        book: &book,
        evidence: &files,
    };
    let case = resolve(&document, sources).unwrap().case;
    let evaluation = Evaluation::new(&case);
    let fleet = evaluation.fleet.unwrap();
    fleet.bill_of(1.0, &[nodes]).gpu_usd
}

pub(super) fn g10_a_public_fleet_is_priced_by_its_time() -> Table {
    const NODES: f64 = 226.75;
    let mut table = Table::default();
    // 608 G input and 168 G output tokens in a day, as one request.
    let rates = Rates {
        prefill: Some(73_700.0),
        decode: Some(14_800.0),
        ..Rates::default()
    };
    let nodes = |input: f64, output: f64| {
        let work = Work {
            calls: 1.0,
            uncached_tokens: input,
            input_tokens: input,
            output_tokens: output,
            rejected_share: 0.0,
        };
        work.seconds(rates.basis().unwrap()) / 86_400.0
    };
    table.put("g10.nodes_prefill", nodes(608e9, 0.0));
    table.put("g10.nodes_decode", nodes(0.0, 168e9));
    let sum = nodes(608e9, 168e9);
    table.put("g10.nodes_sum", sum);
    table.put("g10.err_pct", (sum / NODES - 1.0) * 100.0);
    let day = nodes_day(NODES);
    table.put("g10.cost_day", day);
    // Every node at its own rate: the prices of a time share before it is made to add up.
    let node = UsdPerHour::new(16.0);
    let input = (node / TokensPerSecond::new(73_700.0)).value();
    let output = (node / TokensPerSecond::new(14_800.0)).value();
    table.put("g10.usd_per_M_in", input);
    table.put("g10.usd_per_M_out", output);
    table.put(
        "g10.timeshare_total_day",
        input * 608_000.0 + output * 168_000.0,
    );
    let mix = mix(608e9 / 86_400.0, 168e9 / 86_400.0);
    let hour = UsdPerHour::new(day / 24.0);
    table.put(
        "g10.output_only_usd_per_M",
        Method::OutputOnly.split(hour, mix).output.value(),
    );
    table.put(
        "g10.total_token_usd_per_M",
        Method::TotalTokens.split(hour, mix).output.value(),
    );
    table.put(
        "g10.uncached_in_only_usd_per_M",
        input * 608.0 / (608.0 - 342.0),
    );
    let text = "[traffic]\nrequests_per_month = 1_000_000\nsystem_tokens = 342_000\nuser_tokens = 266_000\noutput_tokens = 168_000\ncache = { prefix_hit_rate = 1.0 }\n[api]\ninput_usd_per_mtok = 0.55\noutput_usd_per_mtok = 2.19\ncached_input_usd_per_mtok = 0.14\n";
    let revenue = solve(text).api.unwrap().usd_per_month;
    table.put("g10.revenue_day", revenue);
    table.put("g10.profit_ratio_pct", (revenue / day - 1.0) * 100.0);
    let published = reference()["g10.published_revenue"].as_f64().unwrap();
    assert!((revenue / published - 1.0).abs() < 2e-4, "{revenue}");
    let peak = nodes_day(278.0);
    table.put("g10.peak_to_mean_nodes", peak / day);
    table.put("g10.saving_vs_static_peak_pct", (1.0 - day / peak) * 100.0);
    table
}

/// A card of 1,000 output tokens per second against an API that charges output alone.
fn one_card(requests: f64, usd_per_hour: f64, api: f64) -> mtok::cost::answer::Answer {
    solve(&format!(
        "[calendar]\nhours_per_month = 720\n[traffic]\nrequests_per_month = {requests}\nuser_tokens = 500\noutput_tokens = 150\n[api]\ninput_usd_per_mtok = 0\noutput_usd_per_mtok = {api}\n[self_hosted]\ngpus_per_replica = 1\nusd_per_gpu_hour = {usd_per_hour}\noutput_tokens_per_second = 1000\ntarget_load = 1.0\n"
    ))
}

pub(super) fn g11_usage_over_allocation() -> Table {
    let mut table = Table::default();
    // 1 USD per million tokens at full load, a quarter of the 17.28 M requests of a month.
    let answer = one_card(4_320_000.0, 3.6, 2.0);
    let host = answer.self_hosted.unwrap();
    table.put(
        "g11.util",
        host.full_load_output_usd_per_mtok.unwrap() / host.output_usd_per_mtok.unwrap(),
    );
    table.put(
        "g11.be_util_vs_api2",
        answer.break_even.unwrap().utilization,
    );
    table
}

pub(super) fn g16_three_runs() -> Table {
    let mut table = Table::default();
    let rates = [700.0, 750.0, 800.0];
    // Every mean that resampling the runs with replacement can give.
    let mut means: Vec<f64> = (0..27)
        .map(|n| (rates[n % 3] + rates[n / 3 % 3] + rates[n / 9]) / 3.0)
        .collect();
    means.sort_by(f64::total_cmp);
    let mean = means.iter().sum::<f64>() / 27.0;
    let squares: f64 = means.iter().map(|m| (m - mean).powi(2)).sum();
    table.put("g16.n", means.len());
    table.put("g16.mean", mean);
    table.put("g16.se", (squares / 27.0).sqrt());
    table.put("g16.min_max_of_means", json!([means[0], means[26]]));
    table.put("g16.p2.5_type7", quantile(&means, 0.025));
    table.put("g16.p97.5_type7", quantile(&means, 0.975));
    let student = Sample::new(rates.to_vec()).unwrap().mean_estimate();
    table.put("g16.t95_halfwidth", student.high().unwrap() - student.value);
    let price = |rate: f64| (UsdPerHour::new(4.0) / TokensPerSecond::new(rate)).value();
    table.put("g16.usdM_at_mean", price(student.value));
    let mean_price = rates.map(price).iter().sum::<f64>() / 3.0;
    table.put("g16.mean_of_per_run_usdM", mean_price);
    let harmonic = 3.0 / rates.iter().map(|rate| 1.0 / rate).sum::<f64>();
    table.put("g16.harmonic_correct", price(harmonic));
    table
}

pub(super) fn g24_margins_are_idle_shares() -> Table {
    let mut table = Table::default();
    // What a price leaves over its cost is what a replica may stand idle at break-even.
    for (key, cost, price) in [
        ("g24.infx_margin_in", 0.226, 1.35),
        ("g24.infx_margin_out", 2.955, 5.40),
    ] {
        let found = one_card(1_000_000.0, cost * 3.6, price).break_even.unwrap();
        table.put(key, (1.0 - found.utilization.unwrap()) * 100.0);
    }
    table
}
