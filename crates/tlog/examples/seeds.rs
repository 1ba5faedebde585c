//! Writes the inputs that fuzzing begins with into a folder: a file each, the number of its parser in the first byte.

use std::path::PathBuf;

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let folder: PathBuf = std::env::args_os().nth(1).ok_or("which folder?")?.into();
    std::fs::create_dir_all(&folder)?;
    for (n, (parser, input)) in modkeep_tlog::fuzz::seeds().into_iter().enumerate() {
        let parser = u8::try_from(parser)?;
        std::fs::write(folder.join(n.to_string()), [&[parser], input.as_slice()].concat())?;
    }
    Ok(())
}
