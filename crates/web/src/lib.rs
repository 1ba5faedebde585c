//! The pages that people read: the front page, and the explanation of each refusal.
//!
//! Server-rendered, readable in a text browser, no script, no request to anywhere else. The look is "the ledger" of
//! user-experience.md section 2. This room makes text from facts; it knows no store, no status code and no header.

use askama::Template;

/// The policy under which the pages are sent: nothing but our own style sheet (L01).
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; \
                                           form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// The style sheet's path behind the base. The number changes with every change of the sheet, so that it may be kept for
/// ever.
pub const STYLE_PATH: &str = "/assets/ledger-1.css";

/// The style sheet.
pub fn style() -> &'static str {
    include_str!("../assets/ledger.css")
}

/// What the front page shows.
#[derive(Clone, Debug, Default)]
pub struct FrontPage {
    /// The name of this mirror.
    pub title: String,
    /// A word from the operators; empty shows none.
    pub notice: String,
    /// The address for GOPROXY, without a slash at its end.
    pub base: String,
    /// The checksum database that is relayed, if any.
    pub sumdb: Option<String>,
    /// The key of the checksum database of our own, if there is one: it answers for private modules too.
    pub log_key: Option<String>,
    /// Private patterns in Go's own grammar, joined by commas; empty shows no lines for them.
    pub private: String,
    /// Modules with at least one version here.
    pub modules: u64,
    /// Versions of which any file is here.
    pub versions: u64,
    /// Bytes of all their files.
    pub bytes: u64,
    /// Lines of the index feed.
    pub entries: u64,
    /// The versions that became visible last, newest first.
    pub newest: Vec<Newest>,
    /// The program's version.
    pub version: String,
}

/// A version that became visible here.
#[derive(Clone, Debug, Default)]
pub struct Newest {
    /// The module path.
    pub path: String,
    /// The version.
    pub version: String,
    /// When, in RFC 3339.
    pub at: String,
}

/// What the page of a refusal shows.
#[derive(Clone, Debug, Default)]
pub struct ErrorPage {
    /// The name of this mirror.
    pub title: String,
    /// The address of this mirror, without a slash at its end.
    pub base: String,
    /// What happened, in a few words.
    pub heading: String,
    /// The status with its phrase, as `404 Not Found`.
    pub status: String,
    /// The code, as it stands in brackets in the text.
    pub code: String,
    /// What it means and what to do.
    pub paragraphs: Vec<String>,
}

/// An import path of ours and where it lives: what a go-import page says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Announcement {
    /// The import path of the root.
    pub prefix: String,
    /// `git`, `hg`, `svn` or `fossil`.
    pub vcs: String,
    /// The repository's URL.
    pub url: String,
    /// The folder in the repository that is the root; empty mostly.
    pub subdirectory: String,
}

#[derive(Template)]
#[template(path = "import.html")]
struct Import<'a> {
    prefix: &'a str,
    vcs: &'a str,
    url: &'a str,
    subdirectory: &'a str,
    base: &'a str,
    style: &'static str,
}

#[derive(Template)]
#[template(path = "front.html")]
struct Front<'a> {
    title: &'a str,
    notice: &'a str,
    base: &'a str,
    base_path: &'a str,
    style: &'static str,
    sumdb: Option<&'a str>,
    log_key: Option<&'a str>,
    private: &'a str,
    modules: String,
    versions: String,
    bytes: String,
    entries: String,
    newest: &'a [Newest],
    version: &'a str,
}

#[derive(Template)]
#[template(path = "error.html")]
struct Explanation<'a> {
    title: &'a str,
    base_path: &'a str,
    style: &'static str,
    heading: &'a str,
    status: &'a str,
    code: &'a str,
    paragraphs: &'a [String],
}

/// The front page as HTML. At most 25 KiB, whatever it is given within the limits of names.
pub fn front(page: &FrontPage) -> String {
    let front = Front {
        title: &page.title,
        notice: &page.notice,
        base: &page.base,
        base_path: path_of(&page.base),
        style: STYLE_PATH,
        sumdb: page.sumdb.as_deref(),
        log_key: page.log_key.as_deref(),
        private: &page.private,
        modules: grouped(page.modules),
        versions: grouped(page.versions),
        bytes: sized(page.bytes),
        entries: grouped(page.entries),
        newest: &page.newest,
        version: &page.version,
    };
    rendered(&front)
}

/// The page of a refusal as HTML.
pub fn error_page(page: &ErrorPage) -> String {
    let explanation = Explanation {
        title: &page.title,
        base_path: path_of(&page.base),
        style: STYLE_PATH,
        heading: &page.heading,
        status: &page.status,
        code: &page.code,
        paragraphs: &page.paragraphs,
    };
    rendered(&explanation)
}

/// The go-import page of an announcement (V-15): read by go commands, and by who follows an import path. `base` is the
/// address of this mirror, where the style lies.
pub fn import_page(announcement: &Announcement, base: &str) -> String {
    let Announcement { prefix, vcs, url, subdirectory } = announcement;
    rendered(&Import { prefix, vcs, url, subdirectory, base: base.trim_end_matches('/'), style: STYLE_PATH })
}

fn rendered(template: &impl Template) -> String {
    template.render().expect("a template of plain values written to a string cannot fail")
}

/// The path under which we are mounted: links of a page stay on the host that the reader used.
fn path_of(base: &str) -> &str {
    let behind_scheme = base.split_once("://").map_or("", |(_, rest)| rest);
    behind_scheme.find('/').map_or("", |at| &behind_scheme[at..]).trim_end_matches('/')
}

/// `1234567` as `1 234 567`, with thin spaces that do not break.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 * 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// A size in binary units, with one digit behind the point.
fn sized(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1 << 10 {
        return format!("{bytes}\u{a0}B");
    }
    let steps = (bytes.ilog2() / 10).min(5);
    // Tenths of the unit, in integers: bytes stay below 2^64, so the product needs 128 bits.
    let tenths = (u128::from(bytes) * 10) >> (10 * steps);
    let unit = UNITS[steps as usize - 1];
    format!("{}.{}\u{a0}{unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> FrontPage {
        let newest = (0..10).map(|at| Newest {
            path: format!("example.com/{}/module-{at}", "long".repeat(20)),
            version: "v1.2.3-0.20261121103000-abcdef123456".into(),
            at: "2026-11-21T10:30:00Z".into(),
        });
        FrontPage {
            title: "Go modules".into(),
            notice: "Maintenance on Sunday".into(),
            base: "https://mirror.example/go".into(),
            sumdb: Some("sum.golang.org".into()),
            log_key: None,
            private: "git.corp.example,*.internal.example".into(),
            modules: 1_234_567,
            versions: 89,
            bytes: 1536 << 30,
            entries: 1000,
            newest: newest.collect(),
            version: "0.1.0".into(),
        }
    }

    #[test]
    fn the_front_page_has_what_a_person_copies() {
        let page = front(&full());
        for line in [
            "go env -w GOPROXY=https://mirror.example/go<",
            "go env -w GONOSUMDB=git.corp.example,*.internal.example<",
            "go env -w GOPRIVATE=git.corp.example,*.internal.example<",
            "ENV GOPROXY=https://mirror.example/go",
            "GOPROXY: \"https://mirror.example/go\"",
            "1\u{202f}234\u{202f}567",
            "1.5\u{a0}TiB",
            "href=\"/go/assets/ledger-1.css\"",
            "Maintenance on Sunday",
        ] {
            assert!(page.contains(line), "{line} is missing in\n{page}");
        }
    }

    #[test]
    fn without_private_patterns_there_are_no_lines_about_them() {
        let page = front(&FrontPage { base: "http://localhost:8080".into(), ..FrontPage::default() });
        assert!(!page.contains("GONOSUMDB") && !page.contains("GOPRIVATE"));
        assert!(page.contains("Nothing yet."));
        assert!(page.contains("href=\"/assets/ledger-1.css\""));
    }

    #[test]
    fn a_database_of_our_own_is_the_one_to_set_and_private_modules_are_in_it() {
        let page = front(&FrontPage { log_key: Some("mirror.example/log+0a1b2c3d+AaBb".into()), ..full() });
        assert!(page.contains("go env -w GOSUMDB=mirror.example/log+0a1b2c3d+AaBb"), "{page}");
        assert!(page.contains("ENV GOSUMDB=mirror.example/log+0a1b2c3d+AaBb"), "{page}");
        assert!(!page.contains("GONOSUMDB=git.corp.example"), "{page}");
    }

    #[test]
    fn the_pages_keep_their_budget() {
        assert!(front(&full()).len() <= 25 << 10, "HTML: 25 KiB even uncompressed");
        assert!(style().len() <= 10 << 10, "CSS: 10 KiB even uncompressed");
    }

    #[test]
    fn hostile_l04_names_and_notices_are_text_and_never_markup() {
        let evil = "<script>alert(1)</script>\"'";
        let page = front(&FrontPage {
            title: evil.into(),
            notice: evil.into(),
            base: evil.into(),
            newest: vec![Newest { path: evil.into(), version: evil.into(), at: evil.into() }],
            ..FrontPage::default()
        });
        assert!(!page.contains("<script"));
        assert!(!page.contains("alert(1)</script>"));
    }

    #[test]
    fn nothing_on_a_page_comes_from_elsewhere_or_runs() {
        let pages =
            [front(&full()), error_page(&ErrorPage { code: "checksum".into(), ..ErrorPage::default() })];
        for page in pages {
            for forbidden in
                ["<script", "style=\"", " onload", " onclick", "src=\"http", "href=\"http", "@import"]
            {
                assert!(!page.contains(forbidden), "{forbidden}");
            }
        }
        assert!(!style().contains("url(") && !style().contains("@import"));
    }

    #[test]
    fn numbers_are_for_people() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1\u{202f}000"), (1_234_567, "1\u{202f}234\u{202f}567")]
        {
            assert_eq!(grouped(number), text);
        }
        for (bytes, text) in [
            (0, "0\u{a0}B"),
            (1023, "1023\u{a0}B"),
            (1024, "1.0\u{a0}KiB"),
            (1_572_864, "1.5\u{a0}MiB"),
            (u64::MAX, "16383.9\u{a0}PiB"),
        ] {
            assert_eq!(sized(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn links_stay_below_the_path_where_we_are_mounted() {
        for (base, path) in [
            ("https://mirror.example", ""),
            ("https://mirror.example/", ""),
            ("https://mirror.example/go", "/go"),
            ("http://localhost:8080/a/b/", "/a/b"),
            ("", ""),
        ] {
            assert_eq!(path_of(base), path, "{base}");
        }
    }
}
