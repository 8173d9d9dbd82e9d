//! One channel at work: its connections, its turns, its budgets, its token.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::adapter::channel::Channel;
use crate::adapter::profile::Profile;
use crate::adapter::{Auth, Chunking, MessageCost};
use crate::dispatch::clock::Clock;
use crate::dispatch::pace::{Budget, Pacer};
use crate::dispatch::settings::Settings;
use crate::dispatch::token::{TokenCache, TokenStatus};
use crate::domain::id::ChannelName;
use crate::domain::recipients::widen;
use crate::domain::report::BudgetKind;
use crate::transport::HttpService;

/// What the dispatcher needs for one channel.
pub struct ChannelParts {
    /// Its name.
    pub name: ChannelName,
    /// The provider's side of it.
    pub channel: Channel,
    /// Its own connections.
    pub http: HttpService,
    /// Whether it talks to the built-in sandbox.
    pub is_sandbox: bool,
}

/// One channel at work; lives as long as the dispatcher.
pub struct ChannelRuntime {
    parts: ChannelParts,
    /// One permit per call in flight; waiters are served in the order in which they came, and a route asks for
    /// one call at a time, so running batches take turns chunk by chunk.
    pub(super) turns: Arc<Semaphore>,
    pacer: Mutex<Pacer>,
    pub(super) tokens: TokenCache,
}

/// What is left of a channel, for operators.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelStatus {
    /// Calls out now.
    pub in_flight: usize,
    /// Most calls at once.
    pub max_in_flight: usize,
    /// The call budget; `None` = not paced.
    pub calls: Option<BudgetStatus>,
    /// The message budget; `None` = not paced.
    pub messages: Option<BudgetStatus>,
    /// The token.
    pub token: TokenStatus,
}

/// What is left of one budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetStatus {
    /// The configured rate.
    pub per_second: f64,
    /// Tokens at hand; below zero while calls wait for their time.
    pub available: f64,
}

impl ChannelRuntime {
    pub(super) fn new(parts: ChannelParts, settings: &Settings) -> Self {
        let common = &parts.channel.settings;
        let now = Instant::now();
        let margin = settings.budget_margin;
        let largest_call = to_f64(parts.channel.adapter.profile().recipients_per_call.get());
        let budget = |limit: Option<f64>, cost| limit.map(|limit| Budget::new(limit, margin, cost, now));
        let calls = budget(common.calls_per_second, 1.0);
        let messages = budget(common.messages_per_second, largest_call);
        let turns = Arc::new(Semaphore::new(widen(common.max_in_flight.get())));
        Self { turns, pacer: Mutex::new(Pacer { calls, messages }), tokens: TokenCache::default(), parts }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &ChannelName {
        &self.parts.name
    }

    /// The provider's name.
    #[must_use]
    pub const fn provider(&self) -> &'static str {
        self.parts.channel.provider
    }

    /// Capabilities and limits.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        self.parts.channel.adapter.profile()
    }

    /// The visible sender when a request names none.
    #[must_use]
    pub fn default_from(&self) -> Option<&str> {
        self.parts.channel.settings.default_from.as_deref()
    }

    /// Whether it talks to the built-in sandbox.
    #[must_use]
    pub const fn is_sandbox(&self) -> bool {
        self.parts.is_sandbox
    }

    /// What is left of it now.
    #[must_use]
    pub fn status(&self, clock: &Clock) -> ChannelStatus {
        let common = &self.parts.channel.settings;
        let now = Instant::now();
        let max_in_flight = widen(common.max_in_flight.get());
        let budget = |limit: Option<f64>, budget: &Option<Budget>| {
            let budget = budget.as_ref()?;
            Some(BudgetStatus { per_second: limit?, available: budget.available(now) })
        };
        let pacer = self.pacer();
        ChannelStatus {
            in_flight: max_in_flight.saturating_sub(self.turns.available_permits()),
            max_in_flight,
            calls: budget(common.calls_per_second, &pacer.calls),
            messages: budget(common.messages_per_second, &pacer.messages),
            token: match &self.parts.channel.auth {
                Auth::Sign(_) => TokenStatus::NotNeeded,
                Auth::Token(grant) => self.tokens.status(&**grant, clock.now()),
            },
        }
    }

    pub(super) const fn channel(&self) -> &Channel {
        &self.parts.channel
    }

    pub(super) const fn http(&self) -> &HttpService {
        &self.parts.http
    }

    /// Takes one call for `recipient_count` recipients from the budgets if its time comes within `most`.
    pub(super) fn reserve(
        &self,
        chunking: Chunking,
        recipient_count: usize,
        most: Duration,
    ) -> Option<Duration> {
        let messages = messages(chunking, recipient_count);
        let now = Instant::now();
        let mut pacer = self.pacer();
        (pacer.wait(now, messages) <= most).then(|| pacer.reserve(now, messages))
    }

    /// Slows the channel down because the provider refused a call for its rate.
    pub(super) fn hold(&self, pause: Duration) {
        self.pacer().hold(Instant::now(), pause);
    }

    /// How long the budgets make these calls wait, and which one binds.
    pub(super) fn eta(
        &self,
        chunking: Chunking,
        calls: usize,
        recipients: usize,
    ) -> (Duration, Option<BudgetKind>) {
        let messages = match chunking.cost {
            MessageCost::PerRecipient => recipients,
            MessageCost::PerCall => calls,
        };
        self.pacer().eta(Instant::now(), to_f64(calls), to_f64(messages))
    }

    fn pacer(&self) -> std::sync::MutexGuard<'_, Pacer> {
        self.pacer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn messages(chunking: Chunking, recipient_count: usize) -> f64 {
    match chunking.cost {
        MessageCost::PerRecipient => to_f64(recipient_count.max(1)),
        MessageCost::PerCall => 1.0,
    }
}

/// Exact up to 2^32, which no batch reaches.
fn to_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
