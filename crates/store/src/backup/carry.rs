//! Files from one folder to another, compared on the way, some at a time: each batch is synced side by side.

use std::io::{self, Read};

use crate::backup::wanted::Wanted;
use crate::backup::{Damaged, Progress};
use crate::blobs::{Blobs, DirectoryBlobs, Placement, Room};
use crate::error::Error;
use crate::scratch::Scratch;
use crate::verify::sha256_of;

/// Files that are synced and placed together.
const BATCH_FILES: usize = 128;
/// A batch ends when it has so many bytes: they wait in the page cache to be synced.
const BATCH_BYTES: u64 = 256 << 20;
/// What is read and hashed at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// Carries files.
pub(super) struct Carrier<'a> {
    from: &'a Room,
    to: &'a DirectoryBlobs,
    there: &'a Room,
    progress: &'a mut dyn FnMut(Progress),
    seen: Progress,
    batch: Vec<Placement>,
    batch_bytes: u64,
    buffer: Vec<u8>,
    carried: Carried,
}

/// What was carried.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// Files that are there now.
    pub(super) files: u64,
    pub(super) copied: u64,
    pub(super) bytes: u64,
    pub(super) kept: u64,
    pub(super) damaged: Vec<Damaged>,
}

impl<'a> Carrier<'a> {
    pub(super) fn new(
        from: &'a Room,
        to: &'a DirectoryBlobs,
        there: &'a Room,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Self {
        Self {
            from,
            to,
            there,
            progress,
            seen: Progress::default(),
            batch: Vec::with_capacity(BATCH_FILES),
            batch_bytes: 0,
            buffer: vec![0; BUFFER_BYTES],
            carried: Carried::default(),
        }
    }

    /// Carries one file, unless `is_there`: then what is there is looked at, and read if it is to be verified.
    ///
    /// A file that cannot be read, or is not what was recorded, is noted and left out; an error is trouble at the other end.
    pub(super) fn carry(&mut self, file: &Wanted, is_there: bool, verify: bool) -> Result<(), Error> {
        self.seen.files += 1;
        if is_there && self.is_kept(file, verify) {
            self.carried.kept += 1;
        } else {
            let mut scratch = self.to.scratch()?;
            match self.read(file, &mut scratch)? {
                Ok(()) => self.place(file, scratch)?,
                Err(reason) => self.carried.damaged.push(Damaged {
                    path: file.name.to_string(),
                    part: file.part.clone(),
                    reason,
                }),
            }
        }
        (self.progress)(self.seen);
        Ok(())
    }

    /// Whether the copy of an earlier run will do. Its length is always compared.
    fn is_kept(&self, file: &Wanted, verify: bool) -> bool {
        let (here, there) = (file.name.below(self.from.root()), file.name.below(self.there.root()));
        let disk = self.there.disk();
        let Ok(stat) = disk.stat(&there) else { return false };
        // Where no length is recorded, it is that of the source, if that is still there.
        let size = match file.recorded {
            Some((Some(size), _)) => Some(size),
            _ => self.from.disk().stat(&here).ok().map(|stat| stat.size),
        };
        if size.is_some_and(|size| size != stat.size) {
            return false;
        }
        if !verify {
            return true;
        }
        let sum = match file.recorded {
            Some((_, sum)) => Some(sum),
            None => self.from.disk().open(&here).and_then(sha256_of).ok(),
        };
        disk.open(&there).and_then(sha256_of).is_ok_and(|found| sum.is_none_or(|sum| sum == found))
    }

    /// Copies the bytes. Inside is what is wrong with the source.
    fn read(&mut self, file: &Wanted, scratch: &mut Scratch) -> Result<Result<(), String>, Error> {
        let mut from = match self.from.disk().open(&file.name.below(self.from.root())) {
            Ok(from) => from,
            Err(error) => return Ok(Err(format!("cannot be opened: {error}"))),
        };
        loop {
            match from.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(read) => scratch.write(&self.buffer[..read])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Ok(Err(format!("cannot be read: {error}"))),
            }
        }
        let found = scratch.sha256();
        Ok(match file.recorded {
            Some((Some(size), _)) if size != scratch.len() => {
                Err(format!("{} bytes instead of {size}", scratch.len()))
            }
            Some((_, sum)) if sum != found => Err(format!("its SHA-256 is {found} instead of {sum}")),
            _ => Ok(()),
        })
    }

    fn place(&mut self, file: &Wanted, scratch: Scratch) -> Result<(), Error> {
        self.carried.copied += 1;
        self.carried.bytes += scratch.len();
        self.seen.bytes += scratch.len();
        self.batch_bytes += scratch.len();
        self.batch.push(Placement { name: file.name.clone(), scratch });
        if self.batch.len() >= BATCH_FILES || self.batch_bytes >= BATCH_BYTES {
            self.settle()
        } else {
            Ok(())
        }
    }

    fn settle(&mut self) -> Result<(), Error> {
        self.batch_bytes = 0;
        self.to.place(std::mem::take(&mut self.batch)).into_iter().collect()
    }

    /// Everything is on stable storage when it returns.
    pub(super) fn finish(mut self) -> Result<Carried, Error> {
        self.settle()?;
        self.carried.files = self.carried.copied + self.carried.kept;
        Ok(self.carried)
    }
}
