//! What is looked at before anything is signed (C4): a log starts from what is stored, or does not start.

use modkeep_store::{LeafChain, LogState, LogStore, StoredHead};
use modkeep_tlog::note::Note;
use modkeep_tlog::record::{read_data_tile, write_data_tile};
use modkeep_tlog::tile::{FULL_WIDTH, HASH_BYTES, HEIGHT};
use modkeep_tlog::{
    Checkpoint, Hash, Level, RecordId, RecordText, Tail, Tile, TreeHead, TreeSize, VerifierKey, proof,
};

use crate::config::{Config, KnownHead};
use crate::error::OpenError;
use crate::head::{Head, Published};
use crate::head_copy;
use crate::read::{Reader, tile_root};
use crate::sabotage::mutant;

/// Rows that are held at once.
const ROWS_AT_ONCE: u64 = 4096;

/// Where a log stands, everything about it checked.
#[derive(Debug)]
pub(crate) struct Standing {
    /// Records that have an id; those from the tail's size on are not covered by a head yet.
    pub(crate) sequenced: TreeSize,
    pub(crate) tail: Tail,
    /// The texts of the open data tile.
    pub(crate) open: Vec<RecordText>,
    /// The newest head; none in a new store.
    pub(crate) head: Option<StoredHead>,
    pub(crate) aligned: Option<StoredHead>,
}

/// The checks of C4. Damage is found before age: a damaged copy cannot be recovered forward from.
pub(crate) fn check(store: &LogStore, keys: &[VerifierKey], config: &Config) -> Result<Standing, OpenError> {
    let standing = check_stored(store, keys)?;
    if !mutant!(config, SkipPublicHeads) {
        check_public_heads(store, standing.head.as_ref(), keys, config)?;
        check_restored(store, standing.tail.size(), keys, config)?;
    }
    Ok(standing)
}

/// Checks 1 and 3: what is stored fits together.
pub(crate) fn check_stored(store: &LogStore, keys: &[VerifierKey]) -> Result<Standing, OpenError> {
    let (state, head) = (store.state()?, store.newest_head()?);
    let tree = check_head(&state, head.as_ref(), keys)?;
    let tail = open_tail(&state)?;
    if tail.root() != tree.root {
        return Err(damaged("the root over the stored edge is not that of the newest head"));
    }
    check_edge(store, &state)?;
    let open = open_texts(store, &state)?;
    check_last_tiles(store, state.built)?;
    check_unbuilt(store, state.built)?;
    Ok(Standing { sequenced: state.sequenced, tail, open, aligned: store.newest_aligned_head()?, head })
}

/// The newest head is of the built size, says what is stored beside it, and was signed by one of our keys.
fn check_head(
    state: &LogState,
    head: Option<&StoredHead>,
    keys: &[VerifierKey],
) -> Result<TreeHead, OpenError> {
    let Some(head) = head else {
        if state.built == TreeSize::EMPTY {
            return Ok(TreeHead::EMPTY);
        }
        return Err(damaged("records were covered by a head, and no head is stored"));
    };
    let said = open_note(&head.note, keys).map_err(|detail| {
        let vkey = keys.first().map(ToString::to_string).unwrap_or_default();
        OpenError::OtherKey { vkey, detail }
    })?;
    if said != (TreeHead { size: head.size, root: head.root }) || head.size != state.built {
        return Err(damaged("the newest head, its note and the built size do not say the same"));
    }
    Ok(said)
}

fn open_note(note: &[u8], keys: &[VerifierKey]) -> Result<TreeHead, String> {
    let open = Note::open(note, keys).map_err(|error| error.to_string())?;
    TreeHead::parse(open.text()).map_err(|error| error.to_string())
}

/// What our key has signed in a note that somebody brought: a head, or a checkpoint of this log.
pub(crate) fn open_seen(note: &[u8], keys: &[VerifierKey]) -> Result<TreeHead, String> {
    let open = Note::open(note, keys).map_err(|error| error.to_string())?;
    let head = TreeHead::parse(open.text()).map_err(|error| error.to_string());
    head.or_else(|error| match Checkpoint::parse(open.text()) {
        Ok(checkpoint) if keys.iter().any(|key| key.name() == checkpoint.origin()) => Ok(checkpoint.head()),
        _ => Err(error),
    })
}

fn open_tail(state: &LogState) -> Result<Tail, OpenError> {
    let row = |tile: &Tile| state.edge.get(usize::from(tile.level()?.get()));
    Tail::open(state.built, row).map_err(|error| damaged(&format!("the stored edge: {error}")))
}

/// Check 1: each hash of the open tiles above the leaves is the hash of a full tile below it.
fn check_edge(store: &LogStore, state: &LogState) -> Result<(), OpenError> {
    for tile in Tail::tiles(state.built) {
        let Some(level) = tile.level() else { continue };
        let Some(below) = level.get().checked_sub(1).and_then(Level::new) else { continue };
        let hashes = state.edge.get(usize::from(level.get())).map_or(&[][..], Vec::as_slice);
        let first = tile.index() << HEIGHT;
        for (index, hash) in (first..).zip(hashes.as_chunks::<HASH_BYTES>().0) {
            let Some(full) = Tile::hashes(below, index, FULL_WIDTH) else { continue };
            let bytes = store.tile(&full)?.ok_or_else(|| damaged(&format!("{} is missing", full.path())))?;
            if tile_root(&bytes) != Some(Hash(*hash)) {
                return Err(damaged(&format!("{} is not what the open tile above it says", full.path())));
            }
        }
    }
    Ok(())
}

/// Check 1, at the leaves: the rows of the open data tile are what the stored edge says.
fn open_texts(store: &LogStore, state: &LogState) -> Result<Vec<RecordText>, OpenError> {
    let width = state.built.get() % u64::from(FULL_WIDTH);
    let Some(first) = RecordId::new(state.built.get() - width).filter(|_| width > 0) else {
        return Ok(Vec::new());
    };
    let texts = texts(store, first, width)?;
    let edge = state.edge.first().map_or(&[][..], Vec::as_slice).as_chunks::<HASH_BYTES>().0;
    match texts.iter().zip(edge).position(|(text, leaf)| text.leaf_hash().0 != *leaf) {
        Some(place) => {
            let id = first.get() + u64::try_from(place).unwrap_or_default();
            Err(damaged(&format!("record {id} is not what its leaf hashes")))
        }
        None => Ok(texts),
    }
}

/// The texts of so many rows.
pub(crate) fn texts(store: &LogStore, from: RecordId, count: u64) -> Result<Vec<RecordText>, OpenError> {
    let rows = store.records(from, u32::try_from(count).unwrap_or(u32::MAX))?;
    let in_order = (from.get()..).zip(&rows).all(|(id, row)| row.id.get() == id);
    if u64::try_from(rows.len()) != Ok(count) || !in_order {
        return Err(damaged(&format!("of {count} records from {from} on, some are missing")));
    }
    let text = |row: &modkeep_store::LogRecord| {
        row.record.to_text().map_err(|error| damaged(&format!("record {}: {error}", row.id)))
    };
    rows.iter().map(text).collect()
}

/// Check 3: the last full data tile holds the records of its leaves, and says what the rows say.
fn check_last_tiles(store: &LogStore, built: TreeSize) -> Result<(), OpenError> {
    let Some(index) = (built.get() / u64::from(FULL_WIDTH)).checked_sub(1) else { return Ok(()) };
    let tiles = Tile::data(index, FULL_WIDTH).zip(Tile::hashes(Level::LEAVES, index, FULL_WIDTH));
    let Some((data, leaves)) = tiles else { return Ok(()) };
    let read = |tile: &Tile| -> Result<Vec<u8>, OpenError> {
        store.tile(tile)?.ok_or_else(|| damaged(&format!("{} is missing", tile.path())))
    };
    let (bytes, hashes) = (read(&data)?, read(&leaves)?);
    let records =
        read_data_tile(&bytes, FULL_WIDTH).map_err(|error| damaged(&format!("{}: {error}", data.path())))?;
    let leaf_hashes = hashes.as_chunks::<HASH_BYTES>().0.iter().copied();
    if !records.iter().map(|text| text.leaf_hash().0).eq(leaf_hashes) {
        return Err(damaged(&format!("{} does not hash to its leaves", data.path())));
    }
    let first = RecordId::new(index * u64::from(FULL_WIDTH));
    let rows = first.map_or_else(|| Ok(Vec::new()), |first| texts(store, first, FULL_WIDTH.into()))?;
    if write_data_tile(&rows) != bytes {
        return Err(damaged(&format!("{} does not say what the rows say", data.path())));
    }
    Ok(())
}

/// The records that have an id and no head yet are those that their callers gave: what was kept of these in the
/// transaction that gave the ids says so. A row that changed since would become the truth with the next head (R14).
fn check_unbuilt(store: &LogStore, built: TreeSize) -> Result<(), OpenError> {
    let Some((chain, end)) = store.leaf_chain()?.filter(|(_, end)| *end > built) else { return Ok(()) };
    let mut again = LeafChain::new(chain.from());
    let mut next = chain.from();
    while end.contains(next) {
        let count = (end.get() - next.get()).min(ROWS_AT_ONCE);
        texts(store, next, count)?.iter().for_each(|text| again.append(&text.leaf_hash()));
        next = RecordId::new(next.get() + count).ok_or_else(|| damaged("an impossible id"))?;
    }
    if again == chain { Ok(()) } else { Err(OpenError::Changed { from: built, to: end }) }
}

/// Check 2: nobody has seen a head that is not of our tree (I17).
fn check_public_heads(
    store: &LogStore,
    head: Option<&StoredHead>,
    keys: &[VerifierKey],
    config: &Config,
) -> Result<(), OpenError> {
    let ours = head.map_or(TreeSize::EMPTY, |head| head.size);
    let known = public_heads(store, keys, config)?;
    // The largest first: it says best how old this copy is.
    if let Some(ahead) = known.iter().max_by_key(|it| it.size).filter(|it| it.size > ours) {
        return Err(OpenError::Behind { seen_by: ahead.seen_by.clone(), seen: ahead.size, ours });
    }
    agree(store, head, &known)?;
    check_seen(store, keys)?;
    check_copy(store, keys, config)
}

/// A larger head that was brought is kept synced, so a file that is none is damage: what it said may be larger than all that is
/// known (I17).
pub(crate) fn check_seen(store: &LogStore, keys: &[VerifierKey]) -> Result<(), OpenError> {
    let Some((note, path)) = store.seen()? else { return Ok(()) };
    let advice = "somebody brought a head that was larger than the newest one here: restore the newest copy of the data directory, \
                  or run `modkeep log recover --head FILE` with the largest head that is known; or, if it is known that \
                  nothing larger was signed than what is here, say so by removing the file";
    read_memory(store, &path.display().to_string(), &note, keys, advice)
}

/// The copy beside the key is replaced as a whole, so one that is no head is damage. An empty one says nothing: earlier versions left
/// it after a power cut.
fn check_copy(store: &LogStore, keys: &[VerifierKey], config: &Config) -> Result<(), OpenError> {
    let Some(path) = &config.head_copy else { return Ok(()) };
    let Some((_, note)) = head_copy::read(path)?.filter(|(_, note)| !note.is_empty()) else { return Ok(()) };
    let advice = "compare the newest head here (/log/latest) with the one that witnesses or replicas have, or that was published; \
                  if none is larger, remove the file to go on without it: the next start writes it again";
    read_memory(store, &path.display().to_string(), &note, keys, advice)
}

/// What was remembered may be older than the keys of today.
fn read_memory(
    store: &LogStore,
    file: &str,
    note: &[u8],
    keys: &[VerifierKey],
    advice: &'static str,
) -> Result<(), OpenError> {
    let mut keys = keys.to_vec();
    for older in store.remembered_keys()?.iter().filter_map(|key| VerifierKey::parse(key).ok()) {
        if !keys.contains(&older) {
            keys.push(older);
        }
    }
    let read = open_seen(note, &keys);
    read.map(drop).map_err(|detail| OpenError::Unreadable { file: file.to_owned(), detail, advice })
}

/// Of the heads that others have seen, those that are not larger than ours are of our tree (R5). Of one whose root is not
/// known nothing is said.
pub(crate) fn agree(
    store: &LogStore,
    head: Option<&StoredHead>,
    known: &[KnownHead],
) -> Result<(), OpenError> {
    let Some(head) = head else { return Ok(()) };
    let seen = Published::alone(Head::from(head.clone()), store.state()?.edge);
    let reader = Reader::new(store.clone());
    let nodes = reader.nodes(&seen);
    for it in known.iter().filter(|it| it.size <= head.size) {
        let Some(root) = it.root else { continue };
        let here = proof::root(&nodes, it.size);
        if here.is_some_and(|here| here != root) {
            return Err(OpenError::Forked { seen_by: it.seen_by.clone(), size: it.size });
        }
    }
    match nodes.into_error() {
        Some(error) => Err(OpenError::Store(error)),
        None => Ok(()),
    }
}

/// A log that was put back from a backup goes on when somebody outside it has seen its newest head, and nobody a newer one.
/// That nobody says anything proves nothing: the signatures after the backup may be known to clients alone (R27).
fn check_restored(
    store: &LogStore,
    ours: TreeSize,
    keys: &[VerifierKey],
    config: &Config,
) -> Result<(), OpenError> {
    let Some((backup_of, file)) = store.restored()? else { return Ok(()) };
    if outside_heads(keys, config)?.iter().any(|it| it.size == ours) {
        return Ok(store.settle_restored()?);
    }
    Err(OpenError::Restored { backup_of, ours, file: file.display().to_string() })
}

/// The heads that were seen by somebody whom no backup of the data directory puts back.
pub(crate) fn outside_heads(keys: &[VerifierKey], config: &Config) -> Result<Vec<KnownHead>, OpenError> {
    let mut known = config.known_heads.clone();
    let copy = config.head_copy.as_deref().map(head_copy::read).transpose()?.flatten();
    known.extend(copy.and_then(|(seen_by, note)| read_head(seen_by, &note, keys)));
    Ok(known)
}

/// A published file is not synced: after a power cut it may be torn. A head that we cannot read proves nothing; where it
/// should have been readable, the start is refused for that ([`check_seen`], [`check_copy`]).
fn read_head(seen_by: String, note: &[u8], keys: &[VerifierKey]) -> Option<KnownHead> {
    match open_seen(note, keys) {
        Ok(TreeHead { size, root }) => Some(KnownHead { seen_by, size, root: Some(root) }),
        Err(error) => {
            tracing::warn!(%seen_by, %error, "not a head of this log; passed over");
            None
        }
    }
}

/// Every head that can be seen from here, and those that were given.
pub(crate) fn public_heads(
    store: &LogStore,
    keys: &[VerifierKey],
    config: &Config,
) -> Result<Vec<KnownHead>, OpenError> {
    let mut known = outside_heads(keys, config)?;
    let published = store.published()?;
    known.extend(published.and_then(|note| read_head("the published file `latest`".to_owned(), &note, keys)));
    let brought = store.seen()?;
    known.extend(brought.and_then(|(note, path)| {
        read_head(
            format!("somebody, by the head that was brought and kept in {},", path.display()),
            &note,
            keys,
        )
    }));
    if let Some((size, _)) = store.cosigned()? {
        let seen_by = "a witness that cosigned a checkpoint".to_owned();
        known.push(KnownHead { seen_by, size, root: None });
    }
    Ok(known)
}

pub(crate) fn damaged(detail: &str) -> OpenError {
    OpenError::Damaged { detail: detail.to_owned() }
}
