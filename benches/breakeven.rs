//! How long a decision takes: the deterministic break-even, and a hundred thousand draws.

#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot go on should stop where it stands"
)]

#[path = "../tests/breakeven_model/fixture.rs"]
#[expect(
    dead_code,
    reason = "the fixture serves many tests; a bench needs a part of it"
)]
mod fixture;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::fmt::Write as _;

use fixture::{Book, Files};
use mtok::cost::resolve::Sources;
use mtok::cost::scenario::Document;

const HOST: &str =
    "[self_hosted]\nusd_per_gpu_hour = 2\noutput_tokens_per_second = 750\nstaff = { fte = 0.25 }\n";

/// A week of hours and ten comparators.
fn busy_week(fleet: &str) -> String {
    let weights: Vec<String> = (0..168)
        .map(|hour| format!("{}", 1.0 + f64::from((hour * 7_919) % 97) / 97.0))
        .collect();
    let mut text = format!(
        "[traffic]\nrequests_per_day = 100_000\nuser_tokens = 500\noutput_tokens = 150\nhourly = [{}]\n[api]\nmodel = \"gpt-4o\"\n",
        weights.join(", ")
    );
    for n in 0..10 {
        write!(text, "[[api.alternative]]\nname = \"other {n}\"\ninput_usd_per_mtok = {}\noutput_usd_per_mtok = {}\n",
            1.0 + f64::from(n) / 10.0,
            4.0 + f64::from(n) / 10.0).unwrap();
    }
    text.push_str(HOST);
    text.push_str(fleet);
    text
}

fn decide(criterion: &mut Criterion) {
    let book = Book::new();
    let files = Files::default();
    let sources = Sources {
        book: &book,
        evidence: &files,
    };
    let mut group = criterion.benchmark_group("decide");
    for (name, fleet) in [("static", ""), ("autoscaled", "fleet = \"autoscaled\"\n")] {
        let text = busy_week(fleet);
        group.bench_function(BenchmarkId::new("break_even", name), |bencher| {
            bencher.iter(|| {
                let document = Document::parse(&text).unwrap();
                mtok::cost::break_evens(&document, sources).unwrap()
            });
        });
        group.bench_function(BenchmarkId::new("whole_answer", name), |bencher| {
            bencher.iter(|| {
                let document = Document::parse(&text).unwrap();
                mtok::cost::answer(&document, sources).unwrap()
            });
        });
    }
    group.finish();
}

fn draws(criterion: &mut Criterion) {
    let book = Book::new();
    let files = Files::default();
    let sources = Sources {
        book: &book,
        evidence: &files,
    };
    let mut group = criterion.benchmark_group("draws");
    group.sample_size(10);
    for draws in [1_000, 10_000, 100_000] {
        let text = format!(
            "[traffic]\nrequests_per_day = 100_000\nuser_tokens = 500\noutput_tokens = 150\n[api]\nmodel = \"gpt-4o\"\n{HOST}[uncertainty]\ndraws = {draws}\n\
             [[uncertainty.input]]\nkey = \"self_hosted.staff.fte\"\ndistribution = \"triangular\"\nlow = 0.1\nmode = 0.25\nhigh = 1.0\n\
             [[uncertainty.input]]\nkey = \"traffic.requests_per_day\"\ndistribution = \"lognormal\"\nmedian = 100_000\np95 = 300_000\n\
             [[uncertainty.input]]\nkey = \"traffic.peak_to_average\"\ndistribution = \"lognormal\"\nmedian = 2\np95 = 5\n\
             [[uncertainty.input]]\nkey = \"traffic.cache.prefix_hit_rate\"\ndistribution = \"beta\"\nmean = 0.5\nsd = 0.1\n\
             [[uncertainty.correlation]]\nkeys = [\"traffic.requests_per_day\", \"traffic.peak_to_average\"]\nrank_correlation = -0.3\n"
        );
        let document = Document::parse(&text).unwrap();
        group.throughput(criterion::Throughput::Elements(draws));
        group.bench_function(BenchmarkId::from_parameter(draws), |bencher| {
            bencher.iter(|| mtok::cost::answer(&document, sources).unwrap().uncertainty);
        });
    }
    group.finish();
}

criterion_group!(benches, decide, draws);
criterion_main!(benches);
