//! Reads the answer to a send.

use std::collections::HashMap;

use crate::adapter::attribution::Attribution;
use crate::adapter::wire::WireResponse;
use crate::adapter::{Answer, Call, DecodeError, Verdict};
use crate::domain::failure::{Cause, Failure, FailureKind};
use crate::domain::json::JsonText;
use crate::domain::outcome::{Acceptance, Evidence, Outcome, OutcomesBuilder};
use crate::domain::report::{Warning, WarningCode};
use crate::providers::openim::codes;
use crate::providers::openim::wire::{self, AcceptanceFields, Entry, Listing};

/// Reads the answer to a call that names its recipients.
pub(super) fn decode(call: &Call<'_>, response: &WireResponse) -> Result<Answer, DecodeError> {
    settle(response, |listing| attribute(call, listing))
}

/// Reads the answer to a send to every registered user.
pub(super) fn decode_everyone(response: &WireResponse) -> Result<Answer, DecodeError> {
    settle(response, list)
}

/// An error code settles everything: nothing was sent. Without one the two lists decide, whatever the HTTP
/// status; no error code alone proves nothing.
///
/// Source: open-im-server `internal/api/msg.go`, read 2026-11-21.
fn settle(response: &WireResponse, read: impl FnOnce(&Listing<'_>) -> Answer) -> Result<Answer, DecodeError> {
    let answer = wire::read_send(&response.body).ok_or(DecodeError::NotDocumented)?;
    if answer.code == 0 {
        return Ok(read(&answer.data.unwrap_or_default()));
    }
    let verdict = codes::refusal(answer.code, &answer.message, &answer.detail, response.retry_after());
    Ok(verdict.into())
}

fn attribute(call: &Call<'_>, listing: &Listing<'_>) -> Answer {
    let mut builder = OutcomesBuilder::new(Outcome::unknown(missing()), call.recipients.len());
    let mut attribution = Attribution::new(call.recipients);
    let mut oddities = Oddities::default();
    for entry in &listing.results {
        match attribution.find(entry.id()) {
            // The first entry counts: a second one would be about the same recipient.
            Some(offset) if builder.is_rest(offset) => builder.set(offset, accepted(entry)),
            Some(_) => {}
            None => oddities.has_strangers = true,
        }
    }
    if !listing.failed.is_empty() {
        let failed = builder.add(Outcome::failed(unexplained()));
        for id in &listing.failed {
            match attribution.find(id) {
                Some(offset) if builder.is_rest(offset) => builder.assign(offset, failed),
                Some(offset) => oddities.note_second(builder.get(offset)),
                None => oddities.has_strangers = true,
            }
        }
    }
    Answer {
        verdict: Verdict::Answered(builder.build()),
        request_id: None,
        warnings: oddities.into_warnings(),
    }
}

/// The users that the answer lists; an answer that lists nobody leaves open who got the message.
fn list(listing: &Listing<'_>) -> Answer {
    let mut known = HashMap::with_capacity(listing.results.len() + listing.failed.len());
    let mut listed: Vec<(Box<str>, Outcome)> = Vec::with_capacity(known.capacity());
    let mut oddities = Oddities::default();
    let failed = listing.failed.iter().map(|id| (&**id, None));
    let results = listing.results.iter().map(|entry| (entry.id(), Some(entry)));
    for (id, entry) in results.chain(failed) {
        if let Some(place) = known.get(id) {
            if entry.is_none() {
                oddities.note_second(listed.get(*place).map(|(_, outcome)| outcome));
            }
            continue;
        }
        known.insert(id, listed.len());
        let outcome = match entry {
            Some(entry) => accepted(entry),
            None => Outcome::failed(unexplained()),
        };
        listed.push((id.into(), outcome));
    }
    let verdict = match listed.is_empty() {
        true => Verdict::Undecided(missing()),
        false => Verdict::Listed(listed),
    };
    Answer { verdict, request_id: None, warnings: oddities.into_warnings() }
}

/// The server's own id of the recipient's copy names the message; the other id is shared by the whole call.
fn accepted(entry: &Entry<'_>) -> Outcome {
    let (server_msg_id, client_msg_id) = (entry.server_msg_id(), entry.client_msg_id());
    let message_id = match (server_msg_id, client_msg_id) {
        ("", "") => None,
        ("", id) | (id, _) => Some(id.into()),
    };
    let fields =
        wire::to_json(&AcceptanceFields { client_msg_id, server_msg_id, send_time: entry.send_time() });
    Outcome::Accepted(Acceptance {
        evidence: Evidence::Explicit,
        message_id,
        provider_fields: (fields != "{}").then(|| JsonText::from_serialized(fields)),
    })
}

fn unexplained() -> Failure {
    Failure::provider(FailureKind::Unknown).with_hint(
        "OpenIM reported this recipient as failed without a reason: not registered, blocks the sender, receives \
         no messages, a webhook refused it, or a service behind the server failed",
    )
}

fn missing() -> Failure {
    Failure::provider(FailureKind::Unknown)
        .with_cause(Cause::Unaccounted)
        .with_hint("missing from the provider's answer")
}

/// What looked odd in one answer.
#[derive(Default)]
struct Oddities {
    has_strangers: bool,
    has_contradictions: bool,
}

impl Oddities {
    /// Notes that a recipient of the failed list already has an outcome. Being accepted wins: that send is
    /// proven.
    fn note_second(&mut self, outcome: Option<&Outcome>) {
        self.has_contradictions |= matches!(outcome, Some(Outcome::Accepted(_)));
    }

    fn into_warnings(self) -> Vec<Warning> {
        let rows = [
            (
                self.has_strangers,
                WarningCode::UnexpectedRecipient,
                "the answer names recipients that were not asked for; they are ignored",
            ),
            (
                self.has_contradictions,
                WarningCode::ContradictoryAnswer,
                "the answer names recipients both as taken and as failed; they count as accepted",
            ),
        ];
        rows.into_iter()
            .filter(|(is_there, _, _)| *is_there)
            .map(|(_, code, detail)| Warning {
                code,
                channel: None,
                pointer: None,
                detail: detail.to_owned(),
            })
            .collect()
    }
}
