//! `fetch`: the question, and the pack behind what the server says first.

use std::sync::Arc;

use bytes::{Buf as _, Bytes};

use super::contact::Contact;
use super::talk::{Talk, harmless};
use super::{FetchAsk, Filter, ObjectFormat, WireError};
use crate::git::pkt::{Pkt, text};

/// A server that dies of a question says nothing at all; of all that we ask the filter is the oddest.
const NOTHING: &str = "nothing";
/// What may come besides the pack: sections before it, and messages between its parts that nobody asked for (C14).
/// 300,000 shallow commits, or the signs of life of many days.
const CHATTER_MAX: u64 = 16 * 1024 * 1024;

/// The message that asks for a pack.
pub(super) fn question(contact: &Contact, ask: &FetchAsk) -> Result<Bytes, WireError> {
    let ids = ask.wants.iter().chain(&ask.haves).chain(&ask.shallow);
    if ask.wants.is_empty() || !ids.into_iter().all(|id| contact.can.object_format.is_id(id.as_bytes())) {
        return Err(WireError::WantRefused { text: "not ids of this repository".to_owned() });
    }
    if ask.filter.is_some() && !contact.can.filter {
        return Err(WireError::FilterRefused { text: "it does not offer any".to_owned() });
    }
    let mut message = contact.command("fetch");
    message.line("no-progress").line("ofs-delta");
    if ask.thin {
        message.line("thin-pack");
    }
    for (word, ids) in [("want", &ask.wants), ("shallow", &ask.shallow), ("have", &ask.haves)] {
        for id in ids {
            message.line(&format!("{word} {id}"));
        }
    }
    if let Some(depth) = ask.depth.filter(|_| contact.can.shallow) {
        message.line(&format!("deepen {depth}"));
    }
    if let Some(Filter::Trees(depth)) = ask.filter {
        message.line(&format!("filter tree:{depth}"));
    }
    message.line("done");
    Ok(message.flush())
}

/// The answer to a [`FetchAsk`]: what the server cut off, and the pack, yet to be read.
///
/// The server's word is all that stands behind it: whether it honoured a depth shows in `shallow`, whether it honoured
/// a filter only in the pack (C20).
#[derive(Debug)]
pub(crate) struct Fetched {
    /// Commits that came without their parents. Empty although a depth was asked for: the server ignored it, or the
    /// history is that short.
    pub(crate) shallow: Vec<Arc<str>>,
    /// Commits that were shallow here and are no longer.
    pub(crate) unshallow: Vec<Arc<str>>,
    talk: Talk,
    pack_bytes: u64,
    ended: bool,
}

impl Fetched {
    /// Reads the answer up to its pack.
    pub(super) async fn begin(talk: Talk, format: ObjectFormat, filtered: bool) -> Result<Self, WireError> {
        let mut fetched = Self { shallow: vec![], unshallow: vec![], talk, pack_bytes: 0, ended: false };
        match fetched.sections(format).await {
            Ok(()) => Ok(fetched),
            Err(WireError::Said { text }) => Err(refused(text, filtered)),
            Err(error) => Err(error),
        }
    }

    async fn sections(&mut self, format: ObjectFormat) -> Result<(), WireError> {
        loop {
            let line = match self.talk.unit().await? {
                Some(Pkt::Line(line)) => line,
                None if self.talk.bytes() == 0 => return Err(WireError::Said { text: NOTHING.to_owned() }),
                Some(_) | None => return Err(self.talk.malformed("an answer without a pack").into()),
            };
            match text(&line) {
                b"packfile" => return Ok(()),
                b"shallow-info" => self.shallow_info(format).await?,
                // Of no use to us, but a server may tell: what it has in common with us, refs that we asked for by name.
                b"acknowledgments" | b"wanted-refs" => while self.line_of_section().await?.is_some() {},
                _ => return Err(self.talk.malformed("a section that nobody asked for").into()),
            }
        }
    }

    async fn shallow_info(&mut self, format: ObjectFormat) -> Result<(), WireError> {
        while let Some(line) = self.line_of_section().await? {
            let words = std::str::from_utf8(text(&line)).ok().and_then(|line| line.split_once(' '));
            match words {
                Some(("shallow", id)) if format.is_id(id.as_bytes()) => self.shallow.push(id.into()),
                Some(("unshallow", id)) if format.is_id(id.as_bytes()) => self.unshallow.push(id.into()),
                _ => return Err(self.talk.malformed("a shallow commit that is none").into()),
            }
        }
        Ok(())
    }

    /// The next line of a section; `None` where the next section begins.
    async fn line_of_section(&mut self) -> Result<Option<Bytes>, WireError> {
        self.chatter()?;
        match self.talk.unit().await? {
            Some(Pkt::Line(line)) => Ok(Some(line)),
            Some(Pkt::Delimiter) => Ok(None),
            _ => Err(self.talk.malformed("an answer without a pack").into()),
        }
    }

    /// The next bytes of the pack; `None` at its proper end. Its contents are unchecked.
    ///
    /// Cancel safe: a caller that stops waiting and calls again loses nothing.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, WireError> {
        while !self.ended {
            let mut line = match self.talk.unit().await? {
                Some(Pkt::Line(line)) => line,
                Some(Pkt::Flush) => {
                    self.ended = true;
                    break;
                }
                Some(_) | None => return Err(self.talk.malformed("a pack without end").into()),
            };
            let band = line.first().copied();
            line.advance(line.len().min(1));
            match band {
                Some(1) if !line.is_empty() => {
                    self.pack_bytes += line.len() as u64;
                    return Ok(Some(line));
                }
                // An empty piece is a sign of life, and band 2 is for people.
                Some(1 | 2) => self.chatter()?,
                Some(3) => return Err(WireError::Said { text: harmless(&line) }),
                _ => return Err(self.talk.malformed("a band that git does not have").into()),
            }
        }
        self.talk.finish().await?;
        Ok(None)
    }

    /// Everything but the pack has a limit of its own: a line may be 5 bytes long and come for ever.
    fn chatter(&self) -> Result<(), WireError> {
        // What is received and not yet handed out counts as well; that is at most a line and a chunk.
        if self.talk.bytes().saturating_sub(self.pack_bytes) <= CHATTER_MAX {
            return Ok(());
        }
        Err(self.talk.too_much(format!("said more than {CHATTER_MAX} bytes besides the pack")).into())
    }
}

/// Sorts what a server says instead of a pack by what can be done about it. The words are those of git and of `JGit`.
fn refused(text: String, filtered: bool) -> WireError {
    let says = |words: &str| text.to_ascii_lowercase().contains(words);
    if says("not our ref") || (says("want ") && says("not valid")) {
        WireError::WantRefused { text }
    } else if filtered && (says("filter") || text == NOTHING) {
        WireError::FilterRefused { text }
    } else {
        WireError::Said { text }
    }
}
