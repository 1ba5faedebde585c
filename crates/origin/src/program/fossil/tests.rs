//! fossil against its own server and the disk.

use modkeep_testkit::programs::FossilRepo;
use tempfile::TempDir;

use super::super::tests::{Rig, files, remote};
use super::*;
use crate::place::Vcs;

fn history() -> (TempDir, FossilRepo) {
    let folder = TempDir::new().unwrap();
    let mut repo = FossilRepo::init(folder.path());
    repo.put("go.mod", "module example.com/m\n")
        .put("a.txt", "one\n")
        .put("sub/b.go", "package b\n")
        .commit("one");
    repo.tag("v1.0.0").put("a.txt", "two\n").commit("two");
    (folder, repo)
}

#[tokio::test]
async fn a_server_is_cloned_and_its_check_ins_told() {
    let (_folder, mut repo) = history();
    let server = repo.serve();
    let rig = Rig::new(&[server.host()]);
    let fossil = rig.open(Vcs::Fossil, remote(server.url())).unwrap();
    let tip = fossil.tip().await.unwrap();
    assert_eq!((&*tip.id, tip.time.to_string().as_str()), (&*repo.id("trunk"), "2024-01-02T05:04:05Z"));
    assert_eq!((&*tip.resolved, tip.reference.as_deref()), ("trunk", Some("trunk")));
    let by_hash = fossil.resolve(&tip.id[..12]).await.unwrap();
    assert_eq!((&by_hash.id, &by_hash.resolved, by_hash.reference), (&tip.id, &tip.id, None));
    let tagged = fossil.resolve("v1.0.0").await.unwrap();
    assert_eq!(*tagged.id, repo.id("v1.0.0"));
    assert_eq!(*fossil.refs(Scope::All).await.unwrap(), Refs::default());
    for name in
        ["nope", "2024-01-02", "current", "next", "tag:v1.0.0", "root:trunk", "--help", "-R", "", "a b"]
    {
        let error = fossil.resolve(name).await.unwrap_err();
        assert_eq!(error.to_string(), format!("unknown revision {name}"));
    }
    repo.put("new.txt", "new\n").commit("three");
    assert_eq!(fossil.tip().await.unwrap().id, tip.id);
    rig.clock.advance(std::time::Duration::from_secs(61));
    assert_eq!(*fossil.tip().await.unwrap().id, repo.id("trunk"));
    drop(server);
    rig.clock.advance(std::time::Duration::from_secs(61));
    let gone = fossil.tip().await;
    assert!(matches!(gone, Err(Error::Trouble { .. })), "{gone:?}");
    assert!(fossil.resolve(&tip.id).await.is_ok(), "what is here needs no server");
}

#[tokio::test]
async fn files_and_trees_are_told() {
    let (_folder, repo) = history();
    let server = repo.serve();
    let rig = Rig::new(&[server.host()]);
    let fossil = rig.open(Vcs::Fossil, remote(server.url())).unwrap();
    let first = fossil.resolve("v1.0.0").await.unwrap();
    assert_eq!(fossil.file(&first.id, "a.txt").await.unwrap().unwrap(), "one\n");
    assert_eq!(fossil.file(&first.id, "none").await.unwrap(), None);
    assert_eq!(fossil.file(&first.id, "sub").await.unwrap(), None);
    let found = files(&*fossil.tree(&first.id, "").await.unwrap().unwrap());
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["a.txt", "go.mod", "sub", "sub/b.go"],
        "a directory is an entry too, and dropped later"
    );
    // Of a directory nothing, as the go command has it.
    assert!(fossil.tree(&first.id, "sub").await.unwrap().unwrap().entries().is_empty());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_trouble() {
    let (_folder, repo) = history();
    let server = repo.serve();
    let url = server.url().to_owned();
    let rig = Rig::new(&[server.host()]);
    drop(server);
    let fossil = rig.open(Vcs::Fossil, remote(&url)).unwrap();
    let gone = fossil.refs(Scope::All).await;
    assert!(matches!(gone, Err(Error::Trouble { .. })), "{gone:?}");
    assert!(!rig.folder.path().join(CLONE).exists(), "half a clone is none");
}
