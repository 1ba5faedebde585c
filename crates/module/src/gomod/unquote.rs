//! Quoted strings as Go source writes them.

use crate::unicode;

/// The text inside `"…"` or `` `…` ``; `None` when the quotation is broken or something follows it.
pub(super) fn unquote(quoted: &str) -> Option<String> {
    if let Some(rest) = quoted.strip_prefix('`') {
        let raw = rest.strip_suffix('`').filter(|raw| !raw.contains('`'))?;
        return Some(raw.replace('\r', ""));
    }
    let mut rest = quoted.strip_prefix('"')?.strip_suffix('"')?.as_bytes();
    let mut text = Vec::with_capacity(rest.len());
    while let Some(&b) = rest.split_off_first() {
        match b {
            b'"' | b'\n' => return None,
            b'\\' => escape(&mut rest, &mut text)?,
            b => text.push(b),
        }
    }
    Some(unicode::lossy(&text).into_owned())
}

/// Reads what follows a backslash. A backslash at the very end means that the closing quote was escaped.
fn escape(rest: &mut &[u8], text: &mut Vec<u8>) -> Option<()> {
    let kind = *rest.split_off_first()?;
    let byte = match kind {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'\\' | b'"' => kind,
        b'x' => u8::try_from(number(rest.split_off(..2)?, 16)?).ok()?,
        b'0'..=b'7' => {
            let low = number(rest.split_off(..2)?, 8)?;
            u8::try_from(u32::from(kind - b'0') * 64 + low).ok()?
        }
        b'u' | b'U' => {
            let digits = rest.split_off(..if kind == b'u' { 4 } else { 8 })?;
            let c = char::from_u32(number(digits, 16)?)?;
            text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(());
        }
        _ => return None,
    };
    text.push(byte);
    Some(())
}

/// At most eight digits: the value fits.
fn number(digits: &[u8], radix: u32) -> Option<u32> {
    digits
        .iter()
        .try_fold(0_u32, |value, &b| Some(value.wrapping_mul(radix) + char::from(b).to_digit(radix)?))
}
