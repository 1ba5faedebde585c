//! The refs of a repository, asked for at most once in their lifetime by all callers together (V-96).

use std::sync::Arc;
use std::time::{Duration, Instant};

use modkeep_store::Clock;
use tokio::sync::Mutex;

use crate::error::Error;
use crate::git::gather::wire_error;
use crate::git::wire::{LsRefs, Wire};
use crate::repository::{Refs, Scope};

/// The last answers: tags, tags with `HEAD`, all.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    /// One question at a time; who waited finds the answer here.
    asked: Mutex<[Option<Snapshot>; 3]>,
}

/// When, and what.
type Snapshot = (Instant, Arc<Refs>);

impl Snapshots {
    /// Refs that are younger than `lifetime` and hold at least the scope.
    ///
    /// Cancel safe: a caller that leaves passes the question on to the next one.
    pub(crate) async fn get(
        &self,
        scope: Scope,
        wire: &Wire,
        host: &str,
        clock: &dyn Clock,
        lifetime: Duration,
    ) -> Result<Arc<Refs>, Error> {
        let mut asked = self.asked.lock().await;
        let fresh =
            |(since, _): &&(Instant, _)| clock.monotonic().saturating_duration_since(*since) < lifetime;
        if scope == Scope::TagsElseHead
            && let Some((_, refs)) = asked[0].iter().find(fresh)
            && !refs.tags.is_empty()
        {
            return Ok(refs.clone());
        }
        let (place, prefixes): (usize, &[&str]) = match scope {
            Scope::Tags => (0, &["refs/tags/"]),
            Scope::TagsElseHead | Scope::TagsAndHead => (1, &["HEAD", "refs/tags/"]),
            Scope::All => (2, &["HEAD", "refs/heads/", "refs/tags/"]),
        };
        if let Some((_, refs)) = asked[place..].iter().flatten().find(fresh) {
            return Ok(refs.clone());
        }
        let answer = wire.ls_refs(prefixes).await.map_err(|error| wire_error(host, error))?;
        let refs = Arc::new(peeled(answer));
        asked[place] = Some((clock.monotonic(), refs.clone()));
        Ok(refs)
    }
}

fn peeled(answer: LsRefs) -> Refs {
    let mut refs = Refs::default();
    for found in answer.refs {
        let id = found.peeled.unwrap_or(found.id);
        if &*found.name == "HEAD" {
            refs.head = Some(id);
        } else if found.name.starts_with("refs/heads/") {
            refs.branches.insert(found.name, id);
        } else if found.name.starts_with("refs/tags/") {
            refs.tags.insert(found.name, id);
        }
    }
    refs
}
