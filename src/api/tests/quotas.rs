use std::time::Duration;

use axum::body::Body;

use crate::api::keys::settings::Rights;
use crate::api::tests::keys::{key, limited};
use crate::api::tests::rig::{Answered, Rig, request, short_form};
use crate::api::tests::sending::Pieces;

/// What `RateLimit` says is left of a quota.
fn remaining(answered: &Answered, quota: &str) -> u64 {
    let field = answered.header("ratelimit").unwrap();
    let item = field.split(", ").find(|item| item.starts_with(&format!("\"{quota}\""))).unwrap();
    item.split(";r=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_greedy_caller_takes_nothing_from_another_and_every_answer_says_what_was_decided() {
    let (greedy, greedy_settings) = key("greedy", limited(5, 0));
    let (modest, modest_settings) = key("modest", limited(5, 0));
    let rig = Rig::with_keys(&[greedy_settings, modest_settings]);
    let send = async |key: &str| rig.send(&[("authorization", key)], &["a"]).await;
    let mut counts = [0, 0];
    // Ten seconds: the greedy one at twenty times its quota, the modest one just within.
    for step in 0..1000 {
        let before = rig.calls();
        let answered = send(&greedy).await;
        assert_eq!(answered.header("ratelimit-policy"), Some("\"batches\";q=5;w=1"));
        let remaining = remaining(&answered, "batches");
        match answered.status {
            200 => {
                assert!(remaining < 5);
                counts[0] += 1;
            }
            429 => {
                assert_eq!(answered.refusal().1, "quota_exceeded");
                assert_eq!((remaining, answered.header("retry-after")), (0, Some("1")));
                assert_eq!(rig.calls(), before);
                counts[1] += 1;
            }
            other => panic!("{other}"),
        }
        if step % 20 == 0 {
            assert_eq!(send(&modest).await.status, 200);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // A full quota to begin with, then five a second.
    assert_eq!(counts, [54, 946]);
}

#[tokio::test(start_paused = true)]
async fn so_many_sends_as_are_left_are_taken_at_once() {
    let (caller, settings) = key("caller", limited(7, 0));
    let rig = Rig::with_keys(&[settings]);
    for pause_ms in [0, 150, 1000, 400, 5000] {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        let mut left = None;
        loop {
            let answered = rig.send(&[("authorization", &caller)], &["a"]).await;
            let now = remaining(&answered, "batches");
            let is_taken = answered.status == 200;
            assert!(left.is_none_or(|left: u64| is_taken == (left > 0) && now == left.max(1) - 1));
            left = Some(now);
            if !is_taken {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_exceeded_quota_of_sends_is_answered_before_the_body_is_read() {
    let (caller, settings) = key("caller", limited(1, 0));
    let rig = Rig::with_keys(&[settings]);
    // Whatever becomes of a send, it is one.
    let answered = rig.post("/v1/batches", &[("authorization", &caller)], "{").await;
    assert_eq!((answered.status, remaining(&answered, "batches")), (400, 0));
    let headers = [("content-type", "application/json"), ("authorization", &*caller)];
    let untouched = request("POST", "/v1/batches", &headers, Body::from_stream(Pieces::Untouched));
    assert_eq!(rig.call(untouched).await.refusal().1, "quota_exceeded");
    // A plan sends nothing and costs nothing.
    let plan = rig.post("/v1/batches/plan", &headers[1..], &short_form(&["a"])).await;
    assert_eq!((plan.status, plan.header("ratelimit")), (200, None));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.send(&headers[1..], &["a"]).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn recipients_are_counted_over_a_minute_and_before_anything_is_sent() {
    let (caller, settings) = key("caller", limited(0, 10));
    let rig = Rig::with_keys(&[settings]);
    let send = async |to: &[&str]| rig.send(&[("authorization", &caller)], to).await;
    let first = send(&["a", "b", "c", "a", "!x", "d"]).await;
    assert_eq!((first.status, remaining(&first, "recipients")), (207, 4));
    let calls = rig.calls();
    let refused = send(&["a", "b", "c", "d", "e"]).await;
    assert_eq!((refused.refusal().0, remaining(&refused, "recipients")), (429, 4));
    assert_eq!(refused.header("retry-after"), Some("6"));
    let never = send(&["x"; 11]).await;
    assert_eq!(never.refusal(), (422, "invalid_request".into(), vec![" too_large".into()]));
    assert_eq!((never.header("retry-after"), remaining(&never, "recipients")), (None, 4));
    assert_eq!(rig.calls(), calls);
    tokio::time::sleep(Duration::from_secs(6)).await;
    let second = send(&["a", "b", "c", "d", "e"]).await;
    assert_eq!((second.status, remaining(&second, "recipients")), (200, 0));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_finds_no_room_costs_no_recipients() {
    let (caller, settings) = key("caller", limited(0, 10));
    let rig = Rig::assemble(&[settings], |_| {}, |delivery| delivery.channel_routes = 1);
    let headers = [("authorization", &*caller), ("prefer", "wait=0")];
    assert_eq!(rig.send(&headers, &["slow"]).await.status, 202);
    let refused = rig.send(&headers, &["a", "b"]).await;
    assert_eq!(refused.refusal(), (503, "overloaded".into(), Vec::new()));
    assert_eq!(remaining(&refused, "recipients"), 9);
}

/// Sends to these and returns the path of the batch's resend.
async fn sent(rig: &Rig, key: &str, to: &[&str]) -> String {
    let answered = rig.send(&[("authorization", key)], to).await;
    assert_eq!(answered.status, 207);
    format!("/v1/batches/{}/resend", answered.json()["id"].as_str().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_resend_is_one_send_and_costs_whom_it_goes_to() {
    let (caller, settings) = key("caller", limited(3, 10));
    let rig = Rig::with_keys(&[settings]);
    let headers = [("authorization", &*caller)];
    let path = sent(&rig, &caller, &["a", "b", "bad1", "bad2", "bad3"]).await;
    let first = rig.post(&path, &headers, "").await;
    let left = |answered: &Answered| (remaining(answered, "batches"), remaining(answered, "recipients"));
    assert_eq!((first.status, left(&first)), (207, (1, 2)));
    let calls = rig.calls();
    let refused = rig.post(&path, &headers, "").await;
    assert_eq!((refused.refusal().1, left(&refused)), ("quota_exceeded".into(), (0, 2)));
    assert_eq!((refused.header("retry-after"), rig.calls()), (Some("6"), calls));
    // Before its body is read.
    let headers = [("content-type", "application/json"), ("authorization", &*caller)];
    let untouched = request("POST", &path, &headers, Body::from_stream(Pieces::Untouched));
    let refused = rig.call(untouched).await;
    assert_eq!((refused.refusal().1, left(&refused)), ("quota_exceeded".into(), (0, 2)));
    assert_eq!(refused.header("retry-after"), Some("1"));
    // A refused one is no member of the family: it stands in nobody's way.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let again = rig.post(&path, &headers[1..], "").await;
    assert_eq!((again.status, left(&again)), (207, (2, 0)));
    let report = rig.get(path.trim_end_matches("/resend"), &headers[1..]).await;
    assert_eq!(report.json()["resends"].as_array().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_resend_that_finds_no_room_costs_no_recipients() {
    let (caller, settings) = key("caller", limited(0, 10));
    let rig = Rig::assemble(&[settings], |_| {}, |delivery| delivery.channel_routes = 1);
    let headers = [("authorization", &*caller), ("prefer", "wait=0")];
    let path = sent(&rig, &caller, &["a", "bad", "lost"]).await;
    assert_eq!(rig.send(&headers, &["slow"]).await.status, 202);
    let refused = rig.post(&path, &headers, "").await;
    assert_eq!(refused.refusal(), (503, "overloaded".into(), Vec::new()));
    // It had taken one.
    assert_eq!(remaining(&refused, "recipients"), 6);
}

#[tokio::test(start_paused = true)]
async fn a_caller_without_quotas_is_told_of_none() {
    let (caller, settings) = key("caller", Rights::default());
    let rig = Rig::with_keys(&[settings]);
    let answered = rig.send(&[("authorization", &caller)], &["a"]).await;
    assert_eq!((answered.status, answered.header("ratelimit")), (200, None));
    assert_eq!(answered.header("ratelimit-policy"), None);
}
