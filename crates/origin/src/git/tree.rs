//! The files below a directory of one commit, as `git archive` gives them.

use std::sync::Arc;

use crate::error::Error;
use crate::repository::{Entry, Tree};

/// What an object is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ObjectKind {
    Commit,
    Tree,
    Blob,
    Tag,
}

/// Where objects are read from.
pub(crate) trait ObjectSource: Send + Sync {
    /// An object by its id in hex.
    fn read(&self, id: &str) -> Result<(ObjectKind, Vec<u8>), Error>;
    /// The size of a blob, in bytes.
    fn size(&self, id: &str) -> Result<u64, Error>;
}

/// Why there is no tree.
#[derive(Clone, Debug)]
pub(crate) enum TreeError {
    /// The git program has to do it: what of the attributes we do not convert exactly.
    Declined {
        /// Such as `working-tree-encoding=SHIFT-JIS`.
        what: String,
    },
    /// It cannot be had.
    Failed(Error),
}

/// The files below a directory of one commit.
pub(crate) struct GitTree {
    entries: Vec<Entry>,
}

impl GitTree {
    /// Walks the tree `root` (an id in hex) for the files below `dir`. `None`: there is no such directory (Z-15).
    pub(crate) fn open(
        objects: Arc<dyn ObjectSource>,
        root: &str,
        dir: &str,
    ) -> Result<Option<Self>, TreeError> {
        let _ = (objects, root, dir);
        todo!()
    }
}

impl Tree for GitTree {
    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&self, entry: usize) -> Result<Vec<u8>, Error> {
        let _ = entry;
        todo!()
    }
}
