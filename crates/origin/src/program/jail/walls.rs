//! What a job cannot do: kernel limits, landlock and seccomp, each as far as this kernel has it.

use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::order::{Limits, Order};
use super::syscalls;

/// Landlock as of Linux 6.12: files, device controls, TCP ports, signals. An older kernel does what it can.
const LANDLOCK: ABI = ABI::V6;
/// What programs and their libraries are made of. Nothing below `/home`, `/root`, `/var`, `/run`, `/proc`; of `/etc`
/// the tables of names, certificates and the linker.
const SYSTEM: [&str; 19] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/gnu/store",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/group",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/passwd",
    "/etc/pki",
    "/etc/ssl",
];
/// Tables of names, for those who may reach the network.
const NAMES: [&str; 6] = [
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/services",
];
/// Devices that do nothing but swallow and give bytes.
const DEVICES: [&str; 5] = ["/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"];
/// Open files of one process.
const FILES_MAX: u64 = 1024;
/// Processes of our user in all, a stop for what grows faster than a keeper looks.
const USER_PROCESSES_MAX: u64 = 4096;

/// Walls in the calling thread and all that it starts. Tells which walls this kernel does not have.
///
/// # Errors
/// A wall that exists and cannot be built: then nothing may run.
pub(super) fn enclose(order: &Order) -> io::Result<Vec<String>> {
    limit(order.limits)?;
    let mut missing = Vec::new();
    match landlock(order).map_err(io::Error::other)? {
        RulesetStatus::FullyEnforced => {}
        RulesetStatus::PartiallyEnforced => {
            missing.push("landlock: an older one, without ports or signals".to_owned());
        }
        RulesetStatus::NotEnforced => missing.push("landlock: files and ports are not walled off".to_owned()),
    }
    if let Err(error) = syscalls::forbid() {
        missing.push(format!("seccomp: {error}"));
    }
    Ok(missing)
}

/// Kernel limits of each process: no core dumps (M05), bounded files, memory, descriptors and processor time.
fn limit(limits: Limits) -> io::Result<()> {
    let seconds = limits.time_ms.div_ceil(1000);
    for (resource, most) in [
        (Resource::Core, 0),
        (Resource::Fsize, limits.folder_bytes),
        (Resource::Data, limits.memory_bytes),
        (Resource::Nofile, FILES_MAX),
        (Resource::Nproc, USER_PROCESSES_MAX),
        (Resource::Cpu, seconds.saturating_mul(2)),
    ] {
        let allowed = rustix::process::getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
        setrlimit(resource, Rlimit { current: Some(allowed), maximum: Some(allowed) })?;
    }
    Ok(())
}

fn landlock(order: &Order) -> Result<RulesetStatus, landlock::RulesetError> {
    let all = AccessFs::from_all(LANDLOCK);
    let read = AccessFs::from_read(LANDLOCK);
    let files = AccessFs::from_file(LANDLOCK);
    let names: &[&str] = if order.ports.is_empty() { &[] } else { &NAMES };
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?;
    for path in SYSTEM.iter().chain(names).map(Path::new).chain(order.readable.iter().map(PathBuf::as_path)) {
        rules = open(rules, path, read)?;
    }
    for path in DEVICES {
        rules = open(rules, Path::new(path), files & (AccessFs::ReadFile | AccessFs::WriteFile))?;
    }
    rules = open(rules, &order.folder, all)?;
    for port in &order.ports {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// Opens a file or a folder with all below it; what does not exist needs no door.
fn open(
    rules: landlock::RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<landlock::RulesetCreated, landlock::RulesetError> {
    let Ok(door) = PathFd::new(path) else { return Ok(rules) };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(LANDLOCK) };
    rules.add_rule(PathBeneath::new(door, access))
}
