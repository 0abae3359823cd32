//! The pictures of the break-even report: which numbers go where.

use super::amount::{brief_count, brief_usd, change, count, percent, usd};
use super::decision::{count_small, lever_name};
use super::plot::{At, Axis, Bar, Bars, Column, Layer, Plot, Scale, Span};
use crate::cost::answer::{Answer, ApiAnswer, HostAnswer};
use crate::cost::scenario::{HistoryPolicy, Side};
use crate::cost::view::ConversationCost;
use crate::report::pictures::Picture;

/// Styles that mean one thing in every picture.
const API: usize = 0;
const SELF_HOSTED: usize = 1;
const CROSSING: usize = 2;
const OTHER: usize = 3;
const NOW: usize = 4;
const LATER: usize = 5;
/// Crossings that are marked.
const MARKED: usize = 40;
/// Bars of the tornado.
const TORNADO: usize = 12;
/// Lowest utilization of the price curve, in percent.
const LOWEST_UTILIZATION: u32 = 2;

/// For whoever decides: what it costs at any volume, and how the saving is spread.
pub(super) fn for_the_decision(answer: &Answer) -> Vec<Picture> {
    [cost_against_volume(answer), saving(answer)]
        .into_iter()
        .flatten()
        .collect()
}

/// For the engineer.
pub(super) fn for_the_engineer(answer: &Answer) -> Vec<Picture> {
    [
        price_against_utilization(answer),
        tornado(answer),
        bill_of_api(answer),
        bill_of_fleet(answer),
        conversations(answer),
        replicas(answer),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn axis(label: &str, scale: Scale, write: fn(f64) -> String) -> Axis {
    Axis {
        label: label.to_owned(),
        scale,
        write,
    }
}

fn cost_against_volume(answer: &Answer) -> Option<Picture> {
    let curve = &answer.view.curve;
    let line = |of: fn(&crate::cost::view::CurvePoint) -> Option<f64>| -> Vec<At> {
        curve
            .iter()
            .filter_map(|point| {
                Some(At {
                    x: point.requests_per_month,
                    y: of(point)?,
                })
            })
            .collect()
    };
    let (api, host) = (line(|p| p.api_usd), line(|p| p.self_hosted_usd));
    let mut layers = Vec::new();
    layers.extend(unsure_break_even(answer, &api, &host));
    layers.push(Layer::Line {
        name: "API".to_owned(),
        points: api,
        style: API,
    });
    layers.push(Layer::Line {
        name: "self-hosted, replicas come whole".to_owned(),
        points: host,
        style: SELF_HOSTED,
    });
    let crossings = crossings(answer);
    if !crossings.is_empty() {
        layers.push(Layer::Dots {
            name: format!("crossings ({})", crossings.len()),
            points: crossings,
            style: CROSSING,
        });
    }
    layers.push(Layer::Vertical {
        name: format!(
            "today, {} requests",
            count(answer.volume.requests_per_month)
        ),
        x: answer.volume.requests_per_month,
        style: NOW,
    });
    let forecast = answer.forecast.requests_per_month;
    if (forecast / answer.volume.requests_per_month - 1.0).abs() > 0.005 {
        layers.push(Layer::Vertical {
            name: format!(
                "in {} months, {} requests",
                answer.forecast.months,
                count(forecast)
            ),
            x: forecast,
            style: LATER,
        });
    }
    let plot = Plot {
        title: "Monthly cost against volume".to_owned(),
        x: axis("requests per month", Scale::Logarithmic, brief_count),
        y: axis("USD per month", Scale::Logarithmic, brief_usd),
        layers,
    };
    Some(Picture {
        svg: plot.svg()?,
        caption: "Monthly cost against volume, without what both sides share. Where the lines cross, the cheaper side changes.".to_owned(),
    })
}

/// Where the first crossing lies in nine of ten draws.
fn unsure_break_even(answer: &Answer, api: &[At], host: &[At]) -> Option<Layer> {
    let drawn = answer.uncertainty.as_ref()?.break_even_requests_per_month;
    let (low, high) = (drawn.p5?, drawn.p95?);
    let all = || api.iter().chain(host).map(|at| at.y).filter(|y| *y > 0.0);
    let bottom = all().reduce(f64::min)?;
    let top = all().reduce(f64::max)?;
    let span = |x: f64| Span {
        x,
        low: bottom,
        high: top,
    };
    Some(Layer::Band {
        name: "first break-even, 90 % interval".to_owned(),
        spans: vec![span(low), span(high)],
        style: CROSSING,
    })
}

fn crossings(answer: &Answer) -> Vec<At> {
    let Some(found) = &answer.break_even else {
        return Vec::new();
    };
    let (Some(api), highest) = (
        &answer.api,
        answer
            .view
            .curve
            .last()
            .map_or(0.0, |point| point.requests_per_month),
    ) else {
        return Vec::new();
    };
    found
        .crossings
        .iter()
        .filter(|crossing| crossing.requests_per_month <= highest)
        .take(MARKED)
        .map(|crossing| At {
            x: crossing.requests_per_month,
            y: on_curve(answer, crossing.requests_per_month)
                .unwrap_or(crossing.requests_per_month * api.marginal_usd_per_request),
        })
        .collect()
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

/// Dollars per million tokens of both kinds against utilization, beside the prices of the APIs.
fn price_against_utilization(answer: &Answer) -> Option<Picture> {
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
    let mut layers = vec![
        Layer::Line {
            name: "self-hosted, input and output together".to_owned(),
            points: curve,
            style: SELF_HOSTED,
        },
        Layer::Horizontal {
            name: format!("{}: {}", api.model, usd(blended)),
            y: blended,
            style: API,
        },
    ];
    let tokens = api.input_tokens_per_request + api.output_tokens_per_request;
    let others = answer
        .alternatives
        .iter()
        .filter(|other| other.side == Side::Api);
    for other in others.take(4).filter(|_| tokens > 0.0) {
        let price = other.usd_per_request * 1e6 / tokens;
        layers.push(Layer::Horizontal {
            name: format!("{}: {}", other.name, usd(price)),
            y: price,
            style: OTHER,
        });
    }
    layers.push(Layer::Vertical {
        name: format!("today, {}", percent(host.utilization)),
        x: host.utilization,
        style: NOW,
    });
    let even = point.usd_per_replica_hour / value;
    if even <= 1.0 {
        layers.push(Layer::Vertical {
            name: format!("as dear as the API at {}", percent(even)),
            x: even,
            style: CROSSING,
        });
    }
    let plot = Plot {
        title: "Price of a million tokens against utilization".to_owned(),
        x: axis(
            "utilization of the billed replicas",
            Scale::Linear,
            percent_brief,
        ),
        y: axis("USD per million tokens", Scale::Logarithmic, brief_usd),
        layers,
    };
    Some(Picture {
        svg: plot.svg()?,
        caption: "Only the price at the utilization in use may be compared with an API.".to_owned(),
    })
}

fn percent_brief(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn tornado(answer: &Answer) -> Option<Picture> {
    let today = saving_today(answer)?;
    let rows = answer
        .sensitivity
        .iter()
        .take(TORNADO)
        .map(|lever| Bar {
            label: lever_name(lever),
            from: lever.saving_usd_at_low,
            to: lever.saving_usd_at_high,
            style: if lever.flip_point.is_some() {
                CROSSING
            } else {
                API
            },
            note: format!("{} – {}", count_small(lever.low), count_small(lever.high)),
        })
        .collect();
    let bars = Bars {
        title: "What moves the saving".to_owned(),
        label: "USD per month that self-hosting saves".to_owned(),
        write: brief_usd,
        rows,
        mark: Some(today),
    };
    Some(Picture {
        svg: bars.svg()?,
        caption: format!(
            "What moves the saving, widest first; the line is today's {}. Green bars belong to inputs that can change the cheaper side.",
            change(Some(today))
        ),
    })
}

fn saving_today(answer: &Answer) -> Option<f64> {
    Some(answer.api.as_ref()?.usd_per_month - answer.self_hosted.as_ref()?.usd_per_month)
}

fn saving(answer: &Answer) -> Option<Picture> {
    let unsure = answer.uncertainty.as_ref()?;
    let draws = unsure.draws.max(1) as f64;
    let columns: Vec<Column> = unsure
        .saving_histogram
        .iter()
        .map(|bin| Column {
            from: bin.from,
            to: bin.to,
            height: bin.count as f64 / draws,
            style: if bin.from >= 0.0 { SELF_HOSTED } else { API },
        })
        .collect();
    let mut layers = vec![Layer::Columns {
        name: "draws in which the API is cheaper".to_owned(),
        columns,
        style: API,
    }];
    if unsure.probability_self_hosted_cheaper > 0.0 {
        layers.push(Layer::Columns {
            name: "draws in which self-hosting is cheaper".to_owned(),
            columns: Vec::new(),
            style: SELF_HOSTED,
        });
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
            "How the saving is spread over {} draws: self-hosting is cheaper in {}.",
            count(draws),
            unsure.probability_text
        ),
    })
}

fn conversations(answer: &Answer) -> Option<Picture> {
    let variants: [(&str, HistoryPolicy, bool, usize); 4] = [
        ("full history", HistoryPolicy::Full, false, API),
        ("rolling window", HistoryPolicy::Window, false, SELF_HOSTED),
        ("summary", HistoryPolicy::Summarize, false, CROSSING),
        (
            "full history, prompt cache",
            HistoryPolicy::Full,
            true,
            OTHER,
        ),
    ];
    let of = |policy: HistoryPolicy, cached: bool| {
        let is = move |cost: &&ConversationCost| cost.policy == policy && cost.cached == cached;
        let at = |cost: &ConversationCost| At {
            x: f64::from(cost.turns),
            y: cost.usd,
        };
        answer
            .view
            .conversations
            .iter()
            .filter(is)
            .map(at)
            .collect()
    };
    let layers = variants
        .into_iter()
        .map(|(name, policy, cached, style)| Layer::Line {
            name: name.to_owned(),
            points: of(policy, cached),
            style,
        })
        .collect();
    let plot = Plot {
        title: "Cost of a conversation by its length".to_owned(),
        x: axis("turns", Scale::Linear, count),
        y: axis("USD per conversation, API", Scale::Linear, brief_usd),
        layers,
    };
    Some(Picture {
        svg: plot.svg()?,
        caption: "A conversation that carries its whole history grows with the square of its turns; a window makes it grow evenly but breaks the cached prefix.".to_owned(),
    })
}

fn replicas(answer: &Answer) -> Option<Picture> {
    let hours = &answer.view.hours;
    let capacity = answer.view.operating_point.as_ref()?;
    let per_replica = capacity.calls_per_second;
    if hours.is_empty() || per_replica <= 0.0 {
        return None;
    }
    let steps = |of: &dyn Fn(usize) -> f64| -> Vec<At> {
        (0..hours.len())
            .flat_map(|hour| {
                let y = of(hour);
                [hour as f64, hour as f64 + 1.0].map(|x| At { x, y })
            })
            .collect()
    };
    let plot = Plot {
        title: "Replicas over the day".to_owned(),
        x: axis("hour, UTC", Scale::Linear, count),
        y: axis("replicas", Scale::Linear, count),
        layers: vec![
            Layer::Line {
                name: "billed replicas".to_owned(),
                points: steps(&|hour| hours[hour].replicas),
                style: SELF_HOSTED,
            },
            Layer::Line {
                name: "replicas that the load would fill".to_owned(),
                points: steps(&|hour| hours[hour].requests_per_second / per_replica),
                style: API,
            },
        ],
    };
    Some(Picture {
        svg: plot.svg()?,
        caption: "Replicas over the day. The room between the lines is paid for and idle."
            .to_owned(),
    })
}

/// One part of a bill.
struct Part {
    label: &'static str,
    usd: f64,
}

fn bill_of_api(answer: &Answer) -> Option<Picture> {
    let api: &ApiAnswer = answer.api.as_ref()?;
    let parts = [
        Part {
            label: "input tokens",
            usd: api.input_usd_per_month,
        },
        Part {
            label: "output tokens",
            usd: api.output_usd_per_month,
        },
        Part {
            label: "fees, routing, retrieval, shared",
            usd: api.other_usd_per_month,
        },
    ];
    waterfall("The API bill", &parts, API)
}

fn bill_of_fleet(answer: &Answer) -> Option<Picture> {
    let host: &HostAnswer = answer.self_hosted.as_ref()?;
    let busy = host.gpu_usd_per_month * host.utilization;
    let parts = [
        Part {
            label: "GPUs at work",
            usd: busy,
        },
        Part {
            label: "GPUs idle or in reserve",
            usd: host.gpu_usd_per_month - busy,
        },
        Part {
            label: "staff and updates",
            usd: host.staff_usd_per_month,
        },
        Part {
            label: "storage, egress, one-off, shared",
            usd: host.other_usd_per_month,
        },
    ];
    waterfall("The self-hosted bill", &parts, SELF_HOSTED)
}

/// Parts one after the other, and their sum.
fn waterfall(title: &str, parts: &[Part], style: usize) -> Option<Picture> {
    let total: f64 = parts.iter().map(|part| part.usd).sum();
    let mut rows = Vec::new();
    let mut reached = 0.0;
    for part in parts {
        rows.push(Bar {
            label: part.label.to_owned(),
            from: reached,
            to: reached + part.usd,
            style,
            note: usd(part.usd),
        });
        reached += part.usd;
    }
    rows.push(Bar {
        label: "per month".to_owned(),
        from: 0.0,
        to: total,
        style: OTHER,
        note: usd(total),
    });
    let bars = Bars {
        title: title.to_owned(),
        label: "USD per month".to_owned(),
        write: brief_usd,
        rows,
        mark: None,
    };
    Some(Picture {
        svg: bars.svg()?,
        caption: format!("{title}, part by part."),
    })
}
