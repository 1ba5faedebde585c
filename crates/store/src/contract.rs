//! What any [`Ledger`] and any [`Blobs`] has to do, as checks that panic. A second implementation passes them on a
//! fresh instance before it is trusted with anything (D4).

mod log;

use std::io::Read;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use modkeep_module::info::Timestamp;
use modkeep_module::{H1, ModulePath, ModuleVersion, Version};

use crate::blobs::{Blobs, Placement};
use crate::error::Error;
use crate::evidence::EvidenceKind;
use crate::ledger::{
    Asked, Counts, FileFacts, ForeignFile, Kept, Ledger, NewEvidence, NewVersion, QUERIES_PER_MODULE_MAX,
    Quarantined, Question, StoredAnswer, SumFacts, Visibility,
};
use crate::name::{BlobName, FileKind, Repository, Sha256Sum};
use crate::origins::{OriginCheck, OriginState};
use crate::verdicts::Verdict;
use crate::verify::{Basis, FirstSight};

pub use log::{head, log, own};

/// Checks an empty ledger.
///
/// # Panics
///
/// At the first thing that it does not do.
pub fn ledger(ledger: &dyn Ledger) {
    let commits = ledger.commits();
    it_begins_empty(ledger);
    a_version_grows_file_by_file(ledger);
    bytes_never_change(ledger);
    a_batch_is_judged_one_by_one(ledger);
    the_feed_only_grows(ledger);
    private_versions_stay_private(ledger);
    repositories_are_apart(ledger);
    damaged_files_are_marked_and_repaired(ledger);
    looks_at_origins_are_kept(ledger);
    the_log_learns_of_complete_versions(ledger);
    each_judge_has_a_last_word(ledger);
    answers_replace_each_other(ledger);
    queries_are_bounded(ledger);
    heads_are_compared_and_set(ledger);
    foreign_files_are_recorded_once(ledger);
    evidence_is_counted(ledger);
    walks_meet_everything(ledger);
    concurrent_writers_get_one_record(ledger);
    assert_eq!(ledger.doubts().unwrap(), [], "the ledger doubts itself");
    assert!(ledger.commits() > commits, "commits are counted");
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

fn module(text: &str) -> ModulePath {
    ModulePath::parse(text).unwrap()
}

fn version(path: &str, version: &str) -> ModuleVersion {
    ModuleVersion::new(module(path), Version::parse(version).unwrap()).unwrap()
}

fn file(seed: u8) -> FileFacts {
    FileFacts { size: u64::from(seed), sha256: Sha256Sum::of(&[seed]), quarantined: false }
}

fn sum(seed: u8) -> SumFacts {
    let FileFacts { size, sha256, quarantined } = file(seed);
    SumFacts {
        size,
        sha256,
        h1: H1::from_bytes([seed; 32]),
        basis: Basis::FirstSight(FirstSight::Import),
        quarantined,
    }
}

fn nothing(version: ModuleVersion) -> NewVersion {
    NewVersion {
        repository: Repository::main(),
        version,
        visibility: Visibility::Public,
        info: None,
        go_mod: None,
        zip: None,
        go_mod_in_zip: None,
        source: "a test".to_owned(),
        now: at(0),
    }
}

fn with_zip(path: &str, number: &str, seed: u8) -> NewVersion {
    NewVersion { zip: Some(sum(seed)), ..nothing(version(path, number)) }
}

fn record(ledger: &dyn Ledger, new: NewVersion) -> Result<crate::VersionRecord, Error> {
    ledger.record(vec![new]).pop().unwrap()
}

fn it_begins_empty(ledger: &dyn Ledger) {
    assert_eq!(ledger.counts().unwrap(), Counts::default());
    assert_eq!(ledger.feed(None, 10).unwrap(), []);
    assert_eq!(ledger.walk(0, 10).unwrap(), []);
    assert_eq!(ledger.version(&Repository::main(), &version("example.com/none", "v1.0.0")).unwrap(), None);
    assert_eq!(ledger.versions(&Repository::main(), &module("example.com/none")).unwrap(), []);
    assert_eq!(ledger.doubts().unwrap(), []);
}

fn a_version_grows_file_by_file(ledger: &dyn Ledger) {
    let which = version("example.com/Grows", "v1.2.3");
    let time = Timestamp { secs: -5, nanos: 7 };
    let info = NewVersion { info: Some((file(3), Some(time))), ..nothing(which.clone()) };
    let first = record(ledger, info).unwrap();
    assert_eq!((first.info, first.go_mod, first.zip), (Some(file(3)), None, None));
    assert_eq!((first.time, first.first_seen, first.zip_at), (Some(time), at(0), None));

    let rest = NewVersion {
        go_mod: Some(sum(4)),
        zip: Some(sum(5)),
        go_mod_in_zip: Some(H1::from_bytes([4; 32])),
        now: at(1),
        source: "another".to_owned(),
        ..nothing(which.clone())
    };
    let second = record(ledger, rest).unwrap();
    assert_eq!(second.id, first.id);
    assert_eq!(
        (second.info, second.go_mod.clone(), second.zip.clone()),
        (Some(file(3)), Some(sum(4)), Some(sum(5)))
    );
    assert_eq!((second.first_seen, second.zip_at), (at(0), Some(at(1))));
    assert_eq!((second.source.as_str(), second.go_mod_in_zip), ("a test", Some(H1::from_bytes([4; 32]))));
    assert_eq!(ledger.version(&Repository::main(), &which).unwrap(), Some(second.clone()));
    assert_eq!(ledger.versions(&Repository::main(), which.path()).unwrap(), [second]);
    let counts = ledger.counts().unwrap();
    assert_eq!((counts.modules, counts.versions, counts.zips, counts.bytes), (1, 1, 1, 12));
}

fn bytes_never_change(ledger: &dyn Ledger) {
    let ours = record(ledger, with_zip("example.com/same", "v1.0.0", 1)).unwrap();
    assert_eq!(record(ledger, with_zip("example.com/same", "v1.0.0", 1)).unwrap(), ours);
    let kind = |outcome| match outcome {
        Err(Error::Conflict { kind, .. }) => kind,
        other => panic!("{other:?} instead of a conflict"),
    };
    assert_eq!(kind(record(ledger, with_zip("example.com/same", "v1.0.0", 2))), FileKind::Zip);
    let reencoded = SumFacts { sha256: Sha256Sum::of(b"other bytes"), ..sum(1) };
    let reencoded = NewVersion { zip: Some(reencoded), ..with_zip("example.com/same", "v1.0.0", 1) };
    assert_eq!(record(ledger, reencoded).unwrap(), ours, "another encoding of the same files: ours stays");
    let info = |seed| NewVersion {
        info: Some((file(seed), None)),
        ..nothing(version("example.com/same", "v1.0.0"))
    };
    record(ledger, info(1)).unwrap();
    assert_eq!(kind(record(ledger, info(2))), FileKind::Info);
}

fn a_batch_is_judged_one_by_one(ledger: &dyn Ledger) {
    let batch = vec![
        with_zip("example.com/batch", "v1.0.0", 1),
        with_zip("example.com/same", "v1.0.0", 9),
        with_zip("example.com/batch", "v1.1.0", 2),
    ];
    let outcomes: Vec<bool> = ledger.record(batch).iter().map(Result::is_ok).collect();
    assert_eq!(outcomes, [true, false, true]);
    assert_eq!(ledger.versions(&Repository::main(), &module("example.com/batch")).unwrap().len(), 2);
}

fn the_feed_only_grows(ledger: &dyn Ledger) {
    let before = ledger.feed(None, 1000).unwrap();
    for (number, now) in [("v1.0.0", at(5)), ("v1.1.0", at(5)), ("v1.2.0", at(0)), ("v1.3.0", UNIX_EPOCH)] {
        record(ledger, NewVersion { now, ..with_zip("example.com/feed", number, 1) }).unwrap();
    }
    record(ledger, with_zip("example.com/feed", "v1.0.0", 1)).unwrap(); // again: no second line
    let all = ledger.feed(None, 1000).unwrap();
    assert_eq!(all[..before.len()], before, "served lines are final");
    let new: Vec<&str> = all[before.len()..].iter().map(|line| line.version.as_str()).collect();
    assert_eq!(new, ["v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0"]);
    assert!(
        all.windows(2).all(|pair| pair[0].at_micros < pair[1].at_micros),
        "time grows whatever the clock does"
    );
    for (index, line) in all.iter().enumerate() {
        let page = ledger.feed(Some(line.at_micros), 2).unwrap();
        assert_eq!(page, all[index..all.len().min(index + 2)], "since is inclusive");
        let past = ledger.feed(Some(line.at_micros + 1), 1000).unwrap();
        assert_eq!(past, all[index + 1..]);
    }
}

fn private_versions_stay_private(ledger: &dyn Ledger) {
    let named = |ledger: &dyn Ledger, path: &str| {
        ledger.feed(None, 1000).unwrap().iter().any(|line| line.path.as_str() == path)
    };
    let private = |path| NewVersion { visibility: Visibility::Private, ..with_zip(path, "v1.0.0", 1) };
    record(ledger, private("example.com/secret")).unwrap();
    let again = record(ledger, with_zip("example.com/secret", "v1.0.0", 1)).unwrap();
    assert_eq!(again.visibility, Visibility::Private);
    let half = NewVersion { info: Some((file(1), None)), ..nothing(version("example.com/half", "v1.0.0")) };
    record(ledger, NewVersion { visibility: Visibility::Private, ..half }).unwrap();
    record(ledger, with_zip("example.com/half", "v1.0.0", 1)).unwrap();
    record(ledger, with_zip("example.com/late", "v1.0.0", 1)).unwrap();
    assert!(named(ledger, "example.com/late"));
    record(ledger, private("example.com/late")).unwrap();
    for path in ["example.com/secret", "example.com/half", "example.com/late"] {
        assert!(!named(ledger, path), "{path} is in the feed");
    }
}

fn repositories_are_apart(ledger: &dyn Ledger) {
    let other = Repository::parse("other").unwrap();
    let lines = ledger.feed(None, 1000).unwrap().len();
    let new = NewVersion { repository: other.clone(), ..with_zip("example.com/same", "v1.0.0", 77) };
    record(ledger, new).unwrap();
    assert_eq!(ledger.modules(&other, None, 10).unwrap(), [module("example.com/same")]);
    assert_eq!(ledger.feed(None, 1000).unwrap().len(), lines, "only the main repository is fed");
}

fn damaged_files_are_marked_and_repaired(ledger: &dyn Ledger) {
    let ours = record(ledger, with_zip("example.com/rot", "v1.0.0", 6)).unwrap();
    let what =
        Quarantined { name: "a".to_owned(), kept_as: "b".to_owned(), reason: "c".to_owned(), at: at(9) };
    ledger.quarantine(what.clone(), Some((ours.id, FileKind::Zip))).unwrap();
    assert_eq!(ledger.quarantined().unwrap(), [what]);
    let marked = ledger.version(&Repository::main(), &version("example.com/rot", "v1.0.0")).unwrap().unwrap();
    assert!(marked.zip.as_ref().is_some_and(|zip| zip.quarantined) && !marked.has(FileKind::Zip));
    assert_eq!(marked.recorded(FileKind::Zip).map(|sum| sum.h1()), Some(H1::from_bytes([6; 32])));
    let reencoded = SumFacts { sha256: Sha256Sum::of(b"other bytes"), ..sum(6) };
    let reencoded = NewVersion { zip: Some(reencoded), ..with_zip("example.com/rot", "v1.0.0", 6) };
    assert!(matches!(record(ledger, reencoded), Err(Error::Conflict { .. })), "only the same bytes repair");
    assert_eq!(record(ledger, with_zip("example.com/rot", "v1.0.0", 6)).unwrap(), ours, "repaired");
    assert_eq!(ledger.counts().unwrap().quarantined, 1);
}

fn looks_at_origins_are_kept(ledger: &dyn Ledger) {
    let main = Repository::main();
    let of = version("example.com/watched", "v1.0.0");
    record(ledger, with_zip("example.com/watched", "v1.0.0", 9)).unwrap();
    let look = |state, seconds| OriginCheck {
        version: of.clone(),
        state,
        checked_at: at(seconds),
        since: at(seconds),
        detail: format!("at {seconds}"),
    };
    let note = |check: OriginCheck| ledger.note_origins(&main, vec![check]).unwrap().len();
    let known = || ledger.origin_checks(&main, Some(of.path())).unwrap();
    assert_eq!(note(look(OriginState::Stands, 1)), 0, "nothing to tell of what stands at first sight");
    assert_eq!(note(look(OriginState::TagGone, 2)), 1);
    assert_eq!(note(look(OriginState::TagGone, 3)), 0, "the same again is no news");
    assert_eq!(known(), [OriginCheck { since: at(2), ..look(OriginState::TagGone, 3) }]);
    assert_eq!(note(look(OriginState::Stands, 4)), 1, "it came back");
    assert_eq!(known(), [look(OriginState::Stands, 4)]);
    let stranger =
        OriginCheck { version: version("example.com/nobody", "v1.0.0"), ..look(OriginState::Login, 5) };
    assert_eq!(note(stranger), 0);
    assert_eq!(ledger.origin_checks(&main, None).unwrap().len(), 1);
}

fn the_log_learns_of_complete_versions(ledger: &dyn Ledger) {
    let pending = |after| -> Vec<(u64, String)> {
        let found = ledger.log_pending(after, 100).unwrap();
        found.into_iter().map(|(_, one)| (one.id, one.module_version().unwrap().to_string())).collect()
    };
    let before: Vec<u64> = pending(0).into_iter().map(|(id, _)| id).collect();
    ledger.settle_log_pending(&before).unwrap();
    assert_eq!(pending(0), [], "settled");

    let zip_only = with_zip("example.com/told", "v1.0.0", 11);
    let complete = NewVersion { go_mod: Some(sum(11)), ..zip_only.clone() };
    let mod_only =
        NewVersion { zip: None, version: version("example.com/told", "v1.1.0"), ..complete.clone() };
    let first = record(ledger, zip_only).unwrap().id;
    let second = record(ledger, mod_only.clone()).unwrap().id;
    assert_eq!(pending(0), [], "half a version has no record");
    record(ledger, complete.clone()).unwrap();
    record(ledger, complete.clone()).unwrap();
    let hidden = NewVersion { visibility: Visibility::Private, zip: Some(sum(11)), ..mod_only };
    record(ledger, hidden).unwrap();
    let told = |id, number: &str| (id, format!("example.com/told@{number}"));
    assert_eq!(pending(0), [told(first, "v1.0.0"), told(second, "v1.1.0")], "each once, private ones too");
    assert_eq!(pending(first), [told(second, "v1.1.0")]);
    ledger.settle_log_pending(&[first, u64::MAX]).unwrap();
    record(ledger, complete).unwrap();
    assert_eq!(pending(0), [told(second, "v1.1.0")], "what is settled does not come back");
    assert!(ledger.doubts().unwrap().is_empty());
}

fn each_judge_has_a_last_word(ledger: &dyn Ledger) {
    let verdict = |judge: &str, outcome: &str, size, seconds| Verdict {
        log: "sums.example/log".to_owned(),
        judge: judge.to_owned(),
        outcome: outcome.to_owned(),
        size,
        at: at(seconds),
        since: at(seconds),
        detail: format!("at {seconds}"),
    };
    let say = |verdict: &Verdict| ledger.put_verdict(verdict.clone()).unwrap();
    assert_eq!(ledger.verdicts().unwrap(), []);
    say(&verdict("witness w", "cosigned", Some(7), 1));
    say(&verdict("gossip", "fork", None, 2));
    say(&verdict("witness w", "cosigned", Some(9), 3));
    let still = Verdict { since: at(1), ..verdict("witness w", "cosigned", Some(9), 3) };
    assert_eq!(ledger.verdicts().unwrap(), [verdict("gossip", "fork", None, 2), still]);
    say(&verdict("witness w", "refused", Some(9), 4));
    assert_eq!(ledger.verdicts().unwrap()[1], verdict("witness w", "refused", Some(9), 4));
}

fn answers_replace_each_other(ledger: &dyn Ledger) {
    let (repository, module) = (Repository::main(), module("example.com/asked"));
    let question = Question::Query("v1".to_owned());
    let asked = Asked { repository: &repository, module: &module, question: &question };
    assert_eq!(ledger.answer(asked).unwrap(), None);
    for (bytes, validator) in [(b"one".to_vec(), Some("\"tag\"".to_owned())), (b"two".to_vec(), None)] {
        let answer = StoredAnswer { bytes, checked_at: at(3), source: "upstream".to_owned(), validator };
        ledger.put_answer(asked, answer.clone()).unwrap();
        assert_eq!(ledger.answer(asked).unwrap(), Some(answer));
    }
    let list = Asked { question: &Question::List, ..asked };
    assert_eq!(ledger.answer(list).unwrap(), None, "each question has its own answer");
    let listed = ledger.modules(&repository, None, 1000).unwrap();
    assert!(!listed.contains(&module), "an answer makes no module");
}

fn queries_are_bounded(ledger: &dyn Ledger) {
    let (repository, module) = (Repository::main(), module("example.com/branches"));
    let questions: Vec<Question> =
        (0..QUERIES_PER_MODULE_MAX + 2).map(|number| Question::Query(format!("branch-{number}"))).collect();
    for (second, question) in questions.iter().enumerate() {
        let checked_at = at(second as u64);
        let answer = StoredAnswer { bytes: vec![], checked_at, source: String::new(), validator: None };
        ledger.put_answer(Asked { repository: &repository, module: &module, question }, answer).unwrap();
    }
    let kept = |question| {
        ledger.answer(Asked { repository: &repository, module: &module, question }).unwrap().is_some()
    };
    let kept: Vec<bool> = questions.iter().map(kept).collect();
    assert_eq!(kept.iter().filter(|kept| !**kept).count(), 2);
    assert_eq!(kept[..3], [false, false, true], "the oldest go first");
}

fn heads_are_compared_and_set(ledger: &dyn Ledger) {
    let name = "sum.example.org";
    assert_eq!(ledger.head(name).unwrap(), None);
    assert!(!ledger.save_head(name, Some(b"old"), b"new").unwrap());
    assert!(ledger.save_head(name, None, b"one").unwrap());
    assert!(!ledger.save_head(name, None, b"two").unwrap());
    assert!(ledger.save_head(name, Some(b"one"), b"two").unwrap());
    assert_eq!(ledger.head(name).unwrap().as_deref(), Some(&b"two"[..]));
    assert_eq!(ledger.head("sum.example.com").unwrap(), None);
}

fn foreign_files_are_recorded_once(ledger: &dyn Ledger) {
    let row = |path: &str, seed: u8| ForeignFile {
        database: "sum.example.org".to_owned(),
        path: path.to_owned(),
        size: 1,
        sha256: Sha256Sum::of(&[seed]),
    };
    ledger.put_foreign(vec![row("tile/8/0/001", 1), row("tile/8/0/000", 2)]).unwrap();
    ledger.put_foreign(vec![row("tile/8/0/001", 3)]).unwrap();
    assert_eq!(ledger.foreign("sum.example.org", "tile/8/0/001").unwrap(), Some(row("tile/8/0/001", 1)));
    assert_eq!(ledger.foreign("sum.example.com", "tile/8/0/001").unwrap(), None);
    assert_eq!(ledger.walk_foreign(None, 1).unwrap(), [row("tile/8/0/000", 2)]);
    let rest = ledger.walk_foreign(Some(("sum.example.org", "tile/8/0/000")), 9).unwrap();
    assert_eq!(rest, [row("tile/8/0/001", 1)]);
    let widths = [row("tile/8/0/002.p/24", 4), row("tile/8/0/002.p/7", 5)];
    ledger.put_foreign(widths.to_vec()).unwrap();
    ledger.put_foreign(vec![row("tile/8/0/002", 6), row("tile/8/0/002.p0", 7)]).unwrap();
    assert_eq!(ledger.foreign_in("sum.example.org", "tile/8/0/002.p", 9).unwrap(), widths);
    assert_eq!(ledger.foreign_in("sum.example.org", "tile/8/0/002.p", 1).unwrap(), widths[..1]);
    assert_eq!(ledger.foreign_in("sum.example.com", "tile/8/0/002.p", 9).unwrap(), []);
    assert_eq!(ledger.foreign_in("sum.example.org", "tile/8/0/%", 9).unwrap(), []);
    ledger.forget_foreign("sum.example.org", "tile/8/0/001").unwrap();
    assert_eq!(ledger.foreign("sum.example.org", "tile/8/0/001").unwrap(), None);
}

fn evidence_is_counted(ledger: &dyn Ledger) {
    let new = |received: &str, seconds| NewEvidence {
        kind: EvidenceKind::Mismatch,
        module: "example.com/m".to_owned(),
        version: "v1.0.0.zip".to_owned(),
        recorded: "h1:a".to_owned(),
        received: received.to_owned(),
        source: "upstream".to_owned(),
        detail: "words".to_owned(),
        now: at(seconds),
    };
    let Kept::New(id) = ledger.keep_evidence(new("h1:b", 0)).unwrap() else { panic!("not new") };
    assert_eq!(ledger.keep_evidence(new("h1:b", 5)).unwrap(), Kept::Known(id));
    ledger.attach_body(id, "evidence/1", Sha256Sum::of(b"x"), 10).unwrap();
    assert!(matches!(ledger.keep_evidence(new("h1:c", 6)).unwrap(), Kept::New(_)));
    let all = ledger.evidence(0, 10).unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!((all[0].count, all[0].first_seen, all[0].last_seen), (2, at(0), at(5)));
    assert_eq!(all[0].body, Some(("evidence/1".to_owned(), Sha256Sum::of(b"x"))));
    assert_eq!(ledger.evidence(id, 10).unwrap(), all[1..]);
    let counts = ledger.counts().unwrap();
    assert_eq!((counts.evidence, counts.evidence_bytes, counts.evidence_dropped), (2, 10, 0));
}

fn walks_meet_everything(ledger: &dyn Ledger) {
    let counts = ledger.counts().unwrap();
    let (mut after, mut met) = (0, 0);
    while let Some((_, record)) = ledger.walk(after, 1).unwrap().pop() {
        assert!(record.id > after);
        after = record.id;
        met += 1;
    }
    assert_eq!(met, counts.versions);
    let newest = ledger.newest(2).unwrap();
    assert_eq!(newest.len(), 2);
    assert!(newest[0].1.id == after && newest[1].1.id < after);
    let all = ledger.modules(&Repository::main(), None, 1000).unwrap();
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(ledger.modules(&Repository::main(), Some(all[0].as_str()), 2).unwrap(), all[1..3]);
}

fn concurrent_writers_get_one_record(ledger: &dyn Ledger) {
    let ids: Vec<u64> = std::thread::scope(|scope| {
        let racing = || record(ledger, with_zip("example.com/race", "v1.0.0", 1)).unwrap().id;
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(racing)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "R7: one version, one record");
}

/// Checks an empty blob store.
///
/// # Panics
///
/// At the first thing that it does not do.
pub fn blobs(blobs: &dyn Blobs) {
    let name = |text: &str| BlobName::parse(text).unwrap();
    let placement = |to: &str, bytes: &[u8]| {
        let mut scratch = blobs.scratch().unwrap();
        scratch.write(bytes).unwrap();
        assert_eq!((scratch.len(), scratch.sha256()), (bytes.len() as u64, Sha256Sum::of(bytes)));
        Placement { name: name(to), scratch }
    };
    let read = |from: &str| {
        let mut bytes = Vec::new();
        blobs.open(&name(from)).unwrap().map(|mut file| file.read_to_end(&mut bytes).map(|_| bytes).unwrap())
    };
    let (one, two) = ("repos/main/example.com/m/@v/v1.0.0.zip", "repos/main/example.com/!m/@v/v1.0.0.zip");
    assert_eq!(read(one), None);
    assert_eq!(blobs.list("repos").unwrap(), []);
    assert_eq!(blobs.list("no/such/folder").unwrap(), []);

    let outcomes = blobs.place(vec![placement(one, b"one"), placement(two, b"")]);
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!((read(one).unwrap(), read(two).unwrap()), (b"one".to_vec(), vec![]));
    let listed: Vec<String> =
        blobs.list("repos/main/example.com").unwrap().into_iter().map(|entry| entry.path).collect();
    assert_eq!(listed, ["repos/main/example.com/!m", "repos/main/example.com/m"]);

    // Nobody vouches for what is there: it gives way, and what differs is kept aside.
    for bytes in [&b"one"[..], b"two"] {
        blobs.place(vec![placement(one, bytes)]).pop().unwrap().unwrap();
        assert_eq!(read(one).unwrap(), bytes);
    }
    assert_eq!(blobs.list("quarantine").unwrap().len(), 1);

    let kept_as = blobs.put_aside(&name(one)).unwrap();
    assert_eq!((read(one), read(&kept_as)), (None, Some(b"two".to_vec())));
    assert!(blobs.put_aside(&name(one)).is_err(), "there is nothing left to put aside");

    let scratch = blobs.scratch().unwrap();
    assert_eq!(blobs.list("scratch").unwrap().len(), 1);
    drop(scratch);
    assert_eq!(blobs.list("scratch").unwrap(), [], "scratch that is not placed is removed");
    std::mem::forget(blobs.scratch().unwrap()); // as a killed process leaves it
    assert_eq!(blobs.sweep().unwrap(), 1);
    assert_eq!(blobs.list("scratch").unwrap(), []);
}
