use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::Duration;

use super::*;

const QUICK: Repeats = Repeats { most_tries: 3, first_pause: Duration::ZERO };

/// Whether a request is at its end: of a POST its body is an empty object, of a GET there is only the head.
fn is_whole(request: &[u8]) -> bool {
    if request.starts_with(b"GET") { request.ends_with(b"\r\n\r\n") } else { request.ends_with(b"{}") }
}

/// A gateway that answers `count` requests with these bytes and then closes each connection; joined, it gives them.
fn scripted(count: usize, answer: &'static str) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = std::thread::spawn(move || {
        let mut arrived = Vec::new();
        while arrived.len() < count {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
            while !is_whole(&request) {
                let length = stream.read(&mut buffer).unwrap();
                assert!(length > 0, "a whole request");
                request.extend_from_slice(&buffer[..length]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            arrived.push(String::from_utf8(request).unwrap());
        }
        arrived
    });
    (address, serving)
}

async fn send(address: SocketAddr, key: Option<&str>) -> SendError {
    let environment = vec![("IMCAST_URL".into(), format!("http://{address}/prefix/").into())];
    let sources = Sources { file: None, environment };
    let gateway = Gateway::find(&gateway::Arguments::default(), sources).unwrap();
    let request =
        batch_request::BatchRequest { content_type: "application/json", body: "{}".into(), is_long: false };
    let delivery = Delivery::new(&gateway, &request, key.map(str::to_owned), QUICK);
    delivery.run(&mut Vec::new()).await.unwrap_err()
}

#[tokio::test]
async fn gives_up_after_a_bounded_number_of_tries_and_names_the_key() {
    let (address, serving) = scripted(3, "");
    let error = send(address, Some("k-1")).await;
    let arrived = serving.join().unwrap();
    assert_eq!(arrived.len(), 3);
    for request in &arrived {
        assert!(request.starts_with("POST /prefix/v1/batches HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("\r\nidempotency-key: k-1\r\n"), "{request}");
    }
    assert!(matches!(error.failure, Failure::Unanswered(GatewayError::Broken { .. })), "{error:?}");
    let advice =
        "It may have been taken: the same command with --idempotency-key k-1 does not send it twice.";
    assert_eq!(error.advice, advice);
}

#[tokio::test]
async fn a_refusal_after_a_lost_answer_proves_nothing() {
    let overloaded = "HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (address, serving) = scripted(3, overloaded);
    let error = send(address, Some("k-2")).await;
    assert_eq!(serving.join().unwrap().len(), 3);
    assert_eq!(error.to_string(), "the answer has status 504 Gateway Timeout and does not say why");
    assert!(error.advice.contains("--idempotency-key k-2"), "{}", error.advice);
}

#[tokio::test]
async fn reading_the_report_is_given_up_too() {
    let started = "HTTP/1.1 202 Accepted\r\nbatch-id: bat_01JD7Q8Z5R9Q0M4T8K2V6X3W1Y\r\ncontent-length: 5\r\n\
                   connection: close\r\n\r\nwords";
    // What is right for a send is no answer to a read, since no outcome is in it.
    let (address, serving) = scripted(2, started);
    let error = send(address, None).await;
    assert_eq!(serving.join().unwrap().len(), 2);
    assert!(matches!(error.failure, Failure::Foreign(StatusCode::ACCEPTED)), "{error:?}");
    let advice = format!(
        "The batch bat_01JD7Q8Z5R9Q0M4T8K2V6X3W1Y goes on; its report is at \
         http://{address}/prefix/v1/batches/bat_01JD7Q8Z5R9Q0M4T8K2V6X3W1Y"
    );
    assert_eq!(error.advice, advice);
}
