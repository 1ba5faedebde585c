//! `.gitattributes`: what the archive step of git takes from them, with git's precedence.
//!
//! A file's attributes are told by the lines of all `.gitattributes` from the root of the repository down to the file's
//! directory (module-zip section 3). The deepest file speaks first, the last line of a file before the ones above it,
//! and the first word on an attribute stands, be it `!attr`. A macro speaks for the attributes it lists when it is set.

mod wildmatch;

use std::collections::HashMap;
use std::sync::Arc;

use wildmatch::{Mode, Wildmatch};

/// The longest line that git reads, in bytes.
const LINE_BYTES_MAX: usize = 2048;

/// What a line says of an attribute.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Value {
    /// `attr`
    Set,
    /// `-attr`
    Unset,
    /// `!attr`
    Unspecified,
    /// `attr=text`
    Text(Box<[u8]>),
}

/// Attributes and their values, as a line has them.
type States = Vec<(Box<[u8]>, Value)>;

/// The attributes that the archive step looks at.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Attributes {
    /// The old name of `text`.
    pub(super) crlf: Option<Value>,
    pub(super) ident: Option<Value>,
    pub(super) eol: Option<Value>,
    pub(super) text: Option<Value>,
    pub(super) working_tree_encoding: Option<Value>,
}

impl Attributes {
    fn get_mut(&mut self, name: &[u8]) -> Option<&mut Option<Value>> {
        match name {
            b"crlf" => Some(&mut self.crlf),
            b"ident" => Some(&mut self.ident),
            b"eol" => Some(&mut self.eol),
            b"text" => Some(&mut self.text),
            b"working-tree-encoding" => Some(&mut self.working_tree_encoding),
            _ => None,
        }
    }
}

/// The attribute files from the root down to one directory.
#[derive(Clone, Debug)]
pub(super) struct Chain(Option<Arc<Link>>);

#[derive(Debug)]
struct Link {
    above: Chain,
    /// Length of the directory's path, without a slash at its end.
    base: usize,
    lines: Vec<Line>,
    /// How many lines the whole chain has.
    lines_in_all: usize,
    macros: Arc<HashMap<Box<[u8]>, States>>,
    converts: bool,
}

#[derive(Debug)]
struct Line {
    pattern: Pattern,
    states: States,
}

impl Chain {
    /// No attribute file at all.
    pub(super) fn empty() -> Self {
        Self(None)
    }

    /// The chain with the attribute file of the directory `base` (empty: the root) at its end.
    pub(super) fn with(&self, base: &[u8], file: &[u8]) -> Self {
        let (mut lines, mut macros) = (Vec::new(), HashMap::new());
        for read in read(file) {
            match read {
                Read::Line(line) => lines.push(line),
                // Only the root may define macros; the last definition counts.
                Read::Macro(name, states) if base.is_empty() => drop(macros.insert(name, states)),
                Read::Macro(..) => {}
            }
        }
        let above = self.0.as_deref();
        let says = |states: &States| states.iter().any(|(name, value)| may_convert(name, value));
        let converts = above.is_some_and(|above| above.converts)
            || lines.iter().any(|line| says(&line.states))
            || macros.values().any(says);
        let lines_in_all = lines.len() + above.map_or(0, |above| above.lines_in_all);
        let macros = above.map_or_else(|| Arc::new(macros), |above| above.macros.clone());
        let above = self.clone();
        Self(Some(Arc::new(Link { above, base: base.len(), lines, lines_in_all, macros, converts })))
    }

    /// Whether any file below may have attributes that change its contents. Most repositories say no here.
    pub(super) fn converts(&self) -> bool {
        self.0.as_ref().is_some_and(|link| link.converts)
    }

    /// How many patterns [`Chain::of`] tries at most.
    pub(super) fn lines(&self) -> usize {
        self.0.as_ref().map_or(0, |link| link.lines_in_all)
    }

    /// The attributes of the file at `path` (from the root of the repository), whose directory has this chain.
    pub(super) fn of(&self, path: &[u8]) -> Attributes {
        let mut told = Told { found: HashMap::new(), macros: self.0.as_ref().map(|link| &*link.macros) };
        let mut link = self.0.as_deref();
        while let Some(here) = link {
            for line in here.lines.iter().rev().filter(|line| line.pattern.matches(path, here.base)) {
                told.take(&line.states);
            }
            link = here.above.0.as_deref();
        }
        let mut attributes = Attributes::default();
        for (name, value) in told.found {
            if let Some(place) = attributes.get_mut(name) {
                *place = Some(value.clone());
            }
        }
        attributes
    }
}

/// Whether a word of an attribute line may lead to other contents than the blob's.
fn may_convert(name: &[u8], value: &Value) -> bool {
    match (name, value) {
        (b"ident" | b"working-tree-encoding", Value::Set) => true,
        (b"eol", Value::Text(text)) => **text == *b"crlf",
        (b"working-tree-encoding", Value::Text(text)) => !text.is_empty(),
        _ => false,
    }
}

/// What was said of a file so far.
struct Told<'a> {
    found: HashMap<&'a [u8], &'a Value>,
    macros: Option<&'a HashMap<Box<[u8]>, States>>,
}

/// What git knows as `binary`, unless the root defines it anew.
fn binary() -> &'static States {
    static BINARY: std::sync::OnceLock<States> = std::sync::OnceLock::new();
    BINARY.get_or_init(|| {
        [b"diff".as_slice(), b"merge", b"text"].map(|name| (name.into(), Value::Unset)).into()
    })
}

impl<'a> Told<'a> {
    /// Takes a line's words, the last one first. A macro speaks at once, before the words to its left; a stack, because
    /// macros may name macros.
    fn take(&mut self, states: &'a States) {
        let mut waiting: Vec<_> = vec![states.iter()];
        while let Some(words) = waiting.last_mut() {
            let Some((name, value)) = words.next_back() else {
                waiting.pop();
                continue;
            };
            if self.found.contains_key(&**name) {
                continue;
            }
            self.found.insert(name, value);
            if let (Value::Set, Some(states)) = (value, self.expansion(name)) {
                waiting.push(states.iter());
            }
        }
    }

    fn expansion(&self, name: &[u8]) -> Option<&'a States> {
        let own = self.macros.and_then(|macros| macros.get(name));
        own.or_else(|| (name == b"binary").then(binary))
    }
}

/// A pattern of an attribute line.
#[derive(Debug)]
enum Pattern {
    /// Without a slash, without a wildcard: the base name.
    Name(Box<[u8]>),
    /// `*.go`: the end of the base name.
    EndsWith(Box<[u8]>),
    /// Without a slash: the base name.
    BaseName(Wildmatch),
    /// With a slash: the path below the attribute file's directory. Up to the first wildcard it is text.
    Path(Box<[u8]>, Wildmatch),
}

impl Pattern {
    /// `None`: it matches no file (a directory's pattern, a negative one).
    fn parse(pattern: &[u8]) -> Option<Self> {
        if pattern.starts_with(b"!") || pattern.ends_with(b"/") {
            return None;
        }
        let plain = pattern.iter().position(|byte| is_special(*byte)).unwrap_or(pattern.len());
        if pattern.contains(&b'/') {
            let skipped = usize::from(pattern.starts_with(b"/"));
            let (text, rest) = (&pattern[skipped..plain], &pattern[plain..]);
            return Some(Self::Path(text.into(), Wildmatch::compile(rest, Mode::Path)));
        }
        if plain == pattern.len() {
            return Some(Self::Name(pattern.into()));
        }
        match pattern.strip_prefix(b"*") {
            Some(end) if !end.iter().any(|byte| is_special(*byte)) => Some(Self::EndsWith(end.into())),
            _ => Some(Self::BaseName(Wildmatch::compile(pattern, Mode::BaseName))),
        }
    }

    /// Whether it matches the file at `path`, which lies below the first `base` bytes of it.
    fn matches(&self, path: &[u8], base: usize) -> bool {
        let name = || &path[memchr::memrchr(b'/', path).map_or(0, |slash| slash + 1)..];
        match self {
            Self::Name(own) => *name() == **own,
            Self::EndsWith(end) => name().ends_with(end),
            Self::BaseName(pattern) => pattern.matches(name()),
            Self::Path(text, pattern) => {
                let below = if base == 0 { path } else { &path[base + 1..] };
                below.strip_prefix(&**text).is_some_and(|rest| pattern.matches(rest))
            }
        }
    }
}

/// A byte that may mean more than itself.
fn is_special(byte: u8) -> bool {
    matches!(byte, b'*' | b'?' | b'[' | b'\\')
}

enum Read {
    Line(Line),
    Macro(Box<[u8]>, States),
}

/// Reads an attribute file. Lines that git does not understand are left out, as git does.
fn read(file: &[u8]) -> impl Iterator<Item = Read> {
    // git reads text that ends with a NUL byte.
    let end = memchr::memchr(0, file).unwrap_or(file.len());
    file[..end].split(|&byte| byte == b'\n').filter_map(read_line)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

/// The text from its first byte that is not blank, cut into a word and the rest.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let start = text.iter().position(|byte| !is_blank(*byte)).unwrap_or(text.len());
    let text = &text[start..];
    text.split_at(text.iter().position(|byte| is_blank(*byte)).unwrap_or(text.len()))
}

fn read_line(line: &[u8]) -> Option<Read> {
    if line.len() >= LINE_BYTES_MAX {
        return None;
    }
    let (first, after) = word(line);
    if first.is_empty() || first.starts_with(b"#") {
        return None;
    }
    let from_first = &line[line.len() - first.len() - after.len()..];
    let unquoted = first.starts_with(b"\"").then(|| unquote(from_first)).flatten();
    let (pattern, rest) = match &unquoted {
        Some((pattern, rest)) => (pattern.as_slice(), *rest),
        None => (first, after),
    };
    if let (Some(name), true) = (pattern.strip_prefix(b"[attr]"), pattern.len() > 6) {
        // Behind a quote the name may be followed by blanks; without one it ends at the first.
        let (name, _) = word(name);
        return if is_name(name) { Some(Read::Macro(name.into(), states(rest)?)) } else { None };
    }
    let states = states(rest)?;
    // A pattern that was quoted may hold a NUL byte, where git's text ends.
    let end = memchr::memchr(0, pattern).unwrap_or(pattern.len());
    Some(Read::Line(Line { pattern: Pattern::parse(&pattern[..end])?, states }))
}

/// Reads the words of a line. One that is none spoils the line.
fn states(mut text: &[u8]) -> Option<States> {
    let mut states = Vec::new();
    loop {
        let (state, rest) = word(text);
        if state.is_empty() {
            return Some(states);
        }
        states.push(read_state(state)?);
        text = rest;
    }
}

fn read_state(word: &[u8]) -> Option<(Box<[u8]>, Value)> {
    let (name, text) = match memchr::memchr(b'=', word) {
        Some(equals) => (&word[..equals], Some(&word[equals + 1..])),
        None => (word, None),
    };
    let (name, value) = match (name.first(), text) {
        // What is assigned behind a sign is not looked at.
        (Some(b'-'), _) => (&name[1..], Value::Unset),
        (Some(b'!'), _) => (&name[1..], Value::Unspecified),
        (_, Some(text)) => (name, Value::Text(text.into())),
        (_, None) => (name, Value::Set),
    };
    is_name(name).then(|| (name.into(), value))
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && !name.starts_with(b"-")
        && !name.starts_with(b"builtin_")
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

/// Reads a pattern in C quotes; returns it with what follows. `None`: the quoting is broken.
fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut pattern = Vec::new();
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some((pattern, rest)),
            b'\\' => {
                let (byte, after) = escape(rest)?;
                pattern.push(byte);
                rest = after;
            }
            byte => pattern.push(byte),
        }
    }
}

fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let (&byte, rest) = text.split_first()?;
    let byte = match byte {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'\\' | b'"' => byte,
        b'0'..=b'3' => {
            let [second @ b'0'..=b'7', third @ b'0'..=b'7', rest @ ..] = rest else { return None };
            return Some((((byte - b'0') << 6) | ((second - b'0') << 3) | (third - b'0'), rest));
        }
        _ => return None,
    };
    Some((byte, rest))
}
