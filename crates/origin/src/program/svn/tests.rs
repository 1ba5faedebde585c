//! svn against repositories of the disk.

use modkeep_testkit::programs::SvnRepo;
use tempfile::TempDir;

use super::super::tests::{Rig, files, remote};
use super::*;
use crate::place::Vcs;

/// Revision 1 makes the directories, 2 and 3 fill the trunk, 4 is a tag.
fn history() -> (TempDir, SvnRepo) {
    let folder = TempDir::new().unwrap();
    let mut repo = SvnRepo::init(folder.path());
    repo.put("trunk/go.mod", "module example.com/m\n")
        .put("trunk/a & b.txt", "$Id$\n")
        .put("trunk/sub/b.go", "package b\n");
    repo.put("trunk/crlf.txt", "x\r\n").put("trunk/native.txt", "x\n").link("trunk/l", "go.mod");
    repo.property("trunk/a & b.txt", "svn:keywords", "Id").property(
        "trunk/crlf.txt",
        "svn:eol-style",
        "CRLF",
    );
    repo.property("trunk/native.txt", "svn:eol-style", "native");
    repo.commit("one").put("trunk/new.txt", "new\n").commit("two").tag("v1.0.0");
    (folder, repo)
}

#[tokio::test]
async fn revisions_are_numbers_and_tags_no_versions() {
    let (_folder, repo) = history();
    let rig = Rig::new(&[]);
    let svn = rig.open(Vcs::Svn, remote(&format!("{}/trunk", repo.url()))).unwrap();
    for (name, id, reference) in [
        ("2", "2", Some("2")),
        ("3", "3", Some("3")),
        ("4", "3", Some("4")), // the trunk's last change
        ("000000000002", "2", Some("000000000002")),
        ("HEAD", "3", Some("HEAD")),
    ] {
        let commit = svn.resolve(name).await.unwrap();
        assert_eq!(
            (&*commit.id, &*commit.resolved, commit.reference.as_deref()),
            (id, id, reference),
            "{name}"
        );
        assert_eq!(*commit.short, format!("{id:0>12}"));
    }
    assert_eq!(svn.tip().await.unwrap().time.to_string(), "2024-01-02T05:04:05Z");
    let refs = svn.refs(Scope::All).await.unwrap();
    assert_eq!(refs.tags.keys().map(|tag| &**tag).collect::<Vec<_>>(), ["refs/tags/v1.0.0/"]);
    assert_eq!(svn.ancestor_tags("3").await.unwrap(), None);
    for name in ["99", "{2020-01-01}", "r2", "PREV", "BASE", "--config-dir=x", "2:3", ""] {
        let error = svn.resolve(name).await.unwrap_err();
        assert_eq!(error.to_string(), format!("unknown revision {name}"));
    }
}

#[tokio::test]
async fn trees_are_exported_as_the_go_command_does() {
    let (_folder, repo) = history();
    let rig = Rig::new(&[]);
    let svn = rig.open(Vcs::Svn, remote(&format!("{}/trunk", repo.url()))).unwrap();
    assert_eq!(svn.file("2", "go.mod").await.unwrap().unwrap(), "module example.com/m\n");
    assert_eq!(svn.file("2", "new.txt").await.unwrap(), None);
    assert_eq!(svn.file("2", "sub").await.unwrap(), None);
    let tree = svn.tree("2", "").await.unwrap().unwrap();
    let found = files(&*tree);
    let told: Vec<(&str, &str)> = found.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(
        told,
        [
            ("a & b.txt", "$Id$\n"),
            ("crlf.txt", "x\r\n"),
            ("go.mod", "module example.com/m\n"),
            ("l", "Symlink"),
            ("native.txt", "x\n"),
            ("sub/b.go", "package b\n"),
        ]
    );
    let scraps = rig.folder.path().join(TEMPORARY);
    assert_eq!(fs::read_dir(&scraps).unwrap().count(), 1);
    drop(tree);
    assert_eq!(fs::read_dir(&scraps).unwrap().count(), 0, "nothing stays");
    assert_eq!(
        files(&*svn.tree("3", "sub").await.unwrap().unwrap()),
        [("b.go".into(), "package b\n".into())]
    );
    assert!(svn.tree("3", "none").await.unwrap().is_none());
}

#[tokio::test]
async fn a_server_that_is_gone_is_trouble_and_no_empty_list() {
    let (folder, repo) = history();
    let rig = Rig::new(&[]);
    let svn = rig.open(Vcs::Svn, remote(&format!("{}/trunk", repo.url()))).unwrap();
    drop(folder);
    assert!(matches!(svn.refs(Scope::Tags).await, Err(Error::Trouble { .. })));
    assert!(matches!(svn.resolve("2").await, Err(Error::Trouble { .. })));
    assert!(matches!(svn.file("2", "go.mod").await, Err(Error::Trouble { .. })));
}
