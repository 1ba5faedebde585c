//! How origins are configured. The binary reads these from its file; a library user builds them by hand.

use std::path::PathBuf;
use std::time::Duration;

use modkeep_egress::Credentials;
use modkeep_module::{ModulePath, Patterns};
use url::Url;

use crate::place::Vcs;
pub use crate::resolve::govcs::{BadGovcs, Govcs};

/// Where modules live and how we get there. [`Config::default`] speaks git over https with strangers, and nothing else.
#[derive(Clone, Debug)]
pub struct Config {
    /// Other addresses for repositories, as git's `insteadOf`; the longest prefix wins (`[[origin.rewrite]]`).
    pub rewrites: Vec<Rewrite>,
    /// What opens which door (`[[origin.login]]`); the first rule whose pattern matches decides.
    pub logins: Vec<LoginRule>,
    /// A netrc file, asked by host where no rule of `logins` matches (`[origin] netrc`).
    pub netrc: Option<PathBuf>,
    /// The version control systems that are spoken at all (`[origin] vcs`). Git alone by default: every other one
    /// needs its program (C24).
    pub vcs: Vec<Vcs>,
    /// Which of them for which module, as the go command's GOVCS (`[origin] govcs`). `None`: all of `vcs` for everybody.
    pub govcs: Option<Govcs>,
    /// Module paths whose hosts may be asked without certificates or without TLS, as GOINSECURE (`[origin] insecure`).
    pub insecure: Patterns,
    /// Which modules GOVCS calls private, as GOPRIVATE (`[origin] private`).
    pub private: Patterns,
    /// Hosts with which ssh may be spoken (`[origin] ssh`); nobody by default (C03). Patterns of `host/path`.
    pub ssh: Patterns,
    /// Import prefixes whose place is told here and asked of nobody (`[[origin.vanity]]`).
    pub vanity: Vec<Vanity>,
    /// How old the refs of a repository may be when somebody asks (`[origin] list_ttl`). Default 60 s.
    pub list_ttl: Duration,
    /// How long a go-import answer is believed (V-23; `[origin] discovery_ttl`). Default 30 min; 10 min to 1 h.
    pub discovery_ttl: Duration,
    /// How long "no such module" is believed (V-23; `[origin] negative_ttl`). Default 60 s; at most 30 min.
    pub negative_ttl: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rewrites: Vec::new(),
            logins: Vec::new(),
            netrc: None,
            vcs: vec![Vcs::Git],
            govcs: None,
            insecure: Patterns::default(),
            private: Patterns::default(),
            ssh: Patterns::default(),
            vanity: Vec::new(),
            list_ttl: Duration::from_mins(1),
            discovery_ttl: Duration::from_mins(30),
            negative_ttl: Duration::from_mins(1),
        }
    }
}

/// `[[origin.rewrite]] prefix = "https://github.com/" url = "https://git.corp.example/mirror/"`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rewrite {
    /// The beginning of a repository's URL, compared as text.
    pub prefix: String,
    /// What stands there instead. Its host is configured infrastructure and belongs among the `named` of the egress.
    pub url: Url,
}

/// A pattern and the login for whatever it matches.
#[derive(Clone, Debug)]
pub struct LoginRule {
    /// Globs of `host[:port]/path` of the URL that is really contacted, such as `git.corp.example/team/*`. The secret
    /// goes nowhere else, whatever a page of somebody else claims (M03).
    pub pattern: Patterns,
    /// Where the secret comes from.
    pub source: LoginSource,
}

/// Where a login comes from.
#[derive(Clone, Debug)]
pub enum LoginSource {
    /// A user with a password, or a token.
    Http(Credentials),
    /// A netrc file, by the host contacted.
    Netrc(PathBuf),
    /// A private key for ssh.
    SshKey(PathBuf),
    /// A program that speaks git's credential protocol: `protocol=`, `host=`, `path=` on its input, `username=` and
    /// `password=` on its output. Started without a shell and with an empty environment but for `PATH`.
    Command {
        /// The program and its arguments; the program by its absolute path.
        argv: Vec<String>,
        /// How long it may take.
        timeout: Duration,
    },
}

/// `[[origin.vanity]] prefix, vcs, url[, subdirectory]`: what a go-import page would say, said by the configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Vanity {
    /// The import path of the root.
    pub prefix: ModulePath,
    /// Its system.
    pub vcs: Vcs,
    /// Its repository.
    pub url: Url,
    /// Where in the repository the module of the root lies; empty mostly.
    pub subdirectory: String,
}
