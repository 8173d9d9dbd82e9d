//! Promise: `unknown` is honest, and nothing that may have been delivered is sent again.

use serde_json::json;

use super::{CHANNEL, channel, losses, provider, sends, statuses, willing};
use crate::accounts::{ACCOUNTS, Account};
use crate::fake_provider::{Extra, Reply, Response, queue};
use crate::harness::TestGateway;

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_unknown_and_nothing_is_sent_again() {
    for account in ACCOUNTS {
        for (cause, loss) in losses() {
            let what = format!("{}: {loss:?}", account.provider);
            let fake = provider(account, queue([loss], Extra::Repeat)).await;
            let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "timeout_ms = 200")).await;
            let answer = gateway.send(&account.send(CHANNEL)).await;
            assert_eq!(answer.status, 207, "{what}: {}", answer.text);
            for result in answer.json()["results"].as_array().unwrap() {
                assert_eq!(result["status"], "unknown", "{what}: {result}");
                assert_eq!(result["error"]["retryable"], false, "{what}: {result}");
                // Some sheets read a page's status or body themselves, in other words.
                if ["timeout", "connection_reset"].contains(&cause) {
                    assert_eq!(result["error"]["cause"], cause, "{what}: {result}");
                    assert_eq!(result["error"]["source"], "transport", "{what}: {result}");
                }
            }
            assert_eq!(sends(account, &fake), 1, "{what}");
        }
    }
}

#[tokio::test]
async fn a_lost_answer_is_tried_again_only_if_the_caller_accepts_duplicates() {
    for account in ACCOUNTS {
        let mut replies = vec![Reply::Reset];
        let fake = provider(
            account,
            Box::new(move |arrival| {
                let success = Reply::Respond(Response::json(200, &(account.success)(arrival)));
                replies.pop().unwrap_or(success)
            }),
        )
        .await;
        let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "")).await;
        let mut send = account.send(CHANNEL);
        send["options"] = json!({"retry_unknown": true});
        let answer = gateway.send(&send).await;
        assert_eq!(statuses(&answer), ["accepted"; 2], "{}: {}", account.provider, answer.text);
        assert_eq!(sends(account, &fake), 2, "{}", account.provider);
        assert_eq!(answer.json()["results"][0]["attempts"], 2, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let account = Account::of("tencent_tim");
    let elsewhere = willing(account).await;
    let redirect =
        Response { status: 307, headers: vec![("location".into(), elsewhere.base_url())], body: Vec::new() };
    let fake = provider(account, queue([Reply::Respond(redirect)], Extra::Repeat)).await;
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "")).await;
    let answer = gateway.send(&account.send(CHANNEL)).await;
    assert_eq!(statuses(&answer), ["unknown"; 2], "{}", answer.text);
    assert_eq!(sends(account, &fake), 1);
    assert!(elsewhere.ledger().is_empty());
}

#[tokio::test]
async fn an_answer_over_the_limit_is_unknown() {
    let account = Account::of("tencent_tim");
    let padded = json!({"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": "x".repeat(5000)});
    let reply = Reply::Respond(Response::json(200, &padded));
    let fake = provider(account, queue([reply], Extra::Repeat)).await;
    let settings = format!("[transport]\nanswer_bytes = 4096\n{}", channel(CHANNEL, account, &fake, ""));
    let answer = TestGateway::start(&settings).await.send(&account.send(CHANNEL)).await;
    assert_eq!(statuses(&answer), ["unknown"; 2], "{}", answer.text);
    assert_eq!(sends(account, &fake), 1);
}
