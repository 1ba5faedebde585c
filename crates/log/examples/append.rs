//! How many appends a second, each answered when a durable, signed, published head covers it?
//!
//! `cargo run --release -p modkeep-log --example append -- [--records N] [--writers 1,256] [--fill N] [--dir DIR]`
//!
//! Prints one JSON line a run: appends a second, p50 and p99 of a caller's wait, CPU of the whole process per record (the
//! callers' included), batches, and the mean time of each step of a batch. `--fill N` makes a log of N records first, with
//! 4,096 callers, to see that the same holds there. With `--dir` the log stays in that folder, and the next run goes on
//! with it; without, it is gone in the end.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use modkeep_log::keys::KeySigner;
use modkeep_log::{Config, Event, Log, Observer, Parts, Timings};
use modkeep_store::{MinFree, NewRecord, RecordSource, Store, SystemClock};
use modkeep_tlog::{GoSumRecord, SignerKey};

type Failed = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failed> {
    let arguments = Arguments::read()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let scratch = tempfile::tempdir()?;
    let path = arguments.folder.clone().unwrap_or_else(|| scratch.path().to_owned());
    let store =
        Store::open(modkeep_store::Config { path, min_free: MinFree::Bytes(0) }, Arc::new(SystemClock))?;
    let batches = Batches::default();
    let log = open(&store, &batches)?;
    let mut next = log.latest().size.get();
    if arguments.fill > next {
        let report = runtime.block_on(run(&log, 4096, next..arguments.fill, &batches))?;
        say(&format!("{{\"fill\": {}, {report}}}", arguments.fill));
        next = arguments.fill;
    }
    for writers in &arguments.writers {
        let records = if *writers == 1 { arguments.records.min(2000) } else { arguments.records };
        let report = runtime.block_on(run(&log, *writers, next..next + records, &batches))?;
        say(&format!("{{\"writers\": {writers}, \"size_before\": {next}, {report}}}"));
        next += records;
    }
    runtime.block_on(log.close());
    let started = Instant::now();
    let log = open(&store, &batches)?;
    say(&format!(
        "{{\"start_ms\": {:.2}, \"size\": {}}}",
        started.elapsed().as_secs_f64() * 1e3,
        log.latest().size
    ));
    runtime.block_on(log.close());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a measuring program prints")]
fn say(line: &str) {
    println!("{line}");
}

struct Arguments {
    records: u64,
    writers: Vec<u64>,
    fill: u64,
    folder: Option<PathBuf>,
}

impl Arguments {
    fn read() -> Result<Self, Failed> {
        let mut read = Self { records: 100_000, writers: vec![1, 256], fill: 0, folder: None };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().ok_or("every option has a value")?;
            match word.as_str() {
                "--records" => read.records = value.parse()?,
                "--writers" => read.writers = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
                "--fill" => read.fill = value.parse()?,
                "--dir" => read.folder = Some(value.into()),
                _ => return Err(format!("unknown option {word}").into()),
            }
        }
        Ok(read)
    }
}

fn open(store: &Store, batches: &Batches) -> Result<Log, Failed> {
    let key = SignerKey::from_seed("sums.example.org/log", [7; 32])?;
    Ok(Log::open(Parts {
        store: store.log()?,
        signers: vec![Arc::new(KeySigner::from(key))],
        config: Config::default(),
        clock: Arc::new(SystemClock),
        observer: batches.observer(),
    })?)
}

/// What the batches cost.
#[derive(Clone, Default)]
struct Batches(Arc<Mutex<(u64, Timings)>>);

impl Batches {
    fn observer(&self) -> Observer {
        let all = self.0.clone();
        Observer::new(move |event| {
            if let Event::Batch { timings, .. } = event
                && let Ok(mut all) = all.lock()
            {
                all.0 += 1;
                all.1 = sum(all.1, *timings);
            }
        })
    }

    fn take(&self) -> (u64, Timings) {
        self.0.lock().map(|mut all| std::mem::take(&mut *all)).unwrap_or_default()
    }
}

fn sum(a: Timings, b: Timings) -> Timings {
    Timings {
        sequence: a.sequence + b.sequence,
        derive: a.derive + b.derive,
        tiles: a.tiles + b.tiles,
        check: a.check + b.check,
        sign: a.sign + b.sign,
        commit: a.commit + b.commit,
        publish: a.publish + b.publish,
    }
}

/// So many callers, each with one append under way.
async fn run(
    log: &Log,
    writers: u64,
    ids: std::ops::Range<u64>,
    batches: &Batches,
) -> Result<String, Failed> {
    batches.take();
    let count = ids.end - ids.start;
    let (cpu, started) = (cpu_time(), Instant::now());
    let mut callers = Vec::new();
    for writer in 0..writers {
        let (log, mine) = (log.clone(), (ids.start + writer..ids.end).step_by(usize::try_from(writers)?));
        callers.push(tokio::spawn(async move {
            let mut waits = Vec::new();
            for i in mine {
                let asked = Instant::now();
                log.append(record(i)).await?;
                waits.push(asked.elapsed());
            }
            Ok::<_, Failed>(waits)
        }));
    }
    let mut waits: Vec<Duration> = Vec::new();
    for caller in callers {
        waits.extend(caller.await??);
    }
    let (took, cpu) = (started.elapsed(), cpu_time().saturating_sub(cpu));
    waits.sort_unstable();
    let at = |percent: usize| {
        waits.get((waits.len() - 1) * percent / 100).map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
    };
    let (number, steps) = batches.take();
    let each = |step: Duration| step.as_secs_f64() * 1e6 / float(number.max(1));
    Ok(format!(
        "\"appends_per_s\": {:.0}, \"p50_ms\": {:.3}, \"p99_ms\": {:.3}, \"cpu_us_per_record\": {:.2}, \"batches\": {number}, \
         \"records_per_batch\": {:.1}, \"step_us\": {{\"sequence\": {:.0}, \"derive\": {:.0}, \"tiles\": {:.0}, \"check\": \
         {:.0}, \"sign\": {:.0}, \"commit\": {:.0}, \"publish\": {:.0}}}",
        float(count) / took.as_secs_f64(),
        at(50),
        at(99),
        cpu.as_secs_f64() * 1e6 / float(count),
        float(count) / float(number.max(1)),
        each(steps.sequence),
        each(steps.derive),
        each(steps.tiles),
        each(steps.check),
        each(steps.sign),
        each(steps.commit),
        each(steps.publish),
    ))
}

/// Counts here are below 2^32.
fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn record(i: u64) -> NewRecord {
    let mut zip_h1 = [0; 32];
    zip_h1[..8].copy_from_slice(&i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let record = GoSumRecord {
        module: format!("example.com/organisation-{}/some-module-{}", i / 1000, i / 10 % 100),
        version: format!("v1.{}.0", i % 10),
        zip_h1,
        go_mod_h1: [2; 32],
    };
    NewRecord { record, source: RecordSource::Own, provenance: None }
}

/// User and system time of this process, in the ticks of 10 ms that Linux counts in.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name in parentheses; user and system time are the 14th and 15th.
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks: u64 = after.split_whitespace().skip(11).take(2).filter_map(|it| it.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
