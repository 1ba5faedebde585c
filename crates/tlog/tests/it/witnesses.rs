//! Checkpoints, cosignatures and the witness's decision: `cosignatures.json`, `witness.json`, and what they lack.

use modkeep_tlog::{
    Checkpoint, GO_SUM_ORIGIN, Hash, Note, PosixTime, SignatureLine, SignedCheckpoint, SignerKey, TreeHead,
    TreeSize, VerifierKey, WitnessKey, WitnessSigner,
    checkpoint::CheckpointError,
    cosignature::Algorithm,
    note::{KeyError, NoteError},
    proof::prove_consistency,
    witness::{self, AddCheckpoint, Refusal, WitnessedLog},
};
use sha2::{Digest as _, Sha256};

use crate::{
    driver::{LOG, signer, size},
    vectors::{number, rows, text, vectors},
};

/// The origin of the checkpoints in the vectors.
pub(crate) const ORIGIN: &str = "log.example.org/sums";

/// A test key: its seed is that of `testdata/vectors/README.md`.
pub(crate) fn seed(tag: &str) -> [u8; 32] {
    Sha256::digest(format!("test key: {tag}")).into()
}

pub(crate) fn log_key() -> SignerKey {
    SignerKey::from_seed(ORIGIN, seed("checkpoint")).unwrap()
}

/// The Ed25519 witness of the vectors.
pub(crate) fn witness() -> WitnessSigner {
    WitnessSigner::from_seed("witness.example.org/w1", Algorithm::Ed25519, seed("witness")).unwrap()
}

pub(crate) fn time(seconds: u64) -> PosixTime {
    PosixTime::new(seconds).unwrap()
}

/// The checkpoint of `LOG` at this size, signed.
pub(crate) fn checkpoint(records: u64) -> SignedCheckpoint {
    let text = Checkpoint::new(ORIGIN, LOG.head(size(records)).unwrap()).unwrap();
    SignedCheckpoint::sign(text, &[&log_key()]).unwrap()
}

#[test]
fn checkpoint_is_signed_and_opened_as_in_the_vectors() {
    let vectors = vectors("cosignatures.json");
    let row = &vectors["checkpoint"];
    let key = VerifierKey::parse(text(row, "vkey")).unwrap();
    assert_eq!(log_key().to_text(), text(row, "skey"));
    let signed = checkpoint(300);
    assert_eq!(signed.checkpoint().to_text(), text(row, "body"));
    assert_eq!(signed.to_text(), text(row, "note"));
    assert_eq!(SignedCheckpoint::open(text(row, "note").as_bytes(), ORIGIN, &[key]).unwrap(), signed);

    // The same key, the same tree, the other text (B1).
    let head = Checkpoint::go_sum(signed.head());
    assert_eq!(head.to_text(), signed.head().to_text());
    let head = SignedCheckpoint::sign(head, &[&signer()]).unwrap();
    assert_eq!(head.to_text(), LOG.sign_head(size(300), &signer()).unwrap());
    assert!(SignedCheckpoint::open(head.to_text().as_bytes(), GO_SUM_ORIGIN, &[signer().verifier()]).is_ok());
}

#[test]
fn cosignatures_are_made_and_judged_as_in_the_vectors() {
    let vectors = vectors("cosignatures.json");
    let signed = checkpoint(300);
    let row = &vectors["ed25519"];
    assert_eq!(witness().key().to_string(), text(row, "vkey"));
    let cosignature = witness().cosign(signed.checkpoint(), time(number(row, "timestamp"))).unwrap();
    assert_eq!(format!("{}\n", cosignature.line()), text(row, "signature_line"));

    let key = WitnessKey::parse(text(row, "vkey")).unwrap();
    let line = SignatureLine::parse(text(row, "signature_line").trim_end()).unwrap();
    assert_eq!(key.verify(signed.checkpoint(), &line), Ok(cosignature));
}

#[test]
fn ml_dsa_keys_are_read_in_every_build() {
    let vectors = vectors("cosignatures.json");
    let key = WitnessKey::parse(text(&vectors["mldsa44"], "vkey")).unwrap();
    assert_eq!(key.to_string(), text(&vectors["mldsa44"], "vkey"));
    assert_eq!((key.algorithm(), key.public_key().len()), (Algorithm::MlDsa44, 1312));
    assert_eq!(key.is_supported(), cfg!(feature = "ml-dsa"));

    let log = VerifierKey::parse(text(&vectors["checkpoint"], "vkey")).unwrap();
    let cosigned =
        SignedCheckpoint::open(text(&vectors, "cosigned").as_bytes(), ORIGIN, std::slice::from_ref(&log))
            .unwrap();
    let both = [witness().key().clone(), key];
    let verified = cosigned.cosignatures(&both).unwrap();
    assert_eq!(verified.len(), if cfg!(feature = "ml-dsa") { 2 } else { 1 });
    assert!(verified.iter().all(|cosignature| cosignature.time().get() == 1_796_000_000));
}

#[cfg(feature = "ml-dsa")]
#[test]
fn ml_dsa_cosignatures_are_made_and_judged_as_in_the_vectors() {
    let vectors = vectors("cosignatures.json");
    let row = &vectors["mldsa44"];
    let (signed, name) = (checkpoint(300), "witness.example.org/w2");
    let signer = WitnessSigner::from_seed(name, Algorithm::MlDsa44, seed("witness-mldsa")).unwrap();
    assert_eq!(signer.key().to_string(), text(row, "vkey"));
    assert_eq!(WitnessSigner::parse(&signer.to_text()).unwrap().key(), signer.key());
    let cosignature = signer.cosign(signed.checkpoint(), time(number(row, "timestamp"))).unwrap();
    assert_eq!(format!("{}\n", cosignature.line()), text(row, "signature_line"));
    assert_eq!(signer.key().verify(signed.checkpoint(), cosignature.line()), Ok(cosignature.clone()));

    // Its message tells the name, so another name's key with the same bytes does not fit.
    let other = WitnessSigner::from_seed("witness.example.org/w3", Algorithm::MlDsa44, seed("witness-mldsa"));
    let other = other.unwrap().key().clone();
    let moved = SignatureLine::new(other.name(), other.hash(), cosignature.line().bytes()).unwrap();
    assert!(matches!(other.verify(signed.checkpoint(), &moved), Err(NoteError::BadSignature { .. })));
    let long = Checkpoint::new(&"o".repeat(256), signed.head()).unwrap();
    assert!(signer.cosign(&long, time(1)).is_err(), "an origin of 256 bytes has no ML-DSA message");
    let long = WitnessSigner::from_seed(&"w".repeat(256), Algorithm::MlDsa44, [1; 32]);
    assert_eq!(long.unwrap_err(), KeyError::Name);
}

#[test]
fn gosum_head_may_be_cosigned() {
    let vectors = vectors("cosignatures.json");
    let row = &vectors["gosum_head"];
    let log = VerifierKey::parse(text(row, "log_vkey")).unwrap();
    let key = WitnessKey::parse(text(row, "witness_vkey")).unwrap();
    let note = text(row, "note");
    let head = SignedCheckpoint::open(note.as_bytes(), GO_SUM_ORIGIN, &[log]).unwrap();
    assert_eq!(head.to_text(), note);
    let [cosignature] = &head.cosignatures(&[key]).unwrap()[..] else { panic!("one cosignature") };

    let mut again = head.without_cosignatures();
    assert!(again.others().is_empty());
    again.add(witness().cosign(again.checkpoint(), cosignature.time()).unwrap()).unwrap();
    assert_eq!(again.to_text(), note);
    // A newer one takes its place.
    let newer = witness().cosign(again.checkpoint(), time(1_796_000_001)).unwrap();
    again.add(newer.clone()).unwrap();
    assert_eq!(again.others(), [newer.into_line()]);
    // One over the checkpoint, whose origin is another, does not fit the head.
    let elsewhere = witness().cosign(checkpoint(300).checkpoint(), time(1)).unwrap();
    assert!(again.add(elsewhere).is_err());
}

#[test]
fn any_changed_bit_of_a_cosignature_is_refused() {
    let signed = checkpoint(300);
    let line = witness().cosign(signed.checkpoint(), time(1_796_000_000)).unwrap().into_line();
    for at in 0..line.bytes().len() {
        let mut bytes = line.bytes().to_vec();
        bytes[at] ^= 1;
        let line = SignatureLine::new(line.name(), line.key_hash(), &bytes).unwrap();
        assert!(witness().key().verify(signed.checkpoint(), &line).is_err(), "byte {at}");
    }
    for bytes in [&line.bytes()[..71], &line.bytes()[..7], &[line.bytes(), &[0]].concat()] {
        let line = SignatureLine::new(line.name(), line.key_hash(), bytes).unwrap();
        assert!(witness().key().verify(signed.checkpoint(), &line).is_err(), "{} bytes", bytes.len());
    }
    // The head says the same in both, the text does not.
    let other = Checkpoint::new("log.example.org/other", signed.head()).unwrap();
    assert!(witness().key().verify(&other, &line).is_err());
    // A line of a known witness that does not verify refuses the whole note (A5).
    let mut bad = Note::parse(signed.to_text().as_bytes()).unwrap();
    bad.put(SignatureLine::new(line.name(), line.key_hash(), &[0; 72]).unwrap()).unwrap();
    let bad = SignedCheckpoint::open(bad.to_text().as_bytes(), ORIGIN, &[log_key().verifier()]).unwrap();
    let refused = bad.cosignatures(&[witness().key().clone()]);
    assert!(matches!(refused, Err(CheckpointError::Note(NoteError::BadSignature { .. }))), "{refused:?}");
    assert_eq!(bad.cosignatures(&[]), Ok(Vec::new()));
}

#[test]
fn keys_of_logs_and_witnesses_do_not_mix() {
    let (log, witness) = (log_key(), witness());
    assert_eq!(VerifierKey::parse(&witness.key().to_string()), Err(KeyError::Algorithm));
    assert_eq!(WitnessKey::parse(&log.verifier().to_string()), Err(KeyError::Algorithm));
    assert_eq!(WitnessSigner::parse(&log.to_text()).unwrap_err(), KeyError::Algorithm);
    assert_eq!(SignerKey::parse(&witness.to_text()).unwrap_err(), KeyError::Algorithm);
    assert_eq!(WitnessSigner::parse(&witness.to_text()).unwrap().key(), witness.key());
    assert!(!format!("{witness:?}").contains("ed25519"), "the secret stays out of debug texts");
    let text = witness.key().to_string();
    for bad in [
        text.replace("w1+", "w2+"),
        text.replace("a0c335f5", "A0C335F5"),
        text.replace("+BE", "+BU"),
        text.replace("+BEXi", "+BEX"),
        text[..text.len() - 4].to_owned(),
    ] {
        assert!(WitnessKey::parse(&bad).is_err(), "{bad}");
    }
}

#[test]
fn signature_from_elsewhere_is_checked_before_it_is_shown() {
    let (key, text) = (log_key().verifier(), checkpoint(300).checkpoint().to_text());
    // What a device or a service returns is 64 bytes.
    let line = log_key().sign_line(&text).unwrap();
    assert_eq!(key.signature_line(&text, line.bytes()), Ok(line.clone()));
    let refused = key.signature_line(&text, &[0; 64]);
    assert!(matches!(refused, Err(NoteError::BadSignature { .. })), "{refused:?}");
    assert!(key.signature_line(&text, &line.bytes()[..63]).is_err());
    assert!(key.signature_line(text.trim_end(), line.bytes()).is_err());

    // Rotation: one text under the old and the new key (A5).
    let next = SignerKey::from_seed(ORIGIN, [5; 32]).unwrap();
    let note = Note::assemble(&text, [line, next.sign_line(&text).unwrap()]).unwrap();
    for keys in [&[key.clone()][..], &[next.verifier()], &[key, next.verifier()]] {
        let signed = SignedCheckpoint::open(note.to_text().as_bytes(), ORIGIN, keys).unwrap();
        assert_eq!((signed.own().len(), signed.others().len()), (keys.len(), 2 - keys.len()));
    }
}

#[test]
fn checkpoint_texts() {
    let root = LOG.root(size(300)).unwrap();
    for (text, valid) in [
        (format!("o\n300\n{root}\n"), true),
        (format!("go.sum database tree\n300\n{root}\n"), true),
        (format!("ö +x\n300\n{root}\nextension\n— more\n"), true),
        (format!("o\n0\n{root}\n"), true), // the witness's 422, and refused by `open`
        (String::new(), false),
        (format!("\n300\n{root}\n"), false),
        (format!("o\n300\n{root}"), false),
        (format!("o\n300\n{root}\n\n"), false),
        (format!("o\n300\n{root}\nx"), false),
        (format!("o\n300\n{root}\nx\n\ny\n"), false),
        (format!("o\n0300\n{root}\n"), false),
        (format!("o\n+300\n{root}\n"), false),
        (format!("o\n9223372036854775808\n{root}\n"), false),
        (format!("o\n300\n{root}=\n"), false),
        (format!("o\r\n300\n{root}\n"), false),
        (format!("o\t\n300\n{root}\n"), false),
        ("o\n300\n".to_owned(), false),
    ] {
        let parsed = Checkpoint::parse(&text);
        assert_eq!(parsed.is_ok(), valid, "{text:?}: {parsed:?}");
        if let Ok(parsed) = parsed {
            assert_eq!(parsed.to_text(), text);
        }
    }
    assert!(Checkpoint::new("", TreeHead::EMPTY).is_err());
    assert!(Checkpoint::new("a\nb", TreeHead::EMPTY).is_err());
    let odd = log_key().sign(&format!("{ORIGIN}\n0\n{root}\n")).unwrap();
    let refused = SignedCheckpoint::open(odd.as_bytes(), ORIGIN, &[log_key().verifier()]);
    assert!(matches!(refused, Err(CheckpointError::Malformed(_))), "{refused:?}");
    let note = checkpoint(300).to_text();
    let refused = SignedCheckpoint::open(note.as_bytes(), "log.example.org/other", &[log_key().verifier()]);
    assert_eq!(refused, Err(CheckpointError::Origin(ORIGIN.into())));
}

/// What a witness that knows the log of the vectors answers: a status, and the head to store or the size of a 409.
fn ask(body: &[u8], recorded: u64) -> (u64, Option<TreeHead>, String) {
    let log = WitnessedLog { origin: ORIGIN.into(), keys: vec![log_key().verifier()] };
    let decided = AddCheckpoint::parse(body)
        .and_then(|request| {
            let known = (request.origin() == log.origin).then_some(&log);
            request.authenticate(known)
        })
        .and_then(|submission| submission.decide(LOG.head(size(recorded)).unwrap()));
    match decided {
        Ok(head) => (200, Some(head), String::new()),
        Err(Refusal::Malformed(_) | Refusal::OldTooLarge) => (400, None, String::new()),
        Err(Refusal::UnknownOrigin) => (404, None, String::new()),
        Err(Refusal::BadSignature) => (403, None, String::new()),
        Err(Refusal::Conflict { size }) => (409, None, witness::conflict_body(size)),
        Err(Refusal::Unprocessable(_)) => (422, None, String::new()),
    }
}

#[test]
fn witness_decides_as_in_the_vectors() {
    for row in rows(&vectors("witness.json"), "requests") {
        let name = text(row, "name");
        let (status, stored, body) = ask(text(row, "request").as_bytes(), number(row, "witness_size"));
        assert_eq!(status, number(row, "status"), "{name}");
        assert_eq!(body, text(row, "response"), "{name}");
        if let Ok(request) = AddCheckpoint::parse(text(row, "request").as_bytes()) {
            assert_eq!(request.to_text(), text(row, "request"), "{name}");
            let claimed = Note::parse(text(row, "request").split_once("\n\n").unwrap().1.as_bytes()).unwrap();
            let claimed = Checkpoint::parse(claimed.text()).unwrap().head();
            assert_eq!(stored, (status == 200).then_some(claimed), "{name}");
        }
    }
}

/// A request with every part to choose.
fn request(old: u64, proof: &[Hash], note: &str) -> Vec<u8> {
    let proof: String = proof.iter().map(|hash| format!("{hash}\n")).collect();
    format!("old {old}\n{proof}\n{note}").into_bytes()
}

fn growth(old: u64, new: u64) -> Vec<Hash> {
    prove_consistency(&*LOG, size(old), size(new)).unwrap()
}

#[test]
fn witness_decides_what_the_vectors_lack() {
    let (hundred, large) = (checkpoint(100).to_text(), checkpoint(300).to_text());
    let proof = growth(100, 300);
    let bad_line = |note: &str| {
        let (text, line) = note.split_once("\n\n").unwrap();
        let line = SignatureLine::parse(line.trim_end()).unwrap();
        let mut bytes = line.bytes().to_vec();
        bytes[7] ^= 1;
        let line = SignatureLine::new(line.name(), line.key_hash(), &bytes).unwrap();
        Note::assemble(&format!("{text}\n"), [line]).unwrap().to_text()
    };
    let extended = log_key().sign(&format!("{}extension\n", checkpoint(300).checkpoint().to_text())).unwrap();
    let many: Vec<Hash> = (0..64).map(|i| Hash([i; 32])).collect();
    for (what, status, old, proof, note, recorded) in [
        ("non-empty proof at equal size", 422, 300, &proof[..1], &large, 300),
        ("bad signature by the trusted key", 403, 100, &proof, &bad_line(&large), 100),
        ("old larger than the checkpoint, whatever is recorded", 400, 300, &[], &hundred, 100),
        ("more than 63 proof lines", 400, 100, &many, &large, 100),
        ("63 proof lines are only a bad proof", 422, 100, &many[..63], &large, 100),
        ("extension lines", 200, 100, &proof, &extended, 100),
        ("unknown old of a known log", 409, 200, &growth(200, 300), &large, 100),
        ("bad signature counts before a conflict", 403, 0, &[], &bad_line(&large), 100),
        ("conflict counts before a bad proof", 409, 0, &proof, &large, 100),
        ("the witness is ahead", 409, 100, &proof, &large, 300),
        ("a hash too many", 422, 100, &[&proof[..], &proof[..1]].concat(), &large, 100),
    ] {
        assert_eq!(ask(&request(old, proof, note), recorded).0, status, "{what}");
    }
    let good = String::from_utf8(request(100, &proof, &large)).unwrap();
    for (what, body) in [
        ("no line feed", good.trim_end().to_owned()),
        ("CRLF", good.replace('\n', "\r\n")),
        ("plus sign", good.replace("old 100", "old +100")),
        ("two spaces", good.replace("old 100", "old  100")),
        ("above 2^63-1", good.replace("old 100", "old 9223372036854775808")),
        ("hash without padding", good.replacen("=\n", "\n", 1)),
        ("no empty line", good.replacen("\n\n", "\n", 1)),
        ("no note", good.split_once("\n\n").unwrap().0.to_owned() + "\n\n"),
        ("not a checkpoint", good.replace("\n300\n", "\n")),
        ("nothing", String::new()),
    ] {
        assert_eq!(ask(body.as_bytes(), 100).0, 400, "{what}");
    }
    assert_eq!(ask(&[good.as_bytes(), &[0xff, b'\n']].concat(), 100).0, 400, "not UTF-8");
    assert_eq!(ask(&vec![b'x'; witness::REQUEST_BYTES_MAX + 1], 100).0, 400, "too long");
}

#[test]
fn log_and_witness_understand_each_other() {
    let mut recorded = TreeHead::EMPTY;
    let log = WitnessedLog { origin: ORIGIN.into(), keys: vec![log_key().verifier()] };
    let mut guess = TreeSize::EMPTY;
    for (records, conflicts) in [(100, 0), (100, 0), (300, 0), (70_000, 1)] {
        let mut checkpoint = checkpoint(records);
        if conflicts > 0 {
            guess = TreeSize::EMPTY; // the log has forgotten
        }
        let mut refused = 0;
        let body = loop {
            let proof = growth(guess.get(), records);
            let sent = AddCheckpoint::new(guess, proof, &checkpoint).unwrap().to_text();
            let received = AddCheckpoint::parse(sent.as_bytes()).unwrap().authenticate(Some(&log)).unwrap();
            assert_eq!(received.checkpoint(), &checkpoint);
            match received.decide(recorded) {
                Ok(head) => {
                    recorded = head;
                    let cosigned = witness().cosign(received.checkpoint().checkpoint(), time(5)).unwrap();
                    break witness::answer(&[cosigned]);
                }
                Err(Refusal::Conflict { size }) => {
                    refused += 1;
                    guess = witness::recorded_size(witness::conflict_body(size).as_bytes()).unwrap();
                }
                Err(refusal) => panic!("{refusal}"),
            }
        };
        assert_eq!(refused, conflicts, "{records}");
        let keys = [witness().key().clone()];
        let cosignatures = witness::cosignatures(body.as_bytes(), checkpoint.checkpoint(), &keys).unwrap();
        assert_eq!(cosignatures.len(), 1);
        checkpoint.add(cosignatures[0].clone()).unwrap();
        guess = size(records);
    }
    assert_eq!(recorded, LOG.head(size(70_000)).unwrap());
    assert_eq!(AddCheckpoint::new(size(300), Vec::new(), &checkpoint(100)), Err(Refusal::OldTooLarge));
}

#[test]
fn answers_of_witnesses() {
    let signed = checkpoint(300);
    let keys = [witness().key().clone()];
    let good = witness().cosign(signed.checkpoint(), time(5)).unwrap();
    let of_another = witness().cosign(checkpoint(100).checkpoint(), time(5)).unwrap();
    let stranger = WitnessSigner::from_seed("stranger.example", Algorithm::Ed25519, [4; 32]).unwrap();
    let stranger = stranger.cosign(signed.checkpoint(), time(5)).unwrap();
    let all = witness::answer(&[stranger.clone(), of_another.clone(), good.clone(), good.clone()]);
    let kept = witness::cosignatures(all.as_bytes(), signed.checkpoint(), &keys);
    assert_eq!(kept, Ok(vec![good]), "known, verifying, and once");
    for none in [witness::answer(&[stranger]), witness::answer(&[of_another])] {
        assert_eq!(witness::cosignatures(none.as_bytes(), signed.checkpoint(), &keys), Ok(Vec::new()));
    }
    for bad in ["", "\n", "ok\n", &all.replace("— ", "- "), all.trim_end(), &all.repeat(26)] {
        assert!(witness::cosignatures(bad.as_bytes(), signed.checkpoint(), &keys).is_err(), "{bad:?}");
    }
    for (body, size) in [
        ("100\n", Some(100)),
        ("0\n", Some(0)),
        ("100", None),
        ("0100\n", None),
        ("100\n\n", None),
        ("", None),
    ] {
        assert_eq!(witness::recorded_size(body.as_bytes()).map(TreeSize::get), size, "{body:?}");
    }
    let path = witness::monitoring_path("example.org");
    assert_eq!(path, format!("{}/checkpoint", crate::vectors::sha256_hex(b"example.org")));
}
