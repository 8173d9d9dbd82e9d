//! Promise: whatever breaks, the report is true, everybody stands in it once, and nobody is sent to twice.
//!
//! A lane is one channel with its ledger behind a proxy that breaks connections. Every case has a channel of its
//! own, so that no failure of one case changes how the next one is treated.

mod answers;
mod callers;
mod calls;
mod clocks;
mod connections;
#[cfg(target_os = "linux")]
mod memory;
mod mixture;
mod throttling;
mod tokens;

use std::time::Duration;

use serde_json::{Value, json};

use crate::accounts::Account;
use crate::fault_proxy::{FaultProxy, Faults};
use crate::harness::TestGateway;
use crate::ledger::{Batch, Ledger, Plan};

/// No test waits longer than this for connections to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// One channel, its provider, and what stands between them.
pub(super) struct Lane {
    name: String,
    ledger: Ledger,
    proxy: FaultProxy,
    per_call: usize,
}

impl Lane {
    pub(super) async fn start(account: &'static Account, name: &str, plan: Plan, faults: Faults) -> Self {
        let ledger = Ledger::start(account, plan).await;
        let proxy = FaultProxy::start(ledger.fake.address(), faults).await;
        Self { name: name.to_owned(), ledger, proxy, per_call: 2 }
    }

    /// One whose provider refuses connections until the proxy is opened.
    pub(super) async fn refusing(account: &'static Account, name: &str, plan: Plan, faults: Faults) -> Self {
        let ledger = Ledger::start(account, plan).await;
        let proxy = FaultProxy::refusing(ledger.fake.address(), faults);
        Self { name: name.to_owned(), ledger, proxy, per_call: 2 }
    }

    pub(super) fn what(&self) -> String {
        format!("{} {}", self.ledger.account.provider, self.name)
    }

    /// The channel with a token that needs no asking, so that the first connection is the first send.
    pub(super) fn section(&self, more: &str) -> String {
        let account = self.ledger.account;
        self.section_with(account.with_fixed_token.unwrap_or(account.settings), more)
    }

    /// The channel with these settings of its provider, and budgets that do not bind.
    pub(super) fn section_with(&self, settings: &str, more: &str) -> String {
        format!(
            "[channels.{}]\nprovider = '{}'\nbase_url = 'http://{}'\n{settings}\nrecipients_per_call = {}\n\
             calls_per_second = 100000\nmessages_per_second = 1000000\n{more}\n",
            self.name,
            self.ledger.account.provider,
            self.proxy.address(),
            self.per_call
        )
    }

    /// A batch of so many recipients; no other batch of this lane may have this marker.
    pub(super) fn batch(&self, marker: &str, count: usize) -> Batch {
        Batch {
            marker: marker.to_owned(),
            to: (1000..1000 + count).map(|id| id.to_string()).collect(),
            per_call: self.per_call,
            accepts_duplicates: false,
        }
    }

    /// The request for a batch.
    pub(super) fn request(&self, batch: &Batch) -> Value {
        json!({"channel": self.name, "from": self.ledger.account.sender, "to": batch.to,
               "message": {"type": "text", "text": batch.marker},
               "options": {"retry_unknown": batch.accepts_duplicates}})
    }

    /// Sends a batch and brings its finished report.
    pub(super) async fn send(&self, gateway: &TestGateway, batch: &Batch) -> Value {
        let answer = gateway.send(&self.request(batch)).await;
        assert!([200, 207].contains(&answer.status), "{}: {}", self.what(), answer.text);
        answer.json()
    }

    /// Waits until the provider has seen the end of everything that went out; the gateway must be gone by then.
    pub(super) async fn settle(&self) {
        let settled = async {
            self.proxy.idle(0).await;
            let reached = self.proxy.log().iter().filter(|carried| carried.has_target).count();
            self.ledger.fake.idle(reached).await;
        };
        let settled = tokio::time::timeout(PATIENCE, settled).await;
        assert!(settled.is_ok(), "{}: connections stay open: {:?}", self.what(), self.proxy.log());
    }
}

/// The statuses of a report, in order.
fn statuses(report: &Value) -> Vec<&str> {
    let results = report["results"].as_array().unwrap_or_else(|| panic!("{report}"));
    results.iter().map(|result| result["status"].as_str().unwrap()).collect()
}

/// A gateway with all these channels.
async fn gateway(sections: impl IntoIterator<Item = String>) -> TestGateway {
    TestGateway::start(&sections.into_iter().collect::<String>()).await
}
