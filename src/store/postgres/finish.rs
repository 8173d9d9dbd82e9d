//! Writes the end of a batch: what its report says beyond what was settled.

use std::collections::HashSet;

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Error, Row as _, query};

use crate::domain::report::{Remarks, Report};
use crate::store::durable::KEY_LIFE;
use crate::store::postgres::accept::{insert_chunks, write_batch};
use crate::store::postgres::flaw::Flaw;
use crate::store::postgres::{callbacks, nanoseconds, progress};
use crate::store::stored::packed::encode_recipients;
use crate::store::stored::rows::{
    BatchRows, ChunkRow, CountsRow, RouteCounters, column, encode_warnings, first_position, is_same,
    to_nanoseconds,
};

/// Writes the end of a batch, for how long its key is kept, and that its callback is due.
pub(super) async fn finish(connection: &mut PgConnection, report: &Report, owner: i64) -> Result<(), Flaw> {
    let id = report.batch.id.to_string();
    let mut transaction = connection.begin().await?;
    if finish_batch(&mut transaction, &id, report, owner).await? {
        finish_routes(&mut transaction, &id, report).await?;
        finish_chunks(&mut transaction, &id, report).await?;
    } else {
        let flaw = progress::whose(&mut transaction, report.batch.id).await?;
        if matches!(flaw, Flaw::Lost) {
            return Err(flaw);
        }
        // Nobody knows it: its end is at least known from here on.
        write_batch(&mut transaction, &BatchRows::encode(report, &[])?, Some(owner)).await?;
    }
    let keep = "UPDATE idempotency_keys \
        SET expires_at = (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint + $1 WHERE batch = $2";
    query(keep).bind(nanoseconds(KEY_LIFE)).bind(&id).execute(&mut *transaction).await?;
    if report.batch.callback.is_some() {
        callbacks::begin(&mut transaction, &id).await?;
    }
    transaction.commit().await.map_err(Flaw::of_last)
}

/// The batch's own row; whether it is `owner`'s. It stays his, so that he can say so twice.
async fn finish_batch(
    connection: &mut PgConnection,
    id: &str,
    report: &Report,
    owner: i64,
) -> Result<bool, Flaw> {
    let counts = CountsRow::from(report.counts());
    let statement = "UPDATE batches SET completed_at = $1, canceled = $2, warnings = $3, total = $4, \
        accepted = $5, failed = $6, unknown = $7 WHERE id = $8 AND owner = $9";
    let update = query(statement)
        .bind(report.completed_at.map(to_nanoseconds))
        .bind(report.canceled)
        .bind(encode_warnings(&report.warnings)?)
        .bind(counts.total)
        .bind(counts.accepted)
        .bind(counts.failed)
        .bind(counts.unknown)
        .bind(id)
        .bind(owner);
    Ok(update.execute(connection).await?.rows_affected() > 0)
}

async fn finish_routes(connection: &mut PgConnection, id: &str, report: &Report) -> Result<(), Flaw> {
    let rows: Vec<_> = report.routes.iter().map(RouteCounters::encode).collect::<Result<_, _>>()?;
    let statement = "UPDATE routes SET calls = now.calls, retries = now.retries, throttled = now.throttled, \
        request_ids = now.request_ids \
        FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[]) \
        AS now (route_index, calls, retries, throttled, request_ids) \
        WHERE routes.batch = $1 AND routes.route_index = now.route_index";
    let update = query(statement)
        .bind(id)
        .bind((0..rows.len()).map(column).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.calls).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.retries).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.throttled).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.request_ids.as_str()).collect::<Vec<_>>());
    update.execute(&mut *connection).await?;
    for (route_index, (route, kept)) in report.batch.routes.iter().zip(&report.routes).enumerate() {
        if !is_same(&route.to, &kept.recipients) {
            // A send-to-all learns from the answer who its recipients were.
            let recipients = encode_recipients(&kept.recipients);
            progress::name_recipients(connection, id, column(route_index), &recipients).await?;
        }
    }
    Ok(())
}

/// Writes the outcomes that are not there yet; no call is out any more.
async fn finish_chunks(connection: &mut PgConnection, id: &str, report: &Report) -> Result<(), Flaw> {
    let out = query("DELETE FROM chunks WHERE batch = $1 AND outcomes IS NULL");
    out.bind(id).execute(&mut *connection).await?;
    let done = query("SELECT route_index, first_position FROM chunks WHERE batch = $1").bind(id);
    let known = done.fetch_all(&mut *connection).await?;
    let known = known.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    let known: HashSet<(i64, i64)> = known.collect::<Result<_, Error>>()?;
    let mut new = Vec::new();
    for (route_index, route) in report.routes.iter().enumerate() {
        for settled in &route.settled {
            if !known.contains(&(column(route_index), first_position(&settled.positions))) {
                new.push(ChunkRow::done(route_index, settled, &Remarks::default())?);
            }
        }
    }
    Ok(insert_chunks(connection, id, &new).await?)
}
