//! One token per channel: fetched once, renewed ahead, dropped only by the call that used it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::adapter::Auth;
use crate::dispatch::running::Running;
use crate::dispatch::start::{Started, Terms};
use crate::dispatch::tests::rig::{Grant, Rig, Script, Setup, at_once, body, words};
use crate::store::model::ModelStore;
use crate::transport::TransportError;

fn rig(lifetime: u64, script: Script) -> Rig {
    let auth = Auth::Token(Box::new(Grant::new(Duration::from_secs(lifetime))));
    Rig::new(Setup { max_in_flight: 2000, auth, ..Setup::default() }, script)
}

fn grants(rig: &Rig) -> usize {
    rig.sent().iter().filter(|sent| *sent == "grant").count()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_sends_without_a_token_fetch_one() {
    let rig = rig(3600, at_once(|_, sent| body(if sent == "grant" { "t1" } else { "ok" })));
    let mut running = JoinSet::new();
    for _ in 0..1000 {
        let batch = rig.start(rig.batch(&["a"]));
        running.spawn(async move { batch.finished(Duration::from_secs(60)).await });
    }
    assert!(running.join_all().await.into_iter().all(|is_over| is_over));
    assert_eq!((grants(&rig), rig.sent().len()), (1, 1001));
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_waiting_for_a_token_leaves_it_to_the_others() {
    let script: Script = Arc::new(|_, request| {
        let is_grant = request.body == "grant";
        Box::pin(async move {
            if is_grant {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            body(if is_grant { "t" } else { "ok" })
        })
    });
    let rig = rig(3600, script);
    let first = rig.start(rig.batch(&["a"]));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let second = rig.start(rig.batch(&["b"]));
    first.cancel();
    assert!(second.finished(Duration::from_secs(60)).await);
    assert_eq!(words(&first.report()), ["failed:canceled:0"]);
    assert_eq!(rig.sent(), ["grant", "t:b"]);
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_costs_one_fetch_and_one_repeat() {
    let rig = rig(
        3600,
        at_once(|number, sent| {
            body(if sent == "grant" {
                if number == 0 { "old" } else { "new" }
            } else if number == 1 {
                "expired"
            } else {
                "ok"
            })
        }),
    );
    assert_eq!(words(&rig.send(rig.batch(&["a"])).await), ["accepted:2"]);
    assert_eq!(rig.sent(), ["grant", "old:a", "grant", "new:a"]);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_twice_fails_the_route() {
    let rig = rig(3600, at_once(|_, sent| body(if sent == "grant" { "t" } else { "expired" })));
    assert_eq!(words(&rig.send(rig.batch(&["a"])).await), ["failed:authentication:2"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_request_sends_nothing_and_is_not_repeated_at_once() {
    let rig = rig(3600, at_once(|_, _| body("denied")));
    assert_eq!(words(&rig.send(rig.batch(&["a", "b", "c"])).await), ["failed:authentication:0"; 3]);
    assert_eq!(words(&rig.send(rig.batch(&["d"])).await), ["failed:authentication:0"]);
    assert_eq!(rig.sent(), ["grant"]);
    tokio::time::advance(Duration::from_secs(11)).await;
    rig.send(rig.batch(&["e"])).await;
    assert_eq!(rig.sent(), ["grant", "grant"]);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_ahead_and_used_to_its_end_when_that_fails() {
    let rig = rig(
        1000,
        at_once(|number, sent| match (number, sent) {
            (0, _) => body("t1"),
            (_, "grant") => Err(TransportError::Timeout),
            _ => body("ok"),
        }),
    );
    rig.send(rig.batch(&["a"])).await;
    assert_eq!(grants(&rig), 1);
    tokio::time::advance(Duration::from_secs(950)).await;
    rig.send(rig.batch(&["b"])).await;
    while grants(&rig) < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(words(&rig.send(rig.batch(&["c"])).await), ["accepted:1"]);
    assert_eq!(rig.sent().last().map(String::as_str), Some("t1:c"));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(words(&rig.send(rig.batch(&["d"])).await), ["failed:provider_unavailable:0"]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_refuses_every_token_sees_no_storm_of_requests_for_one() {
    let rig = rig(3600, at_once(|_, sent| body(if sent == "grant" { "t" } else { "expired" })));
    let mut reports = Vec::new();
    for _ in 0..20 {
        reports.push(words(&rig.send(rig.batch(&["a"])).await));
    }
    // The first token, and one in place of it; afterwards the refusal stands at once.
    assert_eq!(grants(&rig), 2);
    assert_eq!(reports[0], ["failed:authentication:2"]);
    assert_eq!(reports[19], ["failed:authentication:1"]);
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(words(&rig.send(rig.batch(&["a"])).await), ["failed:authentication:2"]);
    assert_eq!(grants(&rig), 3);
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_beyond_all_time_does_not_end() {
    for lifetime in [i64::MAX.unsigned_abs(), u64::MAX] {
        let rig = rig(lifetime, at_once(|_, sent| body(if sent == "grant" { "t" } else { "ok" })));
        for id in ["a", "b"] {
            assert_eq!(words(&rig.send(rig.batch(&[id])).await), ["accepted:1"], "{lifetime}");
        }
        assert_eq!(grants(&rig), 1);
    }
}

/// One call at a time, on a store that survives the process; whether its provider grants tokens.
fn durable_rig(token_failure: fn() -> Result<&'static str, TransportError>) -> (Rig, Arc<AtomicBool>) {
    let grants = Arc::new(AtomicBool::new(false));
    let is_granting = Arc::clone(&grants);
    let script = at_once(move |_, sent| match sent {
        "grant" if is_granting.load(Ordering::SeqCst) => body("t"),
        "grant" => token_failure().map(|text| body(text).unwrap()),
        _ => body("ok"),
    });
    let auth = Auth::Token(Box::new(Grant::new(Duration::from_secs(3600))));
    let store = Arc::new(ModelStore::default());
    let setup = Setup { recipients_per_call: 1, max_in_flight: 1, auth, store, ..Setup::default() };
    (Rig::new(setup, script), grants)
}

async fn start_durable(rig: &Rig, to: &[&str]) -> Running {
    let plan = rig.dispatcher.plan(rig.batch(to)).ok().unwrap();
    let terms = Terms { patience: Duration::MAX, is_durable: true, key: None };
    match rig.dispatcher.begin(plan, terms).await {
        Ok(Started::New(running)) => running,
        Ok(Started::Known(_)) | Err(_) => panic!("not started"),
    }
}

#[tokio::test(start_paused = true)]
async fn durable_batches_wait_for_a_token_endpoint_that_is_down_and_others_are_told_at_once() {
    let (rig, is_granting) = durable_rig(|| Err(TransportError::Timeout));
    let batches = [start_durable(&rig, &["a", "b", "c"]).await, start_durable(&rig, &["d"]).await];
    assert!(!batches[0].finished(Duration::from_secs(3)).await);
    // Those that wait keep no turn from it.
    let report = rig.send(rig.batch(&["e", "f"])).await;
    assert_eq!(words(&report), ["failed:provider_unavailable:0"; 2]);
    assert!(!batches[0].finished(Duration::from_secs(61)).await);
    assert!((5..=8).contains(&grants(&rig)), "{} requests for a token in 64 s", grants(&rig));
    assert_eq!(grants(&rig), rig.sent().len());
    is_granting.store(true, Ordering::SeqCst);
    for batch in batches {
        assert!(batch.finished(Duration::from_secs(11)).await);
        assert!(words(&batch.report()).iter().all(|word| word == "accepted:1"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_durable_batch_without_a_token_can_be_canceled_and_left() {
    let (rig, _) = durable_rig(|| Err(TransportError::Timeout));
    let [canceled, left] = [start_durable(&rig, &["a", "b"]).await, start_durable(&rig, &["c"]).await];
    assert!(!canceled.finished(Duration::from_secs(20)).await);
    rig.dispatcher.cancel(canceled.id()).await.unwrap();
    assert!(canceled.finished(Duration::from_secs(1)).await);
    assert_eq!(words(&canceled.report()), ["failed:canceled:0"; 2]);
    assert!(rig.dispatcher.drain(Duration::from_secs(1)).await);
    assert_eq!(words(&left.report()), ["pending"]);
}

#[tokio::test(start_paused = true)]
async fn a_durable_batch_without_a_token_ends_with_its_time() {
    let (rig, _) = durable_rig(|| Err(TransportError::Timeout));
    let batch = start_durable(&rig, &["a"]).await;
    assert!(batch.finished(Duration::from_secs(3601)).await);
    assert_eq!(words(&batch.report()), ["failed:expired:0"]);
}

#[tokio::test(start_paused = true)]
async fn a_durable_batch_whose_credential_is_refused_fails_at_once() {
    let (rig, _) = durable_rig(|| Ok("denied"));
    let batch = start_durable(&rig, &["a", "b"]).await;
    assert!(batch.finished(Duration::from_secs(1)).await);
    assert_eq!(words(&batch.report()), ["failed:authentication:0"; 2]);
    assert_eq!(rig.sent(), ["grant"]);
}

#[tokio::test(start_paused = true)]
async fn a_durable_call_whose_token_is_refused_while_there_is_no_other_waits_for_one() {
    let auth = Auth::Token(Box::new(Grant::new(Duration::from_secs(3600))));
    let script = at_once(|number, sent| match (number, sent) {
        (0, _) => body("t1"),
        (1, _) => body("expired"),
        (2..=4, "grant") => Err(TransportError::ConnectionReset),
        (_, "grant") => body("t2"),
        _ => body("ok"),
    });
    let setup = Setup { auth, store: Arc::new(ModelStore::default()), ..Setup::default() };
    let rig = Rig::new(setup, script);
    let batch = start_durable(&rig, &["a"]).await;
    assert!(batch.finished(Duration::from_secs(60)).await);
    assert_eq!(words(&batch.report()), ["accepted:2"]);
    assert_eq!(rig.sent(), ["grant", "t1:a", "grant", "grant", "grant", "grant", "t2:a"]);
}
