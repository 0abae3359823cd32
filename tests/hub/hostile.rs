//! Servers that lie about names and places.

use mtok::engine::hub::HubError;

use crate::server::{Fault, Server};
use crate::{Client, contents, model};

/// Whether a lie is found out and leaves nothing outside the model's folder of the cache.
#[track_caller]
fn is_refused(of: &'static str, fault: Fault, reason: &str) {
    let server = Server::with(&model::in_three_shards());
    server.trap(of, fault, 1);
    let client = Client::of(&server);
    let (error, said) = client.fails("test/tiny");
    assert!(matches!(error, HubError::Hostile { .. }), "{error}");
    assert!(error.to_string().contains(reason), "{error}");
    assert!(said.is_empty());
    let outside: Vec<String> = contents(client.home.path())
        .into_keys()
        .filter(|name| {
            !name.starts_with("hub/models--test--tiny/")
                && !name.starts_with("hub/.locks/models--test--tiny/")
        })
        .collect();
    assert!(outside.is_empty(), "{outside:?}");
}

#[test]
fn a_commit_that_climbs_is_refused() {
    let commit = |value: &str| Fault::Field("X-Repo-Commit", value.to_owned());
    is_refused(
        "/resolve/",
        commit("../../x"),
        "X-Repo-Commit \"../../x\" is no commit",
    );
    is_refused("/resolve/", commit(&"e".repeat(40)), "is of commit eeee");
}

#[test]
fn a_content_name_that_climbs_is_refused() {
    for value in ["\"../../x\"", "/etc/passwd", "\"..\"", "a\\b"] {
        let fault = |name| Fault::Field(name, value.to_owned());
        is_refused("/resolve/", fault("ETag"), "is no name of a content");
        is_refused(
            "00001-of",
            fault("X-Linked-Etag"),
            "is no name of a content",
        );
    }
}

#[test]
fn a_redirect_goes_to_http_servers_only_and_not_forever() {
    let to = |location: &str| Fault::Status(302, vec![("Location", location.to_owned())]);
    is_refused("/resolve/", to("file:///etc/passwd"), "redirects to where");
    is_refused(
        "/resolve/",
        to("http://user:word@127.0.0.1/"),
        "redirects to where",
    );
    is_refused(
        "/resolve/",
        Fault::Status(302, vec![]),
        "redirects to where",
    );
    let server = Server::with(&model::in_three_shards());
    server.trap("/api/models", Fault::Redirect(String::new()), 100);
    let (error, _) = Client::of(&server).fails("test/tiny");
    assert!(
        error.to_string().contains("redirects more than 5 times"),
        "{error}"
    );
}

#[test]
fn another_range_than_the_one_asked_for_is_refused() {
    let server = Server::with(&model::in_three_shards());
    server.trap("/storage/model-00002", Fault::Truncate(1000), 1);
    let range = Fault::Field("Content-Range", "bytes 5-9/10".to_owned());
    server.trap("/storage/model-00002", range, 1);
    let (error, _) = Client::of(&server).fails("test/tiny");
    assert!(
        error.to_string().contains("byte 1000 was asked for"),
        "{error}"
    );
}

#[test]
fn the_token_goes_to_the_hub_and_to_nobody_it_names() {
    let files = model::in_three_shards();
    let storage = Server::with(&files);
    let server = Server::with(&files);
    server.trap("/storage/", Fault::Redirect(storage.url()), 3);
    let mut client = Client::of(&server);
    client
        .set("HF_TOKEN", "hf_CANARY")
        .fetch("test/tiny")
        .unwrap();
    let asked = server.seen();
    assert!(
        asked
            .iter()
            .all(|seen| seen.fields["authorization"] == "Bearer hf_CANARY")
    );
    let elsewhere = storage.seen();
    assert_eq!(elsewhere.len(), 3);
    for seen in elsewhere {
        assert!(!format!("{seen:?}").contains("CANARY"), "{seen:?}");
    }
}

#[test]
fn a_token_that_shall_not_be_sent_is_not() {
    let server = Server::with(&model::in_three_shards());
    let mut client = Client::of(&server);
    client
        .set("HF_TOKEN", "hf_CANARY")
        .set("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
        .fetch("test/tiny")
        .unwrap();
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| !seen.fields.contains_key("authorization"))
    );
}
