//! Which checksum database a command speaks of, how it is reached, and where its memory lies.

use std::path::PathBuf;

use modkeep_log::audit::{Directory, Remote, Source};
use modkeep_tlog::VerifierKey;
use modkeep_upstream::{GoSumDb, redacted};
use tokio::runtime::Runtime;
use url::Url;

use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::wiring::Sources;

/// A checksum database: whose signature is believed, and where it is.
pub(super) struct Place {
    pub(super) key: VerifierKey,
    base: Url,
}

impl Place {
    /// From a known name, a verifier key, `KEY URL`, or a URL whose key stands in `key`.
    pub(super) fn parse(text: &str, key: Option<&str>) -> Result<Self, Failed> {
        let usage = |text: String| Failed::new(Exit::Usage, text);
        let line = match (is_url(text), key) {
            (true, Some(key)) => format!("{key} {text}"),
            (true, None) => {
                return Err(usage(format!("{text}: say whose signature to believe: --key NAME+HASH+KEY")));
            }
            (false, Some(_)) => {
                return Err(usage(format!("{text:?} is no URL; --key goes with a URL")));
            }
            (false, None) => text.to_owned(),
        };
        match GoSumDb::parse(&line).map_err(|error| usage(error.to_string()))? {
            GoSumDb::Off => Err(usage("\"off\" is no checksum database".to_owned())),
            GoSumDb::On { key, url } => {
                let base = match url {
                    Some(url) => url,
                    None => Url::parse(&format!("https://{}", key.name()))
                        .map_err(|error| usage(error.to_string()))?,
                };
                Ok(Self { key, base })
            }
        }
    }

    /// The one that modules are checked against. None is asked unasked for where checking is off: names may be private.
    pub(super) fn configured(effective: &Effective) -> Result<Self, Failed> {
        match effective.config.verify.log.as_str() {
            "default" => Self::parse("sum.golang.org", None),
            "off" => {
                let text = "verify.log is off: say on the command line which checksum database is meant";
                Err(Failed::new(Exit::Usage, text))
            }
            text => Self::parse(text, None),
        }
    }

    /// Its name, which is that of its key.
    pub(super) fn name(&self) -> &str {
        self.key.name()
    }

    /// Where it is, without a login.
    pub(super) fn address(&self) -> String {
        redacted(&self.base)
    }

    /// Whether it is a folder, as `log export` makes one: tiles and heads, and no lookups.
    pub(super) fn is_copy(&self) -> bool {
        self.base.scheme() == "file"
    }

    /// The way to it. Blocks, so not for the runtime's own threads.
    pub(super) fn source(&self, effective: &Effective, runtime: &Runtime) -> Result<Box<dyn Source>, Failed> {
        if self.is_copy() {
            let folder = self.base.to_file_path();
            let folder = folder
                .map_err(|()| Failed::new(Exit::Usage, format!("{}: want file:///PATH", self.address())))?;
            return Ok(Box::new(Directory::new(folder)));
        }
        let _inside = runtime.enter();
        let sources = Sources::of(effective)?;
        let egress = crate::wiring::egress(effective, &sources, std::slice::from_ref(&self.base))?;
        Ok(Box::new(Remote::new(egress, self.base.clone(), runtime.handle().clone())))
    }

    /// The folder that remembers this database between two runs: below the one that was named, else below
    /// `$XDG_STATE_HOME/modkeep` or `~/.local/state/modkeep`.
    pub(super) fn memory(&self, named: Option<&PathBuf>, what: &str) -> Result<PathBuf, Failed> {
        if let Some(folder) = named {
            return Ok(folder.clone());
        }
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
        let Some(state) = state else {
            return Err(Failed::new(Exit::Usage, "HOME is not set; say where to remember: --state DIR"));
        };
        // The name is `host[/path]`, nothing that climbs: parsing made sure of it (A5).
        Ok(state.join("modkeep").join(what).join(self.name()))
    }
}

fn is_url(text: &str) -> bool {
    ["https://", "http://", "file://"].iter().any(|scheme| text.starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

    #[test]
    fn a_database_is_a_name_a_key_or_a_url_with_a_key() {
        let both = format!("{KEY} https://mirror.example/sumdb/sum.golang.org");
        for (text, key, address) in [
            ("sum.golang.org", None, "https://sum.golang.org"),
            (KEY, None, "https://sum.golang.org"),
            (&both, None, "https://mirror.example/sumdb/sum.golang.org"),
            ("http://localhost:8080/log", Some(KEY), "http://localhost:8080/log"),
            ("http://localhost:8080/log", Some("sum.golang.org"), "http://localhost:8080/log"),
            ("file:///srv/log", Some(KEY), "file:///srv/log"),
        ] {
            assert_eq!(Place::parse(text, key).map(|place| place.address()).ok().as_deref(), Some(address));
        }
        for (text, key) in [
            ("http://localhost:8080/log", None),
            ("http://localhost:8080/log", Some("nonsense")),
            ("sums.example", None),
            ("sum.golang.org", Some(KEY)),
            ("off", None),
        ] {
            assert!(Place::parse(text, key).is_err_and(|failed| failed.exit == Exit::Usage), "{text}");
        }
    }
}
