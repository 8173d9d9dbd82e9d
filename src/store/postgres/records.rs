//! Reports of batches that are not durable: written behind, and dropped where that falls behind.

use std::sync::Arc;

use sqlx::postgres::PgPool;
use tokio_util::sync::CancellationToken;

use crate::store::postgres::change::{Change, make};
use crate::store::queue;
use crate::store::stored::rows::BatchRows;
use crate::store::unrecorded::Unrecorded;

/// Most reports of one transaction.
const MOST_AT_ONCE: usize = 32;

/// Most bytes of one transaction, roughly; one report alone may be larger.
const MOST_BYTES: usize = 8 << 20;

/// Writes reports until the store closes and everything that was handed over is written or given up.
pub(super) struct Recorder {
    pub(super) pool: PgPool,
    pub(super) waiting: queue::Receiver<BatchRows>,
    pub(super) unrecorded: Arc<Unrecorded>,
    pub(super) closing: CancellationToken,
}

impl Recorder {
    pub(super) async fn run(mut self) {
        let mut is_open = true;
        loop {
            tokio::select! {
                biased;
                () = self.closing.cancelled(), if is_open => {
                    is_open = false;
                    self.waiting.close();
                }
                first = self.waiting.recv() => {
                    let Some(first) = first else { return };
                    // Who leaves does not wait for a database that is away.
                    if !self.write(first).await && !is_open {
                        return self.unrecorded.add(self.waiting.len(), "the database is away, and closed");
                    }
                }
            }
        }
    }

    /// Writes `first` and what waits behind it; whether it did.
    async fn write(&mut self, first: BatchRows) -> bool {
        let mut bytes = first.bytes();
        let mut batches = vec![first];
        while batches.len() < MOST_AT_ONCE
            && bytes < MOST_BYTES
            && let Ok(rows) = self.waiting.try_recv()
        {
            bytes += rows.bytes();
            batches.push(rows);
        }
        let count = batches.len();
        if let Err(error) = make(&self.pool, &Change::Record(batches)).await {
            self.unrecorded.add(count, error);
            return false;
        }
        true
    }
}
