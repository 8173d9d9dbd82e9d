//! Deletes what is old, a little at a time and one replica at a time, so that nobody has to wait for it.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Connection as _, query, query_scalar};
use tracing::warn;

use crate::store::postgres::change::{Change, Done, make};
use crate::store::postgres::flaw::Flaw;
use crate::store::postgres::nanoseconds;

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

/// Whoever has it sweeps. Any number that nothing else in the database locks.
const TURN: i64 = 0x69_6d63_6173_7401;

/// Sweeps as long as the store is open.
pub(super) async fn sweep_for_ever(pool: PgPool, retention: Duration) {
    loop {
        let pause = match make(&pool, &Change::Sweep { retention }).await {
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

/// Somebody else's turn.
#[cfg(test)]
pub(super) async fn sweep_turn(connection: &mut PgConnection) {
    query("SELECT pg_advisory_xact_lock($1)").bind(TURN).execute(connection).await.unwrap();
}

/// One step; whether there may be more to do.
pub(super) async fn sweep(connection: &mut PgConnection, retention: Duration) -> Result<bool, Flaw> {
    let mut transaction = connection.begin().await?;
    let turn = query_scalar("SELECT pg_try_advisory_xact_lock($1)").bind(TURN);
    if !turn.fetch_one(&mut *transaction).await? {
        return Ok(false);
    }
    let keys = query(
        "DELETE FROM idempotency_keys WHERE (caller, key) IN (SELECT caller, key FROM idempotency_keys \
         WHERE expires_at <= (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint LIMIT $1)",
    );
    let keys = keys.bind(MOST_KEYS).execute(&mut *transaction).await?.rows_affected();
    // Whoever repeats a request under a key that is kept finds its batch: that is kept as long, also where its end was
    // written late. A call of a large batch goes in a step of its own; a resend that is younger than its parent keeps its own link:
    // nobody may forget that it was sent.
    let batches = query(
        "WITH old AS (SELECT id FROM batches \
           WHERE completed_at < (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint - $1 \
             AND NOT EXISTS (SELECT FROM idempotency_keys WHERE batch = batches.id) \
           ORDER BY completed_at LIMIT $2 FOR UPDATE SKIP LOCKED), \
         gone AS (DELETE FROM batches USING old WHERE batches.id = old.id RETURNING batches.id), \
         unlinked AS (DELETE FROM links USING old WHERE links.child = old.id) \
         INSERT INTO departing (batch) SELECT id FROM gone ON CONFLICT DO NOTHING",
    );
    let batches = batches
        .bind(nanoseconds(retention))
        .bind(MOST_BATCHES)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
    let chunks = query(
        "DELETE FROM chunks WHERE (batch, route_index, first_position) IN \
         (SELECT batch, route_index, first_position FROM chunks \
          WHERE batch IN (SELECT batch FROM departing) LIMIT $1)",
    );
    let chunks = chunks.bind(MOST_CHUNKS).execute(&mut *transaction).await?.rows_affected();
    let is_full = |count: u64, most: i64| count >= most.unsigned_abs();
    if !is_full(chunks, MOST_CHUNKS) {
        query("DELETE FROM departing").execute(&mut *transaction).await?;
    }
    transaction.commit().await.map_err(Flaw::of_last)?;
    Ok(is_full(chunks, MOST_CHUNKS) || is_full(keys, MOST_KEYS) || is_full(batches, MOST_BATCHES))
}
