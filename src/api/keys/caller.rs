//! The caller of one request: what it may do, and what it has used.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;
use tokio::time::Instant;

use crate::api::keys::quota::{Exceeded, Quota, Standings};
use crate::api::keys::rate_limit;
use crate::api::keys::settings::Rights;
use crate::api::problem::{Problem, ProblemCode};
use crate::api::router::State;
use crate::domain::batch::Batch;
use crate::domain::fault::{Fault, FaultCode};

/// What belongs to a caller's name; shared by its keys and its requests.
#[derive(Debug)]
pub struct Account {
    /// The caller.
    pub name: Arc<str>,
    /// What it may do.
    pub rights: Rights,
    /// What it has used; outlives a reload.
    pub quota: Arc<Mutex<Quota>>,
}

/// Who sends a request; taken by an action as an argument, and put there by the layer that checks keys.
#[derive(Clone, Debug)]
pub struct Caller(Option<Arc<Known>>);

/// A caller with a key, in one request.
#[derive(Debug)]
struct Known {
    account: Arc<Account>,
    /// How its quotas stood after the last decision of this request; `None` = nothing was decided.
    standings: Mutex<Option<Standings>>,
}

impl Caller {
    /// The one caller that there is while no key is configured: it may do everything.
    #[must_use]
    pub const fn anybody() -> Self {
        Self(None)
    }

    /// The caller with this account.
    #[must_use]
    pub fn of(account: Arc<Account>) -> Self {
        Self(Some(Arc::new(Known { account, standings: Mutex::default() })))
    }

    /// Its name; `None` while no key is configured.
    #[must_use]
    pub fn name(&self) -> Option<&Arc<str>> {
        self.0.as_ref().map(|known| &known.account.name)
    }

    /// Whether it may send through the channel of this name.
    #[must_use]
    pub fn may_use(&self, channel: &str) -> bool {
        let Some(Known { account, .. }) = self.0.as_deref() else { return true };
        account.rights.channels.as_ref().is_none_or(|allowed| allowed.contains(channel))
    }

    /// Whether it sees what all callers do.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.0.as_ref().is_none_or(|known| known.account.rights.is_operator)
    }

    /// Whether it may look at this channel: as [`Self::may_use`], and operators at all.
    #[must_use]
    pub fn may_look_at(&self, channel: &str) -> bool {
        self.is_operator() || self.may_use(channel)
    }

    /// Whether it may read and cancel this batch: its own, and operators all.
    #[must_use]
    pub fn may_see(&self, batch: &Batch) -> bool {
        self.may_see_of(batch.caller.as_ref())
    }

    /// The same of any batch of this caller; `None` = of the time when no key was configured.
    #[must_use]
    pub fn may_see_of(&self, owner: Option<&Arc<str>>) -> bool {
        self.is_operator() || owner == self.name()
    }

    /// Takes one send from the caller's quota.
    ///
    /// # Errors
    /// A [`Problem`]: not now.
    pub fn spend_batch(&self) -> Result<(), Problem> {
        self.spend(|quota, now| quota.take_batch(now), "batches_per_second")
    }

    /// Takes so many recipients from the caller's quota.
    ///
    /// # Errors
    /// A [`Problem`]: not now, or never in one batch.
    pub fn spend_recipients(&self, count: usize) -> Result<(), Problem> {
        self.spend(|quota, now| quota.take_recipients(now, count), "recipients_per_minute")
    }

    /// Gives back what [`Self::spend_recipients`] took for a batch that was refused after all.
    pub fn return_recipients(&self, count: usize) {
        if let Some(known) = &self.0 {
            let now = Instant::now();
            let mut quota = lock(&known.account.quota);
            quota.give_back_recipients(now, count);
            *lock(&known.standings) = Some(quota.standings(now));
        }
    }

    /// Says in an answer how the quotas stood when this request was decided.
    pub fn describe_quota(&self, headers: &mut HeaderMap) {
        if let Some(standings) = self.0.as_ref().and_then(|known| *lock(&known.standings)) {
            rate_limit::insert(headers, &standings);
        }
    }

    fn spend(
        &self,
        take: impl FnOnce(&mut Quota, Instant) -> Result<(), Exceeded>,
        setting: &str,
    ) -> Result<(), Problem> {
        let Some(known) = &self.0 else { return Ok(()) };
        let now = Instant::now();
        let taken = {
            let mut quota = lock(&known.account.quota);
            let taken = take(&mut quota, now);
            // Under the same lock as the decision: what the answer says is what was decided.
            *lock(&known.standings) = Some(quota.standings(now));
            taken
        };
        taken.map_err(|exceeded| refusal(exceeded, setting))
    }
}

fn refusal(exceeded: Exceeded, setting: &str) -> Problem {
    match exceeded {
        Exceeded::For(wait) => {
            let detail = format!("this key's {setting} are used up for now; nothing was sent");
            Problem::new(ProblemCode::QuotaExceeded, detail).with_retry_after(rate_limit::whole_seconds(wait))
        }
        // No waiting helps: it must not look as if it did.
        Exceeded::Forever { limit } => {
            let detail = format!("more than this key's {setting} ({limit}): cut it into several batches");
            Problem::faults([Fault::new("", FaultCode::TooLarge, detail)])
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FromRequestParts<State> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        // Closed by default: an action that the layer does not guard cannot take a caller at all.
        let found = parts.extensions.get::<Self>().cloned();
        found.ok_or_else(|| Problem::new(ProblemCode::Internal, "this path does not ask who calls"))
    }
}
