//! `report.html`: one file without scripts, foreign content or inline styles; the policy inside it
//! allows its own style sheet by hash and nothing else.

use sha2::{Digest, Sha256};

use super::document::Document;
use super::escape::html;
use super::pictures::{self, Picture};
use super::section::{self, Align, Section, Table};

/// The style sheet of every report.
const STYLE: &str = include_str!("report.css");
/// Characters of a cell that is not broken over lines: a date, a word or two.
const SHORT: usize = 16;
/// Bytes of a word, an address mostly, that may be broken so that its table stays on the page.
const LONG: usize = 48;
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The report as one self-contained page.
pub fn render(document: &Document) -> String {
    let mut body = String::new();
    for line in section::lead(document) {
        body.extend([format!("<p>{}</p>\n", html(&line))]);
    }
    for (index, section) in section::all(document).iter().enumerate() {
        body.push_str(&of_section(section));
        if index == 0 {
            body.push_str(&of_pictures(&pictures::all(document)));
        }
    }
    page(&section::title(document), &body)
}

/// A page around a body, which is HTML already.
pub(crate) fn page(title: &str, body: &str) -> String {
    let (title, hash) = (html(title), base64(&Sha256::digest(STYLE.as_bytes())));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n"
    )
}

pub(crate) fn of_section(section: &Section) -> String {
    let mut text = format!("<section>\n<h2>{}</h2>\n", html(section.title));
    for note in &section.notes {
        text.extend([format!("<p>{}</p>\n", html(note))]);
    }
    if let Some(table) = &section.table {
        text.push_str(&of_table(table));
    }
    text.push_str("</section>\n");
    text
}

fn of_pictures(pictures: &[Picture]) -> String {
    if pictures.is_empty() {
        return String::new();
    }
    let mut text = "<section>\n<h2>Pictures</h2>\n<div class=\"pictures\">\n".to_owned();
    for picture in pictures {
        let (svg, caption) = (&picture.svg, html(&picture.caption));
        text.extend([format!(
            "<figure>\n{svg}<figcaption>{caption}</figcaption>\n</figure>\n"
        )]);
    }
    text.push_str("</div>\n</section>\n");
    text
}

fn of_table(table: &Table) -> String {
    let class = |column: usize| match table.header[column].align {
        Align::Left => "",
        Align::Right => " class=\"number\"",
    };
    // A wide table scrolls by itself, also for readers without a mouse.
    let mut text = "<div class=\"wide\" tabindex=\"0\">\n<table>\n<thead><tr>".to_owned();
    for (column, heading) in table.header.iter().enumerate() {
        let (class, heading) = (class(column), html(&heading.text));
        text.extend([format!("<th scope=\"col\"{class}>{heading}</th>")]);
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        text.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let class = match table.header[column].align {
                Align::Left if cell.chars().count() <= SHORT => " class=\"short\"",
                Align::Left if cell.split_whitespace().any(|word| word.len() > LONG) => {
                    " class=\"long\""
                }
                Align::Left | Align::Right => class(column),
            };
            text.extend([format!("<td{class}>{}</td>", of_cell(cell))]);
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody>\n</table>\n</div>\n");
    text
}

/// The text of a cell, with the interval of an estimate on a line of its own: a table of many estimates
/// stays on the page then.
fn of_cell(cell: &str) -> String {
    let interval = cell
        .strip_suffix(')')
        .and_then(|cell| cell.split_once(" ("));
    match interval.filter(|(_, interval)| interval.contains('–')) {
        Some((value, interval)) => {
            format!("{} <small>({})</small>", html(value), html(interval))
        }
        None => html(cell),
    }
}

/// Base64 with padding (RFC 4648 §4), which a policy names hashes in.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            if place <= chunk.len() {
                let six = (bits >> (18 - 6 * place)) & 63;
                text.push(char::from(BASE64[six as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example::{document, hostile, script, sweep};

    #[test]
    fn base64_is_that_of_the_standard() {
        let pairs = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, encoded) in pairs {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn the_policy_names_the_hash_of_the_style_that_is_in_the_page() {
        let page = render(&document(&script()));
        let style = page
            .split_once("<style>")
            .unwrap()
            .1
            .split_once("</style>")
            .unwrap()
            .0;
        let hash = base64(&Sha256::digest(style.as_bytes()));
        assert!(page.contains(&format!("style-src 'sha256-{hash}'")));
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn nothing_in_the_page_runs_or_loads() {
        for page in [script(), hostile(), sweep()].map(|script| render(&document(&script))) {
            let lower = page.to_lowercase();
            for active in [
                "<script", "<img", "<link", "<iframe", "style=\"", "url(", "@import", "http:",
            ] {
                assert!(!lower.replace("http://x", "").contains(active), "{active}");
            }
            assert_eq!(page.matches("</style>").count(), 1);
            assert!(!page.contains('\u{1b}') && !page.contains('\u{2028}'));
        }
    }

    #[test]
    fn an_interval_stands_on_a_line_of_its_own() {
        assert_eq!(of_cell("500 (488–512)"), "500 <small>(488–512)</small>");
        for plain in ["output only", "b1 1.0e-3 (0.02)", "—", "x (a–b) y"] {
            assert_eq!(of_cell(plain), plain);
        }
        let hostile = of_cell("<b> (–</i>)");
        assert_eq!(
            hostile,
            format!("{} <small>(–{})</small>", html("<b>"), html("</i>"))
        );
    }

    #[test]
    fn the_same_facts_give_the_same_bytes() {
        assert_eq!(render(&document(&sweep())), render(&document(&sweep())));
    }

    #[test]
    fn no_number_is_broken() {
        let page = render(&document(&sweep()));
        assert!(!page.contains("NaN") && !page.contains(">inf"));
    }
}
