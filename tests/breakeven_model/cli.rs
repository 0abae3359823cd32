//! The verb on files: what it prints, what it exits with.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::fixture::{Book, Files, GUIDE};
use mtok::cli::breakeven::{BreakevenArgs, Outside, Streams, run};
use mtok::cost::resolve::Evidence as _;
use mtok::cost::scenario::schema;

struct Said {
    code: u8,
    out: String,
    talk: String,
}

fn call(scenario: &Path, change: impl Fn(&mut BreakevenArgs)) -> Said {
    let mut args = BreakevenArgs {
        scenario: scenario.to_owned(),
        results: None,
        out: None,
        json: false,
        strict: false,
    };
    change(&mut args);
    let files = Files::default();
    let (mut out, mut talk) = (Vec::new(), Vec::new());
    let outside = Outside {
        book: &Book::new(),
        further: &|| Ok(None),
        card: &|name| files.card(name),
        measured: &|path| files.measured(&path.to_string_lossy()),
        quality: &|path, variant| files.quality(&path.to_string_lossy(), variant),
        report: &|answer, folder| {
            fs::create_dir_all(folder)?;
            fs::write(folder.join("breakeven.md"), &answer.verdict)?;
            Ok(())
        },
        today: "2027-06-01".parse().unwrap(),
    };
    let streams = Streams {
        out: &mut out,
        talk: &mut talk,
    };
    let code = run(&args, outside, streams).unwrap();
    Said {
        code,
        out: String::from_utf8(out).unwrap(),
        talk: String::from_utf8(talk).unwrap(),
    }
}

fn folder_with(bytes: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("scenario.toml"), bytes).unwrap();
    folder
}

fn said(bytes: &[u8], change: impl Fn(&mut BreakevenArgs)) -> Said {
    let folder = folder_with(bytes);
    call(&folder.path().join("scenario.toml"), change)
}

#[test]
fn json_is_one_document_and_nothing_else() {
    let said = said(GUIDE.as_bytes(), |args| args.json = true);
    assert_eq!(said.code, 0);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let requests = json["break_even"]["requests_per_month"].as_f64().unwrap();
    assert!((requests - 1_047_272.727_272_7).abs() < 1e-3);
    assert!(said.talk.contains("warning:"));
}

#[test]
fn doubts_are_an_error_only_when_strict() {
    assert_eq!(said(GUIDE.as_bytes(), |_| ()).code, 0);
    assert_eq!(said(GUIDE.as_bytes(), |args| args.strict = true).code, 6);
}

#[test]
fn age_against_today_goes_to_the_terminal_alone() {
    let said = said(GUIDE.as_bytes(), |args| args.json = true);
    assert!(said.talk.contains("was read 193 days ago"), "{}", said.talk);
    assert!(!said.out.contains("days ago"));
}

#[test]
fn a_bad_scenario_exits_3_with_line_and_column() {
    let said = said(b"[traffic]\nrequests_per_dya = 1\n", |_| ());
    assert_eq!(said.code, 3);
    assert!(
        said.talk
            .contains("line 2, column 1: unknown key `requests_per_dya`"),
        "{}",
        said.talk
    );
    assert!(said.talk.contains("hint: did you mean `requests_per_day`?"));
    assert!(said.out.is_empty());
}

#[test]
fn bytes_that_are_no_text_are_named_with_their_place() {
    let said = said(b"[traffic]\nx = \"\xff\"\n", |_| ());
    assert_eq!(said.code, 3);
    assert!(
        said.talk
            .contains("line 2, column 6: the text is not UTF-8"),
        "{}",
        said.talk
    );
}

#[test]
fn a_scenario_that_is_not_there_exits_3() {
    let said = call(Path::new("/nowhere/scenario.toml"), |_| ());
    assert_eq!(said.code, 3);
    assert!(said.talk.contains("/nowhere/scenario.toml"));
}

#[test]
fn reports_go_where_asked_and_a_failure_is_a_storage_error() {
    let folder = folder_with(GUIDE.as_bytes());
    let scenario = folder.path().join("scenario.toml");
    let out = folder.path().join("out");
    assert_eq!(call(&scenario, |args| args.out = Some(out.clone())).code, 0);
    assert!(out.join("breakeven.md").exists());
    let blocked = scenario.join("x");
    assert_eq!(
        call(&scenario, |args| args.out = Some(blocked.clone())).code,
        9
    );
}

#[test]
fn results_replace_the_stated_throughput() {
    let said = said(GUIDE.as_bytes(), |args| {
        args.results = Some("results/none".into());
    });
    assert_eq!(said.code, 3);
    assert!(
        said.talk.contains("no study at results/none"),
        "{}",
        said.talk
    );
}

#[test]
fn a_trace_is_read_beside_the_scenario() {
    let text = "[traffic]\ntrace = \"requests.csv\"\nuser_tokens = 5\noutput_tokens = 5\n[api]\nmodel = \"gpt-4o\"\n";
    let folder = folder_with(text.as_bytes());
    let mut csv = String::from("timestamp\n");
    for hour in 0..24 {
        writeln!(csv, "2026-11-02T{hour:02}:30:00Z").unwrap();
    }
    let trace = folder.path().join("requests.csv");
    fs::write(&trace, &csv).unwrap();
    let scenario = folder.path().join("scenario.toml");
    let said = call(&scenario, |args| args.json = true);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert!((json["volume"]["requests_per_day"].as_f64().unwrap() - 24.0).abs() < 1e-9);
    fs::write(&trace, "timestamp\nyesterday\n").unwrap();
    let said = call(&scenario, |_| ());
    assert_eq!(said.code, 3);
    assert!(
        said.talk.contains("line 2, column 1") && said.talk.contains("`yesterday` is no timestamp"),
        "{}",
        said.talk
    );
}

#[test]
fn the_schema_names_every_section_and_no_other() {
    let schema = serde_json::to_value(schema()).unwrap();
    let sections: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    for section in [
        "as_of",
        "calendar",
        "traffic",
        "api",
        "self_hosted",
        "what_if",
        "decision",
        "horizon",
        "budget",
        "uncertainty",
    ] {
        assert!(sections.iter().any(|name| *name == section), "{section}");
    }
    assert_eq!(
        (sections.len(), &schema["additionalProperties"]),
        (10, &serde_json::json!(false))
    );
}

/// The file that names every key is itself accepted, with the keys that exclude each other removed.
#[test]
fn every_key_of_the_format_is_known() {
    let text = include_str!("every_key.toml");
    let said = said(text.as_bytes(), |args| args.json = true);
    assert_eq!(said.code, 0, "{}", said.talk);
}
