//! Secrets that go to the Hub and nowhere else.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::Stdio;

use crate::server::{Fault, Server};
use crate::{Client, cli, contents, model};

/// What no output may contain: the secrets, and the forms in which they travel.
const SECRETS: [&str; 5] = [
    "CANARY",
    // Base64 of `user:PASSCANARY`.
    "dXNlcjpQQVNTQ0FOQVJZ",
    "PASSCANARY",
    "s1gned",
    "k3y",
];

#[track_caller]
fn holds_no_secret(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} in {what}: {text}");
    }
}

/// Environments of the workers of a process, while they live.
fn environments(pid: u32) -> Vec<Vec<u8>> {
    let children = format!("/proc/{pid}/task/{pid}/children");
    let children = std::fs::read_to_string(children).unwrap_or_default();
    // Before it becomes the worker, a child is a copy of its parent.
    let is_worker = |child: &&str| {
        let arguments = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        arguments.ends_with(b"\0worker\0")
    };
    let environ = |child: &str| std::fs::read(format!("/proc/{child}/environ")).ok();
    let workers = children.split_whitespace().filter(is_worker);
    workers.filter_map(environ).collect()
}

/// Runs a study and looks at everything that comes out of it.
#[track_caller]
fn runs_without_telling(client: &Client, code: i32) {
    let out = client.home.path().join("out");
    let mut child = cli::mtok(client)
        .env("RUST_LOG", "trace")
        .env("RUST_BACKTRACE", "full")
        .env("OPENAI_API_KEY", "k3y-CANARY")
        .arg("run")
        .arg(cli::study(client))
        .arg("--out")
        .arg(&out)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = Vec::new();
    let mut workers = 0;
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    while lines.read_until(b'\n', &mut said).unwrap() > 0 {
        // A worker lives whenever the parent says something about it.
        for environment in environments(child.id()) {
            holds_no_secret("the worker's environment", &environment);
            workers += usize::from(!environment.is_empty());
        }
    }
    let mut printed = Vec::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut printed)
        .unwrap();
    assert_eq!(
        child.wait().unwrap().code(),
        Some(code),
        "{}",
        String::from_utf8_lossy(&said)
    );
    assert_eq!(
        workers > 0,
        code == 0,
        "the worker has to be seen when there is one"
    );
    holds_no_secret("stderr", &said);
    holds_no_secret("stdout", &printed);
    for folder in [out.as_path(), &client.home.path().join("hub")] {
        look_through(folder);
    }
}

fn look_through(folder: &Path) {
    if !folder.exists() {
        return;
    }
    for (name, content) in contents(folder) {
        holds_no_secret("a file's name", name.as_bytes());
        holds_no_secret(&name, &content);
    }
}

#[test]
fn a_token_of_the_environment_reaches_nothing_but_the_hub() {
    let server = Server::with(&model::in_three_shards());
    server.trap("/storage/model-00002", Fault::Truncate(100), 1);
    let mut client = Client::of(&server);
    client.set("HF_TOKEN", "hf_CANARY");
    runs_without_telling(&client, 0);
    let seen = server.seen();
    assert!(
        seen.iter()
            .all(|seen| seen.fields["authorization"] == "Bearer hf_CANARY")
    );
}

#[test]
fn a_password_in_the_endpoint_reaches_nothing_but_the_endpoint() {
    let server = Server::with(&model::in_three_shards());
    server.trap("/storage/model-00002", Fault::Status(503, vec![]), 1);
    let mut client = Client::of(&server);
    client.set(
        "HF_ENDPOINT",
        &format!("http://user:PASSCANARY@{}", server.host()),
    );
    runs_without_telling(&client, 0);
    let seen = server.seen();
    assert!(
        seen.iter()
            .all(|seen| seen.fields["authorization"] == "Basic dXNlcjpQQVNTQ0FOQVJZ")
    );
}

#[test]
fn a_failure_does_not_tell_either() {
    let server = Server::with(&model::in_three_shards());
    let mut client = Client::of(&server);
    client.set("HF_TOKEN", "hf_CANARY").set(
        "HF_ENDPOINT",
        &format!("http://user:PASSCANARY@{}", server.host()),
    );
    for fault in [
        Fault::Status(400, vec![]),
        Fault::Status(401, vec![]),
        Fault::Alter,
    ] {
        server.trap("/storage/model-00002", fault.clone(), 1);
        let code = match fault {
            Fault::Alter | Fault::Status(401, _) => 4,
            _ => 5,
        };
        runs_without_telling(&client, code);
        std::fs::remove_dir_all(client.model()).unwrap();
    }
    // A token that cannot stand in a header is refused without being shown.
    runs_without_telling(client.set("HF_TOKEN", "hf_CANARY \u{7f}"), 3);
}
