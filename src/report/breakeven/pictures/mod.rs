//! The pictures of the break-even report: which numbers go where.

mod bars;
mod price;
mod volume;
mod workload;

use super::plot::{Axis, Layer, Scale, Shape};
use crate::cost::answer::Answer;
use crate::report::pictures::Picture;

/// Styles that mean one thing in every picture.
const API: usize = 0;
const SELF_HOSTED: usize = 1;
const CROSSING: usize = 2;
const OTHER: usize = 3;
const NOW: usize = 4;
const LATER: usize = 5;

/// For whoever decides: what it costs at any volume, and how the saving is spread.
pub(super) fn for_the_decision(answer: &Answer) -> Vec<Picture> {
    [volume::cost(answer), volume::saving(answer)]
        .into_iter()
        .flatten()
        .collect()
}

/// What the levers move, beside what both bills consist of.
pub(super) fn of_the_bills(answer: &Answer) -> Vec<Picture> {
    [bars::tornado(answer), bars::bills(answer)]
        .into_iter()
        .flatten()
        .collect()
}

/// The price of a token by utilization, and the fleet over the day.
pub(super) fn of_the_fleet(answer: &Answer) -> Vec<Picture> {
    [
        price::against_utilization(answer),
        workload::replicas(answer),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What a conversation costs by its length.
pub(super) fn of_conversations(answer: &Answer) -> Vec<Picture> {
    workload::conversations(answer).into_iter().collect()
}

fn axis(label: &str, scale: Scale, write: fn(f64) -> String) -> Axis {
    Axis {
        label: label.to_owned(),
        scale,
        write,
    }
}

fn layer(name: impl Into<String>, style: usize, shape: Shape) -> Layer {
    Layer {
        name: name.into(),
        style,
        shape,
    }
}

fn percent_brief(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}
