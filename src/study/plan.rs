//! What will run, what will not fit and why, and how long it may take.
//!
//! A plan needs no device: memory, bandwidth and arithmetic rate are arguments, so a card that is not
//! there can be planned for. Its times are estimates from the roofline and are labelled as such.

use std::collections::BTreeMap;

use serde::Serialize;

use super::model::{CacheType, EngineKind, ModelSource, Numbers, Precision, Shape, WeightSize};
use super::spec::{Study, Target};
use super::variant::Variant;
use super::workload::PointId;
use crate::record::observation::{Skip, SkipCause};
use crate::units::{Bytes, BytesPerSecond, Flop, FlopPerSecond, Hours, Seconds, Tokens};

/// Share of device memory that a run may fill; the rest is left to the driver and to fragmentation.
const USABLE_MEMORY: f64 = 0.92;
/// Share of the roofline that an engine is assumed to reach where only an estimate is possible.
const ASSUMED_EFFICIENCY: f64 = 0.5;
/// Generations that a block has at least, where the time of a point allows.
const GENERATIONS_PER_BLOCK: f64 = 8.0;
/// A block that shows the energy of one phase: the 10 s that it needs, and what its edges take.
pub const ENERGY_BLOCK: Seconds = Seconds::new(10.5);
/// Loading, checking and warming up one precision, beyond reading its weights.
const LOAD_OVERHEAD: Seconds = Seconds::new(5.0);

/// The device as far as a plan depends on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    /// Which kind of device it is.
    pub target: Target,
    /// Memory that weights, cache and activations share.
    pub memory: Bytes,
    /// Read bandwidth, where known.
    pub bandwidth: Option<BytesPerSecond>,
    /// Matrix arithmetic rate, where known.
    pub arithmetic: Option<FlopPerSecond>,
}

/// One point and what becomes of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedPoint {
    /// The point.
    pub point: PointId,
    /// Memory that it needs in all.
    pub memory: Footprint,
    /// Why it is not run, if it is not.
    pub skip: Option<PlannedSkip>,
    /// Estimated time of one generation, where the machine is known well enough.
    pub generation_seconds: Option<Seconds>,
}

/// Why a planned point is not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedSkip {
    /// The cause.
    pub cause: SkipCause,
    /// In words, with the numbers.
    pub reason: String,
}

/// Bytes that a point needs on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Footprint {
    /// All weights.
    pub weight_bytes: u64,
    /// KV cache of the whole batch at full length.
    pub kv_bytes: u64,
    /// Activations of the prefill, an upper estimate.
    pub activation_bytes: u64,
}

impl Footprint {
    /// Everything together.
    pub fn total(self) -> u64 {
        self.weight_bytes + self.kv_bytes + self.activation_bytes
    }
}

/// What will run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// Every point in study order.
    pub points: Vec<PlannedPoint>,
    /// Estimated time of the whole run at the least and at the most.
    pub duration: Span,
}

/// The shortest and the longest that something may take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Span {
    /// When every point stops at its fewest blocks.
    pub low: Hours,
    /// When every point uses all its time.
    pub high: Hours,
}

/// The model as a plan sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Subject<'a> {
    /// Its shape.
    pub shape: &'a Shape,
    /// What [`Precision::Native`] means for it.
    pub native: Precision,
    /// Bytes of its weights when the file fixes them (GGUF).
    pub file_bytes: Option<u64>,
}

impl Plan {
    /// Plans `study` for `subject` on `machine`.
    pub fn new(study: &Study, subject: Subject<'_>, machine: Machine) -> Self {
        let points: Vec<_> = study
            .sweep
            .points()
            .into_iter()
            .map(|point| plan_point(study, subject, machine, point))
            .collect();
        let duration = estimate_duration(study, machine, &points);
        Self { points, duration }
    }

    /// Points that will be tried, in study order.
    pub fn live(&self) -> impl Iterator<Item = PointId> + '_ {
        self.points
            .iter()
            .filter(|planned| planned.skip.is_none())
            .map(|planned| planned.point)
    }

    /// What is not tried, as it goes into the record.
    pub fn skips(&self) -> impl Iterator<Item = Skip> + '_ {
        self.points.iter().filter_map(|planned| {
            planned.skip.as_ref().map(|skip| Skip {
                point: planned.point,
                cause: skip.cause,
                reason: skip.reason.clone(),
            })
        })
    }
}

fn plan_point(
    study: &Study,
    subject: Subject<'_>,
    machine: Machine,
    point: PointId,
) -> PlannedPoint {
    let memory = footprint(subject, point);
    let skip = why_not(study, subject, machine, point, memory);
    let generation_seconds = generation_time(subject, machine, point);
    PlannedPoint {
        point,
        memory,
        skip,
        generation_seconds,
    }
}

fn why_not(
    study: &Study,
    subject: Subject<'_>,
    machine: Machine,
    point: PointId,
    memory: Footprint,
) -> Option<PlannedSkip> {
    let context = u64::from(subject.shape.context);
    if point.context() > context {
        let reason = format!(
            "{} tokens of prompt and {} of output exceed the model's context of {context}",
            point.isl, point.osl
        );
        return Some(PlannedSkip {
            cause: SkipCause::BeyondContext,
            reason,
        });
    }
    let from_checkpoint = matches!(study.source, ModelSource::Dir(_) | ModelSource::Hub(_))
        && subject.file_bytes.is_none();
    if study.engine == EngineKind::Stock && from_checkpoint && !point.precision.is_dense() {
        let reason = format!(
            "the stock engine cannot quantize a dense checkpoint to {}; use a gguf: source",
            point.precision
        );
        return Some(PlannedSkip {
            cause: SkipCause::Unsupported,
            reason,
        });
    }
    if let Some(reason) = why_no_such_cache(study, subject, machine, point) {
        return Some(PlannedSkip {
            cause: SkipCause::Unsupported,
            reason,
        });
    }
    let usable = machine.memory.value() * USABLE_MEMORY;
    if memory.total() as f64 > usable {
        let reason = format!(
            "needs {} (weights {}, KV cache {}, activations {}); {} of {} may be used",
            gib(memory.total()),
            gib(memory.weight_bytes),
            gib(memory.kv_bytes),
            gib(memory.activation_bytes),
            gib(usable as u64),
            gib(machine.memory.value() as u64),
        );
        return Some(PlannedSkip {
            cause: SkipCause::DoesNotFit,
            reason,
        });
    }
    None
}

/// Why an engine cannot cache keys and values as the point asks.
fn why_no_such_cache(
    study: &Study,
    subject: Subject<'_>,
    machine: Machine,
    point: PointId,
) -> Option<String> {
    let asked = point.kv?;
    match study.engine {
        EngineKind::Decoder => {}
        EngineKind::Sim(_) => return None,
        EngineKind::Stock => {
            return Some(format!(
                "the stock engine has no choice of the KV cache, {asked} was asked for; \
                 leave sweep.kv out or take the decoder"
            ));
        }
    }
    let of_activations = card_cache(effective(subject, point.precision));
    let (width, block) = (
        u64::from(subject.shape.head_dim),
        asked.precision().block()?,
    );
    match machine.target {
        Target::Cuda if asked != of_activations => Some(format!(
            "on a card the KV cache is of the type of the activations, {of_activations} with {} \
             weights; {asked} was asked for",
            point.precision
        )),
        Target::Cpu if !width.is_multiple_of(block.length) => Some(format!(
            "a KV cache in {asked} holds blocks of {}, which heads of width {width} are no multiple of",
            block.length
        )),
        Target::Cpu | Target::Cuda => None,
    }
}

/// The type of activations on a card, in which keys and values are cached there.
fn card_cache(precision: Precision) -> CacheType {
    match precision.numbers() {
        Numbers::F32 => CacheType::F32,
        Numbers::F16 => CacheType::F16,
        Numbers::Own | Numbers::Bf16 | Numbers::Quantized => CacheType::Bf16,
    }
}

fn gib(bytes: u64) -> String {
    format!("{:.2} GiB", bytes as f64 / f64::from(1_u32 << 30))
}

/// Memory of a point: weights by matrix, KV cache in its type or that of activations, and the prefill's widest
/// intermediate results.
fn footprint(subject: Subject<'_>, point: PointId) -> Footprint {
    let precision = effective(subject, point.precision);
    let shape = subject.shape;
    let element = activation_bytes_per_element(precision);
    let embedding = WeightSize {
        rows: u64::from(shape.vocab),
        columns: u64::from(shape.hidden),
        count: u64::from(!shape.tied_embeddings),
    };
    let matrices: Option<u64> = shape
        .linears()
        .into_iter()
        .chain([embedding])
        .map(|size| precision.matrix_bytes(size))
        .sum();
    let weight_bytes = subject
        .file_bytes
        .or(matrices)
        .unwrap_or_else(|| shape.parameters() * element);
    let prompt_tokens = u64::from(point.batch.get()) * u64::from(point.isl.get());
    let widest = u64::from(shape.hidden) * 4 + u64::from(shape.ffn) * 3;
    let logits = u64::from(point.batch.get()) * u64::from(shape.vocab) * 4;
    Footprint {
        weight_bytes,
        kv_bytes: point.kv_tokens()
            * point
                .kv
                .map_or(shape.kv_elements_per_token() * element, |kv| {
                    kv.bytes(shape.kv_elements_per_token())
                }),
        activation_bytes: prompt_tokens * widest * element + logits,
    }
}

/// What a precision means for this model.
fn effective(subject: Subject<'_>, precision: Precision) -> Precision {
    match precision {
        Precision::Native => subject.native,
        other => other,
    }
}

/// Bytes of one activation or cache element.
fn activation_bytes_per_element(precision: Precision) -> u64 {
    match precision.numbers() {
        Numbers::F16 | Numbers::Bf16 => 2,
        // Quantized weights run with F32 activations on a CPU, the larger case.
        Numbers::Own | Numbers::F32 | Numbers::Quantized => 4,
    }
}

/// Roofline time of one generation at the assumed efficiency: the prefill is bound by arithmetic,
/// each decode step by the bytes it reads or by arithmetic, whichever is longer.
fn generation_time(subject: Subject<'_>, machine: Machine, point: PointId) -> Option<Seconds> {
    let (bandwidth, arithmetic) = (machine.bandwidth?, machine.arithmetic?);
    let memory = footprint(subject, point);
    let matmul_parameters: u64 = subject
        .shape
        .linears()
        .iter()
        .map(|size| size.rows * size.columns * size.count)
        .sum();
    let batch = f64::from(point.batch.get());
    let per_token = Flop::new(2.0 * matmul_parameters as f64);
    let prompt = Tokens::new(batch * f64::from(point.isl.get()));
    let prefill = per_token * prompt.value() / arithmetic;
    let read = Bytes::new((memory.weight_bytes + memory.kv_bytes / 2) as f64) / bandwidth;
    let compute = per_token * batch / arithmetic;
    let steps = f64::from(point.osl.get()) - 1.0;
    Some((prefill + read.max(compute) * steps) / ASSUMED_EFFICIENCY)
}

fn estimate_duration(study: &Study, machine: Machine, points: &[PlannedPoint]) -> Span {
    let measure = &study.measure;
    let mut seconds = Span {
        low: Hours::ZERO,
        high: Hours::ZERO,
    };
    let mut loads: BTreeMap<Variant, u64> = BTreeMap::new();
    for planned in points.iter().filter(|planned| planned.skip.is_none()) {
        loads.insert(planned.point.variant(), planned.memory.weight_bytes);
        let generation = planned.generation_seconds.unwrap_or(Seconds::ZERO);
        let block = measure
            .min_block_seconds
            .max(generation * GENERATIONS_PER_BLOCK);
        let fewest = block * f64::from(measure.min_blocks);
        let most = (block * f64::from(measure.max_blocks))
            .min(measure.max_seconds)
            .max(fewest);
        let energy = if measure.energy {
            // One block per phase, of whole generations.
            (ENERGY_BLOCK + generation) * 2.0
        } else {
            Seconds::ZERO
        };
        seconds.low += (fewest + energy).hours();
        seconds.high += (most + energy).hours();
    }
    for weight_bytes in loads.values() {
        let read = machine.bandwidth.map_or(Seconds::ZERO, |bandwidth| {
            Bytes::new(*weight_bytes as f64) / bandwidth
        });
        let one = (LOAD_OVERHEAD + measure.warmup_seconds + read).hours();
        let all = one * f64::from(measure.launches);
        seconds.low += all;
        seconds.high += all;
    }
    seconds
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::study::spec::StudyFile;

    fn shape() -> Shape {
        Shape {
            layers: 2,
            hidden: 256,
            ffn: 512,
            heads: 4,
            kv_heads: 2,
            head_dim: 64,
            vocab: 512,
            tied_embeddings: true,
            qkv_bias: false,
            qk_norm: false,
            rope_theta: 10_000.0,
            rope_scaling: None,
            norm_eps: 1e-5,
            context: 256,
            sliding_window: None,
        }
    }

    fn plan(memory: f64, edit: impl FnOnce(&mut StudyFile)) -> Plan {
        plan_on(Target::Cpu, memory, edit)
    }

    fn plan_on(target: Target, memory: f64, edit: impl FnOnce(&mut StudyFile)) -> Plan {
        let mut file = StudyFile::default();
        edit(&mut file);
        let study = file.resolved(Target::Cpu).unwrap();
        let shape = shape();
        let subject = Subject {
            shape: &shape,
            native: Precision::F32,
            file_bytes: None,
        };
        let machine = Machine {
            target,
            memory: Bytes::new(memory),
            bandwidth: Some(BytesPerSecond::new(1e10)),
            arithmetic: Some(FlopPerSecond::new(1e11)),
        };
        Plan::new(&study, subject, machine)
    }

    #[test]
    fn what_fits_is_run() {
        let plan = plan(1e9, |_| {});
        assert_eq!(plan.live().count(), 6);
        assert!(plan.duration.low.value() > 0.0);
        assert!(plan.duration.high >= plan.duration.low);
    }

    #[test]
    fn energy_takes_two_long_blocks_per_point() {
        let minutes = |energy| {
            let plan = plan(1e9, |file| file.measure.energy = Some(energy));
            plan.duration.low.seconds().value() / 60.0
        };
        // Six points; a generation takes some milliseconds.
        let more = (minutes(true) - minutes(false)) * 60.0;
        assert!((126.0..128.0).contains(&more), "{more}");
    }

    #[test]
    fn what_does_not_fit_is_skipped_with_the_numbers() {
        let plan = plan(1e6, |_| {});
        let skips: Vec<_> = plan.skips().collect();
        assert_eq!(skips.len(), 6);
        assert_eq!(skips[0].cause, SkipCause::DoesNotFit);
        assert!(skips[0].reason.contains("KV cache"), "{}", skips[0].reason);
    }

    /// Points that are skipped because the engine cannot hold their cache.
    fn without_cache(plan: &Plan) -> Vec<String> {
        let skips = plan.skips();
        let unsupported = skips.filter(|skip| skip.cause == SkipCause::Unsupported);
        unsupported
            .map(|skip| skip.point.variant().to_string())
            .collect()
    }

    fn with_caches(file: &mut StudyFile) {
        file.sweep.precision = Some(vec![Precision::F16, Precision::Q8_0]);
        file.sweep.kv = Some(CacheType::ALL.to_vec());
        file.sweep.batch = Some(vec![NonZeroU32::MIN]);
    }

    #[test]
    fn a_cache_of_fewer_bits_takes_fewer_bytes() {
        let plan = plan(1e9, with_caches);
        assert_eq!(without_cache(&plan), Vec::<String>::new());
        // 160 tokens of 2 · 2 layers · 2 heads · 64 numbers in f32, f16, bf16, q8_0.
        let bytes: Vec<u64> = plan.points.iter().map(|p| p.memory.kv_bytes).collect();
        let numbers = 160 * 512;
        assert_eq!(
            bytes[..4],
            [4 * numbers, 2 * numbers, 2 * numbers, numbers / 32 * 34]
        );
    }

    #[test]
    fn on_a_card_the_cache_is_that_of_the_activations() {
        let plan = plan_on(Target::Cuda, 1e9, with_caches);
        assert_eq!(
            without_cache(&plan),
            [
                "f16 kv f32",
                "f16 kv bf16",
                "f16 kv q8_0",
                "q8_0 kv f32",
                "q8_0 kv f16",
                "q8_0 kv q8_0"
            ]
        );
        let reason = &plan.skips().next().unwrap().reason;
        assert!(
            reason.contains("f16 with f16 weights; f32 was asked for"),
            "{reason}"
        );
    }

    #[test]
    fn the_stock_engine_has_no_choice_of_the_cache() {
        let plan = plan(1e9, |file| {
            with_caches(file);
            file.model.engine = Some(EngineKind::Stock);
        });
        assert_eq!(without_cache(&plan).len(), 8);
    }

    #[test]
    fn beyond_the_context_is_refused_by_the_plan() {
        let plan = plan(1e9, |file| {
            file.sweep.osl = Some(vec![129.try_into().unwrap()]);
        });
        assert!(
            plan.skips()
                .all(|skip| skip.cause == SkipCause::BeyondContext)
        );
        assert_eq!(plan.live().count(), 0);
    }

    #[test]
    fn the_stock_engine_does_not_quantize_on_the_fly() {
        let stock = |source: Option<ModelSource>| {
            plan(1e9, |file| {
                file.model.engine = Some(EngineKind::Stock);
                file.model.source = source;
                file.sweep.precision = Some(vec![Precision::F32, Precision::Q8_0, Precision::Q4K]);
                file.sweep.batch = Some(vec![NonZeroU32::MIN]);
                file.sweep.isl = Some(vec![NonZeroU32::MIN]);
                file.sweep.osl = Some(vec![NonZeroU32::MIN]);
            })
        };
        assert_eq!(
            stock(None).skips().count(),
            0,
            "random weights are drawn quantized"
        );
        let plan = stock(Some(ModelSource::Dir("folder".into())));
        let unsupported = plan
            .skips()
            .filter(|skip| skip.cause == SkipCause::Unsupported);
        let skipped: Vec<_> = unsupported.map(|skip| skip.point.precision).collect();
        assert_eq!(skipped, [Precision::Q8_0, Precision::Q4K]);
    }
}
