//! The fleet: replicas by volume, the memory of every card, replicas by hour.

use super::amount::{count, count_or_absent, count_small, counted, percent, usd};
use super::{Part, names, section, table};
use crate::cost::answer::Answer;
use crate::cost::view::HourPoint;

/// Replicas by volume.
pub(super) fn stairs(answer: &Answer) -> Option<Part> {
    let (_, cards) = names::of_cards(answer);
    let rows = answer
        .view
        .stairs
        .iter()
        .map(|stair| {
            vec![
                count(stair.replicas),
                count(stair.gpus),
                count(stair.up_to_requests_per_month),
                usd(stair.usd_per_month),
                usd(stair.usd_per_month / stair.up_to_requests_per_month),
                percent(stair.utilization),
            ]
        })
        .collect();
    let header = [
        "replicas",
        cards,
        "enough up to requests/month",
        "$/month there",
        "$/request there",
        "in use there",
    ];
    let table = table(0, &header, rows)?;
    let notes = vec![
        "What each further replica carries after peak, burst, target load and stand-by, without what both sides pay alike.".to_owned(),
    ];
    Some(section("Replicas by volume", notes, Some(table)))
}

/// How many replicas to reserve.
pub(super) fn reserve(answer: &Answer) -> Option<Part> {
    let reserve = answer.view.reserve.as_ref()?;
    let rows = reserve
        .bases
        .iter()
        .map(|base| vec![count(base.replicas), usd(base.gpu_usd_per_month)])
        .collect();
    let mut notes = vec![format!(
        "It is cheapest to reserve {}.",
        counted(reserve.best_replicas, "replica", "replicas")
    )];
    if let Some(share) = reserve.pays_above_share_of_hours {
        notes.push(format!(
            "A reserved replica pays where it is in use for more than {} of the hours.",
            percent(share)
        ));
    }
    let table = table(0, &["reserved replicas", "cards, $/month"], rows);
    Some(section("Reserved replicas", notes, table))
}

/// Replicas by hour.
pub(super) fn hours(answer: &Answer) -> Option<Part> {
    let hours = &answer.view.hours;
    let host = answer.self_hosted.as_ref()?;
    if hours.is_empty() {
        return None;
    }
    if !answer.view.hourly {
        let note = format!(
            "The scenario gives no hourly profile: in each of the 24 hours {} paid for.",
            are(host.replicas)
        );
        return Some(section("Replicas by hour", vec![note], None));
    }
    let replicas = |best: fn(f64, f64) -> f64| hours.iter().map(|hour| hour.replicas).reduce(best);
    let (fewest, most) = (replicas(f64::min), replicas(f64::max));
    let note = if fewest == most {
        format!(
            "In each of {} hours {} paid for: the fleet does not follow the load.",
            hours.len(),
            are(host.replicas)
        )
    } else {
        format!(
            "Between {} and {} replicas are paid for over {} hours.",
            count_or_absent(fewest),
            count_or_absent(most),
            hours.len()
        )
    };
    let row = |hour: &HourPoint| {
        vec![
            format!("{:02}:00", hour.hour % 24),
            count_small(hour.requests_per_second),
            count_small(hour.replicas),
        ]
    };
    // A week would be 168 rows; its picture says as much.
    let rows = if hours.len() == 24 {
        hours.iter().map(row).collect()
    } else {
        Vec::new()
    };
    let table = table(1, &["hour, UTC", "requests/s", "replicas paid for"], rows);
    Some(section("Replicas by hour", vec![note], table))
}

fn are(replicas: f64) -> String {
    counted(replicas, "replica is", "replicas are")
}

/// Which cards hold the model.
pub(super) fn memory(answer: &Answer) -> Option<Part> {
    let rows = answer
        .view
        .fits
        .iter()
        .map(|fit| {
            let chosen = if fit.chosen { " (in use)" } else { "" };
            vec![
                format!("{}{chosen}", fit.gpu),
                fit.fewest_gpus
                    .map_or("more than 8".to_owned(), |gpus| gpus.to_string()),
                count(fit.gpus),
                count_small(fit.weights_gib),
                count_small(fit.kv_gib),
                count(fit.kv_tokens),
                count(fit.sequences),
                count(fit.cautious_sequences),
            ]
        })
        .collect();
    let header = [
        "card",
        "fewest cards",
        "cards in this row",
        "weights, GiB",
        "left for the KV cache, GiB",
        "tokens of the cache",
        "sequences of this workload",
        "cautious planning",
    ];
    let table = table(1, &header, rows)?;
    let notes = vec![
        "How the model fits into the memory of each card at the scenario's precision. A sequence is one call at its full length; cautious planning leaves the engine as much memory for itself as the most careful planner does. Less than nothing left means that the weights do not fit.".to_owned(),
    ];
    Some(section("Memory", notes, Some(table)))
}
