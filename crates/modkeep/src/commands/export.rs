//! `export`: a tree in the protocol's layout that any file server can serve (P-154 to P-156).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use modkeep_module::gosum::GoSum;
use modkeep_module::latest;
use modkeep_module::{Info, ModulePath, ModuleVersion, Version};
use modkeep_store::{FileKind, Repository, Store, VersionRecord};

use super::kept::Kept;
use super::{open_read_only, runtime};
use crate::cli::Export;
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::Output;

pub(super) fn run(export: &Export, effective: &Effective, output: &Output) -> Result<Exit, Failed> {
    let wanted = export.from.as_deref().map(named_by).transpose()?;
    let store = open_read_only(effective)?;
    let tree = Tree { root: export.out.clone() };
    let totals = runtime()?.block_on(walk(&store, &tree, wanted.as_ref(), output))?;
    output.summary(
        || format!("{} versions of {} modules in {}", totals.versions, totals.modules, export.out.display()),
        serde_json::json!({ "modules": totals.modules, "versions": totals.versions, "bytes": totals.bytes, "left_out": totals.left_out }),
    );
    if totals.left_out > 0 {
        output.notice(&format!(
            "{} left out: their go.mod is not kept; \"modkeep get\" completes them",
            totals.left_out
        ));
    }
    Ok(Exit::Done)
}

type Wanted = BTreeMap<ModulePath, BTreeSet<Version>>;

/// The versions that a go.sum names.
fn named_by(path: &Path) -> Result<Wanted, Failed> {
    let wrong = |reason: String| Failed::new(Exit::Failed, format!("{}: {reason}", path.display()));
    let bytes = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let sums = GoSum::parse(&bytes).map_err(|error| wrong(error.to_string()))?;
    let mut wanted = Wanted::new();
    for line in &sums.lines {
        wanted.entry(line.path.clone()).or_default().insert(line.version.clone());
    }
    Ok(wanted)
}

#[derive(Default)]
struct Totals {
    modules: u64,
    versions: u64,
    /// Versions whose go.mod nobody ever asked for: without it no go command can use them.
    left_out: u64,
    bytes: u64,
}

async fn walk(
    store: &Store,
    tree: &Tree,
    wanted: Option<&Wanted>,
    output: &Output,
) -> Result<Totals, Failed> {
    let mut totals = Totals::default();
    let mut kept = Kept::of(store);
    let is_named = |module: &ModulePath| wanted.is_none_or(|wanted| wanted.contains_key(module));
    while let Some((module, mut versions)) = kept.next(is_named).await? {
        if let Some(only) = wanted.and_then(|wanted| wanted.get(&module)) {
            versions.retain(|record| only.contains(&record.version));
        }
        export_module(store, tree, &module, &versions, &mut totals).await?;
        output
            .progress(|| format!("{} versions, {} MB: {module}", totals.versions, totals.bytes / 1_000_000));
    }
    Ok(totals)
}

/// Writes the files of a module's versions, then its list and `@latest`, so that neither names what is not there yet.
/// The list names what has its zip: a version of which only the go.mod was ever needed could not be built from here.
async fn export_module(
    store: &Store,
    tree: &Tree,
    module: &ModulePath,
    versions: &[VersionRecord],
    totals: &mut Totals,
) -> Result<(), Failed> {
    let (mut known, mut listed) = (Vec::new(), Vec::new());
    for record in versions {
        let Ok(version) = ModuleVersion::new(module.clone(), record.version.clone()) else { continue };
        if !record.has(FileKind::Mod) {
            totals.left_out += 1;
            continue;
        }
        for kind in FileKind::ALL {
            totals.bytes += export_file(store, tree, &version, kind).await?;
        }
        known.push(record.version.clone());
        totals.versions += 1;
        let file = |ending: &str| name(module, &format!("{}.{ending}", record.version.escape()));
        // The go command reads it from a file tree even where it took the time from a list over HTTP.
        if !record.has(FileKind::Info) {
            tree.put(&file("info"), &Info::plain(&record.version).to_json())?;
        }
        if let Some(zip) = &record.zip {
            tree.put(&file("ziphash"), zip.h1.to_string().as_bytes())?;
            listed.extend((!record.version.is_pseudo()).then(|| record.version.clone()));
        }
    }
    if known.is_empty() {
        return Ok(());
    }
    totals.modules += 1;
    tree.put(&name(module, "list"), &modkeep_module::list::render(&listed))?;
    if let Some(newest) = latest::pick(&listed, &|_| false).or_else(|| known.iter().max().cloned()) {
        let info = tree.read(&name(module, &format!("{}.info", newest.escape())))?;
        tree.put(&PathBuf::from(module.escape().as_str()).join("@latest"), &info)?;
    }
    Ok(())
}

/// Copies one stored file; 0 bytes when it is not kept. The store compares it with the ledger first.
async fn export_file(
    store: &Store,
    tree: &Tree,
    version: &ModuleVersion,
    kind: FileKind,
) -> Result<u64, Failed> {
    let Some(stored) = store.open_file(&Repository::main(), version, kind).await? else { return Ok(0) };
    let name = name(version.path(), &format!("{}.{kind}", version.version().escape()));
    tree.take(&name, stored.file, stored.size)?;
    Ok(stored.size)
}

fn name(module: &ModulePath, file: &str) -> PathBuf {
    PathBuf::from(module.escape().as_str()).join("@v").join(file)
}

/// The directory that is written. An existing go.mod or zip is never modified (P-154).
struct Tree {
    root: PathBuf,
}

impl Tree {
    /// Takes a stored file over, unless a file of that name and size is there.
    fn take(&self, name: &Path, mut file: fs::File, size: u64) -> Result<(), Failed> {
        let target = self.root.join(name);
        if fs::metadata(&target).is_ok_and(|there| there.len() == size) {
            return Ok(());
        }
        self.write(&target, |out| io::copy(&mut file, out).map(drop))
    }

    fn read(&self, name: &Path) -> Result<Vec<u8>, Failed> {
        let target = self.root.join(name);
        fs::read(&target).map_err(|error| Failed::new(Exit::Failed, format!("{}: {error}", target.display())))
    }

    /// Writes a small file, replacing one of other content.
    fn put(&self, name: &Path, bytes: &[u8]) -> Result<(), Failed> {
        let target = self.root.join(name);
        if fs::read(&target).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        self.write(&target, |out| out.write_all(bytes))
    }

    /// Fills a temporary name and renames it. Nothing is synced: an export that a power cut broke is run again, and
    /// files of the wrong size are then written anew.
    fn write(&self, target: &Path, fill: impl FnOnce(&mut fs::File) -> io::Result<()>) -> Result<(), Failed> {
        let wrong = |error: io::Error| Failed::new(Exit::Failed, format!("{}: {error}", target.display()));
        let dir = target.parent().unwrap_or(&self.root);
        fs::create_dir_all(dir).map_err(wrong)?;
        let mut temporary = target.as_os_str().to_owned();
        temporary.push(".tmp");
        let mut file = fs::File::create(&temporary).map_err(wrong)?;
        fill(&mut file).map_err(wrong)?;
        fs::rename(&temporary, target).map_err(wrong)
    }
}
