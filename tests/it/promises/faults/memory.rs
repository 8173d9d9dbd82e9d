//! What a provider answers does not decide how much memory we take: measured at a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::answers::gzip_bomb;
use super::{Lane, bare_request};
use crate::accounts::ACCOUNTS;
use crate::fake_provider::Response;
use crate::fault_proxy::faults;
use crate::ledger::{Carry, Conduct, Dialect, Named};

/// Bytes that each hostile answer wants to fill.
const WANTED: u64 = 100 << 20;

/// Most kilobytes that the process may grow by over all hostile answers, which come one by one.
const MOST_GROWTH: u64 = 16 << 10;

/// A gateway in a process of its own; dropping it ends it.
struct Process {
    child: Child,
    address: SocketAddr,
    _config: tempfile::NamedTempFile,
}

impl Process {
    fn start(toml: &str) -> Self {
        let config = tempfile::NamedTempFile::new().unwrap();
        let server = "[server]\nlisten = '127.0.0.1:0'\n[log]\nformat = 'json'\n";
        std::fs::write(config.path(), format!("{server}{toml}")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_imcast"));
        command.arg("serve").arg("--config").arg(config.path()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            serde_json::from_str::<Value>(&line).ok()?["server.address"].as_str()?.parse().ok()
        });
        // Whoever logs must find somebody who reads.
        std::thread::spawn(move || lines.for_each(drop));
        Self { address: address.expect("a gateway that listens"), child, _config: config }
    }

    async fn send(&self, body: &Value) -> String {
        let mut caller = TcpStream::connect(self.address).await.unwrap();
        caller.write_all(&bare_request(body)).await.unwrap();
        let mut answer = String::new();
        caller.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// The most memory that it ever held, in kilobytes.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers that want memory, one after the other and again from the start.
fn hostile(dialect: &Dialect) -> Vec<(Conduct, Carry)> {
    let named = Named { marker: String::new(), recipients: vec!["1000".into(), "1001".into()] };
    let json = |body: Vec<u8>| Response {
        status: 200,
        headers: vec![("content-type".into(), "application/json".into())],
        body,
    };
    let say = |response| (Conduct::TakeAndSay(response), Carry::Whole);
    let million = 1 << 20;
    vec![
        (Conduct::TakeAndSay(json(Vec::new())), Carry::Flood(WANTED)),
        say(gzip_bomb(&(dialect.served)(&named, &[]), 500)),
        say(json(vec![b'['; million])),
        say(json([b"{\"data\":[", &*b"1,".repeat(million / 2 - 10), b"1]}"].concat())),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_answers_do_not_fill_the_memory() {
    let mut lanes = Vec::new();
    for account in ACCOUNTS {
        let mut answers = hostile(Dialect::of(account.provider)).into_iter().cycle();
        let plan = Box::new(move |named: &Named| match named.marker.as_str() {
            "hostile" => answers.next().unwrap(),
            _ => (Conduct::Serve(Vec::new()), Carry::Whole),
        });
        lanes.push(Lane::start(account, &account.provider.replace('_', "-"), plan, faults([])).await);
    }
    // The circuits stay closed: every hostile answer is to be read.
    let delivery = "[delivery]\ncircuit_failures = 1000\n".to_owned();
    let sections = lanes.iter().map(|lane| lane.section(""));
    let process = Process::start(&std::iter::once(delivery).chain(sections).collect::<String>());
    for lane in &lanes {
        for _ in 0..3 {
            let answer = process.send(&lane.request(&lane.batch("friendly", 2))).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    }
    let before = process.peak();
    for _ in 0..8 {
        for lane in &lanes {
            let answer = process.send(&lane.request(&lane.batch("hostile", 2))).await;
            assert!(answer.starts_with("HTTP/1.1 207"), "{answer}");
            assert!(answer.contains("\"unknown\":2"), "{answer}");
        }
    }
    let growth = process.peak() - before;
    assert!(growth < MOST_GROWTH, "grew by {growth} kB from {before} kB");
}
