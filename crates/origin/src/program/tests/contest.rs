//! The real go command in GOPROXY=direct, asked the same questions about the same repositories.

use std::fmt::Write as _;

use modkeep_module::{ModulePath, ModuleVersion, VersionOrQuery};
use modkeep_store::{MinFree, Store, SystemClock};
use modkeep_testkit::Go;
use modkeep_testkit::pages::Pages;
use modkeep_testkit::programs::{FossilRepo, HgRepo, SvnRepo};
use serde_json::{Value, json};

use super::*;
use crate::archive::{pack, wants_license};
use crate::place::RepositoryPlace;
use crate::versions::Module;

const ROOT: &str = "example.org/m";

/// A repository on a server, known to the go command and to us as `example.org/m`.
struct Contest {
    go: Go,
    _pages: Pages,
    place: RepositoryPlace,
    repository: Box<dyn Repository>,
    store: Store,
    /// Everything that they disagreed on.
    apart: String,
    _folders: (TempDir, Rig),
}

impl Contest {
    /// `url` is what the go command is told, `ours` where our program goes.
    fn new(vcs: Vcs, url: &str, ours: Remote, host: &str) -> Self {
        let pages = Pages::start();
        pages.import(ROOT, &format!("{ROOT} {} {url}", vcs.name()));
        pages.below(ROOT);
        let go = pages
            .before(Go::new("direct", "off"))
            .with("GOVCS", "*:all")
            .with("GOINSECURE", ROOT)
            .with("GOFLAGS", "-mod=mod -modcacherw")
            .with("NO_PROXY", "127.0.0.1")
            .with("USER", "ann");
        go.write("go.mod", "module example.org/asking\n\ngo 1.24\n");
        let rig = Rig::new(&[host]);
        let repository = rig.open(vcs, Remote { original: url.to_owned(), ..ours }).unwrap();
        let place =
            RepositoryPlace { root: ROOT.to_owned(), vcs, url: url.to_owned(), subdirectory: String::new() };
        let folder = TempDir::new().unwrap();
        let config = modkeep_store::Config { path: folder.path().join("data"), min_free: MinFree::Bytes(0) };
        let store = Store::open(config, Arc::new(SystemClock)).unwrap();
        Self { go, _pages: pages, place, repository, store, apart: String::new(), _folders: (folder, rig) }
    }

    fn compare(&mut self, what: &str, ours: &Value, theirs: &Value) {
        if ours != theirs {
            write!(self.apart, "\n{what}\n    ours {ours}\n  theirs {theirs}").unwrap();
        }
    }

    /// The list, and of each query version, time and origin, the go.mod and the sum of the zip, or the reason why not.
    async fn agree(&mut self, path: &str, queries: &[&str]) {
        let path = ModulePath::parse(path).unwrap();
        let ours = self.list(&path).await;
        let run = self.go.run(&["list", "-m", "-e", "-json", "-versions", &format!("{path}@latest")]);
        let theirs: Value = serde_json::from_str(&run.stdout).unwrap();
        let theirs = theirs["Versions"].as_array().cloned().unwrap_or_default();
        self.compare(&format!("{path} list"), &json!(ours), &json!(theirs));
        for query in queries {
            let ours = self.ask(&path, query).await.unwrap_or_else(|error| json!(error.to_string()));
            let theirs = self.ask_go(&path, query);
            self.compare(&format!("{path}@{query}"), &ours, &theirs);
        }
    }

    fn ask_go(&self, path: &ModulePath, query: &str) -> Value {
        let run = self.go.run(&["mod", "download", "-json", &format!("{path}@{query}")]);
        let Ok(theirs) = serde_json::from_str::<Value>(&run.stdout) else { return json!(run.stderr) };
        if let Some(error) = theirs["Error"].as_str() {
            return json!(error);
        }
        let read = |name: &str| std::fs::read_to_string(theirs[name].as_str().unwrap()).unwrap();
        let mut info: Value = serde_json::from_str(&read("Info")).unwrap();
        info["Origin"] = theirs["Origin"].clone(); // the file remembers the query that came first
        json!({ "info": info, "mod": read("GoMod"), "sum": theirs["Sum"] })
    }

    async fn list(&self, path: &ModulePath) -> Vec<String> {
        let module = Module::new(path, &self.place, &*self.repository).unwrap();
        module.list().await.unwrap().0.iter().map(ToString::to_string).collect()
    }

    async fn ask(&self, path: &ModulePath, query: &str) -> Result<Value, Error> {
        let module = Module::new(path, &self.place, &*self.repository)?;
        let located = match query {
            "latest" => module.latest().await?,
            _ => module.stat(&VersionOrQuery::parse(path, query).unwrap()).await?,
        };
        let of = ModuleVersion::new(path.clone(), located.info.version().clone()).unwrap();
        let none = || Error::NoVersion { reason: "no files".to_owned() };
        let tree = self.repository.tree(&located.commit.id, &located.dir).await?.ok_or_else(none)?;
        let license = if wants_license(&*tree, &located.dir) {
            self.repository.file(&located.commit.id, "LICENSE").await?
        } else {
            None
        };
        let zip = pack(&*tree, license, &of, self.store.scratch().unwrap())?;
        let info: Value = serde_json::from_slice(&located.info.to_json()).unwrap();
        let go_mod = String::from_utf8(located.go_mod_bytes(path).to_vec()).unwrap();
        Ok(json!({ "info": info, "mod": go_mod, "sum": zip.facts().h1.to_string() }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hg_modules_are_those_of_the_go_command() {
    let folder = TempDir::new().unwrap();
    let mut repo = HgRepo::init(&folder.path().join("r"));
    repo.put("go.mod", "module example.org/m\n")
        .put("a.go", "package m\r\n")
        .put("LICENSE", "free\n")
        .link("l", "a.go");
    repo.commit("one").tag("v0.1.0");
    repo.put("sub/go.mod", "module example.org/m/sub\n")
        .put("sub/b.go", "package b\n")
        .commit("sub")
        .tag("sub/v0.1.0");
    repo.branch("dev").put("dev.go", "package m\n").commit("dev").switch("default");
    repo.put("a.go", "package m // two\n").commit("two").tag("v0.2.0").bookmark("mark");
    repo.put("a.go", "package m // three\n").commit("three");
    let server = repo.serve();
    let mut contest = Contest::new(Vcs::Hg, server.url(), remote(server.url()), server.host());
    let dev = repo.id("dev");
    contest.agree("example.org/m", &["v0.1.0", "default", "mark", "v0.9.0", &dev[..12], "latest"]).await;
    contest.agree("example.org/m/sub", &["v0.1.0", "dev", "nope", "latest"]).await;
    assert!(contest.apart.is_empty(), "{}", contest.apart);
}

#[tokio::test(flavor = "multi_thread")]
async fn svn_modules_are_those_of_the_go_command() {
    let folder = TempDir::new().unwrap();
    let mut repo = SvnRepo::init(folder.path());
    repo.put("trunk/go.mod", "module example.org/m\n")
        .put("trunk/a.go", "package m\r\n")
        .put("trunk/LICENSE", "free\n");
    repo.put("trunk/native.txt", "x\n").property("trunk/native.txt", "svn:eol-style", "native");
    repo.put("trunk/id.txt", "$Id$\n").property("trunk/id.txt", "svn:keywords", "Id").commit("one");
    repo.put("trunk/sub/go.mod", "module example.org/m/sub\n")
        .put("trunk/sub/b.go", "package b\n")
        .commit("two");
    repo.tag("v1.0.0");
    let server = repo.serve();
    let url = format!("{}/repository/trunk", server.url());
    let ours = remote(&format!("{}/trunk", repo.url()));
    let mut contest = Contest::new(Vcs::Svn, &url, ours, server.host());
    for path in ["example.org/m", "example.org/m/sub"] {
        contest.agree(path, &["2", "3", "000000000003", "99", "nope", "v1.0.0", "latest"]).await;
    }
    assert!(contest.apart.is_empty(), "{}", contest.apart);
}

#[tokio::test(flavor = "multi_thread")]
async fn fossil_modules_are_those_of_the_go_command() {
    let folder = TempDir::new().unwrap();
    let mut repo = FossilRepo::init(folder.path());
    repo.put("go.mod", "module example.org/m\n")
        .put("a.go", "package m\r\n")
        .put("LICENSE", "free\n")
        .commit("one");
    repo.tag("v1.0.0")
        .put("sub/go.mod", "module example.org/m/sub\n")
        .put("sub/b.go", "package b\n")
        .commit("two");
    repo.put("dev.go", "package m\n").branch("dev", "dev");
    let server = repo.serve();
    let mut contest = Contest::new(Vcs::Fossil, server.url(), remote(server.url()), server.host());
    let first = repo.id("v1.0.0");
    for path in ["example.org/m", "example.org/m/sub"] {
        contest.agree(path, &["trunk", "dev", &first[..12], "nope", "v1.0.0", "latest"]).await;
    }
    assert!(contest.apart.is_empty(), "{}", contest.apart);
}
