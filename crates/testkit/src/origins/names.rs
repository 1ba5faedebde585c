//! Tags, branches, commits and pseudo-versions.

use super::{Sample, go_mod};
use crate::git::GitRepo;

#[expect(clippy::too_many_lines, reason = "a table is as long as it is")]
pub(super) fn all() -> Vec<Sample> {
    vec![
        Sample::new("plain", "V-40 V-50 V-52 V-60", |r| {
            r.put("go.mod", go_mod("github.com/w/plain")).put("a.go", "package plain\n");
            r.commit("one").tag("v1.0.0").put("b.go", "package plain\n").commit("two").annotated("v1.1.0");
            r.put("c.go", "package plain\n").commit("three").branch("dev").put("d.go", "package plain\n");
            r.commit("four").switch("main").put("e.go", "package plain\n").commit("five");
        }),
        Sample::new("bare", "V-80: no go.mod at all", |r| {
            r.put("a.go", "package bare\n")
                .commit("one")
                .tag("v1.0.0")
                .put("b.go", "package bare\n")
                .commit("two");
        }),
        Sample::new("short", "V-40: tags that are no canonical versions", |r| {
            r.put("go.mod", go_mod("github.com/w/short")).commit("one");
            r.tags(&[
                "v1",
                "v1.2",
                "1.0.0",
                "v01.2.3",
                "v1.2.3-01",
                "v1.0.0+meta",
                "release-1",
                "V1.0.0",
                "v1.0.x",
            ]);
            r.put("a.go", "package short\n").commit("two").tag("v1.3.0-rc.1").put("b.go", "package short\n");
            r.commit("three");
        }),
        Sample::new("pseudotag", "V-40: a tag that looks like a pseudo-version", |r| {
            r.put("go.mod", go_mod("github.com/w/pseudotag")).commit("one");
            r.tags(&["v0.0.0-20180101000000-abcdefabcdef", "v1.0.1-0.20180101000000-abcdefabcdef"]);
            r.put("a.go", "package pseudotag\n").commit("two");
        }),
        Sample::new("subpseudotag", "V-66: such a tag in a folder", |r| {
            r.put("sub/go.mod", go_mod("github.com/w/subpseudotag/sub")).commit("one");
            r.tag("sub/v0.0.0-20180101000000-abcdefabcdef").put("sub/a.go", "package sub\n").commit("two");
        }),
        Sample::new("prereleases", "P-42: only pre-releases", |r| {
            r.put("go.mod", go_mod("github.com/w/prereleases"));
            for tag in ["v1.0.0-alpha", "v1.0.0-alpha.1", "v1.0.0-beta", "v1.0.0-rc.2", "v1.0.0-rc.10"] {
                r.put("tag", tag).commit(tag).tag(tag);
            }
            r.put("tag", "none").commit("after all");
        }),
        Sample::new("untagged", "V-52 step 5, V-53: no base", |r| {
            r.put("go.mod", go_mod("github.com/w/untagged"))
                .commit("one")
                .put("a.go", "package a\n")
                .commit("two");
        }),
        Sample::new("empty", "V-45: a repository without commits", |_| {}),
        Sample::new("versionbranch", "V-52: a branch named like a version", |r| {
            r.put("go.mod", go_mod("github.com/w/versionbranch")).commit("one").tag("v0.1.0");
            r.branch("v1.0.0")
                .put("a.go", "package a\n")
                .commit("two")
                .branch("v1")
                .put("b.go", "package a\n");
            r.commit("three");
        }),
        Sample::new("buildmeta", "V-52 step 3b: a tag with build metadata only", |r| {
            r.put("go.mod", go_mod("github.com/w/buildmeta")).commit("one").tag("v0.1.0+build-metadata");
            r.put("a.go", "package a\n").commit("two");
        }),
        Sample::new("metaandplain", "V-52: two spellings of one version", |r| {
            r.put("go.mod", go_mod("github.com/w/metaandplain"))
                .commit("one")
                .tags(&["v1.0.0", "v1.0.0+b.1"]);
            r.put("a.go", "package a\n").commit("two").tags(&["v1.1.0+x", "v1.1.0+y"]);
        }),
        Sample::new("literalincompatible", "V-50: a tag with the suffix in its name", |r| {
            r.put("a.go", "package a\n").commit("one").tag("v2.0.0+incompatible");
        }),
        Sample::new("samename", "V-92: a tag and a branch of one name", |r| {
            r.put("go.mod", go_mod("github.com/w/samename"))
                .commit("one")
                .tag("same")
                .put("a.go", "package a\n");
            r.commit("two").branch("same").put("b.go", "package a\n").commit("three");
        }),
        Sample::new("hexnames", "V-90 V-94: refs that look like commits", |r| {
            r.put("go.mod", go_mod("github.com/w/hexnames")).commit("one").branch("deadbeef");
            r.put("a.go", "package a\n").commit("two").branch("abcdef1234567890abcdef1234567890abcdef12");
            r.put("b.go", "package a\n").commit("three").tag("cafebabe").branch("DEADBEEFDEADBEEF");
            r.put("c.go", "package a\n").commit("four");
        })
        .ask("", "deadbee")
        .ask("", "DEADBEEF"),
        Sample::new("oddtags", "V-93: tags of trees, of blobs, of tags", |r| {
            r.put("go.mod", go_mod("github.com/w/oddtags"))
                .put("a.go", "package a\n")
                .commit("one")
                .annotated("v1.0.0");
            r.tag_object("v1.1.0", "HEAD^{tree}").tag_object("v1.2.0", "HEAD:a.go");
            r.git(&["tag", "-a", "-m", "of a tag", "v1.3.0", "v1.0.0"]);
            r.git(&["tag", "-a", "-m", "of a tree", "v1.4.0", "HEAD^{tree}"]);
        }),
        Sample::new("manyonone", "V-52 step 4: several tags on one commit", |r| {
            r.put("go.mod", go_mod("github.com/w/manyonone")).commit("one");
            r.tags(&["v1.0.0", "v1.0.1", "v1.2.0-rc.1", "v0.9.0", "v2.0.0", "other"]).annotated("v1.1.0");
        }),
        Sample::new("annotatedhigher", "V-52: the example of the rules", |r| {
            r.put("a.go", "package a\n").commit("one").tag("v1.2.3").annotated("v1.2.4-annotated");
            r.branch("v2").put("b.go", "package a\n").commit("two").tag("v2.0.1").put("c.go", "package a\n");
            r.commit("three").tag("v2.0.2").branch("v3").delete("c.go").commit("four").annotated("v2.0.3");
        }),
        Sample::new("merges", "V-53 V-61: bases on both sides of a merge", |r| {
            r.put("go.mod", go_mod("github.com/w/merges")).commit("one").tag("v0.1.0").branch("side");
            r.put("side.go", "package a\n").commit("two").tag("v0.5.0-pre").put("side2.go", "package a\n");
            r.commit("three").switch("main").put("main.go", "package a\n").commit("four").tag("v0.2.0");
            r.merge("side").put("last.go", "package a\n").commit("five").branch("unmerged");
            r.put("x.go", "package a\n").commit("six").tag("v0.9.0");
        })
        .ask("", "v0.2.1-0.20240102070405-000000000000"),
        Sample::new("patches", "V-60: bases of every shape", |r| {
            r.put("go.mod", go_mod("github.com/w/patches"));
            for tag in [
                "v0.0.9",
                "v0.0.99",
                "v1.2.3-0",
                "v1.2.3-pre.0",
                "v1.2.9",
                "v1.3.0-a.b-c",
                "v1.999999999999999999999.0",
            ] {
                r.put("tag", tag).commit(tag).tag(tag).put("tag", format!("after {tag}")).commit("after");
            }
        }),
        Sample::new("dates", "V-60: old, far and disordered dates", |r| {
            r.at(86_400).put("go.mod", go_mod("github.com/w/dates")).commit("1970").tag("v0.1.0");
            r.at(4_102_444_800).put("a.go", "package a\n").commit("2100").tag("v0.2.0");
            r.at(1_000_000_000).put("b.go", "package a\n").commit("2001").at(1_000_000_000);
            r.put("c.go", "package a\n").commit("the same second");
        }),
        Sample::new("orphans", "V-53: histories without a common root", |r| {
            r.put("go.mod", go_mod("github.com/w/orphans")).commit("one").tag("v1.0.0").orphan("lonely");
            r.delete_all()
                .put("go.mod", go_mod("github.com/w/orphans"))
                .commit("alone")
                .put("a.go", "package a\n");
            r.commit("not alone");
        }),
        Sample::new("pulls", "V-91: commits that only a pull request holds", |r| {
            r.put("go.mod", go_mod("github.com/w/pulls")).commit("one").tag("v1.0.0").branch("pull");
            r.put("a.go", "package a\n").commit("proposed");
            r.reference("refs/pull/1/head", "pull");
            r.git(&["update-ref", "-d", "refs/heads/pull"]);
        }),
        Sample::new("replaced", "Z, section 3: replace refs do not count", |r| {
            r.put("go.mod", go_mod("github.com/w/replaced"))
                .put("a.go", "package right\n")
                .commit("one")
                .tag("v1.0.0");
            let (right, wrong) = (r.id("HEAD:a.go"), r.blob("package wrong\n"));
            r.reference(&format!("refs/replace/{right}"), &wrong);
        }),
        Sample::new("trunk", "V-50: another default branch", |r| {
            r.put("go.mod", go_mod("github.com/w/trunk"))
                .commit("one")
                .branch("trunk")
                .put("a.go", "package a\n");
            r.commit("two").default_branch("trunk");
        }),
        Sample::new("detached", "V-50: HEAD is no branch", |r| {
            r.put("go.mod", go_mod("github.com/w/detached"))
                .commit("one")
                .put("a.go", "package a\n")
                .commit("two");
            r.detach("main~1");
        }),
        Sample::new("unborn", "V-50: HEAD names a branch that is not there", |r| {
            r.put("go.mod", go_mod("github.com/w/unborn"))
                .commit("one")
                .put("a.go", "package a\n")
                .commit("two");
            r.default_branch("nothing");
        }),
        Sample::new("unborntags", "V-50: the same, with tags", |r| {
            r.put("go.mod", go_mod("github.com/w/unborntags")).commit("one").tag("v1.0.0");
            r.put("a.go", "package a\n").commit("two").default_branch("nothing");
        }),
        Sample::new("onlytags", "V-90: no branch at all", |r| {
            r.put("go.mod", go_mod("github.com/w/onlytags"))
                .commit("one")
                .tag("v1.0.0")
                .put("a.go", "package a\n");
            r.commit("two").tag("v1.1.0-rc.1");
            r.git(&["update-ref", "-d", "refs/heads/main"]);
        }),
        Sample::at("github.com/Upper/Case", "capitals, escaped in URLs", upper),
        Sample::new("sha256", "V-60: longer ids", |r| {
            r.put("go.mod", go_mod("github.com/w/sha256"))
                .put("a.go", "package a\n")
                .commit("one")
                .tag("v1.0.0");
            r.put("b.go", "package a\n")
                .commit("two")
                .annotated("v1.1.0")
                .put("c.go", "package a\n")
                .commit("three");
        })
        .sha256(),
        Sample::new("packed", "V-96: one pack, packed refs, forty tags", |r| {
            r.put("go.mod", go_mod("github.com/w/packed"));
            for n in 0..40 {
                r.put("n", n.to_string()).commit("more").tag(&format!("v0.{}.{}", n / 10, n % 10));
            }
            r.repack();
        }),
    ]
}

fn upper(r: &mut GitRepo) {
    r.put("go.mod", go_mod("github.com/Upper/Case"))
        .put("a.go", "package a\n")
        .commit("one")
        .tag("v1.0.0-RC.1");
    r.put("b.go", "package a\n").commit("two").branch("Big").put("c.go", "package a\n").commit("three");
}
