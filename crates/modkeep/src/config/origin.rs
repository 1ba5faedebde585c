//! The `[origin]` section: its keys, and the tables it may hold.

use serde::Deserialize;

use super::{Pace, Period, Size};

/// Meanings and units of the fields: `default.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Origin {
    pub(crate) upstream: String,
    pub(crate) private: Vec<String>,
    pub(crate) list_ttl: Period,
    pub(crate) absent_ttl: Period,
    pub(crate) discovery_ttl: Period,
    pub(crate) per_upstream: usize,
    pub(crate) per_host: usize,
    pub(crate) pace: Pace,
    pub(crate) robots: Robots,
    pub(crate) queue_max: usize,
    pub(crate) timeout: Period,
    pub(crate) silence: Period,
    pub(crate) user_agent_contact: String,
    pub(crate) vcs: Vec<VcsName>,
    pub(crate) govcs: String,
    pub(crate) insecure: Vec<String>,
    pub(crate) ssh: Vec<String>,
    pub(crate) known_hosts: String,
    pub(crate) opt_out: Vec<String>,
    pub(crate) netrc: String,
    pub(crate) rewrite: Vec<Rewrite>,
    pub(crate) credential: Vec<Credential>,
    pub(crate) vanity: Vec<Vanity>,
    pub(crate) programs: Vec<String>,
    pub(crate) cache_max: Size,
    pub(crate) watch: Period,
}

/// A version control system, by its name in go-import tags.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VcsName {
    Git,
    Hg,
    Svn,
    Fossil,
}

/// Whose rules in a robots.txt are obeyed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Robots {
    Ours,
    All,
}

/// `[[origin.rewrite]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rewrite {
    pub(crate) prefix: String,
    pub(crate) url: String,
}

/// `[[origin.credential]]`: one of the four sources.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credential {
    #[serde(rename = "match")]
    pub(crate) pattern: String,
    pub(crate) netrc: Option<String>,
    pub(crate) token_file: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) ssh_key_file: Option<String>,
    pub(crate) command: Option<Vec<String>>,
}

/// `[[origin.vanity]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vanity {
    pub(crate) prefix: String,
    pub(crate) vcs: VcsName,
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) subdirectory: String,
}
