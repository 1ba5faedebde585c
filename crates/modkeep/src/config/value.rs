//! Durations and sizes as people write them in the configuration.

use std::time::Duration;

use serde::Deserialize;

/// A span of time: `30s`, `5m`, `2h`, `7d`. Whole numbers only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Period(pub(crate) Duration);

/// How often something may begin: `2/s`, `30/m`, `1/h`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Pace {
    /// Starts in each span; at least 1.
    pub(crate) starts: u32,
    /// The span.
    pub(crate) span: Duration,
}

/// A number of bytes: `64KiB`, `24MiB`, `5GiB`; a bare number or `B` counts bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Size(pub(crate) u64);

const PERIOD_UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
const SIZE_UNITS: [(&str, u64); 5] =
    [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("B", 1)];

/// Reads `<number><unit>` against a table of units.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, scale) =
        units.iter().find_map(|(unit, scale)| text.strip_suffix(unit).map(|digits| (digits, *scale)))?;
    digits.trim_end().parse::<u64>().ok()?.checked_mul(scale)
}

impl std::str::FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        with_unit(text, &PERIOD_UNITS)
            .map(|seconds| Self(Duration::from_secs(seconds)))
            .ok_or_else(|| format!("{text:?} is not a duration; write it as 30s, 5m, 2h or 7d"))
    }
}

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = with_unit(text, &SIZE_UNITS).or_else(|| text.parse().ok());
        bytes.map(Self).ok_or_else(|| format!("{text:?} is not a size; write it as 512MiB or 5GiB"))
    }
}

impl std::str::FromStr for Pace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (starts, unit) = text.split_once('/')?;
            let seconds = PERIOD_UNITS.iter().find_map(|(name, scale)| (*name == unit).then_some(*scale))?;
            let starts = starts.parse().ok().filter(|starts| *starts > 0)?;
            Some(Self { starts, span: Duration::from_secs(seconds) })
        };
        parse().ok_or_else(|| format!("{text:?} is not a pace; write it as 2/s, 30/m or 1/h"))
    }
}

impl<'de> Deserialize<'de> for Pace {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_reads_as_written() {
        for (text, starts, seconds) in [("2/s", 2, 1), ("30/m", 30, 60), ("1/h", 1, 3600)] {
            assert_eq!(text.parse(), Ok(Pace { starts, span: Duration::from_secs(seconds) }), "{text}");
        }
        for text in ["", "2", "0/s", "-1/s", "2/w", "/s", "2/ s"] {
            assert!(text.parse::<Pace>().is_err(), "{text}");
        }
    }

    #[test]
    fn durations_and_sizes_read_as_written() {
        for (text, seconds) in [("30s", 30), ("5m", 300), ("2h", 7200), ("7d", 604_800)] {
            assert_eq!(text.parse(), Ok(Period(Duration::from_secs(seconds))), "{text}");
        }
        for (text, bytes) in
            [("0", 0), ("12B", 12), ("64KiB", 65_536), ("1 MiB", 1_048_576), ("2TiB", 2 << 40)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "s", "-1s", "1.5h", "5", "5w", "99999999999999999999d"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
        for text in ["", "KiB", "-1", "5MB", "17179869184TiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
