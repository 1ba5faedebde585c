//! Which version control system may be used for which module: the go command's GOVCS (section 2).

/// The rules of a GOVCS list, in order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Govcs;

/// A GOVCS list that the go command would refuse to read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct BadGovcs(pub String);

impl Govcs {
    /// Reads `pattern:vcs|vcs,…`.
    pub fn parse(_text: &str) -> Result<Self, BadGovcs> {
        todo!()
    }
}
