//! Keys that the server does not hold: a program or a socket signs, and what becomes of the log when it does not (spec A5, C4).

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use modkeep_testkit::program::{Program, Setup};
use modkeep_testkit::{Answer, Go, Upstream, copy_folder};
use modkeep_tlog::{SignerKey, VerifierKey};

use crate::{LOG, ended, log_size, mirror_of, upstream};

const FINCH: &str = "birds.example/finch@v0.9.0";
const MARSH: &str = "example.com/marsh@v1.0.0";
const TERN: &str = "example.com/tern@v1.5.2";
const SEED: [u8; 32] = [5; 32];
/// Longer than any machine takes; nothing here measures time.
const PATIENCE: Duration = Duration::from_mins(2);

fn key() -> SignerKey {
    SignerKey::from_seed(LOG, SEED).unwrap()
}

fn with_signer(setup: Setup, signer: &str) -> Setup {
    setup
        .with("MODKEEP_LOG_ENABLED", "true")
        .with("MODKEEP_LOG_NAME", LOG)
        .with("MODKEEP_LOG_KEY", &key().verifier().to_string())
        .with("MODKEEP_LOG_SIGNER", signer)
}

fn lookup(modkeep: &Program, version: &str) -> Answer {
    modkeep.get(&format!("/log/lookup/{version}"))
}

/// The log takes no records, and says so; reads and modules are served.
fn assert_paused(modkeep: &Program, new: &str) {
    let refused = lookup(modkeep, new);
    assert_eq!((refused.status, refused.code()), (503, Some("log-busy")), "{}", refused.text());
    // Whoever waits is told a moment before the rest of the house.
    until("the house hears of it", modkeep, || {
        let ready = modkeep_testkit::get(&format!("{}/readyz?verbose", modkeep.admin())).text();
        ready.contains("degraded: log") && modkeep.metric("modkeep_alarms_total", &["log_stopped"]) > 0.5
    });
    assert!(modkeep.metric("modkeep_log_signing", &[LOG]) < 0.5);
    assert_eq!(lookup(modkeep, FINCH).status, 200, "reads go on");
    assert_eq!(modkeep.get("/log/latest").status, 200);
    let file = format!("/{}.mod", new.replacen('@', "/@v/", 1));
    assert_eq!(modkeep.get(&file).status, 200, "modules are served");
}

fn until_found(modkeep: &Program, version: &str) {
    until("it signs again", modkeep, || lookup(modkeep, version).status == 200);
}

fn until(what: &str, modkeep: &Program, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "not before long that {what}: {}", modkeep.said());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A go command believes what was signed.
fn assert_believed(modkeep: &Program, key: &VerifierKey) {
    let go = Go::new(modkeep.url(), &format!("{key} {}/log", modkeep.url())).with("GONOSUMDB", "");
    go.run(&["mod", "download", FINCH, MARSH]).expect_ok();
}

/// A program that signs with openssl, as long as the file `mode` beside it says `sign`.
fn program(folder: &Path) -> String {
    let seed: Vec<u8> =
        [&b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20"[..], &SEED].concat();
    std::fs::write(folder.join("key.der"), seed).unwrap();
    let place = folder.display();
    let script = format!(
        "#!/bin/sh\n\
         set -e\n\
         text=$(mktemp -p {place})\n\
         cat > $text\n\
         case $(cat {place}/mode) in\n\
         sign) openssl pkeyutl -sign -rawin -keyform DER -inkey {place}/key.der -in $text | base64 -w 0;;\n\
         hang) sleep 1000;;\n\
         die) exit 3;;\n\
         lie) head -c 64 /dev/zero | base64 -w 0;;\n\
         talk) yes;;\n\
         silent) ;;\n\
         esac\n"
    );
    let file = folder.join("signer");
    std::fs::write(&file, script).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    file.to_str().unwrap().to_owned()
}

/// A mirror whose log is signed by that program.
struct World {
    setup: Setup,
    _upstream: Upstream,
}

impl World {
    /// Not started.
    fn new(mode: &str) -> Self {
        let upstream = upstream();
        let setup = mirror_of(&upstream);
        let signer = program(setup.home());
        let world = Self { setup: with_signer(setup, &signer), _upstream: upstream };
        world.signer(mode);
        world
    }

    /// What its signer does from now on.
    fn signer(&self, mode: &str) {
        std::fs::write(self.setup.home().join("mode"), mode).unwrap();
    }

    /// Started, with one record.
    fn serve(&self) -> Program {
        let modkeep = self.setup.serve();
        assert_eq!(lookup(&modkeep, FINCH).status, 200, "{}", modkeep.said());
        modkeep
    }
}

#[test]
fn a_program_signs_and_when_it_does_not_nothing_false_is_shown() {
    let world = World::new("sign");
    let modkeep = world.serve();
    let head = modkeep.get("/log/latest").body;
    for trouble in ["die", "lie", "talk", "silent"] {
        world.signer(trouble);
        assert_paused(&modkeep, MARSH);
        assert_eq!(modkeep.get("/log/latest").body, head, "{trouble}: the head that was signed");
    }
    world.signer("sign");
    until_found(&modkeep, MARSH);
    assert_believed(&modkeep, &key().verifier());
    assert_eq!(log_size(&modkeep), 2);
    modkeep.stop();
    ended(&world.setup.run(&["log", "fsck"]), 0);
}

/// The key is elsewhere, so nothing lies beside it: the copy of the newest head has a place of its own (R5, C4 check 2).
#[test]
fn hostile_i17_an_old_copy_is_not_signed_from_by_a_program_either() {
    let World { setup, _upstream } = World::new("sign");
    let unheard = "nothing outside the data directory remembers the newest head";
    let sums = |name: &str, version: &str| {
        let file = setup.home().join(format!("{name}.list"));
        std::fs::write(&file, version).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let (finch, marsh, tern) = (sums("finch", FINCH), sums("marsh", MARSH), sums("tern", TERN));
    let said = ended(&setup.run(&["log", "import", &finch]), 0);
    assert!(said.contains(unheard) && said.contains("log.head_copy"), "{said}");
    let modkeep = setup.serve();
    assert_eq!(modkeep.said().matches(unheard).count(), 1, "{}", modkeep.said());
    modkeep.stop();

    let inside = setup.store().join("head").to_str().unwrap().to_owned();
    let setup = setup.with("MODKEEP_LOG_HEAD_COPY", &inside);
    let said = ended(&setup.run(&["log", "import", &finch]), 10);
    assert!(said.contains("log.head_copy") && said.contains("lies in the data directory"), "{said}");

    let head = setup.home().join("newest.head");
    let setup = setup.with("MODKEEP_LOG_HEAD_COPY", head.to_str().unwrap());
    let said = ended(&setup.run(&["log", "import", &finch]), 0);
    assert!(!said.contains(unheard), "{said}");
    let old = setup.home().join("old");
    copy_folder(setup.store(), &old);
    ended(&setup.run(&["log", "import", &marsh]), 0);
    assert_eq!(
        std::fs::read(&head).unwrap(),
        std::fs::read(setup.store().join("log/latest")).unwrap(),
        "it follows"
    );
    std::fs::remove_dir_all(setup.store()).unwrap();
    copy_folder(&old, setup.store());
    let refused = setup.run(&["log", "import", &tern]);
    assert!(!refused.status.success(), "{refused:?}");
    let modkeep = setup.serve();
    assert!(modkeep.said().contains("nothing will be signed"), "{}", modkeep.said());
    assert!(modkeep.said().contains(head.to_str().unwrap()), "{}", modkeep.said());
    assert_eq!(lookup(&modkeep, TERN).status, 503);
    assert_eq!(log_size(&modkeep), 1);
}

#[test]
fn a_program_that_hangs_is_ended_with_its_children() {
    let world = World::new("sign");
    let modkeep = world.serve();
    world.signer("hang");
    assert_paused(&modkeep, MARSH);
    world.signer("sign");
    until_found(&modkeep, MARSH);
    assert_believed(&modkeep, &key().verifier());
}

/// What the signer behind the socket does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mood {
    Signs,
    Lies,
    HangsUp,
    Talks,
}

/// Signs whatever is brought to a socket, as its mood is.
fn socket(folder: &Path) -> (String, Arc<Mutex<Mood>>) {
    let place = folder.join("signer.socket");
    let listener = UnixListener::bind(&place).unwrap();
    let mood = Arc::new(Mutex::new(Mood::Signs));
    let told = Arc::clone(&mood);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            answer(stream, *told.lock().unwrap_or_else(PoisonError::into_inner));
        }
    });
    (format!("unix:{}", place.display()), mood)
}

fn answer(mut stream: UnixStream, mood: Mood) {
    let mut text = String::new();
    if stream.read_to_string(&mut text).is_err() {
        return;
    }
    let line = |text: &str| key().sign_line(text).unwrap();
    let answer = match mood {
        Mood::Signs => base64(line(&text).bytes()),
        Mood::Lies => base64(line("something else\n").bytes()),
        Mood::Talks => "A".repeat(1 << 20),
        Mood::HangsUp => return,
    };
    let _ = stream.write_all(answer.as_bytes());
}

/// Of the signature behind the key hash.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let signature = &bytes[bytes.len() - 64..];
    let mut text = String::new();
    for group in signature.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at > group.len() { '=' } else { digit.into() });
        }
    }
    text
}

#[test]
fn a_socket_signs_and_when_it_does_not_nothing_false_is_shown() {
    let upstream = upstream();
    let setup = mirror_of(&upstream);
    let (signer, mood) = socket(setup.home());
    let setup = with_signer(setup, &signer);
    let modkeep = setup.serve();
    let feel = |new: Mood| *mood.lock().unwrap() = new;
    assert_eq!(lookup(&modkeep, FINCH).status, 200, "{}", modkeep.said());
    for trouble in [Mood::Lies, Mood::HangsUp, Mood::Talks] {
        feel(trouble);
        assert_paused(&modkeep, MARSH);
        assert_eq!(log_size(&modkeep), 1, "{trouble:?}");
    }
    feel(Mood::Signs);
    until_found(&modkeep, MARSH);
    assert_believed(&modkeep, &key().verifier());
}

#[test]
fn a_log_that_was_never_signed_is_closed_and_says_so() {
    let World { setup, _upstream } = World::new("die");
    let modkeep = setup.serve();
    for path in [format!("/log/lookup/{TERN}"), "/log/latest".to_owned(), format!("/sumdb/{LOG}/latest")] {
        let told = modkeep.get(&path);
        assert_eq!((told.status, told.code()), (503, Some("log-closed")), "{path}: {}", told.text());
        assert!(told.text().contains("[log-closed]"), "{}", told.text());
        assert!(
            !told.text().contains(setup.home().to_str().unwrap()),
            "our paths stay here: {}",
            told.text()
        );
    }
    let ready = modkeep_testkit::get(&format!("{}/readyz?verbose", modkeep.admin())).text();
    assert!(ready.contains("not served"), "{ready}");
    assert_eq!(modkeep.get("/example.com/tern/@v/v1.5.2.mod").status, 200, "modules are served");
    assert_eq!(modkeep.get("/e/log-closed").status, 200);
}

#[test]
fn a_log_whose_matter_cannot_be_read_is_closed_and_says_so() {
    let upstream = upstream();
    let (setup, _) = crate::with_log(mirror_of(&upstream));
    let modkeep = setup.serve();
    assert_eq!(lookup(&modkeep, FINCH).status, 200);
    modkeep.stop();
    std::fs::write(setup.store().join("log/log.sqlite"), [0x5a; 8192]).unwrap();
    for file in ["log/log.sqlite-wal", "log/log.sqlite-shm"] {
        let _ = std::fs::remove_file(setup.store().join(file));
    }
    let modkeep = setup.serve();
    let told = lookup(&modkeep, FINCH);
    assert_eq!((told.status, told.code()), (503, Some("log-closed")), "{}", told.text());
    assert_eq!(modkeep.get("/example.com/tern/@v/v1.5.2.mod").status, 200, "modules are served");
}
