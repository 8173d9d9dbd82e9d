//! Promise: what a caller proves himself with is used by every process and can be read in no store.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{CHANNEL, channel, page, provider, statuses};
use crate::accounts::Account;
use crate::fake_provider::{Extra, FakeProvider, Reply, Response, queue};
use crate::harness::TestGateway;

/// Stands in requests and must be seen nowhere but at the provider.
const GIVEN: &str = "canary-of-a-caller";

const ONE_BY_ONE: &str = "recipients_per_call = 1\nmax_in_flight = 1";

/// A place where batches are kept, and everything that it holds, as it lies there.
struct Kept {
    url: String,
    bytes: Box<dyn Fn() -> Vec<u8>>,
}

fn account() -> &'static Account {
    Account::of("easemob_relay")
}

fn success() -> Reply {
    Reply::Respond(Response::json(200, &json!({"code": 200, "message": "成功", "data": [], "page": null})))
}

/// A batch of two with a part of the signed query.
fn message() -> Value {
    let mut message = account().send(CHANNEL);
    message["client_ref"] = "marked".into();
    message["provider_options"] = json!({"easemob_relay": {"query": {"sign": GIVEN}}});
    message
}

fn configuration(kept: &Kept, fake: &FakeProvider) -> String {
    format!("[store]\nurl = '{}'\n{}", kept.url, channel(CHANNEL, account(), fake, ONE_BY_ONE))
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Leaves while the first call of a durable batch is out: where its report is.
async fn leave_open(toml: &str, fake: &FakeProvider, release: &CancellationToken) -> String {
    let gateway = TestGateway::start(toml).await;
    let before = fake.ledger().len();
    let taken = gateway.post("/v1/batches", &message().to_string(), &[("prefer", "respond-async")]).await;
    assert_eq!(taken.status, 202, "{}", taken.text);
    fake.arrived(before + 1).await;
    let closed = async {
        while gateway.is_listening().await {}
        release.cancel();
    };
    tokio::join!(gateway.leave(), closed);
    taken.header("location").to_owned()
}

async fn is_used_and_cannot_be_read(kept: Kept) {
    let release = CancellationToken::new();
    let held = Reply::After(release.clone(), Box::new(success()));
    // Ends its route, so that the second recipient is not called for.
    let refused = Reply::Respond(page(403, "no"));
    let answers = queue([refused, success(), success(), held, success()], Extra::Repeat);
    let fake = provider(account(), answers).await;
    let toml = configuration(&kept, &fake);
    let gateway = TestGateway::start(&toml).await;
    // One that is only recorded at its end, and one that is written before its first call.
    let recorded = gateway.send(&message()).await;
    assert_eq!(statuses(&recorded), ["failed"; 2], "{}", recorded.text);
    let key = [("idempotency-key", "k")];
    let durable = gateway.post("/v1/batches", &message().to_string(), &key).await;
    assert_eq!(statuses(&durable), ["accepted"; 2], "{}", durable.text);
    gateway.leave().await;
    let place = leave_open(&toml, &fake, &release).await;

    let gateway = TestGateway::start(&toml).await;
    let report = gateway.get_with(&place, &[("prefer", "wait=25")]).await;
    assert_eq!(statuses(&report), ["accepted"; 2], "{}", report.text);
    let resend = format!("/v1/batches/{}/resend", recorded.json()["id"].as_str().unwrap());
    let resent = gateway.post(&resend, "", &[("prefer", "wait=25")]).await;
    assert_eq!(statuses(&resent), ["accepted"; 2], "{}", resent.text);
    gateway.leave().await;

    let ledger = fake.ledger();
    assert_eq!(ledger.len(), 7);
    for arrival in &ledger {
        assert!(arrival.parameters().contains(&("sign".into(), GIVEN.into())), "{}", arrival.query);
    }
    let bytes = (kept.bytes)();
    assert!(has(&bytes, "marked"), "the store holds the batches");
    assert!(!has(&bytes, GIVEN), "the store shows what the caller gave");
}

async fn is_lost_with_the_secret(kept: Kept) {
    let release = CancellationToken::new();
    let held = Reply::After(release.clone(), Box::new(success()));
    let fake = provider(account(), queue([held, success()], Extra::Repeat)).await;
    let toml = configuration(&kept, &fake);
    let place = leave_open(&toml, &fake, &release).await;
    let other = toml.replace("sign = 'canary-6f1d2b-s'", "sign = 'canary-6f1d2b-t'");
    assert_ne!(other, toml);
    let gateway = TestGateway::start(&other).await;
    // No wait for its end by way of the process that runs it: it is never run again.
    let report = loop {
        let report = gateway.get(&place).await;
        if report.json()["status"] == "completed" {
            break report;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(statuses(&report), ["accepted", "failed"], "{}", report.text);
    let error = &report.json()["results"][1]["error"];
    assert_eq!((&error["code"], &error["source"]), (&json!("authentication"), &json!("gateway")), "{error}");
    assert_eq!(fake.ledger().len(), 1);
    gateway.leave().await;
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::Kept;

    fn kept(directory: &tempfile::TempDir) -> Kept {
        let path = directory.path().join("imcast.db");
        let url = format!("sqlite:{}", path.display());
        let read = |path: String| std::fs::read(path).unwrap_or_default();
        let bytes = move || ["", "-wal"].map(|end| read(format!("{}{end}", path.display()))).concat();
        Kept { url, bytes: Box::new(bytes) }
    }

    #[tokio::test]
    async fn what_a_caller_proves_himself_with_is_used_and_cannot_be_read_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        super::is_used_and_cannot_be_read(kept(&directory)).await;
    }

    #[tokio::test]
    async fn a_batch_whose_credentials_can_no_longer_be_read_in_the_file_ends() {
        let directory = tempfile::tempdir().unwrap();
        super::is_lost_with_the_secret(kept(&directory)).await;
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::Kept;
    use crate::{cluster, harness};

    fn kept() -> Kept {
        let url = cluster::shared().database();
        Kept { url: url.clone(), bytes: Box::new(move || harness::dump(&url)) }
    }

    #[tokio::test]
    async fn what_a_caller_proves_himself_with_is_used_and_cannot_be_read_in_the_database() {
        super::is_used_and_cannot_be_read(kept()).await;
    }

    #[tokio::test]
    async fn a_batch_whose_credentials_can_no_longer_be_read_in_the_database_ends() {
        super::is_lost_with_the_secret(kept()).await;
    }
}
