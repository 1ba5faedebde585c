//! The bytes of a pack as they come, hashed for its trailer.

use std::io::{self, Read};

use flate2::{Decompress, FlushDecompress, Status};
use sha1_checked::Digest as _;
use sha2::{Digest as _, Sha256};

use crate::git::tree::ObjectId;
use crate::git::wire::ObjectFormat;

/// Why there are no further bytes.
#[derive(Debug)]
pub(super) enum Fault {
    Stream(io::Error),
    Malformed(&'static str),
}

/// The trailer is a plain checksum of the stream; names of objects are hashed with more suspicion.
enum Sum {
    Sha1(sha1::Sha1),
    Sha256(Sha256),
}

pub(super) struct Input<R> {
    stream: R,
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    consumed: u64,
    sum: Sum,
    inflater: Decompress,
    piece: Vec<u8>,
}

const BUFFER_BYTES: usize = 64 << 10;

impl<R: Read> Input<R> {
    pub(super) fn new(stream: R, format: ObjectFormat) -> Self {
        let sum = match format {
            ObjectFormat::Sha1 => Sum::Sha1(sha1::Sha1::default()),
            ObjectFormat::Sha256 => Sum::Sha256(Sha256::new()),
        };
        let (buffer, piece) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
        Self { stream, buffer, at: 0, end: 0, consumed: 0, sum, inflater: Decompress::new(true), piece }
    }

    /// How many bytes were taken so far.
    pub(super) fn consumed(&self) -> u64 {
        self.consumed
    }

    pub(super) fn byte(&mut self) -> Result<u8, Fault> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.exact(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn id(&mut self, len: usize) -> Result<ObjectId, Fault> {
        let mut raw = [0; 32];
        self.exact(&mut raw[..len])?;
        ObjectId::from_bytes(&raw[..len]).ok_or(Fault::Malformed("an id of no length"))
    }

    /// Inflates the next entry, which has to have exactly `size` bytes, and hands it on piece by piece.
    pub(super) fn inflate<E: From<Fault>>(
        &mut self,
        size: u64,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        const WRONG: Fault = Fault::Malformed("an entry that does not inflate to its size");
        self.inflater.reset(true);
        loop {
            if self.at == self.end {
                self.fill()?;
            }
            let (before_in, before_out) = (self.inflater.total_in(), self.inflater.total_out());
            let status = self.inflater.decompress(
                &self.buffer[self.at..self.end],
                &mut self.piece,
                FlushDecompress::None,
            );
            let status = status.map_err(|_| Fault::Malformed("an entry that does not inflate"))?;
            let taken = usize::try_from(self.inflater.total_in() - before_in).unwrap_or(0);
            let made = usize::try_from(self.inflater.total_out() - before_out).unwrap_or(0);
            self.take(taken);
            if self.inflater.total_out() > size {
                return Err(WRONG.into());
            }
            if made > 0 {
                take(&self.piece[..made])?;
            }
            match status {
                Status::StreamEnd if self.inflater.total_out() == size => return Ok(()),
                Status::StreamEnd => return Err(WRONG.into()),
                Status::Ok | Status::BufError if taken == 0 && made == 0 && self.at < self.end => {
                    return Err(WRONG.into());
                }
                Status::Ok | Status::BufError => {}
            }
        }
    }

    /// The checksum at the end, and nothing behind it.
    pub(super) fn trailer(&mut self) -> Result<(), Fault> {
        let sum: Vec<u8> = match &self.sum {
            Sum::Sha1(sha1) => sha1.clone().finalize().to_vec(),
            Sum::Sha256(sha256) => sha256.clone().finalize().to_vec(),
        };
        let mut found = vec![0; sum.len()];
        self.exact(&mut found)?;
        if found != sum {
            return Err(Fault::Malformed("the checksum of the pack is wrong"));
        }
        match self.fill() {
            Err(Fault::Malformed(_)) => Ok(()),
            Err(fault) => Err(fault),
            Ok(()) => Err(Fault::Malformed("more bytes than the pack has")),
        }
    }

    fn exact(&mut self, mut bytes: &mut [u8]) -> Result<(), Fault> {
        while !bytes.is_empty() {
            if self.at == self.end {
                self.fill()?;
            }
            let len = bytes.len().min(self.end - self.at);
            let (head, rest) = bytes.split_at_mut(len);
            head.copy_from_slice(&self.buffer[self.at..self.at + len]);
            self.take(len);
            bytes = rest;
        }
        Ok(())
    }

    fn take(&mut self, len: usize) {
        let bytes = &self.buffer[self.at..self.at + len];
        match &mut self.sum {
            Sum::Sha1(sha1) => sha1.update(bytes),
            Sum::Sha256(sha256) => sha256.update(bytes),
        }
        self.at += len;
        self.consumed += len as u64;
    }

    /// Reads more, when all was taken.
    fn fill(&mut self) -> Result<(), Fault> {
        if self.at < self.end {
            return Ok(());
        }
        let len = self.stream.read(&mut self.buffer).map_err(Fault::Stream)?;
        (self.at, self.end) = (0, len);
        if len == 0 { Err(Fault::Malformed("the pack ends early")) } else { Ok(()) }
    }
}
