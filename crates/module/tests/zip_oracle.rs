//! The go command's own code as the judge of our zip reader, wherever a go 1.27 is found.
//!
//! The command is `MODKEEP_GO`, else `.tools/go/bin/go` below the repository, else `go` on the path. Its own copy of
//! x/mod is compiled into a small program (`tests/oracle/main.go`) in a scratch directory; nothing is downloaded.
//! `MODKEEP_BLESS=1` rewrites `testdata/zips/verdicts.tsv`.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

mod craft;
mod hostile;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use craft::of;
use hostile::{cases, golden, golden_file};
use modkeep_module::zip::{Limits, StructureFault, ZipError, check, write};

/// The verdicts are those of this release.
const RELEASE: &str = "go1.27";

/// The program that judges, or nothing when no fitting go command is found.
struct Oracle {
    program: PathBuf,
    scratch: tempfile::TempDir,
}

impl Oracle {
    fn build() -> Option<Self> {
        let go = find_go()?;
        let root = PathBuf::from(env(&go, "GOROOT"));
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let oracle = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/main.go");
        fs::copy(oracle, dir.join("main.go")).unwrap();
        copy(&root.join("src/cmd/vendor/golang.org/x/mod"), &dir.join("mod"));
        fs::write(dir.join("mod/go.mod"), "module golang.org/x/mod\n\ngo 1.25\n").unwrap();
        let go_mod = "module oracle\n\ngo 1.25\n\nrequire golang.org/x/mod v0.0.0\n\nreplace golang.org/x/mod => ./mod\n";
        fs::write(dir.join("go.mod"), go_mod).unwrap();
        let program = dir.join("oracle");
        let built = quiet(&go, dir).args(["build", "-o"]).arg(&program).arg(".").output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Some(Self { program, scratch })
    }

    /// The verdict on each zip: an `h1:` or the reason for refusing it.
    fn judge<'a>(&self, zips: impl Iterator<Item = &'a [u8]>) -> Vec<Result<String, String>> {
        let mut lines = Vec::new();
        let mut files = Vec::new();
        for (n, zip) in zips.enumerate() {
            let file = self.scratch.path().join(format!("{n}.zip"));
            fs::write(&file, zip).unwrap();
            lines.push(format!("{}\texample.com/m\tv1.0.0\n", file.display()));
            files.push(file);
        }
        let mut child = Command::new(&self.program)
            .env("TMPDIR", self.scratch.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || stdin.write_all(lines.concat().as_bytes()).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let verdicts: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(verdict).collect();
        assert_eq!(verdicts.len(), files.len());
        for file in files {
            fs::remove_file(file).unwrap();
        }
        verdicts
    }
}

fn verdict(line: &str) -> Result<String, String> {
    match line.split_once('\t').unwrap() {
        ("accepts", h1) => Ok(h1.to_owned()),
        (_, reason) => Err(reason.to_owned()),
    }
}

fn find_go() -> Option<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/go/bin/go");
    let named = std::env::var_os("MODKEEP_GO").map(PathBuf::from);
    let go = named.or_else(|| tools.exists().then_some(tools)).unwrap_or_else(|| "go".into());
    let version = quiet(&go, Path::new(".")).args(["env", "GOVERSION"]).output().ok()?;
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    eprintln!("oracle: {} is {version}", go.display());
    version.starts_with(RELEASE).then_some(go)
}

/// The go command, talking to nobody and writing only below the target directory.
fn quiet(go: &Path, dir: &Path) -> Command {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut command = Command::new(go);
    command
        .current_dir(dir)
        .env("GOCACHE", cache.join("go-build"))
        .env("GOPATH", cache.join("go-path"))
        .env("GOENV", "off")
        .env("GOPROXY", "off")
        .env("GOTOOLCHAIN", "local")
        .env("GOTELEMETRY", "off")
        .env("GOFLAGS", "-mod=mod");
    command
}

fn env(go: &Path, name: &str) -> String {
    let output = quiet(go, Path::new(".")).args(["env", name]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The committed verdicts are those of the go command found here.
#[test]
fn golden_verdicts_are_the_go_commands() {
    let Some(oracle) = Oracle::build() else {
        eprintln!("oracle: no {RELEASE} found; the committed verdicts stand unchecked");
        return;
    };
    let cases = cases();
    let verdicts = oracle.judge(cases.iter().map(|case| case.zip.as_slice()));
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
    let Some(oracle) = Oracle::build() else { return };
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
        assert_eq!(oracle.judge(std::iter::once(zip.as_slice())), [Ok(h1.to_string())]);
    }
}

/// Zips with some bytes changed at random: whatever we accept, the go command accepts with the same sum, unless we
/// call it anomalous; and whatever it accepts we do too, unless readers disagree where the directory is.
#[test]
fn random_damage_is_judged_alike() {
    let Some(oracle) = Oracle::build() else { return };
    let mut random = Random(0x6d6f_646b_6565_7021);
    let seeds: Vec<Vec<u8>> =
        cases().into_iter().map(|case| case.zip).filter(|zip| zip.len() < 2_000).collect();
    let mutants: Vec<Vec<u8>> = (0..3_000).map(|n| random.mutant(&seeds[n % seeds.len()])).collect();
    let verdicts = oracle.judge(mutants.iter().map(Vec::as_slice));
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
