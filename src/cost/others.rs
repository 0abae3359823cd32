//! Other ways to serve the workload: further sellers, cards, precisions and rentals, side by side.

use super::answer::Alternative;
use super::bill::ApiCase;
use super::case::Case;
use super::comparison::Comparison;
use super::resolve::{Resolved, Sources, resolve_alternative, resolve_scenario};
use super::scenario::edit::states_throughput;
use super::scenario::parse::Refusal;
use super::scenario::{Api, Document, ScenarioError, Side};
use super::warning::Warning;

/// Another way to serve the workload, and the case it comes from.
pub(super) struct Other {
    pub(super) answer: Alternative,
    pub(super) case: Case,
}

/// Every alternative of the scenario, those of the API first.
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
        let api = resolve_alternative(index, section, scenario, (&resolved.case, sources))
            .map_err(|refusal| document.place(refusal))?;
        rows.push(api_alternative(index, section, api, &resolved.case));
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
        if !states_throughput(document, index) {
            resolved.warnings.push(Warning::new(
                "inherited_throughput",
                format!("`{name}` has the throughput of the base case, which another configuration reached"),
                "measure it and state its own rates or results",
            ));
        }
        rows.extend(host_alternative(name, &other.case).map(|answer| Other {
            answer,
            case: other.case,
        }));
    }
    Ok(rows)
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
