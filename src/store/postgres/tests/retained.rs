//! What is old goes, a little at a time, and one replica at a time.

use sqlx::{Connection as _, query, query_scalar};

use super::*;
use crate::domain::recipients::Positions;
use crate::domain::samples::accepted;
use crate::store::durable::IdempotencyKey;
use crate::store::stored::samples::{ended, heavy, numbered, same};

/// The batches of these tests ended in 1970.
const A_DAY: Duration = Duration::from_secs(24 * 3_600);

async fn sweep(store: &PostgresStore) -> bool {
    matches!(store.change(Change::Sweep { retention: A_DAY }).await.unwrap(), Done::Changed(true))
}

async fn count(store: &PostgresStore) -> i64 {
    let counted = "SELECT (SELECT count(*) FROM batches) + (SELECT count(*) FROM routes) \
        + (SELECT count(*) FROM chunks) + (SELECT count(*) FROM idempotency_keys) \
        + (SELECT count(*) FROM departing) + (SELECT count(*) FROM links)";
    query_scalar(counted).fetch_one(&store.pool).await.unwrap()
}

#[tokio::test]
async fn what_is_old_goes_in_steps_and_what_runs_stays() {
    let database = Database::new();
    let store = database.store().await;
    let names: Vec<String> = (0..2_500).map(|number| number.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut old = (*numbered(1, &names)).clone();
    for at in 0..2_500 {
        old.routes[0].settled.push(accepted(Positions::Range(at..at + 1)));
    }
    let key = IdempotencyKey { caller: "".into(), key: "key".into(), fingerprint: [0; 32] };
    let old = Arc::new(old);
    let new = NewBatch { report: Arc::clone(&old), in_flight: Vec::new(), key: Some(key) };
    store.accept(new).await.unwrap();
    let running = numbered(2, &["a"]);
    let batch = NewBatch { report: Arc::clone(&running), in_flight: Vec::new(), key: None };
    store.accept(batch).await.unwrap();
    store.finish(ended(&old)).await.unwrap();
    // Of a batch that is not kept any more.
    query("INSERT INTO links (child, parent, root) VALUES ($1, 'gone', 'gone')")
        .bind(old.batch.id.to_string())
        .execute(&store.pool)
        .await
        .unwrap();
    assert!(!sweep(&store).await);
    let known = store.find_key("".into(), "key".into()).await.unwrap();
    assert!(known.is_some(), "kept for a day from when its end was written");
    assert!(store.find(old.batch.id).await.unwrap().is_some(), "as long as its key");
    query("UPDATE idempotency_keys SET expires_at = expires_at - 86400 * 1000000000::bigint")
        .execute(&store.pool)
        .await
        .unwrap();
    let mut steps = 1;
    while sweep(&store).await {
        assert!(store.find(old.batch.id).await.unwrap().is_none(), "never a part of it");
        steps += 1;
    }
    assert_eq!(steps, 3);
    assert_eq!(store.find_key("".into(), "key".into()).await.unwrap(), None);
    assert_eq!(count(&store).await, 2, "the batch that runs and its route");
    assert!(store.find(running.batch.id).await.unwrap().is_some());
    store.close().await;
}

#[tokio::test]
async fn one_replica_sweeps_at_a_time() {
    let database = Database::new();
    let store = database.store().await;
    store.record(ended(&numbered(1, &["a"]))).await;
    store.close().await;
    let store = database.store().await;
    let mut connection = database.connection().await;
    let mut other = connection.begin().await.unwrap();
    retention::sweep_turn(&mut other).await;
    assert!(!sweep(&store).await);
    assert!(store.find(BatchId::new(1, 7)).await.unwrap().is_some(), "somebody else is at it");
    other.rollback().await.unwrap();
    sweep(&store).await;
    assert!(store.find(BatchId::new(1, 7)).await.unwrap().is_none());
    store.close().await;
}

#[tokio::test]
async fn what_is_not_durable_is_written_behind_and_found_at_once() {
    let database = Database::new();
    let memory = MemoryStore::new(MemorySettings { memory_batches: 9, memory_bytes: 1 << 20 });
    let store = PostgresStore::open(database.opening(), memory).await.unwrap();
    let report = ended(&numbered(1, &["a"]));
    store.record(Arc::clone(&report)).await;
    assert!(store.find(report.batch.id).await.unwrap().is_some());
    store.close().await;
    assert_eq!(store.unrecorded_count(), 0);
    let store = database.store().await;
    assert_eq!(same(&store.find(report.batch.id).await.unwrap().unwrap()), same(&report));
    store.close().await;
}

#[tokio::test]
async fn what_waits_to_be_written_behind_is_bounded_by_its_bytes_too() {
    let database = Database::new();
    let store = database.store().await;
    suite::record_at_once(&store, (1..=100).map(|number| heavy(number, 1 << 20))).await;
    store.close().await;
    let store = database.store().await;
    let kept = store.list(Filter { most: 99, ..Filter::default() }).await.unwrap().len();
    assert_eq!(kept, 31);
    store.close().await;
}

#[tokio::test]
async fn what_the_database_does_not_take_behind_is_counted() {
    let database = Database::new();
    let store = database.store().await;
    query("ALTER TABLE batches RENAME TO elsewhere").execute(&store.pool).await.unwrap();
    // More than go into one transaction: the first that fails is the last that is tried when the store closes.
    for number in 1..=100 {
        store.record(ended(&numbered(number, &["a"]))).await;
    }
    store.close().await;
    assert_eq!(store.unrecorded_count(), 100);
    store.record(ended(&numbered(101, &["a"]))).await;
    assert_eq!(store.unrecorded_count(), 101);
}

#[tokio::test]
async fn a_database_of_an_earlier_version_is_brought_to_this_one() {
    let database = Database::new();
    let store = database.store().await;
    let report = numbered(1, &["a", "b"]);
    let batch = NewBatch { report: Arc::clone(&report), in_flight: Vec::new(), key: None };
    assert_eq!(store.accept(batch).await.unwrap(), Accepted::Written);
    let first = accepted(Positions::Range(0..1));
    store.settle(report.batch.id, 0, first, Remarks::default()).await.unwrap();
    let left = store.find(report.batch.id).await.unwrap().unwrap();
    let earlier = "ALTER TABLE chunks DROP COLUMN remarks; \
        DROP INDEX batches_caller_open, batches_stopped, batches_caller_stopped, routes_channel; \
        DELETE FROM _sqlx_migrations WHERE version > 3";
    // Nobody else uses the tables any more, who would wait for them while this waits for him.
    store.close().await;
    sqlx::raw_sql(earlier).execute(&mut database.connection().await).await.unwrap();
    let store = database.store().await;
    assert_eq!(same(&store.claim(9, Vec::new()).await.unwrap()[0].report), same(&left));
    store.close().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_said_once_and_does_not_hold_up_the_rest() {
    let database = Database::new();
    let store = database.store().await;
    for number in [1, 2] {
        let report = numbered(number, &["a"]);
        store.accept(NewBatch { report, in_flight: Vec::new(), key: None }).await.unwrap();
    }
    query("UPDATE routes SET recipients = '\\x0207' WHERE batch = (SELECT min(id) FROM batches)")
        .execute(&store.pool)
        .await
        .unwrap();
    store.close().await;
    let store = database.store().await;
    let error = store.find(BatchId::new(1, 7)).await.err().unwrap();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    let claimed = store.claim(9, Vec::new()).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].report.batch.id, BatchId::new(2, 7));
    assert!(store.holding.known(&[]).contains(&BatchId::new(1, 7).to_string()), "it is not tried again");
    store.close().await;
}

#[tokio::test]
async fn a_room_of_any_name_is_kept() {
    let database = Database::new();
    let store = database.store().await;
    let mut report = (*numbered(1, &["a"])).clone();
    report.routes[0].chatroom_id = Some("room\0\u{7f}".into());
    let batch = NewBatch { report: Arc::new(report.clone()), in_flight: Vec::new(), key: None };
    assert_eq!(store.accept(batch).await.unwrap(), Accepted::Written);
    assert_eq!(same(&store.find(report.batch.id).await.unwrap().unwrap()), same(&report));
    store.close().await;
}
