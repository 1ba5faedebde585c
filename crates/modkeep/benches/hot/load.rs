//! Load by wrk, with the server's CPU time read before and after.

use std::process::Command;

/// An answer whose head is less than a thousandth of it.
const LARGE_BYTES: usize = 500_000;

/// One kind of load.
pub(crate) struct Load<'a> {
    pub(crate) path: &'a str,
    /// Length of the answer's body.
    pub(crate) bytes: usize,
    pub(crate) connections: u32,
    pub(crate) seconds: u32,
}

/// What one round showed.
pub(crate) struct Sample {
    /// CPU time of the server for one request.
    pub(crate) cpu_micros: f64,
    /// Requests per second.
    pub(crate) per_second: f64,
    /// 99 of 100 requests were faster.
    pub(crate) p99_ms: f64,
}

impl Load<'_> {
    /// Runs one round; `cpu` tells the server's CPU time so far, in seconds.
    pub(crate) fn run(&self, base: &str, cpu: impl Fn() -> f64) -> Sample {
        let before = cpu();
        let told = wrk(self.connections, self.seconds, &[], &format!("{base}{}", self.path));
        let spent = cpu() - before;
        assert!(!told.contains("Non-2xx"), "{told}");
        // Of large answers many are under way when the round ends: bytes count, not the completed ones. Of small ones
        // the heads would count for more than the bodies.
        let requests = if self.bytes < LARGE_BYTES {
            number(&told, " requests in")
        } else {
            bytes_read(&told) / self.bytes as f64
        };
        Sample {
            cpu_micros: spent * 1e6 / requests,
            per_second: requests / f64::from(self.seconds),
            p99_ms: told
                .lines()
                .find_map(|l| l.trim().strip_prefix("99%"))
                .map_or(0.0, |t| milliseconds(t.trim())),
        }
    }
}

/// Runs wrk with one thread, on core 1 where there is one, and returns what it printed.
pub(crate) fn wrk(connections: u32, seconds: u32, more: &[&str], url: &str) -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let core = if cores > 1 { "1" } else { "0" };
    let mut command = Command::new("taskset");
    command.args(["-c", core, "wrk", "-t1", "--latency", "--timeout", "30s"]);
    command.args([format!("-c{connections}"), format!("-d{seconds}s")]).args(more).arg(url);
    let output = command.output().expect("wrk and taskset are installed (Debian: wrk, util-linux)");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

/// `12 requests in 1.00s, 1.19GB read`: wrk's units are binary.
fn bytes_read(told: &str) -> f64 {
    let text = told.lines().find_map(|line| line.trim().strip_suffix(" read")).unwrap();
    let text = text.rsplit(' ').next().unwrap();
    let scale = [("KB", 10_u8), ("MB", 20), ("GB", 30), ("TB", 40), ("B", 0)];
    let (unit, bits) = scale.iter().find(|(unit, _)| text.ends_with(unit)).unwrap();
    text.trim_end_matches(unit).parse::<f64>().unwrap() * f64::from(*bits).exp2()
}

/// The number in front of these words.
fn number(told: &str, words: &str) -> f64 {
    let line = told.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{words} in {told}"));
    line.split(words).next().unwrap().trim().parse().unwrap()
}

/// `1.09ms`, `812.00us` or `1.20s`.
fn milliseconds(text: &str) -> f64 {
    let scale = [("us", 1e-3), ("ms", 1.0), ("s", 1e3), ("m", 6e4)];
    let (unit, factor) = scale.iter().find(|(unit, _)| text.ends_with(unit)).unwrap_or(&("", 1.0));
    text.trim_end_matches(unit).parse::<f64>().unwrap_or(0.0) * factor
}
