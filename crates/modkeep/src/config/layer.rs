//! The layers over the defaults: Go's variables, files, our variables, flags.

use std::fmt;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::Error;

/// One value somebody set, not yet known to fit.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) key: String,
    pub(crate) value: toml::Value,
    pub(crate) place: Place,
}

/// Where a value was set.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// The compiled-in defaults.
    Default,
    /// A configuration file, with the line counted from 1.
    File {
        /// As it was named.
        path: String,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable, by its name.
    Variable(String),
    /// A flag, by its name.
    Flag(String),
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => out.write_str("default"),
            Self::File { path, line } => write!(out, "{path}:{line}"),
            Self::Variable(name) => out.write_str(name),
            Self::Flag(name) => write!(out, "--{name}"),
        }
    }
}

impl Place {
    /// Whether it is one of Go's own variables, whose values are read as the go command reads them.
    pub(crate) fn is_go(&self) -> bool {
        matches!(self, Self::Variable(name) if !name.starts_with("MODKEEP_"))
    }
}

impl Setting {
    /// A value given on the command line for `key`.
    pub(crate) fn flag(key: &str, text: &str) -> Self {
        let name = key.rsplit('.').next().unwrap_or(key).replace('_', "-");
        Self::text(key, text, Place::Flag(name))
    }

    fn text(key: &str, text: &str, place: Place) -> Self {
        Self { key: key.to_owned(), value: toml::Value::String(text.to_owned()), place }
    }

    /// Gives a text the type that the key's default has: a list is split at commas, a number and a truth are read. A text of ours that
    /// begins with `[` is TOML, which can say lists of tables too: `[{ prefix = "…", url = "…" }]`.
    ///
    /// A key without a default does not exist: the error names the nearest one that does.
    pub(crate) fn typed(self, defaults: &toml::Table) -> Result<Self, Error> {
        let default = self.key.split_once('.').and_then(|(section, name)| defaults.get(section)?.get(name));
        let Some(default) = default else {
            return Err(Error::UnknownKey { nearest: nearest(&self.key), place: self.place, key: self.key });
        };
        let from_text = !matches!(self.place, Place::File { .. });
        let value = match (default, &self.value) {
            (toml::Value::Array(_), toml::Value::String(text))
                if from_text && !self.place.is_go() && text.trim_start().starts_with('[') =>
            {
                let parsed = text.trim().parse::<toml::Value>();
                parsed.map_err(|error| Error::Invalid {
                    place: self.place.clone(),
                    key: self.key.clone(),
                    reason: error.message().to_owned(),
                })?
            }
            (toml::Value::Array(_), toml::Value::String(text)) if from_text => toml::Value::Array(
                text.split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .map(|part| toml::Value::String(part.to_owned()))
                    .collect(),
            ),
            (toml::Value::Boolean(_), toml::Value::String(text)) if from_text => {
                text.parse().map_or_else(|_| self.value.clone(), toml::Value::Boolean)
            }
            (toml::Value::Integer(_), toml::Value::String(text)) if from_text => {
                text.parse().map_or_else(|_| self.value.clone(), toml::Value::Integer)
            }
            _ => self.value,
        };
        Ok(Self { value, ..self })
    }
}

/// The existing key whose name is nearest to a misspelt one, if any is near.
fn nearest(key: &str) -> Option<String> {
    super::keys()
        .into_iter()
        .map(|known| (strsim::jaro_winkler(&known, key), known))
        .filter(|(likeness, _)| *likeness > 0.85)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

/// The settings of a configuration file, each with its line.
pub(crate) fn file(path: &Path) -> Result<Vec<Setting>, Error> {
    let shown = path.display().to_string();
    let wrong = |reason: String| Error::File { path: shown.clone(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let document = DeTable::parse(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(&text, span.start));
        wrong(format!("line {line}: {}", error.message()))
    })?;
    let values: toml::Table = toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))?;
    let mut settings = Vec::new();
    for (section, content) in document.get_ref() {
        let place = |offset| Place::File { path: shown.clone(), line: line_of(&text, offset) };
        let section_name = section.get_ref().to_string();
        let DeValue::Table(keys) = content.get_ref() else {
            let key = section_name;
            return Err(Error::UnknownKey {
                nearest: nearest(&key),
                place: place(section.span().start),
                key,
            });
        };
        for (key, _) in keys {
            let name = key.get_ref().to_string();
            let Some(value) = values.get(&section_name).and_then(|section| section.get(&name)) else {
                continue;
            };
            settings.push(Setting {
                key: format!("{section_name}.{name}"),
                value: value.clone(),
                place: place(key.span().start),
            });
        }
    }
    Ok(settings)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// The `MODKEEP_<SECTION>_<KEY>` variables; with `_FILE` behind the name, the value stands in that file.
///
/// A `MODKEEP_` variable that names no key is an error, `MODKEEP_CONFIG` excepted.
pub(crate) fn environment(variables: impl Iterator<Item = (String, String)>) -> Result<Vec<Setting>, Error> {
    let keys = super::keys();
    let mut settings = Vec::new();
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix("MODKEEP_") else { continue };
        if rest == "CONFIG" {
            continue;
        }
        let wanted = rest.to_ascii_lowercase();
        let named = |wanted: &str| keys.iter().find(|key| key.replacen('.', "_", 1) == wanted);
        let place = Place::Variable(name.clone());
        if let Some(key) = named(&wanted) {
            settings.push(Setting::text(key, &value, place));
        } else if let Some(key) = wanted.strip_suffix("_file").and_then(named) {
            let text = std::fs::read_to_string(&value).map_err(|error| Error::Invalid {
                place: place.clone(),
                key: key.clone(),
                reason: format!("{value}: {error}"),
            })?;
            settings.push(Setting::text(key, text.trim_end(), place));
        } else {
            let key = wanted.replacen('_', ".", 1);
            let nearest =
                nearest(&key).map(|key| format!("MODKEEP_{}", key.replacen('.', "_", 1).to_uppercase()));
            return Err(Error::UnknownKey { place, key: name, nearest });
        }
    }
    Ok(settings)
}

/// What the go command's own variables say, as weak settings.
///
/// GONOPROXY and GONOSUMDB default to GOPRIVATE, as they do there. GOINSECURE applies to origins, not to upstreams.
pub(crate) fn go_environment(variable: impl Fn(&str) -> Option<String>) -> Vec<Setting> {
    let set =
        |name: &'static str| variable(name).filter(|value| !value.is_empty()).map(|value| (name, value));
    let private = || set("GOPRIVATE");
    let layers = [
        ("origin.upstream", set("GOPROXY")),
        ("origin.private", set("GONOPROXY").or_else(private)),
        ("origin.insecure", set("GOINSECURE")),
        ("origin.govcs", set("GOVCS")),
        ("origin.netrc", set("NETRC")),
        ("verify.log", set("GOSUMDB")),
        ("verify.unchecked", set("GONOSUMDB").or_else(private)),
    ];
    layers
        .into_iter()
        .filter_map(|(key, found)| found.map(|(name, value)| (key, name, value)))
        .map(|(key, name, value)| Setting::text(key, &value, Place::Variable(name.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(settings: &[Setting]) -> Vec<(String, String)> {
        settings.iter().map(|setting| (setting.key.clone(), setting.place.to_string())).collect()
    }

    #[test]
    fn variables_name_keys_and_misspelt_ones_are_refused() {
        let set = |name: &str| environment([(name.to_owned(), "x".to_owned())].into_iter());
        let found = set("MODKEEP_ORIGIN_USER_AGENT_CONTACT").unwrap();
        assert_eq!(found[0].key, "origin.user_agent_contact");
        assert!(set("MODKEEP_CONFIG").unwrap().is_empty());
        assert!(set("PATH").unwrap().is_empty());
        let refused = set("MODKEEP_SERVER_LISTN").unwrap_err().to_string();
        assert!(refused.contains("did you mean \"MODKEEP_SERVER_LISTEN\"?"), "{refused}");
    }

    #[test]
    fn go_variables_fill_in_as_in_the_go_command() {
        let with = |set: &[(&str, &str)]| {
            let set: Vec<(String, String)> = set.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
            pairs(&go_environment(move |name| set.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone())))
        };
        let key = |key: &str, name: &str| (key.to_owned(), name.to_owned());
        assert_eq!(
            with(&[("GOPRIVATE", "corp.example"), ("GONOPROXY", "none")]),
            [key("origin.private", "GONOPROXY"), key("verify.unchecked", "GOPRIVATE")]
        );
        assert_eq!(
            with(&[("GOPROXY", "off"), ("GOSUMDB", "off"), ("GONOSUMDB", "")]),
            [key("origin.upstream", "GOPROXY"), key("verify.log", "GOSUMDB")]
        );
        assert_eq!(
            with(&[("GOVCS", "*:git"), ("GOINSECURE", "corp.example"), ("NETRC", "/n")]),
            [
                key("origin.insecure", "GOINSECURE"),
                key("origin.govcs", "GOVCS"),
                key("origin.netrc", "NETRC")
            ]
        );
    }

    #[test]
    fn lists_of_tables_can_be_said_in_a_variable() {
        let rewrite = r#"[{ prefix = "https://github.com/", url = "https://me:secret@git.corp.example/" }]"#;
        let settings = [("MODKEEP_ORIGIN_REWRITE".to_owned(), rewrite.to_owned())];
        let effective = environment(settings.into_iter()).and_then(super::super::Effective::new).unwrap();
        assert_eq!(effective.config.origin.rewrite[0].prefix, "https://github.com/");
        assert!(!effective.show(true).contains("secret"), "{}", effective.show(true));
        let settings = [("MODKEEP_ORIGIN_REWRITE".to_owned(), "[{ prefix = ".to_owned())];
        let refused = environment(settings.into_iter()).and_then(super::super::Effective::new);
        assert!(refused.unwrap_err().to_string().starts_with("MODKEEP_ORIGIN_REWRITE: origin.rewrite: "));
    }

    #[test]
    fn a_bracket_in_a_variable_of_go_is_a_glob() {
        let laid = |glob: &str| {
            let named = |name: &str| (name == "GOINSECURE").then(|| glob.to_owned());
            super::super::Effective::new(go_environment(named)).unwrap().config.origin.insecure
        };
        assert_eq!(laid("[a-c].corp.example,["), ["[a-c].corp.example", "["]);
    }

    #[test]
    fn a_slip_in_a_file_is_answered_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("modkeep.toml");
        for (text, expected) in [
            ("[server]\nlisten = [\":1\"]\nhld = \"1s\"\n", "modkeep.toml:3: unknown key \"server.hld\""),
            ("[server]\n\nhold = 5\n", "modkeep.toml:3: server.hold"),
            ("x = 1\n", "modkeep.toml:1: unknown key \"x\""),
            ("[server\n", "line 1"),
        ] {
            std::fs::write(&path, text).unwrap();
            let refused = file(&path).and_then(super::super::Effective::new).unwrap_err().to_string();
            assert!(refused.contains(expected), "{text:?}: {refused}");
        }
    }
}
