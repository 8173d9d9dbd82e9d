//! A store with the delays and refusals of one that is not in memory.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::dispatch::tests::rig::memory;
use crate::domain::id::BatchId;
use crate::domain::report::Report;
use crate::store::durable::Durable;
use crate::store::memory::MemoryStore;
use crate::store::{Filter, Link, Linked, Recording, Store, StoreError, StoreFuture, Summary};

/// A store that takes its time, to record even until it is told to, and that may forget how to link.
pub(super) struct Unsteady {
    inner: MemoryStore,
    /// Nothing is recorded before this is cancelled.
    pub(super) recording: CancellationToken,
    /// What linking answers; `None` = it links.
    link: Linking,
}

pub(super) type Linking = fn() -> Option<Result<Linked, StoreError>>;

impl Unsteady {
    pub(super) fn new(link: Linking) -> Arc<Self> {
        Arc::new(Self { inner: memory(10), recording: CancellationToken::new(), link })
    }
}

impl Store for Unsteady {
    fn record(&self, report: Arc<Report>) -> Recording<'_> {
        Box::pin(async move {
            self.recording.cancelled().await;
            self.inner.record(report).await;
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

    fn link(&self, link: Link) -> StoreFuture<'_, Linked> {
        match (self.link)() {
            Some(answer) => Box::pin(std::future::ready(answer)),
            None => self.inner.link(link),
        }
    }

    fn unlink(&self, link: Link) -> StoreFuture<'_, ()> {
        self.inner.unlink(link)
    }

    fn list(&self, filter: Filter) -> StoreFuture<'_, Vec<Summary>> {
        self.inner.list(filter)
    }

    fn durable(&self) -> Option<&dyn Durable> {
        None
    }
}
