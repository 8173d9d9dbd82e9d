//! Tells whoever asked for it that a batch has ended: one signed webhook, at least once, through restarts.
//!
//! What is to be told stands in the store, written together with the end of the batch. Whoever takes a callback has
//! it for [`CALLBACK_LEASE`], and whatever becomes of it is written before that is over; if not, it is taken again.

mod delivery;
mod event;
pub mod settings;
pub mod signature;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::callbacks::delivery::deliver;
use crate::callbacks::settings::Settings;
use crate::dispatch::Dispatcher;
use crate::domain::callback::Origin;
use crate::store::durable::{CALLBACK_LEASE, DueCallback, Durable};
use crate::transport::webhook::WebhookService;

/// Most callbacks that are taken out of the store in one step.
const MOST_AT_ONCE: usize = 100;

/// Most callbacks that wait for their turn at one server; others are left to their lease, so that a server that
/// does not answer fills neither the memory nor the way to the others.
const MOST_WAITING_PER_HOST: usize = 200;

/// How often the store is asked for callbacks that this process does not know to be due.
const PAUSE: Duration = Duration::from_secs(5);

/// A repeat that is due sooner than this does not wait for the next look.
const SOON: Duration = Duration::from_secs(10);

/// Time between the latest end of a try and the end of its lease, in which its result is written.
const MARGIN: Duration = Duration::from_secs(10);

/// Delivers callbacks; dropping it begins nothing more.
pub struct Courier {
    tasks: TaskTracker,
    _leaves_when_dropped: DropGuard,
}

/// What all deliveries share.
struct Shared {
    dispatcher: Arc<Dispatcher>,
    service: WebhookService,
    settings: Settings,
    /// One for each allowed server, in the order of the settings.
    hosts: Vec<Host>,
    /// Told when a repeat is due sooner than the next look.
    repeats: Notify,
    tasks: TaskTracker,
    /// Cancelled once no further try may begin.
    leaving: CancellationToken,
}

/// One server and what it may take up.
struct Host {
    origin: Origin,
    /// Callbacks that are tried or wait for it.
    places: Arc<Semaphore>,
    /// Callbacks that are tried.
    turns: Semaphore,
}

/// A callback that was taken out of the store.
struct Taken {
    due: DueCallback,
    at: Instant,
}

impl Courier {
    /// Delivers what the dispatcher's store has due, until it is stopped.
    #[must_use]
    pub fn start(dispatcher: Arc<Dispatcher>, service: WebhookService, settings: Settings) -> Self {
        let turns = settings.max_in_flight_per_host;
        let host = |origin: &Origin| Host {
            origin: origin.clone(),
            places: Arc::new(Semaphore::new(turns + MOST_WAITING_PER_HOST)),
            turns: Semaphore::new(turns),
        };
        let hosts = settings.allowed_hosts.origins().iter().map(host).collect();
        let (tasks, leaving) = (TaskTracker::new(), CancellationToken::new());
        let shared = Shared {
            dispatcher,
            service,
            settings,
            hosts,
            repeats: Notify::new(),
            tasks: tasks.clone(),
            leaving: leaving.clone(),
        };
        tasks.spawn(async move {
            let leaving = shared.leaving.clone();
            leaving.run_until_cancelled(Arc::new(shared).deliver_for_ever()).await;
        });
        Self { tasks, _leaves_when_dropped: leaving.drop_guard() }
    }

    /// Begins no further try and gives those under way `grace`; whatever is not delivered stays in the store.
    ///
    /// Returns whether all of them ended in time.
    pub async fn stop(self, grace: Duration) -> bool {
        let Self { tasks, _leaves_when_dropped: leaving } = self;
        drop(leaving);
        tasks.close();
        tokio::time::timeout(grace, tasks.wait()).await.is_ok()
    }
}

impl Shared {
    async fn deliver_for_ever(self: Arc<Self>) {
        let Some(store) = self.dispatcher.durable() else { return };
        loop {
            let may_have_more = self.take_due(store).await;
            if may_have_more {
                continue;
            }
            tokio::select! {
                () = self.dispatcher.callback_due() => {}
                () = self.repeats.notified() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Begins what is due; whether there may be more.
    async fn take_due(self: &Arc<Self>, store: &dyn Durable) -> bool {
        // Before the store counts: the lease never ends earlier than it is believed to.
        let at = Instant::now();
        let due = match store.due_callbacks(MOST_AT_ONCE).await {
            Ok(due) => due,
            Err(error) => {
                warn!(%error, "Callbacks that are due cannot be read.");
                return false;
            }
        };
        let may_have_more = due.len() == MOST_AT_ONCE;
        for due in due {
            self.begin(Taken { due, at });
        }
        may_have_more
    }

    fn begin(self: &Arc<Self>, taken: Taken) {
        let host = self.settings.allowed_hosts.find(&taken.due.url).ok();
        let place = match host.and_then(|index| self.hosts.get(index)) {
            None => None,
            Some(host) => match Arc::clone(&host.places).try_acquire_owned() {
                Ok(place) => Some(place),
                // It is due again when its lease is over.
                Err(_) => return,
            },
        };
        self.tasks.spawn(deliver(Arc::clone(self), taken, host, place));
    }
}

impl Taken {
    /// The latest time at which a try may begin, so that it ends within its lease.
    fn latest_begin(&self, settings: &Settings) -> Instant {
        self.at + CALLBACK_LEASE.saturating_sub(settings.timeout + MARGIN)
    }
}
