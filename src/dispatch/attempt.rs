//! One try of one call: encode, authorize, send, decode.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use http::StatusCode;
use tower::ServiceExt as _;
use tracing::{debug, error};

use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{Attempt, Auth, Call, Prepared, Repeat, Token, TokenGrant, Verdict};
use crate::dispatch::Shared;
use crate::dispatch::channel::ChannelRuntime;
use crate::dispatch::fleet_token::Fleet;
use crate::dispatch::retry::Try;
use crate::dispatch::token::{Source, auth_failure};
use crate::domain::failure::{Cause, Failure, FailureKind};
use crate::domain::recipients::Positions;
use crate::domain::route::Route;
use crate::telemetry::metrics::words::Violation;
use crate::transport::TransportError;

/// What one try needs.
#[derive(Clone, Copy)]
pub(super) struct Trial<'a> {
    /// What all channels share.
    pub(super) shared: &'a Shared,
    /// The channel.
    pub(super) channel: &'a ChannelRuntime,
    /// The route.
    pub(super) route: &'a Route,
    /// Its translation.
    pub(super) prepared: &'a dyn Prepared,
    /// The call.
    pub(super) call: Call<'a>,
    /// Who it is about: for a send-to-all more than the call names.
    pub(super) positions: &'a Positions,
}

/// A request that can be written, and the token in it, so that a refusal drops that one and no newer one.
pub(super) type Ready = (WireRequest, Option<Token>);

impl Trial<'_> {
    /// Encodes the call and gives it its credential; nothing of it is written.
    ///
    /// # Errors
    /// The [`Failure`] of its recipients: nothing was sent to anybody.
    pub(super) async fn request(&self) -> Result<Ready, Failure> {
        let mut request = self
            .guarded("encode", || self.prepared.encode(&self.call))
            .ok_or_else(|| Failure::gateway(FailureKind::Internal))?;
        let token = self.authorize(&mut request).await?;
        Ok((request, token))
    }

    /// Writes the request and reads the answer.
    pub(super) async fn send(&self, request: WireRequest) -> Try {
        match self.channel.http().clone().oneshot(request).await {
            Ok(response) => self.decode(&response),
            Err(error) => self.transport_result(&error),
        }
    }

    async fn authorize(&self, request: &mut WireRequest) -> Result<Option<Token>, Failure> {
        let nonce = self.shared.randomness.next();
        let attempt = Attempt { route: self.route, now: self.shared.clock.now(), nonce };
        match &self.channel.channel().auth {
            Auth::Sign(sign) => {
                sign.sign(&attempt, request).map_err(auth_failure)?;
                Ok(None)
            }
            Auth::Token(grant) => {
                let source = token_source(self.shared, self.channel, &**grant);
                let token = self.channel.tokens.get(source).await?;
                let attempt = Attempt { now: self.shared.clock.now(), ..attempt };
                grant.attach(&attempt, &token, request).map_err(auth_failure)?;
                Ok(Some(token))
            }
        }
    }

    fn decode(&self, response: &WireResponse) -> Try {
        let decoded = self.guarded("decode", || self.prepared.decode(&self.call, response));
        match decoded {
            Some(Ok(answer)) => Try::Answered(answer),
            Some(Err(error)) => {
                debug!(channel.name = %self.channel.name(), %error, "Answer not understood.");
                Try::Answered(by_status(response.status, response.retry_after()).into())
            }
            // The call is out and what came of it is lost in our own fault.
            None => Try::Lost(Failure::gateway(FailureKind::Internal)),
        }
    }

    /// Runs one step of an adapter; `None` if it panicked, which settles this call and nothing else.
    fn guarded<T>(&self, step: &'static str, run: impl FnOnce() -> T) -> Option<T> {
        let result = catch_unwind(AssertUnwindSafe(run)).ok();
        if result.is_none() {
            self.shared.metrics.count_violation(Violation::AdapterPanic);
            error!(channel.name = %self.channel.name(), step, "An adapter panicked.");
        }
        result
    }

    fn transport_result(&self, error: &TransportError) -> Try {
        debug!(channel.name = %self.channel.name(), %error, "Call broke.");
        match error {
            TransportError::Connect(_) => {
                Try::Unsent { failure: transport_failure(error).with_retryable(true), may_pass: true }
            }
            TransportError::Unreadable { status } => match StatusCode::from_u16(*status) {
                Ok(status) if status.is_client_error() => Try::Answered(by_status(status, None).into()),
                _ => Try::Lost(transport_failure(error)),
            },
            TransportError::Timeout | TransportError::ConnectionReset => Try::Lost(transport_failure(error)),
        }
    }
}

/// The token source of one channel.
pub(super) fn token_source<'a>(
    shared: &'a Shared,
    channel: &'a ChannelRuntime,
    grant: &'a dyn TokenGrant,
) -> Source<'a> {
    let fleet = || {
        let common = &channel.channel().settings;
        let (store, account, secret) = (shared.store.shared()?, channel.account()?, grant.secret()?);
        Some(Fleet { store, account: &account.login, secret, lease: common.connect_timeout + common.timeout })
    };
    Source {
        grant,
        http: channel.http(),
        settings: &shared.settings,
        clock: &shared.clock,
        randomness: &shared.randomness,
        metrics: &channel.metrics,
        fleet: fleet(),
    }
}

/// What a broken connection says about the recipients of a call.
pub(super) fn transport_failure(error: &TransportError) -> Failure {
    let cause = match error {
        TransportError::Connect(_) => Cause::Connect,
        TransportError::Timeout => Cause::Timeout,
        TransportError::ConnectionReset => Cause::ConnectionReset,
        TransportError::Unreadable { status } if *status >= 500 => Cause::HttpStatus(*status),
        TransportError::Unreadable { .. } => {
            return Failure::transport(FailureKind::ProviderError, Cause::UnreadableAnswer);
        }
    };
    Failure::transport(FailureKind::ProviderUnavailable, cause)
}

/// What an answer says of which only the status is usable.
///
/// A request that the server calls faulty was not processed; anything else may have been.
fn by_status(status: StatusCode, retry_after: Option<Duration>) -> Verdict {
    let cause = Cause::HttpStatus(status.as_u16());
    let refused = |kind, repeat| Verdict::Refused {
        failure: Failure::transport(kind, cause).with_retryable(repeat == Repeat::Safe),
        repeat,
        retry_after,
    };
    match status.as_u16() {
        408 | 500.. => Verdict::Undecided(Failure::transport(FailureKind::ProviderUnavailable, cause)),
        401 => refused(FailureKind::Authentication, Repeat::EndsRoute),
        403 => refused(FailureKind::Permission, Repeat::EndsRoute),
        429 => refused(FailureKind::RateLimited, Repeat::Safe),
        400..500 => refused(FailureKind::InvalidRequest, Repeat::Never),
        _ => Verdict::Undecided(Failure::transport(FailureKind::ProviderError, Cause::UnreadableAnswer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, expected: (&str, FailureKind, &str)) {
        let (verdict, failure) = match by_status(StatusCode::from_u16(status).unwrap(), None) {
            Verdict::Refused { failure, .. } => ("failed", failure),
            Verdict::Undecided(failure) => ("unknown", failure),
            Verdict::Answered(_) | Verdict::Listed(_) => panic!("{status}"),
        };
        let cause = failure.cause.unwrap().to_string();
        assert_eq!((verdict, failure.kind, &*cause), expected, "{status}");
    }

    #[test]
    fn a_bare_status_decides_only_what_it_proves() {
        check(200, ("unknown", FailureKind::ProviderError, "unreadable_answer"));
        check(302, ("unknown", FailureKind::ProviderError, "unreadable_answer"));
        check(400, ("failed", FailureKind::InvalidRequest, "http_400"));
        check(401, ("failed", FailureKind::Authentication, "http_401"));
        check(403, ("failed", FailureKind::Permission, "http_403"));
        check(408, ("unknown", FailureKind::ProviderUnavailable, "http_408"));
        check(429, ("failed", FailureKind::RateLimited, "http_429"));
        check(500, ("unknown", FailureKind::ProviderUnavailable, "http_500"));
        check(502, ("unknown", FailureKind::ProviderUnavailable, "http_502"));
    }
}
