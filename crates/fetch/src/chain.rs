//! Walking the chain of sources with the go command's own rules (P-80 to P-85).

use std::ops::ControlFlow;

use modkeep_origin::Origin;
use modkeep_upstream::{Separator, Upstream};

use crate::failure::Failure;
use crate::source::Source;

/// One link of the chain: a source and the separator after it.
#[derive(Clone, Debug)]
pub struct Link {
    /// Who is asked.
    pub source: Source,
    /// `,` goes on when the source says "not found", `|` after any error.
    pub then: Separator,
}

impl Link {
    /// A mirror or tree.
    pub fn upstream(upstream: Upstream, then: Separator) -> Self {
        Self { source: Source::Upstream(upstream), then }
    }

    /// The repositories themselves.
    pub fn origin(origin: Origin, then: Separator) -> Self {
        Self { source: Source::Origin(origin), then }
    }
}

/// The sources in the order in which to ask them: the one that answered first for this version, if it is
/// still configured, before the others (P-85).
pub(crate) fn order<'a>(chain: &'a [Link], pinned: Option<&str>) -> impl Iterator<Item = &'a Link> {
    let first = pinned.and_then(|name| chain.iter().position(|link| link.source.name() == name));
    let rest = chain.iter().enumerate().filter(move |(at, _)| Some(*at) != first).map(|(_, link)| link);
    first.and_then(|at| chain.get(at)).into_iter().chain(rest)
}

/// The failures met so far.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    best: Option<Failure>,
}

impl Walk {
    /// Notes that a source failed and says whether to ask the next one.
    pub(crate) fn note(&mut self, failure: Failure, then: Separator) -> ControlFlow<()> {
        let onward = goes_on(&failure, then);
        if self.best.as_ref().is_none_or(|best| rank(&failure) >= rank(best)) {
            self.best = Some(failure);
        }
        onward
    }

    /// The failure to report (P-84), or `nobody` where no source was asked.
    pub(crate) fn best_or(self, nobody: impl FnOnce() -> Failure) -> Failure {
        self.best.unwrap_or_else(nobody)
    }
}

/// Whether the next source is asked.
///
/// Bytes that contradict a certified sum name their sender and count for nothing: the next source may have
/// the right ones, whatever the separator (H14). What is not the source's fault ends the walk.
fn goes_on(failure: &Failure, then: Separator) -> ControlFlow<()> {
    let onward = match failure {
        absent if absent.is_absence() => true,
        Failure::Checksum { .. } => true,
        Failure::OriginDown { .. }
        | Failure::OriginLimit { .. }
        | Failure::BadAnswer { .. }
        | Failure::BadContent { .. }
        | Failure::TooLarge { .. } => then == Separator::Pipe,
        _ => false,
    };
    if onward { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// P-84: an error that is no "not found" is worth more than one that is; of equals the later. A mismatch is
/// worth most: it must not hide behind the trouble of the next source.
fn rank(failure: &Failure) -> u8 {
    match failure {
        absent if absent.is_absence() => 0,
        Failure::Checksum { .. } => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use modkeep_module::ModulePath;
    use modkeep_store::FileKind;

    use super::*;
    use crate::failure::{Authority, Subject};

    fn subject() -> Subject {
        Subject::module(&ModulePath::parse("example.com/m").unwrap())
    }

    fn absent(said: &str) -> Failure {
        let (subject, said) = (subject(), Arc::from(said));
        Failure::NoSuchVersion { subject, asked_ago: Duration::ZERO, newest: None, said }
    }

    fn down(host: &str) -> Failure {
        Failure::OriginDown {
            subject: subject(),
            host: host.into(),
            reason: "reset".into(),
            here: Vec::new(),
        }
    }

    fn mismatch(source: &str) -> Failure {
        Failure::Checksum {
            subject: subject(),
            file: FileKind::Zip,
            recorded: "h1:…".into(),
            received: "h1:…".into(),
            authority: Authority::Ledger,
            source_name: source.into(),
        }
    }

    /// Walks a chain in which every source fails; gives the sources asked and the error reported.
    fn walk(chain: Vec<(Failure, Separator)>) -> (usize, String) {
        let mut walk = Walk::default();
        let mut asked = 0;
        for (failure, then) in chain {
            asked += 1;
            if walk.note(failure, then).is_break() {
                break;
            }
        }
        (asked, walk.best_or(|| down("nobody")).to_string())
    }

    #[test]
    fn the_separator_after_a_source_decides() {
        use Separator::{Comma, Pipe};
        let (a, b) = (down("a").to_string(), down("b").to_string());
        let nothing = absent("").to_string();
        let lie = mismatch("a").to_string();
        for (chain, asked, reported) in [
            (vec![(absent("a"), Comma), (absent("b"), Comma)], 2, &nothing),
            (vec![(down("a"), Comma), (absent("b"), Comma)], 1, &a),
            (vec![(down("a"), Pipe), (absent("b"), Comma)], 2, &a),
            (vec![(absent("a"), Comma), (down("b"), Comma)], 2, &b),
            (vec![(absent("a"), Pipe), (down("b"), Pipe), (absent("c"), Pipe)], 3, &b),
            (vec![(down("a"), Pipe), (down("b"), Pipe)], 2, &b),
            (vec![(mismatch("a"), Comma), (down("b"), Comma)], 2, &lie),
            (vec![], 0, &down("nobody").to_string()),
        ] {
            assert_eq!(walk(chain), (asked, reported.clone()));
        }
    }

    #[test]
    fn our_own_trouble_ends_the_walk() {
        let full = Failure::Storage { subject: subject(), reason: "full".into() };
        assert_eq!(
            walk(vec![(full.clone(), Separator::Pipe), (absent("b"), Separator::Pipe)]),
            (1, full.to_string())
        );
    }
}
