//! Unfinished batches that nobody in this process works on.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::id::BatchId;

/// Their names: those that a process before left, and those whose sender did not wait for the answer.
#[derive(Debug, Default)]
pub(super) struct Orphans(Mutex<BTreeSet<BatchId>>);

impl Orphans {
    pub(super) fn new(ids: impl IntoIterator<Item = BatchId>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(ids.into_iter().collect())))
    }

    /// The oldest of them but `except`, at most `most`.
    pub(super) fn first(&self, most: usize, except: &[BatchId]) -> Vec<BatchId> {
        let ids = self.ids();
        ids.iter().filter(|id| !except.contains(id)).take(most).copied().collect()
    }

    pub(super) fn remove(&self, gone: &[BatchId]) {
        let mut ids = self.ids();
        for id in gone {
            ids.remove(id);
        }
    }

    /// What the answer to the sender of a batch carries from its commit on.
    pub(super) fn unclaimed(self: &Arc<Self>, id: BatchId) -> Unclaimed {
        Unclaimed { id, orphans: Some(Arc::clone(self)) }
    }

    fn ids(&self) -> std::sync::MutexGuard<'_, BTreeSet<BatchId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch that is written; unless somebody takes it, it becomes an orphan.
#[derive(Debug)]
pub(super) struct Unclaimed {
    id: BatchId,
    orphans: Option<Arc<Orphans>>,
}

impl Unclaimed {
    /// Somebody works on the batch.
    pub(super) fn take(mut self) {
        self.orphans = None;
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(orphans) = &self.orphans {
            orphans.ids().insert(self.id);
        }
    }
}
