//! What a room's source may mention: some words belong to one room alone.
//!
//! The search is by text, over code without comments and without tests, so that it reads like the rule it
//! keeps. A word in the table that stands elsewhere is a finding with file and line.

use std::path::{Path, PathBuf};

use crate::Error;
use crate::metadata::Package;

/// A kind of work that belongs to some rooms alone.
struct Rule {
    /// What the rule keeps, as the finding says it.
    says: &'static str,
    /// Words whose mention means that the work is done here.
    words: &'static [&'static str],
    /// Rooms, or files `room/src/file.rs` with the folder of that name, that do this work, each with its reason.
    homes: &'static [(&'static str, &'static str)],
}

const RULES: &[Rule] = &[
    Rule {
        says: "only store touches the data directory",
        words: &[
            "tokio::fs",
            "std::fs::",
            "use std::fs;",
            "{fs,",
            " fs,",
            " fs}",
            "OpenOptions",
            "File::open",
            "File::create",
        ],
        homes: &[
            ("store", "it is the data directory's room"),
            (
                "modkeep",
                "configuration, the lists that prefetch reads, trees that import reads and export writes",
            ),
            ("upstream/src/tree.rs", "reads a file:// GOPROXY tree"),
            ("upstream/src/inventory.rs", "tells what such a tree holds"),
            ("egress/src/tls.rs", "reads the configured file of root certificates"),
            ("http/src/tls.rs", "reads the configured certificate and key"),
            ("log/src/audit", "reads a log in a folder, keeps its notes and evidence where its caller says"),
            ("log/src/head_copy.rs", "follows the newest head in a file beside the key"),
            ("log/src/keys", "reads and makes key files"),
            ("log/src/witness/adopted.rs", "keeps what lists have added, where the witness keeps the rest"),
            ("log/src/witness/lists.rs", "reads the lists of logs that the operator names"),
            (
                "log/src/witness/keeper.rs",
                "keeps what a witness has seen of other logs where its caller says",
            ),
            ("origin/src/git/cache.rs", "keeps objects in a workspace that the store lends it"),
            ("origin/src/git/earlier.rs", "remembers there which versions were packed, and reads their zips"),
            ("origin/src/git/history/kept.rs", "keeps there who descends from whom"),
            ("origin/src/git/spool.rs", "lays a pack's objects there, in a file without a name"),
            ("origin/src/git/tree/cat_file.rs", "tests beside the git program"),
            ("origin/src/program", "programs work in such a workspace"),
            ("origin/src/resolve/logins.rs", "reads configured tokens and netrc files"),
        ],
    },
    Rule {
        says: "only http knows a status code of ours",
        words: &["StatusCode"],
        homes: &[("http", "it is the edge"), ("egress", "reads the status of other servers' answers")],
    },
    Rule {
        says: "every outgoing connection is opened by egress",
        words: &["TcpStream::connect", "HttpConnector", "client::legacy"],
        homes: &[
            ("egress", "it is the one way out"),
            (
                "origin/src/program/jail/connect.rs",
                "leads from the jail into egress's tunnel, and nowhere else",
            ),
        ],
    },
];

/// An open file that is handed on touches no path; the rule is about paths.
const HANDED_ON: &[&str] = &["std::fs::File"];

/// Rooms beside the house, which are free to test and to build with anything.
const FREE: &[&str] = &["testkit", "xtask"];

/// Reads the source of every room and says what stands in the wrong one.
pub(crate) fn check(packages: &[Package]) -> Result<Vec<String>, Error> {
    let mut findings = Vec::new();
    for package in packages.iter().filter(|p| !FREE.contains(&p.room.as_str())) {
        for file in rust_files(&package.folder.join("src"))? {
            let text = read(&file)?;
            let inside = file.strip_prefix(&package.folder).unwrap_or(&file);
            findings.extend(judge(&package.room, &format!("{}/{}", package.room, inside.display()), &text));
        }
    }
    Ok(findings)
}

/// What is wrong with one file; `place` is `room/src/file.rs`.
fn judge(room: &str, place: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (number, line) in code_lines(text) {
        for rule in RULES {
            let at_home = rule.homes.iter().any(|(home, _)| *home == room || is_within(place, home));
            if !at_home && rule.words.iter().any(|word| mentions(line, word)) {
                findings.push(format!("{place}:{number}: {}: {}", rule.says, line.trim()));
            }
        }
    }
    findings
}

/// Whether a file is `home`, or `home.rs`, or lies below the folder `home`.
fn is_within(place: &str, home: &str) -> bool {
    place.strip_prefix(home).is_some_and(|rest| rest.is_empty() || rest == ".rs" || rest.starts_with('/'))
}

fn mentions(line: &str, word: &str) -> bool {
    let without = HANDED_ON.iter().fold(line.to_owned(), |line, allowed| match line.find(allowed) {
        // `std::fs::File` itself, but neither `std::fs::FileType` nor `std::fs::File::open`.
        Some(at) if !continues(&line[at + allowed.len()..]) => line.replacen(allowed, "File", 1),
        _ => line,
    });
    without.contains(word)
}

fn continues(rest: &str) -> bool {
    rest.starts_with("::open") || rest.starts_with("::create") || rest.starts_with(char::is_alphanumeric)
}

/// The lines of code with their numbers: comments cut off, and the tests at the end of the file left out.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let tests = text.find("\n#[cfg(test)]\nmod tests {").map_or(text.len(), |at| at + 1);
    text[..tests]
        .lines()
        .enumerate()
        .map(|(n, line)| (n + 1, line))
        .map(|(n, line)| (n, line.split("//").next().unwrap_or(line)))
        .filter(|(_, line)| !line.trim().is_empty())
}

/// Every `.rs` file below `folder` but those that hold only tests, in order of names.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = every_rust_file(folder)?;
    files.retain(|path| {
        !path.ends_with("tests.rs") && path.components().all(|part| part.as_os_str() != "tests")
    });
    Ok(files)
}

/// Every `.rs` file below `folder`, in order of names.
pub(crate) fn every_rust_file(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |source| Error::File { path: folder.display().to_string(), source };
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::File { path: path.display().to_string(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_at_home_and_abroad() {
        for (room, place, line, fine) in [
            ("store", "store/src/disk.rs", "std::fs::rename(a, b)?;", true),
            ("fetch", "fetch/src/lib.rs", "std::fs::rename(a, b)?;", false),
            ("fetch", "fetch/src/lib.rs", "use std::{fs, io};", false),
            ("fetch", "fetch/src/lib.rs", "// std::fs::rename is for store", true),
            ("mirror", "mirror/src/lib.rs", "file: std::fs::File,", true),
            ("mirror", "mirror/src/lib.rs", "let file = std::fs::File::open(path)?;", false),
            ("mirror", "mirror/src/lib.rs", "fn kind() -> std::fs::FileType {", false),
            ("upstream", "upstream/src/tree.rs", "std::fs::read(path)", true),
            ("upstream", "upstream/src/http.rs", "std::fs::read(path)", false),
            ("http", "http/src/status.rs", "StatusCode::NOT_FOUND", true),
            ("mirror", "mirror/src/lib.rs", "StatusCode::NOT_FOUND", false),
            ("egress", "egress/src/connect.rs", "TcpStream::connect(address).await", true),
            ("sumdb", "sumdb/src/lib.rs", "TcpStream::connect(address).await", false),
            ("origin", "origin/src/program.rs", "std::fs::read(path)", true),
            ("origin", "origin/src/program/jail.rs", "std::fs::read(path)", true),
            ("origin", "origin/src/programs.rs", "std::fs::read(path)", false),
        ] {
            assert_eq!(judge(room, place, line).is_empty(), fine, "{place}: {line}");
        }
    }

    #[test]
    fn tests_at_the_end_of_a_file_are_free() {
        let text = "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
        assert!(judge("fetch", "fetch/src/lib.rs", text).is_empty());
    }
}
