//! Which version control system may be used for which module: the go command's GOVCS (section 2).

use modkeep_module::{Patterns, unicode};

use crate::place::Vcs;

/// The rules of a GOVCS list, in order, with the go command's own behind them: `private:all,public:git|hg`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Govcs(Vec<Rule>);

#[derive(Clone, Debug, Eq, PartialEq)]
struct Rule {
    who: Who,
    allowed: Vec<Box<str>>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Who {
    Public,
    Private,
    Matching(Patterns),
}

/// A GOVCS list that the go command would refuse to read; the text is its own.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct BadGovcs(pub String);

impl Govcs {
    /// Reads `pattern:vcs|vcs,…`. The patterns `public` and `private` are special, as is the system `all`.
    pub fn parse(text: &str) -> Result<Self, BadGovcs> {
        let mut rules = Vec::new();
        let mut seen: Vec<(&str, &str)> = Vec::new();
        for item in text.trim().split(',').filter(|_| !text.trim().is_empty()).map(str::trim) {
            let bad = |what: &str| BadGovcs(format!("{what}: {}", unicode::quoted(item)));
            if item.is_empty() {
                return Err(BadGovcs("empty entry in GOVCS".to_owned()));
            }
            let (pattern, list) =
                item.split_once(':').ok_or_else(|| bad("malformed entry in GOVCS (missing colon)"))?;
            let (pattern, list) = (pattern.trim(), list.trim());
            if pattern.is_empty() {
                return Err(bad("empty pattern in GOVCS"));
            }
            if list.is_empty() {
                return Err(bad("empty VCS list in GOVCS"));
            }
            if matches!(pattern, "." | "..") || pattern.starts_with("./") || pattern.starts_with("../") {
                let pattern = unicode::quoted(pattern);
                return Err(BadGovcs(format!("relative pattern not allowed in GOVCS: {pattern}")));
            }
            if let Some((_, before)) = seen.iter().find(|(known, _)| *known == pattern) {
                let (item, before) = (unicode::quoted(item), unicode::quoted(before));
                return Err(BadGovcs(format!("unreachable pattern in GOVCS: {item} after {before}")));
            }
            seen.push((pattern, item));
            let allowed: Vec<Box<str>> = list.split('|').map(|name| name.trim().into()).collect();
            if allowed.iter().any(|name| name.is_empty()) {
                return Err(bad("empty VCS name in GOVCS"));
            }
            rules.push(Rule { who: Who::parse(pattern), allowed });
        }
        rules.push(Rule { who: Who::Private, allowed: vec!["all".into()] });
        rules.push(Rule { who: Who::Public, allowed: vec!["git".into(), "hg".into()] });
        Ok(Self(rules))
    }

    /// Whether the first rule that speaks of this root allows the system.
    pub(crate) fn allows(&self, root: &str, is_private: bool, vcs: Vcs) -> bool {
        let speaks = |rule: &&Rule| match &rule.who {
            Who::Public => !is_private,
            Who::Private => is_private,
            Who::Matching(patterns) => patterns.matches(root),
        };
        let names =
            |rule: &Rule| rule.allowed.iter().any(|name| matches!(&**name, "all") || **name == *vcs.name());
        self.0.iter().find(speaks).is_some_and(names)
    }
}

impl Who {
    fn parse(pattern: &str) -> Self {
        match pattern {
            "public" => Self::Public,
            "private" => Self::Private,
            _ => Self::Matching(Patterns::lenient(pattern)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_speaks_decides() {
        for (list, root, is_private, vcs, allowed) in [
            ("", "example.com/x", false, Vcs::Git, true),
            ("", "example.com/x", false, Vcs::Hg, true),
            ("", "example.com/x", false, Vcs::Svn, false),
            ("", "example.com/x", true, Vcs::Fossil, true),
            ("public:git", "example.com/x", false, Vcs::Hg, false),
            ("private:git", "example.com/x", true, Vcs::Hg, false),
            ("example.com:svn", "example.com/x", false, Vcs::Svn, true),
            ("example.com:svn", "example.com/x", false, Vcs::Git, false),
            ("example.com/y:svn", "example.com/x", false, Vcs::Svn, false),
            ("*:off", "example.com/x", true, Vcs::Git, false),
            ("*:all", "example.com/x", false, Vcs::Fossil, true),
            (" *.com : hg | svn , public:all ", "example.com", false, Vcs::Svn, true),
            ("*.com:hg|svn,public:all", "example.org/x", false, Vcs::Fossil, true),
            ("[:git", "example.com/x", false, Vcs::Git, true),
        ] {
            let govcs = Govcs::parse(list).unwrap();
            assert_eq!(govcs.allows(root, is_private, vcs), allowed, "{list:?} {root} {is_private} {vcs:?}");
        }
    }

    #[test]
    fn what_the_go_command_cannot_read_is_an_error_of_the_configuration() {
        for (list, reason) in [
            (",", "empty entry in GOVCS"),
            ("x:y,", "empty entry in GOVCS"),
            ("x", "malformed entry in GOVCS (missing colon): \"x\""),
            ("x:", "empty VCS list in GOVCS: \"x:\""),
            (":git", "empty pattern in GOVCS: \":git\""),
            ("x:y|", "empty VCS name in GOVCS: \"x:y|\""),
            ("x:y,z:|", "empty VCS name in GOVCS: \"z:|\""),
            ("./x:y", "relative pattern not allowed in GOVCS: \"./x\""),
            ("x:git,x:hg", "unreachable pattern in GOVCS: \"x:hg\" after \"x:git\""),
        ] {
            assert_eq!(Govcs::parse(list).unwrap_err().to_string(), reason, "{list:?}");
        }
    }
}
