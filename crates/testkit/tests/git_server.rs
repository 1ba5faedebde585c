//! The git server is real: the real git clones from it in every way that it can.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what failed by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use modkeep_testkit::git::{Fault, Kind};
use modkeep_testkit::{GitServer, git};

/// `github.com/ann/fish` with two commits, two tags and a branch; its ids are the same everywhere.
fn fish(server: &GitServer) {
    let mut fish = server.repository("github.com/ann/fish");
    fish.put("go.mod", "module github.com/ann/fish\n").commit("begin").tag("v1.0.0");
    fish.branch("next").put("fish.go", "package fish\n").exec("run.sh", "#!/bin/sh\n").link("l", "run.sh");
    fish.submodule("sub", "0123456789012345678901234567890123456789").commit("grow").annotated("v1.1.0");
    fish.switch("main").merge("next").save();
}

fn git(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("git");
    command.current_dir(folder).env("GIT_TERMINAL_PROMPT", "0").env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.args(arguments).output().unwrap()
}

fn clone(server: &GitServer, more: &[&str]) -> (Output, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{}/github.com/ann/fish", server.url());
    let output = git(folder.path(), &[&["clone", "-q", "--bare"], more, &[&url, "fish"]].concat());
    (output, folder)
}

#[test]
fn the_same_script_gives_the_same_ids() {
    let server = GitServer::start(Kind::Full);
    fish(&server);
    let folder = server.folder().join("github.com/ann/fish");
    let refs = git(&folder, &["for-each-ref", "--format=%(objectname) %(objecttype) %(refname)"]);
    let told = String::from_utf8(refs.stdout).unwrap();
    assert_eq!(
        told,
        "efefb8a6722ce1d1f99d84bae102430f6024a8dc commit refs/heads/main\n\
         a3e6bfbd239d16348dddc7f067bd8f6ef09d2e2f commit refs/heads/next\n\
         c2512655a9a2fc0d6e84d4bec76c2de28e8729cd commit refs/tags/v1.0.0\n\
         1b4f381329ee84e087ef64c4d84990a9054e09dd tag refs/tags/v1.1.0\n"
    );
    let date = git(&folder, &["log", "-1", "--format=%ct", "v1.0.0"]);
    assert_eq!(String::from_utf8(date.stdout).unwrap().trim(), git::FIRST_DATE.to_string());
}

#[test]
fn git_clones_from_every_kind_of_server() {
    for kind in [Kind::Full, Kind::FewFilters, Kind::NoFilter, Kind::V1, Kind::V0, Kind::Dumb] {
        let server = GitServer::start(kind);
        fish(&server);
        let (cloned, folder) = clone(&server, &[]);
        assert!(cloned.status.success(), "{kind:?}: {cloned:?}\n{}", server.told());
        let tags = git(&folder.path().join("fish"), &["tag"]);
        assert_eq!(tags.stdout, b"v1.0.0\nv1.1.0\n", "{kind:?}");
        let v2 = server.asked().iter().any(|asked| asked.command() == Some("fetch"));
        assert_eq!(
            v2,
            matches!(kind, Kind::Full | Kind::FewFilters | Kind::NoFilter),
            "{kind:?}\n{}",
            server.told()
        );
        assert!(server.cost().bytes_out > 500, "{kind:?}\n{}", server.told());
    }
}

#[test]
fn filters_are_there_or_not() {
    for (kind, blobs) in [(Kind::Full, false), (Kind::FewFilters, false), (Kind::NoFilter, true)] {
        let server = GitServer::start(kind);
        fish(&server);
        let (cloned, folder) = clone(&server, &["--filter=blob:none"]);
        assert!(cloned.status.success(), "{kind:?}: {cloned:?}");
        let missing =
            git(&folder.path().join("fish"), &["rev-list", "--objects", "--all", "--missing=print"]);
        let missing = String::from_utf8(missing.stdout).unwrap().contains('?');
        assert_eq!(missing, !blobs, "{kind:?}\n{}", server.told());
    }
}

#[test]
fn a_large_question_may_come_compressed() {
    let server = GitServer::start(Kind::V0);
    let mut many = server.repository("many");
    for n in 0..60 {
        many.put("n", n.to_string()).commit("more").tag(&format!("v0.0.{n}"));
    }
    many.save();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{}/many", server.url());
    let cloned = git(folder.path(), &["clone", "-q", "--bare", &url]);
    assert!(cloned.status.success(), "{cloned:?}");
    let compressed = server.asked().into_iter().find(|a| a.header("content-encoding") == Some("gzip"));
    let asked = compressed.expect("60 wants are worth compressing");
    assert!(asked.text().contains("want ") && asked.bytes_in < asked.body.len() as u64);
}

#[test]
fn a_login_is_asked_for() {
    let server = GitServer::start(Kind::Full);
    fish(&server);
    server.require_login("ann", "s3cret pass");
    let (refused, _) = clone(&server, &[]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("could not read Username"), "{refused:?}");
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://ann:s3cret%20pass@{}/github.com/ann/fish", server.host());
    let cloned = git(folder.path(), &["clone", "-q", "--bare", &url]);
    assert!(cloned.status.success(), "{cloned:?}");
}

#[test]
fn faults_come_to_order_and_end() {
    let server = GitServer::start(Kind::Full);
    fish(&server);
    let retry = vec![("Retry-After".to_owned(), "7".to_owned())];
    for (on, fault, said) in [
        ("info/refs", Fault::Hangup, "Empty reply"),
        ("info/refs", Fault::Status(429, retry), "429"),
        ("upload-pack", Fault::Half, ""),
        ("info/refs", Fault::Instead(b"001e# service=git-upload-pack\n0000zzzz".to_vec()), ""),
    ] {
        server.fault(on, fault.clone());
        let (failed, _) = clone(&server, &[]);
        let text = String::from_utf8_lossy(&failed.stderr);
        assert!(!failed.status.success() && text.contains(said), "{fault:?}: {text}");
        server.mend();
    }
    let (cloned, _) = clone(&server, &[]);
    assert!(cloned.status.success(), "{cloned:?}");
}

#[test]
fn stopped_it_refuses_and_resumed_it_answers() {
    let mut server = GitServer::start(Kind::Full);
    fish(&server);
    server.stop();
    assert!(!clone(&server, &[]).0.status.success());
    server.resume();
    assert!(clone(&server, &[]).0.status.success());
}

#[test]
fn a_repository_of_longer_ids() {
    let server = GitServer::start(Kind::Full);
    let mut long = server.repository_sha256("long");
    long.put("go.mod", "module example.com/long\n").commit("begin").tag("v1.0.0");
    assert_eq!(long.id("v1.0.0").len(), 64);
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{}/long", server.url());
    assert!(git(folder.path(), &["clone", "-q", "--bare", &url]).status.success());
}
