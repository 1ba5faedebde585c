//! The real go command, asked the same questions in GOPROXY=direct.

use std::collections::BTreeMap;
use std::path::PathBuf;

use modkeep_module::{Version, info};
use modkeep_testkit::{GitRepo, Go};
use serde_json::Value;
use tempfile::TempDir;

use super::Asked;
use crate::error::Error;
use crate::versions::Located;

/// Repositories that stand for `https://…`, and a go command that finds them.
pub(super) struct Contest {
    folder: TempDir,
    go: Go,
}

impl Contest {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("gitconfig");
        let instead = format!("[url \"file://{}/\"]\n\tinsteadOf = https://\n", folder.path().display());
        std::fs::write(&config, instead).unwrap();
        let go = Go::new("direct", "off")
            .with("GIT_CONFIG_GLOBAL", config.to_str().unwrap())
            .with("GIT_ALLOW_PROTOCOL", "file:https")
            .with("GIT_TERMINAL_PROMPT", "0")
            .with("GOFLAGS", "-mod=mod -modcacherw")
            .with("GOVCS", "*:git");
        go.write("go.mod", "module example.org/asking\n\ngo 1.24\n");
        Self { folder, go }
    }

    /// A new repository at `https://<at>`.
    pub(super) fn repository(&self, at: &str) -> GitRepo {
        let path = self.path(at);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        GitRepo::init(&path)
    }

    /// A new repository at `https://<at>` with SHA-256 ids.
    pub(super) fn repository_sha256(&self, at: &str) -> GitRepo {
        let path = self.path(at);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        GitRepo::init_sha256(&path)
    }

    fn path(&self, at: &str) -> PathBuf {
        self.folder.path().join(at.strip_suffix(".git").unwrap_or(at))
    }

    /// Asks both about the list, `latest` and these queries, and about the go.mod of every version that came up;
    /// they must agree on each word.
    #[track_caller]
    pub(super) fn agree(&self, path: &str, root: &str, queries: &[&str]) {
        let ours = Asked::new(path, root, &self.path(root));
        let listed = ours.list().unwrap_or_default();
        let queries = in_order(queries, &listed);
        let theirs = self.ask_go(path, &queries);
        let mut apart = Vec::new();
        let mut compare = |what: &str, ours: &str, theirs: &str| {
            if ours != theirs {
                apart.push(format!("{path}@{what}\n    ours {ours}\n  theirs {theirs}"));
            }
        };
        compare("list", &told_list(ours.list()), &theirs.list);
        let mut versions = Vec::new();
        for query in &queries {
            let answer = if *query == "latest" { ours.latest() } else { ours.stat(query) };
            versions.extend(answer.as_ref().ok().map(|located| located.info.version().clone()));
            compare(query, &line(query, answer), &theirs.answers[*query]);
        }
        versions.sort();
        versions.dedup();
        let cache = self.cache_of(&ours, &versions);
        for version in versions {
            let located = ours.stat(version.as_str()).unwrap();
            let files = |extension: &str| {
                let file = cache.join(format!("@v/{}.{extension}", version.escape()));
                std::fs::read_to_string(file).unwrap_or_else(|error| error.to_string())
            };
            let go_mod = String::from_utf8(ours.go_mod(version.as_str()).unwrap()).unwrap();
            compare(&format!("{version}.mod"), &go_mod, &files("mod"));
            // Its ref is that of the query which came to the version last.
            let refless = |origin: &info::Origin| info::Origin { reference: String::new(), ..origin.clone() };
            let settled = |info: info::Info| format!("{:?}", info.settled().origin().map(refless));
            let theirs = info::Info::parse(files("info").as_bytes());
            let theirs = theirs.map_or_else(|error| error.to_string(), settled);
            compare(&format!("{version}.info"), &settled(located.info), &theirs);
        }
        assert!(apart.is_empty(), "{}", apart.join("\n"));
    }

    /// The part of the module cache that has these versions.
    fn cache_of(&self, ours: &Asked, versions: &[Version]) -> PathBuf {
        if !versions.is_empty() {
            let mut arguments = vec!["mod".to_owned(), "download".to_owned(), "-json".to_owned()];
            arguments.extend(versions.iter().map(|version| format!("{}@{version}", ours.path)));
            self.go.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        }
        self.go.module_cache().join("cache/download").join(ours.path.escape().as_str())
    }

    fn ask_go(&self, path: &str, queries: &[&str]) -> Theirs {
        let mut arguments: Vec<_> = ["list", "-m", "-e", "-json"].map(str::to_owned).into();
        arguments.extend(queries.iter().map(|query| format!("{path}@{query}")));
        let run = self.go.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let answers = serde_json::Deserializer::from_str(&run.stdout).into_iter::<Value>();
        let answers: Vec<_> = answers.map(Result::unwrap).collect();
        assert_eq!(answers.len(), queries.len(), "{}{}", run.stdout, run.stderr);
        let answers = queries.iter().zip(answers);
        let answers = answers.map(|(query, answer)| ((*query).to_owned(), their_line(query, &answer)));
        let listed = ["list", "-m", "-e", "-json", "-versions", "-retracted", &format!("{path}@latest")];
        let versions = self.go.run(&listed);
        let listed: Value = serde_json::from_str(&versions.stdout).unwrap();
        let list = listed["Versions"].as_array().cloned().unwrap_or_default();
        let list: Vec<_> = list.iter().filter_map(Value::as_str).collect();
        Theirs { list: list.join(" "), answers: answers.collect() }
    }
}

/// What the go command said.
struct Theirs {
    list: String,
    answers: BTreeMap<String, String>,
}

fn told_list(list: Result<Vec<String>, Error>) -> String {
    list.map_or_else(|error| error.to_string(), |versions| versions.join(" "))
}

/// The order in which no answer changes a later one. One go command remembers under which ref it saw a version first.
fn in_order<'q>(queries: &[&'q str], listed: &'q [String]) -> Vec<&'q str> {
    let is_version = |query: &&str| Version::parse(query).is_ok();
    let (versions, others): (Vec<_>, Vec<_>) = queries.iter().copied().partition(is_version);
    let mut ordered: Vec<_> = listed.iter().map(String::as_str).chain(versions).collect();
    ordered.sort_unstable();
    ordered.dedup();
    ordered.push("latest");
    ordered.extend(others);
    ordered
}

/// Whether the query names a commit, by its id or as HEAD: under which ref go finds it depends on what it fetched before.
fn names_a_commit(query: &str) -> bool {
    let is_hex = query.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    is_hex || query == "HEAD" || modkeep_module::pseudo::is_pseudo(query)
}

fn line(query: &str, answer: Result<Located, Error>) -> String {
    let located = match answer {
        Ok(located) => located,
        Err(error) => return error.to_string(),
    };
    let mut origin = located.info.origin().cloned();
    if let Some(origin) = origin.as_mut().filter(|_| names_a_commit(query)) {
        origin.reference.clear();
    }
    let time = located.info.time().map(|time| time.to_string());
    format!("{} {time:?} {origin:?}", located.info.version())
}

fn their_line(query: &str, answer: &Value) -> String {
    if let Some(error) = answer["Error"]["Err"].as_str() {
        return error.to_owned();
    }
    let field = |name: &str| answer["Origin"][name].as_str().unwrap_or_default().to_owned();
    let origin = answer["Origin"].as_object().map(|_| info::Origin {
        vcs: field("VCS"),
        url: field("URL"),
        subdir: field("Subdir"),
        hash: field("Hash"),
        tag_prefix: field("TagPrefix"),
        tag_sum: field("TagSum"),
        reference: if names_a_commit(query) { String::new() } else { field("Ref") },
        repo_sum: field("RepoSum"),
    });
    let time = answer["Time"].as_str().map(str::to_owned);
    format!("{} {time:?} {origin:?}", answer["Version"].as_str().unwrap_or_default())
}

/// The pseudo-version of a commit of a repository.
pub(super) fn pseudo(head: &str, repository: &mut GitRepo, revision: &str) -> String {
    let time = repository.git(&["show", "-s", "--format=%cd", "--date=format-local:%Y%m%d%H%M%S", revision]);
    let id = repository.id(&format!("{revision}^{{commit}}"));
    format!("{head}{time}-{}", &id[..12])
}
