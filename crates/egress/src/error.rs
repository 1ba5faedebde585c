//! What can go wrong on the way out, and what a caller may conclude from it.

use std::time::Duration;

/// Why a request brought no usable answer.
///
/// None of these means that the thing asked for does not exist (D9): absence is a status that the other side sends,
/// and arrives as a [`Response`](crate::Response). What [`Error::NoSuchHost`] means is for the caller to say.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The gate said no before any packet left (E01-E07, E09). Asking again will not help.
    #[error("{host}: refused: {reason}")]
    Refused {
        /// The host as it was asked for, without credentials.
        host: String,
        /// The rule that refused it, in words for the operator.
        reason: String,
    },
    /// The name could not be resolved within 5 seconds, or the answer was unreasonable (E08).
    #[error("{host}: cannot be resolved: {reason}")]
    Dns {
        /// The name that was looked up.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// The name server says that there is no such name. For a named upstream that is trouble like any other; of a
    /// module path's host it is the one sign that there is no such module (V-24).
    #[error("{host}: no such host")]
    NoSuchHost {
        /// The name that was looked up.
        host: String,
    },
    /// No connection to any judged address, or to the forward proxy in front of it.
    #[error("{host}: cannot connect: {reason}")]
    Connect {
        /// Whom we wanted to reach.
        host: String,
        /// What the system or the forward proxy said.
        reason: String,
    },
    /// The TLS handshake failed: expired, self-signed or wrong-name certificate, or no TLS at all (H10).
    #[error("{host}: TLS: {reason}")]
    Tls {
        /// Whom we wanted to reach.
        host: String,
        /// What the handshake said.
        reason: String,
    },
    /// The time allowed for the whole request, or for its head, is over.
    #[error("{host}: no answer within {}s", .after.as_secs_f32())]
    Timeout {
        /// Who did not answer in time.
        host: String,
        /// The limit that was reached.
        after: Duration,
    },
    /// The body stalled or trickled: less than 1 KiB in the allowed silence (H09).
    #[error("{host}: silent for {}s in the middle of a body", .after.as_secs_f32())]
    Silent {
        /// Who fell silent.
        host: String,
        /// The limit that was reached.
        after: Duration,
    },
    /// More bytes than the caller takes, by `Content-Length` or by count after decoding (H04, H13, F31).
    #[error("{host}: the answer is larger than {limit} bytes")]
    TooLarge {
        /// Who sent it.
        host: String,
        /// The limit that was reached, in bytes.
        limit: u64,
        /// The length the answer declared, where it declared one.
        declared: Option<u64>,
    },
    /// The body ended before its framing said so (H01).
    #[error("{host}: the answer is cut short: {reason}")]
    Truncated {
        /// Who sent it.
        host: String,
        /// What was missing.
        reason: String,
    },
    /// The answer breaks HTTP: more bytes than `Content-Length` (H02), unknown encoding, a broken gzip
    /// stream (H13), a malformed head.
    #[error("{host}: malformed answer: {reason}")]
    Malformed {
        /// Who sent it.
        host: String,
        /// What was wrong with it.
        reason: String,
    },
    /// A redirect we do not follow: to plain HTTP, to another port, without a target, or one too many
    /// (E05, D10).
    #[error("{host}: bad redirect: {reason}")]
    BadRedirect {
        /// Who redirected us.
        host: String,
        /// Why we stayed.
        reason: String,
    },
    /// The host asked us to slow down (429, or 503 with `Retry-After`), and this request was not sent (H05).
    #[error("{host}: asks us to wait {}s", .retry_after.as_secs())]
    Throttled {
        /// Who asked.
        host: String,
        /// When trying again makes sense. Never more than 30 s away: one probe may pass every 30 s.
        retry_after: Duration,
    },
    /// The host failed several times in a row, and this request was not sent: we give it a pause.
    #[error("{host}: failed {failures} times in a row, next try in {}s", .retry_after.as_secs_f32().ceil())]
    BackingOff {
        /// Who failed.
        host: String,
        /// How often, one after the other.
        failures: u32,
        /// When the next request may pass.
        retry_after: Duration,
    },
    /// As many requests wait for this host as we are willing to hold.
    #[error("{host}: {waiting} requests wait already")]
    QueueFull {
        /// The host they wait for.
        host: String,
        /// How many wait.
        waiting: usize,
    },
}

/// What a caller may conclude from an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Our own rules forbid it; the same request will be refused again.
    Refusal,
    /// The other side, or the way to it, is in trouble; later may be better.
    Trouble,
    /// The other side or our own budget asks for patience; [`Error::retry_after`] says how much.
    Busy,
    /// The answer is larger than the caller takes.
    Limit,
}

impl Error {
    /// Sorts the error by what the caller can do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Refused { .. } | Self::BadRedirect { .. } => Class::Refusal,
            Self::Throttled { .. } | Self::BackingOff { .. } | Self::QueueFull { .. } => Class::Busy,
            Self::TooLarge { .. } => Class::Limit,
            Self::Dns { .. }
            | Self::NoSuchHost { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Timeout { .. }
            | Self::Silent { .. }
            | Self::Truncated { .. }
            | Self::Malformed { .. } => Class::Trouble,
        }
    }

    /// How long to wait before the same host is worth asking again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } | Self::BackingOff { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// The host concerned, as `host` or `host:port`, without credentials.
    pub fn host(&self) -> &str {
        match self {
            Self::Refused { host, .. }
            | Self::Dns { host, .. }
            | Self::NoSuchHost { host }
            | Self::Connect { host, .. }
            | Self::Tls { host, .. }
            | Self::Timeout { host, .. }
            | Self::Silent { host, .. }
            | Self::TooLarge { host, .. }
            | Self::Truncated { host, .. }
            | Self::Malformed { host, .. }
            | Self::BadRedirect { host, .. }
            | Self::Throttled { host, .. }
            | Self::BackingOff { host, .. }
            | Self::QueueFull { host, .. } => host,
        }
    }
}
