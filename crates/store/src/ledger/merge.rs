//! What is recorded and what comes, for one file: the rule of immutability as a pure function (R3).

use crate::ledger::{FileFacts, SumFacts};
use crate::verify::{Basis, FirstSight};

/// Two sums that cannot both be true, as texts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Differs {
    pub(crate) recorded: String,
    pub(crate) received: String,
}

/// What a newcomer means for what is recorded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Merge {
    /// Nothing came, or it is there already: ours stays as it is.
    Keep,
    /// It is the first: it is to be placed and recorded.
    Add,
    /// Ours was damaged, and this is the same bytes: it is to be placed again.
    Repair,
}

pub(crate) fn info(recorded: Option<&FileFacts>, came: Option<&FileFacts>) -> Result<Merge, Differs> {
    let (Some(recorded), Some(came)) = (recorded, came) else { return Ok(first(came.is_some())) };
    if recorded.sha256 == came.sha256 {
        Ok(same(recorded.quarantined))
    } else {
        Err(bytes_differ(recorded.sha256, came.sha256))
    }
}

/// For a `.mod` or a zip. A zip may hold the same files in another encoding: then ours stays, unless it was damaged.
/// The bytes under a name never change, so a damaged one is repaired with the recorded bytes only.
pub(crate) fn summed(recorded: Option<&SumFacts>, came: Option<&SumFacts>) -> Result<Merge, Differs> {
    let (Some(recorded), Some(came)) = (recorded, came) else { return Ok(first(came.is_some())) };
    if recorded.h1 != came.h1 {
        return Err(Differs { recorded: recorded.h1.to_string(), received: came.h1.to_string() });
    }
    if recorded.sha256 == came.sha256 {
        Ok(same(recorded.quarantined))
    } else if recorded.quarantined {
        Err(bytes_differ(recorded.sha256, came.sha256))
    } else {
        Ok(Merge::Keep)
    }
}

/// Whether a `.mod` may differ from the go.mod inside the zip: when a checksum database certifies both (G01), or when
/// we built the zip ourselves from an origin whose attributes convert line ends (Z-13).
pub(crate) fn may_differ(go_mod: &Basis, zip: &Basis) -> bool {
    let origin = Basis::FirstSight(FirstSight::Origin);
    (go_mod.is_certified() && zip.is_certified()) || (*go_mod == origin && *zip == origin)
}

fn first(came: bool) -> Merge {
    if came { Merge::Add } else { Merge::Keep }
}

fn same(quarantined: bool) -> Merge {
    if quarantined { Merge::Repair } else { Merge::Keep }
}

fn bytes_differ(recorded: crate::name::Sha256Sum, came: crate::name::Sha256Sum) -> Differs {
    Differs { recorded: format!("{recorded:?}"), received: format!("{came:?}") }
}

#[cfg(test)]
mod tests {
    use modkeep_module::H1;

    use super::*;
    use crate::name::Sha256Sum;

    fn zip(h1: u8, sha256: u8, quarantined: bool) -> SumFacts {
        SumFacts {
            size: 1,
            sha256: Sha256Sum::from_bytes([sha256; 32]),
            h1: H1::from_bytes([h1; 32]),
            basis: Basis::Record,
            quarantined,
        }
    }

    #[test]
    fn a_mod_differs_from_the_one_in_the_zip_only_with_a_reason() {
        let proof = Basis::Proof { log: "sum.golang.org".into(), id: 1 };
        let [origin, unchecked] = [FirstSight::Origin, FirstSight::UncheckedPath].map(Basis::FirstSight);
        for (go_mod, zip, expected) in [
            (&proof, &proof, true),
            (&proof, &unchecked, false),
            (&unchecked, &unchecked, false),
            (&origin, &origin, true),
            (&origin, &proof, false),
        ] {
            assert_eq!(may_differ(go_mod, zip), expected, "{go_mod} {zip}");
        }
    }

    #[test]
    fn bytes_never_change() {
        let ours = zip(1, 1, false);
        let damaged = zip(1, 1, true);
        for (recorded, came, expected) in [
            (None, None, Some(Merge::Keep)),
            (None, Some(zip(1, 1, false)), Some(Merge::Add)),
            (Some(&ours), None, Some(Merge::Keep)),
            (Some(&ours), Some(zip(1, 1, false)), Some(Merge::Keep)),
            (Some(&ours), Some(zip(1, 2, false)), Some(Merge::Keep)), // another encoding: ours stays
            (Some(&ours), Some(zip(2, 2, false)), None),
            (Some(&damaged), Some(zip(1, 1, false)), Some(Merge::Repair)),
            (Some(&damaged), Some(zip(1, 2, false)), None), // would change the bytes under a name
            (Some(&damaged), Some(zip(2, 2, false)), None),
        ] {
            assert_eq!(summed(recorded, came.as_ref()).ok(), expected, "{recorded:?} {came:?}");
        }
    }
}
