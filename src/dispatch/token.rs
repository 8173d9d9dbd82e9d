//! One channel's token: fetched on first use, by one request at a time, renewed ahead of its end.
//!
//! Where replicas share a store, it is one request for all of them.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::adapter::{AuthError, Token, TokenGrant};
use crate::dispatch::attempt::transport_failure;
use crate::dispatch::clock::{Clock, Randomness};
use crate::dispatch::fleet_token::{Fleet, Urgency};
use crate::dispatch::settings::Settings;
use crate::domain::failure::{Failure, FailureKind};
use crate::telemetry::metrics::channel::ChannelMetrics;
use crate::telemetry::metrics::words::TokenResult;
use crate::transport::HttpService;

/// What is known about a channel's token, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenStatus {
    /// The channel signs its requests.
    NotNeeded,
    /// The configuration holds the token.
    Fixed,
    /// None was needed so far.
    None,
    /// There is one.
    Valid,
    /// The last request for one failed.
    Failing,
}

impl TokenStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::NotNeeded, Self::Fixed, Self::None, Self::Valid, Self::Failing];

    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotNeeded => "not_needed",
            Self::Fixed => "fixed",
            Self::None => "none",
            Self::Valid => "valid",
            Self::Failing => "failing",
        }
    }
}

/// The token of one channel; lives as long as the channel.
#[derive(Debug, Default)]
pub struct TokenCache {
    current: Mutex<Option<Token>>,
    last_failure: Mutex<Option<(Instant, Failure)>>,
    /// When a refused token was last dropped.
    last_discard: Mutex<Option<Instant>>,
    /// Held while a token is fetched, so that everybody else waits for that one request.
    fetching: tokio::sync::Mutex<()>,
    /// The newest one that was got, where replicas share it; 0 = none.
    version: AtomicI64,
    is_renewing: AtomicBool,
}

/// What fetching a token needs.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// How the provider grants tokens.
    pub grant: &'a dyn TokenGrant,
    /// The channel's connections.
    pub http: &'a HttpService,
    /// Bounds.
    pub settings: &'a Settings,
    /// Time.
    pub clock: &'a Clock,
    /// Randomness.
    pub randomness: &'a Randomness,
    /// Where requests are counted.
    pub metrics: &'a ChannelMetrics,
    /// Where replicas share the token; `None` = it is this process's own.
    pub(super) fleet: Option<Fleet<'a>>,
}

impl TokenCache {
    /// A token that is good now; fetches one if need be.
    ///
    /// # Errors
    /// The [`Failure`] of the token request; nothing was sent to anybody.
    pub async fn get(&self, source: Source<'_>) -> Result<Token, Failure> {
        if let Some(token) = source.grant.fixed() {
            return Ok(token);
        }
        if let Some(token) = self.good_token(source.clock.now()) {
            return Ok(token);
        }
        let _turn = self.fetching.lock().await;
        // Whoever had the turn before may have brought one, or may have failed a moment ago.
        if let Some(token) = self.good_token(source.clock.now()) {
            return Ok(token);
        }
        if let Some(failure) = self.recent_failure(source.settings) {
            return Err(failure);
        }
        self.fetch(source, Urgency::Now).await
    }

    /// Whether [`Self::get`] would answer at once with a token.
    pub fn has_token(&self, grant: &dyn TokenGrant, now: SystemTime) -> bool {
        grant.fixed().is_some() || self.good_token(now).is_some()
    }

    /// How long no other request for a token is made because one has failed.
    pub fn pause(&self, settings: &Settings) -> Duration {
        let last_failure = lock(&self.last_failure);
        last_failure
            .as_ref()
            .map_or(Duration::ZERO, |(at, _)| settings.token_wait.saturating_sub(at.elapsed()))
    }

    /// Whether the token should be renewed in the background now; `true` at most once at a time.
    pub fn starts_renewal(&self, now: SystemTime) -> bool {
        let is_due = lock(&self.current)
            .as_ref()
            .and_then(|token| token.refresh_at)
            .is_some_and(|refresh_at| now >= refresh_at);
        is_due && !self.is_renewing.swap(true, Ordering::AcqRel)
    }

    /// Fetches the next token while the old one is still used; a failure leaves the old one in place.
    pub async fn renew(&self, source: Source<'_>) {
        {
            let _turn = self.fetching.lock().await;
            if self.recent_failure(source.settings).is_none() {
                // The failure is kept for `status`; calls go on with the old token until its real end.
                let _unused = self.fetch(source, Urgency::Ahead).await;
            }
        }
        self.is_renewing.store(false, Ordering::Release);
    }

    /// Drops the token that a failed call used; whether another one can be had.
    ///
    /// A newer one stays. No second token is dropped within `settings.token_wait`: a provider that refuses every
    /// token would otherwise see as many requests for one as calls.
    pub fn discard(&self, used: &Token, settings: &Settings) -> bool {
        let mut current = lock(&self.current);
        if current.as_ref().is_none_or(|token| token.value != used.value) {
            return true;
        }
        let mut last_discard = lock(&self.last_discard);
        let may_discard = last_discard.is_none_or(|last| last.elapsed() >= settings.token_wait);
        if may_discard {
            *current = None;
            *last_discard = Some(Instant::now());
        }
        may_discard
    }

    /// What is known, for operators.
    pub fn status(&self, grant: &dyn TokenGrant, now: SystemTime) -> TokenStatus {
        if grant.fixed().is_some() {
            TokenStatus::Fixed
        } else if lock(&self.last_failure).is_some() {
            TokenStatus::Failing
        } else if self.good_token(now).is_some() {
            TokenStatus::Valid
        } else {
            TokenStatus::None
        }
    }

    fn good_token(&self, now: SystemTime) -> Option<Token> {
        lock(&self.current).as_ref().filter(|token| token.is_good(now)).cloned()
    }

    fn recent_failure(&self, settings: &Settings) -> Option<Failure> {
        let last_failure = lock(&self.last_failure);
        let (at, failure) = last_failure.as_ref()?;
        (at.elapsed() < settings.token_wait).then(|| failure.clone())
    }

    async fn fetch(&self, source: Source<'_>, urgency: Urgency) -> Result<Token, Failure> {
        let result = match source.fleet {
            None => request_token(source).await,
            Some(fleet) => fleet.token(source, &self.version, urgency).await,
        };
        match &result {
            Ok(token) => {
                *lock(&self.current) = Some(token.clone());
                *lock(&self.last_failure) = None;
            }
            Err(failure) => *lock(&self.last_failure) = Some((Instant::now(), failure.clone())),
        }
        result
    }
}

/// Asks the provider for a token.
pub(super) async fn request_token(source: Source<'_>) -> Result<Token, Failure> {
    let result = ask_provider(source).await;
    let counted = if result.is_ok() { TokenResult::Fetched } else { TokenResult::Failed };
    source.metrics.count_token_request(counted);
    result
}

async fn ask_provider(source: Source<'_>) -> Result<Token, Failure> {
    let request = source.grant.encode_grant(source.randomness.next()).map_err(auth_failure)?;
    // Whatever broke: a token request sends no message, so every failure here is a safe one.
    let sent = source.http.clone().oneshot(request).await;
    let response = sent.map_err(|error| transport_failure(&error).with_retryable(true))?;
    source.grant.decode_grant(&response, source.clock.now()).map_err(auth_failure)
}

/// The failure of recipients whose call had no credential.
pub fn auth_failure(error: AuthError) -> Failure {
    match error {
        AuthError::Refused { failure } => *failure,
        AuthError::Unusable(_) => Failure::gateway(FailureKind::Authentication).with_hint(&error.to_string()),
    }
}

/// A poisoned lock only means that another task panicked between two whole writes.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
