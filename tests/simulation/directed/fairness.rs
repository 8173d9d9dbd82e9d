//! Batches of one channel take turns.

use std::time::Duration;

use crate::directed::{batch, outcome, played, seconds, world};
use crate::scenario::ChannelSpec;

#[test]
fn a_large_batch_does_not_hold_up_a_hundred_small_ones() {
    let begin = seconds(10);
    let mut batches = vec![batch(Duration::ZERO, 10_000)];
    batches.extend((0..100).map(|_| batch(begin, 1)));
    let channel =
        ChannelSpec { recipients_per_call: 1, calls_per_second: Some(100), ..ChannelSpec::default() };
    let played = played(&world(channel, batches));
    for number in 1..=100 {
        let (counts, at) = outcome(&played, number);
        assert_eq!(counts.accepted, 1);
        assert!(at <= begin + seconds(2), "batch {number} ended at {at:?}");
    }
    assert_eq!(outcome(&played, 0).0.accepted, 10_000);
}
