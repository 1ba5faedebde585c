//! Objects that can be read without asking anybody: those at hand and those kept.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::Error;
use crate::git::cache::{Cache, OBJECT_BYTES_MAX};
use crate::git::gather::malformed;
use crate::git::history::{Commits, History};
use crate::git::object::{CommitObject, TreeLine, raw_len, tree_lines};
use crate::git::spool::AtHand;
use crate::git::tree::{ObjectId, ObjectKind, ObjectSource};
use crate::git::wire::ObjectFormat;

/// The most directories of one commit that are looked at.
const TREES_MAX: usize = 1_500_000;
/// The longest path: what a zip can name.
const PATH_BYTES_MAX: usize = 65_535;

/// What a path of a commit leads to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Found {
    /// A file, or a link, whose contents are its target.
    File(ObjectId),
    /// A directory.
    Tree(ObjectId),
    /// Nothing, or a commit of another repository.
    Nothing,
    /// This has to be had before one can tell.
    Unknown(Lack),
}

/// What is missing on the way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lack {
    Commit(ObjectId),
    Object(ObjectId),
}

/// Objects that can be read without asking anybody. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Objects {
    pub(crate) at_hand: Option<Arc<AtHand>>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) host: Arc<str>,
}

impl Objects {
    /// An object, when it is here. Blocking, briefly.
    pub(crate) fn get(&self, id: &ObjectId) -> Result<Option<(ObjectKind, Vec<u8>)>, Error> {
        if let Some(at_hand) = &self.at_hand {
            let read = at_hand.read(id);
            let read = read.map_err(|error| {
                Error::Store(modkeep_store::Error::io("read", std::path::Path::new("work"), error))
            })?;
            if read.is_some() {
                return Ok(read);
            }
        }
        Ok(self.cache.get(id))
    }

    /// Whether an object is here.
    pub(crate) fn has(&self, id: &ObjectId) -> bool {
        self.at_hand.as_ref().is_some_and(|at_hand| at_hand.slot(id).is_some()) || self.cache.contains(id)
    }

    /// A commit; `Ok(None)` when it is not here, an error when that is something else.
    pub(crate) fn commit(&self, id: &ObjectId) -> Result<Option<CommitObject>, NotACommit> {
        match self.get(id) {
            Ok(Some((ObjectKind::Commit, contents))) => {
                CommitObject::parse(&contents).map(Some).ok_or(NotACommit)
            }
            Ok(Some(_)) => Err(NotACommit),
            Ok(None) | Err(_) => Ok(None),
        }
    }

    /// What a slash-separated path leads to. A tag may name a tree or a file: that is no revision (V-93).
    pub(crate) fn find(&self, commit: &ObjectId, path: &str) -> Result<Found, Error> {
        let found = self.commit(commit).map_err(|_| Error::unknown_revision(&commit.to_string()))?;
        let Some(found) = found else {
            return Ok(Found::Unknown(Lack::Commit(*commit)));
        };
        let mut at = Found::Tree(found.tree);
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let Found::Tree(tree) = at else { return Ok(Found::Nothing) };
            let Some(contents) = self.tree(&tree)? else {
                return Ok(Found::Unknown(Lack::Object(tree)));
            };
            at = self.line(&tree, &contents, name.as_bytes())?;
        }
        Ok(at)
    }

    fn line(&self, tree: &ObjectId, contents: &[u8], name: &[u8]) -> Result<Found, Error> {
        for line in tree_lines(format_of(tree), contents) {
            let line = line.map_err(|_| malformed(&self.host, "a tree that is none"))?;
            if line.name == name {
                return Ok(match line {
                    _ if line.is_tree() => Found::Tree(line.id),
                    _ if line.is_commit() => Found::Nothing,
                    _ => Found::File(line.id),
                });
            }
        }
        Ok(Found::Nothing)
    }

    fn tree(&self, id: &ObjectId) -> Result<Option<Vec<u8>>, Error> {
        match self.get(id)? {
            Some((ObjectKind::Tree, contents)) => Ok(Some(contents)),
            Some(_) => Err(malformed(&self.host, "a directory that is none")),
            None => Ok(None),
        }
    }

    /// Visits everything below a directory, each tree once, without recursion (C27). A tree that is not here is
    /// handed to `visit` as well, and not entered.
    pub(crate) fn walk(
        &self,
        root: &ObjectId,
        mut visit: impl FnMut(Step<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut seen = HashSet::from([*root]);
        let mut open = vec![*root];
        while let Some(id) = open.pop() {
            let Some(contents) = self.tree(&id)? else {
                visit(Step::Absent(id))?;
                continue;
            };
            visit(Step::Tree(id, &contents))?;
            for line in tree_lines(format_of(&id), &contents) {
                let line = line.map_err(|_| malformed(&self.host, "a tree that is none"))?;
                if line.is_tree() {
                    if seen.insert(line.id) {
                        open.push(line.id);
                    }
                } else if !line.is_commit() {
                    visit(Step::File(line.name, line.id))?;
                }
            }
            if seen.len() > TREES_MAX {
                return Err(malformed(&self.host, "more directories than we look at"));
            }
        }
        Ok(())
    }

    /// Lists the files and links below a directory with their paths, without recursion (C27).
    pub(crate) fn list(
        &self,
        root: &ObjectId,
        mut visit: impl FnMut(&[u8], TreeLine<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (mut open, mut trees) = (vec![(*root, Vec::new())], 0);
        while let Some((id, path)) = open.pop() {
            trees += 1;
            let too_large = trees > TREES_MAX || path.len() > PATH_BYTES_MAX;
            let contents = if too_large { None } else { self.tree(&id)? };
            let contents = contents.ok_or_else(|| malformed(&self.host, &format!("no directory {id}")))?;
            for line in tree_lines(format_of(&id), &contents) {
                let line = line.map_err(|_| malformed(&self.host, "a tree that is none"))?;
                let mut below: Vec<u8> = path.clone();
                below.extend_from_slice(line.name);
                if line.is_tree() {
                    below.push(b'/');
                    open.push((line.id, below));
                } else if !line.is_commit() {
                    visit(&below, line)?;
                }
            }
        }
        Ok(())
    }

    /// Adds a file whose id is known to be right. Only before anybody else holds what is at hand.
    pub(crate) fn bring(&mut self, id: ObjectId, contents: &[u8]) -> Result<(), Error> {
        let at_hand = self.at_hand.as_mut().and_then(Arc::get_mut);
        let at_hand = at_hand.ok_or_else(|| malformed(&self.host, "objects that are in use"))?;
        Ok(at_hand.add(id, ObjectKind::Blob, contents)?)
    }

    /// Notes files that no zip needs; they are said to be empty.
    pub(crate) fn leave_out(&mut self, ids: Vec<ObjectId>) {
        if let Some(at_hand) = self.at_hand.as_mut().and_then(Arc::get_mut) {
            at_hand.left_out.extend(ids);
        }
    }

    /// Moves what versions are made of into the cache: these commits, their trees, and the files that rule them.
    pub(crate) fn keep_commits<'a>(&self, commits: impl Iterator<Item = &'a ObjectId>) -> Result<(), Error> {
        for id in commits {
            let Some((ObjectKind::Commit, contents)) = self.get(id)? else { continue };
            self.cache.put(id, ObjectKind::Commit, &contents);
            let Some(commit) = CommitObject::parse(&contents) else { continue };
            self.walk(&commit.tree, |step| {
                match step {
                    Step::Tree(id, contents) => self.cache.put(&id, ObjectKind::Tree, contents),
                    Step::File(b"go.mod" | b".gitattributes", id) => self.keep([&id].into_iter())?,
                    Step::File(..) | Step::Absent(_) => {}
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Moves single objects into the cache, of commits their root trees as well.
    pub(crate) fn keep<'a>(&self, ids: impl Iterator<Item = &'a ObjectId>) -> Result<(), Error> {
        for id in ids {
            if self.cache.contains(id) {
                continue;
            }
            let is_large = self.size_at_hand(id).is_some_and(|size| size > OBJECT_BYTES_MAX as u64);
            let Some((kind, contents)) = self.get(id)? else { continue };
            if is_large {
                self.cache.put_beginning(id, contents);
                continue;
            }
            self.cache.put(id, kind, &contents);
            if kind == ObjectKind::Commit
                && let Some(commit) = CommitObject::parse(&contents)
                && let Some((kind, contents)) = self.get(&commit.tree)?
            {
                self.cache.put(&commit.tree, kind, &contents);
            }
        }
        Ok(())
    }

    /// The root directories of these commits that are not here.
    pub(crate) fn roots(&self, commits: &HashSet<ObjectId>) -> Vec<ObjectId> {
        let roots = commits.iter().filter_map(|id| Some(self.commit(id).ok()??.tree));
        roots.filter(|root| !self.has(root)).collect()
    }

    /// A history with the commits at hand added, complete below `tips`. Commits whose hex begins with one of the
    /// prefixes go into the cache, because somebody is about to ask for them.
    pub(crate) fn grow(
        &self,
        known: &History,
        tips: &HashSet<ObjectId>,
        prefixes: &[String],
    ) -> Result<History, Error> {
        let mut commits = Commits::default();
        for id in self.at_hand.iter().flat_map(|at_hand| at_hand.of_kind(ObjectKind::Commit)) {
            let Some((_, contents)) = self.get(id)? else { continue };
            let commit = CommitObject::parse(&contents);
            commits.add(*id, &commit.ok_or_else(|| malformed(&self.host, "a commit that is none"))?);
            if tips.contains(id) || prefixes.iter().any(|prefix| id.to_string().starts_with(prefix)) {
                self.cache.put(id, ObjectKind::Commit, &contents);
            }
        }
        let tips: Vec<ObjectId> = tips.iter().copied().collect();
        known.with(commits, &tips).map_err(|_| malformed(&self.host, "a history with holes"))
    }

    /// What is at hand, on its own.
    pub(crate) fn into_at_hand(self) -> Result<Arc<AtHand>, Error> {
        self.at_hand.ok_or_else(|| malformed(&self.host, "nothing"))
    }

    /// Whether a commit is here with everything below it; otherwise the server kept something back (C20).
    pub(crate) fn check_whole(&self, commit: &ObjectId) -> Result<(), Error> {
        if matches!(self.commit(commit), Err(NotACommit)) {
            return Ok(()); // and so not a version; that is somebody else's question
        }
        let left_out = |id: ObjectId| malformed(&self.host, &format!("the pack lacks object {id}"));
        match self.find(commit, "")? {
            Found::Tree(tree) => self.walk(&tree, |step| match step {
                Step::Absent(id) => Err(left_out(id)),
                Step::File(_, id) if !self.has(&id) => Err(left_out(id)),
                Step::File(..) | Step::Tree(..) => Ok(()),
            }),
            Found::Unknown(Lack::Commit(id) | Lack::Object(id)) => Err(left_out(id)),
            Found::File(_) | Found::Nothing => Ok(()),
        }
    }

    fn size_at_hand(&self, id: &ObjectId) -> Option<u64> {
        self.at_hand.as_ref().and_then(|at_hand| at_hand.slot(id)).map(|slot| slot.len)
    }
}

/// One thing below a directory.
pub(crate) enum Step<'a> {
    /// A directory and its contents.
    Tree(ObjectId, &'a [u8]),
    /// A directory that is not here.
    Absent(ObjectId),
    /// A file or link, with its name.
    File(&'a [u8], ObjectId),
}

/// What was to be a commit is something else (V-93).
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotACommit;

/// The hash function that made an id.
pub(crate) fn format_of(id: &ObjectId) -> ObjectFormat {
    if id.as_bytes().len() == raw_len(ObjectFormat::Sha1) { ObjectFormat::Sha1 } else { ObjectFormat::Sha256 }
}

impl ObjectSource for Objects {
    fn read(&self, id: &ObjectId) -> Result<(ObjectKind, Vec<u8>), Error> {
        self.get(id)?.ok_or_else(|| malformed(&self.host, &format!("object {id} is missing")))
    }

    fn size(&self, id: &ObjectId) -> Result<u64, Error> {
        match self.size_at_hand(id) {
            Some(size) => Ok(size),
            None if self.at_hand.as_ref().is_some_and(|at_hand| at_hand.left_out.contains(id)) => Ok(0),
            None => self.read(id).map(|(_, contents)| contents.len() as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::object::id_of;

    /// Trees of one line each, `depth` deep, in a cache; the id of the uppermost.
    fn tower(cache: &Cache, name: &str, depth: usize) -> ObjectId {
        let mut id = id_of(ObjectFormat::Sha1, ObjectKind::Blob, b"").unwrap();
        for level in 0..depth {
            let mode = if level == 0 { "100644" } else { "40000" };
            let tree = [format!("{mode} {name}\0").as_bytes(), id.as_bytes()].concat();
            id = id_of(ObjectFormat::Sha1, ObjectKind::Tree, &tree).unwrap();
            cache.put(&id, ObjectKind::Tree, &tree);
        }
        id
    }

    #[test]
    fn hostile_c27_deep_trees_are_walked_without_recursion_and_long_paths_refused() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Arc::new(Cache::open(folder.path()));
        let objects = Objects { at_hand: None, cache: cache.clone(), host: "example.com".into() };
        let root = tower(&cache, "d", 5000);
        let (mut trees, mut paths) = (0, Vec::new());
        objects
            .walk(&root, |step| {
                trees += usize::from(matches!(step, Step::Tree(..)));
                Ok(())
            })
            .unwrap();
        objects
            .list(&root, |path, _| {
                paths.push(path.len());
                Ok(())
            })
            .unwrap();
        assert_eq!((trees, paths), (5000, vec![9999]));
        let root = tower(&cache, &"d".repeat(250), 300);
        assert!(matches!(objects.list(&root, |_, _| Ok(())), Err(Error::Malformed { .. })));
    }
}
