//! A repository on our own disk, asked through the git program: the reference that needs no network.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use modkeep_module::gomod::GO_MOD_BYTES_MAX;
use modkeep_module::time::Timestamp;

use crate::error::Error;
use crate::repository::{Asking, Commit, Refs, Repository, Scope, Tree, Wanted};

/// A bare repository, and what it was asked.
pub(super) struct LocalGit {
    path: PathBuf,
    asked: Mutex<Vec<String>>,
}

impl LocalGit {
    pub(super) fn open(path: &Path) -> Self {
        Self { path: path.to_owned(), asked: Mutex::default() }
    }

    /// The questions so far, in their order; forgets them.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// How many branches and tags there are.
    pub(super) fn refs_count(&self) -> usize {
        let refs = self.all_refs();
        refs.branches.len() + refs.tags.len()
    }

    fn note(&self, question: String) {
        self.asked.lock().unwrap().push(question);
    }

    fn git(&self, arguments: &[&str]) -> Option<Vec<u8>> {
        let mut command = Command::new("git");
        command.env_clear().env("PATH", std::env::var_os("PATH")?).env("GIT_CONFIG_GLOBAL", "/dev/null");
        let output = command.arg("--git-dir").arg(&self.path).args(arguments).output().unwrap();
        output.status.success().then_some(output.stdout)
    }

    fn text(&self, arguments: &[&str]) -> Option<String> {
        self.git(arguments).map(|bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    fn all_refs(&self) -> Refs {
        let mut refs = Refs::default();
        let path = self.path.to_string_lossy();
        let told = self.text(&["ls-remote", "-q", &path]).unwrap_or_default();
        for (id, name) in told.lines().filter_map(|line| line.split_once('\t')) {
            let plain = name.strip_suffix("^{}").unwrap_or(name);
            if name == "HEAD" {
                refs.head = Some(id.into());
            } else if name.starts_with("refs/heads/") {
                refs.branches.insert(plain.into(), id.into());
            } else if name.starts_with("refs/tags/") {
                refs.tags.insert(plain.into(), id.into()); // the peeled line follows, and stays
            }
        }
        refs
    }

    /// V-90, as on the first day of a clone.
    fn find(&self, rev: &str) -> Result<Commit, Error> {
        let refs = self.all_refs();
        let named = |name: String, refs: &BTreeMap<Arc<str>, Arc<str>>| {
            refs.get_key_value(name.as_str()).map(|(name, id)| (Arc::clone(id), Some(Arc::clone(name))))
        };
        let found = named(format!("refs/tags/{rev}"), &refs.tags)
            .or_else(|| named(format!("refs/heads/{rev}"), &refs.branches))
            .or_else(|| refs.head.clone().filter(|_| rev == "HEAD").map(|id| (id, Some(Arc::from("HEAD")))))
            .or_else(|| self.by_prefix(rev).map(|id| (id, None)));
        let (id, reference) = found.ok_or_else(|| Error::unknown_revision(rev))?;
        self.commit(&refs, &id, reference, rev)
    }

    /// One commit of the history of branches and tags.
    fn by_prefix(&self, rev: &str) -> Option<Arc<str>> {
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if !(7..=64).contains(&rev.len()) || !rev.bytes().all(is_hex) {
            return None;
        }
        let all = self.text(&["rev-list", "--branches", "--tags", "HEAD"])?;
        let mut found = all.lines().filter(|id| id.starts_with(rev));
        found.next().filter(|_| found.next().is_none()).map(Arc::from)
    }

    fn commit(&self, refs: &Refs, id: &str, reference: Option<Arc<str>>, rev: &str) -> Result<Commit, Error> {
        let unknown = || Error::unknown_revision(rev);
        let whole = self.text(&["rev-parse", "-q", "--verify", &format!("{id}^{{commit}}")]);
        whole.filter(|whole| whole == id).ok_or_else(unknown)?;
        let time = self.text(&["show", "-s", "--format=%ct", id]).ok_or_else(unknown)?;
        let short = |name: &Arc<str>| Arc::from(name.trim_start_matches("refs/tags/"));
        let on_it = refs.tags.iter().filter(|(_, tagged)| ***tagged == *id);
        let tags: Vec<Arc<str>> = on_it.map(|(name, _)| short(name)).collect();
        let is_tag = tags.iter().any(|tag| **tag == *rev);
        Ok(Commit {
            id: id.into(),
            short: id.get(..12).unwrap_or(id).into(),
            time: Timestamp { secs: time.parse().map_err(|_| unknown())?, nanos: 0 },
            resolved: if is_tag { rev.into() } else { id.into() },
            tags,
            reference,
        })
    }
}

impl Repository for LocalGit {
    fn refs(&self, scope: Scope) -> Asking<'_, Arc<Refs>> {
        self.note(format!("refs {scope:?}"));
        let mut refs = self.all_refs();
        if scope < Scope::All {
            refs.branches.clear();
        }
        if scope < Scope::TagsAndHead {
            refs.head = None;
        }
        Box::pin(async { Ok(Arc::new(refs)) })
    }

    fn tip(&self) -> Asking<'_, Commit> {
        self.note("tip".to_owned());
        Box::pin(async { self.find("HEAD") })
    }

    fn resolve<'a>(&'a self, revision: &'a str) -> Asking<'a, Commit> {
        self.note(format!("resolve {revision}"));
        Box::pin(async { self.find(revision) })
    }

    fn file<'a>(&'a self, commit: &'a str, path: &'a str) -> Asking<'a, Option<Bytes>> {
        self.note(format!("file {path}"));
        Box::pin(async move {
            if self.git(&["cat-file", "commit", commit]).is_none() {
                return Err(Error::unknown_revision(commit));
            }
            let mut content = self.git(&["cat-file", "blob", &format!("{commit}:{path}")]);
            if let Some(content) = &mut content {
                content.truncate(GO_MOD_BYTES_MAX + 1);
            }
            Ok(content.map(Bytes::from))
        })
    }

    fn expect<'a>(&'a self, wanted: &'a [Wanted]) -> Asking<'a, ()> {
        let paths: Vec<_> = wanted.iter().map(|wanted| wanted.path.as_str()).collect();
        self.note(format!("expect {}", paths.join(" ")));
        Box::pin(async { Ok(()) })
    }

    fn ancestor_tags<'a>(&'a self, commit: &'a str) -> Asking<'a, Option<Vec<Arc<str>>>> {
        self.note("history".to_owned());
        let merged = format!("--merged={commit}");
        let tags = self.text(&["for-each-ref", "--format=%(refname:lstrip=2)", &merged, "refs/tags"]);
        Box::pin(async { Ok(tags.map(|tags| tags.lines().map(Arc::from).collect())) })
    }

    fn descends_from<'a>(&'a self, commit: &'a str, tag: &'a str) -> Asking<'a, Option<bool>> {
        self.note(format!("history to {tag}"));
        let tag = format!("refs/tags/{tag}");
        let is_ancestor = self.git(&["merge-base", "--is-ancestor", &tag, commit]).is_some();
        Box::pin(async move { Ok(Some(is_ancestor)) })
    }

    fn tree<'a>(&'a self, _: &'a str, _: &'a str) -> Asking<'a, Option<Box<dyn Tree>>> {
        Box::pin(async { Ok(None) }) // versions never look at whole trees
    }

    fn repo_sum(&self) -> Asking<'_, Option<String>> {
        Box::pin(async { Ok(None) })
    }
}
