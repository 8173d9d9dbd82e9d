//! One accepted request.

use std::sync::Arc;
use std::time::SystemTime;

use crate::domain::id::BatchId;
use crate::domain::route::Route;

/// One batch: one or more routes and what holds for all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Its name.
    pub id: BatchId,
    /// Who sent it: the name of the caller's key; `None` = no key was asked for.
    pub caller: Option<Arc<str>>,
    /// The caller's own reference, echoed: at most 128 characters, no control characters.
    pub client_ref: Option<Arc<str>>,
    /// When it was accepted.
    pub created_at: SystemTime,
    /// No attempt starts after this.
    pub expires_at: SystemTime,
    /// What a recipient id that the provider cannot take does to the request.
    pub on_invalid: OnInvalid,
    /// Whether the caller accepts duplicates, so that a lost answer may be retried.
    pub retry_unknown: RetryUnknown,
    /// At least one.
    pub routes: Vec<Arc<Route>>,
    /// What this batch sends again; `None` = it is no resend.
    pub resend: Option<Resend>,
    /// Where its end is told; `None` = nowhere.
    pub callback: Option<Arc<str>>,
}

/// Where a batch that sends recipients of another one again belongs.
///
/// A root batch and everything that sends any of it again, directly or further down, are one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resend {
    /// The batch whose recipients these are.
    pub of: BatchId,
    /// The first batch of the family.
    pub root: BatchId,
    /// Which of the root's routes each route comes from: same length and order as [`Batch::routes`].
    ///
    /// Two routes may use one channel and hold the same ids, so that only its place tells them apart.
    pub root_routes: Vec<usize>,
}

impl Batch {
    /// The first batch of its family: itself unless it is a resend.
    #[must_use]
    pub fn root(&self) -> BatchId {
        self.resend.as_ref().map_or(self.id, |resend| resend.root)
    }

    /// The place in the root batch of the route at `route_index`; `None` beyond the end.
    #[must_use]
    pub fn root_route(&self, route_index: usize) -> Option<usize> {
        match &self.resend {
            None => (route_index < self.routes.len()).then_some(route_index),
            Some(resend) => resend.root_routes.get(route_index).copied(),
        }
    }
}

/// What a recipient id that the provider cannot take does to the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnInvalid {
    /// That recipient fails, the rest is sent.
    #[default]
    Skip,
    /// The request is refused.
    Reject,
}

/// Whether an attempt that may have reached the provider may be repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetryUnknown {
    /// Never: nothing that may have been delivered is sent again.
    #[default]
    Never,
    /// The caller accepts duplicates.
    Allowed,
}
