//! Admin tokens: fetched with the server's secret, or fixed; and the id of every request.
//!
//! Source: OpenIM, get admin token; open-im-server `internal/rpc/auth/auth.go`, read 2026-11-21.

use std::time::{Duration, SystemTime};

use http::HeaderName;

use crate::adapter::secret::Secret;
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{Attempt, AuthError, Token, TokenGrant};
use crate::domain::failure::{Cause, Failure, FailureKind};
use crate::providers::openim::settings::{Credential, TokenEndpoint};
use crate::providers::openim::{codes, wire};

/// Carries the token, bare.
const TOKEN: HeaderName = HeaderName::from_static("token");

/// Names the request in the server's logs; every request needs one of its own.
///
/// Source: OpenIM, batch send message, header table (`operationID`), read 2026-11-21.
const OPERATION_ID: HeaderName = HeaderName::from_static("operationid");

/// Platform of administrators.
///
/// Source: openimsdk/protocol `constant/platform_id_to_name.go`, read 2026-11-21.
const ADMIN_PLATFORM: u32 = 10;

/// The admin token of one channel.
pub(super) struct AdminToken {
    credential: Credential,
    endpoint: TokenEndpoint,
    timeout: Duration,
}

impl AdminToken {
    /// The token that `credential` gives; `timeout` is for one token request.
    pub(super) const fn new(credential: Credential, endpoint: TokenEndpoint, timeout: Duration) -> Self {
        Self { credential, endpoint, timeout }
    }
}

impl TokenGrant for AdminToken {
    fn fixed(&self) -> Option<Token> {
        match &self.credential {
            Credential::Fetched { .. } => None,
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
            Credential::Fetched { secret, .. } => Some(secret),
            Credential::Fixed(_) => None,
        }
    }

    fn encode_grant(&self, nonce: u64) -> Result<WireRequest, AuthError> {
        let Credential::Fetched { admin_user_id, secret } = &self.credential else {
            let failure = Failure::gateway(FailureKind::Authentication)
                .with_hint("the configured `token` cannot be renewed: configure another one");
            return Err(refused(failure));
        };
        let (path, platform_id) = match self.endpoint {
            TokenEndpoint::GetAdminToken => ("/auth/get_admin_token", None),
            TokenEndpoint::UserToken => ("/auth/user_token", Some(ADMIN_PLATFORM)),
        };
        let body = wire::to_json(&wire::GrantRequest {
            secret: secret.expose(),
            platform_id,
            user_id: admin_user_id,
        });
        let mut request = WireRequest::post_json(path, body, self.timeout);
        request.has_secret_body = true;
        name_request(&mut request, nonce)?;
        Ok(request)
    }

    fn decode_grant(&self, response: &WireResponse, now: SystemTime) -> Result<Token, AuthError> {
        let Some(answer) = wire::read_grant(&response.body) else {
            return Err(refused(codes::grant_without_answer(response.status.as_u16())));
        };
        if answer.code != 0 {
            let failure = codes::grant_refusal(answer.code, &answer.message, &answer.detail);
            return Err(refused(failure));
        }
        let grant = answer.data.filter(|grant| !grant.token.0.is_empty());
        let Some(grant) = grant else {
            let failure = Failure::provider(FailureKind::ProviderError)
                .with_cause(Cause::UnreadableAnswer)
                .with_hint("the server answered without an error and without a token")
                .with_retryable(true);
            return Err(refused(failure));
        };
        Ok(issue(&grant, now))
    }

    fn attach(
        &self,
        attempt: &Attempt<'_>,
        token: &Token,
        request: &mut WireRequest,
    ) -> Result<(), AuthError> {
        name_request(request, attempt.nonce)?;
        if request.set_secret_header(TOKEN, token.value.expose()) {
            Ok(())
        } else {
            Err(AuthError::Unusable("token"))
        }
    }
}

/// The token of a grant, to be renewed when 90 % of its life are over.
///
/// A lifetime that is missing or not positive is not believed: the token then lives until it is refused.
fn issue(grant: &wire::Grant<'_>, now: SystemTime) -> Token {
    let lifetime = grant
        .expire_time_seconds
        .and_then(|seconds| u64::try_from(seconds.0).ok())
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs);
    Token {
        value: Secret::new(&*grant.token.0),
        issued_at: now,
        lifetime,
        refresh_at: lifetime.and_then(|lifetime| now.checked_add(lifetime / 10 * 9)),
    }
}

/// Sets an `operationID` that no other request has, so that a repeat can be told apart in the server's logs.
fn name_request(request: &mut WireRequest, nonce: u64) -> Result<(), AuthError> {
    if request.set_header(OPERATION_ID, &format!("imcast-{nonce:016x}")) {
        Ok(())
    } else {
        Err(AuthError::Unusable("operationID"))
    }
}

fn refused(failure: Failure) -> AuthError {
    AuthError::Refused { failure: Box::new(failure) }
}
