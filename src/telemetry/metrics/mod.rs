//! What is counted, as OpenMetrics text.
//!
//! No globals: one [`Metrics`] belongs to the dispatcher, and whoever counts has a handle. What can be read when
//! it is asked for (calls in flight, circuits) is read at the scrape and costs nothing between.

pub mod channel;
mod labels;
pub mod words;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::domain::id::ChannelName;
use crate::telemetry::metrics::channel::{ChannelFamilies, ChannelMetrics};
use crate::telemetry::metrics::labels::{
    ByBatchOutcome, ByCallback, ByCode, ByKind, ByReload, ByRoute, Counters,
};
use crate::telemetry::metrics::words::{BatchOutcome, CallbackResult, ReloadResult, Violation};

/// The type of [`Metrics::encode`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the classes of batch times, in seconds.
const BATCH_SECONDS: [f64; 12] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0, 86_400.0];

/// Everything that is counted; lives as long as the dispatcher.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    channels: ChannelFamilies,
    batches: Counters<BatchOutcome>,
    batch_duration: Histogram,
    batches_in_progress: Gauge,
    unrecorded: Counter,
    violations: Counters<Violation>,
    callbacks: Counters<CallbackResult>,
    reloads: Counters<ReloadResult>,
    last_reload_refused: Gauge,
    requests: Family<ByRoute, Counter>,
    refusals: Family<ByCode, Counter>,
    held_bytes: Gauge,
}

/// An answer of the API.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The request's method.
    pub method: &'a str,
    /// The route's template; `None` if nothing is at the path.
    pub route: Option<&'a str>,
    /// The answer's status.
    pub status: u16,
}

impl Metrics {
    /// Starts counting; `started_at`: when the process did.
    #[must_use]
    pub fn new(started_at: SystemTime) -> Self {
        let mut registry = Registry::default();
        let started = started_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let start_time = Gauge::<f64, AtomicU64>::default();
        start_time.set(started.as_secs_f64());
        let help = "When the process started, since 1970";
        registry.register_with_unit("process_start_time", help, Unit::Seconds, start_time);

        let ours = registry.sub_registry_with_prefix("imcast");
        ours.register("build", "The program", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
        let channels = ChannelFamilies::register(ours);
        let batches = Family::default();
        ours.register("batches", "Batches that ended", batches.clone());
        let batch_duration = Histogram::new(BATCH_SECONDS);
        let (help, metric) = ("Time from acceptance to end", batch_duration.clone());
        ours.register_with_unit("batch_duration", help, Unit::Seconds, metric);
        let batches_in_progress = Gauge::default();
        ours.register("batches_in_progress", "Batches that run", batches_in_progress.clone());
        let unrecorded = Counter::default();
        ours.register("unrecorded_batches", "Batches that the store did not take", unrecorded.clone());
        let violations = Family::default();
        ours.register("invariant_violations", "What must never happen", violations.clone());
        let callbacks = Family::default();
        ours.register("callback_tries", "Tries to tell that a batch ended", callbacks.clone());
        let reloads = Family::default();
        ours.register("reloads", "Configurations read anew", reloads.clone());
        let last_reload_refused = Gauge::default();
        let help = "1 while the latest configuration is refused and an earlier one serves";
        ours.register("last_reload_refused", help, last_reload_refused.clone());
        let requests = Family::default();
        ours.register("http_requests", "Answers of the API", requests.clone());
        let refusals = Family::default();
        ours.register("refusals", "Requests refused by the API", refusals.clone());
        let held_bytes = Gauge::default();
        let help = "Request bodies in memory";
        ours.register_with_unit("held_body", help, Unit::Bytes, held_bytes.clone());
        Self {
            channels,
            batches: Counters::new(&batches, |outcome| ByBatchOutcome { outcome }),
            batch_duration,
            batches_in_progress,
            unrecorded,
            violations: Counters::new(&violations, |kind| ByKind { kind }),
            callbacks: Counters::new(&callbacks, |result| ByCallback { result }),
            reloads: Counters::new(&reloads, |result| ByReload { result }),
            last_reload_refused,
            requests,
            refusals,
            held_bytes,
            registry,
        }
    }

    /// The series of one channel.
    #[must_use]
    pub fn channel(&self, name: &ChannelName) -> ChannelMetrics {
        self.channels.channel(name)
    }

    /// Counts a batch that ended.
    pub fn count_batch(&self, outcome: BatchOutcome, elapsed: Duration) {
        self.batches.count(outcome);
        self.batch_duration.observe(elapsed.as_secs_f64());
    }

    /// Shows how many batches the store did not take so far.
    pub fn show_unrecorded(&self, count: u64) {
        // Another scrape may have a later count.
        self.unrecorded.inner().fetch_max(count, Ordering::Relaxed);
    }

    /// Counts what must never happen.
    pub fn count_violation(&self, violation: Violation) {
        self.violations.count(violation);
    }

    /// Counts a try of a callback.
    pub fn count_callback(&self, result: CallbackResult) {
        self.callbacks.count(result);
    }

    /// Counts a configuration that was read anew.
    pub fn count_reload(&self, result: ReloadResult) {
        self.reloads.count(result);
        self.last_reload_refused.set(i64::from(result == ReloadResult::Refused));
    }

    /// Counts an answer.
    pub fn count_answer(&self, answered: Answered<'_>) {
        let labels = ByRoute {
            method: method(answered.method),
            route: answered.route.unwrap_or("none").to_owned(),
            status: status_class(answered.status),
        };
        self.requests.get_or_create(&labels).inc();
    }

    /// Counts a refusal; `code` is of the API's closed list.
    pub fn count_refusal(&self, code: &'static str) {
        self.refusals.get_or_create(&ByCode { code }).inc();
    }

    /// Shows how many batches run now.
    pub fn show_batches_in_progress(&self, count: usize) {
        self.batches_in_progress.set(level(count));
    }

    /// Shows how many bytes of request bodies are in memory now.
    pub fn show_held_bytes(&self, bytes: usize) {
        self.held_bytes.set(level(bytes));
    }

    /// Everything, as OpenMetrics text.
    ///
    /// # Errors
    /// None, unless this program is faulty.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// The methods that somebody may reasonably use; a caller can make up any number of others.
fn method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("other")
}

const fn status_class(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// A count as a counter takes it.
fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// A count as a gauge takes it.
fn level(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
