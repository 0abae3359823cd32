//! The usual comparison of an API with self-hosting, filled with this scenario's numbers.

use super::amount::{count, count_small, counted, percent, usd};
use super::{Part, names, section, table};
use crate::cost::answer::{Answer, ApiAnswer, BreakEvenAnswer, HostAnswer};
use crate::report::number::ABSENT;

/// Fixed cost, variable cost, fit, risk and break-even of both sides.
pub(super) fn comparison(answer: &Answer) -> Part {
    let absent = || ABSENT.to_owned();
    let api = |write: fn(&Answer, &ApiAnswer) -> String| {
        answer
            .api
            .as_ref()
            .map_or_else(absent, |api| write(answer, api))
    };
    let host = |write: fn(&Answer, &HostAnswer) -> String| {
        answer
            .self_hosted
            .as_ref()
            .map_or_else(absent, |host| write(answer, host))
    };
    let row = |factor: &str, api: String, host: String| vec![factor.to_owned(), api, host];
    let rows = vec![
        row("fixed cost", api(api_fixed), host(host_fixed)),
        row(
            "variable cost",
            api(|_, api| format!("{} a request", usd(api.marginal_usd_per_request))),
            host(host_variable),
        ),
        row("best for", api(api_best), host(host_best)),
        row("risk", api(api_risk), host(host_risk)),
        row("break-even", absent(), host(break_even)),
    ];
    let header = ["factor", "API", "self-hosted"];
    section("The comparison", Vec::new(), table(3, &header, rows))
}

fn api_fixed(answer: &Answer, _: &ApiAnswer) -> String {
    match answer.view.api_parts.map(|parts| parts.fixed_usd) {
        Some(fixed) if fixed > 0.0 => format!("{} a month", usd(fixed)),
        Some(_) | None => "none".to_owned(),
    }
}

fn host_fixed(answer: &Answer, host: &HostAnswer) -> String {
    let (one, many) = names::of_cards(answer);
    let staff = if host.staff_usd_per_month > 0.0 {
        format!(" and {} for staff", usd(host.staff_usd_per_month))
    } else {
        "; no staff is counted".to_owned()
    };
    format!(
        "{} a month for {}{staff}",
        usd(host.gpu_usd_per_month),
        counted(host.gpus, one, many)
    )
}

/// What the next replica and the next request cost.
fn host_variable(answer: &Answer, host: &HostAnswer) -> String {
    let egress = answer.view.host_parts.map_or(0.0, |parts| parts.egress_usd)
        / answer.volume.requests_per_month;
    let request = if egress > 0.0 {
        format!("{} a request for traffic out", usd(egress))
    } else {
        "nothing".to_owned()
    };
    let next = answer
        .view
        .stairs
        .iter()
        .zip(answer.view.stairs.iter().skip(1))
        .map(|(stair, next)| next.usd_per_month - stair.usd_per_month)
        .next();
    match next {
        Some(next) => format!(
            "{request} until a replica is full; the next one adds {} a month",
            usd(next)
        ),
        None => format!("{request} up to {}", count(host.requests_per_replica_month)),
    }
}

fn api_best(answer: &Answer, _: &ApiAnswer) -> String {
    let Some(found) = &answer.break_even else {
        return ABSENT.to_owned();
    };
    match (found.requests_per_month, lost_for_good(found)) {
        (Some(first), _) if first <= 0.0 => "no volume".to_owned(),
        (Some(first), _) => format!("under {} requests a month", count(first)),
        (None, Some(last)) => format!("above {} requests a month", count(last)),
        (None, None) => "every volume".to_owned(),
    }
}

fn host_best(answer: &Answer, _: &HostAnswer) -> String {
    let Some(found) = &answer.break_even else {
        return ABSENT.to_owned();
    };
    match (
        found.permanent_from_requests_per_month,
        lost_for_good(found),
    ) {
        (Some(permanent), _) if permanent <= 0.0 => "every volume".to_owned(),
        (Some(permanent), _) => format!(
            "a steady volume above {} requests a month",
            count(permanent)
        ),
        (None, Some(last)) => format!("only volumes under {} requests a month", count(last)),
        (None, None) => "no volume".to_owned(),
    }
}

/// The volume above which self-hosting, cheaper below it, never is again.
fn lost_for_good(found: &BreakEvenAnswer) -> Option<f64> {
    let last = found.crossings.last().filter(|_| !found.exists)?;
    Some(last.requests_per_month)
}

fn api_risk(answer: &Answer, _: &ApiAnswer) -> String {
    let flip = answer
        .sensitivity
        .iter()
        .filter(|lever| lever.key.starts_with("api.") && lever.key.contains("price"))
        .filter(|lever| lever.base > 0.0)
        .find_map(|lever| Some((lever, lever.flip_point?)));
    match flip {
        Some((lever, flip)) => format!(
            "the seller's prices: the answer flips when they {} {} times today's",
            if flip > lever.base {
                "rise above"
            } else {
                "fall under"
            },
            count_small(flip / lever.base)
        ),
        None => "the seller's prices, though no change of them flips the answer".to_owned(),
    }
}

fn host_risk(answer: &Answer, host: &HostAnswer) -> String {
    let mut risks = Vec::new();
    if let Some(horizon) = &answer.horizon {
        let halved = horizon.volume_halved.saving_usd_per_month;
        risks.push(if halved < 0.0 {
            format!("at half the volume it loses {} a month", usd(-halved))
        } else {
            format!("at half the volume it still saves {} a month", usd(halved))
        });
        if horizon.commitment_liability_usd > 0.0 {
            risks.push(format!(
                "bound for {}",
                usd(horizon.commitment_liability_usd)
            ));
        }
    }
    if host.replicas < 2.0 {
        risks.push("one replica, nothing to fall back on".to_owned());
    }
    if let Some(offers) = answer.view.yardsticks.offers {
        let (low, high) = (offers.low_usd_per_gpu_hour, offers.high_usd_per_gpu_hour);
        risks.push(if low < high {
            format!(
                "the same card is offered at {} to {} an hour",
                usd(low),
                usd(high)
            )
        } else {
            format!("one price of the card is known, {} an hour", usd(low))
        });
    }
    if risks.is_empty() {
        return ABSENT.to_owned();
    }
    risks.join("; ")
}

fn break_even(answer: &Answer, _: &HostAnswer) -> String {
    let Some(found) = &answer.break_even else {
        return ABSENT.to_owned();
    };
    match (found.usd_per_month, found.utilization) {
        (Some(_), Some(utilization)) if utilization <= 0.0 => "at every volume".to_owned(),
        (Some(spend), Some(utilization)) => format!(
            "at an API bill of {} a month, {} of the capacity in use",
            usd(spend),
            percent(utilization)
        ),
        (_, _) => match super::change::way_out(found) {
            Some(way) => format!("none, unless {way}"),
            None => "none, whatever the cards cost".to_owned(),
        },
    }
}
