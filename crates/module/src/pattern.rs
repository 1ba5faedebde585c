//! Module patterns as in GOPRIVATE (goproxy-protocol.md section 8): globs that match path prefixes.

use crate::unicode;

/// A comma-separated list of globs; each matches as many leading elements of a path as it has itself.
///
/// `*.corp.example.com,github.com/acme/*`. Case-sensitive, no white-space trimming, exactly as the go command.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Patterns(Vec<Box<str>>);

/// A glob that `path.Match` calls malformed: an open bracket, an empty range, a trailing backslash.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("malformed pattern {}", unicode::quoted(_0))]
pub struct PatternError(pub Box<str>);

impl Patterns {
    /// Reads a list; a malformed glob is an error.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let globs: Vec<_> = globs(text).collect();
        match globs.iter().find(|glob| glob_match(glob, "").is_err()) {
            Some(bad) => Err(PatternError((*bad).into())),
            None => Ok(Self(globs.into_iter().map(Box::from).collect())),
        }
    }

    /// Reads a list as the go command does: a malformed glob matches nothing.
    pub fn lenient(text: &str) -> Self {
        Self(globs(text).filter(|glob| glob_match(glob, "").is_ok()).map(Box::from).collect())
    }

    /// Whether some glob matches a prefix of `target`.
    pub fn matches(&self, target: &str) -> bool {
        self.0
            .iter()
            .any(|glob| prefix_of(target, glob).is_some_and(|prefix| glob_match(glob, prefix) == Ok(true)))
    }

    /// Whether nothing can match.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The globs, in the order written.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|glob| &**glob)
    }
}

fn globs(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(|glob| glob.strip_suffix('/').unwrap_or(glob)).filter(|glob| !glob.is_empty())
}

/// The leading elements of `target`, as many as `glob` has; `None` when it has fewer.
fn prefix_of<'a>(target: &'a str, glob: &str) -> Option<&'a str> {
    let slashes = glob.matches('/').count();
    match target.match_indices('/').nth(slashes) {
        Some((end, _)) => target.get(..end),
        None => (target.matches('/').count() == slashes).then_some(target),
    }
}

/// A glob that cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Malformed;

/// Go's `path.Match`: `*` any run without `/`, `?` one character but `/`, `[a-z]`, `[^x]`, `\` escapes.
///
/// Steps back to the last star only, so the time is at most the product of both lengths. Whether a glob is
/// malformed does not depend on the name.
pub fn glob_match(glob: &str, name: &str) -> Result<bool, Malformed> {
    let mut chunks = chunks(glob);
    let mut rest = name.as_bytes();
    while let Some((star, chunk)) = chunks.next() {
        let last = chunks.clone().next().is_none();
        if star && chunk.is_empty() {
            return Ok(!rest.contains(&b'/'));
        }
        match match_chunk(chunk, rest, star, last)? {
            Some(after) => rest = after,
            None => {
                // The name fails; what is left of the glob must still be well formed.
                return chunks.try_for_each(|(_, chunk)| chunk_at(chunk, b"").map(drop)).map(|()| false);
            }
        }
    }
    Ok(rest.is_empty())
}

/// Matches a chunk here, or further right if a star stands before it; the last one must reach the end.
fn match_chunk<'n>(
    chunk: &[u8],
    name: &'n [u8],
    star: bool,
    last: bool,
) -> Result<Option<&'n [u8]>, Malformed> {
    let reach = if star { name.iter().position(|&b| b == b'/').unwrap_or(name.len()) } else { 0 };
    for skipped in 0..=reach {
        if let Some(after) = chunk_at(chunk, &name[skipped..])?
            && (after.is_empty() || !last)
        {
            return Ok(Some(after));
        }
    }
    Ok(None)
}

/// The pieces of a glob that hold no star, each with whether a star stands before it.
fn chunks(glob: &str) -> impl Iterator<Item = (bool, &[u8])> + Clone {
    let mut rest = glob.as_bytes();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let stars = rest.iter().take_while(|&&b| b == b'*').count();
        let body = &rest[stars..];
        let (chunk, after) = body.split_at(chunk_len(body));
        rest = after;
        Some((stars > 0, chunk))
    })
}

/// How far it is to the next star that is not escaped and not inside brackets.
fn chunk_len(glob: &[u8]) -> usize {
    let (mut at, mut in_range) = (0, false);
    while let Some(&b) = glob.get(at) {
        match b {
            b'\\' => at += 1,
            b'[' => in_range = true,
            b']' => in_range = false,
            b'*' if !in_range => return at,
            _ => {}
        }
        at += 1;
    }
    glob.len()
}

/// Matches a chunk at the start of `name` and returns what is left of it. Reads the chunk to its end even
/// after a failure, so that a malformed one is always noticed.
fn chunk_at<'n>(mut chunk: &[u8], name: &'n [u8]) -> Result<Option<&'n [u8]>, Malformed> {
    let mut left = Some(name);
    while let Some((&b, after)) = chunk.split_first() {
        left = left.filter(|name| !name.is_empty());
        match b {
            b'[' => {
                let c = left.map(first_char);
                let (hit, after) = read_class(after, c.map(|(c, _)| c))?;
                left = c.filter(|_| hit).map(|(_, rest)| rest);
                chunk = after;
            }
            b'?' => {
                left = left.filter(|name| name[0] != b'/').map(|name| first_char(name).1);
                chunk = after;
            }
            b => {
                let (literal, after) = if b == b'\\' { split_byte(after)? } else { (b, after) };
                left = left.and_then(|name| name.strip_prefix(&[literal]));
                chunk = after;
            }
        }
    }
    Ok(left)
}

/// Reads a class after its `[`: whether `c` is in it, and what follows its `]`.
fn read_class(mut class: &[u8], c: Option<char>) -> Result<(bool, &[u8]), Malformed> {
    let negated = class.first() == Some(&b'^');
    if negated {
        class = &class[1..];
    }
    let (mut found, mut ranges) = (false, 0_usize);
    loop {
        if ranges > 0 && class.first() == Some(&b']') {
            return Ok((found != negated, &class[1..]));
        }
        let (low, after) = class_char(class)?;
        let (high, after) = if after[0] == b'-' { class_char(&after[1..])? } else { (low, after) };
        found |= c.is_some_and(|c| (low..=high).contains(&c));
        ranges += 1;
        class = after;
    }
}

/// One character of a class, perhaps escaped. Something must follow, if only the closing bracket.
fn class_char(class: &[u8]) -> Result<(char, &[u8]), Malformed> {
    let body = match class.first() {
        None | Some(b'-' | b']') => return Err(Malformed),
        Some(b'\\') => &class[1..],
        Some(_) => class,
    };
    if body.is_empty() {
        return Err(Malformed);
    }
    let (c, after) = first_char(body);
    if after.is_empty() { Err(Malformed) } else { Ok((c, after)) }
}

fn split_byte(chunk: &[u8]) -> Result<(u8, &[u8]), Malformed> {
    chunk.split_first().map(|(&b, after)| (b, after)).ok_or(Malformed)
}

/// The first character and the rest. Inside a character (a star may have skipped into one) a byte counts as U+FFFD.
fn first_char(text: &[u8]) -> (char, &[u8]) {
    let (c, len) = unicode::first_char(text);
    (c, &text[len..])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of goproxy-protocol.md section 8.
    #[test]
    fn prefixes_match_as_in_goprivate() {
        let globs = ["*.corp.example.com", "rsc.io/private", "github.com/acme/*", "github.com/acme/"];
        for (target, expected) in [
            ("git.corp.example.com/xyzzy", [true, false, false, false]),
            ("corp.example.com/x", [false; 4]),
            ("rsc.io/private/quux", [false, true, false, false]),
            ("rsc.io/privateer", [false; 4]),
            ("github.com/acme/a/b", [false, false, true, true]),
            ("github.com/acme", [false, false, false, true]),
        ] {
            for (glob, expected) in globs.iter().zip(expected) {
                assert_eq!(Patterns::parse(glob).unwrap().matches(target), expected, "{glob} {target}");
            }
            assert_eq!(Patterns::parse(&globs.join(",")).unwrap().matches(target), expected.contains(&true));
        }
    }

    #[test]
    fn malformed_globs_are_errors_here_and_nothing_in_go() {
        for bad in ["[", "a[", "[]a]", "[-x]", "[x-]", "[a-", "a\\", "x*[", "[^]", "[\\"] {
            assert_eq!(Patterns::parse(bad), Err(PatternError(bad.into())));
            assert!(Patterns::lenient(bad).is_empty());
        }
        let mixed = Patterns::lenient("[,rsc.io,,none/");
        assert!(mixed.matches("rsc.io/quote"));
        assert_eq!(mixed.iter().collect::<Vec<_>>(), ["rsc.io", "none"]);
    }

    #[test]
    fn stars_do_not_multiply() {
        let glob = "a*".repeat(40) + "b";
        assert_eq!(glob_match(&glob, &"a".repeat(5_000)), Ok(false));
    }
}
