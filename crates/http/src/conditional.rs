//! What a client already has, or wants a part of: `If-None-Match`, `If-Modified-Since`, `If-Range`, `Range`.
//!
//! All of it in one pass over each field, whatever its length (A17, A18).

use std::ops::Range;
use std::time::{Duration, SystemTime};

/// Whether a field of entity tags names `tag`, by weak comparison (RFC 9110, 13.1.2); `*` names every tag.
///
/// `tag` is quoted and strong. Members that are no entity tag are passed over.
pub(crate) fn names_tag(field: &[u8], tag: &[u8]) -> bool {
    let mut rest = field;
    loop {
        rest = rest.trim_ascii_start();
        match rest.first() {
            None => return false,
            Some(b'*') => return true,
            Some(b',') => rest = &rest[1..],
            Some(_) => {
                let member = rest.strip_prefix(b"W/").unwrap_or(rest);
                let end = end_of_member(member);
                if &member[..end] == tag {
                    return true;
                }
                rest = &member[end..];
            }
        }
    }
}

/// Where the entity tag at the start of `text` ends, its closing quote included; what is not quoted ends at a comma.
fn end_of_member(text: &[u8]) -> usize {
    let (from, until) = if text.first() == Some(&b'"') { (1, b'"') } else { (0, b',') };
    match text[from..].iter().position(|&byte| byte == until) {
        Some(at) if from == 1 => at + 2,
        Some(at) => at,
        None => text.len(),
    }
}

/// Whether the client's copy is the one we would send: 304 (RFC 9110, 13.2.2: a tag is stronger than a date).
pub(crate) fn not_modified(
    if_none_match: impl Iterator<Item = impl AsRef<[u8]>>,
    if_modified_since: Option<&[u8]>,
    tags: &[&[u8]],
    modified: Option<SystemTime>,
) -> bool {
    let mut asked = false;
    for field in if_none_match {
        asked = true;
        if tags.iter().any(|tag| names_tag(field.as_ref(), tag)) {
            return true;
        }
    }
    if asked {
        return false;
    }
    match (if_modified_since.and_then(date), modified.map(whole_seconds)) {
        (Some(had), Some(modified)) => modified <= had,
        _ => false,
    }
}

/// Whether `If-Range` lets the range stand: its tag is ours by strong comparison, or its date is exactly ours.
pub(crate) fn range_stands(if_range: &[u8], tag: &[u8], modified: Option<SystemTime>) -> bool {
    let field = if_range.trim_ascii();
    match date(field) {
        Some(date) => modified.map(whole_seconds) == Some(date),
        None => field == tag, // a weak tag begins with W/ and so never equals ours
    }
}

fn date(field: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(field).ok()?).ok()
}

fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// What a `Range` field asks of an object of a known size.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    /// No range that we honour: several at once, another unit, or no range at all by its syntax.
    Whole,
    /// These bytes: 206.
    Some(Range<u64>),
    /// A range that lies outside: 416.
    Nothing,
}

/// Reads a `Range` field (RFC 9110, 14.1.2). Several ranges are answered with the whole object, never with more
/// bytes than it has.
pub(crate) fn part(field: &[u8], size: u64) -> Part {
    parse_range(field, size).unwrap_or(Part::Whole)
}

fn parse_range(field: &[u8], size: u64) -> Option<Part> {
    let spec = std::str::from_utf8(field).ok()?.strip_prefix("bytes=")?.trim();
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        let count = number(last)?;
        let from = size.saturating_sub(count);
        return Some(if count == 0 || size == 0 { Part::Nothing } else { Part::Some(from..size) });
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < first {
        return None;
    }
    Some(if first < size { Part::Some(first..last.saturating_add(1).min(size)) } else { Part::Nothing })
}

/// Digits only: `u64::from_str` alone would let a sign pass. A number too large for us is as good as the largest.
fn number(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn entity_tags_are_found_in_lists() {
        for (field, found) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("*", true),
            ("\"b\", \"a\"", true),
            ("\"b\",W/\"c\" ,, W/\"a\"", true),
            ("\"b\"", false),
            ("", false),
            ("a", false),
            ("\"a", false),
            ("nonsense, \"a\"", true),
            ("\"b,\"a\"", false),
            ("\"aa\"", false),
        ] {
            assert_eq!(names_tag(field.as_bytes(), b"\"a\""), found, "{field}");
        }
    }

    #[test]
    fn hostile_a18_if_none_match_of_fifteen_kib_takes_linear_time() {
        for member in ["\"x\",", "W/\"", "\",", ",", "W/", "x,"] {
            let field = member.repeat((15 << 10) / member.len());
            let began = Instant::now();
            assert!(!names_tag(field.as_bytes(), b"\"not there\""));
            assert!(began.elapsed() < Duration::from_millis(50), "{member}");
        }
    }

    #[test]
    fn a_tag_decides_before_a_date() {
        let modified = Some(SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_500));
        let same = Some(b"Sun, 06 Nov 1994 08:49:37 GMT".as_slice());
        let earlier = Some(b"Sun, 06 Nov 1994 08:49:36 GMT".as_slice());
        let tags: &[&[u8]] = &[b"\"a\"", b"\"a-gz\""];
        for (tag, date, verdict) in [
            (Some("\"a\""), None, true),
            (Some("\"a-gz\""), None, true),
            (Some("\"b\""), same, false),
            (None, same, true),
            (None, earlier, false),
            (None, Some(b"yesterday".as_slice()), false),
            (None, None, false),
        ] {
            assert_eq!(not_modified(tag.into_iter(), date, tags, modified), verdict, "{tag:?} {date:?}");
        }
    }

    #[test]
    fn if_range_wants_exactly_our_tag_or_date() {
        let modified = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777));
        for (field, stands) in [
            ("\"a\"", true),
            ("W/\"a\"", false),
            ("\"b\"", false),
            ("Sun, 06 Nov 1994 08:49:37 GMT", true),
            ("Sun, 06 Nov 1994 08:49:38 GMT", false),
            ("", false),
        ] {
            assert_eq!(range_stands(field.as_bytes(), b"\"a\"", modified), stands, "{field}");
        }
    }

    #[test]
    fn hostile_a17_ranges_never_reach_outside() {
        let many = format!("bytes={}", vec!["0-99"; 10_000].join(","));
        for (field, wanted) in [
            ("bytes=0-0", Part::Some(0..1)),
            ("bytes=10-19", Part::Some(10..20)),
            ("bytes=90-", Part::Some(90..100)),
            ("bytes=90-1000", Part::Some(90..100)),
            ("bytes=0-18446744073709551615", Part::Some(0..100)),
            ("bytes=-10", Part::Some(90..100)),
            ("bytes=-1000", Part::Some(0..100)),
            ("bytes=-99999999999999999999999", Part::Some(0..100)),
            ("bytes=100-", Part::Nothing),
            ("bytes=99999999999999999999999-", Part::Nothing),
            ("bytes=-0", Part::Nothing),
            ("bytes=9-1", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=0-1,5-6", Part::Whole),
            ("lines=1-2", Part::Whole),
            (&many, Part::Whole),
        ] {
            assert_eq!(part(field.as_bytes(), 100), wanted, "{field:.40}");
        }
        assert_eq!(part(b"bytes=-5", 0), Part::Nothing);
    }
}
