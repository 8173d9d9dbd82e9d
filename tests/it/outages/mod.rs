//! The program itself while what it stands on is gone: its own process, its database, its disk.
//!
//! What was sent is judged by the provider's ledger alone.

#[cfg(feature = "postgres")]
mod database;
#[cfg(feature = "sqlite")]
mod disk;
#[cfg(feature = "postgres")]
mod takeover;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::accounts::Account;
use crate::ledger::{Batch, Carry, Conduct, Ledger};
use crate::process::Process;
use crate::raw::{RawAnswer, post};

/// No test waits longer than this for a change.
const PATIENCE: Duration = Duration::from_secs(60);

/// A provider that takes everybody and holds its answers while the test wants it to.
struct Holding {
    ledger: Ledger,
    is_holding: Arc<AtomicBool>,
    release: CancellationToken,
}

impl Holding {
    /// One that answers so many calls before it holds the others.
    async fn after(answered: usize) -> Self {
        let (is_holding, release) = (Arc::new(AtomicBool::new(true)), CancellationToken::new());
        let (holds, until, mut count) = (Arc::clone(&is_holding), release.clone(), 0);
        let plan = move |_: &_| {
            count += 1;
            let is_held = count > answered && holds.load(Ordering::SeqCst);
            let carry = if is_held { Carry::After(until.clone()) } else { Carry::Whole };
            (Conduct::Serve(Vec::new()), carry)
        };
        let ledger = Ledger::start(Account::of("tencent_tim"), Box::new(plan)).await;
        Self { ledger, is_holding, release }
    }

    /// Calls that come from now on are answered; those that are held stay so.
    fn hold_no_more(&self) {
        self.is_holding.store(false, Ordering::SeqCst);
    }

    /// Answers those that are held, and all others.
    fn release(&self) {
        self.hold_no_more();
        self.release.cancel();
    }

    /// Its channel: a call names one recipient, and `in_flight` of them are out at most.
    fn channel(&self, name: &str, in_flight: usize) -> String {
        format!(
            "[channels.{name}]\nprovider = 'tencent_tim'\nbase_url = '{}'\n{}\nrecipients_per_call = 1\n\
             calls_per_second = 100000\nmax_in_flight = {in_flight}\ntimeout_ms = 60000\n",
            self.ledger.fake.base_url(),
            self.ledger.account.settings
        )
    }

    /// How many calls have arrived for a batch.
    fn calls(&self, batch: &Batch) -> usize {
        self.ledger.entries().iter().filter(|entry| entry.marker == batch.marker).count()
    }
}

/// A batch with a message of its own.
fn batch(marker: &str, size: usize) -> Batch {
    let to = (0..size).map(|number| format!("{marker}-{number}")).collect();
    Batch { marker: marker.to_owned(), to, per_call: 1, accepts_duplicates: false }
}

/// Sends a batch through a channel, with these headers.
async fn send(process: &Process, headers: &str, channel: &str, batch: &Batch) -> RawAnswer {
    let message = json!({"type": "text", "text": batch.marker});
    let body = json!({"channel": channel, "from": "admin", "to": batch.to, "message": message});
    let mut caller = process.connect().await.unwrap();
    caller.write(&post(headers, body.to_string().as_bytes())).await;
    caller.answer().await.unwrap()
}

/// The id of a batch that was accepted.
fn id(answer: &RawAnswer) -> String {
    assert!((200..300).contains(&answer.status), "{answer:?}");
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    body["id"].as_str().unwrap().to_owned()
}

/// The report of a batch once it is over.
async fn end(process: &Process, id: &str) -> Value {
    let request = format!("GET /v1/batches/{id} HTTP/1.1\r\nhost: x\r\nprefer: wait=25\r\n\r\n");
    let mut caller = process.connect().await.unwrap();
    let is_over = async {
        loop {
            caller.write(request.as_bytes()).await;
            let answer = caller.answer().await.unwrap();
            assert!(matches!(answer.status, 200 | 503), "{answer:?}");
            let report: Value = serde_json::from_str(&answer.body).unwrap();
            if answer.status == 200 && report["status"] != "processing" {
                return report;
            }
        }
    };
    timeout(PATIENCE, is_over).await.expect("an end in time")
}

/// Asks what is at a path until the answer has this status.
async fn becomes(process: &Process, path: &str, status: u16) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    let mut caller = process.connect().await.unwrap();
    let is_so = async {
        loop {
            caller.write(request.as_bytes()).await;
            if caller.answer().await.unwrap().status == status {
                return;
            }
        }
    };
    timeout(PATIENCE, is_so).await.expect("the status in time");
}
