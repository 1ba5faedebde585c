//! The little of XML that `svn --xml` prints: elements with attributes and text, nothing nested in itself.

/// The bodies of all elements of a name, with their start tags' attributes, in order.
pub(super) fn elements<'x>(text: &'x str, name: &'x str) -> impl Iterator<Item = (&'x str, &'x str)> {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let behind = &rest[rest.find(&open)? + open.len()..];
            if !behind.starts_with(|c: char| c == '>' || c.is_whitespace()) {
                rest = behind; // `<entry` is not `<entryprops`
                continue;
            }
            let (attributes, behind) = behind.split_once('>')?;
            let (body, behind) = behind.split_once(close.as_str())?;
            rest = behind;
            return Some((attributes, body));
        }
    })
}

/// The text of the first element of a name.
pub(super) fn text_of(body: &str, name: &str) -> Option<String> {
    elements(body, name).next().and_then(|(_, text)| unescape(text))
}

/// An attribute's value.
pub(super) fn attribute(attributes: &str, name: &str) -> Option<String> {
    let mut rest = attributes;
    while let Some((key, behind)) = rest.split_once('=') {
        let (value, behind) = behind.trim_start().strip_prefix('"')?.split_once('"')?;
        if key.trim() == name {
            return unescape(value);
        }
        rest = behind;
    }
    None
}

/// Undoes entities. `None`: one that XML does not have.
fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        plain.push_str(before);
        let (entity, behind) = behind.split_once(';')?;
        plain.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            number => {
                let number = number.strip_prefix('#')?;
                let code = match number.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16),
                    None => number.parse(),
                };
                char::from_u32(code.ok()?)?
            }
        });
        rest = behind;
    }
    Some(plain + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_svn_prints_is_read() {
        let list = "<entry\n   kind=\"file\">\n<name>a &amp; b&#x41;.go</name>\n<size>7</size>\n<commit revision=\"3\">\
                    </commit>\n</entry>\n<entryprops>x</entryprops><entry kind=\"dir\"><name>d</name></entry>";
        let entries: Vec<_> = elements(list, "entry").collect();
        assert_eq!(entries.len(), 2);
        assert_eq!(attribute(entries[0].0, "kind").as_deref(), Some("file"));
        assert_eq!(text_of(entries[0].1, "name").as_deref(), Some("a & bA.go"));
        assert_eq!(text_of(entries[0].1, "size").as_deref(), Some("7"));
        assert_eq!(attribute(entries[1].0, "kind").as_deref(), Some("dir"));
        assert_eq!(text_of(entries[1].1, "size"), None);
    }

    #[test]
    fn what_svn_never_prints_is_nothing() {
        for odd in ["<entry", "<entry kind=\"f\"", "<entry kind=\"f\">x", "", "<<<<", "<entry =>a</entry>"] {
            assert!(
                elements(odd, "entry").all(|(attributes, _)| attribute(attributes, "kind").is_none()),
                "{odd}"
            );
        }
        for odd in ["<n>&bogus;</n>", "<n>&#xD800;</n>", "<n>&</n>", "<n>&#99999999999;</n>"] {
            assert_eq!(text_of(odd, "n"), None, "{odd}");
        }
    }
}
