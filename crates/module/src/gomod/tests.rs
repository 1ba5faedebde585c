use std::time::Instant;

use super::*;

fn lenient(text: &str) -> GoMod {
    GoMod::parse_lenient(text.as_bytes()).unwrap()
}

#[test]
fn a_file_with_everything() {
    let text = r#"// Deprecated: use example.com/n
// instead.
module "example.com/m/v2" // the old one

go 1.21.3
toolchain go1.22.0
godebug default=go1.21

require (
	example.com/a v1.2.3
	example.com/b v0.0.0-20191109021931-daa7c04131f5 // indirect
	example.com/c v2.0.0+incompatible // indirect; see a
	example.com/d v1 // directly
)
exclude example.com/a v1.2.4
replace (
	example.com/a => ../a
	example.com/b v1.0.0 => example.com/fork/v3 v3.1.0
)
// They lose data.
retract (
	v2.0.1
	[v2.1.0, v2.1.9] // and these are slow

	// This one
	// was a slip.
	v2.2.0
)
tool example.com/a/cmd/x
ignore ./testdata
"#;
    let parsed = GoMod::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.module.as_deref(), Some("example.com/m/v2"));
    assert_eq!(parsed.deprecated.as_deref(), Some("use example.com/n\ninstead.\nthe old one"));
    assert_eq!((parsed.go.as_deref(), parsed.toolchain.as_deref()), (Some("1.21.3"), Some("go1.22.0")));
    assert_eq!(parsed.godebug, [Godebug { key: "default".into(), value: "go1.21".into() }]);
    let required: Vec<_> = parsed.require.iter().map(|r| (&*r.path, &*r.version, r.indirect)).collect();
    assert_eq!(
        required[1..],
        [
            ("example.com/b", "v0.0.0-20191109021931-daa7c04131f5", true),
            ("example.com/c", "v2.0.0+incompatible", true),
            ("example.com/d", "v1.0.0", false),
        ]
    );
    assert_eq!(parsed.replace[0].by, Replacement::Directory("../a".into()));
    assert_eq!(parsed.replace[1].version.as_deref(), Some("v1.0.0"));
    let retracted: Vec<_> = parsed.retract.iter().map(|r| (&*r.low, &*r.high, &*r.rationale)).collect();
    assert_eq!(
        retracted,
        [
            ("v2.0.1", "v2.0.1", "They lose data."),
            ("v2.1.0", "v2.1.9", "and these are slow"),
            ("v2.2.0", "v2.2.0", "This one\nwas a slip."),
        ]
    );
    assert_eq!(parsed.retracts(&Version::parse("v2.1.5").unwrap()).unwrap().low, "v2.1.0");
    assert_eq!(parsed.retracts(&Version::parse("v2.1.10").unwrap()), None);
    assert_eq!(
        (&*parsed.tool, &*parsed.ignore),
        (&["example.com/a/cmd/x".into()][..], &["./testdata".into()][..])
    );
}

#[test]
fn a_dependency_may_speak_a_later_language() {
    let parsed =
        lenient("module m\ngo 1.99.future-1\nhover x\nfly (\n\thigh \"a\n)\n".replace("\"a", "a").as_str());
    assert_eq!((parsed.module.as_deref(), parsed.go.as_deref()), (Some("m"), Some("1.99")));
    assert!(GoMod::parse(b"module m\nhover x\n").is_err());
    assert!(GoMod::parse(b"module m\nfly (\n)\n").is_err());
    assert_eq!(lenient("retract [v1.0.0, ]\nretract v1.0.0 since yesterday\n").retract.len(), 1);
    assert!(GoMod::parse_lenient(b"require example.com/a latest\n").is_err());
}

#[test]
fn quick_scan_reads_one_line() {
    for (text, path) in [
        ("module example.com/m", Some("example.com/m")),
        ("// module x\n\t module  \"example.com/m\" // y\n", Some("example.com/m")),
        ("module `example.com/m`", Some("example.com/m")),
        ("module\nmodules x\nmodule x y\n", Some("x y")),
        ("module \"x\nmodule y\n", None),
        ("module (\n\tx\n)\n", Some("(")),
        ("garbage ( \" /* \nmodule\u{a0}x\r\n", Some("x")),
        ("go 1.21\n", None),
    ] {
        assert_eq!(module_line_quick_scan(text.as_bytes()).as_deref(), path, "{text:?}");
    }
}

/// The rows of versions-and-origins.md section 8 that concern the path alone.
#[test]
fn hostile_g02_only_the_suffix_must_agree() {
    for (declared, path, fits) in [
        ("example.com/fork", "example.com/m", true),
        ("gopkg.in/m.v1", "example.com/m", true),
        ("gopkg.in/m.v3", "example.com/m", true),
        ("example.com/m/v2", "example.com/m", false),
        ("example.com/other/v2", "example.com/m/v2", true),
        ("example.com/m", "example.com/m/v2", false),
        ("example.com/yaml/v2", "gopkg.in/yaml.v2", true),
        ("example.com/m/v02", "example.com/m", false),
        ("", "example.com/m", false),
    ] {
        assert_eq!(declaration_fits(declared, &ModulePath::parse(path).unwrap()), fits, "{declared} {path}");
    }
}

#[test]
fn hostile_g03_what_go_does_not_read() {
    for text in [
        "module m\0\n",
        "\u{feff}module m\n",
        "module m /* x */\n",
        "/* x */\nmodule m\n",
        "module `a\nb`\n",
        "module m\nmodule n\n",
        "module (\n\tm\n\tn\n)\n",
        "module \"m\n",
        "module 'm'\n",
        "require (\n",
        "require (\n\ta v1.0.0\n) x\n",
    ] {
        assert!(GoMod::parse(text.as_bytes()).is_err(), "{text:?}");
        assert!(GoMod::parse_lenient(text.as_bytes()).is_err(), "{text:?}");
    }
}

#[test]
fn hostile_g04_what_go_reads_all_the_same() {
    let parsed = lenient("module m // \u{202e}\x00\x1b\r\nrequire a v1.0.0\r\nfrobnicate (\r\n x\r\n)\r\n");
    assert_eq!((parsed.module.as_deref(), parsed.require.len()), (Some("m"), 1));
    let latin1 = b"module m // caf\xe9\ngo 1.2\n";
    assert_eq!(GoMod::parse(latin1).unwrap().go.as_deref(), Some("1.2"));
}

#[test]
fn hostile_g05_large_files_are_read_in_one_pass() {
    let many: Vec<_> = (0..200_000).map(|n| format!("\texample.com/m{n} v1.{n}.0 // indirect\n")).collect();
    let many = many.concat();
    let nested = "(\n".repeat(1000) + &")\n".repeat(1000);
    let long_line = "x ".repeat(8 << 20);
    let comments = "require a v1.0.0\n".to_owned() + &"//\n".repeat(4 << 20);
    let started = Instant::now();
    assert_eq!(lenient(&format!("module m\nrequire (\n{many})\n")).require.len(), 200_000);
    assert!(GoMod::parse(nested.as_bytes()).is_err());
    assert!(GoMod::parse_lenient(long_line.as_bytes()).is_ok());
    assert!(GoMod::parse(comments.as_bytes()).is_ok());
    assert_eq!(module_line_quick_scan(long_line.as_bytes()), None);
    // One second each is the demand; a debug build on a busy machine gets ten times that.
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
    assert!(GoMod::parse(&vec![b' '; GO_MOD_BYTES_MAX + 1]).is_err());
}

#[test]
fn hostile_g06_values_are_data() {
    let text = "toolchain go1.99/../../bin/evil\n";
    assert_eq!(GoMod::parse(text.as_bytes()).unwrap().toolchain.as_deref(), Some("go1.99/../../bin/evil"));
    assert_eq!(lenient(text).toolchain, None);
    let parsed = GoMod::parse(b"replace a.b/c => /etc/passwd\nrequire -a.b/c v1.0.0\n").unwrap();
    assert_eq!(parsed.replace[0].by, Replacement::Directory("/etc/passwd".into()));
    assert_eq!(parsed.require[0].path, "-a.b/c");
}

#[test]
fn hostile_g07_rationales_are_kept_as_they_are() {
    let long = "x".repeat(1 << 20);
    let parsed = lenient(&format!("// <script>\x1b\n// {long}\nretract v1.0.0\n"));
    assert_eq!(parsed.retract[0].rationale, format!("<script>\x1b\n{long}"));
}

#[test]
fn hostile_g11_the_file_of_a_module_without_one() {
    let path = ModulePath::parse("example.com/Mixed").unwrap();
    assert_eq!(GoMod::synthesized(&path), b"module example.com/Mixed\n");
}
