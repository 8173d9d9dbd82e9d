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
    /// The batch that this one sends again, if it is a resend.
    pub resend_of: Option<BatchId>,
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
