//! `cargo xtask fixtures`: fetches the versions of `testdata/fixtures.tsv` from any GOPROXY and checks them.
//!
//! The bytes of foreign modules are never committed; their names and sums are facts, and those are. What
//! arrives lies in the protocol's layout, so that the folder is itself a GOPROXY.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use modkeep_module::{H1, Info, ModulePath, ModuleVersion, Version, zip};

use crate::Error;

/// One line of the list.
#[derive(Debug)]
struct Row {
    of: ModuleVersion,
    zip: H1,
    go_mod: H1,
}

/// Fetches what is missing below `out`, and checks everything, fetched now or earlier.
pub(crate) fn run(proxy: &str, out: &Path) -> Result<(), Error> {
    let list = "testdata/fixtures.tsv";
    let text = fs::read_to_string(list).map_err(|source| Error::File { path: list.to_owned(), source })?;
    let rows = parse(&text)?;
    let mut wrong = Vec::new();
    for row in &rows {
        match take(row, proxy, out) {
            Ok(()) => println!("ok     {}", row.of),
            Err(error) => {
                println!("WRONG  {}: {error}", row.of);
                wrong.push(row.of.to_string());
            }
        }
    }
    println!(
        "fixtures: {} of {} versions are right below {}",
        rows.len() - wrong.len(),
        rows.len(),
        out.display()
    );
    if wrong.is_empty() { Ok(()) } else { Err(Error::Finding(format!("not right: {}", wrong.join(", ")))) }
}

fn parse(text: &str) -> Result<Vec<Row>, Error> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| row(line).ok_or_else(|| Error::Finding(format!("not a line of fixtures: {line}"))))
        .collect()
}

fn row(line: &str) -> Option<Row> {
    let mut fields = line.split('\t');
    let path = ModulePath::parse(fields.next()?).ok()?;
    let version = Version::parse(fields.next()?).ok()?;
    let of = ModuleVersion::new(path, version).ok()?;
    Some(Row { of, zip: fields.next()?.parse().ok()?, go_mod: fields.next()?.parse().ok()? })
}

fn take(row: &Row, proxy: &str, out: &Path) -> Result<(), Error> {
    let file = |ext: &str| -> Result<Vec<u8>, Error> {
        let path = format!("{}/@v/{}.{ext}", row.of.path().escape(), row.of.version().escape());
        fetched(&format!("{}/{path}", proxy.trim_end_matches('/')), &out.join(&path))
    };
    let differs = |what: &str, found: H1| Error::Finding(format!("the {what} has {found}"));
    let info = Info::parse(&file("info")?).map_err(|e| Error::Finding(e.to_string()))?;
    if info.version() != row.of.version() {
        return Err(Error::Finding(format!("the .info names {}", info.version())));
    }
    let go_mod = H1::of_go_mod(&file("mod")?);
    if go_mod != row.go_mod {
        return Err(differs("go.mod", go_mod));
    }
    let bytes = file("zip")?;
    let size = bytes.len() as u64;
    let facts = zip::check(&bytes.as_slice(), size, &row.of, &zip::Limits::default());
    let facts = facts.map_err(|e| Error::Finding(e.to_string()))?;
    if facts.h1 == row.zip { Ok(()) } else { Err(differs("zip", facts.h1)) }
}

/// The file's bytes; fetched first if it is not there. A half-fetched file never has the final name.
fn fetched(url: &str, to: &PathBuf) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::File { path: to.display().to_string(), source };
    if !to.exists() {
        let part = to.with_extension("part");
        fs::create_dir_all(to.parent().unwrap_or(Path::new("."))).map_err(failed)?;
        let curl = |what: String| Error::Program { program: "curl".to_owned(), what };
        let status = Command::new("curl").args(["-fsSL", "--retry", "2", "-o"]).arg(&part).arg(url).status();
        let status = status.map_err(|e| curl(e.to_string()))?;
        if !status.success() {
            return Err(curl(format!("{url}: {status}")));
        }
        fs::rename(&part, to).map_err(failed)?;
    }
    fs::read(to).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_list_is_well_formed() {
        let text = include_str!("../../testdata/fixtures.tsv");
        let rows = parse(text).unwrap();
        assert_eq!(rows.len(), 116);
        assert!(rows.iter().any(|row| row.of.to_string() == "github.com/BurntSushi/toml@v1.5.0"));
    }
}
