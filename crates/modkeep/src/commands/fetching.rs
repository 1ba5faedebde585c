//! What `get` and `prefetch` share: many wishes, a few at a time, through our own store or a running server.

use std::sync::Arc;

use modkeep_egress::{Egress, Encoding, Limits, Request};
use modkeep_fetch::{Failure, Fetch, Reach};
use modkeep_module::goproxy::{self, Ask};
use modkeep_module::{H1, Info, ModulePath, ModuleVersion, VersionOrQuery};
use modkeep_store::{FileKind, Repository, Store};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use url::Url;

use crate::cli::Fetching;
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::Output;
use crate::wiring::{House, Sources};

/// How much of a refusal's text is repeated.
const REFUSAL_MAX: u64 = 4 * 1024;

/// One thing that somebody wants here.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) path: ModulePath,
    pub(super) version: Wanted,
    /// The go.mod alone, as a go.sum line that ends in `/go.mod` asks.
    pub(super) go_mod_only: bool,
    /// What a go.sum says about the zip, and about the go.mod.
    pub(super) sums: Sums,
}

/// Sums that the wisher knows already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) zip: Option<H1>,
    pub(super) go_mod: Option<H1>,
}

/// Which version.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    /// What `@latest` answers.
    Latest,
    /// A version, or a query such as a branch.
    Named(VersionOrQuery),
}

impl Wish {
    /// Reads `module@version`, `module@query` or `module@latest`; a bare module means its latest version.
    pub(super) fn parse(text: &str) -> Result<Self, Failed> {
        let wrong = |reason: String| Failed::new(Exit::Usage, format!("{text:?}: {reason}"));
        let (path, version) = text.split_once('@').unwrap_or((text, "latest"));
        let path = ModulePath::parse(path).map_err(|error| wrong(error.to_string()))?;
        let version = match version {
            "latest" => Wanted::Latest,
            named => {
                Wanted::Named(VersionOrQuery::parse(&path, named).map_err(|error| wrong(error.to_string()))?)
            }
        };
        Ok(Self { path, version, go_mod_only: false, sums: Sums::default() })
    }

    fn text(&self) -> String {
        match &self.version {
            Wanted::Latest => format!("{}@latest", self.path),
            Wanted::Named(VersionOrQuery::Version(version)) => format!("{}@{version}", self.path),
            Wanted::Named(VersionOrQuery::Query(query)) => format!("{}@{query}", self.path),
        }
    }
}

/// Where wishes are granted.
#[derive(Clone)]
enum Via {
    Here { fetch: Fetch, store: Store },
    Server { egress: Egress, base: Url },
}

/// Grants wishes, says how each went, and sums up.
pub(super) fn run(
    wishes: Vec<Wish>,
    how: &Fetching,
    effective: &Effective,
    output: &Output,
) -> Result<Exit, Failed> {
    super::runtime()?.block_on(async {
        let sources = Sources::of(effective)?;
        if let Some(server) = &how.server {
            let (egress, base) = server_of(server, effective, &sources)?;
            return Ok(grant_all(wishes, how.jobs, Via::Server { egress, base }, output).await);
        }
        let house = House::build(effective, &sources, modkeep_fetch::unobserved())?;
        let via = Via::Here { fetch: house.fetch.clone(), store: house.store.clone() };
        let exit = grant_all(wishes, how.jobs, via, output).await;
        house.close().await;
        Ok(exit)
    })
}

/// A running modkeep, and the way to it.
pub(super) fn server_of(
    server: &str,
    effective: &Effective,
    sources: &Sources,
) -> Result<(Egress, Url), Failed> {
    let base = Url::parse(server)
        .map_err(|error| Failed::new(Exit::Usage, format!("--server {server}: {error}")))?;
    let egress = crate::wiring::egress(effective, sources, std::slice::from_ref(&base))?;
    Ok((egress, base))
}

async fn grant_all(wishes: Vec<Wish>, jobs: u16, via: Via, output: &Output) -> Exit {
    let total = wishes.len();
    let turns = Arc::new(Semaphore::new(usize::from(jobs)));
    let mut running = JoinSet::new();
    for wish in wishes {
        let (via, turns) = (via.clone(), Arc::clone(&turns));
        running.spawn(async move {
            let _turn = turns.acquire_owned().await;
            let granted = via.grant(&wish).await;
            (wish, granted)
        });
    }
    let mut tally = Tally::default();
    while let Some(done) = running.join_next().await {
        let Ok((wish, granted)) = done else { continue };
        tally.note(&wish, granted, output);
        output.progress(|| format!("{} of {total}", tally.done + tally.failed));
    }
    output.summary(
        || format!("{} fetched, {} failed", tally.done, tally.failed),
        json!({ "fetched": tally.done, "failed": tally.failed }),
    );
    tally.exit()
}

#[derive(Default)]
struct Tally {
    done: usize,
    failed: usize,
    worst: Option<Exit>,
}

impl Tally {
    fn note(&mut self, wish: &Wish, granted: Result<ModuleVersion, Failed>, output: &Output) {
        match granted {
            Ok(version) => {
                self.done += 1;
                output.result(
                    || version.to_string(),
                    || json!({ "path": version.path().as_str(), "version": version.version().as_str(), "ok": true }),
                );
            }
            Err(failed) => {
                self.failed += 1;
                // Wrong bytes are the news that must not be lost among the rest.
                if self.worst != Some(Exit::Integrity) {
                    self.worst = Some(failed.exit);
                }
                if output.is_json() {
                    output.result(
                        String::new,
                        || json!({ "wish": wish.text(), "ok": false, "error": failed.text }),
                    );
                } else {
                    output.problem(&format!("{}: {}", wish.text(), failed.text));
                }
            }
        }
    }

    fn exit(&self) -> Exit {
        match self.worst {
            None => Exit::Done,
            Some(Exit::Integrity) => Exit::Integrity,
            Some(_) if self.done > 0 => Exit::Partly,
            Some(exit) => exit,
        }
    }
}

impl Via {
    async fn grant(&self, wish: &Wish) -> Result<ModuleVersion, Failed> {
        let version = self.resolve(wish).await?;
        self.obtain(&version, Ask::Mod(version.version().clone())).await?;
        // Nobody asks for the .info of a version of which a build needs the go.mod alone.
        if !wish.go_mod_only {
            let info = VersionOrQuery::Version(version.version().clone());
            self.obtain(&version, Ask::Info(info)).await?;
            self.obtain(&version, Ask::Zip(version.version().clone())).await?;
        }
        self.compare(&version, wish.sums).await?;
        Ok(version)
    }

    async fn resolve(&self, wish: &Wish) -> Result<ModuleVersion, Failed> {
        let ask = match &wish.version {
            Wanted::Named(VersionOrQuery::Version(version)) => return fitting(&wish.path, version.clone()),
            Wanted::Named(query) => Ask::Info(query.clone()),
            Wanted::Latest => Ask::Latest,
        };
        let bytes = match self {
            Self::Here { fetch, .. } => {
                let answer = match &ask {
                    Ask::Info(VersionOrQuery::Query(query)) => {
                        fetch.query(&wish.path, query, Reach::MayFetch).await
                    }
                    _ => fetch.latest(&wish.path, Reach::MayFetch).await,
                };
                answer.map_err(|failure| of_fetch(&failure))?.bytes.to_vec()
            }
            Self::Server { .. } => self.ask_server(&wish.path, ask, u64::from(u16::MAX)).await?,
        };
        let info = Info::parse(&bytes).map_err(|error| Failed::new(Exit::Origin, error.to_string()))?;
        fitting(&wish.path, info.version().clone())
    }

    async fn obtain(&self, of: &ModuleVersion, ask: Ask) -> Result<(), Failed> {
        let Self::Here { fetch, .. } = self else {
            return self.ask_server(of.path(), ask, 0).await.map(drop);
        };
        let got = match ask {
            Ask::Mod(_) => fetch.go_mod(of, Reach::MayFetch).await,
            Ask::Zip(_) => fetch.zip(of, Reach::MayFetch).await,
            _ => fetch.info(of, Reach::MayFetch).await,
        };
        got.map(drop).map_err(|failure| of_fetch(&failure))
    }

    /// Asks a running modkeep; it fetches, verifies and keeps. At most `keep` bytes of the body are returned.
    async fn ask_server(&self, path: &ModulePath, about: Ask, keep: u64) -> Result<Vec<u8>, Failed> {
        let Self::Server { egress, base } = self else { return Ok(Vec::new()) };
        let request = goproxy::Request { path: path.clone(), ask: about };
        ask(egress, base, &request.to_path(), keep).await
    }

    /// Holds what is kept against the sums that the wisher brought.
    async fn compare(&self, of: &ModuleVersion, sums: Sums) -> Result<(), Failed> {
        let Self::Here { store, .. } = self else { return Ok(()) };
        let Some(record) = store.version(&Repository::main(), of).await? else { return Ok(()) };
        for (name, wanted, kept) in [
            (FileKind::Zip, sums.zip, record.zip.map(|zip| zip.h1)),
            (FileKind::Mod, sums.go_mod, record.go_mod.map(|go_mod| go_mod.h1)),
        ] {
            if let (Some(wanted), Some(kept)) = (wanted, kept)
                && wanted != kept
            {
                return Err(Failed::new(
                    Exit::Integrity,
                    format!("{name}: go.sum says {wanted}, verified and kept is {kept}"),
                ));
            }
        }
        Ok(())
    }
}

/// Asks a running modkeep for a path below its base URL. At most `keep` bytes of the body are returned.
pub(super) async fn ask(egress: &Egress, base: &Url, path: &str, keep: u64) -> Result<Vec<u8>, Failed> {
    let away = |error: &dyn std::fmt::Display| Failed::new(Exit::Origin, error.to_string());
    let url = format!("{}/{path}", base.as_str().trim_end_matches('/'));
    let url = Url::parse(&url).map_err(|error| away(&error))?;
    let limits = Limits { bytes_max: 600 << 20, ..Limits::default() };
    let asked = Request { encoding: Encoding::Plain, limits, ..Request::named(url) };
    let mut response = egress.get(asked).await.map_err(|error| away(&error))?;
    let code = response.headers.get("x-modkeep-code").and_then(|code| code.to_str().ok());
    let code = code.unwrap_or_default().to_owned();
    let keep = if response.status == 200 { keep } else { REFUSAL_MAX };
    let mut body = Vec::new();
    while let Some(chunk) = response.body.chunk().await.map_err(|error| away(&error))? {
        let room = usize::try_from(keep).unwrap_or(usize::MAX).saturating_sub(body.len());
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    if response.status == 200 { Ok(body) } else { Err(of_server(response.status, &code, &body)) }
}

fn fitting(path: &ModulePath, version: modkeep_module::Version) -> Result<ModuleVersion, Failed> {
    ModuleVersion::new(path.clone(), version).map_err(|error| Failed::new(Exit::Failed, error.to_string()))
}

/// The exit code that a failure of our own fetch means.
pub(super) fn of_fetch(failure: &Failure) -> Failed {
    let exit = match failure {
        Failure::NoSuchVersion { .. }
        | Failure::NoSuchModule { .. }
        | Failure::Unlisted { .. }
        | Failure::NotCached { .. }
        | Failure::BadContent { .. }
        | Failure::TooLarge { .. }
        | Failure::Offline { .. } => Exit::NotFound,
        Failure::Checksum { .. } | Failure::LogInconsistent { .. } | Failure::Corrupt { .. } => {
            Exit::Integrity
        }
        Failure::LogPrivate { .. } | Failure::LogDenied { .. } => Exit::Policy,
        Failure::Storage { .. } => Exit::Store,
        Failure::Stopping { .. } => Exit::Interrupted,
        Failure::Internal { .. } => Exit::Failed,
        _ => Exit::Origin,
    };
    let text = match failure {
        Failure::LogPrivate { .. } => format!("{failure}; verify.unchecked can name it as not to be checked"),
        _ => failure.to_string(),
    };
    Failed::new(exit, text)
}

/// The same for a server's refusal, with the first line of what it said.
fn of_server(status: u16, code: &str, body: &[u8]) -> Failed {
    let exit = match (status, code) {
        (_, "checksum" | "log-inconsistent") => Exit::Integrity,
        (404 | 410, _) => Exit::NotFound,
        (403, _) => Exit::Policy,
        _ => Exit::Origin,
    };
    let said = String::from_utf8_lossy(body);
    let line = said
        .lines()
        .next()
        .filter(|line| !line.is_empty())
        .map_or_else(|| format!("status {status}"), str::to_owned);
    Failed::new(exit, line)
}
