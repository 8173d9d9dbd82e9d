//! The reports whose results were read last.

use std::sync::Arc;

use crate::domain::id::BatchId;
use crate::domain::report::{MOST_INLINE_RESULTS, Report};
use crate::store::memory::MemoryStore;
use crate::store::settings::MemorySettings;
use crate::store::{Store as _, StoreError};

/// Most reports that are kept, and most bytes of all of them together: a million recipients with ids of 28 characters
/// take about half of that.
const BOUNDS: MemorySettings = MemorySettings { memory_batches: 4, memory_bytes: 64 << 20 };

/// Keeps large reports that are over, so that not every page of their results reads a whole batch from the store.
///
/// Good for results only: which resends a batch has may change after its end. Whether a batch is still known, and to
/// whom, is asked of the store before.
pub struct RecentReports(MemoryStore);

impl Default for RecentReports {
    fn default() -> Self {
        Self(MemoryStore::new(BOUNDS))
    }
}

impl RecentReports {
    /// The report of this batch if it is here.
    ///
    /// # Errors
    /// None that memory knows of.
    pub async fn find(&self, id: BatchId) -> Result<Option<Arc<Report>>, StoreError> {
        self.0.find(id).await
    }

    /// Keeps a report for the next page; what still changes, and what is read fast, is left out.
    pub async fn keep(&self, report: &Arc<Report>) {
        let recipient_count: usize = report.routes.iter().map(|route| route.recipients.len()).sum();
        if report.is_over() && recipient_count > MOST_INLINE_RESULTS {
            self.0.record(Arc::clone(report)).await;
        }
    }
}
