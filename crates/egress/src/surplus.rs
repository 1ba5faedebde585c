//! Counts what an HTTP/1 connection receives behind the head of an answer, so that an answer which is
//! longer than its `Content-Length` can be told from an honest one (H02).
//!
//! The HTTP library reads exactly the declared length and throws the connection away when more turns
//! up; a caller would be left with the front of something and call it the whole.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Any byte stream: TCP, TLS over TCP, TLS over a tunnel.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Bits of the counter that count bytes; those above number the answers of the connection.
const BYTES_BITS: u32 = 48;

/// How many bytes came after the head of the answer that is being read.
///
/// One number holds both the answer's turn on this connection and its bytes, so that a reader who comes
/// late sees that the connection has moved on to another answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct BehindHead(Arc<AtomicU64>, Arc<AtomicU64>);

impl BehindHead {
    /// Which answer of the connection is being read.
    pub(crate) fn answer(&self) -> u64 {
        self.0.load(Ordering::Relaxed) >> BYTES_BITS
    }

    /// The bytes so far, if the connection is still at this answer.
    pub(crate) fn bytes_of(&self, answer: u64) -> Option<u64> {
        let both = self.0.load(Ordering::Relaxed);
        (both >> BYTES_BITS == answer).then_some(both & ((1 << BYTES_BITS) - 1))
    }

    /// Whether the answer that is being read is longer than its own head says.
    ///
    /// A small answer can be read to its end, and the next one begun for somebody else, before who asked for it looks
    /// here: then this is about the next one, which is judged by its own head.
    pub(crate) fn is_surplus(&self) -> bool {
        let bytes = self.0.load(Ordering::Relaxed) & ((1 << BYTES_BITS) - 1);
        bytes > self.1.load(Ordering::Relaxed)
    }

    /// What the head of the answer that is being read says of its length, if it says anything.
    fn declare(&self, bytes: Option<u64>) {
        self.1.store(bytes.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn next(&self) {
        let next = (self.0.load(Ordering::Relaxed) >> BYTES_BITS).wrapping_add(1);
        self.0.store(next << BYTES_BITS, Ordering::Relaxed);
    }
}

/// A connection as the HTTP library gets it.
pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    kind: WireKind,
    reader: HeadReader,
}

/// How a connection was made, as far as HTTP must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireKind {
    /// HTTP/1 to the host itself, or through a tunnel.
    Http1,
    /// HTTP/2, agreed upon in the TLS handshake.
    Http2,
    /// HTTP/1 to a forward proxy that wants whole URLs.
    ForwardProxy,
}

impl Wire {
    pub(crate) fn new(stream: Box<dyn Stream>, kind: WireKind) -> Self {
        Self { stream, kind, reader: HeadReader::default() }
    }
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        let connected = Connected::new();
        match self.kind {
            WireKind::Http1 => connected.extra(self.reader.behind.clone()),
            WireKind::Http2 => connected.negotiated_h2(),
            WireKind::ForwardProxy => connected.proxy(true).extra(self.reader.behind.clone()),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        if self.kind != WireKind::Http2 {
            let fresh = buf.filled().get(before..).unwrap_or_default();
            self.reader.saw(fresh);
        }
        poll
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if matches!(poll, Poll::Ready(Ok(1..))) && self.kind != WireKind::Http2 {
            self.reader.next_answer();
        }
        poll
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Finds the end of an answer's head: the first empty line after a status line that is not 1xx.
#[derive(Debug, Default)]
struct HeadReader {
    in_body: bool,
    /// Bytes of the present line, carriage returns left out.
    line: u32,
    /// Bytes of the status line so far, and its tenth: the first digit of the status.
    status_line: u32,
    status_digit: u8,
    seen_status: bool,
    /// The present line, as far as the only field that matters is long.
    field: Vec<u8>,
    declared: Option<u64>,
    behind: BehindHead,
}

/// Longer than `content-length:` with the longest number and some spaces.
const FIELD_MAX: usize = 64;

/// The number of a `Content-Length` line.
fn content_length(line: &[u8]) -> Option<u64> {
    let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
    name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
}

impl HeadReader {
    /// A request goes out; what comes next is its answer. One request is in the air per connection.
    fn next_answer(&mut self) {
        if self.in_body || self.seen_status {
            self.behind.next();
            *self = Self { behind: self.behind.clone(), ..Self::default() };
        }
    }

    fn saw(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let (false, Some((&byte, tail))) = (self.in_body, rest.split_first()) {
            self.head_byte(byte);
            rest = tail;
        }
        if !rest.is_empty() {
            self.behind.add(rest.len());
        }
    }

    fn head_byte(&mut self, byte: u8) {
        match byte {
            b'\n' if self.line == 0 && self.seen_status => self.head_ends(),
            b'\n' => {
                self.seen_status |= self.line > 0;
                self.line = 0;
                self.declared = self.declared.or_else(|| content_length(&self.field));
                self.field.clear();
            }
            b'\r' => {}
            _ => {
                self.line = self.line.saturating_add(1);
                if self.field.len() < FIELD_MAX {
                    self.field.push(byte);
                }
                if !self.seen_status {
                    self.status_line = self.status_line.saturating_add(1);
                    // "HTTP/1.1 200": the tenth byte is the status's first digit.
                    if self.status_line == 10 {
                        self.status_digit = byte;
                    }
                }
            }
        }
    }

    fn head_ends(&mut self) {
        let interim = self.status_digit == b'1';
        self.behind.declare(self.declared);
        *self = Self { behind: self.behind.clone(), in_body: !interim, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_ends_at_the_first_empty_line_however_it_is_cut() {
        let answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef";
        for step in 1..answer.len() {
            let mut reader = HeadReader::default();
            for part in answer.chunks(step) {
                reader.saw(part);
            }
            assert_eq!((reader.behind.bytes_of(0), reader.behind.is_surplus()), (Some(6), true), "{step}");
            reader.next_answer();
            assert_eq!((reader.behind.bytes_of(0), reader.behind.bytes_of(1)), (None, Some(0)));
            reader.saw(b"HTTP/1.1 304 Not Modified\n\n");
            assert_eq!(reader.behind.bytes_of(1), Some(0));
            reader.next_answer();
            reader.saw(b"HTTP/1.1 200 OK\r\ncontent-LENGTH:9\r\nX: y\r\n\r\nall of it");
            assert!(!reader.behind.is_surplus(), "longer than the answer before, not longer than it says");
        }
    }
}
