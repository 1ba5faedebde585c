//! `serve`: the house with its doors open, until somebody asks it to stop.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use modkeep_http::serve::{Limits, Running, Tls};
use modkeep_http::{Admin, Faces, Health, Metrics, Probes, Server, Service};
use modkeep_index::Index;
use modkeep_log::State;
use modkeep_mirror::Mirror;
use modkeep_sumdb::Relay;
use modkeep_upstream::Database;
use tokio_util::sync::CancellationToken;

use crate::cli::{Color, Serve};
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::Output;
use crate::watch;
use crate::wiring::{Door, House, Sources, announced};

pub(super) fn run(
    serve: &Serve,
    color: Color,
    effective: &Effective,
    output: &Output,
) -> Result<Exit, Failed> {
    let started = Instant::now();
    crate::log::init(effective, color);
    open_files();
    no_core();
    let sources = Sources::of(effective)?;
    for warning in &sources.warnings {
        tracing::warn!(event = "start", "{warning}");
    }
    let runtime = super::runtime()?;
    runtime.block_on(async {
        let metrics =
            Metrics::new(env!("CARGO_PKG_VERSION"), option_env!("MODKEEP_COMMIT").unwrap_or("unknown"));
        let alarms = watch::Alarms::new(&metrics);
        let (observer, heard) = crate::origins::ears(watch::observer(&metrics, alarms.clone()));
        let house = if serve.check {
            crate::wiring::check(effective)?;
            House::build(effective, &sources, observer)?
        } else {
            let told = watch::log::observer(&metrics, alarms);
            let (told, found) = crate::verdicts::ears(&effective.config.log.name, told);
            if let Some(warning) = crate::wiring::unremembered(effective) {
                tracing::warn!(event = "log", log = %effective.config.log.name, "{warning}");
            }
            let house = House::build_with_log(effective, &sources, observer, told)?;
            house.keep_to_end(|closing| crate::verdicts::keep(house.store.clone(), found, closing));
            house
        };
        if serve.check {
            house.close().await;
            output.result(|| "ready to serve".to_owned(), || serde_json::json!({ "ok": true }));
            return Ok(Exit::Done);
        }
        let (doors, mirror) = open(effective, &house, &metrics).await?;
        crate::origins::watch(effective, &sources, &house, mirror, heard);
        keep_log(&house);
        take_up(&house);
        announce(effective, &house, &doors, output, started);
        stop_asked().await;
        tracing::info!(
            event = "stop",
            "stopping; bodies in flight have {} s",
            effective.config.server.drain.0.as_secs()
        );
        doors.close().await;
        house.close().await;
        Ok(Exit::Done)
    })
}

/// Has recorded what is stored, from now on and from before. A log that does not sign takes nothing until the next start.
fn keep_log(house: &House) {
    if house.log.log().is_some_and(|log| log.state() != State::Reading) {
        let fetch = house.fetch.clone();
        house.keep(async move { fetch.keep_drained().await });
    }
}

/// Has new modules taken once there is room on a disk that was full at the start (R11).
fn take_up(house: &House) {
    if !house.store.waits_for_room() {
        return;
    }
    let store = house.store.clone();
    house.keep(async move {
        while store.waits_for_room() {
            tokio::time::sleep(ROOM_EVERY).await;
            if let Err(error) = store.resume().await {
                tracing::debug!(event = "store", %error, "nothing new is stored yet");
            }
        }
    });
}

/// How often is looked whether there is room: a call of the system.
const ROOM_EVERY: Duration = Duration::from_secs(1);

/// As many open files as we are allowed: each connection is one, and so is each large file on its way.
fn open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // A limit that cannot be raised is answered by the limits on connections and flights.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// A memory image of this process holds the logins of its upstreams, so a crash writes none (M04). Who hunts one
/// raises the limit of the running process: `prlimit --core=unlimited --pid PID`.
fn no_core() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Core).maximum;
    // Lowering one's own limit is always allowed.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
}

/// The listeners at work.
struct Doors {
    public: Running,
    admin: Option<Running>,
    addresses: Vec<SocketAddr>,
    admin_address: Option<SocketAddr>,
    base: String,
    stop: CancellationToken,
}

impl Doors {
    async fn close(self) {
        self.stop.cancel();
        self.public.join().await;
        if let Some(admin) = self.admin {
            admin.join().await;
        }
    }
}

/// Binds first, so that links can name the real port, then serves.
async fn open(effective: &Effective, house: &House, metrics: &Metrics) -> Result<(Doors, Mirror), Failed> {
    let server = &effective.config.server;
    let tls = (!server.tls_cert.is_empty())
        .then(|| Tls::read(Path::new(&server.tls_cert), Path::new(&server.tls_key)));
    let tls = tls.transpose().map_err(|error| effective.slip("server.tls_cert", error.to_string()))?;
    let https = tls.is_some();
    let limits = Limits {
        connections: server.connections_max,
        connections_per_address: server.connections_per_address,
        ..Limits::default()
    };
    let config = modkeep_http::serve::Config { tls, limits, drain: server.drain.0, ..Default::default() };
    let listen = resolved(effective, "server.listen", &server.listen).await?;
    let bound =
        Server::bind(&listen, config).map_err(|error| effective.slip("server.listen", error.to_string()))?;
    let addresses = bound.addresses().to_vec();
    let base = base_url(effective, &addresses, https);
    let (mirror, relay) = faces(effective, house);
    let probes = probes(house);
    watch::gauges(metrics, house, {
        let mirror = mirror.clone();
        move || mirror.hot_bytes()
    });
    watch::log::gauges(metrics, &house.log, &house.fetch);
    let faces = Faces {
        mirror: mirror.clone(),
        relay,
        own: house.log.face(&house.fetch, &house.store, server.hold.0),
        index: Index::new(house.store.clone()).without(house.private.clone()),
        store: house.store.clone(),
        metrics: metrics.clone(),
        probes: probes.clone(),
    };
    let service = Service::new(faces, presented(effective, house, base.clone()));
    let stop = CancellationToken::new();
    let failed = |error: modkeep_http::serve::ServeError| Failed::new(Exit::Failed, error.to_string());
    let public = bound.serve(service, stop.clone()).map_err(failed)?;
    metrics.watch(public.crowd());
    let (admin, admin_address) = match server.admin_listen.as_str() {
        "" => (None, None),
        text => {
            let listen = resolved(effective, "server.admin_listen", &[text.to_owned()]).await?;
            let config = modkeep_http::serve::Config { threads: NonZeroUsize::MIN, ..Default::default() };
            let bound = Server::bind(&listen, config)
                .map_err(|error| effective.slip("server.admin_listen", error.to_string()))?;
            let address = bound.addresses().first().copied();
            (Some(bound.serve(Admin::new(metrics.clone(), probes), stop.clone()).map_err(failed)?), address)
        }
    };
    Ok((Doors { public, admin, addresses, admin_address, base, stop }, mirror))
}

fn faces(effective: &Effective, house: &House) -> (Mirror, Relay) {
    let cache_bytes = effective.config.store.hot_cache.0;
    let mirror =
        Mirror::new(house.fetch.clone(), modkeep_mirror::Config { cache_bytes, ..Default::default() });
    (mirror, house.relay(effective.config.server.hold.0))
}

fn probes(house: &House) -> Probes {
    let store = house.store.clone();
    let databases: Vec<_> = house.database.iter().cloned().collect();
    let probes = Probes::default().with("store", move || match store.is_writable() {
        Ok(()) => Health::Well("takes new modules".to_owned()),
        Err(error) => Health::Degraded(error.to_string()),
    });
    let door = house.log.clone();
    let probes = if matches!(door, Door::Off) { probes } else { probes.with("log", move || health(&door)) };
    probes.with("checksum database", move || match databases.iter().find_map(Database::is_stopped) {
        None => Health::Well("trusted".to_owned()),
        Some(size) => {
            Health::Degraded(format!("stopped: it showed a tree that does not extend the one of size {size}"))
        }
    })
}

/// What `/readyz` hears of our own log.
fn health(door: &Door) -> Health {
    match door {
        Door::Off => Health::Well("none is kept".to_owned()),
        Door::Closed { reason, .. } => Health::Degraded(format!("not served: {reason}")),
        Door::Open(log) => match log.state() {
            State::Running => Health::Well(format!("{} records", log.latest().size)),
            State::Reading => Health::Degraded("read only: nothing is signed".to_owned()),
            State::Paused { reason } | State::Stopped { reason, .. } => Health::Degraded(reason.to_string()),
            _ => Health::Degraded("closed".to_owned()),
        },
    }
}

fn presented(effective: &Effective, house: &House, base: String) -> modkeep_http::Config {
    modkeep_http::Config {
        public_url: base,
        title: effective.config.web.title.clone(),
        notice: effective.config.web.notice.clone(),
        private: effective.config.origin.private.join(","),
        sumdb: house.database.as_ref().map(|database| database.name().to_owned()),
        log_key: house.log.log().and_then(|log| log.keys().first()).map(ToString::to_string),
        announced: announced(effective),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        runtime: Some(tokio::runtime::Handle::current()),
        ..modkeep_http::Config::default()
    }
}

/// Addresses of `host:port` and `:port` texts. A name may stand for several; those that this machine does not have,
/// such as `::1` where IPv6 is off, are left out as long as one remains.
pub(super) async fn resolved(
    effective: &Effective,
    key: &str,
    texts: &[String],
) -> Result<Vec<SocketAddr>, Failed> {
    let mut addresses = Vec::new();
    for text in texts {
        let wrong = |reason: String| effective.slip(key, format!("{text:?}: {reason}"));
        let mut found: Vec<SocketAddr> = match text.strip_prefix(':') {
            Some(port) => {
                let port: u16 = port.parse().map_err(|_| wrong("want :PORT".to_owned()))?;
                let every: [IpAddr; 2] = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
                // The first one serves both families where both exist.
                every
                    .iter()
                    .map(|ip| (*ip, port).into())
                    .find(|address| is_ours(*address))
                    .into_iter()
                    .collect()
            }
            None => tokio::net::lookup_host(text.as_str())
                .await
                .map_err(|error| wrong(error.to_string()))?
                .collect(),
        };
        if found.iter().any(|address| is_ours(*address)) {
            found.retain(|address| is_ours(*address));
        }
        addresses.append(&mut found);
    }
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// Whether this machine has the address, whatever the port.
fn is_ours(address: SocketAddr) -> bool {
    std::net::TcpListener::bind((address.ip(), 0)).is_ok()
}

/// What people put into GOPROXY.
fn base_url(effective: &Effective, addresses: &[SocketAddr], https: bool) -> String {
    let configured = effective.config.server.public_url.trim_end_matches('/');
    if !configured.is_empty() {
        return configured.to_owned();
    }
    let scheme = if https { "https" } else { "http" };
    let Some(first) = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()) else {
        return String::new();
    };
    if first.ip().is_unspecified()
        || effective.config.server.listen.iter().any(|text| text.starts_with("localhost:"))
    {
        return format!("{scheme}://localhost:{}", first.port());
    }
    format!("{scheme}://{first}")
}

fn announce(effective: &Effective, house: &House, doors: &Doors, output: &Output, started: Instant) {
    let ready_ms = started.elapsed().as_millis();
    let checked = house.database.as_ref().map_or("nothing (verify.log is off)", |database| database.name());
    let store = crate::wiring::store_config(effective)
        .map(|config| config.path.display().to_string())
        .unwrap_or_default();
    let upstream = crate::config::mask_credentials(&effective.config.origin.upstream);
    output.notice(&format!("store     {store}"));
    output.notice(&format!("upstream  {upstream}, checked against {checked}"));
    if let Some(log) = house.log.log() {
        let key = log.keys().first().map(ToString::to_string).unwrap_or_default();
        let (name, size, base) = (log.name(), log.latest().size, &doors.base);
        output
            .notice(&format!("log       {name}, {size} records      go env -w GOSUMDB=\"{key} {base}/log\""));
    }
    if let Some(admin) = doors.admin_address {
        output.notice(&format!("admin     http://{admin}/metrics"));
    }
    output.notice(&format!("proxy     {base}      go env -w GOPROXY={base}", base = doors.base));
    output.notice(&format!("ready in {ready_ms} ms"));
    tracing::debug!(event = "start", listen = ?doors.addresses, ready_ms);
}

/// Waits for SIGTERM or SIGINT. A SIGHUP, which would end the process, is answered with a word instead.
pub(super) async fn stop_asked() {
    use tokio::signal::unix::{SignalKind, signal};
    let signals =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut term), Ok(mut interrupt), Ok(mut hangup)) = signals else {
        // Without handlers the signals end the process themselves.
        return std::future::pending().await;
    };
    loop {
        tokio::select! {
            _ = term.recv() => return,
            _ = interrupt.recv() => return,
            _ = hangup.recv() => {
                tracing::warn!(event = "config_reload", "SIGHUP ignored: a change of the configuration needs a restart");
            }
        }
    }
}
