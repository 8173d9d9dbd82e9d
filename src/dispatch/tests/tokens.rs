//! One token per channel: fetched once, renewed ahead, dropped only by the call that used it.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::adapter::Auth;
use crate::dispatch::tests::rig::{Grant, Rig, Script, Setup, at_once, body, words};
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
