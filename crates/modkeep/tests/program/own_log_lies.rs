//! Our own log lying on purpose, with its own key: the scenarios of `testdata/vectors/client.json`, and what the real go
//! command says to each (checksum-database A8; part D, "Tests that must exist", 2).
//!
//! Each release of the go command that `scripts/test` found says so: the newest and the oldest that is supported.
//!
//! A server in front of ours answers with what a lying operator of the log could send: he has the key and the records.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use modkeep_testkit::program::{Program, Setup};
use modkeep_testkit::{Go, ModuleWorld, Upstream, go};
use modkeep_tlog::record::read_data_tile;
use modkeep_tlog::{
    GoSumRecord, LookupAnswer, RecordId, RecordText, SignerKey, Tile, TreeBuilder, TreeHead, TreeSize,
};

use crate::{ended, log_size, mirror_of, upstream_of, with_log};

const MODULE: &str = "birds.example/finch";
const VERSION: &str = "v0.9.0";
const FINCH: &str = "birds.example/finch@v0.9.0";
const MARSH: &str = "example.com/marsh@v1.0.0";
const LOOKUP: &str = "lookup/birds.example/finch@v0.9.0";

/// The size of the head that the scenarios mostly show, as in the vectors: a full tile, and an edge.
const SIZE: u64 = 300;

/// What is sent for a path below the log's address; `None` is a 404.
type Lie = Arc<dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync>;

/// A server that says what it is told to say.
struct Liar {
    address: SocketAddr,
    lie: Arc<Mutex<Lie>>,
}

impl Liar {
    fn start(lie: Lie) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let lie = Arc::new(Mutex::new(lie));
        let told = Arc::clone(&lie);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let lie = Arc::clone(&told.lock().unwrap_or_else(PoisonError::into_inner));
                answer(stream, &lie);
            }
        });
        Self { address, lie }
    }

    fn say(&self, lie: Lie) {
        *self.lie.lock().unwrap_or_else(PoisonError::into_inner) = lie;
    }

    fn gosumdb(&self, key: &SignerKey) -> String {
        format!("{} http://{}", key.verifier(), self.address)
    }
}

/// One request, one answer, one connection.
fn answer(mut stream: TcpStream, lie: &Lie) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop);
    let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let (status, body) = match lie(&path) {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", b"not found".to_vec()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

/// Our server with a log of 300 records and more, its key, and its tree in memory.
struct Stage {
    _upstream: Upstream,
    _setup: Setup,
    modkeep: Program,
    key: SignerKey,
    tree: TreeBuilder,
    finch: RecordId,
    /// The go command that is asked.
    program: PathBuf,
}

/// The log takes the records that the public database has, and its data tiles give them back.
fn stage() -> Stage {
    let world = ModuleWorld::every_kind();
    let upstream = upstream_of(&world);
    let (setup, _) = with_log(mirror_of(&upstream));
    let import = |name: &str, list: String, jobs: &str| {
        let file = setup.home().join(name);
        std::fs::write(&file, list).unwrap();
        ended(&setup.run(&["log", "import", file.to_str().unwrap(), "--jobs", jobs]), 0);
    };
    // The two that are asked for come first, so that they lie in a full tile and every head covers them.
    import("marsh", format!("{MARSH}\n"), "1");
    import("finch", format!("{FINCH}\n"), "1");
    import("sand", (0..SIZE).map(|n| format!("filler.example/sand@v1.0.{n}\n")).collect(), "64");
    let key = std::fs::read_to_string(setup.home().join("key")).unwrap();
    let key = SignerKey::parse(key.trim_end()).unwrap();
    let modkeep = setup.serve();
    let size = TreeSize::new(log_size(&modkeep)).unwrap();
    let mut tree = TreeBuilder::new();
    while tree.size() < size {
        let (index, width) = (tree.size().get() / 256, (size.get() - tree.size().get()).min(256));
        let tile = Tile::data(index, u32::try_from(width).unwrap()).unwrap();
        let records = modkeep.get(&format!("/log/{}", tile.path()));
        assert_eq!(records.status, 200, "{}", tile.path());
        for text in read_data_tile(&records.body, tile.width()).unwrap() {
            tree.append(text);
        }
    }
    assert!(size.get() > SIZE);
    let honest = tree.sign_head(size, &key).unwrap();
    assert_eq!(modkeep.get("/log/latest").text(), honest, "the tree is the server's");
    let finch = tree.find(MODULE, VERSION).unwrap();
    let program = PathBuf::new();
    Stage { _upstream: upstream, _setup: setup, modkeep, key, tree, finch, program }
}

/// Plays before every release.
fn every_go(play: impl Fn(&Stage, &Liar)) {
    let mut stage = stage();
    let liar = Liar::start(stage.honest());
    for program in go::releases() {
        println!("before {}", program.display());
        stage.program = program;
        liar.say(stage.honest());
        play(&stage, &liar);
    }
}

/// A record text that nobody has, of this name.
fn invented(module: &str, version: &str, seed: u8) -> RecordText {
    let (module, version) = (module.to_owned(), version.to_owned());
    GoSumRecord { module, version, zip_h1: [seed; 32], go_mod_h1: [seed; 32] }.to_text().unwrap()
}

fn lookup_with(id: RecordId, text: &RecordText, head: &str) -> Vec<u8> {
    LookupAnswer { id, text: text.clone(), note: head.as_bytes().into() }.to_bytes()
}

impl Stage {
    fn size(&self) -> TreeSize {
        self.tree.size()
    }

    /// The honest tree at a size, for whatever is asked.
    fn honest_at(&self, size: TreeSize) -> Lie {
        let (tree, key) = (self.tree.clone(), self.key.clone());
        Arc::new(move |path| tree.serve(path, size, &key))
    }

    fn honest(&self) -> Lie {
        self.honest_at(self.size())
    }

    /// The tree with the record at `at` replaced: another history under the same key.
    fn rewritten(&self, at: RecordId, text: &RecordText) -> TreeBuilder {
        let mut other = TreeBuilder::new();
        for id in 0..self.size().get() {
            let id = RecordId::new(id).unwrap();
            other.append(if id == at { text.clone() } else { self.tree.text(id).unwrap().clone() });
        }
        other
    }

    /// The honest answers, with what `change` makes of each.
    fn changed(
        &self,
        change: impl Fn(&str, Option<Vec<u8>>) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Lie {
        let honest = self.honest();
        Arc::new(move |path| change(path, honest(path)))
    }

    /// The honest answers, and this one to the lookup.
    fn with_lookup(&self, lookup: Vec<u8>) -> Lie {
        self.changed(move |path, honest| if path == LOOKUP { Some(lookup.clone()) } else { honest })
    }

    fn head(&self, size: TreeSize) -> String {
        self.tree.sign_head(size, &self.key).unwrap()
    }

    /// A go command that never saw this log.
    fn go(&self, liar: &Liar) -> Go {
        Go::new(self.modkeep.url(), &liar.gosumdb(&self.key)).with("GONOSUMDB", "").of(&self.program)
    }

    /// A go command that has seen an honest head of this size, and has the tiles for it.
    fn go_that_knows(&self, liar: &Liar, size: TreeSize) -> Go {
        liar.say(self.honest_at(size));
        let go = self.go(liar);
        go.run(&["mod", "download", MARSH]).expect_ok();
        go
    }
}

const MISBEHAVIOR: &str = "go.sum database server misbehavior detected!";
const MISSING: &str = "checksum missing from sumdb response";

#[test]
fn go_believes_an_honest_log_in_all_its_ways() {
    every_go(believes);
}

fn believes(stage: &Stage, liar: &Liar) {
    let download = |go: &Go, what: &str| go.run(&["mod", "download", FINCH]).expect_ok().command + what;

    download(&stage.go(liar), "first contact, both lines of the record");

    // Growth: the client knows a smaller tree.
    let small = TreeSize::new(stage.finch.get() + 1).unwrap();
    let go = stage.go_that_knows(liar, small);
    liar.say(stage.honest());
    download(&go, "growth");

    // An older head than the known one.
    let go = stage.go_that_knows(liar, stage.size());
    let older = stage.honest_at(small)(LOOKUP).unwrap();
    liar.say(stage.with_lookup(older));
    download(&go, "an older head");

    // The partial tile is gone, the full one is there.
    let tree = grown(stage, 600);
    let (key, size) = (stage.key.clone(), stage.size());
    liar.say(Arc::new(move |path| {
        if path.contains("tile/8/0/001.p/") {
            return None;
        }
        let at = if path.starts_with("tile/8/0/") { tree.size() } else { size };
        tree.serve(path, at, &key)
    }));
    download(&stage.go(liar), "a full tile for a partial one");

    // No head at all: no news, to who knows one.
    let text = stage.tree.text(stage.finch).unwrap();
    let go = stage.go_that_knows(liar, stage.size());
    liar.say(stage.with_lookup(lookup_with(stage.finch, text, "")));
    download(&go, "no head");
}

/// The same history, longer.
fn grown(stage: &Stage, size: u64) -> TreeBuilder {
    let mut tree = stage.tree.clone();
    while tree.size().get() < size {
        tree.append(invented("filler.example/later", &format!("v1.0.{}", tree.size()), 9));
    }
    tree
}

#[test]
fn go_refuses_every_lie_that_the_vectors_know() {
    every_go(refuses);
}

fn refuses(stage: &Stage, liar: &Liar) {
    let (size, finch) = (stage.size(), stage.finch);
    let text = stage.tree.text(finch).unwrap().clone();
    let other = invented(MODULE, VERSION, 7);
    let neighbour = RecordId::new(0).unwrap();
    let neighbour_text = stage.tree.text(neighbour).unwrap().clone();
    let stale = TreeSize::new(finch.get()).unwrap();
    let stranger = SignerKey::from_seed("mirror.example/log", [1; 32]).unwrap();
    let forged = stage.rewritten(finch, &other);
    let hidden = {
        let root = stage.tree.root(size).unwrap();
        let head = TreeHead { size, root };
        stage.key.sign(&format!("{}{}", head.to_text(), other.as_str())).unwrap()
    };
    let first_tile = |path: &str| path == "tile/8/0/000";
    let leaf_tile = Tile::hashes(modkeep_tlog::Level::LEAVES, finch.get() / 256, 256).unwrap().path();
    let forged_leaf = {
        let (at, hash) = (usize::try_from(finch.get() % 256).unwrap() * 32, other.leaf_hash());
        stage.changed({
            let lookup = lookup_with(finch, &other, &stage.head(size));
            move |path, honest| {
                let mut bytes = honest?;
                if path == LOOKUP {
                    return Some(lookup.clone());
                }
                if path.starts_with(leaf_tile.as_str()) && bytes.len() >= at + 32 {
                    bytes[at..at + 32].copy_from_slice(hash.as_bytes());
                }
                Some(bytes)
            }
        })
    };
    for (name, lie, said) in [
        ("a forged leaf in a tile", forged_leaf, "downloaded inconsistent tile"),
        (
            "a forged record, genuine tiles",
            stage.with_lookup(lookup_with(finch, &other, &stage.head(size))),
            "cannot authenticate record data in server response",
        ),
        (
            "the authentic record of another module",
            stage.with_lookup(lookup_with(neighbour, &neighbour_text, &stage.head(size))),
            MISSING,
        ),
        (
            "lines hidden in the signed head",
            stage.with_lookup(lookup_with(neighbour, &neighbour_text, &hidden)),
            MISSING,
        ),
        (
            "a head too old for the record",
            stage.with_lookup(lookup_with(finch, &text, &stage.head(stale))),
            "cannot validate record",
        ),
        (
            "a head signed by an unknown key",
            stage.with_lookup(lookup_with(finch, &text, &stage.tree.sign_head(size, &stranger).unwrap())),
            "note has no verifiable signatures",
        ),
        (
            "a truncated tile",
            stage.changed(move |path, honest| {
                let mut bytes = honest?;
                if first_tile(path) {
                    bytes.truncate(bytes.len() - 32);
                }
                Some(bytes)
            }),
            "bad result slice",
        ),
        (
            "a bit flipped in an edge tile",
            stage.changed(|path, honest| {
                let mut bytes = honest?;
                if path.starts_with("tile/8/0/001") {
                    bytes[0] ^= 1;
                }
                Some(bytes)
            }),
            "downloaded inconsistent tile",
        ),
        (
            "other sums, consistently",
            {
                let key = stage.key.clone();
                Arc::new(move |path: &str| forged.serve(path, forged.size(), &key)) as Lie
            },
            "SECURITY ERROR",
        ),
    ] {
        liar.say(lie);
        let run = stage.go(liar).run(&["mod", "download", FINCH]);
        assert!(
            !run.ok && format!("{}{}", run.stdout, run.stderr).contains(said),
            "{name}: {}\n{}",
            run.stdout,
            run.stderr
        );
    }
}

#[test]
fn go_sees_every_fork() {
    every_go(sees);
}

fn sees(stage: &Stage, liar: &Liar) {
    let fork = {
        let mut fork =
            stage.rewritten(RecordId::new(7).unwrap(), &invented("filler.example/sand", "v1.0.7", 3));
        while fork.size().get() < 600 {
            fork.append(invented("filler.example/later", &format!("v1.0.{}", fork.size()), 9));
        }
        fork
    };
    let (known, larger) = (stage.size(), fork.size());
    let smaller = TreeSize::new(SIZE).unwrap();
    for (name, size) in [("larger", larger), ("of the same size", known), ("smaller", smaller)] {
        let go = stage.go_that_knows(liar, known);
        let (fork, key) = (fork.clone(), stage.key.clone());
        liar.say(Arc::new(move |path: &str| fork.serve(path, size, &key)));
        let run = go.run(&["mod", "download", FINCH]);
        assert!(
            !run.ok && run.stderr.contains("SECURITY ERROR") && run.stderr.contains(MISBEHAVIOR),
            "{name}: {}",
            run.stderr
        );
    }
}
