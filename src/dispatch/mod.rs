//! From a batch to its report: plan, pace, encode, authorize, send, decode, retry, merge.
//!
//! Knows no provider and no HTTP API. A batch belongs to the dispatcher, not to the connection it came on.

mod attempt;
pub mod backlog;
pub mod cancel;
pub mod channel;
pub mod circuit;
pub mod clock;
mod fleet_token;
mod gate;
mod journal;
mod measure;
pub mod pace;
pub mod plan;
mod portions;
pub mod recovery;
pub mod replace;
mod reports;
pub mod resend;
pub mod retry;
pub mod retry_budget;
mod run;
pub mod running;
mod sealed_options;
pub mod settings;
mod share;
pub mod start;
pub mod token;
mod turn;
pub mod window;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::dispatch::cancel::Canceled;
use crate::dispatch::channel::{ChannelParts, ChannelRuntime, ChannelStatus};
use crate::dispatch::clock::{Clock, Randomness};
use crate::dispatch::plan::{Plan, RouteFault};
use crate::dispatch::running::Running;
use crate::dispatch::settings::Settings;
use crate::domain::batch::Batch;
use crate::domain::id::{BatchId, ChannelName};
use crate::store::Store;
use crate::store::durable::Durable;
use crate::telemetry::metrics::Metrics;

/// Sends batches; shared as `Arc<Dispatcher>`.
pub struct Dispatcher {
    shared: Arc<Shared>,
}

/// One view of the channels.
type Channels = BTreeMap<ChannelName, Arc<ChannelRuntime>>;

/// What all channels and batches share.
pub(crate) struct Shared {
    /// Replaced as a whole; whoever has a channel of an older view keeps it as long as needed.
    channels: ArcSwap<Channels>,
    settings: Settings,
    store: Arc<dyn Store>,
    clock: Clock,
    randomness: Randomness,
    metrics: Arc<Metrics>,
    running: Mutex<HashMap<BatchId, Running>>,
    /// Canceled before they were in `running`.
    canceled: Canceled,
    /// Tells whoever waits for it that a batch left `running`: it has ended and is recorded.
    left: Notify,
    /// Tells that a batch was written as ended whose callback is due.
    callback_due: Notify,
    /// Held from reading a family to starting its next member, so that no recipient is chosen twice.
    resending: tokio::sync::Mutex<()>,
    /// Every task that outlives a request: the application waits for them before it ends.
    tasks: TaskTracker,
    /// Cancelled once no new work should be sent here.
    leaving: CancellationToken,
    /// Cancelled once new batches are refused.
    refusing: CancellationToken,
    /// Cancelled once calls that have not started never will.
    draining: CancellationToken,
}

impl Dispatcher {
    /// Takes the channels over.
    #[must_use]
    pub fn new(
        channels: Vec<ChannelParts>,
        settings: Settings,
        store: Arc<dyn Store>,
        clock: Clock,
        randomness: Randomness,
    ) -> Arc<Self> {
        let metrics = Arc::new(Metrics::new(clock.now()));
        let runtime = |parts: ChannelParts| {
            (parts.name.clone(), Arc::new(ChannelRuntime::new(parts, &settings, &metrics, &store)))
        };
        let channels: Channels = channels.into_iter().map(runtime).collect();
        let shared = Shared {
            channels: ArcSwap::from_pointee(channels),
            settings,
            store,
            clock,
            randomness,
            metrics,
            running: Mutex::default(),
            canceled: Canceled::default(),
            left: Notify::new(),
            callback_due: Notify::new(),
            resending: tokio::sync::Mutex::default(),
            tasks: TaskTracker::new(),
            leaving: CancellationToken::new(),
            refusing: CancellationToken::new(),
            draining: CancellationToken::new(),
        };
        Arc::new(Self { shared: Arc::new(shared) })
    }

    /// All channels, by name.
    #[must_use]
    pub fn channels(&self) -> Vec<Arc<ChannelRuntime>> {
        self.shared.channels.load().values().cloned().collect()
    }

    /// The channel of this name.
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<Arc<ChannelRuntime>> {
        self.shared.channels.load().get(name).cloned()
    }

    /// What is left of a channel now.
    #[must_use]
    pub fn status(&self, channel: &ChannelRuntime) -> ChannelStatus {
        channel.status(&self.shared.clock)
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.shared.clock.now()
    }

    /// A name for a new batch.
    #[must_use]
    pub fn new_batch_id(&self) -> BatchId {
        let since_epoch = self.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let unix_ms = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        let randomness = &self.shared.randomness;
        BatchId::new(unix_ms, (u128::from(randomness.next()) << 64) | u128::from(randomness.next()))
    }

    /// A random number for request ids.
    #[must_use]
    pub fn draw(&self) -> u64 {
        self.shared.randomness.next()
    }

    /// Checks a batch and cuts it into calls; sends nothing.
    ///
    /// # Errors
    /// Every fault of every route at once.
    pub fn plan(&self, batch: Batch) -> Result<Plan, Vec<RouteFault>> {
        Plan::new(&self.shared, batch)
    }

    /// Whether replicas share budgets and tokens through the store.
    #[must_use]
    pub fn shares_budgets(&self) -> bool {
        self.shared.store.shared().is_some()
    }

    /// What survives this process; `None` = nothing does.
    #[must_use]
    pub fn durable(&self) -> Option<&dyn Durable> {
        self.shared.store.durable()
    }

    /// The batch of this id if it still runs.
    #[must_use]
    pub fn running(&self, id: BatchId) -> Option<Running> {
        self.shared.running().get(&id).cloned()
    }

    /// Waits until a batch of this process has ended whose callback is due; for one who waits.
    ///
    /// What ended since the last time counts.
    pub async fn callback_due(&self) {
        self.shared.callback_due.notified().await;
    }

    /// Whether no channel could start a call within `patience`: a batch would be refused whatever is in it.
    #[must_use]
    pub fn is_overloaded(&self, patience: Duration) -> bool {
        // Who is patient without end is never kept waiting too long.
        patience < Duration::MAX
            && self.shared.channels.load().values().all(|channel| channel.is_full(patience))
    }

    /// How many batches run.
    #[must_use]
    pub fn running_count(&self) -> usize {
        self.shared.running().len()
    }

    /// Whether no new work should be sent here, although it is still taken.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.shared.leaving.is_cancelled()
    }

    /// Says that no new work should be sent here; what comes all the same is still taken.
    pub fn leave(&self) {
        self.shared.leaving.cancel();
    }

    /// Whether new batches are refused.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.refusing.is_cancelled()
    }

    /// Refuses new batches from now on.
    pub fn refuse_new(&self) {
        self.leave();
        self.shared.refusing.cancel();
    }

    /// Ends the work: calls that have not started fail, calls in flight get `grace` to finish.
    ///
    /// Returns whether everything was settled in time.
    pub async fn drain(&self, grace: Duration) -> bool {
        self.refuse_new();
        self.shared.draining.cancel();
        self.shared.tasks.close();
        tokio::time::timeout(grace, self.shared.tasks.wait()).await.is_ok()
    }
}

impl Shared {
    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<BatchId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, id: BatchId) {
        self.running().remove(&id);
        self.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
