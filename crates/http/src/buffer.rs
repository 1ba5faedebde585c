//! Memory for pieces of files, used again and again by the thread that reads them.
//!
//! A piece in fresh memory costs more than its reading: the memory must be zeroed, and whatever is given back to the
//! kernel in between is faulted in page by page. So each thread keeps a few buffers, whole and initialised.

use std::cell::RefCell;

use bytes::Bytes;

/// The size of every buffer. A slow reader makes us hold one, and hyper's own buffer beside it: what hostile-inputs
/// A24 allows for each client is 128 KiB.
pub(crate) const BUFFER_BYTES: usize = 64 << 10;

/// How many idle buffers a thread keeps: 1 MiB.
const SPARE_MAX: usize = 16;

thread_local! {
    static SPARE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer, of whose bytes the first are filled.
#[derive(Debug)]
pub(crate) struct Buffer {
    memory: Box<[u8]>,
    filled: usize,
}

impl Buffer {
    /// A buffer of this thread, or a new one. What is in it is of no meaning.
    pub(crate) fn take() -> Self {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        let memory = spare.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice());
        Self { memory, filled: 0 }
    }

    /// Room for `count` bytes, at most [`BUFFER_BYTES`].
    pub(crate) fn room(&mut self, count: usize) -> &mut [u8] {
        &mut self.memory[..count]
    }

    /// The first `count` bytes. Dropped, they leave their buffer to the thread that dropped them.
    pub(crate) fn filled(mut self, count: usize) -> Bytes {
        self.filled = count;
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        // A thread that is ending has no place for it any more.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_MAX {
                spare.push(memory);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_in_use_keeps_its_memory_to_itself_and_leaves_it_to_the_next() {
        let mut buffer = Buffer::take();
        buffer.room(5).copy_from_slice(b"hello");
        let piece = buffer.filled(5);
        let mut other = Buffer::take();
        other.room(5).copy_from_slice(b"world");
        assert_eq!(piece, "hello");
        let (memory, part) = (piece.as_ptr(), piece.slice(1..));
        drop(piece);
        assert_eq!(part, "ello");
        drop(part);
        assert_eq!(Buffer::take().room(1).as_ptr(), memory);
    }

    #[test]
    fn a_thread_keeps_few() {
        let many: Vec<Buffer> = (0..100).map(|_| Buffer::take()).collect();
        drop(many);
        assert_eq!(SPARE.with_borrow(Vec::len), SPARE_MAX);
    }
}
