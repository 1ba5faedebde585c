//! Everybody who came from this process, found and ended.

use std::collections::HashMap;
use std::fs;

use rustix::process::{Pid, Signal, getpid, kill_process};

/// All living processes that descend from this one, children first.
///
/// Linux alone tells: as the reaper of all orphans below us (`PR_SET_CHILD_SUBREAPER`) we are an ancestor of whatever
/// was started, however often it forked and whichever session it made (C23).
pub(super) fn descendants() -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for (pid, parent) in
        fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| kinship(&entry))
    {
        children.entry(parent).or_default().push(pid);
    }
    let mut found = children.remove(&getpid().as_raw_nonzero().get()).unwrap_or_default();
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        found.extend(children.remove(&pid).unwrap_or_default());
        next += 1;
    }
    found.into_iter().filter_map(Pid::from_raw).collect()
}

/// Ends them all, as far as they are there now. Whoever is orphaned by it becomes our child and is found next time.
pub(super) fn kill_all() {
    for pid in descendants() {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// A process and its parent, from `/proc/<pid>/stat`; `None` for zombies, which only wait to be reaped.
fn kinship(entry: &fs::DirEntry) -> Option<(i32, i32)> {
    let pid = entry.file_name().to_str()?.parse().ok()?;
    let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
    let (_, behind_name) = stat.rsplit_once(')')?; // the name may hold blanks and brackets of its own
    let mut fields = behind_name.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (state != "Z").then_some((pid, parent))
}
