//! Real modules as the public mirror serves them, when they are found: `FIXTURES_DIR`, default `../shared/fixtures` beside
//! the repository. Every zip has the sum that the reference implementation gave it, and no anomaly.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

mod craft;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use craft::module;
use modkeep_module::H1;
use modkeep_module::zip::{Limits, check};

fn fixtures() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures");
    let dir = std::env::var_os("FIXTURES_DIR").map_or(beside, PathBuf::from);
    dir.join("sums.tsv").exists().then_some(dir)
}

#[test]
fn real_zips_have_their_sums() {
    let Some(dir) = fixtures() else {
        eprintln!("tier: self-contained (no fixtures found, FIXTURES_DIR names them)");
        return;
    };
    eprintln!("tier: real world ({})", dir.display());
    let sums = fs::read_to_string(dir.join("sums.tsv")).unwrap();
    let (mut zips, mut bytes, mut took) = (0, 0, Duration::ZERO);
    for line in sums.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<_> = line.split('\t').collect();
        let [path, version, zip_h1, mod_h1, size, _] = fields[..] else { panic!("{line}") };
        let of = module(path, version);
        let file = |suffix: &str| {
            let (path, version) = (of.path().escape(), of.version().escape());
            dir.join(format!("mirror/{}/@v/{version}.{suffix}", path.as_str()))
        };
        let go_mod = fs::read(file("mod")).unwrap();
        assert_eq!(H1::of_go_mod(&go_mod).to_string(), mod_h1, "{of}");
        let zip = File::open(file("zip")).unwrap();
        let size: u64 = size.parse().unwrap();
        let start = Instant::now();
        let facts =
            check(&zip, size, &of, &Limits::default()).unwrap_or_else(|error| panic!("{of}: {error}"));
        took += start.elapsed();
        assert_eq!((facts.h1.to_string().as_str(), facts.anomalies), (zip_h1, vec![]), "{of}");
        assert_eq!(fs::read_to_string(file("ziphash")).unwrap(), zip_h1, "{of}");
        if let Some(inside) = facts.go_mod {
            assert!(inside == go_mod, "{of}: go.mod in the zip differs from .mod");
        }
        (zips, bytes) = (zips + 1, bytes + size);
    }
    eprintln!("{zips} zips, {bytes} bytes, {took:?}");
    assert!(zips > 0);
}
