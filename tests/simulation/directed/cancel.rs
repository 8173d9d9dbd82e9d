//! A caller who changes its mind.

use std::time::Duration;

use crate::directed::{batch, outcome, played, seconds, starts, world};
use crate::scenario::{BatchSpec, ChannelSpec};
use crate::world::Ended;

#[test]
fn a_canceled_batch_starts_no_further_call_and_keeps_what_was_sent() {
    let canceled = BatchSpec { cancel_after: Some(seconds(3)), ..batch(Duration::ZERO, 1000) };
    let channel =
        ChannelSpec { recipients_per_call: 1, calls_per_second: Some(100), ..ChannelSpec::default() };
    // That no call starts after the cancel is among the promises.
    let played = played(&world(channel, vec![canceled]));
    let (counts, at) = outcome(&played, 0);
    let sent = starts(&played).count();
    assert_eq!((counts.accepted, counts.failed), (sent, 1000 - sent));
    assert!((250..350).contains(&sent) && at <= seconds(3) + Duration::from_millis(100), "{sent} {at:?}");
    let Ended::Reported { last, .. } = &played.ended[0] else { panic!("{:?}", played.ended) };
    assert!(last.canceled);
}
