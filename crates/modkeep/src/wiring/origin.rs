//! The `[origin]` section as the origin room understands it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use modkeep_egress::{Credentials, HostPort, OptOut, Pace, user_agent};
use modkeep_http::Announcement;
use modkeep_module::{ModulePath, Patterns};
use modkeep_origin::{Config, Govcs, LoginRule, LoginSource, ProgramConfig, Rewrite, Vanity, Vcs};
use url::Url;

use super::{home_expanded, patterns, readable};
use crate::config::{Credential, Effective, VcsName};
use crate::exit::Failed;

/// How long a credential program may take: it may have to ask a vault, nobody types into it.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// How many programs work at once (hostile-inputs part 1).
const JOBS_MAX: usize = 4;
/// A token is a line; whatever is longer is another file.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;

/// Where modules live and how we get there.
pub(super) fn config(effective: &Effective) -> Result<Config, Failed> {
    let section = &effective.config.origin;
    let patterns_of = |key: &str, globs: &[String]| patterns(effective, key, globs);
    Ok(Config {
        rewrites: rewrites(effective)?,
        logins: logins(effective)?,
        netrc: readable(effective, "origin.netrc", &section.netrc)?,
        vcs: section.vcs.iter().copied().map(vcs).collect(),
        govcs: govcs(effective)?,
        insecure: patterns_of("origin.insecure", &section.insecure)?,
        private: patterns_of("origin.private", &section.private)?,
        ssh: patterns_of("origin.ssh", &section.ssh)?,
        vanity: vanity(effective)?,
        list_ttl: section.list_ttl.0,
        discovery_ttl: section.discovery_ttl.0,
        negative_ttl: section.absent_ttl.0,
    })
}

/// How programs are run: in a jail that this very program keeps.
pub(super) fn programs(effective: &Effective) -> Result<ProgramConfig, Failed> {
    let section = &effective.config.origin;
    let contact = (!section.user_agent_contact.is_empty()).then_some(section.user_agent_contact.as_str());
    Ok(ProgramConfig {
        keeper: vec![PathBuf::from("/proc/self/exe"), PathBuf::from(super::JAIL)],
        path: section.programs.iter().map(PathBuf::from).collect(),
        jobs_max: JOBS_MAX,
        user_agent: user_agent(contact),
        known_hosts: readable(effective, "origin.known_hosts", &section.known_hosts)?,
    })
}

/// Whose owners asked to be left alone.
pub(super) fn opt_out(effective: &Effective) -> Result<Vec<OptOut>, Failed> {
    const KEY: &str = "origin.opt_out";
    let read =
        |text: &String| Ok(OptOut::parse(text).map_err(|error| effective.slip(KEY, error.to_string()))?);
    effective.config.origin.opt_out.iter().map(read).collect()
}

/// The pace, with bursts of three seconds' worth: a question about a new repository is three requests.
pub(super) fn pace(effective: &Effective) -> Pace {
    let pace = effective.config.origin.pace;
    Pace {
        per_second: f64::from(pace.starts) / pace.span.as_secs_f64(),
        burst: pace.starts.saturating_mul(3),
    }
}

/// The targets of rewrite rules: configured infrastructure for the gate.
pub(super) fn places(effective: &Effective) -> Result<Vec<HostPort>, Failed> {
    Ok(rewrites(effective)?.iter().filter_map(|rewrite| HostPort::of(&rewrite.url)).collect())
}

fn vcs(name: VcsName) -> Vcs {
    match name {
        VcsName::Git => Vcs::Git,
        VcsName::Hg => Vcs::Hg,
        VcsName::Svn => Vcs::Svn,
        VcsName::Fossil => Vcs::Fossil,
    }
}

fn govcs(effective: &Effective) -> Result<Option<Govcs>, Failed> {
    const KEY: &str = "origin.govcs";
    match effective.config.origin.govcs.as_str() {
        "" => Ok(None),
        text => Ok(Some(Govcs::parse(text).map_err(|error| effective.slip(KEY, error.to_string()))?)),
    }
}

fn rewrites(effective: &Effective) -> Result<Vec<Rewrite>, Failed> {
    const KEY: &str = "origin.rewrite";
    let rewrite = |rule: &crate::config::Rewrite| {
        if rule.prefix.is_empty() {
            return Err(effective
                .slip(KEY, "the prefix is empty: every repository would be rewritten")
                .into());
        }
        Ok(Rewrite { prefix: rule.prefix.clone(), url: url(effective, KEY, &rule.url)? })
    };
    effective.config.origin.rewrite.iter().map(rewrite).collect()
}

fn vanity(effective: &Effective) -> Result<Vec<Vanity>, Failed> {
    const KEY: &str = "origin.vanity";
    let vanity = |rule: &crate::config::Vanity| {
        let wrong = |reason: String| effective.slip(KEY, format!("{}: {reason}", rule.prefix));
        let root = rule.subdirectory.as_str();
        if root.starts_with(['/', '-'])
            || root.contains(['\\', '*', '?', '['])
            || root.split('/').any(|name| name == "..")
        {
            return Err(wrong(format!("{root:?} is no folder of a repository (V-22)")).into());
        }
        let url = url(effective, KEY, &rule.url)?;
        if url.password().is_some() || (url.scheme() == "https" && !url.username().is_empty()) {
            return Err(wrong("the URL carries a login, and is shown to everybody".to_owned()).into());
        }
        Ok(Vanity {
            prefix: ModulePath::parse(&rule.prefix).map_err(|error| wrong(error.to_string()))?,
            vcs: vcs(rule.vcs),
            url,
            subdirectory: rule.subdirectory.clone(),
        })
    };
    effective.config.origin.vanity.iter().map(vanity).collect()
}

/// The import paths whose pages we serve; [`config`] has checked them.
pub(crate) fn announced(effective: &Effective) -> Vec<Announcement> {
    let announced = |vanity: Vanity| Announcement {
        prefix: vanity.prefix.to_string(),
        vcs: vanity.vcs.name().to_owned(),
        url: vanity.url.to_string(),
        subdirectory: vanity.subdirectory,
    };
    vanity(effective).unwrap_or_default().into_iter().map(announced).collect()
}

fn url(effective: &Effective, key: &str, text: &str) -> Result<Url, Failed> {
    let shown = crate::config::mask_credentials(text);
    Ok(Url::parse(text).map_err(|error| effective.slip(key, format!("{shown:?}: {error}")))?)
}

fn logins(effective: &Effective) -> Result<Vec<LoginRule>, Failed> {
    const KEY: &str = "origin.credential";
    let rule = |rule: &Credential| {
        let wrong = |reason: String| effective.slip(KEY, format!("{}: {reason}", rule.pattern));
        if rule.pattern.is_empty() {
            return Err(effective.slip(KEY, "match is empty: say for which host").into());
        }
        let pattern = Patterns::parse(&rule.pattern).map_err(|error| wrong(error.to_string()))?;
        let source = login_source(rule).map_err(wrong)?;
        Ok(LoginRule { pattern, source })
    };
    effective.config.origin.credential.iter().map(rule).collect()
}

/// The one source that a rule names.
fn login_source(rule: &Credential) -> Result<LoginSource, String> {
    let path = |text: &str| home_expanded(text).map_err(|failed| failed.text);
    match (&rule.netrc, &rule.token_file, &rule.ssh_key_file, &rule.command) {
        (Some(netrc), None, None, None) => Ok(LoginSource::Netrc(path(netrc)?)),
        (None, Some(file), None, None) => {
            let password = token(&path(file)?)?;
            Ok(LoginSource::Http(match &rule.user {
                Some(user) => Credentials::Basic { user: user.clone(), password },
                None => Credentials::Bearer { token: password },
            }))
        }
        (None, None, Some(key), None) => Ok(LoginSource::SshKey(path(key)?)),
        (None, None, None, Some(argv)) if argv.first().is_some_and(|program| program.starts_with('/')) => {
            Ok(LoginSource::Command { argv: argv.clone(), timeout: COMMAND_TIMEOUT })
        }
        (None, None, None, Some(_)) => Err("command begins with the absolute path of a program".to_owned()),
        _ => Err("say one of netrc, token_file, ssh_key_file and command".to_owned()),
    }
}

/// A token from its file, read at the start.
fn token(path: &Path) -> Result<String, String> {
    let wrong = |reason: String| format!("{}: {reason}", path.display());
    let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if size > TOKEN_BYTES_MAX {
        return Err(wrong("too long for a token".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    Ok(text.trim().to_owned())
}
