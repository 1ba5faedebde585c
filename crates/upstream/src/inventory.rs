//! What a tree in the protocol's layout holds: a module cache, an export, another mirror's files (P-151 to P-153).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use modkeep_module::{H1, ModulePath, ModuleVersion, Version};

/// Synthesised go.mod files of the time before modules began so; they are no go.mod (P-153).
const OLD_GO_MOD: &[u8] = b"//vgo 0.0.";

/// The modules of a tree, one after another, each with its versions in ascending order.
///
/// A version counts when it has a `.mod`. Names that are not the one escaped form of a module and a version, locks,
/// partial files and everything else are passed over; links are not followed. A folder that cannot be read is an
/// item of its own, and the walk goes on. Blocking; memory grows with the widest folder, not with the tree.
#[derive(Debug)]
pub struct Inventory {
    root: PathBuf,
    folders: Vec<PathBuf>,
}

impl Inventory {
    /// Of a tree, or of a module cache, whose tree is `cache/download` below it.
    pub fn of(folder: &Path) -> Self {
        let cache = folder.join("cache").join("download");
        let root = if cache.is_dir() { cache } else { folder.to_owned() };
        Self { folders: vec![root.clone()], root }
    }

    /// Where the tree begins.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Looks into one folder: pushes the folders below it, and says what it holds if it is some module's `@v`.
    fn look(&mut self, folder: &Path) -> io::Result<Option<(ModulePath, Vec<Version>)>> {
        let mut below = Vec::new();
        let mut versions = BTreeSet::new();
        let module = self.module_of(folder);
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                below.push(entry.path());
            } else if kind.is_file()
                && let Some(module) = &module
                && let Some(version) = entry.file_name().to_str().and_then(|name| version_of(module, name))
                && !is_old(&entry.path())
            {
                versions.insert(version);
            }
        }
        below.sort_unstable_by(|a, b| b.cmp(a));
        self.folders.append(&mut below);
        Ok(module.filter(|_| !versions.is_empty()).map(|module| (module, versions.into_iter().collect())))
    }

    /// The module whose `@v` a folder is.
    fn module_of(&self, folder: &Path) -> Option<ModulePath> {
        let escaped = folder.strip_prefix(&self.root).ok()?.to_str()?.strip_suffix("/@v")?;
        ModulePath::from_escaped(escaped).ok()
    }
}

impl Iterator for Inventory {
    type Item = io::Result<(ModulePath, Vec<Version>)>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(folder) = self.folders.pop() {
            match self.look(&folder) {
                Ok(None) => {}
                Ok(Some(found)) => return Some(Ok(found)),
                Err(error) => {
                    return Some(Err(io::Error::new(error.kind(), format!("{}: {error}", folder.display()))));
                }
            }
        }
        None
    }
}

/// The sum that a module cache notes beside a zip (`.ziphash`, P-152), if it does.
pub fn noted_sum(root: &Path, of: &ModuleVersion) -> Option<H1> {
    let name = format!("{}.ziphash", of.version().escape());
    let text = fs::read_to_string(root.join(of.path().escape().as_str()).join("@v").join(name)).ok()?;
    text.trim_end().parse().ok()
}

/// The version whose `.mod` a file name is, when it is the one name of a version that fits the module.
fn version_of(module: &ModulePath, name: &str) -> Option<Version> {
    let version = Version::from_escaped(name.strip_suffix(".mod")?).ok()?;
    ModuleVersion::new(module.clone(), version.clone()).ok().map(|_| version)
}

fn is_old(path: &Path) -> bool {
    let mut begin = [0; OLD_GO_MOD.len()];
    fs::File::open(path).and_then(|mut file| io::Read::read_exact(&mut file, &mut begin)).is_ok()
        && begin == OLD_GO_MOD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_cache_is_read_and_its_other_files_are_passed_over() {
        let cache = tempfile::tempdir().unwrap();
        let root = cache.path().join("cache/download");
        for (name, content) in [
            ("example.com/!fish/@v/v1.0.0.mod", "module example.com/Fish\n"),
            ("example.com/!fish/@v/v1.0.0.lock", ""),
            ("example.com/!fish/@v/v1.2.0.mod", "module example.com/Fish\n"),
            ("example.com/!fish/@v/v1.3.0.info", "{}"),
            ("example.com/!fish/@v/v2.0.0.mod", "module example.com/Fish\n"),
            ("example.com/Fish/@v/v1.0.0.mod", "not an escaped name"),
            ("example.com/old/@v/v1.0.0.mod", "//vgo 0.0.3\nmodule x\n"),
            ("example.com/a/b/v2/@v/v2.0.1-pre.mod", "module example.com/a/b/v2\n"),
            ("sumdb/sum.golang.org/lookup/example.com/a@v1.0.0", "1"),
        ] {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let found: Vec<String> = Inventory::of(cache.path())
            .map(Result::unwrap)
            .map(|(module, versions)| {
                format!("{module} {}", versions.iter().map(Version::as_str).collect::<Vec<_>>().join(" "))
            })
            .collect();
        assert_eq!(
            found,
            [
                "example.com/!fish v1.0.0 v1.2.0".replace("!f", "F"),
                "example.com/a/b/v2 v2.0.1-pre".to_owned()
            ]
        );
    }
}
