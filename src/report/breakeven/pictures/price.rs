//! The price of a million tokens against utilization, beside those of the APIs.

use super::{API, CROSSING, NOW, OTHER, SELF_HOSTED, axis, layer, percent_brief};
use crate::cost::answer::{Answer, ApiAnswer};
use crate::cost::scenario::Side;
use crate::report::breakeven::amount::{brief_usd, percent, short, usd};
use crate::report::breakeven::plot::{At, Layer, Plot, Scale, Shape};
use crate::report::pictures::Picture;
use crate::units::TOKENS_PER_MTOK;

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
    let tokens = api.input_tokens_per_request + api.output_tokens_per_request;
    let egress = point.egress_usd_per_replica_hour;
    // Requests of a replica hour at full load are worth `value` to the API.
    let mtok = value / api.marginal_usd_per_request * tokens / TOKENS_PER_MTOK;
    let price = |utilization: f64| (point.usd_per_replica_hour / utilization + egress) / mtok;
    let curve = (LOWEST_UTILIZATION..=100)
        .map(|percent| {
            let utilization = f64::from(percent) / 100.0;
            At {
                x: utilization,
                y: price(utilization),
            }
        })
        .collect();
    let mut layers = vec![layer(
        "self-hosted, at the hourly cost of today",
        SELF_HOSTED,
        Shape::Line(curve),
    )];
    layers.extend(sellers(answer, api, tokens));
    layers.push(layer(
        format!("today: {} used", percent(host.utilization)),
        NOW,
        Shape::Vertical(host.utilization),
    ));
    let even = point.usd_per_replica_hour / (value - egress);
    if value > egress && even <= 1.0 {
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

/// The prices of the APIs for so many tokens per request, without what both sides pay alike.
fn sellers(answer: &Answer, api: &ApiAnswer, tokens: f64) -> Vec<Layer> {
    let rule = |name: &str, usd_per_request: f64, style: usize| {
        let price = usd_per_request * TOKENS_PER_MTOK / tokens;
        let label = format!("{}: {}", short(name, NAME), usd(price));
        layer("", style, Shape::Horizontal { y: price, label })
    };
    let others = answer
        .alternatives
        .iter()
        .filter(|other| other.side == Side::Api && tokens > 0.0)
        .take(OTHERS)
        .map(|other| {
            let bill = other.usd_per_month - answer.shared.usd_per_month;
            let request = bill / answer.volume.requests_per_month;
            rule(&other.name, request, OTHER)
        });
    std::iter::once(rule(&api.model, api.marginal_usd_per_request, API))
        .chain(others)
        .collect()
}
