//! How a model on the Hub is named: repository, revision and, among GGUF files, which.

use std::fmt;
use std::str::FromStr;

use super::model::ParseError;

/// Longest name that is taken for a repository, a revision or a file.
const MAX_LENGTH: usize = 200;

/// `OWNER/NAME[@REVISION][:GGUF]`, every part safe to stand in a path and in a URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HubSource {
    repository: String,
    revision: Option<String>,
    gguf: Option<String>,
}

impl HubSource {
    /// `OWNER/NAME`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// `NAME` alone.
    pub fn name(&self) -> &str {
        self.repository
            .split_once('/')
            .map_or(self.repository.as_str(), |(_, name)| name)
    }

    /// The branch, tag or commit; `main` where none was asked for.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// Which `.gguf` file, by its name or by its quantization, where one was asked for.
    pub fn gguf(&self) -> Option<&str> {
        self.gguf.as_deref()
    }

    /// The same model at a commit, with the GGUF file that was chosen.
    #[must_use]
    pub fn pinned(&self, commit: &Commit, gguf: Option<&str>) -> Self {
        Self {
            repository: self.repository.clone(),
            revision: Some(commit.to_string()),
            gguf: gguf.map(str::to_owned),
        }
    }
}

impl fmt::Display for HubSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(revision) = &self.revision {
            write!(f, "@{revision}")?;
        }
        if let Some(gguf) = &self.gguf {
            write!(f, ":{gguf}")?;
        }
        Ok(())
    }
}

impl FromStr for HubSource {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (rest, gguf) = match text.split_once(':') {
            Some((rest, gguf)) => (rest, Some(gguf)),
            None => (text, None),
        };
        let (repository, revision) = match rest.split_once('@') {
            Some((repository, revision)) => (repository, Some(revision)),
            None => (rest, None),
        };
        let in_order = is_repository(repository)
            && revision.is_none_or(is_plain_path)
            && gguf.is_none_or(is_plain_path);
        if !in_order {
            return Err(ParseError {
                what: "model on the Hub",
                value: text.to_owned(),
                expected: "OWNER/NAME, OWNER/NAME@REVISION or OWNER/NAME:FILE.gguf (or :Q4_K_M)"
                    .to_owned(),
            });
        }
        Ok(Self {
            repository: repository.to_owned(),
            revision: revision.map(str::to_owned),
            gguf: gguf.map(str::to_owned),
        })
    }
}

/// The full name of a commit: 40 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Commit(String);

impl Commit {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Commit {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let is_digit = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if text.len() == 40 && text.bytes().all(is_digit) {
            return Ok(Self(text.to_owned()));
        }
        Err(ParseError {
            what: "commit",
            value: text.chars().take(MAX_LENGTH).collect(),
            expected: "40 lower-case hexadecimal digits".to_owned(),
        })
    }
}

/// Whether a text is a path below its start: components of ordinary characters, none of them hidden.
pub fn is_plain_path(text: &str) -> bool {
    text.len() <= MAX_LENGTH && text.split('/').all(is_plain_name)
}

/// Whether a text is one component of a path and never an option, a parent or a hidden file.
fn is_plain_name(text: &str) -> bool {
    let ordinary = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | ' ');
    !text.is_empty()
        && text.chars().all(ordinary)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && !text.ends_with(' ')
}

/// `OWNER/NAME` by the Hub's own rules, which keep its folder in the cache unique.
fn is_repository(text: &str) -> bool {
    let part = |part: &str| {
        is_plain_name(part)
            && !part.contains([' ', '+'])
            && !part.contains("--")
            && !part.contains("..")
    };
    text.len() <= MAX_LENGTH
        && text
            .split_once('/')
            .is_some_and(|(owner, name)| part(owner) && part(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_read_and_written_back() {
        let commit = "c1899de289a04d12100db370d81485cdf75e47ca";
        let whole = format!("Qwen/Qwen3-0.6B-GGUF@{commit}:Q8_0");
        for text in [
            "Qwen/Qwen3-0.6B",
            "Qwen/Qwen3-0.6B@refs/pr/1",
            "Qwen/Qwen3-0.6B-GGUF:Qwen3-0.6B-Q8_0.gguf",
            &whole,
        ] {
            assert_eq!(text.parse::<HubSource>().unwrap().to_string(), text);
        }
        let source: HubSource = whole.parse().unwrap();
        assert_eq!(source.repository(), "Qwen/Qwen3-0.6B-GGUF");
        assert_eq!(source.name(), "Qwen3-0.6B-GGUF");
        assert_eq!(source.revision(), commit);
        assert_eq!(source.gguf(), Some("Q8_0"));
        let main: HubSource = "a/b".parse().unwrap();
        assert_eq!((main.revision(), main.gguf()), ("main", None));
        assert_eq!(
            main.pinned(&commit.parse().unwrap(), None).to_string(),
            format!("a/b@{commit}")
        );
    }

    #[test]
    fn what_could_leave_its_folder_is_no_name() {
        for text in [
            "",
            "gpt2",
            "a/",
            "/b",
            "a/b/c",
            "../b",
            "a/..",
            "a/.b",
            "-a/b",
            "a--b/c",
            "a/b@",
            "a/b@../x",
            "a/b@/x",
            "a/b@x//y",
            "a/b:",
            "a/b:../x",
            "a/b:/x",
            "a/b:x\\y",
            "a/b?x",
            "a/b#x",
            "a/b%2e",
            "a/b\n",
            "a/b@x:y:z",
            "a b/c",
            "a/b:x/",
        ] {
            assert!(text.parse::<HubSource>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_commit_is_forty_lower_case_digits() {
        assert!(
            "c1899de289a04d12100db370d81485cdf75e47ca"
                .parse::<Commit>()
                .is_ok()
        );
        for text in [
            "",
            "../../x",
            "C1899DE289A04D12100DB370D81485CDF75E47CA",
            "c1899de",
        ] {
            assert!(text.parse::<Commit>().is_err(), "{text:?}");
        }
    }
}
