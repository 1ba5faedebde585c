//! Lookups, and the heads that go with them (C5, B2, B3).

use bytes::Bytes;
use modkeep_store::Error;
use modkeep_tlog::{LookupAnswer, RecordId, TreeSize};

use crate::config::Gate;
use crate::head::Published;
use crate::log::Log;
use crate::sign::have_all_signed;

impl Log {
    /// The answer to a lookup: id, text and a head that covers it, the aligned one where that does (C5); the newest one
    /// with cosignatures over its text, where there are such (B2). `None` when no head that may be shown covers such a
    /// record: see [`shown`](Self::shown). Blocking.
    pub fn lookup(&self, module: &str, version: &str) -> Result<Option<Bytes>, Error> {
        let seen = self.shared().published();
        let Some(id) = self.find_in(&seen, module, version)? else { return Ok(None) };
        let Some(note) = self.note_for(&seen, id)? else { return Ok(None) };
        let text = self.shared().reader.text(&seen, id)?;
        let answer = LookupAnswer { id, text, note: note.to_vec().into() };
        Ok(Some(answer.to_bytes().into()))
    }

    /// The note of the newest head, with cosignatures over its text where there are such (`heads.cosign_latest`, B2).
    pub fn latest_note(&self) -> Bytes {
        let latest = self.latest();
        match self.shared().cosigned_note() {
            Some((size, note)) if size == latest.size => note,
            _ => latest.note.clone(),
        }
    }

    /// Waits until a lookup may show the record of this version; at once where lookups wait for no witness, and where there
    /// is no such record. Cancel safe.
    pub async fn shown(&self, module: &str, version: &str) -> Result<(), Error> {
        let mut moments = self.shared().sizes.subscribe();
        loop {
            moments.borrow_and_update();
            let (log, name) = (self.clone(), (module.to_owned(), version.to_owned()));
            let found = tokio::task::spawn_blocking(move || {
                let seen = log.shared().published();
                match log.find_in(&seen, &name.0, &name.1)? {
                    Some(id) => Ok(log.note_for(&seen, id)?.is_some()),
                    None => Ok(true),
                }
            });
            // A panic over there is told where it happened; nobody waits for it.
            if found.await.unwrap_or(Ok(true))? || moments.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    fn note_for(&self, seen: &Published, id: RecordId) -> Result<Option<Bytes>, Error> {
        let shared = self.shared();
        let size_max = match shared.config.gate {
            Gate::Open => seen.size(),
            Gate::Cosigned => match &seen.cosigned {
                Some((size, _)) => *size,
                None => return Ok(None),
            },
        };
        let fits = |size: TreeSize| size.contains(id) && size <= size_max;
        if let Some((_, note)) = shared.cosigned_note().filter(|(size, _)| fits(*size)) {
            return Ok(Some(note));
        }
        if let Some(head) = seen.head_for(id, shared.config.align).filter(|head| fits(head.size)) {
            return Ok(Some(head.note.clone()));
        }
        if !fits(size_max) {
            return Ok(None);
        }
        // The newest head that is stored and not beyond the gate: most often the one that was cosigned. One from before a
        // new key came says nothing to who knows that key alone, so the witnesses are waited for.
        let beyond = TreeSize::new(size_max.get().saturating_add(1));
        let head = shared.store.heads(beyond, 1)?.into_iter().next();
        let head = head.filter(|head| fits(head.size) && have_all_signed(&shared.keys, &head.note));
        Ok(head.map(|head| head.note.into()))
    }
}
