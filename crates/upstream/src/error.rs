//! What an upstream's answer, or its failure to answer, means for the question asked.

use std::time::Duration;

use modkeep_egress::Class;

/// Nothing tells when a full queue will have moved; a second is a polite guess.
const QUEUE_MOVES: Duration = Duration::from_secs(1);

/// Why an upstream did not give what it was asked for.
///
/// Only [`Error::NotFound`] is absence, and only a 404, a 410 or a missing file makes one; everything
/// else is trouble (D9, H06).
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The upstream says that there is no such thing: 404, 410, or no such file in a tree.
    #[error("{source_name}: not found{}", quoted(text))]
    NotFound {
        /// Whom we asked, without credentials.
        source_name: String,
        /// Its own words: at most 8 lines of printable text, possibly none.
        text: String,
    },
    /// The upstream wants a login or forbids: 401, 403, or a file we may not read. Not absence.
    #[error("{source_name}: answered {status}{}", quoted(text))]
    Forbidden {
        /// Whom we asked.
        source_name: String,
        /// 401 or 403.
        status: u16,
        /// Its own words.
        text: String,
    },
    /// The upstream asks for patience, or has asked a moment ago: 429, 503 with `Retry-After`.
    #[error("{source_name}: asks us to wait {}s", .retry_after.as_secs())]
    Throttled {
        /// Whom we asked, or wanted to.
        source_name: String,
        /// When trying again makes sense.
        retry_after: Duration,
    },
    /// As many requests wait for this upstream as we are willing to hold: our limit, not its fault (K02).
    #[error("{source_name}: too many requests wait for it already")]
    Busy {
        /// Whom we wanted to ask.
        source_name: String,
        /// When trying again makes sense.
        retry_after: Duration,
    },
    /// The answer is not what was asked for: a web page, a version of another name, no zip (H02, H03, G08).
    #[error("{source_name}: malformed answer: {what}")]
    Malformed {
        /// Who sent it.
        source_name: String,
        /// What is wrong with it.
        what: String,
    },
    /// The answer is larger than such a thing may be (F31, H04, `hostile-inputs.md` part 1).
    #[error("{source_name}: larger than the limit of {limit} bytes")]
    TooLarge {
        /// Who sent it.
        source_name: String,
        /// The limit, in bytes.
        limit: u64,
        /// The size, where the answer declared it.
        declared: Option<u64>,
    },
    /// Everything that a later try may cure: 5xx, timeouts, TLS, cut answers, unreachable hosts.
    #[error("{source_name}: {reason}")]
    Trouble {
        /// Whom we asked.
        source_name: String,
        /// What went wrong, for the operator.
        reason: String,
        /// The status, where there was one.
        status: Option<u16>,
    },
    /// Our own rules stopped the request or its redirect; a later try meets the same rule (E05, E07).
    #[error("{source_name}: {reason}")]
    Refused {
        /// Whom we wanted to ask.
        source_name: String,
        /// The rule.
        reason: String,
    },
    /// The scratch file could not take the bytes: our disk, not their fault.
    #[error("scratch file: {0}")]
    Store(modkeep_store::Error),
}

impl Error {
    /// Whether the upstream said that there is no such thing: the next entry after a `,` may be asked (P-80).
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// When to try again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } | Self::Busy { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// The upstream's own words, for the texts that carry them on.
    pub fn text(&self) -> &str {
        match self {
            Self::NotFound { text, .. } | Self::Forbidden { text, .. } => text,
            _ => "",
        }
    }

    pub(crate) fn of_egress(source_name: &str, error: &modkeep_egress::Error) -> Self {
        let source_name = source_name.to_owned();
        match (error.class(), error) {
            (_, modkeep_egress::Error::TooLarge { limit, declared, .. }) => {
                Self::TooLarge { source_name, limit: *limit, declared: *declared }
            }
            (_, modkeep_egress::Error::Malformed { .. }) => {
                Self::Malformed { source_name, what: error.to_string() }
            }
            (Class::Refusal, _) => Self::Refused { source_name, reason: error.to_string() },
            (_, modkeep_egress::Error::Throttled { retry_after, .. }) => {
                Self::Throttled { source_name, retry_after: *retry_after }
            }
            (_, modkeep_egress::Error::QueueFull { .. }) => {
                Self::Busy { source_name, retry_after: QUEUE_MOVES }
            }
            // Busy here: it failed and is given a pause. That is its trouble, nobody asked for patience.
            (Class::Busy | Class::Trouble | Class::Limit, _) => {
                Self::Trouble { source_name, reason: error.to_string(), status: None }
            }
        }
    }
}

fn quoted(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
