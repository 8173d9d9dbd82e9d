//! A caller without manners: writes bytes to a connection and reads what comes back.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::outputs::{self, Output};

/// No test waits longer than this for a byte.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to the gateway.
pub(crate) struct RawCaller {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// The head of an answer and its body.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl RawAnswer {
    /// The code of a problem; empty if it is none.
    pub(crate) fn code(&self) -> String {
        let json: Option<serde_json::Value> = serde_json::from_str(&self.body).ok();
        json.and_then(|json| Some(json.get("code")?.as_str()?.to_owned())).unwrap_or_default()
    }
}

impl RawCaller {
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Writes; the other side may already have turned away.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        drop(timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("somebody reads"));
    }

    /// Says that nothing more comes.
    pub(crate) async fn end(&mut self) {
        drop(self.stream.shutdown().await);
    }

    /// The next answer; `None` if the connection was closed in order instead.
    pub(crate) async fn answer(&mut self) -> Option<RawAnswer> {
        let head_end = loop {
            if let Some(position) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break position + 4;
            }
            if self.read().await == 0 {
                assert!(self.buffer.is_empty(), "closed in the middle of an answer");
                return None;
            }
        };
        let head = String::from_utf8(self.buffer.drain(..head_end).collect()).unwrap().to_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
        let length = length.map_or(0, |length| length.parse().unwrap());
        while self.buffer.len() < length {
            assert!(self.read().await > 0, "closed in the middle of an answer");
        }
        let body = String::from_utf8(self.buffer.drain(..length).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        outputs::note(Output::Answer, format!("{head}{body}\n").as_bytes());
        Some(RawAnswer { status, head, body })
    }

    /// A reset is no end: it may take answers along.
    async fn read(&mut self) -> usize {
        timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await.expect("no answer").expect("a reset")
    }
}

/// A request with this body and these headers, each ended by `\r\n`.
pub(crate) fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST /v1/batches HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}
