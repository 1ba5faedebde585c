//! Audits that were broken off, and logs that were away for a while.

use std::ops::ControlFlow;

use modkeep_log::audit::{self, Begin, Error, Kind, Parts, Report};

use crate::support::{Auditor, Log, id, key, kinds, module, record};

/// A log that lies in three ways, early, in the middle and late.
fn liar() -> Log {
    let mut log = Log::of(3_000);
    log.tree.append(record(&module(5), "v1.0.0", 77));
    log.grow(3_000);
    let tile = String::from_utf8(log.tile("tile/8/data/010")).unwrap();
    log.set("tile/8/data/010", tile.replacen("h1:A", "h1:B", 1));
    log.remove("tile/8/data/019");
    log
}

/// Audits, and breaks off after so many tiles, again and again until it is through.
fn in_pieces(auditor: &Auditor, log: &Log, tiles: u64) -> (Report, u64) {
    let mut runs = 0;
    loop {
        let mut left = tiles;
        let parts =
            Parts { source: log, key: &key().verifier(), held: None, options: auditor.options.clone() };
        let mut watch = |_| {
            left = left.saturating_sub(1);
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        // A new state each time: nothing is remembered but what lies on disk.
        let report = audit::run(&parts, &mut auditor.state(), &mut watch).unwrap();
        runs += 1;
        if report.complete {
            return (report, runs);
        }
    }
}

#[test]
fn interrupted_and_resumed_audits_come_to_the_same_verdict() {
    let log = liar();
    let whole = Auditor::new().audit(&log);
    assert_eq!(kinds(&whole), [Kind::ChangedRecord, Kind::Duplicate, Kind::MissingTile]);
    let texts = |report: &Report| {
        let mut texts: Vec<(Kind, Option<u64>, String)> =
            report.findings.iter().map(|f| (f.kind, f.record, f.text.clone())).collect();
        texts.sort();
        texts
    };
    for tiles in [1, 7] {
        let auditor = Auditor::new();
        let (report, runs) = in_pieces(&auditor, &log, tiles);
        assert!(runs > 1, "{tiles}");
        assert_eq!(texts(&report), texts(&whole), "{tiles}");
        assert_eq!(report.gaps, whole.gaps, "{tiles}");
        assert_eq!(report.head, whole.head, "{tiles}");
    }
}

#[test]
fn a_log_that_is_away_is_trouble_and_no_finding() {
    let auditor = Auditor::new();
    let mut log = Log::of(6_000);
    log.trouble = Some("tile/8/data/015".to_owned());
    let Err(Error::Away(away)) = auditor.try_audit(&log) else { panic!("the log is away") };
    assert!(away.to_string().contains("tile/8/data/015"), "{away}");
    let reached = auditor.state().next();
    assert!(reached > 0 && reached <= 15 * 256, "{reached}");

    log.trouble = None;
    let asked = log.asked.load(std::sync::atomic::Ordering::Relaxed);
    let report = auditor.audit(&log);
    assert!(report.is_honest() && report.complete);
    assert_eq!(report.checked.records, 6_000 - reached);
    let now = log.asked.load(std::sync::atomic::Ordering::Relaxed);
    assert!(now - asked < 2 * (24 - reached / 256) + 20, "only what is new is asked for");
}

#[test]
fn nothing_new_asks_for_the_head_alone() {
    let auditor = Auditor::new();
    let log = Log::of(1_000);
    auditor.audit(&log);
    log.asked.store(0, std::sync::atomic::Ordering::Relaxed);
    assert!(auditor.audit(&log).complete);
    assert!(log.asked.into_inner() <= 4);
}

#[test]
fn an_audit_from_the_middle_says_what_it_left_out() {
    let auditor = Auditor::new().with(|options| options.from = Begin::At(id(600)));
    let report = auditor.audit(&Log::of(1_000));
    assert!(report.is_honest());
    assert_eq!(report.gaps.len(), 1);
    assert_eq!((report.gaps[0].from, report.gaps[0].to), (0, 600));
    // Duplicates of what was left out are found once everything is read.
    let mut log = Log::of(1_000);
    log.tree.append(record(&module(3), "v1.0.0", 77));
    let auditor = auditor.with(|options| options.from = Begin::Resume);
    assert!(auditor.audit(&log).is_honest());
    let auditor = auditor.with(|options| options.from = Begin::Start);
    let report = auditor.audit(&log);
    assert_eq!(kinds(&report), [Kind::Duplicate]);
    assert_eq!(report.gaps, []);
}

#[test]
fn the_state_of_one_log_is_not_used_for_another() {
    let auditor = Auditor::new();
    auditor.audit(&Log::of(3));
    let other = audit::State::open(&auditor.home.path().join("state"), "other.example");
    assert!(other.unwrap_err().to_string().contains("sums.example/log"));
    let at_work = auditor.state();
    let second = audit::State::open(&auditor.home.path().join("state"), "sums.example/log");
    assert!(second.unwrap_err().to_string().contains("another audit"));
    drop(at_work);
    std::fs::write(auditor.home.path().join("state/state.json"), "{").unwrap();
    let damaged = audit::State::open(&auditor.home.path().join("state"), "sums.example/log");
    assert!(damaged.unwrap_err().to_string().contains("move it away"));
}
