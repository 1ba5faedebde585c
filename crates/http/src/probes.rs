//! Is it alive, and can it work: `/healthz` and `/readyz`.

use std::fmt::Write as _;
use std::sync::Arc;

/// How one part of the program is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Health {
    /// As it should be; with a fact worth showing.
    Well(String),
    /// It works in part: a store that cannot be written still serves what it has (R12).
    Degraded(String),
    /// It cannot work.
    Down(String),
}

/// One part's check. It must answer at once: it may look at memory or make one system call, not wait.
type Check = Arc<dyn Fn() -> Health + Send + Sync>;

/// The checks of a program, in the order in which they are shown. Cheap to clone.
#[derive(Clone, Default)]
pub struct Probes(Vec<(&'static str, Check)>);

impl std::fmt::Debug for Probes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Probes {
    /// These checks and one more.
    #[must_use]
    pub fn with(mut self, name: &'static str, check: impl Fn() -> Health + Send + Sync + 'static) -> Self {
        self.0.push((name, Arc::new(check)));
        self
    }

    /// Asks every part.
    pub(crate) fn ask(&self) -> Report {
        Report(self.0.iter().map(|(name, check)| (*name, check())).collect())
    }
}

/// What the parts said.
#[derive(Debug)]
pub(crate) struct Report(Vec<(&'static str, Health)>);

impl Report {
    /// Whether requests should be sent here.
    pub(crate) fn is_ready(&self) -> bool {
        !self.0.iter().any(|(_, health)| matches!(health, Health::Down(_)))
    }

    /// One word, and the names of the parts that are not well. Nothing else: the public may read it.
    pub(crate) fn summary(&self) -> String {
        let ailing: Vec<&str> = self
            .0
            .iter()
            .filter(|(_, health)| !matches!(health, Health::Well(_)))
            .map(|(name, _)| *name)
            .collect();
        let word = match (self.is_ready(), ailing.is_empty()) {
            (true, true) => return "ok\n".into(),
            (true, false) => "degraded",
            (false, _) => "not ready",
        };
        format!("{word}: {}\n", ailing.join(" "))
    }

    /// A line for each part, with what it said.
    pub(crate) fn details(&self) -> String {
        self.0.iter().fold(String::new(), |mut lines, (name, health)| {
            let (word, fact) = match health {
                Health::Well(fact) => ("ok", fact),
                Health::Degraded(fact) => ("degraded", fact),
                Health::Down(fact) => ("down", fact),
            };
            let _ = writeln!(lines, "{name}: {word} {fact}");
            lines
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_cannot_be_written_is_degraded_and_still_ready() {
        let probes = Probes::default()
            .with("ledger", || Health::Well("3 versions".into()))
            .with("store", || Health::Degraded("the disk is full".into()));
        let report = probes.ask();
        assert!(report.is_ready());
        assert_eq!(report.summary(), "degraded: store\n");
        assert_eq!(report.details(), "ledger: ok 3 versions\nstore: degraded the disk is full\n");
        let report = probes.with("log", || Health::Down("forked".into())).ask();
        assert!(!report.is_ready());
        assert_eq!(report.summary(), "not ready: store log\n");
        assert_eq!(Probes::default().ask().summary(), "ok\n");
    }
}
