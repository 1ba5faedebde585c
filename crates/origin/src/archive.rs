//! From a tree to the zip of a version (module-zip sections 2, 4, 5 and 6).
//!
//! First everything is decided from names and sizes; then the files that stay are read and deflated on all cores, and
//! written in order. The zip is the same whatever the number of cores. Every file is read, hashed and deflated once.

mod packing;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::io;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::DeflateEncoder;
use modkeep_module::zip::rules::{Candidate, Kind, Limits, Refusal, VendorRules, decide};
use modkeep_module::zip::{WriteError, Writer};
use modkeep_module::{ModuleVersion, unicode, zip};
use modkeep_store::{FetchedZip, Scratch, ZipSink};

use crate::error::Error;
use crate::repository::{Entry, Tree};
use packing::Packing;

/// What a file costs in the directory of a zip beside its name, in bytes.
const DIRECTORY_RECORD_BYTES: usize = 46;

/// How long the list of a version's flaws may get, in bytes.
const REASON_BYTES_MAX: usize = 16 << 10;

/// Whether the root of the repository may have to lend its LICENSE (Z-20): the module is a directory below it, and has
/// no entry of that name, not even a link.
pub(crate) fn wants_license(tree: &dyn Tree, dir: &str) -> bool {
    !dir.is_empty() && find(tree.entries(), b"LICENSE").is_none()
}

/// Builds the zip of a version from its tree.
///
/// `license` is the raw blob `LICENSE` at the root of the repository, asked for only where [`wants_license`] says so
/// (Z-21). Blocking; works on all cores.
///
/// # Errors
///
/// [`Error::TooLarge`] and [`Error::Unfit`] are verdicts on the version, with the words of the go command.
pub(crate) fn pack(
    tree: &dyn Tree,
    license: Option<Bytes>,
    of: &ModuleVersion,
    scratch: Scratch,
) -> Result<FetchedZip, Error> {
    pack_within(&Limits::default(), tree, license, of, scratch)
}

fn pack_within(
    limits: &Limits,
    tree: &dyn Tree,
    license: Option<Bytes>,
    of: &ModuleVersion,
    scratch: Scratch,
) -> Result<FetchedZip, Error> {
    let kept = kept(limits, tree, license.as_deref(), of)?;
    let left_out_bytes = left_out_bytes(limits, tree, &kept)?;
    let files = Files { tree, license: license.as_deref(), kept: &kept };
    let built = FetchedZip::build(scratch, of, |writer| fill(&files, writer)).map_err(|stop| match stop {
        Stop::Origin(error) => error,
        Stop::Store(error) => Error::Store(error),
        Stop::Write(error) => Error::Unfit { reason: format!("create zip: {error}") },
    })?;
    let limit = limits.zip_bytes_max;
    if built.size() > limit {
        return Err(Error::TooLarge { what: "module zip file", size: built.size(), limit });
    }
    downloads(built.size().saturating_add(left_out_bytes), limit)?;
    Ok(built)
}

/// Whether the go command would download the version: its archive has all files of the directory, those too that no zip
/// keeps (Z-1).
fn downloads(size: u64, limit: u64) -> Result<(), Error> {
    if size <= limit { Ok(()) } else { Err(Error::TooLarge { what: "downloaded zip file", size, limit }) }
}

/// What the files that are left out weigh when deflated. Nothing, where all files together are small enough as they are:
/// then nobody has to know, and none of them is read.
fn left_out_bytes(limits: &Limits, tree: &dyn Tree, kept: &[Kept]) -> Result<u64, Error> {
    let stays: Vec<usize> = kept.iter().map(|file| file.entry).collect(); // ascending
    let left_out = |(at, entry): (usize, &Entry)| match entry.kind {
        Kind::Regular { bytes } if stays.binary_search(&at).is_err() => Some((at, bytes)),
        _ => None,
    };
    let left_out: Vec<(usize, u64)> = tree.entries().iter().enumerate().filter_map(left_out).collect();
    let sizes = kept.iter().map(|file| file.bytes).chain(left_out.iter().map(|(_, bytes)| *bytes));
    if sizes.fold(0, u64::saturating_add) <= limits.zip_bytes_max {
        return Ok(0);
    }
    let mut weight = 0;
    for (at, _) in left_out {
        weight += deflated_bytes(&tree.read(at)?);
        downloads(weight, limits.zip_bytes_max)?;
    }
    Ok(weight)
}

/// As git's archive has it: deflated, unless that makes it larger.
fn deflated_bytes(contents: &[u8]) -> u64 {
    let mut deflater = DeflateEncoder::new(contents, Compression::default());
    let deflated = io::copy(&mut deflater, &mut io::sink()).unwrap_or(u64::MAX); // memory cannot fail
    deflated.min(contents.len() as u64)
}

/// A file that stays, with its size.
#[derive(Clone, Copy, Debug)]
struct Kept {
    /// In the tree; one past its last entry is the LICENSE of the root.
    entry: usize,
    bytes: u64,
}

/// What [`fill`] takes files from.
struct Files<'a> {
    tree: &'a dyn Tree,
    license: Option<&'a [u8]>,
    kept: &'a [Kept],
}

impl Files<'_> {
    /// The path of a kept file; the rules saw to it that it is text.
    fn path(&self, file: Kept) -> Result<&str, Stop> {
        let path = self.tree.entries().get(file.entry).map_or(&b"LICENSE"[..], |entry| &entry.path);
        std::str::from_utf8(path)
            .map_err(|_| Stop::Origin(Error::Unfit { reason: line(path, &Refusal::NotUtf8) }))
    }

    fn read(&self, file: Kept) -> Result<std::borrow::Cow<'_, [u8]>, Stop> {
        match self.license {
            Some(license) if file.entry == self.tree.entries().len() => Ok(license.into()),
            _ => Ok(self.tree.read(file.entry)?.into()),
        }
    }
}

/// Why a zip was not finished.
#[derive(Debug)]
enum Stop {
    Origin(Error),
    Store(modkeep_store::Error),
    Write(WriteError),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Origin(error)
    }
}

impl From<modkeep_store::Error> for Stop {
    fn from(error: modkeep_store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<WriteError> for Stop {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

/// Decides about every file by the rules of section 5.
fn kept(
    limits: &Limits,
    tree: &dyn Tree,
    license: Option<&[u8]>,
    of: &ModuleVersion,
) -> Result<Vec<Kept>, Error> {
    let entries = tree.entries();
    let mut candidates: Vec<Candidate<'_>> =
        entries.iter().map(|entry| Candidate { path: &entry.path, kind: entry.kind }).collect();
    if let Some(license) = license {
        let kind = Kind::Regular { bytes: license.len() as u64 };
        candidates.push(Candidate { path: b"LICENSE", kind });
    }
    let decided = decide(&candidates, vendor_rules(tree, limits)?, limits);
    if decided.too_large {
        let limit = limits.uncompressed_bytes_max;
        return Err(Error::TooLarge { what: "module source tree", size: decided.bytes, limit });
    }
    let mut flaws = decided.refused().map(|(index, why)| line(candidates[index].path, why)).peekable();
    if flaws.peek().is_some() {
        return Err(unfit(flaws));
    }
    let kept: Vec<Kept> = decided
        .kept()
        .filter_map(|entry| match candidates[entry].kind {
            Kind::Regular { bytes } => Some(Kept { entry, bytes }),
            _ => None,
        })
        .collect();
    let names = kept.iter().map(|file| candidates[file.entry].path.len());
    directory_fits(names, of, limits)?;
    Ok(kept)
}

/// By the go line of the root file named exactly go.mod, as the archive has it.
fn vendor_rules(tree: &dyn Tree, limits: &Limits) -> Result<VendorRules, Error> {
    let Some(entry) = find(tree.entries(), b"go.mod") else { return Ok(VendorRules::of_go_mod(None)) };
    match tree.entries()[entry].kind {
        Kind::Regular { bytes } if bytes <= limits.go_mod_bytes_max => {
            Ok(VendorRules::of_go_mod(Some(&tree.read(entry)?)))
        }
        _ => Ok(VendorRules::of_go_mod(None)),
    }
}

/// An entry by its path; they ascend.
fn find(entries: &[Entry], path: &[u8]) -> Option<usize> {
    entries.binary_search_by(|entry| entry.path.as_slice().cmp(path)).ok()
}

/// A flaw of a file, in the words of the go command.
fn line(bytes: &[u8], why: &Refusal) -> String {
    let path: String = String::from_utf8_lossy(bytes)
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect();
    match why {
        Refusal::NotUtf8 => format!("{path}: malformed file path {}: invalid UTF-8", quoted(bytes)),
        why => format!("{path}: {why}"),
    }
}

/// Bytes as the go command quotes them: what is no text byte by byte.
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        let valid = unicode::quoted(chunk.valid()).to_string();
        text.push_str(valid.get(1..valid.len() - 1).unwrap_or_default());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    format!("\"{text}\"")
}

/// All flaws, one a line, as far as there is room.
fn unfit(flaws: impl Iterator<Item = String>) -> Error {
    let mut reason = "create zip: ".to_owned();
    let mut left_out = 0_u64;
    for (index, flaw) in flaws.enumerate() {
        if left_out > 0 || (index > 0 && reason.len() + flaw.len() > REASON_BYTES_MAX) {
            left_out += 1;
            continue;
        }
        if index > 0 {
            reason.push('\n');
        }
        reason.push_str(&flaw);
    }
    if left_out > 0 {
        let _ = write!(reason, "\nand {left_out} more");
    }
    Error::Unfit { reason }
}

/// Our own reader takes no zip whose directory is larger than its limit; we write none.
fn directory_fits(
    names: impl Iterator<Item = usize>,
    of: &ModuleVersion,
    limits: &Limits,
) -> Result<(), Error> {
    let prefix = of.to_string().len() + 1;
    let size = names.map(|name| (DIRECTORY_RECORD_BYTES + prefix + name) as u64).sum();
    let limit = limits.directory_bytes_max;
    if size <= limit { Ok(()) } else { Err(Error::TooLarge { what: "list of module files", size, limit }) }
}

/// Writes all files that stay.
fn fill(files: &Files<'_>, writer: &mut Writer<ZipSink<'_>>) -> Result<(), Stop> {
    let packing = Packing::new(files);
    if packing.is_small() {
        let mut packer = zip::Packer::new();
        return files
            .kept
            .iter()
            .try_for_each(|file| Ok(writer.append(packer.pack(files.path(*file)?, &files.read(*file)?)?)?));
    }
    packing.run(writer)
}
