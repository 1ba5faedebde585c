//! The contents of one entry, in pieces, never more than declared.

use std::io;

use flate2::{Decompress, FlushDecompress, Status};
use rawzip::CompressionMethod;

use super::ReadAt;
use super::error::EntryFault;
use super::source::Source;

/// How much is inflated at a time, in bytes.
const CHUNK_BYTES: usize = 64 << 10;

/// Why contents were not read to their end.
pub(super) enum Stop {
    Io(io::Error),
    Fault(EntryFault),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// One entry's compressed bytes and what they must become.
#[derive(Clone, Copy)]
pub(super) struct Packed {
    /// Offset of the first compressed byte.
    pub(super) start: u64,
    /// Offset behind the last one.
    pub(super) end: u64,
    /// Store or deflate; checked earlier.
    pub(super) method: CompressionMethod,
    /// The size of the contents.
    pub(super) declared: u64,
}

/// One inflate state, used for entry after entry.
pub(super) struct Inflater {
    stream: Decompress,
    chunk: Box<[u8]>,
}

impl Inflater {
    pub(super) fn new() -> Self {
        Self { stream: Decompress::new(false), chunk: vec![0; CHUNK_BYTES].into() }
    }

    /// Hands the contents to `sink` piece by piece; returns the offset behind the last byte that they used.
    ///
    /// At most one byte more than declared is ever inflated (Z-43).
    pub(super) fn read<R: ReadAt + ?Sized>(
        &mut self,
        source: &Source<'_, R>,
        packed: Packed,
        sink: impl FnMut(&[u8]),
    ) -> Result<u64, Stop> {
        if packed.method == CompressionMethod::STORE {
            stored(source, packed, sink)
        } else {
            self.deflated(source, packed, sink)
        }
    }

    fn deflated<R: ReadAt + ?Sized>(
        &mut self,
        source: &Source<'_, R>,
        packed: Packed,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<u64, Stop> {
        self.stream.reset(false);
        loop {
            let (taken, made) = (self.stream.total_in(), self.stream.total_out());
            let input = source.chunk(packed.start + taken, packed.end)?;
            let room = usize::try_from(packed.declared - made + 1).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            let status = self
                .stream
                .decompress(&input, &mut self.chunk[..room], FlushDecompress::None)
                .map_err(|_| Stop::Fault(EntryFault::Data))?;
            drop(input);
            let new = usize::try_from(self.stream.total_out() - made).unwrap_or(room);
            if self.stream.total_out() > packed.declared {
                return Err(size_fault(packed));
            }
            sink(&self.chunk[..new]);
            if status == Status::StreamEnd {
                break;
            }
            if new == 0 && self.stream.total_in() == taken {
                return Err(Stop::Fault(EntryFault::Data)); // the input ends in mid-stream
            }
        }
        if self.stream.total_out() != packed.declared {
            return Err(size_fault(packed));
        }
        Ok(packed.start + self.stream.total_in())
    }
}

fn stored<R: ReadAt + ?Sized>(
    source: &Source<'_, R>,
    packed: Packed,
    mut sink: impl FnMut(&[u8]),
) -> Result<u64, Stop> {
    if packed.end - packed.start != packed.declared {
        return Err(size_fault(packed));
    }
    let mut at = packed.start;
    while at < packed.end {
        let piece = source.chunk(at, packed.end)?;
        if piece.is_empty() {
            return Err(Stop::Fault(EntryFault::Data));
        }
        sink(&piece);
        at += piece.len() as u64;
    }
    Ok(at)
}

fn size_fault(packed: Packed) -> Stop {
    Stop::Fault(EntryFault::Size { declared: packed.declared })
}
