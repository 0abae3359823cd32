//! What would change the answer, and when to ask again.

use super::amount::{change, count, count_or_absent, count_small, times, usd};
use super::{Part, names, section, table};
use crate::catalog::age::STALE_AFTER_DAYS;
use crate::cost::answer::{Answer, BreakEvenAnswer};
use crate::cost::sensitivity::Lever;
use crate::report::sentence::capitalized;

/// Levers that page one names.
const TOP: usize = 5;
/// Units of the prices that grow old.
const PRICES: [&str; 3] = ["USD/Mtok", "USD/Mtok-h", "USD/GPU-h"];
/// A convention of the calculation, nothing that moves.
const CONVENTION: &str = "calendar.";

/// The five levers that move most.
pub(super) fn levers(answer: &Answer) -> Option<Part> {
    let rows = top(answer)
        .map(|lever| {
            vec![
                names::of(lever),
                count_small(lever.base),
                count_small(lever.low),
                count_small(lever.high),
                change(Some(lever.saving_usd_at_low)),
                change(Some(lever.saving_usd_at_high)),
                flip(lever),
            ]
        })
        .collect();
    let header = [
        "input",
        "today",
        "low",
        "high",
        "saved a month at low",
        "saved a month at high",
        "the answer flips at",
    ];
    let table = table(1, &header, rows)?;
    let notes = vec![
        "What self-hosting saves when one input moves and the others stay: from P10 to P90 of its own distribution, or a fifth either way where the scenario gives none.".to_owned(),
    ];
    Some(section("What would change the answer", notes, Some(table)))
}

fn top(answer: &Answer) -> impl Iterator<Item = &Lever> {
    answer
        .sensitivity
        .iter()
        .filter(|lever| !is_convention(lever))
        .take(TOP)
}

/// Whether an input is a convention of the calculation that nobody turns.
pub(super) fn is_convention(lever: &Lever) -> bool {
    lever.key.starts_with(CONVENTION)
}

/// Where the cheaper side changes.
pub(super) fn flip(lever: &Lever) -> String {
    lever.flip_point.map_or("never".to_owned(), count_small)
}

/// Every lever, for the engineer.
pub(super) fn sensitivity(answer: &Answer) -> Option<Part> {
    let row = |lever: &Lever| {
        let elasticity = lever.elasticity.map_or("—".to_owned(), |elasticity| {
            format!("{elasticity:+.2}").replace('-', "−")
        });
        vec![
            lever.key.to_owned(),
            count_small(lever.base),
            count_small(lever.low),
            count_small(lever.high),
            change(Some(lever.saving_usd_at_low)),
            change(Some(lever.saving_usd_at_high)),
            count_or_absent(lever.break_even_requests_at_low),
            count_or_absent(lever.break_even_requests_at_high),
            elasticity,
            flip(lever),
        ]
    };
    let header = [
        "key",
        "today",
        "low",
        "high",
        "saving at low",
        "saving at high",
        "first break-even at low",
        "first break-even at high",
        "elasticity",
        "flips at",
    ];
    let table = table(1, &header, answer.sensitivity.iter().map(row).collect())?;
    let notes = vec![
        "The same for every input by its key in the scenario. Elasticity: relative change of the first break-even per relative change of the input.".to_owned(),
    ];
    Some(section("Sensitivity", notes, Some(table)))
}

/// When the answer should be asked for again.
pub(super) fn triggers(answer: &Answer) -> Part {
    let mut notes = Vec::new();
    if let Some(found) = &answer.break_even {
        notes.extend(volume(answer, found));
    }
    for lever in top(answer) {
        if let Some(flip) = lever
            .flip_point
            .filter(|_| !lever.key.starts_with("traffic.requests"))
        {
            let direction = if flip > lever.base { "above" } else { "under" };
            notes.push(format!(
                "{} {direction} {} (today {}): from there the other side is cheaper.",
                capitalized(names::of_key(lever.key)),
                with_unit(flip, lever),
                with_unit(lever.base, lever)
            ));
        }
    }
    if let Some(read) = oldest_price(answer) {
        notes.push(format!(
            "A price here is older than {STALE_AFTER_DAYS} days; the oldest was read on {read}."
        ));
    }
    notes.push(
        "Something changes that no number here holds: how good the answers are, whether the seller switches the model off, what compliance asks for.".to_owned(),
    );
    Part::List("Look again when", notes)
}

/// The day on which the oldest of the prices was read.
fn oldest_price(answer: &Answer) -> Option<&str> {
    answer
        .assumptions
        .iter()
        .filter(|line| line.source != "default" && PRICES.contains(&line.unit))
        .filter_map(|line| line.date.as_deref())
        .min()
}

fn volume(answer: &Answer, found: &BreakEvenAnswer) -> Vec<String> {
    let today = answer.volume.requests_per_month;
    let mut notes = Vec::new();
    match (found.permanent_from_requests_per_month, found.requests_per_month) {
        (Some(permanent), _) if today < permanent => notes.push(format!(
            "The volume passes {} requests a month ({} today's): above it self-hosting stays cheaper.",
            count(permanent),
            times(permanent / today)
        )),
        (Some(permanent), Some(first)) if first < permanent => notes.push(format!(
            "The volume falls under {} requests a month: below it the API can be cheaper again, and under {} it always is.",
            count(permanent),
            count(first)
        )),
        (Some(permanent), _) if permanent > 0.0 => notes.push(format!(
            "The volume falls under {} requests a month: below it the API is cheaper.",
            count(permanent)
        )),
        (Some(_), _) => {}
        (None, _) => notes.extend(way_out(found).map(|way| {
            format!("{}: only then does self-hosting pay for good.", capitalized(&way))
        })),
    }
    if let (true, Some(speed)) = (found.exists, found.required_output_tokens_per_second) {
        let now = answer
            .self_hosted
            .as_ref()
            .map(|host| format!(" (here {})", count_small(host.output_tokens_per_second)));
        notes.push(format!(
            "A replica sustains less than {} output tokens per second{}: then self-hosting pays at no volume.",
            count_small(speed),
            now.unwrap_or_default()
        ));
    }
    notes
}

/// What would make self-hosting pay at some volume; nothing does where one more request costs less at
/// the API whatever the cards cost.
pub(super) fn way_out(found: &BreakEvenAnswer) -> Option<String> {
    let rate = found.required_usd_per_gpu_hour?;
    let speed = found.required_output_tokens_per_second?;
    Some(format!(
        "a GPU hour costs less than {}, or a replica sustains more than {} output tokens per second",
        usd(rate),
        count_small(speed)
    ))
}

fn with_unit(value: f64, lever: &Lever) -> String {
    match lever.unit {
        "of today's prices" => format!("{} × today's", count_small(value)),
        "" => count_small(value),
        "share" => super::amount::percent(value),
        unit => format!("{} {unit}", count_small(value)),
    }
}
