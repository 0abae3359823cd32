//! Common claims about the cost of language models, held against this scenario's numbers.

use super::amount::{count_or_absent, count_small, percent, short, times, usd, usd_or_absent};
use super::{Part, section, table};
use crate::cost::answer::{Answer, ApiAnswer, BreakEvenAnswer, HostAnswer};
use crate::cost::yardstick::Yardsticks;

/// Utilization under which self-hosting is said to make no sense.
const USUAL_UTILIZATION: f64 = 0.2;
/// Monthly API bill at which self-hosting is said to break even.
const USUAL_SPEND: (f64, f64) = (5_000.0, 15_000.0);
/// How far a number may be from a claim that is about right.
const ABOUT: std::ops::Range<f64> = 0.8..1.25;
/// Characters of a name.
const NAME: usize = 50;
const MONTHS_PER_YEAR: f64 = 12.0;

/// A claim with what holds here.
struct Check {
    claim: &'static str,
    holds: &'static str,
    here: String,
}

fn check(claim: &'static str, holds: bool, here: String) -> Check {
    Check {
        claim,
        holds: if holds { "yes" } else { "no" },
        here,
    }
}

/// Common claims beside what this scenario says.
pub(super) fn checked(answer: &Answer) -> Option<Part> {
    let api = answer.api.as_ref()?;
    let known = &answer.view.yardsticks;
    let mut checks = vec![one_price(api), input_dominates(api)];
    checks.extend(long_prompt(known));
    checks.extend(cheaper_models(known));
    checks.extend(routing(known));
    if let Some(host) = &answer.self_hosted {
        checks.extend(throughput(answer));
        checks.extend(output_alone(answer));
        checks.push(hosting_is_cards(host));
        checks.extend(rental(answer, host));
        checks.extend(electricity(answer));
    }
    if let (Some(found), Some(host)) = (&answer.break_even, &answer.self_hosted) {
        checks.extend(usual_spend(answer, found, host));
        checks.extend(usual_utilization(found));
        checks.extend(same_model(answer));
    }
    checks.extend(index(known));
    let rows = checks
        .into_iter()
        .map(|check| vec![check.claim.to_owned(), check.holds.to_owned(), check.here])
        .collect();
    let notes = vec![
        "Rules of thumb from guides to the cost of language models, each beside this scenario's own numbers.".to_owned(),
    ];
    let table = table(3, &["claim", "holds here", "because"], rows);
    Some(section("Common claims", notes, table))
}

fn one_price(api: &ApiAnswer) -> Check {
    check(
        "cost is all tokens times one price",
        false,
        format!(
            "input and output have prices of their own; one price would have to be this mix's {} per million tokens",
            usd_or_absent(api.blended_usd_per_mtok)
        ),
    )
}

fn input_dominates(api: &ApiAnswer) -> Check {
    let all = api.input_tokens_per_request + api.output_tokens_per_request;
    let of_tokens = api.input_tokens_per_request / all;
    let bill = api.input_usd_per_month + api.output_usd_per_month;
    let of_cost = api.input_usd_per_month / bill;
    check(
        "input tokens dominate the bill",
        of_cost > 0.5,
        format!(
            "input is {} of the tokens and {} of their cost",
            percent(of_tokens),
            percent(of_cost)
        ),
    )
}

fn long_prompt(known: &Yardsticks) -> Option<Check> {
    let long = known.long_prompt?;
    Some(check(
        "a system prompt of 4,000 tokens doubles the cost of one with 500",
        ABOUT.contains(&(long.ratio / 2.0)),
        format!(
            "it multiplies the API bill by {}, or by {} with 99 % of it read from the prompt cache",
            count_small(long.ratio),
            count_small(long.cached_ratio)
        ),
    ))
}

fn cheaper_models(known: &Yardsticks) -> Option<Check> {
    let least = known.cheaper_models.first()?;
    let most = known.cheaper_models.last()?;
    let within = |times: f64| (10.0..=20.0).contains(&times);
    let here = if least == most {
        format!(
            "{} costs {} less for this mix",
            short(&most.name, NAME),
            times(most.times_cheaper)
        )
    } else {
        format!(
            "from {} less ({}) to {} less ({}) for this mix",
            times(least.times_cheaper),
            short(&least.name, NAME),
            times(most.times_cheaper),
            short(&most.name, NAME)
        )
    };
    Some(check(
        "smaller models cost 10 to 20 times less",
        within(least.times_cheaper) && within(most.times_cheaper),
        here,
    ))
}

fn routing(known: &Yardsticks) -> Option<Check> {
    let routing = known.routing.as_ref()?;
    let five = routing.share_for_five.map_or_else(
        || "no share is enough for a factor of 5".to_owned(),
        |share| format!("a factor of 5 takes {}", percent(share)),
    );
    Some(check(
        "sending 70 % of the traffic to a smaller model cuts the cost 5 to 10 times",
        routing.saving >= 5.0,
        format!(
            "with {} it cuts the cost {}; with a model that costs nothing it would be {}; {five}",
            short(&routing.model, NAME),
            times(routing.saving),
            times(routing.most)
        ),
    ))
}

fn throughput(answer: &Answer) -> Option<Check> {
    if let Some(bandwidth) = answer.view.yardsticks.bandwidth {
        let rate = answer.self_hosted.as_ref()?.output_tokens_per_second;
        return Some(check(
            "the throughput is typical of a batch of 8",
            bandwidth.least_batch <= 8.0,
            format!(
                "memory bandwidth allows at most {} output tokens/s with 8 sequences; {} take {} sequences or more, or fewer bits per weight",
                count_small(bandwidth.of_eight_tokens_per_second),
                count_small(rate),
                count_small(bandwidth.least_batch)
            ),
        ));
    }
    let point = answer.view.operating_point.as_ref()?;
    let roofline = point.roofline_output_tokens_per_second?;
    let rate = point.output_tokens_per_second;
    Some(check(
        "the throughput can be reached",
        rate <= roofline,
        format!(
            "{} output tokens/s of a replica; memory bandwidth allows at most {} at this batch size",
            count_small(rate),
            count_small(roofline)
        ),
    ))
}

fn output_alone(answer: &Answer) -> Option<Check> {
    let implied = answer.view.yardsticks.implied_input_tokens_per_second?;
    let bound = answer
        .view
        .yardsticks
        .roofline_input_tokens_per_second
        .map_or(String::new(), |bound| {
            format!(
                "; these cards read at most {} with nothing else to do",
                count_small(bound)
            )
        });
    let rate = answer.self_hosted.as_ref()?.output_tokens_per_second;
    Some(check(
        "output tokens per second size the fleet",
        false,
        format!(
            "{} output tokens/s of this mix mean {} input tokens/s as well, which nobody has shown{bound}",
            count_small(rate),
            count_small(implied)
        ),
    ))
}

fn hosting_is_cards(host: &HostAnswer) -> Check {
    let share = host.gpu_usd_per_month / host.usd_per_month;
    check(
        "self-hosting costs what the cards cost",
        share > 0.95 && host.staff_usd_per_month > 0.0,
        if host.staff_usd_per_month > 0.0 {
            format!(
                "the cards are {} of the bill, staff {}",
                percent(share),
                usd(host.staff_usd_per_month)
            )
        } else {
            "here only because no staff, updates and stand-by are counted".to_owned()
        },
    )
}

fn rental(answer: &Answer, host: &HostAnswer) -> Option<Check> {
    let offers = answer.view.yardsticks.offers?;
    let (low, high) = (offers.low_usd_per_gpu_hour, offers.high_usd_per_gpu_hour);
    Some(check(
        "a card has one going rate",
        offers.count > 1 && high / low < 1.25,
        format!(
            "{} offers of the card are known, from {} to {} an hour; here it costs {}",
            offers.count,
            usd(low),
            usd(high),
            usd(host.usd_per_gpu_hour)
        ),
    ))
}

fn usual_spend(answer: &Answer, found: &BreakEvenAnswer, host: &HostAnswer) -> Option<Check> {
    let spend = found.usd_per_month?;
    let stated = answer
        .assumptions
        .iter()
        .find(|line| line.key == "self_hosted.staff.usd_per_year");
    let yearly = stated.and_then(|line| line.value.as_f64())?;
    let engineers = |spend: f64| (spend - host.gpu_usd_per_month) * MONTHS_PER_YEAR / yearly;
    let (low, high) = (engineers(USUAL_SPEND.0), engineers(USUAL_SPEND.1));
    let room = if low > 0.0 {
        format!(
            "; the claim leaves room for {} to {} engineers beside today's cards",
            count_small(low),
            count_small(high)
        )
    } else {
        String::new()
    };
    Some(check(
        "break-even lies at an API bill of $5,000 to $15,000 a month",
        (USUAL_SPEND.0..=USUAL_SPEND.1).contains(&spend),
        format!("here at {}{room}", usd(spend)),
    ))
}

fn usual_utilization(found: &BreakEvenAnswer) -> Option<Check> {
    let utilization = found.utilization?;
    Some(check(
        "self-hosting makes no sense below 20 % utilization",
        ABOUT.contains(&(utilization / USUAL_UTILIZATION)),
        format!("here it breaks even at {}", percent(utilization)),
    ))
}

/// What varies with the load where cards are rented.
fn electricity(answer: &Answer) -> Option<Check> {
    let owned = answer
        .assumptions
        .iter()
        .any(|line| line.key.starts_with("self_hosted.owned"));
    let parts = answer.view.host_parts?;
    (!owned).then(|| {
        check(
            "the variable cost of self-hosting is electricity",
            false,
            format!(
                "rented machines cost the same whether they work or wait; what varies is traffic out ({} a month) and the number of replicas",
                usd(parts.egress_usd)
            ),
        )
    })
}

/// The like-for-like comparator is the same model, hosted by somebody else.
fn same_model(answer: &Answer) -> Option<Check> {
    let same: Vec<String> = answer
        .alternatives
        .iter()
        .filter(|other| other.same_model == Some(true))
        .map(|other| {
            let found = other.break_even.as_ref();
            match found.and_then(|found| found.permanent_from_requests_per_month) {
                Some(at) => format!(
                    "against {} only above {} requests a month",
                    short(&other.name, NAME),
                    count_or_absent(Some(at))
                ),
                None => format!("against {} never", short(&other.name, NAME)),
            }
        })
        .collect();
    // It holds where the very same model is beaten at the volumes at which the API is.
    let from = |found: Option<&BreakEvenAnswer>| found?.permanent_from_requests_per_month;
    let here = from(answer.break_even.as_ref());
    let pays = answer
        .alternatives
        .iter()
        .filter(|other| other.same_model == Some(true))
        .all(|other| {
            let there = from(other.break_even.as_ref());
            here.zip(there).is_some_and(|(here, there)| there <= here)
        });
    (!same.is_empty()).then(|| {
        check(
            "self-hosting wins once the API bill passes the hosting bill",
            pays,
            format!(
                "that compares two models; for the very same model self-hosting pays {}",
                same.join(", ")
            ),
        )
    })
}

fn index(known: &Yardsticks) -> Option<Check> {
    let usd_once = known.index_usd?;
    Some(check(
        "embedding the documents costs next to nothing",
        usd_once < 1_000.0,
        format!(
            "the whole index costs {} each time it is built",
            usd(usd_once)
        ),
    ))
}
