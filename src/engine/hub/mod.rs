//! Models of the Hugging Face Hub: resolved to a commit, fetched into the cache that huggingface_hub
//! and its tools share, and handed on as a folder or a GGUF file.
//!
//! The crate hf-hub provides the layout of the cache. The transfer is our own over ureq, because neither
//! line of hf-hub does what a download to a rented card needs. 1.0.0 writes a body to its place without
//! comparing size or hash, joins the headers `X-Repo-Commit` and `ETag` into paths as they come, has no
//! timeouts, knows nothing of `HF_HUB_OFFLINE`, and brings an asynchronous runtime with a hundred crates;
//! 0.5.0 shares the first four, resumes without comparing, and ignores half of the variables.
//!
//! What a server says is not believed: commits, content names and file names are parsed into types that
//! cannot leave the cache, redirects are followed by hand so that the token stays with the endpoint, and a
//! content appears under its name only when it has the listed size and hash.

mod address;
mod cache;
mod client;
mod error;
mod fetch;
mod fields;
mod listing;
mod network;
mod outline;
mod selection;
mod settings;
mod transfer;

use std::collections::BTreeMap;
use std::time::Duration;

use self::client::Client;
pub use self::error::HubError;
use self::fetch::Fetch;
use self::selection::Form;
pub use self::settings::{Patience, Settings, TokenState};
use crate::study::hub::{Commit, HubSource};
use crate::study::model::ModelSource;

/// What happens while a model is being fetched.
#[derive(Debug)]
pub enum Event<'a> {
    /// The revision stands for a commit.
    Resolved {
        /// The commit.
        commit: &'a Commit,
    },
    /// The Hub does not answer, so what the cache has is taken.
    Stale {
        /// Why it does not.
        reason: &'a HubError,
    },
    /// Files are going to be fetched.
    Plans {
        /// Files.
        files: usize,
        /// Bytes left of them in all.
        bytes: u64,
    },
    /// A file is being fetched.
    Starts {
        /// Its path in the repository.
        file: &'a str,
        /// Its length.
        size: u64,
        /// Bytes of it that are there already.
        held: u64,
    },
    /// More of the file is there.
    Received {
        /// Bytes.
        bytes: u64,
    },
    /// What is there of the file is of no use.
    Restarts {
        /// Bytes.
        lost: u64,
    },
    /// The file is there and checked.
    Ends {
        /// Its path in the repository.
        file: &'a str,
    },
    /// Something failed that may work after a wait.
    Waits {
        /// What.
        reason: &'a HubError,
        /// How long.
        wait: Duration,
    },
}

/// A model that is in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The folder or the file.
    pub files: ModelSource,
    /// The model at its commit, with the GGUF file that was chosen.
    pub pinned: HubSource,
    /// The SHA-256 that the Hub lists, by file name, of files in large file storage.
    pub sha256: BTreeMap<String, String>,
}

/// How the Hub answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It must not be asked.
    Offline,
    /// It answers.
    Answers,
    /// It answers and knows the token.
    KnowsToken,
    /// It answers and does not accept the token.
    RefusesToken,
    /// It answers with this status.
    Fails(u16),
}

/// The Hub as the settings have it.
pub struct Hub {
    settings: Settings,
}

impl Hub {
    /// The Hub; nothing is asked yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Whether the Hub answers, tried once.
    pub fn reach(&self) -> Result<Reach, HubError> {
        if self.settings.offline() {
            return Ok(Reach::Offline);
        }
        let client = Client::new(&self.settings);
        let sends_token = matches!(
            self.settings.token(),
            TokenState::Variable | TokenState::File
        );
        let path = if sends_token {
            "api/whoami-v2"
        } else {
            "api/models?limit=1"
        };
        Ok(match client.status(path)? {
            401 | 403 if sends_token => Reach::RefusesToken,
            200..=299 if sends_token => Reach::KnowsToken,
            200..=399 => Reach::Answers,
            status => Reach::Fails(status),
        })
    }

    /// Brings a model into the cache, as far as it is not there.
    pub fn fetch(
        &self,
        source: &HubSource,
        notify: &mut dyn FnMut(Event<'_>),
    ) -> Result<Fetched, HubError> {
        let mut fetch = Fetch::begin(&self.settings, source, notify)?;
        let form = selection::form(source, &fetch.listing)?;
        match form {
            Form::Gguf(path) => {
                let file = fetch.listing.find(&path).cloned();
                fetch.bring(file.into_iter().collect(), notify)?;
                Ok(fetch.finish(Some(path)))
            }
            Form::Folder => {
                fetch.bring_folder(notify)?;
                Ok(fetch.finish(None))
            }
        }
    }
}
