//! One function per parser that meets foreign bytes. Each must return, whatever it is given, and checks on the
//! way what must hold of every value that was read.
#![allow(clippy::missing_panics_doc)] // a panic is how a harness speaks

use crate::gomod::{self, GoMod};
use crate::goproxy::{self, Request};
use crate::gosum::GoSum;
use crate::info::Info;
use crate::path::{self, ModulePath};
use crate::pattern::{Patterns, glob_match};
use crate::time::Timestamp;
use crate::version::{Query, Version};
use crate::{H1, list, pseudo, semver};

/// A parser's harness.
pub type Harness = fn(&[u8]);

/// Every harness of this module, with the name of what it reads.
pub const ALL: &[(&str, Harness)] = &[
    ("semver", semver),
    ("module path", module_path),
    ("file path", file_path),
    ("version", version),
    ("patterns", patterns),
    ("request", request),
    ("list", list),
    ("info", info),
    ("time", time),
    ("go.sum", go_sum),
    ("go.mod", go_mod),
    ("h1", h1),
];

/// A canonical version is its own canonical form, and the order is the same from both sides.
pub fn semver(bytes: &[u8]) {
    let (v, w) = halves(bytes);
    if let Some(canonical) = semver::canonical(&v) {
        assert_eq!(semver::canonical(&canonical), Some(canonical));
    }
    assert_eq!(semver::compare(&v, &w), semver::compare(&w, &v).reverse());
}

/// Both forms of a path name each other.
pub fn module_path(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(path) = ModulePath::parse(&text) {
        assert_eq!(ModulePath::from_escaped(path.escape().as_str()).as_ref(), Ok(&path));
        assert_eq!(format!("{}{}", path.prefix(), path.path_major().as_str()), path.as_str());
    }
    if let Ok(path) = ModulePath::from_escaped(&text) {
        assert_eq!(path.escape().as_str(), text);
    }
}

/// A folded key folds to itself.
pub fn file_path(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = (path::check_file_path(&text), path::check_import_path(&text));
    let key = path::fold_key(&text);
    assert_eq!(path::fold_key(&key), key);
}

/// Both forms of a version name each other; a base is older than what was made from it.
pub fn version(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = Query::parse(&text);
    let Ok(version) = Version::parse(&text) else { return };
    assert_eq!(Version::from_escaped(&version.escape()).as_ref(), Ok(&version));
    let base = pseudo::parse(&version).ok().and_then(|pseudo| pseudo.base);
    assert!(base.is_none_or(|base| base < version));
}

/// What is refused when strict matches nothing when lenient.
pub fn patterns(bytes: &[u8]) {
    let (globs, target) = halves(bytes);
    let lenient = Patterns::lenient(&globs);
    if let Ok(strict) = Patterns::parse(&globs) {
        assert_eq!(strict, lenient);
    }
    let _ = (lenient.matches(&target), glob_match(&globs, &target));
}

/// A request that reads is written and read back, in both forms.
pub fn request(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(decoded) = goproxy::percent_decode_once(&text) else { return };
    if let Ok(request) = Request::parse(&decoded) {
        assert_eq!(Request::parse(&request.to_path()).as_ref(), Ok(&request));
        let url_path = request.to_url_path();
        let decoded = goproxy::percent_decode_once(&url_path).expect("we encode what we decode");
        assert_eq!(Request::parse(&decoded), Ok(request));
    }
}

/// What a list keeps, it keeps when it is read again.
pub fn list(bytes: &[u8]) {
    let path = ModulePath::parse("example.com/m").expect("a module path");
    let versions = list::parse(bytes, &path);
    assert_eq!(list::parse(&list::render(&versions), &path), versions);
}

/// What we write of an info reads as the same.
pub fn info(bytes: &[u8]) {
    let Ok(info) = Info::parse(bytes) else { return };
    let again = Info::parse(&info.to_json());
    assert!(again.is_ok_and(|again| again.to_json() == info.to_json()));
}

/// A time that reads can be written.
pub fn time(bytes: &[u8]) {
    if let Ok(time) = Timestamp::parse(&String::from_utf8_lossy(bytes)) {
        assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
    }
}

/// go.sum
pub fn go_sum(bytes: &[u8]) {
    let _ = GoSum::parse(bytes);
}

/// What passes the strict reading passes the lenient one, with the same module.
pub fn go_mod(bytes: &[u8]) {
    let _ = gomod::module_line_quick_scan(bytes);
    let lenient = GoMod::parse_lenient(bytes);
    if let Ok(strict) = GoMod::parse(bytes) {
        assert!(
            lenient.is_ok_and(|lenient| (lenient.module, lenient.require) == (strict.module, strict.require))
        );
    }
}

/// A sum has one spelling.
pub fn h1(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(sum) = text.parse::<H1>() {
        assert_eq!(sum.to_string(), text);
    }
}

/// Two texts from one input: before and after the first newline.
fn halves(bytes: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(bytes);
    let (first, second) = text.split_once('\n').unwrap_or((&text, ""));
    (first.to_owned(), second.to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn run_all(bytes: &[u8]) {
        for (_, harness) in ALL {
            harness(bytes);
        }
    }

    /// The inputs of the golden tables: names, versions, globs and files near the border of what is legal.
    static CORPUS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let texts = [("semver", "v"), ("paths", "path"), ("globs", "glob")];
        let texts = texts.into_iter().flat_map(|(table, field)| column(table, field)).map(String::into_bytes);
        texts.chain(column("gomod", "file").iter().map(|file| STANDARD.decode(file).unwrap())).collect()
    });

    fn column(table: &str, field: &str) -> Vec<String> {
        let file = format!("{}/../../testdata/module/{table}.jsonl", env!("CARGO_MANIFEST_DIR"));
        let rows = std::fs::read_to_string(file).unwrap();
        let rows = rows.lines().map(|row| serde_json::from_str::<Value>(row).unwrap());
        rows.map(|row| row[field].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn everything_returns_on_the_corpus_whole_and_cut() {
        for input in &*CORPUS {
            run_all(input);
            run_all(&input[..input.len() / 2]);
        }
    }

    proptest! {
        #[test]
        fn everything_returns_on_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            run_all(&bytes);
        }

        #[test]
        fn everything_returns_on_texts_that_look_right(
            text in "(module|go|require|retract|v[0-9]\\.[0-9]\\.0|[a-z.]{1,5}/|@v/|\\.info|[ \n\t\"(),!%@*\\[\\]{}:]|\\{\"Version\":\"v1.0.0\"|h1:|é){0,24}",
        ) {
            run_all(text.as_bytes());
        }

        #[test]
        fn everything_returns_on_the_corpus_with_a_byte_changed(at in any::<prop::sample::Index>(), bit in 0_u8..8, which in any::<prop::sample::Index>()) {
            let mut input = CORPUS[which.index(CORPUS.len())].clone();
            if !input.is_empty() {
                let at = at.index(input.len());
                input[at] ^= 1 << bit;
            }
            run_all(&input);
        }
    }
}
