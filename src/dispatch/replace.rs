//! Replaces the channels while batches run on them.
//!
//! A batch keeps the channels that it was planned with. What a provider counts is not theirs alone: a channel and
//! its successor share the budgets of their account, so that both together keep its limits.

use std::sync::{Arc, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::dispatch::channel::{ChannelParts, ChannelRuntime, Inheritance};
use crate::dispatch::gate::budgets;
use crate::dispatch::pace::Pacer;
use crate::dispatch::{Channels, Dispatcher, Shared};
use crate::domain::id::ChannelName;
use crate::domain::recipients::widen;
use crate::telemetry::metrics::channel::ChannelState;

/// One channel of the next view.
pub enum NextChannel {
    /// The one at work goes on with all that it has.
    Kept(ChannelName),
    /// It is new, or has other settings.
    New(Box<ChannelParts>, Predecessor),
}

/// Who used the account of a new channel before it.
pub enum Predecessor {
    /// Nobody: all is unused.
    Nobody,
    /// A channel that is gone, with all its batches: what it saved up may just have been spent.
    Gone,
    /// This one, on which batches may still run: its budgets are changed to the new settings and shared. It is or
    /// logs in elsewhere, so that its calls in flight and its token say nothing about the new one.
    Account(Arc<ChannelRuntime>),
    /// This one, and it logs in at the same place in the same way: its turns and its token are shared as well.
    Login(Arc<ChannelRuntime>),
}

impl Dispatcher {
    /// Replaces all channels at once: what is planned from now on sees only these.
    pub fn replace_channels(&self, next: Vec<NextChannel>) {
        let shared = &self.shared;
        let before = shared.channels.load_full();
        let place = |next| match next {
            NextChannel::Kept(name) => before.get(&name).map(|kept| (name, Arc::clone(kept))),
            NextChannel::New(parts, predecessor) => {
                Some((parts.name.clone(), successor(shared, *parts, predecessor)))
            }
        };
        let next: Channels = next.into_iter().filter_map(place).collect();
        for (_, gone) in before.iter().filter(|(name, _)| !next.contains_key(*name)) {
            gone.metrics.show(ChannelState::GONE);
        }
        shared.channels.store(Arc::new(next));
    }
}

fn successor(shared: &Shared, parts: ChannelParts, predecessor: Predecessor) -> Arc<ChannelRuntime> {
    let mut inheritance = Inheritance::none(&parts.channel, &shared.settings);
    let now = Instant::now();
    let (before, is_login) = match predecessor {
        Predecessor::Nobody => (None, false),
        Predecessor::Gone => {
            budgets_of(&inheritance).empty(now);
            (None, false)
        }
        Predecessor::Account(before) => (Some(before), false),
        Predecessor::Login(before) => (Some(before), true),
    };
    if let Some(before) = &before {
        inheritance.pacer = before.gate().share_pacer();
        budgets_of(&inheritance).change(budgets(&parts.channel, &shared.settings, now), now);
        if is_login {
            let [from, to] =
                [before.channel(), &parts.channel].map(|channel| channel.settings.max_in_flight.get());
            resize(shared, &before.turns, from, to);
            inheritance.turns = Arc::clone(&before.turns);
            inheritance.tokens = Arc::clone(&before.tokens);
        }
    }
    let next = ChannelRuntime::with(parts, &shared.settings, &shared.metrics, &shared.store, inheritance);
    let next = Arc::new(next);
    if let Some(before) = before {
        // One channel goes on with another; a second one would share its budgets all the same.
        before.successor.get_or_init(|| Arc::clone(&next));
    }
    next
}

fn budgets_of(inheritance: &Inheritance) -> MutexGuard<'_, Pacer> {
    inheritance.pacer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds turns, or takes them away as calls end.
fn resize(shared: &Shared, turns: &Arc<Semaphore>, from: u32, to: u32) {
    turns.add_permits(widen(to.saturating_sub(from)));
    let surplus = from.saturating_sub(to);
    if surplus > 0 {
        let turns = Arc::clone(turns);
        shared.tasks.spawn(async move {
            // Nobody closes the turns.
            if let Ok(permits) = turns.acquire_many_owned(surplus).await {
                permits.forget();
            }
        });
    }
}
