//! `cargo xtask rows`: every row of `docs/spec/hostile-inputs.md` is a test, or says where it will be one.
//!
//! A row is covered by a test function whose name carries its id: `hostile_f07_local_name_differs`,
//! `hostile_h12_m03_credentials_never_cross_hosts`, `hostile_h01_to_h09_trouble_is_never_absence`. What is left for
//! later stands in `docs/spec/hostile-inputs-later.md` with its reason. A row may be in both: then a part of it
//! is kept today. A row in neither is a finding, and so is a test or a promise of a row that does not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::Error;

const ROWS: &str = "docs/spec/hostile-inputs.md";
const LATER: &str = "docs/spec/hostile-inputs-later.md";
/// Where tests stand.
const TREES: &[&str] = &["crates", "xtask"];
/// The obligations after every row, U1 to U8, may be named by a test too.
const OBLIGATIONS: std::ops::RangeInclusive<u8> = 1..=8;

/// The id of a row: `F07` is part `F`, number 7.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Row {
    part: char,
    number: u8,
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{:02}", self.part, self.number)
    }
}

impl Row {
    /// Reads `F07` or, in the name of a test, `f07`.
    fn parse(text: &str) -> Option<Self> {
        let (part, number) = text.split_at_checked(1)?;
        let digits = number.len() == 2 && number.bytes().all(|b| b.is_ascii_digit());
        let part = part.chars().next()?.to_ascii_uppercase();
        (digits && ('A'..='M').contains(&part)).then_some(())?;
        Some(Self { part, number: number.parse().ok()? })
    }

    /// `self` and all rows up to `last`, which is in the same part.
    fn to(self, last: Self) -> impl Iterator<Item = Self> {
        let end = if last.part == self.part { last.number } else { self.number };
        (self.number..=end).map(move |number| Self { part: self.part, number })
    }
}

/// What the tree says about the rows.
#[derive(Debug, Default)]
struct Found {
    /// The rows of each part, with the part's heading.
    parts: Vec<(String, Vec<Row>)>,
    /// Tests by the row that they keep.
    tests: BTreeMap<Row, BTreeSet<String>>,
    /// Rows that wait, or whose other half waits.
    later: BTreeSet<Row>,
    /// What is wrong with names and tables themselves.
    findings: Vec<String>,
}

/// Prints the coverage by part; fails on a row that nobody tests and nobody postpones.
pub(crate) fn run() -> Result<(), Error> {
    let mut found = Found { parts: parts(&read(Path::new(ROWS))?), ..Found::default() };
    let (later, findings) = later(&read(Path::new(LATER))?);
    (found.later, found.findings) = (later, findings);
    for tree in TREES {
        for file in crate::source::every_rust_file(Path::new(tree))? {
            found.take(&file, &read(&file)?);
        }
    }
    print!("{}", found.table());
    let findings = found.findings();
    if findings.is_empty() {
        println!("rows: every row is a test or has its place in {LATER}");
        return Ok(());
    }
    Err(Error::Finding(format!("hostile inputs without a test:\n  {}", findings.join("\n  "))))
}

impl Found {
    /// Notes the tests of one file.
    fn take(&mut self, file: &Path, text: &str) {
        for name in tests(text) {
            let rows = rows_of(name);
            if rows.is_empty() && !names_an_obligation(name) {
                self.findings.push(format!("{}: {name} names no row", file.display()));
            }
            for row in rows {
                self.tests.entry(row).or_default().insert(name.to_owned());
            }
        }
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        self.parts.iter().flat_map(|(_, rows)| rows.iter().copied())
    }

    /// All that is wrong, one line each.
    fn findings(&self) -> Vec<String> {
        let known: BTreeSet<Row> = self.rows().collect();
        let mut findings = self.findings.clone();
        for (row, names) in self.tests.iter().filter(|(row, _)| !known.contains(row)) {
            findings.push(format!("{row}: no such row, but a test {names:?}"));
        }
        for row in self.later.difference(&known) {
            findings.push(format!("{row}: no such row, but a line in {LATER}"));
        }
        for row in known.iter().filter(|row| !self.tests.contains_key(row) && !self.later.contains(row)) {
            findings.push(format!("{row}: neither a test hostile_{row}_… nor a line in {LATER}"));
        }
        findings
    }

    fn table(&self) -> String {
        let mut text = format!(
            "{:<48} {:>4} {:>6} {:>6} {:>5} {:>7}\n",
            "part", "rows", "tested", "partly", "later", "missing"
        );
        let mut all = Tally::default();
        for (heading, rows) in &self.parts {
            let tally = self.tally(rows);
            all.add(&tally);
            tally.line(&mut text, heading);
        }
        all.line(&mut text, "all");
        text
    }

    fn tally(&self, rows: &[Row]) -> Tally {
        let mut tally = Tally::default();
        for row in rows {
            let column = match (self.tests.contains_key(row), self.later.contains(row)) {
                (true, false) => &mut tally.tested,
                (true, true) => &mut tally.partly,
                (false, true) => &mut tally.later,
                (false, false) => &mut tally.missing,
            };
            *column += 1;
        }
        tally
    }
}

/// How many rows of a part are how far.
#[derive(Debug, Default)]
struct Tally {
    tested: usize,
    partly: usize,
    later: usize,
    missing: usize,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.tested += other.tested;
        self.partly += other.partly;
        self.later += other.later;
        self.missing += other.missing;
    }

    fn line(&self, text: &mut String, heading: &str) {
        let Self { tested, partly, later, missing } = self;
        let rows = tested + partly + later + missing;
        let _ = writeln!(text, "{heading:<48} {rows:>4} {tested:>6} {partly:>6} {later:>5} {missing:>7}");
    }
}

/// The parts of the specification, each with its rows: headings `## A. …`, table lines `| A01 | …`.
fn parts(text: &str) -> Vec<(String, Vec<Row>)> {
    let mut parts: Vec<(String, Vec<Row>)> = Vec::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            parts.push((heading.to_owned(), Vec::new()));
        } else if let (Some(row), Some((_, rows))) = (first_cell(line).and_then(Row::parse), parts.last_mut())
        {
            rows.push(row);
        }
    }
    parts.retain(|(_, rows)| !rows.is_empty());
    parts
}

/// The postponed rows, one `| id | where | why |` each, and the lines that say too little.
fn later(text: &str) -> (BTreeSet<Row>, Vec<String>) {
    let (mut rows, mut findings) = (BTreeSet::new(), Vec::new());
    for line in text.lines() {
        let Some(row) = first_cell(line).and_then(Row::parse) else { continue };
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if cells.len() != 3 || cells.iter().any(|cell| cell.is_empty()) {
            findings.push(format!("{LATER}: {row} wants a place and a reason"));
        }
        if !rows.insert(row) {
            findings.push(format!("{LATER}: {row} stands there twice"));
        }
    }
    (rows, findings)
}

fn first_cell(line: &str) -> Option<&str> {
    line.strip_prefix('|')?.split('|').next().map(str::trim)
}

/// The names of the test functions that begin with `hostile_`: a function right below a test attribute, or the
/// line of a macro that makes one, `hostile_f02_same_file_twice: "f02";`.
fn tests(text: &str) -> impl Iterator<Item = &str> {
    let mut is_test = false;
    text.lines().map(str::trim).filter_map(move |line| {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
            return None;
        }
        if line.starts_with('#') || line.starts_with("//") {
            return None; // other attributes and comments stand between
        }
        let of_macro = line.ends_with("\";") && line.contains(": \"");
        let tested = std::mem::take(&mut is_test) || of_macro;
        let signature = line.trim_start_matches("async ").trim_start_matches("fn ");
        let end = signature.find(|c: char| c != '_' && !c.is_ascii_alphanumeric())?;
        let name = &signature[..end];
        (tested && name.starts_with("hostile_")).then_some(name)
    })
}

/// The rows that a test's name carries: the ids behind `hostile_`, up to the first other word.
fn rows_of(name: &str) -> Vec<Row> {
    let mut words = name.split('_').skip(1).peekable();
    let mut rows: Vec<Row> = Vec::new();
    while let Some(word) = words.next() {
        let from = rows.last().copied();
        match (Row::parse(word), from, words.peek().and_then(|word| Row::parse(word))) {
            (Some(row), _, _) => rows.push(row),
            (None, Some(from), Some(last)) if word == "to" => rows.extend(from.to(last)),
            _ => break,
        }
    }
    rows
}

fn names_an_obligation(name: &str) -> bool {
    let word = name.split('_').nth(1).and_then(|word| word.strip_prefix('u'));
    word.and_then(|number| number.parse().ok()).is_some_and(|number: u8| OBLIGATIONS.contains(&number))
}

fn read(path: &Path) -> Result<String, Error> {
    let path: PathBuf = path.to_owned();
    std::fs::read_to_string(&path).map_err(|source| Error::File { path: path.display().to_string(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Row {
        Row::parse(text).unwrap()
    }

    #[test]
    fn names_and_the_rows_they_carry() {
        for (name, rows) in [
            ("hostile_f07_local_name_differs", &["F07"][..]),
            ("hostile_f05_f06_names", &["F05", "F06"]),
            ("hostile_a07_to_a09_paths", &["A07", "A07", "A08", "A09", "A09"]),
            ("hostile_i01_i05_to_i07_x", &["I01", "I05", "I05", "I06", "I07", "I07"]),
            ("hostile_h05_a_to_z", &["H05"]),
            ("hostile_h05_to_the_end", &["H05"]),
            ("hostile_b_names", &[]),
            ("hostile_z01_x", &[]),
            ("hostile_f7_x", &[]),
        ] {
            let expected: Vec<Row> = rows.iter().map(|text| row(text)).collect();
            assert_eq!(rows_of(name), expected, "{name}");
        }
    }

    #[test]
    fn only_tests_count() {
        let text = "#[test]\nfn hostile_a01_x() {}\n\
                    #[tokio::test(flavor = \"current_thread\")]\n#[ignore]\n// why\nasync fn hostile_a02_x() {}\n\
                    fn hostile_a03_helper() {}\n\
                    rows! {\n    hostile_a04_x: \"a04\";\n}\n\
                    #[test]\nfn other() {}\nfn hostile_a05_x() {}\n";
        assert_eq!(tests(text).collect::<Vec<_>>(), ["hostile_a01_x", "hostile_a02_x", "hostile_a04_x"]);
    }

    #[test]
    fn what_is_missing_and_what_is_too_much() {
        let spec = "# t\n## 0. How\n| word | x |\n## A. One\n| ID | I |\n| A01 | x | y |\n| A02 | x | y |\n| A03 | x | y |\n\
                    ## B. Two\n| B01 | x | y |\n";
        let mut found = Found { parts: parts(spec), ..Found::default() };
        (found.later, found.findings) =
            later("| A02 | room `log` | no log |\n| B07 | x | y |\n| A01 | x |  |\n");
        found.take(
            Path::new("x.rs"),
            "#[test]\nfn hostile_a01_x() {}\n#[test]\nfn hostile_a09_x() {}\n#[test]\nfn hostile_no_row() {}\n#[test]\nfn hostile_u8_x() {}\n",
        );
        let findings = found.findings().join("\n");
        for wanted in [
            "A01 wants a place",
            "hostile_no_row names no row",
            "A09: no such row",
            "B07: no such row",
            "A03: neither",
            "B01: neither",
        ] {
            assert!(findings.contains(wanted), "{wanted}: {findings}");
        }
        assert_eq!(found.findings().len(), 6, "{findings}");
        let table = found.table();
        let cells = |heading: &str| {
            let line = table.lines().find(|line| line.starts_with(heading)).unwrap();
            line[48..].split_whitespace().map(|cell| cell.parse().unwrap()).collect::<Vec<usize>>()
        };
        assert_eq!(cells("A. One"), [3, 0, 1, 1, 1], "{table}");
        assert_eq!(cells("all"), [4, 0, 1, 1, 2], "{table}");
    }
}
