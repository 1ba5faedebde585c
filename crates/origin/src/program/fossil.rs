//! Fossil through its program (versions-and-origins 11.4).

use std::sync::Arc;

use bytes::Bytes;

use super::workshop::Workshop;
use crate::error::Error;
use crate::repository::{Asking, Commit, Refs, Repository, Scope, Tree};

/// A Fossil repository behind its program.
pub(crate) struct FossilRepository {
    shop: Workshop,
}

impl FossilRepository {
    pub(super) fn new(shop: Workshop) -> Self {
        Self { shop }
    }
}
