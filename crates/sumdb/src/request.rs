//! What may be asked of a relayed database.

use modkeep_module::{ModulePath, ModuleVersion, Version};
use modkeep_tlog::tile::{HEIGHT, Tile, TilePathError};

use crate::RelayError;

/// One question to a relayed database.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Ask {
    /// Whether it is relayed.
    Supported,
    /// Its newest head.
    Latest,
    /// The record of a version.
    Lookup(ModuleVersion),
    /// Hashes or records.
    Tile(Tile),
}

/// The name that begins `path`, of `names` in their order, and what follows its slash (P-100).
///
/// Names are compared as text and at a slash, so that nothing in the path can climb out of one (I21).
pub(crate) fn split<'n, 'p>(names: impl Iterator<Item = &'n str>, path: &'p str) -> Option<(usize, &'p str)> {
    names.enumerate().find_map(|(at, name)| Some((at, path.strip_prefix(name)?.strip_prefix('/')?)))
}

impl Ask {
    /// Reads what follows the database's name.
    pub(crate) fn parse(text: &str) -> Result<Self, RelayError> {
        if let Some(version) = text.strip_prefix("lookup/") {
            return lookup(version).map(Self::Lookup).map_err(|reason| RelayError::Malformed { reason });
        }
        match text {
            "supported" => Ok(Self::Supported),
            "latest" => Ok(Self::Latest),
            _ if text.starts_with("tile/") => tile(text).map(Self::Tile),
            _ => {
                Err(RelayError::Malformed { reason: "supported, latest, lookup/M@V or tile/8/... is wanted" })
            }
        }
    }
}

/// One question to our own database.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum AskOwn {
    /// What a relayed database is asked too.
    Plain(Ask),
    /// Records in the framing of tlog-tiles (B1).
    Bundle(Tile),
    /// The newest head under the log's own origin line, with cosignatures (B1).
    Checkpoint,
    /// That a version is in the log, for whoever is offline (B5).
    Proof(ModuleVersion),
    /// What an imported record was taken from (C7).
    Provenance(ModuleVersion),
}

impl AskOwn {
    /// Reads what follows our base URL.
    pub(crate) fn parse(text: &str) -> Result<Self, RelayError> {
        let malformed = |reason| RelayError::Malformed { reason };
        if let Some(version) = text.strip_prefix("proof/") {
            return lookup(version).map(Self::Proof).map_err(malformed);
        }
        if let Some(version) = text.strip_prefix("provenance/") {
            return lookup(version).map(Self::Provenance).map_err(malformed);
        }
        if text == "checkpoint" {
            return Ok(Self::Checkpoint);
        }
        // The two grammars of tile paths are disjoint (B1), so the alias is tried only where the other one fails.
        match Ask::parse(text) {
            Err(RelayError::Malformed { reason }) => match Tile::parse_alias(text) {
                Ok(tile) if tile.is_data() => Ok(Self::Bundle(tile)),
                Ok(tile) => Ok(Self::Plain(Ask::Tile(tile))),
                Err(TilePathError::NoSuchTile) => Err(no_tree_has_it()),
                Err(TilePathError::Malformed) => Err(malformed(reason)),
            },
            other => other.map(Self::Plain),
        }
    }
}

fn no_tree_has_it() -> RelayError {
    RelayError::NoSuchTile { reason: "no tree has this tile" }
}

/// Reads `EM@EV` (A6): both escaped, the version canonical and fitting the path.
fn lookup(text: &str) -> Result<ModuleVersion, &'static str> {
    let (path, version) = text.split_once('@').ok_or("a lookup names module@version")?;
    if version.contains('@') {
        return Err("a lookup names one version");
    }
    let path = ModulePath::from_escaped(path).map_err(|_| "the module path is not valid, or not escaped")?;
    let version =
        Version::from_escaped(version).map_err(|_| "the version is not canonical, or not escaped")?;
    ModuleVersion::new(path, version).map_err(|_| "the version does not fit the module path")
}

fn tile(text: &str) -> Result<Tile, RelayError> {
    match Tile::parse(text) {
        Ok(tile) if tile.height() == HEIGHT => Ok(tile),
        Ok(_) => Err(RelayError::NoSuchTile { reason: "only tiles of height 8 are served" }),
        Err(TilePathError::Malformed) => Err(RelayError::Malformed { reason: "not a tile path" }),
        Err(TilePathError::NoSuchTile) => Err(no_tree_has_it()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a path is answered: `ok`, or the class of its refusal.
    fn class(path: &str) -> &'static str {
        match Ask::parse(path) {
            Ok(_) => "ok",
            Err(RelayError::Malformed { .. }) => "400",
            Err(RelayError::NoSuchTile { .. }) => "404",
            Err(other) => panic!("{path}: {other}"),
        }
    }

    #[test]
    fn names_are_matched_as_text_longest_first() {
        let names = ["sum.example/deep", "sum.example"];
        for (path, expected) in [
            ("sum.example/latest", Some((1, "latest"))),
            ("sum.example/deep/latest", Some((0, "latest"))),
            ("sum.example/deeper/latest", Some((1, "deeper/latest"))),
            ("sum.example", None),
            ("sum.exampleX/latest", None),
            ("evil.example/latest", None),
            ("../admin", None),
            ("", None),
        ] {
            assert_eq!(split(names.into_iter(), path), expected, "{path:?}");
        }
    }

    /// An error text shows anything else as an escape (user-experience.md section 8).
    #[test]
    fn what_is_wanted_is_said_in_printable_ascii() {
        for path in ["xyz", "lookup/", "lookup/m", "tile/", "tile/8/x"] {
            let said = Ask::parse(path).unwrap_err().to_string();
            assert!(said.chars().all(|char| char.is_ascii_graphic() || char == ' '), "{path:?}: {said}");
        }
    }

    #[test]
    fn hostile_i21_nothing_climbs_out_of_a_name() {
        for path in ["../../admin", "../", "", "supported/", "supported/../latest", "Latest", "latest/x"] {
            assert_eq!(class(path), "400", "{path:?}");
        }
    }

    #[test]
    fn hostile_i01_lookups_name_one_canonical_version() {
        for (path, expected) in [
            ("lookup/rsc.io/quote@v1.5.2", "ok"),
            ("lookup/github.com/!burnt!sushi/toml@v0.3.1", "ok"),
            ("lookup/github.com/dgrijalva/jwt-go@v3.2.0+incompatible", "ok"),
            ("lookup/rsc.io/quote", "400"),
            ("lookup/rsc.io/quote@v1.5.2@v1.5.2", "400"),
            ("lookup/github.com/BurntSushi/toml@v0.3.1", "400"),
            ("lookup/rsc.io/quote@v1.5.2/go.mod", "400"),
            ("lookup/rsc.io/quote@latest", "400"),
            ("lookup/rsc.io/quote@master", "400"),
            ("lookup/rsc.io/quote@v1.5", "400"),
            ("lookup/rsc.io/quote@v01.5.2", "400"),
            ("lookup/rsc.io/quote@v1.5.2+meta", "400"),
            ("lookup/rsc.io/quote@v3.0.0", "400"),
            ("lookup/quote@v1.5.2", "400"),
            ("lookup/@v1.5.2", "400"),
            ("lookup/", "400"),
        ] {
            assert_eq!(class(path), expected, "{path:?}");
        }
    }

    #[test]
    fn hostile_i06_tile_paths_have_one_spelling() {
        for path in [
            "tile/8/0/0",
            "tile/08/0/000",
            "tile/8/00/000",
            "tile/8/0/000.p/0",
            "tile/8/0/000.p/256",
            "tile/8/0/000.p/01",
            "tile/8/-1/000",
            "tile/8/0/+01",
            "tile/8/0/x1/000",
            "tile/8/0/000/",
            "tile/",
        ] {
            assert_eq!(class(path), "400", "{path:?}");
        }
        for path in ["tile/8/0/000", "tile/8/0/x001/234", "tile/8/data/000", "tile/8/3/000.p/17"] {
            assert_eq!(class(path), "ok", "{path:?}");
        }
    }

    #[test]
    fn our_own_log_is_asked_more_than_a_relayed_one() {
        let tile = |path| Tile::parse(path).unwrap();
        for (path, ask) in [
            ("checkpoint", AskOwn::Checkpoint),
            ("latest", AskOwn::Plain(Ask::Latest)),
            ("tile/8/0/000.p/3", AskOwn::Plain(Ask::Tile(tile("tile/8/0/000.p/3")))),
            ("tile/0/000.p/3", AskOwn::Plain(Ask::Tile(tile("tile/8/0/000.p/3")))),
            ("tile/8/data/x001/002", AskOwn::Plain(Ask::Tile(tile("tile/8/data/x001/002")))),
            ("tile/entries/x001/002", AskOwn::Bundle(tile("tile/8/data/x001/002"))),
        ] {
            assert_eq!(AskOwn::parse(path).unwrap(), ask, "{path}");
        }
        for path in
            ["proof/example.com/m@v1.0.0", "provenance/example.com/m@v1.0.0", "lookup/example.com/m@v1.0.0"]
        {
            assert!(AskOwn::parse(path).is_ok(), "{path}");
        }
        for path in [
            "proof/example.com/m",
            "provenance/example.com/M@v1.0.0",
            "tile/entries/0",
            "checkpoint/",
            "tile/0/0",
        ] {
            assert!(matches!(AskOwn::parse(path), Err(RelayError::Malformed { .. })), "{path}");
        }
        assert!(matches!(AskOwn::parse("tile/64/000"), Err(RelayError::NoSuchTile { .. })));
    }

    #[test]
    fn hostile_i07_i08_legal_paths_of_tiles_that_no_tree_has() {
        for path in ["tile/1/0/000", "tile/30/0/000", "tile/8/64/000", "tile/8/200/000"] {
            assert_eq!(class(path), "404", "{path:?}");
        }
    }
}
