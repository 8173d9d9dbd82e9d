//! Batches in a PostgreSQL database that several replicas share.
//!
//! Each batch that is not over has an owner: the replica that works on it. A replica has a lease, by the database's
//! clock, and renews it; whoever finds one over takes its batches. Every change of a batch looks in the same statement
//! whose the batch is, so that a replica that was thought dead changes nothing when it comes back; and right before a
//! call is written, `Holding` says from the local clock alone whether the lease can still be
//! relied on.

mod accept;
mod callbacks;
mod change;
mod claim;
mod finish;
mod flaw;
mod holding;
mod lease;
mod links;
mod open;
mod progress;
mod read;
mod records;
mod retention;
mod shared;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::error;

use crate::adapter::secret::Secret;
use crate::domain::id::BatchId;
use crate::domain::report::{Remarks, Report, Settled};
use crate::store::durable::{
    Accepted, CALLBACK_LEASE, Chunk, DueCallback, Durable, IdempotencyKey, KnownKey, NewBatch, Unfinished,
};
use crate::store::linking::{self, Written};
use crate::store::memory::MemoryStore;
use crate::store::postgres::change::{Change, Done, make};
use crate::store::postgres::holding::Holding;
pub use crate::store::postgres::open::OpenError;
use crate::store::queue;
use crate::store::shared::Shared;
use crate::store::stored::Providers;
use crate::store::stored::packed::encode_recipients;
use crate::store::stored::rows::{BatchRows, ChunkRow, column, first_position};
use crate::store::unrecorded::Unrecorded;
use crate::store::{Filter, Head, Link, Linked, Recording, Store, StoreError, StoreFuture, Summary};

/// How long a check may take: less than whoever asks waits for it, so that the log has the reason.
const CHECK_PATIENCE: Duration = Duration::from_millis(1_200);

/// What a store needs to open its database.
#[derive(Clone)]
pub struct Opening {
    /// `postgres://user:password@host:port/database?parameters`.
    pub url: Secret,
    /// Most connections that serve batches, at least 1; the lease has one of its own.
    pub connections: u32,
    /// How long batches are kept after their end.
    pub retention: Duration,
    /// The names of the providers that this program has.
    pub providers: fn(&str) -> Option<&'static str>,
}

/// Keeps batches in a database; the latest reports that are not durable also in memory.
pub struct PostgresStore {
    memory: MemoryStore,
    pool: PgPool,
    /// Turns of lists, fewer than there are connections: no change, no key and no probe waits for a list.
    lists: Semaphore,
    holding: Arc<Holding>,
    records: queue::Sender<BatchRows>,
    unrecorded: Arc<Unrecorded>,
    providers: Providers,
    /// Held while batches are taken over, so that no two get the same one.
    claiming: tokio::sync::Mutex<()>,
    /// What writes on whoever waits for it.
    tasks: TaskTracker,
    /// The lease, which is given back after all of that.
    lease: TaskTracker,
    closing: CancellationToken,
    idle: CancellationToken,
    _ends_when_dropped: [DropGuard; 2],
}

impl PostgresStore {
    /// Writes what was taken, gives the batches of this process to the others, and closes the connections.
    pub async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.idle.cancel();
        self.lease.close();
        self.lease.wait().await;
        self.pool.close().await;
    }

    /// Hands a report to whoever writes it without waiting for him.
    fn write_behind(&self, report: &Report) -> Result<(), String> {
        let place = self.records.try_reserve(report.bytes());
        let place = place.ok_or("too many wait to be written, or the database is closed")?;
        place.send(BatchRows::encode(report, &[]).map_err(|unreadable| unreadable.to_string())?);
        Ok(())
    }

    async fn change(&self, change: Change) -> Result<Done, StoreError> {
        make(&self.pool, &change).await
    }

    /// Makes a change of a batch that may turn out to be another one's by now.
    async fn change_of(&self, batch: BatchId, change: Change) -> Result<Done, StoreError> {
        let done = self.change(change).await;
        if matches!(done, Err(StoreError::Lost)) {
            self.holding.forget(batch);
        }
        done
    }
}

impl Written for PostgresStore {
    async fn write_link(&self, link: Link) -> Result<Linked, StoreError> {
        let done = self.change(Change::Link(link)).await?;
        if let Done::Linked(linked) = done { Ok(linked) } else { Err(StoreError::Unsettled) }
    }

    async fn write_report(&self, report: Arc<Report>) -> Result<(), StoreError> {
        let rows = BatchRows::encode(&report, &[])?;
        self.change(Change::Record(vec![rows])).await.map(drop)
    }
}

impl Store for PostgresStore {
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
            // The database first: another replica may have linked a resend to it.
            let found = read::find(&self.pool, id, self.providers).await;
            match found {
                Ok(Some(unfinished)) => Ok(Some(unfinished.report)),
                Ok(None) => self.memory.find(id).await,
                Err(error) => match self.memory.find(id).await? {
                    Some(report) => Ok(Some(report)),
                    None => Err(error),
                },
            }
        })
    }

    fn head(&self, id: BatchId) -> StoreFuture<'_, Option<Head>> {
        Box::pin(async move {
            match read::head(&self.pool, id).await {
                Ok(Some(head)) => Ok(Some(head)),
                Ok(None) => self.memory.head(id).await,
                Err(error) => self.memory.head(id).await?.map(Some).ok_or(error),
            }
        })
    }

    fn list(&self, filter: Filter) -> StoreFuture<'_, Vec<Summary>> {
        Box::pin(async move {
            // Those that memory has and the database does not are about to be written.
            let mut lines = read::list(&self.pool, &self.lists, &filter).await?;
            let most = filter.most;
            lines.extend(self.memory.list(filter).await?);
            // Stable, so that what is written comes first.
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

    fn shared(&self) -> Option<&dyn Shared> {
        Some(self)
    }
}

/// Writes a batch as this process's; unless that is known to be done, it is nobody's.
async fn accept(
    pool: PgPool,
    holding: Arc<Holding>,
    rows: Box<BatchRows>,
    key: Option<IdempotencyKey>,
    reply: oneshot::Sender<Result<Accepted, StoreError>>,
) {
    let batch = rows.batch.id;
    let owner = holding.hold(batch);
    let accepted = match make(&pool, &Change::Accept { rows, key, owner }).await {
        Ok(Done::Changed(_)) => Ok(Accepted::Written),
        Ok(Done::KeyTaken(known)) => Ok(Accepted::KeyTaken(known)),
        Ok(Done::Linked(_) | Done::Claimed(_) | Done::Taken(_)) => Err(StoreError::Unsettled),
        Err(error) => Err(error),
    };
    let is_written = matches!(accepted, Ok(Accepted::Written));
    let is_waited_for = reply.send(accepted).is_ok();
    if !is_written || !is_waited_for {
        // If it was written after all, whoever asks next for what nobody works on gets it.
        holding.forget(batch);
    }
}

impl Durable for PostgresStore {
    fn accept(&self, batch: NewBatch) -> StoreFuture<'_, Accepted> {
        Box::pin(async move {
            let NewBatch { report, in_flight, key } = batch;
            let rows = Box::new(BatchRows::encode(&report, &in_flight)?);
            let (reply, answer) = oneshot::channel();
            // A task of its own: what becomes of it is known even if nobody waits for it.
            let accepting = accept(self.pool.clone(), Arc::clone(&self.holding), rows, key, reply);
            self.tasks.spawn(accepting);
            answer.await.unwrap_or(Err(StoreError::Unsettled))
        })
    }

    fn find_key(&self, caller: Arc<str>, key: Arc<str>) -> StoreFuture<'_, Option<KnownKey>> {
        Box::pin(async move { read::find_key(&self.pool, &caller, &key).await })
    }

    fn begin(&self, batch: BatchId, chunk: Chunk) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let Some((owner, serial)) = self.holding.begin(batch) else { return Ok(false) };
            let chunk = ChunkRow::in_flight(&chunk);
            let done = self.change(Change::Begin { batch, chunk, owner, serial }).await?;
            let has_begun = matches!(done, Done::Changed(true));
            if !has_begun {
                self.holding.stop(batch);
            }
            Ok(has_begun)
        })
    }

    fn release(&self, batch: BatchId, chunk: Chunk) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let (owner, serial) = (self.holding.owner(batch), self.holding.last_begun(batch));
            let (route_index, first_position) = (chunk.route_index, first_position(&chunk.positions));
            let change = Change::Release { batch, route_index, first_position, owner, serial };
            self.change(change).await.map(drop)
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
            let chunk = ChunkRow::done(route_index, &settled, &remarks)?;
            let recipients = remarks.recipients.as_deref().map(encode_recipients);
            let owner = self.holding.owner(batch);
            self.change_of(batch, Change::Settle { batch, chunk, recipients, owner }).await.map(drop)
        })
    }

    fn finish(&self, report: Arc<Report>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let batch = report.batch.id;
            let owner = self.holding.owner(batch);
            self.change_of(batch, Change::Finish { report, owner }).await?;
            self.holding.forget(batch);
            Ok(())
        })
    }

    fn cancel(&self, batch: BatchId) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.change(Change::Cancel(batch)).await.map(drop) })
    }

    fn canceled_elsewhere(&self) -> StoreFuture<'_, Vec<BatchId>> {
        Box::pin(async move { read::canceled(&self.pool, self.holding.replica()).await })
    }

    fn claim(&self, most: usize, except: Vec<BatchId>) -> StoreFuture<'_, Vec<Unfinished>> {
        Box::pin(async move {
            let _turn = self.claiming.lock().await;
            let (owner, known) = (self.holding.replica(), self.holding.known(&except));
            let claim = Change::Claim { owner, most: column(most), known };
            let Done::Claimed(ids) = self.change(claim).await? else { return Err(StoreError::Unsettled) };
            let ids = self.holding.not_held(ids);
            let mut claimed = Vec::with_capacity(ids.len());
            for id in ids {
                match read::find(&self.pool, id, self.providers).await {
                    Ok(Some(unfinished)) if !unfinished.report.is_over() => claimed.push(unfinished),
                    // It has ended meanwhile.
                    Ok(_) => {}
                    Err(StoreError::Corrupt(detail)) => {
                        error!(batch.id = %id, detail, "An unfinished batch cannot be read; it stays as it is.");
                        self.holding.set_aside(id);
                    }
                    // The others are claimed again the next time: nobody knows of them yet.
                    Err(error) if claimed.is_empty() => return Err(error),
                    Err(_) => break,
                }
            }
            // At the end, so that nothing is lost if this is not waited for.
            self.holding.hold_all(claimed.iter().map(|unfinished| unfinished.report.batch.id), owner);
            Ok(claimed)
        })
    }

    fn holds(&self, batch: BatchId) -> bool {
        self.holding.holds(batch, Instant::now())
    }

    fn due_callbacks(&self, most: usize) -> StoreFuture<'_, Vec<DueCallback>> {
        Box::pin(async move {
            let take = Change::TakeCallbacks { most: column(most), lease: CALLBACK_LEASE };
            let Done::Taken(taken) = self.change(take).await? else { return Err(StoreError::Unsettled) };
            if taken.is_empty() { Ok(Vec::new()) } else { read::callbacks(&self.pool, &taken).await }
        })
    }

    fn end_callback(&self, batch: BatchId) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.change(Change::EndCallback(batch)).await.map(drop) })
    }

    fn delay_callback(&self, batch: BatchId, failed_tries: u32, after: Duration) -> StoreFuture<'_, ()> {
        let delay = Change::DelayCallback { batch, failed_tries, after };
        Box::pin(async move { self.change(delay).await.map(drop) })
    }

    fn check(&self) -> StoreFuture<'_, ()> {
        Box::pin(check(&self.pool))
    }
}

/// Whether something can be written, and stays written.
async fn check(pool: &PgPool) -> Result<(), StoreError> {
    let pulse = tokio::time::timeout(CHECK_PATIENCE, make(pool, &Change::Pulse)).await;
    let pulse = pulse.unwrap_or_else(|_| Err(StoreError::Away("it did not answer in time".into())))?;
    if matches!(pulse, Done::Changed(false)) {
        return Err(StoreError::Away("synchronous_commit is off".into()));
    }
    Ok(())
}

/// For a column or a statement; what does not fit is as good as for ever.
fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX / 2)
}
