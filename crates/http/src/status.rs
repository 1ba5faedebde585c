//! The one table from what went wrong to what is answered: status, class, lifetime. No other file of the house
//! has a status code in it that a failure could turn into.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use modkeep_fetch::{Absent, Failure};
use modkeep_sumdb::RelayError;

use crate::catalogue::Code;

/// How long a refusal may be kept by caches on the way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Keep {
    /// Not at all: trouble, and what a policy or a mode decided.
    Never,
    /// A minute: what an authority denied may exist soon.
    Minute,
    /// Ten minutes: content that only a new version can mend.
    TenMinutes,
    /// A day: what the rules of names forbid.
    Day,
}

impl Keep {
    pub(crate) fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Never => "no-store",
            Self::Minute => "public, max-age=60",
            Self::TenMinutes => "public, max-age=600",
            Self::Day => "public, max-age=86400",
        })
    }
}

/// The code of a failure.
///
/// Only an authority's own "not there" becomes a 404 that caches may keep (D9, R22); a deliberate refusal is 403,
/// so that no client goes elsewhere for the bytes; every trouble is 5xx.
pub(crate) fn code(failure: &Failure) -> Code {
    match failure {
        Failure::NoSuchVersion { .. } | Failure::InvalidVersion { .. } => Code::NoSuchVersion,
        Failure::NoAccess { .. } => Code::NoAccess,
        Failure::NoSuchModule { .. } => Code::NoSuchModule,
        Failure::Unlisted { .. } => Code::Unlisted,
        Failure::NotCached { .. } => Code::NotCached,
        Failure::Offline { .. } => Code::Offline,
        Failure::Checksum { .. } => Code::Checksum,
        Failure::BadContent { .. } => Code::BadContent,
        Failure::TooLarge { .. } => Code::TooLarge,
        Failure::Refused { .. } => Code::Refused,
        Failure::NoProgram { .. } => Code::NoProgram,
        Failure::BadAnswer { .. } | Failure::OriginDown { .. } => Code::OriginDown,
        Failure::OriginLimit { .. } => Code::OriginLimit,
        Failure::Busy { .. } => Code::Busy,
        Failure::StillFetching { .. } => Code::StillFetching,
        Failure::LogDown { .. } => Code::LogDown,
        Failure::LogInconsistent { .. } => Code::LogInconsistent,
        Failure::LogPrivate { .. } => Code::LogPrivate,
        Failure::LogBusy { .. } => Code::LogBusy,
        Failure::LogDenied { .. } => Code::LogDenied,
        Failure::Storage { .. } => Code::Storage,
        Failure::Corrupt { .. } => Code::Damaged,
        Failure::Stopping { .. } => Code::Stopping,
        Failure::Internal { .. } => Code::Internal,
    }
}

/// The status of a code.
pub(crate) fn status(code: Code) -> StatusCode {
    match code {
        Code::NoSuchVersion
        | Code::NoSuchModule
        | Code::NoAccess
        | Code::Unlisted
        | Code::NotCached
        | Code::Offline
        | Code::BadContent
        | Code::TooLarge
        | Code::NoSuchLog
        | Code::NoSuchTile
        | Code::NoSuchProof
        | Code::NotAModule
        | Code::NoSuchPage => StatusCode::NOT_FOUND,
        Code::Checksum | Code::LogPrivate | Code::LogDenied | Code::Refused => StatusCode::FORBIDDEN,
        Code::OriginDown => StatusCode::BAD_GATEWAY,
        Code::StillFetching => StatusCode::GATEWAY_TIMEOUT,
        Code::OriginLimit
        | Code::Busy
        | Code::LogDown
        | Code::LogInconsistent
        | Code::LogBusy
        | Code::LogClosed
        | Code::Storage
        | Code::Damaged
        | Code::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        Code::Internal | Code::NoProgram => StatusCode::INTERNAL_SERVER_ERROR,
        Code::BadRequest | Code::BadFraming => StatusCode::BAD_REQUEST,
        Code::BadMethod => StatusCode::METHOD_NOT_ALLOWED,
        Code::TooLong => StatusCode::URI_TOO_LONG,
        Code::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Code::BadRange => StatusCode::RANGE_NOT_SATISFIABLE,
    }
}

/// The class word that begins an error text (spec/README item 1).
pub(crate) fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "login needed",
        403 => "forbidden",
        404 => "not found",
        410 => "gone",
        429 | 502..=504 => "unavailable",
        400..=499 => "bad request",
        _ => "internal",
    }
}

/// How long the answer to a failure may be kept (P section 12; checksum-database A6 for bad content).
pub(crate) fn keep(failure: &Failure) -> Keep {
    match failure {
        // The name is only absent while the sources are away.
        Failure::NoSuchModule { why: Absent::DirectoryOf(_), .. }
        | Failure::NotCached { .. }
        | Failure::Offline { .. }
        | Failure::Checksum { .. }
        | Failure::Refused { .. }
        | Failure::NoProgram { .. }
        | Failure::BadAnswer { .. }
        | Failure::OriginDown { .. }
        | Failure::OriginLimit { .. }
        | Failure::Busy { .. }
        | Failure::StillFetching { .. }
        | Failure::LogDown { .. }
        | Failure::LogInconsistent { .. }
        | Failure::LogPrivate { .. }
        | Failure::LogBusy { .. }
        | Failure::LogDenied { .. }
        | Failure::Storage { .. }
        | Failure::Corrupt { .. }
        | Failure::Stopping { .. }
        | Failure::Internal { .. } => Keep::Never,
        Failure::NoSuchVersion { .. }
        | Failure::InvalidVersion { .. }
        | Failure::NoAccess { .. }
        | Failure::NoSuchModule { .. }
        | Failure::Unlisted { .. } => Keep::Minute,
        Failure::BadContent { .. } | Failure::TooLarge { .. } => Keep::TenMinutes,
    }
}

/// `Retry-After` of a failure: when asking again is likely to help (P-75, P-76).
pub(crate) fn retry_after(failure: &Failure) -> Option<Duration> {
    match failure {
        Failure::OriginLimit { retry_after, .. }
        | Failure::Busy { retry_after, .. }
        | Failure::LogBusy { retry_after, .. } => Some((*retry_after).max(Duration::from_secs(1))),
        other => usual_wait(code(other)),
    }
}

/// The same where nobody said when.
pub(crate) fn usual_wait(code: Code) -> Option<Duration> {
    let seconds = match code {
        Code::OriginDown => 120,
        Code::StillFetching | Code::Storage | Code::OriginLimit | Code::Busy => 60,
        Code::LogDown | Code::LogBusy => 10,
        Code::LogInconsistent | Code::LogClosed => 3600, // an operator must come first
        Code::Damaged | Code::Stopping => 5,
        _ => return None,
    };
    Some(Duration::from_secs(seconds))
}

/// The code of what the relay of checksum databases refuses, or our own log.
pub(crate) fn code_of_relay(error: &RelayError) -> Code {
    match error {
        RelayError::UnknownDatabase => Code::NoSuchLog,
        RelayError::Malformed { .. } => Code::BadRequest,
        RelayError::NoSuchTile { .. } => Code::NoSuchTile,
        RelayError::NotCached { .. } => Code::NotCached,
        RelayError::Down { .. } => Code::LogDown,
        RelayError::Inconsistent { .. } => Code::LogInconsistent,
        RelayError::Closed { .. } => Code::LogClosed,
        RelayError::NoSuchProof { .. } => Code::NoSuchProof,
        RelayError::Lookup(failure) => code(failure),
    }
}
