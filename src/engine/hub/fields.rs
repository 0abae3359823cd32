//! What the fields of an answer say, of which none is believed that would leave the cache.

use std::time::Duration;

use ureq::Body;
use ureq::http::{HeaderMap, Response, StatusCode};

use super::address::Address;
use super::client::{Asked, hostile};
use super::error::HubError;
use super::listing::BlobId;
use crate::study::hub::Commit;

/// What the Hub says of a file in its headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Description {
    /// The content's name.
    pub(super) id: Option<BlobId>,
    /// The content's length.
    pub(super) size: Option<u64>,
}

/// Refuses an answer of the Hub that is of another commit or whose names would leave the cache.
pub(super) fn check(
    response: &Response<Body>,
    asked: &Asked<'_>,
    address: &Address,
) -> Result<(), HubError> {
    if let Some(value) = response.headers().get("x-repo-commit") {
        let commit = value.to_str().ok().and_then(|text| text.parse().ok());
        let commit: Commit = commit
            .ok_or_else(|| hostile(address, format!("X-Repo-Commit {value:?} is no commit")))?;
        if asked.commit.is_some_and(|expected| *expected != commit) {
            return Err(hostile(address, format!("is of commit {commit}")));
        }
    }
    if asked.file.is_none() {
        return Ok(());
    }
    described(response.headers(), response.status(), address).map(drop)
}

/// What the headers say of a content. `X-Linked-Etag` is always its name; `ETag` is only where the answer
/// is the content itself and no redirect to it.
pub(super) fn described(
    headers: &HeaderMap,
    status: StatusCode,
    address: &Address,
) -> Result<Description, HubError> {
    let linked = headers.get("x-linked-etag");
    let value = linked.or_else(|| headers.get("etag").filter(|_| status.is_success()));
    let id = match value {
        None => None,
        Some(value) => {
            let id = value.to_str().ok().and_then(BlobId::parse);
            Some(id.ok_or_else(|| {
                hostile(
                    address,
                    format!("its ETag {value:?} is no name of a content"),
                )
            })?)
        }
    };
    Ok(Description {
        id,
        size: number(headers, "x-linked-size"),
    })
}

/// Where a body begins in the content: what was asked for, or the start where the server ignores that.
pub(super) fn first_byte(
    response: &Response<Body>,
    asked: &Asked<'_>,
    address: &Address,
) -> Result<u64, HubError> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Ok(0);
    }
    let range = text(response.headers(), "content-range").unwrap_or_default();
    let first = range
        .strip_prefix("bytes ")
        .and_then(|range| range.split('-').next()?.parse().ok());
    if first == Some(asked.from) {
        return Ok(asked.from);
    }
    Err(hostile(
        address,
        format!(
            "sends the range {range:?} where byte {} was asked for",
            asked.from
        ),
    ))
}

/// Seconds to wait, given as such or as a date, for which the answer's own date is the present.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = text(headers, "retry-after")?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text| jiff::fmt::rfc2822::parse(text).ok();
    let (now, then) = (date(text(headers, "date")?)?, date(value)?);
    let seconds = then.timestamp().as_second() - now.timestamp().as_second();
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

/// A number.
pub(super) fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

/// A text.
pub(super) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                let name = ureq::http::HeaderName::from_static(name);
                (name, value.parse().unwrap())
            })
            .collect()
    }

    #[test]
    fn a_server_asks_for_a_wait_in_seconds_or_by_a_date() {
        let seconds = headers(&[("retry-after", "7")]);
        assert_eq!(retry_after(&seconds), Some(Duration::from_secs(7)));
        let date = headers(&[
            ("date", "Mon, 23 Nov 2026 19:00:00 GMT"),
            ("retry-after", "Mon, 23 Nov 2026 19:00:09 GMT"),
        ]);
        assert_eq!(retry_after(&date), Some(Duration::from_secs(9)));
        let past = headers(&[
            ("date", "Mon, 23 Nov 2026 19:00:09 GMT"),
            ("retry-after", "Mon, 23 Nov 2026 19:00:00 GMT"),
        ]);
        assert_eq!(retry_after(&past), None);
        assert_eq!(retry_after(&headers(&[("retry-after", "soon")])), None);
        assert_eq!(retry_after(&headers(&[])), None);
    }

    #[test]
    fn the_linked_name_is_that_of_the_content() {
        let address = Address::parse("http://hub/x").unwrap().address;
        let named = |fields: &[(&'static str, &str)], status| {
            let status = StatusCode::from_u16(status).unwrap();
            described(&headers(fields), status, &address).map(|description| description.id)
        };
        let both = [
            ("etag", "\"of/redirect\""),
            ("x-linked-etag", "\"content\""),
        ];
        assert_eq!(named(&both, 302).unwrap(), BlobId::parse("content"));
        // A framework's tag of its own text about the redirect.
        let base64 = [("etag", "W/\"5c-a+b/c=\"")];
        assert_eq!(named(&base64, 307).unwrap(), None);
        let message = named(&base64, 200).unwrap_err().to_string();
        assert!(message.contains("is no name of a content"), "{message}");
        let weak = [("etag", "W/\"content\"")];
        assert_eq!(named(&weak, 200).unwrap(), BlobId::parse("content"));
    }
}
