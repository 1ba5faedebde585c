//! One question to one witness: `add-checkpoint`, and what it answers (B3).

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use modkeep_egress::{Egress, Encoding, Limits, Post, Request, Response};
use modkeep_tlog::witness::{AddCheckpoint, cosignatures, recorded_size};
use modkeep_tlog::{Cosignature, Hash, SignedCheckpoint, TreeSize, WitnessKey};
use url::Url;

/// How long a witness of our own log has for an answer (B3).
pub const WITNESS_PATIENCE: Duration = Duration::from_secs(1);
/// A hundred lines of the longest kind.
const ANSWER_BYTES_MAX: u64 = 512 * 1024;
/// The type of a 409's body.
const SIZE_TYPE: &str = "text/x.tlog.size";
/// The status of a head that does not continue what the witness has, or of a proof that does not show it (B4).
pub(super) const CONTRADICTION: u16 = 422;
/// What we repeat of a refusal.
const TEXT_CHARS_MAX: usize = 200;

/// The way to a witness, and the keys by which it is believed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Asker {
    egress: Egress,
    url: Url,
    keys: Vec<WitnessKey>,
    patience: Duration,
}

/// What a witness answered.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Reply {
    /// It has cosigned: the lines of the keys that we know, verified. At least one.
    Cosigned(Vec<Cosignature>),
    /// It has another size recorded than the one that the proof began at (409).
    Conflict(TreeSize),
    /// It refuses: the checkpoint does not continue what it has seen, it does not know the log, it is asked too often.
    Refused {
        /// As answered.
        status: u16,
        /// The beginning of its words.
        text: String,
    },
    /// No usable answer.
    Away {
        /// What happened.
        reason: String,
    },
}

impl Reply {
    /// Whether it says that the head does not continue what it has seen (422): a fork, or a proof that is wrong.
    pub fn contradicts(&self) -> bool {
        matches!(self, Self::Refused { status: CONTRADICTION, .. })
    }

    /// One word, for metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Cosigned(_) => "cosigned",
            Self::Conflict(_) => "conflict",
            Self::Refused { .. } => "refused",
            Self::Away { .. } => "away",
        }
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cosigned(lines) => write!(f, "cosigned, {} lines", lines.len()),
            Self::Conflict(size) => write!(f, "has size {size}"),
            Self::Refused { status, text } => write!(f, "refused with {status}: {text}"),
            Self::Away { reason } => f.write_str(reason),
        }
    }
}

impl Asker {
    /// The witness with this submission prefix. Its host must be one that `egress` has as configured.
    pub fn new(egress: Egress, mut prefix: Url, keys: Vec<WitnessKey>, patience: Duration) -> Self {
        // Every http URL has a path; the branch is for the type.
        if let Ok(mut segments) = prefix.path_segments_mut() {
            segments.pop_if_empty().push("add-checkpoint");
        }
        Self { egress, url: prefix, keys, patience }
    }

    /// The name of the witness, which is that of its keys.
    pub fn name(&self) -> &str {
        self.keys.first().map_or("", WitnessKey::name)
    }

    /// Submits a checkpoint with the proof that it continues the tree of size `old`.
    ///
    /// Cancel safe: the witness may have cosigned nevertheless, and will then answer the next question with a conflict.
    pub async fn submit(&self, old: TreeSize, proof: Vec<Hash>, checkpoint: &SignedCheckpoint) -> Reply {
        let request = match AddCheckpoint::new(old, proof, checkpoint) {
            Ok(request) => Bytes::from(request.to_text()),
            Err(refusal) => return Reply::Away { reason: refusal.to_string() },
        };
        let post = Post {
            content_type: HeaderValue::from_static("text/plain; charset=utf-8"),
            encoding: Encoding::Plain,
            bytes: request,
        };
        let limits = Limits {
            bytes_max: ANSWER_BYTES_MAX,
            total: self.patience,
            head: self.patience,
            silence: self.patience,
            redirects_max: 0,
        };
        let question = Request { limits, ..Request::named(self.url.clone()) };
        let read = async {
            let response = self.egress.post(question, post).await?;
            self.read(response, checkpoint).await
        };
        // The body counts too.
        match tokio::time::timeout(self.patience, read).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => Reply::Away { reason: error.to_string() },
            Err(_) => Reply::Away { reason: format!("no answer within {} s", self.patience.as_secs_f32()) },
        }
    }

    async fn read(
        &self,
        response: Response,
        checkpoint: &SignedCheckpoint,
    ) -> Result<Reply, modkeep_egress::Error> {
        let status = response.status;
        let is_size = response.header(&CONTENT_TYPE).is_some_and(|kind| kind.trim() == SIZE_TYPE);
        let body = response.body.collect(ANSWER_BYTES_MAX).await?;
        let refused = |text: String| Reply::Refused { status, text };
        Ok(match status {
            200 => match cosignatures(&body, checkpoint.checkpoint(), &self.keys) {
                Ok(lines) if lines.is_empty() => refused("no line of a known key that verifies".to_owned()),
                Ok(lines) => Reply::Cosigned(lines),
                Err(error) => refused(error.to_string()),
            },
            409 if is_size => match recorded_size(&body) {
                Some(size) => Reply::Conflict(size),
                None => refused("a size that is none".to_owned()),
            },
            _ => refused(beginning(&body)),
        })
    }
}

/// The first line of somebody else's words, without control characters.
fn beginning(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect()
}
