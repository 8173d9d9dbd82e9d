//! Takes over what nobody works on.

use sqlx::postgres::PgConnection;
use sqlx::{Row as _, query};

use crate::domain::id::BatchId;
use crate::store::postgres::flaw::Flaw;
use crate::store::stored::rows::read_id;

/// How many are taken at least if there are as many: few are not worth a second look.
const LEAST: i64 = 4;

/// Takes over at most `most` batches, the oldest first, and none of `known`; what somebody else is taking is left
/// to him.
///
/// Of those that anybody may take, only this process's part: whoever looks first would get the work of a dead process
/// alone. What is left by then is taken at the next look.
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
    // What is free is asked twice: a row that changes before it is locked is judged again by the second condition only.
    let claim = "WITH open AS (SELECT id, owner IS NOT DISTINCT FROM $1 AS is_own FROM batches \
          WHERE completed_at IS NULL \
          AND (owner IS NULL OR owner = $1 OR NOT EXISTS (SELECT FROM replicas WHERE replicas.id = batches.owner)) \
          AND NOT EXISTS (SELECT FROM unnest($2::text[]) AS known (id) WHERE known.id = batches.id)), \
        part AS (SELECT count(*) FILTER (WHERE is_own) + greatest($4, \
          ceil(count(*) FILTER (WHERE NOT is_own)::float8 / greatest(1, (SELECT count(*) FROM replicas)))::bigint) \
          AS most FROM open), \
        free AS (SELECT batches.id FROM batches JOIN open USING (id) WHERE completed_at IS NULL \
          AND (owner IS NULL OR owner = $1 OR NOT EXISTS (SELECT FROM replicas WHERE replicas.id = batches.owner)) \
          ORDER BY NOT is_own, batches.id LIMIT least($3, (SELECT most FROM part)) FOR UPDATE OF batches SKIP LOCKED) \
        UPDATE batches SET owner = $1 FROM free WHERE batches.id = free.id RETURNING batches.id";
    let claimed = query(claim).bind(owner).bind(known).bind(most).bind(LEAST).fetch_all(connection).await;
    let claimed = claimed.map_err(Flaw::of_last)?;
    let ids = claimed.iter().map(|row| Ok(read_id(row.try_get(0)?)?));
    let mut ids = ids.collect::<Result<Vec<_>, Flaw>>()?;
    ids.sort();
    Ok(ids)
}
