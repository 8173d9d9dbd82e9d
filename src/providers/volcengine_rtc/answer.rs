//! Reads what the provider says about a call.
//!
//! The decision table is the fact sheet's: an error object counts first whatever the status, then the status,
//! then each receiver by the two lists. A receiver that is in neither list is nobody's failure: it is open.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::adapter::attribution::Attribution;
use crate::adapter::fields::members::Object;
use crate::adapter::wire::WireResponse;
use crate::adapter::{Answer, Call, DecodeError, Repeat, Verdict};
use crate::domain::failure::{Cause, Failure, FailureKind};
use crate::domain::outcome::{Acceptance, Evidence, Outcome, OutcomesBuilder};
use crate::domain::report::{Warning, WarningCode};
use crate::providers::volcengine_rtc::codes::{self, Effect};
use crate::providers::volcengine_rtc::translate::is_user_id;
use crate::providers::volcengine_rtc::wire::{self, read_token};

/// What stands as the code of a receiver in the list of failures, which gives no reason.
const FAILED_RECEIVER: &str = "FailedReceiver";

/// Reads the answer to one call.
///
/// # Errors
/// [`DecodeError::NotDocumented`] without an error object and without a result on a 2xx.
pub(super) fn decode(call: &Call<'_>, response: &WireResponse) -> Result<Answer, DecodeError> {
    let text = std::str::from_utf8(&response.body).map_err(|_| DecodeError::NotDocumented)?;
    let parsed = wire::Response::parse(text).ok_or(DecodeError::NotDocumented)?;
    let metadata = parsed.metadata.map(|Object(metadata)| metadata).unwrap_or_default();
    let mut reading = Reading::default();
    let verdict = match (metadata.error, parsed.result) {
        (Some(Object(error)), result) => {
            let result = result.map(|Object(result)| result);
            reading.read_error(call, &error, result.as_ref(), response)?
        }
        (None, Some(Object(sent))) if response.status.is_success() => reading.read_sent(call, &sent),
        (None, _) => return Err(DecodeError::NotDocumented),
    };
    Ok(Answer { verdict, request_id: metadata.request_id, warnings: reading.into_warnings() })
}

/// What looked odd so far.
#[derive(Default)]
struct Reading {
    has_strangers: bool,
    is_contradictory: bool,
}

impl Reading {
    fn read_error(
        &mut self,
        call: &Call<'_>,
        error: &wire::Error,
        result: Option<&wire::Sent<'_>>,
        response: &WireResponse,
    ) -> Result<Verdict, DecodeError> {
        let number = error.number.filter(|number| *number != 0);
        let code = error.code.as_deref().filter(|code| !code.is_empty());
        let shown: Cow<'_, str> = match (code, number) {
            (Some(code), _) => code.into(),
            (None, Some(number)) => number.to_string().into(),
            // An error without any code says less than the status does.
            (None, None) => return Err(DecodeError::NotDocumented),
        };
        let meaning = codes::look_up(code, number, response.status);
        let failure = Failure::provider(meaning.kind)
            .with_code(shown)
            .with_message(error.message.as_deref().unwrap_or_default())
            .with_hint(meaning.hint)
            .with_retryable(meaning.effect == Effect::Refused(Repeat::Safe));
        if let Some(verdict) = self.read_error_with_ids(call, &failure, meaning.effect, result) {
            return Ok(verdict);
        }
        Ok(match meaning.effect {
            Effect::Refused(repeat) => {
                Verdict::Refused { failure, repeat, retry_after: response.retry_after() }
            }
            Effect::Undecided => Verdict::Undecided(failure),
        })
    }

    /// An error beside message ids: whoever has one is open, the others fare as the error says.
    ///
    /// `None` if no receiver has a message id.
    fn read_error_with_ids(
        &mut self,
        call: &Call<'_>,
        failure: &Failure,
        effect: Effect,
        result: Option<&wire::Sent<'_>>,
    ) -> Option<Verdict> {
        let rest = match effect {
            Effect::Refused(_) => Outcome::failed(failure.clone()),
            Effect::Undecided => Outcome::unknown(failure.clone()),
        };
        let mut attribution = Attribution::new(call.recipients);
        let mut outcomes = OutcomesBuilder::new(rest, call.recipients.len());
        for (user_id, token) in &result?.user_message_ids.as_ref()?.0 {
            match (attribution.find(user_id), read_message_id(token)) {
                (Some(offset), Some(message_id)) => {
                    self.is_contradictory = true;
                    outcomes.set(offset, Outcome::unknown(failure.clone().with_message_id(message_id)));
                }
                (None, _) => self.has_strangers = true,
                (Some(_), None) => {}
            }
        }
        self.is_contradictory.then(|| Verdict::Answered(outcomes.build()))
    }

    fn read_sent(&mut self, call: &Call<'_>, sent: &wire::Sent<'_>) -> Verdict {
        let rest = Failure::provider(FailureKind::ProviderError)
            .with_cause(Cause::Unaccounted)
            .with_hint("the answer lists this receiver neither as sent nor as failed");
        let mut outcomes = OutcomesBuilder::new(Outcome::unknown(rest), call.recipients.len());
        let mut attribution = Attribution::new(call.recipients);
        if let Some(entries) = &sent.user_message_ids {
            self.read_accepted(&entries.0, &mut attribution, &mut outcomes);
        }
        if let Some(tokens) = &sent.failed_receivers {
            self.read_failed(tokens, &mut attribution, &mut outcomes);
        }
        Verdict::Answered(outcomes.build())
    }

    fn read_accepted(
        &mut self,
        entries: &[(Cow<'_, str>, &RawValue)],
        attribution: &mut Attribution<'_>,
        outcomes: &mut OutcomesBuilder,
    ) {
        for (user_id, token) in entries {
            let Some(offset) = attribution.find(user_id) else {
                self.has_strangers = true;
                continue;
            };
            let outcome = match read_message_id(token) {
                Some(message_id) => Outcome::Accepted(Acceptance {
                    evidence: Evidence::Explicit,
                    message_id: Some(message_id),
                    provider_fields: None,
                }),
                None => Outcome::unknown(
                    Failure::provider(FailureKind::ProviderError)
                        .with_cause(Cause::UnreadableAnswer)
                        .with_hint("the answer names this receiver without a usable message id"),
                ),
            };
            if outcomes.is_rest(offset) {
                outcomes.set(offset, outcome);
            }
        }
    }

    fn read_failed(
        &mut self,
        tokens: &[&RawValue],
        attribution: &mut Attribution<'_>,
        outcomes: &mut OutcomesBuilder,
    ) {
        let failure = Failure::provider(FailureKind::ProviderError).with_code(FAILED_RECEIVER);
        // Named as failed, so a repeat for these alone cannot make a second message.
        let failed = Outcome::failed(
            failure
                .clone()
                .with_retryable(true)
                .with_hint("the provider lists this receiver as failed and gives no reason"),
        );
        let pick = (!tokens.is_empty()).then(|| outcomes.add(failed));
        for token in tokens {
            let found = read_token(token).and_then(|user_id| attribution.find(&user_id));
            let (Some(offset), Some(pick)) = (found, pick) else {
                self.has_strangers = true;
                continue;
            };
            if outcomes.is_rest(offset) {
                outcomes.assign(offset, pick);
            } else if let Some(message_id) = named_message_id(outcomes.get(offset)) {
                self.is_contradictory = true;
                let both =
                    failure.clone().with_hint("the answer lists this receiver both as sent and as failed");
                let both = match message_id {
                    Some(message_id) => both.with_message_id(message_id),
                    None => both,
                };
                outcomes.set(offset, Outcome::unknown(both));
            }
        }
    }

    fn into_warnings(self) -> Vec<Warning> {
        let strangers = "the answer named receivers that were not asked for; they were ignored";
        let contradiction = "the answer calls receivers sent and failed at once; they are unknown";
        [
            (self.has_strangers, WarningCode::UnexpectedRecipient, strangers),
            (self.is_contradictory, WarningCode::ContradictoryAnswer, contradiction),
        ]
        .into_iter()
        .filter(|(is_odd, ..)| *is_odd)
        .map(|(_, code, detail)| Warning { code, channel: None, pointer: None, detail: detail.to_owned() })
        .collect()
    }
}

/// The message id of a receiver that the first list named: `Some(None)` if it was unusable.
///
/// `None` if the second list named it before.
fn named_message_id(outcome: Option<&Outcome>) -> Option<Option<Box<str>>> {
    match outcome? {
        Outcome::Accepted(acceptance) => Some(acceptance.message_id.clone()),
        Outcome::Unknown(failure) if failure.provider_code.is_none() => Some(None),
        Outcome::Unknown(_) | Outcome::Failed(_) => None,
    }
}

/// A message id: a positive 64-bit integer, as a number or as text, kept digit by digit.
fn read_message_id(token: &RawValue) -> Option<Box<str>> {
    let text = read_token(token)?;
    (is_user_id(&text) && text != "0").then(|| text.into())
}
