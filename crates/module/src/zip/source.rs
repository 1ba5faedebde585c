//! The zip's bytes, read through one window that moves forward.

use std::cell::{Ref, RefCell};
use std::io;

use super::ReadAt;

/// How much is read at a time, in bytes: records are small and lie one behind the other, so most are already here.
const WINDOW_BYTES: usize = 64 << 10;

/// A zip of known size.
pub(super) struct Source<'a, R: ?Sized> {
    zip: &'a R,
    size: u64,
    window: RefCell<Window>,
}

struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The part of the window from `offset` on; empty when `offset` is outside.
    fn from(&self, offset: u64) -> &[u8] {
        offset
            .checked_sub(self.start)
            .and_then(|skip| self.bytes.get(usize::try_from(skip).ok()?..))
            .unwrap_or_default()
    }
}

impl<'a, R: ReadAt + ?Sized> Source<'a, R> {
    pub(super) fn new(zip: &'a R, size: u64) -> Self {
        Self { zip, size, window: RefCell::new(Window { start: 0, bytes: Vec::new() }) }
    }

    /// How many bytes the zip has.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Some bytes from `offset` on, none of them at or behind `end`; empty only where nothing is left.
    ///
    /// The borrow ends before the next read.
    pub(super) fn chunk(&self, offset: u64, end: u64) -> io::Result<Ref<'_, [u8]>> {
        if self.window.borrow().from(offset).is_empty() {
            self.move_to(offset)?;
        }
        let left = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        Ok(Ref::map(self.window.borrow(), |window| {
            let bytes = window.from(offset);
            &bytes[..bytes.len().min(left)]
        }))
    }

    fn move_to(&self, offset: u64) -> io::Result<()> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut window = self.window.borrow_mut();
        window.start = offset;
        // Forgotten first: a failed read must not leave old bytes under a new offset.
        window.bytes.clear();
        let mut bytes = std::mem::take(&mut window.bytes);
        bytes.resize(left.min(WINDOW_BYTES), 0);
        if !bytes.is_empty() {
            self.zip.read_exact_at(&mut bytes, offset)?;
        }
        window.bytes = bytes;
        Ok(())
    }
}

impl<R: ReadAt + ?Sized> rawzip::ReaderAt for Source<'_, R> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.chunk(offset, self.size)?;
        let n = bytes.len().min(buf.len());
        buf[..n].copy_from_slice(&bytes[..n]);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rawzip::ReaderAt;

    #[test]
    fn chunks_join_to_the_whole() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        let source = Source::new(&bytes, bytes.len() as u64);
        let mut joined = Vec::new();
        loop {
            let chunk = source.chunk(joined.len() as u64, u64::MAX).unwrap();
            if chunk.is_empty() {
                break;
            }
            joined.extend_from_slice(&chunk);
        }
        assert!(joined == bytes);
        assert_eq!(&*source.chunk(10, 13).unwrap(), &bytes[10..13]);
        assert!(source.chunk(13, 13).unwrap().is_empty());
        assert!(source.chunk(u64::MAX, u64::MAX).unwrap().is_empty());
    }

    #[test]
    fn a_record_across_two_windows_is_read_whole() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let source = Source::new(&bytes, bytes.len() as u64);
        let mut record = [0; 30];
        for offset in [0, 65_520, 65_536, 199_970] {
            source.read_exact_at(&mut record, offset as u64).unwrap();
            assert_eq!(record, bytes[offset..offset + 30]);
        }
        assert!(source.read_exact_at(&mut record, 199_971).is_err());
    }
}
