//! Connections between caller and gateway that break: what was not taken is not sent, what was taken is sent once.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Lane, gateway};
use crate::accounts::Account;
use crate::fault_proxy::{Direction, End, Fault, FaultProxy, Place, faults};
use crate::harness::TestGateway;
use crate::ledger::{judge, willing};
use crate::raw::post;

async fn lane() -> Lane {
    Lane::start(Account::of("tencent_tim"), "calls", willing(), faults([])).await
}

/// Sends a request through a proxy and brings whatever comes back before the connection ends.
async fn through(gateway: &TestGateway, fault: Fault, body: &Value) -> Vec<u8> {
    let proxy = FaultProxy::start(gateway.address(), faults([fault])).await;
    let mut caller = TcpStream::connect(proxy.address()).await.unwrap();
    // The connection may break while it is written to or read from: that is the case.
    let _ = caller.write_all(&post("connection: close\r\n", body.to_string().as_bytes())).await;
    let mut answer = Vec::new();
    let _ = caller.read_to_end(&mut answer).await;
    drop(caller);
    proxy.idle(1).await;
    answer
}

#[tokio::test]
async fn a_request_that_does_not_come_whole_makes_no_call() {
    let lane = lane().await;
    // A lone P could be the start of HTTP/2, and a connection that ends after it is only dropped by the clock.
    let impatient = "[server]\nfirst_bytes_timeout_ms = 100\n".to_owned();
    let gateway = gateway([impatient, lane.section("")]).await;
    let places = [
        Place::Bytes(0),
        Place::Bytes(1),
        Place::Bytes(40),
        Place::Head(0),
        Place::Head(1),
        Place::BeforeEnd(20),
        Place::BeforeEnd(1),
    ];
    for place in places {
        for end in [End::Close, End::Reset, End::HalfClose] {
            let fault = Fault::Break(Direction::Request, place, end);
            let answer = through(&gateway, fault, &lane.request(&lane.batch("cut", 2))).await;
            assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
        }
    }
    // A whole request behind them is the first that the provider hears of.
    let batch = lane.batch("whole", 2);
    let report = lane.send(&gateway, &batch).await;
    judge("whole", &report, &batch, &lane.ledger, 0);
    gateway.leave().await;
    lane.settle().await;
    let markers: Vec<_> = lane.ledger.entries().into_iter().map(|entry| entry.marker).collect();
    assert_eq!(markers, ["whole"]);
}

#[tokio::test]
async fn a_batch_whose_answer_is_lost_is_sent_once() {
    let lane = lane().await;
    let gateway = gateway([lane.section("")]).await;
    let mut batches = Vec::new();
    for (row, place) in
        [Place::Bytes(0), Place::Bytes(9), Place::Head(0), Place::BeforeEnd(1)].into_iter().enumerate()
    {
        for (column, end) in [End::Close, End::Reset, End::HalfClose].into_iter().enumerate() {
            let batch = lane.batch(&format!("lost-{row}-{column}"), 4);
            through(&gateway, Fault::Break(Direction::Answer, place, end), &lane.request(&batch)).await;
            batches.push(batch);
        }
    }
    gateway.leave().await;
    lane.settle().await;
    for batch in &batches {
        for recipient in &batch.to {
            assert_eq!(lane.ledger.times_taken(&batch.marker, recipient), 1, "{} {recipient}", batch.marker);
        }
    }
    assert_eq!(lane.ledger.entries().len(), batches.len() * 2);
}

#[tokio::test]
async fn a_refused_request_makes_no_call_whatever_becomes_of_its_answer() {
    let lane = lane().await;
    let gateway = gateway([lane.section("")]).await;
    let mut senseless = lane.request(&lane.batch("refused", 2));
    senseless["no_such_field"] = Value::Bool(true);
    let cuts = [Place::Bytes(0), Place::Head(0), Place::BeforeEnd(1)];
    let broken = cuts.map(|place| Fault::Break(Direction::Answer, place, End::Reset));
    for fault in broken.into_iter().chain([Fault::None]) {
        let is_whole = matches!(fault, Fault::None);
        let answer = through(&gateway, fault, &senseless).await;
        assert!(!is_whole || answer.starts_with(b"HTTP/1.1 422"), "{}", String::from_utf8_lossy(&answer));
    }
    gateway.leave().await;
    assert!(lane.ledger.entries().is_empty());
    assert!(lane.proxy.log().is_empty(), "not even a connection");
}
