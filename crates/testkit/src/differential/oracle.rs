//! The go command's side.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use modkeep_module::H1;
use modkeep_module::gomod::GO_MOD_BYTES_MAX;
use serde_json::Value;

use super::{Answers, Known, Question, Refused, origin};
use crate::Go;

/// How many bytes of arguments one go process is given; the system's bound for one argument list is higher.
const ARGUMENT_BYTES_MAX: usize = 60_000;

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
        let mut answers = Answers::default();
        for batch in batches(questions) {
            self.download_at_once(&batch, &mut answers);
        }
        answers
    }

    /// The same, with as many processes as one repository has questions: each process is asked one question of each
    /// repository, so that no answer depends on what was fetched for another one (V-90 step 1). Two at a time.
    ///
    /// # Panics
    /// When go prints something else than JSON.
    pub fn download_apart(&self, of_repositories: &[BTreeSet<Question>]) -> Answers {
        let rounds = rounds(of_repositories);
        let ask = |parity: usize| {
            let mut answers = Answers::default();
            for round in rounds.iter().skip(parity).step_by(2) {
                self.download_at_once(round, &mut answers);
            }
            answers
        };
        std::thread::scope(|scope| {
            let odd = scope.spawn(|| ask(1));
            let mut answers = ask(0);
            answers.known.extend(odd.join().expect("the go command answers").known);
            answers
        })
    }

    /// One process, one module cache.
    fn download_at_once(&self, batch: &[&Question], answers: &mut Answers) {
        let go = (self.go)();
        let words: Vec<String> = batch.iter().map(ToString::to_string).collect();
        let arguments: Vec<&str> =
            ["mod", "download", "-json"].into_iter().chain(words.iter().map(String::as_str)).collect();
        let run = go.run(&arguments);
        let told = objects(&run.stdout);
        assert!(!told.is_empty(), "go mod download said nothing:\n{}", run.stderr);
        for object in told {
            let name = field(&object, "Query").or_else(|| field(&object, "Version")).unwrap_or_default();
            let path = field(&object, "Path").unwrap_or_default();
            answers.known.insert(Question::new(&path, &name), downloaded(&name, &object));
        }
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
        for batch in batches(&ones) {
            // Retracted versions are hidden from the list, and admitted as latest, by the same switch.
            for object in self.list(&["-versions", "-retracted"], &batch) {
                let path = field(&object, "Path").unwrap_or_default();
                answers.lists.insert(path, listed(&object));
            }
        }
        for batch in batches(&latest) {
            for object in self.list(&[], &batch) {
                let question = Question::new(&field(&object, "Path").unwrap_or_default(), "latest");
                answers.known.insert(question, latest_of(&object));
            }
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

/// What go says of `query`. Of a version asked for by its canonical name the `Origin` is that of the info file, which is what a
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
        version,
        time: field(&info, "Time").unwrap_or_default(),
        origin: origin(if modkeep_module::Version::parse(query).is_ok() { &info } else { object }),
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
