//! Where batches are kept: finished ones for a while, durable ones from before their first call.

pub mod durable;
pub mod memory;
pub mod settings;

use std::pin::Pin;
use std::sync::Arc;

use crate::domain::id::BatchId;
use crate::domain::report::Report;
use crate::store::durable::Durable;

/// An answer that takes a while.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keeps reports.
pub trait Store: Send + Sync + 'static {
    /// Keeps the report of a finished batch that is not durable; under load it may be forgotten.
    fn record(&self, report: Arc<Report>) -> StoreFuture<'_, ()>;

    /// The report of this batch, if it is still kept; of a durable one that has not ended as it stands.
    fn find(&self, id: BatchId) -> StoreFuture<'_, Option<Arc<Report>>>;

    /// What survives the process; `None` = nothing does.
    fn durable(&self) -> Option<&dyn Durable>;
}

/// Why a store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached or cannot write now; nothing was changed.
    #[error("the store is away")]
    Away(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Whether the change was made is not known and could not be found out.
    #[error("the store was lost while it wrote")]
    Unsettled,
    /// What it holds is not what this program writes.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
}
