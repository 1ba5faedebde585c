//! Writing our own zips.
//!
//! Z-30 to Z-33: names are `path@version/` and the file's path, no directory entries, deflate at one fixed
//! level, no times, no modes, no extra fields. The same files in the same order give the same bytes on every
//! machine. Sizes and CRC stand in data descriptors behind the contents (Z-34), so the output is written once,
//! front to back.

use std::io::{self, Write};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use rawzip::path::EntryPath;
use rawzip::{CompressionMethod, DataDescriptorOutput, ZipArchiveWriter};
use sha2::{Digest, Sha256};

use crate::h1::{H1, Hasher};
use crate::path::{PathError, check_file_path};
use crate::version::ModuleVersion;

/// The deflate level of every zip we make. Part of the stored form: another level gives other bytes (Z-33).
const LEVEL: u32 = 6;

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
    writer.finish()
}

/// Writes a zip file by file, in the caller's order; one is held at a time.
///
/// Z-32 asks for ascending byte order, a LICENSE copied from the repository root last.
pub struct Writer<W: Write> {
    archive: ZipArchiveWriter<W>,
    prefix: String,
    deflate: Compress,
    chunk: Vec<u8>,
    sums: Vec<(String, [u8; 32])>,
}

impl<W: Write> Writer<W> {
    /// Starts the zip of `of`.
    pub fn new(of: &ModuleVersion, out: W) -> Self {
        Self {
            archive: ZipArchiveWriter::new(out),
            prefix: format!("{of}/"),
            deflate: Compress::new(Compression::new(LEVEL), false),
            chunk: Vec::with_capacity(CHUNK_BYTES),
            sums: Vec::new(),
        }
    }

    /// Adds one file under its path relative to the module root.
    pub fn add(&mut self, path: &str, contents: &[u8]) -> Result<(), WriteError> {
        check_file_path(path)?;
        let name = format!("{}{path}", self.prefix);
        let mut crc = Crc::new();
        crc.update(contents);
        let (mut entry, _) = self
            .archive
            .new_file(EntryPath::conformant(name.as_str()))
            .compression_method(CompressionMethod::DEFLATE)
            .start()
            .map_err(output)?;
        deflate(&mut self.deflate, &mut self.chunk, contents, &mut entry)?;
        let size = contents.len() as u64;
        entry.finish(DataDescriptorOutput::new(crc.sum(), size)).map_err(output)?;
        self.sums.push((name, Sha256::digest(contents).into()));
        Ok(())
    }

    /// Writes the directory and returns the sum of the zip.
    pub fn finish(mut self) -> Result<H1, WriteError> {
        self.archive.finish().map_err(output)?;
        self.sums.sort_unstable();
        let mut hasher = Hasher::new();
        for (name, sha256) in &self.sums {
            hasher.add(name, sha256);
        }
        Ok(hasher.finish())
    }
}

/// Writes `contents` as one raw deflate stream.
fn deflate(
    stream: &mut Compress,
    chunk: &mut Vec<u8>,
    contents: &[u8],
    out: &mut impl Write,
) -> io::Result<()> {
    stream.reset();
    loop {
        chunk.clear();
        let taken = usize::try_from(stream.total_in()).map_err(io::Error::other)?;
        let status = stream.compress_vec(&contents[taken..], chunk, FlushCompress::Finish)?;
        out.write_all(chunk)?;
        if status == Status::StreamEnd {
            return Ok(());
        }
    }
}

fn output(error: rawzip::Error) -> WriteError {
    WriteError::Output(match error.into_kind() {
        rawzip::ErrorKind::IO(error) => error,
        other => io::Error::other(other.to_string()),
    })
}
