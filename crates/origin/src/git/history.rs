//! Who descends from whom, in a repository's whole history: commits alone, without a file or directory (V-63).
//!
//! A commit costs some 30 bytes here, so a history of a million commits takes 30 MB while its repository is open. No
//! walk calls itself, and a commit whose parents the server kept back makes every answer about it an error (C20).

mod kept;

use crate::git::object::CommitObject;
use crate::git::objects::format_of;
use crate::git::tree::ObjectId;
use crate::git::wire::ObjectFormat;

/// The place of a parent that is not here.
const ABSENT: u32 = u32::MAX;
/// How many known commits a server is told of, the newest first. More would not spare it work.
const TIPS_MAX: usize = 64;

/// A part of history: all that was ever asked about.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Ascending.
    ids: Vec<ObjectId>,
    /// Where the parents of each commit begin in `parents`; one more at the end.
    starts: Vec<u32>,
    /// Places in `ids`.
    parents: Vec<u32>,
    /// Commits whose whole ancestry is here, the last fetched last.
    tips: Vec<ObjectId>,
}

/// Commits that came together, in no order.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    ids: Vec<(ObjectId, u32, u32)>,
    parents: Vec<ObjectId>,
}

/// A parent is missing: the history came incomplete.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Incomplete;

/// Some commits of a history.
#[derive(Debug)]
pub(crate) struct Reached(Vec<u64>);

impl Commits {
    /// One more.
    pub(crate) fn add(&mut self, id: ObjectId, commit: &CommitObject) {
        let place = |len: usize| u32::try_from(len).unwrap_or(ABSENT);
        let start = place(self.parents.len());
        self.parents.extend_from_slice(&commit.parents);
        self.ids.push((id, start, place(self.parents.len())));
    }
}

impl History {
    /// Commits that need not be sent again, nor their ancestors.
    pub(crate) fn tips(&self) -> &[ObjectId] {
        &self.tips[self.tips.len().saturating_sub(TIPS_MAX)..]
    }

    /// Whether its commits are named as this repository's are; another one may stand where it came from.
    pub(crate) fn is_of(&self, format: ObjectFormat) -> bool {
        self.ids.first().is_none_or(|id| format_of(id) == format)
    }

    /// Whether a commit is here.
    pub(crate) fn contains(&self, id: &ObjectId) -> bool {
        self.place(id).is_some()
    }

    /// The same with more commits, after which the whole ancestry of `tips` has to be here. Those of them that are
    /// no commits are passed over.
    pub(crate) fn with(&self, more: Commits, tips: &[ObjectId]) -> Result<Self, Incomplete> {
        let Commits { ids: mut new, parents: new_parents } = more;
        new.sort_unstable();
        new.dedup_by_key(|(id, ..)| *id);
        new.retain(|(id, ..)| !self.contains(id));
        let mut ids: Vec<ObjectId> = self.ids.iter().copied().chain(new.iter().map(|(id, ..)| *id)).collect();
        ids.sort_unstable();
        let mut grown = Self { ids, starts: vec![0], parents: Vec::new(), tips: self.tips.clone() };
        for at in 0..grown.ids.len() {
            let id = grown.ids[at];
            if let Ok(at) = new.binary_search_by_key(&id, |(id, ..)| *id) {
                let (_, start, end) = new[at];
                for parent in new_parents.get(start as usize..end as usize).into_iter().flatten() {
                    grown.parents.push(grown.place(parent).unwrap_or(ABSENT));
                }
            } else if let Some(old) = self.place(&id) {
                for &parent in self.parents_of(old) {
                    let place = self.ids.get(parent as usize).and_then(|parent| grown.place(parent));
                    grown.parents.push(place.unwrap_or(ABSENT));
                }
            }
            grown.starts.push(u32::try_from(grown.parents.len()).map_err(|_| Incomplete)?);
        }
        let here: Vec<ObjectId> = tips.iter().filter(|tip| grown.contains(tip)).copied().collect();
        grown.reach(&here)?;
        grown.tips.retain(|tip| !here.contains(tip));
        grown.tips.extend(here);
        Ok(grown)
    }

    /// Everything that these commits descend from, themselves included.
    pub(crate) fn reach(&self, from: &[ObjectId]) -> Result<Reached, Incomplete> {
        let mut reached = Reached(vec![0; self.ids.len().div_ceil(64)]);
        let mut open: Vec<u32> = from.iter().filter_map(|id| self.place(id)).collect();
        open.retain(|&place| reached.insert(place));
        while let Some(place) = open.pop() {
            for &parent in self.parents_of(place) {
                if parent == ABSENT {
                    return Err(Incomplete);
                }
                if reached.insert(parent) {
                    open.push(parent);
                }
            }
        }
        Ok(reached)
    }

    /// Whether a commit is among those reached.
    pub(crate) fn is_in(&self, id: &ObjectId, reached: &Reached) -> bool {
        self.place(id).is_some_and(|place| reached.contains(place))
    }

    /// The commits among those reached whose hex begins so (V-90 step 7); at most two, since two are one too many.
    pub(crate) fn with_prefix(&self, prefix: &str, reached: &Reached) -> Vec<ObjectId> {
        let start = self.ids.partition_point(|id| id.to_string().as_str() < prefix);
        let places = (start..self.ids.len()).take_while(|&at| self.ids[at].to_string().starts_with(prefix));
        let places = places.filter(|&at| u32::try_from(at).is_ok_and(|place| reached.contains(place)));
        places.map(|at| self.ids[at]).take(2).collect()
    }

    fn place(&self, id: &ObjectId) -> Option<u32> {
        self.ids.binary_search(id).ok().and_then(|at| u32::try_from(at).ok())
    }

    fn parents_of(&self, place: u32) -> &[u32] {
        let at = place as usize;
        let range = self.starts.get(at).zip(self.starts.get(at + 1));
        range.and_then(|(start, end)| self.parents.get(*start as usize..*end as usize)).unwrap_or_default()
    }
}

impl Reached {
    fn insert(&mut self, place: u32) -> bool {
        let (word, bit) = (place as usize / 64, 1 << (place % 64));
        let Some(word) = self.0.get_mut(word) else { return false };
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    fn contains(&self, place: u32) -> bool {
        self.0.get(place as usize / 64).is_some_and(|word| word & 1 << (place % 64) != 0)
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    pub(super) fn id(number: u32) -> ObjectId {
        let mut raw = [0; 20];
        raw[..4].copy_from_slice(&number.to_be_bytes());
        ObjectId::from_bytes(&raw).unwrap()
    }

    pub(super) fn commits(lines: &[(u32, &[u32])]) -> Commits {
        let mut commits = Commits::default();
        for (number, parents) in lines {
            let parents = parents.iter().map(|&parent| id(parent)).collect();
            commits.add(id(*number), &CommitObject { tree: id(0), parents, time: None });
        }
        commits
    }

    #[test]
    fn ancestors_are_those_that_a_walk_finds() {
        // 1 ← 2 ← 4 (merge) ← 5
        //   ↖ 3 ↙        6 stands alone
        let history = History::default()
            .with(
                commits(&[(5, &[4]), (4, &[2, 3]), (3, &[1]), (2, &[1]), (1, &[]), (6, &[])]),
                &[id(5), id(6)],
            )
            .unwrap();
        let of = |from: u32| {
            let reached = history.reach(&[id(from)]).unwrap();
            (1..=6).filter(|&number| history.is_in(&id(number), &reached)).collect::<Vec<_>>()
        };
        assert_eq!((of(5), of(3), of(6)), (vec![1, 2, 3, 4, 5], vec![1, 3], vec![6]));
        let all = history.reach(&[id(5), id(6)]).unwrap();
        assert_eq!(history.with_prefix("00000004", &all), [id(4)]);
        assert_eq!(history.with_prefix("0000000", &all).len(), 2);
        let without = history.reach(&[id(5)]).unwrap();
        assert_eq!(
            history.with_prefix("00000006", &without),
            [],
            "what no ref reaches does not exist (V-91)"
        );
    }

    #[test]
    fn history_grows_by_what_is_new() {
        let first = History::default().with(commits(&[(2, &[1]), (1, &[])]), &[id(2)]).unwrap();
        let second = first.with(commits(&[(4, &[3]), (3, &[2])]), &[id(4)]).unwrap();
        let reached = second.reach(&[id(4)]).unwrap();
        assert!((1..=4).all(|number| second.is_in(&id(number), &reached)));
        assert_eq!(second.tips(), [id(2), id(4)]);
    }

    #[test]
    fn hostile_c20_a_history_with_holes_answers_nothing() {
        assert_eq!(History::default().with(commits(&[(2, &[1])]), &[id(2)]).unwrap_err(), Incomplete);
        let whole = History::default().with(commits(&[(2, &[]), (3, &[9])]), &[id(2)]).unwrap();
        assert_eq!(whole.reach(&[id(3)]).unwrap_err(), Incomplete);
    }

    #[test]
    fn a_million_commits_in_a_row_are_walked_without_recursion() {
        let mut row = Commits::default();
        for number in 0..1_000_000_u32 {
            let parents = number.checked_sub(1).map(id).into_iter().collect();
            row.add(id(number), &CommitObject { tree: id(0), parents, time: None });
        }
        let history = History::default().with(row, &[id(999_999)]).unwrap();
        let reached = history.reach(&[id(999_999)]).unwrap();
        assert!(history.is_in(&id(0), &reached));
        assert!(history.starts.len() * 4 + history.parents.len() * 4 + history.ids.len() * 33 < 48 << 20);
    }
}
