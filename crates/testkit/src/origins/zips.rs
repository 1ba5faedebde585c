//! What gets into a zip, and what forbids it.

use super::{Sample, go_mod};
use crate::git::{GitRepo, raw_entry};

/// The files of section 5.1, the same for each go line.
const VENDORED: [&str; 8] = [
    "vendor/modules.txt",
    "vendor/x.go",
    "vendor/a/a.go",
    "pkg/vendor/vendor.go",
    "pkg/vendor/modules.txt",
    "pkg/vendor/foo/foo.go",
    "vendors/a.go",
    "a/vendor/b/vendor/c/d.go",
];

#[expect(clippy::too_many_lines, reason = "a table is as long as it is")]
pub(super) fn all() -> Vec<Sample> {
    vec![
        Sample::new("vendored", "section 5.1: every go line", |r| {
            let lines = [
                "go 1.23",
                "go 1.24",
                "go 1.24rc1",
                "go 1.24.2",
                "go 1.24x",
                "go 1.24\ngo 1.24",
                "",
                "go 1.3",
                "go 1.27",
            ];
            for file in VENDORED {
                r.put(file, "package x\n");
            }
            for (n, line) in lines.iter().enumerate() {
                r.put("go.mod", format!("module github.com/w/vendored\n{line}\n")).commit(line);
                r.tag(&format!("v1.0.{n}"));
            }
            r.delete("go.mod").commit("none").tag("v1.1.0");
        }),
        Sample::new("licenses", "Z-20 to Z-23: the license of the root", |r| {
            r.put("LICENSE", "free\n").put("go.mod", go_mod("github.com/w/licenses"));
            for folder in ["plain", "own", "linked", "text", "case", "dir"] {
                r.put(format!("{folder}/go.mod"), go_mod(&format!("github.com/w/licenses/{folder}")));
            }
            r.put("own/LICENSE", "not free\n")
                .link("linked/LICENSE", "../LICENSE")
                .put("text/LICENSE.txt", "a\n");
            r.put("case/license", "small\n").put("dir/LICENSE/x", "x\n").commit("one");
            for folder in ["plain", "own", "linked", "text", "case", "dir"] {
                r.tag(&format!("{folder}/v1.0.0"));
            }
        }),
        Sample::new("licenselink", "Z-21: the root's license is a link, then a folder", |r| {
            r.link("LICENSE", "COPYING")
                .put("COPYING", "free\n")
                .put("sub/go.mod", go_mod("github.com/w/licenselink/sub"));
            r.commit("one")
                .tag("sub/v1.0.0")
                .delete("LICENSE")
                .put("LICENSE/a", "a\n")
                .commit("two")
                .tag("sub/v1.1.0");
            r.delete("LICENSE").put("LICENSE", "free\r\n").put(".gitattributes", "LICENSE eol=crlf ident\n");
            r.commit("three").tag("sub/v1.2.0");
        }),
        Sample::new("links", "section 5 row 9: links go", |r| {
            r.put("go.mod", go_mod("github.com/w/links")).put("a.go", "package a\n").link("b.go", "a.go");
            r.link("away", "/etc/passwd")
                .link("dir", ".")
                .exec("run.sh", "#!/bin/sh\n")
                .commit("one")
                .tag("v1.0.0");
        }),
        Sample::new("linknames", "section 5: a link with a bad name is fatal", |r| {
            r.put("go.mod", go_mod("github.com/w/linknames")).link("aux.go", "x").commit("one").tag("v1.0.0");
            r.delete("aux.go").put("a.go", "package a\n").link("A.go", "a.go").commit("two").tag("v1.1.0");
        }),
        Sample::new("submodule", "section 3: submodules are left out", |r| {
            r.put("go.mod", go_mod("github.com/w/submodule")).put("a.go", "package a\n");
            r.put(".gitmodules", "[submodule \"dep\"]\n\tpath = dep\n\turl = https://github.com/w/plain\n");
            r.submodule("dep", "0123456789012345678901234567890123456789").commit("one").tag("v1.0.0");
        }),
        Sample::new("emptytree", "section 3: empty folders are left out", |r| {
            let nothing = r.raw_tree(&[]);
            let file = r.blob("module github.com/w/emptytree\n");
            let top =
                r.raw_tree(&[raw_entry("40000", "empty", &nothing), raw_entry("100644", "go.mod", &file)]);
            r.commit_tree("one", &top).tag("v1.0.0");
        }),
        Sample::new("oddmodes", "section 3: modes of old gits", |r| {
            let file = r.blob("module github.com/w/oddmodes\n");
            let top =
                r.raw_tree(&[raw_entry("100644", "go.mod", &file), raw_entry("100664", "group.go", &file)]);
            r.commit_tree("one", &top).tag("v1.0.0");
        }),
        Sample::new("badnames", "section 5.2: names that are refused", |r| {
            let names = [
                "aux.go",
                "Com1",
                "NUL.txt",
                "dot.",
                "a:b",
                "a*b",
                "q?",
                "pipe|",
                "back\\slash",
                "quote'",
                "semi;",
                "tab\t",
                "\u{1f600}.go",
                "e\u{301}.go",
                "less<",
                "grave`",
            ];
            for (n, name) in names.iter().enumerate() {
                r.delete_all().put("go.mod", go_mod("github.com/w/badnames")).put(name, "x\n").commit("bad");
                r.tag(&format!("v1.0.{n}"));
            }
            r.delete_all().put("go.mod", go_mod("github.com/w/badnames"));
            names
                .iter()
                .take(8)
                .fold(r, |r, name| r.put(format!("d/{name}"), "x\n"))
                .commit("all")
                .tag("v1.1.0");
        }),
        Sample::new("fairnames", "section 5.2: names that are fine", |r| {
            r.put("go.mod", go_mod("github.com/w/fairnames"));
            for name in [
                "-dash",
                ".dot",
                "a b",
                "a!b",
                "#x",
                "$x",
                "%41",
                "(p)",
                "+x",
                "a,b",
                "=x",
                "@x",
                "[b]",
                "^x",
                "{c}",
                "~x",
                "\u{e9}t\u{e9}.go",
                "\u{65e5}\u{672c}.go",
                "auxx.go",
                "con-x",
                "_test",
                "testdata/x",
                ".github/x",
                "a..b",
            ] {
                r.put(name, "x\n");
            }
            r.commit("one").tag("v1.0.0");
        }),
        Sample::new("rawbytes", "Z-16: a name that is no text", |r| {
            r.put("go.mod", go_mod("github.com/w/rawbytes"))
                .put(b"bad\xff.go", "x\n")
                .commit("one")
                .tag("v1.0.0");
        }),
        Sample::new("harmless", "section 5: bad names where nobody looks", |r| {
            r.put("go.mod", go_mod("github.com/w/harmless")).put("nested/go.mod", go_mod("x.example/n"));
            r.put("nested/aux.go", "x\n").put("vendor/a/nul.go", "x\n").put("nested/deep/er/a:b", "x\n");
            r.put("nested/Case", "x\n").put("nested/case", "x\n").commit("one").tag("v1.0.0");
        }),
        Sample::new("collisions", "section 5.3: names that differ by case only", |r| {
            let pairs = [
                ("a.go", "A.go"),
                ("dir/x", "Dir/y"),
                ("k.go", "\u{212a}.go"),
                ("s.go", "\u{17f}.go"),
                ("\u{df}.go", "ss.go"),
                ("\u{e9}.go", "\u{c9}.go"),
                ("i.go", "\u{131}.go"),
                ("\u{3c3}.go", "\u{3c2}.go"),
            ];
            for (n, (one, other)) in pairs.iter().enumerate() {
                r.delete_all()
                    .put("go.mod", go_mod("github.com/w/collisions"))
                    .put(one, "x\n")
                    .put(other, "x\n");
                r.commit("pair").tag(&format!("v1.0.{n}"));
            }
        }),
        Sample::new("bigmodname", "section 5 row 7: GO.MOD", |r| {
            r.put("go.mod", go_mod("github.com/w/bigmodname")).put("sub/GO.MOD", go_mod("x.example/s"));
            r.put("sub/a.go", "package sub\n").commit("one").tag("v1.0.0");
            r.delete("go.mod").put("Go.mod", go_mod("github.com/w/bigmodname")).commit("two").tag("v1.1.0");
        }),
        Sample::new("nestings", "section 5 row 4: nested modules at every depth", |r| {
            r.put("go.mod", go_mod("github.com/w/nestings"))
                .put("a/b/c/go.mod", "")
                .put("a/b/c/d/e.go", "x\n");
            r.put("a/b/x.go", "package b\n").link("l/go.mod", "../go.mod").put("l/x.go", "package l\n");
            r.put("f/go.mod/x", "x\n").put("f/y", "y\n").put("v2/go.mod", go_mod("github.com/w/nestings/v2"));
            r.put("v2/x.go", "package x\n").commit("one").tags(&["v1.0.0", "v2.0.0"]);
        }),
        Sample::new("archival", "section 5 row 5: what hg would add", |r| {
            r.put("go.mod", go_mod("github.com/w/archival"))
                .put(".hg_archival.txt", "x\n")
                .put("d/.hg_archival.txt", "x\n");
            r.commit("one").tag("v1.0.0");
        }),
        Sample::new("large", "section 2: license and go.mod beyond their limits", large),
        Sample::new("order", "Z-32: the order of trees and of names", |r| {
            r.put("go.mod", go_mod("github.com/w/order"));
            for name in ["a/b", "a.b", "a-b", "a0", "B", "c", "a/b.c", "a/b-c/d", "ab/c"] {
                r.put(name, name);
            }
            r.delete("a/b").commit("one").tag("v1.0.0");
        }),
        Sample::new("contents", "section 7: empty files, long files, bytes of every kind", |r| {
            let every: Vec<u8> = (0..=255).collect();
            r.put("go.mod", go_mod("github.com/w/contents")).put("empty", "").put("bytes", &every);
            r.put("long", every.repeat(4096)).put("zeros", vec![0; 300_000]).commit("one").tag("v1.0.0");
        }),
    ]
}

fn large(r: &mut GitRepo) {
    let over = vec![b'\n'; 16_777_217];
    r.put("go.mod", go_mod("github.com/w/large")).put("LICENSE", &over).commit("one").tag("v1.0.0");
    r.put("LICENSE", &over[..16_777_216]).commit("two").tag("v1.1.0");
    // One comment: the go command reads empty lines one by one, and takes minutes for so many.
    let text = [go_mod("github.com/w/large").as_bytes(), b"// ", &vec![b'x'; 16_777_217], b"\n"].concat();
    r.put("LICENSE", "free\n").put("go.mod", text).commit("three").tag("v1.2.0");
}
