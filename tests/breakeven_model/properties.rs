//! Properties of fleets and of their crossings with a line.

use super::closed_form::{Terms, closed_form};
use mtok::cost::breakeven::{ApiLine, BreakEven, Crossing};
use mtok::cost::capacity::{Binding, Capacity, Work};
use mtok::cost::fleet::{CardRate, FixedCase, Fleet, FleetCase, SpotCase};
use mtok::cost::scenario::{Document, FleetMode, Side};
use mtok::cost::traffic::{Demand, Profile, Volume};
use proptest::prelude::*;

const SECONDS: f64 = 720.0 * 3_600.0;

fn fleet_case() -> FleetCase {
    FleetCase {
        gpus_per_replica: 2.0,
        rate: CardRate::Rented {
            usd_per_gpu_hour: 2.0,
        },
        spot: SpotCase::default(),
        target_load: 1.0,
        redundant: 0.0,
        min_replicas: 1.0,
        quantum: 1.0,
        mode: FleetMode::Static,
        cold_start_hours: 0.0,
        reserved: 0.0,
        reserved_usd_per_gpu_hour: 0.0,
        fixed: FixedCase {
            amortization_months: 36.0,
            ..FixedCase::default()
        },
        egress_usd_per_token: 0.0,
    }
}

fn demand(profile: Profile) -> Demand {
    let text = "[traffic]\nrequests_per_month = 1\nuser_tokens = 500\noutput_tokens = 150\n";
    let document = Document::parse(&format!("{text}[api]\nmodel = \"gpt-4o\"\n")).unwrap();
    let case = solve_case(&document);
    Demand {
        volume: Volume::PerMonth(1.0),
        profile,
        ..case
    }
}

fn solve_case(document: &Document) -> Demand {
    let book = super::fixture::Book::new();
    let files = super::fixture::Files::default();
    let sources = mtok::cost::resolve::Sources {
        book: &book,
        evidence: &files,
    };
    mtok::cost::resolve::resolve(document, sources)
        .unwrap()
        .case
        .demand
}

fn capacity(seconds_per_request: f64) -> Capacity {
    Capacity {
        seconds_per_request,
        kv_seconds_per_request: 0.0,
        binding: Binding::Decode,
        latency_seconds: None,
    }
}

fn work() -> Work {
    Work {
        calls: 1.0,
        uncached_tokens: 500.0,
        input_tokens: 500.0,
        output_tokens: 150.0,
        rejected_share: 0.0,
    }
}

fn line(usd_per_request: f64, fixed_usd: f64) -> ApiLine {
    ApiLine {
        usd_per_request,
        fixed_usd,
    }
}

/// The cheaper side at a volume, by the bills themselves.
fn own_is_cheaper(api: ApiLine, fleet: &Fleet<'_>, requests: f64) -> bool {
    fleet.bill(requests).usd() < requests * api.usd_per_request + api.fixed_usd
}

/// Between two listed crossings the bills agree with the list, and beyond the permanent volume
/// self-hosting stays cheaper.
fn agrees_with_bills(
    found: &BreakEven,
    api: ApiLine,
    fleet: &Fleet<'_>,
) -> Result<(), TestCaseError> {
    let mut side = Side::Api;
    let mut from = 0.0;
    for crossing in &found.crossings {
        let to = crossing.requests_per_month;
        prop_assert!(to >= from * (1.0 - 1e-9), "{:?}", found.crossings);
        if to > from * (1.0 + 1e-6) {
            let middle = f64::midpoint(from, to);
            prop_assert_eq!(
                own_is_cheaper(api, fleet, middle),
                side == Side::SelfHosted,
                "at {}",
                middle
            );
        }
        prop_assert_ne!(side, crossing.to);
        side = crossing.to;
        from = to;
    }
    if let Some(permanent) = found.permanent {
        let start = permanent.requests_per_month.max(1e-3);
        for step in 0..400 {
            let requests = start * (1.0 + 1e-6) * 1.01_f64.powi(step);
            prop_assert!(
                own_is_cheaper(api, fleet, requests),
                "{} after {}",
                requests,
                start
            );
        }
        // Just before, it is not, unless the crossing back to the API lies closer still.
        let before = permanent.requests_per_month * (1.0 - 1e-6);
        let is_last =
            |crossing: &Crossing| crossing.requests_per_month >= permanent.requests_per_month;
        let earlier = found
            .crossings
            .iter()
            .rev()
            .find(|crossing| !is_last(crossing));
        let is_apart = earlier.is_none_or(|crossing| crossing.requests_per_month < before);
        if permanent.requests_per_month > 0.0 && found.crossings.len() < 1_000 && is_apart {
            prop_assert!(!own_is_cheaper(api, fleet, before));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_scan_is_the_closed_form_where_both_apply(
        rate in 0.1..10.0f64, fixed in 0.0..50_000.0f64, redundant in 0u32..4,
        margin in 1.02..20.0f64, seconds in 0.01..2.0f64, load in 0.3..1.0f64, peak in 1.0..6.0f64
    ) {
        let mut case = fleet_case();
        case.rate = CardRate::Rented { usd_per_gpu_hour: rate };
        case.fixed.other_usd = fixed;
        case.redundant = f64::from(redundant);
        case.target_load = load;
        let demand = demand(Profile::Peak(peak));
        let fleet = Fleet::new(&case, &demand, capacity(seconds), &work(), 720.0);
        let per_replica = SECONDS * load / (seconds * peak);
        let replica_usd = 2.0 * rate * 720.0;
        let api = line(margin * replica_usd / per_replica, 0.0);
        let scan = BreakEven::new(api, &fleet);
        let exact = closed_form(Terms {
            replica_usd,
            fixed_usd: fixed,
            requests_per_replica: per_replica,
            usd_per_request: api.usd_per_request,
            redundant: case.redundant,
        }).unwrap();
        let close = |got: f64, want: f64| (got / want - 1.0).abs() < 1e-6;
        let first = scan.first.unwrap();
        prop_assert!(close(first.requests_per_month, exact.first_requests), "{first:?} {exact:?}");
        let permanent = scan.permanent.unwrap();
        prop_assert!(close(permanent.requests_per_month, exact.permanent_requests), "{permanent:?} {exact:?}");
        prop_assert_eq!(scan.crossings.len() as f64, exact.crossings.min(1_000.0));
        // Break-even utilization = rate / value, redundancy included.
        let hours = first.replicas * 720.0;
        let value = api.usd_per_request * 3_600.0 / seconds;
        prop_assert!(close(first.utilization, first.usd_per_month / hours / value));
    }

    #[test]
    fn crossings_agree_with_the_bills_on_any_static_fleet(
        redundant in 0u32..3, least in 1u32..8, quantum in 1u32..9, reserved in 0u32..5,
        reserved_rate in 0.5..2.5f64, fixed in 0.0..20_000.0f64, fee in 0.0..5_000.0f64,
        margin in 0.5..4.0f64, window in 0.0..60.0f64, egress in 0.0..0.5f64
    ) {
        let mut case = fleet_case();
        case.redundant = f64::from(redundant);
        case.min_replicas = f64::from(least);
        case.quantum = f64::from(quantum);
        case.reserved = f64::from(reserved);
        case.reserved_usd_per_gpu_hour = reserved_rate;
        case.fixed.other_usd = fixed;
        let mut demand = demand(Profile::Peak(2.0));
        demand.burst.window_seconds = window;
        let per_replica = SECONDS / 0.4;
        let api = line(margin * 2_880.0 / per_replica, fee);
        case.egress_usd_per_token = egress * api.usd_per_request / 150.0;
        let fleet = Fleet::new(&case, &demand, capacity(0.2), &work(), 720.0);
        let found = BreakEven::new(api, &fleet);
        agrees_with_bills(&found, api, &fleet)?;
        if margin * (1.0 - egress) > 1.001 {
            prop_assert!(found.exists());
        }
        if margin * (1.0 - egress) < 0.999 {
            prop_assert!(!found.exists());
        }
    }

    #[test]
    fn crossings_agree_with_the_bills_on_a_fleet_that_follows_the_day(
        weights in prop::collection::vec(0.05..3.0f64, 24), redundant in 0u32..2, least in 1u32..4,
        quantum in 1u32..5, cold in prop_oneof![Just(0.0), 0.0..2.5f64], fixed in 0.0..5_000.0f64, margin in 1.2..4.0f64
    ) {
        let mut case = fleet_case();
        case.mode = FleetMode::Autoscaled;
        case.redundant = f64::from(redundant);
        case.min_replicas = f64::from(least);
        case.quantum = f64::from(quantum);
        case.cold_start_hours = cold;
        case.fixed.other_usd = fixed;
        let demand = demand(Profile::hourly(&weights));
        let fleet = Fleet::new(&case, &demand, capacity(0.2), &work(), 720.0);
        let api = line(margin * 2_880.0 / (SECONDS / 0.2), 0.0);
        let found = BreakEven::new(api, &fleet);
        agrees_with_bills(&found, api, &fleet)?;
    }

    #[test]
    fn more_replicas_never_cost_less(
        fewer in 1u32..50, more in 0u32..50, quantum in 1u32..9, gpus in 1u32..9
    ) {
        let mut case = fleet_case();
        case.quantum = f64::from(quantum);
        case.gpus_per_replica = f64::from(gpus);
        let demand = demand(Profile::Peak(1.0));
        let fleet = Fleet::new(&case, &demand, capacity(0.2), &work(), 720.0);
        let bill = |n: u32| fleet.bill_of(1.0, &[f64::from(n)]).usd();
        prop_assert!(bill(fewer) <= bill(fewer + more));
    }
}
