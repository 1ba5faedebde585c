//! Instants as module metadata writes them: RFC 3339 in `.info`, fourteen digits in pseudo-versions.
#![warn(clippy::indexing_slicing)]

use std::fmt;

/// Seconds of one day.
const DAY: i64 = 86_400;
/// 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z: what four digits of year can say.
const EXPRESSIBLE: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;
/// 0001-01-01T00:00:00Z, which the go command writes for "unknown".
const GO_ZERO: Timestamp = Timestamp { secs: -62_135_596_800, nanos: 0 };

/// An instant: seconds and nanoseconds since 1970-01-01 UTC, without leap seconds.
///
/// Displayed as RFC 3339 in UTC, fractions only as far as they matter: `2019-04-01T10:20:30.5Z`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp {
    /// Negative before 1970.
    pub secs: i64,
    /// 0 to 999,999,999, counted forward from `secs`.
    pub nanos: u32,
}

/// The text is not an RFC 3339 instant that four digits of year can say in UTC.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an RFC 3339 time")]
pub struct TimeError;

impl Timestamp {
    /// Reads `2019-04-01T10:20:30.5+02:00`, as strictly as the go command: capital `T` and `Z`, two digits
    /// each, no leap second. Digits beyond nanoseconds are dropped.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        read(text.as_bytes()).filter(|time| EXPRESSIBLE.contains(&time.secs)).ok_or(TimeError)
    }

    /// Whether RFC 3339 can say it: years 0 to 9999 (B26).
    pub fn is_expressible(self) -> bool {
        EXPRESSIBLE.contains(&self.secs) && self.nanos < 1_000_000_000
    }

    /// Whether it is the instant that stands for "unknown", 0001-01-01.
    pub fn is_go_zero(self) -> bool {
        self == GO_ZERO
    }

    /// `yyyymmddhhmmss` in UTC, as pseudo-versions carry it (V-60).
    pub fn to_pseudo(self) -> String {
        let Civil { year, month, day, hour, minute, second } = self.civil();
        format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
    }

    /// Reads `yyyymmddhhmmss` in UTC.
    pub fn from_pseudo(text: &str) -> Result<Self, TimeError> {
        let mut rest = text.as_bytes();
        let civil = read_pseudo(&mut rest).filter(|_| rest.is_empty()).ok_or(TimeError)?;
        civil.seconds().map(|secs| Self { secs, nanos: 0 }).ok_or(TimeError)
    }

    fn civil(self) -> Civil {
        let (year, month, day) = civil_from_days(self.secs.div_euclid(DAY));
        let second = self.secs.rem_euclid(DAY);
        Civil { year, month, day, hour: second / 3600, minute: second / 60 % 60, second: second % 60 }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, hour, minute, second } = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanos != 0 {
            write!(f, ".{}", format!("{:09}", self.nanos).trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Civil {
    /// Seconds since 1970; `None` for a date or an hour that does not exist.
    fn seconds(&self) -> Option<i64> {
        let days = days_from_civil(self.year, self.month, self.day);
        let exists = (1..=12).contains(&self.month)
            && civil_from_days(days) == (self.year, self.month, self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second < 60;
        exists.then(|| days * DAY + self.hour * 3600 + self.minute * 60 + self.second)
    }
}

fn read(text: &[u8]) -> Option<Timestamp> {
    let rest = &mut &*text;
    let year = digits(rest, 4)?;
    byte(rest, b'-')?;
    let month = digits(rest, 2)?;
    byte(rest, b'-')?;
    let day = digits(rest, 2)?;
    byte(rest, b'T')?;
    let hour = digits(rest, 2)?;
    byte(rest, b':')?;
    let minute = digits(rest, 2)?;
    byte(rest, b':')?;
    let second = digits(rest, 2)?;
    let nanos = fraction(rest)?;
    let offset = offset(rest)?;
    let secs = Civil { year, month, day, hour, minute, second }.seconds()? - offset;
    rest.is_empty().then_some(Timestamp { secs, nanos })
}

fn read_pseudo(rest: &mut &[u8]) -> Option<Civil> {
    Some(Civil {
        year: digits(rest, 4)?,
        month: digits(rest, 2)?,
        day: digits(rest, 2)?,
        hour: digits(rest, 2)?,
        minute: digits(rest, 2)?,
        second: digits(rest, 2)?,
    })
}

/// Takes exactly `count` digits, at most four: the value fits in any integer.
fn digits(rest: &mut &[u8], count: usize) -> Option<i64> {
    let taken = rest.split_off(..count)?;
    taken.iter().try_fold(0, |value, b| b.is_ascii_digit().then(|| value * 10 + i64::from(b - b'0')))
}

fn byte(rest: &mut &[u8], wanted: u8) -> Option<()> {
    (*rest.split_off_first()? == wanted).then_some(())
}

/// `.5` as nanoseconds; 0 when there is none, `None` when the point has no digits.
fn fraction(rest: &mut &[u8]) -> Option<u32> {
    if rest.first() != Some(&b'.') {
        return Some(0);
    }
    byte(rest, b'.')?;
    let len = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let taken = rest.split_off(..len).filter(|taken| !taken.is_empty())?;
    let padded = taken.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    Some(padded.fold(0, |value, b| value * 10 + u32::from(b - b'0')))
}

/// `Z`, `+02:00`, `-07:30` as seconds east of UTC.
fn offset(rest: &mut &[u8]) -> Option<i64> {
    let sign = match *rest.split_off_first()? {
        b'Z' => return Some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = digits(rest, 2).filter(|hours| *hours < 24)?;
    byte(rest, b':')?;
    let minutes = digits(rest, 2).filter(|minutes| *minutes < 60)?;
    Some(sign * (hours * 3600 + minutes * 60))
}

/// Days from 1970-01-01, counting in 400-year eras that begin on a first of March, so that the leap day is
/// the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year * 365 + year / 4 - year / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_read_and_write() {
        for (text, utc) in [
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("2019-04-01T10:20:30.500000Z", "2019-04-01T10:20:30.5Z"),
            ("2024-02-29T23:30:00-02:00", "2024-03-01T01:30:00Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.9999999999Z", "9999-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), utc);
        }
        assert_eq!(Timestamp::parse("2001-09-09T01:46:40Z").unwrap().secs, 1_000_000_000);
        assert_eq!(Timestamp { secs: 1_000_000_000, nanos: 0 }.to_pseudo(), "20010909014640");
    }

    #[test]
    fn hostile_b26_times_that_cannot_be() {
        for text in [
            "",
            "2019-02-29T00:00:00Z",
            "2019-13-01T00:00:00Z",
            "2019-00-10T00:00:00Z",
            "2019-01-01t00:00:00Z",
            "2019-01-01T00:00:00",
            "2019-01-01T00:00:60Z",
            "2019-01-01T24:00:00Z",
            "2019-01-01T00:00:00.Z",
            "2019-01-01T00:00:00,5Z",
            "2019-01-01T00:00:00+24:00",
            "0000-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "-001-01-01T00:00:00Z",
            "12019-01-01T00:00:00Z",
            "2019-01-01T00:00:00Zx",
        ] {
            assert_eq!(Timestamp::parse(text), Err(TimeError), "{text}");
        }
        assert!(!Timestamp { secs: i64::MAX / 2, nanos: 0 }.is_expressible());
        assert!(Timestamp::from_pseudo("20190231000000").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(secs in EXPRESSIBLE, nanos in 0..1_000_000_000_u32) {
            let time = Timestamp { secs, nanos };
            prop_assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
            prop_assert_eq!(Timestamp::from_pseudo(&time.to_pseudo()), Ok(Timestamp { secs, nanos: 0 }));
        }
    }
}
