//! Compressed twins of small texts, made once and kept while there is room (P-113).

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// Below this a frame on the wire is hardly shorter for it, and the client pays to unpack.
pub(crate) const WORTHWHILE_BYTES: usize = 1 << 10;
/// What is compressed where it was asked for, about 2 ms of work; more goes to the blocking pool.
pub(crate) const INLINE_MAX_BYTES: usize = 128 << 10;
/// zlib's own default: the next levels cost much and give little for texts of this size.
const LEVEL: Compression = Compression::new(6);

/// Twins by the entity tag of their originals, which names content and so never goes stale.
#[derive(Debug)]
pub(crate) struct Twins(Cache<Bytes, Kept, ByBytes>);

/// What is remembered of a text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Kept {
    Twin(Bytes),
    DoesNotPay,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Bytes, Kept> for ByBytes {
    fn weight(&self, tag: &Bytes, kept: &Kept) -> u64 {
        let twin = match kept {
            Kept::Twin(twin) => twin.len(),
            Kept::DoesNotPay => 0,
        };
        // 64 bytes are about what the cache spends on an entry.
        (tag.len() + twin + 64) as u64
    }
}

impl Twins {
    /// Keeps at most `bytes` of twins.
    pub(crate) fn new(bytes: u64) -> Self {
        let texts = usize::try_from(bytes / 4096).unwrap_or(usize::MAX).max(16);
        Self(Cache::with_weighter(texts, bytes, ByBytes))
    }

    /// What is remembered of the text of this tag.
    pub(crate) fn remembered(&self, tag: &Bytes) -> Option<Kept> {
        self.0.get(tag)
    }

    /// Makes the twin of `text`, or finds that it does not pay, and remembers either.
    pub(crate) fn make(&self, tag: &Bytes, text: &[u8]) -> Kept {
        let kept = compress(text).map_or(Kept::DoesNotPay, Kept::Twin);
        self.0.insert(tag.clone(), kept.clone());
        kept
    }
}

/// The gzip form, when it is at least an eighth smaller.
fn compress(text: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 2), LEVEL);
    encoder.write_all(text).ok()?;
    let twin = encoder.finish().ok()?;
    (twin.len() <= text.len() / 8 * 7).then(|| Bytes::from(twin))
}

/// Whether an `Accept-Encoding` field welcomes gzip: named, or by `*`, and not with a weight of zero.
pub(crate) fn welcomes_gzip(field: &[u8]) -> bool {
    if field == b"gzip" {
        return true; // what the go command sends
    }
    let mut any = false;
    for member in field.split(|&byte| byte == b',') {
        let mut words = member.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let coding = words.next().unwrap_or_default();
        let refused = words.any(is_zero_weight);
        if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") {
            return !refused;
        }
        any |= coding == b"*" && !refused;
    }
    any
}

fn is_zero_weight(word: &[u8]) -> bool {
    let value = word.strip_prefix(b"q=").or_else(|| word.strip_prefix(b"Q="));
    value.is_some_and(|value| {
        value.first() == Some(&b'0') && value.iter().all(|byte| matches!(byte, b'0' | b'.'))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_twin_is_made_once_and_unpacks_to_its_original() {
        let twins = Twins::new(1 << 20);
        let (tag, text) = (Bytes::from_static(b"\"t\""), "v1.2.3\n".repeat(1000));
        assert_eq!(twins.remembered(&tag), None);
        let Kept::Twin(twin) = twins.make(&tag, text.as_bytes()) else { panic!("a list pays") };
        assert!(twin.len() < text.len() / 10);
        assert_eq!(twins.remembered(&tag), Some(Kept::Twin(twin.clone())));
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&twin[..]).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, text);
    }

    #[test]
    fn noise_has_no_twin_and_that_is_remembered() {
        let twins = Twins::new(1 << 20);
        let mut state = 1_u32;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            u8::try_from(state >> 24).unwrap()
        };
        let noise: Vec<u8> = (0..4096).map(|_| next()).collect();
        let tag = Bytes::from_static(b"\"n\"");
        assert_eq!(twins.make(&tag, &noise), Kept::DoesNotPay);
        assert_eq!(twins.remembered(&tag), Some(Kept::DoesNotPay));
    }

    #[test]
    fn accept_encoding_is_read_as_rfc_9110_says() {
        for (field, welcome) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000, *", false),
            ("*", true),
            ("*;q=0", false),
            ("br, zstd", false),
            ("identity", false),
            ("", false),
            ("gzip;q=0.001", true),
        ] {
            assert_eq!(welcomes_gzip(field.as_bytes()), welcome, "{field}");
        }
    }
}
