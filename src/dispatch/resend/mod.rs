//! Sends recipients of an ended batch again, as a batch of its own that is linked to it.
//!
//! What counts is how a recipient stands over the whole family, which `select` decides; here the family is
//! brought together and kept from changing meanwhile. When it cannot be known, nothing is sent.

pub mod permission;
mod select;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;
use tracing::error;

use crate::dispatch::Dispatcher;
use crate::dispatch::plan::{Plan, RouteFault};
use crate::dispatch::resend::permission::{NotResent, Permission};
use crate::dispatch::resend::select::{Part, Selection, select};
use crate::dispatch::start::{StartError, Started, Terms};
use crate::domain::batch::{Batch, OnInvalid, Resend};
use crate::domain::id::BatchId;
use crate::domain::report::Report;
use crate::domain::route::Route;
use crate::store::{Link, Linked, StoreError};
use crate::telemetry::trace_context::TraceId;

/// How long a batch that has just ended may take to be recorded before it counts as running.
const RECORDING_PATIENCE: Duration = Duration::from_secs(5);

/// Families with more results are looked through away from the threads that serve connections.
const MANY_RESULTS: usize = 10_000;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The batch whose recipients are meant.
    pub of: BatchId,
    /// Which of them.
    pub wanted: Wanted,
    /// No attempt starts after this.
    pub expires_at: SystemTime,
    /// How it is to be started.
    pub terms: Terms,
    /// The trace that its log line names.
    pub trace_id: Option<TraceId>,
}

/// Which recipients are sent to again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Those who certainly got nothing.
    #[default]
    Failed,
    /// Those who may have got it: the caller accepts duplicates.
    Unknown,
    /// Both: the caller accepts duplicates.
    FailedOrUnknown,
}

/// Why nothing was sent, nor will be.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Nobody knows the batch.
    #[error("no batch of this id is known here, or no longer")]
    UnknownBatch,
    /// The family may still change: try again when this batch has ended.
    #[error("batch {0} is still running: repeat this when it has ended")]
    StillRunning(BatchId),
    /// Who got the message since cannot be known.
    #[error(
        "batch {0} of the same chain of resends is no longer kept: who got the message since cannot be known"
    )]
    NotKept(BatchId),
    /// Everybody who was asked for is settled.
    #[error("nothing is left to send again{}", explain_doubtful(*doubtful))]
    NothingLeft {
        /// Recipients that failed in this batch, but may have got the message in another one of the family.
        doubtful: usize,
    },
    /// It can no longer be planned, e.g. since its channel is gone.
    #[error("the batch can no longer be sent")]
    Faults(Vec<RouteFault>),
    /// It could not be started.
    #[error(transparent)]
    Start(StartError),
    /// The process is about to end.
    #[error("this process is about to end: send the request again")]
    Draining,
    /// The store does not answer.
    #[error("recorded batches cannot be read now")]
    Store(#[from] StoreError),
    /// A fault of ours.
    #[error("the resend was not prepared")]
    Internal,
}

fn explain_doubtful(count: usize) -> String {
    match count {
        0 => String::new(),
        count => format!(
            ": {count} failed here but may have got the message in another batch of the chain, so only \
             `unknown` takes them"
        ),
    }
}

impl Dispatcher {
    /// Plans and starts the batch that is asked for, as far as `permission` goes.
    ///
    /// It belongs to whom the batch `request.of` belongs to.
    ///
    /// # Errors
    /// [`NotResent`]; nothing was sent then.
    pub async fn resend<P: Permission>(
        self: &Arc<Self>,
        request: Request,
        permission: P,
    ) -> Result<Started, NotResent<P::Denial>> {
        let dispatcher = Arc::clone(self);
        let of = request.of;
        // A task of its own: a caller that hangs up must not leave a link to a batch that never started.
        let task =
            self.shared.tasks.spawn(async move { dispatcher.resend_in_turn(request, permission).await });
        task.await.unwrap_or_else(|error| {
            error!(batch.id = %of, %error, "A resend broke.");
            Err(Refusal::Internal.into())
        })
    }

    async fn resend_in_turn<P: Permission>(
        self: Arc<Self>,
        request: Request,
        permission: P,
    ) -> Result<Started, NotResent<P::Denial>> {
        let _turn = self.shared.resending.lock().await;
        let family = self.family(request.of).await?;
        // Every member but the root is linked to its parent.
        let known_links = family.members.len().saturating_sub(1);
        let child = self.narrow(family, &request).await?;
        permission.allow(&child).map_err(NotResent::Denied)?;
        let mut plan = self.plan_resend(child, request.of).await?;
        plan.trace_id = request.trace_id;
        let recipient_count = plan.recipient_count();
        permission.take_recipients(recipient_count).map_err(NotResent::Denied)?;
        let begun = self.link_and_begin(plan, request, known_links).await;
        if !matches!(begun, Ok(Started::New(_))) {
            permission.give_back_recipients(recipient_count);
        }
        Ok(begun?)
    }

    async fn link_and_begin(
        &self,
        plan: Plan,
        request: Request,
        known_links: usize,
    ) -> Result<Started, Refusal> {
        let batch = plan.batch();
        let (root, parent, child) = (batch.root(), request.of, batch.id);
        let link = Link { root, parent, child, known_links };
        // Before the start: a batch that nobody can find as a relative could be sent twice.
        match self.shared.store.link(link).await? {
            Linked::Noted => {}
            Linked::ParentGone => return Err(Refusal::NotKept(parent)),
            Linked::FamilyChanged => return Err(Refusal::StillRunning(root)),
        }
        let begun = self.begin_unless_draining(plan, request.terms).await;
        // What may have been written may go on in the next process.
        let is_open = matches!(begun, Err(Refusal::Start(StartError::Store(StoreError::Unsettled))));
        if !is_open
            && !matches!(begun, Ok(Started::New(_)))
            && let Err(error) = self.shared.store.unlink(link).await
        {
            error!(batch.id = %parent, %error, "A link to a batch that was not started stays.");
        }
        begun
    }

    async fn begin_unless_draining(&self, plan: Plan, terms: Terms) -> Result<Started, Refusal> {
        if self.is_draining() {
            return Err(Refusal::Draining);
        }
        self.begin(plan, terms).await.map_err(Refusal::Start)
    }

    /// Everything that is known of the family of a batch.
    async fn family(&self, of: BatchId) -> Result<Family, Refusal> {
        let named = self.ended(of).await?.ok_or(Refusal::UnknownBatch)?;
        let mut open = vec![named.batch.root()];
        let mut members = Vec::new();
        while let Some(id) = open.pop() {
            let member = if id == of { Some(Arc::clone(&named)) } else { self.ended(id).await? };
            let member = member.ok_or(Refusal::NotKept(id))?;
            open.extend(&member.resends);
            members.push(member);
        }
        Ok(Family { named, members })
    }

    /// The report of a batch that must have ended; `None` = it is not kept.
    async fn ended(&self, id: BatchId) -> Result<Option<Arc<Report>>, Refusal> {
        if let Some(running) = self.running(id) {
            // Who waited for the end is told before the batch is recorded, and may come here faster.
            let is_recorded = running.finished(Duration::ZERO).await
                && timeout(RECORDING_PATIENCE, self.recorded(id)).await.is_ok();
            if !is_recorded {
                return Err(Refusal::StillRunning(id));
            }
        }
        let found = self.shared.store.find(id).await?;
        // It runs in another process, or in none until somebody goes on with it: whoever is undecided may get it yet.
        if found.as_ref().is_some_and(|report| !report.is_over()) {
            return Err(Refusal::StillRunning(id));
        }
        Ok(found)
    }

    async fn recorded(&self, id: BatchId) {
        loop {
            let left = self.shared.left.notified();
            if self.running(id).is_none() {
                return;
            }
            left.await;
        }
    }

    /// The batch for those who are left, not planned yet.
    async fn narrow(self: &Arc<Self>, family: Family, request: &Request) -> Result<Batch, Refusal> {
        let routes = family.members.iter().flat_map(|member| &member.routes);
        let result_count: usize = routes.map(|route| route.recipients.len()).sum();
        let dispatcher = Arc::clone(self);
        let (wanted, expires_at) = (request.wanted, request.expires_at);
        let work = move || {
            let Selection { parts, doubtful } = select(&family.named, &family.members, wanted);
            if parts.is_empty() {
                return Err(Refusal::NothingLeft { doubtful });
            }
            Ok(Batch {
                id: dispatcher.new_batch_id(),
                created_at: dispatcher.now(),
                expires_at,
                ..narrowed(&family.named.batch, parts)
            })
        };
        away_if(result_count > MANY_RESULTS, request.of, work).await
    }

    async fn plan_resend(self: &Arc<Self>, child: Batch, of: BatchId) -> Result<Plan, Refusal> {
        let recipients = child.routes.iter().filter_map(|route| route.only.as_ref());
        let recipient_count: usize = recipients.map(|only| only.len()).sum();
        let dispatcher = Arc::clone(self);
        let work = move || dispatcher.plan(child).map_err(Refusal::Faults);
        away_if(recipient_count > MANY_RESULTS, of, work).await
    }
}

/// Works here, or away from the threads that serve connections if it `is_long`.
async fn away_if<T: Send + 'static>(
    is_long: bool,
    of: BatchId,
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    if !is_long {
        return work();
    }
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        error!(batch.id = %of, %error, "Planning a resend failed.");
        Err(Refusal::Internal)
    })
}

/// A batch and everything that sent some of the same recipients.
struct Family {
    /// The batch that the caller named.
    named: Arc<Report>,
    /// All of them, in no particular order.
    members: Vec<Arc<Report>>,
}

/// The same batch for `parts` of its recipients; its name and its times are still the parent's.
fn narrowed(parent: &Batch, parts: Vec<Part>) -> Batch {
    let mut root_routes = Vec::with_capacity(parts.len());
    let routes = parts.into_iter().filter_map(|part| {
        let route = parent.routes.get(part.route_index)?;
        root_routes.push(part.root_route);
        let only = Arc::new(part.recipients);
        // The room of directed messages stays. Otherwise the parent's list would be kept as long as its children.
        let to = Arc::clone(if part.is_directed { &route.to } else { &only });
        Some(Arc::new(Route { to, only: Some(only), ..Route::clone(route) }))
    });
    let routes = routes.collect();
    Batch {
        // What the parent took or skipped was decided when it was accepted.
        on_invalid: OnInvalid::Skip,
        routes,
        resend: Some(Resend { of: parent.id, root: parent.root(), root_routes }),
        // A request of its own says whether its end is told.
        callback: None,
        ..parent.clone()
    }
}
