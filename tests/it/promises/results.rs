//! Promise: every entry of `to` has exactly one result, at its own index; nothing is dropped silently.

use serde_json::json;

use super::{CHANNEL, channel, provider, sends, statuses, willing};
use crate::accounts::{ACCOUNTS, Account};
use crate::fake_provider::{Extra, Reply, Response, queue};
use crate::harness::TestGateway;

#[tokio::test]
async fn every_entry_has_one_result_whatever_it_is() {
    for account in ACCOUNTS {
        let fake = willing(account).await;
        let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "recipients_per_call = 1")).await;
        let [first, second] = account.recipients;
        let mut send = account.send(CHANNEL);
        send["to"] = json!([first, {"id": second, "ref": "r2"}, first, "", {"id": second, "ref": "again"}]);
        let answer = gateway.send(&send).await;
        assert_eq!(answer.status, 207, "{}: {}", account.provider, answer.text);
        let report = answer.json();
        let results = report["results"].as_array().unwrap();
        let seen: Vec<_> = results
            .iter()
            .map(|result| {
                let code = result["error"]["code"].as_str().unwrap_or_default();
                (result["recipient"].as_str().unwrap(), code, result["ref"].as_str().unwrap_or_default())
            })
            .collect();
        let wanted = [
            (first, "", ""),
            (second, "", "r2"),
            (first, "duplicate_recipient", ""),
            ("", "invalid_recipient", ""),
            (second, "duplicate_recipient", "again"),
        ];
        assert_eq!(seen, wanted, "{}", account.provider);
        for (index, result) in results.iter().enumerate() {
            assert_eq!(result["index"], index);
            let was_called = result["attempts"] != 0;
            assert_eq!(was_called, result["status"] == "accepted", "{result}");
        }
        let counts = json!({"total": 5, "accepted": 2, "failed": 3, "unknown": 0, "pending": 0});
        assert_eq!(report["counts"], counts);
        assert_eq!(sends(account, &fake), 2, "{}", account.provider);
    }
}

#[tokio::test]
async fn somebody_the_provider_did_not_mention_is_unknown_and_a_stranger_is_a_warning() {
    let account = Account::of("openim");
    let body = json!({"errCode": 0, "errMsg": "", "errDlt": "", "data": {"failedUserIDs": [], "results": [
        {"recvID": account.recipients[0], "serverMsgID": "m1", "clientMsgID": "c", "sendTime": 1},
        {"recvID": "a-stranger", "serverMsgID": "m2", "clientMsgID": "c", "sendTime": 1},
    ]}});
    let reply = Reply::Respond(Response::json(200, &body));
    let fake = provider(account, queue([reply], Extra::Fail)).await;
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "")).await;
    let answer = gateway.send(&account.send(CHANNEL)).await;
    assert_eq!(statuses(&answer), ["accepted", "unknown"]);
    let report = answer.json();
    assert_eq!(report["results"][1]["error"]["cause"], "unaccounted");
    assert_eq!(report["warnings"].as_array().unwrap().len(), 1, "{}", report["warnings"]);
    assert_eq!(report["warnings"][0]["channel"], CHANNEL);
    assert!(!answer.text.contains("a-stranger"), "{}", answer.text);
}

#[tokio::test]
async fn a_hint_without_a_field_is_left_out_with_a_warning() {
    let account = Account::of("openim");
    let fake = willing(account).await;
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "")).await;
    let mut send = account.send(CHANNEL);
    send["message"] = json!({"type": "image", "url": "https://cdn.example.com/a.png", "width": 1, "height": 1,
                             "filename": "a.png"});
    let answer = gateway.send(&send).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let warnings = answer.json()["warnings"].clone();
    assert_eq!(warnings.as_array().unwrap().len(), 1, "{warnings}");
    assert_eq!(warnings[0]["pointer"], "/message/filename");
    assert_eq!(warnings[0]["channel"], CHANNEL);
}
