//! Addresses of the Hub: where a token may go, and where a redirect leads.

use std::fmt;

use ureq::http::Uri;

/// An address without a user part. What it prints has no query either, since storage signs its
/// addresses there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    scheme: Scheme,
    host: String,
    port: u16,
    /// Path and query, from the slash on.
    path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    const fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// An address and the user part that stood in it.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) address: Address,
    /// `user:password`, percent-encoded as it stood there.
    pub(super) user: Option<String>,
}

impl Address {
    /// Reads an absolute `http` or `https` address; `None` for anything else.
    pub(super) fn parse(text: &str) -> Option<Parsed> {
        let uri: Uri = text.parse().ok()?;
        let scheme = match uri.scheme_str()? {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        let authority = uri.authority()?;
        let user = authority.as_str().rsplit_once('@').map(|(user, _)| user);
        let host = authority.host();
        if host.is_empty() {
            return None;
        }
        Some(Parsed {
            address: Self {
                scheme,
                host: host.to_ascii_lowercase(),
                port: authority.port_u16().unwrap_or(scheme.port()),
                path: uri
                    .path_and_query()
                    .map_or("/", |path| path.as_str())
                    .to_owned(),
            },
            user: user.map(str::to_owned),
        })
    }

    /// The address with more path behind it.
    pub(super) fn join(&self, path: &str) -> Self {
        let mut joined = self.clone();
        joined.path = format!("{}/{path}", self.path.trim_end_matches('/'));
        joined
    }

    /// Where a `Location` leads from here; `None` if nowhere that may be followed: another scheme, a
    /// user part, or from https to http.
    pub(super) fn redirected(&self, location: &str) -> Option<Self> {
        let absolute = if location.contains("://") {
            location.to_owned()
        } else if let Some(rest) = location.strip_prefix("//") {
            format!("{}://{rest}", self.scheme.word())
        } else if location.starts_with('/') {
            format!("{}{location}", self.origin())
        } else {
            let path = self.path.split('?').next().unwrap_or("/");
            let folder = &path[..path.rfind('/').map_or(0, |at| at + 1)];
            format!("{}{folder}{location}", self.origin())
        };
        let Parsed { address, user } = Self::parse(&absolute)?;
        let weaker = self.scheme == Scheme::Https && address.scheme == Scheme::Http;
        (user.is_none() && !weaker).then_some(address)
    }

    /// Whether both are the same host, port and scheme.
    pub(super) fn same_origin(&self, other: &Self) -> bool {
        (self.scheme, self.port, &self.host) == (other.scheme, other.port, &other.host)
    }

    /// Whether a secret may travel there: encrypted, or not at all over a network.
    pub(super) fn keeps_secrets(&self) -> bool {
        self.is_https() || self.is_loopback()
    }

    /// Whether it is asked over TLS.
    pub(super) fn is_https(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// Whether the host is this machine.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.host.trim_matches(['[', ']']);
        host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }

    /// The whole address, for the request alone.
    pub(super) fn to_request(&self) -> String {
        format!("{}{}", self.origin(), self.path)
    }

    fn origin(&self) -> String {
        let (scheme, host) = (self.scheme.word(), &self.host);
        if self.port == self.scheme.port() {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{host}:{}", self.port)
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "{}{path}", self.origin())
    }
}

/// A path or a part of one as it may stand in an address; slashes stay.
pub(super) fn encoded(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap().address
    }

    #[test]
    fn what_is_shown_has_no_user_and_no_signature() {
        let parsed = Address::parse("http://me:secret@Mirror.example:8080/hf/?sig=abc").unwrap();
        assert_eq!(parsed.address.to_string(), "http://mirror.example:8080/hf/");
        assert_eq!(parsed.user.as_deref(), Some("me:secret"));
        assert_eq!(
            parsed.address.to_request(),
            "http://mirror.example:8080/hf/?sig=abc"
        );
        assert_eq!(
            address("https://hf.co").join("a/b").to_request(),
            "https://hf.co/a/b"
        );
        for text in [
            "",
            "hf.co",
            "ftp://hf.co",
            "https://",
            "file:///etc/passwd",
            "/x",
        ] {
            assert!(Address::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_redirect_leads_where_the_standard_says_and_never_to_less_protection() {
        let from = address("https://hf.co/a/b?c=d");
        for (location, to) in [
            ("/x/y", Some("https://hf.co/x/y")),
            ("z?q=1", Some("https://hf.co/a/z?q=1")),
            ("//cdn.hf.co/x", Some("https://cdn.hf.co/x")),
            ("https://cdn:444/x", Some("https://cdn:444/x")),
            ("http://hf.co/x", None),
            ("https://u:p@hf.co/x", None),
            ("file:///etc/passwd", None),
        ] {
            let led = from.redirected(location).map(|to| to.to_request());
            assert_eq!(led.as_deref(), to, "{location}");
        }
    }

    #[test]
    fn a_secret_travels_encrypted_or_not_at_all() {
        assert!(address("https://hf.co").keeps_secrets());
        assert!(address("http://127.0.0.1:80").keeps_secrets());
        assert!(address("http://[::1]:80").keeps_secrets());
        assert!(!address("http://hf.co").keeps_secrets());
        assert!(!address("http://127.0.0.1.evil.example").keeps_secrets());
        assert!(!address("http://localhost.evil.example").keeps_secrets());
    }

    #[test]
    fn the_origin_is_scheme_host_and_port() {
        let hub = address("http://127.0.0.1:1000/x");
        assert!(hub.same_origin(&address("http://127.0.0.1:1000/y")));
        assert!(!hub.same_origin(&address("http://127.0.0.1:1001/x")));
        assert!(!hub.same_origin(&address("http://localhost:1000/x")));
        assert!(address("https://hf.co").same_origin(&address("https://HF.co:443/x")));
    }

    #[test]
    fn what_is_not_plain_is_encoded() {
        assert_eq!(encoded("a b/c+d%"), "a%20b/c%2Bd%25");
    }
}
