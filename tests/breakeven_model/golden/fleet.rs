//! Replicas, hours, and what they cost.

use super::super::closed_form::{Terms, closed_form};
use super::super::fixture::{Book, Files, GUIDE, close, solve};
use super::Table;
use mtok::catalog::Catalog;
use mtok::catalog::book::{Commitment, PriceBook as _};
use mtok::cost::answer::Answer;
use mtok::cost::case::Evaluation;
use mtok::cost::fleet::{SpotCase, spot_effective_rate};
use mtok::cost::owned::{OwnedRate, capital_recovery_factor};
use mtok::cost::reserve::pays_above;
use mtok::cost::resolve::{Sources, resolve};
use mtok::cost::scenario::{Document, Owned, Side};
use mtok::units::{Seconds, Tokens, TokensPerSecond, Watts};
use serde_json::{Value, json};

/// 0.0008 USD a request, 4 M requests of 150 tokens in 720 hours of a replica.
fn staircase() -> String {
    GUIDE
        .replace(
            "model = \"gpt-4o\"",
            "input_usd_per_mtok = 0\noutput_usd_per_mtok = 5.333333333333333",
        )
        .replace("per_second = 750", "per_second = 231.48148148148147")
}

pub(super) fn g14_the_staircase_crosses_seventeen_times() -> Table {
    let mut table = Table::default();
    let exact = closed_form(Terms {
        replica_usd: 2_880.0,
        fixed_usd: 0.0,
        requests_per_replica: 4e6,
        usd_per_request: 0.0008,
        redundant: 0.0,
    })
    .unwrap();
    let answer = solve(&staircase());
    let found = answer.break_even.unwrap();
    close(found.requests_per_month.unwrap(), exact.first_requests);
    table.put("g14.first_crossing", found.requests_per_month);
    let permanent = found.permanent_from_requests_per_month.unwrap();
    close(permanent, exact.permanent_requests);
    table.put("g14.permanent_from", permanent);
    assert!((found.crossings.len() as f64 - exact.crossings).abs() < 0.5);
    table.put("g14.sign_changes_1k_grid", found.crossings.len());
    // Every stair on which self-hosting is cheaper, from its crossing to its end.
    let api = answer.api.unwrap().marginal_usd_per_request;
    let mut from = 0.0;
    let mut windows: Vec<Value> = Vec::new();
    for stair in &answer.view.stairs {
        let crossing = stair.usd_per_month / api;
        windows.push(json!([
            stair.replicas,
            crossing.max(from),
            stair.up_to_requests_per_month
        ]));
        from = stair.up_to_requests_per_month;
    }
    table.put("g14.windows_self_cheaper", windows);
    for (index, crossing) in found.crossings.iter().enumerate() {
        let to = [Side::SelfHosted, Side::Api][index % 2];
        assert_eq!(crossing.to, to, "{index}");
    }
    table.put("g14.violations_after_32.4M", dearer_above(permanent));
    table
}

/// How often self-hosting is dearer at every thousandth request from a volume to 60 M.
fn dearer_above(permanent: f64) -> usize {
    let document = Document::parse(&staircase()).unwrap();
    let (book, files) = (Book::new(), Files::default());
    let sources = Sources {
        book: &book,
        evidence: &files,
    };
    let case = resolve(&document, sources).unwrap().case;
    let evaluation = Evaluation::new(&case);
    let dearer = |requests: f64| {
        let own = evaluation.fleet_bill(requests).unwrap().usd();
        own > evaluation.api_usd(requests).unwrap() + 1e-9
    };
    assert!(dearer(permanent - 1_000.0));
    (0..27_600)
        .map(|thousand| permanent + 1.0 + 1_000.0 * f64::from(thousand))
        .filter(|requests| dearer(*requests))
        .count()
}

/// The diurnal fleet: 10 requests a second on average, 5 per replica at 80 %.
fn diurnal(rate: &str, extra: &str) -> Answer {
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

pub(super) fn g15_a_fleet_that_follows_the_day() -> Table {
    let mut table = Table::default();
    let fixed = diurnal("2", "").self_hosted.unwrap();
    table.put("g15.static", fixed.replicas);
    table.put("g15.replica_hours_static", 24.0 * fixed.replicas);
    table.put("g15.usd_month_static", fixed.gpu_usd_per_month);
    table.put("g15.util_static", fixed.utilization);
    let answer = diurnal("2", "fleet = \"autoscaled\"");
    let followed = answer.self_hosted.unwrap();
    table.put("g15.usd_month_auto", followed.gpu_usd_per_month);
    table.put("g15.util_auto", followed.utilization);
    table.put(
        "g15.saving_pct",
        (1.0 - followed.gpu_usd_per_month / fixed.gpu_usd_per_month) * 100.0,
    );
    let replicas: Vec<f64> = answer.view.hours.iter().map(|hour| hour.replicas).collect();
    table.put("g15.replica_hours_auto", replicas.iter().sum::<f64>());
    table.put("g15.replicas_by_hour", replicas);
    let asked = "fleet = \"autoscaled\"\nreserved_usd_per_gpu_hour = 2";
    let reserve = diurnal("3.5", asked).view.reserve.unwrap();
    let mut curve: Vec<Value> = Vec::new();
    for base in &reserve.bases {
        curve.push(json!([base.replicas, base.gpu_usd_per_month]));
        let line = format!("{asked}\nreserved_base_replicas = {}", base.replicas);
        let billed = diurnal("3.5", &line).self_hosted.unwrap();
        close(billed.gpu_usd_per_month, base.gpu_usd_per_month);
    }
    table.put("g15.mix_curve", curve);
    table.put("g15.mix_best_reserved", reserve.best_replicas);
    let best = &reserve.bases[reserve.best_replicas as usize];
    table.put("g15.mix_best_usd_month", best.gpu_usd_per_month);
    table.put(
        "g15.reserve_threshold_hours_fraction",
        reserve.pays_above_share_of_hours,
    );
    table
}

pub(super) fn g17_owned_cards() -> Table {
    let mut table = Table::default();
    let hourly = |rate: &OwnedRate| rate.usd_per_gpu_month(730.0) / 730.0;
    let straight = OwnedRate::new(&Owned {
        cost_of_capital: 0.0,
        ..Owned::default()
    });
    // Maintenance is a twentieth of the purchase with its tax and set-up each year.
    let yearly = straight.maintenance_usd_per_gpu_hour * 8_760.0 * 8.0;
    table.put("g17.capex_8gpu_incl_12pct", yearly / 0.05);
    table.put("g17.depr_per_gpu_h", straight.capital_usd_per_gpu_hour);
    table.put(
        "g17.energy_per_gpu_h_own_dc",
        straight.energy_usd_per_gpu_hour,
    );
    table.put(
        "g17.maint5pct_per_gpu_h",
        straight.maintenance_usd_per_gpu_hour,
    );
    table.put("g17.total_own_dc", hourly(&straight));
    table.put(
        "g17.be_util_vs_2.69_rent",
        pays_above(hourly(&straight), 2.69),
    );
    let colo = OwnedRate::new(&Owned {
        cost_of_capital: 0.0,
        colocation_usd_per_kw_month: Some(180.0),
        ..Owned::default()
    });
    table.put(
        "g17.colo_per_gpu_h",
        colo.colocation_usd_per_gpu_month / 730.0,
    );
    table.put("g17.total_colo", hourly(&colo));
    table.put("g17.crf_10pct_4y", capital_recovery_factor(0.10, 4.0));
    let recovered = OwnedRate::new(&Owned::default());
    table.put(
        "g17.capital_recovery_per_gpu_h",
        recovered.capital_usd_per_gpu_hour,
    );
    table.put("g17.total_own_dc_capital_recovery", hourly(&recovered));
    table.put(
        "g17.be_util_vs_2.69_rent_capital_recovery",
        pays_above(hourly(&recovered), 2.69),
    );
    let all_in = OwnedRate::new(&Owned {
        gpus: 1,
        kw: 1.73,
        pue: 1.0,
        usd_per_kwh: Some(0.10),
        ..Owned::default()
    });
    table.put("g17.infx_h100_kw_cost_0.10", all_in.energy_usd_per_gpu_hour);
    let second = Seconds::new(1.0);
    let tokens: Tokens = TokensPerSecond::new(750.0) * second;
    table.put(
        "g17.j_per_out_token_1.73kW_750tok_2gpu",
        (Watts::new(2.0 * 1_730.0) * second / tokens).value(),
    );
    table
}

pub(super) fn g18_a_fleet_sized_for_its_peak() -> Table {
    let mut table = Table::default();
    let sized = |requests: u32, peak: u32| {
        let text = format!(
            "[calendar]\nhours_per_month = 720\n[traffic]\nrequests_per_month = {requests}\nuser_tokens = 500\noutput_tokens = 150\npeak_to_average = {peak}\n[api]\nmodel = \"gpt-4o\"\n[self_hosted]\nusd_per_gpu_hour = 2\nrequests_per_second = 5\nredundant_replicas = 1\n"
        );
        solve(&text)
    };
    let small = sized(300_000, 5);
    table.put("g18.mean_rps", small.volume.requests_per_second);
    table.put("g18.peak_rps_x5", small.volume.peak_requests_per_second);
    table.put("g18.n_for_peak", small.self_hosted.unwrap().replicas);
    let large = sized(5_000_000, 4);
    table.put("g18.5M_mean_rps", large.volume.requests_per_second);
    table.put("g18.5M_peak_x4", large.volume.peak_requests_per_second);
    let host = large.self_hosted.unwrap();
    table.put("g18.5M_n", host.replicas - 1.0);
    table.put("g18.5M_nplus1", host.replicas);
    table.put("g18.5M_util", host.utilization);
    table.put("g18.5M_gpu_usd", host.gpu_usd_per_month);
    table.put("g18.5M_api_usd", large.api.unwrap().usd_per_month);
    // Peak 5 at 70 % load caps the utilization of a fleet without spare replicas.
    let replica = sized(300_000, 5)
        .view
        .stairs
        .first()
        .unwrap()
        .up_to_requests_per_month;
    table.put("g18.max_util_par5_rho.7", replica / (5.0 * 3_600.0 * 720.0));
    table
}

pub(super) fn g26_reserved_and_spot() -> Table {
    let mut table = Table::default();
    let spot = SpotCase {
        share: 1.0,
        usd_per_gpu_hour: 2.464,
        lost_work: 0.05,
        fallback: 0.1,
    };
    table.put(
        "g26.spot_effective(2.464,5pct lost,10pct fallback 6.155)",
        spot_effective_rate(&spot, 6.155),
    );
    let catalog = Catalog::bundled();
    for (name, gpu) in [
        ("H100 SXM", "h100-sxm"),
        ("H100 PCIe", "h100-pcie"),
        ("H200", "h200-sxm"),
        ("A100 PCIe", "a100-80gb-pcie"),
    ] {
        let rate = |commitment: Commitment| {
            let offers = catalog.rentals_of(gpu);
            let offer = offers
                .iter()
                .find(|row| row.provider == "hyperstack" && row.commitment == commitment);
            f64::try_from(offer.unwrap().usd_per_gpu_hour).unwrap()
        };
        table.put(
            format!("g26.reserve_breakeven_usage.hyperstack {name}"),
            pays_above(rate(Commitment::Reserved), rate(Commitment::OnDemand)),
        );
    }
    table
}
