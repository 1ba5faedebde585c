//! The gate: may we talk to this host, on this port, at these addresses?
//!
//! Judged twice. Before a name is looked up, [`Gate::judge`] looks at the place alone: loops, lists,
//! names that only make sense inside a network, ports. After the look-up, [`Gate::vet`] looks at every
//! address, and one bad address condemns the whole answer (E02).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::address::forbidden;
use crate::error::Error;
use crate::host::{AllowRule, HostPattern, HostPort};
use crate::request::Trust;
use crate::resolve::Resolve;

/// How long a name may take to resolve (E08).
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);
/// More addresses than any honest service publishes for one name (E08).
const ADDRESSES_MAX: usize = 64;
/// Endings of names that never belong to a public host: RFC 6761, RFC 6762, RFC 9476 and the cloud metadata services (B08).
const INSIDE: [&str; 6] = ["localhost", "local", "internal", "home.arpa", "onion", "alt"];

/// The rules, as the configuration gives them.
pub(crate) struct Gate {
    pub(crate) named: Vec<HostPort>,
    pub(crate) allow: Vec<AllowRule>,
    pub(crate) own: Vec<HostPort>,
    pub(crate) deny: Vec<HostPattern>,
    pub(crate) only: Vec<HostPattern>,
}

/// What the gate knows about a place before its addresses are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Configured infrastructure, by exact host and port: any address, http or https.
    Exempt,
    /// Anybody: https on port 443, and every address is vetted.
    Stranger,
}

impl Gate {
    /// Judges a place by its name and port. No packet has left yet, not even to a name server.
    pub(crate) fn judge(&self, place: &HostPort, tls: bool, trust: Trust) -> Result<Standing, Error> {
        if self.is_exempt(place) {
            return Ok(Standing::Exempt);
        }
        match self.objection(place, tls, trust) {
            Some(reason) => Err(Error::Refused { host: place.to_string(), reason: reason.to_owned() }),
            None => Ok(Standing::Stranger),
        }
    }

    /// Whether the configuration names this very host and port.
    pub(crate) fn is_exempt(&self, place: &HostPort) -> bool {
        let allowed = |rule: &AllowRule| matches!(rule, AllowRule::Place(named) if named == place);
        self.named.contains(place) || self.allow.iter().any(allowed)
    }

    fn objection(&self, place: &HostPort, tls: bool, trust: Trust) -> Option<&'static str> {
        if self.own.contains(place) {
            return Some("that is this server itself (a loop)");
        }
        if self.deny.iter().any(|pattern| pattern.matches(place)) {
            return Some("the host is on the deny list");
        }
        if !self.only.is_empty() && !self.only.iter().any(|pattern| pattern.matches(place)) {
            return Some("the host is not on the list of hosts that may be contacted");
        }
        if place.literal().is_none() && is_inside_name(place.host()) {
            return Some("the name belongs to a local network");
        }
        match (tls, trust) {
            (false, Trust::Verified) => Some("plain http is for configured hosts only"),
            (false, Trust::Insecure) => {
                (place.port() != 80).then_some("only port 80 may be contacted without encryption")
            }
            (true, _) => (place.port() != 443)
                .then_some("only port 443 may be contacted on hosts that are not configured"),
        }
    }

    /// Vets the addresses of a stranger; all must be good.
    pub(crate) fn vet(&self, place: &HostPort, found: Vec<IpAddr>) -> Result<Vec<SocketAddr>, Error> {
        let refused = |address: IpAddr, why: &str| Error::Refused {
            host: place.to_string(),
            reason: format!("the address {address} is {why}; [egress] allow can name this host or range"),
        };
        for &address in &found {
            if self.own.iter().any(|own| own.port() == place.port() && own.literal() == Some(address)) {
                return Err(refused(address, "this server's own (a loop)"));
            }
            if let Some(why) = forbidden(address)
                && !self.allow.iter().any(|rule| rule.covers(address))
            {
                return Err(refused(address, why));
            }
        }
        Ok(found.into_iter().map(|address| SocketAddr::new(address, place.port())).collect())
    }

    /// Resolves a place, once, and vets the answer unless the place is exempt.
    ///
    /// Cancel safe: a resolver call in progress is left to finish on its own.
    pub(crate) async fn addresses(
        &self,
        resolver: &dyn Resolve,
        place: &HostPort,
        standing: Standing,
    ) -> Result<Vec<SocketAddr>, Error> {
        let found = match place.literal() {
            Some(address) => vec![address],
            None => look_up(resolver, place.host()).await?,
        };
        match standing {
            Standing::Exempt => Ok(found.into_iter().map(|ip| SocketAddr::new(ip, place.port())).collect()),
            Standing::Stranger => self.vet(place, found),
        }
    }
}

async fn look_up(resolver: &dyn Resolve, name: &str) -> Result<Vec<IpAddr>, Error> {
    let failed = |reason: String| Error::Dns { host: name.to_owned(), reason };
    let answer = tokio::time::timeout(RESOLVE_LIMIT, resolver.resolve(name)).await;
    let found = answer
        .map_err(|_| failed(format!("no answer within {}s", RESOLVE_LIMIT.as_secs())))?
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::NoSuchHost { host: name.to_owned() },
            _ => failed(error.to_string()),
        })?;
    match found.len() {
        0 => Err(failed("the name has no address".to_owned())),
        1..=ADDRESSES_MAX => Ok(found),
        many => Err(failed(format!("{many} addresses for one name"))),
    }
}

/// Names without a dot, and names below an ending of [`INSIDE`].
fn is_inside_name(name: &str) -> bool {
    let below =
        |end: &str| name.strip_suffix(end).is_some_and(|front| front.is_empty() || front.ends_with('.'));
    !name.contains('.') || INSIDE.into_iter().any(below)
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::resolve::Resolving;

    fn gate() -> Gate {
        Gate { named: vec![], allow: vec![], own: vec![], deny: vec![], only: vec![] }
    }

    fn place(url: &str) -> HostPort {
        HostPort::of(&Url::parse(url).unwrap()).unwrap()
    }

    /// Answers every name with the same addresses, or never.
    struct Script(Option<Vec<IpAddr>>);

    impl Resolve for Script {
        fn resolve(&self, _: &str) -> Resolving {
            let answer = self.0.clone();
            Box::pin(async move {
                match answer {
                    Some(found) if found.is_empty() => Err(std::io::Error::other("SERVFAIL")),
                    Some(found) => Ok(found),
                    None => std::future::pending().await,
                }
            })
        }
    }

    async fn reach(gate: &Gate, url: &str, answer: &[&str]) -> Result<Vec<SocketAddr>, Error> {
        let found = answer.iter().map(|text| text.parse().unwrap()).collect();
        let standing = gate.judge(&place(url), url.starts_with("https"), Trust::Verified)?;
        gate.addresses(&Script(Some(found)), &place(url), standing).await
    }

    #[tokio::test]
    async fn hostile_e01_a_name_that_resolves_to_a_forbidden_address_is_refused() {
        for bad in
            ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "fe80::1", "::ffff:10.0.0.1", "2002:7f00:1::"]
        {
            let error = reach(&gate(), "https://good.example/", &[bad]).await.unwrap_err();
            assert!(matches!(error, Error::Refused { .. }), "{bad}: {error}");
        }
        assert!(reach(&gate(), "https://good.example/", &["8.8.8.8"]).await.is_ok());
    }

    #[tokio::test]
    async fn hostile_e01_b07_address_literals_are_vetted_in_every_spelling() {
        for host in [
            "127.0.0.1",
            "127.1",
            "0x7f.1",
            "2130706433",
            "017700000001",
            "[::1]",
            "[::ffff:7f00:1]",
            "10.0.0.1.",
        ] {
            let error = reach(&gate(), &format!("https://{host}/"), &[]).await.unwrap_err();
            assert!(matches!(error, Error::Refused { .. }), "{host}: {error}");
        }
    }

    #[tokio::test]
    async fn hostile_e02_one_private_address_condemns_the_answer() {
        for answer in [["8.8.8.8", "10.0.0.1"], ["10.0.0.1", "8.8.8.8"], ["8.8.8.8", "::1"]] {
            assert!(reach(&gate(), "https://good.example/", &answer).await.is_err(), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn hostile_e03_what_was_vetted_is_what_is_dialled() {
        /// Public at first, private from then on, as a rebinding name server answers.
        struct Rebinding(std::sync::atomic::AtomicUsize);
        impl Resolve for Rebinding {
            fn resolve(&self, _: &str) -> Resolving {
                let first = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
                let answer: IpAddr = if first { "8.8.8.8" } else { "127.0.0.1" }.parse().unwrap();
                Box::pin(async move { Ok(vec![answer]) })
            }
        }
        let (name_server, target) = (Rebinding(0.into()), place("https://rebind.example/"));
        let first = gate().addresses(&name_server, &target, Standing::Stranger).await.unwrap();
        assert_eq!(
            first,
            ["8.8.8.8:443".parse().unwrap()],
            "the connector dials these numbers, not the name"
        );
        assert!(gate().addresses(&name_server, &target, Standing::Stranger).await.is_err());
    }

    #[tokio::test]
    async fn hostile_e04_a_cname_chain_is_judged_by_where_it_ends() {
        // The system resolver follows CNAMEs and hands over the last addresses; a loop is SERVFAIL.
        assert!(reach(&gate(), "https://alias.example/", &["192.168.0.1"]).await.is_err());
        let looped = reach(&gate(), "https://alias.example/", &[]).await.unwrap_err();
        assert!(matches!(looped, Error::Dns { .. }), "{looped}");
    }

    #[test]
    fn hostile_e05_only_443_and_configured_ports() {
        let mut gate = gate();
        gate.named = vec![HostPort::parse("mirror.example:8443").unwrap()];
        for port in [22, 25, 80, 5432, 6379, 8443, 9200] {
            assert!(
                gate.judge(&place(&format!("https://good.example:{port}/")), true, Trust::Verified).is_err(),
                "{port}"
            );
        }
        assert_eq!(
            gate.judge(&place("https://good.example/"), true, Trust::Verified),
            Ok(Standing::Stranger)
        );
        assert_eq!(
            gate.judge(&place("https://mirror.example:8443/"), true, Trust::Verified),
            Ok(Standing::Exempt)
        );
        assert!(gate.judge(&place("http://good.example/"), false, Trust::Verified).is_err());
    }

    #[test]
    fn hostile_e07_our_own_address_is_a_loop_unless_named() {
        let mut gate = gate();
        gate.own =
            vec![HostPort::parse("mirror.example:443").unwrap(), HostPort::parse("1.2.3.4:443").unwrap()];
        assert!(gate.judge(&place("https://Mirror.example./x"), true, Trust::Verified).is_err());
        assert!(gate.judge(&place("https://1.2.3.4/"), true, Trust::Verified).is_err());
        assert!(gate.vet(&place("https://other.example/"), vec!["1.2.3.4".parse().unwrap()]).is_err());
        gate.named = vec![HostPort::parse("mirror.example:443").unwrap()];
        assert_eq!(
            gate.judge(&place("https://mirror.example/"), true, Trust::Verified),
            Ok(Standing::Exempt)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn hostile_e08_resolving_is_bounded() {
        let before = tokio::time::Instant::now();
        let slow = gate().addresses(&Script(None), &place("https://slow.example/"), Standing::Stranger).await;
        assert!(matches!(slow, Err(Error::Dns { .. })), "{slow:?}");
        assert_eq!(before.elapsed(), RESOLVE_LIMIT);
        let flood = vec!["8.8.8.8".parse().unwrap(); 10_000];
        let many =
            gate().addresses(&Script(Some(flood)), &place("https://many.example/"), Standing::Stranger).await;
        assert!(matches!(many, Err(Error::Dns { .. })), "{many:?}");
    }

    #[test]
    fn hostile_e09_lists_deny_and_confine() {
        let mut gate = gate();
        gate.deny = vec![HostPattern::parse(".evil.example").unwrap()];
        assert!(gate.judge(&place("https://Git.Evil.example./"), true, Trust::Verified).is_err());
        assert!(gate.judge(&place("https://good.example/"), true, Trust::Verified).is_ok());
        gate.only = vec![HostPattern::parse("*.good.example").unwrap()];
        assert!(gate.judge(&place("https://git.good.example/"), true, Trust::Verified).is_ok());
        assert!(gate.judge(&place("https://good.example/"), true, Trust::Verified).is_err());
    }

    #[test]
    fn hostile_b08_local_names_are_not_even_looked_up() {
        for host in [
            "localhost",
            "a.localhost",
            "x.local",
            "metadata.google.internal",
            "db",
            "printer.home.arpa",
            "x.LOCAL.",
        ] {
            assert!(
                gate().judge(&place(&format!("https://{host}/")), true, Trust::Verified).is_err(),
                "{host}"
            );
        }
        assert!(gate().judge(&place("https://local.example/"), true, Trust::Verified).is_ok());
    }

    #[tokio::test]
    async fn allow_lifts_the_ban_for_one_host_or_one_range() {
        let mut gate = gate();
        gate.allow =
            vec![AllowRule::parse("git.corp.example:443").unwrap(), AllowRule::parse("10.1.0.0/16").unwrap()];
        assert!(reach(&gate, "https://git.corp.example/", &["192.168.7.7"]).await.is_ok());
        assert!(reach(&gate, "https://hg.corp.example/", &["10.1.7.7"]).await.is_ok());
        assert!(reach(&gate, "https://hg.corp.example/", &["10.2.7.7"]).await.is_err());
    }
}
