//! Budgets in portions and one token for all: an answer that is lost costs a portion or a turn, never a limit.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgPool;
use sqlx::{Row as _, query, query_scalar};

use crate::domain::report::BudgetKind;
use crate::store::StoreFuture;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::flaw::Flaw;
use crate::store::postgres::read::bounded;
use crate::store::shared::{Ask, NewToken, Portion, Shared, SharedToken, Turn};
use crate::store::stored::Unreadable;

impl Shared for PostgresStore {
    fn take_portion(&self, account: Arc<str>, ask: Ask) -> StoreFuture<'_, Portion> {
        Box::pin(async move {
            loop {
                if let Some(portion) = bounded(take_portion(&self.pool, &account, ask)).await? {
                    return Ok(portion);
                }
                bounded(full_budget(&self.pool, &account, ask.kind)).await?;
            }
        })
    }

    fn hold_budget(&self, account: Arc<str>, kind: BudgetKind, pause: Duration) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let hold = "INSERT INTO budgets (account, kind, full_at) \
                VALUES ($1, $2, extract(epoch FROM clock_timestamp())::float8 + $3) \
                ON CONFLICT (account, kind) DO UPDATE SET full_at = greatest(budgets.full_at, excluded.full_at)";
            let hold = query(hold).bind(&*account).bind(kind.as_str()).bind(pause.as_secs_f64());
            bounded(async { hold.execute(&self.pool).await.map(drop).map_err(Flaw::of_last) }).await
        })
    }

    fn next_token(&self, account: Arc<str>, known_version: i64, lease: Duration) -> StoreFuture<'_, Turn> {
        Box::pin(async move { bounded(next_token(&self.pool, &account, known_version, lease)).await })
    }

    fn keep_token(&self, account: Arc<str>, token: NewToken) -> StoreFuture<'_, i64> {
        Box::pin(async move {
            let keep = "INSERT INTO tokens (account, version, sealed, issued_at, expires_at, fetch_until) \
                VALUES ($1, 1, $2, clock_timestamp(), clock_timestamp() + make_interval(secs => $3), \
                 clock_timestamp()) \
                ON CONFLICT (account) DO UPDATE SET version = tokens.version + 1, sealed = excluded.sealed, \
                issued_at = excluded.issued_at, expires_at = excluded.expires_at, \
                fetch_until = excluded.fetch_until RETURNING version";
            let lifetime = token.lifetime.map(|lifetime| lifetime.as_secs_f64());
            let keep = query_scalar(keep).bind(&*account).bind(token.sealed).bind(lifetime);
            bounded(async { keep.fetch_one(&self.pool).await.map_err(Flaw::of_last) }).await
        })
    }

    fn fail_token(&self, account: Arc<str>, pause: Duration) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let fail = "UPDATE tokens SET fetch_until = clock_timestamp() + make_interval(secs => $2) \
                WHERE account = $1";
            let fail = query(fail).bind(&*account).bind(pause.as_secs_f64());
            bounded(async { fail.execute(&self.pool).await.map(drop).map_err(Flaw::of_last) }).await
        })
    }
}

/// `None` = there is no such budget yet.
async fn take_portion(pool: &PgPool, account: &str, ask: Ask) -> Result<Option<Portion>, Flaw> {
    let Ask { kind, rate, burst, cost, most, horizon } = ask;
    let take = "WITH old AS MATERIALIZED \
          (SELECT full_at, extract(epoch FROM clock_timestamp())::float8 AS now FROM budgets \
           WHERE account = $1 AND kind = $2 FOR UPDATE), \
        portion AS MATERIALIZED \
          (SELECT full_at, now, budget_portion(full_at, now, $3, $4, $5, $6, $7) AS calls FROM old) \
        UPDATE budgets SET full_at = CASE WHEN portion.calls > 0 \
            THEN greatest(portion.full_at, portion.now) + portion.calls * $5 / $3 ELSE portion.full_at END \
        FROM portion WHERE account = $1 AND kind = $2 \
        RETURNING portion.calls::bigint, greatest(portion.full_at - portion.now, 0)";
    let take = query(take)
        .bind(account)
        .bind(kind.as_str())
        .bind(rate)
        .bind(burst)
        .bind(cost)
        .bind(f64::from(most))
        .bind(horizon.as_secs_f64());
    let Some(row) = take.fetch_optional(pool).await.map_err(Flaw::of_last)? else { return Ok(None) };
    let calls = u32::try_from(row.try_get::<i64, _>(0)?);
    let calls = calls.map_err(|_| Unreadable::new("a portion out of range"))?;
    Ok(Some(Portion { calls, debt: seconds(row.try_get(1)?) }))
}

async fn full_budget(pool: &PgPool, account: &str, kind: BudgetKind) -> Result<(), Flaw> {
    let full = "INSERT INTO budgets (account, kind, full_at) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING";
    let full = query(full).bind(account).bind(kind.as_str());
    full.execute(pool).await.map(drop).map_err(Flaw::of_last)
}

async fn next_token(pool: &PgPool, account: &str, known: i64, lease: Duration) -> Result<Turn, Flaw> {
    let turn = "INSERT INTO tokens (account, version, fetch_until) \
        VALUES ($1, 0, clock_timestamp() + make_interval(secs => $3)) \
        ON CONFLICT (account) DO UPDATE SET fetch_until = excluded.fetch_until \
        WHERE (tokens.version <= $2 OR tokens.expires_at <= clock_timestamp()) \
        AND tokens.fetch_until <= clock_timestamp()";
    let turn = query(turn).bind(account).bind(known).bind(lease.as_secs_f64());
    if turn.execute(pool).await.map_err(Flaw::of_last)?.rows_affected() > 0 {
        return Ok(Turn::Fetch);
    }
    let token = "SELECT version, sealed, extract(epoch FROM clock_timestamp() - issued_at)::float8, \
        extract(epoch FROM expires_at - clock_timestamp())::float8 FROM tokens \
        WHERE account = $1 AND version > $2 AND sealed IS NOT NULL \
        AND (expires_at IS NULL OR expires_at > clock_timestamp())";
    let token = query(token).bind(account).bind(known).fetch_optional(pool).await?;
    let Some(row) = token else { return Ok(Turn::Wait) };
    Ok(Turn::Token(SharedToken {
        version: row.try_get(0)?,
        sealed: row.try_get(1)?,
        age: seconds(row.try_get(2)?),
        rest: row.try_get::<Option<f64>, _>(3)?.map(seconds),
    }))
}

fn seconds(count: f64) -> Duration {
    Duration::try_from_secs_f64(count.max(0.0)).unwrap_or(Duration::MAX)
}
