//! Why an origin did not give what it was asked for (versions-and-origins section 12).

use std::time::Duration;

use modkeep_upstream::Error as ProxyError;

/// Nothing tells when a full queue will have moved; a second is a polite guess.
const QUEUE_MOVES: Duration = Duration::from_secs(1);

/// Why an origin did not give what it was asked for.
///
/// Only [`Error::NoModule`], [`Error::NoVersion`], [`Error::NotAVersion`] and [`Error::Login`] are absence; everything
/// else is trouble, policy or a flaw of the module (D9).
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// There is no module of that path: no such repository, no tags on its page, GOVCS refuses its system.
    #[error("{reason}")]
    NoModule {
        /// The go command's words behind `module <path>: `.
        reason: String,
    },
    /// The repository has no such version, or the version breaks a rule of V-55, V-61 or V-8.
    #[error("{reason}")]
    NoVersion {
        /// The go command's words behind `invalid version: `, such as `unknown revision v1.9.9`.
        reason: String,
    },
    /// The repository is there, and what was asked for is no version of the module: no such revision, a rule of V-55,
    /// V-61 or section 8, nothing that `latest` may pick (P-43). What [`crate::versions`] says, where a repository
    /// alone says [`Error::NoVersion`].
    #[error("{sentence}")]
    NotAVersion {
        /// The go command's whole sentence, beginning with the module and the version it is about, which need not be
        /// the one that was asked for: `example.com/m@v1.9.9: invalid version: unknown revision v1.9.9`.
        sentence: String,
        /// Whether there is nothing of that name, or something that breaks a rule.
        verdict: Verdict,
    },
    /// The repository wants a login, or forbids. To a public mirror it looks nonexistent, for a short while.
    #[error("{host} wants a login: {reason}")]
    Login {
        /// Whom we asked.
        host: String,
        /// What it said.
        reason: String,
    },
    /// The version exists and can never have a zip: forbidden names, colliding names (module-zip section 5).
    #[error("{reason}")]
    Unfit {
        /// All files at fault, one a line.
        reason: String,
    },
    /// The version exists and is larger than the go command allows (module-zip section 2).
    #[error("{what} too large (max size is {limit} bytes)")]
    TooLarge {
        /// `module source tree`, `go.mod file` or `LICENSE file`.
        what: &'static str,
        /// Its size as far as it was counted, in bytes.
        size: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// Our own rules stopped it: the egress gate, the opt-out list, crawl rules (E10).
    #[error("{host}: {reason}")]
    Refused {
        /// Whom we would have asked.
        host: String,
        /// The rule, with the setting that changes it.
        reason: String,
    },
    /// The host asks for patience, or our own pace for it is used up.
    #[error("{host} asks us to wait {}s", .retry_after.as_secs())]
    Throttled {
        /// Whom we asked, or wanted to.
        host: String,
        /// When trying again makes sense.
        retry_after: Duration,
    },
    /// As many questions wait for this host as we are willing to hold (K02).
    #[error("too many requests wait for {host} already")]
    Busy {
        /// Whom we wanted to ask.
        host: String,
        /// When trying again makes sense.
        retry_after: Duration,
    },
    /// What the host sent is not what its protocol says: a broken pack, an object that is not what its name says.
    #[error("{host}: malformed answer: {what}")]
    Malformed {
        /// Who sent it.
        host: String,
        /// What is wrong with it.
        what: String,
    },
    /// Everything that a later try may cure: DNS, TLS, timeouts, 5xx, a program that failed.
    #[error("{host}: {reason}")]
    Trouble {
        /// Whom we asked.
        host: String,
        /// What went wrong, without secrets, our folders or command lines.
        reason: String,
    },
    /// Only the git program can do this: a dumb server, one without version 2 of the protocol, an attribute whose
    /// conversion we decline. The caller starts it; nobody outside this room sees this.
    #[error("the git program has to do this: {what}")]
    NeedsGit {
        /// Why.
        what: String,
    },
    /// A program that is needed is not installed.
    #[error("the program {program} is not installed here")]
    NoProgram {
        /// Its name.
        program: &'static str,
    },
    /// Our own disk.
    #[error("{0}")]
    Store(modkeep_store::Error),
}

/// What is wrong with something that is no version. Where nothing is found the go command goes on looking, with another
/// spelling or another query; a broken rule ends its search.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// No such revision, or no module in its tree: what section 12 calls not-found.
    Missing,
    /// The revision is there and cannot be that version.
    Invalid,
    /// The revision is that version, and no version of a module can be named so (V-57).
    Unnamable,
}

impl Error {
    /// What a failed request means here. Absence is never among it: that is a status (D9).
    pub(crate) fn of_egress(error: &modkeep_egress::Error) -> Self {
        use modkeep_egress::{Class, Error as Egress};
        let host = error.host().to_owned();
        let whole = error.to_string();
        let reason = whole.strip_prefix(&format!("{host}: ")).unwrap_or(&whole).to_owned();
        let retry_after = error.retry_after().unwrap_or(QUEUE_MOVES);
        match (error.class(), error) {
            (_, Egress::QueueFull { .. }) => Self::Busy { host, retry_after },
            // Nobody asked for patience: it failed, and is given a pause.
            (_, Egress::BackingOff { .. }) => Self::Trouble { host, reason },
            (_, Egress::Malformed { reason, .. }) => Self::Malformed { host, what: reason.clone() },
            (Class::Busy, _) => Self::Throttled { host, retry_after },
            (Class::Refusal, _) => Self::Refused { host, reason },
            (Class::Trouble | Class::Limit, _) => Self::Trouble { host, reason },
        }
    }

    /// `unknown revision <rev>`, the most frequent one.
    pub(crate) fn unknown_revision(revision: &str) -> Self {
        Self::NoVersion { reason: format!("unknown revision {revision}") }
    }

    /// What the proxy says that a go-import page names (V-21).
    pub(crate) fn of_proxy(error: ProxyError) -> Self {
        match error {
            ProxyError::NotFound { text, .. } if text.is_empty() => {
                Self::NoModule { reason: "its proxy has no such version".to_owned() }
            }
            ProxyError::NotFound { text, .. } => Self::NoModule { reason: text },
            ProxyError::Forbidden { source_name: host, status, .. } => {
                Self::Login { host, reason: format!("answered {status}") }
            }
            ProxyError::Throttled { source_name: host, retry_after } => Self::Throttled { host, retry_after },
            ProxyError::Busy { source_name: host, retry_after } => Self::Busy { host, retry_after },
            ProxyError::Malformed { source_name: host, what } => Self::Malformed { host, what },
            ProxyError::TooLarge { limit, declared: Some(size), .. } if size > limit => {
                Self::TooLarge { what: "zip", size, limit }
            }
            ProxyError::TooLarge { source_name: host, limit, .. } => {
                Self::Malformed { host, what: format!("more than {limit} bytes") }
            }
            ProxyError::Trouble { source_name: host, reason, .. } => Self::Trouble { host, reason },
            ProxyError::Refused { source_name: host, reason } => Self::Refused { host, reason },
            ProxyError::Store(error) => Self::Store(error),
        }
    }

    /// Whether a repository that answers has nothing of that name.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::NoVersion { .. } | Self::NotAVersion { verdict: Verdict::Missing, .. })
    }

    /// Whether the authority said that there is no such thing.
    pub fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::NoModule { .. } | Self::NoVersion { .. } | Self::NotAVersion { .. } | Self::Login { .. }
        )
    }
}
