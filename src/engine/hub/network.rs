//! The way to the Hub: through which proxy, and whose certificates are trusted. The environment variables
//! are those of requests, httpx and curl, since networks of companies and clusters set them.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use ureq::Proxy;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::address::Address;
use super::error::HubError;
use super::settings::Variables;

/// Files of certificates, the first that is set.
const BUNDLES: [&str; 3] = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"];
/// Proxies by the scheme of the endpoint, the first that is set.
const FOR_HTTPS: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const FOR_HTTP: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
/// Hosts that are reached without a proxy.
const EXCEPT: [&str; 2] = ["no_proxy", "NO_PROXY"];
/// Largest file of certificates that is read; Mozilla's has 0.2 MB.
const LIMIT: u64 = 16 << 20;

/// How requests travel.
#[derive(Debug, Clone, Default)]
pub(super) struct Network {
    proxy: Option<Proxy>,
    /// Those whose certificates are trusted in place of Mozilla's list.
    authorities: Option<Arc<Vec<Certificate<'static>>>>,
    /// The variables that say so.
    pub(super) variables: Vec<&'static str>,
}

impl Network {
    /// The way to an endpoint. This machine is reached without a proxy.
    pub(super) fn to(endpoint: &Address, variables: &Variables<'_>) -> Result<Self, HubError> {
        let mut network = Self::default();
        if !endpoint.is_loopback() {
            let names = if endpoint.is_https() {
                FOR_HTTPS
            } else {
                FOR_HTTP
            };
            if let Some((name, text)) = first(&names, variables)? {
                network.proxy = Some(proxy(name, &text, variables)?);
                network.variables.push(name);
            }
        }
        if endpoint.is_https()
            && let Some((name, path)) = first(&BUNDLES, variables)?
        {
            let authorities =
                authorities(Path::new(&path)).map_err(|reason| HubError::Setting {
                    variable: name,
                    reason: format!("{path}: {reason}"),
                })?;
            network.authorities = Some(Arc::new(authorities));
            network.variables.push(name);
        }
        Ok(network)
    }

    /// The proxy, for the agent.
    pub(super) fn proxy(&self) -> Option<Proxy> {
        self.proxy.clone()
    }

    /// Who is trusted, for the agent.
    pub(super) fn tls(&self) -> TlsConfig {
        let roots = match &self.authorities {
            Some(authorities) => RootCerts::Specific(Arc::clone(authorities)),
            None => RootCerts::WebPki,
        };
        TlsConfig::builder().root_certs(roots).build()
    }
}

/// The first of several variables that is set, and its value.
fn first(
    names: &[&'static str],
    variables: &Variables<'_>,
) -> Result<Option<(&'static str, String)>, HubError> {
    for name in names {
        if let Some(text) = variables.text(name)? {
            return Ok(Some((name, text)));
        }
    }
    Ok(None)
}

fn proxy(name: &'static str, text: &str, variables: &Variables<'_>) -> Result<Proxy, HubError> {
    // The value may hold a password.
    let refuse = |_| HubError::Setting {
        variable: name,
        reason: "is no http or https address of a proxy".to_owned(),
    };
    let given = Proxy::new(text).map_err(refuse)?;
    if !matches!(given.uri().scheme_str(), Some("http" | "https")) {
        return Err(refuse(ureq::Error::InvalidProxyUrl));
    }
    let mut proxy = Proxy::builder(given.protocol())
        .host(given.host())
        .port(given.port());
    if let Some(user) = given.username() {
        proxy = proxy.username(user);
    }
    if let Some(password) = given.password() {
        proxy = proxy.password(password);
    }
    let except = first(&EXCEPT, variables)?.map_or(String::new(), |(_, hosts)| hosts);
    for host in except
        .split(',')
        .map(str::trim)
        .filter(|host| !host.is_empty())
    {
        // Everybody else takes a plain name for the hosts below it too.
        proxy = proxy
            .no_proxy(host)
            .no_proxy(&format!(".{}", host.trim_start_matches('.')));
    }
    proxy.build().map_err(refuse)
}

/// The certificates of a file.
fn authorities(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LIMIT {
        return Err(format!("larger than {LIMIT} bytes"));
    }
    let mut certificates = Vec::new();
    for item in parse_pem(&bytes) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(format!("is not PEM: {error}")),
        }
    }
    if certificates.is_empty() {
        return Err("holds no certificate in PEM".to_owned());
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    const HUB: &str = "https://hub.example";

    fn network(endpoint: &str, set: &[(&'static str, &str)]) -> Result<Network, HubError> {
        let endpoint = Address::parse(endpoint).unwrap().address;
        let lookup = |name: &'static str| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Network::to(&endpoint, &Variables::new(&lookup))
    }

    #[track_caller]
    fn goes_through(endpoint: &str, set: &[(&'static str, &str)], proxy: Option<(&str, u16)>) {
        let network = network(endpoint, set).unwrap();
        let found = network
            .proxy
            .as_ref()
            .map(|proxy| (proxy.host(), proxy.port()));
        assert_eq!(found, proxy, "{set:?}");
    }

    #[test]
    fn the_proxy_is_that_of_the_scheme() {
        let set = [
            ("HTTPS_PROXY", "http://secure:1"),
            ("http_proxy", "plain:2"),
            ("ALL_PROXY", "https://every:3"),
        ];
        goes_through(HUB, &set, Some(("secure", 1)));
        goes_through("http://hub.example", &set, Some(("plain", 2)));
        goes_through(HUB, &set[2..], Some(("every", 3)));
        goes_through("https://localhost:8443", &set, None);
        goes_through(HUB, &[], None);
    }

    #[test]
    fn hosts_are_left_out_of_it_with_those_below_them() {
        let proxied = |except: &str, host: &str| {
            let set = [
                ("HTTPS_PROXY", "http://u:p%40@proxy:1"),
                ("NO_PROXY", except),
            ];
            let proxy = network(HUB, &set).unwrap().proxy.unwrap();
            assert_eq!(
                (proxy.username(), proxy.password()),
                (Some("u"), Some("p@"))
            );
            let uri = format!("https://{host}/x").parse().unwrap();
            !proxy.is_no_proxy(&uri)
        };
        assert!(proxied("", "hub.example"));
        assert!(proxied("other.example, ple", "hub.example"));
        for except in ["hub.example", "other, example", ".example", "*"] {
            assert!(!proxied(except, "hub.example"), "{except}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_its_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let file = path.to_str().unwrap();
        std::fs::write(&path, "no certificate").unwrap();
        for (name, value, reason) in [
            (
                "HTTPS_PROXY",
                "socks5://u:s3cret@proxy:1",
                "is no http or https address",
            ),
            ("ALL_PROXY", "http://", "is no http or https address"),
            ("SSL_CERT_FILE", file, "holds no certificate in PEM"),
            (
                "CURL_CA_BUNDLE",
                "/none/ca.pem",
                "/none/ca.pem: No such file",
            ),
            ("REQUESTS_CA_BUNDLE", "/", "Is a directory"),
        ] {
            let error = network(HUB, &[(name, value)]).unwrap_err().to_string();
            assert!(error.starts_with(name) && error.contains(reason), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        // Nothing is trusted on the way to a plain address.
        network("http://hub.example", &[("SSL_CERT_FILE", file)]).unwrap();
    }

    #[test]
    fn a_password_is_shown_nowhere() {
        let set = [("HTTPS_PROXY", "http://user:s3cret@proxy:1")];
        let shown = format!("{:?}", network(HUB, &set).unwrap());
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
