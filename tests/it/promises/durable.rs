//! Promise: a key names one batch, and what was answered without its whole report survives the process.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{CHANNEL, channel, provider, sends, statuses, willing};
use crate::accounts::Account;
use crate::fake_provider::{Extra, FakeProvider, Reply, Response, queue};
use crate::harness::{Answer, TestGateway};

const PROVIDER: &str = "tencent_tim";

/// Calls of one recipient each, one at a time.
const ONE_BY_ONE: &str = "recipients_per_call = 1\nmax_in_flight = 1";

/// A provider, and the file that one gateway after another keeps its batches in.
struct Rig {
    fake: FakeProvider,
    directory: TempDir,
}

impl Rig {
    fn new(fake: FakeProvider) -> Self {
        Self { fake, directory: tempfile::tempdir().unwrap() }
    }

    /// With a provider that serves everybody.
    async fn willing() -> Self {
        Self::new(willing(Account::of(PROVIDER)).await)
    }

    /// With a provider that holds its first call until it is told to let go, and then serves everybody.
    async fn holding() -> (Self, CancellationToken) {
        let release = CancellationToken::new();
        let held = Reply::After(release.clone(), Box::new(success()));
        let fake = provider(Account::of(PROVIDER), queue([held, success()], Extra::Repeat)).await;
        (Self::new(fake), release)
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("imcast.db")
    }

    fn store(&self) -> String {
        format!("[store]\nurl = 'sqlite:{}'\n", self.file().display())
    }

    /// A gateway on the file; `more` is about its channel.
    async fn gateway(&self, more: &str) -> TestGateway {
        let channel = channel(CHANNEL, Account::of(PROVIDER), &self.fake, more);
        TestGateway::start(&format!("{}{channel}", self.store())).await
    }

    /// How many calls with a message have arrived.
    fn sends(&self) -> usize {
        sends(Account::of(PROVIDER), &self.fake)
    }
}

fn success() -> Reply {
    Reply::Respond(Response::json(
        200,
        &json!({"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0, "MsgKey": "k"}),
    ))
}

fn message() -> Value {
    Account::of(PROVIDER).send(CHANNEL)
}

fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
}

#[tokio::test]
async fn a_repeated_key_is_answered_with_the_same_batch_and_sends_nothing() {
    let rig = Rig::willing().await;
    let gateway = rig.gateway("").await;
    let body = message().to_string();
    let first = gateway.post("/v1/batches", &body, &[("idempotency-key", "order-1")]).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (200, ""));
    let pretty = serde_json::to_string_pretty(&message()).unwrap();
    for key in ["order-1", "\"order-1\""] {
        let again = gateway.post("/v1/batches", &pretty, &[("idempotency-key", key)]).await;
        assert_eq!((again.status, again.header("idempotency-replayed")), (200, "true"));
        assert_eq!(again.json(), first.json());
    }
    assert_eq!(rig.sends(), 1);
    // Another key, and no key, are other batches.
    let other = gateway.post("/v1/batches", &body, &[("idempotency-key", "order-2")]).await;
    assert_ne!(id(&other), id(&first));
    assert_ne!(id(&gateway.send(&message()).await), id(&first));
    assert_eq!(rig.sends(), 3);
    gateway.leave().await;
}

#[tokio::test]
async fn a_key_with_something_else_is_refused() {
    let rig = Rig::willing().await;
    let gateway = rig.gateway("").await;
    let key = [("idempotency-key", "k")];
    let first = gateway.post("/v1/batches", &message().to_string(), &key).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let mut other = message();
    other["client_ref"] = "x".into();
    let resend = format!("/v1/batches/{}/resend", id(&first));
    for (path, body) in [("/v1/batches", other.to_string()), (resend.as_str(), "{}".to_owned())] {
        let refused = gateway.post(path, &body, &key).await;
        assert_eq!((refused.status, &refused.json()["code"]), (422, &json!("idempotency_key_reused")));
    }
    assert_eq!(rig.sends(), 1);
    gateway.leave().await;
}

#[tokio::test]
async fn a_refused_request_uses_up_no_key() {
    let rig = Rig::willing().await;
    let gateway = rig.gateway("").await;
    let key = [("idempotency-key", "k")];
    let mut wrong = message();
    wrong["channel"] = "nobody".into();
    assert_eq!(gateway.post("/v1/batches", &wrong.to_string(), &key).await.status, 422);
    let sent = gateway.post("/v1/batches", &message().to_string(), &key).await;
    assert_eq!((sent.status, sent.header("idempotency-replayed")), (200, ""), "{}", sent.text);
    gateway.leave().await;
}

#[tokio::test]
async fn a_hundred_twins_at_once_are_one_batch() {
    let (rig, release) = Rig::holding().await;
    let gateway = std::sync::Arc::new(rig.gateway("").await);
    let mut twins = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let gateway = std::sync::Arc::clone(&gateway);
        twins.spawn(async move {
            let headers = [("idempotency-key", "k"), ("prefer", "wait=25")];
            gateway.post("/v1/batches", &message().to_string(), &headers).await
        });
    }
    rig.fake.arrived(1).await;
    release.cancel();
    let answers = twins.join_all().await;
    let first = id(&answers[0]);
    assert!(answers.iter().all(|answer| answer.status == 200 && id(answer) == first));
    let replays = answers.iter().filter(|answer| answer.header("idempotency-replayed") == "true");
    assert_eq!(replays.count(), 99);
    assert_eq!(rig.sends(), 1);
    gateway.leave().await;
}

#[tokio::test]
async fn a_batch_that_runs_is_attached_to() {
    let (rig, release) = Rig::holding().await;
    let gateway = rig.gateway("").await;
    let post = async |wait: &str| {
        let headers = [("idempotency-key", "k"), ("prefer", wait)];
        gateway.post("/v1/batches", &message().to_string(), &headers).await
    };
    let first = post("wait=0").await;
    let second = post("wait=0").await;
    assert_eq!((first.status, second.status, id(&first) == id(&second)), (202, 202, true));
    assert_eq!(second.header("idempotency-replayed"), "true");
    assert!(!second.header("location").is_empty());
    let (third, ()) = tokio::join!(post("wait=25"), async { release.cancel() });
    assert_eq!((third.status, third.header("idempotency-replayed")), (200, "true"));
    assert_eq!(rig.sends(), 1);
    gateway.leave().await;
}

#[tokio::test]
async fn a_stream_of_recipients_has_a_key_too() {
    let rig = Rig::willing().await;
    let gateway = rig.gateway("").await;
    let mut head = message();
    let to = head.as_object_mut().unwrap().remove("to").unwrap();
    let lines: Vec<String> = to.as_array().unwrap().iter().map(Value::to_string).collect();
    let post = async |body: String| {
        let headers = [("idempotency-key", "k"), ("content-type", "application/x-ndjson")];
        gateway.post("/v1/batches", &body, &headers).await
    };
    let first = post(format!("{head}\n{}\n", lines.join("\n"))).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let again = post(format!("{}\n\n {}", head, lines.join(" \r\n"))).await;
    assert_eq!((again.status, id(&again)), (200, id(&first)), "{}", again.text);
    let other = post(format!("{head}\n{}\n", lines[0])).await;
    assert_eq!(other.json()["code"], "idempotency_key_reused", "{}", other.text);
    assert_eq!(rig.sends(), 1);
    gateway.leave().await;
}

#[tokio::test]
async fn a_resend_with_a_key_is_one_resend() {
    let account = Account::of(PROVIDER);
    let refused = json!({"ActionStatus": "FAIL", "ErrorInfo": "no", "ErrorCode": 90001});
    let refused = Reply::Respond(Response::json(200, &refused));
    let rig = Rig::new(provider(account, queue([refused, success()], Extra::Repeat)).await);
    let gateway = rig.gateway("").await;
    let parent = gateway.send(&message()).await;
    assert_eq!(statuses(&parent), ["failed"; 2], "{}", parent.text);
    let path = format!("/v1/batches/{}/resend", id(&parent));
    let key = [("idempotency-key", "again")];
    let first = gateway.post(&path, "", &key).await;
    assert_eq!((first.status, &first.json()["resend_of"]), (200, &json!(id(&parent))), "{}", first.text);
    let second = gateway.post(&path, "", &key).await;
    assert_eq!((second.status, id(&second)), (200, id(&first)), "{}", second.text);
    assert_eq!(second.header("idempotency-replayed"), "true");
    assert_eq!(gateway.post(&path, "", &[]).await.json()["code"], "conflict");
    assert_eq!(rig.sends(), 2);
    gateway.leave().await;
}

#[tokio::test]
async fn who_wants_an_answer_at_once_gets_it_and_finds_the_report_after_a_restart() {
    let rig = Rig::willing().await;
    let before = rig.gateway("").await;
    let taken = before.post("/v1/batches", &message().to_string(), &[("prefer", "respond-async")]).await;
    assert_eq!((taken.status, taken.header("preference-applied")), (202, "respond-async"), "{}", taken.text);
    let place = taken.header("location").to_owned();
    before.leave().await;
    let after = rig.gateway("").await;
    let report = after.get_with(&place, &[("prefer", "wait=25")]).await;
    assert_eq!((report.status, &report.json()["status"]), (200, &json!("completed")), "{}", report.text);
    assert_eq!(statuses(&report), ["accepted"; 2]);
    assert_eq!(rig.sends(), 1);
    after.leave().await;
}

#[tokio::test]
async fn what_had_not_started_when_the_gateway_left_is_sent_by_the_next_one() {
    let (rig, release) = Rig::holding().await;
    let before = rig.gateway(ONE_BY_ONE).await;
    // Nobody asked for durability: it runs when its caller's wait is over.
    let taken = before.post("/v1/batches", &message().to_string(), &[("prefer", "wait=0")]).await;
    assert_eq!(taken.status, 202, "{}", taken.text);
    let place = taken.header("location").to_owned();
    rig.fake.arrived(1).await;
    let closed = async {
        while before.is_listening().await {}
        release.cancel();
    };
    tokio::join!(before.leave(), closed);
    assert_eq!(rig.fake.ledger().len(), 1);
    let after = rig.gateway(ONE_BY_ONE).await;
    let report = after.get_with(&place, &[("prefer", "wait=25")]).await;
    assert_eq!(statuses(&report), ["accepted"; 2], "{}", report.text);
    assert_eq!(rig.fake.ledger().len(), 2);
    after.leave().await;
}

#[tokio::test]
async fn a_cancel_survives_a_restart() {
    let (rig, release) = Rig::holding().await;
    let before = rig.gateway(ONE_BY_ONE).await;
    let taken = before.post("/v1/batches", &message().to_string(), &[("prefer", "respond-async")]).await;
    let place = taken.header("location").to_owned();
    rig.fake.arrived(1).await;
    let cancel = before.post(&format!("{place}/cancel"), "", &[("prefer", "wait=0")]).await;
    assert_eq!(cancel.status, 200, "{}", cancel.text);
    release.cancel();
    before.leave().await;
    let after = rig.gateway(ONE_BY_ONE).await;
    let report = after.get_with(&place, &[("prefer", "wait=25")]).await;
    assert_eq!(report.json()["status"], "canceled", "{}", report.text);
    assert_eq!(statuses(&report), ["accepted", "failed"]);
    assert_eq!(rig.fake.ledger().len(), 1);
    after.leave().await;
}

#[tokio::test]
async fn a_cancel_of_a_batch_that_nobody_works_on_is_known_to_the_next_process() {
    let (rig, release) = Rig::holding().await;
    let before = rig.gateway(ONE_BY_ONE).await;
    let taken = before.post("/v1/batches", &message().to_string(), &[("prefer", "respond-async")]).await;
    let place = taken.header("location").to_owned();
    rig.fake.arrived(1).await;
    let closed = async {
        while before.is_listening().await {}
        release.cancel();
    };
    tokio::join!(before.leave(), closed);
    // The batch has to wait here: its channel is gone.
    let other = format!("{}{}", rig.store(), channel("another", Account::of(PROVIDER), &rig.fake, ""));
    let between = TestGateway::start(&other).await;
    let cancel = between.post(&format!("{place}/cancel"), "", &[("prefer", "wait=0")]).await;
    assert_eq!((cancel.status, &cancel.json()["status"]), (200, &json!("processing")), "{}", cancel.text);
    between.leave().await;
    let after = rig.gateway(ONE_BY_ONE).await;
    let report = after.get_with(&place, &[("prefer", "wait=25")]).await;
    assert_eq!(report.json()["status"], "canceled", "{}", report.text);
    assert_eq!(statuses(&report), ["accepted", "failed"]);
    assert_eq!(rig.fake.ledger().len(), 1);
    after.leave().await;
}

#[tokio::test]
async fn batches_are_listed_newest_first_by_page() {
    let (rig, release) = Rig::holding().await;
    let gateway = rig.gateway("").await;
    let taken = gateway.post("/v1/batches", &message().to_string(), &[("prefer", "wait=0")]).await;
    rig.fake.arrived(1).await;
    let mut ids = vec![id(&taken)];
    for number in 0..4 {
        let mut body = message();
        body["client_ref"] = format!("number-{number}").into();
        ids.insert(0, id(&gateway.send(&body).await));
    }
    let mut listed = Vec::new();
    let mut token = String::new();
    loop {
        let page = gateway.get(&format!("/v1/batches?page_size=2&page_token={token}")).await.json();
        let batches = page["batches"].as_array().unwrap().clone();
        assert!(batches.len() <= 2);
        listed.extend(batches);
        token = page["next_page_token"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(listed.iter().map(|line| line["id"].as_str().unwrap()).collect::<Vec<_>>(), ids);
    let first = &listed[0];
    assert_eq!((&first["client_ref"], &first["outcome"]), (&json!("number-3"), &json!("all_accepted")));
    assert_eq!((&first["channels"], &first["counts"]["accepted"]), (&json!([CHANNEL]), &json!(2)));
    let last = listed.last().unwrap();
    assert_eq!((&last["status"], &last["counts"]["pending"]), (&json!("processing"), &json!(2)));
    let count = async |query: &str| {
        let page = gateway.get(&format!("/v1/batches?{query}")).await.json();
        page["batches"].as_array().unwrap_or_else(|| panic!("{page}")).len()
    };
    assert_eq!(count("status=processing").await, 1);
    assert_eq!(count("status=completed").await, 4);
    assert_eq!(count("channel=other").await, 0);
    assert_eq!(gateway.get("/v1/batches?status=gone").await.status, 422);
    release.cancel();
    gateway.leave().await;
}

#[tokio::test]
async fn a_large_batch_is_durable_without_being_asked() {
    let (rig, release) = Rig::holding().await;
    let before = rig.gateway("max_in_flight = 1\ncalls_per_second = 100000").await;
    let mut body = message();
    body["to"] = (0..1_001).map(|number| format!("user-{number}")).collect();
    let body = body.to_string();
    let waiting = before.post("/v1/batches", &body, &[("prefer", "wait=25")]);
    let looking = async {
        rig.fake.arrived(1).await;
        let lines = before.get("/v1/batches").await.json();
        let file = is_in_the_log(&rig.file());
        release.cancel();
        (lines, file)
    };
    let (answer, (lines, is_written)) = tokio::join!(waiting, looking);
    assert_eq!((answer.status, &answer.json()["results_truncated"]), (200, &json!(true)));
    assert_eq!(lines["batches"].as_array().unwrap().len(), 1);
    assert!(is_written, "its first call left before it was written");
    before.leave().await;
}

/// Whether something of a batch stands in the file or its log.
fn is_in_the_log(file: &Path) -> bool {
    let log = std::fs::read(file.with_extension("db-wal")).unwrap();
    log.windows(8).any(|window| window == b"user-777")
}

#[tokio::test]
async fn what_nobody_asked_to_keep_is_recorded_after_its_end() {
    let rig = Rig::willing().await;
    let before = rig.gateway("").await;
    let sent = before.send(&message()).await;
    before.leave().await;
    let after = rig.gateway("").await;
    let report = after.get(&format!("/v1/batches/{}", id(&sent))).await;
    assert_eq!((report.status, report.json()), (200, sent.json()));
    after.leave().await;
    assert_eq!(rig.sends(), 1);
}
