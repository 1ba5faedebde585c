//! The lines of a go.mod file, with the comments that belong to them.
//!
//! A statement is a line, or a block `verb ( … )` of lines that share its verb. Blocks do not nest.

use std::mem;

use super::GoModError;
use super::lexer::{Lexer, Token};
use crate::unicode;

/// The most tokens of one line that we keep. No directive has as many: a longer line is wrong anyway, and
/// a file that is one endless line must not cost sixteen times its size.
const TOKENS_MAX: usize = 16;

/// The most lines held back; a freak after as many freaks keeps no comment.
const WAITING_MAX: usize = 64;

/// A line of tokens; in a block without the block's verb.
#[derive(Debug, Default)]
pub(super) struct Line<'a> {
    /// Where it begins, counted from 1.
    pub(super) at: usize,
    /// At least one, at most [`TOKENS_MAX`].
    pub(super) tokens: Vec<&'a [u8]>,
    /// The comment lines directly above.
    pub(super) above: Remarks,
    /// The comments behind it; one, but for a freak (see [`Lines::finish`]).
    pub(super) behind: Vec<&'a [u8]>,
}

/// Comment lines above something, joined.
#[derive(Clone, Debug, Default)]
pub(super) struct Remarks {
    /// Whether anything stands there, if only the blank line that sets a line of a block apart.
    pub(super) any: bool,
    /// Their texts without slashes, trimmed, one per line.
    pub(super) text: String,
    ends_blank: bool,
    has_text: bool,
}

impl Remarks {
    /// Adds a comment, given with its slashes.
    pub(super) fn push(&mut self, comment: &[u8]) {
        if mem::replace(&mut self.has_text, true) {
            self.text.push('\n');
        }
        let comment = unicode::lossy(comment);
        self.text.push_str(comment.strip_prefix("//").unwrap_or(&comment).trim());
        (self.any, self.ends_blank) = (true, false);
    }

    fn push_blank(&mut self) {
        (self.any, self.ends_blank) = (true, true);
    }
}

/// What is done with the lines.
pub(super) trait Visitor<'a> {
    /// A line outside of blocks, its verb first.
    fn line(&mut self, line: Line<'a>) -> Result<(), GoModError>;
    /// A block begins; its tokens are before the parenthesis.
    fn open(&mut self, block: Line<'a>) -> Result<(), GoModError>;
    /// A line of the block that was opened last.
    fn inner(&mut self, line: Line<'a>) -> Result<(), GoModError>;
}

/// Reads a file and hands its lines over, in order.
pub(super) fn visit<'a>(file: &'a [u8], visitor: &mut dyn Visitor<'a>) -> Result<(), GoModError> {
    let mut lines = Lines { lexer: Lexer::new(file)?, visitor, waiting: Vec::new() };
    lines.file()?;
    lines.deliver()
}

/// Whether a line stands in a block.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Place {
    Top,
    Block,
}

struct Lines<'a, 'v> {
    lexer: Lexer<'a>,
    visitor: &'v mut dyn Visitor<'a>,
    /// The last line, held back while it may still gain comments, and the freaks behind it.
    waiting: Vec<(Place, Line<'a>)>,
}

impl<'a> Lines<'a, '_> {
    fn file(&mut self) -> Result<(), GoModError> {
        let mut above = Remarks::default();
        loop {
            match self.lexer.peek() {
                Token::End => return Ok(()),
                Token::Newline => {
                    self.lexer.take()?;
                    if mem::take(&mut above).any {
                        self.deliver()?; // the comment stands alone
                    }
                }
                Token::LineComment(comment) => {
                    self.lexer.take()?;
                    above.push(comment);
                }
                _ => self.statement(mem::take(&mut above))?,
            }
        }
    }

    fn statement(&mut self, above: Remarks) -> Result<(), GoModError> {
        let mut line = Line { at: self.lexer.next_line(), above, ..Line::default() };
        self.token(&mut line)?;
        loop {
            match self.lexer.peek() {
                token if token.ends_line() => return self.finish(Place::Top, line),
                Token::Mark(b"(") => {
                    let open = self.lexer.take()?;
                    match self.lexer.peek() {
                        token if token.ends_line() => return self.block(line),
                        Token::Mark(b")") => {
                            let close = self.lexer.take()?;
                            if self.lexer.peek().ends_line() {
                                return self.empty_block(line);
                            }
                            keep(&mut line, open);
                            keep(&mut line, close);
                        }
                        _ => keep(&mut line, open),
                    }
                }
                _ => self.token(&mut line)?,
            }
        }
    }

    /// `verb ( )`
    fn empty_block(&mut self, opening: Line<'a>) -> Result<(), GoModError> {
        self.lexer.take()?;
        self.deliver()?;
        self.visitor.open(opening)
    }

    fn block(&mut self, opening: Line<'a>) -> Result<(), GoModError> {
        let at = opening.at;
        self.deliver()?;
        self.visitor.open(opening)?;
        let (mut above, mut lines) = (Remarks::default(), 0_usize);
        loop {
            match self.lexer.peek() {
                Token::Suffix(_) => drop(self.lexer.take()?), // behind the opening parenthesis
                Token::Newline => {
                    self.lexer.take()?;
                    let apart = if above.any { !above.ends_blank } else { lines > 0 };
                    if apart {
                        above.push_blank();
                    }
                }
                Token::LineComment(comment) => {
                    self.lexer.take()?;
                    above.push(comment);
                }
                Token::End => {
                    return Err(self
                        .lexer
                        .error(format!("syntax error (unterminated block started at line {at})")));
                }
                Token::Mark(b")") => return self.close(),
                Token::Mark(_) | Token::Word(_) => {
                    self.block_line(mem::take(&mut above))?;
                    lines = lines.saturating_add(1);
                }
            }
        }
    }

    fn block_line(&mut self, above: Remarks) -> Result<(), GoModError> {
        let mut line = Line { at: self.lexer.next_line(), above, ..Line::default() };
        while !self.lexer.peek().ends_line() {
            self.token(&mut line)?;
        }
        self.finish(Place::Block, line)
    }

    fn close(&mut self) -> Result<(), GoModError> {
        self.lexer.take()?;
        if !self.lexer.peek().ends_line() {
            return Err(self.lexer.error("syntax error (expected newline after closing paren)"));
        }
        self.lexer.take()?;
        self.deliver()
    }

    fn token(&mut self, line: &mut Line<'a>) -> Result<(), GoModError> {
        let token = self.lexer.take()?;
        keep(line, token);
        Ok(())
    }

    /// Ends a line at its newline or comment.
    ///
    /// The freak: a string may span lines by an escaped newline, and go gives the comment behind such a line to
    /// the line before it. No known directive survives such a string, but an unknown one in a dependency does.
    fn finish(&mut self, place: Place, mut line: Line<'a>) -> Result<(), GoModError> {
        let spans_lines = line.tokens.iter().any(|token| token.contains(&b'\n'));
        let comment = match self.lexer.take()? {
            Token::Suffix(comment) => Some(comment),
            _ => None,
        };
        let room = self.waiting.len() < WAITING_MAX;
        if let Some((_, before)) = self.waiting.first_mut().filter(|_| spans_lines && room) {
            before.behind.extend(comment);
            self.waiting.push((place, line));
            return Ok(());
        }
        self.deliver()?;
        if spans_lines {
            return hand_over(self.visitor, place, line);
        }
        line.behind.extend(comment);
        self.waiting.push((place, line));
        Ok(())
    }

    /// Hands over the lines held back: something follows that takes the comments from here on.
    fn deliver(&mut self) -> Result<(), GoModError> {
        self.waiting.drain(..).try_for_each(|(place, line)| hand_over(self.visitor, place, line))
    }
}

fn hand_over<'a>(visitor: &mut dyn Visitor<'a>, place: Place, line: Line<'a>) -> Result<(), GoModError> {
    match place {
        Place::Top => visitor.line(line),
        Place::Block => visitor.inner(line),
    }
}

fn keep<'a>(line: &mut Line<'a>, token: Token<'a>) {
    if let Token::Word(text) | Token::Mark(text) = token
        && line.tokens.len() < TOKENS_MAX
    {
        line.tokens.push(text);
    }
}
