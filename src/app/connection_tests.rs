//! Connections without sockets, on the paused clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::api::answer;
use crate::app::server::Connections;
use crate::app::tests::settings;

/// No connection here lives longer: a test fails rather than waiting for ever.
const LIFETIME: Duration = Duration::from_secs(1000);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn door() -> Arc<Connections> {
    let endless = || async {
        let pieces = std::iter::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 4096])));
        Body::from_stream(Pieces(Box::new(pieces)))
    };
    let late = || async {
        sleep(Duration::from_secs(200)).await;
        "late"
    };
    let router = Router::new()
        .route("/", get(async || "hi"))
        .route("/late", get(late))
        .route("/endless", get(endless))
        .route("/unanswered", get(async || answer::none()))
        .route("/refused", post(async || "no"));
    Connections::new(router, settings(10_000))
}

/// Pieces that are all there at once.
struct Pieces<I>(Box<I>);

impl<I: Iterator> futures_core::Stream for Pieces<I> {
    type Item = I::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<I::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}

impl Connections {
    fn connect(self: &Arc<Self>) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        self.tasks.spawn(Arc::clone(self).carry(theirs, SocketAddr::from(([127, 0, 0, 1], 1))));
        ours
    }

    /// A client of HTTP/2 that answers pings; its task ends with the connection and says how long that was.
    async fn connect_http2(self: &Arc<Self>, carried: &mut JoinSet<Duration>) -> SendRequest<Empty<Bytes>> {
        let began = Instant::now();
        let stream = TokioIo::new(self.connect());
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        carried.spawn(async move {
            // Cut or closed: both end it.
            drop(timeout(LIFETIME, connection).await);
            began.elapsed()
        });
        sender
    }
}

async fn ask(stream: &mut DuplexStream, path: &str) {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with("hi") && !answer.ends_with("late") {
        let mut bytes = [0; 512];
        let count = stream.read(&mut bytes).await.unwrap();
        assert!(count > 0, "closed after {answer}");
        answer.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

/// Sends these bytes, then one letter a second, and returns how long that is suffered.
async fn drip(mut stream: DuplexStream, beginning: &[u8]) -> Duration {
    let began = Instant::now();
    stream.write_all(beginning).await.unwrap();
    let (mut from, mut to) = tokio::io::split(stream);
    let dripping = async {
        while to.write_all(b"x").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
        sleep(LIFETIME).await;
    };
    let mut rest = Vec::new();
    tokio::select! {
        _ = from.read_to_end(&mut rest) => {}
        () = dripping => {}
    }
    assert_eq!(rest, b"", "nobody answers a head that never ends");
    began.elapsed()
}

/// Sends these bytes and waits for the end of the connection, whatever it says.
async fn fall_silent(mut stream: DuplexStream, beginning: &[u8]) -> Duration {
    let began = Instant::now();
    stream.write_all(beginning).await.unwrap();
    drop(timeout(LIFETIME, stream.read_to_end(&mut Vec::new())).await);
    began.elapsed()
}

fn seconds(elapsed: Duration) -> u64 {
    elapsed.as_secs()
}

#[tokio::test(start_paused = true)]
async fn good_callers_are_answered_while_bad_ones_are_closed() {
    let door = door();
    let (mut bad, mut senders) = (JoinSet::new(), Vec::new());
    for _ in 0..200 {
        bad.spawn(fall_silent(door.connect(), b""));
        bad.spawn(drip(door.connect(), b"GET / HTTP/1.1\r\nhost: "));
    }
    for _ in 0..50 {
        bad.spawn(fall_silent(door.connect(), PREFACE));
        bad.spawn(fall_silent(door.connect(), &PREFACE[..9]));
        senders.push(door.connect_http2(&mut bad).await);
    }
    let mut kept = door.connect();
    for _ in 0..20 {
        ask(&mut kept, "/").await;
        ask(&mut door.connect(), "/").await;
        sleep(Duration::from_millis(600)).await;
    }
    let bad = bad.join_all().await;
    assert_eq!(bad.len(), 550);
    assert!(bad.iter().all(|elapsed| (10..=12).contains(&seconds(*elapsed))), "{bad:?}");
    ask(&mut kept, "/").await;
}

#[tokio::test(start_paused = true)]
async fn every_head_has_its_own_time() {
    let door = door();
    let mut stream = door.connect();
    ask(&mut stream, "/").await;
    sleep(Duration::from_secs(60)).await;
    ask(&mut stream, "/").await;
    sleep(Duration::from_secs(60)).await;
    assert!((10..=12).contains(&seconds(drip(stream, b"G").await)));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_rests_after_a_request_is_closed_later() {
    let door = door();
    let mut stream = door.connect();
    ask(&mut stream, "/").await;
    assert!((75..=80).contains(&seconds(fall_silent(stream, b"").await)));

    let mut carried = JoinSet::new();
    let mut sender = door.connect_http2(&mut carried).await;
    for _ in 0..2 {
        let request = Request::get("http://x/").body(Empty::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hi");
        sleep(Duration::from_secs(60)).await;
    }
    assert!((135..=140).contains(&seconds(carried.join_next().await.unwrap().unwrap())));
}

#[tokio::test(start_paused = true)]
async fn a_head_over_its_limits_is_refused_by_both_protocols() {
    let door = door();
    let filler = |length: usize| "z".repeat(length);
    for (length, status) in [(32 * 1024 - 100, "200"), (32 * 1024, "431")] {
        let mut stream = door.connect();
        let head =
            format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-y: {}\r\n\r\n", filler(length));
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    let mut carried = JoinSet::new();
    let mut sender = door.connect_http2(&mut carried).await;
    for (length, status) in [(15 * 1024, 200), (17 * 1024, 431), (10, 200)] {
        let request = Request::get("http://x/").header("x-y", filler(length)).body(Empty::new()).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), status, "{length}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_take_longer_than_any_rest() {
    let door = door();
    let mut stream = door.connect();
    ask(&mut stream, "/late").await;
    ask(&mut stream, "/").await;
    let mut carried = JoinSet::new();
    let mut sender = door.connect_http2(&mut carried).await;
    let request = Request::get("http://x/late").body(Empty::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "late");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_taken_goes_on_and_one_that_is_not_ends() {
    let door = door();
    let mut stream = door.connect();
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut bytes = vec![0; 1024 * 1024];
    for _ in 0..10 {
        sleep(Duration::from_secs(50)).await;
        stream.read_exact(&mut bytes).await.unwrap();
    }
    let stopped = Instant::now();
    let mut is_open = true;
    while is_open {
        sleep(Duration::from_secs(1)).await;
        // A stream whose other end is gone says so at once.
        is_open = stopped.elapsed() < LIFETIME && stream.write_all(b"x").await.is_ok();
    }
    assert!((75..=80).contains(&seconds(stopped.elapsed())));
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_before_the_body_was_read_can_read_why() {
    let door = door();
    let mut stream = door.connect();
    let head = "POST /refused HTTP/1.1\r\nhost: x\r\ncontent-length: 500000\r\n\r\n";
    let body = vec![b'x'; 499_999];
    // Longer than any buffer between: it can only be written if somebody reads it.
    stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("no"), "{answer}");
    // It says enough to be heard, not for ever.
    drop(stream);
    let stream = door.connect();
    let head = "POST /refused HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n";
    let (mut from, mut to) = tokio::io::split(stream);
    to.write_all(head.as_bytes()).await.unwrap();
    from.read_to_end(&mut Vec::new()).await.unwrap();
    let mut count = 0;
    while to.write_all(&[b'x'; 4096]).await.is_ok() {
        count += 4096;
    }
    assert!(count < 2 * 1024 * 1024, "{count}");
}

/// A frame of HTTP/2. Source: RFC 9113, section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_requests_taken_back_ends_the_connection() {
    // Source: RFC 9113, sections 6 and 7.
    const HEADERS: u8 = 1;
    const RESET: u8 = 3;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    const CANCEL: [u8; 4] = 8_u32.to_be_bytes();
    const ENHANCE_YOUR_CALM: [u8; 4] = 11_u32.to_be_bytes();
    let door = door();
    let stream = door.connect();
    let (mut from, mut to) = tokio::io::split(stream);
    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    for index in 0..1000 {
        let stream = 2 * index + 1;
        // `GET /late` of `x`, in the words of RFC 7541.
        bytes.extend(frame(HEADERS, 0x5, stream, b"\x82\x86\x04\x05/late\x41\x01x"));
        bytes.extend(frame(RESET, 0, stream, &CANCEL));
    }
    let mut answer = Vec::new();
    let (written, _) = tokio::join!(to.write_all(&bytes), from.read_to_end(&mut answer));
    drop(written);
    let mut rest = answer.as_slice();
    let mut reason = None;
    while rest.len() >= 9 {
        let length = usize::from(rest[1]) << 8 | usize::from(rest[2]);
        if rest[3] == GOAWAY {
            reason = Some(<[u8; 4]>::try_from(&rest[13..17]).unwrap());
        }
        rest = &rest[9 + length..];
    }
    assert_eq!(reason, Some(ENHANCE_YOUR_CALM));
    ask(&mut door.connect(), "/").await;
}

#[tokio::test(start_paused = true)]
async fn what_gets_no_answer_ends_its_connection_without_a_byte() {
    let mut stream = door().connect();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    stream.write_all(b"GET /unanswered HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut rest = String::new();
    timeout(LIFETIME, stream.read_to_string(&mut rest)).await.unwrap().unwrap();
    assert!(rest.ends_with("\r\n\r\nhi"), "{rest}");
}
