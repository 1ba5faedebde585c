//! The files below a directory of one commit, as `git archive` gives them.
//!
//! A walk over trees that strangers made: without recursion, and with a limit on everything that they could make large
//! (C27). Names that git would not take into its index refuse the version (C11); all others are judged by the rules of
//! module zips. Submodules and empty trees are no files (C10); their contents are never asked for (C06).

#[cfg(test)]
pub(crate) mod cat_file;
mod entries;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use modkeep_module::zip::rules::Kind;

use super::attributes::Chain;
use super::convert::{Conversion, Declined};
use crate::error::Error;
use crate::repository::{Entry, Tree};
use entries::{Listed, Mode, listed};

/// How deep directories may lie: git's own limit (`core.maxTreeDepth`).
const DEPTH_MAX: usize = 2048;

/// The longest path: what a zip, git's own included, can name, less the prefix of the go command's archive.
const PATH_BYTES_MAX: usize = 65_535 - "prefix/".len();

/// How many entries are looked at, directories included: a million files and the directories for them.
const ENTRIES_MAX: usize = 1_500_000;

/// How long all paths may be together, in bytes: 160 for each of a million files.
const PATHS_BYTES_MAX: usize = 160 << 20;

/// The largest attribute file that is read here. git reads up to 100 MiB.
const ATTRIBUTES_BYTES_MAX: u64 = 1 << 20;

/// How many patterns are held against paths before the git program has to do it.
const MATCHES_MAX: usize = 20_000_000;

/// What an object is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ObjectKind {
    Commit,
    Tree,
    Blob,
    Tag,
}

/// The id of an object: 20 bytes of SHA-1 or 32 of SHA-256. Shown in hex.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct ObjectId {
    len: u8,
    bytes: [u8; 32],
}

impl ObjectId {
    /// `None`: neither 20 nor 32 bytes.
    pub(crate) fn from_bytes(id: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        let len = match id.len() {
            20 => 20,
            32 => 32,
            _ => return None,
        };
        bytes[..id.len()].copy_from_slice(id);
        Some(Self { len, bytes })
    }

    /// Reads 40 or 64 lower-case hex digits.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
        let bytes: Option<Vec<u8>> =
            pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
        Self::from_bytes(&bytes?)
    }

    /// The bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl std::fmt::Display for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// Where objects are read from. Blocking; called from several threads.
pub(crate) trait ObjectSource: Send + Sync {
    /// An object.
    fn read(&self, id: &ObjectId) -> Result<(ObjectKind, Vec<u8>), Error>;
    /// The size of an object, in bytes.
    fn size(&self, id: &ObjectId) -> Result<u64, Error>;
}

/// Why there is no tree.
#[derive(Clone, Debug)]
pub(crate) enum TreeError {
    /// The git program has to archive this commit: its attributes ask for what is not done exactly here.
    Declined {
        /// Such as `working-tree-encoding=shift-jis`.
        what: String,
    },
    /// It cannot be had.
    Failed(Error),
}

impl From<Error> for TreeError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Declined> for TreeError {
    fn from(Declined(what): Declined) -> Self {
        Self::Declined { what }
    }
}

/// Where the contents of an entry come from.
struct Source {
    id: ObjectId,
    conversion: Option<Arc<Conversion>>,
}

/// The files below a directory of one commit.
pub(crate) struct GitTree {
    objects: Arc<dyn ObjectSource>,
    entries: Vec<Entry>,
    sources: Vec<Source>,
}

impl GitTree {
    /// Walks the tree `root` for the files below `dir`, which is empty for all of them. `None`: there is no such
    /// directory (Z-15). Blocking: reads all trees, and the files that attributes change.
    pub(crate) fn open(
        objects: Arc<dyn ObjectSource>,
        root: &ObjectId,
        dir: &str,
    ) -> Result<Option<Self>, TreeError> {
        let mut walk = Walk::new(&*objects);
        let mut here = walk.directory(root, &Chain::empty(), Vec::new())?;
        for name in dir.split('/').filter(|name| !name.is_empty()) {
            let Some(below) = here.subdirectory(name.as_bytes()) else { return Ok(None) };
            let path = here.path_of(name.as_bytes());
            here = walk.directory(&below, &here.attributes, path)?;
        }
        walk.skipped = if here.path.is_empty() { 0 } else { here.path.len() + 1 };
        walk.files(here)?;
        let Walk { entries, sources, .. } = walk;
        Ok(Some(Self { objects, entries, sources }))
    }
}

impl Tree for GitTree {
    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&self, entry: usize) -> Result<Vec<u8>, Error> {
        let Some(source) = self.sources.get(entry) else {
            return Err(unfit(format!("no entry {entry}")));
        };
        let contents = blob(&*self.objects, &source.id)?;
        match &source.conversion {
            None => Ok(contents),
            Some(conversion) => {
                conversion.apply(contents, &source.id.to_string()).map_err(|Declined(what)| unfit(what))
            }
        }
    }
}

/// A directory that the walk is in.
struct Directory {
    /// From the root of the repository.
    path: Vec<u8>,
    children: std::vec::IntoIter<Listed>,
    attributes: Chain,
}

impl Directory {
    fn subdirectory(&self, name: &[u8]) -> Option<ObjectId> {
        let is_it = |child: &&Listed| child.mode == Mode::Directory && child.name == name;
        self.children.as_slice().iter().find(is_it).map(|child| child.id)
    }

    fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let mut path = Vec::with_capacity(self.path.len() + 1 + name.len());
        path.extend_from_slice(&self.path);
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }
}

struct Walk<'a> {
    objects: &'a dyn ObjectSource,
    entries: Vec<Entry>,
    sources: Vec<Source>,
    /// How much of every path lies above the directory asked for, its slash included.
    skipped: usize,
    seen: usize,
    paths_bytes: usize,
    matches: usize,
}

impl<'a> Walk<'a> {
    fn new(objects: &'a dyn ObjectSource) -> Self {
        let (entries, sources) = (Vec::new(), Vec::new());
        Self { objects, entries, sources, skipped: 0, seen: 0, paths_bytes: 0, matches: 0 }
    }

    /// Enters the directory at `path`, whose parent has the attributes `above`.
    fn directory(&mut self, id: &ObjectId, above: &Chain, path: Vec<u8>) -> Result<Directory, TreeError> {
        let (kind, tree) = self.objects.read(id)?;
        if kind != ObjectKind::Tree {
            return Err(unfit(format!("{id} is no tree")).into());
        }
        let at = |what| {
            let name = String::from_utf8_lossy(&path[..path.len().min(256)]);
            unfit(if path.is_empty() { what } else { format!("{what} in directory {name:?}") })
        };
        let children = listed(&tree, id.as_bytes().len()).map_err(at)?;
        self.seen += children.len();
        at_most("list of files", self.seen, ENTRIES_MAX)?;
        let attributes = self.attributes(&children, above, &path)?;
        Ok(Directory { path, children: children.into_iter(), attributes })
    }

    /// The attributes of a directory's files. A link's target is read as if it were the file, as git does.
    fn attributes(&self, children: &[Listed], above: &Chain, path: &[u8]) -> Result<Chain, TreeError> {
        let own = children.iter().find(|child| child.name == b".gitattributes");
        let Some(own) = own.filter(|own| matches!(own.mode, Mode::Regular | Mode::Symlink)) else {
            return Ok(above.clone());
        };
        if self.objects.size(&own.id)? > ATTRIBUTES_BYTES_MAX {
            return Err(Declined("a large .gitattributes".to_owned()).into());
        }
        Ok(above.with(path, &blob(self.objects, &own.id)?))
    }

    /// Takes all files below a directory, in the order of their paths.
    fn files(&mut self, top: Directory) -> Result<(), TreeError> {
        let mut inside = vec![top];
        while let Some(here) = inside.last_mut() {
            let Some(child) = here.children.next() else {
                inside.pop();
                continue;
            };
            let path = here.path_of(&child.name);
            at_most("path", path.len(), PATH_BYTES_MAX)?;
            let attributes = here.attributes.clone();
            match child.mode {
                Mode::Regular => self.regular(path, child.id, &attributes)?,
                Mode::Symlink => self.add(&path, Kind::Symlink, Source { id: child.id, conversion: None })?,
                Mode::Submodule => {}
                Mode::Directory => {
                    let depth = memchr::memchr_iter(b'/', &path).count() + 1;
                    at_most("depth of directories", depth, DEPTH_MAX)?;
                    inside.push(self.directory(&child.id, &attributes, path)?);
                }
            }
        }
        Ok(())
    }

    /// Takes a regular file. One that its attributes change is read now, for its size.
    fn regular(&mut self, path: Vec<u8>, id: ObjectId, attributes: &Chain) -> Result<(), TreeError> {
        let conversion = self.conversion(&path, attributes)?;
        let bytes = match &conversion {
            None => self.objects.size(&id)?,
            Some(conversion) => {
                let converted = conversion.apply(blob(self.objects, &id)?, &id.to_string())?;
                converted.len() as u64
            }
        };
        self.add(&path, Kind::Regular { bytes }, Source { id, conversion })
    }

    fn conversion(&mut self, path: &[u8], chain: &Chain) -> Result<Option<Arc<Conversion>>, TreeError> {
        if !chain.converts() {
            return Ok(None);
        }
        self.matches += chain.lines();
        if self.matches > MATCHES_MAX {
            return Err(Declined("very many attributes".to_owned()).into());
        }
        Ok(Conversion::of(&chain.of(path))?.map(Arc::new))
    }

    fn add(&mut self, path: &[u8], kind: Kind, source: Source) -> Result<(), TreeError> {
        let path = &path[self.skipped..];
        self.paths_bytes += path.len();
        at_most("list of files", self.paths_bytes, PATHS_BYTES_MAX)?;
        self.entries.push(Entry { path: path.to_vec(), kind });
        self.sources.push(source);
        Ok(())
    }
}

fn blob(objects: &dyn ObjectSource, id: &ObjectId) -> Result<Vec<u8>, Error> {
    match objects.read(id)? {
        (ObjectKind::Blob, contents) => Ok(contents),
        _ => Err(unfit(format!("{id} is no file"))),
    }
}

/// The tree is one that git itself makes no archive of.
fn unfit(reason: String) -> Error {
    Error::Unfit { reason: format!("git archive: {reason}") }
}

fn at_most(what: &'static str, size: usize, limit: usize) -> Result<(), Error> {
    let (size, limit) = (size as u64, limit as u64);
    if size <= limit { Ok(()) } else { Err(Error::TooLarge { what, size, limit }) }
}
