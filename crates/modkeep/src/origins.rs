//! The watch over origins while the program serves: what is heard by the way, and a slow round.

use std::sync::Arc;

use modkeep_fetch::{Event, Kind, Observer, Subject};
use modkeep_mirror::Mirror;
use modkeep_module::ModulePath;
use modkeep_origin::Watch;
use modkeep_store::OriginCheck;
use tokio::sync::mpsc;

use crate::config::Effective;
use crate::wiring::{House, Sources};

/// How many modules may wait for a look; a module that finds no place is looked at in its turn.
const WAITING_MAX: usize = 1024;

/// Modules whose tags changed a moment ago, so that a look at them costs nothing.
pub(crate) type Heard = mpsc::Receiver<ModulePath>;

/// An observer that also hears when the tags of a repository have changed.
pub(crate) fn ears(observer: Observer) -> (Observer, Heard) {
    let (tell, heard) = mpsc::channel(WAITING_MAX);
    let hearing = move |event: &Event<'_>| {
        observer(event);
        if let Some(subject) = told_of(event) {
            let _ = tell.try_send(subject.module.clone()); // the slow round comes by too
        }
    };
    (Arc::new(hearing), heard)
}

/// Whose list has changed, or is nowhere any more.
fn told_of<'e>(event: &Event<'e>) -> Option<&'e Subject> {
    match event {
        Event::Fetched { subject, kind: Kind::List, not_modified: false, .. } => Some(subject),
        Event::Failed { kind: Kind::List, failure, .. } if failure.is_absence() => Some(failure.subject()),
        _ => None,
    }
}

/// Looks at the origins of what is served: at once where it costs nothing, on a slow round otherwise. Only where the
/// repositories may be asked at all.
pub(crate) fn watch(
    effective: &Effective,
    sources: &Sources,
    house: &House,
    mirror: Mirror,
    mut heard: Heard,
) {
    let every = effective.config.origin.watch.0;
    if every.is_zero() || !sources.are_direct() {
        return;
    }
    let watch =
        Watch::new(house.origin.clone(), house.store.clone(), Arc::new(move |news| told(&mirror, news)));
    let round = watch.clone();
    house.keep(async move { round.run(every).await });
    house.keep(async move {
        while let Some(module) = heard.recv().await {
            if let Err(error) = watch.look(&module).await {
                tracing::debug!(event = "watch", %module, %error, "no look at the origin");
            }
        }
    });
}

/// News about a version: a line for people, and answers in memory without the right header are forgotten.
fn told(mirror: &Mirror, news: &OriginCheck) {
    mirror.forget(&news.version);
    tracing::warn!(event = "origin", state = news.state.word(), detail = %news.detail, "{}", news.version);
}
