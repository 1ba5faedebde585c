//! What opens which door: by the host and path that are really contacted, never by what a page claims (M03, D17).

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use modkeep_egress::Credentials;
use modkeep_store::Clock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use url::Url;

use super::memory::Memory;
use super::netrc;
use crate::config::{LoginRule, LoginSource};
use crate::error::Error;
use crate::place::Login;

/// The largest netrc file that is read.
const NETRC_BYTES_MAX: u64 = 1024 * 1024;
/// The longest answer of a credential program.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// How long a credential program's answer is used; tokens that it makes live longer than this everywhere.
const ANSWER_LIFETIME: Duration = Duration::from_mins(5);
/// Where credential programs find others.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The rules, with what the programs among them said lately.
#[derive(Debug)]
pub(super) struct Logins {
    rules: Vec<LoginRule>,
    netrc: Option<std::path::PathBuf>,
    said: Memory<Result<Option<Credentials>, Error>>,
}

impl Logins {
    pub(super) fn new(
        rules: Vec<LoginRule>,
        netrc: Option<std::path::PathBuf>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { rules, netrc, said: Memory::new(clock) }
    }

    /// The login for a repository: of the first rule that matches and fits the scheme, else of the netrc file.
    ///
    /// # Errors
    /// [`Error::Trouble`] where a file cannot be read or a program fails: going on without would make a private
    /// repository look nonexistent.
    pub(super) async fn for_repository(&self, url: &Url) -> Result<Option<Login>, Error> {
        let target = target(url);
        let is_ssh = url.scheme().ends_with("ssh");
        for rule in self.rules.iter().filter(|rule| rule.pattern.matches(&target)) {
            match &rule.source {
                LoginSource::SshKey(key) if is_ssh => return Ok(Some(Login::SshKey(key.clone()))),
                LoginSource::SshKey(_) => {}
                _ if is_ssh => {}
                source => {
                    if let Some(credentials) = self.credentials(source, url).await? {
                        return Ok(Some(Login::Http(credentials)));
                    }
                }
            }
        }
        match &self.netrc {
            Some(file) if !is_ssh => Ok(from_netrc(file, url).await?.map(Login::Http)),
            _ => Ok(None),
        }
    }

    /// The login for a go-import page.
    pub(super) async fn for_page(&self, url: &Url) -> Result<Option<Credentials>, Error> {
        Ok(match self.for_repository(url).await? {
            Some(Login::Http(credentials)) => Some(credentials),
            Some(Login::SshKey(_)) | None => None,
        })
    }

    async fn credentials(&self, source: &LoginSource, url: &Url) -> Result<Option<Credentials>, Error> {
        match source {
            LoginSource::Http(credentials) => Ok(Some(credentials.clone())),
            LoginSource::Netrc(file) => from_netrc(file, url).await,
            LoginSource::SshKey(_) => Ok(None),
            LoginSource::Command { argv, timeout } => {
                let key = format!("{}\n{}://{}", argv.join("\0"), url.scheme(), target(url));
                let lifetime =
                    |said: &Result<_, _>| if said.is_ok() { ANSWER_LIFETIME } else { Duration::ZERO };
                self.said.get(&key, |_| from_command(argv, *timeout, url), lifetime).await
            }
        }
    }
}

/// `host[:port]/path`, as patterns see it.
pub(super) fn target(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{host}{port}{}", url.path().trim_end_matches('/'))
}

async fn from_netrc(file: &Path, url: &Url) -> Result<Option<Credentials>, Error> {
    let host = url.host_str().unwrap_or_default();
    let trouble = |what: &str| Error::Trouble { host: host.to_owned(), reason: format!("its login: {what}") };
    let read = async {
        let mut text = String::new();
        let file = tokio::fs::File::open(file).await?;
        file.take(NETRC_BYTES_MAX).read_to_string(&mut text).await.map(|_| text)
    };
    let text = read.await.map_err(|error| {
        tracing::warn!(file = %file.display(), %error, "the netrc file cannot be read");
        trouble("the netrc file cannot be read")
    })?;
    Ok(netrc::login(&text, host).map(|(user, password)| Credentials::Basic { user, password }))
}

/// Asks a program in git's credential protocol. What it says on its error output is nobody's business.
///
/// Cancel safe: the program and its descendants are ended.
async fn from_command(argv: &[String], timeout: Duration, url: &Url) -> Result<Option<Credentials>, Error> {
    let host = url.host_str().unwrap_or_default();
    let trouble =
        |what: String| Error::Trouble { host: host.to_owned(), reason: format!("its login: {what}") };
    let question = format!(
        "protocol={}\nhost={host}{}\npath={}\n\n",
        url.scheme(),
        url.port().map(|port| format!(":{port}")).unwrap_or_default(),
        url.path().trim_start_matches('/'),
    );
    let answer = tokio::time::timeout(timeout, converse(argv, question.as_bytes())).await;
    match answer {
        Ok(Ok(answer)) => Ok(credentials(&answer)),
        Ok(Err(error)) => Err(trouble(format!("the program failed: {error}"))),
        Err(_) => Err(trouble(format!("the program did not answer within {}s", timeout.as_secs()))),
    }
}

async fn converse(argv: &[String], question: &[u8]) -> std::io::Result<String> {
    let (program, arguments) = argv.split_first().ok_or(std::io::ErrorKind::NotFound)?;
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let mut job = Job(child);
    let (stdin, stdout) = (job.0.stdin.take(), job.0.stdout.take());
    if let Some(mut stdin) = stdin {
        // A program that knows without being asked may have closed its input.
        let _closed = stdin.write_all(question).await;
    }
    let mut answer = String::new();
    if let Some(stdout) = stdout {
        stdout.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
    }
    let status = job.0.wait().await?;
    if status.success() { Ok(answer) } else { Err(std::io::Error::other(status.to_string())) }
}

/// A program with all that it started; none of it outlives the question.
struct Job(Child);

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(pid) = self.0.id().and_then(|id| rustix::process::Pid::from_raw(id.try_into().ok()?)) {
            let _gone = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

/// `username=` and `password=` lines; without a user the password is a bearer token.
fn credentials(answer: &str) -> Option<Credentials> {
    let value = |key: &str| answer.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
    let password = value("password=")?;
    Some(match value("username=") {
        Some(user) => Credentials::Basic { user, password },
        None => Credentials::Bearer { token: password },
    })
}

#[cfg(test)]
mod tests {
    use modkeep_module::Patterns;
    use modkeep_testkit::ManualClock;

    use super::*;

    fn rule(pattern: &str, source: LoginSource) -> LoginRule {
        LoginRule { pattern: Patterns::parse(pattern).unwrap(), source }
    }

    fn logins(rules: Vec<LoginRule>, netrc: Option<&Path>) -> Logins {
        Logins::new(rules, netrc.map(Path::to_owned), Arc::new(ManualClock::new()))
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn basic(user: &str, password: &str) -> Login {
        Login::Http(Credentials::Basic { user: user.into(), password: password.into() })
    }

    fn program(script: &str, timeout: Duration) -> LoginSource {
        let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        LoginSource::Command { argv, timeout }
    }

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn the_first_rule_that_matches_what_is_contacted_decides() {
        let token = Credentials::Bearer { token: "t".into() };
        let logins = logins(
            vec![
                rule("git.corp.example/team", LoginSource::Http(token.clone())),
                rule("git.corp.example", LoginSource::SshKey("/key".into())),
                rule("*.corp.example:8443", LoginSource::Http(token.clone())),
            ],
            None,
        );
        for (target, login) in [
            ("https://git.corp.example/team/x", Some(Login::Http(token.clone()))),
            ("https://git.corp.example/teams/x", None),
            ("ssh://git.corp.example/team/x", Some(Login::SshKey("/key".into()))),
            ("https://git.corp.example:8443/x", Some(Login::Http(token.clone()))),
            ("https://evil.example/git.corp.example/team/x", None),
            ("https://git.corp.example.evil.example/team/x", None),
        ] {
            assert_eq!(logins.for_repository(&url(target)).await.unwrap(), login, "{target}");
        }
    }

    #[tokio::test]
    async fn a_netrc_file_knows_hosts_and_one_that_is_missing_is_trouble() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "machine git.corp.example login me password pw").unwrap();
        let known = logins(vec![], Some(file.path()));
        assert_eq!(
            known.for_repository(&url("https://git.corp.example/x")).await.unwrap(),
            Some(basic("me", "pw"))
        );
        assert_eq!(known.for_repository(&url("https://other.example/x")).await.unwrap(), None);
        let missing = logins(vec![], Some(Path::new("/nonexistent/netrc")));
        let error = missing.for_repository(&url("https://git.corp.example/x")).await.unwrap_err();
        assert!(
            matches!(error, Error::Trouble { .. }) && !error.to_string().contains("nonexistent"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_program_is_asked_in_git_s_credential_protocol_without_our_environment() {
        let script = "test -z \"$HOME\" || exit 3; cat >&2; echo username=me; echo password=pw";
        let said = logins(vec![rule("git.corp.example", program(script, PATIENCE))], None);
        assert_eq!(
            said.for_repository(&url("https://git.corp.example/x")).await.unwrap(),
            Some(basic("me", "pw"))
        );
        let echo = "read protocol; read host; read path; echo \"password=$protocol $host $path\"";
        let asked = logins(vec![rule("git.corp.example:8443", program(echo, PATIENCE))], None);
        let token = "protocol=https host=git.corp.example:8443 path=team/x".to_owned();
        assert_eq!(
            asked.for_repository(&url("https://git.corp.example:8443/team/x")).await.unwrap(),
            Some(Login::Http(Credentials::Bearer { token }))
        );
    }

    #[tokio::test]
    async fn a_program_that_fails_or_hangs_is_trouble_and_leaves_nobody_behind() {
        let failing = logins(vec![rule("*", program("exit 1", PATIENCE))], None);
        assert!(failing.for_repository(&url("https://h.example/x")).await.is_err());
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", pid_file.display());
        let hanging = logins(vec![rule("*", program(&script, Duration::from_millis(300)))], None);
        let error = hanging.for_repository(&url("https://h.example/x")).await.unwrap_err();
        assert!(error.to_string().contains("did not answer within"), "{error}");
        let pid = std::fs::read_to_string(pid_file).unwrap();
        let stat = std::path::PathBuf::from(format!("/proc/{}/stat", pid.trim()));
        for _ in 0..200 {
            match std::fs::read_to_string(&stat) {
                Ok(stat) if !stat.contains(") Z ") => tokio::time::sleep(Duration::from_millis(10)).await,
                _ => return,
            }
        }
        panic!("process {pid} is still there");
    }
}
