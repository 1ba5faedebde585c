//! Keys held elsewhere: a command (PKCS#11, a cloud's key service) or a local signing socket.
//!
//! The signer gets the text to sign and gives base64 of the 64 bytes, in bounded time and at bounded length. What it
//! gives is verified like any signature before it is used, so a signer in trouble stops the log and harms nobody.

use std::io::{self, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use modkeep_tlog::VerifierKey;
use rustix::process::{Pid, Signal, kill_process_group};

use super::{SIGNATURE_BYTES, SignError, Signer};

/// How long an external signer may take, unless told otherwise: key services answer in tenths of a second.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A signature has 88 characters; a signer that says more than this is not heard out.
const ANSWER_BYTES_MAX: u64 = 1024;

/// How often a command that has answered is asked whether it has ended.
const END_POLL: Duration = Duration::from_millis(2);

/// Signs by running a command: the text on its standard input, base64 of the signature on its standard output.
///
/// It ends with status 0. What it writes to standard error goes to ours.
#[derive(Debug)]
pub struct CommandSigner {
    command: Vec<String>,
    verifier: VerifierKey,
    patience: Duration,
}

impl CommandSigner {
    /// A signer that runs this program with these arguments, no shell, for each signature, and waits so long.
    pub fn new(command: Vec<String>, verifier: VerifierKey, patience: Duration) -> Self {
        Self { command, verifier, patience }
    }

    fn run(&self, text: &str) -> Result<Vec<u8>, String> {
        let [program, arguments @ ..] = self.command.as_slice() else { return Err("no command".to_owned()) };
        let deadline = Instant::now() + self.patience;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0) // so that it ends with all its children
            .spawn()
            .map_err(|error| format!("cannot be started: {error}"))?;
        let answer = converse(&mut child, text, deadline).and_then(|answer| {
            let status = wait_until(&mut child, deadline)?;
            if status.success() { Ok(answer) } else { Err(format!("ended with {status}")) }
        });
        if answer.is_err() {
            end(&mut child);
        }
        answer
    }
}

impl Signer for CommandSigner {
    fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    fn sign(&self, text: &str) -> Result<[u8; SIGNATURE_BYTES], SignError> {
        self.run(text).and_then(|answer| decode(&answer)).map_err(|reason| SignError::Failed {
            signer: format!("signing command {:?}", self.command.first().map_or("", String::as_str)),
            reason,
        })
    }
}

/// Hands over the text and hears the answer out, up to the limits.
fn converse(child: &mut Child, text: &str, deadline: Instant) -> Result<Vec<u8>, String> {
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("has no input or output".to_owned());
    };
    // The text is shorter than a pipe holds, so this does not wait. A command that does not read has its own reasons.
    let _ = input.write_all(text.as_bytes());
    drop(input);
    let (heard, answer) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let _ = heard.send(hear(output)); // nobody listens after the deadline
    });
    let left = deadline.saturating_duration_since(Instant::now());
    match answer.recv_timeout(left) {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("took too long".to_owned()),
    }
}

fn hear(from: impl Read) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    from.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

fn wait_until(child: &mut Child, deadline: Instant) -> Result<ExitStatus, String> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(END_POLL),
            Ok(None) => return Err("answered, and did not end".to_owned()),
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Ends a command with its children. It may have ended by itself meanwhile, which is as good.
fn end(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

/// Signs through a Unix socket: the text, end of stream; base64 of the signature comes back, end of stream.
#[derive(Debug)]
pub struct SocketSigner {
    socket: PathBuf,
    verifier: VerifierKey,
    patience: Duration,
}

impl SocketSigner {
    /// A signer that connects to this socket for each signature, and waits so long.
    pub fn new(socket: PathBuf, verifier: VerifierKey, patience: Duration) -> Self {
        Self { socket, verifier, patience }
    }

    fn ask(&self, text: &str) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + self.patience;
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_write_timeout(Some(self.patience))?;
        stream.write_all(text.as_bytes())?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let (mut answer, mut piece) = (Vec::new(), [0; 256]);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            stream.set_read_timeout(Some(left))?;
            let read = stream.read(&mut piece)?;
            if read == 0 || answer.len() as u64 >= ANSWER_BYTES_MAX {
                return Ok(answer);
            }
            answer.extend_from_slice(piece.get(..read).unwrap_or_default());
        }
    }
}

impl Signer for SocketSigner {
    fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    fn sign(&self, text: &str) -> Result<[u8; SIGNATURE_BYTES], SignError> {
        let answer = self.ask(text).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "took too long".to_owned(),
            _ => error.to_string(),
        });
        answer.and_then(|answer| decode(&answer)).map_err(|reason| SignError::Failed {
            signer: format!("signing socket {}", self.socket.display()),
            reason,
        })
    }
}

fn decode(answer: &[u8]) -> Result<[u8; SIGNATURE_BYTES], String> {
    let bytes = STANDARD.decode(answer.trim_ascii()).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| "the answer is not base64 of the 64 bytes of a signature".to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use modkeep_tlog::SignerKey;

    use super::*;

    fn key() -> SignerKey {
        SignerKey::from_seed("sums.example.org/log", [7; 32]).unwrap()
    }

    fn shell(script: &str, patience: Duration) -> CommandSigner {
        CommandSigner::new(vec!["sh".into(), "-c".into(), script.into()], key().verifier(), patience)
    }

    #[test]
    fn a_command_signs_what_it_reads() {
        let signature = STANDARD.encode(key().sign_line("size 7\n").unwrap().bytes());
        let script = format!("test \"$(cat)\" = 'size 7' && echo {signature}");
        let signer = shell(&script, PATIENCE);
        assert!(key().verifier().verifies("size 7\n", &signer.sign("size 7\n").unwrap()));
        assert!(signer.sign("size 8\n").is_err()); // it ends with a status
    }

    #[test]
    fn a_command_in_trouble_is_bounded_in_time_and_length() {
        for (script, reason) in [
            ("echo no", "not base64"),
            ("exit 3", "exit status: 3"),
            ("yes", "ended with"), // by the pipe that nobody hears out
        ] {
            let error = shell(script, PATIENCE).sign("x\n").unwrap_err().to_string();
            assert!(error.contains(reason), "{script}: {error}");
        }
        for script in ["sleep 1000", "sleep 1000 & sleep 1000", "echo x; exec >&-; sleep 1000"] {
            let error = shell(script, Duration::from_millis(200)).sign("x\n").unwrap_err().to_string();
            assert!(error.contains("too long") || error.contains("did not end"), "{script}: {error}");
        }
        let missing = CommandSigner::new(vec!["/no/such/program".into()], key().verifier(), PATIENCE);
        assert!(missing.sign("x\n").is_err());
        assert!(CommandSigner::new(Vec::new(), key().verifier(), PATIENCE).sign("x\n").is_err());
    }

    #[test]
    fn a_socket_signs_what_it_reads_or_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            let answer = STANDARD.encode(key().sign_line(&text).unwrap().bytes());
            stream.write_all(answer.as_bytes()).unwrap();
            drop(stream);
            let (silent, _) = listener.accept().unwrap();
            (listener, silent)
        });
        let signer = SocketSigner::new(path.clone(), key().verifier(), PATIENCE);
        assert!(key().verifier().verifies("size 7\n", &signer.sign("size 7\n").unwrap()));
        let hasty = SocketSigner::new(path.clone(), key().verifier(), Duration::from_millis(100));
        assert!(hasty.sign("size 8\n").unwrap_err().to_string().contains("too long"));
        drop(server.join().unwrap());
        assert!(signer.sign("size 9\n").is_err()); // nobody listens
    }
}
