//! Repositories made by a script: the same words give the same objects, with the same ids, everywhere.
//!
//! Changes are staged with [`GitRepo::put`] and its neighbours and become a commit with
//! [`GitRepo::commit`]; names, dates and messages are fixed. The real git writes everything
//! (`fast-import`), one process for many commits:
//!
//! ```no_run
//! # let server = modkeep_testkit::GitServer::start(modkeep_testkit::git::Kind::Full);
//! let mut fish = server.repository("github.com/ann/fish");
//! fish.put("go.mod", "module github.com/ann/fish\n").commit("begin").tag("v1.0.0");
//! fish.branch("next").put("fish.go", "package fish\n").commit("grow").annotated("v1.1.0-rc.1");
//! fish.switch("main").merge("next").save();
//! ```

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The committer date of the first commit, in seconds since 1970: 2024-01-02T03:04:05Z. Each further one is
/// an hour later. Authors always wrote half an hour before.
pub const FIRST_DATE: u64 = 1_704_164_645;

const HOUR: u64 = 3600;

/// One bare repository, and the part of its script that git has not seen yet.
#[derive(Debug)]
pub struct GitRepo {
    path: PathBuf,
    sha256: bool,
    /// Commands of `git fast-import`.
    script: Vec<u8>,
    /// The changes of the next commit, as lines of the script.
    staged: Vec<u8>,
    branch: String,
    /// Branches that have a commit, and how the script names their tips.
    tips: BTreeMap<String, String>,
    /// How many commits the script marked so far.
    marks: u64,
    date: u64,
}

impl GitRepo {
    /// A new bare repository at `path`, whose default branch is `main`.
    ///
    /// # Panics
    /// When there is one already, or git fails.
    pub fn init(path: &Path) -> Self {
        Self::new(path, false)
    }

    /// As [`GitRepo::init`], with SHA-256 object ids.
    ///
    /// # Panics
    /// When there is one already, or git fails.
    pub fn init_sha256(path: &Path) -> Self {
        Self::new(path, true)
    }

    fn new(path: &Path, sha256: bool) -> Self {
        assert!(!path.exists(), "{} exists", path.display());
        let format = if sha256 { "--object-format=sha256" } else { "--object-format=sha1" };
        let mut command = git_command();
        command.args(["init", "-q", "--bare", "-b", "main", "--template=", format]).arg(path);
        finish(command.output().expect("git starts"), "init");
        Self {
            path: path.to_owned(),
            sha256,
            script: Vec::new(),
            staged: Vec::new(),
            branch: "main".to_owned(),
            tips: BTreeMap::new(),
            marks: 0,
            date: FIRST_DATE,
        }
    }

    /// Where it stands.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A regular file.
    pub fn put(&mut self, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> &mut Self {
        self.stage("100644", name.as_ref(), content.as_ref())
    }

    /// An executable file.
    pub fn exec(&mut self, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> &mut Self {
        self.stage("100755", name.as_ref(), content.as_ref())
    }

    /// A symbolic link.
    pub fn link(&mut self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> &mut Self {
        self.stage("120000", name.as_ref(), target.as_ref())
    }

    /// A submodule: an entry that names a commit of some other repository.
    pub fn submodule(&mut self, name: &str, commit: &str) -> &mut Self {
        self.entry("160000", commit, name.as_bytes())
    }

    /// Anything by its id: a tree made with [`GitRepo::raw_tree`], under mode `040000`.
    pub fn entry(&mut self, mode: &str, id: &str, name: &[u8]) -> &mut Self {
        self.staged.extend(format!("M {mode} {id} ").into_bytes());
        self.staged.extend(quoted(name));
        self.staged.push(b'\n');
        self
    }

    /// Removes a file or a folder.
    pub fn delete(&mut self, name: impl AsRef<[u8]>) -> &mut Self {
        self.staged.extend(b"D ");
        self.staged.extend(quoted(name.as_ref()));
        self.staged.push(b'\n');
        self
    }

    /// Removes everything.
    pub fn delete_all(&mut self) -> &mut Self {
        self.staged.extend(b"deleteall\n");
        self
    }

    fn stage(&mut self, mode: &str, name: &[u8], content: &[u8]) -> &mut Self {
        self.entry(mode, "inline", name);
        self.data(content);
        self
    }

    fn data(&mut self, content: &[u8]) {
        self.staged.extend(format!("data {}\n", content.len()).into_bytes());
        self.staged.extend(content);
        self.staged.push(b'\n');
    }

    /// The committer date of the next commit, in seconds since 1970.
    pub fn at(&mut self, seconds: u64) -> &mut Self {
        self.date = seconds;
        self
    }

    /// What was staged becomes a commit of the current branch.
    pub fn commit(&mut self, message: &str) -> &mut Self {
        self.write_commit(message, None)
    }

    /// A commit of the current branch with a second parent; what was staged is its change to the first.
    pub fn merge(&mut self, other: &str) -> &mut Self {
        self.write_commit(&format!("merge {other}"), Some(other))
    }

    fn write_commit(&mut self, message: &str, second: Option<&str>) -> &mut Self {
        let (written, committed) = (self.date - HOUR / 2, self.date);
        self.date += HOUR;
        self.marks += 1;
        let mark = format!(":{}", self.marks);
        let mut head = format!(
            "commit refs/heads/{}\nmark {mark}\nauthor Ann <ann@example.com> {written} +0100\n\
             committer Carl <carl@example.com> {committed} -0500\ndata {}\n{message}\n",
            self.branch,
            message.len()
        );
        if self.tips.contains_key(&self.branch) {
            head.push_str(&format!("from {}\n", self.tip(&self.branch)));
        }
        if let Some(second) = second {
            head.push_str(&format!("merge {}\n", self.tip(second)));
        }
        self.script.extend(head.into_bytes());
        self.script.append(&mut self.staged);
        self.script.push(b'\n');
        self.tips.insert(self.branch.clone(), mark);
        self
    }

    /// The tip of a branch, as the script can name it.
    fn tip(&self, branch: &str) -> String {
        self.tips.get(branch).unwrap_or_else(|| panic!("the branch {branch} has a commit")).clone()
    }

    /// A branch that begins at the tip of the current one and becomes the current one.
    pub fn branch(&mut self, name: &str) -> &mut Self {
        let from = self.tip(&self.branch);
        self.tips.insert(name.to_owned(), from.clone());
        name.clone_into(&mut self.branch);
        self.reset(&format!("refs/heads/{name}"), &from)
    }

    /// A branch without a past becomes the current one.
    pub fn orphan(&mut self, name: &str) -> &mut Self {
        self.tips.remove(name);
        self.switch(name)
    }

    /// Another branch becomes the current one.
    pub fn switch(&mut self, name: &str) -> &mut Self {
        name.clone_into(&mut self.branch);
        self
    }

    /// A light tag on the tip of the current branch; one of that name is moved.
    pub fn tag(&mut self, name: &str) -> &mut Self {
        let from = self.tip(&self.branch);
        self.reset(&format!("refs/tags/{name}"), &from)
    }

    /// Light tags on the tip of the current branch.
    pub fn tags(&mut self, names: &[&str]) -> &mut Self {
        names.iter().fold(self, |repo, name| repo.tag(name))
    }

    /// An annotated tag on the tip of the current branch.
    pub fn annotated(&mut self, name: &str) -> &mut Self {
        let text = format!(
            "tag {name}\nfrom {}\ntagger Carl <carl@example.com> {} -0500\ndata {}\n{name}\n",
            self.tip(&self.branch),
            self.date,
            name.len()
        );
        self.script.extend(text.into_bytes());
        self
    }

    fn reset(&mut self, reference: &str, from: &str) -> &mut Self {
        self.script.extend(format!("reset {reference}\nfrom {from}\n\n").into_bytes());
        self
    }

    /// Makes a ref outside of heads and tags, or moves it: `refs/pull/1/head`.
    pub fn reference(&mut self, reference: &str, revision: &str) -> &mut Self {
        let id = self.id(revision);
        self.git(&["update-ref", reference, &id]);
        self
    }

    /// Hands everything so far to git. Staged changes wait for their commit.
    ///
    /// # Panics
    /// When git refuses the script.
    pub fn save(&mut self) -> &mut Self {
        if self.script.is_empty() {
            return self;
        }
        let script = std::mem::take(&mut self.script);
        let arguments = ["-c", "core.ignorecase=false", "fast-import", "--quiet", "--force", "--done"];
        self.feed(&arguments, &[script.as_slice(), b"done\n"].concat());
        for (branch, tip) in &mut self.tips {
            *tip = format!("refs/heads/{branch}^0"); // the marks ended with the script
        }
        self
    }

    /// Removes a tag.
    pub fn delete_tag(&mut self, name: &str) -> &mut Self {
        self.git(&["update-ref", "-d", &format!("refs/tags/{name}")]);
        self
    }

    /// A light tag on any object: a blob, a tree, another tag.
    pub fn tag_object(&mut self, name: &str, object: &str) -> &mut Self {
        self.git(&["tag", "-f", name, object]);
        self
    }

    /// Makes another branch, existing or not, the default one.
    pub fn default_branch(&mut self, name: &str) -> &mut Self {
        self.git(&["symbolic-ref", "HEAD", &format!("refs/heads/{name}")]);
        self
    }

    /// HEAD names a commit and no branch.
    pub fn detach(&mut self, revision: &str) -> &mut Self {
        let id = self.id(revision);
        std::fs::write(self.path.join("HEAD"), format!("{id}\n")).expect("a file of our own repository");
        self
    }

    /// The whole id of a revision: `v1.0.0`, `main~1`, `HEAD:go.mod`. Tags are not peeled.
    ///
    /// # Panics
    /// When there is none.
    pub fn id(&mut self, revision: &str) -> String {
        self.git(&["rev-parse", "--verify", revision])
    }

    /// Writes a blob and gives its id.
    pub fn blob(&mut self, content: impl AsRef<[u8]>) -> String {
        self.feed(&["hash-object", "-w", "--stdin"], content.as_ref())
    }

    /// Writes an object of any kind without a look at its bytes, and gives its id.
    pub fn raw_object(&mut self, kind: &str, bytes: &[u8]) -> String {
        self.feed(&["hash-object", "-t", kind, "-w", "--literally", "--stdin"], bytes)
    }

    /// Writes a tree that no honest git would: entries in any order, of any name and mode, each made with
    /// [`raw_entry`].
    pub fn raw_tree(&mut self, entries: &[Vec<u8>]) -> String {
        self.raw_object("tree", &entries.concat())
    }

    /// Makes the tree of this id the whole content of the next commit of the current branch, commits it and
    /// saves. For trees that `fast-import` would not write.
    pub fn commit_tree(&mut self, message: &str, tree: &str) -> &mut Self {
        self.save();
        let reference = format!("refs/heads/{}", self.branch);
        let grows = self.tips.contains_key(&self.branch);
        let parent = if grows { format!("parent {}\n", self.id(&reference)) } else { String::new() };
        self.tips.insert(self.branch.clone(), format!("{reference}^0"));
        let (written, committed) = (self.date - HOUR / 2, self.date);
        self.date += HOUR;
        let commit = format!(
            "tree {tree}\n{parent}author Ann <ann@example.com> {written} +0100\n\
             committer Carl <carl@example.com> {committed} -0500\n\n{message}\n"
        );
        let id = self.raw_object("commit", commit.as_bytes());
        self.git(&["update-ref", &reference, &id]);
        self
    }

    /// Packs everything into one pack, as a server's nightly housekeeping does.
    pub fn repack(&mut self) -> &mut Self {
        self.git(&["repack", "-q", "-a", "-d"]);
        self.git(&["pack-refs", "--all"]);
        self
    }

    /// Runs git in the repository after everything so far was saved; gives what it printed, trimmed.
    ///
    /// # Panics
    /// When git fails, with its words.
    pub fn git(&mut self, arguments: &[&str]) -> String {
        self.save();
        let output = git_command().arg("--git-dir").arg(&self.path).args(arguments).output();
        finish(output.expect("git starts"), &arguments.join(" "))
    }

    fn feed(&mut self, arguments: &[&str], input: &[u8]) -> String {
        let mut command = git_command();
        command.arg("--git-dir").arg(&self.path).args(arguments);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().expect("git starts");
        let mut stdin = child.stdin.take().expect("a piped stream");
        let written = stdin.write_all(input);
        drop(stdin);
        let text = finish(child.wait_with_output().expect("our own child"), &arguments.join(" "));
        written.expect("git reads what it is given");
        text
    }

    /// Whether ids are SHA-256.
    pub fn is_sha256(&self) -> bool {
        self.sha256
    }
}

impl Drop for GitRepo {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.save();
        }
    }
}

/// One entry of a raw tree: mode in octal without leading zero, name, id in hex.
///
/// # Panics
/// When the id is no hex.
pub fn raw_entry(mode: &str, name: impl AsRef<[u8]>, id: &str) -> Vec<u8> {
    let mut entry = [mode.as_bytes(), b" ", name.as_ref(), b"\0"].concat();
    let digit = |at: usize| u8::from_str_radix(&id[at..at + 2], 16).expect("an id in hex");
    entry.extend((0..id.len()).step_by(2).map(digit));
    entry
}

/// git with nothing of the developer's or the machine's configuration.
pub(crate) fn git_command() -> Command {
    let mut command = Command::new("git");
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "Ann")
        .env("GIT_AUTHOR_EMAIL", "ann@example.com")
        .env("GIT_COMMITTER_NAME", "Carl")
        .env("GIT_COMMITTER_EMAIL", "carl@example.com")
        .env("GIT_AUTHOR_DATE", format!("{FIRST_DATE} +0000"))
        .env("GIT_COMMITTER_DATE", format!("{FIRST_DATE} +0000"));
    command
}

fn finish(output: Output, what: &str) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {what}: {}\n{said}", output.status);
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// A path as `fast-import` reads it, whatever its bytes.
fn quoted(name: &[u8]) -> Vec<u8> {
    let escape = |&byte: &u8| match byte {
        b'"' | b'\\' => vec![b'\\', byte],
        b' '..=b'~' => vec![byte],
        _ => format!("\\{byte:03o}").into_bytes(),
    };
    [vec![b'"'], name.iter().flat_map(escape).collect(), vec![b'"']].concat()
}
