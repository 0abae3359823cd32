//! The workload's own pictures: a conversation by its length, and replicas over the day.

use super::{API, CROSSING, NOW, OTHER, SELF_HOSTED, axis, layer};
use crate::cost::answer::Answer;
use crate::cost::scenario::HistoryPolicy;
use crate::cost::view::ConversationCost;
use crate::report::breakeven::amount::{brief_usd, count};
use crate::report::breakeven::plot::{At, Plot, Scale, Shape};
use crate::report::pictures::Picture;

const HOURS_OF_DAY: usize = 24;

/// What a conversation costs by its length, for each way to carry its history.
pub(super) fn conversations(answer: &Answer) -> Option<Picture> {
    let variants: [(&str, HistoryPolicy, bool, usize); 4] = [
        ("full history", HistoryPolicy::Full, false, API),
        ("rolling window", HistoryPolicy::Window, false, SELF_HOSTED),
        (
            "summary above a limit",
            HistoryPolicy::Summarize,
            false,
            CROSSING,
        ),
        (
            "full history, read from the prompt cache",
            HistoryPolicy::Full,
            true,
            OTHER,
        ),
    ];
    let of = |policy: HistoryPolicy, cached: bool| -> Vec<At> {
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
    let mut layers: Vec<_> = variants
        .into_iter()
        .map(|(name, policy, cached, style)| layer(name, style, Shape::Line(of(policy, cached))))
        .collect();
    let turns = answer
        .assumptions
        .iter()
        .find(|line| line.key == "traffic.conversation.turns")
        .and_then(|line| line.value.as_f64());
    if let Some(turns) = turns {
        let name = format!("this workload: {} turns", count(turns));
        layers.push(layer(name, NOW, Shape::Vertical(turns)));
    }
    let plot = Plot {
        title: "Cost of a conversation by its length".to_owned(),
        x: axis("turns", Scale::Linear, count),
        y: axis("USD per conversation at the API", Scale::Linear, brief_usd),
        layers,
    };
    Some(Picture {
        svg: plot.svg()?,
        caption: "A conversation that carries its whole history costs with the square of its turns. A window or a summary makes the cost grow evenly but breaks what the prompt cache holds.".to_owned(),
    })
}

/// Billed replicas and the load over the day or the week.
pub(super) fn replicas(answer: &Answer) -> Option<Picture> {
    let hours = &answer.view.hours;
    let per_replica = answer.view.operating_point.as_ref()?.calls_per_second;
    if hours.is_empty() || per_replica <= 0.0 {
        return None;
    }
    let steps = |of: &dyn Fn(usize) -> f64| -> Shape {
        let at = |hour: usize| {
            let y = of(hour);
            [hour as f64, hour as f64 + 1.0].map(|x| At { x, y })
        };
        Shape::Line((0..hours.len()).flat_map(at).collect())
    };
    let day = hours.len() == HOURS_OF_DAY;
    let (title, label, step) = if day {
        ("Replicas over the day", "hour of the day, UTC", 6.0)
    } else {
        ("Replicas over the week", "hour of the week, UTC", 24.0)
    };
    let plot = Plot {
        title: title.to_owned(),
        x: axis(label, Scale::Steps(step), count),
        y: axis("replicas", Scale::Linear, count),
        layers: vec![
            layer(
                "replicas paid for",
                SELF_HOSTED,
                steps(&|hour| hours[hour].replicas),
            ),
            layer(
                "replicas that the load would fill",
                API,
                steps(&|hour| hours[hour].calls_per_second / per_replica),
            ),
        ],
    };
    let mut caption = format!("{title}: what lies between the lines is paid for and idle.");
    if !answer.view.hourly {
        caption.push_str(
            " The scenario gives no hourly profile, so the load is drawn at its mean and the fleet is that of the peak.",
        );
    }
    Some(Picture {
        svg: plot.svg()?,
        caption,
    })
}
