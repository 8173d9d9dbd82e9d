//! The program itself: started, told to end by a signal, and what it does until then.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;

use crate::accounts::Account;
use crate::fake_provider::{Extra, FakeProvider, Reply, Response, queue};
use crate::raw::{RawCaller, post};

/// No test waits longer than this for a line of the log.
const PATIENCE: Duration = Duration::from_secs(60);

/// What every configuration here has.
const COMMON: &str = "[server]\nlisten = '127.0.0.1:0'\n[log]\nformat = 'json'\n";

const CHANNEL: &str = "under-test";

/// A running `imcast serve`; dropping it kills the process.
pub(crate) struct Process {
    child: Child,
    log: UnboundedReceiver<String>,
    address: SocketAddr,
    config: tempfile::NamedTempFile,
    _home: tempfile::TempDir,
}

impl Process {
    pub(crate) async fn start(toml: &str) -> Self {
        let config = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(config.path(), format!("{COMMON}{toml}")).unwrap();
        let home = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_imcast"))
            .args(["serve", "--config"])
            .arg(config.path())
            .env_clear()
            // A configuration that names no file gets one that is gone with the process.
            .current_dir(home.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, log) = unbounded_channel();
        // Ends with the process, whose standard error it reads.
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut process = Self { child, log, address, config, _home: home };
        let listening = process.logged("Listening.").await;
        process.address = listening["server.address"].as_str().unwrap().parse().unwrap();
        process
    }

    /// Waits for the line of the log with this message.
    pub(crate) async fn logged(&mut self, message: &str) -> Value {
        loop {
            let line = tokio::time::timeout(PATIENCE, self.log.recv()).await.expect("a line in time");
            let line: Value = serde_json::from_str(&line.expect("a line before the end")).unwrap();
            if line["message"] == message {
                return line;
            }
        }
    }

    /// Every line of the log up to the one with this message.
    pub(crate) async fn log_until(&mut self, message: &str) -> String {
        let mut log = String::new();
        while !log.contains(message) {
            let line = tokio::time::timeout(PATIENCE, self.log.recv()).await.expect("a line in time");
            log.push_str(&line.expect("a line before the end"));
            log.push('\n');
        }
        log
    }

    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Writes the configuration anew.
    pub(crate) fn configure(&self, toml: &str) {
        std::fs::write(self.config.path(), format!("{COMMON}{toml}")).unwrap();
    }

    /// Waits for the end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ending = async { while self.log.recv().await.is_some() {} };
        tokio::time::timeout(PATIENCE, ending).await.expect("an end in time");
        self.child.wait().unwrap()
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn connect(&self) -> std::io::Result<RawCaller> {
        TcpStream::connect(self.address).await.map(RawCaller::new)
    }

    /// The most memory that it ever held, in kilobytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// The body of what is at a path.
    pub(crate) async fn get(&self, path: &str) -> String {
        let mut caller = self.connect().await.unwrap();
        caller.write(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await;
        caller.answer().await.unwrap().body
    }

    async fn ask(&self, request: &[u8]) -> (u16, String) {
        let mut caller = self.connect().await.unwrap();
        caller.write(request).await;
        let answer = caller.answer().await.unwrap();
        (answer.status, answer.code())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails if it has ended, as it should.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

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
