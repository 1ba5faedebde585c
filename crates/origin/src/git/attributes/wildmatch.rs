//! git's shell patterns, as a small automaton.
//!
//! A pattern becomes a row of tokens; matching keeps the set of places in the row that the text read so far can have
//! led to. So the work is the product of two lengths at most, whatever stars a stranger's pattern has.

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Wildmatch {
    tokens: Vec<Token>,
}

#[derive(Clone, Debug)]
enum Token {
    /// This byte.
    Byte(u8),
    /// One byte of a set: `?` and `[…]`.
    OneOf(Box<Set>),
    /// Any number of bytes other than a slash: `*` in a path.
    Star,
    /// Any number of bytes: `**` between slashes, and `*` in a base name.
    AnyStar,
    /// Before the two tokens of `**/`, which may be left out together.
    MaybeDirectories,
    /// Nothing: an unfinished class, a backslash at the end.
    Never,
}

/// Where stars end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mode {
    /// At slashes, unless they are two.
    Path,
    /// Nowhere.
    BaseName,
}

impl Wildmatch {
    /// Compiles a pattern. Any bytes are one; what cannot be understood matches nothing.
    pub(super) fn compile(pattern: &[u8], mode: Mode) -> Self {
        let mut tokens = Vec::with_capacity(pattern.len());
        let mut at = 0;
        while let Some(&byte) = pattern.get(at) {
            at += 1;
            match byte {
                b'\\' => {
                    tokens.push(pattern.get(at).map_or(Token::Never, |&byte| Token::Byte(byte)));
                    at += 1;
                }
                b'?' => tokens.push(Token::OneOf(Box::new(Set::any(mode)))),
                b'*' => at = stars(pattern, at, mode, &mut tokens),
                b'[' => {
                    let Some((set, end)) = Set::parse(pattern, at, mode) else {
                        tokens.push(Token::Never);
                        break;
                    };
                    tokens.push(Token::OneOf(Box::new(set)));
                    at = end;
                }
                byte => tokens.push(Token::Byte(byte)),
            }
        }
        Self { tokens }
    }

    /// Whether the pattern matches all of `text`.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let mut now = vec![false; self.tokens.len() + 1];
        self.enter(&mut now, 0);
        let mut next = vec![false; now.len()];
        for &byte in text {
            next.fill(false);
            let mut alive = false;
            for (at, token) in self.tokens.iter().enumerate().filter(|(at, _)| now[*at]) {
                let to = match token {
                    Token::Byte(this) if *this == byte => at + 1,
                    Token::OneOf(set) if set.contains(byte) => at + 1,
                    Token::Star if byte != b'/' => at,
                    Token::AnyStar => at,
                    _ => continue,
                };
                alive = true;
                self.enter(&mut next, to);
            }
            if !alive {
                return false;
            }
            std::mem::swap(&mut now, &mut next);
        }
        now[self.tokens.len()]
    }

    /// Marks a place and those that are reached from it without reading.
    fn enter(&self, places: &mut [bool], mut at: usize) {
        while !places[at] {
            places[at] = true;
            match self.tokens.get(at) {
                Some(Token::Star | Token::AnyStar) => {}
                Some(Token::MaybeDirectories) => self.enter(places, at + 3),
                _ => return,
            }
            at += 1;
        }
    }
}

/// The tokens of a run of stars whose first is before `at`; returns where it ends.
fn stars(pattern: &[u8], at: usize, mode: Mode, tokens: &mut Vec<Token>) -> usize {
    let first = at - 1;
    let end = at + pattern[at..].iter().take_while(|&&byte| byte == b'*').count();
    if mode == Mode::BaseName {
        tokens.push(Token::AnyStar);
        return end;
    }
    let rest = &pattern[end..];
    let stands_alone = (first == 0 || pattern[first - 1] == b'/')
        && (rest.is_empty() || rest.starts_with(b"/") || rest.starts_with(b"\\/"));
    if end - first < 2 || !stands_alone {
        tokens.push(Token::Star);
        return end;
    }
    if rest.starts_with(b"/") {
        tokens.extend([Token::MaybeDirectories, Token::AnyStar, Token::Byte(b'/')]);
        return end + 1;
    }
    tokens.push(Token::AnyStar);
    end
}

/// A set of bytes.
#[derive(Clone, Debug)]
struct Set([bool; 256]);

impl Set {
    fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte)]
    }

    fn any(mode: Mode) -> Self {
        let mut set = Self([true; 256]);
        set.without_slash(mode);
        set
    }

    fn without_slash(&mut self, mode: Mode) {
        if mode == Mode::Path {
            self.0[usize::from(b'/')] = false;
        }
    }

    fn add(&mut self, belongs: impl Fn(u8) -> bool) {
        for byte in 0..=255 {
            self.0[usize::from(byte)] |= belongs(byte);
        }
    }

    /// Reads a class whose bracket is before `at`; returns where it ends. `None`: it does not end, or names an unknown
    /// class.
    fn parse(pattern: &[u8], mut at: usize, mode: Mode) -> Option<(Self, usize)> {
        let negated = matches!(pattern.get(at), Some(b'!' | b'^'));
        at += usize::from(negated);
        let mut set = Self([false; 256]);
        // The byte that a following dash makes the start of a range.
        let mut start: Option<u8> = None;
        let mut first = true;
        loop {
            let byte = *pattern.get(at)?;
            at += 1;
            if byte == b']' && !first {
                break;
            }
            first = false;
            let ends_range = !matches!(pattern.get(at), None | Some(b']'));
            match (byte, start) {
                (b'-', Some(low)) if ends_range => {
                    let (high, next) = escaped(pattern, at)?;
                    at = next;
                    set.add(|byte| (low..=high).contains(&byte));
                    start = None;
                }
                (b'[', _) if pattern.get(at) == Some(&b':') => match named(pattern, at + 1)? {
                    Named::Class(belongs, next) => {
                        set.add(|byte| belongs(&byte));
                        at = next;
                        start = None;
                    }
                    Named::NoClass => {
                        set.add(|byte| byte == b'[');
                        start = Some(b'[');
                    }
                },
                _ => {
                    let (literal, next) = escaped(pattern, at - 1)?;
                    at = next;
                    set.add(|byte| byte == literal);
                    start = Some(literal);
                }
            }
        }
        if negated {
            set.0.iter_mut().for_each(|member| *member = !*member);
        }
        set.without_slash(mode);
        Some((set, at))
    }
}

/// The byte at `at`, or the one behind the backslash there; and where to go on.
fn escaped(pattern: &[u8], at: usize) -> Option<(u8, usize)> {
    match pattern.get(at)? {
        b'\\' => Some((*pattern.get(at + 1)?, at + 2)),
        &byte => Some((byte, at + 1)),
    }
}

enum Named {
    /// `[:alpha:]`, and where it ends.
    Class(fn(&u8) -> bool, usize),
    /// A bracket and a colon that begin nothing.
    NoClass,
}

/// Reads the name of a class, which starts at `at`. `None`: it does not end, or is unknown.
fn named(pattern: &[u8], at: usize) -> Option<Named> {
    let end = at + memchr::memchr(b']', pattern.get(at..)?)?;
    let Some(name) = pattern[at..end].strip_suffix(b":") else { return Some(Named::NoClass) };
    let belongs: fn(&u8) -> bool = match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    };
    Some(Named::Class(belongs, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (pattern, text, matches) in [
            ("*", "a", true),
            ("*", "a/b", false),
            ("**", "a/b", true),
            ("**/b", "b", true),
            ("**/b", "a/x/b", true),
            ("**/b", "xb", false),
            ("a/**", "a/b/c", true),
            ("a/**", "a", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "a/xb", false),
            ("a**/b", "axy/b", true),
            ("a**/b", "ax/y/b", false),
            ("*/b", "a/b", true),
            ("*/b", "a/a/b", false),
            ("a?b", "a/b", false),
            ("a[^x]b", "a/b", false),
            ("[a-c]", "b", true),
            ("[!a-c]", "b", false),
            ("[]-]", "]", true),
            ("[]-]", "-", true),
            ("[a\\]]", "]", true),
            ("[[:digit:]x]", "7", true),
            ("[[:digit:]-x]", "-", true),
            ("[[:nosuch:]]", "a", false),
            ("[a", "a", false),
            ("a\\", "a", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("", "", true),
            ("", "a", false),
        ] {
            let compiled = Wildmatch::compile(pattern.as_bytes(), Mode::Path);
            assert_eq!(compiled.matches(text.as_bytes()), matches, "{pattern} on {text}");
        }
    }

    /// A pattern that a backtracking matcher would try for years.
    #[test]
    fn stars_do_not_multiply() {
        let compiled = Wildmatch::compile("**/*a".repeat(300).as_bytes(), Mode::Path);
        assert!(!compiled.matches(&[b"a/a".repeat(500), b"b".to_vec()].concat()));
    }
}
