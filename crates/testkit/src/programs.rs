//! Repositories of Mercurial, Subversion and Fossil, made by scripts with fixed dates, and their own servers on loopback.
//!
//! The programs are the real ones; a test that needs one which is not installed fails and says so. `scripts/test`
//! installs them.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The date of the first commit, in seconds since 1970; each further one is an hour later.
pub const FIRST_DATE: u64 = 1_704_164_645;
const HOUR: u64 = 3600;
/// How long a server may take to listen.
const STARTING: Duration = Duration::from_secs(30);

/// Runs a program without anybody's settings and gives what it printed, trimmed.
///
/// # Panics
/// When it is not installed or fails.
fn run(program: &str, arguments: &[&str], folder: &Path) -> String {
    let output = command(program, folder).args(arguments).output().unwrap_or_else(|error| {
        panic!("cannot run {program} ({error}): scripts/test installs what the tests need")
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env_clear().stdin(Stdio::null());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", folder).env("USER", "ann");
    command.envs([
        ("LC_ALL", "C.UTF-8"),
        ("TZ", "UTC"),
        ("HGPLAIN", "1"),
        ("HGRCPATH", ""),
        ("HGUSER", "Ann <ann@example.com>"),
    ]);
    command
}

fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().expect("a file in a folder")).expect("a folder of the test");
    fs::write(path, content).expect("a file of the test");
}

/// A server as a child, gone when dropped.
#[derive(Debug)]
pub struct Served {
    child: Child,
    url: String,
    host: String,
    _folder: TempDir,
}

impl Served {
    /// Starts a server that is told its port, and waits until it listens.
    fn start(scheme: &str, arguments: impl FnOnce(&str) -> Vec<String>) -> Self {
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|door| door.local_addr()).expect("a free port").port();
        let folder = TempDir::new().expect("a temporary folder");
        let arguments = arguments(&port.to_string());
        let mut command = command(&arguments[0], folder.path());
        command.args(&arguments[1..]).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot run {}: {error}", arguments[0]));
        let host = format!("127.0.0.1:{port}");
        let served = Self { child, url: format!("{scheme}://{host}"), host, _folder: folder };
        let begun = Instant::now();
        while TcpStream::connect(&served.host).is_err() {
            assert!(begun.elapsed() < STARTING, "{} does not listen", arguments[0]);
            std::thread::sleep(Duration::from_millis(10));
        }
        served
    }

    /// The base URL, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `127.0.0.1:port`.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Mercurial repository with a working copy.
#[derive(Debug)]
pub struct HgRepo {
    path: PathBuf,
    date: u64,
}

impl HgRepo {
    /// A new repository at `path`.
    pub fn init(path: &Path) -> Self {
        fs::create_dir_all(path).expect("a folder of the test");
        run("hg", &["init", "."], path);
        Self { path: path.to_path_buf(), date: FIRST_DATE }
    }

    /// Where it stands.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A regular file.
    pub fn put(&mut self, name: &str, content: impl AsRef<[u8]>) -> &mut Self {
        write(&self.path.join(name), content.as_ref());
        self
    }

    /// A symbolic link.
    pub fn link(&mut self, name: &str, target: &str) -> &mut Self {
        std::os::unix::fs::symlink(target, self.path.join(name)).expect("a link of the test");
        self
    }

    /// Everything becomes a changeset of the current branch.
    pub fn commit(&mut self, message: &str) -> &mut Self {
        let date = format!("{} 0", self.date);
        self.date += HOUR;
        run(
            "hg",
            &["--config=subrepos.allowed=false", "commit", "-A", "-q", "-m", message, "-d", &date],
            &self.path,
        );
        self
    }

    /// A tag on the current changeset, which makes a changeset of its own.
    pub fn tag(&mut self, name: &str) -> &mut Self {
        let date = format!("{} 0", self.date);
        self.date += HOUR;
        run("hg", &["tag", "-d", &date, "--", name], &self.path);
        self
    }

    /// The next changesets are of this branch.
    pub fn branch(&mut self, name: &str) -> &mut Self {
        run("hg", &["branch", "-q", "--", name], &self.path);
        self
    }

    /// A bookmark on the current changeset.
    pub fn bookmark(&mut self, name: &str) -> &mut Self {
        run("hg", &["bookmark", "-i", "--", name], &self.path);
        self
    }

    /// The working copy becomes that of a branch or changeset.
    pub fn switch(&mut self, name: &str) -> &mut Self {
        run("hg", &["update", "-q", "-C", name], &self.path);
        self
    }

    /// Runs hg in the repository.
    pub fn hg(&self, arguments: &[&str]) -> String {
        run("hg", arguments, &self.path)
    }

    /// The hash of a changeset.
    pub fn id(&self, revision: &str) -> String {
        run("hg", &["log", "-r", revision, "-T", "{node}"], &self.path)
    }

    /// Its own server.
    pub fn serve(&self) -> Served {
        let path = self.path.display().to_string();
        Served::start("http", |port| {
            ["hg", "serve", "-R", &path, "-a", "127.0.0.1", "-p", port].map(str::to_owned).to_vec()
        })
    }
}

/// A Subversion repository with `trunk` and `tags`, and a working copy of it all.
#[derive(Debug)]
pub struct SvnRepo {
    path: PathBuf,
    copy: PathBuf,
    date: u64,
    revision: u64,
}

impl SvnRepo {
    /// A new repository in the folder `path`; its first revision makes the two directories.
    pub fn init(path: &Path) -> Self {
        let (repository, copy) = (path.join("repository"), path.join("copy"));
        fs::create_dir_all(path).expect("a folder of the test");
        run("svnadmin", &["create", "repository"], path);
        let url = format!("file://{}", repository.display());
        run("svn", &["checkout", "-q", &url, "copy"], path);
        run("svn", &["mkdir", "-q", "trunk", "tags"], &copy);
        let mut repo = Self { path: repository, copy, date: FIRST_DATE, revision: 0 };
        repo.commit("begin");
        repo
    }

    /// The URL of its root on this disk.
    pub fn url(&self) -> String {
        format!("file://{}", self.path.display())
    }

    /// Where the repository stands, as a server names it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A regular file, below the root: `trunk/go.mod`.
    pub fn put(&mut self, name: &str, content: impl AsRef<[u8]>) -> &mut Self {
        write(&self.copy.join(name), content.as_ref());
        run("svn", &["add", "-q", "--force", "--parents", "--", name], &self.copy);
        self
    }

    /// A symbolic link.
    pub fn link(&mut self, name: &str, target: &str) -> &mut Self {
        std::os::unix::fs::symlink(target, self.copy.join(name)).expect("a link of the test");
        run("svn", &["add", "-q", "--force", "--", name], &self.copy);
        self
    }

    /// A property of a file.
    pub fn property(&mut self, file: &str, name: &str, value: &str) -> &mut Self {
        run("svn", &["propset", "-q", name, value, "--", file], &self.copy);
        self
    }

    /// A tag as Subversion has them: a copy of the trunk.
    pub fn tag(&mut self, name: &str) -> &mut Self {
        run("svn", &["update", "-q"], &self.copy);
        run("svn", &["copy", "-q", "trunk", &format!("tags/{name}")], &self.copy);
        self.commit(name)
    }

    /// Everything becomes a revision.
    pub fn commit(&mut self, message: &str) -> &mut Self {
        run("svn", &["commit", "-q", "-m", message], &self.copy);
        self.revision += 1;
        let date = svn_date(self.date);
        self.date += HOUR;
        let file = self.copy.with_extension("date");
        write(&file, date.as_bytes());
        let revision = self.revision.to_string();
        let (path, file) = (self.path.display().to_string(), file.display().to_string());
        run("svnadmin", &["setrevprop", &path, "-r", &revision, "svn:date", &file], &self.copy);
        self
    }

    /// Its own server, which speaks `svn://`; the repository is `/repository`.
    pub fn serve(&self) -> Served {
        let root = self.path.parent().expect("a folder").display().to_string();
        Served::start("svn", |port| {
            [
                "svnserve",
                "-d",
                "--foreground",
                "-r",
                &root,
                "--listen-host",
                "127.0.0.1",
                "--listen-port",
                port,
            ]
            .map(str::to_owned)
            .to_vec()
        })
    }
}

/// `2024-01-02T03:04:05.000000Z`, as revisions carry it.
fn svn_date(seconds: u64) -> String {
    let time = modkeep_module::time::Timestamp {
        secs: i64::try_from(seconds).expect("a date of this age"),
        nanos: 0,
    };
    time.to_string().replace('Z', ".000000Z")
}

/// A Fossil repository whose hashes are SHA-1, with a working copy.
#[derive(Debug)]
pub struct FossilRepo {
    path: PathBuf,
    copy: PathBuf,
    date: u64,
}

impl FossilRepo {
    /// A new repository in the folder `path`.
    pub fn init(path: &Path) -> Self {
        let (repository, copy) = (path.join("r.fossil"), path.join("copy"));
        fs::create_dir_all(&copy).expect("a folder of the test");
        let file = repository.display().to_string();
        let begun = svn_date(FIRST_DATE).replace(".000000Z", "");
        run("fossil", &["new", "--sha1", "--admin-user", "ann", "--date-override", &begun, &file], &copy);
        run("fossil", &["open", "-f", &file], &copy);
        Self { path: repository, copy, date: FIRST_DATE + HOUR }
    }

    /// Where the repository stands: one file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A regular file.
    pub fn put(&mut self, name: &str, content: impl AsRef<[u8]>) -> &mut Self {
        write(&self.copy.join(name), content.as_ref());
        run("fossil", &["add", "-f", "--", name], &self.copy);
        self
    }

    /// Everything becomes a check-in.
    pub fn commit(&mut self, message: &str) -> &mut Self {
        self.commit_with(message, &[])
    }

    /// A check-in that begins a branch.
    pub fn branch(&mut self, name: &str, message: &str) -> &mut Self {
        self.commit_with(message, &["--branch", name])
    }

    fn commit_with(&mut self, message: &str, more: &[&str]) -> &mut Self {
        let date = svn_date(self.date).replace(".000000Z", "");
        self.date += HOUR;
        let mut arguments =
            vec!["commit", "-m", message, "--no-warnings", "--hash", "--date-override", &date];
        arguments.extend(more);
        run("fossil", &arguments, &self.copy);
        self
    }

    /// A tag on the current check-in.
    pub fn tag(&mut self, name: &str) -> &mut Self {
        run("fossil", &["tag", "add", name, "current"], &self.copy);
        self
    }

    /// The hash of a check-in.
    ///
    /// # Panics
    /// When there is none.
    pub fn id(&self, revision: &str) -> String {
        let told = run("fossil", &["info", "-R", &self.path.display().to_string(), revision], &self.copy);
        let line = told.lines().find(|line| line.starts_with("hash:") || line.starts_with("uuid:"));
        line.and_then(|line| line.split_whitespace().nth(1)).expect("a check-in has a hash").to_owned()
    }

    /// Its own server.
    pub fn serve(&self) -> Served {
        let path = self.path.display().to_string();
        Served::start("http", |port| {
            ["fossil", "server", "--localhost", "--port", port, &path].map(str::to_owned).to_vec()
        })
    }
}

/// An ssh server for the user of the test, which opens for one key.
#[derive(Debug)]
pub struct SshServer {
    served: Served,
    folder: TempDir,
}

impl SshServer {
    /// Starts it.
    ///
    /// # Panics
    /// When OpenSSH is not installed.
    pub fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        for key in ["host", "key"] {
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &at(key)], folder.path());
        }
        fs::copy(at("key.pub"), at("authorized")).expect("a file of the test");
        let path = std::env::var("PATH").unwrap_or_default();
        let settings = [
            format!("HostKey {}", at("host")),
            format!("AuthorizedKeysFile {}", at("authorized")),
            format!("SetEnv PATH={path}"),
            "ListenAddress 127.0.0.1\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\n"
                .to_owned(),
        ];
        write(&folder.path().join("config"), settings.join("\n").as_bytes());
        let _ = fs::create_dir_all("/run/sshd"); // where it insists to be, as root
        let program = ["/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd"]
            .into_iter()
            .find(|p| Path::new(p).exists());
        let program = program.expect("sshd is installed: scripts/test does it");
        let served = Served::start("ssh", |port| {
            [program, "-D", "-e", "-f", &at("config"), "-p", port].map(str::to_owned).to_vec()
        });
        Self { served, folder }
    }

    /// `127.0.0.1:port`.
    pub fn host(&self) -> &str {
        self.served.host()
    }

    /// The private key that it opens for.
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    /// Its key as a line of `known_hosts`.
    ///
    /// # Panics
    /// When its key file is gone.
    pub fn known_host(&self) -> String {
        let key = fs::read_to_string(self.folder.path().join("host.pub")).expect("a file of the test");
        let port = self.host().rsplit(':').next().unwrap_or_default().to_owned();
        format!("[127.0.0.1]:{port} {key}")
    }
}
