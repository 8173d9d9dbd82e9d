//! A provider that is away for ten minutes gets hardly more calls than it would have got anyway.

use std::collections::BTreeSet;
use std::time::Duration;

use imcast::domain::batch::RetryUnknown;

use crate::directed::{batch, outcome, played, seconds, world};
use crate::scenario::{BatchSpec, Break, ChannelSpec, Fate, Outage};

const MINUTES: u64 = 10;

/// Ten batches a second, whatever happens.
fn steady_load(length: Duration, retry_unknown: RetryUnknown) -> Vec<BatchSpec> {
    let count = u32::try_from(length.as_secs() * 10).unwrap();
    (0..count)
        .map(|number| BatchSpec { retry_unknown, ..batch(Duration::from_millis(100) * number, 3) })
        .collect()
}

fn check(fate: Fate, retry_unknown: RetryUnknown) {
    let away = seconds(MINUTES * 60);
    let channel = ChannelSpec {
        recipients_per_call: 3,
        outages: vec![Outage { from: Duration::ZERO, to: away, fate }],
        ..ChannelSpec::default()
    };
    // The longest pause of a circuit is six minutes.
    let length = away + seconds(400);
    let played = played(&world(channel, steady_load(length, retry_unknown)));
    let sent: Vec<_> = played.book.sent.iter().filter(|sent| sent.at < away).collect();
    let firsts: BTreeSet<_> = sent.iter().map(|sent| (sent.marker, &sent.ids)).collect();
    let most_out = 3 * firsts.len().min(50);
    let most = firsts.len() + firsts.len() / 5 + 3;
    assert!(sent.len() <= most, "{fate:?}: {} calls for {} first tries", sent.len(), firsts.len());
    assert!(sent.len() <= most_out + 30, "{fate:?}: {} calls in ten minutes", sent.len());
    let (counts, _) = outcome(&played, played.ended.len() - 1);
    assert_eq!(counts.accepted, 3, "{fate:?}: the channel never came back");
}

#[test]
fn nobody_answers_the_door() {
    check(Fate::NoConnection, RetryUnknown::Never);
}

#[test]
fn every_call_is_lost_on_the_way() {
    check(Fate::Broken { how: Break::Timeout, is_accepted: false }, RetryUnknown::Never);
    check(Fate::Broken { how: Break::Timeout, is_accepted: false }, RetryUnknown::Allowed);
}

#[test]
fn every_answer_is_an_error_page() {
    check(Fate::Broken { how: Break::Page(503), is_accepted: true }, RetryUnknown::Never);
    check(Fate::Broken { how: Break::Page(503), is_accepted: true }, RetryUnknown::Allowed);
}
