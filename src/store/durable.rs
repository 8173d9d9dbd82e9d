//! What survives the process: batches written before their first call, and the keys of callers.
//!
//! A durable batch is written once as a whole, with everything that a report shows. From there each chunk goes its
//! own way: *planned* is what no row speaks of, *in flight* is a row that stands before the first byte of its call
//! is written, *done* is that row with its outcomes. Whatever was in flight when a process died may have been
//! delivered; whatever was planned was not.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::id::BatchId;
use crate::domain::recipients::{Positions, RecipientList};
use crate::domain::report::{Report, Settled};
use crate::store::{StoreFuture, Summary};

/// Keeps durable batches. Every change that returned is on disk, and every change can be made twice.
///
/// What becomes of a batch that another process has taken over is its business: [`StoreError::Lost`](crate::store::StoreError::Lost), and nothing
/// was written.
pub trait Durable: Send + Sync {
    /// Writes a batch; with a key only if no batch has that key yet.
    fn accept(&self, batch: NewBatch) -> StoreFuture<'_, Accepted>;

    /// The batch that was accepted under this key, if the key is still kept.
    fn find_key(&self, caller: Arc<str>, key: Arc<str>) -> StoreFuture<'_, Option<KnownKey>>;

    /// Writes that a call of these recipients may be written from now on; `false` = this process may no longer
    /// work on the batch, so that nothing may be sent.
    fn begin(&self, batch: BatchId, chunk: Chunk) -> StoreFuture<'_, bool>;

    /// Writes that nothing of a call was sent, so that it is planned again.
    fn release(&self, batch: BatchId, chunk: Chunk) -> StoreFuture<'_, ()>;

    /// Writes the outcomes of a chunk: one that was begun, or one that was never called.
    fn settle(&self, batch: BatchId, route_index: usize, settled: Settled) -> StoreFuture<'_, ()>;

    /// Writes the outcomes of a send-to-all together with the recipients that its answer named, in place of those
    /// that the route had.
    fn settle_listed(
        &self,
        batch: BatchId,
        route_index: usize,
        recipients: Arc<RecipientList>,
        settled: Settled,
    ) -> StoreFuture<'_, ()>;

    /// Writes the end of a batch: its report as it will stay, and in the same transaction that its callback is
    /// due, if it has one. Keys are kept for [`KEY_LIFE`] from here.
    fn finish(&self, report: Arc<Report>) -> StoreFuture<'_, ()>;

    /// Writes that no further call of a batch may start, in whatever process it runs; without effect on one that
    /// is over.
    fn cancel(&self, batch: BatchId) -> StoreFuture<'_, ()>;

    /// The batches that this process works on and that another one canceled.
    fn canceled_elsewhere(&self) -> StoreFuture<'_, Vec<BatchId>>;

    /// Takes over unfinished batches that no living process works on, oldest first, at most `most`, and none of
    /// `except`, which this process works on or cannot work on.
    fn claim(&self, most: usize, except: Vec<BatchId>) -> StoreFuture<'_, Vec<Unfinished>>;

    /// Whether this process may still send for a batch that it works on; asked right before each call is written,
    /// and answered without waiting. Once it may not, it never may again until it has claimed the batch anew.
    fn holds(&self, batch: BatchId) -> bool;

    /// Takes callbacks whose time has come, at most `most`; nobody else gets them for [`CALLBACK_LEASE`], after
    /// which they are due again.
    fn due_callbacks(&self, most: usize) -> StoreFuture<'_, Vec<DueCallback>>;

    /// Writes that a callback needs no further try: it was delivered or given up.
    fn end_callback(&self, batch: BatchId) -> StoreFuture<'_, ()>;

    /// Writes that a try of a callback failed and the next one is due `after` from now.
    fn delay_callback(&self, batch: BatchId, after: Duration) -> StoreFuture<'_, ()>;

    /// Whether it can be read and written now.
    fn check(&self) -> StoreFuture<'_, ()>;
}

/// How long an idempotency key is kept after its batch has ended.
pub const KEY_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long whoever took a callback has it for himself.
pub const CALLBACK_LEASE: Duration = Duration::from_secs(60);

/// The recipients of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Which route.
    pub route_index: usize,
    /// Which of its recipients: at least one.
    pub positions: Positions,
}

/// A batch to be written as it stands: before its first call, or while it runs.
#[derive(Clone, Debug)]
pub struct NewBatch {
    /// The batch with everything decided so far.
    pub report: Arc<Report>,
    /// Calls that are out.
    pub in_flight: Vec<Chunk>,
    /// The caller's key for it.
    pub key: Option<IdempotencyKey>,
}

/// A caller's name for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Whose it is; empty while no keys of callers are configured.
    pub caller: Arc<str>,
    /// The key itself: 1 to 255 visible ASCII characters.
    pub key: Arc<str>,
    /// What was asked for: a hash of path and JSON value.
    pub fingerprint: [u8; 32],
}

/// What became of [`Durable::accept`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The batch is written.
    Written,
    /// Nothing was written: another batch has the key.
    KeyTaken(KnownKey),
}

/// The batch of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// Its name.
    pub batch: BatchId,
    /// What was asked for.
    pub fingerprint: [u8; 32],
}

/// A batch whose process died or left.
#[derive(Clone, Debug)]
pub struct Unfinished {
    /// The batch with everything decided so far.
    pub report: Arc<Report>,
    /// Calls that were out.
    pub in_flight: Vec<Chunk>,
    /// Whether no further call may start.
    pub is_canceled: bool,
}

/// The end of a batch, to be told to its caller.
#[derive(Clone, Debug, PartialEq)]
pub struct DueCallback {
    /// Which batch, and how it ended.
    pub summary: Summary,
    /// Where to.
    pub url: Arc<str>,
    /// How many tries failed before.
    pub failed_tries: u32,
}
