//! The first byte chooses the parser of module words, or the zip reader; the rest is its input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modkeep_module::{fuzz::ALL, zip::fuzz_zip};

fuzz_target!(|input: &[u8]| {
    let Some((choice, input)) = input.split_first() else { return };
    match ALL.get(usize::from(*choice) % (ALL.len() + 1)) {
        Some((_, feed)) => feed(input),
        None => fuzz_zip(input),
    }
});
