//! Where finished batches are kept.

pub mod memory;
pub mod settings;

use std::pin::Pin;
use std::sync::Arc;

use crate::domain::id::BatchId;
use crate::domain::report::Report;

/// An answer that takes a while.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keeps reports.
pub trait Store: Send + Sync + 'static {
    /// Keeps the report of a finished batch.
    fn record(&self, report: Arc<Report>) -> StoreFuture<'_, ()>;

    /// The report of this batch, if it is still kept.
    fn find(&self, id: BatchId) -> StoreFuture<'_, Option<Arc<Report>>>;

    /// Notes that `child` sends recipients of `parent` again, so that the parent's report lists it; `false` = the
    /// parent is no longer kept, and nothing was noted.
    ///
    /// Comes before the child's first call: the child's own report follows when it has ended.
    fn link(&self, parent: BatchId, child: BatchId) -> StoreFuture<'_, bool>;

    /// Takes a link back, because the child was not started after all.
    fn unlink(&self, parent: BatchId, child: BatchId) -> StoreFuture<'_, ()>;
}

/// Why a store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached now.
    #[error("the store is away")]
    Away(#[source] std::io::Error),
}
