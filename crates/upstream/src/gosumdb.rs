//! The GOSUMDB variable: which checksum database is believed, and where it is reached (A7).

use modkeep_tlog::note::VerifierKey;
use url::Url;

use crate::chain::redacted;

/// The verifier key of the go command's default checksum database.
pub const PUBLIC_DATABASE_KEY: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

/// What stands in GOSUMDB.
#[derive(Clone)]
#[allow(clippy::large_enum_variant, reason = "there is one per process")]
pub enum GoSumDb {
    /// `off`: nothing is checked against a database.
    Off,
    /// A database.
    On {
        /// Whose signatures are believed; its name is the database's name.
        key: VerifierKey,
        /// Where it is, and then no proxy is consulted. Otherwise the proxies are asked, and then
        /// `https://NAME` (A7).
        url: Option<Url>,
    },
}

/// Why a text is no GOSUMDB.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum GoSumDbError {
    /// Nothing, or more than a key and a URL.
    #[error("want \"off\", a key, or a key and a URL")]
    Fields,
    /// A word that is neither a known name nor a verifier key.
    #[error("{0:?} is neither a known checksum database nor a verifier key")]
    Key(String),
    /// A name that is not `host[/path]`.
    #[error("{0:?} cannot be a database's name: want host[/path]")]
    Name(String),
    /// A URL that cannot be used.
    #[error("{0:?} is not an https, http or file URL")]
    Url(String),
}

impl GoSumDb {
    /// Reads the variable. The names that the go command knows work without a key.
    pub fn parse(text: &str) -> Result<Self, GoSumDbError> {
        // The go command's one alias: the same log, reachable where the other name is not.
        let text = match text.trim() {
            "sum.golang.google.cn" => "sum.golang.org https://sum.golang.google.cn",
            other => other,
        };
        if text == "off" {
            return Ok(Self::Off);
        }
        let mut words = text.split_whitespace();
        let (Some(key), url, None) = (words.next(), words.next(), words.next()) else {
            return Err(GoSumDbError::Fields);
        };
        let vkey = if key == "sum.golang.org" { PUBLIC_DATABASE_KEY } else { key };
        let key = VerifierKey::parse(vkey).map_err(|_| GoSumDbError::Key(key.to_owned()))?;
        if home_of(key.name()).is_none() {
            return Err(GoSumDbError::Name(key.name().to_owned()));
        }
        Ok(Self::On { key, url: url.map(database_url).transpose()? })
    }
}

impl Default for GoSumDb {
    /// The go command's default database.
    fn default() -> Self {
        Self::parse("sum.golang.org").expect("the built-in key is a key")
    }
}

/// `https://NAME`, if the name is nothing but a host and perhaps a path (A5, A7).
pub(crate) fn home_of(name: &str) -> Option<Url> {
    let url = Url::parse(&format!("https://{name}")).ok()?;
    let shown = url.as_str().trim_end_matches('/');
    let same = shown.strip_prefix("https://") == Some(name);
    (same && url.username().is_empty() && url.query().is_none() && url.fragment().is_none()).then_some(url)
}

fn database_url(text: &str) -> Result<Url, GoSumDbError> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "https" | "http" | "file") => Ok(url),
        Ok(url) => Err(GoSumDbError::Url(redacted(&url))),
        Err(_) => Err(GoSumDbError::Url("(hidden: it cannot be parsed)".to_owned())),
    }
}

impl std::fmt::Debug for GoSumDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Off => f.write_str("GoSumDb(off)"),
            Self::On { key, url: None } => write!(f, "GoSumDb({})", key.name()),
            Self::On { key, url: Some(url) } => write!(f, "GoSumDb({} {})", key.name(), redacted(url)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        format!("{:?}", GoSumDb::parse(text))
    }

    #[test]
    fn a7_the_forms_of_gosumdb() {
        for (text, meaning) in [
            ("off", "Ok(GoSumDb(off))"),
            ("sum.golang.org", "Ok(GoSumDb(sum.golang.org))"),
            (PUBLIC_DATABASE_KEY, "Ok(GoSumDb(sum.golang.org))"),
            ("sum.golang.google.cn", "Ok(GoSumDb(sum.golang.org https://sum.golang.google.cn))"),
            ("  sum.golang.org\thttp://localhost:1/x ", "Ok(GoSumDb(sum.golang.org http://localhost:1/x))"),
            ("sum.golang.org file:///srv/sumdb", "Ok(GoSumDb(sum.golang.org file:///srv/sumdb))"),
        ] {
            assert_eq!(shown(text), meaning, "{text}");
        }
        for text in
            ["", " ", "sum.golang.org a b", "sum.example", "sum.golang.org ftp://x", "sum.golang.org x"]
        {
            assert!(GoSumDb::parse(text).is_err(), "{text}");
        }
        assert_eq!(format!("{:?}", GoSumDb::default()), "GoSumDb(sum.golang.org)");
    }

    #[test]
    fn a5_names_are_host_and_path_and_nothing_else() {
        for name in ["sum.golang.org", "sums.example.org/corp", "localhost", "mirror.example:8443/log"] {
            assert!(home_of(name).is_some(), "{name}");
        }
        for name in [
            "",
            "/",
            "a.example/",
            "me@a.example",
            "a.example?x",
            "a.example#x",
            "a.example/../b",
            "A.example",
        ] {
            assert!(home_of(name).is_none(), "{name}");
        }
    }

    #[test]
    fn hostile_m04_a_login_in_the_url_is_not_shown() {
        let db = GoSumDb::parse("sum.golang.org https://me:secret@sums.example").unwrap();
        assert!(!format!("{db:?}").contains("secret"));
    }
}
