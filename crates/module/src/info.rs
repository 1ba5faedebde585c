//! The `.info` answer: JSON metadata of a version (goproxy-protocol.md sections 3.2 and 4).
//!
//! Read as the go command reads it (names of fields regardless of case, unknown ones ignored), but a document
//! that two readers could understand differently is refused: a key twice, in whatever case (G08).
#![warn(clippy::indexing_slicing)]

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

pub use crate::time::Timestamp;
use crate::unicode;
use crate::version::{Version, VersionError};

/// The longest `.info` we read, in bytes (hostile-inputs.md part 1).
pub const INFO_BYTES_MAX: usize = 64 << 10;

/// A parsed `.info`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Info {
    version: Version,
    time: Option<Timestamp>,
    origin: Option<Origin>,
    /// The Origin's URL carried something that must not be passed on.
    cleaned: bool,
}

/// Where a version came from, as its source stated it; we pass on what an upstream said (P-62).
///
/// Empty texts are absent. Written in the order of the fields.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Origin {
    /// `git`, `hg`, `svn` or `fossil`.
    pub vcs: String,
    /// The repository, without credentials, query or fragment (P-61, G09). Not necessarily https, nor a URL.
    pub url: String,
    /// The module's directory, without `/vN`.
    pub subdir: String,
    /// The full commit id.
    pub hash: String,
    /// The prefix of the tags that `tag_sum` covers.
    pub tag_prefix: String,
    /// `t1:` sum over matching tags.
    pub tag_sum: String,
    /// The mutable name that was resolved: `refs/tags/v1.2.3`.
    pub reference: String,
    /// `r1:` sum over all refs.
    pub repo_sum: String,
}

/// Why bytes are no `.info`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InfoError {
    /// Over [`INFO_BYTES_MAX`].
    #[error("info longer than {limit} bytes")]
    TooLong {
        /// In bytes.
        limit: usize,
    },
    /// Not one JSON object of moderate depth with each key once.
    #[error("info is not the expected JSON: {0}")]
    Json(Box<str>),
    /// A field of the wrong type.
    #[error("info field {0} is not {1}")]
    Field(&'static str, &'static str),
    /// No usable version.
    #[error("info without a canonical Version: {0}")]
    Version(VersionError),
    /// The time is not RFC 3339.
    #[error("info with a Time that is not RFC 3339")]
    Time,
}

impl Info {
    /// An info with nothing but a version and perhaps its time; a time outside the years 0 to 9999 is left out.
    pub fn new(version: Version, time: Option<Timestamp>) -> Self {
        Self { version, time: time.filter(|time| time.is_expressible()), origin: None, cleaned: false }
    }

    /// The same, from there. The URL loses what must not be passed on (P-61).
    #[must_use]
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.origin = Some(Origin { url: without_secrets(&origin.url), ..origin });
        self
    }

    /// The form that is kept under the version's own name (P-60): what else could have been found decides nothing
    /// any more, so no sums, and no ref where the version names its commit itself.
    #[must_use]
    pub fn settled(mut self) -> Self {
        let is_pseudo = self.version.is_pseudo();
        if let Some(origin) = &mut self.origin {
            for sum in [&mut origin.tag_prefix, &mut origin.tag_sum, &mut origin.repo_sum] {
                sum.clear();
            }
            if is_pseudo {
                origin.reference.clear();
            }
        }
        self
    }

    /// What stands for an `.info` that nobody kept: the version, and its time where a pseudo-version tells it (P-153).
    pub fn plain(version: &Version) -> Self {
        let pseudo = crate::pseudo::parse(version).ok();
        let time = pseudo.and_then(|pseudo| Timestamp::from_pseudo(&pseudo.time).ok());
        Self::new(version.clone(), time)
    }

    /// Reads an answer. Whether its version is the one asked for is the caller's question (P-30).
    pub fn parse(bytes: &[u8]) -> Result<Self, InfoError> {
        if bytes.len() > INFO_BYTES_MAX {
            return Err(InfoError::TooLong { limit: INFO_BYTES_MAX });
        }
        let mut fields = Fields(object(bytes)?);
        let version = fields.text("Version")?.unwrap_or_default();
        let origin = match fields.take("Origin") {
            Value::Null => None,
            Value::Object(fields) => Some(Origin::read(Fields(fields))?),
            _ => return Err(InfoError::Field("Origin", "an object")),
        };
        let (origin, cleaned) = origin.map_or((None, false), |(origin, cleaned)| (Some(origin), cleaned));
        Ok(Self {
            version: Version::parse(&version).map_err(InfoError::Version)?,
            time: read_time(fields.text("Time")?)?,
            origin,
            cleaned,
        })
    }

    /// The canonical version.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The commit time, when stated; the year 1 that go writes for "unknown" counts as not stated.
    pub fn time(&self) -> Option<Timestamp> {
        self.time
    }

    /// Where the version came from, when stated. Cleaned of secrets, otherwise unverified.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// One line of JSON without a newline; fields in go's order.
    pub fn to_json(&self) -> Vec<u8> {
        let mut fields = vec![("Version", text(self.version.as_str()))];
        fields.extend(self.time.map(|time| ("Time", text(&time.to_string()))));
        fields.extend(self.origin.as_ref().map(|origin| ("Origin", origin.to_json())));
        object_of(&fields).into_bytes()
    }

    /// The bytes to store and serve for an answer that read as this info: `raw` as it is, unless its Origin
    /// carried credentials or a query (G09); then it is written anew.
    pub fn sanitized(&self, raw: &[u8]) -> Vec<u8> {
        if self.cleaned { self.to_json() } else { raw.to_vec() }
    }
}

impl Origin {
    fn read(mut fields: Fields) -> Result<(Self, bool), InfoError> {
        let mut field = |name| Ok(fields.text(name)?.unwrap_or_default());
        let mut origin = Self {
            vcs: field("VCS")?,
            url: field("URL")?,
            subdir: field("Subdir")?,
            hash: field("Hash")?,
            tag_prefix: field("TagPrefix")?,
            tag_sum: field("TagSum")?,
            reference: field("Ref")?,
            repo_sum: field("RepoSum")?,
        };
        let clean = without_secrets(&origin.url);
        let cleaned = clean != origin.url;
        origin.url = clean;
        Ok((origin, cleaned))
    }

    /// The URL if it is one that a page may link to: https, and nothing else (G09).
    pub fn link(&self) -> Option<&str> {
        self.url.starts_with("https://").then_some(&*self.url)
    }

    fn to_json(&self) -> String {
        let fields = [
            ("VCS", &self.vcs),
            ("URL", &self.url),
            ("Subdir", &self.subdir),
            ("Hash", &self.hash),
            ("TagPrefix", &self.tag_prefix),
            ("TagSum", &self.tag_sum),
            ("Ref", &self.reference),
            ("RepoSum", &self.repo_sum),
        ];
        let stated = fields.into_iter().filter(|(_, value)| !value.is_empty());
        object_of(&stated.map(|(name, value)| (name, text(value))).collect::<Vec<_>>())
    }
}

/// A URL without user information, query and fragment (P-61). `git@host:path`, the short ssh form, keeps its
/// user: it holds no secret.
fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = match url.find("://") {
        Some(at) => url.split_at(at.saturating_add(3)),
        None => ("", url),
    };
    let (authority, path) = rest.split_at(rest.find(['/', '\\']).unwrap_or(rest.len()));
    let host = match authority.rsplit_once('@') {
        Some((user, host)) if !scheme.is_empty() || user.contains(':') => host,
        _ => authority,
    };
    format!("{scheme}{host}{path}")
}

fn read_time(text: Option<String>) -> Result<Option<Timestamp>, InfoError> {
    let time = text.map(|text| Timestamp::parse(&text)).transpose().map_err(|_| InfoError::Time)?;
    Ok(time.filter(|time| !time.is_go_zero()))
}

/// The fields of an object, found regardless of case.
struct Fields(Map<String, Value>);

impl Fields {
    /// The field's value; null when it is absent.
    fn take(&mut self, name: &str) -> Value {
        let wanted = unicode::fold_key(name);
        let found = self.0.iter_mut().find(|(key, _)| unicode::fold_key(key) == wanted);
        found.map_or(Value::Null, |(_, value)| value.take())
    }

    fn text(&mut self, name: &'static str) -> Result<Option<String>, InfoError> {
        match self.take(name) {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text)),
            _ => Err(InfoError::Field(name, "a string")),
        }
    }
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, InfoError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Unambiguous.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    match value {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(InfoError::Json("not an object".into())),
        Err(error) => Err(InfoError::Json(error.to_string().into())),
    }
}

fn text(text: &str) -> String {
    Value::from(text).to_string()
}

fn object_of(fields: &[(&str, String)]) -> String {
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

/// Reads any JSON value whose objects hold each key once, whatever the case. Depth is bounded by `serde_json`
/// (128), size by the caller.
#[derive(Clone, Copy)]
struct Unambiguous;

impl<'de> DeserializeSeed<'de> for Unambiguous {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unambiguous {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let (mut fields, mut seen) = (Map::new(), HashSet::new());
        while let Some(key) = entries.next_key::<String>()? {
            if !seen.insert(unicode::fold_key(&key)) {
                return Err(de::Error::custom("a key stands twice"));
            }
            fields.insert(key, entries.next_value_seed(self)?);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Info, InfoError> {
        Info::parse(text.as_bytes())
    }

    #[test]
    fn reads_what_the_public_mirror_writes() {
        let raw = r#"{"Version":"v1.5.2","Time":"2018-02-14T15:44:20Z","Origin":{"VCS":"git","URL":"https://github.com/rsc/quote","Hash":"c4d4236f92427c64bfbcf1cc3f8142ab18f30b22","Ref":"refs/tags/v1.5.2"}}"#;
        let info = parse(raw).unwrap();
        assert_eq!(info.version().as_str(), "v1.5.2");
        assert_eq!(info.time(), Some(Timestamp { secs: 1_518_623_060, nanos: 0 }));
        assert_eq!(info.origin().unwrap().link(), Some("https://github.com/rsc/quote"));
        assert_eq!(info.to_json(), raw.as_bytes());
        assert_eq!(info.sanitized(raw.as_bytes()), raw.as_bytes());
    }

    #[test]
    fn names_of_fields_are_read_as_go_reads_them() {
        let info =
            parse(r#" {"version":"v1.0.0","TIME":null,"Name":"x","Short":"y","Origin":null} "#).unwrap();
        assert_eq!((info.version().as_str(), info.time(), info.origin()), ("v1.0.0", None, None));
        assert_eq!(parse(r#"{"Version":"v1.0.0","Time":"0001-01-01T00:00:00Z"}"#).unwrap().time(), None);
    }

    #[test]
    fn what_is_kept_under_the_version_states_no_sums() {
        let found = |version| {
            let origin = Origin {
                url: "https://ann:secret@git.example.com/x".to_owned(),
                hash: "daa7c04131f5".to_owned(),
                tag_sum: "t1:x".to_owned(),
                reference: "refs/heads/main".to_owned(),
                ..Origin::default()
            };
            Info::new(Version::parse(version).unwrap(), None).with_origin(origin).settled().to_json()
        };
        for (version, reference) in
            [("v1.0.0", r#","Ref":"refs/heads/main""#), ("v0.0.0-20191109021931-daa7c04131f5", "")]
        {
            let expected = format!(
                r#"{{"Version":"{version}","Origin":{{"URL":"https://git.example.com/x","Hash":"daa7c04131f5"{reference}}}}}"#
            );
            assert_eq!(String::from_utf8(found(version)).unwrap(), expected);
        }
    }

    #[test]
    fn hostile_g08_ambiguous_or_broken_documents() {
        for text in [
            "",
            "[]",
            "null",
            "{}",
            "<html>",
            "\u{feff}{\"Version\":\"v1.0.0\"}",
            r#"{"Version":"v1.0.0"} x"#,
            r#"{"Version":1}"#,
            r#"{"Version":"master"}"#,
            r#"{"Version":"v1.0.0+meta"}"#,
            r#"{"Version":"v1.0.0","Time":"yesterday"}"#,
            r#"{"Version":"v1.0.0","Time":""}"#,
            r#"{"Version":"v1.0.0","Version":"v1.0.0"}"#,
            r#"{"Version":"v1.0.0","version":"v1.0.1"}"#,
            r#"{"Version":"v1.0.0","Ver\u017fion":"v1.0.1"}"#,
            r#"{"Version":"v1.0.0","x":{"a":1,"a":2}}"#,
            r#"{"Version":"v1.0.0","Origin":"x"}"#,
            r#"{"Version":"v1.0.0","Origin":{"URL":7}}"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let deep = format!(r#"{{"Version":"v1.0.0","x":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
        assert!(matches!(parse(&deep), Err(InfoError::Json(_))));
        let long = format!(r#"{{"Version":"v1.0.0","x":"{}"}}"#, "x".repeat(INFO_BYTES_MAX));
        assert_eq!(parse(&long), Err(InfoError::TooLong { limit: INFO_BYTES_MAX }));
    }

    #[test]
    fn hostile_g09_secrets_in_the_origin() {
        for (url, clean, link) in [
            ("https://user:token@git.example.com/x?key=1#y", "https://git.example.com/x", true),
            ("https://git.example.com/x?token=1", "https://git.example.com/x", true),
            ("ssh://git@git.example.com/x", "ssh://git.example.com/x", false),
            ("user:pw@git.example.com/x", "git.example.com/x", false),
            ("https://a@b@git.example.com/x@y", "https://git.example.com/x@y", true),
        ] {
            let raw = format!(r#"{{"Version":"v1.0.0","Origin":{{"VCS":"git","URL":"{url}"}}}}"#);
            let info = parse(&raw).unwrap();
            let expected = format!(r#"{{"Version":"v1.0.0","Origin":{{"VCS":"git","URL":"{clean}"}}}}"#);
            assert_eq!(String::from_utf8(info.sanitized(raw.as_bytes())).unwrap(), expected);
            assert_eq!(info.origin().unwrap().link().is_some(), link);
        }
        for untouched in ["git@git.example.com:x/y", "javascript:alert(1)", "https://git.example.com/x@y"] {
            let raw = format!(r#"{{"Version":"v1.0.0","Origin":{{"URL":"{untouched}"}}}}"#);
            assert_eq!(parse(&raw).unwrap().sanitized(raw.as_bytes()), raw.as_bytes());
        }
        assert_eq!(Origin { url: "javascript:alert(1)".into(), ..Origin::default() }.link(), None);
    }

    #[test]
    fn a_time_that_json_cannot_say_is_left_out() {
        let version = Version::parse("v1.0.0").unwrap();
        let info = Info::new(version, Some(Timestamp { secs: i64::MIN, nanos: 0 }));
        assert_eq!(info.to_json(), br#"{"Version":"v1.0.0"}"#);
    }
}
