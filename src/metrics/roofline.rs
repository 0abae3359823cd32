//! How close a point came to the limits of its device, measured and quoted.
//!
//! MBU (memory bandwidth utilization) is what decode reads per second ÷ what the device can read; MFU
//! (model FLOP utilization) is the arithmetic of prefill per second ÷ what the device can multiply.
//!
//! ```text
//! bytes per step = weight bytes read + B · KV bytes per token · (ISL + OSL/2)
//! MBU            = bytes per step / TPOT / read bandwidth over a buffer of that size
//! prefill FLOP   = B · (ISL · (f − h) + h + a · ISL·(ISL + 1)/2)
//! MFU            = prefill FLOP / TTFT / matmul rate of the denominator's dtype
//! floor          = max(prefill FLOP / matmul, weight bytes / read)
//!                  + (OSL − 1) · max(bytes per step / read, decode FLOP / matmul)
//! ```
//! f is the engine's FLOP per token, h the share of the output projection (`2·vocab·hidden`, needed for
//! the last position only), a its attention FLOP per token and token of context. A limit is the best of
//! its repetitions (as in STREAM); bandwidth between two buffer sizes is interpolated over the logarithm
//! of the size and stays that of the largest beyond it. Below the smallest there is none, no MBU, and a floor
//! of arithmetic alone. A point with an MFU above 1 has no floor: the rate is no limit of it. (Williams et al., *Roofline*, CACM 2009; MFU as in Chowdhery et al., *PaLM*, 2022.)
//!
//! ```
//! // 16 GB of weights and 16 · 131072 B · 576 of KV in 10 ms on 3.35 TB/s: 51 % of it.
//! let bytes = 16e9 + 16.0 * 131_072.0 * (512.0 + 128.0 / 2.0);
//! assert!((bytes / 0.010 / 3.35e12 - 0.513_67_f64).abs() < 1e-5);
//! ```

mod ceilings;

pub use ceilings::{Ceilings, DataSheet};

use super::facts::Facts;
use super::latency::Latency;
use super::stats::Estimate;
use crate::record::machine::DeviceKind;
use crate::record::observation::{EngineFacts, Load};
use crate::study::model::Precision;
use crate::study::workload::PointId;
use crate::units::{Bytes, BytesPerSecond, Flop, FlopPerSecond, Seconds};

/// A working set below this many last-level caches may be served from the cache.
const CACHES_FOR_MEMORY: f64 = 4.0;
/// How far a measured limit may be exceeded before the result is impossible: the limit is itself a
/// measurement.
const MEASURED_LIMIT_MARGIN: f64 = 1.10;

/// The work of one point, from what the engine says of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Weights that every forward pass reads.
    pub weights: Bytes,
    /// Bytes that one decode step reads at mid-decode.
    pub step: Bytes,
    /// Arithmetic of the prefill.
    pub prefill: Flop,
    /// Arithmetic of one decode step at mid-decode.
    pub decode: Flop,
}

impl Work {
    /// The work of `point` on a loaded model whose output projection takes `head` per token.
    ///
    /// ```
    /// # use mtok::metrics::roofline::Work;
    /// # use mtok::record::observation::EngineFacts;
    /// # use mtok::study::model::Precision;
    /// # use mtok::study::workload::PointId;
    /// # use mtok::units::{Flop, FlopPerSecond, Seconds};
    /// # let count = |n| std::num::NonZeroU32::new(n).unwrap();
    /// # let point = |batch, isl, osl| PointId {
    /// #     precision: Precision::Bf16,
    /// #     kv: None,
    /// #     batch: count(batch),
    /// #     isl: count(isl),
    /// #     osl: count(osl),
    /// # };
    /// # let engine = |flop_per_token, weight_bytes_per_step, kv_bytes_per_token| EngineFacts {
    /// #     weight_type: "bf16".to_owned(),
    /// #     bits_per_weight: 16.0,
    /// #     activation_dtype: "bf16".to_owned(),
    /// #     kv_dtype: "bf16".to_owned(),
    /// #     weight_bytes: weight_bytes_per_step,
    /// #     weight_bytes_per_step,
    /// #     kv_bytes_per_token,
    /// #     kv_allocated_bytes: 0,
    /// #     flop_per_token,
    /// #     flop_per_token_and_context: 0,
    /// #     resident_bytes: None,
    /// #     peak_resident_bytes: None,
    /// # };
    /// // 1 G parameters in 2 GB: 2 GFLOP per token, and 1 MB of KV.
    /// let engine = engine(2_000_000_000, 2_000_000_000, 1_000_000);
    /// let work = Work::new(&engine, point(4, 500, 200), Flop::new(0.0));
    /// // A step reads the weights once, and 4 · 600 tokens of KV: 2 GB + 2.4 GB.
    /// assert_eq!(work.step.value(), 4.4e9);
    /// // 4 · 500 prompt tokens are 4 TFLOP; in 20 ms they are 200 TFLOP/s, half of 400: an MFU of 50 %.
    /// let rate = work.prefill / Seconds::new(0.020);
    /// assert_eq!(rate / FlopPerSecond::new(400e12), 0.5);
    /// ```
    pub fn new(engine: &EngineFacts, point: PointId, head: Flop) -> Self {
        let batch = f64::from(point.batch.get());
        let (isl, osl) = (f64::from(point.isl.get()), f64::from(point.osl.get()));
        let (per_token, attention) = (
            engine.flop_per_token as f64,
            engine.flop_per_token_and_context as f64,
        );
        let middle = isl + osl / 2.0;
        let head = head.value().min(per_token);
        let weights = engine.weight_bytes_per_step as f64;
        let prefill = isl * (per_token - head) + head + attention * isl * (isl + 1.0) / 2.0;
        Self {
            weights: Bytes::new(weights),
            step: Bytes::new(weights + batch * engine.kv_bytes_per_token as f64 * middle),
            prefill: Flop::new(batch * prefill),
            decode: Flop::new(batch * (per_token + attention * middle)),
        }
    }
}

/// A point beside the limits of its device.
#[derive(Debug, Clone, PartialEq)]
pub struct Roofline {
    /// The work of the point.
    pub work: Work,
    /// Read bandwidth over a buffer as large as what one step reads.
    pub read: Option<BytesPerSecond>,
    /// Copy bandwidth over a buffer of that size.
    pub copy: Option<BytesPerSecond>,
    /// Element type whose matmul rate MFU is measured against.
    pub mfu_dtype: Precision,
    /// Memory bandwidth utilization of decode; 1 is the measured limit.
    pub mbu: Option<Estimate<f64>>,
    /// The same against the data sheet.
    pub mbu_of_sheet: Option<Estimate<f64>>,
    /// FLOP utilization of prefill; 1 is the measured limit. Quantized weights may exceed it.
    pub mfu: Option<Estimate<f64>>,
    /// The same against the data sheet.
    pub mfu_of_sheet: Option<Estimate<f64>>,
    /// Whether what a step reads is below four times the last-level cache; `None` where its size is
    /// not known.
    pub in_cache: Option<bool>,
    /// A limit that the result exceeds beyond doubt.
    pub impossible: Option<Exceeded>,
    /// The time of the same point at 100 % of the measured limits; `None` where its MFU exceeds 1.
    pub floor: Option<Floor>,
}

/// A limit that a result exceeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exceeded {
    /// Which.
    pub limit: Ceiling,
    /// Lower end of the result's interval ÷ the limit.
    pub ratio: f64,
}

/// The kinds of limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ceiling {
    /// Reading memory.
    Bandwidth,
    /// Multiplying matrices.
    Matmul,
}

/// The shortest time of a point at the measured limits.
///
/// ```
/// use mtok::metrics::roofline::{Ceilings, Floor, Work};
/// use mtok::record::machine::{Limit, Peak};
/// use mtok::units::{Bytes, Flop, FlopPerSecond, Nanos, Tokens, UsdPerHour};
/// let work = Work {
///     weights: Bytes::new(1e9),
///     step: Bytes::new(2e9),
///     prefill: Flop::new(1e12),
///     decode: Flop::new(1e11),
/// };
/// // 1 GB in 1 ms: it reads 1 TB/s, and multiplies at 100 TFLOP/s.
/// let read = Peak {
///     of: Limit::Read { buffer_bytes: 1_000_000_000 },
///     work: 1_000_000_000,
///     times_ns: vec![Nanos::new(1_000_000)],
/// };
/// let ceilings = Ceilings { peaks: &[&read], sheet: None, last_level_cache: None };
/// let floor = Floor::new(&work, &ceilings, FlopPerSecond::new(100e12), 11).unwrap();
/// // Prefill: 10 ms of arithmetic beat 1 ms of reading. Each of ten steps: 2 ms of reading beat 1 ms.
/// assert!((floor.whole.value() - 0.030).abs() < 1e-12);
/// // At 3.60 USD per hour they cost 0.003 cents; over 1000 tokens that is 0.03 USD per Mtok.
/// let price = UsdPerHour::new(3.6) * floor.whole.hours() / Tokens::new(1000.0);
/// assert!((price.value() - 0.03).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Floor {
    /// Of the prefill.
    pub prefill: Seconds,
    /// Of one decode step.
    pub step: Seconds,
    /// Of the whole generation.
    pub whole: Seconds,
}

impl Floor {
    /// The floor of `work` with so many output tokens per sequence; `None` where no bandwidth was measured.
    /// Where a cache serves what is read, arithmetic alone is the floor, which holds whatever its speed.
    pub fn new(
        work: &Work,
        ceilings: &Ceilings<'_>,
        matmul: FlopPerSecond,
        osl: u32,
    ) -> Option<Self> {
        if !ceilings.have_read() {
            return None;
        }
        let slower = |flop: Flop, bytes: Bytes| {
            let arithmetic = flop / matmul;
            let read = ceilings.read(bytes);
            read.map_or(arithmetic, |rate| arithmetic.max(bytes / rate))
        };
        let prefill = slower(work.prefill, work.weights);
        let step = slower(work.decode, work.step);
        let steps = f64::from(osl) - 1.0;
        Some(Self {
            prefill,
            step,
            whole: prefill + step * steps,
        })
    }
}

impl Roofline {
    /// Places a measured point beside the limits; `None` where its load is not on record.
    pub fn of(facts: &Facts<'_>, latency: &Latency, ceilings: &Ceilings<'_>) -> Option<Self> {
        let load = facts.load_of(latency.point)?;
        let shape = &facts.session.model.shape;
        let head = 2.0 * f64::from(shape.vocab) * f64::from(shape.hidden);
        let work = Work::new(&load.engine, latency.point, Flop::new(head));
        let quantized = is_quantized(load);
        let dtype = denominator(load, facts.device.map(|d| d.kind));
        let (read, matmul) = (ceilings.read(work.step), ceilings.matmul(dtype));
        let reading = latency
            .tpot
            .map(|tpot| tpot.falling(|time| work.step / time));
        let arithmetic = latency.ttft.falling(|time| work.prefill / time);
        let sheet = ceilings.sheet;
        let sheet_read = sheet.and_then(|s| s.bandwidth);
        let sheet_matmul = sheet.and_then(|s| s.matmul.get(&dtype).copied());
        let in_cache = ceilings
            .last_level_cache
            .map(|cache| work.step.value() < CACHES_FOR_MEMORY * cache.value());
        let against = |limit: Option<BytesPerSecond>| share(reading, limit, |a, b| a / b);
        let against_matmul =
            |limit: Option<FlopPerSecond>| share(Some(arithmetic), limit, |a, b| a / b);
        let (mbu, mbu_of_sheet) = (against(read), against(sheet_read));
        let (mfu, mfu_of_sheet) = (against_matmul(matmul), against_matmul(sheet_matmul));
        // What a cache serves comes faster than the memory reads, on the data sheet and as measured: buffers
        // are of few sizes, and one that is larger than the cache says nothing about what fits it.
        let bandwidth = match in_cache {
            Some(true) => None,
            Some(false) | None => exceeded(Ceiling::Bandwidth, mbu_of_sheet, mbu),
        };
        let impossible = bandwidth.or_else(|| {
            let dense = !quantized;
            dense.then(|| exceeded(Ceiling::Matmul, mfu_of_sheet, mfu))?
        });
        // A rate that the point itself exceeds is no limit of it: integer instructions multiply quantized
        // weights faster than the processor multiplies floating point.
        let bounds = mfu.is_none_or(|mfu| mfu.value <= 1.0);
        Some(Self {
            floor: matmul
                .filter(|_| bounds)
                .and_then(|rate| Floor::new(&work, ceilings, rate, latency.point.osl.get())),
            copy: ceilings.copy(work.step),
            mfu_dtype: dtype,
            read,
            mbu,
            mbu_of_sheet,
            mfu,
            mfu_of_sheet,
            in_cache,
            impossible,
            work,
        })
    }
}

/// An achieved rate as a share of a limit.
fn share<Q: Copy>(
    achieved: Option<Estimate<Q>>,
    limit: Option<Q>,
    divide: impl Fn(Q, Q) -> f64,
) -> Option<Estimate<f64>> {
    let limit = limit?;
    Some(achieved?.rising(|rate| divide(rate, limit)))
}

/// The limit that the whole interval exceeds: the data sheet's, or the measured one with its margin
/// where there is no sheet.
fn exceeded(
    limit: Ceiling,
    of_sheet: Option<Estimate<f64>>,
    of_measured: Option<Estimate<f64>>,
) -> Option<Exceeded> {
    let (low, allowed) = match (of_sheet, of_measured) {
        (Some(sheet), _) => (sheet.low()?, 1.0),
        (None, Some(measured)) => (measured.low()?, MEASURED_LIMIT_MARGIN),
        (None, None) => return None,
    };
    (low > allowed).then_some(Exceeded { limit, ratio: low })
}

/// Whether the weights are in quantized blocks; a type that this program has no word for is.
fn is_quantized(load: &Load) -> bool {
    let weight_type = load.engine.weight_type.to_lowercase();
    weight_type
        .parse()
        .map_or(true, |precision: Precision| !precision.is_dense())
}

/// The element type against which MFU is measured: the activations', except that quantized weights on
/// a GPU are measured against bf16, the rate that they compete with.
fn denominator(load: &Load, device: Option<DeviceKind>) -> Precision {
    match device {
        Some(DeviceKind::Cuda) if is_quantized(load) => Precision::Bf16,
        Some(DeviceKind::Cuda | DeviceKind::Cpu | DeviceKind::Sim) | None => load
            .engine
            .activation_dtype
            .to_lowercase()
            .parse()
            .unwrap_or(Precision::F32),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::metrics::fixture::{Script, generation, point};
    use crate::record::machine::Limit;

    /// 1 GB of weights and 1 kB · 105 of KV per step in 0.1 s; reads at 20 GB/s.
    fn script() -> Script {
        let point = point(1, 100, 11);
        let mut script = Script::new(&[point]);
        let read = |bytes| Limit::Read {
            buffer_bytes: bytes,
        };
        script.peak(read(100_000_000), 100_000_000, &[1_000_000, 900_000_000]);
        script.peak(
            read(1_000_000_000),
            1_000_000_000,
            &[60_000_000, 50_000_000],
        );
        let matmul = Limit::Matmul {
            dtype: Precision::F32,
            size: 1024,
        };
        script.peak(matmul, 1_000_000_000, &[1_000_000]);
        for _ in 0..3 {
            script.block(point, vec![generation(500_000_000, &[100_000_000; 10])]);
        }
        script
    }

    fn roofline(script: &Script, sheet: Option<&DataSheet>) -> Roofline {
        let facts = script.facts();
        let latency = Latency::of(&facts, point(1, 100, 11)).unwrap();
        Roofline::of(&facts, &latency, &Ceilings::new(&facts, sheet)).unwrap()
    }

    #[track_caller]
    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9 * b.abs().max(1e-9), "{a} is not {b}");
    }

    #[test]
    fn mbu_is_bytes_per_step_over_time_over_read_bandwidth() {
        let roofline = roofline(&script(), None);
        close(roofline.work.step.value(), 1e9 + 105.5 * 1e3);
        close(roofline.read.unwrap().value(), 2e10);
        let mbu = roofline.mbu.unwrap();
        close(mbu.value, (1e9 + 105_500.0) / 0.1 / 2e10);
        assert_eq!(roofline.in_cache, Some(false));
        assert_eq!(roofline.impossible, None);
    }

    #[test]
    fn mfu_counts_the_output_projection_once_per_sequence() {
        let roofline = roofline(&script(), None);
        // f = 2e9, h = 2·256·64, a = 1000, ISL = 100.
        let head = 32_768.0;
        let flop = 100.0 * (2e9 - head) + head + 1e3 * 5_050.0;
        close(roofline.work.prefill.value(), flop);
        close(roofline.mfu.unwrap().value, flop / 0.5 / 1e12);
        assert_eq!(roofline.mfu_dtype, Precision::F32);
    }

    #[test]
    fn a_point_that_exceeds_the_matmul_rate_has_no_floor() {
        let with_rate = |gigaflops: u64| {
            let mut script = Script::new(&[point(1, 100, 11)]);
            let read = Limit::Read {
                buffer_bytes: 1_000_000_000,
            };
            script.peak(read, 1_000_000_000, &[50_000_000]);
            let matmul = Limit::Matmul {
                dtype: Precision::F32,
                size: 1024,
            };
            script.peak(matmul, gigaflops, &[1]);
            script.block(
                point(1, 100, 11),
                vec![generation(500_000_000, &[100_000_000; 10])],
            );
            let roofline = roofline(&script, None);
            (roofline.mfu.unwrap().value, roofline.floor)
        };
        // 200 GFLOP in half a second.
        let (mfu, floor) = with_rate(401);
        assert!(mfu < 1.0 && floor.is_some(), "{mfu} {floor:?}");
        let (mfu, floor) = with_rate(399);
        assert!(mfu > 1.0 && floor.is_none(), "{mfu} {floor:?}");
    }

    #[test]
    fn quantized_weights_on_a_card_are_measured_against_bf16() {
        let mut script = script();
        script.device_mut().kind = DeviceKind::Cuda;
        let roofline = roofline(&script, None);
        assert_eq!(roofline.mfu_dtype, Precision::Bf16);
        assert_eq!(roofline.mfu, None, "no bf16 rate was measured");
        assert_eq!(roofline.floor, None);
    }

    #[test]
    fn bandwidth_is_interpolated_over_the_logarithm_of_the_size() {
        let script = script();
        let facts = script.facts();
        let ceilings = Ceilings::new(&facts, None);
        // 100 GB/s at 1e8, 20 GB/s at 1e9; halfway in the logarithm 60 GB/s.
        let middle = Bytes::new(1e17_f64.sqrt());
        assert!((ceilings.read(middle).unwrap().value() - 6e10).abs() < 1.0);
        close(ceilings.read(Bytes::new(1e8)).unwrap().value(), 1e11);
        close(ceilings.read(Bytes::new(1e12)).unwrap().value(), 2e10);
        assert_eq!(ceilings.copy(Bytes::new(1e9)), None);
    }

    #[test]
    fn a_result_above_the_sheet_is_impossible_even_when_the_measured_limit_allows_it() {
        let sheet = |bandwidth| DataSheet {
            card: "card".to_owned(),
            bandwidth: Some(BytesPerSecond::new(bandwidth)),
            matmul: BTreeMap::new(),
        };
        // The point reads at 10.001 GB/s.
        let above = roofline(&script(), Some(&sheet(1e10))).impossible.unwrap();
        assert_eq!(above.limit, Ceiling::Bandwidth);
        assert!(above.ratio > 1.0);
        assert_eq!(roofline(&script(), Some(&sheet(2e10))).impossible, None);
    }

    #[test]
    fn without_a_sheet_ten_percent_above_the_measured_limit_is_impossible() {
        let mut script = script();
        let faster = point(1, 100, 11);
        script.records.truncate(script.records.len() - 3);
        for _ in 0..3 {
            script.block(faster, vec![generation(500_000_000, &[45_000_000; 10])]);
        }
        // 22.2 GB/s against 20 GB/s: 1.11.
        let exceeded = roofline(&script, None).impossible.unwrap();
        assert!((exceeded.ratio - 1.111_2).abs() < 1e-3);
        script.records.truncate(script.records.len() - 3);
        for _ in 0..3 {
            script.block(faster, vec![generation(500_000_000, &[46_000_000; 10])]);
        }
        assert_eq!(roofline(&script, None).impossible, None);
    }

    #[test]
    fn a_small_working_set_is_in_cache_and_not_held_against_the_memory_sheet() {
        let mut script = script();
        script.device_mut().last_level_cache_bytes = Some(300_000_000);
        let sheet = DataSheet {
            card: "card".to_owned(),
            bandwidth: Some(BytesPerSecond::new(1e9)),
            matmul: BTreeMap::new(),
        };
        let roofline = roofline(&script, Some(&sheet));
        assert_eq!(roofline.in_cache, Some(true));
        assert_eq!(roofline.impossible, None);
    }

    #[test]
    fn a_working_set_in_cache_is_not_held_against_the_measured_bandwidth_either() {
        let mut script = script();
        let faster = point(1, 100, 11);
        script.records.truncate(script.records.len() - 3);
        for _ in 0..3 {
            script.block(faster, vec![generation(500_000_000, &[40_000_000; 10])]);
        }
        // 25 GB/s against 20 GB/s: 1.25, which no memory of this machine does.
        let read = roofline(&script, None).impossible.unwrap();
        assert_eq!(read.limit, Ceiling::Bandwidth);
        assert!((read.ratio - 1.25).abs() < 1e-3);
        // A step reads 1.0001 GB; four caches of 300 MB hold 1.2 GB, four of 250 MB do not.
        script.device_mut().last_level_cache_bytes = Some(250_000_000);
        assert!(roofline(&script, None).impossible.is_some());
        script.device_mut().last_level_cache_bytes = Some(300_000_000);
        let served = roofline(&script, None);
        assert_eq!(served.in_cache, Some(true));
        assert_eq!(served.impossible, None);
        assert!((served.mbu.unwrap().value - 1.25).abs() < 1e-3);
    }

    #[test]
    fn a_working_set_in_cache_is_still_held_against_the_matmul_rate() {
        let mut script = script();
        script.device_mut().last_level_cache_bytes = Some(300_000_000);
        for record in &mut script.records {
            if let crate::record::observation::Record::Load(load) = record {
                load.engine.weight_type = "f32".to_owned();
            }
        }
        let faster = point(1, 100, 11);
        script.records.truncate(script.records.len() - 3);
        for _ in 0..3 {
            script.block(faster, vec![generation(100_000_000, &[40_000_000; 10])]);
        }
        // 200 GFLOP in 0.1 s against 1 TFLOP/s: 2.
        let exceeded = roofline(&script, None).impossible.unwrap();
        assert_eq!(exceeded.limit, Ceiling::Matmul);
        assert!((exceeded.ratio - 2.0).abs() < 0.05);
    }

    #[test]
    fn a_working_set_below_the_smallest_buffer_has_no_bandwidth_to_be_held_against() {
        let mut script = script();
        script.device_mut().last_level_cache_bytes = Some(300_000_000);
        for record in &mut script.records {
            if let crate::record::observation::Record::Load(load) = record {
                load.engine.weight_bytes_per_step = 50_000_000;
            }
        }
        let roofline = roofline(&script, None);
        assert!(roofline.work.step.value() < 1e8);
        assert_eq!((roofline.read, roofline.mbu), (None, None));
        assert_eq!(roofline.in_cache, Some(true));
        let step = roofline.floor.unwrap().step;
        close(step.value(), roofline.work.decode.value() / 1e12);
        assert!(roofline.mfu.is_some());
    }

    #[test]
    fn the_floor_is_the_slower_of_memory_and_arithmetic_in_each_phase() {
        let floor = roofline(&script(), None).floor.unwrap();
        // Prefill: 200 GFLOP at 1 TFLOP/s beats 1 GB at 20 GB/s; a step: 50 ms of reading beats 2 ms.
        close(
            floor.prefill.value(),
            0.2 + (1e3 * 5_050.0 - 99.0 * 32_768.0) / 1e12,
        );
        close(floor.step.value(), (1e9 + 105_500.0) / 2e10);
        close(
            floor.whole.value(),
            floor.prefill.value() + 10.0 * floor.step.value(),
        );
    }

    #[test]
    fn without_peaks_nothing_is_claimed() {
        let point = point(1, 100, 11);
        let mut script = Script::new(&[point]);
        script.block(point, vec![generation(500_000_000, &[100_000_000; 10])]);
        let roofline = roofline(&script, None);
        assert_eq!((roofline.mbu, roofline.mfu), (None, None));
        assert_eq!((roofline.impossible, roofline.floor), (None, None));
    }
}
