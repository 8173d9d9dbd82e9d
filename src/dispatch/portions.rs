//! Portions of an account's budgets: where replicas share them, a call needs a part that nobody else has.
//!
//! Parts are taken from the store ahead of their time, a moment's worth at once, so that it is asked a few times a
//! second and not for each call. What is not used in its time is lost: saved up, it would exceed the rate. Without an
//! answer nothing is sent, since a limit is a promise.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use crate::dispatch::channel::ChannelRuntime;
use crate::dispatch::clock::Randomness;
use crate::dispatch::pace::Terms;
use crate::dispatch::share::{Share, Slot};
use crate::domain::report::BudgetKind;
use crate::store::Store;
use crate::store::shared::{Ask, Shared};

/// Under which name the account's schedule stands in the store: one for both budgets, in seconds.
const SCHEDULE: BudgetKind = BudgetKind::Calls;

/// How far ahead calls are taken.
const HORIZON: Duration = Duration::from_millis(200);

/// How soon the store is asked again when others have all calls up to the horizon: half of this to one and a half, so
/// that replicas do not keep step.
const PAUSE: Duration = Duration::from_millis(100);

/// How soon a store is asked again that is away.
const AWAY_PAUSE: Duration = Duration::from_millis(500);

/// How often it is told of a refusal; those that never hear of it meet their own.
const HOLD_TRIES: u32 = 5;

/// What one channel has of its account's budgets.
pub(super) struct Portions {
    store: Arc<dyn Store>,
    /// The same on every replica.
    account: Arc<str>,
    /// Locked while one call waits for its part: the others come after it anyway, and one of them asks for all.
    share: Mutex<Share>,
}

/// Who asks.
pub(super) struct Asker<'a> {
    pub(super) channel: &'a ChannelRuntime,
    pub(super) randomness: &'a Randomness,
}

impl Portions {
    /// `None` = the store shares nothing.
    pub(super) fn new(store: &Arc<dyn Store>, account: Option<Arc<str>>) -> Option<Arc<Self>> {
        let account = account.filter(|_| store.shared().is_some())?;
        Some(Arc::new(Self { store: Arc::clone(store), account, share: Mutex::new(Share::new()) }))
    }

    /// Waits until a call with so many messages may start, in turn.
    pub(super) async fn take(&self, asker: Asker<'_>, messages: f64) {
        let Some(store) = self.store.shared() else { return };
        let mut share = self.share.lock().await;
        // Unpaced calls wait for nobody.
        while let Some(slot) = Slot::new(asker.channel.budget_terms(), messages) {
            let now = Instant::now();
            match share.starts_at(now, slot) {
                Some(at) if at <= now => return share.take(slot),
                Some(at) => sleep_until(at).await,
                None => self.ask(store, &asker, &mut share, slot).await,
            }
        }
    }

    /// Asks once; pauses where that brings nothing.
    async fn ask(&self, store: &dyn Shared, asker: &Asker<'_>, share: &mut Share, slot: Slot) {
        let Slot { cost, saved, .. } = slot;
        let ask = Ask {
            kind: SCHEDULE,
            rate: 1.0,
            burst: saved.as_secs_f64() + cost,
            cost,
            most: share.most(asker.channel.open_calls()),
            horizon: HORIZON,
        };
        let asked_at = Instant::now();
        let answer = store.take_portion(Arc::clone(&self.account), ask).await;
        if share.note_away(answer.is_err()) {
            let channel = asker.channel.name();
            match &answer {
                Ok(_) => info!(channel.name = %channel, "The shared budget is back."),
                Err(error) => {
                    warn!(channel.name = %channel, %error, "The shared budget is away: no call starts.");
                }
            }
        }
        let pause = match answer {
            Ok(portion) if portion.calls > 0 => return share.fill(Instant::now(), asked_at, portion, slot),
            Ok(portion) => {
                let spread = PAUSE.mul_f64(0.5 + asker.randomness.fraction());
                portion.debt.saturating_sub(saved + HORIZON).saturating_add(spread)
            }
            Err(_) => AWAY_PAUSE,
        };
        sleep(pause).await;
    }

    /// Lets no replica start a call for `pause`, because the provider refused one for its rate.
    pub(super) async fn hold(&self, budgets: [Option<Terms>; 2], pause: Duration) {
        // Nothing is saved up at the end of the pause.
        let savings = budgets.into_iter().flatten().map(|terms| terms.burst / terms.rate).reduce(f64::min);
        let savings = savings.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let (Some(store), Some(savings)) = (self.store.shared(), savings) else { return };
        let until = Instant::now() + pause;
        for _ in 0..HOLD_TRIES {
            let full_in = until.saturating_duration_since(Instant::now()) + savings;
            match store.hold_budget(Arc::clone(&self.account), SCHEDULE, full_in).await {
                Ok(()) => return,
                Err(error) => warn!(%error, "Other replicas were not told of a refusal for the rate."),
            }
            sleep(AWAY_PAUSE).await;
        }
    }
}
