//! How the program ends when a signal tells it to, and what it does until then.

use std::os::linux::net::SocketAddrExt as _;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::accounts::Account;
use crate::fake_provider::{Extra, FakeProvider, Reply, Response, queue};
use crate::process::Process;
use crate::raw::post;

const CHANNEL: &str = "under-test";

/// No test waits longer than this for a word.
const PATIENCE: Duration = Duration::from_secs(60);

/// A provider that holds the first call until it is released, and its channel.
async fn holding(release: &CancellationToken) -> (FakeProvider, String) {
    let account = Account::of("tencent_tim");
    let success = json!({"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0, "MsgKey": "k"});
    let success = Reply::Respond(Response::json(200, &success));
    let held = Reply::After(release.clone(), Box::new(success.clone()));
    let fake = FakeProvider::start(queue([held, success], Extra::Repeat)).await;
    let (url, keys) = (fake.base_url(), account.settings);
    let channel = format!("[channels.{CHANNEL}]\nprovider = 'tencent_tim'\nbase_url = '{url}'\n{keys}\n");
    (fake, channel)
}

fn send() -> Vec<u8> {
    let body = Account::of("tencent_tim").send(CHANNEL).to_string();
    post("prefer: wait=25\r\n", body.as_bytes())
}

const READY: &[u8] = b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_signal_ends_the_process_in_order() {
    let release = CancellationToken::new();
    let (fake, channel) = holding(&release).await;
    let shutdown = "[shutdown]\ndrain_delay_seconds = 3\ngrace_seconds = 50\n";
    let mut process = Process::start(&format!("{shutdown}{channel}")).await;
    assert_eq!(process.ask(READY).await, (200, String::new()));
    let mut held = process.connect().await.unwrap();
    held.write(&send()).await;
    fake.arrived(1).await;
    let request = send();
    let (beginning, rest) = request.split_at(20);
    let mut late = process.connect().await.unwrap();
    late.write(beginning).await;
    let mut idle = process.connect().await.unwrap();
    idle.write(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(idle.answer().await.unwrap().status, 200);

    process.terminate();
    // First it says that it leaves, and goes on taking work for those who have not heard.
    process.logged("Leaving.").await;
    assert_eq!(process.ask(READY).await, (503, "draining".to_owned()));
    assert_eq!(process.ask(&send()).await.0, 200);
    assert_eq!(fake.ledger().len(), 2);
    // Then it takes no connection any more, and no work from those that are open.
    assert!(idle.answer().await.is_none());
    while process.connect().await.is_ok() {}
    late.write(rest).await;
    let answer = late.answer().await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (503, "draining"), "{answer:?}");
    assert!(answer.head.contains("retry-after: 1"), "{answer:?}");
    assert!(late.answer().await.is_none());
    // What is in flight is finished and answered.
    release.cancel();
    let answer = held.answer().await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(held.answer().await.is_none());
    process.logged("Left in order.").await;
    assert_eq!(process.ended().await.code(), Some(0));
    assert_eq!(fake.ledger().len(), 2);
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    let release = CancellationToken::new();
    let (fake, channel) = holding(&release).await;
    let shutdown = "[shutdown]\ndrain_delay_seconds = 3600\ngrace_seconds = 3600\n";
    let mut process = Process::start(&format!("{shutdown}{channel}")).await;
    let mut held = process.connect().await.unwrap();
    held.write(&send()).await;
    fake.arrived(1).await;
    process.terminate();
    process.logged("Leaving.").await;
    process.terminate();
    assert_eq!(process.ended().await.code(), Some(1));
    assert!(!release.is_cancelled());
}

/// The next word that a service manager at this socket is told.
async fn told(socket: &tokio::net::UnixDatagram) -> String {
    let mut bytes = [0; 256];
    let receiving = socket.recv(&mut bytes);
    let count = tokio::time::timeout(PATIENCE, receiving).await.expect("a word in time").unwrap();
    String::from_utf8(bytes[..count].to_vec()).unwrap()
}

#[tokio::test]
async fn the_service_manager_is_told_when_it_serves_reloads_and_leaves() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("notify");
    let by_path = tokio::net::UnixDatagram::bind(&path).unwrap();
    let name = format!("imcast-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let abstract_one = std::os::unix::net::UnixDatagram::bind_addr(&address).unwrap();
    abstract_one.set_nonblocking(true).unwrap();
    let by_name = tokio::net::UnixDatagram::from_std(abstract_one).unwrap();
    for (socket, address) in [(by_path, path.display().to_string()), (by_name, format!("@{name}"))] {
        let variables = [("NOTIFY_SOCKET", &*address)];
        let toml = "[shutdown]\ndrain_delay_seconds = 0\n";
        let mut process = Process::start_with(toml, &variables).await;
        assert_eq!(told(&socket).await, "READY=1");
        assert_eq!(process.ask(READY).await, (200, String::new()));
        process.signal("-HUP");
        assert_eq!([told(&socket).await, told(&socket).await], ["RELOADING=1", "READY=1"]);
        process.terminate();
        assert_eq!(told(&socket).await, "STOPPING=1");
        assert!(process.ended().await.success());
    }
    // Nobody listens there: it serves all the same.
    let toml = "[shutdown]\ndrain_delay_seconds = 0\n";
    let process = Process::start_with(toml, &[("NOTIFY_SOCKET", "/nonexistent/notify")]).await;
    assert_eq!(process.ask(READY).await, (200, String::new()));
}
