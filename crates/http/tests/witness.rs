//! Witnesses over real sockets: the vectors, and our own log between two of them (spec B3, B4).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test fails by panicking"
)]

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use modkeep_egress::{Egress, Encoding, HostPort, Post, Request};
use modkeep_http::serve::{Config, Running, Server};
use modkeep_log::audit::Directory;
use modkeep_log::keys::KeySigner;
use modkeep_log::witness::{
    Asker, Collector, FeedError, Feeder, Panel, Qpd, WITNESS_PATIENCE, Which, Witness, known_heads,
};
use modkeep_log::{Event, Log, Observer, OpenError, Parts, State};
use modkeep_store::{MinFree, NewRecord, RecordSource, Store, SystemClock};
use modkeep_tlog::cosignature::Algorithm;
use modkeep_tlog::witness::{WitnessedLog, monitoring_path};
use modkeep_tlog::{
    GO_SUM_ORIGIN, GoSumRecord, Policy, SignedCheckpoint, SignerKey, TreeSize, VerifierKey, WitnessKey,
    WitnessSigner,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use url::Url;

const NAME: &str = "sums.example/log";
/// Longer than any machine takes; nothing here measures time.
const PATIENCE: Duration = Duration::from_mins(2);

fn log_key() -> SignerKey {
    SignerKey::from_seed(NAME, [1; 32]).unwrap()
}

/// A witness on a port.
struct Street {
    address: SocketAddr,
    key: WitnessKey,
    stop: CancellationToken,
    running: Running,
}

impl Street {
    fn open(folder: &Path, signers: Vec<WitnessSigner>, origin: &str, key: VerifierKey, port: u16) -> Self {
        let log = WitnessedLog { origin: origin.to_owned(), keys: vec![key] };
        let first = signers[0].key().clone();
        let witness =
            Witness::open(folder, signers, vec![(log, Qpd::default())], Arc::new(SystemClock)).unwrap();
        let config = Config { threads: NonZeroUsize::MIN, reads_bodies: true, ..Config::default() };
        let server = Server::bind(&[SocketAddr::from(([127, 0, 0, 1], port))], config).unwrap();
        let (address, stop) = (server.addresses()[0], CancellationToken::new());
        let running = server.serve(modkeep_http::Witness::new(witness), stop.clone()).unwrap();
        Self { address, key: first, stop, running }
    }

    fn url(&self) -> Url {
        Url::parse(&format!("http://{}/", self.address)).unwrap()
    }

    async fn close(self) {
        self.stop.cancel();
        self.running.join().await;
    }
}

fn signer(name: &str) -> WitnessSigner {
    let tag = name.bytes().fold(0_u8, |tag, byte| tag.wrapping_mul(31).wrapping_add(byte));
    WitnessSigner::from_seed(name, Algorithm::Ed25519, [tag; 32]).unwrap()
}

fn egress(urls: &[&Url]) -> Egress {
    let named = urls.iter().filter_map(|url| HostPort::of(url)).collect();
    Egress::new(modkeep_egress::Config { named, ..modkeep_egress::Config::default() }).unwrap()
}

async fn post(egress: &Egress, url: &Url, body: &[u8]) -> (u16, Option<String>, String) {
    let post = Post {
        content_type: HeaderValue::from_static("text/plain"),
        encoding: Encoding::Plain,
        bytes: Bytes::copy_from_slice(body),
    };
    let response = egress.post(Request::named(url.join("add-checkpoint").unwrap()), post).await.unwrap();
    let (status, kind) = (response.status, response.header(&CONTENT_TYPE).map(str::to_owned));
    let body = response.body.collect(1 << 20).await.unwrap();
    (status, kind, String::from_utf8(body.to_vec()).unwrap())
}

async fn get(egress: &Egress, url: &Url, path: &str) -> (u16, Vec<u8>) {
    let response = egress.get(Request::named(url.join(path).unwrap())).await.unwrap();
    (response.status, response.body.collect(1 << 20).await.unwrap().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn b4_the_vectors_over_the_wire() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/vectors/");
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(format!("{path}{name}")).unwrap()).unwrap()
    };
    let (vectors, keys) = (read("witness.json"), read("cosignatures.json"));
    let key = VerifierKey::parse(keys["checkpoint"]["vkey"].as_str().unwrap()).unwrap();
    let rows = vectors["requests"].as_array().unwrap();
    // What brings a new witness to the size that a row begins with.
    let grown = |size: u64| match size {
        0 => 0,
        100 => 1,
        300 => 2,
        other => panic!("no way to size {other}"),
    };
    for row in rows {
        let folder = TempDir::new().unwrap();
        let signers = vec![signer("witness.example/w1")];
        let street = Street::open(folder.path(), signers, "log.example.org/sums", key.clone(), 0);
        let (url, egress) = (street.url(), egress(&[&street.url()]));
        for before in &rows[..grown(row["witness_size"].as_u64().unwrap())] {
            assert_eq!(post(&egress, &url, before["request"].as_str().unwrap().as_bytes()).await.0, 200);
        }
        let (status, kind, body) = post(&egress, &url, row["request"].as_str().unwrap().as_bytes()).await;
        assert_eq!(u64::from(status), row["status"].as_u64().unwrap(), "{}: {body}", row["name"]);
        if status == 409 {
            assert_eq!(
                (kind.as_deref(), body.as_str()),
                (Some("text/x.tlog.size"), row["response"].as_str().unwrap())
            );
        }
        street.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b4_odd_requests_are_refused() {
    let folder = TempDir::new().unwrap();
    let street = Street::open(folder.path(), vec![signer("w")], NAME, log_key().verifier(), 0);
    let (url, egress) = (street.url(), egress(&[&street.url()]));
    for (body, status) in [(&b""[..], 400), (b"old 0\n", 400), (&vec![b'a'; 2 << 20], 413), (b"\xff\n", 400)]
    {
        assert_eq!(post(&egress, &url, body).await.0, status);
    }
    for (path, status) in [("add-checkpoint", 405), ("", 404), ("00/checkpoint", 404), ("../checkpoint", 404)]
    {
        assert_eq!(get(&egress, &url, path).await.0, status, "{path}");
    }
    assert_eq!(get(&egress, &url, &monitoring_path(NAME)).await.0, 404);
    street.close().await;
}

/// Our own log, with an ear.
struct Ours {
    log: Log,
    told: Arc<Mutex<Vec<String>>>,
}

fn open_store(folder: &Path) -> Store {
    let config = modkeep_store::Config { path: folder.to_owned(), min_free: MinFree::Bytes(0) };
    Store::open(config, Arc::new(SystemClock)).unwrap()
}

fn open_log(store: &Store, config: modkeep_log::Config) -> Result<Ours, OpenError> {
    let told = Arc::<Mutex<Vec<String>>>::default();
    let heard = Arc::clone(&told);
    let observer = Observer::new(move |event| match event {
        Event::Witness { .. }
        | Event::Cosigned { .. }
        | Event::Ahead { .. }
        | Event::WitnessContradicts { .. } => {
            heard.lock().unwrap().push(format!("{event:?}"));
        }
        _ => {}
    });
    let log = Log::open(Parts {
        store: store.log().unwrap(),
        signers: vec![Arc::new(KeySigner::from(log_key()))],
        config,
        clock: Arc::new(SystemClock),
        observer,
    })?;
    Ok(Ours { log, told })
}

fn record(n: u64) -> NewRecord {
    let (module, version) = (format!("example.com/m{n}"), "v1.0.0".to_owned());
    let record = GoSumRecord { module, version, zip_h1: [1; 32], go_mod_h1: [2; 32] };
    NewRecord { record, source: RecordSource::Own, provenance: None }
}

async fn grow(log: &Log, records: std::ops::Range<u64>) {
    for appended in log.append_all(records.map(record).collect()).await {
        appended.unwrap();
    }
}

impl Ours {
    /// Waits until a checkpoint of this size is kept with so many of these witnesses' lines.
    async fn cosigned(&self, size: u64, keys: &[WitnessKey]) -> SignedCheckpoint {
        let size = TreeSize::new(size).unwrap();
        let wait = async {
            loop {
                if let Some((kept, note)) = self.log.cosigned()
                    && kept == size
                {
                    let kept = SignedCheckpoint::open(&note, NAME, self.log.keys()).unwrap();
                    if kept.cosignatures(keys).unwrap().len() == keys.len() {
                        return kept;
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        waited.unwrap_or_else(|_| panic!("not cosigned: {:?}", self.told.lock().unwrap()))
    }

    async fn hears(&self, word: &str) {
        let wait = async {
            while !self.told.lock().unwrap().iter().any(|told| told.contains(word)) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        waited.unwrap_or_else(|_| panic!("{word}: {:?}", self.told.lock().unwrap()));
    }
}

fn panel(witnesses: &[&Street], group: &str) -> Panel {
    let line = |(i, it): (usize, &&Street)| format!("witness w{i} {} {}\n", it.key, it.url());
    let lines = witnesses.iter().enumerate().map(line).collect::<Vec<_>>().concat();
    let names = (0..witnesses.len()).map(|i| format!(" w{i}")).collect::<Vec<_>>().concat();
    let text = format!("{lines}group quorum-of {group}{names}\nquorum quorum-of\n");
    Panel::new(Policy::parse(text.as_bytes()).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn b3_two_witnesses_cosign_our_log_and_when_one_dies_the_rest_goes_on() {
    let (data, one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
    let key = log_key().verifier();
    let first = Street::open(one.path(), vec![signer("witness.example/first")], NAME, key.clone(), 0);
    let second = Street::open(two.path(), vec![signer("witness.example/other")], NAME, key.clone(), 0);
    let keys = [first.key.clone(), second.key.clone()];
    let egress = egress(&[&first.url(), &second.url()]);
    let store = open_store(data.path());
    let ours = open_log(&store, modkeep_log::Config::default()).unwrap();
    grow(&ours.log, 0..300).await;
    let collector = Collector::new(ours.log.clone(), panel(&[&first, &second], "all"), &egress);
    let collecting = tokio::spawn(collector.run());

    let cosigned = ours.cosigned(300, &keys).await;
    assert_eq!(ours.log.checkpoint().unwrap(), cosigned.to_text());
    // Lookups and the latest head do not carry the lines.
    assert!(!String::from_utf8_lossy(&ours.log.latest().note).contains("witness.example"));
    grow(&ours.log, 300..700).await;
    ours.cosigned(700, &keys).await;
    let shown = get(&egress, &first.url(), &monitoring_path(NAME)).await.1;
    assert_eq!(
        SignedCheckpoint::open(&shown, NAME, ours.log.keys()).unwrap().head(),
        ours.log.latest().tree()
    );

    // One dies. The policy is not met, and the log goes on with the plain checkpoint.
    let port = second.address.port();
    second.close().await;
    grow(&ours.log, 700..701).await;
    ours.hears("Away").await;
    assert_eq!(ours.log.checkpoint().unwrap(), ours.log.latest().checkpoint);
    assert_eq!(ours.log.cosigned().unwrap().0.get(), 700);
    grow(&ours.log, 701..702).await;
    assert_eq!(ours.log.state(), State::Running);

    // It comes back with its memory, and is asked again without anybody's help.
    let signers = vec![signer("witness.example/other")];
    let second = Street::open(two.path(), signers, NAME, key, port);
    ours.cosigned(702, &keys).await;

    ours.log.close().await;
    // The collector ends with the log.
    tokio::time::timeout(PATIENCE, collecting).await.unwrap().unwrap();
    first.close().await;
    second.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c4_a_witness_that_has_seen_more_keeps_an_old_copy_from_signing() {
    let (data, memory) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let witness =
        Street::open(memory.path(), vec![signer("witness.example/w")], NAME, log_key().verifier(), 0);
    let egress = egress(&[&witness.url()]);
    let store = open_store(&data.path().join("whole"));
    let ours = open_log(&store, modkeep_log::Config::default()).unwrap();
    grow(&ours.log, 0..20).await;
    let collecting = tokio::spawn(Collector::new(ours.log.clone(), panel(&[&witness], "all"), &egress).run());
    ours.cosigned(20, std::slice::from_ref(&witness.key)).await;
    ours.log.close().await;
    collecting.await.unwrap();

    // The same log from an old copy: the witness is the only one who knows.
    let store = open_store(&data.path().join("old"));
    let old = open_log(&store, modkeep_log::Config::default()).unwrap();
    grow(&old.log, 0..10).await;
    old.log.close().await;
    drop(old);
    let known =
        known_heads(&panel(&[&witness], "all"), &egress, &store.log().unwrap(), &[log_key().verifier()])
            .await;
    assert_eq!(known.iter().map(|known| known.size.get()).collect::<Vec<_>>(), [20]);
    let refused =
        open_log(&store, modkeep_log::Config { known_heads: known, ..modkeep_log::Config::default() });
    assert!(matches!(refused, Err(OpenError::Behind { seen, .. }) if seen.get() == 20));

    // And where it was started all the same, it stops as soon as the witness is asked.
    let old = open_log(&store, modkeep_log::Config::default()).unwrap();
    let collecting = tokio::spawn(Collector::new(old.log.clone(), panel(&[&witness], "all"), &egress).run());
    old.hears("Ahead").await;
    assert!(matches!(old.log.state(), State::Paused { reason } if reason.contains("size 20")));
    assert!(old.log.append(record(99)).await.is_err());
    old.log.close().await;
    collecting.await.unwrap();
    witness.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c8_a_witness_that_finds_two_histories_raises_the_alarm() {
    let (data, memory) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let witness =
        Street::open(memory.path(), vec![signer("witness.example/w")], NAME, log_key().verifier(), 0);
    let egress = egress(&[&witness.url()]);
    let first = open_log(&open_store(&data.path().join("first")), modkeep_log::Config::default()).unwrap();
    grow(&first.log, 0..3).await;
    let collecting =
        tokio::spawn(Collector::new(first.log.clone(), panel(&[&witness], "all"), &egress).run());
    first.cosigned(3, std::slice::from_ref(&witness.key)).await;
    first.log.close().await;
    collecting.await.unwrap();
    // Another history under the same key, and larger than what the witness has: only the proof tells.
    let second = open_log(&open_store(&data.path().join("second")), modkeep_log::Config::default()).unwrap();
    grow(&second.log, 100..105).await;
    let collecting =
        tokio::spawn(Collector::new(second.log.clone(), panel(&[&witness], "all"), &egress).run());
    second.hears("WitnessContradicts").await;
    assert!(second.log.cosigned().is_none());
    second.log.close().await;
    collecting.await.unwrap();
    witness.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_a_witness_with_two_kinds_of_keys_is_asked_once_and_gives_both() {
    let (data, memory) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let signers: Vec<WitnessSigner> = [Algorithm::Ed25519, Algorithm::MlDsa44]
        .map(|algorithm| WitnessSigner::from_seed("witness.example/w", algorithm, [3; 32]).unwrap())
        .into();
    let keys: Vec<WitnessKey> = signers.iter().map(|signer| signer.key().clone()).collect();
    let witness = Street::open(memory.path(), signers, NAME, log_key().verifier(), 0);
    let (url, egress) = (witness.url(), egress(&[&witness.url()]));
    let text = format!(
        "witness old {} {url}\nwitness new {} {url}\ngroup both all old new\nquorum both\n",
        keys[0], keys[1]
    );
    let panel = Panel::new(Policy::parse(text.as_bytes()).unwrap()).unwrap();
    assert_eq!(panel.urls().count(), 1);
    let store = open_store(data.path());
    let ours = open_log(&store, modkeep_log::Config::default()).unwrap();
    grow(&ours.log, 0..5).await;
    let collecting = tokio::spawn(Collector::new(ours.log.clone(), panel, &egress).run());
    ours.cosigned(5, &keys).await;
    ours.log.close().await;
    collecting.await.unwrap();
    witness.close().await;
}

/// The head and the tiles of a log, as files.
fn lay_out(log: &Log, folder: &Path) {
    std::fs::write(folder.join("latest"), &log.latest().note).unwrap();
    let size = log.latest().size;
    for tile in modkeep_tlog::tile_set::tiles_for_consistency(TreeSize::new(1).unwrap(), size)
        .into_iter()
        .chain(modkeep_tlog::tile_set::tiles_for_consistency(TreeSize::new(size.get() - 1).unwrap(), size))
        .chain(modkeep_tlog::tile_set::tiles_for_consistency(TreeSize::new(300).unwrap(), size))
    {
        let place = folder.join(tile.path());
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, log.tile(&tile).unwrap().unwrap()).unwrap();
    }
}

#[test]
fn b4_a_feeder_carries_the_heads_of_a_log_that_calls_nobody() {
    let (data, memory, files) = (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (ours, witness, egress) = runtime.block_on(async {
        let signers = vec![signer("witness.example/w")];
        let witness = Street::open(memory.path(), signers, GO_SUM_ORIGIN, log_key().verifier(), 0);
        let egress = egress(&[&witness.url()]);
        let ours = open_log(&open_store(data.path()), modkeep_log::Config::default()).unwrap();
        grow(&ours.log, 0..300).await;
        (ours, witness, egress)
    });
    let asker = Asker::new(egress.clone(), witness.url(), vec![witness.key.clone()], WITNESS_PATIENCE * 30);
    let mut feeder = Feeder::new(log_key().verifier(), Which::Latest, asker.clone());
    let source = Directory::new(files.path());
    lay_out(&ours.log, files.path());
    let fed = feeder.feed(&source, runtime.handle()).unwrap();
    assert_eq!((fed.from.get(), fed.size.get(), fed.cosignatures), (0, 300, 1));
    runtime.block_on(grow(&ours.log, 300..700));
    let before = std::fs::read(files.path().join("latest")).unwrap();
    lay_out(&ours.log, files.path());
    let fed = feeder.feed(&source, runtime.handle()).unwrap();
    assert_eq!((fed.from.get(), fed.size.get()), (300, 700));
    // Another feeder knows nothing, and is told.
    let mut other = Feeder::new(log_key().verifier(), Which::Latest, asker.clone());
    assert_eq!(other.feed(&source, runtime.handle()).unwrap().from.get(), 700);
    // A log that goes back is told apart from one that is away.
    std::fs::write(files.path().join("latest"), before).unwrap();
    assert!(matches!(other.feed(&source, runtime.handle()), Err(FeedError::Older { .. })));
    std::fs::remove_file(files.path().join("latest")).unwrap();
    assert!(matches!(other.feed(&source, runtime.handle()), Err(FeedError::Log(_))));
    runtime.block_on(async {
        ours.log.close().await;
        witness.close().await;
    });
}
