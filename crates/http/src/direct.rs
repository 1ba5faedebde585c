//! A file's bytes from the page cache to the socket, past us: `sendfile` under hyper, without `unsafe`.
//!
//! hyper writes only bytes that a body hands to it. So the body of a plain connection hands over a *stand-in*, a slice of
//! one static block of zeros as long as a piece of the file, and leaves the piece itself at the connection's
//! [`Outlet`]. The connection's stream, [`Direct`], knows a stand-in by its address and sends the piece in its place.
//! Nobody ever reads the zeros: HTTP/1.1 on a stream that takes vectors writes a body's slices as they are, and where
//! something lies between (TLS, HTTP/2) there is no outlet and bodies are bytes.
//!
//! What it spares for each byte is the copy into our memory and the copy into the socket's.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::net::SendFlags;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// The largest piece that one slice can stand for. It bounds the time that one ready client takes from the others.
pub(crate) const PIECE_MAX_BYTES: usize = 512 << 10;

static STAND_IN: [u8; PIECE_MAX_BYTES] = [0; PIECE_MAX_BYTES];

fn stands_in(slice: &[u8]) -> bool {
    STAND_IN.as_ptr_range().contains(&slice.as_ptr())
}

/// Where the bodies of one connection leave the pieces of files that it is to send, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outlet(Arc<Mutex<VecDeque<Piece>>>);

#[derive(Debug)]
struct Piece {
    file: Arc<File>,
    range: Range<u64>,
}

impl Outlet {
    /// Leaves the next `count` bytes of `file`, at most [`PIECE_MAX_BYTES`], and returns what stands for them.
    pub(crate) fn leave(&self, file: &Arc<File>, start: u64, count: usize) -> Bytes {
        let stand_in = &STAND_IN[..count];
        let piece = Piece { file: Arc::clone(file), range: start..start + count as u64 };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(piece);
        Bytes::from_static(stand_in)
    }

    /// Sends at most `count` bytes of the first piece.
    fn send(&self, socket: &TcpStream, count: usize) -> io::Result<usize> {
        let mut pieces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(piece) = pieces.front_mut() else {
            return Err(io::Error::other("a stand-in without a piece"));
        };
        let sent = rustix::fs::sendfile(socket, &piece.file, Some(&mut piece.range.start), count)?;
        if sent == 0 {
            return Err(crate::body::cut_short());
        }
        if piece.range.is_empty() {
            pieces.pop_front();
        }
        Ok(sent)
    }
}

/// A connection's stream that sends files where slices stand for them.
#[derive(Debug)]
pub(crate) struct Direct {
    socket: TcpStream,
    outlet: Outlet,
}

/// A connection's stream, and where its bodies leave their files.
pub(crate) fn open(socket: TcpStream) -> (Direct, Option<Outlet>) {
    let outlet = Outlet::default();
    (Direct { socket, outlet: outlet.clone() }, Some(outlet))
}

impl Direct {
    /// Sends as much as the socket takes now.
    fn send(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut all = 0;
        for (at, slice) in slices.iter().enumerate() {
            let sent = if stands_in(slice) {
                self.outlet.send(&self.socket, slice.len())
            } else {
                // A head waits for its file, so that they leave in one packet.
                let more = if at + 1 < slices.len() { SendFlags::MORE } else { SendFlags::empty() };
                Ok(rustix::net::send(&self.socket, slice, SendFlags::NOSIGNAL | more)?)
            };
            match sent {
                Ok(sent) => all += sent,
                Err(_) if all > 0 => break, // it comes again with the rest
                Err(trouble) => return Err(trouble),
            }
            if sent.is_ok_and(|sent| sent < slice.len()) {
                break;
            }
        }
        Ok(all)
    }
}

impl AsyncWrite for Direct {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if stands_in(bytes) {
            return self.poll_write_vectored(cx, &[IoSlice::new(bytes)]);
        }
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !slices.iter().any(|slice| stands_in(slice)) {
            return Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        }
        loop {
            ready!(self.socket.poll_write_ready(cx))?;
            match self.socket.try_io(Interest::WRITABLE, || self.send(slices)) {
                Err(trouble) if trouble.kind() == io::ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(sent),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl AsyncRead for Direct {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, into)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A stream of ours, the outlet to it, and its reader.
    async fn pair() -> (Direct, Outlet, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reader = TcpStream::connect(listener.local_addr().unwrap());
        let (reader, accepted) = tokio::join!(reader, listener.accept());
        let (direct, outlet) = open(accepted.unwrap().0);
        (direct, outlet.unwrap(), reader.unwrap())
    }

    fn file_of(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(file)
    }

    /// Writes all slices, however many turns it takes.
    async fn write_all(direct: &mut Direct, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        while !slices.is_empty() {
            let count = direct.write_vectored(slices).await?;
            IoSlice::advance_slices(&mut slices, count);
        }
        Ok(())
    }

    #[tokio::test]
    async fn pieces_stand_where_their_stand_ins_stood() {
        let (mut direct, outlet, mut reader) = pair().await;
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| at.to_le_bytes()[at as usize % 3]).collect();
        let file = file_of(&bytes);
        let mut wanted = Vec::new();
        let reading = tokio::spawn(async move {
            let mut got = Vec::new();
            // A reader that stops now and then lets the socket fill up.
            while reader.read_buf(&mut got).await.unwrap() > 0 {
                if got.len().is_multiple_of(7) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            got
        });
        for (start, count) in [(0, 1), (10, PIECE_MAX_BYTES), (PIECE_MAX_BYTES, 300_000), (2_999_999, 1)] {
            let first = outlet.leave(&file, start as u64, count);
            let second = outlet.leave(&file, 5, 70_000);
            let mut slices = [b"head".as_slice(), &first, &second, b"tail"].map(IoSlice::new);
            write_all(&mut direct, &mut slices).await.unwrap();
            wanted.extend([b"head", &bytes[start..start + count], &bytes[5..70_005], b"tail"].concat());
        }
        assert!(outlet.0.lock().unwrap().is_empty());
        direct.shutdown().await.unwrap();
        assert!(reading.await.unwrap() == wanted);
    }

    #[tokio::test]
    async fn a_file_cut_short_is_an_error_and_no_zero_leaves() {
        let (mut direct, outlet, mut reader) = pair().await;
        let stand_in = outlet.leave(&file_of(b"ten bytes."), 0, 20);
        let trouble = write_all(&mut direct, &mut [IoSlice::new(&stand_in)]).await.unwrap_err();
        assert_eq!(trouble.kind(), io::ErrorKind::UnexpectedEof);
        drop(direct);
        let mut got = Vec::new();
        reader.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"ten bytes.");
    }

    #[tokio::test]
    async fn a_stand_in_without_a_piece_is_refused() {
        let (mut direct, _, _reader) = pair().await;
        assert!(direct.write(&STAND_IN[3..5]).await.is_err());
    }
}
