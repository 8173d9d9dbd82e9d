use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const LAST_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

pub(super) fn settings(max_connections: usize) -> ServerSettings {
    ServerSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        admin_listen: None,
        insecure: false,
        max_connections,
        first_bytes_timeout: Duration::from_secs(10),
        head_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(75),
    }
}

async fn start(router: Router, max_connections: usize) -> Server {
    let settings = settings(max_connections);
    let listener = TcpListener::bind(settings.listen).await.unwrap();
    Server::start(listener, router, settings).unwrap()
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.local_addr()).await.unwrap()
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

fn greeting() -> Router {
    Router::new().route("/", get(async || "hi"))
}

/// A router whose answer waits, what it waits for, and what says that a request came.
fn waiting() -> (Router, Arc<Notify>, Arc<Notify>) {
    let (go, came) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (answer_at, came_in) = (Arc::clone(&go), Arc::clone(&came));
    let answer = move || {
        let (answer_at, came_in) = (Arc::clone(&answer_at), Arc::clone(&came_in));
        async move {
            came_in.notify_one();
            answer_at.notified().await;
            "late"
        }
    };
    (Router::new().route("/", get(answer)), go, came)
}

#[tokio::test]
async fn one_port_speaks_both_protocols() {
    let server = start(greeting(), 10).await;
    let mut stream = connect(&server).await;
    stream.write_all(LAST_REQUEST).await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("hi"), "{answer}");

    let stream = TokioIo::new(connect(&server).await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let request = Request::get("http://x/").body(Empty::<Bytes>::new()).unwrap();
    let asking = async move {
        let response = sender.send_request(request).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes()
    };
    let (body, ended) = tokio::join!(asking, connection);
    assert_eq!(body, "hi");
    ended.unwrap();
    assert!(server.stop(Duration::from_secs(10)).await);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_begin_is_closed() {
    let server = start(greeting(), 10).await;
    for beginning in [&b""[..], b"PRI * HT"] {
        let mut stream = connect(&server).await;
        stream.write_all(beginning).await.unwrap();
        // Reset or end, as the bytes were read or not.
        let count = stream.read(&mut [0; 8]).await.unwrap_or(0);
        assert_eq!(count, 0);
    }
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_their_turn() {
    let (router, go, came) = waiting();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let router = router.layer(tower::util::MapRequestLayer::new(move |request| {
        counted.fetch_add(1, Ordering::SeqCst);
        request
    }));
    let server = start(router, 1).await;
    let (mut first, mut second) = (connect(&server).await, connect(&server).await);
    first.write_all(LAST_REQUEST).await.unwrap();
    second.write_all(LAST_REQUEST).await.unwrap();
    came.notified().await;
    assert_eq!(count.load(Ordering::SeqCst), 1);
    go.notify_one();
    assert!(read_to_end(&mut first).await.ends_with("late"));
    came.notified().await;
    go.notify_one();
    assert!(read_to_end(&mut second).await.ends_with("late"));
}

#[tokio::test]
async fn stopping_answers_open_requests_and_closes_the_rest() {
    let (router, go, came) = waiting();
    let server = start(router, 10).await;
    let address = server.local_addr();
    let (mut silent, mut open) = (connect(&server).await, connect(&server).await);
    open.write_all(REQUEST).await.unwrap();
    came.notified().await;
    let stopping = server.stop(Duration::from_secs(30));
    let asking = async {
        assert_eq!(read_to_end(&mut silent).await, "");
        assert!(TcpStream::connect(address).await.is_err());
        go.notify_one();
        let answer = read_to_end(&mut open).await;
        assert!(answer.contains("connection: close") && answer.ends_with("late"), "{answer}");
    };
    let (is_answered, ()) = tokio::join!(stopping, asking);
    assert!(is_answered);
}

#[tokio::test]
async fn stopping_cuts_what_outlasts_the_grace() {
    let (router, _go, came) = waiting();
    let server = start(router, 10).await;
    let mut open = connect(&server).await;
    open.write_all(REQUEST).await.unwrap();
    came.notified().await;
    assert!(!server.stop(Duration::ZERO).await);
    assert_eq!(read_to_end(&mut open).await, "");
}

#[test]
fn a_public_address_needs_a_word_of_the_operator() {
    let nobody = KeyRing::new(&[]);
    let check = |listen: &str, insecure, sandbox| {
        let listen = listen.parse().unwrap();
        let server = ServerSettings { listen, insecure, ..settings(1) };
        check_address(&server, sandbox, !nobody.is_empty()).is_ok()
    };
    for listen in ["127.0.0.1:80", "127.8.0.1:80", "[::1]:80"] {
        assert!(check(listen, false, Sandbox::WithoutChannels), "{listen}");
    }
    for listen in ["0.0.0.0:80", "[::]:80", "10.0.0.1:80", "[::ffff:10.0.0.1]:80"] {
        assert!(!check(listen, false, Sandbox::WithoutChannels), "{listen}");
        assert!(check(listen, true, Sandbox::WithoutChannels), "{listen}");
        assert!(check(listen, false, Sandbox::Only), "{listen}");
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn what_a_process_before_left_unfinished_is_gone_on_with() {
    use crate::store::durable::NewBatch;
    use crate::store::stored::samples;

    let provider = REGISTRY.first().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let place = store::settings::Place::Sqlite(directory.path().join("imcast.db"));
    let mut settings = crate::config::compiled_in().ok().unwrap();
    settings.server.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    settings.shutdown.drain_delay = Duration::ZERO;
    settings.store.place = place;
    // Its time was over long ago, so that it ends without a call.
    let mut report = (*samples::numbered(1, &["a"])).clone();
    for route in &mut report.routes {
        route.provider = provider.name;
        route.channel = ChannelName::parse(provider.sandbox.channel).unwrap();
    }
    let id = report.batch.id;
    let before = open_store(settings.store.clone(), &Clock::system()).await.unwrap();
    let batch = NewBatch { report: Arc::new(report), in_flight: Vec::new(), key: None };
    before.store().durable().unwrap().accept(batch).await.unwrap();
    before.close().await;

    let app = App::start(settings, Clock::system(), Randomness::seeded(1)).await.unwrap();
    let over = async {
        while !app.dispatcher().report(id).await.unwrap().unwrap().is_over() {
            app.dispatcher().durable().unwrap().check().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), over).await.unwrap();
    app.shutdown().await;
}

#[test]
fn a_public_address_may_be_used_once_a_key_is_asked_for() {
    let key = crate::api::keys::key::Key::generate().unwrap();
    let key_settings = crate::api::keys::settings::KeySettings {
        name: "a".into(),
        id: Some(key.id.as_str().into()),
        digest: key.digest(),
        rights: crate::api::keys::settings::Rights::default(),
    };
    let server = ServerSettings { listen: "0.0.0.0:80".parse().unwrap(), ..settings(1) };
    let check = |keys: &[_]| check_address(&server, Sandbox::WithoutChannels, !KeyRing::new(keys).is_empty());
    let refusal = check(&[]).err().unwrap().to_string();
    assert!(refusal.contains("[[keys]]") && refusal.contains("imcast keygen"), "{refusal}");
    assert!(check(&[key_settings]).is_ok());
}

#[tokio::test]
async fn every_request_knows_whom_it_comes_from() {
    let peer = |axum::extract::ConnectInfo(peer): axum::extract::ConnectInfo<SocketAddr>| async move {
        peer.to_string()
    };
    let server = start(Router::new().route("/", get(peer)), 10).await;
    let mut stream = connect(&server).await;
    let own = stream.local_addr().unwrap().to_string();
    stream.write_all(LAST_REQUEST).await.unwrap();
    assert!(read_to_end(&mut stream).await.ends_with(&own));
}

#[tokio::test]
async fn a_whole_gateway_starts_and_leaves() {
    let mut settings = crate::config::compiled_in().ok().unwrap();
    settings.server.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    settings.shutdown.drain_delay = Duration::ZERO;
    settings.store.place = store::settings::Place::Memory;
    let app = App::start(settings, Clock::system(), Randomness::seeded(1)).await.unwrap();
    let address = app.local_addr();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(app.dispatcher().channels().iter().all(|channel| channel.is_sandbox()));
    app.shutdown().await;
    assert!(TcpStream::connect(address).await.is_err());
}
