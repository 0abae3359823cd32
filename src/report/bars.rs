//! Bars in groups as SVG.

use super::chart::{
    RIGHT, STYLES, TOP, WIDTH, label, legend, legend_height, open, rounded_up, ticks,
};
use super::escape::html;

/// Height of one bar and of a group's gap.
const BAR: f64 = 12.0;
const GAP: f64 = 10.0;
const BAR_LEFT: f64 = 125.0;

/// Bars in groups beside a limit of 1.
#[derive(Debug, Clone, PartialEq)]
pub struct BarChart {
    /// What the picture shows, for readers who cannot see it.
    pub title: String,
    /// Names of the bars within each group.
    pub names: Vec<String>,
    /// The groups, top to bottom.
    pub groups: Vec<BarGroup>,
}

/// Bars under one label, one per name; absent ones stay empty.
#[derive(Debug, Clone, PartialEq)]
pub struct BarGroup {
    /// Label beside the bars.
    pub label: String,
    /// Values.
    pub values: Vec<Option<f64>>,
}

impl BarChart {
    /// The picture, or `None` when there is no bar.
    pub fn svg(&self) -> Option<String> {
        let values = self.groups.iter().flat_map(|group| &group.values);
        let highest = values
            .filter_map(|value| drawable(*value))
            .reduce(f64::max)?;
        let bars = Bars {
            axis: rounded_up(highest.max(1.0)),
            names: self.names.len() as f64,
            groups: self.groups.len() as f64,
        };
        let height = bars.bottom() + 34.0;
        let mut svg = open(height + legend_height(self.names.len()), &self.title);
        svg.extend(ticks(bars.axis).into_iter().map(|tick| bars.gridline(tick)));
        svg.push_str(&bars.limit());
        for (row, group) in self.groups.iter().enumerate() {
            bars.group(row, group, &mut svg);
        }
        for (index, name) in self.names.iter().enumerate() {
            legend(name, index, height, &mut svg);
        }
        svg.push_str("</svg>\n");
        Some(svg)
    }
}

/// A value that has a bar.
fn drawable(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite() && *value >= 0.0)
}

/// Where bars lie in the picture.
struct Bars {
    axis: f64,
    names: f64,
    groups: f64,
}

impl Bars {
    fn x(&self, value: f64) -> f64 {
        BAR_LEFT + value / self.axis * (WIDTH - BAR_LEFT - RIGHT)
    }

    fn group_height(&self) -> f64 {
        BAR * self.names + GAP
    }

    fn bottom(&self) -> f64 {
        TOP + self.group_height() * self.groups
    }

    fn gridline(&self, tick: f64) -> String {
        let (x, bottom) = (self.x(tick), self.bottom());
        format!(
            "<path class=\"grid\" d=\"M{x:.1} {TOP:.1}V{bottom:.1}\"/><text class=\"tick middle\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>\n",
            bottom + 16.0,
            label(tick)
        )
    }

    /// The line at 1, whether or not the axis has a number there.
    fn limit(&self) -> String {
        let (x, bottom) = (self.x(1.0), self.bottom());
        format!("<path class=\"axis\" d=\"M{x:.1} {TOP:.1}V{bottom:.1}\"/>\n")
    }

    fn group(&self, row: usize, group: &BarGroup, svg: &mut String) {
        let top = TOP + self.group_height() * row as f64 + GAP / 2.0;
        svg.push_str(&format!(
            "<text class=\"tick end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
            BAR_LEFT - 6.0,
            top + BAR * self.names / 2.0 + 4.0,
            html(&group.label)
        ));
        for (place, value) in group.values.iter().enumerate() {
            let Some(value) = drawable(*value) else {
                continue;
            };
            svg.push_str(&format!(
                "<rect class=\"bar s{}\" x=\"{BAR_LEFT:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>\n",
                place % STYLES,
                top + BAR * place as f64,
                self.x(value) - BAR_LEFT,
                BAR - 2.0
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_to_show_is_no_picture() {
        let bars = BarChart {
            title: "t".to_owned(),
            names: vec!["MBU".to_owned()],
            groups: vec![BarGroup {
                label: "f32".to_owned(),
                values: vec![None, Some(f64::NAN)],
            }],
        };
        assert_eq!(bars.svg(), None);
    }

    #[test]
    fn the_limit_has_a_line_however_far_bars_exceed_it() {
        for highest in [0.5, 14.6] {
            let bars = BarChart {
                title: "t".to_owned(),
                names: vec!["MFU".to_owned()],
                groups: vec![BarGroup {
                    label: "f32".to_owned(),
                    values: vec![Some(highest)],
                }],
            };
            let svg = bars.svg().unwrap();
            assert_eq!(svg.matches("class=\"axis\"").count(), 1, "{svg}");
        }
    }
}
