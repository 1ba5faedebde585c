//! Where a module lives: the answer of [`crate::resolve`].

use url::Url;

/// A version control system.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Vcs {
    /// In this process over HTTP; through the program elsewhere.
    Git,
    /// Mercurial, through its program.
    Hg,
    /// Subversion, through its program.
    Svn,
    /// Fossil, through its program.
    Fossil,
}

impl Vcs {
    /// Its name in go-import tags, GOVCS and our configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Hg => "hg",
            Self::Svn => "svn",
            Self::Fossil => "fossil",
        }
    }
}

/// Where a module path leads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// To a repository.
    Repository(RepositoryPlace),
    /// To a GOPROXY of its own (`mod` in its go-import tag, V-21).
    Proxy {
        /// The base.
        base: Url,
    },
}

/// A repository and what of it the module path names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct RepositoryPlace {
    /// The import path of the repository's root, the go-import prefix.
    pub(crate) root: String,
    /// Its system.
    pub(crate) vcs: Vcs,
    /// Its URL as the world knows it: what `Origin.URL` shows, before any rewriting.
    pub(crate) url: String,
    /// The `subdirectory` of the go-import tag; empty mostly.
    pub(crate) subdirectory: String,
}

/// How to get at a repository: its URL after rewriting, with what opens the door.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    /// As the world knows it; names it in errors and in `Origin`.
    pub(crate) original: String,
    /// Where we really go: https, http (insecure or configured), ssh, svn, file (configured only).
    pub(crate) url: Url,
    /// Shown to that host alone.
    pub(crate) login: Option<Login>,
    /// Whether GOINSECURE covers the module: certificates are not checked.
    pub(crate) insecure: bool,
    /// Whether the URL is the target of a rewrite rule: configured infrastructure for the gate.
    pub(crate) configured: bool,
}

/// What opens the door of a private repository.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Login {
    /// User and password or token, over HTTP.
    Http(modkeep_egress::Credentials),
    /// The private key file for ssh.
    SshKey(std::path::PathBuf),
}
