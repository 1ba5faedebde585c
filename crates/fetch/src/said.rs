//! Failures of the rooms below, in the words of this one.

use std::sync::Arc;
use std::time::Duration;

use modkeep_module::zip::ZipError;
use modkeep_origin::Error as OriginError;
use modkeep_store::Error as StoreError;
use modkeep_upstream::{DatabaseError, Error as UpstreamError};

use crate::failure::{Absent, Failure, Subject};

/// How much of a foreign text is kept (hostile-inputs U8).
const SAID_BYTES_MAX: usize = 256;
/// How much of what is wrong with a module is kept: as much as a refusal can say (P-70).
const FLAWS_BYTES_MAX: usize = 600;
/// A module path with its version (hostile-inputs part 1).
const NAME_BYTES_MAX: usize = 1024 + 256;

/// A foreign text made harmless: one line, no control characters, cut at 256 bytes.
pub(crate) fn harmless(text: &str) -> Arc<str> {
    harmless_up_to(text, SAID_BYTES_MAX)
}

/// Flaws of a module, one a line: what the edge has room for, and no more.
fn flaws(text: &str) -> Arc<str> {
    let lines: Vec<_> = text.lines().map(|line| harmless_up_to(line, FLAWS_BYTES_MAX)).collect();
    let mut kept = lines.join("\n");
    kept.truncate(kept.floor_char_boundary(FLAWS_BYTES_MAX));
    kept.into()
}

/// The same of a sentence that begins with our own reader's words, a module's path and version.
fn sentence(text: &str) -> Arc<str> {
    harmless_up_to(text, NAME_BYTES_MAX + SAID_BYTES_MAX)
}

fn harmless_up_to(text: &str, bytes_max: usize) -> Arc<str> {
    let mut kept = String::new();
    for character in text.trim().chars() {
        let character = if character.is_control() { ' ' } else { character };
        if kept.len() + character.len_utf8() > bytes_max {
            break;
        }
        kept.push(character);
    }
    kept.into()
}

/// A source's error.
pub(crate) fn by_upstream(subject: Subject, name: &str, error: UpstreamError) -> Failure {
    let host: Arc<str> = name.into();
    match error {
        UpstreamError::NotFound { text, .. } => absent(subject, &text),
        UpstreamError::Forbidden { status, .. } => down(subject, host, &format!("answered {status}")),
        UpstreamError::Trouble { reason, .. } | UpstreamError::Refused { reason, .. } => {
            down(subject, host, &reason)
        }
        UpstreamError::Throttled { retry_after, .. } => Failure::OriginLimit { subject, host, retry_after },
        UpstreamError::Busy { retry_after, .. } => Failure::Busy { subject, retry_after },
        UpstreamError::Malformed { what, .. } => nonsense(subject, name, &what),
        // Nothing is known of the thing itself: the source lies or does not end (H04, G08, R22).
        UpstreamError::TooLarge { limit, .. } => {
            nonsense(subject, name, &format!("more than {limit} bytes, which such an answer never has"))
        }
        UpstreamError::Store(error) => by_store(subject, &error),
    }
}

/// A source's error about a zip. Only here a declared size says something about the module: the go command, and so
/// every proxy, refuses it for ever (F31).
pub(crate) fn by_upstream_of_zip(subject: Subject, name: &str, error: UpstreamError) -> Failure {
    match error {
        UpstreamError::TooLarge { limit, declared: Some(size), .. } if size > limit => {
            Failure::TooLarge { subject, what: "zip", size, limit }
        }
        error => by_upstream(subject, name, error),
    }
}

/// An origin's error (versions-and-origins section 12).
pub(crate) fn by_origin(subject: Subject, error: OriginError) -> Failure {
    let asked_ago = Duration::ZERO;
    match error {
        OriginError::NoModule { reason } => {
            let (why, said) = (Absent::AtItsOrigin, sentence(&reason));
            Failure::NoSuchModule { subject, asked_ago, why, said }
        }
        OriginError::NoVersion { reason } => {
            let version = subject.version.as_deref().unwrap_or("latest");
            let said = format!("{}@{version}: invalid version: {reason}", subject.module);
            Failure::InvalidVersion { subject, asked_ago, sentence: sentence(&said) }
        }
        OriginError::NotAVersion { sentence: said, .. } => {
            Failure::InvalidVersion { subject, asked_ago, sentence: sentence(&said) }
        }
        OriginError::Login { host, .. } => Failure::NoAccess { subject, host: host.into() },
        OriginError::Unfit { reason } => Failure::BadContent { subject, reason: flaws(&reason) },
        OriginError::TooLarge { what, size, limit } => Failure::TooLarge { subject, what, size, limit },
        OriginError::Refused { host, reason } => {
            Failure::Refused { subject, host: host.into(), reason: harmless(&reason) }
        }
        OriginError::Throttled { host, retry_after } => {
            Failure::OriginLimit { subject, host: host.into(), retry_after }
        }
        OriginError::Busy { retry_after, .. } => Failure::Busy { subject, retry_after },
        OriginError::Malformed { host, what } => nonsense(subject, &host, &what),
        OriginError::Trouble { host, reason } => down(subject, host.into(), &reason),
        OriginError::NeedsGit { what } => down(subject, "git".into(), &what),
        OriginError::NoProgram { program } => Failure::NoProgram { subject, program },
        OriginError::Store(error) => by_store(subject, &error),
    }
}

/// The authority's own "not there".
fn absent(subject: Subject, text: &str) -> Failure {
    let (asked_ago, said) = (Duration::ZERO, harmless(text));
    match subject.version {
        None => Failure::NoSuchModule { subject, asked_ago, why: Absent::AtEverySource, said },
        Some(_) => Failure::NoSuchVersion { subject, asked_ago, newest: None, said },
    }
}

fn down(subject: Subject, host: Arc<str>, reason: &str) -> Failure {
    Failure::OriginDown { subject, host, reason: harmless(reason), here: Vec::new() }
}

/// A source's answer that is none.
pub(crate) fn nonsense(subject: Subject, name: &str, reason: &str) -> Failure {
    Failure::BadAnswer { subject, source_name: name.into(), reason: harmless(reason) }
}

/// The checksum database's error about one version.
pub(crate) fn by_database(subject: Subject, error: DatabaseError) -> Failure {
    match error {
        DatabaseError::NotFound { log, text } => {
            Failure::Unlisted { subject, database: log.into(), said: harmless(&text) }
        }
        DatabaseError::Inconsistent { log, size } => {
            Failure::LogInconsistent { subject, log: log.into(), size }
        }
        DatabaseError::Away { log, reason, .. } | DatabaseError::Unverifiable { log, what: reason } => {
            Failure::LogDown { subject, log: log.into(), reason: harmless(&reason) }
        }
        DatabaseError::MissingLine { log, id, .. } => without_line(subject, &log, id),
        DatabaseError::Store(error) => by_store(subject, &error),
    }
}

/// An authentic record without the line that was asked for (I10, CVE-2026-42501).
pub(crate) fn without_line(subject: Subject, log: &str, id: u64) -> Failure {
    let reason = format!("its record {id} has no line for this file");
    Failure::LogDown { subject, log: log.into(), reason: reason.into() }
}

/// The store's error.
pub(crate) fn by_store(subject: Subject, error: &StoreError) -> Failure {
    let reason = || harmless(&error.to_string());
    match error {
        StoreError::DiskFull { .. }
        | StoreError::ReadOnly { .. }
        | StoreError::Io { .. }
        | StoreError::Fenced
        | StoreError::Ledger { .. } => Failure::Storage { subject, reason: reason() },
        StoreError::GoModDiffers { .. } | StoreError::Name { .. } => {
            Failure::BadContent { subject, reason: reason() }
        }
        StoreError::Corrupt { .. } => Failure::Corrupt { subject },
        StoreError::Closed => Failure::Stopping { subject },
        StoreError::Locked { .. }
        | StoreError::NewerFormat { .. }
        | StoreError::Conflict { .. }
        | StoreError::LogConflict { .. }
        | StoreError::Backup { .. }
        | StoreError::WrongVersion { .. } => Failure::Internal { subject, reason: reason() },
    }
}

/// Work of ours on a thread of its own came to no end.
pub(crate) fn crashed(subject: Subject, error: &tokio::task::JoinError) -> Failure {
    Failure::Internal { subject, reason: error.to_string().into() }
}

/// The scratch file of a zip could not be read back: our own disk's trouble, no verdict about the zip.
pub(crate) fn by_scratch(subject: Subject, error: &std::io::Error) -> Failure {
    Failure::Storage { subject, reason: harmless(&format!("scratch file: {error}")) }
}

/// A zip that breaks the rules, where nobody certifies it. Bytes that are no zip at all are the source's nonsense, a slip of it or of the
/// way here; a rule of module zips that is broken is the module's own, for ever.
pub(crate) fn by_zip(subject: Subject, name: &str, error: &ZipError) -> Failure {
    match error {
        ZipError::Read(_) | ZipError::Structure(_) => nonsense(subject, name, &error.to_string()),
        ZipError::TooLarge { .. } | ZipError::Entry { .. } => {
            Failure::BadContent { subject, reason: harmless(&error.to_string()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use modkeep_module::ModulePath;

    use super::*;

    #[test]
    fn flaws_stay_one_a_line_and_say_no_more_than_a_refusal_can() {
        assert_eq!(&*flaws("create zip: a\u{1b}[31m: bad\nb: bad\n"), "create zip: a [31m: bad\nb: bad");
        let many = flaws(&"a line that goes on\n".repeat(1000));
        assert!(many.len() <= FLAWS_BYTES_MAX && many.starts_with("a line that goes on\na line"), "{many}");
    }

    fn too_large(declared: Option<u64>) -> UpstreamError {
        UpstreamError::TooLarge { source_name: "liar".into(), limit: 500 << 20, declared }
    }

    #[test]
    fn hostile_f31_only_a_declared_size_makes_a_zip_too_large_for_ever() {
        let subject = || Subject::module(&ModulePath::parse("example.com/m").unwrap());
        let declared = by_upstream_of_zip(subject(), "liar", too_large(Some(501 << 20)));
        let real = matches!(&declared, Failure::TooLarge { size, limit, .. } if (size >> 20, limit >> 20) == (501, 500));
        assert!(real && declared.is_lasting(), "{declared}");
        for trouble in [
            by_upstream_of_zip(subject(), "liar", too_large(None)),
            by_upstream(subject(), "liar", too_large(None)),
            by_upstream(subject(), "liar", too_large(Some(501 << 20))),
        ] {
            assert!(matches!(trouble, Failure::BadAnswer { .. }) && !trouble.is_lasting(), "{trouble}");
        }
    }
}
