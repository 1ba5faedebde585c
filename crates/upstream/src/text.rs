//! What another server's error page may contribute to ours.

/// At most so many bytes are taken, and so many lines: what the go command itself shows of an answer.
const BYTES_MAX: usize = 600;
const LINES_MAX: usize = 8;

/// Lines of printable text; everything else of a foreign text is dropped (U8, H11).
///
/// A web page has nothing to say in a terminal: it becomes an empty text.
pub fn sanitised(body: &[u8], content_type: Option<&str>) -> String {
    let html = content_type.is_some_and(is_web_page);
    if html || looks_like_web_page(body) {
        return String::new();
    }
    let text = String::from_utf8_lossy(body);
    let lines = text.lines().map(printable).filter(|line| !line.is_empty()).take(LINES_MAX);
    let mut kept = lines.collect::<Vec<_>>().join("\n");
    let mut end = kept.len().min(BYTES_MAX);
    while !kept.is_char_boundary(end) {
        end -= 1;
    }
    kept.truncate(end);
    kept
}

/// Tabs become spaces; controls, format characters that turn text around, and broken bytes go.
fn printable(line: &str) -> String {
    let spaced = line.replace('\t', " ");
    let kept =
        spaced.chars().filter(|c| !c.is_control() && !is_invisible(*c) && *c != char::REPLACEMENT_CHARACTER);
    kept.collect::<String>().trim().to_owned()
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Whether a `Content-Type` says that this is a page for people.
pub(crate) fn is_web_page(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    ["text/html", "application/xhtml+xml"].iter().any(|page| kind.eq_ignore_ascii_case(page))
}

/// Whether a body begins like one. Nothing that a go.mod may contain begins with `<`.
pub(crate) fn looks_like_web_page(body: &[u8]) -> bool {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    body.trim_ascii_start().first() == Some(&b'<')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_texts_are_short_plain_and_printable() {
        for (body, kept) in [
            (&b"not found: no such tag\n"[..], "not found: no such tag"),
            (b"a\r\n\r\n\tb\x1b[31m\n", "a\nb[31m"),
            (b"\xffbad\x00 bytes\n", "bad bytes"),
            ("turn\u{202e}ed".as_bytes(), "turned"),
            (b"<html>login</html>", ""),
            (b"", ""),
        ] {
            assert_eq!(sanitised(body, Some("text/plain")), kept);
        }
        assert_eq!(sanitised(b"hello", Some("Text/HTML; charset=utf-8")), "");
        assert_eq!(sanitised("x\n".repeat(20).as_bytes(), None).lines().count(), LINES_MAX);
        assert!(sanitised("é".repeat(5_000).as_bytes(), None).len() <= BYTES_MAX);
    }
}
