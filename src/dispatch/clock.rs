//! Time and randomness: the two inputs that everything else takes from here.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use tokio::time::Instant;

/// Tells the time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Runtime { wall: SystemTime, started: Instant },
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that shows `wall` now and then moves with the runtime's own, which tests can pause.
    #[must_use]
    pub fn runtime(wall: SystemTime) -> Self {
        Self(Source::Runtime { wall, started: Instant::now() })
    }

    /// What time it is.
    #[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
    #[must_use]
    pub fn now(&self) -> SystemTime {
        match &self.0 {
            Source::System => SystemTime::now(),
            Source::Runtime { wall, started } => *wall + started.elapsed(),
        }
    }
}

/// Draws random numbers: nonces, jitter and ids. Nothing secret depends on them.
#[derive(Debug)]
pub struct Randomness(AtomicU64);

impl Randomness {
    /// Starts from the operating system's entropy.
    #[must_use]
    pub fn from_entropy() -> Self {
        // `RandomState` is keyed by the operating system; its hash of anything is a fresh seed.
        Self::seeded(RandomState::new().hash_one("imcast"))
    }

    /// Starts from `seed`: the same seed gives the same numbers.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next number (`SplitMix64`: every state gives another output, so nonces of one process differ).
    pub fn next(&self) -> u64 {
        const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;
        let state = self.0.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// The next number as a fraction from 0 to 1.
    pub fn fraction(&self) -> f64 {
        fraction(self.next())
    }
}

/// A random number as a fraction from 0 to 1.
#[must_use]
pub fn fraction(number: u64) -> f64 {
    f64::from(u32::try_from(number >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let draw = |seed| {
            let randomness = Randomness::seeded(seed);
            [randomness.next(), randomness.next(), randomness.next()]
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
