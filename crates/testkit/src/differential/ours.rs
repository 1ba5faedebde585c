//! modkeep's side: plain HTTP, as any client asks.

use modkeep_module::zip::{Limits, check};
use modkeep_module::{H1, ModulePath, ModuleVersion, Version};
use serde_json::Value;

use super::oracle::{origin, refused};
use super::{Answers, Known, Question, Refused};
use crate::Answer;

/// Asks the mirror at `base` all these questions and lists, two at a time.
///
/// # Panics
/// When it does not answer at all.
pub fn ask(base: &str, questions: &[Question], paths: &[String]) -> Answers {
    let halves = questions.split_at(questions.len() / 2);
    let mut answers = std::thread::scope(|scope| {
        let other = scope.spawn(|| ask_in_turn(base, halves.1));
        let mut answers = ask_in_turn(base, halves.0);
        answers.known.extend(other.join().expect("the other half").known);
        answers
    });
    for path in paths {
        answers.lists.insert(path.clone(), list(base, path));
        answers.known.insert(Question::new(path, "latest"), latest(base, path));
    }
    answers
}

fn ask_in_turn(base: &str, questions: &[Question]) -> Answers {
    let mut answers = Answers::default();
    for question in questions {
        answers.known.insert(question.clone(), one(base, question));
    }
    answers
}

fn one(base: &str, question: &Question) -> Result<Known, Refused> {
    let folder = format!("{base}/{}/@v", escape(&question.path));
    let info = get(&format!("{folder}/{}.info", escape_query(&question.query)), &question.path)?;
    let mut known = info_of(&info)?;
    let version = escape_query(&known.version);
    known.go_mod = get(&format!("{folder}/{version}.mod"), &question.path)?.body;
    known.go_mod_h1 = H1::of_go_mod(&known.go_mod).to_string();
    let zip = get(&format!("{folder}/{version}.zip"), &question.path);
    known.zip = zip.and_then(|zip| sum(&question.path, &known.version, &zip.body));
    Ok(known)
}

fn latest(base: &str, path: &str) -> Result<Known, Refused> {
    let answer = get(&format!("{base}/{}/@latest", escape(path)), path)?;
    Ok(Known { zip: Ok(String::new()), ..info_of(&answer)? })
}

fn list(base: &str, path: &str) -> Result<Vec<String>, Refused> {
    let answer = get(&format!("{base}/{}/@v/list", escape(path)), path)?;
    let mut versions: Vec<String> = answer.text().lines().map(str::to_owned).collect();
    versions.sort();
    Ok(versions)
}

fn info_of(answer: &Answer) -> Result<Known, Refused> {
    let wrong = |e: serde_json::Error| Refused { trouble: Some(true), text: format!("no info: {e}") };
    let info: Value = serde_json::from_slice(&answer.body).map_err(wrong)?;
    let field = |name: &str| info.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Known { version: field("Version"), time: field("Time"), origin: origin(&info), ..Known::default() })
}

fn sum(path: &str, version: &str, zip: &[u8]) -> Result<String, Refused> {
    let wrong = |what: String| Refused { trouble: Some(true), text: format!("a bad zip: {what}") };
    let path = ModulePath::parse(path).map_err(|e| wrong(e.to_string()))?;
    let version = Version::parse(version).map_err(|e| wrong(e.to_string()))?;
    let of = ModuleVersion::new(path, version).map_err(|e| wrong(e.to_string()))?;
    let facts = check(zip, zip.len() as u64, &of, &Limits::default()).map_err(|e| wrong(e.to_string()))?;
    if facts.anomalies.is_empty() {
        Ok(facts.h1.to_string())
    } else {
        Err(wrong(format!("{:?}", facts.anomalies)))
    }
}

fn get(url: &str, path: &str) -> Result<Answer, Refused> {
    let answer = crate::get(url);
    match answer.status {
        200 => Ok(answer),
        404 | 410 => Err(Refused { trouble: Some(false), text: sentence(path, &answer) }),
        status => {
            let text = format!("{status} {}", sentence(path, &answer));
            Err(Refused { trouble: Some(true), text })
        }
    }
}

/// The go command's own sentence: the first line without the code in brackets at its end, or, where that line says
/// only what became of the module, the lines below it put together.
fn sentence(path: &str, answer: &Answer) -> String {
    let text = answer.text();
    let first = text.lines().next().unwrap_or_default();
    let below = text.lines().skip(1).take_while(|line| !line.starts_with("Only the module's author"));
    if first.ends_with(": [bad-content]") {
        return below.collect::<Vec<_>>().join(" ");
    }
    let mut text = refused(path, &text).text;
    if text.ends_with(']')
        && let Some(code) = text.rfind(" [")
    {
        text.truncate(code);
    }
    text
}

fn escape(path: &str) -> String {
    ModulePath::parse(path).map_or_else(|_| path.to_owned(), |path| path.escape().to_string())
}

/// As the protocol escapes: `!` and the small letter for a capital.
fn escape_query(query: &str) -> String {
    let escape = |c: char| if c.is_ascii_uppercase() { vec!['!', c.to_ascii_lowercase()] } else { vec![c] };
    query.chars().flat_map(escape).collect()
}
