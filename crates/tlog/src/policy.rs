//! Policies: which logs, which witnesses, and how many of them. Spec B5; C2SP tlog-policy.
//!
//! One format says whom our log asks, what a mirror requires of an upstream, and what an audit requires.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString as _},
    vec::Vec,
};
use core::str;

use crate::{
    checkpoint::{CheckpointError, GO_SUM_ORIGIN, SignedCheckpoint},
    cosignature::{Cosignature, WitnessKey},
    hash::decimal,
    note::{Note, NoteError, VerifierKey},
};

/// More logs, witnesses or groups, of each, are refused. The format asks for 32 at least.
pub const ENTRIES_MAX: usize = 256;
/// A longer policy is refused unread: 256 witnesses with ML-DSA-44 keys take half of it.
pub const POLICY_BYTES_MAX: usize = 1_000_000;

/// What must be true of a checkpoint: signed by a log of these, cosigned by a quorum of these witnesses.
///
/// Text form, line by line, names defined before use: `log VKEY [URL]`, `witness NAME VKEY [URL]`,
/// `group NAME all|any|K MEMBER…`, once `quorum NAME|none`; empty lines and comments after `#`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    quorum: Quorum,
}

/// A log of a policy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PolicyLog {
    /// Its key, whose name is the origin of its checkpoints.
    pub key: VerifierKey,
    /// Where it is, in the policy's own bytes.
    pub url: Option<Box<[u8]>>,
}

/// A witness of a policy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PolicyWitness {
    /// What the policy calls it: opaque bytes, of no meaning elsewhere.
    pub name: Box<[u8]>,
    /// Its key.
    pub key: WitnessKey,
    /// Where it takes submissions, in the policy's own bytes.
    pub url: Option<Box<[u8]>>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Group {
    name: Box<[u8]>,
    threshold: usize,
    members: Vec<Member>,
}

/// Who must have cosigned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Quorum {
    Nobody,
    Of(Member),
}

/// A witness or a group, by its place in the policy.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Member {
    Witness(usize),
    Group(usize),
}

/// Why a text is no policy: the number of the line, from 1, and what is wrong with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("policy, line {line}: {what}")]
pub struct PolicyError {
    /// The line; the one after the last when something is missing.
    pub line: usize,
    /// What is wrong.
    pub what: &'static str,
}

/// A checkpoint that a policy accepts. Only [`Policy::judge`] makes one.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Accepted {
    /// The checkpoint, signed by a log of the policy.
    pub checkpoint: SignedCheckpoint,
    /// The cosignatures of the policy's witnesses.
    pub cosignatures: Vec<Cosignature>,
}

/// Why a policy does not accept a checkpoint.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotAccepted {
    /// Not a checkpoint, or a known key's line does not verify, or no log of the policy has signed it.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Too few witnesses have cosigned. The text names who is missing, group by group.
    #[error("quorum not met: {0}")]
    QuorumNotMet(String),
}

impl Policy {
    /// Reads a policy, with every refusal of the format. Each line ends in LF.
    pub fn parse(text: &[u8]) -> Result<Self, PolicyError> {
        Reader::default().read(text)
    }

    /// The logs. There may be none, where they are known from elsewhere.
    pub fn logs(&self) -> &[PolicyLog] {
        &self.logs
    }

    /// The witnesses.
    pub fn witnesses(&self) -> &[PolicyWitness] {
        &self.witnesses
    }

    /// The keys of the witnesses.
    pub fn witness_keys(&self) -> Vec<WitnessKey> {
        self.witnesses.iter().map(|witness| witness.key.clone()).collect()
    }

    /// Judges a note: opened with the policy's logs, its origin the name of the key that signed (or that of all go.sum
    /// heads), and cosigned by the quorum.
    pub fn judge(&self, note: Note) -> Result<Accepted, NotAccepted> {
        let keys: Vec<VerifierKey> = self.logs.iter().map(|log| log.key.clone()).collect();
        let checkpoint = SignedCheckpoint::verify(note, &keys)?;
        let origin = checkpoint.origin();
        if origin != GO_SUM_ORIGIN && checkpoint.own().iter().all(|line| line.name() != origin) {
            return Err(CheckpointError::Origin(origin.into()).into());
        }
        if !checkpoint.checkpoint().is_possible() {
            return Err(CheckpointError::Malformed("the empty tree has another root").into());
        }
        self.judge_signed(checkpoint)
    }

    /// Judges a checkpoint whose log is known from elsewhere: whether the quorum has cosigned it.
    pub fn judge_signed(&self, checkpoint: SignedCheckpoint) -> Result<Accepted, NotAccepted> {
        let cosignatures = checkpoint.cosignatures(&self.witness_keys())?;
        self.check_quorum(&cosignatures)?;
        Ok(Accepted { checkpoint, cosignatures })
    }

    /// Whether these cosignatures, all of one checkpoint, are a quorum; [`NotAccepted::QuorumNotMet`] says who lacks.
    pub fn check_quorum(&self, cosignatures: &[Cosignature]) -> Result<(), NotAccepted> {
        let Quorum::Of(quorum) = self.quorum else { return Ok(()) };
        let signed: Vec<bool> = self
            .witnesses
            .iter()
            .map(|witness| cosignatures.iter().any(|cosignature| *cosignature.key() == witness.key))
            .collect();
        // Groups name only earlier ones, so one pass in order settles all.
        let mut settled: Vec<bool> = Vec::new();
        for group in &self.groups {
            let present = group.members.iter().filter(|member| member.is_in(&signed, &settled)).count();
            settled.push(present >= group.threshold);
        }
        if quorum.is_in(&signed, &settled) {
            return Ok(());
        }
        Err(NotAccepted::QuorumNotMet(self.lacking(quorum, &signed, &settled)))
    }

    /// What an unmet member lacks: `both: 1 of 2 needed 2, without w2`, then its unmet groups.
    fn lacking(&self, member: Member, signed: &[bool], settled: &[bool]) -> String {
        let mut lines: Vec<String> = Vec::new();
        let mut open = Vec::from([member]);
        while let Some(member) = open.pop() {
            let Some(group) = self.group(member) else {
                lines.push(format!("{} has not cosigned", self.name(member)));
                continue;
            };
            let lacking: Vec<&Member> =
                group.members.iter().filter(|member| !member.is_in(signed, settled)).collect();
            let names: Vec<String> = lacking.iter().map(|member| self.name(**member)).collect();
            let have = group.members.len().saturating_sub(lacking.len());
            lines.push(format!(
                "{} has {have} of the {} it needs, without {}",
                self.name(member),
                group.threshold,
                names.join(", ")
            ));
            open.extend(lacking.into_iter().filter(|member| self.group(**member).is_some()));
        }
        lines.join("; ")
    }

    fn group(&self, member: Member) -> Option<&Group> {
        match member {
            Member::Group(number) => self.groups.get(number),
            Member::Witness(_) => None,
        }
    }

    fn name(&self, member: Member) -> String {
        let name = match member {
            Member::Witness(number) => self.witnesses.get(number).map(|witness| &witness.name),
            Member::Group(number) => self.groups.get(number).map(|group| &group.name),
        };
        name.map(|name| String::from_utf8_lossy(name).to_string()).unwrap_or_default()
    }
}

impl Member {
    fn is_in(self, witnesses: &[bool], groups: &[bool]) -> bool {
        match self {
            Self::Witness(number) => witnesses.get(number),
            Self::Group(number) => groups.get(number),
        }
        .copied()
        .unwrap_or(false)
    }
}

/// A policy in the making.
#[derive(Default)]
struct Reader<'a> {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    quorum: Option<Quorum>,
    names: BTreeMap<&'a [u8], Member>,
    /// Who is a member of some group already.
    placed: BTreeSet<Member>,
}

impl<'a> Reader<'a> {
    fn read(mut self, text: &'a [u8]) -> Result<Policy, PolicyError> {
        if text.len() > POLICY_BYTES_MAX {
            return Err(PolicyError { line: 1, what: "longer than 1,000,000 bytes" });
        }
        let mut line = 1_usize;
        for bytes in text.split_inclusive(|b| *b == b'\n') {
            let at = |what| PolicyError { line, what };
            let bytes = bytes.strip_suffix(b"\n").ok_or(at("does not end in a line feed"))?;
            self.line(bytes).map_err(at)?;
            line = line.saturating_add(1);
        }
        let quorum = self.quorum.ok_or(PolicyError { line, what: "no quorum line" })?;
        Ok(Policy { logs: self.logs, witnesses: self.witnesses, groups: self.groups, quorum })
    }

    fn line(&mut self, line: &'a [u8]) -> Result<(), &'static str> {
        if line.iter().any(|b| !matches!(b, b'\t' | 0x20..=0x7e | 0x80..=0xff)) {
            return Err("control character");
        }
        let mut items = line.split(|b| matches!(b, b' ' | b'\t')).filter(|item| !item.is_empty());
        let items = &mut items;
        match items.next() {
            None | Some([b'#', ..]) => return Ok(()),
            Some(b"log") => self.log(items),
            Some(b"witness") => self.witness(items),
            Some(b"group") => self.group(items),
            Some(b"quorum") => self.quorum(items),
            Some(_) => Err("neither log nor witness, group nor quorum"),
        }?;
        if items.next().is_some() { Err("more items than the line can have") } else { Ok(()) }
    }

    fn log(&mut self, items: &mut impl Iterator<Item = &'a [u8]>) -> Result<(), &'static str> {
        let key = VerifierKey::parse(key_text(items.next())?).map_err(|_| "not the key of a log")?;
        if self.logs.iter().any(|log| log.key.public_key() == key.public_key()) {
            return Err("a log with this key is there already");
        }
        push(&mut self.logs, PolicyLog { key, url: items.next().map(Into::into) })
    }

    fn witness(&mut self, items: &mut impl Iterator<Item = &'a [u8]>) -> Result<(), &'static str> {
        let name = items.next().ok_or("no name")?;
        let key = WitnessKey::parse(key_text(items.next())?).map_err(|_| "not the key of a witness")?;
        if self.witnesses.iter().any(|witness| witness.key.public_key() == key.public_key()) {
            return Err("a witness with this key is there already");
        }
        self.define(name, Member::Witness(self.witnesses.len()))?;
        let url = items.next().map(Into::into);
        push(&mut self.witnesses, PolicyWitness { name: name.into(), key, url })
    }

    fn group(&mut self, items: &mut impl Iterator<Item = &'a [u8]>) -> Result<(), &'static str> {
        let name = items.next().ok_or("no name")?;
        let threshold = items.next().ok_or("neither all nor any nor a number")?;
        let members = items.map(|name| self.member(name)).collect::<Result<Vec<_>, _>>()?;
        let threshold = match threshold {
            b"all" => members.len(),
            b"any" => 1,
            number => str::from_utf8(number)
                .ok()
                .and_then(decimal)
                .and_then(|number| usize::try_from(number).ok())
                .ok_or("neither all nor any nor a number")?,
        };
        if members.is_empty() {
            return Err("a group without members");
        }
        if !(1..=members.len()).contains(&threshold) {
            return Err("the number is not from 1 to that of the members");
        }
        self.define(name, Member::Group(self.groups.len()))?;
        push(&mut self.groups, Group { name: name.into(), threshold, members })
    }

    fn quorum(&mut self, items: &mut impl Iterator<Item = &'a [u8]>) -> Result<(), &'static str> {
        let quorum = match items.next().ok_or("no name")? {
            b"none" => Quorum::Nobody,
            name => Quorum::Of(*self.names.get(name).ok_or("a name that is not defined before")?),
        };
        if self.quorum.replace(quorum).is_some() { Err("a second quorum line") } else { Ok(()) }
    }

    fn define(&mut self, name: &'a [u8], member: Member) -> Result<(), &'static str> {
        if name == b"none" {
            return Err("the name none is reserved");
        }
        if self.names.insert(name, member).is_some() { Err("a name defined twice") } else { Ok(()) }
    }

    /// A member of a group: each may be one once, so that a witness counts in one way only.
    fn member(&mut self, name: &[u8]) -> Result<Member, &'static str> {
        let member = *self.names.get(name).ok_or("a name that is not defined before")?;
        if self.placed.insert(member) { Ok(member) } else { Err("a member of a group already") }
    }
}

fn key_text(item: Option<&[u8]>) -> Result<&str, &'static str> {
    str::from_utf8(item.ok_or("no key")?).map_err(|_| "the key is not UTF-8")
}

fn push<T>(list: &mut Vec<T>, entry: T) -> Result<(), &'static str> {
    if list.len() >= ENTRIES_MAX {
        return Err("more than 256 of a kind");
    }
    list.push(entry);
    Ok(())
}

impl From<NoteError> for NotAccepted {
    fn from(error: NoteError) -> Self {
        Self::Checkpoint(error.into())
    }
}
