//! Subversion through its program (versions-and-origins 11.3).

use std::sync::Arc;

use bytes::Bytes;

use super::workshop::Workshop;
use crate::error::Error;
use crate::repository::{Asking, Commit, Refs, Repository, Scope, Tree};

/// A Subversion repository behind its program.
pub(crate) struct SvnRepository {
    shop: Workshop,
}

impl SvnRepository {
    pub(super) fn new(shop: Workshop) -> Self {
        Self { shop }
    }
}
