//! Against the real `git http-backend`. Requests are counted, and the counts are exact.

use modkeep_egress::Config;
use modkeep_store::{MinFree, Store, SystemClock};
use modkeep_testkit::git::{GitRepo, GitServer, Kind};
use url::Url;

use super::*;

/// A repository on a server of its own, and ours to read it with.
struct Rig {
    server: GitServer,
    made: GitRepo,
    store: Store,
    filters: Arc<Filters>,
    folder: tempfile::TempDir,
}

const PATH: &str = "example.com/fish";

impl Rig {
    fn new(kind: Kind, script: impl FnOnce(&mut GitRepo)) -> Self {
        let server = GitServer::start(kind);
        let mut made = server.repository(PATH);
        script(&mut made);
        made.save();
        Self::over(server, made)
    }

    fn over(server: GitServer, made: GitRepo) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = modkeep_store::Config { path: folder.path().join("data"), min_free: MinFree::Bytes(0) };
        let store = Store::open(config, Arc::new(SystemClock)).unwrap();
        Self { server, made, store, filters: Arc::default(), folder }
    }

    fn open(&self) -> GitRepository {
        self.open_with(None)
    }

    fn open_with(&self, zips: Option<Zips>) -> GitRepository {
        self.open_within(WireLimits::default(), zips)
    }

    fn open_within(&self, limits: WireLimits, zips: Option<Zips>) -> GitRepository {
        let url: Url = format!("{}/{PATH}", self.server.url().trim_end_matches('/')).parse().unwrap();
        let named = vec![modkeep_egress::HostPort::parse(&self.server.host()).unwrap()];
        let config = Config { named, ..Config::default() };
        let remote = Remote {
            original: "https://example.com/fish".to_owned(),
            url: url.clone(),
            login: None,
            insecure: false,
            configured: true,
        };
        GitRepository::open(Opening {
            remote,
            egress: Egress::new(config).unwrap(),
            workspace: self.store.workspace(url.as_str()).unwrap(),
            clock: Arc::new(SystemClock),
            refs_lifetime: Duration::from_mins(1),
            zips,
            filters: self.filters.clone(),
            limits,
        })
    }

    /// Requests since the last look.
    fn requests(&self) -> u64 {
        let requests = self.server.cost().requests;
        self.server.forget();
        requests
    }
}

fn two_versions(repo: &mut GitRepo) {
    repo.put("go.mod", "module example.com/fish\n")
        .put("fish.go", "package fish\n")
        .put("sub/go.mod", "module example.com/fish/sub\n");
    repo.commit("begin").tag("v1.0.0");
    repo.put("fish.go", "package fish // grown\n").commit("grow").annotated("v1.1.0");
}

#[tokio::test]
async fn a_go_mod_costs_four_requests_and_one_for_each_directory() {
    let mut rig = Rig::new(Kind::Full, two_versions);
    let repo = rig.open();
    let commit = repo.resolve("v1.1.0").await.unwrap();
    assert_eq!(rig.requests(), 3, "capabilities, refs, commit and root tree");
    assert_eq!(&*commit.id, rig.made.id("v1.1.0^{commit}"));
    assert_eq!((&*commit.resolved, commit.tags.len()), ("v1.1.0", 1));
    assert_eq!(commit.reference.as_deref(), Some("refs/tags/v1.1.0"));
    let go_mod = repo.file(&commit.id, "go.mod").await.unwrap().unwrap();
    assert_eq!((&go_mod[..], rig.requests()), (&b"module example.com/fish\n"[..], 1));
    let go_mod = repo.file(&commit.id, "sub/go.mod").await.unwrap().unwrap();
    assert_eq!((&go_mod[..], rig.requests()), (&b"module example.com/fish/sub\n"[..], 2));
    assert_eq!(repo.file(&commit.id, "sub/other").await.unwrap(), None);
    assert_eq!(repo.file(&commit.id, "sub").await.unwrap(), None);
    drop(repo);
    let again = rig.open();
    assert_eq!(again.resolve("v1.1.0").await.unwrap(), commit);
    again.file(&commit.id, "sub/go.mod").await.unwrap().unwrap();
    assert_eq!(rig.requests(), 2, "after a restart only the refs are asked for");
    let _ = &rig.folder;
}

/// The large hosts refuse `tree:1`: that costs one question, and no directory or file too many.
#[tokio::test]
async fn a_host_with_few_filters_is_not_asked_for_whole_commits() {
    let rig = Rig::new(Kind::FewFilters, |repo| {
        repo.put("go.mod", "module example.com/fish\n")
            .put("large", prose(1, 20_000))
            .commit("begin")
            .tag("v1.0.0");
        repo.put("large", prose(2, 20_000)).commit("grow").tag("v1.1.0");
    });
    for (version, requests, why) in [
        ("v1.0.0", 6, "capabilities, refs, a refusal, commit, directory, go.mod"),
        ("v1.1.0", 4, "an opened repository knows what its host refused; the go.mod is the same"),
    ] {
        let repo = rig.open();
        let commit = repo.resolve(version).await.unwrap();
        assert!(repo.file(&commit.id, "go.mod").await.unwrap().is_some());
        let bytes = rig.server.cost().bytes_out;
        assert_eq!(rig.requests(), requests, "{why}");
        assert!(bytes < 3_000, "{bytes} bytes");
    }
}

#[tokio::test]
async fn a_directory_on_the_way_brings_no_file_along() {
    let big = "package fish // ".to_owned() + &"0123456789abcdef".repeat(64 * 1024);
    let rig = Rig::new(Kind::Full, |repo| {
        repo.put("deep/er/go.mod", "module example.com/fish/deep/er\n");
        repo.put("deep/big.go", &big).put("deep/er/big.go", &big).commit("begin").tag("deep/er/v1.0.0");
    });
    let repo = rig.open();
    let commit = repo.resolve("deep/er/v1.0.0").await.unwrap();
    repo.file(&commit.id, "deep/er/go.mod").await.unwrap().unwrap();
    let cost = rig.server.cost();
    assert_eq!(cost.requests, 6, "{}", rig.server.told());
    assert!(cost.bytes_out < 2048, "{}", rig.server.told());
}

#[tokio::test]
async fn latest_needs_no_refs_of_its_own_where_the_list_has_them() {
    let rig = Rig::new(Kind::Full, two_versions);
    let repo = rig.open();
    let listed = repo.refs(Scope::Tags).await.unwrap();
    assert_eq!((repo.refs(Scope::TagsElseHead).await.unwrap(), rig.requests()), (listed, 2));
    let with_head = repo.refs(Scope::TagsAndHead).await.unwrap();
    assert!(with_head.head.is_some());
    assert_eq!(repo.refs(Scope::TagsElseHead).await.unwrap().tags, with_head.tags);
    assert_eq!(rig.requests(), 1);
}

#[tokio::test]
async fn a_whole_version_costs_three_requests() {
    let rig = Rig::new(Kind::Full, two_versions);
    let repo = rig.open();
    let refs = repo.refs(Scope::Tags).await.unwrap();
    let id = refs.tags["refs/tags/v1.0.0"].clone();
    repo.expect(&[Wanted { commit: id.clone(), path: String::new() }]).await.unwrap();
    let commit = repo.resolve("v1.0.0").await.unwrap();
    assert_eq!(commit.id, id);
    assert!(repo.file(&id, "go.mod").await.unwrap().is_some());
    let tree = repo.tree(&id, "").await.unwrap().unwrap();
    let names: Vec<_> =
        tree.entries().iter().map(|entry| String::from_utf8_lossy(&entry.path).into_owned()).collect();
    assert_eq!(names, ["fish.go", "go.mod", "sub/go.mod"]);
    assert_eq!(tree.read(0).unwrap(), b"package fish\n");
    assert_eq!(rig.requests(), 3);
}

fn a_branchy_one(repo: &mut GitRepo) {
    repo.put("a", "1").commit("one").tag("v0.1.0");
    repo.branch("side").put("b", "2").commit("two").tag("v0.2.0-side");
    repo.switch("main")
        .put("a", "3")
        .commit("three")
        .put("a", "4")
        .commit("four")
        .put("a", "5")
        .commit("five");
}

#[tokio::test]
async fn an_untagged_commit_costs_commits_and_one_tree() {
    let mut rig = Rig::new(Kind::Full, a_branchy_one);
    let repo = rig.open();
    let id = rig.made.id("main~1");
    let commit = repo.resolve(&id[..12]).await.unwrap();
    assert_eq!((&*commit.id, &*commit.short, &*commit.resolved), (&*id, &id[..12], &*id));
    assert_eq!((commit.reference.as_deref(), rig.requests()), (None, 3));
    let tags = repo.ancestor_tags(&id).await.unwrap().unwrap();
    assert_eq!(tags, [Arc::from("v0.1.0")]);
    assert_eq!(repo.descends_from(&id, "v0.1.0").await.unwrap(), Some(true));
    assert_eq!(repo.descends_from(&id, "v0.2.0-side").await.unwrap(), Some(false));
    assert_eq!(repo.descends_from(&id, "v9.9.9").await.unwrap(), Some(false));
    assert_eq!(rig.requests(), 0, "the history is here already, and all refs too");
    assert_eq!(repo.file(&id, "go.mod").await.unwrap(), None);
    assert_eq!(rig.requests(), 1, "one tree");
}

#[tokio::test]
async fn a_history_is_there_after_a_restart() {
    let mut rig = Rig::new(Kind::Full, a_branchy_one);
    let id = rig.made.id("main~1");
    assert_eq!(rig.open().resolve(&id[..12]).await.unwrap().id, id.as_str().into());
    rig.requests();
    let repo = rig.open();
    assert_eq!(repo.resolve(&id[..12]).await.unwrap().id, id.as_str().into());
    assert_eq!(repo.ancestor_tags(&id).await.unwrap().unwrap(), [Arc::from("v0.1.0")]);
    assert_eq!(rig.requests(), 2, "capabilities and refs");
    rig.made.put("a", "6").commit("six");
    rig.made.save();
    let repo = rig.open();
    let tip = repo.resolve("main").await.unwrap();
    assert_eq!(repo.ancestor_tags(&tip.id).await.unwrap().unwrap(), [Arc::from("v0.1.0")]);
    let asked = rig.server.asked();
    let last = asked.last().unwrap().text();
    assert!(last.contains("have ") && last.contains("filter tree:0"), "{last}");
}

#[tokio::test]
async fn names_mean_what_v90_says() {
    let mut rig = Rig::new(Kind::Full, |repo| {
        repo.put("a", "1").commit("one").tag("v1.0.0").tag("both");
        repo.put("a", "2").commit("two");
        let blob = repo.blob("x");
        repo.tag_object("v3.0.0", &blob);
        repo.branch("both").put("a", "3").commit("three");
        repo.branch("deadbeef").put("a", "4").commit("four").switch("main");
    });
    let (one, two, three, four) = (
        rig.made.id("v1.0.0"),
        rig.made.id("main"),
        rig.made.id("refs/heads/both"),
        rig.made.id("refs/heads/deadbeef"),
    );
    let repo = rig.open();
    for (name, id, reference) in [
        ("v1.0.0", &one, Some("refs/tags/v1.0.0")),
        ("both", &one, Some("refs/tags/both")),
        ("main", &two, Some("refs/heads/main")),
        ("HEAD", &two, Some("HEAD")),
        ("deadbeef", &four, Some("refs/heads/deadbeef")),
        (&three[..7], &three, Some("refs/heads/both")),
        (&three, &three, Some("refs/heads/both")),
        (&two[..12], &two, Some("HEAD")),
    ] {
        let commit = repo.resolve(name).await.unwrap();
        assert_eq!((&*commit.id, commit.reference.as_deref()), (&**id, reference), "{name}");
    }
}

#[tokio::test]
async fn hostile_b17_expressions_are_names_that_do_not_exist() {
    let mut rig = Rig::new(Kind::Full, |repo| {
        repo.put("a", "1").commit("one").tag("v1.0.0").put("a", "2").commit("two");
        let blob = repo.blob("x");
        repo.tag_object("v3.0.0", &blob); // V-93
    });
    let two = rig.made.id("main");
    let repo = rig.open();
    for name in [
        "v9.9.9",
        "v3.0.0",
        "nothing",
        &two[..6],
        &two.to_uppercase(),
        "HEAD~1",
        "HEAD^{}",
        "@",
        "@{-1}",
        "a..b",
        "all()",
        "branch(default)",
        "refs/heads/main",
        "heads/main",
        "v1.0.0^0",
        "0000000",
        &"0".repeat(40),
        "",
        "--upload-pack=x",
    ] {
        let error = repo.resolve(name).await.unwrap_err();
        assert!(
            matches!(&error, Error::NoVersion { reason } if *reason == format!("unknown revision {name}")),
            "{name}: {error:?}"
        );
    }
}

#[tokio::test]
async fn ten_versions_together_are_one_fetch() {
    let rig = Rig::new(Kind::Full, |repo| {
        for number in 0..10 {
            repo.put("go.mod", "module example.com/fish\n")
                .put("fish.go", format!("package fish // {number}\n"));
            repo.commit("more").tag(&format!("v1.{number}.0"));
        }
    });
    let repo = rig.open();
    let zip = async |number: usize| {
        let refs = repo.refs(Scope::Tags).await.unwrap();
        let id = refs.tags[&*format!("refs/tags/v1.{number}.0")].clone();
        repo.expect(&[Wanted { commit: id.clone(), path: String::new() }]).await.unwrap();
        repo.resolve(&format!("v1.{number}.0")).await.unwrap();
        let tree = repo.tree(&id, "").await.unwrap().unwrap();
        assert_eq!(tree.read(0).unwrap(), format!("package fish // {number}\n").into_bytes());
    };
    futures_util::future::join_all((0..10).map(zip)).await;
    assert_eq!(rig.requests(), 3);
}

#[tokio::test]
async fn servers_of_all_kinds_give_the_same_or_are_left_to_git() {
    let of_v2 = [Kind::Full, Kind::NoFilter, Kind::FewFilters];
    for (kind, sha256) in of_v2.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        let server = GitServer::start(kind);
        let mut made = if sha256 { server.repository_sha256(PATH) } else { server.repository(PATH) };
        two_versions(&mut made);
        made.save();
        let rig = Rig::over(server, made);
        let repo = rig.open();
        let commit = repo.resolve("v1.1.0").await.unwrap();
        assert_eq!(commit.id.len(), if sha256 { 64 } else { 40 });
        assert!(repo.file(&commit.id, "sub/go.mod").await.unwrap().is_some());
        assert_eq!(repo.ancestor_tags(&commit.id).await.unwrap().unwrap().len(), 2);
        let tree = repo.tree(&commit.id, "sub").await.unwrap().unwrap();
        assert_eq!(tree.read(0).unwrap(), b"module example.com/fish/sub\n");
        assert!(repo.tree(&commit.id, "nothing").await.unwrap().is_none());
    }
    for kind in [Kind::V1, Kind::V0, Kind::Dumb] {
        let rig = Rig::new(kind, two_versions);
        let error = rig.open().resolve("v1.1.0").await.unwrap_err();
        assert!(matches!(error, Error::NeedsGit { .. }), "{kind:?}: {error:?}");
    }
}

#[tokio::test]
async fn hostile_c20_a_server_that_sends_more_than_it_is_asked_for_changes_no_answer() {
    let rig = Rig::new(Kind::Deaf, a_growing_one);
    let honest = Rig::new(Kind::Full, a_growing_one);
    let shelves = [Shelf::default(), Shelf::default()];
    for rig_and_shelf in [(&rig, &shelves[0]), (&honest, &shelves[1])] {
        let (rig, shelf) = rig_and_shelf;
        let repo = rig.open_with(Some(shelf.zips()));
        for (dir, version) in [("", "v1.0.0"), ("", "v1.1.0"), ("nested", "v1.0.0"), ("nested", "v1.2.0")] {
            shelf.pack(rig, &repo, dir, version).await;
        }
        let tip = repo.resolve("main").await.unwrap();
        assert_eq!(repo.ancestor_tags(&tip.id).await.unwrap().unwrap().len(), 5);
    }
    let zips = |shelf: &Shelf| -> std::collections::BTreeMap<String, Vec<u8>> {
        let paths = shelf.0.lock().unwrap();
        paths.iter().map(|(version, path)| (version.clone(), std::fs::read(path).unwrap())).collect()
    };
    assert_eq!(zips(&shelves[0]), zips(&shelves[1]));
}

#[tokio::test]
async fn an_empty_repository_has_no_refs_and_no_tip() {
    let rig = Rig::new(Kind::Full, |_| {});
    let repo = rig.open();
    assert_eq!(*repo.refs(Scope::All).await.unwrap(), Refs::default());
    assert!(repo.tip().await.unwrap_err().is_absence());
    assert!(repo.resolve("v1.0.0").await.unwrap_err().is_absence());
}

/// Zips in memory files, by version; what the store is in the house.
#[derive(Clone, Default)]
struct Shelf(Arc<std::sync::Mutex<std::collections::HashMap<String, std::path::PathBuf>>>);

impl Shelf {
    fn zips(&self) -> Zips {
        let shelf = self.0.clone();
        Arc::new(move |version| {
            let shelf = shelf.lock().unwrap();
            File::open(shelf.get(&version.to_string())?).ok()
        })
    }

    /// Packs what the zip of a version holds, as the archive would, and says so to the repository.
    async fn pack(&self, rig: &Rig, repo: &GitRepository, dir: &str, version: &str) -> u64 {
        use modkeep_module::zip::rules::{Candidate, Limits, VendorRules, decide};
        let of = module_version(dir, version);
        let name = if dir.is_empty() { version.to_owned() } else { format!("{dir}/{version}") };
        let refs = repo.refs(Scope::Tags).await.unwrap();
        let id = refs.tags[&*format!("refs/tags/{name}")].clone();
        let whole = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        repo.expect(&[Wanted { commit: id.clone(), path: whole }]).await.unwrap();
        assert_eq!(repo.resolve(&name).await.unwrap().id, id);
        let tree = repo.tree(&id, dir).await.unwrap().unwrap();
        let candidates: Vec<_> =
            tree.entries().iter().map(|entry| Candidate { path: &entry.path, kind: entry.kind }).collect();
        let decided = decide(&candidates, VendorRules::Before124, &Limits::default());
        let kept = decided.kept();
        let mut files: Vec<(String, Vec<u8>)> = kept
            .map(|at| (String::from_utf8(tree.entries()[at].path.clone()).unwrap(), tree.read(at).unwrap()))
            .collect();
        if !dir.is_empty()
            && let Some(license) = repo.file(&id, "LICENSE").await.unwrap()
        {
            files.push(("LICENSE".to_owned(), license.to_vec())); // Z-20
        }
        let path = rig.folder.path().join(of.to_string().replace('/', "_"));
        modkeep_module::zip::write(files, &of, File::create(&path).unwrap()).unwrap();
        self.0.lock().unwrap().insert(of.to_string(), path.clone());
        repo.packed(&id, dir, &of).await;
        std::fs::metadata(path).unwrap().len()
    }
}

fn module_version(dir: &str, version: &str) -> ModuleVersion {
    let path = if dir.is_empty() { PATH.to_owned() } else { format!("{PATH}/{dir}") };
    let path = modkeep_module::ModulePath::parse(&path).unwrap();
    ModuleVersion::new(path, modkeep_module::Version::parse(version).unwrap()).unwrap()
}

/// Text that does not deflate to nothing.
fn prose(seed: u32, lines: u32) -> String {
    let mut state = seed;
    let mut word = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        format!("{state:08x} ")
    };
    let line = |_| ["// ".to_owned(), word(), word(), word(), "\n".to_owned()].concat();
    (0..lines).map(line).collect()
}

fn a_growing_one(repo: &mut GitRepo) {
    repo.put("go.mod", "module example.com/fish\n").put("LICENSE", prose(1, 50));
    for number in 0..50 {
        repo.put(format!("dir{}/file{number}.go", number % 7), prose(number, 60));
    }
    repo.put("nested/go.mod", "module example.com/fish/nested\n").put("nested/big.go", prose(99, 3000));
    repo.commit("one").tags(&["v1.0.0", "nested/v1.0.0"]);
    repo.put("dir1/file1.go", prose(1, 60) + "// changed\n").put("nested/big.go", prose(99, 3001));
    repo.commit("two").tag("v1.1.0");
    for number in 0..20 {
        repo.put("dir2/more.go", prose(1000 + number, 20)).commit("between");
    }
    repo.put("dir1/file1.go", prose(1, 60) + "// changed again\n")
        .commit("three")
        .tags(&["v1.2.0", "nested/v1.2.0"]);
}

#[tokio::test]
async fn a_second_version_costs_one_request_and_the_bytes_that_are_new() {
    let mut rig = Rig::new(Kind::Full, a_growing_one);
    rig.made.repack();
    let shelf = Shelf::default();
    let repo = rig.open_with(Some(shelf.zips()));
    let zip = shelf.pack(&rig, &repo, "", "v1.0.0").await;
    let first = rig.server.cost();
    assert_eq!(rig.requests(), 3);
    let kept: u64 = std::fs::read_dir(rig.store.workspace("x").unwrap().path().parent().unwrap())
        .unwrap()
        .flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|file| file.unwrap().metadata().unwrap())
        .filter(std::fs::Metadata::is_file)
        .map(|facts| facts.len())
        .sum();
    assert!(kept * 10 <= zip * 3, "{kept} bytes kept beside a zip of {zip}");
    for version in ["v1.1.0", "v1.2.0"] {
        shelf.pack(&rig, &repo, "", version).await;
        let cost = rig.server.cost();
        assert_eq!(rig.requests(), 1, "{version}");
        assert!(cost.bytes_out * 20 < first.bytes_out, "{cost:?} after {first:?}");
    }
    drop(repo);
    let again = rig.open_with(Some(shelf.zips()));
    shelf.pack(&rig, &again, "nested", "v1.0.0").await;
    assert_eq!(rig.requests(), 3, "another module of it is begun from nothing");
    shelf.pack(&rig, &again, "nested", "v1.2.0").await;
    assert_eq!(rig.requests(), 1);
}

#[tokio::test]
async fn a_difference_for_one_module_is_not_taken_for_the_modules_below_it() {
    let rig = Rig::new(Kind::Full, |repo| {
        repo.put("go.mod", "module example.com/fish\n").put("fish.go", prose(1, 9));
        repo.put("sub/go.mod", "module example.com/fish/sub\n").put("sub/sub.go", prose(2, 9));
        repo.put("sub/v2/go.mod", "module example.com/fish/sub/v2\n").put("sub/v2/two.go", prose(3, 9));
        repo.commit("one").tags(&["v1.0.0", "sub/v1.0.0", "sub/v2.0.0"]);
        repo.put("fish.go", prose(4, 9)).commit("two").tags(&["v1.1.0", "sub/v1.1.0"]);
    });
    let shelf = Shelf::default();
    let repo = rig.open_with(Some(shelf.zips()));
    for (dir, version) in [("", "v1.1.0"), ("", "v1.0.0"), ("sub", "v1.0.0"), ("sub", "v1.1.0")] {
        shelf.pack(&rig, &repo, dir, version).await;
    }
    let refs = repo.refs(Scope::Tags).await.unwrap();
    let tree = repo.tree(&refs.tags["refs/tags/sub/v2.0.0"], "sub/v2").await.unwrap().unwrap();
    assert_eq!(tree.read(1).unwrap(), prose(3, 9).as_bytes());
}

#[tokio::test]
async fn attributes_above_a_module_convert_what_a_difference_left_out() {
    let rig = Rig::new(Kind::Full, |repo| {
        repo.put(".gitattributes", "*.go eol=crlf\n").put("sub/go.mod", "module example.com/fish/sub\n");
        repo.put("sub/sub.go", "package sub\n").put("sub/deep/go.mod", "module example.com/fish/sub/deep\n");
        repo.put("sub/deep/deep.go", prose(2, 9)).commit("one").tag("sub/v1.0.0");
        repo.put("sub/sub.go", "package sub // new\n").commit("two").tag("sub/v1.1.0");
    });
    let shelf = Shelf::default();
    let repo = rig.open_with(Some(shelf.zips()));
    shelf.pack(&rig, &repo, "sub", "v1.0.0").await;
    shelf.pack(&rig, &repo, "sub", "v1.1.0").await;
    let refs = repo.refs(Scope::Tags).await.unwrap();
    let tree = repo.tree(&refs.tags["refs/tags/sub/v1.1.0"], "sub").await.unwrap().unwrap();
    let at = tree.entries().iter().position(|entry| entry.path == b"sub.go").unwrap();
    assert_eq!(tree.read(at).unwrap(), b"package sub // new\r\n");
}

#[tokio::test]
async fn files_larger_than_any_that_is_kept_are_fetched_once() {
    let large = |letter: &str| ["module example.com/fish\n// ", &letter.repeat(17 << 20)].concat();
    let rig = Rig::new(Kind::Full, |repo| {
        repo.put("go.mod", large("x")).commit("one").tag("v1.0.0");
        repo.put("go.mod", large("y")).commit("two").tag("v1.1.0");
    });
    let repo = rig.open();
    let commits: Vec<_> = repo.refs(Scope::Tags).await.unwrap().tags.values().cloned().collect();
    let wanted = commits.iter().map(|commit| Wanted { commit: commit.clone(), path: "go.mod".to_owned() });
    repo.expect(&wanted.collect::<Vec<_>>()).await.unwrap();
    for commit in &commits {
        let read = repo.file(commit, "go.mod").await.unwrap().unwrap();
        assert_eq!(read.len(), (16 << 20) + 1);
    }
    assert!(rig.requests() < 8, "a hint that cannot be met does not go round");
}

#[tokio::test]
async fn a_tag_on_a_file_is_no_revision() {
    let rig = Rig::new(Kind::Full, |repo| {
        repo.put("go.mod", "module example.com/fish\n").commit("one").tag_object("v1.5.0", "HEAD:go.mod");
    });
    let repo = rig.open();
    let refs = repo.refs(Scope::Tags).await.unwrap();
    let file = repo.file(&refs.tags["refs/tags/v1.5.0"], "go.mod").await;
    assert!(matches!(file, Err(Error::NoVersion { .. })), "{file:?}");
}

#[tokio::test]
async fn without_the_earlier_zip_a_second_version_is_fetched_whole() {
    let rig = Rig::new(Kind::Full, a_growing_one);
    let shelf = Shelf::default();
    let repo = rig.open_with(Some(shelf.zips()));
    shelf.pack(&rig, &repo, "", "v1.0.0").await;
    rig.requests();
    // Gone before it is asked for; and there, but with a file that is not what it was.
    shelf.0.lock().unwrap().clear();
    shelf.pack(&rig, &repo, "", "v1.1.0").await;
    assert_eq!(rig.requests(), 1);
    let of = module_version("", "v1.1.0");
    let path = rig.folder.path().join("damaged");
    let files = (0..50).map(|number| (format!("dir{}/file{number}.go", number % 7), "other"));
    modkeep_module::zip::write(files, &of, File::create(&path).unwrap()).unwrap();
    shelf.0.lock().unwrap().insert(of.to_string(), path);
    shelf.pack(&rig, &repo, "", "v1.2.0").await;
    assert_eq!(rig.requests(), 2, "the difference, and all files that the zip should have held");
}

#[tokio::test]
async fn hostile_c26_five_hundred_modules_at_once_are_one_fetch() {
    let rig = Rig::new(Kind::Full, |repo| {
        for number in 0..500 {
            repo.put(format!("m{number}/go.mod"), format!("module example.com/fish/m{number}\n"));
        }
        repo.commit("all").tag("v1.0.0");
        let names: Vec<String> = (0..500).map(|number| format!("m{number}/v1.0.0")).collect();
        repo.tags(&names.iter().map(String::as_str).collect::<Vec<_>>());
    });
    let repo = rig.open();
    let module = async |number: usize| {
        let refs = repo.refs(Scope::Tags).await.unwrap();
        let id = refs.tags[&*format!("refs/tags/m{number}/v1.0.0")].clone();
        repo.expect(&[Wanted { commit: id.clone(), path: format!("m{number}/") }]).await.unwrap();
        repo.resolve(&format!("m{number}/v1.0.0")).await.unwrap();
        let tree = repo.tree(&id, &format!("m{number}")).await.unwrap().unwrap();
        assert_eq!(tree.read(0).unwrap(), format!("module example.com/fish/m{number}\n").into_bytes());
    };
    futures_util::future::join_all((0..500).map(module)).await;
    assert_eq!(rig.requests(), 3);
}

#[tokio::test]
async fn a_caller_that_leaves_takes_nobody_along() {
    let rig = Rig::new(Kind::Full, two_versions);
    let repo = rig.open();
    let id = repo.refs(Scope::Tags).await.unwrap().tags["refs/tags/v1.0.0"].clone();
    for patience in [0, 1, 6, 10, 20] {
        let both = async { tokio::join!(repo.file(&id, "fish.go"), repo.file(&id, "go.mod")) };
        let _ = tokio::time::timeout(Duration::from_millis(patience), both).await;
        let leaving = tokio::time::timeout(Duration::from_millis(patience), repo.tree(&id, ""));
        let staying = repo.file(&id, "go.mod");
        let (_, stayed) = tokio::join!(leaving, staying);
        assert!(stayed.unwrap().is_some());
    }
    assert_eq!(repo.tree(&id, "").await.unwrap().unwrap().entries().len(), 3);
}

#[tokio::test]
async fn a_damaged_answer_is_no_version_and_leaves_nothing_behind() {
    use modkeep_testkit::git::Fault;
    let rig = Rig::new(Kind::Full, two_versions);
    let repo = rig.open();
    let id = repo.refs(Scope::Tags).await.unwrap().tags["refs/tags/v1.0.0"].clone();
    let empty_pack = b"000dpackfile\n0024\x01PACK\0\0\0\x02\0\0\0\0\x02\x9d\x08\x82\x3b\xd8\xa8\xea\xb5\x10\xad\x6a\xc7\x5c\x82\x3c\xfd\x3e\xd3\x1e0000";
    for fault in [
        Fault::Half,
        Fault::Hangup,
        Fault::Instead(empty_pack.to_vec()),
        Fault::Instead(b"0008NAK\n".to_vec()),
    ] {
        rig.server.fault("git-upload-pack", fault.clone());
        assert!(repo.tree(&id, "").await.is_err(), "{fault:?}");
        rig.server.mend();
    }
    assert_eq!(repo.tree(&id, "").await.unwrap().unwrap().entries().len(), 3);
}

/// C15, Z-1: neither what a server sends for one question nor what becomes of it on our disk grows beyond its limit.
#[tokio::test]
async fn what_one_fetch_may_bring_is_bounded() {
    let rig = Rig::new(Kind::Full, |repo| {
        repo.put("go.mod", "module example.com/fish\n").put("zeros", vec![0; 300_000]);
        repo.commit("begin").tag("v1.0.0");
    });
    let asked = async |fetch_bytes_max| {
        let repo = rig.open_within(WireLimits { fetch_bytes_max, ..WireLimits::default() }, None);
        let commit = repo.resolve("v1.0.0").await?;
        repo.tree(&commit.id, "").await.map(|tree| tree.is_some())
    };
    let few_bytes_many_zeros = asked(50_000).await.unwrap_err().to_string();
    assert!(
        few_bytes_many_zeros.contains("our limit: the disk space of one fetch"),
        "{few_bytes_many_zeros}"
    );
    let many_bytes = asked(300).await.unwrap_err().to_string();
    assert!(many_bytes.contains("larger than 300 bytes"), "{many_bytes}");
    assert!(asked(400_000).await.unwrap());
}
