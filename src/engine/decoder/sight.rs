//! What new tokens see of the cache, in parts whose scores fit into memory.

use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor};

/// New tokens that attend together, and what they see.
#[derive(Debug)]
pub(super) struct Sight {
    /// Their positions.
    pub(super) queries: Range<usize>,
    /// Positions of the keys that at least one of them sees.
    pub(super) keys: Range<usize>,
    /// Zero where a query sees a key and −∞ elsewhere, `[queries, keys]`; `None` when all are seen.
    pub(super) mask: Option<Tensor>,
}

impl Sight {
    /// Divides the tokens at `queries` into parts of at most `most` pairs of a query and a key each, or of
    /// one token.
    pub(super) fn divide(
        queries: &Range<usize>,
        (window, most): (Option<usize>, usize),
        on: (DType, &Device),
    ) -> Result<Vec<Self>> {
        let step = (most / queries.end).max(1);
        let parts = queries.clone().step_by(step).map(|first| {
            let queries = first..(first + step).min(queries.end);
            let from = window.map_or(0, |window| (first + 1).saturating_sub(window));
            let keys = from..queries.end;
            Ok(Self {
                mask: mask((&queries, &keys), window, on)?,
                queries,
                keys,
            })
        });
        parts.collect()
    }
}

/// Computed on the device: that of a prompt of 8192 tokens has 64 million numbers.
fn mask(
    (queries, keys): (&Range<usize>, &Range<usize>),
    window: Option<usize>,
    (dtype, device): (DType, &Device),
) -> Result<Option<Tensor>> {
    if queries.len() == 1 {
        return Ok(None);
    }
    let positions =
        |range: &Range<usize>| Tensor::arange(range.start as u32, range.end as u32, device);
    let query = positions(queries)?.unsqueeze(1)?; // [queries, 1]
    let key = positions(keys)?.unsqueeze(0)?; // [1, keys]
    let mut seen = key.broadcast_le(&query)?; // [queries, keys]
    if let Some(window) = window {
        let last = positions(&(keys.start + window..keys.end + window))?.unsqueeze(0)?;
        seen = (seen * last.broadcast_gt(&query)?)?;
    }
    let number = |value: f32| {
        let number = Tensor::new(value, device)?.to_dtype(dtype)?;
        number.broadcast_as(seen.dims())
    };
    seen.where_cond(&number(0.0)?, &number(f32::NEG_INFINITY)?)
        .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: (DType, &Device) = (DType::F32, &Device::Cpu);

    fn divided(queries: &Range<usize>, window: Option<usize>, most: usize) -> Vec<Sight> {
        Sight::divide(queries, (window, most), CPU).unwrap()
    }

    /// Every pair of a query and a key, whether it is seen.
    fn pairs(sights: &[Sight]) -> Vec<(usize, usize, bool)> {
        let mut pairs = Vec::new();
        for sight in sights {
            let mask = sight
                .mask
                .as_ref()
                .map(|mask| mask.to_vec2::<f32>().unwrap());
            for (row, query) in sight.queries.clone().enumerate() {
                for (column, key) in sight.keys.clone().enumerate() {
                    let number = mask.as_ref().map_or(0.0, |mask| mask[row][column]);
                    assert!(number == 0.0 || number.is_infinite(), "{number}");
                    pairs.push((query, key, number == 0.0));
                }
            }
        }
        pairs
    }

    #[test]
    fn every_query_sees_the_keys_up_to_its_own_within_the_window() {
        for (queries, window) in [
            (0..9, None),
            (4..11, None),
            (0..9, Some(4)),
            (6..9, Some(3)),
        ] {
            for most in [1, 8, 20, 1000] {
                let sights = divided(&queries, window, most);
                let seen: Vec<_> = pairs(&sights).into_iter().filter(|pair| pair.2).collect();
                let sees = |q: usize, k: usize| k <= q && window.is_none_or(|w| q - k < w);
                let expected: Vec<_> = queries
                    .clone()
                    .flat_map(|q| (0..=q).map(move |k| (q, k)))
                    .filter(|&(q, k)| sees(q, k))
                    .map(|(q, k)| (q, k, true))
                    .collect();
                assert_eq!(seen, expected, "{queries:?} {window:?} {most}");
            }
        }
    }

    #[test]
    fn a_part_has_no_more_pairs_than_are_allowed_or_one_token() {
        let sights = divided(&(0..100), None, 1000);
        assert_eq!(sights.len(), 10);
        assert!(
            sights
                .iter()
                .all(|s| s.queries.len() * s.keys.len() <= 1000)
        );
        assert_eq!(sights[0].keys, 0..10, "the first ones see little");
        assert_eq!(divided(&(0..100), None, 10).len(), 100);
    }

    #[test]
    fn a_token_alone_sees_all_that_it_is_given() {
        let sights = divided(&(7..8), Some(3), 1000);
        assert_eq!((sights.len(), sights[0].keys.clone()), (1, 5..8));
        assert!(sights[0].mask.is_none());
    }
}
