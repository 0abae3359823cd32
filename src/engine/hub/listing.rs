//! What a model consists of at a commit, as the Hub lists it.

use serde::Deserialize;

use super::error::HubError;
use crate::study::hub::{Commit, is_plain_path};

/// The name of a file's content, which is also its name among the blobs of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BlobId {
    /// SHA-256, of files in large file storage.
    Sha256(String),
    /// Git's hash: SHA-1 over `blob LENGTH\0` and the content.
    Git(String),
    /// What a mirror calls it; says nothing about the content.
    Opaque(String),
}

impl BlobId {
    /// Reads an id as it stands in a listing or in an `ETag`; `None` for what could leave the cache.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
        let is_digit = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        let is_hash = |length| text.len() == length && text.bytes().all(is_digit);
        if is_hash(64) {
            return Some(Self::Sha256(text.to_owned()));
        }
        if is_hash(40) {
            return Some(Self::Git(text.to_owned()));
        }
        let ordinary = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
        let plain = (1..=100).contains(&text.len())
            && text.bytes().all(ordinary)
            && text.bytes().any(|c| c.is_ascii_alphanumeric())
            && !text.starts_with('.');
        plain.then(|| Self::Opaque(text.to_owned()))
    }

    /// The id itself, safe as a file name.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Sha256(id) | Self::Git(id) | Self::Opaque(id) => id,
        }
    }
}

/// A file at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListedFile {
    /// Path in the repository.
    pub(super) path: String,
    /// Length in bytes, where the listing has it.
    pub(super) size: Option<u64>,
    /// Its content's name, where the listing has it.
    pub(super) id: Option<BlobId>,
}

/// A model at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    /// The commit that the revision stands for.
    pub(super) commit: Commit,
    /// Its files, those with unusual names left out.
    pub(super) files: Vec<ListedFile>,
}

impl Listing {
    /// The file of that path.
    pub(super) fn find(&self, path: &str) -> Option<&ListedFile> {
        self.files.iter().find(|file| file.path == path)
    }
}

/// The answer to `/api/models/OWNER/NAME/revision/REVISION?blobs=true`.
#[derive(Deserialize)]
struct Answer {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default, rename = "blobId")]
    blob_id: Option<String>,
    #[serde(default)]
    lfs: Option<Large>,
}

#[derive(Deserialize)]
struct Large {
    #[serde(alias = "oid")]
    sha256: String,
    size: u64,
}

/// Reads the Hub's answer; `url` is where it came from.
pub(super) fn parse(bytes: &[u8], url: &str) -> Result<Listing, HubError> {
    let hostile = |reason: String| HubError::Hostile {
        url: url.to_owned(),
        reason,
    };
    let answer: Answer = serde_json::from_slice(bytes)
        .map_err(|error| hostile(format!("not the listing of a model: {error}")))?;
    let commit = answer
        .sha
        .parse()
        .map_err(|error: crate::study::model::ParseError| hostile(error.to_string()))?;
    let mut files = Vec::new();
    for sibling in answer.siblings {
        if leaves(&sibling.rfilename) {
            let name = sibling.rfilename;
            return Err(hostile(format!(
                "lists {name:?}, which is outside the model"
            )));
        }
        if is_plain_path(&sibling.rfilename) {
            files.push(listed(sibling).map_err(hostile)?);
        }
    }
    Ok(Listing { commit, files })
}

/// Whether a path is absolute or climbs.
fn leaves(path: &str) -> bool {
    path.starts_with('/') || path.split(['/', '\\']).any(|part| part == "..")
}

fn listed(sibling: Sibling) -> Result<ListedFile, String> {
    let (size, text) = match sibling.lfs {
        Some(large) => (Some(large.size), Some(large.sha256)),
        None => (sibling.size, sibling.blob_id),
    };
    let id = match text {
        Some(text) => Some(
            BlobId::parse(&text)
                .ok_or_else(|| format!("names the content of {} {text:?}", sibling.rfilename))?,
        ),
        None => None,
    };
    Ok(ListedFile {
        path: sibling.rfilename,
        size,
        id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "c1899de289a04d12100db370d81485cdf75e47ca";

    fn listing(siblings: &str) -> Result<Listing, String> {
        let text = format!(r#"{{"sha":"{COMMIT}","siblings":[{siblings}]}}"#);
        parse(text.as_bytes(), "http://hub/api").map_err(|error| error.to_string())
    }

    #[test]
    fn the_content_of_a_file_is_named_by_the_storage_it_is_in() {
        let sha256 = "ab".repeat(32);
        let text = format!(
            r#"{{"rfilename":"config.json","size":7,"blobId":"{COMMIT}"}},
               {{"rfilename":"a.safetensors","size":9,"blobId":"{COMMIT}","lfs":{{"sha256":"{sha256}","size":9,"pointerSize":1}}}},
               {{"rfilename":"README.md"}},
               {{"rfilename":".gitattributes"}}"#
        );
        let listing = listing(&text).unwrap();
        assert_eq!(listing.commit.as_str(), COMMIT);
        let paths: Vec<&str> = listing
            .files
            .iter()
            .map(|file| file.path.as_str())
            .collect();
        assert_eq!(paths, ["config.json", "a.safetensors", "README.md"]);
        assert_eq!(
            listing.find("config.json").unwrap().id,
            Some(BlobId::Git(COMMIT.to_owned()))
        );
        let weights = listing.find("a.safetensors").unwrap();
        assert_eq!(
            (weights.size, &weights.id),
            (Some(9), &Some(BlobId::Sha256(sha256)))
        );
        assert_eq!(listing.find("README.md").unwrap().id, None);
    }

    #[test]
    fn a_listing_that_points_outside_is_refused() {
        for name in ["../x", "/etc/passwd", "a/../../x", "a\\\\..\\\\x"] {
            let message = listing(&format!(r#"{{"rfilename":"{name}"}}"#)).unwrap_err();
            assert!(message.contains("outside the model"), "{message}");
        }
        let message = listing(r#"{"rfilename":"x","blobId":"../../x"}"#).unwrap_err();
        assert!(message.contains("names the content of x"), "{message}");
        let refused = parse(br#"{"sha":"../../x"}"#, "http://hub/api").unwrap_err();
        assert!(refused.to_string().contains("`../../x`"), "{refused}");
        assert!(parse(b"<html>", "http://hub/api").is_err());
    }

    #[test]
    fn an_id_is_a_hash_or_a_plain_word() {
        let git = BlobId::parse(&format!("\"{COMMIT}\""));
        assert_eq!(git, Some(BlobId::Git(COMMIT.to_owned())));
        let opaque = BlobId::parse("W/\"abc-1_2.x\"");
        assert_eq!(opaque, Some(BlobId::Opaque("abc-1_2.x".to_owned())));
        for text in [
            "",
            "\"\"",
            "..",
            ".",
            "../x",
            "a/b",
            "a\\b",
            "--",
            "a b",
            &"a".repeat(101),
        ] {
            assert_eq!(BlobId::parse(text), None, "{text:?}");
        }
    }
}
