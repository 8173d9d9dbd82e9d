//! Promise: secrets stay inside.

use std::sync::{Arc, Mutex, Once, PoisonError};

use imcast::api::keys::key::Key;
use serde_json::json;

use super::{CHANNEL, channel, keys, losses, page, provider, willing};
use crate::accounts::{ACCOUNTS, Account, CANARY};
use crate::fake_provider::{FakeProvider, Reply, Response};
use crate::harness::TestGateway;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Collects what is logged from here on, at every level; only one test may.
fn collect_log() -> Log {
    static ONCE: Once = Once::new();
    let log = Log::default();
    let writer = log.clone();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone());
        tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
    });
    log
}

/// Text of a message, which nobody logs.
const CONTENT: &str = "nobody-logs-this-text";

/// All that the gateway answers while a provider refuses, fails and serves.
async fn everything_answered(account: &'static Account) -> String {
    let mut replies = losses().into_iter().map(|(_, reply)| reply).collect::<Vec<_>>();
    replies.extend([401, 403, 429, 400].map(|status| Reply::Respond(page(status, "no"))));
    let rounds = replies.len() + 1;
    let fake = provider(
        account,
        Box::new(move |arrival| {
            let success = Reply::Respond(Response::json(200, &(account.success)(arrival)));
            replies.pop().unwrap_or(success)
        }),
    )
    .await;
    let nobody = FakeProvider::refusing();
    let gateway = TestGateway::start(&format!(
        "{}{}",
        channel(CHANNEL, account, &fake, "timeout_ms = 200"),
        channel("nobody", account, &nobody, "")
    ))
    .await;
    let mut send = account.send(CHANNEL);
    send["message"]["text"] = json!(CONTENT);
    let mut seen = String::new();
    for _ in 0..rounds {
        seen.push_str(&gateway.send(&send).await.text);
    }
    seen.push_str(&gateway.send(&account.send("nobody")).await.text);
    seen.push_str(&gateway.post("/v1/batches/plan", &send.to_string(), &[]).await.text);
    for path in ["/v1/channels", &format!("/v1/channels/{CHANNEL}"), "/v1/batches", "/readyz", "/metrics"] {
        seen.push_str(&gateway.get(path).await.text);
    }
    send["no_such_field"] = json!(1);
    seen.push_str(&gateway.send(&send).await.text);
    seen
}

/// All that the gateway answers to a key that it knows and to one that it does not.
async fn everything_answered_to_keys(good: &Key, wrong: &Key) -> String {
    let account = Account::of("openim");
    let fake = willing(account).await;
    let gateway = TestGateway::start(&format!(
        "{}{}",
        channel(CHANNEL, account, &fake, ""),
        keys::table("caller", good, "recipients_per_minute = 4\nchannels = ['under-test']")
    ))
    .await;
    let mut seen = String::new();
    for key in [good, wrong, good] {
        let authorization = format!("Bearer {}", key.text.expose());
        let headers = [("authorization", &*authorization)];
        for path in ["/v1/batches", "/v1/batches/plan", "/no/such/path"] {
            for channel in [CHANNEL, "nobody"] {
                let answer = gateway.post(path, &account.send(channel).to_string(), &headers).await;
                seen.push_str(&format!("{} {:?} {}", answer.status, answer.headers, answer.text));
            }
        }
        seen.push_str(&gateway.get_with("/v1/channels", &headers).await.text);
    }
    seen
}

#[tokio::test]
async fn no_secret_is_answered_or_logged() {
    let log = collect_log();
    let mut seen = String::new();
    for account in ACCOUNTS {
        seen.push_str(&everything_answered(account).await);
    }
    let keys = [Key::generate().unwrap(), Key::generate().unwrap()];
    seen.push_str(&everything_answered_to_keys(&keys[0], &keys[1]).await);
    let [good, wrong] = keys.map(|key| key.text.expose().split_once('.').unwrap().1.to_owned());
    for secret in [CANARY, "TEST-APP-TOKEN", "TEST-ADMIN-TOKEN", "Signature=", "usersig=e", &good, &wrong] {
        assert!(!seen.contains(secret), "an answer shows {secret}");
    }
    assert!(seen.contains("[redacted]"), "a plan shows that something is hidden");
    let log = log.0.lock().unwrap_or_else(PoisonError::into_inner);
    let log = String::from_utf8_lossy(&log);
    assert!(log.contains("Batch finished."), "the log is collected");
    for secret in
        [CANARY, "TEST-APP-TOKEN", "TEST-ADMIN-TOKEN", "Signature=", "usersig=", CONTENT, &good, &wrong]
    {
        let place = log.find(secret);
        assert!(
            place.is_none(),
            "the log shows {secret}: {:?}",
            place.map(|place| &log[place.saturating_sub(200)..place])
        );
    }
}
