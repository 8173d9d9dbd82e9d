//! Writes one result after the other as JSON.
//!
//! Recipients of a call mostly share one outcome: its text is written once and copied for the others.

use crate::adapter::wire::push_json_string;
use crate::api::report::result_status;
use crate::api::report::walk::Row;
use crate::domain::failure::Failure;
use crate::domain::outcome::Outcome;
use crate::domain::report::Decided;

/// Bytes of a result beside the texts of its recipient and channel, roughly.
pub const LINE_BYTES: usize = 128;

/// Writes results into one buffer.
///
/// Remembers where in that buffer a text stands that it will need again, so every call must pass the same
/// buffer, and nothing may be taken out of it in between.
#[derive(Debug, Default)]
pub struct LineWriter {
    route_index: Option<usize>,
    /// What follows the index: the channel and the name of the next field.
    before_recipient: Vec<u8>,
    /// What follows the recipient: the room, if there is one.
    after_recipient: Vec<u8>,
    settled: Tails,
    unsent: Tails,
}

/// Where the ends of results stand that were written for one group of recipients.
#[derive(Debug, Default)]
struct Tails {
    group: usize,
    /// Start and end in the buffer by distinct outcome; an empty range = not written yet.
    places: Vec<(usize, usize)>,
}

impl LineWriter {
    /// Writes one result as an object.
    pub fn push(&mut self, out: &mut Vec<u8>, row: &Row<'_>) {
        if self.route_index != Some(row.route_index) {
            self.enter(row);
        }
        out.extend_from_slice(b"{\"index\":");
        push_number(out, row.index);
        out.extend_from_slice(&self.before_recipient);
        push_json_string(out, row.route.recipients.id(row.line.position));
        out.extend_from_slice(&self.after_recipient);
        if let Some(reference) = row.route.recipients.reference(row.line.position) {
            out.extend_from_slice(b",\"ref\":");
            push_json_string(out, reference);
        }
        match &row.line.decided {
            None => out.extend_from_slice(b",\"status\":\"pending\"}"),
            // Those never sent lie between the others, so they have a memory of their own.
            Some(decided) if decided.group.0 == usize::MAX => self.unsent.push(out, decided),
            Some(decided) => self.settled.push(out, decided),
        }
    }

    fn enter(&mut self, row: &Row<'_>) {
        self.route_index = Some(row.route_index);
        self.settled = Tails::default();
        self.unsent = Tails::default();
        self.before_recipient.clear();
        self.before_recipient.extend_from_slice(b",\"channel\":");
        push_json_string(&mut self.before_recipient, row.route.channel.as_str());
        self.before_recipient.extend_from_slice(b",\"recipient\":");
        self.after_recipient.clear();
        if let Some(chatroom_id) = &row.route.chatroom_id {
            self.after_recipient.extend_from_slice(b",\"chatroom_id\":");
            push_json_string(&mut self.after_recipient, chatroom_id);
        }
    }
}

impl Tails {
    fn push(&mut self, out: &mut Vec<u8>, decided: &Decided<'_>) {
        let (group, pick) = decided.group;
        if self.group != group {
            self.group = group;
            self.places.clear();
        }
        if self.places.len() <= pick {
            self.places.resize(pick + 1, (0, 0));
        }
        let Some(place) = self.places.get_mut(pick) else {
            return;
        };
        if place.0 < place.1 && place.1 <= out.len() {
            out.extend_from_within(place.0..place.1);
        } else {
            let start = out.len();
            push_tail(out, decided);
            *place = (start, out.len());
        }
    }
}

fn push_tail(out: &mut Vec<u8>, decided: &Decided<'_>) {
    out.extend_from_slice(b",\"status\":\"");
    out.extend_from_slice(result_status(Some(decided.outcome)).as_bytes());
    out.push(b'"');
    let failure = match decided.outcome {
        Outcome::Accepted(acceptance) => {
            out.extend_from_slice(b",\"evidence\":");
            push_json_string(out, acceptance.evidence.as_str());
            push_message_id(out, acceptance.message_id.as_deref());
            if let Some(fields) = &acceptance.provider_fields {
                out.extend_from_slice(b",\"provider_fields\":");
                out.extend_from_slice(fields.as_str().as_bytes());
            }
            None
        }
        Outcome::Failed(failure) | Outcome::Unknown(failure) => {
            push_message_id(out, failure.message_id.as_deref());
            Some(failure)
        }
    };
    out.extend_from_slice(b",\"attempts\":");
    out.extend_from_slice(decided.attempts.to_string().as_bytes());
    if let Some(failure) = failure {
        out.extend_from_slice(b",\"error\":");
        push_error(out, failure);
    }
    out.push(b'}');
}

fn push_message_id(out: &mut Vec<u8>, message_id: Option<&str>) {
    if let Some(message_id) = message_id {
        out.extend_from_slice(b",\"message_id\":");
        push_json_string(out, message_id);
    }
}

fn push_error(out: &mut Vec<u8>, failure: &Failure) {
    out.extend_from_slice(b"{\"code\":");
    push_json_string(out, failure.kind.as_str());
    out.extend_from_slice(b",\"source\":");
    push_json_string(out, failure.source.as_str());
    out.extend_from_slice(b",\"cause\":");
    let cause = failure.cause.as_ref().map(ToString::to_string);
    push_nullable(out, cause.as_deref());
    out.extend_from_slice(b",\"retryable\":");
    out.extend_from_slice(if failure.retryable { b"true" } else { b"false" });
    out.extend_from_slice(b",\"provider_code\":");
    push_nullable(out, failure.provider_code.as_deref());
    out.extend_from_slice(b",\"provider_message\":");
    push_nullable(out, failure.provider_message.as_deref());
    out.extend_from_slice(b",\"hint\":");
    push_nullable(out, failure.hint.as_deref());
    out.push(b'}');
}

/// Appends a JSON string, or `null`.
pub fn push_nullable(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => push_json_string(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

/// Appends a number in decimal digits.
pub fn push_number(out: &mut Vec<u8>, number: usize) {
    // Into memory, which takes everything.
    let _ = serde_json::to_writer(out, &number);
}
