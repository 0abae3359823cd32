//! A Hub on this machine, over real sockets: honest, unless a test says where it shall not be.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::tls;

pub(crate) const COMMIT: &str = "c1899de289a04d12100db370d81485cdf75e47ca";

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Method and path, like `GET /api/models/a/b`.
    pub(crate) line: String,
    /// Fields, their names in lower case.
    pub(crate) fields: BTreeMap<String, String>,
}

/// What a server does instead of giving the honest answer.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// This status with these fields.
    Status(u16, Vec<(&'static str, String)>),
    /// Only so many bytes of the body, then the end.
    Truncate(usize),
    /// So many bytes of the body, then silence for as long as the client bears it.
    Stall(usize),
    /// The first byte of the body altered.
    Alter,
    /// More bytes than announced elsewhere.
    Lengthen,
    /// The honest answer with a field more, or another value of it.
    Field(&'static str, String),
    /// To the same path at another server.
    Redirect(String),
}

/// A fault with the requests that meet it.
struct Trap {
    /// Part of method and path.
    of: &'static str,
    fault: Fault,
    /// How often it still happens.
    left: u32,
}

/// How a file is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    Git,
    Large,
}

struct Stored {
    content: Vec<u8>,
    storage: Storage,
}

impl Stored {
    fn id(&self) -> String {
        match self.storage {
            Storage::Git => git_hash(&self.content),
            Storage::Large => hex::encode(Sha256::digest(&self.content)),
        }
    }
}

/// What the threads of a server share.
#[derive(Default)]
struct State {
    files: BTreeMap<String, Stored>,
    traps: Vec<Trap>,
    seen: Vec<Seen>,
    ignores_ranges: bool,
    lists_names_only: bool,
}

/// A Hub that holds the model `test/tiny`.
pub(crate) struct Server {
    port: u16,
    scheme: &'static str,
    state: Arc<Mutex<State>>,
}

impl Server {
    /// A server with these files, small ones in git and safetensors in large file storage.
    pub(crate) fn with(files: &BTreeMap<String, Vec<u8>>) -> Self {
        Self::empty().holding(files)
    }

    /// The same over TLS.
    pub(crate) fn secure(files: &BTreeMap<String, Vec<u8>>) -> Self {
        Self::listening(Some(Arc::new(tls::config()))).holding(files)
    }

    fn holding(self, files: &BTreeMap<String, Vec<u8>>) -> Self {
        for (path, content) in files {
            let large = [".safetensors", ".gguf"]
                .iter()
                .any(|ending| path.ends_with(ending));
            let stored = Stored {
                content: content.clone(),
                storage: if large { Storage::Large } else { Storage::Git },
            };
            self.state().files.insert(path.clone(), stored);
        }
        self
    }

    /// A server without a model.
    pub(crate) fn empty() -> Self {
        Self::listening(None)
    }

    fn listening(secure: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let scheme = if secure.is_some() { "https" } else { "http" };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (state, secure) = (Arc::clone(&shared), secure.clone());
                std::thread::spawn(move || match secure {
                    None => serve(stream, &state),
                    Some(config) => {
                        let connection = ServerConnection::new(config).unwrap();
                        serve(StreamOwned::new(connection, stream), &state);
                    }
                });
            }
        });
        Self {
            port,
            scheme,
            state,
        }
    }

    /// `http://127.0.0.1:PORT`, or `https`.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.host())
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Lets the next `times` requests whose method and path contain `of` meet a fault.
    pub(crate) fn trap(&self, of: &'static str, fault: Fault, times: u32) {
        let trap = Trap {
            of,
            fault,
            left: times,
        };
        self.state().traps.push(trap);
    }

    /// Answers with the whole content whatever range is asked for.
    pub(crate) fn ignore_ranges(&self) {
        self.state().ignores_ranges = true;
    }

    /// Lists files without sizes and content names, as old mirrors do.
    pub(crate) fn list_names_only(&self) {
        self.state().lists_names_only = true;
    }

    /// The requests so far, which are forgotten.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state().seen)
    }

    /// Method and path of the requests so far, which are forgotten.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// An answer before it is sent.
struct Answer {
    status: u16,
    fields: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn status(status: u16) -> Self {
        Self {
            status,
            fields: Vec::new(),
            body: Vec::new(),
        }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.retain(|(known, _)| *known != name);
        self.fields.push((name, value.into()));
        self
    }
}

fn serve(mut stream: impl Read + Write, state: &Mutex<State>) {
    let Some(seen) = read_request(&mut stream) else {
        return;
    };
    let (answer, fault) = {
        let mut state = state.lock().unwrap();
        state.seen.push(seen.clone());
        let trap = state
            .traps
            .iter_mut()
            .find(|trap| trap.left > 0 && seen.line.contains(trap.of));
        let fault = trap.map(|trap| {
            trap.left -= 1;
            trap.fault.clone()
        });
        (honest(&state, &seen), fault)
    };
    let is_head = seen.line.starts_with("HEAD");
    // A client that has gone away is the client's affair.
    let _ = send(&mut stream, answer, fault, is_head, &seen.line);
}

/// The head of a request; none of those that arrive here has a body.
pub(crate) fn read_request(stream: &mut impl Read) -> Option<Seen> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let line = first.rsplit_once(" HTTP/")?.0.to_owned();
    let mut fields = BTreeMap::new();
    loop {
        let mut field = String::new();
        reader.read_line(&mut field).ok()?;
        let Some((name, value)) = field.trim_end().split_once(": ") else {
            break;
        };
        fields.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    Some(Seen { line, fields })
}

/// What the Hub would answer.
fn honest(state: &State, seen: &Seen) -> Answer {
    let path = seen.line.split(' ').nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    if let Some(revision) = path.strip_prefix("/api/models/test/tiny/revision/") {
        if revision != "main" && revision != COMMIT {
            return Answer::status(404).with("X-Error-Code", "RevisionNotFound");
        }
        return listing(state);
    }
    if path == "/api/whoami-v2" || path == "/api/models" {
        return Answer::status(200);
    }
    if let Some(file) = path.strip_prefix(&format!("/test/tiny/resolve/{COMMIT}/")) {
        return resolve(state, file, seen);
    }
    if let Some(file) = path.strip_prefix("/storage/") {
        return match state.files.get(file) {
            Some(stored) => content(state, &stored.content, seen),
            None => Answer::status(404),
        };
    }
    Answer::status(404).with("X-Error-Code", "RepoNotFound")
}

fn listing(state: &State) -> Answer {
    let siblings: Vec<_> = state
        .files
        .iter()
        .map(|(path, stored)| {
            let size = stored.content.len();
            match (state.lists_names_only, stored.storage) {
                (true, _) => serde_json::json!({ "rfilename": path }),
                (false, Storage::Git) => {
                    serde_json::json!({ "rfilename": path, "size": size, "blobId": stored.id() })
                }
                (false, Storage::Large) => serde_json::json!({
                    "rfilename": path, "size": size, "blobId": "0".repeat(40),
                    "lfs": { "sha256": stored.id(), "size": size, "pointerSize": 134 },
                }),
            }
        })
        .collect();
    // Frameworks tag their answers in base64.
    let mut answer = Answer::status(200).with("ETag", "W/\"5c-a+b/c=\"");
    answer.body = serde_json::json!({ "id": "test/tiny", "sha": COMMIT, "siblings": siblings })
        .to_string()
        .into_bytes();
    answer
}

fn resolve(state: &State, file: &str, seen: &Seen) -> Answer {
    let Some(stored) = state.files.get(file) else {
        return Answer::status(404).with("X-Error-Code", "EntryNotFound");
    };
    match stored.storage {
        Storage::Git => content(state, &stored.content, seen)
            .with("X-Repo-Commit", COMMIT)
            .with("ETag", format!("\"{}\"", stored.id())),
        Storage::Large => Answer::status(302)
            .with("X-Repo-Commit", COMMIT)
            .with("X-Linked-Etag", format!("\"{}\"", stored.id()))
            .with("X-Linked-Size", stored.content.len().to_string())
            .with("Location", format!("/storage/{file}?signature=s1gned")),
    }
}

/// A content or the range of it that is asked for.
fn content(state: &State, content: &[u8], seen: &Seen) -> Answer {
    let range = seen.fields.get("range").filter(|_| !state.ignores_ranges);
    let Some(range) = range.and_then(|range| range.strip_prefix("bytes=")) else {
        let mut answer = Answer::status(200);
        answer.body = content.to_vec();
        return answer;
    };
    let (first, last) = range.split_once('-').unwrap();
    let first: usize = first.parse().unwrap();
    let last = last.parse().map_or(content.len(), |last: usize| last + 1);
    let last = last.min(content.len());
    if first >= content.len() {
        return Answer::status(416);
    }
    let mut answer = Answer::status(206).with(
        "Content-Range",
        format!("bytes {first}-{}/{}", last - 1, content.len()),
    );
    answer.body = content[first..last].to_vec();
    answer
}

fn send(
    stream: &mut (impl Read + Write),
    mut answer: Answer,
    fault: Option<Fault>,
    is_head: bool,
    line: &str,
) -> std::io::Result<()> {
    let mut sent = None;
    match fault {
        None => {}
        Some(Fault::Status(status, fields)) => {
            answer = Answer::status(status);
            answer.fields = fields;
        }
        Some(Fault::Field(name, value)) => answer = answer.with(name, value),
        Some(Fault::Redirect(to)) => {
            let path = line.split(' ').nth(1).unwrap_or_default();
            answer = Answer::status(302).with("Location", format!("{to}{path}"));
        }
        Some(Fault::Alter) => answer.body[0] ^= 0xff,
        Some(Fault::Lengthen) => answer.body.extend(b"more"),
        Some(Fault::Truncate(length)) => sent = Some((length, false)),
        Some(Fault::Stall(length)) => sent = Some((length, true)),
    }
    let mut head = format!("HTTP/1.1 {} X\r\n", answer.status);
    head += &format!(
        "Content-Length: {}\r\nConnection: close\r\n",
        answer.body.len()
    );
    for (name, value) in &answer.fields {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    if is_head {
        return stream.flush();
    }
    let (length, stalls) = sent.unwrap_or((answer.body.len(), false));
    stream.write_all(&answer.body[..length])?;
    stream.flush()?;
    if stalls {
        // Ends when the client closes the connection.
        stream.read_to_end(&mut Vec::new())?;
    }
    Ok(())
}

/// Git's name of a content.
fn git_hash(content: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", content.len()));
    hash.update(content);
    hex::encode(hash.finalize())
}
