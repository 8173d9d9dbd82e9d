//! The store that forgets: the last batches, in memory, within bounds.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;

use crate::domain::id::BatchId;
use crate::domain::report::Report;
use crate::store::durable::Durable;
use crate::store::settings::Settings;
use crate::store::{Filter, Link, Linked, Recording, Store, StoreFuture, Summary};

/// Bytes that a report takes besides its recipients, roughly.
const REPORT_BYTES: usize = 1024;

/// Keeps the latest reports; the oldest go first.
#[derive(Debug)]
pub struct MemoryStore {
    settings: Settings,
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
    pub fn new(settings: Settings) -> Self {
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
        let bytes = approximate_bytes(&report);
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
        let reports = kept.order.iter().rev().filter_map(|(id, _)| kept.reports.get(id));
        let found =
            reports.filter(|report| filter.takes(report)).take(filter.most).map(|report| Summary::of(report));
        let found = found.collect();
        drop(kept);
        Box::pin(std::future::ready(Ok(found)))
    }

    fn durable(&self) -> Option<&dyn Durable> {
        None
    }
}

fn approximate_bytes(report: &Report) -> usize {
    let routes = report.routes.iter().map(|route| {
        let outcomes: usize =
            route.settled.iter().chain(&route.unsent).map(|settled| settled.outcomes.bytes()).sum();
        route.recipients.bytes() + outcomes
    });
    REPORT_BYTES + routes.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples;

    fn report(number: u64) -> Arc<Report> {
        Arc::new(samples::ended(samples::batch(BatchId::new(number, 0), Vec::new()), Vec::new()))
    }

    async fn kept(memory_batches: usize, memory_bytes: usize) -> Vec<u64> {
        let store = MemoryStore::new(Settings { memory_batches, memory_bytes });
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
    async fn a_link_shows_in_the_parents_report_until_it_is_taken_back() {
        let store = MemoryStore::new(Settings { memory_batches: 2, memory_bytes: 1 << 20 });
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
