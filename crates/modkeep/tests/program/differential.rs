//! Direct mode against its oracle: the real go command with `GOPROXY=direct` and modkeep are asked the same
//! questions of the same servers, and must say the same.
//!
//! `cargo xtask differential REPO…` runs the second test here over given repositories.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use modkeep_testkit::differential::{Oracle, Report, Scale, Site, published, walk};
use modkeep_testkit::git::Kind;
use modkeep_testkit::origins::World;
use modkeep_testkit::program::{Program, Setup};
use modkeep_testkit::{GitServer, Go, Pages};

use crate::MODKEEP;

/// modkeep in front of these servers: every https repository is asked of `server`, every page of `pages`.
fn direct(server: &GitServer, pages: &Pages) -> (Setup, Program) {
    let words = pages.resolving();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let setup = Setup::new(MODKEEP)
        .through(&words)
        .with("MODKEEP_ORIGIN_UPSTREAM", "direct")
        .with("MODKEEP_ORIGIN_REWRITE", &server.rewrites())
        .with("MODKEEP_VERIFY_LOG", "off")
        .with("MODKEEP_ORIGIN_PACE", "1000/s")
        .with("HTTPS_PROXY", &pages.proxy())
        .with("SSL_CERT_FILE", &pages.certificate_file());
    let program = setup.serve();
    (setup, program)
}

fn compare(
    (server, pages): (&GitServer, &Pages),
    sites: &[Site],
    scale: Scale,
    sums: &BTreeMap<String, String>,
) -> Report {
    let (_setup, program) = direct(server, pages);
    let oracle = Oracle::new(|| server.instead(pages.before(Go::new("direct", "off"))));
    let report = walk(sites, scale, &oracle, program.url(), sums);
    println!("{report}");
    if let Some(file) = std::env::var_os("MODKEEP_DIFFERENTIAL_LOG") {
        std::fs::write(file, program.said()).unwrap();
    }
    report
}

/// Repositories of the generated world that are walked with every change: one or two of each kind of rule.
const SAMPLES: &[&str] = &[
    "w/plain",
    "w/bare",
    "w/majorbranch",
    "w/majordir",
    "w/nestedmajor",
    "w/retracted",
    "w/merges",
    "w/sha256",
    "w/eol",
    "w/ident",
    "w/vendored",
    "w/licenses",
    "w/links",
];

#[test]
fn samples_of_each_rule_are_as_the_go_command_sees_them() {
    let world = World::make(Kind::Full, SAMPLES);
    let report = compare((&world.server, &world.pages), &world.sites, Scale::ALL, &BTreeMap::new());
    assert!(report.differences.is_empty(), "differences, listed above");
    assert!(report.repositories >= SAMPLES.len() && report.zips >= SAMPLES.len(), "{report}");
}

/// All of the world, or what `MODKEEP_DIFFERENTIAL_ONLY` names.
#[test]
#[ignore = "takes many minutes: cargo test -p modkeep --test program -- --ignored every_generated"]
fn every_generated_repository_is_as_the_go_command_sees_it() {
    let wanted = std::env::var("MODKEEP_DIFFERENTIAL_ONLY").unwrap_or_default();
    let wanted: Vec<&str> = wanted.split_whitespace().collect();
    let world = World::make(Kind::Full, &wanted);
    let report = compare((&world.server, &world.pages), &world.sites, Scale::ALL, &BTreeMap::new());
    assert_eq!(report.differences.len(), 0, "differences, listed above");
    assert!(!wanted.is_empty() || (report.repositories >= 60 && report.zips >= 300), "{report}");
}

/// `MODKEEP_DIFFERENTIAL`: words `ROOT=WHERE`, or a URL alone whose root is what follows its scheme.
/// `MODKEEP_DIFFERENTIAL_SUMS`: go.sum files whose sums must be met.
#[test]
#[ignore = "for cargo xtask differential: compares the repositories that MODKEEP_DIFFERENTIAL names"]
fn given_repositories_are_as_the_go_command_sees_them() {
    let words = std::env::var("MODKEEP_DIFFERENTIAL").expect("MODKEEP_DIFFERENTIAL names repositories");
    let folder = tempfile::tempdir().unwrap();
    let server = GitServer::over(folder.path(), Kind::Full);
    let pages = Pages::start();
    let sites: Vec<Site> = words.split_whitespace().map(|word| site(folder.path(), &pages, word)).collect();
    let sums = std::env::var("MODKEEP_DIFFERENTIAL_SUMS").unwrap_or_default();
    let sums = sums.split_whitespace().flat_map(|file| published(Path::new(file))).collect();
    let report = compare((&server, &pages), &sites, Scale::LARGE, &sums);
    assert_eq!(report.differences.len(), 0, "differences, listed above");
}

/// Puts one repository where the server finds it, and a page where its path needs one.
fn site(folder: &Path, pages: &Pages, word: &str) -> Site {
    let (root, from) = word.split_once('=').unwrap_or_else(|| {
        let root = word.split_once("://").map_or(word, |(_, rest)| rest);
        (root.trim_end_matches('/').trim_end_matches(".git"), word)
    });
    let repository = folder.join(root);
    std::fs::create_dir_all(repository.parent().unwrap()).unwrap();
    if from.contains("://") {
        let cloned = Command::new("git").args(["clone", "-q", "--mirror", from]).arg(&repository).status();
        assert!(cloned.unwrap().success(), "{from} cannot be cloned");
    } else {
        let from = PathBuf::from(from).canonicalize().unwrap_or_else(|e| panic!("{from}: {e}"));
        std::os::unix::fs::symlink(from, &repository).unwrap();
    }
    if !root.starts_with("github.com/") && !root.starts_with("bitbucket.org/") {
        // In place of the real page: majors and folders of the module lead to the same root.
        let tag = format!("{root} git https://{root}");
        pages.import(root, &tag);
        pages.below(root);
    }
    Site {
        root: root.to_owned(),
        repository: Some(repository),
        subdirectory: String::new(),
        paths: Vec::new(),
        more: Vec::new(),
    }
}
