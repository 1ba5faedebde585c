//! Does every word mean what the go toolchain says it means? Tables from `testdata/module` and `testdata/unicode`.
#![allow(clippy::unwrap_used, clippy::panic)] // a broken table should stop the test where it is broken

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use modkeep_module::gomod::{GoMod, Replacement, module_line_quick_scan};
use modkeep_module::path::{self, Fault, ModulePath, PathError};
use modkeep_module::pattern::{Patterns, glob_match};
use modkeep_module::time::Timestamp;
use modkeep_module::version::{Query, Version};
use modkeep_module::{pseudo, semver, unicode};
use serde_json::{Value, json};

/// Another folder of tables, made with more cases.
const OTHER_TABLES: &str = "MODKEEP_GOLDEN";

fn table(name: &str) -> String {
    let ours = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata");
    let folder = std::env::var_os(OTHER_TABLES).map_or_else(ours, PathBuf::from);
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn rows(name: &str) -> Vec<Value> {
    table(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap()
}

#[test]
fn semver_as_go() {
    for row in rows("module/semver.jsonl") {
        let v = text(&row, "v");
        assert_eq!(semver::is_valid(v), row["valid"], "{v:?}");
        assert_eq!(semver::canonical(v).unwrap_or_default(), row["canonical"], "{v:?}");
        assert_eq!(semver::module_canonical(v).unwrap_or_default(), row["module_canonical"], "{v:?}");
        assert_eq!(semver::major(v), row["major"], "{v:?}");
        assert_eq!(semver::major_minor(v).unwrap_or_default(), row["major_minor"], "{v:?}");
        assert_eq!(semver::prerelease(v), row["prerelease"], "{v:?}");
        assert_eq!(semver::build(v), row["build"], "{v:?}");
        assert_eq!(semver::compare(v, text(&row, "other")) as i64, row["compare"], "{row}");
        assert_eq!(pseudo::is_pseudo(v), row["pseudo"], "{v:?}");
        assert_eq!(Version::parse(v).is_ok(), !v.is_empty() && row["module_canonical"] == v, "{v:?}");
    }
}

#[test]
fn pseudo_versions_as_go() {
    let rows = rows("module/semver.jsonl");
    let pseudo_versions = rows.iter().filter(|row| row.get("rev").is_some());
    for row in pseudo_versions {
        let version = Version::parse(text(row, "v")).unwrap();
        match (pseudo::parse(&version), row["base_error"].as_str()) {
            (Err(error), Some(reason)) => assert!(reason.ends_with(&error.to_string()), "{error} {row}"),
            (Ok(parsed), None) => {
                assert_eq!(parsed.base.as_ref().map_or("", Version::as_str), row["base"], "{row}");
                assert_eq!(*parsed.rev, row["rev"], "{row}");
                let time = Timestamp::from_pseudo(&parsed.time);
                assert_eq!(time.map(|time| time.secs).ok(), row["time"].as_i64(), "{row}");
            }
            (ours, _) => panic!("{ours:?} {row}"),
        }
    }
}

/// Go's verdict is an error text or null.
fn assert_verdict(ours: Result<(), PathError>, go: &Value) {
    let ours = ours.map_err(|error| error.to_string()).err();
    assert_eq!(ours.as_deref(), go.as_str());
}

#[test]
fn paths_as_go() {
    for row in rows("module/paths.jsonl") {
        let path = text(&row, "path");
        assert_verdict(ModulePath::parse(path).map(drop), &row["module"]);
        assert_verdict(path::check_import_path(path), &row["import"]);
        assert_verdict(path::check_file_path(path), &row["file"]);
        let split = path::split_path_major(path);
        assert_eq!(split.map(|(prefix, _)| prefix), row["prefix"].as_str(), "{path:?}");
        assert_eq!(split.map(|(_, major)| major.as_str()), row["major"].as_str(), "{path:?}");
        let escaped = ModulePath::parse(path).map(|path| path.escape().to_string());
        assert_eq!(escaped.ok().as_deref(), row["escaped"].as_str(), "{path:?}");
        let unescaped = ModulePath::from_escaped(path);
        assert_eq!(unescaped.ok().as_ref().map(ModulePath::as_str), row["unescaped"].as_str(), "{path:?}");
    }
}

#[test]
fn versions_fit_paths_as_go() {
    for row in rows("module/paths.jsonl") {
        let Ok(path) = ModulePath::parse(text(&row, "path")) else { continue };
        let version = Version::parse(text(&row, "version")).unwrap();
        assert_eq!(version.fits(&path).is_ok(), row["fits"], "{row}");
    }
}

/// We refuse a leading dash besides (B16).
#[test]
fn queries_as_go() {
    for row in rows("module/paths.jsonl") {
        let name = text(&row, "path");
        let go = row["escaped_version"].as_str().filter(|_| !name.starts_with('-'));
        assert_eq!(Query::parse(name).ok().map(|query| query.escape()).as_deref(), go, "{name:?}");
    }
}

#[test]
fn globs_as_go() {
    for row in rows("module/globs.jsonl") {
        let (glob, name) = (text(&row, "glob"), text(&row, "name"));
        assert_eq!(glob_match(glob, name).is_err(), row["malformed"], "{row}");
        assert_eq!(glob_match(glob, name).unwrap_or(false), row["match"], "{row}");
        assert_eq!(Patterns::lenient(glob).matches(name), row["prefix"], "{row}");
    }
}

#[test]
fn go_mod_files_as_go() {
    for row in rows("module/gomod.jsonl") {
        let file = STANDARD.decode(text(&row, "file")).unwrap();
        let shown = String::from_utf8_lossy(&file);
        assert_eq!(summary(GoMod::parse(&file).ok()), row["strict"], "{shown:?}");
        assert_eq!(summary(GoMod::parse_lenient(&file).ok()), row["lenient"], "{shown:?}");
        assert_eq!(module_line_quick_scan(&file).unwrap_or_default(), row["scan"], "{shown:?}");
    }
}

/// In the shape of the table.
fn summary(parsed: Option<GoMod>) -> Value {
    let Some(parsed) = parsed else { return Value::Null };
    let mut row = json!({
        "require": parsed.require.iter().map(|r| json!([r.path, r.version, r.indirect])).collect::<Vec<_>>(),
        "exclude": parsed.exclude.iter().map(|e| json!([e.path, e.version])).collect::<Vec<_>>(),
        "replace": parsed.replace.iter().map(|r| {
            let (path, version) = match &r.by {
                Replacement::Directory(directory) => (directory, ""),
                Replacement::Module { path, version } => (path, &**version),
            };
            json!([r.path, r.version.as_deref().unwrap_or_default(), path, version])
        }).collect::<Vec<_>>(),
        "retract": parsed.retract.iter().map(|r| json!([r.low, r.high, r.rationale])).collect::<Vec<_>>(),
        "tool": parsed.tool.iter().map(|tool| json!([tool])).collect::<Vec<_>>(),
        "ignore": parsed.ignore.iter().map(|ignore| json!([ignore])).collect::<Vec<_>>(),
        "godebug": parsed.godebug.iter().map(|g| json!([g.key, g.value])).collect::<Vec<_>>(),
    });
    if let Some(module) = parsed.module {
        row["module"] = module.into();
        row["deprecated"] = parsed.deprecated.unwrap_or_default().into();
    }
    if let Some(go) = parsed.go {
        row["go"] = go.into();
    }
    if let Some(toolchain) = parsed.toolchain {
        row["toolchain"] = toolchain.into();
    }
    row
}

#[test]
fn letters_as_go() {
    assert_property("unicode/letters.txt", unicode::is_letter);
}

#[test]
fn printable_characters_as_go() {
    assert_property("unicode/printable.txt", unicode::is_print);
}

fn assert_property(name: &str, ours: fn(char) -> bool) {
    let mut go = vec![false; 0x11_0000];
    for line in table(name).lines() {
        let (first, last) = line.split_once('-').unwrap();
        go[hex(first)..=hex(last)].fill(true);
    }
    for c in '\0'..=char::MAX {
        assert_eq!(ours(c), go[c as usize], "{c:?}");
    }
}

#[test]
fn case_folding_as_go() {
    let mut smallest: Vec<u32> = (0..0x11_0000).collect();
    for line in table("unicode/case-orbits.txt").lines() {
        let orbit: Vec<_> = line.split(' ').map(hex).collect();
        for &member in &orbit {
            smallest[member] = u32::try_from(orbit[0]).unwrap();
        }
    }
    // Two texts have one key exactly if go puts them into one orbit: the key is a function of the orbit, and
    // different orbits have different keys.
    let mut orbit_of_key = std::collections::HashMap::new();
    for c in '\0'..=char::MAX {
        let key = path::fold_key(&c.to_string());
        let orbit = smallest[c as usize];
        assert_eq!(*orbit_of_key.entry(key.clone()).or_insert(orbit), orbit, "{c:?}");
        let representative = char::from_u32(orbit).unwrap();
        assert_eq!(path::fold_key(&representative.to_string()), key, "{c:?}");
    }
}

fn hex(text: &str) -> usize {
    usize::from_str_radix(text, 16).unwrap()
}

#[test]
fn faults_speak_as_go() {
    let Err(PathError::Invalid { fault, .. }) = ModulePath::parse("example.com/a'b") else {
        panic!("legal?")
    };
    assert_eq!((fault.to_string(), fault), ("invalid char '\\''".into(), Fault::Char('\'')));
}
