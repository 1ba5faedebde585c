//! One connection's gauge: what it is doing and since when, read by its core's sweeper.
//!
//! Everything of a connection runs on one thread, so the atomics are only there because futures must be `Send`;
//! none is ever contended and all are relaxed.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{io, ops::ControlFlow};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Limits;

/// The core's clock: milliseconds since the core started, moved by the sweeper. Reading it costs a load.
#[derive(Debug, Default)]
pub(super) struct Clock(AtomicU64);

impl Clock {
    pub(super) fn set(&self, since_start: Duration) {
        self.0.store(u64::try_from(since_start.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Where a connection is in its life. HTTP/2 leaves `Head` with its first request and never comes back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
enum Phase {
    /// The head of a request is expected: the connection is new, or the first bytes of a head have come.
    Head = 0,
    /// A request waits for its answer; that is our time, not the client's.
    Answering = 1,
    /// An answer was given; its bytes may still be on their way, after them the connection is quiet.
    Answered = 2,
}

#[derive(Debug)]
pub(super) struct Gauge {
    clock: Arc<Clock>,
    phase: AtomicU8,
    /// When the phase began, or the last byte was written in it.
    since: AtomicU64,
    /// Bytes written in the connection's life.
    written: AtomicU64,
    /// Whether the last write found the client's window full.
    blocked: AtomicBool,
    /// HTTP/2 only: bodies begun and not ended.
    open_bodies: AtomicU32,
    /// HTTP/2 only: whether it is that protocol.
    multiplexed: AtomicBool,
    /// HTTP/2 only: bytes received, and requests among them.
    read: AtomicU64,
    requests: AtomicU64,
    /// HTTP/2 only: requests being answered.
    answering: AtomicU32,
    /// HTTP/2 only: requests that the client abandoned since the window began, and when that was.
    resets: AtomicU32,
    resets_since: AtomicU64,
    waker: OnceLock<Waker>,
    stopping: AtomicBool,
    cut: AtomicBool,
}

/// The time over which abandoned HTTP/2 requests are counted (hostile-inputs part 1).
const RESET_WINDOW_MS: u64 = 10_000;

/// What an HTTP/2 client may send that is neither a request nor asked for by an answer: pings, settings, headers
/// without end, bodies that nobody reads (A21).
const CHATTER_MAX_BYTES: u64 = 256 << 10;
/// More for each request: its header list (20 KiB at most) and its frames.
const REQUEST_BYTES: u64 = 32 << 10;
/// More for answers, which the client has to acknowledge: one byte for so many written. A real client needs one for
/// a thousand.
const WRITTEN_FOR_ONE: u64 = 16;

impl Gauge {
    pub(super) fn new(clock: Arc<Clock>) -> Self {
        let now = clock.now();
        Self {
            clock,
            phase: AtomicU8::new(Phase::Head as u8),
            since: AtomicU64::new(now),
            written: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
            open_bodies: AtomicU32::new(0),
            multiplexed: AtomicBool::new(false),
            read: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            answering: AtomicU32::new(0),
            resets: AtomicU32::new(0),
            resets_since: AtomicU64::new(now),
            waker: OnceLock::new(),
            stopping: AtomicBool::new(false),
            cut: AtomicBool::new(false),
        }
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
        self.since.store(self.clock.now(), Relaxed);
    }

    fn is(&self, phase: Phase) -> bool {
        self.phase.load(Relaxed) == phase as u8
    }

    /// A request's head is complete.
    pub(super) fn asked(&self) {
        self.enter(Phase::Answering);
    }

    /// Its answer is known.
    pub(super) fn answered(&self) {
        self.enter(Phase::Answered);
    }

    pub(super) fn speaks_http2(&self) {
        self.multiplexed.store(true, Relaxed);
    }

    pub(super) fn stream_asked(&self) {
        self.requests.fetch_add(1, Relaxed);
        self.answering.fetch_add(1, Relaxed);
        self.enter(Phase::Answered);
    }

    pub(super) fn stream_answered(&self) {
        self.answering.fetch_sub(1, Relaxed);
        self.enter(Phase::Answered);
    }

    pub(super) fn body_begun(&self) {
        self.open_bodies.fetch_add(1, Relaxed);
    }

    pub(super) fn body_ended(&self) {
        self.open_bodies.fetch_sub(1, Relaxed);
        self.enter(Phase::Answered);
    }

    /// The client gave up a request before its answer was out; too often means a reset flood (A20).
    pub(super) fn abandoned(&self, resets_max: u32) {
        let now = self.clock.now();
        if now.saturating_sub(self.resets_since.load(Relaxed)) > RESET_WINDOW_MS {
            self.resets_since.store(now, Relaxed);
            self.resets.store(0, Relaxed);
        }
        if self.resets.fetch_add(1, Relaxed) >= resets_max {
            self.cut();
        }
    }

    /// Asks the connection to end: after what it is doing.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Relaxed);
        self.wake();
    }

    /// Ends the connection now, whatever it is doing.
    pub(super) fn cut(&self) {
        self.cut.store(true, Relaxed);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// To be called first in every poll of the connection's task: says whether to go on.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> ControlFlow<()> {
        // A task has one waker for life, so the first is enough.
        self.waker.get_or_init(|| cx.waker().clone());
        if self.cut.load(Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn received(&self, count: usize) {
        if self.multiplexed.load(Relaxed) {
            let read = self.read.fetch_add(count as u64, Relaxed).saturating_add(count as u64);
            if read > self.read_max() {
                self.cut();
            }
        } else if self.is(Phase::Answered) {
            self.enter(Phase::Head);
        }
    }

    /// How much an HTTP/2 client may have sent by now.
    fn read_max(&self) -> u64 {
        let requests = self.requests.load(Relaxed).saturating_mul(REQUEST_BYTES);
        let answers = self.written.load(Relaxed) / WRITTEN_FOR_ONE;
        CHATTER_MAX_BYTES.saturating_add(requests).saturating_add(answers)
    }

    fn sent(&self, count: usize) {
        self.written.fetch_add(count as u64, Relaxed);
        self.blocked.store(false, Relaxed);
        if !self.multiplexed.load(Relaxed) {
            self.since.store(self.clock.now(), Relaxed);
        }
    }

    /// Whether bytes wait for the client and nothing else.
    fn waits_for_reader(&self) -> bool {
        if self.multiplexed.load(Relaxed) {
            self.open_bodies.load(Relaxed) > 0 && self.answering.load(Relaxed) == 0
        } else {
            self.blocked.load(Relaxed)
        }
    }

    /// Which rule this connection breaks now, if any.
    pub(super) fn breach(&self, pace: &mut Pace, limits: &Limits) -> Option<Breach> {
        let now = self.clock.now();
        let spent = Duration::from_millis(now.saturating_sub(self.since.load(Relaxed)));
        if self.waits_for_reader() {
            return pace.too_slow(now, self.written.load(Relaxed), limits).then_some(Breach::Rate);
        }
        *pace = Pace::default();
        if self.is(Phase::Head) {
            return (spent > limits.head).then_some(Breach::Head);
        }
        let quiet = self.is(Phase::Answered) && self.answering.load(Relaxed) == 0;
        (quiet && spent > limits.idle).then_some(Breach::Idle)
    }
}

/// A rule of [`Limits`] that a connection broke.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Breach {
    Head,
    Idle,
    Rate,
}

/// How fast a blocked reader took its bytes since the window began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// When the window began and how much had been written by then.
    window: Option<(u64, u64)>,
}

impl Pace {
    fn too_slow(&mut self, now: u64, written: u64, limits: &Limits) -> bool {
        let (began, had) = *self.window.get_or_insert((now, written));
        if Duration::from_millis(now.saturating_sub(began)) < limits.rate_window {
            return false;
        }
        self.window = Some((now, written));
        let window_ms = u64::try_from(limits.rate_window.as_millis()).unwrap_or(u64::MAX);
        let wanted = limits.rate_min_bytes.saturating_mul(window_ms) / 1000;
        written.saturating_sub(had) < wanted
    }
}

/// A connection's bytes, counted as they pass.
#[derive(Debug)]
pub(super) struct Gauged<S> {
    stream: S,
    gauge: Arc<Gauge>,
    /// HTTP/1.1 only: the last byte read, for lines that end between two reads.
    lines: Option<u8>,
}

impl<S> Gauged<S> {
    /// Counts the bytes of HTTP/2, and of HTTP/1.1 where bodies are read.
    pub(super) fn new(stream: S, gauge: Arc<Gauge>) -> Self {
        Self { stream, gauge, lines: None }
    }

    /// Counts the bytes of HTTP/1.1 and lets no bare line feed pass as the end of a line.
    pub(super) fn with_lines(stream: S, gauge: Arc<Gauge>) -> Self {
        Self { stream, gauge, lines: Some(0) }
    }
}

/// Spoils line feeds without a carriage return before them, which our parser would take for the end of a line and
/// somebody on the way might not (A12): with a zero in its place the head is malformed, and answered so. Bodies
/// pass here too; nobody reads them.
fn spoil_bare_line_feeds(bytes: &mut [u8], last: &mut u8) {
    for byte in bytes {
        let (before, now) = (*last, *byte);
        if now == b'\n' && before != b'\r' {
            *byte = 0;
        }
        *last = now;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gauged<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let had = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        if let Some(bytes @ [_, ..]) = into.filled_mut().get_mut(had..) {
            if let Some(last) = &mut self.lines {
                spoil_bare_line_feeds(bytes, last);
            }
            self.gauge.received(bytes.len());
        }
        read
    }
}

impl<S> Gauged<S> {
    fn count(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(count)) => self.gauge.sent(*count),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.gauge.blocked.store(true, Relaxed),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gauged<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.count(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.count(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn gauge() -> (Arc<Clock>, Gauge, Pace, Limits) {
        let clock = Arc::new(Clock::default());
        (Arc::clone(&clock), Gauge::new(clock), Pace::default(), Limits::default())
    }

    #[test]
    fn a_head_has_ten_seconds_and_an_answer_has_all_of_ours() {
        let (clock, gauge, mut pace, limits) = gauge();
        clock.set(at(10));
        assert_eq!(gauge.breach(&mut pace, &limits), None);
        clock.set(at(11));
        assert_eq!(gauge.breach(&mut pace, &limits), Some(Breach::Head));
        gauge.asked();
        clock.set(at(100));
        assert_eq!(gauge.breach(&mut pace, &limits), None, "waiting for us is no fault of the client");
    }

    #[test]
    fn a_quiet_connection_outlives_the_go_commands_ninety_seconds() {
        let (clock, gauge, mut pace, limits) = gauge();
        gauge.asked();
        gauge.answered();
        clock.set(at(91));
        assert_eq!(gauge.breach(&mut pace, &limits), None);
        gauge.received(1);
        clock.set(at(95));
        assert_eq!(gauge.breach(&mut pace, &limits), None, "the next head began at 91");
        clock.set(at(102));
        assert_eq!(gauge.breach(&mut pace, &limits), Some(Breach::Head));
    }

    #[test]
    fn a_reader_below_one_kib_a_second_is_cut_after_a_minute() {
        let (clock, gauge, mut pace, limits) = gauge();
        gauge.asked();
        gauge.answered();
        for second in 0..60 {
            clock.set(at(second));
            gauge.sent(1000);
            gauge.blocked.store(true, Relaxed);
            assert_eq!(gauge.breach(&mut pace, &limits), None);
        }
        clock.set(at(60));
        assert_eq!(gauge.breach(&mut pace, &limits), Some(Breach::Rate));
    }

    #[test]
    fn a_reader_above_it_is_left_in_peace() {
        let (clock, gauge, mut pace, limits) = gauge();
        for second in 0..600 {
            clock.set(at(second));
            gauge.sent(1100);
            gauge.blocked.store(true, Relaxed);
            assert_eq!(gauge.breach(&mut pace, &limits), None, "at {second} s");
        }
    }

    #[test]
    fn only_bare_line_feeds_are_spoiled_wherever_a_read_ends() {
        let text = b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n";
        for cut in 0..text.len() {
            let (mut bytes, mut last) = (text.to_vec(), 0);
            let (head, tail) = bytes.split_at_mut(cut);
            spoil_bare_line_feeds(head, &mut last);
            spoil_bare_line_feeds(tail, &mut last);
            assert_eq!(bytes, b"GET / HTTP/1.1\r\nHost: a\0X: b\r\n\r\n", "cut at {cut}");
        }
    }

    #[test]
    fn a_flood_of_resets_cuts_the_connection() {
        let (clock, gauge, ..) = gauge();
        for _ in 0..200 {
            gauge.abandoned(200);
        }
        assert!(!gauge.cut.load(Relaxed));
        clock.set(at(11));
        gauge.abandoned(200);
        assert!(!gauge.cut.load(Relaxed), "a new window");
        for _ in 0..200 {
            gauge.abandoned(200);
        }
        assert!(gauge.cut.load(Relaxed));
    }
}
