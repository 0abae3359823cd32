//! The pictures of a report: which numbers go where.

use super::bars::{BarChart, BarGroup};
use super::chart::{LineChart, Mark, Scale, Series};
use super::document::{Document, Measured, Row};
use super::sentence::capitalized;
use super::timeline::{Limit, TimeChart};
use super::unbeaten::unbeaten;
use crate::metrics::card_use::Timeline;
use crate::metrics::stats::Estimate;
use crate::units::TokensPerSecond;

/// A picture and the sentence under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    /// The SVG element.
    pub(crate) svg: String,
    /// What it shows.
    pub(crate) caption: String,
}

/// Every picture for which there are numbers.
pub(crate) fn all(document: &Document) -> Vec<Picture> {
    let pictures = [
        against_batch(document, "output tokens per second, all users", |m| {
            Some(m.latency.output())
        }),
        against_batch(document, "tokens per second of one user", |m| {
            m.latency.per_user()
        }),
        document
            .precisions
            .as_ref()
            .and_then(super::frontier::picture),
        frontier(document),
        utilization(document),
        power(document),
        clocks(document),
    ];
    pictures.into_iter().flatten().collect()
}

fn power(document: &Document) -> Option<Picture> {
    let timeline = document.timeline.as_ref()?;
    let limit = document.card.as_ref().and_then(|card| card.power_limit_mw);
    over_time(
        timeline,
        &TimeChart {
            title: format!("power over the time of {}", timeline.point),
            y_label: "watts",
            traces: &timeline.power,
            limit: limit.map(|limit| Limit {
                name: "power limit",
                value: limit as f64 / 1e3,
            }),
        },
    )
}

fn clocks(document: &Document) -> Option<Picture> {
    let timeline = document.timeline.as_ref()?;
    let highest = document
        .card
        .as_ref()
        .and_then(|card| card.max_sm_clock_mhz);
    over_time(
        timeline,
        &TimeChart {
            title: format!("clocks over the time of {}", timeline.point),
            y_label: "MHz",
            traces: &timeline.clocks,
            limit: highest.map(|clock| Limit {
                name: "highest SM clock",
                value: clock as f64,
            }),
        },
    )
}

fn over_time(timeline: &Timeline, chart: &TimeChart<'_>) -> Option<Picture> {
    let title = capitalized(&chart.title);
    let blocks = match timeline.blocks {
        1 => "its one measured block".to_owned(),
        blocks => format!("its {blocks} measured blocks one after another"),
    };
    let period = timeline.period.seconds().value() * 1e3;
    Some(Picture {
        svg: chart.svg()?,
        caption: format!(
            "{title}, the point that was measured the longest: {blocks}, read every {period:.0} ms. A \
             line breaks where a block ends; what was measured between two blocks takes no room."
        ),
    })
}

fn measured(document: &Document) -> impl Iterator<Item = (&Row, &Measured)> {
    let rows = document.rows.iter();
    rows.filter_map(|row| Some((row, row.measured.as_ref()?)))
}

/// What a line joins: points of one variant and one pair of lengths.
fn series_name(document: &Document, row: &Row) -> String {
    let lengths = |row: &Row| (row.point.isl, row.point.osl);
    let first = document.rows.first().map(lengths);
    if document.rows.iter().all(|row| Some(lengths(row)) == first) {
        row.point.variant().to_string()
    } else {
        let (isl, osl) = lengths(row);
        format!("{} {isl}/{osl}", row.point.variant())
    }
}

/// Marks in study order, one series per name.
fn series(document: &Document, mark: impl Fn(&Row, &Measured) -> Option<Mark>) -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    for (row, measured) in measured(document) {
        let Some(mark) = mark(row, measured) else {
            continue;
        };
        let name = series_name(document, row);
        match all.iter_mut().find(|series| series.name == name) {
            Some(series) => series.marks.push(mark),
            None => all.push(Series {
                name,
                marks: vec![mark],
            }),
        }
    }
    all
}

fn against_batch(
    document: &Document,
    label: &str,
    rate: impl Fn(&Measured) -> Option<Estimate<TokensPerSecond>>,
) -> Option<Picture> {
    let mut series = series(document, |row, measured| {
        let rate = rate(measured)?.rising(TokensPerSecond::value);
        Some(Mark {
            x: f64::from(row.point.batch.get()),
            y: rate.value,
            interval: rate.interval.map(|interval| (interval.low, interval.high)),
        })
    });
    for line in &mut series {
        line.marks.sort_by(|a, b| a.x.total_cmp(&b.x));
    }
    picture(&LineChart {
        title: format!("{label} against batch size"),
        x_label: "batch size".to_owned(),
        y_label: label.to_owned(),
        x_scale: Scale::Doubling,
        series,
    })
}

fn picture(chart: &LineChart) -> Option<Picture> {
    Some(Picture {
        svg: chart.svg()?,
        caption: format!("{}, with 95 % intervals.", capitalized(&chart.title)),
    })
}

/// Throughput of all users against the speed of one, of the points that no other of their series
/// beats in both.
fn frontier(document: &Document) -> Option<Picture> {
    let mut series = series(document, |_, measured| {
        let output = measured.latency.output().rising(TokensPerSecond::value);
        Some(Mark {
            x: measured.latency.per_user()?.value.value(),
            y: output.value,
            interval: output
                .interval
                .map(|interval| (interval.low, interval.high)),
        })
    });
    for line in &mut series {
        line.marks = efficient(&line.marks);
    }
    picture(&LineChart {
        title: "output tokens per second of all users against those of one user".to_owned(),
        x_label: "tokens per second of one user".to_owned(),
        y_label: "output tokens per second, all users".to_owned(),
        x_scale: Scale::Linear,
        series,
    })
}

/// Marks that no other mark beats in both directions, from the left.
fn efficient(marks: &[Mark]) -> Vec<Mark> {
    let more_is_better = |mark: &Mark| (-mark.x, -mark.y);
    let mut kept: Vec<Mark> = unbeaten(marks, more_is_better)
        .into_iter()
        .copied()
        .collect();
    kept.sort_by(|a, b| a.x.total_cmp(&b.x));
    kept
}

fn utilization(document: &Document) -> Option<Picture> {
    let group = |(row, measured): (&Row, &Measured)| {
        let roofline = measured.roofline.as_ref()?;
        let value = |share: Option<Estimate<f64>>| share.map(|share| share.value);
        Some(BarGroup {
            label: row.point.to_string(),
            values: vec![value(roofline.mbu), value(roofline.mfu)],
        })
    };
    let chart = BarChart {
        title: "MBU of decode and MFU of prefill; 1 is the measured limit".to_owned(),
        names: vec!["MBU".to_owned(), "MFU".to_owned()],
        groups: measured(document).filter_map(group).collect(),
    };
    Some(Picture {
        svg: chart.svg()?,
        caption: format!("{}.", chart.title),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example::{document, script, sweep};

    #[test]
    fn a_sweep_gives_lines_per_precision_and_no_roofline_without_peaks() {
        let pictures = all(&document(&sweep()));
        assert_eq!(pictures.len(), 3);
        for picture in &pictures {
            assert_eq!(
                picture.svg.matches("class=\"line").count(),
                2,
                "{}",
                picture.svg
            );
        }
        assert_eq!(pictures[0].svg.matches("class=\"interval").count(), 16);
    }

    #[test]
    fn peaks_add_the_utilization() {
        let pictures = all(&document(&script()));
        assert_eq!(pictures.len(), 4);
        assert_eq!(pictures[3].svg.matches("<rect").count(), 4);
    }

    #[test]
    fn the_frontier_leaves_out_what_another_point_beats() {
        let mark = |x, y| Mark {
            x,
            y,
            interval: None,
        };
        let marks = [
            mark(3.0, 1.0),
            mark(1.0, 3.0),
            mark(1.0, 2.0),
            mark(2.0, 2.0),
        ];
        let kept: Vec<(f64, f64)> = efficient(&marks).iter().map(|m| (m.x, m.y)).collect();
        assert_eq!(kept, [(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]);
    }
}
