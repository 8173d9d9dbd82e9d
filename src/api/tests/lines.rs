//! Bodies that are streams of recipients.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use futures_core::Stream;

use super::rig::{Answered, Rig, request};

const HEADERS: [(&str, &str); 1] = [("content-type", "application/x-ndjson")];

const HEAD: &str = "{\"channel\":\"main\",\"message\":{\"type\":\"text\",\"text\":\"hi\"}}\n";

async fn send(rig: &Rig, body: impl Into<Body>) -> Answered {
    rig.call(request("POST", "/v1/batches", &HEADERS, body.into())).await
}

/// The head and then one line after the other; asks for no more than it is told to.
struct Lines {
    head: Option<Bytes>,
    line: Bytes,
    left: usize,
}

impl Lines {
    fn body(line: String, count: usize) -> Body {
        Body::from_stream(Self { head: Some(HEAD.into()), line: line.into(), left: count })
    }
}

impl Stream for Lines {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(Ok(head)));
        }
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
        self.left = left;
        Poll::Ready(Some(Ok(self.line.clone())))
    }
}

#[tokio::test(start_paused = true)]
async fn sends_a_stream_of_recipients() {
    let body = format!("{HEAD}\"a\"\n{{\"id\":\"b\",\"ref\":\"r\"}}\n");
    let answered = send(&Rig::new(), body.clone()).await;
    assert_eq!(answered.status, 200);
    assert_eq!(answered.json()["results"][1]["ref"], "r");
    let rig = Rig::new();
    let planned = rig.call(request("POST", "/v1/batches/plan", &HEADERS, Body::from(body))).await;
    assert_eq!((planned.status, rig.calls()), (200, 0));
    assert_eq!(planned.json()["calls"][0]["body"], serde_json::json!(["a", "b"]));
}

#[tokio::test(start_paused = true)]
async fn a_large_stream_is_planned_beside_the_connections() {
    let lines: String = (0..20_000).map(|number| format!("\"recipient-{number:06}\"\n")).collect();
    let answered = send(&Rig::new(), format!("{HEAD}{lines}")).await;
    assert_eq!(answered.status, 200);
    assert_eq!(answered.json()["counts"]["accepted"], 20_000);
}

#[tokio::test(start_paused = true)]
async fn a_stream_takes_room_for_its_recipients_only() {
    // 900 KiB of body through a room of 100 KiB, announced or not.
    let rig = Rig::with(|settings| settings.limits.held_body_bytes = 100 << 10);
    let spacious = format!("{}1\n", " ".repeat(899));
    let answered = send(&rig, Lines::body(spacious.clone(), 1024)).await;
    assert_eq!(answered.status, 207, "{}", answered.text);
    assert_eq!(rig.calls(), 1);
    let announced = send(&rig, format!("{HEAD}{}", spacious.repeat(1024))).await;
    assert_eq!(announced.status, 207, "{}", announced.text);
    let many = Lines::body("\"a-recipient-with-quite-a-long-id\"\n".to_owned(), 20_000);
    let refused = send(&rig, many).await;
    assert_eq!(refused.refusal().1, "too_large");
    // What it had taken is free again.
    assert_eq!(send(&rig, format!("{HEAD}1\n")).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn limits_hold_for_streams_as_for_json() {
    let rig = Rig::with(|settings| {
        settings.limits.body_bytes = 10_000;
        settings.limits.recipients_per_batch = 100;
    });
    assert_eq!(send(&rig, Lines::body("1\n".to_owned(), 6000)).await.refusal().1, "too_large");
    let refusal = send(&rig, Lines::body("1\n".to_owned(), 101)).await.refusal();
    assert_eq!(refusal, (422, "invalid_request".into(), vec!["/to too_large".into()]));
    let announced = [HEADERS[0], ("content-length", "10001")];
    let body = Lines::body("1\n".to_owned(), usize::MAX);
    let refused = rig.call(request("POST", "/v1/batches", &announced, body)).await;
    assert_eq!(refused.refusal().1, "too_large");
    assert_eq!(rig.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_no_json_ends_the_reading() {
    let rig = Rig::new();
    let endless = Lines::body("\"a\n".to_owned(), usize::MAX);
    let refused = send(&rig, endless).await;
    assert!(refused.text.contains("line 2, /to/0: "), "{}", refused.text);
    assert_eq!(refused.refusal(), (400, "invalid_json".into(), Vec::new()));
    let faults = send(&rig, format!("{HEAD}\"a\"\ntrue\n{{}}\n")).await.refusal();
    let expected = vec!["/to/1 wrong_type".to_owned(), "/to/2/id required".to_owned()];
    assert_eq!(faults, (422, "invalid_request".into(), expected));
    assert_eq!(rig.calls(), 0);
}
