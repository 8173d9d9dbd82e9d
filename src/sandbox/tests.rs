use bytes::Bytes;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::adapter::sandbox::{Arrival, StandIn, StandInAnswer};
use crate::adapter::wire::WireResponse;

/// Answers by the path, and says what it saw.
struct Mirror;

impl StandIn for Mirror {
    fn answer(&self, request: &Arrival<'_>, now: SystemTime) -> StandInAnswer {
        match request.path {
            "/drop" => StandInAnswer::Drop,
            "/hang" => StandInAnswer::Hang,
            _ => StandInAnswer::Respond(WireResponse::json(
                StatusCode::IM_A_TEAPOT,
                Bytes::from(format!(
                    "{} {} {} {:?} {} {}",
                    request.method,
                    request.path,
                    request.query,
                    request.header("x-mark"),
                    String::from_utf8_lossy(request.body),
                    now == SystemTime::UNIX_EPOCH
                )),
            )),
        }
    }
}

const MIRROR: Sandbox = Sandbox {
    channel: "sandbox-mirror",
    settings: "",
    recipients: ("", ""),
    sender: "",
    build: || Box::new(Mirror),
};

async fn mirror() -> (TaskTracker, CancellationToken, String) {
    let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
    let base_url = listen(&MIRROR, &tasks, &end, || SystemTime::UNIX_EPOCH).await.unwrap();
    tasks.close();
    (tasks, end, base_url)
}

async fn send(base_url: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(base_url.trim_start_matches("http://")).await.unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nx-mark: m\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn read_all(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn hands_over_the_request_as_it_came() {
    let (_tasks, _end, base_url) = mirror().await;
    let answer = read_all(send(&base_url, "/a%20b?c=%2F").await).await;
    assert!(answer.starts_with("HTTP/1.1 418 "), "{answer}");
    assert!(answer.ends_with("POST /a%20b c=%2F Some(\"m\") hi true"), "{answer}");
}

#[tokio::test]
async fn closes_without_a_word() {
    let (_tasks, _end, base_url) = mirror().await;
    assert_eq!(read_all(send(&base_url, "/drop").await).await, "");
}

#[tokio::test]
async fn hangs_until_the_end() {
    let (tasks, end, base_url) = mirror().await;
    let hanging = send(&base_url, "/hang").await;
    // By the time that another request is answered on a connection opened later, this one would be too.
    read_all(send(&base_url, "/other").await).await;
    assert!(hanging.try_read(&mut [0; 1]).is_err());
    end.cancel();
    assert_eq!(read_all(hanging).await, "");
    tasks.wait().await;
    assert!(TcpStream::connect(base_url.trim_start_matches("http://")).await.is_err());
}

#[tokio::test]
async fn starts_one_channel_for_each_provider_and_frees_the_ports() {
    let running = start(|| SystemTime::UNIX_EPOCH).await.unwrap();
    let channels = running.channels().to_vec();
    assert_eq!(channels.len(), REGISTRY.len());
    for (channel, provider) in channels.iter().zip(REGISTRY) {
        assert_eq!(channel.provider.name, provider.name);
        assert!(channel.base_url.starts_with("http://127.0.0.1:"));
    }
    running.stop().await;
    for channel in channels {
        let address = channel.base_url.trim_start_matches("http://").to_owned();
        assert!(TcpStream::connect(address).await.is_err());
    }
}

#[tokio::test]
async fn dropping_ends_it() {
    let running = start(|| SystemTime::UNIX_EPOCH).await.unwrap();
    let tasks = running.tasks.clone();
    drop(running);
    tasks.wait().await;
}
