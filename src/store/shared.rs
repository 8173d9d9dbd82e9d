//! What replicas share of an account at a provider: its budgets, in portions, and its token.
//!
//! An account is named by whoever uses it, in the same way on every replica. All times are the store's.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::report::BudgetKind;
use crate::store::StoreFuture;

/// Keeps what replicas share.
pub trait Shared: Send + Sync {
    /// Takes a portion of a budget: the calls whose time comes within the horizon are whoever asks's.
    ///
    /// A call that is not made when its time comes is lost, unless the next one's has not come: calls that are saved
    /// up and made together would exceed the rate.
    fn take_portion(&self, account: Arc<str>, ask: Ask) -> StoreFuture<'_, Portion>;

    /// Lets nobody take anything of a budget for `pause`, because the provider refused a call for its rate.
    fn hold_budget(&self, account: Arc<str>, kind: BudgetKind, pause: Duration) -> StoreFuture<'_, ()>;

    /// A token that is newer than the one that is known; otherwise whose turn it is to fetch one.
    ///
    /// `known_version`: that of the token that is used up or was refused; 0 = none. `lease`: how long whoever gets the
    /// turn has it for himself.
    fn next_token(&self, account: Arc<str>, known_version: i64, lease: Duration) -> StoreFuture<'_, Turn>;

    /// Keeps the token that was fetched, for everybody; its version.
    fn keep_token(&self, account: Arc<str>, token: NewToken) -> StoreFuture<'_, i64>;

    /// Ends a turn that brought no token; nobody tries again for `pause`.
    fn fail_token(&self, account: Arc<str>, pause: Duration) -> StoreFuture<'_, ()>;
}

/// What of a budget is asked for; budget and rate are those of `dispatch::pace::Budget`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ask {
    /// Which budget.
    pub kind: BudgetKind,
    /// Tokens that come in per second, as slowed down by refusals; above 0.
    pub rate: f64,
    /// Most tokens that can be saved up.
    pub burst: f64,
    /// Tokens that one call takes, above 0.
    pub cost: f64,
    /// Most calls, at least 1.
    pub most: u32,
    /// Only calls that can start within it.
    pub horizon: Duration,
}

/// Calls that nobody else makes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Portion {
    /// How many; 0 = none has its time within the horizon.
    pub calls: u32,
    /// How long it was until the bucket would be full when it was asked: a `Budget` with this much to come gives these
    /// calls their times, or says how long to wait before asking again.
    pub debt: Duration,
}

/// What to do for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Here is one.
    Token(SharedToken),
    /// Whoever asked fetches one.
    Fetch,
    /// Somebody else is fetching one: ask again in a moment.
    Wait,
}

/// A token that some replica fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedToken {
    /// Which one.
    pub version: i64,
    /// The token, sealed.
    pub sealed: Vec<u8>,
    /// How long ago it was got.
    pub age: Duration,
    /// How long it still lives; `None` = until the provider refuses it.
    pub rest: Option<Duration>,
}

/// A token that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// The token, sealed.
    pub sealed: Vec<u8>,
    /// How long it lives; `None` = until the provider refuses it.
    pub lifetime: Option<Duration>,
}
