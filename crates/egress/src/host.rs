//! Hosts as configuration names them: exact, with a port, as a pattern, as a range of addresses.

use std::net::IpAddr;
use std::str::FromStr;

use url::{Host, Url};

/// A host and a port: where a connection goes, before names become addresses.
///
/// The host is normalised once, here: lower case, no trailing dot, and every spelling of an address
/// (`127.1`, `0x7f.1`) in its canonical form, because the same parser reads all of them (E06, E09).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    host: String,
    port: u16,
}

/// A text that names no host, pattern or range.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not {wanted}")]
pub struct BadHost {
    /// The text as it was given.
    pub text: String,
    /// What would have been right.
    pub wanted: &'static str,
}

impl HostPort {
    /// Reads `host:port`, `1.2.3.4:port` or `[::1]:port`. The port is required.
    pub fn parse(text: &str) -> Result<Self, BadHost> {
        let bad = || BadHost { text: text.to_owned(), wanted: "host:port" };
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let port = port.parse().map_err(|_| bad())?;
        Ok(Self { host: normal_host(host).ok_or_else(bad)?, port })
    }

    /// The place a URL points at, its scheme's port where it names none. `None` for URLs without host.
    pub fn of(url: &Url) -> Option<Self> {
        Some(Self { host: trim_dot(url.host_str()?).to_owned(), port: url.port_or_known_default()? })
    }

    /// The host in its normal form; IPv6 addresses without brackets.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, when the host is a literal one.
    pub(crate) fn literal(&self) -> Option<IpAddr> {
        self.host().parse().ok()
    }
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for HostPort {
    type Err = BadHost;

    fn from_str(text: &str) -> Result<Self, BadHost> {
        Self::parse(text)
    }
}

/// What `[egress] allow` may hold: `git.corp.example:443`, or a range such as `10.1.0.0/16`.
///
/// Both lift the ban on private addresses: the first for one host and port, the second for every
/// host that resolves into the range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowRule {
    /// One host on one port.
    Place(HostPort),
    /// A range of addresses, on any port that is otherwise allowed.
    Range {
        /// The network's address.
        network: IpAddr,
        /// How many leading bits count: 0..=32 or 0..=128.
        prefix: u8,
    },
}

impl AllowRule {
    /// Reads one entry of the list.
    pub fn parse(text: &str) -> Result<Self, BadHost> {
        let bad = || BadHost { text: text.to_owned(), wanted: "host:port or a range such as 10.1.0.0/16" };
        let Some((network, prefix)) = text.split_once('/') else {
            return HostPort::parse(text).map(Self::Place).map_err(|_| bad());
        };
        let network: IpAddr = network.parse().map_err(|_| bad())?;
        let prefix: u8 = prefix.parse().map_err(|_| bad())?;
        let widest = if network.is_ipv4() { 32 } else { 128 };
        if prefix > widest { Err(bad()) } else { Ok(Self::Range { network, prefix }) }
    }

    /// Whether an address lies in this rule's range. A place covers no address by itself.
    pub(crate) fn covers(&self, address: IpAddr) -> bool {
        let Self::Range { network, prefix } = self else { return false };
        match (network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(*prefix);
                u32::from(*network).checked_shr(shift) == u32::from(address).checked_shr(shift)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(*prefix);
                u128::from(*network).checked_shr(shift) == u128::from(address).checked_shr(shift)
            }
            _ => false,
        }
    }
}

/// A host in a deny or allow list (E09): `git.example.com` is that host alone, `*.example.com` every
/// host below it, `.example.com` the domain itself and every host below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    name: String,
    reach: Reach,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Host,
    Below,
    HostAndBelow,
}

impl HostPattern {
    /// Reads one pattern; case and a trailing dot do not matter.
    pub fn parse(text: &str) -> Result<Self, BadHost> {
        let (rest, reach) = match (text.strip_prefix("*."), text.strip_prefix('.')) {
            (Some(rest), _) => (rest, Reach::Below),
            (None, Some(rest)) => (rest, Reach::HostAndBelow),
            (None, None) => (text, Reach::Host),
        };
        let bad = || BadHost { text: text.to_owned(), wanted: "a host, *.domain or .domain" };
        Ok(Self { name: normal_host(rest).filter(|name| !name.contains('*')).ok_or_else(bad)?, reach })
    }

    /// Whether the pattern names this host.
    pub fn matches(&self, place: &HostPort) -> bool {
        let same = || place.host == self.name;
        let below = || place.host.strip_suffix(&self.name).is_some_and(|front| front.ends_with('.'));
        match self.reach {
            Reach::Host => same(),
            Reach::Below => below(),
            Reach::HostAndBelow => same() || below(),
        }
    }
}

/// The form in which hosts are compared: what the URL parser makes of them, without the last dot.
fn normal_host(text: &str) -> Option<String> {
    // A URL reader decides, so that lists and requests cannot disagree about a spelling.
    match Host::parse(trim_dot(text)).ok()? {
        Host::Domain(name) if name.is_empty() => None,
        host => Some(host.to_string()),
    }
}

fn trim_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_one_form() {
        for (text, normal) in [
            ("Git.Corp.Example:443", "git.corp.example:443"),
            ("git.corp.example.:443", "git.corp.example:443"),
            ("127.1:80", "127.0.0.1:80"),
            ("[::1]:8080", "[::1]:8080"),
            ("[0:0:0:0:0:0:0:1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(HostPort::parse(text).unwrap().to_string(), normal, "{text}");
        }
        for text in ["", ":", "host", "host:", "host:port", "host:65536", ":443", "a b:1"] {
            assert!(HostPort::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_cover_by_prefix() {
        for (rule, address, covered) in [
            ("10.1.0.0/16", "10.1.255.255", true),
            ("10.1.0.0/16", "10.2.0.0", false),
            ("10.1.0.0/16", "::ffff:10.1.2.3", true),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("127.0.0.1/32", "127.0.0.2", false),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe80::1", false),
            ("fd00::/8", "10.0.0.1", false),
        ] {
            let rule = AllowRule::parse(rule).unwrap();
            assert_eq!(rule.covers(address.parse().unwrap()), covered, "{rule:?} {address}");
        }
        for text in ["10.0.0.0/33", "::/129", "10.0.0.0/", "/8", "host/8", "host"] {
            assert!(AllowRule::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hostile_e09_patterns_are_normalised_before_matching() {
        let place = |host: &str| HostPort::of(&Url::parse(&format!("https://{host}/")).unwrap()).unwrap();
        for (pattern, host, matches) in [
            ("example.com", "example.com", true),
            ("Example.COM.", "example.com", true),
            ("example.com", "EXAMPLE.com.", true),
            ("example.com", "www.example.com", false),
            ("*.example.com", "www.Example.com.", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "badexample.com", false),
            (".example.com", "example.com", true),
            (".example.com", "git.example.com", true),
            (".example.com", "notexample.com", false),
            ("127.0.0.1", "127.1", true),
        ] {
            assert_eq!(
                HostPattern::parse(pattern).unwrap().matches(&place(host)),
                matches,
                "{pattern} {host}"
            );
        }
        for text in ["", "*", "*.", ".", "a*b", "a b"] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }
}
