//! Which files of a source tree belong in the zip of a version: the table of module-zip.md section 5.
//!
//! A pure decision: names, kinds and sizes in, one verdict per file out. For each file the first matching row of the
//! table decides.
//!
//! ```
//! use modkeep_module::zip::rules::{Candidate, Kind, Limits, Omission, VendorRules, Verdict, decide};
//!
//! let file = |path: &'static str| Candidate { path: path.as_bytes(), kind: Kind::Regular { bytes: 10 } };
//! let files = [file("go.mod"), file("vendor/a/a.go"), file("x.go")];
//! let vendor = VendorRules::of_go_mod(Some(b"module example.com/m\n\ngo 1.24\n"));
//! let decided = decide(&files, vendor, &Limits::default());
//! assert_eq!(decided.verdicts, [Verdict::Keep, Verdict::Omit(Omission::Vendored), Verdict::Keep]);
//! assert!(decided.is_valid());
//! ```

use std::collections::HashSet;

pub use super::Collision;
pub use super::Limits;
use super::collide::{Placed, collisions};
use super::names::is_clean;
use crate::gomod::GoMod;
use crate::path::{PathError, check_file_path};

/// A file of the tree.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Candidate<'a> {
    /// Its path below the module root, slash-separated; bytes, because a tree may hold any (Z-16).
    pub path: &'a [u8],
    /// What it is.
    pub kind: Kind,
}

/// What a file is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A regular file, executable or not.
    Regular {
        /// Its size after the archive conversions of section 3.
        bytes: u64,
    },
    /// A symbolic link.
    Symlink,
    /// A directory entry, such as a submodule's or an empty tree's.
    Directory,
    /// Anything else.
    Special,
}

/// Which of the two regimes of section 5.1 holds, by the go line of the root go.mod.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VendorRules {
    /// Go line unknown, unparsable or below 1.24.
    Before124,
    /// Go line 1.24 or higher, pre-releases included.
    Since124,
}

/// The verdict on one file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// In the zip.
    Keep,
    /// Left out; the version is fine.
    Omit(Omission),
    /// The version has no zip.
    Refuse(Refusal),
}

/// Why a file is left out. The texts are those of the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Omission {
    /// Row 3.
    #[error("file is in vendor directory")]
    Vendored,
    /// Row 4.
    #[error("file is in another module")]
    OtherModule,
    /// Row 5.
    #[error("file is inserted by 'hg archive' and is always omitted")]
    HgArchival,
    /// Row 9.
    #[error("file is a symbolic link")]
    Symlink,
    /// Row 10.
    #[error("not a regular file")]
    NotRegular,
}

/// Why a file makes its version impossible.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Row 1.
    #[error("file path is not clean")]
    NotClean,
    /// Row 2.
    #[error("file path is not relative")]
    NotRelative,
    /// Row 6, for bytes that are no text.
    #[error("malformed file path: not valid UTF-8")]
    NotUtf8,
    /// Row 6.
    #[error(transparent)]
    Name(PathError),
    /// Row 7.
    #[error("go.mod files must have lowercase names")]
    GoModCase,
    /// Row 8.
    #[error(transparent)]
    Collision(Collision),
    /// Row 12.
    #[error("go.mod file too large (max size is {limit} bytes)")]
    GoModTooLarge {
        /// The limit.
        limit: u64,
    },
    /// Row 12.
    #[error("LICENSE file too large (max size is {limit} bytes)")]
    LicenseTooLarge {
        /// The limit.
        limit: u64,
    },
}

/// The verdicts on a tree.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decided {
    /// One for each file, in the same order.
    pub verdicts: Vec<Verdict>,
    /// The sum of the sizes of all files that passed the rows before the limits, in bytes.
    pub bytes: u64,
    /// Whether `bytes` is above the limit (row 11): no zip.
    pub too_large: bool,
}

impl Decided {
    /// Whether the version has a zip.
    pub fn is_valid(&self) -> bool {
        !self.too_large && self.refused().next().is_none()
    }

    /// The index of each file in the zip.
    pub fn kept(&self) -> impl Iterator<Item = usize> + '_ {
        self.verdicts.iter().enumerate().filter(|(_, v)| **v == Verdict::Keep).map(|(index, _)| index)
    }

    /// The files that make the version impossible, all of them, with the reason.
    pub fn refused(&self) -> impl Iterator<Item = (usize, &Refusal)> + '_ {
        self.verdicts.iter().enumerate().filter_map(|(index, verdict)| match verdict {
            Verdict::Refuse(why) => Some((index, why)),
            _ => None,
        })
    }
}

/// Decides for every file of the tree below the module root.
///
/// Directories themselves need not be listed, links and special files must be. A LICENSE copied from the
/// repository root (Z-20) is one of `files`, the last.
pub fn decide(files: &[Candidate<'_>], vendor: VendorRules, limits: &Limits) -> Decided {
    let nested = nested_modules(files);
    // `None` where the rows up to 7 leave the verdict open.
    let mut verdicts: Vec<Option<Verdict>> =
        files.iter().map(|file| by_name(file.path, vendor, &nested)).collect();
    refuse_collisions(files, &mut verdicts);
    let mut decided = Decided { verdicts: Vec::with_capacity(files.len()), bytes: 0, too_large: false };
    for (file, verdict) in files.iter().zip(verdicts) {
        let verdict = verdict.unwrap_or_else(|| by_kind(file, limits, &mut decided.bytes));
        decided.verdicts.push(verdict);
    }
    decided.too_large = decided.bytes > limits.uncompressed_bytes_max;
    decided
}

/// Directories other than the root that hold a regular file `go.mod`, in any case.
fn nested_modules<'a>(files: &[Candidate<'a>]) -> HashSet<&'a [u8]> {
    files
        .iter()
        .filter(|file| matches!(file.kind, Kind::Regular { .. }))
        .filter_map(|file| split_last(file.path))
        .filter(|(_, base)| base.eq_ignore_ascii_case(b"go.mod"))
        .map(|(directory, _)| directory)
        .collect()
}

/// The directory and the last element of a path that has both.
fn split_last(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = memchr::memrchr(b'/', path)?;
    Some((&path[..slash], &path[slash + 1..]))
}

/// Rows 1 to 7.
fn by_name(path: &[u8], vendor: VendorRules, nested: &HashSet<&[u8]>) -> Option<Verdict> {
    if !is_clean(path) {
        return Some(Verdict::Refuse(Refusal::NotClean));
    }
    if path.starts_with(b"/") {
        return Some(Verdict::Refuse(Refusal::NotRelative));
    }
    if vendor.omit(path) {
        return Some(Verdict::Omit(Omission::Vendored));
    }
    if is_in_one_of(nested, path) {
        return Some(Verdict::Omit(Omission::OtherModule));
    }
    if path == b".hg_archival.txt" {
        return Some(Verdict::Omit(Omission::HgArchival));
    }
    let Ok(text) = std::str::from_utf8(path) else {
        return Some(Verdict::Refuse(Refusal::NotUtf8));
    };
    if let Err(error) = check_file_path(text) {
        return Some(Verdict::Refuse(Refusal::Name(error)));
    }
    if path.eq_ignore_ascii_case(b"go.mod") && path != b"go.mod" {
        return Some(Verdict::Refuse(Refusal::GoModCase));
    }
    None
}

fn is_in_one_of(directories: &HashSet<&[u8]>, path: &[u8]) -> bool {
    !directories.is_empty()
        && memchr::memchr_iter(b'/', path).any(|slash| directories.contains(&path[..slash]))
}

/// Row 8, among the files that came this far; links take part although they are dropped.
fn refuse_collisions(files: &[Candidate<'_>], verdicts: &mut [Option<Verdict>]) {
    let entered: Vec<(usize, Placed<'_>)> = files
        .iter()
        .enumerate()
        .filter(|(index, _)| verdicts[*index].is_none())
        .filter_map(|(index, file)| {
            let path = std::str::from_utf8(file.path).ok()?;
            Some((index, Placed { path, is_dir: file.kind == Kind::Directory }))
        })
        .collect();
    for (which, clash) in collisions(entered.iter().map(|(_, name)| *name)) {
        let verdict = &mut verdicts[entered[which].0];
        if verdict.is_none() {
            *verdict = Some(Verdict::Refuse(Refusal::Collision(clash)));
        }
    }
}

/// Rows 9 to 13; `bytes` is the running total.
fn by_kind(file: &Candidate<'_>, limits: &Limits, bytes: &mut u64) -> Verdict {
    let size = match file.kind {
        Kind::Symlink => return Verdict::Omit(Omission::Symlink),
        Kind::Directory | Kind::Special => return Verdict::Omit(Omission::NotRegular),
        Kind::Regular { bytes } => bytes,
    };
    *bytes = bytes.saturating_add(size);
    match file.path {
        b"go.mod" if size > limits.go_mod_bytes_max => {
            Verdict::Refuse(Refusal::GoModTooLarge { limit: limits.go_mod_bytes_max })
        }
        b"LICENSE" if size > limits.license_bytes_max => {
            Verdict::Refuse(Refusal::LicenseTooLarge { limit: limits.license_bytes_max })
        }
        _ => Verdict::Keep,
    }
}

impl VendorRules {
    /// Chooses by the contents of the root file named exactly `go.mod`, `None` when there is no such regular file.
    pub fn of_go_mod(contents: Option<&[u8]>) -> Self {
        let go = contents.and_then(|bytes| GoMod::parse_lenient(bytes).ok()).and_then(|go_mod| go_mod.go);
        match go.as_deref().and_then(language) {
            Some(language) if language >= (1, 24) => Self::Since124,
            _ => Self::Before124,
        }
    }

    /// Whether a file is part of a vendored package (section 5.1).
    fn omit(self, path: &[u8]) -> bool {
        const VENDOR: &[u8] = b"vendor/";
        if self == Self::Since124 && path == b"vendor/modules.txt" {
            return true;
        }
        let inside = if let Some(inside) = path.strip_prefix(VENDOR) {
            inside
        } else if let Some(at) = memchr::memmem::find(path, b"/vendor/") {
            match self {
                // golang.org/issue/37397: the old rule skips eight bytes from the front instead of the prefix, and
                // a slash always follows.
                Self::Before124 => return true,
                Self::Since124 => &path[at + 1 + VENDOR.len()..],
            }
        } else {
            return false;
        };
        memchr::memchr(b'/', inside).is_some()
    }
}

/// The first two numbers of a go line: `1.24rc1` and `1.24.2` are language 1.24.
fn language(go: &str) -> Option<(u64, u64)> {
    let (major, rest) = go.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((number(major)?, number(minor)?))
}

/// A decimal number; one that is too large counts as the largest.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}
