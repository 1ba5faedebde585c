//! The public face: the five questions of an upstream mirror, answered by the repositories themselves.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use modkeep_egress::Egress;
use modkeep_module::{Info, ModulePath, ModuleVersion, VersionOrQuery, list, pseudo};
use modkeep_store::{FetchedZip, Scratch, Store};
use modkeep_upstream::{Fetched, Upstream};
use quick_cache::sync::Cache;

use crate::archive;
use crate::config::Config;
use crate::error::Error;
use crate::place::{Place, Remote, RepositoryPlace, Vcs};
use crate::program::{self, Programs};
use crate::repositories::{Opened, Repositories};
use crate::repository::{Refs, Repository, Scope, Tree, Wanted};
use crate::resolve::{Probe, Resolver};
use crate::versions::{Geometry, Located, Module};

/// Versions that were packed and whose zips may be in the store soon; the oldest are forgotten.
const PACKED_MAX: usize = 1024;

/// Modules straight from their repositories. Cheap to clone.
///
/// Its answers have the form of an upstream's, and equal what the go command in direct mode makes of the same
/// repository. Every method is cancel safe: what was fetched for it serves the next question.
#[derive(Clone)]
pub struct Origin(Arc<Inner>);

/// What an [`Origin`] is built from.
pub struct Parts {
    /// Where modules live, and how we get there.
    pub config: Config,
    /// How programs are run. Without them, git over HTTP is all that is spoken.
    pub programs: Option<program::Config>,
    /// The way out.
    pub egress: Egress,
    /// Whose scratch files and folders of derived data are used.
    pub store: Store,
}

/// A version's zip in a scratch file.
#[derive(Debug)]
pub enum Zip {
    /// Packed here, and summed while it was.
    Built(FetchedZip),
    /// Sent by the proxy that the module's go-import page names (V-21): anything, until somebody has read it.
    Sent(Scratch),
}

struct Inner {
    resolver: Resolver,
    repositories: Repositories,
    egress: Egress,
    store: Store,
    /// Of what the zips were made that were handed out.
    packed: Cache<ModuleVersion, Packed>,
}

/// Of what a zip was made.
#[derive(Clone)]
struct Packed {
    opened: Arc<Opened>,
    commit: Arc<str>,
    dir: Arc<str>,
}

/// Who answers for a module.
pub(crate) enum Answerer {
    Repository { place: RepositoryPlace, opened: Arc<Opened> },
    Proxy(Upstream),
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").finish_non_exhaustive()
    }
}

impl Origin {
    /// The face over its parts. Repositories are opened when somebody asks about them.
    pub fn new(parts: Parts) -> Self {
        let Parts { config, programs, egress, store } = parts;
        let started =
            |programs| Programs::new(programs, egress.clone(), Arc::clone(store.clock()), config.list_ttl);
        let programs = programs.map(started);
        let resolver = Resolver::new(&config, egress.clone(), Arc::clone(store.clock()));
        let repositories = Repositories::new(egress.clone(), store.clone(), programs, config.list_ttl);
        Self(Arc::new(Inner { resolver, repositories, egress, store, packed: Cache::new(PACKED_MAX) }))
    }

    /// Its name in chains, logs, metrics and the ledger.
    pub fn name(&self) -> &'static str {
        "direct"
    }

    /// `@v/list`: all versions that the repository's tags make, ascending, one a line (V-40 to V-46).
    ///
    /// With a validator from an earlier answer, [`Fetched::NotModified`] comes back while the tags stand as they did.
    pub async fn list(
        &self,
        module: &ModulePath,
        validator: Option<&str>,
    ) -> Result<Fetched<Vec<u8>>, Error> {
        let (place, opened) = match self.answerer(module).await? {
            Answerer::Proxy(proxy) => return proxy.list(module, validator).await.map_err(Error::of_proxy),
            Answerer::Repository { place, opened } => (place, opened),
        };
        let listed = Module::new(module, &place, opened.repository())?.list().await;
        let (versions, origin) = self.heard(&opened, listed)?;
        let sum = (!origin.tag_sum.is_empty()).then_some(origin.tag_sum);
        if sum.is_some() && sum.as_deref() == validator {
            return Ok(Fetched::NotModified);
        }
        Ok(Fetched::New { value: list::render(&versions), validator: sum })
    }

    /// `@latest`: the `.info` of the latest version (P-40 to P-42), or of the default branch's tip without one.
    pub async fn latest(
        &self,
        module: &ModulePath,
        validator: Option<&str>,
    ) -> Result<Fetched<Vec<u8>>, Error> {
        let (place, opened) = match self.answerer(module).await? {
            Answerer::Proxy(proxy) => return proxy.latest(module, validator).await.map_err(Error::of_proxy),
            Answerer::Repository { place, opened } => (place, opened),
        };
        let latest = Module::new(module, &place, opened.repository())?.latest().await;
        let info = self.heard(&opened, latest)?.info;
        Ok(Fetched::New { value: info.to_json(), validator: None })
    }

    /// `@v/….info` of a version, or of the version that a query resolves to (V-50 to V-56).
    pub async fn info(&self, module: &ModulePath, asked: &VersionOrQuery) -> Result<Vec<u8>, Error> {
        let (place, opened) = match self.answerer(module).await? {
            Answerer::Proxy(proxy) => return proxy.info(module, asked).await.map_err(Error::of_proxy),
            Answerer::Repository { place, opened } => (place, opened),
        };
        let located = Module::new(module, &place, opened.repository())?.stat(asked).await;
        let info: Info = self.heard(&opened, located)?.info;
        Ok(match asked {
            VersionOrQuery::Version(_) => info.settled().to_json(),
            VersionOrQuery::Query(_) => info.to_json(),
        })
    }

    /// `@v/….mod`: the bytes of the go.mod, or the one that is made up where there is none (V-80).
    pub async fn go_mod(&self, version: &ModuleVersion) -> Result<Vec<u8>, Error> {
        let (place, opened) = match self.answerer(version.path()).await? {
            Answerer::Proxy(proxy) => return proxy.go_mod(version).await.map_err(Error::of_proxy),
            Answerer::Repository { place, opened } => (place, opened),
        };
        let module = Module::new(version.path(), &place, opened.repository())?;
        let go_mod = module.go_mod(version.version()).await;
        self.heard(&opened, go_mod).map(Vec::from)
    }

    /// `@v/….zip`, packed into a scratch file of the store by the rules of the go command (module-zip sections 4 to 7).
    pub async fn zip(&self, version: &ModuleVersion, scratch: Scratch) -> Result<Zip, Error> {
        let (place, opened) = match self.answerer(version.path()).await? {
            Answerer::Proxy(proxy) => {
                return proxy.zip(version, scratch).await.map(Zip::Sent).map_err(Error::of_proxy);
            }
            Answerer::Repository { place, opened } => (place, opened),
        };
        let module = Module::new(version.path(), &place, opened.repository())?;
        self.heard(&opened, expect_all(opened.repository(), &place, version).await)?;
        let located = self.heard(&opened, module.locate(version.version()).await)?;
        let built = self.packed(&opened, &located, version, scratch).await;
        let zip = self.heard(&opened, built)?;
        let (commit, dir) = (Arc::clone(&located.commit.id), located.dir.into());
        self.0.packed.insert(version.clone(), Packed { opened, commit, dir });
        Ok(Zip::Built(zip))
    }

    /// To be told when the zip of a version that was built here is in the store: files in it need not be fetched again
    /// for the next version.
    pub async fn stored(&self, version: &ModuleVersion) {
        if let Some((_, Packed { opened, commit, dir })) = self.0.packed.remove(version)
            && let Opened::Mixed(mixed) = opened.as_ref()
        {
            mixed.here().packed(&commit, &dir, version).await;
        }
    }

    /// Who answers for a module; nobody is asked about it yet.
    pub(crate) async fn answerer(&self, module: &ModulePath) -> Result<Answerer, Error> {
        let place = match self.0.resolver.place(module, self).await? {
            Place::Repository(place) => place,
            Place::Proxy { base } => {
                return Ok(Answerer::Proxy(Upstream::new_http(base, self.0.egress.clone())));
            }
        };
        let remote = self.0.resolver.remote(module, &place).await?;
        let (this, vcs) = (self.clone(), place.vcs);
        let opened = blocking(move || this.0.repositories.open(vcs, remote)).await?;
        Ok(Answerer::Repository { place, opened })
    }

    /// Passes on what a repository answered. One that wants a login is opened anew next time: the login may have
    /// changed meanwhile.
    pub(crate) fn heard<T>(&self, opened: &Arc<Opened>, answer: Result<T, Error>) -> Result<T, Error> {
        if matches!(answer, Err(Error::Login { .. })) {
            self.0.repositories.forget(opened);
        }
        answer
    }

    async fn packed(
        &self,
        opened: &Arc<Opened>,
        located: &Located,
        version: &ModuleVersion,
        scratch: Scratch,
    ) -> Result<FetchedZip, Error> {
        let (commit, dir) = (&*located.commit.id, located.dir.as_str());
        let repository = opened.repository();
        // A directory that is not there after all, although its go.mod was found (Z-15).
        let missing = || Error::unknown_revision(version.version().as_str());
        let tree = repository.tree(commit, dir).await?.ok_or_else(missing)?;
        let license = if archive::wants_license(tree.as_ref(), dir) {
            repository.file(commit, "LICENSE").await?
        } else {
            None
        };
        match (pack(tree, license.clone(), version.clone(), scratch).await, opened.as_ref()) {
            (Err(Error::NeedsGit { .. }), Opened::Mixed(mixed)) => {
                let tree = mixed.tree_of_program(commit, dir).await?.ok_or_else(missing)?;
                let store = self.0.store.clone();
                let scratch = blocking(move || store.scratch().map_err(Error::Store)).await?;
                pack(tree, license, version.clone(), scratch).await
            }
            (packed, _) => packed,
        }
    }
}

/// A repository answers by a scheme if it tells its refs there; what it told then serves the questions that follow.
impl Probe for Origin {
    fn answers<'a>(&'a self, vcs: Vcs, remote: &'a Remote) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let (this, remote) = (self.clone(), remote.clone());
            let opened = blocking(move || this.0.repositories.open(vcs, remote)).await?;
            opened.repository().refs(Scope::TagsAndHead).await.map(drop)
        })
    }
}

/// A zip is about to be made of a version that a tag or the tip of a branch names: all of it comes in one fetch.
async fn expect_all(
    repository: &dyn Repository,
    place: &RepositoryPlace,
    version: &ModuleVersion,
) -> Result<(), Error> {
    let geometry = Geometry::of(version.path(), place)?;
    let name = version.version().as_str();
    let tag = format!("refs/tags/{}{}", geometry.tag_prefix(), name.trim_end_matches("+incompatible"));
    let commit = match pseudo::parse(version.version()) {
        Ok(pseudo) => tip_of(repository.refs(Scope::All).await?.as_ref(), &pseudo.rev),
        Err(_) => repository.refs(Scope::Tags).await?.tags.get(&*tag).cloned(),
    };
    match commit.filter(|commit| !commit.is_empty()) {
        Some(commit) => repository.expect(&[Wanted { commit, path: geometry.tag_prefix() }]).await,
        None => Ok(()),
    }
}

/// The commit that begins so and that a ref names.
fn tip_of(refs: &Refs, begins: &str) -> Option<Arc<str>> {
    let named = refs.tags.values().chain(refs.branches.values()).chain(&refs.head);
    named.into_iter().find(|commit| commit.starts_with(begins)).cloned()
}

async fn pack(
    tree: Box<dyn Tree>,
    license: Option<Bytes>,
    version: ModuleVersion,
    scratch: Scratch,
) -> Result<FetchedZip, Error> {
    blocking(move || archive::pack(tree.as_ref(), license, &version, scratch)).await
}

/// Runs what blocks where it may block. It is finished even when the caller goes away.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let trouble =
        |error: tokio::task::JoinError| Error::Trouble { host: "here".into(), reason: error.to_string() };
    tokio::task::spawn_blocking(work).await.map_err(trouble)?
}
