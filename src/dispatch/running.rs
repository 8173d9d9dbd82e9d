//! A batch at work: what is decided so far, and a report of it at any time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use crate::dispatch::plan::{Plan, PlannedRoute};
use crate::dispatch::reports::eta;
use crate::domain::batch::Batch;
use crate::domain::id::BatchId;
use crate::domain::outcome::{Counts, Outcomes};
use crate::domain::recipients::{Positions, RecipientList};
use crate::domain::report::{Remarks, Report, RouteReport, Settled, Warning};
use crate::store::Summary;
use crate::store::durable::Chunk;

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
    /// Cancelled when the caller wants no further call to start.
    pub(super) canceled: CancellationToken,
    /// Cancelled once a durable batch stands in the store.
    pub(super) written: CancellationToken,
    /// Whether something was left to the next process, so that the batch does not end in this one.
    has_left: AtomicBool,
}

struct Progress {
    routes: Vec<RouteProgress>,
    warnings: Vec<Warning>,
    /// Whether the cancel stopped anybody.
    has_canceled: bool,
    /// Whether every change goes to the store first.
    is_durable: bool,
}

impl Progress {
    fn settle(&mut self, route_index: usize, settled: Settled, remarks: Remarks) {
        let Remarks { request_id, warnings, recipients } = remarks;
        if let Some(route) = self.routes.get_mut(route_index) {
            route.settle(settled, recipients);
            route.request_ids.extend(request_id);
        }
        for warning in warnings {
            warning.add_to(&mut self.warnings);
        }
    }
}

#[derive(Default)]
struct RouteProgress {
    /// Decided chunks by their first position.
    settled: BTreeMap<u32, Settled>,
    /// Calls that may be written now, by their first position.
    in_flight: BTreeMap<u32, Positions>,
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
        for planned in &plan.routes {
            if let Some(unsent) = &planned.unsent {
                planned.channel.metrics.count_outcomes(&unsent.outcomes);
            }
        }
        Self::with_progress(plan, Progress { routes, warnings, has_canceled: false, is_durable: false })
    }

    /// A durable batch as the process before left it: `report` is that of the store.
    pub(super) fn resumed(plan: Plan, report: &Report) -> Self {
        let routes = report.routes.iter().map(RouteProgress::resumed).collect();
        let warnings = report.warnings.clone();
        let has_canceled = report.canceled;
        let running =
            Self::with_progress(plan, Progress { routes, warnings, has_canceled, is_durable: true });
        running.0.written.cancel();
        running
    }

    fn with_progress(plan: Plan, progress: Progress) -> Self {
        Self(Arc::new(State {
            plan,
            progress: Mutex::new(progress),
            outcome: OnceLock::new(),
            finished: CancellationToken::new(),
            canceled: CancellationToken::new(),
            written: CancellationToken::new(),
            has_left: AtomicBool::new(false),
        }))
    }

    /// The batch's id.
    #[must_use]
    pub fn id(&self) -> BatchId {
        self.0.plan.batch.id
    }

    /// The batch itself.
    #[must_use]
    pub fn batch(&self) -> &Batch {
        &self.0.plan.batch
    }

    /// Waits until nothing more happens to the batch in this process, at most `most`; whether that is so.
    pub async fn finished(&self, most: Duration) -> bool {
        tokio::time::timeout(most, self.0.finished.cancelled()).await.is_ok()
    }

    /// The batch as it stands.
    #[must_use]
    pub fn report(&self) -> Arc<Report> {
        self.0.report()
    }

    /// Its line in a list.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.0.summary()
    }

    /// Starts no further call; those in flight finish. Without effect once the batch is over.
    pub(super) fn cancel(&self) {
        self.0.canceled.cancel();
    }
}

impl State {
    /// Records what became of some recipients, and what the answer said beside it.
    pub(super) fn settle(&self, route_index: usize, settled: Settled, remarks: Remarks) {
        self.count_outcomes(route_index, &settled.outcomes);
        self.progress().settle(route_index, settled, remarks);
    }

    /// The same unless the store has to know first; gives it back then.
    pub(super) fn settle_in_memory(
        &self,
        route_index: usize,
        settled: Settled,
        remarks: Remarks,
    ) -> Option<(Settled, Remarks)> {
        let mut progress = self.progress();
        if progress.is_durable {
            return Some((settled, remarks));
        }
        self.count_outcomes(route_index, &settled.outcomes);
        progress.settle(route_index, settled, remarks);
        None
    }

    /// Records that a call may be written from now on; whether the store has to know first.
    pub(super) fn begin(&self, route_index: usize, positions: &Positions) -> bool {
        let mut progress = self.progress();
        if let (Some(first), Some(route)) = (positions.get(0), progress.routes.get_mut(route_index)) {
            route.in_flight.insert(first, positions.clone());
        }
        progress.is_durable
    }

    /// Records that nothing of a call was written; whether the store has to know as well.
    pub(super) fn release(&self, route_index: usize, positions: &Positions) -> bool {
        let mut progress = self.progress();
        if let (Some(first), Some(route)) = (positions.get(0), progress.routes.get_mut(route_index)) {
            route.in_flight.remove(&first);
        }
        progress.is_durable
    }

    /// Whether every change goes to the store first.
    pub(super) fn is_durable(&self) -> bool {
        self.progress().is_durable
    }

    /// Lets every change from now on wait for the store, and returns the batch as it stands; `None` if that was
    /// done before or the batch is over.
    pub(super) fn become_durable(&self) -> Option<(Arc<Report>, Vec<Chunk>)> {
        let mut progress = self.progress();
        if progress.is_durable || self.is_finished() {
            return None;
        }
        progress.is_durable = true;
        let calls = progress.routes.iter().enumerate().flat_map(|(route_index, route)| {
            let positions = route.in_flight.values().cloned();
            positions.map(move |positions| Chunk { route_index, positions })
        });
        let in_flight = calls.collect();
        Some((Arc::new(self.snapshot(&progress)), in_flight))
    }

    /// Ends the work of this process on a batch that is not over.
    pub(super) fn leave(&self) {
        self.has_left.store(true, Ordering::Release);
    }

    /// Whether something was left to the next process.
    pub(super) fn has_left(&self) -> bool {
        self.has_left.load(Ordering::Acquire)
    }

    /// Tells whoever waits that nothing more happens here.
    pub(super) fn wake(&self) {
        self.finished.cancel();
    }

    /// Counts a call.
    pub(super) fn count_call(&self, route_index: usize, is_retry: bool) {
        self.with_route(route_index, |route| {
            route.calls += 1;
            route.retries += u32::from(is_retry);
        });
    }

    /// Records that the cancel stopped somebody.
    pub(super) fn note_canceled(&self) {
        self.progress().has_canceled = true;
    }

    /// Counts time that a call waited for a budget.
    pub(super) fn count_wait(&self, route_index: usize, wait: Duration) {
        self.with_route(route_index, |route| route.throttled += wait);
    }

    /// Whether everything is decided and told.
    pub(super) fn is_finished(&self) -> bool {
        self.outcome.get().is_some()
    }

    /// The positions that nobody decided, by route.
    pub(super) fn undecided(&self) -> Vec<(usize, Vec<u32>)> {
        let progress = self.progress();
        let routes = self.plan.routes.iter().zip(&progress.routes).enumerate();
        routes
            .filter(|(_, (planned, route))| route.pending(planned) > 0)
            .map(|(route_index, (planned, route))| {
                let report = route.report(planned, route.settled.values().cloned().collect());
                let open = report.lines().filter(|line| line.decided.is_none());
                (route_index, open.map(|line| line.position).collect())
            })
            .collect()
    }

    /// Ends the batch: nothing changes any more.
    pub(super) fn finish(&self, now: SystemTime) -> Arc<Report> {
        let mut progress = self.progress();
        let report = self.outcome.get_or_init(|| {
            let routes = self.plan.routes.iter().zip(&mut progress.routes).map(|(planned, route)| {
                let settled = std::mem::take(&mut route.settled);
                route.report(planned, settled.into_values().collect())
            });
            let routes = routes.collect();
            let warnings = std::mem::take(&mut progress.warnings);
            let canceled = progress.has_canceled;
            Arc::new(Report { canceled, ..self.report_of(routes, warnings, Some(now)) })
        });
        self.finished.cancel();
        Arc::clone(report)
    }

    fn report(&self) -> Arc<Report> {
        let progress = self.progress();
        // Under the lock, since the end takes the decisions out of the progress.
        if let Some(report) = self.outcome.get() {
            return Arc::clone(report);
        }
        let report = self.snapshot(&progress);
        let open = self.plan.routes.iter().zip(&progress.routes);
        let open = open.map(|(planned, route)| planned.open(route.pending(planned), true));
        Arc::new(Report { eta: eta(open), ..report })
    }

    fn summary(&self) -> Summary {
        let progress = self.progress();
        if let Some(report) = self.outcome.get() {
            return Summary::of(report);
        }
        let batch = &self.plan.batch;
        let mut counts = Counts::default();
        for (planned, route) in self.plan.routes.iter().zip(&progress.routes) {
            counts += route.counts(planned);
        }
        Summary {
            id: batch.id,
            client_ref: batch.client_ref.clone(),
            created_at: batch.created_at,
            completed_at: None,
            canceled: false,
            channels: batch.routes.iter().map(|route| route.channel.clone()).collect(),
            counts,
        }
    }

    fn snapshot(&self, progress: &Progress) -> Report {
        let routes = self.plan.routes.iter().zip(&progress.routes);
        let routes =
            routes.map(|(planned, route)| route.report(planned, route.settled.values().cloned().collect()));
        self.report_of(routes.collect(), progress.warnings.clone(), None)
    }

    fn report_of(
        &self,
        routes: Vec<RouteReport>,
        warnings: Vec<Warning>,
        completed_at: Option<SystemTime>,
    ) -> Report {
        let batch = Arc::clone(&self.plan.batch);
        Report { batch, completed_at, canceled: false, eta: None, routes, warnings, resends: Vec::new() }
    }

    fn count_outcomes(&self, route_index: usize, outcomes: &Outcomes) {
        if let Some(planned) = self.plan.routes.get(route_index) {
            planned.channel.metrics.count_outcomes(outcomes);
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
    fn resumed(route: &RouteReport) -> Self {
        let settled =
            route.settled.iter().filter_map(|settled| Some((settled.positions.get(0)?, settled.clone())));
        Self {
            settled: settled.collect(),
            in_flight: BTreeMap::new(),
            listed: None,
            calls: route.calls,
            retries: route.retries,
            throttled: route.throttled,
            request_ids: route.provider_request_ids.clone(),
        }
    }

    fn settle(&mut self, settled: Settled, named: Option<Arc<RecipientList>>) {
        if named.is_some() {
            // It was the route's only call, of as many recipients as could be said before.
            self.in_flight.clear();
            self.listed = named;
        }
        if let Some(first) = settled.positions.get(0) {
            self.in_flight.remove(&first);
            self.settled.insert(first, settled);
        }
    }

    /// How many recipients are not decided yet.
    fn pending(&self, planned: &PlannedRoute) -> usize {
        let recipients = self.listed.as_ref().unwrap_or(&planned.recipients).len();
        let decided: usize = self.settled.values().map(|settled| settled.positions.len()).sum();
        let unsent = planned.unsent.as_ref().map_or(0, |unsent| unsent.positions.len());
        recipients.saturating_sub(decided + unsent)
    }

    fn counts(&self, planned: &PlannedRoute) -> Counts {
        let mut counts = Counts::default();
        for settled in self.settled.values().chain(&planned.unsent) {
            counts += settled.outcomes.counts();
        }
        counts.pending = self.pending(planned);
        counts.total += counts.pending;
        counts
    }

    fn report(&self, planned: &PlannedRoute, settled: Vec<Settled>) -> RouteReport {
        RouteReport {
            channel: planned.channel.name().clone(),
            provider: planned.channel.provider(),
            is_sandbox: planned.channel.is_sandbox(),
            recipients: self.listed.clone().unwrap_or_else(|| Arc::clone(&planned.recipients)),
            chatroom_id: planned.chatroom_id.clone(),
            settled,
            unsent: planned.unsent.clone(),
            calls: self.calls,
            retries: self.retries,
            throttled: self.throttled,
            provider_request_ids: self.request_ids.clone(),
        }
    }
}
