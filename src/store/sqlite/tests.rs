//! The suite of all engines, and what only a file can do.

use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use sqlx::{QueryBuilder, Row as _};

use super::*;
use crate::domain::recipients::Positions;
use crate::domain::report::Status;
use crate::domain::samples::accepted;
use crate::store::durable::IdempotencyKey;
use crate::store::settings::MemorySettings;
use crate::store::stored::listing::push_filter;
use crate::store::stored::samples::{ended, heavy, numbered, providers, same};
use crate::store::suite;

/// A file of its own, and a clock.
struct File {
    directory: tempfile::TempDir,
    now: Arc<Mutex<SystemTime>>,
}

impl File {
    fn new() -> Self {
        let now = Arc::new(Mutex::new(UNIX_EPOCH + Duration::from_secs(3_601)));
        Self { directory: tempfile::tempdir().unwrap(), now }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("imcast.db")
    }

    async fn try_open(&self, memory_batches: usize) -> Result<SqliteStore, OpenError> {
        let now = Arc::clone(&self.now);
        let opening = Opening {
            path: self.path(),
            retention: Duration::from_secs(24 * 3_600),
            providers,
            now: Arc::new(move || *now.lock().unwrap()),
        };
        let memory = MemoryStore::new(MemorySettings { memory_batches, memory_bytes: 1 << 20 });
        SqliteStore::open(opening, memory).await
    }

    fn pass(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
    }
}

impl suite::Rig for File {
    type Engine = SqliteStore;

    async fn open(&self) -> SqliteStore {
        // Nothing in memory, so that the file is asked.
        self.try_open(0).await.unwrap()
    }

    async fn close(&self, engine: SqliteStore) {
        engine.close().await;
    }
}

async fn accept(store: &SqliteStore, report: &Arc<Report>) -> Result<Accepted, StoreError> {
    store.accept(NewBatch { report: Arc::clone(report), in_flight: Vec::new(), key: None }).await
}

/// One look for what is old.
async fn sweep(store: &SqliteStore, file: &File) -> bool {
    let now = *file.now.lock().unwrap();
    let ages = retention::Ages::new(now, Duration::from_secs(24 * 3_600));
    matches!(store.change(Change::Sweep(ages)).await.unwrap(), Done::Changed(true))
}

async fn count(store: &SqliteStore) -> i64 {
    let counted = "SELECT (SELECT count(*) FROM batches) + (SELECT count(*) FROM routes) \
        + (SELECT count(*) FROM chunks) + (SELECT count(*) FROM idempotency_keys) \
        + (SELECT count(*) FROM departing)";
    sqlx::query_scalar(counted).fetch_one(&store.readers).await.unwrap()
}

#[tokio::test]
async fn does_what_every_store_does() {
    suite::run(File::new).await;
}

#[tokio::test]
async fn a_second_process_is_refused_and_the_first_goes_on() {
    let file = File::new();
    let store = file.try_open(0).await.unwrap();
    let refused = file.try_open(0).await.err().unwrap();
    assert!(matches!(&refused, OpenError::InUse(_)), "{refused}");
    assert!(refused.to_string().contains("imcast.db is in use by another process"), "{refused}");
    let link = file.directory.path().join("link.db");
    std::os::unix::fs::symlink(file.path(), &link).unwrap();
    let error = open::lock(&link).err().unwrap();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    accept(&store, &numbered(1, &["a"])).await.unwrap();
    store.close().await;
    file.try_open(0).await.unwrap().close().await;
}

#[tokio::test]
async fn only_the_owner_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let file = File::new();
    let store = file.try_open(0).await.unwrap();
    accept(&store, &numbered(1, &["a"])).await.unwrap();
    for entry in std::fs::read_dir(file.directory.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
    }
    store.close().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named() {
    let file = File::new();
    std::fs::create_dir(file.path()).unwrap();
    let error = file.try_open(0).await.err().unwrap();
    assert!(error.to_string().contains("imcast.db cannot be opened for writing"), "{error}");

    let file = File::new();
    std::fs::write(file.path(), "this is no database, however long it goes on to be".repeat(20)).unwrap();
    let error = file.try_open(0).await.err().unwrap();
    assert!(error.to_string().contains("imcast.db cannot be used as a database"), "{error}");
}

#[tokio::test]
async fn a_full_disk_is_away_and_comes_back() {
    let file = File::new();
    let store = file.try_open(0).await.unwrap();
    let kept = numbered(1, &["a"]);
    accept(&store, &kept).await.unwrap();
    store.change(Change::Limit(1)).await.unwrap();
    let large = "x".repeat(1 << 20);
    let refused = numbered(2, &[&large]);
    let error = accept(&store, &refused).await.err().unwrap();
    assert!(matches!(error, StoreError::Away(_)), "{error}");
    assert!(store.find(refused.batch.id).await.unwrap().is_none(), "nothing was changed");
    assert_eq!(same(&store.find(kept.batch.id).await.unwrap().unwrap()), same(&kept));
    store.change(Change::Limit(1 << 30)).await.unwrap();
    assert_eq!(accept(&store, &refused).await.unwrap(), Accepted::Written);
    store.check().await.unwrap();
    store.close().await;
    let store = file.try_open(0).await.unwrap();
    let sound: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&store.readers).await.unwrap();
    assert_eq!(sound, "ok");
    assert_eq!(store.claim(9, Vec::new()).await.unwrap().len(), 2);
    store.close().await;
}

#[tokio::test]
async fn a_change_that_cannot_be_made_spoils_no_other() {
    let file = File::new();
    let store = file.try_open(0).await.unwrap();
    let (first, second) = (numbered(1, &["a"]), numbered(2, &["a"]));
    // A route twice: the table refuses it.
    let mut wrong = BatchRows::encode(&numbered(3, &["a"]), &[]).unwrap();
    wrong.routes.extend(BatchRows::encode(&numbered(3, &["a"]), &[]).unwrap().routes);
    let wrong = store.change(Change::Accept(Box::new(wrong), None));
    let (before, wrong, after) = tokio::join!(accept(&store, &first), wrong, accept(&store, &second));
    assert!(matches!(wrong, Err(StoreError::Away(_))), "{wrong:?}");
    assert_eq!((before.unwrap(), after.unwrap()), (Accepted::Written, Accepted::Written));
    assert!(store.find(BatchId::new(3, 7)).await.unwrap().is_none());
    assert!(store.claim(9, Vec::new()).await.unwrap().is_empty(), "nobody's batch came of it");
    store.close().await;
}

#[tokio::test]
async fn what_is_not_durable_is_written_behind_and_found_at_once() {
    let file = File::new();
    let store = file.try_open(10).await.unwrap();
    let report = ended(&numbered(1, &["a"]));
    store.record(Arc::clone(&report)).await;
    assert!(store.find(report.batch.id).await.unwrap().is_some());
    assert_eq!(store.unrecorded_count(), 0);
    store.close().await;
    let store = file.try_open(0).await.unwrap();
    assert_eq!(same(&store.find(report.batch.id).await.unwrap().unwrap()), same(&report));
    store.close().await;
}

#[tokio::test]
async fn what_is_too_much_to_write_behind_is_counted_and_still_in_memory() {
    let file = File::new();
    let store = file.try_open(10_000).await.unwrap();
    // On this one thread the writer only writes while somebody waits.
    let reports: Vec<_> = (1..=2_000).map(|number| ended(&numbered(number, &["a"]))).collect();
    suite::record_at_once(&store, reports.iter().cloned()).await;
    let dropped = store.unrecorded_count();
    assert!((900..=1_000).contains(&dropped), "{dropped}");
    assert!(store.find(reports[1_999].batch.id).await.unwrap().is_some());
    store.close().await;
    let store = file.try_open(0).await.unwrap();
    let kept = store.list(Filter { most: 9_999, ..Filter::default() }).await.unwrap().len();
    assert_eq!(kept, 2_000 - usize::try_from(dropped).unwrap());
    store.close().await;
}

#[tokio::test]
async fn what_waits_to_be_written_behind_is_bounded_by_its_bytes_too() {
    let file = File::new();
    let store = file.try_open(0).await.unwrap();
    suite::record_at_once(&store, (1..=100).map(|number| heavy(number, 1 << 20))).await;
    store.close().await;
    let store = file.try_open(0).await.unwrap();
    let kept = store.list(Filter { most: 99, ..Filter::default() }).await.unwrap().len();
    assert_eq!(kept, 31);
    store.close().await;
}

#[tokio::test]
async fn what_the_file_does_not_take_behind_is_counted() {
    let file = File::new();
    let store = file.try_open(0).await.unwrap();
    store.change(Change::Limit(1)).await.unwrap();
    store.record(ended(&numbered(1, &[&"x".repeat(1 << 20)]))).await;
    store.close().await;
    assert_eq!(store.unrecorded_count(), 1);
    store.record(ended(&numbered(2, &["a"]))).await;
    assert_eq!(store.unrecorded_count(), 2);
}

#[tokio::test]
async fn a_link_outlives_the_process_also_if_its_parent_was_still_to_be_written() {
    let file = File::new();
    let store = file.try_open(10).await.unwrap();
    let parent = ended(&numbered(1, &["a"]));
    let (root, child) = (parent.batch.id, BatchId::new(2, 7));
    // As if its record were still behind.
    store.memory.record(Arc::clone(&parent)).await;
    let linked = store.link(Link { root, parent: root, child, known_links: 0 }).await.unwrap();
    assert_eq!(linked, Linked::Noted);
    store.close().await;
    let store = file.try_open(0).await.unwrap();
    assert_eq!(store.find(root).await.unwrap().unwrap().resends, [child]);
    store.close().await;
}

#[tokio::test]
async fn what_is_old_goes_in_steps_and_what_runs_stays() {
    let file = File::new();
    let store = file.try_open(0).await.unwrap();
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
    accept(&store, &running).await.unwrap();
    store.finish(ended(&old)).await.unwrap();
    file.pass(Duration::from_secs(23 * 3_600));
    assert!(!sweep(&store, &file).await);
    assert!(store.find(old.batch.id).await.unwrap().is_some());
    file.pass(Duration::from_secs(2 * 3_600));
    let mut steps = 1;
    while sweep(&store, &file).await {
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
async fn a_batch_is_kept_as_long_as_its_key() {
    let file = File::new();
    let store = file.try_open(0).await.unwrap();
    let key = IdempotencyKey { caller: "".into(), key: "key".into(), fingerprint: [0; 32] };
    let (keyed, other) = (numbered(1, &["a"]), numbered(2, &["a"]));
    let new = NewBatch { report: Arc::clone(&keyed), in_flight: Vec::new(), key: Some(key) };
    store.accept(new).await.unwrap();
    accept(&store, &other).await.unwrap();
    for report in [&keyed, &other] {
        store.finish(ended(report)).await.unwrap();
    }
    file.pass(Duration::from_secs(12 * 3_600));
    let now = *file.now.lock().unwrap();
    let ages = retention::Ages::new(now, Duration::from_secs(3_600));
    store.change(Change::Sweep(ages)).await.unwrap();
    assert!(store.find(keyed.batch.id).await.unwrap().is_some());
    assert!(store.find(other.batch.id).await.unwrap().is_none());
    store.close().await;
}

#[tokio::test]
async fn the_store_looks_for_what_is_old_by_itself() {
    let file = File::new();
    let store = file.try_open(0).await.unwrap();
    let old = ended(&numbered(1, &["a"]));
    store.record(Arc::clone(&old)).await;
    store.close().await;
    file.pass(Duration::from_secs(48 * 3_600));
    let store = file.try_open(0).await.unwrap();
    let gone = async {
        while store.find(old.batch.id).await.unwrap().is_some() {
            store.check().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn a_file_of_an_earlier_version_is_brought_to_this_one() {
    let file = File::new();
    let store = file.try_open(0).await.unwrap();
    let report = numbered(1, &["a", "b"]);
    accept(&store, &report).await.unwrap();
    let first = accepted(Positions::Range(0..1));
    store.settle(report.batch.id, 0, first, Remarks::default()).await.unwrap();
    let left = store.find(report.batch.id).await.unwrap().unwrap();
    store.close().await;
    let mut connection = {
        use sqlx::ConnectOptions as _;
        sqlx::sqlite::SqliteConnectOptions::new().filename(file.path()).connect().await.unwrap()
    };
    let earlier = "ALTER TABLE chunks DROP COLUMN remarks; \
        DROP INDEX batches_caller; DROP INDEX batches_caller_open; DROP INDEX batches_stopped; \
        DROP INDEX batches_caller_stopped; DROP INDEX routes_channel; \
        DELETE FROM _sqlx_migrations WHERE version > 1";
    sqlx::raw_sql(earlier).execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    let store = file.try_open(0).await.unwrap();
    assert_eq!(same(&store.claim(9, Vec::new()).await.unwrap()[0].report), same(&left));
    store.close().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_said_and_does_not_hold_up_the_rest() {
    let file = File::new();
    let store = file.try_open(0).await.unwrap();
    for number in [1, 2] {
        accept(&store, &numbered(number, &["a"])).await.unwrap();
    }
    store.close().await;
    let mut connection = {
        use sqlx::ConnectOptions as _;
        sqlx::sqlite::SqliteConnectOptions::new().filename(file.path()).connect().await.unwrap()
    };
    let damage = "UPDATE routes SET recipients = x'0207' WHERE batch = (SELECT min(id) FROM batches)";
    sqlx::query(damage).execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    let store = file.try_open(0).await.unwrap();
    let error = store.find(BatchId::new(1, 7)).await.err().unwrap();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    let claimed = store.claim(9, Vec::new()).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].report.batch.id, BatchId::new(2, 7));
    store.close().await;
}

#[tokio::test]
async fn no_list_looks_at_rows_that_an_index_could_have_passed_over() {
    let file = File::new();
    let store = file.try_open(0).await.unwrap();
    for first_page in suite::filters() {
        let next_page = Filter { before: Some(BatchId::new(7, 7)), ..first_page.clone() };
        for filter in [first_page, next_page] {
            let mut plan = QueryBuilder::new("EXPLAIN QUERY PLAN SELECT id");
            push_filter(&mut plan, &filter);
            let steps = plan.build().fetch_all(&store.readers).await.unwrap();
            let steps: Vec<String> = steps.iter().map(|step| step.get("detail")).collect();
            let start = match &filter {
                Filter { caller: None, status: Some(Status::Processing), .. } => "USING INDEX batches_open",
                Filter { caller: None, status: Some(Status::Canceled), .. } => "USING INDEX batches_stopped",
                Filter { caller: None, channel: Some(_), .. } => "USING INDEX routes_channel (channel=?",
                // Nearly every row is a line of the page.
                Filter { caller: None, before: None, .. } => "SCAN batches",
                Filter { caller: None, .. } => "USING PRIMARY KEY (id<?)",
                Filter { status: Some(Status::Processing), .. } => "batches_caller_open (caller=?",
                Filter { status: Some(Status::Canceled), .. } => "batches_caller_stopped (caller=?",
                Filter { .. } => "batches_caller (caller=?",
            };
            assert!(steps[0].contains(start), "{filter:?}: {steps:?}");
            assert_eq!(filter.before.is_some(), steps[0].contains("<?"), "{filter:?}: {steps:?}");
            assert!(steps[1..].iter().all(|step| !step.starts_with("SCAN")), "{filter:?}: {steps:?}");
            assert!(!steps.iter().any(|step| step.contains("B-TREE")), "{filter:?}: {steps:?}");
        }
    }
    store.close().await;
}

#[tokio::test]
async fn no_probe_no_key_and_no_report_waits_for_lists() {
    let file = File::new();
    let store = file.try_open(0).await.unwrap();
    let report = numbered(1, &["a"]);
    accept(&store, &report).await.unwrap();
    let mut lists = Vec::new();
    for _ in 0..store.lists.options().get_max_connections() {
        lists.push(store.lists.acquire().await.unwrap());
    }
    let others = async {
        store.check().await.unwrap();
        assert_eq!(store.find_key("".into(), "key".into()).await.unwrap(), None);
        assert!(store.find(report.batch.id).await.unwrap().is_some());
    };
    let mut list = store.list(Filter { most: 9, ..Filter::default() });
    tokio::select! {
        biased;
        lines = &mut list => panic!("it did not wait for its turn: {lines:?}"),
        () = others => drop(lists),
    }
    assert_eq!(list.await.unwrap().len(), 1);
    store.close().await;
}
