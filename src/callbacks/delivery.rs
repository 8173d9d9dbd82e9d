//! One try of one callback, and what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::OwnedSemaphorePermit;
use tower::ServiceExt as _;
use tracing::{debug, error, warn};

use crate::callbacks::{Host, SOON, Shared, Taken, event};
use crate::dispatch::clock::fraction;
use crate::store::durable::DueCallback;
use crate::telemetry::metrics::words::CallbackResult;

/// How much longer or shorter a wait may be, as a part of it: callbacks that failed together do not come together.
const JITTER: f64 = 0.2;

/// How a try went.
enum Try {
    /// The receiver has it.
    Delivered,
    /// The receiver wants no such callback any more.
    Gone,
    /// Neither; why, in one word.
    Failed(String),
}

/// Makes one try and writes what became of it; `place` is given back at the end.
pub(super) async fn deliver(
    shared: Arc<Shared>,
    taken: Taken,
    host: Option<usize>,
    place: Option<OwnedSemaphorePermit>,
) {
    let tried = match host.and_then(|index| shared.hosts.get(index)) {
        Some(host) => match shared.try_at(host, &taken).await {
            Some(tried) => tried,
            // Nothing was begun: it is due again when its lease is over.
            None => return,
        },
        // It was, when the batch was accepted.
        None => Try::Failed("not_allowed".into()),
    };
    let Some(delay) = shared.settle(&taken.due, tried).await else { return };
    drop(place);
    if delay <= SOON {
        let waited = shared.leaving.run_until_cancelled(tokio::time::sleep(delay)).await;
        if waited.is_some() {
            shared.repeats.notify_one();
        }
    }
}

impl Shared {
    /// Waits for a turn at the server and asks it; `None` = there was none in time.
    async fn try_at(&self, host: &Host, taken: &Taken) -> Option<Try> {
        let latest = taken.latest_begin(&self.settings);
        let turn = tokio::select! {
            biased;
            () = self.leaving.cancelled() => return None,
            turn = tokio::time::timeout_at(latest, host.turns.acquire()) => turn.ok()?.ok()?,
        };
        let DueCallback { summary, url, .. } = &taken.due;
        let keys = &self.settings.signing_keys;
        let webhook = event::webhook(summary, Arc::clone(url), &host.origin, keys, self.dispatcher.now());
        let answer = self.service.clone().oneshot(webhook).await;
        drop(turn);
        Some(match answer {
            Ok(status) if status.is_success() => Try::Delivered,
            Ok(StatusCode::GONE) => Try::Gone,
            Ok(status) => Try::Failed(format!("http_{}", status.as_u16())),
            Err(error) => Try::Failed(error.as_str().to_owned()),
        })
    }

    /// Writes what became of a try; how long to wait for the next one, if there is one.
    async fn settle(&self, due: &DueCallback, tried: Try) -> Option<Duration> {
        let metrics = self.dispatcher.metrics();
        let batch = due.summary.id;
        let failed_tries = due.failed_tries;
        let try_number = failed_tries.saturating_add(1);
        let reason = match tried {
            Try::Delivered => {
                metrics.count_callback(CallbackResult::Delivered);
                debug!(batch.id = %batch, try_number, "Callback delivered.");
                self.end(due).await;
                return None;
            }
            Try::Gone => "http_410".to_owned(),
            Try::Failed(reason) => match self.next_delay(failed_tries) {
                Some(delay) => {
                    metrics.count_callback(CallbackResult::Failed);
                    let delay_ms = delay.as_millis();
                    warn!(batch.id = %batch, try_number, reason, delay_ms, "Callback failed; it is tried again.");
                    self.delay(due, delay).await;
                    return Some(delay);
                }
                None => reason,
            },
        };
        metrics.count_callback(CallbackResult::GivenUp);
        error!(batch.id = %batch, try_number, reason, "Callback given up: its receiver was not told.");
        self.end(due).await;
        None
    }

    /// The wait after so many failed tries and one more; `None` = that was the last one.
    fn next_delay(&self, failed_tries: u32) -> Option<Duration> {
        let index = usize::try_from(failed_tries).ok()?;
        let delay = *self.settings.retry_delays.get(index)?;
        let factor = 1.0 - JITTER + 2.0 * JITTER * fraction(self.dispatcher.draw());
        Some(delay.mul_f64(factor))
    }

    async fn end(&self, due: &DueCallback) {
        let Some(store) = self.dispatcher.durable() else { return };
        if let Err(error) = store.end_callback(due.summary.id).await {
            warn!(batch.id = %due.summary.id, %error, "The end of a callback is not written: it is sent again.");
        }
    }

    async fn delay(&self, due: &DueCallback, delay: Duration) {
        let Some(store) = self.dispatcher.durable() else { return };
        if let Err(error) =
            store.delay_callback(due.summary.id, due.failed_tries.saturating_add(1), delay).await
        {
            warn!(batch.id = %due.summary.id, %error, "A callback's failure is not written: it is tried sooner.");
        }
    }
}
