//! One case against the other side: both bills, the break-even and the cheaper side.

use super::answer::{ApiAnswer, BreakEvenAnswer, Cheaper, HostAnswer, Method};
use super::capacity::Basis;
use super::case::{Case, Evaluation};
use crate::units::TOKENS_PER_MTOK;

/// Bills closer than this, relatively, are equal.
const EQUAL: f64 = 1e-9;

/// Both sides of a case and what their comparison says.
pub(super) struct Comparison<'a> {
    pub(super) evaluation: Evaluation<'a>,
    pub(super) api: Option<ApiAnswer>,
    pub(super) host: Option<HostAnswer>,
    pub(super) break_even: Option<BreakEvenAnswer>,
    pub(super) cheaper: Option<Cheaper>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(case: &'a Case) -> Self {
        let evaluation = Evaluation::new(case);
        Self {
            api: api_answer(&evaluation),
            host: host_answer(&evaluation),
            break_even: break_even_answer(&evaluation),
            cheaper: cheaper(&evaluation, evaluation.requests),
            evaluation,
        }
    }
}

/// The cheaper side at a volume; `None` where one is missing.
pub(super) fn cheaper(evaluation: &Evaluation<'_>, requests: f64) -> Option<Cheaper> {
    let api = evaluation.api_usd(requests)?;
    let host = evaluation.fleet_bill(requests)?.usd();
    Some(if (api - host).abs() <= EQUAL * api.max(host) {
        Cheaper::Equal
    } else if host < api {
        Cheaper::SelfHosted
    } else {
        Cheaper::Api
    })
}

fn api_answer(evaluation: &Evaluation<'_>) -> Option<ApiAnswer> {
    let bill = evaluation.api?;
    let requests = evaluation.requests;
    let input = bill.charge.input_usd * requests;
    let output = bill.charge.output_usd * requests;
    let other = bill.router_usd * requests
        + bill.fixed_usd_per_month
        + evaluation.shared.month_usd(requests);
    Some(ApiAnswer {
        model: evaluation.case.api.as_ref()?.prices.name.to_string(),
        usd_per_month: input + output + other,
        input_usd_per_month: input,
        output_usd_per_month: output,
        other_usd_per_month: other,
        usd_per_request: (input + output + other) / requests,
        blended_usd_per_mtok: bill.blended_usd_per_mtok(),
        input_tokens_per_request: bill.charge.input_tokens(),
        uncached_tokens_per_request: bill.charge.uncached_tokens,
        cache_read_tokens_per_request: bill.charge.read_tokens,
        cache_write_tokens_per_request: bill.charge.written_tokens,
        output_tokens_per_request: bill.charge.output_tokens,
        marginal_usd_per_request: bill.marginal_usd(),
    })
}

fn host_answer(evaluation: &Evaluation<'_>) -> Option<HostAnswer> {
    let fleet = evaluation.fleet.as_ref()?;
    let host = evaluation.case.host.as_ref()?;
    let requests = evaluation.requests;
    let bill = fleet.bill(requests);
    let shared = evaluation.shared.month_usd(requests);
    let split = Split::new(evaluation, bill.usd())?;
    // Of a fully used hour everything costs the same but the traffic out, which grows with the tokens.
    let egress = requests * fleet.marginal_usd();
    let of_bill = if egress > 0.0 {
        egress / bill.usd()
    } else {
        0.0
    };
    let at_full_load = bill.utilization * (1.0 - of_bill) + of_bill;
    let full = |price: Option<f64>| price.map(|price| price * at_full_load);
    let seconds = fleet.capacity.seconds_per_request;
    Some(HostAnswer {
        usd_per_month: bill.usd() + shared,
        gpu_usd_per_month: bill.gpu_usd,
        staff_usd_per_month: bill.staff_usd,
        other_usd_per_month: bill.other_usd + shared,
        replicas: bill.replicas,
        gpus: bill.gpus,
        utilization: bill.utilization,
        usd_per_request: (bill.usd() + shared) / requests,
        method: split.method,
        input_usd_per_mtok: split.input,
        output_usd_per_mtok: split.output,
        full_load_input_usd_per_mtok: full(split.input),
        full_load_output_usd_per_mtok: full(split.output),
        uncached_input_usd_per_mtok: split.uncached_input,
        kappa: split.kappa,
        usd_per_gpu_hour: fleet.usd_per_gpu_hour(),
        requests_per_replica_month: fleet.monthly_capacity(1.0),
        output_tokens_per_second: if seconds > 0.0 {
            evaluation.work.output_tokens / seconds
        } else {
            host.rates.output.unwrap_or(0.0)
        },
        binding: fleet.capacity.binding,
    })
}

/// The self-hosted bill split over tokens: the parts times their tokens are the bill.
struct Split {
    method: Method,
    input: Option<f64>,
    uncached_input: Option<f64>,
    output: Option<f64>,
    kappa: Option<f64>,
}

impl Split {
    fn new(evaluation: &Evaluation<'_>, usd: f64) -> Option<Self> {
        let rates = evaluation.case.host.as_ref()?.rates;
        let work = &evaluation.work;
        let per_mtok = |usd: f64, tokens_per_request: f64| {
            let tokens = tokens_per_request * evaluation.requests;
            (tokens > 0.0).then(|| usd * TOKENS_PER_MTOK / tokens)
        };
        let kappa = work.kappa(&rates);
        let (method, input_share) = match (rates.basis()?, rates.prefill.zip(rates.decode)) {
            (Basis::OutputOnly { .. }, _) => (Method::OutputOnly, 0.0),
            (_, Some((prefill, decode))) => {
                let read = work.uncached_tokens / prefill;
                let share = read / (read + work.output_tokens / decode);
                (Method::TimeShare, share)
            }
            (_, None) => {
                let tokens = work.uncached_tokens + work.output_tokens;
                (Method::TotalTokens, work.uncached_tokens / tokens)
            }
        };
        if method == Method::OutputOnly {
            return Some(Self {
                method,
                input: None,
                uncached_input: None,
                output: per_mtok(usd, work.output_tokens),
                kappa: None,
            });
        }
        Some(Self {
            method,
            input: per_mtok(usd * input_share, work.input_tokens),
            uncached_input: per_mtok(usd * input_share, work.uncached_tokens),
            output: per_mtok(usd * (1.0 - input_share), work.output_tokens),
            kappa,
        })
    }
}

fn break_even_answer(evaluation: &Evaluation<'_>) -> Option<BreakEvenAnswer> {
    let found = evaluation.break_even()?;
    let fleet = evaluation.fleet.as_ref()?;
    let ratio = found.required_throughput_ratio.filter(|ratio| *ratio > 0.0);
    let seconds = fleet.capacity.seconds_per_request;
    let exists = found.exists();
    let first = found.first.filter(|_| exists);
    Some(BreakEvenAnswer {
        exists,
        requests_per_month: first.map(|point| point.requests_per_month),
        requests_per_day: first.map(|point| point.requests_per_month * 24.0 / fleet.hours),
        utilization: first.map(|point| point.utilization),
        usd_per_month: first.map(|point| point.usd_per_month),
        permanent_from_requests_per_month: found.permanent.map(|point| point.requests_per_month),
        permanent_is_bound: found.permanent_is_bound,
        required_usd_per_gpu_hour: ratio.map(|ratio| fleet.usd_per_gpu_hour() / ratio),
        required_output_tokens_per_second: ratio
            .filter(|_| seconds > 0.0)
            .map(|ratio| evaluation.work.output_tokens / seconds * ratio),
        crossings: found.crossings,
    })
}
