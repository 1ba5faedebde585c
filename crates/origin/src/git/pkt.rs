//! pkt-lines, the framing of git's protocols (gitprotocol-common): four hex digits of length, then that many bytes.
//!
//! Nothing here waits or reads: bytes are fed in as they come, lines come out when they are whole. Limits on how many
//! bytes and lines one listens to belong to the conversation ([`super::wire`]); a single line is at most 65,520 bytes
//! long by its framing.

use bytes::{Buf as _, Bytes, BytesMut};

/// Four digits count themselves.
const HEAD: usize = 4;
/// The longest line, its four digits included (gitprotocol-common).
const LINE_MAX: usize = 65_520;

/// One unit of the framing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Pkt {
    /// `0000`: the end of a message.
    Flush,
    /// `0001`: between two sections of a message.
    Delimiter,
    /// `0002`: the end of an answer on connections without state.
    End,
    /// A line, as it came; text lines mostly end in a newline (see [`text`]).
    Line(Bytes),
}

/// Bytes that are no pkt-line.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum BadPkt {
    /// The length is not four hex digits, is 3, or is above 65,520.
    #[error("a line of git's protocol without a proper length")]
    Length,
    /// The bytes end within a line.
    #[error("git's protocol ends in the middle of a line")]
    Cut,
}

/// Takes bytes apart into pkt-lines.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    buffer: BytesMut,
}

impl Reader {
    /// Takes the next bytes of the stream.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next unit; `None`: more bytes are needed.
    pub(crate) fn unit(&mut self) -> Result<Option<Pkt>, BadPkt> {
        let Some(digits) = self.buffer.first_chunk::<HEAD>() else { return Ok(None) };
        let length = length(*digits)?;
        let pkt = match length {
            0 => Pkt::Flush,
            1 => Pkt::Delimiter,
            2 => Pkt::End,
            HEAD..=LINE_MAX if self.buffer.len() < length => return Ok(None),
            HEAD..=LINE_MAX => {
                let mut line = self.buffer.split_to(length).freeze();
                line.advance(HEAD);
                return Ok(Some(Pkt::Line(line)));
            }
            _ => return Err(BadPkt::Length),
        };
        self.buffer.advance(HEAD);
        Ok(Some(pkt))
    }

    /// What to make of the end of the bytes: nothing may be left over.
    pub(crate) fn end(&self) -> Result<(), BadPkt> {
        if self.buffer.is_empty() { Ok(()) } else { Err(BadPkt::Cut) }
    }
}

fn length(digits: [u8; HEAD]) -> Result<usize, BadPkt> {
    let text = std::str::from_utf8(&digits).map_err(|_| BadPkt::Length)?;
    // The library's reader takes a sign, which is no digit.
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(BadPkt::Length);
    }
    usize::from_str_radix(text, 16).map_err(|_| BadPkt::Length)
}

/// A line without its newline, if it has one.
pub(crate) fn text(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

/// Puts one message together.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// A line of text, with its newline. The texts of this house are far below the limit of a line; a longer one is
    /// cut there, which every reader takes for a malformed request.
    pub(crate) fn line(&mut self, text: &str) -> &mut Self {
        let text = text.get(..LINE_MAX - HEAD - 1).unwrap_or(text);
        let length = text.len() + HEAD + 1;
        self.bytes.extend_from_slice(format!("{length:04x}{text}\n").as_bytes());
        self
    }

    /// Begins the next section.
    pub(crate) fn delimiter(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(b"0001");
        self
    }

    /// Ends the message.
    pub(crate) fn flush(mut self) -> Bytes {
        self.bytes.extend_from_slice(b"0000");
        self.bytes.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<Pkt>, BadPkt> {
        let mut reader = Reader::default();
        reader.feed(bytes);
        let mut found = Vec::new();
        while let Some(pkt) = reader.unit()? {
            found.push(pkt);
        }
        reader.end().map(|()| found)
    }

    fn line(text: &'static [u8]) -> Pkt {
        Pkt::Line(Bytes::from_static(text))
    }

    #[test]
    fn golden_lines_are_read() {
        // The first five are the examples of gitprotocol-common; the others are units of version 2.
        for (bytes, pkts) in [
            (&b"0006a\n"[..], vec![line(b"a\n")]),
            (b"0005a", vec![line(b"a")]),
            (b"000bfoobar\n", vec![line(b"foobar\n")]),
            (b"0004", vec![line(b"")]),
            (b"0000", vec![Pkt::Flush]),
            (
                b"000eversion 2\n0001000Aagent\n00000002",
                vec![line(b"version 2\n"), Pkt::Delimiter, line(b"agent\n"), Pkt::Flush, Pkt::End],
            ),
            (b"", vec![]),
        ] {
            assert_eq!(all(bytes), Ok(pkts), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn hostile_c14_what_is_no_pkt_line_is_refused() {
        for (bytes, error) in [
            (&b"0003"[..], BadPkt::Length),
            (b"+004", BadPkt::Length),
            (b"<htm", BadPkt::Length),
            (b"\xff\xff\xff\xff", BadPkt::Length),
            (b"fff1", BadPkt::Length),
            (b"ffff", BadPkt::Length),
            (b"00", BadPkt::Cut),
            (b"0006a", BadPkt::Cut),
            (b"fff0", BadPkt::Cut),
        ] {
            assert_eq!(all(bytes), Err(error), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn lines_come_out_the_same_however_the_bytes_arrive() {
        let bytes = b"000eversion 2\n0001000aagent\n0004fetch0000";
        let bytes = &bytes[..bytes.len() - 9];
        let whole = all(bytes).unwrap();
        let (mut reader, mut found) = (Reader::default(), Vec::new());
        for byte in bytes {
            reader.feed(&[*byte]);
            found.extend(reader.unit().unwrap());
        }
        assert_eq!(found, whole);
    }

    #[test]
    fn what_is_written_is_what_git_reads() {
        let mut writer = Writer::default();
        writer.line("command=ls-refs").delimiter().line("peel");
        assert_eq!(&writer.flush()[..], b"0014command=ls-refs\n00010009peel\n0000");
    }
}
