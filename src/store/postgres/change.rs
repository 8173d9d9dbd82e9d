//! Changes to the database, and what becomes of one whose answer is lost.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnection, PgPool};
use tokio::time::Instant;
use tracing::warn;

use crate::domain::id::BatchId;
use crate::domain::report::Report;
use crate::store::durable::{IdempotencyKey, KnownKey};
use crate::store::postgres::flaw::Flaw;
use crate::store::postgres::{accept, callbacks, claim, finish, links, progress, retention};
use crate::store::stored::rows::{BatchRows, ChunkRow};
use crate::store::{Link, Linked, StoreError};

/// How long one attempt may take once it has a connection; the database gives up before, see `open`.
const PATIENCE: Duration = Duration::from_secs(10);

/// For how long a change whose answer was lost is made again, to find out whether it was made.
const PERSISTENCE: Duration = Duration::from_secs(5);

/// Time between two such attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// One change. Each can be made twice; `owner` is whoever makes it, and the database refuses it if the batch has
/// another owner by then.
pub(super) enum Change {
    Accept {
        rows: Box<BatchRows>,
        key: Option<IdempotencyKey>,
        owner: i64,
    },
    Begin {
        batch: BatchId,
        chunk: ChunkRow,
        owner: i64,
        serial: i64,
    },
    Release {
        batch: BatchId,
        route_index: usize,
        first_position: i64,
        owner: i64,
        serial: i64,
    },
    Settle {
        batch: BatchId,
        chunk: ChunkRow,
        /// Those of its route from now on; `None` = they stay.
        recipients: Option<Vec<u8>>,
        owner: i64,
    },
    Finish {
        report: Arc<Report>,
        owner: i64,
    },
    Record(Vec<BatchRows>),
    Cancel(BatchId),
    /// Takes over at most `most` batches but `known`.
    Claim {
        owner: i64,
        most: i64,
        known: Vec<String>,
    },
    Link(Link),
    Unlink(BatchId),
    TakeCallbacks {
        most: i64,
        lease: Duration,
    },
    EndCallback(BatchId),
    DelayCallback {
        batch: BatchId,
        failed_tries: u32,
        after: Duration,
    },
    Sweep {
        retention: Duration,
    },
    Pulse,
}

/// What became of a change.
#[derive(Debug)]
pub(super) enum Done {
    /// It is written; whether there was anything to change.
    Changed(bool),
    /// Another batch has the key.
    KeyTaken(KnownKey),
    Linked(Linked),
    /// These batches are this process's now, oldest first.
    Claimed(Vec<BatchId>),
    /// The batches whose callbacks were taken, and how many tries of each failed.
    Taken(Vec<(BatchId, u32)>),
}

/// Makes a change.
///
/// One whose answer was lost is made again until it is known to be made: a statement on another connection waits for
/// what the first one left behind, so that its answer holds for both.
pub(super) async fn make(pool: &PgPool, change: &Change) -> Result<Done, StoreError> {
    let mut open_since = None;
    loop {
        match attempt(pool, change).await {
            Ok(done) => return Ok(done),
            Err(Flaw::Open(error)) => {
                warn!(%error, "The answer of the database was lost; the change is made again to find out.");
            }
            // That nothing was written this time says nothing about the times before.
            Err(Flaw::Away(_)) if open_since.is_some() => {}
            Err(flaw) => return Err(flaw.into()),
        }
        let since = *open_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= PERSISTENCE {
            return Err(StoreError::Unsettled);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn attempt(pool: &PgPool, change: &Change) -> Result<Done, Flaw> {
    let mut connection = pool.acquire().await?;
    let done = tokio::time::timeout(PATIENCE, apply(&mut connection, change)).await;
    let done = done.unwrap_or(Err(Flaw::Open(sqlx::Error::PoolTimedOut)));
    if matches!(done, Err(Flaw::Open(_))) {
        // Nobody knows what still comes out of it.
        drop(connection.detach());
    }
    done
}

async fn apply(connection: &mut PgConnection, change: &Change) -> Result<Done, Flaw> {
    match change {
        Change::Accept { rows, key, owner } => accept::accept(connection, rows, key.as_ref(), *owner).await,
        Change::Begin { batch, chunk, owner, serial } => {
            progress::begin(connection, *batch, chunk, (*owner, *serial)).await.map(Done::Changed)
        }
        Change::Release { batch, route_index, first_position, owner, serial } => {
            let place = (*route_index, *first_position);
            progress::release(connection, *batch, place, (*owner, *serial)).await.map(Done::Changed)
        }
        Change::Settle { batch, chunk, recipients: None, owner } => {
            progress::settle(connection, *batch, chunk, *owner).await.map(|()| Done::Changed(true))
        }
        Change::Settle { batch, chunk, recipients: Some(recipients), owner } => {
            let named = progress::settle_named(connection, *batch, (chunk, recipients), *owner).await;
            named.map(|()| Done::Changed(true))
        }
        Change::Finish { report, owner } => {
            finish::finish(connection, report, *owner).await.map(|()| Done::Changed(true))
        }
        Change::Record(batches) => accept::record(connection, batches).await.map(|()| Done::Changed(true)),
        Change::Cancel(batch) => progress::cancel(connection, *batch).await.map(Done::Changed),
        Change::Claim { owner, most, known } => {
            claim::claim(connection, *owner, *most, known).await.map(Done::Claimed)
        }
        Change::Link(link) => links::link(connection, link).await.map(Done::Linked),
        Change::Unlink(child) => links::unlink(connection, *child).await.map(Done::Changed),
        Change::TakeCallbacks { most, lease } => {
            callbacks::take(connection, *most, *lease).await.map(Done::Taken)
        }
        Change::EndCallback(batch) => callbacks::end(connection, *batch).await.map(Done::Changed),
        Change::DelayCallback { batch, failed_tries, after } => {
            callbacks::delay(connection, *batch, *failed_tries, *after).await.map(Done::Changed)
        }
        Change::Sweep { retention } => retention::sweep(connection, *retention).await.map(Done::Changed),
        Change::Pulse => progress::pulse(connection).await.map(Done::Changed),
    }
}
