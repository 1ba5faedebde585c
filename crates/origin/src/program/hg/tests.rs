//! hg against the repositories of `hg serve` and of the disk.

use std::fs;

use modkeep_testkit::programs::HgRepo;
use tempfile::TempDir;

use super::super::tests::{Rig, files, local, remote};
use super::*;
use crate::place::{Remote, Vcs};

struct Here {
    rig: Rig,
    repo: HgRepo,
    _folder: TempDir,
}

/// `v0.1.0` - `v0.2.0` - tip on default, `dev` beside it.
fn history() -> Here {
    let folder = TempDir::new().unwrap();
    let mut repo = HgRepo::init(&folder.path().join("r"));
    repo.put("go.mod", "module example.com/m\n")
        .put("a.txt", "one\r\n")
        .put("sub/b.go", "package b\n")
        .link("l", "a.txt");
    repo.commit("one").tag("v0.1.0");
    repo.branch("dev").put("dev.txt", "dev\n").commit("dev");
    repo.switch("default").put("a.txt", "two\n").commit("two").tag("v0.2.0").bookmark("mark");
    Here { rig: Rig::new(&[]), repo, _folder: folder }
}

impl Here {
    fn open(&self) -> Box<dyn Repository> {
        self.rig.open(Vcs::Hg, local(self.repo.path())).unwrap()
    }
}

#[tokio::test]
async fn names_mean_changesets() {
    let here = history();
    let hg = here.open();
    for (name, resolved, reference) in [
        ("v0.1.0", "v0.1.0", Some("v0.1.0")),
        ("mark", "mark", Some("mark")),
        ("dev", &*here.repo.id("dev"), Some("dev")),
        ("tip", &here.repo.id("tip"), Some("tip")),
        (&here.repo.id("v0.1.0")[..12], &here.repo.id("v0.1.0"), None),
    ] {
        let commit = hg.resolve(name).await.unwrap();
        assert_eq!(*commit.id, here.repo.id(name), "{name}");
        assert_eq!((&*commit.resolved, commit.reference.as_deref()), (resolved, reference), "{name}");
    }
    let first = hg.resolve("v0.1.0").await.unwrap();
    assert_eq!(first.tags.iter().map(|tag| &**tag).collect::<Vec<_>>(), ["v0.1.0"]);
    assert_eq!((first.time.to_string().as_str(), &*first.short), ("2024-01-02T03:04:05Z", &first.id[..12]));
    assert_eq!(*hg.tip().await.unwrap().id, here.repo.id("tip"));
    let refs = hg.refs(Scope::All).await.unwrap();
    assert_eq!(
        refs.tags.keys().map(|tag| &**tag).collect::<Vec<_>>(),
        ["refs/tags/v0.1.0", "refs/tags/v0.2.0"]
    );
    assert_eq!(refs.tags["refs/tags/v0.1.0"], first.id);
    assert!(hg.repo_sum().await.unwrap().unwrap().starts_with("r1:"));
}

#[tokio::test]
async fn history_and_files_are_told() {
    let here = history();
    let hg = here.open();
    let (first, dev) = (hg.resolve("v0.1.0").await.unwrap(), hg.resolve("dev").await.unwrap());
    let mut tags = hg.ancestor_tags(&hg.tip().await.unwrap().id).await.unwrap().unwrap();
    tags.sort();
    assert_eq!(tags.iter().map(|tag| &**tag).collect::<Vec<_>>(), ["v0.1.0", "v0.2.0"]);
    assert_eq!(hg.descends_from(&dev.id, "v0.1.0").await.unwrap(), Some(true));
    assert_eq!(hg.descends_from(&dev.id, "v0.2.0").await.unwrap(), Some(false));
    assert_eq!(hg.file(&first.id, "a.txt").await.unwrap().unwrap(), "one\r\n");
    assert_eq!(hg.file(&first.id, "sub").await.unwrap(), None);
    assert_eq!(hg.file(&first.id, "none").await.unwrap(), None);
    let tree = hg.tree(&first.id, "").await.unwrap().unwrap();
    let found: Vec<(String, String)> = files(&*tree);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a.txt", "go.mod", "l", "sub/b.go"]);
    assert_eq!((found[0].1.as_str(), found[2].1.as_str()), ("one\r\n", "Symlink"));
    let sub = hg.tree(&first.id, "sub").await.unwrap().unwrap();
    assert_eq!(files(&*sub), [("b.go".to_owned(), "package b\n".to_owned())]);
    assert!(hg.tree(&first.id, "none").await.unwrap().is_none());
}

#[tokio::test]
async fn a_server_is_pulled_again_when_its_refs_are_old() {
    let mut here = history();
    let server = here.repo.serve();
    let rig = Rig::new(&[server.host()]);
    let hg = rig.open(Vcs::Hg, remote(server.url())).unwrap();
    let old = hg.tip().await.unwrap();
    assert_eq!(*old.id, here.repo.id("tip"));
    here.repo.put("new.txt", "new\n").commit("new");
    assert_eq!(hg.tip().await.unwrap().id, old.id);
    rig.clock.advance(std::time::Duration::from_secs(61));
    assert_eq!(*hg.tip().await.unwrap().id, here.repo.id("tip"));
    drop(server);
    rig.clock.advance(std::time::Duration::from_secs(61));
    assert!(matches!(hg.refs(Scope::Tags).await, Err(Error::Trouble { .. })));
    assert!(hg.resolve("v0.1.0").await.is_ok(), "what is here needs no server");
}

#[tokio::test]
async fn an_insecure_host_is_pulled_from_too() {
    let here = history();
    let server = here.repo.serve();
    let rig = Rig::new(&[server.host()]);
    let hg = rig.open(Vcs::Hg, Remote { insecure: true, ..remote(server.url()) }).unwrap();
    assert_eq!(*hg.tip().await.unwrap().id, here.repo.id("tip"));
}

#[tokio::test]
async fn hostile_c25_names_are_literal_and_sub_repositories_never_visited() {
    let here = history();
    let canary = here.rig.folder.path().join("c25-canary");
    // Names that mean something as an expression or an option, asked for where nobody has them.
    let meaning =
        ["ancestors(tip)", "all()", "tip^", "tip~1", "v0.1.0::tip", "--config=alias.log=!id", "-1", "x or y"];
    for name in meaning {
        let error = here.open().resolve(name).await.unwrap_err();
        assert_eq!(error.to_string(), format!("unknown revision {name}"));
    }
    // And as bookmarks that are there: a name is the name, or nothing, but never what it would mean.
    let first = here.repo.id("0");
    for name in ["ancestors(tip)", "tip^", "tip~1", "x or y"] {
        here.repo.hg(&["bookmark", "-f", "-i", "-r", "0", "--", name]);
        if let Ok(commit) = here.open().resolve(name).await {
            assert_eq!(*commit.id, first, "{name}");
        }
    }
    for name in [".", "null", "000000000000", "", "a\"b", "a\\b", "file('*')"] {
        assert!(here.open().resolve(name).await.is_err(), "{name}");
    }
    // A sub-repository of git, whose visit would leave traces: a clone of a URL that is a program. It comes in a patch,
    // because hg itself would look at it before a commit.
    let patch = here.rig.folder.path().join("sub.patch");
    let added = |name: &str, line: &str| {
        format!(
            "diff --git a/{name} b/{name}\nnew file mode 100644\n--- /dev/null\n+++ b/{name}\n@@ -0,0 +1,1 @@\n+{line}\n"
        )
    };
    let source = format!("evil = [git]ext::sh -c touch% {}", canary.display());
    let state = format!("{} evil", "1".repeat(40));
    let text =
        format!("# HG changeset patch\nsub\n\n{}{}", added(".hgsub", &source), added(".hgsubstate", &state));
    fs::write(&patch, text).unwrap();
    here.repo.hg(&["update", "-q", "default"]);
    here.repo.hg(&["import", "-q", "--bypass", "--user", "a", patch.to_str().unwrap()]);
    let rig = Rig::new(&[]);
    let hg = rig.open(Vcs::Hg, local(here.repo.path())).unwrap();
    let tip = hg.tip().await.unwrap();
    assert!(hg.file(&tip.id, "go.mod").await.unwrap().is_some());
    assert_eq!(hg.file(&tip.id, ".hgsub").await.unwrap().unwrap(), format!("{source}\n"));
    let _ = hg.file(&tip.id, "evil/x").await; // nothing or an error, and no visit
    let tree = hg.tree(&tip.id, "").await.unwrap().unwrap();
    assert!(files(&*tree).iter().all(|(name, _)| !name.starts_with("evil")));
    assert!(!canary.exists());
}
