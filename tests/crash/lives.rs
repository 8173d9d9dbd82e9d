//! The lives of the gateways: each goes from one start of the program to its end, and has a number.

use std::sync::{Mutex, MutexGuard};

use tokio_util::sync::CancellationToken;

/// All lives; the first one is number 1.
#[derive(Default)]
pub(crate) struct Lives(Mutex<Vec<Life>>);

#[derive(Default)]
struct Life {
    over: CancellationToken,
    fate: Fate,
}

/// What befell one life.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fate {
    pub(crate) is_killed: bool,
    /// Whether it was without its database for a while.
    pub(crate) is_shaken: bool,
    /// How often it lost its lease, and with it its batches.
    pub(crate) lost_leases: usize,
}

impl Fate {
    /// How often the calls that it had out may have been left undecided.
    pub(crate) fn breaks(self) -> usize {
        usize::from(self.is_killed) + self.lost_leases
    }

    /// Whether there is a reason for an answer that did not come.
    pub(crate) const fn may_be_silent(self) -> bool {
        self.is_killed || self.is_shaken
    }
}

impl Lives {
    /// The number of a new life.
    pub(crate) fn begin(&self) -> usize {
        let mut lives = self.all();
        lives.push(Life::default());
        lives.len()
    }

    /// The number of the latest life.
    pub(crate) fn newest(&self) -> usize {
        self.all().len()
    }

    /// Said when nobody waits for an answer any more in this life.
    pub(crate) fn over(&self, number: usize) -> CancellationToken {
        self.all()[number - 1].over.clone()
    }

    /// Lets every answer go that this life waited for.
    pub(crate) fn end(&self, number: usize) {
        self.all()[number - 1].over.cancel();
    }

    /// Writes down what befell a life.
    pub(crate) fn befall(&self, number: usize, change: impl FnOnce(&mut Fate)) {
        change(&mut self.all()[number - 1].fate);
    }

    /// What befell each life, by its number; there is none of number 0.
    pub(crate) fn fates(&self) -> Vec<Fate> {
        let fates = self.all().iter().map(|life| life.fate).collect::<Vec<_>>();
        [vec![Fate::default()], fates].concat()
    }

    fn all(&self) -> MutexGuard<'_, Vec<Life>> {
        self.0.lock().unwrap()
    }
}
