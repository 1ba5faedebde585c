//! `POST /log/gossip` and `POST /sumdb/NAME/gossip`: a head that somebody was shown, compared with ours (spec D).
//!
//! The one question of the public service that has a body. It costs a signature and a proof, so only [`PARALLEL`] are
//! answered at once.

use bytes::Bytes;
use http::{HeaderValue, Response, Uri, header};
use modkeep_tlog::Comparison;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::asked::Asked;
use crate::body::Body;
use crate::catalogue::{Code, quoted};
use crate::door::{self, Refusal};
use crate::pages::plain;
use crate::posted::{Unread, gather};

/// Heads that are read and compared at once; whoever comes then is told to come again.
const PARALLEL: usize = 32;
/// The longest note: a head with the lines of many witnesses.
const NOTE_BYTES_MAX: usize = 64 << 10;

/// Whose head it is said to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum About {
    /// Our own log's.
    Own,
    /// That of the database with this name; it may be our own log's all the same.
    Database(String),
}

impl About {
    /// What the path of a POST names, if it is one of these.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let path = door::decoded(uri).ok()?;
        if path == "log/gossip" {
            return Some(Self::Own);
        }
        let name = path.strip_prefix("sumdb/")?.strip_suffix("/gossip")?;
        Some(Self::Database(name.to_owned()))
    }
}

/// Where heads are taken in.
#[derive(Debug)]
pub(crate) struct Desk(Semaphore);

impl Desk {
    pub(crate) fn new() -> Self {
        Self(Semaphore::new(PARALLEL))
    }

    /// Reads a note. The place is held until it has been compared.
    pub(crate) async fn take<B>(&self, body: B) -> Result<(SemaphorePermit<'_>, Bytes), Refusal>
    where
        B: http_body::Body<Data = Bytes>,
    {
        let place = self
            .0
            .try_acquire()
            .map_err(|_| Refusal::new(Code::Busy, "many heads are being compared; bring it again."))?;
        let note = gather(body, NOTE_BYTES_MAX).await.map_err(refusal)?;
        Ok((place, whole(note)))
    }
}

fn refusal(unread: Unread) -> Refusal {
    Refusal::new(
        Code::BadRequest,
        match unread {
            Unread::TooLong => format!("a head is no longer than {NOTE_BYTES_MAX} bytes."),
            Unread::TooSlow => "the head did not come in time.".to_owned(),
            Unread::Broken => "the head did not come through.".to_owned(),
        },
    )
}

/// A note as it was sent. The guard of the public listener puts a zero in the place of each bare line feed (A12), which
/// notes are full of, while a zero is in no note: so each was a line feed.
fn whole(note: Bytes) -> Bytes {
    if !note.contains(&0) {
        return note;
    }
    note.iter().map(|byte| if *byte == 0 { b'\n' } else { *byte }).collect()
}

/// The judgement: one line of text, behind it the evidence where there is some; or JSON.
pub(crate) fn answer(found: &Comparison, asked: &Asked<'_>) -> Response<Body> {
    if !asked.json {
        return plain(text(found), asked);
    }
    let mut response = plain(json(found), asked);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(found: &Comparison) -> String {
    match found {
        Comparison::Consistent { theirs, ours } => {
            format!("consistent: size {} is how the tree of size {} began\n", theirs.size, ours.size)
        }
        Comparison::UnknownFuture { theirs, ours } => format!(
            "unknown future: signed, of size {}; the newest head here has size {}. Keep the file and bring it again: if \
             this log never shows it, it has shown somebody a history of their own\n",
            theirs.size, ours.size
        ),
        Comparison::Inconsistent { evidence, .. } => {
            format!("INCONSISTENT: keep this, it is evidence against the log\n\n{evidence}")
        }
        Comparison::NotOurs { why } => format!("not ours: {why}\n"),
    }
}

fn json(found: &Comparison) -> String {
    let mut fields = vec![("verdict", quoted(found.word()))];
    if let Some((theirs, ours)) = found.heads() {
        fields.push(("size", theirs.size.to_string()));
        fields.push(("ours", ours.size.to_string()));
    }
    match found {
        Comparison::Inconsistent { evidence, .. } => fields.push(("evidence", quoted(evidence))),
        Comparison::NotOurs { why } => fields.push(("why", quoted(why))),
        Comparison::Consistent { .. } | Comparison::UnknownFuture { .. } => {}
    }
    let fields: Vec<String> = fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}\n", fields.join(","))
}

#[cfg(test)]
mod tests {
    use modkeep_tlog::{Hash, TreeHead, TreeSize};

    use super::*;

    #[test]
    fn only_two_kinds_of_paths_take_heads() {
        let own = Some(About::Own);
        let named = |name: &str| Some(About::Database(name.to_owned()));
        for (path, about) in [
            ("/log/gossip", own),
            ("/sumdb/sum.golang.org/gossip", named("sum.golang.org")),
            ("/sumdb/mirror.example/log/gossip", named("mirror.example/log")),
            ("/log/gossip/", None),
            ("/log/latest", None),
            ("/sumdb/gossip", None),
            ("/gossip", None),
            ("/", None),
        ] {
            assert_eq!(About::of(&path.parse().unwrap()), about, "{path}");
        }
    }

    #[test]
    fn line_feeds_that_the_guard_has_spoiled_are_put_back() {
        assert_eq!(whole(Bytes::from_static(b"go.sum database tree\n1\n")), "go.sum database tree\n1\n");
        assert_eq!(whole(Bytes::from_static(b"go.sum database tree\x001\0")), "go.sum database tree\n1\n");
    }

    #[test]
    fn judgements_are_told_to_people_and_programs() {
        let head = |size| TreeHead { size: TreeSize::new(size).unwrap(), root: Hash([0; 32]) };
        let (theirs, ours) = (head(5), head(9));
        for (found, says, object) in [
            (
                Comparison::Consistent { theirs, ours },
                "consistent: size 5 is how the tree of size 9 began\n",
                r#"{"verdict":"consistent","size":5,"ours":9}"#,
            ),
            (
                Comparison::Inconsistent { theirs, ours, evidence: "a\n\"b\"".into() },
                "INCONSISTENT: keep this, it is evidence against the log\n\na\n\"b\"",
                r#"{"verdict":"inconsistent","size":5,"ours":9,"evidence":"a\n\"b\""}"#,
            ),
            (
                Comparison::NotOurs { why: "no".into() },
                "not ours: no\n",
                r#"{"verdict":"not-ours","why":"no"}"#,
            ),
        ] {
            assert_eq!(text(&found), says);
            assert_eq!(json(&found), format!("{object}\n"));
        }
    }
}
