//! The go command's side.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use modkeep_module::H1;
use modkeep_module::gomod::GO_MOD_BYTES_MAX;
use serde_json::Value;

use super::{Answers, Known, Question, Refused, origin};
use crate::Go;

/// How many bytes of arguments one go process is given: about two hundred questions. It answers one after the other.
const ARGUMENT_BYTES_MAX: usize = 8_000;
/// How many go processes run at once. Most of the time each waits for a program that it started.
const PROCESSES: usize = 6;

/// Asks the real go command, each time with a module cache that knows nothing.
pub struct Oracle<'a> {
    /// Makes a go command with `GOPROXY=direct` in front of the servers.
    go: Box<dyn Fn() -> Go + Sync + 'a>,
}

impl std::fmt::Debug for Oracle<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Oracle").finish_non_exhaustive()
    }
}

impl<'a> Oracle<'a> {
    /// An oracle whose go commands are made like this.
    pub fn new(go: impl Fn() -> Go + Sync + 'a) -> Self {
        Self { go: Box::new(go) }
    }

    /// `go mod download -json` of all these, in few processes.
    ///
    /// # Panics
    /// When go prints something else than JSON.
    pub fn download<'q>(&self, questions: impl IntoIterator<Item = &'q Question>) -> Answers {
        self.download_each(&batches(questions))
    }

    /// The same, with as many processes as one repository has questions: each process is asked one question of each
    /// repository, so that no answer depends on what was fetched for another one (V-90 step 1).
    ///
    /// # Panics
    /// When go prints something else than JSON.
    pub fn download_apart(&self, of_repositories: &[BTreeSet<Question>]) -> Answers {
        self.download_each(&rounds(of_repositories))
    }

    /// A process for each batch.
    fn download_each(&self, batches: &[Vec<&Question>]) -> Answers {
        let mut answers = Answers::default();
        for of_batch in at_once(batches, |batch| self.download_at_once(batch)) {
            answers.known.extend(of_batch);
        }
        answers
    }

    /// One process, one module cache.
    fn download_at_once(&self, batch: &[&Question]) -> Vec<(Question, Result<Known, Refused>)> {
        let go = (self.go)();
        let words: Vec<String> = batch.iter().map(ToString::to_string).collect();
        let arguments: Vec<&str> =
            ["mod", "download", "-json"].into_iter().chain(words.iter().map(String::as_str)).collect();
        let run = go.run(&arguments);
        let told = objects(&run.stdout);
        assert!(!told.is_empty(), "go mod download said nothing:\n{}", run.stderr);
        let answer = |object: Value| {
            let name = field(&object, "Query").or_else(|| field(&object, "Version")).unwrap_or_default();
            let path = field(&object, "Path").unwrap_or_default();
            (Question::new(&path, &name), downloaded(&name, &object))
        };
        told.into_iter().map(answer).collect()
    }

    /// The list and the latest version of each module path, given with some version of it where one is known:
    /// the go command lists a module's versions only beside a version that it can find.
    ///
    /// # Panics
    /// When go prints something else than JSON.
    pub fn lists(&self, paths: &BTreeMap<String, Option<String>>) -> Answers {
        let one = |(path, known): (&String, &Option<String>)| {
            Question::new(path, known.as_deref().unwrap_or("latest"))
        };
        let ones: Vec<Question> = paths.iter().map(one).collect();
        let latest: Vec<Question> = paths.keys().map(|path| Question::new(path, "latest")).collect();
        let mut answers = Answers::default();
        // Retracted versions are hidden from the list, and admitted as latest, by the same switch.
        let lists = at_once(&batches(&ones), |batch| self.list(&["-versions", "-retracted"], batch));
        for object in lists.into_iter().flatten() {
            answers.lists.insert(field(&object, "Path").unwrap_or_default(), listed(&object));
        }
        for object in at_once(&batches(&latest), |batch| self.list(&[], batch)).into_iter().flatten() {
            let question = Question::new(&field(&object, "Path").unwrap_or_default(), "latest");
            answers.known.insert(question, latest_of(&object));
        }
        answers
    }

    fn list(&self, more: &[&str], batch: &[&Question]) -> Vec<Value> {
        let words: Vec<String> = batch.iter().map(ToString::to_string).collect();
        let arguments = ["list", "-m", "-e", "-json"].iter().chain(more).copied();
        let arguments: Vec<&str> = arguments.chain(words.iter().map(String::as_str)).collect();
        let run = (self.go)().run(&arguments);
        let told = objects(&run.stdout);
        assert!(!told.is_empty(), "go list said nothing:\n{}", run.stderr);
        told
    }
}

/// Works on all batches, some at a time.
fn at_once<T: Send>(batches: &[Vec<&Question>], work: impl Fn(&[&Question]) -> Vec<T> + Sync) -> Vec<Vec<T>> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let batch = || batches.get(next.fetch_add(1, Ordering::Relaxed));
        std::iter::from_fn(batch).map(|batch| work(batch)).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..PROCESSES).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("the go command answers")).collect()
    })
}

fn batches<'q>(questions: impl IntoIterator<Item = &'q Question>) -> Vec<Vec<&'q Question>> {
    let mut batches: Vec<Vec<&Question>> = Vec::new();
    let mut bytes = ARGUMENT_BYTES_MAX;
    for question in questions {
        bytes += question.path.len() + question.query.len() + 2;
        if bytes > ARGUMENT_BYTES_MAX {
            batches.push(Vec::new());
            bytes = 0;
        }
        batches.last_mut().expect("just pushed").push(question);
    }
    batches
}

/// The first questions of all, the second ones, and so on.
fn rounds(of_repositories: &[BTreeSet<Question>]) -> Vec<Vec<&Question>> {
    let mut rounds: Vec<Vec<&Question>> = Vec::new();
    for questions in of_repositories {
        for (n, question) in questions.iter().enumerate() {
            if n == rounds.len() {
                rounds.push(Vec::new());
            }
            rounds[n].push(question);
        }
    }
    rounds
}

fn objects(text: &str) -> Vec<Value> {
    let objects = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    objects.map(|object| object.unwrap_or_else(|e| panic!("go printed no JSON: {e}\n{text}"))).collect()
}

fn field(object: &Value, name: &str) -> Option<String> {
    object.get(name)?.as_str().map(str::to_owned)
}

/// What go says of `query`. Of a version asked for by its own name the `Origin` is that of the info file, which is what a
/// proxy serves (P-60); of everything else, what go prints, because only that depends on what was asked.
fn downloaded(query: &str, object: &Value) -> Result<Known, Refused> {
    let version = field(object, "Version").unwrap_or_default();
    let path = field(object, "Path").unwrap_or_default();
    let error = field(object, "Error").map(|text| Refused::new(&path, &text));
    let read = |name: &str| field(object, name).map(|file| (std::fs::read(&file).ok(), PathBuf::from(file)));
    // A zip that cannot be made leaves info and go.mod in the cache, though go does not name them then.
    let folder = |extension: &str| read(extension).and_then(|(bytes, _)| bytes);
    let (Some(info), Some(go_mod)) = (folder("Info"), folder("GoMod")) else {
        return Err(error.unwrap_or_else(|| Refused::new(&path, "no info and no error")));
    };
    let info: Value = serde_json::from_slice(&info).expect("an info is JSON");
    // No zip holds a larger one, and modkeep gives none out (section 8 of versions-and-origins.md).
    let (go_mod, go_mod_h1) = if go_mod.len() > GO_MOD_BYTES_MAX {
        (Vec::new(), format!("go.mod file too large (max size is {GO_MOD_BYTES_MAX} bytes)"))
    } else {
        let h1 = H1::of_go_mod(&go_mod).to_string();
        (go_mod, h1)
    };
    Ok(Known {
        time: field(&info, "Time").unwrap_or_default(),
        origin: origin(if query == version { &info } else { object }),
        version,
        go_mod_h1,
        go_mod,
        zip: error.map_or_else(|| Ok(field(object, "Sum").unwrap_or_default()), Err),
    })
}

fn listed(object: &Value) -> Result<Vec<String>, Refused> {
    if let Some(error) = error_of(object) {
        return Err(error);
    }
    let versions = object.get("Versions").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut versions: Vec<String> = versions.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    versions.sort();
    Ok(versions)
}

fn latest_of(object: &Value) -> Result<Known, Refused> {
    if let Some(error) = error_of(object) {
        return Err(error);
    }
    let field = |name: &str| field(object, name).unwrap_or_default();
    let zip = Ok(String::new());
    Ok(Known {
        version: field("Version"),
        time: field("Time"),
        origin: origin(object),
        zip,
        ..Known::default()
    })
}

fn error_of(object: &Value) -> Option<Refused> {
    let text = object.get("Error")?.get("Err")?.as_str()?;
    Some(Refused::new(&field(object, "Path").unwrap_or_default(), text))
}

/// The sums of a go.sum file by `path version` and `path version/go.mod`.
pub fn published(go_sum: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(go_sum).unwrap_or_else(|e| panic!("{}: {e}", go_sum.display()));
    let sums = text.lines().filter_map(|line| line.rsplit_once(' '));
    sums.map(|(name, sum)| (name.to_owned(), sum.to_owned())).collect()
}
