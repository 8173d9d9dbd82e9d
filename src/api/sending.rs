//! What a send and a resend have in common: what their headers ask for, whether they may come in now, and the way
//! from a batch that was started, or that its key names, to the answer.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::error;

use crate::api::answer;
use crate::api::dto::options::IN_MEMORY_ONLY;
use crate::api::idempotency::{self, fingerprint::Fingerprint};
use crate::api::keys::caller::Caller;
use crate::api::prefer::Preferences;
use crate::api::problem::{Problem, ProblemCode};
use crate::api::read_batch::wait_for_end;
use crate::api::request_id::HandedOver;
use crate::api::router::State;
use crate::dispatch::running::Running;
use crate::dispatch::start::{Overloaded, StartError, Started, Terms};
use crate::domain::fault::{Fault, FaultCode};
use crate::store::StoreError;
use crate::store::durable::{IdempotencyKey, KnownKey};

/// How soon to come back when the process is full or about to end, in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

/// How soon to come back while the store is away, in seconds.
const STORE_RETRY_AFTER_SECONDS: u64 = 5;

const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A request that sends, without its body.
pub struct Sending {
    /// What is served.
    pub state: State,
    /// Who asks.
    pub caller: Caller,
    /// Told once a batch runs.
    pub handed_over: HandedOver,
    /// Its headers.
    pub headers: HeaderMap,
    preferences: Preferences,
    key: Option<Arc<str>>,
}

impl Sending {
    /// Reads the headers.
    ///
    /// # Errors
    /// A [`Problem`] if one of them cannot be used.
    pub fn new(
        state: State,
        caller: Caller,
        handed_over: HandedOver,
        headers: HeaderMap,
    ) -> Result<Self, Problem> {
        let preferences = Preferences::read(&headers);
        let key = idempotency::read(&headers)?;
        Ok(Self { state, caller, handed_over, headers, preferences, key })
    }

    /// What the headers ask for and cannot be had here.
    #[must_use]
    pub fn refused(&self) -> Vec<Fault> {
        if self.state.api.dispatcher.durable().is_some() {
            return Vec::new();
        }
        let asked = [
            (self.key.is_some(), "no header `Idempotency-Key`"),
            (self.preferences.respond_async, "no `Prefer: respond-async`"),
        ];
        let refused = asked.into_iter().filter(|(is_asked, _)| *is_asked);
        let fault = |what| Fault::new("", FaultCode::NotAllowed, format!("{what}: {IN_MEMORY_ONLY}"));
        refused.map(|(_, what)| fault(what)).collect()
    }

    /// Whether a new batch may come in now: asked before anything of the body is read, unless a key may name an
    /// earlier one.
    ///
    /// # Errors
    /// A [`Problem`] that says when to come back.
    pub fn admit_unless_keyed(&self) -> Result<(), Problem> {
        if self.key.is_none() { self.admit() } else { Ok(()) }
    }

    /// The same once the body is there, which may have taken long; what a start looks at itself is left to it.
    ///
    /// # Errors
    /// A [`Problem`] that says when to come back.
    pub fn admit_after_body(&self) -> Result<(), Problem> {
        if self.key.is_some() { self.admit() } else { check_room(&self.state) }
    }

    fn admit(&self) -> Result<(), Problem> {
        check_room(&self.state)?;
        if self.state.api.dispatcher.is_overloaded(self.patience()) {
            let detail = "every channel has more to do than this request would wait for";
            return Err(Problem::new(ProblemCode::Overloaded, detail).with_retry_after(RETRY_AFTER_SECONDS));
        }
        Ok(())
    }

    /// What the hash of the body begins with, if a key asks for one.
    #[must_use]
    pub fn fingerprint(&self, path: &str) -> Option<Fingerprint> {
        let is_asked = self.key.is_some() && self.state.api.dispatcher.durable().is_some();
        is_asked.then(|| Fingerprint::new(path))
    }

    /// How the batch is to be started; `fingerprint` is the hash of what is asked for, if there is a key.
    #[must_use]
    pub fn terms(&self, fingerprint: Option<[u8; 32]>) -> Terms {
        let caller = self.caller.name().cloned().unwrap_or_default();
        let key = self.key.clone().zip(fingerprint);
        let key = key.map(|(key, fingerprint)| IdempotencyKey { caller, key, fingerprint });
        Terms { patience: self.patience(), is_durable: self.preferences.respond_async, key }
    }

    /// The answer about the batch that the key of these `terms` names already.
    ///
    /// # Errors
    /// A [`Problem`] if something else was asked for under this key, or the store is away.
    pub async fn replay(&self, terms: &Terms) -> Result<Option<Response>, Problem> {
        let Some(IdempotencyKey { caller, key, fingerprint }) = &terms.key else { return Ok(None) };
        let Some(store) = self.state.api.dispatcher.durable() else { return Ok(None) };
        match store.find_key(Arc::clone(caller), Arc::clone(key)).await {
            Ok(None) => Ok(None),
            Ok(Some(known)) => self.attach(known, fingerprint).await.map(Some),
            Err(error) => Err(key_unread(&error)),
        }
    }

    /// The answer about a batch that was asked for under these `terms`.
    ///
    /// # Errors
    /// A [`Problem`] if its key was taken by another request meanwhile.
    pub async fn answer(&self, started: Started, terms: &Terms) -> Result<Response, Problem> {
        match started {
            Started::New(running) => Ok(self.follow(&running).await),
            Started::Known(known) => {
                let fingerprint = terms.key.as_ref().map(|key| key.fingerprint).unwrap_or_default();
                self.attach(known, &fingerprint).await
            }
        }
    }

    /// Waits for a batch that was just started as long as the caller prefers, and answers with its report.
    async fn follow(&self, running: &Running) -> Response {
        self.handed_over.set(running.id());
        if !running.finished(self.wait()).await {
            // From here on it has to survive this process, since its caller only knows its name.
            self.state.api.dispatcher.make_durable(running).await;
        }
        answer::to_send(&running.report(), &self.headers, &self.preferences)
    }

    /// The same for a batch that an earlier request started.
    async fn attach(&self, known: KnownKey, fingerprint: &[u8; 32]) -> Result<Response, Problem> {
        if known.fingerprint != *fingerprint {
            let detail = "this key was given with another path or body before; nothing was sent";
            return Err(Problem::new(ProblemCode::IdempotencyKeyReused, detail));
        }
        // From here on no answer may say that nothing was sent.
        self.handed_over.set(known.batch);
        let mut response = match wait_for_end(&self.state, known.batch, self.wait()).await {
            Ok(Some(report)) => answer::to_send(&report, &self.headers, &self.preferences),
            // It was kept as long as its key.
            Ok(None) => answer::handed_over(known.batch),
            Err(error) => {
                error!(batch.id = %known.batch, %error, "The batch of a key is answered without its report.");
                answer::handed_over(known.batch)
            }
        };
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        Ok(response)
    }

    fn wait(&self) -> Duration {
        self.preferences.wait(self.state.api.settings.batches.default_wait)
    }

    fn patience(&self) -> Duration {
        self.preferences.patience(self.state.api.settings.batches.default_wait)
    }
}

/// Whether there is room for one more batch.
fn check_room(state: &State) -> Result<(), Problem> {
    let dispatcher = &state.api.dispatcher;
    if dispatcher.is_draining() {
        return Err(draining());
    }
    if dispatcher.running_count() >= state.api.settings.limits.batches_in_progress {
        let detail = "too many batches are in progress";
        return Err(Problem::new(ProblemCode::Overloaded, detail).with_retry_after(RETRY_AFTER_SECONDS));
    }
    Ok(())
}

/// The refusal while the process ends.
pub fn draining() -> Problem {
    let detail = "this process is about to end: send the request again";
    Problem::new(ProblemCode::Draining, detail).with_retry_after(RETRY_AFTER_SECONDS)
}

/// One channel has too much to do; the others may not.
#[expect(clippy::needless_pass_by_value, reason = "it is mapped from an error")]
fn overloaded(error: Overloaded) -> Problem {
    let problem = Problem::new(ProblemCode::Overloaded, error.to_string());
    problem.with_retry_after(RETRY_AFTER_SECONDS)
}

/// Why a batch was not started.
///
/// # Errors
/// A [`Problem`]: nothing was sent, and nothing will be. `Ok` is no answer at all: nobody knows whether the batch was
/// written, so that a 5xx would promise too much, and a 2xx as well.
pub fn not_started(error: StartError) -> Result<Response, Problem> {
    match error {
        StartError::Overloaded(error) => Err(overloaded(error)),
        StartError::NotDurable => {
            Err(Problem::faults([Fault::new("", FaultCode::NotAllowed, IN_MEMORY_ONLY)]))
        }
        StartError::Store(StoreError::Unsettled) => Ok(answer::none()),
        StartError::Store(error) => Err(unwritten(&error)),
    }
}

/// The refusal when nobody can tell which batch a key names.
fn key_unread(error: &StoreError) -> Problem {
    error!(%error, "A key cannot be looked up.");
    let detail = "whether this key names an earlier batch cannot be read now; this request sent nothing";
    Problem::new(ProblemCode::StoreUnavailable, detail).with_retry_after(STORE_RETRY_AFTER_SECONDS)
}

/// The refusal when a batch cannot be written.
fn unwritten(error: &StoreError) -> Problem {
    error!(%error, "A batch cannot be written.");
    let detail = "batches cannot be written now; nothing was sent";
    Problem::new(ProblemCode::StoreUnavailable, detail).with_retry_after(STORE_RETRY_AFTER_SECONDS)
}
