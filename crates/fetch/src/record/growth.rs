//! How fast one repository may make our log grow (K05).
//!
//! A repository has few tags and endless commits, and each commit is a pseudo-version that can be asked for. Tags are not
//! counted. The public database's growth is not ours to limit.

use std::time::{Duration, Instant};

use modkeep_module::ModuleVersion;
use quick_cache::sync::Cache;

/// How many pseudo-versions of one repository may be recorded at once: more than a large organisation's busiest
/// repository has in use.
const BURST: u32 = 1000;

/// And one more each time this has passed.
const EVERY: Duration = Duration::from_secs(2);

/// How many repositories are kept in mind; the least recently seen has its budget back.
const REPOSITORIES_MAX: usize = 16_384;

/// Elements of a path that name a repository on the hosts that have most of them: host, owner, name.
const ELEMENTS: usize = 3;

/// The budgets. Each is kept as the moment at which it will be whole again.
pub(crate) struct Growth(Cache<Box<str>, Instant>);

impl Default for Growth {
    fn default() -> Self {
        Self(Cache::new(REPOSITORIES_MAX))
    }
}

impl Growth {
    /// Takes one from the budget of a version's repository, or says when there is one again.
    pub(crate) fn admit(&self, of: &ModuleVersion, now: Instant) -> Result<(), Duration> {
        if !of.version().is_pseudo() {
            return Ok(());
        }
        let repository = repository_of(of.path().as_str());
        let whole_at = self.0.get(repository).map_or(now, |whole_at| whole_at.max(now));
        let next = whole_at + EVERY;
        let over = (next - now).saturating_sub(EVERY * BURST);
        if over > Duration::ZERO {
            return Err(over);
        }
        self.0.insert(repository.into(), next);
        Ok(())
    }
}

fn repository_of(path: &str) -> &str {
    let end = path.match_indices('/').nth(ELEMENTS - 1).map_or(path.len(), |(at, _)| at);
    &path[..end]
}

#[cfg(test)]
mod tests {
    use modkeep_module::{ModulePath, Version};

    use super::*;

    fn version(path: &str, version: &str) -> ModuleVersion {
        ModuleVersion::new(ModulePath::parse(path).unwrap(), Version::parse(version).unwrap()).unwrap()
    }

    #[test]
    fn hostile_k05_endless_pseudo_versions_of_one_repository_wait() {
        let (growth, now) = (Growth::default(), Instant::now());
        let commit = |n: u32| version("git.example/team/m/sub", &format!("v0.0.0-20260102030405-{n:012x}"));
        for n in 0..BURST {
            assert_eq!(growth.admit(&commit(n), now), Ok(()), "{n}");
        }
        assert_eq!(growth.admit(&commit(BURST), now), Err(EVERY));
        assert_eq!(growth.admit(&version("git.example/team/m", "v1.0.0"), now), Ok(()), "a tag");
        assert_eq!(
            growth.admit(&version("git.example/team/n", "v0.0.0-20260102030405-00000000abcd"), now),
            Ok(())
        );
        assert_eq!(growth.admit(&commit(BURST), now + EVERY), Ok(()));
        assert_eq!(growth.admit(&commit(BURST), now + EVERY), Err(EVERY));
    }
}
