//! What a host's `robots.txt` asks of us (RFC 9309, and `Crawl-delay`, which is older than it).
//!
//! Text in, decision out: no clock, no network. Cost is bounded by what is kept of a file: so many rules of so many
//! bytes, whatever the file holds.

use std::time::Duration;

/// Who is addressed when a file says `User-agent: modkeep`.
const TOKEN: &str = "modkeep";
/// So much of a file is read (RFC 9309 section 2.5 asks for at least that).
pub(crate) const FILE_BYTES_MAX: usize = 500 * 1024;
/// Rules kept, and bytes of one; more than any honest host has for one agent.
const RULES_MAX: usize = 500;
const RULE_BYTES_MAX: usize = 256;
/// `Crawl-delay` is believed up to this; a day is a mistake or a trick.
const DELAY_MAX: Duration = Duration::from_mins(1);

/// Whose rules we obey.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CrawlRules {
    /// Those for our name. What is said to `*` is meant for programs that wander from link to link; we fetch what
    /// somebody named, as the go command does, and hosts of repositories close much to wanderers that is meant to be
    /// cloned.
    #[default]
    Ours,
    /// Those for our name, else those for `*`.
    Everybodys,
}

/// What a host asks of us.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Robots {
    rules: Vec<Rule>,
    /// The least time between two requests.
    pub(crate) delay: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    allows: bool,
    pattern: String,
}

/// Whom a group of lines addresses.
#[derive(Clone, Copy, PartialEq)]
enum To {
    Us,
    Everybody,
    Others,
}

impl Robots {
    /// Reads a file; what cannot be understood is passed over. Groups for the same agent are one group.
    pub(crate) fn parse(file: &[u8], whose: CrawlRules) -> Self {
        let (mut ours, mut everybodys) = (None, None);
        let mut to = To::Others;
        let mut in_heading = false;
        for (key, value) in lines(file.get(..FILE_BYTES_MAX).unwrap_or(file)) {
            if key.eq_ignore_ascii_case("user-agent") {
                let named = addressee(&value);
                to = if in_heading { stronger(to, named) } else { named };
                in_heading = true;
                let group = match to {
                    To::Us => &mut ours,
                    To::Everybody => &mut everybodys,
                    To::Others => continue,
                };
                group.get_or_insert_with(Self::default);
                continue;
            }
            let group = match to {
                To::Us => ours.as_mut(),
                To::Everybody => everybodys.as_mut(),
                To::Others => None,
            };
            // Lines of other kinds, such as `Sitemap`, belong to no group.
            if !["allow", "disallow", "crawl-delay"].iter().any(|known| key.eq_ignore_ascii_case(known)) {
                continue;
            }
            in_heading = false;
            if let Some(group) = group {
                group.take(&key, &value);
            }
        }
        match whose {
            CrawlRules::Ours => ours.unwrap_or_default(),
            CrawlRules::Everybodys => ours.or(everybodys).unwrap_or_default(),
        }
    }

    fn take(&mut self, key: &str, value: &str) {
        if key.eq_ignore_ascii_case("crawl-delay") {
            let seconds: Option<f64> = value.parse().ok().filter(|seconds: &f64| seconds.is_finite());
            let delay = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            self.delay = delay.map(|delay| delay.min(DELAY_MAX)).or(self.delay);
            return;
        }
        let is_rule = !value.is_empty() && value.len() <= RULE_BYTES_MAX && self.rules.len() < RULES_MAX;
        if is_rule {
            self.rules.push(Rule { allows: key.eq_ignore_ascii_case("allow"), pattern: normal(value) });
        }
    }

    /// Whether we may ask for this path and query: the longest rule that matches decides, of two as long the kind one.
    pub(crate) fn allows(&self, path_and_query: &str) -> bool {
        let path = normal(path_and_query);
        if path == "/robots.txt" {
            return true;
        }
        let matching = self.rules.iter().filter(|rule| matches(&rule.pattern, &path));
        matching.max_by_key(|rule| (rule.pattern.len(), rule.allows)).is_none_or(|rule| rule.allows)
    }
}

/// Keys with their values, comments gone.
fn lines(file: &[u8]) -> impl Iterator<Item = (String, String)> {
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    file.split(|byte| matches!(byte, b'\n' | b'\r')).filter_map(|line| {
        let line = line.split(|byte| *byte == b'#').next()?;
        let line = String::from_utf8_lossy(line);
        let (key, value) = line.split_once(':')?;
        Some((key.trim().to_owned(), value.trim().to_owned()))
    })
}

/// The agent's name ends with the first byte that no product token may hold.
fn addressee(value: &str) -> To {
    let end = value.find(|c: char| !c.is_ascii_alphabetic() && c != '_' && c != '-').unwrap_or(value.len());
    match value.get(..end) {
        Some(token) if token.eq_ignore_ascii_case(TOKEN) => To::Us,
        Some("") if value.starts_with('*') => To::Everybody,
        _ => To::Others,
    }
}

/// Of several names over one group.
fn stronger(a: To, b: To) -> To {
    match (a, b) {
        (To::Us, _) | (_, To::Us) => To::Us,
        (To::Everybody, _) | (_, To::Everybody) => To::Everybody,
        _ => To::Others,
    }
}

/// One spelling for each path: escapes of plain characters undone, others in upper case, bytes beyond ASCII escaped.
fn normal(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        let escaped = (byte == b'%').then(|| bytes.get(at..at + 2)).flatten().and_then(hex);
        let (byte, was_escaped) = match escaped {
            Some(value) => {
                at += 2;
                (value, true)
            }
            None => (byte, false),
        };
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if is_plain || (!was_escaped && byte.is_ascii()) {
            out.push(char::from(byte));
        } else {
            let [high, low] = [byte >> 4, byte & 15].map(|digit| b"0123456789ABCDEF"[usize::from(digit)]);
            out.extend(['%', char::from(high), char::from(low)]);
        }
    }
    out
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(digits.first()?)? * 16 + digit(digits.get(1)?)?).ok()
}

/// A pattern matches the beginning of a path; `*` is any run, `$` at the end is the end.
fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, anchored) = match pattern.strip_suffix('$') {
        Some(pattern) => (pattern.as_bytes(), true),
        None => (pattern.as_bytes(), false),
    };
    let path = path.as_bytes();
    let (mut p, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(p), path.get(at)) {
            (Some(b'*'), _) => {
                star = Some((p + 1, at));
                p += 1;
            }
            (None, _) if !anchored => return true,
            (None, None) => return true,
            (Some(want), Some(have)) if want == have => {
                p += 1;
                at += 1;
            }
            _ => match star.filter(|(_, from)| *from < path.len()) {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    (p, at) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(file: &str) -> Robots {
        Robots::parse(file.as_bytes(), CrawlRules::Ours)
    }

    #[test]
    fn the_longest_rule_decides_and_of_equals_the_kind_one() {
        let robots = ours(
            "User-agent: modkeep\nDisallow: /private/\nAllow: /private/open\nDisallow: /*.zip$\nDisallow: /a/*/c\n\
             Allow: /same\nDisallow: /same\nDisallow:\nDisallow: /%7Eme/\nDisallow: /caf%c3%a9\n",
        );
        for (path, allowed) in [
            ("/", true),
            ("/private/x", false),
            ("/private/open/x", true),
            ("/x.zip", false),
            ("/x.zip?y", true),
            ("/a/b/c", false),
            ("/a/b/b/c/d", false),
            ("/a/c", true),
            ("/same", true),
            ("/~me/x", false),
            ("/%7eme/x", false),
            ("/caf\u{e9}", false),
            ("/robots.txt", true),
        ] {
            assert_eq!(robots.allows(path), allowed, "{path}");
        }
    }

    #[test]
    fn groups_address_agents() {
        for (file, ours_allow, everybodys_allow) in [
            ("User-agent: *\nDisallow: /", true, false),
            ("User-agent: modkeep\nDisallow: /", false, false),
            ("User-agent: ModKeep/1.0 (x)\nDisallow: /", false, false),
            ("User-agent: modkeeper\nDisallow: /", true, true),
            ("User-agent: modkeep\nAllow: /\nUser-agent: *\nDisallow: /", true, true),
            ("User-agent: other\nUser-agent: modkeep\nDisallow: /", false, false),
            ("User-agent: modkeep\n\nUser-agent: other\nDisallow: /", false, false),
            ("User-agent: modkeep\nCrawl-delay: 1\nUser-agent: other\nDisallow: /", true, true),
            (
                "User-agent: modkeep\nDisallow: /a\nUser-agent: x\nDisallow: /\nUser-agent: modkeep\nDisallow: /",
                false,
                false,
            ),
            ("\u{feff}user-agent:modkeep # us\rDISALLOW:/ # all of it", false, false),
            ("Disallow: /", true, true),
            ("<html>no robots here</html>", true, true),
            ("", true, true),
        ] {
            assert_eq!(ours(file).allows("/x"), ours_allow, "{file}");
            let everybodys = Robots::parse(file.as_bytes(), CrawlRules::Everybodys);
            assert_eq!(everybodys.allows("/x"), everybodys_allow, "{file}");
        }
    }

    #[test]
    fn a_delay_is_obeyed_within_reason() {
        for (value, delay) in [
            ("10", Some(Duration::from_secs(10))),
            ("0.5", Some(Duration::from_millis(500))),
            ("86400", Some(DELAY_MAX)),
            ("-1", None),
            ("NaN", None),
            ("inf", None),
            ("soon", None),
        ] {
            assert_eq!(ours(&format!("User-agent: modkeep\nCrawl-delay: {value}")).delay, delay, "{value}");
        }
    }

    #[test]
    fn a_hostile_file_costs_little() {
        let stars = "*a".repeat(RULE_BYTES_MAX / 2);
        let file = format!("User-agent: modkeep\n{}", format!("Disallow: /{stars}\n").repeat(5_000));
        let rule = "*a".repeat(RULE_BYTES_MAX / 2 - 1);
        let dense = format!("User-agent: modkeep\n{}", format!("Disallow: /{rule}$\n").repeat(RULES_MAX));
        let began = std::time::Instant::now();
        assert!(ours(&file).allows("/x"), "rules that are too long are none");
        assert!(ours(&dense).allows(&format!("/{}b", "a".repeat(1_000))));
        assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
    }
}
