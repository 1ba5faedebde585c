//! modkeep's side: plain HTTP, as any client asks.

use modkeep_module::zip::{Limits, check};
use modkeep_module::{H1, ModulePath, ModuleVersion, Version};

use super::{Answers, Known, Question, Refused};
use crate::Answer;

/// How many clients ask at once.
const CLIENTS: usize = 4;

/// Asks the mirror at `base` all these questions and lists, some at a time.
///
/// Lists and latest come first: what is stored later stands in where their origin has no answer (P-26), and the go
/// command, whose caches are empty, has nothing of the kind.
///
/// # Panics
/// When it does not answer at all.
pub fn ask(base: &str, questions: &[Question], paths: &[String]) -> Answers {
    let mut answers = Answers::default();
    for (path, list, latest) in at_once(paths, |path| (path.clone(), list(base, path), latest(base, path))) {
        answers.known.insert(Question::new(&path, "latest"), latest);
        answers.lists.insert(path, list);
    }
    answers.known.extend(at_once(questions, |question| (question.clone(), one(base, question))));
    answers
}

/// The answers to all, by some clients at a time.
fn at_once<Q: Sync, A: Send>(questions: &[Q], ask: impl Fn(&Q) -> A + Sync) -> Vec<A> {
    let each = questions.len().div_ceil(CLIENTS).max(1);
    let ask = &ask;
    std::thread::scope(|scope| {
        let client = |of_client: &'_ [Q]| of_client.iter().map(ask).collect::<Vec<A>>();
        let clients: Vec<_> =
            questions.chunks(each).map(|of_client| scope.spawn(move || client(of_client))).collect();
        clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    })
}

fn one(base: &str, question: &Question) -> Result<Known, Refused> {
    let folder = format!("{base}/{}/@v", escape(&question.path));
    let info = get(&format!("{folder}/{}.info", escape_query(&question.query)), &question.path)?;
    let mut known = Known::of_info(&info.body)?;
    let version = escape_query(&known.version);
    match get(&format!("{folder}/{version}.mod"), &question.path) {
        Ok(go_mod) => known.go_mod = go_mod.body,
        Err(refused) if refused.trouble == Some(false) => known.go_mod_h1 = refused.text,
        Err(trouble) => return Err(trouble),
    }
    if known.go_mod_h1.is_empty() {
        known.go_mod_h1 = H1::of_go_mod(&known.go_mod).to_string();
    }
    let zip = get(&format!("{folder}/{version}.zip"), &question.path);
    known.zip = zip.and_then(|zip| sum(&question.path, &known.version, &zip.body));
    Ok(known)
}

fn latest(base: &str, path: &str) -> Result<Known, Refused> {
    let answer = get(&format!("{base}/{}/@latest", escape(path)), path)?;
    Ok(Known { zip: Ok(String::new()), ..Known::of_info(&answer.body)? })
}

fn list(base: &str, path: &str) -> Result<Vec<String>, Refused> {
    let answer = get(&format!("{base}/{}/@v/list", escape(path)), path)?;
    let mut versions: Vec<String> = answer.text().lines().map(str::to_owned).collect();
    versions.sort();
    Ok(versions)
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

/// The go command's own sentence: the first line without the code in brackets at its end, and of a refused zip
/// without what we say in front of it.
fn sentence(path: &str, answer: &Answer) -> String {
    let text = answer.text();
    let first = text.lines().next().unwrap_or_default();
    let first = first.split_once(" cannot be a module: ").map_or(first, |(_, flaw)| flaw);
    let mut text = Refused::new(path, first).text;
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
