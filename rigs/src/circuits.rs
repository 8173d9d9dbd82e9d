//! Watches the channels' circuit breakers through the gateway's own API.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::exchange::Connection;
use crate::requests;

/// Between two looks.
const POLL: Duration = Duration::from_millis(50);

/// A breaker that was seen to change.
#[derive(Clone, Debug)]
struct Change {
    channel: String,
    state: String,
}

/// A running watch; dropping it ends it.
pub(crate) struct Watch {
    changes: Arc<Mutex<Vec<Change>>>,
    _watching: JoinSet<()>,
}

impl Watch {
    pub(crate) fn start(gateway: SocketAddr) -> Self {
        let changes = Arc::<Mutex<Vec<Change>>>::default();
        let mut watching = JoinSet::new();
        watching.spawn(watch(gateway, Arc::clone(&changes)));
        Self { changes, _watching: watching }
    }

    /// In order; the first one of a channel is the state in which it was found.
    fn changes(&self) -> Vec<Change> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often the breakers of channels other than this one have moved so far.
    pub(crate) fn moves_of_others(&self, channel: &str) -> usize {
        let changes = self.changes();
        let others = changes.iter().filter(|change| change.channel != channel);
        let found: BTreeSet<_> = others.clone().map(|change| &change.channel).collect();
        others.count() - found.len()
    }

    /// The state of a channel's breaker; `None` if the gateway does not say.
    pub(crate) fn state(&self, channel: &str) -> Option<String> {
        let changes = self.changes();
        changes.into_iter().rev().find(|change| change.channel == channel).map(|change| change.state)
    }

    /// Waits until the breaker is in this state or the time is over.
    pub(crate) async fn wait_for(&self, channel: &str, state: &str, deadline: Instant) {
        while self.state(channel).as_deref() != Some(state) && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
    }
}

async fn watch(gateway: SocketAddr, changes: Arc<Mutex<Vec<Change>>>) {
    let request = requests::get("/v1/channels");
    let mut connection = None;
    loop {
        if connection.is_none() {
            connection = Connection::open(gateway).await.ok();
        }
        let seen = match &mut connection {
            Some(open) => match open.exchange(&request).await {
                Ok(_) => serde_json::from_slice::<Value>(open.body()).ok(),
                Err(_) => None,
            },
            None => None,
        };
        match seen {
            Some(answer) => record(&answer, &changes),
            // Opened anew next time.
            None => connection = None,
        }
        tokio::time::sleep(POLL).await;
    }
}

fn record(answer: &Value, changes: &Mutex<Vec<Change>>) {
    let channels = answer.get("channels").and_then(Value::as_array);
    for channel in channels.into_iter().flatten() {
        let name = channel.get("name").and_then(Value::as_str);
        let state = channel.pointer("/circuit/state").and_then(Value::as_str);
        let (Some(name), Some(state)) = (name, state) else { continue };
        let mut changes = changes.lock().unwrap_or_else(PoisonError::into_inner);
        let last = changes.iter().rev().find(|change| change.channel == name);
        if last.is_none_or(|last| last.state != state) {
            changes.push(Change { channel: name.to_owned(), state: state.to_owned() });
        }
    }
}
