//! Worlds that are set up on purpose, for the figures that a random one rarely reaches.

mod budgets;
mod cancel;
mod fairness;
mod outage;
mod throttling;
mod tokens;

use std::time::Duration;

use imcast::domain::batch::{OnInvalid, RetryUnknown};
use imcast::domain::outcome::Counts;

use crate::invariants;
use crate::scenario::{BatchSpec, ChannelSpec, ROOMY, RouteSpec, Scenario};
use crate::world::{Ended, Played, play};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A batch for `count` recipients on the first channel.
fn batch(at: Duration, count: usize) -> BatchSpec {
    BatchSpec {
        at,
        expires_after: seconds(3600),
        retry_unknown: RetryUnknown::Never,
        on_invalid: OnInvalid::Skip,
        routes: vec![RouteSpec { channel: 0, to: (0..count).map(|number| format!("u{number}")).collect() }],
        cancel_after: None,
        look_after: Duration::ZERO,
    }
}

fn world(channel: ChannelSpec, batches: Vec<BatchSpec>) -> Scenario {
    Scenario { seed: 1, channels: vec![channel], batches, drain: None, channel_routes: ROOMY }
}

/// Plays a world in which every promise holds.
fn played(scenario: &Scenario) -> Played {
    let played = play(scenario);
    let broken = invariants::broken(scenario, &played);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    played
}

/// What became of a batch, and when.
fn outcome(played: &Played, batch: usize) -> (Counts, Duration) {
    match &played.ended[batch] {
        Ended::Reported { last, at, .. } => (last.counts(), *at),
        other @ (Ended::NotAsked | Ended::Refused | Ended::Overloaded | Ended::Stuck) => {
            panic!("batch {batch}: {other:?}")
        }
    }
}

/// When each call started.
fn starts(played: &Played) -> impl Iterator<Item = Duration> + Clone {
    played.book.sent.iter().map(|sent| sent.at)
}
