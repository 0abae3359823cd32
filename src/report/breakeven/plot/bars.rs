//! Bars under their labels, one row each, along a common axis: tornados and waterfalls.

use super::layer::width;
use super::range::Range;
use super::{LEGEND, Scale, TOP, WIDTH, open, put};
use crate::report::breakeven::amount;
use crate::report::escape::html;

const ROW: f64 = 31.0;
/// Room of a row above its bar.
const LABEL_HEIGHT: f64 = 16.0;
/// Room beside the axis, in which the labels of its ends stand.
const SIDE: f64 = 24.0;

/// Bars under their labels, one row each.
#[derive(Debug, Clone)]
pub(crate) struct Bars {
    pub(crate) title: String,
    /// What the bars measure, with the unit.
    pub(crate) label: String,
    pub(crate) write: fn(f64) -> String,
    pub(crate) rows: Vec<Bar>,
    /// A value that is marked through all rows.
    pub(crate) mark: Option<f64>,
    /// Names of styles.
    pub(crate) legend: Vec<(usize, &'static str)>,
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) pieces: Vec<Piece>,
    /// What stands beside it.
    pub(crate) note: String,
}

/// A stretch of a bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Piece {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) style: usize,
}

impl Piece {
    fn is_finite(&self) -> bool {
        self.from.is_finite() && self.to.is_finite()
    }
}

impl Bars {
    /// The picture, or `None` when no bar can be placed.
    pub(crate) fn svg(&self) -> Option<String> {
        let rows: Vec<&Bar> = self
            .rows
            .iter()
            .filter(|bar| bar.pieces.iter().all(Piece::is_finite))
            .collect();
        let pieces = rows.iter().flat_map(|bar| &bar.pieces);
        let ends = pieces.flat_map(|piece| [piece.from, piece.to]);
        let range = Range::around(Scale::Linear, ends.chain(self.mark))?;
        let x = |value: f64| SIDE + range.share(value) * (WIDTH - 2.0 * SIDE);
        let bottom = TOP + ROW * rows.len() as f64;
        let height = bottom + 44.0 + LEGEND * self.legend.len() as f64;
        let mut svg = open(height, &self.title);
        self.axis(&range, &x, bottom, &mut svg);
        for (place, bar) in rows.iter().enumerate() {
            row(bar, TOP + ROW * place as f64, &x, &mut svg);
        }
        for (place, (style, name)) in self.legend.iter().enumerate() {
            let y = bottom + 50.0 + LEGEND * place as f64;
            put(
                &mut svg,
                format_args!(
                    "<path class=\"bar s{style}\" d=\"M8 {:.1}h22v10h-22z\"/><text class=\"tick\" x=\"38\" y=\"{:.1}\">{}</text>",
                    y - 9.0,
                    y,
                    html(name)
                ),
            );
        }
        svg.push_str("</svg>\n");
        Some(svg)
    }

    fn axis(&self, range: &Range, x: &impl Fn(f64) -> f64, bottom: f64, svg: &mut String) {
        let mut free = 0.0;
        for tick in range.ticks() {
            let (place, text) = (x(tick), (self.write)(tick));
            let half = width(&text) / 2.0;
            self.upright(place, "grid", svg);
            if place - half >= free && place + half <= WIDTH {
                free = place + half + 6.0;
                put(
                    svg,
                    format_args!(
                        "<text class=\"tick middle\" x=\"{place:.1}\" y=\"{:.1}\">{}</text>",
                        bottom + 15.0,
                        html(&text)
                    ),
                );
            }
        }
        for (value, class) in [(Some(0.0), "axis"), (self.mark, "rule s4")] {
            let Some(value) = value else { continue };
            self.upright(x(value), class, svg);
        }
        put(
            svg,
            format_args!(
                "<text class=\"label middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                WIDTH / 2.0,
                bottom + 33.0,
                html(&self.label)
            ),
        );
    }
}

impl Bars {
    /// A line through the bars of all rows that leaves their labels free.
    fn upright(&self, place: f64, class: &str, svg: &mut String) {
        let mut path = String::new();
        for row in 0..self.rows.len() {
            let top = TOP + ROW * row as f64 + LABEL_HEIGHT;
            path.extend([format!("M{place:.1} {top:.1}v{:.1}", ROW - LABEL_HEIGHT)]);
        }
        put(svg, format_args!("<path class=\"{class}\" d=\"{path}\"/>"));
    }
}

fn row(bar: &Bar, top: f64, x: &impl Fn(f64) -> f64, svg: &mut String) {
    for piece in &bar.pieces {
        let (from, to) = (x(piece.from.min(piece.to)), x(piece.from.max(piece.to)));
        put(
            svg,
            format_args!(
                "<rect class=\"bar s{}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"10\"/>",
                piece.style,
                top + 17.0,
                (to - from).max(1.0)
            ),
        );
    }
    let room = 56 - bar.note.chars().count().min(24);
    put(
        svg,
        format_args!(
            "<text class=\"tick\" x=\"6\" y=\"{:.1}\">{}</text><text class=\"tick end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            top + 12.0,
            html(&amount::short(&bar.label, room)),
            WIDTH - 6.0,
            top + 12.0,
            html(&amount::short(&bar.note, 24))
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_to_show_is_no_picture() {
        let bars = Bars {
            title: String::new(),
            label: String::new(),
            write: amount::count,
            rows: vec![],
            mark: None,
            legend: vec![],
        };
        assert_eq!(bars.svg(), None);
    }

    #[test]
    fn a_row_that_is_not_finite_is_left_out() {
        let row = |to: f64| Bar {
            label: "</svg>".to_owned(),
            pieces: vec![Piece {
                from: 0.0,
                to,
                style: 1,
            }],
            note: String::new(),
        };
        let bars = Bars {
            title: "t".to_owned(),
            label: "x".to_owned(),
            write: amount::count,
            rows: vec![row(2.0), row(f64::NAN), row(-1.0)],
            mark: Some(1.0),
            legend: vec![(1, "one")],
        };
        let svg = bars.svg().unwrap();
        assert_eq!(svg.matches("<rect").count(), 2);
        assert_eq!(svg.matches("</svg>").count(), 1);
        assert!(!svg.contains("NaN"), "{svg}");
    }
}
