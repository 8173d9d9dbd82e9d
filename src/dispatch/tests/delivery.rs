//! What is sent, what is sent again, and what is said about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::dispatch::tests::rig::{Rig, Setup, at_once, body, words};
use crate::domain::batch::{OnInvalid, RetryUnknown};
use crate::transport::TransportError;

fn refused_connection() -> TransportError {
    TransportError::Connect(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into())
}

#[tokio::test(start_paused = true)]
async fn cuts_in_order_and_reports_everybody_at_their_own_place() {
    let rig = Rig::new(Setup { max_in_flight: 1, ..Setup::default() }, at_once(|_, _| body("ok")));
    let report = rig.send(rig.batch(&["a", "b", "!x", "a", "", "c"])).await;
    assert_eq!(rig.sent(), ["a,b", "c"]);
    let expected = [
        "accepted:1",
        "accepted:1",
        "failed:invalid_recipient:0",
        "failed:duplicate_recipient:0",
        "failed:invalid_recipient:0",
        "accepted:1",
    ];
    assert_eq!(words(&report), expected);
    let counts = report.counts();
    assert_eq!((counts.total, counts.accepted, counts.failed, counts.pending), (6, 3, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_wants_all_or_nothing_is_refused_with_every_bad_recipient() {
    let rig = Rig::new(Setup::default(), at_once(|_, _| body("ok")));
    let mut batch = rig.batch(&["a", "!x", "a", "!y"]);
    batch.on_invalid = OnInvalid::Reject;
    let faults = rig.dispatcher.plan(batch).err().unwrap();
    let pointers: Vec<_> = faults.iter().map(|found| found.fault.pointer.as_str()).collect();
    assert_eq!(pointers, ["/to/1", "/to/3"]);
    assert_eq!(rig.sent(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn never_has_more_calls_out_than_allowed() {
    let out = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (counted, peak) = (Arc::clone(&out), Arc::clone(&most));
    let script = Arc::new(move |_, _| {
        let (counted, peak) = (Arc::clone(&counted), Arc::clone(&peak));
        let answer: crate::dispatch::tests::rig::ScriptFuture = Box::pin(async move {
            peak.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(100)).await;
            counted.fetch_sub(1, Ordering::SeqCst);
            body("ok")
        });
        answer
    });
    let rig = Rig::new(Setup { recipients_per_call: 1, max_in_flight: 3, ..Setup::default() }, script);
    let ids: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let report = rig.send(rig.batch(&ids)).await;
    assert_eq!((report.counts().accepted, most.load(Ordering::SeqCst)), (20, 3));
}

#[tokio::test(start_paused = true)]
async fn what_was_never_written_goes_again_and_is_counted() {
    let script = at_once(|number, _| if number < 2 { Err(refused_connection()) } else { body("ok") });
    let rig = Rig::new(Setup::default(), script);
    let report = rig.send(rig.batch(&["a"])).await;
    assert_eq!(words(&report), ["accepted:3"]);
    let route = report.routes.first().unwrap();
    assert_eq!((route.calls, route.retries), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_unknown_and_goes_again_only_if_the_caller_says_so() {
    for (failure, code) in [
        (TransportError::Timeout, "provider_unavailable"),
        (TransportError::ConnectionReset, "provider_unavailable"),
        (TransportError::Unreadable { status: 200 }, "provider_error"),
    ] {
        let failure = Arc::new(failure);
        let script = at_once(move |number, _| match (number, &*failure) {
            (0, TransportError::Timeout) => Err(TransportError::Timeout),
            (0, TransportError::ConnectionReset) => Err(TransportError::ConnectionReset),
            (0, _) => Err(TransportError::Unreadable { status: 200 }),
            _ => body("ok"),
        });
        let rig = Rig::new(Setup::default(), script);
        let report = rig.send(rig.batch(&["a"])).await;
        assert_eq!((words(&report), rig.sent().len()), (vec![format!("unknown:{code}:1")], 1));
    }
    let script = at_once(|number, _| if number == 0 { Err(TransportError::Timeout) } else { body("ok") });
    let rig = Rig::new(Setup::default(), script);
    let mut batch = rig.batch(&["a"]);
    batch.retry_unknown = RetryUnknown::Allowed;
    assert_eq!(words(&rig.send(batch).await), ["accepted:2"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_credential_spares_the_calls_that_have_not_started() {
    let setup = Setup { recipients_per_call: 1, max_in_flight: 1, ..Setup::default() };
    let rig = Rig::new(setup, at_once(|_, _| body("forbidden")));
    let report = rig.send(rig.batch(&["a", "b", "c"])).await;
    assert_eq!(words(&report), ["failed:permission:1", "failed:permission:0", "failed:permission:0"]);
    assert_eq!(rig.sent(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_call_waits_and_is_not_lost() {
    let script = at_once(|number, _| body(if number == 0 { "throttled" } else { "ok" }));
    let rig = Rig::new(Setup { calls_per_second: Some(100.0), ..Setup::default() }, script);
    let before = tokio::time::Instant::now();
    assert_eq!(words(&rig.send(rig.batch(&["a"])).await), ["accepted:2"]);
    assert!(before.elapsed() >= Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn budgets_make_work_wait_and_say_so() {
    let setup = Setup { recipients_per_call: 1, calls_per_second: Some(10.0), ..Setup::default() };
    let rig = Rig::new(setup, at_once(|_, _| body("ok")));
    let ids: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let plan = rig.dispatcher.plan(rig.batch(&ids)).ok().unwrap();
    let eta = plan.eta().unwrap();
    assert!((4..=6).contains(&eta.remaining.as_secs()), "{eta:?}");
    let report = rig.send(rig.batch(&ids)).await;
    assert_eq!(report.counts().accepted, 50);
    assert!(report.routes.first().unwrap().throttled > Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn no_attempt_starts_after_the_batchs_time() {
    let rig = Rig::new(Setup::default(), at_once(|_, _| body("ok")));
    let mut batch = rig.batch(&["a"]);
    batch.expires_at = batch.created_at;
    assert_eq!(words(&rig.send(batch).await), ["failed:expired:0"]);
    assert_eq!(rig.sent(), [""; 0]);

    let setup = Setup { recipients_per_call: 1, calls_per_second: Some(1.0), ..Setup::default() };
    let rig = Rig::new(setup, at_once(|_, _| body("ok")));
    let mut batch = rig.batch(&["a", "b", "c", "d"]);
    batch.expires_at = batch.created_at + Duration::from_millis(1500);
    let report = rig.send(batch).await;
    assert_eq!(words(&report), ["accepted:1", "accepted:1", "failed:expired:0", "failed:expired:0"]);
}

#[tokio::test(start_paused = true)]
async fn our_own_fault_settles_its_own_call_only() {
    for word in ["panic", "short"] {
        let script = at_once(move |_, ids| body(if ids == "a" { word } else { "ok" }));
        let rig = Rig::new(Setup { recipients_per_call: 1, ..Setup::default() }, script);
        assert_eq!(words(&rig.send(rig.batch(&["a", "b"])).await), ["unknown:internal:1", "accepted:1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_batch_is_not_stuck_behind_a_large_one() {
    let script = Arc::new(|_, _| {
        let answer: crate::dispatch::tests::rig::ScriptFuture = Box::pin(async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            body("ok")
        });
        answer
    });
    let rig = Rig::new(Setup { recipients_per_call: 1, max_in_flight: 1, ..Setup::default() }, script);
    let ids: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let large = rig.start(rig.batch(&ids));
    assert!(!large.finished(Duration::from_millis(250)).await);
    let small = rig.start(rig.batch(&["z"]));
    assert!(small.finished(Duration::from_millis(350)).await);
    assert!(!large.finished(Duration::ZERO).await);
}

#[tokio::test(start_paused = true)]
async fn send_to_all_reports_whom_the_answer_names() {
    let rig = Rig::new(Setup::default(), at_once(|_, _| body("listed")));
    let report = rig.send(rig.batch(&[])).await;
    assert_eq!(words(&report), ["accepted:1", "accepted:1"]);
    let ids: Vec<_> = report.routes.first().unwrap().recipients.iter().map(str::to_owned).collect();
    assert_eq!((ids, rig.sent()), (vec!["x".to_owned(), "y".to_owned()], vec![String::new()]));

    let rig = Rig::new(Setup::default(), at_once(|_, _| Err(TransportError::Timeout)));
    let report = rig.send(rig.batch(&[])).await;
    assert_eq!(words(&report), ["unknown:provider_unavailable:1"]);
    assert_eq!(report.routes.first().unwrap().recipients.id(0), "*");
}

#[tokio::test(start_paused = true)]
async fn draining_lets_calls_finish_and_starts_no_more() {
    let script = Arc::new(|_, _| {
        let answer: crate::dispatch::tests::rig::ScriptFuture = Box::pin(async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            body("ok")
        });
        answer
    });
    let rig = Rig::new(Setup { recipients_per_call: 1, max_in_flight: 1, ..Setup::default() }, script);
    let running = rig.start(rig.batch(&["a", "b"]));
    assert!(!running.finished(Duration::from_secs(1)).await);
    assert!(rig.dispatcher.drain(Duration::from_secs(30)).await);
    assert!(rig.dispatcher.is_draining());
    assert_eq!(words(&running.report()), ["accepted:1", "failed:shutdown:0"]);
    assert_eq!(rig.dispatcher.running_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_finished_batch_is_found_and_a_running_one_is_shown_live() {
    let script = Arc::new(|number, _| {
        let answer: crate::dispatch::tests::rig::ScriptFuture = Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(u64::try_from(number).unwrap())).await;
            body("ok")
        });
        answer
    });
    let rig = Rig::new(Setup { recipients_per_call: 1, max_in_flight: 1, ..Setup::default() }, script);
    let batch = rig.batch(&["a", "b", "c"]);
    let id = batch.id;
    let running = rig.start(batch);
    assert!(!running.finished(Duration::from_millis(1500)).await);
    let live = rig.dispatcher.report(id).await.unwrap().unwrap();
    assert_eq!(words(&live), ["accepted:1", "accepted:1", "pending"]);
    assert!(!live.is_over());
    assert!(running.finished(Duration::from_secs(10)).await);
    while rig.dispatcher.running(id).is_some() {
        tokio::task::yield_now().await;
    }
    let stored = rig.dispatcher.report(id).await.unwrap().unwrap();
    assert_eq!((stored.is_over(), stored.counts().accepted), (true, 3));
}
