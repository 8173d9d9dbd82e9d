//! Random choices that depend on a seed and on nothing else.

use std::ops::RangeInclusive;
use std::time::Duration;

use imcast::dispatch::clock::Randomness;

/// A source of choices.
pub(crate) struct Dice(Randomness);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Randomness::seeded(seed))
    }

    /// Choices about one thing: the same thing meets the same fate in whichever order things happen.
    pub(crate) fn about(seed: u64, thing: &str) -> Self {
        // FNV-1a.
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self::new(seed ^ thing.bytes().fold(0xcbf2_9ce4_8422_2325, hash))
    }

    pub(crate) fn number(&self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.0.next() % (range.end() - range.start() + 1)
    }

    pub(crate) fn count(&self, range: RangeInclusive<usize>) -> usize {
        let wide = u64::try_from(*range.start()).unwrap()..=u64::try_from(*range.end()).unwrap();
        usize::try_from(self.number(wide)).unwrap()
    }

    pub(crate) fn milliseconds(&self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(range))
    }

    /// Whether something happens that happens in `percent` of all cases.
    pub(crate) fn percent(&self, percent: u64) -> bool {
        self.number(1..=100) <= percent
    }

    pub(crate) fn pick<T: Clone>(&self, choices: &[T]) -> T {
        choices[self.count(0..=choices.len() - 1)].clone()
    }

    /// Every choice with one chance in two, at least one.
    pub(crate) fn some<T: Clone>(&self, choices: &[T]) -> Vec<T> {
        let mut chosen: Vec<T> = choices.iter().filter(|_| self.percent(50)).cloned().collect();
        if chosen.is_empty() {
            chosen.push(self.pick(choices));
        }
        chosen
    }
}
