//! What can go wrong between the Hub and the cache, and what to do about it.

use std::path::PathBuf;

use crate::engine::EngineError;

/// Why a model could not be had from the Hub. No message holds a token, the user part of an address or
/// the query of one (redirects to storage are signed in it).
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// An environment variable that makes no sense.
    #[error("{variable}: {reason}")]
    Setting {
        /// Its name.
        variable: &'static str,
        /// What is wrong, without the value where that may be secret.
        reason: String,
    },
    /// No answer, or one that breaks off, however often it was asked for.
    #[error("{url}: {reason}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What happened the last time.
        reason: String,
    },
    /// An answer that is neither the file nor a reason known here.
    #[error("{url}: answers {status}{}", said(.message.as_deref()))]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the server says about it.
        message: Option<String>,
    },
    /// The model, its revision or a file of it is not there.
    #[error("{what} does not exist on the Hub")]
    NotFound {
        /// Which.
        what: String,
    },
    /// The Hub wants to know who asks, or does not believe it.
    #[error("{repository}: {}", if *.with_token { "the Hub does not accept the token" } else { "the Hub wants a token" })]
    Unauthorized {
        /// The model.
        repository: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The model's terms have to be accepted first.
    #[error("{repository}: access is restricted{}", said(.message.as_deref()))]
    Gated {
        /// The model.
        repository: String,
        /// Its page.
        page: String,
        /// What the Hub says about it.
        message: Option<String>,
    },
    /// An answer that no honest Hub gives.
    #[error("{url}: refused: {reason}")]
    Hostile {
        /// What was asked for.
        url: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// A file whose content is not what the Hub lists.
    #[error("{file}: {kind} {found} where the Hub lists {expected}")]
    Corrupt {
        /// The file.
        file: String,
        /// The kind of hash.
        kind: &'static str,
        /// The Hub's.
        expected: String,
        /// The content's.
        found: String,
    },
    /// Not in the cache while the Hub must not be asked.
    #[error("{what} is not in the cache at {}, and HF_HUB_OFFLINE is set", .cache.display())]
    Offline {
        /// What is missing.
        what: String,
        /// Where it was looked for.
        cache: PathBuf,
    },
    /// The repository does not hold one model that can be measured.
    #[error("{repository}: {reason}")]
    Choice {
        /// The model.
        repository: String,
        /// What is there instead.
        reason: String,
    },
    /// A file of the model that no engine can use.
    #[error(transparent)]
    Model(#[from] EngineError),
    /// The cache cannot be read or written.
    #[error("{}", .path.display())]
    Storage {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The files would not fit.
    #[error("{}: {needed_gib:.1} GiB needed, {free_gib:.1} GiB free", .path.display())]
    NoSpace {
        /// The cache.
        path: PathBuf,
        /// What is left to fetch.
        needed_gib: f64,
        /// What the disk has left.
        free_gib: f64,
    },
}

impl HubError {
    /// What to do about it, where something can be done.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Setting { .. } => "correct the environment variable or unset it".to_owned(),
            Self::Unreachable { reason, .. } if reason.contains("certificate") => {
                "if a proxy signs with a certificate of its own, name its file in SSL_CERT_FILE"
                    .to_owned()
            }
            Self::Unreachable { .. } | Self::Status { .. } => {
                "check the network and HF_ENDPOINT; what was fetched so far is kept".to_owned()
            }
            Self::NotFound { .. } => {
                "check the spelling; a private model needs HF_TOKEN".to_owned()
            }
            Self::Unauthorized {
                with_token: true, ..
            } => "make a new token at https://huggingface.co/settings/tokens; if the model is \
                  private, it must be its owner's"
                .to_owned(),
            Self::Unauthorized {
                with_token: false, ..
            } => "check the spelling; for a private or gated model set HF_TOKEN to a token of \
                  https://huggingface.co/settings/tokens"
                .to_owned(),
            Self::Gated { page, .. } => format!(
                "accept the terms at {page}, then set HF_TOKEN to a token of that account with \
                 read access"
            ),
            Self::Hostile { .. } => "is HF_ENDPOINT a mirror that can be trusted?".to_owned(),
            Self::Corrupt { .. } => {
                "run again to fetch it anew; if it stays, the mirror is broken".to_owned()
            }
            Self::Offline { .. } => {
                "fetch it once with HF_HUB_OFFLINE unset, or set HF_HUB_CACHE to where it is"
                    .to_owned()
            }
            Self::NoSpace { .. } => {
                "free some space, or set HF_HUB_CACHE to a folder on another disk".to_owned()
            }
            Self::Storage { .. } => "set HF_HUB_CACHE to a folder that can be written".to_owned(),
            Self::Choice { .. } | Self::Model(_) => return None,
        })
    }

    pub(super) fn storage(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Storage { path, source }
    }
}

fn said(message: Option<&str>) -> String {
    message.map_or_else(String::new, |message| format!(": {message}"))
}
