//! Batches in one SQLite file, which one process uses at a time.
//!
//! One task writes: it takes every change that waits, makes them one transaction, and answers them after the commit,
//! so that a thousand changes at once cost a few flushes of the disk. Reports are read by connections of their own.
//! Everything unfinished in the file belongs to this process, since no other has it open.

mod apply;
mod open;
mod orphans;
mod read;
mod retention;
mod writer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sqlx::SqlitePool;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::error;

use crate::domain::id::BatchId;
use crate::domain::report::{Remarks, Report, Settled};
use crate::store::durable::{
    Accepted, CALLBACK_LEASE, Chunk, DueCallback, Durable, KnownKey, NewBatch, Unfinished,
};
use crate::store::linking::{self, Written};
use crate::store::memory::MemoryStore;
use crate::store::queue;
pub use crate::store::sqlite::open::OpenError;
use crate::store::sqlite::orphans::Orphans;
use crate::store::sqlite::writer::{Change, Done, Job};
use crate::store::stored::Providers;
use crate::store::stored::packed::encode_recipients;
use crate::store::stored::rows::{BatchRows, ChunkRow, first_position, to_nanoseconds};
use crate::store::unrecorded::Unrecorded;
use crate::store::{Filter, Head, Link, Linked, Recording, Store, StoreError, StoreFuture, Summary};

/// Tells the time.
pub type Now = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// What a store needs to open its file.
#[derive(Clone)]
pub struct Opening {
    /// The file; it is made if it is not there.
    pub path: PathBuf,
    /// How long batches are kept after their end.
    pub retention: Duration,
    /// The names of the providers that this program has.
    pub providers: fn(&str) -> Option<&'static str>,
    /// What time it is.
    pub now: Now,
}

/// Keeps batches in a file; the latest reports also in memory.
pub struct SqliteStore {
    memory: MemoryStore,
    changes: mpsc::Sender<Job>,
    records: queue::Sender<Job>,
    readers: SqlitePool,
    /// Reads lists, which may take their time.
    lists: SqlitePool,
    providers: Providers,
    now: Now,
    orphans: Arc<Orphans>,
    unrecorded: Arc<Unrecorded>,
    tasks: TaskTracker,
    closing: CancellationToken,
    _closes_when_dropped: DropGuard,
}

impl SqliteStore {
    /// Writes what was taken, and lets go of the file.
    pub async fn close(&self) {
        self.closing.cancel();
        self.readers.close().await;
        self.lists.close().await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn change(&self, change: Change) -> Result<Done, StoreError> {
        ask(&self.changes, change).await
    }

    /// Hands a report to the writer without waiting for it.
    fn write_behind(&self, report: &Report) -> Result<(), String> {
        let place = self.records.try_reserve(report.bytes());
        let place = place.ok_or("too many wait to be written, or the file is closed")?;
        let rows = BatchRows::encode(report, &[]).map_err(|unreadable| unreadable.to_string())?;
        let (reply, _) = oneshot::channel();
        place.send(Job { change: Change::Record(Box::new(rows)), reply });
        Ok(())
    }
}

impl Written for SqliteStore {
    async fn write_link(&self, link: Link) -> Result<Linked, StoreError> {
        match self.change(Change::Link(link)).await? {
            Done::Linked(linked) => Ok(linked),
            Done::Changed(_) | Done::Written(_) | Done::KeyTaken(_) | Done::Taken(_) => {
                Err(StoreError::Unsettled)
            }
        }
    }

    async fn write_report(&self, report: Arc<Report>) -> Result<(), StoreError> {
        let rows = BatchRows::encode(&report, &[])?;
        self.change(Change::Record(Box::new(rows))).await.map(drop)
    }
}

/// Hands a change to the writer and waits until it is on disk.
async fn ask(changes: &mpsc::Sender<Job>, change: Change) -> Result<Done, StoreError> {
    let closed = || StoreError::Away("it is closed".into());
    let (reply, answer) = oneshot::channel();
    changes.send(Job { change, reply }).await.map_err(|_| closed())?;
    // A writer that ended without an answer may have written.
    answer.await.unwrap_or(Err(StoreError::Unsettled))
}

impl Store for SqliteStore {
    fn record(&self, report: Arc<Report>) -> Recording<'_> {
        Box::pin(async move {
            // What is lost under load is at least found as long as memory reaches.
            self.memory.record(Arc::clone(&report)).await;
            if let Err(reason) = self.write_behind(&report) {
                self.unrecorded.add(1, reason);
            }
        })
    }

    fn unrecorded_count(&self) -> u64 {
        self.unrecorded.count()
    }

    fn find(&self, id: BatchId) -> StoreFuture<'_, Option<Arc<Report>>> {
        Box::pin(async move {
            if let Some(report) = self.memory.find(id).await? {
                return Ok(Some(report));
            }
            let found = read::find(&self.readers, id, self.providers).await?;
            Ok(found.map(|unfinished| unfinished.report))
        })
    }

    fn head(&self, id: BatchId) -> StoreFuture<'_, Option<Head>> {
        Box::pin(async move {
            match self.memory.head(id).await? {
                Some(head) => Ok(Some(head)),
                None => read::head(&self.readers, id).await,
            }
        })
    }

    fn list(&self, filter: Filter) -> StoreFuture<'_, Vec<Summary>> {
        Box::pin(async move {
            // Those that memory has and the file does not are about to be written.
            let written = read::list(&self.lists, &filter).await?;
            let most = filter.most;
            let mut lines = self.memory.list(filter).await?;
            lines.extend(written);
            lines.sort_by_key(|line| std::cmp::Reverse(line.id));
            lines.dedup_by_key(|line| line.id);
            lines.truncate(most);
            Ok(lines)
        })
    }

    fn link(&self, link: Link) -> StoreFuture<'_, Linked> {
        Box::pin(linking::note(self, &self.memory, link))
    }

    fn unlink(&self, link: Link) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.memory.unlink(link).await?;
            self.change(Change::Unlink(link.child)).await.map(drop)
        })
    }

    fn durable(&self) -> Option<&dyn Durable> {
        Some(self)
    }
}

impl Durable for SqliteStore {
    fn accept(&self, batch: NewBatch) -> StoreFuture<'_, Accepted> {
        Box::pin(async move {
            let NewBatch { report, in_flight, key } = batch;
            let rows = Box::new(BatchRows::encode(&report, &in_flight)?);
            match self.change(Change::Accept(rows, key)).await? {
                Done::Written(unclaimed) => {
                    unclaimed.take();
                    Ok(Accepted::Written)
                }
                Done::KeyTaken(known) => Ok(Accepted::KeyTaken(known)),
                Done::Changed(_) | Done::Linked(_) | Done::Taken(_) => Err(StoreError::Unsettled),
            }
        })
    }

    fn find_key(&self, caller: Arc<str>, key: Arc<str>) -> StoreFuture<'_, Option<KnownKey>> {
        Box::pin(async move { read::find_key(&self.readers, &caller, &key).await })
    }

    fn begin(&self, batch: BatchId, chunk: Chunk) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let change = Change::Begin(batch, ChunkRow::in_flight(&chunk));
            Ok(matches!(self.change(change).await?, Done::Changed(true)))
        })
    }

    fn release(&self, batch: BatchId, chunk: Chunk) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let (route_index, first) = (chunk.route_index, first_position(&chunk.positions));
            self.change(Change::Release(batch, route_index, first)).await.map(drop)
        })
    }

    fn settle(
        &self,
        batch: BatchId,
        route_index: usize,
        settled: Settled,
        remarks: Remarks,
    ) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let recipients = remarks.recipients.as_deref().map(encode_recipients);
            let change = Change::Settle(batch, ChunkRow::done(route_index, &settled, &remarks)?, recipients);
            if let Done::Changed(false) = self.change(change).await? {
                return Err(StoreError::Corrupt(format!("{batch} is not there")));
            }
            Ok(())
        })
    }

    fn finish(&self, report: Arc<Report>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.change(Change::Finish(Arc::clone(&report))).await?;
            self.memory.record(report).await;
            Ok(())
        })
    }

    fn cancel(&self, batch: BatchId) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.change(Change::Cancel(batch)).await.map(drop) })
    }

    fn canceled_elsewhere(&self) -> StoreFuture<'_, Vec<BatchId>> {
        // There is no other process.
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn due_callbacks(&self, most: usize) -> StoreFuture<'_, Vec<DueCallback>> {
        Box::pin(async move {
            let now = (self.now)();
            let until = to_nanoseconds(now.checked_add(CALLBACK_LEASE).unwrap_or(now));
            let take = Change::TakeCallbacks { now: to_nanoseconds(now), until, most };
            let Done::Taken(taken) = self.change(take).await? else { return Err(StoreError::Unsettled) };
            read::callbacks(&self.readers, taken).await
        })
    }

    fn end_callback(&self, batch: BatchId) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.change(Change::EndCallback(batch)).await.map(drop) })
    }

    fn delay_callback(&self, batch: BatchId, failed_tries: u32, after: Duration) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let now = (self.now)();
            let due_at = to_nanoseconds(now.checked_add(after).unwrap_or(now));
            self.change(Change::DelayCallback { batch, failed_tries, due_at }).await.map(drop)
        })
    }

    fn claim(&self, most: usize, except: Vec<BatchId>) -> StoreFuture<'_, Vec<Unfinished>> {
        Box::pin(async move {
            let ids = self.orphans.first(most, &except);
            let mut claimed = Vec::with_capacity(ids.len());
            for id in &ids {
                match read::find(&self.readers, *id, self.providers).await {
                    Ok(Some(unfinished)) if !unfinished.report.is_over() => claimed.push(unfinished),
                    // It has ended meanwhile.
                    Ok(_) => {}
                    Err(StoreError::Corrupt(detail)) => {
                        error!(batch.id = %id, detail, "An unfinished batch cannot be read; it stays as it is.");
                    }
                    Err(error) => return Err(error),
                }
            }
            // At the end, so that nothing is lost if this is not waited for.
            self.orphans.remove(&ids);
            Ok(claimed)
        })
    }

    fn holds(&self, _batch: BatchId) -> bool {
        // The lock on the file is held until the process ends.
        true
    }

    fn check(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            read::check(&self.readers).await?;
            self.change(Change::Pulse).await.map(drop)
        })
    }
}
