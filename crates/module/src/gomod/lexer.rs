//! The tokens of a go.mod file.

use super::GoModError;
use crate::unicode;

/// A token. Texts are slices of the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Token<'a> {
    /// A word or a quoted string, quotes included.
    Word(&'a [u8]),
    /// One of `( ) [ ] { } ,`.
    Mark(&'a [u8]),
    /// A comment with nothing before it on its line, from its slashes to the end of the line.
    LineComment(&'a [u8]),
    /// A comment after something. Ends the line.
    Suffix(&'a [u8]),
    /// The end of a line.
    Newline,
    /// The end of the file.
    End,
}

impl Token<'_> {
    /// Whether a line ends here.
    pub(super) fn ends_line(self) -> bool {
        matches!(self, Self::Suffix(_) | Self::Newline | Self::End)
    }
}

/// Cuts a file into tokens, with one token of foresight.
pub(super) struct Lexer<'a> {
    rest: &'a [u8],
    /// Where `rest` begins, counted from 1.
    line: usize,
    /// Something other than white space stands on this line already.
    occupied: bool,
    next: Token<'a>,
    /// The line on which `next` begins.
    next_line: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(file: &'a [u8]) -> Result<Self, GoModError> {
        let mut lexer = Self { rest: file, line: 1, occupied: false, next: Token::End, next_line: 1 };
        lexer.advance()?;
        Ok(lexer)
    }

    pub(super) fn peek(&self) -> Token<'a> {
        self.next
    }

    /// The line on which the next token begins.
    pub(super) fn next_line(&self) -> usize {
        self.next_line
    }

    pub(super) fn take(&mut self) -> Result<Token<'a>, GoModError> {
        let token = self.next;
        self.advance()?;
        Ok(token)
    }

    pub(super) fn error(&self, reason: impl Into<String>) -> GoModError {
        GoModError { line: self.line, reason: reason.into() }
    }

    fn advance(&mut self) -> Result<(), GoModError> {
        let blanks = self.rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r')).count();
        self.rest = self.rest.get(blanks..).unwrap_or_default();
        self.next_line = self.line;
        self.next = match self.rest {
            [] => Token::End,
            [b'/', b'/', ..] => self.comment(),
            [b'\n', ..] => {
                self.newline();
                Token::Newline
            }
            [b'(' | b')' | b'[' | b']' | b'{' | b'}' | b',', ..] => Token::Mark(self.cut(1)),
            [quote @ (b'"' | b'`'), ..] => Token::Word(self.string(*quote)?),
            _ => Token::Word(self.word()?),
        };
        Ok(())
    }

    fn newline(&mut self) {
        self.cut(1);
        self.line += 1;
        self.occupied = false;
    }

    fn comment(&mut self) -> Token<'a> {
        let suffix = self.occupied;
        let len = memchr::memchr(b'\n', self.rest).unwrap_or(self.rest.len());
        let text = self.cut(len);
        if !self.rest.is_empty() {
            self.newline();
        }
        if suffix { Token::Suffix(text) } else { Token::LineComment(text) }
    }

    fn string(&mut self, quote: u8) -> Result<&'a [u8], GoModError> {
        let mut len = 1;
        let mut lines = 0;
        loop {
            match self.rest.get(len) {
                None => return Err(self.error("unexpected end of file in string")),
                Some(b'\n') => return Err(self.error("unexpected newline in string")),
                Some(&b) if b == quote => break,
                // An escaped newline passes here and fails when the string is unquoted.
                Some(b'\\') if quote == b'"' => {
                    lines += usize::from(self.rest.get(len + 1) == Some(&b'\n'));
                    len += 2;
                }
                Some(_) => len += 1,
            }
        }
        let text = self.cut(len + 1);
        self.line += lines;
        Ok(text)
    }

    fn word(&mut self) -> Result<&'a [u8], GoModError> {
        let mut len = 0;
        while let Some(rest) = self.rest.get(len..).filter(|rest| !rest.is_empty()) {
            if rest.starts_with(b"//") {
                break;
            }
            if rest.starts_with(b"/*") {
                return Err(self.error("mod files must use // comments (not /* */ comments)"));
            }
            let (c, width) = unicode::first_char(rest);
            if !is_word_char(c) {
                break;
            }
            len += width;
        }
        if len == 0 {
            let (c, _) = unicode::first_char(self.rest);
            return Err(self.error(format!("unexpected input character {}", unicode::quoted_char(c))));
        }
        Ok(self.cut(len))
    }

    fn cut(&mut self, len: usize) -> &'a [u8] {
        let (token, rest) = self.rest.split_at(len);
        self.rest = rest;
        self.occupied = true;
        token
    }
}

/// Most printable characters, quotes included, make words.
fn is_word_char(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_graphic() && !"()[]{},".contains(c);
    }
    unicode::is_print(c)
}
