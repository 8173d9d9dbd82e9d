//! Promise: a 4xx answer means that no call was or will be made; no input crashes the gateway.

use serde_json::{Value, json};

use super::{CHANNEL, channel, statuses, willing};
use crate::accounts::{ACCOUNTS, Account};
use crate::harness::TestGateway;

/// Requests that break a rule, and how they are refused.
fn senseless(good: &Value) -> Vec<(u16, &'static str, String)> {
    let changed = |pointer: &str, value: Value| {
        let mut body = good.clone();
        body[pointer] = value;
        body.to_string()
    };
    let two_routes = json!({"message": good["message"], "routes": [
        {"channel": CHANNEL, "from": "dave", "to": ["a"]},
        {"channel": "nobody-has-this", "from": "dave", "to": ["a"]},
    ]});
    vec![
        (400, "invalid_json", "{".to_owned()),
        (400, "invalid_json", String::new()),
        (422, "invalid_request", "[]".to_owned()),
        (422, "invalid_request", "{}".to_owned()),
        (422, "invalid_request", changed("no_such_field", json!(1))),
        (422, "invalid_request", changed("channel", json!("nobody-has-this"))),
        (422, "invalid_request", changed("to", json!([]))),
        (422, "invalid_request", changed("to", json!(["a", null]))),
        (422, "invalid_request", changed("to", json!(["a", 1.5]))),
        (422, "invalid_request", changed("to", json!(vec!["a"; 11]))),
        (422, "invalid_request", changed("message", json!({"type": "smoke"}))),
        (422, "invalid_request", changed("provider_options", json!({"tencent_tim": {}}))),
        (422, "invalid_request", changed("options", json!({"expires_at": "yesterday"}))),
        (422, "invalid_request", two_routes.to_string()),
        (413, "too_large", changed("client_ref", json!("x".repeat(5000)))),
    ]
}

#[tokio::test]
async fn a_refused_request_makes_no_call() {
    let account = Account::of("openim");
    let fake = willing(account).await;
    let gateway = TestGateway::start(&format!(
        "[limits]\nbody_bytes = 4096\nrecipients_per_batch = 10\n{}",
        channel(CHANNEL, account, &fake, "")
    ))
    .await;
    let good = account.send(CHANNEL);
    for (status, code, body) in senseless(&good) {
        let answer = gateway.post("/v1/batches", &body, &[]).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        assert_eq!(answer.json()["code"], code, "{body}: {}", answer.text);
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let answer = gateway.post("/v1/batches", &good.to_string(), &[("content-type", "text/plain")]).await;
    assert_eq!(answer.status, 415, "{}", answer.text);
    assert!(fake.ledger().is_empty());
    assert_eq!(gateway.send(&good).await.status, 200);
}

#[tokio::test]
async fn an_invalid_recipient_refuses_the_request_only_if_asked_to() {
    let account = Account::of("volcengine_rtc");
    let fake = willing(account).await;
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "")).await;
    let mut send = account.send(CHANNEL);
    send["to"] = json!(["1", "not-a-number"]);
    send["options"] = json!({"on_invalid": "reject"});
    let refused = gateway.send(&send).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert!(fake.ledger().is_empty());
    send["options"] = json!({"on_invalid": "skip"});
    assert_eq!(statuses(&gateway.send(&send).await), ["accepted", "failed"]);
}

#[tokio::test]
async fn a_plan_makes_no_call() {
    for account in ACCOUNTS {
        let fake = willing(account).await;
        let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "")).await;
        let answer = gateway.post("/v1/batches/plan", &account.send(CHANNEL).to_string(), &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(fake.ledger().is_empty(), "{}", account.provider);
    }
}

#[tokio::test]
async fn senseless_requests_are_answered() {
    let account = Account::of("tencent_tim");
    let fake = willing(account).await;
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "")).await;
    let deep = format!("{{\"channel\":\"{CHANNEL}\",\"to\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let ext = format!("{{\"x\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    let mut with_ext = account.send(CHANNEL).to_string();
    with_ext.insert_str(1, &format!("\"ext\":{ext},"));
    for body in [
        deep.as_str(),
        &with_ext,
        "nul\u{0}l",
        "{\"to\":[1e999]}",
        "{\"to\":\"\\ud800\"}",
        "{\"channel\":\"a\",\"channel\":\"b\"}",
    ] {
        let answer = gateway.post("/v1/batches", body, &[]).await;
        assert!((400..500).contains(&answer.status), "{}: {}", answer.status, answer.text);
    }
    for path in ["/v1/batches/bat_x", "/v1/batches/%FF", "/no/such/path", "/v1/channels/..%2f"] {
        let status = gateway.get(path).await.status;
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    assert!(fake.ledger().is_empty());
    assert_eq!(gateway.send(&account.send(CHANNEL)).await.status, 200);
}
