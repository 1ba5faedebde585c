//! Hostile repositories (hostile-inputs part C), each beside the real go command: one h1, or no zip from either.

use std::path::Path;

use super::*;

/// What the go command makes of `dir` at `v1.0.0`: its h1, or its complaint. Nothing of the host's git configuration.
fn go_sum(repository: &Path, dir: &str) -> Result<String, String> {
    let host = repository.parent().unwrap().display();
    let go = Go::new("direct", "off")
        .with("GOVCS", "*:all")
        .with("GIT_CONFIG_NOSYSTEM", "1")
        .with("GIT_CONFIG_COUNT", "1")
        .with("GIT_CONFIG_KEY_0", &format!("url.file://{host}/.insteadOf"))
        .with("GIT_CONFIG_VALUE_0", "https://example.com/");
    let path = module_path(dir);
    let run = go.run(&["mod", "download", "-json", &format!("{path}@v1.0.0")]);
    let told: serde_json::Value = serde_json::from_str(&run.stdout).expect(&run.stderr);
    match (told["Sum"].as_str(), told["Error"].as_str()) {
        (Some(sum), None) => Ok(sum.to_owned()),
        (_, error) => Err(error.unwrap_or_default().to_owned()),
    }
}

fn module_path(dir: &str) -> String {
    if dir.is_empty() { "example.com/r.git".to_owned() } else { format!("example.com/r.git/{dir}") }
}

/// What we make of it.
fn our_sum(repo: &GitRepo, dir: &str) -> Result<String, String> {
    let objects = Arc::new(CatFile::start(repo.path()));
    let root = objects.tree_of("main");
    let tree = GitTree::open(objects.clone(), &root, dir).map_err(|error| match error {
        TreeError::Declined { what } => panic!("declined: {what}"),
        TreeError::Failed(error) => error.to_string(),
    })?;
    let tree = tree.expect("the directory is there");
    let whole = GitTree::open(objects, &root, "").unwrap().unwrap();
    let license = wants_license(&tree, dir)
        .then(|| find(whole.entries(), b"LICENSE"))
        .flatten()
        .map(|license| whole.read(license).unwrap());
    let of = version(&module_path(dir), "v1.0.0");
    let bench = Bench::new();
    let zip = bench.pack(&tree, license.as_deref(), &of).map_err(|error| error.to_string())?;
    let modkeep_store::Body::Scratch(scratch) = zip.into_body() else { panic!("a zip is a file") };
    Ok(FetchedZip::read(scratch, &of).unwrap().h1().to_string())
}

/// Makes a repository, and tells what both think of `dir` in it.
fn both(dir: &str, script: impl FnOnce(&mut GitRepo)) -> (Result<String, String>, Result<String, String>) {
    let folder = tempfile::tempdir().unwrap();
    let mut repo = GitRepo::init(&folder.path().join("r.git"));
    script(&mut repo);
    let tag = if dir.is_empty() { "v1.0.0".to_owned() } else { format!("{dir}/v1.0.0") };
    repo.tag(&tag).save();
    (our_sum(&repo, dir), go_sum(repo.path(), dir))
}

/// Both give the same h1.
#[track_caller]
fn as_go(dir: &str, script: impl FnOnce(&mut GitRepo)) {
    let (ours, gos) = both(dir, script);
    assert!(gos.is_ok(), "go says {gos:?}, we {ours:?}");
    assert_eq!(ours, gos);
}

/// Neither gives a zip; both say something like this.
#[track_caller]
fn refused(script: impl FnOnce(&mut GitRepo), our_words: &str, go_words: &str) {
    let (ours, gos) = both("", script);
    let (ours, gos) = (ours.unwrap_err(), gos.unwrap_err());
    assert!(ours.contains(our_words), "{ours}");
    assert!(gos.contains(go_words), "{gos}");
}

fn begun(repo: &mut GitRepo) -> &mut GitRepo {
    repo.put("go.mod", "module example.com/r.git\n").put("m.go", "package m\n")
}

#[test]
fn hostile_c06_submodules_are_only_content() {
    as_go("", |repo| {
        begun(repo)
            .put(".gitmodules", "[submodule \"../../x\"]\n\tpath = s\r\n\turl = -u./payload\n")
            .submodule("s", "1111111111111111111111111111111111111111")
            .commit("evil");
    });
}

#[test]
fn hostile_c07_c09_filters_and_export_attributes_do_nothing() {
    as_go("", |repo| {
        begun(repo)
            .put(".gitattributes", "* filter=x\n*.txt export-subst\nsecret export-ignore\n")
            .put("a.txt", "$Format:%H$\n")
            .put("large.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
            .put("secret", "still here\n")
            .commit("evil");
    });
}

#[test]
fn hostile_c08_attributes_that_change_contents() {
    as_go("", |repo| {
        begun(repo)
            .put(
                ".gitattributes",
                "*.id ident\n*.crlf text eol=crlf\n*.u16 working-tree-encoding=UTF-16\n* text=auto\n",
            )
            .put("a.id", "$Id$ $Id: old $\n")
            .put("a.crlf", "one\ntwo\r\nthree\n")
            .put("a.u16", "h\u{e9}llo \u{1f600}\n")
            .put("sub/.gitattributes", "*.crlf -text\n*.go eol=crlf\n")
            .put("sub/b.crlf", "one\n")
            .put("sub/s.go", "package s\n")
            .commit("odd");
    });
}

/// The attributes above a module's directory count too, and the go.mod in the zip is converted (Z-13).
#[test]
fn hostile_c08_attributes_above_the_module() {
    as_go("sub/dir", |repo| {
        repo.put(".gitattributes", "*.go eol=crlf\ngo.mod eol=crlf\n")
            .put("LICENSE", "MIT\n")
            .put("sub/.gitattributes", "*.txt ident\n")
            .put("sub/dir/go.mod", "module example.com/r.git/sub/dir\n")
            .put("sub/dir/d.go", "package d\n")
            .put("sub/dir/d.txt", "$Id$\n")
            .commit("odd");
    });
}

#[test]
fn hostile_c10_links_submodules_and_modes() {
    as_go("", |repo| {
        begun(repo)
            .link("passwd", "/etc/passwd")
            .link("up", "../../..")
            .link(".gitattributes", "*.go eol=crlf")
            .exec("run.sh", "#!/bin/sh\n")
            .submodule("sub", "1111111111111111111111111111111111111111")
            .commit("odd");
    });
}

/// A tree with one file of this name beside a go.mod.
fn with_name(repo: &mut GitRepo, mode: &str, name: &str) {
    let (go_mod, file) = (repo.blob("module example.com/r.git\n"), repo.blob("hello\n"));
    let tree = match mode {
        "40000" => repo.raw_tree(&[raw_entry("100644", "file", &file)]),
        _ => file,
    };
    let mut entries = [("100644", "go.mod", &go_mod), (mode, name, &tree)];
    entries.sort_by_key(|(_, name, _)| *name);
    let entries = entries.map(|(mode, name, id)| raw_entry(mode, name, id));
    let tree = repo.raw_tree(&entries);
    repo.commit_tree("odd", &tree);
}

#[test]
fn hostile_c11_malformed_trees_refuse_the_version() {
    for (mode, name) in [
        ("100644", ".git"),
        ("40000", ".git"),
        ("100644", ".GIT"),
        ("40000", "git~1"),
        ("40000", ".."),
        ("100644", "."),
        ("100644", ".git "),
        ("120000", ".gitmodules"),
    ] {
        refused(|repo| with_name(repo, mode, name), "git archive: invalid path", "invalid path");
    }
    refused(|repo| with_name(repo, "100644", ""), "invalid path \"\"", "empty filename in tree entry");
}

/// git takes an entry `a/b` for a file in a directory. To us a name with a slash is none.
#[test]
fn hostile_c11_slashes_and_doubles_refuse_the_version() {
    for (names, our_words, gos_words) in [
        (&["d", "d"][..], "git archive: multiple entries for \"d\"", Some("multiple entries for file \"d\"")),
        (&["a/b"], "git archive: invalid path \"a/b\"", None),
    ] {
        let (ours, gos) = both("", |repo| {
            let file = repo.blob("hello\n");
            let entries: Vec<_> = names.iter().map(|name| raw_entry("100644", name, &file)).collect();
            let tree = repo.raw_tree(&entries);
            repo.commit_tree("odd", &tree);
        });
        assert_eq!(ours.unwrap_err(), our_words);
        assert!(gos_words.is_none_or(|words| gos.as_ref().unwrap_err().contains(words)), "{gos:?}");
    }
}

#[test]
fn hostile_c11_legal_names_are_judged_by_the_rules_of_zips() {
    for name in [".g\u{200c}it", "a:b", "con", "...", "\u{feff}"] {
        refused(|repo| with_name(repo, "100644", name), "malformed file path", "malformed file path");
    }
    for name in [".gitx", "git~2", ".gitmodules", "..a", "~"] {
        as_go("", |repo| with_name(repo, "100644", name));
    }
}

#[test]
fn hostile_c12_repositories_inside_are_plain_content() {
    as_go("", |repo| {
        begun(repo)
            .put(".hg/hgrc", "[hooks]\nupdate = touch /tmp/owned\n")
            .put(".hg_archival.txt", "repo: 0\n")
            .put("bare/HEAD", "ref: refs/heads/main\n")
            .put("bare/config", "[core]\n\tfsmonitor = touch /tmp/owned\n")
            .put("bare/objects/pack/x", "")
            .put("bare/refs/heads/main", "0\n")
            .put(".svn/entries", "")
            .commit("odd");
    });
}

/// Only the zip: whether such a go.mod names a module is the business of versions.
#[test]
fn hostile_c28_a_go_mod_that_is_no_file() {
    for script in [
        (|repo| {
            repo.link("go.mod", "module example.com/r.git").put("m.go", "package m\n").commit("odd");
        }) as fn(&mut GitRepo),
        |repo| {
            repo.put("go.mod/x", "x").put("m.go", "package m\n").commit("odd");
        },
        |repo| {
            begun(repo).put("d/go.mod/x", "kept").link("e/go.mod", "x").put("e/x", "kept").commit("odd");
        },
        |repo| {
            begun(repo).put("d/GO.MOD", "").put("d/x", "another module's").commit("odd");
        },
    ] {
        let (ours, gos) = both("", script);
        assert!(ours.is_ok(), "{ours:?}");
        assert!(gos.is_err() || gos == ours, "{gos:?} {ours:?}");
    }
    refused(
        |repo| {
            repo.put("GO.MOD", "module example.com/r.git\n").commit("odd");
        },
        "GO.MOD: go.mod files must have lowercase names",
        "go.mod files must have lowercase names",
    );
    let large = [b"module example.com/r.git\n//".as_slice(), &vec![b'x'; 16 << 20]].concat();
    refused(
        |repo| {
            repo.put("go.mod", &large).commit("odd");
        },
        "go.mod file too large (max size is 16777216 bytes)",
        "too large",
    );
}

#[test]
fn hostile_c29_modules_inside_modules() {
    let script = |repo: &mut GitRepo| {
        begun(repo).put("LICENSE", "MIT\n").put("a/x.go", "package a\n");
        for (dir, below) in [("sub", "x.go"), ("sub/b", "y.go"), ("sub/b/c", "z.go"), ("sub/b/c/d", "w.go")] {
            repo.put(format!("{dir}/go.mod"), format!("module example.com/r.git/{dir}\n"));
            repo.put(format!("{dir}/{below}"), "package x\n");
        }
        repo.commit("nested");
    };
    for dir in ["", "sub", "sub/b", "sub/b/c/d"] {
        as_go(dir, script);
    }
}
