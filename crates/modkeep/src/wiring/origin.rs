//! The `[origin]` section as the origin room understands it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use modkeep_egress::{CrawlRules, Credentials, HostPort, OptOut, Pace, user_agent};
use modkeep_http::Announcement;
use modkeep_module::{ModulePath, Patterns};
use modkeep_origin::{Config, Govcs, LoginRule, LoginSource, ProgramConfig, Rewrite, Vanity, Vcs};
use url::Url;

use super::{home_expanded, module_patterns, patterns, readable};
use crate::config::{Credential, Effective, Robots, VcsName};
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
    Ok(Config {
        rewrites: rewrites(effective)?,
        logins: logins(effective)?,
        netrc: netrc(effective)?,
        vcs: section.vcs.iter().copied().map(vcs).collect(),
        govcs: govcs(effective)?,
        insecure: module_patterns(effective, "origin.insecure", &section.insecure)?,
        private: module_patterns(effective, "origin.private", &section.private)?,
        ssh: patterns(effective, "origin.ssh", &section.ssh)?,
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
    let programs = ProgramConfig {
        keeper: vec![PathBuf::from("/proc/self/exe"), PathBuf::from(super::JAIL)],
        path: section.programs.iter().map(PathBuf::from).collect(),
        jobs_max: JOBS_MAX,
        user_agent: user_agent(contact),
        known_hosts: readable(effective, "origin.known_hosts", &section.known_hosts)?,
    };
    if let Some(folder) = programs.path.iter().find(|folder| !folder.is_absolute()) {
        let reason = format!("{}: say where it is from the root on, as in \"/usr/bin\"", folder.display());
        return Err(effective.slip("origin.programs", reason).into());
    }
    for (key, program, wanted_by) in wanted(effective) {
        if !programs.has(program) {
            let folders = section.programs.join(", ");
            let reason = format!(
                "{wanted_by:?} needs the program {program}, which is not in {folders}: install it, name its folder in [origin] programs, or do without"
            );
            return Err(effective.slip(key, reason).into());
        }
    }
    Ok(programs)
}

/// The programs that the configuration cannot do without: the key, the program, and the value that wants it. git over HTTP
/// wants none.
fn wanted(effective: &Effective) -> Vec<(&'static str, &'static str, String)> {
    let section = &effective.config.origin;
    let spoken = section.vcs.iter().copied().map(vcs).filter(|vcs| *vcs != Vcs::Git);
    let mut wanted: Vec<_> = spoken.map(|vcs| ("origin.vcs", vcs.name(), vcs.name().to_owned())).collect();
    let over_ssh = section.ssh.iter().map(|host| ("origin.ssh", host));
    let rewritten = section.rewrite.iter().filter(|rule| rule.url.starts_with("ssh:"));
    for (key, wanted_by) in over_ssh.chain(rewritten.map(|rule| ("origin.rewrite", &rule.url))) {
        wanted.extend(["git", "ssh"].map(|program| (key, program, wanted_by.clone())));
    }
    wanted
}

/// The netrc file. One that Go's variable names may be missing, as there.
fn netrc(effective: &Effective) -> Result<Option<PathBuf>, Failed> {
    const KEY: &str = "origin.netrc";
    match readable(effective, KEY, &effective.config.origin.netrc) {
        Err(_) if effective.is_from_go(KEY) => Ok(None),
        file => file,
    }
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

/// Whose rules of crawling we obey.
pub(super) fn crawl_rules(effective: &Effective) -> CrawlRules {
    match effective.config.origin.robots {
        Robots::Ours => CrawlRules::Ours,
        Robots::All => CrawlRules::Everybodys,
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
    let mut rewrites: Vec<Rewrite> = Vec::new();
    for rule in &effective.config.origin.rewrite {
        let wrong = |reason: &str| effective.slip(KEY, format!("prefix {:?}: {reason}", rule.prefix));
        if !rule.prefix.contains("://") {
            return Err(wrong(
                "repositories are named by URLs; begin with a scheme, as in \"https://github.com/\"",
            )
            .into());
        }
        if rewrites.iter().any(|known| known.prefix == rule.prefix) {
            return Err(wrong("stands here twice; keep one of its rules").into());
        }
        let url = url(effective, KEY, &rule.url)?;
        check_target(rule, &url).map_err(|reason| {
            effective.slip(KEY, format!("url {:?}: {reason}", crate::config::mask_credentials(&rule.url)))
        })?;
        rewrites.push(Rewrite { prefix: rule.prefix.clone(), url });
    }
    Ok(rewrites)
}

/// Whether repositories can be found behind the target of a rule.
fn check_target(rule: &crate::config::Rewrite, url: &Url) -> Result<(), String> {
    if url.password().is_some() || (url.scheme() != "ssh" && !url.username().is_empty()) {
        return Err("carries a login; [[origin.credential]] is the place for it".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("what follows ? or # is no part of a repository's address; leave it out".to_owned());
    }
    match url.scheme() {
        "https" | "http" | "ssh" if url.host().is_some() => Ok(()),
        "file" => {
            let folder = url.to_file_path().map_err(|()| "names no folder of this machine".to_owned())?;
            if rule.prefix.ends_with('/') && !rule.url.ends_with('/') {
                return Err(
                    "ends without a slash where the prefix has one: names would run together".to_owned()
                );
            }
            if folder.is_dir() { Ok(()) } else { Err("there is no such folder".to_owned()) }
        }
        "https" | "http" | "ssh" => Err("has no host".to_owned()),
        scheme => Err(format!("{scheme}:// is not spoken; use https://, http://, ssh:// or file://")),
    }
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
        check_source(&source).map_err(wrong)?;
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

/// Whether the file of a source is there.
fn check_source(source: &LoginSource) -> Result<(), String> {
    let file = match source {
        LoginSource::Netrc(file) | LoginSource::SshKey(file) => file.as_path(),
        LoginSource::Command { argv, .. } => Path::new(argv.first().map_or("", String::as_str)),
        LoginSource::Http(_) => return Ok(()),
    };
    match std::fs::File::open(file).and_then(|file| file.metadata()) {
        Ok(facts) if facts.is_file() => Ok(()),
        Ok(_) => Err(format!("{} is not a file", file.display())),
        Err(error) => Err(format!("{}: {error}", file.display())),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Setting;

    fn checked(key: &str, text: &str) -> Result<(), String> {
        let effective = Effective::new(vec![Setting::flag(key, text)]).map_err(|error| error.to_string())?;
        super::super::check(&effective).map_err(|failed| failed.text)
    }

    #[test]
    fn slips_are_found_before_the_first_request() {
        let rule = |prefix: &str, url: &str| format!("[{{ prefix = {prefix:?}, url = {url:?} }}]");
        let twice = r#"[{ prefix = "https://a.example/", url = "https://b.example/" },
                        { prefix = "https://a.example/", url = "https://c.example/" }]"#;
        let github = "https://github.com/";
        for (key, value, said) in [
            ("discovery_ttl", "1s".to_owned(), "\"1s\" is out of bounds; say 10m to 1h"),
            ("discovery_ttl", "2h".to_owned(), "\"2h\" is out of bounds"),
            ("cache_max", "0B".to_owned(), "\"0B\" would fetch whole repositories again"),
            ("netrc", "/nowhere/netrc".to_owned(), "\"/nowhere/netrc\": No such file"),
            ("netrc", "/".to_owned(), "\"/\": is a folder"),
            ("known_hosts", "/nowhere/known".to_owned(), "\"/nowhere/known\": No such file"),
            ("insecure", "https://git.corp.example".to_owned(), "begin with the host"),
            (
                "insecure",
                "git.corp.example:8080".to_owned(),
                "\"git.corp.example:8080\": a module path has no port",
            ),
            ("insecure", r#"["["]"#.to_owned(), "malformed pattern \"[\""),
            ("private", "git.corp.example:443/x".to_owned(), "has no port"),
            ("ssh", "ssh://git.corp.example".to_owned(), "begin with the host"),
            ("programs", "bin".to_owned(), "bin: say where it is from the root on"),
            (
                "rewrite",
                rule("github.com/", "https://x.example/"),
                "\"github.com/\": repositories are named by URLs",
            ),
            ("rewrite", rule("", "https://x.example/"), "\"\": repositories are named by URLs"),
            ("rewrite", twice.to_owned(), "\"https://a.example/\": stands here twice"),
            ("rewrite", rule(github, "file:///etc"), "\"file:///etc\": ends without a slash"),
            (
                "rewrite",
                rule(github, "file:///nowhere/git/"),
                "\"file:///nowhere/git/\": there is no such folder",
            ),
            ("rewrite", rule(github, "file://other.example/git/"), "names no folder of this machine"),
            ("rewrite", rule(github, "ftp://x.example/"), "ftp:// is not spoken; use https://"),
            ("rewrite", rule(github, "https://me:canary@x.example/"), "xxxxx@x.example/\": carries a login"),
            ("rewrite", rule(github, "https://me@x.example/"), "carries a login"),
            ("rewrite", rule(github, "ssh://me:canary@x.example/"), "carries a login"),
            ("rewrite", rule(github, "https://x.example/?team=a"), "what follows ? or #"),
            (
                "credential",
                r#"[{ match = "x.example", netrc = "/nowhere/netrc" }]"#.to_owned(),
                "x.example: /nowhere/netrc: No such file",
            ),
            (
                "credential",
                r#"[{ match = "x.example", ssh_key_file = "/etc" }]"#.to_owned(),
                "/etc is not a file",
            ),
            (
                "credential",
                r#"[{ match = "x.example", command = ["/nowhere/ask"] }]"#.to_owned(),
                "/nowhere/ask: No such file",
            ),
        ] {
            let wrong = checked(&format!("origin.{key}"), &value).unwrap_err();
            assert!(wrong.contains(&format!(": origin.{key}: ")) && wrong.contains(said), "{value}: {wrong}");
            assert!(!wrong.contains("canary"), "{wrong}");
        }
    }

    #[test]
    fn a_program_that_is_wanted_is_looked_for_before_the_first_request() {
        let folder = tempfile::tempdir().unwrap();
        let empty = Setting::flag("origin.programs", folder.path().to_str().unwrap());
        for (key, value, program) in [
            ("origin.vcs", "git,hg", "hg"),
            ("origin.vcs", "fossil", "fossil"),
            ("origin.ssh", "git.corp.example", "git"),
            ("origin.rewrite", r#"[{ prefix = "https://a.example/", url = "ssh://git@b.example/" }]"#, "git"),
        ] {
            let effective = Effective::new(vec![empty.clone(), Setting::flag(key, value)]).unwrap();
            let wrong = super::super::check(&effective).unwrap_err().text;
            let said = format!("{key}: ");
            assert!(
                wrong.contains(&said) && wrong.contains(&format!(" needs the program {program}, ")),
                "{wrong}"
            );
        }
        let git_alone = Effective::new(vec![empty]).unwrap();
        assert!(super::super::check(&git_alone).is_ok(), "git over HTTP needs no program");
    }

    #[test]
    fn whose_crawl_rules_are_obeyed_is_a_setting() {
        let told = |settings| crawl_rules(&Effective::new(settings).unwrap());
        assert_eq!(told(Vec::new()), CrawlRules::Ours);
        assert_eq!(told(vec![Setting::flag("origin.robots", "all")]), CrawlRules::Everybodys);
        assert!(Effective::new(vec![Setting::flag("origin.robots", "none")]).is_err());
    }

    #[test]
    fn what_can_be_used_is_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let file = format!("file://{}/", folder.path().display());
        for (key, value) in [
            ("rewrite", format!(r#"[{{ prefix = "https://github.com/", url = "{file}" }}]"#)),
            (
                "rewrite",
                r#"[{ prefix = "https://github.com", url = "https://x.example/github" }]"#.to_owned(),
            ),
            ("insecure", "*.corp.example/team".to_owned()),
            ("discovery_ttl", "10m".to_owned()),
        ] {
            assert_eq!(checked(&format!("origin.{key}"), &value), Ok(()), "{value}");
        }
    }
}
