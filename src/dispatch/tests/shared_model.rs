//! A store that several dispatchers share: budgets and tokens as PostgreSQL keeps them, on the paused clock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::dispatch::tests::rig::memory;
use crate::domain::id::BatchId;
use crate::domain::report::{BudgetKind, Report};
use crate::store::durable::Durable;
use crate::store::memory::MemoryStore;
use crate::store::shared::{Ask, NewToken, Portion, Shared, SharedToken, Turn};
use crate::store::{Filter, Link, Linked, Recording, Store, StoreError, StoreFuture, Summary};

/// One process's view of it; clones are views of other processes.
#[derive(Clone)]
pub(super) struct SharedStore {
    inner: Arc<MemoryStore>,
    pub(super) kept: Arc<Mutex<Kept>>,
}

pub(super) struct Kept {
    begin: Instant,
    /// How long each answer takes, half of it on the way back.
    pub(super) delay: Duration,
    pub(super) is_away: bool,
    /// When each bucket is full, in seconds since the beginning.
    budgets: HashMap<(Arc<str>, &'static str), f64>,
    pub(super) portion_asks: usize,
    pub(super) tokens: HashMap<Arc<str>, Token>,
}

pub(super) struct Token {
    version: i64,
    pub(super) sealed: Vec<u8>,
    issued_at: Instant,
    expires_at: Option<Instant>,
    fetch_until: Instant,
}

impl SharedStore {
    pub(super) fn new() -> Self {
        let kept = Kept {
            begin: Instant::now(),
            delay: Duration::from_millis(4),
            is_away: false,
            budgets: HashMap::new(),
            portion_asks: 0,
            tokens: HashMap::new(),
        };
        Self { inner: Arc::new(memory(100)), kept: Arc::new(Mutex::new(kept)) }
    }

    fn answer<'a, T: Send + 'a>(
        &'a self,
        answer: impl FnOnce(&mut Kept) -> T + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(async move {
            let delay = self.kept.lock().unwrap().delay;
            tokio::time::sleep(delay / 2).await;
            let answer = {
                let mut kept = self.kept.lock().unwrap();
                if kept.is_away { Err(StoreError::Away("planted".into())) } else { Ok(answer(&mut kept)) }
            };
            tokio::time::sleep(delay / 2).await;
            answer
        })
    }
}

impl Store for SharedStore {
    fn record(&self, report: Arc<Report>) -> Recording<'_> {
        self.inner.record(report)
    }

    fn find(&self, id: BatchId) -> StoreFuture<'_, Option<Arc<Report>>> {
        self.inner.find(id)
    }

    fn link(&self, link: Link) -> StoreFuture<'_, Linked> {
        self.inner.link(link)
    }

    fn unlink(&self, link: Link) -> StoreFuture<'_, ()> {
        self.inner.unlink(link)
    }

    fn list(&self, filter: Filter) -> StoreFuture<'_, Vec<Summary>> {
        self.inner.list(filter)
    }

    fn durable(&self) -> Option<&dyn Durable> {
        None
    }

    fn shared(&self) -> Option<&dyn Shared> {
        Some(self)
    }
}

impl Shared for SharedStore {
    fn take_portion(&self, account: Arc<str>, ask: Ask) -> StoreFuture<'_, Portion> {
        self.answer(move |kept| {
            kept.portion_asks += 1;
            let now = kept.begin.elapsed().as_secs_f64();
            let full_at = kept.budgets.entry((account, ask.kind.as_str())).or_insert(0.0);
            let debt = (*full_at - now).max(0.0);
            let usable = (ask.burst - ask.cost.min(ask.burst)) / ask.rate;
            let gap = ask.cost / ask.rate;
            let mut calls = 0;
            while calls < ask.most && debt + f64::from(calls) * gap - usable <= ask.horizon.as_secs_f64() {
                calls += 1;
            }
            if calls > 0 {
                *full_at = now + debt + f64::from(calls) * gap;
            }
            Portion { calls, debt: Duration::from_secs_f64(debt) }
        })
    }

    fn hold_budget(&self, account: Arc<str>, kind: BudgetKind, pause: Duration) -> StoreFuture<'_, ()> {
        self.answer(move |kept| {
            let until = (kept.begin.elapsed() + pause).as_secs_f64();
            let full_at = kept.budgets.entry((account, kind.as_str())).or_insert(0.0);
            *full_at = full_at.max(until);
        })
    }

    fn next_token(&self, account: Arc<str>, known_version: i64, lease: Duration) -> StoreFuture<'_, Turn> {
        self.answer(move |kept| {
            let now = Instant::now();
            let token = kept.tokens.entry(account).or_insert_with(|| Token {
                version: 0,
                sealed: Vec::new(),
                issued_at: now,
                expires_at: None,
                fetch_until: now,
            });
            let is_over = token.expires_at.is_some_and(|end| end <= now);
            if token.version > known_version && !is_over {
                return Turn::Token(SharedToken {
                    version: token.version,
                    sealed: token.sealed.clone(),
                    age: now - token.issued_at,
                    rest: token.expires_at.map(|end| end - now),
                });
            }
            if token.fetch_until > now {
                return Turn::Wait;
            }
            token.fetch_until = now + lease;
            Turn::Fetch
        })
    }

    fn keep_token(&self, account: Arc<str>, new: NewToken) -> StoreFuture<'_, i64> {
        self.answer(move |kept| {
            let now = Instant::now();
            let version = kept.tokens.get(&account).map_or(0, |token| token.version) + 1;
            // As a database would say of a time that it does not have.
            let expires_at = new.lifetime.map(|lifetime| now.checked_add(lifetime).expect("no such time"));
            let token = Token { version, sealed: new.sealed, issued_at: now, expires_at, fetch_until: now };
            kept.tokens.insert(account, token);
            version
        })
    }

    fn fail_token(&self, account: Arc<str>, pause: Duration) -> StoreFuture<'_, ()> {
        self.answer(move |kept| {
            if let Some(token) = kept.tokens.get_mut(&account) {
                token.fetch_until = Instant::now() + pause;
            }
        })
    }
}
