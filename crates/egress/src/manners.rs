//! Manners towards hosts that nobody configured: the list of those who asked to be left alone, their crawl rules, and
//! the pace (E10, K04, K05). Who is configured is asked as often as the operator likes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use url::Url;

use crate::domain::registrable;
use crate::error::Error;
use crate::host::{BadHost, HostPattern, HostPort};
use crate::pace::{Bucket, Pace};
use crate::robots::{CrawlRules, Robots};

/// Hosts and domains remembered at a time.
const HOSTS_MAX: usize = 4_096;
/// A host's rules are asked for once in this time.
const RULES_LIFETIME: Duration = Duration::from_hours(24);
/// Where the rules cannot be had because of the host's own trouble, nothing is asked for so long (RFC 9309 section 2.3.1.4).
const CLOSED_FOR: Duration = Duration::from_mins(5);
/// The longest wait for a turn of the pace; beyond it the answer is "come again".
const PATIENCE: Duration = Duration::from_mins(1);

/// Somebody who asked to be left alone (`[origin] opt_out`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptOut {
    /// A host, `*.domain`, or `.domain`.
    Host(HostPattern),
    /// All URLs below this one.
    Below(Url),
}

impl OptOut {
    /// Reads `host`, `*.domain`, `.domain` or `https://host/path`.
    pub fn parse(text: &str) -> Result<Self, BadHost> {
        let bad =
            || BadHost { text: text.to_owned(), wanted: "a host, *.domain, .domain or https://host/path" };
        if !text.contains("://") {
            return HostPattern::parse(text).map(Self::Host).map_err(|_| bad());
        }
        Url::parse(text).ok().filter(Url::has_host).map(Self::Below).ok_or_else(bad)
    }

    fn covers(&self, place: &HostPort, url: &Url) -> bool {
        match self {
            Self::Host(pattern) => pattern.matches(place),
            Self::Below(above) => {
                HostPort::of(above).as_ref() == Some(place)
                    && url
                        .path()
                        .strip_prefix(above.path().trim_end_matches('/'))
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }
}

/// The manners of one way out.
pub(crate) struct Manners {
    opt_out: Vec<OptOut>,
    whose: CrawlRules,
    pace: Pace,
    rules: Mutex<HashMap<Authority, Arc<Slot>>>,
    paces: Mutex<Paces>,
}

/// Rules are those of a scheme, host and port.
type Authority = (HostPort, bool);
/// One host's rules; whoever holds the lock is asking for them.
type Slot = tokio::sync::Mutex<Option<Known>>;

#[derive(Clone)]
struct Known {
    rules: Rules,
    until: Instant,
}

/// What is known of a host's rules.
#[derive(Clone, Debug)]
pub(crate) enum Rules {
    /// It said something, perhaps nothing for us.
    Told(Arc<Robots>),
    /// It could not say for its own trouble.
    Closed,
}

#[derive(Default)]
struct Paces {
    hosts: HashMap<HostPort, Bucket>,
    domains: HashMap<Box<str>, Bucket>,
}

impl Manners {
    pub(crate) fn new(opt_out: Vec<OptOut>, whose: CrawlRules, pace: Pace) -> Self {
        Self { opt_out, whose, pace, rules: Mutex::default(), paces: Mutex::default() }
    }

    /// Refuses those who asked to be left alone.
    pub(crate) fn check_opt_out(&self, place: &HostPort, url: &Url) -> Result<(), Error> {
        if !self.opt_out.iter().any(|rule| rule.covers(place, url)) {
            return Ok(());
        }
        let reason = "its owner asked us not to fetch from it ([origin] opt_out)".to_owned();
        Err(Error::Refused { host: place.to_string(), reason })
    }

    /// A host's rules, remembered or asked for now; one asks for all.
    ///
    /// Cancel safe: whoever is next asks again.
    pub(crate) async fn rules<A: Future<Output = Result<Rules, Error>>>(
        &self,
        place: &HostPort,
        tls: bool,
        ask: impl FnOnce() -> A,
    ) -> Result<Rules, Error> {
        let slot = self.slot(place, tls);
        let mut known = slot.lock().await;
        if let Some(known) = known.as_ref().filter(|known| known.until > Instant::now()) {
            return Ok(known.rules.clone());
        }
        let rules = ask().await?;
        let lifetime = match rules {
            Rules::Told(_) => RULES_LIFETIME,
            Rules::Closed => CLOSED_FOR,
        };
        *known = Some(Known { rules: rules.clone(), until: Instant::now() + lifetime });
        Ok(rules)
    }

    fn slot(&self, place: &HostPort, tls: bool) -> Arc<Slot> {
        let mut rules = lock(&self.rules);
        let key = (place.clone(), tls);
        if let Some(slot) = rules.get(&key) {
            return Arc::clone(slot);
        }
        if rules.len() >= HOSTS_MAX {
            make_room(&mut rules);
        }
        Arc::clone(rules.entry(key).or_default())
    }

    /// What an answer to `/robots.txt` means.
    pub(crate) fn read(&self, status: u16, file: &[u8]) -> Rules {
        match status {
            200..300 => Rules::Told(Arc::new(Robots::parse(file, self.whose))),
            429 | 500.. => Rules::Closed,
            _ => Rules::Told(Arc::default()),
        }
    }

    /// Waits until the host's pace, its domain's and its crawl delay let a request out; a wait beyond the deadline is not
    /// begun.
    ///
    /// Cancel safe, though the turn that was waited for is used up.
    pub(crate) async fn keep_pace(
        &self,
        place: &HostPort,
        delay: Option<Duration>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let now = Instant::now();
        let wait = self.take(place, delay, now, PATIENCE.min(deadline - now));
        let wait = wait.map_err(|retry_after| Error::Throttled { host: place.to_string(), retry_after })?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    fn take(
        &self,
        place: &HostPort,
        delay: Option<Duration>,
        now: Instant,
        patience: Duration,
    ) -> Result<Duration, Duration> {
        let mut paces = lock(&self.paces);
        if paces.hosts.len() >= HOSTS_MAX || paces.domains.len() >= HOSTS_MAX {
            paces.hosts.retain(|_, bucket| !bucket.is_full(now));
            paces.domains.retain(|_, bucket| !bucket.is_full(now));
        }
        let is_crowded = paces.hosts.len() >= HOSTS_MAX || paces.domains.len() >= HOSTS_MAX;
        if is_crowded && !paces.hosts.contains_key(place) {
            return Err(PATIENCE);
        }
        let domain = paces.domains.entry(registrable(place.host()).into()).or_default();
        let of_domain = domain.take(self.pace.of_domain(), now, patience)?;
        let host = paces.hosts.entry(place.clone()).or_default();
        let of_host = host.take(self.pace.with_delay(delay), now, patience)?;
        Ok(of_domain.max(of_host))
    }
}

impl Rules {
    /// Whether this URL may be asked for, and at which distance from others.
    pub(crate) fn check(&self, place: &HostPort, url: &Url) -> Result<Option<Duration>, Error> {
        let host = place.to_string();
        let Self::Told(robots) = self else {
            return Err(Error::Throttled { host, retry_after: CLOSED_FOR });
        };
        let asked = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        if robots.allows(&asked) {
            return Ok(robots.delay);
        }
        let reason = format!("its robots.txt asks modkeep not to fetch {}", url.path());
        Err(Error::Refused { host, reason })
    }
}

/// Forgets hosts whose rules are stale or that are easily asked again; those in use stay.
fn make_room(rules: &mut HashMap<Authority, Arc<Slot>>) {
    let now = Instant::now();
    let is_used = |slot: &Arc<Slot>| Arc::strong_count(slot) > 1;
    let is_fresh = |slot: &Arc<Slot>| {
        slot.try_lock().is_ok_and(|known| known.as_ref().is_some_and(|known| known.until > now))
    };
    rules.retain(|_, slot| is_used(slot) || is_fresh(slot));
    if rules.len() >= HOSTS_MAX {
        let mut nth = 0;
        rules.retain(|_, slot| {
            nth += 1;
            is_used(slot) || nth % 2 == 0
        });
    }
}

/// Every critical section here is a few assignments that cannot panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: &str) -> HostPort {
        HostPort::parse(&format!("{host}:443")).unwrap()
    }

    #[test]
    fn who_asked_to_be_left_alone_is() {
        let rules = ["git.example.com", ".quiet.example", "https://code.example/me/"]
            .map(|text| OptOut::parse(text).unwrap());
        let manners = Manners::new(rules.into(), CrawlRules::Ours, Pace::default());
        for (url, alone) in [
            ("https://git.example.com/x", true),
            ("https://www.example.com/x", false),
            ("https://quiet.example/x", true),
            ("https://a.quiet.example/x", true),
            ("https://code.example/me", true),
            ("https://code.example/me/x", true),
            ("https://code.example/mean", false),
            ("https://code.example/you", false),
        ] {
            let url = Url::parse(url).unwrap();
            let refused = manners.check_opt_out(&HostPort::of(&url).unwrap(), &url).is_err();
            assert_eq!(refused, alone, "{url}");
        }
        for text in ["", "a b", "https://", "*"] {
            assert!(OptOut::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hostile_k04_the_hosts_of_one_domain_share_its_pace() {
        let pace = Pace { per_second: 1.0, burst: 2 };
        let manners = Manners::new(vec![], CrawlRules::Ours, pace);
        let now = Instant::now();
        let takes = |n: usize| manners.take(&place(&format!("h{n}.flood.example")), None, now, PATIENCE);
        let waits: Vec<_> = (0..6).map(|n| takes(n).unwrap().as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 500, 1_000], "twice the pace of one host, whatever their number");
        assert_eq!((6..200).filter(|&n| takes(n).is_ok()).count(), 118, "then patience ends");
        assert_eq!(manners.take(&place("calm.example"), None, now, PATIENCE), Ok(Duration::ZERO));
    }

    #[test]
    fn hostile_k05_endless_questions_about_one_repository_keep_its_host_s_pace() {
        let manners = Manners::new(vec![], CrawlRules::Ours, Pace::default());
        let now = Instant::now();
        let taken = |at| {
            (0..1_000).filter(|_| manners.take(&place("code.example"), None, at, PATIENCE).is_ok()).count()
        };
        assert_eq!(taken(now), 30 + 600, "a burst, and as many as a patient caller waits for");
        assert_eq!(taken(now + Duration::from_mins(1)), 600, "never more than the pace allows");
    }

    #[test]
    fn hostile_k04_the_table_of_paces_is_bounded() {
        let manners = Manners::new(vec![], CrawlRules::Ours, Pace { per_second: 0.01, burst: 1 });
        let now = Instant::now();
        for n in 0..2 * HOSTS_MAX {
            let _crowded = manners.take(&place(&format!("h.d{n}.example")), None, now, PATIENCE);
        }
        assert!(lock(&manners.paces).hosts.len() <= HOSTS_MAX);
        assert_eq!(manners.take(&place("new.example"), None, now, PATIENCE), Err(PATIENCE), "crowded");
        assert!(manners.take(&place("new.example"), None, now + Duration::from_mins(10), PATIENCE).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn rules_are_asked_for_once_a_day() {
        let manners = Manners::new(vec![], CrawlRules::Ours, Pace::default());
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let ask = async |status: u16| {
            let read = async || {
                asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Ok(manners.read(status, b""))
            };
            manners.rules(&place("a.example"), true, read).await.map(drop)
        };
        for _ in 0..10 {
            ask(404).await.unwrap();
            tokio::time::advance(Duration::from_hours(2)).await;
        }
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 1);
        tokio::time::advance(Duration::from_hours(5)).await;
        ask(500).await.unwrap();
        ask(500).await.unwrap();
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 2);
        tokio::time::advance(CLOSED_FOR).await;
        ask(200).await.unwrap();
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 3);
    }
}
