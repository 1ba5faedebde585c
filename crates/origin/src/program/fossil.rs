//! Fossil through its program (versions-and-origins 11.4).
//!
//! There is one clone in `.fossil` of the folder. Its tags are never versions, so that every version of a module is
//! a pseudo-version.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use modkeep_module::time::Timestamp;

use super::FILE_BYTES_MAX;
use super::jail::{Output, Stdout, TEMPORARY};
use super::way::Way;
use super::workshop::{Errand, Pulled, Workshop, is_plain};
use crate::error::Error;
use crate::repository::{Asking, Commit, Refs, Repository, Scope, Tree};

/// The clone, in the folder.
const CLONE: &str = ".fossil";
/// The default branch.
const TRUNK: &str = "trunk";
/// Fossil's own name for the newest check-in of all. The go command passes it on as it passes any name.
const TIP: &str = "tip";

/// A Fossil repository behind its program.
pub(crate) struct FossilRepository {
    shop: Workshop,
    pulled: Pulled,
}

impl FossilRepository {
    pub(super) fn new(shop: Workshop) -> Self {
        Self { shop, pulled: Pulled::default() }
    }

    fn clone_file(&self) -> PathBuf {
        self.shop.folder.join(CLONE)
    }

    async fn run(&self, arguments: &[&str], stdout: Stdout, out: bool) -> Result<Output, Error> {
        let way = if out { self.shop.way().await? } else { Way::default() };
        let mut environment = vec![("FOSSIL_USER".to_owned(), "modkeep".to_owned())];
        environment.extend(way.proxy().map(|proxy| ("http_proxy".to_owned(), proxy)));
        environment.extend(way.ca_file.clone().map(|file| ("SSL_CERT_FILE".to_owned(), file)));
        self.shop
            .run(Errand { environment, way, stdout, distrusted: true, ..Errand::new("fossil", arguments) })
            .await
    }

    async fn local(&self, arguments: &[&str]) -> Result<Output, Error> {
        self.run(arguments, Stdout::AtMost(4 << 20), false).await
    }

    /// Clones, or pulls unless that was done lately.
    async fn pull(&self) -> Result<(), Error> {
        let (begun, there) = (self.shop.programs().now(), self.clone_file().exists());
        if self.pulled.is_fresh(self.shop.programs()) && there {
            return Ok(());
        }
        let url = self.shop.remote.url.as_str();
        let quiet = Stdout::AtMost(4 << 20);
        let output = if there {
            self.run(&["pull", "-R", CLONE], quiet, true).await?
        } else {
            self.run(&["clone", "--", url, CLONE], quiet, true).await?
        };
        // It complains on either stream, and of some failures says nothing in its status.
        let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        let said = String::from_utf8_lossy(&said).to_ascii_lowercase();
        if output.code != Some(0)
            || !self.clone_file().exists()
            || said.contains("error: ")
            || said.contains("cannot ")
        {
            return Err(self.unreachable(there, output));
        }
        self.pulled.note(begun);
        Ok(())
    }

    fn unreachable(&self, there: bool, output: Output) -> Error {
        if !there {
            let _ = fs::remove_file(self.clone_file()); // half a clone is none
        }
        let stderr = if output.stderr.is_empty() { output.stdout } else { output.stderr };
        self.shop.trouble("fossil", &Output { code: output.code, stdout: Vec::new(), stderr })
    }

    /// The check-in of a literal name, if it is here.
    async fn stat(&self, name: &str) -> Result<Option<Commit>, Error> {
        let hash = name.len() >= 4 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        // What is no hash is a tag or a branch, and neither a date nor another of fossil's own words.
        let spelled = if hash || name == TIP { name.to_owned() } else { format!("tag:{name}") };
        let output = self.local(&["info", "-R", CLONE, "--", &spelled]).await?;
        if output.code != Some(0) {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let (id, time) = parse(&text).ok_or_else(|| self.shop.malformed("fossil: a check-in"))?;
        let is_hash = id.starts_with(name);
        let resolved = if is_hash { Arc::clone(&id) } else { name.into() };
        let reference = (!is_hash || name.len() < 12).then(|| name.into());
        Ok(Some(Commit { short: id[..12].into(), id, time, resolved, tags: Vec::new(), reference }))
    }

    async fn find(&self, name: &str) -> Result<Commit, Error> {
        if !is_plain(name) {
            return Err(Error::unknown_revision(name));
        }
        if self.clone_file().exists()
            && !matches!(name, TRUNK | TIP)
            && let Some(commit) = self.stat(name).await?
        {
            return Ok(commit);
        }
        self.pull().await?;
        self.stat(name).await?.ok_or_else(|| Error::unknown_revision(name))
    }

    /// Makes sure that there is a clone: a check-in that was told of is in it.
    async fn bring(&self) -> Result<(), Error> {
        if self.clone_file().exists() { Ok(()) } else { self.pull().await }
    }

    async fn archive(&self, commit: &str, dir: &str) -> Result<Option<Box<dyn Tree>>, Error> {
        self.bring().await?;
        let name = "fossil.zip";
        let path = self.shop.place_for(name);
        let clone = self.clone_file();
        // A directory whose name is a pattern is not told to fossil; what is not of it is left out when reading.
        let include =
            (!dir.is_empty() && !dir.contains(['*', '?', '[', ']', ','])).then(|| format!("--include={dir}"));
        let mut arguments = vec!["zip", "-R", self.shop.text(&clone)?, "--name", "prefix"];
        arguments.extend(include.as_deref());
        arguments.extend(["--", commit, name]);
        // It takes an absolute target for a mistake, so that it runs where the target shall be.
        let errand = Errand { start: TEMPORARY, ..Errand::new("fossil", &arguments) };
        let output = self.shop.run(errand).await?;
        if output.code != Some(0) {
            return Err(self.shop.trouble("fossil", &output));
        }
        // Its `--include` knows files and no directories, so that nothing is below one. The go command takes that as
        // it comes, and the zip of a module below the root holds the LICENSE alone.
        self.shop.unzip_left(&path, dir).await.map(Some)
    }
}

/// The hash and the time of the line `hash: <40 hex digits> 2020-01-31 10:20:30 UTC` (older: `uuid:`).
///
/// Hashes of SHA-3 have 64 digits, and the go command takes no such check-in.
fn parse(text: &str) -> Option<(Arc<str>, Timestamp)> {
    let line = text.lines().find(|line| line.starts_with("hash:") || line.starts_with("uuid:"))?;
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, id, day, hour, "UTC"] = fields[..] else { return None };
    if id.len() != 40 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    Some((id.into(), Timestamp::parse(&format!("{day}T{hour}Z")).ok()?))
}

impl Repository for FossilRepository {
    /// None, ever; but a repository that cannot be reached is an error.
    fn refs(&self, _: Scope) -> Asking<'_, Arc<Refs>> {
        Box::pin(async {
            let _turn = self.shop.turn().await;
            self.pull().await?;
            Ok(Arc::new(Refs::default()))
        })
    }

    fn tip(&self) -> Asking<'_, Commit> {
        Box::pin(async {
            let _turn = self.shop.turn().await;
            self.find(TRUNK).await
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
            self.bring().await?;
            let revision = format!("-r={commit}");
            let arguments = ["cat", "-R", CLONE, &revision, "--", path];
            let output = self.run(&arguments, Stdout::Prefix(FILE_BYTES_MAX + 1), false).await?;
            Ok(matches!(output.code, Some(0) | None).then(|| output.stdout.into()))
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
