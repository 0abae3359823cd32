//! The usual comparison filled with numbers, and common claims held against them.

use super::amount::{count, count_or_absent, percent, usd, usd_or_absent};
use super::decision::count_small;
use super::{Part, section, table};
use crate::cost::answer::{Answer, ApiAnswer};
use crate::report::number::ABSENT;

/// Utilization under which self-hosting is said to make no sense.
const USUAL_UTILIZATION: f64 = 0.2;
/// Monthly API bill at which self-hosting is said to break even.
const USUAL_SPEND: (f64, f64) = (5_000.0, 15_000.0);

/// Fixed cost, variable cost, fit, risk and break-even of both sides.
pub(super) fn framework(answer: &Answer) -> Part {
    let api = answer.api.as_ref();
    let host = answer.self_hosted.as_ref();
    let found = answer.break_even.as_ref();
    let absent = || ABSENT.to_owned();
    let permanent = found.and_then(|found| found.permanent_from_requests_per_month);
    let rows = vec![
        vec![
            "fixed cost".to_owned(),
            api.map_or_else(absent, |api| {
                format!("none of {} a month for tokens", usd(tokens(api)))
            }),
            host.map_or_else(absent, |host| {
                format!(
                    "{} for {} GPUs, {} for staff",
                    usd(host.gpu_usd_per_month),
                    count(host.gpus),
                    usd(host.staff_usd_per_month)
                )
            }),
        ],
        vec![
            "variable cost".to_owned(),
            api.map_or_else(absent, |api| {
                format!("{} per request", usd(api.marginal_usd_per_request))
            }),
            next_stair(answer).unwrap_or_else(absent),
        ],
        vec![
            "cheaper".to_owned(),
            permanent.map_or_else(
                || "at every volume".to_owned(),
                |at| {
                    format!(
                        "for good up to {} requests a month, below the first crossing",
                        count_or_absent(found.and_then(|f| f.requests_per_month).or(Some(at)))
                    )
                },
            ),
            permanent.map_or_else(
                || "never".to_owned(),
                |at| format!("for good above {} requests a month", count(at)),
            ),
        ],
        vec![
            "risk".to_owned(),
            price_risk(answer),
            answer.horizon.as_ref().map_or_else(absent, |horizon| {
                let halved = horizon.volume_halved.saving_usd_per_month;
                format!(
                    "half the volume: {} a month; bound for {}",
                    if halved < 0.0 {
                        format!("loses {}", usd(-halved))
                    } else {
                        format!("still saves {}", usd(halved))
                    },
                    usd(horizon.commitment_liability_usd)
                )
            }),
        ],
        vec![
            "break-even".to_owned(),
            absent(),
            found.map_or_else(absent, |found| match found.usd_per_month {
                Some(spend) => format!(
                    "at an API bill of {} a month, {} of the replicas",
                    usd(spend),
                    found.utilization.map_or_else(absent, percent)
                ),
                None => format!(
                    "none; needs a GPU hour under {} or more than {} output tok/s of a replica",
                    usd_or_absent(found.required_usd_per_gpu_hour),
                    count_or_absent(found.required_output_tokens_per_second)
                ),
            }),
        ],
    ];
    section(
        "The comparison",
        Vec::new(),
        table(3, &["factor", "API", "self-hosted"], rows),
    )
}

fn tokens(api: &ApiAnswer) -> f64 {
    api.input_usd_per_month + api.output_usd_per_month
}

/// What the next replica costs.
fn next_stair(answer: &Answer) -> Option<String> {
    let [first, second, ..] = answer.view.stairs.as_slice() else {
        return None;
    };
    Some(format!(
        "none until a replica is full; the next one adds {} a month",
        usd(second.usd_per_month - first.usd_per_month)
    ))
}

fn price_risk(answer: &Answer) -> String {
    let flip = answer
        .sensitivity
        .iter()
        .filter(|lever| lever.key.starts_with("api."))
        .find_map(|lever| Some((lever, lever.flip_point?)));
    match flip {
        Some((lever, flip)) => format!(
            "the seller's prices; the cheaper side changes where {} passes {} (today {})",
            lever.key,
            count_small(flip),
            count_small(lever.base)
        ),
        None => "the seller's prices; no single one of them changes the cheaper side".to_owned(),
    }
}

/// Common claims beside what this scenario says.
pub(super) fn checked(answer: &Answer) -> Option<Part> {
    let api = answer.api.as_ref()?;
    let mut rows = vec![input_dominates(api), one_price(api)];
    if let Some(found) = &answer.break_even {
        if let Some(utilization) = found.utilization {
            rows.push(vec![
                "self-hosting makes no sense below 20 % utilization".to_owned(),
                format!(
                    "{}: here it breaks even at {}",
                    if (0.5..2.0).contains(&(utilization / USUAL_UTILIZATION)) {
                        "about"
                    } else {
                        "no"
                    },
                    percent(utilization)
                ),
            ]);
        }
        if let Some(spend) = found.usd_per_month {
            let within = (USUAL_SPEND.0..=USUAL_SPEND.1).contains(&spend);
            rows.push(vec![
                "break-even lies at an API bill of 5,000 to 15,000 USD a month".to_owned(),
                format!(
                    "{}: here at {}",
                    if within { "yes" } else { "no" },
                    usd(spend)
                ),
            ]);
        }
    }
    let point = answer.view.operating_point.as_ref();
    if let Some((rate, roofline)) = point.and_then(|point| {
        let roofline = point.roofline_output_tokens_per_second?;
        Some((point.output_tokens_per_second, roofline))
    }) {
        rows.push(vec![
            "the stated throughput can be reached".to_owned(),
            format!(
                "{}: {} output tok/s of a replica, and no engine on these cards passes {}",
                if rate <= roofline { "it may" } else { "no" },
                count_small(rate),
                count_small(roofline)
            ),
        ]);
    }
    Some(section(
        "Common claims",
        Vec::new(),
        table(2, &["claim", "here"], rows),
    ))
}

fn input_dominates(api: &ApiAnswer) -> Vec<String> {
    let all = api.input_tokens_per_request + api.output_tokens_per_request;
    let of_tokens = api.input_tokens_per_request / all;
    let of_cost = api.input_usd_per_month / tokens(api);
    vec![
        "input tokens dominate the bill".to_owned(),
        format!(
            "{}: input is {} of the tokens and {} of their cost",
            if of_cost > 0.5 { "yes" } else { "no" },
            percent(of_tokens),
            percent(of_cost)
        ),
    ]
}

fn one_price(api: &ApiAnswer) -> Vec<String> {
    let all = api.input_tokens_per_request + api.output_tokens_per_request;
    vec![
        "cost is tokens times the price".to_owned(),
        format!(
            "only at the blended {} per million: {} tokens a request, of which {} are billed as uncached input",
            usd_or_absent(api.blended_usd_per_mtok),
            count_small(all),
            count_small(api.uncached_tokens_per_request)
        ),
    ]
}
