//! The break-even report: `breakeven.md`, `breakeven.html` and `breakeven.csv` from one answer.
//!
//! Page one is for whoever pays, what follows is for the engineer. The three renderings share one list
//! of parts and are functions of the answer alone.

mod amount;
mod cash;
mod change;
mod claims;
mod decision;
mod engineering;
mod fleet;
mod framework;
mod ledger;
mod methods;
mod names;
mod options;
mod pictures;
mod plot;
mod replica;
mod saving;

use crate::cost::answer::Answer;
use crate::cost::outlook::Band;
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
    /// What must be known before anything below is believed.
    Note(String),
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
    let api = answer.api.as_ref().map(|api| amount::short(&api.model, 60));
    let host = answer.self_hosted.as_ref().map(|_| names::of_host(answer));
    match (api, host) {
        (Some(api), Some(host)) => format!("{api} or {}?", own(&host)),
        (Some(api), None) => format!("What {api} costs"),
        (None, Some(host)) => format!("What {} costs", own(&host)),
        (None, None) => "Break-even".to_owned(),
    }
}

/// The own model, said to be the own one.
fn own(host: &str) -> String {
    if host.starts_with("self-hosted") {
        host.to_owned()
    } else {
        format!("self-hosted {host}")
    }
}

/// The report as one self-contained page.
pub fn to_html(answer: &Answer) -> String {
    let mut body = String::new();
    for part in parts(answer) {
        match part {
            Part::Verdict(text) => {
                body += &format!("<p class=\"verdict\">{}</p>\n", escape::html(&text));
            }
            Part::Note(text) => body += &format!("<p>{}</p>\n", escape::html(&text)),
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
            Part::Note(note) => text += &format!("\n{}\n", escape::markdown(&note)),
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

/// Both bills over the volume, one row per point of the curve; the ends of the band where it is drawn.
/// Nothing but numbers: no name from outside is in it.
pub fn to_csv(answer: &Answer) -> String {
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    let mut text = "requests_per_month,api_usd_per_month,self_hosted_usd_per_month,cheaper,\
        api_usd_per_month_p5,api_usd_per_month_p95,\
        self_hosted_usd_per_month_p5,self_hosted_usd_per_month_p95\n"
        .to_owned();
    for point in &answer.view.curve {
        let cheaper = match (point.api_usd, point.self_hosted_usd) {
            (Some(api), Some(host)) if api < host => "api",
            (Some(api), Some(host)) if host < api => "self_hosted",
            (Some(_), Some(_)) => "equal",
            (_, _) => "",
        };
        let at = |band: &&Band| {
            band.requests_per_month
                .total_cmp(&point.requests_per_month)
                .is_eq()
        };
        let band = answer.view.band.iter().find(at);
        let ends = |of: fn(&Band) -> [f64; 2]| {
            let [low, high] = band.map_or([None; 2], |band| of(band).map(Some));
            format!("{},{}", number(low), number(high))
        };
        text += &format!(
            "{},{},{},{cheaper},{},{}\n",
            point.requests_per_month,
            number(point.api_usd),
            number(point.self_hosted_usd),
            ends(|band| band.api_usd),
            ends(|band| band.self_hosted_usd)
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
