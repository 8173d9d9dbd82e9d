//! `imcast check --connect`: what it learns from a provider, and that it sends nothing to find out.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use imcast::dispatch::clock::Clock;
use serde_json::json;

use crate::accounts::{ACCOUNTS, Account, CANARY};
use crate::fake_provider::{Arrival, FakeProvider, Reply, Response};
use crate::outputs::{self, Output};

/// Runs the command over one channel, `checked`, that talks to `fake`; its exit code, output and errors.
async fn check(fake: &FakeProvider, provider: &str, keys: &str) -> (ExitCode, String, String) {
    let url = fake.base_url();
    let toml = format!("[channels.checked]\nprovider = '{provider}'\nbase_url = '{url}'\n{keys}\n");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), toml).unwrap();
    let arguments = ["imcast", "check", "--connect", "--config"].map(OsString::from);
    let arguments = arguments.into_iter().chain([file.path().into()]).collect::<Vec<_>>();
    // The command has a runtime of its own.
    let run = move || {
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let code = imcast::commands::run(arguments, [], &mut output, &mut errors);
        outputs::note(Output::Program, &output);
        outputs::note(Output::Program, &errors);
        (code, String::from_utf8(output).unwrap(), String::from_utf8(errors).unwrap())
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// A provider whose clock is `seconds` ahead of ours and that answers requests for a token with `token`.
async fn provider(account: &'static Account, seconds: i64, token: Reply) -> FakeProvider {
    FakeProvider::start(Box::new(move |arrival| {
        if account.asks_for_token(arrival) {
            return token.clone();
        }
        // What a root that nobody serves is answered.
        let headers = vec![("date".to_owned(), date(seconds))];
        Reply::Respond(Response { status: 404, headers, body: Vec::new() })
    }))
    .await
}

fn date(seconds_ahead: i64) -> String {
    let now = Clock::system().now();
    let shift = Duration::from_secs(seconds_ahead.unsigned_abs());
    let time = if seconds_ahead < 0 { now - shift } else { now + shift };
    let time = jiff::Timestamp::try_from(time).unwrap();
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap()
}

fn granted(account: &Account) -> Reply {
    let answer = account.token.map_or_else(|| json!({}), |token| token());
    Reply::Respond(Response::json(200, &answer))
}

/// The requests that are neither the question nor one for a token.
fn sends(account: &Account, fake: &FakeProvider) -> Vec<Arrival> {
    let is_send = |arrival: &Arrival| arrival.method != "HEAD" && !account.asks_for_token(arrival);
    fake.ledger().into_iter().filter(is_send).collect()
}

#[tokio::test]
async fn says_of_every_provider_what_can_be_known_without_a_send() {
    for account in ACCOUNTS {
        let fake = provider(account, 0, granted(account)).await;
        let (code, output, errors) = check(&fake, account.provider, account.settings).await;
        assert_eq!(code, ExitCode::SUCCESS, "{output}{errors}");
        let credential = match account.token {
            Some(_) => "a token was granted",
            None => "the signature is only checked by a send",
        };
        let line = format!("ok: 1 channels\n  checked: ok: reached; clocks agree; {credential}\n");
        assert_eq!(output, line);
        assert_eq!(sends(account, &fake).len(), 0, "{}", account.provider);
        let token_count = usize::from(account.token.is_some());
        assert_eq!(fake.ledger().len(), 1 + token_count, "{}", account.provider);
    }
}

#[tokio::test]
async fn does_not_claim_that_a_configured_token_is_good() {
    for account in ACCOUNTS {
        let Some(keys) = account.with_fixed_token else { continue };
        let fake = provider(account, 0, Reply::Reset).await;
        let (code, output, _) = check(&fake, account.provider, keys).await;
        assert_eq!(code, ExitCode::SUCCESS, "{output}");
        assert!(output.contains("the configured token is only checked by a send"), "{output}");
        assert_eq!(fake.ledger().len(), 1);
    }
}

#[tokio::test]
async fn a_provider_that_refuses_connections_fails() {
    let fake = FakeProvider::refusing();
    let account = Account::of("tencent_tim");
    let (code, output, errors) = check(&fake, account.provider, account.settings).await;
    assert_eq!(code, ExitCode::FAILURE, "{output}");
    assert!(output.contains("  checked: failed: not reached: no connection to the provider: "), "{output}");
    assert_eq!(errors, "imcast: at least one channel cannot be used now\n");
}

#[tokio::test]
async fn a_provider_that_takes_connections_and_says_nothing_fails() {
    let fake = FakeProvider::start(Box::new(|_| Reply::Hang)).await;
    let account = Account::of("volcengine_rtc");
    let keys = format!("timeout_ms = 100\n{}", account.settings);
    let (code, output, _) = check(&fake, account.provider, &keys).await;
    assert_eq!(code, ExitCode::FAILURE, "{output}");
    assert!(output.ends_with("failed: not reached: no answer from the provider in time\n"), "{output}");
}

#[tokio::test]
async fn clocks_apart_are_a_warning_and_far_apart_a_failure() {
    let account = Account::of("tencent_tim");
    let cases = [
        (100, ExitCode::SUCCESS, "warning", "behind"),
        (-100, ExitCode::SUCCESS, "warning", "ahead of"),
        (1000, ExitCode::FAILURE, "failed", "behind"),
        (-1000, ExitCode::FAILURE, "failed", "ahead of"),
    ];
    for (seconds, expected, word, direction) in cases {
        let fake = provider(account, seconds, Reply::Reset).await;
        let (code, output, _) = check(&fake, account.provider, account.settings).await;
        assert_eq!(code, expected, "{output}");
        assert!(output.contains(&format!("checked: {word}: reached; this clock is ")), "{output}");
        assert!(output.contains(&format!(" s {direction} the provider's; ")), "{output}");
    }
}

#[tokio::test]
async fn a_token_that_is_refused_fails_with_its_class_and_no_secret() {
    for account in ACCOUNTS.iter().filter(|account| account.token.is_some()) {
        // Both dialects at once, with the provider repeating the secret that it was sent.
        let words = format!("bad secret {CANARY}");
        let body = json!({"error": "invalid_grant", "error_description": words, "exception": "x",
                          "errCode": 1001, "errMsg": words, "errDlt": words});
        let refusal = Reply::Respond(Response::json(400, &body));
        let fake = provider(account, 0, refusal).await;
        let (code, output, errors) = check(&fake, account.provider, account.canaries).await;
        assert_eq!(code, ExitCode::FAILURE, "{output}");
        assert!(output.contains("checked: failed: reached; clocks agree; no token: "), "{output}");
        assert!(!format!("{output}{errors}").contains(CANARY), "{output}{errors}");
        assert_eq!(sends(account, &fake).len(), 0);
    }
}

#[tokio::test]
async fn a_broken_token_request_fails() {
    let account = Account::of("openim");
    let fake = provider(account, 0, Reply::Reset).await;
    let (code, output, _) = check(&fake, account.provider, account.settings).await;
    assert_eq!(code, ExitCode::FAILURE, "{output}");
    assert!(output.contains("no token: the connection to the provider broke"), "{output}");
}
