//! `docs/auditing.md` keeps its word: every command on it works as printed, with the names of a log that is here.

use std::path::{Path, PathBuf};
use std::process::Command;

use modkeep_testkit::Upstream;
use modkeep_testkit::program::{Program, Setup};

use crate::{DATABASE, LOG, MODKEEP, mirror_of, upstream, with_log};

const FINCH: &str = "birds.example/finch@v0.9.0";

/// The blocks of shell on the page.
fn blocks() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/auditing.md");
    let page = std::fs::read_to_string(page).unwrap();
    let block = |part: &str| part.split_once("\n```").map(|(block, _)| block.to_owned());
    page.split("```sh\n").skip(1).filter_map(block).collect()
}

/// A log with records, where it is served, and a folder whose `modkeep` is the one under test.
struct House {
    upstream: Upstream,
    setup: Setup,
    modkeep: Program,
    key: String,
    programs: PathBuf,
}

fn house() -> House {
    let upstream = upstream();
    let (setup, key) = with_log(mirror_of(&upstream));
    let modkeep = setup.serve();
    for version in [FINCH, "example.com/marsh@v1.0.0", "example.com/tern@v1.5.2"] {
        assert_eq!(modkeep.get(&format!("/log/lookup/{version}")).status, 200);
    }
    let programs = setup.home().join("bin");
    std::fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink(MODKEEP, programs.join("modkeep")).unwrap();
    House { upstream, setup, modkeep, key, programs }
}

impl House {
    /// Runs shell, and says what it printed and how it ended.
    fn sh(&self, text: &str) -> (String, Option<i32>) {
        let path = format!("{}:{}", self.programs.display(), std::env::var("PATH").unwrap());
        let mut command: Command = self.setup.command();
        let command =
            command.args(["-c", text]).env("PATH", path).env("MODKEEP_STORE_PATH", self.setup.store());
        let mut sh = Command::new("sh");
        sh.args(command.get_args()).current_dir(self.setup.home()).env_clear();
        sh.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let done = sh.output().unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        (said, done.status.code())
    }

    /// The same, and it ends well.
    fn works(&self, text: &str) -> String {
        let (said, code) = self.sh(text);
        assert_eq!(code, Some(0), "{text}: {said}");
        said
    }

    /// A line of the page with what is here in the place of what stands there.
    fn here(&self, line: &str) -> String {
        let database = format!("'{} {}/db'", database_key(&self.upstream), self.upstream.url());
        let url = self.modkeep.url();
        let served = self.setup.home().join("tree");
        let relayed = format!("{url}/sumdb/{DATABASE}/gossip");
        line.replace("https://mirror.example/sumdb/sum.golang.org/gossip", &relayed)
            .replace("https://mirror.example", url)
            .replace("file:///srv/copy-of-a-log", &format!("file://{}", served.display()))
            .replace("go/pkg/sumdb/sum.golang.org/latest", "database.head")
            .replace("go/pkg/sumdb/mirror.example/log/latest", "log.head")
            .replace("sum.golang.org", &database)
            .replace("NAME+HASH+KEY", &self.key)
            .replace(" --every 10m", "")
    }
}

/// The key of the database behind the mirror.
fn database_key(upstream: &Upstream) -> String {
    upstream.gosumdb().split(' ').next().unwrap().to_owned()
}

#[test]
fn a_record_is_checked_with_what_every_machine_has() {
    let house = house();
    let block = blocks().into_iter().find(|block| block.starts_with("B=https://sum.golang.org")).unwrap();
    let (_, rest) = block.split_once('\n').unwrap();
    let key = house.key.splitn(3, '+').nth(2).unwrap();
    let text = format!("set -e\nB={}/log  M={FINCH}  KEY={key}\n{rest}", house.modkeep.url());
    let said = house.works(&text);
    assert!(said.contains("Signature Verified Successfully"), "{said}");
    let hashes: Vec<&str> = said
        .split_whitespace()
        .filter(|word| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .collect();
    assert_eq!(hashes.len(), 2, "{said}");
    assert_eq!(hashes[0], hashes[1], "the record hashes to its place in the tree");
}

#[test]
fn an_auditor_s_commands_work_as_printed() {
    let house = house();
    let home = house.setup.home();
    std::fs::write(home.join("log.head"), house.modkeep.get("/log/latest").body).unwrap();
    let relayed = house.modkeep.get(&format!("/sumdb/{DATABASE}/latest"));
    assert_eq!(relayed.status, 200, "{}", relayed.text());
    std::fs::write(home.join("database.head"), relayed.body).unwrap();
    house.works("modkeep log export --out tree --layout both");
    let mut run = Vec::new();
    for line in blocks().iter().flat_map(|block| block.lines()) {
        if !(line.starts_with("modkeep audit") || line.starts_with("curl --data-binary")) {
            continue;
        }
        let said = house.works(&house.here(line));
        let is_comparison = line.contains("gossip");
        assert!(!is_comparison || said.contains("consistent"), "{line}: {said}");
        run.push(line.split_whitespace().take(3).collect::<Vec<_>>().join(" "));
    }
    assert!(run.len() >= 7, "{run:?}");
    // What stands in the text.
    let place = format!("'{} {}/log'", house.key, house.modkeep.url());
    house.works(&format!("modkeep proof get {FINCH} --database {place} --out proof"));
    house.works(&format!("modkeep proof verify proof --key {}", house.key));
    let lookup = house.modkeep.get(&format!("/log/lookup/{FINCH}")).text();
    let lines: Vec<&str> = lookup.lines().skip(1).take(2).collect();
    std::fs::write(home.join("go.sum"), lines.join("\n") + "\n").unwrap();
    house.works(&format!("modkeep verify go.sum --database {place}"));
    house.works("modkeep log fsck");
    let audit = format!("modkeep audit {place} --held --full --evidence evidence");
    assert!(house.works(&audit).contains("consistent: 3 records"));
    assert!((house.modkeep.metric("modkeep_log_size", &[LOG]) - 3.0).abs() < 0.5);
}

#[test]
fn a_witness_is_made_run_and_fed_as_printed() {
    let house = house();
    let blocks = blocks();
    let block = blocks.iter().find(|block| block.starts_with("modkeep witness keygen")).unwrap();
    let (keygen, serve) = block.split_once('\n').unwrap();
    let key = house.works(keygen).lines().next().unwrap().to_owned();
    let serve = house
        .here(&serve.replace("\\\n", " "))
        .replace(":8090", "127.0.0.1:0")
        .replace("/var/lib/witness", "witness");
    // The database is watched by the line that all of them share: its key in the place of the public one's.
    let public = serve.rsplit("--log ").next().unwrap().to_owned();
    let ours = format!("'{}=go.sum database tree'", database_key(&house.upstream));
    let serve = serve.replace(&public, &ours);
    let script =
        format!("{serve} > said 2>&1 & echo $! > pid; while ! grep -q '^witness' said; do sleep 0.1; done");
    house.works(&script);
    let said = std::fs::read_to_string(house.setup.home().join("said")).unwrap();
    let url = said.lines().find_map(|line| line.strip_prefix("witness   ")).unwrap();
    let feed = blocks.iter().find(|block| block.starts_with("modkeep witness feed")).unwrap();
    let feed = feed.replace(" --every 5m", "").replace("https://witness.example.org/", url);
    let feed = house.here(&feed.replace("NAME+HASH+KEY", &key));
    let fed = house.sh(&feed);
    house.works("kill $(cat pid)");
    assert_eq!(fed.1, Some(0), "{feed}: {}", fed.0);
    assert!(fed.0.contains("cosigned at size"), "{}", fed.0);
}
