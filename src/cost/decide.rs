//! From a scenario to its answer.

use super::alternatives::{Other, alternatives, what_ifs};
use super::answer::{
    Alternative, Answer, BreakEvenAnswer, ForecastAnswer, SCHEMA, SharedAnswer, VolumeAnswer,
};
use super::budget;
use super::case::{Case, Evaluation};
use super::comparison::{Comparison, cheaper};
use super::conversation::calls;
use super::copula::{Copula, Pair};
use super::distribution::Distribution;
use super::horizon;
use super::ledger::ledger;
use super::outlook::{self, Candidate};
use super::parameter::Parameter;
use super::resolve::{Resolved, Sources, resolve};
use super::scenario::parse::Refusal;
use super::scenario::{Document, MeetsQuality, Scenario, ScenarioError, Side};
use super::sensitivity::tornado;
use super::traffic::Demand;
use super::uncertainty::{Drawn, Experiment, UncertaintyAnswer, draw};
use super::verdict::{Grounds, verdict};
use super::view::View;
use super::warning::Warning;
use super::yardstick::Yardsticks;
use crate::units::SECONDS_PER_HOUR;

/// Variation between hosts where a study measured one host and the scenario says nothing.
const ASSUMED_BETWEEN_HOST_CV: f64 = 0.05;

/// Answers a scenario.
pub fn answer(document: &Document, sources: Sources<'_>) -> Result<Answer, ScenarioError> {
    let place = |refusal| document.place(refusal);
    let scenario = &document.scenario;
    let mut resolved = resolve(document, sources)?;
    let experiment = experiment(scenario, &mut resolved).map_err(place)?;
    let uncertainty = draw(&resolved.case, &experiment).map(|mut drawn| {
        drawn.between_host_cv = host_cv(scenario, &resolved);
        drawn
    });
    let others = alternatives(document, &mut resolved, sources)?;
    let what_if = what_ifs(document, &mut resolved, sources)?;
    let comparison = Comparison::new(&resolved.case);
    let mut warnings = resolved.warnings.clone();
    warnings.extend(doubts(scenario, &comparison, &resolved));
    let grounds = Grounds {
        requests: comparison.evaluation.requests,
        api: comparison.api.as_ref(),
        host: comparison.host.as_ref(),
        break_even: comparison.break_even.as_ref(),
        cheaper: comparison.cheaper,
        uncertainty: uncertainty.as_ref(),
        decision: &scenario.decision,
        quality: resolved.quality,
    };
    let sentence = verdict(&grounds);
    let evaluation = &comparison.evaluation;
    let horizon = resolved
        .host
        .as_ref()
        .and_then(|facts| horizon::look_ahead(&scenario.horizon, evaluation, facts));
    let drawn = uncertainty.as_ref().map(|told| (&experiment, told));
    let view = draw_view(&resolved, &others, drawn, sources);
    Ok(Answer {
        schema: SCHEMA,
        as_of: scenario.as_of.map(|date| date.to_string()),
        catalog_hash: sources.book.hash(),
        volume: volume(evaluation),
        shared: SharedAnswer {
            usd_per_month: evaluation.shared.month_usd(evaluation.requests),
            wrong_answers_per_month: evaluation.requests
                * resolved.case.demand.semantic_hit_rate
                * resolved.case.demand.semantic_wrong_answer_rate,
        },
        verdict: sentence,
        assumptions: ledger(document, &resolved, host_cv(scenario, &resolved)),
        sensitivity: tornado(&resolved.case, &experiment.inputs),
        alternatives: others.into_iter().map(|other| other.answer).collect(),
        what_if,
        forecast: forecast(evaluation),
        horizon,
        budget: budget::apply(&scenario.budget, evaluation),
        view,
        api: comparison.api,
        self_hosted: comparison.host,
        break_even: comparison.break_even,
        cheaper_now: comparison.cheaper,
        warnings,
        uncertainty,
    })
}

/// The break-even of a document and of each of its alternatives, and nothing else.
pub fn break_evens(
    document: &Document,
    sources: Sources<'_>,
) -> Result<(Option<BreakEvenAnswer>, Vec<Alternative>), ScenarioError> {
    let mut resolved = resolve(document, sources)?;
    let others = alternatives(document, &mut resolved, sources)?;
    let others = others.into_iter().map(|other| other.answer).collect();
    Ok((Comparison::new(&resolved.case).break_even, others))
}

/// Tables and curves of the base case and of its alternatives.
fn draw_view(
    resolved: &Resolved,
    others: &[Other],
    drawn: Option<(&Experiment, &UncertaintyAnswer)>,
    sources: Sources<'_>,
) -> View {
    let (case, facts) = (&resolved.case, resolved.host.as_ref());
    let mut view = View::new(case, facts, &sources.book.gpus());
    let side = |side, there: bool| {
        there.then_some(Candidate {
            name: None,
            side,
            same_model: None,
            case,
        })
    };
    let base = [
        side(Side::Api, case.api.is_some()),
        side(Side::SelfHosted, case.host.is_some()),
    ];
    let compared = others.iter().map(|other| Candidate {
        name: Some(&other.answer.name),
        side: other.answer.side,
        same_model: other.answer.same_model,
        case: &other.case,
    });
    let drawn = drawn.map(|(experiment, told)| (experiment, case, told));
    view.volumes = outlook::volumes(&Evaluation::new(case));
    view.options = base
        .into_iter()
        .flatten()
        .chain(compared)
        .map(|candidate| outlook::outlook(&candidate, &view.volumes, drawn))
        .collect();
    if let Some((experiment, _, _)) = drawn {
        view.band = outlook::band(case, experiment, &view.band_volumes());
    }
    let apis: Vec<(&str, &Case)> = others
        .iter()
        .filter(|other| other.answer.side == Side::Api)
        .map(|other| (other.answer.name.as_str(), &other.case))
        .collect();
    view.yardsticks = Yardsticks::new(case, facts, &apis, sources.book);
    view
}

fn volume(evaluation: &Evaluation<'_>) -> VolumeAnswer {
    let case = evaluation.case;
    let per_second = evaluation.requests / (case.hours_per_month * SECONDS_PER_HOUR);
    VolumeAnswer {
        requests_per_month: evaluation.requests,
        requests_per_day: evaluation.requests * 24.0 / case.hours_per_month,
        hours_per_month: case.hours_per_month,
        requests_per_second: per_second,
        peak_requests_per_second: per_second * case.demand.profile.peak(),
        rejected_share: evaluation.work.rejected_share,
    }
}

fn forecast(evaluation: &Evaluation<'_>) -> ForecastAnswer {
    let growth = &evaluation.case.demand.forecast;
    let grown = (1.0 + growth.growth_per_month).powf(f64::from(growth.months));
    let requests = evaluation.requests * grown;
    let shared = evaluation.shared.month_usd(requests);
    let fleet = evaluation.fleet_bill(requests);
    ForecastAnswer {
        months: growth.months,
        requests_per_month: requests,
        api_usd_per_month: evaluation.api_usd(requests).map(|usd| usd + shared),
        self_hosted_usd_per_month: fleet.map(|bill| bill.usd() + shared),
        utilization: fleet.map(|bill| bill.utilization),
        cheaper: cheaper(evaluation, requests),
    }
}

fn host_cv(scenario: &Scenario, resolved: &Resolved) -> Option<f64> {
    let measured = resolved.host.as_ref()?.measured.is_some();
    measured.then(|| {
        scenario
            .uncertainty
            .between_host_cv
            .unwrap_or(ASSUMED_BETWEEN_HOST_CV)
    })
}

/// What is drawn: the inputs that the scenario names, and a measured throughput.
fn experiment(scenario: &Scenario, resolved: &mut Resolved) -> Result<Experiment, Refusal> {
    let settings = &scenario.uncertainty;
    let mut inputs = Vec::new();
    for (index, input) in settings.input.iter().enumerate() {
        let prefix = format!("uncertainty.input.{index}");
        let parameter = Parameter::find(&input.key, &mut resolved.case)
            .map_err(|error| Refusal::new(format!("{prefix}.key"), error.to_string()))?;
        let distribution = Distribution::new(input)
            .map_err(|error| Refusal::new(prefix.as_str(), error.to_string()))?;
        resolved.warnings.extend(
            out_of_range(&parameter, &distribution)
                .map_err(|problem| Refusal::new(prefix.as_str(), problem))?,
        );
        inputs.push(Drawn {
            parameter,
            distribution,
        });
    }
    let position = |key: &str| settings.input.iter().position(|input| input.key == key);
    let pairs: Vec<Pair> = settings
        .correlation
        .iter()
        .filter_map(|pair| {
            Some(Pair {
                first: position(&pair.keys[0])?,
                second: position(&pair.keys[1])?,
                rank_correlation: pair.rank_correlation,
            })
        })
        .collect();
    for key in settings.correlation.iter().flat_map(|pair| &pair.keys) {
        if position(key).is_none() {
            resolved
                .warnings
                .push(Warning::CorrelationWithoutDraw { key: key.clone() });
        }
    }
    let mut experiment = Experiment::new(settings, inputs);
    experiment.copula = Copula::new(experiment.inputs.len(), &pairs)
        .map_err(|error| Refusal::new("uncertainty.correlation", error.to_string()))?;
    experiment.throughput = throughput(scenario, resolved);
    Ok(experiment)
}

/// A distribution that leaves the range of its input, all of it but for one draw in a thousand at
/// either end: what lies outside is moved to the end of the range.
fn out_of_range(
    parameter: &Parameter,
    distribution: &Distribution,
) -> Result<Option<Warning>, String> {
    let (key, range) = (parameter.key, parameter.range());
    let ends = [0.001, 0.999].map(|share| distribution.quantile(share));
    if ends[1] < range.low || ends[0] > range.high {
        let problem = format!("every draw of `{key}` lies outside its range; it must be {range}");
        return Err(problem);
    }
    let inside = ends
        .iter()
        .all(|end| (range.low..=range.high).contains(end));
    Ok((!inside).then_some(Warning::DrawsOutOfRange { key, range }))
}

/// A measured throughput varies by its repetitions and from host to host.
fn throughput(scenario: &Scenario, resolved: &Resolved) -> Vec<Distribution> {
    let Some(cv) = host_cv(scenario, resolved) else {
        return Vec::new();
    };
    let mut factors = vec![Distribution::between_hosts(cv)];
    if let Some((_, point)) = resolved
        .host
        .as_ref()
        .and_then(|host| host.measured.as_ref())
    {
        let rate = point.output_tokens_per_second;
        factors.extend(
            super::distribution::student_quantile(rate.repetitions)
                .and_then(|t| rate.log_standard_error(t))
                .and_then(|error| Distribution::measured(error, rate.repetitions)),
        );
    }
    factors
}

/// What a reader should doubt about the comparison itself.
fn doubts(scenario: &Scenario, comparison: &Comparison<'_>, resolved: &Resolved) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let demand = &resolved.case.demand;
    if comparison.host.is_some() && comparison.api.is_some() {
        match resolved.quality {
            MeetsQuality::Unknown => warnings.push(Warning::QualityUnknown),
            MeetsQuality::Yes | MeetsQuality::No => {}
        }
    }
    if comparison
        .break_even
        .as_ref()
        .is_some_and(|found| found.permanent_is_bound)
    {
        warnings.push(Warning::PermanentIsBound);
    }
    if comparison
        .host
        .as_ref()
        .is_some_and(|host| host.replicas < 2.0)
    {
        warnings.push(Warning::SingleReplica);
    }
    warnings.extend(limits(demand));
    if host_cv(scenario, resolved).is_some() && scenario.uncertainty.between_host_cv.is_none() {
        warnings.push(Warning::BetweenHostCvAssumed {
            cv: ASSUMED_BETWEEN_HOST_CV,
        });
    }
    warnings
}

/// Limits that do nothing as they are stated.
fn limits(demand: &Demand) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let limit = demand.input_token_limit;
    let spread = demand.input_tokens_cv > 0.0 || demand.conversation.is_some();
    if limit > 0.0 && !spread && calls(demand).iter().all(|call| call.input <= limit) {
        warnings.push(Warning::LimitWithoutSpread);
    }
    if demand.session_token_limit > 0.0 && demand.conversation.is_none() {
        warnings.push(Warning::LimitWithoutSession);
    }
    warnings
}
