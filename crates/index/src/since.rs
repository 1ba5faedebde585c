//! Moments of the feed: read from `since`, written as `Timestamp`.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;

use crate::IndexError;

/// The earliest moment that a page shows, rounded up to the feed's microseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Since(i64);

/// Feed times are whole microseconds and are always written with all six digits, so that text order is time order.
const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(6));

impl Since {
    /// Reads an RFC 3339 time with up to nine fractional digits.
    ///
    /// Rounding up keeps `since` inclusive and never shows a line from before it.
    pub fn parse(text: &str) -> Result<Self, IndexError> {
        if let Some(reason) = misshapen(text.as_bytes()) {
            return Err(IndexError::Since { reason });
        }
        let moment = modkeep_module::info::Timestamp::parse(text)
            .map_err(|_| IndexError::Since { reason: "there is no such date, time or offset" })?;
        Ok(Self(moment.secs * 1_000_000 + i64::from(moment.nanos.div_ceil(1000))))
    }

    /// Microseconds since 1970-01-01 UTC.
    pub fn micros(self) -> i64 {
        self.0
    }
}

/// What keeps `text` from having the shape `YYYY-MM-DDTHH:MM:SS[.fraction](Z|±HH:MM)`.
///
/// jiff reads more shapes than RFC 3339 has; a page that one reader gets must be the page every reader gets.
fn misshapen(text: &[u8]) -> Option<&'static str> {
    const SHAPE: &str = "an RFC 3339 time is wanted, as 2026-11-21T10:00:00Z or 2026-11-21T10:00:00.123456Z";
    const PLUS: &str = "the offset's + must be written %2B in a URL; times ending in Z need no offset";
    let digits = |pattern: &[u8], text: &[u8]| {
        pattern.len() == text.len()
            && pattern.iter().zip(text).all(|(&want, &have)| match want {
                b'0' => have.is_ascii_digit(),
                _ => want == have,
            })
    };
    let Some((moment, tail)) = text.split_at_checked(19) else { return Some(SHAPE) };
    if !digits(b"0000-00-00T00:00:00", moment) {
        return Some(SHAPE);
    }
    let zone = match tail.strip_prefix(b".") {
        None => tail,
        Some(fraction) => {
            let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&length) {
                return Some(SHAPE);
            }
            fraction.get(length..).unwrap_or_default()
        }
    };
    match zone {
        b"Z" => None,
        _ if digits(b"+00:00", zone) || digits(b"-00:00", zone) => None,
        _ if digits(b" 00:00", zone) => Some(PLUS),
        _ => Some(SHAPE),
    }
}

/// Appends a feed time: `2026-11-21T10:00:00.123456Z`.
pub(crate) fn print(at_micros: i64, page: &mut Vec<u8>) {
    let moment = Timestamp::from_microsecond(at_micros).unwrap_or(Timestamp::MAX);
    let written = PRINTER.print_timestamp(&moment, page);
    debug_assert!(written.is_ok(), "a vector takes every byte");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_inclusive_to_the_microsecond() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:01.5Z", 1_500_000),
            ("1970-01-01T00:00:00.000001Z", 1),
            ("1970-01-01T00:00:00.000001001Z", 2),
            ("1970-01-01T02:00:00+02:00", 0),
            ("1969-12-31T22:00:00-02:00", 0),
            ("9999-12-31T23:59:59Z", 253_402_300_799_000_000),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("1969-12-31T23:59:59.9999995Z", 0),
            ("2026-11-21T10:00:00.123456Z", 1_795_255_200_123_456),
        ] {
            assert_eq!(Since::parse(text).unwrap().micros(), micros, "{text}");
        }
    }

    #[test]
    fn hostile_k08_garbage_is_no_moment() {
        for text in [
            "",
            "yesterday",
            "2026",
            "2026-11-21",
            "10000-01-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-11-21T25:00:00Z",
            "2026-11-21T10:00:00",
            "2026-11-21t10:00:00Z",
            "2026-11-21T10:00:00z",
            "2026-11-21 10:00:00Z",
            "2026-11-21T10:00:00.Z",
            "2026-11-21T10:00:00.1234567890Z",
            "2026-11-21T10:00:00 02:00",
            "2026-11-21T10:00:00+0200",
            "2026-11-21T10:00:00+99:00",
            "2026-11-21T10:00:00Z[UTC]",
            "2026-11-21T10:00:00Z\n",
            "２026-11-21T10:00:00Z",
        ] {
            assert!(Since::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_unencoded_plus_is_explained() {
        let error = Since::parse("2026-11-21T10:00:00 02:00").unwrap_err();
        assert!(error.to_string().contains("%2B"), "{error}");
    }

    #[test]
    fn what_is_written_is_read_back() {
        for micros in [0, 1, 1_795_255_200_123_456, 1_795_255_200_000_000, 1_795_255_200_100_000] {
            let mut text = Vec::new();
            print(micros, &mut text);
            let text = String::from_utf8(text).unwrap();
            assert_eq!(text.len(), "2026-11-21T10:00:00.123456Z".len(), "{text}");
            assert_eq!(Since::parse(&text).unwrap().micros(), micros, "{text}");
        }
    }
}
