//! What is fetched, what is not fetched again, and what happens when it breaks off.

use mtok::engine::hub::{HubError, Reach};
use mtok::study::model::ModelSource;

use crate::server::{COMMIT, Fault, Server};
use crate::{Client, contents, model};

const SHARD: &str = "model-00002-of-00003.safetensors";

#[track_caller]
fn is_complete(client: &Client) {
    let found = contents(&client.model().join("snapshots").join(COMMIT));
    let mut expected = model::in_three_shards();
    expected.remove("README.md");
    expected.remove("pytorch_model.bin");
    assert!(found == expected, "{:?}", found.keys());
    let blobs = contents(&client.model().join("blobs"));
    assert_eq!(blobs.len(), expected.len(), "{:?}", blobs.keys());
}

#[test]
fn what_a_model_needs_is_fetched_and_pinned() {
    let server = Server::with(&model::in_three_shards());
    let client = Client::of(&server);
    let fetched = client.fetch("test/tiny").unwrap();
    is_complete(&client);
    let snapshot = client.model().join("snapshots").join(COMMIT);
    assert_eq!(fetched.files, ModelSource::Dir(snapshot));
    assert_eq!(fetched.pinned.to_string(), format!("test/tiny@{COMMIT}"));
    assert_eq!(fetched.sha256.len(), 3);
    let reference = std::fs::read_to_string(client.model().join("refs/main")).unwrap();
    assert_eq!(reference, COMMIT);
}

#[test]
fn a_second_run_asks_for_the_revision_and_nothing_else() {
    let server = Server::with(&model::in_three_shards());
    let client = Client::of(&server);
    let first = client.fetch("test/tiny").unwrap();
    server.seen();
    assert_eq!(client.fetch("test/tiny").unwrap(), first);
    assert_eq!(
        server.lines(),
        ["GET /api/models/test/tiny/revision/main?blobs=true"]
    );
}

#[test]
fn what_huggingface_hub_has_fetched_is_not_fetched_again() {
    let files = model::in_three_shards();
    let server = Server::with(&files);
    let client = Client::of(&server);
    // The layout as huggingface_hub writes it, under another commit.
    client.fetch("test/tiny").unwrap();
    let snapshots = client.model().join("snapshots");
    let other = "d".repeat(40);
    std::fs::rename(snapshots.join(COMMIT), snapshots.join(&other)).unwrap();
    server.seen();
    client.fetch("test/tiny").unwrap();
    assert_eq!(server.lines().len(), 1);
    assert_eq!(contents(&snapshots.join(COMMIT)).len(), 6);
}

#[test]
fn without_the_network_the_cache_answers() {
    let server = Server::with(&model::in_three_shards());
    let mut client = Client::of(&server);
    let online = client.fetch("test/tiny").unwrap();
    server.seen();
    client.set("HF_HUB_OFFLINE", "1");
    assert_eq!(client.fetch("test/tiny").unwrap(), online);
    assert_eq!(client.fetch(&online.pinned.to_string()).unwrap(), online);
    assert_eq!(client.hub().reach().unwrap(), Reach::Offline);
    assert!(server.lines().is_empty());
}

#[test]
fn without_the_network_what_is_missing_is_named() {
    let server = Server::with(&model::in_three_shards());
    let mut client = Client::of(&server);
    client.set("HF_HUB_OFFLINE", "1");
    let (error, _) = client.fails("test/tiny");
    assert!(matches!(error, HubError::Offline { .. }));
    assert!(
        error
            .to_string()
            .starts_with("test/tiny is not in the cache at")
    );
    client
        .set("HF_HUB_OFFLINE", "0")
        .fetch("test/tiny")
        .unwrap();
    let snapshot = client.model().join("snapshots").join(COMMIT);
    std::fs::remove_file(snapshot.join(SHARD)).unwrap();
    let (error, _) = client.set("HF_HUB_OFFLINE", "1").fails("test/tiny");
    assert!(error.to_string().contains(SHARD), "{error}");
    assert!(server.seen().iter().all(|seen| !seen.line.is_empty()));
}

#[test]
fn a_hub_that_is_down_leaves_the_cache() {
    let server = Server::with(&model::in_three_shards());
    let mut client = Client::of(&server);
    let online = client.fetch("test/tiny").unwrap();
    // Nothing listens at the discard port.
    client.set("HF_ENDPOINT", "http://127.0.0.1:9");
    assert_eq!(client.fetch("test/tiny").unwrap(), online);
    let (error, said) = client.fails("test/other");
    assert!(matches!(error, HubError::Unreachable { .. }), "{error}");
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(client.hub().reach().is_err());
}

#[test]
fn a_body_that_ends_early_is_resumed_where_it_ended() {
    let server = Server::with(&model::in_three_shards());
    server.trap("/storage/model-00002", Fault::Truncate(1000), 1);
    let client = Client::of(&server);
    client.fetch("test/tiny").unwrap();
    is_complete(&client);
    let seen = server.seen();
    let ranges: Vec<_> = seen
        .iter()
        .filter(|seen| seen.line.contains("/storage/model-00002"))
        .map(|seen| seen.fields.get("range").map(String::as_str))
        .collect();
    assert_eq!(ranges, [None, Some("bytes=1000-")]);
}

#[test]
fn a_server_without_ranges_starts_again() {
    let server = Server::with(&model::in_three_shards());
    server.ignore_ranges();
    server.trap("/storage/model-00002", Fault::Truncate(1000), 1);
    let client = Client::of(&server);
    client.fetch("test/tiny").unwrap();
    is_complete(&client);
}

#[test]
fn what_an_earlier_process_left_is_gone_on_from() {
    let files = model::in_three_shards();
    let server = Server::with(&files);
    let client = Client::of(&server);
    let sha256 = client.fetch("test/tiny").unwrap().sha256[SHARD].clone();
    let blobs = client.model().join("blobs");
    std::fs::remove_file(blobs.join(&sha256)).unwrap();
    let partial = blobs.join(format!("{sha256}.incomplete"));
    for (left, from) in [
        (files[SHARD][..777].to_vec(), vec![Some("bytes=777-")]),
        // Bytes that are not the file's are found out at the end.
        (vec![1; 777], vec![Some("bytes=777-"), None]),
        (vec![1; files[SHARD].len()], vec![None]),
        (vec![1; files[SHARD].len() + 1], vec![None]),
        (files[SHARD].clone(), vec![]),
    ] {
        std::fs::write(&partial, &left).unwrap();
        server.seen();
        client.fetch("test/tiny").unwrap();
        is_complete(&client);
        let seen = server.seen();
        let ranges: Vec<_> = seen
            .iter()
            .filter(|seen| seen.line.contains("/storage/"))
            .map(|seen| seen.fields.get("range").map(String::as_str))
            .collect();
        assert_eq!(ranges, from);
        std::fs::remove_file(blobs.join(&sha256)).unwrap();
    }
}

#[test]
fn a_body_that_always_ends_early_is_given_up_and_kept() {
    let server = Server::with(&model::in_three_shards());
    server.trap("/storage/model-00002", Fault::Truncate(100), 3);
    let client = Client::of(&server);
    let (error, said) = client.fails("test/tiny");
    assert!(matches!(error, HubError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("300 of "), "{error}");
    assert_eq!(said.len(), 2);
    client.fetch("test/tiny").unwrap();
    is_complete(&client);
}

#[test]
fn a_wrong_content_never_counts_as_there() {
    let server = Server::with(&model::in_three_shards());
    let client = Client::of(&server);
    for of in ["/storage/model-00002", "GET /test/tiny/resolve"] {
        server.trap(of, Fault::Alter, 1);
        let (error, said) = client.fails("test/tiny");
        assert!(matches!(error, HubError::Corrupt { .. }), "{error}");
        assert!(said.is_empty());
        let left = contents(&client.model().join("blobs"));
        assert!(
            left.keys().all(|name| !name.contains("incomplete")),
            "{:?}",
            left.keys()
        );
        std::fs::remove_dir_all(client.model()).unwrap();
    }
    client.fetch("test/tiny").unwrap();
    is_complete(&client);
}

#[test]
fn more_bytes_than_listed_are_refused() {
    let server = Server::with(&model::in_three_shards());
    server.trap("/storage/model-00002", Fault::Lengthen, 1);
    let (error, _) = Client::of(&server).fails("test/tiny");
    assert!(error.to_string().contains("sends more than the"), "{error}");
}

#[test]
fn silence_is_borne_for_the_timeout_and_no_longer() {
    let server = Server::with(&model::in_three_shards());
    server.trap("/storage/model-00002", Fault::Stall(1000), 1);
    let client = Client::of(&server);
    client.fetch("test/tiny").unwrap();
    is_complete(&client);
    server.trap("/api/models", Fault::Stall(0), 3);
    let other = Client::of(&server);
    let (error, said) = other.fails("test/tiny");
    assert!(error.to_string().contains("timeout"), "{error}");
    assert_eq!(said.len(), 2);
}

#[test]
fn a_failure_that_passes_is_tried_again() {
    let server = Server::with(&model::in_three_shards());
    server.trap("/api/models", Fault::Status(500, vec![]), 1);
    server.trap("/resolve/", Fault::Status(503, vec![]), 1);
    server.trap("/storage/", Fault::Status(502, vec![]), 1);
    let client = Client::of(&server);
    client.fetch("test/tiny").unwrap();
    is_complete(&client);
}

#[test]
fn a_signature_of_the_storage_that_ran_out_is_asked_for_again() {
    let files = model::in_three_shards();
    let (server, storage) = (Server::with(&files), Server::with(&files));
    server.trap("/storage/", Fault::Redirect(storage.url()), 4);
    storage.trap("/storage/model-00002", Fault::Status(403, vec![]), 1);
    let client = Client::of(&server);
    client.fetch("test/tiny").unwrap();
    is_complete(&client);
}

#[test]
fn a_server_that_asks_for_a_wait_gets_it() {
    let server = Server::with(&model::in_three_shards());
    let wait = |seconds: &str| Fault::Status(429, vec![("Retry-After", seconds.to_owned())]);
    server.trap("/api/models", wait("1"), 1);
    let client = Client::of(&server);
    let mut waited = Vec::new();
    let mut notify = |event: mtok::engine::hub::Event<'_>| {
        if let mtok::engine::hub::Event::Waits { reason, wait } = event {
            waited.push((reason.to_string(), wait.as_secs()));
        }
    };
    let source = "test/tiny".parse().unwrap();
    client.hub().fetch(&source, &mut notify).unwrap();
    assert_eq!(waited.len(), 1);
    assert!(
        waited[0].0.contains("answers 429") && waited[0].1 == 1,
        "{waited:?}"
    );
    is_complete(&client);
    // Nobody waits for an hour on a rented card.
    server.trap("/api/models", wait("3600"), 1);
    let (error, said) = Client::of(&server).fails("test/tiny");
    assert!(
        matches!(error, HubError::Status { status: 429, .. }),
        "{error}"
    );
    assert!(said.is_empty());
}

#[test]
fn what_does_not_exist_is_named() {
    let server = Server::with(&model::in_three_shards());
    let client = Client::of(&server);
    for (source, what) in [
        ("test/other", "model test/other does not exist on the Hub"),
        (
            "test/tiny@v9",
            "revision v9 of test/tiny does not exist on the Hub",
        ),
    ] {
        let (error, said) = client.fails(source);
        assert_eq!(error.to_string(), what);
        assert!(said.is_empty());
    }
    server.trap("/resolve/", Fault::Status(404, vec![]), 1);
    let (error, _) = client.fails("test/tiny");
    assert_eq!(
        error.to_string(),
        "file config.json of test/tiny does not exist on the Hub"
    );
    let mut files = model::in_three_shards();
    files.remove("config.json");
    let (error, _) = Client::of(&Server::with(&files)).fails("test/tiny");
    assert_eq!(
        error.to_string(),
        "file config.json of test/tiny does not exist on the Hub"
    );
}

#[test]
fn who_may_not_read_is_told_how_to_be_allowed() {
    let server = Server::with(&model::in_three_shards());
    let mut client = Client::of(&server);
    server.trap("/api/models", Fault::Status(401, vec![]), 2);
    let hint = client.fails("test/tiny").0.hint().unwrap();
    assert!(hint.contains("set HF_TOKEN"), "{hint}");
    let (error, _) = client.set("HF_TOKEN", "hf_x").fails("test/tiny");
    assert!(
        error.to_string().ends_with("does not accept the token"),
        "{error}"
    );
    let gated = vec![
        ("X-Error-Code", "GatedRepo".to_owned()),
        (
            "X-Error-Message",
            "Access to model test/tiny is restricted".to_owned(),
        ),
    ];
    for status in [401, 403] {
        server.trap("/resolve/", Fault::Status(status, gated.clone()), 1);
        let (error, said) = client.fails("test/tiny");
        assert!(matches!(error, HubError::Gated { .. }), "{error}");
        assert!(
            error
                .to_string()
                .ends_with("Access to model test/tiny is restricted")
        );
        let hint = error.hint().unwrap();
        assert!(hint.starts_with(&format!("accept the terms at {}/test/tiny", server.url())));
        assert!(said.is_empty());
    }
}

#[test]
fn a_mirror_that_lists_names_alone_is_asked_for_the_rest() {
    let server = Server::with(&model::in_three_shards());
    server.list_names_only();
    let client = Client::of(&server);
    let fetched = client.fetch("test/tiny").unwrap();
    is_complete(&client);
    assert_eq!(fetched.sha256.len(), 3);
    server.trap("/storage/model-00002", Fault::Alter, 1);
    let (error, _) = Client::of(&server).fails("test/tiny");
    assert!(matches!(error, HubError::Corrupt { .. }), "{error}");
}

#[test]
fn a_model_that_no_engine_runs_is_refused_before_its_weights() {
    let mut files = model::in_three_shards();
    files.insert(
        "config.json".to_owned(),
        br#"{"architectures":["X"]}"#.to_vec(),
    );
    let server = Server::with(&files);
    let (error, _) = Client::of(&server).fails("test/tiny");
    assert!(matches!(error, HubError::Model(_)), "{error}");
    let lines = server.lines();
    assert!(
        lines.iter().all(|line| !line.contains("/storage/")),
        "{lines:?}"
    );
}

#[test]
fn two_processes_fetch_one_content_once() {
    let server = Server::with(&model::in_three_shards());
    let client = Client::of(&server);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| client.fetch("test/tiny").unwrap());
        }
    });
    is_complete(&client);
    let lines = server.lines();
    let fetched = lines
        .iter()
        .filter(|line| line.starts_with("GET /storage/"));
    assert_eq!(fetched.count(), 3);
}

#[test]
fn a_quantization_is_a_file_among_several() {
    let gguf = include_bytes!("../fixtures/gguf/llama-q8_0.gguf").to_vec();
    let files = [
        ("t-Q8_0.gguf".to_owned(), gguf),
        ("t-Q4_K_M.gguf".to_owned(), vec![0; 10]),
    ];
    let server = Server::with(&files.into());
    let client = Client::of(&server);
    let fetched = client.fetch("test/tiny:q8_0").unwrap();
    let path = client
        .model()
        .join("snapshots")
        .join(COMMIT)
        .join("t-Q8_0.gguf");
    assert_eq!(fetched.files, ModelSource::Gguf(path));
    assert_eq!(fetched.pinned.gguf(), Some("t-Q8_0.gguf"));
    let (error, _) = client.fails("test/tiny");
    assert!(
        error.to_string().contains("of t-Q4_K_M.gguf, t-Q8_0.gguf"),
        "{error}"
    );
    let offline = client.fetch(&fetched.pinned.to_string()).unwrap();
    assert_eq!(offline, fetched);
}
