//! Recipients that stand elsewhere than in `to`, and routes that look alike.

use serde_json::{Value, json};

use super::{bodies, failing, id, openim, resend, sent, statuses};
use crate::accounts::Account;
use crate::fake_provider::{Reply, Response};
use crate::harness::TestGateway;
use crate::promises::{CHANNEL, channel, provider};

#[tokio::test]
async fn members_of_a_room_are_sent_to_again_as_members_of_it() {
    let account = Account::of("easemob_chatroom");
    let mut is_refused = false;
    let answer = move |arrival: &crate::fake_provider::Arrival| {
        let is_second = arrival.json()["users"][0] == "u21";
        if is_second && !std::mem::replace(&mut is_refused, true) {
            let error = json!({"error": "not_implemented", "error_description": "not now"});
            return Reply::Respond(Response::json(501, &error));
        }
        Reply::Respond(Response::json(200, &(account.success)(arrival)))
    };
    let fake = provider(account, Box::new(answer)).await;
    let in_order = "max_in_flight = 1";
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, in_order)).await;
    let users: Vec<String> = (1..=23).map(|number| format!("u{number:02}")).collect();
    let [room, _] = account.recipients;
    let mut send = account.send(CHANNEL);
    send["to"] = json!([{"id": room, "ref": "room-1"}]);
    send["provider_options"] = json!({"easemob_chatroom": {"users": users, "chatroom_msg_level": "high"}});
    let parent = gateway.send(&send).await;
    assert_eq!(parent.json()["counts"]["failed"], 3, "{}", parent.text);
    let child = resend(&gateway, &id(&parent), "").await;
    assert_eq!(statuses(&child), ["accepted"; 3], "{}", child.text);
    for (result, user) in child.json()["results"].as_array().unwrap().iter().zip(["u21", "u22", "u23"]) {
        assert_eq!(result["recipient"], user);
        assert_eq!((&result["chatroom_id"], &result["ref"]), (&json!(room), &json!("room-1")));
    }
    let sent = bodies(account, &fake);
    assert_eq!(sent.len(), 3);
    assert_eq!(sent[1]["users"], json!(["u21", "u22", "u23"]));
    // The whole room would see a message without `users`, or to another path.
    assert_eq!(sent[1], sent[2]);
    let paths: Vec<_> = fake.ledger().iter().map(|arrival| arrival.path.clone()).collect();
    assert!(paths.last().unwrap().ends_with("/messages/chatrooms/users"), "{paths:?}");
    assert_eq!(resend(&gateway, &id(&parent), "").await.status, 409);
}

fn to_everybody() -> Value {
    json!({"channel": CHANNEL, "from": "s", "to": [], "message": {"type": "text", "text": "hello"},
           "provider_options": {"openim": {"is_send_all": true}}})
}

#[tokio::test]
async fn whom_a_send_to_all_listed_as_failed_is_named_and_nobody_else_gets_it_again() {
    let account = openim();
    let listed = json!({"errCode": 0, "errMsg": "", "errDlt": "", "data": {
        "results": [{"serverMsgID": "s", "clientMsgID": "c", "recvID": "a"}], "failedUserIDs": ["b", "c"]}});
    let mut replies = vec![Reply::Respond(Response::json(200, &listed))];
    let success = |arrival: &_| Reply::Respond(Response::json(200, &(account.success)(arrival)));
    let answer = move |arrival: &_| replies.pop().unwrap_or_else(|| success(arrival));
    let fake = provider(account, Box::new(answer)).await;
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "allow_send_all = true")).await;
    let parent = gateway.send(&to_everybody()).await;
    assert_eq!(statuses(&parent), ["accepted", "failed", "failed"], "{}", parent.text);
    let child = resend(&gateway, &id(&parent), "").await;
    assert_eq!(statuses(&child), ["accepted"; 2], "{}", child.text);
    let sent = bodies(account, &fake);
    assert_eq!((&sent[0]["isSendAll"], &sent[1]["isSendAll"]), (&json!(true), &json!(false)));
    assert_eq!(sent[1]["recvIDs"], json!(["b", "c"]));
    assert_eq!(resend(&gateway, &id(&parent), "").await.status, 409);
    assert_eq!(resend(&gateway, &id(&child), "").await.status, 409);
}

#[tokio::test]
async fn a_lost_send_to_all_cannot_be_sent_again() {
    let account = openim();
    let fake = provider(account, Box::new(|_| Reply::Reset)).await;
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "allow_send_all = true")).await;
    let parent = gateway.send(&to_everybody()).await;
    assert_eq!(statuses(&parent), ["unknown"], "{}", parent.text);
    assert_eq!(parent.json()["results"][0]["recipient"], "*");
    let body = json!({"statuses": ["failed", "unknown"], "accept_duplicates": true}).to_string();
    assert_eq!(resend(&gateway, &id(&parent), &body).await.status, 409);
    assert_eq!(bodies(account, &fake).len(), 1);
}

#[tokio::test]
async fn routes_of_one_channel_with_the_same_ids_keep_their_own_messages() {
    let fake = failing(&[("x", 1), ("a", 2)]).await;
    let gateway = TestGateway::start(&channel(CHANNEL, openim(), &fake, "")).await;
    let text = |text: &str| json!({"type": "text", "text": text});
    // Both routes hold `a`, which fails twice: in both of them. Of the first one `x` fails too.
    let parent = gateway
        .send(&json!({"from": "s", "routes": [
            {"channel": CHANNEL, "to": ["x", "a"], "message": text("one")},
            {"channel": CHANNEL, "to": ["y", "a"], "message": text("two")},
        ]}))
        .await;
    assert_eq!(statuses(&parent), ["failed", "failed", "accepted", "failed"], "{}", parent.text);
    let child = resend(&gateway, &id(&parent), "").await;
    assert_eq!(child.status, 200, "{}", child.text);
    let mut again: Vec<_> = bodies(openim(), &fake)
        .split_off(2)
        .iter()
        .map(|body| format!("{} {}", body["content"]["content"], super::recipients(body).join(",")))
        .collect();
    again.sort();
    assert_eq!(again, [r#""one" x,a"#, r#""two" a"#]);
    assert_eq!(resend(&gateway, &id(&parent), "").await.status, 409);
    assert_eq!(sent(&fake).len(), 4);
}
