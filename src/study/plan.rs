//! What will run, what will not fit and why, and how long it may take.
//!
//! A plan needs no device: memory, bandwidth and arithmetic rate are arguments, so a card that is not
//! there can be planned for. Its times are estimates from the roofline and are labelled as such.

pub mod duration;
pub mod footprint;
pub mod speed;
pub mod weights;

use serde::Serialize;

use self::duration::Span;
use self::footprint::{Footprint, binary};
use self::speed::Speed;
use self::weights::TensorMemory;
use super::model::{CacheType, EngineKind, ModelSource, Numbers, Precision, Shape};
use super::spec::{Study, Target};
use super::variant::Variant;
use super::workload::PointId;
use crate::record::observation::SkipCause;
use crate::units::{Bytes, Seconds};

/// Share of device memory that a run may fill; the rest is left to the driver and to fragmentation.
const USABLE_MEMORY: f64 = 0.92;

/// The device as far as a plan depends on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    /// Which kind of device it is.
    pub target: Target,
    /// Memory that weights, cache and activations share.
    pub memory: Bytes,
    /// How fast it is, where that is known or may be assumed.
    pub speed: Option<Speed>,
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
    /// Memory of the device that is left beside it; absent where it does not fit.
    pub left_bytes: Option<u64>,
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

/// What will run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// Every point in study order.
    pub points: Vec<PlannedPoint>,
    /// The memory of each variant, whatever its points, in study order.
    pub variants: Vec<VariantMemory>,
    /// Estimated time of the whole run at the least and at the most.
    pub duration: Span,
}

/// The memory of a precision with a type of the KV cache.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VariantMemory {
    /// How weights are held.
    pub precision: Precision,
    /// How keys and values are cached; where nothing is said, the engine chooses.
    pub kv: Option<CacheType>,
    /// Bytes of all weights.
    pub weight_bytes: u64,
    /// Bytes that one token of one sequence adds to the KV cache.
    pub kv_bytes_per_token: u64,
    /// The weights tensor by tensor.
    pub tensors: Vec<TensorMemory>,
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
    /// The tensors of that file.
    pub file_tensors: &'a [TensorMemory],
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
        let variants = study.sweep.variants().into_iter();
        let memory = |variant| VariantMemory::of(study, subject, machine.target, variant);
        Self {
            variants: variants.map(memory).collect(),
            duration: duration::of_run(study, subject, machine, &points),
            points,
        }
    }
}

impl VariantMemory {
    fn of(study: &Study, subject: Subject<'_>, target: Target, variant: Variant) -> Self {
        Self {
            precision: variant.precision,
            kv: variant.kv,
            weight_bytes: footprint::weight_bytes(subject, target, variant.precision),
            kv_bytes_per_token: footprint::kv_bytes_per_token(study, subject, target, variant),
            tensors: weights::tensors(subject, target, variant.precision),
        }
    }
}

fn plan_point(
    study: &Study,
    subject: Subject<'_>,
    machine: Machine,
    point: PointId,
) -> PlannedPoint {
    let memory = Footprint::of(study, subject, machine.target, point);
    let skip = why_not(study, subject, machine, point, memory);
    let generation_seconds = duration::of_generation(subject, machine, point, memory);
    PlannedPoint {
        point,
        memory,
        skip,
        left_bytes: (machine.memory.value() as u64).checked_sub(memory.total()),
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
            binary(memory.total()),
            binary(memory.weight_bytes),
            binary(memory.kv_bytes),
            binary(memory.activation_bytes),
            binary(usable as u64),
            binary(machine.memory.value() as u64),
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

/// What a precision means for this model. A CPU runs what is in bf16 by itself in f32.
fn effective(subject: Subject<'_>, target: Target, precision: Precision) -> Precision {
    match (precision, subject.native, target) {
        (Precision::Native, Precision::Bf16, Target::Cpu) => Precision::F32,
        (Precision::Native, native, Target::Cpu | Target::Cuda) => native,
        (other, _, _) => other,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::study::file::StudyFile;
    use crate::study::plan::speed::Origin;
    use crate::units::{BytesPerSecond, FlopPerSecond, Hours};

    impl Plan {
        /// How many points will be tried.
        fn live(&self) -> usize {
            let live = self.points.iter().filter(|planned| planned.skip.is_none());
            live.count()
        }

        /// The others, each with why not.
        fn skips(&self) -> impl Iterator<Item = (PointId, &PlannedSkip)> {
            let points = self.points.iter();
            points.filter_map(|planned| Some((planned.point, planned.skip.as_ref()?)))
        }
    }

    pub(super) fn shape() -> Shape {
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
            file_tensors: &[],
        }
    }

    fn machine(memory: f64) -> Machine {
        Machine {
            target: Target::Cpu,
            memory: Bytes::new(memory),
            speed: Some(Speed {
                read: BytesPerSecond::new(1e10),
                matmul: FlopPerSecond::new(1e11),
                origin: Origin::Known,
            }),
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
        assert_eq!(plan.live(), 6);
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
            file_tensors: &[],
        };
        let count = |n| NonZeroU32::new(n).unwrap();
        let point = PointId {
            precision,
            kv: None,
            batch: count(batch),
            isl: count(isl),
            osl: count(1),
        };
        Footprint::of(&study, subject, target, point)
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
            let time = duration::block_time(&measure, Seconds::new(generation));
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
            speed: None,
            ..machine(1e9)
        };
        let span = Plan::new(&study, subject(&shape), machine).duration;
        // Three loads of 0.5 s, 2 s of warm-up and a block for the drift; six points of 8 blocks of 0.5 s, or
        // of 8 s.
        let created = shape.parameters() as f64 / 5e7;
        let fixed = 3.0 * (3.0 + created);
        let seconds = |hours: Hours| hours.seconds().value();
        assert!((seconds(span.low) - fixed - 24.0).abs() < 1e-9, "{span:?}");
        assert!((seconds(span.high) - fixed - 48.0).abs() < 1e-9, "{span:?}");
    }

    /// Least seconds of a study of one point whose generation takes `generation`.
    fn least(generation: f64, launches: u32) -> f64 {
        let mut file = StudyFile::default();
        file.sweep.precision = Some(vec![Precision::F32]);
        file.sweep.batch = Some(vec![NonZeroU32::MIN]);
        file.measure.launches = Some(launches);
        let study = file.resolved(Target::Cpu).unwrap();
        let mut points = plan(1e9, |_| {}).points;
        points.truncate(1);
        points[0].generation_seconds = Some(Seconds::new(generation));
        let machine = Machine {
            speed: None,
            ..machine(1e9)
        };
        let shape = shape();
        let span = duration::of_run(&study, subject(&shape), machine, &points);
        span.low.seconds().value() - shape.parameters() as f64 / 5e7 * f64::from(launches)
    }

    #[test]
    fn a_point_that_takes_long_is_timed_as_often_as_its_time_allows() {
        let is = |generation, launches, expected: f64| {
            let seconds = least(generation, launches);
            assert!((seconds - expected).abs() < 1e-9, "{generation}: {seconds}");
        };
        // 8 blocks, and for each load 0.5 s, a warm-up of 2 s and the drift.
        is(0.01, 1, 4.0 + 3.0);
        is(0.01, 3, 4.0 + 3.0 * 3.0);
        // Of 8 s for a point, 3 s each: two blocks. The untimed generation is longer than a warm-up.
        is(3.0, 1, 6.0 + 0.5 + 3.0 + 3.0);
        // One generation untimed, one timed and one for the drift, however little time was given.
        is(600.0, 1, 600.0 * 3.0 + 0.5);
    }

    #[test]
    fn an_assumed_cpu_takes_hours_for_eight_billion_parameters() {
        let shape = Shape {
            layers: 32,
            hidden: 4096,
            ffn: 14_336,
            heads: 32,
            kv_heads: 8,
            head_dim: 128,
            vocab: 128_256,
            tied_embeddings: false,
            context: 131_072,
            ..shape()
        };
        let mut file = StudyFile::default();
        file.model.source = Some("card:llama-3.1-8b".parse().unwrap());
        let study = file.resolved(Target::Cpu).unwrap();
        let machine = Machine {
            speed: Some(Speed::assumed(2)),
            ..machine(64e9)
        };
        let hours = Plan::new(&study, subject(&shape), machine).duration.low;
        assert!((3.0..30.0).contains(&hours.value()), "{hours:?}");
    }

    #[test]
    fn no_batch_is_too_large_to_be_refused() {
        let plan = plan(1e9, |file| {
            file.sweep.batch = Some(vec![NonZeroU32::MAX]);
            file.sweep.isl = Some(vec![NonZeroU32::MAX]);
            file.sweep.osl = Some(vec![NonZeroU32::MAX]);
        });
        assert_eq!(plan.live(), 0);
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
        let skips: Vec<_> = plan.skips().map(|(_, skip)| skip).collect();
        assert_eq!(skips.len(), 6);
        assert_eq!(skips[0].cause, SkipCause::DoesNotFit);
        assert!(skips[0].reason.contains("KV cache"), "{}", skips[0].reason);
    }

    /// Points that are skipped because the engine cannot hold their cache.
    fn without_cache(plan: &Plan) -> Vec<String> {
        let skips = plan.skips();
        let unsupported = skips.filter(|(_, skip)| skip.cause == SkipCause::Unsupported);
        unsupported
            .map(|(point, _)| point.variant().to_string())
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
        let reason = &plan.skips().next().unwrap().1.reason;
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
                .all(|(_, skip)| skip.cause == SkipCause::BeyondContext)
        );
        assert_eq!(plan.live(), 0);
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
            .filter(|(_, skip)| skip.cause == SkipCause::Unsupported);
        let skipped: Vec<_> = unsupported.map(|(point, _)| point.precision).collect();
        assert_eq!(skipped, [Precision::Q8_0, Precision::Q4K]);
    }
}
