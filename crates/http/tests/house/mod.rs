//! A whole house in a temporary directory: a store, a tree of generated modules as its one source, the faces, the
//! service.

use modkeep_fetch::{Fetch, Link, Parts};
use modkeep_http::{Announcement, Config, Faces, Service};
use modkeep_module::Patterns;
use modkeep_store::{MinFree, Store, SystemClock};
use modkeep_testkit::ModuleWorld;
use modkeep_testkit::kinds::noise;
use modkeep_upstream::{Separator, Upstream};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The address that the service believes to have.
pub(crate) const BASE: &str = "https://mirror.example";
/// A module whose `.mod` is large enough to be compressed.
pub(crate) const WIDE: &str = "example.com/wide";
/// A module with a zip of more than a megabyte.
pub(crate) const LARGE: &str = "example.com/large";

/// The house; dropped, everything in it is gone.
pub(crate) struct House {
    /// What is served.
    pub(crate) service: Service,
    /// What the source holds.
    pub(crate) world: ModuleWorld,
    _folder: TempDir,
}

impl House {
    /// Builds it. Answers wait on this runtime, or on the caller's.
    pub(crate) fn build(runtime: Option<Handle>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        let world = world();
        world.write_tree(&tree);
        let config = modkeep_store::Config { path: folder.path().join("data"), min_free: MinFree::Bytes(0) };
        let store = Store::open(config, Arc::new(SystemClock)).unwrap();
        let fetch = Fetch::new(Parts {
            store: store.clone(),
            chain: vec![Link::upstream(Upstream::new_tree(tree), Separator::Comma)],
            database: None,
            unchecked: Patterns::lenient("*"),
            private: Patterns::lenient(""),
            own: None,
            config: modkeep_fetch::Config::default(),
            observer: modkeep_fetch::unobserved(),
            tracker: TaskTracker::new(),
            cancel: CancellationToken::new(),
        });
        let tool = Announcement {
            prefix: "go.corp.example/tool".into(),
            vcs: "git".into(),
            url: "https://code.corp.example/<tool>".into(),
            subdirectory: "go".into(),
        };
        let config = Config { public_url: BASE.into(), announced: vec![tool], runtime, ..Config::default() };
        Self { service: Service::new(Faces::new(fetch, store), config), world, _folder: folder }
    }
}

fn world() -> ModuleWorld {
    let mut world = ModuleWorld::new();
    world.add_library("example.com/bird", "v1.0.0");
    world.add_library("example.com/bird", "v1.1.0");
    world.add_library("example.com/Azure/sdk", "v0.1.0");
    let requires: Vec<String> =
        (0..100).map(|at| format!("\texample.com/dependency-{at} v1.{at}.0\n")).collect();
    let requires = requires.concat();
    let go_mod = format!("module {WIDE}\n\ngo 1.21\n\nrequire (\n{requires})\n");
    world.add(WIDE, "v1.0.0", &[("go.mod", go_mod.as_bytes()), ("wide.go", b"package wide\n")]);
    let beak = noise(1 << 20);
    let go_mod = format!("module {LARGE}\n\ngo 1.21\n");
    world.add(LARGE, "v1.0.0", &[("go.mod", go_mod.as_bytes()), ("beak.bin", &beak)]);
    world
}
