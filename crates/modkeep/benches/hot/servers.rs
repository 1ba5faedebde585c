//! nginx over the exported tree, and the CPU clocks of processes.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Pins a program to the first core, so that the servers have the same and the load has another.
pub(crate) const ON_CORE_0: &[&str] = &["taskset", "-c", "0"];

/// A running nginx; stopped when dropped.
pub(crate) struct Nginx {
    child: Child,
    url: String,
}

impl Nginx {
    /// Serves `tree` as well as nginx can: sendfile, cached descriptors, no log, connections kept.
    pub(crate) fn start(tree: &Path, folder: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = folder.join("nginx");
        std::fs::create_dir_all(&folder).unwrap();
        let configuration = configuration(tree, &folder, &free.to_string());
        let file = folder.join("nginx.conf");
        std::fs::write(&file, configuration).unwrap();
        let program = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
        let (first, rest) = ON_CORE_0.split_first().unwrap();
        let mut command = Command::new(first);
        command.args(rest).arg(program).arg("-p").arg(&folder).arg("-c").arg(&file).stderr(Stdio::null());
        let child = command.spawn().expect("nginx is installed (Debian: nginx-light)");
        let begin = Instant::now();
        while TcpStream::connect(free).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(10), "nginx does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, url: format!("http://{free}") }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The master and its workers.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let master = self.child.id();
        let children =
            std::fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
        let workers = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        std::iter::once(master).chain(workers).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, so that the master ends its workers.
        let stopped = Command::new("kill").arg(self.child.id().to_string()).status();
        drop(stopped);
        drop(self.child.wait());
    }
}

fn configuration(tree: &Path, folder: &Path, listen: &str) -> String {
    let user = if std::env::var("USER").as_deref() == Ok("root") || is_root() { "user root;" } else { "" };
    format!(
        "daemon off; worker_processes 1; {user} pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 120s;
  open_file_cache max=10000 inactive=600s; open_file_cache_valid 600s; open_file_cache_min_uses 1;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  default_type text/plain; types {{ application/json info; application/zip zip; text/plain mod; }}
  server {{
    listen {listen} backlog=4096; root {tree};
    add_header Cache-Control \"public, max-age=31536000, immutable\";
    add_header X-Content-Type-Options nosniff;
  }}
}}
",
        folder = folder.display(),
        tree = tree.display(),
    )
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

/// User and system time of these processes since their start.
pub(crate) fn cpu_seconds(pids: &[u32]) -> f64 {
    pids.iter().map(|pid| ticks(*pid)).sum::<f64>() / 100.0 // USER_HZ is 100 on every Linux
}

fn ticks(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in brackets, may hold anything; the fields after it are numbers, the 12th and 13th of them ours.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum()
}
