//! Both sides next to each other.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::report::Difference;
use super::{Answers, Known, Question, Refused};

/// Every difference, field by field, in the order of the questions.
pub fn compare(go: &Answers, ours: &Answers) -> Vec<Difference> {
    let mut found = Vec::new();
    for (question, theirs) in &go.known {
        match (theirs, ours.known.get(question)) {
            (_, None) => found.push(difference(question, "asked", "yes", "no")),
            (Ok(theirs), Some(Ok(ours))) => {
                let ref_by_chance = go.refs_by_chance.contains(question);
                known(ref_by_chance, question, theirs, ours, &mut found);
            }
            (Err(theirs), Some(Err(ours))) => refusals(question, "error", theirs, ours, &mut found),
            (Ok(theirs), Some(Err(ours))) => {
                found.push(difference(question, "found", &theirs.version, &ours.text));
            }
            (Err(theirs), Some(Ok(ours))) => {
                found.push(difference(question, "found", &theirs.text, &ours.version));
            }
        }
    }
    for (path, theirs) in &go.lists {
        let question = Question::new(path, "list");
        match (theirs, ours.lists.get(path)) {
            (_, None) => found.push(difference(&question, "asked", "yes", "no")),
            (Ok(theirs), Some(Ok(ours))) if theirs == ours => {}
            (Ok(theirs), Some(Ok(ours))) => {
                found.push(difference(&question, "list", theirs.join(" "), ours.join(" ")));
            }
            (Ok(theirs), Some(Err(ours))) => {
                found.push(difference(&question, "list", theirs.join(" "), &ours.text));
            }
            // The go command told why there is no latest, and shows no list then; only this one means an empty list.
            (Err(theirs), Some(Ok(ours))) if ours.is_empty() || !theirs.text.starts_with("no matching") => {}
            (Err(theirs), Some(Ok(ours))) => {
                found.push(difference(&question, "list", &theirs.text, ours.join(" ")));
            }
            (Err(theirs), Some(Err(ours))) => class(&question, "list", theirs, ours, &mut found),
        }
    }
    found
}

fn known(
    ref_by_chance: bool,
    question: &Question,
    theirs: &Known,
    ours: &Known,
    found: &mut Vec<Difference>,
) {
    let mut same = |field: &'static str, theirs: String, ours: String| {
        if theirs != ours {
            found.push(difference(question, field, theirs, ours));
        }
    };
    same("Version", theirs.version.clone(), ours.version.clone());
    same("Time", theirs.time.clone(), ours.time.clone());
    let (their_origin, our_origin) = (origin_of(ref_by_chance, theirs), origin_of(ref_by_chance, ours));
    same("Origin", format!("{their_origin:?}"), format!("{our_origin:?}"));
    same("go.mod", text(&theirs.go_mod), text(&ours.go_mod));
    same("go.mod h1", theirs.go_mod_h1.clone(), ours.go_mod_h1.clone());
    match (&theirs.zip, &ours.zip) {
        (Err(theirs), Err(ours)) => refusals(question, "zip", theirs, ours, found),
        (theirs, ours) => {
            let told = |zip: &Result<String, Refused>| match zip {
                Ok(sum) => sum.clone(),
                Err(refused) => refused.text.clone(),
            };
            if told(theirs) != told(ours) {
                found.push(difference(question, "zip", told(theirs), told(ours)));
            }
        }
    }
}

/// The origin; without `Ref` where go named one, or none, by chance.
fn origin_of(ref_by_chance: bool, known: &Known) -> BTreeMap<String, String> {
    let kept = known.origin.iter().filter(|(name, _)| !(ref_by_chance && *name == "Ref"));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn text(go_mod: &[u8]) -> String {
    String::from_utf8_lossy(go_mod).into_owned()
}

/// As a text leaves modkeep: what is not printable ASCII is escaped (hostile-inputs U8).
fn on_the_wire(text: &str) -> String {
    let escaped = |c: char| match c {
        ' '..='~' => c.to_string(),
        c => c.escape_default().to_string(),
    };
    text.chars().map(escaped).collect()
}

/// Absence against absence, trouble against trouble, and the same sentence where the go command has one.
fn refusals(
    question: &Question,
    field: &'static str,
    theirs: &Refused,
    ours: &Refused,
    found: &mut Vec<Difference>,
) {
    let before = found.len();
    class(question, field, theirs, ours, found);
    // Of many refused files we say several in one go, the go command one in a line.
    let theirs = Refused { text: on_the_wire(&theirs.text), ..*theirs };
    let same = theirs.text == ours.text || (field == "zip" && ours.text.starts_with(&theirs.text));
    if found.len() == before && theirs.trouble.is_some() && !same {
        found.push(difference(question, "sentence", &theirs.text, &ours.text));
    }
}

fn class(
    question: &Question,
    field: &'static str,
    theirs: &Refused,
    ours: &Refused,
    found: &mut Vec<Difference>,
) {
    if theirs.trouble.is_some() && theirs.trouble != ours.trouble {
        found.push(difference(question, field, &theirs.text, &ours.text));
    }
}

fn difference(question: &Question, field: &'static str, go: impl Display, ours: impl Display) -> Difference {
    Difference { question: question.to_string(), field, go: go.to_string(), ours: ours.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(known: Result<Known, Refused>) -> Answers {
        let mut answers = Answers::default();
        answers.known.insert(Question::new("example.com/a", "v1.0.0"), known);
        answers
    }

    #[test]
    fn sentences_are_compared_as_they_travel() {
        assert_eq!(on_the_wire("create zip: \u{e9}\t.go: \"x\""), r#"create zip: \u{e9}\t.go: "x""#);
    }

    #[test]
    fn each_field_counts() {
        let right = Known { version: "v1.0.0".to_owned(), zip: Ok("h1:a".to_owned()), ..Known::default() };
        let absent = Refused { trouble: Some(false), text: "unknown revision v1.0.0".to_owned() };
        let trouble = Refused { trouble: Some(true), text: "502 the origin is away".to_owned() };
        assert!(compare(&answers(Ok(right.clone())), &answers(Ok(right.clone()))).is_empty());
        for (go, ours, field) in [
            (Ok(right.clone()), Ok(Known { time: "now".to_owned(), ..right.clone() }), "Time"),
            (Ok(right.clone()), Ok(Known { go_mod: vec![b'x'], ..right.clone() }), "go.mod"),
            (Ok(right.clone()), Ok(Known { zip: Ok("h1:b".to_owned()), ..right.clone() }), "zip"),
            (Ok(right.clone()), Err(absent.clone()), "found"),
            (Err(absent.clone()), Ok(right), "found"),
            (Err(absent.clone()), Err(trouble), "error"),
            (Err(absent.clone()), Err(Refused { text: "no".to_owned(), ..absent }), "sentence"),
        ] {
            let found = compare(&answers(go), &answers(ours));
            assert_eq!(found.iter().map(|d| d.field).collect::<Vec<_>>(), [field]);
        }
    }
}
