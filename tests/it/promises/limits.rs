//! Promise: what breaks a limit of the front door gets its status, sends nothing, and breaks nothing else.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{CHANNEL, channel, provider, sends, willing};
use crate::accounts::Account;
use crate::fake_provider::{Extra, Reply, Response, queue};
use crate::harness::TestGateway;
use crate::raw::{RawAnswer, RawCaller, post};

/// What is sent, and the status and code of the answer; no code: the layer below answers without a body.
type Row = (&'static str, Vec<u8>, u16, &'static str);

const HEAD: &str = "POST /v1/batches HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";

fn bodies(good: &Value) -> Vec<Row> {
    let with = |name: &str, value: &str| {
        let mut text = good.to_string();
        text.insert_str(1, &format!("\"{name}\":{value},"));
        post("", text.as_bytes())
    };
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let mut many = good.clone();
    many["to"] = (0..10_001).map(|number| json!(number)).collect();
    let mut not_text = good.to_string().into_bytes();
    not_text.extend(b"\xff");
    let too_long = vec![b' '; (1 << 20) + 1];
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    let chunked = [HEAD.as_bytes(), b"transfer-encoding: chunked\r\n\r\n", &chunk.repeat(17), b"0\r\n\r\n"];
    vec![
        ("an announced body over the limit", post("", &too_long), 413, "too_large"),
        ("a chunked body over the limit", chunked.concat(), 413, "too_large"),
        ("`ext` deeper than 32", with("ext", &nested(33)), 422, "invalid_request"),
        ("something passed on deeper than 128", with("ext", &nested(129)), 422, "invalid_request"),
        ("something read deeper than 128", with("to", &nested(129)), 422, "invalid_request"),
        (
            "something unknown deeper than 128",
            with("no_such_field", &nested(100_000)),
            422,
            "invalid_request",
        ),
        ("too many recipients", post("", many.to_string().as_bytes()), 422, "invalid_request"),
        ("a key that comes twice", with("channel", "\"b\""), 422, "invalid_request"),
        ("a NUL", with("client_ref", "\"\u{0}\""), 400, "invalid_json"),
        (
            "an escaped NUL where control characters may not be",
            with("client_ref", "\"\\u0000\""),
            422,
            "invalid_request",
        ),
        ("a lone surrogate", with("client_ref", "\"\\ud800\""), 422, "invalid_request"),
        ("a lone surrogate that is passed on", with("ext", "{\"a\":\"\\ud800\"}"), 422, "invalid_request"),
        ("not UTF-8", post("", &not_text), 400, "invalid_json"),
        ("two values", post("", format!("{good}{good}").as_bytes()), 400, "invalid_json"),
    ]
}

fn heads(good: &Value) -> Vec<Row> {
    let body = good.to_string();
    let headers = |count: usize| post(&"x-y: z\r\n".repeat(count), body.as_bytes());
    let long_header = format!("x-y: {}\r\n", "z".repeat(32 * 1024));
    let path = |length: usize| {
        let target = format!("/v1/batches?{}", "x".repeat(length));
        let request = String::from_utf8(post("", body.as_bytes())).unwrap();
        request.replacen("/v1/batches", &target, 1).into_bytes()
    };
    vec![
        ("too many headers", headers(62), 431, "too_many_headers"),
        ("far too many headers", headers(200), 431, ""),
        ("a head over 32 KiB", post(&long_header, body.as_bytes()), 431, ""),
        ("a URI over 8 KiB", path(8 * 1024), 414, "uri_too_long"),
        ("a URI over 32 KiB", path(32 * 1024), 431, ""),
        ("something else than HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), 400, ""),
        (
            "no such path",
            b"POST /v1/batch HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".to_vec(),
            404,
            "not_found",
        ),
        (
            "another method",
            b"PUT /v1/batches HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".to_vec(),
            405,
            "method_not_allowed",
        ),
    ]
}

/// Asks once more on the same connection: it either answers or was closed in order.
async fn is_sane_afterwards(caller: &mut RawCaller, refused: &RawAnswer) -> bool {
    caller.write(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    match caller.answer().await {
        Some(answer) => answer.status == 200 && !refused.head.contains("connection: close"),
        None => true,
    }
}

#[tokio::test]
async fn what_breaks_a_limit_sends_nothing_and_breaks_nothing_else() {
    let account = Account::of("tencent_tim");
    let fake = willing(account).await;
    let limits = "[limits]\nbody_bytes = 1048576\nrecipients_per_batch = 10000\n";
    let gateway = TestGateway::start(&format!("{limits}{}", channel(CHANNEL, account, &fake, ""))).await;
    let good = account.send(CHANNEL);
    for (name, request, status, code) in bodies(&good).into_iter().chain(heads(&good)) {
        let mut caller = RawCaller::new(gateway.connect().await);
        caller.write(&request).await;
        let answer = caller.answer().await.unwrap_or_else(|| panic!("{name}: no answer"));
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{name}: {answer:?}");
        assert!(is_sane_afterwards(&mut caller, &answer).await, "{name}");
    }
    assert!(fake.ledger().is_empty());
    assert_eq!(gateway.send(&good).await.status, 200);
}

#[tokio::test]
async fn a_body_that_stops_in_the_middle_sends_nothing() {
    let account = Account::of("tencent_tim");
    let fake = willing(account).await;
    let limits = "[limits]\nbody_patience_ms = 50\n";
    let gateway = TestGateway::start(&format!("{limits}{}", channel(CHANNEL, account, &fake, ""))).await;
    let good = account.send(CHANNEL).to_string();
    let (beginning, _) = good.split_at(good.len() - 1);
    let chunk = format!("{HEAD}transfer-encoding: chunked\r\n\r\n{:x}\r\n{beginning}\r\n", beginning.len());
    let mut announced = post("", good.as_bytes());
    announced.truncate(announced.len() - 1);
    for request in [chunk.as_bytes(), &announced] {
        // Stops coming.
        let mut caller = RawCaller::new(gateway.connect().await);
        caller.write(request).await;
        let answer = caller.answer().await.unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (408, "timeout"), "{answer:?}");
        assert!(answer.head.contains("connection: close"), "{answer:?}");
        caller.end().await;
        assert!(caller.answer().await.is_none());
        // Is cut off.
        let mut caller = RawCaller::new(gateway.connect().await);
        caller.write(request).await;
        caller.end().await;
        let answer = caller.answer().await;
        assert!(answer.as_ref().is_none_or(|answer| answer.code() == "invalid_json"), "{answer:?}");
    }
    assert!(fake.ledger().is_empty());
    assert_eq!(gateway.send(&account.send(CHANNEL)).await.status, 200);
}

#[tokio::test]
async fn a_request_that_is_shed_is_told_so_before_it_sends_its_body() {
    let account = Account::of("tencent_tim");
    let release = CancellationToken::new();
    let success = json!({"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0, "MsgKey": "k"});
    let success = Reply::Respond(Response::json(200, &success));
    let held = Reply::After(release.clone(), Box::new(success.clone()));
    let fake = provider(account, queue([held, success], Extra::Fail)).await;
    let limits = "[limits]\nbatches_in_progress = 1\n";
    let gateway = TestGateway::start(&format!("{limits}{}", channel(CHANNEL, account, &fake, ""))).await;
    let body = account.send(CHANNEL).to_string();
    let request = post("expect: 100-continue\r\n", body.as_bytes());
    let head = &request[..request.len() - body.len()];
    let first = async {
        let mut caller = RawCaller::new(gateway.connect().await);
        caller.write(head).await;
        assert_eq!(caller.answer().await.unwrap().status, 100);
        caller.write(body.as_bytes()).await;
        assert_eq!(caller.answer().await.unwrap().status, 200);
    };
    let second = async {
        fake.arrived(1).await;
        let mut caller = RawCaller::new(gateway.connect().await);
        caller.write(head).await;
        let answer = caller.answer().await.unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (503, "overloaded"), "{answer:?}");
        assert!(answer.head.contains("retry-after: 1"), "{answer:?}");
        // Nobody waits for the body, so that the connection ends here.
        assert!(caller.answer().await.is_none());
        assert_eq!(sends(account, &fake), 1);
        release.cancel();
    };
    tokio::join!(first, second);
    assert_eq!(gateway.send(&account.send(CHANNEL)).await.status, 200);
    assert_eq!(sends(account, &fake), 2);
}

#[tokio::test]
async fn a_request_that_comes_too_late_sends_nothing() {
    let account = Account::of("tencent_tim");
    let release = CancellationToken::new();
    let success = json!({"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0, "MsgKey": "k"});
    let held = Reply::After(release.clone(), Box::new(Reply::Respond(Response::json(200, &success))));
    let fake = provider(account, queue([held], Extra::Fail)).await;
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "")).await;
    let good = account.send(CHANNEL);
    // One has sent half a head, another its head and half a body.
    let request = post("expect: 100-continue\r\n", good.to_string().as_bytes());
    let (beginning, rest) = request.split_at(20);
    let mut late_head = RawCaller::new(gateway.connect().await);
    late_head.write(beginning).await;
    let (most, end) = request.split_at(request.len() - 5);
    let mut late_body = RawCaller::new(gateway.connect().await);
    late_body.write(most).await;
    assert_eq!(late_body.answer().await.unwrap().status, 100);
    let leaving = async {
        fake.arrived(1).await;
        let closed = async {
            while gateway.is_listening().await {}
            for (late, rest) in [(&mut late_head, rest), (&mut late_body, end)] {
                late.write(rest).await;
                let answer = late.answer().await.unwrap();
                assert_eq!((answer.status, answer.code().as_str()), (503, "draining"), "{answer:?}");
                assert!(answer.head.contains("retry-after: 1"), "{answer:?}");
                assert!(late.answer().await.is_none());
            }
            release.cancel();
        };
        tokio::join!(gateway.leave(), closed)
    };
    let (answer, _) = tokio::join!(gateway.send(&good), leaving);
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(sends(account, &fake), 1);
}
