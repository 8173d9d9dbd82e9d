//! Our HTTP: the only place that knows it.
//!
//! Takes requests apart, hands batches to the dispatcher and writes reports. Knows no provider. Once the
//! dispatcher has a batch, every answer about it is a 2xx.

pub mod accept;
pub mod answer;
pub mod body;
pub mod cancel;
pub mod channels;
pub mod document;
pub mod dto;
pub mod head;
pub mod idempotency;
pub mod incoming;
pub mod keys;
pub mod list_batches;
pub mod metrics;
pub mod page_token;
pub mod plan_batch;
pub mod prefer;
pub mod probes;
pub mod problem;
pub mod query;
pub mod read_batch;
pub mod read_results;
pub mod recent_reports;
pub mod report;
pub mod request_id;
pub mod resend;
pub mod result_parameters;
pub mod router;
pub mod send;
pub mod sending;
pub mod settings;

use std::sync::Arc;

use crate::adapter::channel::Provider;
use crate::api::keys::ring::KeyRing;
pub use crate::api::settings::Settings;
use crate::dispatch::Dispatcher;

/// What the API serves.
pub struct Api {
    /// Sends the batches.
    pub dispatcher: Arc<Dispatcher>,
    /// What is let in.
    pub settings: Settings,
    /// Who is let in.
    pub keys: Arc<KeyRing>,
    /// Whose options a request may hold.
    pub providers: &'static [Provider],
}

/// The whole API as one service.
pub fn router(api: Arc<Api>) -> axum::Router {
    router::build(&router::State::new(api), MetricsAt::Api)
}

/// Where the metrics are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsAt {
    /// With everything else.
    Api,
    /// On a listener of their own, with the probes.
    Admin,
}

#[cfg(test)]
mod tests;
