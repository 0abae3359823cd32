//! Side by side: what-ifs, other APIs, other cards, precisions and rentals.

use super::answer::{Alternative, ApiAnswer, HostAnswer, WhatIfAnswer};
use super::bill::ApiCase;
use super::case::Case;
use super::comparison::Comparison;
use super::resolve::{Resolved, Sources, Used, resolve_scenario};
use super::resolve_api::resolve_alternative;
use super::scenario::edit::{is_throughput, states_throughput};
use super::scenario::parse::Refusal;
use super::scenario::{Api, Document, ScenarioError, Side};
use super::warning::Warning;

/// Another way to serve the workload, and the case it comes from.
pub(super) struct Other {
    pub(super) answer: Alternative,
    pub(super) case: Case,
}

/// One row for each lever of the scenario.
pub(super) fn what_ifs(
    document: &Document,
    base: &mut Resolved,
    sources: Sources<'_>,
) -> Result<Vec<WhatIfAnswer>, ScenarioError> {
    let case = base.case.clone();
    let today = Comparison::new(&case);
    let bill = |api: &Option<ApiAnswer>| api.as_ref().map(|api| api.usd_per_month);
    let host_bill = |host: &Option<HostAnswer>| host.as_ref().map(|host| host.usd_per_month);
    let change = |now: Option<f64>, then: Option<f64>| Some(then? - now?);
    let mut rows = Vec::new();
    for (index, what_if) in document.scenario.what_if.iter().enumerate() {
        let scenario = document.with_what_if(index, what_if)?;
        let resolved = resolve_scenario(&scenario, sources).map_err(|refusal| {
            document.place(Refusal {
                key: format!("what_if.{index}.set"),
                problem: format!("what-if `{}`: {}", what_if.name, refusal.problem),
                hint: refusal.hint,
            })
        })?;
        if !what_if.set.keys().any(|key| is_throughput(key)) && runs_elsewhere(base, &resolved) {
            let name = what_if.name.clone();
            base.warnings.push(Warning::InheritedThroughput { name });
        }
        let then = Comparison::new(&resolved.case);
        let found = then.break_even.as_ref();
        rows.push(WhatIfAnswer {
            name: what_if.name.clone(),
            api_usd_per_month: bill(&then.api),
            self_hosted_usd_per_month: host_bill(&then.host),
            api_change_usd_per_month: change(bill(&today.api), bill(&then.api)),
            self_hosted_change_usd_per_month: change(host_bill(&today.host), host_bill(&then.host)),
            break_even_requests_per_month: found.and_then(|found| found.requests_per_month),
            permanent_from_requests_per_month: found
                .and_then(|found| found.permanent_from_requests_per_month),
            utilization: then.host.as_ref().map(|host| host.utilization),
            cheaper_now: then.cheaper,
        });
        let own = format!("what_if.{index}.");
        let used = resolved
            .used
            .into_iter()
            .filter(|used| !base.used.contains(used));
        let used: Vec<Used> = used
            .map(|used| Used {
                key: format!("{own}{}", used.key),
                ..used
            })
            .collect();
        base.adopt(&what_if.name, resolved.warnings, used);
    }
    Ok(rows)
}

/// One row for each alternative of either side; what they use and what should be doubted of them
/// goes to the base case.
pub(super) fn alternatives(
    document: &Document,
    resolved: &mut Resolved,
    sources: Sources<'_>,
) -> Result<Vec<Other>, ScenarioError> {
    let scenario = &document.scenario;
    let mut rows = Vec::new();
    let others = scenario
        .api
        .as_ref()
        .map_or(&[][..], |api| &api.alternative);
    for (index, section) in others.iter().enumerate() {
        let (api, desk) = resolve_alternative(index, section, scenario, (&resolved.case, sources))
            .map_err(|refusal| document.place(refusal))?;
        let row = api_alternative(index, section, api, &resolved.case);
        resolved.adopt(&row.answer.name, desk.warnings, desk.used);
        rows.push(row);
    }
    let others = scenario
        .self_hosted
        .as_ref()
        .map_or(&[][..], |host| &host.alternative);
    for (index, section) in others.iter().enumerate() {
        let name = section
            .name
            .clone()
            .unwrap_or_else(|| format!("self-hosted alternative {}", index + 1));
        let other = document.with_alternative(index)?;
        let other = resolve_scenario(&other, sources).map_err(|refusal| {
            document.place(Refusal {
                key: format!("self_hosted.alternative.{index}"),
                problem: format!("`{name}`: {}", refusal.problem),
                hint: refusal.hint,
            })
        })?;
        if !states_throughput(document, index) && runs_elsewhere(resolved, &other) {
            let name = name.clone();
            resolved
                .warnings
                .push(Warning::InheritedThroughput { name });
        }
        let own = format!("self_hosted.alternative.{index}.");
        let used = other.used.into_iter().filter_map(|used| {
            let key = format!("{own}{}", used.key.strip_prefix("self_hosted.")?);
            Some(Used { key, ..used })
        });
        resolved.adopt(&name, other.warnings, used.collect());
        let answer = host_alternative(name, &other.case);
        rows.extend(answer.map(|answer| Other {
            answer,
            case: other.case,
        }));
    }
    Ok(rows)
}

/// Whether an alternative runs the model in a way that changes how fast it is.
fn runs_elsewhere(base: &Resolved, other: &Resolved) -> bool {
    let engine = |resolved: &Resolved| {
        let facts = resolved.host.as_ref()?;
        let host = resolved.case.host.as_ref()?;
        Some((
            (facts.gpu.clone(), facts.model.clone()),
            (facts.precision, facts.kv_precision),
            (
                host.fleet.gpus_per_replica.to_bits(),
                host.batch_size.map(f64::to_bits),
            ),
        ))
    };
    engine(base) != engine(other)
}

fn api_alternative(index: usize, section: &Api, api: ApiCase, base: &Case) -> Other {
    let name = section
        .name
        .clone()
        .unwrap_or_else(|| format!("API alternative {}", index + 1));
    let case = Case {
        api: Some(api),
        ..base.clone()
    };
    let comparison = Comparison::new(&case);
    let bill = comparison.api.as_ref();
    let answer = Alternative {
        name,
        side: Side::Api,
        same_model: section.same_model,
        usd_per_month: bill.map_or(0.0, |api| api.usd_per_month),
        usd_per_request: bill.map_or(0.0, |api| api.usd_per_request),
        replicas: None,
        utilization: None,
        break_even: comparison.break_even,
        cheaper_now: comparison.cheaper,
    };
    Other { answer, case }
}

fn host_alternative(name: String, case: &Case) -> Option<Alternative> {
    let comparison = Comparison::new(case);
    let host = comparison.host?;
    Some(Alternative {
        name,
        side: Side::SelfHosted,
        same_model: None,
        usd_per_month: host.usd_per_month,
        usd_per_request: host.usd_per_request,
        replicas: Some(host.replicas),
        utilization: Some(host.utilization),
        break_even: comparison.break_even,
        cheaper_now: comparison.cheaper,
    })
}
