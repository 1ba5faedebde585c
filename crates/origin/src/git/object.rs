//! git's objects: their names, their hashes, and what is in commits, tags and trees.

use modkeep_module::time::Timestamp;
use sha1_checked::Digest as _;
use sha2::{Digest as _, Sha256};

use crate::git::tree::{ObjectId, ObjectKind};
use crate::git::wire::ObjectFormat;

/// The object's id when its contents are at hand; nothing when they were made to collide.
pub(crate) fn id_of(format: ObjectFormat, kind: ObjectKind, contents: &[u8]) -> Option<ObjectId> {
    let mut hasher = Hasher::new(format, kind, contents.len() as u64);
    hasher.update(contents);
    hasher.finish()
}

/// The bytes of an id.
pub(crate) fn raw_len(format: ObjectFormat) -> usize {
    match format {
        ObjectFormat::Sha1 => 20,
        ObjectFormat::Sha256 => 32,
    }
}

/// An id being computed. SHA-1 detects collisions (C16).
pub(crate) enum Hasher {
    Sha1(Box<sha1_checked::Sha1>),
    Sha256(Sha256),
}

impl Hasher {
    /// For an object of this kind and size in bytes.
    pub(crate) fn new(format: ObjectFormat, kind: ObjectKind, size: u64) -> Self {
        let mut hasher = match format {
            ObjectFormat::Sha1 => Self::Sha1(Box::default()),
            ObjectFormat::Sha256 => Self::Sha256(Sha256::new()),
        };
        hasher.update(format!("{} {size}\0", kind_name(kind)).as_bytes());
        hasher
    }

    /// The next bytes of its contents.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(sha1) => sha1.update(bytes),
            Self::Sha256(sha256) => sha256.update(bytes),
        }
    }

    /// The id; nothing when the contents bear the marks of a SHA-1 collision.
    pub(crate) fn finish(self) -> Option<ObjectId> {
        match self {
            Self::Sha1(sha1) => {
                let outcome = sha1.try_finalize();
                if outcome.has_collision() { None } else { ObjectId::from_bytes(outcome.hash()) }
            }
            Self::Sha256(sha256) => ObjectId::from_bytes(&sha256.finalize()),
        }
    }
}

/// The word for a kind in an object's header.
pub(crate) fn kind_name(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Commit => "commit",
        ObjectKind::Tree => "tree",
        ObjectKind::Blob => "blob",
        ObjectKind::Tag => "tag",
    }
}

/// What of a commit is of interest here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CommitObject {
    pub(crate) tree: ObjectId,
    pub(crate) parents: Vec<ObjectId>,
    /// When it was committed, seconds since 1970 UTC; nothing where git shows no time that the go command can read (B26).
    pub(crate) time: Option<Timestamp>,
}

/// A commit may have this many parents; the largest known in the wild has 66.
const PARENTS_MAX: usize = 10_000;

impl CommitObject {
    /// Reads the header lines; nothing when a tree or a committer is missing.
    pub(crate) fn parse(contents: &[u8]) -> Option<Self> {
        let mut lines = contents.split(|&byte| byte == b'\n');
        let tree = id_line(lines.next()?, b"tree ")?;
        let (mut parents, mut time) = (Vec::new(), None);
        for line in lines.take_while(|line| !line.is_empty()) {
            if line.starts_with(b"parent ") && parents.len() < PARENTS_MAX {
                parents.push(id_line(line, b"parent ")?);
            } else if let Some(committer) = line.strip_prefix(b"committer ") {
                time = Some(committer_time(committer));
                break;
            }
        }
        Some(Self { tree, parents, time: time?.map(|secs| Timestamp { secs, nanos: 0 }) })
    }
}

/// The seconds of `Name <mail> 1700000000 +0100`, as git shows them for `%ct`: digits behind the last `>`, a zone behind them.
/// Nothing where git shows nothing, or more than 63 bits hold.
fn committer_time(line: &[u8]) -> Option<i64> {
    let open = line.iter().position(|&byte| byte == b'<')?;
    let close = line.iter().rposition(|&byte| byte == b'>').filter(|&close| close > open)?;
    let text = line[close + 1..].trim_ascii_start();
    let (digits, rest) = text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count());
    let has_zone = matches!(rest.trim_ascii_start(), [b'+' | b'-', digit, ..] if digit.is_ascii_digit());
    std::str::from_utf8(digits).ok().filter(|_| has_zone)?.parse().ok()
}

fn id_line(line: &[u8], word: &[u8]) -> Option<ObjectId> {
    ObjectId::from_hex(std::str::from_utf8(line.strip_prefix(word)?).ok()?)
}

/// One line of a tree.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TreeLine<'a> {
    /// As in git: `0o40000` for a directory, `0o120000` for a link, `0o160000` for a commit of another repository.
    pub(crate) mode: u32,
    /// Without slashes in honest trees.
    pub(crate) name: &'a [u8],
    pub(crate) id: ObjectId,
}

impl TreeLine<'_> {
    pub(crate) fn is_tree(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }

    pub(crate) fn is_file(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }

    pub(crate) fn is_commit(&self) -> bool {
        self.mode & 0o170_000 == 0o160_000
    }
}

/// The lines of a tree, one after the other; an `Err` for the first malformed one ends it.
pub(crate) fn tree_lines(
    format: ObjectFormat,
    contents: &[u8],
) -> impl Iterator<Item = Result<TreeLine<'_>, MalformedTree>> {
    let mut rest = contents;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let line = tree_line(format, rest).ok_or(MalformedTree);
        rest = line.as_ref().map_or(&[], |(_, rest)| *rest);
        Some(line.map(|(line, _)| line))
    })
}

/// A tree that is cut short or holds a mode that is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct MalformedTree;

fn tree_line(format: ObjectFormat, rest: &[u8]) -> Option<(TreeLine<'_>, &[u8])> {
    let blank = rest.iter().take(8).position(|&byte| byte == b' ')?;
    let mode = u32::from_str_radix(std::str::from_utf8(&rest[..blank]).ok()?, 8).ok()?;
    let rest = &rest[blank + 1..];
    let end = rest.iter().position(|&byte| byte == 0)?;
    let (name, rest) = (&rest[..end], &rest[end + 1..]);
    let (id, rest) = rest.split_at_checked(raw_len(format))?;
    Some((TreeLine { mode, name, id: ObjectId::from_bytes(id)? }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_tree_and_blob_have_their_well_known_names() {
        for (format, kind, id) in [
            (ObjectFormat::Sha1, ObjectKind::Tree, "4b825dc642cb6eb9a060e54bf8d69288fbee4904"),
            (ObjectFormat::Sha1, ObjectKind::Blob, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
            (
                ObjectFormat::Sha256,
                ObjectKind::Tree,
                "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
            ),
        ] {
            let made = id_of(format, kind, b"").unwrap();
            assert_eq!((made.to_string().as_str(), ObjectId::from_hex(id)), (id, Some(made)));
        }
        for text in ["", "4B825DC642CB6EB9A060E54BF8D69288FBEE4904", "4b825dc642cb", &"g".repeat(40)] {
            assert_eq!(ObjectId::from_hex(text), None, "{text}");
        }
    }

    #[test]
    fn commits_are_read_as_git_reads_them() {
        let tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
        let parent = "1111111111111111111111111111111111111111";
        let text = format!(
            "tree {tree}\nparent {parent}\nauthor A > <a@b> 5 +0000\ncommitter C <c@d> 1700000000 -0800\n\nparent x\n"
        );
        let commit = CommitObject::parse(text.as_bytes()).unwrap();
        assert_eq!(commit.parents, [ObjectId::from_hex(parent).unwrap()]);
        assert_eq!((commit.tree.to_string().as_str(), commit.time.unwrap().secs), (tree, 1_700_000_000));
        assert_eq!(CommitObject::parse(b"tree 12\n\n"), None);
        assert_eq!(CommitObject::parse(format!("tree {tree}\n\n").as_bytes()), None);
        for (line, secs) in [
            (&b"C <c> 0 +0000"[..], Some(0)),
            (b"C <c> > x <y>\t 1700000000 -0800", Some(1_700_000_000)),
            (b"C <c>1700000000 +9999", Some(1_700_000_000)),
            (b"C <c> 9223372036854775807 +0", Some(i64::MAX)),
            (b"C <c> -5 +0000", None),
            (b"C <c> +5 +0000", None),
            (b"C <c> 99999999999999999999 +0", None),
            (b"C <c> 18446744073709551614 +0000", None),
            (b"C <c> 1700000000abc +0000", None),
            (b"C <c> 1700000000.5 +0000", None),
            (b"C <c> 1700000000", None),
            (b"C <c> 1700000000 0000", None),
            (b"C c 1 +0000", None),
            (b"C <c>", None),
        ] {
            assert_eq!(committer_time(line), secs);
        }
    }

    #[test]
    fn trees_that_are_cut_short_say_so() {
        let mut tree = b"100644 a\0".to_vec();
        tree.extend([7; 20]);
        tree.extend(b"40000 b\0");
        tree.extend([8; 20]);
        let lines: Vec<_> = tree_lines(ObjectFormat::Sha1, &tree).map(Result::unwrap).collect();
        assert_eq!((lines.len(), lines[0].name, lines[1].is_tree()), (2, &b"a"[..], true));
        for cut in [tree.len() - 1, 30, 33] {
            assert_eq!(tree_lines(ObjectFormat::Sha1, &tree[..cut]).last(), Some(Err(MalformedTree)));
        }
    }

    /// The first 320 bytes of the two PDF files of <https://shattered.io>, which have the same SHA-1.
    const SHATTERED: [&str; 2] = [
        "\
         255044462d312e330a25e2e3cfd30a0a0a312030206f626a0a3c3c2f57696474682032203020522f4865696768742033\
         203020522f547970652034203020522f537562747970652035203020522f46696c7465722036203020522f436f6c6f72\
         53706163652037203020522f4c656e6774682038203020522f42697473506572436f6d706f6e656e7420383e3e0a7374\
         7265616d0affd8fffe00245348412d3120697320646561642121212121852fec092339759c39b1a1c63c4c97e1fffe01\
         7346dc9166b67e118f029ab621b2560ff9ca67cca8c7f85ba84c79030c2b3de218f86db3a90901d5df45c14f26fedfb3\
         dc38e96ac22fe7bd728f0e45bce046d23c570feb141398bb552ef5a0a82be331fea48037b8b5d71f0e332edf93ac3500\
         eb4ddc0decc1a864790c782c76215660dd309791d06bd0af3f98cda4bc4629b1",
        "\
         255044462d312e330a25e2e3cfd30a0a0a312030206f626a0a3c3c2f57696474682032203020522f4865696768742033\
         203020522f547970652034203020522f537562747970652035203020522f46696c7465722036203020522f436f6c6f72\
         53706163652037203020522f4c656e6774682038203020522f42697473506572436f6d706f6e656e7420383e3e0a7374\
         7265616d0affd8fffe00245348412d3120697320646561642121212121852fec092339759c39b1a1c63c4c97e1fffe01\
         7f46dc93a6b67e013b029aaa1db2560b45ca67d688c7f84b8c4c791fe02b3df614f86db1690901c56b45c1530afedfb7\
         6038e972722fe7ad728f0e4904e046c230570fe9d41398abe12ef5bc942be33542a4802d98b5d70f2a332ec37fac3514\
         e74ddc0f2cc1a874cd0c78305a21566461309789606bd0bf3f98cda8044629a1",
    ];

    #[test]
    fn hostile_c16_a_sha1_collision_pair_has_no_name() {
        for half in SHATTERED {
            let hex: String = half.split_whitespace().collect();
            let bytes: Vec<u8> = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect();
            let mut hasher = Hasher::Sha1(Box::default());
            hasher.update(&bytes);
            assert_eq!((bytes.len(), hasher.finish()), (320, None));
        }
    }
}
