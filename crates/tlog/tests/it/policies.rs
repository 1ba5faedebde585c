//! Policies: what is refused, and what a quorum is.

use modkeep_tlog::{
    Policy, SignedCheckpoint, SignerKey, WitnessSigner,
    checkpoint::CheckpointError,
    cosignature::Algorithm,
    policy::{ENTRIES_MAX, NotAccepted},
};
use proptest::prelude::*;

use crate::{
    vectors::{text, vectors},
    witnesses::{checkpoint, log_key, time},
};

fn witness(number: u8) -> WitnessSigner {
    WitnessSigner::from_seed(
        &format!("w{number}.example"),
        Algorithm::Ed25519,
        [number.wrapping_add(100); 32],
    )
    .unwrap()
}

fn witness_line(number: u8) -> String {
    format!("witness w{number} {}\n", witness(number).key())
}

/// A checkpoint that these witnesses have cosigned.
fn cosigned(by: &[u8]) -> SignedCheckpoint {
    let mut checkpoint = checkpoint(300);
    for number in by {
        checkpoint.add(witness(*number).cosign(checkpoint.checkpoint(), time(9)).unwrap()).unwrap();
    }
    checkpoint
}

fn judge(policy: &str, by: &[u8]) -> Result<(), NotAccepted> {
    let policy = Policy::parse(policy.as_bytes()).unwrap_or_else(|error| panic!("{error}: {policy}"));
    policy.judge_signed(cosigned(by)).map(|_| ())
}

#[test]
fn quorums_of_groups_within_groups() {
    let witnesses: String = (1..=6).map(witness_line).collect();
    let policy = format!(
        "{witnesses}group x 2 w1 w2 w3\ngroup y any w4 w5\ngroup x-and-y all x y\ngroup top 1 x-and-y w6\n"
    );
    let table: [(&str, &[u8], Result<(), &str>); 9] = [
        ("none", &[], Ok(())),
        ("w1", &[1], Ok(())),
        ("w1", &[2], Err("w1 has not cosigned")),
        ("x", &[1, 3], Ok(())),
        ("x", &[3], Err("x has 1 of the 2 it needs, without w1, w2")),
        ("x-and-y", &[1, 2, 5], Ok(())),
        (
            "x-and-y",
            &[1, 2, 3],
            Err("x-and-y has 1 of the 2 it needs, without y; y has 0 of the 1 it needs, without w4, w5"),
        ),
        ("top", &[6], Ok(())),
        (
            "top",
            &[1, 4],
            Err(
                "top has 0 of the 1 it needs, without x-and-y, w6; x-and-y has 1 of the 2 it needs, without x; \
             x has 1 of the 2 it needs, without w2, w3",
            ),
        ),
    ];
    for (quorum, by, expected) in table {
        let verdict = judge(&format!("{policy}quorum {quorum}\n"), by);
        let expected = expected.map_err(|why| NotAccepted::QuorumNotMet(why.to_owned()));
        assert_eq!(verdict, expected, "{quorum} {by:?}");
    }
}

#[test]
fn bad_policies() {
    let (log, w1, w2) = (log_key().verifier(), witness_line(1), witness_line(2));
    let (k1, mldsa) = (witness(1).key().to_string(), vectors("cosignatures.json"));
    let mldsa = text(&mldsa["mldsa44"], "vkey").to_owned();
    let renamed = WitnessSigner::from_seed("other", Algorithm::Ed25519, [101; 32]).unwrap();
    let log_renamed = SignerKey::from_seed("other", crate::witnesses::seed("checkpoint")).unwrap();
    for (what, line, policy) in [
        ("member twice", 3, format!("{w1}{w2}group g 1 w1 w1\nquorum g\n")),
        ("member of two groups", 4, format!("{w1}{w2}group g 1 w1\ngroup h 1 w2 w1\nquorum h\n")),
        ("group in two groups", 4, format!("{w1}group g 1 w1\ngroup h 1 g\ngroup i 1 g\nquorum i\n")),
        ("name twice", 2, format!("{w1}{}quorum w1\n", w2.replace("w2 ", "w1 "))),
        ("name of a group that is a witness's", 2, format!("{w1}group w1 any w1\nquorum w1\n")),
        ("k = 0", 2, format!("{w1}group g 0 w1\nquorum g\n")),
        ("k too large", 3, format!("{w1}{w2}group g 3 w1 w2\nquorum g\n")),
        ("k with a leading zero", 2, format!("{w1}group g 01 w1\nquorum g\n")),
        ("k with a sign", 2, format!("{w1}group g +1 w1\nquorum g\n")),
        ("k that is no number", 2, format!("{w1}group g some w1\nquorum g\n")),
        ("k that is huge", 2, format!("{w1}group g 18446744073709551617 w1\nquorum g\n")),
        ("no members", 2, format!("{w1}group g any\nquorum g\n")),
        ("all of nobody", 2, format!("{w1}group g all\nquorum g\n")),
        ("no threshold", 2, format!("{w1}group g\nquorum g\n")),
        ("member defined later", 2, format!("{w1}group g 1 w1 w2\n{w2}quorum g\n")),
        ("member of itself", 2, format!("{w1}group g any g\nquorum g\n")),
        ("none as a member", 2, format!("{w1}group g 1 none\nquorum g\n")),
        ("none as a group", 2, format!("{w1}group none 1 w1\nquorum none\n")),
        ("none as a witness", 1, format!("witness none {k1}\nquorum none\n")),
        ("quorum defined later", 1, format!("quorum w1\n{w1}")),
        ("no quorum", 2, w1.clone()),
        ("nothing", 1, String::new()),
        ("two quorums", 3, format!("{w1}quorum w1\nquorum none\n")),
        ("quorum of two", 3, format!("{w1}{w2}quorum w1 w2\n")),
        ("quorum of nobody", 1, "quorum\n".to_owned()),
        ("witness's key as a log's", 1, format!("log {k1}\nquorum none\n")),
        ("ML-DSA key as a log's", 1, format!("log {mldsa}\nquorum none\n")),
        ("log's key as a witness's", 1, format!("witness w {log}\nquorum w\n")),
        ("log without a key", 1, "log\nquorum none\n".to_owned()),
        ("witness without a key", 1, "witness w\nquorum w\n".to_owned()),
        ("witness without a name", 1, format!("witness {k1}\nquorum none\n")),
        ("log's key twice", 2, format!("log {log}\nlog {log}\nquorum none\n")),
        (
            "log's key under another name",
            2,
            format!("log {log}\nlog {}\nquorum none\n", log_renamed.verifier()),
        ),
        ("witness's key under another name", 2, format!("{w1}witness w9 {}\nquorum w9\n", renamed.key())),
        ("ML-DSA key twice", 2, format!("witness a {mldsa}\nwitness b {mldsa}\nquorum b\n")),
        (
            "wrong key hash",
            1,
            format!("log {}\nquorum none\n", log.to_string().replace("ee2743f9", "ee2743f8")),
        ),
        ("two URLs", 1, format!("log {log} https://a https://b\nquorum none\n")),
        ("unknown line", 1, "mirror x\nquorum none\n".to_owned()),
        ("capitals", 1, "Quorum none\n".to_owned()),
        ("CRLF", 1, "quorum none\r\n".to_owned()),
        ("control character in a comment", 1, "# \u{1}\nquorum none\n".to_owned()),
        ("DEL", 1, "# \u{7f}\nquorum none\n".to_owned()),
        ("no line feed at the end", 2, "# x\nquorum none".to_owned()),
    ] {
        let refused = Policy::parse(policy.as_bytes()).expect_err(what);
        assert_eq!(refused.line, line, "{what}: {refused}");
    }
    assert!(Policy::parse(&b"#\n".repeat(500_001)).is_err(), "too long");
}

#[test]
fn odd_policies_that_are_none_the_less() {
    let k1 = witness(1).key().to_string();
    // Names are bytes: a Kelvin sign is no K, and what is not UTF-8 is a name as well.
    let mut policy = Vec::from(b"# not UTF-8: \xff\n\n \t \n\t# x\nwitness K\xe2\x84\xaa\xff ");
    policy.extend_from_slice(format!("\t{k1} \thttps://ö\n group\tK any K").as_bytes());
    policy.extend_from_slice(b"\xe2\x84\xaa\xff\nquorum K \n");
    let policy = Policy::parse(&policy).unwrap();
    assert_eq!(policy.witnesses()[0].url.as_deref(), Some("https://ö".as_bytes()));
    assert!(policy.judge_signed(cosigned(&[1])).is_ok());
    // Words of the grammar are names too.
    assert_eq!(judge(&format!("witness all {k1}\ngroup 1 all all\nquorum 1\n"), &[1]), Ok(()));
    // A member of a group may be the quorum all the same, and a group need not count.
    assert_eq!(judge(&format!("{}group g any w1\nquorum w1\n", witness_line(1)), &[1]), Ok(()));
}

#[test]
fn policies_hold_many_of_each_and_not_any_number() {
    let number = |i: usize| u8::try_from(i).unwrap();
    let logs = |n: usize| -> String {
        let key = |i| SignerKey::from_seed("log.example", [number(i); 32]).unwrap().verifier();
        (0..n).map(|i| format!("log {}\n", key(i))).collect()
    };
    let witnesses = |n: usize| -> String { (0..n).map(|i| witness_line(number(i))).collect() };
    let groups = |n: usize| -> String { (0..n).map(|i| format!("group g{i} any w{i}\n")).collect() };
    let all: String = (0..100).map(|i| format!(" g{i}")).collect();
    let policy = format!("{}{}{}group g all{all}\nquorum g\n", logs(100), witnesses(100), groups(100));
    let everybody: Vec<u8> = (0..99).collect(); // with the log's own line, 100 lines
    let verdict = judge(&policy, &everybody);
    let why = "g has 99 of the 100 it needs, without g99; g99 has 0 of the 1 it needs, without w99";
    assert_eq!(verdict, Err(NotAccepted::QuorumNotMet(why.to_owned())));
    assert_eq!(judge(&policy.replace("g all", "g 99"), &everybody), Ok(()));

    let many = |n| format!("{}quorum none\n", logs(n));
    assert!(Policy::parse(many(ENTRIES_MAX).as_bytes()).is_ok());
    let one_more = SignerKey::from_seed("more.example", [9; 32]).unwrap();
    let other = SignerKey::from_seed("more.example", crate::witnesses::seed("more")).unwrap();
    assert!(
        Policy::parse(format!("log {}\n{}", one_more.verifier(), many(200)).as_bytes()).is_err(),
        "twice"
    );
    let refused = Policy::parse(format!("log {}\n{}", other.verifier(), many(ENTRIES_MAX)).as_bytes());
    assert_eq!(refused.unwrap_err().what, "more than 256 of a kind");
}

#[test]
fn checkpoint_of_a_log_that_the_policy_does_not_name() {
    let note = || modkeep_tlog::Note::parse(checkpoint(300).to_text().as_bytes()).unwrap();
    let judge = |policy: String| Policy::parse(policy.as_bytes()).unwrap().judge(note());
    assert!(judge(format!("log {}\nquorum none\n", log_key().verifier())).is_ok());
    // No log at all: for those who know theirs from elsewhere.
    assert!(matches!(
        judge("quorum none\n".to_owned()),
        Err(NotAccepted::Checkpoint(CheckpointError::Note(_)))
    ));
    // A log of the policy has signed what another log is to have said.
    let other = SignerKey::from_seed("other.example", [3; 32]).unwrap();
    let both = format!("log {}\nlog {}\nquorum none\n", log_key().verifier(), other.verifier());
    let stolen = other.sign(&checkpoint(300).checkpoint().to_text()).unwrap();
    let stolen = modkeep_tlog::Note::parse(stolen.as_bytes()).unwrap();
    let refused = Policy::parse(both.as_bytes()).unwrap().judge(stolen);
    assert!(matches!(refused, Err(NotAccepted::Checkpoint(CheckpointError::Origin(_)))), "{refused:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A threshold is what it says, and more cosignatures never hurt.
    #[test]
    fn k_of_n(n in 1..8_u8, k in 1..8_u8, signed in 0..=255_u8) {
        let k = k.min(n);
        let by: Vec<u8> = (0..n).filter(|i| (signed >> i) & 1 == 1).collect();
        let witnesses: String = (0..n).map(witness_line).collect();
        let members: String = (0..n).map(|i| format!(" w{i}")).collect();
        let verdict = judge(&format!("{witnesses}group g {k}{members}\nquorum g\n"), &by);
        prop_assert_eq!(verdict.is_ok(), by.len() >= usize::from(k));
    }
}
