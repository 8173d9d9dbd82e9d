//! A provider that refuses one call for its rate gets quiet, then less, then the usual again.

use std::time::Duration;

use crate::directed::{batch, outcome, played, seconds, starts, world};
use crate::scenario::{ChannelSpec, Fate, Refusal};

#[test]
fn seven_seconds_of_quiet_are_kept_and_the_rate_comes_back_within_a_minute() {
    let refused = 2000;
    let planted = [(refused, Fate::Refused(Refusal::Throttled(Some(7))))].into();
    let channel = ChannelSpec {
        recipients_per_call: 1,
        calls_per_second: Some(100),
        planted,
        ..ChannelSpec::default()
    };
    // That nothing goes out while the provider wants quiet is among the promises.
    let played = played(&world(channel, vec![batch(Duration::ZERO, 12_000)]));
    let throttled = &played.book.sent[refused];
    let tries: Vec<_> = played.book.sent.iter().filter(|sent| sent.ids == throttled.ids).collect();
    assert_eq!((tries.len(), tries[1].accepted.len()), (2, 1));
    assert_eq!(outcome(&played, 0).0.accepted, 12_000);

    let quiet_from = throttled.ended.unwrap();
    let quiet_to = quiet_from + seconds(7);
    assert!(starts(&played).any(|at| (quiet_to..quiet_to + seconds(5)).contains(&at)));
    let calls = |from: Duration| starts(&played).filter(|at| (from..from + seconds(5)).contains(at)).count();
    let usual = calls(quiet_from - seconds(5));
    let lowered = calls(quiet_to + seconds(4));
    let again = calls(quiet_from + seconds(60));
    assert!(
        usual >= 450 && lowered * 10 <= usual * 8 && again * 10 >= usual * 9,
        "{usual} {lowered} {again}"
    );
}
