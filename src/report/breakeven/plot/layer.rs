//! What a plot draws: lines, bands, marks, columns and rules, and their lines in the legend.

use super::{BOTTOM, Frame, HEIGHT, LEGEND, RIGHT, TOP, WIDTH, put};
use crate::report::breakeven::amount;
use crate::report::escape::html;

/// A point of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct At {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// A point that may carry a label.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dot {
    pub(crate) at: At,
    pub(crate) label: Option<Label>,
}

/// What stands beside a point, and where.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Label {
    /// Above, ending at the point.
    Before(String),
    /// Below, beginning at the point.
    After(String),
}

/// Part of a band: between two values at one place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Span {
    pub(crate) x: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// A column of a histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Column {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) height: f64,
    /// The style it is filled with.
    pub(crate) style: usize,
}

/// One thing that is drawn, in a style, with its name in the legend.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layer {
    /// Its line in the legend; none where it is empty.
    pub(crate) name: String,
    pub(crate) style: usize,
    pub(crate) shape: Shape,
}

/// What is drawn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    /// Points joined by straight lines.
    Line(Vec<At>),
    /// The room between two lines.
    Band(Vec<Span>),
    /// Marks without a line.
    Dots(Vec<Dot>),
    /// Columns.
    Columns(Vec<Column>),
    /// A place on the horizontal axis.
    Vertical(f64),
    /// A value on the vertical axis, with the label that stands on its line.
    Horizontal { y: f64, label: String },
}

impl Layer {
    /// The places that the axes must reach.
    pub(super) fn reach(&self) -> Vec<(Option<f64>, Option<f64>)> {
        let both = |x: f64, y: f64| (Some(x), Some(y));
        match &self.shape {
            Shape::Line(points) => points.iter().map(|at| both(at.x, at.y)).collect(),
            Shape::Dots(dots) => dots.iter().map(|dot| both(dot.at.x, dot.at.y)).collect(),
            Shape::Band(spans) => spans
                .iter()
                .flat_map(|span| [both(span.x, span.low), both(span.x, span.high)])
                .collect(),
            Shape::Columns(columns) => columns
                .iter()
                .flat_map(|column| [both(column.from, column.height), both(column.to, 0.0)])
                .collect(),
            Shape::Vertical(x) => vec![(Some(*x), None)],
            Shape::Horizontal { y, .. } => vec![(None, Some(*y))],
        }
    }

    pub(super) fn draw(&self, frame: &Frame, svg: &mut String) {
        let style = self.style;
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        match &self.shape {
            Shape::Line(points) => line(points, style, frame, svg),
            Shape::Band(spans) => band(spans, style, frame, svg),
            Shape::Dots(dots) => {
                for dot in dots.iter().filter(|dot| frame.places(dot.at)) {
                    put(
                        svg,
                        format_args!(
                            "<circle class=\"mark s{style}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.2\"/>",
                            frame.x(dot.at.x),
                            frame.y(dot.at.y)
                        ),
                    );
                }
            }
            Shape::Columns(columns) => {
                for column in columns.iter().filter(|column| column.height.is_finite()) {
                    rectangle(column, frame, svg);
                }
            }
            Shape::Vertical(x) => {
                if frame.x.scale.places(*x) {
                    let x = frame.x(*x);
                    put(
                        svg,
                        format_args!(
                            "<path class=\"rule s{style}\" d=\"M{x:.1} {TOP:.1}V{bottom:.1}\"/>"
                        ),
                    );
                }
            }
            Shape::Horizontal { y, .. } => {
                if frame.y.scale.places(*y) {
                    let y = frame.y(*y);
                    put(
                        svg,
                        format_args!(
                            "<path class=\"rule s{style}\" d=\"M{:.1} {y:.1}H{right:.1}\"/>",
                            frame.left
                        ),
                    );
                }
            }
        }
    }

    /// The labels of marked points, above everything else.
    pub(super) fn labels(&self, frame: &Frame, svg: &mut String) {
        let Shape::Dots(dots) = &self.shape else {
            return;
        };
        for dot in dots.iter().filter(|dot| frame.places(dot.at)) {
            let (x, y) = (frame.x(dot.at.x), frame.y(dot.at.y));
            let Some(label) = &dot.label else { continue };
            let (text, class, x, y) = match label {
                // At the edges a label turns to the side where there is room.
                Label::Before(text) if x > frame.left + width(text) => {
                    (text, "tick end", x - 5.0, y - 7.0)
                }
                Label::Before(text) => (text, "tick", x - 3.0, y - 9.0),
                Label::After(text) if x + width(text) < WIDTH => (text, "tick", x + 6.0, y + 15.0),
                Label::After(text) => (text, "tick end", x + 3.0, y + 17.0),
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

    /// The line of the legend.
    pub(super) fn legend(&self, row: usize, svg: &mut String) {
        let style = self.style;
        let y = HEIGHT + LEGEND * row as f64 + 4.0;
        let left = 8.0;
        let sign = match self.shape {
            Shape::Line(_) => format!("<path class=\"line s{style}\" d=\"M{left} {y:.1}h22\"/>"),
            Shape::Vertical(_) | Shape::Horizontal { .. } => {
                format!("<path class=\"rule s{style}\" d=\"M{left} {y:.1}h22\"/>")
            }
            Shape::Band(_) => format!(
                "<path class=\"band s{style}\" d=\"M{left} {:.1}h22v10h-22z\"/>",
                y - 5.0
            ),
            Shape::Columns(_) => format!(
                "<path class=\"bar s{style}\" d=\"M{left} {:.1}h22v10h-22z\"/>",
                y - 5.0
            ),
            Shape::Dots(_) => format!(
                "<circle class=\"mark s{style}\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"3.2\"/>",
                left + 11.0
            ),
        };
        put(
            svg,
            format_args!(
                "{sign}<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                left + 30.0,
                y + 4.0,
                html(&amount::short(&self.name, 58))
            ),
        );
    }
}

/// About how wide a text is.
pub(super) fn width(text: &str) -> f64 {
    text.chars().count() as f64 * 6.8
}

fn line(points: &[At], style: usize, frame: &Frame, svg: &mut String) {
    let path: Vec<String> = points
        .iter()
        .filter(|at| frame.places(**at))
        .map(|at| frame.point(*at))
        .collect();
    if path.len() > 1 {
        put(
            svg,
            format_args!("<path class=\"line s{style}\" d=\"M{}\"/>", path.join("L")),
        );
    }
}

fn band(spans: &[Span], style: usize, frame: &Frame, svg: &mut String) {
    let end = |span: &Span, y: f64| At { x: span.x, y };
    let placed: Vec<&Span> = spans
        .iter()
        .filter(|span| {
            [span.low, span.high]
                .iter()
                .all(|y| frame.places(end(span, *y)))
        })
        .collect();
    if placed.len() < 2 {
        return;
    }
    let mut path = String::new();
    for (place, span) in placed.iter().enumerate() {
        let sign = if place == 0 { 'M' } else { 'L' };
        path.extend([format!("{sign}{}", frame.point(end(span, span.low)))]);
    }
    for span in placed.iter().rev() {
        path.extend([format!("L{}", frame.point(end(span, span.high)))]);
    }
    put(
        svg,
        format_args!("<path class=\"band s{style}\" d=\"{path}z\"/>"),
    );
}

fn rectangle(column: &Column, frame: &Frame, svg: &mut String) {
    let (from, to) = (frame.x(column.from), frame.x(column.to));
    let (top, foot) = (
        frame.y(column.height.max(0.0)),
        frame.y(column.height.min(0.0)),
    );
    put(
        svg,
        format_args!(
            "<rect class=\"bar s{}\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
            column.style,
            (to - from - 0.5).max(0.5),
            foot - top
        ),
    );
}
