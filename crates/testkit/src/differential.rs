//! The same questions to the real go command in direct mode and to modkeep, and where the answers differ.
//!
//! A [`Site`] is one repository and the import path of its root. From its refs and trees [`questions::of`]
//! derives what can be asked of it: every module path, every version, tag, branch and some commits, whole and
//! short, pseudo-versions right and wrong, names that nobody has. [`Oracle`] asks the go command, few processes
//! with many arguments each; [`ours`] asks a running modkeep over HTTP; [`compare`] puts both side by side:
//! `Version`, `Time` and `Origin` of the info, the bytes of go.mod, both sums, lists, latest, and for what
//! there is not: whether it is absence or trouble, and the sentence.

mod compare;
mod oracle;
mod ours;
pub mod questions;
mod report;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

pub use compare::compare;
pub use oracle::{Oracle, published};
pub use ours::ask as ours;
pub use report::{Difference, Report};
pub use walk::{Scale, walk};

/// One repository to be asked about.
#[derive(Clone, Debug)]
pub struct Site {
    /// The import path of its root: `github.com/ann/fish`.
    pub root: String,
    /// The bare git repository; `None` for other systems, of which only what `more` says is asked.
    pub repository: Option<PathBuf>,
    /// The directory of a go-import tag with four fields; empty mostly.
    pub subdirectory: String,
    /// Further module paths: of nobody, or of folders without a go.mod.
    pub paths: Vec<String>,
    /// Further questions: module path and query.
    pub more: Vec<Question>,
}

/// A module path and what stands behind the `@`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Question {
    /// The module path.
    pub path: String,
    /// A version, a branch, a commit, `latest`.
    pub query: String,
}

impl Question {
    /// `path@query`.
    pub fn new(path: &str, query: &str) -> Self {
        Self { path: path.to_owned(), query: query.to_owned() }
    }
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.path, self.query)
    }
}

/// What somebody knows of a version.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Known {
    /// The canonical version that the query became.
    pub version: String,
    /// RFC 3339, as in the info.
    pub time: String,
    /// The `Origin` of the info, with its keys in order.
    pub origin: BTreeMap<String, String>,
    /// The bytes of go.mod; empty for latest.
    pub go_mod: Vec<u8>,
    /// The sum of go.mod, or why it is not given out, then without its bytes; empty for latest.
    pub go_mod_h1: String,
    /// The sum of the zip, or why there is none; empty for latest.
    pub zip: Result<String, Refused>,
}

impl Default for Known {
    fn default() -> Self {
        let (version, time, origin) = (String::new(), String::new(), BTreeMap::new());
        Self { version, time, origin, go_mod: Vec::new(), go_mod_h1: String::new(), zip: Ok(String::new()) }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refused {
    /// Whether it is trouble, to be tried again, or absence. `None`: the go command does not tell.
    pub trouble: Option<bool>,
    /// The first line of the explanation, without the name of the module and version.
    pub text: String,
}

impl Known {
    /// What an info says; nothing is known of go.mod and zip.
    ///
    /// # Errors
    /// When it is no JSON.
    pub fn of_info(info: &[u8]) -> Result<Self, Refused> {
        let wrong = |e: serde_json::Error| Refused { trouble: Some(true), text: format!("no info: {e}") };
        let info: Value = serde_json::from_slice(info).map_err(wrong)?;
        let field = |name: &str| info.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Self { version: field("Version"), time: field("Time"), origin: origin(&info), ..Self::default() })
    }
}

/// The `Origin` of an info as a table; a list of any kind in it as its JSON.
fn origin(object: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields = object.get("Origin").and_then(Value::as_object);
    fields.map(|fields| fields.iter().map(|(k, v)| (k.clone(), text(v))).collect()).unwrap_or_default()
}

impl Refused {
    /// What is left of an error of the go command when the names before it are gone, and what it means (section 12 of
    /// versions-and-origins.md).
    pub fn new(path: &str, text: &str) -> Self {
        let line = text.lines().next().unwrap_or_default();
        let line = line.strip_prefix("not found: ").unwrap_or(line);
        let line = line.strip_prefix("module ").unwrap_or(line);
        let bare =
            line.strip_prefix(path).and_then(|rest| rest.split_once(": ")).map_or(line, |(_, rest)| rest);
        // Whether a program's failure means absence, the go command does not say.
        let unclear = ["exit status", "unrecognized import path", "unexpected response from git"];
        let unclear = unclear.iter().any(|words| text.contains(words));
        Self { trouble: (!unclear).then_some(false), text: bare.to_owned() }
    }
}

/// All that somebody said.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Each question's answer.
    pub known: BTreeMap<Question, Result<Known, Refused>>,
    /// The list of versions of each module path, sorted as text.
    pub lists: BTreeMap<String, Result<Vec<String>, Refused>>,
    /// Questions to which the go command names a ref or none, depending on what it happened to have fetched for others.
    pub refs_by_chance: BTreeSet<Question>,
}
