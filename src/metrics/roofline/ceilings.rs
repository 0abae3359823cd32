//! The limits of a device, measured on it and quoted by its maker.

use std::collections::BTreeMap;

use crate::metrics::facts::Facts;
use crate::record::machine::{Limit, Peak};
use crate::study::model::Precision;
use crate::units::{Bytes, BytesPerSecond, FlopPerSecond};

/// What the maker says the device can do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DataSheet {
    /// Name of the card.
    pub card: String,
    /// Memory bandwidth.
    pub bandwidth: Option<BytesPerSecond>,
    /// Dense matmul rate by element type.
    pub matmul: BTreeMap<Precision, FlopPerSecond>,
}

/// The limits of a device.
#[derive(Debug, Clone, Copy)]
pub struct Ceilings<'a> {
    /// As measured on it.
    pub peaks: &'a [&'a Peak],
    /// As its maker says.
    pub sheet: Option<&'a DataSheet>,
    /// Size of its last-level cache.
    pub last_level_cache: Option<Bytes>,
}

impl<'a> Ceilings<'a> {
    /// The limits that a record and a data sheet tell.
    pub fn new(facts: &'a Facts<'_>, sheet: Option<&'a DataSheet>) -> Self {
        let cache = facts.device.and_then(|d| d.last_level_cache_bytes);
        Self {
            peaks: &facts.peaks,
            sheet,
            last_level_cache: cache.map(|bytes| Bytes::new(bytes as f64)),
        }
    }

    /// Read bandwidth over a buffer of this size; `None` for one below all that were measured, which is read
    /// from a faster cache.
    pub fn read(&self, size: Bytes) -> Option<BytesPerSecond> {
        self.bandwidth(size, |limit| match limit {
            Limit::Read { buffer_bytes } => Some(buffer_bytes),
            Limit::Copy { .. } | Limit::Matmul { .. } => None,
        })
    }

    /// Whether any read bandwidth was measured.
    pub fn have_read(&self) -> bool {
        let mut limits = self.peaks.iter().map(|peak| peak.of);
        limits.any(|limit| matches!(limit, Limit::Read { .. }))
    }

    /// Copy bandwidth over a buffer of this size, reads and writes both counted.
    pub fn copy(&self, size: Bytes) -> Option<BytesPerSecond> {
        self.bandwidth(size, |limit| match limit {
            Limit::Copy { buffer_bytes } => Some(buffer_bytes),
            Limit::Read { .. } | Limit::Matmul { .. } => None,
        })
    }

    /// Matmul rate of an element type, the best over all sizes.
    pub fn matmul(&self, dtype: Precision) -> Option<FlopPerSecond> {
        let of_dtype = self.peaks.iter().filter(
            |peak| matches!(peak.of, Limit::Matmul { dtype: measured, .. } if measured == dtype),
        );
        of_dtype
            .filter_map(|peak| peak.best_rate())
            .reduce(f64::max)
            .map(FlopPerSecond::new)
    }

    fn bandwidth(
        &self,
        size: Bytes,
        buffer: impl Fn(Limit) -> Option<u64>,
    ) -> Option<BytesPerSecond> {
        let mut by_size: BTreeMap<u64, f64> = BTreeMap::new();
        for peak in self.peaks {
            if let (Some(bytes), Some(rate)) = (buffer(peak.of), peak.best_rate()) {
                let entry = by_size.entry(bytes).or_insert(rate);
                *entry = entry.max(rate);
            }
        }
        let below = by_size.iter().rfind(|(b, _)| **b as f64 <= size.value());
        let above = by_size.iter().find(|(b, _)| **b as f64 > size.value());
        let rate = match (below, above) {
            (Some((&low, &slow)), Some((&high, &fast))) => {
                let span = (high as f64 / low as f64).ln();
                slow + (fast - slow) * (size.value() / low as f64).ln() / span
            }
            (Some((_, rate)), None) => *rate,
            // A smaller working set may lie in a faster cache than any that was measured.
            (None, Some(_) | None) => return None,
        };
        Some(BytesPerSecond::new(rate))
    }
}
