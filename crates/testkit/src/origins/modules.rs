//! Where the go.mod lies and what it says.

use super::{Sample, go_mod};

#[expect(clippy::too_many_lines, reason = "a table is as long as it is")]
pub(super) fn all() -> Vec<Sample> {
    vec![
        Sample::new("incompatible", "V-40 V-43 V-56: majors without go.mod", |r| {
            for tag in ["v1.0.0", "v2.0.0", "v2.1.0-rc.1", "v3.0.0", "v10.0.0"] {
                r.put("tag", tag).commit(tag).tag(tag);
            }
            r.put("tag", "none").commit("none");
        }),
        Sample::new("newmodule", "V-42: the highest compatible version has a go.mod", |r| {
            r.put("a.go", "package a\n").commit("one").tags(&["v1.0.0", "v2.0.0"]);
            r.put("go.mod", go_mod("github.com/w/newmodule")).commit("two").tag("v1.1.0");
            r.delete("go.mod").commit("three").tag("v3.0.0");
        }),
        Sample::new("mixedmajors", "V-43: a major whose highest version has a go.mod", |r| {
            r.put("a.go", "package a\n").commit("one").tags(&["v1.0.0", "v2.0.0", "v3.0.0"]);
            r.put("go.mod", go_mod("github.com/w/mixedmajors")).commit("two").tag("v2.1.0");
            r.delete("go.mod").put("b.go", "package a\n").commit("three").tag("v4.0.0");
        }),
        Sample::new("incompatibledir", "V-56: a vN folder with a go.mod", |r| {
            r.put("a.go", "package a\n").put("v2/go.mod", go_mod("github.com/w/incompatibledir/v2"));
            r.put("v2/b.go", "package a\n").commit("one").tags(&["v1.0.0", "v2.0.0", "v3.0.0"]);
        }),
        Sample::new("onlyincompatible", "P-41: nothing compatible at all", |r| {
            r.put("a.go", "package a\n").commit("one").tag("v2.0.0").put("b.go", "package a\n").commit("two");
        }),
        Sample::new("majorbranch", "V-31: /v2 in the root's go.mod", |r| {
            r.put("go.mod", go_mod("github.com/w/majorbranch")).commit("one").tag("v1.0.0").branch("v2");
            r.put("go.mod", go_mod("github.com/w/majorbranch/v2"))
                .commit("two")
                .tags(&["v2.0.0", "v2.0.1-rc.1"]);
            r.put("a.go", "package a\n")
                .commit("three")
                .switch("main")
                .put("b.go", "package a\n")
                .commit("four");
        }),
        Sample::new("majordir", "V-70: /v2 in a folder", |r| {
            r.put("go.mod", go_mod("github.com/w/majordir"))
                .put("LICENSE", "free\n")
                .put("a.go", "package a\n");
            r.put("v2/go.mod", go_mod("github.com/w/majordir/v2"))
                .put("v2/a.go", "package a\n")
                .commit("one");
            r.tags(&["v1.0.0", "v2.0.0"]).put("v2/b.go", "package a\n").commit("two").tag("v2.1.0");
            r.put("v2/c.go", "package a\n").commit("three");
        }),
        Sample::new("majorboth", "V-70: /v2 in both places", |r| {
            r.put("go.mod", go_mod("github.com/w/majorboth/v2"))
                .put("v2/go.mod", go_mod("github.com/w/majorboth/v2"));
            r.commit("one").tag("v2.0.0");
        }),
        Sample::new("dirwithoutmodule", "V-70: a go.mod without a module line in the folder", |r| {
            r.put("go.mod", go_mod("github.com/w/dirwithoutmodule"))
                .put("v2/go.mod", "go 1.21\n")
                .commit("one");
            r.tag("v2.0.0");
        }),
        Sample::new("dirothermajor", "V-70: another major in the folder", |r| {
            r.put("v2/go.mod", go_mod("github.com/w/dirothermajor/v3")).commit("one").tag("v2.0.0");
            r.put("go.mod", go_mod("github.com/w/dirothermajor/v2")).commit("two").tag("v2.1.0");
        }),
        Sample::new("nomoduleline", "V-70: a go.mod without a module line", |r| {
            r.put("go.mod", "go 1.21\n")
                .commit("one")
                .tags(&["v1.0.0", "v2.0.0"])
                .put("go.mod", "")
                .commit("two");
            r.tag("v1.1.0")
                .put("go.mod", "// module github.com/w/nomoduleline\n")
                .commit("three")
                .tag("v1.2.0");
        }),
        Sample::new("modulelines", "section 8: how the module line is read", |r| {
            let lines: [(&str, &str); 9] = [
                ("v1.0.0", "module \"github.com/w/modulelines\"\n"),
                ("v1.0.1", "module `github.com/w/modulelines`\n"),
                ("v1.0.2", "  module\tgithub.com/w/modulelines // Deprecated: no.\n"),
                ("v1.0.3", "module (\n\tgithub.com/w/modulelines\n)\n"),
                ("v1.0.4", "modulegithub.com/w/modulelines\n"),
                ("v1.0.5", "go 1.21\nmodule github.com/w/modulelines\nmodule github.com/w/modulelines/v9\n"),
                ("v1.0.6", "module \"github.com/w/modulelines\n"),
                ("v1.0.7", "\u{feff}module github.com/w/modulelines\n"),
                ("v1.0.8", "module github.com/w/modulelines\r\n\r\ngo 1.21\r\n"),
            ];
            for (tag, line) in lines {
                r.put("go.mod", line).commit(tag).tag(tag);
            }
        }),
        Sample::new("othermajor", "V-70: the go.mod has another major", |r| {
            r.put("go.mod", go_mod("github.com/w/othermajor/v3"))
                .commit("one")
                .tags(&["v1.0.0", "v2.0.0", "v3.0.0"]);
        })
        .path("v4"),
        Sample::new("malformed", "V-70: a path that cannot be", |r| {
            for (tag, path) in [("v1.0.0", "v1"), ("v1.0.1", "v02"), ("v1.0.2", "v0"), ("v1.0.3", "v2.3")] {
                r.put("go.mod", go_mod(&format!("github.com/w/malformed/{path}"))).commit(tag).tag(tag);
            }
        }),
        Sample::new("fork", "section 8: only the suffix is checked", |r| {
            r.put("go.mod", go_mod("example.com/somebody/else")).commit("one").tags(&["v1.0.0", "v2.0.0"]);
            r.put("go.mod", go_mod("example.com/somebody/else/v2")).commit("two").tag("v2.1.0");
            r.put("go.mod", go_mod("gopkg.in/else.v3")).commit("three").tags(&["v1.1.0", "v3.0.0"]);
            r.put("go.mod", go_mod("gopkg.in/else.v1")).commit("four").tags(&["v1.2.0", "v4.0.0"]);
        }),
        Sample::new("nested", "V-32 V-34 Z-20: a module in a folder", |r| {
            r.put("go.mod", go_mod("github.com/w/nested"))
                .put("LICENSE", "free\n")
                .put("a.go", "package a\n");
            r.put("sub/go.mod", go_mod("github.com/w/nested/sub")).put("sub/a.go", "package sub\n");
            r.put("sub/deep/er/go.mod", go_mod("github.com/w/nested/sub/deep/er")).commit("one");
            r.tags(&["v1.0.0", "sub/v0.3.0", "sub/deep/er/v1.0.0"])
                .put("sub/b.go", "package sub\n")
                .commit("two");
            r.tags(&["sub/v1", "sub/v2.0.0", "sub/v0.4.0+meta"])
                .put("sub/c.go", "package sub\n")
                .commit("three");
        })
        .path("nothing")
        .path("a.go")
        .path("sub/deep")
        .path("sub/v3"),
        Sample::new("nestedmajor", "V-34: majors of a module in a folder", |r| {
            r.put("sub/go.mod", go_mod("github.com/w/nestedmajor/sub/v2")).put("sub/a.go", "package sub\n");
            r.commit("one").tag("sub/v2.0.0");
            r.put("sub/v3/go.mod", go_mod("github.com/w/nestedmajor/sub/v3"))
                .put("sub/v3/a.go", "package sub\n");
            r.commit("two").tags(&["sub/v3.0.0", "sub/v2.1.0"]).put("LICENSE", "free\n").commit("three");
        }),
        Sample::new("nestedgone", "V-70: the folder came and went", |r| {
            r.put("go.mod", go_mod("github.com/w/nestedgone")).commit("one").tags(&["v1.0.0", "sub/v1.0.0"]);
            r.put("sub/go.mod", go_mod("github.com/w/nestedgone/sub")).commit("two").tag("sub/v1.1.0");
            r.delete("sub").commit("three").tag("sub/v1.2.0");
        }),
        Sample::new("retracted", "V-54 V-82 P-40 P-41: versions taken back", |r| {
            r.put("go.mod", go_mod("github.com/w/retracted")).commit("one").tags(&["v1.0.0", "v1.1.0"]);
            r.put("a.go", "package a\n").commit("two").tag("v1.2.0");
            let text =
                "module github.com/w/retracted\nretract (\n\tv1.2.0 // broken\n\t[v1.3.0, v1.4.0]\n)\n";
            r.put("go.mod", text).commit("three").tag("v1.4.0").put("b.go", "package a\n").commit("four");
        }),
        Sample::new("allretracted", "P-43: everything taken back", |r| {
            r.put("go.mod", "module github.com/w/allretracted\nretract [v0.0.0, v1.9.9]\n").commit("one");
            r.tags(&["v1.0.0", "v1.1.0-rc.1"]).put("a.go", "package a\n").commit("two");
        }),
        Sample::new("retractedpre", "V-82: the retracting version is a pre-release", |r| {
            r.put("go.mod", go_mod("github.com/w/retractedpre"))
                .commit("one")
                .tags(&["v0.1.0-rc.1", "v0.1.0-rc.2"]);
            r.put("go.mod", "module github.com/w/retractedpre\nretract v0.1.0-rc.2\n")
                .commit("two")
                .tag("v0.1.0-rc.3");
            r.put("a.go", "package a\n").commit("three");
        }),
        Sample::new("retractedbad", "V-54: a go.mod that cannot be read retracts nothing", |r| {
            r.put("go.mod", go_mod("github.com/w/retractedbad")).commit("one").tag("v1.0.0");
            r.put("go.mod", "module github.com/w/retractedbad\nretract v1.0.0 and more )(\n")
                .commit("two")
                .tag("v1.1.0");
        }),
        Sample::new("mainisv2", "P-43: no tags, and the tip is another major", |r| {
            r.put("go.mod", go_mod("github.com/w/mainisv2/v2")).commit("one");
        }),
        Sample::new("linkedmod", "section 5: a go.mod that is a link, or executable", |r| {
            r.link("go.mod", "module github.com/w/linkedmod")
                .put("a.go", "package a\n")
                .commit("one")
                .tag("v1.0.0");
            r.delete("go.mod").put("real", go_mod("github.com/w/linkedmod")).link("go.mod", "real");
            r.commit("three").tag("v1.2.0").exec("go.mod", go_mod("github.com/w/linkedmod")).commit("four");
            r.tag("v1.3.0");
        }),
        Sample::new("newgo", "V-85: a go line from the future", |r| {
            r.put("go.mod", "module github.com/w/newgo\n\ngo 1.27\n\ntoolchain go1.27.0\n")
                .commit("one")
                .tag("v1.0.0");
            r.put("go.mod", "module github.com/w/newgo\n\nfuture directive\ngo 1.21\n")
                .commit("two")
                .tag("v1.1.0");
        }),
    ]
}
