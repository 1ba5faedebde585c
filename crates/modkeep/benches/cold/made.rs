//! Repositories that look like Go modules to git and to deflate: text of a small vocabulary, folders of twenty files,
//! and a history in which each version changes one file in fifty.

use modkeep_testkit::GitRepo;

/// How many versions there are: `v1.0.0` to `v1.9.0`.
pub(crate) const VERSIONS: usize = 10;

const WORDS: [&str; 24] = [
    "func",
    "return",
    "range",
    "reader",
    "writer",
    "error",
    "index",
    "buffer",
    "context",
    "string",
    "length",
    "value",
    "if",
    "else",
    "for",
    "nil",
    "byte",
    "interface",
    "struct",
    "package",
    "handler",
    "request",
    "response",
    "encode",
];

/// Fills `repository` with so many files, and commits after the last version that no tag names.
pub(crate) fn repository(repository: &mut GitRepo, files: usize) {
    repository.put("go.mod", format!("module github.com/bench/files{files}\n\ngo 1.21\n"));
    repository.put("LICENSE", text(0, 1_500));
    for file in 0..files - 2 {
        repository.put(name(file), text(file, size(file)));
    }
    repository.commit("begin").tag("v1.0.0");
    for version in 1..VERSIONS {
        for file in (version..files - 2).step_by(50) {
            repository.put(name(file), text(file + version * files, size(file)));
        }
        repository.commit("work").tag(&format!("v1.{version}.0"));
        repository.put(name(0), text(version, 900)).commit("between");
    }
    repository.repack();
}

/// One version more, with another file changed and, if it is to be so, another go.mod.
pub(crate) fn grow(repository: &mut GitRepo, files: usize, version: &str, new_go_mod: bool) {
    if new_go_mod {
        repository
            .put("go.mod", format!("module github.com/bench/files{files}\n\ngo 1.21\n\n// {version}\n"));
    }
    repository.put(name(1), text(version.len(), 900)).commit("grow").tag(version).save();
}

fn name(file: usize) -> String {
    format!("pkg{}/part{}/file{file}.go", file / 400, file / 20 % 20)
}

/// From half a kilobyte to six, as in the module caches of the world.
fn size(file: usize) -> usize {
    500 + file * 7_919 % 5_500
}

/// Words at random, the same each time.
fn text(seed: usize, bytes: usize) -> String {
    let next =
        |state: u64| state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let mut state = next(seed as u64);
    let mut text = String::from("package bench\n\n");
    while text.len() < bytes {
        state = next(state);
        text.push_str(WORDS[(state >> 33) as usize % WORDS.len()]);
        if (state >> 40).is_multiple_of(7) {
            text.push_str(&((state >> 45) % 10_000).to_string());
        }
        text.push(if (state >> 50).is_multiple_of(8) { '\n' } else { ' ' });
    }
    text
}
