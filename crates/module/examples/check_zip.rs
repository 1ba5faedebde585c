//! How fast is a module zip checked, on one core, with the file in the page cache?
//!
//! ```text
//! cargo run --release -p modkeep-module --example check_zip -- FILE PATH VERSION [ROUNDS]
//! ```
//!
//! Prints the facts, then MB/s of the zip file and of its contents, best of ROUNDS (default 5).
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::error::Error;
use std::fs::File;
use std::time::{Duration, Instant};

use modkeep_module::zip::{Limits, ZipFacts, check};
use modkeep_module::{ModulePath, ModuleVersion, Version};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, path, version, rounds @ ..] = arguments.as_slice() else {
        return Err("usage: check_zip FILE PATH VERSION [ROUNDS]".into());
    };
    let of = ModuleVersion::new(ModulePath::parse(path)?, Version::parse(version)?)?;
    let zip = File::open(file)?;
    let size = zip.metadata()?.len();
    let rounds: u32 = rounds.first().map_or(Ok(5), |rounds| rounds.parse())?;
    let (facts, best) = best_of(rounds.max(1), || check(&zip, size, &of, &Limits::default()))?;
    println!("{of} {}", facts.h1);
    println!("{} files, {size} bytes, {} inflated", facts.files, facts.uncompressed);
    for anomaly in &facts.anomalies {
        println!("anomaly: {anomaly}");
    }
    println!(
        "{best:?}: {:.0} MB/s zip, {:.0} MB/s contents",
        rate(size, best),
        rate(facts.uncompressed, best)
    );
    Ok(())
}

fn best_of<E>(rounds: u32, mut run: impl FnMut() -> Result<ZipFacts, E>) -> Result<(ZipFacts, Duration), E> {
    let mut timed = || {
        let start = Instant::now();
        run().map(|facts| (facts, start.elapsed()))
    };
    let (facts, mut best) = timed()?;
    for _ in 1..rounds {
        best = best.min(timed()?.1);
    }
    Ok((facts, best))
}

#[allow(clippy::cast_precision_loss, reason = "a rate for a person to read")]
fn rate(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / 1e6 / took.as_secs_f64()
}
