//! Stored heads: each in its two notes, and each against the root of its size.

use std::collections::BTreeMap;
use std::ops::Range;

use modkeep_store::fsck::{Finding, Severity};
use modkeep_store::{Error, LogState, LogStore, StoredHead};
use modkeep_tlog::{Checkpoint, Hash, Note, SignedCheckpoint, SignedHead, TreeHead, TreeSize, VerifierKey};

use crate::audit::tree::WIDTH;
use crate::fsck::tree::Rows;
use crate::fsck::{Report, broken};

/// Heads read from the store at a time.
const PAGE: u32 = 1_000;

/// The roots that were promised, by size, and not yet compared.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    promised: BTreeMap<u64, Hash>,
    pub(crate) checked: u64,
}

/// Sizes of heads, ascending.
#[derive(Debug)]
pub(crate) struct Inner(Vec<TreeSize>);

impl Inner {
    /// Those that end inside these tiles.
    pub(crate) fn within(&self, tiles: &Range<u64>) -> Vec<TreeSize> {
        let before = |tile: u64| self.0.partition_point(|size| size.get() <= tile * WIDTH);
        self.0.get(before(tiles.start)..before(tiles.end)).unwrap_or_default().to_vec()
    }
}

impl Heads {
    /// Reads every stored head up to the built size, and looks at what it says by itself.
    pub(crate) fn read(
        store: &LogStore,
        state: &LogState,
        keys: &[VerifierKey],
        report: &mut Report,
    ) -> Result<Self, Error> {
        let mut heads = Self::default();
        if state.built > state.sequenced {
            let text =
                format!("{} records are covered by a head, {} are there", state.built, state.sequenced);
            report.add(broken("C2", "log/log.sqlite: log_state", text));
        }
        let before_now = earlier_keys(store, keys)?;
        let mut before = None;
        loop {
            let page = store.heads(before, PAGE)?;
            for head in &page {
                // One that was committed since: the next check sees it.
                if head.size < state.built {
                    heads.take(head, &before_now, report);
                } else if head.size == state.built {
                    heads.take(head, keys, report);
                } else if before.is_none() && store.state()?.built < head.size {
                    report.add(broken("C2", place_of(head.size), "is of a size that was never built"));
                }
            }
            let Some(last) = page.last() else { break };
            before = Some(last.size);
        }
        if state.built > TreeSize::EMPTY && !heads.promised.contains_key(&state.built.get()) {
            report.add(broken("C2", place_of(state.built), "of the built size is missing"));
        }
        published(store, &heads, state, report)?;
        Ok(heads)
    }

    fn take(&mut self, head: &StoredHead, keys: &[VerifierKey], report: &mut Report) {
        self.promised.insert(head.size.get(), head.root);
        self.checked += 1;
        let expected = TreeHead { size: head.size, root: head.root };
        if let Err(why) = go_sum_note(&head.note, expected, keys) {
            report.add(broken("A5", place_of(head.size), format!("its note: {why}")));
        }
        if let Err(why) = checkpoint_note(&head.checkpoint, expected, keys) {
            report.add(broken("B1", place_of(head.size), format!("its checkpoint: {why}")));
        }
    }

    /// The sizes of heads that end inside a tile, not at its end.
    pub(crate) fn inner(&self) -> Inner {
        let sizes = self.promised.keys().filter(|size| !size.is_multiple_of(WIDTH));
        Inner(sizes.filter_map(|size| TreeSize::new(*size)).collect())
    }

    /// Compares the root promised for a size, if one was, with that of the tree.
    pub(crate) fn compare(&mut self, rows: &Rows, size: TreeSize, leaves: &[u8], report: &mut Report) {
        let Some(promised) = self.promised.remove(&size.get()) else { return };
        let root = rows.root(leaves);
        if root != promised {
            report.add(broken(
                "A3",
                place_of(size),
                format!("promises root {promised}, the tree has {root}"),
            ));
        }
    }

    /// Whatever was not compared has no tree.
    pub(crate) fn unproven(&self, report: &mut Report) {
        for size in self.promised.keys().filter_map(|size| TreeSize::new(*size)) {
            report.add(broken("A3", place_of(size), "there is no tree of this size"));
        }
    }
}

/// The keys that a head below the newest may bear: after a rotation old ones bear the old key's line alone (A5). None where
/// signatures are not looked at.
fn earlier_keys(store: &LogStore, keys: &[VerifierKey]) -> Result<Vec<VerifierKey>, Error> {
    let mut earlier = keys.to_vec();
    if let Some(present) = keys.first() {
        let remembered = store.remembered_keys()?;
        let parsed = remembered.iter().filter_map(|vkey| VerifierKey::parse(vkey).ok());
        earlier.extend(parsed.filter(|key| key.name() == present.name() && !keys.contains(key)));
    }
    Ok(earlier)
}

/// The files that were published: copies, not synced, so an old one is no fault. One of another history is.
fn published(store: &LogStore, heads: &Heads, state: &LogState, report: &mut Report) -> Result<(), Error> {
    let latest = store
        .published()?
        .map(|note| Note::parse(&note).ok().and_then(|note| TreeHead::parse(note.text()).ok()));
    let checkpoint =
        store.published_checkpoint()?.map(|note| parsed(&note).map(|checkpoint| checkpoint.head()));
    let cosigned = store.cosigned()?.map(|(size, note)| {
        parsed(&note).map(|checkpoint| checkpoint.head()).filter(|head| head.size == size)
    });
    for (place, head) in
        [("log/latest", latest), ("log/checkpoint", checkpoint), ("log/log.sqlite: log_cosigned", cosigned)]
    {
        match head {
            Some(None) => report.add(Finding {
                id: "C3",
                severity: Severity::Warning,
                path: place.to_owned(),
                text: "is no head; the next start writes it again".to_owned(),
            }),
            Some(Some(head)) if head.size > state.built && store.state()?.built < head.size => {
                let text = format!(
                    "a head of {} records was published, the store has built {}: an old copy; see log recover",
                    head.size, state.built
                );
                report.add(broken("C4", place, text));
            }
            Some(Some(head))
                if heads.promised.get(&head.size.get()).is_some_and(|root| *root != head.root) =>
            {
                let text = format!("another root at size {} than was committed: a fork", head.size);
                report.add(broken("C4", place, text));
            }
            // Nothing was published, or a head that was committed.
            None | Some(Some(_)) => {}
        }
    }
    Ok(())
}

fn parsed(note: &[u8]) -> Option<Checkpoint> {
    Checkpoint::parse(Note::parse(note).ok()?.text()).ok()
}

fn go_sum_note(note: &[u8], expected: TreeHead, keys: &[VerifierKey]) -> Result<(), String> {
    let said = match keys {
        [] => Note::parse(note)
            .map_err(|error| error.to_string())
            .and_then(|note| TreeHead::parse(note.text()).map_err(|error| error.to_string()))?,
        keys => opened(note, keys)?,
    };
    if said == expected {
        Ok(())
    } else {
        Err("says another size or root than is stored beside it".to_owned())
    }
}

/// Opened with any of the keys.
fn opened(note: &[u8], keys: &[VerifierKey]) -> Result<TreeHead, String> {
    let mut why = String::new();
    for key in keys {
        match SignedHead::open(note, key) {
            Ok(head) if head.has_extra_lines() => return Err("has lines that no head of ours has".to_owned()),
            Ok(head) => return Ok(head.head()),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

fn checkpoint_note(note: &[u8], expected: TreeHead, keys: &[VerifierKey]) -> Result<(), String> {
    let head = match keys.first() {
        None => parsed(note).map(|checkpoint| checkpoint.head()).ok_or("is no checkpoint")?,
        Some(key) => {
            SignedCheckpoint::open(note, key.name(), keys).map_err(|error| error.to_string())?.head()
        }
    };
    if head == expected {
        Ok(())
    } else {
        Err("says another size or root than is stored beside it".to_owned())
    }
}

fn place_of(size: TreeSize) -> String {
    format!("log/log.sqlite: head {size}")
}
