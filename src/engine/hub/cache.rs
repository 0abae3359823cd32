//! The cache that huggingface_hub, its tools and this program share: contents among the blobs, and a
//! snapshot of links for each commit.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::error::HubError;
use super::listing::{BlobId, ListedFile, Listing};
use crate::study::hub::{Commit, HubSource};

/// Files up to this size are hashed whenever they are used; larger ones are hashed before they are
/// loaded, with all others.
const HASHED_AT_ONCE: u64 = 64 << 20;
/// Space that a disk keeps beside the files.
const RESERVE: u64 = 64 << 20;

/// A model's part of the cache.
pub(super) struct Cache {
    root: PathBuf,
    repo: hf_hub::Repo,
    layout: hf_hub::CacheRepo,
}

impl Cache {
    /// The part of `root` that belongs to a model; nothing is created.
    pub(super) fn new(root: &Path, source: &HubSource) -> Self {
        let repo = hf_hub::Repo::with_revision(
            source.repository().to_owned(),
            hf_hub::RepoType::Model,
            source.revision().to_owned(),
        );
        Self {
            layout: hf_hub::Cache::new(root.to_owned()).repo(repo.clone()),
            root: root.to_owned(),
            repo,
        }
    }

    /// The whole cache.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder in which a commit looks like the repository.
    pub(super) fn snapshot(&self, commit: &Commit) -> PathBuf {
        self.layout.pointer_path(commit.as_str())
    }

    /// Where a content is.
    pub(super) fn blob(&self, id: &BlobId) -> PathBuf {
        self.folder().join("blobs").join(id.as_str())
    }

    /// Where a content is while it is being fetched; huggingface_hub goes on from it, and we from its.
    pub(super) fn incomplete(&self, id: &BlobId) -> PathBuf {
        let name = format!("{}.incomplete", id.as_str());
        self.folder().join("blobs").join(name)
    }

    /// Waits until nobody else fetches a content, and keeps others from it while the file is open.
    pub(super) fn lock(&self, id: &BlobId) -> Result<File, HubError> {
        let folder = self.root.join(".locks").join(self.repo.folder_name());
        create(&folder)?;
        let path = folder.join(format!("{}.lock", id.as_str()));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(HubError::storage(&path))?;
        file.lock().map_err(HubError::storage(path))?;
        Ok(file)
    }

    /// Whether a file of a commit is there, whole and, as far as that is quick, with its content. A
    /// content that another commit brought is linked.
    pub(super) fn has(&self, commit: &Commit, file: &ListedFile) -> Result<bool, HubError> {
        let entry = self.snapshot(commit).join(&file.path);
        if is_whole(&entry, file) {
            return Ok(true);
        }
        let Some(id) = &file.id else {
            return Ok(false);
        };
        if !is_whole(&self.blob(id), file) {
            return Ok(false);
        }
        self.link(commit, &file.path, id)?;
        Ok(true)
    }

    /// Makes a content appear under its name in a commit.
    pub(super) fn link(&self, commit: &Commit, path: &str, id: &BlobId) -> Result<(), HubError> {
        let entry = self.snapshot(commit).join(path);
        let folder = entry.parent().unwrap_or(&self.root);
        create(folder)?;
        let up = "../".repeat(2 + path.matches('/').count());
        let target = format!("{up}blobs/{}", id.as_str());
        let fresh = folder.join(format!(".{}.{}.new", id.as_str(), std::process::id()));
        let linked = std::os::unix::fs::symlink(target, &fresh)
            .and_then(|()| std::fs::rename(&fresh, &entry));
        if linked.is_err() {
            let _ = std::fs::remove_file(&fresh);
        }
        linked.map_err(HubError::storage(entry))
    }

    /// Creates the folder of contents.
    pub(super) fn create_blobs(&self) -> Result<(), HubError> {
        create(&self.folder().join("blobs"))
    }

    /// Notes which commit a branch or tag stood for.
    pub(super) fn remember(&self, source: &HubSource, commit: &Commit) -> Result<(), HubError> {
        if source.revision() == commit.as_str() {
            return Ok(());
        }
        self.layout
            .create_ref(commit.as_str())
            .map_err(HubError::storage(self.reference(source)))
    }

    /// What of a model is there, without asking the Hub; `None` if nothing is.
    pub(super) fn listing(&self, source: &HubSource) -> Option<Listing> {
        let commit: Commit = match source.revision().parse() {
            Ok(commit) => commit,
            Err(_) => std::fs::read_to_string(self.reference(source))
                .ok()?
                .trim()
                .parse()
                .ok()?,
        };
        let mut files = Vec::new();
        collect(&self.snapshot(&commit), "", &mut files).ok()?;
        Some(Listing { commit, files })
    }

    /// Refuses to begin what would not fit on the disk.
    pub(super) fn make_sure_of_space(&self, needed: u64) -> Result<(), HubError> {
        create(&self.root)?;
        let stat = rustix::fs::statvfs(&self.root)
            .map_err(std::io::Error::from)
            .map_err(HubError::storage(&self.root))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let gib = |bytes: u64| bytes as f64 / f64::from(1_u32 << 30);
        if needed == 0 || needed.saturating_add(RESERVE) <= free {
            return Ok(());
        }
        Err(HubError::NoSpace {
            path: self.root.clone(),
            needed_gib: gib(needed.saturating_add(RESERVE)),
            free_gib: gib(free),
        })
    }

    fn folder(&self) -> PathBuf {
        self.root.join(self.repo.folder_name())
    }

    fn reference(&self, source: &HubSource) -> PathBuf {
        self.folder().join("refs").join(source.revision())
    }
}

fn create(folder: &Path) -> Result<(), HubError> {
    std::fs::create_dir_all(folder).map_err(HubError::storage(folder))
}

/// Whether a path is a file of the right size whose content, if it is small, has the right hash.
fn is_whole(path: &Path, file: &ListedFile) -> bool {
    let Ok(metadata) = std::fs::metadata(path) else {
        return false;
    };
    if !metadata.is_file() || file.size.is_some_and(|size| size != metadata.len()) {
        return false;
    }
    let Some(id) = file
        .id
        .as_ref()
        .filter(|_| metadata.len() <= HASHED_AT_ONCE)
    else {
        return true;
    };
    let mut hash = ContentHash::of(id, metadata.len());
    let mut content = Vec::new();
    let read = File::open(path).and_then(|mut file| file.read_to_end(&mut content));
    hash.update(&content);
    read.is_ok() && hash.finish().is_ok()
}

/// The files below a folder of links, by their paths from it.
fn collect(folder: &Path, prefix: &str, files: &mut Vec<ListedFile>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let name = format!("{prefix}{name}");
        let Ok(metadata) = std::fs::metadata(&path) else {
            continue;
        };
        if metadata.is_dir() {
            collect(&path, &format!("{name}/"), files)?;
        } else {
            let target = std::fs::read_link(&path).ok();
            let id = target.as_deref().and_then(Path::file_name);
            files.push(ListedFile {
                path: name,
                size: None,
                id: id.and_then(|id| BlobId::parse(id.to_str()?)),
            });
        }
    }
    Ok(())
}

/// The hash that a content is listed with, while the content passes.
pub(super) enum ContentHash {
    Sha256(Box<Sha256>, String),
    Git(Sha1, String),
    /// Nothing is known to compare with.
    Unknown,
}

/// A content that is not what it was listed as.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Different {
    pub(super) kind: &'static str,
    pub(super) expected: String,
    pub(super) found: String,
}

impl ContentHash {
    /// The hash of nothing yet, for a content of `size` bytes.
    pub(super) fn of(id: &BlobId, size: u64) -> Self {
        match id {
            BlobId::Sha256(expected) => Self::Sha256(Box::default(), expected.clone()),
            BlobId::Git(expected) => {
                let mut hash = Sha1::new();
                hash.update(format!("blob {size}\0"));
                Self::Git(hash, expected.clone())
            }
            BlobId::Opaque(_) => Self::Unknown,
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash, _) => hash.update(bytes),
            Self::Git(hash, _) => hash.update(bytes),
            Self::Unknown => {}
        }
    }

    /// Compares with what was listed.
    pub(super) fn finish(self) -> Result<(), Different> {
        let (kind, expected, found) = match self {
            Self::Sha256(hash, expected) => ("sha256", expected, hex::encode(hash.finalize())),
            Self::Git(hash, expected) => ("git hash", expected, hex::encode(hash.finalize())),
            Self::Unknown => return Ok(()),
        };
        if expected == found {
            return Ok(());
        }
        Err(Different {
            kind,
            expected,
            found,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `printf 'hello' | git hash-object --stdin` prints.
    const HELLO_GIT: &str = "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0";
    /// What `printf 'hello' | sha256sum` prints.
    const HELLO_SHA256: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    const COMMIT: &str = "c1899de289a04d12100db370d81485cdf75e47ca";

    fn file(path: &str, id: &str) -> ListedFile {
        ListedFile {
            path: path.to_owned(),
            size: Some(5),
            id: BlobId::parse(id),
        }
    }

    #[test]
    fn a_content_is_compared_with_either_hash() {
        for id in [HELLO_GIT, HELLO_SHA256] {
            let mut hash = ContentHash::of(&BlobId::parse(id).unwrap(), 5);
            hash.update(b"hel");
            hash.update(b"lo");
            assert_eq!(hash.finish(), Ok(()));
            let mut hash = ContentHash::of(&BlobId::parse(id).unwrap(), 5);
            hash.update(b"hellp");
            assert_eq!(hash.finish().unwrap_err().expected, id);
        }
    }

    #[test]
    fn the_layout_is_that_of_huggingface_hub() {
        let folder = tempfile::tempdir().unwrap();
        let source: HubSource = "Owner/Name".parse().unwrap();
        let cache = Cache::new(folder.path(), &source);
        let commit: Commit = COMMIT.parse().unwrap();
        let id = BlobId::parse(HELLO_SHA256).unwrap();
        let listed = file("sub/x.gguf", HELLO_SHA256);
        cache.create_blobs().unwrap();
        assert!(!cache.has(&commit, &listed).unwrap());
        std::fs::write(cache.blob(&id), "hello").unwrap();
        assert!(cache.has(&commit, &listed).unwrap());
        cache.remember(&source, &commit).unwrap();

        let model = folder.path().join("models--Owner--Name");
        let entry = model.join(format!("snapshots/{COMMIT}/sub/x.gguf"));
        assert_eq!(std::fs::read_to_string(&entry).unwrap(), "hello");
        let target = std::fs::read_link(&entry).unwrap();
        assert_eq!(target, Path::new(&format!("../../../blobs/{HELLO_SHA256}")));
        assert_eq!(
            std::fs::read_to_string(model.join("refs/main")).unwrap(),
            COMMIT
        );
        let listing = cache.listing(&source).unwrap();
        assert_eq!(listing.commit, commit);
        assert_eq!(listing.files[0].path, "sub/x.gguf");
        assert_eq!(listing.files[0].id, Some(id));
    }

    #[test]
    fn a_truncated_or_altered_file_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path(), &"Owner/Name".parse().unwrap());
        let commit: Commit = COMMIT.parse().unwrap();
        cache.create_blobs().unwrap();
        for (id, content, there) in [
            (HELLO_SHA256, "hell", false),
            (HELLO_SHA256, "hellp", false),
            (HELLO_GIT, "hellp", false),
            (HELLO_GIT, "hello", true),
            ("opaque", "hellp", true),
        ] {
            let id = BlobId::parse(id).unwrap();
            std::fs::write(cache.blob(&id), content).unwrap();
            let listed = file(content, id.as_str());
            assert_eq!(
                cache.has(&commit, &listed).unwrap(),
                there,
                "{id:?} {content}"
            );
        }
    }

    #[test]
    fn a_disk_that_is_too_small_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path(), &"Owner/Name".parse().unwrap());
        cache.make_sure_of_space(1).unwrap();
        let message = cache.make_sure_of_space(1 << 60).unwrap_err().to_string();
        assert!(message.contains("1073741824.1 GiB needed"), "{message}");
    }

    #[test]
    fn a_model_that_was_never_fetched_has_no_listing() {
        let folder = tempfile::tempdir().unwrap();
        let source: HubSource = "Owner/Name".parse().unwrap();
        let cache = Cache::new(folder.path(), &source);
        assert_eq!(cache.listing(&source), None);
        let refs = folder.path().join("models--Owner--Name/refs");
        std::fs::create_dir_all(&refs).unwrap();
        std::fs::write(refs.join("main"), "../../x").unwrap();
        assert_eq!(cache.listing(&source), None);
    }
}
