//! Quantiles of integers, shown only where enough observations lie beyond them.

/// Observations that must lie beyond a percentile before it is shown.
pub(crate) const BEYOND_PERCENTILE: f64 = 5.0;
/// Leading bits by which values are counted.
const LEADING_BITS: u32 = 11;
/// Values with different leading bits, of all magnitudes.
const BUCKETS: usize = (64 - LEADING_BITS as usize + 2) << (LEADING_BITS - 1);

/// The `q` quantile by linear interpolation between order statistics (type 7), or `None` unless at
/// least five observations lie beyond it: `n·(1 − q) ≥ 5`. Reorders `values`.
///
/// ```
/// use mtok::metrics::stats::percentile;
/// let mut values: Vec<u64> = (1..=10).collect();
/// assert_eq!(percentile(&mut values, 0.5), Some(5.5));
/// assert_eq!(percentile(&mut values, 0.9), None); // 10 · 0.1 = 1 observation beyond it
/// ```
pub fn percentile(values: &mut [u64], q: f64) -> Option<f64> {
    let n = values.len();
    if !supported(n, q) {
        return None;
    }
    let place = (n - 1) as f64 * q;
    let (index, fraction) = (place.floor() as usize, place.fract());
    let (_, low, above) = values.select_nth_unstable(index);
    let low = *low as f64;
    let high = above.iter().min().map_or(low, |high| *high as f64);
    Some(low + fraction * (high - low))
}

/// Whether `n` observations support the quantile.
fn supported(n: usize, q: f64) -> bool {
    // The product is compared with room for the rounding of 1 − q.
    (0.0..1.0).contains(&q) && n as f64 * (1.0 - q) + 1e-9 >= BEYOND_PERCENTILE
}

/// The same for several quantiles of values that are too many to be copied. They are walked over twice:
/// to count those with the same leading bits, and to keep those near a quantile.
pub(crate) fn percentiles<const N: usize>(
    values: impl Iterator<Item = u64> + Clone,
    quantiles: [f64; N],
) -> [Option<f64>; N] {
    let mut counts = vec![0_u64; BUCKETS];
    let mut largest = 0;
    // Walked from within: a chain of iterators is slow to step through.
    values.clone().for_each(|value| {
        counts[bucket(value)] += 1;
        largest = largest.max(value);
    });
    let n = counts.iter().sum::<u64>() as usize;
    let places = quantiles.map(|q| supported(n, q).then(|| (n.max(1) - 1) as f64 * q));
    let mut near = vec![false; BUCKETS];
    let mut before = Vec::with_capacity(BUCKETS);
    let mut sum = 0;
    for (count, near) in counts.iter().zip(&mut near) {
        before.push(sum);
        let ranks = sum..sum + count;
        sum = ranks.end;
        let ranks_of = |place: f64| [place.floor() as u64, place.floor() as u64 + 1];
        *near = places
            .iter()
            .flatten()
            .any(|place| ranks_of(*place).iter().any(|rank| ranks.contains(rank)));
    }
    let mut kept = Vec::new();
    let near = values.filter(|value| near[bucket(*value)]);
    near.for_each(|value| kept.push(value));
    kept.sort_unstable();
    let at = |rank: u64| {
        let bucket = before.partition_point(|before| *before <= rank) - 1;
        let first = kept.partition_point(|value| self::bucket(*value) < bucket);
        kept.get(first + (rank - before[bucket]) as usize)
            .map_or(largest as f64, |value| *value as f64)
    };
    places.map(|place| {
        let place = place?;
        let (low, high) = (at(place.floor() as u64), at(place.floor() as u64 + 1));
        Some(low + place.fract() * (high - low))
    })
}

/// The bucket of a value; larger values are in no lower bucket.
fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(LEADING_BITS);
    ((shift as usize) << (LEADING_BITS - 1)) + (value >> shift) as usize
}
