//! Plain routes, batches and reports for the tests of every folder, to be changed where a test cares.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::domain::batch::{Batch, OnInvalid, RetryUnknown};
use crate::domain::id::{BatchId, ChannelName};
use crate::domain::message::Message;
use crate::domain::outcome::{Acceptance, Evidence, Outcome, Outcomes};
use crate::domain::recipients::{Positions, RecipientList};
use crate::domain::report::{Report, RouteReport, Settled};
use crate::domain::route::Route;

/// Sends a short text to these.
pub(crate) fn route(channel: &str, to: Arc<RecipientList>) -> Route {
    Route {
        channel: ChannelName::parse(channel).unwrap(),
        sender: None,
        to,
        target_type: None,
        message: Arc::new(Message::Text { text: "hi".into() }),
        ext: None,
        push: None,
        provider_options: None,
        sealed_options: None,
        only: None,
    }
}

/// Nobody's batch, accepted and expired at the epoch.
pub(crate) fn batch(id: BatchId, routes: Vec<Arc<Route>>) -> Batch {
    Batch {
        id,
        caller: None,
        client_ref: None,
        created_at: SystemTime::UNIX_EPOCH,
        expires_at: SystemTime::UNIX_EPOCH,
        on_invalid: OnInvalid::Skip,
        retry_unknown: RetryUnknown::Never,
        routes,
        resend: None,
        callback: None,
    }
}

/// What is known of a route before its first call.
pub(crate) fn nobody_decided(route: &Route) -> RouteReport {
    RouteReport {
        channel: route.channel.clone(),
        provider: "fake",
        is_sandbox: false,
        recipients: Arc::clone(&route.to),
        chatroom_id: None,
        settled: Vec::new(),
        unsent: None,
        calls: 0,
        retries: 0,
        throttled: Duration::ZERO,
        provider_request_ids: Vec::new(),
    }
}

/// A batch that ended at the epoch.
pub(crate) fn ended(batch: Batch, routes: Vec<RouteReport>) -> Report {
    Report {
        batch: Arc::new(batch),
        completed_at: Some(SystemTime::UNIX_EPOCH),
        canceled: false,
        routes,
        warnings: Vec::new(),
        resends: Vec::new(),
        eta: None,
    }
}

/// Everybody at these positions accepted.
pub(crate) fn accepted(positions: Positions) -> Settled {
    let acceptance = Acceptance { evidence: Evidence::Explicit, message_id: None, provider_fields: None };
    let outcomes = Outcomes::same(Outcome::Accepted(acceptance), positions.len());
    Settled { positions, outcomes, attempts: 1 }
}
