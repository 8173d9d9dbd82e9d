//! `GET /v1/batches/{id}/results`: results by page, or all of them as a stream.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as FromState};
use axum::response::Response;
use http::{HeaderMap, Uri};

use crate::api::keys::caller::Caller;
use crate::api::problem::Problem;
use crate::api::read_batch::{batch_id, find};
use crate::api::report::json;
use crate::api::report::stream::{ResultStream, StreamFormat};
use crate::api::report::walk::rows;
use crate::api::result_parameters::Parameters;
use crate::api::router::State;
use crate::api::{accept, answer, page_token};
use crate::domain::report::Report;

/// Answers with results in the caller's order.
///
/// # Errors
/// A [`Problem`] if no such batch is known, a parameter is wrong, or the store is away.
pub async fn read_results(
    FromState(state): FromState<State>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = batch_id(path)?;
    let parameters = Parameters::read(&uri).map_err(Problem::faults)?;
    let report = find(&state, &caller, id).await?;
    let others = [("application/x-ndjson", Some(StreamFormat::Lines)), ("text/csv", Some(StreamFormat::Csv))];
    let Some(format) = accept::best(&headers, ("application/json", None), &others) else {
        return Ok(answer::with_type("application/json", page(&report, &parameters)));
    };
    let content_type = match format {
        StreamFormat::Lines => "application/x-ndjson",
        StreamFormat::Csv => "text/csv; charset=utf-8; header=present",
    };
    let stream = ResultStream::new(report, format, parameters.filter, parameters.start);
    Ok(answer::with_type(content_type, Body::from_stream(stream)))
}

fn page(report: &Report, parameters: &Parameters) -> Vec<u8> {
    let wanted = || rows(report, parameters.start).filter(|row| parameters.filter.takes(row.outcome()));
    let next = wanted().nth(parameters.page_size).map(|row| row.index);
    let token = next.map(|index| page_token::write(index, parameters.filter.bits()));
    json::page(wanted().take(parameters.page_size), &token.unwrap_or_default())
}
