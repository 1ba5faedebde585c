//! A server's address with the login that was written into it: where questions below one base go.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::credentials::Credentials;
use crate::request::Request;

/// A configured base URL. A login in its user part becomes credentials for its host alone and is in no text that is
/// made from it.
#[derive(Clone, Debug)]
pub struct Place {
    url: Url,
    credentials: Option<Credentials>,
}

impl Place {
    /// The place of an http or https URL.
    pub fn new(mut url: Url) -> Self {
        let credentials = login(&url);
        // These fail only for URLs that have no host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Self { url, credentials }
    }

    /// Its address, without the login.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The same place, one or more elements further down.
    ///
    /// The base's path and query stay (P-15); the elements are appended one by one, so that nothing in them can climb or
    /// begin a query.
    #[must_use]
    pub fn below(&self, path: &str) -> Self {
        let mut place = self.clone();
        // Every http URL has a path; the branch is for the type.
        if let Ok(mut segments) = place.url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/'));
        }
        place
    }

    /// A plain question to this place, under the default limits.
    pub fn request(&self) -> Request {
        Request { credentials: self.credentials.clone(), ..Request::named(self.url.clone()) }
    }
}

fn login(url: &Url) -> Option<Credentials> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    // What is no UTF-8 once decoded is sent as it was written.
    let plain =
        |text: &str| percent_decode_str(text).decode_utf8().map_or_else(|_| text.to_owned(), Into::into);
    Some(Credentials::Basic {
        user: plain(url.username()),
        password: plain(url.password().unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_appended_and_queries_stay() {
        for (base, path, joined) in [
            ("https://a.example", "rsc.io/quote/@v/list", "https://a.example/rsc.io/quote/@v/list"),
            ("https://a.example/go/", "m/@latest", "https://a.example/go/m/@latest"),
            ("https://a.example/go?t=1", "m/@v/v1.0.0.zip", "https://a.example/go/m/@v/v1.0.0.zip?t=1"),
            ("https://a.example", "m/@v/a%2f?b#c.info", "https://a.example/m/@v/a%252f%3Fb%23c.info"),
            (
                "https://a.example",
                "github.com/!azure/x/@v/list",
                "https://a.example/github.com/!azure/x/@v/list",
            ),
        ] {
            let place = Place::new(Url::parse(base).unwrap());
            assert_eq!(place.below(path).url().as_str(), joined);
        }
    }

    #[test]
    fn a_login_leaves_the_url() {
        for (text, user, password) in [
            ("https://me:p%40ss@a.example/x", "me", "p@ss"),
            ("https://me:a%2Fb%5Cc@a.example/x", "me", "a/b\\c"),
            ("https://token@a.example/x", "token", ""),
            ("https://me:%ff@a.example/x", "me", "%ff"),
        ] {
            let place = Place::new(Url::parse(text).unwrap());
            let wanted = Credentials::Basic { user: user.into(), password: password.into() };
            assert_eq!(place.below("y").request().credentials, Some(wanted), "{text}");
            assert_eq!(place.url().as_str(), "https://a.example/x");
        }
        let place = Place::new(Url::parse("https://a.example").unwrap());
        assert_eq!(place.request().credentials, None);
    }
}
