//! Notes a link in a store that writes behind: its parent may be in memory only.

use std::sync::Arc;

use crate::domain::report::Report;
use crate::store::memory::MemoryStore;
use crate::store::{Link, Linked, Store as _, StoreError};

/// What outlives the process.
pub(crate) trait Written: Sync {
    /// Writes a link, if its parent is written and the family is the one that was read.
    fn write_link(&self, link: Link) -> impl Future<Output = Result<Linked, StoreError>> + Send;

    /// Writes the report of a batch that has ended.
    fn write_report(&self, report: Arc<Report>) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Notes a link; what is written stands, whatever memory lets go of meanwhile.
pub(crate) async fn note(
    written: &impl Written,
    memory: &MemoryStore,
    link: Link,
) -> Result<Linked, StoreError> {
    let mut linked = written.write_link(link).await?;
    if linked == Linked::ParentGone
        && let Some(parent) = memory.find(link.parent).await?
    {
        // It is behind: once it has the parent, whoever reads it there, in this process or the next, has to find the
        // link.
        written.write_report(parent).await?;
        linked = written.write_link(link).await?;
    }
    if linked == Linked::Noted {
        // Without effect on a parent that is not in memory.
        memory.link(link).await?;
    }
    Ok(linked)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::domain::id::BatchId;
    use crate::domain::samples;
    use crate::store::settings::MemorySettings;

    fn report(number: u64) -> Arc<Report> {
        Arc::new(samples::ended(samples::batch(BatchId::new(number, 0), Vec::new()), Vec::new()))
    }

    /// Has nothing at first, and ends another batch while it writes.
    struct Behind<'a> {
        memory: &'a MemoryStore,
        reports: Mutex<Vec<BatchId>>,
        links: Mutex<Vec<BatchId>>,
    }

    impl Written for Behind<'_> {
        async fn write_link(&self, link: Link) -> Result<Linked, StoreError> {
            if !self.reports.lock().unwrap().contains(&link.parent) {
                return Ok(Linked::ParentGone);
            }
            self.memory.record(report(99)).await;
            self.links.lock().unwrap().push(link.child);
            Ok(Linked::Noted)
        }

        async fn write_report(&self, report: Arc<Report>) -> Result<(), StoreError> {
            self.reports.lock().unwrap().push(report.batch.id);
            Ok(())
        }
    }

    async fn noted(memory_batches: usize) -> (Linked, Vec<BatchId>) {
        let memory = MemoryStore::new(MemorySettings { memory_batches, memory_bytes: 1 << 20 });
        let written = Behind { memory: &memory, reports: Mutex::default(), links: Mutex::default() };
        let parent = report(1);
        let root = parent.batch.id;
        memory.record(parent).await;
        let link = Link { root, parent: root, child: BatchId::new(2, 0), known_links: 0 };
        let linked = note(&written, &memory, link).await.unwrap();
        assert_eq!(*written.links.lock().unwrap(), [link.child]);
        let kept = memory.find(root).await.unwrap();
        (linked, kept.map(|parent| parent.resends.clone()).unwrap_or_default())
    }

    #[tokio::test]
    async fn a_link_that_is_written_is_noted_whatever_memory_has_let_go_of() {
        assert_eq!(noted(2).await, (Linked::Noted, vec![BatchId::new(2, 0)]));
        assert_eq!(noted(1).await, (Linked::Noted, Vec::new()));
    }
}
