//! The break-even contract through the command line, by the executable itself.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// The guide's example: 500/150 tokens, 10,000 requests a day, 720 hours, two A100 at 2.00.
const GUIDE: &str = r#"as_of = 2026-11-23
[calendar]
hours_per_month = 720
[traffic]
requests_per_day = 10_000
system_tokens = 200
history_tokens = 200
user_tokens = 100
output_tokens = 150
[api]
model = "gpt-4o"
[self_hosted]
gpu = "a100-80gb-sxm"
gpus_per_replica = 2
usd_per_gpu_hour = 2.00
output_tokens_per_second = 750
target_load = 1.0
"#;

/// A folder of its own for a scenario, its files and the user's data.
struct Desk(TempDir);

struct Said {
    code: i32,
    out: String,
    talk: String,
}

impl Desk {
    fn new(scenario: &str) -> Self {
        let desk = Self(TempDir::new().unwrap());
        desk.write("scenario.toml", scenario);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn mtok(&self, verb: &[&str]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_mtok"))
            .env_clear()
            .env("HOME", self.0.path())
            .env("XDG_DATA_HOME", self.path("data"))
            .args(verb)
            .output()
            .unwrap();
        Said {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            talk: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn breakeven(&self, flags: &[&str]) -> Said {
        let scenario = self.path("scenario.toml");
        let mut verb = vec!["breakeven", scenario.to_str().unwrap()];
        verb.extend(flags);
        self.mtok(&verb)
    }
}

#[track_caller]
fn answer(scenario: &str) -> Value {
    let said = Desk::new(scenario).breakeven(&["--json"]);
    assert_eq!(said.code, 0, "{}", said.talk);
    serde_json::from_str(&said.out).unwrap()
}

#[track_caller]
fn is(json: &Value, place: &str, want: f64) {
    let got = json.pointer(place).and_then(Value::as_f64);
    let got = got.unwrap_or_else(|| panic!("no number at {place}"));
    assert!((got - want).abs() <= 1e-6 * want.abs(), "{place}: {got}");
}

/// Exit 3, nothing on stdout, and the place and the words on stderr.
#[track_caller]
fn refused(scenario: &str, place: &str, words: &str) {
    for flags in [&["--json"][..], &["--strict"], &[]] {
        let said = Desk::new(scenario).breakeven(flags);
        assert_eq!((said.code, said.out.as_str()), (3, ""), "{}", said.talk);
        assert!(said.talk.contains(place), "{place} in {}", said.talk);
        assert!(said.talk.contains(words), "{words} in {}", said.talk);
    }
}

#[test]
fn the_guides_example_gives_its_published_numbers() {
    let json = answer(GUIDE);
    for (place, want) in [
        ("/api/input_usd_per_month", 375.0),
        ("/api/output_usd_per_month", 450.0),
        ("/api/usd_per_month", 825.0),
        ("/api/usd_per_request", 0.00275),
        ("/api/blended_usd_per_mtok", 825.0 / 195.0),
        ("/api/input_tokens_per_request", 500.0),
        ("/api/output_tokens_per_request", 150.0),
        ("/self_hosted/usd_per_month", 2_880.0),
        ("/self_hosted/usd_per_request", 0.0096),
        ("/self_hosted/utilization", 300_000.0 / 12_960_000.0),
        ("/self_hosted/output_usd_per_mtok", 64.0),
        ("/self_hosted/full_load_output_usd_per_mtok", 4.0 / 2.7),
        ("/break_even/requests_per_month", 2_880.0 / 0.00275),
        ("/break_even/requests_per_day", 96.0 / 0.00275),
        (
            "/break_even/permanent_from_requests_per_month",
            2_880.0 / 0.00275,
        ),
        ("/break_even/utilization", 4.0 / 49.5),
        ("/break_even/usd_per_month", 2_880.0),
        ("/break_even/required_usd_per_gpu_hour", 24.75),
        (
            "/break_even/required_output_tokens_per_second",
            750.0 * 4.0 / 49.5,
        ),
    ] {
        is(&json, place, want);
    }
    assert_eq!(json["break_even"]["exists"], true);
    assert_eq!(json["cheaper_now"], "api");
    assert_eq!(json["self_hosted"]["method"], "output_only");
    assert!(json["self_hosted"]["input_usd_per_mtok"].is_null());
    assert!(json["self_hosted"]["kappa"].is_null());
    assert_eq!(json["shared"]["usd_per_month"], 0.0);
    let crossings = json["break_even"]["crossings"].as_array().unwrap();
    assert_eq!(crossings.len(), 1);
    assert_eq!(crossings[0]["to"], "self_hosted");
    assert_eq!(json["catalog_hash"].as_str().unwrap().len(), 64);
}

#[test]
fn one_crossing_of_seventeen_is_the_first_and_one_is_for_good() {
    let stairs = GUIDE
        .replace(
            "model = \"gpt-4o\"",
            "input_usd_per_mtok = 0\noutput_usd_per_mtok = 5.333333333333333",
        )
        .replace("per_second = 750", "per_second = 231.48148148148147");
    let json = answer(&stairs);
    is(&json, "/break_even/requests_per_month", 3.6e6);
    is(
        &json,
        "/break_even/permanent_from_requests_per_month",
        32.4e6,
    );
    let crossings = json["break_even"]["crossings"].as_array().unwrap();
    assert_eq!(crossings.len(), 17);
    for (index, crossing) in crossings.iter().enumerate() {
        assert_eq!(crossing["to"], ["self_hosted", "api"][index % 2]);
    }
    is(&json, "/break_even/crossings/1/requests_per_month", 4e6);
    is(&json, "/break_even/crossings/16/replicas", 9.0);
}

#[test]
fn no_more_than_a_thousand_crossings_are_listed() {
    let json = answer(&GUIDE.replace("hour = 2.00", "hour = 24.74"));
    assert_eq!(
        json["break_even"]["crossings"].as_array().unwrap().len(),
        1_000
    );
    is(
        &json,
        "/break_even/permanent_from_requests_per_month",
        2_474.0 * 35_625.6 / 0.00275,
    );
}

#[test]
fn no_break_even_is_null_with_its_way_out() {
    let json = answer(&GUIDE.replace("hour = 2.00", "hour = 30"));
    let found = &json["break_even"];
    assert_eq!(found["exists"], false);
    for key in [
        "requests_per_month",
        "requests_per_day",
        "utilization",
        "usd_per_month",
        "permanent_from_requests_per_month",
    ] {
        assert!(found[key].is_null(), "{key}");
    }
    is(&json, "/break_even/required_usd_per_gpu_hour", 24.75);
    is(
        &json,
        "/break_even/required_output_tokens_per_second",
        750.0 * 30.0 / 24.75,
    );
    assert!(json["verdict"].as_str().unwrap().contains("no break-even"));
}

#[test]
fn malformed_scenarios_are_refused_with_line_and_column() {
    refused("[traffic\n", "scenario.toml: line 1, column 9", "");
    refused(&GUIDE.replace("= 10_000", "= ten"), "line 5, column 20", "");
    refused(
        &GUIDE.replace("= 10_000", "= \"ten\""),
        "line 5, column 20",
        "invalid type",
    );
    refused(
        &GUIDE.replace("= 10_000", "= -1"),
        "line 5, column 1",
        "out of range",
    );
    refused(
        &GUIDE.replace("= 10_000", "= nan"),
        "line 5, column 1",
        "out of range",
    );
    refused(
        &GUIDE.replace("= 10_000", "= 1\nrequests_per_day = 2"),
        "line 6, column 1",
        "duplicate",
    );
    let said = Desk::new("").breakeven(&[]);
    assert_eq!(said.code, 3);
    assert!(
        said.talk.contains("line 1, column 1") && said.talk.contains("traffic"),
        "{}",
        said.talk
    );
    let desk = Desk::new("");
    desk.write("scenario.toml", b"[traffic]\nx = \"\xff\"\n");
    let said = desk.breakeven(&["--json"]);
    assert_eq!((said.code, said.out.as_str()), (3, ""));
    assert!(said.talk.contains("line 2, column 6"), "{}", said.talk);
}

#[test]
fn unknown_keys_are_refused_with_a_suggestion() {
    refused(
        &GUIDE.replace("target_load", "target_laod"),
        "line 17, column 1: unknown key `target_laod`",
        "did you mean `target_load`?",
    );
    refused(
        &format!("{GUIDE}[[what_if]]\nname = \"x\"\nset = {{ \"traffic.chunks\" = 1 }}\n"),
        "line 20",
        "unknown key `chunks`",
    );
    refused(
        &GUIDE.replace("[api]", "[apy]"),
        "line 10",
        "did you mean `api`?",
    );
}

#[test]
fn keys_that_exclude_each_other_are_refused() {
    let hours = format!("hourly = {:?}", [1.0; 24]);
    for (section, lines, key) in [
        ("traffic", "requests_per_month = 1", "requests_per_month"),
        ("traffic", "trace = \"x.csv\"", "trace"),
        (
            "traffic",
            &format!("peak_to_average = 2\n{hours}"),
            "hourly",
        ),
        (
            "traffic",
            "conversation = { turns = 3 }",
            "[traffic.conversation] replaces history_tokens",
        ),
        ("api", "input_usd_per_mtok = 1", "input_usd_per_mtok"),
        (
            "self_hosted",
            "rental = \"hyperstack-a100-80gb-sxm\"",
            "rental",
        ),
        ("self_hosted", "owned = { gpus = 8 }", "owned"),
        ("self_hosted", "results = \"x\"", "results"),
    ] {
        let header = format!("[{section}]");
        let text = GUIDE.replace(&header, &format!("{header}\n{lines}"));
        refused(&text, "line ", key);
    }
    let owned = GUIDE.replace(
        "usd_per_gpu_hour = 2.00",
        "owned = { usd_per_kwh = 0.1, colocation_usd_per_kw_month = 150 }",
    );
    refused(&owned, "line 15", "exclude each other");
}

#[test]
fn a_missing_price_is_refused_with_near_matches_and_a_missing_rate_with_offers() {
    refused(
        &GUIDE.replace("gpt-4o", "gtp-4o"),
        "line 11, column 1: no API price named `gtp-4o`",
        "gpt-4o",
    );
    refused(
        &GUIDE.replace("model = \"gpt-4o\"", "input_usd_per_mtok = 1"),
        "line 10",
        "a price is missing",
    );
    refused(
        &GUIDE.replace("usd_per_gpu_hour = 2.00\n", ""),
        "line 12",
        "hyperstack-a100-80gb-sxm (1.6 USD/GPU-h)",
    );
    refused(
        &GUIDE.replace("usd_per_gpu_hour = 2.00", "rental = \"nowhere\""),
        "line 15",
        "no rental named `nowhere`",
    );
    refused(
        &GUIDE.replace("a100-80gb-sxm", "a100-90gb"),
        "line 13",
        "no GPU named `a100-90gb`",
    );
}

#[test]
fn throughput_above_the_roofline_is_refused_once_everything_is_stated() {
    let stated = |batch: u32, rate: u32| {
        GUIDE.replace(
            "output_tokens_per_second = 750",
            &format!("model = \"llama-3.3-70b\"\nprecision = \"f16\"\nbatch_size = {batch}\noutput_tokens_per_second = {rate}"),
        )
    };
    refused(
        &stated(8, 750),
        "line 19, column 1: output_tokens_per_second = 750 is above the roofline",
        "raise batch_size to 26 or more",
    );
    refused(&stated(8, 500), "line 19", "at most 234.7");
    answer(&stated(8, 234));
    answer(&stated(26, 750));
    // Without one of the three it is a claim like any other.
    for key in [
        "model = \"llama-3.3-70b\"\n",
        "precision = \"f16\"\n",
        "batch_size = 8\n",
    ] {
        answer(&stated(8, 750).replace(key, ""));
    }
}

#[test]
fn doubts_are_warnings_with_a_remedy_and_exit_6_only_when_strict() {
    let desk = Desk::new(GUIDE);
    let said = desk.breakeven(&["--json"]);
    let json: Value = serde_json::from_str(&said.out).unwrap();
    let warnings = json["warnings"].as_array().unwrap();
    assert!(!warnings.is_empty());
    for warning in warnings {
        for key in ["code", "message", "remedy"] {
            assert!(!warning[key].as_str().unwrap().is_empty(), "{warning}");
        }
        assert!(said.talk.contains(warning["message"].as_str().unwrap()));
    }
    let strict = desk.breakeven(&["--json", "--strict"]);
    assert_eq!((said.code, strict.code), (0, 6));
    assert_eq!(said.out, strict.out);
}

#[test]
fn a_scenario_without_a_doubt_is_valid_when_strict() {
    let sure = GUIDE.replace(
        "target_load = 1.0",
        "target_load = 0.7\ninput_tokens_per_second = 2500\nredundant_replicas = 1",
    ) + "[decision]\nself_hosted_meets_quality = \"yes\"\n";
    let said = Desk::new(&sure).breakeven(&["--strict"]);
    assert_eq!((said.code, said.talk.as_str()), (0, ""));
    assert!(
        said.out.ends_with("Stay with the API at this volume.\n"),
        "{}",
        said.out
    );
}

#[test]
fn verdicts_rest_on_the_bills_and_never_recommend_what_must_not_be() {
    let large = GUIDE.replace(
        "requests_per_day = 10_000",
        "requests_per_month = 12_000_000",
    );
    let said = |more: &str| {
        let json = answer(&format!("{large}{more}"));
        assert_eq!(json["cheaper_now"], "self_hosted");
        json["verdict"].as_str().unwrap().to_owned()
    };
    let yes = "self_hosted_meets_quality = \"yes\"";
    assert!(said(&format!("[decision]\n{yes}\n")).ends_with("Self-host at this volume."));
    for decision in [
        format!("needs_frontier_model = true\n{yes}"),
        "self_hosted_meets_quality = \"no\"".to_owned(),
    ] {
        let verdict = said(&format!("[decision]\n{decision}\n"));
        assert!(
            verdict.contains("Stay with the API") && !verdict.contains("Self-host at"),
            "{verdict}"
        );
    }
    let unsure = "[decision]\nminimum_probability = 0.99\n[[uncertainty.input]]\nkey = \"self_hosted.usd_per_gpu_hour\"\ndistribution = \"uniform\"\nlow = 1\nhigh = 30\n";
    let verdict = said(unsure);
    assert!(verdict.contains("too close to call"), "{verdict}");
    for scenario in [GUIDE, &large] {
        let verdict = answer(scenario)["verdict"].as_str().unwrap().to_owned();
        assert!(
            verdict.contains("holds while measured throughput ≥ 60.6"),
            "{verdict}"
        );
    }
    let equal = answer(&GUIDE.replace(
        "requests_per_day = 10_000",
        "requests_per_month = 1_047_272.7272727272",
    ));
    assert_eq!(equal["cheaper_now"], "equal");
}

#[test]
fn a_missing_side_is_null_and_so_is_what_needs_it() {
    let (api, host) = (
        GUIDE.find("[api]").unwrap(),
        GUIDE.find("[self_hosted]").unwrap(),
    );
    let alone = answer(&GUIDE[..host]);
    let home = answer(&format!("{}{}", &GUIDE[..api], &GUIDE[host..]));
    for key in ["break_even", "cheaper_now", "uncertainty"] {
        assert!(alone[key].is_null() && home[key].is_null(), "{key}");
    }
    assert!(alone["self_hosted"].is_null() && home["api"].is_null());
    is(&alone, "/api/usd_per_month", 825.0);
    is(&home, "/self_hosted/usd_per_month", 2_880.0);
}

const STUDY: &str = "[self_hosted]\nusd_per_gpu_hour = 0.05\ngpu = \"l4\"\n";

fn study() -> String {
    format!("{}/results/tiny-cpu", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn results_come_from_a_study_and_are_marked_as_measured() {
    let traffic = &GUIDE[..GUIDE.find("[self_hosted]").unwrap()];
    let desk = Desk::new(&format!("{traffic}{STUDY}results = \"{}\"\n", study()));
    let said = desk.breakeven(&["--json"]);
    assert_eq!(said.code, 0, "{}", said.talk);
    let json: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(json["self_hosted"]["method"], "time_share");
    assert!(json["self_hosted"]["kappa"].as_f64().is_some());
    let lines = json["assumptions"].as_array().unwrap();
    let measured: Vec<&Value> = lines
        .iter()
        .filter(|line| line["kind"] == "measured")
        .collect();
    assert_eq!(measured.len(), 1);
    assert_eq!(measured[0]["key"], "self_hosted.results");
    let spread = lines
        .iter()
        .find(|line| line["key"] == "uncertainty.between_host_cv")
        .unwrap();
    assert_eq!(
        (&spread["value"], &spread["kind"]),
        (&Value::from(0.05), &Value::from("assumed"))
    );
    is(&json, "/uncertainty/between_host_cv", 0.05);
    // The flag says the same as the key.
    let flagged = Desk::new(&format!("{traffic}{STUDY}output_tokens_per_second = 750\n"));
    let flagged = flagged.breakeven(&["--json", "--results", &study()]);
    let flagged: Value = serde_json::from_str(&flagged.out).unwrap();
    assert_eq!(flagged["self_hosted"], json["self_hosted"]);
    assert_eq!(flagged["uncertainty"], json["uncertainty"]);
}

#[test]
fn a_study_that_is_not_there_and_one_that_meets_no_objective_are_refused() {
    let traffic = &GUIDE[..GUIDE.find("[self_hosted]").unwrap()];
    let none = format!("{traffic}{STUDY}results = \"nowhere\"\n");
    refused(&none, "line 15, column 1", "nowhere");
    let strict = format!(
        "{traffic}{STUDY}results = \"{}\"\nslo = {{ ttft_ms = 1e-6 }}\n",
        study()
    );
    refused(&strict, "line 15, column 1", "meets the objective");
    let said = Desk::new(GUIDE).breakeven(&["--results", "nowhere"]);
    assert_eq!(said.code, 3);
    assert!(said.talk.contains("nowhere"), "{}", said.talk);
}

#[test]
fn a_trace_brings_its_volume_and_a_bad_one_its_line() {
    let scenario = GUIDE.replace("requests_per_day = 10_000", "trace = \"requests.csv\"");
    let desk = Desk::new(&scenario);
    let hours: Vec<String> = (0..24)
        .map(|hour| format!("2026-11-02T{hour:02}:30:00Z"))
        .collect();
    desk.write("requests.csv", format!("timestamp\n{}\n", hours.join("\n")));
    let json: Value = serde_json::from_str(&desk.breakeven(&["--json"]).out).unwrap();
    is(&json, "/volume/requests_per_day", 24.0);
    desk.write("requests.csv", "timestamp\n1\nyesterday\n");
    let said = desk.breakeven(&["--json"]);
    assert_eq!((said.code, said.out.as_str()), (3, ""));
    assert!(
        said.talk.contains("line 5, column 1") && said.talk.contains("line 3: `yesterday`"),
        "{}",
        said.talk
    );
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let drawn = "[uncertainty]\ndraws = 3500\n[[uncertainty.input]]\nkey = \"traffic.output_tokens\"\ndistribution = \"lognormal\"\nmedian = 150\np95 = 400\n[[uncertainty.input]]\nkey = \"traffic.peak_to_average\"\ndistribution = \"lognormal\"\nmedian = 2\np95 = 4\n[[uncertainty.correlation]]\nkeys = [\"traffic.output_tokens\", \"traffic.peak_to_average\"]\nrank_correlation = -0.3\n";
    let desk = Desk::new(&format!("{GUIDE}{drawn}"));
    let bytes = |threads: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_mtok"))
            .env_clear()
            .env("HOME", desk.0.path())
            .env("RAYON_NUM_THREADS", threads)
            .args([
                "breakeven",
                desk.path("scenario.toml").to_str().unwrap(),
                "--json",
            ])
            .output()
            .unwrap();
        output.stdout
    };
    let one = bytes("1");
    assert_eq!(one, bytes("4"));
    let json: Value = serde_json::from_slice(&one).unwrap();
    let drawn = &json["uncertainty"];
    assert_eq!(
        (&drawn["draws"], &drawn["seed"]),
        (&Value::from(3_500), &Value::from(1))
    );
    assert_eq!(drawn["generator"], "chacha8");
    assert_eq!(drawn["fleet"], "committed");
    for key in [
        "probability_self_hosted_cheaper",
        "standard_error",
        "probability_break_even_exists",
    ] {
        assert!(drawn[key].is_number(), "{key}");
    }
}

#[test]
fn ages_count_against_the_scenarios_date_and_against_today_on_stderr_alone() {
    let old = GUIDE
        .replace("as_of = 2026-11-23", "as_of = 2020-01-01")
        .replace(
            "model = \"gpt-4o\"",
            "input_usd_per_mtok = 2.5\noutput_usd_per_mtok = 10",
        );
    let said = Desk::new(&old).breakeven(&["--json"]);
    assert!(
        said.talk
            .contains("note: the price of api.input_usd_per_mtok was read"),
        "{}",
        said.talk
    );
    assert!(!said.out.contains("days ago") && !said.out.contains("old_price"));
    let later = answer(&GUIDE.replace("2026-11-23", "2027-06-01"));
    let codes: Vec<&str> = later["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| w["code"].as_str().unwrap())
        .collect();
    assert!(codes.contains(&"old_price"), "{codes:?}");
}

#[test]
fn reports_are_written_where_asked_and_a_failure_is_a_storage_error() {
    let desk = Desk::new(GUIDE);
    let said = desk.breakeven(&["--out", desk.path("report").to_str().unwrap()]);
    assert_eq!(said.code, 0, "{}", said.talk);
    for name in ["breakeven.md", "breakeven.html", "breakeven.csv"] {
        assert!(desk.path("report").join(name).is_file(), "{name}");
    }
    let hash = answer(GUIDE)["catalog_hash"].as_str().unwrap().to_owned();
    let page = std::fs::read_to_string(desk.path("report/breakeven.md")).unwrap();
    assert!(
        page.contains(&hash[..12]),
        "the report prints the catalog's hash"
    );
    let said = desk.breakeven(&["--out", desk.path("scenario.toml/x").to_str().unwrap()]);
    assert_eq!(said.code, 9);
}

#[test]
fn an_earlier_answer_is_written_again_and_somebody_elses_page_is_kept() {
    let desk = Desk::new(GUIDE);
    let folder = desk.path("report");
    let out = ["--out", folder.to_str().unwrap()];
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("breakeven.md"), "a thesis").unwrap();
    let said = desk.breakeven(&out);
    assert_eq!((said.code, said.out.as_str()), (9, ""));
    assert!(said.talk.contains("breakeven.md: "), "{}", said.talk);
    assert!(
        said.talk.contains("hint: it is not of mtok"),
        "{}",
        said.talk
    );
    let kept = std::fs::read_to_string(folder.join("breakeven.md")).unwrap();
    assert_eq!(kept, "a thesis");
    assert!(!folder.join("breakeven.csv").exists());

    std::fs::remove_file(folder.join("breakeven.md")).unwrap();
    assert_eq!(desk.breakeven(&out).code, 0);
    std::fs::write(folder.join("breakeven.md"), "an older answer").unwrap();
    assert_eq!(desk.breakeven(&out).code, 0);
    let page = std::fs::read_to_string(folder.join("breakeven.md")).unwrap();
    assert!(page.starts_with("# "), "{page}");
}

#[test]
fn a_refusal_is_one_line_and_its_hint_another() {
    let said = Desk::new("[traffic]\nrequests_per_dya = 1\n").breakeven(&[]);
    assert_eq!((said.code, said.out.as_str()), (3, ""));
    let lines: Vec<&str> = said.talk.lines().collect();
    assert_eq!(lines.len(), 2, "{}", said.talk);
    assert!(lines[0].ends_with("line 2, column 1: unknown key `requests_per_dya`"));
    assert_eq!(lines[1], "hint: did you mean `requests_per_day`?");
}

#[test]
fn bytes_that_are_no_text_are_named_with_their_place() {
    let desk = Desk::new(GUIDE);
    desk.write("scenario.toml", b"[traffic]\nx = \"\xff\"\n");
    let said = desk.breakeven(&[]);
    assert_eq!(said.code, 3);
    let place = "line 2, column 6: the text is not UTF-8";
    assert!(said.talk.contains(place), "{}", said.talk);
}

#[test]
fn usage_errors_exit_2() {
    let desk = Desk::new(GUIDE);
    assert_eq!(desk.breakeven(&["--nonsense"]).code, 2);
    assert_eq!(desk.mtok(&["breakeven"]).code, 2);
    let said = desk.mtok(&["breakeven", "/nowhere/scenario.toml"]);
    assert_eq!(said.code, 3);
    assert!(said.talk.contains("/nowhere/scenario.toml"));
}

#[test]
fn the_schema_of_a_scenario_is_printed() {
    let said = Desk::new(GUIDE).mtok(&["schema", "scenario"]);
    assert_eq!(said.code, 0);
    let schema: Value = serde_json::from_str(&said.out).unwrap();
    let sections = [
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
    ];
    let known = schema["properties"].as_object().unwrap();
    for section in sections {
        assert!(known.contains_key(section), "{section}");
    }
    assert_eq!(known.len(), sections.len());
    assert_eq!(schema["additionalProperties"], Value::Bool(false));
}

#[test]
fn the_file_with_every_key_is_answered() {
    let text = include_str!("breakeven_model/every_key.toml");
    let json = answer(text);
    assert!(json["self_hosted"]["usd_per_month"].as_f64().is_some());
    assert_eq!(json["what_if"].as_array().unwrap().len(), 1);
    assert_eq!(json["alternatives"].as_array().unwrap().len(), 2);
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/prices")
        .join(name)
}

#[test]
fn imported_prices_answer_for_what_the_bundled_ones_lack_and_for_nothing_else() {
    let lacking = GUIDE.replace("gpt-4o", "novita/stepfun/step-3.7-flash");
    let desk = Desk::new(&lacking);
    assert_eq!(desk.breakeven(&[]).code, 3);
    let list = fixture("litellm-excerpt.json");
    assert_eq!(
        desk.mtok(&["prices", "import", "litellm", list.to_str().unwrap()])
            .code,
        0
    );
    let said = desk.breakeven(&["--json"]);
    assert_eq!(said.code, 0, "{}", said.talk);
    let json: Value = serde_json::from_str(&said.out).unwrap();
    is(&json, "/api/input_usd_per_month", 0.2 * 150.0);
    let bundled = answer(GUIDE);
    assert_ne!(json["catalog_hash"], bundled["catalog_hash"]);
    // What the bundled prices answer stays as it is, byte for byte.
    desk.write("scenario.toml", GUIDE);
    let again: Value = serde_json::from_str(&desk.breakeven(&["--json"]).out).unwrap();
    assert_eq!(again, bundled);
    let own: Value =
        serde_json::from_str(&desk.breakeven(&["--json", "--user-prices"]).out).unwrap();
    assert_ne!(own["catalog_hash"], bundled["catalog_hash"]);
}

#[test]
fn a_snapshot_beside_the_scenario_holds_for_it_and_its_checked_reports() {
    let desk = Desk::new(&GUIDE.replace("gpt-4o", "kept"));
    let row = "[[api]]\nid = \"kept\"\nprovider = \"p\"\nkind = \"chat\"\nsource = \"a quote\"\nretrieved = \"2026-11-01\"\nconfidence = \"primary\"\n[api.rates]\ninput_usd_per_mtok = \"5\"\noutput_usd_per_mtok = \"20\"\n";
    desk.write("prices.toml", row);
    let json: Value = serde_json::from_str(&desk.breakeven(&["--json"]).out).unwrap();
    is(&json, "/api/usd_per_month", 1_650.0);
    let folder = desk.0.path().to_str().unwrap();
    assert_eq!(desk.breakeven(&["--out", folder]).code, 0);
    let checked = desk.mtok(&["report", folder, "--check"]);
    assert_eq!(checked.code, 0, "{}", checked.talk);
    desk.write("prices.toml", row.replace("\"5\"", "\"6\""));
    assert_eq!(desk.mtok(&["report", folder, "--check"]).code, 1);
}

#[test]
fn malformed_and_hostile_price_files_exit_3_with_line_and_column() {
    for (bytes, place) in [
        (&b"[[api]]\nid = 3\n"[..], ":2:6: "),
        (b"[[rental]\n", ":1:10: "),
        (b"[[rental]]\nid = \"x\"\nprize = \"1\"\n", ":3:1: "),
        (b"[[rental]]\nid = \"x\"\nprovider = \"p\"\ngpu = \"l4\"\ncommit = \"on-demand\"\nusd_per_gpu_hour = \"-1\"\n", ":6:20: "),
        (b"[[rental]]\nid = \"\\u001b[2J\"\nx = 1\n", ":3:1: "),
    ] {
        let desk = Desk::new(GUIDE);
        desk.write("data/mtok/prices/mine.toml", bytes);
        for verb in [&["--user-prices"][..], &["--user-prices", "--json"]] {
            let said = desk.breakeven(verb);
            assert_eq!((said.code, said.out.as_str()), (3, ""), "{}", said.talk);
            assert!(said.talk.contains(&format!("mine.toml{place}")), "{place} in {}", said.talk);
            assert!(!said.talk.contains('\u{1b}'));
        }
        let kept = Desk::new(GUIDE);
        kept.write("prices.toml", bytes);
        let said = kept.breakeven(&[]);
        assert_eq!(said.code, 3);
        assert!(said.talk.contains(&format!("prices.toml{place}")), "{}", said.talk);
    }
}
