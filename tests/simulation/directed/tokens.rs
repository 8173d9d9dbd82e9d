//! However many calls need a token, one request fetches it.

use std::time::Duration;

use crate::directed::{batch, outcome, played, seconds, starts, world};
use crate::scenario::{ChannelSpec, FaultKind};

/// One send for a token, and a thousand at once when it has expired.
fn stampede(calls_per_second: Option<u32>) {
    let mut batches = vec![batch(Duration::ZERO, 1)];
    batches.extend((0..1000).map(|_| batch(seconds(120), 1)));
    let channel = ChannelSpec {
        recipients_per_call: 1,
        max_in_flight: 2000,
        calls_per_second,
        token_lifetime: Some(seconds(60)),
        latency_ms: 3000..=3000,
        ..ChannelSpec::default()
    };
    let played = played(&world(channel, batches));
    assert!((0..=1000).all(|number| outcome(&played, number).0.accepted == 1));
    assert_eq!(starts(&played).count(), 1001);
    let stampede = played.book.grants.iter().filter(|granted| granted.at >= seconds(120));
    assert_eq!(stampede.count(), 1);
}

#[test]
fn a_thousand_sends_with_an_expired_token_fetch_one() {
    stampede(None);
}

#[test]
fn those_that_waited_for_the_token_do_not_leave_all_at_once() {
    // The limit is among the promises.
    stampede(Some(100));
}

#[test]
fn a_provider_that_refuses_every_token_is_not_asked_for_more() {
    let batches = (0..600).map(|number| batch(Duration::from_millis(100) * number, 1));
    let channel = ChannelSpec {
        token_lifetime: Some(seconds(3600)),
        fault_percent: 100,
        faults: vec![FaultKind::Revoked],
        ..ChannelSpec::default()
    };
    let played = played(&world(channel, batches.collect()));
    // One to begin with, and one every ten seconds.
    assert!(played.book.grants.len() <= 7, "{} token requests in a minute", played.book.grants.len());
}
