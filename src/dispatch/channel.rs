//! One channel at work: its connections, its turns, its bounds, its token.

use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::adapter::Auth;
use crate::adapter::channel::Channel;
use crate::adapter::profile::Profile;
use crate::dispatch::circuit::CircuitStatus;
use crate::dispatch::clock::Clock;
use crate::dispatch::gate::{Gate, budgets};
use crate::dispatch::pace::Pacer;
use crate::dispatch::portions::Portions;
use crate::dispatch::settings::Settings;
use crate::dispatch::token::{TokenCache, TokenStatus};
use crate::domain::id::ChannelName;
use crate::domain::recipients::widen;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::channel::ChannelMetrics;
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
    /// Where replicas meet; `None` = it shares nothing with them.
    pub account: Option<Account>,
}

/// What a channel's account is called among replicas: the same on each, and no secret can be read from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// For its budgets: everybody whose calls the provider counts together.
    pub limits: Arc<str>,
    /// For its token: everybody who logs in at the same place in the same way.
    pub login: Arc<str>,
}

/// One channel at work; lives until it is replaced and the last batch that was planned with it has ended.
pub struct ChannelRuntime {
    parts: ChannelParts,
    /// One permit per call in flight; waiters are served in the order in which they came, and a route asks for
    /// one call at a time, so running batches take turns chunk by chunk.
    pub(super) turns: Arc<Semaphore>,
    /// Budgets, circuit, repeats and backlog: what decides whether a call may start now.
    pub(super) gate: Mutex<Gate>,
    pub(super) tokens: Arc<TokenCache>,
    /// Its part of what replicas share; `None` = the budgets are its own.
    pub(super) portions: Option<Arc<Portions>>,
    pub(super) metrics: ChannelMetrics,
    /// The channel that goes on with its budgets: kept while batches run here, so that a third one finds it and the
    /// budgets, even if it was removed meanwhile.
    pub(super) successor: OnceLock<Arc<Self>>,
}

/// What a channel shares with the one that it replaces.
pub(super) struct Inheritance {
    /// How fast the account may be called.
    pub(super) pacer: Arc<Mutex<Pacer>>,
    /// How many calls it may have in flight.
    pub(super) turns: Arc<Semaphore>,
    /// Its token.
    pub(super) tokens: Arc<TokenCache>,
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
    /// Whether calls go out at all.
    pub circuit: CircuitStatus,
    /// Routes of batches that it works on or keeps waiting.
    pub route_count: usize,
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

impl Inheritance {
    /// Full budgets, all turns, no token.
    pub(super) fn none(channel: &Channel, settings: &Settings) -> Self {
        Self {
            pacer: Arc::new(Mutex::new(budgets(channel, settings, Instant::now()))),
            turns: Arc::new(Semaphore::new(widen(channel.settings.max_in_flight.get()))),
            tokens: Arc::default(),
        }
    }
}

impl ChannelRuntime {
    pub(super) fn new(
        parts: ChannelParts,
        settings: &Settings,
        metrics: &Metrics,
        store: &Arc<dyn Store>,
    ) -> Self {
        let inheritance = Inheritance::none(&parts.channel, settings);
        Self::with(parts, settings, metrics, store, inheritance)
    }

    /// A channel that goes on with what another one left it.
    pub(super) fn with(
        parts: ChannelParts,
        settings: &Settings,
        metrics: &Metrics,
        store: &Arc<dyn Store>,
        inheritance: Inheritance,
    ) -> Self {
        let Inheritance { pacer, turns, tokens } = inheritance;
        let gate = Mutex::new(Gate::new(&parts.channel, settings, pacer, Instant::now()));
        let metrics = metrics.channel(&parts.name);
        let limits = parts.account.as_ref().map(|account| Arc::clone(&account.limits));
        let portions = Portions::new(store, limits);
        Self { turns, gate, tokens, portions, metrics, parts, successor: OnceLock::new() }
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
        let budget = |per_second: Option<f64>, available: Option<f64>| {
            Some(BudgetStatus { per_second: per_second?, available: available? })
        };
        let gate = self.gate();
        let (calls, messages) = gate.pacer().available(now);
        ChannelStatus {
            in_flight: max_in_flight.saturating_sub(self.turns.available_permits()),
            max_in_flight,
            calls: budget(common.calls_per_second, calls),
            messages: budget(common.messages_per_second, messages),
            circuit: gate.circuit.status(now),
            route_count: gate.backlog.route_count(),
            token: match &self.parts.channel.auth {
                Auth::Sign(_) => TokenStatus::NotNeeded,
                Auth::Token(grant) => self.tokens.status(&**grant, clock.now()),
            },
        }
    }

    pub(super) const fn channel(&self) -> &Channel {
        &self.parts.channel
    }

    pub(super) const fn account(&self) -> Option<&Account> {
        self.parts.account.as_ref()
    }

    pub(super) const fn http(&self) -> &HttpService {
        &self.parts.http
    }
}
