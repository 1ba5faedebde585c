//! Subversion through its program (versions-and-origins 11.3).
//!
//! There is no clone: each question goes to the server. Tags are directories, which are no versions; history does not
//! count.

mod exported;
mod xml;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use modkeep_egress::Credentials;
use modkeep_module::time::Timestamp;

use self::exported::Exported;
use super::FILE_BYTES_MAX;
use super::jail::{Output, Stdout, TEMPORARY};
use super::way::Way;
use super::workshop::{Errand, Workshop};
use crate::error::Error;
use crate::place::Login;
use crate::repository::{Asking, Commit, Refs, Repository, Scope, Tree};

/// What a list of all files may have, in bytes: a million names.
const LIST_BYTES_MAX: u64 = 512 << 20;
/// The settings folder, in the folder.
const SETTINGS: &str = "svn";
/// How svn says that there is no such path, or that it is a directory.
const NO_FILE: [&str; 4] = ["160013", "200009", "160017", "195007"];
/// How svn says that there is no such revision.
const NO_REVISION: [&str; 3] = ["160006", "160013", "205000"];

/// A Subversion repository behind its program.
pub(crate) struct SvnRepository {
    shop: Workshop,
    exports: AtomicU64,
}

impl SvnRepository {
    pub(super) fn new(shop: Workshop) -> Self {
        Self { shop, exports: AtomicU64::new(0) }
    }

    /// The URL without a slash at its end, to which paths and revisions are added.
    fn url(&self) -> &str {
        self.shop.remote.url.as_str().trim_end_matches('/')
    }

    async fn run(&self, command: &str, arguments: &[&str], stdout: Stdout) -> Result<Output, Error> {
        let way = self.shop.way().await?;
        let settings = self.shop.folder.join(SETTINGS);
        settle(&settings, &way).map_err(|error| self.shop.disk(&error))?;
        let mut all =
            vec![command, "--non-interactive", "--no-auth-cache", "--config-dir", self.shop.text(&settings)?];
        if self.shop.remote.insecure {
            all.push("--trust-server-cert-failures=unknown-ca,cn-mismatch,expired,not-yet-valid,other");
        }
        let mut input = String::new();
        if let Some(Login::Http(Credentials::Basic { user, password })) = &self.shop.remote.login {
            all.extend(["--username", user, "--password-from-stdin"]);
            input.clone_from(password);
        }
        all.extend(arguments);
        self.shop.run(Errand { way, stdout, input, ..Errand::new("svn", &all) }).await
    }

    /// Why a question had no answer.
    fn failed(&self, output: &Output) -> Error {
        if says(output, &["170001", "215004", "175013"]) {
            return Error::Login { host: self.shop.host(), reason: self.shop.words(output) };
        }
        self.shop.trouble("svn", output)
    }

    /// The last change at or before a revision; `latest` and `HEAD` name the youngest.
    async fn stat(&self, revision: &str) -> Result<Commit, Error> {
        let number =
            !revision.is_empty() && revision.len() <= 19 && revision.bytes().all(|b| b.is_ascii_digit());
        let target = match revision {
            "latest" => format!("{}@", self.url()), // the last `@` is svn's, not the URL's
            "HEAD" => format!("{}@HEAD", self.url()),
            _ if number => format!("{}@{revision}", self.url()),
            _ => return Err(Error::unknown_revision(revision)),
        };
        let output = self.run("log", &["-l1", "--xml", "--", &target], Stdout::AtMost(4 << 20)).await?;
        if output.code != Some(0) {
            let unknown = says(&output, &NO_REVISION);
            return Err(if unknown { Error::unknown_revision(revision) } else { self.failed(&output) });
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let (id, time) = parse(&text).ok_or_else(|| self.shop.malformed("svn: an entry of the log"))?;
        let short = format!("{id:012}").into();
        let id: Arc<str> = id.to_string().into();
        let is_number = id.starts_with(revision) && revision.len() >= 12;
        let reference = (!is_number).then(|| revision.into());
        Ok(Commit { resolved: Arc::clone(&id), id, short, time, tags: Vec::new(), reference })
    }

    /// The directories beside the trunk that are called tags. Their names keep the slash at their end.
    async fn tags(&self) -> Result<Refs, Error> {
        let root = self.url().strip_suffix("/trunk").unwrap_or(self.url());
        let output = self.run("list", &["--", &format!("{root}/tags@")], Stdout::AtMost(64 << 20)).await?;
        if output.code != Some(0) {
            let none = says(&output, &NO_FILE);
            return if none { Ok(Refs::default()) } else { Err(self.failed(&output)) };
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let tags = text.lines().map(|name| (format!("refs/tags/{name}").into(), Arc::from(""))).collect();
        Ok(Refs { tags, ..Refs::default() })
    }

    async fn export(&self, revision: &str, dir: &str) -> Result<Option<Box<dyn Tree>>, Error> {
        let source = if dir.is_empty() { self.url().to_owned() } else { format!("{}/{dir}", self.url()) };
        let target = format!("{source}@");
        let arguments = ["--xml", "--incremental", "--recursive", "--revision", revision, "--", &target];
        let output = self.run("list", &arguments, Stdout::AtMost(LIST_BYTES_MAX)).await?;
        if output.code != Some(0) {
            return if says(&output, &NO_FILE) { Ok(None) } else { Err(self.failed(&output)) };
        }
        let list = String::from_utf8_lossy(&output.stdout);
        let listed = files(&list).ok_or_else(|| self.shop.malformed("svn: a list of files"))?;
        let folder = self.export_folder();
        let export =
            ["--quiet", "--native-eol", "LF", "--ignore-externals", "--ignore-keywords", "--revision"];
        let place = self.shop.text(&folder)?;
        let arguments: Vec<&str> = export.into_iter().chain([revision, "--", &target, place]).collect();
        let output = self.run("export", &arguments, Stdout::AtMost(4 << 20)).await?;
        if output.code != Some(0) {
            let _ = fs::remove_dir_all(&folder);
            return Err(self.failed(&output));
        }
        let host = self.shop.host();
        let opened = tokio::task::spawn_blocking(move || Exported::open(folder, listed, &host)).await;
        let tree = opened.map_err(|failed| self.shop.disk(&std::io::Error::other(failed)))??;
        Ok(Some(Box::new(tree)))
    }

    fn export_folder(&self) -> PathBuf {
        let number = self.exports.fetch_add(1, Ordering::Relaxed);
        self.shop.folder.join(TEMPORARY).join(format!("export-{number}"))
    }
}

/// Writes the settings: nobody's passwords, no tunnels, our way out. The proxy's secret is worth nothing outside of this
/// process's life.
fn settle(folder: &Path, way: &Way) -> std::io::Result<()> {
    let mut servers =
        vec!["[global]".to_owned(), "http-timeout = 30".to_owned(), "store-passwords = no".to_owned()];
    if let Some((address, user, password)) = way.proxy_parts() {
        servers.push(format!("http-proxy-host = {}\nhttp-proxy-port = {}", address.ip(), address.port()));
        servers.push(format!("http-proxy-username = {user}\nhttp-proxy-password = {password}"));
    }
    if let Some(ca_file) = &way.ca_file {
        servers.push(format!("ssl-authority-files = {ca_file}\nssl-trust-default-ca = no"));
    }
    fs::create_dir_all(folder)?;
    fs::write(folder.join("servers"), servers.join("\n") + "\n")?;
    fs::write(
        folder.join("config"),
        "[auth]\npassword-stores =\nstore-auth-creds = no\n[tunnels]\nssh = false\n",
    )
}

/// Whether one of svn's numbers is in its complaints.
fn says(output: &Output, numbers: &[&str]) -> bool {
    let complaint = String::from_utf8_lossy(&output.stderr);
    numbers
        .iter()
        .any(|number| complaint.contains(&format!("E{number}")) || complaint.contains(&format!("W{number}")))
}

/// The revision and the time of the first entry of a log.
fn parse(log: &str) -> Option<(u64, Timestamp)> {
    let (attributes, entry) = xml::elements(log, "logentry").next()?;
    let revision = xml::attribute(attributes, "revision")?.parse().ok()?;
    Some((revision, Timestamp::parse(&xml::text_of(entry, "date")?).ok()?))
}

/// The files of a list, with their sizes.
fn files(list: &str) -> Option<Vec<(String, u64)>> {
    xml::elements(list, "entry")
        .filter(|(attributes, _)| xml::attribute(attributes, "kind").as_deref() == Some("file"))
        .map(|(_, entry)| Some((xml::text_of(entry, "name")?, xml::text_of(entry, "size")?.parse().ok()?)))
        .collect()
}

impl Repository for SvnRepository {
    fn refs(&self, _: Scope) -> Asking<'_, Arc<Refs>> {
        Box::pin(async {
            let _turn = self.shop.turn().await;
            Ok(Arc::new(self.tags().await?))
        })
    }

    fn tip(&self) -> Asking<'_, Commit> {
        Box::pin(async {
            let _turn = self.shop.turn().await;
            self.stat("latest").await
        })
    }

    fn resolve<'a>(&'a self, revision: &'a str) -> Asking<'a, Commit> {
        Box::pin(async move {
            let _turn = self.shop.turn().await;
            self.stat(revision).await
        })
    }

    fn file<'a>(&'a self, commit: &'a str, path: &'a str) -> Asking<'a, Option<Bytes>> {
        Box::pin(async move {
            let _turn = self.shop.turn().await;
            let target = format!("{}/{path}@{commit}", self.url());
            let output = self.run("cat", &["--", &target], Stdout::Prefix(FILE_BYTES_MAX + 1)).await?;
            match output.code {
                Some(0) | None => Ok(Some(output.stdout.into())),
                Some(_) if says(&output, &NO_FILE) => Ok(None),
                Some(_) => Err(self.failed(&output)),
            }
        })
    }

    fn tree<'a>(&'a self, commit: &'a str, dir: &'a str) -> Asking<'a, Option<Box<dyn Tree>>> {
        Box::pin(async move {
            let _turn = self.shop.turn().await;
            self.export(commit, dir).await
        })
    }
}

#[cfg(test)]
mod tests;
