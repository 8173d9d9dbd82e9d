//! Slows down whoever tries wrong keys, by address and in bounded memory.
//!
//! Pure: time comes in. Only wrong keys come here, so that a good one is never held up, wherever it comes from.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tokio::time::Instant;

use crate::dispatch::pace::Budget;

/// Wrong keys of one address that are answered at once: somebody who sets a caller up tries a few.
const FREE_COUNT: f64 = 20.0;

/// Wrong keys of one address that are answered in a second after that.
const PER_SECOND: f64 = 1.0;

/// Longest time that such an answer is held back: it occupies a connection of ours as well.
const MOST_DELAY: Duration = Duration::from_secs(5);

/// Most addresses that are told apart; about 100 bytes each.
const MOST_ADDRESSES: usize = 4096;

/// Between two searches for addresses that can be forgotten.
const TIDY_INTERVAL: Duration = Duration::from_secs(1);

/// What happens to the answer to a wrong key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slowdown {
    /// It is given after this time, which may be zero.
    Delayed(Duration),
    /// It is refused as one too many: come back after this time.
    Refused(Duration),
}

/// The wrong keys of late.
#[derive(Debug)]
pub struct Attempts {
    addresses: HashMap<IpAddr, Attempter>,
    /// All addresses for which there is no room.
    others: Attempter,
    tidied_at: Instant,
}

/// Wrong keys of one address.
#[derive(Debug)]
struct Attempter {
    budget: Budget,
    /// Whether it was already said that answers are held back.
    is_known: bool,
}

impl Attempts {
    /// Nobody has tried anything.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { addresses: HashMap::new(), others: Attempter::new(now), tidied_at: now }
    }

    /// Notes a wrong key; also returns whether this address is slowed down for the first time in a while.
    pub fn note(&mut self, address: IpAddr, now: Instant) -> (Slowdown, bool) {
        let address = network(address);
        if self.addresses.len() >= MOST_ADDRESSES && !self.addresses.contains_key(&address) {
            self.tidy(now);
            if self.addresses.len() >= MOST_ADDRESSES {
                return self.others.note(now);
            }
        }
        self.addresses.entry(address).or_insert_with(|| Attempter::new(now)).note(now)
    }

    /// Forgets who has been quiet for long enough.
    fn tidy(&mut self, now: Instant) {
        if now.saturating_duration_since(self.tidied_at) >= TIDY_INTERVAL {
            self.tidied_at = now;
            self.addresses.retain(|_, attempter| attempter.budget.available(now) < FREE_COUNT);
        }
    }
}

impl Attempter {
    fn new(now: Instant) -> Self {
        Self { budget: Budget::new(PER_SECOND, 1.0, FREE_COUNT, now), is_known: false }
    }

    fn note(&mut self, now: Instant) -> (Slowdown, bool) {
        let delay = self.budget.wait(now, 1.0);
        let is_first = !delay.is_zero() && !self.is_known;
        self.is_known = !delay.is_zero() || (self.is_known && self.budget.available(now) < FREE_COUNT / 2.0);
        if delay > MOST_DELAY {
            return (Slowdown::Refused(delay), is_first);
        }
        self.budget.reserve(now, 1.0, 1.0);
        (Slowdown::Delayed(delay), is_first)
    }
}

/// The address, or the network that one subscriber usually has: of IPv6 the first 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [first, second, third, fourth, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(first, second, third, fourth, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test(start_paused = true)]
    async fn a_few_wrong_keys_are_free_and_the_rest_come_one_by_one() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now);
        for _ in 0..20 {
            assert_eq!(attempts.note(ADDRESS, now), (Slowdown::Delayed(Duration::ZERO), false));
        }
        for second in 1..=5 {
            let expected = (Slowdown::Delayed(Duration::from_secs(second)), second == 1);
            assert_eq!(attempts.note(ADDRESS, now), expected);
        }
        for _ in 0..100_000 {
            assert_eq!(attempts.note(ADDRESS, now), (Slowdown::Refused(Duration::from_secs(6)), false));
        }
        let other = IpAddr::from([127, 0, 0, 2]);
        assert_eq!(attempts.note(other, now), (Slowdown::Delayed(Duration::ZERO), false));
        // What was refused is not held against it: after a rest all is forgotten.
        let later = now + Duration::from_secs(25);
        assert_eq!(attempts.note(ADDRESS, later), (Slowdown::Delayed(Duration::ZERO), false));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_the_quiet_are_forgotten() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now);
        let address = |number: u32| IpAddr::V4(number.into());
        for number in 0..100_000 {
            attempts.note(address(number), now);
        }
        assert_eq!(attempts.addresses.len(), MOST_ADDRESSES);
        assert_eq!(attempts.note(address(200_000), now), (Slowdown::Refused(Duration::from_secs(6)), false));
        let later = now + Duration::from_secs(2);
        assert_eq!(attempts.note(address(200_000), later).0, Slowdown::Delayed(Duration::ZERO));
        assert!(attempts.addresses.len() < 10);
    }

    #[test]
    fn a_subscriber_of_ipv6_has_one_network() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("::ffff:10.0.0.1"), "10.0.0.1");
        assert_eq!(network("10.0.0.1"), "10.0.0.1");
    }
}
