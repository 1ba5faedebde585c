//! From a module path to the place where it lives (versions-and-origins sections 1 and 2).

pub(crate) mod govcs;

use std::sync::Arc;

use modkeep_egress::Egress;
use modkeep_module::ModulePath;
use modkeep_store::Clock;

use crate::config::Config;
use crate::error::Error;
use crate::place::{Place, Remote, RepositoryPlace};

/// Knows where modules live.
#[derive(Clone, Debug)]
pub(crate) struct Resolver;

impl Resolver {
    /// Nothing is asked yet.
    pub(crate) fn new(_config: &Config, _egress: Egress, _clock: Arc<dyn Clock>) -> Self {
        Self
    }

    /// Where a module lives: by the configuration, the static hosts, its qualifier, or its go-import page (V-1).
    pub(crate) async fn place(&self, _module: &ModulePath) -> Result<Place, Error> {
        todo!()
    }

    /// How to get at a repository: rewriting, login, and the rules of schemes (V-22).
    pub(crate) async fn remote(
        &self,
        _module: &ModulePath,
        _place: &RepositoryPlace,
    ) -> Result<Remote, Error> {
        todo!()
    }
}
