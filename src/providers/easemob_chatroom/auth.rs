//! App tokens: fetched with the app's credentials, or fixed.
//!
//! Source: Easemob, authenticate with an app token, read 2026-11-21.

use std::time::{Duration, SystemTime};

use http::HeaderValue;
use http::header::{ACCEPT, AUTHORIZATION};

use crate::adapter::secret::Secret;
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{Attempt, AuthError, Token, TokenGrant};
use crate::domain::failure::{Cause, Failure, FailureKind};
use crate::providers::easemob_chatroom::codes;
use crate::providers::easemob_chatroom::settings::{Credential, Settings};
use crate::providers::easemob_chatroom::wire::{self, ObjectWriter};

/// Longest time before its end that a token is renewed.
const MOST_MARGIN: Duration = Duration::from_secs(3600);

/// Shortest time before its end that a token is renewed.
const LEAST_MARGIN: Duration = Duration::from_secs(60);

/// The app token of one channel.
pub(super) struct AppToken {
    credential: Credential,
    path: String,
    timeout: Duration,
}

impl AppToken {
    /// The token of the app behind `settings`.
    pub(super) fn new(settings: Settings, timeout: Duration) -> Self {
        Self { credential: settings.credential, path: format!("{}/token", settings.app_path), timeout }
    }
}

impl TokenGrant for AppToken {
    fn fixed(&self) -> Option<Token> {
        match &self.credential {
            Credential::Client { .. } => None,
            Credential::Fixed(value) => Some(Token {
                value: value.clone(),
                issued_at: SystemTime::UNIX_EPOCH,
                lifetime: None,
                refresh_at: None,
            }),
        }
    }

    fn secret(&self) -> Option<&Secret> {
        match &self.credential {
            Credential::Client { secret, .. } => Some(secret),
            Credential::Fixed(_) => None,
        }
    }

    fn encode_grant(&self, _: u64) -> Result<WireRequest, AuthError> {
        let Credential::Client { id, secret, ttl_seconds } = &self.credential else {
            let failure = Failure::gateway(FailureKind::Authentication)
                .with_hint("the configured app_token cannot be renewed: configure another one");
            return Err(refused(failure));
        };
        let mut body = ObjectWriter::new();
        body.text("grant_type", "client_credentials");
        body.text("client_id", id);
        body.text("client_secret", secret.expose());
        body.optional_number("ttl", *ttl_seconds);
        let mut request = WireRequest::post_json(self.path.clone(), body.close(), self.timeout);
        request.has_secret_body = true;
        request.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        Ok(request)
    }

    fn decode_grant(&self, response: &WireResponse, now: SystemTime) -> Result<Token, AuthError> {
        let status = response.status.as_u16();
        let answer = wire::Answer::parse(&response.body);
        if status == 200
            && let Some(token) = answer.as_ref().and_then(|answer| read_token(answer, now))
        {
            return Ok(token);
        }
        let error = answer.as_ref().and_then(wire::Answer::error);
        let failure = match codes::judge(status, error.as_ref()) {
            Some(meaning) => codes::failure(meaning, status, error.as_ref()),
            None => Failure::provider(FailureKind::ProviderError).with_cause(Cause::UnreadableAnswer),
        };
        // No message is at stake here, so whatever may pass may be tried again.
        let may_pass = match failure.kind {
            FailureKind::RateLimited | FailureKind::ProviderUnavailable | FailureKind::ProviderError => true,
            FailureKind::InvalidRequest
            | FailureKind::InvalidRecipient
            | FailureKind::Authentication
            | FailureKind::Permission
            | FailureKind::ContentRejected
            | FailureKind::Unknown
            | FailureKind::DuplicateRecipient
            | FailureKind::CircuitOpen
            | FailureKind::Expired
            | FailureKind::Canceled
            | FailureKind::Shutdown
            | FailureKind::Internal => false,
        };
        Err(refused(failure.with_retryable(may_pass)))
    }

    fn attach(&self, _: &Attempt<'_>, token: &Token, request: &mut WireRequest) -> Result<(), AuthError> {
        let value = format!("Bearer {}", token.value.expose());
        if request.set_secret_header(AUTHORIZATION, &value) {
            Ok(())
        } else {
            Err(AuthError::Unusable("app_token"))
        }
    }
}

fn refused(failure: Failure) -> AuthError {
    AuthError::Refused { failure: Box::new(failure) }
}

/// `None` without a usable token; without a usable lifetime it lives until it is refused.
fn read_token(answer: &wire::Answer<'_>, now: SystemTime) -> Option<Token> {
    let value = wire::text(answer.access_token?).filter(|value| !value.is_empty())?;
    let seconds = answer
        .expires_in
        .and_then(|raw| wire::integer(raw).or_else(|| wire::text(raw)))
        .and_then(|text| text.parse::<i64>().ok())
        .and_then(|seconds| u64::try_from(seconds).ok())
        .filter(|seconds| *seconds > 0);
    let lifetime = seconds.map(Duration::from_secs);
    Some(Token {
        value: Secret::new(value),
        issued_at: now,
        lifetime,
        refresh_at: lifetime.and_then(|lifetime| now.checked_add(lifetime.saturating_sub(margin(lifetime)))),
    })
}

/// How long before its end a token is renewed.
///
/// Never more than half of its life: the provider bans accounts that fetch tokens too often.
fn margin(lifetime: Duration) -> Duration {
    (lifetime / 10).clamp(LEAST_MARGIN, MOST_MARGIN).min(lifetime / 2)
}
