//! What an answer's bytes are made of: nothing, bytes in memory, or a piece of a file.
//!
//! A file is served where its connection lives, without leaving the thread, as long as the kernel has its pages in
//! memory: sent by [`direct`] where nothing lies between us and the socket, else read (`preadv2` with `RWF_NOWAIT`).
//! Only a piece that would wait for a disk goes to the blocking pool. Measured for a 20 kB file, reading so costs a
//! fifth of the CPU of `tokio::fs`.
//!
//! The number of bytes is known before the first one is sent and is told in `size_hint`, so every answer carries
//! `Content-Length`. A file that turns out shorter is an error of the body, which the connection passes on as a
//! transport error: no client ever takes a cut body for a whole one (R2).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::JoinHandle;

use crate::buffer::{BUFFER_BYTES, Buffer};
use crate::direct::{self, Outlet};

/// What the kernel reads ahead of a reader if nobody told it otherwise.
const READ_AHEAD_BYTES: usize = 128 << 10;

/// The body of every answer of this crate.
///
/// It is a [`http_body::Body`] of known length whose only error is that of reading the file behind it.
#[derive(Debug, Default)]
pub struct Body(Kind);

#[derive(Debug, Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    File(FileBody),
}

impl Body {
    /// No bytes: the answer to `HEAD`, and of 304.
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// The whole body, in memory.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() { Self::empty() } else { Self(Kind::Full(bytes)) }
    }

    /// The bytes of `file` in `range`, read as the client takes them.
    pub fn file(file: Arc<File>, range: Range<u64>) -> Self {
        if range.is_empty() { Self::empty() } else { Self(Kind::File(FileBody::new(file, range))) }
    }

    /// Lets a file go to the socket by the short way, past our memory. Only for the connection whose outlet it is.
    pub(crate) fn leave_through(&mut self, outlet: Outlet) {
        if let Kind::File(file) = &mut self.0 {
            file.outlet = Some(outlet);
        }
    }

    /// How many bytes are still to come.
    pub fn len(&self) -> u64 {
        match &self.0 {
            Kind::Empty => 0,
            Kind::Full(bytes) => bytes.len() as u64,
            Kind::File(file) => file.left(),
        }
    }

    /// Whether no byte is to come.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::File(file) => {
                let piece = ready!(file.poll_piece(cx));
                Poll::Ready(piece.map(|read| read.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len())
    }
}

/// A piece of a file on its way out.
#[derive(Debug)]
struct FileBody {
    file: Arc<File>,
    /// What is still to be handed over.
    next: u64,
    end: u64,
    /// A read that had to wait for the disk.
    waiting: Option<JoinHandle<io::Result<Bytes>>>,
    /// Whether this file system can say "not in memory" instead of waiting.
    nowait: bool,
    /// The short way to the socket, where there is one.
    outlet: Option<Outlet>,
}

impl FileBody {
    fn new(file: Arc<File>, range: Range<u64>) -> Self {
        Self { file, next: range.start, end: range.end, waiting: None, nowait: true, outlet: None }
    }

    fn left(&self) -> u64 {
        self.end.saturating_sub(self.next)
    }

    /// How much of what is left makes a piece of at most this size.
    fn piece(&self, bytes_max: usize) -> usize {
        usize::try_from(self.left()).unwrap_or(usize::MAX).min(bytes_max)
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.left() == 0 {
            return Poll::Ready(None);
        }
        let piece = match self.waiting.as_mut() {
            Some(waiting) => {
                let read = ready!(Pin::new(waiting).poll(cx));
                self.waiting = None;
                read.map_err(io::Error::other).flatten()
            }
            None => match self.leave_cached().or_else(|| self.read_cached()) {
                Some(piece) => piece,
                None => return self.poll_blocking(cx),
            },
        };
        Poll::Ready(Some(piece.inspect(|piece| self.next += piece.len() as u64)))
    }

    /// Leaves a piece that is in memory at the outlet: `None` where there is none, or where sending it could have to
    /// wait for the disk.
    fn leave_cached(&mut self) -> Option<io::Result<Bytes>> {
        let outlet = self.outlet.as_ref().filter(|_| self.nowait)?;
        let count = self.piece(direct::PIECE_MAX_BYTES);
        // Files come into memory from front to back, some pages ahead of the reader, and leave it in that order: what
        // begins and ends there is there.
        let end = (count > READ_AHEAD_BYTES).then(|| self.next + count as u64 - 1);
        for at in std::iter::once(self.next).chain(end) {
            match read_nowait(&self.file, &mut [0], at) {
                Ok(0) => return Some(Err(cut_short())),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
        Some(Ok(outlet.leave(&self.file, self.next, count)))
    }

    /// Reads from memory only: `None` means that the kernel would have had to wait.
    fn read_cached(&mut self) -> Option<io::Result<Bytes>> {
        if !self.nowait {
            return None;
        }
        let mut buffer = Buffer::take();
        match read_nowait(&self.file, buffer.room(self.piece(BUFFER_BYTES)), self.next) {
            Ok(0) => Some(Err(cut_short())),
            Ok(count) => Some(Ok(buffer.filled(count))),
            Err(trouble) => {
                self.nowait = trouble.kind() == io::ErrorKind::WouldBlock;
                None
            }
        }
    }

    /// Hands the read to the blocking pool, or does it here where no runtime is at hand.
    fn poll_blocking(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let (file, at, count) = (Arc::clone(&self.file), self.next, self.piece(BUFFER_BYTES));
        let mut buffer = Buffer::take();
        let read = move || read_exact_at(&file, buffer.room(count), at).map(|()| buffer.filled(count));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                self.waiting = Some(runtime.spawn_blocking(read));
                self.poll_piece(cx)
            }
            Err(_) => Poll::Ready(Some(read().inspect(|piece| self.next += piece.len() as u64))),
        }
    }
}

/// The fault of a file that ends too early (R2).
pub(crate) fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the stored file is shorter than its ledger row says")
}

#[cfg(target_os = "linux")]
fn read_nowait(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut slices = [io::IoSliceMut::new(buffer)];
    Ok(rustix::io::preadv2(file, &mut slices, offset, rustix::io::ReadWriteFlags::NOWAIT)?)
}

/// Elsewhere no read promises not to wait, so all go to the blocking pool.
#[cfg(not(target_os = "linux"))]
fn read_nowait(_file: &File, _buffer: &mut [u8], _offset: u64) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset).map_err(|trouble| match trouble.kind() {
        io::ErrorKind::UnexpectedEof => cut_short(),
        _ => trouble,
    })
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        let count = std::os::windows::fs::FileExt::seek_read(file, buffer, offset)?;
        if count == 0 {
            return Err(cut_short());
        }
        buffer = &mut buffer[count..];
        offset += count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use http_body::Body as _;
    use http_body_util::BodyExt as _;

    use super::*;

    fn numbers(len: usize) -> Vec<u8> {
        (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
    }

    fn on_disk(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(file)
    }

    #[tokio::test]
    async fn a_file_comes_out_whole_whatever_the_piece() {
        for len in [1, 100, BUFFER_BYTES, BUFFER_BYTES + 1, 12 * BUFFER_BYTES + 7] {
            let wanted = numbers(len);
            let body = Body::file(on_disk(&wanted), 0..len as u64);
            assert_eq!(body.size_hint().exact(), Some(len as u64));
            assert_eq!(body.collect().await.unwrap().to_bytes(), wanted, "{len} bytes");
        }
    }

    #[tokio::test]
    async fn a_range_is_just_that_range() {
        let all = numbers(200_000);
        let body = Body::file(on_disk(&all), 70_000..150_001);
        assert_eq!(body.len(), 80_001);
        assert_eq!(body.collect().await.unwrap().to_bytes(), all[70_000..150_001]);
    }

    #[tokio::test]
    async fn the_blocking_pool_reads_what_memory_does_not_hold() {
        let all = numbers(300_000);
        let mut file = FileBody::new(on_disk(&all), 0..300_000);
        file.nowait = false;
        let body = Body(Kind::File(file));
        assert_eq!(body.collect().await.unwrap().to_bytes(), all);
    }

    #[tokio::test]
    async fn a_file_cut_short_is_an_error_never_a_short_body() {
        for nowait in [true, false] {
            let mut file = FileBody::new(on_disk(&numbers(10)), 0..20);
            file.nowait = nowait;
            let trouble = Body(Kind::File(file)).collect().await.unwrap_err();
            assert_eq!(trouble.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[tokio::test]
    async fn empty_and_full_bodies_know_their_length() {
        assert!(Body::full(Bytes::new()).is_end_stream());
        assert_eq!(Body::empty().size_hint().exact(), Some(0));
        let body = Body::full("hello");
        assert_eq!(body.size_hint().exact(), Some(5));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
    }
}
