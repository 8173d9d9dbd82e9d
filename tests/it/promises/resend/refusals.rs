//! A refused resend sends nothing.

use serde_json::json;

use super::{failing, id, openim, resend, send_to, sent, statuses};
use crate::harness::TestGateway;
use crate::promises::{CHANNEL, channel};

#[tokio::test]
async fn a_refused_resend_makes_no_call() {
    let fake = failing(&[("a", 9)]).await;
    let settings = format!("[limits]\nbody_bytes = 4096\n{}", channel(CHANNEL, openim(), &fake, ""));
    let gateway = TestGateway::start(&settings).await;
    let parent = id(&gateway.send(&send_to(&json!(["a"]))).await);
    for (status, code, body) in [
        (400, "invalid_json", "{".to_owned()),
        (422, "invalid_request", "[]".to_owned()),
        (422, "invalid_request", json!({"to": ["a"]}).to_string()),
        (422, "invalid_request", json!({"statuses": ["accepted"]}).to_string()),
        (422, "invalid_request", json!({"statuses": []}).to_string()),
        (422, "invalid_request", json!({"expires_at": "2999-01-01T00:00:00Z"}).to_string()),
        (413, "too_large", " ".repeat(5000)),
    ] {
        let answer = resend(&gateway, &parent, &body).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)), "{}", answer.text);
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let path = format!("/v1/batches/{parent}/resend");
    for (name, value, status) in [
        ("content-type", "text/plain", 415),
        ("content-type", "application/x-ndjson", 415),
        ("idempotency-key", "k", 422),
        ("prefer", "respond-async", 422),
    ] {
        let answer = gateway.post(&path, "{}", &[(name, value)]).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text);
    }
    for unknown in ["bat_01JD7Q8Z5R9Q0M4T8K2V6X3W1Y", "nonsense"] {
        let answer = resend(&gateway, unknown, "").await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (404, Some("not_found")));
    }
    assert_eq!(gateway.get(&path).await.status, 405);
    assert_eq!(sent(&fake), ["a"]);
}

#[tokio::test]
async fn a_chain_with_a_forgotten_batch_is_not_guessed_at() {
    let fake = failing(&[("a", 9)]).await;
    let settings = format!("[store]\nmemory_batches = 2\n{}", channel(CHANNEL, openim(), &fake, ""));
    let gateway = TestGateway::start(&settings).await;
    let parent = id(&gateway.send(&send_to(&json!(["a"]))).await);
    let child = id(&resend(&gateway, &parent, "").await);
    gateway.send(&send_to(&json!(["b"]))).await;
    // The record of the last one follows its answer; the parent goes with it.
    while gateway.get(&format!("/v1/batches/{parent}")).await.status != 404 {}
    let refused = resend(&gateway, &child, "").await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert!(refused.json()["detail"].as_str().unwrap().contains(&parent), "{}", refused.text);
    assert_eq!(sent(&fake), ["a", "a", "b"]);
}

#[tokio::test]
async fn a_resend_has_a_time_limit_of_its_own() {
    let fake = failing(&[("a", 1)]).await;
    let gateway = TestGateway::start(&channel(CHANNEL, openim(), &fake, "")).await;
    let parent = id(&gateway.send(&send_to(&json!(["a"]))).await);
    let past = json!({"expires_at": "2020-01-01T00:00:00Z"}).to_string();
    let child = resend(&gateway, &parent, &past).await;
    assert_eq!((child.status, statuses(&child)), (207, vec!["failed".to_owned()]), "{}", child.text);
    assert_eq!(child.json()["results"][0]["error"]["code"], "expired");
    assert_eq!(sent(&fake), ["a"]);
    assert_eq!(resend(&gateway, &parent, "").await.status, 200);
}
