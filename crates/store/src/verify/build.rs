//! A zip that was built here: what the writer noted on the way is what a reader would find.

use std::io::{self, BufWriter, Write};

use modkeep_module::ModuleVersion;
use modkeep_module::zip::{WriteError, Writer};

use super::{FetchedZip, sha256_of};
use crate::error::Error;
use crate::scratch::Scratch;

/// How much is gathered before it goes to the disk, in bytes. Small enough for many at once (R21).
const BUFFER_BYTES: usize = 128 << 10;

/// Where a zip that is being built goes.
#[derive(Debug)]
pub struct ZipSink<'a>(BufWriter<Gate<'a>>);

/// A scratch file as a writer. It remembers why the disk refused, which an [`io::Error`] cannot carry on.
#[derive(Debug)]
struct Gate<'a> {
    scratch: &'a mut Scratch,
    refused: &'a mut Option<Error>,
}

impl Write for Gate<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.scratch.write(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                *self.refused = Some(error);
                Err(io::ErrorKind::Other.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for ZipSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl FetchedZip {
    /// Builds the zip of a version: `fill` adds its files, which passed [`modkeep_module::zip::rules`].
    ///
    /// The facts are those that our own writer noted while it wrote, so the zip is not inflated again as
    /// [`FetchedZip::read`] does; only its bytes are read back from the disk and held against what was written.
    /// Nobody can bring a zip of his own in here: the scratch file has to be empty, and only the writer fills it.
    ///
    /// Blocking.
    pub fn build<E: From<Error> + From<WriteError>>(
        mut scratch: Scratch,
        version: &ModuleVersion,
        fill: impl FnOnce(&mut Writer<ZipSink<'_>>) -> Result<(), E>,
    ) -> Result<Self, E> {
        if !scratch.is_empty() {
            return Err(damaged(&scratch, "build a zip in", "the file is not empty").into());
        }
        let mut refused = None;
        let gate = Gate { scratch: &mut scratch, refused: &mut refused };
        let mut writer = Writer::new(version, ZipSink(BufWriter::with_capacity(BUFFER_BYTES, gate)));
        let written = fill(&mut writer).and_then(|()| Ok(writer.finish()?));
        if let Some(error) = refused {
            return Err(error.into());
        }
        let facts = written?;
        let sha256 = scratch.sha256();
        let found = sha256_of(scratch.reader()?).map_err(|error| Error::io("read", scratch.path(), error))?;
        if found != sha256 {
            return Err(damaged(&scratch, "read back", "other bytes than were written").into());
        }
        Ok(Self { version: version.clone(), scratch, facts, sha256 })
    }
}

fn damaged(scratch: &Scratch, doing: &'static str, what: &'static str) -> Error {
    Error::io(doing, scratch.path(), io::Error::new(io::ErrorKind::InvalidData, what))
}
