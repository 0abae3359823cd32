//! The break-even report: from a scenario to Markdown, HTML and CSV.

use std::path::{Path, PathBuf};

use mtok::catalog::Catalog;
use mtok::cost::answer;
use mtok::cost::answer::Answer;
use mtok::cost::measured::Measured;
use mtok::cost::resolve::{Evidence, Sources};
use mtok::cost::scenario::{Document, MeetsQuality};
use mtok::cost::trace::Trace;
use mtok::report::breakeven::{to_csv, to_html, to_markdown};
use mtok::study::model::ModelCard;

/// The model cards of this repository, and nothing else.
struct Cards;

impl Evidence for Cards {
    fn card(&self, name: &str) -> Result<ModelCard, String> {
        let path = root().join("models").join(format!("{name}.toml"));
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        toml::from_str(&text).map_err(|error| error.to_string())
    }

    fn measured(&self, path: &str) -> Result<Measured, String> {
        Err(format!("no study {path} here"))
    }

    fn trace(&self, path: &str) -> Result<Trace, String> {
        Err(format!("no trace {path} here"))
    }

    fn quality(&self, path: &str) -> Result<MeetsQuality, String> {
        Err(format!("no study {path} here"))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn solve(text: &str) -> Answer {
    let document = Document::parse(text).unwrap_or_else(|error| panic!("{error}"));
    let catalog = Catalog::bundled();
    let sources = Sources {
        book: &catalog,
        evidence: &Cards,
    };
    answer(&document, sources).unwrap_or_else(|error| panic!("{error}"))
}

/// The ready scenarios.
fn folders() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("results")).expect("the ready scenarios");
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a folder entry").path())
        .filter(|folder| folder.join("scenario.toml").exists())
        .collect();
    folders.sort();
    folders
}

fn scenario(name: &str) -> String {
    let path = root().join("results").join(name).join("scenario.toml");
    std::fs::read_to_string(path).expect("a ready scenario")
}

#[test]
fn the_guides_numbers_stand_on_page_one() {
    let text = to_markdown(&solve(&scenario("guide-chatbot")));
    let page_one = text.split("# For the engineer").next().unwrap();
    for number in [
        "$825.00",
        "$2,880",
        "$0.00275",
        "$0.0096",
        "2.31\u{a0}%",
        "1,047,273",
        "8.08\u{a0}%",
        "3.49×",
    ] {
        assert!(page_one.contains(number), "{number} in {page_one}");
    }
}

#[test]
fn ready_scenarios_have_all_their_parts() {
    for folder in folders() {
        let text = to_markdown(&solve(&scenario(
            folder.file_name().unwrap().to_str().unwrap(),
        )));
        for heading in [
            "## Options",
            "## How sure",
            "## Cash",
            "## What would change the answer",
            "## Look again when",
            "## Assumptions",
            "# For the engineer",
            "## Operating point",
            "## USD per million tokens",
            "## Replicas by volume",
            "## Memory",
            "## What each lever saves",
            "## The comparison",
            "## Common claims",
            "## Provenance",
        ] {
            assert!(
                text.contains(&format!("\n{heading}\n")),
                "{heading} in {}",
                folder.display()
            );
        }
    }
}

#[test]
fn pictures_are_drawn_for_a_whole_scenario() {
    let html = to_html(&solve(&scenario("bursty")));
    for title in [
        "Monthly cost against volume",
        "Price of a million tokens against utilization",
        "What moves the saving",
        "How the saving of self-hosting is spread",
        "Cost of a conversation by its length",
        "The API bill",
        "The self-hosted bill",
        "Replicas over the day",
    ] {
        assert!(html.contains(&format!("<title>{title}</title>")), "{title}");
    }
    assert!(!html.contains("NaN") && !html.contains(">inf"));
}

#[test]
fn the_same_answer_gives_the_same_bytes() {
    let text = scenario("guide-chatbot");
    assert_eq!(to_html(&solve(&text)), to_html(&solve(&text)));
    assert_eq!(to_csv(&solve(&text)), to_csv(&solve(&text)));
}

const HOSTILE: &str = "</SCRIPT><img src=x onerror=alert(1)>\u{1b}[2J|`\u{2028}=1+1";

#[test]
fn hostile_names_stay_inert_in_every_form() {
    let name = HOSTILE
        .replace('\u{1b}', "\\u001b")
        .replace('\u{2028}', "\\u2028");
    let text = scenario("bursty")
        .replace(
            "\"DeepSeek V4 Flash, cheaper off peak\"",
            &format!("\"{name}\""),
        )
        .replace("\"H200, on demand\"", &format!("\"{name}\""))
        .replace("\"no prompt cache\"", &format!("\"{name}\""))
        .replace("name = \"sales\"", &format!("name = \"{name}\""))
        .replace(
            "model = \"claude-haiku-4-5\"",
            &format!("input_usd_per_mtok = 1\noutput_usd_per_mtok = 5\nsource = \"{name}\""),
        );
    let answer = solve(&text);
    let html = to_html(&answer).to_lowercase();
    for active in [
        "<script", "<img", "<iframe", "<link", "style=\"", "url(", "@import",
    ] {
        assert!(!html.contains(active), "{active}");
    }
    assert!(html.contains("&lt;/script&gt;&lt;img"), "the name is shown");
    assert_eq!(html.matches("</style>").count(), 1);
    let markdown = to_markdown(&answer);
    for text in [&html, &markdown] {
        assert!(!text.contains('\u{1b}') && !text.contains('\u{2028}'));
    }
    assert!(!markdown.contains("<img"));
}

#[test]
fn one_side_alone_has_a_report() {
    let api = solve(
        "[traffic]\nrequests_per_day = 100\nuser_tokens = 10\noutput_tokens = 10\n[api]\nmodel = \"gpt-4o\"\n",
    );
    let text = to_markdown(&api);
    assert!(text.contains("What gpt-4o costs"), "{text}");
    assert!(!text.contains("NaN") && !text.contains("inf"));
    assert!(to_html(&api).contains("</html>"));
}

#[test]
fn the_curve_is_one_row_per_volume() {
    let csv = to_csv(&solve(&scenario("guide-chatbot")));
    let mut lines = csv.lines();
    assert_eq!(
        lines.next().unwrap(),
        "requests_per_month,api_usd_per_month,self_hosted_usd_per_month,cheaper"
    );
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert!(rows.len() > 50);
    assert!(rows.iter().all(|row| row.len() == 4));
    let today = rows.iter().find(|row| row[0] == "300000").unwrap();
    assert_eq!(today[1..], ["825", "2880", "api"]);
    let volumes: Vec<f64> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
    assert!(volumes.is_sorted());
}
