//! GOPROXY's grammar: which upstreams are asked, in which order, and what makes us ask the next.

use std::path::PathBuf;

use modkeep_egress::HostPort;
use url::Url;

/// The go command's default mirror, for which `public` stands in a chain.
pub const PUBLIC_MIRROR: &str = "https://proxy.golang.org";

/// A list of sources, as GOPROXY writes it: `https://a.example,https://b.example|direct` (P-80 to P-82).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    entries: Vec<(Entry, Separator)>,
}

/// One source of a chain.
#[derive(Clone, PartialEq, Eq)]
pub enum Entry {
    /// A mirror over https or http. May carry a login in its user part; [`redacted`] hides it, and so
    /// does the debug form.
    Proxy(Url),
    /// A `file://` tree with the protocol's layout (P-150).
    Tree(PathBuf),
    /// The repositories themselves. Ends the chain.
    Direct,
    /// Nobody: whatever was not found so far is not found. Ends the chain.
    Off,
}

/// What stands behind an entry, and so belongs to it (P-80).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    /// `,`: the next entry is asked only when this one answered 404 or 410. Also taken for the last one.
    Comma,
    /// `|`: the next entry is asked after any error.
    Pipe,
}

/// Why a text is no chain.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChainError {
    /// Nothing between the separators (P-80).
    #[error("the list of upstreams is empty")]
    Empty,
    /// An entry that is neither a word of the grammar nor a URL (P-82).
    #[error("upstream {entry:?}: {reason}")]
    Entry {
        /// The entry, its login hidden.
        entry: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Chain {
    /// Reads a chain. `public` stands for [`PUBLIC_MIRROR`]; the rest is Go's grammar.
    pub fn parse(text: &str) -> Result<Self, ChainError> {
        let mut entries = Vec::new();
        for piece in text.split_inclusive([',', '|']) {
            let separator = if piece.ends_with('|') { Separator::Pipe } else { Separator::Comma };
            let word = piece.trim_end_matches([',', '|']).trim();
            if word.is_empty() {
                continue;
            }
            let entry = Entry::parse(word)?;
            let last = matches!(entry, Entry::Direct | Entry::Off);
            entries.push((entry, separator));
            if last {
                break;
            }
        }
        if entries.is_empty() { Err(ChainError::Empty) } else { Ok(Self { entries }) }
    }

    /// The entries in order, each with the separator behind it.
    pub fn entries(&self) -> &[(Entry, Separator)] {
        &self.entries
    }

    /// The hosts and ports of its mirrors, for the gate's list of named infrastructure.
    pub fn places(&self) -> Vec<HostPort> {
        let urls = self.entries.iter().filter_map(|(entry, _)| match entry {
            Entry::Proxy(url) => HostPort::of(url),
            _ => None,
        });
        urls.collect()
    }
}

impl Entry {
    fn parse(word: &str) -> Result<Self, ChainError> {
        match word {
            "direct" => return Ok(Self::Direct),
            "off" => return Ok(Self::Off),
            "public" => return Self::parse(PUBLIC_MIRROR),
            _ => {}
        }
        let complete = word.contains(":/") || word.starts_with('/') || !word.contains(['.', ':', '/']);
        let text = if complete { word.to_owned() } else { format!("https://{word}") };
        let bad = |reason| ChainError::Entry { entry: hide_login(&text), reason };
        let url = match Url::parse(&text) {
            Ok(url) => url,
            Err(url::ParseError::RelativeUrlWithoutBase) => {
                return Err(bad("no scheme: want https://, http:// or file:///, or a word of the grammar"));
            }
            Err(_) => return Err(bad("not a URL")),
        };
        match url.scheme() {
            "https" | "http" => Ok(Self::Proxy(url)),
            "file" => tree(&text, &url).map(Self::Tree).ok_or_else(|| bad("a file URL may have only a path")),
            _ => Err(bad("the scheme must be https, http or file")),
        }
    }
}

/// The folder of a file URL. The URL parser forgives `file://localhost/dir`; Go does not, so neither do we.
fn tree(text: &str, url: &Url) -> Option<PathBuf> {
    let rest = text.get("file:".len()..)?;
    let only_path = rest.starts_with("///") || (rest.starts_with('/') && !rest.starts_with("//"));
    if !only_path || url.query().is_some() || url.fragment().is_some() {
        return None;
    }
    url.to_file_path().ok()
}

/// A URL for logs, pages and errors: no user part, no query (D17).
pub fn redacted(url: &Url) -> String {
    let mut shown = url.clone();
    // These two fail only for URLs that have no host, hence no user part.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_query(None);
    shown.set_fragment(None);
    shown.as_str().trim_end_matches('/').to_owned()
}

/// The same for a text that is no URL: what stands before the last `@` of its first part is hidden.
fn hide_login(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let Some((_, host)) = rest.rsplit_once('@') else { return text.to_owned() };
    if scheme.is_empty() { format!("…@{host}") } else { format!("{scheme}://…@{host}") }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Proxy(url) => f.write_str(&redacted(url)),
            Self::Tree(path) => write!(f, "file://{}", path.display()),
            Self::Direct => f.write_str("direct"),
            Self::Off => f.write_str("off"),
        }
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entry({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let chain = Chain::parse(text).unwrap();
        let mark = |separator| if separator == Separator::Pipe { "|" } else { "," };
        chain.entries().iter().map(|(entry, separator)| format!("{entry}{}", mark(*separator))).collect()
    }

    #[test]
    fn p80_separators_belong_to_the_entry_before_them() {
        for (text, entries) in [
            ("https://a.example", &["https://a.example,"][..]),
            ("https://a.example,direct", &["https://a.example,", "direct,"]),
            (
                "https://a.example|https://b.example,off",
                &["https://a.example|", "https://b.example,", "off,"],
            ),
            (" https://a.example , ,| direct ", &["https://a.example,", "direct,"]),
            (",,|direct", &["direct,"]),
        ] {
            assert_eq!(shown(text), entries, "{text}");
        }
        for text in ["", " ", ",", "|,|"] {
            assert_eq!(Chain::parse(text), Err(ChainError::Empty), "{text:?}");
        }
    }

    #[test]
    fn p81_direct_and_off_end_the_list() {
        assert_eq!(shown("off,https://a.example"), ["off,"]);
        assert_eq!(shown("direct|nonsense%%%"), ["direct|"]);
    }

    #[test]
    fn p82_which_words_become_urls() {
        for (text, entry) in [
            ("public", "https://proxy.golang.org,"),
            ("mirror.example", "https://mirror.example,"),
            ("mirror.example/go/", "https://mirror.example/go,"),
            ("mirror.example:8443", "https://mirror.example:8443,"),
            ("http://localhost:8080", "http://localhost:8080,"),
            ("file:///srv/a%20b", "file:///srv/a b,"),
            ("file:/srv/go", "file:///srv/go,"),
            ("https://me:secret@mirror.example/x?token=1", "https://mirror.example/x,"),
        ] {
            assert_eq!(shown(text), [entry], "{text}");
        }
        for text in [
            "mirror",
            "/srv/go",
            "ftp://a.example",
            "https://",
            "file://host/srv",
            "file://localhost/srv",
            "file:///srv?x=1",
            "file:///srv#x",
            "https://a b/",
        ] {
            assert!(matches!(Chain::parse(text), Err(ChainError::Entry { .. })), "{text}");
        }
    }

    #[test]
    fn hostile_m04_logins_are_never_shown() {
        let chain = Chain::parse("https://me:secret@mirror.example").unwrap();
        let bad = Chain::parse("https://me:secret@mirror.example:port").unwrap_err();
        for text in [format!("{chain:?}"), format!("{bad:?}"), bad.to_string()] {
            assert!(!text.contains("secret"), "{text}");
        }
        assert_eq!(chain.places(), [HostPort::parse("mirror.example:443").unwrap()]);
    }
}
