//! Pictures of the break-even report: an SVG plot of lines, bands, columns and marks on linear or
//! logarithmic axes. The same numbers give the same bytes; what is not finite is left out.

use std::fmt::Write as _;

use super::amount;
use crate::report::escape::html;

/// Width in units of which a phone shows about one per pixel.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;
/// Height of one line of the legend.
const LEGEND: f64 = 17.0;
/// Gridlines of an axis, about.
const TICKS: f64 = 5.0;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// Evenly, zero included.
    Linear,
    /// By powers of ten; only values above zero have a place.
    Logarithmic,
}

/// A point of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct At {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// Part of a band: between two values at one place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    pub(super) x: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// A column of a histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Column {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) height: f64,
    /// The style it is filled with.
    pub(super) style: usize,
}

/// What is drawn, in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Layer {
    /// Points joined by straight lines.
    Line {
        name: String,
        points: Vec<At>,
        style: usize,
    },
    /// The room between two lines.
    Band {
        name: String,
        spans: Vec<Span>,
        style: usize,
    },
    /// Marks without a line.
    Dots {
        name: String,
        points: Vec<At>,
        style: usize,
    },
    /// Columns.
    Columns {
        name: String,
        columns: Vec<Column>,
        style: usize,
    },
    /// A place on the horizontal axis.
    Vertical { name: String, x: f64, style: usize },
    /// A value on the vertical axis.
    Horizontal { name: String, y: f64, style: usize },
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

impl Scale {
    fn places(self, value: f64) -> bool {
        match self {
            Self::Linear => value.is_finite(),
            Self::Logarithmic => value.is_finite() && value > 0.0,
        }
    }

    fn along(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Logarithmic => value.log10(),
        }
    }
}

impl Layer {
    /// The places that the axes must reach.
    fn reach(&self) -> Vec<(Option<f64>, Option<f64>)> {
        let both = |x: f64, y: f64| (Some(x), Some(y));
        match self {
            Self::Line { points, .. } | Self::Dots { points, .. } => {
                points.iter().map(|at| both(at.x, at.y)).collect()
            }
            Self::Band { spans, .. } => spans
                .iter()
                .flat_map(|span| [both(span.x, span.low), both(span.x, span.high)])
                .collect(),
            Self::Columns { columns, .. } => columns
                .iter()
                .flat_map(|column| [both(column.from, column.height), both(column.to, 0.0)])
                .collect(),
            Self::Vertical { x, .. } => vec![(Some(*x), None)],
            Self::Horizontal { y, .. } => vec![(None, Some(*y))],
        }
    }

    fn name(&self) -> (&str, usize) {
        match self {
            Self::Line { name, style, .. }
            | Self::Band { name, style, .. }
            | Self::Dots { name, style, .. }
            | Self::Columns { name, style, .. }
            | Self::Vertical { name, style, .. }
            | Self::Horizontal { name, style, .. } => (name, *style),
        }
    }
}

/// The range of one axis.
#[derive(Debug, Clone, Copy)]
struct Range {
    scale: Scale,
    low: f64,
    high: f64,
}

impl Range {
    fn around(scale: Scale, values: impl Iterator<Item = f64>) -> Option<Self> {
        let placed: Vec<f64> = values
            .filter(|value| scale.places(*value))
            .map(|value| scale.along(value))
            .collect();
        let low = placed.iter().copied().reduce(f64::min)?;
        let high = placed.iter().copied().reduce(f64::max)?;
        let (low, high) = match scale {
            Scale::Linear => {
                let step = step((high.max(0.0) - low.min(0.0)).max(f64::MIN_POSITIVE));
                let outward = |value: f64| (value.abs() / step - 1e-9).ceil() * step;
                (-outward(low.min(0.0)), outward(high.max(0.0)))
            }
            Scale::Logarithmic => (low, high),
        };
        // A single value has no length of its own.
        let (low, high) = if high - low > 1e-12 {
            (low, high)
        } else {
            (low - 0.5, high + 0.5)
        };
        Some(Self { scale, low, high })
    }

    fn share(&self, value: f64) -> f64 {
        ((self.scale.along(value) - self.low) / (self.high - self.low)).clamp(-0.01, 1.01)
    }

    fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => {
                let step = step(self.high - self.low);
                let first = (self.low / step - 1e-9).ceil() as i64;
                let last = (self.high / step + 1e-9).floor() as i64;
                (first..=last).map(|n| n as f64 * step).collect()
            }
            Scale::Logarithmic => self.decades(),
        }
    }

    /// Powers of ten, with 2 and 5 times them where there are few.
    fn decades(&self) -> Vec<f64> {
        let (low, high) = (self.low.floor() as i32, self.high.ceil() as i32);
        let leads: &[f64] = match self.high - self.low {
            wide if wide > 3.0 => &[1.0],
            wide if wide > 1.2 => &[1.0, 3.0],
            _ => &[1.0, 2.0, 5.0],
        };
        let stride = ((f64::from(high - low) / TICKS).ceil() as usize).max(1);
        (low..=high)
            .step_by(stride)
            .flat_map(|power| leads.iter().map(move |lead| lead * 10_f64.powi(power)))
            .filter(|tick| (self.low - 1e-9..=self.high + 1e-9).contains(&tick.log10()))
            .collect()
    }
}

/// The room that the axes enclose.
struct Frame {
    x: Range,
    y: Range,
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.share(value) * (WIDTH - LEFT - RIGHT)
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
        let frame = Frame {
            x: Range::around(self.x.scale, reach.iter().filter_map(|(x, _)| *x))?,
            y: Range::around(self.y.scale, reach.iter().filter_map(|(_, y)| *y))?,
        };
        let named = self
            .layers
            .iter()
            .filter(|layer| !layer.name().0.is_empty());
        let height = HEIGHT + LEGEND * named.clone().count() as f64;
        let mut svg = open(height, &self.title);
        self.axes(&frame, &mut svg);
        for layer in &self.layers {
            draw(layer, &frame, &mut svg);
        }
        for (row, layer) in named.enumerate() {
            legend(layer, row, &mut svg);
        }
        svg.push_str("</svg>\n");
        Some(svg)
    }

    fn axes(&self, frame: &Frame, svg: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in frame.y.ticks() {
            let y = frame.y(tick);
            put(
                svg,
                format_args!(
                    "<path class=\"grid\" d=\"M{LEFT:.1} {y:.1}H{right:.1}\"/><text class=\"tick end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                    LEFT - 5.0,
                    y + 4.0,
                    html(&(self.y.write)(tick))
                ),
            );
        }
        let mut free = LEFT - 20.0;
        for tick in frame.x.ticks() {
            let (x, text) = (frame.x(tick), (self.x.write)(tick));
            // Labels that would touch are left out; their gridlines stay.
            let half = text.chars().count() as f64 * 3.4;
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
        let (middle_x, middle_y) = (f64::midpoint(LEFT, right), f64::midpoint(TOP, bottom));
        put(
            svg,
            format_args!(
                "<path class=\"axis\" d=\"M{LEFT:.1} {TOP:.1}V{bottom:.1}H{right:.1}\"/>\n\
             <text class=\"label middle\" x=\"{middle_x:.1}\" y=\"{:.1}\">{}</text>\n\
             <text class=\"label middle\" transform=\"translate(11 {middle_y:.1}) rotate(-90)\">{}</text>",
                HEIGHT - 10.0,
                html(&self.x.label),
                html(&self.y.label)
            ),
        );
    }
}

fn draw(layer: &Layer, frame: &Frame, svg: &mut String) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    match layer {
        Layer::Line { points, style, .. } => {
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
        Layer::Band { spans, style, .. } => {
            let placed = |y: fn(&Span) -> f64| {
                spans
                    .iter()
                    .filter(|span| {
                        let ends = [span.low, span.high];
                        ends.iter().all(|y| frame.places(At { x: span.x, y: *y }))
                    })
                    .map(|span| {
                        frame.point(At {
                            x: span.x,
                            y: y(span),
                        })
                    })
                    .collect::<Vec<_>>()
            };
            let (low, mut high) = (placed(|span| span.low), placed(|span| span.high));
            high.reverse();
            if low.len() > 1 {
                put(
                    svg,
                    format_args!(
                        "<path class=\"band s{style}\" d=\"M{}L{}z\"/>",
                        low.join("L"),
                        high.join("L")
                    ),
                );
            }
        }
        Layer::Dots { points, style, .. } => {
            for at in points.iter().filter(|at| frame.places(**at)) {
                put(
                    svg,
                    format_args!(
                        "<circle class=\"mark s{style}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.2\"/>",
                        frame.x(at.x),
                        frame.y(at.y)
                    ),
                );
            }
        }
        Layer::Columns { columns, .. } => {
            for column in columns.iter().filter(|column| column.height.is_finite()) {
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
        }
        Layer::Vertical { x, style, .. } if frame.x.scale.places(*x) => {
            let x = frame.x(*x);
            put(
                svg,
                format_args!("<path class=\"rule s{style}\" d=\"M{x:.1} {TOP:.1}V{bottom:.1}\"/>"),
            );
        }
        Layer::Horizontal { y, style, .. } if frame.y.scale.places(*y) => {
            let y = frame.y(*y);
            put(
                svg,
                format_args!("<path class=\"rule s{style}\" d=\"M{LEFT:.1} {y:.1}H{right:.1}\"/>"),
            );
        }
        Layer::Vertical { .. } | Layer::Horizontal { .. } => {}
    }
}

fn legend(layer: &Layer, row: usize, svg: &mut String) {
    let (name, style) = layer.name();
    let y = HEIGHT + LEGEND * row as f64 + 4.0;
    let left = 8.0;
    let sign = match layer {
        Layer::Line { .. } => format!("<path class=\"line s{style}\" d=\"M{left} {y:.1}h22\"/>"),
        Layer::Vertical { .. } | Layer::Horizontal { .. } => {
            format!("<path class=\"rule s{style}\" d=\"M{left} {y:.1}h22\"/>")
        }
        Layer::Band { .. } => {
            format!(
                "<path class=\"band s{style}\" d=\"M{left} {:.1}h22v10h-22z\"/>",
                y - 5.0
            )
        }
        Layer::Columns { .. } => {
            format!(
                "<path class=\"bar s{style}\" d=\"M{left} {:.1}h22v10h-22z\"/>",
                y - 5.0
            )
        }
        Layer::Dots { .. } => {
            format!(
                "<circle class=\"mark s{style}\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"3.2\"/>",
                left + 11.0
            )
        }
    };
    put(
        svg,
        format_args!(
            "{sign}<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            left + 30.0,
            y + 4.0,
            html(&amount::short(name, 58))
        ),
    );
}

/// Bars beside their labels, one per row, from a common line.
#[derive(Debug, Clone)]
pub(super) struct Bars {
    pub(super) title: String,
    /// What the bars measure, with the unit.
    pub(super) label: String,
    pub(super) write: fn(f64) -> String,
    pub(super) rows: Vec<Bar>,
    /// A value that is marked through all rows.
    pub(super) mark: Option<f64>,
}

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) style: usize,
    /// What stands beside it.
    pub(super) note: String,
}

impl Bars {
    /// The picture, or `None` when no bar can be placed.
    pub(super) fn svg(&self) -> Option<String> {
        let rows: Vec<&Bar> = self
            .rows
            .iter()
            .filter(|bar| bar.from.is_finite() && bar.to.is_finite())
            .collect();
        let ends = rows.iter().flat_map(|bar| [bar.from, bar.to]);
        let range = Range::around(Scale::Linear, ends.chain(self.mark))?;
        let x = |value: f64| 10.0 + range.share(value) * (WIDTH - 20.0);
        let row_height = 34.0;
        let bottom = TOP + row_height * rows.len() as f64;
        let mut svg = open(bottom + 40.0, &self.title);
        let mut free = 0.0;
        for tick in range.ticks() {
            let (place, text) = (x(tick), (self.write)(tick));
            let half = text.chars().count() as f64 * 3.4;
            put(
                &mut svg,
                format_args!("<path class=\"grid\" d=\"M{place:.1} {TOP:.1}V{bottom:.1}\"/>"),
            );
            if place - half >= free && place + half <= WIDTH {
                free = place + half + 6.0;
                put(
                    &mut svg,
                    format_args!(
                        "<text class=\"tick middle\" x=\"{place:.1}\" y=\"{:.1}\">{}</text>",
                        bottom + 15.0,
                        html(&text)
                    ),
                );
            }
        }
        if let Some(mark) = self.mark {
            let place = x(mark);
            put(
                &mut svg,
                format_args!("<path class=\"axis\" d=\"M{place:.1} {TOP:.1}V{bottom:.1}\"/>"),
            );
        }
        for (row, bar) in rows.iter().enumerate() {
            let top = TOP + row_height * row as f64;
            let (from, to) = (x(bar.from.min(bar.to)), x(bar.from.max(bar.to)));
            put(
                &mut svg,
                format_args!(
                    "<text class=\"tick\" x=\"10\" y=\"{:.1}\">{}</text><text class=\"tick end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n\
                 <rect class=\"bar s{}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"11\"/>",
                    top + 13.0,
                    html(&amount::short(&bar.label, 38)),
                    WIDTH - 10.0,
                    top + 13.0,
                    html(&amount::short(&bar.note, 30)),
                    bar.style,
                    top + 18.0,
                    (to - from).max(1.0)
                ),
            );
        }
        put(
            &mut svg,
            format_args!(
                "<text class=\"label middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n</svg>",
                WIDTH / 2.0,
                bottom + 33.0,
                html(&self.label)
            ),
        );
        Some(svg)
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

/// Steps of 1, 2 or 5 times a power of ten that divide a length.
fn step(length: f64) -> f64 {
    let rough = length / TICKS;
    let power = 10_f64.powf(rough.log10().floor());
    let lead = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|lead| lead * power >= rough * (1.0 - 1e-9));
    lead.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

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
            layers: vec![Layer::Line {
                name: "</svg><script>".to_owned(),
                points,
                style: 0,
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
        let bars = Bars {
            title: String::new(),
            label: String::new(),
            write: amount::count,
            rows: vec![],
            mark: None,
        };
        assert_eq!(bars.svg(), None);
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
    fn a_logarithmic_axis_has_round_ticks() {
        let ticks = |low: f64, high: f64| {
            Range::around(Scale::Logarithmic, [low, high].into_iter())
                .unwrap()
                .ticks()
        };
        assert_eq!(ticks(1e3, 1e7).len(), 5);
        let near: Vec<i64> = ticks(90.0, 600.0)
            .iter()
            .map(|t| t.round() as i64)
            .collect();
        assert_eq!(near, [100, 200, 500]);
    }

    #[test]
    fn a_linear_axis_keeps_zero_and_both_signs() {
        let range = Range::around(Scale::Linear, [-320.0, 910.0].into_iter()).unwrap();
        assert!(range.low <= -320.0 && range.high >= 910.0);
        assert!(range.ticks().iter().any(|tick| tick.abs() < 1e-9));
    }
}
