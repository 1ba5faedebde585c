//! Places where two honest readers of one zip could see different things.

use std::fmt;

/// One kind of anomaly, where it was first seen and how often.
///
/// A zip carries as many of these as it has kinds, so that a hostile zip cannot make the list long.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Anomaly {
    /// What is odd.
    pub kind: AnomalyKind,
    /// The entry where it was seen first, cut to 256 bytes; empty when it belongs to the zip as a whole.
    pub entry: Box<str>,
    /// How many entries have it; at least 1.
    pub count: u64,
}

/// What a plain writer never produces (hostile-inputs.md part F).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum AnomalyKind {
    /// The local header names another file than the central directory (F07).
    LocalName,
    /// Size or CRC in the local header contradict the central directory (F08).
    LocalSizes,
    /// The local header has another compression method.
    LocalMethod,
    /// The local header has other flags.
    LocalFlags,
    /// Two entries share bytes of the file (F09).
    Overlap,
    /// Bytes between two entries, or before the directory, belong to no entry.
    Gap,
    /// Bytes before the first local header (F25).
    PrefixBytes,
    /// Bytes after the end record (F26).
    TrailingBytes,
    /// An encryption flag is set, on data that is clear (F16).
    Encrypted,
    /// The mode is that of a symbolic link, a device, a directory under a file's name … (F15).
    SpecialMode,
    /// The sizes in a data descriptor contradict the central directory.
    DescriptorSizes,
    /// The CRC is declared as 0 without a data descriptor; the go command then checks none.
    CrcUnset,
    /// The entry has bytes that its contents do not use: after the end of the deflate stream, or under a
    /// directory.
    HiddenData,
    /// The name is not ASCII and not flagged as UTF-8, so other readers take another alphabet.
    NameEncoding,
    /// An extra field that renames the file, is broken, stands twice, or contradicts the header.
    ExtraField,
    /// The end record counts entries modulo 65,536.
    EntryCount,
    /// Fields say that the zip is one of several volumes.
    SplitVolume,
}

impl AnomalyKind {
    /// What it is, for a person.
    pub fn text(self) -> &'static str {
        match self {
            Self::LocalName => "local header has another name",
            Self::LocalSizes => "local header has another size or CRC",
            Self::LocalMethod => "local header has another compression method",
            Self::LocalFlags => "local header has other flags",
            Self::Overlap => "entries overlap",
            Self::Gap => "bytes that belong to no entry",
            Self::PrefixBytes => "bytes before the first entry",
            Self::TrailingBytes => "bytes after the end record",
            Self::Encrypted => "encryption flag",
            Self::SpecialMode => "mode of a symbolic link or special file",
            Self::DescriptorSizes => "data descriptor has another size",
            Self::CrcUnset => "CRC not set",
            Self::HiddenData => "bytes that the contents do not use",
            Self::NameEncoding => "name without its UTF-8 flag",
            Self::ExtraField => "contradictory or broken extra field",
            Self::EntryCount => "entry count overflows",
            Self::SplitVolume => "volume of a split archive",
        }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.text())?;
        if !self.entry.is_empty() {
            write!(f, ": {:?}", self.entry)?;
        }
        match self.count {
            0 | 1 => Ok(()),
            n => write!(f, " and {} more", n - 1),
        }
    }
}

/// The anomalies seen so far, in the order of first sight.
#[derive(Debug, Default)]
pub(super) struct Anomalies(Vec<Anomaly>);

impl Anomalies {
    /// Counts one that belongs to the zip as a whole.
    pub(super) fn see(&mut self, kind: AnomalyKind) {
        self.see_at(kind, b"");
    }

    /// Counts one of an entry.
    pub(super) fn see_at(&mut self, kind: AnomalyKind, entry: &[u8]) {
        match self.0.iter_mut().find(|seen| seen.kind == kind) {
            Some(seen) => seen.count += 1,
            None => self.0.push(Anomaly { kind, entry: super::error::excerpt(entry), count: 1 }),
        }
    }

    pub(super) fn into_vec(self) -> Vec<Anomaly> {
        self.0
    }
}
