//! Small exact cases, and seeded simulations of what the comparison promises.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::judgement::Family;
use super::*;
use crate::metrics::fixture::{Script, generation, point};
use crate::metrics::stats::ratio;
use crate::record::observation::FailureKind;

const MILLISECOND: u64 = 1_000_000;

/// Fewer draws than the default: 4 % of noise in a standard error that is enlarged anyway.
const FAST: Settings = Settings {
    noise_threshold: 0.01,
    resamples: 300,
    seed: 1,
};

/// A run whose blocks of one generation take the times given, first token and rest alike.
fn run(milliseconds: &[u64]) -> Script {
    let point = point(1, 100, 2);
    let mut script = Script::new(&[point]);
    for &time in milliseconds {
        script.block(
            point,
            vec![generation(time * MILLISECOND, &[time * MILLISECOND])],
        );
    }
    script
}

fn compare(base: &Script, new: &Script) -> Comparison {
    Comparison::new(&base.facts(), &new.facts(), FAST)
}

#[track_caller]
fn verdict_is(base: &[u64], new: &[u64], expected: Change) {
    let comparison = compare(&run(base), &run(new));
    assert_eq!(comparison.verdict(), expected, "{:?}", comparison.metrics);
}

#[test]
fn the_ratio_is_of_rates_new_over_base() {
    let comparison = compare(&run(&[99, 100, 101, 100]), &run(&[49, 50, 51, 50]));
    assert_eq!(comparison.metrics.len(), 3);
    for change in &comparison.metrics {
        assert!((change.ratio.value - 2.0).abs() < 1e-12);
        assert_eq!(change.verdict, Change::Faster);
    }
}

#[test]
fn verdicts_follow_from_size_and_spread() {
    let calm = [1_000, 1_001, 999, 1_000, 1_002, 998, 1_000, 1_000];
    let wild = [800, 1_200, 900, 1_100, 1_000, 1_050, 950, 1_000];
    let slower = calm.map(|time| time * 103 / 100);
    verdict_is(&calm, &calm, Change::Unchanged);
    verdict_is(&calm, &slower, Change::Slower);
    verdict_is(&slower, &calm, Change::Faster);
    verdict_is(&wild, &slower, Change::Inconclusive);
    // Half a percent is found, but below the noise threshold.
    verdict_is(
        &calm,
        &calm.map(|time| time * 1_005 / 1_000),
        Change::Unchanged,
    );
}

#[test]
fn the_smallest_detectable_change_clears_both_hurdles() {
    let spread = Spread {
        error: 0.01,
        freedom: 40.0,
    };
    let smallest = |size| {
        let family = Family {
            settings: FAST,
            size,
        };
        family.smallest_detectable(spread).ln_1p()
    };
    // ln 1.01 + t(97.5 %) + t(80 %) of 1 % each, 2.021075 and 0.850700; with 100 metrics
    // t(99.975 %) = 3.788405 in place of the first two.
    assert!(
        (smallest(1.0) - 0.038_668_1).abs() < 1e-6,
        "{}",
        smallest(1.0)
    );
    assert!(
        (smallest(100.0) - 0.046_391_0).abs() < 1e-6,
        "{}",
        smallest(100.0)
    );
}

#[test]
fn whoever_cares_for_large_changes_only_is_told_of_their_absence() {
    let times = [1_000, 1_010, 990, 1_005, 995, 1_002, 998, 1_000];
    let base = run(&times);
    let new = run(&times.map(|time| time * 103 / 100));
    let settings = Settings {
        noise_threshold: 0.05,
        ..FAST
    };
    let comparison = Comparison::new(&base.facts(), &new.facts(), settings);
    let smallest = comparison.metrics[0].smallest_detectable.unwrap();
    assert!(smallest > 0.05, "{smallest}");
    assert_eq!(comparison.verdict(), Change::Unchanged, "{comparison:?}");
}

#[test]
fn a_single_block_allows_no_verdict() {
    let comparison = compare(&run(&[100]), &run(&[200]));
    assert_eq!(comparison.verdict(), Change::Inconclusive);
    assert_eq!(comparison.metrics[0].ratio.interval, None);
    assert_eq!(comparison.metrics[0].p_value, None);
}

#[test]
fn equal_times_are_certain() {
    verdict_is(&[100; 4], &[100; 4], Change::Unchanged);
    verdict_is(&[100; 4], &[110; 4], Change::Slower);
}

#[test]
fn points_of_one_side_are_listed_and_not_compared() {
    let (shared, other) = (point(1, 100, 2), point(2, 100, 2));
    let build = |measured: &[PointId]| {
        let mut script = Script::new(&[shared, other]);
        for &point in measured {
            for time in [99, 100, 101] {
                script.block(point, vec![generation(time, &[time])]);
            }
        }
        script
    };
    let comparison = compare(&build(&[shared, other]), &build(&[shared]));
    assert_eq!(comparison.only_base, [other]);
    assert_eq!(comparison.only_new, []);
    assert_eq!(comparison.metrics.len(), 3);
    let mut failed = build(&[shared, other]);
    failed.fail(other, FailureKind::Crashed, "signal 11");
    let comparison = compare(&build(&[shared, other]), &failed);
    assert_eq!(comparison.only_base, [other]);
    assert_eq!(comparison.failed, [(other, "signal 11".to_owned())]);
    assert_eq!(comparison.verdict(), Change::Failed);
    // What failed on both sides is no news.
    assert_eq!(compare(&failed, &failed).failed, []);
}

#[test]
fn nothing_in_common_is_inconclusive() {
    let comparison = compare(&run(&[100, 101]), &run(&[]));
    assert!(comparison.metrics.is_empty());
    assert_eq!(comparison.verdict(), Change::Inconclusive);
}

#[test]
fn differences_of_card_engine_and_settings_are_named() {
    let base = run(&[100, 101, 99]);
    let mut new = run(&[100, 101, 99]);
    new.device_mut().driver = Some("580.1".to_owned());
    new.session_mut().study.measure.launches = 3;
    let named: Vec<_> = compare(&base, &new)
        .differences
        .into_iter()
        .map(|d| (d.what, d.base, d.new))
        .collect();
    let expected = [("driver", "—", "580.1"), ("launches", "1", "3")];
    assert_eq!(
        named,
        expected.map(|(w, b, n)| (w, b.to_owned(), n.to_owned()))
    );
    assert!(compare(&base, &base).differences.is_empty());
}

#[test]
fn one_launch_leaves_the_variance_from_run_to_run_unknown() {
    assert!(compare(&run(&[100, 101]), &run(&[100, 101])).single_launch);
    let point = point(1, 100, 2);
    let mut script = Script::new(&[point]);
    script.load(1, 1);
    for load in [0, 1] {
        for time in [99, 100, 101] {
            script.block_in(load, point, vec![generation(time, &[time])]);
        }
    }
    assert!(!compare(&script, &script).single_launch);
}

#[test]
fn launches_that_differ_hide_a_change_that_blocks_alone_would_show() {
    let point = point(1, 100, 2);
    let build = |offsets: [u64; 3]| {
        let mut script = Script::new(&[point]);
        script.load(1, 1);
        script.load(2, 2);
        for (load, offset) in offsets.into_iter().enumerate() {
            for time in [999, 1_000, 1_001] {
                let time = (time + offset) * MILLISECOND;
                script.block_in(load as u32, point, vec![generation(time, &[time])]);
            }
        }
        script
    };
    let comparison = compare(&build([0, 50, 100]), &build([40, 90, 140]));
    assert_eq!(comparison.verdict(), Change::Inconclusive);
}

#[test]
fn the_same_seed_gives_the_same_answer() {
    let (base, new) = (run(&[99, 100, 101]), run(&[98, 100, 104]));
    assert_eq!(compare(&base, &new), compare(&base, &new));
}

/// A standard normal number (Box and Muller).
fn normal(generator: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (generator.random(), generator.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// 20 points of 40 blocks whose two phases vary by 2 % each; the times of `slowed` points are longer
/// by `factor`.
fn simulated(generator: &mut ChaCha8Rng, slowed: usize, factor: f64) -> Vec<[Vec<BlockTime>; 2]> {
    let block = |seconds| BlockTime {
        launch: 0,
        generations: 8.0,
        seconds,
    };
    (0..20)
        .map(|point| {
            let scale = if point < slowed { factor } else { 1.0 };
            let mut phase = || {
                let times = (0..40).map(|_| scale * (1.0 + 0.02 * normal(generator)));
                times.map(block).collect()
            };
            [phase(), phase()]
        })
        .collect()
}

/// The verdict over 20 points × 2 metrics, by the same steps as [`Comparison::new`].
fn verdict_of(base: &[[Vec<BlockTime>; 2]], new: &[[Vec<BlockTime>; 2]]) -> Change {
    let mut raw = Vec::new();
    for (index, (base, new)) in base.iter().zip(new).enumerate() {
        let side = |[prefill, decode]: &[Vec<BlockTime>; 2]| {
            let mut phases = Phases::new(point(index as u32 + 1, 100, 2));
            phases.prefill.clone_from(prefill);
            phases.decode.clone_from(decode);
            phases
        };
        let sides = [side(base), side(new)];
        raw.extend(of_point(point(index as u32 + 1, 100, 2), &sides, FAST));
    }
    assert_eq!(raw.len(), 40);
    Comparison {
        settings: FAST,
        differences: Vec::new(),
        metrics: judged(raw, FAST),
        only_base: Vec::new(),
        failed: Vec::new(),
        only_new: Vec::new(),
        single_launch: true,
    }
    .verdict()
}

/// How often `runs` simulated pairs end in a verdict.
fn share(verdict: Change, slowed: usize, runs: u32) -> f64 {
    let mut generator = ChaCha8Rng::seed_from_u64(7);
    let found = (0..runs).filter(|_| {
        let base = simulated(&mut generator, 0, 1.0);
        let new = simulated(&mut generator, slowed, 1.03);
        verdict_of(&base, &new) == verdict
    });
    found.count() as f64 / f64::from(runs)
}

#[test]
fn identical_runs_say_no_change() {
    let share = share(Change::Unchanged, 0, 100);
    assert!(share >= 0.95, "{share}");
}

#[test]
fn a_slowdown_of_3_percent_in_one_point_of_twenty_is_found() {
    let share = share(Change::Slower, 1, 100);
    assert!(share >= 0.95, "{share}");
}

/// How often the interval over 20 blocks of 8 generations contains the true time.
fn coverage(mut next: impl FnMut(&mut ChaCha8Rng) -> f64, truth: f64) -> f64 {
    let mut generator = ChaCha8Rng::seed_from_u64(11);
    let runs = 2_000;
    let covered = (0..runs).filter(|_| {
        let blocks: Vec<BlockTime> = (0..20)
            .map(|_| BlockTime {
                launch: 0,
                generations: 8.0,
                seconds: (0..8).map(|_| next(&mut generator)).sum(),
            })
            .collect();
        let interval = ratio(&blocks).unwrap().interval.unwrap();
        interval.low <= truth && truth <= interval.high
    });
    covered.count() as f64 / f64::from(runs)
}

#[test]
fn blocks_cover_the_truth_although_neighbouring_generations_correlate() {
    let mut state = 0.0;
    let covered = coverage(
        |generator| {
            state = 0.5 * state + (1.0_f64 - 0.25).sqrt() * normal(generator);
            1.0 + 0.02 * state
        },
        1.0,
    );
    assert!(covered >= 0.92, "{covered}");
}

#[test]
fn blocks_cover_the_truth_although_one_generation_in_ten_straggles() {
    let covered = coverage(
        |generator| {
            let straggles = generator.random::<f64>() < 0.1;
            let time = 1.0 + 0.01 * normal(generator);
            if straggles { 1.5 * time } else { time }
        },
        1.05,
    );
    assert!(covered >= 0.92, "{covered}");
}
