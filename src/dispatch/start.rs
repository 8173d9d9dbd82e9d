//! How a planned batch is handed over: kept in memory, or written first so that it survives this process.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::hash_map::Entry;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{Instrument as _, error};

use crate::dispatch::gate::Place;
use crate::dispatch::journal::{self, Written};
use crate::dispatch::plan::{Plan, PlannedRoute};
use crate::dispatch::running::Running;
use crate::dispatch::{Dispatcher, Shared, run};
use crate::domain::id::ChannelName;
use crate::domain::report::MOST_INLINE_RESULTS;
use crate::store::StoreError;
use crate::store::durable::{Durable, IdempotencyKey, KnownKey};

/// How long it may stay open whether a batch was written before its caller is told that nobody knows.
const DOUBT: Duration = Duration::from_secs(10);

/// How soon the store is asked again whether it wrote a batch.
const DOUBT_PAUSE: Duration = Duration::from_millis(500);

/// What is asked for beside the batch itself.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How long the turns of others may keep it waiting; [`Duration::MAX`] = as long as it takes.
    pub patience: Duration,
    /// Whether it has to survive this process, whatever is in it.
    pub is_durable: bool,
    /// The caller's key for it; such a batch is durable.
    pub key: Option<IdempotencyKey>,
}

/// A batch that was asked for.
pub enum Started {
    /// It runs.
    New(Running),
    /// Its key names an earlier one.
    Known(KnownKey),
}

/// A channel has more to do than it may keep waiting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("channel `{channel}` has too much to do")]
pub struct Overloaded {
    /// Which channel.
    pub channel: ChannelName,
}

/// Why a batch was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// One of its channels has no room.
    #[error(transparent)]
    Overloaded(Overloaded),
    /// Nothing survives this process.
    #[error("batches are kept in memory only")]
    NotDurable,
    /// It could not be written.
    #[error("the batch could not be written")]
    Store(#[source] StoreError),
}

impl Dispatcher {
    /// Hands a planned batch over: from here on it runs to its end whatever becomes of the caller.
    ///
    /// It is durable if the `terms` or its callback ask for that, or if its results do not stand in its report and
    /// the store can keep it.
    ///
    /// # Errors
    /// [`StartError`]; except for [`StoreError::Unsettled`] nothing was sent then, and nothing will be.
    pub async fn begin(&self, plan: Plan, terms: Terms) -> Result<Started, StartError> {
        let is_asked = terms.is_durable || terms.key.is_some() || plan.batch().callback.is_some();
        let is_large = plan.recipient_count() > MOST_INLINE_RESULTS;
        match self.durable() {
            None if is_asked => Err(StartError::NotDurable),
            Some(_) if is_asked || is_large => self.start_durable(plan, terms).await,
            Some(_) | None => {
                self.start(plan, terms.patience).map(Started::New).map_err(StartError::Overloaded)
            }
        }
    }

    /// The same, in memory and without waiting.
    ///
    /// # Errors
    /// [`Overloaded`] if one of its channels has no room; nothing was sent then, and nothing will be.
    pub fn start(&self, plan: Plan, patience: Duration) -> Result<Running, Overloaded> {
        let places = enter(&plan, patience)?;
        let running = Running::new(plan);
        Ok(hand_over(&self.shared, &running, places))
    }

    async fn start_durable(&self, plan: Plan, terms: Terms) -> Result<Started, StartError> {
        let places = enter(&plan, terms.patience).map_err(StartError::Overloaded)?;
        let (tell, told) = oneshot::channel();
        // A task of its own: what is being written is gone on with also if the caller hangs up.
        self.shared.tasks.spawn(write_and_run(Arc::clone(&self.shared), plan, places, terms.key, tell));
        told.await.unwrap_or(Err(StartError::Store(StoreError::Unsettled)))
    }

    /// Writes a batch that runs, so that it survives this process from then on; returns when that is done.
    ///
    /// Does nothing where nothing survives.
    pub async fn make_durable(&self, running: &Running) {
        let (shared, running) = (Arc::clone(&self.shared), running.clone());
        // A task of its own: the batch's calls wait for what was begun here, also if the caller hangs up.
        let written = self.shared.tasks.spawn(async move {
            if let Some(store) = shared.store.durable() {
                journal::promote(store, &running).await;
            }
        });
        if let Err(error) = written.await {
            error!(%error, "Writing a batch that runs broke.");
        }
    }
}

/// Takes every route's place in its channel's backlog.
pub(super) fn enter(plan: &Plan, patience: Duration) -> Result<Vec<Place>, Overloaded> {
    let full = |planned: &PlannedRoute| Overloaded { channel: planned.channel.name().clone() };
    // Before any of them enters: routes of one batch do not count as others.
    if let Some(planned) = plan.routes.iter().find(|planned| planned.is_kept_waiting(patience)) {
        return Err(full(planned));
    }
    plan.routes.iter().map(|planned| planned.enter().ok_or_else(|| full(planned))).collect()
}

/// Lets a batch run, unless it does already: while nobody knew whether it was written, what looks for batches that
/// nobody works on may have found it. The one that runs.
pub(super) fn hand_over(shared: &Arc<Shared>, running: &Running, places: Vec<Place>) -> Running {
    match shared.running().entry(running.id()) {
        Entry::Occupied(known) => return known.get().clone(),
        Entry::Vacant(free) => drop(free.insert(running.clone())),
    }
    // Only now: a cancel either finds it there, or left word before.
    if shared.canceled.forget(running.id()) {
        running.cancel();
    }
    let span = tracing::debug_span!("batch", batch.id = %running.id());
    shared.tasks.spawn(run::run(Arc::clone(shared), running.clone(), places).instrument(span));
    running.clone()
}

async fn write_and_run(
    shared: Arc<Shared>,
    plan: Plan,
    places: Vec<Place>,
    key: Option<IdempotencyKey>,
    tell: oneshot::Sender<Result<Started, StartError>>,
) {
    let Some(store) = shared.store.durable() else { return };
    let running = Running::new(plan);
    let mut tell = Some(tell);
    let mut answer = |answer| tell.take().map(|tell| tell.send(answer));
    // Whoever stopped waiting is not told.
    let _ = match journal::accept(store, &running, key).await {
        Ok(Written::Yes) => answer(Ok(Started::New(hand_over(&shared, &running, places)))),
        Ok(Written::KeyTaken(known)) => answer(Ok(Started::Known(known))),
        Err(StoreError::Unsettled) => {
            let begin = Instant::now();
            let is_written = loop {
                match is_written(&shared, store, &running).await {
                    Ok(is_written) => break is_written,
                    Err(error) if begin.elapsed() >= DOUBT => {
                        error!(batch.id = %running.id(), %error, "Nobody knows whether a batch was written.");
                        // Told once; the question stays.
                        let _ = answer(Err(StartError::Store(StoreError::Unsettled)));
                    }
                    Err(_) => {}
                }
                tokio::time::sleep(DOUBT_PAUSE).await;
            };
            if is_written {
                running.0.written.cancel();
                answer(Ok(Started::New(hand_over(&shared, &running, places))))
            } else {
                answer(Err(StartError::Store(StoreError::Away("the batch was not written".into()))))
            }
        }
        Err(error) => answer(Err(StartError::Store(error))),
    };
}

/// Whether the store has a batch whose acceptance it did not confirm.
async fn is_written(shared: &Shared, store: &dyn Durable, running: &Running) -> Result<bool, StoreError> {
    // A later change that is written shows that nothing of the earlier one is still on its way.
    store.check().await?;
    Ok(shared.store.find(running.id()).await?.is_some())
}
