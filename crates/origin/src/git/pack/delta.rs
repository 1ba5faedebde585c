//! Deltas: instructions that make an object out of another.

use super::{Entry, PackError, Ready};
use crate::git::object::Hasher;
use crate::git::spool::{Slot, Spool};
use crate::git::tree::{ObjectId, ObjectKind};
use crate::git::wire::ObjectFormat;

/// Bases up to this size are read into memory at once; of larger ones only the parts that are copied.
const BASE_BYTES_MAX: u64 = 8 << 20;
/// The most instructions of one delta, in bytes: they have to be in memory.
const DELTA_BYTES_MAX: u64 = 64 << 20;
/// How much of the result is collected before it is written.
const PIECE_BYTES: usize = 256 << 10;

/// Applies deltas, one after the other; remembers the last base.
pub(super) struct Applier<'a> {
    format: ObjectFormat,
    spool: &'a Spool,
    object_bytes_max: u64,
    entries: &'a [Entry],
    base: Vec<u8>,
    /// Where the remembered base lies.
    base_at: Option<u64>,
}

fn malformed(what: &str) -> PackError {
    PackError::Malformed(what.to_owned())
}

fn read_failed(error: std::io::Error) -> PackError {
    PackError::Disk(modkeep_store::Error::io("read", std::path::Path::new("work"), error))
}

impl<'a> Applier<'a> {
    pub(super) fn new(
        format: ObjectFormat,
        spool: &'a Spool,
        object_bytes_max: u64,
        entries: &'a [Entry],
    ) -> Self {
        Self { format, spool, object_bytes_max, entries, base: Vec::new(), base_at: None }
    }

    /// The object that a delta makes of its base.
    pub(super) fn apply(&mut self, ready: &Ready) -> Result<(ObjectId, Slot), PackError> {
        let entry = self.entries[ready.entry as usize];
        if entry.len > DELTA_BYTES_MAX {
            return Err(PackError::Limit("the size of one delta"));
        }
        let delta = self.spool.read_at(entry.offset, entry.len).map_err(read_failed)?;
        let mut rest = &delta[..];
        if number(&mut rest)? != ready.base.len {
            return Err(malformed("a delta for a base of another size"));
        }
        let size = number(&mut rest)?;
        if size > self.object_bytes_max {
            return Err(PackError::Limit("the size of one object"));
        }
        self.remember(&ready.base)?;
        let offset = self.spool.reserve(size)?;
        let mut made = Made::new(self.format, self.spool, ready.base.kind, size, offset);
        while let Some((&op, after)) = rest.split_first() {
            rest = after;
            match op {
                0 => return Err(malformed("a delta with a reserved instruction")),
                1..=127 => {
                    let bytes = rest.split_off(..usize::from(op));
                    made.insert(bytes.ok_or_else(|| malformed("a delta that is cut short"))?)?;
                }
                128.. => {
                    let (from, len) = copy(op, &mut rest)?;
                    self.copy(&ready.base, from, len, &mut made)?;
                }
            }
        }
        made.finish()
    }

    fn remember(&mut self, base: &Slot) -> Result<(), PackError> {
        if base.len <= BASE_BYTES_MAX && self.base_at != Some(base.offset) {
            self.base = self.spool.read_at(base.offset, base.len).map_err(read_failed)?;
            self.base_at = Some(base.offset);
        }
        Ok(())
    }

    fn copy(&self, base: &Slot, from: u64, len: u64, made: &mut Made<'_>) -> Result<(), PackError> {
        let outside = || malformed("a delta that copies from outside of its base");
        let end = from.checked_add(len).filter(|end| *end <= base.len).ok_or_else(outside)?;
        if base.len <= BASE_BYTES_MAX {
            let range = usize::try_from(from).ok().zip(usize::try_from(end).ok());
            let bytes = range.and_then(|(from, end)| self.base.get(from..end)).ok_or_else(outside)?;
            return made.insert(bytes);
        }
        // An instruction copies at most 16 MiB.
        made.insert(&self.spool.read_at(base.offset + from, len).map_err(read_failed)?)
    }
}

/// A number, seven bits in each byte, the lowest first.
fn number(rest: &mut &[u8]) -> Result<u64, PackError> {
    let (mut value, mut shift) = (0_u64, 0);
    loop {
        let byte = *rest.split_off_first().ok_or_else(|| malformed("a delta that is cut short"))?;
        if shift > 56 {
            return Err(malformed("a size of more than 64 bits"));
        }
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
}

/// The operands of a copy: where from, and how many bytes.
fn copy(op: u8, rest: &mut &[u8]) -> Result<(u64, u64), PackError> {
    let mut operand = |bits: std::ops::Range<u8>| -> Result<u64, PackError> {
        let (mut value, first) = (0, bits.start);
        for bit in bits {
            if op & (1 << bit) != 0 {
                let byte = *rest.split_off_first().ok_or_else(|| malformed("a delta that is cut short"))?;
                value |= u64::from(byte) << (8 * (bit - first));
            }
        }
        Ok(value)
    };
    let from = operand(0..4)?;
    let len = operand(4..7)?;
    Ok((from, if len == 0 { 0x10000 } else { len }))
}

/// An object being made.
struct Made<'a> {
    spool: &'a Spool,
    slot: Slot,
    hasher: Hasher,
    piece: Vec<u8>,
    written: u64,
}

impl<'a> Made<'a> {
    fn new(format: ObjectFormat, spool: &'a Spool, kind: ObjectKind, size: u64, offset: u64) -> Self {
        let slot = Slot { kind, offset, len: size };
        Self { spool, slot, hasher: Hasher::new(format, kind, size), piece: Vec::new(), written: 0 }
    }

    fn insert(&mut self, bytes: &[u8]) -> Result<(), PackError> {
        if self.written + (self.piece.len() + bytes.len()) as u64 > self.slot.len {
            return Err(malformed("a delta that makes more than it says"));
        }
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), PackError> {
        self.hasher.update(&self.piece);
        self.spool.write_at(&self.piece, self.slot.offset + self.written)?;
        self.written += self.piece.len() as u64;
        self.piece.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<(ObjectId, Slot), PackError> {
        self.flush()?;
        if self.written != self.slot.len {
            return Err(malformed("a delta that makes less than it says"));
        }
        Ok((self.hasher.finish().ok_or_else(super::collision)?, self.slot))
    }
}
