//! The first byte chooses the parser of the transparency log, the rest is its input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modkeep_tlog::fuzz::ALL;

fuzz_target!(|input: &[u8]| {
    let Some((choice, input)) = input.split_first() else { return };
    let (_, feed) = ALL[usize::from(*choice) % ALL.len()];
    feed(input);
});
