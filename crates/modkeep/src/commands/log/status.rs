//! `log status`: how far our log is, who has cosigned it, and what others found of it.

use modkeep_store::{LogStore, StoredHead, Verdict};
use modkeep_tlog::VerifierKey;
use modkeep_tlog::note::Note;
use serde_json::{Value, json};

use crate::commands::{open_read_only, runtime};
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::{Output, time};

pub(in crate::commands) fn run(effective: &Effective, output: &Output) -> Result<Exit, Failed> {
    let store = open_read_only(effective)?;
    if !store.has_log() {
        let text = "there is no log in this store; [log] enabled = true makes one at the next start";
        return Err(Failed::new(Exit::NotFound, text));
    }
    let keys = crate::wiring::log_verifiers(effective)?;
    let status = Status::read(&store.log()?, runtime()?.block_on(store.verdicts())?, keys)?;
    output.result(|| status.to_text(), || status.to_json());
    Ok(Exit::Done)
}

struct Status {
    keys: Vec<VerifierKey>,
    /// Records that have ids; more than the head covers for an instant only.
    sequenced: u64,
    head: Option<StoredHead>,
    /// Size of the newest checkpoint with cosignatures, and their names.
    cosigned: Option<(u64, Vec<String>)>,
    verdicts: Vec<Verdict>,
}

impl Status {
    fn read(log: &LogStore, verdicts: Vec<Verdict>, keys: Vec<VerifierKey>) -> Result<Self, Failed> {
        let cosigned = log.cosigned()?.map(|(size, note)| (size.get(), cosigners(&note, &keys)));
        let sequenced = log.state()?.sequenced.get();
        Ok(Self { keys, sequenced, head: log.newest_head()?, cosigned, verdicts })
    }

    fn to_text(&self) -> String {
        let mut lines: Vec<String> = self.keys.iter().map(|key| format!("key       {key}")).collect();
        lines.push(match &self.head {
            Some(head) => format!(
                "head      {} records, root {}, signed {}",
                head.size,
                head.root,
                time(head.signed_at)
            ),
            None => "head      none yet".to_owned(),
        });
        let behind =
            self.sequenced - self.head.as_ref().map_or(0, |head| head.size.get()).min(self.sequenced);
        if behind > 0 {
            lines.push(format!("pending   {behind} records have ids and no head yet"));
        }
        if let Some((size, names)) = &self.cosigned {
            lines.push(format!("cosigned  {size} records, by {}", names.join(", ")));
        }
        for Verdict { log, judge, outcome, size, at, since, detail } in &self.verdicts {
            let size = size.map_or_else(String::new, |size| format!(" at {size} records"));
            let (at, since) = (time(*at), time(*since));
            lines.push(format!(
                "verdict   {judge} of {log}: {outcome}{size}, {at}, so since {since}: {detail}"
            ));
        }
        lines.join("\n")
    }

    fn to_json(&self) -> Value {
        let head = self.head.as_ref().map(|head| {
            json!({ "size": head.size.get(), "root": head.root.to_string(), "signed_at": time(head.signed_at) })
        });
        let cosigned =
            self.cosigned.as_ref().map(|(size, names)| json!({ "size": size, "witnesses": names }));
        let verdicts = self.verdicts.iter().map(|verdict| {
            json!({
                "log": verdict.log, "judge": verdict.judge, "outcome": verdict.outcome, "size": verdict.size,
                "at": time(verdict.at), "since": time(verdict.since), "detail": verdict.detail,
            })
        });
        json!({
            "keys": self.keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "sequenced": self.sequenced, "head": head, "cosigned": cosigned,
            "verdicts": verdicts.collect::<Vec<_>>(),
        })
    }
}

/// Whose lines a note carries beside the log's own. They were verified when they were kept.
fn cosigners(note: &[u8], keys: &[VerifierKey]) -> Vec<String> {
    let lines = Note::parse(note).map(|note| note.lines().to_vec()).unwrap_or_default();
    let names = lines.iter().map(|line| line.name().to_owned());
    names.filter(|name| keys.iter().all(|key| key.name() != name)).collect()
}
