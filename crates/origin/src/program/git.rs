//! git through its program (versions-and-origins 11.1): ssh, dumb servers, servers without version 2 of the protocol,
//! and commits whose attributes only git itself converts.
//!
//! The repository lives bare in `git` of its folder. A commit comes alone first, by the name of a ref that leads to
//! it; the first question about history, or about a hash that no ref shows, brings everything, and from then on
//! everything is kept up with (`whole`).

mod environment;
mod refs;

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use modkeep_egress::{Kind, Request, Trust};
use modkeep_module::time::Timestamp;

use self::environment::Environment;
use self::refs::{is_hex, is_id};
use super::FILE_BYTES_MAX;
use super::jail::{Output, Stdout};
use super::way::Way;
use super::workshop::{Errand, Workshop};
use crate::error::Error;
use crate::repository::{Asking, Commit, Refs, Repository, Scope, Tree};

/// What a server may list, in bytes (hostile-inputs part 1).
const LISTING_BYTES_MAX: u64 = 64 << 20;
/// The shortest prefix of a hash that is one (V-90).
const HEX_MIN: usize = 7;
/// Commits that share a prefix and are looked at.
const CANDIDATES_MAX: usize = 100;
/// The local name of the remote's `HEAD`.
const LOCAL_HEAD: &str = "refs/modkeep/head";

/// A git repository behind the git program.
pub(crate) struct GitProgram {
    shop: Workshop,
    refs: Mutex<Option<(Instant, Arc<Refs>)>>,
}

impl GitProgram {
    pub(super) fn new(shop: Workshop) -> Self {
        Self { shop, refs: Mutex::new(None) }
    }

    fn git_dir(&self) -> PathBuf {
        self.shop.folder.join("git")
    }

    /// A mark that all history is here.
    fn whole_mark(&self) -> PathBuf {
        self.git_dir().join("modkeep-whole")
    }

    fn is_whole(&self) -> bool {
        self.whole_mark().exists()
    }

    async fn run(&self, arguments: &[&str], stdout: Stdout, out: bool) -> Result<Output, Error> {
        let git_dir = self.git_dir();
        let git_dir = self.shop.text(&git_dir)?;
        let (environment, way) = if out {
            let way = self.shop.way().await?;
            let user_agent = self.shop.programs().user_agent();
            (Environment::outward(git_dir, &self.shop.remote, &way, user_agent), way)
        } else {
            (Environment::local(git_dir), Way::default())
        };
        let environment = environment.into_variables();
        self.shop.run(Errand { environment, way, stdout, ..Errand::new("git", arguments) }).await
    }

    /// A command at home with a short answer.
    async fn local(&self, arguments: &[&str]) -> Result<Output, Error> {
        self.run(arguments, Stdout::AtMost(4 << 20), false).await
    }

    async fn must_local(&self, arguments: &[&str]) -> Result<Output, Error> {
        let output = self.local(arguments).await?;
        if output.code == Some(0) { Ok(output) } else { Err(self.shop.trouble("git", &output)) }
    }

    /// The refs, asked anew where they are older than configured.
    async fn fresh_refs(&self) -> Result<Arc<Refs>, Error> {
        let now = self.shop.programs().now();
        let known = self.refs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some((at, refs)) if now.saturating_duration_since(at) < self.shop.programs().refs_lifetime() => {
                Ok(refs)
            }
            _ => self.ask_refs().await,
        }
    }

    async fn ask_refs(&self) -> Result<Arc<Refs>, Error> {
        let arguments = ["ls-remote", "-q", "--end-of-options", "origin"];
        let output = self.run(&arguments, Stdout::AtMost(LISTING_BYTES_MAX), true).await?;
        if output.code != Some(0) {
            return Err(self.unreachable(&output).await);
        }
        let listed =
            refs::parse(&output.stdout).ok_or_else(|| self.shop.malformed("git: a listing of refs"))?;
        let refs = Arc::new(listed);
        let now = self.shop.programs().now();
        *self.refs.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&refs)));
        Ok(refs)
    }

    /// Why a remote could not be read: git's own words tell a login apart, a plain GET tells absence apart.
    async fn unreachable(&self, output: &Output) -> Error {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let wants_login =
            ["could not read Username", "Authentication failed", "Permission denied (publickey"];
        if wants_login.iter().any(|words| complaint.contains(words)) {
            return Error::Login { host: self.shop.host(), reason: self.shop.words(output) };
        }
        let remote = &self.shop.remote;
        if matches!(remote.url.scheme(), "http" | "https") {
            let request = Request {
                kind: Kind::Origin,
                trust: if remote.insecure { Trust::Insecure } else { Trust::Verified },
                ..Request::named(remote.url.clone())
            };
            let answer = self.shop.programs().egress().get(request).await;
            if answer.is_ok_and(|answer| matches!(answer.status, 404 | 410)) {
                return Error::NoModule { reason: format!("git repository {} not found", remote.original) };
            }
        }
        self.shop.trouble("git", output)
    }

    /// A bare repository whose hashes are as long as this one.
    async fn prepare(&self, id: &str) -> Result<(), Error> {
        if self.git_dir().join("HEAD").exists() {
            return Ok(());
        }
        fs::create_dir_all(&self.shop.folder).map_err(|error| self.shop.disk(&error))?;
        let format = if id.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" };
        self.must_local(&["init", "-q", "--bare", "--template=", format]).await?;
        let info = self.git_dir().join("info");
        let written = fs::create_dir_all(&info)
            .and_then(|()| fs::write(info.join("attributes"), "\n* -export-subst -export-ignore\n"));
        written.map_err(|error| self.shop.disk(&error))
    }

    /// Whether a commit is here.
    async fn has(&self, id: &str) -> Result<bool, Error> {
        if !self.git_dir().join("HEAD").exists() {
            return Ok(false);
        }
        Ok(self.local(&["cat-file", "-e", &format!("{id}^{{commit}}")]).await?.code == Some(0))
    }

    /// Brings a commit here, alone if a ref leads to it, else with everything.
    async fn bring(&self, id: &str, refs: &Refs) -> Result<(), Error> {
        self.prepare(id).await?;
        if self.has(id).await? {
            return Ok(());
        }
        if !self.is_whole()
            && let Some(spec) = refspec(id, refs)
        {
            let arguments =
                ["fetch", "-f", "-q", "--depth=1", "--no-tags", "--end-of-options", "origin", &spec];
            let fetched = self.run(&arguments, Stdout::AtMost(1 << 20), true).await?;
            // Whatever went wrong, the complete fetch is the second try, as the go command does it.
            if fetched.code == Some(0) && self.has(id).await? {
                return Ok(());
            }
        }
        self.bring_everything(id).await
    }

    /// All branches and tags with all their history.
    async fn bring_everything(&self, id: &str) -> Result<(), Error> {
        self.prepare(id).await?;
        let mut arguments = vec!["fetch", "-f", "-q", "--prune", "--no-tags"];
        if self.git_dir().join("shallow").exists() {
            arguments.push("--unshallow");
        }
        let everything =
            ["--end-of-options", "origin", "refs/heads/*:refs/heads/*", "refs/tags/*:refs/tags/*"];
        arguments.extend(everything);
        let fetched = self.run(&arguments, Stdout::AtMost(1 << 20), true).await?;
        if fetched.code != Some(0) {
            return Err(self.unreachable(&fetched).await);
        }
        fs::write(self.whole_mark(), "").map_err(|error| self.shop.disk(&error))
    }

    /// All history up to a commit.
    async fn bring_history(&self, id: &str) -> Result<(), Error> {
        if self.is_whole() && self.has(id).await? {
            return Ok(());
        }
        self.bring_everything(id).await
    }

    /// A commit that is here, with the tags that the refs show on it.
    async fn stat(&self, id: &str, refs: &Refs) -> Result<Commit, Error> {
        let spec = format!("{id}^{{commit}}");
        let format = "--format=format:%H %ct";
        let arguments = [
            "-c",
            "log.showsignature=false",
            "log",
            "--no-decorate",
            "-n1",
            format,
            "--end-of-options",
            &spec,
            "--",
        ];
        let output = self.must_local(&arguments).await?;
        let text = String::from_utf8_lossy(&output.stdout);
        let (id, seconds) = text
            .split_once(' ')
            .filter(|(id, _)| is_id(id))
            .ok_or_else(|| self.shop.malformed("git: a commit without a name"))?;
        let seconds = seconds
            .trim()
            .parse()
            .map_err(|_| Error::NoVersion { reason: format!("invalid time from git log: {text:?}") })?;
        let tags = refs
            .tags
            .iter()
            .filter(|(_, target)| &***target == id)
            .filter_map(|(name, _)| name.strip_prefix("refs/tags/"))
            .map(Arc::from)
            .collect();
        Ok(Commit {
            id: id.into(),
            short: id[..12].into(),
            time: Timestamp { secs: seconds, nanos: 0 },
            resolved: id.into(),
            tags,
            reference: None,
        })
    }

    /// The commit behind a ref.
    async fn at_ref(&self, reference: &str, id: &str, revision: &str, refs: &Refs) -> Result<Commit, Error> {
        self.bring(id, refs).await?;
        if !self.has(id).await? {
            return Err(Error::unknown_revision(revision)); // the tag of a tree or a file (V-93)
        }
        let mut commit = self.stat(id, refs).await?;
        commit.reference = Some(reference.into());
        if reference.strip_prefix("refs/tags/").is_some_and(|tag| tag == revision) {
            commit.resolved = revision.into();
        }
        Ok(commit)
    }

    /// V-90, in its order.
    async fn find(&self, revision: &str) -> Result<Commit, Error> {
        let hex = (HEX_MIN..=64).contains(&revision.len()) && is_hex(revision);
        if hex && let Some(id) = self.expand(revision).await? {
            let refs = self.fresh_refs().await?;
            return self.stat(&id, &refs).await;
        }
        let refs = self.fresh_refs().await?;
        for space in ["refs/tags/", "refs/heads/"] {
            let name = format!("{space}{revision}");
            if let Some(id) = refs.tags.get(&*name).or_else(|| refs.branches.get(&*name)) {
                return self.at_ref(&name, id, revision, &refs).await;
            }
        }
        if let (true, Some(id)) = (revision == "HEAD", &refs.head) {
            return self.at_ref("HEAD", id, revision, &refs).await;
        }
        if !hex {
            return Err(Error::unknown_revision(revision));
        }
        if let Some((name, id)) = by_prefix(revision, &refs)? {
            return self.at_ref(&name, &id, revision, &refs).await;
        }
        let Some(any) =
            refs.head.as_ref().or_else(|| refs.tags.values().chain(refs.branches.values()).next())
        else {
            return Err(Error::unknown_revision(revision));
        };
        self.bring_everything(any).await?;
        let id = self.expand(revision).await?.ok_or_else(|| Error::unknown_revision(revision))?;
        self.stat(&id, &refs).await
    }

    /// The only commit here whose hash begins like that.
    async fn expand(&self, prefix: &str) -> Result<Option<String>, Error> {
        if !self.git_dir().join("HEAD").exists() {
            return Ok(None);
        }
        let output = self.local(&["rev-parse", &format!("--disambiguate={prefix}")]).await?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut commits = Vec::new();
        for id in text.lines().filter(|id| is_id(id)).take(CANDIDATES_MAX) {
            let kind = self.local(&["cat-file", "-t", id]).await?;
            if kind.stdout.trim_ascii() == b"commit" {
                commits.push(id.to_owned());
            }
        }
        match commits.len() {
            0 | 1 => Ok(commits.pop()),
            _ => Err(ambiguous(prefix)),
        }
    }

    async fn blob(&self, commit: &str, path: &str) -> Result<Option<Bytes>, Error> {
        let refs = self.fresh_refs().await?;
        self.bring(commit, &refs).await?;
        let spec = format!("{commit}:{path}");
        let arguments = ["cat-file", "--end-of-options", "blob", &spec];
        let output = self.run(&arguments, Stdout::Prefix(FILE_BYTES_MAX + 1), false).await?;
        // `None`: the rest was not wanted. Any other status means that there is no such file (11.1).
        Ok(matches!(output.code, Some(0) | None).then(|| output.stdout.into()))
    }

    async fn archive(&self, commit: &str, dir: &str) -> Result<Option<Box<dyn Tree>>, Error> {
        let refs = self.fresh_refs().await?;
        self.bring(commit, &refs).await?;
        let file = self.shop.scrap()?;
        let writing = file.try_clone().map_err(|error| self.shop.disk(&error))?;
        let mut arguments =
            vec!["-c", "core.autocrlf=input", "-c", "core.eol=lf", "archive", "-0", "--format=zip"];
        arguments.extend(["--prefix=prefix/", "--end-of-options", commit]);
        if !dir.is_empty() {
            arguments.push(dir);
        }
        let output = self.run(&arguments, Stdout::File(writing), false).await?;
        if output.code != Some(0) {
            let complaint = String::from_utf8_lossy(&output.stderr);
            return if complaint.contains("did not match any files") {
                Ok(None)
            } else {
                Err(self.shop.trouble("git", &output))
            };
        }
        // A path that is a file matches, and has nothing below it.
        let tree = self.shop.unzip(file, dir).await?;
        Ok((dir.is_empty() || !tree.entries().is_empty()).then_some(tree))
    }
}

/// What to fetch for a commit that a ref leads to: the ref, by name, because servers may refuse hashes.
fn refspec(id: &str, refs: &Refs) -> Option<String> {
    let leads_there = |(_, target): &(&Arc<str>, &Arc<str>)| &***target == id;
    let named =
        refs.tags.iter().chain(&refs.branches).find(leads_there).map(|(name, _)| format!("{name}:{name}"));
    named.or_else(|| (refs.head.as_deref() == Some(id)).then(|| format!("HEAD:{LOCAL_HEAD}")))
}

/// A ref's full name and its commit.
type Named = (Arc<str>, Arc<str>);

/// The ref whose commit begins like that (V-90 step 6).
fn by_prefix(prefix: &str, refs: &Refs) -> Result<Option<Named>, Error> {
    let head = refs.head.as_ref().map(|id| (Arc::from("HEAD"), Arc::clone(id)));
    let named = refs.branches.iter().chain(&refs.tags).map(|(name, id)| (Arc::clone(name), Arc::clone(id)));
    let mut found: Vec<_> = head.into_iter().chain(named).filter(|(_, id)| id.starts_with(prefix)).collect();
    if found.iter().any(|(_, id)| *id != found[0].1) {
        return Err(ambiguous(prefix));
    }
    found.sort();
    Ok(found.into_iter().next())
}

fn ambiguous(revision: &str) -> Error {
    Error::NoVersion { reason: format!("ambiguous revision {revision}") }
}

impl Repository for GitProgram {
    fn refs(&self, _: Scope) -> Asking<'_, Arc<Refs>> {
        Box::pin(async {
            let _turn = self.shop.turn().await;
            self.fresh_refs().await
        })
    }

    fn tip(&self) -> Asking<'_, Commit> {
        Box::pin(async {
            let _turn = self.shop.turn().await;
            let refs = self.fresh_refs().await?;
            let head =
                refs.head.as_ref().ok_or_else(|| Error::NoVersion { reason: "no commits".to_owned() })?;
            self.at_ref("HEAD", head, "HEAD", &refs).await
        })
    }

    fn resolve<'a>(&'a self, revision: &'a str) -> Asking<'a, Commit> {
        Box::pin(async move {
            let _turn = self.shop.turn().await;
            self.find(revision).await
        })
    }

    fn file<'a>(&'a self, commit: &'a str, path: &'a str) -> Asking<'a, Option<Bytes>> {
        Box::pin(async move {
            let _turn = self.shop.turn().await;
            self.blob(commit, path).await
        })
    }

    fn ancestor_tags<'a>(&'a self, commit: &'a str) -> Asking<'a, Option<Vec<Arc<str>>>> {
        Box::pin(async move {
            let _turn = self.shop.turn().await;
            self.bring_history(commit).await?;
            let merged = format!("--merged={commit}");
            let output =
                self.must_local(&["for-each-ref", "--format=%(refname)", &merged, "refs/tags/"]).await?;
            let text = String::from_utf8_lossy(&output.stdout);
            Ok(Some(text.lines().filter_map(|name| name.strip_prefix("refs/tags/")).map(Arc::from).collect()))
        })
    }

    fn descends_from<'a>(&'a self, commit: &'a str, tag: &'a str) -> Asking<'a, Option<bool>> {
        Box::pin(async move {
            let _turn = self.shop.turn().await;
            self.bring_history(commit).await?;
            let tag = format!("refs/tags/{tag}");
            let output = self.local(&["merge-base", "--is-ancestor", "--", &tag, commit]).await?;
            Ok(Some(output.code == Some(0)))
        })
    }

    fn tree<'a>(&'a self, commit: &'a str, dir: &'a str) -> Asking<'a, Option<Box<dyn Tree>>> {
        Box::pin(async move {
            let _turn = self.shop.turn().await;
            self.archive(commit, dir).await
        })
    }
}

#[cfg(test)]
mod tests;
