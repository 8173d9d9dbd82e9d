//! From an answer to a verdict.

use std::borrow::Cow;

use crate::adapter::attribution::Attribution;
use crate::adapter::wire::WireResponse;
use crate::adapter::{Answer, Call, DecodeError, Repeat, Verdict};
use crate::domain::failure::{Cause, Failure, FailureKind};
use crate::domain::outcome::{Acceptance, Evidence, Outcome, Outcomes, OutcomesBuilder};
use crate::domain::report::{Warning, WarningCode};
use crate::providers::easemob_relay::codes::{self, Code};
use crate::providers::easemob_relay::wire::{Data, Envelope};

/// Reads an answer. The envelope decides, whatever the HTTP status: the document names none.
pub(super) fn decode(call: &Call<'_>, response: &WireResponse) -> Result<Answer, DecodeError> {
    let envelope = Envelope::parse(&response.body).ok_or(DecodeError::NotDocumented)?;
    let code = Code::of(&envelope.code);
    match &envelope.data {
        Data::Unreadable => Ok(unreadable(call, code, &envelope).into()),
        Data::Listed(entries) if entries.is_empty() => Ok(nothing_listed(call, code, &envelope).into()),
        Data::Listed(entries) => Ok(listed(call, code, &envelope, entries)),
    }
}

fn accepted() -> Outcome {
    Outcome::Accepted(Acceptance {
        // Only failed messages are ever listed.
        evidence: Evidence::Implied,
        message_id: None,
        provider_fields: None,
    })
}

fn failure(kind: FailureKind, envelope: &Envelope<'_>, text: &str, hint: &str) -> Failure {
    Failure::provider(kind).with_code(envelope.code.clone()).with_message(text).with_hint(hint)
}

/// The answer says something about the call but not about this recipient.
fn unaccounted(envelope: &Envelope<'_>, hint: &str) -> Outcome {
    let failure = failure(FailureKind::Unknown, envelope, &envelope.message, hint);
    Outcome::unknown(failure.with_cause(Cause::Unaccounted))
}

/// A failure somewhere, and no message of this call named: part of it may be sent.
fn nobody_named(envelope: &Envelope<'_>) -> Verdict {
    Verdict::Undecided(failure(FailureKind::ProviderError, envelope, &envelope.message, codes::NOBODY_NAMED))
}

fn unreadable(call: &Call<'_>, code: Code, envelope: &Envelope<'_>) -> Verdict {
    match code {
        Code::Sent => Verdict::Answered(Outcomes::same(
            unaccounted(envelope, codes::NOT_TOLD_APART),
            call.recipients.len(),
        )),
        Code::NotAllSent | Code::Other => nobody_named(envelope),
    }
}

fn nothing_listed(call: &Call<'_>, code: Code, envelope: &Envelope<'_>) -> Verdict {
    match code {
        Code::Sent => Verdict::Answered(Outcomes::same(accepted(), call.recipients.len())),
        Code::NotAllSent => nobody_named(envelope),
        Code::Other => Verdict::Refused {
            failure: failure(FailureKind::ProviderError, envelope, &envelope.message, codes::OTHER_CODE),
            repeat: Repeat::Never,
            retry_after: None,
        },
    }
}

/// What the entries of `data` say about the recipients of the call.
struct Findings<'a> {
    /// Offsets and texts of those that are named, each once, in the order of the answer.
    named: Vec<(usize, &'a str)>,
    has_nameless: bool,
    has_strangers: bool,
}

impl<'a> Findings<'a> {
    fn collect(call: &Call<'_>, entries: &[Option<Cow<'_, str>>], message: &'a str) -> Self {
        let texts = split_texts(message, entries.len());
        let mut findings =
            Self { named: Vec::with_capacity(entries.len()), has_nameless: false, has_strangers: false };
        let mut attribution = Attribution::new(call.recipients);
        let mut is_named = vec![false; call.recipients.len()];
        for (index, entry) in entries.iter().enumerate() {
            let Some(id) = entry else {
                findings.has_nameless = true;
                continue;
            };
            let Some(offset) = attribution.find(id) else {
                findings.has_strangers = true;
                continue;
            };
            // The document's own example lists one receiver twice: the first text counts.
            let seen = is_named.get_mut(offset).map(|seen| std::mem::replace(seen, true));
            if seen == Some(false) {
                let text = texts.get(index).copied().unwrap_or(message);
                findings.named.push((offset, text));
            }
        }
        findings
    }
}

/// One text per entry of `data`; empty if the texts cannot be told apart.
///
/// Assumed from the example: a list printed as `[first, second]` in the order of `data`. A text that holds a
/// comma itself spoils the count, and then every message gets the whole.
fn split_texts(message: &str, count: usize) -> Vec<&str> {
    let inside = message.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(message);
    let texts: Vec<&str> = inside.split(", ").collect();
    if texts.len() == count { texts } else { Vec::new() }
}

fn listed(call: &Call<'_>, code: Code, envelope: &Envelope<'_>, entries: &[Option<Cow<'_, str>>]) -> Answer {
    let findings = Findings::collect(call, entries, &envelope.message);
    let verdict = match code {
        Code::Sent => sent_but_listed(call, envelope, &findings),
        Code::NotAllSent | Code::Other if findings.named.is_empty() => nobody_named(envelope),
        Code::NotAllSent | Code::Other => not_sent(call, code, envelope, &findings),
    };
    let mut warnings = Vec::new();
    if findings.has_strangers {
        warnings.push(warning(
            WarningCode::UnexpectedRecipient,
            "the relay's answer lists somebody who was not in the call; this was ignored",
        ));
    }
    if code == Code::Sent && !findings.named.is_empty() {
        warnings.push(warning(WarningCode::ContradictoryAnswer, codes::SENT_BUT_LISTED));
    }
    Answer { verdict, request_id: None, warnings }
}

fn sent_but_listed(call: &Call<'_>, envelope: &Envelope<'_>, findings: &Findings<'_>) -> Verdict {
    let rest = if findings.has_nameless { unaccounted(envelope, codes::NOT_TOLD_APART) } else { accepted() };
    if findings.named.is_empty() {
        return Verdict::Answered(Outcomes::same(rest, call.recipients.len()));
    }
    let mut outcomes = OutcomesBuilder::new(rest, call.recipients.len());
    let contradiction = outcomes.add(Outcome::unknown(failure(
        FailureKind::Unknown,
        envelope,
        &envelope.message,
        codes::SENT_BUT_LISTED,
    )));
    for (offset, _) in &findings.named {
        outcomes.assign(*offset, contradiction);
    }
    Verdict::Answered(outcomes.build())
}

fn not_sent(call: &Call<'_>, code: Code, envelope: &Envelope<'_>, findings: &Findings<'_>) -> Verdict {
    let rest = if code == Code::Other {
        unaccounted(envelope, codes::OTHER_CODE_UNLISTED)
    } else if findings.has_nameless {
        unaccounted(envelope, codes::NOT_TOLD_APART)
    } else {
        accepted()
    };
    let mut outcomes = OutcomesBuilder::new(rest, call.recipients.len());
    // Messages of one call nearly always fail with one text.
    let mut last: Option<(&str, u32)> = None;
    for (offset, text) in &findings.named {
        let pick = match last {
            Some((known, pick)) if known == *text => pick,
            Some(_) | None => {
                let meaning = codes::meaning(text);
                outcomes.add(Outcome::failed(failure(meaning.kind, envelope, text, meaning.hint)))
            }
        };
        last = Some((text, pick));
        outcomes.assign(*offset, pick);
    }
    Verdict::Answered(outcomes.build())
}

fn warning(code: WarningCode, detail: &str) -> Warning {
    Warning { code, channel: None, pointer: None, detail: detail.to_owned() }
}
