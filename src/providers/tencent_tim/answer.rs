//! From an answer to outcomes: the decision table of the provider's two documents.
//!
//! Source: batch one-to-one messages, sections 2.8 and 2.9 (judge by `ErrorList`), and the page's later
//! version (`ErrorCode` is 0 if anybody was served), read 2026-11-21.

use crate::adapter::attribution::Attribution;
use crate::adapter::fields::members::Object;
use crate::adapter::wire::WireResponse;
use crate::adapter::{Answer, DecodeError, Repeat, Verdict};
use crate::domain::failure::{Cause, Failure, FailureKind};
use crate::domain::outcome::{Acceptance, Evidence, Outcome, Outcomes, OutcomesBuilder};
use crate::domain::recipients::Recipients;
use crate::domain::report::{Warning, WarningCode};
use crate::providers::tencent_tim::codes::{self, Advice};
use crate::providers::tencent_tim::wire::{self, Entry};

/// Reads an answer, whatever its HTTP status: the body decides.
pub(super) fn decode(recipients: Recipients<'_>, response: &WireResponse) -> Result<Answer, DecodeError> {
    let Object(answer): Object<wire::Answer<'_>> =
        serde_json::from_slice(&response.body).map_err(|_| DecodeError::NotDocumented)?;
    if answer.status.is_none() && answer.code.is_none() {
        return Err(DecodeError::NotDocumented);
    }
    let code = match answer.code {
        Some(token) => wire::integer(token).ok_or(DecodeError::NotDocumented)?,
        None => 0,
    };
    let reading = Reading {
        recipients,
        info: answer.info.and_then(text).unwrap_or_default(),
        key: answer.key.and_then(text).filter(|key| !key.is_empty()),
    };
    let listing = Listing::read(answer.list);
    if code != 0 {
        return Ok(reading.nobody(code, listing, response));
    }
    if !listing.is_empty() {
        return Ok(reading.all_but(&listing));
    }
    if answer.status.and_then(text).as_deref() == Some("OK") {
        let outcome = reading.accepted();
        return Ok(Verdict::Answered(Outcomes::same(outcome, recipients.len())).into());
    }
    // A status that says "failed" and a list that says "nobody failed": each document contradicts the other.
    let failure = reading
        .open()
        .with_message(&reading.info)
        .with_hint("the answer says neither who failed nor that nobody did");
    Ok(Verdict::Undecided(failure).into())
}

fn text(token: &serde_json::value::RawValue) -> Option<Box<str>> {
    wire::text_or_integer(token).map(Into::into)
}

/// `ErrorList`.
struct Listing<'a> {
    entries: Vec<Entry<'a>>,
    /// Whether somebody is listed of whom nobody can say who it is.
    is_vague: bool,
}

impl<'a> Listing<'a> {
    fn read(list: Option<&'a serde_json::value::RawValue>) -> Self {
        let Some(list) = list else {
            return Self { entries: Vec::new(), is_vague: false };
        };
        match serde_json::from_str::<Vec<Object<Entry<'a>>>>(list.get()) {
            Ok(entries) => {
                let entries: Vec<_> = entries.into_iter().map(|Object(entry)| entry).collect();
                let is_of_nobody =
                    |entry: &Entry<'_>| entry.account.and_then(wire::text_or_integer).is_none();
                Self { is_vague: entries.iter().any(is_of_nobody), entries }
            }
            Err(_) => Self { entries: Vec::new(), is_vague: true },
        }
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty() && !self.is_vague
    }
}

/// What an answer says beside code and list.
struct Reading<'a> {
    recipients: Recipients<'a>,
    info: Box<str>,
    key: Option<Box<str>>,
}

impl Reading<'_> {
    fn accepted(&self) -> Outcome {
        Outcome::Accepted(Acceptance {
            evidence: Evidence::Implied,
            message_id: self.key.clone(),
            provider_fields: None,
        })
    }

    /// Nobody can tell; the key is kept, because it is needed for a recall.
    fn open(&self) -> Failure {
        let failure = Failure::provider(FailureKind::ProviderError);
        match &self.key {
            Some(key) => failure.with_message_id(key.clone()),
            None => failure,
        }
    }

    /// A code for the whole call: nobody was served, or nobody can tell.
    fn nobody(&self, code: i64, mut listing: Listing<'_>, response: &WireResponse) -> Answer {
        // Who is listed without a code of its own shares the call's.
        listing.entries.retain(|entry| entry.code.and_then(wire::integer).is_some_and(|code| code != 0));
        let meaning = codes::meaning(code);
        let failure = Failure::provider(meaning.kind)
            .with_code(code.to_string())
            .with_message(&self.info)
            .with_hint(meaning.hint)
            .with_retryable(meaning.advice == Advice::Again);
        if !listing.entries.is_empty() {
            let rest = match meaning.advice {
                Advice::Open => Outcome::unknown(failure),
                Advice::Never | Advice::Again | Advice::NewSignature => Outcome::failed(failure),
            };
            return self.assign(rest, &listing);
        }
        let refused =
            |repeat, retry_after| Verdict::Refused { failure: failure.clone(), repeat, retry_after };
        match meaning.advice {
            Advice::Open => Verdict::Undecided(failure),
            Advice::Again => refused(Repeat::Safe, response.retry_after()),
            Advice::NewSignature => refused(Repeat::WithNewToken, None),
            // The next call would bear the same credential, and wrong signatures end in a lock (70050).
            Advice::Never
                if matches!(meaning.kind, FailureKind::Authentication | FailureKind::Permission) =>
            {
                refused(Repeat::EndsRoute, None)
            }
            Advice::Never => refused(Repeat::Never, None),
        }
        .into()
    }

    /// Everybody was served but those in the list.
    fn all_but(&self, listing: &Listing<'_>) -> Answer {
        let rest = if listing.is_vague {
            let failure = self.open().with_cause(Cause::Unaccounted);
            Outcome::unknown(failure.with_hint("the answer lists a failure without saying whose"))
        } else {
            self.accepted()
        };
        self.assign(rest, listing)
    }

    /// Gives every listed recipient its own outcome; the first entry of a recipient counts.
    fn assign(&self, rest: Outcome, listing: &Listing<'_>) -> Answer {
        let mut outcomes = OutcomesBuilder::new(rest, self.recipients.len());
        let mut attribution = Attribution::new(self.recipients);
        // Few codes, many entries: equal codes share one outcome.
        let mut known: Vec<(Option<i64>, u32)> = Vec::new();
        let mut strangers = 0_usize;
        for entry in &listing.entries {
            let Some(account) = entry.account.and_then(wire::text_or_integer) else {
                continue;
            };
            let Some(offset) = attribution.find(&account) else {
                strangers += 1;
                continue;
            };
            if !outcomes.is_rest(offset) {
                continue;
            }
            let code = entry.code.and_then(wire::integer);
            let pick = match known.iter().find(|(seen, _)| *seen == code) {
                Some((_, pick)) => *pick,
                None => {
                    let pick = outcomes.add(self.listed(code));
                    known.push((code, pick));
                    pick
                }
            };
            outcomes.assign(offset, pick);
        }
        let mut answer = Answer::from(Verdict::Answered(outcomes.build()));
        if strangers > 0 {
            answer.warnings.push(Warning {
                code: WarningCode::UnexpectedRecipient,
                channel: None,
                pointer: None,
                detail: format!("the answer lists {strangers} accounts that the call did not name"),
            });
        }
        answer
    }

    /// The outcome of a listed recipient.
    fn listed(&self, code: Option<i64>) -> Outcome {
        match code {
            Some(code) if code != 0 => {
                let meaning = codes::meaning(code);
                Outcome::failed(
                    Failure::provider(meaning.kind)
                        .with_code(code.to_string())
                        .with_hint(meaning.hint)
                        .with_retryable(meaning.is_retryable_when_listed()),
                )
            }
            given => {
                let failure = self.open();
                let failure = match given {
                    Some(code) => failure.with_code(code.to_string()),
                    None => failure,
                };
                Outcome::unknown(failure.with_hint("listed as failed, but without a reason"))
            }
        }
    }
}
