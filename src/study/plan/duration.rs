//! How long a plan may take: an estimate from the roofline.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Footprint, Machine, PlannedPoint, Subject};
use crate::study::spec::{Measure, Study};
use crate::study::variant::Variant;
use crate::study::workload::{GENERATIONS_PER_BLOCK, PointId};
use crate::units::{Bytes, Flop, Hours, Seconds, Tokens};

/// Share of the roofline that an engine is assumed to reach where only an estimate is possible.
const ASSUMED_EFFICIENCY: f64 = 0.5;
/// A block that shows the energy of one phase: the 10 s that it needs, and what its edges take.
pub const ENERGY_BLOCK: Seconds = Seconds::new(10.5);
/// Loading, checking and warming up one precision, beyond reading its weights.
const LOAD_OVERHEAD: Seconds = Seconds::new(5.0);

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

/// The whole run: its blocks, and its loads, which are fewer than its points.
pub(super) fn of_run(study: &Study, machine: Machine, points: &[PlannedPoint]) -> Span {
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
pub(super) fn block_time(measure: &Measure, generation: Seconds) -> Seconds {
    let allowed = measure.max_seconds / f64::from(measure.min_blocks);
    let wanted = (generation * f64::from(GENERATIONS_PER_BLOCK)).min(allowed);
    measure.min_block_seconds.max(wanted).max(generation)
}
