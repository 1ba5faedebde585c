//! What can be asked of a repository, derived from its refs and trees.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use modkeep_module::pseudo;

use super::{Question, Scale, Site};
use crate::git::git_command;

/// The questions of one repository, in groups that must not share a module cache, if they share any: the go command answers
/// a commit from the info that it stored for another name of the same commit.
#[derive(Clone, Debug, Default)]
pub struct Questions {
    /// Module paths, for lists and latest.
    pub paths: BTreeSet<String>,
    /// Versions by their names.
    pub versions: BTreeSet<Question>,
    /// Branches, odd tags, short commits, names of nobody.
    pub names: BTreeSet<Question>,
    /// Whole commit ids.
    pub commits: BTreeSet<Question>,
    /// Commit ids of twelve digits.
    pub short_commits: BTreeSet<Question>,
    /// Whole ids of the commits that refs name, and names of refs that look like ids.
    tips: BTreeSet<String>,
}

/// What there is in a repository.
struct Refs {
    tags: Vec<String>,
    branches: Vec<String>,
    commits: Vec<String>,
    tips: BTreeSet<String>,
}

/// All questions of a site.
///
/// # Panics
/// When git cannot read the repository.
pub fn of(site: &Site, scale: Scale) -> Questions {
    let mut questions = Questions::default();
    questions.paths.insert(site.root.clone());
    questions.paths.extend(site.paths.iter().cloned());
    if let Some(repository) = &site.repository {
        let refs = Refs::read(repository, scale);
        questions.paths.extend(paths(site, repository, &refs, scale));
        for path in questions.paths.clone() {
            questions.walk(site, &path, &refs);
        }
        questions.tips = refs.tips;
    }
    for question in &site.more {
        questions.sort_in(question.clone());
    }
    questions
}

impl Questions {
    /// All but paths.
    pub fn all(&self) -> impl Iterator<Item = &Question> {
        [&self.versions, &self.names, &self.commits, &self.short_commits].into_iter().flatten()
    }

    /// Of those that depend on caches, the ones to be asked of caches that know nothing: `HEAD` and the whole ids of tips, for
    /// one module path. Short ids and other paths take the same way, and each of these costs a process.
    pub fn apart(&self) -> BTreeSet<Question> {
        let Some(path) = self.paths.first() else { return BTreeSet::new() };
        let whole = |question: &&Question| question.query == "HEAD" || self.tips.contains(&question.query);
        let of_path = self.all().filter(|question| question.path == *path);
        of_path.filter(whole).filter(|question| self.depends_on_caches(question)).cloned().collect()
    }

    /// Whether the go command names a ref here only if it has the commit not yet: it is asked for by its id, in a
    /// pseudo-version or as `HEAD`, and a ref names it (V-90 steps 1, 5 and 6).
    pub fn depends_on_caches(&self, question: &Question) -> bool {
        let query = question.query.as_str();
        let id = if pseudo::is_pseudo(query) {
            query.split('+').next().and_then(|bare| bare.rsplit('-').next()).unwrap_or(query)
        } else {
            query
        };
        query == "HEAD" || self.tips.iter().any(|tip| id.len() >= 7 && tip.starts_with(id))
    }

    fn walk(&mut self, site: &Site, path: &str, refs: &Refs) {
        let prefix = tag_prefix(site, path);
        let own = path.rsplit_once("/v").and_then(|(_, major)| major.parse::<u64>().ok());
        let mut majors = BTreeSet::new();
        for tag in &refs.tags {
            let name = tag.strip_prefix(&prefix).unwrap_or(tag);
            let major = major_of(name);
            // All versions of a major are as wrong as the first for a path of another one, or with a suffix.
            let first = major.is_none_or(|major| majors.insert(major));
            if first || own.is_none() || own == major {
                self.sort_in(Question::new(path, name));
            }
            if first && major.is_some() && !name.contains('+') {
                self.sort_in(Question::new(path, &format!("{name}+incompatible")));
            }
        }
        for name in refs.branches.iter().map(String::as_str).chain(["HEAD", "nobody", "v9.9.9", "v0.0.1"]) {
            self.sort_in(Question::new(path, name));
        }
        for commit in &refs.commits {
            let short = |digits: usize| Question::new(path, &commit[..digits.min(commit.len())]);
            self.names.insert(short(7));
            self.short_commits.insert(short(12));
            self.commits.insert(Question::new(path, commit));
        }
    }

    /// Puts a question where it belongs; what cannot travel in the URL of a proxy is left out, and so is what
    /// the go command answers from the list alone (`v1`, `v1.2`).
    fn sort_in(&mut self, question: Question) {
        let name = question.query.as_str();
        let fine = |c: char| c.is_ascii_alphanumeric() || "-+._~".contains(c);
        if name.is_empty() || !name.chars().all(fine) || is_prefix(name) {
            return;
        }
        let hex = |digits: usize| name.len() == digits && name.chars().all(|c| c.is_ascii_hexdigit());
        let group = match name {
            _ if name == "latest" || name == "upgrade" || name == "patch" => return,
            _ if hex(40) || hex(64) => &mut self.commits,
            _ if hex(12) => &mut self.short_commits,
            // Other spellings lead to the same versions, whose infos then name the other ref.
            _ if modkeep_module::Version::parse(name).is_ok() => &mut self.versions,
            _ => &mut self.names,
        };
        group.insert(question);
    }
}

/// The number behind the `v`.
fn major_of(name: &str) -> Option<u64> {
    name.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// `v1`, `v1.2`: the go command takes the highest of the list.
fn is_prefix(name: &str) -> bool {
    let Some(rest) = name.strip_prefix('v') else { return false };
    rest.split('.').count() < 3
        && rest.split('.').all(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_digit()))
}

impl Refs {
    fn read(repository: &Path, scale: Scale) -> Self {
        let names = |of: &str| -> Vec<String> {
            let text = git(repository, &["for-each-ref", "--format=%(refname)", of]);
            text.lines().filter_map(|line| line.strip_prefix(of)).map(str::to_owned).collect()
        };
        let log = git(repository, &["log", "--all", "--date-order", "--format=%H"]);
        let all: Vec<&str> = log.lines().collect();
        // Evenly over the history, the newest and the oldest always.
        let step = (all.len() / scale.commits).max(1);
        let mut commits: Vec<String> = all.iter().step_by(step).map(|&id| id.to_owned()).collect();
        commits.extend(all.last().map(|&id| id.to_owned()));
        let mut branches = names("refs/heads/");
        branches.truncate(scale.branches);
        let tips = git(repository, &["for-each-ref", "--format=%(objectname) %(*objectname)"]);
        let hex = |name: &str| name.len() >= 7 && name.chars().all(|c| c.is_ascii_hexdigit());
        let named = names("refs/tags/").into_iter().chain(names("refs/heads/")).filter(|name| hex(name));
        let tips = tips.split_whitespace().map(str::to_owned).chain(named).collect();
        Self { tags: names("refs/tags/"), branches, commits, tips }
    }

    /// Tips worth a look into their trees.
    fn named(&self) -> impl Iterator<Item = String> + '_ {
        let tags = self.tags.iter().map(|tag| format!("refs/tags/{tag}"));
        tags.chain(self.branches.iter().map(|branch| format!("refs/heads/{branch}")))
    }
}

/// The module paths of a repository: each folder that ever held a go.mod, with each major that a tag names.
fn paths(site: &Site, repository: &Path, refs: &Refs, scale: Scale) -> BTreeSet<String> {
    let mut majors: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    majors.entry(site.subdirectory.clone()).or_default().insert(2);
    for tag in &refs.tags {
        let (folder, name) = tag.rsplit_once('/').unwrap_or(("", tag));
        if let Some(major) = major_of(name) {
            majors.entry(folder.to_owned()).or_default().insert(major);
        }
    }
    let tagged: BTreeSet<String> = majors.keys().cloned().collect();
    let mut found = BTreeSet::new();
    for tip in refs.named().take(scale.trees) {
        let Some(text) = try_git(repository, &["ls-tree", "-r", "--name-only", "-z", &tip]) else { continue };
        let folders = text.split('\0').filter_map(|name| name.strip_suffix("go.mod"));
        found.extend(
            folders.filter(|f| f.is_empty() || f.ends_with('/')).map(|f| f.trim_end_matches('/').to_owned()),
        );
    }
    let others: Vec<String> = found.difference(&tagged).take(scale.folders).cloned().collect();
    for folder in others {
        majors.entry(folder).or_default();
    }
    let paths = majors.iter().flat_map(|(folder, majors)| paths_of(site, folder, majors));
    paths.filter(|path| modkeep_module::ModulePath::parse(path).is_ok()).collect()
}

fn paths_of(site: &Site, folder: &str, majors: &BTreeSet<u64>) -> Vec<String> {
    let below = if site.subdirectory.is_empty() {
        Some(folder)
    } else {
        folder.strip_prefix(&site.subdirectory).map(|rest| rest.trim_start_matches('/'))
    };
    let Some(below) = below else { return Vec::new() };
    let base = if below.is_empty() { site.root.clone() } else { format!("{}/{below}", site.root) };
    if site.root.starts_with("gopkg.in/") {
        return vec![base];
    }
    let versioned = majors.iter().filter(|&&major| major >= 2).map(|major| format!("{base}/v{major}"));
    versioned.chain([base.clone()]).collect()
}

/// What stands before the version in the tags of a module path (V-32, V-33).
fn tag_prefix(site: &Site, path: &str) -> String {
    let below = path.strip_prefix(&site.root).unwrap_or_default().trim_start_matches('/');
    let (head, last) = below.rsplit_once('/').unwrap_or(("", below));
    let major = last.strip_prefix('v').is_some_and(|n| n.parse::<u64>().is_ok_and(|n| n >= 2));
    let folder = if major { head } else { below };
    let parts = [folder, &site.subdirectory];
    parts.iter().filter(|part| !part.is_empty()).map(|part| format!("{part}/")).collect()
}

fn git(repository: &Path, arguments: &[&str]) -> String {
    try_git(repository, arguments).unwrap_or_else(|| panic!("git {arguments:?} in {}", repository.display()))
}

fn try_git(repository: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = git_command();
    command.args(["-c", "safe.directory=*", "--git-dir"]).arg(repository).args(arguments);
    let output = command.output().expect("git starts");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Pseudo-versions that are wrong, each in one way, made from a right one (V-61).
pub fn wrong_pseudo_versions(right: &str) -> Vec<String> {
    let Some((head, revision)) = right.trim_end_matches("+incompatible").rsplit_once('-') else {
        return Vec::new();
    };
    let Some(at) = head.len().checked_sub(14) else { return Vec::new() };
    let (base, time) = head.split_at(at);
    let year_later = format!("{}{}", time.get(..3).unwrap_or("202"), "9");
    let moved = format!("{year_later}{}", time.get(4..).unwrap_or_default());
    vec![
        format!("{base}{moved}-{revision}"),
        format!("{base}{time}-{}", &revision[..revision.len() - 1]),
        format!("{base}{time}-{revision}0"),
        format!("{base}{time}-ffffffffffff"),
        format!("v0.0.0-{time}-{revision}"),
        format!("v1.0.0-{time}-{revision}"),
        format!("v0.0.1-0.{time}-{revision}"),
        format!("v0.1.0-0.{time}-{revision}"),
        format!("v1.0.1-0.{time}-{revision}"),
        format!("v1.9.9-0.{time}-{revision}"),
        format!("v1.2.3-pre.0.{time}-{revision}"),
        format!("v2.0.0-{time}-{revision}"),
        format!("v2.0.1-0.{time}-{revision}"),
        format!("{base}{time}-{revision}+incompatible"),
        format!("{base}{time}-{revision}+meta"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_a_module_path() {
        let site = |subdirectory: &str| Site {
            root: "h.example/a".to_owned(),
            repository: None,
            subdirectory: subdirectory.to_owned(),
            paths: Vec::new(),
            more: Vec::new(),
        };
        for (subdirectory, path, prefix) in [
            ("", "h.example/a", ""),
            ("", "h.example/a/v2", ""),
            ("", "h.example/a/sub", "sub/"),
            ("", "h.example/a/sub/v3", "sub/"),
            ("foo", "h.example/a", "foo/"),
            ("foo", "h.example/a/sub/v2", "sub/foo/"),
        ] {
            assert_eq!(tag_prefix(&site(subdirectory), path), prefix, "{path} in {subdirectory:?}");
        }
    }

    #[test]
    fn tips_are_asked_apart_once_and_by_their_whole_ids() {
        let tip = "0123456789abcdef0123456789abcdef01234567";
        let mut questions = Questions::default();
        questions.tips.insert(tip.to_owned());
        for path in ["h.example/a", "h.example/a/v2"] {
            questions.paths.insert(path.to_owned());
            for query in ["HEAD", "main", "v1.0.0", tip, &tip[..12], &tip[..7], "fedcba9876543210"] {
                questions.sort_in(Question::new(path, query));
            }
        }
        let names = |questions: Vec<Question>| questions.iter().map(ToString::to_string).collect::<Vec<_>>();
        let by_chance = questions.all().filter(|question| questions.depends_on_caches(question)).cloned();
        assert_eq!(names(by_chance.collect()).len(), 2 * 4);
        let apart = names(questions.apart().into_iter().collect());
        assert_eq!(apart, [format!("h.example/a@{tip}"), "h.example/a@HEAD".to_owned()]);
    }

    #[test]
    fn prefixes_are_not_asked() {
        for (name, prefix) in [("v1", true), ("v1.2", true), ("v1.2.3", false), ("v", false), ("main", false)]
        {
            assert_eq!(is_prefix(name), prefix, "{name}");
        }
    }
}
