//! Writes a whole report, and pages of results, as JSON.

use std::time::SystemTime;

use crate::adapter::wire::push_json_string;
use crate::api::report::line::{LINE_BYTES, LineWriter, push_nullable, push_number};
use crate::api::report::outcome_name;
use crate::api::report::walk::{Row, rows};
use crate::domain::id::BatchId;
use crate::domain::outcome::Counts;
use crate::domain::recipients::widen;
use crate::domain::report::{Eta, MOST_INLINE_RESULTS, Report, RouteReport, Warning};
use crate::store::Summary;

/// Writes a report.
#[must_use]
pub fn report(report: &Report, counts: &Counts) -> Vec<u8> {
    let is_inline = counts.total <= MOST_INLINE_RESULTS;
    let id_bytes: usize = report.routes.iter().map(|route| route.recipients.text_bytes()).sum();
    let inline_bytes = if is_inline { counts.total * LINE_BYTES + id_bytes } else { 0 };
    let mut out = Vec::with_capacity(1024 + inline_bytes);
    push_head(&mut out, report, counts);
    push_routes(&mut out, &report.routes);
    out.extend_from_slice(b",\"results\":[");
    if is_inline {
        push_rows(&mut out, rows(report, 0));
        out.push(b']');
    } else {
        out.extend_from_slice(b"],\"results_truncated\":true");
    }
    out.extend_from_slice(b",\"warnings\":");
    push_warnings(&mut out, &report.warnings);
    if let Some(eta) = &report.eta {
        out.extend_from_slice(b",\"eta\":");
        push_eta(&mut out, eta);
    }
    out.extend_from_slice(b",\"links\":");
    push_links(&mut out, report.batch.id);
    out.push(b'}');
    out
}

/// Writes what is certain of a batch that was handed over when nothing else can be said.
#[must_use]
pub fn handed_over(id: BatchId) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    push_id(&mut out, id);
    out.extend_from_slice(b",\"status\":\"processing\",\"links\":");
    push_links(&mut out, id);
    out.push(b'}');
    out
}

/// Writes one page of results; `next_page_token` is empty on the last one, as AIP-158 says.
#[must_use]
pub fn page<'a>(page_rows: impl Iterator<Item = Row<'a>>, next_page_token: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    out.extend_from_slice(b"{\"results\":[");
    push_rows(&mut out, page_rows);
    out.extend_from_slice(b"],\"next_page_token\":");
    push_json_string(&mut out, next_page_token);
    out.push(b'}');
    out
}

/// Writes one page of a list of batches; `next_page_token` as above.
#[must_use]
pub fn list(lines: &[Summary], next_page_token: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 * lines.len() + 64);
    out.extend_from_slice(b"{\"batches\":");
    push_list(&mut out, lines.iter(), push_summary);
    out.extend_from_slice(b",\"next_page_token\":");
    push_json_string(&mut out, next_page_token);
    out.push(b'}');
    out
}

/// Writes what a list says of a batch.
pub fn push_summary(out: &mut Vec<u8>, line: &Summary) {
    push_id(out, line.id);
    push_optional(out, "client_ref", line.client_ref.as_deref());
    push_optional(out, "status", Some(line.status().as_str()));
    push_optional(out, "outcome", outcome_name(line.status(), &line.counts));
    push_optional(out, "created_at", Some(&time(line.created_at)));
    push_optional(out, "completed_at", line.completed_at.map(time).as_deref());
    out.extend_from_slice(b",\"channels\":");
    push_list(out, line.channels.iter(), |out, channel| push_json_string(out, channel.as_str()));
    out.extend_from_slice(b",\"counts\":");
    push_counts(out, &line.counts);
    out.extend_from_slice(b",\"links\":");
    push_links(out, line.id);
    out.push(b'}');
}

fn push_rows<'a>(out: &mut Vec<u8>, rows: impl Iterator<Item = Row<'a>>) {
    let mut writer = LineWriter::default();
    let mut is_first = true;
    // Not a loop: over several routes this is the faster way through.
    rows.for_each(|row| {
        if !is_first {
            out.push(b',');
        }
        is_first = false;
        writer.push(out, &row);
    });
}

fn push_id(out: &mut Vec<u8>, id: BatchId) {
    out.extend_from_slice(b"{\"id\":\"");
    out.extend_from_slice(&id.letters());
    out.push(b'"');
}

fn push_head(out: &mut Vec<u8>, report: &Report, counts: &Counts) {
    push_id(out, report.batch.id);
    push_optional(out, "client_ref", report.batch.client_ref.as_deref());
    let resend_of = report.batch.resend.as_ref().map(|resend| resend.of.to_string());
    push_optional(out, "resend_of", resend_of.as_deref());
    if !report.resends.is_empty() {
        let resends = report.resends.iter().map(ToString::to_string);
        out.extend_from_slice(b",\"resends\":");
        push_list(out, resends, |out, id| push_json_string(out, &id));
    }
    push_optional(out, "status", Some(report.status().as_str()));
    push_optional(out, "outcome", outcome_name(report.status(), counts));
    if report.routes.iter().any(|route| route.is_sandbox) {
        out.extend_from_slice(b",\"sandbox\":true");
    }
    push_optional(out, "created_at", Some(&time(report.batch.created_at)));
    push_optional(out, "completed_at", report.completed_at.map(time).as_deref());
    out.extend_from_slice(b",\"counts\":");
    push_counts(out, counts);
}

fn push_routes(out: &mut Vec<u8>, routes: &[RouteReport]) {
    out.extend_from_slice(b",\"routes\":");
    push_list(out, routes.iter(), |out, route| {
        out.extend_from_slice(b"{\"channel\":");
        push_json_string(out, route.channel.as_str());
        out.extend_from_slice(b",\"provider\":");
        push_json_string(out, route.provider);
        let throttled_ms = usize::try_from(route.throttled.as_millis()).unwrap_or(usize::MAX);
        let numbers: [(&[u8], usize); 3] = [
            (b",\"calls\":", widen(route.calls)),
            (b",\"retries\":", widen(route.retries)),
            (b",\"throttled_ms\":", throttled_ms),
        ];
        push_numbers(out, &numbers);
        out.extend_from_slice(b",\"provider_request_ids\":");
        push_list(out, route.provider_request_ids.iter(), |out, id| push_json_string(out, id));
        out.extend_from_slice(b",\"counts\":");
        push_counts(out, &route.counts());
        out.push(b'}');
    });
}

/// Writes warnings as an array.
pub fn push_warnings(out: &mut Vec<u8>, warnings: &[Warning]) {
    push_list(out, warnings.iter(), |out, warning| {
        out.extend_from_slice(b"{\"code\":");
        push_json_string(out, warning.code.as_str());
        out.extend_from_slice(b",\"channel\":");
        push_nullable(out, warning.channel.as_ref().map(|channel| channel.as_str()));
        out.extend_from_slice(b",\"pointer\":");
        push_nullable(out, warning.pointer.as_deref());
        out.extend_from_slice(b",\"detail\":");
        push_json_string(out, &warning.detail);
        out.push(b'}');
    });
}

/// Writes an estimate: seconds, and which budget binds.
pub fn push_eta(out: &mut Vec<u8>, eta: &Eta) {
    let seconds = eta.remaining.as_secs();
    let numbers = format!("{{\"seconds\":{seconds}.{:03},\"bound_by\":", eta.remaining.subsec_millis());
    out.extend_from_slice(numbers.as_bytes());
    match &eta.bound_by {
        Some((channel, budget)) => {
            out.extend_from_slice(b"{\"channel\":");
            push_json_string(out, channel.as_str());
            out.extend_from_slice(b",\"budget\":");
            push_json_string(out, budget.as_str());
            out.push(b'}');
        }
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
}

/// Writes an array.
pub fn push_list<T>(
    out: &mut Vec<u8>,
    items: impl Iterator<Item = T>,
    mut push: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}

/// Writes a time as RFC 3339 in UTC, to the millisecond.
#[must_use]
pub fn time(at: SystemTime) -> String {
    let timestamp = jiff::Timestamp::try_from(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{timestamp:.3}")
}

fn push_optional(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        out.push(b',');
        push_json_string(out, name);
        out.push(b':');
        push_json_string(out, value);
    }
}

fn push_counts(out: &mut Vec<u8>, counts: &Counts) {
    let parts: [(&[u8], usize); 5] = [
        (b"{\"total\":", counts.total),
        (b",\"accepted\":", counts.accepted),
        (b",\"failed\":", counts.failed),
        (b",\"unknown\":", counts.unknown),
        (b",\"pending\":", counts.pending),
    ];
    push_numbers(out, &parts);
    out.push(b'}');
}

/// Writes numbers, each behind its name.
fn push_numbers(out: &mut Vec<u8>, parts: &[(&[u8], usize)]) {
    for (name, number) in parts {
        out.extend_from_slice(name);
        push_number(out, *number);
    }
}

fn push_links(out: &mut Vec<u8>, id: BatchId) {
    let id = id.letters();
    let parts: [&[u8]; 5] =
        [b"{\"self\":\"/v1/batches/", &id, b"\",\"results\":\"/v1/batches/", &id, b"/results\"}"];
    parts.into_iter().for_each(|part| out.extend_from_slice(part));
}
