//! The table that a run ends in, as aligned text.

use super::document::Document;
use super::escape::visible;
use super::price_doubt;
use super::section::{self, Align, Section, Table};
use crate::metrics::verdict::Warning;

/// Lead, main table, cheapest points and warnings; no colour, no control character from outside.
pub fn render(document: &Document) -> String {
    let mut text = visible(&section::title(document)) + "\n";
    for line in section::lead(document) {
        text.push_str(&visible(&line));
        text.push('\n');
    }
    text.push('\n');
    if let Some(precisions) = &document.precisions {
        text.push_str(&aligned(&section::comparison(precisions)));
        for sentence in precisions.sentences() {
            text.extend([format!("{}\n", visible(&sentence))]);
        }
        text.push('\n');
    }
    if !document.rows.is_empty() {
        text.push_str(&points(document));
    }
    text.extend(document.warnings.iter().map(warned));
    text
}

/// A doubt and what to do about it.
fn warned(warning: &Warning) -> String {
    let place = warning
        .point
        .map_or(String::new(), |point| format!(" {point}"));
    let (code, remedy) = (warning.verdict.code(), warning.verdict.remedy());
    format!(
        "warning[{code}]{place}: {}\n  remedy: {remedy}\n",
        warning.verdict
    )
}

/// The main table and the cheapest points.
fn points(document: &Document) -> String {
    let mut text = aligned(&section::summary(document));
    text.push_str("± is half of the interval of the end-to-end time, relative to it\n");
    for limits in &document.limits {
        let line = document.miss(limits).unwrap_or_else(|| {
            let row = document.cheapest(limits);
            let point = row.map_or("none".to_owned(), |row| row.point.to_string());
            format!("cheapest, {}: {point}", limits.name)
        });
        text.extend([format!("{}\n", visible(&line))]);
    }
    text
}

/// The answers to what is asked of the points: what is cheapest under the limits, and what points cost at
/// the utilizations, with what to doubt about the price.
pub fn answers(document: &Document) -> String {
    let sections = section::answers(document);
    let told: Vec<String> = sections.iter().map(of_section).collect();
    let doubts = document.warnings.iter();
    let of_price = doubts.filter(|doubt| price_doubt::is_one(&doubt.verdict));
    told.join("\n") + &of_price.map(warned).collect::<String>()
}

/// A section as aligned text under its heading.
pub(crate) fn of_section(section: &Section) -> String {
    let mut text = format!("{}\n", section.title);
    for note in &section.notes {
        text.extend([format!("{}\n", visible(note))]);
    }
    if let Some(table) = &section.table {
        text.push_str(&aligned(table));
    }
    text
}

/// Columns padded to their widest cell, two spaces apart.
pub fn aligned(table: &Table) -> String {
    let header: Vec<String> = table.header.iter().map(|h| visible(&h.text)).collect();
    let rows: Vec<Vec<String>> = table
        .rows
        .iter()
        .map(|row| row.iter().map(|cell| visible(cell)).collect())
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| &row[column]);
        cells
            .chain([&header[column]])
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    for row in std::iter::once(&header).chain(&rows) {
        let cells = row.iter().zip(&widths).zip(&table.header);
        let padded: Vec<String> = cells
            .map(|((cell, width), heading)| match heading.align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            })
            .collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example::{document, hostile, script};

    #[test]
    fn the_table_of_a_small_study() {
        insta::assert_snapshot!(render(&document(&script())), @r#"
tiny on Test CPU
Engine decoder, closed static batch, equal lengths. Intervals are 95 %, over n blocks or over the processes they ran in, whichever is wider; — is unknown, never zero.
Prices: 0.36 USD per hour, the rate that the user gave for this CPU machine (--usd-per-hour); engine decoder, closed static batch, equal lengths, full load.

point           status   n      ±  prefill tok/s  decode tok/s  TTFT ms  TPOT ms  $/Mtok in  $/Mtok out  blended   floor
q8_0 b1 100/11  ok       3  0.8 %          200.0         10.00      500    100.0      0.500       9.091    1.351  0.6307
q8_0 b2 100/11  ok       3  0.7 %          400.0         16.00      500    125.0     0.2500       5.682   0.7883  0.4055
q8_0 b4 100/11  oom      —      —              —             —        —        —          —           —        —       —
q8_0 b8 100/11  skipped  —      —              —             —        —        —          —           —        —       —
± is half of the interval of the end-to-end time, relative to it
cheapest, any latency: q8_0 b2 100/11
cheapest, as MLPerf server: q8_0 b2 100/11
No point meets the limits as MLPerf interactive; q8_0 b1 100/11 comes nearest, with TTFT up to 512.4 ms of 450.0 and TPOT up to 100.0 ms of 40.00.
"#);
    }

    #[test]
    fn no_name_moves_the_cursor() {
        let text = render(&document(&hostile()));
        assert!(
            !text.contains(|c: char| c.is_control() && c != '\n'),
            "{text:?}"
        );
        assert!(!text.contains('\u{202e}'));
    }
}
