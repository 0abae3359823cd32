//! Where the Hub and its cache are and who asks: the environment variables of huggingface_hub.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;

use super::address::{Address, Parsed};
use super::error::HubError;
use super::network::Network;

/// The Hub itself.
const HUB: &str = "https://huggingface.co";
/// Silence that huggingface_hub bears before it asks again (HF_HUB_DOWNLOAD_TIMEOUT).
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// A value for the `Authorization` header; it has no way to be printed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credential(String);

impl Credential {
    fn bearer(token: &str) -> Self {
        Self(format!("Bearer {token}"))
    }

    /// From the user part of an address.
    fn basic(user: &str) -> Self {
        let encoded = base64::engine::general_purpose::STANDARD.encode(user);
        Self(format!("Basic {encoded}"))
    }

    /// The header's value, for the request alone.
    pub(super) fn header(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

/// Whether a token is sent, and where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenState {
    /// There is none.
    Absent,
    /// In HF_TOKEN.
    Variable,
    /// In the file of HF_TOKEN_PATH or HF_HOME.
    File,
    /// HF_HUB_DISABLE_IMPLICIT_TOKEN keeps any from being sent.
    Disabled,
    /// There is one, but the endpoint is neither https nor this machine.
    Withheld,
}

/// How long to wait and how often to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the next bytes of an answer.
    pub read: Duration,
    /// Attempts in all before a failure that may pass is taken for one that does not.
    pub attempts: u32,
    /// Before the second attempt; doubled before each further one.
    pub backoff: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            read: READ_TIMEOUT,
            attempts: 5,
            backoff: Duration::from_millis(500),
        }
    }
}

/// Where the Hub and its cache are, who asks, and how patiently.
#[derive(Debug, Clone)]
pub struct Settings {
    pub(super) endpoint: Address,
    pub(super) credential: Option<Credential>,
    token: TokenState,
    cache: PathBuf,
    offline: bool,
    patience: Patience,
    pub(super) network: Network,
}

impl Settings {
    /// Settings from variables that `lookup` finds.
    pub fn from_variables(
        lookup: &dyn Fn(&'static str) -> Option<OsString>,
    ) -> Result<Self, HubError> {
        let variables = Variables::new(lookup);
        let Parsed { address, user } = endpoint(&variables)?;
        let (mut credential, mut token) = token(&variables)?;
        if credential.is_some() && !address.keeps_secrets() {
            (credential, token) = (None, TokenState::Withheld);
        }
        let user = user.filter(|_| credential.is_none() && address.keeps_secrets());
        let offline = variables.is_on("HF_HUB_OFFLINE");
        Ok(Self {
            network: if offline {
                Network::default()
            } else {
                Network::to(&address, &variables)?
            },
            credential: credential.or_else(|| user.as_deref().map(Credential::basic)),
            endpoint: address,
            token,
            cache: cache(&variables)?,
            offline,
            patience: Patience {
                read: read_timeout(&variables)?,
                ..Patience::default()
            },
        })
    }

    /// The same with other waits, for a Hub on this machine.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// The folder that holds `models--OWNER--NAME`.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Whether the Hub must not be asked.
    pub fn offline(&self) -> bool {
        self.offline
    }

    /// Whether a token is sent.
    pub fn token(&self) -> TokenState {
        self.token
    }

    /// The Hub's address without a user part.
    pub fn endpoint(&self) -> String {
        self.endpoint.to_string().trim_end_matches('/').to_owned()
    }

    /// The variables that say how the Hub is reached: through a proxy, by other certificates.
    pub fn ways(&self) -> &[&'static str] {
        &self.network.variables
    }

    /// Waits and attempts.
    pub fn patience(&self) -> Patience {
        self.patience
    }
}

/// Environment variables, of which an empty one counts as absent.
pub(super) struct Variables<'a>(&'a dyn Fn(&'static str) -> Option<OsString>);

impl<'a> Variables<'a> {
    /// Variables that `lookup` finds.
    pub(super) fn new(lookup: &'a dyn Fn(&'static str) -> Option<OsString>) -> Self {
        Self(lookup)
    }

    fn path(&self, name: &'static str) -> Option<PathBuf> {
        let value = (self.0)(name).filter(|value| !value.is_empty())?;
        Some(PathBuf::from(value))
    }

    /// A value without the space around it.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<String>, HubError> {
        let Some(value) = (self.0)(name) else {
            return Ok(None);
        };
        let text = value.into_string().map_err(|_| HubError::Setting {
            variable: name,
            reason: "is not UTF-8".to_owned(),
        })?;
        let text = text.trim();
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    /// The words that huggingface_hub takes for yes.
    fn is_on(&self, name: &'static str) -> bool {
        (self.0)(name).is_some_and(|value| {
            let value = value.to_string_lossy().to_uppercase();
            ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
        })
    }
}

fn endpoint(variables: &Variables<'_>) -> Result<Parsed, HubError> {
    let text = variables.text("HF_ENDPOINT")?;
    let parsed = Address::parse(text.as_deref().unwrap_or(HUB));
    parsed.ok_or_else(|| HubError::Setting {
        variable: "HF_ENDPOINT",
        // The value may hold a password.
        reason: format!("is no http or https address; the Hub's is {HUB}"),
    })
}

/// The token as huggingface_hub finds it.
fn token(variables: &Variables<'_>) -> Result<(Option<Credential>, TokenState), HubError> {
    if variables.is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
        return Ok((None, TokenState::Disabled));
    }
    if let Some(token) = variables.text("HF_TOKEN")? {
        return Ok((Some(credential("HF_TOKEN", &token)?), TokenState::Variable));
    }
    let path = match variables.path("HF_TOKEN_PATH") {
        Some(path) => Some(expanded(path, variables)),
        None => home(variables).map(|home| home.join("token")),
    };
    let text = path.and_then(|path| std::fs::read_to_string(path).ok());
    match text.as_deref().map(str::trim) {
        None | Some("") => Ok((None, TokenState::Absent)),
        Some(token) => Ok((Some(credential("HF_TOKEN_PATH", token)?), TokenState::File)),
    }
}

/// A token that can stand in a header.
fn credential(variable: &'static str, token: &str) -> Result<Credential, HubError> {
    if token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(Credential::bearer(token));
    }
    Err(HubError::Setting {
        variable,
        reason: "holds something that is no token: spaces or control characters".to_owned(),
    })
}

/// HF_HUB_CACHE, or `hub` below HF_HOME.
fn cache(variables: &Variables<'_>) -> Result<PathBuf, HubError> {
    let (variable, path) = match variables.path("HF_HUB_CACHE") {
        Some(path) => ("HF_HUB_CACHE", Some(expanded(path, variables))),
        None => ("HF_HOME", home(variables).map(|home| home.join("hub"))),
    };
    let refuse = |reason: &str| HubError::Setting {
        variable,
        reason: reason.to_owned(),
    };
    let path = path.ok_or_else(|| refuse("not set, and neither is HOME"))?;
    // The worker is told the path in JSON.
    if path.to_str().is_none() {
        return Err(refuse("is not UTF-8"));
    }
    std::path::absolute(&path).map_err(HubError::storage(path))
}

/// HF_HOME, or `huggingface` below the user's cache.
fn home(variables: &Variables<'_>) -> Option<PathBuf> {
    if let Some(path) = variables.path("HF_HOME") {
        return Some(expanded(path, variables));
    }
    let cache = variables
        .path("XDG_CACHE_HOME")
        .or_else(|| Some(variables.path("HOME")?.join(".cache")))?;
    Some(cache.join("huggingface"))
}

/// A path with the `~` of its start replaced.
fn expanded(path: PathBuf, variables: &Variables<'_>) -> PathBuf {
    match (path.strip_prefix("~"), variables.path("HOME")) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}

fn read_timeout(variables: &Variables<'_>) -> Result<Duration, HubError> {
    let Some(text) = variables.text("HF_HUB_DOWNLOAD_TIMEOUT")? else {
        return Ok(READ_TIMEOUT);
    };
    match text.parse::<u32>() {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(u64::from(seconds))),
        Ok(_) | Err(_) => Err(HubError::Setting {
            variable: "HF_HUB_DOWNLOAD_TIMEOUT",
            reason: format!("`{text}` is no whole number of seconds above 0"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&'static str, &str)]) -> Result<Settings, HubError> {
        let variables: Vec<_> = variables.to_vec();
        Settings::from_variables(&|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[track_caller]
    fn cache_is(variables: &[(&'static str, &str)], expected: &str) {
        assert_eq!(settings(variables).unwrap().cache(), Path::new(expected));
    }

    #[test]
    fn the_cache_is_where_huggingface_hub_has_it() {
        cache_is(&[("HOME", "/h")], "/h/.cache/huggingface/hub");
        cache_is(
            &[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")],
            "/x/huggingface/hub",
        );
        cache_is(&[("HOME", "/h"), ("HF_HOME", "/f")], "/f/hub");
        cache_is(&[("HOME", "/h"), ("HF_HOME", "~/f")], "/h/f/hub");
        cache_is(&[("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c")], "/c");
        cache_is(
            &[("HF_HOME", ""), ("HOME", "/h")],
            "/h/.cache/huggingface/hub",
        );
        let here = std::path::absolute("rel/hub").unwrap();
        cache_is(&[("HF_HOME", "rel")], here.to_str().unwrap());
    }

    #[test]
    fn without_a_home_the_remedy_is_named() {
        let error = settings(&[]).unwrap_err().to_string();
        assert_eq!(error, "HF_HOME: not set, and neither is HOME");
    }

    #[test]
    fn the_token_comes_from_the_variable_then_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "hf_file\n").unwrap();
        let home = folder.path().to_str().unwrap();
        let sent = |variables: &[(&'static str, &str)]| {
            let settings = settings(variables).unwrap();
            let header = settings.credential.as_ref().map(|c| c.header().to_owned());
            (settings.token(), header)
        };
        let file = Some("Bearer hf_file".to_owned());
        assert_eq!(sent(&[("HF_HOME", home)]), (TokenState::File, file.clone()));
        assert_eq!(
            sent(&[
                ("HF_HOME", "/none"),
                ("HF_TOKEN_PATH", path.to_str().unwrap())
            ]),
            (TokenState::File, file)
        );
        assert_eq!(
            sent(&[("HF_HOME", home), ("HF_TOKEN", " hf_variable\n")]),
            (TokenState::Variable, Some("Bearer hf_variable".to_owned()))
        );
        assert_eq!(
            sent(&[("HF_HOME", home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]),
            (TokenState::Disabled, None)
        );
        assert_eq!(sent(&[("HF_HOME", "/none")]), (TokenState::Absent, None));
        let plain = [("HF_HOME", home), ("HF_ENDPOINT", "http://mirror.example")];
        assert_eq!(sent(&plain), (TokenState::Withheld, None));
    }

    #[test]
    fn the_user_part_of_an_endpoint_is_sent_as_such_and_shown_nowhere() {
        let settings = settings(&[
            ("HF_HOME", "/none"),
            ("HF_ENDPOINT", "https://user:s3cret@mirror.example/hf"),
        ])
        .unwrap();
        let header = settings.credential.as_ref().unwrap().header();
        assert_eq!(header, "Basic dXNlcjpzM2NyZXQ=");
        assert_eq!(settings.endpoint(), "https://mirror.example/hf");
        assert!(!format!("{settings:?}").contains("s3cret"));
        assert!(!format!("{settings:?}").contains("dXNl"));
    }

    #[test]
    fn a_variable_that_makes_no_sense_is_refused_without_its_value() {
        for (name, value) in [
            ("HF_ENDPOINT", "ftp://s3cret@x"),
            ("HF_TOKEN", "s3cret with spaces"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "0"),
        ] {
            let error = settings(&[("HOME", "/h"), (name, value)]).unwrap_err();
            assert!(error.to_string().starts_with(name), "{error}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn paths_that_are_not_text_are_refused() {
        use std::os::unix::ffi::OsStringExt as _;
        let odd = OsString::from_vec(vec![b'/', 0xff]);
        let error = Settings::from_variables(&|name| (name == "HF_HOME").then(|| odd.clone()));
        assert_eq!(error.unwrap_err().to_string(), "HF_HOME: is not UTF-8");
    }

    #[test]
    fn offline_takes_the_usual_words() {
        for (word, offline) in [
            ("1", true),
            ("true", true),
            ("Yes", true),
            ("0", false),
            ("", false),
        ] {
            let settings = settings(&[("HOME", "/h"), ("HF_HUB_OFFLINE", word)]).unwrap();
            assert_eq!(settings.offline(), offline, "{word}");
        }
    }
}
