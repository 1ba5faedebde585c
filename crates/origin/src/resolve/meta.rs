//! Reads the go-import tags of a page as the go command does: with a tolerant reader of XML tokens, not of HTML (V-14).
//!
//! What that reader trips over decides which pages work, so its habits are kept to the letter: comments with `--` in
//! them are errors, `<` in a quoted value is one, an attribute without a value has its own name as value, entities
//! nobody knows stay as they are. Nothing recurses and every byte is looked at once.

use std::collections::HashSet;

use modkeep_module::unicode;

use super::xml_names::is_name;

/// One go-import tag: `prefix vcs root` or `prefix vcs root subdirectory` (V-15).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Import {
    /// The import path it speaks for.
    pub(crate) prefix: String,
    /// `git`, `hg`, `svn`, `fossil`, `mod` or whatever the page says.
    pub(crate) vcs: String,
    /// The repository, or the base of a proxy.
    pub(crate) root: String,
    /// Where in the repository; empty where there is no fourth field.
    pub(crate) subdirectory: String,
}

/// What a page says, as far as it was read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Page {
    /// The tags, `mod` ones first, hiding the others of their prefix (V-16).
    pub(crate) imports: Vec<Import>,
    /// Whether the reader stopped by itself, so that more bytes would change nothing.
    pub(crate) is_complete: bool,
}

/// Reads a page up to `<body>` or `</head>`.
///
/// # Errors
/// The reader's complaint, if it came before the first tag (V-14).
pub(crate) fn read(page: &[u8]) -> Result<Page, String> {
    let mut scanner = Scanner { page, at: 0 };
    let mut imports = Vec::new();
    let is_complete = loop {
        match scanner.token() {
            Ok(Some(Token::Start { name, .. })) if name.eq_ignore_ascii_case("body") => break true,
            Ok(Some(Token::End { name })) if name.eq_ignore_ascii_case("head") => break true,
            Ok(Some(Token::Start { name, attributes, is_empty })) => {
                if name.eq_ignore_ascii_case("meta") {
                    imports.extend(import(&attributes));
                } else if is_empty && name.eq_ignore_ascii_case("head") {
                    break true;
                }
            }
            Ok(Some(_)) => {}
            Err(flaw) if imports.is_empty() => return Err(flaw),
            Ok(None) | Err(_) => break false,
        }
    };
    Ok(Page { imports: mod_first(imports), is_complete })
}

/// The tag in a meta element, if it is one of ours.
fn import(attributes: &[(String, String)]) -> Option<Import> {
    let value = |key: &str| {
        let found = attributes.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        found.map_or("", |(_, value)| value.as_str())
    };
    if value("name") != "go-import" {
        return None;
    }
    let mut fields = value("content").split_whitespace().map(str::to_owned);
    let import = Import {
        prefix: fields.next()?,
        vcs: fields.next()?,
        root: fields.next()?,
        subdirectory: fields.next().unwrap_or_default(),
    };
    fields.next().is_none().then_some(import)
}

/// `mod` tags to the front; others of the same prefix go (V-16).
fn mod_first(imports: Vec<Import>) -> Vec<Import> {
    let (mut first, mut rest): (Vec<_>, Vec<_>) = imports.into_iter().partition(|import| import.vcs == "mod");
    let hidden: HashSet<&str> = first.iter().map(|import| import.prefix.as_str()).collect();
    rest.retain(|import| !hidden.contains(import.prefix.as_str()));
    first.append(&mut rest);
    first
}

enum Token {
    Start { name: String, attributes: Vec<(String, String)>, is_empty: bool },
    End { name: String },
    Other,
}

struct Scanner<'a> {
    page: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    /// The next token; `None` at a proper end.
    fn token(&mut self) -> Result<Option<Token>, String> {
        let Some(byte) = self.peek() else { return Ok(None) };
        if byte != b'<' {
            self.text(Until::Markup)?;
            return Ok(Some(Token::Other));
        }
        self.at += 1;
        match self.must_peek()? {
            b'/' => self.end_tag().map(Some),
            b'?' => self.instruction().map(Some),
            b'!' => self.declaration().map(Some),
            _ => self.start_tag().map(Some),
        }
    }

    fn end_tag(&mut self) -> Result<Token, String> {
        self.at += 1;
        let name = self.local_name("expected element name after </")?;
        self.space();
        if self.must_next()? == b'>' {
            return Ok(Token::End { name });
        }
        Err(self.flaw(&format!("invalid characters between </{name} and >")))
    }

    fn start_tag(&mut self) -> Result<Token, String> {
        let name = self.local_name("expected element name after <")?;
        let mut attributes = Vec::new();
        loop {
            self.space();
            match self.must_peek()? {
                b'/' => {
                    self.at += 1;
                    if self.must_next()? == b'>' {
                        return Ok(Token::Start { name, attributes, is_empty: true });
                    }
                    return Err(self.flaw("expected /> in element"));
                }
                b'>' => {
                    self.at += 1;
                    return Ok(Token::Start { name, attributes, is_empty: false });
                }
                _ => attributes.push(self.attribute()?),
            }
        }
    }

    fn attribute(&mut self) -> Result<(String, String), String> {
        let name = self.local_name("expected attribute name in element")?;
        self.space();
        if self.must_peek()? != b'=' {
            return Ok((name.clone(), name));
        }
        self.at += 1;
        self.space();
        let value = match self.must_peek()? {
            quote @ (b'"' | b'\'') => {
                self.at += 1;
                self.text(Until::Quote(quote))?
            }
            _ => self.bare_value()?,
        };
        Ok((name, value))
    }

    /// A value without quotes: letters, digits, `_`, `:` and `-`, and it must not be the last thing of the page.
    fn bare_value(&mut self) -> Result<String, String> {
        let start = self.at;
        while self.must_peek()?.is_ascii_alphanumeric() || matches!(self.page[self.at], b'_' | b':' | b'-') {
            self.at += 1;
        }
        Ok(String::from_utf8_lossy(&self.page[start..self.at]).into_owned())
    }

    /// `<?target ... ?>`; of `<?xml ... ?>` version and encoding matter.
    fn instruction(&mut self) -> Result<Token, String> {
        self.at += 1;
        let target = self.name("expected target name after <?")?;
        self.space();
        let start = self.at;
        let end = self.find(b"?>", start)?;
        self.at = end + 2;
        if target != "xml" {
            return Ok(Token::Other);
        }
        let content = &self.page[start..end];
        let version = pseudo_attribute(b"version=", content);
        if !matches!(&*version, "" | "1.0") {
            let version = unicode::quoted(&version);
            return Err(format!("xml: unsupported version {version}; only version 1.0 is supported"));
        }
        let encoding = pseudo_attribute(b"encoding=", content);
        let known = |name: &str| encoding.eq_ignore_ascii_case(name);
        if encoding.is_empty() || known("utf-8") || known("ascii") {
            return Ok(Token::Other);
        }
        let encoding = unicode::quoted(&encoding);
        Err(format!("xml: opening charset {encoding}: can't decode XML document using charset {encoding}"))
    }

    /// Comments, CDATA sections, and directives such as `<!DOCTYPE html>`.
    fn declaration(&mut self) -> Result<Token, String> {
        self.at += 1;
        match self.must_peek()? {
            b'-' => {
                self.at += 1;
                if self.must_next()? != b'-' {
                    return Err(self.flaw("invalid sequence <!- not part of <!--"));
                }
                self.at = self.find(b"--", self.at)? + 2;
                if self.must_next()? != b'>' {
                    return Err(self.flaw("invalid sequence \"--\" not allowed in comments"));
                }
            }
            b'[' => {
                self.at += 1;
                for expected in b"CDATA[" {
                    if self.must_next()? != *expected {
                        return Err(self.flaw("invalid <![ sequence"));
                    }
                }
                self.text(Until::CdataEnd)?;
            }
            _ => self.directive()?,
        }
        Ok(Token::Other)
    }

    /// Quoted angle brackets do not count, others nest; comments inside are passed over.
    fn directive(&mut self) -> Result<(), String> {
        let mut quote = None;
        let mut depth = 0_i64;
        // The first byte is taken as it is, whatever it is.
        let mut byte = self.must_next()?;
        let mut is_first = true;
        loop {
            match (byte, quote) {
                _ if is_first => {}
                (b'>', None) if depth == 0 => return Ok(()),
                (b'>', None) => depth -= 1,
                (_, Some(open)) if byte == open => quote = None,
                (b'"' | b'\'', None) => quote = Some(byte),
                (b'<', None) if self.page[self.at..].starts_with(b"!--") => {
                    self.at = self.find(b"-->", self.at + 3)? + 3;
                }
                (b'<', None) => {
                    depth += 1;
                    self.comment_start_must_fit()?;
                }
                _ => {}
            }
            is_first = false;
            byte = self.must_next()?;
        }
    }

    /// After `<` in a directive the page must go on long enough to tell a comment from anything else.
    fn comment_start_must_fit(&mut self) -> Result<(), String> {
        let rest = &self.page[self.at..];
        if b"!--".starts_with(rest) {
            self.at = self.page.len();
            return Err(self.unexpected_end());
        }
        Ok(())
    }

    /// The local part of a name: what follows the colon, where there is one with something on both sides.
    fn local_name(&mut self, expectation: &str) -> Result<String, String> {
        let name = self.name(expectation)?;
        match name.split_once(':') {
            Some((_, local)) if local.contains(':') => Err(self.flaw(expectation)),
            Some((space, local)) if !space.is_empty() && !local.is_empty() => Ok(local.to_owned()),
            _ => Ok(name),
        }
    }

    fn name(&mut self, expectation: &str) -> Result<String, String> {
        let start = self.at;
        if !is_name_byte(self.must_peek()?) {
            return Err(self.flaw(expectation));
        }
        while is_name_byte(self.must_peek()?) {
            self.at += 1;
        }
        let name = &self.page[start..self.at];
        match std::str::from_utf8(name) {
            Ok(name) if is_name(name) => Ok(name.to_owned()),
            _ => Err(self.flaw(&format!("invalid XML name: {}", String::from_utf8_lossy(excerpt(name))))),
        }
    }

    /// Text with its entities resolved, up to and without the end (but including a closing quote or `]]>`).
    fn text(&mut self, until: Until) -> Result<String, String> {
        let mut text = Vec::new();
        // How many of the bytes just read were `]`, counted as the go command counts them: an entity resets it.
        let (mut b0, mut b1) = (0, 0);
        loop {
            let Some(byte) = self.peek() else {
                if until == Until::CdataEnd {
                    return Err(self.flaw("unexpected EOF in CDATA section"));
                }
                break;
            };
            if !matches!(until, Until::Quote(_)) && (b0, b1, byte) == (b']', b']', b'>') {
                self.at += 1;
                if until == Until::CdataEnd {
                    text.truncate(text.len().saturating_sub(2));
                    break;
                }
                return Err(self.flaw("unescaped ]]> not in CDATA section"));
            }
            if byte == b'<' && until != Until::CdataEnd {
                if until == Until::Markup {
                    break;
                }
                self.at += 1;
                return Err(self.flaw("unescaped < inside quoted string"));
            }
            self.at += 1;
            if until == Until::Quote(byte) {
                break;
            }
            if byte == b'&' && until != Until::CdataEnd {
                self.entity(&mut text)?;
                (b0, b1) = (0, 0);
                continue;
            }
            match byte {
                b'\r' => text.push(b'\n'),
                b'\n' if b1 == b'\r' => {}
                _ => text.push(byte),
            }
            (b0, b1) = (b1, byte);
        }
        self.characters(text)
    }

    /// Behind `&`: a character by number or by one of five names; anything else stays as it stands.
    fn entity(&mut self, text: &mut Vec<u8>) -> Result<(), String> {
        let start = self.at;
        let found = if self.must_peek()? == b'#' { self.numbered()? } else { self.named()? };
        if let Some(c) = found {
            text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            text.push(b'&');
            text.extend_from_slice(&self.page[start..self.at]);
        }
        Ok(())
    }

    fn numbered(&mut self) -> Result<Option<char>, String> {
        self.at += 1;
        let is_hex = self.must_peek()? == b'x';
        self.at += usize::from(is_hex);
        let start = self.at;
        while self.must_peek()?.is_ascii_digit() || (is_hex && self.page[self.at].is_ascii_hexdigit()) {
            self.at += 1;
        }
        let digits = std::str::from_utf8(&self.page[start..self.at]).unwrap_or_default();
        let number = u64::from_str_radix(digits, if is_hex { 16 } else { 10 });
        if self.page[self.at] != b';' {
            return Ok(None);
        }
        self.at += 1;
        let number = number.ok().and_then(|number| u32::try_from(number).ok()).filter(|&n| n <= 0x0010_FFFF);
        Ok(number.map(|number| char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER)))
    }

    fn named(&mut self) -> Result<Option<char>, String> {
        let start = self.at;
        while is_name_byte(self.must_peek()?) {
            self.at += 1;
        }
        let name = &self.page[start..self.at];
        if self.page[self.at] != b';' {
            return Ok(None);
        }
        self.at += 1;
        Ok(match name {
            b"lt" => Some('<'),
            b"gt" => Some('>'),
            b"amp" => Some('&'),
            b"apos" => Some('\''),
            b"quot" => Some('"'),
            _ => None,
        })
    }

    /// Text must be UTF-8 of the characters that XML allows.
    fn characters(&self, text: Vec<u8>) -> Result<String, String> {
        let text = String::from_utf8(text).map_err(|_| self.flaw("invalid UTF-8"))?;
        match text.chars().find(|&c| !is_allowed(c)) {
            Some(c) => Err(self.flaw(&format!("illegal character code U+{:04X}", u32::from(c)))),
            None => Ok(text),
        }
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| matches!(byte, b' ' | b'\r' | b'\n' | b'\t')) {
            self.at += 1;
        }
    }

    fn find(&mut self, what: &[u8], from: usize) -> Result<usize, String> {
        let rest = self.page.get(from..).unwrap_or_default();
        let offset = rest.windows(what.len()).position(|window| window == what);
        if offset.is_none() {
            self.at = self.page.len();
        }
        offset.map(|offset| from + offset).ok_or_else(|| self.unexpected_end())
    }

    fn peek(&self) -> Option<u8> {
        self.page.get(self.at).copied()
    }

    fn must_peek(&self) -> Result<u8, String> {
        self.peek().ok_or_else(|| self.unexpected_end())
    }

    fn must_next(&mut self) -> Result<u8, String> {
        let byte = self.must_peek()?;
        self.at += 1;
        Ok(byte)
    }

    fn unexpected_end(&self) -> String {
        self.flaw("unexpected EOF")
    }

    /// The complaint with its line.
    fn flaw(&self, what: &str) -> String {
        let line = self.page[..self.at].split(|&byte| byte == b'\n').count();
        format!("XML syntax error on line {line}: {what}")
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Until {
    Markup,
    Quote(u8),
    CdataEnd,
}

/// So much of a strange name is shown.
fn excerpt(name: &[u8]) -> &[u8] {
    name.get(..64).unwrap_or(name)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'.' | b'-') || !byte.is_ascii()
}

/// XML's `Char`.
fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// A pseudo-attribute of `<?xml ... ?>`, found the way the go command finds it: the first `name=` with a quote behind.
fn pseudo_attribute(key: &[u8], content: &[u8]) -> String {
    let mut rest = content;
    while let Some(found) = rest.windows(key.len()).position(|window| window == key) {
        let Some((&quote, after)) = rest.get(found + key.len()..).and_then(<[u8]>::split_first) else {
            break;
        };
        if matches!(quote, b'"' | b'\'') {
            let value = after.iter().position(|&byte| byte == quote).and_then(|end| after.get(..end));
            return String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
        }
        rest = after;
    }
    String::new()
}
