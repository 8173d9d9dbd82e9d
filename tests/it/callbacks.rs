//! Callbacks over real sockets: what arrives at the receiver, and where nothing does.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use imcast::providers::REGISTRY;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio_util::sync::CancellationToken;

use crate::fake_provider::{Arrival, Extra, FakeProvider, Reply, Response, queue};
use crate::harness::{Answer, TestGateway};
use crate::process::Process;
use crate::raw::post;

const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PREVIOUS: &str = "cHJldmlvdXMtc2VjcmV0LW9mLXRoZS1vcGVyYXRvcg==";

fn status(status: u16) -> Reply {
    Reply::Respond(Response::json(status, &json!({})))
}

/// A gateway with the sandbox whose batches go to this folder and whose callbacks may go to this host.
fn configuration(folder: &Path, host: &str, more: &str) -> String {
    format!(
        "[store]\nurl = 'sqlite:{}'\n[callbacks]\nallowed_hosts = ['http://{host}']\n\
         secret = 'whsec_{SECRET}'\nprevious_secret = 'whsec_{PREVIOUS}'\n{more}\n",
        folder.join("imcast.db").display()
    )
}

const LOOPBACK: &str = "allow_private_addresses = true\nretry_delays_ms = [10, 20, 30]";

/// A send to the sandbox with this callback.
fn batch(url: &str) -> Value {
    let provider = &REGISTRY[0];
    let (accepted, refused) = provider.sandbox.recipients;
    let mut batch = json!({
        "channel": provider.sandbox.channel,
        "to": [accepted, refused],
        "message": { "type": "text", "text": "hello" },
        "client_ref": "maintenance",
        "options": { "callback": { "url": url } },
    });
    if !provider.sandbox.sender.is_empty() {
        batch["from"] = provider.sandbox.sender.into();
    }
    batch
}

async fn send(gateway: &TestGateway, url: &str) -> Answer {
    let sent = gateway.send(&batch(url)).await;
    assert_eq!(sent.status, 207, "{}", sent.text);
    sent
}

/// The signature that the receiver makes itself.
fn signature(secret: &str, arrival: &Arrival) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(secret).unwrap()).unwrap();
    let (id, timestamp) =
        (arrival.header("webhook-id").unwrap(), arrival.header("webhook-timestamp").unwrap());
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(&arrival.body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Waits until the metrics say so.
async fn counted(gateway: &TestGateway, line: &str) {
    while !gateway.get("/metrics").await.text.lines().any(|known| known == line) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_end_of_a_batch_is_told_once_and_signed() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = FakeProvider::start(queue([status(204)], Extra::Repeat)).await;
    let gateway = TestGateway::start(&configuration(folder.path(), &receiver.host(), LOOPBACK)).await;
    let url = format!("{}/end?of=batch", receiver.base_url());
    let sent = send(&gateway, &url).await.json();
    receiver.arrived(1).await;
    counted(&gateway, "imcast_callback_tries_total{result=\"delivered\"} 1").await;
    let [arrival] = &receiver.ledger()[..] else { panic!("{:?}", receiver.ledger()) };
    assert_eq!((&*arrival.method, &*arrival.path, &*arrival.query), ("POST", "/end", "of=batch"));
    assert_eq!(arrival.header("content-type"), Some("application/json"));
    let event = arrival.json();
    assert_eq!(event["type"], "batch.completed");
    assert_eq!(event["timestamp"], sent["completed_at"]);
    for field in ["id", "client_ref", "status", "outcome", "created_at", "completed_at", "counts", "links"] {
        assert_eq!(event["data"][field], sent[field], "{field}");
    }
    let id = sent["id"].as_str().unwrap().replace("bat_", "evt_");
    assert_eq!(arrival.header("webhook-id"), Some(&*id));
    let expected = [SECRET, PREVIOUS].map(|secret| signature(secret, arrival)).join(" ");
    assert_eq!(arrival.header("webhook-signature"), Some(&*expected));
    gateway.leave().await;
    assert_eq!(receiver.ledger().len(), 1);
}

#[tokio::test]
async fn a_failed_callback_comes_again_with_the_same_id() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = FakeProvider::start(queue([status(200)], Extra::Repeat)).await;
    let mut redirect = Response::json(307, &json!({}));
    redirect.headers.push(("location".into(), format!("{}/stolen", elsewhere.base_url())));
    let replies = [status(500), Reply::Respond(redirect), Reply::Reset, status(200)];
    let receiver = FakeProvider::start(queue(replies, Extra::Fail)).await;
    let gateway = TestGateway::start(&configuration(folder.path(), &receiver.host(), LOOPBACK)).await;
    send(&gateway, &receiver.base_url()).await;
    receiver.arrived(4).await;
    counted(&gateway, "imcast_callback_tries_total{result=\"delivered\"} 1").await;
    gateway.leave().await;
    let ledger = receiver.ledger();
    assert_eq!(ledger.len(), 4);
    for arrival in &ledger {
        assert_eq!(arrival.header("webhook-id"), ledger[0].header("webhook-id"));
        assert_eq!(arrival.body, ledger[0].body);
        let first = arrival.header("webhook-signature").unwrap().split(' ').next();
        assert_eq!(first, Some(&*signature(SECRET, arrival)));
    }
    assert!(elsewhere.ledger().is_empty(), "a redirect is not followed");
}

#[tokio::test]
async fn a_restart_between_the_end_and_the_delivery_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let release = CancellationToken::new();
    let replies = [Reply::After(release.clone(), Box::new(status(503))), status(200)];
    let receiver = FakeProvider::start(queue(replies, Extra::Fail)).await;
    let toml = configuration(folder.path(), &receiver.host(), LOOPBACK);
    let gateway = TestGateway::start(&toml).await;
    send(&gateway, &receiver.base_url()).await;
    receiver.arrived(1).await;
    // The process leaves while the receiver has not answered: the failure is written, the repeat is left.
    tokio::join!(gateway.leave(), async { release.cancel() });
    let gateway = TestGateway::start(&toml).await;
    receiver.arrived(2).await;
    counted(&gateway, "imcast_callback_tries_total{result=\"delivered\"} 1").await;
    gateway.leave().await;
    let ledger = receiver.ledger();
    assert_eq!(ledger.len(), 2);
    assert_eq!(ledger[0].header("webhook-id"), ledger[1].header("webhook-id"));
}

#[tokio::test]
async fn no_private_address_is_connected_to() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = FakeProvider::start(queue([status(200)], Extra::Repeat)).await;
    // A name that anybody may have, and an address behind it that only this machine has.
    let host = format!("localhost:{}", receiver.address().port());
    let toml = configuration(folder.path(), &host, "retry_delays_ms = [1]");
    let gateway = TestGateway::start(&toml).await;
    send(&gateway, &format!("http://{host}/")).await;
    counted(&gateway, "imcast_callback_tries_total{result=\"given_up\"} 1").await;
    gateway.leave().await;
    receiver.idle(0).await;
    assert_eq!((receiver.ledger().len(), receiver.unfinished().len()), (0, 0));
    // The same name is reached where that is allowed.
    let folder = tempfile::tempdir().unwrap();
    let gateway = TestGateway::start(&configuration(folder.path(), &host, LOOPBACK)).await;
    send(&gateway, &format!("http://{host}/")).await;
    receiver.arrived(1).await;
    gateway.leave().await;
}

#[tokio::test]
async fn no_secret_and_no_url_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = FakeProvider::start(queue([status(500)], Extra::Repeat)).await;
    let more = "allow_private_addresses = true\nretry_delays_ms = [1]";
    // It begins in the table of the log.
    let toml = format!("level = 'trace'\n{}", configuration(folder.path(), &receiver.host(), more));
    let mut process = Process::start(&toml).await;
    let url = format!("{}/path-canary?token=query-canary", receiver.base_url());
    let mut caller = process.connect().await.unwrap();
    caller.write(&post("prefer: wait=25\r\n", batch(&url).to_string().as_bytes())).await;
    assert_eq!(caller.answer().await.unwrap().status, 207);
    let log = process.log_until("Callback given up").await + &process.kill().await.join("\n");
    assert!(log.contains("Callback failed") && log.contains("http_500"), "{log}");
    assert_eq!(receiver.ledger().len(), 2);
    for secret in [SECRET, PREVIOUS, "v1,", "path-canary", "query-canary"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

#[tokio::test]
async fn callers_choose_no_server() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = FakeProvider::start(queue([status(200)], Extra::Repeat)).await;
    let fault = |answer: &Answer| {
        assert_eq!(answer.status, 422, "{}", answer.text);
        let fault = &answer.json()["errors"][0];
        format!("{} {}", fault["pointer"].as_str().unwrap(), fault["code"].as_str().unwrap())
    };
    let allowed = configuration(folder.path(), "hooks.example", LOOPBACK);
    let gateway = TestGateway::start(&allowed).await;
    let url = receiver.base_url();
    for path in ["/v1/batches", "/v1/batches/plan"] {
        let answer = gateway.post(path, &batch(&url).to_string(), &[]).await;
        assert_eq!(fault(&answer), "/options/callback/url not_allowed", "{path}");
    }
    gateway.leave().await;
    let closed = format!("[store]\nurl = 'sqlite:{}'\n", folder.path().join("closed.db").display());
    let gateway = TestGateway::start(&closed).await;
    assert_eq!(fault(&gateway.send(&batch(&url)).await), "/options/callback/url not_allowed");
    gateway.leave().await;
    // Without a file nothing would survive the process.
    let toml = configuration(folder.path(), &receiver.host(), LOOPBACK);
    let memory = toml.lines().filter(|line| !line.starts_with("url")).collect::<Vec<_>>().join("\n");
    let gateway = TestGateway::start(&memory.replace("[store]", "[store]\nurl = 'memory:'")).await;
    assert_eq!(fault(&gateway.send(&batch(&url)).await), "/options/callback not_allowed");
    gateway.leave().await;
    assert!(receiver.ledger().is_empty());
}
