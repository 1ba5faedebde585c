//! One file for each command, and what they share: the configuration, the store, the runtime.

mod audit;
mod audit_watch;
mod backup;
mod broken;
mod completion;
mod config;
mod database;
mod export;
mod fetching;
mod fsck;
mod get;
mod import;
mod kept;
mod list;
mod log;
mod prefetch;
mod proof;
mod serve;
mod show;
mod verify;
mod witness;

use std::path::PathBuf;

use modkeep_module::{ModulePath, ModuleVersion, Version};
use modkeep_store::Store;

use crate::cli::{Cli, Command, LogCommand, WitnessCommand};
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::Output;

/// Does what the command line asks.
pub(crate) fn run(cli: &Cli, output: &Output) -> Result<Exit, Failed> {
    match &cli.command {
        Command::Completion { shell } => return Ok(completion::run(*shell, output)),
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            output.result(|| format!("modkeep {version}"), || serde_json::json!({ "version": version }));
            return Ok(Exit::Done);
        }
        Command::Config(crate::cli::ConfigCommand::Init) => return Ok(config::init(output)),
        Command::Log(LogCommand::Keygen(keygen)) => return log::keygen(keygen, output),
        Command::Witness(WitnessCommand::Keygen(make)) => return witness::keygen(make, output),
        _ => {}
    }
    let effective = configuration(cli)?;
    match &cli.command {
        Command::Serve(serve) => serve::run(serve, cli.global.color, &effective, output),
        Command::Get(get) => get::run(get, &effective, output),
        Command::Prefetch(prefetch) => prefetch::run(prefetch, &effective, output),
        Command::Import(import) => import::run(import, &effective, output),
        Command::Export(export) => export::run(export, &effective, output),
        Command::List(list) => list::run(list, &effective, output),
        Command::Show(show) => show::run(show, &effective, output),
        Command::Fsck(fsck) => fsck::run(fsck, &effective, output),
        Command::Backup(backup) => backup::backup(backup, &effective, output),
        Command::Restore(restore) => backup::restore(restore, &effective, output),
        Command::Verify(verify) => verify::run(verify, &effective, output),
        Command::Audit(audit) => audit::run(audit, &effective, output),
        Command::Proof(command) => proof::run(command, &effective, output),
        Command::Witness(command) => witness::run(command, cli.global.color, &effective, output),
        Command::Config(command) => Ok(config::run(command, &effective, output)),
        Command::Log(LogCommand::Status) => log::status(&effective, output),
        Command::Log(LogCommand::Fsck(fsck)) => log::fsck(fsck, &effective, output),
        Command::Log(LogCommand::Export(export)) => log::export(export, &effective, output),
        Command::Log(LogCommand::Rebuild(rebuild)) => log::rebuild(rebuild, &effective, output),
        Command::Log(LogCommand::Recover(recover)) => log::recover(recover, &effective, output),
        Command::Log(LogCommand::Import(import)) => log::import(import, &effective, output),
        Command::Completion { .. } | Command::Version | Command::Log(LogCommand::Keygen(_)) => Ok(Exit::Done),
    }
}

/// Every layer of the configuration, laid in order: Go's variables, the file, our variables, flags.
fn configuration(cli: &Cli) -> Result<Effective, Failed> {
    let variable = |name: &str| std::env::var(name).ok();
    let mut settings = crate::config::go_environment(variable);
    for file in configuration_files(cli, variable) {
        settings.extend(crate::config::file(&file)?);
    }
    let readable = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    settings.extend(crate::config::environment(readable)?);
    settings.extend(cli.settings());
    Ok(Effective::new(settings)?)
}

/// The file that was named, or the first on the search path; beside the system's one, its `conf.d` in order of name.
fn configuration_files(cli: &Cli, variable: impl Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    if let Some(named) = &cli.global.config {
        return vec![named.clone()];
    }
    let Some(found) = crate::config::search_path(variable).into_iter().find(|path| path.exists()) else {
        return Vec::new();
    };
    let mut files = vec![found.clone()];
    if let Some(dir) = found.parent().filter(|dir| dir.starts_with("/etc"))
        && let Ok(entries) = std::fs::read_dir(dir.join("conf.d"))
    {
        let mut more: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        more.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        more.sort();
        files.extend(more);
    }
    files
}

/// The runtime of a command that does one thing and ends.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// The store for reading, beside a running server or at rest.
fn open_read_only(effective: &Effective) -> Result<Store, Failed> {
    let config = crate::wiring::store_config(effective)?;
    if !config.path.exists() {
        let text = format!(
            "{}: there is no store yet; \"modkeep serve\" or \"modkeep get\" makes one",
            config.path.display()
        );
        return Err(Failed::new(Exit::Store, text));
    }
    Ok(Store::open_read_only(config)?)
}

/// `module@version` as it stands in arguments and lists: a canonical version that fits the path.
fn module_version(text: &str) -> Result<ModuleVersion, Failed> {
    let wrong = |reason: String| Failed::new(Exit::Usage, format!("{text:?}: {reason}"));
    let (path, version) =
        text.split_once('@').ok_or_else(|| wrong("write it as module@version".to_owned()))?;
    let path = ModulePath::parse(path).map_err(|error| wrong(error.to_string()))?;
    let version = Version::parse(version).map_err(|error| wrong(error.to_string()))?;
    ModuleVersion::new(path, version).map_err(|error| wrong(error.to_string()))
}
