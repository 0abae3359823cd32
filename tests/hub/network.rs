//! The Hub over TLS and through a proxy, as companies and clusters have them.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::server::{COMMIT, Seen, Server, read_request};
use crate::{Client, cli, contents, model, tls};

/// A proxy on this machine that leads every connection to one server.
struct Proxy {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Proxy {
    /// A proxy that answers with this status.
    fn to(server: &Server, status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (shared, server) = (Arc::clone(&seen), server.host());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let Some(asked) = read_request(&mut stream) else {
                    continue;
                };
                shared.lock().unwrap().push(asked);
                let answer = format!("HTTP/1.1 {status} X\r\n\r\n");
                if stream.write_all(answer.as_bytes()).is_ok() && status == 200 {
                    connect(stream, TcpStream::connect(&server).unwrap());
                }
            }
        });
        Self { port, seen }
    }

    fn url(&self) -> String {
        format!("http://user:PASSCANARY@127.0.0.1:{}", self.port)
    }

    /// The requests so far, which are forgotten.
    fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// Hands on what either side says until it ends.
fn connect(here: TcpStream, there: TcpStream) {
    for (mut from, mut to) in [
        (here.try_clone().unwrap(), there.try_clone().unwrap()),
        (there, here),
    ] {
        std::thread::spawn(move || {
            // A side that has gone away ends the connection.
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
    }
}

#[test]
fn a_certificate_is_trusted_when_a_variable_names_its_authority() {
    let files = model::in_three_shards();
    let server = Server::secure(&files);
    let mut client = Client::of(&server);
    client.set("HF_TOKEN", "hf_CANARY");
    let (error, _) = client.fails("test/tiny");
    assert!(error.to_string().contains("certificate"), "{error}");
    assert!(error.hint().unwrap().contains("SSL_CERT_FILE"));
    assert!(
        server.seen().is_empty(),
        "nothing is sent to whom nobody vouches for"
    );
    for variable in ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"] {
        let mut client = Client::of(&server);
        client
            .set("HF_TOKEN", "hf_CANARY")
            .set(variable, tls::AUTHORITY);
        client.fetch("test/tiny").unwrap();
        let snapshot = contents(&client.model().join("snapshots").join(COMMIT));
        assert!(snapshot.contains_key("config.json"), "{variable}");
        assert!(
            snapshot
                .iter()
                .all(|(name, content)| files[name] == *content),
            "{variable}"
        );
        let seen = server.seen();
        assert!(
            seen.iter()
                .all(|seen| seen.fields["authorization"] == "Bearer hf_CANARY")
        );
    }
}

#[test]
fn a_proxy_leads_to_the_hub_and_keeps_its_password() {
    let server = Server::secure(&model::in_three_shards());
    let proxy = Proxy::to(&server, 200);
    let mut client = Client::of(&server);
    client
        .set("HF_ENDPOINT", "https://hub.test")
        .set("HTTPS_PROXY", &proxy.url())
        .set("SSL_CERT_FILE", tls::AUTHORITY);
    let output = cli::mtok(&client)
        .env("RUST_LOG", "trace")
        .args(["plan", "--model", "hub:test/tiny"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(!said.contains("PASSCANARY"), "{said}");
    let asked = proxy.seen();
    assert!(!asked.is_empty());
    for seen in &asked {
        assert_eq!(seen.line, "CONNECT hub.test:443");
        // Base64 of `user:PASSCANARY`.
        assert_eq!(
            seen.fields["proxy-authorization"],
            "Basic dXNlcjpQQVNTQ0FOQVJZ"
        );
    }
    let beyond = server.seen();
    assert!(!beyond.is_empty());
    assert!(
        beyond
            .iter()
            .all(|seen| !seen.fields.contains_key("proxy-authorization"))
    );
}

#[test]
fn a_proxy_that_refuses_is_said_without_its_password() {
    let server = Server::secure(&model::in_three_shards());
    let proxy = Proxy::to(&server, 407);
    let mut client = Client::of(&server);
    client
        .set("HF_ENDPOINT", "https://hub.test")
        .set("https_proxy", &proxy.url());
    let (error, _) = client.fails("test/tiny");
    let said = format!("{error} {error:?}");
    assert!(said.contains("407"), "{said}");
    assert!(!said.contains("PASSCANARY"), "{said}");
    assert!(server.seen().is_empty());
}
