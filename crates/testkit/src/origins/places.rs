//! How a path leads to a repository.

use super::{Sample, go_mod};
use crate::git::GitRepo;

#[expect(clippy::too_many_lines, reason = "a table is as long as it is")]
pub(super) fn all() -> Vec<Sample> {
    vec![
        Sample::at("vanity.example/fish", "V-10 V-17", |r| vanity(r, "vanity.example/fish"))
            .placed("github.com/w/vanityfish")
            .import("vanity.example/fish", &["vanity.example/fish git https://github.com/w/vanityfish"])
            .path("v2"),
        Sample::at("vanity.example/tree", "V-18: the leaf and the root agree", |r| {
            r.put("go.mod", go_mod("vanity.example/tree"))
                .put("sub/go.mod", go_mod("vanity.example/tree/sub"));
            r.commit("one").tags(&["v1.0.0", "sub/v1.0.0"]);
        })
        .placed("github.com/w/vanitytree")
        .import("vanity.example/tree", &["vanity.example/tree git https://github.com/w/vanitytree"])
        .import("vanity.example/tree/sub", &["vanity.example/tree git https://github.com/w/vanitytree"])
        .import("vanity.example/tree/v2", &["vanity.example/tree git https://github.com/w/vanitytree"]),
        Sample::at("vanity.example/liar", "V-18: the leaf and the root disagree", |r| {
            vanity(r, "vanity.example/liar");
        })
        .placed("github.com/w/vanityliar")
        .import("vanity.example/liar", &["vanity.example/liar git https://github.com/w/vanityliar"])
        .import("vanity.example/liar/sub", &["vanity.example/liar git https://github.com/w/vanityfish"])
        .import("vanity.example/liar/v2", &["vanity.example/liar git https://github.com/w/vanityliar"])
        .path("sub"),
        Sample::at("vanity.example/many", "V-15 V-17: tags for others and tags too short", |r| {
            vanity(r, "vanity.example/many");
        })
        .placed("github.com/w/vanitymany")
        .import(
            "vanity.example/many",
            &[
                "vanity.example/other git https://github.com/w/vanityfish",
                "vanity.example/many git",
                "vanity.example/many git https://github.com/w/vanitymany",
            ],
        )
        .path("v2"),
        Sample::at("vanity.example/twice", "V-17: two tags match", |r| vanity(r, "vanity.example/twice"))
            .placed("github.com/w/vanitytwice")
            .import(
                "vanity.example/twice",
                &[
                    "vanity.example/twice git https://github.com/w/vanitytwice",
                    "vanity.example/twice git https://github.com/w/vanityfish",
                ],
            ),
        Sample::at("vanity.example/bzr", "V-20: a system that nobody knows", |r| {
            vanity(r, "vanity.example/bzr");
        })
        .placed("github.com/w/vanitybzr")
        .import("vanity.example/bzr", &["vanity.example/bzr bzr https://github.com/w/vanitybzr"]),
        Sample::at("vanity.example/deep", "V-33: the fourth field", |r| {
            r.put("foo/sub/go.mod", go_mod("vanity.example/deep")).put("foo/sub/a.go", "package a\n");
            r.put("LICENSE", "free\n").commit("one").tags(&["v0.9.0", "foo/sub/v1.0.0"]);
            r.put("foo/sub/go.mod", go_mod("vanity.example/deep/v2")).commit("two").tag("foo/sub/v2.0.0");
            r.put("foo/sub/b.go", "package a\n").commit("three");
        })
        .placed("github.com/w/vanitydeep")
        .subdirectory("foo/sub")
        .import("vanity.example/deep", &["vanity.example/deep git https://github.com/w/vanitydeep foo/sub"])
        .import(
            "vanity.example/deep/v2",
            &["vanity.example/deep git https://github.com/w/vanitydeep foo/sub"],
        ),
        Sample::at("gopkg.in/thing.v2", "V-31 V-41: majors after a dot", |r| {
            r.put("a.go", "package thing\n").commit("one").tags(&["v1.0.0", "v2.0.0", "v2.1.0"]);
            r.put("go.mod", go_mod("gopkg.in/thing.v2")).commit("two").tag("v2.2.0");
            r.put("go.mod", go_mod("gopkg.in/thing.v3")).commit("three").tags(&["v2.3.0", "v3.0.0"]);
        })
        .import("gopkg.in/thing.v2", &["gopkg.in/thing.v2 git https://gopkg.in/thing.v2"]),
        Sample::at("gopkg.in/old.v1", "V-65: both old forms of pseudo-versions", |r| {
            r.put("a.go", "package old\n").commit("one").put("b.go", "package old\n").commit("two");
        })
        .import("gopkg.in/old.v1", &["gopkg.in/old.v1 git https://gopkg.in/old.v1"]),
        Sample::at("gopkg.in/wild.v2-unstable", "V-41: unstable has no list", |r| {
            r.put("a.go", "package wild\n")
                .commit("one")
                .tags(&["v2.0.0", "v2.1.0"])
                .put("b.go", "package wild\n");
            r.commit("two");
        })
        .import(
            "gopkg.in/wild.v2-unstable",
            &["gopkg.in/wild.v2-unstable git https://gopkg.in/wild.v2-unstable"],
        ),
        Sample::at("code.example/deep/er/thing.git", "V-3: the system is in the path", |r| {
            r.put("go.mod", go_mod("code.example/deep/er/thing.git")).commit("one").tag("v1.0.0");
            r.put("sub/go.mod", go_mod("code.example/deep/er/thing.git/sub")).commit("two").tag("sub/v1.0.0");
        })
        .placed("code.example/deep/er/thing"),
        Sample::at("bitbucket.org/ann/fish", "V-1: another host of the table", |r| {
            vanity(r, "bitbucket.org/ann/fish");
        }),
    ]
}

/// A module with two versions and a commit after them.
fn vanity(r: &mut GitRepo, path: &str) {
    r.put("go.mod", go_mod(path)).commit("one").tag("v1.0.0").put("a.go", "package a\n").commit("two");
    r.tag("v1.1.0").put("b.go", "package a\n").commit("three");
}
