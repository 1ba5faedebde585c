//! A version that was fetched as a difference becomes whole again.

use modkeep_module::zip::rules::{Candidate, Kind, Limits, VendorRules, decide};

use crate::error::Error;
use crate::git::earlier::Earlier;
use crate::git::gather::malformed;
use crate::git::objects::{Found, Lack, Objects};
use crate::git::tree::ObjectId;

/// A file of a version.
struct Listed {
    path: Vec<u8>,
    id: ObjectId,
    kind: Kind,
}

impl Objects {
    /// Brings the files below `dir` of a commit to hand, out of earlier versions. What is still missing after that and
    /// belongs into a zip is the outcome; what does not belong into one is noted as left out.
    ///
    /// An error says that directories are missing: then nothing less than the whole commit will do. Blocking.
    pub(crate) fn complete(
        &mut self,
        commit: &ObjectId,
        dir: &str,
        bases: &[Earlier],
    ) -> Result<Vec<ObjectId>, Error> {
        let files = self.files(commit, dir)?;
        for file in &files {
            if !self.has(&file.id)
                && let Some(contents) = bases.iter().find_map(|base| base.read(&file.id))
            {
                self.bring(file.id, &contents)?;
            }
        }
        let missing = |file: &&Listed| !self.has(&file.id);
        if files.iter().all(|file| self.has(&file.id)) {
            return Ok(Vec::new());
        }
        // Conversions look into files, whether they stay or not.
        let has_attributes = files.iter().any(|file| file.path.ends_with(b".gitattributes"));
        if has_attributes || self.has_attributes_above(commit, dir)? {
            return Ok(files.iter().filter(missing).map(|file| file.id).collect());
        }
        let candidates: Vec<_> =
            files.iter().map(|file| Candidate { path: &file.path, kind: file.kind }).collect();
        let decided = decide(&candidates, self.vendor_rules(&files)?, &Limits::default());
        let needed: Vec<ObjectId> =
            decided.kept().map(|at| &files[at]).filter(missing).map(|file| file.id).collect();
        let left_out: Vec<ObjectId> =
            files.iter().filter(missing).map(|file| file.id).filter(|id| !needed.contains(id)).collect();
        self.leave_out(left_out);
        Ok(needed)
    }

    /// Whether a directory on the way to `dir` says how files below are converted (module-zip section 3).
    fn has_attributes_above(&self, commit: &ObjectId, dir: &str) -> Result<bool, Error> {
        let ends = dir.match_indices('/').map(|(at, _)| at + 1);
        for end in std::iter::once(0).chain(ends) {
            let path = format!("{}.gitattributes", &dir[..end]);
            if matches!(self.find(commit, &path)?, Found::File(_)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All files below `dir`, and the LICENSE that may be copied into it (Z-20).
    fn files(&self, commit: &ObjectId, dir: &str) -> Result<Vec<Listed>, Error> {
        let absent = |id| malformed(&self.host, &format!("the pack lacks object {id}"));
        let root = match self.find(commit, dir)? {
            Found::Tree(root) => root,
            Found::File(_) | Found::Nothing => return Ok(Vec::new()),
            Found::Unknown(Lack::Commit(id) | Lack::Object(id)) => return Err(absent(id)),
        };
        let mut files = Vec::new();
        self.list(&root, |path, line| {
            let kind = if line.is_file() { Kind::Regular { bytes: 0 } } else { Kind::Symlink };
            files.push(Listed { path: path.to_vec(), id: line.id, kind });
            Ok(())
        })?;
        if !dir.is_empty()
            && let Found::File(id) = self.find(commit, "LICENSE")?
        {
            files.push(Listed { path: b"LICENSE".to_vec(), id, kind: Kind::Regular { bytes: 0 } });
        }
        Ok(files)
    }

    fn vendor_rules(&self, files: &[Listed]) -> Result<VendorRules, Error> {
        let go_mod = files.iter().find(|file| file.path == b"go.mod" && file.kind != Kind::Symlink);
        let contents = go_mod.map(|file| self.get(&file.id)).transpose()?.flatten();
        Ok(VendorRules::of_go_mod(contents.as_ref().map(|(_, contents)| &contents[..])))
    }
}
