//! What came out.

use std::fmt;

/// One field in which modkeep does not say what the go command says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference {
    /// `path@query`.
    pub question: String,
    /// Which part of the answer.
    pub field: &'static str,
    /// The go command's.
    pub go: String,
    /// modkeep's.
    pub ours: String,
}

/// Counts, and every difference.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Repositories walked.
    pub repositories: usize,
    /// Module paths, each with its list and its latest.
    pub modules: usize,
    /// Questions asked of both sides.
    pub questions: usize,
    /// Of those, the ones with an answer.
    pub found: usize,
    /// Different versions whose zip has a sum.
    pub zips: usize,
    /// Sums that a go.sum file had published and that were met.
    pub published_met: usize,
    /// Where the sides differ, and where a published sum was not met.
    pub differences: Vec<Difference>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for difference in &self.differences {
            let Difference { question, field, go, ours } = difference;
            writeln!(f, "{question}  {field}\n    go    {go:?}\n    ours  {ours:?}")?;
        }
        writeln!(f, "repositories      {}", self.repositories)?;
        writeln!(f, "module paths      {}", self.modules)?;
        writeln!(f, "questions         {} ({} answered)", self.questions, self.found)?;
        writeln!(f, "zips              {}", self.zips)?;
        writeln!(f, "published sums    {} met", self.published_met)?;
        writeln!(f, "differences       {}", self.differences.len())
    }
}
