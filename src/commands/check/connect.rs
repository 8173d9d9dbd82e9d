//! Asks every channel's provider what can be learned without sending anything to anybody.

use std::fmt;

use http::{HeaderMap, Method};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::adapter::channel::{Channel, CommonSettings};
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{Auth, AuthError, TokenGrant};
use crate::commands::check::clock_skew::{ClockSkew, Verdict};
use crate::dispatch::clock::{Clock, Randomness};
use crate::domain::failure::Failure;
use crate::domain::id::ChannelName;
use crate::transport::{self, BuildError, HttpService, TransportError};

/// What was learned about one channel; shows no secret and no query.
pub(super) struct Finding {
    name: ChannelName,
    result: Result<Reached, Unreached>,
}

/// The provider answered.
struct Reached {
    skew: ClockSkew,
    credential: Credential,
}

/// The provider did not answer.
#[derive(Debug, thiserror::Error)]
enum Unreached {
    #[error("the channel has no client")]
    Client(#[source] BuildError),
    #[error("not reached")]
    Transport(#[source] TransportError),
    #[error("the question broke off")]
    Broken,
}

/// What is known of the channel's credential.
enum Credential {
    /// Every send carries a proof, and nothing else does.
    Signature,
    /// The configuration holds the token.
    FixedToken,
    /// The provider granted a token.
    Granted,
    /// It granted none.
    Refused(Box<Failure>),
    /// A configured value cannot be sent.
    Unsendable(AuthError),
    /// It did not answer the request for one.
    Unanswered(TransportError),
}

/// Asks all providers at once; one finding per channel, in order.
pub(super) async fn ask(
    channels: Vec<(ChannelName, Channel)>,
    transport: &transport::Settings,
    clock: &Clock,
    randomness: &Randomness,
) -> Vec<Finding> {
    let names: Vec<_> = channels.iter().map(|(name, _)| name.clone()).collect();
    let mut asking = JoinSet::new();
    for (index, (_, channel)) in channels.into_iter().enumerate() {
        let http = transport::client(&channel.settings, transport);
        let (clock, nonce) = (clock.clone(), randomness.next());
        asking.spawn(async move {
            let result = match http {
                Ok(http) => ask_one(&channel, &http, &clock, nonce).await,
                Err(error) => Err(Unreached::Client(error)),
            };
            (index, result)
        });
    }
    let mut results: Vec<_> = names.iter().map(|_| Err(Unreached::Broken)).collect();
    while let Some(joined) = asking.join_next().await {
        // One that panicked stays as it was.
        if let Ok((index, result)) = joined
            && let Some(place) = results.get_mut(index)
        {
            *place = result;
        }
    }
    names.into_iter().zip(results).map(|(name, result)| Finding { name, result }).collect()
}

async fn ask_one(
    channel: &Channel,
    http: &HttpService,
    clock: &Clock,
    nonce: u64,
) -> Result<Reached, Unreached> {
    let asked_at = clock.now();
    let answer = http.clone().oneshot(question(&channel.settings)).await.map_err(Unreached::Transport)?;
    let skew = ClockSkew::of(&answer.headers, asked_at, clock.now());
    let credential = match &channel.auth {
        Auth::Sign(_) => Credential::Signature,
        Auth::Token(grant) => ask_for_token(&**grant, http, clock, nonce).await,
    };
    Ok(Reached { skew, credential })
}

/// HEAD of the base URL, without any credential: whatever it is answered, it sends no message.
fn question(settings: &CommonSettings) -> WireRequest {
    WireRequest {
        method: Method::HEAD,
        path: "/".to_owned(),
        query: Vec::new(),
        headers: HeaderMap::new(),
        body: bytes::Bytes::new(),
        has_secret_body: false,
        timeout: settings.timeout,
    }
}

async fn ask_for_token(grant: &dyn TokenGrant, http: &HttpService, clock: &Clock, nonce: u64) -> Credential {
    if grant.fixed().is_some() {
        return Credential::FixedToken;
    }
    let request = match grant.encode_grant(nonce) {
        Ok(request) => request,
        Err(error) => return not_granted(error),
    };
    let answered: Result<WireResponse, _> = http.clone().oneshot(request).await;
    match answered.map(|answer| grant.decode_grant(&answer, clock.now())) {
        Ok(Ok(_)) => Credential::Granted,
        Ok(Err(error)) => not_granted(error),
        Err(error) => Credential::Unanswered(error),
    }
}

fn not_granted(error: AuthError) -> Credential {
    match error {
        AuthError::Refused { failure } => Credential::Refused(failure),
        AuthError::Unusable(_) => Credential::Unsendable(error),
    }
}

impl Finding {
    /// Whether the channel can be used as far as this can tell.
    pub(super) fn is_usable(&self) -> bool {
        self.verdict() != Verdict::Unusable
    }

    fn verdict(&self) -> Verdict {
        match &self.result {
            Ok(reached) => reached.skew.verdict().max(reached.credential.verdict()),
            Err(_) => Verdict::Unusable,
        }
    }
}

impl Credential {
    const fn verdict(&self) -> Verdict {
        match self {
            Self::Signature | Self::FixedToken | Self::Granted => Verdict::Fine,
            Self::Refused(_) | Self::Unsendable(_) | Self::Unanswered(_) => Verdict::Unusable,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.verdict() {
            Verdict::Fine => "ok",
            Verdict::Doubtful => "warning",
            Verdict::Unusable => "failed",
        };
        write!(formatter, "{}: {word}: ", self.name)?;
        match &self.result {
            Ok(reached) => write!(formatter, "reached; {}; {}", reached.skew, reached.credential),
            Err(unreached) => formatter.write_str(&chain(unreached)),
        }
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature => formatter.write_str("the signature is only checked by a send"),
            Self::FixedToken => formatter.write_str("the configured token is only checked by a send"),
            Self::Granted => formatter.write_str("a token was granted"),
            Self::Refused(failure) => write!(formatter, "no token: {}", refusal(failure)),
            Self::Unsendable(error) => write!(formatter, "no token: {error}"),
            Self::Unanswered(error) => write!(formatter, "no token: {}", chain(error)),
        }
    }
}

/// Its class, the provider's code and our hint; the provider's own words may repeat what was sent.
fn refusal(failure: &Failure) -> String {
    let mut text = failure.kind.as_str().to_owned();
    if let Some(code) = &failure.provider_code {
        // Another machine wrote it: nothing in it may steer a terminal.
        text.push_str(&format!(", the provider's code {}", code.escape_debug()));
    }
    if let Some(hint) = &failure.hint {
        text.push_str(&format!(" ({hint})"));
    }
    text
}

/// The error and what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(&format!(": {source}"));
        cause = source.source();
    }
    text
}
