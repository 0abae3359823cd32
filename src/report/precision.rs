//! One row per variant, a precision with a type of the KV cache: what it saves beside what it loses.

mod sentences;

use std::num::NonZeroU32;

use super::document::Row;
use crate::metrics::energy::Phase;
use crate::metrics::facts::Facts;
use crate::metrics::latency::Latency;
use crate::metrics::quality::Quality;
use crate::metrics::stats::Estimate;
use crate::record::observation::EngineFacts;
use crate::record::scoring::{Pairing, Reference, Scoring, Text, Window};
use crate::study::quality::Budget;
use crate::study::variant::Variant;
use crate::study::workload::PointId;
use crate::units::{JoulesPerToken, TokensPerSecond, UsdPerMtok};

/// What variants of a model save and lose.
#[derive(Debug, Clone)]
pub struct Precisions {
    /// What they were judged against, once anything was.
    pub reference: Option<Reference>,
    /// On which text.
    pub text: Option<Text>,
    /// What loss is bearable.
    pub budget: Budget,
    /// The variant that speed-ups are over: the first of the reference's precision where one was
    /// measured, else the first that was.
    pub base: Option<Variant>,
    /// Batch sizes at which speed and price are shown: the smallest and the largest measured, at the
    /// study's first pair of lengths.
    pub batches: Vec<NonZeroU32>,
    /// In study order.
    pub rows: Vec<PrecisionRow>,
}

/// One variant.
#[derive(Debug, Clone)]
pub struct PrecisionRow {
    /// The variant.
    pub variant: Variant,
    /// How the model sits on the device.
    pub engine: Option<EngineFacts>,
    /// What it loses.
    pub quality: Option<Quality>,
    /// How it met the reference.
    pub pairing: Option<Pairing>,
    /// Why it was not judged, where it failed.
    pub reason: Option<String>,
    /// What it saves, per batch size; absent where it was not measured.
    pub speeds: Vec<Option<Speed>>,
}

/// Speed, price and energy of one variant at one batch size.
#[derive(Debug, Clone)]
pub struct Speed {
    /// Where.
    pub point: PointId,
    /// Prompt tokens per second.
    pub prefill: Estimate<f64>,
    /// Output tokens per second after the first.
    pub decode: Option<Estimate<f64>>,
    /// Decode rate ÷ that of the base.
    pub speedup: Option<f64>,
    /// Dollars per million tokens, input and output blended, at full load.
    pub price: Option<Estimate<f64>>,
    /// Joules per output token, from a block of decoding alone.
    pub energy: Option<f64>,
}

/// What decides between variants that are good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Dollars per million tokens at the largest batch size shown.
    Price,
    /// Bytes on the device, where no price is known of every variant.
    Bytes,
}

impl Precisions {
    /// The comparison of a study that asks for quality.
    pub fn new(facts: &Facts<'_>, rows: &[Row]) -> Option<Self> {
        let study = &facts.session.study;
        let asked = study.quality.as_ref()?;
        let newest = facts.scorings.values().next_back();
        let reference = newest.map(|(scoring, _)| scoring.reference.clone());
        let batches = batches(rows);
        let of = |variant| PrecisionRow::new(facts, rows, (variant, &batches));
        let mut precisions = Self {
            text: newest.map(|(scoring, _)| scoring.text.clone()),
            budget: asked.budget,
            base: None,
            rows: study.sweep.variants().into_iter().map(of).collect(),
            batches,
            reference,
        };
        precisions.compare_speeds();
        Some(precisions)
    }

    fn compare_speeds(&mut self) {
        let measured = |row: &&PrecisionRow| row.speeds.iter().flatten().next().is_some();
        let reference = self.reference.as_ref().map(|reference| reference.precision);
        let mut candidates = self.rows.iter().filter(measured);
        let own = candidates.find(|row| Some(row.variant.precision) == reference);
        let base = own.or_else(|| self.rows.iter().find(measured)).cloned();
        self.base = base.as_ref().map(|row| row.variant);
        let Some(base) = base else { return };
        for row in &mut self.rows {
            for (speed, base) in row.speeds.iter_mut().zip(&base.speeds) {
                let (Some(speed), Some(base)) = (speed, base) else {
                    continue;
                };
                let rates = speed.decode.zip(base.decode);
                speed.speedup = rates.map(|(own, base)| own.value / base.value);
            }
        }
    }

    /// What decides between variants that are good enough.
    pub fn cost(&self) -> Cost {
        let judged = self.rows.iter().filter(|row| row.quality.is_some());
        let mut priced = judged.map(|row| row.price().is_some());
        if priced.clone().next().is_some() && priced.all(|priced| priced) {
            Cost::Price
        } else {
            Cost::Bytes
        }
    }

    /// The cheapest variant that keeps the budget with the upper ends of its intervals.
    pub fn cheapest(&self) -> Option<&PrecisionRow> {
        let keeps = |row: &&PrecisionRow| {
            let quality = row.quality.as_ref();
            quality.is_some_and(|quality| keeps(self.budget, quality))
        };
        self.least(self.rows.iter().filter(keeps))
    }

    /// Whether a variant keeps the budget with the upper ends of its intervals; `None` where it was not
    /// judged. The only variant of its precision stands for every type of the cache.
    pub fn keeps_budget(&self, variant: Variant) -> Option<bool> {
        let own = self.rows.iter().find(|row| row.variant == variant);
        let row = own.or_else(|| {
            let mut alike = self
                .rows
                .iter()
                .filter(|row| row.variant.precision == variant.precision);
            alike.next().filter(|_| alike.next().is_none())
        })?;
        row.quality
            .as_ref()
            .map(|quality| keeps(self.budget, quality))
    }

    /// The cheapest of those whose mean divergence lies below that of `row`, interval below interval.
    pub fn next_better(&self, row: &PrecisionRow) -> Option<&PrecisionRow> {
        let own = row.quality.as_ref()?.kld_mean.low()?;
        let better = self.rows.iter().filter(|other| {
            let quality = other.quality.as_ref();
            let upper = quality.and_then(|quality| quality.kld_mean.high());
            upper.is_some_and(|upper| upper < own)
        });
        self.least(better)
    }

    /// The one of the least cost; of equals the one with the smallest cache.
    fn least<'a>(&self, rows: impl Iterator<Item = &'a PrecisionRow>) -> Option<&'a PrecisionRow> {
        let cost = self.cost();
        let costs = rows.filter_map(|row| Some((row, row.cost(cost)?)));
        let cache = |row: &PrecisionRow| row.engine.as_ref().map(|e| e.kv_bytes_per_token);
        let order = |a: &(&PrecisionRow, f64), b: &(&PrecisionRow, f64)| {
            a.1.total_cmp(&b.1)
                .then_with(|| cache(a.0).cmp(&cache(b.0)))
        };
        costs.min_by(order).map(|(row, _)| row)
    }
}

fn keeps(budget: Budget, quality: &Quality) -> bool {
    let within = |estimate: &Estimate<f64>, limit: Option<f64>| {
        let upper = estimate.high();
        limit.is_none_or(|limit| upper.is_some_and(|upper| upper <= limit))
    };
    within(&quality.kld_mean, budget.max_kld)
        && within(&quality.perplexity_ratio, budget.max_ppl_ratio)
}

/// The smallest and the largest batch size measured at the first pair of lengths.
fn batches(rows: &[Row]) -> Vec<NonZeroU32> {
    let lengths = rows.first().map(|row| (row.point.isl, row.point.osl));
    let measured = rows
        .iter()
        .filter(|row| row.measured.is_some() && Some((row.point.isl, row.point.osl)) == lengths);
    let mut batches: Vec<NonZeroU32> = measured.map(|row| row.point.batch).collect();
    batches.sort_unstable();
    batches.dedup();
    match batches.as_slice() {
        [first, .., last] => vec![*first, *last],
        one => one.to_vec(),
    }
}

impl PrecisionRow {
    fn new(facts: &Facts<'_>, rows: &[Row], (variant, batches): (Variant, &[NonZeroU32])) -> Self {
        let judged = judged(facts, variant);
        let load = facts
            .loads
            .values()
            .rev()
            .find(|load| load.variant() == variant);
        let of_load = load.map(|load| load.engine.clone());
        let failed = facts
            .unscored
            .iter()
            .rfind(|unscored| unscored.variant() == variant);
        let lengths = rows.first().map(|row| (row.point.isl, row.point.osl));
        let speed = |batch: &NonZeroU32| {
            let row = rows.iter().find(|row| {
                row.point.variant() == variant
                    && row.point.batch == *batch
                    && Some((row.point.isl, row.point.osl)) == lengths
            });
            row.and_then(Speed::new)
        };
        Self {
            variant,
            engine: of_load.or_else(|| judged.map(|(scoring, _)| scoring.engine.clone())),
            quality: judged
                .and_then(|(scoring, windows)| Quality::new(windows, scoring.text.overlapping())),
            pairing: judged.map(|(scoring, _)| scoring.pairing),
            reason: match judged {
                Some(_) => None,
                None => failed.map(|failed| failed.reason.clone()),
            },
            speeds: batches.iter().map(speed).collect(),
        }
    }

    /// Dollars per million tokens at the largest batch size shown.
    pub fn price(&self) -> Option<Estimate<f64>> {
        self.speeds.last()?.as_ref()?.price
    }

    /// What it costs.
    pub fn cost(&self, cost: Cost) -> Option<f64> {
        match cost {
            Cost::Price => self.price().map(|price| price.value),
            Cost::Bytes => self.engine.as_ref().map(|e| e.weight_bytes as f64),
        }
    }
}

/// The comparison of a variant with the most windows, the newest of equals.
fn judged<'f>(
    facts: &'f Facts<'_>,
    variant: Variant,
) -> Option<&'f (&'f Scoring, Vec<&'f Window>)> {
    let of = facts
        .scorings
        .values()
        .filter(|(scoring, windows)| scoring.variant() == variant && !windows.is_empty());
    of.max_by_key(|(_, windows)| windows.len())
}

impl Speed {
    fn new(row: &Row) -> Option<Self> {
        let measured = row.measured.as_ref()?;
        let rate = |e: Estimate<TokensPerSecond>| e.rising(TokensPerSecond::value);
        let price = measured.price.as_ref();
        let energy = measured.energy.as_ref();
        let energy = energy.and_then(|e| e.of_phase(Phase::Decode).as_ref().ok());
        Some(Self {
            point: row.point,
            prefill: rate(measured.latency.prefill()),
            decode: Latency::decode(&measured.latency).map(rate),
            speedup: None,
            price: price.map(|price| price.blended.rising(UsdPerMtok::value)),
            energy: energy
                .and_then(|e| e.gross().ok())
                .map(JoulesPerToken::value),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::model::Precision;

    fn quality(ratio: f64, kld: f64) -> Quality {
        let around = |value: f64| Estimate::exact(value).with_interval(value * 0.9, value * 1.1);
        Quality {
            windows: 9,
            predictions: 900,
            perplexity: Estimate::exact(10.0 * ratio),
            perplexity_error: None,
            perplexity_reference: Estimate::exact(10.0),
            perplexity_ratio: Estimate::exact(ratio),
            kld_mean: around(kld),
            kld_median: None,
            kld_p90: None,
            kld_p99: None,
            kld_p999: None,
            kld_max: kld,
            delta_p_mean: Estimate::exact(0.0),
            delta_p_rms: Estimate::exact(0.0),
            same_top: Estimate::exact(1.0),
        }
    }

    fn row(precision: Precision, kld: f64, price: Option<f64>) -> PrecisionRow {
        let batch = NonZeroU32::MIN;
        let point = PointId {
            precision,
            kv: None,
            batch,
            isl: batch,
            osl: batch,
        };
        let speed = price.map(|price| Speed {
            point,
            prefill: Estimate::exact(1.0),
            decode: None,
            speedup: None,
            price: Some(Estimate::exact(price)),
            energy: None,
        });
        PrecisionRow {
            variant: precision.into(),
            engine: None,
            quality: Some(quality(1.0 + kld, kld)),
            pairing: None,
            reason: None,
            speeds: vec![speed],
        }
    }

    fn table(max_kld: f64, rows: Vec<PrecisionRow>) -> Precisions {
        Precisions {
            reference: None,
            text: None,
            budget: Budget {
                max_kld: Some(max_kld),
                max_ppl_ratio: None,
            },
            base: None,
            batches: vec![NonZeroU32::MIN],
            rows,
        }
    }

    fn priced() -> Vec<PrecisionRow> {
        vec![
            row(Precision::Bf16, 0.001, Some(4.0)),
            row(Precision::Q8_0, 0.01, Some(2.5)),
            row(Precision::Q4K, 0.05, Some(2.0)),
            row(Precision::Q2K, 0.5, Some(1.0)),
        ]
    }

    #[test]
    fn the_cheapest_within_the_budget_is_named_with_the_next_better_one() {
        insta::assert_snapshot!(table(0.06, priced()).sentences().join("\n"), @r"
        The cheapest precision within a mean KLD of 0.06, by the upper ends of the intervals, is q4_k: 2.000 $/Mtok at batch 1, perplexity ratio 1.050, mean KLD 0.0500.
        The next better one is q8_0: 2.500 $/Mtok at batch 1 (+25.0 %), perplexity ratio 1.010, mean KLD 0.0100.
        ");
    }

    #[test]
    fn the_upper_end_of_the_interval_has_to_keep_the_budget() {
        // 0.05 with an interval up to 0.055.
        let named = |max_kld| {
            table(max_kld, priced())
                .cheapest()
                .map(|row| row.variant.precision)
        };
        assert_eq!(named(0.055_001), Some(Precision::Q4K));
        assert_eq!(named(0.054), Some(Precision::Q8_0));
        assert_eq!(named(0.000_1), None);
        let none = table(0.000_1, priced()).sentences();
        assert_eq!(
            none,
            ["No precision keeps a mean KLD of 0.0001 with the upper ends of its intervals."]
        );
    }

    #[test]
    fn what_was_not_judged_or_has_no_interval_is_not_passed_off_as_good() {
        let mut rows = priced();
        rows[2].quality = None;
        let sentences = table(0.06, rows.clone()).sentences();
        assert_eq!(sentences.last().unwrap(), "Not judged: q4_k.");
        for row in &mut rows {
            row.quality = None;
        }
        let none = table(0.06, rows).sentences();
        assert_eq!(none, ["No precision was judged."]);
        let mut rows = priced();
        for row in &mut rows {
            let quality = row.quality.as_mut().unwrap();
            quality.kld_mean.interval = None;
        }
        let single = table(0.06, rows).sentences();
        assert_eq!(
            single[1],
            "A single window has no interval; judge more of them."
        );
    }

    #[test]
    fn the_next_better_one_is_better_beyond_its_interval() {
        // Of 0.050 ± 10 % and 0.047 ± 10 % neither is shown to be better.
        let mut rows = priced();
        let close = row(Precision::Q5K, 0.047, Some(2.1));
        rows.insert(2, close);
        let table = table(0.06, rows);
        let cheapest = table.cheapest().unwrap();
        assert_eq!(cheapest.variant.precision, Precision::Q4K);
        let better = table.next_better(cheapest).unwrap();
        assert_eq!(better.variant.precision, Precision::Q8_0);
    }

    #[test]
    fn a_missing_price_makes_bytes_decide() {
        let mut rows = priced();
        rows[3].speeds = vec![None];
        assert_eq!(table(1.0, rows.clone()).cost(), Cost::Bytes);
        rows[3].quality = None;
        assert_eq!(table(1.0, rows).cost(), Cost::Price);
    }
}
