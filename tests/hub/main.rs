//! Models from the Hub, against a Hub on this machine.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cli;
mod hostile;
mod model;
mod network;
mod secrets;
mod server;
mod tls;
mod transfer;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mtok::engine::hub::{Event, Fetched, Hub, HubError, Patience, Settings};

use server::Server;

/// A client with a cache of its own.
struct Client {
    home: tempfile::TempDir,
    variables: BTreeMap<&'static str, String>,
}

impl Client {
    fn of(server: &Server) -> Self {
        let home = tempfile::tempdir().unwrap();
        let variables = BTreeMap::from([
            ("HF_HOME", home.path().to_str().unwrap().to_owned()),
            ("HF_ENDPOINT", server.url()),
        ]);
        Self { home, variables }
    }

    fn set(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.variables.insert(name, value.to_owned());
        self
    }

    /// The folder of the model in the cache.
    fn model(&self) -> PathBuf {
        self.home.path().join("hub/models--test--tiny")
    }

    fn hub(&self) -> Hub {
        let settings = Settings::from_variables(&|name| {
            let value = self.variables.get(name)?;
            Some(OsString::from(value))
        });
        Hub::new(settings.unwrap().with_patience(Patience {
            connect: Duration::from_secs(5),
            read: Duration::from_millis(500),
            attempts: 3,
            backoff: Duration::from_millis(1),
        }))
    }

    fn fetch(&self, source: &str) -> Result<Fetched, HubError> {
        self.hub().fetch(&source.parse().unwrap(), &mut |_| {})
    }

    /// What fetching failed with, and what was said on the way.
    fn fails(&self, source: &str) -> (HubError, Vec<String>) {
        let mut said = Vec::new();
        let mut notify = |event: Event<'_>| {
            if let Event::Waits { reason, wait } = event {
                said.push(format!("{reason} ({} ms)", wait.as_millis()));
            }
        };
        let fetched = self.hub().fetch(&source.parse().unwrap(), &mut notify);
        (fetched.unwrap_err(), said)
    }
}

/// Every file below a folder with its content, links followed.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    collect(folder, folder, &mut found);
    found
}

fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, found);
        } else {
            let name = path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            found.insert(name, std::fs::read(&path).unwrap());
        }
    }
}
