//! What an audit finds, and what it could not look at.

use std::fmt;

use modkeep_tlog::note::Note;
use modkeep_tlog::{RecordId, Tile, VerifierKey};
use serde::{Deserialize, Serialize};

/// What is wrong.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Two signed heads that cannot both be true.
    Fork,
    /// A head smaller than one seen before.
    Rollback,
    /// A record whose text is not what the signed tree holds at its place.
    ChangedRecord,
    /// Two records of one module version.
    Duplicate,
    /// A tile of hashes or records that the head promises and the log does not serve.
    MissingTile,
    /// A line that speaks of a module version where none belongs: in a head, or in another module's record
    /// (CVE-2026-56864).
    HiddenLine,
    /// A sum in a lookup that is not the logged one, or a logged one that is not what the mirror holds.
    WrongSum,
    /// A tile that does not fit the tile above it, the signed root, or its own name.
    BadTile,
    /// A head that the log's key has not signed.
    BadSignature,
    /// A signed text that is no head, or a lookup without one that covers its record.
    BadHead,
    /// The log has no head at all.
    MissingHead,
    /// A lookup that denies a logged record, or answers with what is no answer.
    BadLookup,
    /// A record that is not the two lines of A1, or breaks the rules of A2.
    Grammar,
}

/// How grave it is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Unusual, and legal.
    Warning,
    /// No honest, undamaged log shows it.
    Misbehaviour,
}

/// One thing that was found.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub kind: Kind,
    /// How grave it is.
    pub severity: Severity,
    /// The record that it is about, where it is about one.
    pub record: Option<u64>,
    /// What was seen, for people.
    pub text: String,
    /// The file that proves it, where one was written.
    pub evidence: Option<String>,
}

impl Finding {
    pub(crate) fn of(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, severity: Severity::Misbehaviour, record: None, text: text.into(), evidence: None }
    }

    pub(crate) fn warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    pub(crate) fn about(self, record: RecordId) -> Self {
        Self { record: Some(record.get()), ..self }
    }

    /// Whether the other one says the same, wherever its evidence lies.
    pub(crate) fn repeats(&self, other: &Self) -> bool {
        self.kind == other.kind && self.record == other.record && self.text == other.text
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fork => "fork",
            Self::Rollback => "rollback",
            Self::ChangedRecord => "changed-record",
            Self::Duplicate => "duplicate",
            Self::MissingTile => "missing-tile",
            Self::HiddenLine => "hidden-line",
            Self::WrongSum => "wrong-sum",
            Self::BadTile => "bad-tile",
            Self::BadSignature => "bad-signature",
            Self::BadHead => "bad-head",
            Self::MissingHead => "missing-head",
            Self::BadLookup => "bad-lookup",
            Self::Grammar => "grammar",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if self.severity == Severity::Warning {
            f.write_str(" (warning)")?;
        }
        if let Some(record) = self.record {
            write!(f, ": record {record}")?;
        }
        write!(f, ": {}", self.text)?;
        match &self.evidence {
            Some(file) => write!(f, " [{file}]"),
            None => Ok(()),
        }
    }
}

/// Why records were not read where nobody wanted them read.
const LEFT_OUT: &str = "left out on request";

/// What could not be checked: records, because a tile that leads to them is not there, or the consistency of two heads.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Gap {
    /// The first record.
    pub from: u64,
    /// The record after the last; equal to `from` where it is not about records.
    pub to: u64,
    /// Why.
    pub why: String,
}

impl Gap {
    /// Records that could not be read because of tiles of which this was found. One word for each reason, so that
    /// neighbours are told as one.
    pub(crate) fn of(from: u64, to: u64, found: Kind, is_partial: bool) -> Self {
        let why = match found {
            Kind::MissingTile if is_partial => "not in this copy",
            Kind::MissingTile => "tiles that lead to them are not there",
            _ => "tiles that lead to them are damaged",
        };
        Self { from, to, why: why.to_owned() }
    }

    /// Records that nobody asked for.
    pub(crate) fn left_out(from: u64, to: u64) -> Self {
        Self { from, to, why: LEFT_OUT.to_owned() }
    }

    /// Whether it was asked for.
    pub fn is_wanted(&self) -> bool {
        self.why == LEFT_OUT
    }

    pub(crate) fn consistency(tile: &Tile) -> Self {
        let why = format!("consistency with the head before: {} is not there", tile.path());
        Self { from: 0, to: 0, why }
    }

    /// Whether `other` goes on where this one ends, for the same reason.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.to == other.from && self.from < self.to && self.why == other.why
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.to {
            return f.write_str(&self.why);
        }
        write!(f, "records {} to {}: {}", self.from, self.to.saturating_sub(1), self.why)
    }
}

/// Signed lines behind the three of a head: legal, but clients once took them for lines of go.sum (CVE-2026-56864).
pub(crate) fn extra_lines(note: &[u8], key: &VerifierKey) -> Finding {
    let open = Note::open(note, std::slice::from_ref(key));
    let text = open.as_ref().map(modkeep_tlog::note::OpenNote::text).unwrap_or_default();
    let extra: Vec<&str> = text.lines().skip(3).collect();
    let sums = extra.iter().any(|line| line.contains(" h1:"));
    let finding =
        Finding::of(Kind::HiddenLine, format!("the signed head goes on: {:?}", excerpt(&extra.join("\n"))));
    if sums { finding } else { finding.warning() }
}

/// The front of a text, for a message.
pub(crate) fn excerpt(text: &str) -> String {
    const CHARS_MAX: usize = 300;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
