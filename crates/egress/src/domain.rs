//! Which hosts belong together: a domain that somebody registered, with all names below it (K04).

use std::net::IpAddr;

/// Second levels under which country domains register: `co.uk`, `com.au`, `ac.jp`.
const SECOND_LEVELS: [&str; 16] = [
    "ac", "co", "com", "edu", "gob", "gov", "go", "id", "mil", "ne", "net", "nom", "or", "org", "sch", "web",
];

/// The registrable domain of a host, well enough for fairness: the last two labels, or three below a country's usual
/// second level. The public list of suffixes knows better, and is wrong within months; all that depends on it here is
/// who shares a turn with whom.
pub(crate) fn registrable(host: &str) -> &str {
    if host.parse::<IpAddr>().is_ok() {
        return host;
    }
    let mut labels = host.rsplit('.');
    let (top, second) = (labels.next().unwrap_or_default(), labels.next().unwrap_or_default());
    let count = if top.len() == 2 && SECOND_LEVELS.contains(&second) { 3 } else { 2 };
    let start = host.rmatch_indices('.').nth(count - 1).map_or(0, |(dot, _)| dot + 1);
    host.get(start..).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_one_registration_belong_together() {
        for (host, domain) in [
            ("example.com", "example.com"),
            ("a.b.example.com", "example.com"),
            ("git.example.co.uk", "example.co.uk"),
            ("co.uk", "co.uk"),
            ("a.go.dev", "go.dev"),
            ("pkg.go.dev", "go.dev"),
            ("localhost", "localhost"),
            ("10.0.0.1", "10.0.0.1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(registrable(host), domain, "{host}");
        }
    }
}
