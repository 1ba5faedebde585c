//! When an answer that changes with time is served, refreshed or fetched (D8, P-12 of the cache table).

use std::time::{Duration, SystemTime};

/// How far an answer may go.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reach {
    /// Only to what is stored: no contact with the outside of any kind (P-91).
    CachedOnly,
    /// To the sources, where the store does not have it.
    MayFetch,
}

/// How long answers live.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Younger answers are served as they are. Default 60 s (spec/README item 7).
    pub fresh: Duration,
    /// Older ones, up to this age, are served while a refresh runs. Default 600 s, the
    /// `stale-while-revalidate` that we promise on the wire.
    pub usable: Duration,
}

/// What to do about a list, a latest version or a query.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Plan {
    /// Serve what is stored.
    Serve,
    /// Serve what is stored and refresh it behind the answer.
    ServeThenRefresh,
    /// Ask the sources and wait; what is stored is the answer only if they are away.
    Fetch,
    /// Nothing is stored and nobody may be asked.
    Refuse,
}

/// What to do, decided from facts alone: when the stored answer was last checked, and how far we may go.
pub fn plan(checked: Option<SystemTime>, reach: Reach, now: SystemTime, lifetimes: Lifetimes) -> Plan {
    let Some(checked) = checked else {
        return if reach == Reach::MayFetch { Plan::Fetch } else { Plan::Refuse };
    };
    if reach == Reach::CachedOnly {
        return Plan::Serve;
    }
    let Ok(age) = now.duration_since(checked) else {
        return Plan::ServeThenRefresh; // the clock went back (R25): its age is unknown, so it is checked anew
    };
    if age < lifetimes.fresh {
        Plan::Serve
    } else if age <= lifetimes.usable {
        Plan::ServeThenRefresh
    } else {
        Plan::Fetch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_follows_from_the_age() {
        let lifetimes = Lifetimes { fresh: Duration::from_mins(1), usable: Duration::from_mins(10) };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let age = |seconds| Some(now - Duration::from_secs(seconds));
        let ahead = Some(now + Duration::from_hours(1));
        for (checked, may_fetch, cached_only) in [
            (None, Plan::Fetch, Plan::Refuse),
            (age(0), Plan::Serve, Plan::Serve),
            (age(59), Plan::Serve, Plan::Serve),
            (age(60), Plan::ServeThenRefresh, Plan::Serve),
            (age(600), Plan::ServeThenRefresh, Plan::Serve),
            (age(601), Plan::Fetch, Plan::Serve),
            (ahead, Plan::ServeThenRefresh, Plan::Serve),
        ] {
            assert_eq!(plan(checked, Reach::MayFetch, now, lifetimes), may_fetch, "{checked:?}");
            assert_eq!(plan(checked, Reach::CachedOnly, now, lifetimes), cached_only, "{checked:?}");
        }
    }
}
