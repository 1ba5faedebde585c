//! Module patterns as in GOPRIVATE (goproxy-protocol.md section 8).

/// A comma-separated list of globs that match path prefixes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Patterns(Vec<Box<str>>);

/// A glob that `path.Match` calls malformed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("malformed pattern {0:?}")]
pub struct PatternError(pub Box<str>);

impl Patterns {
    /// Reads a list; a malformed glob is an error.
    pub fn parse(_text: &str) -> Result<Self, PatternError> {
        todo!()
    }
    /// Reads a list as the go command does: a malformed glob matches nothing.
    pub fn lenient(_text: &str) -> Self {
        todo!()
    }
    /// Whether some glob matches a prefix of `target`.
    pub fn matches(&self, _target: &str) -> bool {
        todo!()
    }
    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
