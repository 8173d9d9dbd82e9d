//! What the engine counts: its words for what happened, and what is read at a scrape.

use std::sync::Arc;

use crate::adapter::Verdict;
use crate::dispatch::Dispatcher;
use crate::dispatch::channel::ChannelStatus;
use crate::dispatch::circuit::CircuitStatus;
use crate::dispatch::retry::{Reason, Try};
use crate::domain::failure::{Cause, Failure, FailureKind};
use crate::domain::outcome::Counts;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::channel::ChannelState;
use crate::telemetry::metrics::words::{BatchOutcome, CallResult, CircuitState, RepeatReason};

impl Dispatcher {
    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    /// Reads what is only looked at when it is asked for.
    pub fn measure(&self) {
        self.shared.metrics.show_batches_in_progress(self.running_count());
        self.shared.metrics.show_unrecorded(self.shared.store.unrecorded_count());
        for channel in self.channels() {
            let ChannelStatus { in_flight, max_in_flight, route_count, circuit, .. } = self.status(&channel);
            let circuit = circuit.state();
            channel.metrics.show(ChannelState { in_flight, max_in_flight, route_count, circuit });
        }
    }
}

impl CircuitStatus {
    /// The same without the time.
    pub(super) const fn state(self) -> CircuitState {
        match self {
            Self::Closed => CircuitState::Closed,
            Self::Open { .. } => CircuitState::Open,
            Self::HalfOpen => CircuitState::HalfOpen,
        }
    }
}

impl Reason {
    /// Why a call is sent again.
    pub(super) const fn repeat(self) -> RepeatReason {
        match self {
            Self::Broken => RepeatReason::Broken,
            Self::Throttled => RepeatReason::RateLimited,
            Self::Refused => RepeatReason::Credential,
        }
    }
}

impl Try {
    /// How the call went.
    pub(super) fn result(&self) -> CallResult {
        match self {
            Self::Unsent { failure, .. } | Self::Lost(failure) => undecided(failure),
            Self::Answered(answer) => match &answer.verdict {
                Verdict::Answered(_) | Verdict::Listed(_) => CallResult::Answered,
                Verdict::Undecided(failure) => undecided(failure),
                Verdict::Refused { failure, .. } => refused(failure),
            },
        }
    }
}

fn undecided(failure: &Failure) -> CallResult {
    match failure.cause {
        Some(Cause::Connect) => CallResult::Connect,
        Some(Cause::Timeout) => CallResult::Timeout,
        Some(Cause::ConnectionReset) => CallResult::ConnectionReset,
        Some(Cause::HttpStatus(_)) => CallResult::ServerError,
        Some(Cause::UnreadableAnswer) => CallResult::UnreadableAnswer,
        Some(Cause::Unaccounted) => CallResult::Undecided,
        None if failure.kind == FailureKind::Internal => CallResult::Internal,
        None => CallResult::Undecided,
    }
}

fn refused(failure: &Failure) -> CallResult {
    if failure.kind == FailureKind::RateLimited {
        CallResult::RateLimited
    } else if failure.kind == FailureKind::Authentication {
        CallResult::Authentication
    } else {
        CallResult::Refused
    }
}

/// How a batch ended.
pub(super) const fn batch_outcome(counts: &Counts) -> BatchOutcome {
    if counts.accepted == counts.total {
        BatchOutcome::AllAccepted
    } else if counts.accepted > 0 {
        BatchOutcome::Partial
    } else {
        BatchOutcome::NoneAccepted
    }
}
