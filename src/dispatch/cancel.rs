//! Cancels: of a batch that runs here, and of one that nobody here works on yet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashbrown::HashMap;
use tokio::time::Instant;

use crate::dispatch::{Dispatcher, Shared, journal};
use crate::domain::id::BatchId;
use crate::store::StoreError;

/// How long a cancel is remembered: whoever read the batch before it was written goes on with it long before.
const MEMORY: Duration = Duration::from_secs(600);

/// Batches that were canceled before anybody here worked on them, and when; most of them run in other processes.
#[derive(Default)]
pub(super) struct Canceled(Mutex<HashMap<BatchId, Instant>>);

impl Dispatcher {
    /// Starts no further call of a batch; those in flight finish. Returns when that is written where the batch is
    /// durable, however long the store is away. Without effect once the batch is over.
    ///
    /// Whoever stops waiting has canceled the batch all the same: a batch that runs here is stopped at once, and
    /// writing goes on.
    ///
    /// # Errors
    /// [`StoreError`] if the batch does not run here and the cancel could not be written.
    pub async fn cancel(&self, id: BatchId) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let running = self.running(id);
        if let Some(running) = &running {
            if running.0.is_finished() {
                return Ok(());
            }
            running.cancel();
        }
        // A task of its own: it goes on also if the caller hangs up.
        let written = self.shared.tasks.spawn(async move {
            match running {
                Some(running) => {
                    journal::cancel(shared.store.durable(), &running).await;
                    Ok(())
                }
                None => cancel_elsewhere(&shared, id).await,
            }
        });
        written.await.unwrap_or(Err(StoreError::Unsettled))
    }
}

/// Cancels a batch that does not run here.
async fn cancel_elsewhere(shared: &Shared, id: BatchId) -> Result<(), StoreError> {
    let Some(store) = shared.store.durable() else { return Ok(()) };
    // Somebody may have read the batch already and be about to run it: he finds this.
    shared.canceled.note(id);
    let written = store.cancel(id).await;
    let running = shared.running().get(&id).cloned();
    let is_over = match running {
        Some(running) => {
            running.cancel();
            running.report().is_over()
        }
        None => shared.store.find(id).await.is_ok_and(|report| report.is_none_or(|report| report.is_over())),
    };
    if is_over || written.is_err() {
        shared.canceled.forget(id);
    }
    written
}

impl Canceled {
    fn note(&self, id: BatchId) {
        self.lock().insert(id, Instant::now());
    }

    /// Whether this batch was canceled.
    pub(super) fn has(&self, id: BatchId) -> bool {
        self.lock().contains_key(&id)
    }

    /// Forgets a batch that runs here from now on, or is over; whether it was canceled.
    pub(super) fn forget(&self, id: BatchId) -> bool {
        self.lock().remove(&id).is_some()
    }

    /// Forgets those that nobody here will work on any more without having read that they are canceled.
    pub(super) fn forget_old(&self) {
        self.lock().retain(|_, noted_at| noted_at.elapsed() < MEMORY);
    }

    /// A poisoned lock only means that another task panicked between two whole changes.
    fn lock(&self) -> MutexGuard<'_, HashMap<BatchId, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
