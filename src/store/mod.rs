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
}

/// Why a store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached now.
    #[error("the store is away")]
    Away(#[source] std::io::Error),
}
