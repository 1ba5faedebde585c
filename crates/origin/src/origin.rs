//! The public face: the five questions of an upstream mirror, answered by the repositories themselves.

use std::fmt;
use std::sync::Arc;

use modkeep_egress::Egress;
use modkeep_module::{ModulePath, ModuleVersion, VersionOrQuery};
use modkeep_store::{FetchedZip, Scratch, Store};
use modkeep_upstream::Fetched;

use crate::config::Config;
use crate::error::Error;

/// Modules straight from their repositories. Cheap to clone.
///
/// Its answers have the form of an upstream's, and equal what the go command in direct mode makes of the same
/// repository. Every method is cancel safe: what was fetched for it serves the next question.
#[derive(Clone)]
pub struct Origin(Arc<Inner>);

/// A version's zip in a scratch file.
#[derive(Debug)]
pub enum Zip {
    /// Packed here, and summed while it was.
    Built(FetchedZip),
    /// Sent by the proxy that the module's go-import page names (V-21): anything, until somebody has read it.
    Sent(Scratch),
}

struct Inner {
    config: Config,
    egress: Egress,
    store: Store,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").finish_non_exhaustive()
    }
}

impl Origin {
    /// The face over its parts. Repositories are opened when somebody asks about them.
    pub fn new(config: Config, egress: Egress, store: Store) -> Self {
        Self(Arc::new(Inner { config, egress, store }))
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
        todo!("{module} {validator:?}")
    }

    /// `@latest`: the `.info` of the latest version (P-40 to P-42), or of the default branch's tip without one.
    pub async fn latest(
        &self,
        module: &ModulePath,
        validator: Option<&str>,
    ) -> Result<Fetched<Vec<u8>>, Error> {
        todo!("{module} {validator:?}")
    }

    /// `@v/….info` of a version, or of the version that a query resolves to (V-50 to V-56).
    pub async fn info(&self, module: &ModulePath, asked: &VersionOrQuery) -> Result<Vec<u8>, Error> {
        todo!("{module} {asked:?}")
    }

    /// `@v/….mod`: the bytes of the go.mod, or the one that is made up where there is none (V-80).
    pub async fn go_mod(&self, version: &ModuleVersion) -> Result<Vec<u8>, Error> {
        todo!("{version}")
    }

    /// `@v/….zip`, packed into a scratch file of the store by the rules of the go command (module-zip sections 4 to 7).
    pub async fn zip(&self, version: &ModuleVersion, scratch: Scratch) -> Result<Zip, Error> {
        todo!("{version} {scratch:?}")
    }
}
