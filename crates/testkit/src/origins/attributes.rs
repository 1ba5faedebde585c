//! What git's attributes do to contents (module-zip.md, section 3).

use super::{Sample, go_mod};

#[expect(clippy::too_many_lines, reason = "a table is as long as it is")]
pub(super) fn all() -> Vec<Sample> {
    vec![
        Sample::new("eol", "Z-10 Z-11: line ends", |r| {
            let rules = "*.crlf text eol=crlf\n*.lf eol=lf\n*.auto text=auto eol=crlf\n*.bin -text eol=crlf\n\
                *.only eol=crlf\n*.plain text\n*.autoplain text=auto\n*.unset !eol\n*.oldcrlf crlf\n*.oldno -crlf\n\
                *.oldin crlf=input\n*.both crlf eol=crlf\n";
            r.put(".gitattributes", rules).put("go.mod", go_mod("github.com/w/eol"));
            let kinds = [
                "crlf",
                "lf",
                "auto",
                "bin",
                "only",
                "plain",
                "autoplain",
                "unset",
                "oldcrlf",
                "oldno",
                "oldin",
                "both",
            ];
            for kind in kinds {
                r.put(format!("lf.{kind}"), "a\nb\n").put(format!("crlf.{kind}"), "a\r\nb\r\n");
                r.put(format!("mixed.{kind}"), "a\r\nb\nc\r").put(format!("zero.{kind}"), "a\0b\nc\n");
                r.put(format!("ctl.{kind}"), "\x01\x02\x03\nabc\n").put(format!("empty.{kind}"), "");
            }
            r.commit("one").tag("v1.0.0");
        }),
        Sample::new("ident", "Z-10: $Id$", |r| {
            r.put(".gitattributes", "*.id ident\n*.no -ident\n*.both ident text eol=crlf\n");
            r.put("go.mod", go_mod("github.com/w/ident")).put("a.id", "$Id$\n").put("a.no", "$Id$\n");
            r.put("b.id", "x $Id: old stuff $ y $Id$ $Id $Id: a\n$Id:nospace$ $Id: two words here $ $Idx$\n");
            r.put("a.both", "$Id$\nmore\n").put("c.id", "no keyword\n").commit("one").tag("v1.0.0");
        }),
        Sample::new("encodings", "Z-10: other encodings", |r| {
            let rules = "*.u16 working-tree-encoding=UTF-16\n*.u16le working-tree-encoding=UTF-16LE\n\
                *.u16be working-tree-encoding=UTF-16BE\n*.bom working-tree-encoding=UTF-16LE-BOM\n\
                *.u32 working-tree-encoding=UTF-32\n*.latin working-tree-encoding=ISO-8859-1\n\
                *.u8 working-tree-encoding=UTF-8\n*.odd working-tree-encoding=no-such-encoding\n\
                *.flag working-tree-encoding\n*.crlf text eol=crlf working-tree-encoding=UTF-16LE\n";
            r.put(".gitattributes", rules).put("go.mod", go_mod("github.com/w/encodings"));
            for kind in ["u16", "u16le", "u16be", "bom", "u32", "latin", "u8"] {
                r.put(format!("a.{kind}"), "stra\u{df}e\n\u{e9}\n").put(format!("empty.{kind}"), "");
            }
            r.commit("one")
                .tag("v1.0.0")
                .put("a.odd", "stra\u{df}e\n")
                .commit("no such encoding")
                .tag("v1.1.0");
            r.delete("a.odd").put("a.flag", "x\n").commit("no encoding at all").tag("v1.2.0");
            r.delete("a.flag").put("a.crlf", "a\nb\n").commit("with line ends").tag("v1.3.0");
            r.delete("a.crlf").put("bad.u16", b"\xff\xfe not text").commit("no text").tag("v1.4.0");
            r.delete("bad.u16").put("far.latin", "\u{65e5}\n").commit("not in Latin").tag("v1.5.0");
        }),
        Sample::new("export", "section 3: export attributes do nothing", |r| {
            r.put(
                ".gitattributes",
                "a.txt export-subst\nignored export-ignore\nfolder export-ignore\nLICENSE export-ignore\n",
            );
            r.put("go.mod", go_mod("github.com/w/export"))
                .put("a.txt", "$Format:%H%n%an$\n")
                .put("ignored", "x\n");
            r.put("folder/x", "x\n")
                .put("LICENSE", "free\n")
                .put("sub/go.mod", go_mod("github.com/w/export/sub"));
            r.commit("one").tags(&["v1.0.0", "sub/v1.0.0"]);
        }),
        Sample::new("precedence", "Z-10: which rule wins", |r| {
            r.put(
                ".gitattributes",
                "[attr]dos text eol=crlf\n*.txt dos\nb.txt -dos\nc.txt !eol\n\"quoted name.txt\" eol=lf\n",
            );
            r.put("sub/.gitattributes", "*.txt eol=lf\n/d.txt eol=crlf\n")
                .put("sub/deep/.gitattributes", "d.txt eol=crlf\n");
            r.put("go.mod", go_mod("github.com/w/precedence"));
            for name in [
                "a.txt",
                "b.txt",
                "c.txt",
                "quoted name.txt",
                "sub/a.txt",
                "sub/d.txt",
                "sub/deep/d.txt",
                "sub/deep/e.txt",
            ] {
                r.put(name, "a\nb\n");
            }
            r.commit("one").tag("v1.0.0");
        }),
        Sample::new("patterns", "Z-10: what a pattern matches", |r| {
            let rules = "# a comment\n*.a eol=crlf\n/top.b eol=crlf\ndir/*.c eol=crlf\ndir/**/deep.d eol=crlf\n**/any.e eol=crlf\n\
                f[0-9].f eol=crlf\nfolder/ eol=crlf\n\\#hash eol=crlf\n!neg.g eol=crlf\nq?.h eol=crlf\n  lead.i eol=crlf\ndir2/** eol=crlf\n";
            r.put(".gitattributes", rules).put("go.mod", go_mod("github.com/w/patterns"));
            for name in [
                "x.a",
                "dir/x.a",
                "top.b",
                "dir/top.b",
                "dir/x.c",
                "dir/sub/x.c",
                "dir/deep.d",
                "dir/1/2/deep.d",
                "any.e",
                "dir/1/any.e",
                "f1.f",
                "fx.f",
                "folder/x",
                "#hash",
                "neg.g",
                "q1.h",
                "q12.h",
                "lead.i",
                "dir2/a",
                "dir2/b/c",
            ] {
                r.put(name, "a\nb\n");
            }
            r.commit("one").tag("v1.0.0");
        }),
        Sample::new("above", "section 3: attributes above the module's folder count", |r| {
            r.put(".gitattributes", "*.txt eol=crlf\n*.mod eol=crlf\n")
                .put("go.mod", go_mod("github.com/w/above"));
            r.put("sub/go.mod", go_mod("github.com/w/above/sub"))
                .put("sub/a.txt", "a\nb\n")
                .put("LICENSE", "a\nb\n");
            r.put("sub/deep/b.txt", "a\nb\n").commit("one").tags(&["v1.0.0", "sub/v1.0.0"]);
        }),
        Sample::new("modeol", "Z-13: .mod and go.mod in the zip differ", |r| {
            r.put(".gitattributes", "go.mod text eol=crlf\n").put("go.mod", go_mod("github.com/w/modeol"));
            r.put("a.go", "package a\n").commit("one").tag("v1.0.0");
        }),
        Sample::new("filters", "section 3: filters are not there", |r| {
            let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n";
            r.put(
                ".gitattributes",
                "*.bin filter=lfs diff=lfs merge=lfs -text\n*.x filter=cat\n*.png binary\n",
            );
            r.put("go.mod", go_mod("github.com/w/filters"))
                .put("a.bin", pointer)
                .put("b.x", "x\n")
                .put("c.png", "a\nb\n");
            r.commit("one").tag("v1.0.0");
        }),
        Sample::new("attributelink", "section 3: attributes behind a link do not count", |r| {
            r.put("rules", "*.txt eol=crlf\n").link(".gitattributes", "rules").put("a.txt", "a\nb\n");
            r.put("go.mod", go_mod("github.com/w/attributelink")).commit("one").tag("v1.0.0");
        }),
        Sample::new("attributeodd", "section 3: attributes that are no text, or a folder", |r| {
            r.put(".gitattributes", b"\xef\xbb\xbf*.txt eol=crlf\r\n*.dat eol=crlf\n").put("a.txt", "a\nb\n");
            r.put("sub/.gitattributes/x", "*.txt eol=lf\n").put("sub/b.txt", "a\nb\n").put("a.dat", "a\nb\n");
            r.put("go.mod", go_mod("github.com/w/attributeodd")).commit("one").tag("v1.0.0");
        }),
    ]
}
