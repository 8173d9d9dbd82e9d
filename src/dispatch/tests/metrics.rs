//! What is counted agrees with what is reported.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::adapter::Auth;
use crate::dispatch::settings::Settings;
use crate::dispatch::tests::rig::{Grant, Rig, Script, Setup, at_once, body};
use crate::domain::batch::RetryUnknown;
use crate::domain::outcome::Counts;
use crate::store::model::ModelStore;
use crate::telemetry::metrics::tests::sum;
use crate::transport::TransportError;

fn text(rig: &Rig) -> String {
    rig.dispatcher.measure();
    rig.dispatcher.metrics().encode().unwrap()
}

fn refused_connection() -> TransportError {
    TransportError::Connect(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into())
}

/// Every kind of answer in turn.
fn everything() -> Script {
    at_once(|number, _| match number % 11 {
        0 => body("throttled"),
        1 => Err(TransportError::Timeout),
        2 => Err(refused_connection()),
        3 => body("panic"),
        4 => body("short"),
        5 => body("expired"),
        6 => body("forbidden"),
        7 => Err(TransportError::ConnectionReset),
        8 => Err(TransportError::Unreadable { status: 502 }),
        9 => body("nonsense"),
        _ => body("ok"),
    })
}

/// The outcomes of a series, by status.
fn counted(text: &str) -> [f64; 4] {
    let of = |status: &str| sum(text, &["imcast_recipients_total{", &format!("status=\"{status}\"")]);
    [sum(text, &["imcast_recipients_total{"]), of("accepted"), of("failed"), of("unknown")]
}

fn reported(counts: Counts) -> [f64; 4] {
    [counts.total, counts.accepted, counts.failed, counts.unknown]
        .map(|count| f64::from(u32::try_from(count).unwrap()))
}

#[tokio::test(start_paused = true)]
async fn counted_outcomes_are_those_of_the_reports() {
    let settings = Settings { circuit_failures: 1000, ..Settings::for_tests() };
    let rig = Rig::new(Setup { settings, ..Setup::default() }, everything());
    let mut all = Counts::default();
    let mut running = JoinSet::new();
    for number in 0..200 {
        let ids: Vec<String> = (0..number % 9).map(|id| format!("u{id}")).chain(["!x".into()]).collect();
        let mut ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        ids.extend(["u0", "u0"]);
        let mut batch = rig.batch(&ids);
        if number % 3 == 0 {
            batch.retry_unknown = RetryUnknown::Allowed;
        }
        let batch = rig.start(batch);
        if number % 7 == 0 {
            batch.cancel();
        }
        running.spawn(async move {
            batch.finished(Duration::from_secs(7200)).await;
            batch.report().counts()
        });
    }
    while let Some(counts) = running.join_next().await {
        all += counts.unwrap();
    }
    let text = text(&rig);
    assert_eq!(counted(&text), reported(all));
    assert!(all.accepted > 0 && all.failed > 0 && all.unknown > 0, "{all:?}");
    assert_eq!(sum(&text, &["imcast_batches_total{"]), 200.0);
    assert_eq!(sum(&text, &["imcast_batch_duration_seconds_count"]), 200.0);
    let sent = f64::from(u32::try_from(rig.sent().len()).unwrap());
    assert_eq!(sum(&text, &["imcast_calls_total{"]), sent, "every call has a result");
    assert_eq!(sum(&text, &["imcast_call_duration_seconds_count"]), sent);
    for result in ["answered", "rate_limited", "authentication", "connect", "timeout", "server_error"] {
        let label = format!("result=\"{result}\"");
        assert!(sum(&text, &["imcast_calls_total{", &label]) > 0.0, "{result}: {text}");
    }
    for reason in ["broken", "rate_limited"] {
        let label = format!("reason=\"{reason}\"");
        assert!(sum(&text, &["imcast_repeats_total{", &label]) > 0.0, "{reason}: {text}");
    }
    assert_eq!(sum(&text, &["imcast_batches_in_progress"]), 0.0);
}

#[tokio::test(start_paused = true)]
async fn whom_a_send_to_all_reached_is_counted() {
    let rig = Rig::new(Setup::default(), at_once(|_, _| body("listed")));
    let report = rig.send(rig.batch(&[])).await;
    assert_eq!(counted(&text(&rig)), reported(report.counts()));
}

#[tokio::test(start_paused = true)]
async fn what_must_never_happen_is_counted() {
    for (answer, kind) in [("panic", "adapter_panic"), ("short", "mismatched_outcomes"), ("ok", "")] {
        let rig = Rig::new(Setup::default(), at_once(move |_, _| body(answer)));
        rig.send(rig.batch(&["a"])).await;
        let text = text(&rig);
        let all = sum(&text, &["imcast_invariant_violations_total{"]);
        let one = sum(&text, &["imcast_invariant_violations_total{", &format!("kind=\"{kind}\"")]);
        assert_eq!((all, one), if kind.is_empty() { (0.0, 0.0) } else { (1.0, 1.0) }, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_circuit_shows_its_state_and_its_changes() {
    let rig = Rig::new(
        Setup { recipients_per_call: 1, max_in_flight: 1, ..Setup::default() },
        at_once(|number, _| if number < 5 { Err(TransportError::Timeout) } else { body("ok") }),
    );
    let state = |state: &str| sum(&text(&rig), &["imcast_circuit_state{", &format!("state=\"{state}\"")]);
    let changes = || {
        ["open", "half_open", "closed"].map(|state| {
            sum(&text(&rig), &["imcast_circuit_transitions_total{", &format!("state=\"{state}\"")])
        })
    };
    assert_eq!((state("closed"), changes()), (1.0, [0.0; 3]));
    rig.send(rig.batch(&["a", "b", "c", "d", "e"])).await;
    assert_eq!((state("open"), state("closed"), changes()), (1.0, 0.0, [1.0, 0.0, 0.0]));
    tokio::time::advance(Duration::from_secs(37)).await;
    assert_eq!((state("half_open"), changes()), (1.0, [1.0, 0.0, 0.0]));
    rig.send(rig.batch(&["f"])).await;
    assert_eq!((state("closed"), changes()), (1.0, [1.0; 3]));
}

#[tokio::test(start_paused = true)]
async fn waits_for_a_budget_are_measured() {
    let setup = Setup { recipients_per_call: 1, calls_per_second: Some(10.0), ..Setup::default() };
    let rig = Rig::new(setup, at_once(|_, _| body("ok")));
    let ids: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let report = rig.send(rig.batch(&ids)).await;
    let waited = sum(&text(&rig), &["imcast_budget_wait_seconds_sum"]);
    assert!(waited > 0.0);
    assert!((waited - report.routes[0].throttled.as_secs_f64()).abs() < 0.001, "{waited}");
}

#[tokio::test(start_paused = true)]
async fn requests_for_tokens_are_counted() {
    let auth = Auth::Token(Box::new(Grant::new(Duration::from_secs(3600))));
    let rig = Rig::new(
        Setup { auth, ..Setup::default() },
        at_once(|number, sent| {
            body(if sent != "grant" {
                "ok"
            } else if number == 0 {
                "denied"
            } else {
                "t"
            })
        }),
    );
    let tokens = |result: &str| sum(&text(&rig), &["imcast_token_requests_total{", &format!("\"{result}\"")]);
    rig.send(rig.batch(&["a"])).await;
    assert_eq!((tokens("fetched"), tokens("failed")), (0.0, 1.0));
    tokio::time::advance(Duration::from_secs(60)).await;
    rig.send(rig.batch(&["a"])).await;
    assert_eq!((tokens("fetched"), tokens("failed")), (1.0, 1.0));
}

#[tokio::test(start_paused = true)]
async fn work_in_progress_shows() {
    let waiting: Script = std::sync::Arc::new(|_, _| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            body("ok")
        })
    });
    let rig = Rig::new(Setup { recipients_per_call: 1, max_in_flight: 2, ..Setup::default() }, waiting);
    let batch = rig.start(rig.batch(&["a", "b", "c"]));
    tokio::time::advance(Duration::from_secs(1)).await;
    while rig.sent().len() < 2 {
        tokio::task::yield_now().await;
    }
    let text_now = text(&rig);
    for series in ["imcast_batches_in_progress ", "imcast_routes_in_progress{"] {
        assert_eq!(sum(&text_now, &[series.trim_end()]), 1.0, "{series}");
    }
    assert_eq!(sum(&text_now, &["imcast_calls_in_flight{"]), 2.0);
    batch.finished(Duration::from_secs(600)).await;
    assert_eq!(sum(&text(&rig), &["imcast_calls_in_flight{"]), 0.0);
}

#[tokio::test(start_paused = true)]
async fn batches_that_the_store_did_not_keep_are_counted() {
    let store = ModelStore::default();
    let setup = Setup { store: std::sync::Arc::new(store.clone()), ..Setup::default() };
    let rig = Rig::new(setup, at_once(|_, _| body("ok")));
    let unrecorded = || sum(&text(&rig), &["imcast_unrecorded_batches_total"]);
    for (is_away, expected) in [(false, 0.0), (true, 1.0), (true, 2.0), (false, 2.0)] {
        store.set_away(is_away);
        rig.send(rig.batch(&["a"])).await;
        while rig.dispatcher.running_count() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(unrecorded(), expected);
    }
}
