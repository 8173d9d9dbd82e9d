//! Cancels: of a batch that runs here, and of one that nobody here works on yet.

use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};

use crate::dispatch::{Dispatcher, Shared, journal};
use crate::domain::id::BatchId;
use crate::store::StoreError;

impl Dispatcher {
    /// Starts no further call of a batch; those in flight finish. Returns when that is written where the batch is
    /// durable. Without effect once the batch is over.
    ///
    /// # Errors
    /// [`StoreError`] if the batch does not run here and the cancel could not be written.
    pub async fn cancel(&self, id: BatchId) -> Result<(), StoreError> {
        let shared = &self.shared;
        if let Some(running) = self.running(id) {
            journal::cancel(shared.store.durable(), &running).await;
            return Ok(());
        }
        let Some(store) = shared.store.durable() else { return Ok(()) };
        // Somebody may have read the batch already and be about to run it: he finds this.
        shared.canceled().insert(id);
        let written = store.cancel(id).await;
        if let Some(running) = self.running(id) {
            running.cancel();
        }
        let is_over = self.report(id).await.is_ok_and(|report| report.is_none_or(|report| report.is_over()));
        if is_over || written.is_err() {
            shared.canceled().remove(&id);
        }
        written
    }
}

impl Shared {
    /// Batches that were canceled before anybody here worked on them.
    pub(super) fn canceled(&self) -> MutexGuard<'_, HashSet<BatchId>> {
        self.canceled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
