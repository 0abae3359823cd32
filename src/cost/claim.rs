//! Claims that no card can keep: throughput above the roofline.

use super::capacity::Work;
use super::case::HostCase;
use super::resolve_host::HostFacts;
use super::scenario::SelfHosted;
use super::scenario::parse::Refusal;

/// Refuses throughput above the roofline where model, precision and batch size are all stated
/// or measured.
pub(super) fn refuse_impossible(
    section: &SelfHosted,
    host: &HostCase,
    facts: &HostFacts,
    work: &Work,
) -> Result<(), Refusal> {
    let stated =
        section.model.is_some() && section.precision.is_some() && section.batch_size.is_some();
    let (Some(roofline), true) = (facts.roofline, stated || facts.measured.is_some()) else {
        return Ok(());
    };
    let decode = roofline.decode_tokens_per_second;
    // A call takes both of its phases, so the tighter bound holds.
    let calls = |rate: Option<f64>, tokens: f64| {
        rate.filter(|_| tokens > 0.0)
            .map(|rate| rate / (tokens / work.calls))
    };
    let calls = [
        calls(Some(decode), work.output_tokens),
        calls(roofline.prefill_tokens_per_second, work.uncached_tokens),
    ];
    let claims = [
        ("output_tokens_per_second", host.rates.output, Some(decode)),
        ("decode_tokens_per_second", host.rates.decode, Some(decode)),
        (
            "requests_per_second",
            host.rates.goodput.filter(|_| work.calls > 0.0),
            calls.into_iter().flatten().reduce(f64::min),
        ),
        (
            "input_tokens_per_second",
            host.rates.input,
            roofline.prefill_tokens_per_second,
        ),
        (
            "prefill_tokens_per_second",
            host.rates.prefill,
            roofline.prefill_tokens_per_second,
        ),
    ];
    for (key, claim, bound) in claims {
        if let (Some(claim), Some(bound)) = (claim, bound)
            && claim > bound
        {
            return Err(above_roofline(section, facts, host, (key, claim, bound)));
        }
    }
    Ok(())
}

fn above_roofline(
    section: &SelfHosted,
    facts: &HostFacts,
    host: &HostCase,
    claim: (&str, f64, f64),
) -> Refusal {
    let (key, value, bound) = claim;
    let place = if section.results.is_some() {
        "self_hosted.results".to_owned()
    } else {
        format!("self_hosted.{key}")
    };
    let problem = format!(
        "{key} = {value} is above the roofline of {} x {}: at most {bound:.1} with {} in {} at batch {}",
        host.fleet.gpus_per_replica,
        facts.gpu,
        facts.model.as_deref().unwrap_or("this model"),
        facts.precision,
        host.batch_size.unwrap_or(1.0),
    );
    Refusal::new(place, problem).with_hint(way_out(facts, key, value))
}

/// What bounds a rate, and what would raise the bound.
fn way_out(facts: &HostFacts, key: &str, value: f64) -> String {
    match (facts.roofline, key) {
        (Some(roofline), "output_tokens_per_second" | "decode_tokens_per_second") => {
            let batch = roofline.step.least_batch(value);
            format!(
                "every step reads the weights once for the whole batch; raise batch_size to {batch} or more, use fewer bits per weight, or correct the rate"
            )
        }
        (_, "input_tokens_per_second" | "prefill_tokens_per_second") => {
            "the cards multiply no faster than their data sheet says; use more of them, or correct the rate".to_owned()
        }
        (_, _) => {
            "a call reads its input and writes its output at rates that the cards bound; raise batch_size, use more cards, or correct the rate".to_owned()
        }
    }
}
