//! The store that forgets: the last batches, in memory, within bounds.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;

use crate::domain::id::BatchId;
use crate::domain::report::Report;
use crate::store::durable::Durable;
use crate::store::settings::MemorySettings;
use crate::store::{Filter, Link, Linked, Recording, Store, StoreFuture, Summary};

/// Keeps the latest reports; the oldest go first.
#[derive(Debug)]
pub struct MemoryStore {
    settings: MemorySettings,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    reports: HashMap<BatchId, Arc<Report>>,
    order: VecDeque<(BatchId, usize)>,
    bytes: usize,
}

impl MemoryStore {
    /// An empty store within the bounds of `settings`.
    #[must_use]
    pub fn new(settings: MemorySettings) -> Self {
        Self { settings, kept: Mutex::default() }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a report, whoever still reads the old one; whether it is kept.
    fn change(&self, id: BatchId, change: impl FnOnce(&mut Report)) -> bool {
        let mut kept = self.kept();
        let found = kept.reports.get_mut(&id);
        found.map(|report| change(Arc::make_mut(report))).is_some()
    }
}

impl Store for MemoryStore {
    fn record(&self, report: Arc<Report>) -> Recording<'_> {
        let mut kept = self.kept();
        let bytes = report.bytes();
        kept.bytes += bytes;
        kept.order.push_back((report.batch.id, bytes));
        kept.reports.insert(report.batch.id, report);
        while kept.order.len() > self.settings.memory_batches || kept.bytes > self.settings.memory_bytes {
            let Some((oldest, bytes)) = kept.order.pop_front() else {
                break;
            };
            kept.reports.remove(&oldest);
            kept.bytes -= bytes;
        }
        drop(kept);
        Box::pin(std::future::ready(()))
    }

    fn find(&self, id: BatchId) -> StoreFuture<'_, Option<Arc<Report>>> {
        let found = self.kept().reports.get(&id).cloned();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn link(&self, link: Link) -> StoreFuture<'_, Linked> {
        // Only this process knows these batches, and it links one after the other.
        let is_kept = self.change(link.parent, |report| report.resends.push(link.child));
        let linked = if is_kept { Linked::Noted } else { Linked::ParentGone };
        Box::pin(std::future::ready(Ok(linked)))
    }

    fn unlink(&self, link: Link) -> StoreFuture<'_, ()> {
        self.change(link.parent, |report| report.resends.retain(|known| *known != link.child));
        Box::pin(std::future::ready(Ok(())))
    }

    fn list(&self, filter: Filter) -> StoreFuture<'_, Vec<Summary>> {
        let kept = self.kept();
        let mut taken: Vec<_> = kept.reports.values().filter(|report| filter.takes(report)).collect();
        // They are kept in the order of their ends, which is not that of a list.
        taken.sort_unstable_by_key(|report| std::cmp::Reverse(report.batch.id));
        let found = taken.into_iter().take(filter.most).map(|report| Summary::of(report)).collect();
        drop(kept);
        Box::pin(std::future::ready(Ok(found)))
    }

    fn durable(&self) -> Option<&dyn Durable> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::bytes::REPORT_BYTES;
    use crate::domain::message::Message;
    use crate::domain::route::Route;
    use crate::domain::samples;

    fn report(number: u64) -> Arc<Report> {
        Arc::new(samples::ended(samples::batch(BatchId::new(number, 0), Vec::new()), Vec::new()))
    }

    async fn kept(memory_batches: usize, memory_bytes: usize) -> Vec<u64> {
        let store = MemoryStore::new(MemorySettings { memory_batches, memory_bytes });
        for number in 1..=5 {
            store.record(report(number)).await;
        }
        let mut kept = Vec::new();
        for number in 1..=5 {
            if store.find(BatchId::new(number, 0)).await.unwrap().is_some() {
                kept.push(number);
            }
        }
        kept
    }

    #[tokio::test]
    async fn keeps_the_latest_within_both_bounds() {
        assert_eq!(kept(10, 1 << 20).await, [1, 2, 3, 4, 5]);
        assert_eq!(kept(2, 1 << 20).await, [4, 5]);
        assert_eq!(kept(10, 3 * REPORT_BYTES).await, [3, 4, 5]);
        assert_eq!(kept(0, 1 << 20).await, [0; 0]);
    }

    #[tokio::test]
    async fn long_messages_take_the_room_of_many_reports() {
        let store = MemoryStore::new(MemorySettings { memory_batches: 9, memory_bytes: 600_000 });
        for number in 1..=5 {
            let message = Arc::new(Message::Text { text: "x".repeat(250_000).into() });
            let route = Arc::new(Route { message, ..samples::route("main", Arc::default()) });
            let reports = vec![samples::nobody_decided(&route)];
            let batch = samples::batch(BatchId::new(number, 0), vec![route]);
            store.record(Arc::new(samples::ended(batch, reports))).await;
        }
        let kept = store.list(Filter { most: 9, ..Filter::default() }).await.unwrap();
        assert_eq!(
            kept.iter().map(|line| line.id).collect::<Vec<_>>(),
            [5, 4].map(|number| BatchId::new(number, 0))
        );
    }

    #[tokio::test]
    async fn pages_hold_every_batch_whatever_the_order_of_their_ends() {
        let store = MemoryStore::new(MemorySettings { memory_batches: 9, memory_bytes: 1 << 20 });
        for number in [3, 2, 4, 1] {
            store.record(report(number)).await;
        }
        let mut filter = Filter { most: 1, ..Filter::default() };
        let mut listed = Vec::new();
        while let Some(line) = store.list(filter.clone()).await.unwrap().pop() {
            listed.push(line.id);
            filter.before = Some(line.id);
        }
        assert_eq!(listed, [4, 3, 2, 1].map(|number| BatchId::new(number, 0)));
    }

    #[tokio::test]
    async fn a_link_shows_in_the_parents_report_until_it_is_taken_back() {
        let store = MemoryStore::new(MemorySettings { memory_batches: 2, memory_bytes: 1 << 20 });
        let [parent, first, second] = [1, 2, 3].map(|number| BatchId::new(number, 0));
        let link = |child| Link { root: parent, parent, child, known_links: 0 };
        assert_eq!(store.link(link(first)).await.unwrap(), Linked::ParentGone);
        store.record(report(1)).await;
        let before = store.find(parent).await.unwrap().unwrap();
        assert_eq!(store.link(link(first)).await.unwrap(), Linked::Noted);
        assert_eq!(store.link(link(second)).await.unwrap(), Linked::Noted);
        let resends = async || store.find(parent).await.unwrap().unwrap().resends.clone();
        assert_eq!(resends().await, [first, second]);
        store.unlink(link(first)).await.unwrap();
        assert_eq!(resends().await, [second]);
        assert_eq!(before.resends, []);
    }
}
