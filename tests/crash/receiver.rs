//! The server that is told of the ends of batches: sometimes busy or slow, never killed, and it checks what it is told.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use imcast::dispatch::clock::Clock;
use sha2::Sha256;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::dice::Dice;
use crate::fake_provider::{Arrival, FakeProvider, Reply, Response};
use crate::told::counted;

/// The key that signs, without its prefix.
const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// How far a timestamp may be off.
const FRESH: Duration = Duration::from_secs(300);

/// How long the last events may take: whoever was killed had taken them for 60 s, and is looked for every 5 s.
const PATIENCE: Duration = Duration::from_secs(120);

/// One try as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Its `webhook-id`.
    pub(crate) id: String,
    /// The batch that the body names.
    pub(crate) batch: String,
    /// Of all, accepted, failed, unknown.
    pub(crate) counts: [u64; 4],
    pub(crate) body: Vec<u8>,
    /// Whether the signature is right and the time is that of the try.
    pub(crate) is_genuine: bool,
    /// Whether the receiver said that it has it now.
    pub(crate) is_taken: bool,
}

/// A running receiver.
pub(crate) struct Receiver {
    fake: FakeProvider,
    events: Arc<Mutex<Vec<Event>>>,
    /// An event has come.
    pub(crate) arrived: Arc<Notify>,
}

impl Receiver {
    pub(crate) async fn start(seed: u64) -> Self {
        let (dice, delays) = (Dice::about(seed, "receiver"), TaskTracker::new());
        let (events, arrived) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
        let (book, bell) = (Arc::clone(&events), Arc::clone(&arrived));
        let fake = FakeProvider::start(Box::new(move |arrival: &Arrival| {
            let choice = dice.number(1..=10);
            let is_taken = choice > 1;
            book.lock().unwrap().push(Event::read(arrival, is_taken));
            bell.notify_waiters();
            let status = if is_taken { 200 } else { 500 };
            let reply = Reply::Respond(Response::json(status, &serde_json::json!({})));
            if choice > 2 {
                return reply;
            }
            let (release, delay) = (CancellationToken::new(), dice.milliseconds(0..=300));
            let released = release.clone();
            delays.spawn(async move {
                tokio::time::sleep(delay).await;
                release.cancel();
            });
            Reply::After(released, Box::new(reply))
        }))
        .await;
        Self { fake, events, arrived }
    }

    /// The section of the configuration: a failed try is soon followed by the next one.
    pub(crate) fn settings(&self) -> String {
        let delays = ["100"; 100].join(", ");
        format!(
            "[callbacks]\nallowed_hosts = ['{}']\nsecret = 'whsec_{SECRET}'\nallow_private_addresses = true\n\
             retry_delays_ms = [{delays}]\n",
            self.fake.base_url()
        )
    }

    /// Where it wants to be told.
    pub(crate) fn url(&self) -> String {
        format!("{}/ended", self.fake.base_url())
    }

    /// Everything that has arrived, in order.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// Waits until it was told of these batches, or for too long.
    pub(crate) async fn has_told(&self, batches: &HashSet<String>) {
        let telling = async {
            loop {
                let arrived = self.arrived.notified();
                let is_missing = {
                    let events = self.events.lock().unwrap();
                    let taken = events.iter().filter(|event| event.is_taken).map(|event| &*event.batch);
                    let taken: HashSet<&str> = taken.collect();
                    batches.iter().any(|batch| !taken.contains(&**batch))
                };
                if !is_missing {
                    return;
                }
                arrived.await;
            }
        };
        // The verdict says what is missing.
        let _ = timeout(PATIENCE, telling).await;
    }
}

impl Event {
    fn read(arrival: &Arrival, is_taken: bool) -> Self {
        let json = arrival.json();
        Self {
            id: arrival.header("webhook-id").unwrap_or_default().to_owned(),
            batch: json["data"]["id"].as_str().unwrap_or_default().to_owned(),
            counts: counted(&json["data"]["counts"]),
            body: arrival.body.clone(),
            is_genuine: is_genuine(arrival).unwrap_or_default(),
            is_taken,
        }
    }
}

/// As the documentation tells receivers to check.
fn is_genuine(arrival: &Arrival) -> Option<bool> {
    let (id, time) = (arrival.header("webhook-id")?, arrival.header("webhook-timestamp")?);
    let sent_at = SystemTime::UNIX_EPOCH + Duration::from_secs(time.parse().ok()?);
    let age = Clock::system().now().duration_since(sent_at).unwrap_or_else(|error| error.duration());
    let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(SECRET).ok()?).ok()?;
    mac.update(format!("{id}.{time}.").as_bytes());
    mac.update(&arrival.body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    Some(age < FRESH && arrival.header("webhook-signature")? == expected)
}
