//! go.sum files: the sums a main module remembers (module-zip.md section 7).
#![warn(clippy::indexing_slicing)]

use crate::h1::H1;
use crate::path::ModulePath;
use crate::unicode;
use crate::version::Version;

/// The sum of an empty go.mod, written by an old bug; go drops such lines, and so do we.
const EMPTY_GO_MOD: &str = "h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY=";

/// What a line's sum covers.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// The module zip.
    Zip,
    /// The go.mod file alone: the version carries `/go.mod`.
    GoMod,
}

/// One line: `<path> <version>[/go.mod] h1:<base64>`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    /// The module.
    pub path: ModulePath,
    /// The version.
    pub version: Version,
    /// What is summed.
    pub kind: Kind,
    /// The sum.
    pub h1: H1,
}

/// A file of such lines.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct GoSum {
    /// In file order, repetitions included. Lines with a sum of another algorithm are left out, as go leaves them.
    pub lines: Vec<Line>,
}

/// A line that is not `path version sum`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("go.sum:{line}: {reason}")]
pub struct GoSumError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: &'static str,
}

impl GoSum {
    /// Reads a file. Blank lines are fine; any other line must have three fields, a valid path and version.
    pub fn parse(bytes: &[u8]) -> Result<Self, GoSumError> {
        let mut lines = Vec::new();
        for (at, line) in bytes.split(|&b| b == b'\n').enumerate() {
            let line = parse_line(&unicode::lossy(line));
            lines.extend(line.map_err(|reason| GoSumError { line: at.saturating_add(1), reason })?);
        }
        Ok(Self { lines })
    }
}

fn parse_line(line: &str) -> Result<Option<Line>, &'static str> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let [path, version, sum] = fields[..] else {
        return if fields.is_empty() { Ok(None) } else { Err("wrong number of fields") };
    };
    if sum == EMPTY_GO_MOD || !sum.starts_with("h1:") {
        return Ok(None);
    }
    let (version, kind) = match version.strip_suffix("/go.mod") {
        Some(version) => (version, Kind::GoMod),
        None => (version, Kind::Zip),
    };
    Ok(Some(Line {
        path: ModulePath::parse(path).map_err(|_| "not a module path")?,
        version: Version::parse(version).map_err(|_| "not a canonical version")?,
        kind,
        h1: sum.parse().map_err(|_| "not an h1: sum")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lines_per_version() {
        let text = "\
github.com/pkg/errors v0.9.1 h1:FEBLx1zS214owpjy7qsBeixbURkuhQAwrK5UwLGTwt4=\r\n\
github.com/pkg/errors v0.9.1/go.mod h1:bwawxfHBFNV+L2hUp1rHADufV3IMtnDRdf1r5NINEl0=\n\
\n\
example.com/x v1.0.0/go.mod h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY=\n\
example.com/x v1.0.0 h2:future\n";
        let lines = GoSum::parse(text.as_bytes()).unwrap().lines;
        assert_eq!(lines.iter().map(|line| line.kind).collect::<Vec<_>>(), [Kind::Zip, Kind::GoMod]);
        assert_eq!(lines[0].version.as_str(), "v0.9.1");
        assert_eq!(lines[1].h1.to_string(), "h1:bwawxfHBFNV+L2hUp1rHADufV3IMtnDRdf1r5NINEl0=");
    }

    #[test]
    fn broken_lines_are_named() {
        for (text, reason) in [
            ("a b\n", "go.sum:1: wrong number of fields"),
            ("\nA v1.0.0 h1:x\n", "go.sum:2: not a module path"),
            ("x.com/a v1 h1:x\n", "go.sum:1: not a canonical version"),
            ("x.com/a v1.0.0 h1:x\n", "go.sum:1: not an h1: sum"),
        ] {
            assert_eq!(GoSum::parse(text.as_bytes()).unwrap_err().to_string(), reason);
        }
    }
}
