//! The go command's side.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use modkeep_module::H1;
use serde_json::Value;

use super::{Answers, Known, Question, Refused};
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
                answers.known.insert(Question::new(&path, &name), downloaded(&object));
            }
        }
        answers
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

fn objects(text: &str) -> Vec<Value> {
    let objects = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    objects.map(|object| object.unwrap_or_else(|e| panic!("go printed no JSON: {e}\n{text}"))).collect()
}

fn field(object: &Value, name: &str) -> Option<String> {
    object.get(name)?.as_str().map(str::to_owned)
}

/// The `Origin` of an info as a table; a list of any kind in it as its JSON.
pub(super) fn origin(object: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields = object.get("Origin").and_then(Value::as_object);
    fields.map(|fields| fields.iter().map(|(k, v)| (k.clone(), text(v))).collect()).unwrap_or_default()
}

fn downloaded(object: &Value) -> Result<Known, Refused> {
    let version = field(object, "Version").unwrap_or_default();
    let path = field(object, "Path").unwrap_or_default();
    let error = field(object, "Error").map(|text| refused(&path, &text));
    let read = |name: &str| field(object, name).map(|file| (std::fs::read(&file).ok(), PathBuf::from(file)));
    // A zip that cannot be made leaves info and go.mod in the cache, though go does not name them then.
    let folder = |extension: &str| read(extension).and_then(|(bytes, _)| bytes);
    let (Some(info), Some(go_mod)) = (folder("Info"), folder("GoMod")) else {
        return Err(error.unwrap_or_else(|| refused(&path, "no info and no error")));
    };
    let info: Value = serde_json::from_slice(&info).expect("an info is JSON");
    Ok(Known {
        version,
        time: field(&info, "Time").unwrap_or_default(),
        origin: origin(object),
        go_mod_h1: H1::of_go_mod(&go_mod).to_string(),
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
    Some(refused(&field(object, "Path").unwrap_or_default(), text))
}

/// What is left of an error when the names before it are gone, and what it means (section 12 of
/// versions-and-origins.md).
pub(super) fn refused(path: &str, text: &str) -> Refused {
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("not found: ").unwrap_or(line);
    let line = line.strip_prefix("module ").unwrap_or(line);
    let bare = line.strip_prefix(path).and_then(|rest| rest.split_once(": ")).map_or(line, |(_, rest)| rest);
    // Whether a program's failure means absence, the go command does not say.
    let unclear = ["exit status", "unrecognized import path", "unexpected response from git"];
    let unclear = unclear.iter().any(|words| text.contains(words));
    Refused { trouble: (!unclear).then_some(false), text: bare.to_owned() }
}

/// The sums of a go.sum file by `path version` and `path version/go.mod`.
pub fn published(go_sum: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(go_sum).unwrap_or_else(|e| panic!("{}: {e}", go_sum.display()));
    let sums = text.lines().filter_map(|line| line.rsplit_once(' '));
    sums.map(|(name, sum)| (name.to_owned(), sum.to_owned())).collect()
}
