//! One token for all replicas: one of them fetches it and leaves it, sealed, in the store for the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::adapter::Token;
use crate::adapter::secret::Secret;
use crate::dispatch::token::{Source, request_token};
use crate::domain::failure::{Failure, FailureKind};
use crate::store::sealed::Sealer;
use crate::store::shared::{NewToken, Shared, SharedToken, Turn};

/// How soon the store is asked again while another replica fetches.
const PAUSE: Duration = Duration::from_millis(100);

/// How soon a store is asked again that is away.
const AWAY_PAUSE: Duration = Duration::from_millis(500);

/// A token that lives longer, a hundred years, is kept without an end: not every number is a time in a database.
const MOST_LIFETIME: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// What the sealed value is for.
const PURPOSE: &str = "token";

/// Where the token of one account is shared.
#[derive(Clone, Copy)]
pub(super) struct Fleet<'a> {
    pub(super) store: &'a dyn Shared,
    /// The same on every replica.
    pub(super) account: &'a Arc<str>,
    /// What the token is got with, and what it is sealed with.
    pub(super) secret: &'a Secret,
    /// No request for a token takes longer.
    pub(super) lease: Duration,
}

/// When a token is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Calls wait for it.
    Now,
    /// There is one that is still good.
    Ahead,
}

impl Fleet<'_> {
    /// A token that is newer than the `known` one, which is used up or was refused: another replica's, or one that
    /// is fetched here. `known` becomes its version.
    pub(super) async fn token(
        &self,
        source: Source<'_>,
        known: &AtomicI64,
        urgency: Urgency,
    ) -> Result<Token, Failure> {
        let mut patience = self.lease + source.settings.token_wait;
        loop {
            let version = known.load(Ordering::Relaxed);
            let pause = match self.store.next_token(Arc::clone(self.account), version, self.lease).await {
                Ok(Turn::Token(shared)) => {
                    known.store(shared.version, Ordering::Relaxed);
                    match self.open(&shared, source.clock.now()) {
                        Some(token) => return Ok(token),
                        // As good as none.
                        None => continue,
                    }
                }
                Ok(Turn::Fetch) => return self.fetch(source, known).await,
                Ok(Turn::Wait) if patience.is_zero() => return Err(none_came()),
                Ok(Turn::Wait) => {
                    patience = patience.saturating_sub(PAUSE);
                    PAUSE
                }
                Err(error) if urgency == Urgency::Ahead => {
                    warn!(%error, "No token was fetched ahead.");
                    sleep(AWAY_PAUSE).await;
                    return Err(none_came());
                }
                // Nobody fetches alone: that might end the token of all others.
                Err(_) => AWAY_PAUSE,
            };
            sleep(pause).await;
        }
    }

    async fn fetch(&self, source: Source<'_>, known: &AtomicI64) -> Result<Token, Failure> {
        let begin = Instant::now();
        let result = request_token(source).await;
        let kept = match &result {
            Ok(token) => match self.seal(token) {
                Some(sealed) => {
                    let lifetime = token.lifetime.filter(|lifetime| *lifetime < MOST_LIFETIME);
                    let lifetime = lifetime.map(|lifetime| lifetime.saturating_sub(begin.elapsed()));
                    let token = NewToken { sealed, lifetime };
                    let kept = self.store.keep_token(Arc::clone(self.account), token).await;
                    kept.map(|version| known.store(version, Ordering::Relaxed))
                }
                None => Ok(()),
            },
            Err(_) => self.store.fail_token(Arc::clone(self.account), source.settings.token_wait).await,
        };
        if let Err(error) = kept {
            warn!(%error, "Other replicas do not learn what became of the request for a token.");
        }
        result
    }

    /// The value behind the milliseconds after which it should be renewed, if it should.
    fn seal(&self, token: &Token) -> Option<Vec<u8>> {
        let refresh_after = token.refresh_at.and_then(|at| at.duration_since(token.issued_at).ok());
        let refresh_after = refresh_after.map(|after| after.as_millis().to_string()).unwrap_or_default();
        let text = Secret::new(format!("{refresh_after}\n{}", token.value.expose()));
        self.sealer()?.seal(PURPOSE, text.expose().as_bytes()).ok()
    }

    /// `None` = somebody else sealed it, or changed it.
    fn open(&self, shared: &SharedToken, now: SystemTime) -> Option<Token> {
        let opened = self.sealer()?.open(PURPOSE, &shared.sealed).ok()?;
        let text = Secret::new(String::from_utf8(opened).ok()?);
        let (refresh_after, value) = text.expose().split_once('\n')?;
        let refresh_after = refresh_after.parse().ok().map(Duration::from_millis);
        let issued_at = now.checked_sub(shared.age)?;
        Some(Token {
            value: Secret::new(value),
            issued_at,
            lifetime: shared.rest.and_then(|rest| shared.age.checked_add(rest)),
            refresh_at: refresh_after.and_then(|after| issued_at.checked_add(after)),
        })
    }

    fn sealer(&self) -> Option<Sealer> {
        Sealer::new(self.account, self.secret).ok()
    }
}

/// Other replicas had their turns and failed.
fn none_came() -> Failure {
    Failure::gateway(FailureKind::ProviderUnavailable)
        .with_retryable(true)
        .with_hint("no replica got a token from the provider")
}
