//! A model without its weights: the heads of its files, from which everything follows that a plan needs.
//!
//! A head lies in a file of the full length that takes no space beyond it, so that the same readers open it
//! and make the same checks as before a run.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use super::client::hostile;
use super::error::HubError;
use super::fetch::Fetch;
use super::listing::ListedFile;
use super::selection::{self, CONFIG, Form};
use super::transfer::Wanted;
use super::{Event, Fetched, Hub};
use crate::engine::gguf::GgufFile;
use crate::study::hub::HubSource;
use crate::study::model::ModelSource;

/// Enough for the header of most safetensors files.
const FIRST: u64 = 1 << 20;
/// Longest header that the safetensors format allows.
const LONGEST_HEADER: u64 = 100_000_000;
/// Bytes of a GGUF file to try, one after the other: vocabularies stand in its header.
const GGUF_HEADS: [u64; 3] = [16 << 20, 64 << 20, 256 << 20];

impl Hub {
    /// Lays the heads of a model's files into `folder`, which has to be empty; weights that are in the
    /// cache are linked instead.
    pub fn outline(
        &self,
        source: &HubSource,
        folder: &Path,
        notify: &mut dyn FnMut(Event<'_>),
    ) -> Result<Fetched, HubError> {
        let mut fetch = Fetch::begin(&self.settings, source, notify)?;
        match selection::form(source, &fetch.listing)? {
            Form::Gguf(path) => {
                let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
                let place = folder.join(name);
                if let Some(file) = fetch.listing.find(&path).cloned() {
                    fetch.lay(file, &place, notify)?;
                }
                let mut fetched = fetch.finish(Some(path));
                fetched.files = ModelSource::Gguf(place);
                Ok(fetched)
            }
            Form::Folder => {
                for file in fetch.bring_beside(&[CONFIG], notify)? {
                    link(&fetch.snapshot().join(&file), &folder.join(&file))?;
                }
                for file in fetch.weights()? {
                    let place = folder.join(&file.path);
                    fetch.lay(file, &place, notify)?;
                }
                let mut fetched = fetch.finish(None);
                fetched.files = ModelSource::Dir(folder.to_owned());
                Ok(fetched)
            }
        }
    }
}

impl Fetch<'_> {
    /// Lays the head of a file of weights at `place`.
    fn lay(
        &mut self,
        file: ListedFile,
        place: &Path,
        notify: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), HubError> {
        if self.cache.has(&self.listing.commit, &file)? {
            return link(&self.snapshot().join(&file.path), place);
        }
        if self.is_closed() {
            return Err(self.missing(&file.path));
        }
        let wanted = self.describe(file, notify)?;
        if wanted.path.ends_with(".safetensors") {
            return self.lay_safetensors(&wanted, place, notify);
        }
        for length in GGUF_HEADS {
            let head = self.head(&wanted, length, notify)?;
            write_sparse(place, &head, wanted.size)?;
            if length >= wanted.size || GgufFile::open(place).is_ok() {
                break;
            }
        }
        Ok(())
    }

    /// The header of a safetensors file: eight bytes of length, then as many.
    fn lay_safetensors(
        &self,
        wanted: &Wanted,
        place: &Path,
        notify: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), HubError> {
        let mut head = self.head(wanted, FIRST, notify)?;
        let length = head
            .first_chunk()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes));
        if length > LONGEST_HEADER {
            let url = self.asked(&wanted.path).address;
            return Err(hostile(
                &url,
                format!("a safetensors header of {length} bytes"),
            ));
        }
        if length + 8 > FIRST {
            head = self.head(wanted, length + 8, notify)?;
        }
        write_sparse(place, &head, wanted.size)
    }

    /// The first bytes of a file.
    fn head(
        &self,
        wanted: &Wanted,
        length: u64,
        notify: &mut dyn FnMut(Event<'_>),
    ) -> Result<Vec<u8>, HubError> {
        let asked = self.asked(&wanted.path);
        let length = length.min(wanted.size);
        self.client
            .persist(notify, |_| self.client.read_start(&asked, length))
    }
}

/// A file that begins with `head` and is `size` bytes long.
fn write_sparse(place: &Path, head: &[u8], size: u64) -> Result<(), HubError> {
    let write = || {
        let mut file = File::create(place)?;
        file.write_all(head)?;
        file.set_len(size)
    };
    write().map_err(HubError::storage(place))
}

fn link(target: &Path, place: &Path) -> Result<(), HubError> {
    std::os::unix::fs::symlink(target, place).map_err(HubError::storage(place))
}
