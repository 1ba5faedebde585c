//! The GOPROXY face: a typed request to an answer, from memory, from the store, or by a fetch.
//!
//! [`Mirror::hot`] is the short way: one look into a bounded memory by the request's path, no allocation, no
//! await. What it does not hold goes through [`Mirror::answer`], which knows the rules of the protocol and
//! leaves the small answers in memory for the next caller (D13).

mod answer;
mod hot;

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use modkeep_fetch::{Failure, Fetch, FreshAnswer, Got, How, Reach, Subject};
use modkeep_module::goproxy::{Ask, Request};
use modkeep_module::zip::ReadAt;
use modkeep_module::{ModuleVersion, VersionOrQuery};
use modkeep_store::{Sha256Sum, StoredFile};

pub use answer::{Answer, Body, CacheOutcome, Object};
use hot::Hot;

/// How much memory the face may use.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Bytes of hot answers, keys and bookkeeping included. Default 24 MiB; 0 keeps nothing.
    pub cache_bytes: u64,
    /// The largest body kept in memory. Default 64 KiB.
    pub entry_bytes_max: u64,
    /// The largest zip kept in memory. Default 16 KiB: from there on the kernel sends an open file for less than it
    /// takes to copy the bytes.
    pub zip_bytes_max: u64,
    /// How many larger files stay open for the next caller; each costs a file descriptor. Default 512.
    pub open_files_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cache_bytes: 24 << 20,
            entry_bytes_max: 64 << 10,
            zip_bytes_max: 16 << 10,
            open_files_max: 512,
        }
    }
}

/// The face. Cheap to clone.
#[derive(Clone)]
pub struct Mirror(Arc<Inner>);

struct Inner {
    fetch: Fetch,
    hot: Hot,
}

impl Mirror {
    /// A face over the decisions of `fetch`.
    pub fn new(fetch: Fetch, config: Config) -> Self {
        Self(Arc::new(Inner { fetch, hot: Hot::new(config) }))
    }

    /// The answer for a request path in its one escaped form, as [`Request::to_path`] writes it, if it is
    /// in memory and still fresh.
    ///
    /// Only for requests that may fetch: a list in memory is what the source said, while a cached-only
    /// list is computed from what is stored (P-93).
    pub fn hot(&self, path: &str) -> Option<Answer> {
        self.0.hot.get(path, Instant::now())
    }

    /// Forgets the answers about a version that are in memory: there is something new to tell of its origin.
    pub fn forget(&self, of: &ModuleVersion) {
        let info = Ask::Info(VersionOrQuery::Version(of.version().clone()));
        for ask in [info, Ask::Mod(of.version().clone()), Ask::Zip(of.version().clone())] {
            self.0.hot.forget(&Request { path: of.path().clone(), ask }.to_path());
        }
    }

    /// Bytes of memory that the hot answers take, for the metrics.
    pub fn hot_bytes(&self) -> u64 {
        self.0.hot.bytes()
    }

    /// The decisions below, for their gauges.
    pub fn fetch(&self) -> &Fetch {
        &self.0.fetch
    }

    /// Answers a request.
    ///
    /// Cancel safe: a caller that leaves does not stop a fetch that others may wait for.
    pub async fn answer(&self, request: Request, reach: Reach) -> Result<Answer, Failure> {
        let (fetch, module) = (&self.0.fetch, &request.path);
        match (&request.ask, request.module_version()) {
            (Ask::Info(_), Some(of)) => {
                let got = fetch.info(&of, reach).await?;
                self.lasting(&request, Object::Info, got).await
            }
            (Ask::Mod(_), Some(of)) => {
                let got = fetch.go_mod(&of, reach).await?;
                self.lasting(&request, Object::Mod, got).await
            }
            (Ask::Zip(_), Some(of)) => {
                let got = fetch.zip(&of, reach).await?;
                self.lasting(&request, Object::Zip, got).await
            }
            (Ask::List, _) => {
                let answer = fetch.list(module, reach).await?;
                Ok(self.changing(&request, Object::List, answer, reach))
            }
            (Ask::Latest, _) => {
                let answer = fetch.latest(module, reach).await?;
                Ok(self.changing(&request, Object::Latest, answer, reach))
            }
            (Ask::Info(VersionOrQuery::Query(query)), None) => {
                let answer = fetch.query(module, query, reach).await?;
                Ok(self.changing(&request, Object::QueryInfo, answer, reach))
            }
            (Ask::Info(VersionOrQuery::Version(version)) | Ask::Mod(version) | Ask::Zip(version), None) => {
                let reason = format!("{version} does not fit, and passed the door").into();
                Err(Failure::Internal { subject: Subject::module(module), reason })
            }
        }
    }

    /// An answer for ever: a small file is read once and kept in memory, a large one is kept open.
    async fn lasting(&self, request: &Request, object: Object, got: Got) -> Result<Answer, Failure> {
        let StoredFile { file, size, etag, time, origin } = got.file;
        let body = if self.0.hot.takes(object, size) {
            let read = tokio::task::spawn_blocking(move || read_whole(&file, size)).await;
            let read = read.unwrap_or_else(|error| Err(io::Error::other(error)));
            Body::Bytes(read.map_err(|error| unreadable(request, &error))?)
        } else {
            Body::File { file: Arc::new(file), size }
        };
        let cache = outcome(got.how);
        let answer = Answer { body, object, etag: quoted(&etag), modified: time, stale: None, origin, cache };
        self.0.hot.put(request.to_path(), &answer, None);
        Ok(answer)
    }

    /// An answer for a while, kept in memory as long as it is fresh.
    fn changing(&self, request: &Request, object: Object, fresh: FreshAnswer, reach: Reach) -> Answer {
        let etag = quoted(&format!("sha256-{}", Sha256Sum::of(&fresh.bytes)));
        let cache = if fresh.stale.is_some() { CacheOutcome::Stale } else { outcome(fresh.how) };
        let body = Body::Bytes(fresh.bytes);
        let answer = Answer { body, object, etag, modified: None, stale: fresh.stale, origin: None, cache };
        if reach == Reach::MayFetch {
            self.0.hot.put(request.to_path(), &answer, Some(fresh.fresh_until));
        }
        answer
    }
}

fn unreadable(request: &Request, error: &io::Error) -> Failure {
    let subject = Subject::module(&request.path);
    Failure::Storage { subject, reason: format!("a stored file cannot be read: {error}").into() }
}

/// The whole file; the length is the ledger's, so that a file which grew or shrank is an error.
fn read_whole(file: &File, size: u64) -> io::Result<Bytes> {
    let size = usize::try_from(size).map_err(io::Error::other)?;
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(Bytes::from(bytes))
}

/// A strong entity tag on the wire (P-112).
fn quoted(etag: &str) -> Bytes {
    Bytes::from(format!("\"{etag}\""))
}

fn outcome(how: How) -> CacheOutcome {
    match how {
        How::Stored => CacheOutcome::Hit,
        How::Fetched => CacheOutcome::Miss,
    }
}
