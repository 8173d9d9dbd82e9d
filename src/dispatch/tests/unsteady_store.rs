//! A store with the delays and refusals of one that is not in memory.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::dispatch::tests::rig::memory;
use crate::domain::id::BatchId;
use crate::domain::report::Report;
use crate::store::memory::MemoryStore;
use crate::store::{Store, StoreError, StoreFuture};

/// A store that takes its time, to record even until it is told to, and that may forget how to link.
pub(super) struct Unsteady {
    inner: MemoryStore,
    /// Nothing is recorded before this is cancelled.
    pub(super) recording: CancellationToken,
    /// What linking answers; `None` = it links.
    link: Linking,
}

pub(super) type Linking = fn() -> Option<Result<bool, StoreError>>;

impl Unsteady {
    pub(super) fn new(link: Linking) -> Arc<Self> {
        Arc::new(Self { inner: memory(10), recording: CancellationToken::new(), link })
    }
}

impl Store for Unsteady {
    fn record(&self, report: Arc<Report>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.recording.cancelled().await;
            self.inner.record(report).await
        })
    }

    fn find(&self, id: BatchId) -> StoreFuture<'_, Option<Arc<Report>>> {
        Box::pin(async move {
            let found = self.inner.find(id).await;
            // Others may act on what was true a moment ago.
            tokio::task::yield_now().await;
            found
        })
    }

    fn link(&self, parent: BatchId, child: BatchId) -> StoreFuture<'_, bool> {
        match (self.link)() {
            Some(answer) => Box::pin(std::future::ready(answer)),
            None => self.inner.link(parent, child),
        }
    }

    fn unlink(&self, parent: BatchId, child: BatchId) -> StoreFuture<'_, ()> {
        self.inner.unlink(parent, child)
    }
}
