//! Modules of every kind, made here: a small world that behaves like the public one.
//!
//! All paths are invented. [`ModuleWorld::every_kind`] holds what the real world's fixtures hold: capitals
//! beside their lower-case twin, `+incompatible`, pseudo-versions only, gopkg.in, a vanity host, nested
//! modules, major versions side by side, pre-releases, a deprecated and a retracted version, modules without
//! go.mod, a toolchain, and a program that needs most of them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;

use modkeep_module::{H1, ModulePath, ModuleVersion, Version, semver, zip};

/// One version of one module, complete.
#[derive(Clone, Debug)]
pub struct Release {
    /// The module path.
    pub module: String,
    /// The version.
    pub version: String,
    /// The `.info` answer.
    pub info: Vec<u8>,
    /// The `.mod` answer.
    pub go_mod: Vec<u8>,
    /// The `.zip` answer.
    pub zip: Vec<u8>,
    /// The sum of the zip.
    pub zip_h1: H1,
    /// The sum of go.mod.
    pub go_mod_h1: H1,
}

impl Release {
    /// The escaped path of one of its files, `example.com/!fish/@v/v1.0.0.zip`, for `ext` `zip`.
    pub fn file(&self, ext: &str) -> String {
        format!("{}/@v/{}.{ext}", escape(&self.module), escape_version(&self.version))
    }
}

/// A set of modules, each with its versions.
#[derive(Clone, Debug, Default)]
pub struct ModuleWorld {
    releases: Vec<Release>,
    retracted: Vec<(String, String)>,
}

impl ModuleWorld {
    /// A world without modules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Publishes a version made of these files. Without a file `go.mod`, the proxy's one is synthesised.
    ///
    /// # Panics
    /// When the path, the version or a file name is none by the rules: the world holds good modules only.
    pub fn add(&mut self, module: &str, version: &str, files: &[(&str, &[u8])]) -> &Release {
        let (zip, zip_h1) = pack(module, version, files);
        let own = files.iter().find(|(name, _)| *name == "go.mod").map(|(_, bytes)| bytes.to_vec());
        let go_mod = own.unwrap_or_else(|| format!("module {module}\n").into_bytes());
        let info = format!("{{\"Version\":\"{version}\",\"Time\":\"{}\"}}", time_of(version)).into_bytes();
        let go_mod_h1 = H1::of_go_mod(&go_mod);
        let (module, version) = (module.to_owned(), version.to_owned());
        self.releases.push(Release { module, version, info, go_mod, zip, zip_h1, go_mod_h1 });
        self.releases.last().expect("just pushed")
    }

    /// Publishes a version of a library: a go.mod and one package that has a function `Name`.
    pub fn add_library(&mut self, module: &str, version: &str) -> &Release {
        let go_mod = format!("module {module}\n\ngo 1.21\n");
        let source = library(module, version);
        self.add(module, version, &[("go.mod", go_mod.as_bytes()), ("lib.go", source.as_bytes())])
    }

    /// Publishes a version without a go.mod of its own.
    pub fn add_legacy(&mut self, module: &str, version: &str) -> &Release {
        let source = library(module, version);
        self.add(module, version, &[("lib.go", source.as_bytes()), ("LICENSE", b"Free as a bird.\n")])
    }

    /// `@latest` passes over this version from now on; the `retract` line is the module's own business.
    pub fn retract(&mut self, module: &str, version: &str) {
        self.retracted.push((module.to_owned(), version.to_owned()));
    }

    /// Every version, in the order of publication.
    pub fn releases(&self) -> &[Release] {
        &self.releases
    }

    /// One version.
    ///
    /// # Panics
    /// When the world has none such.
    pub fn release(&self, module: &str, version: &str) -> &Release {
        let wanted = |r: &&Release| r.module == module && r.version == version;
        self.releases.iter().find(wanted).unwrap_or_else(|| panic!("no {module}@{version} in this world"))
    }

    /// The GOPROXY tree: escaped path without leading slash, and content.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut modules: BTreeMap<&str, Vec<&Release>> = BTreeMap::new();
        for release in &self.releases {
            files.insert(release.file("info"), release.info.clone());
            files.insert(release.file("mod"), release.go_mod.clone());
            files.insert(release.file("zip"), release.zip.clone());
            modules.entry(&release.module).or_default().push(release);
        }
        for (module, mut releases) in modules {
            releases.sort_by(|a, b| semver::compare(&a.version, &b.version));
            let listed: String = releases
                .iter()
                .filter(|r| !is_pseudo(&r.version))
                .map(|r| r.version.clone() + "\n")
                .collect();
            files.insert(format!("{}/@v/list", escape(module)), listed.into_bytes());
            if let Some(latest) = self.latest(&releases) {
                files.insert(format!("{}/@latest", escape(module)), latest.info.clone());
            }
        }
        files
    }

    /// Writes the tree below a folder, for `file://` and static servers.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn write_tree(&self, folder: &Path) {
        for (path, bytes) in self.files() {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().expect("a file has a folder"))
                .expect("a folder for the tree");
            std::fs::write(path, bytes).expect("a file of the tree");
        }
    }

    /// The lines of a go.sum that names every version.
    pub fn go_sum(&self) -> String {
        let lines = |r: &Release| {
            format!("{0} {1} {2}\n{0} {1}/go.mod {3}\n", r.module, r.version, r.zip_h1, r.go_mod_h1)
        };
        self.releases.iter().map(lines).collect()
    }

    /// Releases before pre-releases before pseudo-versions (P-42); `releases` is ascending.
    fn latest<'a>(&self, releases: &[&'a Release]) -> Option<&'a Release> {
        let open = |r: &&&Release| !self.retracted.iter().any(|(m, v)| *m == r.module && *v == r.version);
        let rank = |version: &str| match version {
            v if is_pseudo(v) => 0,
            v if semver::prerelease(v).is_empty() => 2,
            _ => 1,
        };
        let order = |a: &&&Release, b: &&&Release| -> Ordering {
            let ranks = rank(&a.version).cmp(&rank(&b.version));
            ranks.then_with(|| semver::compare(&a.version, &b.version))
        };
        releases.iter().filter(open).max_by(order).copied()
    }
}

/// A zip of these files as module@version, and its sum.
///
/// # Panics
/// As [`ModuleWorld::add`].
pub fn pack(module: &str, version: &str, files: &[(&str, &[u8])]) -> (Vec<u8>, H1) {
    let mut zip = Vec::new();
    let h1 =
        zip::write(files.iter().copied(), &module_version(module, version), &mut zip).expect("a good module");
    (zip, h1)
}

/// The typed name of a version.
///
/// # Panics
/// When path or version is none.
pub fn module_version(module: &str, version: &str) -> ModuleVersion {
    let path = ModulePath::parse(module).expect("a module path");
    ModuleVersion::new(path, Version::parse(version).expect("a canonical version"))
        .expect("a version that fits")
}

/// A module path as it travels in URLs.
///
/// # Panics
/// When it is no module path.
pub fn escape(module: &str) -> String {
    ModulePath::parse(module).expect("a module path").escape().to_string()
}

fn escape_version(version: &str) -> String {
    Version::parse(version).expect("a canonical version").escape().into()
}

fn is_pseudo(version: &str) -> bool {
    Version::parse(version).is_ok_and(|v| v.is_pseudo())
}

/// A pseudo-version's own time, else a quiet day; the go command compares the former with the commit's.
fn time_of(version: &str) -> String {
    let stamp = version.rsplit('-').nth(1).and_then(|part| part.rsplit('.').next()).unwrap_or_default();
    if !is_pseudo(version) || stamp.len() != 14 {
        return "2026-03-04T05:06:07Z".to_owned();
    }
    let part = |from: usize, to: usize| &stamp[from..to];
    let (date, time) = (
        format!("{}-{}-{}", part(0, 4), part(4, 6), part(6, 8)),
        format!("{}:{}:{}", part(8, 10), part(10, 12), part(12, 14)),
    );
    format!("{date}T{time}Z")
}

/// The source of a package whose `Name` tells which module and version was built.
fn library(module: &str, version: &str) -> String {
    format!(
        "package {}\n\n// Name tells what was built.\nfunc Name() string {{ return \"{module}@{version}\" }}\n",
        package_name(module)
    )
}

fn package_name(module: &str) -> String {
    let mut elements = module.rsplit('/');
    let last = elements.next().unwrap_or(module);
    let is_major = last.len() > 1 && last.starts_with('v') && last[1..].bytes().all(|b| b.is_ascii_digit());
    let name = if is_major { elements.next().unwrap_or(last) } else { last };
    name.split('.').next().unwrap_or(name).to_ascii_lowercase()
}
