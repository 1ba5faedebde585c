//! Redirects: where one leads, and what may travel along.

use http::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use url::Url;

use crate::credentials::Credentials;
use crate::error::Error;
use crate::host::HostPort;
use crate::request::{Request, Trust};

/// Where a request stands on its way through redirects.
pub(crate) struct Hop {
    pub(crate) url: Url,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) trust: Trust,
}

impl Hop {
    pub(crate) fn first(request: &Request) -> Self {
        Self {
            url: request.url.clone(),
            headers: request.headers.clone(),
            credentials: request.credentials.clone(),
            trust: request.trust,
        }
    }

    pub(crate) fn place(&self) -> String {
        HostPort::of(&self.url).map(|place| place.to_string()).unwrap_or_default()
    }

    /// The next hop. The gate will judge it like any other; what is decided here is what it may not take
    /// along, and the steps that no gate would notice: from https to http, and to a user part (E06).
    pub(crate) fn redirected(&self, from: &HostPort, target: Option<&str>) -> Result<Self, Error> {
        let bad = |reason| bad_redirect(&from.to_string(), reason);
        let target = target.ok_or_else(|| bad("without a target"))?;
        // Readers disagree about a backslash: for some it is a slash, for others part of a user name (E06).
        if target.contains('\\') {
            return Err(bad("to an address with a backslash"));
        }
        let url = self.url.join(target).map_err(|_| bad("to something that is no address"))?;
        // What was conceded to one host is not conceded to the next (C04).
        let trust = if url.host_str() == self.url.host_str() { self.trust } else { Trust::Verified };
        match (self.url.scheme(), url.scheme()) {
            (_, "https") | ("http", "http") => {}
            ("https", "http") if trust == Trust::Insecure => {}
            ("https", "http") => return Err(bad("from https to plain http")),
            _ => return Err(bad("to a scheme that is not fetched")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("to an address with a user name"));
        }
        let stays = HostPort::of(&url).as_ref() == Some(from) && url.scheme() == self.url.scheme();
        if stays {
            return Ok(Self {
                url,
                headers: self.headers.clone(),
                credentials: self.credentials.clone(),
                trust,
            });
        }
        // Dropped for good: a detour over another host does not bring them back (H12, M03).
        let headers = self.headers.iter().filter(|(name, _)| travels(name)).cloned().collect();
        Ok(Self { url, headers, credentials: None, trust })
    }
}

/// Headers that say nothing about the sender.
fn travels(name: &HeaderName) -> bool {
    use http::header::{ACCEPT, IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE};
    [ACCEPT, IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE].contains(name) || name == "git-protocol"
}

pub(crate) fn bad_redirect(host: &str, reason: &str) -> Error {
    Error::BadRedirect { host: host.to_owned(), reason: reason.to_owned() }
}

/// Whether the answer sends us elsewhere.
pub(crate) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Whether such a redirect may be followed with this method. Only 307 and 308 say that a POST stays a POST; the
/// others would turn it into a GET, which is not what was asked.
pub(crate) fn keeps_method(status: StatusCode, method: &Method) -> bool {
    method == Method::GET || matches!(status.as_u16(), 307 | 308)
}

/// Where a redirect leads, if there is exactly one target and it is text.
pub(crate) fn redirect_target(headers: &HeaderMap) -> Option<&str> {
    let mut targets = headers.get_all(LOCATION).iter();
    match (targets.next(), targets.next()) {
        (Some(target), None) => target.to_str().ok(),
        _ => None,
    }
}
