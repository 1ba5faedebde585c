//! What a repository can be asked, whatever its version control system.
//!
//! The rules of versions ([`crate::versions`]) and of zips ([`crate::archive`]) stand on this trait alone. It has
//! one implementation for git in this process and one for each program that we drive.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use modkeep_module::time::Timestamp;
use modkeep_module::zip::rules::Kind;

use crate::error::Error;

/// A question on its way.
pub(crate) type Asking<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// A commit (git), changeset (hg), revision (svn) or check-in (fossil).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Commit {
    /// Its full name: 40 or 64 lower-case hex digits; for svn the decimal revision number.
    pub(crate) id: Arc<str>,
    /// The form that pseudo-versions carry: 12 hex digits; for svn the number padded to 12.
    pub(crate) short: Arc<str>,
    /// Committer time (git), changeset time (hg), `svn:date`, check-in time.
    pub(crate) time: Timestamp,
    /// The "resolved name" of V-52 step 2: the tag that was asked for, where it is one; else `id`.
    pub(crate) resolved: Arc<str>,
    /// All tags on it, ascending by bytes.
    pub(crate) tags: Vec<Arc<str>>,
    /// The ref through which it was found, as `Origin.Ref` shows it: `refs/tags/v1.0.0`, `refs/heads/main`, `HEAD`.
    pub(crate) reference: Option<Arc<str>>,
}

/// Which refs a question needs. Fewer refs are fewer bytes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Scope {
    /// `refs/tags/*` alone.
    Tags,
    /// `refs/tags/*` where some are known already; else `HEAD` with them, in the same question. For who needs the tip of
    /// the default branch only where no tag serves him.
    TagsElseHead,
    /// `HEAD` and `refs/tags/*`.
    TagsAndHead,
    /// `HEAD`, `refs/heads/*` and `refs/tags/*`.
    All,
}

/// The refs of a repository at one moment, peeled: an annotated tag stands with its commit.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Refs {
    /// The tip of the default branch, where the scope has it and the repository has commits.
    pub(crate) head: Option<Arc<str>>,
    /// Full names (`refs/heads/main`) to ids.
    pub(crate) branches: BTreeMap<Arc<str>, Arc<str>>,
    /// Full names (`refs/tags/v1.0.0`) to ids. An id may be empty where the system does not tell it (svn).
    pub(crate) tags: BTreeMap<Arc<str>, Arc<str>>,
}

/// One file at one commit or tag, about to be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Wanted {
    /// The commit's full id.
    pub(crate) commit: Arc<str>,
    /// Slash-separated, from the repository's root. Empty, or ending in `/`: everything below that directory, for
    /// a [`Repository::tree`] to come.
    pub(crate) path: String,
}

/// A file of a tree, its path below the directory that was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Entry {
    /// Bytes, because a tree may hold any (Z-16).
    pub(crate) path: Vec<u8>,
    /// What it is, with its size after the archive conversions (module-zip section 3).
    pub(crate) kind: Kind,
}

/// The files below a directory of one commit, as the archive step of the go command would give them.
pub(crate) trait Tree: Send + Sync {
    /// All entries, ascending by the bytes of their paths. Directories need not be there.
    fn entries(&self) -> &[Entry];
    /// The contents of a regular file after the archive conversions. Blocking; called from several threads.
    fn read(&self, entry: usize) -> Result<Vec<u8>, Error>;
}

/// A repository somewhere else.
///
/// Every method may ask the other side, and may answer from what was fetched before. All are cancel safe: what
/// is dropped half way leaves the cache as it was or better.
pub(crate) trait Repository: Send + Sync {
    /// The refs, at most `[origin] list_ttl` old. An unreachable repository is an error, an empty one has none (V-45).
    fn refs(&self, scope: Scope) -> Asking<'_, Arc<Refs>>;

    /// The tip of the default branch: what `latest` means without tags (V-50).
    fn tip(&self) -> Asking<'_, Commit>;

    /// The commit that a revision name means (V-90 to V-94): never an expression, always a literal name (B17).
    /// Unknown: [`Error::NoVersion`] with `unknown revision <rev>`.
    fn resolve<'a>(&'a self, revision: &'a str) -> Asking<'a, Commit>;

    /// A file's raw bytes at a commit, unconverted (Z-13), at most 16 MiB + 1 byte of them; of a symbolic link its
    /// target. `None`: no such file, or a directory.
    fn file<'a>(&'a self, commit: &'a str, path: &'a str) -> Asking<'a, Option<Bytes>>;

    /// A hint: these files will be read next, so whoever can fetches them together. Wrong hints cost, nothing else.
    /// Who is about to pack a version says so before it resolves anything: then one fetch brings all of it.
    fn expect<'a>(&'a self, wanted: &'a [Wanted]) -> Asking<'a, ()> {
        let _ = wanted;
        Box::pin(async { Ok(()) })
    }

    /// The tags (short names, `v1.0.0`) on the commit or any ancestor of it (V-53). `None`: this system cannot tell.
    fn ancestor_tags<'a>(&'a self, commit: &'a str) -> Asking<'a, Option<Vec<Arc<str>>>> {
        let _ = commit;
        Box::pin(async { Ok(None) })
    }

    /// Whether the tag is on the commit or an ancestor of it (V-61 step 9). `None`: this system cannot tell.
    fn descends_from<'a>(&'a self, commit: &'a str, tag: &'a str) -> Asking<'a, Option<bool>> {
        let _ = (commit, tag);
        Box::pin(async { Ok(None) })
    }

    /// All files below `dir` (empty: the whole tree) at a commit, ready to be packed. `None`: no such directory (Z-15).
    fn tree<'a>(&'a self, commit: &'a str, dir: &'a str) -> Asking<'a, Option<Box<dyn Tree>>>;

    /// The `RepoSum` of `Origin` for the answer "unknown revision", where the system has one. Answers of git depend on
    /// refs, whose sums are made of them; Subversion and Fossil have none.
    fn repo_sum(&self) -> Asking<'_, Option<String>> {
        Box::pin(async { Ok(None) })
    }
}
