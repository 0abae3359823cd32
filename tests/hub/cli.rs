//! Models from the Hub through the command line.

use std::process::{Command, Output};

use crate::server::{COMMIT, Fault, Server};
use crate::{Client, contents, model};

/// Short enough for a test; what is measured does not matter here.
pub(crate) const STUDY: &str = r#"
[model]
source = "hub:test/tiny"
device = "cpu"
[sweep]
precision = ["f32"]
batch = [1]
isl = [8]
osl = [4]
[measure]
min_blocks = 2
max_blocks = 2
min_block_seconds = 0.01
max_seconds = 1.0
warmup_seconds = 0.01
launches = 1
"#;

/// The program with the client's variables and none of the user's.
pub(crate) fn mtok(client: &Client) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mtok"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_uppercase();
        let of_the_network = ["_PROXY", "_CERT_FILE", "_CA_BUNDLE"];
        let of_the_network = of_the_network.iter().any(|end| text.ends_with(end));
        if text.starts_with("HF_") || text.starts_with("HUGGING") || of_the_network {
            command.env_remove(name);
        }
    }
    command
        .envs(&client.variables)
        .current_dir(client.home.path());
    command
}

/// The folder of a study that is written there, and where its results go.
pub(crate) fn study(client: &Client) -> std::path::PathBuf {
    let path = client.home.path().join("asked.toml");
    std::fs::write(&path, STUDY).unwrap();
    path
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Exit code and stderr of a plan for a model.
fn plan(client: &Client, source: &str) -> (i32, String) {
    let output = mtok(client)
        .args(["plan", "--model", source])
        .output()
        .unwrap();
    (output.status.code().unwrap(), stderr(&output))
}

#[test]
fn one_command_measures_a_model_of_the_hub() {
    let server = Server::with(&model::in_three_shards());
    let client = Client::of(&server);
    let out = client.home.path().join("out");
    let run = |resume: bool| {
        let mut command = mtok(&client);
        command
            .arg("run")
            .arg(study(&client))
            .arg("--out")
            .arg(&out);
        command.args(resume.then_some("--resume"));
        command.output().unwrap()
    };
    let output = run(false);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains(&format!("commit {COMMIT}")), "{said}");
    assert!(said.contains("3 files to fetch"), "{said}");
    assert!(
        said.contains("fetched model-00003-of-00003.safetensors"),
        "{said}"
    );
    let record = std::fs::read_to_string(out.join("run.jsonl")).unwrap();
    assert!(record.contains(&format!("\"source\":\"hub:test/tiny@{COMMIT}\"")));
    let asked = std::fs::read_to_string(out.join("study.toml")).unwrap();
    assert!(asked.contains("source = \"hub:test/tiny\""), "{asked}");
    let report = std::fs::read_to_string(out.join("report.md")).unwrap();
    assert!(
        report.contains(&format!("tiny (hub:test/tiny@{COMMIT})")),
        "{report}"
    );
    // All there: nothing to fetch and nothing to measure.
    server.seen();
    let again = run(true);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert_eq!(server.lines().len(), 1);
}

#[test]
fn an_importance_matrix_is_collected_on_a_model_of_the_hub() {
    let server = Server::with(&model::in_three_shards());
    let client = Client::of(&server);
    let words = serde_json::json!({
        "version": "1.0", "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"},
    });
    let put = |name: &str, text: String| std::fs::write(client.home.path().join(name), text);
    put("words.json", words.to_string()).unwrap();
    put("text", "b a ".repeat(8)).unwrap();
    let output = mtok(&client)
        .args(["imatrix", "hub:test/tiny", "x", "--text", "text"])
        .args([
            "--tokenizer",
            "words.json",
            "--context",
            "16",
            "--device",
            "cpu",
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(client.home.path().join("x").exists());
}

#[test]
fn a_plan_reads_the_heads_of_the_weights() {
    let server = Server::with(&model::in_three_shards());
    let client = Client::of(&server);
    let (code, said) = plan(&client, "hub:test/tiny");
    assert_eq!(code, 0, "{said}");
    let seen = server.seen();
    let weights: Vec<_> = seen
        .iter()
        .filter(|seen| seen.line.contains("/storage/"))
        .collect();
    assert_eq!(weights.len(), 3);
    assert!(
        weights
            .iter()
            .all(|seen| seen.fields["range"].starts_with("bytes=0-"))
    );
    let blobs = contents(&client.model().join("blobs"));
    assert_eq!(blobs.len(), 2, "config and index: {:?}", blobs.keys());
    let scratch = std::env::temp_dir();
    let left = std::fs::read_dir(scratch).unwrap().filter_map(Result::ok);
    let name = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let pid = std::process::id().to_string();
    assert!(
        left.map(|entry| name(&entry))
            .all(|name| name != format!("mtok-{pid}-0"))
    );
}

#[test]
fn a_plan_of_a_gguf_file_knows_its_shape_and_its_precision() {
    let gguf = include_bytes!("../fixtures/gguf/llama-q8_0.gguf").to_vec();
    let server = Server::with(&[("t-Q8_0.gguf".to_owned(), gguf)].into());
    let client = Client::of(&server);
    let output = mtok(&client)
        .args(["plan", "--model", "hub:test/tiny:Q8_0", "--json"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["model"], "t-Q8_0.gguf");
    let points = answer["plan"]["points"].as_array().unwrap();
    assert!(
        points
            .iter()
            .all(|point| point["point"]["precision"] == "native"),
        "{points:?}"
    );
}

#[track_caller]
fn fails(client: &Client, source: &str, code: i32, parts: &[&str]) {
    let (found, said) = plan(client, source);
    assert_eq!(found, code, "{said}");
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
}

#[test]
fn each_failure_has_its_exit_code_and_its_remedy() {
    let server = Server::with(&model::in_three_shards());
    let mut client = Client::of(&server);
    fails(
        &client,
        "hub:test/other",
        4,
        &["test/other does not exist", "hint: "],
    );
    fails(&client, "hub:test", 2, &["OWNER/NAME"]);
    let gated = vec![("X-Error-Code", "GatedRepo".to_owned())];
    server.trap("/resolve/", Fault::Status(403, gated), 1);
    fails(
        &client,
        "hub:test/tiny",
        4,
        &["restricted", "hint: accept the terms at"],
    );
    server.trap("/api/models", Fault::Status(401, vec![]), 1);
    fails(
        &client,
        "hub:test/tiny",
        4,
        &["wants a token", "set HF_TOKEN"],
    );
    let hostile = Fault::Field("X-Repo-Commit", "../../x".to_owned());
    server.trap("/resolve/", hostile, 1);
    fails(
        &client,
        "hub:test/tiny",
        5,
        &["refused", "../../x", "HF_ENDPOINT"],
    );
    server.trap("/api/models", Fault::Status(400, vec![]), 1);
    fails(&client, "hub:test/tiny", 5, &["answers 400"]);
    client.set("HF_HUB_OFFLINE", "1");
    fails(
        &client,
        "hub:test/tiny@v1",
        4,
        &["not in the cache", "HF_HUB_OFFLINE"],
    );
    client.set("HF_ENDPOINT", "nowhere");
    fails(
        &client,
        "hub:test/tiny",
        3,
        &["HF_ENDPOINT: is no http or https address"],
    );
    client
        .set("HF_ENDPOINT", &server.url())
        .set("HF_HUB_OFFLINE", "0");
    let blocked = client.home.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    client.set("HF_HUB_CACHE", blocked.to_str().unwrap());
    fails(&client, "hub:test/tiny", 9, &["HF_HUB_CACHE"]);
}

#[test]
fn what_makes_no_sense_is_found_before_anything_is_fetched() {
    let server = Server::with(&model::in_three_shards());
    let client = Client::of(&server);
    let taken = client.home.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("run.jsonl"), "a run\n").unwrap();
    let run = |args: &[&str]| {
        let output = mtok(&client)
            .arg("run")
            .arg(study(&client))
            .args(args)
            .output()
            .unwrap();
        output.status.code()
    };
    assert_eq!(run(&["--out", taken.to_str().unwrap()]), Some(9));
    assert_eq!(run(&["--gpu", "no-such-card"]), Some(3));
    assert_eq!(run(&["--usd-per-hour", "0"]), Some(3));
    assert!(server.lines().is_empty());
}

#[test]
fn without_a_home_or_with_a_relative_one_nothing_panics() {
    let server = Server::with(&model::in_three_shards());
    let mut client = Client::of(&server);
    client.set("HF_HOME", "relative/home");
    let (code, said) = plan(&client, "hub:test/tiny");
    assert_eq!(code, 0, "{said}");
    assert!(
        client
            .home
            .path()
            .join("relative/home/hub/models--test--tiny")
            .is_dir()
    );
    let output = mtok(&client)
        .env_remove("HF_HOME")
        .env_remove("HOME")
        .env_remove("XDG_CACHE_HOME")
        .args(["plan", "--model", "hub:test/tiny"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        stderr(&output).contains("HF_HOME: not set"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_altered_file_of_the_cache_is_found_before_it_is_loaded() {
    let server = Server::with(&model::in_three_shards());
    let mut client = Client::of(&server);
    let sha256 =
        client.fetch("test/tiny").unwrap().sha256["model-00002-of-00003.safetensors"].clone();
    let blob = client.model().join("blobs").join(&sha256);
    let mut content = std::fs::read(&blob).unwrap();
    *content.last_mut().unwrap() ^= 1;
    std::fs::write(&blob, content).unwrap();
    let out = client.home.path().join("out");
    let mut run = mtok(client.set("HF_HUB_OFFLINE", "1"));
    let output = run
        .arg("run")
        .arg(study(&client))
        .arg("--out")
        .arg(out)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("model-00002-of-00003.safetensors"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_doctor_sees_hub_token_and_cache() {
    let server = Server::with(&model::in_three_shards());
    let mut client = Client::of(&server);
    client.fetch("test/tiny").unwrap();
    let doctor = |client: &Client| {
        let output = mtok(client).args(["doctor", "--json"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains("CANARY"), "{text}");
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        let findings = answer["findings"].as_array().unwrap().clone();
        let found = move |what: &str| {
            let finding = findings
                .iter()
                .find(|finding| finding["what"] == what)
                .unwrap();
            finding["found"].as_str().unwrap().to_owned()
        };
        [found("Hub"), found("Hub token"), found("Hub cache")]
    };
    let [hub, token, cache] = doctor(&client);
    assert_eq!(hub, format!("{} answers", server.url()));
    assert!(token.starts_with("none;"), "{token}");
    let place = client.home.path().join("hub");
    assert!(
        cache.starts_with(&format!("{}: 1 model, ", place.display())),
        "{cache}"
    );
    let [hub, token, _] = doctor(client.set("HF_TOKEN", "hf_CANARY"));
    assert!(hub.ends_with("answers and accepts the token"), "{hub}");
    assert_eq!(token, "present, in HF_TOKEN");
    server.trap("/api/whoami", Fault::Status(401, vec![]), 1);
    let [hub, ..] = doctor(&client);
    assert!(hub.ends_with("does not accept the token"), "{hub}");
    let [hub, ..] = doctor(client.set("HF_ENDPOINT", "http://127.0.0.1:9"));
    assert!(
        hub.starts_with("no answer: http://127.0.0.1:9/api"),
        "{hub}"
    );
}
