//! What each lever saves: those that the scenario names, and fewer bits per weight.

use super::amount::{change, count_or_absent, count_small, short, usd_or_absent};
use super::options::paying_from;
use super::{Part, names, section, table};
use crate::cost::answer::Answer;
use crate::report::number::ABSENT;

/// Characters of a lever's name.
const NAME: usize = 70;

/// The levers that the scenario names.
pub(super) fn levers(answer: &Answer) -> Option<Part> {
    let rows = answer
        .what_if
        .iter()
        .map(|lever| {
            vec![
                short(&lever.name, NAME),
                usd_or_absent(lever.api_usd_per_month),
                change(lever.api_change_usd_per_month),
                usd_or_absent(lever.self_hosted_usd_per_month),
                change(lever.self_hosted_change_usd_per_month),
                match lever.cheaper_now {
                    Some(_) => paying_from(lever.permanent_from_requests_per_month),
                    None => ABSENT.to_owned(),
                },
                names::of_cheaper(lever.cheaper_now).to_owned(),
            ]
        })
        .collect();
    let header = [
        "lever",
        "API, $/month",
        "change",
        "self-hosted, $/month",
        "change",
        "self-hosting pays for good above, requests/month",
        "cheaper",
    ];
    let table = table(1, &header, rows)?;
    let notes = vec!["Each lever alone, everything else as it is today.".to_owned()];
    Some(section("What each lever saves", notes, Some(table)))
}

/// Fewer bits per weight on the card in use.
pub(super) fn quantization(answer: &Answer) -> Option<Part> {
    let rows = answer
        .view
        .quantized
        .iter()
        .map(|fit| {
            let chosen = if fit.chosen { " (in use)" } else { "" };
            vec![
                format!("{}{chosen}", fit.precision),
                count_small(fit.weights_gib),
                fit.fewest_gpus
                    .map_or("more than 8".to_owned(), |gpus| gpus.to_string()),
                usd_or_absent(fit.gpu_usd_per_month),
                count_or_absent(fit.sequences),
                fit.roofline_output_tokens_per_second
                    .map_or("—".to_owned(), count_small),
            ]
        })
        .collect();
    let header = [
        "precision",
        "weights, GiB",
        "fewest cards",
        "these cards, $/month",
        "sequences of this workload",
        "most output tokens/s",
    ];
    let table = table(1, &header, rows)?;
    let notes = vec![format!(
        "What fewer bits per weight would change on {}: memory and bandwidth only. Speed and quality must be measured before they are believed.",
        names::of_card(answer)
    )];
    Some(section("Quantization", notes, Some(table)))
}
