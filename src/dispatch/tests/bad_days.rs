//! A provider that is down or throttles, a caller who changes his mind, more work than fits.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::dispatch::circuit::CircuitStatus;
use crate::dispatch::settings::Settings;
use crate::dispatch::tests::rig::{Rig, Script, ScriptFuture, Setup, at_once, body, words};
use crate::domain::message::Message;
use crate::transport::TransportError;

fn one_by_one() -> Setup {
    Setup { recipients_per_call: 1, max_in_flight: 1, ..Setup::default() }
}

fn refused_connection() -> TransportError {
    TransportError::Connect(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into())
}

fn circuit(rig: &Rig) -> CircuitStatus {
    rig.dispatcher.status(&rig.dispatcher.channel("fake").unwrap()).circuit
}

/// Answers everybody after `seconds`.
fn slowly(seconds: u64) -> Script {
    Arc::new(move |_, _| {
        let answer: ScriptFuture = Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            body("ok")
        });
        answer
    })
}

/// A provider that loses every answer until it is switched on.
fn switched() -> (Arc<AtomicBool>, Script) {
    let is_up = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&is_up);
    let script =
        at_once(
            move |_, _| {
                if state.load(Ordering::SeqCst) { body("ok") } else { Err(TransportError::Timeout) }
            },
        );
    (is_up, script)
}

#[tokio::test(start_paused = true)]
async fn a_dead_provider_is_left_alone_until_one_recipient_finds_it_back() {
    let (is_up, script) = switched();
    let rig = Rig::new(Setup { recipients_per_call: 2, max_in_flight: 1, ..Setup::default() }, script);
    let ids: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let report = words(&rig.send(rig.batch(&ids)).await);
    // Five calls of two were lost; the other ten recipients were never sent to.
    assert_eq!(report[..10], ["unknown:provider_unavailable:1"; 10].map(String::from));
    assert_eq!(report[10..], ["failed:circuit_open:0"; 10].map(String::from));
    assert_eq!(rig.sent().len(), 5);
    assert!(matches!(circuit(&rig), CircuitStatus::Open { .. }));
    assert_eq!(words(&rig.send(rig.batch(&["a", "b"])).await), ["failed:circuit_open:0"; 2]);
    assert_eq!(rig.sent().len(), 5);
    // The pause is 30 s, up to a fifth longer. The probe carries one recipient only.
    tokio::time::advance(Duration::from_secs(36)).await;
    let probed = ["unknown:provider_unavailable:1", "failed:circuit_open:0"];
    assert_eq!(words(&rig.send(rig.batch(&["a", "b"])).await), probed);
    assert_eq!(rig.sent().last().map(String::as_str), Some("a"));
    // Now it is twice as long.
    tokio::time::advance(Duration::from_secs(36)).await;
    assert_eq!(words(&rig.send(rig.batch(&["c"])).await), ["failed:circuit_open:0"]);
    tokio::time::advance(Duration::from_secs(37)).await;
    is_up.store(true, Ordering::SeqCst);
    assert_eq!(words(&rig.send(rig.batch(&["d", "e", "f"])).await), ["accepted:1"; 3]);
    assert_eq!(rig.sent().last_chunk::<2>().unwrap(), &["d", "e,f"]);
    assert_eq!(circuit(&rig), CircuitStatus::Closed);
}

#[tokio::test(start_paused = true)]
async fn only_one_call_probes_at_a_time() {
    let (is_up, script) = switched();
    let slow_probe: Script = Arc::new(move |number, request| {
        let answer = script(number, request);
        Box::pin(async move {
            if number >= 5 {
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
            answer.await
        })
    });
    let rig = Rig::new(Setup::default(), slow_probe);
    for id in ["a", "b", "c", "d", "e"] {
        rig.send(rig.batch(&[id])).await;
    }
    is_up.store(true, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(36)).await;
    let (probe, other) = (rig.start(rig.batch(&["x"])), rig.start(rig.batch(&["y"])));
    assert!(other.finished(Duration::from_secs(1)).await);
    assert_eq!(words(&other.report()), ["failed:circuit_open:0"]);
    assert_eq!(circuit(&rig), CircuitStatus::HalfOpen);
    assert!(probe.finished(Duration::from_secs(10)).await);
    assert_eq!(words(&probe.report()), ["accepted:1"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_provider_refuses_does_not_open_the_circuit() {
    for answer in ["forbidden", "throttled", "expired", "panic"] {
        let rig = Rig::new(Setup::default(), at_once(move |_, _| body(answer)));
        for _ in 0..30 {
            rig.send(rig.batch(&["a"])).await;
        }
        assert_eq!(circuit(&rig), CircuitStatus::Closed, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn repeats_stay_within_a_fifth_of_the_first_tries() {
    // Every second call finds no connection at its first try: the circuit stays closed.
    let settings = Settings { circuit_failures: 1000, ..Settings::for_tests() };
    let failed = Mutex::new(BTreeSet::new());
    let script = at_once(move |_, id| {
        let is_odd = id.parse::<u32>().unwrap() % 3 == 0;
        if is_odd && failed.lock().unwrap().insert(id.to_owned()) {
            Err(refused_connection())
        } else {
            body("ok")
        }
    });
    let rig = Rig::new(Setup { settings, ..one_by_one() }, script);
    let ids: Vec<String> = (0..300).map(|number| number.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let report = rig.send(rig.batch(&ids)).await;
    let route = report.routes.first().unwrap();
    assert_eq!(route.calls - route.retries, 300);
    assert!((40..=63).contains(&route.retries), "{}", route.retries);
    // Whoever got no repeat is told why the only try failed.
    let counts = report.counts();
    assert_eq!(counts.accepted + counts.failed, 300);
    assert!(words(&report).contains(&"failed:provider_unavailable:1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn nobody_calls_before_the_provider_said() {
    let begin = Instant::now();
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&times);
    let script: Script = Arc::new(move |number, _| {
        seen.lock().unwrap().push(begin.elapsed().as_secs_f64());
        let answer: ScriptFuture = Box::pin(async move {
            // Long enough for others to have reserved their time before the refusal comes.
            tokio::time::sleep(Duration::from_millis(if number == 0 { 35 } else { 0 })).await;
            body(if number == 0 { "throttled for 7 s" } else { "ok" })
        });
        answer
    });
    let setup = Setup { max_in_flight: 8, calls_per_second: Some(10.0), ..one_by_one() };
    let rig = Rig::new(setup, script);
    let batches: Vec<_> = ["a", "b", "c", "d"].iter().map(|id| rig.start(rig.batch(&[id]))).collect();
    for batch in &batches {
        assert!(batch.finished(Duration::from_secs(60)).await);
    }
    assert_eq!(words(&batches[0].report()), ["accepted:2"]);
    let times = times.lock().unwrap();
    let early: Vec<_> = times.iter().filter(|time| (0.036..7.035).contains(*time)).collect();
    assert_eq!(early, Vec::<&f64>::new(), "{times:?}");
    assert!(batches[1].report().routes.first().unwrap().throttled >= Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn a_cancel_stops_what_has_not_started_and_nothing_else() {
    let rig = Rig::new(one_by_one(), slowly(5));
    let running = rig.start(rig.batch(&["a", "b", "c"]));
    assert!(!running.finished(Duration::from_secs(6)).await);
    running.cancel();
    assert!(!running.finished(Duration::from_secs(1)).await);
    assert!(!running.report().canceled, "not before it is over");
    assert!(running.finished(Duration::from_secs(10)).await);
    let report = running.report();
    assert_eq!(words(&report), ["accepted:1", "accepted:1", "failed:canceled:0"]);
    assert!(report.canceled);
    assert_eq!(rig.sent(), ["a", "b"]);
    running.cancel();
    assert!(Arc::ptr_eq(&report, &running.report()));
}

#[tokio::test(start_paused = true)]
async fn a_cancel_that_comes_too_late_stops_nobody() {
    let rig = Rig::new(one_by_one(), slowly(5));
    let running = rig.start(rig.batch(&["a"]));
    assert!(!running.finished(Duration::from_secs(1)).await);
    running.cancel();
    assert!(running.finished(Duration::from_secs(10)).await);
    assert_eq!((words(&running.report()), running.report().canceled), (vec!["accepted:1".into()], false));
}

#[tokio::test(start_paused = true)]
async fn a_cancel_ends_the_wait_for_a_repeat_with_the_failure_that_was_to_be_repeated() {
    let rig = Rig::new(one_by_one(), at_once(|_, _| body("throttled for 7 s")));
    let running = rig.start(rig.batch(&["a", "b"]));
    assert!(!running.finished(Duration::from_secs(1)).await);
    running.cancel();
    assert!(running.finished(Duration::from_secs(1)).await);
    assert_eq!(words(&running.report()), ["failed:rate_limited:1", "failed:canceled:0"]);
    assert!(running.report().canceled);
}

#[tokio::test(start_paused = true)]
async fn no_channel_takes_on_more_than_it_may_keep_waiting() {
    let settings = Settings { channel_routes: 2, ..Settings::for_tests() };
    let rig = Rig::new(Setup { settings, ..one_by_one() }, slowly(5));
    let plan = || rig.dispatcher.plan(rig.batch(&["a"])).ok().unwrap();
    let first = rig.dispatcher.start(plan(), Duration::MAX).unwrap();
    let second = rig.dispatcher.start(plan(), Duration::MAX).unwrap();
    assert_eq!(rig.dispatcher.start(plan(), Duration::MAX).err().unwrap().channel.as_str(), "fake");
    assert_eq!(rig.dispatcher.running_count(), 2);
    for running in [first, second] {
        assert!(running.finished(Duration::from_secs(20)).await);
    }
    let third = rig.dispatcher.start(plan(), Duration::MAX).unwrap();
    assert!(third.finished(Duration::from_secs(20)).await);
    assert_eq!(rig.sent().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_long_message_takes_room_in_its_channel() {
    let settings = Settings { channel_bytes: 500_000, ..Settings::for_tests() };
    let rig = Rig::new(Setup { settings, ..one_by_one() }, slowly(5));
    let plan = |bytes| {
        let mut batch = rig.batch(&["a"]);
        let route = Arc::make_mut(&mut batch.routes[0]);
        route.message = Arc::new(Message::Text { text: "x".repeat(bytes).into() });
        rig.dispatcher.plan(batch).ok().unwrap()
    };
    let first = rig.dispatcher.start(plan(200_000), Duration::MAX).unwrap();
    assert!(rig.dispatcher.start(plan(200_000), Duration::MAX).is_err());
    let second = rig.dispatcher.start(plan(200), Duration::MAX).unwrap();
    for running in [first, second] {
        assert!(running.finished(Duration::from_secs(20)).await);
    }
}

#[tokio::test(start_paused = true)]
async fn the_forecast_counts_the_turns_of_other_batches() {
    let rig = Rig::new(Setup { calls_per_second: Some(10.0), max_in_flight: 1, ..one_by_one() }, slowly(0));
    let ids: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let large = rig.start(rig.batch(&ids));
    tokio::task::yield_now().await;
    let alone = large.report().eta.as_ref().unwrap().remaining.as_secs_f64();
    assert!((9.5..12.0).contains(&alone), "{alone}");
    // Twenty calls of its own, and twenty of the large one in between.
    let small = rig.dispatcher.plan(rig.batch(&ids[..20])).ok().unwrap();
    let forecast = small.eta().unwrap().remaining.as_secs_f64();
    let begin = Instant::now();
    let small = rig.dispatcher.start(small, Duration::MAX).unwrap();
    assert!(small.finished(Duration::from_secs(100)).await);
    let taken = begin.elapsed().as_secs_f64();
    assert!((forecast - taken).abs() < 0.15 * taken, "{forecast} s were forecast, {taken} s it took");
}

#[tokio::test(start_paused = true)]
async fn no_call_starts_after_the_batch_expired_while_it_waited_for_a_token() {
    use crate::adapter::Auth;
    use crate::dispatch::tests::rig::Grant;

    let script: Script = Arc::new(|number, _| {
        let answer: ScriptFuture = Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(if number == 0 { 8 } else { 0 })).await;
            body(if number == 0 { "token" } else { "ok" })
        });
        answer
    });
    let auth = Auth::Token(Box::new(Grant::new(Duration::from_secs(3600))));
    let rig = Rig::new(Setup { auth, ..one_by_one() }, script);
    let mut batch = rig.batch(&["a"]);
    batch.expires_at = rig.dispatcher.now() + Duration::from_secs(5);
    assert_eq!(words(&rig.send(batch).await), ["failed:expired:0"]);
    assert_eq!(rig.sent(), ["grant"]);
}

#[tokio::test(start_paused = true)]
async fn small_batches_take_turns_with_a_large_one() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let script: Script = Arc::new(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(body("ok")))
    });
    let rig = Rig::new(Setup { calls_per_second: Some(10.0), max_in_flight: 2, ..one_by_one() }, script);
    let ids: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let large = rig.start(rig.batch(&ids));
    assert!(!large.finished(Duration::from_secs(5)).await);
    for id in ["x", "y", "z"] {
        let before = calls.load(Ordering::SeqCst);
        let small = rig.start(rig.batch(&[id]));
        assert!(small.finished(Duration::from_secs(5)).await);
        assert!(calls.load(Ordering::SeqCst) - before <= 4);
    }
    large.cancel();
}

#[tokio::test(start_paused = true)]
async fn whoever_would_wait_too_long_for_the_turns_of_others_is_refused() {
    let rig = Rig::new(Setup { calls_per_second: Some(10.0), ..one_by_one() }, slowly(0));
    let plan = |to: &[&str]| rig.dispatcher.plan(rig.batch(to)).ok().unwrap();
    let patience = Duration::from_secs(5);
    let ids: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    // A batch is never refused for its own size, and a large one does not shut small ones out.
    let large = rig.dispatcher.start(plan(&ids), patience).unwrap();
    let mut waiting = Vec::new();
    let refused = loop {
        tokio::time::advance(Duration::from_millis(20)).await;
        tokio::task::yield_now().await;
        match rig.dispatcher.start(plan(&["a"]), patience) {
            Ok(running) => waiting.push(running),
            Err(overloaded) => break overloaded,
        }
    };
    assert_eq!(refused.channel.as_str(), "fake");
    assert!((40..60).contains(&waiting.len()), "{} batches wait", waiting.len());
    assert!(rig.dispatcher.is_overloaded(patience) && !rig.dispatcher.is_overloaded(patience * 3));
    // Who does not wait for the answer is taken all the same.
    let patient = rig.dispatcher.start(plan(&["b"]), Duration::MAX).unwrap();
    for running in waiting.iter().chain([&patient]) {
        assert!(running.finished(Duration::from_secs(10)).await);
    }
    assert!(!rig.dispatcher.is_overloaded(patience));
    assert!(rig.dispatcher.start(plan(&["c"]), patience).is_ok());
    large.cancel();
}

#[tokio::test(start_paused = true)]
async fn slow_calls_count_as_waiting_time_and_a_hanging_provider_refuses_nobody_at_once() {
    let patience = Duration::from_secs(5);
    let full_at = |rig: Rig| async move {
        let mut count = 0;
        loop {
            let plan = rig.dispatcher.plan(rig.batch(&["a"])).ok().unwrap();
            if count == 100 || rig.dispatcher.start(plan, patience).is_err() {
                return count;
            }
            count += 1;
        }
    };
    let rig = Rig::new(one_by_one(), slowly(1));
    for _ in 0..30 {
        rig.send(rig.batch(&["a"])).await;
    }
    let count = full_at(rig).await;
    assert!((5..=8).contains(&count), "{count} calls of a second each, one at a time");
    assert_eq!(full_at(Rig::new(one_by_one(), slowly(1_000_000))).await, 100);
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_and_routes_of_the_same_batch_are_no_turns_of_others() {
    let rig = Rig::new(Setup { calls_per_second: Some(10.0), ..one_by_one() }, slowly(0));
    let ids: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let patience = Duration::from_secs(1);
    // One caller, one batch after the other, each larger than the budget of a second.
    for _ in 0..3 {
        let plan = rig.dispatcher.plan(rig.batch(&ids)).ok().unwrap();
        let running = rig.dispatcher.start(plan, patience).unwrap();
        assert!(running.finished(Duration::from_secs(60)).await);
    }
    let mut batch = rig.batch(&ids);
    batch.routes = vec![Arc::clone(&batch.routes[0]), Arc::clone(&batch.routes[0])];
    let plan = rig.dispatcher.plan(batch).ok().unwrap();
    let running = rig.dispatcher.start(plan, patience).unwrap();
    assert!(running.finished(Duration::from_secs(60)).await);
    assert_eq!(running.report().counts().accepted, 200);
}
