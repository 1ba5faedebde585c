//! The same over real modules, through the real key of sum.golang.org, where the fixtures are found.
//!
//! `FIXTURES_DIR` (default `../shared/fixtures` beside the project) holds a closed world of real modules and
//! the public database's own answers for them. Their bytes are never committed here.

use std::path::{Path, PathBuf};

use modkeep_testkit::program::Setup;
use modkeep_testkit::{Go, Site, Upstream};

use crate::{MODKEEP, assert_sound, ended};

/// The go command's own default database, and the key that it has built in.
const SUM_GOLANG_ORG: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

/// The fixtures, or a line that says why the test did not run.
fn fixtures() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures");
    let folder = std::env::var_os("FIXTURES_DIR").map_or(default, PathBuf::from);
    let found = folder.join("sums.tsv").is_file() && folder.join("mirror").is_dir();
    if !found {
        eprintln!("real world: not run, no fixtures at {}", folder.display());
    }
    found.then_some(folder)
}

struct Row {
    module: String,
    version: String,
    zip_h1: String,
    go_mod_h1: String,
}

fn rows(fixtures: &Path) -> Vec<Row> {
    let text = std::fs::read_to_string(fixtures.join("sums.tsv")).unwrap();
    let fields = |line: &str| -> Row {
        let mut fields = line.split('\t').map(str::to_owned);
        let mut next = || fields.next().unwrap();
        Row { module: next(), version: next(), zip_h1: next(), go_mod_h1: next() }
    };
    text.lines().filter(|line| !line.starts_with('#')).map(fields).collect()
}

/// A file server over the fixtures, and a mirror of it that has only the real key.
fn mirrored(fixtures: &Path) -> (Upstream, Setup) {
    let upstream = Upstream::start(Site::tree(fixtures.join("mirror")));
    let through = format!("{SUM_GOLANG_ORG} {}/sumdb/sum.golang.org", upstream.url());
    let setup = Setup::new(MODKEEP)
        .with("MODKEEP_ORIGIN_UPSTREAM", &upstream.url())
        .with("MODKEEP_VERIFY_LOG", &through)
        // The closed world denies @latest where it holds no zip; that no is forgotten when the upstream is gone.
        .with("MODKEEP_ORIGIN_ABSENT_TTL", "1s");
    (upstream, setup)
}

#[test]
fn all_real_versions_download_with_their_published_sums() {
    let Some(fixtures) = fixtures() else { return };
    let (mut upstream, setup) = mirrored(&fixtures);
    let modkeep = setup.serve();
    let rows = rows(&fixtures);
    let wanted: Vec<String> = rows.iter().map(|row| format!("{}@{}", row.module, row.version)).collect();
    let mut arguments = vec!["mod", "download", "-json"];
    arguments.extend(wanted.iter().map(String::as_str));
    for round in ["upstream up", "upstream gone"] {
        let told = Go::new(modkeep.url(), "sum.golang.org").run(&arguments).expect_ok().stdout;
        for row in &rows {
            let both = told.contains(&row.zip_h1) && told.contains(&row.go_mod_h1);
            assert!(both, "{round}: {}@{}", row.module, row.version);
        }
        upstream.stop();
    }
    modkeep.stop();
    assert_sound(&setup);
}

#[test]
fn real_programs_install() {
    let Some(fixtures) = fixtures() else { return };
    let (mut upstream, setup) = mirrored(&fixtures);
    let modkeep = setup.serve();
    let programs =
        ["filippo.io/age/cmd/...@latest", "github.com/mikefarah/yq/v4@latest", "mvdan.cc/gofumpt@latest"];
    for program in programs {
        Go::new(modkeep.url(), "sum.golang.org").run(&["install", program]).expect_ok();
    }
    upstream.stop();
    for program in programs {
        Go::new(modkeep.url(), "sum.golang.org").run(&["install", program]).expect_ok();
    }
}

/// Builds, tests, verifies and looks for updates, in a real program with 22 dependencies.
#[track_caller]
fn bookshop(fixtures: &Path, proxy: &str, sumdb: &str) {
    let go = Go::new(proxy, sumdb);
    go.copy_in(&fixtures.join("programs/bookshop"));
    go.run(&["build", "-o", "bookshop", "."]).expect_ok();
    go.run(&["test", "."]).expect_ok();
    go.run(&["run", "."]).expect_ok();
    let verified = go.run(&["mod", "verify"]).expect_ok();
    assert!(verified.stdout.contains("all modules verified"), "{}", verified.stdout);
    let updates = go.run(&["list", "-m", "-u", "all"]).expect_ok();
    assert!(updates.stdout.contains("github.com/spf13/cobra v1.8.1"), "{}", updates.stdout);
    let go = Go::new(proxy, sumdb);
    go.write("go.mod", "module visitor.example/walk\n\ngo 1.24\n");
    let wanted =
        ["rsc.io/quote@latest", "github.com/golang/protobuf@latest", "github.com/gorilla/websocket@latest"];
    let got = go.run(&[&["get"][..], &wanted].concat()).expect_ok();
    assert!(got.stderr.contains("github.com/golang/protobuf is deprecated"), "{}", got.stderr);
}

#[test]
fn the_bookshop_opens_with_the_upstream_up_and_gone_and_from_an_export() {
    let Some(fixtures) = fixtures() else { return };
    let (mut upstream, setup) = mirrored(&fixtures);
    let modkeep = setup.serve();
    bookshop(&fixtures, modkeep.url(), "sum.golang.org");
    upstream.stop();
    bookshop(&fixtures, modkeep.url(), "sum.golang.org");
    modkeep.stop();
    assert_sound(&setup);

    let tree = setup.home().join("tree");
    ended(&setup.run(&["export", "--out", tree.to_str().unwrap()]), 0);
    upstream.resume();
    let database = format!("{SUM_GOLANG_ORG} {}/sumdb/sum.golang.org", upstream.url());
    bookshop(&fixtures, &format!("file://{}", tree.display()), &database);
    let server = Upstream::start(Site::tree(&tree));
    bookshop(&fixtures, &server.url(), &database);
}

#[test]
fn the_whole_tree_imports_and_every_sum_is_right() {
    let Some(fixtures) = fixtures() else { return };
    let (_upstream, setup) = mirrored(&fixtures);
    let tree = fixtures.join("mirror");
    ended(&setup.run(&["import", tree.to_str().unwrap()]), 0);
    let listed = ended(&setup.run(&["list", "--versions"]), 0);
    for row in rows(&fixtures) {
        let shown = ended(&setup.run(&["show", &format!("{}@{}", row.module, row.version)]), 0);
        assert!(shown.contains(&row.zip_h1) && shown.contains(&row.go_mod_h1), "{shown}");
        assert!(listed.contains(&row.module) && listed.contains(&row.version), "{}", row.module);
    }
    assert_sound(&setup);
}
