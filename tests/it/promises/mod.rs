//! What the gateway promises its callers, one test or more for each promise.

#[cfg(feature = "sqlite")]
mod durable;
mod faults;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod given_credentials;
mod hosts;
mod injection;
pub(crate) mod keys;
mod limits;
mod refusals;
mod resend;
mod results;
mod running;
mod secrets;
mod unknown;

use crate::accounts::Account;
use crate::fake_provider::{FakeProvider, Reply, Response, Script};
use crate::harness::Answer;

pub(super) const CHANNEL: &str = "under-test";

/// A channel's section of the configuration.
pub(super) fn channel(name: &str, account: &Account, fake: &FakeProvider, more: &str) -> String {
    format!(
        "[channels.{name}]\nprovider = '{}'\nbase_url = '{}'\n{}\n{more}\n",
        account.provider,
        fake.base_url(),
        account.canaries
    )
}

/// A provider that gives tokens and answers sends by `sends`.
pub(super) async fn provider(account: &'static Account, mut sends: Script) -> FakeProvider {
    FakeProvider::start(Box::new(move |arrival| match account.token {
        Some(token) if account.asks_for_token(arrival) => Reply::Respond(Response::json(200, &token())),
        _ => sends(arrival),
    }))
    .await
}

/// A provider that serves everybody.
pub(super) async fn willing(account: &'static Account) -> FakeProvider {
    let answer = |arrival: &_| Reply::Respond(Response::json(200, &(account.success)(arrival)));
    provider(account, Box::new(answer)).await
}

pub(super) fn sends(account: &Account, fake: &FakeProvider) -> usize {
    let ledger = fake.ledger();
    ledger.iter().filter(|arrival| !account.asks_for_token(arrival)).count()
}

pub(super) fn page(status: u16, text: &str) -> Response {
    Response {
        status,
        headers: vec![("content-type".into(), "text/html".into())],
        body: text.as_bytes().to_vec(),
    }
}

/// The statuses of a report, in order.
pub(super) fn statuses(answer: &Answer) -> Vec<String> {
    let report = answer.json();
    let results = report["results"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
    results.iter().map(|result| result["status"].as_str().unwrap().to_owned()).collect()
}

/// Ways to lose an answer after the request was written, and the cause that the report names.
pub(super) fn losses() -> Vec<(&'static str, Reply)> {
    vec![
        ("connection_reset", Reply::Reset),
        ("connection_reset", Reply::Cut(page(200, "{}"), 10)),
        ("unreadable_answer", Reply::Cut(page(200, "{\"code\":200,\"errCode\":0}"), 75)),
        ("http_502", Reply::Respond(page(502, "<html>Bad Gateway</html>"))),
        ("http_503", Reply::Respond(page(503, "<html>Away</html>"))),
        ("http_504", Reply::Respond(page(504, ""))),
        ("unreadable_answer", Reply::Respond(page(200, "<html>Log in</html>"))),
        ("timeout", Reply::Hang),
    ]
}
