//! The body of an answer, read under limits.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::Instant;

use crate::budget::Turn;
use crate::error::Error;
use crate::gunzip::Gunzip;
use crate::request::Limits;
use crate::surplus::BehindHead;

/// So much must arrive within the allowed silence; less is a trickle meant to hold a slot (C18, H09).
pub(crate) const TRICKLE: u64 = 1_024;

/// How long an HTTP/1 connection is listened to behind a body of declared length. Surplus bytes of a
/// broken server follow on its heels (H02); HTTP/2 frames its bodies and needs no such wait.
const SURPLUS_WAIT: Duration = Duration::from_millis(1);

/// The body of a [`Response`](crate::Response): bytes as they were meant, gzip undone.
///
/// Every limit of the request holds while it is read: bytes are counted after decoding (H13), the wait
/// for the next bytes and for the whole is bounded, an early end is an error (H01). It keeps the
/// host's turn until it ends or is dropped.
pub struct Body {
    incoming: Incoming,
    gunzip: Option<Gunzip>,
    turn: Option<Turn>,
    /// The status was no complaint, so a full body counts as a success of the host.
    well: bool,
    state: State,
    limits: Limits,
    deadline: Instant,
    count: u64,
    waited: Duration,
    since_progress: u64,
    declared: Option<u64>,
    received: u64,
    behind: Option<(BehindHead, u64)>,
    host: String,
}

#[derive(Clone, Debug)]
enum State {
    Open,
    Ended,
    Failed(Error),
}

impl Body {
    pub(crate) fn new(
        incoming: Incoming,
        gzip: bool,
        turn: Turn,
        well: bool,
        limits: Limits,
        deadline: Instant,
        behind: Option<BehindHead>,
    ) -> Self {
        let declared = incoming.size_hint().exact();
        Self {
            declared,
            gunzip: gzip.then(Gunzip::new),
            host: turn.place().to_string(),
            turn: Some(turn),
            well,
            state: State::Open,
            incoming,
            limits,
            deadline,
            count: 0,
            waited: Duration::ZERO,
            since_progress: 0,
            received: 0,
            // An empty body frees the connection at once, so there is no telling whose bytes follow.
            behind: behind.filter(|_| declared != Some(0)).map(|behind| {
                let answer = behind.answer();
                (behind, answer)
            }),
        }
    }

    /// How many bytes the body will have, where the answer says so and is not compressed.
    pub fn declared(&self) -> Option<u64> {
        if self.gunzip.is_some() { None } else { self.declared }
    }

    /// The next bytes, at most 64 KiB of them where the body is compressed; `None` at the proper end.
    ///
    /// An error is final: it is given again on every later call, so an end can never be mistaken for one.
    ///
    /// Cancel safe: a caller that stops waiting and calls again loses nothing.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        match &self.state {
            State::Open => {}
            State::Ended => return Ok(None),
            State::Failed(error) => return Err(error.clone()),
        }
        let step = self.step().await;
        match &step {
            Ok(Some(_)) => {}
            Ok(None) => self.end(),
            Err(error) => self.fail(error.clone()),
        }
        step
    }

    /// The whole body, if it has no more than `max` bytes.
    ///
    /// Not cancel safe: what was read is gone.
    pub async fn collect(mut self, max: u64) -> Result<Bytes, Error> {
        self.limits.bytes_max = self.limits.bytes_max.min(max);
        let mut all = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    /// The first `max` bytes of the body, or fewer; what an error page says is worth no more effort, so
    /// trouble while reading it just ends it.
    ///
    /// Not cancel safe: what was read is gone.
    pub async fn excerpt(mut self, max: usize) -> Vec<u8> {
        let mut start = Vec::new();
        while let Ok(Some(chunk)) = self.chunk().await {
            let room = max.saturating_sub(start.len());
            start.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
            if start.len() >= max {
                break;
            }
        }
        start
    }

    async fn step(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(piece) = self.decoded()? {
                return self.counted(piece).map(Some);
            }
            match self.frame().await? {
                None => return self.proper_end().await.map(|()| None),
                Some(data) => match &mut self.gunzip {
                    Some(gunzip) => gunzip.feed(data),
                    None => return self.counted(data).map(Some),
                },
            }
        }
    }

    fn decoded(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(gunzip) = &mut self.gunzip else { return Ok(None) };
        gunzip
            .piece()
            .map_err(|reason| Error::Malformed { host: self.host.clone(), reason: reason.to_owned() })
    }

    fn counted(&mut self, data: Bytes) -> Result<Bytes, Error> {
        self.count += data.len() as u64;
        if self.count > self.limits.bytes_max {
            return Err(Error::TooLarge {
                host: self.host.clone(),
                limit: self.limits.bytes_max,
                declared: self.declared(),
            });
        }
        Ok(data)
    }

    /// The next non-empty data of the wire, waited for no longer than the limits say.
    async fn frame(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let began = Instant::now();
            let patience = began + self.limits.silence.saturating_sub(self.waited);
            let waited = tokio::time::timeout_at(patience.min(self.deadline), self.incoming.frame()).await;
            self.waited += began.elapsed();
            let frame = match waited {
                Ok(None) => return Ok(None),
                Ok(Some(frame)) => frame.map_err(|error| self.broken(&error))?,
                Err(_) => return Err(self.late()),
            };
            let Ok(data) = frame.into_data() else { continue };
            self.progress(data.len() as u64);
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
    }

    /// Only time spent waiting counts as silence, and only a fair amount of bytes ends it.
    fn progress(&mut self, bytes: u64) {
        self.received += bytes;
        self.since_progress += bytes;
        if self.since_progress >= TRICKLE {
            self.since_progress = 0;
            self.waited = Duration::ZERO;
        }
    }

    /// The framing is satisfied; is everything else?
    async fn proper_end(&mut self) -> Result<(), Error> {
        let host = self.host.clone();
        if self.gunzip.as_ref().is_some_and(|gunzip| !gunzip.is_complete() && self.received > 0) {
            return Err(Error::Truncated { host, reason: "the gzip stream has no end".into() });
        }
        if let (Some((behind, answer)), Some(declared)) = (&self.behind, self.declared) {
            let is_longer = |bytes| bytes > declared && behind.is_surplus();
            let surplus = || behind.bytes_of(*answer).is_some_and(is_longer);
            if !surplus() {
                tokio::time::sleep(SURPLUS_WAIT).await;
            }
            if surplus() {
                return Err(Error::Malformed { host, reason: "more bytes than Content-Length".into() });
            }
        }
        Ok(())
    }

    fn late(&self) -> Error {
        let host = self.host.clone();
        if Instant::now() >= self.deadline {
            Error::Timeout { host, after: self.limits.total }
        } else {
            Error::Silent { host, after: self.limits.silence }
        }
    }

    fn broken(&self, error: &hyper::Error) -> Error {
        let host = self.host.clone();
        if error.is_parse() {
            return Error::Malformed { host, reason: error.to_string() };
        }
        Error::Truncated { host, reason: error.to_string() }
    }

    fn end(&mut self) {
        self.state = State::Ended;
        if let Some(turn) = self.turn.take()
            && self.well
        {
            turn.succeeded();
        }
    }

    fn fail(&mut self, error: Error) {
        if let Some(turn) = self.turn.take()
            && !matches!(error, Error::TooLarge { .. })
        {
            turn.failed();
        }
        self.state = State::Failed(error);
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body")
            .field("host", &self.host)
            .field("bytes", &self.count)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
