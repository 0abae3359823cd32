//! Both bills in parts, as a waterfall shows them; the parts of each add up to its bill.

use serde::Serialize;

use super::case::Evaluation;

/// The API bill of a month in parts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ApiParts {
    /// Input at the full price.
    pub uncached_usd: f64,
    /// Input read from the cache.
    pub read_usd: f64,
    /// Input written to the cache.
    pub written_usd: f64,
    /// Output.
    pub output_usd: f64,
    /// Routing.
    pub router_usd: f64,
    /// Fixed fee and stored cache.
    pub fixed_usd: f64,
    /// Embeddings, reranking and vector store.
    pub shared_usd: f64,
}

/// The self-hosted bill of a month in parts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HostParts {
    /// Cards while they work.
    pub working_usd: f64,
    /// Cards that wait for load: off-peak hours, whole replicas, room below the target load.
    pub idle_usd: f64,
    /// Cards of stand-by replicas.
    pub spare_usd: f64,
    /// Staff and updates.
    pub staff_usd: f64,
    /// Storage and whatever else is fixed.
    pub running_usd: f64,
    /// The month's part of what is paid once.
    pub one_off_usd: f64,
    /// Traffic out.
    pub egress_usd: f64,
    /// Embeddings, reranking and vector store.
    pub shared_usd: f64,
}

impl ApiParts {
    pub(super) fn new(evaluation: &Evaluation<'_>) -> Option<Self> {
        let bill = evaluation.api?;
        let requests = evaluation.requests;
        let charge = bill.charge;
        Some(Self {
            uncached_usd: (charge.input_usd - charge.read_usd - charge.written_usd) * requests,
            read_usd: charge.read_usd * requests,
            written_usd: charge.written_usd * requests,
            output_usd: charge.output_usd * requests,
            router_usd: bill.router_usd * requests,
            fixed_usd: bill.fixed_usd_per_month,
            shared_usd: evaluation.shared.month_usd(requests),
        })
    }
}

impl HostParts {
    pub(super) fn new(evaluation: &Evaluation<'_>) -> Option<Self> {
        let fleet = evaluation.fleet.as_ref()?;
        let requests = evaluation.requests;
        let bill = fleet.bill(requests);
        let spare_share = fleet.case.redundant * fleet.hours / bill.replica_hours;
        let (working_usd, spare_usd) =
            (bill.gpu_usd * bill.utilization, bill.gpu_usd * spare_share);
        let fixed = &fleet.case.fixed;
        Some(Self {
            working_usd,
            idle_usd: bill.gpu_usd - working_usd - spare_usd,
            spare_usd,
            staff_usd: bill.staff_usd,
            running_usd: fixed.running_usd(),
            one_off_usd: fixed.amortized_usd(),
            egress_usd: requests * fleet.marginal_usd(),
            shared_usd: evaluation.shared.month_usd(requests),
        })
    }
}
