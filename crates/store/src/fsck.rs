//! The oracle: compares bytes, ledger and protocol, and names each broken promise (R26).
//!
//! It works offline and beside a running server, streams over stores of any size, and believes nothing but bytes:
//! every file is read, summed and parsed again, and what the ledger says is compared with that.

mod files;
mod rows;

use std::collections::HashSet;
use std::fmt;

use crate::error::Error;
use crate::store::{Inner, Store};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// Nothing is wrong: garbage of a crash, or work of a running server.
    Note,
    /// Something is not as we leave it, but no promise is broken yet.
    Warning,
    /// A promise is broken.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// The promise or rule: `R4`, `Z-46`, `D2`.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Where: a path below the data directory, or `ledger.sqlite`.
    pub path: String,
    /// What, in words.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}] {}: {}", self.severity, self.id, self.path, self.text)
    }
}

/// What to do beyond looking.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Put damaged blobs aside, so that they can be fetched again. Needs a store that was opened for writing.
    pub quarantine: bool,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// Versions looked at.
    pub versions: u64,
    /// Versions in the ledger when it began.
    pub versions_total: u64,
    /// Files read.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
}

/// How many findings are kept; of a store that is damaged beyond, the count tells enough.
const FINDINGS_MAX: usize = 10_000;

/// The outcome.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What was found, at most 10,000.
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub unlisted: u64,
    /// What was looked at.
    pub checked: Progress,
    /// Blobs put aside.
    pub put_aside: u64,
}

impl Report {
    /// The worst severity; `None` when nothing was found.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }

    /// Whether no promise is broken.
    pub fn is_sound(&self) -> bool {
        self.worst() < Some(Severity::Error)
    }
}

/// Checks a store, opened for reading or for writing. Blocking: reads everything once.
///
/// An error means that looking failed, not that something was found.
pub fn run(store: &Store, options: Options, progress: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let inner = store.inner();
    let mut check = Check { inner, options, report: Report::default(), seen: HashSet::new(), progress };
    check.report.checked.versions_total = inner.ledger.counts().map_or(0, |counts| counts.versions);
    check.ledger();
    check.versions();
    check.foreign_files();
    check.evidence()?;
    check.quarantine();
    check.directory()?;
    let Check { mut report, .. } = check;
    report.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(report)
}

/// A check under way.
struct Check<'a> {
    inner: &'a Inner,
    options: Options,
    report: Report,
    /// Rows of evidence and quarantine by the files they name. Both are bounded or rare.
    seen: HashSet<String>,
    progress: &'a mut dyn FnMut(Progress),
}

impl Check<'_> {
    fn find(
        &mut self,
        id: &'static str,
        severity: Severity,
        path: impl Into<String>,
        text: impl Into<String>,
    ) {
        let finding = Finding { id, severity, path: path.into(), text: text.into() };
        if self.report.findings.last() == Some(&finding) {
            return;
        }
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(finding);
        } else {
            self.report.unlisted += 1;
        }
    }

    fn error(&mut self, id: &'static str, path: impl Into<String>, text: impl Into<String>) {
        self.find(id, Severity::Error, path, text);
    }

    /// Passes a value on; a failure to get it is a finding.
    fn got<T>(&mut self, id: &'static str, path: &str, outcome: Result<T, Error>) -> Option<T> {
        outcome.map_err(|error| self.error(id, path, error.to_string())).ok()
    }

    fn count(&mut self, bytes: u64) {
        self.report.checked.files += 1;
        self.report.checked.bytes += bytes;
        (self.progress)(self.report.checked);
    }
}
