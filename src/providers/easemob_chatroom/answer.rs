//! What a success answer says of each room.

use serde_json::value::RawValue;

use crate::adapter::attribution::Attribution;
use crate::domain::failure::{Cause, Failure, FailureKind};
use crate::domain::outcome::{Acceptance, Evidence, Outcome, Outcomes, OutcomesBuilder};
use crate::domain::recipients::{Positions, RecipientList, Recipients};
use crate::domain::report::{Warning, WarningCode};
use crate::providers::easemob_chatroom::wire;

/// Most bytes of an unreadable value that are kept for the report.
const MOST_QUOTED_BYTES: usize = 256;

/// The reading of one answer: what looked odd in it gives one warning, however often it happens.
#[derive(Default)]
pub(super) struct Reading {
    has_stranger: bool,
    has_contradiction: bool,
}

impl Reading {
    /// One outcome per room of the call.
    pub(super) fn read_rooms(&mut self, answer: &wire::Answer<'_>, recipients: Recipients<'_>) -> Outcomes {
        // Without a readable list the provider has said nothing about anybody.
        let rooms = answer
            .data
            .and_then(|data| serde_json::from_str::<wire::Rooms<'_>>(data.get()).ok())
            .map_or_else(Vec::new, |rooms| rooms.0);
        let mut outcomes = OutcomesBuilder::new(unaccounted(), recipients.len());
        let mut attribution = Attribution::new(recipients);
        for (room, value) in &rooms {
            match attribution.find(room) {
                Some(offset) if outcomes.is_rest(offset) => outcomes.set(offset, read_value(value)),
                Some(offset) => self.has_contradiction |= outcomes.get(offset) != Some(&read_value(value)),
                None => self.has_stranger = true,
            }
        }
        outcomes.build()
    }

    /// The outcome of the only room of a directed call, which is that of every member.
    pub(super) fn read_room(&mut self, answer: &wire::Answer<'_>, chatroom_id: &str) -> Outcome {
        let list: RecipientList = [chatroom_id].into_iter().collect();
        let outcomes = self.read_rooms(answer, Recipients::new(&list, &Positions::Range(0..1)));
        outcomes.get(0).cloned().unwrap_or_else(unaccounted)
    }

    /// The warnings that the answer deserves.
    pub(super) fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let mut warn = |code, detail: &str| {
            warnings.push(Warning { code, channel: None, pointer: None, detail: detail.to_owned() });
        };
        if self.has_stranger {
            warn(WarningCode::UnexpectedRecipient, "the answer names a chatroom that the call did not");
        }
        if self.has_contradiction {
            warn(
                WarningCode::ContradictoryAnswer,
                "the answer names a chatroom twice and differs; its first entry counts",
            );
        }
        warnings
    }
}

fn unaccounted() -> Outcome {
    Outcome::unknown(Failure::provider(FailureKind::Unknown).with_cause(Cause::Unaccounted))
}

/// Reads what the answer says of one room: its message id, exact however large.
fn read_value(value: &RawValue) -> Outcome {
    let message_id = match (wire::text(value), wire::integer(value)) {
        (Some(text), _) if wire::is_digits(&text) => Some(text.into()),
        // Other interfaces of the vendor answer this way.
        (Some(text), _) if text == "success" => None,
        (None, Some(number)) if wire::is_digits(&number) => Some(number.into()),
        (Some(_) | None, _) => {
            let failure = Failure::provider(FailureKind::Unknown)
                .with_message(quote(value.get()))
                .with_hint("the answer holds no message id for this chatroom");
            return Outcome::unknown(failure);
        }
    };
    Outcome::Accepted(Acceptance { evidence: Evidence::Unverified, message_id, provider_fields: None })
}

/// The start of `text`, cut between characters.
fn quote(text: &str) -> &str {
    let end = text.floor_char_boundary(MOST_QUOTED_BYTES);
    text.get(..end).unwrap_or(text)
}
