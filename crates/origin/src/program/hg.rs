//! Mercurial through its program (versions-and-origins 11.2).

use std::sync::Arc;

use bytes::Bytes;

use super::workshop::Workshop;
use crate::error::Error;
use crate::repository::{Asking, Commit, Refs, Repository, Scope, Tree};

/// A Mercurial repository behind its program.
pub(crate) struct HgRepository {
    shop: Workshop,
}

impl HgRepository {
    pub(super) fn new(shop: Workshop) -> Self {
        Self { shop }
    }
}
