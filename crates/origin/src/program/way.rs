//! How a job gets out: through a tunnel of the egress gate, and no other way (E03).

use std::path::{Path, PathBuf};
use std::{fs, io};

use modkeep_egress::{Egress, Trust, Tunnel, TunnelLimits};

use super::Config;
use super::jail::connect;
use crate::error::Error;
use crate::place::{Login, Remote};

/// The way out of one job; closed when it is dropped. The default leads nowhere.
#[derive(Default)]
pub(super) struct Way {
    tunnel: Option<Tunnel>,
    /// The file of certificates to believe.
    pub(super) ca_file: Option<String>,
    /// The ssh command that git runs.
    pub(super) ssh: Option<String>,
}

impl Way {
    /// Opens the way to a remote. Local repositories need none.
    pub(super) async fn open(
        config: &Config,
        egress: &Egress,
        remote: &Remote,
        folder: &Path,
    ) -> Result<Self, Error> {
        if remote.url.scheme() == "file" {
            return Ok(Self::default());
        }
        let trust = if remote.insecure { Trust::Insecure } else { Trust::Verified };
        let limits = TunnelLimits { trust, ..TunnelLimits::default() };
        let trouble = |reason: String| Error::Trouble { host: super::workshop::host(&remote.url), reason };
        let tunnel =
            egress.tunnel(limits).await.map_err(|error| trouble(format!("no tunnel: {}", error.kind())))?;
        let ssh = match &remote.login {
            Some(Login::SshKey(key)) if remote.url.scheme() == "ssh" => {
                let command = ssh_command(config, key, folder);
                Some(command.ok_or_else(|| trouble("a path that ssh cannot be told".to_owned()))?)
            }
            _ => None,
        };
        let ca_file =
            authorities(egress, folder).map_err(|error| trouble(format!("our disk: {}", error.kind())))?;
        Ok(Self { tunnel: Some(tunnel), ca_file, ssh })
    }

    /// The port that the job may connect to.
    pub(super) fn port(&self) -> Option<u16> {
        self.tunnel.as_ref().map(|tunnel| tunnel.address().port())
    }

    /// The proxy with its secret, as a URL.
    pub(super) fn proxy(&self) -> Option<String> {
        self.tunnel.as_ref().map(Tunnel::url)
    }

    /// The proxy in pieces: address, user, password.
    pub(super) fn proxy_parts(&self) -> Option<(std::net::SocketAddr, &str, &str)> {
        self.tunnel.as_ref().map(|tunnel| (tunnel.address(), tunnel.user(), tunnel.password()))
    }

    /// What went wrong on the way, if anything did.
    pub(super) fn trouble(&self) -> Option<Error> {
        self.tunnel.as_ref().and_then(Tunnel::trouble).map(|error| Error::of_egress(&error))
    }
}

/// The file that tells the job whom we believe; none where the system's own list says it. Written anew for each job:
/// the one before could write here.
fn authorities(egress: &Egress, folder: &Path) -> io::Result<Option<String>> {
    let Some(pem) = egress.authorities() else { return Ok(None) };
    let path = folder.join("authorities.pem");
    fs::create_dir_all(folder)?;
    fs::write(&path, pem)?;
    path.into_os_string().into_string().map(Some).map_err(|_| io::ErrorKind::InvalidFilename.into())
}

/// The keeper's program by the path that other processes know it by.
pub(super) fn keeper(config: &Config) -> Option<PathBuf> {
    let program = config.keeper.first()?;
    if program == Path::new("/proc/self/exe") { std::env::current_exe().ok() } else { Some(program.clone()) }
}

/// ssh without anybody's settings, agents or prompts, with one key, through the tunnel. git hands it to a shell, so
/// that a path which a shell would not take literally is none.
fn ssh_command(config: &Config, key: &Path, folder: &Path) -> Option<String> {
    let literal = |path: &Path| {
        let text = path.to_str()?;
        let plain = |c: char| !c.is_control() && !matches!(c, '\'' | '"' | '\\' | '$' | '`' | '%' | '!');
        text.chars().all(plain).then(|| text.to_owned())
    };
    let known_here = folder.join("known_hosts");
    let (checking, known_hosts) = match &config.known_hosts {
        Some(path) => ("yes", literal(path)?),
        None => ("accept-new", literal(&known_here)?),
    };
    let program = keeper(config)?;
    let words = std::iter::once(program.as_path()).chain(config.keeper.iter().skip(1).map(PathBuf::as_path));
    let words: Option<Vec<String>> = words.map(|word| Some(format!("\"{}\"", literal(word)?))).collect();
    let connect = words?.join(" ");
    let key = literal(key)?;
    let word = connect::WORD;
    Some(format!(
        "ssh -F none -i '{key}' -o BatchMode=yes -o IdentitiesOnly=yes -o IdentityAgent=none \
         -o StrictHostKeyChecking={checking} -o 'UserKnownHostsFile=\"{known_hosts}\"' -o GlobalKnownHostsFile=none \
         -o ClearAllForwardings=yes -o ControlMaster=no -o PermitLocalCommand=no -o UpdateHostKeys=no \
         -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=2 \
         -o 'ProxyCommand={connect} {word} %h %p'"
    ))
}
