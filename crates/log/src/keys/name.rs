//! The name of a log, and the line that users set. Spec A5, A7.

use std::fmt;

use modkeep_tlog::VerifierKey;
use url::Url;

use super::SignError;

/// A name that the go command takes in a key of GOSUMDB: `host[:port][/path]` (A5).
///
/// `https://NAME` is a plain URL, and NAME a plain relative folder: it names one in every client's cache.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogName(Box<str>);

/// Longer names are refused: an element of a path, and a host name, end at 255 bytes.
const NAME_BYTES_MAX: usize = 255;

impl LogName {
    /// Checks the name.
    pub fn parse(name: &str) -> Result<Self, SignError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'~' | b':');
        let element =
            |element: &str| !element.is_empty() && !element.starts_with('.') && element.bytes().all(plain);
        let path = name.split_once('/').map_or("", |(_, path)| path);
        // The URL's own reading finds what is no host: `256.0.0.1`, `xn--`, a capital letter that would be folded.
        let same = Url::parse(&format!("https://{name}"))
            .is_ok_and(|url| url.as_str().trim_end_matches('/').strip_prefix("https://") == Some(name));
        if name.len() <= NAME_BYTES_MAX && name.split('/').all(element) && !path.contains(':') && same {
            Ok(Self(name.into()))
        } else {
            Err(SignError::Name { name: name.chars().take(NAME_BYTES_MAX).collect() })
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What users put into GOSUMDB: the key, and the address where it is not `https://NAME` or a proxy's (A7).
pub fn gosumdb(key: &VerifierKey, url: Option<&str>) -> Result<String, SignError> {
    let Some(url) = url else { return Ok(key.to_string()) };
    let usable = Url::parse(url).is_ok_and(|parsed| {
        matches!(parsed.scheme(), "https" | "http" | "file")
            && parsed.query().is_none()
            && parsed.fragment().is_none()
            && !url.contains(|c: char| c.is_whitespace() || c.is_control())
    });
    if usable { Ok(format!("{key} {url}")) } else { Err(SignError::Url { url: url.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use modkeep_tlog::SignerKey;

    use super::*;

    #[test]
    fn a5_names_are_a_host_and_perhaps_a_path() {
        for good in [
            "sums.example.org",
            "sums.example.org/corp",
            "localhost:8080/log",
            "127.0.0.1/log",
            "a-b.example/x~y_z",
        ] {
            assert_eq!(LogName::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "/",
            "sums.example.org/",
            "/sums.example.org",
            "sums.example.org:443/log", // says no more than the name without it, and is another name
            "sums.example.org:/log",
            "sums.example.org/log:80",
            "sums.example.org//log",
            "sums.example.org/../log",
            "sums.example.org/.log",
            "sums.example.org?x",
            "sums.example.org#x",
            "user@sums.example.org",
            "https://sums.example.org",
            "sums example.org",
            "sums.example.org+log",
            "Sums.example.org", // the go command asks the host in small letters, and the key would name another
            "sums.example.org/é",
            "256.0.0.1/log",
        ] {
            assert!(LogName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(LogName::parse(&format!("a.example/{}", "x".repeat(300))).is_err());
    }

    #[test]
    fn a7_the_line_that_users_set() {
        let key = SignerKey::from_seed("sums.example.org/log", [7; 32]).unwrap().verifier();
        assert_eq!(gosumdb(&key, None).unwrap(), key.to_string());
        for good in ["https://sums.example.org/log", "http://localhost:8080/log", "file:///srv/log"] {
            assert_eq!(gosumdb(&key, Some(good)).unwrap(), format!("{key} {good}"));
        }
        for bad in [
            "",
            "sums.example.org",
            "ftp://x.example",
            "https://x.example/?a",
            "https://x.example/#a",
            "https://x.example/ b",
        ] {
            assert!(gosumdb(&key, Some(bad)).is_err(), "{bad:?}");
        }
    }
}
