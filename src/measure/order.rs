//! In which order things are done, and with which seeds.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::engine::Capacity;
use crate::record::observation::Purpose;
use crate::study::workload::PointId;

/// What a number is drawn for, so that no two uses share their draws.
#[derive(Debug, Clone, Copy)]
enum Use {
    Order,
    Warmup,
    Check,
    Measure,
    Drift,
    Energy,
}

/// Points by size: by what they occupy in the cache, then by their batch and their prompts.
pub(super) fn ascending(points: &[PointId]) -> Vec<PointId> {
    let mut points = points.to_vec();
    points.sort_by_key(|point| (point.kv_tokens(), point.batch, point.isl));
    points
}

/// Whether whatever ran out of memory at `smaller` runs out of it at `point`.
pub(super) fn dominates(point: PointId, smaller: PointId) -> bool {
    point != smaller
        && point.variant() == smaller.variant()
        && point.batch >= smaller.batch
        && point.isl >= smaller.isl
        && point.context() >= smaller.context()
}

/// Room for one point.
pub(super) fn capacity(point: PointId) -> Capacity {
    Capacity {
        batch: point.batch.get(),
        context: u32::try_from(point.context()).unwrap_or(u32::MAX),
    }
}

/// Room for the largest of the points that has room for `point` too, so that a study with all
/// combinations of its axes reserves once.
pub(super) fn shared_capacity(point: PointId, points: &[PointId]) -> Capacity {
    let room = |other: &&PointId| other.batch >= point.batch && other.context() >= point.context();
    let largest = points.iter().filter(room).max_by_key(|p| p.kv_tokens());
    capacity(largest.copied().unwrap_or(point))
}

/// The points of one round in an order of their own.
pub(super) fn shuffled(mut points: Vec<PointId>, seed: u64, load: u32, round: u32) -> Vec<PointId> {
    let draw = mix(seed, Use::Order, &[load, round]);
    points.shuffle(&mut ChaCha8Rng::seed_from_u64(draw));
    points
}

/// Seed of the prompts of a block. It does not depend on the variant, so that variants are
/// compared on the same prompts.
pub(super) fn block_seed(seed: u64, point: PointId, purpose: Purpose, number: u32) -> u64 {
    let purpose = match purpose {
        Purpose::Measure => Use::Measure,
        Purpose::Drift => Use::Drift,
        Purpose::Energy => Use::Energy,
    };
    mix(seed, purpose, &of_point(point, number))
}

/// Seed of the prompts of a warm-up.
pub(super) fn warmup_seed(seed: u64, point: PointId, number: u32) -> u64 {
    mix(seed, Use::Warmup, &of_point(point, number))
}

/// Seed of the prompts of the check of logits.
pub(super) fn check_seed(seed: u64) -> u64 {
    mix(seed, Use::Check, &[])
}

fn of_point(point: PointId, number: u32) -> [u32; 4] {
    [point.batch.get(), point.isl.get(), point.osl.get(), number]
}

/// One number from many: rounds of SplitMix64's finalizer.
fn mix(seed: u64, purpose: Use, parts: &[u32]) -> u64 {
    let parts = parts.iter().map(|part| u64::from(*part));
    std::iter::once(purpose as u64)
        .chain(parts)
        .fold(seed, |state, part| {
            let mut z = state
                .wrapping_add(0x9e37_79b9_7f4a_7c15)
                .wrapping_add(part.wrapping_mul(0xd134_2543_de82_ef95));
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::study::model::Precision;

    fn point(batch: u32, isl: u32, osl: u32) -> PointId {
        let count = |n| NonZeroU32::new(n).unwrap();
        PointId {
            precision: Precision::F32,
            kv: None,
            batch: count(batch),
            isl: count(isl),
            osl: count(osl),
        }
    }

    #[test]
    fn a_full_sweep_reserves_for_its_largest_point() {
        let points = [
            point(1, 8, 2),
            point(4, 8, 2),
            point(1, 64, 2),
            point(4, 64, 2),
        ];
        for small in points {
            let capacity = shared_capacity(small, &points);
            assert_eq!((capacity.batch, capacity.context), (4, 66));
        }
    }

    #[test]
    fn a_long_point_does_not_inflate_the_wide_one() {
        // 4 × 66 tokens were too many and are gone.
        let points = [point(1, 8, 2), point(4, 8, 2), point(1, 64, 2)];
        let of = |p| shared_capacity(p, &points);
        assert_eq!((of(points[1]).batch, of(points[1]).context), (4, 10));
        assert_eq!((of(points[2]).batch, of(points[2]).context), (1, 66));
        assert_eq!((of(points[0]).batch, of(points[0]).context), (1, 66));
    }

    #[test]
    fn only_points_that_are_larger_in_every_respect_are_dominated() {
        let failed = point(4, 64, 2);
        assert!(dominates(point(8, 64, 2), failed));
        assert!(dominates(point(4, 64, 8), failed));
        assert!(!dominates(point(8, 32, 2), failed));
        assert!(!dominates(failed, failed));
    }

    #[test]
    fn size_is_what_the_cache_holds() {
        let points = [point(8, 8, 8), point(1, 64, 2), point(2, 8, 8)];
        assert_eq!(ascending(&points), [points[2], points[1], points[0]]);
    }

    #[test]
    fn rounds_have_orders_of_their_own_that_repeat() {
        let points: Vec<PointId> = (1..=8).map(|n| point(n, 8, 2)).collect();
        let round = |seed, n| shuffled(points.clone(), seed, 0, n);
        assert_eq!(round(1, 0), round(1, 0));
        assert_ne!(round(1, 0), round(1, 1));
        assert_ne!(round(1, 0), round(2, 0));
    }

    #[test]
    fn no_two_blocks_share_their_prompts() {
        let mut seeds = std::collections::HashSet::new();
        for number in 0..10 {
            for point in [point(1, 8, 2), point(2, 8, 2), point(8, 1, 2)] {
                for purpose in [Purpose::Measure, Purpose::Drift, Purpose::Energy] {
                    assert!(seeds.insert(block_seed(1, point, purpose, number)));
                }
                assert!(seeds.insert(warmup_seed(1, point, number)));
            }
        }
    }
}
