//! Where a replica works: its rates of this mix, its load, its queue, and what cards could do.

use serde::Serialize;

use super::capacity::Basis;
use super::case::Evaluation;
use super::resolve_host::HostFacts;
use super::roofline::{Burden, Cards, Expected};

/// Where a replica works.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OperatingPoint {
    /// Uncached input tokens per second at full load.
    pub input_tokens_per_second: f64,
    /// Output tokens per second at full load.
    pub output_tokens_per_second: f64,
    /// Prefill measured alone.
    pub prefill_tokens_per_second: Option<f64>,
    /// Decode measured alone.
    pub decode_tokens_per_second: Option<f64>,
    /// Sequences decoded together.
    pub batch_size: Option<f64>,
    /// Calls per second at full load.
    pub calls_per_second: f64,
    /// Seconds of one call, where the batch size is known.
    pub latency_seconds: Option<f64>,
    /// Load of the peak hour on the working replicas; the share of their full-load capacity.
    pub peak_load: f64,
    /// The same with one replica lost; null with one replica.
    pub peak_load_one_lost: Option<f64>,
    /// Mean wait in the queue at the target load; null at 100 %.
    pub queue_seconds_at_target_load: Option<f64>,
    /// Dollars of a replica hour, cards and fixed costs.
    pub usd_per_replica_hour: f64,
    /// Dollars for the traffic out of a replica hour at full load.
    pub egress_usd_per_replica_hour: f64,
    /// What the API would charge for what a replica hour produces at full load.
    pub api_value_usd_per_replica_hour: Option<f64>,
    /// Tokens that no engine on these cards exceeds.
    pub roofline_output_tokens_per_second: Option<f64>,
    /// Output tokens of this mix that these cards can be expected to reach before anyone measures.
    pub expected_output_tokens_per_second: Option<f64>,
}

pub(super) fn operating_point(
    evaluation: &Evaluation<'_>,
    facts: Option<&HostFacts>,
) -> Option<OperatingPoint> {
    let fleet = evaluation.fleet.as_ref()?;
    let host = evaluation.case.host.as_ref()?;
    let seconds = fleet.capacity.seconds_per_request;
    if seconds <= 0.0 {
        return None;
    }
    let bill = fleet.bill(evaluation.requests);
    let working = bill.replicas - fleet.case.redundant;
    let peak = fleet.levels().iter().copied().fold(0.0, f64::max);
    let busy = evaluation.requests / (fleet.hours * 3_600.0) * peak * seconds;
    let work = &evaluation.work;
    let value = evaluation
        .api
        .map(|api| api.marginal_usd() * 3_600.0 / seconds);
    Some(OperatingPoint {
        input_tokens_per_second: work.uncached_tokens / seconds,
        output_tokens_per_second: work.output_tokens / seconds,
        prefill_tokens_per_second: host.rates.prefill,
        decode_tokens_per_second: host.rates.decode,
        batch_size: host.batch_size,
        calls_per_second: work.calls / seconds,
        latency_seconds: fleet.capacity.latency_seconds,
        peak_load: busy / working.max(1.0),
        peak_load_one_lost: (bill.replicas > 1.0).then(|| busy / (bill.replicas - 1.0)),
        queue_seconds_at_target_load: queue_seconds(evaluation, working.max(1.0)),
        usd_per_replica_hour: (bill.usd() - evaluation.requests * fleet.marginal_usd())
            / bill.replica_hours,
        egress_usd_per_replica_hour: fleet.marginal_usd() * 3_600.0 / seconds,
        api_value_usd_per_replica_hour: value,
        roofline_output_tokens_per_second: facts?
            .roofline
            .map(|roofline| roofline.decode_tokens_per_second),
        expected_output_tokens_per_second: facts.and_then(|facts| expected(evaluation, facts)),
    })
}

/// Output tokens per second of the mix at the rates that the cards can be expected to reach.
fn expected(evaluation: &Evaluation<'_>, facts: &HostFacts) -> Option<f64> {
    let host = evaluation.case.host.as_ref()?;
    let (work, gpus) = (&evaluation.work, host.fleet.gpus_per_replica);
    let (batch, footprint) = (host.batch_size?, facts.footprint(gpus as u32)?);
    if work.calls <= 0.0 {
        return None;
    }
    // A sequence holds its whole input and, on average, half of its output.
    let held = (work.input_tokens + work.output_tokens / 2.0) / work.calls;
    let expected = Expected::new(
        Cards::new(facts.card.as_ref()?, gpus, facts.precision),
        Burden::of(facts.shape.as_ref()?, facts.precision),
        (batch, held * footprint.kv_bytes_per_token),
    )?;
    let seconds = work.seconds(Basis::Apart {
        prefill: expected.prefill_tokens_per_second,
        decode: expected.decode_tokens_per_second,
    });
    (seconds > 0.0).then(|| work.output_tokens / seconds)
}

/// Mean wait of the Allen-Cunneen approximation (Sakasegawa's exponent) with every sequence slot a
/// server: `(cₐ² + cₛ²)/2 · ρ^(√(2(c+1)) − 1)/(c(1 − ρ)) · service`.
fn queue_seconds(evaluation: &Evaluation<'_>, replicas: f64) -> Option<f64> {
    let fleet = evaluation.fleet.as_ref()?;
    let load = fleet.case.target_load;
    if load >= 1.0 || evaluation.work.calls <= 0.0 {
        return None;
    }
    let batch = evaluation.case.host.as_ref()?.batch_size;
    let (servers, service) = match (batch, fleet.capacity.latency_seconds) {
        (Some(batch), Some(latency)) => (replicas * batch, latency),
        (_, _) => (
            replicas,
            fleet.capacity.seconds_per_request / evaluation.work.calls,
        ),
    };
    let demand = &evaluation.case.demand;
    let variation = f64::midpoint(demand.burst.cv.powi(2), demand.output_tokens_cv.powi(2));
    let exponent = (2.0 * (servers + 1.0)).sqrt() - 1.0;
    Some(variation * load.powf(exponent) / (servers * (1.0 - load)) * service)
}
