//! The program itself reads its configuration anew, under load.

use std::path::Path;
use std::sync::Arc;

use imcast::api::keys::key::Key;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{provider, released, section};
use crate::accounts::Account;
use crate::process::Process;
use crate::promises::keys::{bearer, table};
use crate::raw::post;

const CHANNEL: &str = "under-test";
const REFUSED: &str = "Configuration refused: the one before goes on to serve.";
const RELOADED: &str = "Configuration reloaded.";

/// Callers that send all the time until they are told to end; every answer must be a success.
struct Load {
    answered: watch::Receiver<usize>,
    end: CancellationToken,
    callers: JoinSet<()>,
}

impl Load {
    async fn start(process: &Process, account: &Account, headers: &str) -> Self {
        let (count, answered) = watch::channel(0);
        let (count, end) = (Arc::new(count), CancellationToken::new());
        let request = post(headers, account.send(CHANNEL).to_string().as_bytes());
        let mut callers = JoinSet::new();
        for _ in 0..4 {
            let mut caller = process.connect().await.unwrap();
            let (count, end, request) = (Arc::clone(&count), end.clone(), request.clone());
            callers.spawn(async move {
                while !end.is_cancelled() {
                    caller.write(&request).await;
                    let answer = caller.answer().await.expect("an answer");
                    assert_eq!(answer.status, 200, "{answer:?}");
                    count.send_modify(|count| *count += 1);
                }
            });
        }
        Self { answered, end, callers }
    }

    /// Waits for some more answers.
    async fn goes_on(&mut self) {
        let enough = *self.answered.borrow() + 40;
        self.answered.wait_for(|count| *count >= enough).await.expect("callers that go on");
    }

    async fn end(mut self) {
        self.end.cancel();
        while let Some(caller) = self.callers.join_next().await {
            caller.unwrap();
        }
    }
}

fn counts(line: &Value) -> [&Value; 4] {
    ["kept_count", "started_count", "removed_count", "key_count"].map(|name| &line[name])
}

#[tokio::test]
async fn under_load_a_bad_file_is_refused_and_a_good_one_serves_and_no_request_fails() {
    let account = Account::of("tencent_tim");
    let (before, after) = (provider(account, &released()).await, provider(account, &released()).await);
    let [staying, leaving] = [(); 2].map(|()| Key::generate().unwrap());
    let keys = [table("ops", &staying, "operator = true"), table("b", &leaving, "")];
    let fast = "calls_per_second = 100000";
    let rest = "[shutdown]\ndrain_delay_seconds = 0\n";
    let serve = |fake, keys: &str| format!("{}{keys}{rest}", section(CHANNEL, account, fake, fast));
    let first = serve(&before, &keys.concat());
    let mut process = Process::start(&first).await;
    let headers = |key: &Key| format!("authorization: {}\r\nprefer: wait=25\r\n", bearer(key));
    let mut load = Load::start(&process, account, &headers(&staying)).await;
    let mut revoked = process.connect().await.unwrap();
    let send = post(&headers(&leaving), account.send(CHANNEL).to_string().as_bytes());
    revoked.write(&send).await;
    assert_eq!(revoked.answer().await.unwrap().status, 200);
    load.goes_on().await;

    // Nobody tells it: it looks.
    process.configure(&first.replace(fast, "calls_per_second = 'secret-nonsense'"));
    let line = process.logged(REFUSED).await;
    let error = line["error"].as_str().unwrap();
    assert!(error.contains("channels.under-test.calls_per_second"), "{line}");
    assert!(!error.contains("nonsense"), "{line}");
    assert!(after.ledger().is_empty());
    load.goes_on().await;

    // Another way to the provider, and one key less; a change of what stays is said.
    process.configure(&(serve(&after, &keys[0]) + "[limits]\nroutes_per_batch = 7\n"));
    process.signal("-HUP");
    let line = process.logged(RELOADED).await;
    assert_eq!(counts(&line), [&json!(0), &json!(1), &json!(0), &json!(1)], "{line}");
    let line = process.logged("These settings are not those of the start: they need a restart.").await;
    assert_eq!(line["settings"], "limits.routes_per_batch");
    // On the same connection.
    revoked.write(&send).await;
    assert_eq!(revoked.answer().await.unwrap().status, 401);
    load.goes_on().await;
    assert!(after.ledger().len() >= 30);
    load.end().await;
    process.terminate();
    process.logged("Left in order.").await;
    assert_eq!(process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_good_file_serves_without_a_word_of_anybody() {
    let account = Account::of("tencent_tim");
    let (before, after) = (provider(account, &released()).await, provider(account, &released()).await);
    let mut process = Process::start(&section(CHANNEL, account, &before, "")).await;
    process.configure(&section(CHANNEL, account, &after, ""));
    process.logged(RELOADED).await;
    let mut caller = process.connect().await.unwrap();
    caller.write(&post("prefer: wait=25\r\n", account.send(CHANNEL).to_string().as_bytes())).await;
    assert_eq!(caller.answer().await.unwrap().status, 200);
    assert_eq!((before.ledger().len(), after.ledger().len()), (0, 1));
}

#[tokio::test]
async fn a_hangup_reads_the_configuration_although_no_file_has_changed() {
    let account = Account::of("tencent_tim");
    let fake = provider(account, &released()).await;
    let mut process = Process::start(&section(CHANNEL, account, &fake, "")).await;
    process.signal("-HUP");
    let line = process.logged(RELOADED).await;
    assert_eq!(counts(&line), [&json!(1), &json!(0), &json!(0), &json!(0)], "{line}");
}

/// Turns a link as a mounted secret is exchanged: whole, by a rename.
fn turn(link: &Path, target: &Path) {
    let next = link.with_extension("next");
    std::os::unix::fs::symlink(target, &next).unwrap();
    std::fs::rename(&next, link).unwrap();
}

#[tokio::test]
async fn a_secret_file_that_is_exchanged_is_read_anew_and_a_missing_one_is_waited_for() {
    let account = Account::of("openim");
    let fake = provider(account, &released()).await;
    let folder = tempfile::tempdir().unwrap();
    let [link, old, new] = ["secret", "old", "new"].map(|name| folder.path().join(name));
    std::fs::write(&old, "openIM123\n").unwrap();
    turn(&link, &old);
    let inline = section(CHANNEL, account, &fake, "");
    let toml =
        inline.replace("secret = 'openIM123'", &format!("secret_file = {:?}", link.display().to_string()));
    assert_ne!(toml, inline);
    let mut process = Process::start(&toml).await;
    let mut caller = process.connect().await.unwrap();
    let send = post("prefer: wait=25\r\n", account.send(CHANNEL).to_string().as_bytes());
    caller.write(&send).await;
    assert_eq!(caller.answer().await.unwrap().status, 200);

    // Told so while the new one is not there yet: what serves goes on, and it is read as soon as it comes.
    turn(&link, &new);
    process.signal("-HUP");
    let line = process.logged(REFUSED).await;
    assert!(line["error"].as_str().unwrap().contains("channels.under-test.secret_file"), "{line}");
    caller.write(&send).await;
    assert_eq!(caller.answer().await.unwrap().status, 200);
    std::fs::write(&new, "openIM456\n").unwrap();
    process.logged(RELOADED).await;
    caller.write(&send).await;
    assert_eq!(caller.answer().await.unwrap().status, 200);
    let grants = fake.ledger().into_iter().filter(|arrival| account.asks_for_token(arrival));
    let secrets: Vec<_> = grants.map(|arrival| arrival.json()["secret"].clone()).collect();
    assert_eq!(secrets, [json!("openIM123"), json!("openIM456")]);
}
