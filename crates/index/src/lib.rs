//! The index face: which versions became visible here, in that order.
//!
//! A page is newline-delimited JSON, one line per version that became visible with its zip:
//! `{"Path":"example.com/m","Version":"v1.0.0","Timestamp":"2026-11-21T10:00:00.123456Z"}`. Times strictly
//! increase (R8), whatever the clock does. `since` is inclusive, so a page begins with the line whose time
//! was asked; with that one line dropped, paging neither loses nor repeats any (spec/README item 10).

mod since;

use modkeep_module::Patterns;
use modkeep_store::{FeedLine, Store};

pub use since::Since;

/// The largest page, and the default one.
pub const LINES_MAX: u32 = 2000;

/// One rendered line is about this long; a page is allocated once.
const LINE_BYTES: usize = 128;

/// The feed over one store. Cheap to clone.
#[derive(Clone)]
pub struct Index {
    store: Store,
    private: Patterns,
}

/// Why a page cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The value of `since` is no time: 400.
    #[error("since: {reason}")]
    Since {
        /// What is wrong, for the reader.
        reason: &'static str,
    },
    /// The value of `limit` is no number from 1 to [`LINES_MAX`]: 400.
    #[error("limit: a number from 1 to {LINES_MAX} is wanted")]
    Limit,
    /// The ledger cannot be read.
    #[error(transparent)]
    Store(#[from] modkeep_store::Error),
}

impl Index {
    /// The feed of `store`.
    pub fn new(store: Store) -> Self {
        Self { store, private: Patterns::default() }
    }

    /// The same feed without paths that match: versions may have become visible before their path was declared
    /// private (D14, J08).
    #[must_use]
    pub fn without(self, private: Patterns) -> Self {
        Self { private, ..self }
    }

    /// One page: at most `limit` lines whose time is `since` or later; both as they stand in the query
    /// string, decoded.
    ///
    /// Cancel safe.
    pub async fn page(&self, since: Option<&str>, limit: Option<&str>) -> Result<Vec<u8>, IndexError> {
        let since = since.map(Since::parse).transpose()?;
        let limit = limit.map_or(Ok(LINES_MAX), parse_limit)?;
        let lines = self.lines(since.map(Since::micros), limit).await?;
        Ok(render(&lines))
    }

    /// `limit` lines from `since`, or all there are: a page that is short is the last one, so private lines are made up
    /// for by later ones.
    async fn lines(&self, mut since: Option<i64>, limit: u32) -> Result<Vec<FeedLine>, modkeep_store::Error> {
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut lines: Vec<FeedLine> = Vec::new();
        loop {
            let read = self.store.feed(since, limit).await?;
            let is_last = read.len() < wanted;
            since = read.last().map(|line| line.at_micros.saturating_add(1));
            lines.extend(read.into_iter().filter(|line| !self.private.matches(line.path.as_str())));
            if is_last || lines.len() >= wanted {
                lines.truncate(wanted);
                return Ok(lines);
            }
        }
    }
}

/// Reads `limit` strictly: digits alone, so that neither a sign nor an exponent passes (K08).
fn parse_limit(text: &str) -> Result<u32, IndexError> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let limit = text.parse().ok().filter(|limit| plain && (1..=LINES_MAX).contains(limit));
    limit.ok_or(IndexError::Limit)
}

/// The page's bytes.
///
/// Paths and versions are ASCII without quotes or backslashes by the rules of their types, so they need no
/// JSON escaping.
fn render(lines: &[FeedLine]) -> Vec<u8> {
    let mut page = Vec::with_capacity(lines.len() * LINE_BYTES);
    for line in lines {
        page.extend_from_slice(b"{\"Path\":\"");
        page.extend_from_slice(line.path.as_str().as_bytes());
        page.extend_from_slice(b"\",\"Version\":\"");
        page.extend_from_slice(line.version.as_str().as_bytes());
        page.extend_from_slice(b"\",\"Timestamp\":\"");
        since::print(line.at_micros, &mut page);
        page.extend_from_slice(b"\"}\n");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_k08_limits_are_plain_numbers_in_range() {
        for (text, expected) in [
            ("1", Some(1)),
            ("2000", Some(2000)),
            ("0010", Some(10)),
            ("0", None),
            ("2001", None),
            ("-1", None),
            ("+1", None),
            ("2147483648", None),
            ("99999999999999999999", None),
            ("1e9", None),
            ("", None),
            (" 5", None),
            ("٣", None),
        ] {
            assert_eq!(parse_limit(text).ok(), expected, "{text:?}");
        }
    }
}
