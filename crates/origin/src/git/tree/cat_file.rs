//! The objects of a repository on this disk, as `git cat-file` tells them, and archives as git makes them. For tests.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use super::{ObjectId, ObjectKind, ObjectSource};
use crate::error::Error;

/// A running `git cat-file --batch`.
pub(crate) struct CatFile {
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    child: Child,
}

/// git with nothing of the machine's configuration (Z-12).
pub(crate) fn git(repository: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_ATTR_NOSYSTEM", "1")])
        .envs([("GIT_NO_REPLACE_OBJECTS", "1"), ("LC_ALL", "C")])
        .arg("--git-dir")
        .arg(repository)
        .args(["-c", "core.attributesFile="]);
    command
}

impl CatFile {
    pub(crate) fn start(repository: &Path) -> Self {
        let mut command = git(repository);
        let command = command.args(["cat-file", "--batch"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let pipes = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { pipes: Mutex::new(pipes), child }
    }

    /// The id of the tree of a commit or any other revision.
    pub(crate) fn tree_of(&self, revision: &str) -> ObjectId {
        let (_, _, id) = self.ask(&format!("{revision}^{{tree}}"));
        ObjectId::from_hex(&id).unwrap()
    }

    fn ask(&self, name: &str) -> (ObjectKind, Vec<u8>, String) {
        let (stdin, stdout) = &mut *self.pipes.lock().unwrap();
        writeln!(stdin, "{name}").unwrap();
        let mut head = String::new();
        stdout.read_line(&mut head).unwrap();
        let words: Vec<&str> = head.split_whitespace().collect();
        let [id, kind, size] = words[..] else { panic!("{name}: {head}") };
        let kind = match kind {
            "tree" => ObjectKind::Tree,
            "blob" => ObjectKind::Blob,
            "commit" => ObjectKind::Commit,
            _ => ObjectKind::Tag,
        };
        let mut contents = vec![0; size.parse().unwrap()];
        stdout.read_exact(&mut contents).unwrap();
        stdout.read_exact(&mut [0]).unwrap();
        (kind, contents, id.to_owned())
    }
}

impl Drop for CatFile {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl ObjectSource for CatFile {
    fn read(&self, id: &ObjectId) -> Result<(ObjectKind, Vec<u8>), Error> {
        let (kind, contents, _) = self.ask(&id.to_string());
        Ok((kind, contents))
    }

    fn size(&self, id: &ObjectId) -> Result<u64, Error> {
        Ok(self.read(id)?.1.len() as u64)
    }
}

/// An entry of an archive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Archived {
    File(Vec<u8>),
    Link,
}

/// What the go command's `git archive` gives for `dir` of a revision, or git's complaint. Paths are below `dir`.
pub(crate) fn git_archive(
    repository: &Path,
    revision: &str,
    dir: &str,
) -> Result<BTreeMap<Vec<u8>, Archived>, String> {
    std::fs::create_dir_all(repository.join("info")).unwrap();
    std::fs::write(repository.join("info/attributes"), "\n* -export-subst -export-ignore\n").unwrap();
    let mut command = git(repository);
    command.args(["-c", "core.autocrlf=input", "-c", "core.eol=lf", "archive", "--format=tar"]);
    command.args(["--prefix=prefix/", "--end-of-options", revision]);
    if !dir.is_empty() {
        command.arg(dir);
    }
    let output = command.output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let prefix = if dir.is_empty() { "prefix/".to_owned() } else { format!("prefix/{dir}/") };
    Ok(untar(&output.stdout)
        .into_iter()
        .filter_map(|(path, archived)| Some((path.strip_prefix(prefix.as_bytes())?.to_vec(), archived)))
        .collect())
}

/// Files and links of a tar with pax headers, as git writes them.
fn untar(mut tar: &[u8]) -> Vec<(Vec<u8>, Archived)> {
    let mut found = Vec::new();
    let mut long_path = None;
    while let Some((head, rest)) = tar.split_at_checked(512).filter(|(head, _)| head[0] != 0) {
        let text = |range: std::ops::Range<usize>| {
            let field = &head[range];
            field[..field.iter().position(|b| *b == 0).unwrap_or(field.len())].to_vec()
        };
        let size = usize::from_str_radix(String::from_utf8(text(124..135)).unwrap().trim(), 8).unwrap();
        let size = if matches!(head[156], b'0' | b'x' | b'g') { size } else { 0 };
        let contents = rest[..size].to_vec();
        tar = &rest[size.next_multiple_of(512)..];
        let mut path = || {
            let name = [text(345..500), text(0..100)].join(&b"/"[..]);
            long_path.take().unwrap_or_else(|| name.strip_prefix(b"/").map_or(name.clone(), <[u8]>::to_vec))
        };
        match head[156] {
            b'0' => found.push((path(), Archived::File(contents))),
            b'2' => found.push((path(), Archived::Link)),
            b'x' => long_path = pax_path(&contents),
            b'g' => {}
            _ => drop(path()),
        }
    }
    found
}

/// `<length> path=<path>\n` among the records of a pax header.
fn pax_path(mut records: &[u8]) -> Option<Vec<u8>> {
    while !records.is_empty() {
        let space = records.iter().position(|b| *b == b' ')?;
        let len: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
        if let Some(path) = records[space + 1..len - 1].strip_prefix(b"path=") {
            return Some(path.to_vec());
        }
        records = &records[len..];
    }
    None
}
