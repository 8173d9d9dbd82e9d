//! Writes a report as one screen of text for operators.

use std::fmt::Write as _;

use crate::api::report::walk::{StatusFilter, rows};
use crate::api::report::{json, outcome_name, result_status};
use crate::domain::outcome::{Counts, Outcome};
use crate::domain::report::Report;

/// Most results that are listed: those that were not accepted come first to mind.
const MOST_LISTED: usize = 20;

/// Writes a report.
#[must_use]
pub fn report(report: &Report, counts: &Counts) -> String {
    let mut text = String::with_capacity(1024);
    // Writing to a `String` cannot fail, so the results of `writeln!` say nothing.
    let _ = writeln!(text, "{}  {}", report.batch.id, headline(report, counts));
    if let Some(client_ref) = &report.batch.client_ref {
        let _ = writeln!(text, "client_ref  {}", printable(client_ref));
    }
    if let Some(resend) = &report.batch.resend {
        let _ = writeln!(text, "resend of   {}", resend.of);
    }
    for resend in &report.resends {
        let _ = writeln!(text, "resent by   {resend}");
    }
    let _ = writeln!(text, "created     {}", json::time(report.batch.created_at));
    if let Some(completed_at) = report.completed_at {
        let _ = writeln!(text, "completed   {}", json::time(completed_at));
    }
    if let Some(eta) = &report.eta {
        let bound_by = eta.bound_by.as_ref().map_or_else(String::new, |(channel, budget)| {
            format!(", bound by the {} budget of {channel}", budget.as_str())
        });
        let _ = writeln!(text, "eta         {:.1} s{bound_by}", eta.remaining.as_secs_f64());
    }
    push_routes(&mut text, report);
    push_not_accepted(&mut text, report, counts);
    for warning in &report.warnings {
        let channel = warning.channel.as_ref().map_or("", |channel| channel.as_str());
        let _ = writeln!(
            text,
            "warning  {}  {channel} {}  {}",
            warning.code.as_str(),
            printable(warning.pointer.as_deref().unwrap_or_default()),
            printable(&warning.detail)
        );
    }
    text
}

fn headline(report: &Report, counts: &Counts) -> String {
    let sandbox = if report.routes.iter().any(|route| route.is_sandbox) { "  (sandbox)" } else { "" };
    let status = report.status().as_str();
    match outcome_name(report.status(), counts) {
        Some(outcome) => format!("{status}, {outcome}{sandbox}"),
        None => format!("{status}{sandbox}"),
    }
}

fn push_routes(text: &mut String, report: &Report) {
    let _ = writeln!(
        text,
        "\n{:<24} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7}",
        "channel", "total", "accepted", "failed", "unknown", "pending", "calls", "retries"
    );
    for route in &report.routes {
        let counts = route.counts();
        let _ = writeln!(
            text,
            "{:<24} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7}",
            route.channel.as_str(),
            counts.total,
            counts.accepted,
            counts.failed,
            counts.unknown,
            counts.pending,
            route.calls,
            route.retries
        );
    }
    let _ = writeln!(text);
}

fn push_not_accepted(text: &mut String, report: &Report, counts: &Counts) {
    let open = counts.failed + counts.unknown;
    if open == 0 {
        return;
    }
    let wanted = StatusFilter::parse("failed,unknown").unwrap_or(StatusFilter::ALL);
    for row in rows(report, 0).filter(|row| wanted.takes(row.outcome())).take(MOST_LISTED) {
        let (Some(Outcome::Failed(failure)) | Some(Outcome::Unknown(failure))) = row.outcome() else {
            continue;
        };
        let words = [&failure.provider_code, &failure.provider_message, &failure.hint];
        let words: Vec<_> = words.into_iter().flatten().map(|word| printable(word)).collect();
        let cause = failure.cause.map(|cause| format!(" ({cause})")).unwrap_or_default();
        let _ = writeln!(
            text,
            "{:>7}  {}  {}  {}  {}{cause}  {}",
            row.index,
            row.route.channel,
            printable(row.route.recipients.id(row.line.position)),
            result_status(row.outcome()),
            failure.kind.as_str(),
            words.join("; ")
        );
    }
    if open > MOST_LISTED {
        let _ = writeln!(text, "... and {} more", open - MOST_LISTED);
    }
}

/// The same text without what a terminal would act on: control characters and marks that turn the direction
/// of writing.
#[must_use]
pub fn printable(text: &str) -> String {
    let is_harmful = |character: char| {
        character.is_control()
            || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|character| if is_harmful(character) { '\u{fffd}' } else { character }).collect()
}
