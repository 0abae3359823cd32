//! What will run, what will not fit and why, and how long it may take.
//!
//! A plan needs no device: memory, bandwidth and arithmetic rate are arguments, so a card that is not
//! there can be planned for. Its times are estimates from the roofline and are labelled as such.

use std::collections::BTreeMap;

use serde::Serialize;

use super::model::{CacheType, EngineKind, ModelSource, Numbers, Precision, Shape, WeightSize};
use super::spec::{Measure, Study, Target};
use super::variant::Variant;
use super::workload::{PointId, SCORES_AT_ONCE, TOKENS_AT_ONCE};
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

/// Tensors of scores that attention holds at a time on a card: with and without their mask, and their
/// softmax.
const SCORE_TENSORS: u64 = 3;

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
        self.weight_bytes
            .saturating_add(self.kv_bytes)
            .saturating_add(self.activation_bytes)
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
    let memory = footprint(study, subject, machine.target, point);
    let skip = why_not(study, subject, machine, point, memory);
    let generation_seconds = generation_time(subject, machine, point, memory);
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
    let of_activations = card_cache(effective(subject, machine.target, point.precision));
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

/// Memory of a point: weights by matrix, KV cache, and what the prefill holds at its widest.
fn footprint(study: &Study, subject: Subject<'_>, target: Target, point: PointId) -> Footprint {
    let precision = effective(subject, target, point.precision);
    let shape = subject.shape;
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
    let elements = shape.kv_elements_per_token();
    let kv_bytes = match point.kv {
        Some(kv) => kv.bytes(elements),
        None => elements * cache_bytes_per_element(&study.engine, precision),
    };
    Footprint {
        weight_bytes: subject
            .file_bytes
            .or(matrices)
            .unwrap_or_else(|| shape.parameters() * activation_bytes_per_element(precision)),
        kv_bytes: point.kv_tokens().saturating_mul(kv_bytes),
        activation_bytes: activation_bytes(study, subject, target, point),
    }
}

/// What the prefill holds at its widest: the residual stream, its norm and the feed-forward block, and the
/// logits of the last tokens. Our decoder takes a part of the prompts at a time on a card, with a part of
/// their scores of attention.
fn activation_bytes(study: &Study, subject: Subject<'_>, target: Target, point: PointId) -> u64 {
    let shape = subject.shape;
    let element = activation_bytes_per_element(effective(subject, target, point.precision));
    let (batch, isl) = (u64::from(point.batch.get()), u64::from(point.isl.get()));
    let (hidden, ffn) = (u64::from(shape.hidden), u64::from(shape.ffn));
    let logits = batch * u64::from(shape.vocab) * 4;
    let in_parts = target == Target::Cuda && study.engine == EngineKind::Decoder;
    let prompts = batch * isl;
    if !in_parts {
        let widest = (4 * hidden + 3 * ffn) * element;
        return prompts.saturating_mul(widest).saturating_add(logits);
    }
    let tokens = prompts.min(TOKENS_AT_ONCE.max(isl));
    // Of each token of a part, every token of its sequence before it.
    let pairs = tokens.saturating_mul(isl * u64::from(shape.heads));
    let scores = pairs.min(SCORES_AT_ONCE);
    tokens
        .saturating_mul((4 * hidden + 4 * ffn) * element)
        .saturating_add(SCORE_TENSORS * scores * element + logits)
}

/// What a precision means for this model. A CPU runs what is in bf16 by itself in f32.
fn effective(subject: Subject<'_>, target: Target, precision: Precision) -> Precision {
    match (precision, subject.native, target) {
        (Precision::Native, Precision::Bf16, Target::Cpu) => Precision::F32,
        (Precision::Native, native, Target::Cpu | Target::Cuda) => native,
        (other, _, _) => other,
    }
}

/// Bytes of one element of a cache whose type is not said: our decoder holds keys and values in half
/// precision beside quantized weights, candle's models in the type of the activations.
fn cache_bytes_per_element(engine: &EngineKind, precision: Precision) -> u64 {
    match engine {
        EngineKind::Decoder if !precision.is_dense() => 2,
        EngineKind::Decoder | EngineKind::Stock | EngineKind::Sim(_) => {
            activation_bytes_per_element(precision)
        }
    }
}

/// Bytes of one element of the activations.
fn activation_bytes_per_element(precision: Precision) -> u64 {
    match precision.numbers() {
        Numbers::F16 | Numbers::Bf16 => 2,
        // Quantized weights run with F32 activations on a CPU, and on a card beside products in F32.
        Numbers::Own | Numbers::F32 | Numbers::Quantized => 4,
    }
}

/// Roofline time of one generation at the assumed efficiency: the prefill is bound by arithmetic,
/// each decode step by the bytes it reads or by arithmetic, whichever is longer.
fn generation_time(
    subject: Subject<'_>,
    machine: Machine,
    point: PointId,
    memory: Footprint,
) -> Option<Seconds> {
    let (bandwidth, arithmetic) = (machine.bandwidth?, machine.arithmetic?);
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
        let block = block_time(measure, generation);
        let fewest = block * f64::from(measure.min_blocks);
        let most = match planned.generation_seconds {
            Some(_) => (block * f64::from(measure.max_blocks)).min(measure.max_seconds),
            // However slow the machine turns out to be.
            None => measure.max_seconds,
        };
        let most = most.max(fewest);
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

/// How long a block takes: eight generations where its part of a point's time allows, at least one.
fn block_time(measure: &Measure, generation: Seconds) -> Seconds {
    let allowed = measure.max_seconds / f64::from(measure.min_blocks);
    let wanted = (generation * GENERATIONS_PER_BLOCK).min(allowed);
    measure.min_block_seconds.max(wanted).max(generation)
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

    fn subject(shape: &Shape) -> Subject<'_> {
        Subject {
            shape,
            native: Precision::F32,
            file_bytes: None,
        }
    }

    fn machine(memory: f64) -> Machine {
        Machine {
            target: Target::Cpu,
            memory: Bytes::new(memory),
            bandwidth: Some(BytesPerSecond::new(1e10)),
            arithmetic: Some(FlopPerSecond::new(1e11)),
        }
    }

    fn plan(memory: f64, edit: impl FnOnce(&mut StudyFile)) -> Plan {
        plan_on(Target::Cpu, memory, edit)
    }

    fn plan_on(target: Target, memory: f64, edit: impl FnOnce(&mut StudyFile)) -> Plan {
        let mut file = StudyFile::default();
        edit(&mut file);
        let study = file.resolved(Target::Cpu).unwrap();
        Plan::new(
            &study,
            subject(&shape()),
            Machine {
                target,
                ..machine(memory)
            },
        )
    }

    #[test]
    fn what_fits_is_run() {
        let plan = plan(1e9, |_| {});
        assert_eq!(plan.live().count(), 6);
        assert!(plan.duration.low.value() > 0.0);
        assert!(plan.duration.high >= plan.duration.low);
    }

    /// Memory of a point of this shape.
    fn memory(target: Target, precision: Precision, (batch, isl): (u32, u32)) -> Footprint {
        let study = StudyFile::default().resolved(target).unwrap();
        let shape = Shape {
            context: 1 << 20,
            ..shape()
        };
        let subject = Subject {
            shape: &shape,
            native: Precision::F32,
            file_bytes: None,
        };
        let count = |n| NonZeroU32::new(n).unwrap();
        let point = PointId {
            precision,
            kv: None,
            batch: count(batch),
            isl: count(isl),
            osl: count(1),
        };
        footprint(&study, subject, target, point)
    }

    #[test]
    fn a_cache_beside_quantized_weights_is_in_half_precision() {
        for target in [Target::Cpu, Target::Cuda] {
            let kv = |precision| memory(target, precision, (2, 9)).kv_bytes;
            // Two sequences of ten tokens, two layers, keys and values of two heads of 64.
            assert_eq!(kv(Precision::Q4K), 2 * 10 * 2 * 2 * 2 * 64 * 2);
            assert_eq!(kv(Precision::Bf16), kv(Precision::Q8_0));
            assert_eq!(kv(Precision::F32), 2 * kv(Precision::Q4K));
        }
    }

    #[test]
    fn prompts_in_parts_need_the_room_of_a_part() {
        let on = |target, size| memory(target, Precision::Bf16, size).activation_bytes;
        let logits = |batch: u64| batch * 512 * 4;
        // 4 · (256 + 512) elements of two bytes for each token, and three times four heads of scores.
        let small = 128 * 3072 * 2 + 3 * 128 * 64 * 4 * 2;
        assert_eq!(on(Target::Cuda, (2, 64)), small + logits(2));
        let part = 16_384 * 3072 * 2 + 3 * (1 << 27) * 2;
        assert_eq!(on(Target::Cuda, (64, 4096)), part + logits(64));
        assert_eq!(on(Target::Cuda, (512, 4096)), part + logits(512));
        // A CPU takes all at once.
        let whole = |batch| batch * 4096 * (4 * 256 + 3 * 512) * 2 + logits(batch);
        assert_eq!(on(Target::Cpu, (64, 4096)), whole(64));
    }

    #[test]
    fn a_block_has_eight_generations_where_the_time_of_a_point_allows() {
        let measure = StudyFile::default().resolved(Target::Cpu).unwrap().measure;
        // Blocks of 0.5 s at least; 8 s for 8 blocks.
        for (generation, block) in [(0.01, 0.5), (0.1, 0.8), (0.5, 1.0), (3.0, 3.0)] {
            let time = block_time(&measure, Seconds::new(generation));
            assert!(
                (time.value() - block).abs() < 1e-12,
                "{generation}: {time:?}"
            );
        }
    }

    #[test]
    fn a_machine_of_unknown_speed_may_take_all_the_time_there_is() {
        let mut file = StudyFile::default();
        file.measure.launches = Some(1);
        let study = file.resolved(Target::Cpu).unwrap();
        let shape = shape();
        let machine = Machine {
            bandwidth: None,
            ..machine(1e9)
        };
        let span = Plan::new(&study, subject(&shape), machine).duration;
        // Three loads of 7 s; six points of 8 blocks of 0.5 s, or of 8 s.
        let minutes = |hours: Hours| hours.seconds().value();
        assert!((minutes(span.low) - 45.0).abs() < 1e-9);
        assert!((minutes(span.high) - 69.0).abs() < 1e-9);
    }

    #[test]
    fn no_batch_is_too_large_to_be_refused() {
        let plan = plan(1e9, |file| {
            file.sweep.batch = Some(vec![NonZeroU32::MAX]);
            file.sweep.isl = Some(vec![NonZeroU32::MAX]);
            file.sweep.osl = Some(vec![NonZeroU32::MAX]);
        });
        assert_eq!(plan.live().count(), 0);
        assert_eq!(plan.points[0].memory.total(), u64::MAX);
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
