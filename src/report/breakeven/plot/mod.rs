//! Pictures of the break-even report: an SVG plot of lines, bands, columns and marks on linear or
//! logarithmic axes. The same numbers give the same bytes; what is not finite is left out.

mod bars;
mod layer;
mod range;

use std::fmt::Write as _;

use crate::report::escape::html;
use layer::width;
use range::Range;

pub(super) use bars::{Bar, Bars, Piece};
pub(super) use layer::{At, Column, Dot, Label, Layer, Shape, Span};

/// Width in units of which a phone shows about one per pixel.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 270.0;
/// Least room for the numbers of the vertical axis and its label.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;
/// Height of one line of the legend, and of one label.
const LEGEND: f64 = 17.0;
const LABEL: f64 = 14.0;
/// Width of a digit in the widest of the usual fonts.
const WIDEST_CHARACTER: f64 = 8.3;
/// Between an axis and its numbers.
const GAP: f64 = 5.0;

/// What an axis shows.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    /// Its label with the unit.
    pub(super) label: String,
    /// How it is divided.
    pub(super) scale: Scale,
    /// How its numbers are written.
    pub(super) write: fn(f64) -> String,
}

/// How an axis is divided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// Evenly, zero included.
    Linear,
    /// Evenly at multiples of a number, zero included.
    Steps(f64),
    /// By powers of ten; only values above zero have a place.
    Logarithmic,
}

/// A picture.
#[derive(Debug, Clone)]
pub(super) struct Plot {
    /// What it shows, for readers who cannot see it.
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) layers: Vec<Layer>,
}

/// The room that the axes enclose.
struct Frame {
    /// Where the vertical axis stands.
    left: f64,
    x: Range,
    y: Range,
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        self.left + self.x.share(value) * (WIDTH - self.left - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.share(value) * (HEIGHT - TOP - BOTTOM)
    }

    fn places(&self, at: At) -> bool {
        self.x.scale.places(at.x) && self.y.scale.places(at.y)
    }

    fn point(&self, at: At) -> String {
        format!("{:.1} {:.1}", self.x(at.x), self.y(at.y))
    }
}

impl Plot {
    /// The picture, or `None` when nothing can be placed.
    pub(super) fn svg(&self) -> Option<String> {
        let reach: Vec<_> = self.layers.iter().flat_map(Layer::reach).collect();
        let y = Range::around(self.y.scale, reach.iter().filter_map(|(_, y)| *y))?.loosened();
        let frame = Frame {
            left: self.margin(&y),
            x: Range::around(self.x.scale, reach.iter().filter_map(|(x, _)| *x))?,
            y,
        };
        let named = self.layers.iter().filter(|layer| !layer.name.is_empty());
        let height = HEIGHT + LEGEND * named.clone().count() as f64;
        let mut svg = open(height, &self.title);
        self.axes(&frame, &mut svg);
        for layer in &self.layers {
            layer.draw(&frame, &mut svg);
        }
        for layer in &self.layers {
            layer.labels(&frame, &mut svg);
        }
        self.labels_of_values(&frame, &mut svg);
        for (row, layer) in named.enumerate() {
            layer.legend(row, &mut svg);
        }
        svg.push_str("</svg>\n");
        Some(svg)
    }

    /// Room for the longest number of the vertical axis beside the axis' label.
    fn margin(&self, y: &Range) -> f64 {
        let numbers = y.ticks().into_iter().map(|tick| (self.y.write)(tick));
        let longest = numbers.map(|text| text.chars().count()).max().unwrap_or(0);
        LEFT.max(longest as f64 * WIDEST_CHARACTER + GAP + LABEL + 4.0)
    }

    fn axes(&self, frame: &Frame, svg: &mut String) {
        let (left, right, bottom) = (frame.left, WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in frame.y.ticks() {
            let y = frame.y(tick);
            put(
                svg,
                format_args!(
                    "<path class=\"grid\" d=\"M{left:.1} {y:.1}H{right:.1}\"/><text class=\"tick end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                    left - GAP,
                    y + 4.0,
                    html(&(self.y.write)(tick))
                ),
            );
        }
        let mut free = left - 20.0;
        for tick in frame.x.ticks() {
            let (x, text) = (frame.x(tick), (self.x.write)(tick));
            // Labels that would touch are left out; their gridlines stay.
            let half = width(&text) / 2.0;
            put(
                svg,
                format_args!("<path class=\"grid\" d=\"M{x:.1} {TOP:.1}V{bottom:.1}\"/>"),
            );
            if x - half > free && x + half < WIDTH {
                free = x + half + 6.0;
                put(
                    svg,
                    format_args!(
                        "<text class=\"tick middle\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                        bottom + 15.0,
                        html(&text)
                    ),
                );
            }
        }
        let (middle_x, middle_y) = (f64::midpoint(left, right), f64::midpoint(TOP, bottom));
        put(
            svg,
            format_args!(
                "<path class=\"axis\" d=\"M{left:.1} {TOP:.1}V{bottom:.1}H{right:.1}\"/>\n\
             <text class=\"label middle\" x=\"{middle_x:.1}\" y=\"{:.1}\">{}</text>\n\
             <text class=\"label middle\" transform=\"translate(11 {middle_y:.1}) rotate(-90)\">{}</text>",
                HEIGHT - 10.0,
                html(&self.x.label),
                html(&self.y.label)
            ),
        );
    }

    /// The labels of horizontal rules at their right end, moved up where they would touch, or at
    /// their left end where fewer points of a line lie behind them.
    fn labels_of_values(&self, frame: &Frame, svg: &mut String) {
        let mut labels: Vec<(f64, &str)> = self
            .layers
            .iter()
            .filter_map(|layer| match &layer.shape {
                Shape::Horizontal { y, label } if frame.y.scale.places(*y) => {
                    Some((frame.y(*y), label.as_str()))
                }
                Shape::Line(_)
                | Shape::Band(_)
                | Shape::Dots(_)
                | Shape::Columns(_)
                | Shape::Vertical(_)
                | Shape::Horizontal { .. } => None,
            })
            .collect();
        labels.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut ceiling = HEIGHT;
        for (place, (line, text)) in labels.iter().enumerate() {
            // A label that would touch the next rule goes under its own, where there is room.
            let crowded = labels
                .get(place + 1)
                .is_some_and(|(next, _)| line - next < LABEL);
            let under = line + LABEL + 1.0;
            let y = if crowded && under < ceiling - LABEL && under < HEIGHT - BOTTOM {
                under
            } else {
                (line - 4.0).min(ceiling - LABEL)
            };
            ceiling = y;
            let (right, left) = (WIDTH - RIGHT - 3.0, frame.left + 4.0);
            let length = width(text);
            let hits = |from: f64| self.points_behind(frame, (from, from + length), y);
            let turned = hits(left) < hits(right - length);
            let (class, x) = if turned {
                ("tick", left)
            } else {
                ("tick end", right)
            };
            put(
                svg,
                format_args!(
                    "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>",
                    html(text)
                ),
            );
        }
    }

    /// Points of lines where a text would stand whose foot is at `y`.
    fn points_behind(&self, frame: &Frame, (from, to): (f64, f64), y: f64) -> usize {
        let behind = |at: &&At| {
            let (x, line) = (frame.x(at.x), frame.y(at.y));
            frame.places(**at) && (from..=to).contains(&x) && (y - LABEL..=y + 4.0).contains(&line)
        };
        let points = |layer: &Layer| match &layer.shape {
            Shape::Line(points) => points.iter().filter(behind).count(),
            Shape::Band(_)
            | Shape::Dots(_)
            | Shape::Columns(_)
            | Shape::Vertical(_)
            | Shape::Horizontal { .. } => 0,
        };
        self.layers.iter().map(points).sum()
    }
}

fn open(height: f64, title: &str) -> String {
    let title = html(title);
    format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n"
    )
}

fn put(svg: &mut String, element: std::fmt::Arguments<'_>) {
    writeln!(svg, "{element}").expect("a String takes every write");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::breakeven::amount;

    fn plot(scale: Scale, points: Vec<At>) -> Plot {
        let axis = |scale| Axis {
            label: "<x>".to_owned(),
            scale,
            write: amount::count,
        };
        Plot {
            title: "a & b".to_owned(),
            x: axis(scale),
            y: axis(Scale::Linear),
            layers: vec![Layer {
                name: "</svg><script>".to_owned(),
                style: 0,
                shape: Shape::Line(points),
            }],
        }
    }

    fn at(x: f64, y: f64) -> At {
        At { x, y }
    }

    #[test]
    fn what_is_not_finite_is_left_out() {
        for scale in [Scale::Linear, Scale::Logarithmic] {
            let svg = plot(
                scale,
                vec![
                    at(1.0, 2.0),
                    at(f64::NAN, 1.0),
                    at(2.0, f64::INFINITY),
                    at(10.0, -3.0),
                ],
            )
            .svg()
            .unwrap();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert_eq!(
                svg.matches("class=\"line").count(),
                2,
                "the line and its legend"
            );
        }
    }

    #[test]
    fn nothing_to_show_is_no_picture() {
        assert_eq!(plot(Scale::Linear, vec![]).svg(), None);
        assert_eq!(plot(Scale::Logarithmic, vec![at(0.0, 1.0)]).svg(), None);
    }

    #[test]
    fn equal_values_and_single_points_have_a_place() {
        for points in [vec![at(5.0, 0.0)], vec![at(5.0, 7.0), at(5.0, 7.0)]] {
            for scale in [Scale::Linear, Scale::Logarithmic] {
                let svg = plot(scale, points.clone()).svg().unwrap();
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            }
        }
    }

    #[test]
    fn names_cannot_leave_the_picture() {
        let svg = plot(Scale::Linear, vec![at(0.0, 0.0), at(1.0, 1.0)])
            .svg()
            .unwrap();
        assert!(!svg.contains("<script>") && !svg.contains("<x>"));
        assert_eq!(svg.matches("</svg>").count(), 1);
    }

    #[test]
    fn labels_of_close_values_stand_above_each_other() {
        let mut plot = plot(Scale::Linear, vec![at(0.0, 0.0), at(1.0, 100.0)]);
        for (y, label) in [(50.0, "one"), (50.1, "two"), (50.2, "three")] {
            let label = label.to_owned();
            plot.layers.push(Layer {
                name: String::new(),
                style: 3,
                shape: Shape::Horizontal { y, label },
            });
        }
        let svg = plot.svg().unwrap();
        let height = |label: &str| {
            let line = svg
                .lines()
                .find(|line| line.contains(&format!(">{label}<")))
                .unwrap();
            let y = line.split(" y=\"").nth(1).unwrap();
            y.split('"').next().unwrap().parse::<f64>().unwrap()
        };
        assert!(height("one") - height("two") >= LABEL - 0.1);
        assert!(height("two") - height("three") >= LABEL - 0.1);
    }

    #[test]
    fn a_label_turns_away_from_a_line_that_runs_through_it() {
        let class = |height: f64| {
            let mut plot = plot(
                Scale::Linear,
                vec![at(0.0, 100.0), at(0.9, 10.0), at(1.0, 10.0)],
            );
            let label = "price".to_owned();
            plot.layers.push(Layer {
                name: String::new(),
                style: 3,
                shape: Shape::Horizontal { y: height, label },
            });
            let svg = plot.svg().unwrap();
            let line = svg.lines().find(|line| line.contains(">price<")).unwrap();
            line.split('"').nth(1).unwrap().to_owned()
        };
        assert_eq!(class(9.0), "tick");
        assert_eq!(class(60.0), "tick end");
    }

    #[test]
    fn long_numbers_of_the_vertical_axis_have_their_room() {
        let left = |high: f64| {
            let svg = plot(Scale::Linear, vec![at(0.0, 0.0), at(1.0, high)])
                .svg()
                .unwrap();
            let axis = svg.split("class=\"axis\" d=\"M").nth(1).unwrap();
            axis.split(' ').next().unwrap().parse::<f64>().unwrap()
        };
        assert!((left(10.0) - LEFT).abs() < 0.1);
        // Nine characters, as in 1,000,000.
        assert!(left(1e6) >= 9.0 * WIDEST_CHARACTER + LABEL);
    }
}
