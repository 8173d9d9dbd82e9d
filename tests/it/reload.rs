//! Channels are replaced whole while the gateway serves, and a faulty configuration changes nothing.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::accounts::Account;
use crate::fake_provider::{Arrival, FakeProvider, Reply, Response};
use crate::harness::TestGateway;

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
async fn the_sandbox_is_not_replaced() {
    let account = Account::of("tencent_tim");
    let fake = provider(account, &released()).await;
    let gateway = TestGateway::start("").await;
    let before = names(&gateway).await;
    gateway.reload(&section("real", account, &fake, ""));
    assert_eq!(names(&gateway).await, before);
    assert_eq!(reloads(&gateway, "refused").await, 1);
}
