//! A provider that writes down what arrives before it answers, and answers as it was told.
//!
//! Raw HTTP/1.1 over TCP, so that it can misbehave in every way a socket can. Its ledger is the only witness
//! of what was sent: no test judges the gateway by what the gateway says about itself.

mod serving;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::outputs;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) method: String,
    /// The path, percent-encoded.
    pub(crate) path: String,
    /// The query without `?`, percent-encoded; empty if there is none.
    pub(crate) query: String,
    /// Names in lower case, in the order of arrival.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Bytes of head and body together, as they came over the wire.
    pub(crate) size: usize,
}

impl Arrival {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name)?;
        Some(&found.1)
    }

    /// Query parameters in order, percent-decoded.
    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        let decode = |text: &str| imcast::adapter::sandbox::percent_decode(text).expect("a query of UTF-8");
        let pairs = self.query.split('&').filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decode(name), decode(value)))
            .collect()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a body of JSON")
    }
}

/// What the fake does with a request that it has read and written down.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Answers.
    Respond(Response),
    /// Waits until the test releases it, then does the other thing.
    After(CancellationToken, Box<Reply>),
    /// Keeps the connection open without a word.
    Hang,
    /// Closes the connection with a reset.
    Reset,
    /// Sends only so many bytes of the answer, head included, then closes; more than it has: closes after it.
    Cut(Response, usize),
    /// Answers byte by byte.
    Drip(Response),
    /// Announces an endless chunked body and sends so many bytes of it unless the client hangs up before.
    Flood(Response, u64),
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self {
            status,
            headers: vec![("content-type".into(), "application/json".into())],
            body: body.to_string().into_bytes(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let head = format!("{}content-length: {}\r\n\r\n", self.head(), self.body.len());
        [head.as_bytes(), &self.body].concat()
    }

    /// The head without what says how long the body is.
    fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {} Fake\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head
    }
}

/// Decides about each request: by a queue of replies, or by what is in it.
pub(crate) type Script = Box<dyn FnMut(&Arrival) -> Reply + Send>;

/// Replies in order; later requests get the last reply again, or a 500.
pub(crate) fn queue(replies: impl IntoIterator<Item = Reply>, extra: Extra) -> Script {
    let mut replies: VecDeque<Reply> = replies.into_iter().collect();
    Box::new(move |_| match (replies.len(), extra) {
        (1, Extra::Repeat) => replies[0].clone(),
        _ => replies.pop_front().unwrap_or_else(|| {
            Reply::Respond(Response::json(500, &serde_json::json!({"error": "unexpected"})))
        }),
    })
}

/// What [`queue`] does when it is empty.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extra {
    Repeat,
    Fail,
}

/// A running fake; dropping it ends it.
pub(crate) struct FakeProvider {
    address: SocketAddr,
    shared: Arc<Shared>,
    tasks: TaskTracker,
    _refusing: Option<TcpSocket>,
    end: CancellationToken,
    _ending: DropGuard,
}

struct Shared {
    ledger: Mutex<Vec<Arrival>>,
    arrived: Notify,
    script: Mutex<Script>,
    unfinished: Mutex<Vec<Vec<u8>>>,
    flooded_bytes: AtomicU64,
    connections: Mutex<Connections>,
}

#[derive(Clone, Copy, Default)]
struct Connections {
    taken: usize,
    open: usize,
}

impl FakeProvider {
    pub(crate) async fn start(script: Script) -> Self {
        let mut fake = Self::refusing();
        fake.shared = Arc::new(Shared::new(script));
        fake._refusing = None;
        fake.address = fake.open_another(CancellationToken::new()).await;
        fake
    }

    /// Takes connections at one more address, until it is closed; those that came there go on.
    pub(crate) async fn open_another(&self, closed: CancellationToken) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shared, end, tasks) = (Arc::clone(&self.shared), self.end.clone(), self.tasks.clone());
        self.tasks.spawn(async move {
            closed.run_until_cancelled(accept_all(listener, shared, end, tasks)).await;
        });
        address
    }

    /// A port that refuses every connection and that nobody else can get meanwhile.
    pub(crate) fn refusing() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let end = CancellationToken::new();
        Self {
            address: socket.local_addr().unwrap(),
            shared: Arc::new(Shared::new(queue([], Extra::Fail))),
            tasks: TaskTracker::new(),
            _refusing: Some(socket),
            _ending: end.clone().drop_guard(),
            end,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that has arrived, in order.
    pub(crate) fn ledger(&self) -> Vec<Arrival> {
        self.shared.ledger.lock().unwrap().clone()
    }

    /// The bytes of every request that broke off before its end.
    pub(crate) fn unfinished(&self) -> Vec<Vec<u8>> {
        self.shared.unfinished.lock().unwrap().clone()
    }

    /// Bytes of endless bodies that the system took from it.
    pub(crate) fn flooded_bytes(&self) -> u64 {
        self.shared.flooded_bytes.load(Ordering::Acquire)
    }

    /// Waits until at least `taken` connections have come and all of them are over.
    pub(crate) async fn idle(&self, taken: usize) {
        loop {
            let notified = self.shared.arrived.notified();
            let connections = *self.shared.connections.lock().unwrap();
            if connections.taken >= taken && connections.open == 0 {
                return;
            }
            notified.await;
        }
    }

    /// Waits until at least `count` requests have arrived.
    pub(crate) async fn arrived(&self, count: usize) {
        loop {
            let notified = self.shared.arrived.notified();
            if self.shared.ledger.lock().unwrap().len() >= count {
                return;
            }
            notified.await;
        }
    }
}

impl Shared {
    fn new(script: Script) -> Self {
        Self {
            ledger: Mutex::default(),
            arrived: Notify::new(),
            script: Mutex::new(script),
            unfinished: Mutex::default(),
            flooded_bytes: AtomicU64::new(0),
            connections: Mutex::default(),
        }
    }

    fn count_connections(&self, count: impl FnOnce(&mut Connections)) {
        count(&mut self.connections.lock().unwrap());
        self.arrived.notify_waiters();
    }

    fn record(&self, arrival: &Arrival) -> Reply {
        tell_credentials(arrival);
        self.ledger.lock().unwrap().push(arrival.clone());
        self.arrived.notify_waiters();
        (self.script.lock().unwrap())(arrival)
    }
}

/// Tells whoever searches for secrets with which ones a request came.
fn tell_credentials(arrival: &Arrival) {
    let signed = arrival.header("authorization").and_then(|value| value.split("Signature=").nth(1));
    let parameters = arrival.query.split('&').filter_map(|pair| pair.strip_prefix("usersig="));
    for signature in signed.into_iter().chain(parameters) {
        outputs::secret("signature", signature);
        let decoded = imcast::adapter::sandbox::percent_decode(signature);
        outputs::secret("signature", &decoded.unwrap_or_default());
    }
    for signature in arrival.header("webhook-signature").into_iter().flat_map(|value| value.split(' ')) {
        let text = signature.trim_start_matches("v1,").trim_end_matches('=');
        outputs::secret("webhook signature", text);
    }
}

async fn accept_all(listener: TcpListener, shared: Arc<Shared>, end: CancellationToken, tasks: TaskTracker) {
    loop {
        let (stream, _) = tokio::select! {
            () = end.cancelled() => return,
            accepted = listener.accept() => accepted.unwrap(),
        };
        let (shared, end) = (Arc::clone(&shared), end.clone());
        shared.count_connections(|connections| {
            connections.taken += 1;
            connections.open += 1;
        });
        tasks.spawn(async move {
            tokio::select! {
                () = end.cancelled() => {}
                () = serving::serve(stream, &shared) => {}
            }
            shared.count_connections(|connections| connections.open -= 1);
        });
    }
}
