//! Asks a module path's own host where the module lives: `https://<path>?go-get=1` (V-10 to V-20).
//!
//! A page speaks for its own prefix alone. Where the page at `example.com/a/b` claims the prefix `example.com/a`, the
//! page at `example.com/a` is asked as well, and must say the same in all four fields (V-18).

use std::time::Duration;

use modkeep_egress::{Credentials, Egress, Encoding, Error as Unreachable, Kind, Limits, Request, Trust};
use modkeep_module::unicode;
use url::Url;

use super::logins::Logins;
use super::memory::Memory;
use super::meta::{self, Import};
use super::static_hosts::is_path_prefix;
use crate::error::Error;

/// So much of a page is read, after decoding (D07, D12).
const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Everything about one page (hostile-inputs part 1).
const PAGE_TIME: Duration = Duration::from_secs(10);
/// A host that need not show a certificate may not be there at all (V-13).
const IMPATIENT_TIME: Duration = Duration::from_secs(5);
/// A text about tags that do not match names so many of them.
const MISMATCHES_SHOWN: usize = 8;
/// A reader that stopped by itself spares the rest of a page; it is tried at so many possible ends.
const EARLY_ENDS: usize = 4;

/// What a path's page says, agreed with its root.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Discovered {
    /// The tag.
    pub(super) import: Import,
    /// The page it came from, for messages.
    pub(super) page: String,
}

/// The pages of roots, by prefix; asked once for all modules below (V-6, V-23).
#[derive(Debug)]
pub(super) struct Discovery {
    pub(super) egress: Egress,
    pub(super) roots: Memory<Result<Vec<Import>, Error>>,
    pub(super) lifetime: Duration,
    pub(super) negative_lifetime: Duration,
}

impl Discovery {
    /// The tag that speaks for `path`.
    ///
    /// # Errors
    /// [`Error::NoModule`] with the go command's words behind `unrecognized import path "…": `; everything else is
    /// trouble or policy.
    pub(super) async fn discover(
        &self,
        path: &str,
        is_insecure: bool,
        logins: &Logins,
    ) -> Result<Discovered, Error> {
        let host = path.split('/').next().unwrap_or_default();
        if !host.contains('.') {
            return Err(no_module("import path does not begin with hostname".to_owned()));
        }
        let answer = self.fetch(path, is_insecure, logins).await.map_err(|error| {
            let before = if is_insecure { "http/https fetch: " } else { "https fetch: " };
            with_words_before(error, before)
        })?;
        let imports = answer.imports(path)?;
        let import = chosen(&imports, path).map_err(|reason| match reason {
            Unmatched::Several => {
                let path = unicode::quoted(path);
                no_module(format!(
                    "parse {}: multiple meta tags match import path {path}",
                    page_of(&answer.path)
                ))
            }
            Unmatched::None(mismatches) => {
                no_module(format!("parse {}: no go-import meta tags ({mismatches})", answer.url))
            }
        })?;
        if import.prefix != path {
            let root = self.root(&import.prefix, is_insecure, logins).await?;
            if chosen(&root, path).ok() != Some(import) {
                let prefix = &import.prefix;
                return Err(no_module(format!(
                    "{} and {} disagree about go-import for {}",
                    answer.url,
                    page_of(prefix),
                    excerpt(prefix)
                )));
            }
        }
        Ok(Discovered { import: import.clone(), page: answer.url })
    }

    /// The tags on a root's own page.
    async fn root(&self, prefix: &str, is_insecure: bool, logins: &Logins) -> Result<Vec<Import>, Error> {
        let key = format!("{}{prefix}", if is_insecure { "insecure:" } else { "" });
        let ask = |_| async {
            let answer = self
                .fetch(prefix, is_insecure, logins)
                .await
                .map_err(|error| with_words_before(error, &format!("fetching {prefix}: ")))?;
            let imports = answer.imports(&answer.url)?;
            if imports.is_empty() {
                let url = &answer.url;
                return Err(no_module(format!("fetching {prefix}: no go-import meta tag found in {url}")));
            }
            Ok(imports)
        };
        self.roots.get(&key, ask, |answer| lifetime(answer, self.lifetime, self.negative_lifetime)).await
    }

    /// A page, over https; where that is insecurely allowed and fails, over http (V-13).
    async fn fetch(&self, path: &str, is_insecure: bool, logins: &Logins) -> Result<Answer, Error> {
        let secure = self.fetch_over("https", path, is_insecure, logins).await;
        match secure {
            Err(Error::Refused { .. } | Error::Throttled { .. } | Error::Busy { .. }) | Ok(_) => secure,
            Err(_) if is_insecure => self.fetch_over("http", path, is_insecure, logins).await,
            Err(_) => secure,
        }
    }

    async fn fetch_over(
        &self,
        scheme: &str,
        path: &str,
        is_insecure: bool,
        logins: &Logins,
    ) -> Result<Answer, Error> {
        let text = format!("{scheme}:{}", page_of(path));
        let url = Url::parse(&text).map_err(|error| no_module(format!("{text}: {error}")))?;
        let credentials = logins.for_page(&url).await?;
        let request = request(url, credentials, is_insecure && scheme == "https", is_insecure);
        let response = match self.egress.get(request).await {
            Ok(response) => response,
            Err(error) => return Err(unreachable(error)),
        };
        let status = response.status;
        let mut body = response.body;
        let mut page = Vec::new();
        let mut early_ends = 0;
        let mut broken = None;
        loop {
            let chunk = match body.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) => {
                    broken = Some(unreachable(error));
                    break;
                }
            };
            let seen = page.len();
            page.extend_from_slice(&chunk);
            if page.len() >= PAGE_BYTES_MAX {
                page.truncate(PAGE_BYTES_MAX);
                break;
            }
            if early_ends < EARLY_ENDS && may_end(&page, seen) {
                early_ends += 1;
                if meta::read(&page).is_ok_and(|page| page.is_complete) {
                    break;
                }
            }
        }
        Ok(Answer { path: path.to_owned(), url: text, status, page, broken })
    }
}

/// How long to believe an answer: yes long, no short, trouble not at all (V-23).
pub(super) fn lifetime<T>(answer: &Result<T, Error>, yes: Duration, no: Duration) -> Duration {
    match answer {
        Ok(_) => yes,
        Err(error) if error.is_absence() => no,
        Err(_) => Duration::ZERO,
    }
}

/// A page, whatever its status.
struct Answer {
    path: String,
    url: String,
    status: u16,
    page: Vec<u8>,
    /// What ended the page before its end. A page half read says what it says, but its silence is no answer (D9).
    broken: Option<Error>,
}

impl Answer {
    /// The tags; the status counts only where there are none (V-11).
    fn imports(&self, named: &str) -> Result<Vec<Import>, Error> {
        let read = meta::read(&self.page);
        match (read, &self.broken) {
            (Ok(page), _) if !page.imports.is_empty() => Ok(page.imports),
            (_, Some(error)) => Err(error.clone()),
            (Ok(page), None) if self.status == 200 => Ok(page.imports),
            (Err(flaw), None) if self.status == 200 => Err(no_module(format!("parsing {named}: {flaw}"))),
            _ => Err(self.failed()),
        }
    }

    /// What a status without tags means to a server (V-24, section 12).
    fn failed(&self) -> Error {
        let host = self.path.split('/').next().unwrap_or_default().to_owned();
        let words = http_words(self.status);
        let reason = format!(
            "reading {}: {}{}{words}",
            self.url,
            self.status,
            if words.is_empty() { "" } else { " " }
        );
        match self.status {
            401 | 403 => Error::Login { host, reason },
            429 | 500.. => Error::Trouble { host, reason },
            _ => Error::NoModule { reason },
        }
    }
}

fn request(url: Url, credentials: Option<Credentials>, is_impatient: bool, is_insecure: bool) -> Request {
    let total = if is_impatient { IMPATIENT_TIME } else { PAGE_TIME };
    Request {
        url,
        headers: Vec::new(),
        credentials,
        limits: Limits { bytes_max: u64::MAX, total, head: total, silence: total, redirects_max: 10 },
        kind: Kind::Origin,
        encoding: Encoding::Gzip,
        trust: if is_insecure { Trust::Insecure } else { Trust::Verified },
    }
}

/// `//example.com/x?go-get=1`; a bare host has the path `/` (V-10).
fn page_of(path: &str) -> String {
    if path.contains('/') { format!("//{path}?go-get=1") } else { format!("//{path}/?go-get=1") }
}

/// Whether one of the ends of what is read stands in the new bytes.
fn may_end(page: &[u8], seen: usize) -> bool {
    let new = page.get(seen.saturating_sub(6)..).unwrap_or_default();
    new.windows(6)
        .any(|bytes| bytes[..5].eq_ignore_ascii_case(b"<body") || bytes.eq_ignore_ascii_case(b"</head"))
}

/// Of what never came: a name that does not exist and a redirect that nobody would follow are the host's own word.
fn unreachable(error: Unreachable) -> Error {
    match error {
        Unreachable::NoSuchHost { .. } | Unreachable::BadRedirect { .. } => no_module(error.to_string()),
        error => Error::of_egress(&error),
    }
}

fn with_words_before(error: Error, words: &str) -> Error {
    match error {
        Error::NoModule { reason } => Error::NoModule { reason: format!("{words}{reason}") },
        other => other,
    }
}

enum Unmatched {
    Several,
    None(String),
}

/// The tag for `path`: one, or one `mod` tag before others (V-17).
fn chosen<'a>(imports: &'a [Import], path: &str) -> Result<&'a Import, Unmatched> {
    let mut matching = imports.iter().filter(|import| is_path_prefix(&import.prefix, path));
    match (matching.next(), matching.next()) {
        (None, _) => Err(Unmatched::None(mismatches(imports, path))),
        (Some(first), Some(second)) if first.vcs != "mod" || second.vcs == "mod" => Err(Unmatched::Several),
        (Some(first), _) => Ok(first),
    }
}

fn mismatches(imports: &[Import], path: &str) -> String {
    let mut texts: Vec<String> = imports
        .iter()
        .take(MISMATCHES_SHOWN)
        .map(|import| format!("meta tag {} did not match import path {path}", excerpt(&import.prefix)))
        .collect();
    if imports.len() > MISMATCHES_SHOWN {
        texts.push(format!("{} more", imports.len() - MISMATCHES_SHOWN));
    }
    texts.join(", ")
}

/// Foreign words in a message: short, and without characters that do things to a terminal (U8).
pub(super) fn excerpt(text: &str) -> String {
    text.chars().take(256).map(|c| if unicode::is_print(c) { c } else { '?' }).collect()
}

fn http_words(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        410 => "Gone",
        429 => "Too Many Requests",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}

fn no_module(reason: String) -> Error {
    Error::NoModule { reason }
}
