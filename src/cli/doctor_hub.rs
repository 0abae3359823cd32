//! What `mtok doctor` says of the Hub: whether it answers, where its cache is, whether a token is sent.

use std::path::Path;
use std::time::Duration;

use super::doctor::{Finding, State};
use super::hub;
use crate::engine::hub::{Hub, Patience, Reach, Settings, TokenState};

/// Enough for the models that one starts with.
const ENOUGH: u64 = 20 << 30;

/// The findings; a token is never shown.
pub(super) fn findings() -> Vec<Finding> {
    match hub::settings() {
        Ok(settings) => vec![hub(&settings), token(&settings), cache(&settings)],
        Err(error) => vec![Finding {
            what: "Hub".to_owned(),
            card: None,
            state: State::Missing,
            found: error.to_string(),
            remedy: error.hint(),
        }],
    }
}

/// Whether the Hub answers, without the patience of a download.
fn hub(settings: &Settings) -> Finding {
    let impatient = settings.clone().with_patience(Patience {
        connect: Duration::from_secs(3),
        read: Duration::from_secs(5),
        ..Patience::default()
    });
    let ways = settings.ways();
    let endpoint = if ways.is_empty() {
        settings.endpoint()
    } else {
        format!("{} (by way of {})", settings.endpoint(), ways.join(", "))
    };
    let (state, found, remedy) = match Hub::new(impatient).reach() {
        Ok(Reach::Offline) => (
            State::Ok,
            "not asked: HF_HUB_OFFLINE is set".to_owned(),
            None,
        ),
        Ok(Reach::Answers) => (State::Ok, format!("{endpoint} answers"), None),
        Ok(Reach::KnowsToken) => (
            State::Ok,
            format!("{endpoint} answers and accepts the token"),
            None,
        ),
        Ok(Reach::RefusesToken) => (
            State::Doubtful,
            format!("{endpoint} answers and does not accept the token"),
            Some("make a new one at https://huggingface.co/settings/tokens, or unset HF_TOKEN"),
        ),
        Ok(Reach::Fails(status)) => (
            State::Doubtful,
            format!("{endpoint} answers {status}"),
            Some("check HF_ENDPOINT, or try later"),
        ),
        Err(error) => (
            State::Doubtful,
            format!("no answer: {error}"),
            Some("for hub: models check the network, its proxy and HF_ENDPOINT"),
        ),
    };
    finding("Hub", state, found, remedy)
}

fn token(settings: &Settings) -> Finding {
    let (state, found, remedy) = match settings.token() {
        TokenState::Absent => (
            State::Ok,
            "none; gated and private models want one in HF_TOKEN",
            None,
        ),
        TokenState::Variable => (State::Ok, "present, in HF_TOKEN", None),
        TokenState::File => (State::Ok, "present, in its file", None),
        TokenState::Disabled => (
            State::Ok,
            "none is sent: HF_HUB_DISABLE_IMPLICIT_TOKEN is set",
            None,
        ),
        TokenState::Withheld => (
            State::Doubtful,
            "present, but not sent: the endpoint is not https",
            Some("use an https address in HF_ENDPOINT"),
        ),
    };
    finding("Hub token", state, found.to_owned(), remedy)
}

/// Where models are kept and how much more fits there.
fn cache(settings: &Settings) -> Finding {
    let cache = settings.cache();
    let remedy = Some("set HF_HUB_CACHE to a folder on a disk with more space");
    match free(cache) {
        Ok(free) => {
            let gib = free as f64 / f64::from(1_u32 << 30);
            let found = format!("{}: {}, {gib:.1} GiB free", cache.display(), models(cache));
            if free >= ENOUGH {
                finding("Hub cache", State::Ok, found, None)
            } else {
                finding("Hub cache", State::Doubtful, found, remedy)
            }
        }
        Err(error) => finding(
            "Hub cache",
            State::Missing,
            format!("{}: {error}", cache.display()),
            remedy,
        ),
    }
}

/// Free space of the disk that holds a folder, or is going to.
fn free(folder: &Path) -> std::io::Result<u64> {
    let there = folder.ancestors().find(|folder| folder.exists());
    let stat = rustix::fs::statvfs(there.unwrap_or(Path::new("/")))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// How many models are in the cache.
fn models(cache: &Path) -> String {
    let is_model = |entry: &std::fs::DirEntry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with("models--")
    };
    let entries = std::fs::read_dir(cache).into_iter().flatten();
    match entries.filter_map(Result::ok).filter(is_model).count() {
        1 => "1 model".to_owned(),
        count => format!("{count} models"),
    }
}

fn finding(what: &str, state: State, found: String, remedy: Option<&str>) -> Finding {
    Finding {
        what: what.to_owned(),
        card: None,
        state,
        found,
        remedy: remedy.map(str::to_owned),
    }
}
