//! Where batches are kept: finished ones for a while, durable ones from before their first call.

pub mod durable;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod linking;
pub mod memory;
#[cfg(test)]
pub(crate) mod model;
pub mod opened;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod queue;
pub mod sealed;
pub mod settings;
pub mod shared;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) mod stored;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod unrecorded;

#[cfg(test)]
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod suite;

use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use crate::domain::batch::Batch;
use crate::domain::id::{BatchId, ChannelName};
use crate::domain::outcome::Counts;
use crate::domain::report::{Report, Status};
use crate::store::durable::Durable;
use crate::store::shared::Shared;

/// An answer that takes a while.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The end of something that cannot fail.
pub type Recording<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Keeps reports.
pub trait Store: Send + Sync + 'static {
    /// Keeps the report of a finished batch that is not durable; under load it may be forgotten, and is counted then.
    fn record(&self, report: Arc<Report>) -> Recording<'_>;

    /// How many finished batches were not kept for as long as they should be, for whatever reason.
    fn unrecorded_count(&self) -> u64 {
        0
    }

    /// The report of this batch, if it is still kept; of a durable one that has not ended as it stands.
    fn find(&self, id: BatchId) -> StoreFuture<'_, Option<Arc<Report>>>;

    /// Whose this batch is and whether it is over, without the rest of its report: takes as little for a batch of a
    /// million recipients as for one that nobody knows.
    fn head(&self, id: BatchId) -> StoreFuture<'_, Option<Head>> {
        Box::pin(async move { Ok(self.find(id).await?.map(|report| Head::of(&report))) })
    }

    /// Notes that a batch sends recipients of another one again, so that the parent's report lists it.
    ///
    /// Comes before the child's first call: the child's own report follows when it has ended.
    fn link(&self, link: Link) -> StoreFuture<'_, Linked>;

    /// Takes a link back, because the child was not started after all.
    fn unlink(&self, link: Link) -> StoreFuture<'_, ()>;

    /// Recent batches that are kept, newest first.
    fn list(&self, filter: Filter) -> StoreFuture<'_, Vec<Summary>>;

    /// What survives the process; `None` = nothing does.
    fn durable(&self) -> Option<&dyn Durable>;

    /// What all processes share that use this store; `None` = no other one uses it.
    fn shared(&self) -> Option<&dyn Shared> {
        None
    }
}

/// Why a store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached or cannot write now; nothing was changed.
    #[error("the store is away")]
    Away(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Whether the change was made is not known and could not be found out.
    #[error("the store was lost while it wrote")]
    Unsettled,
    /// Another process goes on with the batch; nothing was written.
    #[error("another process has taken the batch over")]
    Lost,
    /// What it holds is not what this program writes.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
}

/// A batch that sends recipients of another one again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The first batch of their family.
    pub root: BatchId,
    /// The batch whose recipients these are.
    pub parent: BatchId,
    /// The batch that sends to them again.
    pub child: BatchId,
    /// How many links the family had when its members were read.
    pub known_links: usize,
}

/// What became of [`Store::link`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linked {
    /// It is noted.
    Noted,
    /// The parent is no longer kept; nothing was noted.
    ParentGone,
    /// Another process linked a batch of the family meanwhile; nothing was noted.
    FamilyChanged,
}

/// What is asked of a batch before the rest of it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Whose it is; `None` = of the time when no keys of callers were configured.
    pub caller: Option<Arc<str>>,
    /// Whether it is over: nothing of it changes any more but the list of its resends.
    pub is_over: bool,
}

/// Which batches to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this caller's; `None` = everybody's.
    pub caller: Option<Arc<str>>,
    /// Only those that are so far; `None` = all.
    pub status: Option<Status>,
    /// Only those with a route through this channel.
    pub channel: Option<ChannelName>,
    /// Only those older than this one.
    pub before: Option<BatchId>,
    /// At most so many, at least 1.
    pub most: usize,
}

/// One line of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Its name.
    pub id: BatchId,
    /// The caller's own reference.
    pub client_ref: Option<Arc<str>>,
    /// When it was accepted.
    pub created_at: SystemTime,
    /// When it ended; `None` = it has not.
    pub completed_at: Option<SystemTime>,
    /// Whether a cancel stopped somebody.
    pub canceled: bool,
    /// Its channels, in the order of its routes.
    pub channels: Vec<ChannelName>,
    /// How many recipients ended in each way; of one that runs as far as it is written.
    pub counts: Counts,
}

impl Filter {
    /// Whether it takes this batch.
    #[must_use]
    pub fn takes(&self, report: &Report) -> bool {
        self.status.is_none_or(|status| status == report.status()) && self.takes_batch(&report.batch)
    }

    /// Whether it takes a batch whatever its status.
    #[must_use]
    pub fn takes_batch(&self, batch: &Batch) -> bool {
        let has_channel = |channel: &ChannelName| batch.routes.iter().any(|route| route.channel == *channel);
        (self.caller.is_none() || self.caller == batch.caller)
            && self.before.is_none_or(|before| batch.id < before)
            && self.channel.as_ref().is_none_or(has_channel)
    }
}

impl Head {
    /// That of this batch.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        Self { caller: report.batch.caller.clone(), is_over: report.is_over() }
    }
}

impl Summary {
    /// How far the batch is.
    #[must_use]
    pub const fn status(&self) -> Status {
        Status::of(self.completed_at, self.canceled)
    }

    /// The line of this batch.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        Self {
            id: report.batch.id,
            client_ref: report.batch.client_ref.clone(),
            created_at: report.batch.created_at,
            completed_at: report.completed_at,
            canceled: report.canceled,
            channels: report.routes.iter().map(|route| route.channel.clone()).collect(),
            counts: report.counts(),
        }
    }
}
