//! Ten minutes of endless work within a provider's documented limit: never over it, and it is used.

use std::time::Duration;

use crate::directed::{batch, played, seconds, world};
use crate::invariants::{messages, most_within};
use crate::scenario::ChannelSpec;
use crate::world::{Played, play};

const TEN_MINUTES: Duration = Duration::from_secs(600);

/// How many calls and messages went out in the ten minutes.
fn used(channel: &ChannelSpec, played: &Played) -> (u32, u32) {
    let within = played.book.sent.iter().filter(|sent| sent.at < TEN_MINUTES);
    within.fold((0, 0), |(calls, sum), sent| (calls + 1, sum + messages(channel, sent)))
}

#[test]
fn a_hundred_calls_a_second() {
    let channel =
        ChannelSpec { recipients_per_call: 1, calls_per_second: Some(100), ..ChannelSpec::default() };
    // That no second sees more than a hundred calls is among the promises.
    let played = played(&world(channel.clone(), vec![batch(Duration::ZERO, 61_000)]));
    let (calls, _) = used(&channel, &played);
    assert!(calls >= 54_000, "{calls} calls in ten minutes");
}

#[test]
fn a_hundred_messages_a_second_in_calls_of_ten() {
    let channel = ChannelSpec {
        recipients_per_call: 10,
        calls_per_second: Some(100),
        messages_per_second: Some(100),
        ..ChannelSpec::default()
    };
    let played = played(&world(channel.clone(), vec![batch(Duration::ZERO, 61_000)]));
    let (_, sum) = used(&channel, &played);
    assert!(sum >= 54_000, "{sum} messages in ten minutes");
}

#[test]
fn twelve_thousand_messages_a_minute_in_calls_of_five_hundred() {
    let channel = ChannelSpec {
        recipients_per_call: 500,
        messages_per_second: Some(200),
        latency_ms: 20..=2000,
        ..ChannelSpec::default()
    };
    let played = play(&world(channel.clone(), vec![batch(Duration::ZERO, 125_000)]));
    let events = played.book.sent.iter().map(|sent| (sent.at, messages(&channel, sent)));
    let most = most_within(seconds(60), events);
    assert!(most <= 12_000, "{most} messages in a minute");
    let (_, sum) = used(&channel, &played);
    assert!(sum >= 108_000, "{sum} messages in ten minutes");
}
