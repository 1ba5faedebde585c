//! What others find of our log while the program serves, kept for those who audit it.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use modkeep_log::{Event, Observer};
use modkeep_store::{Store, Verdict};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How many verdicts may wait to be kept. A witness says the same again in a second.
const WAITING_MAX: usize = 64;

/// The same outcome again is written no oftener than this.
const SAME_EVERY: Duration = Duration::from_mins(1);

/// Longer words are cut.
const DETAIL_CHARS_MAX: usize = 256;

/// What was found and is not kept yet.
pub(crate) type Found = mpsc::Receiver<Verdict>;

/// An observer of the log of this name that also hears what others find.
pub(crate) fn ears(log: &str, observer: Observer) -> (Observer, Found) {
    let (tell, found) = mpsc::channel(WAITING_MAX);
    let log = log.to_owned();
    let hearing = Observer::new(move |event: &Event<'_>| {
        observer.tell(event);
        if let Some(verdict) = verdict(&log, event) {
            let _ = tell.try_send(verdict); // metrics, alarms and the log of the process have it all the same
        }
    });
    (hearing, found)
}

fn verdict(log: &str, event: &Event<'_>) -> Option<Verdict> {
    let (judge, outcome, size, detail) = match event {
        Event::Witness { witness, size, reply } => {
            let outcome = if reply.contradicts() { "contradicts" } else { reply.word() };
            (format!("witness {witness}"), outcome, *size, reply.to_string())
        }
        Event::Fork { theirs, ours, .. } => {
            let detail = format!("our newest head has size {}; both notes are kept as evidence", ours.size);
            ("gossip".to_owned(), "fork", theirs.size, detail)
        }
        Event::Ahead { seen_by, seen, ours } => {
            let detail = format!("{seen_by} has seen size {seen}, our newest head has {ours}");
            ("gossip".to_owned(), "ahead", *seen, detail)
        }
        _ => return None,
    };
    let at = SystemTime::now();
    let detail = detail.chars().take(DETAIL_CHARS_MAX).collect();
    let (log, outcome) = (log.to_owned(), outcome.to_owned());
    Some(Verdict { log, judge, outcome, size: Some(size.get()), at, since: at, detail })
}

/// Keeps what is found, until nothing more can come or the house is closed: what waits then is kept before it returns.
pub(crate) async fn keep(store: Store, mut found: Found, closing: CancellationToken) {
    let mut kept: HashMap<String, (String, Instant)> = HashMap::new();
    loop {
        let next = tokio::select! {
            biased;
            () = closing.cancelled(), if !found.is_closed() => {
                found.close(); // what waits comes out all the same
                continue;
            }
            next = found.recv() => next,
        };
        let Some(verdict) = next else { return };
        let same = kept.get(&verdict.judge).filter(|(outcome, _)| *outcome == verdict.outcome);
        if same.is_some_and(|(_, at)| at.elapsed() < SAME_EVERY) {
            continue;
        }
        kept.insert(verdict.judge.clone(), (verdict.outcome.clone(), Instant::now()));
        if let Err(error) = store.put_verdict(verdict).await {
            tracing::debug!(event = "log", %error, "a verdict on the log was not kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use modkeep_store::{Config, MinFree, SystemClock};
    use modkeep_tlog::{Hash, TreeHead, TreeSize};

    use super::*;

    const LOG: &str = "mirror.example/log";

    #[tokio::test]
    async fn what_waits_when_the_house_is_closed_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let config = Config { path: home.path().to_owned(), min_free: MinFree::Bytes(0) };
        let store = Store::open(config, Arc::new(SystemClock)).unwrap();
        let (observer, found) = ears(LOG, Observer::default());
        let closing = CancellationToken::new();
        let head = |size| TreeHead { size: TreeSize::new(size).unwrap(), root: Hash([1; 32]) };
        // A server is being stopped, and its log lives on for a moment.
        closing.cancel();
        observer.tell(&Event::Ahead { seen_by: "w", seen: head(9).size, ours: head(7).size });
        observer.tell(&Event::Fork { theirs: head(5), ours: head(7), evidence: "both notes" });
        keep(store.clone(), found, closing).await;
        let kept = store.verdicts().await.unwrap();
        let kept: Vec<_> = kept.iter().map(|it| (it.judge.as_str(), it.outcome.as_str(), it.size)).collect();
        assert_eq!(kept, [("gossip", "fork", Some(5))], "the last word of the judge");
    }
}
