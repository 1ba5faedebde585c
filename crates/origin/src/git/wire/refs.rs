//! `ls-refs`: the question, and which of the answer's refs count.

use std::sync::Arc;

use bytes::Bytes;

use super::contact::Contact;
use super::talk::Talk;
use super::{Advertised, LsRefs, ObjectFormat, WireError};
use crate::git::pkt::{Pkt, Writer, text};

/// What is asked for when the caller names nothing: all that may ever count (V-91).
const ALL: [&str; 3] = ["HEAD", "refs/heads/", "refs/tags/"];
/// The longest name. git itself stops at what a file system takes, 255 bytes for one part of it.
const NAME_MAX: usize = 1_024;

impl Contact {
    /// The lines before the first delimiter: the command and what both sides must know of each other.
    pub(super) fn command(&self, name: &str) -> Writer {
        let mut message = Writer::default();
        message.line(&format!("command={name}"));
        if self.agent {
            message.line(concat!("agent=modkeep/", env!("CARGO_PKG_VERSION")));
        }
        if self.names_format {
            message.line(&format!("object-format={}", self.can.object_format.name()));
        }
        message.delimiter();
        message
    }
}

/// The message that asks for the refs below some prefixes.
pub(super) fn question(contact: &Contact, prefixes: &[&str]) -> Bytes {
    let mut message = contact.command("ls-refs");
    message.line("peel").line("symrefs");
    if contact.unborn {
        message.line("unborn");
    }
    let prefixes = if prefixes.is_empty() { &ALL } else { prefixes };
    for prefix in prefixes {
        // A prefix that no name can have must not become a line of its own making, and none at all means all refs.
        let none = prefix.bytes().any(|byte| byte.is_ascii_control());
        message.line(&format!("ref-prefix {}", if none { "HEAD" } else { prefix }));
    }
    message.flush()
}

/// Reads the answer. Refs that do not count are left out while reading, so that they cost nothing (C13, C14).
pub(super) async fn read(
    talk: &mut Talk,
    format: ObjectFormat,
    refs_max: usize,
) -> Result<LsRefs, WireError> {
    let mut answer = LsRefs::default();
    loop {
        match talk.unit().await? {
            Some(Pkt::Line(line)) => answer.take(&line, format).map_err(|what| talk.malformed(what))?,
            Some(Pkt::Flush) => break,
            Some(_) => return Err(talk.malformed("sections in a list of refs").into()),
            None => return Err(talk.malformed("a list of refs without end").into()),
        }
        if answer.refs.len() > refs_max {
            return Err(talk.too_much(format!("has more than {refs_max} refs")).into());
        }
    }
    talk.finish().await?;
    answer.refs.shrink_to_fit();
    answer.bytes = talk.bytes();
    Ok(answer)
}

impl LsRefs {
    /// One line: `<id> <name>`, then attributes; or `unborn HEAD` with its target.
    fn take(&mut self, line: &[u8], format: ObjectFormat) -> Result<(), &'static str> {
        let mut words = text(line).split(|byte| *byte == b' ');
        let (Some(id), Some(name)) = (words.next(), words.next()) else {
            return Err("a line of refs that is none");
        };
        let attribute = |key: &str| words.clone().find_map(|word| word.strip_prefix(key.as_bytes()));
        if name == b"HEAD" {
            let target = attribute("symref-target:").and_then(ref_name);
            self.head_target = target.filter(|target| target.starts_with("refs/heads/")).map(Arc::from);
        }
        if id == b"unborn" {
            return Ok(());
        }
        let id = format.id(id).ok_or("a ref whose id is none")?;
        let peeled = match attribute("peeled:") {
            Some(peeled) => Some(format.id(peeled).ok_or("a ref whose peeled id is none")?),
            None => None,
        };
        if let Some(name) = ref_name(name).filter(|name| counts(name)) {
            self.refs.push(Advertised { name: name.into(), id: id.into(), peeled: peeled.map(Arc::from) });
        }
        Ok(())
    }
}

/// Whether a ref is one of those that a module can be found through (V-91).
fn counts(name: &str) -> bool {
    name == "HEAD" || ["refs/heads/", "refs/tags/"].iter().any(|place| name.starts_with(place))
}

/// The name of a ref as text, if git would let a person make one of that name (git-check-ref-format; C13).
fn ref_name(name: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(name).ok().filter(|name| name.len() <= NAME_MAX)?;
    let fine =
        |part: &str| !part.is_empty() && !part.starts_with('.') && part.strip_suffix(".lock").is_none();
    let forbidden = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    let short = name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/tags/")).unwrap_or(name);
    let good = name.split('/').all(fine)
        && !name.contains(forbidden)
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
        && !short.starts_with('-');
    good.then_some(name)
}

impl ObjectFormat {
    /// As git calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    /// How many hex digits an id has.
    pub(crate) fn digits(self) -> usize {
        match self {
            Self::Sha1 => 40,
            Self::Sha256 => 64,
        }
    }

    /// Whether this is a full id, in lower case.
    pub(crate) fn is_id(self, text: &[u8]) -> bool {
        self.id(text).is_some()
    }

    fn id(self, text: &[u8]) -> Option<&str> {
        let digits =
            text.len() == self.digits() && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if digits { std::str::from_utf8(text).ok() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "fb637565f87b4b27692f2d2efa7653d6af47f271";
    const TAG: &str = "a2fd6d2129efd9e45367c035599b7c9ef3bcdf30";

    fn read(lines: &[&[u8]]) -> Result<LsRefs, &'static str> {
        let mut refs = LsRefs::default();
        lines.iter().try_for_each(|line| refs.take(line, ObjectFormat::Sha1)).map(|()| refs)
    }

    fn names(refs: &LsRefs) -> Vec<&str> {
        refs.refs.iter().map(|one| &*one.name).collect()
    }

    #[test]
    fn golden_refs_of_git_http_backend_are_read() {
        let refs = read(&[
            format!("{ID} HEAD symref-target:refs/heads/main\n").as_bytes(),
            format!("{ID} refs/heads/main\n").as_bytes(),
            format!("{TAG} refs/tags/v2 peeled:{ID}\n").as_bytes(),
        ])
        .unwrap();
        assert_eq!(refs.head_target.as_deref(), Some("refs/heads/main"));
        assert_eq!(names(&refs), ["HEAD", "refs/heads/main", "refs/tags/v2"]);
        assert_eq!((&*refs.refs[2].id, refs.refs[2].peeled.as_deref()), (TAG, Some(ID)));
        let unborn = read(&[b"unborn HEAD symref-target:refs/heads/main\n"]).unwrap();
        assert_eq!((unborn.head_target.as_deref(), unborn.refs.len()), (Some("refs/heads/main"), 0));
    }

    #[test]
    fn hostile_c13_refs_with_odd_names_are_ignored() {
        let long = format!("refs/tags/{}", "x".repeat(64 * 1024));
        let odd: [&[u8]; 20] = [
            b"refs/heads/--upload-pack=x",
            b"refs/tags/-v1.0.0",
            b"refs/tags/a\nb",
            b"refs/tags/a\x1b[31mb",
            b"refs/tags/a..b",
            b"refs/tags/../../x",
            b"refs/tags/.hidden",
            b"refs/tags/a/.b",
            b"refs/tags/a//b",
            b"refs/tags/",
            b"refs/tags/a.lock",
            b"refs/tags/a.",
            b"refs/tags/a@{1}",
            b"refs/tags/a:b",
            b"refs/tags/a^{}",
            b"refs/tags/\xff\xfe",
            b"refs/pull/1/head",
            b"refs/changes/01/1/1",
            b"FETCH_HEAD",
            long.as_bytes(),
        ];
        for name in odd {
            let line = [ID.as_bytes(), b" ", name].concat();
            assert_eq!(names(&read(&[&line]).unwrap()), [] as [&str; 0], "{}", name.escape_ascii());
        }
        for name in ["refs/tags/v1.0.0", "refs/tags/sub/-dir/v1.0.0", "refs/heads/ünïcode", "refs/tags/@"] {
            let line = format!("{ID} {name}");
            assert_eq!(names(&read(&[line.as_bytes()]).unwrap()), [name]);
        }
        let target = format!("{ID} HEAD symref-target:refs/heads/--upload-pack=x");
        assert_eq!(read(&[target.as_bytes()]).unwrap().head_target, None);
    }

    #[test]
    fn lines_that_are_no_refs_are_malformed() {
        let upper = ID.to_uppercase();
        for line in
            ["", ID, "x y", &format!("{upper} HEAD"), &format!("{ID}00 HEAD"), &format!("{ID} HEAD peeled:x")]
        {
            assert!(read(&[line.as_bytes()]).is_err(), "{line}");
        }
    }
}
