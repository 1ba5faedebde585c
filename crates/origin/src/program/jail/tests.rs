//! The jail with the shell as its inmate, because a shell can try everything.

use std::fs;
use std::time::Instant;

use tempfile::TempDir;

use super::*;

/// The keeper of the tests: this crate's example of that name, which `cargo test` builds beside them.
pub(in crate::program) fn keeper() -> Vec<PathBuf> {
    let test = std::env::current_exe().unwrap();
    let keeper = test.parent().unwrap().with_file_name("examples").join("keeper");
    assert!(keeper.exists(), "missing {}: cargo build -p modkeep-origin --example keeper", keeper.display());
    vec![keeper]
}

/// Where programs are on this machine.
pub(in crate::program) fn path() -> Vec<PathBuf> {
    ["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from).to_vec()
}

struct Cell {
    jail: Jail,
    folder: TempDir,
}

impl Cell {
    fn new() -> Self {
        Self { jail: Jail::new(keeper(), path(), 4), folder: TempDir::new().unwrap() }
    }

    fn shell(&self, script: &str) -> Job<'_> {
        Job {
            program: "sh",
            arguments: vec!["-c".into(), script.into()],
            environment: Vec::new(),
            folder: self.folder.path(),
            start: self.folder.path().to_path_buf(),
            readable: Vec::new(),
            ports: Vec::new(),
            input: String::new(),
            stdout: Stdout::AtMost(1 << 20),
            limits: Limits { time_ms: 120_000, ..Limits::default() },
        }
    }

    async fn says(&self, script: &str) -> String {
        let output = self.jail.run(self.shell(script)).await.unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    }

    /// Whether a process with this word in its arguments is alive.
    fn alive(word: &str) -> bool {
        fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(word) && !line.starts_with(b"grep"))
        })
    }
}

#[tokio::test]
async fn a_job_has_its_output_its_status_and_nothing_to_read() {
    let cell = Cell::new();
    let output = cell.jail.run(cell.shell("cat; echo out; echo err >&2; exit 7")).await.unwrap();
    assert_eq!(output.code, Some(7));
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
}

#[tokio::test]
async fn a_job_reads_what_it_is_given() {
    let cell = Cell::new();
    let job = Job { input: "s3cret".into(), ..cell.shell("cat; tr '\\0' ' ' < /proc/self/cmdline; env") };
    let output = cell.jail.run(job).await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().matches("s3cret").count(), 1);
}

#[tokio::test]
async fn output_goes_into_a_file_or_is_cut() {
    let cell = Cell::new();
    let path = cell.folder.path().join("out");
    let job = Job { stdout: Stdout::File(File::create(&path).unwrap()), ..cell.shell("echo here") };
    assert!(cell.jail.run(job).await.unwrap().stdout.is_empty());
    assert_eq!(fs::read(path).unwrap(), b"here\n");
    let job = Job { stdout: Stdout::Prefix(1000), ..cell.shell("yes") };
    assert_eq!(cell.jail.run(job).await.unwrap().stdout.len(), 1000);
}

#[tokio::test]
async fn a_missing_program_is_told_apart() {
    let cell = Cell::new();
    let job = Job { program: "bzr-of-old", ..cell.shell("") };
    assert!(matches!(cell.jail.run(job).await, Err(Fault::NoProgram("bzr-of-old"))));
}

/// The environment is written word by word; what the host has set reaches nobody (C30).
#[tokio::test]
async fn hostile_m05_the_environment_of_a_child_is_the_documented_one() {
    let cell = Cell::new();
    let job = Job { environment: vec![("EXTRA".into(), "1".into())], ..cell.shell("env") };
    let output = cell.jail.run(job).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut names: Vec<&str> = text.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name)); // the shell's own
    assert_eq!(names, ["EXTRA", "HOME", "LC_ALL", "PATH", "TMPDIR", "TZ", "USER"]);
    assert_eq!(cell.says("ls -A $HOME; ulimit -c").await, "0\n", "an empty home, no core dumps");
}

#[tokio::test]
async fn hostile_c22_endless_output_is_cut_and_the_writer_killed() {
    let cell = Cell::new();
    for (script, stop) in [
        ("yes c22-complaint >&2", Stop::Output),
        ("yes c22-answer", Stop::Output),
        ("yes c22-file > big", Stop::Disk),
    ] {
        let limits = Limits { folder_bytes: 32 << 20, time_ms: 120_000, ..Limits::default() };
        let begun = Instant::now();
        match cell.jail.run(Job { limits, ..cell.shell(script) }).await {
            Err(Fault::Stopped { stop: found, .. }) => assert_eq!(found, stop, "{script}"),
            // The kernel's own limit may be faster than ours.
            Ok(output) => assert!(output.code != Some(0) && stop == Stop::Disk, "{script}: {output:?}"),
            other => panic!("{script}: {other:?}"),
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "{script}");
    }
    assert!(!Cell::alive("c22-"));
}

#[tokio::test]
async fn hostile_c23_a_daemon_dies_with_its_job() {
    let cell = Cell::new();
    // Two forks, a session of its own, no open files: as daemons are made. The number only names it.
    let daemon =
        "( setsid sh -c 'sleep 4023.1 & sleep 4023.2' </dev/null >/dev/null 2>&1 & ) ; sleep 0.3; echo on";
    assert_eq!(cell.says(daemon).await, "on\n");
    assert!(!Cell::alive("4023."), "after a job that ended by itself");

    let begun = Instant::now();
    let job = Job {
        limits: Limits { time_ms: 600, ..Limits::default() },
        ..cell.shell(&format!("{daemon}; sleep 4023.3"))
    };
    assert!(matches!(cell.jail.run(job).await, Err(Fault::Stopped { stop: Stop::Time, .. })));
    assert!(begun.elapsed() < Duration::from_mins(10));
    assert!(!Cell::alive("4023."), "after a job that took too long");

    let script = format!("{daemon}; sleep 4023.4");
    let dropped = timeout(Duration::from_millis(700), cell.jail.run(cell.shell(&script))).await;
    assert!(dropped.is_err());
    let begun = Instant::now();
    while Cell::alive("4023.") {
        assert!(begun.elapsed() < Duration::from_mins(1), "nobody survives a caller that went away (U4)");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn too_many_processes_end_the_job() {
    let cell = Cell::new();
    let limits = Limits { processes: 8, time_ms: 120_000, ..Limits::default() };
    let job = Job { limits, ..cell.shell("for i in 1 2 3 4 5 6 7 8 9 10; do sleep 4024.5 & done; wait") };
    assert!(matches!(cell.jail.run(job).await, Err(Fault::Stopped { stop: Stop::Processes, .. })));
    assert!(!Cell::alive("4024."));
}

#[tokio::test]
async fn memory_is_bounded() {
    let cell = Cell::new();
    let limits = Limits { memory_bytes: 64 << 20, time_ms: 120_000, ..Limits::default() };
    let job = Job { limits, ..cell.shell("x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done") };
    let output = cell.jail.run(job).await.unwrap();
    assert_ne!(output.code, Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Landlock: the folder and the system's programs, nothing else; no port but the named ones.
#[tokio::test]
async fn only_the_own_folder_is_written_and_only_the_system_read() {
    let cell = Cell::new();
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("secret"), "canary").unwrap();
    let outside = outside.path().display();
    assert_eq!(cell.says("echo a > a; mkdir b; mv a b/a; ln -s a b/c; cat b/c; rm -r b").await, "a\n");
    for script in [
        format!("cat {outside}/secret"),
        format!("ls {outside}"),
        format!("echo x > {outside}/new"),
        "cat /proc/$PPID/environ".to_owned(),
        "ls /root".to_owned(),
        "ls /home".to_owned(),
        "echo x > /tmp/x".to_owned(),
    ] {
        let said = cell.says(&format!("{script} && echo BROKE OUT")).await;
        assert!(!said.contains("canary") && !said.contains("BROKE OUT"), "{script}: {said}");
    }
    let signalled = cell.says("kill -9 $PPID; kill -0 $PPID || echo walled").await;
    assert!(signalled.contains("walled"), "{signalled}");
}

/// E03 for children: whatever a name resolves to, a child reaches the ports that it was given and no others.
#[tokio::test]
async fn hostile_e03_a_child_reaches_no_port_but_the_gates() {
    let cell = Cell::new();
    let doors = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = doors.each_ref().map(|door| door.local_addr().unwrap().port());
    let knock = |port: u16| {
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && echo reached");
        Job { program: "bash", ports: vec![ports[0]], ..cell.shell(&script) }
    };
    let reached = |output: Output| output.stdout == b"reached\n";
    assert!(reached(cell.jail.run(knock(ports[0])).await.unwrap()));
    assert!(!reached(cell.jail.run(knock(ports[1])).await.unwrap()), "another port");
    let job = Job { program: "bash", ..cell.shell("exec 3<>/dev/udp/127.0.0.1/53 && echo reached") };
    assert!(!reached(cell.jail.run(job).await.unwrap()), "no datagrams, so no DNS of its own");
}

#[tokio::test]
async fn calls_of_break_outs_fail() {
    let cell = Cell::new();
    for script in ["unshare -r true", "unshare -m true", "mount -t tmpfs none .", "/usr/sbin/chroot / true"] {
        let said = cell.says(&format!("{script} && echo BROKE OUT")).await;
        assert!(!said.contains("BROKE OUT") && !said.contains("not found"), "{script}: {said}");
    }
}
