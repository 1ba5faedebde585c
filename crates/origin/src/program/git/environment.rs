//! The environment in which git runs (V-97, V-98): nobody's configuration, no prompts, no helpers but ours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use modkeep_egress::Credentials;

use super::super::jail::connect;
use super::super::way::Way;
use crate::place::{Login, Remote};

/// Seconds without a byte after which git gives up (hostile-inputs part 1).
const SILENCE_SECONDS: &str = "30";

/// Settings that hold for every command.
const SETTINGS: &[(&str, &str)] = &[
    ("core.attributesFile", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("fetch.fsckObjects", "false"), // the go command checks nothing either, and old repositories have oddities
    ("fetch.recurseSubmodules", "no"),
    ("fetch.unpackLimit", "1"), // packs stay packs: a folder of a million loose objects helps nobody
    ("gc.auto", "0"),
    ("http.followRedirects", "initial"),
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", SILENCE_SECONDS),
    ("maintenance.auto", "false"),
    ("pack.threads", "2"),
    ("protocol.version", "2"),
    ("submodule.recurse", "false"),
];

/// Variables and settings, gathered.
pub(super) struct Environment {
    variables: Vec<(String, String)>,
    settings: Vec<(String, String)>,
}

impl Environment {
    /// For work at home.
    pub(super) fn local(git_dir: &str) -> Self {
        let mut here = Self { variables: Vec::new(), settings: Vec::new() };
        for (name, value) in [
            ("GIT_DIR", git_dir),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_LITERAL_PATHSPECS", "1"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", ""),
            ("SSH_ASKPASS_REQUIRE", "never"),
            ("GIT_PROTOCOL_FROM_USER", "0"),
            ("GIT_ALLOW_PROTOCOL", ""),
        ] {
            here.variables.push((name.to_owned(), value.to_owned()));
        }
        for &(name, value) in SETTINGS {
            here.set(name, value);
        }
        here
    }

    /// For a way out to the remote, which gets the name `origin` here and stands in no argument vector.
    pub(super) fn outward(git_dir: &str, remote: &Remote, way: &Way, user_agent: &str) -> Self {
        let mut here = Self::local(git_dir);
        here.variable("GIT_ALLOW_PROTOCOL", remote.url.scheme());
        here.variable("GIT_HTTP_USER_AGENT", user_agent);
        here.set("remote.origin.url", remote.url.as_str());
        if remote.insecure {
            here.variable("GIT_SSL_NO_VERIFY", "true");
        }
        if let Some(proxy) = way.proxy() {
            here.set("http.proxy", &proxy);
            here.set("http.proxyAuthMethod", "basic");
        }
        if let Some(ca_file) = &way.ca_file {
            here.variable("GIT_SSL_CAINFO", ca_file);
        }
        if let Some(ssh) = &way.ssh {
            here.variable("GIT_SSH_COMMAND", ssh);
            here.variable("GIT_SSH_VARIANT", "ssh");
            if let Some((address, user, password)) = way.proxy_parts() {
                let login = STANDARD.encode(format!("{user}:{password}"));
                here.variable(connect::TUNNEL, &address.to_string());
                here.variable(connect::TUNNEL_LOGIN, &format!("Basic {login}"));
            }
        }
        if let Some(Login::Http(credentials)) = &remote.login {
            here.login(remote, credentials);
        }
        here
    }

    /// A login for this host alone: git asks a helper, and the helper knows one host. A token goes as a header, which
    /// git would take along on a redirect, so then there are none.
    fn login(&mut self, remote: &Remote, credentials: &Credentials) {
        match credentials {
            Credentials::Basic { user, password } => {
                let helper =
                    r#"!printf 'username=%s\npassword=%s\n' "$MODKEEP_LOGIN" "$MODKEEP_PASSWORD"; :"#;
                let origin = remote.url.origin().ascii_serialization();
                self.set(&format!("credential.{origin}.helper"), helper);
                self.variable("MODKEEP_LOGIN", user);
                self.variable("MODKEEP_PASSWORD", password);
            }
            Credentials::Bearer { token } => {
                self.set("http.extraHeader", &format!("Authorization: Bearer {token}"));
                self.set("http.followRedirects", "false");
            }
        }
    }

    fn variable(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    fn set(&mut self, name: &str, value: &str) {
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// As variables alone: settings travel as `GIT_CONFIG_KEY_<n>`, so that none stands in an argument vector.
    pub(super) fn into_variables(self) -> Vec<(String, String)> {
        let mut variables = self.variables;
        variables.push(("GIT_CONFIG_COUNT".to_owned(), self.settings.len().to_string()));
        for (n, (name, value)) in self.settings.into_iter().enumerate() {
            variables.push((format!("GIT_CONFIG_KEY_{n}"), name));
            variables.push((format!("GIT_CONFIG_VALUE_{n}"), value));
        }
        variables
    }
}
