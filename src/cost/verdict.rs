//! The decision in words, made from the numbers of the answer.

use super::answer::{ApiAnswer, BreakEvenAnswer, Cheaper, HostAnswer};
use super::scenario::{Decision, MeetsQuality};
use super::uncertainty::UncertaintyAnswer;

/// What the sentence is made from.
pub(super) struct Grounds<'a> {
    pub(super) requests: f64,
    pub(super) api: Option<&'a ApiAnswer>,
    pub(super) host: Option<&'a HostAnswer>,
    pub(super) break_even: Option<&'a BreakEvenAnswer>,
    pub(super) cheaper: Option<Cheaper>,
    pub(super) uncertainty: Option<&'a UncertaintyAnswer>,
    pub(super) decision: &'a Decision,
    pub(super) quality: MeetsQuality,
}

/// The sentence: today's bills, the permanent volume, the recommendation.
pub(super) fn verdict(grounds: &Grounds<'_>) -> String {
    let requests = amount(grounds.requests);
    let (api, host) = match (grounds.api, grounds.host) {
        (Some(api), Some(host)) => (api, host),
        (Some(api), None) => {
            return format!(
                "At {requests} requests a month the API costs {}. No self-hosted side is described, so there is nothing to compare.",
                usd(api.usd_per_month)
            );
        }
        (None, Some(host)) => {
            return format!(
                "At {requests} requests a month self-hosting costs {}. No API is described, so there is nothing to compare.",
                usd(host.usd_per_month)
            );
        }
        (None, None) => {
            return "Neither an API nor a self-hosted side is described.".to_owned();
        }
    };
    let bills = format!(
        "At {requests} requests a month the API costs {} and self-hosting {}.",
        usd(api.usd_per_month),
        usd(host.usd_per_month)
    );
    let crossing = grounds
        .break_even
        .map_or_else(String::new, |found| crossing(grounds.requests, found));
    format!("{bills} {crossing} {}", advice(grounds))
}

fn crossing(requests: f64, found: &BreakEvenAnswer) -> String {
    let throughput = found.required_output_tokens_per_second.map(amount);
    match (found.permanent_from_requests_per_month, throughput) {
        (Some(permanent), throughput) => {
            let holds = throughput.map_or_else(String::new, |throughput| {
                format!(
                    "; this holds while measured throughput ≥ {throughput} output tokens/s per replica"
                )
            });
            if permanent <= 0.0 {
                return format!("Self-hosting is cheaper at every volume{holds}.");
            }
            format!(
                "Self-hosting is cheaper for good above {} requests a month ({:.2} x this volume){holds}.",
                amount(permanent),
                permanent / requests
            )
        }
        (None, Some(throughput)) => {
            let rate = found
                .required_usd_per_gpu_hour
                .map_or_else(String::new, |rate| {
                    format!(" or cards below {rate:.4} USD an hour")
                });
            format!(
                "There is no break-even: it would take more than {throughput} output tokens/s per replica{rate}."
            )
        }
        (None, None) => {
            "There is no break-even: one more request costs less at the API than on one's own cards at any throughput.".to_owned()
        }
    }
}

/// The side to take, by what is cheaper now; the first crossing decides nothing.
fn advice(grounds: &Grounds<'_>) -> String {
    let Some(cheaper) = grounds.cheaper else {
        return String::new();
    };
    match (barred(grounds), cheaper) {
        (Some(reason), Cheaper::SelfHosted | Cheaper::Equal) => return reason.to_owned(),
        (Some(_), Cheaper::Api) => return "Stay with the API at this volume.".to_owned(),
        (None, _) => {}
    }
    if let Some(drawn) = grounds.uncertainty {
        let own = drawn.probability_self_hosted_cheaper;
        let least = grounds.decision.minimum_probability;
        let sure = match cheaper {
            Cheaper::SelfHosted => own,
            Cheaper::Api => 1.0 - own,
            Cheaper::Equal => 0.5,
        };
        if sure < least {
            return format!(
                "This is too close to call: self-hosting is cheaper with a probability of {} (± {:.1} %).",
                drawn.probability_text,
                drawn.standard_error * 100.0
            );
        }
    }
    let permanent = grounds
        .break_even
        .and_then(|found| found.permanent_from_requests_per_month);
    let text = match (cheaper, permanent) {
        (Cheaper::Api, _) => "Stay with the API at this volume.",
        (Cheaper::Equal, _) => "Neither side is cheaper at this volume.",
        (Cheaper::SelfHosted, Some(permanent)) if grounds.requests >= permanent => {
            if grounds.quality == MeetsQuality::Unknown {
                "Self-host at this volume, provided that the model's quality is checked first."
            } else {
                "Self-host at this volume."
            }
        }
        (Cheaper::SelfHosted, Some(_)) => {
            "Self-hosting is cheaper at this very volume but not for good: stay with the API until the permanent volume is reached."
        }
        (Cheaper::SelfHosted, None) => {
            "Self-hosting is cheaper at this very volume but never for good: stay with the API unless the volume is sure to stay where it is."
        }
    };
    text.to_owned()
}

/// Why self-hosting must not be recommended whatever it costs.
fn barred(grounds: &Grounds<'_>) -> Option<&'static str> {
    if grounds.decision.needs_frontier_model {
        Some("Stay with the API: a frontier model is needed, and it is only sold that way.")
    } else if grounds.quality == MeetsQuality::No {
        Some("Stay with the API: the self-hosted model is not good enough.")
    } else {
        None
    }
}

/// Dollars with thousands apart, cents below a thousand.
pub(crate) fn usd(value: f64) -> String {
    let digits = usize::from(value.abs() < 999.995) * 2;
    format!("{} USD", grouped(&format!("{value:.digits$}")))
}

/// An amount with thousands apart, three digits at least.
pub(crate) fn amount(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 1.0 => 1,
        _ => 4,
    };
    grouped(&format!("{value:.digits$}"))
}

/// A decimal with commas between its thousands.
pub(crate) fn grouped(text: &str) -> String {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let (sign, digits) = match whole.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", whole),
    };
    let mut grouped = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if !fraction.is_empty() {
        grouped.push('.');
        grouped.push_str(fraction);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(usd(2_880.0), "2,880 USD");
        assert_eq!(usd(825.0), "825.00 USD");
        assert_eq!(usd(999.999), "1,000 USD");
        assert_eq!(usd(-1_234_567.8), "-1,234,568 USD");
        assert_eq!(amount(1_047_272.73), "1,047,273");
        assert_eq!(amount(60.6), "60.6");
    }
}
