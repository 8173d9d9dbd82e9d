//! Ends of batches that their callers have not been told; all times are the database's.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Error, Row as _, query};

use crate::domain::id::BatchId;
use crate::store::postgres::flaw::Flaw;
use crate::store::postgres::nanoseconds;
use crate::store::stored::Unreadable;
use crate::store::stored::rows::read_id;

/// Writes that a callback is due from now on.
pub(super) async fn begin(connection: &mut PgConnection, id: &str) -> Result<(), Error> {
    let due = "INSERT INTO callbacks (batch, due_at, failed_tries) \
        VALUES ($1, (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint, 0) \
        ON CONFLICT (batch) DO NOTHING";
    query(due).bind(id).execute(connection).await.map(drop)
}

/// Takes callbacks that are due; they are due again when `lease` is over, also those that an answer that was lost took.
pub(super) async fn take(
    connection: &mut PgConnection,
    most: i64,
    lease: Duration,
) -> Result<Vec<(BatchId, u32)>, Flaw> {
    let take = "UPDATE callbacks SET due_at = (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint + $2 \
        WHERE batch IN (SELECT batch FROM callbacks \
          WHERE due_at <= (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint \
          ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING batch, failed_tries";
    let taken = query(take).bind(most).bind(nanoseconds(lease)).fetch_all(connection).await;
    let taken = taken.map_err(Flaw::of_last)?;
    let taken = taken.iter().map(|row| {
        let failed_tries = u32::try_from(row.try_get::<i64, _>(1)?);
        let failed_tries = failed_tries.map_err(|_| Unreadable::new("a count out of range"))?;
        Ok((read_id(row.try_get(0)?)?, failed_tries))
    });
    taken.collect()
}

/// Writes that a callback needs no further try.
pub(super) async fn end(connection: &mut PgConnection, batch: BatchId) -> Result<bool, Flaw> {
    let end = query("DELETE FROM callbacks WHERE batch = $1").bind(batch.to_string());
    Ok(end.execute(connection).await.map_err(Flaw::of_last)?.rows_affected() > 0)
}

/// Writes how many tries have failed and when the next one is due.
pub(super) async fn delay(
    connection: &mut PgConnection,
    batch: BatchId,
    failed_tries: u32,
    after: Duration,
) -> Result<bool, Flaw> {
    let delay = "UPDATE callbacks SET failed_tries = $2, \
        due_at = (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint + $3 WHERE batch = $1";
    let delay = query(delay).bind(batch.to_string()).bind(i64::from(failed_tries)).bind(nanoseconds(after));
    Ok(delay.execute(connection).await.map_err(Flaw::of_last)?.rows_affected() > 0)
}
