//! Who can be asked about a module: another mirror, or the repositories themselves.

use modkeep_module::{ModulePath, ModuleVersion, VersionOrQuery};
use modkeep_origin::{Origin, Zip};
use modkeep_store::{FirstSight, Scratch};
use modkeep_upstream::{Fetched, Upstream};

use crate::failure::{Failure, Subject};
use crate::said;

/// Somebody who answers the five questions of the protocol. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Source {
    /// A mirror or a tree in its layout.
    Upstream(Upstream),
    /// The repositories, of which we build versions ourselves: `direct` in a chain.
    Origin(Origin),
}

impl Source {
    /// Its name for logs, metrics and the ledger, without credentials.
    pub fn name(&self) -> &str {
        match self {
            Self::Upstream(upstream) => upstream.name(),
            Self::Origin(origin) => origin.name(),
        }
    }

    /// Whether it may hear a private name (D14): only the place where the module lives.
    pub(crate) fn is_origin(&self) -> bool {
        matches!(self, Self::Origin(_))
    }

    /// On whose word its bytes are accepted where nobody else vouches for them.
    pub(crate) fn first_sight(&self) -> FirstSight {
        match self {
            Self::Upstream(_) => FirstSight::UncheckedPath,
            Self::Origin(_) => FirstSight::Origin,
        }
    }

    /// Tells whoever built a zip that it is in the store now.
    pub(crate) async fn stored(&self, of: &ModuleVersion) {
        if let Self::Origin(origin) = self {
            origin.stored(of).await;
        }
    }

    pub(crate) async fn list(
        &self,
        module: &ModulePath,
        validator: Option<&str>,
    ) -> Result<Fetched<Vec<u8>>, Failure> {
        let subject = || Subject::module(module);
        match self {
            Self::Upstream(upstream) => {
                let list = upstream.list(module, validator).await;
                list.map_err(|error| said::by_upstream(subject(), self.name(), error))
            }
            Self::Origin(origin) => {
                let list = origin.list(module, validator).await;
                list.map_err(|error| said::by_origin(subject(), error))
            }
        }
    }

    pub(crate) async fn latest(
        &self,
        module: &ModulePath,
        validator: Option<&str>,
    ) -> Result<Fetched<Vec<u8>>, Failure> {
        let subject = || Subject::latest(module);
        match self {
            Self::Upstream(upstream) => {
                let latest = upstream.latest(module, validator).await;
                latest.map_err(|error| said::by_upstream(subject(), self.name(), error))
            }
            Self::Origin(origin) => {
                let latest = origin.latest(module, validator).await;
                latest.map_err(|error| said::by_origin(subject(), error))
            }
        }
    }

    pub(crate) async fn info(&self, module: &ModulePath, asked: &VersionOrQuery) -> Result<Vec<u8>, Failure> {
        let subject = || Subject::asked(module, asked);
        match self {
            Self::Upstream(upstream) => {
                let info = upstream.info(module, asked).await;
                info.map_err(|error| said::by_upstream(subject(), self.name(), error))
            }
            Self::Origin(origin) => {
                let info = origin.info(module, asked).await;
                info.map_err(|error| said::by_origin(subject(), error))
            }
        }
    }

    pub(crate) async fn go_mod(&self, of: &ModuleVersion) -> Result<Vec<u8>, Failure> {
        let subject = || Subject::version(of);
        match self {
            Self::Upstream(upstream) => {
                let go_mod = upstream.go_mod(of).await;
                go_mod.map_err(|error| said::by_upstream(subject(), self.name(), error))
            }
            Self::Origin(origin) => {
                let go_mod = origin.go_mod(of).await;
                go_mod.map_err(|error| said::by_origin(subject(), error))
            }
        }
    }

    pub(crate) async fn zip(&self, of: &ModuleVersion, scratch: Scratch) -> Result<Zip, Failure> {
        let subject = || Subject::version(of);
        match self {
            Self::Upstream(upstream) => {
                let zip = upstream.zip(of, scratch).await;
                zip.map(Zip::Sent).map_err(|error| said::by_upstream_of_zip(subject(), self.name(), error))
            }
            Self::Origin(origin) => {
                let zip = origin.zip(of, scratch).await;
                zip.map_err(|error| said::by_origin(subject(), error))
            }
        }
    }
}
