//! The go command's own code as the judge of our zip reader.
//!
//! `tests/oracle/main.go` is compiled by `$GO` over its own copy of x/mod. `MODKEEP_BLESS=1` rewrites
//! `testdata/zips/verdicts.tsv`.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

mod craft;
mod hostile;

use std::fs;
use std::path::Path;

use craft::of;
use hostile::{cases, golden, golden_file};
use modkeep_module::zip::{Limits, StructureFault, ZipError, check, write};
use modkeep_testkit::Oracle;

/// The release that said what the committed verdicts are.
const RELEASE: &str = "go1.27";

fn oracle() -> Oracle {
    Oracle::build(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/main.go"))
}

/// The verdict on each zip: an `h1:` or the reason for refusing it.
fn judge<'a>(oracle: &Oracle, zips: impl Iterator<Item = &'a [u8]>) -> Vec<Result<String, String>> {
    let files = zips.enumerate().map(|(n, zip)| {
        let file = oracle.folder().join(format!("{n}.zip"));
        fs::write(&file, zip).unwrap();
        file
    });
    let files: Vec<_> = files.collect();
    let questions: Vec<_> =
        files.iter().map(|file| format!("{}\texample.com/m\tv1.0.0", file.display())).collect();
    let verdicts = oracle.ask(&questions).iter().map(|line| verdict(line)).collect();
    for file in &files {
        fs::remove_file(file).unwrap();
    }
    verdicts
}

fn verdict(line: &str) -> Result<String, String> {
    match line.split_once('\t').unwrap() {
        ("accepts", h1) => Ok(h1.to_owned()),
        (_, reason) => Err(reason.to_owned()),
    }
}

/// The committed verdicts are those of the go command found here.
#[test]
fn golden_verdicts_are_the_go_commands() {
    let oracle = oracle();
    let cases = cases();
    let verdicts = judge(&oracle, cases.iter().map(|case| case.zip.as_slice()));
    if std::env::var_os("MODKEEP_BLESS").is_some() {
        let head =
            format!("# What x/mod/zip and x/mod/sumdb/dirhash of {RELEASE} say; made by zip_oracle.rs\n");
        let lines = cases.iter().zip(&verdicts).map(|(case, verdict)| match verdict {
            Ok(h1) => format!("{}\taccepts\t{h1}\n", case.id),
            Err(_) => format!("{}\trejects\t\n", case.id),
        });
        let text: Vec<String> = std::iter::once(head).chain(lines).collect();
        fs::write(golden_file(), text.concat()).unwrap();
    }
    let golden = golden();
    for (case, verdict) in cases.iter().zip(verdicts) {
        assert_eq!(golden.get(case.id), Some(&verdict.clone().ok()), "{}: {verdict:?}", case.id);
    }
    assert_eq!(golden.len(), cases.len());
}

/// What we write, the go command unpacks, and sums as we do.
#[test]
fn zips_we_write_are_accepted() {
    let oracle = oracle();
    let long = "long\n".repeat(100_000);
    for files in [
        &[][..],
        &[("go.mod", "module example.com/m\n")],
        &[
            ("go.mod", "module example.com/m\n"),
            ("é/日本.txt", "x"),
            ("empty", ""),
            ("long", &long),
            ("a b", "c"),
        ],
    ] {
        let mut zip = Vec::new();
        let h1 = write(files.iter().copied(), &of(), &mut zip).unwrap();
        assert_eq!(judge(&oracle, std::iter::once(zip.as_slice())), [Ok(h1.to_string())]);
    }
}

/// Zips with some bytes changed at random: whatever we accept, the go command accepts with the same sum, unless we
/// call it anomalous; and whatever it accepts we do too, unless readers disagree where the directory is.
#[test]
fn random_damage_is_judged_alike() {
    let oracle = oracle();
    let mut random = Random(0x6d6f_646b_6565_7021);
    let seeds: Vec<Vec<u8>> =
        cases().into_iter().map(|case| case.zip).filter(|zip| zip.len() < 2_000).collect();
    let mutants: Vec<Vec<u8>> = (0..3_000).map(|n| random.mutant(&seeds[n % seeds.len()])).collect();
    let verdicts = judge(&oracle, mutants.iter().map(Vec::as_slice));
    let (mut agreed, mut anomalous, mut stricter) = (0, 0, 0);
    for (mutant, go) in mutants.iter().zip(verdicts) {
        let ours = check(mutant, mutant.len() as u64, &of(), &Limits::default());
        match (&ours, &go) {
            (Ok(facts), Ok(h1)) => {
                assert_eq!(facts.h1.to_string(), *h1, "{facts:?}\n{mutant:?}");
                agreed += 1;
            }
            (Ok(facts), Err(reason)) => {
                assert!(!facts.anomalies.is_empty(), "go: {reason}\n{mutant:?}");
                anomalous += 1;
            }
            (Err(ZipError::Structure(StructureFault::EndRecord)), Ok(_)) => stricter += 1,
            (Err(_), Err(_)) => {}
            (Err(ours), Ok(_)) => panic!("we: {ours}, go accepts\n{mutant:?}"),
        }
    }
    let all = mutants.len();
    eprintln!(
        "oracle: {all} mutants, {agreed} accepted by both, {anomalous} by us alone, {stricter} by go alone"
    );
    assert!(agreed > 100, "the mutants are too broken to say anything");
}

/// xorshift64*: the same mutants every time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap() % limit
    }

    fn mutant(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut zip = seed.to_vec();
        for _ in 0..=self.below(3) {
            if zip.is_empty() {
                break;
            }
            let at = self.below(zip.len());
            match self.below(5) {
                0 => zip[at] = 0,
                1 => zip[at] = 0xff,
                2 => zip[at] ^= 1 << self.below(8),
                3 => drop(zip.remove(at)),
                _ => zip.insert(at, zip[at]),
            }
        }
        zip
    }
}
