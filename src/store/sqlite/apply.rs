//! Each change as statements inside the transaction of its group.
//!
//! Every change can be made twice: whoever does not know whether it was made asks again.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Error, Row as _, query};

use crate::domain::report::{Remarks, Report, RouteReport};
use crate::domain::route::Route;
use crate::store::durable::{IdempotencyKey, KEY_LIFE, KnownKey};
use crate::store::sqlite::orphans::Orphans;
use crate::store::sqlite::read;
use crate::store::sqlite::retention;
use crate::store::sqlite::writer::{Change, Done};
use crate::store::stored::Unreadable;
use crate::store::stored::packed::encode_recipients;
use crate::store::stored::rows::{
    BatchRow, BatchRows, ChunkRow, CountsRow, RouteCounters, RouteRow, column, encode_warnings,
    first_position, is_same, read_id, to_nanoseconds,
};
use crate::store::{Link, Linked};

/// `SQLITE_IOERR_FSYNC` and `SQLITE_IOERR_DIR_FSYNC`: the commit's own flush failed.
/// Source: SQLite, result and error codes, section 5.
const FAILED_FLUSHES: [&str; 2] = ["1034", "1290"];

/// `SQLITE_TOOBIG`, `SQLITE_CONSTRAINT`, `SQLITE_MISMATCH` and `SQLITE_RANGE`: the values are at fault.
/// Source: SQLite, result and error codes, section 4.
const FAULTS_OF_ONE: [u32; 4] = [18, 19, 20, 25];

/// Why one change was not made.
pub(super) enum Flaw {
    Database(Error),
    Unreadable(Unreadable),
}

impl From<Error> for Flaw {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl From<Unreadable> for Flaw {
    fn from(unreadable: Unreadable) -> Self {
        Self::Unreadable(unreadable)
    }
}

/// Whether another change may well succeed where this one failed.
pub(super) fn is_about_one_change(error: &Error) -> bool {
    if let Error::Database(error) = error {
        let code = error.code().and_then(|code| code.parse::<u32>().ok());
        // The low byte is the class, whatever detail the upper ones add.
        return code.is_some_and(|code| FAULTS_OF_ONE.contains(&(code % 256)));
    }
    matches!(error, Error::ColumnDecode { .. } | Error::Encode(_) | Error::Decode(_))
}

/// Whether a commit that failed may be found after a crash all the same.
pub(super) fn may_be_written(error: &Error) -> bool {
    let Error::Database(error) = error else { return true };
    error.code().is_some_and(|code| FAILED_FLUSHES.contains(&&*code))
}

/// Makes one change.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    change: &Change,
    orphans: &Arc<Orphans>,
) -> Result<Done, Flaw> {
    match change {
        Change::Accept(rows, key) => accept(connection, rows, key.as_ref(), orphans).await,
        Change::Begin(batch, chunk) => {
            Ok(Done::Changed(write_chunk_of_open(connection, &batch.to_string(), chunk).await?))
        }
        Change::Settle(batch, chunk, recipients) => {
            Ok(Done::Changed(settle(connection, &batch.to_string(), chunk, recipients.as_deref()).await?))
        }
        Change::Release(batch, route_index, first) => {
            let deleted = query(
                "DELETE FROM chunks \
                 WHERE batch = ? AND route_index = ? AND first_position = ? AND outcomes IS NULL",
            );
            let deleted = deleted.bind(batch.to_string()).bind(column(*route_index)).bind(first);
            Ok(Done::Changed(deleted.execute(connection).await?.rows_affected() > 0))
        }
        Change::Finish(report) => {
            finish(connection, report).await?;
            Ok(Done::Changed(true))
        }
        Change::Record(rows) => {
            write_batch(connection, rows).await?;
            Ok(Done::Changed(true))
        }
        Change::Cancel(batch) => {
            let cancel = query("UPDATE batches SET is_canceled = 1 WHERE id = ? AND completed_at IS NULL");
            let canceled = cancel.bind(batch.to_string()).execute(connection).await?;
            Ok(Done::Changed(canceled.rows_affected() > 0))
        }
        Change::Link(link) => Ok(Done::Linked(link_batches(connection, link).await?)),
        Change::Unlink(child) => {
            let unlink = query("DELETE FROM links WHERE child = ?").bind(child.to_string());
            Ok(Done::Changed(unlink.execute(connection).await?.rows_affected() > 0))
        }
        Change::TakeCallbacks { now, until, most } => take_callbacks(connection, *now, *until, *most).await,
        Change::EndCallback(batch) => {
            let end = query("DELETE FROM callbacks WHERE batch = ?").bind(batch.to_string());
            Ok(Done::Changed(end.execute(connection).await?.rows_affected() > 0))
        }
        Change::DelayCallback { batch, failed_tries, due_at } => {
            let delay = "UPDATE callbacks SET due_at = ?, failed_tries = ? WHERE batch = ?";
            let delay = query(delay).bind(due_at).bind(failed_tries).bind(batch.to_string());
            Ok(Done::Changed(delay.execute(connection).await?.rows_affected() > 0))
        }
        Change::Sweep(ages) => Ok(Done::Changed(retention::sweep(connection, ages).await?)),
        Change::Pulse => {
            let beat = "INSERT INTO pulse (id, count) VALUES (0, 0) ON CONFLICT (id) DO UPDATE SET count = count + 1";
            query(beat).execute(connection).await?;
            Ok(Done::Changed(true))
        }
        #[cfg(test)]
        Change::Limit(_) => Ok(Done::Changed(true)),
    }
}

async fn accept(
    connection: &mut SqliteConnection,
    rows: &BatchRows,
    key: Option<&IdempotencyKey>,
    orphans: &Arc<Orphans>,
) -> Result<Done, Flaw> {
    if let Some(IdempotencyKey { caller, key, fingerprint }) = key {
        match read::known_key(connection, caller, key).await? {
            // The same batch again: its commit's answer was lost.
            Some(KnownKey { batch, .. }) if batch == rows.batch.id => {}
            Some(known) => return Ok(Done::KeyTaken(known)),
            None => {
                let statement =
                    "INSERT INTO idempotency_keys (caller, key, fingerprint, batch) VALUES (?, ?, ?, ?)";
                let id = rows.batch.id.to_string();
                let insert = query(statement).bind(&**caller).bind(&**key).bind(&fingerprint[..]).bind(id);
                insert.execute(&mut *connection).await?;
            }
        }
    }
    write_batch(connection, rows).await?;
    Ok(Done::Written(orphans.unclaimed(rows.batch.id)))
}

async fn take_callbacks(
    connection: &mut SqliteConnection,
    now: i64,
    until: i64,
    most: usize,
) -> Result<Done, Flaw> {
    let take = "UPDATE callbacks SET due_at = ? WHERE batch IN \
        (SELECT batch FROM callbacks WHERE due_at <= ? ORDER BY due_at LIMIT ?) RETURNING batch, failed_tries";
    let taken = query(take).bind(until).bind(now).bind(column(most)).fetch_all(connection).await?;
    let taken = taken.iter().map(|row| Ok((read_id(row.try_get(0)?)?, row.try_get(1)?)));
    Ok(Done::Taken(taken.collect::<Result<_, Flaw>>()?))
}

/// Notes a link, unless the family is not the one that was read.
async fn link_batches(connection: &mut SqliteConnection, link: &Link) -> Result<Linked, Flaw> {
    let Link { root, parent, child, known_links } = link;
    let (root, parent, child) = (root.to_string(), parent.to_string(), child.to_string());
    let known = "SELECT EXISTS (SELECT 1 FROM links WHERE child = ?1), \
        EXISTS (SELECT 1 FROM batches WHERE id = ?2), (SELECT count(*) FROM links WHERE root = ?3)";
    let known = query(known).bind(&child).bind(&parent).bind(&root).fetch_one(&mut *connection).await?;
    let (is_noted, is_kept, links): (bool, bool, i64) =
        (known.try_get(0)?, known.try_get(1)?, known.try_get(2)?);
    if is_noted {
        return Ok(Linked::Noted);
    }
    if !is_kept {
        return Ok(Linked::ParentGone);
    }
    if links != column(*known_links) {
        return Ok(Linked::FamilyChanged);
    }
    let insert = query("INSERT INTO links (child, parent, root) VALUES (?, ?, ?)");
    insert.bind(child).bind(parent).bind(root).execute(connection).await?;
    Ok(Linked::Noted)
}

/// Writes a whole batch in place of what is known of it.
async fn write_batch(connection: &mut SqliteConnection, rows: &BatchRows) -> Result<(), Error> {
    let BatchRows { batch, routes, chunks } = rows;
    let id = batch.id.to_string();
    query("DELETE FROM chunks WHERE batch = ?").bind(&id).execute(&mut *connection).await?;
    // The routes go with it.
    query("DELETE FROM batches WHERE id = ?").bind(&id).execute(&mut *connection).await?;
    insert_batch(connection, &id, batch).await?;
    for route in routes {
        insert_route(connection, &id, route).await?;
    }
    for chunk in chunks {
        write_chunk(connection, &id, chunk).await?;
    }
    Ok(())
}

async fn insert_batch(connection: &mut SqliteConnection, id: &str, row: &BatchRow) -> Result<(), Error> {
    let statement = "INSERT INTO batches \
        (id, caller, client_ref, created_at, expires_at, completed_at, canceled, is_canceled, on_invalid, \
         retry_unknown, resend, callback, warnings, total, accepted, failed, unknown) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
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
        .bind(row.counts.unknown);
    insert.execute(connection).await.map(drop)
}

async fn insert_route(connection: &mut SqliteConnection, id: &str, row: &RouteRow) -> Result<(), Error> {
    let statement = "INSERT INTO routes \
        (batch, route_index, channel, provider, is_sandbox, route, recipients, entries, chatroom_id, \
         unsent_positions, unsent_outcomes, calls, retries, throttled, request_ids) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let insert = query(statement)
        .bind(id)
        .bind(row.route_index)
        .bind(&row.channel)
        .bind(&row.provider)
        .bind(row.is_sandbox)
        .bind(&row.route)
        .bind(&row.recipients[..])
        .bind(row.entries.as_deref())
        .bind(row.chatroom_id.as_deref())
        .bind(row.unsent_positions.as_deref())
        .bind(row.unsent_outcomes.as_deref())
        .bind(row.counters.calls)
        .bind(row.counters.retries)
        .bind(row.counters.throttled)
        .bind(&row.counters.request_ids);
    insert.execute(connection).await.map(drop)
}

/// Writes a call of a batch that has not ended; whether there is such a batch.
async fn write_chunk_of_open(
    connection: &mut SqliteConnection,
    id: &str,
    row: &ChunkRow,
) -> Result<bool, Error> {
    let open = query("SELECT 1 FROM batches WHERE id = ? AND completed_at IS NULL").bind(id);
    if open.fetch_optional(&mut *connection).await?.is_none() {
        return Ok(false);
    }
    write_chunk(connection, id, row).await?;
    Ok(true)
}

async fn write_chunk(connection: &mut SqliteConnection, id: &str, row: &ChunkRow) -> Result<(), Error> {
    let statement = "INSERT OR REPLACE INTO chunks \
        (batch, route_index, first_position, positions, outcomes, attempts, remarks, accepted, failed, unknown) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let insert = query(statement)
        .bind(id)
        .bind(row.route_index)
        .bind(row.first_position)
        .bind(&row.positions[..])
        .bind(row.outcomes.as_deref())
        .bind(row.attempts)
        .bind(row.remarks.as_deref())
        .bind(row.counts.accepted)
        .bind(row.counts.failed)
        .bind(row.counts.unknown);
    insert.execute(connection).await.map(drop)
}

/// Writes the end of a batch: what its report says beyond what was settled, and for how long its key is kept.
async fn finish(connection: &mut SqliteConnection, report: &Report) -> Result<(), Flaw> {
    let id = report.batch.id.to_string();
    let counts = CountsRow::from(report.counts());
    let statement = "UPDATE batches SET completed_at = ?, canceled = ?, warnings = ?, total = ?, accepted = ?, \
        failed = ?, unknown = ? WHERE id = ?";
    let update = query(statement)
        .bind(report.completed_at.map(to_nanoseconds))
        .bind(report.canceled)
        .bind(encode_warnings(&report.warnings)?)
        .bind(counts.total)
        .bind(counts.accepted)
        .bind(counts.failed)
        .bind(counts.unknown)
        .bind(&id);
    if update.execute(&mut *connection).await?.rows_affected() == 0 {
        write_batch(connection, &BatchRows::encode(report, &[])?).await?;
    } else {
        for (route_index, (route, kept)) in report.batch.routes.iter().zip(&report.routes).enumerate() {
            finish_route(connection, &id, route_index, route, kept).await?;
        }
        finish_chunks(connection, &id, report).await?;
    }
    let kept_until = report.completed_at.and_then(|end| end.checked_add(KEY_LIFE)).map(to_nanoseconds);
    let update = query("UPDATE idempotency_keys SET expires_at = ? WHERE batch = ?");
    update.bind(kept_until).bind(&id).execute(&mut *connection).await?;
    if report.batch.callback.is_some() {
        let due = query("INSERT OR IGNORE INTO callbacks (batch, due_at, failed_tries) VALUES (?, ?, 0)");
        let due = due.bind(&id).bind(report.completed_at.map(to_nanoseconds).unwrap_or_default());
        due.execute(connection).await?;
    }
    Ok(())
}

async fn finish_route(
    connection: &mut SqliteConnection,
    id: &str,
    route_index: usize,
    route: &Route,
    report: &RouteReport,
) -> Result<(), Flaw> {
    let row = RouteCounters::encode(report)?;
    let statement = "UPDATE routes SET calls = ?, retries = ?, throttled = ?, request_ids = ? \
        WHERE batch = ? AND route_index = ?";
    let update = query(statement).bind(row.calls).bind(row.retries).bind(row.throttled).bind(row.request_ids);
    update.bind(id).bind(column(route_index)).execute(&mut *connection).await?;
    if !is_same(&route.to, &report.recipients) {
        // A send-to-all learns from the answer who its recipients were.
        name_recipients(connection, id, column(route_index), &encode_recipients(&report.recipients)).await?;
    }
    Ok(())
}

/// Writes what became of a call, and whom its answer named, if it did; whether there is such a batch.
async fn settle(
    connection: &mut SqliteConnection,
    id: &str,
    row: &ChunkRow,
    recipients: Option<&[u8]>,
) -> Result<bool, Error> {
    let is_open = write_chunk_of_open(connection, id, row).await?;
    if let (true, Some(recipients)) = (is_open, recipients) {
        name_recipients(connection, id, row.route_index, recipients).await?;
    }
    Ok(is_open)
}

async fn name_recipients(
    connection: &mut SqliteConnection,
    id: &str,
    route_index: i64,
    recipients: &[u8],
) -> Result<(), Error> {
    let update = query("UPDATE routes SET recipients = ? WHERE batch = ? AND route_index = ?");
    update.bind(recipients).bind(id).bind(route_index).execute(connection).await.map(drop)
}

/// Writes the outcomes that are not there yet; no call is out any more.
async fn finish_chunks(connection: &mut SqliteConnection, id: &str, report: &Report) -> Result<(), Flaw> {
    let out = query("DELETE FROM chunks WHERE batch = ? AND outcomes IS NULL");
    out.bind(id).execute(&mut *connection).await?;
    let done = query("SELECT route_index, first_position FROM chunks WHERE batch = ?").bind(id);
    let mut known = HashSet::new();
    for row in done.fetch_all(&mut *connection).await? {
        known.insert((row.try_get::<i64, _>(0)?, row.try_get::<i64, _>(1)?));
    }
    for (route_index, route) in report.routes.iter().enumerate() {
        for settled in &route.settled {
            if !known.contains(&(column(route_index), first_position(&settled.positions))) {
                write_chunk(connection, id, &ChunkRow::done(route_index, settled, &Remarks::default())?)
                    .await?;
            }
        }
    }
    Ok(())
}
