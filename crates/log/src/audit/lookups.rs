//! Records looked up as the go command does it: a log may show auditors one thing and clients another.

use modkeep_tlog::record::LookupAnswer;
use modkeep_tlog::{LookupPath, RecordId, SignedHead};

use crate::audit::duplicates::text_of;
use crate::audit::evidence::{Evidence, Found};
use crate::audit::finding::{Finding, Kind, excerpt, extra_lines};
use crate::audit::record::read;
use crate::audit::source::{self, Unsettled, settle};
use crate::audit::state::State;
use crate::audit::{Error, Parts};

/// Looks so many records of the audited tree up as the options say, chosen at random; says how many were.
pub(crate) fn sample(
    parts: &Parts<'_>,
    evidence: &Evidence,
    head: &SignedHead,
    state: &mut State,
) -> Result<u64, Error> {
    let mut random = parts.options.seed;
    let mut looked_up = 0;
    for _ in 0..parts.options.lookups {
        let Some(place) = next(&mut random).checked_rem(head.size().get()).and_then(RecordId::new) else {
            break;
        };
        // A record that cannot be read is a gap already.
        let Some(text) = text_of(parts, head, place)? else { continue };
        let Some(path) = read(&text).name.and_then(|(module, version)| LookupPath::new(module, version).ok())
        else {
            continue;
        };
        looked_up += 1;
        for found in look_up(parts, head, place, &text, &path)? {
            state.keep(evidence, found)?;
        }
    }
    Ok(looked_up)
}

/// What is wrong with the answer to one lookup.
fn look_up(
    parts: &Parts<'_>,
    head: &SignedHead,
    id: RecordId,
    text: &[u8],
    path: &LookupPath,
) -> Result<Vec<Found>, Error> {
    let path = path.path();
    let Some(bytes) = parts.source.get(&path, source::NOTE_MAX, true)? else {
        let missing =
            Finding::of(Kind::BadLookup, format!("{path}: the log says that there is no such record"));
        // A copy of the tiles need not hold lookups.
        let found = (!parts.options.partial).then(|| Found::bare(missing.about(id)));
        return Ok(found.into_iter().collect());
    };
    let wrong = |kind: Kind, what: String| {
        Found::with(Finding::of(kind, format!("{path}: {what}")).about(id), "lookup", &bytes)
    };
    let answer = match LookupAnswer::parse(&bytes) {
        Ok(answer) => answer,
        Err(error) => return Ok(vec![wrong(Kind::BadLookup, error.to_string())]),
    };
    let mut found = Vec::new();
    if answer.id != id {
        found.push(wrong(Kind::BadLookup, format!("the answer is record {}", answer.id)));
    }
    if answer.text.as_str().as_bytes() != text {
        let shown = excerpt(answer.text.as_str());
        found.push(wrong(Kind::WrongSum, format!("the answer is not the logged record: {shown:?}")));
    }
    match SignedHead::open(&answer.note, parts.key) {
        Err(error) => found.push(wrong(Kind::BadSignature, error.to_string())),
        Ok(shown) if !shown.size().contains(id) => {
            found.push(wrong(Kind::BadHead, format!("its head has {} records only", shown.size())));
        }
        Ok(shown) => {
            if shown.has_extra_lines() {
                found.push(Found::with(extra_lines(&answer.note, parts.key).about(id), "lookup", &bytes));
            }
            match settle(parts.source, parts.key, Some(head.clone()), &answer.note) {
                Err(Unsettled::Away(away)) => return Err(away.into()),
                Err(Unsettled::Refused(error)) if !parts.options.partial => {
                    found.push(Found::refusal(*error, &answer.note));
                }
                Ok(_) | Err(Unsettled::Refused(_)) => {}
            }
        }
    }
    Ok(found)
}

/// The next of a sequence that looks random: splitmix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
