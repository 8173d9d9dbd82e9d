//! Callbacks over days on a paused clock, against a made-up network.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::SystemTime;

use http::StatusCode;

use super::*;
use crate::callbacks::signature::SigningKey;
use crate::dispatch::clock::{Clock, Randomness};
use crate::domain::batch::Batch;
use crate::domain::callback::AllowedHosts;
use crate::domain::id::BatchId;
use crate::domain::samples;
use crate::store::durable::NewBatch;
use crate::store::model::ModelStore;
use crate::telemetry::metrics::tests::samples;
use crate::transport::webhook::{Webhook, WebhookError};

const GOOD: &str = "https://good.example/end";
const OTHER: &str = "https://other.example/end";
const NOW: u64 = 1_700_000_000;

/// One try as it arrived, and when.
#[derive(Clone, Debug)]
struct Heard {
    at: Duration,
    webhook: Webhook,
}

impl Heard {
    fn header(&self, name: &str) -> &str {
        self.webhook.headers[name].to_str().unwrap()
    }
}

type Answer = Result<StatusCode, WebhookError>;

/// How long the network takes for a try of this number to this URL, and what it answers.
type Script = Arc<dyn Fn(usize, &str) -> (Duration, Answer) + Send + Sync>;

/// How many tries are open, and the most that ever were, by host.
type Open = BTreeMap<Box<str>, (usize, usize)>;

/// A network and what it heard.
#[derive(Clone)]
struct Network {
    script: Script,
    started: Instant,
    heard: Arc<Mutex<Vec<Heard>>>,
    open: Arc<Mutex<Open>>,
}

impl Network {
    fn new(script: impl Fn(usize, &str) -> (Duration, Answer) + Send + Sync + 'static) -> Self {
        let (heard, open) = (Arc::default(), Arc::default());
        Self { script: Arc::new(script), started: Instant::now(), heard, open }
    }

    /// Every try is answered with this status at once.
    fn answering(status: u16) -> Self {
        Self::new(move |_, _| (Duration::ZERO, Ok(StatusCode::from_u16(status).unwrap())))
    }

    fn service(&self) -> WebhookService {
        let network = self.clone();
        WebhookService::new(tower::service_fn(move |webhook| network.clone().answer(webhook)))
    }

    async fn answer(self, webhook: Webhook) -> Answer {
        let (host, url) = (webhook.host.clone(), Arc::clone(&webhook.url));
        let number = {
            let mut heard = self.heard.lock().unwrap();
            heard.push(Heard { at: self.started.elapsed(), webhook });
            heard.len()
        };
        let count = |change: fn(&mut (usize, usize))| {
            change(self.open.lock().unwrap().entry(host.clone()).or_default());
        };
        count(|(open, most)| {
            *open += 1;
            *most = (*most).max(*open);
        });
        let (time, answer) = (self.script)(number, &url);
        tokio::time::sleep(time).await;
        count(|(open, _)| *open -= 1);
        answer
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    fn most_open(&self, host: &str) -> usize {
        self.open.lock().unwrap()[host].1
    }

    async fn heard_count(&self, count: usize) -> Vec<Heard> {
        loop {
            let heard = self.heard();
            if heard.len() >= count {
                return heard;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn settings() -> Settings {
    let origins = [GOOD, OTHER].map(|url| Origin::of(url).unwrap());
    Settings {
        allowed_hosts: AllowedHosts::new(origins.into()),
        signing_keys: vec![SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap()],
        allow_private_addresses: false,
        timeout: Duration::from_secs(15),
        retry_delays: [5, 300, 1800, 7200, 18_000, 36_000, 36_000].map(Duration::from_secs).into(),
        max_in_flight_per_host: 8,
    }
}

/// The dispatcher of one process over a store.
fn dispatcher(store: &ModelStore) -> Arc<Dispatcher> {
    let clock = Clock::runtime(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW));
    let delivery = crate::dispatch::settings::Settings::for_tests();
    Dispatcher::new(Vec::new(), delivery, Arc::new(store.clone()), clock, Randomness::seeded(3))
}

fn start(store: &ModelStore, network: &Network) -> Courier {
    Courier::start(dispatcher(store), network.service(), settings())
}

/// Writes that a batch has ended which has a callback.
async fn end_batch(store: &ModelStore, number: u64, url: &str) {
    let batch = Batch { callback: Some(url.into()), ..samples::batch(BatchId::new(number, 0), Vec::new()) };
    let report = Arc::new(samples::ended(batch, Vec::new()));
    let new = NewBatch { report: Arc::clone(&report), in_flight: Vec::new(), key: None };
    store.accept(new).await.unwrap();
    store.finish(report).await.unwrap();
}

fn open_callbacks(store: &ModelStore) -> usize {
    store.shared.lock().unwrap().callbacks.len()
}

async fn all_ended(store: &ModelStore) {
    while open_callbacks(store) > 0 {
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
}

fn tries(dispatcher: &Dispatcher) -> [f64; 3] {
    let found = samples(&dispatcher.metrics().encode().unwrap());
    ["delivered", "failed", "given_up"]
        .map(|result| found[&format!("imcast_callback_tries_total{{result=\"{result}\"}}")])
}

#[tokio::test(start_paused = true)]
async fn a_callback_is_tried_for_about_a_day_and_then_given_up() {
    let store = ModelStore::default();
    end_batch(&store, 1, GOOD).await;
    let (network, dispatcher) = (Network::answering(500), dispatcher(&store));
    let courier = Courier::start(Arc::clone(&dispatcher), network.service(), settings());
    all_ended(&store).await;
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    let heard = network.heard();
    assert_eq!(heard.len(), 8);
    for (index, delay) in settings().retry_delays.into_iter().enumerate() {
        let waited = heard[index + 1].at - heard[index].at;
        let latest = delay.mul_f64(1.2) + PAUSE + Duration::from_millis(10);
        assert!((delay.mul_f64(0.8)..=latest).contains(&waited), "{index}: {waited:?}");
    }
    for (at, next) in heard.iter().zip(&heard[1..]) {
        assert_eq!(at.header("webhook-id"), next.header("webhook-id"));
        assert_eq!(at.webhook.body, next.webhook.body);
        assert!(at.header("webhook-timestamp") < next.header("webhook-timestamp"), "each try has its time");
        assert_ne!(at.header("webhook-signature"), next.header("webhook-signature"));
    }
    for heard in &heard {
        assert_eq!(heard.header("webhook-timestamp"), (NOW + heard.at.as_secs()).to_string());
    }
    assert_eq!(tries(&dispatcher), [0.0, 7.0, 1.0]);
    assert!(courier.stop(Duration::from_secs(1)).await);
}

#[tokio::test(start_paused = true)]
async fn what_is_answered_decides() {
    type Fails = fn() -> WebhookError;
    let failing: [Fails; 3] =
        [|| WebhookError::Connect, || WebhookError::Timeout, || WebhookError::PrivateAddress];
    for status in [200, 204, 299] {
        check(Network::answering(status), [1.0, 0.0, 0.0]).await;
    }
    check(Network::answering(410), [0.0, 0.0, 1.0]).await;
    for status in [100, 301, 302, 307, 400, 404, 429, 500, 503] {
        check(Network::answering(status), [0.0, 2.0, 1.0]).await;
    }
    for fails in failing {
        check(Network::new(move |_, _| (Duration::ZERO, Err(fails()))), [0.0, 2.0, 1.0]).await;
    }

    async fn check(network: Network, expected: [f64; 3]) {
        let store = ModelStore::default();
        end_batch(&store, 1, GOOD).await;
        let dispatcher = dispatcher(&store);
        let settings = Settings { retry_delays: vec![Duration::from_secs(60); 2], ..settings() };
        let _courier = Courier::start(Arc::clone(&dispatcher), network.service(), settings);
        all_ended(&store).await;
        assert_eq!(tries(&dispatcher), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_holds_up_nobody() {
    let store = ModelStore::default();
    for number in 0..500 {
        end_batch(&store, number, OTHER).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    end_batch(&store, 1_000, GOOD).await;
    let network = Network::new(|_, url| match url {
        OTHER => (Duration::from_secs(15), Err(WebhookError::Timeout)),
        _ => (Duration::ZERO, Ok(StatusCode::OK)),
    });
    let _courier = start(&store, &network);
    let told = loop {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let heard = network.heard();
        if let Some(told) = heard.into_iter().find(|heard| &*heard.webhook.url == GOOD) {
            break told;
        }
    };
    assert!(told.at < Duration::from_secs(3), "{:?}", told.at);
    network.heard_count(100).await;
    assert_eq!(network.most_open("other.example"), 8);
}

#[tokio::test(start_paused = true)]
async fn a_slow_server_is_told_everything_once() {
    let store = ModelStore::default();
    for number in 0..20 {
        end_batch(&store, number, GOOD).await;
    }
    let network = Network::new(|_, _| (Duration::from_secs(14), Ok(StatusCode::OK)));
    let settings = Settings { max_in_flight_per_host: 1, ..settings() };
    let _courier = Courier::start(dispatcher(&store), network.service(), settings);
    all_ended(&store).await;
    let heard = network.heard();
    let ids: std::collections::BTreeSet<_> = heard.iter().map(|heard| heard.header("webhook-id")).collect();
    assert_eq!((heard.len(), ids.len(), network.most_open("good.example")), (20, 20, 1));
}

#[tokio::test(start_paused = true)]
async fn the_next_process_goes_on_with_the_schedule() {
    let store = ModelStore::default();
    end_batch(&store, 1, GOOD).await;
    let first = Network::answering(503);
    let courier = start(&store, &first);
    let before = first.heard_count(2).await;
    assert!(courier.stop(Duration::from_secs(1)).await);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(first.heard().len(), 2, "a process that leaves begins nothing");
    let second = Network::answering(503);
    let dispatcher = dispatcher(&store);
    let _courier = Courier::start(Arc::clone(&dispatcher), second.service(), settings());
    all_ended(&store).await;
    let after = second.heard();
    assert_eq!(after.len(), 6);
    assert_eq!(before[0].header("webhook-id"), after[0].header("webhook-id"));
    assert_eq!(tries(&dispatcher), [0.0, 5.0, 1.0]);
}

#[tokio::test(start_paused = true)]
async fn a_try_that_died_is_made_again_when_its_lease_is_over() {
    let store = ModelStore::default();
    end_batch(&store, 1, GOOD).await;
    let first = Network::new(|_, _| (Duration::from_secs(1_000_000), Ok(StatusCode::OK)));
    let courier = start(&store, &first);
    first.heard_count(1).await;
    assert!(!courier.stop(Duration::from_secs(1)).await, "the grace is over before the try is");
    let second = Network::answering(200);
    let _courier = start(&store, &second);
    let after = second.heard_count(1).await;
    assert_eq!(first.heard()[0].header("webhook-id"), after[0].header("webhook-id"));
    assert!(second.heard()[0].at >= CALLBACK_LEASE - Duration::from_secs(2));
    all_ended(&store).await;
}

#[tokio::test(start_paused = true)]
async fn a_try_under_way_may_end_and_no_other_begins() {
    let store = ModelStore::default();
    end_batch(&store, 1, GOOD).await;
    end_batch(&store, 2, GOOD).await;
    let network = Network::new(|_, _| (Duration::from_secs(3), Ok(StatusCode::OK)));
    let settings = Settings { max_in_flight_per_host: 1, ..settings() };
    let courier = Courier::start(dispatcher(&store), network.service(), settings);
    network.heard_count(1).await;
    assert!(courier.stop(Duration::from_secs(10)).await);
    assert_eq!((network.heard().len(), open_callbacks(&store)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_no_longer_allowed_is_not_asked() {
    let store = ModelStore::default();
    end_batch(&store, 1, "https://former.example/end").await;
    let (network, dispatcher) = (Network::answering(200), dispatcher(&store));
    let _courier = Courier::start(Arc::clone(&dispatcher), network.service(), settings());
    all_ended(&store).await;
    assert_eq!((network.heard().len(), tries(&dispatcher)), (0, [0.0, 7.0, 1.0]));
}
