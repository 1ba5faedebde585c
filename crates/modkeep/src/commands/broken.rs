//! `list --broken`: what is served here and does not stand at its origin any more; and what of a go.sum could not be built
//! without a mirror.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use modkeep_module::gosum::{self, GoSum};
use modkeep_module::{H1, ModulePath, ModuleVersion, Patterns};
use modkeep_origin::{Origin, Watch, Zip};
use modkeep_store::{FileKind, OriginCheck, OriginState, Repository, Store, SystemClock};
use serde_json::json;

use super::{open_read_only, runtime};
use crate::cli::List;
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::Output;
use crate::wiring::{looking, store_config};

pub(super) fn run(
    list: &List,
    wanted: Option<&Patterns>,
    effective: &Effective,
    output: &Output,
) -> Result<Exit, Failed> {
    let wants = |module: &ModulePath| wanted.is_none_or(|wanted| wanted.matches(module.as_str()));
    if let Some(go_sum) = &list.from {
        let named = named_in(go_sum)?;
        let named = named.into_iter().filter(|(version, _)| wants(version.path())).collect();
        return runtime()?.block_on(async {
            let look = Look::beside_others(effective)?;
            from_go_sum(&look, named, output).await
        });
    }
    if list.recheck {
        return runtime()?.block_on(async {
            let look = Look::alone(effective)?;
            recheck(&look, &wants, output).await
        });
    }
    let store = open_read_only(effective)?;
    let checks = runtime()?.block_on(store.origin_checks(None))?;
    let broken = checks.into_iter().filter(|check| check.state != OriginState::Stands);
    let broken: Vec<OriginCheck> = broken.filter(|check| wants(check.version.path())).collect();
    show(&broken, output);
    summary(broken.len(), 0, output);
    Ok(Exit::Done)
}

/// What a look at origins needs.
struct Look {
    /// What is served here.
    kept: Store,
    /// Where passing files lie.
    work: Store,
    origin: Origin,
    _folder: Option<PassingFolder>,
}

impl Look {
    /// As the store's one writer, because what is found will be noted.
    fn alone(effective: &Effective) -> Result<Self, Failed> {
        match Store::open(store_config(effective)?, Arc::new(SystemClock)) {
            Ok(store) => Self::over(effective, store.clone(), store, None),
            Err(error @ modkeep_store::Error::Locked { .. }) => {
                let text = format!(
                    "{error}, which looks at each origin once every [origin] watch; stop it to have all looked at now"
                );
                Err(Failed::new(Exit::Store, text))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Beside a running server too: nothing is noted, and files that pass lie in a folder of their own then.
    fn beside_others(effective: &Effective) -> Result<Self, Failed> {
        let config = store_config(effective)?;
        match Store::open(config.clone(), Arc::new(SystemClock)) {
            Ok(store) => Self::over(effective, store.clone(), store, None),
            Err(modkeep_store::Error::Locked { .. }) => {
                let folder = PassingFolder::new()?;
                let passing = modkeep_store::Config { path: folder.0.join("store"), ..config.clone() };
                let (kept, work) =
                    (Store::open_read_only(config)?, Store::open(passing, Arc::new(SystemClock))?);
                Self::over(effective, kept, work, Some(folder))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn over(
        effective: &Effective,
        kept: Store,
        work: Store,
        folder: Option<PassingFolder>,
    ) -> Result<Self, Failed> {
        work.set_work_bytes_max(effective.config.origin.cache_max.0);
        let origin = looking(effective, &work)?;
        Ok(Self { kept, work, origin, _folder: folder })
    }
}

/// A folder among the system's temporary ones that goes with this value.
struct PassingFolder(PathBuf);

impl PassingFolder {
    fn new() -> Result<Self, Failed> {
        let path = std::env::temp_dir().join(format!("modkeep-look-{}", std::process::id()));
        let mut make = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut make, 0o700);
        // One that is there already is somebody else's.
        make.create(&path)
            .map_err(|error| Failed::new(Exit::Failed, format!("{}: {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for PassingFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // what stays is the system's to clean up
    }
}

/// Asks every origin of what is kept, one after the other.
async fn recheck(at: &Look, wants: &impl Fn(&ModulePath) -> bool, output: &Output) -> Result<Exit, Failed> {
    let watch = Watch::new(at.origin.clone(), at.kept.clone(), Arc::new(|_| {}));
    let mut kept = super::kept::Kept::of(&at.kept);
    let (mut found, mut unasked) = (0, 0);
    while let Some((module, _)) = kept.next(wants).await? {
        if let Err(error) = watch.look_closely(&module).await {
            unasked += 1;
            output.problem(&format!("{module}: {error}"));
        }
        // What is known of it now, with the time since which it is so; of a module that could not be asked, what was known.
        let mut checks = at.kept.origin_checks(Some(&module)).await?;
        checks.retain(|check| check.state != OriginState::Stands);
        found += checks.len();
        show(&checks, output);
    }
    summary(found, unasked, output);
    Ok(if unasked > 0 { Exit::Origin } else { Exit::Done })
}

fn show(checks: &[OriginCheck], output: &Output) {
    for check in checks {
        let since = crate::output::time(check.since);
        output.result(
            || format!("{} {} since {since}: {}", check.version, check.state, check.detail),
            || {
                json!({
                    "path": check.version.path().as_str(),
                    "version": check.version.version().as_str(),
                    "state": check.state.word(),
                    "since": since,
                    "checked_at": crate::output::time(check.checked_at),
                    "detail": check.detail,
                })
            },
        );
    }
}

fn summary(broken: usize, unasked: usize, output: &Output) {
    output.summary(
        || format!("{broken} broken, {unasked} could not be asked"),
        json!({ "broken": broken, "unasked": unasked }),
    );
}

/// The sums that a go.sum has for one version.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    zip: Option<H1>,
    go_mod: Option<H1>,
}

fn named_in(path: &Path) -> Result<BTreeMap<ModuleVersion, Sums>, Failed> {
    let wrong = |reason: String| Failed::new(Exit::Failed, format!("{}: {reason}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let mut named: BTreeMap<ModuleVersion, Sums> = BTreeMap::new();
    for line in GoSum::parse(&bytes).map_err(|error| wrong(error.to_string()))?.lines {
        let version =
            ModuleVersion::new(line.path, line.version).map_err(|error| wrong(error.to_string()))?;
        let sums = named.entry(version).or_default();
        match line.kind {
            gosum::Kind::Zip => sums.zip = Some(line.h1),
            gosum::Kind::GoMod => sums.go_mod = Some(line.h1),
        }
    }
    Ok(named)
}

/// What a look at one version of a go.sum found.
enum Verdict {
    Found(OriginState, String),
    Unasked(String),
}

/// Says of each version whether it could still be built without a mirror. The exit status is 0 where all could, 7 where one
/// makes other bytes now, 5 where one is gone, 8 where one could not be asked.
async fn from_go_sum(
    at: &Look,
    named: BTreeMap<ModuleVersion, Sums>,
    output: &Output,
) -> Result<Exit, Failed> {
    let (mut states, mut unasked) = (BTreeSet::new(), 0);
    let (total, mut broken) = (named.len(), 0);
    for (place, (version, sums)) in named.into_iter().enumerate() {
        output.progress(|| format!("{place} of {total}"));
        let (state, detail) = match look(at, &version, sums).await? {
            Verdict::Found(state, detail) => {
                states.insert(state);
                broken += usize::from(state != OriginState::Stands);
                (state.word(), detail)
            }
            Verdict::Unasked(why) => {
                unasked += 1;
                ("unknown", why)
            }
        };
        if state != OriginState::Stands.word() || output.is_json() {
            output.result(
                || format!("{version} {state}: {detail}"),
                || {
                    let (path, version) = (version.path().as_str(), version.version().as_str());
                    json!({ "path": path, "version": version, "state": state, "detail": detail })
                },
            );
        }
    }
    summary(broken, unasked, output);
    let gone = [OriginState::TagGone, OriginState::RepoGone, OriginState::Login];
    Ok(match () {
        () if states.contains(&OriginState::TagMoved) => Exit::Integrity,
        () if gone.iter().any(|state| states.contains(state)) => Exit::NotFound,
        () if unasked > 0 => Exit::Origin,
        () => Exit::Done,
    })
}

/// Makes of the origin what the go.sum has sums of, and compares.
async fn look(at: &Look, version: &ModuleVersion, sums: Sums) -> Result<Verdict, Failed> {
    use modkeep_origin::Error;
    let stored = at.kept.version(&Repository::main(), version).await?;
    for (kind, sum) in [(FileKind::Mod, sums.go_mod), (FileKind::Zip, sums.zip)] {
        let kept = stored.as_ref().and_then(|record| record.recorded(kind)).map(|recorded| recorded.h1());
        if let (Some(kept), Some(sum)) = (kept, sum)
            && kept != sum
        {
            let detail = format!("the go.sum has {sum} for its {kind}, and this mirror keeps {kept}");
            return Ok(Verdict::Found(OriginState::TagMoved, detail));
        }
    }
    Ok(match made(at, version, sums).await {
        Ok(None) => Verdict::Found(OriginState::Stands, String::new()),
        Ok(Some(differs)) => Verdict::Found(OriginState::TagMoved, differs),
        Err(Error::NoModule { reason }) => Verdict::Found(OriginState::RepoGone, reason),
        Err(Error::NotAVersion { sentence: reason, .. } | Error::NoVersion { reason }) => {
            Verdict::Found(OriginState::TagGone, reason)
        }
        Err(Error::Login { host, reason }) => Verdict::Found(OriginState::Login, format!("{host}: {reason}")),
        Err(error) => Verdict::Unasked(error.to_string()),
    })
}

/// What differs between the go.sum and what the origin makes now, if anything does.
async fn made(
    at: &Look,
    version: &ModuleVersion,
    sums: Sums,
) -> Result<Option<String>, modkeep_origin::Error> {
    let differs =
        |what: &str, sum: H1, now: H1| (sum != now).then(|| format!("its {what} is {now} now, not {sum}"));
    if let Some(sum) = sums.zip {
        let store = at.work.clone();
        let scratch = tokio::task::spawn_blocking(move || store.scratch()).await;
        let trouble = |reason: String| modkeep_origin::Error::Trouble { host: "here".into(), reason };
        let scratch = scratch.map_err(|error| trouble(error.to_string()))?;
        let zip = match at.origin.zip(version, scratch.map_err(modkeep_origin::Error::Store)?).await? {
            Zip::Built(zip) => zip,
            Zip::Sent(scratch) => {
                let version = version.clone();
                let read = move || modkeep_store::FetchedZip::read(scratch, &version);
                let read =
                    tokio::task::spawn_blocking(read).await.map_err(|error| trouble(error.to_string()))?;
                read.map_err(|error| trouble(error.to_string()))?
            }
        };
        if let Some(differs) = differs("zip", sum, zip.facts().h1) {
            return Ok(Some(differs));
        }
    }
    match sums.go_mod {
        Some(sum) => Ok(differs("go.mod", sum, H1::of_go_mod(&at.origin.go_mod(version).await?))),
        None => Ok(None),
    }
}
