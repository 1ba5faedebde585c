//! One connection: TLS if there is any, then HTTP/1.1 or HTTP/2, until it ends.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::gauge::{Gauge, Gauged};
use super::{Limits, Tls};
use crate::body::Body;
use crate::direct::{self, Outlet};

/// What a [`super::Server`] serves: [`crate::Service`] and [`crate::Admin`] are such services.
///
/// It is hyper's own service trait with our body, so that a connection needs one clone and a request none.
pub trait Answerer:
    Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send + Unpin + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Answerer for S where
    S: Service<
            Request<Incoming>,
            Response = Response<Body>,
            Error = Infallible,
            Future: Send + Unpin + 'static,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// Read and unwritten bytes that hyper may hold for one HTTP/1.1 connection: a head (16 KiB, checked by the
/// service) fits, and with a piece of a file this is what A24 allows a slow reader to make us hold.
const BUFFER_MAX_BYTES: usize = 64 << 10;
/// HTTP/2: the largest frame we send and take, and what we hold for one stream. Measured with `h2load`.
const FRAME_BYTES: u32 = 64 << 10;
const SEND_BUFFER_BYTES: usize = 1 << 20;
/// HTTP/2: requests have no bodies that we read, so the windows stay small.
const WINDOW_BYTES: u32 = 64 << 10;
/// HTTP/2: a list of headers, as counted by the protocol (with 32 bytes for each). Larger: 431 by h2.
const HEADERS_BYTES: u32 = 20 << 10;

pub(super) struct Connection<S> {
    pub(super) service: S,
    pub(super) gauge: Arc<Gauge>,
    pub(super) tls: Option<Tls>,
    pub(super) limits: Limits,
    pub(super) reads_bodies: bool,
}

impl<S: Answerer> Connection<S> {
    /// Serves until the client or a rule ends it. What goes wrong on the way is the client's to notice.
    pub(super) async fn serve(self, stream: TcpStream) {
        // A refusal here only costs latency.
        let _ = stream.set_nodelay(true);
        let Some(tls) = self.tls.clone() else {
            let (stream, outlet) = direct::open(stream);
            return self.http1(stream, outlet).await;
        };
        let handshake = tokio::time::timeout(self.limits.handshake, tls.acceptor().accept(stream));
        let Ok(Ok(stream)) = handshake.await else { return };
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            self.http2(stream).await;
        } else {
            self.http1(stream, None).await;
        }
    }

    async fn http1<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self,
        stream: T,
        outlet: Option<Outlet>,
    ) {
        let Self { service, gauge, reads_bodies, .. } = self;
        let gauged = if reads_bodies { Gauged::new } else { Gauged::with_lines };
        let io = TokioIo::new(gauged(stream, Arc::clone(&gauge)));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None) // the sweeper keeps this rule
            .max_buf_size(BUFFER_MAX_BYTES)
            // Never `pipeline_flush`: it would copy every body into one buffer.
            .serve_connection(io, OneByOne { service, gauge: Arc::clone(&gauge), outlet });
        drive(connection, &gauge, http1::Connection::graceful_shutdown).await;
    }

    async fn http2<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: T) {
        let Self { service, gauge, limits, .. } = self;
        gauge.speaks_http2();
        let io = TokioIo::new(Gauged::new(stream, Arc::clone(&gauge)));
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_frame_size(FRAME_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .max_header_list_size(HEADERS_BYTES)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .serve_connection(io, Streams { service, gauge: Arc::clone(&gauge), resets_max: limits.resets });
        drive(connection, &gauge, http2::Connection::graceful_shutdown).await;
    }
}

/// Polls a connection to its end, telling it once when it is to stop.
async fn drive<C: Future>(connection: C, gauge: &Gauge, stop: impl Fn(Pin<&mut C>)) {
    let mut connection = std::pin::pin!(connection);
    let mut told = false;
    std::future::poll_fn(|cx| {
        if let ControlFlow::Break(()) = gauge.poll(cx) {
            return Poll::Ready(()); // dropping it closes the socket
        }
        if gauge.is_stopping() && !told {
            told = true;
            stop(connection.as_mut());
        }
        connection.as_mut().poll(cx).map(drop)
    })
    .await;
}

/// HTTP/1.1: one request after the other.
struct OneByOne<S> {
    service: S,
    gauge: Arc<Gauge>,
    outlet: Option<Outlet>,
}

impl<S: Answerer> Service<Request<Incoming>> for OneByOne<S> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Noted<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.gauge.asked();
        Noted {
            answer: self.service.call(request),
            gauge: Arc::clone(&self.gauge),
            outlet: self.outlet.clone(),
        }
    }
}

/// An answer whose coming is noted, and whose file takes the short way out.
struct Noted<F> {
    answer: F,
    gauge: Arc<Gauge>,
    outlet: Option<Outlet>,
}

impl<F: Future<Output = Result<Response<Body>, Infallible>> + Unpin> Future for Noted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Ok(mut answer) = ready!(Pin::new(&mut self.answer).poll(cx));
        self.gauge.answered();
        if let Some(outlet) = self.outlet.take() {
            answer.body_mut().leave_through(outlet);
        }
        Poll::Ready(Ok(answer))
    }
}

/// HTTP/2: many at once, each of which the client may abandon.
struct Streams<S> {
    service: S,
    gauge: Arc<Gauge>,
    resets_max: u32,
}

impl<S: Answerer> Service<Request<Incoming>> for Streams<S> {
    type Response = Response<Tracked>;
    type Error = Infallible;
    type Future = StreamAnswer<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.gauge.stream_asked();
        let track = Track { gauge: Arc::clone(&self.gauge), resets_max: self.resets_max, done: false };
        StreamAnswer { answer: self.service.call(request), asked: Some(Asked(track)) }
    }
}

/// Counts a request or a body that is dropped before its end.
struct Track {
    gauge: Arc<Gauge>,
    resets_max: u32,
    done: bool,
}

impl Drop for Track {
    fn drop(&mut self) {
        if !self.done {
            self.gauge.abandoned(self.resets_max);
        }
    }
}

/// A request that is being answered.
struct Asked(Track);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.gauge.stream_answered();
    }
}

/// An answer on a stream of its own.
struct StreamAnswer<F> {
    answer: F,
    asked: Option<Asked>,
}

impl<F: Future<Output = Result<Response<Body>, Infallible>> + Unpin> Future for StreamAnswer<F> {
    type Output = Result<Response<Tracked>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Ok(answer) = ready!(Pin::new(&mut self.answer).poll(cx));
        let track = self.asked.take().map(|mut asked| {
            asked.0.done = true;
            asked.0.gauge.body_begun();
            Track { gauge: Arc::clone(&asked.0.gauge), resets_max: asked.0.resets_max, done: false }
        });
        Poll::Ready(Ok(answer.map(|body| Tracked { body, track })))
    }
}

/// A body of an HTTP/2 answer, whose end or abandonment is noted.
struct Tracked {
    body: Body,
    track: Option<Track>,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if let Some(track) = &mut self.track {
            track.done = self.body.is_empty();
            track.gauge.body_ended();
        }
    }
}

impl http_body::Body for Tracked {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
