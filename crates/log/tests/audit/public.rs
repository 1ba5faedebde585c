//! The public database: real heads, real lookups, and of its tiles a handful.

use std::ops::ControlFlow;
use std::path::PathBuf;

use modkeep_log::audit::{self, Directory, Gossip, Options, Parts, State, gossip};
use modkeep_tlog::VerifierKey;

const KEY: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/public-log")
}

#[test]
fn the_part_of_the_public_log_that_is_here_verifies_and_the_rest_is_called_unchecked() {
    let home = tempfile::tempdir().unwrap();
    let (source, key) = (Directory::new(folder()), VerifierKey::parse(KEY).unwrap());
    let options = Options { partial: true, ..Options::default() };
    let mut state = State::open(home.path(), "sum.golang.org").unwrap();
    let parts = Parts { source: &source, key: &key, held: None, options };
    let report = audit::run(&parts, &mut state, &mut |_| ControlFlow::Continue(())).unwrap();

    assert_eq!(report.findings, []);
    assert_eq!(report.head.map(|head| head.size.get()), Some(70_483_086));
    assert!(report.checked.hash_tiles >= 10, "{:?}", report.checked);
    // No tile of records is here, so no record was read, and every one is in a gap.
    assert_eq!(report.checked.records, 0);
    let unread: u64 = report.gaps.iter().map(|gap| gap.to - gap.from).sum();
    assert_eq!(unread, 70_483_086);
    assert!(report.gaps.len() < 50, "{}", report.gaps.len());
}

#[test]
fn a_whole_log_would_have_served_what_is_missing_here() {
    let home = tempfile::tempdir().unwrap();
    let (source, key) = (Directory::new(folder()), VerifierKey::parse(KEY).unwrap());
    let mut state = State::open(home.path(), "sum.golang.org").unwrap();
    let parts = Parts { source: &source, key: &key, held: None, options: Options::default() };
    let report = audit::run(&parts, &mut state, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(!report.is_honest());
    assert!(report.findings.iter().all(|finding| finding.kind == audit::Kind::MissingTile));
}

#[test]
fn heads_that_clients_saw_are_of_one_history() {
    let home = tempfile::tempdir().unwrap();
    let (source, key) = (Directory::new(folder()), VerifierKey::parse(KEY).unwrap());
    let mut state = State::open(home.path(), "sum.golang.org").unwrap();
    let options = Options { partial: true, ..Options::default() };
    let parts = Parts { source: &source, key: &key, held: None, options };
    for lookup in [
        "rsc.io/quote@v1.5.2",
        "github.com/!burnt!sushi/toml@v0.3.1",
        "github.com/dgrijalva/jwt-go@v3.2.0+incompatible",
        "golang.org/x/text@v0.43.0",
    ] {
        let answer = std::fs::read_to_string(folder().join("lookup").join(lookup)).unwrap();
        let (_, note) = answer.split_once("\n\n").unwrap();
        let verdict = gossip(&parts, &mut state, note.as_bytes()).unwrap();
        assert!(matches!(verdict, Gossip::Consistent { .. }), "{lookup}: {verdict:?}");
    }
}
