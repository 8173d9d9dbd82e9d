//! Writes results as CSV (RFC 4180).

use crate::api::report::line::push_number;
use crate::api::report::result_status;
use crate::api::report::walk::Row;
use crate::domain::failure::Failure;
use crate::domain::outcome::Outcome;

/// The first line.
pub const HEADER: &[u8] = b"index,channel,recipient,chatroom_id,ref,status,evidence,message_id,attempts,\
error_code,error_source,error_cause,error_retryable,provider_code,provider_message,hint\r\n";

/// What a formula begins with in some spreadsheet and language. White space is skipped, so that the formula behind
/// it would run; the last four are the full-width forms.
///
/// Source: OWASP, CSV Injection, read 2026-11-21.
const FORMULA_BEGINNINGS: [char; 11] =
    ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// Writes one result as one line.
pub fn push_row(out: &mut Vec<u8>, row: &Row<'_>) {
    let recipients = &row.route.recipients;
    let position = row.line.position;
    push_number(out, row.index);
    push_next(out, row.route.channel.as_str());
    push_next(out, recipients.id(position));
    push_next(out, row.route.chatroom_id.as_deref().unwrap_or_default());
    push_next(out, recipients.reference(position).map(|text| &**text).unwrap_or_default());
    push_next(out, result_status(row.outcome()));
    let (evidence, message_id, failure) = match row.outcome() {
        Some(Outcome::Accepted(acceptance)) => {
            (acceptance.evidence.as_str(), acceptance.message_id.as_deref(), None)
        }
        Some(Outcome::Failed(failure) | Outcome::Unknown(failure)) => {
            ("", failure.message_id.as_deref(), Some(&**failure))
        }
        None => ("", None, None),
    };
    push_next(out, evidence);
    push_next(out, message_id.unwrap_or_default());
    let attempts = row.line.decided.map(|decided| decided.attempts.to_string());
    push_next(out, &attempts.unwrap_or_default());
    push_failure(out, failure);
    out.extend_from_slice(b"\r\n");
}

fn push_failure(out: &mut Vec<u8>, failure: Option<&Failure>) {
    let Some(failure) = failure else {
        out.extend_from_slice(b",,,,,,,");
        return;
    };
    push_next(out, failure.kind.as_str());
    push_next(out, failure.source.as_str());
    push_next(out, &failure.cause.map(|cause| cause.to_string()).unwrap_or_default());
    push_next(out, if failure.retryable { "true" } else { "false" });
    push_next(out, failure.provider_code.as_deref().unwrap_or_default());
    push_next(out, failure.provider_message.as_deref().unwrap_or_default());
    push_next(out, failure.hint.as_deref().unwrap_or_default());
}

fn push_next(out: &mut Vec<u8>, text: &str) {
    out.push(b',');
    push_cell(out, text);
}

/// Writes one cell; what a spreadsheet would take for a formula gets an apostrophe in front.
pub fn push_cell(out: &mut Vec<u8>, text: &str) {
    let is_formula = text.starts_with(FORMULA_BEGINNINGS);
    let is_quoted = text.contains([',', '"', '\r', '\n']);
    if is_quoted {
        out.push(b'"');
    }
    if is_formula {
        out.push(b'\'');
    }
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    if is_quoted {
        out.push(b'"');
    }
}
