//! What commands say: results on standard output, everything else on standard error.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::cli::Global;

/// How often the progress line is redrawn at most.
const REDRAW: Duration = Duration::from_millis(100);

/// Writes results and notices as the global flags ask.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    progress: Option<Mutex<Progress>>,
}

#[derive(Debug)]
struct Progress {
    drawn: Instant,
    shown: bool,
}

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        let on_terminal = std::io::stderr().is_terminal() && !global.no_progress && !global.quiet;
        let progress = on_terminal.then(|| Mutex::new(Progress { drawn: Instant::now(), shown: false }));
        Self { json: global.json, quiet: global.quiet, progress }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// One result: `text` for people, `json` as a line for programs.
    pub(crate) fn result(&self, text: impl FnOnce() -> String, json: impl FnOnce() -> serde_json::Value) {
        let line = if self.json { json().to_string() } else { printable(&text()) };
        self.raw(&(line + "\n"));
    }

    /// The last result: totals as a line, or as the JSON summary line.
    pub(crate) fn summary(&self, text: impl FnOnce() -> String, mut json: serde_json::Value) {
        if let Some(fields) = json.as_object_mut() {
            fields.insert("type".to_owned(), "summary".into());
        }
        if self.json {
            self.raw(&format!("{json}\n"));
        } else {
            self.notice(&text());
        }
    }

    /// Bytes for standard output as they are. A reader that went away ends the program quietly, as a pipe does.
    pub(crate) fn raw(&self, text: &str) {
        self.clear();
        let mut out = std::io::stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            std::process::exit(0);
        }
    }

    /// A line for people on standard error, unless they asked for quiet.
    pub(crate) fn notice(&self, text: &str) {
        if !self.quiet {
            self.problem(text);
        }
    }

    /// A line for people on standard error, whatever they asked for.
    pub(crate) fn problem(&self, text: &str) {
        self.clear();
        // A standard error that is gone leaves nobody to tell.
        let _ = writeln!(std::io::stderr(), "{}", printable(text));
    }

    /// Redraws the progress line, on a terminal and not too often.
    pub(crate) fn progress(&self, text: impl FnOnce() -> String) {
        let Some(progress) = &self.progress else { return };
        let Ok(mut line) = progress.lock() else { return };
        if !line.shown || line.drawn.elapsed() > REDRAW {
            let text: String = printable(&text()).chars().take(100).collect();
            let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
            let _ = std::io::stderr().flush();
            *line = Progress { drawn: Instant::now(), shown: true };
        }
    }

    fn clear(&self) {
        if let Some(Ok(mut line)) = self.progress.as_ref().map(Mutex::lock)
            && std::mem::replace(&mut line.shown, false)
        {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// Text safe for a terminal: control characters, ESC and the marks that reorder text are escaped (L09).
pub(crate) fn printable(text: &str) -> String {
    let reorders =
        |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if (c.is_control() && c != '\n' && c != '\t') || reorders(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// A moment as RFC 3339 in UTC, to the second.
pub(crate) fn time(moment: std::time::SystemTime) -> String {
    jiff::Timestamp::try_from(moment)
        .ok()
        .and_then(|stamp| stamp.round(jiff::Unit::Second).ok())
        .map_or_else(|| "unknown".to_owned(), |stamp| stamp.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_l09_escape_sequences_never_reach_a_terminal() {
        for (text, shown) in [
            ("plain text", "plain text"),
            ("two\nlines", "two\nlines"),
            ("\x1b[31mred", "\\u{1b}[31mred"),
            ("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("\u{9b}31m", "\\u{9b}31m"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }
}
