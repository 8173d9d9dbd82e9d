//! What can be read of batches: their reports, their heads, and lists of them.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use crate::adapter::Chunking;
use crate::dispatch::Dispatcher;
use crate::dispatch::channel::ChannelRuntime;
use crate::dispatch::running::Running;
use crate::domain::id::BatchId;
use crate::domain::report::{Eta, Report, RouteReport, Status};
use crate::domain::route::Route;
use crate::store::{Filter, Head, StoreError, Summary};

/// What is still open of one route.
pub(super) struct OpenRoute<'a> {
    pub(super) channel: &'a ChannelRuntime,
    pub(super) chunking: Chunking,
    pub(super) recipients: usize,
    /// Whether it is in the channel's backlog already.
    pub(super) is_waiting: bool,
}

/// The longest of the waits that each route's open calls and recipients mean.
pub(super) fn eta<'a>(open: impl Iterator<Item = OpenRoute<'a>>) -> Option<Eta> {
    let waits = open.map(|OpenRoute { channel, chunking, recipients, is_waiting }| {
        let calls = recipients.div_ceil(chunking.recipients_per_call.max(1));
        let (remaining, kind) = channel.eta(chunking, calls, recipients, is_waiting);
        Eta { remaining, bound_by: kind.map(|kind| (channel.name().clone(), kind)) }
    });
    waits.max_by_key(|eta| eta.remaining).filter(|eta| !eta.remaining.is_zero())
}

impl Dispatcher {
    /// Whose a batch is that does not run here, and whether it is over; `None` = nobody knows it.
    ///
    /// # Errors
    /// [`StoreError`] if the record cannot be read.
    pub async fn recorded_head(&self, id: BatchId) -> Result<Option<Head>, StoreError> {
        self.shared.store.head(id).await
    }

    /// The report of a batch: live while it runs, recorded afterwards.
    ///
    /// # Errors
    /// [`StoreError`] if the record cannot be read.
    pub async fn report(&self, id: BatchId) -> Result<Option<Arc<Report>>, StoreError> {
        if let Some(running) = self.running(id) {
            return Ok(Some(running.report()));
        }
        let mut found = self.shared.store.find(id).await?;
        if let Some(report) = &mut found
            && !report.is_over()
        {
            let eta = self.eta_elsewhere(report);
            Arc::make_mut(report).eta = eta;
        }
        Ok(found)
    }

    /// How long the rest of a batch will take that runs in another process, as far as the channels of this one tell:
    /// what waits there is not known here, what waits here may be before it.
    fn eta_elsewhere(&self, report: &Report) -> Option<Eta> {
        let channels = self.shared.channels.load();
        let routes = report.batch.routes.iter().zip(&report.routes);
        let open =
            routes.filter_map(|(route, kept)| open_elsewhere(channels.get(&route.channel)?, route, kept));
        eta(open)
    }

    /// Recent batches, newest first: those that run here as they stand, the others as they are recorded.
    ///
    /// # Errors
    /// [`StoreError`] if the records cannot be read.
    pub async fn list(&self, filter: Filter) -> Result<Vec<Summary>, StoreError> {
        let most = filter.most;
        let mut lines = self.list_running(&filter);
        let here: HashSet<BatchId> = lines.iter().map(|line| line.id).collect();
        // Each line of the store is one of ours or a new one, so that a page of them is enough however much runs here.
        let recorded = self.shared.store.list(filter).await?;
        lines.extend(recorded.into_iter().filter(|line| !here.contains(&line.id)));
        lines.sort_by_key(|line| Reverse(line.id));
        lines.truncate(most);
        Ok(lines)
    }

    /// The newest of those that run here.
    fn list_running(&self, filter: &Filter) -> Vec<Summary> {
        let may_be_over = !matches!(filter.status, None | Some(Status::Processing));
        let takes = |running: &&Running| {
            (!may_be_over || running.0.is_finished()) && filter.takes_batch(running.batch())
        };
        let mut running: Vec<Running> = self.shared.running().values().filter(takes).cloned().collect();
        running.sort_by_key(|running| Reverse(running.id()));
        let lines = running.iter().map(Running::summary);
        let lines = lines.filter(|line| filter.status.is_none_or(|status| status == line.status()));
        lines.take(filter.most).collect()
    }
}

/// What is open of a route of another process; `None` = it cannot be sent with the configuration of this one.
fn open_elsewhere<'a>(
    channel: &'a Arc<ChannelRuntime>,
    route: &Arc<Route>,
    kept: &RouteReport,
) -> Option<OpenRoute<'a>> {
    let prepared = channel.channel().adapter.prepare(route).ok()?;
    let recipients = kept.counts().pending;
    Some(OpenRoute { channel, chunking: prepared.chunking(), recipients, is_waiting: false })
}
