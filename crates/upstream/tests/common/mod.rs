//! What both test binaries need: a small world, a store, an egress that knows the test's servers.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, missing_docs, reason = "each binary uses its part")]

use std::sync::Arc;
use std::time::Duration;

use modkeep_egress::{Config, Egress, HostPort};
use modkeep_module::{ModulePath, ModuleVersion, Version};
use modkeep_store::{MinFree, Scratch, Store, SystemClock};
use modkeep_testkit::{ModuleWorld, Upstream as Server};
use modkeep_upstream::Patience;

pub(crate) const MODULE: &str = "example.com/Fish";

pub(crate) fn world() -> ModuleWorld {
    let mut world = ModuleWorld::new();
    world.add_library(MODULE, "v1.0.0");
    world.add_library(MODULE, "v1.1.0");
    world
}

pub(crate) fn module() -> ModulePath {
    ModulePath::parse(MODULE).unwrap()
}

pub(crate) fn version(text: &str) -> ModuleVersion {
    ModuleVersion::new(module(), Version::parse(text).unwrap()).unwrap()
}

/// Short waits, so that a stalled server does not stall the tests.
pub(crate) fn patience() -> Patience {
    Patience {
        head: Duration::from_millis(500),
        small: Duration::from_millis(1_500),
        zip: Duration::from_millis(1_500),
        silence: Duration::from_millis(300),
    }
}

pub(crate) fn egress(servers: &[&Server]) -> Egress {
    let named = servers.iter().map(|server| HostPort::parse(&server.host()).unwrap()).collect();
    Egress::new(Config { named, ..Config::default() }).unwrap()
}

/// A store in a folder of its own.
pub(crate) struct Disk {
    pub(crate) store: Store,
    folder: tempfile::TempDir,
}

impl Disk {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = modkeep_store::Config { path: folder.path().to_owned(), min_free: MinFree::Bytes(0) };
        Self { store: Store::open(config, Arc::new(SystemClock)).unwrap(), folder }
    }

    pub(crate) fn scratch(&self) -> Scratch {
        self.store.scratch().unwrap()
    }

    /// How many files there are in the data directory.
    pub(crate) fn files(&self) -> usize {
        fn count(folder: &std::path::Path) -> usize {
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
        }
        count(self.folder.path())
    }
}
