//! From a module path to the place where it lives (versions-and-origins sections 1 and 2).
//!
//! In this order: what the configuration says of a prefix, six well-known hosts, a qualifier such as `.git` in the path
//! ([`static_hosts`]), and the go-import page of the path's own host ([`discovery`]). Nothing but the last asks anybody.
//! What was found out is believed for a while (V-23). From there it is one step to the [`Remote`]: rewriting, the rules
//! of schemes, and the login ([`remote`], [`logins`]).

mod discovery;
pub(crate) mod govcs;
mod logins;
mod memory;
mod meta;
mod netrc;
mod remote;
mod static_hosts;
#[cfg(test)]
mod tests;
mod xml_names;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use modkeep_egress::Egress;
use modkeep_module::{ModulePath, unicode};
use modkeep_store::Clock;
use url::Url;

use self::discovery::{Discovered, Discovery, excerpt};
use self::logins::Logins;
use self::memory::Memory;
use self::meta::Import;
use self::static_hosts::{Told, is_path_prefix};
use crate::config::Config;
use crate::error::Error;
use crate::place::{Place, Remote, RepositoryPlace, Vcs};

/// Bounds of [`Config::discovery_ttl`] and [`Config::negative_ttl`] (V-23).
const DISCOVERY_TTL: std::ops::RangeInclusive<Duration> = Duration::from_mins(10)..=Duration::from_hours(1);
const NEGATIVE_TTL_MAX: Duration = Duration::from_mins(30);
/// How long a place found earlier stands in for a host that is in trouble, before the host is asked again.
const STAND_IN: Duration = Duration::from_mins(1);

/// Says which of several schemes a repository answers by (V-4).
pub(crate) trait Probe: Send + Sync {
    /// Whether the repository is there: `Ok` if it told its refs, or whatever shows that it is one.
    fn answers<'a>(&'a self, vcs: Vcs, remote: &'a Remote) -> BoxFuture<'a, Result<(), Error>>;
}

/// Knows where modules live, and the way there. Cheap to share; all state is within.
#[derive(Debug)]
pub(crate) struct Resolver {
    config: Config,
    egress: Egress,
    logins: Logins,
    discovery: Discovery,
    places: Memory<Lookup>,
}

impl Resolver {
    /// Nothing is asked yet.
    pub(crate) fn new(config: &Config, egress: Egress, clock: Arc<dyn Clock>) -> Self {
        let config = config.clone();
        let lifetime = config.discovery_ttl.clamp(*DISCOVERY_TTL.start(), *DISCOVERY_TTL.end());
        let negative_lifetime = config.negative_ttl.min(NEGATIVE_TTL_MAX);
        let roots = Memory::new(Arc::clone(&clock));
        Self {
            logins: Logins::new(config.logins.clone(), config.netrc.clone(), Arc::clone(&clock)),
            discovery: Discovery { egress: egress.clone(), roots, lifetime, negative_lifetime },
            places: Memory::new(clock),
            config,
            egress,
        }
    }

    /// Where a module lives (V-1). `probe` is asked only where a path with a qualifier leaves the scheme open.
    ///
    /// # Errors
    /// [`Error::NoModule`] with the go command's words where the path leads nowhere; [`Error::Login`] where its page is
    /// closed; the rest is policy or trouble, and not remembered.
    ///
    /// Cancel safe: whoever asks next begins anew.
    pub(crate) async fn place(&self, module: &ModulePath, probe: &dyn Probe) -> Result<Place, Error> {
        if let Some(place) = self.configured(module) {
            return place;
        }
        let path = module.as_str();
        let told = static_hosts::told(path)?;
        if let Told::Repository { root, vcs, url } = told {
            self.check_vcs(vcs, &root)?;
            return Ok(repository(root, vcs, url, String::new()));
        }
        let ask = |last| async {
            let found = match told {
                Told::AnyScheme { root, vcs, address } => {
                    self.by_scheme(module, root, vcs, &address, probe).await
                }
                _ => self.by_page(path).await,
            };
            Self::compared(module, last, found)
        };
        let lifetime = |answer: &Lookup| match answer {
            Lookup::StandIn(_) => STAND_IN,
            Lookup::Fresh(found) => {
                discovery::lifetime(found, self.discovery.lifetime, self.discovery.negative_lifetime)
            }
        };
        self.places.get(path, ask, lifetime).await.into_result()
    }

    /// What `[[origin.vanity]]` says of the longest prefix of the path.
    fn configured(&self, module: &ModulePath) -> Option<Result<Place, Error>> {
        let speaks = |prefix: &ModulePath| is_path_prefix(prefix.as_str(), module.as_str());
        let fitting = self.config.vanity.iter().filter(|vanity| speaks(&vanity.prefix));
        let vanity = fitting.max_by_key(|vanity| vanity.prefix.as_str().len())?;
        let root = vanity.prefix.as_str().to_owned();
        let place =
            || repository(root.clone(), vanity.vcs, vanity.url.to_string(), vanity.subdirectory.clone());
        Some(self.check_vcs(vanity.vcs, &root).map(|()| place()))
    }

    /// Tries the schemes of a path with a qualifier, in the go command's order (V-4). One that is left needs no trial.
    async fn by_scheme(
        &self,
        module: &ModulePath,
        root: String,
        vcs: Vcs,
        address: &str,
        probe: &dyn Probe,
    ) -> Result<Place, Error> {
        if !is_path_prefix(&root, module.as_str()) {
            return Err(no_module(format!("mismatched repo: found {root} for {module}")));
        }
        self.check_vcs(vcs, &root)?;
        let mut ways = Vec::new();
        for scheme in remote::schemes(vcs) {
            let place = bare(&root, vcs, format!("{scheme}://{address}"));
            if let Ok(remote) = self.remote(module, &place).await {
                ways.push((place, remote));
            }
        }
        if ways.len() == 1 {
            return Ok(Place::Repository(ways.remove(0).0));
        }
        let mut trouble = None;
        for (place, remote) in ways {
            match probe.answers(vcs, &remote).await {
                Ok(()) => return Ok(Place::Repository(place)),
                Err(error) if error.is_absence() => {}
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        let secure = if self.is_insecure(module) { "" } else { "secure " };
        Err(trouble.unwrap_or_else(|| no_module(format!("no {secure}protocol found for repository"))))
    }

    async fn by_page(&self, path: &str) -> Result<Place, Error> {
        let is_insecure = self.config.insecure.matches(path);
        let found = match self.discovery.discover(path, is_insecure, &self.logins).await {
            Ok(found) => self.accepted(&found, is_insecure),
            Err(error) => Err(error),
        };
        found.map_err(|error| match error {
            Error::NoModule { reason } => {
                no_module(format!("unrecognized import path {}: {reason}", unicode::quoted(path)))
            }
            other => other,
        })
    }

    /// Checks what a tag says (V-19, V-20, V-22); a `mod` tag is no matter of GOVCS (V-21).
    fn accepted(&self, found: &Discovered, is_insecure: bool) -> Result<Place, Error> {
        let Discovered { import, page } = found;
        let Import { prefix, vcs, root, subdirectory } = import;
        if let Err(reason) = check_subdirectory(subdirectory) {
            let subdirectory = unicode::quoted(&excerpt(subdirectory)).to_string();
            return Err(no_module(format!("{page}: invalid subdirectory {subdirectory}: {reason}")));
        }
        let url = remote::parse(root)
            .map_err(|reason| no_module(format!("{page}: invalid repo root: {reason}")))?;
        if vcs == "mod" {
            return self.proxy(url, is_insecure);
        }
        let known = [Vcs::Git, Vcs::Hg, Vcs::Svn, Vcs::Fossil].into_iter().find(|known| known.name() == vcs);
        let Some(vcs) = known else {
            let vcs = unicode::quoted(&excerpt(vcs)).to_string();
            return Err(no_module(format!("{page}: unknown vcs {vcs}")));
        };
        self.check_vcs(vcs, prefix)?;
        Ok(repository(prefix.clone(), vcs, root.clone(), subdirectory.clone()))
    }

    /// The base of a `mod` tag. Where it really leads is for the gate to judge, but an address is nobody's name (D03).
    fn proxy(&self, base: Url, is_insecure: bool) -> Result<Place, Error> {
        let refused = |reason: &str| Error::Refused {
            host: base.host_str().unwrap_or_default().to_owned(),
            reason: reason.to_owned(),
        };
        if !self.egress.is_configured(&base) {
            if remote::is_address(&base) {
                return Err(refused("a page may not send us to an address; [egress] allow can name it"));
            }
            if base.scheme() == "http" && !is_insecure {
                return Err(refused(
                    "http:// is not secure; [origin] insecure names the modules that may use it",
                ));
            }
        }
        match base.scheme() {
            "https" | "http" => Ok(Place::Proxy { base }),
            scheme => {
                Err(no_module(format!("invalid proxy URL scheme (must be https, http, file): {scheme}")))
            }
        }
    }

    /// Whether this system may be used for this root: `[origin] vcs`, then GOVCS (C24).
    fn check_vcs(&self, vcs: Vcs, root: &str) -> Result<(), Error> {
        let is_private = self.config.private.matches(root);
        let is_spoken = self.config.vcs.contains(&vcs);
        let is_allowed = self.config.govcs.as_ref().is_none_or(|govcs| govcs.allows(root, is_private, vcs));
        if is_spoken && is_allowed {
            return Ok(());
        }
        let what = if is_private { "private" } else { "public" };
        let setting = if is_spoken { "[origin] govcs" } else { "[origin] vcs" };
        let (vcs, root) = (vcs.name(), excerpt(root));
        Err(no_module(format!(
            "GOVCS disallows using {vcs} for {what} {root}; see 'go help vcs' and {setting} of this server"
        )))
    }

    /// What to make of an answer beside the one before: a host in trouble does not make a place unknown, and a place
    /// that has changed is told (D14). What that means for versions that are stored, [`crate::watch`] finds out.
    fn compared(module: &ModulePath, last: Option<Lookup>, found: Result<Place, Error>) -> Lookup {
        let Some(Ok(before)) = last.map(Lookup::into_result) else { return Lookup::Fresh(found) };
        match found {
            Err(error) if !error.is_absence() => {
                tracing::debug!(%module, %error, "its page is in trouble: the place known before stands in");
                return Lookup::StandIn(before);
            }
            Ok(ref now) if *now != before => tracing::warn!(%module, ?before, ?now, "the module has moved"),
            _ => {}
        }
        Lookup::Fresh(found)
    }

    /// How to get at a repository: rewriting, the rules of schemes (V-22), the login.
    ///
    /// # Errors
    /// [`Error::Refused`] for a scheme that the configuration does not open, [`Error::NoModule`] for one that is never
    /// spoken, [`Error::Trouble`] where a login cannot be had.
    pub(crate) async fn remote(&self, module: &ModulePath, place: &RepositoryPlace) -> Result<Remote, Error> {
        let is_insecure = self.is_insecure(module);
        let rewritten = remote::rewritten(&self.config.rewrites, &place.url)?;
        let is_rewritten = rewritten.is_some();
        let url = if let Some(url) = rewritten {
            url
        } else {
            let invalid = |reason| no_module(format!("invalid repo root: {reason}"));
            let url = remote::parse(&place.url).map_err(invalid)?;
            remote::check_scheme(&self.config, &self.egress, place.vcs, &url, is_insecure)?;
            url
        };
        self.egress.check_opt_out(&url).map_err(|error| Error::of_egress(&error))?;
        Ok(Remote {
            original: place.url.clone(),
            login: self.logins.for_repository(&url).await?,
            configured: is_rewritten || self.egress.is_configured(&url),
            insecure: is_insecure,
            url,
        })
    }

    fn is_insecure(&self, module: &ModulePath) -> bool {
        self.config.insecure.matches(module.as_str())
    }
}

/// What the memory of places holds.
#[derive(Clone, Debug)]
enum Lookup {
    Fresh(Result<Place, Error>),
    StandIn(Place),
}

impl Lookup {
    fn into_result(self) -> Result<Place, Error> {
        match self {
            Self::Fresh(found) => found,
            Self::StandIn(place) => Ok(place),
        }
    }
}

fn repository(root: String, vcs: Vcs, url: String, subdirectory: String) -> Place {
    Place::Repository(RepositoryPlace { root, vcs, url, subdirectory })
}

fn bare(root: &str, vcs: Vcs, url: String) -> RepositoryPlace {
    RepositoryPlace { root: root.to_owned(), vcs, url, subdirectory: String::new() }
}

/// The go command's two rules of subdirectories, and ours (V-19, V-22).
fn check_subdirectory(subdirectory: &str) -> Result<(), &'static str> {
    if subdirectory.starts_with('/') {
        return Err("leading slash");
    }
    if subdirectory.starts_with('-') {
        return Err("leading hyphen");
    }
    if subdirectory.split('/').any(|element| element == "..") {
        return Err("an element that leads out of the repository");
    }
    if subdirectory.chars().any(|c| "\\*?[]:".contains(c) || c.is_control()) {
        return Err("characters that do not belong there");
    }
    Ok(())
}

fn no_module(reason: String) -> Error {
    Error::NoModule { reason }
}
