//! A history on the disk, so that a restart does not fetch its commits again.
//!
//! One file, written anew when the history grows: some 28 bytes a commit. Nothing in it is believed that its digest does not
//! cover, and without it the commits are fetched once more.

use std::fs;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::History;
use crate::git::tree::ObjectId;

/// The first bytes of the file.
const MAGIC: &[u8] = b"modkeep history 1\n";
/// The largest file: a history of more than a million commits. One beyond it is kept in memory only.
const FILE_BYTES_MAX: usize = 32 << 20;
/// The name of the file, and of what becomes it.
const NAMES: [&str; 2] = ["history", "history.new"];

impl History {
    /// The history that a folder keeps; an empty one when there is none, or it is damaged. Blocking.
    pub(crate) fn load(folder: &Path) -> Self {
        let path = folder.join(NAMES[0]);
        let small = fs::metadata(&path).is_ok_and(|file| file.len() <= FILE_BYTES_MAX as u64);
        let bytes = if small { fs::read(&path).unwrap_or_default() } else { Vec::new() };
        Self::decode(&bytes).unwrap_or_default()
    }

    /// Keeps it in a folder. Blocking. Failing is no failure: it is fetched again.
    pub(crate) fn save(&self, folder: &Path) {
        let [path, new] = NAMES.map(|name| folder.join(name));
        let Some(bytes) = self.encode() else { return };
        if let Err(error) = fs::write(&new, bytes).and_then(|()| fs::rename(&new, &path)) {
            tracing::debug!(path = %path.display(), %error, "a history is not kept");
        }
    }

    /// `None`: it is too large.
    fn encode(&self) -> Option<Vec<u8>> {
        let id_len = self.ids.first().map_or(0, |id| id.as_bytes().len());
        let count = |len: usize| u32::try_from(len).ok();
        let counts =
            [count(id_len)?, count(self.ids.len())?, count(self.parents.len())?, count(self.tips.len())?];
        let mut bytes = MAGIC.to_vec();
        for number in counts.iter().chain(&self.starts).chain(&self.parents) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for id in self.ids.iter().chain(&self.tips) {
            bytes.extend_from_slice(id.as_bytes());
        }
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        (bytes.len() <= FILE_BYTES_MAX).then_some(bytes)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (covered, digest) = bytes.split_last_chunk::<32>()?;
        if Sha256::digest(covered).as_slice() != digest {
            return None;
        }
        let rest = &mut covered.strip_prefix(MAGIC)?;
        let [id_len, ids, parents, tips] = numbers(rest, 4)?[..] else { return None };
        let (starts, parents) = (numbers(rest, ids as usize + 1)?, numbers(rest, parents as usize)?);
        let mut names = |count: u32| -> Option<Vec<ObjectId>> {
            let raw = take(rest, (count as usize).checked_mul(id_len as usize)?)?;
            raw.chunks_exact((id_len as usize).max(1)).map(ObjectId::from_bytes).collect()
        };
        Some(Self { ids: names(ids)?, starts, parents, tips: names(tips)? })
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(len)?;
    *rest = left;
    Some(taken)
}

fn numbers(rest: &mut &[u8], count: usize) -> Option<Vec<u32>> {
    let (words, _) = take(rest, count.checked_mul(4)?)?.as_chunks::<4>();
    Some(words.iter().map(|word| u32::from_le_bytes(*word)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::history::tests::{commits, id};

    fn kept() -> History {
        History::default().with(commits(&[(3, &[1, 2]), (2, &[1]), (1, &[])]), &[id(3)]).unwrap()
    }

    #[test]
    fn what_was_saved_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        kept().save(folder.path());
        let history = History::load(folder.path());
        assert_eq!(history.tips(), [id(3)]);
        let reached = history.reach(&[id(2)]).unwrap();
        assert_eq!([1, 2, 3].map(|number| history.is_in(&id(number), &reached)), [true, true, false]);
        History::default().save(folder.path());
        assert!(History::load(folder.path()).tips().is_empty());
    }

    #[test]
    fn damage_costs_the_history_and_never_changes_it() {
        let folder = tempfile::tempdir().unwrap();
        kept().save(folder.path());
        let path = folder.path().join(NAMES[0]);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            for damaged in [&whole[..at], &flipped] {
                fs::write(&path, damaged).unwrap();
                assert!(!History::load(folder.path()).contains(&id(1)), "at {at}");
            }
        }
    }
}
