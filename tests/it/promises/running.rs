//! Promise: one channel's trouble stays its own, and a batch that was taken runs to its end.

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use super::{CHANNEL, channel, provider, sends, statuses, willing};
use crate::accounts::Account;
use crate::fake_provider::{Extra, Reply, Response, queue};
use crate::harness::TestGateway;

#[tokio::test]
async fn a_hanging_provider_does_not_hold_up_another() {
    let (slow, quick) = (Account::of("tencent_tim"), Account::of("openim"));
    let hanging = provider(slow, queue([Reply::Hang], Extra::Repeat)).await;
    let fake = willing(quick).await;
    let gateway = TestGateway::start(&format!(
        "{}{}",
        channel("slow", slow, &hanging, "max_in_flight = 2"),
        channel("quick", quick, &fake, "")
    ))
    .await;
    for _ in 0..4 {
        let answer =
            gateway.post("/v1/batches", &slow.send("slow").to_string(), &[("prefer", "wait=0")]).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
    }
    hanging.arrived(2).await;
    assert_eq!(gateway.send(&quick.send("quick")).await.status, 200);
    // In one batch the quick route is settled while the slow one is not.
    let [first, second] = quick.recipients;
    let both = json!({"message": {"type": "text", "text": "x"}, "routes": [
        {"channel": "slow", "to": ["a"]},
        {"channel": "quick", "from": "dave", "to": [first, second]},
    ]});
    let taken = gateway.post("/v1/batches", &both.to_string(), &[("prefer", "wait=0")]).await;
    assert_eq!(taken.status, 202, "{}", taken.text);
    let mut answer = taken;
    while answer.json()["counts"]["accepted"] != 2 {
        let place = answer.json()["links"]["self"].as_str().unwrap().to_owned();
        answer = gateway.get(&place).await;
    }
    assert_eq!(answer.json()["status"], "processing", "{}", answer.text);
    assert_eq!(statuses(&answer), ["pending", "accepted", "accepted"]);
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_stop_a_batch() {
    let account = Account::of("openim");
    let release = CancellationToken::new();
    let gate = release.clone();
    let fake = provider(
        account,
        Box::new(move |arrival| {
            let success = Reply::Respond(Response::json(200, &(account.success)(arrival)));
            Reply::After(gate.clone(), Box::new(success))
        }),
    )
    .await;
    let one_by_one = "recipients_per_call = 1\nmax_in_flight = 1";
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, one_by_one)).await;
    let mut send = account.send(CHANNEL);
    send["to"] = json!(["a", "b", "c"]);
    let body = send.to_string();
    let mut caller = gateway.connect().await;
    let request = format!(
        "POST /v1/batches HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    caller.write_all(request.as_bytes()).await.unwrap();
    // The token and the first call.
    fake.arrived(2).await;
    drop(caller);
    release.cancel();
    fake.arrived(4).await;
    assert_eq!(sends(account, &fake), 3);
}

#[tokio::test]
async fn a_batch_can_be_followed_to_its_end() {
    let account = Account::of("tencent_tim");
    let release = CancellationToken::new();
    let success = json!({"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0, "MsgKey": "k"});
    let held = Reply::After(release.clone(), Box::new(Reply::Respond(Response::json(200, &success))));
    let fake = provider(account, queue([held], Extra::Fail)).await;
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "")).await;
    let body = account.send(CHANNEL).to_string();
    let taken = gateway.post("/v1/batches", &body, &[("prefer", "wait=0")]).await;
    assert_eq!(taken.status, 202, "{}", taken.text);
    assert_eq!(taken.header("preference-applied"), "wait=0");
    assert!(!taken.header("retry-after").is_empty());
    let place = taken.header("location").to_owned();
    assert_eq!(taken.json()["links"]["self"], place);
    fake.arrived(1).await;
    let running = gateway.get(&place).await.json();
    assert_eq!(running["status"], "processing");
    assert_eq!(running["counts"]["pending"], 2);
    release.cancel();
    let ended = gateway.get_with(&place, &[("prefer", "wait=25")]).await;
    let report = ended.json();
    assert_eq!((ended.status, &report["status"]), (200, &json!("completed")));
    assert_eq!(report["outcome"], "all_accepted");
    assert_eq!(statuses(&ended), ["accepted"; 2]);
}

#[tokio::test]
async fn calls_in_flight_are_finished_and_the_rest_never_starts_when_the_gateway_leaves() {
    let account = Account::of("tencent_tim");
    let release = CancellationToken::new();
    let success = json!({"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0, "MsgKey": "k"});
    let held = Reply::After(release.clone(), Box::new(Reply::Respond(Response::json(200, &success))));
    let fake = provider(account, queue([held], Extra::Fail)).await;
    let one_by_one = "recipients_per_call = 1\nmax_in_flight = 1";
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, one_by_one)).await;
    let body = account.send(CHANNEL).to_string();
    let waiting = gateway.post("/v1/batches", &body, &[("prefer", "wait=25")]);
    let leaving = async {
        fake.arrived(1).await;
        // Once no connection is taken any more, nothing new may start either.
        let closed = async {
            while gateway.is_listening().await {}
            release.cancel();
        };
        tokio::join!(gateway.leave(), closed)
    };
    let (answer, _) = tokio::join!(waiting, leaving);
    let report = answer.json();
    assert_eq!(statuses(&answer), ["accepted", "failed"], "{}", answer.text);
    assert_eq!(report["results"][1]["error"]["code"], "shutdown");
    assert_eq!(report["results"][1]["attempts"], 0);
    assert_eq!(fake.ledger().len(), 1);
}

#[tokio::test]
async fn a_canceled_batch_finishes_its_calls_and_starts_no_other() {
    let account = Account::of("tencent_tim");
    let release = CancellationToken::new();
    let success = json!({"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0, "MsgKey": "k"});
    let held = Reply::After(release.clone(), Box::new(Reply::Respond(Response::json(200, &success))));
    let fake = provider(account, queue([held], Extra::Fail)).await;
    let one_by_one = "recipients_per_call = 1\nmax_in_flight = 1";
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, one_by_one)).await;
    let body = account.send(CHANNEL).to_string();
    let taken = gateway.post("/v1/batches", &body, &[("prefer", "wait=0")]).await;
    fake.arrived(1).await;
    let cancel = format!("{}/cancel", taken.header("location"));
    let at_once = gateway.post(&cancel, "", &[("prefer", "wait=0")]).await;
    assert_eq!((at_once.status, &at_once.json()["status"]), (200, &json!("processing")));
    release.cancel();
    let ended = gateway.post(&cancel, "", &[]).await;
    let report = ended.json();
    assert_eq!(
        (ended.status, &report["status"], &report["outcome"]),
        (200, &json!("canceled"), &json!("partial"))
    );
    assert_eq!(statuses(&ended), ["accepted", "failed"]);
    assert_eq!(report["results"][1]["error"]["code"], "canceled");
    assert_eq!(report["results"][1]["attempts"], 0);
    assert_eq!(fake.ledger().len(), 1);
    assert_eq!(gateway.get(taken.header("location")).await.json()["status"], "canceled");
}

#[tokio::test]
async fn a_channel_with_too_much_to_do_refuses_and_leaves_room_for_the_others() {
    let (slow, quick) = (Account::of("tencent_tim"), Account::of("openim"));
    let hanging = provider(slow, queue([Reply::Hang], Extra::Repeat)).await;
    let fake = willing(quick).await;
    let gateway = TestGateway::start(&format!(
        "[delivery]\nchannel_routes = 2\n{}{}",
        channel("slow", slow, &hanging, ""),
        channel("quick", quick, &fake, "")
    ))
    .await;
    let send = |name: &str, account: &Account| account.send(name).to_string();
    for _ in 0..2 {
        gateway.post("/v1/batches", &send("slow", slow), &[("prefer", "wait=0")]).await;
    }
    hanging.arrived(2).await;
    let refused = gateway.post("/v1/batches", &send("slow", slow), &[]).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"), "{}", refused.text);
    assert_eq!(refused.json()["code"], "overloaded");
    // A batch with both is refused as a whole: nothing of it is sent.
    let both = json!({"message": {"type": "text", "text": "hi"}, "routes": [
        {"channel": "quick", "from": quick.sender, "to": quick.recipients},
        {"channel": "slow", "from": slow.sender, "to": slow.recipients}]});
    assert_eq!(gateway.send(&both).await.status, 503);
    assert_eq!((hanging.ledger().len(), sends(quick, &fake)), (2, 0));
    assert_eq!(gateway.send(&quick.send("quick")).await.status, 200);
}

#[tokio::test]
async fn a_dead_provider_is_left_alone_and_the_others_are_not() {
    let (dead, quick) = (Account::of("tencent_tim"), Account::of("openim"));
    let resetting = provider(dead, queue([Reply::Reset], Extra::Repeat)).await;
    let fake = willing(quick).await;
    let gateway = TestGateway::start(&format!(
        "{}{}",
        channel("dead", dead, &resetting, ""),
        channel("quick", quick, &fake, "")
    ))
    .await;
    for _ in 0..5 {
        assert_eq!(statuses(&gateway.send(&dead.send("dead")).await), ["unknown"; 2]);
    }
    let report = gateway.send(&dead.send("dead")).await.json();
    let error = &report["results"][0]["error"];
    assert_eq!((&error["code"], &error["retryable"]), (&json!("circuit_open"), &json!(true)));
    assert_eq!(resetting.ledger().len(), 5);
    assert_eq!(gateway.get("/v1/channels/dead").await.json()["circuit"]["state"], "open");
    assert_eq!(gateway.get("/v1/channels/quick").await.json()["circuit"]["state"], "closed");
    assert_eq!(gateway.send(&quick.send("quick")).await.status, 200);
}
