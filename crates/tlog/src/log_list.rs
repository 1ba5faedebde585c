//! Lists of logs that ask to be witnessed: `logs/v0` of the witness network. Spec B4.
//!
//! ```text
//! logs/v0
//!
//! vkey log.example.org+0a72cd63+AV2yLmzeBL9B3zFJNqal0JuqxiFve0m/eqmT1+KkLVeC
//! qpd 86400
//! contact sysadmin (at) example.org
//! ```
//!
//! `origin ORIGIN` stands where checkpoints do not begin with the key's name. A witness takes from a list what is new to
//! it and nothing else: a list never changes or removes a log that is known.

use alloc::{borrow::ToOwned as _, format, string::String, vec::Vec};
use core::{fmt::Write as _, str};

use crate::key::VerifierKey;

/// The first line of a list.
const HEADER: &str = "logs/v0";
/// A longer list is refused unread: a hundred thousand logs, the largest profile of the network, with room.
pub const LIST_BYTES_MAX: usize = 32 * 1024 * 1024;
/// More logs are refused.
pub const LOGS_MAX: usize = 100_000;
/// The longest origin and contact that are taken.
const LINE_BYTES_MAX: usize = 1024;

/// A log as a list has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListedLog {
    /// The key that signs its checkpoints.
    pub key: VerifierKey,
    /// The first line of its checkpoints.
    pub origin: String,
    /// How many checkpoints it may bring in a day. At least 1.
    pub qpd: u32,
    /// How its operator is reached, for people; may be empty.
    pub contact: String,
}

/// What a list holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LogList {
    /// The logs that can be witnessed, in their order.
    pub logs: Vec<ListedLog>,
    /// Items that cannot: keys of a kind that we do not know, a rate that is none. By the line where each begins.
    pub skipped: Vec<usize>,
}

/// Why bytes are no list.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("list of logs, line {line}: {reason}")]
pub struct ListError {
    /// Counted from 1; 0 for the whole.
    pub line: usize,
    /// What is wrong.
    pub reason: &'static str,
}

/// An item as far as it was read.
struct Item<'a> {
    line: usize,
    vkey: &'a str,
    origin: Option<&'a str>,
    qpd: Option<&'a str>,
    contact: &'a str,
}

impl LogList {
    /// Reads a list. Blank lines and lines that begin with `#` are passed over, and so are words within an item that we
    /// do not know.
    pub fn parse(bytes: &[u8]) -> Result<Self, ListError> {
        let whole = |reason| ListError { line: 0, reason };
        if bytes.len() > LIST_BYTES_MAX {
            return Err(whole("it is too long"));
        }
        let text = str::from_utf8(bytes).map_err(|_| whole("it is not UTF-8"))?;
        let mut lines =
            (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        match lines.next() {
            Some((_, HEADER)) => {}
            Some((line, _)) => return Err(ListError { line, reason: "want the line logs/v0 first" }),
            None => return Err(whole("it is empty")),
        }
        let (mut list, mut item) = (Self::default(), None);
        for (line, text) in lines {
            let (word, value) = text.split_once(' ').unwrap_or((text, ""));
            if word == "vkey" {
                list.take(item.take())?;
                item = Some(Item { line, vkey: value, origin: None, qpd: None, contact: "" });
                continue;
            }
            let Some(item) = &mut item else {
                return Err(ListError { line, reason: "an item begins with vkey" });
            };
            match word {
                "origin" => item.origin = Some(value),
                "qpd" => item.qpd = Some(value),
                "contact" => item.contact = value,
                _ => {}
            }
        }
        list.take(item)?;
        Ok(list)
    }

    fn take(&mut self, item: Option<Item<'_>>) -> Result<(), ListError> {
        let Some(item) = item else { return Ok(()) };
        if self.logs.len() >= LOGS_MAX {
            return Err(ListError { line: item.line, reason: "it has too many logs" });
        }
        match item.read() {
            Some(log) => self.logs.push(log),
            None => self.skipped.push(item.line),
        }
        Ok(())
    }
}

impl Item<'_> {
    fn read(&self) -> Option<ListedLog> {
        let key = VerifierKey::parse(self.vkey).ok()?;
        let origin = match self.origin {
            None | Some("none") => key.name(),
            Some(origin) => origin,
        };
        let qpd = self.qpd?.parse().ok().filter(|qpd| *qpd > 0)?;
        let is_line = |text: &str| text.len() <= LINE_BYTES_MAX && !text.chars().any(char::is_control);
        let is_fit = !origin.is_empty() && is_line(origin) && is_line(self.contact);
        let (origin, contact) = (origin.to_owned(), self.contact.to_owned());
        is_fit.then_some(ListedLog { key, origin, qpd, contact })
    }
}

/// The text of a list: what [`LogList::parse`] reads.
pub fn to_text(logs: &[ListedLog]) -> String {
    let mut text = format!("{HEADER}\n");
    for log in logs {
        // Writing to a string never fails.
        let _ = write!(text, "\nvkey {}\norigin {}\nqpd {}\n", log.key, log.origin, log.qpd);
        if !log.contact.is_empty() {
            let _ = writeln!(text, "contact {}", log.contact);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    const KEY: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

    fn keys(list: &LogList) -> Vec<(String, u32)> {
        list.logs.iter().map(|log| (log.origin.clone(), log.qpd)).collect()
    }

    #[test]
    fn b4_a_list_is_read_as_the_network_writes_it() {
        let text = format!(
            "#\n# List:      10qps-100klogs\n# Revision:  123\n#\nlogs/v0\n\n# the public one\nvkey {KEY}\n\
             origin go.sum database tree\nqpd 24\nbastion none\ncontact security (at) example.org\n\n\
             vkey {KEY}\norigin none\nbastion https://bastion.example/\nqpd 86400\nflavour new\n"
        );
        let list = LogList::parse(text.as_bytes()).unwrap();
        let wanted = [("go.sum database tree".to_owned(), 24), ("sum.golang.org".to_owned(), 86_400)];
        assert_eq!(keys(&list), wanted);
        assert_eq!(list.logs.first().unwrap().contact, "security (at) example.org");
        assert_eq!(list.logs.first().unwrap().key.to_string(), KEY);
        assert!(list.skipped.is_empty());
        assert_eq!(LogList::parse(to_text(&list.logs).as_bytes()).unwrap(), list);
        assert_eq!(LogList::parse(b"logs/v0\n").unwrap(), LogList::default());
    }

    #[test]
    fn b4_what_cannot_be_witnessed_is_passed_over_and_what_is_no_list_is_refused() {
        for (item, why) in [
            ("vkey nonsense\nqpd 1\n", "no key"),
            (&format!("vkey {KEY}\n"), "no rate"),
            (&format!("vkey {KEY}\nqpd 0\n"), "a rate of nothing"),
            (&format!("vkey {KEY}\nqpd -1\n"), "a rate that is none"),
            (&format!("vkey {KEY}\nqpd 99999999999\n"), "a rate beyond measure"),
            (&format!("vkey {KEY}\norigin \nqpd 1\n"), "an empty origin"),
            (&format!("vkey {KEY}\norigin a\tb\nqpd 1\n"), "a control character"),
            (&format!("vkey {KEY}\norigin {}\nqpd 1\n", "a".repeat(2000)), "an origin without end"),
        ] {
            let text = format!("logs/v0\n{item}vkey {KEY}\nqpd 7\n");
            let list = LogList::parse(text.as_bytes()).unwrap();
            assert_eq!(
                (keys(&list), list.skipped.as_slice()),
                (alloc::vec![("sum.golang.org".to_owned(), 7)], &[2][..]),
                "{why}"
            );
        }
        for (text, line) in
            [("", 0), ("# nothing\n", 0), ("logs/v1\n", 1), ("\nvkey x\n", 2), ("logs/v0\nqpd 1\n", 2)]
        {
            assert_eq!(LogList::parse(text.as_bytes()).unwrap_err().line, line, "{text:?}");
        }
        assert!(LogList::parse(&[0xff]).is_err());
        assert!(LogList::parse(&alloc::vec![b'#'; LIST_BYTES_MAX + 1]).is_err());
    }
}
