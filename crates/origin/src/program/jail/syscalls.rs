//! System calls that no version control program ever needs, and that every break-out begins with.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

/// Debugging others, mounting, namespaces, kernel modules and keys, clocks, and interfaces with a long record of holes.
const NEVER: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// `SOCK_DGRAM`, `SOCK_STREAM`…: the low bits of a socket's type.
const SOCKET_TYPE: u64 = 0xf;

/// Forbids them in the calling thread and all that it starts: they fail as if permission were missing.
///
/// # Errors
/// This kernel or processor has no such filter.
pub(super) fn forbid() -> Result<(), seccompiler::Error> {
    // Two filters, because a filter has one answer: `clone3` hides its flags behind a pointer, and "no such call"
    // makes the C library ask with `clone`, whose flags can be seen.
    let newer = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    apply_filter(&program(newer, libc::ENOSYS)?)?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = NEVER.iter().map(|&call| (call, Vec::new())).collect();
    rules.insert(libc::SYS_clone, vec![namespaces()?]);
    rules.insert(libc::SYS_socket, sockets()?);
    apply_filter(&program(rules, libc::EPERM)?)
}

fn program(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) -> Result<BpfProgram, seccompiler::Error> {
    let errno = SeccompAction::Errno(errno.unsigned_abs());
    let here = std::env::consts::ARCH.try_into()?;
    Ok(SeccompFilter::new(rules, SeccompAction::Allow, errno, here)?.try_into()?)
}

/// A child in namespaces of its own.
fn namespaces() -> Result<SeccompRule, seccompiler::Error> {
    let user = u64::from(libc::CLONE_NEWUSER.unsigned_abs());
    let condition = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(user), user)?;
    Ok(SeccompRule::new(vec![condition])?)
}

/// Anything but pipes between local processes and TCP: raw packets, netlink, kernel interfaces with a socket's face,
/// and datagrams, because names are looked up by the gate alone (E03).
fn sockets() -> Result<Vec<SeccompRule>, seccompiler::Error> {
    let argument = |index, op, value: i32| {
        SeccompCondition::new(index, SeccompCmpArgLen::Dword, op, u64::from(value.unsigned_abs()))
    };
    let family = |op, value| argument(0, op, value);
    let kind = |value| argument(1, SeccompCmpOp::MaskedEq(SOCKET_TYPE), value);
    let mut rules = vec![
        vec![family(SeccompCmpOp::Gt, libc::AF_INET6)?],
        vec![family(SeccompCmpOp::Gt, libc::AF_INET)?, family(SeccompCmpOp::Lt, libc::AF_INET6)?],
    ];
    for inet in [libc::AF_INET, libc::AF_INET6] {
        for other in [libc::SOCK_DGRAM, libc::SOCK_RAW, libc::SOCK_RDM, libc::SOCK_SEQPACKET] {
            rules.push(vec![family(SeccompCmpOp::Eq, inet)?, kind(other)?]);
        }
        // Streams of other protocols (multipath TCP, SCTP) would walk around the list of ports.
        rules.push(vec![family(SeccompCmpOp::Eq, inet)?, argument(2, SeccompCmpOp::Gt, libc::IPPROTO_TCP)?]);
    }
    Ok(rules.into_iter().map(SeccompRule::new).collect::<Result<_, _>>()?)
}
