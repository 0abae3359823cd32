//! One content on its way into the cache: resumed where that is possible, and counted as there only
//! when its size and hash are the listed ones.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::Event;
use super::cache::{Cache, ContentHash};
use super::client::{Answer, Asked, Client, Failure, broken, hostile};
use super::error::HubError;
use super::listing::{BlobId, ListedFile};
use crate::study::hub::Commit;

/// Bytes that are read, hashed and written at a time.
const PIECE: usize = 1 << 20;

/// A file of which everything is known that it will be checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Path in the repository.
    pub(super) path: String,
    /// Length in bytes.
    pub(super) size: u64,
    /// The content's name.
    pub(super) id: BlobId,
}

impl Wanted {
    /// The same as a listing has it.
    pub(super) fn listed(&self) -> ListedFile {
        ListedFile {
            path: self.path.clone(),
            size: Some(self.size),
            id: Some(self.id.clone()),
        }
    }
}

/// Fetches a file and links it into its commit. `asked` is where it is, without a range.
pub(super) fn fetch(
    client: &Client<'_>,
    cache: &Cache,
    (commit, wanted, asked): (&Commit, &Wanted, &Asked<'_>),
    notify: &mut dyn FnMut(Event<'_>),
) -> Result<(), HubError> {
    let _lock = cache.lock(&wanted.id)?;
    // Another process may have fetched it while this one waited.
    if !cache.has(commit, &wanted.listed())? {
        cache.create_blobs()?;
        let mut partial = Partial::open(cache.incomplete(&wanted.id), wanted)?;
        notify(Event::Starts {
            file: &wanted.path,
            size: wanted.size,
            held: partial.length,
        });
        client.persist(notify, |notify| partial.advance(client, asked, notify))?;
        partial.keep(&cache.blob(&wanted.id))?;
        cache.link(commit, &wanted.path, &wanted.id)?;
    }
    notify(Event::Ends { file: &wanted.path });
    Ok(())
}

/// A content of which a part is there.
struct Partial<'a> {
    wanted: &'a Wanted,
    path: PathBuf,
    file: File,
    /// Bytes in the file, all of them hashed.
    length: u64,
    hash: ContentHash,
    /// Whether some bytes were there before this process began.
    inherited: bool,
}

impl<'a> Partial<'a> {
    /// Goes on from what an earlier process left behind.
    fn open(path: PathBuf, wanted: &'a Wanted) -> Result<Self, HubError> {
        let file = File::options()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(HubError::storage(&path))?;
        let mut partial = Self {
            hash: ContentHash::of(&wanted.id, wanted.size),
            wanted,
            path,
            file,
            length: 0,
            inherited: false,
        };
        partial.hash_what_is_there()?;
        Ok(partial)
    }

    fn hash_what_is_there(&mut self) -> Result<(), HubError> {
        let mut piece = vec![0; PIECE];
        loop {
            let count = self
                .file
                .read(&mut piece)
                .map_err(HubError::storage(&self.path))?;
            if count == 0 {
                break;
            }
            self.hash.update(&piece[..count]);
            self.length += count as u64;
        }
        self.inherited = self.length > 0;
        if self.length > self.wanted.size {
            self.restart()?;
        }
        Ok(())
    }

    /// Forgets everything that is there.
    fn restart(&mut self) -> Result<(), HubError> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(HubError::storage(&self.path))?;
        self.hash = ContentHash::of(&self.wanted.id, self.wanted.size);
        self.length = 0;
        self.inherited = false;
        Ok(())
    }

    /// One attempt to bring the content to its end.
    fn advance(
        &mut self,
        client: &Client<'_>,
        asked: &Asked<'_>,
        notify: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Failure> {
        if self.length < self.wanted.size {
            let answer = client.get(&Asked {
                from: self.length,
                ..asked.clone()
            })?;
            if answer.from != self.length {
                notify(Event::Restarts { lost: self.length });
                self.restart()?;
            }
            self.receive(answer, notify)?;
        }
        self.compare(notify)
    }

    /// Takes in a body up to its end.
    fn receive(
        &mut self,
        mut answer: Answer,
        notify: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Failure> {
        let mut piece = vec![0; PIECE];
        let before = self.length;
        loop {
            let count = match answer.body.read(&mut piece) {
                Ok(count) => count,
                Err(error) => {
                    return Err(broken(
                        &answer.url,
                        &format!(
                            "{error}, after {} of {} bytes",
                            self.length, self.wanted.size
                        ),
                        self.length - before,
                    ));
                }
            };
            if count == 0 {
                break;
            }
            if self.length + count as u64 > self.wanted.size {
                let reason = format!("sends more than the {} bytes listed", self.wanted.size);
                self.restart()?;
                return Err(hostile(&answer.url, reason).into());
            }
            self.file
                .write_all(&piece[..count])
                .map_err(HubError::storage(&self.path))?;
            self.hash.update(&piece[..count]);
            self.length += count as u64;
            notify(Event::Received {
                bytes: count as u64,
            });
        }
        if self.length < self.wanted.size {
            let reason = format!("ends after {} of {} bytes", self.length, self.wanted.size);
            return Err(broken(&answer.url, &reason, self.length - before));
        }
        Ok(())
    }

    /// Compares the whole content with what is listed. One that another process began is fetched anew
    /// before the Hub is blamed.
    fn compare(&mut self, notify: &mut dyn FnMut(Event<'_>)) -> Result<(), Failure> {
        let fresh = ContentHash::of(&self.wanted.id, self.wanted.size);
        let Err(different) = std::mem::replace(&mut self.hash, fresh).finish() else {
            return Ok(());
        };
        let (lost, inherited) = (self.length, self.inherited);
        self.restart()?;
        let error = HubError::Corrupt {
            file: self.wanted.path.clone(),
            kind: different.kind,
            expected: different.expected,
            found: different.found,
        };
        if !inherited {
            let _ = std::fs::remove_file(&self.path);
            return Err(Failure::Final(error));
        }
        notify(Event::Restarts { lost });
        Err(Failure::Again {
            error,
            wait: Some(std::time::Duration::ZERO),
            gained: 0,
        })
    }

    /// Makes the content appear among the blobs, on the disk before under its name.
    fn keep(self, blob: &Path) -> Result<(), HubError> {
        self.file
            .sync_all()
            .and_then(|()| std::fs::rename(&self.path, blob))
            .map_err(HubError::storage(blob))
    }
}
