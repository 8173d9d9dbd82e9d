//! Against raw listeners on loopback, so that every broken connection is exactly the one named.

use std::num::{NonZeroU32, NonZeroUsize};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use super::*;

const ANSWER_BYTES: usize = 2048;

fn channel(base_url: &str) -> CommonSettings {
    CommonSettings {
        base_url: base_url.parse().unwrap(),
        default_from: None,
        recipients_per_call: NonZeroUsize::MIN,
        calls_per_second: None,
        messages_per_second: None,
        max_in_flight: NonZeroU32::MIN,
        max_payload_bytes: None,
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
    }
}

fn post() -> WireRequest {
    let mut request = WireRequest::post_json("/send%2Fit", "{\"to\":1}", Duration::from_secs(5));
    request.push_secret_query("sign", "a+b c");
    request
}

async fn send_to(base_url: &str, request: WireRequest) -> Result<WireResponse, TransportError> {
    let settings = Settings { answer_bytes: ANSWER_BYTES };
    client(&channel(base_url), &settings).unwrap().oneshot(request).await
}

/// Reads one request of [`post`]: head and body.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"{\"to\":1}") {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the request ended early");
    }
    String::from_utf8(bytes).unwrap()
}

/// Sends [`post`] to a listener that reads it, writes `answer` and closes.
async fn exchange(answer: &[u8]) -> (String, Result<WireResponse, TransportError>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/prefix/", listener.local_addr().unwrap());
    let provider = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        // The client may hang up before it has read everything: that is what some tests want.
        let _ = stream.write_all(answer).await;
        request
    };
    tokio::join!(provider, send_to(&base_url, post()))
}

#[tokio::test]
async fn joins_path_and_query_to_the_base_url() {
    let (request, response) = exchange(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert!(request.starts_with("POST /prefix/send%2Fit?sign=a%2Bb%20c HTTP/1.1\r\n"), "{request}");
    assert!(!request.contains("accept-encoding"), "{request}");
    let response = response.unwrap();
    assert_eq!((response.status.as_u16(), &response.body[..]), (200, &b"ok"[..]));
}

#[tokio::test]
async fn names_the_host_in_lower_case() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let provider = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        request
    };
    let base_url = format!("http://LocalHost:{port}");
    let (request, response) = tokio::join!(provider, send_to(&base_url, post()));
    assert!(request.contains(&format!("\r\nhost: localhost:{port}\r\n")), "{request}");
    assert!(response.is_ok());
}

#[tokio::test]
async fn joins_pieces_of_a_chunked_answer() {
    let answer =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n1\r\nf\r\n0\r\n\r\n";
    assert_eq!(&exchange(answer).await.1.unwrap().body[..], b"abcdef");
}

#[tokio::test]
async fn a_refused_port_is_a_connect_failure_without_the_url() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = send_to(&format!("http://{address}"), post()).await.unwrap_err();
    assert!(matches!(error, TransportError::Connect(_)), "{error:?}");
    let TransportError::Connect(source) = error else {
        return;
    };
    assert!(!format!("{source:?} {source}").contains("sign="));
}

#[tokio::test]
async fn a_peer_that_speaks_no_tls_is_a_connect_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("https://{}", listener.local_addr().unwrap());
    let provider = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    };
    let ((), result) = tokio::join!(provider, send_to(&base_url, post()));
    assert!(matches!(result, Err(TransportError::Connect(_))), "{result:?}");
}

#[tokio::test]
async fn a_close_after_reading_is_a_reset() {
    let (_, result) = exchange(b"").await;
    assert!(matches!(result, Err(TransportError::ConnectionReset)), "{result:?}");
}

#[tokio::test]
async fn a_close_inside_the_head_is_a_reset() {
    let (_, result) = exchange(b"HTTP/1.1 200 OK\r\ncontent-").await;
    assert!(matches!(result, Err(TransportError::ConnectionReset)), "{result:?}");
}

#[tokio::test]
async fn a_close_inside_the_body_is_unreadable() {
    let (_, result) = exchange(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 10\r\n\r\nhalf").await;
    assert!(matches!(result, Err(TransportError::Unreadable { status: 502 })), "{result:?}");
}

#[tokio::test]
async fn an_announced_body_over_the_limit_is_unreadable() {
    let (_, result) = exchange(b"HTTP/1.1 200 OK\r\ncontent-length: 2049\r\n\r\n").await;
    assert!(matches!(result, Err(TransportError::Unreadable { status: 200 })), "{result:?}");
}

#[tokio::test]
async fn an_endless_body_is_cut_at_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let provider = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 1024]).await.is_ok() {}
    };
    let ((), result) = tokio::join!(provider, send_to(&base_url, post()));
    assert!(matches!(result, Err(TransportError::Unreadable { status: 200 })), "{result:?}");
}

#[tokio::test]
async fn silence_before_and_inside_the_answer_is_a_timeout() {
    for beginning in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let provider = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            stream.write_all(beginning).await.unwrap();
            // Ends when the client gives up and closes.
            let _ = stream.read(&mut [0; 1]).await;
        };
        let mut request = post();
        request.timeout = Duration::from_millis(100);
        let ((), result) = tokio::join!(provider, send_to(&base_url, request));
        assert!(matches!(result, Err(TransportError::Timeout)), "{result:?}");
    }
}

#[tokio::test]
async fn a_time_that_is_over_before_the_connection_stands_is_a_connect_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("https://{}", listener.local_addr().unwrap());
    // It takes the connection and says nothing about TLS.
    let provider = async { listener.accept().await.unwrap() };
    let mut request = post();
    request.timeout = Duration::from_millis(100);
    let (_silent, result) = tokio::join!(provider, send_to(&base_url, request));
    assert!(matches!(result, Err(TransportError::Connect(_))), "{result:?}");
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let answer = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{}/\r\ncontent-length: 0\r\n\r\n",
        elsewhere.local_addr().unwrap()
    );
    tokio::select! {
        (_, response) = exchange(answer.as_bytes()) => assert_eq!(response.unwrap().status.as_u16(), 307),
        _ = elsewhere.accept() => panic!("the redirect was followed"),
    }
}

#[tokio::test]
async fn a_compressed_answer_stays_as_it_came() {
    let (_, response) =
        exchange(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x8b\x08\x00")
            .await;
    assert_eq!(&response.unwrap().body[..], b"\x1f\x8b\x08\x00");
}

#[tokio::test]
async fn uses_one_connection_for_calls_that_follow_each_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let provider = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..2 {
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    };
    let caller = async {
        let settings = Settings { answer_bytes: ANSWER_BYTES };
        let service = client(&channel(&base_url), &settings).unwrap();
        for _ in 0..2 {
            service.clone().oneshot(post()).await.unwrap();
        }
    };
    tokio::join!(provider, caller);
}

#[test]
fn refuses_a_base_url_without_a_host() {
    let mut settings = channel("http://localhost");
    settings.base_url = "/only/a/path".parse().unwrap();
    let result = client(&settings, &Settings { answer_bytes: 1 });
    assert!(matches!(result, Err(BuildError::BaseUrl)));
}

/// The failure of a request over HTTP/2 whose stream, the first, was answered with these frames and the end.
async fn over_http2(frames: &[u8]) -> TransportError {
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const HEADERS: u8 = 1;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let provider = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(SETTINGS).await.unwrap();
        stream.read_exact(&mut [0; 24]).await.unwrap();
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            stream.read_exact(&mut vec![0; usize::try_from(length).unwrap()]).await.unwrap();
            if head[3] == HEADERS {
                break;
            }
        }
        stream.write_all(frames).await.unwrap();
        // Everything that was written is read before the end is.
        stream.shutdown().await.unwrap();
        stream
    };
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Full<Bytes>>();
    let mut request = Request::new(Full::new(Bytes::from_static(b"{}")));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = format!("http://{}/send", listener.local_addr().unwrap()).parse().unwrap();
    let (_stream, result) = tokio::join!(provider, client.request(request));
    classify(result.unwrap_err())
}

fn reset_stream(code: u8) -> [u8; 13] {
    [0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, code]
}

fn go_away(last_stream: u8, code: u8) -> [u8; 17] {
    [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, last_stream, 0, 0, 0, code]
}

#[tokio::test]
async fn a_stream_that_the_provider_did_nothing_for_was_not_sent() {
    const REFUSED_STREAM: u8 = 7;
    for frames in [&reset_stream(REFUSED_STREAM)[..], &go_away(0, 0), &go_away(0, 11)] {
        let error = over_http2(frames).await;
        assert!(matches!(error, TransportError::Connect(_)), "{frames:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_stream_that_the_provider_may_have_seen_to_may_have_been_sent() {
    for frames in [&reset_stream(2)[..], &reset_stream(8), &go_away(1, 0), &go_away(1, 2), &[]] {
        let error = over_http2(frames).await;
        assert!(matches!(error, TransportError::ConnectionReset), "{frames:?}: {error:?}");
    }
}
