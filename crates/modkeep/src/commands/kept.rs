//! A walk over everything kept.

use std::collections::VecDeque;

use modkeep_module::ModulePath;
use modkeep_store::{Repository, Store, VersionRecord};

use crate::exit::Failed;

/// Modules read from the ledger at a time.
const PAGE: u32 = 1_000;

/// The modules of the store by path, each with its versions in ascending order. Memory grows with one page.
pub(super) struct Kept<'a> {
    store: &'a Store,
    page: VecDeque<ModulePath>,
    after: Option<String>,
}

impl<'a> Kept<'a> {
    pub(super) fn of(store: &'a Store) -> Self {
        Self { store, page: VecDeque::new(), after: None }
    }

    /// The next module that `wanted` accepts; `None` at the end.
    pub(super) async fn next(
        &mut self,
        wanted: impl Fn(&ModulePath) -> bool,
    ) -> Result<Option<(ModulePath, Vec<VersionRecord>)>, Failed> {
        let repository = Repository::main();
        loop {
            while let Some(module) = self.page.pop_front() {
                if wanted(&module) {
                    let mut versions = self.store.versions(&repository, &module).await?;
                    versions.sort_by(|a, b| a.version.cmp(&b.version));
                    return Ok(Some((module, versions)));
                }
            }
            self.page = self.store.modules(&repository, self.after.as_deref(), PAGE).await?.into();
            let Some(last) = self.page.back() else { return Ok(None) };
            self.after = Some(last.as_str().to_owned());
        }
    }
}
