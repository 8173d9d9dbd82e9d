//! Reads batches, lists and keys.

use std::sync::Arc;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Error, QueryBuilder, Row as _, SqlitePool, query};

use crate::domain::id::BatchId;
use crate::domain::outcome::Counts;
use crate::store::durable::{DueCallback, KnownKey, Unfinished};
use crate::store::sqlite::apply::Flaw;
use crate::store::stored::columns::{Columns as _, batch_row, chunk_row, counts_row, head_row, route_row};
use crate::store::stored::listing::push_filter;
use crate::store::stored::rows::{BatchRows, CountsRow, from_nanoseconds, read_channel, read_id};
use crate::store::stored::{Providers, Unreadable};
use crate::store::{Filter, Head, StoreError, Summary};

impl From<Flaw> for StoreError {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Unreadable(unreadable) => unreadable.into(),
            Flaw::Database(
                error @ (Error::ColumnDecode { .. } | Error::ColumnNotFound(_) | Error::Decode(_)),
            ) => Self::Corrupt(error.to_string()),
            Flaw::Database(error) => Self::Away(error.into()),
        }
    }
}

/// The batch of this name as it stands.
pub(super) async fn find(
    readers: &SqlitePool,
    id: BatchId,
    providers: Providers,
) -> Result<Option<Unfinished>, StoreError> {
    let Some(rows) = rows(readers, id).await? else { return Ok(None) };
    rows.decode_aside(providers).await.map(Some)
}

/// Whose a batch is and whether it is over.
pub(super) async fn head(readers: &SqlitePool, id: BatchId) -> Result<Option<Head>, StoreError> {
    let head = query("SELECT caller, completed_at IS NOT NULL AS is_over FROM batches WHERE id = ?");
    let row = head.bind(id.to_string()).fetch_optional(readers).await.map_err(Flaw::from)?;
    Ok(row.map(|row| head_row(&row)).transpose().map_err(Flaw::from)?)
}

async fn rows(readers: &SqlitePool, id: BatchId) -> Result<Option<BatchRows>, Flaw> {
    // One transaction, so that all rows are of one moment.
    let mut transaction = readers.begin().await?;
    let name = id.to_string();
    let batch = "SELECT caller, client_ref, created_at, expires_at, completed_at, canceled, is_canceled, \
        on_invalid, retry_unknown, resend, callback, warnings, total, accepted, failed, unknown \
        FROM batches WHERE id = ?";
    let Some(batch) = query(batch).bind(&name).fetch_optional(&mut *transaction).await? else {
        return Ok(None);
    };
    let routes = "SELECT route_index, channel, provider, is_sandbox, route, recipients, entries, chatroom_id, \
        unsent_positions, unsent_outcomes, calls, retries, throttled, request_ids \
        FROM routes WHERE batch = ? ORDER BY route_index";
    let routes = query(routes).bind(&name).fetch_all(&mut *transaction).await?;
    let chunks = "SELECT route_index, first_position, positions, outcomes, attempts, remarks, accepted, failed, \
        unknown FROM chunks WHERE batch = ? ORDER BY route_index, first_position";
    let chunks = query(chunks).bind(&name).fetch_all(&mut *transaction).await?;
    let links = query("SELECT child FROM links WHERE parent = ? ORDER BY child").bind(&name);
    let links = links.fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    let resends = links.iter().map(|link| Ok(read_id(link.try_get(0)?)?)).collect::<Result<_, Flaw>>()?;
    Ok(Some(BatchRows {
        batch: batch_row(id, &batch, resends)?,
        routes: routes.iter().map(route_row).collect::<Result<_, _>>()?,
        chunks: chunks.iter().map(chunk_row).collect::<Result<_, _>>()?,
    }))
}

/// Recent batches, newest first.
pub(super) async fn list(lists: &SqlitePool, filter: &Filter) -> Result<Vec<Summary>, StoreError> {
    Ok(summaries(lists, filter).await?)
}

async fn summaries(lists: &SqlitePool, filter: &Filter) -> Result<Vec<Summary>, Flaw> {
    // What a batch that runs has reached is the sum of its calls.
    let columns = "SELECT id, client_ref, created_at, completed_at, canceled, total, \
         accepted + CASE WHEN completed_at IS NULL THEN \
             (SELECT coalesce(sum(accepted), 0) FROM chunks WHERE batch = id) ELSE 0 END AS accepted, \
         failed + CASE WHEN completed_at IS NULL THEN \
             (SELECT coalesce(sum(failed), 0) FROM chunks WHERE batch = id) ELSE 0 END AS failed, \
         unknown + CASE WHEN completed_at IS NULL THEN \
             (SELECT coalesce(sum(unknown), 0) FROM chunks WHERE batch = id) ELSE 0 END AS unknown, \
         (SELECT group_concat(channel, ' ' ORDER BY route_index) FROM routes WHERE batch = id) AS channels";
    let mut statement = QueryBuilder::new(columns);
    push_filter(&mut statement, filter);
    let found = statement.build().fetch_all(lists).await?;
    found.iter().map(summary).collect()
}

fn summary(row: &SqliteRow) -> Result<Summary, Flaw> {
    let channels = row.text("channels")?;
    // No channel has a space in its name.
    let channels = channels.split(' ').map(|channel| Ok(read_channel(channel)?));
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

/// The ends of these batches and where they are to be told; `taken` as it came from the writer.
pub(super) async fn callbacks(
    readers: &SqlitePool,
    taken: Vec<(BatchId, u32)>,
) -> Result<Vec<DueCallback>, StoreError> {
    Ok(due_callbacks(readers, taken).await?)
}

async fn due_callbacks(readers: &SqlitePool, taken: Vec<(BatchId, u32)>) -> Result<Vec<DueCallback>, Flaw> {
    let mut connection = readers.acquire().await?;
    let mut due = Vec::with_capacity(taken.len());
    let statement = "SELECT id, client_ref, created_at, completed_at, canceled, callback, total, accepted, failed, \
        unknown, (SELECT group_concat(channel, ' ' ORDER BY route_index) FROM routes WHERE batch = id) AS channels \
        FROM batches WHERE id = ? AND callback IS NOT NULL";
    for (batch, failed_tries) in taken {
        let row = query(statement).bind(batch.to_string()).fetch_optional(&mut *connection).await?;
        // Deleted meanwhile: it was too old.
        let Some(row) = row else { continue };
        let url = Arc::from(row.try_get::<String, _>("callback")?);
        due.push(DueCallback { summary: summary(&row)?, url, failed_tries });
    }
    Ok(due)
}

/// The batch of a key.
pub(super) async fn find_key(
    readers: &SqlitePool,
    caller: &str,
    key: &str,
) -> Result<Option<KnownKey>, StoreError> {
    let mut connection = readers.acquire().await.map_err(Flaw::from)?;
    Ok(known_key(&mut connection, caller, key).await?)
}

/// The same inside a transaction.
pub(super) async fn known_key(
    connection: &mut SqliteConnection,
    caller: &str,
    key: &str,
) -> Result<Option<KnownKey>, Flaw> {
    let known = query("SELECT batch, fingerprint FROM idempotency_keys WHERE caller = ? AND key = ?");
    let Some(row) = known.bind(caller).bind(key).fetch_optional(connection).await? else { return Ok(None) };
    let fingerprint: Vec<u8> = row.try_get("fingerprint")?;
    let fingerprint =
        fingerprint.try_into().map_err(|_| Unreadable::new("a fingerprint of another length"))?;
    Ok(Some(KnownKey { batch: read_id(row.try_get("batch")?)?, fingerprint }))
}

/// The names of all batches that have not ended.
pub(super) async fn unfinished(connection: &mut SqliteConnection) -> Result<Vec<BatchId>, Error> {
    let rows = query("SELECT id FROM batches WHERE completed_at IS NULL ORDER BY id");
    let rows = rows.fetch_all(connection).await?;
    // A name that cannot be read is not ours.
    let ids = rows.iter().map(|row| row.try_get::<String, _>(0).map(|id| BatchId::parse(&id)));
    Ok(ids.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// Whether something can be read.
pub(super) async fn check(readers: &SqlitePool) -> Result<(), StoreError> {
    let read = query("SELECT 1 FROM batches LIMIT 1").fetch_optional(readers).await;
    read.map(drop).map_err(|error| Flaw::Database(error).into())
}
