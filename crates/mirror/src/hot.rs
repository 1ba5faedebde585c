//! The hot answers: a bounded memory, looked up by request path without an allocation (D13).

use std::time::Instant;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::Config;
use crate::answer::{Answer, Body, CacheOutcome, Object};

/// What an entry costs beside its body and key: the answer, the entry's place in the cache and the
/// allocator's rounding, measured once and rounded up.
const ENTRY_OVERHEAD: u64 = 320;

/// Entries are mostly `.info` and `.mod` files of about this size; the estimate only sizes the table.
const TYPICAL_ENTRY: u64 = 1024;

/// The memory.
pub(crate) struct Hot {
    entries: Cache<Box<str>, Entry, Weight>,
    /// Larger files, open. They never change (R3), so an open one is as good as a new one, and spares a look into
    /// the ledger and the directory.
    files: Cache<Box<str>, Answer>,
    entry_bytes_max: u64,
    zip_bytes_max: u64,
}

#[derive(Clone)]
struct Entry {
    answer: Answer,
    /// When it stops being fresh; `None` for what never changes.
    fresh_until: Option<Instant>,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Box<str>, Entry> for Weight {
    fn weight(&self, path: &Box<str>, entry: &Entry) -> u64 {
        entry.answer.body.size() + path.len() as u64 + ENTRY_OVERHEAD
    }
}

impl Hot {
    pub(crate) fn new(config: Config) -> Self {
        let estimate = usize::try_from(config.cache_bytes / TYPICAL_ENTRY).unwrap_or(usize::MAX).max(1);
        Self {
            entries: Cache::with_weighter(estimate, config.cache_bytes, Weight),
            files: Cache::new(config.open_files_max),
            entry_bytes_max: config.entry_bytes_max,
            zip_bytes_max: config.zip_bytes_max,
        }
    }

    /// The answer for `path`, unless it is absent or past its lifetime.
    pub(crate) fn get(&self, path: &str, now: Instant) -> Option<Answer> {
        let Some(entry) = self.entries.get(path) else { return self.files.get(path) };
        entry.fresh_until.is_none_or(|until| now < until).then_some(entry.answer)
    }

    /// Bytes in use.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries.weight()
    }

    /// Whether a body of this size is kept in memory.
    pub(crate) fn takes(&self, object: Object, size: u64) -> bool {
        size <= if object == Object::Zip { self.zip_bytes_max } else { self.entry_bytes_max }
    }

    /// Forgets the answer for `path`.
    pub(crate) fn forget(&self, path: &str) {
        self.entries.remove(path);
        self.files.remove(path);
    }

    /// Keeps an answer that is not stale: a body in memory if it is small enough, an open file as it is.
    ///
    /// Whoever gets it from here had it from memory, whatever it cost the first caller.
    pub(crate) fn put(&self, path: String, answer: &Answer, fresh_until: Option<Instant>) {
        if answer.stale.is_some() {
            return;
        }
        let answer = Answer { cache: CacheOutcome::Hit, ..answer.clone() };
        match &answer.body {
            Body::Bytes(bytes) if self.takes(answer.object, bytes.len() as u64) => {
                self.entries.insert(path.into_boxed_str(), Entry { answer, fresh_until });
            }
            Body::Bytes(_) => {}
            Body::File { .. } => self.files.insert(path.into_boxed_str(), answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    fn answer(bytes: usize, object: Object, stale: Option<Duration>) -> Answer {
        Answer {
            body: Body::Bytes(Bytes::from(vec![b'x'; bytes])),
            object,
            etag: Bytes::from_static(b"\"e\""),
            modified: None,
            stale,
            origin: None,
            cache: CacheOutcome::Hit,
        }
    }

    fn memory(cache_bytes: u64) -> Hot {
        Hot::new(Config { cache_bytes, ..Config::default() })
    }

    #[test]
    fn what_never_changes_stays_and_what_changes_goes_in_time() {
        let hot = memory(1 << 20);
        let (now, minute) = (Instant::now(), Duration::from_mins(1));
        hot.put("m/@v/v1.0.0.info".into(), &answer(40, Object::Info, None), None);
        hot.put("m/@v/list".into(), &answer(40, Object::List, None), Some(now + minute));
        for (path, after, found) in [
            ("m/@v/v1.0.0.info", minute * 1_000_000, true),
            ("m/@v/list", minute / 2, true),
            ("m/@v/list", minute, false),
            ("m/@v/v1.0.1.info", Duration::ZERO, false),
        ] {
            assert_eq!(hot.get(path, now + after).is_some(), found, "{path} after {after:?}");
        }
    }

    #[test]
    fn stale_and_large_answers_are_not_kept() {
        let hot = memory(1 << 20);
        hot.put("m/@v/list".into(), &answer(40, Object::List, Some(Duration::ZERO)), None);
        hot.put("m/@v/v1.0.0.zip".into(), &answer((16 << 10) + 1, Object::Zip, None), None);
        assert_eq!(hot.bytes(), 0);
        hot.put("m/@v/v1.0.1.zip".into(), &answer(16 << 10, Object::Zip, None), None);
        assert!(hot.bytes() > 16 << 10, "D13: small zips are");
    }

    #[test]
    fn large_files_stay_open_and_not_too_many() {
        let file = std::sync::Arc::new(tempfile::tempfile().unwrap());
        let hot = Hot::new(Config { open_files_max: 16, ..Config::default() });
        for version in 0..1000 {
            let body = Body::File { file: file.clone(), size: 1 << 20 };
            let answer = Answer { body, ..answer(0, Object::Zip, None) };
            hot.put(format!("m/@v/v1.0.{version}.zip"), &answer, None);
        }
        let open = (0..1000)
            .filter(|version| hot.get(&format!("m/@v/v1.0.{version}.zip"), Instant::now()).is_some());
        assert!((1..=16).contains(&open.count()));
    }

    #[test]
    fn the_memory_is_bounded_whatever_is_asked() {
        let hot = memory(4 << 20);
        for version in 0..100_000 {
            hot.put(format!("example.com/m/@v/v1.0.{version}.info"), &answer(120, Object::Info, None), None);
        }
        assert!(hot.bytes() <= 4 << 20, "{}", hot.bytes());
    }
}
