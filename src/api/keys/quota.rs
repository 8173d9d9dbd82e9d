//! How much a caller may send: sends in a second and recipients in a minute.
//!
//! Pure: time comes in. Unlike a channel's budget, which makes work wait, a quota refuses; and it counts in
//! whole numbers, so that what is told to the caller is exactly what is decided.

use std::time::Duration;

use tokio::time::Instant;

use crate::api::keys::settings::Rights;

/// A bucket that holds `limit` and fills up evenly within `window`.
#[derive(Clone, Debug)]
struct Meter {
    limit: u128,
    window: Duration,
    /// What was taken and has not come back. One token is the window's nanoseconds, and one nanosecond brings
    /// back `limit`: so nothing is ever rounded.
    debt: u128,
    seen: Instant,
}

/// How a quota stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The most that can be taken at once.
    pub limit: u128,
    /// How long an empty quota takes to fill up.
    pub window: Duration,
    /// What can be taken now.
    pub remaining: u128,
    /// How long until there is more; `None` = it is full.
    pub more_in: Option<Duration>,
}

/// Both quotas of a caller as they stand; `None` = not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standings {
    /// Sends in a second.
    pub batches: Option<Standing>,
    /// Recipients in a minute.
    pub recipients: Option<Standing>,
}

/// Why something is not taken from a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// There will be enough after this time.
    For(Duration),
    /// It is more than the quota ever holds.
    Forever {
        /// What it holds.
        limit: u128,
    },
}

/// The quotas of one caller.
#[derive(Clone, Debug)]
pub struct Quota {
    batches: Option<Meter>,
    recipients: Option<Meter>,
}

impl Quota {
    /// Full quotas.
    #[must_use]
    pub fn new(rights: &Rights, now: Instant) -> Self {
        let meter = |limit: Option<std::num::NonZeroU32>, seconds| {
            limit.map(|limit| Meter::new(limit.get(), Duration::from_secs(seconds), now))
        };
        Self {
            batches: meter(rights.batches_per_second, 1),
            recipients: meter(rights.recipients_per_minute, 60),
        }
    }

    /// Goes on with these rights; what was used stays used, as far as the new quotas hold so much.
    pub fn change(&mut self, rights: &Rights, now: Instant) {
        let next = Self::new(rights, now);
        for (mine, next) in [(&mut self.batches, next.batches), (&mut self.recipients, next.recipients)] {
            *mine = match (mine.take(), next) {
                (Some(mine), Some(next)) => Some(mine.with_limit(next.limit, now)),
                (_, next) => next,
            };
        }
    }

    /// Takes one send.
    ///
    /// # Errors
    /// [`Exceeded`]; nothing was taken then.
    pub fn take_batch(&mut self, now: Instant) -> Result<(), Exceeded> {
        self.batches.as_mut().map_or(Ok(()), |meter| meter.take(now, 1))
    }

    /// Takes so many recipients, all or none.
    ///
    /// # Errors
    /// [`Exceeded`]; nothing was taken then.
    pub fn take_recipients(&mut self, now: Instant, count: usize) -> Result<(), Exceeded> {
        self.recipients.as_mut().map_or(Ok(()), |meter| meter.take(now, tokens(count)))
    }

    /// Gives back what was taken for recipients that nobody will send to.
    pub fn give_back_recipients(&mut self, now: Instant, count: usize) {
        if let Some(meter) = &mut self.recipients {
            meter.give_back(now, tokens(count));
        }
    }

    /// How both stand.
    pub fn standings(&mut self, now: Instant) -> Standings {
        let stand = |meter: &mut Option<Meter>| meter.as_mut().map(|meter| meter.standing(now));
        Standings { batches: stand(&mut self.batches), recipients: stand(&mut self.recipients) }
    }
}

impl Meter {
    fn new(limit: u32, window: Duration, now: Instant) -> Self {
        Self { limit: limit.into(), window, debt: 0, seen: now }
    }

    /// The same meter with another limit: as many tokens are missing as before.
    fn with_limit(mut self, limit: u128, now: Instant) -> Self {
        self.fill(now);
        self.limit = limit;
        self.debt = self.debt.min(self.capacity());
        self
    }

    fn take(&mut self, now: Instant, count: u128) -> Result<(), Exceeded> {
        if count > self.limit {
            return Err(Exceeded::Forever { limit: self.limit });
        }
        self.fill(now);
        let debt = self.debt + count * self.token();
        if debt > self.capacity() {
            return Err(Exceeded::For(self.time_for(debt - self.capacity())));
        }
        self.debt = debt;
        Ok(())
    }

    fn give_back(&mut self, now: Instant, count: u128) {
        self.fill(now);
        self.debt = self.debt.saturating_sub(count * self.token());
    }

    fn standing(&mut self, now: Instant) -> Standing {
        self.fill(now);
        let missing = self.debt % self.token();
        let next = if missing == 0 { self.token() } else { missing };
        Standing {
            limit: self.limit,
            window: self.window,
            remaining: (self.capacity() - self.debt) / self.token(),
            more_in: (self.debt > 0).then(|| self.time_for(next)),
        }
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.seen);
        self.seen = self.seen.max(now);
        self.debt = self.debt.saturating_sub(elapsed.as_nanos() * self.limit);
    }

    const fn token(&self) -> u128 {
        self.window.as_nanos()
    }

    const fn capacity(&self) -> u128 {
        self.limit * self.token()
    }

    fn time_for(&self, debt: u128) -> Duration {
        Duration::from_nanos(u64::try_from(debt.div_ceil(self.limit)).unwrap_or(u64::MAX))
    }
}

fn tokens(count: usize) -> u128 {
    // No machine counts further.
    u128::try_from(count).unwrap_or(u128::MAX)
}
