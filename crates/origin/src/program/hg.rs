//! Mercurial through its program (versions-and-origins 11.2).
//!
//! There is one clone without a working copy in `hg` of the folder, pulled whole. Names of strangers reach hg as
//! quoted strings of a revset and never as the revset itself (V-100); sub-repositories are forbidden by
//! configuration, so that a `.hgsub` starts nothing (C25).

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use modkeep_egress::Credentials;
use modkeep_module::time::Timestamp;

use super::FILE_BYTES_MAX;
use super::jail::{Output, Stdout};
use super::way::Way;
use super::workshop::{Errand, Pulled, Workshop, is_plain};
use crate::error::Error;
use crate::place::Login;
use crate::repository::{Asking, Commit, Refs, Repository, Scope, Tree};

/// Our extension: the sum over heads, and the login.
const EXTENSION: &str = include_str!("hg/modkeep.py");
/// Settings of every command. Sub-repositories are content, never fetched and never visited.
const SETTINGS: [&str; 5] = [
    "--config=ui.archivemeta=false",
    "--config=subrepos.allowed=false",
    "--config=http.timeout=30",
    "--config=http_proxy.always=true",
    "--noninteractive",
];

/// A Mercurial repository behind its program.
pub(crate) struct HgRepository {
    shop: Workshop,
    pulled: Pulled,
}

impl HgRepository {
    pub(super) fn new(shop: Workshop) -> Self {
        Self { shop, pulled: Pulled::default() }
    }

    fn clone_folder(&self) -> PathBuf {
        self.shop.folder.join("hg")
    }

    /// A command in the clone.
    async fn run(&self, arguments: &[&str], stdout: Stdout, out: bool) -> Result<Output, Error> {
        let extension = self.shop.folder.join("modkeep.py");
        let load = format!("--config=extensions.modkeep={}", self.shop.text(&extension)?);
        let mut all = SETTINGS.to_vec();
        all.push(&load);
        all.extend(arguments);
        if self.shop.remote.insecure && out {
            all.push("--insecure"); // an option of the commands that go out, not of hg
        }
        let way = if out { self.shop.way().await? } else { Way::default() };
        let environment = self.environment(&way);
        self.shop.run(Errand { environment, way, stdout, start: "hg", ..Errand::new("hg", &all) }).await
    }

    /// V-101: plain output, nobody's settings.
    fn environment(&self, way: &Way) -> Vec<(String, String)> {
        let mut pairs =
            vec![("HGPLAIN", "1"), ("HGRCPATH", ""), ("HGENCODING", "utf-8"), ("PYTHONNOUSERSITE", "1")];
        let proxy = way.proxy();
        pairs.extend(proxy.as_deref().map(|proxy| ("http_proxy", proxy)));
        pairs.extend(way.ca_file.as_deref().map(|file| ("SSL_CERT_FILE", file)));
        let prefix = self.shop.remote.url.origin().ascii_serialization();
        if let (Some(_), Some(Login::Http(Credentials::Basic { user, password }))) =
            (way.port(), &self.shop.remote.login)
        {
            pairs.push(("MODKEEP_LOGIN_PREFIX", &prefix));
            pairs.push(("MODKEEP_LOGIN", user));
            pairs.push(("MODKEEP_PASSWORD", password));
        }
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    async fn local(&self, arguments: &[&str]) -> Result<Output, Error> {
        self.run(arguments, Stdout::AtMost(16 << 20), false).await
    }

    async fn must_local(&self, arguments: &[&str]) -> Result<String, Error> {
        let output = self.local(arguments).await?;
        if output.code != Some(0) {
            return Err(self.shop.trouble("hg", &output));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A clone that knows where it comes from; empty at first.
    async fn prepare(&self) -> Result<(), Error> {
        let settings = self.clone_folder().join(".hg/hgrc");
        if settings.exists() {
            return Ok(());
        }
        let disk = |error| self.shop.disk(&error);
        fs::create_dir_all(self.clone_folder()).map_err(disk)?;
        fs::write(self.shop.folder.join("modkeep.py"), EXTENSION).map_err(disk)?;
        let _ = fs::remove_dir_all(self.clone_folder().join(".hg")); // one that was begun and not finished
        self.must_local(&["init", "."]).await?;
        fs::write(settings, format!("[paths]\ndefault = {}\n", self.shop.remote.url)).map_err(disk)
    }

    /// Pulls everything, unless that was done lately.
    async fn pull(&self) -> Result<(), Error> {
        let begun = self.shop.programs().now();
        if self.pulled.is_fresh(self.shop.programs()) && self.clone_folder().join(".hg/hgrc").exists() {
            return Ok(());
        }
        self.prepare().await?;
        let output = self.run(&["pull", "-f", "-q"], Stdout::AtMost(4 << 20), true).await?;
        if output.code != Some(0) {
            return Err(self.unreachable(&output));
        }
        self.pulled.note(begun);
        Ok(())
    }

    fn unreachable(&self, output: &Output) -> Error {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let says = |words: &[&str]| words.iter().any(|words| complaint.contains(words));
        if says(&["authorization failed", "authorization required", "HTTP Error 401", "HTTP Error 403"]) {
            return Error::Login { host: self.shop.host(), reason: self.shop.words(output) };
        }
        if says(&["HTTP Error 404", "HTTP Error 410"]) {
            return Error::NoModule {
                reason: format!("hg repository {} not found", self.shop.remote.original),
            };
        }
        self.shop.trouble("hg", output)
    }

    /// The changeset of a literal name, if it is here.
    async fn stat(&self, name: &str) -> Result<Option<Commit>, Error> {
        let revision = format!("--rev={}", quoted(name));
        let arguments = ["log", "-l1", &revision, "--template", "{node} {date|hgdate} {tags}"];
        let output = self.local(&arguments).await?;
        if output.code != Some(0) {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let Some(mut commit) = parse(&text) else { return Err(self.shop.malformed("hg: a changeset")) };
        if !commit.id.starts_with(name) {
            commit.resolved = name.into();
        }
        // A hash that was asked for is told as the hash alone.
        let is_hash = commit.id.starts_with(name) && name.len() >= 12;
        commit.reference = (!is_hash).then(|| name.into());
        Ok(Some(commit))
    }

    async fn branches(&self) -> Result<BTreeMap<Arc<str>, Arc<str>>, Error> {
        self.names(&["branches", "-c", "-T", "{branch}\\0{node}\\n"], "refs/heads/").await
    }

    /// Names with their changesets; `tip` is none (11.2).
    async fn names(&self, arguments: &[&str], space: &str) -> Result<BTreeMap<Arc<str>, Arc<str>>, Error> {
        let text = self.must_local(arguments).await?;
        let named = text.lines().filter_map(|line| line.split_once('\0')).filter(|(name, _)| *name != "tip");
        Ok(named.map(|(name, id)| (format!("{space}{name}").into(), id.into())).collect())
    }

    /// What is here counts, except for names that move: branches, and `tip`.
    async fn find(&self, name: &str) -> Result<Commit, Error> {
        if !is_literal(name) {
            return Err(Error::unknown_revision(name));
        }
        self.prepare().await?;
        let moves = name == "tip" || self.branches().await?.contains_key(&*format!("refs/heads/{name}"));
        if !moves && let Some(commit) = self.stat(name).await? {
            return Ok(commit);
        }
        self.pull().await?;
        let mut commit = self.stat(name).await?.ok_or_else(|| Error::unknown_revision(name))?;
        if moves || self.branches().await?.contains_key(&*format!("refs/heads/{name}")) {
            commit.resolved = Arc::clone(&commit.id);
        }
        Ok(commit)
    }

    /// Makes sure that a changeset is here.
    async fn bring(&self, commit: &str) -> Result<(), Error> {
        self.prepare().await?;
        match self.stat(commit).await? {
            Some(_) => Ok(()),
            None => self.pull().await,
        }
    }

    async fn archive(&self, commit: &str, dir: &str) -> Result<Option<Box<dyn Tree>>, Error> {
        self.bring(commit).await?;
        let path = self.shop.place_for("hg.zip");
        let revision = format!("--rev={}", quoted(commit));
        let include = format!("--include=path:{dir}");
        let mut arguments = vec!["archive", "-t", "uzip", "--no-decode", &revision, "--prefix=prefix/"];
        if !dir.is_empty() {
            arguments.push(&include);
        }
        arguments.extend(["--", self.shop.text(&path)?]);
        let output = self.local(&arguments).await?;
        if output.code != Some(0) {
            let complaint = String::from_utf8_lossy(&output.stderr);
            let empty = complaint.contains("no files match");
            return if empty { Ok(None) } else { Err(self.shop.trouble("hg", &output)) };
        }
        let tree = self.shop.unzip_left(&path, dir).await?;
        Ok((dir.is_empty() || !tree.entries().is_empty()).then_some(tree))
    }
}

/// Whether a name can only be a name (V-100). `null` and hashes of zeros name the changeset before the first.
fn is_literal(name: &str) -> bool {
    let nothing = name == "null" || name == "." || name.bytes().all(|b| b == b'0');
    is_plain(name) && !nothing
}

/// A literal name as a string of the revset language.
fn quoted(name: &str) -> String {
    debug_assert!(is_literal(name), "{name:?} was checked");
    format!("\"{name}\"")
}

/// `<hash> <seconds> <zone> <tag>...`, as the go command splits it: a tag with a blank falls apart.
fn parse(text: &str) -> Option<Commit> {
    let mut fields = text.split_whitespace();
    let id = fields.next().filter(|id| id.len() == 40 && id.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let seconds = fields.next()?.parse().ok()?;
    fields.next()?;
    let mut tags: Vec<Arc<str>> = fields.filter(|tag| *tag != "tip").map(Arc::from).collect();
    tags.sort();
    let id: Arc<str> = id.into();
    let short = id[..12].into();
    Some(Commit {
        short,
        time: Timestamp { secs: seconds, nanos: 0 },
        resolved: Arc::clone(&id),
        id,
        tags,
        reference: None,
    })
}

impl Repository for HgRepository {
    fn refs(&self, _: Scope) -> Asking<'_, Arc<Refs>> {
        Box::pin(async {
            let _turn = self.shop.turn().await;
            self.pull().await?;
            let tags = self.names(&["tags", "-T", "{tag}\\0{node}\\n"], "refs/tags/").await?;
            let head = self.stat("tip").await?.map(|tip| tip.id).filter(|id| id.bytes().any(|b| b != b'0'));
            Ok(Arc::new(Refs { head, branches: self.branches().await?, tags }))
        })
    }

    fn tip(&self) -> Asking<'_, Commit> {
        Box::pin(async {
            let _turn = self.shop.turn().await;
            let tip = self.find("tip").await?;
            if tip.id.bytes().all(|b| b == b'0') {
                return Err(Error::NoVersion { reason: "no commits".to_owned() });
            }
            Ok(tip)
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
            self.bring(commit).await?;
            let (revision, pattern) = (format!("--rev={}", quoted(commit)), format!("path:{path}"));
            let arguments = ["cat", &revision, "-T", "{path}\\0{data}", "--", &pattern];
            let named = path.len() as u64 + 1;
            let output = self.run(&arguments, Stdout::Prefix(named + FILE_BYTES_MAX + 1), false).await?;
            // `None`: the rest was not wanted. Any other status means that there is no such file; another name, that it
            // is a directory with files.
            let is_there = matches!(output.code, Some(0) | None);
            let contents =
                output.stdout.strip_prefix(path.as_bytes()).and_then(|rest| rest.strip_prefix(b"\0"));
            Ok(contents.filter(|_| is_there).map(Bytes::copy_from_slice))
        })
    }

    fn ancestor_tags<'a>(&'a self, commit: &'a str) -> Asking<'a, Option<Vec<Arc<str>>>> {
        Box::pin(async move {
            let _turn = self.shop.turn().await;
            self.bring(commit).await?;
            let revisions = format!("--rev=ancestors({}) and tag()", quoted(commit));
            let text = self.must_local(&["log", &revisions, "--template", "{tags}\n"]).await?;
            Ok(Some(text.split_whitespace().filter(|tag| *tag != "tip").map(Arc::from).collect()))
        })
    }

    fn descends_from<'a>(&'a self, commit: &'a str, tag: &'a str) -> Asking<'a, Option<bool>> {
        Box::pin(async move {
            let _turn = self.shop.turn().await;
            self.bring(commit).await?;
            if !is_literal(tag) {
                return Ok(Some(false));
            }
            let revisions = format!("--rev=ancestors({}) and {}", quoted(commit), quoted(tag));
            let text = self.must_local(&["log", &revisions, "--template", "{node}\n"]).await?;
            Ok(Some(!text.trim().is_empty()))
        })
    }

    fn tree<'a>(&'a self, commit: &'a str, dir: &'a str) -> Asking<'a, Option<Box<dyn Tree>>> {
        Box::pin(async move {
            let _turn = self.shop.turn().await;
            self.archive(commit, dir).await
        })
    }

    fn repo_sum(&self) -> Asking<'_, Option<String>> {
        Box::pin(async {
            let _turn = self.shop.turn().await;
            self.pull().await?;
            Ok(Some(self.must_local(&["modkeep-sum"]).await?.trim().to_owned()))
        })
    }
}

#[cfg(test)]
mod tests;
