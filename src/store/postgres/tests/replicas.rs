//! Several replicas on one database: who works on what.

use std::collections::HashSet;

use sqlx::query;

use super::*;
use crate::domain::recipients::Positions;
use crate::domain::report::Remarks;
use crate::domain::samples::accepted;
use crate::store::durable::IdempotencyKey;
use crate::store::postgres::lease::Keeper;
use crate::store::stored::samples::{ended, numbered, same};

fn chunk(range: std::ops::Range<u32>) -> Chunk {
    Chunk { route_index: 0, positions: Positions::Range(range) }
}

async fn accept(store: &PostgresStore, report: &Arc<Report>) {
    let batch = NewBatch { report: Arc::clone(report), in_flight: Vec::new(), key: None };
    assert_eq!(store.accept(batch).await.unwrap(), Accepted::Written);
}

/// Lets so much time pass for the lease of a replica, as if it had been stopped.
async fn pass(database: &Database, store: &PostgresStore, seconds: f64) {
    let pass = "UPDATE replicas SET lease_until = lease_until - make_interval(secs => $1) WHERE id = $2";
    let passed = query(pass).bind(seconds).bind(store.holding.replica());
    assert_eq!(passed.execute(&mut database.connection().await).await.unwrap().rows_affected(), 1);
}

/// What the renewal of a replica does when its time has come.
async fn renew(database: &Database, store: &PostgresStore) {
    let mut keeper = Keeper {
        connection: None,
        options: database.url.parse().unwrap(),
        holding: Arc::clone(&store.holding),
        closing: CancellationToken::new(),
        idle: CancellationToken::new(),
    };
    keeper.renew().await.unwrap();
}

#[tokio::test]
async fn what_a_replica_works_on_is_taken_over_once_its_lease_is_over() {
    let database = Database::new();
    let (stopped, other) = (database.store().await, database.store().await);
    let report = numbered(1, &["a", "b", "c"]);
    let id = report.batch.id;
    accept(&stopped, &report).await;
    assert!(stopped.begin(id, chunk(0..1)).await.unwrap());
    assert!(stopped.begin(id, chunk(1..2)).await.unwrap());
    stopped.settle(id, 0, accepted(Positions::Range(0..1)), Remarks::default()).await.unwrap();
    assert!(other.claim(9, Vec::new()).await.unwrap().is_empty(), "it is at work");
    pass(&database, &stopped, 14.0).await;
    assert!(other.claim(9, Vec::new()).await.unwrap().is_empty(), "its lease is not over");
    pass(&database, &stopped, 14.0).await;
    let claimed = other.claim(9, Vec::new()).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].in_flight, [chunk(1..2)]);
    assert_eq!(claimed[0].report.routes[0].open_runs().len(), 1);
    assert!(other.holds(id));
    // It comes back, and finds out sooner or later.
    assert!(!stopped.begin(id, chunk(2..3)).await.unwrap());
    assert!(!stopped.holds(id), "it was told so");
    let late = stopped.settle(id, 0, accepted(Positions::Range(1..2)), Remarks::default()).await;
    assert!(matches!(late, Err(StoreError::Lost)), "{late:?}");
    stopped.release(id, chunk(1..2)).await.unwrap();
    let late = stopped.finish(ended(&report)).await;
    assert!(matches!(late, Err(StoreError::Lost)), "{late:?}");
    let found = other.find(id).await.unwrap().unwrap();
    assert!(!found.is_over());
    assert_eq!(found.counts().accepted, 1, "nothing of it was written");
    stopped.close().await;
    assert_eq!(other.claim(9, vec![id]).await.unwrap().len(), 0);
    other.close().await;
    let next = database.store().await;
    assert_eq!(next.claim(9, Vec::new()).await.unwrap()[0].in_flight, [chunk(1..2)], "still out");
    next.close().await;
}

#[tokio::test]
async fn whoever_comes_back_sends_nothing_of_what_was_taken() {
    let database = Database::new();
    let (stopped, other) = (database.store().await, database.store().await);
    let (taken, next) = (numbered(1, &["a"]), numbered(2, &["a"]));
    accept(&stopped, &taken).await;
    assert!(stopped.begin(taken.batch.id, chunk(0..1)).await.unwrap());
    assert!(stopped.holds(taken.batch.id));
    pass(&database, &stopped, 60.0).await;
    let before = stopped.holding.replica();
    assert_eq!(other.claim(9, Vec::new()).await.unwrap().len(), 1);
    // The renewal comes before the call that was about to be written.
    renew(&database, &stopped).await;
    assert!(stopped.holding.replica() > before, "another replica");
    assert!(!stopped.holds(taken.batch.id));
    // Work goes on with what is new.
    accept(&stopped, &next).await;
    assert!(stopped.begin(next.batch.id, chunk(0..1)).await.unwrap());
    assert!(stopped.holds(next.batch.id));
    stopped.close().await;
    other.close().await;
}

#[tokio::test]
async fn a_lease_that_nobody_took_is_renewed_however_late() {
    let database = Database::new();
    let store = database.store().await;
    let report = numbered(1, &["a"]);
    accept(&store, &report).await;
    pass(&database, &store, 3_600.0).await;
    let before = store.holding.replica();
    renew(&database, &store).await;
    assert_eq!(store.holding.replica(), before);
    assert!(store.holds(report.batch.id));
    let other = database.store().await;
    assert!(other.claim(9, Vec::new()).await.unwrap().is_empty());
    store.close().await;
    assert_eq!(other.claim(9, Vec::new()).await.unwrap().len(), 1, "an orderly end gives it up at once");
    other.close().await;
}

#[tokio::test]
async fn what_a_replica_leaves_it_can_take_again() {
    let database = Database::new();
    let store = database.store().await;
    let report = numbered(1, &["a"]);
    let id = report.batch.id;
    accept(&store, &report).await;
    store.holding.stop(id);
    assert!(!store.holds(id));
    assert!(store.claim(9, vec![id]).await.unwrap().is_empty(), "somebody still works on it");
    assert_eq!(store.claim(9, Vec::new()).await.unwrap().len(), 1);
    assert!(store.holds(id) && store.begin(id, chunk(0..1)).await.unwrap());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_gets_what_another_one_takes_at_the_same_time() {
    let database = Database::new();
    let gone = database.store().await;
    for number in 1..=60 {
        accept(&gone, &numbered(number, &["a"])).await;
    }
    gone.close().await;
    let mut taking = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = database.store().await;
        taking.spawn(async move {
            let mut taken = Vec::new();
            loop {
                let claimed = store.claim(7, Vec::new()).await.unwrap();
                if claimed.is_empty() {
                    // Only now: what it has would be anybody's after that.
                    return (store, taken);
                }
                taken.extend(claimed.into_iter().map(|unfinished| unfinished.report.batch.id));
            }
        });
    }
    let ends = taking.join_all().await;
    let all: Vec<BatchId> = ends.iter().flat_map(|(_, taken)| taken.iter().copied()).collect();
    assert_eq!(all.len(), 60);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 60);
    for (store, _) in ends {
        store.close().await;
    }
}

#[tokio::test]
async fn the_work_of_a_dead_replica_is_divided_among_the_living() {
    let database = Database::new();
    let dead = database.store().await;
    for number in 1..=30 {
        accept(&dead, &numbered(number, &["a"])).await;
    }
    let [first, second, third] = [database.store().await, database.store().await, database.store().await];
    dead.close().await;
    let mut taken = Vec::new();
    for (store, expected) in [(&first, 10), (&second, 7), (&third, 5), (&first, 4), (&second, 4)] {
        let known = taken.iter().filter(|(owner, _)| *owner == store.holding.replica());
        let claimed = store.claim(100, known.map(|(_, id)| *id).collect()).await.unwrap();
        assert_eq!(claimed.len(), expected);
        let owner = store.holding.replica();
        taken.extend(claimed.into_iter().map(|unfinished| (owner, unfinished.report.batch.id)));
    }
    let all: HashSet<BatchId> = taken.into_iter().map(|(_, id)| id).collect();
    assert_eq!(all.len(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_call_begins_before_a_takeover_or_not_at_all() {
    let database = Database::new();
    for number in 1..=30 {
        let (stopped, other) = (database.store().await, database.store().await);
        let names: Vec<String> = (0..20).map(|name| name.to_string()).collect();
        let report = numbered(number, &names.iter().map(String::as_str).collect::<Vec<_>>());
        let id = report.batch.id;
        accept(&stopped, &report).await;
        pass(&database, &stopped, 60.0).await;
        let stopped = Arc::new(stopped);
        let mut beginning = tokio::task::JoinSet::new();
        for at in 0..20 {
            let stopped = Arc::clone(&stopped);
            beginning.spawn(async move { (at, stopped.begin(id, chunk(at..at + 1)).await.unwrap()) });
        }
        let claimed = loop {
            // One that is just beginning holds it back.
            let claimed = other.claim(9, Vec::new()).await.unwrap();
            if let Some(unfinished) = claimed.into_iter().next() {
                break unfinished;
            }
        };
        let begun = beginning.join_all().await;
        let begun: HashSet<u32> = begun.into_iter().filter(|(_, begun)| *begun).map(|(at, _)| at).collect();
        let seen = claimed.in_flight.iter().map(|chunk| chunk.positions.get(0).unwrap());
        assert_eq!(seen.collect::<HashSet<_>>(), begun);
        other.finish(ended(&report)).await.unwrap();
        stopped.close().await;
        other.close().await;
    }
}

#[tokio::test]
async fn what_comes_late_leaves_alone_what_was_begun_after_it() {
    let database = Database::new();
    let store = database.store().await;
    let report = numbered(1, &["a"]);
    let batch = report.batch.id;
    accept(&store, &report).await;
    let (owner, early) = store.holding.begin(batch).unwrap();
    let release = || Change::Release { batch, route_index: 0, first_position: 0, owner, serial: early };
    let begin = |serial| {
        let chunk = ChunkRow::in_flight(&chunk(0..1));
        store.change(Change::Begin { batch, chunk, owner, serial })
    };
    assert!(matches!(begin(early).await, Ok(Done::Changed(true))));
    assert!(matches!(store.change(release()).await, Ok(Done::Changed(true))));
    let (_, later) = store.holding.begin(batch).unwrap();
    assert!(matches!(begin(later).await, Ok(Done::Changed(true))));
    assert!(matches!(store.change(release()).await, Ok(Done::Changed(false))), "it is out");
    assert!(matches!(begin(early).await, Ok(Done::Changed(false))));
    store.settle(batch, 0, accepted(Positions::Range(0..1)), Remarks::default()).await.unwrap();
    assert!(matches!(begin(later + 1).await, Ok(Done::Changed(false))), "it is done");
    assert_eq!(store.find(batch).await.unwrap().unwrap().counts().accepted, 1);
    store.close().await;
}

#[tokio::test]
async fn any_replica_answers_for_any_batch() {
    let database = Database::new();
    let (left, right) = (database.store().await, database.store().await);
    let report = numbered(1, &["a", "b"]);
    let id = report.batch.id;
    accept(&left, &report).await;
    assert!(left.begin(id, chunk(0..1)).await.unwrap());
    left.settle(id, 0, accepted(Positions::Range(0..1)), Remarks::default()).await.unwrap();
    let found = right.find(id).await.unwrap().unwrap();
    assert_eq!((found.counts().accepted, found.counts().pending), (1, 1));
    let lines = right.list(Filter { most: 9, ..Filter::default() }).await.unwrap();
    assert_eq!(lines, [Summary::of(&found)]);
    assert!(left.canceled_elsewhere().await.unwrap().is_empty());
    right.cancel(id).await.unwrap();
    assert_eq!(left.canceled_elsewhere().await.unwrap(), [id]);
    assert!(right.canceled_elsewhere().await.unwrap().is_empty());
    let end = ended(&found);
    left.finish(Arc::clone(&end)).await.unwrap();
    assert_eq!(same(&right.find(id).await.unwrap().unwrap()), same(&end));
    assert!(left.canceled_elsewhere().await.unwrap().is_empty());
    left.close().await;
    right.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_twins_on_three_replicas_become_one_batch() {
    let database = Database::new();
    let mut stores = Vec::new();
    for _ in 0..3 {
        stores.push(Arc::new(database.store().await));
    }
    for round in 0..5_u64 {
        let mut accepting = tokio::task::JoinSet::new();
        for number in 0..100 {
            let store = Arc::clone(&stores[usize::try_from(number).unwrap() % 3]);
            accepting.spawn(async move {
                let key = format!("key-{round}");
                let key = IdempotencyKey { caller: "".into(), key: key.into(), fingerprint: [1; 32] };
                let report = numbered(round * 1_000 + number + 1, &["a"]);
                let id = report.batch.id;
                let batch = NewBatch { report, in_flight: Vec::new(), key: Some(key) };
                match store.accept(batch).await.unwrap() {
                    Accepted::Written => (true, id),
                    Accepted::KeyTaken(known) => (false, known.batch),
                }
            });
        }
        let answers = accepting.join_all().await;
        assert_eq!(answers.iter().filter(|(is_written, _)| *is_written).count(), 1);
        assert_eq!(answers.iter().map(|(_, id)| id).collect::<HashSet<_>>().len(), 1);
    }
    let kept = stores[0].list(Filter { most: 999, ..Filter::default() }).await.unwrap();
    assert_eq!(kept.len(), 5);
    for store in stores {
        store.close().await;
    }
}

#[tokio::test]
async fn what_is_accepted_while_a_claim_is_on_its_way_is_not_claimed() {
    let database = Database::new();
    let store = database.store().await;
    let mut connection = database.connection().await;
    let mut waited_for = sqlx::Connection::begin(&mut connection).await.unwrap();
    query("LOCK TABLE replicas").execute(&mut *waited_for).await.unwrap();
    let report = numbered(1, &["a"]);
    // The claim knows what is worked on before it is asked for, and the batch is there when it is made.
    let (claimed, ()) = tokio::join!(store.claim(9, Vec::new()), async {
        accept(&store, &report).await;
        waited_for.commit().await.unwrap();
    });
    assert!(claimed.unwrap().is_empty());
    assert!(store.begin(report.batch.id, chunk(0..1)).await.unwrap());
    store.close().await;
}

#[tokio::test]
async fn a_link_to_what_is_not_written_yet_is_found_by_every_replica() {
    let database = Database::new();
    let memory = MemoryStore::new(MemorySettings { memory_batches: 9, memory_bytes: 1 << 20 });
    let left = PostgresStore::open(database.opening(), memory).await.unwrap();
    let right = database.store().await;
    let parent = ended(&numbered(1, &["a"]));
    let root = parent.batch.id;
    // As if the database were behind.
    left.memory.record(Arc::clone(&parent)).await;
    let child = BatchId::new(2, 0);
    let link = Link { root, parent: root, child, known_links: 0 };
    assert_eq!(left.link(link).await.unwrap(), Linked::Noted);
    left.record(parent).await;
    for store in [&left, &right] {
        assert_eq!(store.find(root).await.unwrap().unwrap().resends, [child]);
    }
    let other = Link { child: BatchId::new(3, 0), ..link };
    assert_eq!(right.link(other).await.unwrap(), Linked::FamilyChanged);
    left.close().await;
    right.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_resends_at_once_one_is_linked() {
    let database = Database::new();
    let (left, right) = (database.store().await, database.store().await);
    for number in 1..=20 {
        let parent = numbered(number, &["a"]);
        let root = parent.batch.id;
        accept(&left, &parent).await;
        left.finish(ended(&parent)).await.unwrap();
        let link = |child| Link { root, parent: root, child: BatchId::new(child, 0), known_links: 0 };
        let (one, two) = tokio::join!(left.link(link(1_000 + number)), right.link(link(2_000 + number)));
        let mut linked = [one.unwrap(), two.unwrap()];
        linked.sort_by_key(|linked| *linked != Linked::Noted);
        assert_eq!(linked, [Linked::Noted, Linked::FamilyChanged]);
    }
    left.close().await;
    right.close().await;
}

#[tokio::test]
async fn a_callback_is_one_replicas() {
    let database = Database::new();
    let (left, right) = (database.store().await, database.store().await);
    for number in 1..=20 {
        let mut report = (*numbered(number, &["a"])).clone();
        let mut batch = (*report.batch).clone();
        batch.callback = Some("https://hooks.example/imcast".into());
        report.batch = Arc::new(batch);
        let report = Arc::new(report);
        accept(&left, &report).await;
        left.finish(ended(&report)).await.unwrap();
    }
    let (mut one, two) = tokio::join!(left.due_callbacks(15), right.due_callbacks(15));
    one.as_mut().unwrap().extend(two.unwrap());
    let rest = left.due_callbacks(15).await.unwrap();
    let ids: Vec<_> = one.unwrap().into_iter().chain(rest).map(|due| due.summary.id).collect();
    assert_eq!(ids.len(), 20);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 20);
    left.close().await;
    right.close().await;
}
