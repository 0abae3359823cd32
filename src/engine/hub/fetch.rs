//! A model on its way into the cache: resolved, chosen from, described, brought.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::address::encoded;
use super::cache::Cache;
use super::client::{Asked, Client, hostile};
use super::error::HubError;
use super::listing::{self, BlobId, ListedFile, Listing};
use super::selection::{self, CONFIG, INDEX};
use super::settings::Settings;
use super::transfer::{self, Wanted};
use super::{Event, Fetched};
use crate::engine::{config, weights};
use crate::study::hub::{Commit, HubSource};
use crate::study::model::ModelSource;

/// Longest listing of a model; one with ten thousand files has 3 MiB.
const LISTING_LIMIT: u64 = 32 << 20;
/// Longest index of shards that is read.
const INDEX_LIMIT: u64 = 4 << 20;

/// Whether the Hub can be asked for what the cache lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Open,
    Closed,
}

/// A model on its way into the cache.
pub(super) struct Fetch<'a> {
    settings: &'a Settings,
    pub(super) client: Client<'a>,
    pub(super) cache: Cache,
    source: &'a HubSource,
    pub(super) listing: Listing,
    line: Line,
    /// Listed SHA-256 of what was taken, by file name.
    sha256: BTreeMap<String, String>,
}

impl<'a> Fetch<'a> {
    /// Resolves the revision: by the Hub, or by the cache where the Hub must not or cannot be asked.
    pub(super) fn begin(
        settings: &'a Settings,
        source: &'a HubSource,
        notify: &mut dyn FnMut(Event<'_>),
    ) -> Result<Self, HubError> {
        let cache = Cache::new(settings.cache(), source);
        let client = Client::new(settings);
        let (listing, line) = if settings.offline() {
            let listing = cache.listing(source).ok_or_else(|| HubError::Offline {
                what: source.to_string(),
                cache: cache.root().to_owned(),
            })?;
            (listing, Line::Closed)
        } else {
            match (
                ask(&client, settings, source, notify),
                cache.listing(source),
            ) {
                (Ok(listing), _) => (listing, Line::Open),
                (Err(reason @ HubError::Unreachable { .. }), Some(listing)) => {
                    notify(Event::Stale { reason: &reason });
                    (listing, Line::Closed)
                }
                (Err(error), _) => return Err(error),
            }
        };
        notify(Event::Resolved {
            commit: &listing.commit,
        });
        if line == Line::Open {
            cache.remember(source, &listing.commit)?;
        }
        Ok(Self {
            settings,
            client,
            cache,
            source,
            listing,
            line,
            sha256: BTreeMap::new(),
        })
    }

    /// Brings config and tokenizer, then the weights, unless config.json rules the model out.
    pub(super) fn bring_folder(
        &mut self,
        notify: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), HubError> {
        self.bring_beside(&selection::BESIDE, notify)?;
        let weights = self.weights()?;
        self.bring(weights, notify)
    }

    /// Brings those of the named files that the model has, and the index where there are shards. Without
    /// a config.json of a known architecture the model is refused.
    pub(super) fn bring_beside(
        &mut self,
        names: &[&str],
        notify: &mut dyn FnMut(Event<'_>),
    ) -> Result<Vec<String>, HubError> {
        let files = owned(selection::beside(&self.listing, names));
        let paths: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
        if !paths.iter().any(|path| path == CONFIG) {
            return Err(self.missing(CONFIG));
        }
        self.bring(files, notify)?;
        config::read(&self.snapshot().join(CONFIG))?;
        Ok(paths)
    }

    /// The files that hold the weights.
    pub(super) fn weights(&self) -> Result<Vec<ListedFile>, HubError> {
        if selection::has_single(&self.listing) {
            return Ok(owned(selection::single(&self.listing)));
        }
        let index = weights::files::read(&self.snapshot().join(INDEX), INDEX_LIMIT)?;
        Ok(owned(selection::shards(
            self.source,
            &self.listing,
            &index,
        )?))
    }

    pub(super) fn snapshot(&self) -> PathBuf {
        self.cache.snapshot(&self.listing.commit)
    }

    /// Whether only the cache can be asked.
    pub(super) fn is_closed(&self) -> bool {
        self.line == Line::Closed
    }

    /// Brings files, as far as they are not there.
    pub(super) fn bring(
        &mut self,
        files: Vec<ListedFile>,
        notify: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), HubError> {
        let commit = self.listing.commit.clone();
        let mut absent = Vec::new();
        for file in files {
            if self.is_closed() {
                if !self.cache.has(&commit, &file)? {
                    return Err(self.missing(&file.path));
                }
                self.note(&file.path, file.id.as_ref());
                continue;
            }
            let wanted = self.describe(file, notify)?;
            self.note(&wanted.path, Some(&wanted.id));
            if !self.cache.has(&commit, &wanted.listed())? {
                absent.push(wanted);
            }
        }
        if absent.is_empty() {
            return Ok(());
        }
        let bytes = absent.iter().map(|wanted| self.left(wanted)).sum();
        self.cache.make_sure_of_space(bytes)?;
        notify(Event::Plans {
            files: absent.len(),
            bytes,
        });
        for wanted in &absent {
            let asked = self.asked(&wanted.path);
            transfer::fetch(&self.client, &self.cache, (&commit, wanted, &asked), notify)?;
        }
        Ok(())
    }

    /// Size and content name of a file, asked for where the listing lacks them.
    pub(super) fn describe(
        &self,
        file: ListedFile,
        notify: &mut dyn FnMut(Event<'_>),
    ) -> Result<Wanted, HubError> {
        let (mut size, mut id) = (file.size, file.id);
        let asked = self.asked(&file.path);
        if size.is_none() || id.is_none() {
            let described = self
                .client
                .persist(notify, |_| self.client.describe(&asked))?;
            size = size.or(described.size);
            id = id.or(described.id);
        }
        match (size, id) {
            (Some(size), Some(id)) => Ok(Wanted {
                path: file.path,
                size,
                id,
            }),
            _ => Err(hostile(
                &asked.address,
                "says neither in the listing nor in its headers how long the file is and which",
            )),
        }
    }

    pub(super) fn asked<'b>(&'b self, path: &'b str) -> Asked<'b> {
        let (repository, commit) = (self.source.repository(), &self.listing.commit);
        Asked {
            address: self
                .settings
                .endpoint
                .join(&format!("{repository}/resolve/{commit}/{}", encoded(path))),
            source: self.source,
            file: Some(path),
            commit: Some(commit),
            from: 0,
            length: None,
        }
    }

    /// Bytes of a file that are not there.
    fn left(&self, wanted: &Wanted) -> u64 {
        let held =
            std::fs::metadata(self.cache.incomplete(&wanted.id)).map_or(0, |held| held.len());
        wanted.size.saturating_sub(held)
    }

    fn note(&mut self, path: &str, id: Option<&BlobId>) {
        if let Some(BlobId::Sha256(sha256)) = id {
            let name = path.rsplit('/').next().unwrap_or(path);
            self.sha256.insert(name.to_owned(), sha256.clone());
        }
    }

    /// A file that the model should have.
    pub(super) fn missing(&self, file: &str) -> HubError {
        let what = format!("file {file} of {}", self.source.repository());
        match self.line {
            Line::Open => HubError::NotFound { what },
            Line::Closed => HubError::Offline {
                what,
                cache: self.cache.root().to_owned(),
            },
        }
    }

    pub(super) fn finish(self, gguf: Option<String>) -> Fetched {
        let snapshot = self.snapshot();
        Fetched {
            pinned: self.source.pinned(&self.listing.commit, gguf.as_deref()),
            files: match gguf {
                Some(path) => ModelSource::Gguf(snapshot.join(path)),
                None => ModelSource::Dir(snapshot),
            },
            sha256: self.sha256,
        }
    }
}

fn owned(files: Vec<&ListedFile>) -> Vec<ListedFile> {
    files.into_iter().cloned().collect()
}

/// Asks the Hub what a revision stands for and what it holds.
fn ask(
    client: &Client<'_>,
    settings: &Settings,
    source: &HubSource,
    notify: &mut dyn FnMut(Event<'_>),
) -> Result<Listing, HubError> {
    let revision = encoded(source.revision()).replace('/', "%2F");
    let path = format!(
        "api/models/{}/revision/{revision}?blobs=true",
        source.repository()
    );
    let asked = Asked {
        address: settings.endpoint.join(&path),
        source,
        file: None,
        commit: None,
        from: 0,
        length: None,
    };
    let bytes = client.persist(notify, |_| client.read(&asked, LISTING_LIMIT))?;
    let listing = listing::parse(&bytes, &asked.address.to_string())?;
    let pinned: Option<Commit> = source.revision().parse().ok();
    if pinned.is_some_and(|pinned| pinned != listing.commit) {
        let reason = format!("answers with commit {}", listing.commit);
        return Err(hostile(&asked.address, reason));
    }
    Ok(listing)
}
