//! The five providers, played cheaply: a fixed answer in each wire format, and ways to be ill.
//!
//! What the answers look like is written from the providers' documents, apart from the gateway's adapters.
//! Nothing of a request is checked: whether the gateway speaks the formats well is proved by its tests.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::RigError;
use crate::exchange::{content_length, head_length};

/// Whose format a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tim,
    Volcengine,
    OpenIm,
    Chatroom,
    Relay,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Tim, Self::Volcengine, Self::OpenIm, Self::Chatroom, Self::Relay];

    /// The name of its channel.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tim => "tim",
            Self::Volcengine => "volc",
            Self::OpenIm => "openim",
            Self::Chatroom => "rooms",
            Self::Relay => "relay",
        }
    }

    /// The keys of its channel but `base_url`.
    pub(crate) const fn keys(self) -> &'static str {
        match self {
            Self::Tim => {
                "provider = 'tencent_tim'\nsdk_app_id = 88888888\nidentifier = 'admin'\nsecret_key = 'rig'\n"
            }
            Self::Volcengine => {
                "provider = 'volcengine_rtc'\napp_id = 666675\naccess_key_id = 'rig'\nsecret_access_key = 'rig'\n"
            }
            Self::OpenIm => "provider = 'openim'\nadmin_user_id = 'imAdmin'\nsecret = 'rig'\n",
            Self::Chatroom => {
                "provider = 'easemob_chatroom'\norg_name = 'rig'\napp_name = 'rig'\nclient_id = 'rig'\n\
                 client_secret = 'rig'\n"
            }
            Self::Relay => {
                "provider = 'easemob_relay'\nquery = { client = 'rig', channel = 'rig', sign = 'rig' }\n"
            }
        }
    }

    /// What the provider answers when everybody is served.
    fn success(self, recipients: &[&RawValue]) -> String {
        let each = |format: &dyn Fn(&str) -> String| -> String {
            recipients.iter().map(|id| format(id.get())).collect::<Vec<_>>().join(",")
        };
        match self {
            Self::Tim => r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgKey":"1_2_3"}"#.to_owned(),
            Self::Volcengine => format!(
                r#"{{"ResponseMetadata":{{"RequestId":"r","Action":"BatchSendMessage"}},"Result":{{"UserMessageId":{{{}}},"FailedReceiver":[]}}}}"#,
                each(&|id| format!(r#""{id}":900000"#))
            ),
            Self::OpenIm => format!(
                r#"{{"errCode":0,"errMsg":"","errDlt":"","data":{{"results":[{}],"failedUserIDs":null}}}}"#,
                each(&|id| format!(
                    r#"{{"serverMsgID":"b30cb040685c1ff3","clientMsgID":"c","sendTime":1,"recvID":{id}}}"#
                ))
            ),
            Self::Chatroom => format!(
                r#"{{"path":"/messages/chatrooms","timestamp":1657254052191,"action":"post","data":{{{}}},"duration":0}}"#,
                each(&|id| format!(r#"{id}:"1029545553039460728""#))
            ),
            Self::Relay => r#"{"code":200,"message":"ok","data":[],"page":null}"#.to_owned(),
        }
    }

    /// What it answers to a request for a token that lives so many seconds.
    fn token(self, seconds: u64) -> String {
        match self {
            Self::OpenIm => format!(
                r#"{{"errCode":0,"errMsg":"","errDlt":"","data":{{"token":"rig","expireTimeSeconds":{seconds}}}}}"#
            ),
            Self::Tim | Self::Volcengine | Self::Chatroom | Self::Relay => {
                format!(r#"{{"access_token":"rig","expires_in":{seconds},"application":"rig"}}"#)
            }
        }
    }
}

/// How a provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Answers everybody after this time.
    Fine(Duration),
    /// Takes requests and never says a word.
    BlackHole,
    /// Answers with the 502 page of a proxy.
    Pages,
    /// Cuts the connection once it has read a request.
    Resets,
}

/// A running provider; dropping it ends it.
pub(crate) struct Provider {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _serving: JoinSet<()>,
}

struct State {
    kind: Kind,
    mode: Mutex<Mode>,
    call_count: AtomicU64,
    recipient_count: AtomicU64,
    token_count: AtomicU64,
    token_seconds: AtomicU64,
    /// `None` = nothing is written down.
    book: Mutex<Option<Book>>,
}

/// Every send that arrived, written down before it is answered.
#[derive(Clone, Default)]
pub(crate) struct Book {
    /// In the order of arrival: when, and how many recipients.
    pub(crate) calls: Vec<(Instant, usize)>,
    /// How often each recipient was taken.
    pub(crate) taken: HashMap<Box<str>, u32>,
}

impl Book {
    fn write(&mut self, recipients: &[&RawValue]) {
        self.calls.push((Instant::now(), recipients.len()));
        for recipient in recipients {
            *self.taken.entry(recipient.get().trim_matches('"').into()).or_default() += 1;
        }
    }

    /// How often a recipient was taken.
    pub(crate) fn times_taken(&self, recipient: &str) -> u32 {
        self.taken.get(recipient).copied().unwrap_or(0)
    }
}

/// How long a token lives unless a rig says otherwise.
const TOKEN_SECONDS: u64 = 60 * 24 * 60 * 60;

impl Provider {
    pub(crate) async fn start(kind: Kind, mode: Mode) -> Result<Self, RigError> {
        let listener =
            TcpListener::bind("127.0.0.1:0").await.map_err(RigError::system("a provider's port"))?;
        let address = listener.local_addr().map_err(RigError::system("a provider's port"))?;
        let state = Arc::new(State {
            kind,
            mode: Mutex::new(mode),
            call_count: AtomicU64::new(0),
            recipient_count: AtomicU64::new(0),
            token_count: AtomicU64::new(0),
            token_seconds: AtomicU64::new(TOKEN_SECONDS),
            book: Mutex::new(None),
        });
        let mut serving = JoinSet::new();
        serving.spawn(accept_all(listener, Arc::clone(&state)));
        Ok(Self { kind, address, state, _serving: serving })
    }

    /// From now on every request that arrives meets this.
    pub(crate) fn set(&self, mode: Mode) {
        *self.state.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }

    /// From now on every send that is answered well is written down.
    pub(crate) fn keep_book(&self) {
        *self.state.book() = Some(Book::default());
    }

    /// What was written down so far.
    pub(crate) fn book(&self) -> Book {
        self.state.book().clone().unwrap_or_default()
    }

    /// From now on a token lives so many seconds.
    pub(crate) fn set_token_seconds(&self, seconds: u64) {
        self.state.token_seconds.store(seconds, Ordering::Relaxed);
    }

    /// Requests for a token so far.
    pub(crate) fn token_count(&self) -> u64 {
        self.state.token_count.load(Ordering::Relaxed)
    }

    /// Sends that have arrived, whatever became of them.
    pub(crate) fn call_count(&self) -> u64 {
        self.state.call_count.load(Ordering::Relaxed)
    }

    /// Recipients of the sends that were answered well.
    pub(crate) fn recipient_count(&self) -> u64 {
        self.state.recipient_count.load(Ordering::Relaxed)
    }
}

async fn accept_all(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if let Ok((stream, _)) = listener.accept().await {
            let state = Arc::clone(&state);
            connections.spawn(async move {
                // A connection that breaks is the gateway's affair.
                let _ = state.serve(stream).await;
            });
        }
    }
}

/// The member that lists the recipients, under the name that the provider gives it.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(
        borrow,
        alias = "To_Account",
        alias = "Receiver",
        alias = "recvIDs",
        alias = "to",
        alias = "messages"
    )]
    recipients: Vec<&'a RawValue>,
}

impl State {
    fn book(&self) -> MutexGuard<'_, Option<Book>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = Vec::with_capacity(4096);
        loop {
            let Some((head, end)) = read_request(&mut stream, &mut buffer).await? else { return Ok(()) };
            let head_bytes = buffer.get(..head).unwrap_or_default();
            let body = buffer.get(head..end).unwrap_or_default();
            // The path of a request is over at the first line's second blank; a body never looks like one.
            let is_token_request = asks_for_token(head_bytes);
            let recipients = match serde_json::from_slice::<Body<'_>>(body) {
                Ok(body) if !is_token_request => body.recipients,
                _ => Vec::new(),
            };
            let count = if is_token_request { &self.token_count } else { &self.call_count };
            count.fetch_add(1, Ordering::Relaxed);
            let mode = *self.mode.lock().unwrap_or_else(PoisonError::into_inner);
            let answer = match mode {
                Mode::Resets => return stream.set_zero_linger(),
                Mode::BlackHole => return wait_for_end(&mut stream).await,
                Mode::Pages => response(502, "text/html", "<html><h1>502 Bad Gateway</h1></html>"),
                Mode::Fine(latency) => {
                    if !is_token_request && let Some(book) = &mut *self.book() {
                        book.write(&recipients);
                    }
                    if !latency.is_zero() {
                        tokio::time::sleep(latency).await;
                    }
                    self.recipient_count.fetch_add(recipients.len() as u64, Ordering::Relaxed);
                    let body = match is_token_request {
                        true => self.kind.token(self.token_seconds.load(Ordering::Relaxed)),
                        false => self.kind.success(&recipients),
                    };
                    response(200, "application/json", &body)
                }
            };
            stream.write_all(answer.as_bytes()).await?;
            buffer.drain(..end);
        }
    }
}

fn asks_for_token(head: &[u8]) -> bool {
    let path = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    path.ends_with(b"/token") || path.ends_with(b"/auth/get_admin_token")
}

fn response(status: u16, content_type: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} Rig\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// Until the gateway gives up, so that its connections do not pile up here.
async fn wait_for_end(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut rest = [0; 256];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

/// Reads until `buffer` begins with a whole request; where its head and its body end, or `None` at the end.
async fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<(usize, usize)>> {
    loop {
        if let Some(head) = head_length(buffer) {
            let end = head + content_length(buffer.get(..head).unwrap_or_default());
            if buffer.len() >= end {
                return Ok(Some((head, end)));
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}
