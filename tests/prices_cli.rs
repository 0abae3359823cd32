//! `mtok prices` through the command line.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

fn mtok(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mtok"));
    command
        .env_clear()
        .env("HOME", home)
        .env("XDG_DATA_HOME", home.join("data"));
    command
}

fn fixture(name: &str) -> String {
    format!(
        "{}/tests/fixtures/prices/{name}",
        env!("CARGO_MANIFEST_DIR")
    )
}

fn stdout(command: &mut Command) -> String {
    let output = command.assert().success().get_output().stdout.clone();
    String::from_utf8(output).unwrap()
}

#[track_caller]
fn refused(command: &mut Command, code: i32, message: &str) {
    let output = command.assert().code(code).get_output().clone();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(message), "{error}");
    assert!(output.stdout.is_empty());
}

#[test]
fn rentals_are_listed_by_a_word_with_price_source_and_age() {
    let home = TempDir::new().unwrap();
    let text = stdout(mtok(home.path()).args([
        "prices",
        "list",
        "--gpu",
        "h100",
        "--as-of",
        "2026-11-23",
    ]));
    let line = text
        .lines()
        .find(|line| line.contains("runpod-h100-sxm-secure"));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    assert_eq!(
        words[1..8],
        [
            "h100-sxm",
            "on-demand",
            "3.99",
            "1",
            "2026-11-09",
            "14",
            "d"
        ]
    );
    assert!(text.contains("h100-pcie") && !text.contains("h200"));
    assert!(text.contains("https://github.com/"));
    assert!(text.contains("catalog sha256 "));
}

#[test]
fn api_prices_are_listed_by_a_word() {
    let home = TempDir::new().unwrap();
    let text = stdout(mtok(home.path()).args(["prices", "list", "--model", "gpt-4o"]));
    assert!(text.contains("gpt-4o-mini") && text.contains("https://"));
    assert!(!text.contains("claude"));
}

#[test]
fn rerankers_are_listed_by_the_query_and_everything_with_the_catalogs_hash() {
    let home = TempDir::new().unwrap();
    let text = stdout(mtok(home.path()).args(["prices", "list", "--model", "rerank"]));
    let line = text.lines().find(|line| line.contains("rerank-v3.5"));
    assert!(line.unwrap().contains("0.002/query"), "{text}");
    let hash = text.lines().last().unwrap().to_owned();
    assert!(hash.starts_with("catalog sha256 ") && hash.len() == 15 + 64);
    let all = stdout(mtok(home.path()).args(["prices", "list", "--json"]));
    let document: serde_json::Value = serde_json::from_str(&all).unwrap();
    assert_eq!(document["catalog_sha256"], hash[15..]);
    assert_eq!(
        document["catalog_sha256"],
        mtok::catalog::Catalog::bundled().sha256()
    );
    // An import changes the hash.
    let list = fixture("litellm-excerpt.json");
    stdout(mtok(home.path()).args(["prices", "import", "litellm", &list]));
    let other = stdout(mtok(home.path()).args(["prices", "list", "--model", "rerank"]));
    assert_ne!(other.lines().last().unwrap(), hash);
}

#[test]
fn a_name_that_is_not_there_names_near_matches() {
    let home = TempDir::new().unwrap();
    refused(
        mtok(home.path()).args(["prices", "list", "--model", "gtp-4o"]),
        3,
        "no API price named `gtp-4o` in the price catalog; near it: gpt-4o",
    );
    refused(
        mtok(home.path()).args(["prices", "list", "--gpu", "h1000"]),
        3,
        "h100-sxm",
    );
}

#[test]
fn old_prices_warn_on_stderr_alone() {
    let home = TempDir::new().unwrap();
    let output = mtok(home.path())
        .args(["prices", "list", "--gpu", "l4", "--as-of", "2027-06-01"])
        .assert()
        .success();
    let error = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(error.starts_with("warning: "), "{error}");
    assert!(error.contains("days old"), "{error}");
    let output = mtok(home.path())
        .args([
            "prices",
            "list",
            "--model",
            "gpt-4o",
            "--as-of",
            "2026-11-23",
        ])
        .assert()
        .success();
    assert!(output.get_output().stderr.is_empty());
}

#[test]
fn an_imported_list_is_there_at_the_next_start_and_can_be_imported_again() {
    let home = TempDir::new().unwrap();
    let import = || {
        stdout(mtok(home.path()).args([
            "prices",
            "import",
            "litellm",
            &fixture("litellm-excerpt.json"),
            "--as-of",
            "2026-11-23",
        ]))
    };
    let first = import();
    assert!(first.contains("entries      32"), "{first}");
    assert!(first.contains("quarantined  3"), "{first}");
    assert!(first.contains("azure_ai/jais-30b-chat"), "{first}");
    let written = home.path().join("data/mtok/prices/litellm.toml");
    let bytes = std::fs::read(&written).unwrap();
    assert_eq!(import(), first);
    assert_eq!(std::fs::read(&written).unwrap(), bytes);
    let listed = stdout(mtok(home.path()).args(["prices", "list", "--model", "o1-pro"]));
    assert!(listed.contains("600"), "{listed}");
    let files = std::fs::read_dir(written.parent().unwrap())
        .unwrap()
        .count();
    assert_eq!(files, 1, "no temporary file is left");
}

#[test]
fn a_table_of_instances_is_imported_beside_it() {
    let home = TempDir::new().unwrap();
    let text = stdout(mtok(home.path()).args([
        "prices",
        "import",
        "skypilot",
        &fixture("skypilot-runpod.csv"),
        "--cloud",
        "runpod",
        "--as-of",
        "2026-11-20",
        "--json",
    ]));
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["imported"]["on-demand"], 3);
    let listed = stdout(mtok(home.path()).args(["prices", "list", "--gpu", "h100-sxm", "--json"]));
    let document: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let rentals = document["rentals"].as_array().unwrap();
    let mine = |row: &&serde_json::Value| row["id"] == "runpod-h100-sxm-8x-h100-sxm-secure";
    let row = rentals.iter().find(mine).unwrap();
    assert_eq!(row["usd_per_gpu_hour"], "3");
    assert_eq!(row["quantum_gpus"], 8);
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    let home = TempDir::new().unwrap();
    let broken = home.path().join("broken.json");
    std::fs::write(&broken, "{\n  \"a\": {\"mode\": tru}\n}").unwrap();
    let broken = broken.to_str().unwrap();
    refused(
        mtok(home.path()).args(["prices", "import", "litellm", broken]),
        3,
        "broken.json:2:",
    );
    refused(
        mtok(home.path()).args(["prices", "import", "litellm", "/nonexistent.json"]),
        3,
        "/nonexistent.json",
    );
    refused(
        mtok(home.path()).args(["prices", "import", "skypilot", broken, "--cloud", "../x"]),
        2,
        "runpod",
    );
    assert!(!home.path().join("data").exists(), "nothing was written");
}

#[test]
fn a_broken_user_catalog_is_named_with_line_and_column() {
    let home = TempDir::new().unwrap();
    let folder = home.path().join("data/mtok/prices");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("mine.toml"), "[[rental]]\nid = 3\n").unwrap();
    refused(
        mtok(home.path()).args(["prices", "list", "--gpu", "l4"]),
        3,
        "mine.toml:2:6",
    );
}

#[test]
fn a_folder_that_cannot_be_written_is_a_storage_error() {
    let home = TempDir::new().unwrap();
    std::fs::write(home.path().join("data"), "a file").unwrap();
    refused(
        mtok(home.path()).args([
            "prices",
            "import",
            "litellm",
            &fixture("litellm-excerpt.json"),
        ]),
        9,
        "data/mtok/prices",
    );
}

#[test]
fn hostile_names_cannot_move_the_cursor() {
    let home = TempDir::new().unwrap();
    let list = home.path().join("list.json");
    std::fs::write(
        &list,
        r#"{"evil\u001b[2J\u0007": {"mode": "chat", "litellm_provider": "p\r\n", "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}}"#,
    )
    .unwrap();
    stdout(mtok(home.path()).args(["prices", "import", "litellm", list.to_str().unwrap()]));
    let text = stdout(mtok(home.path()).args(["prices", "list", "--model", "evil"]));
    assert!(!text.contains('\u{1b}') && !text.contains('\u{7}') && !text.contains('\r'));
}
