//! The witnesses of our own log: asked in the background, out of every answer's path (B3).

use std::collections::BTreeMap;
use std::str;
use std::sync::Arc;
use std::time::Duration;

use modkeep_egress::Egress;
use modkeep_store::LogStore;
use modkeep_tlog::cosignature::Algorithm;
use modkeep_tlog::policy::PolicyWitness;
use modkeep_tlog::{GO_SUM_ORIGIN, Policy, SignedCheckpoint, TreeSize, VerifierKey, WitnessKey};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use url::Url;

use super::ask::{Asker, CONTRADICTION, Reply, WITNESS_PATIENCE};
use super::feeder::Which;
use super::turn::Turn;
use crate::config::KnownHead;
use crate::event::Event;
use crate::head::Head;
use crate::log::Log;

/// Between two rounds: one question a second is what the witness network's lists agree on (86,400 a day).
const ROUND_PAUSE: Duration = Duration::from_secs(1);
/// Conflicts that are followed in one round: the first tells the size, a second that somebody else submits too.
const REDO_MAX: u32 = 2;

/// Whom a log asks, and how many of them must have cosigned: the witnesses of a policy that have an address.
#[derive(Clone, Debug)]
pub struct Panel {
    policy: Policy,
    /// By address: a witness with two keys is one witness, asked once.
    places: BTreeMap<Url, Vec<WitnessKey>>,
}

/// An address of a policy that is none.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("witness {witness}: {reason}")]
pub struct BadPlace {
    /// The witness, as the policy calls it.
    pub witness: String,
    /// What is wrong.
    pub reason: String,
}

impl Panel {
    /// The panel of a policy. A witness without an address is asked by nobody here; others may bring its cosignature.
    pub fn new(policy: Policy) -> Result<Self, BadPlace> {
        let mut places: BTreeMap<Url, Vec<WitnessKey>> = BTreeMap::new();
        for witness in policy.witnesses() {
            if let Some(url) = place_of(witness)? {
                places.entry(url).or_default().push(witness.key.clone());
            }
        }
        Ok(Self { policy, places })
    }

    /// The addresses: `egress` must have their hosts as configured ones.
    pub fn urls(&self) -> impl Iterator<Item = &Url> {
        self.places.keys()
    }

    fn askers(&self, egress: &Egress) -> Vec<Asker> {
        let asker = |(url, keys): (&Url, &Vec<WitnessKey>)| {
            Asker::new(egress.clone(), url.clone(), keys.clone(), WITNESS_PATIENCE)
        };
        self.places.iter().map(asker).collect()
    }
}

fn place_of(witness: &PolicyWitness) -> Result<Option<Url>, BadPlace> {
    let bad = |reason: &str| BadPlace {
        witness: String::from_utf8_lossy(&witness.name).into_owned(),
        reason: reason.to_owned(),
    };
    let Some(url) = &witness.url else { return Ok(None) };
    let url = str::from_utf8(url).ok().and_then(|url| Url::parse(url).ok());
    let url = url.filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
    let url = url.ok_or_else(|| bad("its address is no http or https URL"))?;
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(bad("its address has more than host and path"));
    }
    Ok(Some(url))
}

/// Asks the witnesses which size they have, before the log is opened: a head larger than our newest one keeps it from
/// signing (C4, check 2). Takes as long as the slowest, at most [`WITNESS_PATIENCE`].
///
/// A witness that is away says nothing; that is told, and does not keep the log from starting.
pub async fn known_heads(
    panel: &Panel,
    egress: &Egress,
    store: &LogStore,
    keys: &[VerifierKey],
) -> Vec<KnownHead> {
    let name = keys.first().map_or("", VerifierKey::name);
    // What cannot be read is found, and told, by whoever opens the log.
    let Ok(Some(head)) = store.newest_head() else { return Vec::new() };
    let Ok(checkpoint) = SignedCheckpoint::open(&head.checkpoint, name, keys) else { return Vec::new() };
    let mut asking = JoinSet::new();
    for asker in panel.askers(egress) {
        let checkpoint = checkpoint.clone();
        asking.spawn(async move {
            let size = checkpoint.head().size;
            (asker.name().to_owned(), asker.submit(size, Vec::new(), &checkpoint).await)
        });
    }
    let mut known = Vec::new();
    while let Some(answered) = asking.join_next().await {
        let Ok((witness, reply)) = answered else { continue };
        match reply {
            Reply::Conflict(size) => {
                known.push(KnownHead { seen_by: format!("the witness {witness}"), size, root: None });
            }
            // It has recorded this very head: of another size it would say so, of another root refuse.
            Reply::Cosigned(_) => {
                let (seen_by, root) = (format!("the witness {witness}"), Some(head.root));
                known.push(KnownHead { seen_by, size: head.size, root });
            }
            reply => tracing::warn!(event = "witness", %witness, "not known what it has seen: {reply}"),
        }
    }
    known
}

/// Collects cosignatures of the newest checkpoint, or of the newest head itself. One task; its owner runs
/// [`run`](Self::run).
///
/// It works in rounds: all witnesses that are due are asked about one head, each with one question in flight, so that a
/// quorum cosigns the same size; then about the newest head again. A witness that fails rests, longer each time, and
/// holds nobody up for more than [`WITNESS_PATIENCE`] and its redoes.
#[derive(Debug)]
pub struct Collector {
    log: Log,
    which: Which,
    panel: Panel,
    keys: Vec<WitnessKey>,
    askers: Vec<Asker>,
    turns: Vec<Turn>,
    /// The checkpoint of the last round with every cosignature that it has got.
    gathered: Option<SignedCheckpoint>,
}

/// What one round brought, as far as it has come.
#[derive(Debug, Default)]
struct Round {
    /// Who was asked and has cosigned.
    cosigned: Vec<usize>,
    /// Whether lines came that are not kept yet.
    unkept: bool,
    /// Whether the quorum was seen in this round.
    met: bool,
}

impl Collector {
    /// A collector for this log's checkpoint (B3).
    pub fn new(log: Log, panel: Panel, egress: &Egress) -> Self {
        let keys = panel.policy.witness_keys();
        Self::of(log, Which::Checkpoint, panel, keys, egress)
    }

    /// A collector for the head itself, whose first line all checksum databases share (`heads.cosign_latest`, B2): each
    /// witness that watches this log by that line, and no other one, adds its Ed25519 lines to `latest` and lookups. How
    /// many there are is nobody's condition.
    pub fn of_heads(log: Log, panel: Panel, egress: &Egress) -> Self {
        let mut keys = panel.policy.witness_keys();
        keys.retain(|key| key.algorithm() == Algorithm::Ed25519);
        Self::of(log, Which::Latest, panel, keys, egress)
    }

    fn of(log: Log, which: Which, panel: Panel, keys: Vec<WitnessKey>, egress: &Egress) -> Self {
        let askers = panel.askers(egress);
        let turns = vec![Turn::default(); askers.len()];
        Self { log, which, keys, panel, askers, turns, gathered: None }
    }

    /// Asks until the log is closed. Cancel safe: what was not kept is asked for again at the next start.
    pub async fn run(mut self) {
        if self.askers.is_empty() {
            return;
        }
        loop {
            let (head, now) = (self.log.latest(), Instant::now());
            let due: Vec<usize> = (0..)
                .zip(&self.turns)
                .filter(|(_, turn)| turn.due(head.size, now) <= now)
                .map(|(i, _)| i)
                .collect();
            if !due.is_empty() {
                self.round(&head, &due).await;
                sleep(ROUND_PAUSE).await;
                continue;
            }
            let Some(next) = self.turns.iter().map(|turn| turn.due(head.size, now)).min() else { return };
            tokio::select! {
                newer = self.log.head_after(head.size) => if newer.is_none() { return },
                () = sleep_until(next) => {}
            }
        }
    }

    async fn round(&mut self, head: &Arc<Head>, due: &[usize]) {
        let Some(mut gathered) = self.begin(head) else { return };
        let mut asking = JoinSet::new(); // aborted when the round is dropped
        for index in due {
            let (Some(asker), Some(turn)) = (self.askers.get(*index), self.turns.get(*index)) else {
                continue;
            };
            let (asker, log, index) = (asker.clone(), self.log.clone(), *index);
            let (recorded, checkpoint) = (turn.recorded, gathered.without_cosignatures());
            asking.spawn(async move { (index, ask(&asker, &log, recorded, &checkpoint).await) });
        }
        let mut round = Round::default();
        while let Some(answered) = asking.join_next().await {
            let Ok((index, reply)) = answered else { continue };
            self.note(index, &reply, head.size);
            if let Reply::Cosigned(lines) = reply {
                for line in lines.into_iter().filter(|line| self.keys.contains(line.key())) {
                    round.unkept |= gathered.add(line).is_ok();
                }
                round.cosigned.push(index);
            }
            if !round.met {
                self.keep(&gathered, &mut round).await;
            }
        }
        if round.unkept {
            self.keep(&gathered, &mut round).await;
        }
        self.gathered = Some(gathered);
    }

    /// The checkpoint of this head with the cosignatures that are known of it.
    fn begin(&mut self, head: &Arc<Head>) -> Option<SignedCheckpoint> {
        if let Some(gathered) = self.gathered.take().filter(|gathered| gathered.head() == head.tree()) {
            return Some(gathered);
        }
        let (origin, plain, kept) = match self.which {
            Which::Checkpoint => (self.log.name(), &head.checkpoint, self.log.cosigned()),
            Which::Latest => (GO_SUM_ORIGIN, &head.note, self.log.shared().cosigned_note()),
        };
        let open = |note: &[u8]| SignedCheckpoint::open(note, origin, self.log.keys()).ok();
        let kept = kept.filter(|(size, _)| *size == head.size);
        kept.and_then(|(_, note)| open(&note))
            .filter(|kept| kept.head() == head.tree())
            .or_else(|| open(plain))
    }

    /// Keeps the checkpoint when the policy is met.
    async fn keep(&mut self, gathered: &SignedCheckpoint, round: &mut Round) {
        let Ok(cosignatures) = gathered.cosignatures(&self.keys) else { return };
        if cosignatures.is_empty() {
            return;
        }
        if self.which == Which::Latest {
            if round.unkept {
                round.unkept = false;
                self.log
                    .shared()
                    .put_cosigned_note(gathered.head().size, gathered.to_text().into_bytes().into());
            }
            return;
        }
        if self.panel.policy.check_quorum(&cosignatures).is_err() {
            return;
        }
        round.met = true;
        if !round.unkept {
            return;
        }
        let size = gathered.head().size;
        match self.log.put_checkpoint(size, gathered.to_text().into_bytes().into()).await {
            Ok(()) => {
                round.unkept = false;
                let event = Event::Cosigned { size, cosignatures: cosignatures.len() };
                self.log.tell(&event);
            }
            Err(error) => {
                tracing::warn!(
                    event = "witness",
                    size = size.get(),
                    "the cosigned checkpoint is not kept: {error}"
                );
                let now = Instant::now();
                for index in &round.cosigned {
                    self.turns.get_mut(*index).into_iter().for_each(|turn| turn.again(now, chance()));
                }
            }
        }
    }

    /// Remembers what a witness said, and tells it.
    fn note(&mut self, index: usize, reply: &Reply, size: TreeSize) {
        let (Some(asker), Some(turn)) = (self.askers.get(index), self.turns.get_mut(index)) else { return };
        let now = Instant::now();
        // A refusal under the line that all databases share may be meant for another one: it is no verdict on this log.
        match (self.which, reply) {
            (Which::Latest, Reply::Refused { .. }) => {
                tracing::warn!(event = "witness", witness = asker.name(), "a head is not cosigned: {reply}");
            }
            _ => self.log.tell(&Event::Witness { witness: asker.name(), size, reply }),
        }
        match reply {
            Reply::Cosigned(_) => turn.cosigned(size, now),
            Reply::Conflict(told) => {
                turn.recorded = Some(*told);
                turn.failed(now, chance());
                // Under the line that all databases share it may have seen another one.
                if self.which == Which::Checkpoint && *told > self.log.latest().size {
                    self.log.is_ahead(&format!("the witness {}", asker.name()), *told);
                }
            }
            Reply::Refused { status: CONTRADICTION, text } if self.which == Which::Checkpoint => {
                turn.failed(now, chance());
                self.log.tell(&Event::WitnessContradicts { witness: asker.name(), size, text });
            }
            Reply::Refused { .. } | Reply::Away { .. } => turn.failed(now, chance()),
        }
    }
}

/// Submits the checkpoint from the size that the witness has, which it tells where we do not know it.
async fn ask(asker: &Asker, log: &Log, recorded: Option<TreeSize>, checkpoint: &SignedCheckpoint) -> Reply {
    let size = checkpoint.head().size;
    // From its own size on nothing needs a proof: where we know nothing, that finds out what it has.
    let mut old = recorded.filter(|recorded| *recorded <= size).unwrap_or(size);
    let mut reply = submit(asker, log, old, checkpoint).await;
    for _ in 0..REDO_MAX {
        let Reply::Conflict(told) = reply else { return reply };
        if told > size || told == old {
            return reply;
        }
        old = told;
        reply = submit(asker, log, old, checkpoint).await;
    }
    reply
}

async fn submit(asker: &Asker, log: &Log, old: TreeSize, checkpoint: &SignedCheckpoint) -> Reply {
    let (reading, size) = (log.clone(), checkpoint.head().size);
    let away = |reason: String| Reply::Away { reason };
    match tokio::task::spawn_blocking(move || reading.consistency(old, size)).await {
        Ok(Ok(Some(proof))) => asker.submit(old, proof, checkpoint).await,
        Ok(Ok(None)) => away(format!("no proof from {old} to {size}")),
        Ok(Err(error)) => away(format!("no proof from {old} to {size}: {error}")),
        Err(error) => away(error.to_string()),
    }
}

/// Any number; without randomness the pauses are a little too even.
fn chance() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}
