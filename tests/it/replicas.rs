//! Several gateways on one database: any of them answers for any batch, and they share an account at a provider.

use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::accounts::Account;
use crate::cluster;
use crate::harness::TestGateway;
use crate::ledger::{Ledger, willing};
use crate::outputs::{self, Output};

/// A configuration without a channel, hence with the sandbox, whose batches go to this database.
fn configuration(url: &str) -> String {
    format!("[store]\nurl = '{url}'\n")
}

/// A batch of two, one of whom is refused.
fn batch() -> serde_json::Value {
    let provider = &imcast::providers::REGISTRY[0];
    let (accepted, refused) = provider.sandbox.recipients;
    let route = |recipient| json!({ "channel": provider.sandbox.channel, "to": [recipient] });
    let mut batch = json!({
        "message": { "type": "text", "text": "hello" },
        "routes": [route(accepted), route(refused)],
    });
    if !provider.sandbox.sender.is_empty() {
        batch["from"] = provider.sandbox.sender.into();
    }
    batch
}

#[tokio::test]
async fn any_replica_answers_for_any_batch() {
    let database = cluster::shared().database();
    let toml = configuration(&database);
    let (left, right) = (TestGateway::start(&toml).await, TestGateway::start(&toml).await);
    let batch = batch();
    let sent = left.send(&batch).await;
    assert_eq!(sent.status, 207, "{}", sent.text);
    let path = format!("/v1/batches/{}", sent.json()["id"].as_str().unwrap());
    let here = left.get(&path).await;
    // An orderly end writes what waits to be written.
    left.leave().await;
    let there = right.get(&path).await;
    assert_eq!((there.status, there.json()), (200, here.json()));
    right.leave().await;
}

#[tokio::test]
async fn a_key_names_one_batch_on_all_replicas() {
    let toml = configuration(&cluster::shared().database());
    let (left, right) = (TestGateway::start(&toml).await, TestGateway::start(&toml).await);
    let body = batch().to_string();
    let headers = [("idempotency-key", "order-1"), ("prefer", "wait=25")];
    let (first, second) =
        tokio::join!(left.post("/v1/batches", &body, &headers), right.post("/v1/batches", &body, &headers));
    let third = right.post("/v1/batches", &body, &headers).await;
    for answer in [&first, &second, &third] {
        assert!((200..300).contains(&answer.status), "{}", answer.text);
        assert_eq!(answer.json()["id"], first.json()["id"]);
    }
    let other = body.replace("hello", "goodbye");
    assert_eq!(left.post("/v1/batches", &other, &headers).await.status, 422);
    left.leave().await;
    right.leave().await;
}

#[tokio::test]
async fn replicas_share_a_budget_and_a_token() {
    let account = Account::of("easemob_chatroom");
    let ledger = Ledger::start(account, willing()).await;
    let toml = format!(
        "[store]\nurl = '{}'\n[channels.rooms]\nprovider = '{}'\nbase_url = '{}'\n{}\n\
         recipients_per_call = 1\ncalls_per_second = 20\nmessages_per_second = 20\n",
        cluster::shared().database(),
        account.provider,
        ledger.fake.base_url(),
        account.settings
    );
    let gateways =
        [TestGateway::start(&toml).await, TestGateway::start(&toml).await, TestGateway::start(&toml).await];
    let batch = |number: usize| {
        let to: Vec<_> = (0..20).map(|recipient| format!("18514530592{recipient:04}")).collect();
        let message = json!({ "type": "text", "text": format!("hello {number}") });
        json!({ "from": account.sender, "message": message, "routes": [{ "channel": "rooms", "to": to }] })
    };
    let batches = [batch(0), batch(1), batch(2)];
    let begin = Instant::now();
    let answers = tokio::join!(
        gateways[0].send(&batches[0]),
        gateways[1].send(&batches[1]),
        gateways[2].send(&batches[2])
    );
    let elapsed = begin.elapsed();
    for answer in [answers.0, answers.1, answers.2] {
        assert_eq!(
            (answer.status, answer.json()["counts"]["accepted"].as_u64()),
            (200, Some(20)),
            "{}",
            answer.text
        );
    }
    // Each by itself would take one second; a slow machine only makes it longer.
    assert!(elapsed >= Duration::from_secs(2), "60 calls at 20 a second took {elapsed:?}");
    assert_eq!((ledger.entries().len(), ledger.token_requests()), (60, 1));
    for gateway in &gateways {
        gateway.leave().await;
    }
}

#[tokio::test]
async fn a_database_that_forgets_is_refused_with_a_clear_message_and_without_the_password() {
    let url = cluster::shared().database();
    let name = url.rsplit('/').next().unwrap();
    cluster::shared().run(&format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("url");
    std::fs::write(&secret, &url).unwrap();
    let file = directory.path().join("imcast.toml");
    let toml = format!("[store]\nurl_file = '{}'\n[server]\nlisten = '127.0.0.1:0'\n", secret.display());
    std::fs::write(&file, toml).unwrap();
    let mut gateway = Command::new(env!("CARGO_BIN_EXE_imcast"));
    gateway.env_clear().env("IMCAST__LOG__LEVEL", "trace").arg("--config").arg(&file).arg("serve");
    let ended = tokio::task::spawn_blocking(move || gateway.output()).await.unwrap().unwrap();
    outputs::note(Output::Program, &ended.stderr);
    let message = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{message}");
    assert!(message.contains("cannot open the store (store.url)"), "{message}");
    assert!(message.contains("synchronous_commit is off"), "{message}");
    assert!(!message.contains(cluster::PASSWORD), "{message}");
}
