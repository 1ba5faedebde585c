//! The real go command in GOPROXY=direct, asked the same questions about the same repositories.

use std::collections::BTreeMap;

use modkeep_module::{H1, ModulePath, ModuleVersion, VersionOrQuery};
use modkeep_store::{MinFree, Store, SystemClock};
use modkeep_testkit::Go;
use modkeep_testkit::differential::questions::wrong_pseudo_versions;
use modkeep_testkit::differential::{Answers, Known, Oracle, Question, Refused, compare};
use modkeep_testkit::pages::Pages;
use modkeep_testkit::programs::{FossilRepo, HgRepo, SvnRepo};

use super::*;
use crate::archive::{pack, wants_license};
use crate::place::RepositoryPlace;
use crate::versions::Module;

const ROOT: &str = "example.org/m";

/// Names that nobody has, or that mean something only here.
const ODD: [&str; 6] = ["nobody", "v9.9.9", "v0.0.1", "v1.0.0+meta", "v2.0.0", "v2.0.0+incompatible"];

/// A repository on a server, known to the go command and to us as `example.org/m`.
struct Contest {
    pages: Pages,
    place: RepositoryPlace,
    repository: Box<dyn Repository>,
    store: Store,
    _folders: (TempDir, Rig),
}

impl Contest {
    /// `url` is what the go command is told, `ours` where our program goes.
    fn new(vcs: Vcs, url: &str, ours: Remote, host: &str) -> Self {
        let pages = Pages::start();
        pages.import(ROOT, &format!("{ROOT} {} {url}", vcs.name()));
        pages.below(ROOT);
        let rig = Rig::new(&[host]);
        let repository = rig.open(vcs, Remote { original: url.to_owned(), ..ours }).unwrap();
        let place =
            RepositoryPlace { root: ROOT.to_owned(), vcs, url: url.to_owned(), subdirectory: String::new() };
        let folder = TempDir::new().unwrap();
        let config = modkeep_store::Config { path: folder.path().join("data"), min_free: MinFree::Bytes(0) };
        let store = Store::open(config, Arc::new(SystemClock)).unwrap();
        Self { pages, place, repository, store, _folders: (folder, rig) }
    }

    /// A go command that knows nothing yet.
    fn go(&self) -> Go {
        let go = self.pages.before(Go::new("direct", "off"));
        let go = go.with("GOVCS", "*:all").with("GOINSECURE", ROOT).with("GOFLAGS", "-mod=mod -modcacherw");
        let go = go.with("NO_PROXY", "127.0.0.1").with("USER", "ann");
        go.write("go.mod", "module example.org/asking\n\ngo 1.24\n");
        go
    }

    /// Of each path the list and latest; of each of its names, and of the pseudo-versions that they become: version,
    /// time, origin, go.mod, both sums, or the class and sentence of the refusal. The first path is also asked for odd
    /// names and for wrong pseudo-versions. All must be the same; `answered` of them at least must have an answer.
    async fn agree(&self, asked: &[(&str, &[&str])], answered: usize) {
        let oracle = Oracle::new(|| self.go());
        let mut questions: Vec<Question> = ODD.iter().map(|name| Question::new(asked[0].0, name)).collect();
        for (path, names) in asked {
            questions.extend(names.iter().map(|name| Question::new(path, name)));
        }
        let (versions, commits): (Vec<_>, Vec<_>) =
            questions.into_iter().partition(|question| question.query.starts_with('v'));
        let paths: Vec<&str> = asked.iter().map(|(path, _)| *path).collect();
        let mut go = oracle.download(&versions);
        go.known.extend(oracle.download(&commits).known);
        let pseudo = pseudo_versions(paths[0], &go);
        go.known.extend(oracle.download(&pseudo).known);
        let known = |path: &str| {
            let mut known = go.known.iter().filter(|(question, _)| question.path == path);
            known.find_map(|(_, known)| Some(known.as_ref().ok()?.version.clone()))
        };
        let with_known: BTreeMap<_, _> = paths.iter().map(|path| ((*path).to_owned(), known(path))).collect();
        let lists = oracle.lists(&with_known);
        let mut ours = Answers::default();
        for path in &paths {
            ours.lists.insert((*path).to_owned(), self.list(path).await.map_err(|e| told(path, &e)));
        }
        go.known.extend(lists.known);
        go.lists.extend(lists.lists);
        for question in go.known.keys() {
            ours.known.insert(question.clone(), self.ask(question).await);
        }
        let apart = compare(&go, &ours);
        assert!(apart.is_empty(), "{apart:#?}");
        let found = ours.known.values().filter(|known| known.is_ok()).count();
        assert!(found >= answered, "{found} of {} answered", go.known.len());
    }

    async fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        let path = ModulePath::parse(path).unwrap();
        let module = Module::new(&path, &self.place, &*self.repository)?;
        let mut versions: Vec<_> = module.list().await?.0.iter().map(ToString::to_string).collect();
        versions.sort();
        Ok(versions)
    }

    async fn ask(&self, question: &Question) -> Result<Known, Refused> {
        let refused = |error: Error| told(&question.path, &error);
        let path = ModulePath::parse(&question.path).unwrap();
        let module = Module::new(&path, &self.place, &*self.repository).map_err(refused)?;
        let query = VersionOrQuery::parse(&path, &question.query).unwrap();
        let located = match query.as_str() {
            "latest" => module.latest().await.map_err(refused)?,
            _ => module.stat(&query).await.map_err(refused)?,
        };
        let info = match query {
            VersionOrQuery::Version(_) => located.info.clone().settled(),
            VersionOrQuery::Query(_) => located.info.clone(),
        };
        let known = Known::of_info(&info.to_json())?;
        if query.as_str() == "latest" {
            return Ok(known);
        }
        let version = info.version();
        let go_mod = located.go_mod_bytes(&path).to_vec();
        let of = ModuleVersion::new(path.clone(), version.clone()).unwrap();
        let zip = self.zip(&of, &located.commit.id, &located.dir).await.map_err(refused);
        Ok(Known { go_mod_h1: H1::of_go_mod(&go_mod).to_string(), go_mod, zip, ..known })
    }

    async fn zip(&self, of: &ModuleVersion, commit: &str, dir: &str) -> Result<String, Error> {
        let none = || Error::NoVersion { reason: "no files".to_owned() };
        let tree = self.repository.tree(commit, dir).await?.ok_or_else(none)?;
        let license =
            if wants_license(&*tree, dir) { self.repository.file(commit, "LICENSE").await? } else { None };
        Ok(pack(&*tree, license, of, self.store.scratch().unwrap())?.facts().h1.to_string())
    }
}

/// The pseudo-versions among the answers, and every second wrong one made from the first of this path.
fn pseudo_versions(path: &str, go: &Answers) -> Vec<Question> {
    let known = go.known.iter().filter_map(|(question, known)| {
        let version = &known.as_ref().ok()?.version;
        modkeep_module::pseudo::is_pseudo(version).then(|| Question::new(&question.path, version))
    });
    let mut right: Vec<Question> = known.collect();
    let of_path = right.iter().find(|question| question.path == path);
    let wrong = of_path.map(|right| wrong_pseudo_versions(&right.query)).unwrap_or_default();
    // To hg the last possible id means the working copy, whose time is now.
    let wrong = wrong.into_iter().filter(|version| !version.contains("-ffffffffffff")).step_by(2);
    right.extend(wrong.map(|version| Question::new(path, &version)));
    right
}

/// The class and the sentence of a refusal, as the edge tells them.
fn told(path: &str, error: &Error) -> Refused {
    let final_no = error.is_absence() || matches!(error, Error::Unfit { .. } | Error::TooLarge { .. });
    Refused { trouble: Some(!final_no), ..Refused::new(path, &error.to_string()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn hg_modules_are_those_of_the_go_command() {
    let folder = TempDir::new().unwrap();
    let mut repo = HgRepo::init(&folder.path().join("r"));
    repo.put("go.mod", "module example.org/m\n").put("a.go", "package m\r\n").put("LICENSE", "free\n");
    repo.link("l", "a.go").put("vendor/modules.txt", "#\n").put("vendor/x/x.go", "package x\n");
    repo.commit("one").tag("v0.1.0");
    repo.put("sub/go.mod", "module example.org/m/sub\n").put("sub/b.go", "package b\n");
    repo.commit("sub").tag("sub/v0.1.0");
    repo.branch("dev").put("dev.go", "package m\n").commit("dev");
    repo.branch("two").put("go.mod", "module example.org/m/v2\n").commit("two").tag("v2.0.0");
    repo.put("v3/go.mod", "module example.org/m/v3\n")
        .put("v3/c.go", "package c\n")
        .commit("three")
        .tag("v3.0.0");
    repo.switch("default");
    repo.put("a.go", "package m // two\n").commit("two").tag("v0.2.0").bookmark("mark").tag("v0.3.0-rc.1");
    repo.put("aux.go", "package m\n").commit("a name that is refused").tag("v0.4.0");
    repo.hg(&["remove", "aux.go"]);
    repo.put("go.mod", "module example.org/m\n\nretract v0.4.0\n").commit("three").tag("v0.5.0");
    repo.put("a.go", "package m // three\n").commit("four");
    let server = repo.serve();
    let contest = Contest::new(Vcs::Hg, server.url(), remote(server.url()), server.host());
    let (dev, tip, tagged) = (repo.id("dev"), repo.id("tip"), repo.id("v0.2.0"));
    let names = ["v0.1.0", "v0.4.0", "v0.5.0", "default", "mark", &dev[..12], &tip[..12], &tagged[..12]];
    let asked = [
        ("example.org/m", &names[..]),
        ("example.org/m/sub", &["v0.1.0", "dev"]),
        ("example.org/m/v2", &["v2.0.0", "default"]),
        ("example.org/m/v3", &["v3.0.0"]),
    ];
    contest.agree(&asked, 12).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hg_modules_without_go_mod_are_those_of_the_go_command() {
    let folder = TempDir::new().unwrap();
    let mut repo = HgRepo::init(&folder.path().join("r"));
    repo.put("a.go", "package m\n").commit("one").tag("v1.0.0").tag("v2.0.0").tag("other");
    repo.put("b.go", "package m\n").put("B.go", "package m\n").commit("names that collide").tag("v3.0.0");
    repo.hg(&["remove", "B.go"]);
    repo.put("c.go", "package m\n")
        .commit("two")
        .tag("v3.1.0-pre")
        .put("d.go", "package m\n")
        .commit("three");
    let server = repo.serve();
    let contest = Contest::new(Vcs::Hg, server.url(), remote(server.url()), server.host());
    let tip = repo.id("tip");
    let names =
        ["v1.0.0", "v3.0.0", "v3.1.0-pre", "v3.1.0-pre+incompatible", "v1.0.0+incompatible", "other", &tip];
    contest.agree(&[("example.org/m", &names), ("example.org/m/v2", &["v2.0.0"])], 9).await;
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
    repo.put("trunk/crlf.txt", "a\r\nb\r\n").property("trunk/crlf.txt", "svn:eol-style", "CRLF");
    repo.put("trunk/v2/go.mod", "module example.org/m/v2\n")
        .put("trunk/v2/c.go", "package c\n")
        .commit("three");
    repo.put("trunk/aux.go", "package m\n").commit("a name that is refused");
    let server = repo.serve();
    let url = format!("{}/repository/trunk", server.url());
    let ours = remote(&format!("{}/trunk", repo.url()));
    let contest = Contest::new(Vcs::Svn, &url, ours, server.host());
    let names = ["1", "2", "5", "6", "000000000003", "99", "trunk", "HEAD"];
    let asked = [
        ("example.org/m", &names[..]),
        ("example.org/m/sub", &["2", "3", "v1.0.0"]),
        ("example.org/m/v2", &["5", "3"]),
        ("example.org/m/none", &["3"]),
    ];
    contest.agree(&asked, 9).await;
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
    repo.tag("other").put("v2/go.mod", "module example.org/m/v2\n").commit("three");
    repo.put("dev.go", "package m\n").branch("dev", "dev");
    let server = repo.serve();
    let contest = Contest::new(Vcs::Fossil, server.url(), remote(server.url()), server.host());
    let (first, dev) = (repo.id("v1.0.0"), repo.id("dev"));
    let names = ["trunk", "dev", "other", "tip", &first, &first[..12], &dev[..12]];
    let asked = [
        ("example.org/m", &names[..]),
        ("example.org/m/sub", &["trunk", "v1.0.0", &first[..12]]),
        ("example.org/m/v2", &["trunk", "other"]),
        ("example.org/m/none", &["trunk"]),
    ];
    contest.agree(&asked, 9).await;
}
