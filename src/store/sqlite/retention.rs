//! Deletes what is old, a little at a time, so that nobody has to wait for it.

use std::time::{Duration, SystemTime};

use sqlx::sqlite::SqliteConnection;
use sqlx::{Error, Row as _, query};
use tokio::sync::mpsc;
use tracing::warn;

use crate::store::sqlite::writer::{Change, Done, Job};
use crate::store::sqlite::{Now, ask};
use crate::store::stored::rows::to_nanoseconds;

/// Most batches of one step.
const MOST_BATCHES: i64 = 50;

/// Most calls of one step.
const MOST_CHUNKS: i64 = 1_000;

/// Most keys of one step.
const MOST_KEYS: i64 = 1_000;

/// Time between two steps, in which others write.
const STEP_PAUSE: Duration = Duration::from_millis(50);

/// Time between two looks when nothing was old.
const PAUSE: Duration = Duration::from_secs(60);

/// What is old.
pub(super) struct Ages {
    /// Batches that ended before go.
    pub(super) ended_before: i64,
    /// Keys that were to be kept until then go.
    pub(super) now: i64,
}

impl Ages {
    pub(super) fn new(now: SystemTime, retention: Duration) -> Self {
        let ended_before = now.checked_sub(retention).map_or(i64::MIN, to_nanoseconds);
        Self { ended_before, now: to_nanoseconds(now) }
    }
}

/// Sweeps as long as the store is open.
pub(super) async fn sweep_for_ever(changes: mpsc::WeakSender<Job>, retention: Duration, now: Now) {
    while let Some(changes) = changes.upgrade() {
        let done = ask(&changes, Change::Sweep(Ages::new(now(), retention))).await;
        drop(changes);
        let pause = match done {
            Ok(Done::Changed(true)) => STEP_PAUSE,
            Ok(_) => PAUSE,
            Err(error) => {
                warn!(%error, "Old batches cannot be deleted now.");
                PAUSE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// One step; whether there may be more to do.
pub(super) async fn sweep(connection: &mut SqliteConnection, ages: &Ages) -> Result<bool, Error> {
    let keys = query(
        "DELETE FROM idempotency_keys WHERE (caller, key) IN \
         (SELECT caller, key FROM idempotency_keys WHERE expires_at <= ? LIMIT ?)",
    );
    let keys = keys.bind(ages.now).bind(MOST_KEYS).execute(&mut *connection).await?.rows_affected();
    // Whoever repeats a request under a key that is kept finds its batch: that is kept as long.
    let old = query(
        "SELECT id FROM batches WHERE completed_at < ? \
         AND NOT EXISTS (SELECT 1 FROM idempotency_keys WHERE batch = batches.id) \
         ORDER BY completed_at LIMIT ?",
    );
    let old = old.bind(ages.ended_before).bind(MOST_BATCHES).fetch_all(&mut *connection).await?;
    for row in &old {
        let id: String = row.try_get(0)?;
        // Its calls go in steps of their own: a large batch has thousands.
        query("INSERT OR IGNORE INTO departing (batch) VALUES (?)")
            .bind(&id)
            .execute(&mut *connection)
            .await?;
        query("DELETE FROM batches WHERE id = ?").bind(&id).execute(&mut *connection).await?;
        // A resend that is younger than its parent keeps its own link: nobody may forget that it was sent.
        query("DELETE FROM links WHERE child = ?").bind(&id).execute(&mut *connection).await?;
    }
    let chunks = query(
        "DELETE FROM chunks WHERE (batch, route_index, first_position) IN \
         (SELECT batch, route_index, first_position FROM chunks \
          WHERE batch IN (SELECT batch FROM departing) LIMIT ?)",
    );
    let chunks = chunks.bind(MOST_CHUNKS).execute(&mut *connection).await?.rows_affected();
    let is_bare = chunks < MOST_CHUNKS.unsigned_abs();
    if is_bare {
        query("DELETE FROM departing").execute(&mut *connection).await?;
    }
    let is_full = |count: u64, most: i64| count >= most.unsigned_abs();
    let batches = u64::try_from(old.len()).unwrap_or(u64::MAX);
    Ok(!is_bare || is_full(keys, MOST_KEYS) || is_full(batches, MOST_BATCHES))
}
