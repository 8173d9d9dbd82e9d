//! What happens to a batch while it runs; and the pulse, which tells whether anything can be written.
//!
//! What becomes of a call is one statement, which looks for itself whose the batch is and holds on to the batch's row
//! until it is committed; so does whoever takes the batch over: a call that was begun in time is seen by the next owner,
//! and none begins after. A cancel is anybody's.

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Error, Row as _, query, query_scalar};

use crate::domain::id::BatchId;
use crate::store::postgres::flaw::Flaw;
use crate::store::stored::Unreadable;
use crate::store::stored::rows::{ChunkRow, column, read_id};

/// Writes that a call is out; `false` = the batch is over or another one's.
pub(super) async fn begin(
    connection: &mut PgConnection,
    batch: BatchId,
    row: &ChunkRow,
    (owner, serial): (i64, i64),
) -> Result<bool, Flaw> {
    // What is done stays done, and what was begun later stays as it was begun: this may come late.
    let statement = "WITH mine AS \
        (SELECT id FROM batches WHERE id = $1 AND owner = $2 AND completed_at IS NULL FOR SHARE) \
        INSERT INTO chunks \
        (batch, route_index, first_position, positions, outcomes, attempts, accepted, failed, unknown, serial) \
        SELECT id, $3, $4, $5, NULL, 0, 0, 0, 0, $6 FROM mine \
        ON CONFLICT (batch, route_index, first_position) DO UPDATE \
        SET positions = excluded.positions, serial = excluded.serial \
        WHERE chunks.outcomes IS NULL AND chunks.serial <= excluded.serial";
    let begin = query(statement)
        .bind(batch.to_string())
        .bind(owner)
        .bind(row.route_index)
        .bind(row.first_position)
        .bind(&row.positions[..])
        .bind(serial);
    let begun = begin.execute(connection).await.map_err(Flaw::of_last)?;
    Ok(begun.rows_affected() > 0)
}

/// Writes that nothing of a call was sent; `serial` = that of the latest call that may be meant.
pub(super) async fn release(
    connection: &mut PgConnection,
    batch: BatchId,
    (route_index, first_position): (usize, i64),
    (owner, serial): (i64, i64),
) -> Result<bool, Flaw> {
    let statement = "WITH mine AS (SELECT id FROM batches WHERE id = $1 AND owner = $2 FOR SHARE) \
        DELETE FROM chunks USING mine WHERE batch = mine.id AND route_index = $3 AND first_position = $4 \
        AND outcomes IS NULL AND serial <= $5";
    let release = query(statement)
        .bind(batch.to_string())
        .bind(owner)
        .bind(column(route_index))
        .bind(first_position)
        .bind(serial);
    let released = release.execute(connection).await.map_err(Flaw::of_last)?;
    Ok(released.rows_affected() > 0)
}

/// Writes what became of a call.
pub(super) async fn settle(
    connection: &mut PgConnection,
    batch: BatchId,
    row: &ChunkRow,
    owner: i64,
) -> Result<(), Flaw> {
    let statement = "WITH mine AS \
        (SELECT id FROM batches WHERE id = $1 AND owner = $2 AND completed_at IS NULL FOR SHARE) \
        INSERT INTO chunks \
        (batch, route_index, first_position, positions, outcomes, attempts, accepted, failed, unknown, remarks) \
        SELECT id, $3, $4, $5, $6, $7, $8, $9, $10, $11 FROM mine \
        ON CONFLICT (batch, route_index, first_position) DO UPDATE \
        SET positions = excluded.positions, outcomes = excluded.outcomes, attempts = excluded.attempts, \
        remarks = excluded.remarks, accepted = excluded.accepted, failed = excluded.failed, unknown = excluded.unknown";
    let settle = query(statement)
        .bind(batch.to_string())
        .bind(owner)
        .bind(row.route_index)
        .bind(row.first_position)
        .bind(&row.positions[..])
        .bind(row.outcomes.as_deref())
        .bind(row.attempts)
        .bind(row.counts.accepted)
        .bind(row.counts.failed)
        .bind(row.counts.unknown)
        .bind(row.remarks.as_deref());
    let settled = settle.execute(&mut *connection).await.map_err(Flaw::of_last)?;
    if settled.rows_affected() == 0 {
        return Err(whose(connection, batch).await?);
    }
    Ok(())
}

/// The same for a send-to-all whose answer named these.
pub(super) async fn settle_named(
    connection: &mut PgConnection,
    batch: BatchId,
    (row, recipients): (&ChunkRow, &[u8]),
    owner: i64,
) -> Result<(), Flaw> {
    let mut transaction = connection.begin().await?;
    // First, since it finds out whose the batch is and holds on to it.
    settle(&mut transaction, batch, row, owner).await?;
    name_recipients(&mut transaction, &batch.to_string(), row.route_index, recipients).await?;
    transaction.commit().await.map_err(Flaw::of_last)
}

/// Writes who the recipients of a route are.
pub(super) async fn name_recipients(
    connection: &mut PgConnection,
    id: &str,
    route_index: i64,
    recipients: &[u8],
) -> Result<(), Error> {
    let update = query("UPDATE routes SET recipients = $1 WHERE batch = $2 AND route_index = $3");
    update.bind(recipients).bind(id).bind(route_index).execute(connection).await.map(drop)
}

/// Why a batch cannot be changed.
pub(super) async fn whose(connection: &mut PgConnection, batch: BatchId) -> Result<Flaw, Flaw> {
    let there = query("SELECT FROM batches WHERE id = $1").bind(batch.to_string());
    let is_there = there.fetch_optional(connection).await?.is_some();
    let gone = || Flaw::Unreadable(Unreadable::new(format!("{batch} is not there")));
    Ok(if is_there { Flaw::Lost } else { gone() })
}

/// Writes that no further call of a batch may start.
pub(super) async fn cancel(connection: &mut PgConnection, batch: BatchId) -> Result<bool, Flaw> {
    let cancel = query("UPDATE batches SET is_canceled = true WHERE id = $1 AND completed_at IS NULL");
    let canceled = cancel.bind(batch.to_string()).execute(connection).await.map_err(Flaw::of_last)?;
    Ok(canceled.rows_affected() > 0)
}

/// Writes something, to find out whether that is possible, and durable.
pub(super) async fn pulse(connection: &mut PgConnection) -> Result<bool, Flaw> {
    let beat = "INSERT INTO pulse (id, count) VALUES (0, 0) \
        ON CONFLICT (id) DO UPDATE SET count = pulse.count + 1 \
        RETURNING current_setting('synchronous_commit') <> 'off'";
    query_scalar(beat).fetch_one(connection).await.map_err(Flaw::of_last)
}

/// The batches of an owner that are canceled.
pub(super) async fn canceled(connection: &mut PgConnection, owner: i64) -> Result<Vec<BatchId>, Flaw> {
    let canceled = "SELECT id FROM batches WHERE owner = $1 AND is_canceled AND completed_at IS NULL";
    let rows = query(canceled).bind(owner).fetch_all(connection).await?;
    let ids = rows.iter().map(|row| Ok(read_id(row.try_get(0)?)?));
    ids.collect()
}
