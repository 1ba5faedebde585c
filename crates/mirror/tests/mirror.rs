//! Typed requests over a real store and a tree of modules.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by failing")]

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use modkeep_fetch::{Failure, Fetch, Link, Parts, Reach, unobserved};
use modkeep_mirror::{Answer, Body, CacheOutcome, Config, Mirror, Object};
use modkeep_module::Patterns;
use modkeep_module::goproxy::Request;
use modkeep_store::{Config as StoreConfig, MinFree, Store};
use modkeep_testkit::{ManualClock, ModuleWorld, names};
use modkeep_upstream::{Separator, Upstream};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

struct Rig {
    mirror: Mirror,
    world: ModuleWorld,
    folder: TempDir,
}

fn rig() -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let world = ModuleWorld::every_kind();
    world.write_tree(&folder.path().join("tree"));
    let config = StoreConfig { path: folder.path().join("data"), min_free: MinFree::Bytes(0) };
    let fetch = Fetch::new(Parts {
        store: Store::open(config, Arc::new(ManualClock::new())).unwrap(),
        chain: vec![Link::upstream(Upstream::new_tree(folder.path().join("tree")), Separator::Comma)],
        database: None,
        unchecked: Patterns::parse("*").unwrap(),
        private: Patterns::parse("").unwrap(),
        own: None,
        config: modkeep_fetch::Config::default(),
        observer: unobserved(),
        tracker: TaskTracker::new(),
        cancel: CancellationToken::new(),
    });
    Rig { mirror: Mirror::new(fetch, Config::default()), world, folder }
}

impl Rig {
    async fn ask(&self, path: &str, reach: Reach) -> Result<Answer, Failure> {
        self.mirror.answer(Request::parse(path).unwrap(), reach).await
    }
}

fn bytes(answer: &Answer) -> Vec<u8> {
    match &answer.body {
        Body::Bytes(bytes) => bytes.to_vec(),
        Body::File { file, size } => {
            let mut bytes = vec![0; usize::try_from(*size).unwrap()];
            file.read_exact_at(&mut bytes, 0).unwrap();
            bytes
        }
    }
}

#[tokio::test]
async fn every_request_has_its_object_its_tag_and_its_place_in_memory() {
    let rig = rig();
    let lower = rig.world.release(names::LOWER, "v1.0.0").clone();
    let large = rig.world.release(names::LARGE, "v1.0.0").clone();
    for (path, object, body, tag, in_bytes) in [
        ("example.com/kingfisher/reeds/@v/v1.0.0.info", Object::Info, &lower.info, "sha256-", true),
        ("example.com/kingfisher/reeds/@v/v1.0.0.mod", Object::Mod, &lower.go_mod, "h1-", true),
        ("example.com/kingfisher/reeds/@v/v1.0.0.zip", Object::Zip, &lower.zip, "h1-", true),
        (
            "example.com/kingfisher/reeds/@v/list",
            Object::List,
            &b"v1.0.0\nv1.0.1\n".to_vec(),
            "sha256-",
            true,
        ),
        ("example.com/pelican/@v/v1.0.0.zip", Object::Zip, &large.zip, "h1-", false),
    ] {
        assert!(rig.mirror.hot(path).is_none(), "{path}");
        let first = rig.ask(path, Reach::MayFetch).await.unwrap();
        assert_eq!((first.object, first.cache), (object, CacheOutcome::Miss), "{path}");
        assert!(
            first.etag.starts_with(format!("\"{tag}").as_bytes()) && first.etag.ends_with(b"\""),
            "{path}"
        );
        assert!(bytes(&first) == *body, "{path}");
        let hot = rig.mirror.hot(path).unwrap();
        assert_eq!((matches!(hot.body, Body::Bytes(_)), hot.cache), (in_bytes, CacheOutcome::Hit), "{path}");
        assert!(bytes(&hot) == *body, "{path}");
        let second = rig.ask(path, Reach::MayFetch).await.unwrap();
        assert_eq!((second.cache, &second.etag), (CacheOutcome::Hit, &first.etag), "{path}");
        assert!(bytes(&second) == *body, "{path}");
    }
}

#[tokio::test]
async fn latest_has_two_names_and_one_answer() {
    let rig = rig();
    for path in ["example.com/swift/@latest", "example.com/swift/@v/latest.info"] {
        let answer = rig.ask(path, Reach::MayFetch).await.unwrap();
        let info = modkeep_module::Info::parse(&bytes(&answer)).unwrap();
        assert_eq!(info.version().as_str(), "v1.7.0", "{path}");
    }
}

#[tokio::test]
async fn capitals_are_another_module() {
    let rig = rig();
    let upper = rig.ask("example.com/!kingfisher/!reeds/@v/v1.0.0.mod", Reach::MayFetch).await.unwrap();
    let lower = rig.ask("example.com/kingfisher/reeds/@v/v1.0.0.mod", Reach::MayFetch).await.unwrap();
    assert_ne!(bytes(&upper), bytes(&lower), "B15");
}

#[tokio::test]
async fn cached_only_lists_are_not_what_the_source_said() {
    let rig = rig();
    let path = "example.com/kingfisher/reeds/@v/list";
    rig.ask(path, Reach::MayFetch).await.unwrap();
    for kind in ["mod", "zip"] {
        let file = format!("example.com/kingfisher/reeds/@v/v1.0.1.{kind}");
        rig.ask(&file, Reach::MayFetch).await.unwrap();
    }
    std::fs::remove_dir_all(rig.folder.path().join("tree")).unwrap();
    assert_eq!(bytes(&rig.ask(path, Reach::CachedOnly).await.unwrap()), b"v1.0.1\n", "P-93");
    let hot = rig.mirror.hot(path).unwrap();
    assert_eq!(bytes(&hot), b"v1.0.0\nv1.0.1\n", "and do not take its place in memory");
}
