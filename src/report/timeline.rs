//! Sensors over the time of one point as SVG: lines with a gap where the point was not measured.

use super::chart::{
    BOTTOM, HEIGHT, LEFT, RIGHT, STYLES, TOP, WIDTH, label, legend, open, rounded_up, ticks,
};
use super::escape::html;
use crate::metrics::card_use::{Moment, Trace};

/// Readings that a line shows at most; the lowest and the highest of those between stay.
const SHOWN: usize = 600;

/// Lines over seconds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TimeChart<'a> {
    /// What the picture shows, for readers who cannot see it.
    pub(crate) title: String,
    /// Label of the vertical axis, which begins at zero.
    pub(crate) y_label: &'static str,
    /// The lines.
    pub(crate) traces: &'a [Trace],
    /// What the driver allows.
    pub(crate) limit: Option<Limit>,
}

/// A value that the driver does not let the card exceed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limit {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Where it lies.
    pub(crate) value: f64,
}

impl TimeChart<'_> {
    /// The picture, or `None` when there is no reading.
    pub(crate) fn svg(&self) -> Option<String> {
        let moments = || {
            self.traces
                .iter()
                .flat_map(|trace| trace.pieces.iter().flatten())
        };
        let x_high = rounded_up(moments().map(|moment| moment.seconds).reduce(f64::max)?);
        let highest = moments().map(|moment| moment.value).reduce(f64::max)?;
        let y_high = rounded_up(self.limit.map_or(highest, |limit| limit.value.max(highest)));
        let frame = Frame { x_high, y_high };
        let mut svg = open(HEIGHT, &self.title);
        frame.axes(self, &mut svg);
        for (index, trace) in self.traces.iter().enumerate() {
            svg.push_str(&frame.line(trace, index % STYLES));
            legend(trace.name, index, &mut svg);
        }
        svg.push_str("</svg>\n");
        Some(svg)
    }
}

/// Where values lie in the picture.
struct Frame {
    x_high: f64,
    y_high: f64,
}

impl Frame {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + seconds / self.x_high * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - value / self.y_high * (HEIGHT - TOP - BOTTOM)
    }

    fn axes(&self, chart: &TimeChart<'_>, svg: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in ticks(self.y_high) {
            let (y, beside) = (self.y(tick), LEFT - 6.0);
            svg.push_str(&format!(
                "<path class=\"grid\" d=\"M{LEFT:.1} {y:.1}H{right:.1}\"/><text class=\"tick end\" x=\"{beside:.1}\" y=\"{:.1}\">{}</text>\n",
                y + 4.0,
                label(tick)
            ));
        }
        for tick in ticks(self.x_high) {
            svg.push_str(&format!(
                "<text class=\"tick middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
                self.x(tick),
                bottom + 16.0,
                label(tick)
            ));
        }
        if let Some(limit) = chart.limit {
            let y = self.y(limit.value);
            svg.push_str(&format!(
                "<path class=\"rule s4\" d=\"M{LEFT:.1} {y:.1}H{right:.1}\"/><text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{} {}</text>\n",
                LEFT + 6.0,
                y - 4.0,
                html(limit.name),
                label(limit.value)
            ));
        }
        let (middle_x, middle_y) = (f64::midpoint(LEFT, right), f64::midpoint(TOP, bottom));
        svg.push_str(&format!(
            "<path class=\"axis\" d=\"M{LEFT:.1} {TOP:.1}V{bottom:.1}H{right:.1}\"/>\n\
             <text class=\"label middle\" x=\"{middle_x:.1}\" y=\"{:.1}\">seconds of measured time</text>\n\
             <text class=\"label middle\" transform=\"translate(14 {middle_y:.1}) rotate(-90)\">{}</text>\n",
            HEIGHT - 10.0,
            html(chart.y_label)
        ));
    }

    fn line(&self, trace: &Trace, style: usize) -> String {
        let readings: usize = trace.pieces.iter().map(Vec::len).sum();
        let mut path = String::new();
        for piece in trace.pieces.iter().filter(|piece| !piece.is_empty()) {
            let points: Vec<String> = thinned(piece, readings.div_ceil(SHOWN))
                .iter()
                .map(|moment| format!("{:.1} {:.1}", self.x(moment.seconds), self.y(moment.value)))
                .collect();
            // A piece of one reading is a dash as long as it is wide.
            let dash = if points.len() == 1 { "h1" } else { "" };
            path.push_str(&format!("M{}{dash}", points.join("L")));
        }
        format!("<path class=\"line s{style}\" d=\"{path}\"/>\n")
    }
}

/// The lowest and the highest of every `2 · step` readings, in the order of time.
fn thinned(piece: &[Moment], step: usize) -> Vec<Moment> {
    if step < 2 {
        return piece.to_vec();
    }
    let mut kept = Vec::new();
    for some in piece.chunks(2 * step) {
        let by_value = |a: &&Moment, b: &&Moment| a.value.total_cmp(&b.value);
        let lowest = some.iter().min_by(by_value);
        let highest = some.iter().max_by(by_value);
        let mut pair: Vec<Moment> = lowest.into_iter().chain(highest).copied().collect();
        pair.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        kept.extend(pair);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(pieces: Vec<Vec<(f64, f64)>>) -> Trace {
        let moment = |(seconds, value)| Moment { seconds, value };
        let piece = |piece: Vec<(f64, f64)>| piece.into_iter().map(moment).collect();
        Trace {
            name: "power now",
            pieces: pieces.into_iter().map(piece).collect(),
        }
    }

    fn chart(traces: &[Trace]) -> Option<String> {
        let title = "power".to_owned();
        let chart = TimeChart {
            title,
            y_label: "W",
            traces,
            limit: Some(Limit {
                name: "power limit",
                value: 700.0,
            }),
        };
        chart.svg()
    }

    #[test]
    fn pieces_are_not_joined_and_the_limit_has_a_place() {
        let traces = [trace(vec![
            vec![(0.0, 400.0), (1.0, 410.0)],
            vec![],
            vec![(2.0, 0.0)],
        ])];
        let svg = chart(&traces).unwrap();
        assert_eq!(svg.matches("class=\"line s0\"").count(), 1);
        let line = svg.lines().find(|line| line.contains("line s0")).unwrap();
        assert_eq!(line.matches('M').count(), 2, "{line}");
        assert!(svg.contains("power limit 700"));
    }

    #[test]
    fn nothing_to_show_is_no_picture() {
        assert_eq!(chart(&[]), None);
        assert_eq!(chart(&[trace(vec![vec![]])]), None);
    }

    #[test]
    fn a_long_line_keeps_its_extremes() {
        let mut readings: Vec<(f64, f64)> = (0..6_000).map(|n| (f64::from(n), 100.0)).collect();
        readings[3_333].1 = 900.0;
        let long = trace(vec![readings]);
        let kept = thinned(&long.pieces[0], 6_000_usize.div_ceil(SHOWN));
        assert!(kept.len() <= SHOWN, "{}", kept.len());
        assert!(kept.iter().any(|moment| moment.value > 899.0));
    }
}
