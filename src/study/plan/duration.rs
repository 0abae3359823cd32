//! How long a plan may take: an estimate from the roofline.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::Serialize;

use super::{Footprint, Machine, PlannedPoint, Subject};
use crate::study::spec::{Measure, Study, Target};
use crate::study::variant::Variant;
use crate::study::workload::{CHECKED_PROMPT, CHECKED_STEPS, GENERATIONS_PER_BLOCK, PointId};
use crate::units::{Bytes, Flop, Hours, Seconds, Tokens};

/// Share of the roofline that an engine is assumed to reach where only an estimate is possible.
const ASSUMED_EFFICIENCY: f64 = 0.5;
/// A block that shows the energy of one phase: the 10 s that it needs, and what its edges take.
pub const ENERGY_BLOCK: Seconds = Seconds::new(10.5);
/// A worker of a card until it has a model, beyond reading weights: context, kernels and buffers.
const CARD_LOAD: Seconds = Seconds::new(5.0);
/// The same of a CPU: a process and its threads, as the records of the small model show.
const CPU_LOAD: Seconds = Seconds::new(0.5);
/// Parameters that two cores quantize or draw in a second: those of the small model, to q4_k.
const CREATED_PER_SECOND: f64 = 5e7;

/// The shortest and the longest that something may take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Span {
    /// When every point stops at its fewest blocks.
    pub low: Hours,
    /// When every point uses all its time.
    pub high: Hours,
}

/// Roofline time of one generation at the assumed efficiency: the prefill is bound by arithmetic,
/// each decode step by the bytes it reads or by arithmetic, whichever is longer.
pub(super) fn of_generation(
    subject: Subject<'_>,
    machine: Machine,
    point: PointId,
    memory: Footprint,
) -> Option<Seconds> {
    let speed = machine.speed?;
    let matmul_parameters: u64 = subject
        .shape
        .linears()
        .iter()
        .map(|size| size.rows * size.columns * size.count)
        .sum();
    let batch = f64::from(point.batch.get());
    let per_token = Flop::new(2.0 * matmul_parameters as f64);
    let prompt = Tokens::new(batch * f64::from(point.isl.get()));
    let prefill = per_token * prompt.value() / speed.matmul;
    let read = Bytes::new((memory.weight_bytes + memory.kv_bytes / 2) as f64) / speed.read;
    let compute = per_token * batch / speed.matmul;
    let steps = f64::from(point.osl.get()) - 1.0;
    Some((prefill + read.max(compute) * steps) / ASSUMED_EFFICIENCY)
}

/// The whole run: its blocks, and its loads, which are fewer than its points.
pub(super) fn of_run(
    study: &Study,
    subject: Subject<'_>,
    machine: Machine,
    points: &[PlannedPoint],
) -> Span {
    let measure = &study.measure;
    let mut span = Span {
        low: Hours::ZERO,
        high: Hours::ZERO,
    };
    let mut variants: BTreeMap<Variant, Vec<&PlannedPoint>> = BTreeMap::new();
    for planned in points.iter().filter(|planned| planned.skip.is_none()) {
        variants
            .entry(planned.point.variant())
            .or_default()
            .push(planned);
        let blocks = Blocks::of(measure, planned);
        let energy = if measure.energy {
            // One block per phase, of whole generations.
            (ENERGY_BLOCK + generation(planned)) * 2.0
        } else {
            Seconds::ZERO
        };
        span.low += (blocks.time_of(blocks.fewest) + energy).hours();
        let most = match planned.generation_seconds {
            Some(_) => blocks.time_of(blocks.most),
            // However slow the machine turns out to be.
            None => measure.max_seconds.max(blocks.time_of(blocks.fewest)),
        };
        span.high += (most + energy).hours();
    }
    for planned in variants.values() {
        let loads = of_loads(measure, subject, machine, planned).hours();
        span.low += loads;
        span.high += loads;
    }
    span
}

/// The blocks of a point.
struct Blocks {
    /// How long one takes.
    one: Seconds,
    /// How many there are at least.
    fewest: u32,
    /// How many there are at most.
    most: u32,
}

impl Blocks {
    /// One at least, and more where they end within the time of a point.
    fn of(measure: &Measure, planned: &PlannedPoint) -> Self {
        let one = block_time(measure, generation(planned));
        let allowed = ((measure.max_seconds / one).floor() as u32).max(1);
        Self {
            one,
            fewest: measure.min_blocks.min(allowed),
            most: measure.max_blocks.min(allowed),
        }
    }

    fn time_of(&self, count: u32) -> Seconds {
        self.one * f64::from(count)
    }
}

/// All loads of a variant, without the blocks that they measure: every launch for which a point has blocks.
fn of_loads(
    measure: &Measure,
    subject: Subject<'_>,
    machine: Machine,
    points: &[&PlannedPoint],
) -> Seconds {
    let Some(&first) = points.first() else {
        return Seconds::ZERO;
    };
    let launches = |planned: &&PlannedPoint| {
        let blocks = Blocks::of(measure, planned).fewest;
        f64::from(measure.launches.min(blocks))
    };
    let loads = points.iter().map(launches).fold(0.0, f64::max);
    let untimed: Seconds = points
        .iter()
        .map(|planned| generation(planned) * launches(planned))
        .sum();
    let drift = Blocks::of(measure, first).one;
    let batches = points.iter().map(|planned| planned.point.batch);
    let largest = batches.max().filter(|batch| batch.get() > 1);
    let check: Seconds = [Some(NonZeroU32::MIN), largest]
        .into_iter()
        .flatten()
        .map(|batch| of_check(subject, machine, first, batch))
        .sum();
    let one = of_creation(subject, machine, first) + check + drift;
    // The untimed pass warms up, and what is missing of a warm-up is made up for.
    one * loads + untimed.max(measure.warmup_seconds * loads)
}

/// Until a worker has its model: weights are read, and on a CPU quantized or drawn.
fn of_creation(subject: Subject<'_>, machine: Machine, planned: &PlannedPoint) -> Seconds {
    let weights = Bytes::new(planned.memory.weight_bytes as f64);
    let read = machine
        .speed
        .map_or(Seconds::ZERO, |speed| weights / speed.read);
    match machine.target {
        Target::Cuda => CARD_LOAD + read,
        Target::Cpu => {
            let created = subject.shape.parameters() as f64 / CREATED_PER_SECOND;
            CPU_LOAD + read + Seconds::new(created)
        }
    }
}

/// The comparison of logits at one batch, by the engine and by its reference.
fn of_check(
    subject: Subject<'_>,
    machine: Machine,
    planned: &PlannedPoint,
    batch: NonZeroU32,
) -> Seconds {
    let checked = PointId {
        batch,
        isl: NonZeroU32::new(CHECKED_PROMPT).unwrap_or(NonZeroU32::MIN),
        osl: NonZeroU32::MIN.saturating_add(CHECKED_STEPS),
        ..planned.point
    };
    let once = of_generation(subject, machine, checked, planned.memory);
    once.map_or(Seconds::ZERO, |once| once * 2.0)
}

/// One generation of a point, nothing where it is not known.
fn generation(planned: &PlannedPoint) -> Seconds {
    planned.generation_seconds.unwrap_or(Seconds::ZERO)
}

/// How long a block takes: eight generations where its part of a point's time allows, at least one.
pub(super) fn block_time(measure: &Measure, generation: Seconds) -> Seconds {
    let allowed = measure.max_seconds / f64::from(measure.min_blocks);
    let wanted = (generation * f64::from(GENERATIONS_PER_BLOCK)).min(allowed);
    measure.min_block_seconds.max(wanted).max(generation)
}
