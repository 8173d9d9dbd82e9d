//! Promise: secrets stay inside.

use imcast::api::keys::key::Key;
use serde_json::json;

use super::{CHANNEL, channel, keys, losses, page, provider, willing};
use crate::accounts::{ACCOUNTS, Account, CANARY};
use crate::command_line;
use crate::fake_provider::{FakeProvider, Reply, Response};
use crate::harness::TestGateway;
use crate::outputs;

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
        let authorization = keys::bearer(key);
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
    outputs::collect_log();
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
    let log = outputs::collected_log();
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

/// A configuration that holds a secret of every kind, in the tables of every provider.
fn every_secret(key: &Key, more: &str) -> String {
    let channels = ACCOUNTS.iter().map(|account| {
        let name = account.provider.replace('_', "-");
        format!(
            "[channels.{name}]\nprovider = '{}'\nbase_url = 'https://{name}.test'\n{}\n",
            account.provider, account.canaries
        )
    });
    let store = "[store]\nurl = 'postgres://imcast:canary-database@127.0.0.1/imcast'\n";
    let callbacks = "[callbacks]\nallowed_hosts = ['hooks.example']\n\
                     secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'\n";
    format!("{store}{callbacks}{}{}{more}", channels.collect::<String>(), keys::table("caller", key, ""))
}

#[tokio::test]
async fn check_shows_no_secret_of_a_good_configuration_and_of_none_that_is_refused() {
    let key = Key::generate().unwrap();
    keys::tell(&key);
    let good = every_secret(&key, "");
    let digest = key.digest().to_string();
    // Each makes a secret one that cannot be used, where the reason could quote it.
    let broken = [
        ("whsec_MfKQ", "whzec_MfKQ"),
        ("[callbacks]\n", "[callbacks]\nprevious_secret = ['canary-6f1d2b']\n"),
        ("postgres://", "postgrez://"),
        ("'canary-6f1d2b'\n", "'canary-6f1d2b\u{7}'\n"),
        ("secret = 'canary-6f1d2b'", "secret = { a = 'canary-6f1d2b' }"),
        ("client = 'canary-6f1d2b-c'", "client = ['canary-6f1d2b-c']"),
        ("sha256 = '", "sha256 = 'canary-6f1d2b"),
        ("[callbacks]", "[callbacks] = canary-6f1d2b"),
    ];
    let files = [good.clone()].into_iter().chain(broken.map(|(from, to)| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    }));
    for (index, toml) in files.enumerate() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), toml).unwrap();
        let arguments = ["check", "--config", file.path().to_str().unwrap()];
        let ended = command_line::end(command_line::start(&arguments, &[])).await;
        assert_eq!(ended.code == Some(0), index == 0, "{index}: {ended:?}");
        let said = ended.output + &ended.errors;
        for secret in [CANARY, "canary-database", "MfKQ9r8GKYqr", &*digest] {
            assert!(!said.contains(secret), "{index}: {secret} in {said}");
        }
    }
}
