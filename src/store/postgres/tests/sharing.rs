//! Budgets and tokens that replicas share.

use proptest::test_runner::{Config, TestRunner};
use sqlx::{query, query_scalar};

use super::*;
use crate::domain::report::BudgetKind;
use crate::store::shared::{Ask, NewToken, Portion, Shared as _, SharedToken, Turn};

const HORIZON: Duration = Duration::from_millis(200);

/// 100 calls a second with savings of 5.
fn ask(most: u32) -> Ask {
    Ask { kind: BudgetKind::Calls, rate: 100.0, burst: 5.0, cost: 1.0, most, horizon: HORIZON }
}

/// When each call of a portion may start, after `asked_at`, in seconds: what `dispatch::pace::Budget` says of a bucket
/// that lacks so much.
fn starts(portion: Portion, ask: Ask) -> Vec<f64> {
    let usable = (ask.burst - ask.cost.min(ask.burst)) / ask.rate;
    let debt = portion.debt.as_secs_f64();
    (0..portion.calls).map(|call| (debt + f64::from(call) * ask.cost / ask.rate - usable).max(0.0)).collect()
}

/// The same arithmetic as in the database, one call after the other.
fn portion(full_at: f64, now: f64, ask: Ask) -> u32 {
    let usable = (ask.burst - ask.cost.min(ask.burst)) / ask.rate;
    let mut debt = (full_at - now).max(0.0);
    let mut calls = 0;
    while calls < ask.most && debt - usable <= ask.horizon.as_secs_f64() {
        calls += 1;
        debt += ask.cost / ask.rate;
    }
    calls
}

#[tokio::test]
async fn a_portion_is_what_the_pacer_would_give_call_by_call() {
    // Halves and quarters, so that both sides compute without rounding.
    let step = || (0_u32..400, 0_u32..400, 0_u32..6, 1_u32..40, 1_u32..20, 1_u32..50);
    let cases = std::cell::RefCell::new(Vec::new());
    TestRunner::new(Config { cases: 20_000, failure_persistence: None, ..Config::default() })
        .run(&step(), |case| {
            cases.borrow_mut().push(case);
            Ok(())
        })
        .unwrap();
    let cases = cases.into_inner();
    let ask_of = |(_, _, rate, burst, cost, most): (u32, u32, u32, u32, u32, u32)| Ask {
        kind: BudgetKind::Messages,
        rate: f64::from(1_u32 << rate),
        burst: f64::from(burst) / 4.0,
        cost: f64::from(cost) / 4.0,
        most,
        horizon: Duration::from_millis(250),
    };
    let column =
        |value: &dyn Fn(Ask) -> f64| cases.iter().map(|case| value(ask_of(*case))).collect::<Vec<_>>();
    let database = Database::new();
    let store = database.store().await;
    let all = "SELECT budget_portion(full_at, now, rate, burst, cost, most, 0.25) FROM \
        unnest($1::float8[], $2::float8[], $3::float8[], $4::float8[], $5::float8[], $6::float8[]) \
        WITH ORDINALITY AS c (full_at, now, rate, burst, cost, most, n) ORDER BY n";
    let all = query_scalar(all)
        .bind(cases.iter().map(|case| f64::from(case.0) / 64.0).collect::<Vec<_>>())
        .bind(cases.iter().map(|case| f64::from(case.1) / 64.0).collect::<Vec<_>>())
        .bind(column(&|ask| ask.rate))
        .bind(column(&|ask| ask.burst))
        .bind(column(&|ask| ask.cost))
        .bind(column(&|ask| f64::from(ask.most)));
    let all: Vec<f64> = all.fetch_all(&store.pool).await.unwrap();
    for (case, calls) in cases.iter().zip(all) {
        let expected = portion(f64::from(case.0) / 64.0, f64::from(case.1) / 64.0, ask_of(*case));
        assert!((calls - f64::from(expected)).abs() < 0.1, "{case:?}: {calls}, not {expected}");
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replicas_together_stay_within_the_budget() {
    let database = Database::new();
    let mut asking = tokio::task::JoinSet::new();
    let began = Instant::now();
    for _ in 0..3 {
        let store = database.store().await;
        asking.spawn(async move {
            let mut calls = 0;
            for _ in 0..40 {
                let portion = store.take_portion("account".into(), ask(7)).await.unwrap();
                let times = starts(portion, ask(7));
                assert!(times.iter().all(|time| *time <= HORIZON.as_secs_f64() + 0.001), "{times:?}");
                calls += portion.calls;
            }
            store.close().await;
            calls
        });
    }
    let calls: u32 = asking.join_all().await.into_iter().sum();
    let most = 100.0 * (began.elapsed() + HORIZON).as_secs_f64() + 5.0;
    assert!(f64::from(calls) <= most + 1.0, "{calls} of {most}");
    assert!(calls >= 24, "at least what the horizon and the savings hold: {calls}");
}

#[tokio::test]
async fn a_refusal_holds_everybody() {
    let database = Database::new();
    let (left, right) = (database.store().await, database.store().await);
    assert_eq!(left.take_portion("account".into(), ask(1)).await.unwrap().calls, 1);
    left.hold_budget("account".into(), BudgetKind::Calls, Duration::from_secs(7)).await.unwrap();
    let held = right.take_portion("account".into(), ask(9)).await.unwrap();
    assert_eq!(held.calls, 0);
    assert!(held.debt > Duration::from_secs(5), "{held:?}");
    let other = right.take_portion("another".into(), ask(9)).await.unwrap();
    assert_eq!((other.calls, other.debt), (9, Duration::ZERO));
    left.close().await;
    right.close().await;
}

async fn turn(store: &PostgresStore, known_version: i64) -> Turn {
    store.next_token("account".into(), known_version, Duration::from_secs(30)).await.unwrap()
}

#[tokio::test]
async fn one_replica_fetches_a_token_and_all_get_it() {
    let database = Database::new();
    let mut stores = Vec::new();
    for _ in 0..3 {
        stores.push(database.store().await);
    }
    let turns = tokio::join!(turn(&stores[0], 0), turn(&stores[1], 0), turn(&stores[2], 0));
    let mut turns = [turns.0, turns.1, turns.2];
    turns.sort_by_key(|turn| *turn != Turn::Fetch);
    assert_eq!(turns, [Turn::Fetch, Turn::Wait, Turn::Wait]);
    let token = |lifetime| NewToken { sealed: b"sealed".to_vec(), lifetime };
    let hour = Duration::from_secs(3_600);
    assert_eq!(stores[0].keep_token("account".into(), token(Some(hour))).await.unwrap(), 1);
    let Turn::Token(SharedToken { version, sealed, age, rest }) = turn(&stores[1], 0).await else {
        panic!("no token")
    };
    assert_eq!((version, &sealed[..]), (1, &b"sealed"[..]));
    assert!(age < hour && rest.unwrap() <= hour);
    // It was refused: one of them fetches the next one, and a failure is everybody's.
    assert_eq!(turn(&stores[1], 1).await, Turn::Fetch);
    assert_eq!(turn(&stores[2], 1).await, Turn::Wait);
    stores[1].fail_token("account".into(), Duration::ZERO).await.unwrap();
    assert_eq!(turn(&stores[2], 1).await, Turn::Fetch);
    stores[2].fail_token("account".into(), hour).await.unwrap();
    assert_eq!(turn(&stores[0], 1).await, Turn::Wait);
    assert_eq!(stores[2].keep_token("account".into(), token(None)).await.unwrap(), 2);
    let next = turn(&stores[0], 1).await;
    assert!(matches!(next, Turn::Token(SharedToken { version: 2, rest: None, .. })), "{next:?}");
    // Its time is over.
    query("UPDATE tokens SET expires_at = clock_timestamp()").execute(&stores[0].pool).await.unwrap();
    assert_eq!(turn(&stores[0], 1).await, Turn::Fetch);
    for store in stores {
        store.close().await;
    }
}
