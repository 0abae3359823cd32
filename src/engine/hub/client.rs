//! Requests to the Hub: the token to it alone, redirects followed by hand, and failures that may pass
//! tried again.

use std::io::Read;
use std::time::Duration;

use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use super::Event;
use super::address::Address;
use super::error::HubError;
use super::fields::{self, Description, described, first_byte, number, retry_after, text};
use super::settings::{Patience, Settings};
use crate::study::hub::{Commit, HubSource};

/// Redirects that are followed; the Hub needs two.
const MAX_HOPS: u32 = 5;
/// Longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// Longest wait of our own between two attempts.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// A download that came this much further starts counting its failures anew.
const PROGRESS: u64 = 64 << 20;
/// Longest text of a server that a message repeats.
const SAID: usize = 200;

/// How one attempt failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Trying again is of no use.
    Final(HubError),
    /// It may pass.
    Again {
        /// What to say if it does not.
        error: HubError,
        /// How long the server wants to be left alone.
        wait: Option<Duration>,
        /// Bytes that the attempt brought all the same.
        gained: u64,
    },
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        Self::Final(error)
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Asked<'a> {
    /// Where it is.
    pub(super) address: Address,
    /// The model it belongs to.
    pub(super) source: &'a HubSource,
    /// The file, or `None` for the model itself.
    pub(super) file: Option<&'a str>,
    /// The commit that the answer must be of, where it says.
    pub(super) commit: Option<&'a Commit>,
    /// First byte of the content that is wanted.
    pub(super) from: u64,
    /// Bytes from there on, where not all of them are wanted.
    pub(super) length: Option<u64>,
}

impl Asked<'_> {
    /// The value of the `Range` header, unless the whole content is wanted.
    fn range(&self) -> Option<String> {
        match (self.from, self.length) {
            (0, None) => None,
            (from, None) => Some(format!("bytes={from}-")),
            (from, Some(length)) => Some(format!("bytes={from}-{}", (from + length).max(1) - 1)),
        }
    }
}

/// An answer whose body has not been read.
pub(super) struct Answer {
    /// First byte of the content that the body begins with.
    pub(super) from: u64,
    /// The body.
    pub(super) body: Box<dyn Read>,
    /// Where it comes from at last, for messages.
    pub(super) url: String,
}

/// Method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Get,
    Head,
}

/// A connection to the Hub and whomever it redirects to.
pub(super) struct Client<'a> {
    agent: Agent,
    settings: &'a Settings,
}

impl<'a> Client<'a> {
    /// A client; nothing is connected yet.
    pub(super) fn new(settings: &'a Settings) -> Self {
        let patience = settings.patience();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("mtok/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .timeout_send_request(Some(patience.read))
            .timeout_recv_response(Some(patience.read))
            .timeout_per_read(Some(patience.read))
            .timeout_per_write(Some(patience.read))
            .tls_config(settings.network.tls())
            .proxy(settings.network.proxy());
        Self {
            agent: config.build().new_agent(),
            settings,
        }
    }

    /// Does something until it works, fails for good or has failed too often.
    pub(super) fn persist<T>(
        &self,
        notify: &mut dyn FnMut(Event<'_>),
        mut attempt: impl FnMut(&mut dyn FnMut(Event<'_>)) -> Result<T, Failure>,
    ) -> Result<T, HubError> {
        let patience = self.settings.patience();
        let mut failures = 0;
        loop {
            let (error, asked, gained) = match attempt(notify) {
                Ok(done) => return Ok(done),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again {
                    error,
                    wait,
                    gained,
                }) => (error, wait, gained),
            };
            failures = if gained >= PROGRESS { 1 } else { failures + 1 };
            let wait = asked.unwrap_or_else(|| backoff(patience, failures));
            if failures >= patience.attempts || wait > LONGEST_WAIT {
                return Err(error);
            }
            notify(Event::Waits {
                reason: &error,
                wait,
            });
            std::thread::sleep(wait);
        }
    }

    /// Asks once for a content.
    pub(super) fn get(&self, asked: &Asked<'_>) -> Result<Answer, Failure> {
        let (response, address) = self.follow(asked, Method::Get)?;
        let from = first_byte(&response, asked, &address)?;
        Ok(Answer {
            from,
            body: Box::new(response.into_body().into_reader()),
            url: address.to_string(),
        })
    }

    /// Asks once for a content that fits in memory.
    pub(super) fn read(&self, asked: &Asked<'_>, limit: u64) -> Result<Vec<u8>, Failure> {
        let answer = self.get(asked)?;
        let mut bytes = Vec::new();
        answer
            .body
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| broken(&answer.url, &error.to_string(), 0))?;
        if bytes.len() as u64 > limit {
            return Err(hostile(&answer.url, format!("is longer than {limit} bytes")).into());
        }
        Ok(bytes)
    }

    /// Asks once for the first bytes of a content.
    pub(super) fn read_start(&self, asked: &Asked<'_>, length: u64) -> Result<Vec<u8>, Failure> {
        let answer = self.get(&Asked {
            length: Some(length),
            ..asked.clone()
        })?;
        let mut bytes = Vec::new();
        answer
            .body
            .take(length)
            .read_to_end(&mut bytes)
            .map_err(|error| broken(&answer.url, &error.to_string(), 0))?;
        if bytes.len() as u64 == length {
            return Ok(bytes);
        }
        let reason = format!("ends after {} of {length} bytes", bytes.len());
        Err(broken(&answer.url, &reason, 0))
    }

    /// Asks once what a file is.
    pub(super) fn describe(&self, asked: &Asked<'_>) -> Result<Description, Failure> {
        let (response, address) = self.follow(asked, Method::Head)?;
        let mut description = described(response.headers(), response.status(), &address)?;
        if description.size.is_none() && response.status().is_success() {
            description.size = number(response.headers(), "content-length");
        }
        Ok(description)
    }

    /// Asks once without regard to what the answer is, and says its status.
    pub(super) fn status(&self, path: &str) -> Result<u16, HubError> {
        let address = self.settings.endpoint.join(path);
        match self.send(&address, Method::Get, None) {
            Ok(response) => Ok(response.status().as_u16()),
            Err(error) => Err(unreachable(&address, &error)),
        }
    }

    /// Follows redirects to a content. A description stands in the Hub's own answer, which for large
    /// files is a redirect to its storage.
    fn follow(
        &self,
        asked: &Asked<'_>,
        method: Method,
    ) -> Result<(Response<Body>, Address), Failure> {
        let mut address = asked.address.clone();
        for _ in 0..=MAX_HOPS {
            let response = self
                .send(&address, method, asked.range())
                .map_err(|error| Failure::Again {
                    error: unreachable(&address, &error),
                    wait: None,
                    gained: 0,
                })?;
            let ours = self.settings.endpoint.same_origin(&address);
            if ours {
                fields::check(&response, asked, &address)?;
            }
            let status = response.status();
            if !is_redirect(status) {
                return if status.is_success() {
                    Ok((response, address))
                } else {
                    Err(self.refusal(asked, &response, &address))
                };
            }
            let location = text(response.headers(), "location");
            let next = location.and_then(|location| address.redirected(location));
            let next = next.ok_or_else(|| {
                hostile(&address, "redirects to where no file can be fetched from")
            })?;
            // What describes a large file stands in the redirect to it.
            let is_described = response.headers().contains_key("x-linked-size");
            if method == Method::Head && is_described {
                return Ok((response, address));
            }
            address = next;
        }
        Err(hostile(&address, format!("redirects more than {MAX_HOPS} times")).into())
    }

    /// One request. The credential goes to the endpoint and to nobody else.
    fn send(
        &self,
        address: &Address,
        method: Method,
        range: Option<String>,
    ) -> Result<Response<Body>, ureq::Error> {
        let url = address.to_request();
        let mut request = match method {
            Method::Get => self.agent.get(url),
            Method::Head => self.agent.head(url),
        }
        .header("accept-encoding", "identity");
        let credential = self.settings.credential.as_ref();
        if let Some(credential) = credential.filter(|_| self.settings.endpoint.same_origin(address))
        {
            let mut value = ureq::http::HeaderValue::from_str(credential.header())
                .map_err(|error| ureq::Error::Http(error.into()))?;
            value.set_sensitive(true);
            request = request.header("authorization", value);
        }
        if let Some(range) = range {
            request = request.header("range", range);
        }
        request.call()
    }

    /// What an answer means that is neither a content nor a redirect.
    fn refusal(&self, asked: &Asked<'_>, response: &Response<Body>, address: &Address) -> Failure {
        let headers = response.headers();
        let status = response.status().as_u16();
        let message =
            text(headers, "x-error-message").map(|text| text.chars().take(SAID).collect());
        let code = text(headers, "x-error-code").unwrap_or_default();
        let repository = asked.source.repository().to_owned();
        let unexplained = HubError::Status {
            url: address.to_string(),
            status,
            message,
        };
        if !self.settings.endpoint.same_origin(address) {
            // Storage refuses when the signature of its address is too old; the Hub gives a new one.
            return again(unexplained, retry_after(headers));
        }
        match (status, code) {
            (408 | 425 | 429 | 500 | 502..=504, _) => again(unexplained, retry_after(headers)),
            (401 | 403, "GatedRepo") | (403, _) => Failure::Final(self.gated(asked, unexplained)),
            (401, _) => Failure::Final(HubError::Unauthorized {
                repository,
                with_token: self.settings.credential.is_some(),
            }),
            (404, code) => Failure::Final(HubError::NotFound {
                what: missing(asked, code),
            }),
            _ => Failure::Final(unexplained),
        }
    }

    fn gated(&self, asked: &Asked<'_>, unexplained: HubError) -> HubError {
        let repository = asked.source.repository();
        HubError::Gated {
            repository: repository.to_owned(),
            page: self.settings.endpoint.join(repository).to_string(),
            message: match unexplained {
                HubError::Status { message, .. } => message,
                _ => None,
            },
        }
    }
}

/// Doubles from attempt to attempt.
fn backoff(patience: Patience, failures: u32) -> Duration {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
    patience.backoff.saturating_mul(factor).min(LONGEST_BACKOFF)
}

/// What a 404 is about.
fn missing(asked: &Asked<'_>, code: &str) -> String {
    let (repository, revision) = (asked.source.repository(), asked.source.revision());
    match (code, asked.file) {
        ("RevisionNotFound", _) => format!("revision {revision} of {repository}"),
        ("RepoNotFound", _) | (_, None) => format!("model {repository}"),
        (_, Some(file)) => format!("file {file} of {repository}"),
    }
}

fn again(error: HubError, wait: Option<Duration>) -> Failure {
    Failure::Again {
        error,
        wait,
        gained: 0,
    }
}

/// An answer that breaks off after `gained` bytes.
pub(super) fn broken(url: &str, reason: &str, gained: u64) -> Failure {
    Failure::Again {
        error: HubError::Unreachable {
            url: url.to_owned(),
            reason: reason.to_owned(),
        },
        wait: None,
        gained,
    }
}

fn unreachable(address: &Address, error: &ureq::Error) -> HubError {
    HubError::Unreachable {
        url: address.to_string(),
        reason: error.to_string(),
    }
}

pub(super) fn hostile(url: &impl ToString, reason: impl Into<String>) -> HubError {
    HubError::Hostile {
        url: url.to_string(),
        reason: reason.into(),
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_limit() {
        let patience = Patience::default();
        let waits: Vec<u128> = (1..=8).map(|n| backoff(patience, n).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
    }
}
