//! The contract's properties over random scenarios, from text to bills.

use super::fixture::{Book, Files, GUIDE, close, solve};
use mtok::cost::breakeven::BreakEven;
use mtok::cost::case::{Case, Evaluation};
use mtok::cost::resolve::{Sources, resolve};
use mtok::cost::scenario::Document;
use proptest::prelude::*;

#[track_caller]
fn case(text: &str) -> Case {
    let document = Document::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let (book, files) = (Book::new(), Files::default());
    let sources = Sources {
        book: &book,
        evidence: &files,
    };
    match resolve(&document, sources) {
        Ok(resolved) => resolved.case,
        Err(error) => panic!("{error}\n{text}"),
    }
}

/// The API bill of a month.
fn api_usd(text: &str) -> f64 {
    let case = case(text);
    let evaluation = Evaluation::new(&case);
    evaluation.api_usd(evaluation.requests).unwrap()
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// `a` is not above `b`, rounding apart.
fn at_most(a: f64, b: f64) -> bool {
    a <= b + 1e-9 * b.abs()
}

/// What users send.
#[derive(Debug, Clone)]
struct Mix {
    system: u32,
    user: u32,
    output: u32,
    hit: f64,
    semantic: f64,
    retries: f64,
    batch: f64,
    cv: f64,
    chunks: u32,
    /// Turns and the policy of a conversation; a single request below 2.
    turns: u32,
    policy: usize,
}

const POLICIES: [&str; 3] = ["full", "window", "summarize"];

fn mix() -> impl Strategy<Value = Mix> {
    let lengths = (0u32..5_000, 1u32..5_000, 1u32..2_000);
    let shares = (0.0..1.0f64, 0.0..0.9f64, 0.0..0.5f64, 0.0..1.0f64);
    let shape = (0.0..1.5f64, 0u32..12, 1u32..16, 0usize..3);
    (lengths, shares, shape).prop_map(|(lengths, shares, shape)| Mix {
        system: lengths.0,
        user: lengths.1,
        output: lengths.2,
        hit: shares.0,
        semantic: shares.1,
        retries: shares.2,
        batch: shares.3,
        cv: shape.0,
        chunks: shape.1,
        turns: shape.2,
        policy: shape.3,
    })
}

impl Mix {
    /// The traffic of a scenario; `limits` are further keys of it.
    fn traffic(&self, limits: &str) -> String {
        let Self {
            system,
            user,
            output,
            hit,
            semantic,
            retries,
            batch,
            cv,
            chunks,
            turns,
            ..
        } = self;
        let lengths = if *turns < 2 {
            format!("user_tokens = {user}\noutput_tokens = {output}\n")
        } else {
            String::new()
        };
        let talk = if *turns < 2 {
            String::new()
        } else {
            format!(
                "[traffic.conversation]\nturns = {turns}\nuser_tokens = {user}\nanswer_tokens = {output}\npolicy = \"{}\"\n",
                POLICIES[self.policy]
            )
        };
        format!(
            "[traffic]\nrequests_per_day = 1000\nsystem_tokens = {system}\n{lengths}retries = {retries}\ninput_tokens_cv = {cv}\nbatch = {{ share = {batch} }}\ncache = {{ prefix_hit_rate = {hit}, semantic_hit_rate = {semantic} }}\n{limits}[traffic.retrieval]\nchunks = {chunks}\n{talk}"
        )
    }
}

/// Prices of a million tokens.
#[derive(Debug, Clone)]
struct Prices {
    input: f64,
    output: f64,
    cached: f64,
    write: f64,
}

fn prices() -> impl Strategy<Value = Prices> {
    // Reading costs no more than input, and writing no less.
    (0.01..5.0f64, 0.01..20.0f64, 0.0..1.0f64, 1.0..2.5f64).prop_map(
        |(input, output, read, write)| Prices {
            input,
            output,
            cached: input * read,
            write: input * write,
        },
    )
}

impl Prices {
    fn keys(&self) -> String {
        let Self {
            input,
            output,
            cached,
            write,
        } = self;
        format!(
            "input_usd_per_mtok = {input}\noutput_usd_per_mtok = {output}\ncached_input_usd_per_mtok = {cached}\ncache_write_usd_per_mtok = {write}\n"
        )
    }

    fn times(&self, factor: f64) -> Self {
        Self {
            input: self.input * factor,
            output: self.output * factor,
            cached: self.cached * factor,
            write: self.write * factor,
        }
    }
}

fn scenario(mix: &Mix, prices: &Prices) -> String {
    format!("{}[api]\n{}", mix.traffic(""), prices.keys())
}

/// A fleet.
#[derive(Debug, Clone)]
struct Host {
    rate: f64,
    throughput: f64,
    load: f64,
    redundant: u32,
    least: u32,
    quantum: u32,
    autoscaled: bool,
    cold: f64,
    egress: f64,
    weights: Vec<f64>,
}

fn host() -> impl Strategy<Value = Host> {
    let speed = (0.2..8.0f64, 50.0..5_000.0f64, 0.3..1.0f64);
    let counts = (0u32..3, 1u32..4, 1u32..9);
    let rest = (any::<bool>(), 0.0..90.0f64, 0.0..0.2f64);
    let weights = prop::collection::vec(0.05..3.0f64, 24);
    (speed, counts, rest, weights).prop_map(|(speed, counts, rest, weights)| Host {
        rate: speed.0,
        throughput: speed.1,
        load: speed.2,
        redundant: counts.0,
        least: counts.1,
        quantum: counts.2,
        autoscaled: rest.0,
        cold: rest.1,
        egress: rest.2,
        weights,
    })
}

impl Host {
    fn scenario(&self, hours: f64, per_day: f64, fixed: f64) -> String {
        let Self {
            rate,
            throughput,
            load,
            redundant,
            least,
            quantum,
            cold,
            egress,
            ..
        } = self;
        let fleet = if self.autoscaled {
            "autoscaled"
        } else {
            "static"
        };
        format!(
            "[calendar]\nhours_per_month = {hours}\n[traffic]\nrequests_per_day = {per_day}\nuser_tokens = 500\noutput_tokens = 150\nhourly = {:?}\n[api]\nmodel = \"gpt-4o\"\n[self_hosted]\nusd_per_gpu_hour = {rate}\noutput_tokens_per_second = {throughput}\ntarget_load = {load}\nredundant_replicas = {redundant}\nmin_replicas = {least}\nbilling_quantum_gpus = {quantum}\nfleet = \"{fleet}\"\ncold_start_minutes = {cold}\nfixed_usd_per_month = {fixed}\negress = {{ usd_per_gb = {egress} }}\n",
            self.weights
        )
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn input_tokens_are_partitioned_and_dollars_add_up(mix in mix(), prices in prices()) {
        let case = case(&scenario(&mix, &prices));
        let evaluation = Evaluation::new(&case);
        let bill = evaluation.api.unwrap();
        let charge = bill.charge;
        for part in [charge.uncached_tokens, charge.read_tokens, charge.written_tokens] {
            prop_assert!(part >= -1e-9, "{charge:?}");
        }
        // What the fleet reads in all is what the API bills in all: one partition of one input.
        prop_assert!(near(charge.input_tokens(), evaluation.work.input_tokens), "{charge:?} {:?}", evaluation.work);
        prop_assert!(near(charge.output_tokens, evaluation.work.output_tokens));
        let parts = charge.input_usd + charge.output_usd + bill.router_usd;
        prop_assert!(near(parts * evaluation.requests + bill.fixed_usd_per_month, evaluation.api_usd(evaluation.requests).unwrap()));
    }

    #[test]
    fn the_answers_parts_are_its_bills(host in host(), fixed in 0.0..9e3f64, volume in 10.0..3e6f64) {
        let case = case(&host.scenario(730.0, volume, fixed));
        let evaluation = Evaluation::new(&case);
        let bill = evaluation.fleet_bill(evaluation.requests).unwrap();
        prop_assert!(near(bill.gpu_usd + bill.staff_usd + bill.other_usd, bill.usd()));
        // Nothing is used more than it is planned for.
        prop_assert!(at_most(bill.utilization, host.load), "{bill:?}");
    }

    #[test]
    fn dearer_prices_never_make_a_cheaper_bill(mix in mix(), prices in prices(), more in 1.0..3.0f64) {
        let base = api_usd(&scenario(&mix, &prices));
        for dearer in [
            Prices { input: prices.input * more, ..prices.clone() },
            Prices { output: prices.output * more, ..prices.clone() },
            Prices { cached: prices.cached * more, ..prices.clone() },
            Prices { write: prices.write * more, ..prices.clone() },
        ] {
            prop_assert!(at_most(base, api_usd(&scenario(&mix, &dearer))));
        }
        prop_assert!(near(base * more, api_usd(&scenario(&mix, &prices.times(more)))));
    }

    #[test]
    fn longer_texts_never_cost_less_away_from_thresholds(mix in mix(), prices in prices(), more in 1u32..500) {
        // A summary begins at a threshold, so the two other policies stand here.
        let mix = Mix { policy: mix.policy % 2, ..mix };
        let base = api_usd(&scenario(&mix, &prices));
        for longer in [
            Mix { user: mix.user + more, ..mix.clone() },
            Mix { output: mix.output + more, ..mix.clone() },
            Mix { system: mix.system + more, ..mix.clone() },
            Mix { chunks: mix.chunks + 1, ..mix.clone() },
        ] {
            // Chunks end the prefix that turns share, so the first one only adds without a cache.
            if longer.chunks != mix.chunks && mix.chunks == 0 && mix.hit > 0.0 && mix.turns > 1 {
                continue;
            }
            prop_assert!(at_most(base, api_usd(&scenario(&longer, &prices))), "{longer:?}");
        }
    }

    #[test]
    fn a_cache_never_beats_its_read_price(mix in mix(), prices in prices()) {
        let mix = Mix { batch: 0.0, ..mix };
        let all_read = Prices { input: prices.cached, write: prices.cached, ..prices.clone() };
        prop_assert!(at_most(api_usd(&scenario(&mix, &all_read)), api_usd(&scenario(&mix, &prices))));
    }

    #[test]
    fn a_share_routed_to_a_cheaper_model_saves_at_most_that_share(
        mix in mix(), prices in prices(), share in 0.0..1.0f64, cheaper in 0.0..1.0f64
    ) {
        let base = api_usd(&scenario(&mix, &prices));
        let route = |keys: &str| {
            let text = scenario(&mix, &prices);
            api_usd(&format!("{text}[[api.route]]\n{keys}\n{}", prices.times(cheaper).keys()))
        };
        let factor = route(&format!("share = {share}")) / base;
        prop_assert!(at_most(1.0 - share, factor) && at_most(factor, 1.0), "{factor}");
        prop_assert!(near(factor, 1.0 - share * (1.0 - cheaper)));
        let cascade = route(&format!("policy = \"cascade\"\nescalation = {share}")) / base;
        prop_assert!(near(cascade, cheaper + share), "{cascade}");
    }

    #[test]
    fn a_window_as_long_as_the_conversation_costs_what_the_full_history_costs(
        mix in mix(), prices in prices(), turns in 2u32..30, more in 0u32..5
    ) {
        let mix = Mix { turns, policy: 0, ..mix };
        let full = scenario(&mix, &prices);
        let policy = format!("policy = \"window\"\nwindow_turns = {}", turns - 1 + more);
        let window = full.replace("policy = \"full\"", &policy);
        prop_assert!(near(api_usd(&full), api_usd(&window)));
    }

    #[test]
    fn dearer_cards_and_slower_engines_never_make_a_cheaper_fleet(
        host in host(), volume in 10.0..3e6f64, more in 1.0..4.0f64
    ) {
        let usd = |host: &Host| {
            let case = case(&host.scenario(730.0, volume, 100.0));
            let evaluation = Evaluation::new(&case);
            evaluation.fleet_bill(evaluation.requests).unwrap().usd()
        };
        let base = usd(&host);
        for dearer in [
            Host { rate: host.rate * more, ..host.clone() },
            Host { throughput: host.throughput / more, ..host.clone() },
            Host { load: (host.load / more).max(0.01), ..host.clone() },
            Host { redundant: host.redundant + 1, ..host.clone() },
        ] {
            prop_assert!(at_most(base, usd(&dearer)), "{dearer:?}");
        }
    }

    #[test]
    fn more_replicas_never_come_for_less_money(host in host(), volume in 10.0..1e6f64, more in 1.0..5.0f64) {
        let host = Host { egress: 0.0, ..host };
        let case = case(&host.scenario(730.0, volume, 0.0));
        let evaluation = Evaluation::new(&case);
        let (small, large) = (
            evaluation.fleet_bill(evaluation.requests).unwrap(),
            evaluation.fleet_bill(evaluation.requests * more).unwrap(),
        );
        prop_assert!(large.replica_hours >= small.replica_hours);
        prop_assert!(large.replicas >= small.replicas && large.gpus >= small.gpus);
        prop_assert!(at_most(small.usd(), large.usd()));
    }

    #[test]
    fn a_break_even_lies_at_rate_over_value_and_at_the_same_day_in_every_calendar(
        host in host(), hours in 600.0..760.0f64
    ) {
        let found = |hours: f64| {
            let case = case(&host.scenario(hours, 1_000.0, 0.0));
            Evaluation::new(&case).break_even().unwrap()
        };
        let (base, other) = (found(720.0), found(hours));
        prop_assert_eq!(base.exists(), other.exists());
        let case = case(&host.scenario(720.0, 1_000.0, 0.0));
        let evaluation = Evaluation::new(&case);
        let seconds = evaluation.fleet.as_ref().unwrap().capacity.seconds_per_request;
        let value = evaluation.api.unwrap().marginal_usd() * 3_600.0 / seconds;
        // A bound is no crossing.
        let last = |found: &BreakEven| found.permanent.filter(|_| !found.permanent_is_bound);
        for (a, b) in [(base.first, other.first), (last(&base), last(&other))] {
            let (Some(a), Some(b)) = (a, b) else { continue };
            prop_assert!(near(a.requests_per_month / 720.0, b.requests_per_month / hours), "{a:?} {b:?}");
            prop_assert!(near(a.utilization, b.utilization));
            let bill = evaluation.fleet_bill(a.requests_per_month * (1.0 + 1e-9)).unwrap();
            let rate = bill.usd() / bill.replica_hours;
            prop_assert!((a.utilization / (rate / value) - 1.0).abs() < 1e-6, "{a:?} {rate} {value}");
        }
    }
}

#[test]
fn a_cascade_may_cost_more_than_no_routing() {
    let route = "[[api.route]]\npolicy = \"cascade\"\nescalation = 0.95\nmodel = \"gpt-4o-mini\"\n";
    let answer = solve(&format!("{GUIDE}{route}"));
    close(answer.api.unwrap().usd_per_month, 825.0 * (0.06 + 0.95));
}

#[test]
fn a_shorter_prefix_may_cost_more_below_the_cache_minimum() {
    // Monotone in tokens only away from the minimum: 1,023 tokens are not cached, 1,024 are.
    let bill = |system: u32| {
        let text = GUIDE
            .replace("system_tokens = 200", &format!("system_tokens = {system}"))
            .replace(
                "output_tokens = 150",
                "output_tokens = 150\ncache = { prefix_hit_rate = 1.0 }",
            );
        solve(&text).api.unwrap().input_usd_per_month
    };
    assert!(bill(1_024) < bill(1_023));
    close(bill(1_023) - bill(1_024), 0.75 * (1_023.0 - 512.0));
}
