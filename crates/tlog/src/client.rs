//! The verifying client: state machines that say what to fetch and judge what came. Spec A4, A8.
//!
//! Nothing here reads or writes. A driver calls `step`, fetches what it is told to, from its cache or from the log,
//! hands the bytes in, and calls `step` again until the machine is done or refuses:
//!
//! ```
//! # use modkeep_tlog::{RecordId, TreeBuilder, client::{Lookup, Step}, note::SignerKey, record::GoSumRecord};
//! # let key = SignerKey::from_seed("sums.example.org", [7; 32])?;
//! # let mut log = TreeBuilder::new();
//! # let record = GoSumRecord {
//! #     module: "example.com/m".into(), version: "v1.0.0".into(), zip_h1: [1; 32], go_mod_h1: [2; 32],
//! # };
//! # log.append(record.to_text()?);
//! # let fetch_lookup = |_path: &str| log.lookup(RecordId::new(0).unwrap(), log.size(), &key).unwrap();
//! # let fetch_tile = |tile: &_| log.tile(tile, log.size());
//! # let saved_head = None;
//! let mut lookup = Lookup::new(key.verifier(), saved_head, "example.com/m", "v1.0.0");
//! let outcome = loop {
//!     match lookup.step() {
//!         Step::NeedLookup { path, .. } => lookup.supply_lookup(&fetch_lookup(&path)),
//!         Step::NeedTiles { tiles, .. } => {
//!             for tile in tiles {
//!                 lookup.supply_tile(&tile, fetch_tile(&tile).as_deref()); // None: the log says 404
//!             }
//!         }
//!         Step::Done(outcome) => break outcome,
//!         Step::Failed(error) => return Err(error.into()),
//!     }
//! };
//! assert_eq!(outcome.record.zip_h1(), Some([1; 32]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What a driver keeps: the head of the outcome when it is larger than the saved one (compare and set; when another
//! task saved one meanwhile, run [`Head`] on the two), the tiles and the lookup. What it must not keep is anything
//! that has not come out of a machine: nothing else is authenticated.

use alloc::{borrow::ToOwned as _, boxed::Box, string::String, vec::Vec};
use core::mem;

use crate::{
    comparison::evidence,
    hash::{Hash, RecordId, TreeSize},
    head::{HeadError, SignedHead},
    lookup::{LookupPath, LookupPathError},
    note::VerifierKey,
    proof::{self, Node, NodeSource as _},
    record::{LookupAnswer, RecordError},
    tile::Tile,
    tree::Authentic,
};

mod machine;
mod merge;
mod tile_check;

pub use tile_check::{TileCheck, TileOutcome};

use machine::{Attempt, Machine, step};
use merge::{Merge, reopen};

/// What a machine wants next.
///
/// `bypass_cache` is false at first. When the answers then do not fit together, whoever forged or damaged them, the
/// machine drops them all and starts over, once, with `bypass_cache: true`: the driver then takes nothing from its own
/// cache and asks the caches on the way not to answer either (`Cache-Control: no-cache`). Only what fails again is a
/// fault of the log (A8). A fork needs no second look: both heads are signed.
#[derive(Clone, Debug)]
pub enum Step<T> {
    /// Fetch this lookup and hand it to `supply_lookup`.
    NeedLookup {
        /// `lookup/EM@EV`, no leading slash.
        path: String,
        /// See [`Step`].
        bypass_cache: bool,
    },
    /// Fetch these tiles, in any order or all at once, and hand each to `supply_tile`.
    NeedTiles {
        /// The tiles still missing: never empty, a dozen or so.
        tiles: Vec<Tile>,
        /// See [`Step`].
        bypass_cache: bool,
    },
    /// Everything is proven. The machine has ended.
    Done(T),
    /// Refused. The machine has ended.
    Failed(ClientError),
}

/// Why the client refuses.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ClientError {
    /// The module version asked for cannot be in any log.
    #[error(transparent)]
    BadName(#[from] LookupPathError),
    /// The answer to the lookup is not one (I10).
    #[error("lookup answer: {0}")]
    MalformedLookup(RecordError),
    /// The answer carries a head that the log's key has not signed, or that is no head.
    #[error("tree head: {0}")]
    BadHead(HeadError),
    /// The saved head does not open with the log's key: our own state is damaged, or the key was changed without
    /// overlap (A5). Nobody but an operator can tell which, so nothing goes on from it.
    #[error("saved tree head: {0}")]
    SavedHead(HeadError),
    /// The answer carries no head, and none is known (first contact).
    #[error("the answer has no tree head, and none is known")]
    NoHead,
    /// Two signed heads that cannot both be true. Keep [`Fork::report`], stop using the log until an operator decides.
    #[error("the log has forked: two signed heads contradict each other")]
    Fork(Box<Fork>),
    /// A tile does not fit the signed head. Of the tiles on the edge only their sum is known to be wrong.
    #[error("inconsistent tile {}", .0.path())]
    InconsistentTile(Tile),
    /// The log does not serve a tile that its head promises, not even as the full tile.
    #[error("missing tile {}", .0.path())]
    MissingTile(Tile),
    /// The tile asked for lies beyond the known head, or is of a height other than 8: a newer head may have it.
    #[error("tile {} is beyond the tree of size {size}", .tile.path())]
    TileBeyondHead {
        /// The tile asked for.
        tile: Tile,
        /// The size of the known head.
        size: TreeSize,
    },
    /// The record lies beyond the newest head known: the log sent a stale head with it.
    #[error("cannot validate record {id} in tree of size {size}")]
    RecordBeyondHead {
        /// The id that the answer names.
        id: RecordId,
        /// The size of the newest head.
        size: TreeSize,
    },
    /// The text in the answer is not the record of that id.
    #[error("cannot authenticate record {id} in the answer")]
    RecordMismatch {
        /// The id that the answer names.
        id: RecordId,
    },
    /// The record is authentic and says nothing about the version asked for (CVE-2026-42501; I11, I12).
    #[error("no checksum for {module}@{version} in record {id}")]
    MissingLine {
        /// The id of the record.
        id: RecordId,
        /// The module path asked for.
        module: Box<str>,
        /// The version asked for.
        version: Box<str>,
    },
    /// The record is authentic and states two sums for one file.
    #[error("record {id}: {error}")]
    Contradiction {
        /// The id of the record.
        id: RecordId,
        /// What is wrong with it.
        error: RecordError,
    },
    /// The machine was asked again after its end: a mistake of the driver.
    #[error("asked again after the end")]
    Ended,
}

/// Two signed heads of one log that contradict each other. Evidence against the log: keep it for ever (A8, I14).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fork {
    /// The head known before.
    pub known: SignedHead,
    /// The head that came now.
    pub new: SignedHead,
    /// The consistency proof from the smaller size to the larger, out of tiles that fit the larger head. It leads to
    /// another root than the smaller head's. Empty when the sizes are equal: then the two notes say it all.
    pub proof: Vec<Hash>,
}

impl Fork {
    /// The evidence as a text for people and files: both notes and the proof.
    pub fn report(&self) -> String {
        let (known, new) = (&self.known, &self.new);
        evidence((known.size(), known.note()), (new.size(), new.note()), &self.proof)
    }
}

/// A record that a signed head proves to be in the log. Private fields: only a [`Lookup`] makes one.
///
/// What it holds was compared hash by hash, from the text through every tile to the signed root (A4, A8). It states at
/// least one of the two sums for exactly its module and version.
///
/// ```compile_fail,E0451
/// use modkeep_tlog::{ProvenRecord, RecordId, SignedHead};
/// fn forge(head: SignedHead) -> ProvenRecord {
///     ProvenRecord {
///         log_name: "sum.golang.org".into(),
///         id: RecordId::new(0).unwrap(),
///         module: "example.com/m".into(),
///         version: "v1.0.0".into(),
///         text: "".into(),
///         zip_h1: Some([0; 32]),
///         go_mod_h1: None,
///         head,
///         inclusion: Box::new([]),
///     }
/// }
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProvenRecord {
    log_name: Box<str>,
    id: RecordId,
    module: Box<str>,
    version: Box<str>,
    text: Box<str>,
    zip_h1: Option<[u8; 32]>,
    go_mod_h1: Option<[u8; 32]>,
    head: SignedHead,
    inclusion: Box<[Hash]>,
}

impl ProvenRecord {
    /// The name of the log, which is that of its key.
    pub fn log_name(&self) -> &str {
        &self.log_name
    }

    /// Where the record is in the log.
    pub fn id(&self) -> RecordId {
        self.id
    }

    /// The module path that was asked for.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// The version that was asked for.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The whole text of the record.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The `h1:` of the module zip; `None` when the record has only the go.mod line. No sum vouches for no zip.
    pub fn zip_h1(&self) -> Option<[u8; 32]> {
        self.zip_h1
    }

    /// The `h1:` of go.mod; `None` when the record has only the zip line.
    pub fn go_mod_h1(&self) -> Option<[u8; 32]> {
        self.go_mod_h1
    }

    /// The head that the record was proven under: the newest known then.
    pub fn head(&self) -> &SignedHead {
        &self.head
    }

    /// The proof that the record is in the tree of [`head`](Self::head), for others: hashes from the leaf's sibling up.
    pub fn inclusion(&self) -> &[Hash] {
        &self.inclusion
    }
}

/// What a successful [`Lookup`] leaves.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The record asked for.
    pub record: ProvenRecord,
    /// The newest head known now. Save it where it is larger than the saved one.
    pub head: SignedHead,
    /// Authentic tiles of that head's tree, to cache.
    pub tiles: Vec<(Tile, Vec<u8>)>,
    /// An authentic lookup answer, to cache and relay: the record with the head that came with it, or, where none
    /// came, with [`head`](Self::head).
    pub lookup: Vec<u8>,
}

/// Looks one module version up: from the answer through the heads and tiles to a [`ProvenRecord`].
#[derive(Debug)]
pub struct Lookup {
    key: VerifierKey,
    name: Result<LookupPath, LookupPathError>,
    /// The newest head that is signed and consistent with all before it, or why the saved one is none.
    known: Result<Option<SignedHead>, HeadError>,
    attempt: Attempt,
    phase: LookupPhase,
}

#[derive(Debug, Default)]
enum LookupPhase {
    #[default]
    Asking,
    Answered(Vec<u8>),
    Proving(Box<(LookupAnswer, Merge)>),
}

impl Lookup {
    /// Starts a lookup. `known` is the saved head, `None` at first contact; module and version are unescaped.
    pub fn new(key: VerifierKey, known: Option<SignedHead>, module: &str, version: &str) -> Self {
        let known = reopen(known, &key);
        let name = LookupPath::new(module, version);
        Self { key, name, known, attempt: Attempt::First, phase: LookupPhase::Asking }
    }

    /// What to do next.
    pub fn step(&mut self) -> Step<Box<Outcome>> {
        step(self)
    }

    /// Hands in the answer to the lookup. Passed over when none was asked for.
    pub fn supply_lookup(&mut self, bytes: &[u8]) {
        if matches!(self.phase, LookupPhase::Asking) {
            self.phase = LookupPhase::Answered(bytes.to_owned());
        }
    }

    /// Hands in a tile; `None` when the log says that it has none (404, 410). Passed over when not asked for.
    pub fn supply_tile(&mut self, tile: &Tile, bytes: Option<&[u8]>) {
        if let LookupPhase::Proving(proving) = &mut self.phase {
            proving.1.tiles.supply(tile, bytes);
        }
    }

    /// The newest head known so far: signed, and proven consistent with the one known before.
    ///
    /// May be saved even when the lookup then fails, as the reference does.
    pub fn established(&self) -> Option<&SignedHead> {
        self.known.as_ref().ok()?.as_ref()
    }

    /// Cuts the answer, opens its head, and plans which tiles prove the two.
    fn begin(&mut self, bytes: &[u8]) -> Result<(LookupAnswer, Merge), ClientError> {
        let answer = LookupAnswer::parse(bytes).map_err(ClientError::MalformedLookup)?;
        let mut candidate = None;
        if !answer.note.is_empty() {
            candidate = Some(SignedHead::open(&answer.note, &self.key).map_err(ClientError::BadHead)?);
        }
        let known = self.known.clone().map_err(ClientError::SavedHead)?;
        // At first contact the log's signature is all there is to go by, so its first head becomes the known one.
        let (known, candidate) = match known {
            Some(known) => (known, candidate),
            None => (candidate.ok_or(ClientError::NoHead)?, None),
        };
        self.known = Ok(Some(known.clone()));
        let merge = Merge::new(known, candidate, Some(answer.id))?;
        Ok((answer, merge))
    }

    /// Everything that was asked for is here: judges it.
    fn finish(&mut self, answer: LookupAnswer, merge: Merge) -> Result<Outcome, ClientError> {
        let name = self.name.clone()?;
        let (head, tree) = merge.finish()?;
        self.known = Ok(Some(head.clone()));
        let record = prove(&self.key, &name, &answer, &head, &tree)?;
        let note = if answer.note.is_empty() { head.note().into() } else { answer.note };
        let lookup = LookupAnswer { note, ..answer }.to_bytes();
        Ok(Outcome { record, head, tiles: tree.into_tiles(), lookup })
    }
}

impl Machine for Lookup {
    type Outcome = Outcome;

    fn attempt(&mut self) -> &mut Attempt {
        &mut self.attempt
    }

    fn restart(&mut self) {
        self.phase = LookupPhase::Asking;
    }

    fn advance(&mut self, bypass_cache: bool) -> Result<Step<Box<Outcome>>, ClientError> {
        let path = self.name.as_ref().map_err(Clone::clone)?.path();
        self.known.as_ref().map_err(|error| ClientError::SavedHead(error.clone()))?;
        let (answer, merge) = match mem::take(&mut self.phase) {
            LookupPhase::Asking => return Ok(Step::NeedLookup { path, bypass_cache }),
            LookupPhase::Answered(bytes) => self.begin(&bytes)?,
            LookupPhase::Proving(proving) => *proving,
        };
        let tiles = merge.tiles.missing();
        if !tiles.is_empty() {
            self.phase = LookupPhase::Proving(Box::new((answer, merge)));
            return Ok(Step::NeedTiles { tiles, bypass_cache });
        }
        self.finish(answer, merge).map(Box::new).map(Step::Done)
    }
}

/// The last step: the text is the record of its id, and the record speaks of what was asked for.
///
/// Only the text of the record is searched, never what follows it (CVE-2026-56864).
fn prove(
    key: &VerifierKey,
    name: &LookupPath,
    answer: &LookupAnswer,
    head: &SignedHead,
    tree: &Authentic,
) -> Result<ProvenRecord, ClientError> {
    let LookupAnswer { id, text, .. } = answer;
    if tree.node(Node::leaf(*id)) != Some(text.leaf_hash()) {
        return Err(ClientError::RecordMismatch { id: *id });
    }
    let sums = text
        .sums(name.module(), name.version())
        .map_err(|error| ClientError::Contradiction { id: *id, error })?;
    if sums.zip.is_none() && sums.go_mod.is_none() {
        let (module, version) = (name.module().into(), name.version().into());
        return Err(ClientError::MissingLine { id: *id, module, version });
    }
    // The tiles that authenticate a leaf hold every hash of its proof.
    let inclusion =
        proof::prove_inclusion(tree, head.size(), *id).ok_or(ClientError::RecordMismatch { id: *id })?;
    Ok(ProvenRecord {
        log_name: key.name().into(),
        id: *id,
        module: name.module().into(),
        version: name.version().into(),
        text: text.as_str().into(),
        zip_h1: sums.zip,
        go_mod_h1: sums.go_mod,
        head: head.clone(),
        inclusion: inclusion.into(),
    })
}

/// What a successful check of a [`Head`] leaves.
#[derive(Clone, Debug)]
pub struct HeadOutcome {
    /// The newer of the two heads. Save it where it is larger than the saved one.
    pub head: SignedHead,
    /// Authentic tiles of that head's tree, to cache.
    pub tiles: Vec<(Tile, Vec<u8>)>,
}

/// Checks that a head, from `latest` or from another task, and the known one are of one log's one history.
#[derive(Debug)]
pub struct Head {
    heads: Result<(SignedHead, Option<SignedHead>), ClientError>,
    attempt: Attempt,
    merge: Option<Box<Merge>>,
}

impl Head {
    /// Starts a check of the note `candidate`. `known` is the saved head, `None` at first contact: then the log's
    /// signature alone makes the candidate the known head.
    pub fn new(key: VerifierKey, known: Option<SignedHead>, candidate: &[u8]) -> Self {
        let heads = reopen(known, &key).map_err(ClientError::SavedHead).and_then(|known| {
            let candidate = SignedHead::open(candidate, &key).map_err(ClientError::BadHead)?;
            Ok(match known {
                Some(known) => (known, Some(candidate)),
                None => (candidate, None),
            })
        });
        Self { heads, attempt: Attempt::First, merge: None }
    }

    /// What to do next; never [`Step::NeedLookup`].
    pub fn step(&mut self) -> Step<Box<HeadOutcome>> {
        step(self)
    }

    /// Hands in a tile; `None` when the log says that it has none (404, 410). Passed over when not asked for.
    pub fn supply_tile(&mut self, tile: &Tile, bytes: Option<&[u8]>) {
        if let Some(merge) = &mut self.merge {
            merge.tiles.supply(tile, bytes);
        }
    }
}

impl Machine for Head {
    type Outcome = HeadOutcome;

    fn attempt(&mut self) -> &mut Attempt {
        &mut self.attempt
    }

    fn restart(&mut self) {
        self.merge = None;
    }

    fn advance(&mut self, bypass_cache: bool) -> Result<Step<Box<HeadOutcome>>, ClientError> {
        let merge = if let Some(merge) = self.merge.take() {
            merge
        } else {
            let (known, candidate) = self.heads.clone()?;
            if candidate.is_none() {
                // First contact: there is nothing yet that the head could contradict.
                return Ok(Step::Done(Box::new(HeadOutcome { head: known, tiles: Vec::new() })));
            }
            Box::new(Merge::new(known, candidate, None)?)
        };
        let tiles = merge.tiles.missing();
        if !tiles.is_empty() {
            self.merge = Some(merge);
            return Ok(Step::NeedTiles { tiles, bypass_cache });
        }
        let (head, tree) = merge.finish()?;
        Ok(Step::Done(Box::new(HeadOutcome { head, tiles: tree.into_tiles() })))
    }
}
