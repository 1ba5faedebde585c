//! The repositories that are open: one each, whatever number of modules live in it (V-6, C26).

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use modkeep_egress::Egress;
use modkeep_module::ModuleVersion;
use modkeep_store::{FileKind, Repository as StoreRepository, Store};
use quick_cache::sync::Cache;
use url::Url;

use crate::error::Error;
use crate::git::{Filters, GitRepository, Opening, WireLimits, Zips};
use crate::mixed::Mixed;
use crate::place::{Remote, Vcs};
use crate::program::Programs;
use crate::repository::Repository;

/// How many repositories stay open while nobody asks them anything. An open one holds its refs and an index of its
/// objects: some 100 KiB for one of ordinary size.
const IDLE_MAX: usize = 256;
/// Of how many hosts it is remembered which filters they give; a forgotten one is tried again, for a request or two.
const HOSTS_MAX: usize = 256;

/// What makes two remotes one repository: its system, where we really go, and how.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Key {
    vcs: Vcs,
    url: String,
    insecure: bool,
}

/// The open repositories.
pub(crate) struct Repositories {
    egress: Egress,
    store: Store,
    programs: Option<Programs>,
    refs_lifetime: Duration,
    open: Mutex<Open>,
    /// What hosts were found to refuse, by name and port.
    filters: Cache<String, Arc<Filters>>,
}

#[derive(Default)]
struct Open {
    by_key: HashMap<Key, (Arc<Opened>, u64)>,
    /// Counts the questions: the smallest number of a repository is the one that waited longest.
    turn: u64,
}

/// An open repository.
pub(crate) enum Opened {
    /// git over HTTP in this process, with the git program behind it.
    Mixed(Box<Mixed>),
    /// Everything else.
    Program(Box<dyn Repository>),
}

impl Opened {
    pub(crate) fn repository(&self) -> &dyn Repository {
        match self {
            Self::Mixed(mixed) => mixed.as_ref(),
            Self::Program(repository) => repository.as_ref(),
        }
    }
}

impl Repositories {
    /// None is open yet.
    pub(crate) fn new(
        egress: Egress,
        store: Store,
        programs: Option<Programs>,
        refs_lifetime: Duration,
    ) -> Self {
        let filters = Cache::new(HOSTS_MAX);
        Self { egress, store, programs, refs_lifetime, open: Mutex::default(), filters }
    }

    /// The repository behind a remote, opened when it is not open yet. Nothing is asked of it. Blocking, briefly.
    pub(crate) fn open(&self, vcs: Vcs, remote: Remote) -> Result<Arc<Opened>, Error> {
        let key = Key { vcs, url: remote.url.to_string(), insecure: remote.insecure };
        let mut open = self.lock();
        open.turn += 1;
        let turn = open.turn;
        if let Some((opened, used)) = open.by_key.get_mut(&key) {
            *used = turn;
            return Ok(Arc::clone(opened));
        }
        let opened = Arc::new(self.opened(vcs, remote)?);
        open.by_key.insert(key, (Arc::clone(&opened), turn));
        open.let_idle_go();
        Ok(opened)
    }

    /// Forgets an open repository, so that the next question opens it anew: its login may have changed.
    pub(crate) fn forget(&self, opened: &Arc<Opened>) {
        self.lock().by_key.retain(|_, (known, _)| !Arc::ptr_eq(known, opened));
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner) // each change is one operation on the map
    }

    fn opened(&self, vcs: Vcs, remote: Remote) -> Result<Opened, Error> {
        let name = format!("{}:{}", vcs.name(), remote.url);
        let workspace = self.store.workspace(&name).map_err(Error::Store)?;
        let over_http = vcs == Vcs::Git && matches!(remote.url.scheme(), "http" | "https");
        if !over_http {
            let programs = self.programs.as_ref().ok_or(Error::NoProgram { program: vcs.name() })?;
            return Ok(Opened::Program(programs.open(vcs, remote, workspace)?));
        }
        let git = GitRepository::open(Opening {
            remote: remote.clone(),
            egress: self.egress.clone(),
            workspace: workspace.clone(),
            clock: Arc::clone(self.store.clock()),
            refs_lifetime: self.refs_lifetime,
            zips: Some(self.zips()),
            filters: self.filters_of(&remote.url),
            limits: WireLimits::default(),
        });
        Ok(Opened::Mixed(Box::new(Mixed::new(git, self.programs.clone(), remote, workspace))))
    }

    fn filters_of(&self, url: &Url) -> Arc<Filters> {
        let begun = self.filters.get_or_insert_with(url.authority(), || Ok::<_, Infallible>(Arc::default()));
        begun.unwrap_or_else(|never| match never {})
    }

    /// The zips that are stored: files in them need not be fetched again.
    fn zips(&self) -> Zips {
        let store = self.store.clone();
        Arc::new(move |of: &ModuleVersion| {
            let opened = store.open_file_blocking(&StoreRepository::main(), of, FileKind::Zip);
            opened.ok().flatten().map(|stored| stored.file)
        })
    }
}

impl Open {
    /// Closes repositories that nobody uses, the longest unused first, while there are too many.
    fn let_idle_go(&mut self) {
        while self.by_key.len() > IDLE_MAX {
            let idle = self.by_key.iter().filter(|(_, (opened, _))| Arc::strong_count(opened) == 1);
            let Some(key) = idle.min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone()) else {
                return;
            };
            self.by_key.remove(&key);
        }
    }
}
