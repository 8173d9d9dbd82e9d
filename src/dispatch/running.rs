//! A batch at work: what is decided so far, and a report of it at any time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use crate::dispatch::plan::{Plan, PlannedRoute, eta};
use crate::domain::id::BatchId;
use crate::domain::outcome::{Outcome, Outcomes};
use crate::domain::recipients::{Positions, RecipientList};
use crate::domain::report::{Report, RouteReport, Settled, Warning};

/// A handle to a batch that runs or has ended; it belongs to the application, not to a connection.
#[derive(Clone)]
pub struct Running(pub(super) Arc<State>);

/// The batch's own state; lives while the batch runs or somebody holds a handle.
pub(super) struct State {
    pub(super) plan: Plan,
    progress: Mutex<Progress>,
    /// Set once, when everything is decided.
    outcome: OnceLock<Arc<Report>>,
    finished: CancellationToken,
}

struct Progress {
    routes: Vec<RouteProgress>,
    warnings: Vec<Warning>,
}

#[derive(Default)]
struct RouteProgress {
    /// Decided chunks by their first position.
    settled: BTreeMap<u32, Settled>,
    /// The recipients that a send-to-all answer named.
    listed: Option<Arc<RecipientList>>,
    calls: u32,
    retries: u32,
    throttled: Duration,
    request_ids: Vec<Box<str>>,
}

impl Running {
    pub(super) fn new(plan: Plan) -> Self {
        let routes = plan.routes.iter().map(|_| RouteProgress::default()).collect();
        let warnings = plan.warnings().to_vec();
        Self(Arc::new(State {
            plan,
            progress: Mutex::new(Progress { routes, warnings }),
            outcome: OnceLock::new(),
            finished: CancellationToken::new(),
        }))
    }

    /// The batch's id.
    #[must_use]
    pub fn id(&self) -> BatchId {
        self.0.plan.batch.id
    }

    /// Waits until the batch is over, at most `most`; whether it is.
    pub async fn finished(&self, most: Duration) -> bool {
        tokio::time::timeout(most, self.0.finished.cancelled())
            .await
            .is_ok()
    }

    /// The batch as it stands.
    #[must_use]
    pub fn report(&self) -> Arc<Report> {
        match self.0.outcome.get() {
            Some(report) => Arc::clone(report),
            None => Arc::new(self.0.snapshot()),
        }
    }
}

impl State {
    /// Records what became of some recipients.
    pub(super) fn settle(&self, route_index: usize, settled: Settled) {
        self.with_route(route_index, |route| {
            if let Some(first) = settled.positions.get(0) {
                route.settled.insert(first, settled);
            }
        });
    }

    /// Records the recipients that a send-to-all answer named.
    pub(super) fn settle_listed(&self, route_index: usize, listed: Vec<(Box<str>, Outcome)>, attempts: u32) {
        let recipients: RecipientList = listed.iter().map(|(id, _)| &**id).collect();
        let count = crate::domain::recipients::narrow(listed.len());
        let outcomes = Outcomes::from_each(listed.into_iter().map(|(_, outcome)| outcome).collect());
        self.with_route(route_index, |route| {
            route.listed = Some(Arc::new(recipients));
            let positions = Positions::Range(0..count);
            route.settled.insert(
                0,
                Settled {
                    positions,
                    outcomes,
                    attempts,
                },
            );
        });
    }

    /// Counts a call.
    pub(super) fn count_call(&self, route_index: usize, is_retry: bool) {
        self.with_route(route_index, |route| {
            route.calls += 1;
            route.retries += u32::from(is_retry);
        });
    }

    /// Counts time that a call waited for a budget.
    pub(super) fn count_wait(&self, route_index: usize, wait: Duration) {
        self.with_route(route_index, |route| route.throttled += wait);
    }

    /// Records what an answer said beside its verdict.
    pub(super) fn note(&self, route_index: usize, request_id: Option<Box<str>>, warnings: Vec<Warning>) {
        if request_id.is_none() && warnings.is_empty() {
            return;
        }
        let channel = self
            .plan
            .routes
            .get(route_index)
            .map(|planned| planned.channel.name().clone());
        let mut progress = self.progress();
        if let Some(route) = progress.routes.get_mut(route_index) {
            route.request_ids.extend(request_id);
        }
        for warning in warnings {
            let warning = Warning {
                channel: channel.clone(),
                ..warning
            };
            // One per cause: what another call of the route said already is not said again.
            if !progress
                .warnings
                .iter()
                .any(|known| known.code == warning.code && known.channel == warning.channel)
            {
                progress.warnings.push(warning);
            }
        }
    }

    /// Ends the batch: nothing changes any more.
    pub(super) fn finish(&self, now: SystemTime) -> Arc<Report> {
        let report = Arc::new(Report {
            completed_at: Some(now),
            eta: None,
            ..self.snapshot()
        });
        let report = Arc::clone(self.outcome.get_or_init(|| report));
        self.finished.cancel();
        report
    }

    pub(super) fn snapshot(&self) -> Report {
        let progress = self.progress();
        let routes = self.plan.routes.iter().zip(&progress.routes);
        let routes: Vec<_> = routes
            .map(|(planned, progress)| progress.report(planned))
            .collect();
        let open = self.plan.routes.iter().zip(&routes).map(|(planned, route)| {
            let pending = route.counts().pending;
            (
                planned,
                pending.div_ceil(planned.chunking.recipients_per_call.max(1)),
                pending,
            )
        });
        Report {
            batch: Arc::clone(&self.plan.batch),
            completed_at: None,
            canceled: false,
            eta: eta(open),
            routes,
            warnings: progress.warnings.clone(),
            resends: Vec::new(),
        }
    }

    fn with_route(&self, route_index: usize, change: impl FnOnce(&mut RouteProgress)) {
        if let Some(route) = self.progress().routes.get_mut(route_index) {
            change(route);
        }
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RouteProgress {
    fn report(&self, planned: &PlannedRoute) -> RouteReport {
        RouteReport {
            channel: planned.channel.name().clone(),
            provider: planned.channel.provider(),
            is_sandbox: planned.channel.is_sandbox(),
            recipients: self
                .listed
                .clone()
                .unwrap_or_else(|| Arc::clone(&planned.recipients)),
            chatroom_id: planned.chatroom_id.clone(),
            settled: self.settled.values().cloned().collect(),
            unsent: planned.unsent.clone(),
            calls: self.calls,
            retries: self.retries,
            throttled: self.throttled,
            provider_request_ids: self.request_ids.clone(),
        }
    }
}
