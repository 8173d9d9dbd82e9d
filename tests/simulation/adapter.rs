//! A made-up provider's format: `batch.route|id,id` goes out, a word and lines of `id ok` come back.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use imcast::adapter::profile::{Profile, SenderRule, Support};
use imcast::adapter::secret::Secret;
use imcast::adapter::wire::{WireRequest, WireResponse};
use imcast::adapter::{
    Adapter, Answer, Attempt, Audience, AuthError, Call, Chunking, DecodeError, GivenCredentials,
    MessageCost, Prepared, Repeat, Sign, Token, TokenGrant, Verdict,
};
use imcast::domain::failure::{Cause, Failure, FailureKind};
use imcast::domain::fault::Fault;
use imcast::domain::message::{Message, MessageType};
use imcast::domain::outcome::{Acceptance, Evidence, Outcome, Outcomes};
use imcast::domain::report::{Warning, WarningCode};
use imcast::domain::route::{Route, TargetType};

/// Most time for one call.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// The adapter.
pub(crate) struct Model {
    profile: Profile,
    cost: MessageCost,
}

impl Model {
    pub(crate) fn new(recipients_per_call: NonZeroUsize, cost: MessageCost) -> Self {
        let profile = Profile {
            provider: "model",
            messages: vec![(MessageType::Text, Support::Carried)],
            target_types: &[TargetType::User],
            sender: SenderRule::Optional,
            has_push: false,
            recipients_per_call,
            max_payload_bytes: None,
            evidence: Evidence::Explicit,
            volatile: &[],
        };
        Self { profile, cost }
    }
}

impl Adapter for Model {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn prepare(&self, route: &Arc<Route>) -> Result<Box<dyn Prepared>, Vec<Fault>> {
        self.profile.check(route)?;
        let Message::Text { text } = &*route.message else { panic!("the profile lets texts through only") };
        let recipients_per_call = self.profile.recipients_per_call.get();
        Ok(Box::new(ModelRoute {
            marker: Arc::clone(text),
            is_everyone: route.to.is_empty(),
            chunking: Chunking { recipients_per_call, cost: self.cost },
        }))
    }
}

struct ModelRoute {
    marker: Arc<str>,
    is_everyone: bool,
    chunking: Chunking,
}

impl Prepared for ModelRoute {
    fn warnings(&self) -> &[Warning] {
        &[]
    }

    fn audience(&self) -> Audience {
        if self.is_everyone { Audience::Everyone } else { Audience::To }
    }

    fn chunking(&self) -> Chunking {
        self.chunking
    }

    fn check_recipient(&self, id: &str) -> Result<(), Failure> {
        if id.starts_with('!') { Err(Failure::gateway(FailureKind::InvalidRecipient)) } else { Ok(()) }
    }

    fn encode(&self, call: &Call<'_>) -> WireRequest {
        let ids: Vec<_> = call.recipients.iter().collect();
        WireRequest::post_json("/send", format!("{}|{}", self.marker, ids.join(",")), TIMEOUT)
    }

    fn decode(&self, call: &Call<'_>, response: &WireResponse) -> Result<Answer, DecodeError> {
        let text = std::str::from_utf8(&response.body).map_err(|_| DecodeError::NotDocumented)?;
        let mut lines = text.lines();
        let word = lines.next().unwrap_or_default();
        let refused = |kind, repeat, retry_after| Verdict::Refused {
            failure: Failure::provider(kind),
            repeat,
            retry_after,
        };
        let verdict = match word.split_once(' ').unwrap_or((word, "")) {
            ("served", _) => return Ok(served(call, lines)),
            ("listed", _) => Verdict::Listed(lines.filter_map(read_line).map(owned).collect()),
            ("throttled", seconds) => {
                let retry_after = seconds.parse().ok().map(Duration::from_secs);
                refused(FailureKind::RateLimited, Repeat::Safe, retry_after)
            }
            ("busy", _) => refused(FailureKind::ProviderError, Repeat::Safe, None),
            ("rejected", _) => refused(FailureKind::ContentRejected, Repeat::Never, None),
            ("forbidden", _) => refused(FailureKind::Permission, Repeat::EndsRoute, None),
            ("old-token", _) => refused(FailureKind::Authentication, Repeat::WithNewToken, None),
            ("undecided", _) => Verdict::Undecided(Failure::provider(FailureKind::ProviderError)),
            ("miscount", _) => Verdict::Answered(Outcomes::same(accepted(), call.recipients.len() + 2)),
            // Without the hook, which would write to standard error.
            ("panic", _) => std::panic::resume_unwind(Box::new("planted")),
            _ => return Err(DecodeError::NotDocumented),
        };
        Ok(verdict.into())
    }
}

/// One outcome per recipient; whoever is missing in the answer is unknown.
fn served<'a>(call: &Call<'_>, lines: impl Iterator<Item = &'a str>) -> Answer {
    let mut said: BTreeMap<&str, Outcome> = lines.filter_map(read_line).collect();
    let unaccounted = || Outcome::unknown(Failure::transport(FailureKind::ProviderError, Cause::Unaccounted));
    let outcomes: Vec<_> =
        call.recipients.iter().map(|id| said.remove(id).unwrap_or_else(unaccounted)).collect();
    let warnings = said.into_keys().map(|_| Warning {
        code: WarningCode::UnexpectedRecipient,
        channel: None,
        pointer: None,
        detail: "the answer names somebody else".to_owned(),
    });
    Answer {
        verdict: Verdict::Answered(Outcomes::from_each(outcomes)),
        request_id: None,
        warnings: warnings.collect(),
    }
}

fn read_line(line: &str) -> Option<(&str, Outcome)> {
    let (id, word) = line.split_once(' ')?;
    let refused = || Outcome::failed(Failure::provider(FailureKind::InvalidRecipient));
    Some((id, if word == "ok" { accepted() } else { refused() }))
}

fn owned((id, outcome): (&str, Outcome)) -> (Box<str>, Outcome) {
    (id.into(), outcome)
}

fn accepted() -> Outcome {
    let evidence = Evidence::Explicit;
    Outcome::Accepted(Acceptance { evidence, message_id: None, provider_fields: None })
}

/// A channel that signs; the model provider takes any signature.
pub(crate) struct Signed;

impl Sign for Signed {
    fn sign(&self, _: &Attempt<'_>, _: &mut WireRequest) -> Result<(), AuthError> {
        Ok(())
    }

    fn given_credentials(&self) -> Option<GivenCredentials<'_>> {
        None
    }
}

/// A channel with tokens that live this long.
pub(crate) struct Tokens {
    pub(crate) lifetime: Duration,
}

impl TokenGrant for Tokens {
    fn fixed(&self) -> Option<Token> {
        None
    }

    fn secret(&self) -> Option<&Secret> {
        None
    }

    fn encode_grant(&self, _: u64) -> Result<WireRequest, AuthError> {
        Ok(WireRequest::post_json("/token", "", TIMEOUT))
    }

    fn decode_grant(&self, response: &WireResponse, now: SystemTime) -> Result<Token, AuthError> {
        let text = std::str::from_utf8(&response.body).unwrap();
        if text.parse::<u64>().is_err() {
            let failure = Box::new(Failure::provider(FailureKind::Authentication));
            return Err(AuthError::Refused { failure });
        }
        Ok(Token {
            value: Secret::new(text),
            issued_at: now,
            lifetime: Some(self.lifetime),
            refresh_at: Some(now + self.lifetime.mul_f64(0.9)),
        })
    }

    fn attach(&self, _: &Attempt<'_>, token: &Token, request: &mut WireRequest) -> Result<(), AuthError> {
        let is_set = request.set_secret_header("token".parse().unwrap(), token.value.expose());
        if is_set { Ok(()) } else { Err(AuthError::Unusable("token")) }
    }
}
