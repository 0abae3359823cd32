//! Static pictures as SVG: lines with intervals, and what all pictures share. The same numbers give the same bytes; what is
//! not finite is left out; colours come from the page's style, so that print and dark mode apply.

use super::escape::html;

/// Width of every picture in units of which a phone shows about one per pixel.
pub(super) const WIDTH: f64 = 420.0;
pub(super) const HEIGHT: f64 = 270.0;
/// Room for the label of the vertical axis and numbers up to 100,000.
pub(super) const LEFT: f64 = 72.0;
pub(super) const RIGHT: f64 = 18.0;
pub(super) const TOP: f64 = 12.0;
pub(super) const BOTTOM: f64 = 44.0;
/// Height of one line of the legend, which stands below.
const LEGEND: f64 = 17.0;
/// Names in one line of the legend.
const NAMES: usize = 2;
/// Series at the same place stand this far apart, so that their intervals can be told from each other.
const APART: f64 = 6.0;
/// Gridlines that an axis is divided by, about.
const TICKS: f64 = 5.0;
/// Styles of series that the page defines; a further series begins again.
pub(crate) const STYLES: usize = 6;

/// Lines over a common axis.
#[derive(Debug, Clone, PartialEq)]
pub struct LineChart {
    /// What the picture shows, for readers who cannot see it.
    pub title: String,
    /// Label of the horizontal axis.
    pub x_label: String,
    /// Label of the vertical axis, which begins at zero.
    pub y_label: String,
    /// How the horizontal axis is divided.
    pub x_scale: Scale,
    /// The lines.
    pub series: Vec<Series>,
}

/// How an axis is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Evenly, from zero.
    Linear,
    /// By doubling; only values above zero have a place.
    Doubling,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its marks, in the order in which they are joined.
    pub marks: Vec<Mark>,
}

/// One value with the ends of its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// Place on the horizontal axis.
    pub x: f64,
    /// Value.
    pub y: f64,
    /// Lower and upper end, where known.
    pub interval: Option<(f64, f64)>,
}

impl LineChart {
    /// The picture, or `None` when no mark can be placed.
    pub fn svg(&self) -> Option<String> {
        let frame = Frame::around(self)?;
        let mut svg = open(HEIGHT + legend_height(self.series.len()), &self.title);
        frame.axes(self, &mut svg);
        for (index, series) in self.series.iter().enumerate() {
            let aside = match self.x_scale {
                Scale::Linear => 0.0,
                Scale::Doubling => (index as f64 - (self.series.len() - 1) as f64 / 2.0) * APART,
            };
            frame.line(series, (index, aside), &mut svg);
            legend(&series.name, index, HEIGHT, &mut svg);
        }
        svg.push_str("</svg>\n");
        Some(svg)
    }

    /// Marks that have a place.
    fn placeable(&self) -> impl Iterator<Item = Mark> + '_ {
        let marks = self.series.iter().flat_map(|series| &series.marks);
        marks.copied().filter(|mark| self.x_scale.places(*mark))
    }
}

impl Scale {
    fn places(self, mark: Mark) -> bool {
        let x = match self {
            Self::Linear => mark.x.is_finite() && mark.x >= 0.0,
            Self::Doubling => mark.x.is_finite() && mark.x > 0.0,
        };
        x && mark.y.is_finite() && mark.y >= 0.0
    }

    fn along(self, x: f64) -> f64 {
        match self {
            Self::Linear => x,
            Self::Doubling => x.log2(),
        }
    }
}

/// Where values lie in the picture.
struct Frame {
    scale: Scale,
    x_low: f64,
    x_high: f64,
    y_high: f64,
}

impl Frame {
    fn around(chart: &LineChart) -> Option<Self> {
        let along = |mark: Mark| chart.x_scale.along(mark.x);
        let high = |mark: Mark| match mark.interval {
            Some((_, high)) if high.is_finite() => mark.y.max(high),
            Some(_) | None => mark.y,
        };
        let x_low = chart.placeable().map(along).reduce(f64::min)?;
        let x_high = chart.placeable().map(along).reduce(f64::max)?;
        let y_high = chart.placeable().map(high).reduce(f64::max)?;
        let (x_low, x_high) = match chart.x_scale {
            Scale::Linear => (0.0, rounded_up(x_high)),
            Scale::Doubling => (x_low - 0.25, x_high + 0.25),
        };
        Some(Self {
            scale: chart.x_scale,
            x_low,
            x_high,
            y_high: rounded_up(y_high),
        })
    }

    fn x(&self, value: f64) -> f64 {
        let share = (self.scale.along(value) - self.x_low) / (self.x_high - self.x_low);
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - value / self.y_high * (HEIGHT - TOP - BOTTOM)
    }

    fn axes(&self, chart: &LineChart, svg: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in ticks(self.y_high) {
            let y = self.y(tick);
            svg.extend([format!(
                "<path class=\"grid\" d=\"M{LEFT:.1} {y:.1}H{right:.1}\"/><text class=\"tick end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
                LEFT - 5.0,
                y + 4.0,
                label(tick)
            )]);
        }
        let places = match self.scale {
            Scale::Linear => ticks(self.x_high),
            Scale::Doubling => distinct(chart.placeable().map(|mark| mark.x).collect()),
        };
        for place in places {
            svg.extend([format!(
                "<text class=\"tick middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
                self.x(place),
                bottom + 16.0,
                label(place)
            )]);
        }
        let (middle_x, middle_y) = (f64::midpoint(LEFT, right), f64::midpoint(TOP, bottom));
        svg.extend([format!(
            "<path class=\"axis\" d=\"M{LEFT:.1} {TOP:.1}V{bottom:.1}H{right:.1}\"/>\n\
             <text class=\"label middle\" x=\"{middle_x:.1}\" y=\"{:.1}\">{}</text>\n\
             <text class=\"label middle\" transform=\"translate(11 {middle_y:.1}) rotate(-90)\">{}</text>\n",
            HEIGHT - 10.0,
            html(&chart.x_label),
            html(&chart.y_label)
        )]);
    }

    /// A series in its style, a little aside where others have marks at the same places.
    fn line(&self, series: &Series, (index, aside): (usize, f64), svg: &mut String) {
        let style = index % STYLES;
        let place = |mark: &Mark| self.x(mark.x) + aside;
        let marks: Vec<Mark> = series
            .marks
            .iter()
            .copied()
            .filter(|mark| self.scale.places(*mark))
            .collect();
        let path: Vec<String> = marks
            .iter()
            .map(|mark| format!("{:.1} {:.1}", place(mark), self.y(mark.y)))
            .collect();
        if path.len() > 1 {
            let path = path.join("L");
            svg.extend([format!("<path class=\"line s{style}\" d=\"M{path}\"/>\n")]);
        }
        for mark in marks {
            let x = place(&mark);
            if let Some((low, high)) = mark
                .interval
                .filter(|(l, h)| l.is_finite() && h.is_finite())
            {
                let (low, high) = (self.y(low), self.y(high));
                svg.extend([format!(
                    "<path class=\"interval s{style}\" d=\"M{x:.1} {low:.1}V{high:.1}M{:.1} {low:.1}h6M{:.1} {high:.1}h6\"/>\n",
                    x - 3.0,
                    x - 3.0
                )]);
            }
            svg.push_str(&shape(style, x, self.y(mark.y)));
        }
    }
}

pub(super) fn open(height: f64, title: &str) -> String {
    let title = html(title);
    format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n"
    )
}

pub(super) fn legend_height(names: usize) -> f64 {
    LEGEND * names.div_ceil(NAMES) as f64
}

/// A name below a picture of this height.
pub(super) fn legend(name: &str, index: usize, below: f64, svg: &mut String) {
    let column = (index % NAMES) as f64 * (WIDTH - 16.0) / NAMES as f64;
    let (x, y) = (16.0 + column, below + 4.0 + LEGEND * (index / NAMES) as f64);
    svg.push_str(&shape(index % STYLES, x, y));
    svg.extend([format!(
        "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
        x + 12.0,
        y + 4.0,
        html(name)
    )]);
}

/// A mark whose form tells the series apart without colour.
pub(super) fn shape(style: usize, x: f64, y: f64) -> String {
    let path = match style % 3 {
        0 => {
            return format!(
                "<circle class=\"mark s{style}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>\n"
            );
        }
        1 => format!("M{:.1} {:.1}h7v7h-7z", x - 3.5, y - 3.5),
        _ => format!("M{x:.1} {:.1}l4.5 7.5h-9z", y - 4.5),
    };
    format!("<path class=\"mark s{style}\" d=\"{path}\"/>\n")
}

/// Steps of 1, 2 or 5 times a power of ten.
fn step(highest: f64) -> f64 {
    let rough = highest / TICKS;
    let power = 10_f64.powf(rough.log10().floor());
    let lead = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|lead| lead * power >= rough * (1.0 - 1e-9));
    lead.unwrap_or(10.0) * power
}

/// The first step at or above a value; 1 for zero, so that an axis always has a length.
pub(super) fn rounded_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let step = step(value);
    (value / step - 1e-9).ceil() * step
}

pub(super) fn ticks(highest: f64) -> Vec<f64> {
    let step = step(highest);
    let count = (highest / step).round() as u32;
    (0..=count).map(|n| f64::from(n) * step).collect()
}

fn distinct(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

/// A tick without digits that rounding left behind, thousands apart.
pub(super) fn label(value: f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let (whole, fraction) = text.find('.').map_or((text, ""), |dot| text.split_at(dot));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(marks: Vec<Mark>) -> LineChart {
        LineChart {
            title: "t".to_owned(),
            x_label: "batch".to_owned(),
            y_label: "tok/s".to_owned(),
            x_scale: Scale::Doubling,
            series: vec![Series {
                name: "<q8_0>".to_owned(),
                marks,
            }],
        }
    }

    fn mark(x: f64, y: f64) -> Mark {
        Mark {
            x,
            y,
            interval: Some((y * 0.9, y * 1.1)),
        }
    }

    #[test]
    fn what_is_not_finite_is_left_out() {
        let good = chart(vec![mark(1.0, 10.0), mark(2.0, 18.0)]);
        let mut bad = good.clone();
        let wrong = [
            (f64::NAN, 1.0),
            (0.0, 1.0),
            (4.0, f64::INFINITY),
            (1.0, -1.0),
        ];
        bad.series[0].marks.extend(wrong.map(|(x, y)| mark(x, y)));
        bad.series[0].marks[1].interval = Some((f64::NAN, f64::INFINITY));
        let svg = bad.svg().unwrap();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert_eq!(
            svg.matches("<circle").count(),
            3,
            "two marks and the legend"
        );
        assert_eq!(good.svg().unwrap().matches("interval").count(), 2);
    }

    #[test]
    fn nothing_to_show_is_no_picture() {
        assert_eq!(chart(vec![]).svg(), None);
        assert_eq!(chart(vec![mark(f64::NAN, 1.0)]).svg(), None);
    }

    #[test]
    fn one_mark_and_equal_marks_have_a_place() {
        for marks in [vec![mark(4.0, 0.0)], vec![mark(4.0, 3.0), mark(4.0, 3.0)]] {
            let svg = chart(marks).svg().unwrap();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn names_cannot_leave_the_picture() {
        let svg = chart(vec![mark(1.0, 1.0)]).svg().unwrap();
        assert!(svg.contains("&lt;q8_0&gt;") && !svg.contains("<q8_0>"));
    }

    #[track_caller]
    fn axis(highest: f64, expected: &[&str]) {
        let labels: Vec<String> = ticks(rounded_up(highest)).into_iter().map(label).collect();
        assert_eq!(labels, expected);
    }

    #[test]
    fn axes_are_divided_by_round_numbers() {
        axis(1.0, &["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        axis(23.0, &["0", "5", "10", "15", "20", "25"]);
        axis(0.0, &["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        axis(110_000.0, &["0", "50,000", "100,000", "150,000"]);
    }
}
