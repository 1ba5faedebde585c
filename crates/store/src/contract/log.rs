//! What the log's matter has to do, whatever it is kept in.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use modkeep_tlog::{GoSumRecord, Hash, Level, RecordId, Tile, TreeSize};

use crate::error::Error;
use crate::log::{
    HeadCommit, LeafChain, LogRecord, LogStore, LogWriter, NewRecord, RecordSource, Sequenced, StoredHead,
    TileFile,
};

/// Checks an empty log.
///
/// # Panics
///
/// At the first thing that it does not do.
pub fn log(log: &LogStore) {
    it_begins_empty(log);
    let mut writer = log.writer().unwrap();
    records_get_ids_in_order(log, &mut writer);
    a_module_version_has_one_record(log, &mut writer);
    leaf_hashes_are_chained_until_a_head_covers_them(log);
    sources_and_proofs_are_kept(log, &mut writer);
    pages_follow_each_other(log, &mut writer);
    tiles_are_written_once(log, &mut writer);
    heads_are_compared_and_set(log, &mut writer);
    heads_in_between_are_forgotten(log, &mut writer);
    what_is_published_is_replaced(log, &mut writer);
    cosigned_checkpoints_are_few(log, &mut writer);
    a_new_writer_fences_the_old(log, writer);
    assert_eq!(log.check_keys(10).unwrap(), []);
    assert!(log.strays().unwrap().is_empty());
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

fn id(id: u64) -> RecordId {
    RecordId::new(id).unwrap()
}

fn size(size: u64) -> TreeSize {
    TreeSize::new(size).unwrap()
}

/// A record of our own.
pub fn own(module: &str, version: &str, seed: u8) -> NewRecord {
    let record = GoSumRecord {
        module: module.to_owned(),
        version: version.to_owned(),
        zip_h1: [seed; 32],
        go_mod_h1: [seed ^ 0xff; 32],
    };
    NewRecord { record, source: RecordSource::Own, provenance: None }
}

fn many(module: &str, count: usize) -> Vec<NewRecord> {
    (0..count).map(|number| own(module, &format!("v1.0.{number}"), 1)).collect()
}

/// A head that says what it is, signed by nobody.
pub fn head(covers: u64, seed: u8) -> StoredHead {
    StoredHead {
        size: size(covers),
        root: Hash([seed; 32]),
        note: format!("note {covers} {seed}\n").into_bytes(),
        checkpoint: format!("checkpoint {covers} {seed}\n").into_bytes(),
        signed_at: at(covers),
    }
}

fn it_begins_empty(log: &LogStore) {
    let state = log.state().unwrap();
    assert_eq!((state.sequenced, state.built, state.epoch), (size(0), size(0), 0));
    assert!(state.edge.is_empty());
    assert_eq!(log.newest_head().unwrap(), None);
    assert_eq!(log.newest_aligned_head().unwrap(), None);
    assert_eq!(log.records(id(0), 10).unwrap(), []);
    assert_eq!(log.published().unwrap(), None);
    assert_eq!(log.cosigned().unwrap(), None);
    assert_eq!(log.tile(&Tile::data(0, 256).unwrap()).unwrap(), None);
}

fn records_get_ids_in_order(log: &LogStore, writer: &mut LogWriter) {
    assert_eq!(log.find("example.com/a", "v1.0.0").unwrap(), None);
    let batch = [own("example.com/b", "v1.0.0", 1), own("example.com/a", "v1.0.0", 2)];
    let outcomes = writer.sequence(&batch, at(0)).unwrap();
    assert_eq!(outcomes, [Sequenced::New(id(0)), Sequenced::New(id(1))]);
    assert_eq!(writer.sequence(&[], at(0)).unwrap(), []);
    let expected = LogRecord {
        id: id(1),
        record: batch[1].record.clone(),
        source: RecordSource::Own,
        sequenced_at: at(0),
    };
    assert_eq!(log.record(id(1)).unwrap(), Some(expected));
    assert_eq!(log.record(id(2)).unwrap(), None);
    assert_eq!(log.find("example.com/a", "v1.0.0").unwrap(), Some(id(1)));
    assert_eq!(log.state().unwrap().sequenced, size(2));
}

fn a_module_version_has_one_record(log: &LogStore, writer: &mut LogWriter) {
    let batch = [
        own("example.com/a", "v1.0.0", 2),
        own("example.com/a", "v1.0.0", 3),
        own("example.com/A", "v1.0.0", 2),
        own("example.com/A", "v1.0.0", 2),
        own("example.com/A", "v1.0.0", 4),
        own("example.com/a", "v1.0.0-x", 2),
    ];
    let known = |number, is_same| Sequenced::Known { id: id(number), is_same };
    let (first, second) = (Sequenced::New(id(2)), Sequenced::New(id(3)));
    let expected = [known(1, true), known(1, false), first, known(2, true), known(2, false), second];
    assert_eq!(writer.sequence(&batch, at(1)).unwrap(), expected);
    assert_eq!(log.record(id(1)).unwrap().unwrap().record, own("example.com/a", "v1.0.0", 2).record);
    assert_eq!(log.state().unwrap().sequenced, size(4));
}

fn leaf_hashes_are_chained_until_a_head_covers_them(log: &LogStore) {
    let (chain, end) = log.leaf_chain().unwrap().unwrap();
    let mut again = LeafChain::new(id(0));
    for row in log.records(id(0), 10).unwrap() {
        again.append(&row.record.to_text().unwrap().leaf_hash());
    }
    assert_eq!((chain, end), (again, log.state().unwrap().sequenced), "the records of two batches");
}

fn sources_and_proofs_are_kept(log: &LogStore, writer: &mut LogWriter) {
    let upstream = |module: &str, name: &str| NewRecord {
        source: RecordSource::Upstream(name.into()),
        provenance: Some(format!("proof of {module}").into_bytes()),
        ..own(module, "v2.0.0", 1)
    };
    let batch = [
        upstream("example.com/p", "sum.example.org"),
        upstream("example.com/q", "sum.example.com"),
        upstream("example.com/r", "sum.example.org"),
    ];
    writer.sequence(&batch, at(2)).unwrap();
    for (number, new) in (4..).zip(batch) {
        assert_eq!(log.record(id(number)).unwrap().unwrap().source, new.source);
        assert_eq!(log.provenance(id(number)).unwrap(), new.provenance);
    }
    assert_eq!(log.provenance(id(0)).unwrap(), None);
}

fn pages_follow_each_other(log: &LogStore, writer: &mut LogWriter) {
    writer.sequence(&many("example.com/many", 1500), at(3)).unwrap();
    let all = log.records(id(0), 5000).unwrap();
    assert_eq!(all.len(), 1507);
    assert_eq!(log.records(id(3), 2).unwrap(), all[3..5]);
    assert_eq!(log.records(id(1507), 2).unwrap(), []);
    for record in &all {
        assert_eq!(log.find(&record.record.module, &record.record.version).unwrap(), Some(record.id));
    }
}

fn tiles_are_written_once(log: &LogStore, writer: &mut LogWriter) {
    let (data, hashes) = (Tile::data(0, 256).unwrap(), Tile::hashes(Level::LEAVES, 1234, 256).unwrap());
    let tiles = [(data, b"texts".to_vec()), (hashes, vec![7; 8192])];
    writer.put_tiles(&tiles).unwrap();
    writer.put_tiles(&tiles).unwrap();
    assert_eq!(log.tile(&data).unwrap().as_deref(), Some(&b"texts"[..]));
    assert_eq!(log.tile(&hashes).unwrap(), Some(vec![7; 8192]));
    let other = writer.put_tiles(&[(data, b"other".to_vec())]);
    assert!(matches!(other, Err(Error::LogConflict { .. })), "{other:?}");
    assert_eq!(log.tile(&data).unwrap().as_deref(), Some(&b"texts"[..]), "ours stays");
    let partial = writer.put_tiles(&[(Tile::data(1, 3).unwrap(), b"texts".to_vec())]);
    assert!(matches!(partial, Err(Error::LogConflict { .. })), "{partial:?}");
    let mut met = Vec::new();
    log.walk_tiles(&mut |file| {
        met.push(file);
        Ok(())
    })
    .unwrap();
    assert_eq!(met.len(), 2);
    assert!(met.contains(&TileFile::Tile(data)) && met.contains(&TileFile::Tile(hashes)));
}

fn commit(writer: &mut LogWriter, built: u64, heads: &[StoredHead], edge: &[Vec<u8>]) -> Result<(), Error> {
    writer.commit_heads(HeadCommit { built: size(built), heads, edge })
}

fn heads_are_compared_and_set(log: &LogStore, writer: &mut LogWriter) {
    let (edge, later) = (vec![vec![1; 64], vec![], vec![2; 32]], vec![vec![3; 32]]);
    commit(writer, 0, &[head(256, 1), head(258, 2)], &edge).unwrap();
    let state = log.state().unwrap();
    assert_eq!((state.built, &state.edge), (size(258), &edge));
    assert_eq!(log.newest_head().unwrap(), Some(head(258, 2)));
    assert_eq!(log.newest_aligned_head().unwrap(), Some(head(256, 1)));
    for (built, heads, what) in [
        (0, vec![head(300, 3)], "the size was built by another"),
        (258, vec![head(1508, 3)], "more than there is"),
        (258, vec![head(258, 3)], "another root at a known size"),
        (258, vec![head(257, 3)], "it goes back"),
        (258, vec![head(300, 3), head(299, 3)], "sizes that do not grow"),
        (258, vec![], "nothing"),
    ] {
        let outcome = commit(writer, built, &heads, &later);
        assert!(matches!(outcome, Err(Error::LogConflict { .. })), "{what}: {outcome:?}");
        assert_eq!(log.state().unwrap(), state, "{what}");
    }
    let again = StoredHead { note: b"signed by two\n".to_vec(), ..head(258, 2) };
    commit(writer, 258, std::slice::from_ref(&again), &edge).unwrap();
    assert_eq!(log.newest_head().unwrap(), Some(again.clone()));
    commit(writer, 258, &[head(300, 4)], &later).unwrap();
    assert_eq!(log.leaf_chain().unwrap().unwrap().0.from(), id(0), "some have no head yet");
    assert_eq!(log.state().unwrap().edge, later);
    assert_eq!(log.head_at_least(size(257)).unwrap(), Some(again.clone()));
    assert_eq!(log.head_at_least(size(301)).unwrap(), None);
    assert_eq!(log.heads(None, 2).unwrap(), [head(300, 4), again.clone()]);
    assert_eq!(log.heads(Some(size(300)), 10).unwrap(), [again, head(256, 1)]);
}

fn heads_in_between_are_forgotten(log: &LogStore, writer: &mut LogWriter) {
    for covers in 301..=1400 {
        commit(writer, covers - 1, &[head(covers, 5)], &[]).unwrap();
    }
    let sizes: Vec<u64> = log.heads(None, 5000).unwrap().iter().map(|head| head.size.get()).collect();
    let aligned = sizes.iter().filter(|size| *size % 256 == 0).count();
    assert_eq!((sizes.len(), aligned), (1005, 5), "the last 1,000, and all aligned");
    assert!(sizes.contains(&256) && !sizes.contains(&258) && sizes[0] == 1400);
}

fn what_is_published_is_replaced(log: &LogStore, writer: &mut LogWriter) {
    for covers in [1300, 1400] {
        writer.publish(&head(covers, 5)).unwrap();
        assert_eq!(log.published().unwrap(), Some(head(covers, 5).note));
        assert_eq!(log.published_checkpoint().unwrap(), Some(head(covers, 5).checkpoint));
    }
}

fn cosigned_checkpoints_are_few(log: &LogStore, writer: &mut LogWriter) {
    for covers in 1300..1340 {
        writer.put_cosigned(size(covers), format!("cosigned {covers}").as_bytes()).unwrap();
    }
    writer.put_cosigned(size(1339), b"by one more").unwrap();
    assert_eq!(log.cosigned().unwrap(), Some((size(1339), b"by one more".to_vec())));
}

fn a_new_writer_fences_the_old(log: &LogStore, mut old: LogWriter) {
    let mut new = log.writer().unwrap();
    assert!(new.epoch() > old.epoch());
    let stale = old.sequence(&[own("example.com/stale", "v1.0.0", 1)], at(9));
    assert!(matches!(stale, Err(Error::Fenced)), "{stale:?}");
    let fresh = new.sequence(&[own("example.com/fresh", "v1.0.0", 1)], at(9)).unwrap();
    assert_eq!(fresh, [Sequenced::New(id(1507))]);
    assert!(log.leaf_chain().unwrap().is_some());
    assert_eq!(log.find("example.com/stale", "v1.0.0").unwrap(), None);
    drop(old);
    let mut stale = new;
    let mut new = log.writer().unwrap();
    let refused = commit(&mut stale, 1400, &[head(1401, 6)], &[]);
    assert!(matches!(refused, Err(Error::Fenced)), "{refused:?}");
    let known = new.sequence(&[own("example.com/fresh", "v1.0.0", 1)], at(9)).unwrap();
    assert_eq!(known, [Sequenced::Known { id: id(1507), is_same: true }]);
}
