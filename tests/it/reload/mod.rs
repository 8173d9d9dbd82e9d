//! Channels and keys are replaced whole while the gateway serves, and a faulty configuration changes nothing.

mod program;

use imcast::api::keys::key::Key;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::accounts::Account;
use crate::fake_provider::{Arrival, FakeProvider, Reply, Response};
use crate::harness::TestGateway;
use crate::promises::keys::{bearer, table};

/// A provider to which all is well once `release` is cancelled.
async fn provider(account: &'static Account, release: &CancellationToken) -> FakeProvider {
    let release = release.clone();
    FakeProvider::start(Box::new(move |arrival: &Arrival| {
        let answer = match account.token {
            Some(token) if account.asks_for_token(arrival) => token(),
            _ => (account.success)(arrival),
        };
        Reply::After(release.clone(), Box::new(Reply::Respond(Response::json(200, &answer))))
    }))
    .await
}

fn released() -> CancellationToken {
    let release = CancellationToken::new();
    release.cancel();
    release
}

fn section(name: &str, account: &Account, fake: &FakeProvider, more: &str) -> String {
    let (provider, url, keys) = (account.provider, fake.base_url(), account.settings);
    format!("[channels.{name}]\nprovider = '{provider}'\nbase_url = '{url}'\n{keys}\n{more}\n")
}

async fn status(gateway: &TestGateway, account: &Account, channel: &str) -> u16 {
    gateway.send(&account.send(channel)).await.status
}

async fn reloads(gateway: &TestGateway, result: &str) -> u64 {
    let text = gateway.get("/metrics").await.text;
    let series = format!("imcast_reloads_total{{result=\"{result}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
}

async fn names(gateway: &TestGateway) -> Vec<Value> {
    let channels = gateway.get("/v1/channels").await.json();
    channels["channels"].as_array().unwrap().iter().map(|channel| channel["name"].clone()).collect()
}

#[tokio::test]
async fn channels_come_go_change_and_stay() {
    let (openim, tim) = (Account::of("openim"), Account::of("tencent_tim"));
    let kept = provider(openim, &released()).await;
    let (before, after) = (provider(tim, &released()).await, provider(tim, &released()).await);
    let stays = section("stays", openim, &kept, "");
    let first = [&*stays, &section("changes", tim, &before, ""), &section("goes", tim, &before, "")];
    let gateway = TestGateway::start(&first.concat()).await;
    assert_eq!(status(&gateway, openim, "stays").await, 200);
    assert_eq!(status(&gateway, tim, "goes").await, 200);

    gateway.reload(
        &[&*stays, &section("changes", tim, &after, ""), &section("comes", tim, &after, "")].concat(),
    );
    assert_eq!(names(&gateway).await, ["changes", "comes", "stays"]);
    for (account, channel) in [(tim, "changes"), (tim, "comes"), (openim, "stays")] {
        assert_eq!(status(&gateway, account, channel).await, 200, "{channel}");
    }
    assert_eq!(status(&gateway, tim, "goes").await, 422);
    assert_eq!((before.ledger().len(), after.ledger().len()), (1, 2));
    // What is unchanged goes on with its token.
    let tokens = kept.ledger().iter().filter(|arrival| openim.asks_for_token(arrival)).count();
    assert_eq!((tokens, kept.ledger().len()), (1, 3));
    assert_eq!((reloads(&gateway, "applied").await, reloads(&gateway, "refused").await), (1, 0));
}

#[tokio::test]
async fn a_secret_that_changed_starts_its_channel_anew() {
    let account = Account::of("openim");
    let fake = provider(account, &released()).await;
    let toml = section("rotated", account, &fake, "");
    let gateway = TestGateway::start(&toml).await;
    assert_eq!(status(&gateway, account, "rotated").await, 200);
    gateway.reload(&toml.replace("openIM123", "openIM456"));
    assert_eq!(status(&gateway, account, "rotated").await, 200);
    let grants = fake.ledger().into_iter().filter(|arrival| account.asks_for_token(arrival));
    let secrets: Vec<_> = grants.map(|arrival| arrival.json()["secret"].clone()).collect();
    assert_eq!(secrets, [json!("openIM123"), json!("openIM456")]);
}

#[tokio::test]
async fn a_faulty_configuration_changes_nothing_and_is_counted() {
    let account = Account::of("tencent_tim");
    let fake = provider(account, &released()).await;
    let good = section("good", account, &fake, "");
    let gateway = TestGateway::start(&good).await;
    let other = section("other", account, &fake, "");
    let faulty = [
        format!("{good}{}", section("bad", account, &fake, "colour = 'red'")),
        format!("{other}[log]\nlevel = 'loud'\n"),
        // Without a channel the sandbox would serve.
        String::new(),
    ];
    for (count, toml) in (1..).zip(&faulty) {
        gateway.reload(toml);
        assert_eq!(names(&gateway).await, ["good"], "{toml}");
        assert_eq!(reloads(&gateway, "refused").await, count, "{toml}");
    }
    assert_eq!(status(&gateway, account, "good").await, 200);
    assert_eq!(reloads(&gateway, "applied").await, 0);
    gateway.reload(&other);
    assert_eq!(names(&gateway).await, ["other"]);
}

#[tokio::test]
async fn a_running_batch_ends_on_the_channel_that_it_began_on() {
    let account = Account::of("tencent_tim");
    let release = CancellationToken::new();
    let (before, after) = (provider(account, &release).await, provider(account, &released()).await);
    let one_by_one = "recipients_per_call = 1\nmax_in_flight = 1";
    let gateway = TestGateway::start(&section("moves", account, &before, one_by_one)).await;
    let batch = account.send("moves");
    let replace = async {
        before.arrived(1).await;
        gateway.reload(&section("moves", account, &after, one_by_one));
        assert_eq!(status(&gateway, account, "moves").await, 200);
        release.cancel();
    };
    let (answer, ()) = tokio::join!(gateway.send(&batch), replace);
    assert_eq!(answer.json()["counts"]["accepted"], 2, "{}", answer.text);
    assert_eq!((before.ledger().len(), after.ledger().len()), (2, 2));
}

#[tokio::test]
async fn in_the_sandbox_keys_are_replaced_and_channels_are_not() {
    let account = Account::of("tencent_tim");
    let fake = provider(account, &released()).await;
    let gateway = TestGateway::start("").await;
    let before = names(&gateway).await;
    let real = section("real", account, &fake, "");
    gateway.reload(&real);
    assert_eq!(names(&gateway).await, before);
    let key = Key::generate().unwrap();
    gateway.reload(&(real + &table("ops", &key, "operator = true")));
    assert_eq!(gateway.get("/v1/channels").await.status, 401);
    let headers = [("authorization", &*bearer(&key))];
    assert_eq!(gateway.get_with("/v1/channels", &headers).await.status, 200);
}

#[tokio::test]
async fn keys_come_and_go_at_once_and_keep_what_they_have_used() {
    let account = Account::of("tencent_tim");
    let fake = provider(account, &released()).await;
    let channel = section("under-test", account, &fake, "");
    let [old, new] = [(); 2].map(|()| Key::generate().unwrap());
    let key = |key: &Key, limit: u32| table("a", key, &format!("recipients_per_minute = {limit}"));
    let gateway = TestGateway::start(&(channel.clone() + &key(&old, 3))).await;
    let send = async |key: &Key| {
        let body = account.send("under-test").to_string();
        let headers = [("authorization", &*bearer(key)), ("prefer", "wait=25")];
        gateway.post("/v1/batches", &body, &headers).await.status
    };
    // Two recipients each.
    assert_eq!((send(&old).await, send(&new).await), (200, 401));
    gateway.reload(&(channel.clone() + &key(&old, 3) + &key(&new, 3)));
    assert_eq!((send(&old).await, send(&new).await), (429, 429));
    gateway.reload(&(channel.clone() + &key(&new, 5)));
    assert_eq!((send(&old).await, send(&new).await, send(&new).await), (401, 200, 429));
    // A fault in a channel leaves the keys alone too.
    gateway.reload(&format!("{channel}colour = 'red'\n{}", key(&old, 3)));
    assert_eq!((send(&old).await, send(&new).await), (401, 429));
    assert_eq!(fake.ledger().len(), 2);
}

#[tokio::test]
async fn the_last_key_of_a_gateway_that_others_reach_cannot_be_taken_away() {
    let account = Account::of("tencent_tim");
    let fake = provider(account, &released()).await;
    let channel = section("under-test", account, &fake, "");
    let key = Key::generate().unwrap();
    let public = "[server]\nlisten = '0.0.0.0:0'\n";
    let gateway =
        TestGateway::start(&[public, &channel, &table("ops", &key, "operator = true")].concat()).await;
    for toml in [&*channel, &format!("{public}insecure = true\n{channel}")] {
        gateway.reload(toml);
        assert_eq!(gateway.get("/v1/channels").await.status, 401, "{toml}");
    }
    let headers = [("authorization", &*bearer(&key))];
    let metrics = gateway.get_with("/metrics", &headers).await.text;
    assert!(metrics.contains("imcast_reloads_total{result=\"refused\"} 2\n"), "{metrics}");
    assert!(metrics.contains("imcast_last_reload_refused 1\n"), "{metrics}");
}

/// Budgets of one call in a thousand seconds: who has to wait for one shows that they were carried over.
const SLOW: &str = "calls_per_second = 0.001\nmax_in_flight = 4";

/// Whether a first call on the channel would have to wait, asked by a plan.
async fn has_to_wait(gateway: &TestGateway, account: &Account, channel: &str) -> bool {
    let body = account.send(channel).to_string();
    let plan = gateway.post("/v1/batches/plan", &body, &[]).await.json();
    plan["eta"]["seconds"].as_f64().is_some_and(|seconds| seconds > 1.0)
}

#[tokio::test]
async fn the_budgets_follow_the_account_whatever_its_channel_is_called() {
    let account = Account::of("tencent_tim");
    let (fake, other) = (provider(account, &released()).await, provider(account, &released()).await);
    let slow = |name, fake, more: &str| section(name, account, fake, &format!("{SLOW}\n{more}"));
    let gateway = TestGateway::start(&slow("a", &fake, "")).await;
    assert!(!has_to_wait(&gateway, account, "a").await);
    assert_eq!(status(&gateway, account, "a").await, 200);
    assert!(has_to_wait(&gateway, account, "a").await);
    // Other timeouts; another name; another way to the provider; away for a while.
    gateway.reload(&slow("a", &fake, "timeout_ms = 9000"));
    assert!(has_to_wait(&gateway, account, "a").await);
    gateway.reload(&slow("b", &fake, ""));
    assert!(has_to_wait(&gateway, account, "b").await);
    gateway.reload(&slow("b", &other, ""));
    assert!(has_to_wait(&gateway, account, "b").await);
    let somebody = account.settings.replace("sdk_app_id = ", "sdk_app_id = 1");
    let somebody = slow("b", &fake, "").replace(account.settings, &somebody);
    gateway.reload(&somebody);
    assert!(!has_to_wait(&gateway, account, "b").await, "another account");
    gateway.reload(&slow("a", &fake, ""));
    assert!(has_to_wait(&gateway, account, "a").await);
    // A second channel of an account that is at work has budgets of its own, as at a start.
    gateway.reload(&(slow("a", &fake, "") + &slow("c", &fake, "")));
    assert!(has_to_wait(&gateway, account, "a").await);
    assert!(!has_to_wait(&gateway, account, "c").await);
}
