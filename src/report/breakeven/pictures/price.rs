//! The price of a million tokens against utilization, beside those of the APIs.

use super::{API, CROSSING, NOW, OTHER, SELF_HOSTED, axis, layer, percent_brief};
use crate::cost::answer::Answer;
use crate::cost::scenario::Side;
use crate::report::breakeven::amount::{brief_usd, percent, short, usd};
use crate::report::breakeven::plot::{At, Plot, Scale, Shape};
use crate::report::pictures::Picture;

/// Lowest utilization of the curve, in percent.
const LOWEST_UTILIZATION: u32 = 1;
/// Further sellers whose prices are drawn.
const OTHERS: usize = 4;
/// Characters of a seller's name.
const NAME: usize = 34;

/// Dollars per million tokens of both kinds against utilization, beside the prices of the APIs.
pub(super) fn against_utilization(answer: &Answer) -> Option<Picture> {
    let host = answer.self_hosted.as_ref()?;
    let api = answer.api.as_ref()?;
    let point = answer.view.operating_point.as_ref()?;
    let value = point.api_value_usd_per_replica_hour?;
    let blended = api.blended_usd_per_mtok?;
    // What a replica hour produces at full load is worth `value` at the API's blended price.
    let full_load = point.usd_per_replica_hour / value * blended;
    let curve = (LOWEST_UTILIZATION..=100)
        .map(|percent| {
            let utilization = f64::from(percent) / 100.0;
            At {
                x: utilization,
                y: full_load / utilization,
            }
        })
        .collect();
    let rule = |name: &str, price: f64, style: usize| {
        let label = format!("{}: {}", short(name, NAME), usd(price));
        layer("", style, Shape::Horizontal { y: price, label })
    };
    let mut layers = vec![
        layer(
            "self-hosted, at the hourly cost of today",
            SELF_HOSTED,
            Shape::Line(curve),
        ),
        rule(&api.model, blended, API),
    ];
    let tokens = api.input_tokens_per_request + api.output_tokens_per_request;
    let others = answer
        .alternatives
        .iter()
        .filter(|other| other.side == Side::Api && tokens > 0.0);
    for other in others.take(OTHERS) {
        layers.push(rule(
            &other.name,
            other.usd_per_request * 1e6 / tokens,
            OTHER,
        ));
    }
    layers.push(layer(
        format!("today: {} used", percent(host.utilization)),
        NOW,
        Shape::Vertical(host.utilization),
    ));
    let even = point.usd_per_replica_hour / value;
    if even <= 1.0 {
        layers.push(layer(
            format!("as dear as the API at {}", percent(even)),
            CROSSING,
            Shape::Vertical(even),
        ));
    }
    let plot = Plot {
        title: "Price of a million tokens against utilization".to_owned(),
        x: axis("share of the capacity in use", Scale::Linear, percent_brief),
        y: axis("USD per million tokens", Scale::Logarithmic, brief_usd),
        layers,
    };
    Some(Picture {
        svg: plot.svg()?,
        caption: "What a million tokens of this mix cost, input and output together, by how much of the paid capacity is used. The flat lines are the prices of APIs.".to_owned(),
    })
}
