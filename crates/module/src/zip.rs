//! Module zips: what may be in one, reading a foreign one, writing our own (module-zip.md).
//!
//! - [`check`] reads a zip that came from elsewhere and says what it holds: its `h1:`, its go.mod, and every
//!   place where two honest readers could disagree. "Agree or refuse" (hostile-inputs.md part F, D16): a zip
//!   with [anomalies](Anomaly) passes only when its sum is already certified. That choice is the caller's;
//!   here it is only made possible.
//! - [`rules`] decides which files of a source tree belong in the zip of a version.
//! - [`write()`] makes the zip, the same bytes for the same files on every machine.
//!
//! Nothing here touches a disk or allocates by what a zip claims: sizes are judged from the central directory
//! before anything is inflated, and inflation ends one byte after the declared size.

mod anomaly;
mod check;
mod collide;
mod directory;
mod error;
mod inflate;
mod names;
pub mod rules;
mod source;
mod write;

use std::io;
use std::sync::Arc;

pub use anomaly::{Anomaly, AnomalyKind};
pub use check::{ZipFacts, check};
pub use error::{Collision, EntryFault, Part, StructureFault, ZipError};
pub use write::{PackedFile, Packer, WriteError, Writer, write};

/// Bytes that can be read anywhere, by several readers at once.
///
/// A `&self` method, so that one open file serves many; [`std::fs::File`] reads with `pread` and leaves the
/// file's own position alone.
pub trait ReadAt {
    /// Fills `buf` with the bytes that start at `offset`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] when the bytes end before `buf` is full.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..)?.get(..buf.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(bytes);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buf, offset)
    }
}

#[cfg(unix)]
impl ReadAt for std::fs::File {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buf, offset)
    }
}

#[cfg(windows)]
impl ReadAt for std::fs::File {
    fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(self, buf, offset)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => {
                    buf = &mut buf[n..];
                    offset += n as u64;
                }
            }
        }
        Ok(())
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buf, offset)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Arc<T> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buf, offset)
    }
}

/// How large a module zip and its parts may be, in bytes.
///
/// The default is the go command's (module-zip.md section 2) and, for the directory, hostile-inputs.md part 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// The zip file. Default 500 MiB.
    pub zip_bytes_max: u64,
    /// The sum of the declared uncompressed sizes of all files. Default 500 MiB.
    pub uncompressed_bytes_max: u64,
    /// `go.mod` at the root. Default 16 MiB.
    pub go_mod_bytes_max: u64,
    /// `LICENSE` at the root. Default 16 MiB.
    pub license_bytes_max: u64,
    /// The central directory. Default 64 MiB. It bounds the memory of a check: names and places of all entries
    /// are held at once, contents never.
    pub directory_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            zip_bytes_max: 500 << 20,
            uncompressed_bytes_max: 500 << 20,
            go_mod_bytes_max: 16 << 20,
            license_bytes_max: 16 << 20,
            directory_bytes_max: 64 << 20,
        }
    }
}

/// Reads any bytes as a zip of `example.com/m@v1.0.0`, then as rules and sums; returns whatever it is given.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz_zip(bytes: &[u8]) {
    check::fuzz(bytes);
}
