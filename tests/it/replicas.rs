//! Several gateways on one database: any of them answers for any batch, and they share an account at a provider.

use std::collections::HashSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::accounts::Account;
use crate::cluster;
use crate::fault_proxy::{Direction, End, Fault, FaultProxy, Place};
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

/// A channel of Tencent's that asks this ledger, one recipient a call.
fn channel(ledger: &Ledger) -> String {
    let (account, url) = (ledger.account, ledger.fake.base_url());
    format!(
        "[channels.under-test]\nprovider = '{}'\nbase_url = '{url}'\n{}\nrecipients_per_call = 1\n\
         calls_per_second = 10000\nmessages_per_second = 10000\n",
        account.provider, account.settings
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_twins_on_three_replicas_are_one_batch() {
    const ROUNDS: usize = 20;
    const TWINS: usize = 100;
    let account = Account::of("tencent_tim");
    let ledger = Ledger::start(account, willing()).await;
    let toml = configuration(&cluster::shared().database()) + &channel(&ledger);
    let mut gateways = Vec::new();
    for _ in 0..3 {
        gateways.push(Arc::new(TestGateway::start(&toml).await));
    }
    let mut ids = HashSet::new();
    for round in 0..ROUNDS {
        let mut batch = account.send("under-test");
        batch["message"]["text"] = format!("round {round}").into();
        let (body, key) = (Arc::new(batch.to_string()), format!("key-{round}"));
        let mut twins = JoinSet::new();
        for number in 0..TWINS {
            let (gateway, body, key) =
                (Arc::clone(&gateways[number % gateways.len()]), Arc::clone(&body), key.clone());
            twins.spawn(async move {
                let headers = [("idempotency-key", &*key), ("prefer", "wait=25")];
                gateway.post("/v1/batches", &body, &headers).await
            });
        }
        let answers = twins.join_all().await;
        let id = answers[0].json()["id"].as_str().unwrap_or_else(|| panic!("{}", answers[0].text)).to_owned();
        for answer in &answers {
            assert_eq!((answer.status, answer.json()["id"].as_str()), (200, Some(&*id)), "{}", answer.text);
        }
        let replays = answers.iter().filter(|answer| answer.header("idempotency-replayed") == "true");
        assert_eq!(replays.count(), TWINS - 1);
        for recipient in account.recipients {
            assert_eq!(ledger.times_taken(&format!("round {round}"), recipient), 1);
        }
        ids.insert(id);
    }
    assert_eq!((ids.len(), ledger.entries().len()), (ROUNDS, ROUNDS * account.recipients.len()));
    for gateway in &gateways {
        let listed = gateway.get("/v1/batches?page_size=500").await.json();
        assert_eq!(listed["batches"].as_array().unwrap().len(), ROUNDS);
        gateway.leave().await;
    }
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_one_batch_and_never_a_refusal() {
    let account = Account::of("tencent_tim");
    let ledger = Ledger::start(account, willing()).await;
    let database = cluster::shared().database();
    let is_cutting = Arc::new(AtomicBool::new(false));
    let cuts = Arc::clone(&is_cutting);
    let fault = move |_| {
        let cut = Fault::Break(Direction::Request, Place::Behind("COMMIT"), End::Close);
        if cuts.load(Ordering::SeqCst) { cut } else { Fault::None }
    };
    let proxy = FaultProxy::start(cluster::shared().address(), Box::new(fault)).await;
    let name = database.rsplit('/').next().unwrap();
    let url = format!("postgres://postgres@{}/{name}", proxy.address());
    let toml = configuration(&url) + &channel(&ledger);
    // The tables are made in peace.
    TestGateway::start(&toml).await.leave().await;
    for round in 1..=3 {
        let (body, key) = (account.send("under-test").to_string(), format!("key-{round}"));
        let headers = [("idempotency-key", &*key), ("prefer", "wait=25")];
        // Every connection that is made now dies with its first commit.
        is_cutting.store(true, Ordering::SeqCst);
        let gateway = TestGateway::start(&toml).await;
        let known = proxy.broken();
        let (first, ()) = tokio::join!(gateway.post("/v1/batches", &body, &headers), async {
            while proxy.broken() < known + 3 {
                proxy.arrived(proxy.log().len() + 1).await;
            }
            is_cutting.store(false, Ordering::SeqCst);
        });
        let again = gateway.post("/v1/batches", &body, &headers).await;
        assert_eq!((first.status, again.status), (200, 200), "{}\n{}", first.text, again.text);
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(first.json()["id"], again.json()["id"]);
        let listed = gateway.get("/v1/batches").await.json();
        assert_eq!(listed["batches"].as_array().unwrap().len(), round);
        assert_eq!(ledger.entries().len(), round * account.recipients.len());
        gateway.leave().await;
    }
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
