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
use crate::dispatch::share::{CallTerms, Share};
use crate::domain::report::BudgetKind;
use crate::store::Store;
use crate::store::shared::{Ask, Shared};

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
    shares: Mutex<[Share; 2]>,
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
        let shares = Mutex::new([BudgetKind::Calls, BudgetKind::Messages].map(Share::new));
        Some(Arc::new(Self { store: Arc::clone(store), account, shares }))
    }

    /// Waits until a call with so many messages may start, in turn.
    pub(super) async fn take(&self, asker: Asker<'_>, messages: f64) {
        let Some(store) = self.store.shared() else { return };
        let mut shares = self.shares.lock().await;
        loop {
            let budgets = asker.channel.budget_terms();
            // What is not paced takes no part.
            let paced = shares.iter_mut().zip(budgets).zip([1.0, messages]);
            let mut paced: Vec<_> =
                paced.filter_map(|((share, budget), cost)| Some((share, budget?, cost))).collect();
            let mut starts_at = Instant::now();
            for (share, budget, cost) in &mut paced {
                let at = loop {
                    match share.starts_at(Instant::now(), *cost) {
                        Some(at) => break at,
                        None => self.ask(store, &asker, share, (*budget, *cost)).await,
                    }
                };
                starts_at = starts_at.max(at);
            }
            if starts_at > Instant::now() {
                sleep_until(starts_at).await;
            }
            let now = Instant::now();
            let is_ready =
                |share: &mut Share, cost| share.starts_at(now, cost).is_some_and(|start| start <= now);
            if paced.iter_mut().all(|(share, _, cost)| is_ready(share, *cost)) {
                paced.iter_mut().for_each(|(share, _, cost)| share.take(*cost));
                return;
            }
            // The part of one budget was over before that of the other began.
            let took = paced.iter().map(|(share, ..)| share.took()).max().unwrap_or_default();
            paced.iter_mut().for_each(|(share, ..)| share.keep_one(now, took));
        }
    }

    /// Asks once; pauses where that brings nothing.
    async fn ask(
        &self,
        store: &dyn Shared,
        asker: &Asker<'_>,
        share: &mut Share,
        (budget, cost): (Terms, f64),
    ) {
        let call = CallTerms::new(budget, cost);
        let Terms { rate, burst } = call.terms;
        let most = share.most(asker.channel.open_calls());
        let asked_at = Instant::now();
        let ask = Ask { kind: share.kind(), rate, burst, cost, most, horizon: HORIZON };
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
            Ok(portion) if portion.calls > 0 => return share.fill(Instant::now(), asked_at, portion, call),
            Ok(portion) => {
                let spread = PAUSE.mul_f64(0.5 + asker.randomness.fraction());
                portion.debt.saturating_sub(call.terms.saved(cost) + HORIZON) + spread
            }
            Err(_) => AWAY_PAUSE,
        };
        sleep(pause).await;
    }

    /// Lets no replica start a call for `pause`, because the provider refused one for its rate.
    pub(super) async fn hold(&self, terms: [Option<Terms>; 2], pause: Duration) {
        let Some(store) = self.store.shared() else { return };
        let until = Instant::now() + pause;
        for (kind, terms) in [BudgetKind::Calls, BudgetKind::Messages].into_iter().zip(terms) {
            let Some(terms) = terms else { continue };
            for _ in 0..HOLD_TRIES {
                // The bucket is empty at the end of the pause, not full.
                let full_in = until.saturating_duration_since(Instant::now()) + terms.saved(0.0);
                match store.hold_budget(Arc::clone(&self.account), kind, full_in).await {
                    Ok(()) => break,
                    Err(error) => warn!(%error, "Other replicas were not told of a refusal for the rate."),
                }
                sleep(AWAY_PAUSE).await;
            }
        }
    }
}
