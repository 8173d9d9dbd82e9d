//! Reads batches, lists, keys and the ends to be told; each within a bounded time.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::{Error, Postgres, QueryBuilder, Row as _, Transaction, query};
use tokio::sync::Semaphore;

use crate::domain::id::BatchId;
use crate::domain::outcome::Counts;
use crate::store::durable::{DueCallback, KnownKey, Unfinished};
use crate::store::postgres::flaw::Flaw;
use crate::store::postgres::progress;
use crate::store::stored::columns::{Columns as _, batch_row, chunk_row, counts_row, head_row, route_row};
use crate::store::stored::listing::push_filter;
use crate::store::stored::rows::{BatchRows, CountsRow, from_nanoseconds, read_channel, read_id};
use crate::store::stored::{Providers, Unreadable};
use crate::store::{Filter, Head, StoreError, Summary};

/// How long one may take, the wait for a connection included.
const PATIENCE: Duration = Duration::from_secs(10);

/// One try within [`PATIENCE`].
pub(super) async fn bounded<T>(work: impl Future<Output = Result<T, Flaw>>) -> Result<T, StoreError> {
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.unwrap_or(Err(Flaw::Away(Error::PoolTimedOut))).map_err(StoreError::from)
}

/// All that is read in one is of one moment.
async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, Error> {
    pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await
}

/// The batch of this name as it stands, wherever it runs.
pub(super) async fn find(
    pool: &PgPool,
    id: BatchId,
    providers: Providers,
) -> Result<Option<Unfinished>, StoreError> {
    let Some(rows) = bounded(rows(pool, id)).await? else { return Ok(None) };
    rows.decode_aside(providers).await.map(Some)
}

/// Whose a batch is and whether it is over, wherever it runs.
pub(super) async fn head(pool: &PgPool, id: BatchId) -> Result<Option<Head>, StoreError> {
    bounded(async {
        let head = query("SELECT caller, completed_at IS NOT NULL AS is_over FROM batches WHERE id = $1");
        let row = head.bind(id.to_string()).fetch_optional(pool).await?;
        Ok(row.map(|row| head_row(&row)).transpose()?)
    })
    .await
}

async fn rows(pool: &PgPool, id: BatchId) -> Result<Option<BatchRows>, Flaw> {
    let mut transaction = begin(pool).await?;
    let name = id.to_string();
    let batch = "SELECT caller, client_ref, created_at, expires_at, completed_at, canceled, is_canceled, \
        on_invalid, retry_unknown, resend, callback, warnings, total, accepted, failed, unknown \
        FROM batches WHERE id = $1";
    let Some(batch) = query(batch).bind(&name).fetch_optional(&mut *transaction).await? else {
        return Ok(None);
    };
    let routes = "SELECT route_index, channel, provider, is_sandbox, route, recipients, entries, chatroom_id, \
        unsent_positions, unsent_outcomes, calls, retries, throttled, request_ids \
        FROM routes WHERE batch = $1 ORDER BY route_index";
    let routes = query(routes).bind(&name).fetch_all(&mut *transaction).await?;
    let chunks = "SELECT route_index, first_position, positions, outcomes, attempts, remarks, accepted, failed, \
        unknown FROM chunks WHERE batch = $1 ORDER BY route_index, first_position";
    let chunks = query(chunks).bind(&name).fetch_all(&mut *transaction).await?;
    let links = query("SELECT child FROM links WHERE parent = $1 ORDER BY child").bind(&name);
    let links = links.fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    let resends = links.iter().map(|link| Ok(read_id(link.try_get(0)?)?)).collect::<Result<_, Flaw>>()?;
    Ok(Some(BatchRows {
        batch: batch_row(id, &batch, resends)?,
        routes: routes.iter().map(route_row).collect::<Result<_, _>>()?,
        chunks: chunks.iter().map(chunk_row).collect::<Result<_, _>>()?,
    }))
}

/// Recent batches, newest first; `turns`: how many may be listed at once.
pub(super) async fn list(
    pool: &PgPool,
    turns: &Semaphore,
    filter: &Filter,
) -> Result<Vec<Summary>, StoreError> {
    bounded(async {
        let _turn = turns.acquire().await;
        summaries(pool, filter).await
    })
    .await
}

async fn summaries(pool: &PgPool, filter: &Filter) -> Result<Vec<Summary>, Flaw> {
    // What a batch that runs has reached is the sum of its calls.
    let columns = "SELECT id, client_ref, created_at, completed_at, canceled, total, \
         (accepted + CASE WHEN completed_at IS NULL THEN \
             (SELECT coalesce(sum(accepted), 0) FROM chunks WHERE batch = id) ELSE 0 END)::bigint AS accepted, \
         (failed + CASE WHEN completed_at IS NULL THEN \
             (SELECT coalesce(sum(failed), 0) FROM chunks WHERE batch = id) ELSE 0 END)::bigint AS failed, \
         (unknown + CASE WHEN completed_at IS NULL THEN \
             (SELECT coalesce(sum(unknown), 0) FROM chunks WHERE batch = id) ELSE 0 END)::bigint AS unknown, \
         ARRAY(SELECT channel FROM routes WHERE routes.batch = id ORDER BY route_index) AS channels";
    let mut statement = QueryBuilder::new(columns);
    push_filter(&mut statement, filter);
    let found = statement.build().fetch_all(pool).await?;
    found.iter().map(summary).collect()
}

fn summary(row: &PgRow) -> Result<Summary, Flaw> {
    let channels: Vec<String> = row.try_get("channels")?;
    let channels = channels.iter().map(|channel| Ok(read_channel(channel)?));
    Ok(Summary {
        id: read_id(&row.text("id")?)?,
        client_ref: row.optional_text("client_ref")?,
        created_at: from_nanoseconds(row.integer("created_at")?),
        completed_at: row.optional_integer("completed_at")?.map(from_nanoseconds),
        canceled: row.truth("canceled")?,
        channels: channels.collect::<Result<_, Flaw>>()?,
        counts: Counts::from(CountsRow { total: row.integer("total")?, ..counts_row(row)? }),
    })
}

/// The ends of these batches and where they are to be told.
pub(super) async fn callbacks(
    pool: &PgPool,
    taken: &[(BatchId, u32)],
) -> Result<Vec<DueCallback>, StoreError> {
    bounded(due_callbacks(pool, taken)).await
}

async fn due_callbacks(pool: &PgPool, taken: &[(BatchId, u32)]) -> Result<Vec<DueCallback>, Flaw> {
    let ids: Vec<String> = taken.iter().map(|(batch, _)| batch.to_string()).collect();
    let statement = "SELECT id, client_ref, created_at, completed_at, canceled, callback, total, accepted, failed, \
        unknown, ARRAY(SELECT channel FROM routes WHERE routes.batch = id ORDER BY route_index) AS channels \
        FROM batches WHERE id = ANY($1) AND callback IS NOT NULL";
    let rows = query(statement).bind(ids).fetch_all(pool).await?;
    let mut due = Vec::with_capacity(rows.len());
    for row in &rows {
        let (summary, url) = (summary(row)?, Arc::from(row.text("callback")?));
        let known = taken.iter().find(|(batch, _)| *batch == summary.id);
        due.extend(known.map(|(_, failed_tries)| DueCallback { summary, url, failed_tries: *failed_tries }));
    }
    due.sort_by_key(|due| due.summary.id);
    Ok(due)
}

/// The batch of a key.
pub(super) async fn find_key(pool: &PgPool, caller: &str, key: &str) -> Result<Option<KnownKey>, StoreError> {
    bounded(async {
        let mut connection = pool.acquire().await?;
        known_key(&mut connection, caller, key).await
    })
    .await
}

/// The same inside a transaction.
pub(super) async fn known_key(
    connection: &mut PgConnection,
    caller: &str,
    key: &str,
) -> Result<Option<KnownKey>, Flaw> {
    let known = query("SELECT batch, fingerprint FROM idempotency_keys WHERE caller = $1 AND key = $2");
    let Some(row) = known.bind(caller).bind(key).fetch_optional(connection).await? else { return Ok(None) };
    let fingerprint = row.bytes("fingerprint")?.try_into();
    let fingerprint = fingerprint.map_err(|_| Unreadable::new("a fingerprint of another length"))?;
    Ok(Some(KnownKey { batch: read_id(&row.text("batch")?)?, fingerprint }))
}

/// The batches of an owner that are canceled.
pub(super) async fn canceled(pool: &PgPool, owner: i64) -> Result<Vec<BatchId>, StoreError> {
    bounded(async {
        let mut connection = pool.acquire().await?;
        progress::canceled(&mut connection, owner).await
    })
    .await
}
