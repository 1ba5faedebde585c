//! Forward proxies, as `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name them.

use std::sync::Arc;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use url::{Host, Url};

use crate::host::HostPort;

/// Which forward proxy stands before which destination. A value: the program reads the environment.
///
/// https destinations go through a `CONNECT` tunnel, http ones in absolute form. Names on `NO_PROXY`,
/// `localhost` and loopback addresses are reached directly. The proxy itself is configured
/// infrastructure, so its address is not judged; the destination's is.
#[derive(Clone, Default)]
pub struct ProxyEnv {
    matcher: Option<Arc<Matcher>>,
}

/// A proxy variable that cannot be used. The text never contains the proxy's password.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{variable} is not a proxy address: {reason}")]
pub struct BadProxy {
    /// The variable's name.
    pub variable: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// One proxy, ready to be dialled.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) place: HostPort,
    pub(crate) tls: bool,
    pub(crate) authorization: Option<HeaderValue>,
}

impl ProxyEnv {
    /// Reads the four variables through `lookup`, upper-case spelling first, then lower-case.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, BadProxy> {
        let value = |upper: &str| {
            lookup(upper)
                .or_else(|| lookup(&upper.to_ascii_lowercase()))
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        let (http, https, all) = (value("HTTP_PROXY"), value("HTTPS_PROXY"), value("ALL_PROXY"));
        for (variable, text) in [("HTTP_PROXY", &http), ("HTTPS_PROXY", &https), ("ALL_PROXY", &all)] {
            check(variable, text)?;
        }
        if http.is_empty() && https.is_empty() && all.is_empty() {
            return Ok(Self::default());
        }
        let matcher = Matcher::builder().http(http).https(https).all(all).no(value("NO_PROXY")).build();
        Ok(Self { matcher: Some(Arc::new(matcher)) })
    }

    /// The proxy before this destination, if any.
    pub(crate) fn before(&self, target: &Uri) -> Option<Proxy> {
        let matcher = self.matcher.as_ref()?;
        if is_here(target.host()?) { None } else { place_of(&matcher.intercept(target)?) }
    }
}

impl std::fmt::Debug for ProxyEnv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProxyEnv").field("set", &self.matcher.is_some()).finish()
    }
}

/// Whether a destination is this machine: never sent to a proxy, as the go command does it.
fn is_here(host: &str) -> bool {
    match Host::parse(host) {
        Ok(Host::Domain(name)) => name.trim_end_matches('.') == "localhost",
        Ok(Host::Ipv4(address)) => address.is_loopback(),
        Ok(Host::Ipv6(address)) => address.is_loopback(),
        Err(_) => false,
    }
}

fn check(variable: &'static str, text: &str) -> Result<(), BadProxy> {
    if text.is_empty() {
        return Ok(());
    }
    let bad = |reason| BadProxy { variable, reason };
    if text.contains("://") && !text.starts_with("http://") && !text.starts_with("https://") {
        return Err(bad("only http:// and https:// proxies are spoken here"));
    }
    let probe = Uri::from_static("https://proxy-check.example/");
    let matched = Matcher::builder().all(text.to_owned()).build().intercept(&probe);
    matched.and_then(|found| place_of(&found)).map(|_| ()).ok_or(bad("want http://[user:password@]host:port"))
}

fn place_of(found: &Intercept) -> Option<Proxy> {
    let url = Url::parse(&found.uri().to_string()).ok()?;
    let authorization = found.basic_auth().cloned().map(|mut value| {
        value.set_sensitive(true);
        value
    });
    Some(Proxy { place: HostPort::of(&url)?, tls: url.scheme() == "https", authorization })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &'static [(&str, &str)]) -> Result<ProxyEnv, BadProxy> {
        ProxyEnv::read(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn the_environment_chooses_the_proxy() {
        let proxies = env(&[
            ("HTTPS_PROXY", "http://me:pw@proxy.corp.example:3128"),
            ("http_proxy", "plain.corp.example:80"),
            ("NO_PROXY", "corp.example, 10.0.0.0/8"),
        ])
        .unwrap();
        let before = |url: &'static str| proxies.before(&Uri::from_static(url)).map(|p| p.place.to_string());
        for (url, proxy) in [
            ("https://sum.golang.org/", Some("proxy.corp.example:3128")),
            ("http://upstream.example/", Some("plain.corp.example:80")),
            ("https://git.corp.example/", None),
            ("https://10.1.2.3/", None),
            ("https://localhost:8443/", None),
            ("https://127.0.0.1/", None),
            ("https://[::1]/", None),
        ] {
            assert_eq!(before(url).as_deref(), proxy, "{url}");
        }
        let proxy = proxies.before(&Uri::from_static("https://sum.golang.org/")).unwrap();
        assert_eq!(proxy.authorization.unwrap().as_bytes(), b"Basic bWU6cHc=");
        assert!(env(&[]).unwrap().before(&Uri::from_static("https://a.example/")).is_none());
        assert!(!format!("{proxies:?}").contains("pw"));
    }

    #[test]
    fn a_proxy_we_cannot_speak_to_is_refused_at_the_start() {
        for pairs in
            [&[("ALL_PROXY", "socks5://h:1080")], &[("HTTPS_PROXY", "http://")], &[("HTTP_PROXY", "a b")]]
        {
            assert!(env(pairs).is_err(), "{pairs:?}");
        }
    }
}
