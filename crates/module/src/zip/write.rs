//! Writing our own zips.
//!
//! Z-30 to Z-33: names are `path@version/` and the file's path, no directory entries, deflate at one fixed
//! level, no times, no modes, no extra fields. The same files in the same order give the same bytes on every
//! machine, and however many threads packed them ([`Packer`]). Sizes and CRC stand in data descriptors behind the
//! contents (Z-34), so the output is written once, front to back.

use std::io::{self, Write};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use rawzip::path::EntryPath;
use rawzip::{CompressionMethod, DataDescriptorOutput, ZipArchiveWriter};
use sha2::{Digest, Sha256};

use super::check::ZipFacts;
use crate::h1::{H1, Hasher};
use crate::path::{PathError, check_file_path};
use crate::version::ModuleVersion;

/// The deflate level of every zip we make. Part of the stored form: another level gives other bytes (Z-33).
///
/// Deflating is most of what a cold version costs. Level 4 takes three quarters of the time of level 6 and gives zips
/// 2 % larger, still smaller than the go command's own; level 3 is no longer that.
const LEVEL: u32 = 4;

/// How much compressed output is handed on at a time, in bytes.
const CHUNK_BYTES: usize = 32 << 10;

/// Why a zip was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The output refused the bytes.
    #[error("cannot write the zip: {0}")]
    Output(#[from] io::Error),
    /// A name that may not stand in a module zip. Files that passed [`super::rules`] never have one.
    #[error(transparent)]
    Name(#[from] PathError),
}

/// Writes `files`, names relative to the module root and contents, as the zip of `of` into `out`, and returns its
/// sum.
///
/// The files are put in ascending byte order of their names (Z-32), whatever order they come in. Which files
/// belong in a zip is decided by [`super::rules`], not here.
pub fn write<N: AsRef<str>, B: AsRef<[u8]>>(
    files: impl IntoIterator<Item = (N, B)>,
    of: &ModuleVersion,
    out: impl Write,
) -> Result<H1, WriteError> {
    let mut files: Vec<(N, B)> = files.into_iter().collect();
    files.sort_by(|(a, _), (b, _)| a.as_ref().cmp(b.as_ref()));
    let mut writer = Writer::new(of, out);
    for (name, contents) in &files {
        writer.add(name.as_ref(), contents.as_ref())?;
    }
    Ok(writer.finish()?.h1)
}

/// Writes a zip file by file, in the caller's order; one is held at a time.
///
/// Z-32 asks for ascending byte order, a LICENSE copied from the repository root last.
pub struct Writer<W: Write> {
    archive: ZipArchiveWriter<W>,
    prefix: String,
    packer: Packer,
    sums: Vec<(String, [u8; 32])>,
    go_mod: Option<Vec<u8>>,
    uncompressed: u64,
}

impl<W: Write> Writer<W> {
    /// Starts the zip of `of`.
    pub fn new(of: &ModuleVersion, out: W) -> Self {
        Self {
            archive: ZipArchiveWriter::new(out),
            prefix: format!("{of}/"),
            packer: Packer::new(),
            sums: Vec::new(),
            go_mod: None,
            uncompressed: 0,
        }
    }

    /// Adds one file under its path relative to the module root. What comes out of the deflater goes straight on.
    pub fn add(&mut self, path: &str, contents: &[u8]) -> Result<(), WriteError> {
        check_file_path(path)?;
        let sums = Sums::of(contents);
        let packer = &mut self.packer;
        let name = format!("{}{path}", self.prefix);
        entry(&mut self.archive, &name, &sums, |out| packer.deflate(contents, out))?;
        self.note(name, &sums, go_mod(path, contents));
        Ok(())
    }

    /// Adds one file that was packed before, on whatever thread. The zip is the one that [`Writer::add`] makes.
    pub fn append(&mut self, file: PackedFile) -> Result<(), WriteError> {
        let name = format!("{}{}", self.prefix, file.path);
        entry(&mut self.archive, &name, &file.sums, |out| out.write_all(&file.deflated))?;
        self.note(name, &file.sums, file.go_mod);
        Ok(())
    }

    fn note(&mut self, name: String, sums: &Sums, go_mod: Option<Vec<u8>>) {
        self.sums.push((name, sums.sha256));
        self.uncompressed = self.uncompressed.saturating_add(sums.bytes);
        self.go_mod = go_mod.or(self.go_mod.take());
    }

    /// Writes the directory and returns what [`check`](super::check) would find in the zip.
    pub fn finish(mut self) -> Result<ZipFacts, WriteError> {
        self.archive.finish().map_err(output)?;
        self.sums.sort_unstable();
        let mut hasher = Hasher::new();
        for (name, sha256) in &self.sums {
            hasher.add(name, sha256);
        }
        Ok(ZipFacts {
            h1: hasher.finish(),
            go_mod: self.go_mod,
            files: self.sums.len() as u64,
            uncompressed: self.uncompressed,
            anomalies: Vec::new(),
        })
    }
}

/// Deflates files, one after the other. Each thread that packs has its own.
pub struct Packer {
    stream: Compress,
    chunk: Vec<u8>,
}

/// A file ready for a zip: its name checked, its contents deflated and summed. Only a [`Packer`] makes one, so the
/// sums are those of the contents.
pub struct PackedFile {
    path: String,
    deflated: Vec<u8>,
    sums: Sums,
    go_mod: Option<Vec<u8>>,
}

impl PackedFile {
    /// The size of its deflated contents, in bytes.
    pub fn deflated_bytes(&self) -> usize {
        self.deflated.len()
    }
}

impl Packer {
    /// One with a deflate stream of its own, about 300 KiB.
    pub fn new() -> Self {
        Self { stream: Compress::new(Compression::new(LEVEL), false), chunk: Vec::with_capacity(CHUNK_BYTES) }
    }

    /// Packs one file under its path relative to the module root.
    pub fn pack(&mut self, path: &str, contents: &[u8]) -> Result<PackedFile, WriteError> {
        check_file_path(path)?;
        let mut deflated = Vec::with_capacity(contents.len() / 3);
        self.deflate(contents, &mut deflated)?;
        let sums = Sums::of(contents);
        Ok(PackedFile { path: path.to_owned(), deflated, sums, go_mod: go_mod(path, contents) })
    }

    /// Writes `contents` as one raw deflate stream.
    fn deflate(&mut self, contents: &[u8], out: &mut dyn Write) -> io::Result<()> {
        self.stream.reset();
        loop {
            self.chunk.clear();
            let taken = usize::try_from(self.stream.total_in()).map_err(io::Error::other)?;
            let status =
                self.stream.compress_vec(&contents[taken..], &mut self.chunk, FlushCompress::Finish)?;
            out.write_all(&self.chunk)?;
            if status == Status::StreamEnd {
                return Ok(());
            }
        }
    }
}

impl Default for Packer {
    fn default() -> Self {
        Self::new()
    }
}

/// What a zip says about a file's contents, and what its `h1:` needs of them.
struct Sums {
    bytes: u64,
    crc: u32,
    sha256: [u8; 32],
}

impl Sums {
    fn of(contents: &[u8]) -> Self {
        let mut crc = Crc::new();
        crc.update(contents);
        Self { bytes: contents.len() as u64, crc: crc.sum(), sha256: Sha256::digest(contents).into() }
    }
}

/// The go.mod at the root stands in the facts with its contents.
fn go_mod(path: &str, contents: &[u8]) -> Option<Vec<u8>> {
    (path == "go.mod").then(|| contents.to_vec())
}

/// Writes one entry, its deflated contents by `body`.
fn entry<W: Write>(
    archive: &mut ZipArchiveWriter<W>,
    name: &str,
    sums: &Sums,
    body: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), WriteError> {
    let (mut entry, _) = archive
        .new_file(EntryPath::conformant(name))
        .compression_method(CompressionMethod::DEFLATE)
        .start()
        .map_err(output)?;
    body(&mut entry)?;
    entry.finish(DataDescriptorOutput::new(sums.crc, sums.bytes)).map_err(output)?;
    Ok(())
}

fn output(error: rawzip::Error) -> WriteError {
    WriteError::Output(match error.into_kind() {
        rawzip::ErrorKind::IO(error) => error,
        other => io::Error::other(other.to_string()),
    })
}
