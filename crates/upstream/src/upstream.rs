//! One upstream, and the five questions.

use std::path::PathBuf;
use std::sync::Arc;

use modkeep_egress::Egress;
use modkeep_module::gomod::GoMod;
use modkeep_module::goproxy::{Ask as Wanted, Request};
use modkeep_module::{ModulePath, ModuleVersion, Version, VersionOrQuery, latest as newest, list as lists};
use modkeep_store::Scratch;
use url::Url;

use crate::answer::{Fetched, checked_go_mod, checked_info, checked_latest, checked_list};
use crate::base::{Ask, Base, Patience, Reply};
use crate::chain::Entry;
use crate::error::Error;

/// Limits of `hostile-inputs.md` part 1, in bytes.
const INFO_MAX: u64 = 64 * 1024;
const LIST_MAX: u64 = 8 * 1024 * 1024;
const GO_MOD_MAX: u64 = 16 * 1024 * 1024;
const ZIP_MAX: u64 = 500 * 1024 * 1024;

/// A mirror that speaks the GOPROXY protocol, or a folder laid out like one. Cheap to clone.
///
/// Every answer it hands on has the form of what was asked for; whether the bytes are the right ones is
/// decided by whoever verifies them. Every method is cancel safe: dropping it closes the request and
/// leaves nothing behind.
#[derive(Clone, Debug)]
pub struct Upstream {
    base: Arc<Base>,
    name: Arc<str>,
}

impl Upstream {
    /// A mirror behind an http or https URL; its user part, if any, becomes the login for that host alone.
    pub fn new_http(url: Url, egress: Egress) -> Self {
        // A URL with another scheme would be read as a folder that does not exist: every answer is 404.
        Self::over(Base::of(&url, &egress).unwrap_or(Base::Folder(PathBuf::new())))
    }

    /// A folder with the protocol's layout: an exported tree, or `GOMODCACHE/cache/download` (P-150, P-151).
    pub fn new_tree(folder: PathBuf) -> Self {
        Self::over(Base::Folder(folder))
    }

    /// The upstream of a chain's entry; `None` for `direct` and `off`.
    pub fn of_entry(entry: &Entry, egress: &Egress) -> Option<Self> {
        match entry {
            Entry::Proxy(url) => Some(Self::new_http(url.clone(), egress.clone())),
            Entry::Tree(folder) => Some(Self::new_tree(folder.clone())),
            Entry::Direct | Entry::Off => None,
        }
    }

    /// The same upstream with other time limits. Folders have none.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { base: Arc::new(Base::clone(&self.base).with_patience(patience)), name: self.name }
    }

    fn over(base: Base) -> Self {
        let name = base.name().into();
        Self { base: Arc::new(base), name }
    }

    /// Its URL without login and query: for logs, pages, metrics and the `source` column of the ledger.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a folder, which needs no network.
    pub fn is_tree(&self) -> bool {
        matches!(*self.base, Base::Folder(_))
    }

    /// `@v/list`: canonical versions that fit the path, ascending, one a line (P-1, P-20, G10). At most 8 MiB.
    ///
    /// With a validator from an earlier answer, [`Fetched::NotModified`] may come back instead.
    pub async fn list(
        &self,
        module: &ModulePath,
        validator: Option<&str>,
    ) -> Result<Fetched<Vec<u8>>, Error> {
        let path = path_of(module, Wanted::List);
        let reply = self.base.get(Ask { validator, ..Ask::plain(&path, LIST_MAX) }).await?;
        self.fetched(reply, |bytes| Ok(checked_list(bytes, module)))
    }

    /// `@latest`: the `.info` of what the upstream recommends (P-5). At most 64 KiB.
    ///
    /// A folder without an `@latest` file, as module caches are, is asked for its list instead, and the
    /// answer is picked from it (P-40 to P-42).
    pub async fn latest(
        &self,
        module: &ModulePath,
        validator: Option<&str>,
    ) -> Result<Fetched<Vec<u8>>, Error> {
        let path = path_of(module, Wanted::Latest);
        match self.base.get(Ask { validator, ..Ask::plain(&path, INFO_MAX) }).await {
            Err(error) if error.is_not_found() && self.is_tree() => {
                let value = self.pick_latest(module).await?;
                Ok(Fetched::New { value, validator: None })
            }
            Err(error) => Err(error),
            Ok(reply) => self.fetched(reply, |bytes| checked_latest(bytes, module)),
        }
    }

    /// `@v/….info` of a version, which must name that very version (P-30), or of a query, which must name
    /// one that fits (P-31). As sent, without credentials in it (G09). At most 64 KiB.
    pub async fn info(&self, module: &ModulePath, asked: &VersionOrQuery) -> Result<Vec<u8>, Error> {
        let path = path_of(module, Wanted::Info(asked.clone()));
        let bytes = self.base.bytes(Ask::plain(&path, INFO_MAX)).await?;
        checked_info(&bytes, module, asked).map_err(|what| self.malformed(what))
    }

    /// `@v/….mod`: the bytes of the go.mod, unparsed (P-3, P-55). At most 16 MiB.
    pub async fn go_mod(&self, version: &ModuleVersion) -> Result<Vec<u8>, Error> {
        let path = path_of(version.path(), Wanted::Mod(version.version().clone()));
        let bytes = self.base.bytes(Ask::plain(&path, GO_MOD_MAX)).await?;
        checked_go_mod(bytes.into()).map_err(|what| self.malformed(what))
    }

    /// `@v/….zip`, poured into a scratch file of the store. At most 500 MiB; a larger one is refused at its
    /// `Content-Length` where it has one (F31), anything that does not begin like a zip at its first bytes.
    ///
    /// On an error the scratch file is gone, so the next source starts with a fresh one (P-86).
    pub async fn zip(&self, version: &ModuleVersion, scratch: Scratch) -> Result<Scratch, Error> {
        let path = path_of(version.path(), Wanted::Zip(version.version().clone()));
        self.base.pour(&path, ZIP_MAX, scratch).await
    }

    async fn pick_latest(&self, module: &ModulePath) -> Result<Vec<u8>, Error> {
        let path = path_of(module, Wanted::List);
        let list = self.base.bytes(Ask::plain(&path, LIST_MAX)).await?;
        let versions = self.candidates(module, lists::parse(&list, module)).await;
        let missing = || Error::NotFound { source_name: self.name.to_string(), text: String::new() };
        let first = newest::pick(&versions, &|_| false).ok_or_else(missing)?;
        // A go.mod that cannot be read, and that of a +incompatible version, retract nothing (P-41).
        let rules = self.own_go_mod(module, &first).await.filter(|_| !first.is_incompatible());
        let rules = rules.and_then(|bytes| GoMod::parse_lenient(&bytes).ok());
        let retracted =
            |version: &Version| rules.as_ref().is_some_and(|rules| rules.retracts(version).is_some());
        let picked = newest::pick(&versions, &retracted).ok_or_else(missing)?;
        self.info(module, &VersionOrQuery::Version(picked)).await
    }

    /// The list, without `+incompatible` where the newest other version has a go.mod of its own (P-40).
    async fn candidates(&self, module: &ModulePath, versions: Vec<Version>) -> Vec<Version> {
        let compatible: Vec<_> =
            versions.iter().filter(|version| !version.is_incompatible()).cloned().collect();
        let Some(newest) = newest::pick(&compatible, &|_| false) else { return versions };
        match self.own_go_mod(module, &newest).await {
            Some(bytes) if bytes != GoMod::synthesized(module) => compatible,
            _ => versions,
        }
    }

    async fn own_go_mod(&self, module: &ModulePath, version: &Version) -> Option<Vec<u8>> {
        let path = path_of(module, Wanted::Mod(version.clone()));
        self.base.bytes(Ask::plain(&path, GO_MOD_MAX)).await.ok().map(Vec::from)
    }

    fn fetched(
        &self,
        reply: Reply,
        check: impl FnOnce(&[u8]) -> Result<Vec<u8>, String>,
    ) -> Result<Fetched<Vec<u8>>, Error> {
        match reply {
            Reply::NotModified => Ok(Fetched::NotModified),
            Reply::Body { bytes, validator } => {
                let value = check(&bytes).map_err(|what| self.malformed(what))?;
                Ok(Fetched::New { value, validator })
            }
        }
    }

    fn malformed(&self, what: String) -> Error {
        Error::Malformed { source_name: self.name.to_string(), what }
    }
}

/// The escaped path of a question, as the protocol writes it.
fn path_of(module: &ModulePath, ask: Wanted) -> String {
    Request { path: module.clone(), ask }.to_path()
}
