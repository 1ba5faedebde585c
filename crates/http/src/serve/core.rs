//! One core: its listening sockets, its connections, its sweeper.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{Id, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::connection::{Answerer, Connection};
use super::gauge::{Breach, Clock, Gauge, Pace};
use super::{Config, Limits};

/// Everything a serving thread needs.
#[derive(Clone)]
pub(super) struct Core<S> {
    pub(super) service: S,
    pub(super) config: Config,
    pub(super) crowd: Arc<Crowd>,
    pub(super) stop: CancellationToken,
}

impl<S: Answerer> Core<S> {
    /// Serves `listeners` until the stop, then drains.
    pub(super) async fn run(self, listeners: Vec<std::net::TcpListener>) {
        let mut doors = JoinSet::new();
        for listener in listeners {
            match TcpListener::from_std(listener) {
                Ok(listener) => drop(doors.spawn(Door::new(self.clone(), listener).run())),
                Err(cause) => tracing::error!(event = "start", %cause, "a listening socket was lost"),
            }
        }
        while doors.join_next().await.is_some() {}
    }
}

/// One listening socket of one core, and the connections that came through it.
struct Door<S> {
    core: Core<S>,
    listener: TcpListener,
    clock: Arc<Clock>,
    began: Instant,
    connections: JoinSet<()>,
    watched: HashMap<Id, (Arc<Gauge>, Pace)>,
}

impl<S: Answerer> Door<S> {
    fn new(core: Core<S>, listener: TcpListener) -> Self {
        Self {
            core,
            listener,
            clock: Arc::default(),
            began: Instant::now(),
            connections: JoinSet::new(),
            watched: HashMap::new(),
        }
    }

    async fn run(mut self) {
        let stop = self.core.stop.clone();
        let mut sweep = interval(sweep_every(&self.core.config.limits));
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => self.admit(stream, peer.ip()),
                    // Out of descriptors, mostly: those who are here must first go (K09).
                    Err(cause) => {
                        tracing::warn!(event = "http", %cause, "cannot accept");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(ended) = self.connections.join_next_with_id() => self.forget(&ended),
                _ = sweep.tick() => self.sweep(),
            }
        }
        // Whoever was already connected by the kernel is served; a dropped socket would reset them.
        while let Some(Ok((stream, peer))) = self.listener.accept().now_or_never() {
            self.admit(stream, peer.ip());
        }
        self.drain().await;
    }

    fn admit(&mut self, stream: TcpStream, peer: IpAddr) {
        let Some(seat) = Crowd::take_seat(&self.core.crowd, peer) else { return };
        let gauge = Arc::new(Gauge::new(Arc::clone(&self.clock)));
        let connection = Connection {
            service: self.core.service.clone(),
            gauge: Arc::clone(&gauge),
            tls: self.core.config.tls.clone(),
            limits: self.core.config.limits.clone(),
            reads_bodies: self.core.config.reads_bodies,
        };
        let task = self.connections.spawn(async move {
            let _seat = seat;
            connection.serve(stream).await;
        });
        self.watched.insert(task.id(), (gauge, Pace::default()));
    }

    fn forget(&mut self, ended: &Result<(Id, ()), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => *id,
            Err(fault) => {
                if fault.is_panic() {
                    tracing::error!(event = "http", "a connection's task panicked");
                }
                fault.id()
            }
        };
        self.watched.remove(&id);
    }

    /// Moves the clock and closes every connection that breaks a rule.
    fn sweep(&mut self) {
        self.clock.set(self.began.elapsed());
        for (gauge, pace) in self.watched.values_mut() {
            match gauge.breach(pace, &self.core.config.limits) {
                None => {}
                Some(Breach::Idle) => gauge.stop(),
                Some(breach) => {
                    self.core.crowd.count(breach);
                    gauge.cut();
                }
            }
        }
    }

    /// Lets what is under way end, for a time; the rules go on meanwhile.
    async fn drain(mut self) {
        drop(self.listener);
        for (gauge, _) in self.watched.values() {
            gauge.stop();
        }
        let end = tokio::time::sleep(self.core.config.drain);
        tokio::pin!(end);
        while !self.connections.is_empty() {
            tokio::select! {
                _ = self.connections.join_next() => {}
                () = &mut end => {
                    tracing::warn!(event = "stop", cut = self.connections.len(), "the drain ended first");
                    self.connections.shutdown().await;
                }
            }
        }
    }
}

/// Often enough for the shortest rule, at most once a second.
fn sweep_every(limits: &Limits) -> Duration {
    let shortest = limits.head.min(limits.idle).min(limits.rate_window);
    (shortest / 4).clamp(Duration::from_millis(5), Duration::from_secs(1))
}

/// Who is connected, on all cores together, and how often a rule had to be enforced.
#[derive(Debug)]
pub struct Crowd {
    all: AtomicUsize,
    all_max: usize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    by_address_max: usize,
    loopback_is_free: bool,
    refused: AtomicU64,
    slow_heads: AtomicU64,
    slow_readers: AtomicU64,
}

impl Crowd {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            all: AtomicUsize::new(0),
            all_max: limits.connections,
            by_address: Mutex::default(),
            by_address_max: limits.connections_per_address,
            loopback_is_free: limits.loopback_is_free,
            refused: AtomicU64::new(0),
            slow_heads: AtomicU64::new(0),
            slow_readers: AtomicU64::new(0),
        }
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.all.load(Relaxed)
    }

    /// How often each limit was hit since the start: the name is the label of `limit_hit_total`.
    pub fn limit_hits(&self) -> [(&'static str, u64); 3] {
        [
            ("connections", self.refused.load(Relaxed)),
            ("request_head", self.slow_heads.load(Relaxed)),
            ("reader_rate", self.slow_readers.load(Relaxed)),
        ]
    }

    fn count(&self, breach: Breach) {
        let counter = match breach {
            Breach::Idle => return,
            Breach::Head => &self.slow_heads,
            Breach::Rate => &self.slow_readers,
        };
        counter.fetch_add(1, Relaxed);
    }

    /// A place for a connection from `peer`, or none when too many are here already.
    fn take_seat(crowd: &Arc<Self>, peer: IpAddr) -> Option<Seat> {
        let peer = peer.to_canonical();
        let seat =
            Seat { crowd: Arc::clone(crowd), counted: crowd.counts(peer).then(|| neighbourhood(peer)) };
        let all = crowd.all.fetch_add(1, Relaxed) + 1;
        let near = seat.counted.map_or(0, |from| {
            let mut by_address = crowd.by_address.lock().unwrap_or_else(PoisonError::into_inner);
            let near = by_address.entry(from).or_default();
            *near += 1;
            *near
        });
        if all > crowd.all_max || near > crowd.by_address_max {
            crowd.refused.fetch_add(1, Relaxed);
            return None; // dropping the seat takes the counts back
        }
        Some(seat)
    }

    fn counts(&self, peer: IpAddr) -> bool {
        !(self.loopback_is_free && peer.is_loopback())
    }
}

/// Whom a count is kept for: one IPv4 address, or an IPv6 /64, which is what one customer gets.
fn neighbourhood(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// A connection's place in the crowd, given back when it is dropped.
#[derive(Debug)]
struct Seat {
    crowd: Arc<Crowd>,
    counted: Option<IpAddr>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.crowd.all.fetch_sub(1, Relaxed);
        let Some(from) = self.counted else { return };
        let mut by_address = self.crowd.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(near) = by_address.get_mut(&from) {
            *near -= 1;
            if *near == 0 {
                by_address.remove(&from); // the table is never larger than the crowd
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(limits: Limits) -> Arc<Crowd> {
        Arc::new(Crowd::new(&limits))
    }

    fn seats(crowd: &Arc<Crowd>, peer: &str, count: usize) -> Vec<Seat> {
        (0..count).filter_map(|_| Crowd::take_seat(crowd, peer.parse().unwrap())).collect()
    }

    #[test]
    fn one_address_gets_256_seats_and_others_are_not_touched() {
        let crowd = crowd(Limits::default());
        let mine = seats(&crowd, "192.0.2.1", 300);
        assert_eq!(mine.len(), 256);
        assert_eq!(seats(&crowd, "192.0.2.2", 10).len(), 10);
        drop(mine);
        assert_eq!(seats(&crowd, "192.0.2.1", 1).len(), 1);
        assert_eq!(crowd.connections(), 0);
        assert!(crowd.by_address.lock().unwrap().is_empty());
    }

    #[test]
    fn an_ipv6_customer_is_one_address_and_a_mapped_one_is_ipv4() {
        let crowd = crowd(Limits { connections_per_address: 2, ..Limits::default() });
        let _first = seats(&crowd, "2001:db8:0:1::1", 1);
        let _second = seats(&crowd, "2001:db8:0:1:ffff::2", 1);
        assert_eq!(seats(&crowd, "2001:db8:0:1::3", 1).len(), 0);
        assert_eq!(seats(&crowd, "2001:db8:0:2::3", 1).len(), 1);
        let _mapped = seats(&crowd, "::ffff:192.0.2.7", 2);
        assert_eq!(seats(&crowd, "192.0.2.7", 1).len(), 0);
    }

    #[test]
    fn loopback_is_free_of_the_count_for_one_address_only() {
        let crowd = crowd(Limits { connections: 400, ..Limits::default() });
        assert_eq!(seats(&crowd, "127.0.0.1", 500).len(), 400);
        let strict = self::crowd(Limits { loopback_is_free: false, ..Limits::default() });
        assert_eq!(seats(&strict, "127.0.0.1", 500).len(), 256);
    }
}
