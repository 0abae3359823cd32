//! The break-even report: `breakeven.md`, `breakeven.html` and `breakeven.csv` from one answer.
//!
//! Page one is for whoever pays, what follows is for the engineer. The three renderings share one list
//! of parts and are functions of the answer alone.

mod amount;
mod claims;
mod decision;
mod engineering;
mod pictures;
mod plot;

use crate::cost::answer::Answer;
use crate::report::escape;
use crate::report::html;
use crate::report::markdown;
use crate::report::pictures::Picture;
use crate::report::section::{Align, Heading, Section, Table};

/// One piece of the report, in order.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    /// The sentence that decides.
    Verdict(String),
    /// Numbers to remember, each with what it is.
    Figures(Vec<Figure>),
    /// A heading with notes and a table.
    Section(Section),
    /// A heading with sentences that stand for themselves.
    List(&'static str, Vec<String>),
    /// Pictures, where the form can show them.
    Pictures(Vec<Picture>),
    /// The heading of a new page.
    Page(&'static str),
}

/// A number to remember.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Figure {
    what: &'static str,
    value: String,
    note: String,
}

/// Everything that the report says, in order.
fn parts(answer: &Answer) -> Vec<Part> {
    let mut parts = decision::parts(answer);
    parts.push(Part::Page("For the engineer"));
    parts.extend(engineering::parts(answer));
    parts
}

fn title(answer: &Answer) -> String {
    let api = answer.api.as_ref().map(|api| api.model.as_str());
    let host = answer.self_hosted.as_ref().map(|_| card(answer));
    match (api, host) {
        (Some(api), Some(host)) => format!("{api} or self-hosted on {host}?"),
        (Some(api), None) => format!("What {api} costs"),
        (None, Some(host)) => format!("What self-hosting on {host} costs"),
        (None, None) => "Break-even".to_owned(),
    }
}

/// The card that the fleet is made of, as far as the scenario says.
fn card(answer: &Answer) -> String {
    let stated = answer
        .assumptions
        .iter()
        .find(|line| line.key == "self_hosted.gpu");
    let chosen = answer.view.fits.iter().find(|fit| fit.chosen);
    stated
        .and_then(|line| line.value.as_str())
        .or(chosen.map(|fit| fit.gpu.as_str()))
        .unwrap_or("GPUs")
        .to_owned()
}

/// The report as one self-contained page.
pub fn to_html(answer: &Answer) -> String {
    let mut body = String::new();
    for part in parts(answer) {
        match part {
            Part::Verdict(text) => {
                body += &format!("<p class=\"verdict\">{}</p>\n", escape::html(&text));
            }
            Part::Figures(figures) => body += &html_figures(&figures),
            Part::Section(section) => body += &html::of_section(&section),
            Part::List(heading, items) => body += &html_list(heading, &items),
            Part::Pictures(pictures) => body += &html_pictures(&pictures),
            Part::Page(heading) => {
                body += &format!("<h1 class=\"page\">{}</h1>\n", escape::html(heading));
            }
        }
    }
    html::page(
        &title(answer),
        &format!("<div class=\"decision\">\n{body}</div>\n"),
    )
}

/// The report as GitHub-flavoured Markdown. Pictures are in the HTML report.
pub fn to_markdown(answer: &Answer) -> String {
    let mut text = format!("# {}\n", escape::markdown(&title(answer)));
    for part in parts(answer) {
        match part {
            Part::Verdict(verdict) => text += &format!("\n**{}**\n", escape::markdown(&verdict)),
            Part::Figures(figures) => {
                text.push('\n');
                for figure in figures {
                    text += &format!(
                        "- {}: **{}** {}\n",
                        escape::markdown(figure.what),
                        escape::markdown(&figure.value),
                        escape::markdown(&figure.note)
                    );
                }
            }
            Part::Section(section) => text += &markdown::of_section(&section),
            Part::List(heading, items) => {
                text += &format!("\n## {}\n\n", escape::markdown(heading));
                for item in items {
                    text += &format!("- {}\n", escape::markdown(&item));
                }
            }
            Part::Pictures(_) => {}
            Part::Page(heading) => text += &format!("\n# {}\n", escape::markdown(heading)),
        }
    }
    text
}

/// Both bills over the volume, one row per point of the curve.
pub fn to_csv(answer: &Answer) -> String {
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    let mut text =
        "requests_per_month,api_usd_per_month,self_hosted_usd_per_month,cheaper\n".to_owned();
    for point in &answer.view.curve {
        let cheaper = match (point.api_usd, point.self_hosted_usd) {
            (Some(api), Some(host)) if api < host => "api",
            (Some(api), Some(host)) if host < api => "self_hosted",
            (Some(_), Some(_)) => "equal",
            (_, _) => "",
        };
        text += &format!(
            "{},{},{},{cheaper}\n",
            point.requests_per_month,
            number(point.api_usd),
            number(point.self_hosted_usd)
        );
    }
    text
}

fn html_list(heading: &str, items: &[String]) -> String {
    let mut text = format!("<section>\n<h2>{}</h2>\n<ul>\n", escape::html(heading));
    for item in items {
        text += &format!("<li>{}</li>\n", escape::html(item));
    }
    text + "</ul>\n</section>\n"
}

fn html_figures(figures: &[Figure]) -> String {
    let mut text = "<dl class=\"figures\">\n".to_owned();
    for figure in figures {
        text += &format!(
            "<div><dt>{}</dt><dd><strong>{}</strong> {}</dd></div>\n",
            escape::html(figure.what),
            escape::html(&figure.value),
            escape::html(&figure.note)
        );
    }
    text + "</dl>\n"
}

fn html_pictures(pictures: &[Picture]) -> String {
    if pictures.is_empty() {
        return String::new();
    }
    let mut text = "<div class=\"pictures\">\n".to_owned();
    for picture in pictures {
        text += &format!(
            "<figure>\n{}<figcaption>{}</figcaption>\n</figure>\n",
            picture.svg,
            escape::html(&picture.caption)
        );
    }
    text + "</div>\n"
}

/// A heading with notes and a table.
fn section(title: &'static str, notes: Vec<String>, table: Option<Table>) -> Part {
    Part::Section(Section {
        title,
        notes,
        table,
    })
}

/// A table whose first `words` columns hold words and whose others hold numbers.
fn table(words: usize, header: &[&str], rows: Vec<Vec<String>>) -> Option<Table> {
    if rows.is_empty() {
        return None;
    }
    let heading = |(place, text): (usize, &&str)| Heading {
        text: (*text).to_owned(),
        align: if place < words {
            Align::Left
        } else {
            Align::Right
        },
    };
    Some(Table {
        header: header.iter().enumerate().map(heading).collect(),
        rows,
    })
}
