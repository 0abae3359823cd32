//! The cost–quality frontier as a static picture: what each variant costs against how far it diverges.

use super::chart::{label, open, rounded_up, shape, ticks};
use super::escape::html;
use super::pictures::Picture;
use super::precision::{Cost, PrecisionRow, Precisions};
use super::unbeaten::unbeaten;

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 48.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;
/// Height of a label, which no other may cover.
const LINE: f64 = 14.0;
/// About the width of a letter.
const LETTER: f64 = 6.4;
/// About the width of a mark.
const MARK: f64 = 7.0;
/// A label begins this far beside its mark.
const BESIDE: f64 = 8.0;

/// One mark of the picture.
#[derive(Debug, Clone, PartialEq)]
struct Dot {
    name: String,
    cost: f64,
    kld: f64,
    interval: Option<(f64, f64)>,
}

/// The picture, where at least two variants have both.
pub(crate) fn picture(precisions: &Precisions) -> Option<Picture> {
    let cost = precisions.cost();
    let dots: Vec<Dot> = precisions
        .rows
        .iter()
        .filter_map(|row| dot(row, cost))
        .collect();
    let frame = Frame::around(&dots)?;
    let (axis, words) = match cost {
        Cost::Price => {
            let batch = precisions.batches.last()?;
            (
                format!("$/Mtok at batch {batch}"),
                "dollars per million tokens",
            )
        }
        Cost::Bytes => ("MB on the device".to_owned(), "bytes on the device"),
    };
    let title = format!("mean divergence from the reference against {words}");
    let mut svg = open(HEIGHT, &title);
    frame.axes(&axis, &mut svg);
    frame.line(&dots, &mut svg);
    frame.dots(&dots, &mut svg);
    svg.push_str("</svg>\n");
    Some(Picture {
        svg,
        caption: format!(
            "What a {} loses against what it costs: further down is closer to the reference, further left is cheaper. The line joins those that no other one beats in both; intervals are 95 %, a divergence of zero lies on the axis.",
            precisions.noun()
        ),
    })
}

fn dot(row: &PrecisionRow, cost: Cost) -> Option<Dot> {
    let kld = row.quality.as_ref()?.kld_mean;
    let scale = match cost {
        Cost::Price => 1.0,
        Cost::Bytes => 1e-6,
    };
    Some(Dot {
        name: row.variant.to_string(),
        cost: row.cost(cost)? * scale,
        kld: kld.value,
        interval: kld.interval.map(|interval| (interval.low, interval.high)),
    })
}

/// Where dots lie: costs evenly from zero, divergences by powers of ten.
struct Frame {
    cost_high: f64,
    /// Powers of ten at the ends of the vertical axis.
    low: i32,
    high: i32,
}

impl Frame {
    fn around(dots: &[Dot]) -> Option<Self> {
        let costs = dots.iter().map(|dot| dot.cost);
        let power = |kld: f64| kld.log10().floor() as i32;
        let seen = dots.iter().map(|dot| dot.kld).filter(|kld| *kld > 0.0);
        let low = seen.clone().reduce(f64::min)?;
        let upper = |dot: &Dot| dot.interval.map_or(dot.kld, |(_, high)| high.max(dot.kld));
        let high = dots.iter().map(upper).reduce(f64::max)?;
        (dots.len() > 1).then_some(Self {
            cost_high: rounded_up(costs.reduce(f64::max)?),
            low: power(low),
            high: power(high) + 1,
        })
    }

    fn x(&self, cost: f64) -> f64 {
        LEFT + cost / self.cost_high * (WIDTH - LEFT - RIGHT)
    }

    /// What is below the axis lies on it.
    fn y(&self, kld: f64) -> f64 {
        let bottom = f64::from(self.low);
        let power = if kld > 0.0 {
            kld.log10().max(bottom)
        } else {
            bottom
        };
        let share = (power - bottom) / f64::from(self.high - self.low);
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }

    fn axes(&self, axis: &str, svg: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for power in self.low..=self.high {
            let y = self.y(10_f64.powi(power));
            let text = if power < -3 {
                format!("1e{power}")
            } else {
                label(10_f64.powi(power))
            };
            svg.extend([format!(
                "<path class=\"grid\" d=\"M{LEFT:.1} {y:.1}H{right:.1}\"/><text class=\"tick end\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>\n",
                LEFT - 6.0,
                y + 4.0
            )]);
        }
        for tick in ticks(self.cost_high) {
            svg.extend([format!(
                "<text class=\"tick middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
                self.x(tick),
                bottom + 16.0,
                label(tick)
            )]);
        }
        let (middle_x, middle_y) = (f64::midpoint(LEFT, right), f64::midpoint(TOP, bottom));
        svg.extend([format!(
            "<path class=\"axis\" d=\"M{LEFT:.1} {TOP:.1}V{bottom:.1}H{right:.1}\"/>\n\
             <text class=\"label middle\" x=\"{middle_x:.1}\" y=\"{:.1}\">{}</text>\n\
             <text class=\"label middle\" transform=\"translate(11 {middle_y:.1}) rotate(-90)\">mean KLD in nats</text>\n",
            HEIGHT - 10.0,
            html(axis)
        )]);
    }

    /// Joins what no other dot beats.
    fn line(&self, dots: &[Dot], svg: &mut String) {
        let mut kept = efficient(dots);
        kept.sort_by(|a, b| a.cost.total_cmp(&b.cost));
        let path: Vec<String> = kept
            .iter()
            .map(|dot| format!("{:.1} {:.1}", self.x(dot.cost), self.y(dot.kld)))
            .collect();
        if path.len() > 1 {
            svg.extend([format!(
                "<path class=\"line s0\" d=\"M{}\"/>\n",
                path.join("L")
            )]);
        }
    }

    /// The names of the dots with their marks; marks that cover each other share theirs.
    fn names(&self, dots: &[Dot]) -> Vec<((f64, f64), String)> {
        let mut names: Vec<((f64, f64), String)> = Vec::new();
        for dot in dots {
            let (x, y) = (self.x(dot.cost), self.y(dot.kld));
            let covers = |mark: (f64, f64)| (mark.0 - x).abs() < MARK && (mark.1 - y).abs() < MARK;
            match names.iter_mut().find(|(mark, _)| covers(*mark)) {
                Some((_, name)) => *name = joined(name, &dot.name),
                None => names.push(((x, y), dot.name.clone())),
            }
        }
        names
    }

    fn dots(&self, dots: &[Dot], svg: &mut String) {
        let mut taken: Vec<Label> = Vec::new();
        let kept = efficient(dots);
        for dot in dots {
            let style = usize::from(!kept.contains(&dot));
            let (x, y) = (self.x(dot.cost), self.y(dot.kld));
            if let Some((low, high)) = dot.interval {
                let (low, high) = (self.y(low), self.y(high));
                svg.extend([format!(
                    "<path class=\"interval s{style}\" d=\"M{x:.1} {low:.1}V{high:.1}\"/>\n"
                )]);
            }
            svg.push_str(&shape(style, x, y));
        }
        for (place, name) in self.names(dots) {
            let label = free(&mut taken, Label::beside(place, &name));
            label.draw(&name, svg);
        }
    }
}

/// Two names in one: the second without what both begin with.
fn joined(first: &str, second: &str) -> String {
    let (of, kv) = second.rsplit_once(' ').unwrap_or(("", second));
    let same = !of.is_empty() && first.starts_with(of);
    format!("{first}, {}", if same { kv } else { second })
}

/// Where a name stands.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Label {
    left: f64,
    right: f64,
    y: f64,
}

impl Label {
    /// Right of a mark, or left of it where the picture ends.
    fn beside((x, y): (f64, f64), name: &str) -> Self {
        let width = LETTER * name.chars().count() as f64;
        let right_of = x + BESIDE;
        let left = if right_of + width > WIDTH {
            x - BESIDE - width
        } else {
            right_of
        };
        Self {
            left,
            right: left + width,
            y: y - 6.0,
        }
    }

    fn covers(&self, other: &Self) -> bool {
        self.left < other.right && other.left < self.right && (self.y - other.y).abs() < LINE
    }

    fn draw(&self, name: &str, svg: &mut String) {
        svg.extend([format!(
            "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
            self.left,
            self.y,
            html(name)
        )]);
    }
}

/// The nearest place above the one wished for that no other label covers; below it where the picture
/// ends.
fn free(taken: &mut Vec<Label>, wished: Label) -> Label {
    let mut label = wished;
    while let Some(other) = taken.iter().find(|other| other.covers(&label)) {
        label.y = other.y - LINE;
    }
    if label.y < LINE {
        label = wished;
        while let Some(other) = taken.iter().find(|other| other.covers(&label)) {
            label.y = other.y + LINE;
        }
    }
    taken.push(label);
    label
}

/// Dots that no other dot beats in cost and divergence.
fn efficient(dots: &[Dot]) -> Vec<&Dot> {
    unbeaten(dots, |dot| (dot.cost, dot.kld))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(name: &str, cost: f64, kld: f64) -> Dot {
        Dot {
            name: name.to_owned(),
            cost,
            kld,
            interval: None,
        }
    }

    #[test]
    fn the_frontier_leaves_out_what_another_precision_beats() {
        let dots = [
            dot("f32", 4.0, 0.0),
            dot("f16", 5.0, 1e-6),
            dot("q8_0", 2.0, 1e-3),
            dot("q4_0", 1.5, 0.1),
            dot("q4_k", 1.5, 0.05),
        ];
        let names: Vec<&str> = efficient(&dots).iter().map(|d| d.name.as_str()).collect();
        assert_eq!(names, ["f32", "q8_0", "q4_k"]);
    }

    #[test]
    fn marks_that_cover_each_other_share_their_name() {
        let dots = [
            dot("q4_k kv f16", 2.0, 0.00184),
            dot("q4_k kv q8_0", 2.0, 0.00186),
            dot("q4_1", 2.0, 0.00185),
            dot("f32 kv f16", 15.0, 1e-8),
        ];
        let names = Frame::around(&dots).unwrap().names(&dots);
        let names: Vec<&str> = names.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["q4_k kv f16, q8_0, q4_1", "f32 kv f16"]);
    }

    #[test]
    fn no_label_covers_another() {
        let mut taken = Vec::new();
        for place in [(100.0, 100.0), (140.0, 104.0), (100.0, 20.0)] {
            for name in ["q4_k", "q4_k kv q8_0", "f16"] {
                free(&mut taken, Label::beside(place, name));
            }
        }
        for (index, label) in taken.iter().enumerate() {
            assert!(
                taken[..index].iter().all(|other| !other.covers(label)),
                "{taken:?}"
            );
            assert!(label.y >= LINE && label.y < HEIGHT, "{label:?}");
        }
    }

    #[test]
    fn a_long_name_at_the_edge_stands_left_of_its_mark() {
        let edge = WIDTH - RIGHT;
        let label = Label::beside((edge, 50.0), "bf16 kv q8_0");
        assert!(label.right <= edge && label.left > LEFT, "{label:?}");
        assert!(Label::beside((LEFT, 50.0), "bf16 kv q8_0").left > LEFT);
    }

    #[test]
    fn a_divergence_of_zero_lies_on_the_axis() {
        let dots = [dot("f32", 4.0, 0.0), dot("q4_k", 1.0, 0.02)];
        let frame = Frame::around(&dots).unwrap();
        assert_eq!((frame.low, frame.high), (-2, -1));
        assert!((frame.y(0.0) - (HEIGHT - BOTTOM)).abs() < 1e-9);
        assert!((frame.y(0.1) - TOP).abs() < 1e-9);
        assert!(Frame::around(&dots[..1]).is_none());
    }
}
