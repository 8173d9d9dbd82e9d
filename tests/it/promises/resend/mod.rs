//! Promise: a resend goes to those who are left, over the whole chain of resends, and to nobody twice.

mod audiences;
mod refusals;

use std::collections::HashMap;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{CHANNEL, channel, provider, sends, statuses};
use crate::accounts::{ACCOUNTS, Account};
use crate::fake_provider::{FakeProvider, Reply, Response};
use crate::harness::{Answer, TestGateway};

/// A server that fails these recipients as often as stated, and serves everybody else.
async fn failing(times: &[(&str, usize)]) -> FakeProvider {
    let mut left: HashMap<String, usize> =
        times.iter().map(|(id, times)| ((*id).to_owned(), *times)).collect();
    let answer = move |arrival: &crate::fake_provider::Arrival| {
        let ids = recipients(&arrival.json());
        let (failed, served): (Vec<_>, Vec<_>) = ids.into_iter().partition(|id| {
            let left = left.get_mut(id).filter(|left| **left > 0);
            left.map(|left| *left -= 1).is_some()
        });
        let results = served.iter().map(|id| json!({"serverMsgID": "s", "clientMsgID": "c", "recvID": id}));
        let data = json!({"results": results.collect::<Vec<_>>(), "failedUserIDs": failed});
        Reply::Respond(Response::json(200, &json!({"errCode": 0, "errMsg": "", "errDlt": "", "data": data})))
    };
    provider(openim(), Box::new(answer)).await
}

fn openim() -> &'static Account {
    Account::of("openim")
}

fn recipients(body: &Value) -> Vec<String> {
    body["recvIDs"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

/// The bodies of the calls that sent something, in order.
fn bodies(account: &Account, fake: &FakeProvider) -> Vec<Value> {
    let ledger = fake.ledger();
    ledger.iter().filter(|arrival| !account.asks_for_token(arrival)).map(|arrival| arrival.json()).collect()
}

/// Who each call went to, ids joined by commas.
fn sent(fake: &FakeProvider) -> Vec<String> {
    bodies(openim(), fake).iter().map(|body| recipients(body).join(",")).collect()
}

fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
}

async fn resend(gateway: &TestGateway, id: &str, body: &str) -> Answer {
    gateway.post(&format!("/v1/batches/{id}/resend"), body, &[("prefer", "wait=25")]).await
}

/// A resend that is refused because of where the batch stands; what was sent stays as it is.
async fn assert_conflict(gateway: &TestGateway, fake: &FakeProvider, id: &str, body: &str) -> String {
    let before = fake.ledger().len();
    let answer = resend(gateway, id, body).await;
    assert_eq!(answer.status, 409, "{body}: {}", answer.text);
    assert_eq!(answer.json()["code"], "conflict");
    assert_eq!(fake.ledger().len(), before);
    answer.json()["detail"].as_str().unwrap().to_owned()
}

fn send_to(to: &Value) -> Value {
    json!({"channel": CHANNEL, "from": "s", "client_ref": "mine", "to": to,
           "message": {"type": "text", "text": "hello"}, "ext": {"campaign": "c42"}})
}

#[tokio::test]
async fn only_what_failed_goes_again_and_a_repeat_sends_nothing() {
    let fake = failing(&[("b", 1), ("d", 1)]).await;
    let gateway = TestGateway::start(&channel(CHANNEL, openim(), &fake, "")).await;
    let to = json!(["a", {"id": "b", "ref": "user-2"}, "c", "b", "d"]);
    let parent = gateway.send(&send_to(&to)).await;
    assert_eq!(statuses(&parent), ["accepted", "failed", "accepted", "failed", "failed"]);
    let child = resend(&gateway, &id(&parent), "").await;
    assert_eq!(child.status, 200, "{}", child.text);
    assert_eq!(sent(&fake), ["a,b,c,d", "b,d"]);
    // The same message, word for word.
    let [mut first, mut second] = <[Value; 2]>::try_from(bodies(openim(), &fake)).unwrap();
    first["recvIDs"].take();
    second["recvIDs"].take();
    assert_eq!(first, second);
    let report = child.json();
    assert_eq!(child.header("batch-id"), report["id"]);
    assert_eq!(
        child.header("batch-outcome"),
        "all_accepted; total=2; accepted=2; failed=0; unknown=0; pending=0"
    );
    assert_eq!(child.header("preference-applied"), "wait=25");
    assert_eq!(report["client_ref"], "mine");
    assert_eq!(report["resend_of"], id(&parent));
    assert_eq!(
        (&report["results"][0]["recipient"], &report["results"][0]["ref"]),
        (&json!("b"), &json!("user-2"))
    );
    let parent_now = gateway.get(&format!("/v1/batches/{}", id(&parent))).await.json();
    assert_eq!(parent_now["resends"], json!([id(&child)]));
    assert_eq!(parent_now["counts"], parent.json()["counts"]);
    assert_conflict(&gateway, &fake, &id(&parent), "{}").await;
    assert_conflict(&gateway, &fake, &id(&child), "{}").await;
}

#[tokio::test]
async fn who_was_served_further_down_the_chain_is_not_sent_to_again() {
    let fake = failing(&[("a", 3), ("b", 1)]).await;
    let gateway = TestGateway::start(&channel(CHANNEL, openim(), &fake, "")).await;
    let parent = gateway.send(&send_to(&json!(["a", "b"]))).await;
    let child = resend(&gateway, &id(&parent), "").await;
    assert_eq!(statuses(&child), ["failed", "accepted"], "{}", child.text);
    // The parent again: only who is left.
    let sibling = resend(&gateway, &id(&parent), "").await;
    assert_eq!((sibling.status, statuses(&sibling)), (207, vec!["failed".to_owned()]), "{}", sibling.text);
    let grandchild = resend(&gateway, &id(&child), "").await;
    assert_eq!(grandchild.status, 200, "{}", grandchild.text);
    for report in [&parent, &child, &sibling, &grandchild] {
        assert_conflict(&gateway, &fake, &id(report), "").await;
    }
    assert_eq!(sent(&fake), ["a,b", "a,b", "a", "a"]);
}

#[tokio::test]
async fn what_may_have_been_delivered_goes_again_only_if_the_caller_accepts_duplicates() {
    let accepting = json!({"statuses": ["unknown"], "accept_duplicates": true}).to_string();
    for account in ACCOUNTS {
        let mut losses = vec![Reply::Reset];
        let answer = move |arrival: &_| {
            let success = || Reply::Respond(Response::json(200, &(account.success)(arrival)));
            losses.pop().unwrap_or_else(success)
        };
        let fake = provider(account, Box::new(answer)).await;
        let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "")).await;
        let parent = gateway.send(&account.send(CHANNEL)).await;
        assert_eq!(statuses(&parent), ["unknown"; 2], "{}: {}", account.provider, parent.text);
        assert_conflict(&gateway, &fake, &id(&parent), "").await;
        for body in [json!({"statuses": ["unknown"]}), json!({"statuses": ["unknown", "failed"]})] {
            let refused = resend(&gateway, &id(&parent), &body.to_string()).await;
            assert_eq!(refused.status, 422, "{}", refused.text);
            assert_eq!(refused.json()["errors"][0]["pointer"], "/accept_duplicates", "{}", refused.text);
        }
        assert_eq!(sends(account, &fake), 1, "{}", account.provider);
        let child = resend(&gateway, &id(&parent), &accepting).await;
        assert_eq!(child.status, 200, "{}: {}", account.provider, child.text);
        assert_conflict(&gateway, &fake, &id(&parent), &accepting).await;
        assert_eq!(sends(account, &fake), 2, "{}", account.provider);
    }
}

#[tokio::test]
async fn a_failure_after_a_lost_answer_does_not_make_duplicates() {
    let account = openim();
    let refusal = json!({"errCode": 1002, "errMsg": "NoPermissionError", "errDlt": ""});
    let mut replies = vec![Reply::Respond(Response::json(200, &refusal)), Reply::Reset];
    let success = |arrival: &_| Reply::Respond(Response::json(200, &(account.success)(arrival)));
    let answer = move |arrival: &_| replies.pop().unwrap_or_else(|| success(arrival));
    let fake = provider(account, Box::new(answer)).await;
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "")).await;
    let parent = gateway.send(&send_to(&json!(["a"]))).await;
    assert_eq!(statuses(&parent), ["unknown"], "{}", parent.text);
    let accepting = json!({"statuses": ["failed", "unknown"], "accept_duplicates": true}).to_string();
    let child = resend(&gateway, &id(&parent), &accepting).await;
    assert_eq!(statuses(&child), ["failed"], "{}", child.text);
    let detail = assert_conflict(&gateway, &fake, &id(&child), "").await;
    assert!(detail.contains("`unknown`"), "{detail}");
    assert_conflict(&gateway, &fake, &id(&parent), "").await;
    assert_eq!(resend(&gateway, &id(&child), &accepting).await.status, 200);
    assert_eq!(sent(&fake), ["a"; 3]);
}

#[tokio::test]
async fn nothing_goes_again_while_a_relative_runs_and_two_at_once_send_once() {
    let account = openim();
    let release = CancellationToken::new();
    let gate = release.clone();
    let failed =
        json!({"errCode": 0, "errMsg": "", "errDlt": "", "data": {"results": [], "failedUserIDs": ["a"]}});
    let held = Reply::After(gate, Box::new(Reply::Respond(Response::json(200, &failed))));
    let mut replies = vec![held, Reply::Respond(Response::json(200, &failed))];
    let success = |arrival: &_| Reply::Respond(Response::json(200, &(account.success)(arrival)));
    let answer = move |arrival: &_| replies.pop().unwrap_or_else(|| success(arrival));
    let fake = provider(account, Box::new(answer)).await;
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "")).await;
    let parent = id(&gateway.send(&send_to(&json!(["a"]))).await);
    let path = format!("/v1/batches/{parent}/resend");
    let ask = || gateway.post(&path, "{}", &[("prefer", "wait=0")]);
    let (first, second) = tokio::join!(ask(), ask());
    let (child, refused) = if first.status == 202 { (first, second) } else { (second, first) };
    assert_eq!((child.status, refused.status), (202, 409), "{} {}", child.text, refused.text);
    let child_path = child.header("location").to_owned();
    assert_eq!(child_path, format!("/v1/batches/{}", id(&child)));
    fake.arrived(3).await;
    let detail = assert_conflict(&gateway, &fake, &parent, "").await;
    assert!(detail.contains(&id(&child)), "{detail}");
    assert_conflict(&gateway, &fake, &id(&child), "").await;
    release.cancel();
    let ended = gateway.get_with(&child_path, &[("prefer", "wait=25")]).await;
    assert_eq!(statuses(&ended), ["failed"], "{}", ended.text);
    assert_eq!(resend(&gateway, &parent, "").await.status, 200);
    assert_eq!(sent(&fake), ["a"; 3]);
}
