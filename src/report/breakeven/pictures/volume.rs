//! Cost against volume with staircase, band and crossings, and how the saving is spread.

use super::{API, CROSSING, LATER, NOW, SELF_HOSTED, axis, layer, percent_brief};
use crate::cost::answer::Answer;
use crate::cost::breakeven::Crossing;
use crate::cost::outlook::VolumeKind;
use crate::cost::view::CurvePoint;
use crate::report::breakeven::amount::{brief_count, brief_usd, count, usd};
use crate::report::breakeven::plot::{At, Column, Dot, Label, Layer, Plot, Scale, Shape, Span};
use crate::report::pictures::Picture;

/// Crossings that are marked.
const MARKED: usize = 60;
/// The picture reaches this many times beyond the volumes that matter.
const BEYOND: f64 = 5.0;

/// What both sides cost at any volume.
pub(super) fn cost(answer: &Answer) -> Option<Picture> {
    let (low, high) = reach(answer)?;
    let within = |volume: f64| (low..=high).contains(&volume);
    let line = |of: fn(&CurvePoint) -> Option<f64>| -> Vec<At> {
        let at = |point: &CurvePoint| {
            Some(At {
                x: point.requests_per_month,
                y: of(point)?,
            })
        };
        let shown = |point: &&CurvePoint| within(point.requests_per_month);
        answer
            .view
            .curve
            .iter()
            .filter(shown)
            .filter_map(at)
            .collect()
    };
    let mut layers = bands(answer, (low, high));
    let caption = caption(!layers.is_empty());
    let seller = answer.api.as_ref().map_or("API", |api| api.model.as_str());
    layers.push(layer(
        format!("API: {seller}"),
        API,
        Shape::Line(line(|point| point.api_usd)),
    ));
    layers.push(layer(
        "self-hosted: a step up for each further replica",
        SELF_HOSTED,
        Shape::Line(line(|point| point.self_hosted_usd)),
    ));
    layers.extend(crossings(answer, high));
    layers.extend(volumes(answer));
    let plot = Plot {
        title: "Monthly cost against volume".to_owned(),
        x: axis("requests per month", Scale::Logarithmic, brief_count),
        y: axis("USD per month", Scale::Logarithmic, brief_usd),
        layers,
    };
    Some(Picture {
        svg: plot.svg()?,
        caption,
    })
}

fn caption(banded: bool) -> String {
    let mut text =
        "Monthly cost against volume, without what both sides pay alike; both scales are logarithmic."
            .to_owned();
    if banded {
        text.push_str(
            " Nine of ten draws lie within the bands, with a fleet sized for each volume.",
        );
    }
    text
}

/// The volumes that the picture shows: those that matter, and some more on both sides.
fn reach(answer: &Answer) -> Option<(f64, f64)> {
    let found = answer.break_even.as_ref();
    let first = found.and_then(|found| found.requests_per_month);
    let matter = answer
        .view
        .volumes
        .iter()
        .map(|volume| volume.requests_per_month)
        .chain(first.filter(|first| *first > 0.0));
    let low = matter.clone().reduce(f64::min)?;
    let high = matter.reduce(f64::max)?;
    let (low, high) = (low / BEYOND, high * BEYOND);
    // Where there is a band, lines and band end alike.
    let volumes = answer.view.band.iter().map(|band| band.requests_per_month);
    let inside = volumes.filter(|volume| (low..=high).contains(volume));
    let first = inside.clone().reduce(f64::min);
    Some((
        first.unwrap_or(low),
        inside.reduce(f64::max).unwrap_or(high),
    ))
}

fn bands(answer: &Answer, (low, high): (f64, f64)) -> Vec<Layer> {
    let spans = |side: fn(&crate::cost::outlook::Band) -> [f64; 2]| -> Vec<Span> {
        let within = |x: f64| (low..=high).contains(&x);
        answer
            .view
            .band
            .iter()
            .filter(|band| within(band.requests_per_month))
            .map(|band| {
                let [low, high] = side(band);
                Span {
                    x: band.requests_per_month,
                    low,
                    high,
                }
            })
            .collect()
    };
    let wide = |spans: &Vec<Span>| spans.iter().any(|span| span.high > span.low * 1.001);
    [
        ("API, nine of ten draws", API, spans(|band| band.api_usd)),
        (
            "self-hosted, nine of ten draws",
            SELF_HOSTED,
            spans(|band| band.self_hosted_usd),
        ),
    ]
    .into_iter()
    .filter(|(_, _, spans)| wide(spans))
    .map(|(name, style, spans)| layer(name, style, Shape::Band(spans)))
    .collect()
}

/// Every crossing on its place; the first and the last carry their volume.
fn crossings(answer: &Answer, highest: f64) -> Option<Layer> {
    let found = answer.break_even.as_ref()?;
    let shown: Vec<&Crossing> = found
        .crossings
        .iter()
        .filter(|crossing| crossing.requests_per_month <= highest)
        .take(MARKED)
        .collect();
    let last = shown.len().checked_sub(1)?;
    let dots = shown.iter().enumerate().filter_map(|(place, crossing)| {
        let x = crossing.requests_per_month;
        let label = if place == last && shown.len() == found.crossings.len() {
            Some(Label::After(format!("for good: {}", brief_count(x))))
        } else if place == 0 {
            Some(Label::Before(format!("first: {}", brief_count(x))))
        } else {
            None
        };
        let y = on_curve(answer, x)?;
        let at = At { x, y };
        Some(Dot { at, label })
    });
    let name = match found.crossings.len() {
        1 => "crossing".to_owned(),
        many => format!("crossings ({many})"),
    };
    Some(layer(name, CROSSING, Shape::Dots(dots.collect())))
}

/// The API bill at a volume, between the points of the curve.
fn on_curve(answer: &Answer, requests: f64) -> Option<f64> {
    answer.view.curve.windows(2).find_map(|pair| {
        let (below, above) = (pair[0], pair[1]);
        let inside = (below.requests_per_month..=above.requests_per_month).contains(&requests);
        let width = above.requests_per_month - below.requests_per_month;
        let (low, high) = (below.api_usd?, above.api_usd?);
        (inside && width > 0.0)
            .then(|| low + (high - low) * (requests - below.requests_per_month) / width)
    })
}

/// Today and the forecast.
fn volumes(answer: &Answer) -> impl Iterator<Item = Layer> + '_ {
    let months = answer.forecast.months;
    answer.view.volumes.iter().filter_map(move |volume| {
        let requests = count(volume.requests_per_month);
        let (name, style) = match volume.kind {
            VolumeKind::Today => (format!("today: {requests} requests"), NOW),
            VolumeKind::Forecast => (format!("in {months} months: {requests} requests"), LATER),
            VolumeKind::BreakEven => return None,
        };
        Some(layer(
            name,
            style,
            Shape::Vertical(volume.requests_per_month),
        ))
    })
}

/// How the saving is spread over the draws.
pub(super) fn saving(answer: &Answer) -> Option<Picture> {
    let unsure = answer.uncertainty.as_ref()?;
    let draws = unsure.draws.max(1) as f64;
    let columns = |cheaper: bool, style: usize| -> Vec<Column> {
        unsure
            .saving_histogram
            .iter()
            .filter(|bin| (bin.from >= 0.0) == cheaper)
            .map(|bin| Column {
                from: bin.from,
                to: bin.to,
                height: bin.count as f64 / draws,
                style,
            })
            .collect()
    };
    let mut layers = Vec::new();
    for (name, cheaper, style) in [
        ("draws in which the API is cheaper", false, API),
        ("draws in which self-hosting is cheaper", true, SELF_HOSTED),
    ] {
        let columns = columns(cheaper, style);
        if !columns.is_empty() {
            layers.push(layer(name, style, Shape::Columns(columns)));
        }
    }
    if let Some(median) = unsure.saving_usd_per_month.p50 {
        let name = format!("half of the draws lie below {}", usd(median));
        layers.push(layer(name, NOW, Shape::Vertical(median)));
    }
    let plot = Plot {
        title: "How the saving of self-hosting is spread".to_owned(),
        x: axis(
            "USD per month that self-hosting saves",
            Scale::Linear,
            brief_usd,
        ),
        y: axis("share of the draws", Scale::Linear, percent_brief),
        layers,
    };
    Some(Picture {
        svg: plot.svg()?,
        caption: format!(
            "What self-hosting saves over {} draws: it is cheaper in {} of them. The outermost columns hold whatever lies beyond.",
            count(draws),
            unsure.probability_text
        ),
    })
}
