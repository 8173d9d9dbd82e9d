//! Writes whole batches.

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Error, query};

use crate::store::durable::{IdempotencyKey, KnownKey};
use crate::store::postgres::change::Done;
use crate::store::postgres::flaw::Flaw;
use crate::store::postgres::read;
use crate::store::stored::rows::{BatchRow, BatchRows, ChunkRow, RouteRow};

/// Writes a batch and its key, unless the key is another batch's.
///
/// One that is there stands as it is: it was written before, and the answer was lost.
pub(super) async fn accept(
    connection: &mut PgConnection,
    rows: &BatchRows,
    key: Option<&IdempotencyKey>,
    owner: i64,
) -> Result<Done, Flaw> {
    let mut transaction = connection.begin().await?;
    if let Some(key) = key
        && let Some(known) = take_key(&mut transaction, rows, key).await?
    {
        return Ok(Done::KeyTaken(known));
    }
    write_batch(&mut transaction, rows, Some(owner)).await?;
    transaction.commit().await.map_err(Flaw::of_last)?;
    Ok(Done::Changed(true))
}

/// Takes a key for a batch, waiting for whoever is taking it; whose it is if it is another one's.
async fn take_key(
    connection: &mut PgConnection,
    rows: &BatchRows,
    key: &IdempotencyKey,
) -> Result<Option<KnownKey>, Flaw> {
    let IdempotencyKey { caller, key, fingerprint } = key;
    let take = "INSERT INTO idempotency_keys (caller, key, fingerprint, batch) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (caller, key) DO NOTHING";
    let take = query(take).bind(&**caller).bind(&**key).bind(&fingerprint[..]);
    if take.bind(rows.batch.id.to_string()).execute(&mut *connection).await?.rows_affected() > 0 {
        return Ok(None);
    }
    match read::known_key(connection, caller, key).await? {
        Some(known) if known.batch == rows.batch.id => Ok(None),
        Some(known) => Ok(Some(known)),
        // It was too old and has just been deleted: whoever asks again gets it.
        None => Err(Flaw::Away(Error::RowNotFound)),
    }
}

/// Writes batches that have ended and that nobody works on.
pub(super) async fn record(connection: &mut PgConnection, batches: &[BatchRows]) -> Result<(), Flaw> {
    let mut transaction = connection.begin().await?;
    for rows in batches {
        write_batch(&mut transaction, rows, None).await?;
    }
    transaction.commit().await.map_err(Flaw::of_last)
}

/// Writes a batch with all its rows unless it is there.
pub(super) async fn write_batch(
    connection: &mut PgConnection,
    rows: &BatchRows,
    owner: Option<i64>,
) -> Result<(), Error> {
    let id = rows.batch.id.to_string();
    if insert_batch(connection, &id, &rows.batch, owner).await? {
        insert_routes(connection, &id, &rows.routes).await?;
        insert_chunks(connection, &id, &rows.chunks).await?;
    }
    Ok(())
}

async fn insert_batch(
    connection: &mut PgConnection,
    id: &str,
    row: &BatchRow,
    owner: Option<i64>,
) -> Result<bool, Error> {
    let statement = "INSERT INTO batches \
        (id, caller, client_ref, created_at, expires_at, completed_at, canceled, is_canceled, on_invalid, \
         retry_unknown, resend, callback, warnings, total, accepted, failed, unknown, owner) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) \
        ON CONFLICT (id) DO NOTHING";
    let insert = query(statement)
        .bind(id)
        .bind(row.caller.as_deref())
        .bind(row.client_ref.as_deref())
        .bind(row.created_at)
        .bind(row.expires_at)
        .bind(row.completed_at)
        .bind(row.canceled)
        .bind(row.is_canceled)
        .bind(&row.on_invalid)
        .bind(&row.retry_unknown)
        .bind(row.resend.as_deref())
        .bind(row.callback.as_deref())
        .bind(&row.warnings)
        .bind(row.counts.total)
        .bind(row.counts.accepted)
        .bind(row.counts.failed)
        .bind(row.counts.unknown)
        .bind(owner);
    Ok(insert.execute(connection).await?.rows_affected() > 0)
}

/// A column of each row, as an array.
fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

async fn insert_routes(connection: &mut PgConnection, id: &str, rows: &[RouteRow]) -> Result<(), Error> {
    let statement = "INSERT INTO routes \
        (batch, route_index, channel, provider, is_sandbox, route, recipients, entries, chatroom_id, \
         unsent_positions, unsent_outcomes, calls, retries, throttled, request_ids) \
        SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::boolean[], $6::text[], $7::bytea[], \
         $8::bytea[], $9::bytea[], $10::bytea[], $11::bytea[], $12::bigint[], $13::bigint[], $14::bigint[], \
         $15::text[])";
    let insert = query(statement)
        .bind(id)
        .bind(column(rows, |row| row.route_index))
        .bind(column(rows, |row| row.channel.as_str()))
        .bind(column(rows, |row| row.provider.as_str()))
        .bind(column(rows, |row| row.is_sandbox))
        .bind(column(rows, |row| row.route.as_str()))
        .bind(column(rows, |row| &row.recipients[..]))
        .bind(column(rows, |row| row.entries.as_deref()))
        .bind(column(rows, |row| row.chatroom_id.as_deref().map(str::as_bytes)))
        .bind(column(rows, |row| row.unsent_positions.as_deref()))
        .bind(column(rows, |row| row.unsent_outcomes.as_deref()))
        .bind(column(rows, |row| row.counters.calls))
        .bind(column(rows, |row| row.counters.retries))
        .bind(column(rows, |row| row.counters.throttled))
        .bind(column(rows, |row| row.counters.request_ids.as_str()));
    insert.execute(connection).await.map(drop)
}

/// Writes calls that are out or done and that are not there.
pub(super) async fn insert_chunks(
    connection: &mut PgConnection,
    id: &str,
    rows: &[ChunkRow],
) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let statement = "INSERT INTO chunks \
        (batch, route_index, first_position, positions, outcomes, attempts, accepted, failed, unknown) \
        SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bigint[], \
         $7::bigint[], $8::bigint[], $9::bigint[]) \
        ON CONFLICT (batch, route_index, first_position) DO NOTHING";
    let insert = query(statement)
        .bind(id)
        .bind(column(rows, |row| row.route_index))
        .bind(column(rows, |row| row.first_position))
        .bind(column(rows, |row| &row.positions[..]))
        .bind(column(rows, |row| row.outcomes.as_deref()))
        .bind(column(rows, |row| row.attempts))
        .bind(column(rows, |row| row.counts.accepted))
        .bind(column(rows, |row| row.counts.failed))
        .bind(column(rows, |row| row.counts.unknown));
    insert.execute(connection).await.map(drop)
}
