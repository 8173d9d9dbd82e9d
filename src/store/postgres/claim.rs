//! Takes over what nobody works on.

use sqlx::postgres::PgConnection;
use sqlx::{Row as _, query};

use crate::domain::id::BatchId;
use crate::store::postgres::flaw::Flaw;
use crate::store::stored::rows::read_id;

/// Takes over at most `most` batches, the oldest first, and none of `known`; what somebody else is taking is left
/// to him.
pub(super) async fn claim(
    connection: &mut PgConnection,
    owner: i64,
    most: i64,
    known: &[String],
) -> Result<Vec<BatchId>, Flaw> {
    // First of all: whoever comes back cannot renew his lease any more, and learns so.
    let bury = "DELETE FROM replicas WHERE id IN \
        (SELECT id FROM replicas WHERE lease_until < clock_timestamp() AND id <> $1 FOR UPDATE SKIP LOCKED)";
    query(bury).bind(owner).execute(&mut *connection).await.map_err(Flaw::of_last)?;
    // Our own that we do not know of: the answer to who wrote or took them was lost, or he did not wait for it.
    let claim = "WITH free AS (SELECT id FROM batches WHERE completed_at IS NULL \
          AND (owner IS NULL OR owner = $1 OR NOT EXISTS (SELECT FROM replicas WHERE replicas.id = batches.owner)) \
          AND NOT EXISTS (SELECT FROM unnest($2::text[]) AS known (id) WHERE known.id = batches.id) \
          ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED) \
        UPDATE batches SET owner = $1 FROM free WHERE batches.id = free.id RETURNING batches.id";
    let claimed = query(claim).bind(owner).bind(known).bind(most).fetch_all(connection).await;
    let claimed = claimed.map_err(Flaw::of_last)?;
    let ids = claimed.iter().map(|row| Ok(read_id(row.try_get(0)?)?));
    let mut ids = ids.collect::<Result<Vec<_>, Flaw>>()?;
    ids.sort();
    Ok(ids)
}
