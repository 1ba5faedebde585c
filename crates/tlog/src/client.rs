//! The verifying client: state machines without input or output. Spec A8.

use alloc::{boxed::Box, string::String, vec::Vec};

use crate::{
    hash::{Hash, RecordId, TreeSize},
    head::{HeadError, SignedHead},
    note::VerifierKey,
    record::RecordError,
    tile::Tile,
};

/// What a machine wants next.
///
/// `bypass_cache` is false at first. When answers then disagree with a signed head, the machine starts over once with
/// `bypass_cache: true`: the driver must then take nothing from its own cache and ask the caches on the way
/// (`Cache-Control: no-cache`) not to answer either.
#[derive(Clone, Debug)]
pub enum Step<T> {
    /// Fetch `lookup/…` and hand it to `supply_lookup`.
    NeedLookup {
        /// `lookup/EM@EV`, no leading slash.
        path: String,
        /// See [`Step`].
        bypass_cache: bool,
    },
    /// Fetch these tiles, in any order or at once, and hand each to `supply_tile`.
    NeedTiles {
        /// The tiles still missing.
        tiles: Vec<Tile>,
        /// See [`Step`].
        bypass_cache: bool,
    },
    /// Proven.
    Done(T),
    /// Refused.
    Failed(ClientError),
}

/// Why the client refuses.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ClientError {
    /// The lookup answer is not one.
    #[error("malformed lookup answer: {0}")]
    MalformedLookup(RecordError),
    /// The head is not signed by the log's key, or no head.
    #[error("reading tree head: {0}")]
    BadHead(HeadError),
    /// The saved head does not open with the log's key.
    #[error("saved head: {0}")]
    SavedHead(HeadError),
    /// No head came and none is known.
    #[error("no tree head in the answer, and none is known")]
    NoHead,
    /// Two signed heads that cannot both be true.
    #[error("checksum database misbehaviour: two signed heads contradict each other")]
    Fork(Box<Fork>),
    /// A tile does not fit the signed head.
    #[error("inconsistent tile {}", .0.path())]
    InconsistentTile(Tile),
    /// A tile the head promises is not served.
    #[error("missing tile {}", .0.path())]
    MissingTile(Tile),
    /// A tile beyond the known head was asked for.
    #[error("tile {} is beyond the tree of size {size}", .tile.path())]
    TileBeyondHead {
        /// The tile.
        tile: Tile,
        /// Known size.
        size: TreeSize,
    },
    /// A record beyond the head.
    #[error("cannot validate record {id} in tree of size {size}")]
    RecordBeyondHead {
        /// Claimed id.
        id: RecordId,
        /// Size of the newest head.
        size: TreeSize,
    },
    /// The text is not the record of that id.
    #[error("cannot authenticate record {id}")]
    RecordMismatch {
        /// Claimed id.
        id: RecordId,
    },
    /// An authentic record without a line for the wanted version.
    #[error("checksum missing from record {id} for {module}@{version}")]
    MissingLine {
        /// The record.
        id: RecordId,
        /// Wanted module.
        module: Box<str>,
        /// Wanted version.
        version: Box<str>,
    },
    /// The machine was asked again after its end.
    #[error("the lookup has ended")]
    Finished,
}

/// Two signed heads of one log that contradict each other, and the proof. Evidence: keep it for ever.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fork {
    /// The head known before.
    pub known: SignedHead,
    /// The head that came.
    pub new: SignedHead,
    /// Consistency proof between the two sizes, from tiles that fit the larger head.
    pub proof: Vec<Hash>,
}
impl Fork {
    /// The evidence as a file: both notes and the proof.
    pub fn report(&self) -> String {
        todo!()
    }
}

/// A record that a log's signed head proves. Private fields: only the client makes one.
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
}
impl ProvenRecord {
    /// The log's name.
    pub fn log_name(&self) -> &str {
        &self.log_name
    }
    /// The record's id.
    pub fn id(&self) -> RecordId {
        self.id
    }
    /// Module path.
    pub fn module(&self) -> &str {
        &self.module
    }
    /// Version.
    pub fn version(&self) -> &str {
        &self.version
    }
    /// The record's text.
    pub fn text(&self) -> &str {
        &self.text
    }
    /// `h1:` of the zip; `None` when the record has only the go.mod line.
    pub fn zip_h1(&self) -> Option<[u8; 32]> {
        self.zip_h1
    }
    /// `h1:` of go.mod; `None` when the record has only the zip line.
    pub fn go_mod_h1(&self) -> Option<[u8; 32]> {
        self.go_mod_h1
    }
    /// The head that it was proven under.
    pub fn head(&self) -> &SignedHead {
        &self.head
    }
}

/// What a successful lookup leaves.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The record.
    pub record: ProvenRecord,
    /// The newest head known now; save it if it is larger than the saved one.
    pub head: SignedHead,
    /// Authenticated tiles, to cache.
    pub tiles: Vec<(Tile, Vec<u8>)>,
    /// The authenticated lookup answer, to cache.
    pub lookup: Vec<u8>,
}

/// Looks one module version up.
#[derive(Debug)]
pub struct Lookup {}
impl Lookup {
    /// Starts a lookup.
    pub fn new(key: VerifierKey, known: Option<SignedHead>, module: &str, version: &str) -> Self {
        let _ = (key, known, module, version);
        todo!()
    }
    /// What to do next.
    pub fn step(&mut self) -> Step<Box<Outcome>> {
        todo!()
    }
    /// Hands in the lookup answer.
    pub fn supply_lookup(&mut self, bytes: &[u8]) {
        let _ = bytes;
        todo!()
    }
    /// Hands in a tile, `None` for a 404.
    pub fn supply_tile(&mut self, tile: &Tile, bytes: Option<&[u8]>) {
        let _ = (tile, bytes);
        todo!()
    }
    /// The newest head established so far: may be saved even if the lookup fails.
    pub fn established(&self) -> Option<&SignedHead> {
        todo!()
    }
}

/// What a check of a head leaves.
#[derive(Clone, Debug)]
pub struct HeadOutcome {
    /// The newest head known now.
    pub head: SignedHead,
    /// Authenticated tiles, to cache.
    pub tiles: Vec<(Tile, Vec<u8>)>,
}
/// Checks that a head (from `latest`) continues the known one.
#[derive(Debug)]
pub struct Head {}
impl Head {
    /// Starts a check.
    pub fn new(key: VerifierKey, known: Option<SignedHead>, candidate: &[u8]) -> Self {
        let _ = (key, known, candidate);
        todo!()
    }
    /// What to do next; never `NeedLookup`.
    pub fn step(&mut self) -> Step<Box<HeadOutcome>> {
        todo!()
    }
    /// Hands in a tile, `None` for a 404.
    pub fn supply_tile(&mut self, tile: &Tile, bytes: Option<&[u8]>) {
        let _ = (tile, bytes);
        todo!()
    }
}

/// What a check of a tile leaves.
#[derive(Clone, Debug)]
pub struct TileOutcome {
    /// The bytes of the tile asked for, of exactly its width.
    pub bytes: Vec<u8>,
    /// All authenticated tiles, to cache.
    pub tiles: Vec<(Tile, Vec<u8>)>,
}
/// Authenticates one tile (hashes or data) under a known head.
#[derive(Debug)]
pub struct TileCheck {}
impl TileCheck {
    /// Starts a check.
    pub fn new(known: SignedHead, tile: Tile) -> Self {
        let _ = (known, tile);
        todo!()
    }
    /// What to do next; never `NeedLookup`.
    pub fn step(&mut self) -> Step<Box<TileOutcome>> {
        todo!()
    }
    /// Hands in a tile, `None` for a 404.
    pub fn supply_tile(&mut self, tile: &Tile, bytes: Option<&[u8]>) {
        let _ = (tile, bytes);
        todo!()
    }
}
