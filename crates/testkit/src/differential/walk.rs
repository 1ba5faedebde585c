//! One walk: all questions of all sites, both sides, the comparison.

use std::collections::{BTreeMap, BTreeSet};

use super::questions::{self, Questions};
use super::{Answers, Oracle, Question, Report, Site, compare, ours, report::Difference};

/// How much is asked of one repository.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Scale {
    /// Commits, evenly over the history.
    pub commits: usize,
    /// Branches, the first by name.
    pub branches: usize,
    /// Tips whose trees are searched for go.mod files.
    pub trees: usize,
    /// Folders with a go.mod and without a tag.
    pub folders: usize,
}

impl Scale {
    /// For small generated repositories: all of it.
    pub const ALL: Self = Self { commits: 24, branches: 50, trees: 50, folders: 10 };
    /// For repositories of the world: all versions, some of the rest.
    pub const LARGE: Self = Self { commits: 3, branches: 3, trees: 40, folders: 2 };
}

/// Walks the sites; `base` is the URL of a running modkeep. `published` has sums that must be met:
/// `path version` and `path version/go.mod`.
///
/// # Panics
/// When a side cannot be asked.
pub fn walk(
    sites: &[Site],
    scale: Scale,
    oracle: &Oracle<'_>,
    base: &str,
    published: &BTreeMap<String, String>,
) -> Report {
    let mut all: Vec<Questions> = sites.iter().map(|site| questions::of(site, scale)).collect();
    for of_one in &mut all {
        of_one.versions.extend(published_versions(published, &of_one.paths));
    }
    let go = ask_go(&all, oracle);
    let questions: Vec<Question> = go.known.keys().filter(|q| q.query != "latest").cloned().collect();
    let paths: Vec<String> = all.iter().flat_map(|of_one| of_one.paths.iter().cloned()).collect();
    let ours = ours(base, &questions, &paths);
    let mut differences = compare(&go, &ours);
    let published_met = meet(&ours, published, &mut differences);
    let answers = || ours.known.iter().filter_map(|(q, answer)| Some((q, answer.as_ref().ok()?)));
    let zipped = answers().filter(|(_, known)| known.zip.as_ref().is_ok_and(|sum| !sum.is_empty()));
    let zips: BTreeSet<_> = zipped.map(|(question, known)| (&question.path, &known.version)).collect();
    Report {
        repositories: sites.len(),
        modules: paths.len(),
        questions: questions.len() + 2 * paths.len(),
        found: answers().count(),
        zips: zips.len(),
        published_met,
        differences,
    }
}

/// The versions of these module paths whose sums are published: pseudo-versions that others once made are among them.
fn published_versions(published: &BTreeMap<String, String>, paths: &BTreeSet<String>) -> Vec<Question> {
    let names = published.keys().filter_map(|name| name.split_once(' '));
    let versions = names.filter(|(path, version)| paths.contains(*path) && !version.ends_with("/go.mod"));
    versions.map(|(path, version)| Question::new(path, version)).collect()
}

/// All that the go command says.
fn ask_go(all: &[Questions], oracle: &Oracle<'_>) -> Answers {
    let apart: Vec<BTreeSet<Question>> = all.iter().map(Questions::apart).collect();
    let is_shared = |question: &&Question| !apart.iter().any(|of_one| of_one.contains(*question));
    let together = |group: fn(&Questions) -> &BTreeSet<Question>| {
        oracle.download(all.iter().flat_map(group).filter(is_shared))
    };
    let commits = joined(together(|of_one| &of_one.commits), together(|of_one| &of_one.short_commits));
    let names = joined(together(|of_one| &of_one.versions), together(|of_one| &of_one.names));
    let go = joined(oracle.download_apart(&apart), joined(commits, names));
    let found = |path: &String| {
        let mut known = go.known.iter().filter(|(question, _)| question.path == *path);
        known.find_map(|(_, known)| Some(known.as_ref().ok()?.version.clone()))
    };
    let paths = all.iter().flat_map(|of_one| &of_one.paths);
    let paths = paths.map(|path| (path.clone(), found(path))).collect();
    let pseudo: Vec<_> = all.iter().map(|of_one| pseudo_versions(of_one, &go)).collect();
    let more = joined(oracle.download(pseudo.iter().flatten()), oracle.lists(&paths));
    let mut go = joined(go, more);
    for (of_one, pseudo) in all.iter().zip(&pseudo) {
        let by_chance = of_one.all().chain(pseudo).filter(|question| of_one.depends_on_caches(question));
        go.refs_by_chance.extend(by_chance.filter(is_shared).cloned());
    }
    go
}

fn joined(mut one: Answers, other: Answers) -> Answers {
    one.known.extend(other.known);
    one.lists.extend(other.lists);
    one.refs_by_chance.extend(other.refs_by_chance);
    one
}

/// The pseudo-versions that commits and branches became, and wrong ones made from them: all wrong ones for the
/// first of each module path, the right ones for each.
fn pseudo_versions(of_one: &Questions, go: &Answers) -> BTreeSet<Question> {
    let mut pseudo = BTreeSet::new();
    let mut spoilt: BTreeSet<&str> = BTreeSet::new();
    let asked: BTreeSet<&Question> = of_one.all().collect();
    for (question, known) in asked.into_iter().filter_map(|question| go.known.get_key_value(question)) {
        let Ok(known) = known else { continue };
        let is_pseudo = modkeep_module::Version::parse(&known.version).is_ok_and(|v| v.is_pseudo());
        if !is_pseudo {
            continue;
        }
        pseudo.insert(Question::new(&question.path, &known.version));
        if spoilt.insert(&question.path) {
            let wrong = questions::wrong_pseudo_versions(&known.version);
            pseudo.extend(wrong.iter().map(|version| Question::new(&question.path, version)));
        }
    }
    pseudo
}

/// Compares our sums with published ones; says how many were met.
fn meet(ours: &Answers, published: &BTreeMap<String, String>, differences: &mut Vec<Difference>) -> usize {
    let mut met = BTreeSet::new();
    for (question, known) in &ours.known {
        let Ok(known) = known else { continue };
        let zip = known.zip.as_ref().ok().filter(|sum| !sum.is_empty());
        let go_mod = Some(&known.go_mod_h1).filter(|sum| !sum.is_empty());
        for (suffix, sum) in [("", zip), ("/go.mod", go_mod)] {
            let name = format!("{} {}{suffix}", question.path, known.version);
            let (Some(sum), Some(wanted)) = (sum, published.get(&name)) else { continue };
            if sum == wanted {
                met.insert(name);
            } else {
                let (go, ours) = (wanted.clone(), sum.clone());
                differences.push(Difference { question: name, field: "published", go, ours });
            }
        }
    }
    met.len()
}
