//! A database that is killed, and answers that are lost.

use tokio::sync::mpsc;

use super::*;
use crate::domain::recipients::Positions;
use crate::domain::report::Remarks;
use crate::domain::samples::accepted;
use crate::store::durable::IdempotencyKey;
use crate::store::postgres::tests::cluster::Flush;
use crate::store::postgres::tests::proxy::Proxy;
use crate::store::stored::samples::{ended, numbered};

fn with_key(report: &Arc<Report>) -> NewBatch {
    let key = IdempotencyKey { caller: "".into(), key: "key".into(), fingerprint: [1; 32] };
    NewBatch { report: Arc::clone(report), in_flight: Vec::new(), key: Some(key) }
}

fn chunk(range: std::ops::Range<u32>) -> Chunk {
    Chunk { route_index: 0, positions: Positions::Range(range) }
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_out() {
    for passes in [true, false] {
        let database = Database::new();
        let proxy = Proxy::start(cluster::shared().address(), "COMMIT", passes).await;
        let store = database.through(proxy.address).store().await;
        proxy.cut_next(2);
        let report = numbered(1, &["a"]);
        let accepted = store.accept(with_key(&report)).await.unwrap();
        assert_eq!(accepted, Accepted::Written, "{passes}");
        assert_eq!(proxy.cut(), 2, "the batch's, or the sweep's");
        assert!(store.begin(report.batch.id, chunk(0..1)).await.unwrap());
        assert!(store.holds(report.batch.id));
        let known = store.find_key("".into(), "key".into()).await.unwrap().unwrap();
        assert_eq!(known.batch, report.batch.id);
        assert_eq!(store.list(Filter { most: 9, ..Filter::default() }).await.unwrap().len(), 1);
        store.close().await;
    }
}

#[tokio::test]
async fn what_stays_open_is_said_to_be_and_is_nobodys() {
    let database = Database::new();
    let proxy = Proxy::start(cluster::shared().address(), "COMMIT", true).await;
    let store = database.through(proxy.address).store().await;
    proxy.cut_next(usize::MAX);
    let report = numbered(1, &["a"]);
    let error = store.accept(with_key(&report)).await.err().unwrap();
    assert!(matches!(error, StoreError::Unsettled), "{error:?}");
    assert!(!store.holds(report.batch.id));
    // It was written: whoever asks for what nobody works on gets it, and the key names it.
    let other = database.store().await;
    assert!(other.claim(9, Vec::new()).await.unwrap().is_empty(), "its replica is alive");
    let known = other.find_key("".into(), "key".into()).await.unwrap().unwrap();
    assert_eq!(known.batch, report.batch.id);
    other.close().await;
    proxy.cut_next(0);
    let claimed = store.claim(9, Vec::new()).await.unwrap();
    assert_eq!(claimed.len(), 1);
    store.close().await;
}

#[tokio::test]
async fn a_call_whose_beginning_was_not_answered_has_begun_once() {
    let database = Database::new();
    let store = database.store().await;
    let report = numbered(1, &["a", "b"]);
    store.accept(with_key(&report)).await.unwrap();
    let owner = store.holding.replica();
    let proxy = Proxy::start(cluster::shared().address(), "INSERT INTO chunks", true).await;
    proxy.cut_next(1);
    let pool = sqlx::postgres::PgPoolOptions::new();
    let pool = pool.connect(&database.through(proxy.address).url).await.unwrap();
    let change = Change::Begin {
        batch: report.batch.id,
        chunk: ChunkRow::in_flight(&chunk(0..1)),
        owner,
        serial: store.holding.begin(report.batch.id).unwrap().1,
    };
    assert!(matches!(make(&pool, &change).await, Ok(Done::Changed(true))));
    assert_eq!(proxy.cut(), 1);
    pool.close().await;
    store.close().await;
    let next = database.store().await;
    assert_eq!(next.claim(9, Vec::new()).await.unwrap()[0].in_flight, [chunk(0..1)]);
    next.close().await;
}

#[tokio::test]
async fn a_database_that_is_away_is_said_to_be_in_time_and_comes_back() {
    let database = Database::new();
    let proxy = Proxy::start(cluster::shared().address(), "never asked for", true).await;
    let store = database.through(proxy.address).store().await;
    store.check().await.unwrap();
    proxy.go_away();
    drop(proxy);
    let checked = store.check().await;
    assert!(matches!(checked, Err(StoreError::Away(_) | StoreError::Unsettled)), "{checked:?}");
    let refused = store.accept(with_key(&numbered(1, &["a"]))).await;
    assert!(matches!(refused, Err(StoreError::Away(_))), "{refused:?}");
    store.close().await;
    let other = database.store().await;
    assert!(other.find(BatchId::new(1, 7)).await.unwrap().is_none(), "nothing was written");
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_survives_the_death_of_the_database() {
    let cluster = Arc::new(Cluster::start(Flush::Always));
    let database = Database::of(&cluster);
    let store = Arc::new(database.store().await);
    for round in 0..3_u64 {
        let (started, mut first) = mpsc::channel(1);
        let enough = CancellationToken::new();
        let writing = {
            let (store, started, enough) = (Arc::clone(&store), started, enough.clone());
            async move {
                let mut written = Vec::new();
                // A short absence is not even noticed, so that it may go on for ever.
                for number in (0..).take_while(|_| !enough.is_cancelled()) {
                    let report = numbered((round << 32) + number + 1, &["a", "b"]);
                    let id = report.batch.id;
                    let batch = NewBatch { report, in_flight: Vec::new(), key: None };
                    // Away or unsettled: nobody was promised anything.
                    let Ok(_) = store.accept(batch).await else { break };
                    let begun = store.begin(id, chunk(0..1)).await;
                    let settled = matches!(begun, Ok(true))
                        && store
                            .settle(id, 0, accepted(Positions::Range(0..1)), Remarks::default())
                            .await
                            .is_ok();
                    written.push((id, settled));
                    let _ = started.try_send(());
                    if begun.is_err() {
                        break;
                    }
                }
                written
            }
        };
        let writing = tokio::task::JoinSet::from_iter([writing]);
        first.recv().await.unwrap();
        let killer = Arc::clone(&cluster);
        let end = if round == 1 { Cluster::kill } else { Cluster::crash };
        tokio::task::spawn_blocking(move || end(&killer)).await.unwrap();
        let starter = Arc::clone(&cluster);
        tokio::task::spawn_blocking(move || starter.up()).await.unwrap();
        enough.cancel();
        let written = writing.join_all().await.remove(0);
        assert!(!written.is_empty());
        let back = async { while store.check().await.is_err() {} };
        tokio::time::timeout(Duration::from_secs(60), back).await.unwrap();
        for (id, is_settled) in written {
            let found = store.find(id).await.unwrap().unwrap();
            assert!(!is_settled || found.counts().accepted == 1);
            until_ok(|| store.finish(ended(&found))).await;
        }
    }
    store.close().await;
}

async fn until_ok<'a>(mut change: impl FnMut() -> StoreFuture<'a, ()>) {
    while change().await.is_err() {}
}
