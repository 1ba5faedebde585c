//! Logins for other servers. They are shown to exactly one host and to nobody else.

use base64::Engine as _;
use http::HeaderValue;

/// A login for the host of one request.
///
/// Sent over https only, to the host and port of the request's own URL; a redirect to another host
/// drops it for good (H12, M03). Its debug form never shows the secret (M04).
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// `Authorization: Basic`, as from a URL's user part or a netrc file.
    Basic {
        /// The user name; empty where the server looks at the password only.
        user: String,
        /// The password or token.
        password: String,
    },
    /// `Authorization: Bearer`.
    Bearer {
        /// The token.
        token: String,
    },
}

impl Credentials {
    /// The value of the `Authorization` header, marked sensitive so that no log shows it.
    ///
    /// `None` when the secret holds a byte that no header may carry.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let text = match self {
            Self::Basic { user, password } => {
                let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
                format!("Basic {pair}")
            }
            Self::Bearer { token } => format!("Bearer {token}"),
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Credentials::Basic(…)",
            Self::Bearer { .. } => "Credentials::Bearer(…)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_sent_but_never_printed() {
        let basic = Credentials::Basic { user: "me".into(), password: "s3cret".into() };
        assert_eq!(basic.header().unwrap().as_bytes(), b"Basic bWU6czNjcmV0");
        let bearer = Credentials::Bearer { token: "s3cret".into() };
        assert_eq!(bearer.header().unwrap().as_bytes(), b"Bearer s3cret");
        for text in [format!("{basic:?}"), format!("{bearer:?}"), format!("{:?}", basic.header())] {
            assert!(!text.contains("s3cret") && !text.contains("czNj"), "{text}");
        }
        assert!(Credentials::Bearer { token: "a\nb".into() }.header().is_none());
    }
}
