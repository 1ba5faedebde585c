//! From a tree to the zip of a version: the rules of module-zip.md sections 2, 4, 5 and 6.

use bytes::Bytes;
use modkeep_module::ModuleVersion;
use modkeep_store::{FetchedZip, Scratch};

use crate::error::Error;
use crate::repository::Tree;

/// Whether the root of the repository may have to lend its LICENSE (Z-20): the module is a directory below it, and
/// has no entry of that name.
pub(crate) fn wants_license(tree: &dyn Tree, dir: &str) -> bool {
    !dir.is_empty() && !tree.entries().iter().any(|entry| entry.path == b"LICENSE")
}

/// Packs the zip of a version. Blocking; deflates on several threads.
///
/// `license` is the raw blob `LICENSE` at the root of the repository, where [`wants_license`] says so (Z-21).
pub(crate) fn pack(
    tree: &dyn Tree,
    license: Option<Bytes>,
    of: &ModuleVersion,
    scratch: Scratch,
) -> Result<FetchedZip, Error> {
    let _ = (tree, license, of, scratch);
    todo!()
}
