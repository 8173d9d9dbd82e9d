//! What a list costs, and who waits for it.

use sqlx::{Connection as _, QueryBuilder, Row as _, query, raw_sql};
use tokio::task::{JoinSet, yield_now};

use super::*;
use crate::store::stored::listing::push_filter;

/// Many batches, a few of which run, were canceled, are of one caller, or went through one channel.
const MANY: &str = "INSERT INTO batches \
      (id, caller, created_at, expires_at, completed_at, canceled, is_canceled, on_invalid, retry_unknown, warnings, \
       total, accepted, failed, unknown) \
    SELECT 'bat_' || lpad(i::text, 26, '0'), CASE WHEN i % 4000 = 1 THEN 'shop' ELSE 'other' END, i, i, \
      CASE WHEN i % 4000 = 2 THEN NULL ELSE i END, i % 4000 = 3, false, 'skip', 'never', '', 1, 1, 0, 0 \
      FROM generate_series(1, 20000) AS i; \
    INSERT INTO routes (batch, route_index, channel, provider, is_sandbox, route, recipients, calls, retries, \
       throttled, request_ids) \
    SELECT id, 0, CASE WHEN created_at % 4000 = 4 THEN 'rare' ELSE 'main' END, 'fake', false, '', '', 0, 0, 0, '' \
      FROM batches; \
    ANALYZE batches, routes";

#[tokio::test]
async fn no_list_looks_at_rows_that_an_index_could_have_passed_over() {
    let database = Database::new();
    let store = database.store().await;
    let mut connection = database.connection().await;
    raw_sql(MANY).execute(&mut connection).await.unwrap();
    for first_page in suite::filters() {
        let next_page = Filter { before: Some(BatchId::new(7, 7)), ..first_page.clone() };
        for filter in [first_page, next_page] {
            let mut plan = QueryBuilder::new("EXPLAIN SELECT id");
            push_filter(&mut plan, &filter);
            let steps = plan.build().fetch_all(&mut connection).await.unwrap();
            let steps: Vec<String> = steps.iter().map(|step| step.get(0)).collect();
            // What the whole page costs, where 8 is a look into an index; all 20,000 rows would be over 1,000.
            let cost = steps[0].split("..").nth(1).and_then(|cost| cost.split(' ').next());
            let cost: f64 = cost.unwrap().parse().unwrap();
            assert!(cost < 100.0, "{filter:?}: {steps:#?}");
            assert!(!steps.iter().any(|step| step.contains("Seq Scan")), "{filter:?}: {steps:#?}");
        }
    }
    store.close().await;
}

#[tokio::test]
async fn no_probe_and_no_key_waits_for_lists() {
    let database = Database::new();
    let store = Arc::new(database.store().await);
    let mut connection = database.connection().await;
    let mut waited_for = connection.begin().await.unwrap();
    query("LOCK TABLE batches").execute(&mut *waited_for).await.unwrap();
    // More than there are connections, and each waits for the table.
    let mut lists = JoinSet::new();
    for _ in 0..20 {
        let store = Arc::clone(&store);
        lists.spawn(async move { store.list(Filter { most: 9, ..Filter::default() }).await });
    }
    // On this one thread each of them has asked for its connection then.
    yield_now().await;
    store.check().await.unwrap();
    assert_eq!(store.find_key("".into(), "key".into()).await.unwrap(), None);
    waited_for.commit().await.unwrap();
    for lines in lists.join_all().await {
        assert_eq!(lines.unwrap(), []);
    }
    store.close().await;
}
