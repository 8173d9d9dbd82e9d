//! Turns a report into an answer: status, headers and the format that the caller likes best.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::api::accept;
use crate::api::prefer::Preferences;
use crate::api::report::{json, outcome_name, text};
use crate::domain::id::BatchId;
use crate::domain::outcome::Counts;
use crate::domain::report::Report;

const BATCH_ID: HeaderName = HeaderName::from_static("batch-id");
const BATCH_OUTCOME: HeaderName = HeaderName::from_static("batch-outcome");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Longest time after which a caller is told to look again.
const MOST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// The answer to a request that sent: 200, 207 or 202.
#[must_use]
pub fn to_send(report: &Report, headers: &HeaderMap, preferences: &Preferences) -> Response {
    let counts = report.counts();
    let mut response = to_read_counted(report, &counts, headers, preferences);
    if report.is_over() {
        *response.status_mut() =
            if counts.accepted == counts.total { StatusCode::OK } else { StatusCode::MULTI_STATUS };
        return response;
    }
    let wait = report.eta.as_ref().map_or(Duration::ZERO, |eta| eta.remaining);
    accept_for_later(&mut response, report.batch.id, wait);
    response
}

/// The answer to a request that only looks: 200.
#[must_use]
pub fn to_read(report: &Report, headers: &HeaderMap, preferences: &Preferences) -> Response {
    to_read_counted(report, &report.counts(), headers, preferences)
}

/// The answer when a batch was handed over and then something of ours broke: 202.
#[must_use]
pub fn handed_over(id: BatchId) -> Response {
    let mut response = with_type("application/json", json::handed_over(id));
    insert(response.headers_mut(), BATCH_ID, &id.letters());
    accept_for_later(&mut response, id, Duration::ZERO);
    response
}

/// Marks an answer that is not to be sent: the connection ends without one.
#[derive(Clone, Copy, Debug)]
pub struct NoAnswer;

/// No answer at all.
#[must_use]
pub fn none() -> Response {
    let mut response = Response::new(Body::empty());
    // What a caller sees who is not a connection of ours.
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.extensions_mut().insert(NoAnswer);
    response
}

/// An answer with this body.
#[must_use]
pub fn with_type(content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn to_read_counted(
    report: &Report,
    counts: &Counts,
    request_headers: &HeaderMap,
    preferences: &Preferences,
) -> Response {
    let is_text = accept::best(request_headers, ("application/json", false), &[("text/plain", true)]);
    let mut response = if is_text {
        with_type("text/plain; charset=utf-8", text::report(report, counts))
    } else {
        with_type("application/json", json::report(report, counts))
    };
    let headers = response.headers_mut();
    insert(headers, BATCH_ID, &report.batch.id.letters());
    let outcome = outcome_name(report.status(), counts).unwrap_or("processing");
    let Counts { total, accepted, failed, unknown, pending } = counts;
    let summary = format!(
        "{outcome}; total={total}; accepted={accepted}; failed={failed}; unknown={unknown}; pending={pending}"
    );
    insert(headers, BATCH_OUTCOME, summary.as_bytes());
    if let Some(applied) = preferences.applied() {
        insert(headers, PREFERENCE_APPLIED, applied.as_bytes());
    }
    response
}

fn accept_for_later(response: &mut Response, id: BatchId, wait: Duration) {
    *response.status_mut() = StatusCode::ACCEPTED;
    let seconds = wait.min(MOST_RETRY_AFTER).as_secs().max(1);
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, seconds.into());
    insert(headers, LOCATION, format!("/v1/batches/{id}").as_bytes());
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(value) {
        headers.insert(name, value);
    }
}
