//! Answers that change with time: lists, latest versions, queries (D8).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use modkeep_module::{Info, ModulePath, ModuleVersion, VersionOrQuery};
use modkeep_store::{FileKind, Question as StoreQuestion, StoredAnswer};
use modkeep_upstream::Fetched;

use crate::chain::Walk;
use crate::desk::{Changing, Topic};
use crate::failure::Failure;
use crate::fresh::{Plan, Reach, plan};
use crate::observe::Event;
use crate::source::Source;
use crate::{Fetch, FreshAnswer, How, said};

impl Fetch {
    /// Answers a question whose answer changes with time.
    pub(crate) async fn answer(&self, question: Changing, reach: Reach) -> Result<FreshAnswer, Failure> {
        let remembered = if reach == Reach::MayFetch { self.recall(&question) } else { Ok(()) };
        if let Err(failure) = &remembered
            && !failure.yields_to_stored()
        {
            return Err(failure.clone()); // the most frequent answer there is: the store is not even asked (R23)
        }
        let stored = self.stored_answer(&question).await?;
        if let Err(failure) = remembered {
            let stand_in = self.stand_in(&question, stored).await?;
            return stand_in.map(|stand_in| self.stale(&question, stand_in)).ok_or(failure);
        }
        let subject = question.subject();
        if let Err(why) = self.door(&subject, reach) {
            return match self.answer_here(&question, stored).await? {
                Some(answer) => Ok(answer),
                None => Err(self.shut(subject, why).await),
            };
        }
        let checked = stored.as_ref().map(|stored| stored.checked_at);
        match (plan(checked, reach, self.today(), self.0.config.lifetimes), stored) {
            (Plan::Serve, Some(stored)) => Ok(self.fresh(stored, How::Stored)),
            (Plan::ServeThenRefresh, Some(stored)) => {
                self.fly_behind(&question);
                Ok(self.stale(&question, stored))
            }
            (_, stored) => self.asked(&question, stored).await,
        }
    }

    async fn stored_answer(&self, question: &Changing) -> Result<Option<Arc<StoredAnswer>>, Failure> {
        let (module, asked) = (question.module(), in_store(question));
        match self.0.store.answer(&self.0.repository, module, &asked).await {
            Ok(stored) => Ok(stored.map(Arc::new)),
            Err(error) => Err(said::by_store(question.subject(), &error)),
        }
    }

    /// Takes the question to the sources; what is here stands in when they are in trouble (P-26, R22).
    async fn asked(
        &self,
        question: &Changing,
        stored: Option<Arc<StoredAnswer>>,
    ) -> Result<FreshAnswer, Failure> {
        let stand_in = self.stand_in(question, stored).await?;
        if let Some(stand_in) = &stand_in
            && self.is_resting(question)
        {
            return Ok(self.stale(question, Arc::clone(stand_in)));
        }
        let config = &self.0.config;
        let patience = if stand_in.is_some() { config.hold_with_stand_in } else { config.hold };
        match (self.fly(question, patience).await, stand_in) {
            (Ok(answer), _) => Ok(self.fresh(answer, How::Fetched)),
            (Err(failure), Some(stand_in)) if failure.yields_to_stored() => {
                Ok(self.stale(question, stand_in))
            }
            (Err(failure), _) => Err(failure),
        }
    }

    pub(crate) fn fresh(&self, answer: Arc<StoredAnswer>, how: How) -> FreshAnswer {
        let age = self.today().duration_since(answer.checked_at).unwrap_or_default();
        let left = self.0.config.lifetimes.fresh.saturating_sub(age);
        FreshAnswer {
            bytes: Bytes::from(answer.bytes.clone()),
            checked_at: answer.checked_at,
            stale: None,
            fresh_until: self.now() + left,
            how,
        }
    }

    fn stale(&self, question: &Changing, answer: Arc<StoredAnswer>) -> FreshAnswer {
        let age = self.today().duration_since(answer.checked_at).unwrap_or(Duration::ZERO);
        self.tell(&Event::ServedStale { subject: &question.subject(), kind: question.kind(), age });
        FreshAnswer {
            bytes: Bytes::from(answer.bytes.clone()),
            checked_at: answer.checked_at,
            stale: Some(age),
            fresh_until: self.now(),
            how: How::Stored,
        }
    }

    /// The flight of such a question: the chain is walked, the answer kept.
    pub(crate) async fn bring_answer(
        &self,
        question: &Changing,
        take_off: Instant,
    ) -> Result<Arc<StoredAnswer>, Failure> {
        let previous = self.stored_answer(question).await?;
        if let Some(previous) = &previous
            && plan(Some(previous.checked_at), Reach::MayFetch, self.today(), self.0.config.lifetimes)
                == Plan::Serve
        {
            return Ok(Arc::clone(previous)); // landed between a caller's look and this take-off
        }
        let mut walk = Walk::default();
        for link in self.chain(question.module()) {
            let source = &link.source;
            let before = previous.as_deref().filter(|before| before.source == source.name());
            let said = match ask(source, question, before).await {
                Ok(said) => said,
                Err(failure) if walk.note(failure.clone(), link.then).is_break() => break,
                Err(_) => continue,
            };
            return self.land_answer(question, source, said, previous, take_off).await;
        }
        let subject = || question.subject();
        let failure = walk
            .best_or(|| Failure::Internal { subject: subject(), reason: "a flight without sources".into() });
        self.unless_here(question, failure, take_off).await
    }

    async fn land_answer(
        &self,
        question: &Changing,
        source: &Source,
        said: Fetched<Vec<u8>>,
        previous: Option<Arc<StoredAnswer>>,
        take_off: Instant,
    ) -> Result<Arc<StoredAnswer>, Failure> {
        let not_modified = said == Fetched::NotModified;
        let (bytes, validator) = match (said, previous) {
            (Fetched::New { value, validator }, _) => (value, validator),
            (Fetched::NotModified, Some(previous)) => (previous.bytes.clone(), previous.validator.clone()),
            (Fetched::NotModified, None) => {
                let reason = "not modified, and nothing to compare with";
                return Err(said::nonsense(question.subject(), source.name(), reason));
            }
        };
        let name = source.name();
        if let Changing::Query(module, _) = question {
            self.confirm(module, &bytes).await;
        }
        self.tell(&Event::Fetched {
            subject: &question.subject(),
            kind: question.kind(),
            source: name,
            bytes: bytes.len() as u64,
            took: self.now().saturating_duration_since(take_off),
            not_modified,
            new_version: false,
        });
        let checked_at = self.today();
        Ok(self.keep_answer(question, bytes, checked_at, name, validator).await)
    }

    /// P-34: what a query resolved to is stored under its canonical name too, in the form that the canonical
    /// name has at its source. A failure of that is told by its own flight and does not spoil the answer.
    async fn confirm(&self, module: &ModulePath, info: &[u8]) {
        let Ok(info) = Info::parse(info) else { return };
        if let Ok(of) = ModuleVersion::new(module.clone(), info.version().clone()) {
            let canonical = self.file(&of, FileKind::Info, Reach::MayFetch).await;
            if let Err(failure) = canonical {
                tracing::debug!(%failure, "the canonical info of a query's answer");
            }
        }
    }

    /// Keeps an answer. One that cannot be written is still an answer: only the next caller asks again.
    pub(crate) async fn keep_answer(
        &self,
        question: &Changing,
        bytes: Vec<u8>,
        checked_at: std::time::SystemTime,
        source: &str,
        validator: Option<String>,
    ) -> Arc<StoredAnswer> {
        let answer = StoredAnswer { bytes, checked_at, source: source.to_owned(), validator };
        let (module, asked) = (question.module(), in_store(question));
        let kept = self.0.store.put_answer(&self.0.repository, module, &asked, answer.clone()).await;
        if let Err(error) = kept {
            tracing::warn!(%error, %module, "an answer could not be kept");
        }
        Arc::new(answer)
    }
}

/// What one source says; its room has checked the form and the version it names (D5).
async fn ask(
    source: &Source,
    question: &Changing,
    before: Option<&StoredAnswer>,
) -> Result<Fetched<Vec<u8>>, Failure> {
    let validator = before.and_then(|before| before.validator.as_deref());
    match question {
        Changing::List(module) => source.list(module, validator).await,
        Changing::Latest(module) => source.latest(module, validator).await,
        Changing::Query(module, query) => {
            let asked = VersionOrQuery::Query(query.clone());
            source.info(module, &asked).await.map(|value| Fetched::New { value, validator: None })
        }
    }
}

/// The question in the store's words.
fn in_store(question: &Changing) -> StoreQuestion {
    match question {
        Changing::List(_) => StoreQuestion::List,
        Changing::Latest(_) => StoreQuestion::Latest,
        Changing::Query(_, query) => StoreQuestion::Query(query.as_str().to_owned()),
    }
}
