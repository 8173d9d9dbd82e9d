//! The API over all five adapters and their stand-ins, in memory: no socket, and time that jumps.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::BodyExt as _;
use imcast::adapter::channel::Provider;
use imcast::adapter::sandbox::{Arrival, StandInAnswer};
use imcast::adapter::wire::WireRequest;
use imcast::api::Api;
use imcast::api::keys::ring::KeyRing;
use imcast::config;
use imcast::dispatch::Dispatcher;
use imcast::dispatch::channel::ChannelParts;
use imcast::dispatch::clock::{Clock, Randomness};
use imcast::domain::id::ChannelName;
use imcast::providers::REGISTRY;
use imcast::store::memory::MemoryStore;
use imcast::transport::destination::Destination;
use imcast::transport::{HttpService, TransportError};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;

/// What the stand-ins' channels have as secrets; no answer may hold one.
const SECRETS: [&str; 7] = [
    "sandbox-client-secret",
    "openIM123",
    "stand-in-key-that-opens-nothing",
    "SandboxSecretOfNobody",
    "00112233445566778899aabbccddeeff",
    "0123456789abcdef0123456789abcdef",
    "fedcba9876543210fedcba9876543210",
];

/// Longest time that a batch may take, in hours of the paused clock.
const MOST_HOURS: u32 = 24 * 40;

/// The API, and how often providers were called.
pub(crate) struct Gateway {
    runtime: Runtime,
    api: Arc<Api>,
    router: Router,
    sent: Arc<Sent>,
}

/// What left for the providers.
#[derive(Default)]
struct Sent {
    calls: AtomicUsize,
    /// Scheme, host and port of the calls.
    servers: Mutex<BTreeSet<String>>,
    /// Calls that went anywhere but to the configured server.
    strays: AtomicUsize,
}

/// The configured server of a provider.
fn server(provider: &str) -> String {
    format!("https://{}.provider.test", provider.replace('_', "-"))
}

/// An answer, read to its end.
pub(crate) struct Exchanged {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Provider calls that were made for it, those for tokens included.
    pub(crate) calls: usize,
}

impl Gateway {
    /// A gateway with the default settings and one channel for each provider's stand-in.
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let sent = Arc::new(Sent::default());
        let settings = config::compiled_in().unwrap();
        let api = runtime.block_on(async {
            let clock = Clock::runtime(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
            let channels = REGISTRY.iter().map(|provider| channel(provider, &sent, &clock)).collect();
            // Little is ever read again, and inputs must not see each other's batches.
            let kept = imcast::store::settings::MemorySettings { memory_batches: 4, ..settings.store.memory };
            let store = Arc::new(MemoryStore::new(kept));
            let dispatcher =
                Dispatcher::new(channels, settings.delivery, store, clock, Randomness::seeded(1));
            let keys = Arc::new(KeyRing::new(&settings.keys));
            Arc::new(Api { dispatcher, settings: settings.api, keys, providers: REGISTRY })
        });
        Self { runtime, router: imcast::api::router(Arc::clone(&api)), api, sent }
    }

    /// Sends a request and reads its answer to the end.
    pub(crate) fn exchange(&self, request: Request<Body>) -> Exchanged {
        let before = self.sent.calls.load(Ordering::SeqCst);
        let (parts, body) = self.runtime.block_on(async {
            let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
            (parts, body.collect().await.unwrap().to_bytes().to_vec())
        });
        let calls = self.sent.calls.load(Ordering::SeqCst) - before;
        self.check_servers();
        Exchanged { status: parts.status.as_u16(), headers: parts.headers, body, calls }
    }

    /// GETs `path`.
    pub(crate) fn get(&self, path: &str, accept: &str) -> Exchanged {
        self.exchange(Request::get(path).header("accept", accept).body(Body::empty()).unwrap())
    }

    /// Lets every batch run to its end.
    pub(crate) fn settle(&self) {
        self.runtime.block_on(async {
            for _ in 0..MOST_HOURS {
                if self.api.dispatcher.running_count() == 0 {
                    self.check_servers();
                    return;
                }
                tokio::time::sleep(Duration::from_secs(3600)).await;
            }
            panic!("a batch never ends");
        });
    }

    /// Every server that was called so far.
    pub(crate) fn servers(&self) -> BTreeSet<String> {
        self.sent.servers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Panics if a call went anywhere but to a configured server: no input may choose one.
    fn check_servers(&self) {
        let strays = self.sent.strays.load(Ordering::SeqCst);
        assert_eq!(strays, 0, "a call left the configuration: {:?}", self.servers());
    }
}

impl Exchanged {
    /// A header's text; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap_or_default())
    }

    /// Panics if the answer holds a secret that `input` does not.
    pub(crate) fn check_secrets(&self, input: &[u8]) {
        // Not byte by byte: the fuzzer looks at every comparison of memory.
        let body = String::from_utf8_lossy(&self.body);
        let headers = format!("{:?}", self.headers);
        for secret in SECRETS {
            let is_told = body.contains(secret) || headers.contains(secret);
            let is_given = || String::from_utf8_lossy(input).contains(secret);
            assert!(!is_told || is_given(), "the answer holds a secret");
        }
    }
}

fn channel(provider: &'static Provider, sent: &Arc<Sent>, clock: &Clock) -> ChannelParts {
    let base_url = server(provider.name);
    let channel = config::build_channel(provider, &base_url, provider.sandbox.settings).unwrap();
    let destination = Destination::new(&channel.settings.base_url).unwrap();
    let host = HeaderValue::from_str(base_url.trim_start_matches("https://")).unwrap();
    let (sent, clock) = (Arc::clone(sent), clock.clone());
    let stand_in: Arc<dyn imcast::adapter::sandbox::StandIn> = (provider.sandbox.build)().into();
    let http = HttpService::new(tower::service_fn(move |request: WireRequest| {
        sent.calls.fetch_add(1, Ordering::SeqCst);
        let uri = destination.uri(&request).unwrap();
        let server = format!("{}://{}", uri.scheme().unwrap(), uri.authority().unwrap());
        sent.strays.fetch_add(usize::from(server != base_url), Ordering::SeqCst);
        sent.servers.lock().unwrap_or_else(PoisonError::into_inner).insert(server);
        let query = request.encoded_query();
        let mut headers = request.headers.clone();
        headers.insert("host", host.clone());
        let arrival = Arrival {
            method: request.method.as_str(),
            path: &request.path,
            query: &query,
            headers: &headers,
            body: &request.body,
        };
        let answer = stand_in.answer(&arrival, clock.now());
        async move {
            match answer {
                StandInAnswer::Respond(response) => Ok(response),
                StandInAnswer::Drop => Err(TransportError::ConnectionReset),
                StandInAnswer::Hang => {
                    tokio::time::sleep(request.timeout).await;
                    Err(TransportError::Timeout)
                }
            }
        }
    }));
    let name = ChannelName::parse(provider.sandbox.channel).unwrap();
    ChannelParts { name, channel, http, is_sandbox: true, account: None }
}
