//! Promise: whoever has no key for it sends nothing, and learns nothing about anybody else's batches.

use imcast::api::keys::key::Key;
use serde_json::{Value, json};

use super::{CHANNEL, channel, sends, willing};
use crate::accounts::Account;
use crate::fake_provider::FakeProvider;
use crate::harness::{Answer, TestGateway};
use crate::outputs;

/// A key's table in the configuration.
pub(crate) fn table(name: &str, key: &Key, more: &str) -> String {
    format!("[[keys]]\nname = '{name}'\nid = '{}'\nsha256 = '{}'\n{more}\n", key.id, key.digest())
}

async fn send(gateway: &TestGateway, authorization: &str, batch: &Value) -> Answer {
    let headers = [("authorization", authorization), ("prefer", "wait=25")];
    gateway.post("/v1/batches", &batch.to_string(), &headers).await
}

fn refusal(answer: &Answer) -> (u16, String) {
    let code = answer.json()["code"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned();
    (answer.status, code)
}

/// A gateway with the channels `under-test` and `closed`, and a key that may send two recipients a minute
/// through the first.
async fn start(account: &'static Account, fake: &FakeProvider) -> (TestGateway, Key) {
    let good = Key::generate().unwrap();
    let rights = "channels = ['under-test']\nrecipients_per_minute = 2";
    let channels = [CHANNEL, "closed"].map(|name| channel(name, account, fake, "")).concat();
    let gateway = TestGateway::start(&(channels + &table("good", &good, rights))).await;
    (gateway, good)
}

pub(crate) fn bearer(key: &Key) -> String {
    tell(key);
    format!("Bearer {}", key.text.expose())
}

/// Tells whoever searches for secrets what must not be seen of a key.
pub(crate) fn tell(key: &Key) {
    outputs::secret("API key", key.text.expose().split_once('.').unwrap().1);
}

#[tokio::test]
async fn without_a_good_key_nothing_is_sent() {
    let account = Account::of("openim");
    let fake = willing(account).await;
    let (gateway, good) = start(account, &fake).await;
    let unknown = Key::generate().unwrap();
    let swapped = format!("Bearer imc_{}.{}", good.id, unknown.text.expose().split_once('.').unwrap().1);
    for (authorization, challenge) in [
        (String::new(), "Bearer"),
        ("Bearer".to_owned(), "Bearer"),
        (bearer(&good).replace("Bearer", "Basic"), "Bearer"),
        ("Bearer x".to_owned(), "Bearer error=\"invalid_token\""),
        (bearer(&unknown), "Bearer error=\"invalid_token\""),
        (swapped, "Bearer error=\"invalid_token\""),
        (bearer(&good).to_uppercase(), "Bearer error=\"invalid_token\""),
    ] {
        let answer = send(&gateway, &authorization, &account.send(CHANNEL)).await;
        assert_eq!(refusal(&answer), (401, "unauthenticated".into()), "{authorization}");
        assert_eq!(answer.header("www-authenticate"), challenge, "{authorization}");
    }
    assert!(fake.ledger().is_empty());
}

#[tokio::test]
async fn through_a_channel_that_is_not_the_keys_nothing_is_sent() {
    let account = Account::of("openim");
    let fake = willing(account).await;
    let (gateway, good) = start(account, &fake).await;
    let batch = account.send(CHANNEL);
    let routes = json!({"message": batch["message"], "routes": [
        {"channel": "closed", "from": "dave", "to": ["a"]},
        {"channel": CHANNEL, "from": "dave", "to": ["a"]},
        {"channel": "nobody-has-this", "from": "dave", "to": ["a"]},
    ]});
    for (batch, expected) in [
        (account.send("closed"), json!([{"pointer": "/channel", "code": "not_allowed"}])),
        (
            routes,
            json!([{"pointer": "/routes/0/channel", "code": "not_allowed"},
                   {"pointer": "/routes/2/channel", "code": "not_allowed"}]),
        ),
    ] {
        let answer = send(&gateway, &bearer(&good), &batch).await;
        assert_eq!(refusal(&answer), (403, "forbidden".into()));
        let mut errors = answer.json()["errors"].clone();
        for error in errors.as_array_mut().unwrap() {
            error.as_object_mut().unwrap().remove("detail");
        }
        assert_eq!(errors, expected);
    }
    assert!(fake.ledger().is_empty());
}

#[tokio::test]
async fn beyond_its_quota_nothing_is_sent() {
    let account = Account::of("openim");
    let fake = willing(account).await;
    let (gateway, good) = start(account, &fake).await;
    let batch = account.send(CHANNEL);
    let mut many = batch.clone();
    many["to"] = json!(["1", "2", "3"]);
    assert_eq!(refusal(&send(&gateway, &bearer(&good), &many).await), (422, "invalid_request".into()));
    assert!(fake.ledger().is_empty());

    let answer = send(&gateway, &bearer(&good), &batch).await;
    assert_eq!((answer.status, answer.header("ratelimit")), (200, "\"recipients\";r=0;t=30"));
    let sent = sends(account, &fake);
    let answer = send(&gateway, &bearer(&good), &batch).await;
    assert_eq!(refusal(&answer), (429, "quota_exceeded".into()));
    assert_eq!(answer.header("ratelimit-policy"), "\"recipients\";q=2;w=60");
    assert!(answer.header("ratelimit").starts_with("\"recipients\";r=0;t="));
    assert!((1..=60).contains(&answer.header("retry-after").parse::<u64>().unwrap()));
    assert_eq!(sends(account, &fake), sent);
}
